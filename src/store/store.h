/* store.h - many versions of many keys: the state that only apply changes.
 *
 * Invariants: visible <= clock; a version with commit > visible is certified and not published;
 * chains, stamps, clock and the reclaimer's queues change in the commit section only (the lock of
 * the database that owns the store); visible is raised there and read by everybody. */
#ifndef KHONSU_STORE_STORE_H
#define KHONSU_STORE_STORE_H

#include "store/index.h"
#include "store/load.h"
#include "store/snapshot.h"
#include "store/version.h"

/* Entries whose chains have something to reclaim: a ring of pointers that grows while staging and
 * never inside apply. */
struct entry_queue {
    struct entry **ring;
    size_t capacity; /* power of two, or 0 */
    size_t first;
    size_t count;
};

struct store {
    struct mem *mem;
    struct epoch epoch;
    struct index *index;
    struct snapshots snapshots;
    /* What every commit writes, on one line: visible is read by all. */
    _Alignas(64) _Atomic uint64_t visible; /* newest published timestamp */
    _Atomic uint64_t horizon;              /* reads below it may miss pruned versions */
    uint64_t clock;                        /* newest certified timestamp; section */
    /* Written in the section, read by statistics (relaxed). */
    _Atomic uint64_t versions_live;
    _Atomic uint64_t versions_reclaimed;
    _Atomic uint64_t keys;
    _Atomic uint64_t superseded_bytes; /* values of versions that are not the newest */
    _Atomic uint64_t versions_cold;    /* whose values are in the storage only */
    _Alignas(64) uint64_t retention_ms;
    uint64_t retention_bytes;
    struct entry_queue queue;  /* to be looked at */
    struct entry_queue parked; /* nothing to do until the oldest snapshot then ends */
    uint64_t parked_until;     /* oldest snapshot when they were parked */
    uint64_t *snapshot_buffer; /* room for snapshot_list */
};

kh_status store_init(struct store *store, struct mem *mem, uint64_t seed, uint32_t lines_max);
/* Frees all versions and entries. No section, no transaction, no other thread is left. */
void store_fini(struct store *store);
/* After a load has failed: free what it has made, versions and entries. The index is empty then. */
void store_abandon_load(struct store *store, struct index_load *load);

static inline void store_count(_Atomic uint64_t *counter, int64_t change) {
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + (uint64_t)change, memory_order_relaxed);
}

/* ---- versions -------------------------------------------------------------------------------- */

/* A version that will hold batch (moves one reference in; NULL: a tombstone), in the batch's
 * headroom if that is free. NULL: no memory, the reference stays with the caller. */
struct version *version_create_apart(struct mem *mem, struct mem_cache *cache,
                                     const kh_batch *batch);
static inline struct version *version_create(struct mem *mem, struct mem_cache *cache,
                                             const kh_batch *batch) {
    struct version *version = batch != NULL ? batch_claim_headroom(batch) : NULL;
    if (KH_UNLIKELY(version == NULL)) return version_create_apart(mem, cache, batch);
    version_init(version, (uintptr_t)batch);
    return version;
}
/* One that was never linked, with its reference. Foreign code may run: not in a lock or section. */
void version_discard(struct mem *mem, struct mem_cache *cache, struct version *version);

/* The oldest version newer than timestamp (the direct overwriter of what a reader at it sees);
 * NULL: none. */
struct version *chain_next_after(const struct entry *entry, uint64_t timestamp);

/* ---- reclaim --------------------------------------------------------------------------------- */

struct reclaimer { /* who reclaims: the handle of the thread in the section */
    struct epoch_record *record;
    struct mem_cache *cache;
};

/* What decides about lone tombstones: see reclaim.c. */
struct tombstone_rule {
    uint64_t oldest_serializable;                                 /* S of the certification rules */
    bool (*has_older_range)(const void *ranges, uint64_t commit); /* a kept range with s < commit */
    const void *ranges;
};

/* Room for count more entries in the queues: before apply. */
kh_status reclaim_grow(struct store *store, size_t count, kh_error *error);
static inline kh_status reclaim_reserve(struct store *store, size_t count, kh_error *error) {
    size_t all = store->queue.count + store->parked.count + count;
    if (KH_LIKELY(all <= store->queue.capacity && all <= store->parked.capacity)) return KH_OK;
    return reclaim_grow(store, count, error);
}
/* The entry's chain has a version that will be garbage, or no version. Needs reserved room. */
void reclaim_note(struct store *store, struct entry *entry);
/* Free an unlinked version once nobody can reach it. */
void reclaim_retire(struct store *store, const struct reclaimer *who, struct version *version);
void reclaim_free_version(struct epoch_entry *limbo, struct mem_cache *cache);

/* A version that is in no chain any more: freed once nobody can reach it. */
KH_ALWAYS_INLINE void reclaim_hand_over(struct store *store, const struct reclaimer *who,
                                        struct version *version) {
    enum { LARGE = 16384 };
    if (KH_LIKELY(!version_is_cold(version))) {
        const kh_batch *batch = version_batch(version);
        if (KH_LIKELY(batch != NULL) &&
            KH_UNLIKELY(batch->kind != BATCH_PACKED || batch->block_bytes > LARGE))
            who->record->is_urgent = true;
    }
    epoch_retire(&store->epoch, who->record, &version->limbo, reclaim_free_version);
}

KH_ALWAYS_INLINE void reclaim_retire_inline(struct store *store, const struct reclaimer *who,
                                            struct version *version) {
    store_count(&store->versions_live, -1);
    store_count(&store->versions_reclaimed, 1);
    if (KH_UNLIKELY(version_is_cold(version))) store_count(&store->versions_cold, -1);
    reclaim_hand_over(store, who, version);
}

/* Take the version below newer out of its chain. */
KH_ALWAYS_INLINE void reclaim_unlink_below(struct store *store, const struct reclaimer *who,
                                           struct version *newer) {
    struct version *version = atomic_load_explicit(&newer->older, memory_order_relaxed);
    struct version *older = atomic_load_explicit(&version->older, memory_order_relaxed);
    if (version->stamp.spi < newer->stamp.spi) newer->stamp.spi = version->stamp.spi;
    atomic_store_explicit(&newer->older, older, memory_order_release);
    if (KH_UNLIKELY(store->retention_bytes != 0))
        store_count(&store->superseded_bytes, -(int64_t)version_value_bytes(version));
    reclaim_retire_inline(store, who, version);
}

/* Free all versions below the newest of a chain, at once: the caller has proved that nobody can
 * read them (the newest is visible and every snapshot is at least as new). */
KH_ALWAYS_INLINE void reclaim_below(struct store *store, const struct reclaimer *who,
                                    struct version *newest) {
    while (atomic_load_explicit(&newest->older, memory_order_relaxed) != NULL)
        reclaim_unlink_below(store, who, newest);
}

/* Look at up to count queued entries and prune what no registered snapshot, nor the retention
 * window (up to `until`), needs. In the section, in an epoch section of who. Returns the entries
 * looked at. */
size_t reclaim_some(struct store *store, const struct reclaimer *who, uint64_t until,
                    const struct tombstone_rule *rule, size_t count);

#endif
