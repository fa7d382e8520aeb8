/* Closing while the log's thread lets others run: what is said meanwhile must not be missed.
 *
 * The calls of the system that matter are this program's: the log's thread is held in its yield
 * until its end has been asked for and is waited for. Whether it goes to sleep after that is what
 * is looked at; it would not be woken any more. */
#define _GNU_SOURCE /* the next definition of a name, of a version */
#include "support/path_fixture.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/prctl.h>

enum { TOGETHER = 8, ROUNDS_MOST = 1000 };

static _Atomic int yields;          /* of anybody: the log has seen company */
static _Atomic bool is_armed;       /* the next yield of the log's thread is held */
static _Atomic bool is_joined;      /* its end is waited for */
static _Atomic int waits_after_end; /* of the log's thread */
static sem_t in_yield;
static sem_t go_on;

static void *next_named(const char *name) {
    void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2"); /* the newer of two, where there are */
    if (found == NULL) found = dlsym(RTLD_NEXT, name);
    assert_non_null(found);
    return found;
}

static bool is_log_thread(void) {
    char name[16] = "";
    (void)prctl(PR_GET_NAME, name);
    return strcmp(name, "khonsu-log") == 0;
}

int sched_yield(void) {
    atomic_fetch_add(&yields, 1);
    if (is_log_thread() && atomic_exchange(&is_armed, false)) {
        (void)sem_post(&in_yield);
        while (sem_wait(&go_on) != 0) {
        }
    }
    return 0;
}

/* True: it shall not sleep, or it would for ever. */
static bool note_wait(void) {
    if (!is_log_thread() || !atomic_load(&is_joined)) return false;
    atomic_fetch_add(&waits_after_end, 1);
    return true;
}

int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
    int (*wait)(pthread_cond_t *, pthread_mutex_t *);
    *(void **)&wait = next_named("pthread_cond_wait");
    return note_wait() ? 0 : wait(condition, mutex);
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                           const struct timespec *deadline) {
    int (*wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    *(void **)&wait = next_named("pthread_cond_timedwait");
    return note_wait() ? 0 : wait(condition, mutex, deadline);
}

static pthread_t closer;

/* The first thread that a close waits for is the upkeep's: it is not held. */
int pthread_join(pthread_t thread, void **result) {
    int (*join)(pthread_t, void **);
    *(void **)&join = next_named("pthread_join");
    char name[16] = "";
    (void)pthread_getname_np(thread, name, sizeof name);
    if (strcmp(name, "khonsu-log") == 0 && pthread_equal(pthread_self(), closer)) {
        atomic_store(&is_joined, true);
        (void)sem_post(&go_on);
    }
    return join(thread, result);
}

static kh_txn *start(kh_db *db, const char *key, int64_t number) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_put(txn, key, number);
    kit_is(kh_txn_commit_start(txn, NULL), KH_OK);
    return txn;
}

static void finish(kh_txn *txn) {
    kit_is(kh_txn_wait(txn, 60000, NULL), KH_OK);
    kh_txn_close(txn);
}

/* Until a writer lets others run. */
static void make_company(kh_db *db) {
    int before = atomic_load(&yields);
    for (int round = 0; round < ROUNDS_MOST && atomic_load(&yields) == before; round++) {
        kh_txn *txns[TOGETHER];
        char key[] = "a";
        for (int i = 0; i < TOGETHER; i++) {
            key[0] = (char)('a' + i);
            txns[i] = start(db, key, round);
        }
        for (int i = 0; i < TOGETHER; i++) finish(txns[i]);
    }
    assert_true(atomic_load(&yields) > before);
}

/* Somebody else may have written it first, the upkeep for one: then once more. */
static kh_txn *start_and_hold(kh_db *db) {
    for (int64_t number = 0;; number++) {
        make_company(db);
        kh_txn *txn = start(db, "k", number);
        while (kh_txn_poll(txn, NULL) == KH_PENDING)
            if (sem_trywait(&in_yield) == 0) return txn;
        kh_txn_close(txn);
    }
}

static void *close_it(void *context) {
    closer = pthread_self();
    kit_close(context);
    return NULL;
}

static void an_end_said_meanwhile_is_heard(void **state) {
    (void)state;
    struct fixture f;
    pthread_t thread;
    make_fixture(&f, 0);
    f.options.sync = KH_SYNC_FULL;
    f.db = kit_open_with(&f.options);
    assert_int_equal(sem_init(&in_yield, 0, 0), 0);
    assert_int_equal(sem_init(&go_on, 0, 0), 0);
    atomic_store(&is_armed, true);
    kh_txn *txn = start_and_hold(f.db);
    finish(txn); /* this thread writes the group: the other will find nothing to do */
    assert_int_equal(pthread_create(&thread, NULL, close_it, f.db), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(atomic_exchange(&is_joined, false));
    assert_int_equal(atomic_load(&waits_after_end), 0);
    f.db = kit_open_with(&f.options);
    assert_true(kit_load(f.db, "k") >= 0);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_end_said_meanwhile_is_heard)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
