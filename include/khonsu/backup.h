/* khonsu/backup.h - copies of a durable database: as it was at a moment, and beside a live one.
 *
 * A restored copy is a new database: it has an id and a timeline of its own, the keys that were
 * there at the moment with their values and commit timestamps, and no older history. Transactions
 * that were prepared and not decided at that moment are not in it. All of this needs the feature
 * "durable" (else KH_UNSUPPORTED). docs/backup.md has the whole picture. */
#ifndef KHONSU_BACKUP_H
#define KHONSU_BACKUP_H

#include "khonsu/db.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- restore --------------------------------------------------------------------------------- */

typedef struct kh_restore_options {
    size_t size;     /* sizeof(kh_restore_options) */
    kh_timestamp to; /* the moment; 0: the newest that is there */
} kh_restore_options;
#define KH_RESTORE_OPTIONS_INIT                                                                    \
    { sizeof(kh_restore_options), 0 }

/* What was made. */
typedef struct kh_restored {
    kh_identity identity;
    kh_timestamp timestamp; /* the moment; kh_db_now of the new database */
    uint64_t keys;
    uint64_t bytes; /* of their values, encoded */
} kh_restored;

/* Make a new database in to_path (made if absent; must be empty) with the state of another one.
 * from is the directory of a database, whether or not a process has it open, or one of backups (the
 * newest is taken): neither is changed. What was written is read back and compared before the
 * directory counts as a database: one that a crash left half made is no database, and is to be
 * removed. options NULL: the newest state. *out (NULL allowed) says what was made.
 * A restore that fails leaves nothing behind: a directory that was not there before is removed.
 * KH_TOO_OLD: history does not reach back to that moment; KH_INVALID: it is in the future, one of
 * the paths is not what it must be, or to_path is from_path or lies in it; KH_BUSY: a writer
 * changed the directory faster than it could be opened; KH_CORRUPT, KH_IO, KH_NO_SPACE,
 * KH_NO_MEMORY. */
KH_API KH_WARN_UNUSED kh_status kh_restore(const char *from_path, const char *to_path,
                                           const kh_restore_options *options, kh_restored *out,
                                           kh_error *error);

/* ---- backups --------------------------------------------------------------------------------- */

enum kh_backup_flag {
    /* Check only that the files of the backup are there and of the right size. Without it the
     * backup is read back: checksums, every digest of the log, every value. */
    KH_BACKUP_QUICK = 1
};

typedef struct kh_backup_options {
    size_t size;    /* sizeof(kh_backup_options) */
    uint32_t flags; /* enum kh_backup_flag */
} kh_backup_options;
#define KH_BACKUP_OPTIONS_INIT                                                                     \
    { sizeof(kh_backup_options), 0 }

typedef struct kh_backup_entry {
    uint64_t number;        /* rises by at least one, from 1; never used twice */
    kh_identity identity;   /* of the database that was copied */
    kh_timestamp timestamp; /* every commit up to it is there; some later ones may be */
    kh_timestamp horizon;   /* and moments back to this one can be restored */
    uint64_t wall_ms;       /* when it was made, by the database's clock */
    uint64_t size_bytes;    /* of its files, those included that other backups share */
} kh_backup_entry;

/* Copy a live database into a directory of backups (made if absent), beside earlier ones of the
 * same database: table files that one of them has are not copied again. Writers go on meanwhile;
 * what was committed before the call is in it, and it waits until that is on disk. The backup
 * counts once it was checked; one that fails or is cut off is not on the list, and its files go
 * with a purge of older ones. options NULL: all defaults. *out (NULL allowed) is the new entry.
 * KH_INVALID: the directory is something else, has backups of another database, or lies in the
 * directory of the database itself; KH_IN_USE:
 * another call works in it; KH_READ_ONLY: the database is open read-only; KH_POISONED: its log has
 * failed; KH_CORRUPT: what was written is not what is read back; KH_UNSUPPORTED: a database without
 * a path; KH_IO, KH_NO_SPACE, KH_NO_MEMORY. Any thread. */
KH_API KH_WARN_UNUSED kh_status kh_backup(kh_db *db, const char *directory,
                                          const kh_backup_options *options, kh_backup_entry *out,
                                          kh_error *error);

/* Called for each backup, oldest first; false stops. Borrowed for the call. */
typedef bool kh_backup_fn(void *context, const kh_backup_entry *entry);
/* KH_INVALID: not a directory of backups; KH_CORRUPT, KH_IO, KH_UNSUPPORTED, KH_NO_MEMORY. */
KH_API KH_WARN_UNUSED kh_status kh_backup_list(const char *directory, kh_backup_fn *visit,
                                               void *context, kh_error *error);
/* As kh_restore, of the backup with that number (0: the newest). KH_NOT_FOUND: there is none. Needs
 * room for the backup beside the new database while it runs. */
KH_API KH_WARN_UNUSED kh_status kh_backup_restore(const char *directory, uint64_t number,
                                                  const char *to_path,
                                                  const kh_restore_options *options,
                                                  kh_restored *out, kh_error *error);
/* Remove all but the newest keep_count backups (at least 1), and the files that only they have.
 * KH_INVALID, KH_IN_USE, KH_CORRUPT, KH_IO. */
KH_API KH_WARN_UNUSED kh_status kh_backup_purge(const char *directory, uint32_t keep_count,
                                                kh_error *error);

#ifdef __cplusplus
}
#endif
#endif
