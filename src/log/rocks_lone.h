/* rocks_lone.h - a table file of RocksDB with one entry, written by ourselves.
 *
 * For a group of the log, which is one large value. RocksDB's own writer would copy it into a
 * block, write that, sync it and then tell the system to forget the pages, which are read at once
 * again: when the file is taken in, and when the storage is brought up to date. Here the value is
 * written from where it lies, and the disk has begun before the value's head is known: the digest
 * of a group takes as long as the disk does.
 *
 * The format is that of block based tables, version 2 (RocksDB 3.10 and later): one data block,
 * properties, metaindex, index, footer; no compression, no filter, XXH3 checksums. RocksDB checks
 * the block when it takes the file in. One thread. */
#ifndef KHONSU_LOG_ROCKS_LONE_H
#define KHONSU_LOG_ROCKS_LONE_H

#include "khonsu/status.h"

enum {
    LONE_KEY_BYTES = 8,
    LONE_FRONT_BYTES = 3 + LONE_KEY_BYTES + 8 + 4, /* before the value, in the same memory */
    LONE_BACK_BYTES = 8                            /* behind it */
};

struct lone {
    int descriptor;
    unsigned char *value; /* the caller's, with room before and behind that is overwritten */
    size_t value_bytes;
    size_t front_bytes; /* of the room before it, what the file begins with */
};

/* Make the file, which must not be there, and have all of the value but its first late_bytes on its
 * way to the disk. key has LONE_KEY_BYTES. 0 or an errno; on failure there is nothing to end. */
int lone_begin(struct lone *lone, const char *path, const void *key, unsigned char *value,
               size_t value_bytes, size_t late_bytes);
/* Now the first late_bytes are right, too: write them and the rest of the file, sync and close. 0
 * or an errno; closed in any case. */
int lone_end(struct lone *lone, size_t late_bytes);

#endif
