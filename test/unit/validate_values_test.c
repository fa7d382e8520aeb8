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
SPOIL(digit_more_32, hostile_put(column, 1, 0, 4, 10000000))
SPOIL(digit_more_64, hostile_put(column, 1, 0, 8, -100000000000000000))
SPOIL(digits_all_ones, memset((void *)(uintptr_t)column->buffers[1], 0x7F, 16))
SPOIL(digits_least, memset((void *)(uintptr_t)column->buffers[1], 0, 32);
      hostile_put(column, 1, 31, 1, 0x80))
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
    EACH("+r[!i;l]", run_values_short), EACH("d:7,2,32", digit_more_32),
    EACH("d:17,0,64", digit_more_64), EACH("d:38,10", digits_all_ones),
    EACH("d:5,2", digits_all_ones), EACH("d:76,-3,256", digits_least),
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

/* 10 to the power of exponent, plus more, negated or not: little-endian. */
static void power_of_ten(int exponent, int more, bool is_negative, uint8_t out[32]) {
    memset(out, 0, 32);
    out[0] = 1;
    for (int i = 0; i < exponent; i++) {
        unsigned carry = 0;
        for (int j = 0; j < 32; j++, carry >>= 8) {
            carry += out[j] * 10u;
            out[j] = (uint8_t)carry;
        }
    }
    for (int j = 0; more < 0 && j < 32 && out[j]-- == 0; j++) {
    }
    unsigned carry = 1;
    for (int j = 0; is_negative && j < 32; j++, carry >>= 8) {
        carry += (uint8_t)~out[j];
        out[j] = (uint8_t)carry;
    }
}

/* A column of one decimal, at the last of rows; or null there. */
static kh_status import_decimal(kh_db *db, const char *type, int64_t rows, const uint8_t *value,
                                bool is_null, kh_validation validation) {
    struct ArrowArray array;
    hostile_make(type, rows, &array);
    struct ArrowArray *column = array.children[0];
    size_t width = (size_t)foreign_bits(type) / 8;
    uint8_t *values = calloc((size_t)rows, width);
    memcpy(values + (size_t)(rows - 1) * width, value, width);
    foreign_buffer(column, 1, values, (size_t)rows * width);
    free(values);
    static uint8_t bitmap[64];
    memset(bitmap, 0xFF, sizeof bitmap);
    bitmap[(rows - 1) / 8] &= (uint8_t) ~(1u << ((rows - 1) % 8));
    if (is_null) foreign_borrow(column, 0, bitmap);
    column->null_count = -1;
    kh_status status = hostile_import(db, type, &array, validation);
    if (array.release != NULL) array.release(&array);
    return status;
}

static void digits_are_counted(kh_db *db, const char *type, int precision, int64_t rows,
                               bool is_negative) {
    uint8_t most[32];
    uint8_t over[32];
    power_of_ten(precision, -1, is_negative, most);
    power_of_ten(precision, 0, is_negative, over);
    assert_int_equal(import_decimal(db, type, rows, most, false, KH_VALIDATE_FULL), KH_OK);
    assert_int_equal(import_decimal(db, type, rows, over, false, KH_VALIDATE_FULL),
                     KH_INVALID_DATA);
    assert_int_equal(import_decimal(db, type, rows, over, true, KH_VALIDATE_FULL), KH_OK);
    assert_int_equal(import_decimal(db, type, rows, over, false, KH_VALIDATE_STRUCTURE), KH_OK);
}

static void test_decimals_have_their_digits(void **state) {
    static const struct {
        const char *type;
        int precision;
    } decimals[] = {{"d:1,0", 1},      {"d:7,2,32", 7},    {"d:9,0,32", 9},    {"d:10,0,64", 10},
                    {"d:18,0,64", 18}, {"d:19,3", 19},     {"d:20,0", 20},     {"d:38,10", 38},
                    {"d:5,2,256", 5},  {"d:39,0,256", 39}, {"d:76,-3,256", 76}};
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (size_t i = 0; i < sizeof decimals / sizeof decimals[0]; i++) {
        for (int64_t rows = 1; rows <= 400; rows += 133) {
            digits_are_counted(db, decimals[i].type, decimals[i].precision, rows, false);
            digits_are_counted(db, decimals[i].type, decimals[i].precision, rows, true);
        }
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

/* What a producer that was trusted has given can be read again: in IPC it is as it was. */
static void test_stored_decimals_stay(void **state) {
    static const char *const types[] = {"d:5,2", "+l[d:5,2]", "i{d:5,2}"};
    static const int64_t rows[] = {1, 9, 400};
    (void)state;
    for (size_t i = 0; i < 9; i++) {
        kh_schema *schema = hostile_schema(NULL, types[i / 3]);
        struct ArrowArray array;
        struct ArrowArray *values;
        kh_batch *batch = NULL;
        kh_batch **again = NULL;
        kh_bytes bytes;
        size_t count = 0;
        hostile_make(types[i / 3], rows[i % 3], &array);
        values = array.children[0];
        if (values->dictionary != NULL) values = values->dictionary;
        if (values->n_children > 0) values = values->children[0];
        if (values->length > 0) memset((void *)(uintptr_t)values->buffers[1], 0x7F, 16);
        assert_int_equal(kh_batch_import(NULL, schema, &array, KH_VALIDATE_STRUCTURE, &batch, NULL),
                         KH_OK);
        assert_int_equal(kh_ipc_encode((const kh_batch *const *)&batch, 1, KH_IPC_STREAM,
                                       KH_COMPRESS_NONE, &bytes, NULL),
                         KH_OK);
        assert_int_equal(kh_ipc_decode(NULL, bytes, &again, &count, NULL), KH_OK);
        assert_int_equal(count, 1);
        bool is_equal = false;
        assert_int_equal(kh_batch_equal(batch, again[0], &is_equal, NULL), KH_OK);
        assert_true(is_equal);
        kh_batches_free(again, count);
        kh_bytes_free(bytes);
        kh_batch_release(batch);
        kh_schema_release(schema);
    }
    assert_int_equal(foreign_live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decimals_have_their_digits),
        cmocka_unit_test(test_stored_decimals_stay),
        cmocka_unit_test(test_hostile_arrays_are_refused_and_left_alone),
        cmocka_unit_test(test_contents_under_nulls_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
