/* rows_test.c - what the row operations share: contexts other than the inputs', checked ids. */
#include "batch/rows.h"
#include "support/rows_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Batches made without a database go into the context of one, with its schema. */
static void test_inputs_of_another_context(void **state) {
    static const char *const types[] = {"l", "u", "+l[u]", "i{u}"};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        for (int64_t rows = 2; rows < 400; rows += 300) {
            struct home home;
            kh_db *db = home_open(&home);
            int64_t picks[] = {1, 0};
            struct foreign_random random = {i, true, true};
            struct rows_context context = {.mem = home.batch.mem, .schemas = home.batch.schemas};
            kh_batch *foreign = rows_kit_batch(NULL, NULL, types[i], NULL, rows, &random);
            kh_batch *own = rows_kit_batch(db, NULL, types[i], NULL, rows, &random);
            kh_batch *result = NULL;
            assert_int_equal(rows_take(&context, foreign, picks, 2, &result, NULL), KH_OK);
            assert_ptr_equal(batch_mem(result), home.batch.mem);
            assert_ptr_equal(kh_batch_schema(result), kh_batch_schema(own));
            struct rows_origin origins[] = {{foreign, 1, foreign, 1}, {foreign, 0, foreign, 0}};
            assert_true(rows_kit_matches(result, origins, 2));
            kh_batch_release(result);
            assert_int_equal(rows_slice(&context, foreign, 0, rows - 1, &result, NULL), KH_OK);
            assert_ptr_equal(batch_mem(result), home.batch.mem);
            kh_batch_release(result);
            assert_int_equal(rows_concat(&context, own, foreign, &result, NULL), KH_OK);
            assert_ptr_equal(batch_mem(result), home.batch.mem);
            assert_int_equal(kh_batch_row_count(result), 2 * rows);
            kh_batch_release(result);
            kh_batch_release(own);
            kh_batch_release(foreign);
            home_close(&home);
            assert_int_equal(home.live_blocks, 0);
        }
    }
    assert_int_equal(foreign_live, 0);
}

static kh_status check(const int64_t *ids, int64_t count, const char *name) {
    struct rows_context context = {.mem = mem_process(), .id_column = name};
    kh_batch *batch = rows_kit_ids(NULL, ids, count);
    kh_error error = {""};
    kh_status status = rows_check_ids(&context, batch, &error);
    assert_int_equal(status == KH_OK, error.message[0] == '\0');
    kh_batch_release(batch);
    return status;
}

static void test_check_ids(void **state) {
    int64_t rising[] = {1, 2, 3};
    int64_t mixed[] = {3, 1, 2};
    int64_t twice[] = {3, 1, 3};
    (void)state;
    assert_int_equal(check(rising, 3, NULL), KH_OK);
    assert_int_equal(check(mixed, 3, "id"), KH_OK);
    assert_int_equal(check(NULL, 0, NULL), KH_OK);
    assert_int_equal(check(twice, 3, NULL), KH_DUPLICATE_ID);
    assert_int_equal(check(rising, 3, "key"), KH_NO_ID_COLUMN);
}

/* With a cache of its own, nothing changes hands wrongly. */
static void test_with_a_cache(void **state) {
    int64_t ids[] = {1, 2, 3};
    int64_t more[] = {3, 4};
    (void)state;
    struct mem *mem = mem_create(NULL);
    struct mem_cache *cache = mem_cache_create(mem);
    struct schema_table *schemas = schema_table_create(mem);
    struct rows_context context = {mem, cache, schemas, NULL};
    kh_batch *base = rows_kit_ids(NULL, ids, 3);
    kh_batch *rows = rows_kit_ids(NULL, more, 2);
    for (int i = 0; i < 10; i++) {
        kh_batch *result = NULL;
        assert_int_equal(rows_upsert(&context, base, rows, &result, NULL), KH_OK);
        assert_int_equal(kh_batch_row_count(result), 4);
        assert_ptr_equal(batch_mem(result), mem);
        batch_release(result, cache);
    }
    kh_batch_release(base);
    kh_batch_release(rows);
    assert_int_equal(mem_live_bytes(mem), 0);
    /* A result outlives the cache that it was made with. */
    int64_t many[500];
    for (int64_t i = 0; i < 500; i++)
        many[i] = i;
    kh_batch *large = NULL;
    base = rows_kit_ids(NULL, many, 500);
    assert_int_equal(rows_delete(&context, base, base, &rows, NULL), KH_OK);
    kh_batch_release(rows);
    rows = rows_kit_ids(NULL, many, 1);
    assert_int_equal(rows_delete(&context, base, rows, &large, NULL), KH_OK);
    mem_cache_destroy(cache);
    assert_int_equal(kh_batch_row_count(large), 499);
    kh_batch_release(large);
    kh_batch_release(base);
    kh_batch_release(rows);
    assert_int_equal(mem_live_bytes(mem), 0);
    mem_close(mem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inputs_of_another_context),
        cmocka_unit_test(test_check_ids),
        cmocka_unit_test(test_with_a_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
