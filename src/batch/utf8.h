/* utf8.h - is this UTF-8 (RFC 3629: shortest forms only, no surrogates, up to U+10FFFF)? */
#ifndef KHONSU_BATCH_UTF8_H
#define KHONSU_BATCH_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* Every byte below 128. Strings of 16 bytes or more end in a load that overlaps the one before, so
 * that no tail is walked byte by byte. */
static inline bool utf8_is_ascii(const uint8_t *bytes, size_t size_bytes) {
#if defined(__SSE2__)
    if (size_bytes >= 16) {
        const uint8_t *last = bytes + size_bytes - 16;
        __m128i seen = _mm_loadu_si128((const __m128i *)(const void *)last);
        for (; bytes + 16 < last; bytes += 32) {
            __m128i low = _mm_loadu_si128((const __m128i *)(const void *)bytes);
            __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(bytes + 16));
            seen = _mm_or_si128(seen, _mm_or_si128(low, high));
        }
        if (bytes < last)
            seen = _mm_or_si128(seen, _mm_loadu_si128((const __m128i *)(const void *)bytes));
        return _mm_movemask_epi8(seen) == 0;
    }
#endif
    const uint64_t high = 0x8080808080808080u;
    uint64_t seen = 0;
    uint64_t word;
    for (; size_bytes >= 8; bytes += 8, size_bytes -= 8) {
        memcpy(&word, bytes, 8);
        seen |= word;
    }
    for (; size_bytes > 0; bytes++, size_bytes--) seen |= *bytes;
    return (seen & high) == 0;
}

bool utf8_is_valid_slow(const uint8_t *bytes, size_t size_bytes);

static inline bool utf8_is_valid(const void *bytes, size_t size_bytes) {
    return utf8_is_ascii(bytes, size_bytes) || utf8_is_valid_slow(bytes, size_bytes);
}

/* Not the first byte of a character. */
static inline bool utf8_is_continuation(uint8_t byte) {
    return (byte & 0xC0) == 0x80;
}

#endif
