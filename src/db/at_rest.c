/* at_rest.c - see at_rest.h.
 *
 * Happy path: KHONSU, MARK, the log's instance, the values', the log's end. Failure: what was taken
 * is given back; what a writer may have caused is tried again, and once no writer is there (a
 * shared lock keeps others out for that try) the answer is final. */
#include "db/at_rest.h"

#include "base/env_file.h"
#include "base/status.h"
#include "db/identity.h"
#include "db/opening.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 3800, TRIES = 16 };

static kh_status open_log(struct mem *mem, struct at_rest *at_rest, kh_log_position at,
                          bool checks_roots, const struct env_clock *clock, struct opening *opening,
                          kh_error *error) {
    struct rocks_log_options options = {.log = at_rest->rocks_log,
                                        .values = at_rest->rocks_values,
                                        .identity = at_rest->identity,
                                        .mark = at_rest->mark,
                                        .mark_file = -1,
                                        .at = at,
                                        .clock = *clock,
                                        .ends_at_mark = at_rest->ends_at_mark,
                                        .checks_roots = checks_roots};
    if (opening != NULL) opening_check(opening, &options);
    return rocks_log_create(mem, &options, &at_rest->log, error);
}

static kh_status find_position(struct at_rest *at_rest, kh_log_position *out, kh_error *error) {
    rocks_storage_init(&at_rest->storage, at_rest->rocks_log, at_rest->rocks_values);
    int code = at_rest->storage.face.position(&at_rest->storage, out);
    if (code == 0) return KH_OK;
    return status_fail(error, code == EBADMSG ? KH_CORRUPT : KH_IO,
                       "the storage cannot be read (errno %d)", code);
}

/* ---- a database's directory ------------------------------------------------------------------ */

/* Keeps writers out while there are none. *lock is the caller's to close. False: there is one. */
static bool is_quiet(const char *path, int *lock) {
    char name[4096];
    uint64_t owner;
    (void)snprintf(name, sizeof name, "%s/LOCK", path);
    *lock = env_lock_shared(name, &owner);
    return *lock != -EAGAIN;
}

/* Only asked of a database that was not closed in order: a writer that opens at this very moment
 * finds it in use. */
static bool has_writer(const char *path) {
    int lock = -1;
    bool has_one = !is_quiet(path, &lock);
    if (!has_one) env_close(lock);
    return has_one;
}

static kh_status open_files(struct mem *mem, const char *path, struct at_rest *out,
                            kh_error *error) {
    char name[4096];
    (void)snprintf(name, sizeof name, "%s/KHONSU", path);
    if (!env_path_exists(name))
        return status_fail(error, KH_INVALID, "%.160s is not a database of khonsu", path);
    kh_status status = identity_read(path, &out->identity, error);
    if (status != KH_OK) return status;
    (void)snprintf(name, sizeof name, "%s/MARK", path);
    if (!env_path_exists(name))
        return status_fail(error, KH_CORRUPT, "%.160s is missing, or not yet made", name);
    status = mark_read(name, &out->mark, error);
    if (status != KH_OK) return status;
    /* Behind a clean mark is only what a writer adds who comes now. After a crash all that is there
     * counts, as it will for the next writer. */
    out->ends_at_mark = out->mark.is_clean || has_writer(path);
    (void)snprintf(name, sizeof name, "%s/log", path);
    status = rocks_open(mem, name, ROCKS_LOG, ROCKS_READ, &out->rocks_log, error);
    if (status != KH_OK) return status;
    (void)snprintf(name, sizeof name, "%s/values", path);
    return rocks_open(mem, name, ROCKS_VALUES, ROCKS_READ, &out->rocks_values, error);
}

static kh_status open_once(struct mem *mem, const char *path, const struct env_clock *clock,
                           struct opening *opening, struct at_rest *out, kh_error *error) {
    kh_log_position at = 0;
    memset(out, 0, sizeof *out);
    kh_status status = open_files(mem, path, out, error);
    if (status == KH_OK) status = find_position(out, &at, error);
    if (status == KH_OK) status = open_log(mem, out, at, false, clock, opening, error);
    if (status != KH_OK) at_rest_close(out);
    return status;
}

/* A writer who came in the meantime may have written what is not on disk: then once more. */
static kh_status open_beside(struct mem *mem, const char *path, const struct env_clock *clock,
                             struct opening *opening, struct at_rest *out, kh_error *error) {
    kh_status status = open_once(mem, path, clock, opening, out, error);
    if (status != KH_OK || out->ends_at_mark || !has_writer(path)) return status;
    at_rest_close(out);
    return open_once(mem, path, clock, opening, out, error);
}

kh_status at_rest_open(struct mem *mem, const char *path, const struct env_clock *clock,
                       struct opening *opening, struct at_rest *out, kh_error *error) {
    if (strlen(path) == 0 || strlen(path) >= PATH_BYTES)
        return status_fail(error, KH_INVALID, "a path of %zu bytes", strlen(path));
    for (int i = 0; i < TRIES; i++) {
        kh_status status = open_beside(mem, path, clock, opening, out, error);
        if (status != KH_CORRUPT && status != KH_IO) return status;
        int lock = -1;
        if (is_quiet(path, &lock)) {
            status = open_once(mem, path, clock, opening, out, error);
            env_close(lock);
            return status;
        }
        env_yield();
    }
    kh_error last = error == NULL ? (kh_error){""} : *error;
    return status_fail(error, KH_BUSY, "%.80s changes faster than it can be opened: %.140s", path,
                       last.message);
}

/* ---- two instances --------------------------------------------------------------------------- */

kh_status at_rest_open_parts(struct mem *mem, const char *log, const char *values,
                             struct at_rest *out, kh_error *error) {
    struct env_clock clock = env_clock_system();
    kh_log_position at = 0;
    kh_status status = rocks_open(mem, log, ROCKS_LOG, ROCKS_READ, &out->rocks_log, error);
    if (status == KH_OK)
        status = rocks_open(mem, values, ROCKS_VALUES, ROCKS_READ, &out->rocks_values, error);
    if (status == KH_OK) status = find_position(out, &at, error);
    if (status == KH_OK) status = open_log(mem, out, 0, true, &clock, NULL, error);
    if (status == KH_OK) {
        struct mark end;
        rocks_log_forget(out->log); /* nobody replays it */
        rocks_log_mark(out->log, &end);
        if (end.next < at)
            status = status_fail(error, KH_CORRUPT, "the log ends before record %llu",
                                 (unsigned long long)at);
    }
    if (status != KH_OK) at_rest_close(out);
    return status;
}

void at_rest_close(struct at_rest *at_rest) {
    rocks_log_destroy(at_rest->log);
    rocks_close(at_rest->rocks_values);
    rocks_close(at_rest->rocks_log);
    at_rest->log = NULL;
    at_rest->rocks_values = at_rest->rocks_log = NULL;
}
