/* janitor.c - see janitor.h.
 *
 * Revoking: the handle's busy mark is taken first, so that no call runs in it; its state moves from
 * active to stopped; values that the program may still look at (borrowed views) get references;
 * then the slots are emptied and history can go. If a reference cannot be had, the snapshot stays
 * for another round: late is better than unsafe. */
#include "db/janitor.h"

#include "base/status.h"
#include "db/cursor.h"
#include "db/durable.h"
#include "db/evict.h"
#include "db/locking.h"
#include "db/section.h"
#include "db/upkeep.h"

static kh_status pin_one(kh_txn *txn, const kh_batch *batch) {
    return batch == NULL ? KH_OK : read_hold(txn, batch_retain(batch), NULL);
}

/* What peek may have lent: every value in the read set (all tracked reads), and the cursors'
 * current ones. */
static kh_status pin_views(kh_txn *txn) {
    for (uint32_t i = 0; i < txn->reads.item_count; i++) {
        const struct version *version = entry_visible(txn->reads.items[i].entry, txn->snapshot);
        if (version == NULL || version_is_cold(version)) continue; /* a fetched one is held */
        kh_status status = pin_one(txn, version_batch(version));
        if (status != KH_OK) return status;
    }
    for (struct kh_cursor *cursor = txn->cursors; cursor != NULL; cursor = cursor->next) {
        kh_status status = pin_one(txn, cursor->current_value);
        if (status != KH_OK) return status;
    }
    return KH_OK;
}

/* Where reads are not tracked one by one, nobody knows which views are lent: the snapshot itself
 * keeps them until the transaction is ended. Nothing but reclamation waits for it. */
static void drop_slots(kh_txn *txn) {
    /* A cursor lends keys, too, which lie in the entries. */
    bool is_known = txn->is_tracking && txn->reads.widen_count == 0 && txn->cursors == NULL;
    if (is_known) {
        snapshot_drop(txn->line);
        return;
    }
    atomic_store_explicit(&txn->line->slots[SLOT_SERIALIZABLE], SNAPSHOT_NONE,
                          memory_order_release);
}

bool janitor_revoke(kh_txn *txn, uint64_t serial, kh_status status) {
    struct kh_db *db = txn->db;
    uint32_t busy = BUSY_FREE;
    if (!atomic_compare_exchange_strong_explicit(&txn->busy, &busy, BUSY_JANITOR,
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    bool is_done = false;
    uint64_t word = atomic_load_explicit(&txn->state, memory_order_relaxed);
    if (word == (serial << STATE_BITS | TXN_ACTIVE)) {
        epoch_open(&db->store.epoch, &txn->epoch);
        if (pin_views(txn) == KH_OK) {
            txn->stop_status = status;
            is_done = txn_move_state(txn, TXN_ACTIVE, TXN_STOPPED);
        }
        epoch_close(&db->store.epoch, &txn->epoch);
        if (is_done) drop_slots(txn);
        if (is_done) locking_end(txn);
    }
    atomic_store_explicit(&txn->busy, BUSY_FREE, memory_order_release);
    return is_done;
}

/* The deadline is written before the state becomes active; a handle that moves on meanwhile has
 * another serial number and is left alone. */
static void expire(struct kh_db *db, uint64_t now_ms, bool *has_active) {
    uint32_t count = atomic_load_explicit(&db->handle_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        kh_txn *txn = db->handles[i];
        uint64_t word = atomic_load_explicit(&txn->state, memory_order_acquire);
        if ((word & STATE_MASK) != TXN_IDLE) *has_active = true;
        if ((word & STATE_MASK) != TXN_ACTIVE) continue;
        uint64_t deadline_ms = txn_deadline(txn);
        if (now_ms <= deadline_ms) continue;
        uint64_t id = handle_peek_id(txn);
        if (janitor_revoke(txn, word >> STATE_BITS, KH_EXPIRED))
            section_say(db, KH_LOG_WARNING, "transaction %llu is past its timeout and was stopped",
                        (unsigned long long)id);
    }
}

static void set_tick(struct kh_db *db, uint64_t now_ms) {
    bool is_kept = (db->flags & KH_OPEN_NO_THREADS) == 0;
    atomic_store_explicit(&db->tick_ms, is_kept ? now_ms : UINT64_MAX, memory_order_relaxed);
}

static bool round_of(struct kh_db *db, size_t count) {
    uint64_t now_ms = env_monotonic_ns(&db->clock) / 1000000u;
    atomic_store_explicit(&db->tick_ms, now_ms, memory_order_relaxed);
    bool has_work = false;
    expire(db, now_ms, &has_work);
    struct reclaimer who = {&db->janitor_epoch, db->janitor_cache};
    epoch_open(&db->store.epoch, who.record);
    latch_take(&db->section);
    section_reclaim(db, &who, count);
    epoch_adopt(who.record, &db->log_epoch);
    if (db->store.queue.count > 0 || db->waiters > 0) has_work = true;
    section_progress(db);
    latch_leave(&db->section);
    epoch_close(&db->store.epoch, who.record);
    if (evict_some(db, &who)) has_work = true;
    if (epoch_poll(&db->store.epoch, who.record, who.cache)) has_work = true;
    section_release_deferred(db);
    return has_work;
}

static void sleep_until_work(struct kh_db *db, bool has_work) {
    lock_take(&db->janitor_lock);
    if (!has_work) {
        /* Whoever begins after this store wakes us; who began before is seen by another look. */
        atomic_store_explicit(&db->is_janitor_idle, 1, memory_order_seq_cst);
        bool has_active = false;
        expire(db, 0, &has_active);
        if (has_active) atomic_store_explicit(&db->is_janitor_idle, 0, memory_order_relaxed);
    }
    struct env_clock system = env_clock_system();
    bool is_idle = atomic_load_explicit(&db->is_janitor_idle, memory_order_relaxed) != 0;
    uint64_t deadline_ns = is_idle ? 0 : env_monotonic_ns(&system) + TICK_MS * 1000000u;
    if (!db->is_closing) (void)signal_wait(&db->janitor_wake, &db->janitor_lock, deadline_ns);
    lock_leave(&db->janitor_lock);
}

static void run(void *context) {
    struct kh_db *db = context;
    enum { LOOKS = 4096, IDLE_ROUNDS = 20 };
    unsigned idle_rounds = 0;
    for (;;) {
        lock_take(&db->janitor_lock);
        bool is_closing = db->is_closing;
        lock_leave(&db->janitor_lock);
        if (is_closing) return;
        idle_rounds = round_of(db, LOOKS) ? 0 : idle_rounds + 1;
        sleep_until_work(db, idle_rounds < IDLE_ROUNDS);
    }
}

kh_status janitor_start(struct kh_db *db, kh_error *error) {
    set_tick(db, env_monotonic_ns(&db->clock) / 1000000u);
    if (db->flags & KH_OPEN_NO_THREADS) return KH_OK;
    db->janitor = env_thread_start("khonsu-janitor", run, db);
    if (db->janitor == NULL) return status_fail(error, KH_NO_MEMORY, "no thread can be started");
    return KH_OK;
}

void janitor_stop(struct kh_db *db) {
    if (db->janitor == NULL) return;
    lock_take(&db->janitor_lock);
    db->is_closing = true;
    signal_wake_all(&db->janitor_wake);
    lock_leave(&db->janitor_lock);
    env_thread_join(db->janitor);
    db->janitor = NULL;
}

/* What idle handles have retired and not looked at since. They are out of the pool meanwhile: a
 * producer's release callback that runs here may use the database. */
static void drain_handles(struct kh_db *db) {
    uint32_t count = atomic_load_explicit(&db->handle_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        kh_txn *txn = db->handles[i];
        if (!handle_take_idle(txn)) continue;
        epoch_drain(&db->store.epoch, &txn->epoch, db->step_cache);
        handle_put_back(txn);
    }
}

static void step_once(struct kh_db *db, const struct reclaimer *who) {
    epoch_open(&db->store.epoch, who->record);
    latch_take(&db->section);
    /* Also at what waits for the oldest snapshot: younger ones may have gone. */
    db->store.parked_until = 0;
    section_reclaim(db, who, db->store.queue.count + db->store.parked.count);
    epoch_adopt(who->record, &db->log_epoch);
    section_progress(db);
    latch_leave(&db->section);
    epoch_close(&db->store.epoch, who->record);
    epoch_drain(&db->store.epoch, who->record, who->cache);
}

void kh_db_step(kh_db *db) {
    if (db_is_forked(db)) return;
    /* One at a time; a step from within a step (a release callback) has nothing to add. */
    if (atomic_exchange_explicit(&db->is_stepping, true, memory_order_acquire)) return;
    /* The janitor's record and cache are its thread's: a step has its own. */
    struct reclaimer who = {&db->step_epoch, db->step_cache};
    bool has_active = false;
    uint64_t now_ms = env_monotonic_ns(&db->clock) / 1000000u;
    set_tick(db, now_ms);
    expire(db, now_ms, &has_active);
    durable_step(db);
    upkeep_step(db);
    (void)evict_some(db, &who);
    /* Twice: the first pass may make lone tombstones, and free what pins the second's. */
    step_once(db, &who);
    step_once(db, &who);
    drain_handles(db);
    section_release_deferred(db);
    atomic_store_explicit(&db->is_stepping, false, memory_order_release);
}
