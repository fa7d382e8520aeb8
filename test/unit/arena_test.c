/* Arenas: alignment, growth, reuse, failures. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct counting {
    uint64_t countdown; /* UINT64_MAX: never fails */
    uint64_t calls;
};

static void *counting_allocate(void *context, size_t size_bytes, size_t alignment) {
    struct counting *counting = context;
    if (counting->countdown == 0) return NULL;
    if (counting->countdown != UINT64_MAX) counting->countdown--;
    counting->calls++;
    return aligned_alloc(alignment, (size_bytes + alignment - 1) / alignment * alignment);
}

static void counting_free(void *context, void *block, size_t size_bytes) {
    (void)context;
    (void)size_bytes;
    free(block);
}

struct fixture {
    struct counting counting;
    struct mem *mem;
    struct arena arena;
};

static void begin(struct fixture *f) {
    f->counting = (struct counting){.countdown = UINT64_MAX};
    struct mem_hooks hooks = {counting_allocate, counting_free, &f->counting};
    f->mem = mem_create(&hooks);
    assert_non_null(f->mem);
    arena_init(&f->arena, f->mem, NULL);
    assert_int_equal(mem_live_bytes(f->mem), 0);
}

static void end(struct fixture *f) {
    arena_fini(&f->arena);
    assert_int_equal(f->arena.total_bytes, 0);
    assert_int_equal(mem_live_bytes(f->mem), 0);
    arena_fini(&f->arena); /* again */
    mem_close(f->mem);
}

static void blocks_are_aligned_and_apart(void **state) {
    (void)state;
    enum { COUNT = 2000 };
    struct fixture f;
    begin(&f);
    static unsigned char *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        size_t size_bytes = i * 7 % 300;
        blocks[i] = arena_alloc(&f.arena, size_bytes);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], (int)i, size_bytes);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t byte = 0; byte < i * 7 % 300; byte++)
            assert_int_equal(blocks[i][byte], (unsigned char)i);
    assert_true(mem_live_bytes(f.mem) >= f.arena.total_bytes);
    assert_true(f.counting.calls < 20); /* chunks, not blocks */
    end(&f);
}

static void nothing_is_a_block_too(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    void *first = arena_alloc(&f.arena, 0);
    void *second = arena_alloc(&f.arena, 0);
    assert_true(first != NULL && second != NULL && first != second);
    assert_non_null(arena_copy(&f.arena, NULL, 0));
    assert_non_null(arena_alloc_zeroed(&f.arena, 0));
    end(&f);
}

static void copies_and_zeroes(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    unsigned char *dirty = arena_alloc(&f.arena, 1000);
    memset(dirty, 0xff, 1000);
    arena_reset(&f.arena);
    unsigned char *zeroed = arena_alloc_zeroed(&f.arena, 1000);
    assert_ptr_equal(zeroed, dirty);
    for (int i = 0; i < 1000; i++) assert_int_equal(zeroed[i], 0);
    assert_memory_equal(arena_copy(&f.arena, "khonsu", 7), "khonsu", 7);
    end(&f);
}

static void large_blocks_fit(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    for (size_t size_bytes = 1; size_bytes <= 1u << 22; size_bytes *= 4) {
        unsigned char *block = arena_alloc(&f.arena, size_bytes);
        assert_non_null(block);
        block[0] = 1;
        block[size_bytes - 1] = 1;
    }
    assert_null(arena_alloc(&f.arena, SIZE_MAX));
    assert_null(arena_alloc(&f.arena, SIZE_MAX - 15));
    assert_null(arena_alloc(&f.arena, SIZE_MAX / 2 + 1));
    end(&f);
}

static void a_reset_keeps_one_small_chunk(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    arena_reset(&f.arena); /* nothing yet */
    for (int round = 0; round < 10; round++) {
        void *block = arena_alloc(&f.arena, 2000);
        assert_non_null(block);
        arena_reset(&f.arena);
    }
    assert_int_equal(f.counting.calls, 2); /* the context and one chunk */
    for (int i = 0; i < 1000; i++) assert_non_null(arena_alloc(&f.arena, 1000));
    uint64_t calls = f.counting.calls;
    arena_reset(&f.arena);
    assert_true(f.arena.total_bytes > 0 && f.arena.total_bytes <= 16 * 1024);
    assert_true(mem_live_bytes(f.mem) <= 16 * 1024);
    assert_non_null(arena_alloc(&f.arena, 2000));
    assert_int_equal(f.counting.calls, calls);
    /* A first chunk that is large is not kept. */
    arena_fini(&f.arena);
    assert_non_null(arena_alloc(&f.arena, 1 << 20));
    arena_reset(&f.arena);
    assert_int_equal(f.arena.total_bytes, 0);
    assert_int_equal(mem_live_bytes(f.mem), 0);
    assert_non_null(arena_alloc(&f.arena, 10));
    end(&f);
}

static void without_memory_what_is_there_stays(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    f.counting.countdown = 0;
    assert_null(arena_alloc(&f.arena, 10));
    assert_null(arena_copy(&f.arena, "x", 1));
    f.counting.countdown = 1;
    unsigned char *block = arena_copy(&f.arena, "kept", 5);
    assert_null(arena_alloc_zeroed(&f.arena, 1 << 20));
    assert_memory_equal(block, "kept", 5);
    assert_non_null(arena_alloc(&f.arena, 10)); /* of the same chunk */
    f.counting.countdown = UINT64_MAX;
    assert_non_null(arena_alloc(&f.arena, 1 << 20));
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_apart),
        cmocka_unit_test(nothing_is_a_block_too),
        cmocka_unit_test(copies_and_zeroes),
        cmocka_unit_test(large_blocks_fit),
        cmocka_unit_test(a_reset_keeps_one_small_chunk),
        cmocka_unit_test(without_memory_what_is_there_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
