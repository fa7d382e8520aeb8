/* commit.h - from a transaction with pending writes to a record in the log. */
#ifndef KHONSU_DB_COMMIT_H
#define KHONSU_DB_COMMIT_H

#include "db/handle.h"
#include "db/locking.h"
#include "db/pipeline.h"
#include "db/section.h"
#include "log/record.h"

/* Stage, certify and append (kind: COMMIT or PREPARE). KH_OK: the record was taken, txn->outcome
 * tells or will tell; else the transaction has not changed anything. Called with the busy mark
 * held. */
kh_status commit_submit(kh_txn *txn, enum record_kind kind, kh_error *error);
/* Wait for the outcome; returns it. */
kh_status commit_await_log(kh_txn *txn);
static inline kh_status commit_await(kh_txn *txn) {
    if (KH_UNLIKELY(!pipeline_is_answered(txn))) return commit_await_log(txn);
    return (kh_status)(atomic_load_explicit(&txn->outcome, memory_order_relaxed) - 1);
}
/* End a transaction that failed: its state, slots and counters. */
void commit_end_failed(kh_txn *txn, kh_status status);
/* Its counter alone. */
void commit_count_abort(kh_txn *txn, kh_status status);
/* ---- without writes: certified only where that could fail, or leave a stamp that matters ---- */

/* Is what it read still the newest? */
bool commit_is_current(kh_txn *txn);
/* In the section. */
kh_status commit_certify_reads(kh_txn *txn, kh_error *error);

/* Is it clear without the section that it reads a state of the serial order, and that no writer
 * still to come could go below it? No serializable transaction with an older snapshot is open, and
 * since nothing that it read has been overwritten. (The slots are looked at first: a writer leaves
 * its slot after its versions are linked and published.) */
static inline bool commit_is_clear(kh_txn *txn) {
    const struct kh_db *db = txn->db;
    if (!txn->is_certified) return true;
    if (KH_UNLIKELY(snapshot_oldest_serializable(&db->store.snapshots, txn->line) < txn->snapshot ||
                    section_has_in_flight(db)))
        return false;
    return db_visible(db) == txn->snapshot || commit_is_current(txn);
}

static inline kh_status commit_read_only(kh_txn *txn, kh_error *error) {
    if (KH_UNLIKELY(txn->has_locks)) {
        kh_status status = locking_seal(txn, error);
        if (status != KH_OK) return status;
    }
    return KH_LIKELY(commit_is_clear(txn)) ? KH_OK : commit_certify_reads(txn, error);
}

#endif
