/* lock.h - mutex with a rank, condition variable, and the commit section's latch.
 *
 * Invariant (checked in KH_SLOW_CHECKS builds): a thread takes locks in rising rank only.
 * The ranks are all here, so that the whole order can be read at once. No callback of a user
 * (release, allocator, log, resolve) runs under a lock, but for RANK_LOG's by its contract. */
#ifndef KHONSU_BASE_LOCK_H
#define KHONSU_BASE_LOCK_H

#include "base/assert.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum lock_rank {
    RANK_DATABASE = 1, /* the list of databases and of transaction handles, options */
    RANK_COMMIT,       /* the commit section: certify, append, publish */
    RANK_LOCKS,        /* the table of key locks (txn/locks.h); nobody sleeps with it */
    RANK_LOG,          /* inside a log */
    RANK_SEMANTIC,     /* the list of recent deltas */
    RANK_WATCH,        /* watchers and their queues */
    RANK_INDEX,        /* growth of the hash front */
    RANK_SCHEMA,       /* schema interning */
    RANK_METRIC,       /* the table of hot keys */
    RANK_MEM           /* shared freelists; last: anything may allocate */
};

struct lock {
    pthread_mutex_t mutex;
    enum lock_rank rank;
};

void lock_init(struct lock *lock, enum lock_rank rank);
void lock_fini(struct lock *lock);

#if defined(KH_SLOW_CHECKS)
void lock_note_taken(enum lock_rank rank);
void lock_note_left(enum lock_rank rank);
#else
static inline void lock_note_taken(enum lock_rank rank) {
    (void)rank;
}
static inline void lock_note_left(enum lock_rank rank) {
    (void)rank;
}
#endif

static inline void lock_take(struct lock *lock) {
    lock_note_taken(lock->rank);
    int code = pthread_mutex_lock(&lock->mutex);
    kh_assert(code == 0);
}

static inline void lock_leave(struct lock *lock) {
    lock_note_left(lock->rank); /* before the next owner can free it */
    int code = pthread_mutex_unlock(&lock->mutex);
    kh_assert(code == 0);
}

/* Monotonic clock. */
struct signal {
    pthread_cond_t condition;
};
void signal_init(struct signal *signal);
void signal_fini(struct signal *signal);
void signal_wake_all(struct signal *signal);
/* Wait with lock held; deadline_ns on the monotonic clock, 0: none. False when it has passed. */
bool signal_wait(struct signal *signal, struct lock *lock, uint64_t deadline_ns);

/* ---- gates -----------------------------------------------------------------------------------
 * Shared by many, or closed by one. Without a rank: who has it shared may share it again, since who
 * waits to close it holds nobody up (the C library's preference); so closing is tried. */
struct gate {
    pthread_rwlock_t lock;
};
void gate_init(struct gate *gate);
void gate_fini(struct gate *gate);
void gate_share(struct gate *gate);
bool gate_try_close(struct gate *gate);
void gate_leave(struct gate *gate); /* either */

/* ---- latches ---------------------------------------------------------------------------------
 * A mutex whose uncontended path is one compare-and-swap and one exchange, inlined: for the commit
 * section, which every commit passes (decision 31). The three states of Drepper's second mutex
 * ("Futexes Are Tricky", 2011), with a mutex and a condition variable to sleep on. Unlike a
 * struct lock it must not be freed by whoever takes it next after the last leave: latch_fini only
 * once every call that used it has returned. */
enum { LATCH_FREE = 0, LATCH_TAKEN = 1, LATCH_AWAITED = 2 /* taken, and somebody may sleep */ };

struct latch {
    pthread_mutex_t park; /* who sleeps, and who wakes */
    struct signal freed;
    enum lock_rank rank;
    _Atomic uint32_t word; /* last: what it guards may share its cache line */
};

void latch_init(struct latch *latch, enum lock_rank rank);
void latch_fini(struct latch *latch);
void latch_take_slowly(struct latch *latch);
void latch_wake(struct latch *latch);

static inline void latch_take(struct latch *latch) {
    lock_note_taken(latch->rank);
    uint32_t word = LATCH_FREE;
    if (KH_UNLIKELY(!atomic_compare_exchange_strong_explicit(
            &latch->word, &word, LATCH_TAKEN, memory_order_acquire, memory_order_relaxed)))
        latch_take_slowly(latch);
}

static inline void latch_leave(struct latch *latch) {
    lock_note_left(latch->rank);
    if (KH_UNLIKELY(atomic_exchange_explicit(&latch->word, LATCH_FREE, memory_order_release) ==
                    LATCH_AWAITED))
        latch_wake(latch);
}

/* As signal_wait and signal_wake_all, with the latch held. */
bool latch_wait(struct latch *latch, struct signal *signal, uint64_t deadline_ns);
void latch_wake_all(struct latch *latch, struct signal *signal);

#endif
