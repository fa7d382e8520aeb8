/* gather_bits.c - see gather_bits.h. Works in steps of up to 56 bits, which together with a shift
 * of up to 7 fit a 64-bit word wherever the two positions lie. */
#include "batch/gather_bits.h"

#include <string.h>

enum { STEP_BITS = 56 };

static inline uint64_t load(const uint8_t *bits, int64_t index, int64_t count) {
    uint64_t word = 0;
    unsigned shift = (unsigned)(index & 7);
    memcpy(&word, bits + (index >> 3), (shift + (uint64_t)count + 7) / 8);
    return (word >> shift) & ((UINT64_C(1) << count) - 1);
}

static inline void merge(uint8_t *bits, int64_t index, int64_t count, uint64_t value) {
    uint64_t word = 0;
    unsigned shift = (unsigned)(index & 7);
    uint64_t size_bytes = (shift + (uint64_t)count + 7) / 8;
    memcpy(&word, bits + (index >> 3), size_bytes);
    word |= value << shift;
    memcpy(bits + (index >> 3), &word, size_bytes);
}

void gather_bits_copy(uint8_t *to, int64_t to_index, const uint8_t *from, int64_t from_index,
                      int64_t count) {
    if ((to_index & 7) == 0 && (from_index & 7) == 0) {
        int64_t whole = count & ~(int64_t)7;
        memcpy(to + (to_index >> 3), from + (from_index >> 3), (size_t)whole / 8);
        to_index += whole;
        from_index += whole;
        count -= whole;
    }
    while (count >= STEP_BITS) {
        merge(to, to_index, STEP_BITS, load(from, from_index, STEP_BITS));
        to_index += STEP_BITS;
        from_index += STEP_BITS;
        count -= STEP_BITS;
    }
    if (count > 0)
        merge(to, to_index, count, load(from, from_index, count));
}

void gather_bits_set(uint8_t *to, int64_t index, int64_t count) {
    while (count > 0 && (index & 7) != 0) {
        to[index >> 3] = (uint8_t)(to[index >> 3] | (1u << (index & 7)));
        index++;
        count--;
    }
    memset(to + (index >> 3), 0xff, (size_t)count / 8);
    index += count & ~(int64_t)7;
    count &= 7;
    if (count > 0)
        merge(to, index, count, (UINT64_C(1) << count) - 1);
}

bool gather_bits_equal(const uint8_t *a, int64_t a_index, const uint8_t *b, int64_t b_index,
                       int64_t count) {
    while (count > 0) {
        int64_t step = count < STEP_BITS ? count : STEP_BITS;
        if (load(a, a_index, step) != load(b, b_index, step))
            return false;
        a_index += step;
        b_index += step;
        count -= step;
    }
    return true;
}
