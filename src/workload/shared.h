/* shared.h - memory that the store's process and the writing process share: one ring of events for
 * each thread, and what both want to know of each other.
 *
 * Threads put events into their own ring and never wait for one another, so that recording hardly
 * disturbs their interleaving; the writing process merges the rings by time. As the rings are not
 * the store's memory, they survive whatever happens to it, a crash or kill -9 included. */
#ifndef KHONSU_WORKLOAD_SHARED_H
#define KHONSU_WORKLOAD_SHARED_H

#include <khonsu.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum event_kind { EVENT_INVOKE, EVENT_OK, EVENT_FAIL, EVENT_INFO };

/* How an event lies in a ring, its text behind it. */
struct event {
    uint64_t t; /* nanoseconds since the start */
    uint32_t size_bytes;
    uint16_t kind;   /* enum event_kind */
    uint16_t reason; /* kh_status of what did not commit */
};

enum { RING_BYTES = 1 << 19, RING_EVENT_MAX = RING_BYTES / 2 };

/* One producer, one consumer. Positions count bytes for ever. */
struct ring {
    _Alignas(64) _Atomic uint64_t tail;
    /* No event that is not yet in the ring has an earlier time. UINT64_MAX: none will come. */
    _Atomic uint64_t not_before;
    _Alignas(64) _Atomic uint64_t head;
    unsigned char bytes[RING_BYTES];
};

struct shared {
    uint64_t start_ns;
    uint32_t ring_count;
    _Atomic uint32_t is_stopping;
    _Atomic uint32_t has_failed;
    _Atomic uint64_t tickets;      /* transactions begun */
    _Atomic uint64_t next_process; /* the next p that was never used */
    /* Of one life of the store's process, set before it begins. */
    uint32_t life;                  /* 0, and one more after each kill */
    uint64_t kill_at;               /* the ticket that is its end; UINT64_MAX: none */
    _Atomic uint32_t is_kill_taken; /* the first thread that comes so far does it */
    _Atomic uint64_t opened_ns;     /* when the store was open; 0: not yet */
    char failure[400];              /* why the run ended early; written once */
    struct ring rings[];
};

/* NULL: no memory (errno). Inherited by fork. */
struct shared *shared_create(uint32_t ring_count);
void shared_destroy(struct shared *shared);

/* Before each life of the store's process. */
void shared_begin_life(struct shared *shared, uint32_t life, uint64_t kill_at);
/* In that process, for each transaction: if it is time, SIGKILL, after letting the other threads
 * run for so many turns. */
void shared_reach(struct shared *shared, uint64_t ticket, uint32_t turns);
/* Was it the plan that its process died? */
static inline bool shared_is_kill_taken(const struct shared *shared) {
    return atomic_load_explicit(&shared->is_kill_taken, memory_order_relaxed) != 0;
}

/* The run's one clock, the same in every process: nanoseconds since the start. */
uint64_t shared_clock(const struct shared *shared);
static inline bool shared_is_stopping(const struct shared *shared) {
    return atomic_load_explicit(&shared->is_stopping, memory_order_relaxed) != 0;
}
static inline void shared_stop(struct shared *shared) {
    atomic_store_explicit(&shared->is_stopping, 1, memory_order_relaxed);
}
/* The run cannot go on: keep the first reason, and stop. Any thread. */
__attribute__((format(printf, 2, 3))) void shared_fail(struct shared *shared, const char *format,
                                                       ...);

/* Put an event of at most RING_EVENT_MAX bytes; waits while the ring is full. */
void ring_put(struct ring *ring, const struct event *event, const char *text);
/* The oldest event's head; false: the ring is empty, and *not_before bounds what will come. */
bool ring_peek(const struct ring *ring, struct event *event, uint64_t *not_before);
/* Copy the peeked event's text and take it out. */
void ring_take(struct ring *ring, const struct event *event, char *text);
static inline void ring_close(struct ring *ring) {
    atomic_store_explicit(&ring->not_before, UINT64_MAX, memory_order_release);
}

#endif
