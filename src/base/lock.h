/* lock.h - mutex with a rank, and condition variable.
 *
 * Invariant (checked in KH_SLOW_CHECKS builds): a thread takes locks in rising rank only.
 * The ranks are all here, so that the whole order can be read at once. No callback of a user
 * (release, allocator, log, resolve) runs under a lock, but for RANK_LOG's by its contract. */
#ifndef KHONSU_BASE_LOCK_H
#define KHONSU_BASE_LOCK_H

#include "base/assert.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum lock_rank {
    RANK_DATABASE = 1, /* the list of databases and of transaction handles, options */
    RANK_COMMIT,       /* the commit section: certify, append, publish */
    RANK_LOG,          /* inside a log */
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
void lock_note_taken(const struct lock *lock);
void lock_note_left(const struct lock *lock);
#else
static inline void lock_note_taken(const struct lock *lock) {
    (void)lock;
}
static inline void lock_note_left(const struct lock *lock) {
    (void)lock;
}
#endif

static inline void lock_take(struct lock *lock) {
    lock_note_taken(lock);
    int code = pthread_mutex_lock(&lock->mutex);
    kh_assert(code == 0);
}

static inline void lock_leave(struct lock *lock) {
    lock_note_left(lock); /* before the next owner can free it */
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

#endif
