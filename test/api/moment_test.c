/* moment_test.c - transactions as of a moment between commits, or after the last one: what they
 * read is what every later one as of that moment reads, whatever was on its way to the log. By a
 * clock that the test moves and a log that answers when it is told. */
#include "support/directory.h"
#include "support/held_log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static struct kit_clock clock_;
static struct held_log held;

static kh_db *open_with(struct kh_log *log) {
    kh_options options = kit_options();
    clock_ = (struct kit_clock){1700000000000u, 1, 100000};
    options.clock = kit_clock_hook(&clock_);
    options.retention_ms = 1000000;
    options.timeout_ms = 1u << 20;
    options.log = log;
    return kit_open_with(&options);
}

static kh_timestamp now_of(const struct kit_clock *clock) {
    return KH_TIMESTAMP_OF_MS(clock->wall_ms);
}

static void is_at(kh_db *db, kh_timestamp at, int64_t expected) {
    kh_txn *txn = NULL;
    kit_is(kh_txn_begin_at(db, at, &txn, NULL), KH_OK);
    assert_true(kh_txn_snapshot(txn) == at);
    kit_get_is(txn, "k", expected);
    kit_commit_ok(txn);
}

static void test_after_the_last_commit(void **state) {
    (void)state;
    kh_db *db = open_with(NULL);
    kh_txn *txn = NULL;
    kit_store(db, "k", 1);
    kit_clock_advance(&clock_, 60000);
    is_at(db, now_of(&clock_) - KH_TIMESTAMP_OF_MS(30000), 1);
    is_at(db, now_of(&clock_), 1);
    kit_is(kh_txn_begin_at(db, now_of(&clock_) + 1, &txn, NULL), KH_INVALID);
    kit_close(db);
}

/* The clock stands still, or goes back: later commits are later than what was read all the same. */
static void test_nothing_commits_below(void **state) {
    (void)state;
    kh_db *db = open_with(NULL);
    kit_store(db, "k", 1);
    kit_clock_advance(&clock_, 1000);
    kh_timestamp moment = now_of(&clock_);
    is_at(db, moment, 1);
    kit_store(db, "k", 2);
    assert_true(kh_db_now(db) > moment);
    is_at(db, moment, 1);
    kit_clock_advance(&clock_, 1000);
    moment = now_of(&clock_);
    is_at(db, moment, 2);
    clock_.wall_ms -= 5000;
    kit_store(db, "k", 3);
    assert_true(kh_db_now(db) > moment);
    is_at(db, moment, 2);
    kit_close(db);
}

/* The reader holds what it reads, above everything that is published. */
static void test_the_reader_is_registered(void **state) {
    (void)state;
    kh_db *db = open_with(NULL);
    kh_txn *reader = NULL;
    kit_store(db, "k", 1);
    kit_clock_advance(&clock_, 1000);
    kit_is(kh_txn_begin_at(db, now_of(&clock_), &reader, NULL), KH_OK);
    for (int i = 2; i < 6; i++) kit_store(db, "k", i);
    kit_clock_advance(&clock_, 10000000);
    kit_store(db, "k", 6);
    kh_db_step(db);
    kit_get_is(reader, "k", 1);
    kit_commit_ok(reader);
    kit_close(db);
}

static kh_txn *start(kh_db *db, int64_t value) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_put(txn, "k", value);
    kit_is(kh_txn_commit_start(txn, NULL), KH_OK);
    return txn;
}

/* Whoever is in flight has an earlier timestamp, and is waited for: the log is asked. */
static void test_what_is_in_flight(void **state) {
    (void)state;
    held_log_init(&held, HELD_UNTIL_TOLD);
    held.mode = HELD_AT_ONCE;
    kh_db *db = open_with(&held.log);
    kit_store(db, "k", 1);
    held.mode = HELD_UNTIL_TOLD;
    kh_timestamp before = now_of(&clock_) + KH_TIMESTAMP_OF_MS(500);
    kit_clock_advance(&clock_, 1000);
    kh_txn *first = start(db, 2);
    is_at(db, before, 1); /* it is later: nobody waits */
    kit_clock_advance(&clock_, 1000);
    kh_txn *reader = NULL;
    clock_.tick_ns = (uint64_t)2 << 50; /* the timeout is over at the next look */
    kit_is(kh_txn_begin_at(db, now_of(&clock_), &reader, NULL), KH_BUSY);
    clock_.tick_ns = 1;
    held.mode = HELD_ON_FLUSH;
    is_at(db, now_of(&clock_), 2);
    kh_txn_close(first);
    kit_close(db);
    held_log_fini(&held);
}

static void test_a_log_that_failed(void **state) {
    (void)state;
    static const kh_log_answer answers[] = {KH_LOG_REFUSED, KH_LOG_LOST};
    for (int i = 0; i < 2; i++) {
        held_log_init(&held, HELD_AT_ONCE);
        kh_db *db = open_with(&held.log);
        kit_store(db, "k", 1);
        held.mode = HELD_UNTIL_TOLD;
        kit_clock_advance(&clock_, 1000);
        kh_txn *txn = start(db, 2);
        held_log_answer(&held, UINT64_MAX, answers[i]);
        kit_clock_advance(&clock_, 1000);
        kh_txn *reader = NULL;
        kh_status status = kh_txn_begin_at(db, now_of(&clock_), &reader, NULL);
        if (answers[i] == KH_LOG_LOST) {
            kit_is(status, KH_POISONED); /* it may be there, or not */
        } else {
            kit_is(status, KH_OK);
            kit_get_is(reader, "k", 1);
            kit_commit_ok(reader);
        }
        kh_txn_close(txn);
        kit_close(db);
        held_log_fini(&held);
    }
}

/* It cannot know what another process has committed since. */
static void test_of_a_read_only_opening(void **state) {
    (void)state;
    struct directory directory;
    kh_options options = kit_options();
    kh_error error = {""};
    kh_txn *txn = NULL;
    if (!kh_has_feature("durable")) return;
    clock_ = (struct kit_clock){1700000000000u, 1, 100000};
    directory_make(&directory);
    options.path = directory.path;
    options.clock = kit_clock_hook(&clock_);
    kh_db *db = kit_open_with(&options);
    kit_store(db, "k", 1);
    kit_close(db);
    options.flags |= KH_OPEN_READ_ONLY;
    db = kit_open_with(&options);
    is_at(db, kh_db_now(db), 1);
    kit_clock_advance(&clock_, 1000);
    kit_is(kh_txn_begin_at(db, now_of(&clock_), &txn, &error), KH_INVALID);
    assert_non_null(strstr(error.message, "this opening has seen"));
    kit_close(db);
    directory_remove(&directory);
}

/* ---- threads: a counter on disk, and moments of the real clock ------------------------------- */

enum { COMMITS = 300, READERS = 2 };

static kh_db *shared;
static _Atomic bool is_over;

static uint64_t wall_ms(void) {
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static int64_t read_at(kh_timestamp at) {
    kh_txn *txn = NULL;
    kit_is(kh_txn_begin_at(shared, at, &txn, NULL), KH_OK);
    int64_t value = kit_get(txn, "k");
    kit_commit_ok(txn);
    return value;
}

/* NULL, or what went wrong. */
static void *read_moments(void *argument) {
    static char changed[] = "a moment changed";
    static char changed_later[] = "a moment changed later";
    (void)argument;
    while (!atomic_load(&is_over)) {
        kh_timestamp moment = KH_TIMESTAMP_OF_MS(wall_ms());
        int64_t first = read_at(moment);
        int64_t later = read_at(moment);
        if (first != later) return changed;
        kh_txn *now = kit_begin(shared, KH_REPEATABLE_READ);
        (void)kit_get(now, "k");
        kit_rollback(now);
        if (read_at(moment) != first) return changed_later;
    }
    return NULL;
}

static void test_moments_beside_commits(void **state) {
    (void)state;
    struct directory directory;
    kh_options options = KH_OPTIONS_INIT;
    pthread_t readers[READERS];
    directory_make(&directory);
    options.path = directory.path;
    options.retention_ms = 1000000;
    shared = kit_open_with(&options);
    kit_store(shared, "k", 0);
    atomic_store(&is_over, false);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_moments, NULL), 0);
    for (int i = 1; i < COMMITS; i++) kit_store(shared, "k", i);
    atomic_store(&is_over, true);
    for (int i = 0; i < READERS; i++) {
        void *what = NULL;
        assert_int_equal(pthread_join(readers[i], &what), 0);
        if (what != NULL) fail_msg("%s", (const char *)what);
    }
    kit_close(shared);
    directory_remove(&directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_the_last_commit),
        cmocka_unit_test(test_nothing_commits_below),
        cmocka_unit_test(test_the_reader_is_registered),
        cmocka_unit_test(test_what_is_in_flight),
        cmocka_unit_test(test_a_log_that_failed),
        cmocka_unit_test(test_of_a_read_only_opening),
        cmocka_unit_test(test_moments_beside_commits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
