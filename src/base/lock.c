/* lock.c - mutexes and latches with ranks. In KH_SLOW_CHECKS builds each thread keeps a bit set of
 * the ranks that it holds and asserts that the next one is higher. */
#define _GNU_SOURCE /* the monotonic clock of condition variables */
#include "base/lock.h"

#include <ck_pr.h>
#include <errno.h>
#include <time.h>

void lock_init(struct lock *lock, enum lock_rank rank) {
    int code = pthread_mutex_init(&lock->mutex, NULL);
    kh_assert(code == 0);
    lock->rank = rank;
}

void lock_fini(struct lock *lock) {
    int code = pthread_mutex_destroy(&lock->mutex);
    kh_assert(code == 0);
}

#if defined(KH_SLOW_CHECKS)
static _Thread_local uint32_t held;

void lock_note_taken(enum lock_rank rank) {
    kh_assert(held >> rank == 0); /* ranks rise */
    held |= 1u << rank;
}

void lock_note_left(enum lock_rank rank) {
    held &= ~(1u << rank);
}
#endif

void signal_init(struct signal *signal) {
    pthread_condattr_t attributes;
    int code = pthread_condattr_init(&attributes);
    if (code == 0) code = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (code == 0) code = pthread_cond_init(&signal->condition, &attributes);
    kh_assert(code == 0);
    (void)pthread_condattr_destroy(&attributes);
}

void signal_fini(struct signal *signal) {
    int code = pthread_cond_destroy(&signal->condition);
    kh_assert(code == 0);
}

void signal_wake_all(struct signal *signal) {
    (void)pthread_cond_broadcast(&signal->condition);
}

static bool wait_on(struct signal *signal, pthread_mutex_t *mutex, uint64_t deadline_ns) {
    int code;
    if (deadline_ns == 0) {
        code = pthread_cond_wait(&signal->condition, mutex);
    } else {
        struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                                    .tv_nsec = (long)(deadline_ns % 1000000000u)};
        code = pthread_cond_timedwait(&signal->condition, mutex, &deadline);
    }
    kh_assert(code == 0 || code == ETIMEDOUT);
    return code == 0;
}

bool signal_wait(struct signal *signal, struct lock *lock, uint64_t deadline_ns) {
    return wait_on(signal, &lock->mutex, deadline_ns);
}

/* ---- gates ----------------------------------------------------------------------------------- */

void gate_init(struct gate *gate) {
    int code = pthread_rwlock_init(&gate->lock, NULL);
    kh_assert(code == 0);
}

void gate_fini(struct gate *gate) {
    (void)pthread_rwlock_destroy(&gate->lock);
}

void gate_share(struct gate *gate) {
    int code = pthread_rwlock_rdlock(&gate->lock);
    kh_assert(code == 0);
}

bool gate_try_close(struct gate *gate) {
    return pthread_rwlock_trywrlock(&gate->lock) == 0;
}

void gate_leave(struct gate *gate) {
    int code = pthread_rwlock_unlock(&gate->lock);
    kh_assert(code == 0);
}

/* ---- latches --------------------------------------------------------------------------------- */

void latch_init(struct latch *latch, enum lock_rank rank) {
    atomic_init(&latch->word, LATCH_FREE);
    latch->rank = rank;
    int code = pthread_mutex_init(&latch->park, NULL);
    kh_assert(code == 0);
    signal_init(&latch->freed);
}

void latch_fini(struct latch *latch) {
    kh_assert(atomic_load_explicit(&latch->word, memory_order_relaxed) == LATCH_FREE);
    signal_fini(&latch->freed);
    int code = pthread_mutex_destroy(&latch->park);
    kh_assert(code == 0);
}

static void park(struct latch *latch) {
    int code = pthread_mutex_lock(&latch->park);
    kh_assert(code == 0);
}

static void unpark(struct latch *latch) {
    int code = pthread_mutex_unlock(&latch->park);
    kh_assert(code == 0);
}

/* The owner is mostly done within some hundred nanoseconds: look again for about as long before
 * going to sleep. */
static bool spin(struct latch *latch) {
    enum { LOOKS = 64 };
    for (int i = 0; i < LOOKS; i++) {
        uint32_t word = atomic_load_explicit(&latch->word, memory_order_relaxed);
        if (word == LATCH_FREE &&
            atomic_compare_exchange_weak_explicit(&latch->word, &word, LATCH_TAKEN,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
        ck_pr_stall();
    }
    return false;
}

/* Who has slept takes it as awaited, because others may sleep still. */
static void take_parked(struct latch *latch) {
    while (atomic_exchange_explicit(&latch->word, LATCH_AWAITED, memory_order_acquire) !=
           LATCH_FREE)
        (void)wait_on(&latch->freed, &latch->park, 0);
}

void latch_take_slowly(struct latch *latch) {
    if (spin(latch)) return;
    park(latch);
    take_parked(latch);
    unpark(latch);
}

void latch_wake(struct latch *latch) {
    park(latch);
    (void)pthread_cond_signal(&latch->freed.condition);
    unpark(latch);
}

bool latch_wait(struct latch *latch, struct signal *signal, uint64_t deadline_ns) {
    park(latch);
    if (atomic_exchange_explicit(&latch->word, LATCH_FREE, memory_order_release) == LATCH_AWAITED)
        (void)pthread_cond_signal(&latch->freed.condition);
    bool is_in_time = wait_on(signal, &latch->park, deadline_ns);
    take_parked(latch);
    unpark(latch);
    return is_in_time;
}

void latch_wake_all(struct latch *latch, struct signal *signal) {
    park(latch);
    signal_wake_all(signal);
    unpark(latch);
}
