/* delta_algebra.c - deltas made of deltas.
 *
 * Happy path: the keys are gathered, the values computed into a draft, 64 at a time, and delta_make
 * decides the form and checks what came out. Failure: nothing was made, operands are as they were.
 * Results belong to the memory of the first operand. */
#include "txn/delta.h"

#include "base/status.h"
#include "txn/delta_dot.h"
#include <math.h>

static kh_txn_id txn_of_both(kh_txn_id a, kh_txn_id b) {
    return a.high == b.high && a.low == b.low ? a : (kh_txn_id){0, 0};
}

static kh_status check_same(const kh_delta *a, const kh_delta *b, kh_error *error) {
    if (a->dimension == b->dimension) return KH_OK;
    return status_fail(error, KH_INVALID, "deltas of %u and of %u values", a->dimension,
                       b->dimension);
}

/* The keys of all of them. On failure nothing to fini. */
static kh_status gather_keys(const kh_delta *const *deltas, size_t count,
                             struct delta_key_list *keys, kh_error *error) {
    size_t key_count = 0;
    for (size_t i = 0; i < count; i++) key_count += deltas[i]->key_count;
    kh_status status = delta_keys_init(keys, deltas[0]->mem, key_count, error);
    if (status != KH_OK) return status;
    for (size_t i = 0; i < count; i++) delta_keys_append_delta(keys, deltas[i]);
    status = delta_keys_sort(keys, error);
    if (status != KH_OK) delta_keys_fini(keys);
    return status;
}

/* out = weights[0] * deltas[0] + weights[1] * deltas[1] ..., over by, in double precision. */
static void mix(const kh_delta *const *deltas, const double *weights, size_t count, double by,
                float *out) {
    float values[DELTA_WORD_BITS];
    for (size_t word = 0; word < delta_words(deltas[0]->dimension); word++) {
        double sums[DELTA_WORD_BITS] = {0};
        for (size_t i = 0; i < count; i++) {
            delta_expand(deltas[i], word, values);
            for (size_t p = 0; p < DELTA_WORD_BITS; p++) sums[p] += weights[i] * (double)values[p];
        }
        for (size_t p = 0; p < DELTA_WORD_BITS; p++)
            out[word * DELTA_WORD_BITS + p] = (float)(sums[p] / by);
    }
}

/* The mix, with the keys of key_sources of them (the first ones). */
static kh_status make_mix(const kh_delta *const *deltas, const double *weights, size_t count,
                          double by, size_t key_sources, kh_txn_id txn, kh_delta **out,
                          kh_error *error) {
    struct delta_key_list keys;
    struct delta_draft draft = {deltas[0]->mem, NULL, 0};
    kh_status status = gather_keys(deltas, key_sources, &keys, error);
    if (status != KH_OK) return status;
    KH_TRY(delta_draft_init(&draft, deltas[0]->mem, deltas[0]->dimension, error));
    mix(deltas, weights, count, by, draft.values);
    KH_TRY(delta_make(deltas[0]->mem, (kh_floats){draft.values, deltas[0]->dimension}, &keys, txn,
                      out, error));
done:
    delta_draft_fini(&draft);
    delta_keys_fini(&keys);
    return status;
}

/* A sum of two floats in double precision, rounded to a float, is what one addition of floats
 * gives: 53 digits are more than twice 24 and two (S. A. Figueroa, "When is double rounding
 * innocuous?", 1995). The same holds for the product with a factor below. */
kh_status kh_delta_add(const kh_delta *a, const kh_delta *b, kh_delta **out, kh_error *error) {
    const kh_delta *const both[] = {a, b};
    const double ones[] = {1, 1};
    kh_status status = check_same(a, b, error);
    if (status != KH_OK) return status;
    return make_mix(both, ones, 2, 1, 2, txn_of_both(a->txn, b->txn), out, error);
}

kh_status kh_delta_scale(const kh_delta *delta, float factor, kh_delta **out, kh_error *error) {
    double weight = (double)factor;
    if (!isfinite(factor))
        return status_fail(error, KH_INVALID, "the factor %g is not finite", (double)factor);
    return make_mix(&delta, &weight, 1, 1, 1, delta->txn, out, error);
}

/* Weights as doubles, and their sum. */
static kh_status take_weights(const float *weights, size_t count, double *out, double *sum,
                              kh_error *error) {
    *sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(weights[i]) || weights[i] < 0)
            return status_fail(error, KH_INVALID, "weight %zu is %g: finite, not negative", i,
                               (double)weights[i]);
        out[i] = (double)weights[i];
        *sum += out[i];
    }
    if (!(*sum > 0)) return status_fail(error, KH_INVALID, "all weights are zero");
    return KH_OK;
}

kh_status kh_delta_average(const kh_delta *const *deltas, const float *weights, size_t count,
                           kh_delta **out, kh_error *error) {
    double sum;
    kh_status status = KH_OK;
    if (deltas == NULL || weights == NULL || count == 0 || count > SIZE_MAX / sizeof(double))
        return status_fail(error, KH_INVALID, "an average of %zu deltas", count);
    kh_txn_id txn = deltas[0]->txn;
    for (size_t i = 1; i < count && status == KH_OK; i++) {
        status = check_same(deltas[0], deltas[i], error);
        txn = txn_of_both(txn, deltas[i]->txn);
    }
    if (status != KH_OK) return status;
    double *doubles = mem_alloc(deltas[0]->mem, NULL, count * sizeof *doubles);
    if (doubles == NULL) return status_no_memory(error, count * sizeof *doubles);
    KH_TRY(take_weights(weights, count, doubles, &sum, error));
    KH_TRY(make_mix(deltas, doubles, count, sum, count, txn, out, error));
done:
    mem_free(deltas[0]->mem, NULL, doubles, count * sizeof *doubles);
    return status;
}

kh_status kh_delta_project(const kh_delta *delta, const kh_delta *other, kh_delta **out,
                           kh_error *error) {
    const kh_delta *const both[] = {delta, other};
    const struct delta_kernel *kernel = delta_kernel();
    uint32_t shared;
    kh_status status = check_same(delta, other, error);
    if (status != KH_OK) return status;
    double square = (double)dot_any(kernel, other, other, &shared);
    double along = (double)dot_any(kernel, delta, other, &shared);
    if (along == 0) { /* also when one of them is zero */
        *out = kh_delta_retain(delta);
        return KH_OK;
    }
    const double weights[] = {1, -(along / square)};
    return make_mix(both, weights, 2, 1, 1, delta->txn, out, error);
}
