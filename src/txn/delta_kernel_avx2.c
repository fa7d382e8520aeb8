/* delta_kernel_avx2.c - the loops of delta_kernel.h by AVX2: 8 floats at a time, so two registers
 * hold the 16 lanes. Only called where the machine has it. */
#include "txn/delta_kernel.h"

#include "txn/delta_few.h"

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

/* ---- few values ------------------------------------------------------------------------------ */

enum { IS_SHARED = 0x8000 };

/* found, and what slots of a, eight of them twice, have in common with those of b, eight and the
 * same turned by four, both turned by `turn`. */
AVX2_INLINE __m256i add_matches(__m256i found, __m256i in_a, __m256i in_b, int turn) {
    short slots[16];
    for (int i = 0; i < 16; i++)
        slots[i] = (short)(IS_SHARED | ((i % 8 + i / 8 * 4 + turn) % DELTA_FEW_SLOTS));
    __m256i numbers = _mm256_loadu_si256((const void *)slots);
    return _mm256_or_si256(found, _mm256_and_si256(_mm256_cmpeq_epi16(in_a, in_b), numbers));
}

/* Of each slot of a: IS_SHARED and the slot of b at the same position, or 0. All slots of b are
 * compared with all of a: those of a twice in a register, those of b turned by 0 to 3 and by 4 to
 * 7. (Slots without a position meet each other; their values are 0.) */
AVX2_INLINE __m128i match(const struct delta_few *a, const struct delta_few *b) {
    __m256i in_a = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)a->positions));
    __m256i in_b = _mm256_castsi128_si256(_mm_loadu_si128((const void *)b->positions));
    in_b = _mm256_permute4x64_epi64(in_b, 0x14);
    __m256i found = _mm256_setzero_si256();
    found = add_matches(found, in_a, in_b, 0);
    found = add_matches(found, in_a, _mm256_alignr_epi8(in_b, in_b, 2), 1);
    found = add_matches(found, in_a, _mm256_alignr_epi8(in_b, in_b, 4), 2);
    found = add_matches(found, in_a, _mm256_alignr_epi8(in_b, in_b, 6), 3);
    return _mm_or_si128(_mm256_castsi256_si128(found), _mm256_extracti128_si256(found, 1));
}

/* The products of eight slots. */
AVX2_INLINE __m256 pick(__m256 products, const uint8_t *slots) {
    __m128i bytes = _mm_loadl_epi64((const void *)slots);
    return _mm256_permutevar8x32_ps(products, _mm256_cvtepu8_epi32(bytes));
}

/* Products are in slots of a. What is not shared is a zero, of either sign, so a lane of zeros may
 * be -0 here; the tree has a product that is not zero, and its sum is then never -0. */
AVX2 float delta_kernel_avx2_few(const struct delta_few *a, const struct delta_few *b,
                                 uint32_t *shared) {
    __m128i slots = match(a, b);
    unsigned matches = (unsigned)_mm_movemask_epi8(slots) & 0xAAAA; /* the upper byte of each */
    *shared = (uint32_t)__builtin_popcount(matches) - a->nowhere_count;
    if (__builtin_expect(*shared == 0, 0)) return 0;
    __m256 from_b =
        _mm256_permutevar8x32_ps(_mm256_loadu_ps(b->values), _mm256_cvtepu16_epi32(slots));
    __m256 products = _mm256_mul_ps(_mm256_loadu_ps(a->values), from_b);
    __m256 sums = _mm256_add_ps(products, pick(products, a->steps[0]));
    const uint8_t *step = a->steps[1];
    for (uint32_t left = a->more_steps; left != 0; left--, step += DELTA_FEW_SLOTS)
        sums = _mm256_add_ps(sums, pick(products, step));
    return tree(pick(sums, a->lanes), pick(sums, a->lanes + 8));
}

const struct delta_kernel delta_kernel_avx2 = {"avx2",  dot,  dots,
                                               cosines, sums, delta_kernel_avx2_few};
#endif
