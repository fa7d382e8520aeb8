/* own_writes_test.c - a transaction and what it has written: many keys, keys written again, compare
 * and swap, ranges kept for later, timestamps that rise whatever the clock does. */
#include "support/kit.h"

/* Beyond what is searched key by key: every write is found, and can be overwritten and undone. */
static void test_many_keys(void **state) {
    (void)state;
    enum { KEYS = 3000 };
    kh_db *db = kit_open();
    char key[32];
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < KEYS; i++) {
            (void)snprintf(key, sizeof key, "%d-key", i * 7919);
            kit_put(txn, key, i + round);
        }
        for (int i = 0; i < KEYS; i++) {
            (void)snprintf(key, sizeof key, "%d-key", i * 7919);
            kit_get_is(txn, key, i + round);
        }
    }
    kit_get_is(txn, "none", KIT_ABSENT);
    kit_commit_ok(txn);
    for (int i = 0; i < KEYS; i += 100) {
        (void)snprintf(key, sizeof key, "%d-key", i * 7919);
        kit_load_is(db, key, i + 2);
    }
    kit_close(db);
}

/* The value is the database's, so that its allocator counts it. */
static void put(kh_db *db, kh_txn *txn, const char *key, int64_t number) {
    kh_batch *value = kit_number(db, number);
    kit_is(kh_txn_put(txn, kit_key(key), value, NULL), KH_OK);
    kh_batch_release(value);
}

/* A value written over before the commit is freed, with savepoints and without. */
static void test_overwritten_values_are_freed(void **state) {
    (void)state;
    struct kit_memory memory = {0};
    kh_options options = kit_options();
    options.allocator = kit_memory_hook(&memory);
    kh_db *db = kit_open_with(&options);
    kh_batch *rows = kit_rows(db, "1=10/100");
    for (int i = 0; i < 8; i++) {
        uint32_t savepoint = 0;
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        put(db, txn, "k", 1);
        if (i & 1) kit_is(kh_txn_savepoint(txn, &savepoint, NULL), KH_OK);
        put(db, txn, "k", 2);
        kit_delete(txn, "k");
        kit_is(kh_txn_upsert_rows(txn, kit_key("r"), rows, NULL), KH_OK);
        kit_is(kh_txn_upsert_rows(txn, kit_key("r"), rows, NULL), KH_OK);
        put(db, txn, "r", 2);
        if ((i & 3) == 3) kit_is(kh_txn_rollback_to(txn, savepoint, NULL), KH_OK);
        put(db, txn, "k", 3);
        if (i & 4) {
            kit_commit_ok(txn);
        } else {
            kit_rollback(txn);
        }
        kit_store(db, "r", KIT_ABSENT);
    }
    kh_batch_release(rows);
    kit_close(db);
    assert_int_equal(memory.live_blocks, 0);
}

/* The limit on bytes is one that can be reached. */
static void test_bytes_to_the_last(void **state) {
    (void)state;
    kh_options options = kit_options();
    kh_batch *value = kit_number(NULL, 1);
    uint64_t size_bytes = kh_batch_size_bytes(value);
    for (int i = -1; i <= 1; i++) {
        options.limits.txn_bytes = 3 * size_bytes + (uint64_t)i;
        kh_db *db = kit_open_with(&options);
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        kit_is(kh_txn_put(txn, kit_key("a"), value, NULL), KH_OK);
        kit_is(kh_txn_put(txn, kit_key("b"), value, NULL), KH_OK);
        kit_is(kh_txn_put(txn, kit_key("c"), value, NULL), i < 0 ? KH_TOO_BIG : KH_OK);
        kit_is(kh_txn_put(txn, kit_key("d"), value, NULL), KH_TOO_BIG);
        kit_commit_ok(txn);
        kit_close(db);
    }
    kh_batch_release(value);
}

/* Rows for one key too many are refused like a put, and leave nothing. */
static void test_one_key_too_many(void **state) {
    (void)state;
    kh_options options = kit_options();
    options.limits.txn_writes = 2;
    kh_db *db = kit_open_with(&options);
    kh_batch *rows = kit_rows(db, "1=10/100");
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_put(txn, "a", 1);
    kit_is(kh_txn_upsert_rows(txn, kit_key("b"), rows, NULL), KH_OK);
    kit_is(kh_txn_upsert_rows(txn, kit_key("b"), rows, NULL), KH_OK);
    kit_is(kh_txn_upsert_rows(txn, kit_key("c"), rows, NULL), KH_TOO_BIG);
    kit_is(kh_txn_put(txn, kit_key("c"), rows, NULL), KH_TOO_BIG);
    kit_get_is(txn, "c", KIT_ABSENT);
    kit_commit_ok(txn);
    kit_load_is(db, "c", KIT_ABSENT);
    kh_batch_release(rows);
    kit_close(db);
}

/* Without memory for the copy that a savepoint needs, a row operation changes nothing; with it, all
 * can be undone. */
static void rows_under_savepoint(kh_db *db, struct kit_memory *memory, kh_batch *rows[2],
                                 int before, uint64_t fail_at) {
    const kh_batch *value = NULL;
    uint32_t savepoint = 0;
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    for (int i = 0; i < before; i++)
        kit_is(kh_txn_upsert_rows(txn, kit_key("r"), rows[0], NULL), KH_OK);
    kit_is(kh_txn_savepoint(txn, &savepoint, NULL), KH_OK);
    memory->fail_at = memory->calls + fail_at;
    kh_status status = kh_txn_upsert_rows(txn, kit_key("r"), rows[1], NULL);
    memory->fail_at = 0;
    assert_true(status == KH_OK || status == KH_NO_MEMORY);
    kit_is(kh_txn_peek(txn, kit_key("r"), &value, NULL), KH_OK);
    assert_int_equal(kh_batch_row_count(value), status == KH_OK ? 2 : 1);
    kit_is(kh_txn_rollback_to(txn, savepoint, NULL), KH_OK);
    kit_is(kh_txn_peek(txn, kit_key("r"), &value, NULL), KH_OK);
    assert_int_equal(kh_batch_row_count(value), 1);
    kit_rollback(txn);
}

static void test_rows_without_memory(void **state) {
    (void)state;
    struct kit_memory memory = {0};
    kh_options options = kit_options();
    options.allocator = kit_memory_hook(&memory);
    kh_db *db = kit_open_with(&options);
    kh_batch *rows[2] = {kit_rows(db, "1=10/100"), kit_rows(db, "2=20/200")};
    /* As many before that for some of them the copy needs a new block. */
    for (int before = 1; before < 600; before += 7)
        for (uint64_t fail_at = 1; fail_at < 4; fail_at++)
            rows_under_savepoint(db, &memory, rows, before, fail_at);
    kh_batch_release(rows[0]);
    kh_batch_release(rows[1]);
    kit_close(db);
    assert_int_equal(memory.live_blocks, 0);
}

/* ---- compare and swap ------------------------------------------------------------------------ */

/* KIT_ABSENT for none. */
static kh_status swap(kh_txn *txn, const char *key, int64_t expected, int64_t value) {
    kh_batch *before = expected == KIT_ABSENT ? NULL : kit_number(NULL, expected);
    kh_batch *after = value == KIT_ABSENT ? NULL : kit_number(NULL, value);
    kh_status status = kh_txn_compare_and_swap(txn, kit_key(key), before, after, NULL);
    kh_batch_release(before);
    kh_batch_release(after);
    return status;
}

static void test_swap(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kit_store(db, "k", 1);
    for (int i = 0; i < 3; i++) {
        kh_txn *txn = kit_begin(db, kit_levels[i]);
        kit_is(swap(txn, "k", 2, 3), KH_MISMATCH);
        kit_is(swap(txn, "k", KIT_ABSENT, 3), KH_MISMATCH);
        kit_is(swap(txn, "none", 1, 3), KH_MISMATCH);
        kit_get_is(txn, "k", 1);
        kit_is(swap(txn, "k", 1, 5), KH_OK);
        kit_is(swap(txn, "k", 1, 6), KH_MISMATCH); /* its own write is what is there */
        kit_is(swap(txn, "k", 5, KIT_ABSENT), KH_OK);
        kit_is(swap(txn, "k", 5, 6), KH_MISMATCH);
        kit_is(swap(txn, "k", KIT_ABSENT, 1), KH_OK);
        kit_is(swap(txn, "none", KIT_ABSENT, KIT_ABSENT), KH_OK);
        kit_commit_ok(txn);
        kit_load_is(db, "k", 1);
        kit_load_is(db, "none", KIT_ABSENT);
    }
    kit_close(db);
}

/* What was compared was read, whatever came of it: two that compare what the other swaps. */
static void test_swap_reads(void **state) {
    (void)state;
    kh_db *db = kit_open();
    for (int is_mismatch = 0; is_mismatch < 2; is_mismatch++) {
        kit_store(db, "a", 1);
        kit_store(db, "b", 1);
        kh_txn *t1 = kit_begin(db, KH_SERIALIZABLE);
        kh_txn *t2 = kit_begin(db, KH_SERIALIZABLE);
        kit_is(swap(t1, "a", is_mismatch ? 2 : 1, 1), is_mismatch ? KH_MISMATCH : KH_OK);
        kit_is(swap(t2, "b", 2, 1), KH_MISMATCH);
        kit_put(t1, "b", 2);
        if (is_mismatch) kit_put(t2, "a", 2);
        kit_put(t2, "c", 2);
        kit_commit_ok(t1);
        kit_is(kit_commit(t2), is_mismatch ? KH_NOT_SERIALIZABLE : KH_OK);
    }
    /* At read committed it is a read, too: a rival after it is a conflict. */
    kit_store(db, "a", 1);
    kh_txn *txn = kit_begin(db, KH_READ_COMMITTED);
    kit_is(swap(txn, "a", 1, 2), KH_OK);
    kit_store(db, "a", 3);
    kit_is(kit_commit(txn), KH_CONFLICT);
    kit_load_is(db, "a", 3);
    kit_close(db);
}

/* ---- several ranges, one after the other ------------------------------------------------------
 */

/* Each of the ranges that a committed transaction has read is kept for those it overlapped. */
static void test_every_range_is_kept(void **state) {
    (void)state;
    static const char *const hits[] = {"f1", "m", "p1", "zz"};
    for (int i = 0; i < 4; i++) {
        kh_db *db = kit_open();
        char text[KIT_TEXT_BYTES];
        kit_store(db, "y", 1);
        kh_txn *before = kit_begin(db, KH_SERIALIZABLE);
        kit_get_is(before, "y", 1);
        kit_store(db, "y", 2); /* before comes before this, and this before reader */
        kh_txn *reader = kit_begin(db, KH_SERIALIZABLE);
        kh_scan_options ranges[] = {kit_range("f", "g", 0, 0), kit_range("p", "q", 0, 0),
                                    kit_range("z", NULL, 0, KH_SCAN_REVERSE)};
        kit_scan(reader, &ranges[0], text);
        kit_get_is(reader, "m", KIT_ABSENT);
        kit_scan(reader, &ranges[1], text);
        kit_scan(reader, &ranges[2], text);
        kit_put(reader, "x", 1);
        kit_commit_ok(reader);
        kit_put(before, hits[i], 1); /* and reader did not see this, and so is before it */
        kit_is(kit_commit(before), KH_NOT_SERIALIZABLE);
        kit_close(db);
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

static void test_timestamps_rise(void **state) {
    (void)state;
    static const int64_t steps_ms[] = {0, 1, -1, 3600000, -7200000, 0, 0, 5, -1000000000};
    struct kit_clock hands = {1700000000000u, 1000000000u, 0};
    kh_options options = kit_options();
    options.clock = kit_clock_hook(&hands);
    kh_db *db = kit_open_with(&options);
    kh_timestamp last = 0;
    for (int i = 0; i < 90; i++) {
        kh_timestamp now = 0;
        hands.wall_ms += (uint64_t)steps_ms[i % 9];
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        kit_put(txn, i % 2 == 0 ? "k" : "l", i);
        kit_is(kh_txn_commit(txn, &now, NULL), KH_OK);
        kh_txn_close(txn);
        assert_true(now > last);
        last = now;
    }
    kit_close(db);
}

/* While the clock stands commits follow one another tick by tick: the next one is not seen. */
static void test_the_next_tick_is_not_seen(void **state) {
    (void)state;
    struct kit_clock hands = {1700000000000u, 1000000000u, 0};
    kh_options options = kit_options();
    options.clock = kit_clock_hook(&hands);
    kh_db *db = kit_open_with(&options);
    kit_store(db, "k", 0);
    for (int i = 0; i < 12; i++) {
        kh_scan_options range = kit_range("a", "z", 0, i % 2 == 0 ? 0 : KH_SCAN_REVERSE);
        kh_txn *reader = kit_begin(db, kit_levels[1 + i % 2]);
        char expected[32];
        (void)snprintf(expected, sizeof expected, "k=%d", i);
        kit_store(db, "k", i + 1);
        assert_true(kh_db_now(db) == kh_txn_snapshot(reader) + 1);
        kit_get_is(reader, "k", i);
        kit_scan_is(reader, &range, expected);
        kit_commit_ok(reader);
    }
    kit_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_overwritten_values_are_freed),
        cmocka_unit_test(test_bytes_to_the_last),
        cmocka_unit_test(test_one_key_too_many),
        cmocka_unit_test(test_rows_without_memory),
        cmocka_unit_test(test_swap),
        cmocka_unit_test(test_swap_reads),
        cmocka_unit_test(test_every_range_is_kept),
        cmocka_unit_test(test_timestamps_rise),
        cmocka_unit_test(test_the_next_tick_is_not_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
