/* leftovers_test.c - what transactions leave when they have ended: no snapshot while their handle
 * is still open, no version that nobody can read, no key that never got one. */
#include "support/kit.h"

static kh_stats stats_of(kh_db *db) {
    kh_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    return stats;
}

enum end { COMMITTED, READ_ONLY, REFUSED, ROLLED_BACK, CANCELLED, DROPPED, ENDS };

/* The handle stays open. */
static kh_txn *end(kh_db *db, kh_isolation isolation, enum end how) {
    kh_policy policy = how == DROPPED ? KH_IGNORE : KH_FAIL;
    kh_txn *txn = kit_begin_with(db, isolation, policy, 0);
    if (how == READ_ONLY || how == CANCELLED) {
        (void)kit_get(txn, "k");
    } else {
        kit_put(txn, "k", 5);
    }
    if (how == REFUSED || how == DROPPED) kit_store(db, "k", 6);
    kh_status expected = how == REFUSED ? KH_CONFLICT : KH_OK;
    if (how == ROLLED_BACK) {
        kit_is(kh_txn_rollback(txn), KH_OK);
    } else if (how == CANCELLED) {
        kit_is(kh_db_cancel(db, kh_txn_get_id(txn), NULL), KH_OK);
    } else {
        kit_is(kh_txn_commit(txn, NULL, NULL), expected);
    }
    return txn;
}

static void test_no_snapshot_is_left(void **state) {
    (void)state;
    for (int level = 1; level < 3; level++) {
        for (int how = 0; how < ENDS; how++) {
            kh_db *db = kit_open();
            kit_store(db, "k", 1);
            kh_txn *open = end(db, kit_levels[level], (enum end)how);
            assert_int_equal(stats_of(db).snapshots, 0);
            for (int i = 0; i < 10; i++) kit_store(db, "k", i);
            kh_db_step(db);
            assert_int_equal(stats_of(db).versions_live, 1);
            kh_txn_close(open);
            kit_close(db);
        }
    }
}

/* At read committed two timestamps are registered: both go. */
static void test_no_base_is_left(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kit_store(db, "k", 1);
    for (int is_commit = 0; is_commit < 2; is_commit++) {
        kh_txn *txn = kit_begin(db, KH_READ_COMMITTED);
        (void)kit_get(txn, "k");
        kit_store(db, "k", 2);
        (void)kit_get(txn, "k");
        kit_put(txn, "l", 1);
        if (is_commit) {
            kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
        } else {
            kit_is(kh_txn_rollback(txn), KH_OK);
        }
        for (int i = 0; i < 10; i++) kit_store(db, "k", i);
        kh_db_step(db);
        assert_int_equal(stats_of(db).versions_live, is_commit ? 2 : 1);
        kh_txn_close(txn);
    }
    kit_close(db);
}

/* A commit that is refused has made entries for its new keys: they go. */
static void test_refused_keys_leave_no_entry(void **state) {
    (void)state;
    enum { ROUNDS = 2000 };
    kh_db *db = kit_open();
    char key[64];
    kit_store(db, "k", 0);
    uint64_t before = stats_of(db).index_bytes;
    for (int i = 0; i < ROUNDS; i++) {
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        (void)snprintf(key, sizeof key, "a-key-that-never-comes-to-be-%d", i);
        kit_put(txn, key, i);
        kit_put(txn, "k", i);
        kit_store(db, "k", i);
        kit_is(kit_commit(txn), KH_CONFLICT);
    }
    kh_db_step(db);
    kh_stats stats = stats_of(db);
    assert_int_equal(stats.keys, 1);
    assert_int_equal(stats.versions_live, 1);
    assert_true(stats.index_bytes < before + 16384);
    kit_close(db);
}

/* Nor do deleted ones. */
static void test_deleted_keys_leave_no_entry(void **state) {
    (void)state;
    enum { KEYS = 2000 };
    kh_options options = kit_options();
    options.timeout_ms = 600 * 1000; /* of the reader, beside as many syncs of a busy disk */
    kh_db *db = kit_open_with(&options);
    char key[64];
    uint64_t before = stats_of(db).index_bytes;
    kh_txn *reader = kit_begin(db, KH_REPEATABLE_READ);
    for (int is_delete = 0; is_delete < 2; is_delete++) {
        for (int i = 0; i < KEYS; i++) {
            (void)snprintf(key, sizeof key, "a-key-that-goes-again-%d", i);
            kit_store(db, key, is_delete ? KIT_ABSENT : i);
        }
    }
    kit_commit_ok(reader);
    for (int i = 0; i < 4; i++) kh_db_step(db);
    kh_stats stats = stats_of(db);
    assert_int_equal(stats.keys, 0);
    assert_int_equal(stats.versions_live, 0);
    assert_true(stats.index_bytes < before + 16384);
    kit_close(db);
}

/* A value that a policy dropped is freed, beside one that was written. */
static void test_dropped_values_are_freed(void **state) {
    (void)state;
    struct kit_memory memory = {0};
    kh_options options = kit_options();
    options.allocator = kit_memory_hook(&memory);
    kh_db *db = kit_open_with(&options);
    kit_store(db, "k", 1);
    for (int is_alone = 0; is_alone < 2; is_alone++) {
        kh_txn *txn = kit_begin_with(db, KH_REPEATABLE_READ, KH_IGNORE, 0);
        kit_put(txn, "k", 5);
        if (!is_alone) kit_put(txn, "l", 5);
        kit_delete(txn, "m");
        kit_store(db, "k", 6);
        kit_store(db, "m", 6);
        kit_commit_ok(txn);
        kit_load_is(db, "k", 6);
        kit_load_is(db, "m", 6);
    }
    kit_close(db);
    assert_int_equal(memory.live_blocks, 0);
}

/* Values that only the transaction holds (what own row operations make of a key, what was lent when
 * it was stopped) go with it. */
static void test_held_values_are_freed(void **state) {
    (void)state;
    struct kit_memory memory = {0};
    kh_options options = kit_options();
    options.allocator = kit_memory_hook(&memory);
    kh_db *db = kit_open_with(&options);
    kh_batch *rows = kit_rows(db, "1=10/100");
    for (int i = 0; i < 3; i++) {
        const kh_batch *lent = NULL;
        kh_txn *txn = kit_begin(db, kit_levels[i]);
        kit_is(kh_txn_upsert_rows(txn, kit_key("r"), rows, NULL), KH_OK);
        kit_is(kh_txn_peek(txn, kit_key("r"), &lent, NULL), KH_OK);
        kit_is(kh_txn_peek(txn, kit_key("r"), &lent, NULL), KH_OK);
        assert_int_equal(kh_batch_row_count(lent), 1);
        kit_commit_ok(txn);
        kh_txn *stopped = kit_begin(db, kit_levels[i]);
        kit_is(kh_txn_peek(stopped, kit_key("r"), &lent, NULL), KH_OK);
        kit_is(kh_db_cancel(db, kh_txn_get_id(stopped), NULL), KH_OK);
        kit_store(db, "r", i);
        assert_int_equal(kh_batch_row_count(lent), 1);
        kh_txn_close(stopped);
        kit_store(db, "r", KIT_ABSENT);
    }
    kh_batch_release(rows);
    kit_close(db);
    assert_int_equal(memory.live_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_snapshot_is_left),
        cmocka_unit_test(test_no_base_is_left),
        cmocka_unit_test(test_refused_keys_leave_no_entry),
        cmocka_unit_test(test_deleted_keys_leave_no_entry),
        cmocka_unit_test(test_dropped_values_are_freed),
        cmocka_unit_test(test_held_values_are_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
