/* jolt.h - threads that are interrupted wherever they are.
 *
 * Yielding between operations makes transactions overlap; what goes wrong inside of one call, in
 * the few instructions between two stores, needs a thread that stops just there. A timer of its own
 * interrupts a thread some moment after it was set, and the handler lets another one run. It is set
 * once at a time, as a thread that is always interrupted when its turn comes would never go on. */
#ifndef KHONSU_WORKLOAD_JOLT_H
#define KHONSU_WORKLOAD_JOLT_H

#include "dice.h"

#include <stdbool.h>
#include <time.h>

struct jolt { /* all zero: none */
    timer_t timer;
    bool is_there;
};

/* For the calling thread; none when there is no timer to be had. */
struct jolt jolt_create(void);
void jolt_destroy(struct jolt *jolt);
/* Now and then, interrupt the thread within the next 64 microseconds. */
void jolt_set(struct jolt *jolt, struct dice *dice);

#endif
