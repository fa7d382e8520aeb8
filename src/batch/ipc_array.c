/* ipc_array.c - the Arrow array that a decoded message becomes.
 *
 * Invariants: refs is the number of arrays that are not released; body and pieces live until it is
 * 0. Happy path: create with exact counts, hand out, let the consumer release from any thread.
 * Failure: create or bytes give NULL; a half-built tree is destroyed as a whole. */
#include "batch/ipc_array.h"

#include "base/assert.h"
#include <string.h>

struct ipc_piece {
    struct ipc_piece *next;
    size_t size_bytes; /* with this header */
    unsigned char reserved[48]; /* the bytes begin at a multiple of 64 when the block does */
};

struct ipc_array *ipc_array_create(struct mem *mem, struct mem_cache *cache,
                                   const struct ipc_array_counts *counts) {
    size_t arrays_at = (sizeof(struct ipc_array) + 15) & ~(size_t)15;
    size_t dictionaries_at = arrays_at + counts->arrays * sizeof(struct ArrowArray);
    size_t children_at = dictionaries_at + counts->dictionaries * sizeof(struct ArrowArray);
    size_t buffers_at = children_at + counts->arrays * sizeof(struct ArrowArray *);
    size_t sizes_at = buffers_at + counts->buffers * sizeof(void *);
    size_t size_bytes = sizes_at + counts->sizes * sizeof(int64_t);
    unsigned char *block = mem_alloc_zeroed(mem, cache, size_bytes);
    if (block == NULL)
        return NULL;
    struct ipc_array *array = (struct ipc_array *)(void *)block;
    atomic_init(&array->refs, 0);
    array->mem = mem;
    array->size_bytes = size_bytes;
    array->next_array = (struct ArrowArray *)(void *)(block + arrays_at);
    array->dictionaries = (struct ArrowArray *)(void *)(block + dictionaries_at);
    array->dictionary_count = (uint32_t)counts->dictionaries;
    array->next_dictionary = array->dictionaries;
    array->next_child = (struct ArrowArray **)(void *)(block + children_at);
    array->next_buffer = (const void **)(void *)(block + buffers_at);
    array->next_size = (int64_t *)(void *)(block + sizes_at);
    return array;
}

static void free_blocks(struct ipc_array *array) {
    struct mem *mem = array->mem;
    while (array->pieces != NULL) {
        struct ipc_piece *piece = array->pieces;
        array->pieces = piece->next;
        mem_free(mem, NULL, piece, piece->size_bytes);
    }
    mem_free(mem, NULL, array->body.bytes, array->body.size_bytes);
    mem_free(mem, NULL, array, array->size_bytes);
}

void ipc_array_destroy(struct ipc_array *array) {
    for (uint32_t i = 0; i < array->dictionary_count; i++)
        if (array->dictionaries[i].release != NULL)
            array->dictionaries[i].release(&array->dictionaries[i]);
    free_blocks(array);
}

void *ipc_array_bytes(struct ipc_array *array, size_t size_bytes) {
    struct ipc_piece *piece = mem_alloc(array->mem, NULL, sizeof *piece + size_bytes);
    if (piece == NULL)
        return NULL;
    piece->next = array->pieces;
    piece->size_bytes = sizeof *piece + size_bytes;
    array->pieces = piece;
    return piece + 1;
}

/* The release callback of each array of the tree: any thread, once. */
static void release(struct ArrowArray *of) {
    struct ipc_array *array = of->private_data;
    for (int64_t i = 0; i < of->n_children; i++)
        if (of->children[i]->release != NULL)
            of->children[i]->release(of->children[i]);
    if (of->dictionary != NULL && of->dictionary->release != NULL)
        of->dictionary->release(of->dictionary);
    of->release = NULL;
    if (atomic_fetch_sub_explicit(&array->refs, 1, memory_order_acq_rel) == 1)
        free_blocks(array);
}

struct ArrowArray *ipc_array_next(struct ipc_array *array) {
    struct ArrowArray *next = array->next_array++;
    next->private_data = array;
    next->release = release;
    atomic_fetch_add_explicit(&array->refs, 1, memory_order_relaxed);
    return next;
}

void ipc_array_shape(struct ipc_array *array, struct ArrowArray *of, int64_t buffer_count,
                     int64_t child_count) {
    of->n_buffers = buffer_count;
    of->buffers = array->next_buffer;
    array->next_buffer += buffer_count;
    of->n_children = child_count;
    of->children = child_count == 0 ? NULL : array->next_child;
    array->next_child += child_count;
}

bool ipc_array_is(const struct ArrowArray *array) {
    return array->release == release;
}

bool ipc_array_has_proved_values(const struct ArrowArray *array) {
    const struct ipc_array *tree = array->private_data;
    return ipc_array_is(array) && tree->has_proved_values;
}
