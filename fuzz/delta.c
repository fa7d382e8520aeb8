/* delta.c - any bytes as an encoded delta, and as the values of one.
 *
 * Properties: decoding ends and stays inside of the bytes; what decodes encodes to the same bytes,
 * and building from its values, keys and transaction gives those bytes, too; every number of two
 * deltas is finite and the same both ways round; nothing made of them crashes. The same bytes as
 * the section of a record: with whatever thresholds they say, the delta behind them has a class. */
#include "db/semantic.h"
#include "txn/delta_codec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

static void expect_bytes(const kh_delta *delta, kh_bytes expected) {
    kh_bytes again;
    if (kh_delta_encode(delta, &again, NULL) != KH_OK) abort();
    if (again.size_bytes != expected.size_bytes ||
        memcmp(again.data, expected.data, again.size_bytes) != 0)
        abort();
    kh_bytes_free(again);
}

static void check_rebuilt(const kh_delta *delta, kh_bytes expected) {
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    size_t key_count = kh_delta_key_count(delta);
    float *values = malloc(kh_delta_dimension(delta) * sizeof *values);
    kh_bytes *keys = malloc((key_count + 1) * sizeof *keys);
    kh_delta *again;
    if (values == NULL || keys == NULL) abort();
    kh_delta_values(delta, values);
    for (size_t i = 0; i < key_count; i++) keys[key_count - 1 - i] = kh_delta_key(delta, i);
    options.keys = keys;
    options.key_count = key_count;
    options.txn = kh_delta_txn(delta);
    kh_floats floats = {values, kh_delta_dimension(delta)};
    if (kh_delta_build(NULL, floats, &options, &again, NULL) != KH_OK) abort();
    expect_bytes(again, expected);
    kh_delta_release(again);
    free(values);
    free(keys);
}

typedef kh_status metric(const kh_delta *a, const kh_delta *b, float *out);

static void check_pair(const kh_delta *a, const kh_delta *b) {
    static metric *const metrics[] = {kh_delta_cosine, kh_delta_angular, kh_delta_euclidean,
                                      kh_delta_jaccard, kh_delta_weighted_jaccard};
    kh_delta *made = NULL;
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        float there = 0;
        float back = 0;
        if (metrics[i](a, b, &there) != metrics[i](b, a, &back)) abort();
        if (!isfinite(there) || memcmp(&there, &back, sizeof there) != 0) abort();
    }
    if (kh_delta_classify(a, b, NULL, NULL) != kh_delta_classify(b, a, NULL, NULL)) abort();
    if (kh_delta_add(a, b, &made, NULL) == KH_OK) kh_delta_release(made);
    if (kh_delta_project(a, b, &made, NULL) == KH_OK) kh_delta_release(made);
}

static kh_delta *build_of(const uint8_t *bytes, size_t size_bytes) {
    size_t count = size_bytes / sizeof(float);
    float *values = malloc(count * sizeof *values + 1);
    kh_delta *delta = NULL;
    if (values == NULL) abort();
    memcpy(values, bytes, count * sizeof *values);
    if (kh_delta_build(NULL, (kh_floats){values, count}, NULL, &delta, NULL) != KH_OK) delta = NULL;
    free(values);
    return delta;
}

static void check_section(kh_bytes input) {
    struct semantic_section read;
    if (input.size_bytes == 0) return;
    kh_status status = semantic_decode(mem_process(), input, &read, NULL);
    if (status == KH_OK) {
        if (read.mode < KH_SEMANTIC_KEYS || read.mode > KH_SEMANTIC_MERGE) abort();
        (void)kh_delta_classify(read.delta, read.delta, &read.thresholds, NULL);
        kh_delta_release(read.delta);
    } else if (status != KH_CORRUPT && status != KH_TOO_BIG && status != KH_UNSUPPORTED) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    kh_bytes input = {bytes, size_bytes};
    kh_delta *decoded = NULL;
    kh_delta *built = build_of(bytes, size_bytes);
    check_section(input);
    kh_status status = kh_delta_decode(NULL, input, &decoded, NULL);
    if (status == KH_OK) {
        expect_bytes(decoded, input);
        check_rebuilt(decoded, input);
        check_pair(decoded, decoded);
    } else if (status != KH_CORRUPT && status != KH_TOO_BIG && status != KH_UNSUPPORTED) {
        abort();
    }
    if (built != NULL) check_pair(built, built);
    if (status == KH_OK && built != NULL) check_pair(built, decoded);
    kh_delta_release(decoded);
    kh_delta_release(built);
    return 0;
}
