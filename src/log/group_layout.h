/* group_layout.h - the positions and numbers of an encoded group head and of an exported chain. The
 * description is docs/log-format.md. */
#ifndef KHONSU_LOG_GROUP_LAYOUT_H
#define KHONSU_LOG_GROUP_LAYOUT_H

#include "base/hash.h"
#include "log/group.h"
#include "log/record_layout.h"

enum {
    GROUP_MAGIC = 0x474c484b, /* the bytes "KHLG" */
    GROUP_VERSION = 1,
    CHAIN_MAGIC = 0x4843484b, /* the bytes "KHCH" */
    CHAIN_VERSION = 1
};

/* Positions in a group's head. */
enum {
    GROUP_AT_MAGIC = 0,
    GROUP_AT_VERSION = 4,
    GROUP_AT_FLAGS = 6,
    GROUP_AT_HEAD_CHECKSUM = 8, /* of all of the head behind it */
    GROUP_AT_BODY_CHECKSUM = 16,
    GROUP_AT_BODY_BYTES = 24,
    GROUP_AT_NUMBER = 32,
    GROUP_AT_FIRST = 40,
    GROUP_AT_RECORD_COUNT = 48,
    GROUP_AT_RESERVED = 52,
    GROUP_AT_FIRST_COMMIT = 56,
    GROUP_AT_LAST_COMMIT = 64,
    GROUP_AT_WALL = 72,
    GROUP_AT_TERM = 80,
    GROUP_AT_SHARD = 88,
    GROUP_AT_PREVIOUS = 96,
    GROUP_AT_SKIP = 128,
    GROUP_AT_ROOT = 160
};
_Static_assert(GROUP_AT_ROOT + DIGEST_BYTES == GROUP_HEAD_BYTES, "the root ends the head");

/* Positions in an exported chain. */
enum {
    CHAIN_AT_MAGIC = 0,
    CHAIN_AT_VERSION = 4,
    CHAIN_AT_CHECKSUM = 8, /* of everything behind it */
    CHAIN_AT_NUMBER = 16,
    CHAIN_AT_NEXT = 24,
    CHAIN_AT_DIGESTS = 32
};

/* The version is the seed, as in a record. */
static inline uint64_t group_layout_head_checksum(const unsigned char *head) {
    return hash_bytes(head + GROUP_AT_BODY_CHECKSUM, GROUP_HEAD_BYTES - GROUP_AT_BODY_CHECKSUM,
                      layout_u16(head + GROUP_AT_VERSION));
}

static inline uint64_t group_layout_body_checksum(const unsigned char *head, kh_bytes body) {
    return hash_bytes(body.data, body.size_bytes, layout_u16(head + GROUP_AT_VERSION));
}

static inline uint64_t chain_layout_checksum(const unsigned char *bytes, size_t size_bytes) {
    return hash_bytes(bytes + CHAIN_AT_NUMBER, size_bytes - CHAIN_AT_NUMBER,
                      layout_u16(bytes + CHAIN_AT_VERSION));
}

#endif
