/* The short ways of mem_small.h, as they are in a release: the slow checks, in whose builds they
 * fall back to mem_alloc and mem_free, are off in this file. */
#undef KH_SLOW_CHECKS
#include "base/mem_small.h"

#include "base/mem_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CACHES = 2 };

struct yard {
    struct mem *mem;
    struct mem_cache *caches[CACHES];
};

static struct yard yard;

static int open_yard(void **state) {
    (void)state;
    yard.mem = mem_create_kind(NULL, true);
    assert_non_null(yard.mem);
    for (int i = 0; i < CACHES; i++) yard.caches[i] = mem_cache_create(yard.mem);
    return 0;
}

static int close_yard(void **state) {
    (void)state;
    for (int i = 0; i < CACHES; i++) mem_cache_destroy(yard.caches[i]);
    assert_int_equal(mem_live_bytes(yard.mem), 0);
    mem_close(yard.mem);
    return 0;
}

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void check_bounds(const struct mem_cache *cache) {
    for (int class = 0; class < MEM_CLASSES; class ++)
        assert_true(cache->lists[class].count <= cache->lists[class].count_max);
}

static void check_lists(const struct mem_cache *cache) {
    for (int class = 0; class < MEM_CLASSES; class ++) {
        const struct mem_list *list = &cache->lists[class];
        uint32_t count = 0;
        for (const struct mem_block *block = list->first; block != NULL; block = block->next)
            count++;
        assert_int_equal(count, list->count);
    }
}

struct held {
    unsigned char *block;
    size_t size_bytes;
    unsigned char fill;
};

static void check_held(const struct held *held) {
    for (size_t i = 0; i < held->size_bytes; i++) assert_int_equal(held->block[i], held->fill);
}

static void free_held(struct held *held, struct mem_cache *cache, bool is_short) {
    check_held(held);
    if (is_short) {
        mem_free_small(yard.mem, cache, held->block, held->size_bytes);
    } else {
        mem_free(yard.mem, cache, held->block, held->size_bytes);
    }
    held->block = NULL;
}

static void make_held(struct held *held, struct mem_cache *cache, bool is_short) {
    held->block = is_short ? mem_alloc_small(yard.mem, cache, held->size_bytes)
                           : mem_alloc(yard.mem, cache, held->size_bytes);
    assert_non_null(held->block);
    assert_int_equal((uintptr_t)held->block % (held->size_bytes % 16 == 0 ? 16 : 8), 0);
    memset(held->block, held->fill, held->size_bytes);
}

/* Small ones, and about the edge of small. */
static size_t random_size(uint32_t *random) {
    switch (next_random(random) % 3) {
    case 0:
        return next_random(random) % 40;
    case 1:
        return next_random(random) % 500;
    default:
        return 500 + next_random(random) % 40;
    }
}

/* What a block of that size counts for. */
static size_t counted(size_t size_bytes) {
    if (size_bytes < 16) return 16;
    return size_bytes <= 512 ? (size_bytes + 7) / 8 * 8 : (size_bytes + 63) / 64 * 64;
}

static void check_sum(const struct held *slots, int count) {
    uint64_t sum = 0;
    for (int i = 0; i < count; i++)
        if (slots[i].block != NULL) sum += counted(slots[i].size_bytes);
    assert_int_equal(mem_live_bytes(yard.mem), sum);
}

/* Any size, any cache or none, the short way and the long one, mixed: contents and counts hold. */
static void short_and_long_ways_mix(void **state) {
    (void)state;
    enum { SLOTS = 200, STEPS = 20000 };
    static struct held slots[SLOTS];
    uint32_t random = 5;
    for (int i = 0; i < STEPS; i++) {
        struct held *held = &slots[next_random(&random) % SLOTS];
        uint32_t way = next_random(&random);
        struct mem_cache *cache = way % 8 == 0 ? NULL : yard.caches[way / 8 % CACHES];
        if (held->block != NULL) {
            free_held(held, cache, way & 64);
        } else {
            held->size_bytes = random_size(&random);
            held->fill = (unsigned char)i;
            make_held(held, cache, way & 64);
        }
        if (i % 50 == 0) {
            check_sum(slots, SLOTS);
            check_lists(yard.caches[0]);
            check_lists(yard.caches[1]);
        }
    }
    for (int i = 0; i < SLOTS; i++)
        if (slots[i].block != NULL) free_held(&slots[i], yard.caches[0], true);
    assert_int_equal(mem_live_bytes(yard.mem), 0);
}

/* What one cache has too much of goes back for others to take. */
static void a_cache_keeps_so_many(void **state) {
    (void)state;
    enum { BLOCKS = 4000, SIZE = 64 };
    static void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) blocks[i] = mem_alloc_small(yard.mem, yard.caches[0], SIZE);
    assert_int_equal(mem_live_bytes(yard.mem), BLOCKS * SIZE);
    for (int i = 0; i < BLOCKS; i++) mem_free_small(yard.mem, yard.caches[1], blocks[i], SIZE);
    assert_int_equal(mem_live_bytes(yard.mem), 0);
    check_lists(yard.caches[1]);
    check_bounds(yard.caches[1]);
    for (int i = 0; i < BLOCKS; i++) blocks[i] = mem_alloc_small(yard.mem, yard.caches[0], SIZE);
    check_lists(yard.caches[0]);
    check_bounds(yard.caches[0]);
    for (int i = 0; i < BLOCKS; i++) mem_free_small(yard.mem, yard.caches[0], blocks[i], SIZE);
    check_bounds(yard.caches[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(short_and_long_ways_mix, open_yard, close_yard),
        cmocka_unit_test_setup_teardown(a_cache_keeps_so_many, open_yard, close_yard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
