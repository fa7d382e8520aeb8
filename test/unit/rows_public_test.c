/* rows_public_test.c - missing arguments, and which context results belong to. */
#include "support/rows_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef kh_status by_id(const kh_batch *base, const kh_batch *rows, const char *id_column,
                        kh_batch **out, kh_error *error);
static by_id *const operations[] = {kh_batch_insert_rows, kh_batch_upsert_rows,
                                    kh_batch_update_rows, kh_batch_delete_rows};

static void test_missing_arguments(void **state) {
    int64_t ids[] = {1};
    int64_t row = 0;
    kh_batch *out = NULL;
    (void)state;
    kh_batch *batch = rows_kit_ids(NULL, ids, 1);
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        kh_error error = {""};
        assert_int_equal(operations[i](batch, NULL, NULL, &out, &error), KH_INVALID);
        assert_true(error.message[0] != '\0');
        assert_int_equal(operations[i](batch, batch, NULL, NULL, NULL), KH_INVALID);
    }
    assert_int_equal(kh_batch_take(NULL, &row, 1, &out, NULL), KH_INVALID);
    assert_int_equal(kh_batch_take(batch, NULL, 1, &out, NULL), KH_INVALID);
    assert_int_equal(kh_batch_take(batch, &row, -1, &out, NULL), KH_INVALID);
    assert_int_equal(kh_batch_take(batch, &row, 1, NULL, NULL), KH_INVALID);
    assert_int_equal(kh_batch_slice(NULL, 0, 0, &out, NULL), KH_INVALID);
    assert_int_equal(kh_batch_slice(batch, 0, 0, NULL, NULL), KH_INVALID);
    assert_int_equal(kh_batch_concat(batch, NULL, &out, NULL), KH_INVALID);
    assert_int_equal(kh_batch_concat(batch, batch, NULL, NULL), KH_INVALID);
    assert_int_equal(kh_batch_merge(batch, NULL, batch, NULL, &out, NULL, NULL), KH_INVALID);
    assert_int_equal(kh_batch_merge(batch, batch, NULL, NULL, &out, NULL, NULL), KH_INVALID);
    assert_int_equal(kh_batch_merge(batch, batch, batch, NULL, NULL, NULL, NULL), KH_INVALID);
    assert_null(out);
    kh_batch_release(batch);
}

static void test_results_belong_where_the_base_does(void **state) {
    int64_t ids[] = {1, 2};
    int64_t other[] = {2, 3};
    struct home home;
    (void)state;
    kh_db *db = home_open(&home);
    kh_batch *base = rows_kit_ids(db, ids, 2);
    kh_batch *rows = rows_kit_ids(NULL, other, 2);
    kh_batch *result = NULL;
    assert_int_equal(kh_batch_upsert_rows(base, rows, NULL, &result, NULL), KH_OK);
    assert_ptr_equal(batch_mem(result), home.batch.mem);
    kh_batch_release(result);
    assert_int_equal(kh_batch_upsert_rows(rows, base, NULL, &result, NULL), KH_OK);
    assert_ptr_equal(batch_mem(result), mem_process());
    kh_batch_release(result);
    assert_int_equal(kh_batch_merge(NULL, rows, base, NULL, &result, NULL, NULL), KH_OK);
    assert_ptr_equal(batch_mem(result), home.batch.mem);
    kh_batch_release(base);
    home_close(&home);
    assert_true(home.live_blocks > 0);
    assert_int_equal(kh_batch_row_count(result), 3);
    kh_batch_release(result);
    kh_batch_release(rows);
    assert_int_equal(home.live_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_arguments),
        cmocka_unit_test(test_results_belong_where_the_base_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
