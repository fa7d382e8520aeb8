/* reach.h - what a foreign array keeps alive. */
#ifndef KHONSU_BATCH_REACH_H
#define KHONSU_BATCH_REACH_H

#include "batch/schema.h"

/* What an array keeps alive, as far as its own numbers tell: every buffer up to its last element. */
struct reach {
    uint64_t size_bytes;
    bool is_aligned; /* every buffer to the size of its elements, at most 8 */
};

/* Of a validated array. */
struct reach reach_of(const struct field *root, const struct ArrowArray *array);

#endif
