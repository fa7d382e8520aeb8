/* lock_threads_test.c - real threads and key locks: the table alone, with a shadow that sees two
 * where one should be; and counters in a database, at every level, where who locks before reading
 * is never refused for a rival, beside others that take no locks and must not get between.
 *
 * KH_TEST_THREADS, KH_TEST_SCALE (per cent), KH_TEST_SEED. */
#include "support/kv_batches.h"
#include "support/lock_kit.h"
#include "support/locking_kit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SCALE_DEFAULT 15
#else
#define SCALE_DEFAULT 100
#endif
enum { THREADS_MAX = 16, KEYS = 5 };

struct crew;
typedef void job(struct crew *crew, int thread, struct kv_random *random);

struct crew {
    int thread_count;
    int rounds;
    job *run;
    uint64_t seed;
    _Atomic int next_thread;
    _Atomic int wrong;
    /* the table's */
    struct locks table;
    struct env_clock clock;
    _Atomic int readers[KEYS];
    _Atomic int writers[KEYS];
    _Atomic uint64_t deadlocks;
    _Atomic uint64_t conflicts;
    /* the database's */
    kh_db *db;
    kh_isolation isolation;
    _Atomic int64_t added[KEYS];
};

static const char *const names[KEYS] = {"a", "b", "c", "d", "e"};

static void *work(void *argument) {
    struct crew *crew = argument;
    int thread = atomic_fetch_add(&crew->next_thread, 1);
    struct kv_random random;
    kv_random_seed(&random, crew->seed * 1000 + (uint64_t)thread);
    crew->run(crew, thread, &random);
    return NULL;
}

static void run_crew(struct crew *crew, int rounds) {
    pthread_t threads[THREADS_MAX];
    crew->thread_count = (int)kit_env("KH_TEST_THREADS", 6);
    crew->rounds = (int)((uint64_t)rounds * kit_env("KH_TEST_SCALE", SCALE_DEFAULT) / 100) + 1;
    crew->seed = kit_env("KH_TEST_SEED", 1);
    assert_in_range(crew->thread_count, 1, THREADS_MAX);
    for (int i = 0; i < crew->thread_count; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, crew), 0);
    for (int i = 0; i < crew->thread_count; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(crew->wrong, 0);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* What the thread has of each key goes into the shadow while it works, and comes out of it before
 * each wait: who waits may lose all that it has. */
static void shadow_enter(struct crew *crew, const kh_lock_mode *has) {
    for (int key = 0; key < KEYS; key++) {
        if (has[key] == 0) continue;
        bool is_exclusive = has[key] == KH_LOCK_EXCLUSIVE;
        int others = is_exclusive ? crew->writers[key]++ : crew->writers[key];
        if (is_exclusive) others += crew->readers[key];
        if (!is_exclusive) crew->readers[key]++;
        if (others != 0) crew->wrong++;
    }
}

static void shadow_leave(struct crew *crew, const kh_lock_mode *has) {
    for (int key = 0; key < KEYS; key++) {
        if (has[key] == KH_LOCK_SHARED) crew->readers[key]--;
        if (has[key] == KH_LOCK_EXCLUSIVE) crew->writers[key]--;
    }
}

static kh_status lock_some(struct crew *crew, struct lock_owner *owner, struct kv_random *random,
                           kh_lock_mode *has) {
    struct lock_request requests[2];
    struct lock_blocker blocker;
    int picked[2];
    kh_lock_mode modes[2];
    size_t count = (size_t)(1 + kv_random_below(random, 2));
    for (size_t i = 0; i < count; i++) {
        picked[i] = kv_random_below(random, KEYS);
        modes[i] = kv_random_below(random, 2) == 0 ? KH_LOCK_SHARED : KH_LOCK_EXCLUSIVE;
        requests[i] = lock_kit_request(names[picked[i]], modes[i]);
    }
    uint64_t now_ns = env_monotonic_ns(&crew->clock);
    int way = kv_random_below(random, 8);
    uint64_t deadline_ns = way == 1 ? now_ns + 100000 : UINT64_MAX;
    kh_status status = way == 0 ? locks_try(&crew->table, owner, requests, count, now_ns, &blocker)
                                : locks_wait(&crew->table, owner, requests, count, &crew->clock,
                                             deadline_ns, &blocker);
    for (size_t i = 0; status == KH_OK && i < count; i++)
        if (has[picked[i]] < modes[i]) has[picked[i]] = modes[i];
    return status;
}

/* False: it was a victim. */
static bool work_once(struct crew *crew, struct lock_owner *owner, struct kv_random *random) {
    kh_lock_mode has[KEYS] = {(kh_lock_mode)0};
    int calls = 1 + kv_random_below(random, 3);
    for (int i = 0; i < calls; i++) {
        kh_status status = lock_some(crew, owner, random, has);
        if (status == KH_LOCK_CONFLICT) crew->conflicts++;
        if (status == KH_DEADLOCK) return false;
        if (status != KH_OK && status != KH_LOCK_CONFLICT) crew->wrong++;
        shadow_enter(crew, has);
        if (kv_random_below(random, 4) == 0) (void)sched_yield();
        shadow_leave(crew, has);
    }
    return true;
}

static void use_table(struct crew *crew, int thread, struct kv_random *random) {
    struct lock_owner owner = {.begun = 0};
    for (int round = 0; round < crew->rounds; round++) {
        kh_txn_id id = {(uint64_t)thread, (uint64_t)round + 1};
        locks_enroll(&owner, id, (uint64_t)round, 0);
        if (!work_once(crew, &owner, random)) crew->deadlocks++;
        locks_end(&crew->table, &owner);
    }
}

static void test_table(void **state) {
    (void)state;
    for (int policy = KH_VICTIM_YOUNGEST; policy <= KH_VICTIM_MOST_LOCKS; policy++) {
        struct crew crew = {.run = use_table, .clock = env_clock_system()};
        struct mem *mem = mem_create(NULL);
        locks_init(&crew.table, mem, 0, (kh_lock_victim)policy);
        run_crew(&crew, 20000);
        struct lock_counts counts;
        locks_count(&crew.table, &counts);
        print_message("policy %d: %llu grants, %llu waits, %llu deadlocks, %llu conflicts, "
                      "longest queue %llu\n",
                      policy, (unsigned long long)counts.grants, (unsigned long long)counts.waits,
                      (unsigned long long)counts.deadlocks, (unsigned long long)crew.conflicts,
                      (unsigned long long)counts.queue_longest);
        assert_int_equal(counts.held, 0);
        assert_int_equal(counts.waiting, 0);
        assert_int_equal(counts.victims, crew.deadlocks);
        assert_true(locks_is_empty(&crew.table));
        locks_fini(&crew.table);
        mem_close(mem);
    }
}

/* ---- counters -------------------------------------------------------------------------------- */

static kh_status add_one(kh_txn *txn, int key) {
    const kh_batch *batch = NULL;
    int64_t number = 0;
    kh_status status = kh_txn_peek(txn, kit_key(names[key]), &batch, NULL);
    if (status == KH_OK) status = kh_batch_int64(batch, 0, 0, &number);
    if (status != KH_OK && status != KH_NOT_FOUND) return status;
    kh_batch *next = kit_number(NULL, number + 1);
    status = kh_txn_put(txn, kit_key(names[key]), next, NULL);
    kh_batch_release(next);
    return status;
}

/* Both before the first read, in any order: deadlocks come of it, and nothing else. */
static void add_under_locks(struct crew *crew, struct kv_random *random) {
    int keys[2] = {kv_random_below(random, KEYS), kv_random_below(random, KEYS)};
    for (;;) {
        kh_txn_options options = KH_TXN_OPTIONS_INIT;
        kh_txn *txn = NULL;
        options.isolation = crew->isolation;
        kh_status status = kh_txn_begin(crew->db, &options, &txn, NULL);
        for (int i = 0; i < 2 && status == KH_OK; i++)
            status = locking_lock(txn, names[keys[i]], KH_LOCK_EXCLUSIVE, 0);
        if (status == KH_DEADLOCK) {
            crew->deadlocks++;
            kh_txn_close(txn);
            continue;
        }
        for (int i = 0; i < 2 && status == KH_OK; i++) status = add_one(txn, keys[i]);
        if (status == KH_OK) status = kh_txn_commit(txn, NULL, NULL);
        if (status != KH_OK) crew->wrong++;
        kh_txn_close(txn);
        break;
    }
    for (int i = 0; i < 2; i++) crew->added[keys[i]]++;
}

/* Without locks: again and again, waiting for them at commit or not. */
static void add_without(struct crew *crew, struct kv_random *random) {
    int key = kv_random_below(random, KEYS);
    kh_lock_wait wait = kv_random_below(random, 2) == 0 ? KH_LOCK_WAIT : KH_LOCK_REFUSE;
    kh_status status;
    do {
        kh_txn_options options = KH_TXN_OPTIONS_INIT;
        kh_txn *txn = NULL;
        options.isolation = crew->isolation;
        options.lock_wait = wait;
        status = kh_txn_begin(crew->db, &options, &txn, NULL);
        if (status == KH_OK) status = add_one(txn, key);
        if (status == KH_OK) status = kh_txn_commit(txn, NULL, NULL);
        kh_txn_close(txn);
        if (status != KH_OK) (void)sched_yield();
        if (status == KH_LOCK_CONFLICT) crew->conflicts++;
    } while (kh_status_classify(status) == KH_CLASS_RETRY);
    if (status != KH_OK) crew->wrong++;
    crew->added[key]++;
}

static void count_up(struct crew *crew, int thread, struct kv_random *random) {
    for (int round = 0; round < crew->rounds; round++) {
        if (thread % 3 == 2) {
            add_without(crew, random);
        } else {
            add_under_locks(crew, random);
        }
    }
}

static void test_counters(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++) {
        kh_options options = KH_OPTIONS_INIT;
        options.timeout_ms = 600000;
        options.lock_timeout_ms = 600000;
        struct crew crew = {.run = count_up, .isolation = kit_levels[level]};
        crew.db = kit_open_with(&options);
        run_crew(&crew, 5000);
        for (int key = 0; key < KEYS; key++)
            kit_load_is(crew.db, names[key], crew.added[key] == 0 ? KIT_ABSENT : crew.added[key]);
        kh_stats stats = locking_stats(crew.db);
        print_message("%s: %llu commits, %llu waits, %llu deadlocks, %llu met a lock\n",
                      kit_level_names[kit_levels[level]], (unsigned long long)stats.commits,
                      (unsigned long long)stats.lock_waits,
                      (unsigned long long)stats.lock_deadlocks, (unsigned long long)crew.conflicts);
        assert_int_equal(stats.locks_held, 0);
        kit_close(crew.db);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
