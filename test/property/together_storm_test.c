/* Workspaces that commit together in a storm: others lock, wait, commit and roll back beside them,
 * workspaces are cancelled and expire, everything is listed all the time. Money that goes from one
 * account to another by two members of a group is neither made nor lost, whoever looks. */
#include "support/kit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 300 };
#else
enum { ROUNDS = 3000 };
#endif
enum { ACCOUNTS = 6, START = 100, WORKERS = 3 };

struct storm {
    kh_db *db;
    _Atomic bool is_over;
    _Atomic uint64_t committed, refused, cancelled, expired, locked, looks;
};

static uint32_t draw(uint64_t *seed, uint32_t below) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % below;
}

static kh_bytes key_of(uint32_t account) {
    static const char *const names[ACCOUNTS] = {"a", "b", "c", "d", "e", "f"};
    return kit_key(names[account]);
}

/* Not kit_is: cmocka is of one thread. */
static void must(bool is_so, int line) {
    if (is_so) return;
    (void)fprintf(stderr, "together_storm_test.c:%d: it is not so\n", line);
    abort();
}
#define MUST(condition) must((condition), __LINE__)

static int64_t number_in(const kh_batch *batch) {
    int64_t number = 0;
    MUST(batch != NULL);
    number = kit_number_of(batch);
    return number;
}

static kh_status move(struct storm *storm, kh_workspace *workspace, uint32_t account,
                      int64_t amount, uint64_t *seed) {
    kh_batch *value = NULL;
    if (draw(seed, 3) == 0) {
        kh_lock lock = {key_of(account), KH_LOCK_EXCLUSIVE};
        kh_lock_options options = KH_LOCK_OPTIONS_INIT;
        if (draw(seed, 2) == 0) options.flags = KH_LOCK_TRY;
        kh_status status = kh_txn_lock(kh_workspace_txn(workspace), &lock, 1, &options, NULL);
        if (status != KH_OK) {
            atomic_fetch_add(&storm->locked, 1);
            return status;
        }
    }
    kh_status status = kh_workspace_get(workspace, key_of(account), &value, NULL);
    if (status != KH_OK) return status;
    kh_batch *next = kit_number(storm->db, number_in(value) + amount);
    kh_batch_release(value);
    status = kh_workspace_put(workspace, key_of(account), next, NULL);
    kh_batch_release(next);
    return status;
}

static void begin_both(struct storm *storm, kh_workspace **both, uint64_t *seed) {
    for (int i = 0; i < 2; i++) {
        kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
        options.txn.isolation = draw(seed, 2) == 0 ? KH_SERIALIZABLE : KH_REPEATABLE_READ;
        options.txn.timeout_ms = draw(seed, 10) == 0 ? 5 : 1000;
        options.txn.lock_wait = draw(seed, 2) == 0 ? KH_LOCK_WAIT : KH_LOCK_REFUSE;
        MUST(kh_workspace_begin(storm->db, &options, &both[i], NULL) == KH_OK);
    }
}

/* As the header says it is after the call. */
static void check_both(struct storm *storm, kh_workspace *const *both, kh_status status,
                       size_t culprit) {
    for (size_t i = 0; i < 2; i++) {
        kh_outcome outcome;
        kh_workspace_state wanted = status == KH_OK ? KH_WORKSPACE_COMMITTED
                                    : i == culprit  ? KH_WORKSPACE_FAILED
                                                    : KH_WORKSPACE_ACTIVE;
        MUST(kh_workspace_state_of(both[i]) == wanted);
        if (status != KH_OK) continue;
        MUST(kh_db_outcome(storm->db, kh_workspace_id(both[i]), &outcome, NULL, NULL) == KH_OK);
        MUST(outcome == KH_OUTCOME_COMMITTED);
    }
}

static kh_status transfer(struct storm *storm, kh_workspace *const *both, uint64_t *seed) {
    uint32_t from = draw(seed, ACCOUNTS);
    uint32_t to = (from + 1 + draw(seed, ACCOUNTS - 1)) % ACCOUNTS;
    int64_t amount = 1 + (int64_t)draw(seed, 5);
    size_t culprit = 9;
    kh_status status = move(storm, both[0], from, -amount, seed);
    if (status == KH_OK) status = move(storm, both[1], to, amount, seed);
    if (status == KH_OK && draw(seed, 20) == 0) sched_yield();
    if (status != KH_OK) return status;
    status = kh_workspace_commit_together(both, 2, NULL, &culprit, NULL);
    check_both(storm, both, status, culprit);
    return status;
}

static void *work(void *context) {
    struct storm *storm = context;
    static _Atomic uint64_t seeds;
    uint64_t seed = atomic_fetch_add(&seeds, 1) * 77777 + 5;
    for (int round = 0; round < ROUNDS; round++) {
        kh_workspace *both[2] = {NULL, NULL};
        begin_both(storm, both, &seed);
        kh_status status = transfer(storm, both, &seed);
        atomic_fetch_add(status == KH_OK          ? &storm->committed
                         : status == KH_CANCELLED ? &storm->cancelled
                         : status == KH_EXPIRED   ? &storm->expired
                                                  : &storm->refused,
                         1);
        for (int i = 0; i < 2; i++) kh_workspace_close(both[i]);
    }
    return NULL;
}

static bool cancel_some(void *context, const kh_workspace_entry *entry) {
    kh_txn_id *found = context;
    *found = entry->id;
    return false;
}

struct seen {
    int count;
    kh_txn_id id; /* a writer's: a workspace's, or a group's own */
};

static bool see_live(void *context, const kh_live_txn *live) {
    struct seen *seen = context;
    seen->count++;
    if (!live->is_read_only) seen->id = live->id;
    return true;
}

static void *disturb(void *context) {
    struct storm *storm = context;
    uint64_t seed = 99;
    while (!atomic_load(&storm->is_over)) {
        kh_txn_id id = {0, 0};
        struct seen live = {0};
        kh_stats stats = {.size = sizeof stats};
        MUST(kh_db_workspaces(storm->db, cancel_some, &id, NULL) == KH_OK);
        if (id.low != 0 && draw(&seed, 4) == 0) {
            kh_status status = kh_db_remove_workspace(storm->db, id, NULL);
            MUST(status == KH_OK || status == KH_NOT_FOUND);
        }
        MUST(kh_db_live(storm->db, see_live, &live, NULL) == KH_OK);
        if (live.id.low != 0 && draw(&seed, 4) == 0) {
            kh_status status = kh_db_cancel(storm->db, live.id, NULL);
            MUST(status == KH_OK || status == KH_NOT_FOUND);
        }
        MUST(kh_db_stats(storm->db, &stats, NULL) == KH_OK);
        sched_yield();
    }
    return NULL;
}

static void *look(void *context) {
    struct storm *storm = context;
    while (!atomic_load(&storm->is_over)) {
        kh_txn_options options = KH_TXN_OPTIONS_INIT;
        options.flags = KH_BEGIN_READ_ONLY;
        kh_txn *txn;
        int64_t sum = 0;
        MUST(kh_txn_begin(storm->db, &options, &txn, NULL) == KH_OK);
        for (uint32_t i = 0; i < ACCOUNTS; i++) {
            kh_batch *value = NULL;
            MUST(kh_txn_get(txn, key_of(i), &value, NULL) == KH_OK);
            sum += number_in(value);
            kh_batch_release(value);
        }
        kh_txn_close(txn);
        MUST(sum == ACCOUNTS * START);
        atomic_fetch_add(&storm->looks, 1);
    }
    return NULL;
}

/* Everything that began has ended in one of these ways. */
static void check_stats(kh_db *db) {
    kh_stats stats = {.size = sizeof stats};
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    uint64_t aborts = stats.aborts_conflict + stats.aborts_not_serializable + stats.aborts_expired +
                      stats.aborts_cancelled + stats.aborts_busy + stats.aborts_held +
                      stats.aborts_rows + stats.aborts_other + stats.aborts_locked +
                      stats.aborts_deadlock + stats.aborts_semantic;
    assert_int_equal(stats.begins,
                     stats.commits + stats.commits_read_only + stats.rollbacks + aborts);
}

static void run(struct storm *storm) {
    pthread_t threads[WORKERS + 2];
    for (int i = 0; i < WORKERS + 2; i++) {
        void *(*role)(void *) = i < WORKERS ? work : i == WORKERS ? disturb : look;
        assert_int_equal(pthread_create(&threads[i], NULL, role, storm), 0);
    }
    for (int i = 0; i < WORKERS + 2; i++) {
        if (i == WORKERS) atomic_store(&storm->is_over, true);
        (void)pthread_join(threads[i], NULL);
    }
}

static void test_storm(void **state) {
    (void)state;
    static const char *const names[ACCOUNTS] = {"a", "b", "c", "d", "e", "f"};
    struct storm storm = {0};
    kh_options options = kit_options();
    int64_t sum = 0;
    options.flags &= ~(uint32_t)KH_OPEN_NO_THREADS;
    storm.db = kit_open_with(&options);
    for (int i = 0; i < ACCOUNTS; i++) kit_store(storm.db, names[i], START);
    run(&storm);
    for (int i = 0; i < ACCOUNTS; i++) sum += kit_load(storm.db, names[i]);
    assert_int_equal(sum, ACCOUNTS * START);
    print_message("committed %llu, refused %llu, cancelled %llu, expired %llu, locked %llu, %llu\n",
                  (unsigned long long)storm.committed, (unsigned long long)storm.refused,
                  (unsigned long long)storm.cancelled, (unsigned long long)storm.expired,
                  (unsigned long long)storm.locked, (unsigned long long)storm.looks);
    check_stats(storm.db);
    assert_true(storm.committed > ROUNDS / 20);
    kit_close(storm.db);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_storm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
