/* backup_absent.c - in builds without RocksDB there is nothing to be copied. See khonsu/backup.h.
 */
#include "khonsu/backup.h"

#include "base/status.h"

static kh_status refuse(kh_error *error) {
    return status_fail(error, KH_UNSUPPORTED, "this build keeps databases in memory only");
}

kh_status kh_restore(const char *from_path, const char *to_path, const kh_restore_options *options,
                     kh_restored *out, kh_error *error) {
    (void)from_path;
    (void)to_path;
    (void)options;
    (void)out;
    return refuse(error);
}

kh_status kh_backup(kh_db *db, const char *directory, const kh_backup_options *options,
                    kh_backup_entry *out, kh_error *error) {
    (void)db;
    (void)directory;
    (void)options;
    (void)out;
    return refuse(error);
}

kh_status kh_backup_list(const char *directory, kh_backup_fn *visit, void *context,
                         kh_error *error) {
    (void)directory;
    (void)visit;
    (void)context;
    return refuse(error);
}

kh_status kh_backup_restore(const char *directory, uint64_t number, const char *to_path,
                            const kh_restore_options *options, kh_restored *out, kh_error *error) {
    (void)directory;
    (void)number;
    (void)to_path;
    (void)options;
    (void)out;
    return refuse(error);
}

kh_status kh_backup_purge(const char *directory, uint32_t keep_count, kh_error *error) {
    (void)directory;
    (void)keep_count;
    return refuse(error);
}
