/* handle.c - taking handles from the pool and giving them back. */
#include "db/handle.h"
#include "db/semantic.h"

#include "db/locking.h"
#include <string.h>

_Thread_local uint32_t handle_last_index;

bool handle_take_idle(kh_txn *txn) {
    return handle_take(txn);
}

void handle_put_back(kh_txn *txn) {
    txn_set_state(txn, TXN_IDLE);
}

static kh_txn *take_any(struct kh_db *db) {
    uint32_t count = atomic_load_explicit(&db->handle_count, memory_order_acquire);
    uint32_t first = handle_last_index < count ? handle_last_index : 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = first + i < count ? first + i : first + i - count;
        if (handle_take(db->handles[index])) return db->handles[index];
    }
    return NULL;
}

static void set_defaults(kh_txn *txn) {
    const struct kh_db *db = txn->db;
    txn->id_column = db->id_column;
    txn->resolve = db->resolve;
    txn->resolve_context = db->resolve_context;
    txn->has_own_options = false;
}

static kh_status create(struct kh_db *db, kh_txn **out, kh_error *error) {
    uint32_t index = atomic_load_explicit(&db->handle_count, memory_order_relaxed);
    if (index >= db->limits.txns)
        return status_fail(error, KH_BUSY, "%u transactions are open", db->limits.txns);
    struct mem *mem = db->home.mem;
    kh_txn *txn = mem_own_alloc(mem, sizeof *txn);
    if (txn == NULL) return status_no_memory(error, sizeof *txn);
    memset(txn, 0, sizeof *txn);
    txn->cache = mem_cache_create(mem);
    if (txn->cache == NULL) {
        mem_own_free(mem, txn, sizeof *txn);
        return status_no_memory(error, sizeof *txn);
    }
    txn->db = db;
    txn->index = index;
    txn->line = &db->store.snapshots.lines[index];
    txn->descriptor = -1;
    atomic_init(&txn->state, TXN_TAKEN);
    atomic_init(&txn->lent_serial, UINT64_MAX);
    txn->careful_below = db->evictor != NULL ? KH_SERIALIZABLE : KH_READ_COMMITTED;
    snapshot_drop(txn->line);
    arena_init(&txn->arena, mem, txn->cache);
    epoch_register(&db->store.epoch, &txn->epoch);
    txn->reads.limit = db->limits.txn_reads;
    readset_init(&txn->reads);
    ipc_buffer_init(&txn->frame, mem);
    writeset_init(&txn->writes, db->limits.txn_writes, db->limits.txn_bytes);
    set_defaults(txn);
    txn->request = (struct certify_request){.reads = &txn->reads,
                                            .ranges = &db->ranges,
                                            .recent = &db->recent,
                                            .index = db->store.index};
    db->handles[index] = txn;
    atomic_store_explicit(&db->store.snapshots.line_count, index + 1, memory_order_seq_cst);
    atomic_store_explicit(&db->handle_count, index + 1, memory_order_release);
    *out = txn;
    return KH_OK;
}

kh_status handle_acquire(struct kh_db *db, kh_txn **out, kh_error *error) {
    kh_txn *txn = take_any(db);
    if (txn == NULL) {
        lock_take(&db->pool_lock);
        kh_status status = create(db, &txn, error);
        lock_leave(&db->pool_lock);
        if (status != KH_OK) return status;
    }
    handle_last_index = txn->index;
    *out = txn;
    return KH_OK;
}

static void release_bases(kh_txn *txn) {
    for (struct kept_base *base = txn->bases; base != NULL; base = base->next)
        batch_release(base->batch, txn->cache);
    for (struct held_batch *held = txn->held; held != NULL; held = held->next)
        batch_release(held->batch, txn->cache);
    txn->bases = NULL;
    txn->held = NULL;
}

/* What was staged and never linked: writes that a policy dropped, and all of a record that the log
 * refused or that was decided against. */
static void discard_unlinked(kh_txn *txn) {
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        struct write *write = &txn->writes.writes[i];
        bool is_linked = txn->is_installed && write->fate != FATE_DROPPED;
        if (KH_LIKELY(is_linked) || write->staged == NULL) continue;
        version_discard(txn->db->home.mem, txn->cache, write->staged);
        write->staged = NULL;
    }
}

/* A small frame's memory is kept for the next use of the handle. */
static void release_frame(kh_txn *txn) {
    enum { KEPT_BYTES = 16384 };
    txn->frame.size_bytes = 0;
    txn->frame.is_failed = false;
    if (txn->frame.capacity_bytes <= KEPT_BYTES) return;
    ipc_buffer_fini(&txn->frame);
    ipc_buffer_init(&txn->frame, txn->db->home.mem);
}

static void discard_kept(kh_txn *txn) {
    for (uint32_t i = 0; i < txn->kept_count; i++)
        ranges_discard(&txn->db->ranges, txn->cache, txn->kept[i]);
    txn->kept_count = 0;
    txn->kept = NULL;
}

/* Before the arena is reset: the lists lie in it. */
void handle_drop_rest(kh_txn *txn) {
    release_bases(txn);
    discard_kept(txn);
    if (txn->frame.capacity_bytes > 0) release_frame(txn);
    if (txn->descriptor >= 0) env_event_close(txn->descriptor);
    txn->descriptor = -1;
    if (txn->has_own_options) set_defaults(txn);
    if (txn->semantic != NULL) semantic_detach(txn);
}

void handle_drop_writes(kh_txn *txn) {
    discard_unlinked(txn);
    writeset_clear(&txn->writes, txn->cache);
}

void handle_destroy_all(struct kh_db *db) {
    uint32_t count = atomic_load_explicit(&db->handle_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        kh_txn *txn = db->handles[i];
        arena_fini(&txn->arena);
        ipc_buffer_fini(&txn->frame);
        epoch_unregister(&db->store.epoch, &txn->epoch, txn->cache);
        mem_cache_destroy(txn->cache);
    }
    for (uint32_t i = 0; i < count; i++) mem_own_free(db->home.mem, db->handles[i], sizeof(kh_txn));
}

bool handle_wait_busy(kh_txn *txn) {
    while (!handle_try_busy(txn)) {
        /* Nobody in a forked child will ever give it back: the door says what is the matter. */
        if (KH_UNLIKELY(db_is_forked(txn->db))) return true;
        if (atomic_load_explicit(&txn->busy, memory_order_acquire) == BUSY_CALL) return false;
        env_yield();
    }
    return true;
}

static kh_status state_answer(const kh_txn *txn, kh_error *error) {
    switch (txn_state_of(txn)) {
    case TXN_STOPPED:
        return status_fail(error, txn->stop_status, "the transaction has stopped: %s",
                           kh_status_meaning(txn->stop_status));
    case TXN_PREPARED:
        return status_fail(error, KH_MISUSE,
                           "prepared: only commit, rollback and close may follow");
    case TXN_IN_FLIGHT:
    case TXN_COMMITTING:
        return status_fail(error, KH_MISUSE, "the commit is under way");
    default:
        return status_fail(error, KH_FINISHED, "the transaction has ended");
    }
}

kh_status handle_refuse_busy(kh_error *error) {
    return status_fail(error, KH_MISUSE, "another thread is in this transaction");
}

/* With the busy mark held; unless all is well, gives it back. */
kh_status handle_look_closer(kh_txn *txn, kh_error *error) {
    kh_status status;
    if (db_is_forked(txn->db)) {
        status = status_fail(error, KH_FORKED, "the database belongs to the parent process");
    } else if (txn_state_of(txn) != TXN_ACTIVE) {
        status = state_answer(txn, error);
    } else if (db_tick(txn->db) <= txn_deadline(txn)) {
        return KH_OK;
    } else {
        status = status_fail(error, KH_EXPIRED, "the transaction is past its timeout");
        status = handle_stop(txn, status);
    }
    handle_leave(txn);
    return status;
}

static bool is_final(kh_status status) {
    return kh_status_classify(status) == KH_CLASS_RETRY || status == KH_CANCELLED ||
           status == KH_POISONED || status == KH_FORKED;
}

kh_status handle_stop(kh_txn *txn, kh_status status) {
    if (is_final(status) && txn_state_of(txn) == TXN_ACTIVE) {
        txn->stop_status = status;
        (void)txn_move_state(txn, TXN_ACTIVE, TXN_STOPPED);
        locking_end(txn);
    }
    return status;
}

void handle_reserve_ids(kh_txn *txn) {
    enum { BLOCK = 64 }; /* ids reserved at once: the shared counter stays cold */
    txn->id_next = atomic_fetch_add_explicit(&txn->db->next_id, BLOCK, memory_order_relaxed);
    txn->id_end = txn->id_next + BLOCK;
}
