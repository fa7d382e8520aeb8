/* workspaces.c - the two ways in which semantic workspaces are used most, against khonsu.h alone.
 *
 *     cc workspaces.c $(pkg-config --cflags --libs khonsu) && ./a.out
 *
 * First: begin, put two accounts, ask for the affected keys, commit. Then two editors of one table
 * of facts: begin, operations, embeddings before and after, candidates for a merge, and the
 * commits, one of which is merged into the other's change, while a third that contradicts them is
 * stopped. At last three who want to commit together, as one record: who does not fit is left out.
 */
#include <khonsu.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(kh_status status, const kh_error *error, const char *what) {
    if (status == KH_OK) return;
    fprintf(stderr, "%s: %s: %s\n", what, kh_status_name(status), error->message);
    exit(1);
}

static kh_bytes key_of(const char *text) {
    return (kh_bytes){text, strlen(text)};
}

/* Rows of an id and two numbers. */
static kh_batch *rows_of(kh_db *db, const char *const *names, const int64_t *numbers,
                         int64_t row_count) {
    static const char *const formats[] = {"!l", "l", "l"};
    kh_scalar cells[3 * 8];
    kh_error error = {""};
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    for (int64_t i = 0; i < 3 * row_count; i++)
        cells[i] = (kh_scalar){KH_SCALAR_INT64, {.int64 = numbers[i]}};
    must(kh_schema_build(db, names, formats, 3, &schema, &error), &error, "schema");
    must(kh_batch_build(db, schema, cells, row_count, &batch, &error), &error, "batch");
    kh_schema_release(schema);
    return batch;
}

/* ---- accounts ---------------------------------------------------------------------------------
 */

static void put_accounts(kh_db *db) {
    static const char *const names[] = {"id", "balance", "limit"};
    static const int64_t ann[] = {1, 100, 500};
    static const int64_t ben[] = {2, 250, 0};
    kh_error error = {""};
    kh_workspace *workspace = NULL;
    kh_timestamp timestamp = 0;
    kh_bytes keys[4];
    kh_batch *accounts[2] = {rows_of(db, names, ann, 1), rows_of(db, names, ben, 1)};
    must(kh_workspace_begin(db, NULL, &workspace, &error), &error, "begin");
    must(kh_workspace_put(workspace, key_of("account/ann"), accounts[0], &error), &error, "put");
    must(kh_workspace_put(workspace, key_of("account/ben"), accounts[1], &error), &error, "put");
    size_t count = kh_workspace_affected_keys(workspace, keys, 4);
    printf("%zu operations on %zu keys:", kh_workspace_operation_count(workspace), count);
    for (size_t i = 0; i < count; i++)
        printf(" %.*s", (int)keys[i].size_bytes, (const char *)keys[i].data);
    must(kh_workspace_commit(workspace, &timestamp, &error), &error, "commit");
    printf("\ncommitted: %s\n", timestamp > 0 ? "yes" : "no");
    kh_workspace_close(workspace);
    for (int i = 0; i < 2; i++) kh_batch_release(accounts[i]);
}

/* ---- facts ------------------------------------------------------------------------------------
 */

static const char *const fact_names[] = {"id", "population", "area"};

static kh_workspace *edit(kh_db *db, const char *key, const int64_t *facts, const float *before,
                          const float *after) {
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_error error = {""};
    kh_workspace *workspace = NULL;
    options.mode = KH_SEMANTIC_MERGE;
    kh_batch *batch = rows_of(db, fact_names, facts, 2);
    must(kh_workspace_begin(db, &options, &workspace, &error), &error, "begin");
    must(kh_workspace_put(workspace, key_of(key), batch, &error), &error, "put");
    must(kh_workspace_set_before(workspace, (kh_floats){before, 4}, &error), &error, "before");
    must(kh_workspace_set_after(workspace, (kh_floats){after, 4}, &error), &error, "after");
    must(kh_workspace_compute_delta(workspace, &error), &error, "delta");
    kh_batch_release(batch);
    return workspace;
}

static void show_facts(kh_db *db) {
    kh_error error = {""};
    kh_txn *txn = NULL;
    const kh_batch *batch = NULL;
    must(kh_txn_begin(db, NULL, &txn, &error), &error, "begin");
    must(kh_txn_peek(txn, key_of("cities"), &batch, &error), &error, "peek");
    for (int64_t row = 0; row < kh_batch_row_count(batch); row++) {
        int64_t cells[3] = {0, 0, 0};
        for (int64_t i = 0; i < 3; i++)
            if (kh_batch_int64(batch, i, row, &cells[i]) != KH_OK) exit(1);
        printf("city %d: population %d, area %d\n", (int)cells[0], (int)cells[1], (int)cells[2]);
    }
    kh_txn_close(txn);
}

static void tell_candidates(const kh_workspace *workspace) {
    kh_error error = {""};
    kh_candidate found[4];
    size_t count = 0;
    must(kh_workspace_find_merge_candidates(workspace, 0.1f, 60000, found, 4, &count, &error),
         &error, "candidates");
    for (size_t i = 0; i < count && i < 4; i++)
        printf("candidate %zu: %s, cosine %.2f, %zu shared keys\n", i + 1,
               kh_delta_class_name(found[i].kind), (double)found[i].similarity,
               found[i].shared_keys);
}

static void end(kh_workspace *workspace, const char *who) {
    kh_semantic_conflict conflict = {.size = sizeof conflict};
    kh_status status = kh_workspace_commit(workspace, NULL, NULL);
    printf("%s: %s\n", who, kh_status_name(status));
    if (kh_workspace_semantic_conflict(workspace, &conflict) == KH_OK)
        printf("%s is %s to what was committed, cosine %.2f\n", who,
               kh_delta_class_name(conflict.kind), (double)conflict.similarity);
    kh_workspace_close(workspace);
}

static void edit_facts(kh_db *db) {
    static const int64_t old[] = {1, 3600, 890, 2, 1500, 310};
    static const int64_t grown[] = {1, 3700, 890, 2, 1500, 310};
    static const int64_t measured[] = {1, 3600, 891, 2, 1500, 310};
    static const float before[4] = {0, 0, 1, 0};
    static const float says_grown[4] = {1, 0, 1, 0};
    static const float says_measured[4] = {0, 1, 1, 0};
    static const float says_shrunk[4] = {-1, 0, 1, 0.1f};
    kh_error error = {""};
    kh_txn *txn = NULL;
    kh_batch *batch = rows_of(db, fact_names, old, 2);
    must(kh_txn_begin(db, NULL, &txn, &error), &error, "begin");
    must(kh_txn_put(txn, key_of("cities"), batch, &error), &error, "put");
    must(kh_txn_commit(txn, NULL, &error), &error, "commit");
    kh_txn_close(txn);
    kh_batch_release(batch);
    kh_workspace *ann = edit(db, "cities", grown, before, says_grown);
    kh_workspace *ben = edit(db, "cities", measured, before, says_measured);
    kh_workspace *eve = edit(db, "notes", grown, before, says_shrunk);
    tell_candidates(ben);
    end(ann, "ann");
    end(ben, "ben");
    end(eve, "eve");
    show_facts(db);
}

/* Who is to blame for a refusal is left out; the others are as they were. */
static void edit_together(kh_db *db) {
    static const char *names[] = {"dan", "fay", "gil"};
    static const int64_t grown[] = {1, 3800, 891, 2, 1500, 310};
    static const int64_t measured[] = {1, 3700, 891, 2, 1500, 312};
    static const float before[4] = {0, 0, 1, 0};
    static const float says_grown[4] = {1, 0, 1, 0};
    static const float says_measured[4] = {0, 1, 1, 0};
    static const float says_shrunk[4] = {-1, 0, 1, 0.1f};
    kh_workspace *all[] = {edit(db, "cities", grown, before, says_grown),
                           edit(db, "cities", measured, before, says_measured),
                           edit(db, "notes", grown, before, says_shrunk)};
    size_t count = 3;
    size_t culprit = 0;
    for (;;) {
        kh_status status = kh_workspace_commit_together(all, count, NULL, &culprit, NULL);
        printf("%zu together: %s\n", count, kh_status_name(status));
        if (status == KH_OK || culprit == count) break;
        printf("%s is left out\n", names[culprit]);
        kh_workspace_close(all[culprit]);
        all[culprit] = all[--count];
        names[culprit] = names[count];
    }
    for (size_t i = 0; i < count; i++) kh_workspace_close(all[i]);
    show_facts(db);
}

int main(void) {
    kh_error error = {""};
    kh_db *db = NULL;
    must(kh_db_open(NULL, &db, &error), &error, "open");
    put_accounts(db);
    edit_facts(db);
    edit_together(db);
    return kh_db_close(db) == KH_OK ? 0 : 1;
}
