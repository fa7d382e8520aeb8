/* raw_test.c - runs of bits against single bits, and widened integers. */
#include "batch/raw.h"
#include "support/foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* Blocks of exactly the bytes needed, so that a read beyond is seen. */
static void test_runs_of_bits(void **state) {
    (void)state;
    struct foreign_random random = {1, false, false};
    for (int64_t first = 0; first < 20; first++) {
        for (int64_t count = 0; count < 150; count++) {
            size_t size_bytes = (size_t)(first + count + 7) / 8;
            size_t out_bytes = (size_t)(count + 7) / 8;
            uint8_t *bits = malloc(size_bytes + 1);
            uint8_t *exact = malloc(size_bytes > 0 ? size_bytes : 1);
            uint8_t *out = malloc(out_bytes > 0 ? out_bytes : 1);
            int64_t set = 0;
            for (size_t i = 0; i < size_bytes; i++) exact[i] = (uint8_t)foreign_draw(&random, 256);
            for (int64_t i = 0; i < count; i++) set += raw_bit(exact, first + i);
            assert_int_equal(raw_count_bits(exact, first, count), set);
            memset(out, 0xFF, out_bytes);
            raw_copy_bits(out, exact, first, count);
            for (int64_t i = 0; i < count; i++)
                assert_int_equal(raw_bit(out, i), raw_bit(exact, first + i));
            for (int64_t i = count; i < (int64_t)out_bytes * 8; i++) assert_false(raw_bit(out, i));
            free(bits);
            free(exact);
            free(out);
        }
    }
}

static void test_integers_are_widened(void **state) {
    static const uint8_t ones[24] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                     0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    (void)state;
    assert_int_equal(raw_integer(ones, 0, 8, true), -1);
    assert_int_equal(raw_integer(ones, 0, 8, false), 255);
    assert_int_equal(raw_integer(ones, 4, 16, true), -2);
    assert_int_equal(raw_integer(ones, 4, 16, false), 65534);
    assert_int_equal(raw_integer(ones, 2, 32, true), -2);
    assert_true(raw_integer(ones, 2, 32, false) == 4294967294);
    assert_int_equal(raw_integer(ones, 1, 64, true), -2);
    assert_int_equal(raw_integer(ones, 64, 1, false), 0);
    assert_int_equal(raw_integer(ones, 65, 1, false), 1);
    /* Nothing needs to be aligned. */
    assert_int_equal(raw_i32(ones + 1, 0), -1);
    assert_int_equal(raw_i64(ones + 1, 1), 0x00FFFFFFFFFFFFFF);
}

static void test_rounding_up(void **state) {
    (void)state;
    assert_int_equal(raw_align8(0), 0);
    assert_int_equal(raw_align8(1), 8);
    assert_int_equal(raw_align8(8), 8);
    assert_int_equal(raw_align8(9), 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_of_bits),
        cmocka_unit_test(test_integers_are_widened),
        cmocka_unit_test(test_rounding_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
