/* apply.c - see apply.h.
 *
 * Order in publish: the versions are linked; the horizon rises, then `visible` (sequentially
 * consistent); then the transaction's own slots are emptied; then the others' slots are looked at.
 * Whoever registers a snapshot below the new timestamp did so before that look or sees the new
 * timestamp (store/snapshot.h); whoever finds this transaction's serializable slot empty sees its
 * versions. */
#include "db/apply.h"

#include "base/status.h"
#include "db/section.h"
#include "db/semantic.h"
#include <string.h>

static inline void note_recent(struct kh_db *db, struct entry *entry, uint64_t commit) {
    struct recent_writes *recent = &db->recent;
    recent->ring[recent->end++ & recent->mask] = (struct recent_write){commit, entry};
}

/* True: the key is new. */
KH_ALWAYS_INLINE bool link_version(struct kh_db *db, const struct write *write, uint64_t commit,
                                   uint64_t phi) {
    struct entry *entry = write->entry;
    struct version *version = write->staged;
    struct version *newest = entry_head(entry);
    kh_assert(entry_newest(entry) < commit);
    version->commit = commit;
    version->stamp.spi = phi;
    atomic_store_explicit(&version->older, newest, memory_order_relaxed);
    entry_link(entry, version);
    if (KH_UNLIKELY(db->store.retention_bytes != 0) && newest != NULL)
        store_count(&db->store.superseded_bytes, (int64_t)version_value_bytes(newest));
    note_recent(db, entry, commit);
    return newest == NULL;
}

/* A write dropped by policy is a late read of the newest version. */
static void stamp_late_read(kh_txn *txn, const struct write *write) {
    struct version *newest = entry_head(write->entry);
    uint64_t phi = txn->verdict.phi;
    if (txn->is_certified && newest->stamp.ps < phi) newest->stamp.ps = phi;
}

KH_ALWAYS_INLINE void install(kh_txn *txn) {
    struct kh_db *db = txn->db;
    uint64_t commit = txn->committed;
    uint64_t phi = txn->verdict.phi;
    int64_t versions = 0;
    int64_t keys = 0;
    mem_forbid();
    const struct write *end = txn->writes.writes + txn->writes.count;
    for (const struct write *write = txn->writes.writes; write < end; write++) {
        if (KH_UNLIKELY(write->kind == WRITE_NONE)) continue;
        if (KH_UNLIKELY(write->fate == FATE_DROPPED)) {
            stamp_late_read(txn, write);
            continue;
        }
        keys += link_version(db, write, commit, phi);
        versions++;
    }
    mem_permit();
    store_count(&db->store.versions_live, versions);
    if (KH_UNLIKELY(keys > 0)) store_count(&db->store.keys, keys);
    txn->is_installed = true;
    /* With a log that answers later others are certified before this is published. */
    if (KH_UNLIKELY(db->pipeline.log != NULL) && txn->is_certified) apply_read_stamps(txn, phi);
    db->store.clock = commit;
}

void apply_install(kh_txn *txn) {
    install(txn);
}

static void stamp_item(const struct read_item *item, uint64_t snapshot, uint64_t stamp) {
    struct version *version = entry_visible(item->entry, snapshot);
    if (version != NULL && version->stamp.ps < stamp) version->stamp.ps = stamp;
}

void apply_read_stamps(kh_txn *txn, uint64_t stamp) {
    const struct readset *reads = &txn->reads;
    for (uint32_t i = 0; i < reads->item_count; i++)
        stamp_item(&reads->items[i], txn->snapshot, stamp);
    for (uint32_t i = 0; i < txn->kept_count; i++)
        ranges_add(&txn->db->ranges, txn->cache, txn->kept[i], stamp);
    txn->kept_count = 0;
}

KH_ALWAYS_INLINE void reclaim_superseded(kh_txn *txn, const struct reclaimer *who,
                                         uint64_t oldest) {
    struct kh_db *db = txn->db;
    bool is_free =
        oldest >= txn->committed && (db->store.retention_ms | db->store.retention_bytes) == 0;
    const struct write *end = txn->writes.writes + txn->writes.count;
    for (const struct write *write = txn->writes.writes; write < end; write++) {
        if (KH_UNLIKELY(write->kind == WRITE_NONE || write->fate == FATE_DROPPED)) continue;
        struct version *head = write->staged;
        bool has_older = atomic_load_explicit(&head->older, memory_order_relaxed) != NULL;
        if (KH_LIKELY(is_free && has_older) && entry_head(write->entry) == head) {
            reclaim_below(&db->store, who, head);
            has_older = false;
        }
        if (KH_UNLIKELY(has_older || version_is_tombstone(head)))
            reclaim_note(&db->store, write->entry);
    }
}

static void tell_watchers(kh_txn *txn) {
    struct kh_db *db = txn->db;
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct write *write = &txn->writes.writes[i];
        if (write->kind == WRITE_NONE || write->fate == FATE_DROPPED) continue;
        watch_publish(&db->watches, write->key, txn->committed,
                      version_is_tombstone(write->staged));
    }
}

KH_ALWAYS_INLINE void publish(kh_txn *txn, const struct reclaimer *who) {
    struct kh_db *db = txn->db;
    if (KH_LIKELY((db->store.retention_ms | db->store.retention_bytes) == 0))
        atomic_store_explicit(&db->store.horizon, txn->committed, memory_order_relaxed);
    atomic_store_explicit(&db->store.visible, txn->committed, memory_order_seq_cst);
    if (KH_UNLIKELY(watch_is_wanted(&db->watches))) tell_watchers(txn);
    if (txn->is_certified) {
        section_note_phi(db, txn->verdict.phi);
        /* A stamp decides something only for serializable transactions open now. */
        uint64_t oldest = snapshot_oldest_serializable(&db->store.snapshots, txn->line);
        if (oldest < txn->committed && db->pipeline.log == NULL)
            apply_read_stamps(txn, txn->verdict.phi);
    }
    snapshot_drop(txn->line);
    reclaim_superseded(txn, who, snapshot_oldest(&db->store.snapshots));
    if (KH_UNLIKELY((db->store.queue.count | db->store.parked.count) > 0))
        section_reclaim(db, who, 2 * (size_t)txn->writes.live_count + 1);
    section_progress(db);
}

void apply_publish(kh_txn *txn, const struct reclaimer *who) {
    publish(txn, who);
}

void apply_at_once(kh_txn *txn, const struct reclaimer *who) {
    install(txn);
    section_note_outcome(txn->db, txn->id, txn->committed);
    publish(txn, who);
}

/* Unwinding goes from the newest commit down: its entries are the ring's last. What they had
 * overwritten is lost, which recent_since tells; and nothing is committed after a refusal. */
static void forget_recent(struct kh_db *db, uint64_t commit) {
    struct recent_writes *recent = &db->recent;
    while (recent->end > 0 && recent->ring[(recent->end - 1) & recent->mask].commit == commit)
        recent->end--;
}

void apply_unwind(kh_txn *txn, const struct reclaimer *who) {
    struct kh_db *db = txn->db;
    forget_recent(db, txn->committed);
    semantic_forget(db, txn->committed);
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        struct write *write = &txn->writes.writes[i];
        if (write->kind == WRITE_NONE || write->fate == FATE_DROPPED || write->staged == NULL)
            continue;
        struct version *version = write->staged;
        kh_assert(entry_head(write->entry) == version);
        struct version *older = atomic_load_explicit(&version->older, memory_order_relaxed);
        entry_set_head(write->entry, older);
        reclaim_retire(&db->store, who, version);
        write->staged = NULL;
        if (older == NULL) {
            store_count(&db->store.keys, -1);
            reclaim_note(&db->store, write->entry);
        }
    }
}

/* A version of an entry that nobody reads yet. A place in the reclaimer's queue is reserved. */
static void link_restored(struct kh_db *db, struct entry *entry, struct version *version,
                          uint64_t commit) {
    struct store *store = &db->store;
    bool is_deleted = version_is_tombstone(version);
    struct write write = {
        .kind = is_deleted ? WRITE_DELETE : WRITE_PUT, .entry = entry, .staged = version};
    store_count(&store->versions_live, 1);
    if (version_is_cold(version)) store_count(&store->versions_cold, 1);
    bool is_only = link_version(db, &write, commit, commit);
    if (is_only) store_count(&store->keys, 1);
    /* Of a read-only opening nothing is ever garbage, and a key's only value is none. */
    if (!(db->flags & KH_OPEN_READ_ONLY) && (!is_only || is_deleted)) reclaim_note(store, entry);
    if (commit > store->clock) store->clock = commit;
}

kh_status apply_restored(struct kh_db *db, struct epoch_record *record, struct mem_cache *cache,
                         kh_bytes key, const kh_batch *batch, uint64_t commit, kh_error *error) {
    struct store *store = &db->store;
    struct entry *entry = NULL;
    struct version *version = version_create(store->mem, cache, batch);
    if (version == NULL) {
        batch_release((kh_batch *)batch, cache);
        return status_no_memory(error, sizeof *version);
    }
    kh_status status = reclaim_reserve(store, 1, error);
    if (status == KH_OK)
        status = index_upsert(store->index, record, cache, key, index_hash(store->index, key),
                              &entry, error);
    if (status == KH_OK)
        link_restored(db, entry, version, commit);
    else
        version_discard(store->mem, cache, version);
    return status;
}

kh_status apply_loaded(struct kh_db *db, struct index_load *load, kh_bytes key,
                       struct version *version, uint64_t commit, kh_error *error) {
    struct entry *entry = NULL;
    kh_status status = reclaim_reserve(&db->store, 1, error);
    if (status == KH_OK) status = index_load_entry(load, key, &entry, error);
    if (status == KH_OK)
        link_restored(db, entry, version, commit);
    else
        version_discard(db->store.mem, load->cache, version);
    return status;
}
