/* utf8_test.c - every code point, every sequence of three bytes, and faults at every position. */
#include "batch/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static size_t encode(uint32_t code, uint8_t out[4]) {
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t marks[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (uint8_t)(0x80 | (code & 0x3F));
    out[0] = (uint8_t)(marks[length] | code);
    return length;
}

static void test_every_code_point(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 0x200000; code++) {
        uint8_t bytes[4];
        bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
        size_t length = encode(code, bytes);
        assert_true(utf8_is_valid(bytes, length) == (code <= 0x10FFFF && !is_surrogate));
        if (length > 1) assert_false(utf8_is_valid(bytes, length - 1));
    }
}

/* Bytes of the character at bytes, decoded and encoded again; 0: not what was there. */
static size_t character(const uint8_t *bytes, size_t left) {
    static const size_t lengths[16] = {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 2, 2, 3, 4};
    uint8_t again[4];
    size_t length = lengths[bytes[0] >> 4];
    if (length == 0 || length > left || bytes[0] > 0xF7) return 0;
    uint32_t code = length == 1 ? bytes[0] : (uint32_t)(bytes[0] & (0xFF >> (length + 1)));
    for (size_t i = 1; i < length; i++) code = code << 6 | (bytes[i] & 0x3F);
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return 0;
    return encode(code, again) == length && memcmp(again, bytes, length) == 0 ? length : 0;
}

static bool is_right(const uint8_t *bytes, size_t size_bytes) {
    for (size_t at = 0; at < size_bytes;) {
        size_t length = character(bytes + at, size_bytes - at);
        if (length == 0) return false;
        at += length;
    }
    return true;
}

static void test_every_three_bytes(void **state) {
    (void)state;
    for (uint32_t word = 0; word < 0x1000000; word += 1 + (word % 3)) {
        uint8_t bytes[3] = {(uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16)};
        if (utf8_is_valid(bytes, 3) != is_right(bytes, 3)) fail_msg("%06x", word);
    }
}

/* One bad byte anywhere in texts of all lengths, in blocks of exactly that length. */
static void test_faults_at_every_position(void **state) {
    (void)state;
    for (size_t length = 0; length < 140; length++) {
        uint8_t *bytes = malloc(length > 0 ? length : 1);
        memset(bytes, 'a', length);
        assert_true(utf8_is_ascii(bytes, length));
        assert_true(utf8_is_valid(bytes, length));
        for (size_t at = 0; at < length; at++) {
            bytes[at] = 0x80;
            assert_false(utf8_is_ascii(bytes, length));
            assert_false(utf8_is_valid(bytes, length));
            if (at + 1 < length) {
                bytes[at] = 0xC3;
                bytes[at + 1] = 0xA9;
                assert_false(utf8_is_ascii(bytes, length));
                assert_true(utf8_is_valid(bytes, length));
                bytes[at + 1] = 'a';
            }
            bytes[at] = 'a';
        }
        free(bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_point),
        cmocka_unit_test(test_every_three_bytes),
        cmocka_unit_test(test_faults_at_every_position),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
