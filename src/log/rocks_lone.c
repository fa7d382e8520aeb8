/* rocks_lone.c - see rocks_lone.h.
 *
 *     data block   0, 16, length of the value (varints); key (8), sequence number 0 and kind 1 (8);
 *                  value; offset of the only restart (4): 0; count of restarts (4): 1; trailer
 *     properties, metaindex, index   blocks of the same kind, each with its trailer
 *     footer       kind of checksum (1); places of metaindex and index, zeroes (40); format
 *                  version (4); magic (8)
 *
 * A trailer is the kind of compression, 0, and four bytes of checksum: the lower half of XXH3 over
 * the block, unchanged because that kind is 0. Numbers are little-endian. */
#include "log/rocks_lone.h"

#include "base/assert.h"
#include "base/env_file.h"
#include "base/hash.h"
#include <string.h>

enum {
    TRAILER_BYTES = 5,
    TAIL_BYTES = 1024, /* what follows the data block; some 400 bytes are used */
    CHECKSUM_XXH3 = 4,
    FORMAT_VERSION = 2,
    HANDLES_BYTES = 40
};

#define TABLE_MAGIC UINT64_C(0x88e241b785f4cff7)

/* Kind 1, a value, in the lowest byte; sequence number 0 above. */
static const unsigned char value_kind[8] = {1};

/* ---- bytes ----------------------------------------------------------------------------------- */

struct span {
    unsigned char *bytes;
    size_t size_bytes;
};

static void put(struct span *out, const void *bytes, size_t size_bytes) {
    memcpy(out->bytes + out->size_bytes, bytes, size_bytes);
    out->size_bytes += size_bytes;
}

static void put_u32(struct span *out, uint32_t number) {
    put(out, &number, sizeof number);
}

static void put_varint(struct span *out, uint64_t number) {
    for (; number >= 0x80; number >>= 7)
        out->bytes[out->size_bytes++] = (unsigned char)(number | 0x80);
    out->bytes[out->size_bytes++] = (unsigned char)number;
}

static void put_trailer(struct span *out, const unsigned char *block, size_t size_bytes) {
    out->bytes[out->size_bytes++] = 0;
    put_u32(out, (uint32_t)hash_bytes(block, size_bytes, 0));
}

/* ---- blocks of small entries, each with its whole key: every one is a restart -----------------
 */

struct block {
    struct span out;
    uint64_t base; /* position of out in the file */
    size_t start;
    uint32_t restarts[16];
    uint32_t count;
};

struct place {
    uint64_t offset;
    uint64_t size_bytes;
};

static void begin(struct block *block) {
    block->start = block->out.size_bytes;
    block->count = 0;
}

static void entry(struct block *block, const void *key, size_t key_bytes, const void *value,
                  size_t value_bytes) {
    kh_assert(block->count < sizeof block->restarts / sizeof block->restarts[0]);
    block->restarts[block->count++] = (uint32_t)(block->out.size_bytes - block->start);
    put_varint(&block->out, 0);
    put_varint(&block->out, key_bytes);
    put_varint(&block->out, value_bytes);
    put(&block->out, key, key_bytes);
    put(&block->out, value, value_bytes);
}

static void named(struct block *block, const char *name, const void *value, size_t value_bytes) {
    entry(block, name, strlen(name), value, value_bytes);
}

static void counted(struct block *block, const char *name, uint64_t number) {
    unsigned char bytes[10];
    struct span value = {bytes, 0};
    put_varint(&value, number);
    named(block, name, bytes, value.size_bytes);
}

static struct place end(struct block *block) {
    for (uint32_t i = 0; i < block->count; i++) put_u32(&block->out, block->restarts[i]);
    put_u32(&block->out, block->count);
    size_t size_bytes = block->out.size_bytes - block->start;
    put_trailer(&block->out, block->out.bytes + block->start, size_bytes);
    return (struct place){block->base + block->start, size_bytes};
}

static void put_place(struct span *out, struct place place) {
    put_varint(out, place.offset);
    put_varint(out, place.size_bytes);
}

/* By rising names. What RocksDB wants of a file that it did not write is that version and the place
 * of a sequence number. */
static struct place put_properties(struct block *block, const struct lone *lone,
                                   struct place data) {
    static const unsigned char external_version[4] = {2};
    static const unsigned char global_sequence[8] = {0};
    begin(block);
    named(block, "rocksdb.comparator", "leveldb.BytewiseComparator", 26);
    named(block, "rocksdb.compression", "NoCompression", 13);
    counted(block, "rocksdb.data.size", data.size_bytes + TRAILER_BYTES);
    named(block, "rocksdb.external_sst_file.global_seqno", global_sequence, 8);
    named(block, "rocksdb.external_sst_file.version", external_version, 4);
    counted(block, "rocksdb.format.version", 0);
    counted(block, "rocksdb.num.data.blocks", 1);
    counted(block, "rocksdb.num.entries", 1);
    counted(block, "rocksdb.raw.key.size", LONE_KEY_BYTES + sizeof value_kind);
    counted(block, "rocksdb.raw.value.size", lone->value_bytes);
    return end(block);
}

static struct place put_metaindex(struct block *block, struct place properties) {
    unsigned char bytes[20];
    struct span value = {bytes, 0};
    put_place(&value, properties);
    begin(block);
    named(block, "rocksdb.properties", bytes, value.size_bytes);
    return end(block);
}

/* The block under its own key, which is the last one in it. */
static struct place put_index(struct block *block, const unsigned char *key, struct place data) {
    unsigned char bytes[20];
    struct span value = {bytes, 0};
    put_place(&value, data);
    begin(block);
    entry(block, key, LONE_KEY_BYTES + sizeof value_kind, bytes, value.size_bytes);
    return end(block);
}

static void put_footer(struct span *out, struct place metaindex, struct place index) {
    unsigned char handles[HANDLES_BYTES] = {0};
    struct span places = {handles, 0};
    uint64_t magic = TABLE_MAGIC;
    put_place(&places, metaindex);
    put_place(&places, index);
    out->bytes[out->size_bytes++] = CHECKSUM_XXH3;
    put(out, handles, sizeof handles);
    put_u32(out, FORMAT_VERSION);
    put(out, &magic, sizeof magic);
}

/* ---- the file -------------------------------------------------------------------------------- */

/* The room before the value is filled up to it. */
static void put_front(struct lone *lone, const void *key) {
    unsigned char bytes[LONE_FRONT_BYTES];
    struct span front = {bytes, 0};
    put_varint(&front, 0);
    put_varint(&front, LONE_KEY_BYTES + sizeof value_kind);
    put_varint(&front, lone->value_bytes);
    put(&front, key, LONE_KEY_BYTES);
    put(&front, value_kind, sizeof value_kind);
    lone->front_bytes = front.size_bytes;
    memcpy(lone->value - front.size_bytes, bytes, front.size_bytes);
}

int lone_begin(struct lone *lone, const char *path, const void *key, unsigned char *value,
               size_t value_bytes, size_t late_bytes) {
    static const unsigned char back[LONE_BACK_BYTES] = {0, 0, 0, 0, 1};
    kh_assert(late_bytes <= value_bytes && value_bytes <= UINT32_MAX);
    *lone = (struct lone){.value = value, .value_bytes = value_bytes};
    lone->descriptor = env_open(path, ENV_NEW);
    if (lone->descriptor < 0) return -lone->descriptor;
    put_front(lone, key);
    memcpy(value + value_bytes, back, sizeof back);
    uint64_t at = lone->front_bytes + late_bytes;
    int code = env_write_at(lone->descriptor, value + late_bytes,
                            value_bytes - late_bytes + sizeof back, at);
    if (code == 0) {
        env_begin_sync(lone->descriptor);
    } else {
        env_close(lone->descriptor);
    }
    return code;
}

static size_t make_tail(const struct lone *lone, struct place data, unsigned char *out) {
    const unsigned char *start = lone->value - lone->front_bytes;
    const unsigned char *key = lone->value - LONE_KEY_BYTES - sizeof value_kind;
    struct block block = {.out = {out, 0}, .base = data.size_bytes};
    put_trailer(&block.out, start, data.size_bytes);
    struct place properties = put_properties(&block, lone, data);
    struct place metaindex = put_metaindex(&block, properties);
    struct place index = put_index(&block, key, data);
    put_footer(&block.out, metaindex, index);
    return block.out.size_bytes;
}

int lone_end(struct lone *lone, size_t late_bytes) {
    unsigned char tail[TAIL_BYTES];
    struct place data = {0, lone->front_bytes + lone->value_bytes + LONE_BACK_BYTES};
    size_t tail_bytes = make_tail(lone, data, tail);
    kh_assert(tail_bytes <= sizeof tail);
    int code = env_write_at(lone->descriptor, lone->value - lone->front_bytes,
                            lone->front_bytes + late_bytes, 0);
    if (code == 0) code = env_write_at(lone->descriptor, tail, tail_bytes, data.size_bytes);
    if (code == 0) code = env_sync(lone->descriptor);
    env_close(lone->descriptor);
    return code;
}
