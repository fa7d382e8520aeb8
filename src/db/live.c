/* live.c - who is there: the list of open transactions, cancelling one, outcomes by id. */
#include "db/handle.h"
#include "db/janitor.h"
#include "db/outcome.h"
#include "db/prepared.h"
#include "db/section.h"

#include <string.h>

static bool is_live(enum txn_state state) {
    return state == TXN_ACTIVE || state == TXN_COMMITTING || state == TXN_IN_FLIGHT ||
           state == TXN_PREPARED || state == TXN_STOPPED;
}

/* The handle's busy mark is taken for the copy, so that it cannot change or go meanwhile. While a
 * call runs in it only what never changes during a use is looked at. */
static bool describe(kh_txn *txn, kh_live_txn *out, char *tag) {
    struct kh_db *db = txn->db;
    uint32_t busy = BUSY_FREE;
    bool is_taken = atomic_compare_exchange_strong_explicit(
        &txn->busy, &busy, BUSY_JANITOR, memory_order_acquire, memory_order_relaxed);
    if (!is_taken) return false;
    enum txn_state state = txn_state_of(txn);
    bool is_found = is_live(state);
    if (is_found) {
        uint64_t tick = db_tick(db);
        *out = (kh_live_txn){.id = handle_id(txn),
                             .isolation = (kh_isolation)txn->isolation,
                             .is_read_only = txn->is_read_only,
                             .is_prepared = state == TXN_PREPARED,
                             .age_ms = tick > txn_begin_tick(txn) ? tick - txn_begin_tick(txn) : 0,
                             .snapshot = txn->snapshot,
                             .read_count = txn->reads.item_count + txn->reads.range_count,
                             .write_count = txn->writes.live_count,
                             .tag = tag};
        tag[0] = '\0';
        if (txn->tag != NULL) memcpy(tag, txn->tag, txn->tag_bytes + 1u);
    }
    atomic_store_explicit(&txn->busy, BUSY_FREE, memory_order_release);
    return is_found;
}

/* A call is running in it: wait for it, but not for ever (a commit may wait for a log). */
static bool describe_patiently(kh_txn *txn, kh_live_txn *out, char *tag) {
    enum { PATIENCE = 1000 };
    for (int i = 0; i < PATIENCE; i++) {
        if (!is_live(txn_state_of(txn))) return false;
        if (describe(txn, out, tag)) return true;
        env_yield();
    }
    return false;
}

kh_status kh_db_live(kh_db *db, kh_live_fn *visit, void *context, kh_error *error) {
    kh_assert(db != NULL && visit != NULL && "kh_db_live: db or visit is NULL");
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    uint32_t count = atomic_load_explicit(&db->handle_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        kh_live_txn live;
        char tag[LIMIT_TAG_BYTES + 1];
        if (!describe_patiently(db->handles[i], &live, tag)) continue;
        if (!visit(context, &live)) break;
    }
    return KH_OK;
}

/* Stopped by its state alone when a call runs in it: the call finds out at its next look, a wait in
 * the section or for a lock is woken. */
static kh_status cancel(kh_txn *txn, uint64_t serial, kh_txn_id id, kh_error *error) {
    struct kh_db *db = txn->db;
    for (;;) {
        uint64_t word = atomic_load_explicit(&txn->state, memory_order_acquire);
        if (word >> STATE_BITS != serial) break;
        enum txn_state state = (enum txn_state)(word & STATE_MASK);
        if (state == TXN_PREPARED)
            return status_fail(error, KH_IN_USE, "a prepared transaction waits for its decision");
        if (state != TXN_ACTIVE) break;
        if (janitor_revoke(txn, serial, KH_CANCELLED)) return KH_OK;
        if (locks_interrupt(&db->locks, &txn->owner, id)) return KH_OK;
        latch_take(&db->section);
        section_progress(db);
        latch_leave(&db->section);
        env_yield();
    }
    return status_fail(error, KH_NOT_FOUND, "no live transaction has that id");
}

static bool has_id(kh_txn *txn, kh_txn_id id) {
    uint64_t low = handle_peek_id(txn);
    return low == id.low && txn->db->id_high == id.high;
}

static kh_txn *find(struct kh_db *db, kh_txn_id id) {
    uint32_t count = atomic_load_explicit(&db->handle_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        kh_txn *txn = db->handles[i];
        if (is_live(txn_state_of(txn)) && has_id(txn, id)) return txn;
    }
    return NULL;
}

kh_status kh_db_cancel(kh_db *db, kh_txn_id id, kh_error *error) {
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    kh_txn *txn = find(db, id);
    if (txn == NULL || id.low == 0)
        return status_fail(error, KH_NOT_FOUND, "no live transaction has that id");
    uint64_t word = atomic_load_explicit(&txn->state, memory_order_acquire);
    if (!has_id(txn, id))
        return status_fail(error, KH_NOT_FOUND, "no live transaction has that id");
    return cancel(txn, word >> STATE_BITS, id, error);
}

static bool look_up(const struct kh_db *db, kh_txn_id id, uint64_t *result) {
    struct outcome_slot *slot = &db->outcomes[id.low & db->outcome_mask];
    if (atomic_load_explicit(&slot->low, memory_order_acquire) != id.low) return false;
    *result = atomic_load_explicit(&slot->result, memory_order_acquire);
    return atomic_load_explicit(&slot->low, memory_order_acquire) == id.low;
}

static uint64_t next_id(const struct kh_db *db) {
    return atomic_load_explicit(&db->next_id, memory_order_relaxed);
}

kh_status kh_db_outcome(kh_db *db, kh_txn_id id, kh_outcome *out, kh_timestamp *timestamp,
                        kh_error *error) {
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    kh_timestamp committed = 0;
    uint64_t result = 0;
    kh_txn *txn = id.low == 0 ? NULL : find(db, id);
    if (txn != NULL) {
        *out = txn_state_of(txn) == TXN_PREPARED ? KH_OUTCOME_PREPARED : KH_OUTCOME_ACTIVE;
    } else if (id.low != 0 && id.high == db->id_high && look_up(db, id, &result)) {
        bool is_aborted = result == OUTCOME_ABORTED_MARK;
        *out = is_aborted ? KH_OUTCOME_ABORTED : KH_OUTCOME_COMMITTED;
        committed = is_aborted ? 0 : result;
    } else if (db->upkeep != NULL && id.low != 0 && id.low < next_id(db)) {
        kh_status status = outcome_find_kept(db, id, out, &committed, error);
        if (status != KH_OK) return status;
    } else {
        return status_fail(error, KH_NOT_FOUND, "no transaction of that id is remembered");
    }
    if (timestamp != NULL) *timestamp = committed;
    return KH_OK;
}
