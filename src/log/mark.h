/* mark.h - a small file beside the log that says how far the log must reach.
 *
 * A log read back after a crash ends where its last whole group ends, and nothing in it tells a
 * tail that was never synced from one that was damaged later. The mark does: it is written after
 * each group, without a sync of its own (a page of the kernel's, which the kill of the process
 * leaves alone), so it is never ahead of the log and behind it only after a loss of power.
 * It also holds what must not be used twice after a crash: ids and timestamps are reserved ahead,
 * synced, before they are given out.
 *
 * One record of MARK_BYTES at position 0, within a sector, so that it is written whole or not. */
#ifndef KHONSU_LOG_MARK_H
#define KHONSU_LOG_MARK_H

#include "base/digest.h"
#include "khonsu/status.h"

enum { MARK_BYTES = 128 };

struct mark {
    uint64_t group;       /* number of the newest group that was written, 0: none */
    uint64_t next;        /* position behind it */
    uint64_t synced;      /* position up to which the log is on disk */
    uint64_t id_ms;       /* ids of this and earlier openings lie below id_ms << 20 */
    uint64_t time_ms;     /* commit timestamps of what was never synced lie below it; 0: none */
    struct digest newest; /* of the group's head */
    bool is_clean;        /* closed in order: the log's store holds everything */
};

/* Make the file, wherever the power goes: it is there whole or not at all. path has a directory. */
kh_status mark_create(const char *path, const struct mark *mark, kh_error *error);
/* Open it and read it. KH_CORRUPT: it is damaged. *descriptor is the caller's to close. */
kh_status mark_open(const char *path, int *descriptor, struct mark *mark, kh_error *error);
/* Read it, and change nothing. */
kh_status mark_read(const char *path, struct mark *mark, kh_error *error);
kh_status mark_write(int descriptor, const struct mark *mark, bool is_synced, kh_error *error);
/* As bytes and back, for a copy of it elsewhere; path is for the message. */
void mark_encode(const struct mark *mark, unsigned char out[MARK_BYTES]);
kh_status mark_decode(const unsigned char bytes[MARK_BYTES], const char *path, struct mark *out,
                      kh_error *error);

#endif
