/* watch_api_test.c - watches: every commit under a prefix after the opening, in commit order; woken
 * without polling; cancelled from another thread; lossy beyond the limit, and saying so. */
#include "support/held_log.h"

#include <poll.h>

static kh_watch *open_watch(kh_db *db, const char *prefix) {
    kh_watch *watch = NULL;
    kit_is(kh_watch_open(db, kit_key(prefix), &watch, NULL), KH_OK);
    return watch;
}

static void event_is(kh_watch *watch, const char *key, kh_timestamp timestamp, bool is_deleted) {
    kh_watch_event event;
    kit_is(kh_watch_next(watch, 0, &event, NULL), KH_OK);
    assert_true(kit_bytes_equal(event.key, kit_key(key)));
    assert_true(event.timestamp == timestamp);
    assert_int_equal(event.is_deleted, is_deleted);
    assert_false(event.is_lossy);
}

static void no_event(kh_watch *watch) {
    kh_watch_event event;
    kit_is(kh_watch_next(watch, 0, &event, NULL), KH_PENDING);
}

static bool is_readable(int descriptor) {
    struct pollfd poll_for = {.fd = descriptor, .events = POLLIN};
    return poll(&poll_for, 1, 0) == 1;
}

static void test_events(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kit_store(db, "a/early", 1);
    kh_watch *watch = open_watch(db, "a/");
    kh_watch *all = open_watch(db, "");
    no_event(watch);
    kit_store(db, "a/1", 1);
    kh_timestamp first = kh_db_now(db);
    kit_store(db, "b", 1);
    kit_store(db, "a", 1); /* shorter than the prefix */
    kit_store(db, "a/1", KIT_ABSENT);
    kh_timestamp last = kh_db_now(db);
    event_is(watch, "a/1", first, false);
    event_is(watch, "a/1", last, true);
    no_event(watch);
    for (int i = 0; i < 4; i++) {
        kh_watch_event event;
        kit_is(kh_watch_next(all, 0, &event, NULL), KH_OK);
    }
    no_event(all);
    kh_watch_close(watch);
    kh_watch_close(all);
    kit_close(db);
}

/* Of what did not commit, or was dropped, nothing is told. */
static void test_only_commits(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kit_store(db, "k", 1);
    kh_txn *conflict = kit_begin(db, KH_REPEATABLE_READ);
    kh_txn *dropped = kit_begin_with(db, KH_REPEATABLE_READ, KH_IGNORE, 0);
    kit_put(conflict, "k", 2);
    kit_put(conflict, "m", 2);
    kit_put(dropped, "k", 3);
    kit_store(db, "k", 4);
    kh_watch *watch = open_watch(db, "");
    kit_is(kit_commit(conflict), KH_CONFLICT);
    kit_commit_ok(dropped);
    kh_txn *rolled_back = kit_begin(db, KH_SERIALIZABLE);
    kit_put(rolled_back, "k", 5);
    kit_rollback(rolled_back);
    no_event(watch);
    kh_watch_close(watch);
    kit_close(db);
}

static void test_descriptor(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kh_watch *watch = open_watch(db, "");
    int descriptor = kh_watch_descriptor(watch);
    assert_true(descriptor >= 0);
    assert_false(is_readable(descriptor));
    kit_store(db, "k", 1);
    assert_true(is_readable(descriptor));
    event_is(watch, "k", kh_db_now(db), false);
    no_event(watch);
    assert_false(is_readable(descriptor));
    kh_watch_close(watch);
    kit_close(db);
}

/* Told when it is visible, not when it is certified. */
static void test_events_wait_for_the_log(void **state) {
    (void)state;
    struct held_log held;
    held_log_init(&held, HELD_AT_ONCE);
    kh_options options = kit_options();
    options.log = &held.log;
    kh_db *db = kit_open_with(&options);
    kit_store(db, "k", 1);
    kh_watch *watch = open_watch(db, "");
    held.mode = HELD_UNTIL_TOLD;
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_put(txn, "k", 2);
    kit_is(kh_txn_commit_start(txn, NULL), KH_OK);
    no_event(watch);
    held_log_answer(&held, UINT64_MAX, KH_LOG_KEPT);
    event_is(watch, "k", kh_db_now(db), false);
    kh_txn_close(txn);
    kh_watch_close(watch);
    kit_close(db);
    held_log_fini(&held);
}

static void test_lossy(void **state) {
    (void)state;
    kh_options options = kit_options();
    options.limits.watch_events = 4;
    kh_db *db = kit_open_with(&options);
    kh_watch *watch = open_watch(db, "");
    kh_watch_event event;
    int events = 0;
    bool is_lossy = false;
    for (int i = 0; i < 20; i++) {
        kit_store(db, "k", i);
    }
    while (kh_watch_next(watch, 0, &event, NULL) == KH_OK) {
        is_lossy |= event.is_lossy;
        events++;
    }
    assert_true(is_lossy);
    assert_in_range(events, 1, 4);
    assert_true(event.timestamp == kh_db_now(db)); /* the newest are kept */
    kit_store(db, "k", 21);
    event_is(watch, "k", kh_db_now(db), false);
    kh_watch_close(watch);
    kit_close(db);
}

/* ---- waiting --------------------------------------------------------------------------------- */

struct waiter {
    kh_watch *watch;
    kh_status status;
    int events;
    int wanted;
};

static void *wait_for_events(void *argument) {
    struct waiter *waiter = argument;
    kh_watch_event event;
    while (waiter->events < waiter->wanted) {
        waiter->status = kh_watch_next(waiter->watch, UINT32_MAX, &event, NULL);
        if (waiter->status != KH_OK) {
            break;
        }
        waiter->events++;
    }
    return NULL;
}

static void test_waiting(void **state) {
    (void)state;
    kh_db *db = kit_open();
    struct waiter waiter = {open_watch(db, ""), KH_INVALID, 0, 50};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_for_events, &waiter), 0);
    for (int i = 0; i < 50; i++) {
        kit_store(db, "k", i);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    kit_is(waiter.status, KH_OK);
    assert_int_equal(waiter.events, 50);

    waiter = (struct waiter){waiter.watch, KH_INVALID, 0, 1};
    assert_int_equal(pthread_create(&thread, NULL, wait_for_events, &waiter), 0);
    kh_watch_cancel(waiter.watch);
    assert_int_equal(pthread_join(thread, NULL), 0);
    kit_is(waiter.status, KH_CANCELLED);
    kh_watch_event event;
    kit_is(kh_watch_next(waiter.watch, UINT32_MAX, &event, NULL), KH_CANCELLED);
    kh_watch_close(waiter.watch);
    kit_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),     cmocka_unit_test(test_only_commits),
        cmocka_unit_test(test_descriptor), cmocka_unit_test(test_events_wait_for_the_log),
        cmocka_unit_test(test_lossy),      cmocka_unit_test(test_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
