/* delta_few_test.c - deltas of at most seven values: the slots, lanes and steps of their own form,
 * and products, counts and classes that are those of the plain sums, by every kernel, whatever two
 * of them share. */
#include "txn/delta.h"

#include "support/delta_kit.h"
#include "txn/delta_dot.h"

enum { LONGEST = 65536 };

/* As many values in ascending order of positions, of which the greatest is below LONGEST. */
static kh_delta *build(size_t dimension, const size_t *positions, const float *values,
                       size_t count) {
    static float dense[LONGEST];
    for (size_t i = 0; i < count; i++) dense[positions[i]] = values[i];
    kh_delta *delta = delta_kit_build(NULL, dense, dimension);
    for (size_t i = 0; i < count; i++) dense[positions[i]] = 0;
    return delta;
}

static void test_which_have_it(void **state) {
    static const float values[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const size_t positions[] = {0, 1, 2, 3, 4, 5, 6, 7};
    static const size_t last[] = {65534};
    (void)state;
    for (size_t count = 0; count <= 8; count++) {
        kh_delta *delta = build(100, positions, values, count);
        assert_int_equal(delta->few != NULL, count >= 1 && count <= 7);
        kh_delta_release(delta);
    }
    kh_delta *dense = build(14, positions, values, 7); /* half of the values */
    kh_delta *sparse = build(15, positions, values, 7);
    kh_delta *longest = build(65535, last, values, 1);
    kh_delta *too_long = build(65536, last, values, 1);
    assert_null(dense->few);
    assert_non_null(sparse->few);
    assert_non_null(longest->few);
    assert_null(too_long->few);
    kh_delta_release(dense);
    kh_delta_release(sparse);
    kh_delta_release(longest);
    kh_delta_release(too_long);
}

/* Lanes 3, 0, 3, 3, 15 and 0. */
static void test_slots_and_steps(void **state) {
    static const size_t positions[] = {3, 16, 19, 35, 47, 64};
    static const float values[] = {1, 2, 3, 4, 5, 6};
    (void)state;
    kh_delta *delta = build(300, positions, values, 6);
    const struct delta_few *few = delta->few;
    assert_int_equal(few->nowhere_count, 2);
    assert_int_equal(few->more_steps, 1);
    assert_int_equal(few->positions[0], DELTA_FEW_NOWHERE);
    assert_int_equal(few->positions[7], DELTA_FEW_NOWHERE);
    assert_same_float(few->values[0], 0);
    assert_same_float(few->values[7], 0);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(few->positions[i + 1], positions[i]);
        assert_same_float(few->values[i + 1], values[i]);
    }
    for (size_t lane = 0; lane < DELTA_LANES; lane++)
        assert_int_equal(few->lanes[lane], lane == 3 ? 1 : lane == 0 ? 2 : lane == 15 ? 5 : 0);
    for (size_t slot = 0; slot < DELTA_FEW_SLOTS; slot++) {
        assert_int_equal(few->steps[0][slot], slot == 1 ? 3 : slot == 2 ? 6 : 0);
        assert_int_equal(few->steps[1][slot], slot == 1 ? 4 : 0);
    }
    assert_ptr_equal(delta->values, few->values + 1);
    kh_delta_release(delta);
}

/* By the dense sums, and by every kernel both ways round. */
static void check_pair(const kh_delta *a, const kh_delta *b) {
    size_t dimension = kh_delta_dimension(a);
    float *in_a = delta_kit_values(a);
    float *in_b = delta_kit_values(b);
    float expected = delta_kit_dot(in_a, in_b, dimension);
    float cosine = delta_kit_cosine(in_a, in_b, dimension);
    uint32_t both = 0;
    for (size_t i = 0; i < dimension; i++) both += in_a[i] != 0 && in_b[i] != 0;
    for (const struct delta_kernel *const *kernel = delta_kernel_all(); *kernel; kernel++) {
        uint32_t shared[] = {77, 77};
        float s;
        assert_same_float(dot_any(*kernel, a, b, &shared[0]), expected);
        assert_same_float(dot_any(*kernel, b, a, &shared[1]), expected);
        assert_int_equal(shared[0], both);
        assert_int_equal(shared[1], both);
        atomic_store(&delta_kernel_chosen, *kernel);
        (void)kh_delta_classify(a, b, NULL, &s);
        assert_same_float(s, cosine);
    }
    (void)delta_kernel_choose();
    free(in_a);
    free(in_b);
}

/* Values far apart in size, so that every order of summation shows; such that cancel out; -0 where
 * a negative value meets a zero. */
static float draw_value(struct delta_dice *dice, int flavour) {
    static const float edges[] = {1e16f, -1e16f, 1.1e-6f, -1.1e-6f, 1, -1};
    if (flavour == 0) return edges[delta_kit_below(dice, 6)];
    if (flavour == 1) return delta_kit_below(dice, 2) == 0 ? 1 : -1;
    float value = delta_kit_float(dice) + (delta_kit_below(dice, 2) == 0 ? 2 : -2);
    return flavour == 2 ? value : ldexpf(value, (int)delta_kit_below(dice, 50) - 19);
}

static int compare_positions(const void *a, const void *b) {
    size_t x = *(const size_t *)a;
    size_t y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

/* Positions that are not taken: any, or of two lanes only. */
static void draw_positions(struct delta_dice *dice, size_t dimension, bool is_deep, size_t *out,
                           size_t from, size_t to) {
    while (from < to) {
        bool is_new = true;
        size_t at = delta_kit_below(dice, dimension);
        if (is_deep) at = at / 16 * 16 + (at % 2 == 0 ? 2 : 10);
        for (size_t i = 0; i < from; i++) is_new &= out[i] != at;
        if (is_new && at < dimension) out[from++] = at;
    }
}

/* Of up to seven and up to seven values, of which `shared` are at the same positions. */
static void check_random(struct delta_dice *dice, size_t dimension, size_t shared, int round) {
    size_t positions[14];
    kh_delta *deltas[2];
    size_t count_a = shared + delta_kit_below(dice, 8 - shared);
    size_t count_b = shared + delta_kit_below(dice, 8 - shared);
    if (count_a + count_b == 0) return;
    draw_positions(dice, dimension, round % 2 == 0, positions, 0, count_a + count_b - shared);
    for (size_t side = 0; side < 2; side++) {
        size_t count = side == 0 ? count_a : count_b;
        size_t own[7];
        float values[7];
        memcpy(own, positions, count * sizeof *own);
        if (side == 1) memcpy(own + shared, positions + count_a, (count_b - shared) * sizeof *own);
        qsort(own, count, sizeof *own, compare_positions);
        for (size_t i = 0; i < count; i++) values[i] = draw_value(dice, round / 2 % 4);
        deltas[side] = build(dimension, own, values, count);
    }
    check_pair(deltas[0], deltas[1]);
    kh_delta_release(deltas[0]);
    kh_delta_release(deltas[1]);
}

static void test_products(void **state) {
    static const size_t dimensions[] = {128, 300, 1000, 5000, 65535, 65536};
    struct delta_dice dice = {1};
    (void)state;
    for (size_t i = 0; i < sizeof dimensions / sizeof *dimensions; i++)
        for (int round = 0; round < (dimensions[i] > 60000 ? 24 : 400); round++)
            for (size_t shared = 0; shared <= 7; shared++)
                check_random(&dice, dimensions[i], shared, round);
}

/* Every subset of seven positions with every other one: of seven lanes, of one lane, and with lanes
 * 8, 4, 2 and 1 apart. */
static void test_subsets(void **state) {
    static const size_t shapes[][7] = {{0, 17, 34, 51, 68, 85, 102},
                                       {5, 21, 37, 53, 69, 85, 101},
                                       {0, 8, 12, 14, 15, 16, 126},
                                       {0, 1, 2, 64, 65, 66, 127}};
    static const float values[] = {1e8f, 1, -1e8f, 3, 1e-3f, -7, 1e4f};
    kh_delta *deltas[128];
    (void)state;
    for (size_t shape = 0; shape < 4; shape++) {
        for (size_t set = 1; set < 128; set++) {
            size_t own[7];
            float of[7];
            size_t count = 0;
            for (size_t i = 0; i < 7; i++) {
                if ((set >> i & 1) == 0) continue;
                own[count] = shapes[shape][i];
                of[count++] = values[(i + set) % 7];
            }
            deltas[set] = build(128, own, of, count);
        }
        for (size_t i = 1; i < 128; i++)
            for (size_t j = 1; j < 128; j += 5) check_pair(deltas[i], deltas[j]);
        for (size_t i = 1; i < 128; i++) kh_delta_release(deltas[i]);
    }
}

/* With one of more values, and with a dense one, the other forms answer. */
static void test_other_forms(void **state) {
    struct delta_dice dice = {2};
    (void)state;
    for (int round = 0; round < 200; round++) {
        kh_delta *few = delta_kit_random(NULL, &dice, 128, 40);
        kh_delta *other = delta_kit_random(NULL, &dice, 128, round % 2 == 0 ? 4 : 1);
        float *in_few = delta_kit_values(few);
        float *in_other = delta_kit_values(other);
        float expected = delta_kit_dot(in_few, in_other, 128);
        for (const struct delta_kernel *const *kernel = delta_kernel_all(); *kernel; kernel++) {
            uint32_t shared = 77;
            assert_same_float(dot_any(*kernel, few, other, &shared), expected);
            assert_same_float(dot_any(*kernel, other, few, &shared), expected);
            assert_int_equal(shared == DOT_NOT_SPARSE, !kh_delta_is_sparse(other));
        }
        free(in_few);
        free(in_other);
        kh_delta_release(few);
        kh_delta_release(other);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_have_it), cmocka_unit_test(test_slots_and_steps),
        cmocka_unit_test(test_products),      cmocka_unit_test(test_subsets),
        cmocka_unit_test(test_other_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
