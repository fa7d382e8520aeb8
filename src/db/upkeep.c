/* upkeep.c - see upkeep.h. */
#include "db/upkeep.h"

#include "base/status.h"
#include "db/changes.h"
#include "db/durable.h"
#include "db/section.h"
#include "log/checkpoint.h"
#include <errno.h>
#include <string.h>

enum {
    STEP_BYTES = 4 << 20, /* of the log in one step: what is held in memory for it; */
    STEP_LEAST_BYTES = 1 << 16,
    STEP_SHARE = 64,          /* with a memory limit at most one part of so many */
    ROUND_NS = 500 * 1000000, /* between two looks at the log */
    SYNC_BYTES = 64 << 20,    /* of the log between two syncs of the storage: what the log keeps
                               * for it, and what a crash makes an open replay at most */
    SYNC_ROUNDS = 20,         /* and at the latest after so many rounds */
    PATIENCE_ROUNDS = 20,     /* until a storage that could not be opened again is tried again */
    AWAIT_ROUNDS = 10,        /* for who waits for it */
    LATE_ROUNDS = 3           /* so many are left out while the log loads, which wants the disk and
                               * a processor for itself and mostly is over soon */
};

struct upkeep {
    struct checkpoint checkpoint;
    _Atomic kh_log_position shown; /* checkpoint.applied, for others */
    _Atomic uint64_t shown_horizon;
    _Atomic uint64_t shown_commit; /* checkpoint.newest_commit */
    _Atomic uint32_t setbacks;
    kh_log_position synced; /* the storage is durable up to here */
    kh_log_position synced_swept;
    size_t step_bytes;
    uint64_t unsynced_bytes;
    uint32_t rounds;   /* since the last sync */
    bool is_told;      /* of a failure that goes on */
    bool is_short;     /* the log has no room, and that was told */
    bool is_adrift;    /* a setback: where the storage is has to be found before it is written */
    uint32_t patience; /* rounds before the next setback */
    uint32_t late;     /* rounds left out, of the thread */
    uint32_t holds;    /* the log is not trimmed while there are any */
    /* Under the lock, RANK_DATABASE: */
    bool is_running; /* somebody has the round: all of the above is his */
    bool is_closing;
    struct lock lock;
    struct signal wake;
    struct signal idle; /* is_running ended */
    struct env_thread *thread;
};

/* Nobody reads below this any more, in memory or by timestamp. The bound is read first, then the
 * slots: whoever registers a snapshot below the bound after that look will see the bound, and take
 * a newer one (store/snapshot.h). */
static uint64_t horizon_of(struct kh_db *db) {
    bool is_kept = (db->store.retention_ms | db->store.retention_bytes) != 0;
    uint64_t bound = atomic_load_explicit(is_kept ? &db->store.horizon : &db->store.visible,
                                          memory_order_seq_cst);
    uint64_t oldest = snapshot_oldest(&db->store.snapshots);
    return oldest < bound ? oldest : bound;
}

static void tell(struct kh_db *db, kh_status status, const kh_error *error) {
    struct upkeep *upkeep = db->upkeep;
    if (status == KH_OK) {
        upkeep->is_told = false;
    } else if (!upkeep->is_told) {
        upkeep->is_told = true;
        section_say(db, KH_LOG_ERROR, "the storage is not brought up to date: %.180s",
                    error->message);
    }
}

/* A storage may be ahead of nothing that a loss of power can take from the log. */
static kh_status apply_all(struct kh_db *db, kh_error *error) {
    struct upkeep *upkeep = db->upkeep;
    bool has_more = true;
    kh_status status = durable_sync_log(db, error);
    while (status == KH_OK && has_more) {
        kh_log_position before = upkeep->checkpoint.applied;
        status = checkpoint_step(&upkeep->checkpoint, horizon_of(db), upkeep->step_bytes, &has_more,
                                 error);
        atomic_store_explicit(&upkeep->shown_horizon, upkeep->checkpoint.horizon,
                              memory_order_release);
        if (upkeep->checkpoint.applied == before) continue;
        atomic_store_explicit(&upkeep->shown_commit, upkeep->checkpoint.newest_commit,
                              memory_order_release);
        upkeep->unsynced_bytes += upkeep->step_bytes;
        atomic_store_explicit(&upkeep->shown, upkeep->checkpoint.applied, memory_order_release);
    }
    return status;
}

static kh_status sync_storage(struct kh_db *db, kh_error *error) {
    struct upkeep *upkeep = db->upkeep;
    kh_log_position applied = upkeep->checkpoint.applied;
    kh_log_position swept = upkeep->checkpoint.swept;
    int code = db->storage->sync == NULL ? 0 : db->storage->sync(db->storage->context);
    if (code != 0)
        return status_fail(error, KH_IO, "the storage cannot be synced (errno %d)", code);
    upkeep->synced = applied;
    upkeep->synced_swept = swept;
    upkeep->unsynced_bytes = 0;
    upkeep->rounds = 0;
    return KH_OK;
}

static kh_status trim_log(struct kh_db *db, kh_error *error) {
    const struct kh_log *log = db->pipeline.log;
    if (log->trim == NULL) return KH_OK;
    int code = log->trim(log->context, changes_kept(db, db->upkeep->synced_swept));
    if (code == 0) return KH_OK;
    kh_status status = code == ENOSPC ? KH_NO_SPACE : KH_IO;
    return status_fail(error, status, "the log cannot be trimmed (errno %d)", code);
}

/* ---- setbacks -------------------------------------------------------------------------------- */

static void show_place(struct upkeep *upkeep) {
    const struct checkpoint *checkpoint = &upkeep->checkpoint;
    atomic_store_explicit(&upkeep->shown_horizon, checkpoint->horizon, memory_order_release);
    atomic_store_explicit(&upkeep->shown_commit, checkpoint->newest_commit, memory_order_release);
    atomic_store_explicit(&upkeep->shown, checkpoint->applied, memory_order_release);
}

/* What it holds it may just have read from memory, so nothing counts as synced above what did. */
static kh_status find_place(struct upkeep *upkeep, kh_error *error) {
    kh_status status = checkpoint_find_again(&upkeep->checkpoint, error);
    if (status != KH_OK) return status;
    if (upkeep->synced > upkeep->checkpoint.applied)
        return status_fail(error, KH_CORRUPT, "the storage lost what it had synced");
    show_place(upkeep);
    upkeep->is_adrift = false;
    return KH_OK;
}

#if defined(KH_SLOW_CHECKS)
static enum upkeep_wish wish;

void upkeep_set_back(enum upkeep_wish wanted) {
    wish = wanted;
}

static bool is_wished(enum upkeep_wish which) {
    bool is_it = wish == which;
    if (is_it && which == UPKEEP_ONCE) wish = UPKEEP_NEVER;
    return is_it;
}
#else
static inline bool is_wished(enum upkeep_wish which) {
    (void)which;
    return false;
}
#endif

/* What is shown goes back before the storage does: who misses something there must see why. */
static bool set_back(struct kh_db *db, bool is_forced) {
    struct upkeep *upkeep = db->upkeep;
    kh_error error = {""};
    if (upkeep->patience > 0) {
        upkeep->patience--;
        return false;
    }
    /* A full disk is waited for: there is nothing to be had by opening on it. */
    if (!is_forced && (durable_check_room(db, NULL) != KH_OK || !durable_storage_is_stuck(db)))
        return false;
    upkeep->is_adrift = true;
    atomic_store_explicit(&upkeep->shown_commit, 0, memory_order_release);
    atomic_store_explicit(&upkeep->shown, upkeep->synced, memory_order_release);
    atomic_fetch_add_explicit(&upkeep->setbacks, 1, memory_order_acq_rel);
    kh_status status = durable_reopen_storage(db, &error);
    if (status == KH_OK) {
        section_say(db, KH_LOG_WARNING, "the storage was opened again after a failed write");
    } else {
        upkeep->patience = PATIENCE_ROUNDS;
        section_say(db, KH_LOG_ERROR, "the storage cannot be opened again: %.180s", error.message);
    }
    return status == KH_OK;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void enter_round(struct upkeep *upkeep) {
    lock_take(&upkeep->lock);
    while (upkeep->is_running) (void)signal_wait(&upkeep->idle, &upkeep->lock, 0);
    upkeep->is_running = true;
    lock_leave(&upkeep->lock);
}

static void leave_round(struct upkeep *upkeep) {
    lock_take(&upkeep->lock);
    upkeep->is_running = false;
    signal_wake_all(&upkeep->idle);
    lock_leave(&upkeep->lock);
}

static kh_status try_round(struct kh_db *db, bool is_last, kh_error *error) {
    struct upkeep *upkeep = db->upkeep;
    kh_status status = upkeep->is_adrift ? find_place(upkeep, error) : KH_OK;
    if (status == KH_OK) status = apply_all(db, error);
    bool is_new = upkeep->checkpoint.applied != upkeep->synced ||
                  upkeep->checkpoint.swept != upkeep->synced_swept;
    bool is_due = is_last || upkeep->unsynced_bytes >= SYNC_BYTES || upkeep->rounds >= SYNC_ROUNDS;
    if (status != KH_OK || !is_new || !is_due) return status;
    status = durable_check_room(db, error);
    if (status == KH_OK) status = sync_storage(db, error);
    if (status == KH_OK && upkeep->holds == 0) status = trim_log(db, error);
    if (status == KH_OK) status = durable_forget(db, upkeep->checkpoint.newest_commit, error);
    return status;
}

static void watch_room(struct kh_db *db) {
    bool is_short = !durable_watch_room(db);
    if (is_short == db->upkeep->is_short) return;
    db->upkeep->is_short = is_short;
    if (is_short)
        section_say(db, KH_LOG_WARNING, "the log waits for room on its device: no new commits");
    else
        section_say(db, KH_LOG_NOTICE, "the log has room again");
}

static kh_status run_round(struct kh_db *db, bool is_last, kh_error *error) {
    db->upkeep->rounds++;
    watch_room(db);
    durable_follow_clock(db);
    kh_status status = try_round(db, is_last, error);
    if (is_wished(UPKEEP_ONCE)) return set_back(db, true) ? status : KH_IO;
    bool is_forced = is_wished(UPKEEP_ALWAYS);
    bool has_failed = status == KH_IO || status == KH_NO_SPACE;
    if ((!has_failed && !is_forced) || !set_back(db, is_forced)) return status;
    return try_round(db, is_last, error);
}

static void one_round(struct kh_db *db, bool is_last) {
    kh_error error = {""};
    enter_round(db->upkeep);
    kh_status status = run_round(db, is_last, &error);
    tell(db, status, &error);
    leave_round(db->upkeep);
}

static bool is_kept_up(const struct kh_db *db) {
    return db->upkeep != NULL && !(db->flags & KH_OPEN_READ_ONLY);
}

void upkeep_step(struct kh_db *db) {
    if (is_kept_up(db) && db->upkeep->thread == NULL) one_round(db, false);
}

kh_status upkeep_catch_up(struct kh_db *db, kh_error *error) {
    if (!is_kept_up(db)) return KH_OK;
    enter_round(db->upkeep);
    kh_status status = run_round(db, true, error);
    leave_round(db->upkeep);
    return status;
}

kh_status upkeep_hold(struct kh_db *db, kh_error *error) {
    enter_round(db->upkeep);
    db->upkeep->holds++;
    kh_status status = run_round(db, true, error);
    if (status != KH_OK) db->upkeep->holds--;
    leave_round(db->upkeep);
    return status;
}

void upkeep_release(struct kh_db *db) {
    enter_round(db->upkeep);
    db->upkeep->holds--;
    leave_round(db->upkeep);
}

static bool is_put_off(struct kh_db *db) {
    bool is_late = db->upkeep->late < LATE_ROUNDS && durable_is_loading(db);
    db->upkeep->late = is_late ? db->upkeep->late + 1 : 0;
    return is_late;
}

static void run(void *context) {
    struct kh_db *db = context;
    struct upkeep *upkeep = db->upkeep;
    struct env_clock clock = env_clock_system();
    env_thread_give_way();
    lock_take(&upkeep->lock);
    while (!upkeep->is_closing) {
        (void)signal_wait(&upkeep->wake, &upkeep->lock, env_monotonic_ns(&clock) + ROUND_NS);
        if (upkeep->is_closing) break;
        lock_leave(&upkeep->lock);
        if (!is_put_off(db)) one_round(db, false);
        lock_take(&upkeep->lock);
    }
    lock_leave(&upkeep->lock);
}

/* ---- open and close -------------------------------------------------------------------------- */

static kh_status check(const struct kh_storage *storage, kh_error *error) {
    if (storage->version == KH_STORAGE_VERSION && storage->size == sizeof *storage &&
        storage->apply != NULL && storage->position != NULL && storage->scan != NULL &&
        storage->get != NULL)
        return KH_OK;
    return status_fail(error, KH_UNSUPPORTED, "kh_storage of version %u and size %u",
                       storage->version, storage->size);
}

static size_t step_bytes_of(const kh_limits *limits) {
    uint64_t share = limits->memory_bytes / STEP_SHARE;
    if (share == 0 || share > STEP_BYTES) return STEP_BYTES;
    return share < STEP_LEAST_BYTES ? STEP_LEAST_BYTES : (size_t)share;
}

kh_status upkeep_open(struct kh_db *db, const struct kh_storage *storage, kh_error *error) {
    if (storage == NULL) storage = durable_storage(db);
    if (storage == NULL) return KH_OK;
    kh_status status = check(storage, error);
    if (status != KH_OK) return status;
    struct upkeep *upkeep = mem_own_alloc(db->home.mem, sizeof *upkeep);
    if (upkeep == NULL) return status_no_memory(error, sizeof *upkeep);
    memset(upkeep, 0, sizeof *upkeep);
    status = checkpoint_init(&upkeep->checkpoint, db->home.mem, db->pipeline.log, storage, error);
    if (status != KH_OK) {
        mem_own_free(db->home.mem, upkeep, sizeof *upkeep);
        return status;
    }
    lock_init(&upkeep->lock, RANK_DATABASE);
    signal_init(&upkeep->wake);
    signal_init(&upkeep->idle);
    show_place(upkeep);
    upkeep->step_bytes = step_bytes_of(&db->limits);
    upkeep->synced = upkeep->checkpoint.applied;
    upkeep->synced_swept = upkeep->checkpoint.swept;
    db->storage = storage;
    db->upkeep = upkeep;
    return KH_OK;
}

kh_log_position upkeep_shown(const struct kh_db *db) {
    return atomic_load_explicit(&db->upkeep->shown, memory_order_acquire);
}

kh_log_position upkeep_applied(const struct kh_db *db) {
    return db->upkeep->checkpoint.applied;
}

uint64_t upkeep_newest_commit(const struct kh_db *db) {
    return db->upkeep->checkpoint.newest_commit;
}

uint64_t upkeep_horizon(const struct kh_db *db) {
    return atomic_load_explicit(&db->upkeep->shown_horizon, memory_order_acquire);
}

uint64_t upkeep_stored(const struct kh_db *db) {
    return atomic_load_explicit(&db->upkeep->shown_commit, memory_order_acquire);
}

uint32_t upkeep_setbacks(const struct kh_db *db) {
    return atomic_load_explicit(&db->upkeep->setbacks, memory_order_acquire);
}

kh_status upkeep_await(struct kh_db *db, uint64_t commit, kh_error *error) {
    for (int i = 0; i < AWAIT_ROUNDS && upkeep_stored(db) < commit && is_kept_up(db); i++) {
        kh_status status = upkeep_catch_up(db, error);
        if (status != KH_OK) return status;
    }
    if (upkeep_stored(db) >= commit) return KH_OK;
    return status_fail(error, KH_IO, "the storage is not up to date, and a value is there only");
}

void upkeep_hurry(struct kh_db *db) {
    struct upkeep *upkeep = db->upkeep;
    if (upkeep->thread == NULL || upkeep_stored(db) >= db_visible(db)) return;
    lock_take(&upkeep->lock);
    signal_wake_all(&upkeep->wake);
    lock_leave(&upkeep->lock);
}

kh_status upkeep_start(struct kh_db *db, kh_error *error) {
    if (!is_kept_up(db)) return KH_OK;
    watch_room(db);
    if (db->flags & KH_OPEN_NO_THREADS) return KH_OK;
    db->upkeep->thread = env_thread_start("khonsu-upkeep", run, db);
    if (db->upkeep->thread != NULL) return KH_OK;
    return status_fail(error, KH_NO_MEMORY, "no thread can be started");
}

void upkeep_stop(struct kh_db *db) {
    struct upkeep *upkeep = db->upkeep;
    if (upkeep == NULL) return;
    if (upkeep->thread != NULL) {
        lock_take(&upkeep->lock);
        upkeep->is_closing = true;
        signal_wake_all(&upkeep->wake);
        lock_leave(&upkeep->lock);
        env_thread_join(upkeep->thread);
        upkeep->thread = NULL;
    }
    if (db->is_open && is_kept_up(db)) one_round(db, true);
}

void upkeep_close(struct kh_db *db) {
    struct upkeep *upkeep = db->upkeep;
    if (upkeep == NULL) return;
    checkpoint_fini(&upkeep->checkpoint);
    signal_fini(&upkeep->idle);
    signal_fini(&upkeep->wake);
    lock_fini(&upkeep->lock);
    mem_own_free(db->home.mem, upkeep, sizeof *upkeep);
    db->upkeep = NULL;
    if (db->storage->close != NULL) db->storage->close(db->storage->context);
}
