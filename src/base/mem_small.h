/* mem_small.h - the usual allocation and its end without a call: a small block from and to a list
 * of the caller's cache. For the few places that every read or write goes through; others call
 * mem_alloc and mem_free, to which these fall back. */
#ifndef KHONSU_BASE_MEM_SMALL_H
#define KHONSU_BASE_MEM_SMALL_H

#include "base/assert.h"
#include "base/mem.h"
#include <stdatomic.h>

enum {
    MEM_SMALL_STEP = 8,
    MEM_SMALL_LAST = 512,
    MEM_CLASSES = 120 /* mem.c: small classes and those of medium blocks */
};

struct mem_block { /* a free block */
    struct mem_block *next;
    struct mem_block *next_magazine; /* first block of a magazine: a block has 16 bytes at least */
};

struct mem_list {
    struct mem_block *first;
    uint32_t count;
    uint32_t count_max; /* of a cache's list: beyond, a magazine goes back */
};

struct mem_cache {
    struct mem *mem;
    struct mem_cache *next;     /* mem->caches; its lock */
    _Atomic int64_t live_bytes; /* writer: the cache's user; readers: mem_live_bytes */
    bool is_pooled;             /* as mem is */
    struct mem_list lists[MEM_CLASSES];
};

static inline size_t mem_small_class(size_t rounded) {
    return rounded / MEM_SMALL_STEP - 1;
}

static inline void mem_count_live(struct mem_cache *cache, int64_t size_bytes) {
    int64_t sum = atomic_load_explicit(&cache->live_bytes, memory_order_relaxed);
    atomic_store_explicit(&cache->live_bytes, sum + size_bytes, memory_order_relaxed);
}

/* Lists are for small blocks of a pool; the checks of slow builds are in the functions. */
static inline bool mem_is_listed(const struct mem_cache *cache, size_t size_bytes) {
#if defined(KH_SLOW_CHECKS)
    (void)cache;
    (void)size_bytes;
    return false;
#else
    return cache != NULL && cache->is_pooled && size_bytes <= MEM_SMALL_LAST &&
           size_bytes >= sizeof(struct mem_block);
#endif
}

static inline void *mem_alloc_small(struct mem *mem, struct mem_cache *cache, size_t size_bytes) {
    if (KH_LIKELY(mem_is_listed(cache, size_bytes))) {
        size_t rounded = (size_bytes + MEM_SMALL_STEP - 1) & ~(size_t)(MEM_SMALL_STEP - 1);
        struct mem_list *list = &cache->lists[mem_small_class(rounded)];
        struct mem_block *block = list->first;
        if (KH_LIKELY(block != NULL)) {
            list->first = block->next;
            list->count--;
            mem_count_live(cache, (int64_t)rounded);
            return block;
        }
    }
    return mem_alloc(mem, cache, size_bytes);
}

/* cache: NULL, or of mem. */
static inline void mem_free_small(struct mem *mem, struct mem_cache *cache, void *block,
                                  size_t size_bytes) {
    if (KH_LIKELY(mem_is_listed(cache, size_bytes))) {
        size_t rounded = (size_bytes + MEM_SMALL_STEP - 1) & ~(size_t)(MEM_SMALL_STEP - 1);
        struct mem_list *list = &cache->lists[mem_small_class(rounded)];
        if (KH_LIKELY(list->count < list->count_max)) {
            struct mem_block *freed = block;
            freed->next = list->first;
            list->first = freed;
            list->count++;
            mem_count_live(cache, -(int64_t)rounded);
            return;
        }
    }
    mem_free(mem, cache, block, size_bytes);
}

#endif
