/* raw.h - reading and writing elements of Arrow buffers: single bits, runs of bits, and elements
 * that need not be aligned (a foreign producer's buffers may lie anywhere).
 * Little-endian machines only, which the build asserts. */
#ifndef KHONSU_BATCH_RAW_H
#define KHONSU_BATCH_RAW_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline bool raw_bit(const void *bits, int64_t index) {
    return (((const uint8_t *)bits)[index >> 3] >> (index & 7)) & 1;
}

static inline void raw_set_bit(void *bits, int64_t index) {
    uint8_t *byte = (uint8_t *)bits + (index >> 3);
    *byte = (uint8_t)(*byte | (1u << (index & 7)));
}

static inline int32_t raw_i32(const void *values, int64_t index) {
    int32_t value;
    memcpy(&value, (const uint8_t *)values + index * 4, sizeof value);
    return value;
}

static inline int64_t raw_i64(const void *values, int64_t index) {
    int64_t value;
    memcpy(&value, (const uint8_t *)values + index * 8, sizeof value);
    return value;
}

static inline void raw_put_i32(void *values, int64_t index, int32_t value) {
    memcpy((uint8_t *)values + index * 4, &value, sizeof value);
}

static inline void raw_put_i64(void *values, int64_t index, int64_t value) {
    memcpy((uint8_t *)values + index * 8, &value, sizeof value);
}

/* An integer of bits 1, 8, 16, 32 or 64, widened; an unsigned one of 64 bits comes as its bits. */
int64_t raw_integer(const void *values, int64_t index, int32_t bits, bool is_signed);

/* How many of the bits [first, first + count) are set. */
int64_t raw_count_bits(const void *bits, int64_t first, int64_t count);

/* Copy bits [first, first + count) to bit 0 of out; the rest of out's last byte becomes 0. */
void raw_copy_bits(void *out, const void *bits, int64_t first, int64_t count);

static inline uint64_t raw_align8(uint64_t size_bytes) {
    return (size_bytes + 7) & ~(uint64_t)7;
}

#endif
