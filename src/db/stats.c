/* stats.c - summing the counters of all handles, and what the parts of the database know. */
#include "db/handle.h"
#include "db/section.h"
#include "db/stats_text.h"
#include "db/workspace.h"

#include <string.h>

static uint64_t read_counter(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_handle(const struct txn_counters *from, kh_stats *to) {
#define ADD(name) to->name += read_counter(&from->name)
    ADD(begins);
    ADD(commits);
    ADD(commits_read_only);
    ADD(rollbacks);
    ADD(aborts_conflict);
    ADD(aborts_not_serializable);
    ADD(aborts_expired);
    ADD(aborts_cancelled);
    ADD(aborts_busy);
    ADD(aborts_held);
    ADD(aborts_locked);
    ADD(aborts_deadlock);
    ADD(aborts_semantic);
    ADD(aborts_rows);
    ADD(aborts_other);
    ADD(resolved_ignore);
    ADD(resolved_replace);
    ADD(resolved_append);
    ADD(resolved_merge);
    ADD(resolved_callback);
    ADD(resolved_rows);
    ADD(retries);
    ADD(restages);
    ADD(claims);
    ADD(fetches);
    ADD(reads);
    ADD(scanned);
    ADD(writes);
#undef ADD
}

/* An id is what the transaction would be cancelled by: it gets one now, unless a call runs in it.
 */
static uint64_t id_of(kh_txn *txn) {
    uint32_t busy = BUSY_FREE;
    if (handle_peek_id(txn) == 0 &&
        atomic_compare_exchange_strong_explicit(&txn->busy, &busy, BUSY_JANITOR,
                                                memory_order_acquire, memory_order_relaxed)) {
        if (txn_state_of(txn) == TXN_ACTIVE) (void)handle_id(txn);
        atomic_store_explicit(&txn->busy, BUSY_FREE, memory_order_release);
    }
    return handle_peek_id(txn);
}

static void add_snapshots(kh_db *db, kh_stats *out) {
    uint64_t tick = db_tick(db);
    uint64_t oldest = SNAPSHOT_NONE;
    uint32_t count = atomic_load_explicit(&db->handle_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        kh_txn *txn = db->handles[i];
        uint64_t snapshot =
            atomic_load_explicit(&txn->line->slots[SLOT_READ], memory_order_relaxed);
        uint64_t base = atomic_load_explicit(&txn->line->slots[SLOT_BASE], memory_order_relaxed);
        if (base < snapshot) snapshot = base;
        if (snapshot == SNAPSHOT_NONE) continue;
        out->snapshots++;
        if (snapshot >= oldest) continue;
        oldest = snapshot;
        uint64_t begin_ms = txn_begin_tick(txn);
        out->oldest_snapshot_age_ms = tick > begin_ms ? tick - begin_ms : 0;
        out->oldest_snapshot_txn = (kh_txn_id){db->id_high, id_of(txn)};
    }
}

static void add_locks(kh_db *db, kh_stats *out) {
    struct lock_counts counts;
    locks_count(&db->locks, &counts);
    out->lock_grants = counts.grants;
    out->lock_upgrades = counts.upgrades;
    out->lock_waits = counts.waits;
    out->lock_wait_ns = counts.wait_ns;
    out->lock_timeouts = counts.timeouts;
    out->lock_expirations = counts.expirations;
    out->lock_deadlocks = counts.deadlocks;
    out->lock_victims = counts.victims;
    out->lock_queue_longest = counts.queue_longest;
    out->locks_held = counts.held;
    out->locks_waiting = counts.waiting;
}

static uint64_t count_workspaces(const kh_db *db) {
    uint32_t made = atomic_load_explicit(&db->workspaces.count, memory_order_acquire);
    uint64_t open = 0;
    for (uint32_t i = 0; i < made; i++) open += WORKSPACE_GET(db->workspaces.handles[i], use) % 2;
    return open;
}

kh_status kh_db_stats(kh_db *db, kh_stats *out, kh_error *error) {
    kh_assert(db != NULL && out != NULL && "kh_db_stats: db or out is NULL");
    if (out->size < sizeof out->size || out->size > sizeof *out)
        return status_fail(error, KH_INVALID, "kh_stats.size is %zu", out->size);
    if (out->size < sizeof *out) { /* an older caller gets the front part that it knows */
        kh_stats whole;
        size_t size_bytes = out->size;
        whole.size = sizeof whole;
        kh_status status = kh_db_stats(db, &whole, error);
        if (status == KH_OK) memcpy(out, &whole, size_bytes);
        out->size = size_bytes;
        return status;
    }
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    memset(out, 0, sizeof *out);
    out->size = sizeof *out;
    uint32_t count = atomic_load_explicit(&db->handle_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) add_handle(&db->handles[i]->counters, out);
    add_snapshots(db, out);
    out->keys = read_counter(&db->store.keys);
    out->versions_live = read_counter(&db->store.versions_live);
    out->versions_reclaimed = read_counter(&db->store.versions_reclaimed);
    out->versions_cold = read_counter(&db->store.versions_cold);
    out->memory_bytes = mem_live_bytes(db->home.mem);
    out->index_bytes = index_size_bytes(db->store.index);
    latch_take(&db->section);
    out->ranges = db->ranges.count;
    out->range_evictions = db->ranges.evictions;
    out->in_flight = db->pipeline.count;
    latch_leave(&db->section);
    out->prepared = atomic_load_explicit(&db->prepared_count, memory_order_relaxed);
    out->watches = atomic_load_explicit(&db->watches.count, memory_order_relaxed);
    add_locks(db, out);
    semantic_count(db, out);
    out->workspaces = count_workspaces(db);
    out->sample_every = SAMPLE_EVERY;
    histogram_read(&db->commit_ns, &out->commit_ns);
    histogram_read(&db->section_ns, &out->section_ns);
    out->hot_key_count = hot_keys_list(&db->hot_keys, out->hot_keys);
    return KH_OK;
}

kh_status kh_db_stats_text(kh_db *db, kh_stats_format format, kh_bytes *out, kh_error *error) {
    if ((unsigned)format > KH_STATS_PROMETHEUS)
        return status_fail(error, KH_INVALID, "unknown format %d", (int)format);
    kh_stats stats;
    stats.size = sizeof stats;
    kh_status status = kh_db_stats(db, &stats, error);
    if (status != KH_OK) return status;
    return stats_render(&stats, format, out, error);
}
