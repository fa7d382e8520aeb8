/* storage_test.c - a storage written outside of the library holds the newest values: written in
 * commit order before readers see them, read back at open, and followed by what the log has more.
 */
#include "support/held_log.h"
#include "support/map_storage.h"

#include <errno.h>

struct fixture {
    struct map_storage map;
    struct held_log held;
    kh_options options;
    kh_db *db;
};

static void open_fixture(struct fixture *f, bool has_log) {
    map_storage_init(&f->map);
    held_log_init(&f->held, HELD_AT_ONCE);
    f->options = kit_options();
    f->options.storage = &f->map.storage;
    f->options.log = has_log ? &f->held.log : NULL;
    f->db = kit_open_with(&f->options);
}

static void close_fixture(struct fixture *f) {
    kit_close(f->db);
    assert_true(f->map.closes >= 1);
    map_storage_fini(&f->map);
    held_log_fini(&f->held);
}

static void reopen(struct fixture *f) {
    kit_close(f->db);
    f->db = kit_open_with(&f->options);
}

static void put_rows(kh_db *db, const char *key, const char *text) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *rows = kit_rows(NULL, text);
    kit_is(kh_txn_upsert_rows(txn, kit_key(key), rows, NULL), KH_OK);
    kit_commit_ok(txn);
    kh_batch_release(rows);
}

static void rows_are(kh_db *db, const char *key, const char *expected) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *rows = NULL;
    char text[KIT_TEXT_BYTES];
    kit_is(kh_txn_get(txn, kit_key(key), &rows, NULL), KH_OK);
    kit_text(rows, text);
    kh_batch_release(rows);
    kit_rollback(txn);
    assert_string_equal(text, expected);
}

static void test_values_come_back(void **state) {
    (void)state;
    for (int has_log = 0; has_log < 2; has_log++) {
        struct fixture f;
        open_fixture(&f, has_log);
        for (int round = 0; round < 3; round++) {
            kit_store(f.db, "k", round);
            kit_store(f.db, "gone", round);
            kit_store(f.db, "gone", KIT_ABSENT);
            put_rows(f.db, "r", round == 0 ? "1=1/1" : "2=2/2");
            assert_int_equal(f.map.entry_count, 2);
            kh_timestamp last = kh_db_now(f.db);
            reopen(&f);
            kit_load_is(f.db, "k", round);
            kit_load_is(f.db, "gone", KIT_ABSENT);
            rows_are(f.db, "r", round == 0 ? "1=1/1" : "1=1/1 2=2/2");
            kit_store(f.db, "m", round);
            assert_true(has_log == 0 || kh_db_now(f.db) > last);
            kit_store(f.db, "m", KIT_ABSENT);
        }
        close_fixture(&f);
    }
}

/* The storage is behind: what the log has more is replayed, and written to it. */
static void test_log_goes_on_where_the_storage_ends(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, true);
    kit_store(f.db, "k", 1);
    kit_close(f.db);
    f.options.storage = NULL;
    f.db = kit_open_with(&f.options); /* the log alone */
    kit_store(f.db, "k", 2);
    kit_store(f.db, "m", 2);
    kit_close(f.db);
    f.options.storage = &f.map.storage;
    f.db = kit_open_with(&f.options);
    kit_load_is(f.db, "k", 2);
    kit_load_is(f.db, "m", 2);
    kit_store(f.db, "n", 3); /* moves the storage's position over what was replayed */
    reopen(&f);
    kit_load_is(f.db, "k", 2);
    kit_load_is(f.db, "m", 2);
    kit_load_is(f.db, "n", 3);
    close_fixture(&f);
}

/* One transaction, one call; before it shows. */
static void test_atomic_and_in_order(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, true);
    kit_store(f.db, "k", 1);
    uint64_t applies = f.map.applies;
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    kit_put(txn, "a", 1);
    kit_put(txn, "b", 2);
    kit_delete(txn, "k");
    f.held.mode = HELD_UNTIL_TOLD;
    kit_is(kh_txn_commit_start(txn, NULL), KH_OK);
    assert_int_equal(f.map.applies, applies); /* not before the log has kept it */
    held_log_answer(&f.held, UINT64_MAX, KH_LOG_KEPT);
    assert_int_equal(f.map.applies, applies + 1);
    assert_int_equal(f.map.entry_count, 2);
    kh_txn_close(txn);
    f.held.mode = HELD_AT_ONCE;
    close_fixture(&f);
}

static void test_failures(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, true);
    kit_store(f.db, "k", 1);
    f.map.apply_errno = ENOSPC;
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    kit_put(txn, "k", 2);
    kh_status status = kit_commit(txn);
    assert_int_not_equal(kh_status_classify(status), KH_CLASS_RETRY); /* the log has it */
    f.map.apply_errno = 0;
    txn = kit_begin(f.db, KH_REPEATABLE_READ);
    kit_put(txn, "m", 1);
    kit_is(kit_commit(txn), KH_POISONED);
    kit_close(f.db);
    f.map.read_errno = EIO;
    kh_db *db = NULL;
    kit_is(kh_db_open(&f.options, &db, NULL), KH_IO);
    f.map.read_errno = 0;
    f.db = kit_open_with(&f.options);
    kit_load_is(f.db, "k", 2); /* from the log */
    kit_load_is(f.db, "m", KIT_ABSENT);
    close_fixture(&f);
}

static void test_spoiled_values(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, false);
    kit_store(f.db, "k", 1);
    kit_close(f.db);
    unsigned char *value = (unsigned char *)f.map.first->value.data;
    size_t size = f.map.first->value.size_bytes;
    for (size_t at = 0; at < size; at++) {
        kh_db *db = NULL;
        value[at] ^= 0x41;
        kh_status status = kh_db_open(&f.options, &db, NULL);
        if (status == KH_OK) {
            kit_close(db); /* a changed number is a number */
        } else {
            assert_int_equal(kh_status_classify(status), KH_CLASS_STOP);
        }
        value[at] ^= 0x41;
    }
    f.db = kit_open_with(&f.options);
    kit_load_is(f.db, "k", 1);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_come_back),
        cmocka_unit_test(test_log_goes_on_where_the_storage_ends),
        cmocka_unit_test(test_atomic_and_in_order),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_spoiled_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
