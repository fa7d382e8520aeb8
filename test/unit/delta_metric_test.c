/* delta_metric_test.c - numbers of two deltas: the bits of the dense sums whatever the forms,
 * symmetric, defined for zero, and right where they can be worked out by hand. */
#include "txn/delta.h"

#include "support/delta_kit.h"

typedef kh_status metric(const kh_delta *a, const kh_delta *b, float *out);

static metric *const metrics[] = {kh_delta_cosine, kh_delta_angular, kh_delta_euclidean,
                                  kh_delta_jaccard, kh_delta_weighted_jaccard};
enum { METRICS = sizeof metrics / sizeof *metrics };

static float measure(metric *of, const kh_delta *a, const kh_delta *b) {
    float out = NAN;
    assert_int_equal(of(a, b, &out), KH_OK);
    return out;
}

/* Of every pair of forms, and of dimensions on both sides of where words come in groups. */
static void test_forms_and_order(void **state) {
    static const size_t dimensions[] = {1, 7, 16, 31, 64, 65, 128, 384, 1000, 4096, 4100, 13000};
    static const size_t fillings[] = {1, 2, 3, 20, 300};
    struct delta_dice dice = {1};
    (void)state;
    for (int round = 0; round < 1200; round++) {
        size_t dimension = dimensions[round % 12];
        kh_delta *a = delta_kit_random(NULL, &dice, dimension, fillings[round % 5]);
        kh_delta *b = delta_kit_random(NULL, &dice, dimension, fillings[round / 5 % 5]);
        float *in_a = delta_kit_values(a);
        float *in_b = delta_kit_values(b);
        assert_same_float(measure(kh_delta_cosine, a, b), delta_kit_cosine(in_a, in_b, dimension));
        for (int i = 0; i < METRICS; i++) {
            float there = measure(metrics[i], a, b);
            assert_same_float(there, measure(metrics[i], b, a));
            assert_true(isfinite(there));
        }
        free(in_a);
        free(in_b);
        kh_delta_release(a);
        kh_delta_release(b);
    }
}

/* The same, summed as anybody would, in double precision. */
static void test_against_plain_sums(void **state) {
    struct delta_dice dice = {2};
    (void)state;
    for (int round = 0; round < 600; round++) {
        size_t dimension = 1 + delta_kit_below(&dice, 500);
        kh_delta *a = delta_kit_random(NULL, &dice, dimension, 1 + (size_t)round % 6);
        kh_delta *b = delta_kit_random(NULL, &dice, dimension, 1 + (size_t)round / 6 % 6);
        float *x = delta_kit_values(a);
        float *y = delta_kit_values(b);
        double xy = 0, xx = 0, yy = 0, square = 0, least = 0, most = 0, both = 0, either = 0;
        for (size_t i = 0; i < dimension; i++) {
            double v = (double)x[i];
            double w = (double)y[i];
            xy += v * w;
            xx += v * v;
            yy += w * w;
            square += (v - w) * (v - w);
            least += fmin(fabs(v), fabs(w));
            most += fmax(fabs(v), fabs(w));
            both += v != 0 && w != 0;
            either += v != 0 || w != 0;
        }
        double cosine = xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
        assert_true(fabs((double)measure(kh_delta_cosine, a, b) - cosine) < 1e-5);
        assert_true(fabs((double)measure(kh_delta_euclidean, a, b) - sqrt(square)) <=
                    1e-5 * sqrt(square));
        assert_true(fabs((double)measure(kh_delta_jaccard, a, b) -
                         (either > 0 ? both / either : 0)) < 1e-6);
        assert_true(fabs((double)measure(kh_delta_weighted_jaccard, a, b) -
                         (most > 0 ? least / most : 0)) < 1e-5);
        double angle = acos((double)measure(kh_delta_cosine, a, b)) / acos(-1);
        assert_true(fabs((double)measure(kh_delta_angular, a, b) - angle) < 1e-7);
        free(x);
        free(y);
        kh_delta_release(a);
        kh_delta_release(b);
    }
}

static void test_zero(void **state) {
    float zeros[300] = {0};
    float ones[300];
    (void)state;
    for (int i = 0; i < 300; i++) ones[i] = 1;
    kh_delta *zero = delta_kit_build(NULL, zeros, 300);
    zeros[17] = 3;
    kh_delta *sparse = delta_kit_build(NULL, zeros, 300);
    kh_delta *dense = delta_kit_build(NULL, ones, 300);
    const kh_delta *const others[] = {zero, sparse, dense};
    for (int i = 0; i < 3; i++) {
        assert_same_float(measure(kh_delta_cosine, zero, others[i]), 0);
        assert_same_float(measure(kh_delta_angular, zero, others[i]), 0.5f);
        assert_same_float(measure(kh_delta_euclidean, zero, others[i]),
                          kh_delta_magnitude(others[i]));
        assert_same_float(measure(kh_delta_jaccard, zero, others[i]), 0);
        assert_same_float(measure(kh_delta_weighted_jaccard, zero, others[i]), 0);
    }
    kh_delta_release(zero);
    kh_delta_release(sparse);
    kh_delta_release(dense);
}

static void test_by_hand(void **state) {
    static const float a[] = {3, 4, 0, 0, 0};
    static const float b[] = {-3, -4, 0, 0, 0};
    static const float c[] = {0, 8, 0, 6, 0};
    static const float d[] = {4, -3, 0, 0, 0};
    (void)state;
    kh_delta *x = delta_kit_build(NULL, a, 5);
    kh_delta *opposite = delta_kit_build(NULL, b, 5);
    kh_delta *other = delta_kit_build(NULL, c, 5);
    kh_delta *across = delta_kit_build(NULL, d, 5);
    assert_true(kh_delta_magnitude(x) == 5);
    assert_true(measure(kh_delta_cosine, x, x) == 1);
    assert_true(measure(kh_delta_cosine, x, opposite) == -1);
    assert_true(measure(kh_delta_cosine, x, other) == 0.64f);
    assert_same_float(measure(kh_delta_cosine, x, across), 0);
    assert_true(measure(kh_delta_angular, x, x) == 0);
    assert_true(measure(kh_delta_angular, x, opposite) == 1);
    assert_true(measure(kh_delta_angular, x, across) == 0.5f);
    assert_true(measure(kh_delta_euclidean, x, x) == 0);
    assert_true(measure(kh_delta_euclidean, x, opposite) == 10);
    assert_true(measure(kh_delta_jaccard, x, other) == 1.0f / 3);
    assert_true(measure(kh_delta_jaccard, x, opposite) == 1);
    assert_true(measure(kh_delta_weighted_jaccard, x, opposite) == 1); /* sizes only */
    assert_true(measure(kh_delta_weighted_jaccard, x, other) == 4.0f / 17);
    kh_delta_release(x);
    kh_delta_release(opposite);
    kh_delta_release(other);
    kh_delta_release(across);
}

/* All of one word in common, and nothing else. */
static void test_a_full_word(void **state) {
    enum { DIMENSION = 1000, FROM = 64, END = 128 };
    float values[DIMENSION] = {0};
    (void)state;
    for (size_t i = FROM; i < END; i++) values[i] = 1;
    kh_delta *delta = delta_kit_build(NULL, values, DIMENSION);
    assert_true(kh_delta_is_sparse(delta));
    assert_true(measure(kh_delta_cosine, delta, delta) == 1);
    kh_delta_release(delta);
}

/* The largest values of the longest vectors: nothing overflows. */
static void test_largest(void **state) {
    enum { LONGEST = 65536 };
    float *values = calloc(LONGEST, sizeof *values);
    (void)state;
    for (int i = 0; i < LONGEST; i++) values[i] = 1e16f;
    kh_delta *a = delta_kit_build(NULL, values, LONGEST);
    for (int i = 0; i < LONGEST; i++) values[i] = -1e16f;
    kh_delta *b = delta_kit_build(NULL, values, LONGEST);
    assert_true(isfinite(kh_delta_magnitude(a)));
    for (int i = 0; i < METRICS; i++) assert_true(isfinite(measure(metrics[i], a, b)));
    assert_true(fabsf(measure(kh_delta_cosine, a, b) + 1) < 1e-4f);
    kh_delta_release(a);
    kh_delta_release(b);
    free(values);
}

static void test_dimensions_that_differ(void **state) {
    struct delta_dice dice = {3};
    (void)state;
    for (size_t every = 1; every < 20; every += 10) {
        kh_delta *a = delta_kit_random(NULL, &dice, 100, every);
        kh_delta *b = delta_kit_random(NULL, &dice, 101, every);
        float out = 42;
        for (int i = 0; i < METRICS; i++) assert_int_equal(metrics[i](a, b, &out), KH_INVALID);
        assert_true(out == 42);
        assert_int_equal(kh_delta_shared_keys(a, b), 0);
        kh_delta_release(a);
        kh_delta_release(b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_and_order),
        cmocka_unit_test(test_against_plain_sums),
        cmocka_unit_test(test_zero),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_a_full_word),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_dimensions_that_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
