/* guard.c - waiting for a writer that holds a guard: a few hundred instructions at most, unless it
 * lost the processor; then waiting gives the processor back. */
#include "store/guard.h"

#include "base/env.h"

enum { SPINS_BEFORE_YIELD = 128 }; /* about as long as the longest locked section */

#if defined(KH_SLOW_CHECKS)
static _Atomic uint32_t disturb_steps;

void guard_disturb_every(uint32_t steps) {
    atomic_store_explicit(&disturb_steps, steps, memory_order_relaxed);
}

void guard_disturb(void) {
    static _Thread_local uint32_t random;
    uint32_t steps = atomic_load_explicit(&disturb_steps, memory_order_relaxed);
    if (steps == 0) return;
    random = random * 1664525u + 1013904223u; /* any constants that mix the upper half will do */
    if ((random >> 16) % steps != 0) return;
    /* On a busy machine a yield lets strangers run; a pause lets the other threads pass. */
    if (random >> 31 == 0)
        env_yield();
    else
        env_pause_ns(20000);
}
#endif

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

bool guard_wait(const struct guard *guard, uint64_t *version) {
    uint64_t word = atomic_load_explicit(&guard->word, memory_order_acquire);
    for (unsigned spins = 1; (word & GUARD_LOCKED) != 0; spins++) {
        if (spins % SPINS_BEFORE_YIELD == 0)
            env_yield();
        else
            relax();
        word = atomic_load_explicit(&guard->word, memory_order_acquire);
    }
    *version = word;
    return (word & GUARD_OBSOLETE) == 0;
}
