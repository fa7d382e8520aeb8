/* rocks_groups.h - walking the groups that RocksDB keeps, oldest to newest. One thread. */
#ifndef KHONSU_LOG_ROCKS_GROUPS_H
#define KHONSU_LOG_ROCKS_GROUPS_H

#include "log/group.h"
#include "log/rocks_handle.h"

struct groups {
    struct rocks *rocks;
    rocksdb_iterator_t *iterator;
};

/* Sees what was written before it was opened. */
void groups_open(struct groups *groups, struct rocks *rocks);
void groups_close(struct groups *groups);
/* To the newest group that begins at or before position, or to the newest of all (UINT64_MAX), or
 * to the oldest (when none begins there). */
void groups_seek(struct groups *groups, uint64_t position);
void groups_next(struct groups *groups);
/* The group it is at. KH_END: none. KH_CORRUPT, KH_IO. head and body as group_decode; bytes (NULL
 * allowed) is the whole; both borrowed until it moves. */
kh_status groups_get(struct groups *groups, struct group_head *head, kh_bytes *body,
                     kh_bytes *bytes, kh_error *error);
/* The group with that number, by binary search over positions in [low, high]. KH_NOT_FOUND. */
kh_status groups_find_number(struct groups *groups, uint64_t number, uint64_t low, uint64_t high,
                             struct group_head *head, kh_bytes *bytes, kh_error *error);

/* ---- the anchor ------------------------------------------------------------------------------ */

/* Where the values keep it: before all keys of the storage, which begin with a letter. */
extern const char groups_anchor_key[2];
/* The chain at the last group that was trimmed; that of the genesis when none was. KH_CORRUPT:
 * damaged, or of another database than the genesis; KH_IO. */
kh_status groups_read_anchor(struct rocks *values, const struct digest *genesis, struct chain *out,
                             kh_error *error);

#endif
