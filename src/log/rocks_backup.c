/* rocks_backup.c - see rocks_backup.h. */
#include "log/rocks_backup.h"

#include "base/mem.h"
#include "base/status.h"
#include "log/rocks_handle.h"
#include <string.h>

struct rocks_backup {
    struct mem *mem;
    rocksdb_backup_engine_t *engine;
};

/* What is not found was there: its number is on a list. */
static kh_status answer(char *message, const char *what, kh_error *error) {
    bool is_missing = message != NULL && (strncmp(message, "NotFound", 8) == 0 ||
                                          strstr(message, "No such file") != NULL);
    kh_status status = rocks_status(message, what, error);
    return is_missing ? KH_CORRUPT : status;
}

kh_status rocks_backup_open(struct mem *mem, const char *path, struct rocks_backup **out,
                            kh_error *error) {
    struct rocks_backup *backup = mem_own_alloc(mem, sizeof *backup);
    if (backup == NULL) return status_no_memory(error, sizeof *backup);
    char *message = NULL;
    rocksdb_env_t *env = rocksdb_create_default_env();
    rocksdb_backup_engine_options_t *options = rocksdb_backup_engine_options_create(path);
    rocksdb_backup_engine_options_set_share_table_files(options, 1);
    rocksdb_backup_engine_options_set_sync(options, 1);
    rocksdb_backup_engine_options_set_backup_log_files(options, 0);
    backup->mem = mem;
    backup->engine = rocksdb_backup_engine_open_opts(options, env, &message);
    rocksdb_backup_engine_options_destroy(options);
    rocksdb_env_destroy(env);
    kh_status status = rocks_status(message, "the backups cannot be opened", error);
    if (status != KH_OK) {
        mem_own_free(mem, backup, sizeof *backup);
        return status;
    }
    *out = backup;
    return KH_OK;
}

void rocks_backup_close(struct rocks_backup *backup) {
    if (backup == NULL) return;
    rocksdb_backup_engine_close(backup->engine);
    mem_own_free(backup->mem, backup, sizeof *backup);
}

/* Numbers rise along the list. */
static uint32_t newest(struct rocks_backup *backup) {
    const rocksdb_backup_engine_info_t *list =
        rocksdb_backup_engine_get_backup_info(backup->engine);
    int count = rocksdb_backup_engine_info_count(list);
    uint32_t number = count == 0 ? 0 : rocksdb_backup_engine_info_backup_id(list, count - 1);
    rocksdb_backup_engine_info_destroy(list);
    return number;
}

kh_status rocks_backup_make(struct rocks_backup *backup, struct rocks *rocks, uint32_t *number,
                            kh_error *error) {
    char *message = NULL;
    kh_status status = rocks_enter(rocks, error);
    if (status != KH_OK) return status;
    rocksdb_backup_engine_create_new_backup_flush(backup->engine, rocks->db, 1, &message);
    rocks_leave(rocks);
    status = rocks_status(message, "the backup cannot be written", error);
    if (status == KH_OK) *number = newest(backup);
    return status;
}

static uint64_t size_of(struct rocks_backup *backup, uint32_t number) {
    const rocksdb_backup_engine_info_t *list =
        rocksdb_backup_engine_get_backup_info(backup->engine);
    uint64_t size_bytes = 0;
    for (int i = 0; i < rocksdb_backup_engine_info_count(list); i++)
        if (rocksdb_backup_engine_info_backup_id(list, i) == number)
            size_bytes = rocksdb_backup_engine_info_size(list, i);
    rocksdb_backup_engine_info_destroy(list);
    return size_bytes;
}

kh_status rocks_backup_check(struct rocks_backup *backup, uint32_t number, uint64_t *size_bytes,
                             kh_error *error) {
    char *message = NULL;
    rocksdb_backup_engine_verify_backup(backup->engine, number, &message);
    kh_status status = answer(message, "a backup is not whole", error);
    if (status == KH_OK && size_bytes != NULL) *size_bytes = size_of(backup, number);
    return status;
}

kh_status rocks_backup_extract(struct rocks_backup *backup, uint32_t number, const char *path,
                               kh_error *error) {
    char *message = NULL;
    rocksdb_restore_options_t *options = rocksdb_restore_options_create();
    rocksdb_backup_engine_restore_db_from_backup(backup->engine, path, path, options, number,
                                                 &message);
    rocksdb_restore_options_destroy(options);
    return answer(message, "a backup cannot be read", error);
}

kh_status rocks_backup_drop_below(struct rocks_backup *backup, uint32_t number, kh_error *error) {
    const rocksdb_backup_engine_info_t *list =
        rocksdb_backup_engine_get_backup_info(backup->engine);
    uint32_t kept = 0;
    for (int i = 0; i < rocksdb_backup_engine_info_count(list); i++)
        kept += rocksdb_backup_engine_info_backup_id(list, i) >= number;
    rocksdb_backup_engine_info_destroy(list);
    char *message = NULL;
    rocksdb_backup_engine_purge_old_backups(backup->engine, kept, &message);
    return rocks_status(message, "old backups cannot be removed", error);
}
