/* begin.c - opening a transaction: a handle, its options, a registered snapshot.
 *
 * Opening costs the same whatever the store's size. At serializable a transaction declared
 * read-only is left untracked when its snapshot is safe: no serializable writer with an older
 * snapshot is open and nothing certified is still unpublished. One that is deferrable waits for
 * such a snapshot, and takes a newer one when a writer it waited for committed below it. */
#include "db/handle.h"
#include "db/section.h"

#include <string.h>

static const kh_txn_options default_options = KH_TXN_OPTIONS_INIT;

/* How it meets locks, and its priority, as one load. */
static inline uint64_t both_of(const kh_txn_options *options) {
    enum { AT = offsetof(kh_txn_options, lock_wait) };
    _Static_assert(offsetof(kh_txn_options, priority) == AT + 4, "they stand side by side");
    uint64_t both;
    memcpy(&both, (const char *)options + AT, sizeof both);
    return both;
}

/* Nothing in it that could be wrong, and nothing to be copied. */
static inline bool is_plain(const kh_txn_options *options) {
    uint64_t rest = options->flags | (uintptr_t)options->tag | (uintptr_t)options->id_column |
                    (uintptr_t)options->resolve | ((unsigned)options->sync > KH_SYNC_NONE) |
                    both_of(options);
    return options->size == sizeof *options && options->isolation <= KH_SERIALIZABLE &&
           options->policy <= KH_MERGE && rest == 0;
}

static kh_status check_options(const struct kh_db *db, const kh_txn_options *options,
                               kh_error *error) {
    if (options->isolation > KH_SERIALIZABLE || options->policy > KH_CALLBACK)
        return status_fail(error, KH_INVALID, "unknown isolation level or policy");
    if ((unsigned)options->sync > KH_SYNC_NONE)
        return status_fail(error, KH_INVALID, "unknown sync policy");
    if ((unsigned)options->lock_wait > KH_LOCK_WAIT)
        return status_fail(error, KH_INVALID, "unknown way to meet a lock");
    if (options->flags & ~(uint32_t)(KH_BEGIN_READ_ONLY | KH_BEGIN_DEFERRABLE))
        return status_fail(error, KH_INVALID, "unknown flags 0x%x", options->flags);
    if ((options->flags & KH_BEGIN_DEFERRABLE) && !(options->flags & KH_BEGIN_READ_ONLY))
        return status_fail(error, KH_INVALID, "deferrable transactions are read-only");
    if (options->policy == KH_CALLBACK && options->resolve == NULL && db->resolve == NULL)
        return status_fail(error, KH_INVALID, "policy callback without a resolve function");
    if (options->tag != NULL && strlen(options->tag) > LIMIT_TAG_BYTES)
        return status_fail(error, KH_TOO_BIG, "the tag has more than %u bytes", LIMIT_TAG_BYTES);
    return KH_OK;
}

static kh_status copy_texts(kh_txn *txn, const kh_txn_options *options, kh_error *error) {
    if (options->tag != NULL) {
        size_t size_bytes = strlen(options->tag);
        txn->tag = arena_copy(&txn->arena, options->tag, size_bytes + 1);
        if (txn->tag == NULL) return status_no_memory(error, size_bytes);
        txn->tag_bytes = (uint32_t)size_bytes;
    }
    if (options->id_column != NULL) {
        txn->id_column =
            arena_copy(&txn->arena, options->id_column, strlen(options->id_column) + 1);
        if (txn->id_column == NULL) return status_no_memory(error, strlen(options->id_column));
    }
    return KH_OK;
}

static uint64_t deadline_of(const kh_txn *txn, uint64_t tick, uint32_t timeout_ms) {
    const struct kh_db *db = txn->db;
    if (KH_UNLIKELY(txn->is_read_only)) {
        uint64_t age = db->limits.max_snapshot_age_ms;
        if (timeout_ms != 0 && (age == 0 || timeout_ms < age)) age = timeout_ms;
        return age == 0 ? UINT64_MAX : tick + age;
    }
    return tick + (timeout_ms != 0 ? timeout_ms : db->timeout_ms);
}

/* id_column, resolve and resolve_context are the database's between uses. */
static inline void set_up(kh_txn *txn, const kh_txn_options *options) {
    const struct kh_db *db = txn->db;
    txn->isolation = (uint8_t)(options->isolation != 0 ? options->isolation : db->isolation);
    txn->policy = (uint8_t)(options->policy != 0 ? options->policy : db->policy);
    txn->sync = (uint8_t)(options->sync != 0 ? options->sync : db->sync);
    txn_clear_use(txn);
    __atomic_store_n(&txn->id.low, 0, __ATOMIC_RELAXED);
    atomic_store_explicit(&txn->outcome, 0, memory_order_relaxed);
}

/* A serializable writer with an older snapshot could still commit below this one. */
static bool is_safe_now(const kh_txn *txn) {
    const struct kh_db *db = txn->db;
    uint64_t oldest = snapshot_oldest_serializable(&db->store.snapshots, txn->line);
    if (oldest < txn->snapshot || section_has_in_flight(db)) return false;
    /* Nor did one commit since: it publishes before it leaves its slot. */
    return atomic_load_explicit(&db->store.visible, memory_order_seq_cst) == txn->snapshot;
}

static inline void take_snapshot(kh_txn *txn, bool is_read_only) {
    const _Atomic uint64_t *visible = &txn->db->store.visible;
    bool is_serializable = txn->isolation == KH_SERIALIZABLE;
    txn->is_read_only = is_read_only;
    txn->is_tracking = is_serializable || !is_read_only;
    txn->is_certified = is_serializable;
    /* A reader can never commit below anybody's snapshot: nobody has to wait for it, and no
     * stamp is kept for its sake. */
    if (is_serializable && !is_read_only) {
        txn->snapshot = snapshot_take(txn->line, visible, SLOT_SERIALIZABLE);
    } else if (KH_UNLIKELY(txn->isolation == KH_READ_COMMITTED)) {
        txn->snapshot = snapshot_take(txn->line, visible, SLOT_BASE);
    } else {
        txn->snapshot = snapshot_take(txn->line, visible, SLOT_READ);
    }
    txn->birth = txn->snapshot;
}

static void untrack(kh_txn *txn) {
    txn->is_tracking = txn->is_certified = false;
    atomic_store_explicit(&txn->line->slots[SLOT_SERIALIZABLE], SNAPSHOT_NONE,
                          memory_order_release);
}

/* The tick is read after a sleeping janitor was woken (by us, or by another thread whose waking we
 * see): a stale one would make a fresh transaction look old. */
static inline kh_status activate(kh_txn *txn, uint32_t timeout_ms) {
    struct kh_db *db = txn->db;
    if (KH_UNLIKELY(atomic_load_explicit(&db->is_janitor_idle, memory_order_acquire)))
        section_wake_janitor(db);
    uint64_t tick = db_tick(db);
    uint64_t deadline = deadline_of(txn, tick, timeout_ms);
    txn_set_begin_tick(txn, tick);
    txn_set_deadline(txn, deadline);
    if (KH_UNLIKELY(txn->is_read_only) && deadline != UINT64_MAX) txn->is_tracking = true;
    txn_count(&txn->counters.begins, 1);
    txn_set_state(txn, TXN_ACTIVE);
    return KH_OK;
}

/* The copy is for callers of an older header, whose struct is shorter. */
static kh_status read_options(const kh_db *db, const kh_txn_options **options,
                              kh_txn_options *known, kh_error *error) {
    if (*options == NULL) *options = &default_options;
    if (KH_UNLIKELY((*options)->size != sizeof **options)) {
        *known = default_options;
        kh_status status =
            status_copy_sized(known, sizeof *known, *options, "kh_txn_options", error);
        if (status != KH_OK) return status;
        *options = known;
    }
    return check_options(db, *options, error);
}

/* A serializable reader that nobody can come below is not tracked. */
static kh_status find_safe(kh_txn *txn, const kh_txn_options *options, kh_error *error) {
    if (options->flags & KH_BEGIN_DEFERRABLE) {
        kh_status status = section_wait_safe(txn, options->timeout_ms, error);
        if (status != KH_OK) return status;
        untrack(txn);
    } else if (is_safe_now(txn)) {
        untrack(txn);
    }
    return KH_OK;
}

/* Any options, any handle. */
__attribute__((noinline)) static kh_status begin_any(kh_db *db, const kh_txn_options *options,
                                                     kh_txn **out, kh_error *error) {
    kh_txn_options known;
    kh_status status = read_options(db, &options, &known, error);
    if (status != KH_OK) return status;
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    kh_txn *txn;
    status = handle_acquire(db, &txn, error);
    if (status != KH_OK) return status;
    bool is_read_only = (options->flags & KH_BEGIN_READ_ONLY) || (db->flags & KH_OPEN_READ_ONLY);
    set_up(txn, options);
    txn->lock_wait = (uint8_t)options->lock_wait;
    txn->has_priority = options->priority != 0;
    txn->priority = options->priority;
    txn->has_own_options = options->resolve != NULL || options->id_column != NULL;
    if (options->resolve != NULL) {
        txn->resolve = options->resolve;
        txn->resolve_context = options->resolve_context;
    }
    status = copy_texts(txn, options, error);
    if (status == KH_OK) {
        take_snapshot(txn, is_read_only);
        if (txn->isolation == KH_SERIALIZABLE && txn->is_read_only)
            status = find_safe(txn, options, error);
    }
    if (status != KH_OK) {
        snapshot_drop(txn->line);
        handle_release(txn);
        return status;
    }
    *out = txn;
    return activate(txn, options->timeout_ms);
}

/* The usual case without a call: plain options, and this thread's last handle is free. */
kh_status kh_txn_begin(kh_db *db, const kh_txn_options *options, kh_txn **out, kh_error *error) {
    kh_assert(db != NULL && out != NULL && "kh_txn_begin: db or out is NULL");
    const kh_txn_options *plain = options == NULL ? &default_options : options;
    if (KH_UNLIKELY(!is_plain(plain) || db_is_forked(db) || (db->flags & KH_OPEN_READ_ONLY)))
        return begin_any(db, options, out, error);
    kh_txn *txn = handle_take_last(db);
    if (KH_UNLIKELY(txn == NULL)) return begin_any(db, options, out, error);
    set_up(txn, plain);
    take_snapshot(txn, false);
    *out = txn;
    return activate(txn, plain->timeout_ms);
}

static kh_status check_moment(kh_db *db, kh_timestamp at, kh_error *error) {
    uint64_t horizon = kh_db_horizon(db);
    if (at < horizon)
        return status_fail(error, KH_TOO_OLD, "history begins at timestamp %llu",
                           (unsigned long long)horizon);
    return at > db_visible(db) ? section_reach(db, at, error) : KH_OK;
}

kh_status kh_txn_begin_at(kh_db *db, kh_timestamp at, kh_txn **out, kh_error *error) {
    kh_assert(db != NULL && out != NULL && "kh_txn_begin_at: db or out is NULL");
    kh_txn_options options = default_options;
    options.isolation = KH_REPEATABLE_READ;
    options.flags = KH_BEGIN_READ_ONLY;
    kh_txn *txn;
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    kh_status status = handle_acquire(db, &txn, error);
    if (status != KH_OK) return status;
    set_up(txn, &options);
    txn->is_read_only = true;
    /* Registered first, then compared: a pruner raises the horizon before it looks at the slots. */
    snapshot_set(txn->line, at);
    status = check_moment(db, at, error);
    if (status != KH_OK) {
        snapshot_drop(txn->line);
        handle_release(txn);
        return status;
    }
    txn->snapshot = txn->birth = at;
    txn->is_tracking = txn->is_certified = false;
    *out = txn;
    return activate(txn, 0);
}

/* With retention 0 the horizon is the newest published timestamp, whether or not a pruner has come
 * round yet: an answer that depends on its pace would be a race. With a window it moves with the
 * pruners. */
kh_timestamp kh_db_horizon(kh_db *db) {
    if (db->store.retention_ms == 0 && db->store.retention_bytes == 0) return db_visible(db);
    return atomic_load_explicit(&db->store.horizon, memory_order_seq_cst);
}

/* Assigned at first need: not part of the value. The list of live ones and the statistics assign
 * it, too, under the busy mark. A call that is running is this thread's (a callback asks). */
kh_txn_id kh_txn_get_id(const kh_txn *txn) {
    kh_txn *mine = (kh_txn *)txn;
    if (handle_peek_id(mine) != 0) return mine->id;
    bool is_taken = handle_wait_busy(mine);
    kh_txn_id id = handle_id(mine);
    if (is_taken) handle_leave(mine);
    return id;
}

kh_timestamp kh_txn_snapshot(const kh_txn *txn) {
    return txn->snapshot;
}

kh_timestamp kh_db_now(const kh_db *db) {
    return db_visible(db);
}
