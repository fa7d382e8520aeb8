/* reclaim.c - freeing versions that nobody can read, and entries that have none left.
 *
 * An entry with garbage stands in the queue at most once (ENTRY_QUEUED). A look at it walks its
 * chain from the newest version down and unlinks each version v below n when n is published and no
 * later than the retention bound, and no registered snapshot lies in [v.commit, n.commit)
 * (certification rules, section 4) so that under a long reader a key keeps its newest version and
 * one for each snapshot. n inherits v's spi. What is still needed decides where the entry goes:
 * needed by a snapshot -> parked until the oldest snapshot of that moment is gone; too new -> back
 * into the queue; clean -> out. A lone tombstone that is at or below the oldest serializable and
 * every other snapshot, with no reader's stamp and no kept range older than it, goes with its
 * entry; so does an entry that never got a version (its writer aborted). Work is paid for by
 * commits in proportion to their writes: two looks a write keep the queue from growing without ever
 * scanning it whole (eager pruning after Boettcher et al., VLDB 2019). */
#include "store/store.h"

#include "base/status.h"
#include "batch/release.h"
#include <string.h>

static size_t ring_slot(const struct entry_queue *queue, size_t i) {
    return (queue->first + i) & (queue->capacity - 1);
}

static kh_status grow(struct store *store, struct entry_queue *queue, size_t count,
                      kh_error *error) {
    if (queue->capacity - queue->count >= count) return KH_OK;
    size_t capacity = queue->capacity == 0 ? 64 : queue->capacity;
    while (capacity - queue->count < count) capacity *= 2;
    size_t size_bytes = capacity * sizeof *queue->ring;
    struct entry **ring = mem_alloc(store->mem, NULL, size_bytes);
    if (ring == NULL) return status_no_memory(error, size_bytes);
    for (size_t i = 0; i < queue->count; i++) ring[i] = queue->ring[ring_slot(queue, i)];
    mem_free(store->mem, NULL, queue->ring, queue->capacity * sizeof *queue->ring);
    *queue = (struct entry_queue){ring, capacity, 0, queue->count};
    return KH_OK;
}

/* Every entry is in at most one place of each queue, so room for all of the queued in `parked` and
 * the other way round keeps moving between them free of failures. */
kh_status reclaim_grow(struct store *store, size_t count, kh_error *error) {
    size_t all = store->queue.count + store->parked.count + count;
    kh_status status = grow(store, &store->queue, all - store->queue.count, error);
    if (status != KH_OK) return status;
    return grow(store, &store->parked, all - store->parked.count, error);
}

static void push(struct entry_queue *queue, struct entry *entry) {
    kh_assert(queue->count < queue->capacity);
    queue->ring[ring_slot(queue, queue->count)] = entry;
    queue->count++;
}

static struct entry *pop(struct entry_queue *queue) {
    struct entry *entry = queue->ring[queue->first];
    queue->first = (queue->first + 1) & (queue->capacity - 1);
    queue->count--;
    return entry;
}

static unsigned flags_of(const struct entry *entry) {
    return atomic_load_explicit(&entry->flags, memory_order_relaxed);
}

static void set_flags(struct entry *entry, unsigned set, unsigned clear) {
    unsigned flags = (flags_of(entry) | set) & ~clear;
    atomic_store_explicit(&entry->flags, (uint16_t)flags, memory_order_relaxed);
}

void reclaim_note(struct store *store, struct entry *entry) {
    if (flags_of(entry) & ENTRY_QUEUED) return;
    set_flags(entry, ENTRY_QUEUED, 0);
    push(&store->queue, entry);
}

void reclaim_free_version(struct epoch_entry *limbo, struct mem_cache *cache) {
    struct version *version =
        (struct version *)(void *)((unsigned char *)limbo - offsetof(struct version, limbo));
    if (KH_LIKELY(version_is_in_batch(version))) {
        batch_release_stored((kh_batch *)version_batch(version), cache);
    } else {
        version_discard(mem_cache_owner(cache), cache, version);
    }
}

void reclaim_retire(struct store *store, const struct reclaimer *who, struct version *version) {
    reclaim_retire_inline(store, who, version);
}

/* Is a registered snapshot in [from, to)? list is ascending. */
static bool is_needed(const uint64_t *list, size_t count, uint64_t from, uint64_t to) {
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (list[middle] < from) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && list[low] < to;
}

enum look { LOOK_CLEAN, LOOK_PARK, LOOK_AGAIN, LOOK_REMOVE };

struct view { /* of one pass */
    uint64_t visible;
    uint64_t until; /* retention: a version superseded after this stays */
    const uint64_t *list;
    size_t list_count;
    const struct tombstone_rule *rule;
};

static enum look look_at_lone(const struct view *view, const struct entry *entry,
                              const struct version *lone) {
    if (!version_is_tombstone(lone)) return LOOK_CLEAN;
    if (flags_of(entry) & (ENTRY_HELD | ENTRY_HELD_SHARED | ENTRY_CLAIMED)) return LOOK_AGAIN;
    uint64_t commit = lone->commit;
    if (commit > view->visible || commit > view->until) return LOOK_AGAIN;
    if (commit > view->rule->oldest_serializable) return LOOK_PARK;
    if (view->list_count > 0 && commit > view->list[0]) return LOOK_PARK;
    if (lone->stamp.ps > view->rule->oldest_serializable) return LOOK_AGAIN;
    if (view->rule->has_older_range(view->rule->ranges, commit)) return LOOK_AGAIN;
    return LOOK_REMOVE;
}

static enum look prune(struct store *store, const struct reclaimer *who, const struct view *view,
                       struct entry *entry) {
    struct version *newer = entry_head(entry);
    if (newer == NULL) {
        bool is_wanted = flags_of(entry) & (ENTRY_HELD | ENTRY_HELD_SHARED | ENTRY_CLAIMED);
        return is_wanted ? LOOK_AGAIN : LOOK_REMOVE;
    }
    enum look look = LOOK_CLEAN;
    struct version *version = atomic_load_explicit(&newer->older, memory_order_relaxed);
    while (version != NULL) {
        struct version *older = atomic_load_explicit(&version->older, memory_order_relaxed);
        bool is_settled = newer->commit <= view->visible && newer->commit <= view->until;
        bool is_read = is_needed(view->list, view->list_count, version->commit, newer->commit);
        if (is_settled && !is_read) {
            reclaim_unlink_below(store, who, newer);
        } else {
            if (!is_settled) look = LOOK_AGAIN;
            if (look == LOOK_CLEAN) look = LOOK_PARK;
            newer = version;
        }
        version = older;
    }
    if (look != LOOK_CLEAN) return look;
    return look_at_lone(view, entry, newer);
}

/* The entry leaves the index; its tombstone, if any, is retired with it. */
static bool remove_entry(struct store *store, const struct reclaimer *who, struct entry *entry) {
    struct version *lone = entry_head(entry);
    set_flags(entry, ENTRY_DEAD, 0);
    if (!index_remove(store->index, who->record, who->cache, entry)) {
        set_flags(entry, 0, ENTRY_DEAD);
        return false;
    }
    if (lone != NULL) {
        store_count(&store->keys, -1);
        entry_set_head(entry, NULL);
        reclaim_retire(store, who, lone);
    }
    return true;
}

static void settle(struct store *store, const struct reclaimer *who, struct entry *entry,
                   enum look look) {
    if (look == LOOK_PARK) {
        set_flags(entry, ENTRY_PARKED, ENTRY_QUEUED);
        push(&store->parked, entry);
    } else if (look == LOOK_AGAIN) {
        push(&store->queue, entry);
    } else if (look == LOOK_CLEAN) {
        set_flags(entry, 0, ENTRY_QUEUED);
    } else if ((flags_of(entry) & ENTRY_PARKED) || !remove_entry(store, who, entry)) {
        push(&store->queue, entry); /* also stands in the other queue: removed from there */
    }
}

/* Entries wait in the queues for long: their lines have left the cache, and the section that looks
 * at them would wait for memory. So the next looks' entries are asked for one call ahead, and their
 * newest versions at the end of the call before. */
static void prefetch_next(const struct entry_queue *queue, size_t count) {
    enum { MOST = 16 };
    if (count > MOST) count = MOST;
    size_t near = count < queue->count ? count : queue->count;
    for (size_t i = 0; i < near; i++)
        __builtin_prefetch(entry_head(queue->ring[ring_slot(queue, i)]));
    size_t far = 2 * count < queue->count ? 2 * count : queue->count;
    for (size_t i = near; i < far; i++) __builtin_prefetch(queue->ring[ring_slot(queue, i)]);
}

static void prefetch_one(const struct entry_queue *queue, size_t at) {
    if (at < queue->count) __builtin_prefetch(queue->ring[ring_slot(queue, at)], 1);
}

/* The snapshot that parked entries wait for is gone: look at them again. */
static void unpark(struct store *store, uint64_t oldest) {
    enum { AHEAD = 16 };
    if (store->parked.count == 0 || oldest <= store->parked_until) return;
    while (store->parked.count > 0) {
        prefetch_one(&store->parked, AHEAD);
        struct entry *entry = pop(&store->parked);
        bool is_queued = flags_of(entry) & ENTRY_QUEUED;
        set_flags(entry, ENTRY_QUEUED, ENTRY_PARKED);
        if (!is_queued) push(&store->queue, entry);
    }
}

static enum look look_at(struct store *store, const struct reclaimer *who, const struct view *view,
                         struct entry *entry) {
    enum look look = prune(store, who, view, entry);
    /* An entry parked before stays there: one place in each queue. */
    if (look == LOOK_PARK && (flags_of(entry) & ENTRY_PARKED)) return LOOK_CLEAN;
    return look;
}

size_t reclaim_some(struct store *store, const struct reclaimer *who, uint64_t until,
                    const struct tombstone_rule *rule, size_t count) {
    if (store->queue.count == 0 && store->parked.count == 0) return 0;
    uint64_t visible = atomic_load_explicit(&store->visible, memory_order_relaxed);
    if (until > visible) until = visible;
    uint64_t horizon = atomic_load_explicit(&store->horizon, memory_order_relaxed);
    /* Sequentially consistent, as the looks at the slots below: the horizon rises first. */
    (void)atomic_exchange_explicit(&store->horizon, until > horizon ? until : horizon,
                                   memory_order_seq_cst);
    struct view view = {visible, until, store->snapshot_buffer, 0, rule};
    view.list_count = snapshot_list(&store->snapshots, store->snapshot_buffer);
    uint64_t oldest = view.list_count > 0 ? view.list[0] : SNAPSHOT_NONE;
    if (rule->oldest_serializable < oldest) oldest = rule->oldest_serializable;
    unpark(store, oldest);
    if (store->parked.count == 0) store->parked_until = oldest;
    if (count > store->queue.count) count = store->queue.count;
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = pop(&store->queue);
        settle(store, who, entry, look_at(store, who, &view, entry));
    }
    prefetch_next(&store->queue, count);
    return count;
}
