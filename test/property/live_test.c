/* live_test.c - transactions that are listed by one thread while another asks for their ids, starts
 * their commits and closes them, and while the process forks. Most of it is for the thread
 * sanitizer to see; what the plain build can see is asserted. */
#include "support/held_log.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 3000, FORKS = 40 };
#else
enum { ROUNDS = 60000, FORKS = 400 };
#endif

struct lister {
    kh_db *db;
    pthread_t thread;
    struct held_log *held; /* of the thread that answers for it */
    _Atomic bool is_over;
    _Atomic int listed;
    int wrong;
};

static bool look(void *context, const kh_live_txn *txn) {
    struct lister *lister = context;
    if (txn->id.low == 0 || strcmp(txn->tag, "a tag that is looked at") != 0) lister->wrong++;
    lister->listed++;
    return true;
}

static void *list(void *argument) {
    struct lister *lister = argument;
    while (!lister->is_over) {
        if (kh_db_live(lister->db, look, lister, NULL) != KH_OK) lister->wrong++;
    }
    return NULL;
}

static void start(struct lister *lister, kh_db *db) {
    *lister = (struct lister){.db = db};
    assert_int_equal(pthread_create(&lister->thread, NULL, list, lister), 0);
}

static void stop(struct lister *lister) {
    lister->is_over = true;
    assert_int_equal(pthread_join(lister->thread, NULL), 0);
    assert_int_equal(lister->wrong, 0);
    assert_true(lister->listed > 0);
}

static kh_txn *begin_tagged(kh_db *db) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.tag = "a tag that is looked at";
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_OK);
    return txn;
}

/* Whoever asks first, there is one id, and no other transaction has it. */
static void test_ids_stay(void **state) {
    (void)state;
    kh_db *db = kit_open();
    struct lister lister;
    uint64_t last = 0;
    start(&lister, db);
    for (int i = 0; i < ROUNDS || lister.listed == 0; i++) {
        kh_txn *txn = begin_tagged(db);
        kh_txn_id id = kh_txn_get_id(txn);
        bool is_there = false;
        kit_is(kh_txn_exists(txn, kit_key("k"), &is_there, NULL), KH_OK);
        kh_txn_id again = kh_txn_get_id(txn);
        assert_true(id.low == again.low && id.high == again.high);
        assert_true(id.low > last);
        last = id.low;
        kit_is(kh_db_cancel(db, id, NULL), KH_OK);
        kh_txn_close(txn);
    }
    stop(&lister);
    kit_close(db);
}

/* A started commit ends outside of any call: its handle goes while the list is looking at it. */
static void test_started_commits_close(void **state) {
    (void)state;
    struct held_log held;
    kh_options options = kit_options();
    held_log_init(&held, HELD_UNTIL_TOLD);
    options.log = &held.log;
    kh_db *db = kit_open_with(&options);
    struct lister lister;
    start(&lister, db);
    for (int i = 0; i < ROUNDS || lister.listed == 0; i++) {
        kh_txn *txn = begin_tagged(db);
        kit_put(txn, "k", i);
        kit_is(kh_txn_commit_start(txn, NULL), KH_OK);
        held_log_answer(&held, UINT64_MAX, KH_LOG_KEPT);
        kit_is(kh_txn_poll(txn, NULL), KH_OK);
        kh_txn_close(txn);
    }
    stop(&lister);
    kit_close(db);
    held_log_fini(&held);
}

static void *answer(void *argument) {
    struct lister *answerer = argument;
    while (!answerer->is_over) held_log_answer(answerer->held, UINT64_MAX, KH_LOG_KEPT);
    return NULL;
}

/* The descriptor tells of an outcome that is there. */
static void test_descriptor_comes_after(void **state) {
    (void)state;
    struct held_log held;
    kh_options options = kit_options();
    held_log_init(&held, HELD_UNTIL_TOLD);
    options.log = &held.log;
    kh_db *db = kit_open_with(&options);
    struct lister answerer = {.db = db, .held = &held};
    for (int i = 0; i < ROUNDS / 4; i++) {
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        kit_put(txn, "k", i);
        kit_is(kh_txn_commit_start(txn, NULL), KH_OK);
        struct pollfd wait_for = {.fd = kh_txn_descriptor(txn), .events = POLLIN};
        assert_true(wait_for.fd >= 0);
        if (i == 0) assert_int_equal(pthread_create(&answerer.thread, NULL, answer, &answerer), 0);
        while (poll(&wait_for, 1, 0) == 0) {
        }
        kit_is(kh_txn_poll(txn, NULL), KH_OK);
        kh_txn_close(txn);
    }
    answerer.is_over = true;
    assert_int_equal(pthread_join(answerer.thread, NULL), 0);
    kit_close(db);
    held_log_fini(&held);
}

struct last_answer {
    pthread_t thread;
    struct held_log held;
};

static void *answer_last(void *argument) {
    struct last_answer *last = argument;
    held_log_answer(&last->held, UINT64_MAX, KH_LOG_KEPT);
    return NULL;
}

/* The outcome shows before the log's call of complete has returned; the log has no close. */
static void test_close_waits_for_the_answerer(void **state) {
    (void)state;
    for (int i = 0; i < ROUNDS / 40; i++) {
        struct last_answer last;
        kh_options options = kit_options();
        held_log_init(&last.held, HELD_UNTIL_TOLD);
        last.held.log.close = NULL;
        options.log = &last.held.log;
        kh_db *db = kit_open_with(&options);
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        kit_put(txn, "k", i);
        kit_is(kh_txn_commit_start(txn, NULL), KH_OK);
        assert_int_equal(pthread_create(&last.thread, NULL, answer_last, &last), 0);
        if (i % 2 == 0) kit_is(kh_txn_wait(txn, UINT32_MAX, NULL), KH_OK);
        kh_txn_close(txn); /* odd rounds: closed while in flight, close waits */
        kit_close(db);
        assert_int_equal(pthread_join(last.thread, NULL), 0);
        held_log_fini(&last.held);
    }
}

/* 0: every call answered FORKED. The alarm ends a child that waits for somebody who is not there.
 */
static int child(kh_db *db, kh_txn *txn) {
    kh_batch *batch = NULL;
    kh_txn *more = NULL;
    kh_stats stats = {.size = sizeof stats};
    (void)alarm(20);
    kh_txn_id id = kh_txn_get_id(txn);
    kh_status answers[] = {kh_txn_get(txn, kit_key("k"), &batch, NULL),
                           kh_txn_delete(txn, kit_key("k"), NULL),
                           kh_txn_commit(txn, NULL, NULL),
                           kh_txn_rollback(txn),
                           kh_txn_begin(db, NULL, &more, NULL),
                           kh_db_stats(db, &stats, NULL),
                           kh_db_cancel(db, id, NULL),
                           kh_db_close(db)};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        if (answers[i] != KH_FORKED) return (int)i + 1;
    kh_txn_close(txn);
    return 0;
}

/* Forked while another thread is inside of the library, perhaps with the very handle in its hands.
 */
static void test_fork_beside_calls(void **state) {
    (void)state;
    kh_db *db = kit_open();
    struct lister lister;
    kh_txn *txn = begin_tagged(db);
    start(&lister, db);
    for (int i = 0; i < FORKS; i++) {
        int status = 0;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) _exit(child(db, txn));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("child %d ended with %#x", i, (unsigned)status);
    }
    stop(&lister);
    kit_rollback(txn);
    kit_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_stay),
        cmocka_unit_test(test_started_commits_close),
        cmocka_unit_test(test_descriptor_comes_after),
        cmocka_unit_test(test_close_waits_for_the_answerer),
        cmocka_unit_test(test_fork_beside_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
