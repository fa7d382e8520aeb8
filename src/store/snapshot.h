/* snapshot.h - who reads at which timestamp: one slot line per transaction handle.
 *
 * A snapshot is a registered timestamp; opening one costs the same whatever the store's size.
 * The race that matters: a reader takes a timestamp, a writer publishes a newer one and prunes, the
 * reader registers too late. So the reader registers first (full fence) and looks at the published
 * timestamp again; the pruner publishes first (full fence) and looks at the slots after. One of the
 * two sees the other (test/mutants leaves the second look out). */
#ifndef KHONSU_STORE_SNAPSHOT_H
#define KHONSU_STORE_SNAPSHOT_H

#include "base/assert.h"
#include "base/limits.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SNAPSHOT_NONE UINT64_MAX

enum snapshot_slot {
    SLOT_READ,         /* what the transaction (at read committed: its statement) reads at */
    SLOT_BASE,         /* read committed: the timestamp at begin, for the base of merges */
    SLOT_SERIALIZABLE, /* a tracked serializable transaction: its snapshot again */
    SLOT_COUNT
};

/* Writer: the thread that uses the handle (and the janitor, holding the handle's busy mark). */
struct snapshot_line {
    _Alignas(64) _Atomic uint64_t slots[SLOT_COUNT];
};

struct snapshots {
    struct snapshot_line *lines; /* lines_max of them, allocated once */
    _Atomic uint32_t line_count; /* lines ever used: the others need no look */
    uint32_t lines_max;
};

/* In KH_SLOW_CHECKS builds a test can step in where another thread could: around the registration
 * of a timestamp, behind its end, before and after the slots are looked at. NULL: nobody. */
#if defined(KH_SLOW_CHECKS)
void snapshot_step_with(void (*step)(void *context), void *context);
void snapshot_step(void);
#else
static inline void snapshot_step_with(void (*step)(void *context), void *context) {
    (void)step;
    (void)context;
}
static inline void snapshot_step(void) {}
#endif

/* Register the newest published timestamp in SLOT_READ and in one more (SLOT_READ: in that only),
 * and return it. */
static inline uint64_t snapshot_take(struct snapshot_line *line, const _Atomic uint64_t *visible,
                                     enum snapshot_slot also) {
    uint64_t timestamp = atomic_load_explicit(visible, memory_order_acquire);
    for (;;) {
        snapshot_step();
        if (also != SLOT_READ)
            atomic_store_explicit(&line->slots[also], timestamp, memory_order_relaxed);
        /* sequentially consistent: the stores above become visible before the load below */
        atomic_exchange_explicit(&line->slots[SLOT_READ], timestamp, memory_order_seq_cst);
        uint64_t again = atomic_load_explicit(visible, memory_order_seq_cst);
        snapshot_step();
        if (KH_LIKELY(again == timestamp)) return timestamp;
        timestamp = again;
    }
}

/* Register a given timestamp; the caller checks it against the horizon afterwards. */
static inline void snapshot_set(struct snapshot_line *line, uint64_t timestamp) {
    snapshot_step();
    atomic_exchange_explicit(&line->slots[SLOT_READ], timestamp, memory_order_seq_cst);
}

static inline void snapshot_drop(struct snapshot_line *line) {
    for (int i = 0; i < SLOT_COUNT; i++)
        atomic_store_explicit(&line->slots[i], SNAPSHOT_NONE, memory_order_release);
    snapshot_step();
}

/* The passes over all slots: one cache line per handle ever used. Sequentially consistent: after
 * the published timestamp was raised, before a slot that was registered later than that. A plain
 * load on x86. */
static inline uint64_t snapshot_load(const struct snapshot_line *line, enum snapshot_slot slot) {
    return atomic_load_explicit(&line->slots[slot], memory_order_seq_cst);
}

/* The oldest registered timestamp of all slots; SNAPSHOT_NONE: none. After a full fence. */
static inline uint64_t snapshot_oldest(const struct snapshots *snapshots) {
    uint64_t oldest = SNAPSHOT_NONE;
    snapshot_step();
    const struct snapshot_line *line = snapshots->lines;
    const struct snapshot_line *end =
        line + atomic_load_explicit(&snapshots->line_count, memory_order_acquire);
    for (; line < end; line++) {
        uint64_t read = snapshot_load(line, SLOT_READ);
        uint64_t base = snapshot_load(line, SLOT_BASE);
        if (read < oldest) oldest = read;
        if (base < oldest) oldest = base;
    }
    snapshot_step();
    return oldest;
}

/* The oldest of the serializable slots, leaving out one line (NULL: none left out). */
static inline uint64_t snapshot_oldest_serializable(const struct snapshots *snapshots,
                                                    const struct snapshot_line *except) {
    uint64_t oldest = SNAPSHOT_NONE;
    snapshot_step();
    const struct snapshot_line *line = snapshots->lines;
    const struct snapshot_line *end =
        line + atomic_load_explicit(&snapshots->line_count, memory_order_acquire);
    for (; line < end; line++) {
        uint64_t timestamp = snapshot_load(line, SLOT_SERIALIZABLE);
        if (timestamp < oldest && line != except) oldest = timestamp;
    }
    snapshot_step();
    return oldest;
}

/* All registered timestamps, ascending, without repeats; out has room for lines x SLOT_COUNT.
 * Returns how many. */
size_t snapshot_list(const struct snapshots *snapshots, uint64_t *out);

#endif
