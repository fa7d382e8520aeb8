/* delta_dot.c - products of sparse deltas, by the instructions of every machine and in the order of
 * sums that delta_kernel.h fixes. Cannot fail. */
#include "txn/delta_dot.h"

/* The products at the positions that both have in a word, each into its lane, in ascending order.
 */
static inline void add_word(const kh_delta *a, const kh_delta *b, size_t word,
                            float lanes[DELTA_LANES]) {
    const float *in_a = a->values + a->ranks[word];
    const float *in_b = b->values + b->ranks[word];
    uint64_t bits_a = a->words[word];
    uint64_t bits_b = b->words[word];
    uint64_t both = bits_a & bits_b;
    if (bits_a == bits_b) { /* edits of one kind: no position has to be counted */
        for (; both != 0; both &= both - 1)
            lanes[(unsigned)__builtin_ctzll(both) % DELTA_LANES] += *in_a++ * *in_b++;
        return;
    }
    for (; both != 0; both &= both - 1) {
        unsigned bit = (unsigned)__builtin_ctzll(both);
        uint64_t below = (UINT64_C(1) << bit) - 1;
        lanes[bit % DELTA_LANES] +=
            in_a[__builtin_popcountll(bits_a & below)] * in_b[__builtin_popcountll(bits_b & below)];
    }
}

/* Of more words than there are groups. */
static __attribute__((noinline)) float dot_long(const kh_delta *a, const kh_delta *b,
                                                uint32_t *shared) {
    DELTA_ALIGNED float lanes[DELTA_LANES] = {0};
    uint64_t groups = a->groups & b->groups;
    *shared = 0;
    for (; groups != 0; groups &= groups - 1) {
        size_t word = (size_t)__builtin_ctzll(groups) << a->group_shift;
        size_t end = word + ((size_t)1 << a->group_shift);
        for (; word < end; word++) {
            *shared += (uint32_t)__builtin_popcountll(a->words[word] & b->words[word]);
            add_word(a, b, word, lanes);
        }
    }
    return delta_kernel_tree(lanes);
}

/* In these groups, each of one word. */
static __attribute__((noinline)) float dot_groups(const kh_delta *a, const kh_delta *b,
                                                  uint64_t groups, uint32_t *shared) {
    DELTA_ALIGNED float lanes[DELTA_LANES] = {0};
    uint32_t count = 0;
    for (; groups != 0; groups &= groups - 1) {
        size_t word = (size_t)__builtin_ctzll(groups);
        count += (uint32_t)__builtin_popcountll(a->words[word] & b->words[word]);
        add_word(a, b, word, lanes);
    }
    *shared = count;
    return delta_kernel_tree(lanes);
}

/* Most pairs share nothing: that is found out by a function that needs no stack. */
float dot_sparse(const kh_delta *a, const kh_delta *b, uint32_t *shared) {
    uint64_t groups = a->groups & b->groups;
    if (KH_UNLIKELY(a->group_shift != 0)) return dot_long(a, b, shared);
    for (; groups != 0; groups &= groups - 1) {
        size_t word = (size_t)__builtin_ctzll(groups);
        if ((a->words[word] & b->words[word]) != 0) return dot_groups(a, b, groups, shared);
    }
    *shared = 0;
    return 0;
}

float dot_mixed(const kh_delta *sparse, const kh_delta *dense) {
    DELTA_ALIGNED float lanes[DELTA_LANES] = {0};
    const float *next = sparse->values;
    size_t word_count = delta_words(sparse->dimension);
    for (size_t word = 0; word < word_count; word++) {
        const float *from = dense->values + word * DELTA_WORD_BITS;
        for (uint64_t bits = sparse->words[word]; bits != 0; bits &= bits - 1) {
            unsigned bit = (unsigned)__builtin_ctzll(bits);
            lanes[bit % DELTA_LANES] += *next++ * from[bit];
        }
    }
    return delta_kernel_tree(lanes);
}
