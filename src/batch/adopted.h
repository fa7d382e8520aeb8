/* adopted.h - a batch that owns an ArrowArray: the block is headroom, then this. */
#ifndef KHONSU_BATCH_ADOPTED_H
#define KHONSU_BATCH_ADOPTED_H

#include "batch/batch.h"

struct adopted {
    kh_batch batch; /* kind BATCH_ADOPTED; row_count is array.length */
    struct ArrowArray array;
    uint64_t size_bytes; /* what the array can reach */
    bool is_foreign;     /* its release is foreign code, its memory is charged to the context */
};

static inline const struct adopted *adopted_of(const kh_batch *batch) {
    return (const struct adopted *)(const void *)batch;
}

#endif
