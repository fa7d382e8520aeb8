/* backup_restore.c - new databases made of others and of backups; see khonsu/backup.h and clone.h.
 *
 * A backup is first written out beside the new database, as two instances that are read like any
 * directory at rest and removed before the new database counts. */
#include "base/env_file.h"
#include "base/mem.h"
#include "base/status.h"
#include "db/at_rest.h"
#include "db/backup_list.h"
#include "db/clone.h"
#include <stdio.h>
#include <string.h>

static kh_status read_options(const kh_restore_options *given, kh_restore_options *known,
                              kh_error *error) {
    *known = (kh_restore_options)KH_RESTORE_OPTIONS_INIT;
    if (given == NULL) return KH_OK;
    return status_copy_sized(known, sizeof *known, given, "kh_restore_options", error);
}

/* ---- of a database --------------------------------------------------------------------------- */

static kh_status restore_database(struct mem *mem, const char *from, const char *to,
                                  kh_timestamp moment, kh_restored *out, kh_error *error) {
    struct env_clock clock = env_clock_system();
    struct at_rest source;
    struct clone clone;
    kh_status status = at_rest_open(mem, from, &clock, NULL, &source, error);
    if (status != KH_OK) return status;
    status = clone_begin(&clone, mem, to, error);
    if (status == KH_OK) status = clone_fill(&clone, &source, moment, error);
    at_rest_close(&source);
    if (status == KH_OK) status = clone_finish(&clone, out, error);
    clone_end(&clone);
    return status;
}

static bool has_backups(const char *path) {
    char name[4096];
    (void)snprintf(name, sizeof name, "%.3800s/BACKUPS", path);
    return env_path_exists(name);
}

kh_status kh_restore(const char *from_path, const char *to_path, const kh_restore_options *options,
                     kh_restored *out, kh_error *error) {
    kh_assert(from_path != NULL && to_path != NULL && "kh_restore: a path is NULL");
    if (has_backups(from_path))
        return kh_backup_restore(from_path, 0, to_path, options, out, error);
    kh_restore_options known;
    kh_status status = read_options(options, &known, error);
    if (status == KH_OK) status = clone_check_place(to_path, from_path, error);
    if (status != KH_OK) return status;
    struct mem *mem = mem_create(NULL);
    if (mem == NULL) return status_no_memory(error, sizeof(struct clone));
    status = restore_database(mem, from_path, to_path, known.to, out, error);
    mem_close(mem);
    return status;
}

/* ---- of a backup ----------------------------------------------------------------------------- */

static kh_status fill_from(struct clone *clone, struct backup_list *list,
                           const struct backup_item *item, kh_timestamp moment, kh_error *error) {
    char log[4096];
    char values[4096];
    clone_join(clone, "backup-log", log);
    clone_join(clone, "backup-values", values);
    kh_status status = backup_list_extract(list, item, log, values, error);
    struct at_rest parts = {.identity = item->entry.identity, .mark = item->mark};
    if (status == KH_OK) status = at_rest_open_parts(list->mem, log, values, &parts, error);
    if (status == KH_OK) status = clone_fill(clone, &parts, moment, error);
    at_rest_close(&parts);
    kh_status erased = rocks_erase(log, status == KH_OK ? error : NULL);
    if (erased == KH_OK) erased = rocks_erase(values, status == KH_OK ? error : NULL);
    return status == KH_OK ? erased : status;
}

static kh_status restore_backup(struct backup_list *list, const struct backup_item *item,
                                const char *to, kh_timestamp moment, kh_restored *out,
                                kh_error *error) {
    struct clone clone;
    kh_status status = clone_begin(&clone, list->mem, to, error);
    if (status == KH_OK) status = backup_list_open_copies(list, error);
    if (status == KH_OK) status = fill_from(&clone, list, item, moment, error);
    if (status == KH_OK) status = clone_finish(&clone, out, error);
    clone_end(&clone);
    return status;
}

kh_status kh_backup_restore(const char *directory, uint64_t number, const char *to_path,
                            const kh_restore_options *options, kh_restored *out, kh_error *error) {
    kh_assert(directory != NULL && to_path != NULL && "kh_backup_restore: a path is NULL");
    kh_restore_options known;
    kh_status status = read_options(options, &known, error);
    if (status == KH_OK) status = clone_check_place(to_path, directory, error);
    if (status != KH_OK) return status;
    struct backup_list list;
    status = backup_list_open(&list, directory, false, error);
    if (status == KH_OK) {
        const struct backup_item *item = backup_list_find(&list, number);
        status = item != NULL
                     ? restore_backup(&list, item, to_path, known.to, out, error)
                     : status_fail(error, KH_NOT_FOUND, "%.160s has no such backup", directory);
    }
    backup_list_close(&list);
    return status;
}
