/* demo_run.c - starting the demo's threads, watching over them, and the last verification. */
#include "demo.h"

#include "complain.h"
#include "heap.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 100 };

/* Set by the signal handler, read by the thread that started it all. */
static volatile sig_atomic_t is_interrupted;

static void interrupt(int signal_number) {
    (void)signal_number;
    is_interrupted = 1;
}

static double now_seconds(void) {
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static size_t thread_count(const struct demo *demo) {
    return (size_t)(demo->options->writers + demo->options->readers);
}

void demo_sum(const struct demo *demo, struct demo_sums *sums) {
    *sums = (struct demo_sums){.committed_all = 0};
    for (size_t i = 0; i < thread_count(demo); ++i) {
        struct demo_counters *from = &demo->counters[i];
        for (size_t kind = 0; kind < WRITE_KIND_COUNT; ++kind) {
            uint64_t committed = atomic_load_explicit(&from->committed[kind], memory_order_relaxed);
            uint64_t attempts = atomic_load_explicit(&from->attempts[kind], memory_order_relaxed);
            sums->committed[kind] += committed;
            sums->committed_all += committed;
            sums->attempts[kind] += attempts;
            sums->attempts_all += attempts;
            sums->rows[kind] += atomic_load_explicit(&from->rows[kind], memory_order_relaxed);
        }
        for (size_t kind = 0; kind < READ_KIND_COUNT; ++kind) {
            uint64_t verified = atomic_load_explicit(&from->verified[kind], memory_order_relaxed);
            sums->verified[kind] += verified;
            sums->verified_all += verified;
            sums->rows_counted[kind] +=
                atomic_load_explicit(&from->rows_counted[kind], memory_order_relaxed);
        }
        sums->reads_given_up += atomic_load_explicit(&from->reads_given_up, memory_order_relaxed);
        sums->writes_given_up += atomic_load_explicit(&from->writes_given_up, memory_order_relaxed);
    }
}

/* Start all threads; how many were started. */
static size_t start(struct demo *demo, struct demo_thread *threads) {
    size_t count = thread_count(demo);
    for (size_t i = 0; i < count; ++i) {
        bool is_writer = i < demo->options->writers;
        threads[i].demo = demo;
        threads[i].counters = &demo->counters[i];
        threads[i].number = is_writer ? i : i - demo->options->writers;
        threads[i].seed = demo->options->seed * 1000003u + i;
        if (pthread_create(&threads[i].thread, NULL,
                           is_writer ? demo_writer_thread : demo_reader_thread, &threads[i]) != 0) {
            return i;
        }
    }
    return count;
}

static bool is_over(struct demo *demo, double elapsed) {
    bool is_time_over = demo->options->seconds > 0 && elapsed >= demo->options->seconds;
    return is_time_over || is_interrupted ||
           atomic_load_explicit(&demo->is_stopping, memory_order_relaxed) ||
           atomic_load_explicit(&demo->writers_left, memory_order_relaxed) == 0;
}

static void watch(struct demo *demo, double began) {
    struct demo_progress progress = {.is_terminal = isatty(STDOUT_FILENO)};
    const struct timespec tick = {0, TICK_MS * 1000000L};
    for (;;) {
        double elapsed = now_seconds() - began;
        if (is_over(demo, elapsed)) {
            break;
        }
        if (!demo->options->is_quiet) {
            demo_show_progress(demo, &progress, elapsed);
        }
        (void)nanosleep(&tick, NULL);
    }
    demo_end_progress(&progress);
}

static void run_threads(struct demo *demo) {
    size_t count = thread_count(demo);
    struct demo_thread *threads = heap_allocate(count, sizeof *threads);
    struct sigaction on_interrupt;
    struct sigaction before;
    memset(&on_interrupt, 0, sizeof on_interrupt);
    on_interrupt.sa_handler = interrupt;
    /* A second one ends the program. */
    on_interrupt.sa_flags = (int)SA_RESETHAND;
    (void)sigaction(SIGINT, &on_interrupt, &before);
    double began = now_seconds();
    size_t started = start(demo, threads);
    if (started < count) {
        const kh_error error = {"cannot start a thread: ask for fewer writers and readers"};
        demo_fail(demo, "demo", KH_NO_MEMORY, &error);
    } else {
        watch(demo, began);
    }
    atomic_store_explicit(&demo->is_stopping, true, memory_order_relaxed);
    for (size_t i = 0; i < started; ++i) {
        (void)pthread_join(threads[i].thread, NULL);
    }
    demo->elapsed = now_seconds() - began;
    (void)sigaction(SIGINT, &before, NULL);
    free(threads);
}

static int verify_end(struct demo *demo, struct verify *after) {
    kh_txn *txn = NULL;
    kh_error error = {""};
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.flags = KH_BEGIN_READ_ONLY;
    kh_status status = kh_txn_begin(demo->flights.db, &options, &txn, &error);
    if (status == KH_OK) {
        status = verify_all(after, txn, &error);
    }
    kh_txn_close(txn);
    demo_note(demo, after);
    return status == KH_OK ? CLI_OK : complain_status("the last verification", status, &error);
}

static int judge(const struct demo *demo) {
    if (demo->failure.size > 0) {
        return complain(CLI_FAILED, "%s", demo->failure.bytes);
    }
    if (demo->breach_count > 0) {
        return complain(CLI_FAILED, "%llu inconsistent snapshots; the first: %s",
                        (unsigned long long)demo->breach_count, demo->breach.bytes);
    }
    return CLI_OK;
}

/* Only what may be read is there: a breach is found by those who verify. */
static int take_stock(struct demo *demo) {
    struct flights *flights = &demo->flights;
    struct verify now;
    kh_txn *txn = NULL;
    kh_error error = {""};
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.flags = KH_BEGIN_READ_ONLY;
    verify_init(&now, flights);
    kh_status status = kh_txn_begin(flights->db, &options, &txn, &error);
    if (status == KH_OK) {
        status = verify_count(&now, txn, &error);
    }
    kh_txn_close(txn);
    if (status == KH_OK) {
        memcpy(flights->place_tallies, now.places,
               flights->day_count * flights->carrier_count * sizeof(struct tally));
        memcpy(flights->airport_tallies, now.airports,
               flights->airport_count * sizeof(struct tally));
    }
    verify_fini(&now);
    return status == KH_OK ? CLI_OK : complain_status("counting the flights", status, &error);
}

int demo_load(struct demo *demo) {
    const struct demo_options *options = demo->options;
    const struct flights_source source = {options->file, options->isolation, options->path,
                                          options->sync};
    int code = flights_load(&demo->flights, &source);
    if (code == CLI_OK && demo->flights.is_continued) {
        code = take_stock(demo);
        if (code != CLI_OK) {
            flights_free(&demo->flights);
        }
    }
    return code;
}

int demo_run(struct demo *demo) {
    struct verify after;
    (void)pthread_mutex_init(&demo->lock, NULL);
    demo->counters = heap_allocate(thread_count(demo), sizeof *demo->counters);
    atomic_store_explicit(&demo->writers_left, demo->options->writers, memory_order_relaxed);
    run_threads(demo);
    verify_init(&after, &demo->flights);
    int code = verify_end(demo, &after);
    if (code == CLI_OK && demo->failure.size == 0 && !demo->options->is_quiet) {
        demo_report(demo, &after);
    }
    code = code == CLI_OK ? judge(demo) : code;
    verify_fini(&after);
    free(demo->counters);
    text_free(&demo->breach);
    text_free(&demo->failure);
    (void)pthread_mutex_destroy(&demo->lock);
    return code;
}
