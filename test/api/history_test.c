/* history_test.c - reading as of a past timestamp and a key's versions, with and without
 * retention, by a clock that the test moves. */
#include "support/kit.h"

static struct kit_clock hands;

static kh_db *open_keeping(uint64_t retention_ms) {
    kh_options options = kit_options();
    hands = (struct kit_clock){1700000000000u, 1000000000u, 0};
    options.clock = kit_clock_hook(&hands);
    options.retention_ms = retention_ms;
    return kit_open_with(&options);
}

/* Versions 0 to 9 of "k", 10 ms apart; "gone" is deleted at the fifth. */
static void write_versions(kh_db *db, kh_timestamp stamps[10]) {
    for (int i = 0; i < 10; i++) {
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        kit_put(txn, "k", i);
        if (i < 5) {
            kit_put(txn, "gone", i);
        } else if (i == 5) {
            kit_delete(txn, "gone");
        }
        kit_is(kh_txn_commit(txn, &stamps[i], NULL), KH_OK);
        kh_txn_close(txn);
        kit_clock_advance(&hands, 10);
    }
}

static void test_reading_the_past(void **state) {
    (void)state;
    kh_timestamp stamps[10];
    kh_db *db = open_keeping(1000);
    write_versions(db, stamps);
    kh_db_step(db);
    for (int i = 0; i < 10; i++) {
        kh_txn *txn = NULL;
        kit_is(kh_txn_begin_at(db, stamps[i], &txn, NULL), KH_OK);
        assert_true(kh_txn_snapshot(txn) == stamps[i]);
        kit_get_is(txn, "k", i);
        kit_get_is(txn, "gone", i < 5 ? i : KIT_ABSENT);
        kh_batch *number = kit_number(NULL, 1);
        kit_is(kh_txn_put(txn, kit_key("k"), number, NULL), KH_READ_ONLY);
        kh_batch_release(number);
        kit_commit_ok(txn);
        kit_is(kh_txn_begin_at(db, stamps[i] - 1, &txn, NULL), KH_OK);
        kit_get_is(txn, "k", i == 0 ? KIT_ABSENT : i - 1);
        kit_commit_ok(txn);
    }
    kh_txn *txn = NULL;
    kit_is(kh_txn_begin_at(db, KH_TIMESTAMP_OF_MS(hands.wall_ms + 1), &txn, NULL), KH_INVALID);
    kit_close(db);
}

static void test_horizon_moves(void **state) {
    (void)state;
    kh_timestamp stamps[10];
    kh_db *db = open_keeping(35);
    kh_txn *txn = NULL;
    write_versions(db, stamps);
    kh_db_step(db);
    kh_timestamp horizon = kh_db_horizon(db);
    assert_true(KH_MS_OF_TIMESTAMP(horizon) <= hands.wall_ms - 35);
    assert_true(horizon > stamps[0]);
    kit_is(kh_txn_begin_at(db, stamps[0], &txn, NULL), KH_TOO_OLD);
    kit_is(kh_txn_begin_at(db, horizon - 1, &txn, NULL), KH_TOO_OLD);
    kit_is(kh_txn_begin_at(db, stamps[7], &txn, NULL), KH_OK);
    kit_clock_advance(&hands, 100000);
    kit_store(db, "k", 100);
    kh_db_step(db);
    kit_get_is(txn, "k", 7); /* registered: held beyond the retention */
    kh_txn *other = NULL;
    kit_is(kh_txn_begin_at(db, stamps[7], &other, NULL), KH_TOO_OLD);
    kit_rollback(txn);
    kit_close(db);
}

static void test_no_retention(void **state) {
    (void)state;
    kh_timestamp stamps[10];
    kh_db *db = open_keeping(0);
    kh_txn *txn = NULL;
    write_versions(db, stamps);
    kh_db_step(db);
    kit_is(kh_txn_begin_at(db, kh_db_now(db), &txn, NULL), KH_OK); /* the present is always there */
    kit_get_is(txn, "k", 9);
    kit_rollback(txn);
    kit_is(kh_txn_begin_at(db, stamps[0], &txn, NULL), KH_TOO_OLD);
    kit_close(db);
}

static void test_retention_by_bytes(void **state) {
    (void)state;
    kh_options options = kit_options();
    hands = (struct kit_clock){1700000000000u, 1000000000u, 0};
    options.clock = kit_clock_hook(&hands);
    options.retention_ms = 1000000;
    options.retention_bytes = 20000;
    kh_db *db = kit_open_with(&options);
    for (int i = 0; i < 2000; i++) {
        kit_store(db, "k", i);
        kit_clock_advance(&hands, 1);
        if (i % 100 == 99) {
            kh_db_step(db);
        }
    }
    kh_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    assert_true(stats.versions_live < 1000); /* 2,000 would be kept by time alone */
    assert_true(stats.versions_reclaimed > 1000);
    kit_load_is(db, "k", 1999);
    kit_close(db);
}

/* ---- a key's versions ------------------------------------------------------------------------ */

struct listing {
    kh_db *db;
    int count;
    int stop_after;
    kh_timestamp stamps[16];
    int64_t numbers[16];
};

static bool list_version(void *context, const kh_version_entry *version) {
    struct listing *listing = context;
    listing->stamps[listing->count] = version->timestamp;
    listing->numbers[listing->count] = kit_number_of(version->value);
    listing->count++;
    (void)kit_load(listing->db, "k"); /* it may use the database */
    return listing->count != listing->stop_after;
}

static void test_versions_of_a_key(void **state) {
    (void)state;
    kh_timestamp stamps[10];
    kh_db *db = open_keeping(1000);
    bool is_complete = false;
    write_versions(db, stamps);
    struct listing all = {.db = db};
    kit_is(kh_db_history(db, kit_key("k"), 0, UINT64_MAX, list_version, &all, &is_complete, NULL),
           KH_OK);
    assert_int_equal(all.count, 10);
    for (int i = 0; i < 10; i++) {
        assert_true(all.stamps[i] == stamps[9 - i]);
        assert_int_equal(all.numbers[i], 9 - i);
    }
    struct listing some = {.db = db};
    kit_is(kh_db_history(db, kit_key("k"), stamps[3], stamps[6], list_version, &some, &is_complete,
                         NULL),
           KH_OK);
    assert_int_equal(some.count, 4);
    assert_true(is_complete);
    struct listing first = {.db = db, .stop_after = 1};
    kit_is(kh_db_history(db, kit_key("k"), 0, UINT64_MAX, list_version, &first, NULL, NULL), KH_OK);
    assert_int_equal(first.count, 1);
    struct listing gone = {.db = db};
    kit_is(kh_db_history(db, kit_key("gone"), 0, UINT64_MAX, list_version, &gone, NULL, NULL),
           KH_OK);
    assert_int_equal(gone.count, 6);
    assert_int_equal(gone.numbers[0], KIT_ABSENT); /* the deletion is a version */
    struct listing none = {.db = db};
    kit_is(kh_db_history(db, kit_key("never"), 0, UINT64_MAX, list_version, &none, NULL, NULL),
           KH_OK);
    assert_int_equal(none.count, 0);
    kit_close(db);
}

static void test_history_says_where_it_is_incomplete(void **state) {
    (void)state;
    kh_timestamp stamps[10];
    kh_db *db = open_keeping(35);
    bool is_complete = true;
    write_versions(db, stamps);
    kh_db_step(db);
    struct listing all = {.db = db};
    kit_is(kh_db_history(db, kit_key("k"), 0, UINT64_MAX, list_version, &all, &is_complete, NULL),
           KH_OK);
    assert_false(is_complete);
    assert_true(all.count >= 3 && all.count < 10);
    struct listing recent = {.db = db};
    kit_is(kh_db_history(db, kit_key("k"), stamps[8], UINT64_MAX, list_version, &recent,
                         &is_complete, NULL),
           KH_OK);
    assert_true(is_complete);
    assert_int_equal(recent.count, 2);
    kit_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading_the_past),
        cmocka_unit_test(test_horizon_moves),
        cmocka_unit_test(test_no_retention),
        cmocka_unit_test(test_retention_by_bytes),
        cmocka_unit_test(test_versions_of_a_key),
        cmocka_unit_test(test_history_says_where_it_is_incomplete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
