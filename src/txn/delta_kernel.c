/* delta_kernel.c - the portable kernel, and the choice among those that this machine runs.
 *
 * Invariant: what is chosen changes how long a call takes and nothing else (delta_kernel.h says
 * why; delta_kernel_test.c compares the bits). */
#include "txn/delta_kernel.h"

_Atomic(const struct delta_kernel *) delta_kernel_chosen;

/* Four lanes: SSE on x86, NEON on ARM, and what the compiler makes of it elsewhere. */
typedef float quad __attribute__((vector_size(16), may_alias));

static inline quad load(const float *at) {
    return *(const quad *)(const void *)at;
}

float delta_kernel_tree(const float lanes[DELTA_LANES]) {
    quad half0 = load(lanes) + load(lanes + 8);
    quad half1 = load(lanes + 4) + load(lanes + 12);
    quad fourth = half0 + half1;
    float even = fourth[0] + fourth[2];
    float odd = fourth[1] + fourth[3];
    return even + odd;
}

static float dot(const float *a, const float *b, size_t blocks) {
    quad lane0 = {0};
    quad lane4 = {0};
    quad lane8 = {0};
    quad lane12 = {0};
    for (size_t i = 0; i < blocks; i++, a += DELTA_LANES, b += DELTA_LANES) {
        lane0 += load(a) * load(b);
        lane4 += load(a + 4) * load(b + 4);
        lane8 += load(a + 8) * load(b + 8);
        lane12 += load(a + 12) * load(b + 12);
    }
    quad fourth = (lane0 + lane8) + (lane4 + lane12);
    float even = fourth[0] + fourth[2];
    float odd = fourth[1] + fourth[3];
    return even + odd;
}

static void dots(const float *rows, size_t row_count, size_t blocks, const float *query,
                 float *out) {
    for (size_t i = 0; i < row_count; i++, rows += blocks * DELTA_LANES)
        out[i] = dot(rows, query, blocks);
}

static void cosines(const float *magnitudes, size_t row_count, float magnitude, float *out) {
    for (size_t i = 0; i < row_count; i++)
        out[i] = delta_kernel_cosine(out[i], magnitudes[i], magnitude);
}

/* A block of a known length, so that the compiler takes it to the vector unit. */
static inline int32_t sum_block(const uint8_t *row, const int16_t *query) {
    int32_t sum = 0;
    for (size_t i = 0; i < DELTA_CODE_BLOCK; i++) sum += (int16_t)row[i] * query[i];
    return sum;
}

static void sums(const uint8_t *rows, size_t row_count, size_t blocks, const int8_t *query,
                 const int16_t *wide, int32_t *out) {
    (void)query;
    for (size_t i = 0; i < row_count; i++) {
        int32_t sum = 0;
        for (size_t block = 0; block < blocks; block++, rows += DELTA_CODE_BLOCK)
            sum += sum_block(rows, wide + block * DELTA_CODE_BLOCK);
        out[i] = sum;
    }
}

static const struct delta_kernel portable = {"portable", dot, dots, cosines, sums, NULL};

#if defined(__x86_64__)
const struct delta_kernel *const *delta_kernel_all(void) {
    static const struct delta_kernel *const kernels[][4] = {
        {&portable, NULL},
        {&portable, &delta_kernel_avx2, NULL},
        {&portable, &delta_kernel_avx2, &delta_kernel_avx512, NULL},
    };
    if (!__builtin_cpu_supports("avx2")) return kernels[0];
    bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vnni");
    return kernels[has_avx512 ? 2 : 1];
}
#else
const struct delta_kernel *const *delta_kernel_all(void) {
    static const struct delta_kernel *const kernels[] = {&portable, NULL};
    return kernels;
}
#endif

const struct delta_kernel *delta_kernel_choose(void) {
    const struct delta_kernel *const *all = delta_kernel_all();
    while (all[1] != NULL) all++;
    /* Whoever comes first finds the same. */
    atomic_store_explicit(&delta_kernel_chosen, *all, memory_order_relaxed);
    return *all;
}
