/* changes.c - the change feed's public face: see changes.h and khonsu/changes.h. */
#include "db/changes.h"

#include "base/limits.h"
#include "base/status.h"
#include "db/durable.h"
#include "log/rocks_log.h"

static const kh_changes_options default_options = KH_CHANGES_OPTIONS_INIT;

/* An open feed may be behind by so much before the log is trimmed under it: long enough for a pause
 * of its thread, not so long that a feed that nobody reads fills the disk. */
enum { LAG_MS = 60 * 1000 };

/* ---- open and close -------------------------------------------------------------------------- */

static kh_status check_options(const kh_changes_options *options, kh_error *error) {
    if (options->flags & ~(uint32_t)(KH_CHANGES_KEYS_ONLY | KH_CHANGES_OLDEST))
        return status_fail(error, KH_INVALID, "unknown flags 0x%x", options->flags);
    if (options->prefix.data == NULL && options->prefix.size_bytes > 0)
        return status_fail(error, KH_INVALID, "prefix of %zu bytes is NULL",
                           options->prefix.size_bytes);
    if (options->prefix.size_bytes > LIMIT_KEY_BYTES)
        return status_fail(error, KH_TOO_BIG, "prefix of %zu bytes, a key has at most %u",
                           options->prefix.size_bytes, LIMIT_KEY_BYTES);
    return KH_OK;
}

static struct rocks_log *log_of(const struct kh_db *db) {
    return durable_log(db)->context;
}

/* At place 0 until it has one: what it looks for is not trimmed under its hands. */
static void enlist(struct kh_changes *feed) {
    struct kh_db *db = feed->db;
    lock_take(&db->feed_lock);
    feed->next_feed = db->first_feed;
    db->first_feed = feed;
    atomic_fetch_add_explicit(&db->feeds, 1, memory_order_relaxed);
    lock_leave(&db->feed_lock);
}

static void strike_out(struct kh_changes *feed) {
    struct kh_db *db = feed->db;
    lock_take(&db->feed_lock);
    struct kh_changes **link = &db->first_feed;
    while (*link != feed) link = &(*link)->next_feed;
    *link = feed->next_feed;
    lock_leave(&db->feed_lock);
}

static void free_feed(struct kh_changes *feed) {
    struct kh_db *db = feed->db;
    strike_out(feed);
    batch_release(feed->lent, NULL);
    for (struct feed_record *record = feed->first; record != NULL; record = record->next)
        changes_free_frame(feed, record->held);
    changes_free_frames(feed);
    arena_fini(&feed->arena);
    mem_free(db->home.mem, NULL, feed, sizeof *feed + feed->prefix_bytes);
    atomic_fetch_sub_explicit(&db->feeds, 1, memory_order_release); /* last: close may follow */
}

kh_status kh_changes_open(kh_db *db, kh_timestamp after, const kh_changes_options *options,
                          kh_changes **out, kh_error *error) {
    kh_changes_options known = default_options;
    if (db == NULL || out == NULL)
        return status_fail(error, KH_INVALID, "%s is NULL", db == NULL ? "db" : "out");
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    kh_status status = KH_OK;
    if (options != NULL)
        status = status_copy_sized(&known, sizeof known, options, "kh_changes_options", error);
    if (status == KH_OK) status = check_options(&known, error);
    if (status != KH_OK) return status;
    if (db->durable == NULL)
        return status_fail(error, KH_UNSUPPORTED, "a database without a path keeps no log to read");
    if (db->as_of != 0)
        return status_fail(error, KH_UNSUPPORTED, "the database is open as of a timestamp");
    size_t size_bytes = sizeof(struct kh_changes) + known.prefix.size_bytes;
    struct kh_changes *feed = mem_alloc_zeroed(db->home.mem, NULL, size_bytes);
    if (feed == NULL) return status_no_memory(error, size_bytes);
    feed->db = db;
    feed->log = log_of(db);
    feed->fork_generation = env_fork_generation();
    feed->flags = known.flags;
    feed->after = feed->shown = after;
    feed->prefix_bytes = known.prefix.size_bytes;
    if (feed->prefix_bytes > 0) memcpy(feed->prefix, known.prefix.data, feed->prefix_bytes);
    atomic_init(&feed->references, 1);
    arena_init(&feed->arena, db->home.mem, NULL);
    enlist(feed);
    status = changes_find_place(feed, error);
    if (status != KH_OK) {
        free_feed(feed);
        return status;
    }
    *out = feed;
    return KH_OK;
}

void changes_hold(struct kh_changes *feed) {
    atomic_fetch_add_explicit(&feed->references, 1, memory_order_relaxed);
}

void changes_drop(struct kh_changes *feed) {
    if (atomic_fetch_sub_explicit(&feed->references, 1, memory_order_acq_rel) == 1) free_feed(feed);
}

void kh_changes_cancel(kh_changes *changes) {
    if (changes == NULL || env_is_forked(changes->fork_generation)) return;
    atomic_store_explicit(&changes->is_cancelled, true, memory_order_release);
    rocks_log_wake(changes->log);
}

void kh_changes_close(kh_changes *changes) {
    if (changes == NULL || env_is_forked(changes->fork_generation)) return;
    kh_changes_cancel(changes); /* a stream that is left */
    changes_drop(changes);
}

kh_timestamp kh_changes_position(const kh_changes *changes) {
    return changes == NULL ? 0 : changes->shown;
}

/* ---- what is read and not shown -------------------------------------------------------------- */

static void pop(struct kh_changes *feed) {
    struct feed_record *record = feed->first;
    feed->shown = record->commit;
    feed->first = record->next;
    changes_free_frame(feed, record->held);
    if (feed->first != NULL) return;
    feed->last = NULL;
    arena_reset(&feed->arena);
}

static kh_status look_ahead(const struct kh_changes *feed, struct feed_record *record,
                            kh_error *error) {
    kh_status status = changes_next_write(feed, &record->raw, &record->ahead, error);
    record->has_ahead = status == KH_OK;
    return status == KH_END ? KH_OK : status;
}

static kh_status open_record(struct kh_changes *feed, struct feed_record *record, kh_error *error) {
    kh_status status = KH_OK;
    if (record->frame.data == NULL) status = changes_find_frame(feed, record, error);
    if (status != KH_OK) return status;
    if (record->frame.size_bytes > 0) status = raw_open(record->frame, &record->raw, error);
    if (status == KH_OK && record->frame.size_bytes > 0) status = look_ahead(feed, record, error);
    record->is_open = status == KH_OK;
    return status;
}

/* NULL: a deletion, or nobody wants it. */
static kh_status decode(struct kh_changes *feed, const struct raw_write *write, kh_batch **out,
                        kh_error *error) {
    struct kh_db *db = feed->db;
    *out = NULL;
    if (write->value.data == NULL || (feed->flags & KH_CHANGES_KEYS_ONLY)) return KH_OK;
    const kh_schema *schema = log_schemas_find(&db->pipeline.schemas, write->schema_number);
    if (schema == NULL)
        return status_fail(error, KH_CORRUPT, "the log has a value of the unknown schema %u",
                           write->schema_number);
    return ipc_decode_value(db->home.mem, NULL, schema, write->value, out, error);
}

void changes_take_back(struct kh_changes *feed) {
    struct feed_record *record = feed->first;
    record->raw = record->raw_before;
    record->ahead = record->ahead_before;
    record->has_ahead = true;
    feed->shown = feed->shown_before;
}

static kh_status show(struct kh_changes *feed, struct feed_record *record, kh_change *change,
                      kh_error *error) {
    struct raw_write write = record->ahead_before = record->ahead;
    record->raw_before = record->raw;
    feed->shown_before = feed->shown;
    kh_status status = decode(feed, &write, &feed->lent, error);
    if (status == KH_OK) status = look_ahead(feed, record, error);
    if (status != KH_OK) {
        changes_take_back(feed);
        return status;
    }
    bool is_put = write.value.data != NULL;
    *change = (kh_change){.key = write.key,
                          .timestamp = record->commit,
                          .id = record->id,
                          .operation = is_put ? KH_OPERATION_PUT : KH_OPERATION_DELETE,
                          .value = feed->lent,
                          .tag = raw_tag(&record->raw),
                          .is_last_of_commit = !record->has_ahead};
    if (!record->has_ahead) feed->shown = record->commit;
    return KH_OK;
}

/* KH_END: all that was read is shown. */
static kh_status show_read(struct kh_changes *feed, kh_change *change, kh_error *error) {
    while (feed->first != NULL) {
        struct feed_record *record = feed->first;
        kh_status status = record->is_open ? KH_OK : open_record(feed, record, error);
        if (status != KH_OK) return status;
        if (record->has_ahead) return show(feed, record, change, error);
        pop(feed);
    }
    if (feed->shown < feed->after) feed->shown = feed->after;
    return KH_END;
}

/* ---- taking ---------------------------------------------------------------------------------- */

static kh_status refuse_cancelled(kh_error *error) {
    return status_fail(error, KH_CANCELLED, "the change feed was cancelled");
}

static bool is_cancelled(const struct kh_changes *feed) {
    return atomic_load_explicit(&feed->is_cancelled, memory_order_acquire);
}

/* Nothing more is durable. KH_OK: now there is. */
static kh_status await(struct kh_changes *feed, uint64_t deadline_ns, kh_error *error) {
    struct rocks_log *log = feed->log;
    if (rocks_log_await(log, feed->next, deadline_ns, &feed->is_cancelled) > feed->next)
        return KH_OK;
    if (is_cancelled(feed)) return refuse_cancelled(error);
    if (!rocks_log_has_failed(log)) return KH_PENDING;
    /* What has become durable before it failed comes first. */
    if (rocks_log_await(log, feed->next, 0, &feed->is_cancelled) > feed->next) return KH_OK;
    return status_fail(error, KH_POISONED, "the log has failed: what is durable was shown");
}

kh_status changes_take(struct kh_changes *feed, kh_log_position end, uint64_t deadline_ns,
                       kh_change *change, kh_error *error) {
    batch_release(feed->lent, NULL);
    feed->lent = NULL;
    for (;;) {
        if (is_cancelled(feed)) return refuse_cancelled(error);
        kh_status status = show_read(feed, change, error);
        if (status != KH_END) return status;
        if (feed->next >= end) return KH_END;
        status = changes_read(feed, end, error);
        if (status == KH_PENDING) status = await(feed, deadline_ns, error);
        if (status != KH_OK) return status;
    }
}

kh_status kh_changes_next(kh_changes *changes, uint32_t timeout_ms, kh_change *change,
                          kh_error *error) {
    if (changes == NULL || change == NULL)
        return status_fail(error, KH_INVALID, "%s is NULL", changes == NULL ? "changes" : "change");
    if (env_is_forked(changes->fork_generation))
        return status_fail(error, KH_FORKED, "the feed was opened by the parent process");
    uint64_t deadline_ns = timeout_ms == UINT32_MAX ? UINT64_MAX : 0;
    if (timeout_ms != 0 && timeout_ms != UINT32_MAX) {
        /* The wait is in real time, whatever the database's clock hook says. */
        struct env_clock clock = env_clock_system();
        deadline_ns = env_monotonic_ns(&clock) + (uint64_t)timeout_ms * 1000000u;
    }
    return changes_take(changes, UINT64_MAX, deadline_ns, change, error);
}

/* ---- the log's length ------------------------------------------------------------------------ */

/* The place of what was committed within so many milliseconds; 0: it cannot be found. */
static kh_log_position place_of_age(struct kh_db *db, uint64_t age_ms) {
    uint64_t now_ms = env_wall_ms(&db->clock);
    kh_timestamp bound = now_ms > age_ms ? KH_TIMESTAMP_OF_MS(now_ms - age_ms) : 0;
    kh_log_position place = 0;
    return rocks_log_find(log_of(db), bound, &place, NULL) == KH_OK ? place : 0;
}

static kh_log_position oldest_place(struct kh_db *db) {
    kh_log_position oldest = UINT64_MAX;
    lock_take(&db->feed_lock);
    for (struct kh_changes *feed = db->first_feed; feed != NULL; feed = feed->next_feed) {
        kh_log_position place = atomic_load_explicit(&feed->place, memory_order_relaxed);
        if (place < oldest) oldest = place;
    }
    lock_leave(&db->feed_lock);
    return oldest;
}

static kh_log_position lesser(kh_log_position a, kh_log_position b) {
    return a < b ? a : b;
}

kh_log_position changes_kept(struct kh_db *db, kh_log_position before) {
    if (db->durable == NULL) return before;
    bool is_kept = db->store.retention_ms != 0 && db->store.retention_bytes == 0;
    if (is_kept) before = lesser(before, place_of_age(db, db->store.retention_ms));
    kh_log_position oldest = oldest_place(db);
    if (oldest >= before) return before;
    kh_log_position bound = place_of_age(db, LAG_MS);
    return lesser(before, oldest > bound ? oldest : bound);
}
