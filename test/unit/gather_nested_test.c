/* gather_nested_test.c - what the children of nested results look like: list views that share
 * elements, unions' children, run ends. Their values are gather_test.c's. */
#include "batch/adopted.h"
#include "batch/raw.h"
#include "support/rows_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static kh_batch *take(const kh_batch *batch, const int64_t *rows, int64_t count) {
    struct rows_context context = {.mem = mem_process()};
    kh_batch *result = NULL;
    kh_error error = {""};
    kh_status status = rows_take(&context, batch, rows, count, &result, &error);
    if (status != KH_OK)
        print_message("%s\n", error.message);
    assert_int_equal(status, KH_OK);
    return result;
}

static const struct ArrowArray *column_of(const kh_batch *batch) {
    assert_int_equal(batch->kind, BATCH_ADOPTED);
    return adopted_of(batch)->array.children[1];
}

static void test_list_views_do_not_grow(void **state) {
    static const char *const types[] = {"+vl[l]", "+vL[u]"};
    enum { ROWS = 50, TIMES = 20 };
    int64_t rows[ROWS * TIMES];
    (void)state;
    for (int64_t i = 0; i < ROWS * TIMES; i++)
        rows[i] = i % ROWS;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct foreign_random random = {6, false, true};
        kh_batch *batch = rows_kit_batch(NULL, NULL, types[i], NULL, ROWS, &random);
        int64_t elements = column_of(batch)->children[0]->length;
        kh_batch *result = take(batch, rows, ROWS * TIMES);
        assert_true(column_of(result)->children[0]->length <= elements);
        kh_batch *one = take(batch, rows, 1);
        assert_true(column_of(one)->children[0]->length <= elements);
        kh_batch_release(one);
        kh_batch_release(result);
        kh_batch_release(batch);
    }
}

/* What lies under a null is not proved to name anything: it is neither followed nor kept. */
static void test_null_list_views_are_not_followed(void **state) {
    int64_t rows[] = {1, 0};
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct foreign_random random = {seed, false, true};
        kh_batch *batch = rows_kit_batch(NULL, NULL, "+vl[l]", NULL, 30, &random);
        const struct ArrowArray *lists = column_of(batch);
        if (lists->buffers[0] != NULL && !raw_bit(lists->buffers[0], 1)) {
            raw_put_i32((void *)(uintptr_t)lists->buffers[1], 1, INT32_MAX);
            raw_put_i32((void *)(uintptr_t)lists->buffers[2], 1, INT32_MAX);
            kh_batch *result = take(batch, rows, 2);
            assert_int_equal(raw_i32(column_of(result)->buffers[2], 0), 0);
            kh_batch_release(result);
        }
        kh_batch_release(batch);
    }
}

/* Lists and dense unions leave behind the elements that no row has. */
static void test_children_shrink(void **state) {
    struct foreign_random random = {4, true, false};
    int64_t rows[] = {3, 7, 8};
    (void)state;
    kh_batch *batch = rows_kit_batch(NULL, NULL, "+ud:0,5,100[l;u;n]", NULL, 40, &random);
    kh_batch *result = take(batch, rows, 3);
    int64_t total = 0;
    for (int i = 0; i < 3; i++)
        total += column_of(result)->children[i]->length;
    assert_int_equal(total, 3);
    kh_batch_release(result);
    kh_batch_release(batch);
    batch = rows_kit_batch(NULL, NULL, "+l[l]", NULL, 40, &random);
    result = take(batch, rows, 3);
    const struct ArrowArray *list = column_of(result);
    assert_int_equal(list->children[0]->length, raw_i32(list->buffers[1], 3));
    kh_batch_release(result);
    kh_batch_release(batch);
}

static void test_run_ends(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct foreign_random random = {seed, seed & 1, false};
        kh_batch *batch = rows_kit_batch(NULL, NULL, "+r[!i;l]", NULL, 60, &random);
        int64_t rows[60];
        for (int64_t i = 0; i < 60; i++)
            rows[i] = i;
        kh_batch *result = take(batch, rows, 60);
        const struct ArrowArray *ends = column_of(result)->children[0];
        int64_t previous = 0;
        assert_true(ends->length <= column_of(batch)->children[0]->length);
        assert_int_equal(ends->length, column_of(result)->children[1]->length);
        for (int64_t i = 0; i < ends->length; i++) {
            assert_true(raw_i32(ends->buffers[1], i) > previous);
            previous = raw_i32(ends->buffers[1], i);
        }
        assert_int_equal(previous, 60);
        kh_batch_release(result);
        kh_batch_release(batch);
    }
}

static void test_find_run(void **state) {
    struct arena arena;
    struct column root;
    struct foreign_random random = {12, false, false};
    (void)state;
    arena_init(&arena, mem_process(), NULL);
    kh_batch *batch = rows_kit_batch(NULL, NULL, "+r[!s;l]", NULL, 90, &random);
    assert_int_equal(column_view(batch, &arena, &root, NULL), KH_OK);
    const struct column *column = &root.children[1];
    const struct column *ends = &column->children[0];
    for (int64_t row = 0; row < 90; row++) {
        int64_t run = 0;
        while (raw_integer(ends->values, ends->offset + run, 16, true) <= row)
            run++;
        assert_int_equal(gather_find_run(column, row), run);
    }
    kh_batch_release(batch);
    arena_fini(&arena);
}

/* Type ids and run ends that a batch imported without full validation may have. */
static void test_malformed(void **state) {
    struct foreign_random random = {3, false, false};
    struct rows_context context = {.mem = mem_process()};
    int64_t rows[] = {0, 5};
    kh_batch *result = NULL;
    (void)state;
    kh_batch *batch = rows_kit_batch(NULL, NULL, "+ud:0,5,100[l;u;n]", NULL, 6, &random);
    ((int8_t *)(uintptr_t)column_of(batch)->buffers[0])[5] = 7;
    assert_int_equal(rows_take(&context, batch, rows, 2, &result, NULL), KH_INVALID_DATA);
    ((int8_t *)(uintptr_t)column_of(batch)->buffers[0])[5] = -1;
    assert_int_equal(rows_take(&context, batch, rows, 2, &result, NULL), KH_INVALID_DATA);
    kh_batch_release(batch);
    batch = rows_kit_batch(NULL, NULL, "+r[!i;l]", NULL, 6, &random);
    const struct ArrowArray *ends = column_of(batch)->children[0];
    raw_put_i32((void *)(uintptr_t)ends->buffers[1], ends->length - 1, 1);
    assert_int_equal(rows_take(&context, batch, rows, 2, &result, NULL), KH_INVALID_DATA);
    kh_batch_release(batch);
    batch = rows_kit_batch(NULL, NULL, "C{u}", NULL, 6, &random);
    ((uint8_t *)(uintptr_t)column_of(batch)->buffers[1])[5] = 255;
    assert_int_equal(rows_take(&context, batch, rows, 2, &result, NULL), KH_OK);
    kh_batch *other = rows_kit_batch(NULL, NULL, "C{u}", NULL, 6, &random);
    kh_batch *both = NULL;
    assert_int_equal(rows_concat(&context, other, batch, &both, NULL), KH_INVALID_DATA);
    assert_null(both);
    kh_batch_release(other);
    kh_batch_release(result);
    kh_batch_release(batch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_views_do_not_grow),
        cmocka_unit_test(test_null_list_views_are_not_followed),
        cmocka_unit_test(test_children_shrink),
        cmocka_unit_test(test_run_ends),
        cmocka_unit_test(test_find_run),
        cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
