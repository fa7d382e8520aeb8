/* delta_kernel_test.c - every kernel that this machine runs gives the same bits as the order of
 * summation spelled out, on random values and on such as punish any other order. */
#include "txn/delta_kernel.h"

#include "support/delta_kit.h"

enum { BLOCKS_MOST = 70, ROWS_MOST = 40 };

static float *aligned_floats(size_t count) {
    float *floats = aligned_alloc(64, (count * sizeof *floats + 63) & ~(size_t)63);
    assert_non_null(floats);
    return floats;
}

/* 0: as they come; 1: sizes far apart; 2: sums that cancel out; 3: zeros of both signs between
 * others; 4: the largest and the smallest that are allowed; 5: such that a fused product shows. */
enum { FLAVOURS = 6 };
static float draw(struct delta_dice *dice, int flavour, size_t i) {
    static const float edges[] = {1e16f, -1e16f, 1.1e-6f, -1.1e-6f, 0, 1};
    float value = delta_kit_float(dice);
    switch (flavour) {
    case 1:
        return ldexpf(value, (int)delta_kit_below(dice, 60) - 19);
    case 2:
        return (i / 16 % 2 == 0 ? 1 : -1) * (1e6f + (float)(i % 16) + (i % 3 == 0 ? value : 0));
    case 3:
        return delta_kit_below(dice, 4) == 0 ? value : copysignf(0, value);
    case 4:
        return edges[delta_kit_below(dice, sizeof edges / sizeof *edges)];
    case 5:
        return 1 + (float)delta_kit_below(dice, 4096) * 0x1p-23f;
    default:
        return value;
    }
}

static void test_dots(void **state) {
    struct delta_dice dice = {1};
    float *rows = aligned_floats(ROWS_MOST * BLOCKS_MOST * DELTA_LANES);
    float *query = aligned_floats(BLOCKS_MOST * DELTA_LANES);
    float out[ROWS_MOST];
    (void)state;
    for (int round = 0; round < 1200; round++) {
        size_t blocks = 1 + delta_kit_below(&dice, BLOCKS_MOST);
        size_t row_count = delta_kit_below(&dice, ROWS_MOST + 1);
        size_t stride = blocks * DELTA_LANES;
        for (size_t i = 0; i < row_count * stride; i++) rows[i] = draw(&dice, round % FLAVOURS, i);
        for (size_t i = 0; i < stride; i++) query[i] = draw(&dice, round / 7 % FLAVOURS, i);
        for (const struct delta_kernel *const *kernel = delta_kernel_all(); *kernel; kernel++) {
            (*kernel)->dots(rows, row_count, blocks, query, out);
            for (size_t i = 0; i < row_count; i++) {
                float expected = delta_kit_dot(rows + i * stride, query, stride);
                assert_same_float(out[i], expected);
                assert_same_float((*kernel)->dot(rows + i * stride, query, blocks), expected);
                assert_same_float((*kernel)->dot(query, rows + i * stride, blocks), expected);
            }
        }
    }
    free(rows);
    free(query);
}

/* Another order of summation, or fused products, would be seen: the test above could fail. */
static void test_order_matters(void **state) {
    struct delta_dice dice = {2};
    float a[256];
    float b[256];
    int other_order = 0;
    int fused = 0;
    (void)state;
    for (int round = 0; round < 100; round++) {
        for (size_t i = 0; i < 256; i++) {
            a[i] = draw(&dice, 0, i);
            b[i] = draw(&dice, 0, i);
        }
        float plain = 0;
        DELTA_ALIGNED float lanes[16] = {0};
        for (size_t i = 0; i < 256; i++) plain += a[i] * b[i];
        for (size_t i = 0; i < 256; i++) lanes[i % 16] = fmaf(a[i], b[i], lanes[i % 16]);
        float expected = delta_kit_dot(a, b, 256);
        other_order += delta_kit_bits(plain) != delta_kit_bits(expected);
        fused += delta_kit_bits(delta_kernel_tree(lanes)) != delta_kit_bits(expected);
    }
    assert_true(other_order > 50);
    assert_true(fused > 50);
}

static void test_zeros_add_nothing(void **state) {
    struct delta_dice dice = {3};
    DELTA_ALIGNED float a[512] = {0};
    DELTA_ALIGNED float b[512] = {0};
    (void)state;
    for (size_t i = 0; i < 128; i++) {
        a[i] = delta_kit_float(&dice);
        b[i] = delta_kit_float(&dice);
    }
    for (size_t i = 128; i < 512; i++) a[i] = i % 2 == 0 ? -1.0f : 1.0f;
    for (const struct delta_kernel *const *kernel = delta_kernel_all(); *kernel; kernel++)
        assert_same_float((*kernel)->dot(a, b, 8), (*kernel)->dot(a, b, 32));
}

static void test_cosines(void **state) {
    struct delta_dice dice = {4};
    float magnitudes[ROWS_MOST];
    float dots[ROWS_MOST];
    float out[ROWS_MOST];
    (void)state;
    for (int round = 0; round < 1000; round++) {
        size_t count = delta_kit_below(&dice, ROWS_MOST + 1);
        float magnitude = round % 9 == 0 ? 0 : fabsf(draw(&dice, round % 2 * 4, 0));
        for (size_t i = 0; i < count; i++) {
            magnitudes[i] = delta_kit_below(&dice, 9) == 0 ? 0 : fabsf(draw(&dice, 4, i));
            /* Of a zero vector the product is zero. */
            bool is_zero = !(magnitudes[i] * magnitude > 0);
            dots[i] = is_zero ? 0 : 2 * delta_kit_float(&dice) * magnitudes[i] * magnitude;
        }
        for (const struct delta_kernel *const *kernel = delta_kernel_all(); *kernel; kernel++) {
            memcpy(out, dots, sizeof out);
            (*kernel)->cosines(magnitudes, count, magnitude, out);
            for (size_t i = 0; i < count; i++) {
                float expected = delta_kernel_cosine(dots[i], magnitudes[i], magnitude);
                assert_same_float(out[i], expected);
                assert_true(out[i] >= -1 && out[i] <= 1);
            }
        }
    }
}

static void check_sums(const uint8_t *rows, size_t row_count, size_t blocks, const int8_t *query,
                       const int16_t *wide) {
    size_t stride = blocks * DELTA_CODE_BLOCK;
    int32_t out[ROWS_MOST];
    for (const struct delta_kernel *const *kernel = delta_kernel_all(); *kernel; kernel++) {
        (*kernel)->sums(rows, row_count, blocks, query, wide, out);
        for (size_t i = 0; i < row_count; i++) {
            int64_t expected = 0;
            for (size_t at = 0; at < stride; at++) expected += rows[i * stride + at] * query[at];
            assert_int_equal(out[i], expected);
        }
    }
}

static void test_sums(void **state) {
    struct delta_dice dice = {5};
    size_t most = ROWS_MOST * BLOCKS_MOST * DELTA_CODE_BLOCK;
    uint8_t *rows = malloc(most);
    int8_t query[BLOCKS_MOST * DELTA_CODE_BLOCK];
    int16_t wide[BLOCKS_MOST * DELTA_CODE_BLOCK];
    (void)state;
    assert_non_null(rows);
    for (int round = 0; round < 300; round++) {
        size_t blocks = 1 + delta_kit_below(&dice, BLOCKS_MOST);
        size_t row_count = delta_kit_below(&dice, ROWS_MOST + 1);
        size_t stride = blocks * DELTA_CODE_BLOCK;
        for (size_t i = 0; i < row_count * stride; i++)
            rows[i] = round % 3 == 0 ? 255 : (uint8_t)delta_kit_draw(&dice);
        for (size_t i = 0; i < stride; i++) {
            int edge = round % 2 == 0 ? 127 : -127;
            wide[i] = (int16_t)(round % 3 == 0 ? edge : (int)delta_kit_below(&dice, 255) - 127);
            query[i] = (int8_t)wide[i];
        }
        check_sums(rows, row_count, blocks, query, wide);
    }
    free(rows);
}

/* The longest row, and every code at its edge: the sum is the largest that there can be. */
static void test_largest_sum(void **state) {
    enum { LONGEST = 65536 };
    uint8_t *row = malloc(LONGEST);
    int8_t *query = malloc(LONGEST);
    int16_t *wide = malloc(LONGEST * sizeof *wide);
    (void)state;
    assert_true(row != NULL && query != NULL && wide != NULL);
    for (int sign = -1; sign <= 1; sign += 2) {
        for (size_t i = 0; i < LONGEST; i++) {
            row[i] = 255;
            wide[i] = (int16_t)(127 * sign);
            query[i] = (int8_t)wide[i];
        }
        check_sums(row, 1, LONGEST / DELTA_CODE_BLOCK, query, wide);
    }
    free(row);
    free(query);
    free(wide);
}

static void test_choice(void **state) {
    const struct delta_kernel *const *all = delta_kernel_all();
    size_t count = 0;
    (void)state;
    assert_string_equal(all[0]->name, "portable");
    for (; all[count] != NULL; count++) print_message("%s\n", all[count]->name);
    assert_ptr_equal(delta_kernel(), all[count - 1]);
    assert_ptr_equal(delta_kernel(), all[count - 1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dots),    cmocka_unit_test(test_order_matters),
        cmocka_unit_test(test_cosines), cmocka_unit_test(test_zeros_add_nothing),
        cmocka_unit_test(test_sums),    cmocka_unit_test(test_largest_sum),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
