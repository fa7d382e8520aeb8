/* read.c - point reads: own write, else the version that the isolation level sees.
 *
 * Path: the door, own writes, the index, the first version at or below the snapshot, the read set.
 * No lock, no allocation but the read set's growth, nothing shared is written (get counts a
 * reference of the batch; peek does not). At read committed each call is a statement: it registers
 * a newer snapshot first, which also ends the life of earlier borrowed views. */
#include "db/read.h"

#include "db/fetch.h"
#include <string.h>

kh_status read_refuse_key(kh_bytes key, kh_error *error) {
    if (key.size_bytes > LIMIT_KEY_BYTES)
        return status_fail(error, KH_TOO_BIG, "the key has %zu bytes: at most %u are possible",
                           key.size_bytes, LIMIT_KEY_BYTES);
    return status_fail(error, KH_INVALID, "the key is empty");
}

void read_statement(kh_txn *txn) {
    if (txn->isolation != KH_READ_COMMITTED) return;
    txn->snapshot = snapshot_take(txn->line, &txn->db->store.visible, SLOT_READ);
    /* What the statement before has lent is not lent any more. */
    if (txn->db->evictor != NULL)
        atomic_store_explicit(&txn->lent_serial, UINT64_MAX, memory_order_release);
}

void read_note_lending(kh_txn *txn) {
    if (txn->db->evictor == NULL) return;
    uint64_t serial = atomic_load_explicit(&txn->state, memory_order_relaxed) >> STATE_BITS;
    if (atomic_load_explicit(&txn->lent_serial, memory_order_relaxed) == serial) return;
    /* Sequentially consistent: before the head of an entry is looked at for marks. */
    (void)atomic_exchange_explicit(&txn->lent_serial, serial, memory_order_seq_cst);
}

/* A peek at read committed is a statement; one of a database whose values may leave memory says
 * that it lends. */
static void peek_carefully(kh_txn *txn) {
    read_statement(txn);
    read_note_lending(txn);
}

/* Read committed with a policy that may need the base: hold what was read. */
static kh_status keep_base(kh_txn *txn, struct entry *entry, const kh_batch *batch,
                           kh_error *error) {
    if (txn->isolation != KH_READ_COMMITTED || txn->policy < KH_MERGE) return KH_OK;
    struct kept_base *base = arena_alloc(&txn->arena, sizeof *base);
    if (base == NULL) return status_no_memory(error, sizeof *base);
    base->entry = entry;
    base->timestamp = txn->snapshot;
    base->batch = batch_retain(batch);
    base->next = txn->bases;
    txn->bases = base;
    return KH_OK;
}

static kh_status track_base(kh_txn *txn, struct entry *entry, const kh_batch *batch,
                            kh_error *error) {
    kh_status status = readset_add(&txn->reads, &txn->arena, entry, txn->snapshot, error);
    if (status == KH_OK) status = keep_base(txn, entry, batch, error);
    return status;
}

/* Not the newest version, or it has no value, or one that was not read for long or is in the
 * storage only. */
__attribute__((noinline)) static kh_status look_closer(kh_txn *txn, struct entry *entry,
                                                       kh_bytes key, uint64_t hash, bool is_lent,
                                                       const kh_batch **out, kh_error *error) {
    const struct version *version = entry_read(entry, txn->snapshot);
    if (version == NULL) return KH_OK;
    if (version_is_cold(version))
        return fetch_for_read(txn, key, hash, version->commit, is_lent, out, error);
    *out = version_batch(version);
    return KH_OK;
}

/* Inlined into the two calls that most programs make most. */
__attribute__((always_inline)) static inline kh_status look_up(kh_txn *txn, kh_bytes key,
                                                               uint64_t hash, bool is_lent,
                                                               const kh_batch **out,
                                                               kh_error *error) {
    struct entry *entry = index_find_inline(txn->db->store.index, key, hash);
    const kh_batch *batch = entry == NULL ? NULL : entry_value_fast(entry, txn->snapshot);
    if (KH_UNLIKELY(batch == NULL) && entry != NULL) {
        kh_status status = look_closer(txn, entry, key, hash, is_lent, &batch, error);
        if (status != KH_OK) return status;
    }
    *out = batch;
    if (!txn->is_tracking) return KH_OK;
    if (KH_UNLIKELY(batch == NULL))
        return readset_add_absent(&txn->reads, &txn->arena, key, txn->snapshot, error);
    if (KH_UNLIKELY(txn->policy >= KH_MERGE)) return track_base(txn, entry, batch, error);
    return readset_add(&txn->reads, &txn->arena, entry, txn->snapshot, error);
}

kh_status read_version(kh_txn *txn, kh_bytes key, uint64_t hash, const kh_batch **out,
                       kh_error *error) {
    return look_up(txn, key, hash, false, out, error);
}

/* Keep a reference until close, so that the caller may borrow it. Moves the reference. */
kh_status read_hold(kh_txn *txn, kh_batch *batch, kh_error *error) {
    struct held_batch *held = arena_alloc(&txn->arena, sizeof *held);
    if (held == NULL) {
        batch_release(batch, txn->cache);
        return status_no_memory(error, sizeof *held);
    }
    held->batch = batch;
    held->next = txn->held;
    txn->held = held;
    return KH_OK;
}

kh_status read_hold_for_now(kh_txn *txn, kh_batch *batch, kh_error *error) {
    if (txn->held_for_now == NULL) {
        kh_status status = read_hold(txn, batch, error);
        if (status == KH_OK) txn->held_for_now = txn->held;
        return status;
    }
    batch_release(txn->held_for_now->batch, txn->cache);
    txn->held_for_now->batch = batch;
    return KH_OK;
}

void read_resolve_context(kh_txn *txn, struct resolve_context *out) {
    *out = (struct resolve_context){
        .rows = {txn->db->home.mem, txn->cache, txn->db->home.schemas, txn->id_column},
        .callback = txn->resolve,
        .callback_context = txn->resolve_context};
}

/* The value that own row operations make of the snapshot's: a read of the key and of the own write.
 */
static kh_status read_own_rows(kh_txn *txn, struct write *write, const kh_batch **out,
                               kh_error *error) {
    const kh_batch *base = NULL;
    kh_status status = read_version(txn, write->key, write->hash, &base, error);
    if (status != KH_OK) return status;
    struct resolve_context context;
    read_resolve_context(txn, &context);
    kh_batch *value = NULL;
    status = resolve_rows(&context, base, write->ops, &value, error);
    if (status != KH_OK) return status;
    *out = value;
    return value == NULL ? KH_OK : read_hold(txn, value, error);
}

kh_status read_own(kh_txn *txn, struct write *write, const kh_batch **out, kh_error *error) {
    write->is_read_back = true;
    if (write->kind == WRITE_ROWS) return read_own_rows(txn, write, out, error);
    *out = write->kind == WRITE_PUT ? write->mine : NULL;
    return KH_OK;
}

/* *out NULL: absent. In an epoch section. */
__attribute__((always_inline)) static inline kh_status
read_any(kh_txn *txn, kh_bytes key, bool is_lent, const kh_batch **out, kh_error *error) {
    uint64_t hash = index_hash(txn->db->store.index, key);
    struct write *own = writeset_find(&txn->writes, key, hash);
    if (KH_UNLIKELY(own != NULL)) return read_own(txn, own, out, error);
    return look_up(txn, key, hash, is_lent, out, error);
}

kh_status kh_txn_peek(kh_txn *txn, kh_bytes key, const kh_batch **out, kh_error *error) {
    kh_status status = handle_enter(txn, error);
    if (KH_UNLIKELY(status != KH_OK)) return status;
    status = read_check_key(key, error);
    if (KH_UNLIKELY(status != KH_OK)) return handle_answer(txn, status);
    if (KH_UNLIKELY(txn->isolation <= txn->careful_below)) peek_carefully(txn);
    const kh_batch *batch;
    epoch_open(&txn->db->store.epoch, &txn->epoch);
    status = read_any(txn, key, true, &batch, error);
    epoch_close(&txn->db->store.epoch, &txn->epoch);
    txn_count(&txn->counters.reads, 1);
    if (KH_UNLIKELY(status != KH_OK)) return handle_answer(txn, status);
    handle_leave(txn);
    if (KH_UNLIKELY(batch == NULL)) return KH_NOT_FOUND;
    *out = batch;
    return KH_OK;
}

kh_status kh_txn_get(kh_txn *txn, kh_bytes key, kh_batch **out, kh_error *error) {
    kh_status status = handle_enter(txn, error);
    if (KH_UNLIKELY(status != KH_OK)) return status;
    status = read_check_key(key, error);
    if (KH_UNLIKELY(status != KH_OK)) return handle_answer(txn, status);
    read_statement(txn);
    const kh_batch *batch = NULL;
    epoch_open(&txn->db->store.epoch, &txn->epoch);
    status = read_any(txn, key, false, &batch, error);
    if (KH_LIKELY(status == KH_OK)) {
        if (batch != NULL) {
            *out = batch_retain(batch);
        } else {
            status = KH_NOT_FOUND;
        }
    }
    epoch_close(&txn->db->store.epoch, &txn->epoch);
    txn_count(&txn->counters.reads, 1);
    return handle_answer(txn, status);
}

static kh_status get_all(kh_txn *txn, const kh_bytes *keys, size_t key_count, kh_batch **out,
                         size_t *done_count, kh_error *error) {
    for (size_t i = 0; i < key_count; i++) {
        const kh_batch *batch = NULL;
        kh_status status = read_any(txn, keys[i], false, &batch, error);
        if (status != KH_OK) return status;
        out[i] = batch == NULL ? NULL : batch_retain(batch);
        *done_count = i + 1;
    }
    return KH_OK;
}

kh_status kh_txn_get_many(kh_txn *txn, const kh_bytes *keys, size_t key_count, kh_batch **out,
                          kh_error *error) {
    kh_status status = handle_enter(txn, error);
    if (KH_UNLIKELY(status != KH_OK)) return status;
    for (size_t i = 0; i < key_count && status == KH_OK; i++)
        status = read_check_key(keys[i], error);
    if (status != KH_OK) return handle_answer(txn, status);
    read_statement(txn);
    size_t done_count = 0;
    epoch_open(&txn->db->store.epoch, &txn->epoch);
    status = get_all(txn, keys, key_count, out, &done_count, error);
    epoch_close(&txn->db->store.epoch, &txn->epoch);
    if (status != KH_OK)
        for (size_t i = 0; i < done_count; i++) {
            batch_release(out[i], txn->cache);
            out[i] = NULL;
        }
    txn_count(&txn->counters.reads, key_count);
    return handle_answer(txn, status);
}

/* Is there a value, whatever it is: nothing is fetched for that. */
static kh_status find(kh_txn *txn, kh_bytes key, uint64_t hash, bool *out, kh_error *error) {
    struct entry *entry = index_find(txn->db->store.index, key, hash);
    const struct version *version = entry == NULL ? NULL : entry_visible(entry, txn->snapshot);
    *out = version != NULL && !version_is_tombstone(version);
    if (!txn->is_tracking) return KH_OK;
    if (*out) return readset_add(&txn->reads, &txn->arena, entry, txn->snapshot, error);
    return readset_add_absent(&txn->reads, &txn->arena, key, txn->snapshot, error);
}

/* Own writes, and policies that may need what was read as a base, are read as a whole. */
static kh_status find_any(kh_txn *txn, kh_bytes key, bool *out, kh_error *error) {
    uint64_t hash = index_hash(txn->db->store.index, key);
    if (txn->policy < KH_MERGE && writeset_find(&txn->writes, key, hash) == NULL)
        return find(txn, key, hash, out, error);
    const kh_batch *batch = NULL;
    kh_status status = read_any(txn, key, false, &batch, error);
    *out = batch != NULL;
    return status;
}

kh_status kh_txn_exists(kh_txn *txn, kh_bytes key, bool *out, kh_error *error) {
    kh_status status = handle_enter(txn, error);
    if (status != KH_OK) return status;
    status = read_check_key(key, error);
    if (status != KH_OK) return handle_answer(txn, status);
    read_statement(txn);
    bool is_there = false;
    epoch_open(&txn->db->store.epoch, &txn->epoch);
    status = find_any(txn, key, &is_there, error);
    epoch_close(&txn->db->store.epoch, &txn->epoch);
    txn_count(&txn->counters.reads, 1);
    if (status == KH_OK) *out = is_there;
    return handle_answer(txn, status);
}
