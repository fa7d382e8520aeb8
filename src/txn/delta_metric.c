/* delta_metric.c - how two deltas differ, as numbers.
 *
 * Sums go lane by lane (delta_kernel.h), so a number is the same for every form of its operands and
 * on every machine. Symmetric, because each term is. Nothing fails but dimensions that differ. */
#include "txn/delta.h"

#include "base/status.h"
#include "txn/delta_dot.h"
#include <math.h>

static bool is_comparable(const kh_delta *a, const kh_delta *b) {
    return a->dimension == b->dimension;
}

kh_status kh_delta_cosine(const kh_delta *a, const kh_delta *b, float *out) {
    uint32_t shared;
    if (!is_comparable(a, b)) return KH_INVALID;
    float dot = dot_any(delta_kernel(), a, b, &shared);
    *out = delta_kernel_cosine(dot, a->magnitude, b->magnitude);
    return KH_OK;
}

/* The arc cosine of x in [0, 1], within 2e-8: Abramowitz and Stegun, Handbook of Mathematical
 * Functions, 4.4.46. Not the library's, which may round otherwise on another machine. */
static double arc_cosine(double x) {
    static const double terms[] = {-0.0012624911, 0.0066700901, -0.0170881256, 0.0308918810,
                                   -0.0501743046, 0.0889789874, -0.2145988016, 1.5707963050};
    double sum = 0;
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) sum = sum * x + terms[i];
    return sqrt(1 - x) * sum;
}

kh_status kh_delta_angular(const kh_delta *a, const kh_delta *b, float *out) {
    const double half_turn = 3.14159265358979323846;
    float cosine;
    if (kh_delta_cosine(a, b, &cosine) != KH_OK) return KH_INVALID;
    double part = arc_cosine(fabs((double)cosine)) / half_turn;
    if (cosine == 0) part = 0.5; /* as it is, not within 2e-8 */
    *out = (float)(cosine < 0 ? 1 - part : part);
    return KH_OK;
}

kh_status kh_delta_euclidean(const kh_delta *a, const kh_delta *b, float *out) {
    DELTA_ALIGNED float lanes[DELTA_LANES] = {0};
    float in_a[DELTA_WORD_BITS];
    float in_b[DELTA_WORD_BITS];
    if (!is_comparable(a, b)) return KH_INVALID;
    for (size_t word = 0; word < delta_words(a->dimension); word++) {
        delta_expand(a, word, in_a);
        delta_expand(b, word, in_b);
        for (size_t i = 0; i < DELTA_WORD_BITS; i++) {
            float difference = in_a[i] - in_b[i];
            lanes[i % DELTA_LANES] += difference * difference;
        }
    }
    *out = sqrtf(delta_kernel_tree(lanes));
    return KH_OK;
}

/* Bit i: value i of the 64 is not zero. */
static uint64_t filled_bits(const kh_delta *delta, size_t word) {
    float values[DELTA_WORD_BITS];
    uint64_t bits = 0;
    if (delta->is_sparse) return delta->words[word];
    delta_expand(delta, word, values);
    for (size_t i = 0; i < DELTA_WORD_BITS; i++) bits |= (uint64_t)(values[i] != 0) << i;
    return bits;
}

kh_status kh_delta_jaccard(const kh_delta *a, const kh_delta *b, float *out) {
    uint32_t shared = 0;
    if (!is_comparable(a, b)) return KH_INVALID;
    for (size_t word = 0; word < delta_words(a->dimension); word++)
        shared += (uint32_t)__builtin_popcountll(filled_bits(a, word) & filled_bits(b, word));
    *out = shared == 0 ? 0 : (float)shared / (float)(a->filled + b->filled - shared);
    return KH_OK;
}

kh_status kh_delta_weighted_jaccard(const kh_delta *a, const kh_delta *b, float *out) {
    DELTA_ALIGNED float smaller[DELTA_LANES] = {0};
    DELTA_ALIGNED float larger[DELTA_LANES] = {0};
    float in_a[DELTA_WORD_BITS];
    float in_b[DELTA_WORD_BITS];
    if (!is_comparable(a, b)) return KH_INVALID;
    for (size_t word = 0; word < delta_words(a->dimension); word++) {
        delta_expand(a, word, in_a);
        delta_expand(b, word, in_b);
        for (size_t i = 0; i < DELTA_WORD_BITS; i++) {
            float size_a = fabsf(in_a[i]);
            float size_b = fabsf(in_b[i]);
            smaller[i % DELTA_LANES] += size_a < size_b ? size_a : size_b;
            larger[i % DELTA_LANES] += size_a < size_b ? size_b : size_a;
        }
    }
    float all = delta_kernel_tree(larger);
    *out = all > 0 ? delta_kernel_tree(smaller) / all : 0;
    return KH_OK;
}

size_t kh_delta_shared_keys(const kh_delta *a, const kh_delta *b) {
    return delta_keys_shared(a, b);
}

bool kh_delta_has_shared_keys(const kh_delta *a, const kh_delta *b) {
    return (a->key_bits & b->key_bits) != 0 && delta_keys_meet(a, b);
}
