/* utf8.c - UTF-8 with characters beyond ASCII, by the table of well-formed sequences (Unicode
 * Standard, table 3-7): the second byte of a sequence has a range that depends on the first, the
 * rest are 80..BF. */
#include "batch/utf8.h"

/* Bytes of the sequence at bytes, which has left of them; 0: malformed. */
static size_t sequence(const uint8_t *bytes, size_t left) {
    uint8_t first = bytes[0];
    size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    uint8_t low = 0x80;
    uint8_t high = 0xBF;
    if (first < 0x80) return 1;
    if (first < 0xC2 || first > 0xF4 || left < length) return 0;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
    if (bytes[1] < low || bytes[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if (!utf8_is_continuation(bytes[i])) return 0;
    return length;
}

bool utf8_is_valid_slow(const uint8_t *bytes, size_t size_bytes) {
    size_t at = 0;
    while (at < size_bytes) {
        uint64_t word;
        if (size_bytes - at >= 8) {
            memcpy(&word, bytes + at, 8);
            if ((word & 0x8080808080808080u) == 0) {
                at += 8;
                continue;
            }
        }
        size_t length = sequence(bytes + at, size_bytes - at);
        if (length == 0) return false;
        at += length;
    }
    return true;
}
