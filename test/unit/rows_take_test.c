/* rows_take_test.c - take, slice and concat: rows, errors, and what is shared. */
#include "batch/adopted.h"
#include "batch/rows.h"
#include "support/rows_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 400 };

static struct rows_origin *in_order(const kh_batch *batch, int64_t first, int64_t count) {
    static struct rows_origin origins[2 * ROWS];
    for (int64_t i = 0; i < count; i++)
        origins[i] = (struct rows_origin){batch, first + i, batch, first + i};
    return origins;
}

static void test_take(void **state) {
    struct foreign_random random = {1, true, true};
    int64_t rows[] = {5, 5, 0, 9, 8, 7};
    int64_t wrong[] = {0, 10};
    int64_t negative[] = {-1};
    struct rows_origin origins[6];
    kh_batch *result = NULL;
    kh_error error = {""};
    (void)state;
    kh_batch *batch = rows_kit_batch(NULL, NULL, "u", NULL, 10, &random);
    for (int i = 0; i < 6; i++)
        origins[i] = (struct rows_origin){batch, rows[i], batch, rows[i]};
    assert_int_equal(kh_batch_take(batch, rows, 6, &result, &error), KH_OK);
    assert_true(rows_kit_matches(result, origins, 6));
    kh_batch_release(result);
    assert_int_equal(kh_batch_take(batch, NULL, 0, &result, &error), KH_OK);
    assert_int_equal(kh_batch_row_count(result), 0);
    kh_batch_release(result);
    assert_string_equal(error.message, "");
    result = NULL;
    assert_int_equal(kh_batch_take(batch, wrong, 2, &result, &error), KH_INVALID);
    assert_string_equal(error.message, "row index 10 is not in [0, 10)");
    assert_int_equal(kh_batch_take(batch, negative, 1, &result, NULL), KH_INVALID);
    assert_null(result);
    kh_batch_release(batch);
}

/* What the slice keeps alive: the foreign structs of its parent, or nothing. */
static void slice_once(const char *type, int64_t first, int64_t count, bool is_shared) {
    struct foreign_random random = {2, false, true};
    kh_batch *batch = rows_kit_batch(NULL, NULL, type, NULL, ROWS, &random);
    kh_batch *twin = rows_kit_batch(NULL, NULL, type, NULL, ROWS,
                                    &(struct foreign_random){2, false, true});
    kh_batch *result = NULL;
    kh_error error = {""};
    assert_int_equal(batch->kind, BATCH_ADOPTED);
    int live = foreign_live;
    assert_int_equal(kh_batch_slice(batch, first, count, &result, &error), KH_OK);
    kh_batch_release(batch);
    assert_int_equal(foreign_live == live, is_shared);
    assert_true(rows_kit_matches(result, in_order(twin, first, count), count));
    if (is_shared && count < ROWS) {
        kh_batch *again = NULL;
        assert_int_equal(kh_batch_slice(result, 1, count - 2, &again, &error), KH_OK);
        kh_batch_release(result);
        assert_true(foreign_live < live);
        assert_true(rows_kit_matches(again, in_order(twin, first + 1, count - 2), count - 2));
        result = again;
    }
    kh_batch_release(result);
    kh_batch_release(twin);
    assert_int_equal(foreign_live, 0);
}

static void test_slice(void **state) {
    static const char *const types[] = {"l", "u", "vu", "+l[u]", "+r[!i;u]", "i{u}",
                                        "+us:3,7[l;u]"};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        bool is_nested = types[i][0] == '+' || strchr(types[i], '{') != NULL;
        slice_once(types[i], 0, ROWS, true);
        slice_once(types[i], 3, ROWS / 4, false);
        slice_once(types[i], 3, 0, false);
        if (is_nested)
            slice_once(types[i], 3, ROWS - ROWS / 8, true);
    }
}

static void test_slice_errors(void **state) {
    static const int64_t wrong[][2] = {{-1, 1}, {0, 4}, {4, 0}, {1, -1}, {1, INT64_MAX}};
    int64_t ids[] = {1, 2, 3};
    kh_batch *result = NULL;
    (void)state;
    kh_batch *batch = rows_kit_ids(NULL, ids, 3);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        kh_error error = {""};
        assert_int_equal(kh_batch_slice(batch, wrong[i][0], wrong[i][1], &result, &error),
                         KH_INVALID);
        assert_null(result);
        assert_true(error.message[0] != '\0');
    }
    assert_int_equal(kh_batch_slice(batch, 0, 3, &result, NULL), KH_OK);
    assert_ptr_equal(result, batch);
    kh_batch_release(result);
    kh_batch_release(batch);
}

static void test_concat(void **state) {
    int64_t ids[] = {1, 2, 3};
    kh_batch *result = NULL;
    struct rows_origin origins[5];
    (void)state;
    kh_batch *a = rows_kit_ids(NULL, ids, 3);
    kh_batch *b = rows_kit_ids(NULL, ids, 2);
    kh_batch *none = rows_kit_ids(NULL, NULL, 0);
    struct foreign_random random = {1, false, false};
    kh_batch *other = rows_kit_batch(NULL, NULL, "l", NULL, 1, &random);
    for (int i = 0; i < 5; i++)
        origins[i] = (struct rows_origin){i < 3 ? a : b, i % 3, a, 0};
    assert_int_equal(kh_batch_concat(a, b, &result, NULL), KH_OK);
    assert_true(rows_kit_matches(result, origins, 5));
    kh_batch_release(result);
    assert_int_equal(kh_batch_concat(NULL, b, &result, NULL), KH_OK);
    assert_ptr_equal(result, b);
    kh_batch_release(result);
    assert_int_equal(kh_batch_concat(a, none, &result, NULL), KH_OK);
    assert_ptr_equal(result, a);
    kh_batch_release(result);
    assert_int_equal(kh_batch_concat(none, b, &result, NULL), KH_OK);
    assert_ptr_equal(result, b);
    kh_batch_release(result);
    result = NULL;
    assert_int_equal(kh_batch_concat(a, other, &result, NULL), KH_SCHEMA_MISMATCH);
    assert_int_equal(kh_batch_concat(none, other, &result, NULL), KH_SCHEMA_MISMATCH);
    assert_null(result);
    kh_batch_release(a);
    kh_batch_release(b);
    kh_batch_release(none);
    kh_batch_release(other);
}

/* Columns of the null type take no memory, so that the limit on rows can be reached. */
static void test_too_many_rows(void **state) {
    static const char *const columns[] = {"c=n"};
    struct ArrowSchema arrow;
    struct ArrowArray array;
    kh_schema *schema = NULL;
    kh_batch *half = NULL;
    kh_batch *whole = NULL;
    kh_error error = {""};
    (void)state;
    foreign_columns(&arrow, columns, 1);
    foreign_array(&array, INT64_C(1) << 30, 1, 1, false);
    foreign_array(array.children[0], INT64_C(1) << 30, 0, 0, false);
    array.children[0]->null_count = INT64_C(1) << 30;
    assert_int_equal(kh_schema_import(NULL, &arrow, &schema, NULL), KH_OK);
    assert_int_equal(kh_batch_import(NULL, schema, &array, KH_VALIDATE_FULL, &half, NULL), KH_OK);
    assert_int_equal(kh_batch_concat(half, half, &whole, &error), KH_TOO_BIG);
    assert_null(whole);
    assert_string_equal(error.message, "2147483648 rows are beyond the limit of a batch");
    kh_schema_release(schema);
    kh_batch_release(half);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_slice),
        cmocka_unit_test(test_slice_errors),
        cmocka_unit_test(test_concat),
        cmocka_unit_test(test_too_many_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
