/* backup_list.h - the directory of backups, and the file BACKUPS that says which there are.
 *
 *     BACKUPS  the list, replaced whole: what is not on it does not count
 *     LOCK     held by whoever works in the directory
 *     log/     RocksDB's backups of the log's instance, values/ of the values'
 *     check-log/, check-values/   a backup that is being read back
 *
 * One thread. */
#ifndef KHONSU_DB_BACKUP_LIST_H
#define KHONSU_DB_BACKUP_LIST_H

#include "khonsu/backup.h"
#include "log/mark.h"
#include "log/rocks_backup.h"

enum { BACKUP_PATH_BYTES = 3800 }; /* room for names behind it in 4,096 */

struct backup_item {
    kh_backup_entry entry;
    uint32_t log; /* numbers of RocksDB's */
    uint32_t values;
    struct mark mark; /* how far the log must reach */
};

struct backup_list {
    struct mem *mem;
    const char *path;          /* borrowed */
    int lock;                  /* -1: not taken */
    struct backup_item *items; /* oldest first */
    size_t count;
    size_t capacity;
    struct rocks_backup *log; /* once opened */
    struct rocks_backup *values;
};

/* path/name. */
void backup_join(const struct backup_list *list, const char *name, char out[4096]);
/* Read the list, and nothing else. KH_INVALID: no directory of backups; KH_CORRUPT, KH_UNSUPPORTED,
 * KH_IO, KH_NO_MEMORY. On failure, too, backup_list_close is due. */
kh_status backup_list_read(struct backup_list *list, const char *path, kh_error *error);
/* Take the lock, and read it. is_made: an empty or absent directory becomes one. KH_IN_USE. */
kh_status backup_list_open(struct backup_list *list, const char *path, bool is_made,
                           kh_error *error);
/* Open the two directories of RocksDB's. With the lock. */
kh_status backup_list_open_copies(struct backup_list *list, kh_error *error);
/* With that number; 0: the newest. NULL: none. */
const struct backup_item *backup_list_find(const struct backup_list *list, uint64_t number);
/* With a place for one more: written by the caller, counted by backup_list_write. */
kh_status backup_list_reserve(struct backup_list *list, kh_error *error);
/* Replace the file. On failure the old one is there. */
kh_status backup_list_write(const struct backup_list *list, kh_error *error);
void backup_list_close(struct backup_list *list);

/* Write a backup out as two instances, with checksums compared. What is in the way is removed. */
kh_status backup_list_extract(struct backup_list *list, const struct backup_item *item,
                              const char *log, const char *values, kh_error *error);

#endif
