/* locking.c - see locking.h.
 *
 * A lock call: the table first (at once, or waiting); then the section, where what was in flight of
 * the keys is waited for, and the snapshot is moved or compared with the keys. Failures of class
 * RETRY stop the transaction, and its locks go; but KH_LOCK_CONFLICT changes nothing. */
#include "db/locking.h"

#include "db/pipeline.h"
#include "db/prepared.h"
#include "db/section.h"
#include <inttypes.h>
#include <stdio.h>

static const kh_lock_options default_options = KH_LOCK_OPTIONS_INIT;

enum { FEW = 8 }; /* requests that need no memory */

void locking_end_any(kh_txn *txn) {
    txn->has_locks = false;
    locks_end(&txn->db->locks, &txn->owner);
}

static uint64_t tick_ns(const struct kh_db *db) {
    return db_tick(db) * 1000000u;
}

/* ---- what to say ----------------------------------------------------------------------------- */

static void explain(kh_txn *txn, kh_status status, kh_bytes key, uint64_t rival, kh_txn_id holder) {
    key.data = arena_copy(&txn->arena, key.data, key.size_bytes);
    if (key.data == NULL) key.size_bytes = 0;
    txn->has_conflict = true;
    txn->conflict = (kh_conflict){.size = sizeof(kh_conflict),
                                  .status = status,
                                  .key = key,
                                  .snapshot = txn->snapshot,
                                  .rival = rival,
                                  .holder = holder};
    if (key.size_bytes > 0) hot_keys_note(&txn->db->hot_keys, key);
}

static kh_status explain_blocker(kh_txn *txn, const struct lock_blocker *blocker, kh_error *error) {
    explain(txn, KH_LOCK_CONFLICT, blocker->key, 0, blocker->holder);
    return status_fail(error, KH_LOCK_CONFLICT, "transaction %" PRIu64 " has locked the key",
                       blocker->holder.low);
}

/* "deadlock of 2: 12 -> 15 -> 12": each waits for the next. */
static kh_status explain_deadlock(kh_txn *txn, kh_error *error) {
    const struct lock_owner *owner = &txn->owner;
    uint32_t known = owner->cycle_length;
    if (known > LOCKS_CYCLE_IDS) known = LOCKS_CYCLE_IDS;
    explain(txn, KH_DEADLOCK, owner->requests[owner->position].key, 0, owner->cycle[1]);
    if (error == NULL) return KH_DEADLOCK;
    char *text = error->message;
    size_t room = sizeof error->message;
    size_t used = (size_t)snprintf(text, room, "deadlock of %" PRIu32 ": %" PRIu64,
                                   owner->cycle_length, owner->cycle[0].low);
    for (uint32_t i = 1; i < known && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, " -> %" PRIu64, owner->cycle[i].low);
    const char *rest = known < owner->cycle_length ? " -> ..." : "";
    if (used < room)
        (void)snprintf(text + used, room - used, "%s -> %" PRIu64, rest, owner->cycle[0].low);
    return KH_DEADLOCK;
}

static kh_status explain_doom(kh_txn *txn, kh_status status, kh_error *error) {
    switch (status) {
    case KH_DEADLOCK:
        return explain_deadlock(txn, error);
    case KH_EXPIRED:
        return status_fail(error, status, "a lock of the transaction was older than its timeout");
    case KH_NO_MEMORY:
        return status_no_memory(error, sizeof(union lock_node *));
    default:
        return status_fail(error, status, "%s", kh_status_meaning(status));
    }
}

/* ---- asking the table ------------------------------------------------------------------------ */

/* The time of a lock is the transaction's, too: so the door and the janitor see to it. */
static void limit_deadline(kh_txn *txn) {
    uint64_t deadline_ms = db_tick(txn->db) + txn->db->lock_timeout_ms;
    if (deadline_ms < txn_deadline(txn)) txn_set_deadline(txn, deadline_ms);
}

static void enroll(kh_txn *txn) {
    if (txn->has_locks) return;
    int32_t priority = txn->has_priority ? txn->priority : 0;
    locks_enroll(&txn->owner, handle_id(txn), txn_begin_tick(txn), priority);
    txn->locked_count = 0;
    txn->has_locks = txn->is_special = true;
}

/* deadline_ns 0: at once or not at all. */
static kh_status ask(kh_txn *txn, struct lock_request *requests, size_t count, uint64_t deadline_ns,
                     struct lock_blocker *blocker) {
    struct kh_db *db = txn->db;
    enroll(txn);
    kh_status status = locks_try(&db->locks, &txn->owner, requests, count, tick_ns(db), blocker);
    bool does_wait = deadline_ns != 0 && !(db->flags & KH_OPEN_NO_THREADS);
    if (status == KH_LOCK_CONFLICT && does_wait)
        status =
            locks_wait(&db->locks, &txn->owner, requests, count, &db->clock, deadline_ns, blocker);
    if (status == KH_OK && txn->locked_count == 0) limit_deadline(txn);
    if (status == KH_OK) txn->locked_count += count;
    return status;
}

/* It is over once the tick is above the deadline. */
static uint64_t own_deadline_ns(const kh_txn *txn) {
    uint64_t deadline_ms = txn_deadline(txn);
    return deadline_ms > UINT64_MAX / 2000000u ? UINT64_MAX : (deadline_ms + 1) * 1000000u;
}

/* ---- after the grant ------------------------------------------------------------------------- */

static uint64_t newest_of(const struct entry *entry) {
    const struct version *version = entry == NULL ? NULL : entry_head(entry);
    return version == NULL ? 0 : version->commit;
}

static struct entry *entry_of(const kh_txn *txn, const struct lock_request *request) {
    return index_find(txn->db->store.index, request->key, request->hash);
}

static bool is_all_visible(const kh_txn *txn, const struct lock_request *requests, size_t count) {
    uint64_t visible = db_visible(txn->db);
    for (size_t i = 0; i < count; i++)
        if (newest_of(entry_of(txn, &requests[i])) > visible) return false;
    return true;
}

/* Records of these keys that the log has not answered for: their writers were there before the
 * locks. No more of them can come. */
static kh_status await_in_flight(kh_txn *txn, const struct lock_request *requests, size_t count,
                                 kh_error *error) {
    struct kh_db *db = txn->db;
    while (db->pipeline.count > 0 && db->pipeline.poison == KH_OK) {
        if (is_all_visible(txn, requests, count)) break;
        pipeline_ask(db);
        if (is_all_visible(txn, requests, count)) break;
        if (db->pipeline.count > 0 && !section_wait(db, txn_deadline(txn)))
            return status_fail(error, KH_BUSY, "a version of the key waits for the log");
    }
    return KH_OK;
}

static bool has_read(const kh_txn *txn) {
    return txn->reads.item_count > 0 || txn->reads.range_count > 0 || txn->cursors != NULL;
}

static void move_snapshot(kh_txn *txn) {
    struct kh_db *db = txn->db;
    enum snapshot_slot also = SLOT_READ;
    if (txn->isolation == KH_SERIALIZABLE) also = SLOT_SERIALIZABLE;
    if (txn->isolation == KH_READ_COMMITTED) also = SLOT_BASE;
    txn->snapshot = snapshot_take(txn->line, &db->store.visible, also);
    txn->birth = txn->snapshot;
    section_progress(db); /* a deferrable transaction may have waited for the old one to end */
}

/* What it sees, or has seen, of a key is not the newest. */
static kh_status find_changed(kh_txn *txn, const struct lock_request *requests, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = entry_of(txn, &requests[i]);
        uint64_t newest = newest_of(entry);
        uint64_t seen = txn->snapshot;
        if (txn->isolation == KH_READ_COMMITTED) {
            seen = readset_timestamp(&txn->reads, entry, requests[i].key);
            if (seen == 0) continue;
        }
        if (newest <= seen) continue;
        explain(txn, KH_CONFLICT, requests[i].key, newest, (kh_txn_id){0, 0});
        return KH_CONFLICT;
    }
    return KH_OK;
}

/* A prepared one takes no locks of this table for what it holds. */
static kh_status find_held(kh_txn *txn, const struct lock_request *requests, size_t count,
                           kh_error *error) {
    const struct kh_db *db = txn->db;
    if (KH_LIKELY(atomic_load_explicit(&db->prepared_count, memory_order_relaxed) == 0))
        return KH_OK;
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = entry_of(txn, &requests[i]);
        bool is_write = requests[i].mode == KH_LOCK_EXCLUSIVE;
        const kh_txn *holder = prepared_holder(db, entry, requests[i].key, is_write);
        if (holder == NULL) continue;
        explain(txn, KH_HELD, requests[i].key, 0, holder->id);
        return status_fail(error, KH_HELD, "a prepared transaction holds the key");
    }
    return KH_OK;
}

/* The locks are granted. For a commit, what changed is certification's business. */
static kh_status settle(kh_txn *txn, const struct lock_request *requests, size_t count,
                        bool is_commit, kh_error *error) {
    struct kh_db *db = txn->db;
    epoch_open(&db->store.epoch, &txn->epoch);
    latch_take(&db->section);
    kh_status status = await_in_flight(txn, requests, count, error);
    if (status == KH_OK && !is_commit) status = find_held(txn, requests, count, error);
    if (status == KH_OK && !has_read(txn)) {
        move_snapshot(txn);
    } else if (status == KH_OK && !is_commit) {
        status = find_changed(txn, requests, count);
    }
    bool has_deferred = section_has_deferred(db);
    latch_leave(&db->section);
    epoch_close(&db->store.epoch, &txn->epoch);
    if (has_deferred) section_release_deferred(db);
    return status;
}

/* ---- the call -------------------------------------------------------------------------------- */

static kh_status check_call(const kh_txn *txn, const kh_lock *locks, size_t count,
                            const kh_lock_options *options, kh_error *error) {
    if (options->flags & ~(uint32_t)KH_LOCK_TRY)
        return status_fail(error, KH_INVALID, "unknown flags 0x%x", options->flags);
    if (txn->is_read_only)
        return status_fail(error, KH_READ_ONLY, "a read-only transaction takes no locks");
    uint64_t locked_count = txn->has_locks ? txn->locked_count : 0;
    if (count > LIMIT_TXN_LOCKS || locked_count + count > LIMIT_TXN_LOCKS)
        return status_fail(error, KH_TOO_BIG, "one transaction takes %u locks at most",
                           LIMIT_TXN_LOCKS);
    for (size_t i = 0; i < count; i++) {
        kh_bytes key = locks[i].key;
        if (key.data == NULL || key.size_bytes == 0)
            return status_fail(error, KH_INVALID, "the key is empty");
        if (key.size_bytes > LIMIT_KEY_BYTES)
            return status_fail(error, KH_TOO_BIG, "the key has %zu bytes: at most %u are possible",
                               key.size_bytes, LIMIT_KEY_BYTES);
        if (locks[i].mode != KH_LOCK_SHARED && locks[i].mode != KH_LOCK_EXCLUSIVE)
            return status_fail(error, KH_INVALID, "unknown lock mode %d", (int)locks[i].mode);
    }
    return KH_OK;
}

/* Until when it waits: options, then the transaction's own time; 0: not at all. */
static uint64_t wait_until_ns(const kh_txn *txn, const kh_lock_options *options, bool *is_own) {
    const struct kh_db *db = txn->db;
    uint64_t own_ns = own_deadline_ns(txn);
    *is_own = false;
    if (options->flags & KH_LOCK_TRY) return 0;
    *is_own = true;
    if (options->timeout_ms == 0) return own_ns;
    uint64_t asked_ns = env_monotonic_ns(&db->clock) + options->timeout_ms * (uint64_t)1000000u;
    *is_own = own_ns <= asked_ns;
    return *is_own ? own_ns : asked_ns;
}

/* Without threads nobody has waited: its time is not over. */
static kh_status answer_blocked(kh_txn *txn, const struct lock_blocker *blocker, bool is_own,
                                kh_error *error) {
    kh_status status = explain_blocker(txn, blocker, error);
    if (!is_own || (txn->db->flags & KH_OPEN_NO_THREADS)) return status;
    return status_fail(error, KH_EXPIRED,
                       "its timeout passed while transaction %" PRIu64 " had the key locked",
                       blocker->holder.low);
}

static kh_status lock_all(kh_txn *txn, struct lock_request *requests, size_t count,
                          const kh_lock_options *options, kh_error *error) {
    struct lock_blocker blocker;
    bool is_own;
    uint64_t until_ns = wait_until_ns(txn, options, &is_own);
    kh_status status = ask(txn, requests, count, until_ns, &blocker);
    if (KH_LIKELY(status == KH_OK)) return settle(txn, requests, count, false, error);
    if (status == KH_LOCK_CONFLICT) return answer_blocked(txn, &blocker, is_own, error);
    return explain_doom(txn, status, error);
}

kh_status kh_txn_lock(kh_txn *txn, const kh_lock *locks, size_t lock_count,
                      const kh_lock_options *options, kh_error *error) {
    kh_lock_options known = default_options;
    kh_status status = KH_OK;
    if (options != NULL)
        status = status_copy_sized(&known, sizeof known, options, "kh_lock_options", error);
    if (status != KH_OK) return status;
    status = handle_enter(txn, error);
    if (status != KH_OK) return status;
    status = check_call(txn, locks, lock_count, &known, error);
    if (status != KH_OK || lock_count == 0) return handle_answer(txn, status);
    struct lock_request few[FEW];
    struct lock_request *requests = few;
    if (lock_count > FEW) requests = arena_alloc(&txn->arena, lock_count * sizeof *requests);
    if (requests == NULL)
        return handle_answer(txn, status_no_memory(error, lock_count * sizeof *requests));
    for (size_t i = 0; i < lock_count; i++)
        requests[i] = (struct lock_request){
            locks[i].key, index_hash(txn->db->store.index, locks[i].key), locks[i].mode};
    status = lock_all(txn, requests, lock_count, &known, error);
    txn->owner.requests = NULL;
    if (status != KH_LOCK_CONFLICT) return handle_answer(txn, status);
    handle_leave(txn); /* nothing was taken: it goes on */
    return status;
}

kh_status kh_txn_deadlock(const kh_txn *txn, kh_txn_id *ids, size_t capacity, size_t *id_count) {
    if (!txn->has_conflict || txn->conflict.status != KH_DEADLOCK) return KH_NOT_FOUND;
    const struct lock_owner *owner = &txn->owner;
    size_t known = owner->cycle_length;
    if (known > LOCKS_CYCLE_IDS) known = LOCKS_CYCLE_IDS;
    for (size_t i = 0; i < known && i < capacity; i++) ids[i] = owner->cycle[i];
    *id_count = owner->cycle_length;
    return KH_OK;
}

/* ---- commits --------------------------------------------------------------------------------- */

kh_status locking_seal(kh_txn *txn, kh_error *error) {
    struct kh_db *db = txn->db;
    if (!txn->has_locks) return KH_OK;
    kh_status status = locks_seal(&db->locks, &txn->owner, tick_ns(db));
    return status == KH_OK ? KH_OK : explain_doom(txn, status, error);
}

kh_status locking_check(kh_txn *txn, kh_error *error) {
    struct kh_db *db = txn->db;
    kh_status status = locking_seal(txn, error);
    if (status != KH_OK) return status;
    uint64_t now_ns = tick_ns(db);
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct write *write = &txn->writes.writes[i];
        struct lock_blocker blocker;
        if (write->kind == WRITE_NONE) continue;
        if (locks_blocker(&db->locks, write->key, write->hash, &txn->owner, now_ns, &blocker))
            return explain_blocker(txn, &blocker, error);
    }
    return KH_OK;
}

bool locking_does_wait(const kh_txn *txn) {
    const struct kh_db *db = txn->db;
    if (db->flags & KH_OPEN_NO_THREADS) return false;
    return (txn->lock_wait != 0 ? txn->lock_wait : db->lock_wait) == KH_LOCK_WAIT;
}

kh_status locking_await_writes(kh_txn *txn, kh_error *error) {
    size_t count = 0;
    struct lock_request *requests =
        arena_alloc(&txn->arena, txn->writes.live_count * sizeof *requests);
    if (requests == NULL) return status_no_memory(error, sizeof *requests);
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct write *write = &txn->writes.writes[i];
        if (write->kind != WRITE_NONE)
            requests[count++] = (struct lock_request){write->key, write->hash, KH_LOCK_EXCLUSIVE};
    }
    struct lock_blocker blocker;
    txn->has_conflict = false; /* with whom it waits for */
    kh_status status = ask(txn, requests, count, own_deadline_ns(txn), &blocker);
    if (status == KH_OK) return settle(txn, requests, count, true, error);
    if (status == KH_LOCK_CONFLICT) return explain_blocker(txn, &blocker, error);
    return explain_doom(txn, status, error);
}
