/* lock.c - mutexes with ranks. In KH_SLOW_CHECKS builds each thread keeps a bit set of the ranks
 * that it holds and asserts that the next one is higher. */
#define _GNU_SOURCE /* the monotonic clock of condition variables */
#include "base/lock.h"

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

void lock_note_taken(const struct lock *lock) {
    kh_assert(held >> lock->rank == 0); /* ranks rise */
    held |= 1u << lock->rank;
}

void lock_note_left(const struct lock *lock) {
    held &= ~(1u << lock->rank);
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

bool signal_wait(struct signal *signal, struct lock *lock, uint64_t deadline_ns) {
    int code;
    if (deadline_ns == 0) {
        code = pthread_cond_wait(&signal->condition, &lock->mutex);
    } else {
        struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                                    .tv_nsec = (long)(deadline_ns % 1000000000u)};
        code = pthread_cond_timedwait(&signal->condition, &lock->mutex, &deadline);
    }
    kh_assert(code == 0 || code == ETIMEDOUT);
    return code == 0;
}
