/* stress.c - everything at once, for as long as it is asked to.
 *
 *     khonsu-stress [--seconds N] [--seed N] [--threads N] [--episodes N]
 *
 * Episodes, each on a database with other options (log, allocator, retention, memory limit,
 * threads, revocation), run workers that do at random all that the interface offers; stress.h has
 * the parts. What the workers do depends on seed and scheduling: the same seed draws the same
 * actions, not the same interleaving. The last line is a JSON object with what was done; the exit
 * status is 1 when a promise was broken.
 *
 * Memory is sampled after each episode's close: the bytes in use in the process' heap, and what is
 * resident after free memory was given back. Two cycles of all episode kinds warm up. Afterwards,
 * however long the run, the most in use in the last cycle may exceed the most in the second one by
 * 64 KiB, and the least resident of the last cycle the most of the second one by 4 MiB (free memory
 * between used blocks comes and goes). */
#include "stress.h"

#include <malloc.h>
#include <stdarg.h>

_Atomic int stress_failures;

enum { KINDS = 8, SAMPLES_MAX = 1 << 18 };

struct run {
    uint64_t seconds;
    uint64_t seed;
    int threads; /* 0: as the episode says */
    int episodes_max;
    int episodes;
    uint64_t began_ns;
    struct tally tally;
    uint64_t in_use[SAMPLES_MAX];
    uint64_t resident[SAMPLES_MAX];
};

static void say_wrong(const struct world *world, const struct worker *worker, const char *format,
                      va_list arguments) {
    char text[512];
    int number = atomic_fetch_add_explicit(&stress_failures, 1, memory_order_relaxed);
    if (number >= 20) return;
    (void)vsnprintf(text, sizeof text, format, arguments);
    fprintf(stderr, "stress: episode %d (seed %llu), worker %d, %s: %s\n", world->options.number,
            (unsigned long long)world->options.seed, worker == NULL ? -1 : worker->number,
            worker == NULL ? "-" : atomic_load_explicit(&worker->doing, memory_order_relaxed),
            text);
}

void wrong(struct worker *worker, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say_wrong(worker->world, worker, format, arguments);
    va_end(arguments);
    atomic_store_explicit(&worker->world->is_stopped, true, memory_order_relaxed);
}

void wrong_at(struct world *world, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    say_wrong(world, NULL, format, arguments);
    va_end(arguments);
    atomic_store_explicit(&world->is_stopped, true, memory_order_relaxed);
}

/* ---- actions --------------------------------------------------------------------------------- */

const struct action actions[] = {
    {"transfer", 20, true, act_transfer},
    {"group", 10, true, act_group},
    {"swap", 4, true, act_swap},
    {"callback", 5, true, act_called},
    {"ignore", 4, true, act_ignored},
    {"replace", 4, true, act_replaced},
    {"duty", 9, true, act_duty},
    {"pair", 9, true, act_pair},
    {"mirror", 6, true, act_mirror},
    {"receipt", 7, true, act_receipt},
    {"close_lane", 4, true, act_close_lane},
    {"report", 7, true, act_report},
    {"append", 4, true, act_append},
    {"merge", 5, false, act_merge},
    {"row_ops", 7, false, act_row_ops},
    {"churn", 8, false, act_churn},
    {"snapshot", 9, true, act_snapshot},
    {"scan", 6, true, act_scan},
    {"long_reader", 9, false, act_long_reader},
    {"past", 4, false, act_past},
    {"history", 2, false, act_history},
    {"export", 4, false, act_export},
    {"stream", 3, true, act_stream},
    {"cancel", 3, false, act_cancel},
    {"expire", 1, false, act_expire},
    {"abandon", 4, false, act_abandon},
    {"stats", 2, false, act_stats},
    {"second", 1, false, act_second},
    {"fat", 3, false, act_fat},
    {"decide", 9, false, act_decide},
    {"meaning", 3, false, act_look_for_meaning},
    {"step", 2, false, act_step},
};
const int action_count = (int)(sizeof actions / sizeof actions[0]);

void act(struct worker *worker) {
    int total = 0;
    int which = 0;
    for (int i = 0; i < action_count; i++) total += actions[i].weight;
    for (int left = draw(&worker->random, total); left >= actions[which].weight; which++)
        left -= actions[which].weight;
    atomic_store_explicit(&worker->doing, actions[which].name, memory_order_relaxed);
    worker->tally.actions[which]++;
    if (!worker->is_nested) worker->may_nest = actions[which].may_nest;
    actions[which].run(worker);
    worker->may_nest = false;
}

/* ---- episodes -------------------------------------------------------------------------------- */

void tally_add(struct tally *to, const struct tally *from) {
    for (int i = 0; i < ACTIONS_MAX; i++) to->actions[i] += from->actions[i];
    for (int i = 0; i < STATUS_MAX; i++) to->ends[i] += from->ends[i];
    to->rolled_back += from->rolled_back;
    to->read_only += from->read_only;
    to->checks += from->checks;
    to->exports += from->exports;
    to->dropped += from->dropped;
    to->watch_events += from->watch_events;
}

static struct episode_options plan(const struct run *run) {
    int kind = run->episodes % KINDS;
    struct random random = {run->seed + (uint64_t)run->episodes};
    struct episode_options options = {.number = run->episodes};
    options.seed = draw_bits(&random) % 1000000007u;
    options.threads = run->threads > 0 ? run->threads : 4 + draw(&random, THREADS_MAX - 3);
    options.actions = STRESS_IS_SANITIZED ? 150 : 1200;
    options.rounds = STRESS_IS_SANITIZED ? 2 : 4;
    options.has_log = kind == 2 || kind == 5 || kind == 7;
    options.is_log_slow = kind != 5;
    options.has_hook = kind % 2 == 0 || kind == 7;
    options.has_retention = kind == 1 || kind == 4 || kind == 7;
    options.has_memory_limit = kind == 3;
    if (options.has_memory_limit) options.actions /= 6; /* it waits a lot */
    options.has_no_threads = kind == 6;
    options.has_revocation = kind == 4 || kind == 5;
    return options;
}

static void run_episode(struct run *run) {
    struct world *world = calloc(1, sizeof *world);
    if (world == NULL) abort();
    world->options = plan(run);
    episode_run(world);
    if (atomic_load_explicit(&stress_failures, memory_order_relaxed) != 0) {
        /* What is broken may still be used: it stays. */
        static struct world *broken;
        broken = world;
        (void)broken;
        for (int i = 0; i < world->options.threads; i++)
            tally_add(&run->tally, &world->workers[i].tally);
        return;
    }
    tally_add(&run->tally, &world->tally);
    free(world);
    (void)malloc_trim(0);
    struct mallinfo2 heap = mallinfo2();
    run->in_use[run->episodes % SAMPLES_MAX] = heap.uordblks + heap.hblkhd;
    run->resident[run->episodes % SAMPLES_MAX] = resident_bytes();
}

static uint64_t most(const uint64_t *samples, int from) {
    uint64_t high = samples[from];
    for (int i = from + 1; i < from + KINDS; i++)
        if (samples[i] > high) high = samples[i];
    return high;
}

static uint64_t least(const uint64_t *samples, int from) {
    uint64_t low = samples[from];
    for (int i = from + 1; i < from + KINDS; i++)
        if (samples[i] < low) low = samples[i];
    return low;
}

static bool has_samples(const struct run *run) {
    return !STRESS_IS_SANITIZED && run->episodes >= 3 * KINDS && run->episodes <= SAMPLES_MAX;
}

/* Sanitizers keep freed memory back on purpose. */
static void judge_memory(const struct run *run) {
    if (!has_samples(run)) return;
    int last = run->episodes - KINDS;
    uint64_t in_use[2] = {most(run->in_use, KINDS), most(run->in_use, last)};
    uint64_t resident[2] = {most(run->resident, KINDS), least(run->resident, last)};
    if (in_use[1] <= in_use[0] + (64u << 10) && resident[1] <= resident[0] + (4u << 20)) return;
    fprintf(stderr,
            "stress: after the warm-up %llu bytes in use and %llu resident, at the end %llu and "
            "%llu\n",
            (unsigned long long)in_use[0], (unsigned long long)resident[0],
            (unsigned long long)in_use[1], (unsigned long long)resident[1]);
    atomic_fetch_add_explicit(&stress_failures, 1, memory_order_relaxed);
}

static void print_proof(const struct run *run) {
    const struct tally *tally = &run->tally;
    int failures = atomic_load_explicit(&stress_failures, memory_order_relaxed);
    printf("{\"proof\":\"stress\",\"seed\":%llu,\"seconds\":%llu,\"episodes\":%d",
           (unsigned long long)run->seed,
           (unsigned long long)((now_ns() - run->began_ns) / 1000000000u), run->episodes);
    uint64_t total = 0;
    for (int i = 0; i < action_count; i++) total += tally->actions[i];
    printf(",\"actions\":%llu", (unsigned long long)total);
    for (int i = 0; i < action_count; i++)
        printf(",\"action_%s\":%llu", actions[i].name, (unsigned long long)tally->actions[i]);
    printf(",\"commits\":%llu,\"commits_read_only\":%llu,\"rollbacks\":%llu",
           (unsigned long long)(tally->ends[KH_OK] - tally->read_only),
           (unsigned long long)tally->read_only, (unsigned long long)tally->rolled_back);
    for (int i = 1; i < STATUS_MAX; i++)
        if (tally->ends[i] > 0)
            printf(",\"ended_%s\":%llu", kh_status_name((kh_status)i),
                   (unsigned long long)tally->ends[i]);
    printf(",\"writes_dropped\":%llu,\"exports\":%llu,\"watch_events\":%llu,\"checks\":%llu",
           (unsigned long long)tally->dropped, (unsigned long long)tally->exports,
           (unsigned long long)tally->watch_events, (unsigned long long)tally->checks);
    if (has_samples(run))
        printf(",\"heap_warm\":%llu,\"heap_end\":%llu,\"resident_warm\":%llu,\"resident_end\":%llu",
               (unsigned long long)most(run->in_use, KINDS),
               (unsigned long long)most(run->in_use, run->episodes - KINDS),
               (unsigned long long)most(run->resident, KINDS),
               (unsigned long long)least(run->resident, run->episodes - KINDS));
    printf(",\"failures\":%d}\n", failures);
}

static bool read_arguments(struct run *run, int count, char **words) {
    for (int i = 1; i + 1 < count; i += 2) {
        uint64_t number = strtoull(words[i + 1], NULL, 0);
        if (strcmp(words[i], "--seconds") == 0) {
            run->seconds = number;
        } else if (strcmp(words[i], "--seed") == 0) {
            run->seed = number;
        } else if (strcmp(words[i], "--threads") == 0 && number <= THREADS_MAX) {
            run->threads = (int)number;
        } else if (strcmp(words[i], "--episodes") == 0) {
            run->episodes_max = (int)number;
        } else {
            return false;
        }
    }
    return count % 2 == 1;
}

int main(int count, char **words) {
    static struct run run = {.seconds = STRESS_IS_SANITIZED ? 20 : 60, .seed = 1};
    if (!read_arguments(&run, count, words)) {
        fprintf(stderr,
                "usage: khonsu-stress [--seconds N] [--seed N] [--threads N (up to %d)] "
                "[--episodes N]\n",
                THREADS_MAX);
        return 2;
    }
    fprintf(stderr, "stress: seed %llu\n", (unsigned long long)run.seed);
    run.began_ns = now_ns();
    watchdog_start(STRESS_IS_SANITIZED ? 90 : 30);
    do {
        run_episode(&run);
        run.episodes++;
    } while (atomic_load_explicit(&stress_failures, memory_order_relaxed) == 0 &&
             (run.episodes_max == 0 || run.episodes < run.episodes_max) &&
             now_ns() - run.began_ns < run.seconds * 1000000000u);
    watchdog_stop();
    judge_memory(&run);
    print_proof(&run);
    return atomic_load_explicit(&stress_failures, memory_order_relaxed) == 0 ? 0 : 1;
}
