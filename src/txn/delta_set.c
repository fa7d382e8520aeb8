/* delta_set.c - codes of 8 bits, and whom they rule out.
 *
 * That no row is ruled out that is beyond a threshold, for a row r and a query x, neither zero:
 *
 *   |.| is the Euclidean norm, c = r.x / (|r| |x|) the true cosine, q and p the integer codes, s
 * and t their scales, r' = s q and x' = t p what the codes stand for. Whatever the codes are, r.x -
 * r'.x' = (r - r').x + r'.(x - x'), so by Cauchy and Schwarz, with the losses e = |r - r'| / |r|
 * and f = |x - x'| / |x|, and as |r'| <= |r| + |r - r'|, |c - (s/|r|) (t/|x|) (q.p)| <= e + (1 + e)
 * f.                                        (1)
 *
 *   e and f are computed in double precision (relative error of a sum of 65,536 squares: below
 *   1e-11) and rounded up by 2^-20, which is more than that and the rounding to float.
 *   (q.p) is exact: at most 127 * 127 * 65,536 < 2^31. As a code errs by half a scale at most (and
 * by 2^-15 of one: the value over the scale is rounded before it is rounded to a whole number) and
 *   |r| is at least its largest value, 127 scales, e and f are below 257 / 254 < 1.02, so that
 *   (s/|r|)(|q|) and the like are below 2.02, and the estimate below 4.09 in size. In floats it
 *   takes two conversions of gains, one of q.p and two products: off by less than
 *   6 * 2^-24 * 4.09 < 1.5e-6. The bound (1) is below 3.1; in floats it takes six roundings: off by
 *   less than 6 * 2^-24 * 3.1 < 1.2e-6. Adding and comparing: below 2^-23 * 8 < 1e-6.          (2)
 *
 *   What is compared with low and high is not c but the cosine as it is computed, z. In one lane m
 *   products of m blocks are rounded and added, then the tree adds four times: by the usual bound
 *   (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1) the product of two
 *   vectors is off by g |r| |x| at most, g = (m + 5) u / (1 - (m + 5) u), u = 2^-24; a square of a
 *   magnitude by a relative g, a magnitude by g / 2 + 2 u, and product and quotient round once
 *   each. All together, cut to [-1, 1], which brings z closer to c:
 *       |z - c| <= 2 g + 8 u <= (2 m + 24) u, as m <= 4096.                                   (3)
 *
 * The margin of a row is (1) + (2) + (3): a row whose estimate is farther than that from both
 * thresholds is not beyond them. delta_set_test.c compares with kh_delta_cosine on random and
 * clustered sets. */
#include "txn/delta_set.h"

#include "base/status.h"
#include <math.h>
#include <string.h>

/* Half of the codes' range: rows are stored with it added, as the instructions want one side
 * unsigned; added to a code of 8 bits it turns the highest one over. */
enum { CODE_MAX = 127, CODE_BIAS = 128 };
/* (2) */
#define ROUNDING_MARGIN 4e-6f
/* Added to a float below 2^22 in size and taken off again, leaves the nearest whole number. */
#define ROUNDER 0x1.8p23f

/* Four values at a time, by the instructions that every machine has. */
typedef float floats __attribute__((vector_size(16), may_alias));
typedef int32_t ints __attribute__((vector_size(16), may_alias));
typedef int8_t bytes __attribute__((vector_size(4), may_alias, aligned(1)));
typedef double doubles __attribute__((vector_size(32)));
enum { WIDTH = 4 };

struct delta_set {
    struct mem *mem;
    size_t block_bytes;
    size_t dimension;
    size_t code_blocks; /* of codes, a row */
    size_t row_count;
    float margin; /* (2) + (3) */
    uint8_t *codes;
    float *gains;     /* scale over |r| */
    float *losses;    /* e, rounded up */
    uint8_t *indexes; /* of each row, ascending */
};

static size_t code_bytes_of(size_t dimension) {
    return (dimension + DELTA_CODE_BLOCK - 1) / DELTA_CODE_BLOCK * DELTA_CODE_BLOCK;
}

size_t delta_set_row_bytes(size_t dimension) {
    return code_bytes_of(dimension) + 2 * sizeof(float) + 1;
}

static unsigned char *align(void *block) {
    uintptr_t at = (uintptr_t)block + DELTA_ALIGNMENT - 1;
    return (unsigned char *)(at & ~(uintptr_t)(DELTA_ALIGNMENT - 1));
}

/* ---- codes ----------------------------------------------------------------------------------- */

struct coded {
    float gain;
    float loss;
    int32_t sum; /* of the codes */
};

/* Sizes of floats are in the order of their bits without the sign. */
static float largest_of(const kh_delta *delta) {
    ints largest = {0};
    size_t padded = delta_blocks(delta->dimension) * DELTA_LANES;
    for (size_t at = 0; at < padded; at += WIDTH) {
        ints sizes = *(const ints *)(const void *)(delta->values + at) & INT32_MAX;
        ints is_larger = sizes > largest;
        largest = (sizes & is_larger) | (largest & ~is_larger);
    }
    for (size_t i = 1; i < WIDTH; i++)
        if (largest[i] > largest[0]) largest[0] = largest[i];
    return ((floats)largest)[0];
}

/* By address: without AVX a vector of this width has no place in a call. */
static double sum_of(const doubles *of) {
    const doubles sums = *of;
    return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

/* The codes of a dense delta, with zeros behind them. Its largest value is above DELTA_TINY. A
 * value over the scale may come out as 127 and a little, which rounds to 127. */
static struct coded make_codes(const kh_delta *delta, int8_t *codes) {
    size_t padded = delta_blocks(delta->dimension) * DELTA_LANES;
    float largest = largest_of(delta);
    float inverse = CODE_MAX / largest;
    float scale = largest / CODE_MAX;
    doubles squares = {0}; /* of |r| */
    doubles lost = {0};    /* of |r - r'| */
    ints sums = {0};
    for (size_t at = 0; at < padded; at += WIDTH) {
        floats values = *(const floats *)(const void *)(delta->values + at);
        floats rounded = (values * inverse + ROUNDER) - ROUNDER;
        doubles value = __builtin_convertvector(values, doubles);
        doubles left = value - __builtin_convertvector(rounded, doubles) * (double)scale;
        ints whole = __builtin_convertvector(rounded, ints);
        squares += value * value;
        lost += left * left;
        sums += whole;
        *(bytes *)(void *)(codes + at) = __builtin_convertvector(whole, bytes);
    }
    memset(codes + padded, 0, code_bytes_of(delta->dimension) - padded);
    double square = sum_of(&squares);
    return (struct coded){(float)((double)scale / sqrt(square)),
                          (float)(sqrt(sum_of(&lost) / square) * (1 + 0x1p-20)),
                          sums[0] + sums[1] + sums[2] + sums[3]};
}

/* ---- sets ------------------------------------------------------------------------------------ */

static bool fits(const kh_delta *delta, size_t dimension) {
    return delta != NULL && !delta->is_sparse && delta->dimension == dimension;
}

static void add_row(struct delta_set *set, const kh_delta *delta, size_t index) {
    size_t stride = code_bytes_of(set->dimension);
    uint8_t *codes = set->codes + set->row_count * stride;
    struct coded coded = make_codes(delta, (int8_t *)codes);
    for (size_t i = 0; i < stride; i++) codes[i] ^= CODE_BIAS;
    set->gains[set->row_count] = coded.gain;
    set->losses[set->row_count] = coded.loss;
    set->indexes[set->row_count++] = (uint8_t)index;
}

kh_status delta_set_create(struct mem *mem, size_t dimension, const kh_delta *const *deltas,
                           size_t count, struct delta_set **out, kh_error *error) {
    size_t rows = 0;
    kh_assert(count <= DELTA_SET_ROWS);
    for (size_t i = 0; i < count; i++) rows += fits(deltas[i], dimension);
    kh_assert(rows > 0);
    size_t size_bytes =
        sizeof(struct delta_set) + DELTA_ALIGNMENT + rows * delta_set_row_bytes(dimension);
    struct delta_set *set = mem_alloc(mem, NULL, size_bytes);
    if (set == NULL) return status_no_memory(error, size_bytes);
    unsigned char *at = align(set + 1);
    *set = (struct delta_set){.mem = mem,
                              .block_bytes = size_bytes,
                              .dimension = dimension,
                              .code_blocks = code_bytes_of(dimension) / DELTA_CODE_BLOCK,
                              .margin = ROUNDING_MARGIN +
                                        (float)(2 * delta_blocks(dimension) + 24) * 0x1p-24f,
                              .codes = at};
    set->gains = (float *)(void *)(at + rows * code_bytes_of(dimension));
    set->losses = set->gains + rows;
    set->indexes = (uint8_t *)(set->losses + rows);
    for (size_t i = 0; i < count; i++)
        if (fits(deltas[i], dimension)) add_row(set, deltas[i], i);
    *out = set;
    return KH_OK;
}

void delta_set_destroy(struct delta_set *set) {
    if (set != NULL) mem_free(set->mem, NULL, set, set->block_bytes);
}

/* ---- queries --------------------------------------------------------------------------------- */

kh_status delta_query_init(struct delta_query *query, const kh_delta *delta, kh_error *error) {
    size_t padded = code_bytes_of(delta->dimension);
    size_t size_bytes = padded * (sizeof(int16_t) + 1) + DELTA_ALIGNMENT;
    kh_assert(!delta->is_sparse);
    unsigned char *block = mem_alloc(delta->mem, NULL, size_bytes);
    if (block == NULL) return status_no_memory(error, size_bytes);
    int16_t *wide = (int16_t *)(void *)align(block);
    int8_t *codes = (int8_t *)(wide + padded);
    struct coded coded = make_codes(delta, codes);
    for (size_t i = 0; i < padded; i++) wide[i] = codes[i];
    *query = (struct delta_query){.mem = delta->mem,
                                  .block = block,
                                  .block_bytes = size_bytes,
                                  .dimension = delta->dimension,
                                  .codes = codes,
                                  .wide = wide,
                                  .bias = CODE_BIAS * coded.sum,
                                  .gain = coded.gain,
                                  .loss = coded.loss};
    return KH_OK;
}

void delta_query_fini(struct delta_query *query) {
    mem_free(query->mem, NULL, query->block, query->block_bytes);
    query->block = NULL;
}

/* ---- searching ------------------------------------------------------------------------------- */

static void fill(struct delta_suspects *out, size_t from, size_t to) {
    memset(out, 0, sizeof *out);
    for (size_t i = from; i < to; i++) out->bits[i / 64] |= UINT64_C(1) << i % 64;
}

static void clear(struct delta_suspects *out, size_t index) {
    out->bits[index / 64] &= ~(UINT64_C(1) << index % 64);
}

/* The first row whose index is not below. */
static size_t row_of(const struct delta_set *set, size_t index) {
    size_t row = 0;
    while (row < set->row_count && set->indexes[row] < index) row++;
    return row;
}

void delta_set_suspects(const struct delta_set *set, const struct delta_query *query, size_t from,
                        size_t to, float low, float high, struct delta_suspects *out) {
    int32_t sums[DELTA_SET_ROWS];
    kh_assert(from <= to && to <= DELTA_SET_ROWS);
    size_t first = row_of(set, from);
    size_t end = row_of(set, to);
    fill(out, from, to);
    if (query->dimension != set->dimension) {
        for (size_t row = first; row < end; row++) clear(out, set->indexes[row]);
        return;
    }
    float margin = query->loss + set->margin;
    float factor = 1 + query->loss;
    delta_kernel()->sums(set->codes + first * set->code_blocks * DELTA_CODE_BLOCK, end - first,
                         set->code_blocks, query->codes, query->wide, sums);
    for (size_t row = first; row < end; row++) {
        float estimate = (float)(sums[row - first] - query->bias) * (set->gains[row] * query->gain);
        float off = margin + set->losses[row] * factor;
        if (estimate + off < high && estimate - off > low) clear(out, set->indexes[row]);
    }
}
