/* durable.c - see durable.h.
 *
 * Happy path of open: directory, LOCK, KHONSU, MARK (marked as in use, ids reserved, synced), the
 * store, the log's end. Of close: what the log has left, then MARK as clean. Failure: whatever was
 * taken is given back in the opposite order; an existing database is as it was, but for the torn
 * end that a crash left in its log. */
#include "db/durable.h"

#include "base/env_file.h"
#include "base/status.h"
#include "db/at_rest.h"
#include "db/identity.h"
#include "db/opening.h"
#include "log/rocks_history.h"
#include "log/rocks_log.h"
#include "log/rocks_storage.h"
#include "log/state_key.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    PATH_BYTES = 3800,       /* room for names behind it in 4,096 */
    ID_AHEAD_MS = 60 * 1000, /* at most 2^20 ids in a millisecond: a minute of them is hours */
    ID_SPARE_MS = 10 * 1000, /* of those that are reserved, for the ids to count through */
    ID_STEP_MS = 60 * 1000,  /* so far ids lag behind the clock */
    DEFAULT_SYNC_DELAY_US = 1000
};

const bool durable_is_built = true;

struct durable {
    int lock;
    int mark_file;
    struct mark mark; /* as it was found; then the log has it */
    bool was_clean;
    struct rocks *rocks_log; /* the instances */
    struct rocks *rocks_values;
    struct rocks_log *log;
    struct rocks_storage storage;
    char path[PATH_BYTES];
};

static void join(char out[4096], const struct durable *durable, const char *name) {
    (void)snprintf(out, 4096, "%s/%s", durable->path, name);
}

static kh_status fail(int code, const char *path, const char *what, kh_error *error) {
    kh_status status = code == ENOSPC ? KH_NO_SPACE : KH_IO;
    return status_fail(error, status, "%.160s: %s (errno %d)", path, what, code);
}

static kh_status take_lock(struct durable *durable, kh_error *error) {
    char path[4096];
    uint64_t owner;
    join(path, durable, "LOCK");
    int descriptor = env_lock(path, &owner);
    if (descriptor == -EAGAIN)
        return status_fail(error, KH_IN_USE, "%.160s is open in process %llu", durable->path,
                           (unsigned long long)owner);
    bool is_forbidden = descriptor == -EACCES || descriptor == -EPERM || descriptor == -EROFS;
    if (is_forbidden) return fail(-descriptor, durable->path, "no right to write there", error);
    if (descriptor < 0) return fail(-descriptor, durable->path, "cannot be locked", error);
    durable->lock = descriptor;
    return KH_OK;
}

/* RocksDB opens files by their paths as long as it lives: where the process is by then must not
 * matter. */
static kh_status resolve(struct durable *durable, kh_error *error) {
    char path[4096];
    int code = env_path_resolve(durable->path, path);
    if (code != 0) return fail(code, durable->path, "the directory cannot be found", error);
    size_t length = strlen(path);
    if (length >= PATH_BYTES)
        return status_fail(error, KH_INVALID, "%.160s: a path of %zu bytes", path, length);
    memcpy(durable->path, path, length + 1);
    return KH_OK;
}

static kh_status make_directory(struct durable *durable, bool *is_new, kh_error *error) {
    int code = env_dir_make(durable->path, is_new);
    if (code == ENOTDIR)
        return status_fail(error, KH_INVALID, "%.160s is not a directory", durable->path);
    if (code != 0) return fail(code, durable->path, "the directory cannot be made", error);
    return resolve(durable, error);
}

static kh_status enter_directory(struct durable *durable, kh_error *error) {
    bool is_new = false;
    kh_status status = make_directory(durable, &is_new, error);
    if (status != KH_OK) return status;
    char identity[4096];
    char lock[4096];
    bool is_ours = false;
    bool is_empty = false;
    join(identity, durable, "KHONSU");
    join(lock, durable, "LOCK");
    int code = env_path_look(identity, &is_ours);
    if (is_new || is_ours) return take_lock(durable, error);
    if (code == 0) code = env_path_look(lock, &is_empty); /* an opening that got no further */
    if (code == 0 && !is_empty) code = env_dir_is_empty(durable->path, &is_empty);
    if (code != 0) return fail(code, durable->path, "the directory cannot be read", error);
    if (!is_empty)
        return status_fail(error, KH_INVALID, "%.160s is not empty and not a database of khonsu",
                           durable->path);
    return take_lock(durable, error);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static kh_status open_stores(struct kh_db *db, kh_error *error) {
    struct durable *durable = db->durable;
    struct mem *mem = db->home.mem;
    char path[4096];
    join(path, durable, "log");
    uint64_t memory_bytes = db->limits.memory_bytes;
    kh_status status = rocks_open(mem, path, ROCKS_LOG, ROCKS_WRITE, &durable->rocks_log, error);
    if (status != KH_OK) return status;
    join(path, durable, "values");
    status = rocks_open_within(mem, path, ROCKS_VALUES, ROCKS_WRITE, memory_bytes,
                               &durable->rocks_values, error);
    if (status != KH_OK || !(db->flags & KH_OPEN_INGEST)) return status;
    rocks_set_loading(durable->rocks_log);
    rocks_set_loading(durable->rocks_values);
    return KH_OK;
}

static kh_status open_mark(struct kh_db *db, const char *path, kh_error *error) {
    struct durable *durable = db->durable;
    kh_status status = mark_open(path, &durable->mark_file, &durable->mark, error);
    if (status != KH_OK) return status;
    durable->was_clean = durable->mark.is_clean;
    uint64_t id_ms = env_wall_ms(&db->clock);
    if (durable->mark.id_ms > id_ms) id_ms = durable->mark.id_ms;
    atomic_store_explicit(&db->next_id, id_ms << 20 | 1, memory_order_relaxed);
    struct mark mark = durable->mark;
    mark.is_clean = false;
    mark.id_ms = id_ms + ID_AHEAD_MS;
    status = mark_write(durable->mark_file, &mark, true, error);
    if (status == KH_OK) durable->mark.id_ms = mark.id_ms;
    return status;
}

static kh_status open_log(struct kh_db *db, kh_error *error) {
    struct durable *durable = db->durable;
    kh_log_position at;
    rocks_storage_init(&durable->storage, durable->rocks_log, durable->rocks_values);
    int code = durable->storage.face.position(&durable->storage, &at);
    if (code != 0) return fail(code, durable->path, "the storage cannot be read", error);
    struct rocks_log_options options = {
        .log = durable->rocks_log,
        .path = durable->path,
        .values = durable->rocks_values,
        .identity = db->identity,
        .mark = durable->mark,
        .mark_file = durable->mark_file,
        .at = at,
        .delay_ns = (uint64_t)db->sync_delay_us * 1000u,
        .clock = db->clock,
        .has_thread = (db->flags & KH_OPEN_NO_THREADS) == 0,
    };
    opening_check(db->opening, &options);
    return rocks_log_create(db->home.mem, &options, &durable->log, error);
}

/* An empty store, made under another name: a loss of power may leave half of one, and half of one
 * cannot be opened. Under its own name it is whole. */
static kh_status make_store(struct kh_db *db, const char *name, enum rocks_kind kind,
                            kh_error *error) {
    char path[4096];
    char fresh[4096];
    struct rocks *rocks = NULL;
    bool is_there;
    join(path, db->durable, name);
    int code = env_path_look(path, &is_there);
    if (code != 0) return fail(code, path, "cannot be made", error);
    if (is_there) return KH_OK;
    int length = snprintf(fresh, sizeof fresh, "%s/%s.new", db->durable->path, name);
    kh_assert(length > 0 && (size_t)length < sizeof fresh);
    kh_status status = env_path_exists(fresh) ? rocks_erase(fresh, error) : KH_OK;
    if (status == KH_OK)
        status = rocks_open(db->home.mem, fresh, kind, ROCKS_CREATE, &rocks, error);
    rocks_close(rocks);
    if (status != KH_OK) return status;
    code = env_rename(fresh, path);
    return code == 0 ? KH_OK : fail(code, path, "cannot be made", error);
}

/* Without a mark: new, or an opening that got no further. The stores first: a mark says that they
 * were there. */
static kh_status make_parts(struct kh_db *db, const char *mark, kh_error *error) {
    struct durable *durable = db->durable;
    kh_status status = make_store(db, "log", ROCKS_LOG, error);
    if (status == KH_OK) status = make_store(db, "values", ROCKS_VALUES, error);
    if (status == KH_OK) status = open_stores(db, error);
    if (status != KH_OK) return status;
    if (!rocks_is_empty(durable->rocks_log) || !rocks_is_empty(durable->rocks_values))
        return status_fail(error, KH_CORRUPT, "%.160s is missing", mark);
    struct mark fresh = {.is_clean = true};
    status = mark_create(mark, &fresh, error);
    return status == KH_OK ? open_mark(db, mark, error) : status;
}

/* Ids of their own, in the half that ids made of a clock never reach: the directory cannot say
 * which are taken. */
static kh_status open_to_read(struct kh_db *db, kh_error *error) {
    struct durable *durable = db->durable;
    struct at_rest at_rest;
    uint64_t id;
    bool is_there = false;
    kh_status status = KH_OK;
    if (env_path_look(durable->path, &is_there) == 0 && is_there) status = resolve(durable, error);
    if (status != KH_OK) return status;
    status = at_rest_open(db->home.mem, durable->path, &db->clock, db->opening, &at_rest, error);
    if (status != KH_OK) return status;
    durable->mark = at_rest.mark;
    durable->was_clean = true; /* no timestamp is given out */
    durable->rocks_log = at_rest.rocks_log;
    durable->rocks_values = at_rest.rocks_values;
    durable->log = at_rest.log;
    rocks_storage_init(&durable->storage, durable->rocks_log, durable->rocks_values);
    db->identity = at_rest.identity;
    env_random(&id, sizeof id);
    atomic_store_explicit(&db->next_id, UINT64_C(1) << 63 | id >> 2 | 1, memory_order_relaxed);
    return KH_OK;
}

static kh_status open_parts(struct kh_db *db, kh_error *error) {
    if (db->flags & KH_OPEN_READ_ONLY) return open_to_read(db, error);
    char mark[4096];
    char identity[4096];
    kh_status status = enter_directory(db->durable, error);
    if (status != KH_OK) return status;
    join(mark, db->durable, "MARK");
    join(identity, db->durable, "KHONSU");
    bool has_mark = false;
    bool has_identity = false;
    int code = env_path_look(mark, &has_mark);
    if (code == 0) code = env_path_look(identity, &has_identity);
    if (code != 0) return fail(code, db->durable->path, "the directory cannot be read", error);
    /* A new one would be of another database. */
    if (has_mark && !has_identity)
        return status_fail(error, KH_CORRUPT, "%.160s is missing", identity);
    status = identity_open(db->durable->path, &db->identity, error);
    if (status != KH_OK) return status;
    if (has_mark) {
        status = open_mark(db, mark, error);
        if (status == KH_OK) status = open_stores(db, error);
    } else {
        status = make_parts(db, mark, error);
    }
    return status == KH_OK ? open_log(db, error) : status;
}

kh_status durable_open(struct kh_db *db, const kh_options *options, kh_error *error) {
    size_t length = strlen(options->path);
    if (length == 0 || length >= PATH_BYTES)
        return status_fail(error, KH_INVALID, "a path of %zu bytes", length);
    struct durable *durable = mem_own_alloc(db->home.mem, sizeof *durable);
    if (durable == NULL) return status_no_memory(error, sizeof *durable);
    memset(durable, 0, sizeof *durable);
    durable->lock = durable->mark_file = -1;
    memcpy(durable->path, options->path, length + 1);
    db->sync_delay_us =
        options->sync_delay_us != 0 ? options->sync_delay_us : DEFAULT_SYNC_DELAY_US;
    db->durable = durable;
    kh_status status = open_parts(db, error);
    if (status != KH_OK) durable_close(db);
    return status;
}

const struct kh_log *durable_log(const struct kh_db *db) {
    return db->durable == NULL ? NULL : &db->durable->log->face;
}

const struct kh_storage *durable_storage(const struct kh_db *db) {
    return db->durable == NULL ? NULL : &db->durable->storage.face;
}

kh_status durable_sync_log(struct kh_db *db, kh_error *error) {
    return db->durable == NULL ? KH_OK : rocks_log_sync(db->durable->log, error);
}

bool durable_is_loading(const struct kh_db *db) {
    return db->durable != NULL && rocks_log_is_loading(db->durable->log);
}

uint64_t durable_memory_bytes(const struct kh_db *db) {
    return db->durable == NULL ? 0 : rocks_memory_bytes(db->limits.memory_bytes);
}

void durable_head(const struct kh_db *db, kh_head *out) {
    struct digest digest;
    rocks_log_head(db->durable->log, &out->number, &out->position, &digest);
    memcpy(out->digest, digest.bytes, KH_DIGEST_BYTES);
}

kh_status durable_history(const struct kh_db *db, struct history *out, kh_error *error) {
    const struct durable *durable = db->durable;
    return history_init(out, db->home.mem, durable->rocks_log, durable->rocks_values, &db->identity,
                        error);
}

bool durable_stores(const struct kh_db *db, struct durable_stores *out) {
    const struct durable *durable = db->durable;
    if (durable == NULL) return false;
    *out = (struct durable_stores){durable->log, durable->rocks_log, durable->rocks_values};
    return true;
}

uint64_t durable_values_bytes(const struct kh_db *db) {
    return db->durable == NULL ? 0 : rocks_bytes(db->durable->rocks_values);
}

uint64_t durable_records_behind(const struct kh_db *db, kh_log_position from) {
    kh_head head;
    if (db->durable == NULL) return 0;
    durable_head(db, &head);
    return head.position - from;
}

kh_status durable_compact(struct kh_db *db, kh_error *error) {
    const struct durable *durable = db->durable;
    if (durable == NULL) return KH_OK;
    kh_status status = rocks_compact(durable->rocks_log, error);
    return status == KH_OK ? rocks_compact(durable->rocks_values, error) : status;
}

bool durable_storage_is_stuck(const struct kh_db *db) {
    const struct durable *durable = db->durable;
    return durable != NULL && db->storage == &durable->storage.face &&
           rocks_is_stuck(durable->rocks_values);
}

kh_status durable_reopen_storage(const struct kh_db *db, kh_error *error) {
    return rocks_reopen(db->durable->rocks_values, error);
}

kh_status durable_check_room(const struct kh_db *db, kh_error *error) {
    if (db->durable == NULL || rocks_log_has_room(db->durable->log)) return KH_OK;
    return status_fail(error, KH_NO_SPACE, "the device is full");
}

kh_status durable_forgotten(const struct kh_db *db, kh_timestamp newest, kh_timestamp *below,
                            kh_error *error) {
    const kh_timestamp day = KH_TIMESTAMP_OF_MS(STATE_OUTCOME_MS);
    kh_timestamp trimmed = 0;
    *below = 0;
    if (db->durable == NULL || newest <= day) return KH_OK;
    kh_status status = rocks_log_trimmed(db->durable->log, &trimmed, error);
    if (status == KH_OK) *below = trimmed < newest - day ? trimmed : newest - day;
    return status;
}

kh_status durable_forget(const struct kh_db *db, kh_timestamp newest, kh_error *error) {
    kh_timestamp below = 0;
    kh_status status = durable_forgotten(db, newest, &below, error);
    if (status == KH_OK && db->durable != NULL)
        rocks_forget_below(db->durable->rocks_values, below);
    return status;
}

void durable_follow_clock(struct kh_db *db) {
    struct mark mark;
    if (db->durable == NULL || (db->flags & KH_OPEN_READ_ONLY)) return;
    rocks_log_mark(db->durable->log, &mark);
    uint64_t now_ms = env_wall_ms(&db->clock);
    if (now_ms + ID_SPARE_MS > mark.id_ms) now_ms = mark.id_ms - ID_SPARE_MS;
    uint64_t next = atomic_load_explicit(&db->next_id, memory_order_relaxed);
    while (now_ms > (next >> 20) + ID_STEP_MS &&
           !atomic_compare_exchange_weak_explicit(&db->next_id, &next, now_ms << 20 | 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

bool durable_watch_room(const struct kh_db *db) {
    return db->durable == NULL || rocks_log_watch_room(db->durable->log);
}

void durable_restored(struct kh_db *db) {
    const struct durable *durable = db->durable;
    rocks_log_forget(durable->log);
    kh_timestamp reserved = KH_TIMESTAMP_OF_MS(durable->mark.time_ms);
    if (!durable->was_clean && db->store.clock < reserved) db->store.clock = reserved;
}

void durable_quiet(struct kh_db *db) {
    if (db->durable != NULL && db->durable->log != NULL) rocks_log_stop(db->durable->log);
}

void durable_step(struct kh_db *db) {
    if (db->durable != NULL && db->durable->log->thread == NULL) rocks_log_tick(db->durable->log);
}

static void close_log(struct kh_db *db) {
    struct durable *durable = db->durable;
    struct mark mark;
    if (rocks_log_end(durable->log, &mark) && durable->mark_file >= 0) {
        uint64_t next_id = atomic_load_explicit(&db->next_id, memory_order_relaxed);
        mark.is_clean = true;
        mark.id_ms = (next_id >> 20) + 1;
        mark.time_ms = 0;
        (void)mark_write(durable->mark_file, &mark, true, NULL); /* else: not clean, then */
    }
    rocks_log_destroy(durable->log);
}

void durable_close(struct kh_db *db) {
    struct durable *durable = db->durable;
    if (durable == NULL) return;
    if (durable->log != NULL) close_log(db);
    rocks_close(durable->rocks_values);
    rocks_close(durable->rocks_log);
    env_close(durable->mark_file);
    env_close(durable->lock);
    mem_own_free(db->home.mem, durable, sizeof *durable);
    db->durable = NULL;
}
