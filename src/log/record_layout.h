/* record_layout.h - the positions and numbers of an encoded record, for the two halves of its
 * codec. The description is docs/record-format.md. */
#ifndef KHONSU_LOG_RECORD_LAYOUT_H
#define KHONSU_LOG_RECORD_LAYOUT_H

#include "base/hash.h"
#include "log/record.h"
#include <string.h>

enum {
    RECORD_MAGIC = 0x4352484b, /* the bytes "KHRC" */
    RECORD_VERSION = 1
};

/* In place of the length of a range's upper bound: the range goes to the end of the keys. */
#define RECORD_RANGE_TO_END 0xffffffffu

/* A frame's length is kept in 32 bits, and the highest bit is never needed: what a transaction may
 * write is half of this. */
#define RECORD_FRAME_MAX (1u << 31)
/* The upper bound of a get of the longest key that found nothing: the key and a zero byte. */
#define RECORD_BOUND_MAX 65536u

/* Positions in the head. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_HEAD_CHECKSUM = 8, /* of all of the head behind it */
    AT_BODY_CHECKSUM = 16,
    AT_LENGTH = 24,
    AT_SCHEMA_NUMBER = 28,
    AT_KIND = 32,
    AT_ISOLATION = 33,
    AT_RULE = 34,
    AT_ID_HIGH = 40,
    AT_ID_LOW = 48,
    AT_BIRTH = 56,
    AT_SNAPSHOT = 64,
    AT_COMMIT = 72,
    AT_ETA = 80,
    AT_PI = 88
};

enum section_type {
    SECTION_WRITES = 1,
    SECTION_DROPPED = 2,
    SECTION_READS = 3,
    SECTION_RANGES = 4,
    SECTION_TAG = 5,
    SECTION_DELTA = 6,
    SECTION_SCHEMA = 7,
    SECTION_MEMBERS = 8
};

/* A reader that does not know the type of a section with this flag must refuse the record. */
enum { SECTION_REQUIRED = 1 };

enum { SECTION_HEAD_BYTES = 8, WRITE_HEAD_BYTES = 24, MEMBER_HEAD_BYTES = 24 };

static inline uint16_t layout_u16(const unsigned char *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t layout_u32(const unsigned char *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t layout_u64(const unsigned char *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* The version is the seed, so that a changed version does not pass for a newer format. */
static inline uint64_t layout_head_checksum(const unsigned char *frame) {
    return hash_bytes(frame + AT_BODY_CHECKSUM, RECORD_HEAD_BYTES - AT_BODY_CHECKSUM,
                      layout_u16(frame + AT_VERSION));
}

static inline uint64_t layout_body_checksum(const unsigned char *frame, size_t size_bytes) {
    return hash_bytes(frame + RECORD_HEAD_BYTES, size_bytes - RECORD_HEAD_BYTES,
                      layout_u16(frame + AT_VERSION));
}

#endif
