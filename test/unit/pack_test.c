/* pack_test.c - many columns at once through both ways into one block: values, zeros behind the
 * last row, null slots of views, and bytes of one column beside another's. */
#include "batch/pack.h"
#include "batch/plan.h"
#include "support/foreign.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const columns[] = {
    "a=u", "b=l",   "c=U",   "d=c", "e=vu",  "f=b",      "g=z",  "h=s",   "i=vz", "j=w:3",
    "k=Z", "l=w:9", "m=tin", "n=i", "o=w:0", "p=d:38,0", "q=!u", "r=!vz", "s=n",  "t=w:17"};
enum { COLUMNS = 20, ROW_COLUMNS = 14 };
/* Those that the short way takes. */
static const char *const row_columns[] = {"a=u",   "b=l", "c=U",   "d=c",     "f=b",
                                          "g=z",   "h=s", "j=w:3", "k=Z",     "l=w:9",
                                          "m=tin", "n=i", "o=w:0", "p=w:16"};

static kh_batch *import_columns(kh_db *db, const char *const *names, int64_t count, int64_t rows,
                                struct foreign_random random) {
    struct foreign_random again = random;
    struct ArrowSchema arrow;
    struct ArrowSchema copy;
    struct ArrowArray array;
    struct ArrowArray twin;
    struct ArrowArray out;
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    foreign_columns(&arrow, names, count);
    foreign_columns(&copy, names, count);
    foreign_fill(&random, &arrow, rows, &array);
    foreign_fill(&again, &arrow, rows, &twin);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
    kh_schema_release(schema);
    assert_int_equal(kh_batch_export(batch, &out, NULL, NULL), KH_OK);
    assert_true(foreign_equal(&copy, &out, &twin));
    out.release(&out);
    twin.release(&twin);
    copy.release(&copy);
    return batch;
}

/* The end of each slot behind its last element. */
static void check_padding(const kh_batch *batch) {
    const struct plan *plan = plan_of(batch->schema);
    uint64_t rows = batch->row_count;
    for (uint32_t i = 0; i < plan->column_count; i++) {
        const struct plan_column *column = &plan->columns[i];
        const uint8_t *slot = packed_slot(batch, plan, i);
        uint64_t used = rows * column->width;
        if (column->kind == PLAN_BOOL) used = (rows + 7) / 8;
        if (column->kind == PLAN_VAR32 || column->kind == PLAN_VAR64)
            used = (rows + 1) * column->width;
        for (; used < plan_slot_bytes(column, rows); used++) assert_int_equal(slot[used], 0);
        if (column->kind == PLAN_BOOL)
            for (uint64_t row = rows; row % 8 != 0; row++)
                assert_false(raw_bit(slot, (int64_t)row));
        const uint8_t *validity = packed_validity(batch, plan, i);
        for (uint64_t row = rows; validity != NULL && row % 64 != 0; row++)
            assert_false(raw_bit(validity, (int64_t)row));
        if (column->kind != PLAN_VIEW || validity == NULL) continue;
        for (uint64_t row = 0; row < rows; row++) {
            static const uint8_t zeros[16];
            if (!raw_bit(validity, (int64_t)row)) assert_memory_equal(slot + row * 16, zeros, 16);
        }
    }
}

static void test_many_columns(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (int way = 0; way < 4; way++) {
        for (int64_t rows = 0; rows < 10; rows++) {
            struct foreign_random random = {(uint64_t)rows, way & 1, way & 2};
            kh_batch *batch = import_columns(db, columns, COLUMNS, rows, random);
            assert_int_equal(batch->kind, BATCH_PACKED);
            check_padding(batch);
            kh_batch_release(batch);
        }
        struct foreign_random random = {77, way & 1, way & 2};
        kh_batch *batch = import_columns(db, columns, COLUMNS, 3000, random);
        assert_int_equal(batch->kind, BATCH_ADOPTED);
        kh_batch_release(batch);
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

static void test_one_row_the_short_way(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct foreign_random random = {seed, false, false};
        kh_batch *batch = import_columns(db, row_columns, ROW_COLUMNS, 1, random);
        assert_true(plan_of(batch->schema)->is_row);
        check_padding(batch);
        kh_batch_release(batch);
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

/* What a null view's slot held is not kept: it may point anywhere. */
static void test_null_views_are_cleared(void **state) {
    static const char *const view[] = {"v=vz"};
    static uint8_t no_bits[8];
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    struct foreign_random random = {5, false, false};
    struct ArrowSchema arrow;
    struct ArrowArray array;
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    foreign_columns(&arrow, view, 1);
    foreign_fill(&random, &arrow, 6, &array);
    foreign_borrow(array.children[0], 0, no_bits);
    array.children[0]->null_count = 6;
    memset((void *)(uintptr_t)array.children[0]->buffers[1], 0x7E, 6 * 16);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
    check_padding(batch);
    int64_t heap_bytes;
    (void)packed_heap(batch, plan_of(schema), &heap_bytes);
    assert_int_equal(heap_bytes, 0);
    kh_batch_release(batch);
    kh_schema_release(schema);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_columns),
        cmocka_unit_test(test_one_row_the_short_way),
        cmocka_unit_test(test_null_views_are_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
