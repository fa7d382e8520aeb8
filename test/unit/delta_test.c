/* delta_test.c - making deltas: what is refused, which form they take, what they tell, how long
 * they live, and that an allocation that fails leaves nothing behind. */
#include "txn/delta.h"

#include "base/limits.h"
#include "support/delta_kit.h"
#include "support/home.h"

static kh_status build(kh_db *db, const float *values, size_t count, kh_delta **out) {
    kh_error error = {""};
    kh_status status = kh_delta_build(db, (kh_floats){values, count}, NULL, out, &error);
    assert_true((status == KH_OK) == (error.message[0] == '\0'));
    return status;
}

static void test_values_that_are_refused(void **state) {
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1.0001e16f, -1.0001e16f};
    kh_delta *delta = NULL;
    float values[40];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t at = 0; at < 40; at++) {
            for (size_t j = 0; j < 40; j++) values[j] = (float)j;
            values[at] = bad[i];
            assert_int_equal(build(NULL, values, 40, &delta), KH_INVALID);
            assert_int_equal(build(NULL, values, at, &delta), at == 0 ? KH_INVALID : KH_OK);
            kh_delta_release(delta);
            delta = NULL;
        }
    }
    assert_int_equal(build(NULL, NULL, 4, &delta), KH_INVALID);
    assert_int_equal(build(NULL, values, 0, &delta), KH_INVALID);
    assert_int_equal(kh_delta_build(NULL, (kh_floats){values, 1}, NULL, NULL, NULL), KH_INVALID);
    assert_null(delta);
}

static void test_dimensions(void **state) {
    float *values = calloc(LIMIT_DELTA_DIMENSION + 1, sizeof *values);
    kh_delta *delta = NULL;
    (void)state;
    assert_non_null(values);
    values[LIMIT_DELTA_DIMENSION - 1] = 1;
    assert_int_equal(build(NULL, values, LIMIT_DELTA_DIMENSION + 1, &delta), KH_TOO_BIG);
    assert_int_equal(build(NULL, values, LIMIT_DELTA_DIMENSION, &delta), KH_OK);
    assert_int_equal(kh_delta_dimension(delta), LIMIT_DELTA_DIMENSION);
    assert_true(kh_delta_magnitude(delta) == 1);
    kh_delta_release(delta);
    free(values);
}

/* Less than half filled: sparse. At 1e-6 and below a value is zero, and a zero has no sign. */
static void test_forms(void **state) {
    (void)state;
    for (size_t dimension = 1; dimension < 200; dimension++) {
        for (size_t filled = 0; filled <= dimension; filled++) {
            float values[200] = {0};
            for (size_t i = 0; i < dimension; i++) values[i] = i % 2 == 0 ? 1e-6f : -0.0f;
            for (size_t i = 0; i < filled; i++) values[dimension - 1 - i] = -1.01e-6f;
            kh_delta *delta = delta_kit_build(NULL, values, dimension);
            float *told = delta_kit_values(delta);
            assert_int_equal(kh_delta_filled(delta), filled);
            assert_int_equal(kh_delta_is_sparse(delta), 2 * filled < dimension);
            assert_int_equal(kh_delta_dimension(delta), dimension);
            assert_int_equal(kh_delta_magnitude(delta) == 0, filled == 0);
            for (size_t i = 0; i < dimension; i++)
                assert_same_float(told[i], i < dimension - filled ? 0 : -1.01e-6f);
            free(told);
            kh_delta_release(delta);
        }
    }
}

/* Values and magnitude come out as they went in, whatever the form, at awkward dimensions. */
static void test_what_it_tells(void **state) {
    static const size_t dimensions[] = {1, 15, 16, 17, 63, 64, 65, 384, 4095, 4096, 4097, 9000};
    struct delta_dice dice = {1};
    (void)state;
    for (size_t i = 0; i < sizeof dimensions / sizeof *dimensions; i++) {
        size_t dimension = dimensions[i];
        for (size_t every = 1; every < 2000; every = 3 * every + 1) {
            float *values = calloc(dimension, sizeof *values);
            delta_kit_fill(&dice, values, dimension, every);
            kh_delta *delta = delta_kit_build(NULL, values, dimension);
            float *told = delta_kit_values(delta);
            for (size_t j = 0; j < dimension; j++)
                assert_same_float(told[j], fabsf(values[j]) > 1e-6f ? values[j] : 0);
            assert_same_float(kh_delta_magnitude(delta),
                              sqrtf(delta_kit_dot(told, told, dimension)));
            assert_true(kh_delta_size_bytes(delta) >= kh_delta_filled(delta) * sizeof(float));
            assert_int_equal(kh_delta_txn(delta).low, 0);
            kh_delta_release(delta);
            free(told);
            free(values);
        }
    }
}

static void test_sparse_is_smaller(void **state) {
    float values[2048] = {0};
    (void)state;
    kh_delta *sparse = delta_kit_build(NULL, values, 2048);
    for (size_t i = 0; i < 2048; i++) values[i] = 1;
    kh_delta *dense = delta_kit_build(NULL, values, 2048);
    assert_true(kh_delta_size_bytes(sparse) < kh_delta_size_bytes(dense) / 8);
    assert_true((uintptr_t)dense->values % DELTA_ALIGNMENT == 0);
    kh_delta_release(sparse);
    kh_delta_release(dense);
}

static void test_between(void **state) {
    static const float before[] = {1, 2, 3, 0.5f};
    static const float after[] = {1, 1, 4, 0.5000001f};
    static const float expected[] = {0, -1, 1, 0};
    float bad[] = {1, NAN, 3, 4};
    kh_delta *delta = NULL;
    kh_error error = {""};
    (void)state;
    kh_floats from = {before, 4};
    kh_floats to = {after, 4};
    assert_int_equal(kh_delta_between(NULL, from, to, NULL, &delta, &error), KH_OK);
    float *told = delta_kit_values(delta);
    assert_memory_equal(told, expected, sizeof expected);
    free(told);
    kh_delta_release(delta);
    assert_int_equal(kh_delta_between(NULL, from, (kh_floats){after, 3}, NULL, &delta, &error),
                     KH_INVALID);
    assert_non_null(strstr(error.message, "4 values before, 3 after"));
    assert_int_equal(kh_delta_between(NULL, (kh_floats){bad, 4}, to, NULL, &delta, &error),
                     KH_INVALID);
    assert_int_equal(kh_delta_between(NULL, from, (kh_floats){bad, 4}, NULL, &delta, &error),
                     KH_INVALID);
    assert_int_equal(kh_delta_between(NULL, from, to, NULL, NULL, &error), KH_INVALID);
    /* The difference is beyond what a value may be, each side is not. */
    bad[1] = -1e16f;
    float other[] = {1, 1e16f, 3, 4};
    assert_int_equal(
        kh_delta_between(NULL, (kh_floats){bad, 4}, (kh_floats){other, 4}, NULL, &delta, &error),
        KH_INVALID);
}

static void test_options(void **state) {
    static const float value = 1;
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    kh_delta *delta = NULL;
    kh_error error = {""};
    (void)state;
    kh_floats values = {&value, 1};
    options.txn = (kh_txn_id){7, 8};
    assert_int_equal(kh_delta_build(NULL, values, &options, &delta, &error), KH_OK);
    assert_int_equal(kh_delta_txn(delta).high, 7);
    assert_int_equal(kh_delta_txn(delta).low, 8);
    assert_int_equal(kh_delta_key_count(delta), 0);
    assert_null(kh_delta_key(delta, 0).data);
    kh_delta_release(delta);
    delta = NULL;
    options.key_count = 1;
    assert_int_equal(kh_delta_build(NULL, values, &options, &delta, &error), KH_INVALID);
    options.key_count = (size_t)LIMIT_DELTA_KEYS + 1;
    options.keys = &(kh_bytes){"k", 1};
    assert_int_equal(kh_delta_build(NULL, values, &options, &delta, &error), KH_TOO_BIG);
    options.key_count = 1;
    options.size = 1;
    assert_int_equal(kh_delta_build(NULL, values, &options, &delta, &error), KH_INVALID);
    options.size = sizeof options + 8;
    assert_int_equal(kh_delta_build(NULL, values, &options, &delta, &error), KH_INVALID);
    assert_null(delta);
}

/* Shared, and alive after the context that it was made in was closed. */
static void test_life(void **state) {
    struct home home;
    struct delta_dice dice = {2};
    kh_db *db = home_open(&home);
    (void)state;
    kh_delta *delta = delta_kit_random(db, &dice, 100, 1);
    assert_true(home.live_blocks > 0);
    assert_ptr_equal(kh_delta_retain(delta), delta);
    int64_t live = home.live_blocks;
    home_close(&home);
    kh_delta_release(delta);
    assert_true(kh_delta_magnitude(delta) > 0);
    kh_delta_release(delta);
    kh_delta_release(NULL);
    assert_true(home.live_blocks < live);
}

/* ---- allocations that fail ------------------------------------------------------------------- */

typedef kh_status making(kh_db *db, kh_delta *const *deltas, kh_delta **out, kh_error *error);

static const float wave[] = {1, 0, 0, 2, 3, 0, 0, 0, 0, 0};
static const kh_bytes many_keys[] = {{"j", 1}, {"i", 1}, {"h", 1}, {"g", 1}, {"f", 1},
                                     {"e", 1}, {"d", 1}, {"c", 1}, {"b", 1}, {"a", 1}};

static kh_status make_built(kh_db *db, kh_delta *const *deltas, kh_delta **out, kh_error *error) {
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    (void)deltas;
    options.keys = many_keys;
    options.key_count = 10;
    return kh_delta_build(db, (kh_floats){wave, 10}, &options, out, error);
}

static kh_status make_between(kh_db *db, kh_delta *const *deltas, kh_delta **out, kh_error *error) {
    static const float zeros[10] = {0};
    (void)deltas;
    return kh_delta_between(db, (kh_floats){zeros, 10}, (kh_floats){wave, 10}, NULL, out, error);
}

static kh_status make_sum(kh_db *db, kh_delta *const *deltas, kh_delta **out, kh_error *error) {
    (void)db;
    return kh_delta_add(deltas[0], deltas[1], out, error);
}

static kh_status make_scaled(kh_db *db, kh_delta *const *deltas, kh_delta **out, kh_error *error) {
    (void)db;
    return kh_delta_scale(deltas[0], 2, out, error);
}

static kh_status make_average(kh_db *db, kh_delta *const *deltas, kh_delta **out, kh_error *error) {
    static const float weights[] = {1, 2};
    (void)db;
    return kh_delta_average((const kh_delta *const *)deltas, weights, 2, out, error);
}

static kh_status make_projection(kh_db *db, kh_delta *const *deltas, kh_delta **out,
                                 kh_error *error) {
    (void)db;
    return kh_delta_project(deltas[0], deltas[1], out, error);
}

static kh_status make_decoded(kh_db *db, kh_delta *const *deltas, kh_delta **out, kh_error *error) {
    kh_bytes bytes = {NULL, 0};
    kh_status status = kh_delta_encode(deltas[0], &bytes, error);
    if (status == KH_OK) status = kh_delta_decode(db, bytes, out, error);
    kh_bytes_free(bytes);
    return status;
}

static void test_allocations_that_fail(void **state) {
    static making *const makings[] = {make_built,   make_between,    make_sum,    make_scaled,
                                      make_average, make_projection, make_decoded};
    struct home home;
    kh_db *db = home_open(&home);
    kh_delta *deltas[2] = {NULL, NULL};
    (void)state;
    assert_int_equal(make_built(db, NULL, &deltas[0], NULL), KH_OK);
    assert_int_equal(make_built(db, NULL, &deltas[1], NULL), KH_OK);
    for (size_t i = 0; i < sizeof makings / sizeof *makings; i++) {
        for (uint64_t fail_at = 1;; fail_at++) {
            kh_delta *out = NULL;
            kh_error error = {""};
            int64_t live = home.live_blocks;
            home.fail_at = home.calls + fail_at;
            kh_status status = makings[i](db, deltas, &out, &error);
            bool is_through = home.calls < home.fail_at;
            home.fail_at = 0;
            if (is_through) {
                assert_int_equal(status, KH_OK);
                assert_true(fail_at > 1);
                kh_delta_release(out);
                break;
            }
            assert_int_equal(status, KH_NO_MEMORY);
            assert_true(error.message[0] != '\0');
            assert_null(out);
            assert_int_equal(home.live_blocks, live);
        }
    }
    kh_delta_release(deltas[0]);
    kh_delta_release(deltas[1]);
    assert_int_equal(mem_live_bytes(home.batch.mem), 0);
    home_close(&home);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_that_are_refused),
        cmocka_unit_test(test_dimensions),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_what_it_tells),
        cmocka_unit_test(test_sparse_is_smaller),
        cmocka_unit_test(test_between),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_allocations_that_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
