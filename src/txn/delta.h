/* delta.h - what a change means, as an immutable, reference-counted value: what the rest of this
 * room and the rooms to the right use of it. The public functions are in khonsu/delta.h.
 *
 * One block holds all of a delta. Its vector is
 *   dense: `values`, all of them, filled up with zeros to whole blocks of 16, aligned to 64 bytes;
 *   sparse: bit p % 64 of words[p / 64] says whether position p is not zero; `values` has those
 * that are not, in ascending order of positions; ranks[w] counts the values before word w. `groups`
 *     has a bit for each run of (1 << group_shift) words that is not all zero, so that two deltas
 *     of few values find what they share without a look at most words.
 *     Of at most seven values it has the form of delta_few.h, too, in which `values` lie.
 * Values are 0 (never -0), or larger than DELTA_TINY in size and at most LIMIT_DELTA_VALUE.
 *
 * Keys lie in ascending order of (hash, bytes): what two deltas share is found by one pass over
 * both, mostly without a look at the bytes. `order` has them by bytes alone. */
#ifndef KHONSU_TXN_DELTA_H
#define KHONSU_TXN_DELTA_H

#include "base/assert.h"
#include "base/mem.h"
#include "khonsu/delta.h"
#include "txn/delta_few.h"
#include "txn/delta_keys.h"
#include "txn/delta_kernel.h"
#include <stdatomic.h>

/* Values up to this size are zero: what is left of 32-bit values near 1 that should have cancelled
 * out, and its square is far above the smallest float, so that no product is ever rounded to 0. */
#define DELTA_TINY 1e-6f

enum { DELTA_WORD_BITS = 64 };

struct kh_delta {
    _Atomic uint32_t refs;
    uint32_t dimension;
    uint32_t filled; /* values that are not zero */
    uint32_t key_count;
    float magnitude;
    bool is_sparse;
    uint8_t group_shift;
    uint64_t groups;
    uint64_t key_bits; /* a bit for each key, by its hash: no bit in common, no key in common */
    const uint64_t *words;
    const uint16_t *ranks;
    const float *values;
    const struct delta_few *few; /* NULL: no such form */
    const struct delta_key *keys;
    const uint32_t *order;
    const unsigned char *key_block; /* delta_keys.h */
    size_t key_block_bytes;
    struct mem *mem;
    size_t block_bytes;
    kh_txn_id txn;
};

static inline size_t delta_blocks(size_t dimension) {
    return (dimension + DELTA_LANES - 1) / DELTA_LANES;
}

static inline size_t delta_words(size_t dimension) {
    return (dimension + DELTA_WORD_BITS - 1) / DELTA_WORD_BITS;
}

/* Less than half of the values: an entry with its position takes twice the bytes of a bare one. */
static inline bool delta_is_sparse(size_t filled, size_t dimension) {
    return 2 * filled < dimension;
}

/* A delta of these values and keys, both copied; *out gets its one reference. Values are checked,
 * small ones become 0. KH_INVALID, KH_TOO_BIG, KH_NO_MEMORY. */
kh_status delta_make(struct mem *mem, kh_floats values, const struct delta_key_list *keys,
                     kh_txn_id txn, kh_delta **out, kh_error *error);

/* Aligned storage for values of that dimension, all zero; NULL: no memory. */
struct delta_draft {
    struct mem *mem;
    float *values;
    size_t size_bytes;
};
kh_status delta_draft_init(struct delta_draft *draft, struct mem *mem, size_t dimension,
                           kh_error *error);
void delta_draft_fini(struct delta_draft *draft);

/* The 64 values from position 64 * word on; zeros behind the last. */
void delta_expand(const kh_delta *delta, size_t word, float out[DELTA_WORD_BITS]);

#endif
