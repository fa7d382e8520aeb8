/* demo.h - the demo: options, one run of writers and readers, its counters, its report. */
#ifndef KHONSU_CLI_DEMO_H
#define KHONSU_CLI_DEMO_H

#include "demo_verify.h"
#include "demo_write.h"

#include <pthread.h>
#include <stdatomic.h>

struct demo_options {
    const char *file;
    uint64_t writers;
    uint64_t readers;
    double seconds;
    uint64_t transactions; /* 0: as many as the seconds allow */
    kh_isolation isolation;
    uint64_t seed;
    uint64_t sabotage;
    bool is_quiet;
    const char *path; /* of the database; NULL: in memory */
    kh_sync sync;
    bool is_crashing;
    uint64_t crash_after; /* acknowledged changes */
};

/* How a reader takes its snapshot. */
enum read_kind {
    READ_SNAPSHOT, /* repeatable read: never aborts */
    READ_TRACKED,  /* serializable: certified, may be run again */
    READ_SAFE,     /* serializable and deferrable: waits for a safe snapshot, never aborts */
    READ_KIND_COUNT
};

/* Written by one thread, read by the one that shows progress: relaxed, each number by itself. */
struct demo_counters {
    _Atomic uint64_t committed[WRITE_KIND_COUNT];
    _Atomic uint64_t rows[WRITE_KIND_COUNT];
    _Atomic uint64_t attempts[WRITE_KIND_COUNT];
    _Atomic uint64_t verified[READ_KIND_COUNT];
    _Atomic uint64_t rows_counted[READ_KIND_COUNT];
    _Atomic uint64_t reads_given_up;
    _Atomic uint64_t writes_given_up;
};

struct demo {
    const struct demo_options *options;
    struct flights flights;
    _Atomic bool is_stopping; /* written by any, read by all: relaxed, nothing hangs on it */
    _Atomic uint64_t tickets; /* transactions handed out */
    _Atomic uint64_t writers_left;
    struct demo_counters *counters; /* of each thread: writers, then readers */
    pthread_mutex_t lock;           /* guards the rest */
    uint64_t breach_count;          /* inconsistent snapshots */
    struct text breach;             /* the first */
    struct text failure;            /* a call that failed: the first */
    double elapsed;
    int acknowledge_to; /* a descriptor; 0: nobody wants to know */
};

/* Open the database and load the file, as the options say; in one that is continued, the sums
 * "as loaded" become those that are there now. Returns an exit code, having complained. */
int demo_load(struct demo *demo);
/* Run writers and readers until time or transactions are used up, or the first failure. Returns an
 * exit code, having complained. */
int demo_run(struct demo *demo);
/* The threads' bodies. */
void *demo_writer_thread(void *context);
void *demo_reader_thread(void *context);
struct demo_thread {
    struct demo *demo;
    struct demo_counters *counters;
    uint64_t number; /* among the writers, or the readers */
    uint64_t seed;
    pthread_t thread;
};
void demo_fail(struct demo *demo, const char *what, kh_status status, const kh_error *error);
/* Is there a breach in verify? Then count it, and keep the first. */
void demo_note(struct demo *demo, struct verify *verify);

/* Sums over all threads. */
struct demo_sums {
    uint64_t committed[WRITE_KIND_COUNT], rows[WRITE_KIND_COUNT], attempts[WRITE_KIND_COUNT];
    uint64_t verified[READ_KIND_COUNT], rows_counted[READ_KIND_COUNT];
    uint64_t reads_given_up, writes_given_up;
    uint64_t committed_all, attempts_all, verified_all;
};
void demo_sum(const struct demo *demo, struct demo_sums *sums);

/* A line of progress. On a terminal it takes the place of the last one. */
struct demo_progress {
    bool is_terminal;
    double shown_at;
    uint64_t committed;
};
void demo_show_progress(const struct demo *demo, struct demo_progress *progress, double now);
void demo_end_progress(const struct demo_progress *progress);

/* The tables at the end; after holds the final counts. */
void demo_report(const struct demo *demo, const struct verify *after);
/* The anomalies of read committed, and that serializable has none. Returns an exit code. */
int demo_script(struct flights *flights, bool is_quiet);

#endif
