/* delta_dot.h - the product of two deltas of one dimension, whatever their forms: the same bits as
 * that of the same vectors in dense form (delta_kernel.h says why). */
#ifndef KHONSU_TXN_DELTA_DOT_H
#define KHONSU_TXN_DELTA_DOT_H

#include "txn/delta.h"

/* Both sparse, by the instructions of every machine. *shared: positions that both have. */
float dot_sparse(const kh_delta *a, const kh_delta *b, uint32_t *shared);

/* A sparse one with a dense one. */
float dot_mixed(const kh_delta *sparse, const kh_delta *dense);

#define DOT_NOT_SPARSE UINT32_MAX

/* *shared: positions that both have, DOT_NOT_SPARSE unless both are sparse. */
KH_ALWAYS_INLINE float dot_any(const struct delta_kernel *kernel, const kh_delta *a,
                               const kh_delta *b, uint32_t *shared) {
    if (a->few != NULL && b->few != NULL && kernel->few != NULL)
        return kernel->few(a->few, b->few, shared);
    if (a->is_sparse && b->is_sparse) return dot_sparse(a, b, shared);
    *shared = DOT_NOT_SPARSE;
    if (a->is_sparse) return dot_mixed(a, b);
    if (b->is_sparse) return dot_mixed(b, a);
    return kernel->dot(a->values, b->values, delta_blocks(a->dimension));
}

#endif
