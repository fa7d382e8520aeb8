/* storage_test.c - a storage written outside of the library: brought up to date from the log, read
 * back at open and followed by what the log has more; what was overwritten goes from it, prepared
 * transactions and schemas are in it, its failures hold nothing up. */
#include "support/held_log.h"
#include "support/map_storage.h"

#include <errno.h>

struct fixture {
    struct map_storage map;
    struct held_log held;
    kh_options options;
    kh_db *db;
};

static void open_fixture(struct fixture *f) {
    map_storage_init(&f->map);
    held_log_init(&f->held, HELD_AT_ONCE);
    f->options = kit_options();
    f->options.storage = &f->map.storage;
    f->options.log = &f->held.log;
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

/* The log before the storage's position is not needed any more: it is made unreadable. */
static void spoil_log_before(struct fixture *f, kh_log_position position) {
    for (size_t i = 0; i < position && i < f->held.record_count; i++)
        memset((void *)(uintptr_t)f->held.records[i].data, 0xee, f->held.records[i].size_bytes);
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
    struct fixture f;
    open_fixture(&f);
    for (int round = 0; round < 4; round++) {
        kit_store(f.db, "k", round);
        kit_store(f.db, "gone", round);
        kit_store(f.db, "gone", KIT_ABSENT);
        put_rows(f.db, "r", round == 0 ? "1=1/1" : "2=2/2");
        kit_store(f.db, "last", round);
        kit_store(f.db, "last", KIT_ABSENT); /* leaves its timestamp behind, and nothing else */
        if (round % 2 == 1) kh_db_step(f.db);
        kh_timestamp last = kh_db_now(f.db);
        kit_close(f.db);
        /* close has brought it to the log's end; only live values are in it */
        assert_int_equal(f.map.position, f.held.record_count);
        assert_int_equal(map_storage_count(&f.map, 'V'), round == 0 ? 2 : 3);
        spoil_log_before(&f, f.map.position);
        f.db = kit_open_with(&f.options);
        assert_true(kh_db_now(f.db) == last);
        kit_load_is(f.db, "k", round);
        kit_load_is(f.db, "gone", KIT_ABSENT);
        rows_are(f.db, "r", round == 0 ? "1=1/1" : "1=1/1 2=2/2");
        kit_store(f.db, "m", round);
        assert_true(kh_db_now(f.db) > last);
    }
    close_fixture(&f);
}

/* The storage is behind: what the log has more is replayed, and written to it. */
static void test_log_goes_on_where_the_storage_ends(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f);
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
    kit_store(f.db, "n", 3);
    reopen(&f);
    kit_load_is(f.db, "k", 2);
    kit_load_is(f.db, "m", 2);
    kit_load_is(f.db, "n", 3);
    close_fixture(&f);
}

/* Not before the log has kept it, and in one step. */
static void test_only_what_is_kept(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f);
    kit_store(f.db, "k", 1);
    kh_db_step(f.db);
    assert_int_equal(map_storage_count(&f.map, 'V'), 1);
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    kit_put(txn, "a", 1);
    kit_put(txn, "b", 2);
    kit_delete(txn, "k");
    kit_commit_ok(txn);
    uint64_t applies = f.map.applies;
    kh_db_step(f.db);
    assert_int_equal(f.map.applies, applies + 1);
    assert_int_equal(map_storage_count(&f.map, 'V'), 2);
    kh_db_step(f.db); /* nothing new, nothing written */
    assert_int_equal(f.map.applies, applies + 1);
    close_fixture(&f);
}

/* What an open snapshot reads stays until it ends. */
static void test_snapshots_hold_versions(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f);
    kit_store(f.db, "k", 1);
    kit_store(f.db, "gone", 1);
    kh_txn *reader =
        kit_begin_with(f.db, KH_REPEATABLE_READ, KH_DEFAULT_POLICY, KH_BEGIN_READ_ONLY);
    kit_store(f.db, "k", 2);
    kit_store(f.db, "gone", KIT_ABSENT);
    kh_db_step(f.db);
    assert_int_equal(map_storage_count(&f.map, 'V'), 4);
    kit_get_is(reader, "k", 1);
    kit_rollback(reader);
    kh_db_step(f.db);
    assert_int_equal(map_storage_count(&f.map, 'V'), 1);
    reopen(&f);
    kit_load_is(f.db, "k", 2);
    kit_load_is(f.db, "gone", KIT_ABSENT);
    close_fixture(&f);
}

static int (*whole_apply)(void *context, const kh_mutation *mutations, size_t count,
                          kh_log_position position);
static int applies_left;

static int apply_some(void *context, const kh_mutation *mutations, size_t count,
                      kh_log_position position) {
    return applies_left-- > 0 ? whole_apply(context, mutations, count, position) : EIO;
}

/* What lies under a deletion goes before the deletion does, wherever a crash comes between: a
 * reader kept both, and what came later could be swept at once. */
static void test_deleted_stays_deleted(void **state) {
    (void)state;
    for (int applies = 0; applies < 8; applies++) {
        struct fixture f;
        open_fixture(&f);
        kit_store(f.db, "k", 1);
        kh_db_step(f.db);
        kh_txn *reader = kit_begin(f.db, KH_REPEATABLE_READ);
        kit_get_is(reader, "k", 1);
        kit_store(f.db, "k", KIT_ABSENT);
        kh_db_step(f.db);
        kit_rollback(reader);
        whole_apply = f.map.storage.apply;
        f.map.storage.apply = apply_some;
        applies_left = applies;
        kit_store(f.db, "k", 2);
        kit_store(f.db, "k", KIT_ABSENT);
        kit_close(f.db);
        f.map.storage.apply = whole_apply;
        f.db = kit_open_with(&f.options);
        kit_load_is(f.db, "k", KIT_ABSENT);
        close_fixture(&f);
    }
}

/* Prepared before the storage's position, decided before it, behind it, or not at all. */
static void test_prepared(void **state) {
    (void)state;
    for (int decided = 0; decided < 6; decided++) {
        struct fixture f;
        open_fixture(&f);
        kit_store(f.db, "k", 1);
        kh_txn *reader = NULL;
        if (decided >= 3) reader = kit_begin_with(f.db, KH_REPEATABLE_READ, KH_DEFAULT_POLICY, 1);
        kh_txn *txn = kit_begin(f.db, KH_SERIALIZABLE);
        kit_put(txn, "k", 2);
        kh_txn_id id = kh_txn_get_id(txn);
        kit_is(kh_txn_prepare(txn, NULL), KH_OK);
        kh_txn_close(txn);
        kh_db_step(f.db);
        assert_int_equal(map_storage_count(&f.map, 'P'), 1);
        if (decided % 3 == 1) kit_is(kh_db_decide(f.db, id, true, NULL, NULL), KH_OK);
        if (decided % 3 == 2) kit_is(kh_db_decide(f.db, id, false, NULL, NULL), KH_OK);
        kh_db_step(f.db);
        assert_int_equal(map_storage_count(&f.map, 'P'), decided % 3 == 0);
        if (reader != NULL) kit_rollback(reader);
        kh_db_step(f.db);
        assert_int_equal(map_storage_count(&f.map, 'Q'), 0);
        assert_int_equal(map_storage_count(&f.map, 'V'), 1);
        kit_close(f.db);
        spoil_log_before(&f, f.map.position);
        f.db = kit_open_with(&f.options);
        kit_load_is(f.db, "k", decided % 3 == 1 ? 2 : 1);
        if (decided % 3 == 0) {
            kit_is(kh_db_decide(f.db, id, true, NULL, NULL), KH_OK);
            kit_load_is(f.db, "k", 2);
        }
        reopen(&f);
        kit_load_is(f.db, "k", decided % 3 == 2 ? 1 : 2);
        kit_store(f.db, "k", 3);
        close_fixture(&f);
    }
}

/* A storage that fails holds nothing up: the log has everything, the next round tries again. */
static void test_failures(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f);
    kit_store(f.db, "k", 1);
    f.map.apply_errno = ENOSPC;
    kh_db_step(f.db);
    kit_store(f.db, "k", 2);
    kh_db_step(f.db);
    assert_int_equal(f.map.position, 0);
    kit_close(f.db);
    f.db = kit_open_with(&f.options);
    kit_load_is(f.db, "k", 2); /* from the log */
    f.map.apply_errno = 0;
    kh_db_step(f.db);
    assert_int_equal(f.map.position, f.held.record_count);
    kit_close(f.db);
    f.map.read_errno = EIO;
    kh_db *db = NULL;
    kit_is(kh_db_open(&f.options, &db, NULL), KH_IO);
    f.map.read_errno = 0;
    f.options.log = NULL;
    kit_is(kh_db_open(&f.options, &db, NULL), KH_INVALID);
    f.options.log = &f.held.log;
    f.map.storage.version = 1;
    kit_is(kh_db_open(&f.options, &db, NULL), KH_UNSUPPORTED);
    f.map.storage.version = KH_STORAGE_VERSION;
    f.db = kit_open_with(&f.options);
    kit_load_is(f.db, "k", 2);
    close_fixture(&f);
}

/* Every bit of every value that it gives back. */
static void test_spoiled_values(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f);
    kit_store(f.db, "k", 1);
    kit_close(f.db);
    for (struct map_entry *entry = f.map.first; entry != NULL; entry = entry->next) {
        unsigned char *value = (unsigned char *)(uintptr_t)entry->value.data;
        char kind = *(const char *)entry->key.data;
        if (kind == 'M' || kind == 'O') continue; /* the storage vouches for them */
        for (size_t bit = 0; bit < 8 * entry->value.size_bytes; bit++) {
            kh_db *db = NULL;
            value[bit / 8] ^= (unsigned char)(1 << bit % 8);
            kh_status status = kh_db_open(&f.options, &db, NULL);
            assert_true(status == KH_CORRUPT || status == KH_UNSUPPORTED);
            value[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
    }
    f.db = kit_open_with(&f.options);
    kit_load_is(f.db, "k", 1);
    close_fixture(&f);
}

/* Keys come in order, or the storage is not one. */
static void test_out_of_order(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f);
    kit_store(f.db, "k", 1);
    kit_store(f.db, "m", 2);
    kit_close(f.db);
    struct map_entry *first = f.map.first;
    while (*(const char *)first->key.data != 'V') first = first->next;
    struct map_entry kept = *first;
    struct map_entry *second = first->next;
    first->key = second->key;
    first->value = second->value;
    second->key = kept.key;
    second->value = kept.value;
    kh_db *db = NULL;
    kh_error error = {""};
    kit_is(kh_db_open(&f.options, &db, &error), KH_CORRUPT);
    assert_non_null(strstr(error.message, "order"));
    second->key = first->key;
    second->value = first->value;
    first->key = kept.key;
    first->value = kept.value;
    f.db = kit_open_with(&f.options);
    kit_load_is(f.db, "k", 1);
    kit_load_is(f.db, "m", 2);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_come_back),
        cmocka_unit_test(test_log_goes_on_where_the_storage_ends),
        cmocka_unit_test(test_only_what_is_kept),
        cmocka_unit_test(test_snapshots_hold_versions),
        cmocka_unit_test(test_deleted_stays_deleted),
        cmocka_unit_test(test_prepared),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_spoiled_values),
        cmocka_unit_test(test_out_of_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
