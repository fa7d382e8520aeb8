/* gather_dictionary_test.c - dictionaries of results: shared when the same, unified when not, and
 * without unused values only when they would not fit. */
#include "batch/adopted.h"
#include "batch/raw.h"
#include "support/rows_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Rows whose column "c" is a dictionary of the numbers first, first + step, ..., indexed in order;
 * made by overwriting a random batch. */
static kh_batch *numbers(const char *index_format, int64_t count, int64_t first, int64_t step) {
    struct ArrowSchema arrow;
    struct ArrowArray array;
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    char type[16];
    (void)snprintf(type, sizeof type, "%s{l}", index_format);
    foreign_table(&arrow, type);
    foreign_array(&array, count, 1, 1, false);
    foreign_array(array.children[0], count, 2, 0, true);
    foreign_array(array.children[0]->dictionary, count, 2, 0, false);
    int64_t values[256];
    uint8_t indexes[256];
    for (int64_t i = 0; i < count; i++) {
        values[i] = first + i * step;
        indexes[i] = (uint8_t)i;
    }
    foreign_buffer(array.children[0], 1, indexes, (size_t)count);
    foreign_buffer(array.children[0]->dictionary, 1, values, (size_t)count * sizeof *values);
    assert_int_equal(kh_schema_import(NULL, &arrow, &schema, NULL), KH_OK);
    assert_int_equal(kh_batch_import(NULL, schema, &array, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
    kh_schema_release(schema);
    return batch;
}

static const struct ArrowArray *column_of(const kh_batch *batch) {
    assert_int_equal(batch->kind, BATCH_ADOPTED);
    return adopted_of(batch)->array.children[0];
}

static int64_t value_at(const kh_batch *batch, int64_t row) {
    const struct ArrowArray *column = column_of(batch);
    int64_t index = ((const uint8_t *)column->buffers[1])[row];
    assert_true(index < column->dictionary->length);
    return raw_i64(column->dictionary->buffers[1], index);
}

static kh_status concat(const kh_batch *a, const kh_batch *b, kh_batch **out) {
    struct rows_context context = {.mem = mem_process()};
    return rows_concat(&context, a, b, out, NULL);
}

/* Concatenate two ranges of numbers; the dictionary's length, -1 when it is too big. */
static int64_t unite(const char *format, int64_t a_count, int64_t b_count, int64_t b_first) {
    kh_batch *a = numbers(format, a_count, 0, 1);
    kh_batch *b = numbers(format, b_count, b_first, 1);
    kh_batch *result = NULL;
    int64_t length = -1;
    kh_status status = concat(a, b, &result);
    if (status == KH_OK) {
        length = column_of(result)->dictionary->length;
        for (int64_t i = 0; i < a_count; i++)
            assert_int_equal(value_at(result, i), i);
        for (int64_t i = 0; i < b_count; i++)
            assert_int_equal(value_at(result, a_count + i), b_first + i);
    } else {
        assert_int_equal(status, KH_TOO_BIG);
    }
    kh_batch_release(result);
    kh_batch_release(a);
    kh_batch_release(b);
    return length;
}

static void test_unify(void **state) {
    (void)state;
    assert_int_equal(unite("c", 10, 10, 0), 10);
    assert_int_equal(unite("c", 10, 10, 5), 15);
    assert_int_equal(unite("c", 10, 5, 0), 10);
    assert_int_equal(unite("c", 5, 10, 0), 10);
    assert_int_equal(unite("C", 10, 1, 1000), 11);
}

static void test_growth_beyond_the_index(void **state) {
    (void)state;
    assert_int_equal(unite("c", 100, 28, 1000), 128);
    assert_int_equal(unite("c", 100, 29, 1000), -1);
    assert_int_equal(unite("c", 128, 128, 0), 128);
    assert_int_equal(unite("C", 200, 56, 1000), 256);
    assert_int_equal(unite("C", 200, 57, 1000), -1);
}

static void test_unused_values_go_when_they_must(void **state) {
    struct rows_context context = {.mem = mem_process()};
    int64_t rows[] = {5, 127, 5};
    kh_batch *few = NULL;
    kh_batch *result = NULL;
    (void)state;
    kh_batch *a = numbers("c", 128, 0, 1);
    kh_batch *b = numbers("c", 100, 500, 2);
    assert_int_equal(rows_take(&context, a, rows, 3, &few, NULL), KH_OK);
    assert_int_equal(column_of(few)->dictionary->length, 128);
    assert_int_equal(concat(few, b, &result), KH_OK);
    assert_int_equal(column_of(result)->dictionary->length, 102);
    assert_int_equal(value_at(result, 0), 5);
    assert_int_equal(value_at(result, 1), 127);
    assert_int_equal(value_at(result, 2), 5);
    assert_int_equal(value_at(result, 3), 500);
    assert_int_equal(value_at(result, 102), 698);
    kh_batch_release(result);
    kh_batch_release(few);
    kh_batch_release(a);
    kh_batch_release(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unify),
        cmocka_unit_test(test_growth_beyond_the_index),
        cmocka_unit_test(test_unused_values_go_when_they_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
