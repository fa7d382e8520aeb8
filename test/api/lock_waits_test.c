/* lock_waits_test.c - waiting for key locks, with threads, through khonsu.h: a lock from hand to
 * hand, commits that wait, deadlocks and their victims, timeouts, cancelling, records in flight.
 * The main thread knows that another waits when the statistics say so. */
#include "support/held_log.h"
#include "support/locking_kit.h"

#include <pthread.h>
#include <sched.h>

static kh_db *open_with(const kh_options *changes) {
    kh_options options = KH_OPTIONS_INIT;
    if (changes != NULL) options = *changes;
    if (options.timeout_ms == 0) options.timeout_ms = 600000; /* a slow machine is no failure */
    return kit_open_with(&options);
}

/* ---- a call in a thread of its own ----------------------------------------------------------- */

enum what { LOCK_ONE, COMMIT, PREPARE };

struct call_apart {
    pthread_t thread;
    enum what what;
    kh_txn *txn;
    const char *key;
    kh_lock_mode mode;
    uint32_t timeout_ms;
    kh_status status;
    kh_error error;
};

static void *run_call(void *argument) {
    struct call_apart *call = argument;
    kh_lock lock = {kit_key(call->key), call->mode};
    kh_lock_options options = {sizeof options, 0, call->timeout_ms};
    switch (call->what) {
    case LOCK_ONE:
        call->status = kh_txn_lock(call->txn, &lock, 1, &options, &call->error);
        break;
    case COMMIT:
        call->status = kh_txn_commit(call->txn, NULL, &call->error);
        break;
    default:
        call->status = kh_txn_prepare(call->txn, &call->error);
    }
    return NULL;
}

static void start(struct call_apart *call, enum what what, kh_txn *txn, const char *key) {
    *call = (struct call_apart){.what = what, .txn = txn, .key = key, .mode = KH_LOCK_EXCLUSIVE};
    assert_int_equal(pthread_create(&call->thread, NULL, run_call, call), 0);
}

static void await_waiters(kh_db *db, uint64_t count) {
    while (locking_stats(db).locks_waiting != count) (void)sched_yield();
}

static void returns(struct call_apart *call, kh_status expected) {
    assert_int_equal(pthread_join(call->thread, NULL), 0);
    kit_is(call->status, expected);
}

/* ---- from hand to hand ----------------------------------------------------------------------- */

static void test_waits_for_the_newest(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++) {
        kh_db *db = open_with(NULL);
        kit_store(db, "k", 1);
        kh_txn *first = kit_begin(db, kit_levels[level]);
        kh_txn *second = kit_begin(db, kit_levels[level]);
        kit_is(locking_try(first, "k", KH_LOCK_EXCLUSIVE), KH_OK);
        struct call_apart call;
        start(&call, LOCK_ONE, second, "k");
        await_waiters(db, 1);
        kit_put(first, "k", 2);
        kit_commit_ok(first);
        returns(&call, KH_OK);
        kit_get_is(second, "k", 2);
        kit_put(second, "k", 3);
        kit_commit_ok(second);
        kit_load_is(db, "k", 3);
        kh_stats stats = locking_stats(db);
        assert_int_equal(stats.lock_waits, 1);
        assert_int_equal(stats.lock_queue_longest, 1);
        assert_true(stats.lock_wait_ns > 0);
        kit_close(db);
    }
}

/* Who has read before is told at the grant that the key has changed. */
static void test_waits_and_conflicts(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++) {
        kh_db *db = open_with(NULL);
        kit_store(db, "k", 1);
        kh_txn *first = kit_begin(db, kit_levels[level]);
        kh_txn *second = kit_begin(db, kit_levels[level]);
        kit_get_is(second, "k", 1);
        kit_is(locking_try(first, "k", KH_LOCK_EXCLUSIVE), KH_OK);
        struct call_apart call;
        start(&call, LOCK_ONE, second, "k");
        await_waiters(db, 1);
        kit_put(first, "k", 2);
        kit_commit_ok(first);
        returns(&call, KH_CONFLICT);
        assert_true(locking_is_free(db, "k"));
        kit_rollback(second);
        kit_close(db);
    }
}

/* ---- commits that wait ----------------------------------------------------------------------- */

static kh_txn *begin_waiting(kh_db *db, kh_isolation level) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.isolation = level;
    options.lock_wait = KH_LOCK_WAIT;
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_OK);
    return txn;
}

/* The holder writes the key, or not; the one that waits has read it, or not. */
static void commit_waits(int level, enum what what, bool does_write, bool has_read) {
    kh_db *db = open_with(NULL);
    kit_store(db, "k", 1);
    kh_txn *holder = kit_begin(db, kit_levels[level]);
    kit_is(locking_try(holder, "k", KH_LOCK_SHARED), KH_OK);
    kh_txn *txn = begin_waiting(db, kit_levels[level]);
    if (has_read) kit_get_is(txn, "k", 1);
    kit_put(txn, "k", 7);
    kit_put(txn, "other", 7);
    struct call_apart call;
    start(&call, what, txn, "k");
    await_waiters(db, 1);
    if (does_write) {
        kit_put(holder, "k", 2);
        kit_commit_ok(holder);
    } else {
        kit_rollback(holder);
    }
    kh_status expected = does_write && has_read ? KH_CONFLICT : KH_OK;
    returns(&call, expected);
    kh_conflict conflict = {.size = sizeof conflict};
    assert_int_equal(kh_txn_conflict(txn, &conflict), expected == KH_OK ? KH_NOT_FOUND : KH_OK);
    if (what == PREPARE && expected == KH_OK) {
        assert_false(locking_is_free(db, "other"));
        kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
    }
    assert_true(locking_is_free(db, "k"));
    kh_txn_close(txn);
    kit_load_is(db, "k", expected == KH_OK ? 7 : 2);
    kit_close(db);
}

static void test_commit_waits(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++)
        for (int what = COMMIT; what <= PREPARE; what++)
            for (int how = 0; how < 4; how++)
                commit_waits(level, (enum what)what, (how & 1) != 0, (how & 2) != 0);
}

/* The database says so, and a transaction says otherwise. */
static void test_commit_waits_by_default(void **state) {
    (void)state;
    kh_options options = KH_OPTIONS_INIT;
    options.lock_wait = KH_LOCK_WAIT;
    kh_db *db = open_with(&options);
    kh_txn *holder = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(locking_try(holder, "k", KH_LOCK_EXCLUSIVE), KH_OK);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_put(txn, "k", 1);
    struct call_apart call;
    start(&call, COMMIT, txn, "k");
    await_waiters(db, 1);
    kh_txn_options refuse = KH_TXN_OPTIONS_INIT;
    refuse.lock_wait = KH_LOCK_REFUSE;
    kh_txn *hasty = NULL;
    kit_is(kh_txn_begin(db, &refuse, &hasty, NULL), KH_OK);
    kit_put(hasty, "k", 2);
    kit_is(kit_commit(hasty), KH_LOCK_CONFLICT);
    kit_rollback(holder);
    returns(&call, KH_OK);
    kh_txn_close(txn);
    kit_close(db);
}

/* Until its timeout, and no longer. */
static void test_commit_waits_in_vain(void **state) {
    (void)state;
    kh_db *db = open_with(NULL);
    kh_txn *holder = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(locking_try(holder, "k", KH_LOCK_EXCLUSIVE), KH_OK);
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.lock_wait = KH_LOCK_WAIT;
    options.timeout_ms = 30;
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_OK);
    kit_put(txn, "k", 1);
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_LOCK_CONFLICT);
    assert_true(locking_conflict(txn).holder.low == kh_txn_get_id(holder).low);
    kh_txn_close(txn);
    assert_int_equal(locking_stats(db).lock_timeouts, 1);
    kit_commit_ok(holder);
    kit_close(db);
}

/* ---- deadlocks ------------------------------------------------------------------------------- */

static void deadlock(kh_lock_victim policy, bool is_first_victim) {
    kh_options options = KH_OPTIONS_INIT;
    options.lock_victim = policy;
    kh_db *db = open_with(&options);
    kh_txn_options low = KH_TXN_OPTIONS_INIT;
    kh_txn *first = NULL;
    low.priority = -1;
    kit_is(kh_txn_begin(db, &low, &first, NULL), KH_OK);
    kh_txn *second = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(locking_try(first, "a", KH_LOCK_EXCLUSIVE), KH_OK);
    kit_is(locking_try(second, "b", KH_LOCK_EXCLUSIVE), KH_OK);
    kit_is(locking_try(second, "c", KH_LOCK_EXCLUSIVE), KH_OK);
    struct call_apart one;
    struct call_apart two;
    start(&one, LOCK_ONE, first, "b");
    await_waiters(db, 1);
    start(&two, LOCK_ONE, second, "a");
    returns(&one, is_first_victim ? KH_DEADLOCK : KH_OK);
    returns(&two, is_first_victim ? KH_OK : KH_DEADLOCK);
    kh_txn *victim = is_first_victim ? first : second;
    kh_txn *survivor = is_first_victim ? second : first;
    kh_txn_id ids[2];
    size_t count = 0;
    kit_is(kh_txn_deadlock(victim, ids, 2, &count), KH_OK);
    assert_int_equal(count, 2);
    assert_true(ids[0].low == kh_txn_get_id(victim).low);
    assert_true(ids[1].low == kh_txn_get_id(survivor).low);
    assert_true(locking_conflict(victim).holder.low == ids[1].low);
    assert_true(
        kit_bytes_equal(locking_conflict(victim).key, kit_key(is_first_victim ? "b" : "a")));
    char text[128];
    (void)snprintf(text, sizeof text, "deadlock of 2: %llu -> %llu -> %llu",
                   (unsigned long long)ids[0].low, (unsigned long long)ids[1].low,
                   (unsigned long long)ids[0].low);
    assert_string_equal(is_first_victim ? one.error.message : two.error.message, text);
    kit_is(kh_txn_deadlock(survivor, ids, 2, &count), KH_NOT_FOUND);
    kit_is(locking_try(victim, "z", KH_LOCK_SHARED), KH_DEADLOCK);
    kit_is(kit_commit(victim), KH_DEADLOCK);
    kit_put(survivor, "a", 1);
    kit_put(survivor, "b", 1);
    kit_commit_ok(survivor);
    kh_stats stats = locking_stats(db);
    assert_int_equal(stats.lock_deadlocks, 1);
    assert_int_equal(stats.lock_victims, 1);
    assert_int_equal(stats.aborts_deadlock, 1);
    assert_int_equal(stats.locks_held, 0);
    kit_close(db);
}

static void test_deadlocks(void **state) {
    (void)state;
    deadlock(KH_VICTIM_YOUNGEST, false);
    deadlock(KH_VICTIM_OLDEST, true);
    deadlock(KH_VICTIM_LOWEST_PRIORITY, true);
    deadlock(KH_VICTIM_MOST_LOCKS, false);
}

/* A commit that waits is part of the graph, too. */
static void test_deadlock_of_a_commit(void **state) {
    (void)state;
    kh_db *db = open_with(NULL);
    kh_txn *first = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(locking_try(first, "a", KH_LOCK_EXCLUSIVE), KH_OK);
    kh_txn *second = begin_waiting(db, KH_REPEATABLE_READ);
    kit_is(locking_try(second, "b", KH_LOCK_EXCLUSIVE), KH_OK);
    kit_put(second, "a", 1);
    struct call_apart one;
    start(&one, LOCK_ONE, first, "b");
    await_waiters(db, 1);
    kit_is(kh_txn_commit(second, NULL, NULL), KH_DEADLOCK);
    kh_txn_close(second);
    returns(&one, KH_OK);
    kit_commit_ok(first);
    kit_close(db);
}

/* ---- ends of a wait -------------------------------------------------------------------------- */

static void test_timeouts(void **state) {
    (void)state;
    kh_db *db = open_with(NULL);
    kh_txn *holder = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(locking_try(holder, "k", KH_LOCK_EXCLUSIVE), KH_OK);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_lock lock = {kit_key("k"), KH_LOCK_SHARED};
    kh_lock_options options = {sizeof options, 0, 20};
    kit_is(kh_txn_lock(txn, &lock, 1, &options, NULL), KH_LOCK_CONFLICT);
    assert_true(locking_conflict(txn).holder.low == kh_txn_get_id(holder).low);
    kit_put(txn, "other", 1); /* it goes on */
    kit_commit_ok(txn);
    kh_txn_options brief = KH_TXN_OPTIONS_INIT;
    brief.timeout_ms = 30;
    kit_is(kh_txn_begin(db, &brief, &txn, NULL), KH_OK);
    kit_is(kh_txn_lock(txn, &lock, 1, NULL, NULL), KH_EXPIRED);
    kit_is(kit_commit(txn), KH_EXPIRED);
    assert_int_equal(locking_stats(db).locks_waiting, 0);
    kit_rollback(holder);
    kit_close(db);
}

static void test_cancel(void **state) {
    (void)state;
    kh_db *db = open_with(NULL);
    kh_txn *holder = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(locking_try(holder, "k", KH_LOCK_EXCLUSIVE), KH_OK);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_txn_id id = kh_txn_get_id(txn);
    kit_is(locking_try(txn, "own", KH_LOCK_EXCLUSIVE), KH_OK);
    struct call_apart call;
    start(&call, LOCK_ONE, txn, "k");
    await_waiters(db, 1);
    kit_is(kh_db_cancel(db, id, NULL), KH_OK);
    returns(&call, KH_CANCELLED);
    assert_true(locking_is_free(db, "own"));
    kit_is(kit_commit(txn), KH_CANCELLED);
    kit_rollback(holder);
    kit_close(db);
}

static void test_holder_expires(void **state) {
    (void)state;
    kh_options options = KH_OPTIONS_INIT;
    options.lock_timeout_ms = 30;
    kh_db *db = open_with(&options);
    kh_txn *holder = kit_begin(db, KH_REPEATABLE_READ);
    kit_put(holder, "k", 1);
    kit_is(locking_try(holder, "k", KH_LOCK_EXCLUSIVE), KH_OK);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(locking_lock(txn, "k", KH_LOCK_EXCLUSIVE, 0), KH_OK);
    kit_is(kit_commit(holder), KH_EXPIRED);
    kit_get_is(txn, "k", KIT_ABSENT);
    kit_rollback(txn);
    kit_close(db);
}

/* ---- records in flight ----------------------------------------------------------------------- */

/* A lock is given back when what was written under it can be seen, and a grant waits for what was
 * on its way before: the snapshot has it. */
static void in_flight(bool is_locked_by_writer) {
    struct held_log held;
    held_log_init(&held, HELD_UNTIL_TOLD);
    kh_options options = KH_OPTIONS_INIT;
    options.log = &held.log;
    kh_db *db = open_with(&options);
    kh_txn *writer = kit_begin(db, KH_REPEATABLE_READ);
    if (is_locked_by_writer) kit_is(locking_try(writer, "k", KH_LOCK_EXCLUSIVE), KH_OK);
    kit_put(writer, "k", 2);
    kit_is(kh_txn_commit_start(writer, NULL), KH_OK);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    if (is_locked_by_writer) kit_is(locking_try(txn, "k", KH_LOCK_SHARED), KH_LOCK_CONFLICT);
    struct call_apart call;
    start(&call, LOCK_ONE, txn, "k");
    if (is_locked_by_writer) await_waiters(db, 1);
    for (int i = 0; i < 20; i++) (void)sched_yield();
    held_log_answer(&held, UINT64_MAX, KH_LOG_KEPT);
    returns(&call, KH_OK);
    kit_get_is(txn, "k", 2);
    kh_txn_close(txn);
    kit_is(kh_txn_wait(writer, UINT32_MAX, NULL), KH_OK);
    kh_txn_close(writer);
    kit_close(db);
    held_log_fini(&held);
}

static void test_in_flight(void **state) {
    (void)state;
    in_flight(true);
    in_flight(false);
}

/* Without a thread: the grant asks the log for it. */
static void test_in_flight_is_asked_for(void **state) {
    (void)state;
    struct held_log held;
    held_log_init(&held, HELD_ON_FLUSH);
    kh_options options = kit_options();
    options.log = &held.log;
    kh_db *db = kit_open_with(&options);
    kh_txn *writer = kit_begin(db, KH_REPEATABLE_READ);
    kit_put(writer, "k", 2);
    kit_is(kh_txn_commit_start(writer, NULL), KH_OK);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(kh_txn_poll(writer, NULL), KH_PENDING);
    kit_is(locking_try(txn, "k", KH_LOCK_SHARED), KH_OK);
    kit_get_is(txn, "k", 2);
    kit_is(kh_txn_poll(writer, NULL), KH_OK);
    kh_txn_close(txn);
    kh_txn_close(writer);
    kit_close(db);
    held_log_fini(&held);
}

/* ---- a grant in the middle of a commit ---- */

static struct {
    struct held_log held;
    int (*append)(void *context, const kh_bytes *frames, size_t frame_count, uint64_t cookie,
                  kh_sync sync);
    kh_txn *txn; /* locks the key while the record is appended; NULL: nobody does */
    struct call_apart call;
} between;

/* In the commit section: the commit has asked for locks already, and there were none. */
static int append_between(void *context, const kh_bytes *frames, size_t frame_count,
                          uint64_t cookie, kh_sync sync) {
    if (between.txn != NULL) {
        start(&between.call, LOCK_ONE, between.txn, "k");
        between.txn = NULL;
        for (int i = 0; i < 2000; i++) (void)sched_yield();
    }
    return between.append(context, frames, frame_count, cookie, sync);
}

/* Whoever locks meanwhile sees what that commit writes. */
static void test_grant_within_a_commit(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++) {
        memset(&between, 0, sizeof between);
        held_log_init(&between.held, HELD_AT_ONCE);
        between.append = between.held.log.append;
        between.held.log.append = append_between;
        kh_options options = KH_OPTIONS_INIT;
        options.log = &between.held.log;
        kh_db *db = open_with(&options);
        kit_store(db, "k", 1);
        kh_txn *writer = kit_begin(db, kit_levels[level]);
        kit_put(writer, "k", 2);
        kh_txn *txn = between.txn = kit_begin(db, kit_levels[level]);
        kit_commit_ok(writer);
        returns(&between.call, KH_OK);
        kit_get_is(txn, "k", 2);
        kit_put(txn, "k", 3);
        kit_commit_ok(txn);
        kit_close(db);
        held_log_fini(&between.held);
    }
}

/* The log takes nothing any more: what was in flight never was, and its locks are gone. */
static void test_log_refuses(void **state) {
    (void)state;
    struct held_log held;
    held_log_init(&held, HELD_UNTIL_TOLD);
    kh_options options = KH_OPTIONS_INIT;
    options.log = &held.log;
    kh_db *db = open_with(&options);
    kh_txn *writer = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(locking_try(writer, "k", KH_LOCK_EXCLUSIVE), KH_OK);
    kit_put(writer, "k", 2);
    kit_is(kh_txn_commit_start(writer, NULL), KH_OK);
    held_log_answer(&held, UINT64_MAX, KH_LOG_REFUSED);
    kit_is(kh_txn_wait(writer, UINT32_MAX, NULL), KH_POISONED);
    assert_true(locking_is_free(db, "k"));
    kh_txn_close(writer);
    kit_close(db);
    held_log_fini(&held);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_for_the_newest),
        cmocka_unit_test(test_waits_and_conflicts),
        cmocka_unit_test(test_commit_waits),
        cmocka_unit_test(test_commit_waits_by_default),
        cmocka_unit_test(test_commit_waits_in_vain),
        cmocka_unit_test(test_deadlocks),
        cmocka_unit_test(test_deadlock_of_a_commit),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_holder_expires),
        cmocka_unit_test(test_in_flight),
        cmocka_unit_test(test_in_flight_is_asked_for),
        cmocka_unit_test(test_grant_within_a_commit),
        cmocka_unit_test(test_log_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
