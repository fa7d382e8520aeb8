/* world.c - one episode: a database with options of its own, workers in rounds, and what the
 * process holds before, between and after. */
#include "stress.h"

#include <sched.h>
#include <time.h>

enum { HOUR_MS = 3600000 };

uint64_t now_ns(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t draw_bits(struct random *random) {
    random->state += 0x9E3779B97F4A7C15u; /* splitmix64 */
    uint64_t z = random->state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

int draw(struct random *random, int bound) {
    return bound > 0 ? (int)((draw_bits(random) >> 33) % (uint64_t)bound) : 0;
}

/* A whole action of this worker's own in the middle of another: on few processors threads alone
 * seldom meet inside of a transaction. */
static void intrude(struct worker *worker) {
    const char *doing = atomic_load_explicit(&worker->doing, memory_order_relaxed);
    worker->may_nest = false;
    worker->is_nested = true;
    act(worker);
    worker->is_nested = false;
    worker->may_nest = true;
    atomic_store_explicit(&worker->doing, doing, memory_order_relaxed);
}

void let_others(struct worker *worker) {
    if (one_in(&worker->random, 6)) (void)sched_yield();
    if (worker->may_nest && one_in(&worker->random, 10)) intrude(worker);
}

/* ---- hooks ----------------------------------------------------------------------------------- */

static void *hook_allocate(void *context, size_t size_bytes, size_t alignment) {
    struct world *world = context;
    size_t rounded = (size_bytes + alignment - 1) / alignment * alignment;
    if (alignment < sizeof(void *)) alignment = sizeof(void *);
    void *block = alignment <= 16 ? malloc(size_bytes > 0 ? size_bytes : 1)
                                  : aligned_alloc(alignment, rounded > 0 ? rounded : alignment);
    if (block == NULL) return NULL;
    atomic_fetch_add_explicit(&world->hook_bytes, (int64_t)size_bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&world->hook_blocks, 1, memory_order_relaxed);
    memset(block, 0xa5, size_bytes);
    return block;
}

/* What is read after this shows itself. */
static void hook_free(void *context, void *block, size_t size_bytes) {
    struct world *world = context;
    memset(block, 0x5a, size_bytes);
    atomic_fetch_sub_explicit(&world->hook_bytes, (int64_t)size_bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&world->hook_blocks, 1, memory_order_relaxed);
    free(block);
}

kh_allocator world_hook(struct world *world) {
    return (kh_allocator){hook_allocate, hook_free, world};
}

/* The wall clock is moved on at rest, so that retention passes without waiting. */
static uint64_t wall_ms(void *context) {
    struct world *world = context;
    struct timespec time;
    (void)clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000 +
           atomic_load_explicit(&world->clock_offset_ms, memory_order_relaxed);
}

static uint64_t monotonic_ns(void *context) {
    (void)context;
    return now_ns();
}

/* ---- open and close -------------------------------------------------------------------------- */

static kh_options options_of(struct world *world) {
    const struct episode_options *wish = &world->options;
    kh_options options = KH_OPTIONS_INIT;
    options.flags = wish->has_no_threads ? KH_OPEN_NO_THREADS : 0;
    options.timeout_ms = 10 * 60 * 1000; /* a slow machine is no failure */
    options.resolve = resolve_counter;
    options.resolve_context = world;
    options.limits.outcomes = 4096;
    options.limits.watch_events = 1u << 22;
    options.clock = (kh_clock){wall_ms, monotonic_ns, world};
    if (wish->has_retention) {
        options.retention_ms = HOUR_MS;
        options.retention_bytes = 8u << 20;
    }
    if (wish->has_hook) options.allocator = world_hook(world);
    if (wish->has_memory_limit) {
        /* What readers keep exceeds it: writers wait, give up, and the readers end. */
        options.limits.memory_bytes = 3u << 20;
        options.timeout_ms = 20;
    }
    if (wish->has_revocation) options.limits.max_snapshot_age_ms = 40;
    if (world->log != NULL) options.log = slow_log_face(world->log);
    return options;
}

bool world_open(struct world *world) {
    if (world->options.has_log) world->log = slow_log_create(world->options.is_log_slow);
    kh_options options = options_of(world);
    kh_error error = {""};
    kh_status status = kh_db_open(&options, &world->db, &error);
    if (status != KH_OK) {
        wrong_at(world, "kh_db_open answers %s: %s", kh_status_name(status), error.message);
        return false;
    }
    (void)pthread_mutex_init(&world->mailbox_lock, NULL);
    return values_open(world);
}

/* The log, read by a second database: the same keys and values. */
static void reopen(struct world *world, uint64_t hash, uint64_t key_count) {
    kh_db *db = NULL;
    uint64_t again_count = 0;
    kh_options options = options_of(world);
    options.flags = KH_OPEN_NO_THREADS;
    kh_error error = {""};
    kh_status status = kh_db_open(&options, &db, &error);
    if (status != KH_OK) {
        wrong_at(world, "the log cannot be replayed: %s: %s", kh_status_name(status),
                 error.message);
        return;
    }
    uint64_t again = quiet_hash(world, db, &again_count);
    if (again != hash || again_count != key_count)
        wrong_at(world, "the log replays to %llu keys and another state than %llu",
                 (unsigned long long)again_count, (unsigned long long)key_count);
    status = kh_db_close(db);
    if (status != KH_OK) wrong_at(world, "kh_db_close answers %s", kh_status_name(status));
}

void world_close(struct world *world) {
    uint64_t key_count = 0;
    uint64_t hash = quiet_hash(world, world->db, &key_count);
    watcher_stop(world->watcher);
    values_close(world);
    kh_status status = kh_db_close(world->db);
    if (status != KH_OK) wrong_at(world, "kh_db_close answers %s", kh_status_name(status));
    if (world->log != NULL) reopen(world, hash, key_count);
    slow_log_destroy(world->log);
    for (int i = 0; i < world->options.threads; i++) exports_check(&world->workers[i], true);
    int64_t bytes = atomic_load_explicit(&world->hook_bytes, memory_order_relaxed);
    int64_t blocks = atomic_load_explicit(&world->hook_blocks, memory_order_relaxed);
    if (bytes != 0 || blocks != 0)
        wrong_at(world, "%lld bytes in %lld blocks are left behind", (long long)bytes,
                 (long long)blocks);
    int64_t foreign = atomic_load_explicit(&stress_foreign_live, memory_order_relaxed);
    if (foreign != 0) wrong_at(world, "%lld foreign arrays are left behind", (long long)foreign);
    for (int i = 0; i < world->options.threads; i++) {
        tally_add(&world->tally, &world->workers[i].tally);
        free(world->workers[i].writes.list);
    }
    free(world->writes.list);
    (void)pthread_mutex_destroy(&world->mailbox_lock);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void play_round(struct worker *worker) {
    struct world *world = worker->world;
    for (int i = 0; i < world->options.actions; i++) {
        if (atomic_load_explicit(&world->is_stopped, memory_order_relaxed)) break;
        act(worker);
        atomic_fetch_add_explicit(&worker->beats, 1, memory_order_relaxed);
    }
    atomic_store_explicit(&worker->doing, "comes to rest", memory_order_relaxed);
    deed_drain(worker);
    readers_close(worker);
    exports_check(worker, false);
}

static void *work(void *argument) {
    struct worker *worker = argument;
    struct world *world = worker->world;
    for (;;) {
        (void)pthread_barrier_wait(&world->round_begins);
        if (world->is_over) return NULL;
        play_round(worker);
        (void)pthread_barrier_wait(&world->round_ends);
    }
}

/* Threads and descriptors: constant from the first round on. */
static void judge_process(struct world *world, int round, int *threads, int *descriptors) {
    int threads_now = count_threads();
    int descriptors_now = count_descriptors();
    if (round == 0) {
        *threads = threads_now;
        *descriptors = descriptors_now;
    }
    CHECK(&world->workers[0], threads_now == *threads, "%d threads in round %d, %d in the first",
          threads_now, round, *threads);
    CHECK(&world->workers[0], descriptors_now == *descriptors,
          "%d descriptors in round %d, %d in the first", descriptors_now, round, *descriptors);
}

static void run_rounds(struct world *world) {
    int threads = 0;
    int descriptors = 0;
    for (int round = 0; round < world->options.rounds; round++) {
        if (atomic_load_explicit(&world->is_stopped, memory_order_relaxed)) break;
        world->is_at_rest = false;
        (void)pthread_barrier_wait(&world->round_begins);
        (void)pthread_barrier_wait(&world->round_ends);
        world->is_at_rest = true;
        if (atomic_load_explicit(&world->is_stopped, memory_order_relaxed)) break;
        while (deed_decide_one(&world->workers[0])) {
        }
        quiet_judge(world, round);
        judge_process(world, round, &threads, &descriptors);
    }
}

void episode_run(struct world *world) {
    int count = world->options.threads;
    int threads = count_threads();
    int descriptors = count_descriptors();
    for (int i = 0; i < count; i++) {
        struct worker *worker = &world->workers[i];
        worker->world = world;
        worker->number = i;
        worker->random.state = world->options.seed * 64 + (uint64_t)i;
        atomic_init(&worker->doing, "nothing");
    }
    if (!world_open(world)) return;
    watchdog_follow(world);
    world->watcher = watcher_start(world);
    (void)pthread_barrier_init(&world->round_begins, NULL, (unsigned)count + 1);
    (void)pthread_barrier_init(&world->round_ends, NULL, (unsigned)count + 1);
    world->is_at_rest = true;
    if (!quiet_fill(world)) wrong_at(world, "the database cannot be filled");
    for (int i = 0; i < count; i++)
        if (pthread_create(&world->workers[i].thread, NULL, work, &world->workers[i]) != 0) abort();
    run_rounds(world);
    world->is_over = true;
    (void)pthread_barrier_wait(&world->round_begins);
    for (int i = 0; i < count; i++) (void)pthread_join(world->workers[i].thread, NULL);
    watchdog_follow(NULL);
    /* What is broken may not even close. */
    if (atomic_load_explicit(&stress_failures, memory_order_relaxed) != 0) return;
    world_close(world);
    (void)pthread_barrier_destroy(&world->round_begins);
    (void)pthread_barrier_destroy(&world->round_ends);
    if (count_threads() != threads || count_descriptors() != descriptors)
        wrong_at(world, "%d threads and %d descriptors after the close, %d and %d before the open",
                 count_threads(), count_descriptors(), threads, descriptors);
}
