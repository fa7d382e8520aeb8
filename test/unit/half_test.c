/* half_test.c - binary16: every value there and back, and rounding to the nearest, ties to even. */
#include "batch/half.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <math.h>

#include <cmocka.h>

static void test_every_value_comes_back(void **state) {
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        double value = half_to_double((uint16_t)half);
        if (isnan(value)) {
            assert_true(isnan(half_to_double(half_from_double(value))));
            assert_true((half & 0x7C00) == 0x7C00 && (half & 0x3FF) != 0);
        } else {
            assert_int_equal(half_from_double(value), half);
        }
    }
    assert_true(half_to_double(0x3C00) == 1.0);
    assert_true(half_to_double(0xC000) == -2.0);
    assert_true(half_to_double(0x7BFF) == 65504.0);
    assert_true(half_to_double(0x0001) == 0x1p-24);
    assert_true(half_to_double(0x03FF) == 1023 * 0x1p-24);
    assert_true(isinf(half_to_double(0xFC00)) && half_to_double(0xFC00) < 0);
    assert_true(signbit(half_to_double(0x8000)));
}

/* Between two neighbours: the nearer one; in the middle the even one. */
static void test_rounding(void **state) {
    (void)state;
    for (uint16_t low = 0; low < 0x7BFF; low++) {
        double a = half_to_double(low);
        double b = half_to_double((uint16_t)(low + 1));
        double middle = (a + b) / 2;
        uint16_t even = (low & 1) ? (uint16_t)(low + 1) : low;
        assert_int_equal(half_from_double(middle), even);
        assert_int_equal(half_from_double(nextafter(middle, 0)), low);
        assert_int_equal(half_from_double(nextafter(middle, b)), low + 1);
        assert_int_equal(half_from_double(-nextafter(middle, b)), 0x8000 | (low + 1));
    }
    assert_int_equal(half_from_double(65519.99), 0x7BFF);
    assert_int_equal(half_from_double(65520), 0x7C00);
    assert_int_equal(half_from_double(1e300), 0x7C00);
    assert_int_equal(half_from_double(-INFINITY), 0xFC00);
    assert_int_equal(half_from_double(1e-300), 0);
    assert_int_equal(half_from_double(-0x1p-26), 0x8000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_value_comes_back),
        cmocka_unit_test(test_rounding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
