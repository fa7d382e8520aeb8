/* reach.h - how much memory a foreign array keeps alive, and how much of it its rows use. */
#ifndef KHONSU_BATCH_REACH_H
#define KHONSU_BATCH_REACH_H

#include "batch/schema.h"

struct reach {
    uint64_t
        size_bytes; /* every buffer up to its last element, as far as the array's numbers tell */
    uint64_t used_bytes; /* what a copy of just the rows would need, about; never too little */
    bool is_aligned;     /* every buffer to the size of its elements, at most 8 */
};

/* Of a validated array. */
struct reach reach_of(const struct field *root, const struct ArrowArray *array);

#endif
