/* guard.h - the version lock of one node: readers look and check, writers lock.
 *
 * Optimistic lock coupling (Leis, Scheibner, Kemper, Neumann, DaMoN 2016). The word counts the
 * changes of what it guards; its two low bits say that a writer is at work, or that the node has
 * left the tree for good. A reader notes the word (guard_enter), loads what it wants and asks
 * whether the word is still the same (guard_holds): if not, what it loaded is worthless.
 *
 * Order without fences (which the thread sanitizer does not model): guarded fields are loaded with
 * acquire, so that the check cannot move before them; and stored with release, so that whoever
 * sees a new field sees the lock taken before it. 64 bits of version do not come round.
 * A writer locks only at the version that it has read, never waits for a lock while it holds one
 * (no deadlock), and neither allocates nor calls out while it does. */
#ifndef KHONSU_STORE_GUARD_H
#define KHONSU_STORE_GUARD_H

#include "base/assert.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct guard {
    _Atomic uint64_t word; /* writers: any, by compare-and-swap; readers: any */
};

enum { GUARD_OBSOLETE = 1, GUARD_LOCKED = 2, GUARD_STEP = 4 };

/* In KH_SLOW_CHECKS builds a test can have threads give up the processor at the steps where others
 * may come in between, once in so many of them (0: never). */
#if defined(KH_SLOW_CHECKS)
void guard_disturb_every(uint32_t steps);
void guard_disturb(void);
#else
static inline void guard_disturb(void) {}
#endif

/* Wait until no writer is at work. False: obsolete. */
bool guard_wait(const struct guard *guard, uint64_t *version);

/* False: obsolete, start again from the root. */
static inline bool guard_enter(const struct guard *guard, uint64_t *version) {
    guard_disturb();
    *version = atomic_load_explicit(&guard->word, memory_order_acquire);
    if (KH_LIKELY((*version & (GUARD_OBSOLETE | GUARD_LOCKED)) == 0)) return true;
    return guard_wait(guard, version);
}

static inline bool guard_holds(const struct guard *guard, uint64_t version) {
    /* Relaxed: the loads before it are acquire loads. */
    return KH_LIKELY(atomic_load_explicit(&guard->word, memory_order_relaxed) == version);
}

/* Lock if nothing has changed since version was read. */
static inline bool guard_lock(struct guard *guard, uint64_t version) {
    guard_disturb();
    return atomic_compare_exchange_strong_explicit(&guard->word, &version, version | GUARD_LOCKED,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

/* Unlock: changed, unchanged, or gone for good. version: at which it was locked. */
static inline void guard_unlock(struct guard *guard, uint64_t version) {
    atomic_store_explicit(&guard->word, version + GUARD_STEP, memory_order_release);
}
static inline void guard_unlock_unchanged(struct guard *guard, uint64_t version) {
    atomic_store_explicit(&guard->word, version, memory_order_release);
}
static inline void guard_unlock_obsolete(struct guard *guard, uint64_t version) {
    atomic_store_explicit(&guard->word, (version + GUARD_STEP) | GUARD_OBSOLETE,
                          memory_order_release);
}

#endif
