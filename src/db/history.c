/* history.c - a key's versions that are still there.
 *
 * They are copied (references) inside one epoch section and shown outside of it, so that the
 * visitor may use the database. A snapshot is registered meanwhile only to keep the horizon honest:
 * what was complete when the walk began is complete in the copy. */
#include "db/read.h"

struct copied {
    kh_timestamp timestamp;
    kh_batch *batch; /* a reference, or NULL */
};

struct copies {
    struct copied *items;
    size_t count;
    size_t capacity;
};

static kh_status push(kh_txn *txn, struct copies *copies, const struct version *version,
                      kh_error *error) {
    if (copies->count == copies->capacity) {
        size_t capacity = copies->capacity == 0 ? 16 : copies->capacity * 2;
        struct copied *items = arena_alloc(&txn->arena, capacity * sizeof *items);
        if (items == NULL) return status_no_memory(error, capacity * sizeof *items);
        for (size_t i = 0; i < copies->count; i++) items[i] = copies->items[i];
        copies->items = items;
        copies->capacity = capacity;
    }
    const kh_batch *batch = version_batch(version);
    copies->items[copies->count++] =
        (struct copied){version->commit, batch == NULL ? NULL : batch_retain(batch)};
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
    while (version != NULL && version->commit >= from && status == KH_OK) {
        if (version->commit <= to) status = push(txn, copies, version, error);
        version = atomic_load_explicit(&version->older, memory_order_acquire);
    }
    epoch_close(&txn->db->store.epoch, &txn->epoch);
    return status;
}

static void show(const struct copies *copies, kh_version_fn *visit, void *context) {
    for (size_t i = 0; i < copies->count; i++) {
        kh_version_entry entry = {copies->items[i].timestamp, copies->items[i].batch};
        if (!visit(context, &entry)) return;
    }
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
    struct copies copies = {0};
    status = copy(txn, key, from, to, &copies, error);
    /* Asked after the copy: pruners raise it before they prune. */
    kh_timestamp horizon = kh_db_horizon(db);
    if (status == KH_OK) {
        show(&copies, visit, context);
        if (is_complete != NULL) *is_complete = from > horizon;
    }
    for (size_t i = 0; i < copies.count; i++) batch_release(copies.items[i].batch, NULL);
    kh_txn_close(txn);
    return status;
}
