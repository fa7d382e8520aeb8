/* raw.c - runs of bits and widened integers of Arrow buffers. Pure functions: nothing fails. */
#include "batch/raw.h"

int64_t raw_integer(const void *values, int64_t index, int32_t bits, bool is_signed) {
    const uint8_t *bytes = values;
    switch (bits) {
    case 1:
        return raw_bit(bytes, index);
    case 8:
        return is_signed ? (int8_t)bytes[index] : bytes[index];
    case 16: {
        uint16_t value;
        memcpy(&value, bytes + index * 2, sizeof value);
        return is_signed ? (int16_t)value : value;
    }
    case 32: {
        int32_t value = raw_i32(bytes, index);
        return is_signed ? value : (int64_t)(uint32_t)value;
    }
    default:
        return raw_i64(bytes, index);
    }
}

int64_t raw_count_bits(const void *bits, int64_t first, int64_t count) {
    const uint8_t *bytes = bits;
    int64_t last = first + count;
    int64_t found = 0;
    for (; first < last && (first & 7) != 0; first++) found += raw_bit(bytes, first);
    for (; first + 64 <= last; first += 64)
        found += __builtin_popcountll((uint64_t)raw_i64(bytes + (first >> 3), 0));
    for (; first + 8 <= last; first += 8) found += __builtin_popcount(bytes[first >> 3]);
    for (; first < last; first++) found += raw_bit(bytes, first);
    return found;
}

void raw_copy_bits(void *out, const void *bits, int64_t first, int64_t count) {
    const uint8_t *from = (const uint8_t *)bits + (first >> 3);
    uint8_t *to = out;
    int shift = (int)(first & 7);
    int64_t whole = count >> 3;
    int rest = (int)(count & 7);
    if (shift == 0) {
        if (whole > 0) memcpy(to, from, (size_t)whole);
    } else {
        for (int64_t i = 0; i < whole; i++)
            to[i] = (uint8_t)((from[i] >> shift) | (from[i + 1] << (8 - shift)));
    }
    if (rest > 0) {
        unsigned last = (unsigned)from[whole] >> shift;
        if (rest > 8 - shift) last |= (unsigned)from[whole + 1] << (8 - shift);
        to[whole] = (uint8_t)(last & ((1u << rest) - 1));
    }
}
