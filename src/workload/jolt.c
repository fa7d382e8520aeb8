/* jolt.c - a timer for each thread, and a handler that yields.
 *
 * sched_yield is not on POSIX' list of what a handler may call, but is a bare system call on Linux,
 * as are the timers that name a thread. */
#define _GNU_SOURCE /* gettid, SIGEV_THREAD_ID */
#include "jolt.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#if !defined(sigev_notify_thread_id)
#define sigev_notify_thread_id _sigev_un._tid
#endif

static void yield(int signal) {
    (void)signal;
    int error = errno;
    (void)sched_yield();
    errno = error;
}

struct jolt jolt_create(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = yield;
    action.sa_flags = SA_RESTART;
    (void)sigaction(SIGUSR1, &action, NULL);
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event.sigev_notify_thread_id = gettid();
    struct jolt jolt;
    memset(&jolt, 0, sizeof jolt);
    jolt.is_there = timer_create(CLOCK_MONOTONIC, &event, &jolt.timer) == 0;
    return jolt;
}

void jolt_destroy(struct jolt *jolt) {
    if (jolt->is_there) {
        (void)timer_delete(jolt->timer);
        jolt->is_there = false;
    }
}

void jolt_set(struct jolt *jolt, struct dice *dice) {
    enum { SHORTEST_NS = 1000, DOUBLINGS = 6 };
    if (!jolt->is_there || !dice_one_in(dice, 2)) {
        return;
    }
    /* As often short as long: calls take from one to some fifty microseconds. */
    uint32_t most = (uint32_t)SHORTEST_NS << (1 + dice_below(dice, DOUBLINGS));
    struct itimerspec once;
    memset(&once, 0, sizeof once);
    once.it_value.tv_nsec = (long)(SHORTEST_NS + dice_below(dice, most - SHORTEST_NS));
    (void)timer_settime(jolt->timer, 0, &once, NULL);
}
