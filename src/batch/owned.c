/* owned.c - see owned.h. Blocks are cut from the rest of the owner's own block while they fit, and
 * allocated and listed otherwise. Failure: NULL or KH_NO_MEMORY; what was built so far stays with
 * the owner and goes with it. */
#include "batch/owned.h"

#include "base/assert.h"
#include "base/status.h"

#include <string.h>

/* The owner's block: room for the structs and buffers of a row or two of twenty flat columns. */
#define OWNED_BLOCK_BYTES ((size_t)4096)
/* First size of the list of blocks. */
#define OWNED_LIST_COUNT ((size_t)32)

struct owned_block {
    void *block;
    size_t size_bytes;
};

struct owned {
    struct mem *mem;
    struct mem_cache *cache;
    bool *is_released;
    struct owned_block *blocks;
    size_t block_count;
    size_t block_capacity;
    size_t used_bytes; /* of this block, header included */
};

static size_t round_up(size_t size_bytes) { return (size_bytes + 15) & ~(size_t)15; }

struct owned *owned_create(struct mem *mem, struct mem_cache *cache) {
    struct owned *owned = mem_alloc(mem, cache, OWNED_BLOCK_BYTES);
    if (owned == NULL)
        return NULL;
    memset(owned, 0, sizeof *owned);
    owned->mem = mem;
    owned->cache = cache;
    owned->used_bytes = round_up(sizeof *owned);
    return owned;
}

void owned_destroy(struct owned *owned) {
    if (owned == NULL)
        return;
    struct mem *mem = owned->mem;
    struct mem_cache *cache = owned->cache;
    if (owned->is_released != NULL)
        *owned->is_released = true;
    for (size_t i = 0; i < owned->block_count; i++)
        mem_free(mem, cache, owned->blocks[i].block, owned->blocks[i].size_bytes);
    mem_free(mem, cache, owned->blocks, owned->block_capacity * sizeof *owned->blocks);
    mem_free(mem, cache, owned, OWNED_BLOCK_BYTES);
}

static bool grow_list(struct owned *owned) {
    size_t capacity = owned->block_capacity == 0 ? OWNED_LIST_COUNT : owned->block_capacity * 2;
    size_t size_bytes = capacity * sizeof *owned->blocks;
    struct owned_block *blocks;
    if (owned->blocks == NULL)
        blocks = mem_alloc(owned->mem, owned->cache, size_bytes);
    else
        blocks = mem_resize(owned->mem, owned->cache, owned->blocks,
                            owned->block_capacity * sizeof *owned->blocks, size_bytes);
    if (blocks == NULL)
        return false;
    owned->blocks = blocks;
    owned->block_capacity = capacity;
    return true;
}

void *owned_alloc(struct owned *owned, size_t size_bytes) {
    if (size_bytes <= OWNED_BLOCK_BYTES - owned->used_bytes) {
        void *block = (unsigned char *)owned + owned->used_bytes;
        owned->used_bytes += round_up(size_bytes);
        return block;
    }
    if (owned->block_count == owned->block_capacity && !grow_list(owned))
        return NULL;
    void *block = mem_alloc(owned->mem, owned->cache, size_bytes);
    if (block == NULL)
        return NULL;
    owned->blocks[owned->block_count].block = block;
    owned->blocks[owned->block_count].size_bytes = size_bytes;
    owned->block_count++;
    return block;
}

static void release_child(struct ArrowArray *array) { array->release = NULL; }

static void release_root(struct ArrowArray *array) {
    struct owned *owned = array->private_data;
    array->release = NULL;
    owned_destroy(owned);
}

static void *alloc_zeroed(struct owned *owned, size_t size_bytes) {
    void *block = owned_alloc(owned, size_bytes);
    if (block != NULL)
        memset(block, 0, size_bytes);
    return block;
}

kh_status owned_array(struct owned *owned, struct ArrowArray *array, int64_t buffer_count,
                      int64_t child_count, bool has_dictionary, kh_error *error) {
    size_t pointer_bytes = (size_t)(buffer_count + child_count) * sizeof(void *);
    size_t struct_count = (size_t)child_count + (has_dictionary ? 1 : 0);
    size_t size_bytes = pointer_bytes + struct_count * sizeof *array;
    void **pointers = alloc_zeroed(owned, size_bytes);
    if (pointers == NULL)
        return status_no_memory(error, size_bytes);
    struct ArrowArray *structs = (void *)((unsigned char *)pointers + pointer_bytes);
    memset(array, 0, sizeof *array);
    array->n_buffers = buffer_count;
    array->n_children = child_count;
    array->buffers = (const void **)pointers;
    array->children = child_count == 0 ? NULL : (struct ArrowArray **)pointers + buffer_count;
    for (int64_t i = 0; i < child_count; i++)
        array->children[i] = &structs[i];
    array->dictionary = has_dictionary ? &structs[child_count] : NULL;
    array->release = release_child;
    return KH_OK;
}

void owned_attach(struct owned *owned, struct ArrowArray *root, bool *is_released) {
    *is_released = false;
    owned->is_released = is_released;
    root->private_data = owned;
    root->release = release_root;
}

void owned_detach(struct owned *owned) {
    owned->is_released = NULL;
    owned->cache = NULL;
}

bool owned_is(const struct ArrowArray *array) { return array->release == release_root; }
