/* handle.h - the pool of transaction handles, and the door of every call on one.
 *
 * Handles are never freed before their database: a stale pointer finds a handle, and the state
 * answers KH_FINISHED. A free one is idle, and taken by moving its state; each thread goes back to
 * the one that it had last, so that handles do not wander between cores. */
#ifndef KHONSU_DB_HANDLE_H
#define KHONSU_DB_HANDLE_H

#include "base/status.h"
#include "db/db.h"

/* The handle that this thread had last, of whatever database: coming back to it keeps its memory in
 * this core's cache. Only a hint. */
extern _Thread_local uint32_t handle_last_index;

/* Take a handle that is idle. */
static inline bool handle_take(kh_txn *txn) {
    uint64_t word = atomic_load_explicit(&txn->state, memory_order_relaxed);
    if (KH_UNLIKELY((word & STATE_MASK) != TXN_IDLE)) return false;
    return atomic_compare_exchange_strong_explicit(&txn->state, &word, word | TXN_TAKEN,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* The handle of this thread's last use; NULL: ask handle_acquire. */
static inline kh_txn *handle_take_last(struct kh_db *db) {
    uint32_t index = handle_last_index;
    if (KH_UNLIKELY(index >= atomic_load_explicit(&db->handle_count, memory_order_acquire)))
        return NULL;
    kh_txn *txn = db->handles[index];
    return KH_LIKELY(handle_take(txn)) ? txn : NULL;
}

/* A handle in state taken, with what its last use left to be given back gone; the rest is the
 * caller's to set. KH_BUSY: all are in use. */
kh_status handle_acquire(struct kh_db *db, kh_txn **out, kh_error *error);

/* The batches of the write set, and what few uses leave. */
void handle_drop_writes(kh_txn *txn);
void handle_drop_rest(kh_txn *txn);

/* Take an idle handle out of the pool for a moment, and give it back as it was. */
bool handle_take_idle(kh_txn *txn);
void handle_put_back(kh_txn *txn);
/* Destroy all handles; none is in use. */
void handle_destroy_all(struct kh_db *db);

/* The rare ways through the door: stopped, ended, forked, past the deadline; or none of them, by
 * the clock, when there are no threads that keep the tick. */
kh_status handle_look_closer(kh_txn *txn, kh_error *error);

/* Take the busy mark if it is free. */
static inline bool handle_try_busy(kh_txn *txn) {
    uint32_t busy = BUSY_FREE;
    return atomic_compare_exchange_strong_explicit(&txn->busy, &busy, BUSY_CALL,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* Take it when only the janitor has it, who never keeps it long. False: another call has it. */
bool handle_wait_busy(kh_txn *txn);

/* Another call has the mark. */
kh_status handle_refuse_busy(kh_error *error);

/* Enter a call: KH_OK with the busy mark taken and the transaction active. */
static inline kh_status handle_enter(kh_txn *txn, kh_error *error) {
    kh_assert(txn != NULL && "the transaction is NULL");
    if (KH_UNLIKELY(!handle_try_busy(txn)) && !handle_wait_busy(txn))
        return handle_refuse_busy(error);
    const struct kh_db *db = txn->db;
    uint64_t state = atomic_load_explicit(&txn->state, memory_order_relaxed);
    uint64_t tick = atomic_load_explicit(&db->tick_ms, memory_order_relaxed);
    if (KH_UNLIKELY((state & STATE_MASK) != TXN_ACTIVE || db_is_forked(db) ||
                    tick > txn_deadline(txn)))
        return handle_look_closer(txn, error);
    return KH_OK;
}

static inline void handle_leave(kh_txn *txn) {
    atomic_store_explicit(&txn->busy, BUSY_FREE, memory_order_release);
}

/* Clear what the use left (batches, arena, eventfd) and give it back. */
static inline void handle_release(kh_txn *txn) {
    kh_assert_slow(!txn->has_locks);
    /* A commit that was started ends outside of any call: whoever lists it may be looking still. */
    if (KH_UNLIKELY(txn->is_started) && handle_wait_busy(txn)) handle_leave(txn);
    if (txn->writes.count > 0 || txn->writes.mark_capacity > 0) {
        if (KH_LIKELY(txn->writes.is_spent)) {
            writeset_reset(&txn->writes);
        } else {
            handle_drop_writes(txn);
        }
    }
    uint64_t rest = (uintptr_t)txn->bases | (uintptr_t)txn->held | (uintptr_t)txn->kept |
                    txn->frame.capacity_bytes | (uint64_t)(txn->descriptor + 1) |
                    txn->has_own_options;
    if (KH_UNLIKELY(rest != 0)) handle_drop_rest(txn);
    readset_clear(&txn->reads);
    arena_reset(&txn->arena);
    uint64_t word = atomic_load_explicit(&txn->state, memory_order_relaxed);
    atomic_store_explicit(&txn->state, ((word >> STATE_BITS) + 1) << STATE_BITS | TXN_IDLE,
                          memory_order_release);
}

/* A failure of class RETRY (or poisoned, forked, cancelled) ends all but rollback: remember it. */
kh_status handle_stop(kh_txn *txn, kh_status status);

static inline kh_status handle_answer(kh_txn *txn, kh_status status) {
    if (KH_UNLIKELY(status >= KH_CONFLICT)) status = handle_stop(txn, status);
    handle_leave(txn);
    return status;
}

/* The id of the transaction, assigned at first need. */
void handle_reserve_ids(kh_txn *txn);
static inline kh_txn_id handle_id(kh_txn *txn) {
    if (txn->id.low == 0) {
        if (KH_UNLIKELY(txn->id_next == txn->id_end)) handle_reserve_ids(txn);
        txn->id.high = txn->db->id_high;
        __atomic_store_n(&txn->id.low, txn->id_next++, __ATOMIC_RELEASE);
    }
    return txn->id;
}

/* The low half of the id, from outside of the transaction; 0: none yet. */
static inline uint64_t handle_peek_id(const kh_txn *txn) {
    return __atomic_load_n(&txn->id.low, __ATOMIC_ACQUIRE);
}

#endif
