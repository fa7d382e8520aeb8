/* delta_kernel.h - the inner loops of deltas, in the instructions that the machine has.
 *
 * ONE order of summation, which is part of every verdict and so never changes:
 *   - position p of a vector belongs to lane p % 16; each lane is a float that starts at +0 and
 * adds the products of its positions in ascending order, each product rounded before it is added;
 *   - the 16 lanes are summed as a tree: l[i] + l[i + 8], then + 4, then + 2, then + 1.
 * Every kernel computes the same bits, because IEEE 754 says what each multiplication and addition
 * gives; fused operations would round once less, and these files are compiled without them.
 *
 * Zeros add nothing: a lane is never -0 (it starts at +0, and a sum is -0 only when both sides
 * are), and +0 or any other value plus a zero of either sign is itself, bit for bit. So vectors may
 * be filled up with zeros, and a sparse vector needs its own positions only, in ascending order.
 *
 * Vectors are filled up with zeros to whole blocks of 16 floats, codes to whole blocks of 64 bytes;
 * vectors, rows and lanes begin at multiples of 16 bytes (of 64 where speed matters).
 * No function fails, allocates or keeps anything. Any thread. */
#ifndef KHONSU_TXN_DELTA_KERNEL_H
#define KHONSU_TXN_DELTA_KERNEL_H

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DELTA_LANES = 16,
    DELTA_CODE_BLOCK = 64, /* codes: 8-bit images of floats, see delta_set.h */
    DELTA_ALIGNMENT = 64   /* a cache line, and the widest load */
};

/* For lanes on the stack. */
#define DELTA_ALIGNED _Alignas(16)

struct delta_few;

struct delta_kernel {
    const char *name;
    /* The product of two vectors of `blocks` blocks. */
    float (*dot)(const float *a, const float *b, size_t blocks);
    /* out[i] = the product of query with row i: rows lie one behind the other. */
    void (*dots)(const float *rows, size_t row_count, size_t blocks, const float *query,
                 float *out);
    /* out[i] = delta_kernel_cosine(out[i], magnitudes[i], magnitude). */
    void (*cosines)(const float *magnitudes, size_t row_count, float magnitude, float *out);
    /* out[i] = the exact sum of row[p] * query[p], unsigned times signed. The query comes twice, as
     * 8 and as 16 bits. The caller sees to it that a sum fits. */
    void (*sums)(const uint8_t *rows, size_t row_count, size_t blocks, const int8_t *query,
                 const int16_t *wide, int32_t *out);
    /* The product of two deltas of few values. *shared: positions that both have. NULL: nothing
     * faster than by words. */
    float (*few)(const struct delta_few *a, const struct delta_few *b, uint32_t *shared);
};

extern _Atomic(const struct delta_kernel *) delta_kernel_chosen;
const struct delta_kernel *delta_kernel_choose(void);
/* The fastest one that this machine runs; found at the first call. What it points to is constant,
 * so nothing has to be ordered with the pointer. */
static inline const struct delta_kernel *delta_kernel(void) {
    const struct delta_kernel *kernel =
        atomic_load_explicit(&delta_kernel_chosen, memory_order_relaxed);
    return __builtin_expect(kernel != NULL, 1) ? kernel : delta_kernel_choose();
}
/* Every one that this machine runs, the portable one first; NULL behind the last. */
const struct delta_kernel *const *delta_kernel_all(void);

/* The tree over 16 lanes. */
float delta_kernel_tree(const float lanes[DELTA_LANES]);

/* The quotient, in [-1, 1]. */
static inline float delta_kernel_quotient(float dot, float magnitudes) {
    float cosine = dot / magnitudes;
    if (__builtin_expect(fabsf(cosine) > 1, 0)) return cosine < 0 ? -1 : 1;
    return cosine;
}

/* The cosine of vectors with that product and those magnitudes: in [-1, 1], 0 when one of them is
 * zero. Symmetric: a product of two floats does not depend on their order. */
static inline float delta_kernel_cosine(float dot, float magnitude_a, float magnitude_b) {
    float both = magnitude_a * magnitude_b;
    return both > 0 ? delta_kernel_quotient(dot, both) : 0;
}

/* The others, of x86; delta_kernel_all says whether the machine has them. */
extern const struct delta_kernel delta_kernel_avx2;
extern const struct delta_kernel delta_kernel_avx512;
float delta_kernel_avx2_few(const struct delta_few *a, const struct delta_few *b, uint32_t *shared);

#endif
