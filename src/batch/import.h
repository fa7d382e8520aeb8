/* import.h - the door from a foreign ArrowArray to a batch.
 *
 * A small batch of flat types is copied into one block and the producer's array released; anything
 * else is adopted: the array is moved into a wrapper, buffers and all. A flat batch is copied
 * whatever its size when that keeps less than half of the memory that the array reaches (a slice),
 * or when its buffers are not aligned to their elements. */
#ifndef KHONSU_BATCH_IMPORT_H
#define KHONSU_BATCH_IMPORT_H

#include "batch/batch.h"

/* Copying up to a page costs less than keeping a foreign array and its bookkeeping alive. */
#define IMPORT_COPY_BYTES 4096u
#define IMPORT_COPY_ROWS 256

struct import {
    struct mem *mem;
    struct mem_cache *cache;
    const kh_schema *schema; /* of mem */
    uint64_t bytes_max;
    kh_validation validation;
};

/* Any rows. On failure the array is untouched. */
kh_status import_rows(const struct import *in, struct ArrowArray *array, kh_batch **out,
                      kh_error *error);

#endif
