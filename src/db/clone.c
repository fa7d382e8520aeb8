/* clone.c - see clone.h.
 *
 * Happy path: schemas, outcomes, prepared transactions and of each key the newest version at or
 * before the moment; the log's rest; what is still prepared goes; the storage becomes one beside an
 * empty log; files closed, opened, read, compared; MARK, KHONSU. Failure: clone_end removes what
 * was made. */
#include "db/clone.h"

#include "base/env_file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "batch/ipc.h"
#include "db/identity.h"
#include "log/checkpoint.h"
#include "log/state_key.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    STEP_BYTES = 4 << 20, /* written at once: what is held in memory for it */
    COMMIT_BYTES = 8,     /* at the end of a version's key */
    KEY_BYTES_MIN = 4 + COMMIT_BYTES
};

void clone_join(const struct clone *clone, const char *name, char out[4096]) {
    (void)snprintf(out, 4096, "%s/%s", clone->path, name);
}

static kh_status storage_fail(int code, kh_error *error) {
    kh_status status = KH_IO;
    if (code == EBADMSG) status = KH_CORRUPT;
    if (code == ENOSPC) status = KH_NO_SPACE;
    return status_fail(error, status, "the storage cannot be read or written (errno %d)", code);
}

/* ---- the tally ------------------------------------------------------------------------------- */

static uint64_t kind_of(kh_bytes key) {
    return ((const unsigned char *)key.data)[0];
}

/* Not what says how far the log was applied, nor outcomes: old ones go when RocksDB meets them. */
static bool is_counted(kh_bytes key) {
    return kind_of(key) != STATE_MARK && kind_of(key) != STATE_OUTCOME;
}

static void count(struct tally *tally, kh_bytes key, kh_bytes value, bool is_added) {
    uint64_t sign = is_added ? 1 : UINT64_MAX;
    for (uint64_t i = 0; i < 2; i++) {
        uint64_t seed = hash_bytes(key.data, key.size_bytes, i);
        tally->sums[i] += sign * hash_bytes(value.data, value.size_bytes, seed);
    }
    tally->count += sign;
    if (kind_of(key) != STATE_VERSION) return;
    tally->keys += sign;
    tally->bytes += sign * (value.size_bytes - STATE_VALUE_HEAD_BYTES);
}

static bool is_version_whole(kh_bytes key, kh_bytes value, uint64_t *commit, uint32_t *flags) {
    if (key.size_bytes < KEY_BYTES_MIN) return false;
    const unsigned char *at = (const unsigned char *)key.data + key.size_bytes - COMMIT_BYTES;
    uint32_t number;
    kh_bytes bytes;
    *commit = 0;
    for (int i = 0; i < COMMIT_BYTES; i++) *commit = *commit << 8 | at[i];
    return state_parse_value(*commit, value, &number, flags, &bytes);
}

struct reading {
    struct tally tally;
    bool is_damaged;
};

static bool read_entry(void *context, kh_bytes key, kh_bytes value) {
    struct reading *reading = context;
    uint64_t commit;
    uint32_t flags;
    if (!is_counted(key)) return true;
    if (kind_of(key) == STATE_VERSION)
        reading->is_damaged = !is_version_whole(key, value, &commit, &flags);
    if (!reading->is_damaged) count(&reading->tally, key, value, true);
    return !reading->is_damaged;
}

kh_status clone_read(const struct kh_storage *storage, struct tally *out, kh_error *error) {
    static const unsigned char first = 1; /* what begins with 0 is the instance's own */
    struct reading reading = {.is_damaged = false};
    int code = storage->scan(storage->context, (kh_bytes){&first, 1}, (kh_bytes){NULL, 0},
                             read_entry, &reading);
    if (code != 0) return storage_fail(code, error);
    if (reading.is_damaged)
        return status_fail(error, KH_CORRUPT, "the storage has a damaged value");
    if (out != NULL) *out = reading.tally;
    return KH_OK;
}

/* ---- the storage that counts ----------------------------------------------------------------- */

static bool take_away(void *context, kh_bytes key, kh_bytes value) {
    count(context, key, value, false);
    return false;
}

static int counted_apply(void *context, const kh_mutation *mutations, size_t mutation_count,
                         kh_log_position position) {
    struct clone *clone = context;
    const struct kh_storage *face = &clone->storage.face;
    for (size_t i = 0; i < mutation_count; i++) {
        const kh_mutation *mutation = &mutations[i];
        if (!is_counted(mutation->key)) continue;
        int code =
            clone->is_fresh ? 0 : face->get(face->context, mutation->key, take_away, &clone->tally);
        if (code != 0) return code;
        if (mutation->value.data != NULL)
            count(&clone->tally, mutation->key, mutation->value, true);
    }
    return face->apply(face->context, mutations, mutation_count, position);
}

static int counted_position(void *context, kh_log_position *out) {
    const struct kh_storage *face = &((struct clone *)context)->storage.face;
    return face->position(face->context, out);
}

static int counted_scan(void *context, kh_bytes from, kh_bytes to, kh_storage_visit_fn *visit,
                        void *visit_context) {
    const struct kh_storage *face = &((struct clone *)context)->storage.face;
    return face->scan(face->context, from, to, visit, visit_context);
}

static int counted_get(void *context, kh_bytes key, kh_storage_visit_fn *visit,
                       void *visit_context) {
    const struct kh_storage *face = &((struct clone *)context)->storage.face;
    return face->get(face->context, key, visit, visit_context);
}

/* ---- begin ----------------------------------------------------------------------------------- */

kh_status clone_check_place(const char *to, const char *from, kh_error *error) {
    bool is_within = false;
    int code = env_path_is_within(to, from, &is_within);
    if (code != 0)
        return status_fail(error, KH_IO, "%.160s cannot be looked up (errno %d)", to, code);
    if (!is_within) return KH_OK;
    return status_fail(error, KH_INVALID,
                       "%.100s lies in %.100s, which is not changed: name another place", to, from);
}

static kh_status make_directory(struct clone *clone, kh_error *error) {
    const char *path = clone->path;
    bool is_empty = false;
    int code = env_dir_make(path, &clone->is_made);
    if (code == 0) code = env_dir_is_empty(path, &is_empty);
    if (code == ENOTDIR) return status_fail(error, KH_INVALID, "%.180s is not a directory", path);
    if (code != 0) return status_fail(error, KH_IO, "%.160s cannot be made (errno %d)", path, code);
    if (!is_empty) return status_fail(error, KH_INVALID, "%.180s is not empty", path);
    clone->is_begun = true;
    return KH_OK;
}

static kh_status open_stores(struct clone *clone, enum rocks_open how, kh_error *error) {
    char path[4096];
    clone_join(clone, "log", path);
    kh_status status = rocks_open(clone->mem, path, ROCKS_LOG, how, &clone->rocks_log, error);
    if (status != KH_OK) return status;
    clone_join(clone, "values", path);
    status = rocks_open(clone->mem, path, ROCKS_VALUES, how, &clone->rocks_values, error);
    rocks_storage_init(&clone->storage, clone->rocks_log, clone->rocks_values);
    return status;
}

static void close_stores(struct clone *clone) {
    rocks_close(clone->rocks_values);
    rocks_close(clone->rocks_log);
    clone->rocks_values = clone->rocks_log = NULL;
}

kh_status clone_begin(struct clone *clone, struct mem *mem, const char *path, kh_error *error) {
    *clone = (struct clone){.mem = mem, .path = path};
    if (strlen(path) == 0 || strlen(path) >= CLONE_PATH_BYTES)
        return status_fail(error, KH_INVALID, "a path of %zu bytes", strlen(path));
    kh_status status = make_directory(clone, error);
    if (status != KH_OK) return status;
    clone->counted = (struct kh_storage){.version = KH_STORAGE_VERSION,
                                         .size = sizeof clone->counted,
                                         .context = clone,
                                         .apply = counted_apply,
                                         .position = counted_position,
                                         .scan = counted_scan,
                                         .get = counted_get};
    return open_stores(clone, ROCKS_CREATE, error);
}

/* ---- copying --------------------------------------------------------------------------------- */

struct copying {
    struct clone *clone;
    struct mutations set;
    kh_log_position position; /* of what is copied */
    kh_timestamp to;
    struct ipc_buffer key; /* of the newest version so far of the key at hand, and its value */
    struct ipc_buffer value;
    bool has_version;
    kh_status status;
    kh_error *error;
};

static kh_status write_set(struct copying *copying) {
    struct mutations *set = &copying->set;
    struct kh_storage *storage = &copying->clone->counted;
    if (set->is_failed) return status_no_memory(copying->error, set->size_bytes);
    const kh_mutation *list = mutations_seal(set);
    int code = storage->apply(storage->context, list, set->count, copying->position);
    mutations_clear(set);
    return code == 0 ? KH_OK : storage_fail(code, copying->error);
}

static kh_status put(struct copying *copying, kh_bytes key, kh_bytes value) {
    mutations_put(&copying->set, key, value, (kh_bytes){NULL, 0});
    return copying->set.size_bytes < STEP_BYTES ? KH_OK : write_set(copying);
}

static bool copy_entry(void *context, kh_bytes key, kh_bytes value) {
    struct copying *copying = context;
    copying->status = put(copying, key, value);
    return copying->status == KH_OK;
}

/* What was committed later was not, here. */
static bool copy_outcome(void *context, kh_bytes key, kh_bytes value) {
    struct copying *copying = context;
    uint64_t commit;
    bool is_aborted;
    if (!state_parse_outcome(value, &commit, &is_aborted))
        copying->status =
            status_fail(copying->error, KH_CORRUPT, "the storage has a damaged outcome");
    else if (is_aborted || commit <= copying->to)
        copying->status = put(copying, key, value);
    return copying->status == KH_OK;
}

static kh_status put_version(struct copying *copying) {
    if (!copying->has_version) return KH_OK;
    copying->has_version = false;
    return put(copying, (kh_bytes){copying->key.bytes, copying->key.size_bytes},
               (kh_bytes){copying->value.bytes, copying->value.size_bytes});
}

static bool is_same_key(const struct copying *copying, kh_bytes key) {
    return copying->key.size_bytes == key.size_bytes &&
           memcmp(copying->key.bytes, key.data, key.size_bytes - COMMIT_BYTES) == 0;
}

static kh_status keep(struct ipc_buffer *buffer, kh_bytes bytes, kh_error *error) {
    buffer->size_bytes = 0;
    ipc_buffer_append(buffer, bytes.data, bytes.size_bytes);
    return buffer->is_failed ? status_no_memory(error, bytes.size_bytes) : KH_OK;
}

/* Versions come by key, then oldest first. */
static kh_status take_version(struct copying *copying, kh_bytes key, kh_bytes value) {
    uint64_t commit;
    uint32_t flags;
    if (!is_version_whole(key, value, &commit, &flags))
        return status_fail(copying->error, KH_CORRUPT, "the storage has a damaged value");
    kh_status status = is_same_key(copying, key) ? KH_OK : put_version(copying);
    if (status != KH_OK || commit > copying->to) return status;
    status = keep(&copying->key, key, copying->error);
    if (status == KH_OK) status = keep(&copying->value, value, copying->error);
    copying->has_version = status == KH_OK && (flags & STATE_FLAG_DELETED) == 0;
    return status;
}

static bool copy_version(void *context, kh_bytes key, kh_bytes value) {
    struct copying *copying = context;
    copying->status = take_version(copying, key, value);
    return copying->status == KH_OK;
}

static kh_status copy_kind(struct copying *copying, const struct kh_storage *from,
                           enum state_kind kind, kh_storage_visit_fn *visit) {
    struct state_range range = state_range_of(kind);
    int code = from->scan(from->context, (kh_bytes){range.from, 1}, (kh_bytes){range.to, 1}, visit,
                          copying);
    if (copying->status != KH_OK) return copying->status;
    return code == 0 ? KH_OK : storage_fail(code, copying->error);
}

static kh_status copy_storage(struct clone *clone, const struct kh_storage *from, kh_timestamp to,
                              kh_log_position position, kh_error *error) {
    struct copying copying = {.clone = clone, .position = position, .to = to, .error = error};
    mutations_init(&copying.set, clone->mem);
    ipc_buffer_init(&copying.key, clone->mem);
    ipc_buffer_init(&copying.value, clone->mem);
    clone->is_fresh = true;
    kh_status status = copy_kind(&copying, from, STATE_SCHEMA, copy_entry);
    if (status == KH_OK) status = copy_kind(&copying, from, STATE_OUTCOME, copy_outcome);
    if (status == KH_OK) status = copy_kind(&copying, from, STATE_PREPARED, copy_entry);
    if (status == KH_OK) status = copy_kind(&copying, from, STATE_VERSION, copy_version);
    if (status == KH_OK) status = put_version(&copying);
    if (status == KH_OK) status = write_set(&copying); /* with the position, if nothing else */
    clone->is_fresh = false;
    ipc_buffer_fini(&copying.value);
    ipc_buffer_fini(&copying.key);
    mutations_fini(&copying.set);
    return status;
}

static bool delete_entry(void *context, kh_bytes key, kh_bytes value) {
    (void)value;
    mutations_delete(context, key, false);
    return true;
}

/* What is prepared and not decided: its coordinator asks the other database. */
static kh_status drop_prepared(struct clone *clone, kh_log_position position, kh_error *error) {
    struct kh_storage *storage = &clone->counted;
    struct state_range range = state_range_of(STATE_PREPARED);
    struct mutations set;
    mutations_init(&set, clone->mem);
    int code = storage->scan(storage->context, (kh_bytes){range.from, 1}, (kh_bytes){range.to, 1},
                             delete_entry, &set);
    kh_status status = set.is_failed ? status_no_memory(error, set.size_bytes) : KH_OK;
    if (status == KH_OK && code == 0) {
        const kh_mutation *list = mutations_seal(&set);
        code = storage->apply(storage->context, list, set.count, position);
    }
    if (status == KH_OK && code != 0) status = storage_fail(code, error);
    mutations_fini(&set);
    return status;
}

static kh_status check_moment(const struct checkpoint *from, kh_timestamp to, kh_error *error) {
    if (to == 0 || to >= from->horizon) return KH_OK;
    return status_fail(error, KH_TOO_OLD, "history begins at timestamp %llu",
                       (unsigned long long)from->horizon);
}

/* The log's rest; then the storage is one beside an empty log. */
static kh_status apply_log(struct clone *clone, struct checkpoint *checkpoint, kh_timestamp to,
                           kh_error *error) {
    bool has_more = true;
    kh_status status = KH_OK;
    checkpoint->swept = checkpoint->applied;
    checkpoint->until = to == 0 ? UINT64_MAX : to;
    while (has_more && status == KH_OK)
        status = checkpoint_step(checkpoint, checkpoint->until, STEP_BYTES, &has_more, error);
    if (status == KH_OK) status = drop_prepared(clone, checkpoint->applied, error);
    if (status != KH_OK) return status;
    struct env_clock clock = env_clock_system();
    if (to > checkpoint->newest_commit && to > KH_TIMESTAMP_OF_MS(env_wall_ms(&clock)))
        return status_fail(error, KH_INVALID, "that timestamp is in the future");
    clone->moment = to == 0 ? checkpoint->newest_commit : to;
    return checkpoint_rebase(checkpoint, clone->moment, error);
}

kh_status clone_fill(struct clone *clone, struct at_rest *source, kh_timestamp to,
                     kh_error *error) {
    const struct kh_log *log = &source->log->face;
    const struct kh_storage *storage = &source->storage.face;
    struct checkpoint from;
    struct checkpoint onto;
    kh_status status = checkpoint_init(&from, clone->mem, log, storage, error);
    if (status != KH_OK) return status;
    status = check_moment(&from, to, error);
    if (status == KH_OK)
        status = copy_storage(clone, storage, to == 0 ? UINT64_MAX : to, from.applied, error);
    if (status == KH_OK) status = checkpoint_init(&onto, clone->mem, log, &clone->counted, error);
    if (status == KH_OK) {
        onto.newest_commit = from.newest_commit;
        status = apply_log(clone, &onto, to, error);
        checkpoint_fini(&onto);
    }
    checkpoint_fini(&from);
    clone->id_ms = source->mark.id_ms;
    /* Whoever follows the changes from an earlier moment must not believe that there were none. */
    if (status == KH_OK && clone->moment != 0)
        status = rocks_log_note_trimmed(clone->rocks_values, clone->moment, error);
    if (status == KH_OK) status = rocks_flush(clone->rocks_log, error);
    return status == KH_OK ? rocks_flush(clone->rocks_values, error) : status;
}

/* ---- finish ---------------------------------------------------------------------------------- */

static kh_status check_files(struct clone *clone, kh_error *error) {
    struct tally tally;
    struct checkpoint checkpoint;
    kh_status status = open_stores(clone, ROCKS_READ, error);
    if (status == KH_OK) status = clone_read(&clone->storage.face, &tally, error);
    if (status != KH_OK) return status;
    status = checkpoint_init(&checkpoint, clone->mem, NULL, &clone->storage.face, error);
    if (status != KH_OK) return status;
    bool is_same = memcmp(&tally, &clone->tally, sizeof tally) == 0 && checkpoint.applied == 0 &&
                   checkpoint.newest_commit == clone->moment && rocks_is_empty(clone->rocks_log);
    checkpoint_fini(&checkpoint);
    if (is_same) return KH_OK;
    return status_fail(error, KH_CORRUPT, "%.160s does not hold what was written", clone->path);
}

static kh_status make_files(struct clone *clone, kh_identity *identity, kh_error *error) {
    char path[4096];
    struct mark mark = {.is_clean = true, .id_ms = clone->id_ms};
    env_random(identity, sizeof *identity);
    clone_join(clone, "MARK", path);
    kh_status status = mark_create(path, &mark, error);
    if (status != KH_OK) return status;
    int code = env_dir_sync(clone->path);
    if (code != 0)
        return status_fail(error, KH_IO, "%.160s cannot be synced (errno %d)", clone->path, code);
    return identity_make(clone->path, identity, error);
}

kh_status clone_finish(struct clone *clone, kh_restored *out, kh_error *error) {
    kh_identity identity;
    close_stores(clone);
    kh_status status = check_files(clone, error);
    close_stores(clone);
    if (status == KH_OK) status = make_files(clone, &identity, error);
    if (status != KH_OK) return status;
    clone->is_begun = clone->is_made = false;
    if (out != NULL)
        *out = (kh_restored){.identity = identity,
                             .timestamp = clone->moment,
                             .keys = clone->tally.keys,
                             .bytes = clone->tally.bytes};
    return KH_OK;
}

/* KHONSU first, then all that was beside it. RocksDB's own removal leaves what it does not know: a
 * copy that was cut off. */
static void remove_files(const struct clone *clone) {
    static const char *const names[] = {"KHONSU", "KHONSU.new", "MARK",       "MARK.new",
                                        "values", "log",        "backup-log", "backup-values"};
    char path[4096];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        clone_join(clone, names[i], path);
        (void)env_tree_remove(path);
    }
}

void clone_end(struct clone *clone) {
    close_stores(clone);
    if (clone->is_begun) remove_files(clone);
    if (clone->is_made) (void)env_dir_remove(clone->path);
    clone->is_begun = clone->is_made = false;
}
