/* golden_make.c - the databases themselves; see golden.c.
 *
 *     types.db    a value of every Arrow type, swept into the storage, the log trimmed; closed
 *     orders.db   rows and numbers under retention: versions, deletions, row operations,
 * savepoints, a transaction committed in two steps, one aborted, one left prepared; closed backups
 * three backups of orders.db, between its transactions killed.db   left by a process that ended
 * without closing it, with transactions of each sync policy in its log and one prepared */
#include "golden/golden.h"
#include "support/foreign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEPT_MS (UINT64_C(1) << 40)

/* ---- values ---------------------------------------------------------------------------------- */

static kh_bytes key_of(const char *text) {
    return (kh_bytes){text, strlen(text)};
}

static kh_txn *begin(kh_db *db, const char *tag, kh_sync sync) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_error error = {""};
    kh_txn *txn = NULL;
    options.isolation = KH_SERIALIZABLE;
    options.tag = tag;
    options.sync = sync;
    golden_must(kh_txn_begin(db, &options, &txn, &error) == KH_OK, "begin", &error);
    return txn;
}

static void commit(kh_txn *txn) {
    kh_error error = {""};
    golden_must(kh_txn_commit(txn, NULL, &error) == KH_OK, "commit", &error);
    kh_txn_close(txn);
}

static kh_batch *number(kh_db *db, int64_t value) {
    static const char *const names[] = {"n"};
    static const char *const formats[] = {"l"};
    kh_scalar scalar = {KH_SCALAR_INT64, {.int64 = value}};
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    golden_must(kh_schema_build(db, names, formats, 1, &schema, NULL) == KH_OK, "schema", NULL);
    golden_must(kh_batch_build(db, schema, &scalar, 1, &batch, NULL) == KH_OK, "batch", NULL);
    kh_schema_release(schema);
    return batch;
}

static void put_number(kh_db *db, kh_txn *txn, const char *key, int64_t value) {
    kh_batch *batch = number(db, value);
    golden_must(kh_txn_put(txn, key_of(key), batch, NULL) == KH_OK, "put", NULL);
    kh_batch_release(batch);
}

/* Rows of id, name, amount. */
static kh_batch *rows(kh_db *db, int64_t first, int64_t count, int64_t amount) {
    static const char *const names[] = {"id", "name", "amount"};
    static const char *const formats[] = {"!l", "u", "g"};
    kh_scalar scalars[3 * 8];
    char texts[8][16];
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    for (int64_t i = 0; i < count; i++) {
        int length = snprintf(texts[i], sizeof texts[i], "item %lld", (long long)(first + i));
        scalars[3 * i] = (kh_scalar){KH_SCALAR_INT64, {.int64 = first + i}};
        scalars[3 * i + 1] = (kh_scalar){KH_SCALAR_BYTES, {.bytes = {texts[i], (size_t)length}}};
        scalars[3 * i + 2] = (kh_scalar){KH_SCALAR_DOUBLE, {.float64 = (double)amount / 4}};
        if (i % 3 == 2) scalars[3 * i + 1].kind = KH_SCALAR_NULL;
    }
    golden_must(kh_schema_build(db, names, formats, 3, &schema, NULL) == KH_OK, "schema", NULL);
    golden_must(kh_batch_build(db, schema, scalars, count, &batch, NULL) == KH_OK, "rows", NULL);
    kh_schema_release(schema);
    return batch;
}

/* ---- types.db -------------------------------------------------------------------------------- */

static void put_type(kh_db *db, kh_txn *txn, int i) {
    struct foreign_random random = {.state = (uint64_t)i + 1, .has_nulls = true};
    struct ArrowSchema schema;
    struct ArrowArray array;
    kh_schema *interned = NULL;
    kh_batch *batch = NULL;
    kh_error error = {""};
    foreign_table(&schema, foreign_types[i]);
    foreign_fill(&random, &schema, 5, &array);
    golden_must(kh_schema_import(db, &schema, &interned, &error) == KH_OK, "schema", &error);
    kh_status status = kh_batch_import(db, interned, &array, KH_VALIDATE_FULL, &batch, &error);
    golden_must(status == KH_OK, "import", &error);
    status = kh_txn_put(txn, key_of(foreign_types[i]), batch, &error);
    golden_must(status == KH_OK, "put", &error);
    kh_batch_release(batch);
    kh_schema_release(interned);
}

static void make_types(void) {
    kh_db *db = golden_open("types.db", 0, 0);
    for (int i = 0; i < foreign_type_count;) {
        kh_txn *txn = begin(db, NULL, KH_SYNC_FULL);
        for (int end = i + 7; i < end && i < foreign_type_count; i++) put_type(db, txn, i);
        commit(txn);
    }
    golden_must(kh_db_compact(db, NULL) == KH_OK, "compact", NULL);
    golden_must(kh_db_close(db) == KH_OK, "close", NULL);
}

/* ---- orders.db and backups ------------------------------------------------------------------- */

static void put_rows(kh_db *db, kh_txn *txn, const char *key, int64_t first, int64_t count,
                     int64_t amount) {
    kh_batch *batch = rows(db, first, count, amount);
    golden_must(kh_txn_put(txn, key_of(key), batch, NULL) == KH_OK, "put", NULL);
    kh_batch_release(batch);
}

static void fill_orders(kh_db *db, int from, int to) {
    for (int i = from; i < to; i++) {
        char key[32];
        kh_txn *txn = begin(db, i % 3 == 0 ? "order" : NULL, KH_SYNC_FULL);
        (void)snprintf(key, sizeof key, "orders/%d", i % 5);
        put_rows(db, txn, key, i, 1 + i % 4, i);
        put_number(db, txn, "count", i);
        if (i % 4 == 3) {
            (void)snprintf(key, sizeof key, "orders/%d", (i + 2) % 5);
            golden_must(kh_txn_delete(txn, key_of(key), NULL) == KH_OK, "delete", NULL);
        }
        commit(txn);
    }
}

static void change_rows(kh_db *db) {
    kh_txn *txn = begin(db, "rows", KH_SYNC_FULL);
    uint32_t savepoint = 0;
    put_rows(db, txn, "stock", 1, 4, 100);
    golden_must(kh_txn_savepoint(txn, &savepoint, NULL) == KH_OK, "savepoint", NULL);
    put_number(db, txn, "taken back", 1);
    golden_must(kh_txn_rollback_to(txn, savepoint, NULL) == KH_OK, "rollback to", NULL);
    commit(txn);
    txn = begin(db, "rows", KH_SYNC_FULL);
    kh_batch *more = rows(db, 3, 4, 200);
    golden_must(kh_txn_upsert_rows(txn, key_of("stock"), more, NULL) == KH_OK, "upsert", NULL);
    kh_batch_release(more);
    commit(txn);
}

static void commit_in_two_steps(kh_db *db, bool is_commit) {
    kh_txn *txn = begin(db, is_commit ? "decided" : "aborted", KH_SYNC_FULL);
    put_number(db, txn, is_commit ? "decided" : "aborted", 1);
    golden_must(kh_txn_prepare(txn, NULL) == KH_OK, "prepare", NULL);
    if (is_commit) {
        commit(txn);
        return;
    }
    golden_must(kh_txn_rollback(txn) == KH_OK, "rollback", NULL);
    kh_txn_close(txn);
}

static void leave_prepared(kh_db *db, const char *key) {
    kh_txn *txn = begin(db, "left prepared", KH_SYNC_FULL);
    put_number(db, txn, key, 7);
    golden_must(kh_txn_delete(txn, key_of("count"), NULL) == KH_OK, "delete", NULL);
    golden_must(kh_txn_prepare(txn, NULL) == KH_OK, "prepare", NULL);
    kh_txn_close(txn);
}

static void back_up(kh_db *db) {
    kh_error error = {""};
    golden_must(kh_backup(db, "backups", NULL, NULL, &error) == KH_OK, "backup", &error);
}

static void make_orders(void) {
    kh_db *db = golden_open("orders.db", 0, KEPT_MS);
    fill_orders(db, 0, 8);
    back_up(db);
    change_rows(db);
    commit_in_two_steps(db, true);
    commit_in_two_steps(db, false);
    back_up(db);
    fill_orders(db, 8, 20);
    golden_must(kh_db_compact(db, NULL) == KH_OK, "compact", NULL);
    fill_orders(db, 20, 24);
    leave_prepared(db, "held");
    back_up(db);
    golden_must(kh_db_close(db) == KH_OK, "close", NULL);
}

/* ---- killed.db ------------------------------------------------------------------------------- */

static void make_killed(void) {
    static const kh_sync policies[] = {KH_SYNC_FULL, KH_SYNC_GROUP, KH_SYNC_NONE};
    kh_db *db = golden_open("killed.db", 0, KEPT_MS);
    for (int i = 0; i < 30; i++) {
        char key[32];
        kh_txn *txn = begin(db, NULL, policies[i % 3]);
        (void)snprintf(key, sizeof key, "k%d", i % 7);
        put_number(db, txn, key, i);
        put_number(db, txn, "count", i);
        if (i % 7 == 6)
            golden_must(kh_txn_delete(txn, key_of("k2"), NULL) == KH_OK, "delete", NULL);
        commit(txn);
        if (i == 14) golden_must(kh_db_compact(db, NULL) == KH_OK, "compact", NULL);
    }
    leave_prepared(db, "k3");
    _exit(0);
}

void golden_make(void) {
    pid_t child = fork();
    if (child == 0) make_killed();
    int status = 0;
    golden_must(child > 0 && waitpid(child, &status, 0) == child && status == 0, "killed", NULL);
    make_types();
    make_orders();
}
