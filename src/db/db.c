/* db.c - opening and closing a database.
 *
 * Open takes its parts in the order of their needs and, on failure, gives back what it has by the
 * same path as close. */
#include "db/db.h"

#include "batch/schema.h"
#include "db/durable.h"
#include "db/evict.h"
#include "db/handle.h"
#include "db/janitor.h"
#include "db/locking.h"
#include "db/opening.h"
#include "db/pipeline.h"
#include "db/prepared.h"
#include "db/restore.h"
#include "db/section.h"
#include "db/stage.h"
#include "db/workspace.h"
#include "db/upkeep.h"
#include <string.h>

static const kh_options default_options = KH_OPTIONS_INIT;

#define STRING_(x) #x
#define STRING(x) STRING_(x)

const char *kh_version(void) {
    return STRING(KH_VERSION_MAJOR) "." STRING(KH_VERSION_MINOR) "." STRING(KH_VERSION_PATCH);
}

bool kh_has_feature(const char *feature) {
    static const char *const features[] = {
        "memory",
        "ipc",
        "lz4",
        "zstd",
#if !defined(KH_HASH_FRONT) || KH_HASH_FRONT
        "hash-front",
#endif
#if defined(KH_SLOW_CHECKS)
        "slow-checks",
#endif
    };
    if (durable_is_built && strcmp(feature, "durable") == 0) return true;
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        if (strcmp(features[i], feature) == 0) return true;
    return false;
}

/* ---- options --------------------------------------------------------------------------------- */

static kh_status check_hooks(const kh_options *options, kh_error *error) {
    bool has_allocate = options->allocator.allocate != NULL;
    bool has_free = options->allocator.free != NULL;
    if (has_allocate != has_free)
        return status_fail(error, KH_INVALID, "an allocator needs both functions");
    bool has_wall = options->clock.wall_ms != NULL;
    bool has_monotonic = options->clock.monotonic_ns != NULL;
    if (has_wall != has_monotonic)
        return status_fail(error, KH_INVALID, "a clock needs both functions");
    if (options->policy == KH_CALLBACK && options->resolve == NULL)
        return status_fail(error, KH_INVALID, "policy callback without a resolve function");
    return KH_OK;
}

static kh_status check_read_only(const kh_options *options, kh_error *error) {
    bool is_read_only = (options->flags & KH_OPEN_READ_ONLY) != 0;
    if (is_read_only && options->path == NULL)
        return status_fail(error, KH_INVALID, "read-only without a path");
    if (options->as_of != 0 && !is_read_only)
        return status_fail(error, KH_INVALID, "as_of needs KH_OPEN_READ_ONLY");
    return KH_OK;
}

static kh_status check_locking_and_hooks(const kh_options *options, kh_error *error) {
    if ((unsigned)options->lock_victim > KH_VICTIM_MOST_LOCKS)
        return status_fail(error, KH_INVALID, "unknown victim of deadlocks");
    if ((unsigned)options->lock_wait > KH_LOCK_WAIT)
        return status_fail(error, KH_INVALID, "unknown way to meet a lock");
    return check_hooks(options, error);
}

static kh_status check_options(const kh_options *options, kh_error *error) {
    if (options->limits.size != 0 && options->limits.size != sizeof(kh_limits))
        return status_fail(error, KH_INVALID, "kh_limits.size is %zu", options->limits.size);
    if (options->path != NULL && (options->log != NULL || options->storage != NULL))
        return status_fail(error, KH_INVALID, "a path has its own log and storage");
    if (options->storage != NULL && options->log == NULL)
        return status_fail(error, KH_INVALID, "a storage needs a log");
    if ((unsigned)options->sync > KH_SYNC_NONE || options->sync_delay_us > 1000000u)
        return status_fail(error, KH_INVALID, "unknown sync policy, or a delay above a second");
    if (options->flags & ~(uint32_t)(KH_OPEN_NO_THREADS | KH_OPEN_READ_ONLY | KH_OPEN_INGEST))
        return status_fail(error, KH_INVALID, "unknown flags 0x%x", options->flags);
    if (options->isolation > KH_SERIALIZABLE || options->policy > KH_CALLBACK ||
        (unsigned)options->validation > KH_VALIDATE_STRUCTURE)
        return status_fail(error, KH_INVALID, "unknown isolation level, policy or validation");
    kh_status status = check_read_only(options, error);
    return status == KH_OK ? check_locking_and_hooks(options, error) : status;
}

static void set_limits(struct kh_db *db, const kh_limits *given) {
    kh_limits *limits = &db->limits;
    *limits = *given;
#define DEFAULT(field, value)                                                                      \
    if (limits->field == 0) limits->field = (value)
    DEFAULT(batch_bytes, LIMIT_BATCH_BYTES);
    DEFAULT(txn_bytes, LIMIT_TXN_BYTES);
    DEFAULT(txn_writes, LIMIT_TXN_WRITES);
    DEFAULT(txn_reads, LIMIT_TXN_READS);
    DEFAULT(txns, LIMIT_TXNS);
    DEFAULT(ranges, LIMIT_RANGES);
    DEFAULT(outcomes, LIMIT_OUTCOMES);
    DEFAULT(watch_events, LIMIT_WATCH_EVENTS);
#undef DEFAULT
    if (limits->txn_reads < 2) limits->txn_reads = 2; /* one item and one range to widen into */
}

static void set_options(struct kh_db *db, const kh_options *options) {
    db->flags = options->flags;
    db->isolation = options->isolation != 0 ? options->isolation : KH_REPEATABLE_READ;
    db->policy = options->policy != 0 ? options->policy : KH_FAIL;
    db->sync = options->sync != 0 ? options->sync : KH_SYNC_FULL;
    db->validation = options->validation;
    db->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    db->resolve = options->resolve;
    db->resolve_context = options->resolve_context;
    db->message = options->message;
    db->message_context = options->message_context;
    db->lock_timeout_ms =
        options->lock_timeout_ms != 0 ? options->lock_timeout_ms : DEFAULT_LOCK_TIMEOUT_MS;
    db->lock_wait = options->lock_wait;
    locks_init(&db->locks, db->home.mem, db->lock_timeout_ms * (uint64_t)1000000u,
               options->lock_victim);
    db->node = options->node;
    db->as_of = options->as_of;
    db->clock = env_clock_system();
    if (options->clock.wall_ms != NULL)
        db->clock = (struct env_clock){options->clock.wall_ms, options->clock.monotonic_ns,
                                       options->clock.context};
    set_limits(db, &options->limits);
    db->home.is_of_database = true;
    db->home.fork_generation = env_fork_generation();
    db->id_high = options->node;
    atomic_init(&db->next_id, env_wall_ms(&db->clock) << 20 | 1);
    env_random(&db->identity, sizeof db->identity);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void init_locks(struct kh_db *db) {
    lock_init(&db->pool_lock, RANK_DATABASE);
    lock_init(&db->janitor_lock, RANK_DATABASE);
    lock_init(&db->feed_lock, RANK_DATABASE);
    workspaces_open(db);
    latch_init(&db->section, RANK_COMMIT);
    signal_init(&db->progress);
    signal_init(&db->janitor_wake);
}

static void fini_locks(struct kh_db *db) {
    signal_fini(&db->janitor_wake);
    signal_fini(&db->progress);
    latch_fini(&db->section);
    workspaces_close(db);
    lock_fini(&db->feed_lock);
    lock_fini(&db->janitor_lock);
    lock_fini(&db->pool_lock);
}

static uint64_t round_up(uint64_t count) {
    uint64_t power = 1;
    while (power < count) power *= 2;
    return power;
}

static void *own_zeroed(struct kh_db *db, size_t size_bytes) {
    void *block = mem_own_alloc(db->home.mem, size_bytes);
    if (block != NULL) memset(block, 0, size_bytes);
    return block;
}

static kh_status make_tables(struct kh_db *db, const kh_options *options, kh_error *error) {
    const char *id_column = options->id_column != NULL ? options->id_column : "id";
    size_t id_bytes = strlen(id_column) + 1;
    db->id_column = mem_own_alloc(db->home.mem, id_bytes);
    if (db->id_column != NULL) memcpy(db->id_column, id_column, id_bytes);
    db->handles = own_zeroed(db, db->limits.txns * sizeof *db->handles);
    db->recent.ring = own_zeroed(db, RECENT_WRITES * sizeof *db->recent.ring);
    db->outcome_mask = round_up(db->limits.outcomes) - 1;
    db->outcomes = own_zeroed(db, (db->outcome_mask + 1) * sizeof *db->outcomes);
    db->janitor_cache = mem_cache_create(db->home.mem);
    db->log_cache = mem_cache_create(db->home.mem);
    db->step_cache = mem_cache_create(db->home.mem);
    if (db->id_column == NULL || db->handles == NULL || db->recent.ring == NULL ||
        db->outcomes == NULL || db->janitor_cache == NULL || db->log_cache == NULL ||
        db->step_cache == NULL)
        return status_no_memory(error, sizeof *db);
    db->recent.mask = RECENT_WRITES - 1;
    db->home.schemas = schema_table_create(db->home.mem);
    if (db->home.schemas == NULL) return status_no_memory(error, sizeof *db);
    ranges_init(&db->ranges, db->home.mem, db->limits.ranges);
    kh_status status = ranges_reserve(&db->ranges, error);
    if (status != KH_OK) return status;
    uint64_t seed;
    env_random(&seed, sizeof seed);
    hot_keys_init(&db->hot_keys, seed);
    watch_hub_init(&db->watches, db->home.mem, db->limits.watch_events);
    db->has_hubs = true;
    env_random(&seed, sizeof seed);
    status = store_init(&db->store, db->home.mem, seed, db->limits.txns);
    if (status != KH_OK) return status_no_memory(error, sizeof db->store);
    db->has_store = true;
    db->store.retention_ms = options->retention_ms;
    db->store.retention_bytes = options->retention_bytes;
    if (db->flags & KH_OPEN_READ_ONLY) { /* all that the directory has is kept */
        db->store.retention_ms = UINT64_MAX;
        db->store.retention_bytes = 0;
    }
    epoch_register(&db->store.epoch, &db->janitor_epoch);
    epoch_register(&db->store.epoch, &db->log_epoch);
    epoch_register(&db->store.epoch, &db->step_epoch);
    return KH_OK;
}

static void fini_store(struct kh_db *db) {
    if (!db->has_store) return;
    epoch_unregister(&db->store.epoch, &db->janitor_epoch, db->janitor_cache);
    epoch_unregister(&db->store.epoch, &db->log_epoch, db->log_cache);
    epoch_unregister(&db->store.epoch, &db->step_epoch, db->step_cache);
    handle_destroy_all(db);
    store_fini(&db->store);
}

static void drop_detached(struct kh_db *db) {
    uint32_t count = atomic_load_explicit(&db->handle_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        kh_txn *txn = db->handles[i];
        if (txn_state_of(txn) == TXN_IDLE) continue;
        if (txn_state_of(txn) == TXN_PREPARED) {
            latch_take(&db->section);
            prepared_forget(txn);
            latch_leave(&db->section);
            stage_discard(txn);
        }
        locking_end(txn);
        snapshot_drop(txn->line);
        handle_release(txn);
    }
}

/* Batches and exports that are left keep the context, and with it the schemas, alive. */
static void destroy(struct kh_db *db) {
    struct mem *mem = db->home.mem;
    janitor_stop(db);
    drop_detached(db);
    locks_fini(&db->locks);
    durable_quiet(db);
    upkeep_stop(db);
    if (db->has_pipeline) pipeline_close(db);
    upkeep_close(db);
    durable_close(db);
    evict_close(db);
    fini_store(db);
    semantic_close(db);
    ranges_fini(&db->ranges);
    if (db->has_hubs) {
        watch_hub_fini(&db->watches);
        hot_keys_fini(&db->hot_keys);
    }
    mem_cache_destroy(db->step_cache);
    mem_cache_destroy(db->log_cache);
    mem_cache_destroy(db->janitor_cache);
    mem_own_free(mem, db->outcomes, (db->outcome_mask + 1) * sizeof *db->outcomes);
    mem_own_free(mem, db->recent.ring, RECENT_WRITES * sizeof *db->recent.ring);
    mem_own_free(mem, db->handles, db->limits.txns * sizeof *db->handles);
    if (db->id_column != NULL) mem_own_free(mem, db->id_column, strlen(db->id_column) + 1);
    fini_locks(db);
    mem_own_free(mem, db, sizeof *db);
    mem_close(mem);
}

static struct kh_db *create(const kh_options *options) {
    struct mem_hooks hooks = {options->allocator.allocate, options->allocator.free,
                              options->allocator.context};
    struct mem *mem = mem_create(hooks.allocate == NULL ? NULL : &hooks);
    if (mem == NULL) return NULL;
    struct kh_db *db = mem_own_alloc(mem, sizeof *db);
    if (db == NULL) {
        mem_close(mem);
        return NULL;
    }
    memset(db, 0, sizeof *db);
    db->home.mem = mem;
    init_locks(db);
    ranges_init(&db->ranges, mem, 0);
    return db;
}

/* What the log and the storage have, and then the threads. */
static kh_status start(struct kh_db *db, const kh_options *options, kh_error *error) {
    kh_status status = upkeep_open(db, options->storage, error);
    if (status == KH_OK) status = evict_open(db, error);
    if (status == KH_OK) status = restore_all(db, error);
    if (status == KH_OK) evict_at_open(db);
    if (status == KH_OK) status = upkeep_start(db, error);
    if (status == KH_OK) status = janitor_start(db, error);
    return status;
}

kh_status kh_db_open(const kh_options *options, kh_db **out, kh_error *error) {
    kh_assert(out != NULL && "kh_db_open: out is NULL");
    kh_options known = default_options;
    kh_status status = KH_OK;
    if (options != NULL)
        status = status_copy_sized(&known, sizeof known, options, "kh_options", error);
    options = &known;
    if (status == KH_OK) status = check_options(options, error);
    if (status != KH_OK) return status;
    struct kh_db *db = create(options);
    if (db == NULL) return status_no_memory(error, sizeof *db);
    set_options(db, options);
    db->home.batch_bytes_max = db->limits.batch_bytes;
    struct opening opening;
    opening_begin(&opening, db, options);
    status = make_tables(db, options, error);
    if (status == KH_OK) status = semantic_open(db, options->semantic, error);
    if (status == KH_OK && options->path != NULL) status = durable_open(db, options, error);
    if (status == KH_OK) {
        status = pipeline_open(db, db->durable != NULL ? durable_log(db) : options->log, error);
        db->has_pipeline = true;
    }
    if (status == KH_OK) status = start(db, options, error);
    opening_end(&opening, status);
    db->opening = NULL;
    if (status != KH_OK) {
        destroy(db);
        return status;
    }
    db->is_open = true;
    *out = db;
    return KH_OK;
}

/* Prepared ones without a handle in somebody's hands stay in the log. */
static bool is_in_use(const struct kh_db *db) {
    if (atomic_load_explicit(&db->watches.count, memory_order_acquire) != 0) return true;
    if (atomic_load_explicit(&db->feeds, memory_order_acquire) != 0) return true;
    uint32_t count = atomic_load_explicit(&db->handle_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        const kh_txn *txn = db->handles[i];
        if (txn_state_of(txn) == TXN_IDLE || txn->is_detached) continue;
        return true;
    }
    return false;
}

kh_status kh_db_close(kh_db *db) {
    if (db == NULL) return KH_OK;
    if (db_is_forked(db)) return KH_FORKED;
    if (is_in_use(db)) return KH_IN_USE;
    janitor_stop(db);
    /* A started commit whose handle was closed: its record must be answered for. */
    latch_take(&db->section);
    while (db->pipeline.count > 0 && !db->pipeline.is_lost && db->pipeline.log != NULL) {
        pipeline_ask(db);
        if (db->pipeline.count == 0 || db->pipeline.is_lost) break;
        db->waiters++;
        (void)latch_wait(&db->section, &db->progress, 0);
        db->waiters--;
    }
    latch_leave(&db->section);
    pipeline_rest(db);
    section_release_deferred(db);
    destroy(db);
    return KH_OK;
}

kh_identity kh_db_identity(const kh_db *db) {
    return db->identity;
}

kh_status kh_watch_open(kh_db *db, kh_bytes prefix, kh_watch **out, kh_error *error) {
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    return watch_open(&db->watches, prefix, out, error);
}
