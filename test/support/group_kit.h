/* group_kit.h - frames, bodies and whole groups, for the tests of groups, chains, trees and
 * proofs. A frame of these has a record's length and magic and is noise otherwise: what is in it is
 * the record codec's matter. */
#ifndef TEST_SUPPORT_GROUP_KIT_H
#define TEST_SUPPORT_GROUP_KIT_H

#include "log/group.h"
#include "log/group_layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { KIT_FRAMES_MAX = 64, KIT_FRAME_BYTES_MAX = RECORD_HEAD_BYTES + 24 };

struct group_kit {
    struct mem *mem;
    struct digester *digester;
    uint64_t random; /* state of a generator */
    unsigned char bytes[GROUP_HEAD_BYTES + KIT_FRAMES_MAX * KIT_FRAME_BYTES_MAX];
    size_t size_bytes; /* of the group in bytes: room for its head, then frames */
};

static inline void group_kit_begin(struct group_kit *kit) {
    memset(kit, 0, sizeof *kit);
    kit->random = 88172645463325252;
    kit->mem = mem_create(NULL);
    assert_non_null(kit->mem);
    kit->digester = digester_create(kit->mem);
    assert_non_null(kit->digester);
    kit->size_bytes = GROUP_HEAD_BYTES;
}

static inline void group_kit_end(struct group_kit *kit) {
    digester_destroy(kit->digester);
    assert_int_equal(mem_live_bytes(kit->mem), 0);
    mem_close(kit->mem);
}

/* xorshift64 (Marsaglia 2003). */
static inline uint64_t group_kit_draw(struct group_kit *kit) {
    kit->random ^= kit->random << 13;
    kit->random ^= kit->random >> 7;
    kit->random ^= kit->random << 17;
    return kit->random;
}

static inline kh_bytes group_kit_body(const struct group_kit *kit) {
    return (kh_bytes){kit->bytes + GROUP_HEAD_BYTES, kit->size_bytes - GROUP_HEAD_BYTES};
}

static inline kh_bytes group_kit_group(const struct group_kit *kit) {
    return (kh_bytes){kit->bytes, kit->size_bytes};
}

/* Fill the body with so many frames of noise, of different lengths. */
static inline void group_kit_fill(struct group_kit *kit, uint32_t count) {
    assert_in_range(count, 1, KIT_FRAMES_MAX);
    kit->size_bytes = GROUP_HEAD_BYTES;
    for (uint32_t i = 0; i < count; i++) {
        unsigned char *frame = kit->bytes + kit->size_bytes;
        uint32_t length = RECORD_HEAD_BYTES + 8 * (uint32_t)(group_kit_draw(kit) % 4);
        for (uint32_t at = 0; at < length; at++) frame[at] = (unsigned char)group_kit_draw(kit);
        memcpy(frame, "KHRC\1\0\0", 8);
        memcpy(frame + AT_LENGTH, &length, sizeof length);
        kit->size_bytes += length;
    }
}

/* The next group of a chain, of new frames, in the kit's bytes. */
static inline void group_kit_append(struct group_kit *kit, struct chain *chain, uint32_t count,
                                    struct group_head *head) {
    group_kit_fill(kit, count);
    *head = (struct group_head){.first_commit = 10 * chain->number + 1,
                                .last_commit = 10 * chain->number + 9,
                                .wall_ms = 1700000000000 + chain->number,
                                .term = 3,
                                .shard = 4};
    chain_append(chain, kit->digester, head, group_kit_body(kit), kit->bytes);
}

/* An empty chain of a database called by one byte. */
static inline void group_kit_chain(struct group_kit *kit, unsigned char name, struct chain *chain) {
    kh_identity identity = {{name}, {1, name}};
    struct digest genesis;
    chain_genesis(kit->digester, &identity, &genesis);
    chain_init(chain, &genesis);
}

/* In a block of its exact size, so that the address sanitizer sees a step too far. */
static inline unsigned char *group_kit_copy(kh_bytes bytes) {
    unsigned char *copy = malloc(bytes.size_bytes > 0 ? bytes.size_bytes : 1);
    assert_non_null(copy);
    memcpy(copy, bytes.data, bytes.size_bytes);
    return copy;
}

/* Make the checksums right again, as one would who changes a group on purpose. */
static inline void group_kit_reseal(unsigned char *bytes, size_t size_bytes) {
    kh_bytes body = {bytes + GROUP_HEAD_BYTES, size_bytes - GROUP_HEAD_BYTES};
    uint64_t checksum = group_layout_body_checksum(bytes, body);
    memcpy(bytes + GROUP_AT_BODY_CHECKSUM, &checksum, sizeof checksum);
    checksum = group_layout_head_checksum(bytes);
    memcpy(bytes + GROUP_AT_HEAD_CHECKSUM, &checksum, sizeof checksum);
}

static inline void group_kit_same_head(const struct group_head *a, const struct group_head *b) {
    assert_true(a->number == b->number && a->first == b->first);
    assert_int_equal(a->record_count, b->record_count);
    assert_true(a->body_bytes == b->body_bytes);
    assert_true(a->first_commit == b->first_commit && a->last_commit == b->last_commit);
    assert_true(a->wall_ms == b->wall_ms && a->term == b->term && a->shard == b->shard);
    assert_true(digest_is_equal(&a->previous, &b->previous));
    assert_true(digest_is_equal(&a->skip, &b->skip));
    assert_true(digest_is_equal(&a->root, &b->root));
}

#endif
