/* env.h - the outside world: clocks, randomness, threads, event descriptors.
 *
 * The engine reaches time, randomness and I/O through here only, so that a test (and later a whole
 * cluster in one process) can drive them. env_posix.c holds every system call of the library. */
#ifndef KHONSU_BASE_ENV_H
#define KHONSU_BASE_ENV_H

#include "khonsu/status.h"
#include <stdatomic.h>
#include <stdbool.h>

struct env_clock { /* replaced by the clock hook of a database */
    uint64_t (*wall_ms)(void *context);
    uint64_t (*monotonic_ns)(void *context);
    void *context;
};

/* The system's clocks. */
struct env_clock env_clock_system(void);
static inline uint64_t env_wall_ms(const struct env_clock *clock) {
    return clock->wall_ms(clock->context);
}
static inline uint64_t env_monotonic_ns(const struct env_clock *clock) {
    return clock->monotonic_ns(clock->context);
}

/* Fill with random bytes from the kernel. */
void env_random(void *bytes, size_t size_bytes);
/* A number that the child's side of fork() raises (pthread_atfork): a database notes it at open and
 * asks at each call whether it is in a child, a relaxed load. */
uint32_t env_fork_generation(void);
extern _Atomic uint32_t env_fork_count; /* read by the line below only */
static inline bool env_is_forked(uint32_t generation) {
    return atomic_load_explicit(&env_fork_count, memory_order_relaxed) != generation;
}

struct env_thread;
/* Start a named thread (15 characters at most) with all signals blocked. NULL on failure. */
struct env_thread *env_thread_start(const char *name, void (*run)(void *context), void *context);
void env_thread_join(struct env_thread *thread);
/* For a thread that is seldom in a hurry: a third of what an ordinary thread gets where both want
 * the same processor, in slices of 0.1 ms, so that nobody waits for long until it stops. It always
 * gets its share. Without effect where the kernel does not know how (slices: before Linux 6.12). */
void env_thread_give_way(void);
void env_yield(void);
/* A number that tells the calling thread from all others alive; never 0. */
uintptr_t env_self(void);
/* Sleep, for back-off. */
void env_pause_ns(uint64_t duration_ns);

/* Sleep while a word has a value, and wake one who sleeps on it (futex): the caller's loop looks at
 * the word again, since a wait may end for no reason. Deadline on the monotonic clock, 0: none;
 * false: it has passed. The word may be gone when wake is called: nobody is woken then, or somebody
 * who looks again. */
bool env_word_wait(_Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns);
void env_word_wake(_Atomic uint32_t *word);

/* Event descriptor (eventfd, non-blocking, close-on-exec): -1 on failure. */
int env_event_open(void);
void env_event_signal(int descriptor);
void env_event_drain(int descriptor);
void env_event_close(int descriptor);

/* Memory from the kernel, zeroed and aligned to a large page, large pages asked for behind its
 * whole ones: a read of a random key then misses the translation cache less often. Where the kernel
 * says no, small ones. NULL: no memory. It returns with the size it was mapped with. */
enum { ENV_LARGE_PAGE_BYTES = 2 * 1024 * 1024 };
void *env_map(size_t size_bytes);
void env_unmap(void *block, size_t size_bytes);
/* Free pages of the C library's heap go back to the kernel, where the library can do that. As long
 * as a look at the whole heap. */
void env_trim_heap(void);

#endif
