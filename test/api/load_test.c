/* load_test.c - transactions that are large by themselves, through the public interface: their
 * groups and their values are loaded as table files, those of small ones beside them are not. What
 * was promised of the one holds of the other, and of both in any order. The rest of the tests of
 * databases with a path run once more with everything loaded (cmake/loaded.cmake). */
#define _GNU_SOURCE
#include "support/backup_place.h"
#include "support/path_fixture.h"

#include <dirent.h>
#include <unistd.h>

enum {
    LARGE_BYTES = 2400 * 1000,
    LARGE_WORDS = LARGE_BYTES / 8,
    HOUR_MS = 3600 * 1000,
    TABLE_BYTES = 1024
};

/* ---- values ---------------------------------------------------------------------------------- */

/* Rows of a column "n" that begin with a number and go on with noise. */
static kh_batch *make_large(kh_db *db, int64_t number) {
    kh_schema *schema = kit_number_schema(db);
    kh_scalar *scalars = calloc(LARGE_WORDS, sizeof *scalars);
    kh_batch *batch = NULL;
    uint64_t noise = (uint64_t)number * 2654435761u + 1;
    assert_non_null(scalars);
    for (int64_t i = 0; i < LARGE_WORDS; i++) {
        noise = noise * 6364136223846793005u + 1442695040888963407u;
        int64_t value = i == 0 ? number : (int64_t)(noise >> 1);
        scalars[i] = (kh_scalar){KH_SCALAR_INT64, {.int64 = value}};
    }
    kit_is(kh_batch_build(db, schema, scalars, LARGE_WORDS, &batch, NULL), KH_OK);
    free(scalars);
    kh_schema_release(schema);
    return batch;
}

static void put_large(kh_txn *txn, kh_db *db, const char *key, int64_t number) {
    kh_batch *batch = make_large(db, number);
    kit_is(kh_txn_put(txn, kit_key(key), batch, NULL), KH_OK);
    kh_batch_release(batch);
}

static void batch_is_large(kh_db *db, const kh_batch *batch, int64_t number) {
    kh_batch *expected = make_large(db, number);
    bool is_equal = false;
    kit_is(kh_batch_equal(batch, expected, &is_equal, NULL), KH_OK);
    assert_true(is_equal);
    kh_batch_release(expected);
}

static void large_is(kh_db *db, const char *key, int64_t number) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    const kh_batch *batch = NULL;
    kit_is(kh_txn_peek(txn, kit_key(key), &batch, NULL), KH_OK);
    batch_is_large(db, batch, number);
    kit_rollback(txn);
}

static void store_large(kh_db *db, const char *key, int64_t number, kh_sync sync) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.sync = sync;
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_OK);
    put_large(txn, db, key, number);
    kit_commit_ok(txn);
}

static void store_unsynced(kh_db *db, const char *key, int64_t number) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.sync = KH_SYNC_NONE;
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_OK);
    kit_put(txn, key, number);
    kit_commit_ok(txn);
}

static void is_sound(const char *path, uint64_t keys) {
    kh_verify_options options = KH_VERIFY_OPTIONS_INIT;
    kh_verify_report report = {.size = sizeof report};
    kh_error error = {""};
    kh_status status = kh_verify(path, &options, &report, &error);
    if (status != KH_OK) fail_msg("%s: %s", kh_status_name(status), error.message);
    assert_int_equal(report.keys, keys);
    assert_false(report.has_torn_end);
}

/* ---- what is there after a restart ----------------------------------------------------------- */

static void test_both_sides_survive(void **state) {
    (void)state;
    struct fixture f;
    make_fixture(&f, KH_OPEN_INGEST);
    reopen(&f);
    for (int i = 0; i < 4; i++) {
        kit_store(f.db, "small", i);
        store_large(f.db, "large", i, KH_SYNC_FULL);
        store_unsynced(f.db, "unsynced", i);
        store_large(f.db, i % 2 == 0 ? "even" : "odd", i, KH_SYNC_NONE);
    }
    for (int round = 0; round < 2; round++) {
        reopen(&f);
        kit_load_is(f.db, "small", 3);
        kit_load_is(f.db, "unsynced", 3);
        large_is(f.db, "large", 3);
        large_is(f.db, "even", 2);
        large_is(f.db, "odd", 3);
        store_large(f.db, "large", 3, KH_SYNC_FULL);
    }
    kit_close(f.db);
    f.db = NULL;
    is_sound(f.directory.path, 5);
    close_fixture(&f);
}

/* Many keys in one large transaction, overwritten and deleted by the next ones: steps of the
 * storage whose ranges meet. */
static void test_ranges_that_meet(void **state) {
    (void)state;
    struct fixture f;
    char key[16];
    make_fixture(&f, KH_OPEN_INGEST | KH_OPEN_NO_THREADS);
    reopen(&f);
    for (int round = 0; round < 4; round++) {
        kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
        put_large(txn, f.db, "m", round);
        for (int i = 0; i < 40; i++) {
            (void)snprintf(key, sizeof key, "%c/%d", "az"[i % 2], i);
            if (round == 2 && i % 5 == 0)
                kit_delete(txn, key);
            else
                kit_put(txn, key, round * 100 + i);
        }
        kit_commit_ok(txn);
        kh_db_step(f.db); /* the storage is brought up to date */
        kit_store(f.db, "b", round);
        if (round == 1) kh_db_step(f.db);
        reopen(&f);
        for (int i = 0; i < 40; i++) {
            (void)snprintf(key, sizeof key, "%c/%d", "az"[i % 2], i);
            kit_load_is(f.db, key, round == 2 && i % 5 == 0 ? KIT_ABSENT : round * 100 + i);
        }
        large_is(f.db, "m", round);
        kit_load_is(f.db, "b", round);
    }
    kit_close(f.db);
    f.db = NULL;
    is_sound(f.directory.path, 42);
    close_fixture(&f);
}

static void test_prepared(void **state) {
    (void)state;
    struct fixture f;
    make_fixture(&f, KH_OPEN_INGEST);
    reopen(&f);
    kh_txn_id ids[2];
    for (int i = 0; i < 2; i++) {
        kh_txn *txn = kit_begin(f.db, KH_SERIALIZABLE);
        put_large(txn, f.db, i == 0 ? "commits" : "aborts", 7);
        kit_put(txn, i == 0 ? "with" : "without", 1);
        ids[i] = kh_txn_get_id(txn);
        kit_is(kh_txn_prepare(txn, NULL), KH_OK);
        kh_txn_close(txn);
    }
    reopen(&f); /* closed: the storage has both */
    kit_is(kh_db_decide(f.db, ids[0], true, NULL, NULL), KH_OK);
    kit_is(kh_db_decide(f.db, ids[1], false, NULL, NULL), KH_OK);
    reopen(&f);
    large_is(f.db, "commits", 7);
    kit_load_is(f.db, "with", 1);
    kit_load_is(f.db, "aborts", KIT_ABSENT);
    kit_load_is(f.db, "without", KIT_ABSENT);
    kh_outcome outcome;
    kit_is(kh_db_outcome(f.db, ids[0], &outcome, NULL, NULL), KH_OK);
    assert_int_equal(outcome, KH_OUTCOME_COMMITTED);
    kit_is(kh_db_outcome(f.db, ids[1], &outcome, NULL, NULL), KH_OK);
    assert_int_equal(outcome, KH_OUTCOME_ABORTED);
    close_fixture(&f);
}

/* ---- the past, the feed, proofs -------------------------------------------------------------- */

static void feed_is(kh_db *db, int count) {
    kh_changes *feed = NULL;
    kh_change change;
    kh_error error = {""};
    kit_is(kh_changes_open(db, 0, NULL, &feed, &error), KH_OK);
    for (int i = 0; i < count; i++) {
        kit_is(kh_changes_next(feed, 0, &change, &error), KH_OK);
        if (i % 2 == 0)
            assert_int_equal(kit_number_of(change.value), i / 2);
        else
            batch_is_large(db, change.value, i / 2);
        assert_true(change.is_last_of_commit);
    }
    kit_is(kh_changes_next(feed, 0, &change, &error), KH_PENDING);
    kh_changes_close(feed);
}

static void test_history(void **state) {
    (void)state;
    struct fixture f;
    kh_timestamp at[3];
    make_fixture(&f, KH_OPEN_INGEST);
    f.options.retention_ms = HOUR_MS;
    reopen(&f);
    for (int i = 0; i < 3; i++) {
        kit_store(f.db, "small", i);
        store_large(f.db, "large", i, KH_SYNC_FULL);
        at[i] = kh_db_now(f.db);
    }
    for (int round = 0; round < 2; round++, reopen(&f)) {
        for (int i = 0; i < 3; i++) {
            kh_txn *txn = NULL;
            const kh_batch *batch = NULL;
            kit_is(kh_txn_begin_at(f.db, at[i], &txn, NULL), KH_OK);
            kit_get_is(txn, "small", i);
            kit_is(kh_txn_peek(txn, kit_key("large"), &batch, NULL), KH_OK);
            batch_is_large(f.db, batch, i);
            kit_rollback(txn);
        }
        feed_is(f.db, 6);
        kh_bytes proof = {NULL, 0};
        kit_is(kh_db_prove(f.db, kit_key("large"), at[1], &proof, NULL), KH_OK);
        kh_bytes_free(proof);
    }
    kit_is(kh_db_compact(f.db, NULL), KH_OK);
    large_is(f.db, "large", 2);
    close_fixture(&f);
}

static void test_backup_and_restore(void **state) {
    (void)state;
    struct backup_place f;
    place_open(&f, 0);
    kh_timestamp at[3];
    for (int i = 0; i < 3; i++) {
        kit_store(f.db, "small", i);
        store_large(f.db, "large", i, KH_SYNC_FULL);
        at[i] = kh_db_now(f.db);
        (void)place_back_up(&f, i == 1 ? KH_BACKUP_QUICK : 0);
    }
    for (int i = 0; i < 3; i++) {
        kh_db *db = place_restore(&f, (uint64_t)i + 1, at[i]);
        kit_load_is(db, "small", i);
        large_is(db, "large", i);
        kit_close(db);
    }
    place_close(&f);
}

/* ---- what a crash leaves --------------------------------------------------------------------- */

/* The name of some table below a directory of the database. */
static void find_table(const struct fixture *f, const char *folder, char out[TABLE_BYTES]) {
    DIR *directory = opendir(directory_join(&f->directory, folder));
    assert_non_null(directory);
    out[0] = '\0';
    for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
        if (strstr(entry->d_name, ".sst") != NULL)
            (void)snprintf(out, TABLE_BYTES, "%s/%s/%s", f->directory.path, folder, entry->d_name);
    (void)closedir(directory);
    assert_true(out[0] != '\0');
}

/* A crash after a file was taken in may leave its other name beside the instance: the next load
 * must not write into it. */
static void test_names_left_behind(void **state) {
    (void)state;
    static const char *const folders[] = {"log", "values"};
    struct fixture f;
    char table[TABLE_BYTES];
    make_fixture(&f, KH_OPEN_INGEST);
    f.options.retention_ms = HOUR_MS;
    reopen(&f);
    store_large(f.db, "a", 1, KH_SYNC_FULL);
    reopen(&f); /* the values are loaded, too */
    for (int i = 0; i < 2; i++) {
        find_table(&f, folders[i], table);
        for (int number = 1; number <= 2; number++) {
            char name[32];
            (void)snprintf(name, sizeof name, "%s.load%d", folders[i], number);
            const char *left = directory_join(&f.directory, name);
            assert_int_equal(link(table, left), 0); /* also while it is open */
        }
    }
    store_large(f.db, "b", 2, KH_SYNC_FULL);
    reopen(&f);
    large_is(f.db, "a", 1);
    large_is(f.db, "b", 2);
    assert_int_equal(access(directory_join(&f.directory, "values.load2"), F_OK), -1);
    kit_close(f.db);
    f.db = NULL;
    is_sound(f.directory.path, 2);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_sides_survive), cmocka_unit_test(test_ranges_that_meet),
        cmocka_unit_test(test_prepared),           cmocka_unit_test(test_history),
        cmocka_unit_test(test_backup_and_restore), cmocka_unit_test(test_names_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
