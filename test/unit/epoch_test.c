/* Epochs: what is retired is freed, and not while a section that could reach it is open. */
#include "base/epoch.h"

#include "base/env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct block {
    struct epoch_entry limbo;
    _Atomic uint32_t *freed_count;
    struct mem_cache *expected_cache;
    bool is_freed;
};

static void free_block(struct epoch_entry *entry, struct mem_cache *cache) {
    struct block *block = (struct block *)(void *)((char *)entry - offsetof(struct block, limbo));
    assert_false(block->is_freed);
    assert_ptr_equal(cache, block->expected_cache);
    block->is_freed = true;
    atomic_fetch_add_explicit(block->freed_count, 1, memory_order_relaxed);
}

enum { BLOCKS = 20 };

struct fixture {
    struct epoch epoch;
    struct epoch_record writer;
    struct epoch_record reader;
    _Atomic uint32_t freed_count;
    struct block blocks[BLOCKS];
};

static struct fixture *begin(void) {
    struct fixture *f = aligned_alloc(64, (sizeof *f + 63) / 64 * 64);
    assert_non_null(f);
    memset(f, 0, sizeof *f);
    epoch_init(&f->epoch);
    epoch_register(&f->epoch, &f->writer);
    epoch_register(&f->epoch, &f->reader);
    for (int i = 0; i < BLOCKS; i++) f->blocks[i].freed_count = &f->freed_count;
    return f;
}

static void retire(struct fixture *f, struct block *block) {
    epoch_retire(&f->epoch, &f->writer, &block->limbo, free_block);
}

static void nothing_open_nothing_waits(void **state) {
    (void)state;
    struct fixture *f = begin();
    assert_false(epoch_poll(&f->epoch, &f->writer, NULL));
    for (int i = 0; i < BLOCKS; i++) retire(f, &f->blocks[i]);
    assert_int_equal(f->freed_count, 0); /* not in retire */
    assert_false(epoch_poll(&f->epoch, &f->writer, NULL));
    assert_int_equal(f->freed_count, BLOCKS);
    for (int i = 0; i < EPOCH_BUNDLES; i++) assert_null(f->writer.bundles[i].first); /* for reuse */
    epoch_unregister(&f->epoch, &f->writer, NULL);
    epoch_unregister(&f->epoch, &f->reader, NULL);
    free(f);
}

/* One record's retired blocks go with another's, and only once. */
static void what_was_retired_is_adopted(void **state) {
    (void)state;
    struct fixture *f = begin();
    epoch_adopt(&f->reader, &f->writer); /* nothing */
    assert_int_equal(f->reader.retired_count, 0);
    for (int i = 0; i < BLOCKS / 2; i++) retire(f, &f->blocks[i]);
    for (int i = BLOCKS / 2; i < BLOCKS; i++)
        epoch_retire(&f->epoch, &f->reader, &f->blocks[i].limbo, free_block);
    f->writer.is_urgent = true;
    epoch_adopt(&f->reader, &f->writer);
    assert_int_equal(f->writer.retired_count, 0);
    assert_int_equal(f->reader.retired_count, BLOCKS);
    assert_true(f->reader.is_urgent && !f->writer.is_urgent);
    assert_false(epoch_poll(&f->epoch, &f->writer, NULL));
    assert_int_equal(f->freed_count, 0);
    assert_false(epoch_poll(&f->epoch, &f->reader, NULL));
    assert_int_equal(f->freed_count, BLOCKS);
    epoch_unregister(&f->epoch, &f->writer, NULL);
    epoch_unregister(&f->epoch, &f->reader, NULL);
    free(f);
}

static void an_open_section_keeps_what_it_may_see(void **state) {
    (void)state;
    struct fixture *f = begin();
    epoch_open(&f->epoch, &f->reader);
    retire(f, &f->blocks[0]);
    for (int i = 0; i < 10; i++) {
        assert_true(epoch_poll(&f->epoch, &f->writer, NULL));
        retire(f, &f->blocks[1 + i]);
    }
    assert_int_equal(f->freed_count, 0);
    epoch_close(&f->epoch, &f->reader);
    while (epoch_poll(&f->epoch, &f->writer, NULL)) {
    }
    assert_int_equal(f->freed_count, 11);
    epoch_unregister(&f->epoch, &f->writer, NULL);
    epoch_unregister(&f->epoch, &f->reader, NULL);
    free(f);
}

/* Sections that come and go, one always open, do not keep blocks for ever. */
static void overlapping_sections_let_go(void **state) {
    (void)state;
    struct fixture *f = begin();
    struct epoch_record *second = aligned_alloc(64, (sizeof *second + 63) / 64 * 64);
    assert_non_null(second);
    epoch_register(&f->epoch, second);
    epoch_open(&f->epoch, &f->reader);
    retire(f, &f->blocks[0]);
    for (int i = 0; i < 8 && f->freed_count == 0; i++) {
        epoch_open(&f->epoch, i % 2 == 0 ? second : &f->reader);
        epoch_close(&f->epoch, i % 2 == 0 ? &f->reader : second);
        (void)epoch_poll(&f->epoch, &f->writer, NULL);
        assert_true(i > 0 || f->freed_count == 0 || !f->reader.ck.active);
    }
    assert_int_equal(f->freed_count, 1);
    if (f->reader.ck.active) epoch_close(&f->epoch, &f->reader);
    if (second->ck.active) epoch_close(&f->epoch, second);
    epoch_unregister(&f->epoch, second, NULL);
    epoch_unregister(&f->epoch, &f->writer, NULL);
    epoch_unregister(&f->epoch, &f->reader, NULL);
    free(second);
    free(f);
}

static void sections_nest(void **state) {
    (void)state;
    struct fixture *f = begin();
    epoch_open(&f->epoch, &f->reader);
    epoch_open(&f->epoch, &f->reader);
    retire(f, &f->blocks[0]);
    epoch_close(&f->epoch, &f->reader);
    for (int i = 0; i < 5; i++) assert_true(epoch_poll(&f->epoch, &f->writer, NULL));
    epoch_close(&f->epoch, &f->reader);
    while (epoch_poll(&f->epoch, &f->writer, NULL)) {
    }
    assert_int_equal(f->freed_count, 1);
    epoch_unregister(&f->epoch, &f->writer, NULL);
    epoch_unregister(&f->epoch, &f->reader, NULL);
    free(f);
}

/* Inside of its own section a writer may retire and poll; what it may still see stays. */
static void a_writer_retires_in_its_section(void **state) {
    (void)state;
    struct fixture *f = begin();
    epoch_open(&f->epoch, &f->writer);
    retire(f, &f->blocks[0]);
    for (int i = 0; i < 5; i++) assert_true(epoch_poll(&f->epoch, &f->writer, NULL));
    assert_int_equal(f->freed_count, 0);
    epoch_close(&f->epoch, &f->writer);
    while (epoch_poll(&f->epoch, &f->writer, NULL)) {
    }
    assert_int_equal(f->freed_count, 1);
    epoch_unregister(&f->epoch, &f->writer, NULL);
    epoch_unregister(&f->epoch, &f->reader, NULL);
    free(f);
}

static void drain_and_unregister_run_all(void **state) {
    (void)state;
    struct fixture *f = begin();
    struct mem *mem = mem_create(NULL);
    struct mem_cache *cache = mem_cache_create(mem);
    for (int i = 0; i < BLOCKS; i++) f->blocks[i].expected_cache = cache;
    epoch_drain(&f->epoch, &f->writer, cache);
    for (int i = 0; i < BLOCKS / 2; i++) retire(f, &f->blocks[i]);
    epoch_drain(&f->epoch, &f->writer, cache);
    assert_int_equal(f->freed_count, BLOCKS / 2);
    epoch_open(&f->epoch, &f->reader);
    for (int i = BLOCKS / 2; i < BLOCKS; i++) retire(f, &f->blocks[i]);
    (void)epoch_poll(&f->epoch, &f->writer, cache);
    epoch_close(&f->epoch, &f->reader);
    epoch_unregister(&f->epoch, &f->writer, cache);
    assert_int_equal(f->freed_count, BLOCKS);
    epoch_unregister(&f->epoch, &f->reader, cache);
    mem_cache_destroy(cache);
    mem_close(mem);
    free(f);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { READERS = 2, WRITERS = 2, SWAPS = 10000, CANARY = 0x5ca1ab1e };

/* A cell that writers replace and readers look at: each block has two numbers that agree. */
struct node {
    struct epoch_entry limbo;
    uint64_t number;
    uint64_t check; /* number ^ CANARY while the node lives */
};

struct cell {
    struct epoch epoch;
    _Atomic(struct node *) node;
    _Atomic uint32_t writers_left;
    _Atomic int64_t live_count;
};

static void free_node(struct epoch_entry *entry, struct mem_cache *cache) {
    (void)cache;
    struct node *node = (struct node *)(void *)((char *)entry - offsetof(struct node, limbo));
    node->check = 0;
    free(node);
}

static struct node *make_node(uint64_t number) {
    struct node *node = malloc(sizeof *node);
    assert_non_null(node);
    node->number = number;
    node->check = number ^ CANARY;
    return node;
}

static void swap_nodes(void *context) {
    struct cell *cell = context;
    struct epoch_record *record = aligned_alloc(64, (sizeof *record + 63) / 64 * 64);
    assert_non_null(record);
    epoch_register(&cell->epoch, record);
    for (uint64_t i = 0; i < SWAPS; i++) {
        struct node *node = make_node(i);
        if (i % 2 == 0) epoch_open(&cell->epoch, record);
        struct node *old = atomic_exchange_explicit(&cell->node, node, memory_order_acq_rel);
        epoch_retire(&cell->epoch, record, &old->limbo, free_node);
        if (i % 2 == 0) epoch_close(&cell->epoch, record);
        if (i % 3 == 0) (void)epoch_poll(&cell->epoch, record, NULL);
    }
    epoch_drain(&cell->epoch, record, NULL);
    assert_int_equal(record->retired_count, 0);
    atomic_fetch_sub_explicit(&cell->writers_left, 1, memory_order_release);
    /* The record stays with the epoch until every thread is done: the test leaks none of it. */
    epoch_unregister(&cell->epoch, record, NULL);
}

static void look_at_nodes(void *context) {
    struct cell *cell = context;
    struct epoch_record *record = aligned_alloc(64, (sizeof *record + 63) / 64 * 64);
    assert_non_null(record);
    epoch_register(&cell->epoch, record);
    while (atomic_load_explicit(&cell->writers_left, memory_order_acquire) > 0) {
        epoch_open(&cell->epoch, record);
        struct node *node = atomic_load_explicit(&cell->node, memory_order_acquire);
        for (int i = 0; i < 20; i++) assert_true((node->number ^ node->check) == CANARY);
        epoch_close(&cell->epoch, record);
    }
    epoch_unregister(&cell->epoch, record, NULL);
}

/* The records are in the epoch's list: freed with it. */
static void free_records(struct cell *cell) {
    ck_stack_entry_t *next = CK_STACK_FIRST(&cell->epoch.ck.records);
    while (next != NULL) {
        struct epoch_record *record =
            (struct epoch_record *)(void *)((char *)next - offsetof(struct epoch_record, ck) -
                                            offsetof(ck_epoch_record_t, record_next));
        next = CK_STACK_NEXT(next);
        free(record);
    }
}

static void readers_never_meet_a_freed_node(void **state) {
    (void)state;
    static struct cell cell;
    memset(&cell, 0, sizeof cell);
    epoch_init(&cell.epoch);
    atomic_store_explicit(&cell.node, make_node(0), memory_order_relaxed);
    atomic_store_explicit(&cell.writers_left, WRITERS, memory_order_relaxed);
    struct env_thread *threads[READERS + WRITERS];
    for (int i = 0; i < READERS + WRITERS; i++) {
        threads[i] = env_thread_start("epoch", i < READERS ? look_at_nodes : swap_nodes, &cell);
        assert_non_null(threads[i]);
    }
    for (int i = 0; i < READERS + WRITERS; i++) env_thread_join(threads[i]);
    free(atomic_load_explicit(&cell.node, memory_order_relaxed));
    free_records(&cell);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_open_nothing_waits),
        cmocka_unit_test(what_was_retired_is_adopted),
        cmocka_unit_test(an_open_section_keeps_what_it_may_see),
        cmocka_unit_test(overlapping_sections_let_go),
        cmocka_unit_test(sections_nest),
        cmocka_unit_test(a_writer_retires_in_its_section),
        cmocka_unit_test(drain_and_unregister_run_all),
    };
    const struct CMUnitTest with_threads[] = {cmocka_unit_test(readers_never_meet_a_freed_node)};
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    /* Over an epoch that is broken threads might never end. */
    return failures != 0 ? failures : cmocka_run_group_tests(with_threads, NULL, NULL);
}
