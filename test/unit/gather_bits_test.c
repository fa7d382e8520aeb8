/* gather_bits_test.c - copying bits between all positions, against one bit at a time. */
#include "batch/gather_bits.h"
#include "batch/raw.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BITS = 200, BYTES = 32 };

static void fill(uint8_t *bytes, uint64_t seed) {
    for (int i = 0; i < BYTES; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(seed >> 56);
    }
}

/* A heap block of exactly the bytes that hold `bits` bits: the sanitizer sees a step beyond. */
static uint8_t *exact(const uint8_t *bytes, int64_t bits) {
    size_t size = (size_t)((bits + 7) / 8);
    uint8_t *block = malloc(size > 0 ? size : 1);
    assert_non_null(block);
    memcpy(block, bytes, size);
    return block;
}

static void test_copy_between_all_positions(void **state) {
    static const int64_t counts[] = {0, 1, 2, 7, 8, 9, 15, 55, 56, 57, 63, 64, 65, 113, 130};
    uint8_t source[BYTES];
    (void)state;
    fill(source, 1);
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        for (int64_t from = 0; from < 17; from++) {
            uint8_t *bits = exact(source, from + counts[c]);
            for (int64_t to = 0; to < 17; to++) {
                uint8_t result[BYTES] = {0};
                uint8_t wanted[BYTES] = {0};
                gather_bits_copy(result, to, bits, from, counts[c]);
                for (int64_t i = 0; i < counts[c]; i++)
                    if (raw_bit(source, from + i))
                        raw_set_bit(wanted, to + i);
                assert_memory_equal(result, wanted, BYTES);
            }
            free(bits);
        }
    }
}

static void test_copies_join(void **state) {
    uint8_t source[BYTES];
    uint8_t result[BYTES] = {0};
    (void)state;
    fill(source, 2);
    int64_t at = 0;
    for (int64_t length = 1; at + length <= BITS; length++) {
        gather_bits_copy(result, at, source, at, length);
        at += length;
    }
    for (int64_t i = 0; i < at; i++)
        assert_int_equal(raw_bit(result, i), raw_bit(source, i));
    assert_false(raw_bit(result, at));
}

static void test_set(void **state) {
    (void)state;
    for (int64_t from = 0; from < 20; from++) {
        for (int64_t count = 0; count < 70; count++) {
            uint8_t result[BYTES] = {0};
            gather_bits_set(result, from, count);
            for (int64_t i = 0; i < BITS; i++)
                assert_int_equal(raw_bit(result, i), i >= from && i < from + count);
        }
    }
}

static void test_equal(void **state) {
    uint8_t source[BYTES];
    (void)state;
    fill(source, 3);
    for (int64_t shift = 0; shift < 9; shift++) {
        uint8_t moved[BYTES] = {0};
        gather_bits_copy(moved, shift, source, 0, BITS);
        assert_true(gather_bits_equal(source, 0, moved, shift, BITS));
        assert_true(gather_bits_equal(source, 0, moved, shift, 0));
        for (int64_t i = 0; i < BITS; i += 13) {
            moved[(i + shift) / 8] ^= (uint8_t)(1u << ((i + shift) % 8));
            assert_false(gather_bits_equal(source, 0, moved, shift, BITS));
            assert_true(gather_bits_equal(source, 0, moved, shift, i));
            moved[(i + shift) / 8] ^= (uint8_t)(1u << ((i + shift) % 8));
        }
    }
    assert_int_equal(gather_bits_bytes(0), 0);
    assert_int_equal(gather_bits_bytes(1), 8);
    assert_int_equal(gather_bits_bytes(64), 8);
    assert_int_equal(gather_bits_bytes(65), 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_between_all_positions),
        cmocka_unit_test(test_copies_join),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
