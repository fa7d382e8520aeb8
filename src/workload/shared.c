/* shared.c - the shared memory and its rings.
 *
 * A producer publishes tail, then not_before; the consumer reads not_before, then tail. So a ring
 * that is found empty has delivered every event earlier than the not_before that was read. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "shared.h"

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static size_t shared_size(uint32_t ring_count) {
    return sizeof(struct shared) + ring_count * sizeof(struct ring);
}

static uint64_t monotonic_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

struct shared *shared_create(uint32_t ring_count) {
    void *memory = mmap(NULL, shared_size(ring_count), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    struct shared *shared = memory;
    shared->ring_count = ring_count;
    shared->start_ns = monotonic_ns();
    return shared;
}

void shared_destroy(struct shared *shared) {
    (void)munmap(shared, shared_size(shared->ring_count));
}

/* A ring of which no event will come before the store is open. The last one, of the final reads,
 * stays closed: its events are later than all others. */
void shared_begin_life(struct shared *shared, uint32_t life, uint64_t kill_at) {
    shared->life = life;
    shared->kill_at = kill_at;
    atomic_store_explicit(&shared->is_kill_taken, 0, memory_order_relaxed);
    atomic_store_explicit(&shared->opened_ns, 0, memory_order_relaxed);
    uint64_t now = shared_clock(shared);
    for (uint32_t i = 0; i + 1 < shared->ring_count; ++i) {
        atomic_store_explicit(&shared->rings[i].not_before, now, memory_order_release);
    }
    ring_close(&shared->rings[shared->ring_count - 1]);
}

void shared_reach(struct shared *shared, uint64_t ticket, uint32_t turns) {
    if (ticket >= shared->kill_at &&
        atomic_exchange_explicit(&shared->is_kill_taken, 1, memory_order_relaxed) == 0) {
        for (uint32_t i = 0; i < turns; ++i) {
            (void)sched_yield();
        }
        (void)kill(getpid(), SIGKILL);
    }
}

uint64_t shared_clock(const struct shared *shared) {
    return monotonic_ns() - shared->start_ns;
}

void shared_fail(struct shared *shared, const char *format, ...) {
    if (atomic_exchange_explicit(&shared->has_failed, 1, memory_order_relaxed) == 0) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(shared->failure, sizeof shared->failure, format, arguments);
        va_end(arguments);
    }
    shared_stop(shared);
}

/* Events begin at multiples of 8, so that their heads are never cut by the end of the ring. */
static uint64_t room_of(uint32_t size_bytes) {
    return sizeof(struct event) + (((uint64_t)size_bytes + 7) & ~(uint64_t)7);
}

static void copy_in(struct ring *ring, uint64_t at, const void *bytes, size_t size_bytes) {
    size_t offset = (size_t)(at % RING_BYTES);
    size_t first = size_bytes < RING_BYTES - offset ? size_bytes : RING_BYTES - offset;
    memcpy(ring->bytes + offset, bytes, first);
    memcpy(ring->bytes, (const unsigned char *)bytes + first, size_bytes - first);
}

static void copy_out(const struct ring *ring, uint64_t at, void *bytes, size_t size_bytes) {
    size_t offset = (size_t)(at % RING_BYTES);
    size_t first = size_bytes < RING_BYTES - offset ? size_bytes : RING_BYTES - offset;
    memcpy(bytes, ring->bytes + offset, first);
    memcpy((unsigned char *)bytes + first, ring->bytes, size_bytes - first);
}

void ring_put(struct ring *ring, const struct event *event, const char *text) {
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t end = tail + room_of(event->size_bytes);
    while (end - atomic_load_explicit(&ring->head, memory_order_acquire) > RING_BYTES) {
        (void)sched_yield();
    }
    copy_in(ring, tail, event, sizeof *event);
    copy_in(ring, tail + sizeof *event, text, event->size_bytes);
    atomic_store_explicit(&ring->tail, end, memory_order_release);
    atomic_store_explicit(&ring->not_before, event->t, memory_order_release);
}

bool ring_peek(const struct ring *ring, struct event *event, uint64_t *not_before) {
    *not_before = atomic_load_explicit(&ring->not_before, memory_order_acquire);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (atomic_load_explicit(&ring->tail, memory_order_acquire) == head) {
        return false;
    }
    copy_out(ring, head, event, sizeof *event);
    return true;
}

void ring_take(struct ring *ring, const struct event *event, char *text) {
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    copy_out(ring, head + sizeof *event, text, event->size_bytes);
    atomic_store_explicit(&ring->head, head + room_of(event->size_bytes), memory_order_release);
}
