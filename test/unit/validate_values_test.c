/* validate_values_test.c - arrays of the right shape with wrong contents. */
#include "batch/batch.h"
#include "support/foreign.h"
#include "support/home.h"
#include "support/hostile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

SPOIL(index_high, hostile_put(column, 1, 0, 4, column->dictionary->length))
SPOIL(index_negative, hostile_put(column, 1, 0, 4, -1))
SPOIL(index_u64, hostile_put(column, 1, 0, 8, INT64_MIN))
SPOIL(offset_first_negative, hostile_put(column, 1, 0, 4, -1))
SPOIL(offset_first_negative_64, hostile_put(column, 1, 0, 8, -1))
SPOIL(offset_last_low, hostile_put(column, 1, column->length, 4, -5))
SPOIL(offset_last_huge_64, hostile_put(column, 1, column->length, 8, INT64_MAX))
SPOIL(offsets_fall, hostile_put(column, 1, 1, 4, hostile_get(column, 1, column->length, 4) + 1))
SPOIL(offsets_fall_64, hostile_put(column, 1, 1, 8, hostile_get(column, 1, column->length, 8) + 1))
SPOIL(offset_beyond_child, column->children[0]->length--)
SPOIL(utf8_broken, hostile_put(column, 2, 0, 1, 0xFF))
/* a two-byte character across two rows */
SPOIL(utf8_cut, hostile_put(column, 2, 0, 2, 0xA9C3); hostile_put(column, 1, 0, 4, 0);
      hostile_put(column, 1, 1, 4, 1))
SPOIL(view_length, hostile_put(column, 1, 0, 4, -1))
SPOIL(view_padding, hostile_put(column, 1, 0, 8, 1 | (int64_t)'a' << 32 | (int64_t)1 << 40))
static void long_view(struct ArrowArray *column, int32_t buffer, int32_t offset, int64_t prefix) {
    hostile_put(column, 1, 0, 4, 20);
    hostile_put(column, 1, 1, 4, prefix);
    hostile_put(column, 1, 2, 4, buffer);
    hostile_put(column, 1, 3, 4, offset);
}
static int64_t prefix_of(struct ArrowArray *column) {
    return hostile_get(column, 2, 0, 4);
}
SPOIL(view_buffer_high, long_view(column, (int32_t)column->n_buffers - 3, 0, prefix_of(column)))
SPOIL(view_buffer_negative, long_view(column, -1, 0, prefix_of(column)))
SPOIL(view_offset_negative, long_view(column, 0, -1, prefix_of(column)))
SPOIL(view_offset_high, long_view(column, 0, 12, hostile_get(column, 2, 3, 4)))
SPOIL(view_prefix, long_view(column, 0, 0, prefix_of(column) + 1))
SPOIL(view_utf8, int64_t prefix = prefix_of(column); hostile_put(column, 2, 10, 1, 0x80);
      long_view(column, 0, 0, prefix))
SPOIL(view_utf8_inline, hostile_put(column, 1, 0, 8, 1 | (int64_t)0xFF << 32);
      hostile_put(column, 1, 1, 8, 0))
SPOIL(view_sizes_null, column->buffers[column->n_buffers - 1] = NULL)
SPOIL(view_size_negative, hostile_put(column, column->n_buffers - 1, 0, 8, -1))
SPOIL(view_data_null, hostile_put(column, column->n_buffers - 1, 0, 8, 7);
      column->buffers[2] = NULL)
SPOIL(union_code, hostile_put(column, 0, 0, 1, 4))
SPOIL(union_code_negative, hostile_put(column, 0, 0, 1, -3))
/* nanoarrow lets this one pass */
SPOIL(union_offset_high, hostile_put(column, 0, 0, 1, 0);
      hostile_put(column, 1, 0, 4, column->children[0]->length))
SPOIL(union_offset_negative, hostile_put(column, 1, 0, 4, -1))
SPOIL(list_view_offset, hostile_put(column, 1, 0, 4, -1))
SPOIL(list_view_size, hostile_put(column, 2, 0, 4, -1))
SPOIL(list_view_far, hostile_put(column, 1, 0, 4, 1);
      hostile_put(column, 2, 0, 4, column->children[0]->length))
SPOIL(list_view_overflow, hostile_put(column, 1, 0, 8, INT64_MAX);
      hostile_put(column, 2, 0, 8, INT64_MAX))
SPOIL(runs_zero, hostile_put(column->children[0], 1, 0, 4, 0))
SPOIL(runs_equal,
      hostile_put(column->children[0], 1, 1, 4, hostile_get(column->children[0], 1, 0, 4)))
SPOIL(runs_short, column->children[0]->length--)
SPOIL(runs_none, column->children[0]->length = 0)
SPOIL(run_values_short, column->children[1]->length--)

/* clang-format off */
static const struct hostile cases[] = {
    EACH("u", offset_first_negative), EACH("z", offset_last_low),
    EACH("U", offset_first_negative_64), EACH("Z", offset_last_huge_64),
    CASE("u", 9, offsets_fall), CASE("u", 400, offsets_fall), CASE("Z", 9, offsets_fall_64),
    CASE("u", 9, utf8_broken), CASE("u", 400, utf8_broken), CASE("U", 9, utf8_broken),
    CASE("u", 9, utf8_cut), EACH("vu", view_length), EACH("vz", view_padding),
    EACH("vz", view_buffer_high), EACH("vz", view_buffer_negative),
    EACH("vz", view_offset_negative), EACH("vz", view_offset_high), EACH("vz", view_prefix),
    EACH("vu", view_utf8), EACH("vu", view_utf8_inline), EACH("vz", view_sizes_null),
    EACH("vz", view_size_negative), EACH("vz", view_data_null), EACH("i{u}", index_high),
    EACH("i{u}", index_negative), EACH("L{u}", index_u64), CASE("+l[l]", 9, offset_beyond_child),
    CASE("+l[l]", 9, offsets_fall), CASE("+l[l]", 9, offset_first_negative),
    CASE("+L[l]", 9, offset_first_negative_64), CASE("+L[l]", 9, offset_last_huge_64),
    EACH("+us:0,1[l;l]", union_code), EACH("+us:0,1[l;l]", union_code_negative),
    EACH("+ud:0,1[l;l]", union_code), EACH("+ud:0,1[l;l]", union_offset_high),
    EACH("+ud:0,1[l;l]", union_offset_negative), EACH("+vl[l]", list_view_offset),
    EACH("+vl[l]", list_view_size), EACH("+vl[l]", list_view_far),
    EACH("+vL[l]", list_view_overflow), EACH("+r[!i;l]", runs_zero),
    CASE("+r[!i;l]", 400, runs_equal), EACH("+r[!i;l]", runs_short), EACH("+r[!i;l]", runs_none),
    EACH("+r[!i;l]", run_values_short),
};
/* clang-format on */

static void test_hostile_arrays_are_refused_and_left_alone(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) hostile_refused(db, &cases[i]);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

/* What stands under a null is not read: no UTF-8, no view, no index there. */
static void test_contents_under_nulls_do_not_matter(void **state) {
    static const char *const types[] = {"u", "vu", "i{u}", "U"};
    static uint8_t bitmap[64];
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        for (int64_t rows = 9; rows <= 400; rows += 391) {
            struct ArrowArray array;
            hostile_make(types[i], rows, &array);
            struct ArrowArray *column = array.children[0];
            memset(bitmap, 0, sizeof bitmap); /* all null */
            foreign_borrow(column, 0, bitmap);
            column->null_count = rows;
            if (types[i][0] == 'v') {
                hostile_put(column, 1, 0, 4, 1000);
                hostile_put(column, 1, 2, 4, 1000);
            } else if (types[i][0] == 'i') {
                hostile_put(column, 1, 0, 4, -7);
            } else {
                hostile_put(column, 2, 0, 1, 0xFF);
            }
            assert_int_equal(hostile_import(db, types[i], &array, KH_VALIDATE_FULL), KH_OK);
        }
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_arrays_are_refused_and_left_alone),
        cmocka_unit_test(test_contents_under_nulls_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
