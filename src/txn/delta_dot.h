/* delta_dot.h - the product of two deltas of one dimension, whatever their forms: the same bits as
 * that of the same vectors in dense form (delta_kernel.h says why). Inlined, because two sparse
 * deltas are compared in the time of a few calls. */
#ifndef KHONSU_TXN_DELTA_DOT_H
#define KHONSU_TXN_DELTA_DOT_H

#include "txn/delta.h"

/* The products at the positions that both have in a word, each into its lane, in ascending order.
 */
static inline void dot_add_word(const kh_delta *a, const kh_delta *b, size_t word,
                                float lanes[DELTA_LANES]) {
    const float *in_a = a->values + a->ranks[word];
    const float *in_b = b->values + b->ranks[word];
    uint64_t both = a->words[word] & b->words[word];
    if (a->words[word] == b->words[word]) { /* edits of one kind: no position has to be counted */
        for (; both != 0; both &= both - 1)
            lanes[(unsigned)__builtin_ctzll(both) % DELTA_LANES] += *in_a++ * *in_b++;
        return;
    }
    for (; both != 0; both &= both - 1) {
        unsigned bit = (unsigned)__builtin_ctzll(both);
        uint64_t below = (UINT64_C(1) << bit) - 1;
        lanes[bit % DELTA_LANES] += in_a[__builtin_popcountll(a->words[word] & below)] *
                                    in_b[__builtin_popcountll(b->words[word] & below)];
    }
}

/* Both sparse, of more words than there are groups. *shared: positions that both have. */
float dot_sparse_long(const kh_delta *a, const kh_delta *b, uint32_t *shared);

/* Both sparse. *shared: positions that both have. */
KH_ALWAYS_INLINE float dot_sparse(const kh_delta *a, const kh_delta *b, uint32_t *shared) {
    uint64_t groups = a->groups & b->groups;
    DELTA_ALIGNED float lanes[DELTA_LANES];
    uint32_t count = 0;
    if (KH_UNLIKELY(a->group_shift != 0)) return dot_sparse_long(a, b, shared);
    for (; groups != 0; groups &= groups - 1) {
        size_t word = (size_t)__builtin_ctzll(groups);
        uint64_t both = a->words[word] & b->words[word];
        if (both == 0) continue;
        if (count == 0)
            for (int i = 0; i < DELTA_LANES; i++) lanes[i] = 0;
        count += (uint32_t)__builtin_popcountll(both);
        dot_add_word(a, b, word, lanes);
    }
    *shared = count;
    return count == 0 ? 0 : delta_kernel_tree(lanes);
}

/* A sparse one with a dense one. */
float dot_mixed(const kh_delta *sparse, const kh_delta *dense);

KH_ALWAYS_INLINE float dot_any(const struct delta_kernel *kernel, const kh_delta *a,
                               const kh_delta *b) {
    uint32_t shared;
    if (a->is_sparse && b->is_sparse) return dot_sparse(a, b, &shared);
    if (a->is_sparse) return dot_mixed(a, b);
    if (b->is_sparse) return dot_mixed(b, a);
    return kernel->dot(a->values, b->values, delta_blocks(a->dimension));
}

#endif
