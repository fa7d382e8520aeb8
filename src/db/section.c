/* section.c - see section.h. */
#include "db/section.h"

#include "base/status.h"
#include "db/handle.h"
#include "db/pipeline.h"
#include <stdarg.h>
#include <stdio.h>

uint64_t section_oldest_serializable(struct kh_db *db, const struct snapshot_line *except) {
    uint64_t oldest = snapshot_oldest_serializable(&db->store.snapshots, except);
    uint64_t visible = atomic_load_explicit(&db->store.visible, memory_order_relaxed);
    return oldest < visible ? oldest : visible;
}

uint64_t section_retention_bound(struct kh_db *db) {
    if (db->store.retention_ms == 0 && db->store.retention_bytes == 0) return UINT64_MAX;
    uint64_t bound = 0;
    if (db->store.retention_ms != 0) {
        uint64_t wall_ms = env_wall_ms(&db->clock);
        if (wall_ms > db->wall_ms) db->wall_ms = wall_ms;
        if (db->wall_ms > db->store.retention_ms)
            bound = KH_TIMESTAMP_OF_MS(db->wall_ms - db->store.retention_ms);
    }
    uint64_t kept = atomic_load_explicit(&db->store.superseded_bytes, memory_order_relaxed);
    if (db->store.retention_bytes != 0 && kept > db->store.retention_bytes) {
        /* Halfway from the horizon to now: repeated passes close in on the budget. */
        uint64_t horizon = atomic_load_explicit(&db->store.horizon, memory_order_relaxed);
        uint64_t visible = atomic_load_explicit(&db->store.visible, memory_order_relaxed);
        uint64_t halfway = horizon + (visible - horizon) / 2 + 1;
        if (halfway > bound) bound = halfway;
    }
    return bound;
}

void section_reclaim(struct kh_db *db, const struct reclaimer *who, size_t count) {
    uint64_t oldest = section_oldest_serializable(db, NULL);
    if (db->ranges.count > 0) ranges_drop(&db->ranges, who->cache, oldest);
    struct tombstone_rule rule = {oldest, ranges_has_older, &db->ranges};
    (void)reclaim_some(&db->store, who, section_retention_bound(db), &rule, count);
}

bool section_wait(struct kh_db *db, uint64_t deadline_ms) {
    if (db->flags & KH_OPEN_NO_THREADS) {
        /* Only a log with threads of its own can bring progress then. */
        if (db->pipeline.log == NULL || db->pipeline.count == 0) return false;
    }
    uint64_t tick = db_tick(db);
    if (deadline_ms != UINT64_MAX && tick > deadline_ms) return false;
    db->waiters++;
    uint64_t deadline_ns = 0;
    if (deadline_ms != UINT64_MAX) {
        struct env_clock system = env_clock_system();
        uint64_t left_ms = deadline_ms + TICK_MS - tick;
        deadline_ns = env_monotonic_ns(&system) + left_ms * 1000000u;
    }
    (void)latch_wait(&db->section, &db->progress, deadline_ns);
    db->waiters--;
    return true;
}

/* The newest commit at or below a moment that has its timestamp and is not published; 0: none. */
static uint64_t newest_in_flight(const struct kh_db *db, uint64_t moment) {
    uint64_t newest = 0;
    for (const kh_txn *txn = db->pipeline.first; txn != NULL; txn = txn->next_in_flight)
        if (txn->committed <= moment && txn->committed > newest) newest = txn->committed;
    return newest;
}

/* In the section. */
static kh_status await_published(struct kh_db *db, uint64_t commit, kh_error *error) {
    uint64_t deadline_ms = db_tick(db) + db->timeout_ms;
    while (commit > db_visible(db)) {
        if (db->pipeline.poison != KH_OK) return pipeline_refuse(error);
        pipeline_ask(db);
        if (commit <= db_visible(db) || db->pipeline.poison != KH_OK) continue;
        if (!section_wait(db, deadline_ms))
            return status_fail(error, KH_BUSY, "a commit of that time is not durable yet");
    }
    return KH_OK;
}

kh_status section_reach(struct kh_db *db, uint64_t moment, kh_error *error) {
    if (moment > KH_TIMESTAMP_OF_MS(env_wall_ms(&db->clock)))
        return status_fail(error, KH_INVALID, "that timestamp is in the future");
    if (db->flags & KH_OPEN_READ_ONLY)
        return status_fail(error, KH_INVALID, "that is later than what this opening has seen");
    latch_take(&db->section);
    /* Whoever takes a timestamp from here on takes a later one. */
    if (db->store.clock < moment) db->store.clock = moment;
    kh_status status = await_published(db, newest_in_flight(db, moment), error);
    latch_leave(&db->section);
    return status;
}

static void unlink_waiter(struct kh_db *db, struct safe_waiter *waiter) {
    struct safe_waiter **link = &db->safe_waiters;
    while (*link != waiter) link = &(*link)->next;
    *link = waiter->next;
}

static bool is_safe(const struct kh_db *db, const kh_txn *txn) {
    uint64_t oldest = snapshot_oldest_serializable(&db->store.snapshots, txn->line);
    return oldest >= txn->snapshot;
}

/* Something certified and unpublished is unsafe for a snapshot that its phi is at or below. */
static bool has_unsafe_in_flight(const struct kh_db *db, uint64_t snapshot) {
    for (const kh_txn *txn = db->pipeline.first; txn != NULL; txn = txn->next_in_flight)
        if (txn->verdict.phi <= snapshot) return true;
    return false;
}

kh_status section_wait_safe(kh_txn *txn, uint32_t timeout_ms, kh_error *error) {
    struct kh_db *db = txn->db;
    uint64_t deadline_ms = timeout_ms == 0 ? UINT64_MAX : db_tick(db) + timeout_ms;
    kh_status status = KH_OK;
    /* Not a writer: others need not wait for it. */
    atomic_store_explicit(&txn->line->slots[SLOT_SERIALIZABLE], SNAPSHOT_NONE,
                          memory_order_release);
    struct safe_waiter waiter = {NULL, txn->snapshot, false};
    latch_take(&db->section);
    waiter.is_unsafe = true;
    waiter.next = db->safe_waiters;
    db->safe_waiters = &waiter;
    for (;;) {
        if (waiter.is_unsafe) {
            txn->snapshot = snapshot_take(txn->line, &db->store.visible, SLOT_READ);
            txn->birth = txn->snapshot;
            waiter.snapshot = txn->snapshot;
            waiter.is_unsafe = has_unsafe_in_flight(db, txn->snapshot);
        }
        if (!waiter.is_unsafe && is_safe(db, txn)) break;
        /* Without threads nobody else ends the writers that it waits for. */
        if ((db->flags & KH_OPEN_NO_THREADS) || !section_wait(db, deadline_ms)) {
            status = status_fail(error, KH_BUSY, "no safe snapshot within the timeout");
            break;
        }
    }
    unlink_waiter(db, &waiter);
    latch_leave(&db->section);
    return status;
}

void section_wake_janitor(struct kh_db *db) {
    if (db->flags & KH_OPEN_NO_THREADS) return;
    lock_take(&db->janitor_lock);
    uint64_t now_ms = env_monotonic_ns(&db->clock) / 1000000u;
    atomic_store_explicit(&db->tick_ms, now_ms, memory_order_relaxed);
    atomic_store_explicit(&db->is_janitor_idle, 0, memory_order_release);
    signal_wake_all(&db->janitor_wake);
    lock_leave(&db->janitor_lock);
}

/* Newest first in the list; whoever is woken may give its handle back at once. */
void section_wake(kh_txn *first) {
    while (first != NULL) {
        kh_txn *txn = first;
        first = txn->next_to_wake;
        atomic_store_explicit(&txn->gate, GATE_OPEN, memory_order_release);
        env_word_wake(&txn->gate);
    }
}

void section_defer_release(struct kh_db *db, kh_txn *txn) {
    txn->next_in_flight = db->deferred;
    db->deferred = txn;
}

void section_release_deferred(struct kh_db *db) {
    latch_take(&db->section);
    kh_txn *txn = db->deferred;
    db->deferred = NULL;
    kh_txn *to_wake = section_take_to_wake(db);
    latch_leave(&db->section);
    section_wake(to_wake);
    while (txn != NULL) {
        kh_txn *next = txn->next_in_flight;
        handle_release(txn);
        txn = next;
    }
}

void section_say(struct kh_db *db, kh_log_level level, const char *format, ...) {
    if (db->message == NULL) return;
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    db->message(db->message_context, level, line);
}
