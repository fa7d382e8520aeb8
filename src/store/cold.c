/* cold.c - see cold.h. */
#include "store/cold.h"

const struct version *entry_read(struct entry *entry, uint64_t timestamp) {
    for (;;) {
        uintptr_t head = atomic_load_explicit(&entry->head, memory_order_acquire);
        struct version *version = head_version(head);
        if (version == NULL || version->commit > timestamp) break;
        if ((head & HEAD_COOLING) == 0) return version;
        if (atomic_compare_exchange_strong_explicit(&entry->head, &head,
                                                    head & ~(uintptr_t)HEAD_COOLING,
                                                    memory_order_acq_rel, memory_order_relaxed))
            return version;
    }
    return entry_visible(entry, timestamp);
}

/* Is a registered snapshot in [from, to)? */
static bool is_needed(const struct cold_view *view, uint64_t from, uint64_t to) {
    for (size_t i = 0; i < view->list_count && view->list[i] < to; i++)
        if (view->list[i] >= from) return true;
    return false;
}

static bool can_go(const struct version *version, const struct cold_view *view) {
    return !version_is_cold(version) && !version_is_tombstone(version) &&
           version->commit <= view->visible && version->commit <= view->stored &&
           version_value_bytes(version) >= view->least_bytes;
}

void cold_cool(struct entry *entry, const struct cold_view *view) {
    uintptr_t head = atomic_load_explicit(&entry->head, memory_order_relaxed);
    const struct version *newest = head_version(head);
    if (newest == NULL || (head & HEAD_COOLING) || !can_go(newest, view)) return;
    /* Sequentially consistent: before the slots are looked at for who may have borrowed. */
    atomic_store_explicit(&entry->head, head | HEAD_COOLING, memory_order_seq_cst);
}

struct version *cold_create(struct mem *mem, struct mem_cache *cache, uint64_t value_bytes) {
    struct version *cold = mem_alloc(mem, cache, sizeof *cold);
    if (cold != NULL) version_init(cold, (uintptr_t)value_bytes << 2 | VERSION_COLD);
    return cold;
}

static void stand_in(struct version *version, const struct version *from) {
    struct version *older = atomic_load_explicit(&from->older, memory_order_relaxed);
    version->commit = from->commit;
    version->stamp = from->stamp;
    atomic_store_explicit(&version->older, older, memory_order_relaxed);
}

static struct version *make_cold(struct store *store, const struct reclaimer *who,
                                 const struct version *hot) {
    struct version *cold = cold_create(store->mem, who->cache, version_value_bytes(hot));
    if (cold != NULL) stand_in(cold, hot);
    return cold;
}

static void discard(struct store *store, const struct reclaimer *who, struct version *cold) {
    mem_free(store->mem, who->cache, cold, sizeof *cold);
}

static uint64_t evict_newest(struct store *store, const struct reclaimer *who, struct entry *entry,
                             const struct cold_view *view) {
    uintptr_t head = atomic_load_explicit(&entry->head, memory_order_relaxed);
    struct version *newest = head_version(head);
    if ((head & HEAD_COOLING) == 0 || view->borrowed >= newest->commit) return 0;
    struct version *cold = make_cold(store, who, newest);
    if (cold == NULL) return 0;
    if (!atomic_compare_exchange_strong_explicit(&entry->head, &head, head_of(cold),
                                                 memory_order_acq_rel, memory_order_relaxed)) {
        discard(store, who, cold); /* it was read just now */
        return 0;
    }
    reclaim_hand_over(store, who, newest);
    store_count(&store->versions_cold, 1);
    return version_value_bytes(cold);
}

/* Readers come without a lock: who registers after the second look sees the cold version, who
 * registered before is seen by it. */
static uint64_t evict_below(struct store *store, const struct reclaimer *who, struct version *newer,
                            struct cold_view *view) {
    struct version *hot = atomic_load_explicit(&newer->older, memory_order_relaxed);
    if (!can_go(hot, view) || newer->commit <= view->swept ||
        is_needed(view, hot->commit, newer->commit))
        return 0;
    struct version *cold = make_cold(store, who, hot);
    if (cold == NULL) return 0;
    (void)atomic_exchange_explicit(&newer->older, cold, memory_order_seq_cst);
    view->list_count = snapshot_list(&store->snapshots, view->list);
    if (is_needed(view, hot->commit, newer->commit)) {
        atomic_store_explicit(&newer->older, hot, memory_order_release);
        reclaim_hand_over(store, who, cold);
        return 0;
    }
    reclaim_hand_over(store, who, hot);
    store_count(&store->versions_cold, 1);
    return version_value_bytes(cold);
}

uint64_t cold_evict(struct store *store, const struct reclaimer *who, struct entry *entry,
                    struct cold_view *view) {
    struct version *newer = entry_head(entry);
    if (newer == NULL) return 0;
    enum { MOST = 32 }; /* of a long history in one hold of the section; the rest next time */
    uint64_t bytes = evict_newest(store, who, entry, view);
    newer = entry_head(entry);
    for (int gone = 0; gone < MOST && atomic_load_explicit(&newer->older, memory_order_relaxed);) {
        uint64_t more = evict_below(store, who, newer, view);
        gone += more > 0;
        bytes += more;
        newer = atomic_load_explicit(&newer->older, memory_order_relaxed);
    }
    return bytes;
}

bool cold_heat(struct store *store, const struct reclaimer *who, struct entry *entry,
               uint64_t commit, struct version *hot) {
    struct version *cold = entry_head(entry);
    if (cold == NULL || cold->commit != commit || !version_is_cold(cold)) return false;
    stand_in(hot, cold);
    entry_set_head(entry, hot);
    reclaim_hand_over(store, who, cold);
    store_count(&store->versions_cold, -1);
    return true;
}
