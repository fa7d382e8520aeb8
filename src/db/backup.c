/* backup.c - copies of a live database; see khonsu/backup.h.
 *
 * Happy path: what was committed is on disk; upkeep catches up and trims no more; RocksDB copies
 * the values, then the log, which so reaches at least what the values hold; the copy is checked;
 * the list is replaced. Failure: the list is as before, and what was copied is on no list. */
#include "base/env_file.h"
#include "base/status.h"
#include "db/at_rest.h"
#include "db/backup_list.h"
#include "db/clone.h"
#include "db/durable.h"
#include "db/identity.h"
#include "db/upkeep.h"
#include "log/checkpoint.h"
#include <string.h>

/* ---- one backup ------------------------------------------------------------------------------ */

/* What was committed before is on disk; *visible is the newest of it. */
static kh_status settle(struct kh_db *db, const struct durable_stores *stores,
                        kh_timestamp *visible, kh_error *error) {
    latch_take(&db->section);
    kh_log_position position = db->pipeline.position;
    *visible = db_visible(db);
    latch_leave(&db->section);
    durable_step(db);
    if (position == 0) return KH_OK;
    const _Atomic bool is_cancelled = false;
    if (rocks_log_await(stores->log, position - 1, UINT64_MAX, &is_cancelled) >= position)
        return KH_OK;
    return status_fail(error, KH_POISONED, "the log has failed");
}

static kh_status check_identity(struct kh_db *db, const struct backup_list *list, kh_error *error) {
    const struct backup_item *newest = backup_list_find(list, 0);
    kh_identity identity = kh_db_identity(db);
    if (newest == NULL || memcmp(&newest->entry.identity, &identity, sizeof identity) == 0)
        return KH_OK;
    return status_fail(error, KH_INVALID, "%.160s has backups of another database", list->path);
}

/* Files among the database's own would be its backup's, and it the backup's. */
static kh_status check_place(struct kh_db *db, const char *directory, kh_error *error) {
    char above[4096];
    kh_identity found;
    kh_identity own = kh_db_identity(db);
    if (env_path_find_above(directory, "KHONSU", above) != 0 ||
        identity_read(above, &found, NULL) != KH_OK || memcmp(&found, &own, sizeof own) != 0)
        return KH_OK;
    return status_fail(error, KH_INVALID,
                       "%.100s lies in the directory of the database itself: name another place",
                       directory);
}

/* Values first: what they hold, the log has. Upkeep is held. */
static kh_status copy_stores(const struct durable_stores *stores, struct backup_list *list,
                             struct backup_item *item, kh_error *error) {
    kh_status status = backup_list_open_copies(list, error);
    if (status == KH_OK)
        status = rocks_backup_make(list->values, stores->rocks_values, &item->values, error);
    if (status != KH_OK) return status;
    rocks_log_mark(stores->log, &item->mark);
    return rocks_backup_make(list->log, stores->rocks_log, &item->log, error);
}

static kh_status read_parts(struct backup_list *list, struct at_rest *parts,
                            struct backup_item *item, kh_error *error) {
    struct checkpoint checkpoint;
    kh_status status =
        checkpoint_init(&checkpoint, list->mem, &parts->log->face, &parts->storage.face, error);
    if (status != KH_OK) return status;
    item->entry.horizon = checkpoint.horizon;
    checkpoint_fini(&checkpoint);
    return clone_read(&parts->storage.face, NULL, error);
}

static kh_status read_back(struct backup_list *list, struct backup_item *item, kh_error *error) {
    char log[4096];
    char values[4096];
    backup_join(list, "check-log", log);
    backup_join(list, "check-values", values);
    kh_status status = backup_list_extract(list, item, log, values, error);
    struct at_rest parts = {.identity = item->entry.identity, .mark = item->mark};
    if (status == KH_OK) status = at_rest_open_parts(list->mem, log, values, &parts, error);
    if (status == KH_OK) status = read_parts(list, &parts, item, error);
    at_rest_close(&parts);
    kh_status erased = rocks_erase(log, status == KH_OK ? error : NULL);
    if (erased == KH_OK) erased = rocks_erase(values, status == KH_OK ? error : NULL);
    return status == KH_OK ? erased : status;
}

static kh_status check(struct backup_list *list, struct backup_item *item, bool is_quick,
                       kh_error *error) {
    uint64_t log_bytes = 0;
    uint64_t values_bytes = 0;
    kh_status status = rocks_backup_check(list->log, item->log, &log_bytes, error);
    if (status == KH_OK)
        status = rocks_backup_check(list->values, item->values, &values_bytes, error);
    if (status != KH_OK) return status;
    item->entry.size_bytes = log_bytes + values_bytes;
    return is_quick ? KH_OK : read_back(list, item, error);
}

static kh_status add(struct kh_db *db, const struct durable_stores *stores,
                     struct backup_list *list, bool is_quick, kh_error *error) {
    kh_status status = backup_list_reserve(list, error);
    if (status != KH_OK) return status;
    struct backup_item *item = &list->items[list->count];
    kh_backup_entry *entry = &item->entry;
    *item = (struct backup_item){.log = 0};
    entry->number = list->count == 0 ? 1 : list->items[list->count - 1].entry.number + 1;
    entry->identity = kh_db_identity(db);
    entry->wall_ms = env_wall_ms(&db->clock);
    status = settle(db, stores, &entry->timestamp, error);
    if (status == KH_OK) status = upkeep_hold(db, error);
    if (status != KH_OK) return status;
    entry->horizon = upkeep_horizon(db);
    status = copy_stores(stores, list, item, error);
    upkeep_release(db);
    if (status == KH_OK) status = check(list, item, is_quick, error);
    if (status != KH_OK) return status;
    list->count++;
    return backup_list_write(list, error);
}

kh_status kh_backup(kh_db *db, const char *directory, const kh_backup_options *options,
                    kh_backup_entry *out, kh_error *error) {
    kh_assert(db != NULL && directory != NULL && "kh_backup: db or directory is NULL");
    kh_backup_options known = KH_BACKUP_OPTIONS_INIT;
    struct durable_stores stores;
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    kh_status status = KH_OK;
    if (options != NULL)
        status = status_copy_sized(&known, sizeof known, options, "kh_backup_options", error);
    if (status != KH_OK) return status;
    if (known.flags & ~(uint32_t)KH_BACKUP_QUICK)
        return status_fail(error, KH_INVALID, "unknown flags 0x%x", known.flags);
    if (!durable_stores(db, &stores))
        return status_fail(error, KH_UNSUPPORTED, "a database in memory has no backups");
    if (db->flags & KH_OPEN_READ_ONLY)
        return status_fail(error, KH_READ_ONLY, "the database is open read-only");
    status = check_place(db, directory, error);
    if (status != KH_OK) return status;
    struct backup_list list;
    status = backup_list_open(&list, directory, true, error);
    if (status == KH_OK) status = check_identity(db, &list, error);
    if (status == KH_OK)
        status = add(db, &stores, &list, (known.flags & KH_BACKUP_QUICK) != 0, error);
    if (status == KH_OK && out != NULL) *out = list.items[list.count - 1].entry;
    backup_list_close(&list);
    return status;
}

/* ---- the list -------------------------------------------------------------------------------- */

kh_status kh_backup_list(const char *directory, kh_backup_fn *visit, void *context,
                         kh_error *error) {
    kh_assert(directory != NULL && visit != NULL && "kh_backup_list: directory or visit is NULL");
    struct backup_list list;
    kh_status status = backup_list_read(&list, directory, error);
    for (size_t i = 0; i < list.count && status == KH_OK; i++)
        if (!visit(context, &list.items[i].entry)) break;
    backup_list_close(&list);
    return status;
}

/* The list first: what is on it is whole at any moment. */
static kh_status drop(struct backup_list *list, size_t drop_count, kh_error *error) {
    kh_status status = backup_list_open_copies(list, error);
    if (status != KH_OK) return status;
    list->count -= drop_count;
    memmove(list->items, list->items + drop_count, list->count * sizeof *list->items);
    status = backup_list_write(list, error);
    if (status == KH_OK)
        status = rocks_backup_drop_below(list->values, list->items[0].values, error);
    if (status == KH_OK) status = rocks_backup_drop_below(list->log, list->items[0].log, error);
    return status;
}

kh_status kh_backup_purge(const char *directory, uint32_t keep_count, kh_error *error) {
    kh_assert(directory != NULL && "kh_backup_purge: directory is NULL");
    if (keep_count == 0) return status_fail(error, KH_INVALID, "one backup at least is kept");
    struct backup_list list;
    kh_status status = backup_list_open(&list, directory, false, error);
    if (status == KH_OK && list.count > 0)
        status = drop(&list, list.count > keep_count ? list.count - keep_count : 0, error);
    backup_list_close(&list);
    return status;
}
