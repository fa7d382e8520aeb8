/* clone.h - a new directory with a database in it that has the state of another at a moment.
 *
 * Entries of the storage are copied as bytes; what the other's log has beyond its storage is
 * applied by the same code as ever (log/checkpoint.h), which leaves out what was committed later.
 * Nothing is decoded. The new log is empty. Everything that is put into the new storage or taken
 * out of it changes a sum of hashes; at the end the files are opened again and must give the same
 * sum. KHONSU is the last file that is made: a directory without it is no database. One thread. */
#ifndef KHONSU_DB_CLONE_H
#define KHONSU_DB_CLONE_H

#include "db/at_rest.h"
#include "khonsu/backup.h"

enum { CLONE_PATH_BYTES = 3800 }; /* room for names behind it in 4,096 */

/* What a set of entries sums up to, in any order. */
struct tally {
    uint64_t count;
    uint64_t keys;  /* those of them that are versions */
    uint64_t bytes; /* of these, values without their heads */
    uint64_t sums[2];
};

struct clone {
    struct mem *mem;
    const char *path; /* borrowed */
    struct rocks *rocks_log;
    struct rocks *rocks_values;
    struct rocks_storage storage;
    struct kh_storage counted; /* the same, with the tally kept */
    struct tally tally;
    bool is_fresh; /* no key was written twice so far */
    bool is_begun; /* files of ours are there */
    bool is_made;  /* and the directory is ours, too */
    uint64_t id_ms;
    kh_timestamp moment;
};

/* What is made in `to` must not be below `from`, which it would change: KH_INVALID, KH_IO. */
kh_status clone_check_place(const char *to, const char *from, kh_error *error);
/* KH_INVALID: path is not an empty directory. clone_end in any case. */
kh_status clone_begin(struct clone *clone, struct mem *mem, const char *path, kh_error *error);
/* path/name, for files of a moment beside it. */
void clone_join(const struct clone *clone, const char *name, char out[4096]);
/* to 0: the newest state. KH_TOO_OLD, KH_INVALID (the future), KH_CORRUPT, KH_IO, KH_NO_MEMORY. */
kh_status clone_fill(struct clone *clone, struct at_rest *source, kh_timestamp to, kh_error *error);
/* Check what is there, and make a database of it. KH_CORRUPT: it is not what was written. */
kh_status clone_finish(struct clone *clone, kh_restored *out, kh_error *error);
/* Close; before clone_finish has succeeded, what was made is removed: files, and the directory if
 * it was not there before. */
void clone_end(struct clone *clone);

/* Read all of a storage: every entry's checksum, and the tally (NULL allowed). */
kh_status clone_read(const struct kh_storage *storage, struct tally *out, kh_error *error);

#endif
