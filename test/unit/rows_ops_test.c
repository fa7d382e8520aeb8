/* rows_ops_test.c - insert, upsert, update and delete by hand-made ids, with a column of every
 * type. The matrix of id types is in test/python/rows_matrix_test.py. */
#include "batch/rows.h"
#include "support/rows_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int64_t base_ids[] = {10, 20, 30, 40, 50};
static const int64_t row_ids[] = {60, 40, 5, 20};

struct fixture {
    kh_batch *base;
    kh_batch *rows; /* 60 and 5 are new */
    kh_batch *result;
    kh_error error;
};

static struct fixture open_fixture(const char *type) {
    struct foreign_random random = {3, true, true};
    struct fixture fixture = {.result = NULL};
    fixture.base = rows_kit_batch(NULL, NULL, type, base_ids, 5, &random);
    fixture.rows = rows_kit_batch(NULL, NULL, type, row_ids, 4, &random);
    return fixture;
}

static void close_fixture(struct fixture *fixture) {
    kh_batch_release(fixture->base);
    kh_batch_release(fixture->rows);
    kh_batch_release(fixture->result);
}

/* Row `row` of rows if is_row, else of base. */
static struct rows_origin origin(const struct fixture *fixture, bool is_row, int64_t row) {
    const kh_batch *batch = is_row ? fixture->rows : fixture->base;
    return (struct rows_origin){batch, row, batch, row};
}

static void test_upsert(void **state) {
    (void)state;
    for (int type = 0; type < foreign_type_count; type++) {
        struct fixture f = open_fixture(foreign_types[type]);
        struct rows_origin wanted[] = {origin(&f, false, 0), origin(&f, true, 3),
                                       origin(&f, false, 2), origin(&f, true, 1),
                                       origin(&f, false, 4), origin(&f, true, 0),
                                       origin(&f, true, 2)};
        assert_int_equal(kh_batch_upsert_rows(f.base, f.rows, NULL, &f.result, &f.error), KH_OK);
        if (!rows_kit_matches(f.result, wanted, 7))
            fail_msg("%s", foreign_types[type]);
        close_fixture(&f);
    }
    assert_int_equal(foreign_live, 0);
}

static void test_insert(void **state) {
    int64_t fresh[] = {7, 60};
    (void)state;
    struct fixture f = open_fixture("+l[u]");
    struct foreign_random random = {5, true, true};
    kh_batch *more = rows_kit_batch(NULL, NULL, "+l[u]", fresh, 2, &random);
    assert_int_equal(kh_batch_insert_rows(f.base, f.rows, NULL, &f.result, &f.error),
                     KH_ROW_EXISTS);
    assert_string_equal(f.error.message, "row 1: id 40 is already there");
    assert_null(f.result);
    kh_batch *old = rows_kit_batch(NULL, NULL, "+l[u]", base_ids + 4, 1, &random);
    assert_int_equal(kh_batch_insert_rows(f.base, old, NULL, &f.result, &f.error), KH_ROW_EXISTS);
    assert_string_equal(f.error.message, "row 0: id 50 is already there");
    kh_batch_release(old);
    assert_int_equal(kh_batch_insert_rows(f.base, more, NULL, &f.result, NULL), KH_OK);
    struct rows_origin wanted[7];
    for (int i = 0; i < 5; i++)
        wanted[i] = origin(&f, false, i);
    for (int i = 0; i < 2; i++)
        wanted[5 + i] = (struct rows_origin){more, i, more, i};
    assert_true(rows_kit_matches(f.result, wanted, 7));
    kh_batch_release(more);
    close_fixture(&f);
}

static void test_update(void **state) {
    int64_t patched[] = {40, 10};
    (void)state;
    for (int type = 0; type < foreign_type_count; type++) {
        struct fixture f = open_fixture(foreign_types[type]);
        struct foreign_random random = {8, false, true};
        kh_batch *patch = rows_kit_batch(NULL, NULL, foreign_types[type], patched, 2, &random);
        struct rows_origin wanted[5];
        for (int i = 0; i < 5; i++)
            wanted[i] = origin(&f, false, i);
        wanted[3].batch = patch;
        wanted[3].row = 0;
        wanted[0].batch = patch;
        wanted[0].row = 1;
        kh_status status = kh_batch_update_rows(f.base, patch, NULL, &f.result, &f.error);
        if (status != KH_OK || !rows_kit_matches(f.result, wanted, 5))
            fail_msg("%s: %s", foreign_types[type], f.error.message);
        kh_batch_release(f.result);
        f.result = NULL;
        assert_int_equal(kh_batch_update_rows(f.base, f.rows, NULL, &f.result, &f.error),
                         KH_ROW_NOT_FOUND);
        assert_string_equal(f.error.message, "row 0: id 60 is not there");
        assert_null(f.result);
        kh_batch_release(patch);
        close_fixture(&f);
    }
}

static void test_update_some_columns(void **state) {
    static const char *const base_columns[] = {"a=u", "id=!l", "b=+l[l]", "c=!l"};
    static const char *const good[] = {"b=+l[l]", "id=l"};
    static const char *const unknown[] = {"id=!l", "d=l"};
    static const char *const other_type[] = {"id=!l", "b=+l[i]"};
    static const char *const twice[] = {"id=!l", "a=u", "a=u"};
    struct foreign_random random = {1, false, false};
    kh_batch *result = NULL;
    kh_error error;
    (void)state;
    kh_batch *base = rows_kit_columns(NULL, base_columns, 4, 1, &random);
    random.state = 1;
    kh_batch *patches[] = {rows_kit_columns(NULL, unknown, 2, 1, &random),
                           rows_kit_columns(NULL, other_type, 2, 1, &random),
                           rows_kit_columns(NULL, twice, 3, 1, &random)};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kh_batch_update_rows(base, patches[i], NULL, &result, &error),
                         KH_SCHEMA_MISMATCH);
        assert_null(result);
        kh_batch_release(patches[i]);
    }
    kh_batch *patch = rows_kit_columns(NULL, good, 2, 1, &random);
    kh_status status = kh_batch_update_rows(base, patch, NULL, &result, &error);
    assert_int_equal(status, KH_ROW_NOT_FOUND);
    kh_batch_release(patch);
    kh_batch_release(base);
}

static void test_update_keeps_other_columns(void **state) {
    static const char *const columns[] = {"id=!l", "a=u", "b=+l[l]"};
    static const char *const names[] = {"b=+l[l]", "id=!l"};
    struct foreign_random random = {21, true, true};
    kh_batch *result = NULL;
    (void)state;
    kh_batch *base = rows_kit_columns(NULL, columns, 3, 6, &random);
    kh_batch *donor = rows_kit_columns(NULL, names, 2, 1, &random);
    struct ArrowArray array;
    struct ArrowSchema schema;
    kh_schema *narrow = NULL;
    kh_batch *patch = NULL;
    int64_t row = 4;
    kh_batch *chosen = NULL;
    assert_int_equal(kh_batch_take(base, &row, 1, &chosen, NULL), KH_OK);
    /* The donor's list under the chosen row's id. */
    struct ArrowArray id_array;
    assert_int_equal(kh_batch_export(donor, &array, &schema, NULL), KH_OK);
    assert_int_equal(kh_batch_export(chosen, &id_array, NULL, NULL), KH_OK);
    array.children[1]->release(array.children[1]);
    *array.children[1] = *id_array.children[0];
    id_array.children[0]->release = NULL;
    id_array.release(&id_array);
    assert_int_equal(kh_schema_import(NULL, &schema, &narrow, NULL), KH_OK);
    assert_int_equal(kh_batch_import(NULL, narrow, &array, KH_VALIDATE_FULL, &patch, NULL), KH_OK);
    assert_int_equal(kh_batch_update_rows(base, patch, NULL, &result, NULL), KH_OK);
    for (int64_t i = 0; i < 6; i++) {
        for (int64_t column = 0; column < 3; column++) {
            bool is_patched = i == 4 && column == 2;
            char *found = rows_kit_text(result, column, i);
            char *wanted = rows_kit_text(is_patched ? donor : base, is_patched ? 0 : column,
                                         is_patched ? 0 : i);
            assert_string_equal(found, wanted);
            free(found);
            free(wanted);
        }
    }
    kh_schema_release(narrow);
    kh_batch_release(chosen);
    kh_batch_release(patch);
    kh_batch_release(donor);
    kh_batch_release(result);
    kh_batch_release(base);
    assert_int_equal(foreign_live, 0);
}

static void test_delete(void **state) {
    int64_t gone[] = {30, 99, 10, 30};
    (void)state;
    kh_batch *ids = rows_kit_ids(NULL, gone, 4);
    kh_batch *absent = rows_kit_ids(NULL, gone + 1, 1);
    kh_batch *all = rows_kit_ids(NULL, base_ids, 5);
    for (int type = 0; type < foreign_type_count; type++) {
        struct fixture f = open_fixture(foreign_types[type]);
        struct rows_origin wanted[] = {origin(&f, false, 1), origin(&f, false, 3),
                                       origin(&f, false, 4)};
        assert_int_equal(kh_batch_delete_rows(f.base, ids, NULL, &f.result, &f.error), KH_OK);
        assert_true(rows_kit_matches(f.result, wanted, 3));
        kh_batch_release(f.result);
        assert_int_equal(kh_batch_delete_rows(f.base, absent, NULL, &f.result, &f.error), KH_OK);
        assert_ptr_equal(f.result, f.base);
        kh_batch_release(f.result);
        assert_int_equal(kh_batch_delete_rows(f.base, all, NULL, &f.result, &f.error), KH_OK);
        assert_int_equal(kh_batch_row_count(f.result), 0);
        assert_true(kh_schema_equal(kh_batch_schema(f.result), kh_batch_schema(f.base)));
        kh_batch *refilled = NULL;
        assert_int_equal(kh_batch_insert_rows(f.result, f.base, NULL, &refilled, NULL), KH_OK);
        assert_int_equal(kh_batch_row_count(refilled), 5);
        kh_batch_release(refilled);
        close_fixture(&f);
    }
    kh_batch_release(ids);
    kh_batch_release(absent);
    kh_batch_release(all);
    assert_int_equal(foreign_live, 0);
}

static void test_no_base(void **state) {
    (void)state;
    struct fixture f = open_fixture("l");
    kh_batch *none = rows_kit_ids(NULL, NULL, 0);
    assert_int_equal(kh_batch_upsert_rows(NULL, f.rows, NULL, &f.result, NULL), KH_OK);
    assert_ptr_equal(f.result, f.rows);
    kh_batch_release(f.result);
    assert_int_equal(kh_batch_insert_rows(NULL, f.rows, NULL, &f.result, NULL), KH_OK);
    assert_ptr_equal(f.result, f.rows);
    kh_batch_release(f.result);
    f.result = NULL;
    assert_int_equal(kh_batch_update_rows(NULL, f.rows, NULL, &f.result, NULL), KH_ROW_NOT_FOUND);
    assert_int_equal(kh_batch_update_rows(NULL, none, NULL, &f.result, NULL), KH_OK);
    assert_null(f.result);
    assert_int_equal(kh_batch_delete_rows(NULL, f.rows, NULL, &f.result, NULL), KH_OK);
    assert_null(f.result);
    kh_batch_release(none);
    close_fixture(&f);
}

/* Many rows, so that matches have to be sorted. */
static void test_many_rows(void **state) {
    enum { BASE = 1000, ROWS = 700 };
    static int64_t in_base[BASE];
    static int64_t in_rows[ROWS];
    static struct rows_origin wanted[BASE + ROWS];
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct foreign_random random = {seed, true, true};
        kh_batch *result = NULL;
        for (int64_t i = 0; i < BASE; i++)
            in_base[i] = seed % 2 == 0 ? i * 2 : (i * 7919 % BASE) * 2;
        for (int64_t i = 0; i < ROWS; i++)
            in_rows[i] = i * 7 * 7919 % 2503;
        kh_batch *base = rows_kit_batch(NULL, NULL, "b", in_base, BASE, &random);
        kh_batch *rows = rows_kit_batch(NULL, NULL, "b", in_rows, ROWS, &random);
        int64_t count = BASE;
        for (int64_t i = 0; i < BASE; i++)
            wanted[i] = (struct rows_origin){base, i, base, i};
        for (int64_t i = 0; i < ROWS; i++) {
            int64_t at = 0;
            while (at < BASE && in_base[at] != in_rows[i])
                at++;
            wanted[at < BASE ? at : count++] = (struct rows_origin){rows, i, rows, i};
        }
        assert_int_equal(kh_batch_upsert_rows(base, rows, NULL, &result, NULL), KH_OK);
        assert_true(rows_kit_matches(result, wanted, count));
        kh_batch_release(result);
        kh_batch_release(rows);
        kh_batch_release(base);
    }
}

/* Every order of six rows: matches are sorted whatever the order. */
static void test_every_order(void **state) {
    enum { COUNT = 6 };
    int64_t in_order[COUNT] = {1, 2, 3, 4, 5, 6};
    struct foreign_random random = {1, false, false};
    (void)state;
    kh_batch *base = rows_kit_batch(NULL, NULL, "l", in_order, COUNT, &random);
    for (int64_t order = 0; order < 720; order++) {
        int64_t left[COUNT] = {1, 2, 3, 4, 5, 6};
        int64_t ids[COUNT];
        int64_t rest = order;
        struct rows_origin wanted[COUNT];
        kh_batch *result = NULL;
        for (int64_t i = 0; i < COUNT; i++) {
            int64_t chosen = rest % (COUNT - i);
            rest /= COUNT - i;
            ids[i] = left[chosen];
            left[chosen] = left[COUNT - 1 - i];
        }
        kh_batch *rows = rows_kit_batch(NULL, NULL, "l", ids, COUNT, &random);
        for (int64_t i = 0; i < COUNT; i++)
            wanted[ids[i] - 1] = (struct rows_origin){rows, i, rows, i};
        assert_int_equal(kh_batch_upsert_rows(base, rows, NULL, &result, NULL), KH_OK);
        assert_true(rows_kit_matches(result, wanted, COUNT));
        kh_batch_release(result);
        kh_batch_release(rows);
    }
    kh_batch_release(base);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upsert),
        cmocka_unit_test(test_insert),
        cmocka_unit_test(test_update),
        cmocka_unit_test(test_update_some_columns),
        cmocka_unit_test(test_update_keeps_other_columns),
        cmocka_unit_test(test_delete),
        cmocka_unit_test(test_no_base),
        cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_every_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
