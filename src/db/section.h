/* section.h - the commit section's shared business: waiting in it, horizons, reclamation, waking.
 */
#ifndef KHONSU_DB_SECTION_H
#define KHONSU_DB_SECTION_H

#include "db/db.h"

/* Records are certified and not yet published. */
static inline bool section_has_in_flight(const struct kh_db *db) {
    return atomic_load_explicit(&db->pipeline.is_busy, memory_order_acquire) != 0;
}

/* The next commit timestamp: max(last + 1, wall clock). In the section. */
static inline uint64_t section_next_timestamp(struct kh_db *db) {
    uint64_t wall_ms = env_wall_ms(&db->clock);
    if (KH_LIKELY(wall_ms > db->wall_ms)) db->wall_ms = wall_ms;
    uint64_t physical = KH_TIMESTAMP_OF_MS(db->wall_ms);
    uint64_t next = db->store.clock + 1;
    return physical > next ? physical : next;
}
/* The S of the certification rules: the oldest open serializable snapshot, at most what is
 * published. In the section. */
uint64_t section_oldest_serializable(struct kh_db *db, const struct snapshot_line *except);
/* Retention: versions superseded at or before this may go. In the section. */
uint64_t section_retention_bound(struct kh_db *db);
/* Look at up to count queued entries; drop kept ranges when there are many. In the section, with an
 * open epoch section of who. */
void section_reclaim(struct kh_db *db, const struct reclaimer *who, size_t count);
/* Wait for progress with the section held; deadline in db_tick milliseconds (UINT64_MAX: none).
 * False: the deadline passed, or there are no threads that could bring progress. */
bool section_wait(struct kh_db *db, uint64_t deadline_ms);
/* Wake all who wait for progress. In the section. */
static inline void section_progress(struct kh_db *db) {
    if (KH_UNLIKELY(db->waiters > 0)) latch_wake_all(&db->section, &db->progress);
}
/* Of a moment beyond what is published: until it is the past, so that nothing can commit at or
 * below it any more. KH_INVALID: its time has not come; KH_BUSY: what was being committed then is
 * not durable within the database's timeout; KH_POISONED. Not in the section. */
kh_status section_reach(struct kh_db *db, uint64_t moment, kh_error *error);
/* Wait for a safe snapshot for a deferrable transaction. KH_BUSY: timeout. */
kh_status section_wait_safe(kh_txn *txn, uint32_t timeout_ms, kh_error *error);
/* A serializable writer committed with phi: waiting deferrable transactions at or above it must
 * take a newer snapshot. In the section. */
static inline void section_note_phi(struct kh_db *db, uint64_t phi) {
    for (struct safe_waiter *waiter = db->safe_waiters; waiter != NULL; waiter = waiter->next)
        if (phi <= waiter->snapshot) waiter->is_unsafe = true;
}
/* The janitor sleeps: wake it, and bring the tick up to date. */
void section_wake_janitor(struct kh_db *db);
/* Give the message hook a line, if there is one. Outside of locks. */
__attribute__((cold, format(printf, 3, 4))) void section_say(struct kh_db *db, kh_log_level level,
                                                             const char *format, ...);
/* Who is to be woken: taken in the section, woken outside of it. */
static inline kh_txn *section_take_to_wake(struct kh_db *db) {
    kh_txn *first = db->to_wake;
    db->to_wake = NULL;
    return first;
}
void section_wake(kh_txn *first);
static inline bool section_has_deferred(const struct kh_db *db) {
    return db->deferred != NULL || db->to_wake != NULL;
}
/* Put a detached, ended handle aside, in the section; give those put aside back, and wake who
 * is to be woken, outside of it. */
void section_defer_release(struct kh_db *db, kh_txn *txn);
void section_release_deferred(struct kh_db *db);
/* Note the outcome of a transaction with an id. Any thread. */
static inline void section_note_outcome(struct kh_db *db, kh_txn_id id, uint64_t result) {
    struct outcome_slot *slot = &db->outcomes[id.low & db->outcome_mask];
    atomic_store_explicit(&slot->low, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->result, result, memory_order_release);
    atomic_store_explicit(&slot->low, id.low, memory_order_release);
}

#endif
