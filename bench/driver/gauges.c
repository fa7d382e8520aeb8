/* gauges.c - clocks, resident memory, callgrind's switch, and a scratch directory. */
#include "driver/gauges.h"

#include "engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef BENCH_VALGRIND
#include <valgrind/callgrind.h>
#endif

enum { PATH_BYTES = 512, REMOVE_TRIES_MAX = 100, DESCRIPTORS_MAX = 16 };

static char scratch[PATH_BYTES];

double clock_seconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

uint64_t clock_nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
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

uint64_t written_bytes(void) {
    FILE *file = fopen("/proc/self/io", "r");
    unsigned long long written = 0;
    if (file == NULL) return 0;
    if (fscanf(file, "rchar: %*u wchar: %llu", &written) != 1) written = 0;
    fclose(file);
    return written;
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

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status;
    (void)kind;
    (void)place;
    remove(path); /* what is not gone keeps its directory, and that is seen */
    return 0;
}

/* Again when a peer that is still running has put a file there meanwhile. */
static void remove_tree(const char *path) {
    for (int i = 0; i < REMOVE_TRIES_MAX && access(path, F_OK) == 0; i++)
        nftw(path, remove_one, DESCRIPTORS_MAX, FTW_DEPTH | FTW_PHYS);
}

static void remove_scratch(void) {
    remove_tree(scratch);
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

static void refuse_strangers(const char *path) {
    DIR *directory = opendir(path);
    if (directory == NULL) engine_fail(path, "is no directory");
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        bool is_known = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                        strcmp(entry->d_name, "store") == 0;
        if (!is_known) engine_fail(path, "holds other files than a benchmark's");
    }
    closedir(directory);
}

/* What was removed is gone from the journal too before anything is measured. */
static void sync_file_system(const char *path) {
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0 || syncfs(descriptor) != 0) engine_fail(path, "cannot be synced");
    close(descriptor);
}

const char *kept_directory(const char *path) {
    static char store[PATH_BYTES];
    if (mkdir(path, 0700) != 0 && errno != EEXIST) engine_fail(path, "cannot be made");
    refuse_strangers(path);
    int length = snprintf(store, sizeof store, "%s/store", path);
    if (length < 0 || (size_t)length >= sizeof store) engine_fail(path, "is too long");
    remove_tree(store);
    if (mkdir(store, 0700) != 0) engine_fail(store, "cannot be emptied");
    sync_file_system(path);
    return store;
}
