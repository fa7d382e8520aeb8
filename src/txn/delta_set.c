/* delta_set.c - the list of recent vectors, and its two searches.
 *
 * The first pass of delta_set_beyond computes with codes of 8 bits, and only rows that it cannot
 * rule out are computed as they are. That no row is missed, for a row r and a query x, neither
 * zero:
 *
 *   |.| is the Euclidean norm, c = r.x / (|r| |x|) the true cosine, q and p the integer codes, s
 * and t their scales, r' = s q and x' = t p what the codes stand for. Whatever the codes are, r.x -
 * r'.x' = (r - r').x + r'.(x - x'), so by Cauchy and Schwarz, with the losses e = |r - r'| / |r|
 * and f = |x - x'| / |x|, and as |r'| <= |r| + |r - r'|, |c - (s/|r|) (t/|x|) (q.p)| <= e + (1 + e)
 * f.                                        (1)
 *
 *   e and f are computed in double precision (relative error of a sum of 65,536 squares: below
 *   1e-11) and rounded up by 2^-20, which is more than that and the rounding to float.
 *   (q.p) is exact: at most 127 * 127 * 65,536 < 2^31. As a code errs by half a scale at most and
 *   |r| is at least its largest value, 127 scales, e and f are below 256 / 254 < 1.01, so that
 *   (s/|r|)(|q|) and the like are below 2.01, and the estimate below 4.05 in size. In floats it
 *   takes two conversions of gains, one of q.p and two products: off by less than
 *   6 * 2^-24 * 4.05 < 1.5e-6. The bound (1) is below 3.1; in floats it takes six roundings: off by
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
 * thresholds is not beyond them. Zero rows and queries have estimate and losses 0, and z is 0, too.
 * delta_set_test.c compares with the full pass on random and clustered sets. */
#include "txn/delta_set.h"

#include "base/limits.h"
#include "base/status.h"
#include <math.h>
#include <string.h>

/* Half of the codes' range: rows are stored with it added, as the instructions want one side
 * unsigned. */
enum { CODE_MAX = 127, CODE_BIAS = 128 };
/* (2) */
#define ROUNDING_MARGIN 4e-6f

/* Rows at a time: their sums stay in the first cache. */
enum { STEP_ROWS = 256 };

struct delta_set {
    struct mem *mem;
    size_t block_bytes;
    size_t dimension;
    size_t blocks;      /* of floats, a row */
    size_t code_blocks; /* of codes, a row */
    uint64_t capacity;
    uint64_t next;
    float margin; /* (2) + (3) */
    float *rows;
    uint8_t *codes;
    float *magnitudes;
    float *gains;  /* scale over |r| */
    float *losses; /* e, rounded up */
    uint64_t *ids;
};

static size_t code_blocks_of(size_t dimension) {
    return (dimension + DELTA_CODE_BLOCK - 1) / DELTA_CODE_BLOCK;
}

static unsigned char *align(void *block) {
    uintptr_t at = (uintptr_t)block + DELTA_ALIGNMENT - 1;
    return (unsigned char *)(at & ~(uintptr_t)(DELTA_ALIGNMENT - 1));
}

kh_status delta_set_create(struct mem *mem, size_t dimension, size_t capacity,
                           struct delta_set **out, kh_error *error) {
    if (dimension == 0 || capacity == 0)
        return status_fail(error, KH_INVALID, "a set of %zu rows of %zu values", capacity,
                           dimension);
    if (dimension > LIMIT_DELTA_DIMENSION || capacity > LIMIT_DELTA_SET_ROWS)
        return status_fail(error, KH_TOO_BIG, "a set of %zu rows of %zu values", capacity,
                           dimension);
    size_t blocks = delta_blocks(dimension);
    size_t code_blocks = code_blocks_of(dimension);
    size_t rows_bytes = capacity * blocks * DELTA_LANES * sizeof(float);
    size_t codes_bytes = capacity * code_blocks * DELTA_CODE_BLOCK;
    size_t beside_bytes = capacity * (sizeof(uint64_t) + 3 * sizeof(float));
    size_t size_bytes =
        sizeof(struct delta_set) + DELTA_ALIGNMENT + rows_bytes + codes_bytes + beside_bytes;
    struct delta_set *set = mem_alloc(mem, NULL, size_bytes);
    if (set == NULL) return status_no_memory(error, size_bytes);
    unsigned char *at = align(set + 1);
    *set = (struct delta_set){.mem = mem,
                              .block_bytes = size_bytes,
                              .dimension = dimension,
                              .blocks = blocks,
                              .code_blocks = code_blocks,
                              .capacity = capacity,
                              .margin = ROUNDING_MARGIN + (float)(2 * blocks + 24) * 0x1p-24f,
                              .rows = (float *)(void *)at,
                              .codes = at + rows_bytes,
                              .ids = (uint64_t *)(void *)(at + rows_bytes + codes_bytes)};
    set->magnitudes = (float *)(void *)(set->ids + capacity);
    set->gains = set->magnitudes + capacity;
    set->losses = set->gains + capacity;
    *out = set;
    return KH_OK;
}

void delta_set_destroy(struct delta_set *set) {
    if (set != NULL) mem_free(set->mem, NULL, set, set->block_bytes);
}

/* ---- codes ----------------------------------------------------------------------------------- */

/* What is summed up while values become codes. */
struct coder {
    float scale;
    double square; /* of |r| */
    double lost;   /* the square of |r - r'| */
    int32_t sum;   /* of the codes */
};

static struct coder coder_of(const float *values, size_t count) {
    float largest = 0;
    for (size_t i = 0; i < count; i++)
        if (fabsf(values[i]) > largest) largest = fabsf(values[i]);
    return (struct coder){largest / CODE_MAX, 0, 0, 0};
}

/* A value over the scale may come out as 127 and a little, which rounds to 127. */
static int take_code(struct coder *coder, float value) {
    if (!(coder->scale > 0)) return 0;
    int code = (int)rintf(value / coder->scale);
    double left = (double)value - (double)coder->scale * code;
    coder->lost += left * left;
    coder->square += (double)value * (double)value;
    coder->sum += code;
    return code;
}

static float gain_of(const struct coder *coder) {
    return coder->square > 0 ? (float)((double)coder->scale / sqrt(coder->square)) : 0;
}

static float loss_of(const struct coder *coder) {
    if (!(coder->square > 0)) return 0;
    return (float)(sqrt(coder->lost / coder->square) * (1 + 0x1p-20));
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void place_codes(struct delta_set *set, size_t slot, const float *row) {
    size_t stride = set->code_blocks * DELTA_CODE_BLOCK;
    uint8_t *codes = set->codes + slot * stride;
    struct coder coder = coder_of(row, set->dimension);
    for (size_t i = 0; i < set->dimension; i++)
        codes[i] = (uint8_t)(take_code(&coder, row[i]) + CODE_BIAS);
    memset(codes + set->dimension, CODE_BIAS, stride - set->dimension);
    set->gains[slot] = gain_of(&coder);
    set->losses[slot] = loss_of(&coder);
}

uint64_t delta_set_add(struct delta_set *set, const kh_delta *delta, uint64_t id) {
    size_t slot = (size_t)(set->next % set->capacity);
    size_t stride = set->blocks * DELTA_LANES;
    float *row = set->rows + slot * stride;
    kh_assert(delta->dimension == set->dimension);
    kh_delta_values(delta, row);
    memset(row + set->dimension, 0, (stride - set->dimension) * sizeof *row);
    place_codes(set, slot, row);
    set->magnitudes[slot] = delta->magnitude;
    set->ids[slot] = id;
    return set->next++;
}

uint64_t delta_set_first(const struct delta_set *set) {
    return set->next > set->capacity ? set->next - set->capacity : 0;
}

uint64_t delta_set_next(const struct delta_set *set) {
    return set->next;
}

uint64_t delta_set_id(const struct delta_set *set, uint64_t number) {
    return set->ids[number % set->capacity];
}

const float *delta_set_row(const struct delta_set *set, uint64_t number) {
    return set->rows + number % set->capacity * set->blocks * DELTA_LANES;
}

/* ---- queries --------------------------------------------------------------------------------- */

kh_status delta_query_init(struct delta_query *query, const kh_delta *delta, kh_error *error) {
    size_t padded = code_blocks_of(delta->dimension) * DELTA_CODE_BLOCK;
    size_t size_bytes = padded * (sizeof(float) + sizeof(int16_t) + 1) + DELTA_ALIGNMENT;
    unsigned char *block = mem_alloc(delta->mem, NULL, size_bytes);
    if (block == NULL) return status_no_memory(error, size_bytes);
    unsigned char *at = align(block);
    float *values = (float *)(void *)at;
    int16_t *wide = (int16_t *)(void *)(at + padded * sizeof *values);
    int8_t *codes = (int8_t *)(wide + padded);
    kh_delta_values(delta, values);
    memset(values + delta->dimension, 0, (padded - delta->dimension) * sizeof *values);
    struct coder coder = coder_of(values, delta->dimension);
    for (size_t i = 0; i < padded; i++) {
        wide[i] = (int16_t)take_code(&coder, values[i]);
        codes[i] = (int8_t)wide[i];
    }
    *query = (struct delta_query){.mem = delta->mem,
                                  .block = block,
                                  .block_bytes = size_bytes,
                                  .dimension = delta->dimension,
                                  .values = values,
                                  .codes = codes,
                                  .wide = wide,
                                  .bias = CODE_BIAS * coder.sum,
                                  .magnitude = delta->magnitude,
                                  .gain = gain_of(&coder),
                                  .loss = loss_of(&coder)};
    return KH_OK;
}

void delta_query_fini(struct delta_query *query) {
    mem_free(query->mem, NULL, query->block, query->block_bytes);
    query->block = NULL;
}

/* ---- searching ------------------------------------------------------------------------------- */

/* How many rows from number on lie one behind the other, up to `to`. */
static size_t run_of(const struct delta_set *set, uint64_t number, uint64_t to) {
    uint64_t left = set->capacity - number % set->capacity;
    return (size_t)(to - number < left ? to - number : left);
}

static void check_range(const struct delta_set *set, const struct delta_query *query, uint64_t from,
                        uint64_t to) {
    kh_assert(query->dimension == set->dimension);
    kh_assert(from <= to && to - from <= set->capacity);
}

void delta_set_cosines(const struct delta_set *set, const struct delta_query *query, uint64_t from,
                       uint64_t to, float *out) {
    const struct delta_kernel *kernel = delta_kernel();
    check_range(set, query, from, to);
    while (from < to) {
        size_t slot = (size_t)(from % set->capacity);
        size_t count = run_of(set, from, to);
        if (count > STEP_ROWS) count = STEP_ROWS;
        kernel->dots(set->rows + slot * set->blocks * DELTA_LANES, count, set->blocks,
                     query->values, out);
        kernel->cosines(set->magnitudes + slot, count, query->magnitude, out);
        out += count;
        from += count;
    }
}

struct search {
    const struct delta_set *set;
    const struct delta_query *query;
    const struct delta_kernel *kernel;
    float low;
    float high;
    delta_set_fn *visit;
    void *context;
};

/* The row as it is. */
static bool look_closely(const struct search *search, uint64_t number, size_t slot) {
    const struct delta_set *set = search->set;
    const float *row = delta_set_row(set, number);
    float dot = search->kernel->dot(row, search->query->values, set->blocks);
    float cosine = delta_kernel_cosine(dot, set->magnitudes[slot], search->query->magnitude);
    if (!(cosine >= search->high || cosine <= search->low)) return true;
    return search->visit(search->context, number, set->ids[slot], cosine);
}

/* Up to STEP_ROWS rows that lie one behind the other. */
static bool search_step(const struct search *search, uint64_t number, size_t slot, size_t count) {
    const struct delta_set *set = search->set;
    const struct delta_query *query = search->query;
    int32_t sums[STEP_ROWS];
    float margin = query->loss + set->margin;
    float factor = 1 + query->loss;
    search->kernel->sums(set->codes + slot * set->code_blocks * DELTA_CODE_BLOCK, count,
                         set->code_blocks, query->codes, query->wide, sums);
    for (size_t i = 0; i < count; i++) {
        float estimate = (float)(sums[i] - query->bias) * (set->gains[slot + i] * query->gain);
        float off = margin + set->losses[slot + i] * factor;
        if (KH_LIKELY(estimate + off < search->high && estimate - off > search->low)) continue;
        if (!look_closely(search, number + i, slot + i)) return false;
    }
    return true;
}

bool delta_set_beyond(const struct delta_set *set, const struct delta_query *query, uint64_t from,
                      uint64_t to, float low, float high, delta_set_fn *visit, void *context) {
    struct search search = {set, query, delta_kernel(), low, high, visit, context};
    check_range(set, query, from, to);
    while (from < to) {
        size_t slot = (size_t)(from % set->capacity);
        size_t count = run_of(set, from, to);
        if (count > STEP_ROWS) count = STEP_ROWS;
        if (!search_step(&search, from, slot, count)) return false;
        from += count;
    }
    return true;
}
