/* ipc_array.h - the Arrow array that a decoded message becomes: one block with all its structs and
 * pointers, and the blocks that its buffers point into. Made by ipc_decode.c. */
#ifndef KHONSU_BATCH_IPC_ARRAY_H
#define KHONSU_BATCH_IPC_ARRAY_H

#include "batch/ipc_wire.h"

struct ipc_piece; /* a block of bytes made while decoding */

/* Every array of the tree holds one reference, so that children may be moved out of it. */
struct ipc_array {
    _Atomic uint32_t refs;
    struct mem *mem;
    size_t size_bytes;
    struct ipc_block body;
    struct ipc_piece *pieces;
    struct ArrowArray *dictionaries; /* foreign arrays, released with their owners */
    uint32_t dictionary_count;
    bool has_proved_values;
    /* What has not been handed out yet. */
    struct ArrowArray *next_array;
    struct ArrowArray *next_dictionary;
    struct ArrowArray **next_child;
    const void **next_buffer;
    int64_t *next_size;
};

struct ipc_array_counts {
    uint64_t arrays;
    uint64_t dictionaries;
    uint64_t buffers;
    uint64_t sizes;
};

/* NULL: no memory. */
struct ipc_array *ipc_array_create(struct mem *mem, struct mem_cache *cache,
                                   const struct ipc_array_counts *counts);
/* Free a tree that nobody has seen, with the dictionaries it was given. */
void ipc_array_destroy(struct ipc_array *array);
/* size_bytes that live as long as the array, aligned to 8 (to 64 when large). NULL: no memory. */
void *ipc_array_bytes(struct ipc_array *array, size_t size_bytes);
/* A fresh struct with room for its buffers and children, holding a reference. */
struct ArrowArray *ipc_array_next(struct ipc_array *array);
void ipc_array_shape(struct ipc_array *array, struct ArrowArray *of, int64_t buffer_count,
                     int64_t child_count);
/* Whether an array is of this kind: in our memory and counted there already, and released without
 * calling foreign code. */
bool ipc_array_is(const struct ArrowArray *array);
/* Whether, besides, its dictionaries are shares of values that were validated in full when a
 * stream brought them: thousands of batches may share one large dictionary. */
bool ipc_array_has_proved_values(const struct ArrowArray *array);

#endif
