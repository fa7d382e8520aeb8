/* closed.c - see closed.h.
 *
 * Happy path: LOCK, KHONSU, MARK, the two stores, the anchor, the storage's positions. Failure:
 * what was taken is given back in the opposite order. */
#include "db/closed.h"

#include "base/env_file.h"
#include "base/status.h"
#include "batch/schema.h"
#include "db/identity.h"
#include "log/checkpoint.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void join(char out[4096], const char *path, const char *name) {
    (void)snprintf(out, 4096, "%s/%s", path, name);
}

static kh_status take_lock(struct closed *closed, const char *path, kh_error *error) {
    char name[4096];
    uint64_t owner;
    join(name, path, "LOCK");
    int descriptor = env_lock_shared(name, &owner);
    if (descriptor == -EAGAIN)
        return status_fail(error, KH_IN_USE, "%.160s is open in process %llu", path,
                           (unsigned long long)owner);
    if (descriptor < 0 && descriptor != -ENOENT)
        return status_fail(error, KH_IO, "%.160s cannot be locked (errno %d)", path, -descriptor);
    closed->lock = descriptor < 0 ? -1 : descriptor;
    return KH_OK;
}

static kh_status enter(struct closed *closed, const char *path, kh_error *error) {
    char identity[4096];
    char mark[4096];
    if (strlen(path) == 0 || strlen(path) >= CLOSED_PATH_BYTES)
        return status_fail(error, KH_INVALID, "a path of %zu bytes", strlen(path));
    join(identity, path, "KHONSU");
    join(mark, path, "MARK");
    if (!env_path_exists(identity) && !env_path_exists(mark))
        return status_fail(error, KH_INVALID, "%.160s is not a database of khonsu", path);
    kh_status status = take_lock(closed, path, error);
    if (status != KH_OK) return status;
    if (!env_path_exists(identity))
        return status_fail(error, KH_CORRUPT, "%.160s is missing", identity);
    if (!env_path_exists(mark)) return status_fail(error, KH_CORRUPT, "%.160s is missing", mark);
    status = identity_read(path, &closed->identity, error);
    return status == KH_OK ? mark_read(mark, &closed->mark, error) : status;
}

static kh_status open_stores(struct closed *closed, const char *path, kh_error *error) {
    char name[4096];
    join(name, path, "log");
    kh_status status =
        rocks_open(closed->mem, name, ROCKS_LOG, ROCKS_READ, &closed->rocks_log, error);
    if (status != KH_OK) return status;
    join(name, path, "values");
    return rocks_open(closed->mem, name, ROCKS_VALUES, ROCKS_READ, &closed->rocks_values, error);
}

static kh_status find_positions(struct closed *closed, kh_error *error) {
    struct checkpoint checkpoint;
    rocks_storage_init(&closed->storage, closed->rocks_log, closed->rocks_values);
    kh_status status =
        checkpoint_init(&checkpoint, closed->mem, NULL, &closed->storage.face, error);
    if (status != KH_OK) return status;
    closed->applied = checkpoint.applied;
    closed->swept = checkpoint.swept;
    closed->newest_commit = checkpoint.newest_commit;
    checkpoint_fini(&checkpoint);
    return KH_OK;
}

static kh_status open_all(struct closed *closed, const char *path, kh_error *error) {
    kh_status status = enter(closed, path, error);
    if (status == KH_OK) status = open_stores(closed, path, error);
    if (status == KH_OK)
        status = history_init(&closed->history, closed->mem, closed->rocks_log,
                              closed->rocks_values, &closed->identity, error);
    return status == KH_OK ? find_positions(closed, error) : status;
}

kh_status closed_open(struct closed *closed, const char *path, kh_error *error) {
    *closed = (struct closed){.lock = -1, .mem = mem_create(NULL)};
    if (closed->mem == NULL) return status_no_memory(error, sizeof *closed);
    log_schemas_init(&closed->log_schemas, closed->mem);
    closed->schemas = schema_table_create(closed->mem);
    kh_status status = closed->schemas == NULL ? status_no_memory(error, sizeof *closed)
                                               : open_all(closed, path, error);
    if (status != KH_OK) closed_close(closed);
    return status;
}

void closed_close(struct closed *closed) {
    history_fini(&closed->history);
    rocks_close(closed->rocks_values);
    rocks_close(closed->rocks_log);
    env_close(closed->lock);
    log_schemas_fini(&closed->log_schemas);
    mem_close(closed->mem);
}

struct record_codec closed_codec(struct closed *closed) {
    return (struct record_codec){.mem = closed->mem,
                                 .schemas = closed->schemas,
                                 .schema_of = log_schemas_find,
                                 .number_of = log_schemas_number_of,
                                 .context = &closed->log_schemas};
}

void closed_head_of(const struct chain *chain, kh_head *out) {
    out->number = chain->number;
    out->position = chain->next;
    memcpy(out->digest, chain->newest.bytes, KH_DIGEST_BYTES);
}

kh_status closed_head(struct closed *closed, kh_head *out, kh_error *error) {
    const struct follower follower = {.context = NULL};
    struct history_end end;
    kh_status status = history_follow(&closed->history, &follower, &end, error);
    if (status == KH_OK) status = history_check_end(&end, &closed->mark, closed->applied, error);
    if (status == KH_OK) closed_head_of(&end.chain, out);
    return status;
}
