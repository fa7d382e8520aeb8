/* Memory contexts: the pool and the hooks, caches, contexts that outlive their owner. */
#define _GNU_SOURCE /* mincore */
#include "base/mem.h"

#include "base/env.h"
#include "base/lock.h"
#include "base/mem_pool.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- hooks that keep the books --------------------------------------------------------------- */

struct books {
    struct lock lock;
    uint64_t countdown; /* allocations before one fails; UINT64_MAX: none does */
    int64_t live_blocks;
    int64_t live_bytes;
    int64_t most_bytes;
    uint64_t calls;
};

enum { FRONT = 64 }; /* before each block: its size; keeps any alignment asked for */

static void *book_allocate(void *context, size_t size_bytes, size_t alignment) {
    struct books *books = context;
    assert_true(size_bytes > 0);
    assert_true(alignment <= FRONT && (alignment & (alignment - 1)) == 0);
    lock_take(&books->lock);
    bool is_refused = books->countdown == 0;
    if (!is_refused && books->countdown != UINT64_MAX) books->countdown--;
    if (!is_refused) {
        books->live_blocks++;
        books->live_bytes += (int64_t)size_bytes;
        if (books->live_bytes > books->most_bytes) books->most_bytes = books->live_bytes;
        books->calls++;
    }
    lock_leave(&books->lock);
    if (is_refused) return NULL;
    unsigned char *block = aligned_alloc(FRONT, (FRONT + size_bytes + FRONT - 1) / FRONT * FRONT);
    assert_non_null(block);
    memcpy(block, &size_bytes, sizeof size_bytes);
    memset(block + FRONT, 0xa5, size_bytes);
    return block + FRONT;
}

static void book_free(void *context, void *block, size_t size_bytes) {
    struct books *books = context;
    unsigned char *whole = (unsigned char *)block - FRONT;
    size_t asked;
    memcpy(&asked, whole, sizeof asked);
    assert_int_equal(asked, size_bytes);
    lock_take(&books->lock);
    books->live_blocks--;
    books->live_bytes -= (int64_t)size_bytes;
    lock_leave(&books->lock);
    free(whole);
}

/* The books' lock is the last of all: contexts call hooks with their own held. */
static struct mem_hooks books_open(struct books *books) {
    memset(books, 0, sizeof *books);
    books->countdown = UINT64_MAX;
    lock_init(&books->lock, (enum lock_rank)(RANK_MEM + 1));
    return (struct mem_hooks){book_allocate, book_free, books};
}

static void books_close(struct books *books) {
    assert_int_equal(books->live_blocks, 0);
    assert_int_equal(books->live_bytes, 0);
    lock_fini(&books->lock);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static size_t random_size(uint32_t *state) {
    switch (next_random(state) % 4) {
    case 0:
        return next_random(state) % 64;
    case 1:
        return next_random(state) % 600;
    case 2:
        return next_random(state) % 5000;
    default:
        return next_random(state) % 80000;
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

static void check_alignment(const void *block, size_t size_bytes) {
    size_t alignment = size_bytes % 16 == 0 || size_bytes > 512 ? 16 : 8;
    assert_int_equal((uintptr_t)block % alignment, 0);
}

/* Blocks of all sizes, with and without a cache, do not overlap and keep their contents. */
static void churn(bool is_pooled) {
    enum { SLOTS = 300, STEPS = 20000 };
    struct books books;
    struct mem_hooks hooks = books_open(&books);
    struct mem *mem = mem_create_kind(&hooks, is_pooled);
    struct mem_cache *cache = mem_cache_create(mem);
    assert_ptr_equal(mem_cache_owner(cache), mem);
    static struct held slots[SLOTS];
    memset(slots, 0, sizeof slots);
    uint32_t random = 7;
    uint64_t asked = 0;
    for (int step = 0; step < STEPS; step++) {
        struct held *held = &slots[next_random(&random) % SLOTS];
        struct mem_cache *through = next_random(&random) % 3 == 0 ? NULL : cache;
        if (held->block != NULL) {
            check_held(held);
            asked -= held->size_bytes;
            mem_free(mem, through, held->block, held->size_bytes);
            held->block = NULL;
        } else {
            held->size_bytes = random_size(&random);
            held->fill = (unsigned char)step;
            held->block = mem_alloc(mem, through, held->size_bytes);
            assert_non_null(held->block);
            check_alignment(held->block, held->size_bytes);
            memset(held->block, held->fill, held->size_bytes);
            asked += held->size_bytes;
        }
        if (step % 1000 == 0) {
            assert_true(mem_live_bytes(mem) >= asked);
            assert_true(mem_live_bytes(mem) <= asked + asked / 8 + SLOTS * 64);
        }
    }
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].block != NULL) check_held(&slots[i]);
        mem_free(mem, NULL, slots[i].block, slots[i].size_bytes);
    }
    assert_int_equal(mem_live_bytes(mem), 0);
    mem_cache_destroy(cache);
    mem_cache_destroy(NULL);
    assert_int_equal(mem_live_bytes(mem), 0);
    mem_close(mem);
    books_close(&books);
}

static void pooled_blocks_keep_their_contents(void **state) {
    (void)state;
    churn(true);
}

static void hooked_blocks_keep_their_contents(void **state) {
    (void)state;
    churn(false);
}

/* Slabs of both sizes go back to the hook as they came. */
static void slabs_go_back_as_they_came(void **state) {
    (void)state;
    enum { BLOCKS = 2000, SIZE = 4096 }; /* 8 MB */
    struct books books;
    struct mem_hooks hooks = books_open(&books);
    struct mem *mem = mem_create_kind(&hooks, true);
    struct mem_cache *cache = mem_cache_create(mem);
    static void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) blocks[i] = mem_alloc(mem, cache, SIZE);
    assert_true(books.calls < 50); /* few and large */
    for (int i = 0; i < BLOCKS; i++) mem_free(mem, cache, blocks[i], SIZE);
    mem_cache_destroy(cache);
    mem_close(mem);
    books_close(&books);
}

/* A large block is aligned, can be written to its end, and is nobody's memory once freed. */
static void large_blocks_go_back_to_the_kernel(void **state) {
    (void)state;
    static const size_t sizes[] = {2u << 20, (2u << 20) + 1, (2u << 20) + 4097, 5000000, 32u << 20};
    struct mem *mem = mem_create_kind(NULL, true);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *block = mem_alloc(mem, NULL, sizes[i]);
        assert_non_null(block);
        memset(block, 7, sizes[i]);
        assert_int_equal(block[sizes[i] - 1], 7);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        assert_int_equal((uintptr_t)block % ENV_LARGE_PAGE_BYTES, 0);
        unsigned char behind = 0; /* nothing of what was mapped for the alignment is left */
        assert_int_equal(mincore(block + (sizes[i] + 4095) / 4096 * 4096, 1, &behind), -1);
#endif
        mem_free(mem, NULL, block, sizes[i]);
        assert_int_equal(mem_live_bytes(mem), 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        unsigned char resident = 0;
        assert_int_equal(mincore(block + (sizes[i] - 1) / 4096 * 4096, 1, &resident), -1);
        assert_int_equal(errno, ENOMEM); /* not mapped */
#endif
    }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they end the program */
    assert_null(mem_alloc(mem, NULL, SIZE_MAX / 4));
#endif
    mem_close(mem);
}

static void live_bytes_are_exact(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct mem *mem = mem_create_kind(NULL, kind == 1);
        void *small = mem_alloc(mem, NULL, 20);
        assert_int_equal(mem_live_bytes(mem), 24);
        void *medium = mem_alloc(mem, NULL, 513);
        assert_int_equal(mem_live_bytes(mem), 24 + 576);
        void *none = mem_alloc(mem, NULL, 0);
        void *another = mem_alloc(mem, NULL, 0);
        assert_true(none != NULL && another != NULL && none != another);
        mem_free(mem, NULL, none, 0);
        mem_free(mem, NULL, another, 0);
        mem_charge(mem, 1000);
        assert_int_equal(mem_live_bytes(mem), 24 + 576 + 1000);
        mem_charge(mem, -1000);
        mem_free(mem, NULL, small, 20);
        assert_int_equal(mem_live_bytes(mem), 576);
        mem_free(mem, NULL, medium, 513);
        mem_free(mem, NULL, NULL, 4711);
        assert_int_equal(mem_live_bytes(mem), 0);
        /* Through a cache as well, whoever frees. */
        struct mem_cache *one = mem_cache_create(mem);
        struct mem_cache *other = mem_cache_create(mem);
        small = mem_alloc(mem, one, 100);
        assert_int_equal(mem_live_bytes(mem), 104);
        mem_cache_destroy(one);
        assert_int_equal(mem_live_bytes(mem), 104);
        mem_free(mem, other, small, 100);
        assert_int_equal(mem_live_bytes(mem), 0);
        mem_cache_destroy(other);
        mem_close(mem);
    }
}

static void zeroed_and_resized(void **state) {
    (void)state;
    struct books books;
    struct mem_hooks hooks = books_open(&books);
    struct mem *mem = mem_create_kind(&hooks, true);
    unsigned char *block = mem_alloc(mem, NULL, 100);
    memset(block, 0xff, 100);
    mem_free(mem, NULL, block, 100);
    block = mem_alloc_zeroed(mem, NULL, 100);
    for (int i = 0; i < 100; i++) assert_int_equal(block[i], 0);
    memset(block, 7, 100);
    block = mem_resize(mem, NULL, block, 100, 9000);
    assert_true(block[0] == 7 && block[99] == 7);
    block = mem_resize(mem, NULL, block, 9000, 50);
    assert_true(block[0] == 7 && block[49] == 7);
    books.countdown = 0;
    assert_null(mem_resize(mem, NULL, block, 50, 9000));
    assert_null(mem_alloc_zeroed(mem, NULL, 9000));
    assert_null(mem_alloc(mem, NULL, SIZE_MAX));
    assert_null(mem_alloc(mem, NULL, SIZE_MAX / 2 + 1));
    books.countdown = UINT64_MAX;
    assert_true(block[0] == 7 && block[49] == 7);
    mem_free(mem, NULL, block, 50);
    block = mem_resize(mem, NULL, NULL, 0, 10);
    assert_non_null(block);
    mem_free(mem, NULL, block, 10);
    mem_close(mem);
    books_close(&books);
}

static void without_memory_nothing_changes(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct books books;
        struct mem_hooks hooks = books_open(&books);
        books.countdown = 0;
        assert_null(mem_create_kind(&hooks, kind == 1));
        books.countdown = UINT64_MAX;
        struct mem *mem = mem_create_kind(&hooks, kind == 1);
        books.countdown = 0;
        assert_null(mem_cache_create(mem));
        books.countdown = UINT64_MAX;
        struct mem_cache *cache = mem_cache_create(mem);
        books.countdown = 0;
        for (size_t size_bytes = 0; size_bytes < 10000; size_bytes += 100) {
            assert_null(mem_alloc(mem, cache, size_bytes));
            assert_null(mem_alloc(mem, NULL, size_bytes));
        }
        assert_int_equal(mem_live_bytes(mem), 0);
        books.countdown = UINT64_MAX;
        void *block = mem_alloc(mem, cache, 100);
        assert_non_null(block);
        mem_free(mem, cache, block, 100);
        mem_cache_destroy(cache);
        mem_close(mem);
        books_close(&books);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static void count_end(void *argument) {
    int *count = argument;
    ++*count;
}

static void a_context_lives_as_long_as_its_blocks(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        for (size_t size_bytes = 16; size_bytes < 100000; size_bytes *= 10) {
            struct books books;
            struct mem_hooks hooks = books_open(&books);
            struct mem *mem = mem_create_kind(&hooks, kind == 1);
            int ends = 0;
            mem_at_end(mem, count_end, &ends);
            struct mem_cache *cache = mem_cache_create(mem);
            unsigned char *block = mem_alloc(mem, cache, size_bytes);
            mem_cache_destroy(cache);
            mem_close(mem);
            assert_int_equal(ends, 0);
            memset(block, 1, size_bytes);
            void *later = mem_alloc(mem, NULL, size_bytes); /* work on a batch goes on */
            mem_free(mem, NULL, block, size_bytes);
            assert_int_equal(ends, 0);
            mem_free(mem, NULL, later, size_bytes);
            assert_int_equal(ends, 1);
            books_close(&books);
        }
    }
    mem_close(NULL);
}

static void a_hold_is_as_good_as_a_block(void **state) {
    (void)state;
    struct books books;
    struct mem_hooks hooks = books_open(&books);
    struct mem *mem = mem_create_kind(&hooks, true);
    int ends = 0;
    mem_at_end(mem, count_end, &ends);
    mem_hold(mem);
    mem_hold(mem);
    void *block = mem_alloc(mem, NULL, 40);
    mem_close(mem);
    mem_drop(mem);
    mem_free(mem, NULL, block, 40);
    assert_int_equal(ends, 0);
    mem_drop(mem);
    assert_int_equal(ends, 1);
    books_close(&books);
}

struct own {
    struct mem *mem;
    void *block;
};

static void free_own(void *argument) {
    struct own *own = argument;
    mem_own_free(own->mem, own->block, 500);
    mem_own_free(own->mem, NULL, 500);
}

static void own_memory_does_not_keep_the_context(void **state) {
    (void)state;
    struct books books;
    struct mem_hooks hooks = books_open(&books);
    struct own own = {.mem = mem_create_kind(&hooks, true)};
    own.block = mem_own_alloc(own.mem, 500);
    assert_int_equal(mem_live_bytes(own.mem), 0);
    mem_at_end(own.mem, free_own, &own);
    mem_close(own.mem);
    books_close(&books);
}

static void the_process_context_is_one(void **state) {
    (void)state;
    struct mem *mem = mem_process();
    assert_non_null(mem);
    assert_ptr_equal(mem_process(), mem);
    uint64_t live_bytes = mem_live_bytes(mem);
    void *block = mem_alloc(mem, NULL, 10);
    assert_int_equal(mem_live_bytes(mem), live_bytes + 16);
    mem_free(mem, NULL, block, 10);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { BLOCKS = 6000, RING = 64 };

/* Blocks that one thread allocates and another frees, through a ring under a lock. */
struct belt {
    struct mem *mem;
    struct lock lock; /* RANK_LOG: below the context's */
    struct signal signal;
    struct held ring[RING];
    uint32_t put_count;
    uint32_t taken_count;
};

static void put_blocks(void *context) {
    struct belt *belt = context;
    struct mem_cache *cache = mem_cache_create(belt->mem);
    uint32_t random = 3;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        struct held held = {.size_bytes = random_size(&random) % 2000, .fill = (unsigned char)i};
        held.block = mem_alloc(belt->mem, i % 5 == 0 ? NULL : cache, held.size_bytes);
        assert_non_null(held.block);
        memset(held.block, held.fill, held.size_bytes);
        lock_take(&belt->lock);
        while (belt->put_count - belt->taken_count == RING)
            (void)signal_wait(&belt->signal, &belt->lock, 0);
        belt->ring[belt->put_count++ % RING] = held;
        signal_wake_all(&belt->signal);
        lock_leave(&belt->lock);
    }
    mem_cache_destroy(cache);
}

static void take_blocks(void *context) {
    struct belt *belt = context;
    struct mem_cache *cache = mem_cache_create(belt->mem);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        lock_take(&belt->lock);
        while (belt->put_count == belt->taken_count)
            (void)signal_wait(&belt->signal, &belt->lock, 0);
        struct held held = belt->ring[belt->taken_count++ % RING];
        signal_wake_all(&belt->signal);
        lock_leave(&belt->lock);
        check_held(&held);
        mem_free(belt->mem, i % 7 == 0 ? NULL : cache, held.block, held.size_bytes);
        if (i % 1000 == 0) (void)mem_live_bytes(belt->mem);
    }
    mem_cache_destroy(cache);
}

/* Also: what is in the pool comes round again. 6,000 blocks of 1,000 bytes pass, and the pool
 * never holds more than a few slabs. */
static void blocks_cross_threads_and_come_round(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct books books;
        struct mem_hooks hooks = books_open(&books);
        static struct belt belt;
        memset(&belt, 0, sizeof belt);
        belt.mem = mem_create_kind(&hooks, kind == 1);
        lock_init(&belt.lock, RANK_LOG);
        signal_init(&belt.signal);
        struct env_thread *putter = env_thread_start("put", put_blocks, &belt);
        struct env_thread *taker = env_thread_start("take", take_blocks, &belt);
        assert_true(putter != NULL && taker != NULL);
        env_thread_join(putter);
        env_thread_join(taker);
        assert_int_equal(mem_live_bytes(belt.mem), 0);
        assert_true(books.most_bytes < 2 * 1024 * 1024);
        if (kind == 1) assert_true(books.calls < 100);
        signal_fini(&belt.signal);
        lock_fini(&belt.lock);
        mem_close(belt.mem);
        books_close(&books);
    }
}

struct last_block {
    struct mem *mem;
    void *block;
};

static void free_last(void *context) {
    struct last_block *last = context;
    mem_free(last->mem, NULL, last->block, 64);
}

/* Two threads give back what keeps a closed context: one of them, and only one, ends it. */
static void the_last_of_two_threads_ends_the_context(void **state) {
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct mem *mem = mem_create_kind(NULL, i % 2 == 0);
        int ends = 0;
        mem_at_end(mem, count_end, &ends);
        struct last_block last[2] = {{mem, mem_alloc(mem, NULL, 64)},
                                     {mem, mem_alloc(mem, NULL, 64)}};
        mem_close(mem);
        struct env_thread *thread = env_thread_start("free", free_last, &last[0]);
        assert_non_null(thread);
        free_last(&last[1]);
        env_thread_join(thread);
        assert_int_equal(ends, 1);
    }
}

/* ---- the zone of apply ----------------------------------------------------------------------- */

static void allocating_where_it_is_forbidden_aborts(void **state) {
    (void)state;
#if defined(KH_SLOW_CHECKS)
    struct mem *mem = mem_create(NULL);
    mem_forbid();
    mem_permit();
    void *block = mem_alloc(mem, NULL, 8);
    mem_forbid();
    mem_free(mem, NULL, block, 8); /* allowed */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(STDERR_FILENO);
        (void)mem_alloc(mem, NULL, 8);
        _exit(0);
    }
    mem_permit();
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    mem_close(mem);
#else
    skip();
#endif
}

/* ---- thrift ---------------------------------------------------------------------------------- */

/* Blocks of every size are carved from larger ones that lie idle: each is had (the books refuse
 * further slabs), aligned, and nobody else's; all of the idle ones are used, more or less. */
static void idle_blocks_serve_small_ones(void **state) {
    (void)state;
    enum { LARGE = 400, MOST = 20000 };
    struct books books;
    struct mem_hooks hooks = books_open(&books);
    struct mem *mem = mem_create_kind(&hooks, true);
    struct mem_cache *cache = mem_cache_create(mem);
    static unsigned char *blocks[MOST];
    static uint16_t sizes[MOST];
    size_t idle = 0;
    mem_be_thrifty(mem);
    for (size_t i = 0; i < LARGE; i++) {
        sizes[i] = (uint16_t)(392 + 8 * (i % 16) + 600 * (i % 5));
        blocks[i] = mem_alloc(mem, cache, sizes[i]);
        assert_non_null(blocks[i]);
        idle += sizes[i];
    }
    for (size_t i = 0; i < LARGE; i++) mem_free(mem, cache, blocks[i], sizes[i]);
    mem_cache_destroy(cache); /* what it keeps is idle, too */
    cache = mem_cache_create(mem);
    books.countdown = 0;
    size_t used = 0;
    size_t count = 0;
    for (; count < MOST; count++) {
        sizes[count] = (uint16_t)(8 + 8 * (count % 12));
        blocks[count] = mem_alloc(mem, cache, sizes[count]);
        if (blocks[count] == NULL) break;
        if (sizes[count] % 16 == 0) assert_int_equal((uintptr_t)blocks[count] % 16, 0);
        memset(blocks[count], (int)count, sizes[count]);
        used += sizes[count];
    }
    assert_true(used > idle / 2);
    assert_null(mem_alloc(mem, cache, sizes[count])); /* it is not luck */
    for (size_t i = 0; i < count; i++)
        for (size_t byte = 0; byte < sizes[i]; byte++)
            assert_int_equal(blocks[i][byte], (unsigned char)i);
    for (size_t i = 0; i < count; i++) mem_free(mem, cache, blocks[i], sizes[i]);
    mem_cache_destroy(cache);
    mem_close(mem);
    books_close(&books);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pooled_blocks_keep_their_contents),
        cmocka_unit_test(hooked_blocks_keep_their_contents),
        cmocka_unit_test(slabs_go_back_as_they_came),
        cmocka_unit_test(large_blocks_go_back_to_the_kernel),
        cmocka_unit_test(live_bytes_are_exact),
        cmocka_unit_test(zeroed_and_resized),
        cmocka_unit_test(without_memory_nothing_changes),
        cmocka_unit_test(a_context_lives_as_long_as_its_blocks),
        cmocka_unit_test(a_hold_is_as_good_as_a_block),
        cmocka_unit_test(own_memory_does_not_keep_the_context),
        cmocka_unit_test(the_process_context_is_one),
        cmocka_unit_test(blocks_cross_threads_and_come_round),
        cmocka_unit_test(the_last_of_two_threads_ends_the_context),
        cmocka_unit_test(allocating_where_it_is_forbidden_aborts),
        cmocka_unit_test(idle_blocks_serve_small_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
