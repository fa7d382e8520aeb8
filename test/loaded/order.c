/* order.c - small commits that nobody waits for, then a large one that is acknowledged: what is
 * loaded as a table must not survive a loss of power without what was written before it.
 *
 *     order run DIR ROUNDS    under the shim of test/powerloss, whose marks are acknowledgements
 *     order check DIR ACKS    open DIR/db and compare with the acknowledgements in a file
 *
 * A round commits its count under "small" so often that the log's thread writes some of them by
 * itself, without a sync; then the round's number with a large value and once more by itself, in
 * one transaction. So after any loss: what a round acknowledged is there, and all before it. */
#include <khonsu.h>

#include <dlfcn.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL = 400, LARGE_WORDS = 300000 };

static void must(bool is_true, const char *what) {
    if (is_true) return;
    fprintf(stderr, "order: %s\n", what);
    exit(1);
}

static kh_bytes key_of(const char *text) {
    return (kh_bytes){text, strlen(text)};
}

static kh_db *open_in(const char *directory) {
    char path[4096];
    kh_options options = KH_OPTIONS_INIT;
    kh_error error = {""};
    kh_db *db = NULL;
    (void)snprintf(path, sizeof path, "%s/db", directory);
    options.path = path;
    options.flags = KH_OPEN_INGEST;
    if (kh_db_open(&options, &db, &error) != KH_OK) fprintf(stderr, "%s\n", error.message);
    must(db != NULL, "open");
    return db;
}

/* A column of so many numbers, the first of which counts. */
static kh_batch *make(kh_db *db, int64_t number, int64_t rows) {
    static const char *const names[] = {"n"};
    static const char *const formats[] = {"l"};
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    kh_scalar *scalars = calloc((size_t)rows, sizeof *scalars);
    must(scalars != NULL, "memory");
    for (int64_t i = 0; i < rows; i++)
        scalars[i] = (kh_scalar){KH_SCALAR_INT64, {.int64 = number + i * 7919}};
    must(kh_schema_build(db, names, formats, 1, &schema, NULL) == KH_OK, "schema");
    must(kh_batch_build(db, schema, scalars, rows, &batch, NULL) == KH_OK, "batch");
    kh_schema_release(schema);
    free(scalars);
    return batch;
}

static void put(kh_db *db, kh_txn *txn, const char *key, int64_t number, int64_t rows) {
    kh_batch *batch = make(db, number, rows);
    must(kh_txn_put(txn, key_of(key), batch, NULL) == KH_OK, "put");
    kh_batch_release(batch);
}

static kh_txn *begin(kh_db *db, kh_sync sync) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.sync = sync;
    must(kh_txn_begin(db, &options, &txn, NULL) == KH_OK, "begin");
    return txn;
}

static void commit(kh_txn *txn) {
    must(kh_txn_commit(txn, NULL, NULL) == KH_OK, "commit");
    kh_txn_close(txn);
}

static int run(const char *directory, int64_t rounds) {
    void (*mark)(const char *text) = NULL;
    void *found = dlsym(RTLD_DEFAULT, "powerloss_mark");
    memcpy(&mark, &found, sizeof mark);
    kh_db *db = open_in(directory);
    for (int64_t round = 1; round <= rounds; round++) {
        char line[64];
        for (int64_t i = 0; i < SMALL; i++) {
            kh_txn *txn = begin(db, KH_SYNC_NONE);
            put(db, txn, "small", round * SMALL + i, 1);
            commit(txn);
        }
        kh_txn *txn = begin(db, KH_SYNC_FULL);
        put(db, txn, "large", round, LARGE_WORDS);
        put(db, txn, "beside", round, 1);
        commit(txn);
        (void)snprintf(line, sizeof line, "%" PRId64, round);
        if (mark != NULL) mark(line);
    }
    must(kh_db_close(db) == KH_OK, "close");
    return 0;
}

/* 0: absent. */
static int64_t first_of(kh_txn *txn, const char *key, int64_t rows) {
    const kh_batch *batch = NULL;
    int64_t number = 0;
    kh_status status = kh_txn_peek(txn, key_of(key), &batch, NULL);
    if (status == KH_NOT_FOUND) return 0;
    must(status == KH_OK && kh_batch_row_count(batch) == rows, key);
    for (int64_t i = rows - 1; i >= 0; i--) {
        int64_t expected = number;
        must(kh_batch_int64(batch, 0, i, &number) == KH_OK, key);
        must(i == rows - 1 || expected == number + 7919, "a value with other numbers");
    }
    return number;
}

static int check(const char *directory, const char *acks_path) {
    int64_t acknowledged = 0;
    int64_t number;
    FILE *acks = fopen(acks_path, "r");
    must(acks != NULL, "the acknowledgements");
    while (fscanf(acks, "%" SCNd64, &number) == 1) acknowledged = number;
    (void)fclose(acks);
    kh_db *db = open_in(directory);
    kh_txn *txn = begin(db, KH_SYNC_FULL);
    int64_t large = first_of(txn, "large", LARGE_WORDS);
    must(large >= acknowledged, "a large transaction is lost");
    must(first_of(txn, "beside", 1) == large, "half a transaction");
    must(large == 0 || first_of(txn, "small", 1) >= large * SMALL + SMALL - 1,
         "small ones before a large one are lost");
    kh_txn_close(txn);
    must(kh_db_close(db) == KH_OK, "close");
    return 0;
}

int main(int argument_count, char **arguments) {
    if (argument_count == 4 && strcmp(arguments[1], "run") == 0)
        return run(arguments[2], strtoll(arguments[3], NULL, 10));
    if (argument_count == 4 && strcmp(arguments[1], "check") == 0)
        return check(arguments[2], arguments[3]);
    fprintf(stderr, "usage: order run DIR ROUNDS | order check DIR ACKS\n");
    return 2;
}
