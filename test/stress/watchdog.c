/* watchdog.c - a thread that looks at the workers' beats once a second: one that has not moved for
 * long is a failure, and the state is printed before the process is killed (a debugger or a core
 * file then shows the stacks). */
#include "stress.h"

#include <time.h>

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    struct world *world;
    bool is_over;
    int patience;
    uint64_t beats[THREADS_MAX];
    int quiet[THREADS_MAX]; /* seconds without a beat */
} dog = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static bool print_live(void *context, const kh_live_txn *txn) {
    (void)context;
    fprintf(stderr, "  live %llu: %s, level %d%s%s, %llu ms, snapshot %llu, %llu writes\n",
            (unsigned long long)txn->id.low, txn->tag, (int)txn->isolation,
            txn->is_read_only ? ", read-only" : "", txn->is_prepared ? ", prepared" : "",
            (unsigned long long)txn->age_ms, (unsigned long long)txn->snapshot,
            (unsigned long long)txn->write_count);
    return true;
}

static void bite(struct world *world) {
    kh_stats stats = {.size = sizeof stats};
    wrong_at(world, "no progress for %d s", dog.patience);
    for (int i = 0; i < world->options.threads; i++)
        fprintf(stderr, "  worker %d: %s, %llu actions\n", i,
                atomic_load_explicit(&world->workers[i].doing, memory_order_relaxed),
                (unsigned long long)dog.beats[i]);
    if (kh_db_live(world->db, print_live, NULL, NULL) != KH_OK) fprintf(stderr, "  no list\n");
    if (kh_db_stats(world->db, &stats, NULL) == KH_OK)
        fprintf(stderr, "  %llu snapshots, %llu prepared, %llu in flight, %llu bytes\n",
                (unsigned long long)stats.snapshots, (unsigned long long)stats.prepared,
                (unsigned long long)stats.in_flight, (unsigned long long)stats.memory_bytes);
    abort();
}

static void look(void) {
    struct world *world = dog.world;
    if (world == NULL) return;
    for (int i = 0; i < world->options.threads; i++) {
        uint64_t beats = atomic_load_explicit(&world->workers[i].beats, memory_order_relaxed);
        dog.quiet[i] = beats == dog.beats[i] ? dog.quiet[i] + 1 : 0;
        dog.beats[i] = beats;
        if (dog.quiet[i] >= dog.patience) bite(world);
    }
}

static void *watch(void *argument) {
    (void)argument;
    (void)pthread_mutex_lock(&dog.lock);
    while (!dog.is_over) {
        struct timespec next;
        (void)clock_gettime(CLOCK_REALTIME, &next);
        next.tv_sec++;
        if (pthread_cond_timedwait(&dog.change, &dog.lock, &next) != 0) look();
    }
    (void)pthread_mutex_unlock(&dog.lock);
    return NULL;
}

void watchdog_start(int patience_seconds) {
    dog.patience = patience_seconds;
    if (pthread_create(&dog.thread, NULL, watch, NULL) != 0) abort();
}

void watchdog_follow(struct world *world) {
    (void)pthread_mutex_lock(&dog.lock);
    dog.world = world;
    memset(dog.quiet, 0, sizeof dog.quiet);
    (void)pthread_mutex_unlock(&dog.lock);
}

void watchdog_stop(void) {
    (void)pthread_mutex_lock(&dog.lock);
    dog.is_over = true;
    (void)pthread_cond_broadcast(&dog.change);
    (void)pthread_mutex_unlock(&dog.lock);
    (void)pthread_join(dog.thread, NULL);
}
