/* delta_kernel_avx2.c - the loops of delta_kernel.h by AVX2: 8 floats at a time, so two registers
 * hold the 16 lanes. Only called where the machine has it. */
#include "txn/delta_kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE __attribute__((target("avx2"), always_inline)) static inline

/* The tree, from lanes 0 to 7 and 8 to 15. */
AVX2_INLINE float tree(__m256 low, __m256 high) {
    __m256 half = _mm256_add_ps(low, high);
    __m128 fourth = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    __m128 eighth = _mm_add_ps(fourth, _mm_movehl_ps(fourth, fourth));
    return _mm_cvtss_f32(_mm_add_ss(eighth, _mm_movehdup_ps(eighth)));
}

AVX2_INLINE __m256 add_product(__m256 sum, const float *a, __m256 b) {
    return _mm256_add_ps(sum, _mm256_mul_ps(_mm256_loadu_ps(a), b));
}

AVX2 static float dot(const float *a, const float *b, size_t blocks) {
    __m256 low = _mm256_setzero_ps();
    __m256 high = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 2 <= blocks; i += 2, a += 2 * DELTA_LANES, b += 2 * DELTA_LANES) {
        low = add_product(low, a, _mm256_loadu_ps(b));
        high = add_product(high, a + 8, _mm256_loadu_ps(b + 8));
        low = add_product(low, a + 16, _mm256_loadu_ps(b + 16));
        high = add_product(high, a + 24, _mm256_loadu_ps(b + 24));
    }
    if (i < blocks) {
        low = add_product(low, a, _mm256_loadu_ps(b));
        high = add_product(high, a + 8, _mm256_loadu_ps(b + 8));
    }
    return tree(low, high);
}

AVX2 static void dots(const float *rows, size_t row_count, size_t blocks, const float *query,
                      float *out) {
    for (size_t i = 0; i < row_count; i++, rows += blocks * DELTA_LANES)
        out[i] = dot(rows, query, blocks);
}

AVX2 static void cosines(const float *magnitudes, size_t row_count, float magnitude, float *out) {
    __m256 other = _mm256_set1_ps(magnitude);
    __m256 one = _mm256_set1_ps(1);
    __m256 minus_one = _mm256_set1_ps(-1);
    size_t i = 0;
    for (; i + 8 <= row_count; i += 8) {
        __m256 both = _mm256_mul_ps(_mm256_loadu_ps(magnitudes + i), other);
        __m256 is_defined = _mm256_cmp_ps(both, _mm256_setzero_ps(), _CMP_GT_OQ);
        __m256 cosine = _mm256_div_ps(_mm256_loadu_ps(out + i), both);
        cosine = _mm256_max_ps(minus_one, _mm256_min_ps(one, cosine));
        _mm256_storeu_ps(out + i, _mm256_and_ps(cosine, is_defined));
    }
    for (; i < row_count; i++) out[i] = delta_kernel_cosine(out[i], magnitudes[i], magnitude);
}

AVX2 static void sums(const uint8_t *rows, size_t row_count, size_t blocks, const int8_t *query,
                      const int16_t *wide, int32_t *out) {
    (void)query;
    size_t stride = blocks * DELTA_CODE_BLOCK;
    for (size_t i = 0; i < row_count; i++, rows += stride) {
        __m256i even = _mm256_setzero_si256();
        __m256i odd = _mm256_setzero_si256();
        for (size_t at = 0; at < stride; at += 32) {
            __m256i row = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(rows + at)));
            __m256i other = _mm256_loadu_si256((const void *)(wide + at));
            even = _mm256_add_epi32(even, _mm256_madd_epi16(row, other));
            row = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(rows + at + 16)));
            other = _mm256_loadu_si256((const void *)(wide + at + 16));
            odd = _mm256_add_epi32(odd, _mm256_madd_epi16(row, other));
        }
        even = _mm256_add_epi32(even, odd);
        __m128i four =
            _mm_add_epi32(_mm256_castsi256_si128(even), _mm256_extracti128_si256(even, 1));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xB1));
        out[i] = _mm_cvtsi128_si32(four);
    }
}

const struct delta_kernel delta_kernel_avx2 = {"avx2", dot, dots, cosines, sums};
#endif
