/* prepare_test.c - transactions that commit in two steps: what a prepared one holds, who is refused
 * meanwhile, that its commit cannot fail, and how it is decided by its id. */
#include "support/calls.h"

static struct kit_clock hands;

static int open_db(void **state) {
    kh_options options = kit_options();
    hands = (struct kit_clock){1700000000000u, 1000000000u, 0};
    options.clock = kit_clock_hook(&hands);
    kh_db *db = kit_open_with(&options);
    calls_prepare(db);
    *state = db;
    return 0;
}

static int close_db(void **state) {
    kit_store(*state, "k", 1); /* nothing is held any more */
    kit_store(*state, "m", 1);
    kit_close(*state);
    return 0;
}

/* Has read "m" and written "k" = 7. */
static kh_txn *prepare(kh_db *db) {
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    kit_get_is(txn, "m", 2);
    kit_put(txn, "k", 7);
    kit_is(kh_txn_prepare(txn, NULL), KH_OK);
    return txn;
}

static bool same_id(kh_txn_id a, kh_txn_id b) {
    return a.high == b.high && a.low == b.low;
}

static void held(kh_db *db, kh_isolation isolation, const char *key, kh_txn_id holder) {
    kh_conflict conflict;
    kh_txn *txn = kit_begin_with(db, isolation, KH_REPLACE, 0);
    kit_put(txn, key, 9);
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_HELD);
    memset(&conflict, 0, sizeof conflict);
    conflict.size = sizeof conflict;
    kit_is(kh_txn_conflict(txn, &conflict), KH_OK);
    kit_is(conflict.status, KH_HELD);
    assert_true(same_id(conflict.holder, holder));
    assert_true(kit_bytes_equal(conflict.key, kit_key(key)));
    kh_txn_close(txn);
}

static void test_holds(void **state) {
    kh_db *db = *state;
    kh_txn *txn = prepare(db);
    kh_txn_id id = kh_txn_get_id(txn);
    for (int i = 0; i < 3; i++) {
        held(db, kit_levels[i], "k", id);
    }
    held(db, KH_SERIALIZABLE, "m", id); /* it has read it */
    kit_load_is(db, "k", 1);            /* readers are not held up, and see nothing of it */
    kh_txn *other = kit_begin(db, KH_SERIALIZABLE);
    kit_get_is(other, "k", 1);
    kit_put(other, "elsewhere", 1);
    kit_commit_ok(other);
    kh_timestamp timestamp = 0;
    kit_is(kh_txn_commit(txn, &timestamp, NULL), KH_OK);
    assert_true(timestamp == kh_db_now(db));
    kh_txn_close(txn);
    kit_load_is(db, "k", 7);
    kit_load_is(db, "m", 2);
}

static void test_ranges_are_held(void **state) {
    kh_db *db = *state;
    kh_scan_options options = kit_range("p", "q", 0, 0);
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    kit_scan_is(txn, &options, "");
    kit_get_is(txn, "absent", KIT_ABSENT);
    kit_put(txn, "z", 1);
    kit_is(kh_txn_prepare(txn, NULL), KH_OK);
    kh_txn_id id = kh_txn_get_id(txn);
    held(db, KH_SERIALIZABLE, "p1", id);
    held(db, KH_SERIALIZABLE, "absent", id);
    kh_txn *other = kit_begin(db, KH_SERIALIZABLE);
    kit_put(other, "q", 1);
    kit_commit_ok(other);
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
    kh_txn_close(txn);
    other = kit_begin(db, KH_SERIALIZABLE);
    kit_put(other, "p1", 1);
    kit_commit_ok(other);
}

static void test_rollback_lets_go(void **state) {
    kh_db *db = *state;
    kh_txn *txn = prepare(db);
    kh_txn_id id = kh_txn_get_id(txn);
    kh_outcome outcome = KH_OUTCOME_ACTIVE;
    kit_rollback(txn);
    kit_load_is(db, "k", 1);
    kit_store(db, "k", 5);
    kit_is(kh_db_outcome(db, id, &outcome, NULL, NULL), KH_OK);
    assert_int_equal(outcome, KH_OUTCOME_ABORTED);
}

static void test_neither_expires_nor_is_cancelled(void **state) {
    kh_db *db = *state;
    kh_txn *txn = prepare(db);
    kit_clock_advance(&hands, 3600 * 1000);
    kh_db_step(db);
    assert_int_not_equal(kh_db_cancel(db, kh_txn_get_id(txn), NULL), KH_OK);
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
    kh_txn_close(txn);
    kit_load_is(db, "k", 7);
}

static void test_only_the_end_may_follow(void **state) {
    kh_db *db = *state;
    kh_txn *txn = prepare(db);
    for (size_t i = 0; i < call_count; i++) {
        if ((calls[i].flags & CALL_ENDS) == 0 || strcmp(calls[i].name, "prepare") == 0) {
            kh_status status = calls[i].run(txn);
            if (kh_status_classify(status) != KH_CLASS_STOP) {
                fail_msg("%s answers %s", calls[i].name, kh_status_name(status));
            }
        }
    }
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
    kh_txn_close(txn);
    kit_load_is(db, "k", 7);
    kit_load_is(db, "m", 2);
}

struct seen {
    int prepared;
    int all;
};

static bool count_prepared(void *context, const kh_live_txn *txn) {
    struct seen *seen = context;
    seen->prepared += txn->is_prepared;
    seen->all++;
    return true;
}

static void test_decided_by_id(void **state) {
    kh_db *db = *state;
    for (int is_commit = 0; is_commit < 2; is_commit++) {
        struct seen seen = {0, 0};
        kh_outcome outcome = KH_OUTCOME_ACTIVE;
        kh_timestamp timestamp = 0;
        kh_stats stats;
        kh_txn *txn = prepare(db);
        kh_txn_id id = kh_txn_get_id(txn);
        kh_txn_close(txn); /* stays prepared */
        kit_is(kh_db_outcome(db, id, &outcome, NULL, NULL), KH_OK);
        assert_int_equal(outcome, KH_OUTCOME_PREPARED);
        memset(&stats, 0, sizeof stats);
        stats.size = sizeof stats;
        kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
        assert_int_equal(stats.prepared, 1);
        kit_is(kh_db_live(db, count_prepared, &seen, NULL), KH_OK);
        assert_int_equal(seen.prepared, 1);
        held(db, KH_REPEATABLE_READ, "k", id);
        kit_is(kh_db_decide(db, id, is_commit != 0, &timestamp, NULL), KH_OK);
        kit_is(kh_db_decide(db, id, is_commit != 0, &timestamp, NULL), KH_NOT_FOUND);
        kit_load_is(db, "k", is_commit ? 7 : 1);
        kit_is(kh_db_outcome(db, id, &outcome, NULL, NULL), KH_OK);
        assert_int_equal(outcome, is_commit ? KH_OUTCOME_COMMITTED : KH_OUTCOME_ABORTED);
    }
}

/* Decided from outside while its handle is open. */
static void test_decided_under_the_handle(void **state) {
    kh_db *db = *state;
    kh_txn *txn = prepare(db);
    kit_is(kh_db_decide(db, kh_txn_get_id(txn), true, NULL, NULL), KH_OK);
    kit_load_is(db, "k", 7);
    (void)kh_txn_rollback(txn);
    kh_txn_close(txn);
    kit_load_is(db, "k", 7);
}

static void test_prepare_is_refused_as_commit_is(void **state) {
    kh_db *db = *state;
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_put(txn, "k", 7);
    kit_store(db, "k", 5);
    kit_is(kh_txn_prepare(txn, NULL), KH_CONFLICT);
    kh_txn_close(txn);
    kit_load_is(db, "k", 5);

    kh_txn *first = kit_begin(db, KH_SERIALIZABLE);
    kh_txn *second = kit_begin(db, KH_SERIALIZABLE);
    (void)kit_get(first, "m");
    (void)kit_get(second, "k");
    kit_put(first, "k", 6);
    kit_put(second, "m", 6);
    kit_is(kh_txn_prepare(first, NULL), KH_OK);
    kh_status status = kh_txn_prepare(second, NULL);
    assert_int_equal(kh_status_classify(status), KH_CLASS_RETRY);
    kh_txn_close(second);
    kit_is(kh_txn_commit(first, NULL, NULL), KH_OK);
    kh_txn_close(first);
    kit_load_is(db, "k", 6);
}

/* Commit forgives that what was read has been overwritten, as long as there is an order; prepare
 * does not: nobody knows when the decision comes. */
static void test_prepare_wants_the_present(void **state) {
    kh_db *db = *state;
    for (int is_prepared = 0; is_prepared < 2; is_prepared++) {
        for (int is_scan = 0; is_scan < 2; is_scan++) {
            kh_scan_options options = kit_range("m", "n", 0, 0);
            kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
            if (is_scan) {
                kit_scan_is(txn, &options, "m=2");
            } else {
                kit_get_is(txn, "m", 2);
            }
            kit_put(txn, "k", 7);
            kit_store(db, "m", 3);
            if (is_prepared) {
                kit_is(kh_txn_prepare(txn, NULL), KH_NOT_SERIALIZABLE);
            } else {
                kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
            }
            kh_txn_close(txn);
            kit_store(db, "m", 2);
        }
    }
}

/* The tombstone of a held key does not go, and its entry with it, while the decision is awaited. */
static void test_a_held_tombstone(void **state) {
    kh_db *db = *state;
    kh_txn *holder = kit_begin(db, KH_REPEATABLE_READ);
    kit_store(db, "k", KIT_ABSENT);
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    kit_put(txn, "k", 7);
    kit_is(kh_txn_prepare(txn, NULL), KH_OK);
    kit_rollback(holder);
    kh_db_step(db);
    kh_db_step(db);
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
    kh_txn_close(txn);
    kit_load_is(db, "k", 7);
}

/* Its place in the order is where it was certified; one that began in between and read what it
 * overwrites is before it, and may not be after it as well. */
static void test_order_around_the_decision(void **state) {
    kh_db *db = *state;
    kh_txn *txn = prepare(db); /* read m, writes k */
    kh_txn *between = kit_begin(db, KH_SERIALIZABLE);
    kit_get_is(between, "k", 1);
    kit_put(between, "n", 1);
    kit_commit_ok(between);
    kh_txn *skewed = kit_begin(db, KH_SERIALIZABLE);
    kit_get_is(skewed, "k", 1);
    kit_put(skewed, "m", 9);
    kit_is(kit_commit(skewed), KH_HELD);
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
    kh_txn_close(txn);
    kh_txn *after = kit_begin(db, KH_SERIALIZABLE);
    kit_get_is(after, "k", 7);
    kit_get_is(after, "n", 1);
    kit_commit_ok(after);
}

#define ON_DB(test) cmocka_unit_test_setup_teardown(test, open_db, close_db)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_DB(test_holds),
        ON_DB(test_ranges_are_held),
        ON_DB(test_rollback_lets_go),
        ON_DB(test_neither_expires_nor_is_cancelled),
        ON_DB(test_only_the_end_may_follow),
        ON_DB(test_decided_by_id),
        ON_DB(test_decided_under_the_handle),
        ON_DB(test_prepare_is_refused_as_commit_is),
        ON_DB(test_prepare_wants_the_present),
        ON_DB(test_a_held_tombstone),
        ON_DB(test_order_around_the_decision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
