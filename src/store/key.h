/* key.h - comparing keys: byte strings ordered by memcmp, a proper prefix first. */
#ifndef KHONSU_STORE_KEY_H
#define KHONSU_STORE_KEY_H

#include "base/assert.h"
#include "khonsu/status.h"
#include <stdbool.h>
#include <string.h>

static inline uint64_t key_word(const unsigned char *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline uint64_t key_word_difference(const unsigned char *a, const unsigned char *b) {
    return key_word(a) ^ key_word(b);
}

/* Equality of size bytes. No call of memcmp: most keys are a few words long, and a function without
 * calls keeps its registers. The two ends first; up to 32 bytes that is all. */
static inline bool key_is_equal(const unsigned char *a, const unsigned char *b, size_t size) {
    if (KH_LIKELY(size >= 16)) {
        size_t last = size - 16;
        uint64_t difference = key_word_difference(a, b) | key_word_difference(a + 8, b + 8) |
                              key_word_difference(a + last, b + last) |
                              key_word_difference(a + last + 8, b + last + 8);
        for (size_t i = 16; i < last && difference == 0; i += 16)
            difference =
                key_word_difference(a + i, b + i) | key_word_difference(a + i + 8, b + i + 8);
        return difference == 0;
    }
    if (size >= 8)
        return (key_word_difference(a, b) | key_word_difference(a + size - 8, b + size - 8)) == 0;
    for (size_t i = 0; i < size; i++)
        if (a[i] != b[i]) return false;
    return true;
}

/* Length of the longest common prefix. */
static inline size_t key_mismatch(kh_bytes a, kh_bytes b) {
    const unsigned char *x = a.data;
    const unsigned char *y = b.data;
    size_t size = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t difference = key_word(x + i) ^ key_word(y + i);
        if (difference != 0) return i + (size_t)__builtin_ctzll(difference) / 8;
    }
    while (i < size && x[i] == y[i]) i++;
    return i;
}

#endif
