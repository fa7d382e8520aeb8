/* in_flight_test.c - what waits for the log: no more records than LIMIT_IN_FLIGHT, beyond it
 * committers wait for room; and decisions whose entries go while the log has not answered.
 *
 * As many transactions as the bound allows would take a minute: the count is set just below it. */
#include "base/limits.h"
#include "db/db.h"
#include "support/held_log.h"

#include <sched.h>
#include <stdatomic.h>

static kh_stats stats_of(kh_db *db) {
    kh_stats stats = {.size = sizeof stats};
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    return stats;
}

static kh_status start_one(kh_db *db, int number, uint32_t timeout_ms) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    char key[24];
    kh_txn *txn = NULL;
    options.timeout_ms = timeout_ms;
    options.isolation = KH_READ_COMMITTED;
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_OK);
    (void)snprintf(key, sizeof key, "k%05d", number % 1000);
    kh_batch *batch = kit_number(NULL, number);
    kh_status status = kh_txn_put_with(txn, kit_key(key), batch, KH_REPLACE, NULL);
    if (status == KH_OK) status = kh_txn_commit_start(txn, NULL);
    kh_batch_release(batch);
    kh_txn_close(txn); /* a commit that is under way goes on */
    return status;
}

struct waiter {
    kh_db *db;
    _Atomic bool has_come;
    _Atomic bool has_gone;
    kh_status status;
};

static void *wait_for_room(void *argument) {
    struct waiter *waiter = argument;
    waiter->has_come = true;
    waiter->status = start_one(waiter->db, 7, 3600000);
    waiter->has_gone = true;
    return NULL;
}

/* Records that nobody sees, in front of or behind those of the test. */
static void pretend(kh_db *db, int64_t count) {
    latch_take(&db->section);
    db->pipeline.count = (uint32_t)(db->pipeline.count + count);
    latch_leave(&db->section);
}

static void test_bound(void **state) {
    (void)state;
    enum { REAL = 20, UNSEEN = LIMIT_IN_FLIGHT - REAL };
    struct held_log held;
    kh_options options = kit_options();
    pthread_t thread;
    held_log_init(&held, HELD_UNTIL_TOLD);
    options.log = &held.log;
    kh_db *db = kit_open_with(&options);
    kit_is(start_one(db, 0, 3600000), KH_OK);
    pretend(db, UNSEEN);
    for (int i = 1; i < REAL; i++) kit_is(start_one(db, i, 3600000), KH_OK);
    assert_int_equal(stats_of(db).in_flight, LIMIT_IN_FLIGHT);
    uint64_t flushes = held.flushes;
    uint64_t appended = held.appended;
    kit_is(start_one(db, 1, 20), KH_BUSY); /* its time is up before there is room */
    assert_true(held.flushes > flushes);
    assert_int_equal(held.appended, appended);
    struct waiter waiter = {.db = db};
    assert_int_equal(pthread_create(&thread, NULL, wait_for_room, &waiter), 0);
    while (!waiter.has_come) (void)sched_yield();
    for (int i = 0; i < 2000; i++) (void)sched_yield();
    assert_false(waiter.has_gone);
    assert_int_equal(held.appended, appended);
    held_log_answer(&held, held.completed + 3, KH_LOG_KEPT);
    assert_int_equal(pthread_join(thread, NULL), 0);
    kit_is(waiter.status, KH_OK);
    assert_int_equal(held.appended, appended + 1);
    pretend(db, -UNSEEN);
    held_log_answer(&held, UINT64_MAX, KH_LOG_KEPT);
    assert_int_equal(stats_of(db).in_flight, 0);
    kit_load_is(db, "k00007", 7);
    kit_close(db);
    held_log_fini(&held);
}

/* ---- a decision in flight -------------------------------------------------------------------- */

struct between {
    struct held_log held;
    kh_db *db;
    bool is_asked;
};

/* Between the decision's append and its answer: a writer of the same key gives up, and the
 * reclaimer comes round. */
static void come_between(void *context, uint64_t cookie) {
    struct between *between = (struct between *)context;
    if (between->is_asked) return;
    between->is_asked = true;
    kh_txn *loser = kit_begin(between->db, KH_REPEATABLE_READ);
    kit_put(loser, "new", 3);
    kit_rollback(loser);
    kh_db_step(between->db);
    kh_db_step(between->db);
    held_log_answer(&between->held, cookie, KH_LOG_KEPT);
}

static void test_abort_in_flight(void **state) {
    (void)state;
    struct between between = {.is_asked = true};
    kh_options options = kit_options();
    held_log_init(&between.held, HELD_AT_ONCE);
    between.held.log.flush = come_between;
    options.log = &between.held.log;
    between.db = kit_open_with(&options);
    kit_store(between.db, "old", 1);
    kh_txn *loser = kit_begin(between.db, KH_REPEATABLE_READ);
    kit_put(loser, "new", 2);
    kit_put(loser, "old", 2);
    kit_store(between.db, "old", 3);
    kh_txn *txn = kit_begin(between.db, KH_REPEATABLE_READ);
    kit_put(txn, "new", 1);
    kit_is(kh_txn_prepare(txn, NULL), KH_OK);
    kit_is(kit_commit(loser), KH_HELD); /* leaves "new" to the reclaimer */
    between.held.mode = HELD_UNTIL_TOLD;
    between.is_asked = false;
    kit_is(kh_txn_rollback(txn), KH_OK);
    assert_true(between.is_asked);
    kh_txn_close(txn);
    between.held.mode = HELD_AT_ONCE;
    kit_load_is(between.db, "new", KIT_ABSENT);
    kh_db_step(between.db);
    assert_int_equal(stats_of(between.db).keys, 1);
    kit_store(between.db, "new", 4);
    kit_load_is(between.db, "new", 4);
    kit_close(between.db);
    held_log_fini(&between.held);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_abort_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
