/* run.c - threads, phases and what is measured between them.
 *
 * Every worker has a thread and a session of its own. The main thread leads them through phases by
 * a barrier: they all start, run until they are through or told to stop, and all have stopped
 * before the next step. Warming up is a phase, so is a writer alone before it runs beside scans.
 * The clocks and callgrind run from the start of the measured phase to the end of the reclamation
 * that follows it. */
#include "driver/run.h"

#include "driver/gauges.h"

#include <pthread.h>
#include <stdlib.h>

/* Transactions between two looks at the flag; and the longest tape, in draws: 16 MiB, less when
 * many hands have one. */
enum { STRIDE = 32, TAPE_DRAWS_MAX = 1 << 22, LONG_TAPES_MAX = 4, SCANS_MIN = 2 };

static const double warm_share = 0.25, sample_seconds = 0.005;
/* A rival that waits for the disk is there for about so long: to ask again and again meanwhile
 * would take the processor from those who could go on. */
static const double retry_seconds = 0.0001;

enum phase { PHASE_RUN, PHASE_WRITER_ALONE, PHASE_END };

struct crew;

struct hand {
    struct worker worker;
    struct crew *crew;
    pthread_t thread;
    uint64_t share; /* transactions; 0: until told to stop */
    double cpu_seconds;
    double finished_at;
    uint32_t *tape;
    bool is_scanner;   /* beside a writer */
    char padding[128]; /* so that hands do not share cache lines */
};

struct crew {
    const struct engine *engine;
    const struct workload *workload;
    const struct options *options;
    void *store;
    struct hand *hands;
    unsigned count;
    enum phase phase;
    pthread_barrier_t barrier;
    atomic_bool must_stop;
    atomic_uint running; /* hands that have not finished the phase */
};

static bool must_stop(struct crew *crew) {
    return atomic_load_explicit(&crew->must_stop, memory_order_relaxed);
}

static void stop(struct crew *crew) {
    atomic_store_explicit(&crew->must_stop, true, memory_order_relaxed);
}

static void run_share(struct hand *hand) {
    if (hand->share == 0) {
        /* A scan is long enough by itself, so is a commit that goes to a file. */
        bool is_long = hand->is_scanner || hand->crew->options->durability != IN_MEMORY;
        uint64_t stride = is_long ? 1 : STRIDE;
        do {
            worker_run(&hand->worker, stride);
        } while (!must_stop(hand->crew));
    } else {
        worker_run(&hand->worker, hand->share);
    }
}

static void run_phase(struct hand *hand) {
    struct worker *worker = &hand->worker;
    bool is_idle = hand->is_scanner && hand->crew->phase == PHASE_WRITER_ALONE;
    worker->commits = 0;
    worker->aborts = 0;
    if (worker->latencies != NULL) histogram_clear(worker->latencies);
    double began = clock_seconds(CLOCK_THREAD_CPUTIME_ID);
    if (!is_idle) run_share(hand);
    while (hand->is_scanner && !is_idle && worker->commits < SCANS_MIN) worker_run(worker, 1);
    hand->cpu_seconds = clock_seconds(CLOCK_THREAD_CPUTIME_ID) - began;
    hand->finished_at = clock_seconds(CLOCK_MONOTONIC);
}

static void *thread_main(void *context) {
    struct hand *hand = context;
    struct crew *crew = hand->crew;
    hand->worker.session = crew->engine->session_open(crew->store);
    for (;;) {
        pthread_barrier_wait(&crew->barrier);
        if (crew->phase == PHASE_END) break;
        run_phase(hand);
        atomic_fetch_sub_explicit(&crew->running, 1, memory_order_release);
        pthread_barrier_wait(&crew->barrier);
    }
    crew->engine->session_close(hand->worker.session);
    return NULL;
}

static void start_phase(struct crew *crew, enum phase phase) {
    crew->phase = phase;
    atomic_store_explicit(&crew->must_stop, false, memory_order_relaxed);
    atomic_store_explicit(&crew->running, crew->count, memory_order_relaxed);
    pthread_barrier_wait(&crew->barrier);
}

static bool are_running(struct crew *crew) {
    return atomic_load_explicit(&crew->running, memory_order_acquire) > 0;
}

static void sample(struct crew *crew, struct result *result) {
    struct engine_counts counts = {0};
    if (crew->engine->count != NULL) crew->engine->count(crew->store, &counts);
    uint64_t rss = resident_bytes();
    if (counts.versions > result->versions_peak) result->versions_peak = counts.versions;
    if (rss > result->rss_peak) result->rss_peak = rss;
}

/* Let the phase last; sample meanwhile when a reader is open. */
static void wait_for_phase(struct crew *crew, double seconds, struct result *result) {
    double end = clock_seconds(CLOCK_MONOTONIC) + seconds;
    if (result != NULL && crew->options->has_reader) {
        while (are_running(crew)) {
            sample(crew, result);
            sleep_seconds(sample_seconds);
            if (seconds > 0 && clock_seconds(CLOCK_MONOTONIC) >= end) stop(crew);
        }
        sample(crew, result);
    } else if (seconds > 0) {
        sleep_seconds(seconds);
        stop(crew);
    }
    pthread_barrier_wait(&crew->barrier);
}

static struct histogram *make_histogram(void) {
    struct histogram *histogram = malloc(sizeof *histogram);
    if (histogram == NULL) engine_fail("--latency", "no memory");
    histogram_clear(histogram);
    return histogram;
}

/* How many transactions the hand's tape has draws for. */
static uint64_t tape_transactions(const struct crew *crew, const struct hand *hand,
                                  unsigned draws) {
    uint64_t longest = TAPE_DRAWS_MAX / draws;
    if (crew->count > LONG_TAPES_MAX) longest = longest * LONG_TAPES_MAX / crew->count;
    if (hand->share > 0 && hand->share < longest) longest = hand->share;
    return longest == 0 ? 1 : longest;
}

static void make_hand(struct crew *crew, unsigned index, const struct draw_table *table) {
    const struct options *options = crew->options;
    struct hand *hand = &crew->hands[index];
    const struct workload *workload = crew->workload;
    hand->crew = crew;
    hand->is_scanner = options->has_writer && index == 0;
    if (options->has_writer && index > 0) workload = workload_find("bank");
    if (options->transactions > 0)
        hand->share = options->transactions / crew->count +
                      (index < options->transactions % crew->count ? 1 : 0);
    uint64_t longest = tape_transactions(crew, hand, workload->draws);
    hand->tape = draws_make(table, index, longest * workload->draws);
    hand->worker =
        (struct worker){.engine = crew->engine,
                        .attempt = workload->attempt,
                        .tape = hand->tape,
                        .tape_length = longest * workload->draws,
                        .draws = workload->draws,
                        .touches = options->touches,
                        .pause_seconds = options->durability == SYNCED ? retry_seconds : 0,
                        .latencies = options->measures_latency ? make_histogram() : NULL,
                        .scan_count = options->keys,
                        .scan_sum = (int64_t)options->keys * INITIAL_BALANCE,
                        .checks_scans = run_promises(crew->engine, options)};
    worker_init(&hand->worker);
}

struct draw_rule run_draw_rule(const struct workload *workload, const struct options *options) {
    return (struct draw_rule){.keys = options->keys,
                              .is_zipf = options->is_zipf,
                              .are_pairs = workload->has_balances,
                              .write_odds = workload->write_odds,
                              .seed = options->seed};
}

static void make_hands(struct crew *crew) {
    const struct options *options = crew->options;
    crew->count = (unsigned)options->threads + options->has_writer;
    /* No more threads than transactions: a share of none would run for ever. */
    if (options->transactions > 0 && options->transactions < crew->count)
        crew->count = (unsigned)options->transactions;
    crew->hands = calloc(crew->count, sizeof *crew->hands);
    if (crew->hands == NULL) engine_fail("threads", "no memory");
    struct draw_rule rule = run_draw_rule(crew->workload, options);
    struct draw_table *table = draw_table_create(&rule);
    for (unsigned i = 0; i < crew->count; i++) make_hand(crew, i, table);
    draw_table_destroy(table);
}

static struct percentiles add_latencies(const struct crew *crew) {
    struct histogram *all = make_histogram();
    for (unsigned i = 0; i < crew->count; i++) {
        const struct hand *hand = &crew->hands[i];
        if (crew->options->has_writer && !hand->is_scanner) continue;
        histogram_add(all, hand->worker.latencies);
    }
    struct percentiles percentiles = histogram_percentiles(all);
    free(all);
    return percentiles;
}

static void add_up(const struct crew *crew, double began, struct result *result) {
    double finished = began;
    if (crew->options->measures_latency) result->latency = add_latencies(crew);
    for (unsigned i = 0; i < crew->count; i++) {
        const struct hand *hand = &crew->hands[i];
        if (hand->finished_at > finished) finished = hand->finished_at;
        if (crew->options->has_writer && !hand->is_scanner) {
            result->writer_beside_per_second =
                (double)hand->worker.commits / (hand->finished_at - began);
            continue;
        }
        result->wall_seconds = finished - began;
        result->thread_cpu_seconds += hand->cpu_seconds;
        result->commits += hand->worker.commits;
        result->aborts += hand->worker.aborts;
        result->scans_broken += hand->worker.scans_broken;
    }
}

static void measure(struct crew *crew, struct result *result) {
    const struct options *options = crew->options;
    if (options->seconds > 0) {
        start_phase(crew, PHASE_RUN);
        wait_for_phase(crew, options->seconds * warm_share, NULL);
    }
    if (options->has_writer) {
        double alone = clock_seconds(CLOCK_MONOTONIC);
        start_phase(crew, PHASE_WRITER_ALONE);
        wait_for_phase(crew, options->seconds, NULL);
        const struct hand *writer = &crew->hands[1];
        result->writer_alone_per_second =
            (double)writer->worker.commits / (writer->finished_at - alone);
    }
    instruction_count_begin();
    uint64_t written = written_bytes();
    double cpu = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
    double began = clock_seconds(CLOCK_MONOTONIC);
    start_phase(crew, PHASE_RUN);
    wait_for_phase(crew, options->seconds, result);
    if (crew->engine->settle != NULL) crew->engine->settle(crew->store);
    instruction_count_end();
    result->process_cpu_seconds = clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    result->written_bytes = written_bytes() - written;
    add_up(crew, began, result);
}

/* A session of the main thread, for loading, verifying and holding a snapshot open. */
static struct worker make_own(struct crew *crew) {
    struct worker own = {.engine = crew->engine,
                         .session = crew->engine->session_open(crew->store)};
    worker_init(&own);
    return own;
}

/* Key 0 in the snapshot that stays open. */
static int64_t read_held(struct worker *own) {
    const void *value = NULL;
    if (own->engine->read(own->session, worker_key(own, 0), &value) != DONE)
        engine_fail("--reader", "the snapshot is gone");
    return own->engine->number(value);
}

/* As for a scan, which is read-only, so that no timeout ends it. */
static int64_t open_snapshot(struct worker *own) {
    if (own->engine->begin(own->session, TO_SCAN) != DONE)
        engine_fail("--reader", "cannot open a snapshot");
    return read_held(own);
}

static void close_snapshot(struct worker *own, int64_t seen, struct result *result) {
    result->has_moved = read_held(own) != seen;
    own->engine->abort(own->session);
}

bool run_promises(const struct engine *engine, const struct options *options) {
    bool is_alone = options->threads + options->has_writer + options->has_reader == 1;
    enum promise promise = engine->promise[options->level];
    return promise == PROMISES_ALWAYS || (promise == PROMISES_ALONE && is_alone);
}

/* The threads end, and their sessions with them. What their transfers did to the weighted sum. */
static uint64_t end_crew(struct crew *crew) {
    uint64_t ledger = 0;
    start_phase(crew, PHASE_END);
    for (unsigned i = 0; i < crew->count; i++) {
        struct hand *hand = &crew->hands[i];
        pthread_join(hand->thread, NULL);
        ledger += hand->worker.ledger;
        free(hand->worker.latencies);
        free(hand->tape);
    }
    pthread_barrier_destroy(&crew->barrier);
    free(crew->hands);
    return ledger;
}

/* What is looked at is what the files hold, not what memory still has of it. */
static void reopen(struct crew *crew, const struct engine_settings *settings, struct worker *own,
                   struct result *result) {
    crew->engine->session_close(own->session);
    crew->engine->close(crew->store);
    double began = clock_seconds(CLOCK_MONOTONIC);
    crew->store = crew->engine->open(settings);
    result->reopen_seconds = clock_seconds(CLOCK_MONOTONIC) - began;
    *own = make_own(crew);
}

static void judge(struct crew *crew, const struct engine_settings *settings, struct worker *own,
                  uint64_t ledger, struct result *result) {
    const struct options *options = crew->options;
    if (!run_promises(crew->engine, options)) {
        result->sums = SUMS_NOT_PROMISED;
    } else if (!crew->workload->has_balances && !options->verifies && !options->has_reader) {
        result->sums = SUMS_NOT_CHECKED;
    } else {
        if (settings->durability != IN_MEMORY) reopen(crew, settings, own, result);
        result->values_broken = verify_values(own, crew->workload, options->keys, ledger);
        bool is_broken = result->values_broken > 0 || result->scans_broken > 0;
        is_broken |= result->has_moved && options->level != READ_COMMITTED;
        result->sums = is_broken ? SUMS_BROKEN : SUMS_KEPT;
    }
}

static void start_threads(struct crew *crew) {
    pthread_barrier_init(&crew->barrier, NULL, crew->count + 1);
    for (unsigned i = 0; i < crew->count; i++)
        if (pthread_create(&crew->hands[i].thread, NULL, thread_main, &crew->hands[i]) != 0)
            engine_fail("pthread_create", "no thread");
}

struct result run_benchmark(const struct engine *engine, const struct workload *workload,
                            const struct options *options, const char *directory) {
    struct result result = {0};
    struct engine_settings settings = {.level = options->level,
                                       .row = options->row,
                                       .keys = options->keys,
                                       .durability = options->durability,
                                       .directory = directory,
                                       .value_bytes = (uint32_t)options->value_bytes};
    struct crew crew = {.engine = engine, .workload = workload, .options = options};
    make_hands(&crew);
    crew.store = engine->open(&settings);
    result.rss_start = resident_bytes();
    struct worker own = make_own(&crew);
    worker_load(&own, options->keys, workload->has_balances);
    if (engine->settle != NULL) engine->settle(crew.store);
    result.rss_loaded = resident_bytes();
    start_threads(&crew);
    int64_t seen = options->has_reader ? open_snapshot(&own) : 0;
    measure(&crew, &result);
    if (options->has_reader) {
        close_snapshot(&own, seen, &result);
        if (engine->settle != NULL) engine->settle(crew.store);
    }
    result.rss_end = resident_bytes();
    if (engine->count != NULL) engine->count(crew.store, &result.counts);
    uint64_t ledger = end_crew(&crew);
    judge(&crew, &settings, &own, ledger, &result);
    engine->session_close(own.session);
    engine->close(crew.store);
    return result;
}
