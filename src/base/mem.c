/* mem.c - memory contexts: freelists by size class, or one call of the hook a block.
 *
 * Classes: multiples of 8 up to 512 bytes, of 64 up to 4096; larger blocks come straight from the
 * system. A cache holds one list a class; an empty list takes a magazine (a linked run of blocks)
 * from the shared lists or carves one from a slab, an overfull one gives a magazine back. Slabs
 * return to the system with the context: under churn the resident size stays flat.
 * Accounting: each cache keeps its own sum of rounded bytes (negative when it frees what others
 * allocated); all sums together are 0 exactly when no block is live.
 * Failure: a slab, large block or hook that cannot be had gives NULL and changes nothing. */
#include "base/mem.h"

#include "base/assert.h"
#include "base/env.h"
#include "base/lock.h"
#include "base/mem_pool.h"
#include "base/mem_small.h"
#include "base/sanitizer.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if defined(WITH_ADDRESS_SANITIZER) || defined(WITH_THREAD_SANITIZER)
#define POOL_BY_DEFAULT false /* the sanitizers see each block */
#define LARGE_BY_KERNEL false
#else
#define POOL_BY_DEFAULT true
#define LARGE_BY_KERNEL true
#endif

enum {
    MEDIUM_STEP = 64,
    POOLED_LAST = 4096,
    SMALL_CLASSES = MEM_SMALL_LAST / MEM_SMALL_STEP,
    CLASSES = SMALL_CLASSES + (POOLED_LAST - MEM_SMALL_LAST) / MEDIUM_STEP,
    SLAB_BYTES = 64 * 1024,
    SMALL_SLABS = 32, /* then slabs of a large page each: less than half of the memory is unused */
    MAGAZINE_BYTES = 4096, /* moved between a cache and the shared lists at once */
    MAGAZINE_MOST = 32,
    CACHED_LEAST = 16, /* blocks of a class that a cache may keep, however large they are */
    ALIGN_LARGE = 64   /* Arrow's recommendation for buffers */
};

struct slab {
    struct slab *next;
    size_t size_bytes;
};

_Static_assert((int)CLASSES == (int)MEM_CLASSES, "a list for each class");

struct mem {
    struct mem_hooks hooks;
    bool is_pooled;
    bool is_closed;
    struct lock lock; /* all below */
    bool is_thrifty;  /* see mem_be_thrifty */
    struct mem_cache *caches;
    struct mem_block *magazines[CLASSES];
    struct mem_list loose[CLASSES]; /* blocks freed without a cache */
    struct slab *slabs;
    size_t slab_count;
    unsigned char *carve_next; /* rest of the newest slab */
    unsigned char *carve_end;
    int64_t live_bytes; /* without a cache, and of destroyed caches */
    int64_t hold_count;
    _Atomic int64_t charged_bytes;
    void (*at_end)(void *argument);
    void *at_end_argument;
};

/* Large blocks come from the kernel and return to it: a heap that got its memory back would keep
 * the advice for large pages, and with it whole ones behind every bit it still uses. */
static bool is_large(size_t size_bytes) {
    return LARGE_BY_KERNEL && size_bytes >= ENV_LARGE_PAGE_BYTES;
}

static void *system_allocate(void *context, size_t size_bytes, size_t alignment) {
    (void)context;
    if (is_large(size_bytes)) return env_map(size_bytes);
    if (alignment <= 16) return malloc(size_bytes);
    if (size_bytes > SIZE_MAX - alignment) return NULL;
    return aligned_alloc(alignment, (size_bytes + alignment - 1) & ~(alignment - 1));
}

static void system_free(void *context, void *block, size_t size_bytes) {
    (void)context;
    if (is_large(size_bytes))
        env_unmap(block, size_bytes);
    else
        free(block);
}

static const struct mem_hooks system_hooks = {system_allocate, system_free, NULL};

static inline size_t round_size(size_t size_bytes) {
    if (size_bytes <= MEM_SMALL_LAST) {
        if (size_bytes < sizeof(struct mem_block)) size_bytes = sizeof(struct mem_block);
        return (size_bytes + MEM_SMALL_STEP - 1) & ~(size_t)(MEM_SMALL_STEP - 1);
    }
    return (size_bytes + MEDIUM_STEP - 1) & ~(size_t)(MEDIUM_STEP - 1);
}

static inline size_t class_of(size_t rounded) {
    return rounded <= MEM_SMALL_LAST ? mem_small_class(rounded)
                                     : SMALL_CLASSES + (rounded - MEM_SMALL_LAST) / MEDIUM_STEP - 1;
}

static size_t class_bytes(size_t class) {
    return class < SMALL_CLASSES ? (class + 1) * MEM_SMALL_STEP
                                 : MEM_SMALL_LAST + (class - SMALL_CLASSES + 1) * MEDIUM_STEP;
}

static uint32_t magazine_size(size_t rounded) {
    size_t count = MAGAZINE_BYTES / rounded;
    return count > MAGAZINE_MOST ? MAGAZINE_MOST : (uint32_t)(count == 0 ? 1 : count);
}

/* Two magazines: what one gives back is not at once taken again. */
static uint32_t cached_most(size_t class) {
    uint32_t most = 2 * magazine_size(class_bytes(class));
    return most > CACHED_LEAST ? most : CACHED_LEAST;
}

/* A hook is never asked for nothing: its NULL could mean that, or a failure. */
static size_t hook_size(const struct mem *mem, size_t size_bytes) {
    if (mem->is_pooled) return round_size(size_bytes);
    return size_bytes > 0 ? size_bytes : 1;
}

static void *hook_allocate(const struct mem *mem, size_t size_bytes) {
    size_t alignment = size_bytes >= 1024 ? ALIGN_LARGE : 16;
    return mem->hooks.allocate(mem->hooks.context, size_bytes, alignment);
}

static void hook_free(const struct mem *mem, void *block, size_t size_bytes) {
    mem->hooks.free(mem->hooks.context, block, size_bytes);
}

struct mem *mem_create_kind(const struct mem_hooks *hooks, bool is_pooled) {
    const struct mem_hooks *use = hooks != NULL ? hooks : &system_hooks;
    struct mem *mem = use->allocate(use->context, sizeof *mem, 16);
    if (mem == NULL) return NULL;
    memset(mem, 0, sizeof *mem);
    mem->hooks = *use;
    mem->is_pooled = is_pooled;
    lock_init(&mem->lock, RANK_MEM);
    return mem;
}

struct mem *mem_create(const struct mem_hooks *hooks) {
    return mem_create_kind(hooks, hooks == NULL && POOL_BY_DEFAULT);
}

static void destroy(struct mem *mem) {
    if (mem->at_end != NULL) mem->at_end(mem->at_end_argument);
    while (mem->slabs != NULL) {
        struct slab *slab = mem->slabs;
        mem->slabs = slab->next;
        hook_free(mem, slab, slab->size_bytes);
    }
    lock_fini(&mem->lock);
    struct mem_hooks hooks = mem->hooks;
    hooks.free(hooks.context, mem, sizeof *mem);
}

void mem_close(struct mem *mem) {
    if (mem == NULL) return;
    lock_take(&mem->lock);
    kh_assert(mem->caches == NULL);
    mem->is_closed = true;
    bool is_last = mem->live_bytes == 0 && mem->hold_count == 0;
    lock_leave(&mem->lock);
    if (is_last) destroy(mem);
}

void mem_hold(struct mem *mem) {
    lock_take(&mem->lock);
    mem->hold_count++;
    lock_leave(&mem->lock);
}

void mem_drop(struct mem *mem) {
    lock_take(&mem->lock);
    mem->hold_count--;
    bool is_last = mem->is_closed && mem->live_bytes == 0 && mem->hold_count == 0;
    lock_leave(&mem->lock);
    if (is_last) destroy(mem);
}

void mem_at_end(struct mem *mem, void (*run)(void *argument), void *argument) {
    kh_assert(mem->at_end == NULL);
    mem->at_end = run;
    mem->at_end_argument = argument;
}

void *mem_own_alloc(struct mem *mem, size_t size_bytes) {
    return hook_allocate(mem, size_bytes);
}

void mem_own_free(struct mem *mem, void *block, size_t size_bytes) {
    if (block != NULL) hook_free(mem, block, size_bytes);
}

struct mem_cache *mem_cache_create(struct mem *mem) {
    struct mem_cache *cache = hook_allocate(mem, sizeof *cache);
    if (cache == NULL) return NULL;
    memset(cache, 0, sizeof *cache);
    cache->mem = mem;
    cache->is_pooled = mem->is_pooled;
    for (size_t class = 0; class < CLASSES; class ++)
        cache->lists[class].count_max = cached_most(class);
    lock_take(&mem->lock);
    cache->next = mem->caches;
    mem->caches = cache;
    lock_leave(&mem->lock);
    return cache;
}

struct mem *mem_cache_owner(struct mem_cache *cache) {
    return cache->mem;
}

/* Put the first count blocks of list before the magazines of its class. Lock held. */
static void give_magazine(struct mem *mem, struct mem_list *list, size_t class, uint32_t count) {
    struct mem_block *first = list->first;
    struct mem_block *last = first;
    for (uint32_t i = 1; i < count; i++) last = last->next;
    list->first = last->next;
    list->count -= count;
    last->next = NULL;
    first->next_magazine = mem->magazines[class];
    mem->magazines[class] = first;
}

void mem_cache_destroy(struct mem_cache *cache) {
    if (cache == NULL) return;
    struct mem *mem = cache->mem;
    lock_take(&mem->lock);
    for (size_t class = 0; class < CLASSES; class ++) {
        struct mem_list *list = &cache->lists[class];
        if (list->count > 0) give_magazine(mem, list, class, list->count);
    }
    mem->live_bytes += atomic_load_explicit(&cache->live_bytes, memory_order_relaxed);
    struct mem_cache **link = &mem->caches;
    while (*link != cache) link = &(*link)->next;
    *link = cache->next;
    lock_leave(&mem->lock);
    hook_free(mem, cache, sizeof *cache);
}

static bool add_slab(struct mem *mem) {
    size_t size_bytes = mem->slab_count < SMALL_SLABS ? SLAB_BYTES : ENV_LARGE_PAGE_BYTES;
    struct slab *slab = mem->hooks.allocate(mem->hooks.context, size_bytes, ALIGN_LARGE);
    if (slab == NULL) return false;
    *slab = (struct slab){mem->slabs, size_bytes};
    mem->slabs = slab;
    mem->slab_count++;
    mem->carve_next = (unsigned char *)slab + ALIGN_LARGE;
    mem->carve_end = (unsigned char *)slab + size_bytes;
    return true;
}

/* An idle block of at least four times the size, to be carved; of the largest class that has some.
 * Only whole magazines are idle for sure: the rest of one stays. Lock held. */
static bool carve_idle(struct mem *mem, size_t rounded) {
    size_t least = 4 * rounded;
    if (!mem->is_thrifty || least > POOLED_LAST) return false;
    for (size_t class = CLASSES; class -- > 0 && class_bytes(class) >= least;) {
        struct mem_block *block = mem->magazines[class];
        if (block == NULL) continue;
        if (block->next != NULL) block->next->next_magazine = block->next_magazine;
        mem->magazines[class] = block->next != NULL ? block->next : block->next_magazine;
        mem->carve_next = (unsigned char *)block;
        mem->carve_end = mem->carve_next + class_bytes(class);
        return true;
    }
    return false;
}

/* Blocks whose size is a multiple of 16 are aligned to 16. False: no room for one. Lock held. */
static bool align_carving(struct mem *mem, size_t rounded) {
    size_t skew = rounded % 16 == 0 ? (16 - ((uintptr_t)mem->carve_next & 15)) % 16 : 0;
    if ((size_t)(mem->carve_end - mem->carve_next) < rounded + skew) return false;
    mem->carve_next += skew;
    return true;
}

/* A run of blocks of one class from the shared lists or a slab, NULL: no memory. Lock held. */
static struct mem_block *take_magazine(struct mem *mem, size_t class, size_t rounded) {
    struct mem_block *first = mem->magazines[class];
    if (first != NULL) {
        mem->magazines[class] = first->next_magazine;
        return first;
    }
    first = mem->loose[class].first;
    if (first != NULL) {
        mem->loose[class].first = NULL;
        return first;
    }
    if (!align_carving(mem, rounded)) {
        if (!carve_idle(mem, rounded) && !add_slab(mem)) return NULL;
        (void)align_carving(mem, rounded);
    }
    uint32_t most = magazine_size(rounded);
    for (uint32_t i = 0; i < most && (size_t)(mem->carve_end - mem->carve_next) >= rounded; i++) {
        struct mem_block *block = (struct mem_block *)(void *)mem->carve_next;
        mem->carve_next += rounded;
        block->next = first;
        first = block;
    }
    return first;
}

__attribute__((noinline)) static void *refill(struct mem_cache *cache, size_t class,
                                              size_t rounded) {
    struct mem *mem = cache->mem;
    lock_take(&mem->lock);
    struct mem_block *first = take_magazine(mem, class, rounded);
    lock_leave(&mem->lock);
    if (first == NULL) return NULL;
    uint32_t count = 0;
    for (struct mem_block *block = first->next; block != NULL; block = block->next) count++;
    cache->lists[class].first = first->next;
    cache->lists[class].count = count;
    return first;
}

/* Without a cache, or too large for one. */
__attribute__((noinline)) static void *alloc_shared(struct mem *mem, struct mem_cache *cache,
                                                    size_t size_bytes) {
    if (size_bytes > SIZE_MAX / 2) return NULL;
    size_t rounded = round_size(size_bytes);
    void *block = NULL;
    if (mem->is_pooled && rounded <= POOLED_LAST) {
        lock_take(&mem->lock);
        struct mem_list *loose = &mem->loose[class_of(rounded)];
        if (loose->first == NULL) loose->first = take_magazine(mem, class_of(rounded), rounded);
        block = loose->first;
        if (block != NULL) {
            loose->first = loose->first->next;
            mem->live_bytes += (int64_t)rounded;
        }
        lock_leave(&mem->lock);
        return block;
    }
    block = hook_allocate(mem, hook_size(mem, size_bytes));
    if (block == NULL) return NULL;
    if (cache != NULL) {
        mem_count_live(cache, (int64_t)rounded);
    } else {
        lock_take(&mem->lock);
        mem->live_bytes += (int64_t)rounded;
        lock_leave(&mem->lock);
    }
    return block;
}

#if defined(KH_SLOW_CHECKS)
static _Thread_local int forbidden;
void mem_forbid(void) {
    forbidden++;
}
void mem_permit(void) {
    forbidden--;
}
#define ASSERT_PERMITTED() kh_assert(forbidden == 0)
#else
#define ASSERT_PERMITTED() ((void)0)
#endif

void *mem_alloc(struct mem *mem, struct mem_cache *cache, size_t size_bytes) {
    ASSERT_PERMITTED();
    if (KH_UNLIKELY(cache == NULL || size_bytes > POOLED_LAST || !mem->is_pooled))
        return alloc_shared(mem, cache, size_bytes);
    kh_assert_slow(cache->mem == mem);
    size_t rounded = round_size(size_bytes);
    size_t class = class_of(rounded);
    struct mem_list *list = &cache->lists[class];
    struct mem_block *block = list->first;
    if (KH_LIKELY(block != NULL)) {
        list->first = block->next;
        list->count--;
    } else {
        block = refill(cache, class, rounded);
        if (block == NULL) return NULL;
    }
    mem_count_live(cache, (int64_t)rounded);
    return block;
}

void *mem_alloc_zeroed(struct mem *mem, struct mem_cache *cache, size_t size_bytes) {
    void *block = mem_alloc(mem, cache, size_bytes);
    if (block != NULL) memset(block, 0, size_bytes);
    return block;
}

__attribute__((noinline)) static void spill(struct mem_cache *cache, size_t class, uint32_t count) {
    lock_take(&cache->mem->lock);
    give_magazine(cache->mem, &cache->lists[class], class, count);
    lock_leave(&cache->mem->lock);
}

__attribute__((noinline)) static void free_shared(struct mem *mem, struct mem_cache *cache,
                                                  void *block, size_t size_bytes) {
    size_t rounded = round_size(size_bytes);
    bool is_block_pooled = mem->is_pooled && rounded <= POOLED_LAST;
    if (!is_block_pooled) hook_free(mem, block, hook_size(mem, size_bytes));
    if (cache != NULL) {
        mem_count_live(cache, -(int64_t)rounded);
        return;
    }
    lock_take(&mem->lock);
    if (is_block_pooled) {
        struct mem_list *loose = &mem->loose[class_of(rounded)];
        ((struct mem_block *)block)->next = loose->first;
        loose->first = block;
    }
    mem->live_bytes -= (int64_t)rounded;
    bool is_last = mem->is_closed && mem->live_bytes == 0 && mem->hold_count == 0;
    lock_leave(&mem->lock);
    if (is_last) destroy(mem);
}

void mem_free(struct mem *mem, struct mem_cache *cache, void *block, size_t size_bytes) {
    if (block == NULL) return;
    if (KH_UNLIKELY(cache == NULL || size_bytes > POOLED_LAST || !mem->is_pooled)) {
        free_shared(mem, cache, block, size_bytes);
        return;
    }
    kh_assert_slow(cache->mem == mem);
    size_t rounded = round_size(size_bytes);
    size_t class = class_of(rounded);
    struct mem_list *list = &cache->lists[class];
    struct mem_block *freed = block;
    freed->next = list->first;
    list->first = freed;
    mem_count_live(cache, -(int64_t)rounded);
    if (KH_UNLIKELY(++list->count > list->count_max)) spill(cache, class, magazine_size(rounded));
}

void *mem_resize(struct mem *mem, struct mem_cache *cache, void *block, size_t old_size_bytes,
                 size_t new_size_bytes) {
    void *moved = mem_alloc(mem, cache, new_size_bytes);
    if (moved == NULL) return NULL;
    if (block != NULL) {
        memcpy(moved, block, old_size_bytes < new_size_bytes ? old_size_bytes : new_size_bytes);
        mem_free(mem, cache, block, old_size_bytes);
    }
    return moved;
}

uint64_t mem_live_bytes(const struct mem *mem) {
    struct mem *shared = (struct mem *)mem; /* the lock is not part of the value */
    lock_take(&shared->lock);
    int64_t sum = shared->live_bytes;
    for (struct mem_cache *cache = shared->caches; cache != NULL; cache = cache->next)
        sum += atomic_load_explicit(&cache->live_bytes, memory_order_relaxed);
    lock_leave(&shared->lock);
    sum += atomic_load_explicit(&shared->charged_bytes, memory_order_relaxed);
    return sum > 0 ? (uint64_t)sum : 0;
}

void mem_be_thrifty(struct mem *mem) {
    lock_take(&mem->lock);
    mem->is_thrifty = true;
    lock_leave(&mem->lock);
}

void mem_charge(struct mem *mem, int64_t size_bytes) {
    atomic_fetch_add_explicit(&mem->charged_bytes, size_bytes, memory_order_relaxed);
}

struct mem *mem_process(void) {
    static _Atomic(struct mem *) process;
    struct mem *mem = atomic_load_explicit(&process, memory_order_acquire);
    if (mem != NULL) return mem;
    mem = mem_create_kind(NULL, false);
    struct mem *winner = NULL;
    if (mem != NULL && !atomic_compare_exchange_strong_explicit(
                           &process, &winner, mem, memory_order_acq_rel, memory_order_acquire)) {
        mem_close(mem);
        mem = winner;
    }
    return mem;
}
