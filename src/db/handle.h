/* handle.h - the pool of transaction handles, and the door of every call on one.
 *
 * Handles are never freed before their database: a stale pointer finds a handle, and the state
 * answers KH_FINISHED. A free one is idle, and taken by moving its state; each thread goes back to
 * the one that it had last, so that handles do not wander between cores. */
#ifndef KHONSU_DB_HANDLE_H
#define KHONSU_DB_HANDLE_H

#include "base/status.h"
#include "db/db.h"

/* A handle in state idle with all fields of its use cleared. KH_BUSY: all are in use. */
kh_status handle_acquire(struct kh_db *db, kh_txn **out, kh_error *error);
/* Clear what the use left (batches, arena, eventfd) and give it back. */
void handle_release(kh_txn *txn);
/* Take an idle handle out of the pool for a moment, and give it back as it was. */
bool handle_take_idle(kh_txn *txn);
void handle_put_back(kh_txn *txn);
/* Destroy all handles; none is in use. */
void handle_destroy_all(struct kh_db *db);

/* The rare ways through the door: stopped, ended, forked, past the deadline. */
kh_status handle_refuse(kh_txn *txn, kh_error *error);

/* Take the busy mark if it is free. */
static inline bool handle_try_busy(kh_txn *txn) {
    uint32_t busy = BUSY_FREE;
    return atomic_compare_exchange_strong_explicit(&txn->busy, &busy, BUSY_CALL,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* Take it when only the janitor has it, who never keeps it long. False: another call has it. */
bool handle_wait_busy(kh_txn *txn);

/* Enter a call: KH_OK with the busy mark taken and the transaction active. */
static inline kh_status handle_enter(kh_txn *txn, kh_error *error) {
    kh_assert(txn != NULL && "the transaction is NULL");
    if (KH_UNLIKELY(!handle_try_busy(txn)) && !handle_wait_busy(txn))
        return status_fail(error, KH_MISUSE, "another thread is in this transaction");
    uint64_t state = atomic_load_explicit(&txn->state, memory_order_relaxed);
    if (KH_UNLIKELY((state & STATE_MASK) != TXN_ACTIVE || db_is_forked(txn->db) ||
                    db_tick(txn->db) > txn_deadline(txn)))
        return handle_refuse(txn, error);
    return KH_OK;
}

static inline void handle_leave(kh_txn *txn) {
    atomic_store_explicit(&txn->busy, BUSY_FREE, memory_order_release);
}

/* A failure of class RETRY (or poisoned, forked, cancelled) ends all but rollback: remember it. */
kh_status handle_stop(kh_txn *txn, kh_status status);

static inline kh_status handle_answer(kh_txn *txn, kh_status status) {
    if (KH_UNLIKELY(status >= KH_CONFLICT)) status = handle_stop(txn, status);
    handle_leave(txn);
    return status;
}

/* The id of the transaction, assigned at first need. */
kh_txn_id handle_id(kh_txn *txn);

/* The low half of the id, from outside of the transaction; 0: none yet. */
static inline uint64_t handle_peek_id(const kh_txn *txn) {
    return __atomic_load_n(&txn->id.low, __ATOMIC_ACQUIRE);
}

#endif
