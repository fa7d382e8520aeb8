/* plan_test.c - what a plan says about a schema, and that every position in a packed batch is where
 * it must be: aligned, in order, not overlapping. */
#include "batch/plan.h"
#include "batch/schema_body.h"
#include "support/foreign.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static kh_schema *schema_of(kh_db *db, const char *const *columns, int64_t count) {
    struct ArrowSchema arrow;
    kh_schema *schema = NULL;
    foreign_columns(&arrow, columns, count);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    return schema;
}

static void test_which_schemas_are_flat(void **state) {
    static const struct {
        const char *column;
        bool is_flat;
        bool is_row;
    } cases[] = {
        {"a=l", true, true},
        {"a=u", true, true},
        {"a=Z", true, true},
        {"a=b", true, true},
        {"a=w:0", true, true},
        {"a=d:76,0,256", true, false}, /* its digits are counted */
        {"a=n", true, false},
        {"a=vu", true, false},
        {"a=w:512", true, true},
        {"a=w:513", true, false},
        {"a=w:1048576", true, false},
        {"a=w:1048577", false, false},
        {"a=w:268435455", false, false},
        {"a=+s[l]", false, false},
        {"a=i{u}", false, false},
        {"a=+l[l]", false, false},
        {"a=+us:0[l]", false, false},
        {"a=+r[!i;l]", false, false},
    };
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kh_schema *schema = schema_of(db, &cases[i].column, 1);
        assert_true(plan_of(schema)->is_flat == cases[i].is_flat);
        assert_true(plan_of(schema)->is_row == cases[i].is_row);
        kh_schema_release(schema);
    }
    const char *many[17];
    for (int i = 0; i < 17; i++) many[i] = "a=u";
    kh_schema *schema = schema_of(db, many, 16);
    assert_true(plan_of(schema)->is_row);
    kh_schema_release(schema);
    schema = schema_of(db, many, 17);
    assert_true(plan_of(schema)->is_flat && !plan_of(schema)->is_row);
    kh_schema_release(schema);
    home_close(&home);
}

static const char *const columns[] = {"a=c",  "b=b", "c=u",   "d=U",  "e=w:3", "f=d:38,0",
                                      "g=vu", "h=n", "i=w:0", "j=!s", "k=z",   "l=tin"};
static const uint64_t widths[] = {1, 0, 4, 8, 3, 16, 16, 0, 0, 2, 4, 16};
enum { COLUMNS = 12 };

static void test_slots_lie_in_order(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    kh_schema *schema = schema_of(db, columns, COLUMNS);
    const struct plan *plan = plan_of(schema);
    for (uint64_t rows = 0; rows < 200; rows++) {
        uint64_t at = 0;
        for (uint32_t i = 0; i < COLUMNS; i++) {
            uint64_t needed = rows * widths[i];
            if (i == 1) needed = (rows + 7) / 8;
            if (i == 2 || i == 10) needed = (rows + 1) * 4;
            if (i == 3) needed = (rows + 1) * 8;
            assert_int_equal(plan_slot_at(plan, i, rows), at);
            assert_int_equal(plan_slot_at_slow(plan, i, rows), at);
            assert_true(plan_slot_bytes(&plan->columns[i], rows) >= needed);
            assert_true(plan_slot_bytes(&plan->columns[i], rows) < needed + 8);
            at += plan_slot_bytes(&plan->columns[i], rows);
            assert_int_equal(at % 8, 0);
        }
        assert_int_equal(plan_slot_at(plan, COLUMNS, rows), at);
    }
    kh_schema_release(schema);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

enum { MANY = 130, NULL_COLUMN = 3 };

/* Column i of row: a null, a number or "abc". */
static kh_scalar cell(int64_t row, int i) {
    if ((i % 7 == 0 && (row + i) % 3 == 0) || i == NULL_COLUMN)
        return (kh_scalar){.kind = KH_SCALAR_NULL};
    if (i % 2) return (kh_scalar){.kind = KH_SCALAR_INT64, .as.int64 = row * 1000 + i};
    return (kh_scalar){.kind = KH_SCALAR_BYTES, .as.bytes = {"abc", 3}};
}

static void check_column(const kh_batch *batch, int i) {
    const uint8_t *validity = packed_validity(batch, plan_of(batch->schema), (uint32_t)i);
    bool has_nulls = false;
    assert_int_equal((uintptr_t)validity % 8, 0);
    for (int64_t row = 0; row < batch->row_count; row++) {
        int64_t value;
        bool is_null = cell(row, i).kind == KH_SCALAR_NULL;
        has_nulls |= is_null;
        if (validity != NULL) assert_true(raw_bit(validity, row) == !is_null);
        if (i % 2 == 0) continue;
        assert_int_equal(kh_batch_int64(batch, i, row, &value), is_null ? KH_NOT_FOUND : KH_OK);
        if (!is_null) assert_int_equal(value, row * 1000 + i);
    }
    assert_true((validity != NULL) == (has_nulls && i != NULL_COLUMN));
}

/* Bitmaps of just the columns with nulls, found by the mask; also beyond 64 columns. */
static void test_bitmaps_are_found(void **state) {
    const char *names[MANY];
    const char *formats[MANY];
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    kh_schema *schema = NULL;
    for (int i = 0; i < MANY; i++) {
        names[i] = "x";
        formats[i] = i == NULL_COLUMN ? "n" : i % 2 ? "l" : "u";
    }
    assert_int_equal(kh_schema_build(db, names, formats, MANY, &schema, NULL), KH_OK);
    for (int64_t rows = 1; rows < 140; rows += 63) {
        kh_batch *batch = NULL;
        int64_t heap_bytes;
        int64_t text_count = 0;
        kh_scalar *scalars = calloc((size_t)rows * MANY, sizeof *scalars);
        for (int64_t k = 0; k < rows * MANY; k++) {
            scalars[k] = cell(k / MANY, (int)(k % MANY));
            text_count += scalars[k].kind == KH_SCALAR_BYTES;
        }
        assert_int_equal(kh_batch_build(db, schema, scalars, rows, &batch, NULL), KH_OK);
        free(scalars);
        for (int i = 0; i < MANY; i++) check_column(batch, i);
        const uint8_t *heap = packed_heap(batch, plan_of(schema), &heap_bytes);
        assert_int_equal((uintptr_t)heap % 8, 0);
        assert_int_equal(heap_bytes, 3 * text_count);
        kh_batch_release(batch);
    }
    kh_schema_release(schema);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_schemas_are_flat),
        cmocka_unit_test(test_slots_lie_in_order),
        cmocka_unit_test(test_bitmaps_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
