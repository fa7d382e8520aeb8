/* gather_bits.h - bits in Arrow order (least significant first), copied between any two positions.
 *
 * Invariant: a destination is zeroed before the first bit is written into it, and each bit is
 * written once, so that writing is or-ing; its allocation is a multiple of 8 bytes. Sources are
 * never read beyond the byte that holds their last bit. */
#ifndef KHONSU_BATCH_GATHER_BITS_H
#define KHONSU_BATCH_GATHER_BITS_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes to allocate for count bits. */
static inline uint64_t gather_bits_bytes(int64_t count) {
    return (((uint64_t)count + 63) / 64) * 8;
}

/* to[to_index + i] = from[from_index + i] for i in [0, count). */
void gather_bits_copy(uint8_t *to, int64_t to_index, const uint8_t *from, int64_t from_index,
                      int64_t count);
/* to[index + i] = 1 for i in [0, count). */
void gather_bits_set(uint8_t *to, int64_t index, int64_t count);
/* Whether two stretches of bits are the same. */
bool gather_bits_equal(const uint8_t *a, int64_t a_index, const uint8_t *b, int64_t b_index,
                       int64_t count);

#endif
