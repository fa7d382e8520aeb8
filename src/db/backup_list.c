/* backup_list.c - see backup_list.h. The file, little-endian: magic (8), version (4), count (4); of
 * each backup number (8), RocksDB's numbers of log and values (4 each), timestamp, horizon, wall
 * clock, size (8 each), database (16), timeline (16), mark (128, as in MARK); XXH3 of all before.
 */
#include "db/backup_list.h"

#include "base/env_file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    VERSION = 1,
    HEAD_BYTES = 16,
    ITEM_BYTES = 8 + 2 * 4 + 4 * 8 + 32 + MARK_BYTES,
    AT_IDENTITY = 48,
    AT_MARK = 80,
    SUM_BYTES = 8,
    COUNT_MAX = 100000 /* 20 MB of list: more is a mistake */
};

static const unsigned char magic[8] = {'K', 'H', 'B', 'A', 'C', 'K', 'U', 'P'};

void backup_join(const struct backup_list *list, const char *name, char out[4096]) {
    (void)snprintf(out, 4096, "%s/%s", list->path, name);
}

static kh_status fail(const struct backup_list *list, int code, const char *what, kh_error *error) {
    return status_fail(error, code == ENOSPC ? KH_NO_SPACE : KH_IO, "%.160s: %s (errno %d)",
                       list->path, what, code);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void encode(const struct backup_item *item, unsigned char *out) {
    const kh_backup_entry *entry = &item->entry;
    uint64_t fields[] = {entry->timestamp, entry->horizon, entry->wall_ms, entry->size_bytes};
    memcpy(out, &entry->number, 8);
    memcpy(out + 8, &item->log, 4);
    memcpy(out + 12, &item->values, 4);
    memcpy(out + 16, fields, sizeof fields);
    memcpy(out + AT_IDENTITY, entry->identity.database, 16);
    memcpy(out + AT_IDENTITY + 16, entry->identity.timeline, 16);
    mark_encode(&item->mark, out + AT_MARK);
}

static kh_status decode(const unsigned char *bytes, const char *path, struct backup_item *out,
                        kh_error *error) {
    kh_backup_entry *entry = &out->entry;
    uint64_t fields[4];
    memcpy(&entry->number, bytes, 8);
    memcpy(&out->log, bytes + 8, 4);
    memcpy(&out->values, bytes + 12, 4);
    memcpy(fields, bytes + 16, sizeof fields);
    entry->timestamp = fields[0];
    entry->horizon = fields[1];
    entry->wall_ms = fields[2];
    entry->size_bytes = fields[3];
    memcpy(entry->identity.database, bytes + AT_IDENTITY, 16);
    memcpy(entry->identity.timeline, bytes + AT_IDENTITY + 16, 16);
    return mark_decode(bytes + AT_MARK, path, &out->mark, error);
}

/* ---- the list -------------------------------------------------------------------------------- */

static kh_status make_room(struct backup_list *list, size_t count, kh_error *error) {
    if (count > COUNT_MAX) return status_fail(error, KH_TOO_BIG, "%zu backups", count);
    if (count <= list->capacity) return KH_OK;
    size_t size_bytes = count * sizeof *list->items;
    struct backup_item *items = mem_alloc(list->mem, NULL, size_bytes);
    if (items == NULL) return status_no_memory(error, size_bytes);
    memset(items, 0, size_bytes);
    if (list->count > 0) memcpy(items, list->items, list->count * sizeof *items);
    mem_free(list->mem, NULL, list->items, list->capacity * sizeof *items);
    list->items = items;
    list->capacity = count;
    return KH_OK;
}

kh_status backup_list_reserve(struct backup_list *list, kh_error *error) {
    return make_room(list, list->count + 1, error);
}

static kh_status parse(struct backup_list *list, const unsigned char *bytes, size_t size_bytes,
                       const char *path, kh_error *error) {
    uint32_t version;
    uint32_t count;
    uint64_t sum;
    memcpy(&version, bytes + 8, 4);
    memcpy(&count, bytes + 12, 4);
    memcpy(&sum, bytes + size_bytes - SUM_BYTES, SUM_BYTES);
    bool is_whole = memcmp(bytes, magic, sizeof magic) == 0 &&
                    sum == hash_bytes(bytes, size_bytes - SUM_BYTES, 0);
    if (is_whole && version != VERSION)
        return status_fail(error, KH_UNSUPPORTED, "%.180s has version %u", path, version);
    if (!is_whole || count > COUNT_MAX ||
        size_bytes != HEAD_BYTES + (size_t)count * ITEM_BYTES + SUM_BYTES)
        return status_fail(error, KH_CORRUPT, "%.180s is damaged", path);
    kh_status status = make_room(list, count, error);
    for (uint32_t i = 0; i < count && status == KH_OK; i++) {
        status = decode(bytes + HEAD_BYTES + (size_t)i * ITEM_BYTES, path, &list->items[i], error);
        if (status == KH_OK) list->count = i + 1;
    }
    return status;
}

static kh_status read_file(struct backup_list *list, kh_error *error) {
    char path[4096];
    uint64_t size_bytes = 0;
    backup_join(list, "BACKUPS", path);
    if (!env_path_exists(path))
        return status_fail(error, KH_INVALID, "%.160s is not a directory of backups", list->path);
    int descriptor = env_open(path, ENV_READ);
    int code = descriptor < 0 ? -descriptor : env_size(descriptor, &size_bytes);
    if (code != 0) {
        env_close(descriptor);
        return fail(list, code, "BACKUPS cannot be read", error);
    }
    size_t size = (size_t)size_bytes;
    unsigned char *bytes = NULL;
    kh_status status = KH_OK;
    if (size < HEAD_BYTES + SUM_BYTES ||
        size > HEAD_BYTES + (size_t)COUNT_MAX * ITEM_BYTES + SUM_BYTES)
        status = status_fail(error, KH_CORRUPT, "%.180s is damaged", path);
    if (status == KH_OK) bytes = mem_alloc(list->mem, NULL, size);
    if (status == KH_OK && bytes == NULL) status = status_no_memory(error, size);
    if (status == KH_OK) code = env_read_at(descriptor, bytes, size, 0);
    if (code != 0) status = fail(list, code, "BACKUPS cannot be read", error);
    if (status == KH_OK) status = parse(list, bytes, size, path, error);
    mem_free(list->mem, NULL, bytes, size);
    env_close(descriptor);
    return status;
}

kh_status backup_list_write(const struct backup_list *list, kh_error *error) {
    size_t size_bytes = HEAD_BYTES + list->count * ITEM_BYTES + SUM_BYTES;
    unsigned char *bytes = mem_alloc_zeroed(list->mem, NULL, size_bytes);
    if (bytes == NULL) return status_no_memory(error, size_bytes);
    uint32_t version = VERSION;
    uint32_t count = (uint32_t)list->count;
    memcpy(bytes, magic, sizeof magic);
    memcpy(bytes + 8, &version, 4);
    memcpy(bytes + 12, &count, 4);
    for (size_t i = 0; i < list->count; i++)
        encode(&list->items[i], bytes + HEAD_BYTES + i * ITEM_BYTES);
    uint64_t sum = hash_bytes(bytes, size_bytes - SUM_BYTES, 0);
    memcpy(bytes + size_bytes - SUM_BYTES, &sum, SUM_BYTES);
    int code = env_replace(list->path, "BACKUPS", (kh_bytes){bytes, size_bytes});
    mem_free(list->mem, NULL, bytes, size_bytes);
    return code == 0 ? KH_OK : fail(list, code, "BACKUPS cannot be written", error);
}

const struct backup_item *backup_list_find(const struct backup_list *list, uint64_t number) {
    if (number == 0) return list->count == 0 ? NULL : &list->items[list->count - 1];
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].entry.number == number) return &list->items[i];
    return NULL;
}

/* ---- open and close -------------------------------------------------------------------------- */

static kh_status init(struct backup_list *list, const char *path, kh_error *error) {
    *list = (struct backup_list){.path = path, .lock = -1};
    if (strlen(path) == 0 || strlen(path) >= BACKUP_PATH_BYTES)
        return status_fail(error, KH_INVALID, "a path of %zu bytes", strlen(path));
    list->mem = mem_create(NULL);
    return list->mem == NULL ? status_no_memory(error, sizeof *list) : KH_OK;
}

kh_status backup_list_read(struct backup_list *list, const char *path, kh_error *error) {
    kh_status status = init(list, path, error);
    return status == KH_OK ? read_file(list, error) : status;
}

static bool exists(const struct backup_list *list, const char *name) {
    char path[4096];
    backup_join(list, name, path);
    return env_path_exists(path);
}

/* Empty, or left by a first backup that got no further than the lock. */
static kh_status check_place(const struct backup_list *list, kh_error *error) {
    bool is_empty = false;
    int code = env_dir_make(list->path, NULL);
    if (code == 0) code = env_dir_is_empty(list->path, &is_empty);
    if (code == ENOTDIR)
        return status_fail(error, KH_INVALID, "%.180s is not a directory", list->path);
    if (code != 0) return fail(list, code, "the directory cannot be made", error);
    if (is_empty || exists(list, "BACKUPS")) return KH_OK;
    if (exists(list, "LOCK") && !exists(list, "log") && !exists(list, "KHONSU")) return KH_OK;
    return status_fail(error, KH_INVALID, "%.140s is not empty and not a directory of backups",
                       list->path);
}

static kh_status take_lock(struct backup_list *list, kh_error *error) {
    char path[4096];
    uint64_t owner;
    backup_join(list, "LOCK", path);
    int descriptor = env_lock(path, &owner);
    if (descriptor == -EAGAIN)
        return status_fail(error, KH_IN_USE, "process %llu works in %.160s",
                           (unsigned long long)owner, list->path);
    if (descriptor < 0) return fail(list, -descriptor, "it cannot be locked", error);
    list->lock = descriptor;
    return KH_OK;
}

kh_status backup_list_open(struct backup_list *list, const char *path, bool is_made,
                           kh_error *error) {
    kh_status status = init(list, path, error);
    if (status == KH_OK && is_made) status = check_place(list, error);
    if (status == KH_OK && !is_made && !exists(list, "BACKUPS"))
        status = status_fail(error, KH_INVALID, "%.160s is not a directory of backups", path);
    if (status == KH_OK) status = take_lock(list, error);
    if (status == KH_OK && is_made && !exists(list, "BACKUPS"))
        status = backup_list_write(list, error);
    return status == KH_OK ? read_file(list, error) : status;
}

kh_status backup_list_open_copies(struct backup_list *list, kh_error *error) {
    char path[4096];
    backup_join(list, "values", path);
    kh_status status = rocks_backup_open(list->mem, path, &list->values, error);
    if (status != KH_OK) return status;
    backup_join(list, "log", path);
    return rocks_backup_open(list->mem, path, &list->log, error);
}

void backup_list_close(struct backup_list *list) {
    rocks_backup_close(list->log);
    rocks_backup_close(list->values);
    env_close(list->lock);
    if (list->mem == NULL) return;
    mem_free(list->mem, NULL, list->items, list->capacity * sizeof *list->items);
    mem_close(list->mem);
}

kh_status backup_list_extract(struct backup_list *list, const struct backup_item *item,
                              const char *log, const char *values, kh_error *error) {
    kh_status status = rocks_erase(log, error);
    if (status == KH_OK) status = rocks_erase(values, error);
    if (status == KH_OK) status = rocks_backup_extract(list->values, item->values, values, error);
    if (status == KH_OK) status = rocks_backup_extract(list->log, item->log, log, error);
    return status;
}
