/* stage.c - see stage.h.
 *
 * A plain put or delete is staged once: its version does not depend on what is there. Row
 * operations, and policies that compute, are staged on the newest certified version, which is
 * pinned by a reference while foreign code may run; certify compares. */
#include "db/stage.h"

#include "db/fetch.h"
#include "db/pipeline.h"
#include "db/section.h"
#include <string.h>

void stage_discard(kh_txn *txn) {
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        struct write *write = &txn->writes.writes[i];
        version_discard(txn->db->home.mem, txn->cache, write->staged);
        write->staged = NULL;
    }
}

static bool is_computed(const struct write *write) {
    return write->kind == WRITE_ROWS || (write->kind != WRITE_NONE && write->policy >= KH_APPEND);
}

/* The newest version above this conflicts with the write (engine promises, "a write conflicts
 * when"). Rows never do, unless the key was read. */
static uint64_t weak_rival_bound(const kh_txn *txn, const struct write *write,
                                 const struct entry *entry) {
    bool is_weak = txn->isolation == KH_READ_COMMITTED;
    uint64_t read = readset_timestamp(&txn->reads, entry, write->key);
    if (read == 0) return UINT64_MAX;
    return is_weak ? read : txn->snapshot;
}

KH_ALWAYS_INLINE uint64_t rival_bound(const kh_txn *txn, const struct write *write,
                                      const struct entry *entry) {
    if (KH_LIKELY(txn->isolation != KH_READ_COMMITTED && write->kind != WRITE_ROWS))
        return txn->snapshot;
    return weak_rival_bound(txn, write, entry);
}

uint64_t stage_rival_bound(const kh_txn *txn, const struct write *write,
                           const struct entry *entry) {
    return rival_bound(txn, write, entry);
}

/* ---- values ---------------------------------------------------------------------------------- */

struct pinned { /* what a computed write is computed from, with references */
    kh_batch *theirs;
    kh_batch *base;
    uint64_t theirs_commit;
    uint64_t theirs_cold; /* the commit of a value that is in the storage only, 0: it is here */
    uint64_t base_cold;
    bool has_base; /* false: it is not known any more */
    bool is_rival;
};

static kh_batch *retain_or_null(const kh_batch *batch) {
    return batch == NULL ? NULL : batch_retain(batch);
}

static void pin_value(const struct version *version, kh_batch **out, uint64_t *cold_commit) {
    if (version == NULL) return;
    if (version_is_cold(version)) {
        *cold_commit = version->commit;
    } else {
        *out = retain_or_null(version_batch(version));
    }
}

static void pin_base(const kh_txn *txn, const struct entry *entry, struct pinned *out) {
    out->has_base = true;
    if (txn->isolation != KH_READ_COMMITTED) {
        pin_value(entry_visible(entry, txn->snapshot), &out->base, &out->base_cold);
        return;
    }
    uint64_t read = readset_timestamp(&txn->reads, entry, entry_key(entry));
    for (const struct kept_base *base = txn->bases; base != NULL; base = base->next) {
        if (base->entry != entry || base->timestamp != read) continue;
        out->base = batch_retain(base->batch);
        return;
    }
    /* Found absent: there is no base, whatever is left of the chain below. A read whose value was
     * not kept has none any more. */
    if (read != 0) {
        out->has_base =
            readset_is_absent(&txn->reads, entry, entry_key(entry), read, txn->policy >= KH_MERGE);
        return;
    }
    pin_value(entry_visible(entry, txn->birth), &out->base, &out->base_cold);
}

static void pin_now(kh_txn *txn, const struct write *write, struct pinned *out) {
    struct kh_db *db = txn->db;
    *out = (struct pinned){.has_base = true};
    epoch_open(&db->store.epoch, &txn->epoch);
    const struct entry *entry = index_find(db->store.index, write->key, write->hash);
    const struct version *newest = entry == NULL ? NULL : entry_head(entry);
    if (newest != NULL) {
        out->theirs_commit = newest->commit;
        pin_value(newest, &out->theirs, &out->theirs_cold);
        out->is_rival = newest->commit > rival_bound(txn, write, entry);
        if (out->is_rival && write->kind != WRITE_ROWS) pin_base(txn, entry, out);
    }
    epoch_close(&db->store.epoch, &txn->epoch);
}

static void unpin(kh_txn *txn, struct pinned *pinned) {
    batch_release(pinned->base, txn->cache);
    batch_release(pinned->theirs, txn->cache);
}

/* The base is one that the transaction sees. No snapshot holds the newest version: it may have been
 * overwritten and swept meanwhile; then *is_gone. */
static kh_status fetch_pinned(kh_txn *txn, const struct write *write, struct pinned *pinned,
                              bool *is_gone, kh_error *error) {
    kh_status status = KH_OK;
    if (pinned->base_cold != 0)
        status = fetch_seen(txn, write->key, pinned->base_cold, &pinned->base, error);
    if (status != KH_OK || pinned->theirs_cold == 0) return status;
    status =
        fetch_value(txn->db, txn->cache, write->key, pinned->theirs_cold, &pinned->theirs, error);
    *is_gone = status == KH_OK && pinned->theirs == NULL;
    return status;
}

static kh_status pin(kh_txn *txn, const struct write *write, struct pinned *out, kh_error *error) {
    uint64_t missed = 0; /* commit of a value that was not there */
    for (;;) {
        bool is_gone = false;
        pin_now(txn, write, out);
        if (KH_LIKELY((out->theirs_cold | out->base_cold) == 0)) return KH_OK;
        kh_status status = fetch_pinned(txn, write, out, &is_gone, error);
        if (status == KH_OK && !is_gone) return KH_OK;
        unpin(txn, out);
        if (status != KH_OK) return status;
        if (out->theirs_cold == missed)
            return status_fail(error, KH_CORRUPT, "the storage has lost a value");
        missed = out->theirs_cold;
    }
}

static kh_status make_version(kh_txn *txn, struct write *write, kh_batch *value, kh_error *error) {
    write->staged = version_create(txn->db->home.mem, txn->cache, value);
    if (KH_LIKELY(write->staged != NULL)) return KH_OK;
    batch_release(value, txn->cache);
    return status_no_memory(error, sizeof(struct version));
}

static void note_conflict(kh_txn *txn, const struct write *write, kh_status status,
                          uint64_t rival) {
    txn->has_conflict = true;
    txn->conflict = (kh_conflict){.size = sizeof(kh_conflict),
                                  .status = status,
                                  .key = write->key,
                                  .snapshot = txn->snapshot,
                                  .rival = rival,
                                  .merge = txn->conflict.merge};
}

static kh_status compute(kh_txn *txn, struct write *write, const struct pinned *pinned,
                         kh_batch **value, kh_error *error) {
    struct resolve_context context;
    read_resolve_context(txn, &context);
    memset(&txn->conflict.merge, 0, sizeof txn->conflict.merge);
    if (write->kind == WRITE_ROWS) {
        /* The key was read and has changed since: the policy first, as for a put. What the rows
         * would do to a version that the program never saw is no reason to stop. */
        if (pinned->is_rival && (write->policy == KH_FAIL || txn->is_certified)) return KH_CONFLICT;
        return resolve_rows(&context, pinned->theirs, write->ops, value, error);
    }
    if (!pinned->is_rival) {
        *value = retain_or_null(write->mine);
        return KH_OK;
    }
    if (!pinned->has_base && write->policy != KH_APPEND) return KH_CONFLICT;
    return resolve_rival(&context, write, pinned->base, pinned->theirs, value,
                         &write->is_callback_dropped, &txn->conflict.merge, error);
}

static kh_status stage_computed(kh_txn *txn, struct write *write, kh_error *error) {
    struct pinned pinned;
    kh_batch *value = NULL;
    version_discard(txn->db->home.mem, txn->cache, write->staged);
    write->staged = NULL;
    write->is_callback_dropped = false;
    kh_status status = pin(txn, write, &pinned, error);
    if (status != KH_OK) return status;
    if (write->kind == WRITE_ROWS && pinned.is_rival && write->policy == KH_IGNORE &&
        !txn->is_certified) { /* certify drops it, or finds it read back */
        write->is_staged_on = false;
        batch_release(pinned.theirs, txn->cache);
        return KH_OK;
    }
    status = compute(txn, write, &pinned, &value, error);
    unpin(txn, &pinned);
    if (status != KH_OK) {
        note_conflict(txn, write, status, pinned.theirs_commit);
        return status;
    }
    /* A put that met no rival may go on top of whatever is not one; the rest stands on `theirs`. */
    write->is_staged_on = write->kind == WRITE_ROWS || pinned.is_rival;
    write->staged_on = pinned.theirs_commit;
    if (write->is_callback_dropped) return KH_OK;
    return make_version(txn, write, value, error);
}

/* The reference goes from the write into the version, without being counted twice. */
KH_ALWAYS_INLINE kh_status stage_plain(kh_txn *txn, struct write *write, kh_error *error) {
    if (KH_UNLIKELY(write->staged != NULL)) return KH_OK;
    write->staged = version_create(txn->db->home.mem, txn->cache, write->mine);
    if (KH_UNLIKELY(write->staged == NULL)) return status_no_memory(error, sizeof *write->staged);
    write->mine = NULL;
    return KH_OK;
}

kh_status stage_values(kh_txn *txn, kh_error *error) {
    struct write *end = txn->writes.writes + txn->writes.count;
    for (struct write *write = txn->writes.writes; write < end; write++) {
        if (write->kind == WRITE_NONE) continue;
        kh_status status =
            is_computed(write) ? stage_computed(txn, write, error) : stage_plain(txn, write, error);
        if (status != KH_OK) return status;
    }
    return txn->db->pipeline.log == NULL ? KH_OK : pipeline_record_schemas(txn, error);
}

/* ---- entries and ranges ---------------------------------------------------------------------- */

/* A key that was read and found is mostly written next: its entry is known, and pinned by the
 * snapshot. Only while a look at every read costs less than one at the index. */
KH_ALWAYS_INLINE struct entry *recall_entry(const kh_txn *txn, const struct write *write) {
    enum { FEW = 4 };
    const struct read_item *item = txn->reads.items;
    const struct read_item *end = item + txn->reads.item_count;
    if (end - item > FEW || txn->isolation == KH_READ_COMMITTED) return NULL;
    for (; item < end; item++) {
        struct entry *entry = item->entry;
        if (entry->hash == (uint32_t)write->hash && entry->key_bytes == write->key.size_bytes &&
            key_is_equal(entry->key, write->key.data, write->key.size_bytes))
            return entry;
    }
    return NULL;
}

KH_ALWAYS_INLINE kh_status stage_entry(kh_txn *txn, struct write *write, kh_error *error) {
    struct index *index = txn->db->store.index;
    write->entry = recall_entry(txn, write);
    if (write->entry == NULL) write->entry = index_find_inline(index, write->key, write->hash);
    if (KH_UNLIKELY(write->entry == NULL)) {
        kh_status status = index_upsert(index, &txn->epoch, txn->cache, write->key, write->hash,
                                        &write->entry, error);
        if (status != KH_OK) return status;
    }
    /* In the section it is unlinked: its line should be there by then. */
    __builtin_prefetch(entry_head(write->entry));
    write->rival_above = rival_bound(txn, write, write->entry);
    return KH_OK;
}

static inline void prefetch(const kh_txn *txn) {
    const struct write *first = txn->writes.writes;
    const struct write *end = first + txn->writes.count;
    if (end - first < 2) return;
    for (const struct write *write = first; write < end; write++)
        index_prefetch(txn->db->store.index, write->hash);
}

kh_status stage_entries(kh_txn *txn, kh_error *error) {
    prefetch(txn);
    struct write *end = txn->writes.writes + txn->writes.count;
    for (struct write *write = txn->writes.writes; write < end; write++) {
        if (write->kind == WRITE_NONE) continue;
        kh_status status = stage_entry(txn, write, error);
        if (status != KH_OK) return status;
    }
    return KH_OK;
}

kh_status stage_simply(kh_txn *txn, kh_error *error) {
    prefetch(txn);
    struct write *end = txn->writes.writes + txn->writes.count;
    for (struct write *write = txn->writes.writes; write < end; write++) {
        if (KH_UNLIKELY(write->kind == WRITE_NONE)) continue;
        kh_status status = stage_plain(txn, write, error);
        if (KH_UNLIKELY(status != KH_OK)) return status;
        status = stage_entry(txn, write, error);
        if (KH_UNLIKELY(status != KH_OK)) return status;
    }
    return KH_OK;
}

kh_status stage_all_ranges(kh_txn *txn, kh_error *error) {
    uint32_t count = txn->reads.range_count;
    txn->kept = arena_alloc(&txn->arena, count * sizeof(struct kept_range *));
    if (txn->kept == NULL) return status_no_memory(error, count * sizeof(struct kept_range *));
    for (uint32_t i = 0; i < count; i++) {
        struct kept_range *kept = ranges_copy(&txn->db->ranges, txn->cache, &txn->reads.ranges[i]);
        if (kept == NULL) return status_no_memory(error, sizeof *kept);
        txn->kept[txn->kept_count++] = kept;
    }
    return KH_OK;
}
