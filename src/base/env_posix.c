/* env_posix.c - every system call of the library: clocks, random bytes, threads, eventfd, fork. */
#define _GNU_SOURCE
#include "base/env.h"

#include "base/assert.h"
#include <errno.h>
#include <linux/futex.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t system_wall_ms(void *context) {
    (void)context;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static uint64_t system_monotonic_ns(void *context) {
    (void)context;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct env_clock env_clock_system(void) {
    return (struct env_clock){system_wall_ms, system_monotonic_ns, NULL};
}

void env_random(void *bytes, size_t size_bytes) {
    unsigned char *next = bytes;
    while (size_bytes > 0) {
        ssize_t got = getrandom(next, size_bytes, 0);
        if (got < 0) {
            kh_assert(errno == EINTR); /* the kernel has the call since 3.17 */
            continue;
        }
        next += got;
        size_bytes -= (size_t)got;
    }
}

_Atomic uint32_t env_fork_count;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void count_fork(void) {
    atomic_fetch_add_explicit(&env_fork_count, 1, memory_order_relaxed);
}

static void watch_forks(void) {
    int code = pthread_atfork(NULL, NULL, count_fork);
    kh_assert(code == 0);
}

uint32_t env_fork_generation(void) {
    (void)pthread_once(&fork_once, watch_forks);
    return atomic_load_explicit(&env_fork_count, memory_order_relaxed);
}

struct env_thread {
    pthread_t thread;
    char name[16]; /* the kernel's limit */
    void (*run)(void *context);
    void *context;
};

static void *thread_main(void *argument) {
    struct env_thread *thread = argument;
    (void)pthread_setname_np(pthread_self(), thread->name);
    thread->run(thread->context);
    return NULL;
}

struct env_thread *env_thread_start(const char *name, void (*run)(void *context), void *context) {
    struct env_thread *thread = malloc(sizeof *thread);
    if (thread == NULL) return NULL;
    *thread = (struct env_thread){.run = run, .context = context};
    memcpy(thread->name, name, strnlen(name, sizeof thread->name - 1));
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&thread->thread, NULL, thread_main, thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0) {
        free(thread);
        return NULL;
    }
    return thread;
}

void env_thread_join(struct env_thread *thread) {
    int code = pthread_join(thread->thread, NULL);
    kh_assert(code == 0);
    free(thread);
}

/* As the kernel has it since Linux 3.14; the C library has no name for it. */
struct scheduling {
    uint32_t size_bytes;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns;
    uint64_t deadline_ns;
    uint64_t period_ns;
};

/* Only of the usual policy: who has chosen another for his threads has his reasons. */
void env_thread_give_way(void) {
    enum { NICER = 5, NICEST = 19, SLICE_NS = 100 * 1000 };
    struct scheduling now = {.size_bytes = sizeof now};
    if (syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) != 0 || now.policy != SCHED_OTHER)
        return;
    now.nice = now.nice + NICER < NICEST ? now.nice + NICER : NICEST;
    now.slice_ns = SLICE_NS;
    (void)syscall(SYS_sched_setattr, 0, &now, 0);
}

uintptr_t env_self(void) {
    static _Thread_local char mark;
    return (uintptr_t)&mark;
}

void env_yield(void) {
    (void)sched_yield();
}

void env_pause_ns(uint64_t duration_ns) {
    struct timespec left = {.tv_sec = (time_t)(duration_ns / 1000000000u),
                            .tv_nsec = (long)(duration_ns % 1000000000u)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

bool env_word_wait(_Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns) {
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                                .tv_nsec = (long)(deadline_ns % 1000000000u)};
    /* The bit set's form takes a point in time, on the monotonic clock. */
    long code = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value,
                        deadline_ns == 0 ? NULL : &deadline, NULL, FUTEX_BITSET_MATCH_ANY);
    return code == 0 || errno != ETIMEDOUT;
}

void env_word_wake(_Atomic uint32_t *word) {
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

int env_event_open(void) {
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void env_event_signal(int descriptor) {
    uint64_t one = 1;
    ssize_t written = write(descriptor, &one, sizeof one);
    (void)written; /* EAGAIN: the counter is at its top, the reader is awake already */
}

void env_event_drain(int descriptor) {
    uint64_t count = 0;
    ssize_t got = read(descriptor, &count, sizeof count);
    (void)got; /* EAGAIN: nothing was signalled */
}

void env_event_close(int descriptor) {
    if (descriptor >= 0) (void)close(descriptor);
}

static size_t whole_pages(size_t size_bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size_bytes + page - 1) & ~(page - 1);
}

static void unmap(unsigned char *from, const unsigned char *to) {
    if (from < to) (void)munmap(from, (size_t)(to - from));
}

/* A large page more than asked is mapped, and what lies outside the aligned block unmapped. What
 * lies behind its last whole large page stays in small ones, so that a block never takes more
 * memory than it is long. */
void *env_map(size_t size_bytes) {
    const size_t large = ENV_LARGE_PAGE_BYTES;
    if (size_bytes > SIZE_MAX / 2) return NULL;
    size_t whole = whole_pages(size_bytes);
    unsigned char *from =
        mmap(NULL, whole + large, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (from == MAP_FAILED) return NULL;
    unsigned char *block = from + (large - ((uintptr_t)from & (large - 1))) % large;
    unmap(from, block);
    unmap(block + whole, from + whole + large);
#if defined(MADV_HUGEPAGE)
    (void)madvise(block, whole & ~(large - 1), MADV_HUGEPAGE);
#endif
    return block;
}

void env_trim_heap(void) {
#if defined(__GLIBC__)
    (void)malloc_trim(0);
#endif
}

void env_unmap(void *block, size_t size_bytes) {
    if (block != NULL) (void)munmap(block, whole_pages(size_bytes));
}
