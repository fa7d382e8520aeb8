/* gauges.c - clocks, resident memory, callgrind's switch, and a scratch directory. */
#include "driver/gauges.h"

#include "engine.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef BENCH_VALGRIND
#include <valgrind/callgrind.h>
#endif

enum { PATH_BYTES = 512, REMOVE_TRIES_MAX = 100 };

static char scratch[PATH_BYTES];

double clock_seconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

uint64_t resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long long total = 0;
    unsigned long long resident = 0;
    if (file == NULL || fscanf(file, "%llu %llu", &total, &resident) != 2)
        engine_fail("/proc/self/statm", "cannot be read");
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

void sleep_seconds(double seconds) {
    struct timespec time = {.tv_sec = (time_t)seconds};
    time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
    while (nanosleep(&time, &time) != 0 && errno == EINTR) continue;
}

void instruction_count_begin(void) {
#ifdef BENCH_VALGRIND
    CALLGRIND_START_INSTRUMENTATION;
#endif
}

void instruction_count_end(void) {
#ifdef BENCH_VALGRIND
    CALLGRIND_STOP_INSTRUMENTATION;
#endif
}

static void empty_scratch(void) {
    char path[PATH_BYTES + 256];
    DIR *directory = opendir(scratch);
    if (directory == NULL) return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", scratch, entry->d_name);
        unlink(path); /* the peers make no directories; . and .. stay */
    }
    closedir(directory);
}

/* Again when a peer that is still running has put a file there meanwhile. */
static void remove_scratch(void) {
    for (int i = 0; i < REMOVE_TRIES_MAX; i++) {
        empty_scratch();
        if (rmdir(scratch) == 0 || errno != ENOTEMPTY) return;
    }
}

/* Waits for a signal that ends the program: a handler could not walk a directory. */
static void *await_end(void *context) {
    sigset_t *signals = context;
    int number = 0;
    sigwait(signals, &number);
    remove_scratch();
    _exit(128 + number);
}

/* Threads made from here on leave these signals to the one that waits. */
static void watch_signals(void) {
    static sigset_t signals;
    pthread_t thread;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (pthread_create(&thread, NULL, await_end, &signals) != 0)
        engine_fail("pthread_create", "no thread");
    pthread_detach(thread);
}

const char *scratch_directory(const char *parent) {
    watch_signals();
    if (parent == NULL && access("/dev/shm", W_OK) == 0) parent = "/dev/shm";
    if (parent == NULL) parent = getenv("TMPDIR");
    if (parent == NULL) parent = "/tmp";
    snprintf(scratch, sizeof scratch, "%s/khonsu-bench-XXXXXX", parent);
    if (mkdtemp(scratch) == NULL) engine_fail(scratch, "cannot be made");
    atexit(remove_scratch);
    return scratch;
}
