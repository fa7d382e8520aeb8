/* One thread adds to the list, drops by adding, and takes back; others search what they have pinned
 * meanwhile, make codes, and compare what they find with a look at every pair of it. For the thread
 * sanitizer, and for whoever is freed too early. */
#include "db/semantic_scan.h"
#include "support/delta_kit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ADDED = 6000 };
#else
enum { ADDED = 40000 };
#endif
enum { SEARCHERS = 3, DIMENSION = 24, POOL = 97, COUNT_MAX = 900 };

struct shared {
    struct semantic_list list;
    kh_delta *pool[POOL];
    _Atomic bool is_over;
    _Atomic uint64_t by_codes;
    _Atomic uint64_t found;
};

struct found {
    uint64_t commits[SEMANTIC_RUN_PAGES * SEMANTIC_PAGE];
    size_t count;
};

/* Equal values in deltas of their own: the list has the only references, so that what goes too
 * early is gone. */
static kh_delta *copy_of(const kh_delta *delta) {
    float *values = delta_kit_values(delta);
    kh_delta *copy = delta_kit_build(NULL, values, kh_delta_dimension(delta));
    free(values);
    return copy;
}

static void add(struct shared *shared, uint64_t commit, struct delta_dice *dice) {
    struct recent_delta recent = {
        commit, {1, commit}, copy_of(shared->pool[delta_kit_below(dice, POOL)]), COMPANY_NONE};
    lock_take(&shared->list.lock);
    semantic_list_reserve(&shared->list);
    semantic_list_add(&shared->list, &recent);
    if (delta_kit_below(dice, 2000) == 0)
        semantic_list_take_back(&shared->list, commit - delta_kit_below(dice, 300));
    lock_leave(&shared->list.lock);
    kh_delta_release(recent.delta);
}

static void *run_adder(void *context) {
    struct shared *shared = context;
    struct delta_dice dice = {5};
    for (uint64_t commit = 1000; commit < 1000 + ADDED; commit++) {
        add(shared, commit, &dice);
        if (commit % 64 == 0) sched_yield(); /* let others come between */
    }
    shared->is_over = true;
    return NULL;
}

static bool keep(void *context, const struct recent_delta *recent, kh_delta_class kind,
                 float similarity) {
    struct found *found = context;
    (void)similarity;
    if (!semantic_is_against(kind)) abort();
    found->commits[found->count++] = recent->commit;
    return true;
}

static void check_run(const struct semantic_run *run, const kh_delta *asked,
                      const struct found *found) {
    size_t next = 0;
    for (uint64_t number = run->from; number < run->to; number++) {
        const struct recent_delta *recent = semantic_run_at(run, number);
        if (!semantic_is_against(kh_delta_classify(asked, recent->delta, NULL, NULL))) continue;
        if (next >= found->count || found->commits[next++] != recent->commit) abort();
    }
    if (next != found->count) abort();
}

static void *run_searcher(void *context) {
    static const kh_delta_thresholds thresholds = KH_DELTA_THRESHOLDS_INIT;
    struct shared *shared = context;
    struct found *found = malloc(sizeof *found);
    if (found == NULL) abort();
    for (size_t i = 0; !shared->is_over; i++) {
        const kh_delta *asked = shared->pool[i % POOL];
        struct semantic_probe probe;
        struct semantic_run run;
        found->count = 0;
        semantic_probe_init(&probe, asked, &thresholds);
        lock_take(&shared->list.lock);
        semantic_list_pin(&shared->list, 0, &run);
        lock_leave(&shared->list.lock);
        if (!semantic_scan(&probe, &run, keep, found)) abort();
        check_run(&run, asked, found);
        shared->by_codes += probe.has_query;
        shared->found += found->count;
        semantic_probe_fini(&probe);
        semantic_run_unpin(&run);
    }
    free(found);
    return NULL;
}

/* Dense ones around a direction, and a few sparse ones. */
static void fill_pool(struct shared *shared) {
    struct delta_dice dice = {3};
    float center[DIMENSION];
    float values[DIMENSION];
    for (size_t i = 0; i < DIMENSION; i++) center[i] = delta_kit_float(&dice);
    for (size_t at = 0; at < POOL; at++) {
        float mix = (float)(at % 5) - 2;
        for (size_t i = 0; i < DIMENSION; i++) {
            values[i] = mix * center[i] + delta_kit_float(&dice);
            if (at % 16 == 0 && i % 4 != 0) values[i] = 0;
        }
        shared->pool[at] = delta_kit_build(NULL, values, DIMENSION);
    }
}

static void test_threads(void **state) {
    (void)state;
    static struct shared shared;
    pthread_t threads[SEARCHERS + 1];
    fill_pool(&shared);
    semantic_list_init(&shared.list, mem_process(), COUNT_MAX, 256 << 20);
    assert_int_equal(pthread_create(&threads[SEARCHERS], NULL, run_adder, &shared), 0);
    for (int i = 0; i < SEARCHERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_searcher, &shared), 0);
    for (int i = 0; i <= SEARCHERS; i++) pthread_join(threads[i], NULL);
    print_message("%llu searches by codes, %llu found\n", (unsigned long long)shared.by_codes,
                  (unsigned long long)shared.found);
    semantic_list_fini(&shared.list);
    for (size_t i = 0; i < POOL; i++) kh_delta_release(shared.pool[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
