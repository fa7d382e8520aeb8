/* rocks_backup.h - copies of an instance in a directory of RocksDB's backup engine.
 *
 * Each copy has a number; table files that several of them have are kept once, so that a copy costs
 * what has changed since the one before. A copy is on disk, with a checksum for each file, before
 * it counts. A half one that a crash left is removed when the directory is opened: whoever opens it
 * holds a lock. One thread. */
#ifndef KHONSU_LOG_ROCKS_BACKUP_H
#define KHONSU_LOG_ROCKS_BACKUP_H

#include "log/rocks.h"

struct rocks_backup;

/* Made if absent. KH_IO, KH_NO_SPACE, KH_CORRUPT, KH_NO_MEMORY (of all functions here). */
kh_status rocks_backup_open(struct mem *mem, const char *path, struct rocks_backup **out,
                            kh_error *error);
/* NULL is allowed. */
void rocks_backup_close(struct rocks_backup *backup);
/* Copy an open instance as it is now. It is flushed first: write-ahead logs are not copied. *number
 * is above all before. */
kh_status rocks_backup_make(struct rocks_backup *backup, struct rocks *rocks, uint32_t *number,
                            kh_error *error);
/* Are the files of a copy there, with the sizes that they must have? *size_bytes (NULL allowed): of
 * all of them. KH_CORRUPT: no. */
kh_status rocks_backup_check(struct rocks_backup *backup, uint32_t number, uint64_t *size_bytes,
                             kh_error *error);
/* Write a copy out as an instance, in a directory that is made. Checksums are compared. */
kh_status rocks_backup_extract(struct rocks_backup *backup, uint32_t number, const char *path,
                               kh_error *error);
/* Drop the copies with numbers below this one, and the files that only they have. */
kh_status rocks_backup_drop_below(struct rocks_backup *backup, uint32_t number, kh_error *error);

#endif
