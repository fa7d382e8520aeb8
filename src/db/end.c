/* end.c - the public ways to end a transaction: commit, start and wait, prepare and decide,
 * rollback, close; and what they leave to be asked for. */
#include "db/apply.h"
#include "db/commit.h"
#include "db/cursor.h"
#include "db/pipeline.h"
#include "db/prepared.h"
#include "db/section.h"
#include "db/semantic.h"
#include "db/stage.h"

#include <string.h>

/* ---- commit ---------------------------------------------------------------------------------- */

static inline void end_read_only(kh_txn *txn, kh_timestamp *timestamp) {
    txn_count(&txn->counters.commits_read_only, 1);
    txn->committed = txn->snapshot;
    if (timestamp != NULL) *timestamp = txn->committed;
    locking_end(txn);
    snapshot_drop(txn->line);
    txn_set_state(txn, TXN_ENDED); /* stop_status is KH_OK since begin */
}

/* The log failed. */
__attribute__((noinline)) static kh_status tell_failure(kh_txn *txn, kh_status status,
                                                        kh_error *error) {
    if (status != KH_UNKNOWN && status != KH_POISONED) return status;
    if (!atomic_exchange_explicit(&txn->db->is_poison_told, true, memory_order_relaxed))
        section_say(txn->db, KH_LOG_ERROR,
                    "the log failed: commits are refused until the database is reopened");
    if (status == KH_UNKNOWN)
        return status_fail(error, status, "the log took the record and lost track of it");
    return status_fail(error, status, "the log refused the record");
}

static inline kh_status finish_commit(kh_txn *txn, kh_status status, kh_timestamp *timestamp,
                                      kh_error *error) {
    if (KH_UNLIKELY(status != KH_OK)) return tell_failure(txn, status, error);
    txn_count(&txn->counters.commits, 1);
    txn_count(&txn->counters.writes, txn->writes.live_count);
    if (timestamp != NULL) *timestamp = txn->committed;
    return KH_OK;
}

KH_ALWAYS_INLINE kh_status commit_writes(kh_txn *txn, kh_timestamp *timestamp, kh_error *error) {
    struct kh_db *db = txn->db;
    txn->is_sampled = (++txn->sample_count & (SAMPLE_EVERY - 1)) == 0;
    uint64_t begun_ns = txn->is_sampled ? env_monotonic_ns(&db->clock) : 0;
    kh_status status = commit_submit(txn, RECORD_COMMIT, error);
    if (KH_UNLIKELY(status != KH_OK)) {
        commit_end_failed(txn, status);
        return status;
    }
    status = finish_commit(txn, commit_await(txn), timestamp, error);
    if (KH_UNLIKELY(txn->is_sampled))
        histogram_note(&db->commit_ns, env_monotonic_ns(&db->clock) - begun_ns);
    return status;
}

KH_ALWAYS_INLINE kh_status commit_reads(kh_txn *txn, kh_timestamp *timestamp, kh_error *error) {
    kh_status status = commit_read_only(txn, error);
    if (KH_LIKELY(status == KH_OK)) {
        end_read_only(txn, timestamp);
    } else {
        commit_end_failed(txn, status);
    }
    return status;
}

/* Commit of one that expired or failed before: its end. */
static kh_status end_stopped(kh_txn *txn, kh_status status) {
    if (txn_state_of(txn) != TXN_STOPPED) return status;
    if (!handle_wait_busy(txn)) return KH_MISUSE;
    while (txn->cursors != NULL) cursor_orphan(txn->cursors);
    commit_end_failed(txn, txn->stop_status);
    handle_leave(txn);
    return status;
}

static kh_status commit_prepared(kh_txn *txn, bool is_commit, kh_error *error);

static kh_status take_prepared(kh_txn *txn, kh_error *error) {
    if (handle_wait_busy(txn)) return KH_OK;
    return status_fail(error, KH_MISUSE, "another thread is in this transaction");
}

/* The handle of a detached one is ours from here on: the pipeline must not give it back meanwhile.
 */
static bool take_over(kh_txn *txn, uint64_t id_low, bool *was_detached) {
    latch_take(&txn->db->section);
    bool is_it = txn_state_of(txn) == TXN_PREPARED && handle_peek_id(txn) == id_low;
    if (is_it) {
        *was_detached = txn->is_detached;
        txn->is_detached = false;
    }
    latch_leave(&txn->db->section);
    return is_it;
}

static void give_back(kh_txn *txn) {
    latch_take(&txn->db->section);
    bool is_over = txn_state_of(txn) == TXN_ENDED && !txn->is_lost;
    if (!is_over) txn->is_detached = true;
    latch_leave(&txn->db->section);
    if (is_over) handle_release(txn);
}

static kh_status decide_own(kh_txn *txn, uint64_t id_low, bool is_commit, kh_timestamp *timestamp,
                            kh_error *error) {
    kh_status status = take_prepared(txn, error);
    if (status != KH_OK) return status;
    bool was_detached = false;
    if (!take_over(txn, id_low, &was_detached)) {
        handle_leave(txn);
        return status_fail(error, KH_NOT_FOUND, "the transaction is decided already");
    }
    status = commit_prepared(txn, is_commit, error);
    if (status == KH_OK) status = commit_await(txn);
    if (!is_commit && status == KH_OK) {
        txn_count(&txn->counters.rollbacks, 1);
        stage_discard(txn);
    }
    if (is_commit) status = finish_commit(txn, status, timestamp, error);
    handle_leave(txn);
    if (was_detached) give_back(txn);
    return status;
}

static kh_status refuse_cursor(kh_txn *txn, kh_error *error) {
    kh_status status = status_fail(error, KH_IN_USE, "a cursor of the transaction is open");
    handle_leave(txn);
    return status;
}

kh_status kh_txn_commit(kh_txn *txn, kh_timestamp *timestamp, kh_error *error) {
    kh_assert(txn != NULL && "the transaction is NULL");
    if (KH_UNLIKELY(txn_state_of(txn) == TXN_PREPARED))
        return decide_own(txn, txn->id.low, true, timestamp, error);
    kh_status status = handle_enter(txn, error);
    if (KH_UNLIKELY(status != KH_OK)) return end_stopped(txn, status);
    if (KH_UNLIKELY(txn->cursors != NULL)) return refuse_cursor(txn, error);
    status = txn->writes.live_count == 0 ? commit_reads(txn, timestamp, error)
                                         : commit_writes(txn, timestamp, error);
    handle_leave(txn);
    return status;
}

/* ---- start, poll, wait ----------------------------------------------------------------------- */

kh_status kh_txn_commit_start(kh_txn *txn, kh_error *error) {
    kh_status status = handle_enter(txn, error);
    if (status != KH_OK) return end_stopped(txn, status);
    if (txn->cursors != NULL) return refuse_cursor(txn, error);
    txn->is_started = true;
    if (txn->writes.live_count == 0) {
        status = commit_read_only(txn, error);
        if (status == KH_OK) {
            end_read_only(txn, NULL);
            atomic_store_explicit(&txn->outcome, (uint32_t)KH_OK + 1, memory_order_release);
        }
    } else {
        status = commit_submit(txn, RECORD_COMMIT, error);
    }
    if (status != KH_OK) {
        commit_end_failed(txn, status);
        atomic_store_explicit(&txn->outcome, (uint32_t)status + 1, memory_order_release);
    }
    handle_leave(txn);
    return status;
}

static kh_status answer_started(kh_txn *txn, kh_timestamp *timestamp) {
    uint32_t outcome = atomic_load_explicit(&txn->outcome, memory_order_acquire);
    if (outcome == 0) return KH_PENDING;
    kh_status status = (kh_status)(outcome - 1);
    if (status == KH_OK && timestamp != NULL) *timestamp = txn->committed;
    if (status == KH_OK && txn->writes.live_count > 0 && !txn->is_counted) {
        txn->is_counted = true;
        (void)finish_commit(txn, status, NULL, NULL);
    }
    return status;
}

kh_status kh_txn_poll(kh_txn *txn, kh_timestamp *timestamp) {
    if (db_is_forked(txn->db)) return KH_FORKED;
    if (!txn->is_started) return KH_MISUSE;
    return answer_started(txn, timestamp);
}

kh_status kh_txn_wait(kh_txn *txn, uint32_t timeout_ms, kh_timestamp *timestamp) {
    if (db_is_forked(txn->db)) return KH_FORKED;
    if (!txn->is_started) return KH_MISUSE;
    struct env_clock system = env_clock_system();
    uint64_t deadline_ns = 0;
    if (timeout_ms != UINT32_MAX)
        deadline_ns = env_monotonic_ns(&system) + (uint64_t)timeout_ms * 1000000u + 1;
    if (timeout_ms != 0) (void)pipeline_wait(txn, deadline_ns);
    return answer_started(txn, timestamp);
}

int kh_txn_descriptor(kh_txn *txn) {
    struct kh_db *db = txn->db;
    if (!txn->is_started || db_is_forked(db)) return -1;
    latch_take(&db->section);
    if (txn->descriptor < 0) {
        txn->descriptor = env_event_open();
        if (txn->descriptor >= 0 && atomic_load_explicit(&txn->outcome, memory_order_acquire) != 0)
            env_event_signal(txn->descriptor);
    }
    latch_leave(&db->section);
    return txn->descriptor;
}

/* ---- prepare and decide ---------------------------------------------------------------------- */

kh_status kh_txn_prepare(kh_txn *txn, kh_error *error) {
    kh_status status = handle_enter(txn, error);
    if (status != KH_OK) return end_stopped(txn, status);
    if (txn->cursors != NULL) return refuse_cursor(txn, error);
    if (txn->db->flags & KH_OPEN_READ_ONLY)
        return handle_answer(txn,
                             status_fail(error, KH_READ_ONLY, "the database is open read-only"));
    status = commit_submit(txn, RECORD_PREPARE, error);
    if (status == KH_OK) {
        status = commit_await(txn);
        if (status != KH_OK) (void)finish_commit(txn, status, NULL, error);
    } else {
        commit_end_failed(txn, status);
    }
    handle_leave(txn);
    return status;
}

/* Append the decision. The holds go with it: what comes later in the log may meet the keys again.
 */
static kh_status commit_prepared(kh_txn *txn, bool is_commit, kh_error *error) {
    struct kh_db *db = txn->db;
    struct reclaimer who = {&txn->epoch, txn->cache};
    epoch_open(&db->store.epoch, &txn->epoch);
    latch_take(&db->section);
    kh_status status = KH_OK;
    if (txn_state_of(txn) != TXN_PREPARED)
        status = status_fail(error, KH_NOT_FOUND, "the transaction is decided already");
    if (status == KH_OK)
        status = reclaim_reserve(&db->store, txn->writes.live_count + db->pipeline.notes_reserved,
                                 error);
    if (status == KH_OK) {
        txn->committed = is_commit ? section_next_timestamp(db) : 0;
        txn->verdict.pi = txn->verdict.phi = txn->committed;
        status =
            pipeline_append(txn, is_commit ? RECORD_DECIDE_COMMIT : RECORD_DECIDE_ABORT, error);
    }
    if (status == KH_OK) {
        prepared_forget(txn);
        if (is_commit) {
            apply_install(txn);
            if (txn->semantic != NULL) semantic_note(txn);
        } else {
            pipeline_note_empty(txn); /* now: without the holds the entries may go any time */
        }
        pipeline_settle(db, &who);
    }
    bool has_deferred = section_has_deferred(db);
    latch_leave(&db->section);
    epoch_close(&db->store.epoch, &txn->epoch);
    if (has_deferred) section_release_deferred(db);
    return status;
}

kh_status kh_db_decide(kh_db *db, kh_txn_id id, bool is_commit, kh_timestamp *timestamp,
                       kh_error *error) {
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    if (db->flags & KH_OPEN_READ_ONLY)
        return status_fail(error, KH_READ_ONLY, "the database is open read-only");
    latch_take(&db->section);
    kh_txn *txn = prepared_find(db, id);
    latch_leave(&db->section);
    if (txn == NULL) return status_fail(error, KH_NOT_FOUND, "no prepared transaction has that id");
    return decide_own(txn, id.low, is_commit, timestamp, error);
}

/* ---- rollback and close ---------------------------------------------------------------------- */

static void undo(kh_txn *txn) {
    while (txn->cursors != NULL) cursor_orphan(txn->cursors);
    txn_count(&txn->counters.rollbacks, 1);
    stage_discard(txn);
    if (txn->id.low != 0) section_note_outcome(txn->db, txn->id, OUTCOME_ABORTED_MARK);
    locking_end(txn);
    snapshot_drop(txn->line);
    txn->stop_status = KH_OK;
    txn_set_state(txn, TXN_ENDED);
}

kh_status kh_txn_rollback(kh_txn *txn) {
    kh_assert(txn != NULL && "the transaction is NULL");
    if (db_is_forked(txn->db)) return KH_FORKED;
    if (txn_state_of(txn) == TXN_PREPARED) return decide_own(txn, txn->id.low, false, NULL, NULL);
    if (!handle_wait_busy(txn)) return KH_MISUSE;
    enum txn_state state = txn_state_of(txn);
    if (state == TXN_ACTIVE && txn_move_state(txn, TXN_ACTIVE, TXN_COMMITTING)) {
        undo(txn);
    } else if (txn_state_of(txn) == TXN_STOPPED) {
        while (txn->cursors != NULL) cursor_orphan(txn->cursors);
        commit_end_failed(txn, txn->stop_status);
    }
    handle_leave(txn);
    return KH_OK;
}

/* Not ended, lost, or in a forked child. */
__attribute__((noinline)) static void close_any(kh_txn *txn) {
    struct kh_db *db = txn->db;
    if (db_is_forked(db)) return;
    enum txn_state state = txn_state_of(txn);
    if (state == TXN_ACTIVE || state == TXN_STOPPED) {
        kh_status status = kh_txn_rollback(txn);
        kh_assert(status != KH_MISUSE && "kh_txn_close: another thread is in the transaction");
        state = txn_state_of(txn);
    }
    if (state == TXN_IN_FLIGHT || state == TXN_PREPARED) {
        latch_take(&db->section);
        state = txn_state_of(txn);
        if (state != TXN_ENDED) txn->is_detached = true;
        latch_leave(&db->section);
        if (state != TXN_ENDED) return;
    }
    if (txn->is_lost) {
        txn->is_detached = true;
        return;
    }
    kh_assert(state == TXN_ENDED && "kh_txn_close: this transaction is closed already");
    handle_release(txn);
}

void kh_txn_close(kh_txn *txn) {
    if (txn == NULL) return;
    if (KH_UNLIKELY(txn_state_of(txn) != TXN_ENDED || txn->is_lost || db_is_forked(txn->db))) {
        close_any(txn);
    } else {
        handle_release(txn);
    }
}

/* ---- what happened --------------------------------------------------------------------------- */

kh_status kh_txn_conflict(const kh_txn *txn, kh_conflict *out) {
    size_t size_bytes = out->size;
    if (size_bytes < sizeof size_bytes || size_bytes > sizeof *out) return KH_INVALID;
    if (!txn->has_conflict) return KH_NOT_FOUND;
    memcpy(out, &txn->conflict, size_bytes);
    out->size = size_bytes;
    return KH_OK;
}

kh_status kh_txn_resolved(const kh_txn *txn, size_t index, kh_resolved *out) {
    if (txn->stop_status != KH_OK || txn->committed == 0) return KH_NOT_FOUND;
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct write *write = &txn->writes.writes[i];
        if (write->kind == WRITE_NONE || write->fate == FATE_PLAIN) continue;
        if (index-- > 0) continue;
        *out = (kh_resolved){
            .key = write->key,
            .fate = write->fate == FATE_DROPPED ? KH_WRITE_DROPPED : KH_WRITE_RESOLVED,
            .policy = write->kind == WRITE_ROWS          ? KH_DEFAULT_POLICY
                      : write->policy == POLICY_SEMANTIC ? KH_MERGE
                                                         : (kh_policy)write->policy,
            .rival = write->rival};
        return KH_OK;
    }
    return KH_NOT_FOUND;
}
