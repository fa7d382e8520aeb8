/* history.c - a key's versions that are still there.
 *
 * They are copied (references) inside one epoch section and shown outside of it, so that the
 * visitor may use the database. A snapshot is registered meanwhile only to keep the horizon honest:
 * what was complete when the walk began is complete in the copy. */
#include "db/fetch.h"
#include "db/read.h"

struct copied {
    kh_timestamp timestamp;
    kh_timestamp until; /* it was overwritten; UINT64_MAX: not yet */
    kh_batch *batch;    /* a reference, or NULL */
    bool is_cold;       /* the batch is in the storage only */
};

struct copies {
    struct copied *items;
    size_t count;
    size_t capacity;
};

static kh_status push(kh_txn *txn, struct copies *copies, const struct version *version,
                      kh_timestamp until, kh_error *error) {
    if (copies->count == copies->capacity) {
        size_t capacity = copies->capacity == 0 ? 16 : copies->capacity * 2;
        struct copied *items = arena_alloc(&txn->arena, capacity * sizeof *items);
        if (items == NULL) return status_no_memory(error, capacity * sizeof *items);
        for (size_t i = 0; i < copies->count; i++) items[i] = copies->items[i];
        copies->items = items;
        copies->capacity = capacity;
    }
    struct copied *copied = &copies->items[copies->count++];
    *copied = (struct copied){version->commit, until, NULL, version_is_cold(version)};
    if (!copied->is_cold && !version_is_tombstone(version))
        copied->batch = batch_retain(version_batch(version));
    return KH_OK;
}

static kh_status copy(kh_txn *txn, kh_bytes key, kh_timestamp from, kh_timestamp to,
                      struct copies *copies, kh_error *error) {
    const struct index *index = txn->db->store.index;
    kh_status status = KH_OK;
    epoch_open(&txn->db->store.epoch, &txn->epoch);
    const struct entry *entry = index_find(index, key, index_hash(index, key));
    const struct version *version = NULL;
    if (entry != NULL) version = entry_visible(entry, txn->snapshot);
    kh_timestamp until = UINT64_MAX;
    while (version != NULL && version->commit >= from && status == KH_OK) {
        if (version->commit <= to) status = push(txn, copies, version, until, error);
        until = version->commit;
        version = atomic_load_explicit(&version->older, memory_order_acquire);
    }
    epoch_close(&txn->db->store.epoch, &txn->epoch);
    return status;
}

/* What lies below the horizon may be gone from the storage: *is_gone. */
static kh_status fetch(kh_txn *txn, kh_bytes key, struct copied *copied, bool *is_gone,
                       kh_error *error) {
    *is_gone = false;
    if (!copied->is_cold) return KH_OK;
    kh_status status =
        fetch_value(txn->db, txn->cache, key, copied->timestamp, &copied->batch, error);
    if (status != KH_OK || copied->batch != NULL) return status;
    *is_gone = copied->until <= kh_db_horizon(txn->db); /* rises before anything is swept */
    return *is_gone ? KH_OK : status_fail(error, KH_CORRUPT, "the storage has lost a value");
}

/* One at a time: all of a long history may be more than memory holds. */
static kh_status show(kh_txn *txn, kh_bytes key, struct copies *copies, kh_version_fn *visit,
                      void *context, bool *is_whole, kh_error *error) {
    *is_whole = true;
    for (size_t i = 0; i < copies->count; i++) {
        struct copied *copied = &copies->items[i];
        bool is_gone;
        kh_status status = fetch(txn, key, copied, &is_gone, error);
        if (status != KH_OK) return status;
        if (is_gone) *is_whole = false;
        if (is_gone) continue;
        kh_version_entry entry = {copied->timestamp, copied->batch};
        bool goes_on = visit(context, &entry);
        if (copied->is_cold) {
            batch_release(copied->batch, NULL);
            copied->batch = NULL;
        }
        if (!goes_on) return KH_OK;
    }
    return KH_OK;
}

kh_status kh_db_history(kh_db *db, kh_bytes key, kh_timestamp from, kh_timestamp to,
                        kh_version_fn *visit, void *context, bool *is_complete, kh_error *error) {
    kh_status status = read_check_key(key, error);
    if (status != KH_OK) return status;
    kh_assert(db != NULL && visit != NULL && "kh_db_history: db or visit is NULL");
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = KH_REPEATABLE_READ;
    options.flags = KH_BEGIN_READ_ONLY;
    kh_txn *txn;
    status = kh_txn_begin(db, &options, &txn, error);
    if (status != KH_OK) return status;
    txn_set_deadline(txn, UINT64_MAX); /* the visitor may be slow, and the copy is under way */
    struct copies copies = {0};
    status = copy(txn, key, from, to, &copies, error);
    /* Asked after the copy: pruners raise it before they prune. */
    kh_timestamp horizon = kh_db_horizon(db);
    bool is_whole = true;
    if (status == KH_OK) status = show(txn, key, &copies, visit, context, &is_whole, error);
    if (status == KH_OK && is_complete != NULL) *is_complete = is_whole && from > horizon;
    for (size_t i = 0; i < copies.count; i++) batch_release(copies.items[i].batch, NULL);
    kh_txn_close(txn);
    return status;
}
