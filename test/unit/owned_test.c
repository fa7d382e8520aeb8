/* owned_test.c - trees of our own buffers: one release frees all, whoever holds it. */
#include "batch/owned.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct ArrowArray tree(struct owned *owned) {
    struct ArrowArray root;
    assert_int_equal(owned_array(owned, &root, 1, 2, false, NULL), KH_OK);
    assert_int_equal(owned_array(owned, root.children[0], 2, 0, true, NULL), KH_OK);
    assert_int_equal(owned_array(owned, root.children[1], 3, 0, false, NULL), KH_OK);
    assert_int_equal(owned_array(owned, root.children[0]->dictionary, 2, 0, false, NULL), KH_OK);
    return root;
}

static void test_release_frees_all(void **state) {
    (void)state;
    struct home home;
    (void)home_open(&home);
    int64_t before = home.live_blocks;
    struct owned *owned = owned_create(home.batch.mem, NULL);
    struct ArrowArray root = tree(owned);
    for (size_t size = 1; size < 20000; size = size * 3 / 2 + 1) {
        uint8_t *block = owned_alloc(owned, size);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 16, 0);
        memset(block, 0xab, size);
        root.children[1]->buffers[1] = block;
    }
    bool is_released = true;
    owned_attach(owned, &root, &is_released);
    assert_false(is_released);
    assert_true(owned_is(&root));
    assert_false(owned_is(root.children[0]));
    struct ArrowArray moved = root;
    moved.children[0]->release(moved.children[0]);
    assert_null(moved.children[0]->release);
    moved.release(&moved);
    assert_null(moved.release);
    assert_true(is_released);
    assert_int_equal(home.live_blocks, before);
    home_close(&home);
}

static void test_a_small_tree_is_one_block(void **state) {
    (void)state;
    struct home home;
    (void)home_open(&home);
    uint64_t before = home.calls;
    struct owned *owned = owned_create(home.batch.mem, NULL);
    (void)tree(owned);
    for (int i = 0; i < 20; i++)
        assert_non_null(owned_alloc(owned, 64));
    assert_int_equal(home.calls, before + 1);
    owned_destroy(owned);
    owned_destroy(NULL);
    home_close(&home);
}

static void test_detached_trees_say_nothing(void **state) {
    (void)state;
    struct home home;
    (void)home_open(&home);
    struct owned *owned = owned_create(home.batch.mem, NULL);
    struct ArrowArray root = tree(owned);
    bool is_released;
    owned_attach(owned, &root, &is_released);
    owned_detach(owned);
    root.release(&root);
    assert_false(is_released);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t fail_at = 1; fail_at < 6; fail_at++) {
        struct home home;
        (void)home_open(&home);
        int64_t before = home.live_blocks;
        home.fail_at = home.calls + fail_at;
        struct owned *owned = owned_create(home.batch.mem, NULL);
        for (int i = 0; owned != NULL && i < 100; i++)
            (void)owned_alloc(owned, 8000);
        owned_destroy(owned);
        assert_int_equal(home.live_blocks, before);
        home_close(&home);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_release_frees_all),
        cmocka_unit_test(test_a_small_tree_is_one_block),
        cmocka_unit_test(test_detached_trees_say_nothing),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
