/* delta_algebra_test.c - deltas made of deltas: the laws that hold bit for bit, those that hold up
 * to rounding, keys and transactions of the results, and what is refused. */
#include "txn/delta.h"

#include "support/delta_kit.h"

static kh_delta *with(const float *values, size_t count, const char *const *keys, size_t key_count,
                      uint64_t txn) {
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    kh_bytes spans[8];
    kh_delta *delta = NULL;
    for (size_t i = 0; i < key_count; i++) spans[i] = (kh_bytes){keys[i], strlen(keys[i])};
    options.keys = spans;
    options.key_count = key_count;
    options.txn = (kh_txn_id){txn == 0 ? 0 : 1, txn};
    assert_int_equal(kh_delta_build(NULL, (kh_floats){values, count}, &options, &delta, NULL),
                     KH_OK);
    return delta;
}

static kh_delta *add(const kh_delta *a, const kh_delta *b) {
    kh_delta *out = NULL;
    assert_int_equal(kh_delta_add(a, b, &out, NULL), KH_OK);
    return out;
}

static kh_delta *scale(const kh_delta *a, float factor) {
    kh_delta *out = NULL;
    assert_int_equal(kh_delta_scale(a, factor, &out, NULL), KH_OK);
    return out;
}

static float flush(float value) {
    return fabsf(value) > 1e-6f ? value : 0;
}

/* Each value is one addition, or one product, of floats; sums commute; 0 and 1 are neutral. */
static void test_laws(void **state) {
    static const float zeros[600] = {0};
    struct delta_dice dice = {1};
    (void)state;
    for (int round = 0; round < 500; round++) {
        size_t dimension = 1 + delta_kit_below(&dice, 600);
        kh_delta *a = delta_kit_random(NULL, &dice, dimension, 1 + (size_t)round % 7);
        kh_delta *b = delta_kit_random(NULL, &dice, dimension, 1 + (size_t)round / 7 % 7);
        float factor = delta_kit_float(&dice) * 3;
        kh_delta *zero = delta_kit_build(NULL, zeros, dimension);
        kh_delta *made[] = {add(a, b),   add(b, a),        add(a, zero), scale(a, 1),
                            scale(a, 0), scale(a, factor), scale(a, -1)};
        kh_delta *nothing = add(a, made[6]);
        float *x = delta_kit_values(a);
        float *y = delta_kit_values(b);
        float *sum = delta_kit_values(made[0]);
        float *product = delta_kit_values(made[5]);
        for (size_t i = 0; i < dimension; i++) {
            volatile float one_sum = x[i] + y[i];
            volatile float one_product = x[i] * factor;
            assert_same_float(sum[i], flush(one_sum));
            assert_same_float(product[i], flush(one_product));
        }
        delta_kit_assert_equal(made[0], made[1]);
        delta_kit_assert_equal(made[2], a);
        delta_kit_assert_equal(made[3], a);
        delta_kit_assert_equal(made[4], zero);
        delta_kit_assert_equal(nothing, zero);
        for (int i = 0; i < 7; i++) kh_delta_release(made[i]);
        kh_delta_release(nothing);
        kh_delta_release(zero);
        kh_delta_release(a);
        kh_delta_release(b);
        free(x);
        free(y);
        free(sum);
        free(product);
    }
}

static void assert_keys(const kh_delta *delta, const char *expected) {
    char told[64] = "";
    for (size_t i = 0; i < kh_delta_key_count(delta); i++)
        strncat(told, kh_delta_key(delta, i).data, kh_delta_key(delta, i).size_bytes);
    assert_string_equal(told, expected);
}

static void test_keys_and_transactions(void **state) {
    static const float x[] = {1, 2};
    static const float y[] = {0, 1};
    static const char *const ab[] = {"b", "a"};
    static const char *const bc[] = {"c", "b"};
    (void)state;
    kh_delta *a = with(x, 2, ab, 2, 5);
    kh_delta *b = with(y, 2, bc, 2, 6);
    kh_delta *same = with(y, 2, bc, 1, 5);
    kh_delta *sum = add(a, b);
    kh_delta *own = add(a, same);
    kh_delta *twice = scale(a, 2);
    kh_delta *rest = NULL;
    kh_delta *average = NULL;
    const kh_delta *const all[] = {a, b, same};
    assert_int_equal(kh_delta_project(a, b, &rest, NULL), KH_OK);
    assert_int_equal(kh_delta_average(all, (const float[]){1, 1, 2}, 3, &average, NULL), KH_OK);
    assert_keys(sum, "abc");
    assert_int_equal(kh_delta_txn(sum).low, 0);
    assert_keys(own, "abc");
    assert_int_equal(kh_delta_txn(own).low, 5);
    assert_int_equal(kh_delta_txn(own).high, 1);
    assert_keys(twice, "ab");
    assert_int_equal(kh_delta_txn(twice).low, 5);
    assert_keys(rest, "ab");
    assert_int_equal(kh_delta_txn(rest).low, 5);
    assert_keys(average, "abc");
    assert_int_equal(kh_delta_txn(average).low, 0);
    kh_delta *const made[] = {a, b, same, sum, own, twice, rest, average};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) kh_delta_release(made[i]);
}

static void test_average(void **state) {
    static const float x[] = {1, 2, 3, 0, 0};
    static const float y[] = {5, 0, 0, 0, 0};
    (void)state;
    kh_delta *a = delta_kit_build(NULL, x, 5);
    kh_delta *b = delta_kit_build(NULL, y, 5);
    const kh_delta *const both[] = {a, b};
    kh_delta *out = NULL;
    kh_delta *none = NULL;
    kh_error error = {""};
    assert_int_equal(kh_delta_average(both, (const float[]){3, 1}, 2, &out, &error), KH_OK);
    float *values = delta_kit_values(out);
    static const float expected[] = {2, 1.5f, 2.25f, 0, 0};
    assert_memory_equal(values, expected, sizeof expected);
    free(values);
    kh_delta_release(out);
    assert_int_equal(kh_delta_average(both, (const float[]){0, 3}, 2, &out, &error), KH_OK);
    delta_kit_assert_equal(out, b);
    kh_delta_release(out);
    static const float bad[][2] = {{0, 0}, {-1, 2}, {NAN, 1}, {1, INFINITY}};
    for (int i = 0; i < 4; i++)
        assert_int_equal(kh_delta_average(both, bad[i], 2, &none, &error), KH_INVALID);
    assert_int_equal(kh_delta_average(both, bad[0], 0, &none, &error), KH_INVALID);
    assert_int_equal(kh_delta_average(NULL, bad[0], 2, &none, &error), KH_INVALID);
    assert_int_equal(kh_delta_average(both, NULL, 2, &none, &error), KH_INVALID);
    assert_null(none);
    kh_delta_release(a);
    kh_delta_release(b);
}

/* The rest is orthogonal to what it was taken from; with its component it is the whole again. */
static void test_projection(void **state) {
    struct delta_dice dice = {2};
    (void)state;
    for (int round = 0; round < 300; round++) {
        size_t dimension = 2 + delta_kit_below(&dice, 300);
        float values[2][302];
        for (size_t i = 0; i < dimension; i++) {
            values[0][i] =
                delta_kit_below(&dice, 1 + (size_t)round % 3) == 0 ? delta_kit_float(&dice) : 0;
            values[1][i] = delta_kit_float(&dice) + values[0][i];
        }
        kh_delta *a = delta_kit_build(NULL, values[0], dimension);
        kh_delta *b = delta_kit_build(NULL, values[1], dimension);
        kh_delta *rest = NULL;
        float cosine;
        assert_int_equal(kh_delta_project(a, b, &rest, NULL), KH_OK);
        assert_int_equal(kh_delta_cosine(rest, b, &cosine), KH_OK);
        if (kh_delta_magnitude(rest) > 1e-3f) assert_true(fabsf(cosine) < 1e-3f);
        assert_true(kh_delta_magnitude(rest) <= kh_delta_magnitude(a) * 1.0001f);
        kh_delta_release(rest);
        kh_delta_release(a);
        kh_delta_release(b);
    }
}

static void test_projection_of_special_ones(void **state) {
    static const float x[] = {1, 2, 0, 0, 0};
    static const float across[] = {2, -1, 0, 0, 0};
    static const float zeros[5] = {0};
    (void)state;
    kh_delta *a = delta_kit_build(NULL, x, 5);
    kh_delta *orthogonal = delta_kit_build(NULL, across, 5);
    kh_delta *zero = delta_kit_build(NULL, zeros, 5);
    kh_delta *twice = scale(a, -2);
    kh_delta *out = NULL;
    assert_int_equal(kh_delta_project(a, orthogonal, &out, NULL), KH_OK);
    delta_kit_assert_equal(out, a);
    kh_delta_release(out);
    assert_int_equal(kh_delta_project(a, zero, &out, NULL), KH_OK);
    delta_kit_assert_equal(out, a);
    kh_delta_release(out);
    assert_int_equal(kh_delta_project(zero, a, &out, NULL), KH_OK);
    delta_kit_assert_equal(out, zero);
    kh_delta_release(out);
    assert_int_equal(kh_delta_project(a, twice, &out, NULL), KH_OK);
    assert_int_equal(kh_delta_filled(out), 0);
    kh_delta_release(out);
    kh_delta_release(a);
    kh_delta_release(orthogonal);
    kh_delta_release(zero);
    kh_delta_release(twice);
}

static void test_what_is_refused(void **state) {
    static const float largest[] = {1e16f, 1};
    (void)state;
    kh_delta *a = delta_kit_build(NULL, largest, 2);
    kh_delta *other = delta_kit_build(NULL, largest, 1);
    const kh_delta *const both[] = {a, other};
    kh_delta *out = NULL;
    kh_error error = {""};
    assert_int_equal(kh_delta_add(a, a, &out, &error), KH_INVALID);
    assert_int_equal(kh_delta_scale(a, 1.5f, &out, &error), KH_INVALID);
    assert_int_equal(kh_delta_scale(a, 3e38f, &out, &error), KH_INVALID);
    assert_int_equal(kh_delta_scale(a, NAN, &out, &error), KH_INVALID);
    assert_int_equal(kh_delta_scale(a, -INFINITY, &out, &error), KH_INVALID);
    assert_int_equal(kh_delta_add(a, other, &out, &error), KH_INVALID);
    assert_non_null(strstr(error.message, "of 2 and of 1"));
    assert_int_equal(kh_delta_project(a, other, &out, &error), KH_INVALID);
    assert_int_equal(kh_delta_average(both, (const float[]){1, 1}, 2, &out, &error), KH_INVALID);
    assert_null(out);
    kh_delta_release(a);
    kh_delta_release(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_laws),
        cmocka_unit_test(test_keys_and_transactions),
        cmocka_unit_test(test_average),
        cmocka_unit_test(test_projection),
        cmocka_unit_test(test_projection_of_special_ones),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
