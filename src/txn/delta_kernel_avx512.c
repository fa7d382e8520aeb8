/* delta_kernel_avx512.c - the loops of delta_kernel.h by AVX-512 with VNNI: one register holds the
 * 16 lanes. Only called where the machine has it.
 *
 * Sixteen rows are summed together: their 16 registers of 16 lanes become one of 16 sums by 15
 * additions, where one row alone takes four. Each addition is one that the tree has. Rows are read
 * one behind the other: measured, that is faster than four at a time, as a set lies in the third
 * cache, whose lines come in the order that the hardware foresees; and so is asking for none of
 * them early. */
#include "txn/delta_kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vnni")))
#define AVX512_INLINE                                                                              \
    __attribute__((target("avx512f,avx512bw,avx512vnni"), always_inline)) static inline

enum { ROWS = 16 };

AVX512_INLINE __m512 load(const float *at) {
    return _mm512_loadu_ps(at);
}

AVX512_INLINE __m512 lanes_of(const float *a, const float *b, size_t blocks) {
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < blocks; i++, a += DELTA_LANES, b += DELTA_LANES)
        sum = _mm512_add_ps(sum, _mm512_mul_ps(load(a), load(b)));
    return sum;
}

AVX512 static float dot(const float *a, const float *b, size_t blocks) {
    __m512 sum = lanes_of(a, b, blocks);
    __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(sum), 1));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(sum), high);
    __m128 fourth = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    __m128 eighth = _mm_add_ps(fourth, _mm_movehl_ps(fourth, fourth));
    return _mm_cvtss_f32(_mm_add_ss(eighth, _mm_movehdup_ps(eighth)));
}

/* ---- sixteen registers of lanes to one of sums ----------------------------------------------- */

/* Lanes i and i + 8 of a and of b: [a 0-7, b 0-7]. */
AVX512_INLINE __m512 fold_eight(__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
}

/* Of two such: [a 0-3, b 0-3, c 0-3, d 0-3]. */
AVX512_INLINE __m512 fold_four(__m512 ab, __m512 cd) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
}

/* Of two such: in each quarter two lanes of the first, two of the second. */
AVX512_INLINE __m512 fold_two(__m512 first, __m512 second) {
    return _mm512_add_ps(_mm512_shuffle_ps(first, second, 0x44),
                         _mm512_shuffle_ps(first, second, 0xEE));
}

AVX512_INLINE __m512 fold_one(__m512 first, __m512 second) {
    return _mm512_add_ps(_mm512_shuffle_ps(first, second, 0x88),
                         _mm512_shuffle_ps(first, second, 0xDD));
}

AVX512_INLINE __m512 fold_rows(const __m512 rows[ROWS]) {
    __m512 four[4];
    for (int i = 0; i < 4; i++) {
        const __m512 *row = rows + 4 * i;
        four[i] = fold_four(fold_eight(row[0], row[1]), fold_eight(row[2], row[3]));
    }
    __m512 sums = fold_one(fold_two(four[0], four[1]), fold_two(four[2], four[3]));
    /* Quarter q has rows q, q + 4, q + 8, q + 12. */
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_ps(order, sums);
}

AVX512 static void dots(const float *rows, size_t row_count, size_t blocks, const float *query,
                        float *out) {
    size_t stride = blocks * DELTA_LANES;
    size_t i = 0;
    for (; i + ROWS <= row_count; i += ROWS) {
        __m512 lanes[ROWS];
        for (int row = 0; row < ROWS; row++, rows += stride)
            lanes[row] = lanes_of(rows, query, blocks);
        _mm512_storeu_ps(out + i, fold_rows(lanes));
    }
    for (; i < row_count; i++, rows += stride) out[i] = dot(rows, query, blocks);
}

AVX512 static void cosines(const float *magnitudes, size_t row_count, float magnitude, float *out) {
    __m512 other = _mm512_set1_ps(magnitude);
    __m512 one = _mm512_set1_ps(1);
    __m512 minus_one = _mm512_set1_ps(-1);
    size_t i = 0;
    for (; i + ROWS <= row_count; i += ROWS) {
        __m512 both = _mm512_mul_ps(load(magnitudes + i), other);
        __mmask16 is_defined = _mm512_cmp_ps_mask(both, _mm512_setzero_ps(), _CMP_GT_OQ);
        __m512 cosine = _mm512_maskz_div_ps(is_defined, load(out + i), both);
        _mm512_storeu_ps(out + i, _mm512_max_ps(minus_one, _mm512_min_ps(one, cosine)));
    }
    for (; i < row_count; i++) out[i] = delta_kernel_cosine(out[i], magnitudes[i], magnitude);
}

/* ---- codes ----------------------------------------------------------------------------------- */

AVX512_INLINE __m512i sum_row(const uint8_t *row, size_t stride, const int8_t *query) {
    __m512i sum = _mm512_setzero_si512();
    for (size_t at = 0; at < stride; at += DELTA_CODE_BLOCK) {
        sum =
            _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(row + at), _mm512_loadu_si512(query + at));
    }
    return sum;
}

AVX512_INLINE __m512i add_pairs(__m512i a, __m512i b, bool is_last) {
    __m512 first = _mm512_castsi512_ps(a);
    __m512 second = _mm512_castsi512_ps(b);
    __m512 even =
        is_last ? _mm512_shuffle_ps(first, second, 0x88) : _mm512_shuffle_ps(first, second, 0x44);
    __m512 odd =
        is_last ? _mm512_shuffle_ps(first, second, 0xDD) : _mm512_shuffle_ps(first, second, 0xEE);
    return _mm512_add_epi32(_mm512_castps_si512(even), _mm512_castps_si512(odd));
}

AVX512 static void sums(const uint8_t *rows, size_t row_count, size_t blocks, const int8_t *query,
                        const int16_t *wide, int32_t *out) {
    size_t stride = blocks * DELTA_CODE_BLOCK;
    size_t i = 0;
    (void)wide;
    for (; i + 4 <= row_count; i += 4, rows += 4 * stride) {
        __m512i first =
            add_pairs(sum_row(rows, stride, query), sum_row(rows + stride, stride, query), false);
        __m512i second = add_pairs(sum_row(rows + 2 * stride, stride, query),
                                   sum_row(rows + 3 * stride, stride, query), false);
        __m512i four = add_pairs(first, second, true); /* each quarter: of all four rows a part */
        __m256i half =
            _mm256_add_epi32(_mm512_castsi512_si256(four), _mm512_extracti64x4_epi64(four, 1));
        __m128i sum =
            _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
        _mm_storeu_si128((void *)(out + i), sum);
    }
    for (; i < row_count; i++, rows += stride)
        out[i] = _mm512_reduce_add_epi32(sum_row(rows, stride, query));
}

const struct delta_kernel delta_kernel_avx512 = {"avx512", dot,  dots,
                                                 cosines,  sums, delta_kernel_avx2_few};
#endif
