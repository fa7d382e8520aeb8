/* guard.c - waiting for a writer that holds a guard: a few hundred instructions at most, unless it
 * lost the processor; then waiting gives the processor back. */
#include "store/guard.h"

#include "base/env.h"

enum { SPINS_BEFORE_YIELD = 128 }; /* about as long as the longest locked section */

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
