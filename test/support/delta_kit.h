/* delta_kit.h - random vectors and deltas for tests, and a second opinion of their sums that knows
 * nothing of kernels. */
#ifndef TEST_SUPPORT_DELTA_KIT_H
#define TEST_SUPPORT_DELTA_KIT_H

#include "khonsu/delta.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct delta_dice {
    uint64_t state;
};

static inline uint64_t delta_kit_draw(struct delta_dice *dice) {
    dice->state += 0x9e3779b97f4a7c15u;
    uint64_t z = dice->state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline size_t delta_kit_below(struct delta_dice *dice, size_t bound) {
    return (size_t)(delta_kit_draw(dice) % bound);
}

/* In [-1, 1). */
static inline float delta_kit_float(struct delta_dice *dice) {
    return (float)(delta_kit_draw(dice) >> 40) * 0x1p-23f - 1;
}

/* Values of which about one in `every` is not zero (1: all), now and then of another size. */
static inline void delta_kit_fill(struct delta_dice *dice, float *values, size_t count,
                                  size_t every) {
    for (size_t i = 0; i < count; i++) {
        values[i] = delta_kit_below(dice, every) == 0 ? delta_kit_float(dice) : 0;
        if (delta_kit_below(dice, 50) == 0) values[i] *= 1e4f;
        if (delta_kit_below(dice, 50) == 0) values[i] *= 1e-4f;
    }
}

static inline uint32_t delta_kit_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#define assert_same_float(a, b) assert_int_equal(delta_kit_bits(a), delta_kit_bits(b))

/* The sum of products as khonsu/delta.h and the kernels' header promise it, in plain C. Rounded
 * through volatile storage, whatever the compiler would like to fuse. */
static inline float delta_kit_dot(const float *a, const float *b, size_t count) {
    volatile float lanes[16] = {0};
    for (size_t i = 0; i < count; i++) {
        volatile float product = a[i] * b[i];
        lanes[i % 16] = lanes[i % 16] + product;
    }
    for (int width = 8; width > 0; width /= 2)
        for (int i = 0; i < width; i++) lanes[i] = lanes[i] + lanes[i + width];
    return lanes[0];
}

static inline float delta_kit_cosine(const float *a, const float *b, size_t count) {
    volatile float size_a = sqrtf(delta_kit_dot(a, a, count));
    volatile float size_b = sqrtf(delta_kit_dot(b, b, count));
    volatile float both = size_a * size_b;
    if (!(both > 0)) return 0;
    volatile float cosine = delta_kit_dot(a, b, count) / both;
    if (cosine > 1) return 1;
    return cosine < -1 ? -1 : cosine;
}

static inline kh_delta *delta_kit_build_keys(kh_db *db, const float *values, size_t count,
                                             const char *const *keys, size_t key_count) {
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    kh_bytes spans[16];
    kh_delta *delta = NULL;
    kh_error error = {""};
    for (size_t i = 0; i < key_count; i++) spans[i] = (kh_bytes){keys[i], strlen(keys[i])};
    options.keys = spans;
    options.key_count = key_count;
    assert_int_equal(kh_delta_build(db, (kh_floats){values, count}, &options, &delta, &error),
                     KH_OK);
    assert_non_null(delta);
    return delta;
}

static inline kh_delta *delta_kit_build(kh_db *db, const float *values, size_t count) {
    return delta_kit_build_keys(db, values, count, NULL, 0);
}

/* A random one, of random form unless `every` says otherwise. */
static inline kh_delta *delta_kit_random(kh_db *db, struct delta_dice *dice, size_t count,
                                         size_t every) {
    float *values = calloc(count, sizeof *values);
    assert_non_null(values);
    delta_kit_fill(dice, values, count, every);
    kh_delta *delta = delta_kit_build(db, values, count);
    free(values);
    return delta;
}

/* Its values, as they are after small ones have become zero; freed by the caller. */
static inline float *delta_kit_values(const kh_delta *delta) {
    float *values = calloc(kh_delta_dimension(delta), sizeof *values);
    assert_non_null(values);
    kh_delta_values(delta, values);
    return values;
}

static inline void delta_kit_assert_equal(const kh_delta *a, const kh_delta *b) {
    kh_bytes in_a = {NULL, 0};
    kh_bytes in_b = {NULL, 0};
    assert_int_equal(kh_delta_encode(a, &in_a, NULL), KH_OK);
    assert_int_equal(kh_delta_encode(b, &in_b, NULL), KH_OK);
    assert_int_equal(in_a.size_bytes, in_b.size_bytes);
    assert_memory_equal(in_a.data, in_b.data, in_a.size_bytes);
    kh_bytes_free(in_a);
    kh_bytes_free(in_b);
}

#endif
