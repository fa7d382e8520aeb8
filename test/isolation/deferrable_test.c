/* deferrable_test.c - deferrable read-only transactions: safe at once, or waiting for the
 * serializable writers that could still come before their snapshot, those in the log's pipeline
 * included. One thread: a wait that nobody can end is answered KH_BUSY. */
#include "support/held_log.h"

static kh_txn *begin(kh_db *db) {
    return kit_begin(db, KH_SERIALIZABLE);
}

static kh_status begin_deferrable(kh_db *db, kh_txn **out) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = KH_SERIALIZABLE;
    options.flags = KH_BEGIN_READ_ONLY | KH_BEGIN_DEFERRABLE;
    options.timeout_ms = 50;
    return kh_txn_begin(db, &options, out, NULL);
}

/* A clock that runs when it is read: waiting ends by itself. */
static kh_db *open_ticking(struct kit_clock *clock, struct held_log *held) {
    kh_options options = kit_options();
    *clock = (struct kit_clock){1700000000000u, 1, 100000};
    options.clock = kit_clock_hook(clock);
    options.timeout_ms = 1u << 30;
    options.log = held == NULL ? NULL : &held->log;
    kh_db *db = kit_open_with(&options);
    kit_store(db, "a", 1);
    kit_store(db, "b", 2);
    return db;
}

static void test_deferrable_is_safe_at_once(void **state) {
    (void)state;
    struct kit_clock clock;
    kh_db *db = open_ticking(&clock, NULL);
    kh_txn *weak = kit_begin(db, KH_REPEATABLE_READ);
    kh_txn *reader = NULL;
    kit_put(weak, "z", 1); /* writers of other levels do not matter */
    kit_is(begin_deferrable(db, &reader), KH_OK);
    kit_get_is(reader, "a", 1);
    kh_txn *writer = begin(db);
    (void)kit_get(writer, "b");
    kit_put(writer, "a", 5);
    kit_commit_ok(writer);
    kit_store(db, "b", 6);
    kit_get_is(reader, "b", 2);
    kit_get_is(reader, "a", 1);
    kit_commit_ok(reader);
    kit_commit_ok(weak);
    kit_close(db);
}

static void test_deferrable_waits(void **state) {
    (void)state;
    struct kit_clock clock;
    kh_db *db = open_ticking(&clock, NULL);
    kh_txn *writer = begin(db);
    kh_txn *reader = NULL;
    (void)kit_get(writer, "a");
    kit_put(writer, "b", 5);
    kit_is(begin_deferrable(db, &reader), KH_OK); /* of the same snapshot: it comes later */
    kit_commit_ok(reader);
    kit_store(db, "z", 1);
    kit_is(begin_deferrable(db, &reader), KH_BUSY);
    kit_commit_ok(writer);
    kit_is(begin_deferrable(db, &reader), KH_OK);
    kit_get_is(reader, "b", 5);
    kit_commit_ok(reader);
    writer = begin(db);
    kit_put(writer, "b", 6);
    kit_rollback(writer);
    kh_txn *tracked = kit_begin_with(db, KH_SERIALIZABLE, KH_FAIL, KH_BEGIN_READ_ONLY);
    kit_is(begin_deferrable(db, &reader), KH_OK); /* readers do not matter */
    kit_commit_ok(reader);
    kit_commit_ok(tracked);
    kit_close(db);
}

/* What the wait is for: a snapshot between T2's commit and T1's would show the anomaly. */
static void test_deferrable_snapshot_is_safe(void **state) {
    (void)state;
    struct kit_clock clock;
    kh_db *db = open_ticking(&clock, NULL);
    kh_txn *t1 = begin(db);
    kh_txn *t3 = NULL;
    (void)kit_get(t1, "a");
    kh_txn *t2 = begin(db);
    kit_put(t2, "a", 20);
    kit_commit_ok(t2);
    kit_put(t1, "b", 11);
    kit_is(begin_deferrable(db, &t3), KH_BUSY);
    kit_commit_ok(t1); /* nobody saw it: T1 comes before T2 */
    kit_is(begin_deferrable(db, &t3), KH_OK);
    kit_get_is(t3, "a", 20);
    kit_get_is(t3, "b", 11);
    kit_commit_ok(t3);
    kit_close(db);
}

/* Certified and not yet kept: a commit in flight that belongs before the snapshot makes it unsafe.
 */
static void test_deferrable_looks_into_the_pipeline(void **state) {
    (void)state;
    struct kit_clock clock;
    struct held_log held;
    held_log_init(&held, HELD_AT_ONCE);
    kh_db *db = open_ticking(&clock, &held);
    kh_txn *t1 = begin(db);
    kh_txn *t3 = NULL;
    (void)kit_get(t1, "a");
    kit_store(db, "a", 20);
    kit_put(t1, "b", 11);
    held.mode = HELD_UNTIL_TOLD;
    kit_is(kh_txn_commit_start(t1, NULL), KH_OK); /* phi is below the present snapshot */
    kit_is(begin_deferrable(db, &t3), KH_BUSY);
    held_log_answer(&held, UINT64_MAX, KH_LOG_KEPT);
    kit_is(kh_txn_wait(t1, UINT32_MAX, NULL), KH_OK);
    kh_txn_close(t1);
    held.mode = HELD_AT_ONCE;
    kit_is(begin_deferrable(db, &t3), KH_OK);
    kit_get_is(t3, "b", 11);
    kit_commit_ok(t3);
    kit_close(db);
    held_log_fini(&held);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deferrable_is_safe_at_once),
        cmocka_unit_test(test_deferrable_waits),
        cmocka_unit_test(test_deferrable_snapshot_is_safe),
        cmocka_unit_test(test_deferrable_looks_into_the_pipeline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
