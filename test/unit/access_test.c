/* access_test.c - columns and values read in place, of packed and adopted batches alike. */
#include "batch/batch.h"
#include "support/foreign.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct home home;
static kh_db *db;

static int set_up(void **state) {
    (void)state;
    db = home_open(&home);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    home_close(&home);
    return home.live_blocks != 0 || foreign_live != 0;
}

static kh_batch *import_random(const char *type, int64_t rows, struct ArrowArray *twin) {
    struct foreign_random random = {rows > 0 ? (uint64_t)rows : 5, true, true};
    struct foreign_random again = random;
    struct ArrowSchema arrow;
    struct ArrowArray array;
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    foreign_table(&arrow, type);
    foreign_fill(&random, &arrow, rows, &array);
    foreign_fill(&again, &arrow, rows, twin);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
    kh_schema_release(schema);
    return batch;
}

static char *hex(const void *value, size_t size_bytes) {
    char *text = malloc(3 * size_bytes + 8);
    strcpy(text, "x");
    for (size_t i = 0; i < size_bytes; i++)
        (void)sprintf(text + 1 + 2 * i, "%02x", ((const unsigned char *)value)[i]);
    return text;
}

/* A cell as foreign_text says it, from the value that the library gave; NULL: no value. */
static char *integer_text(const kh_batch *batch, int64_t row, const char *format,
                          kh_status *status) {
    int64_t value;
    *status = kh_batch_int64(batch, 0, row, &value);
    if (*status != KH_OK) return NULL;
    if (format[0] == 'b') return strdup(value ? "1" : "0");
    return hex(&value, (size_t)foreign_bits(format) / 8);
}

static char *real_text(const kh_batch *batch, int64_t row, const char *format, kh_status *status) {
    double value;
    *status = kh_batch_double(batch, 0, row, &value);
    if (*status != KH_OK) return NULL;
    if (format[0] == 'g') return hex(&value, 8);
    float single = (float)value;
    return hex(&single, 4);
}

static char *bytes_text(const kh_batch *batch, int64_t row, kh_status *status) {
    kh_bytes bytes;
    *status = kh_batch_bytes(batch, 0, row, &bytes);
    return *status == KH_OK ? hex(bytes.data, bytes.size_bytes) : NULL;
}

enum { INTEGER, REAL, BYTES, NONE, NOTHING };

static int class_of(const char *format) {
    if (format[0] == 'n') return NOTHING;
    if (strchr("efg", format[0]) != NULL) return REAL;
    if (strchr("uzUZv", format[0]) != NULL) return BYTES;
    return strchr("wd", format[0]) != NULL || strncmp(format, "ti", 2) == 0 ? NONE : INTEGER;
}

/* What cannot be compared by bits: a NaN through float, a half, an uint64 beyond int64. */
static bool is_special(const char *format, const char *expected) {
    if (format[0] == 'e') return true;
    if (format[0] == 'f')
        return (strtoul((char[]){expected[7], expected[8], 0}, NULL, 16) & 0x7F) == 0x7F;
    return strcmp(format, "L") == 0 && strchr("89abcdef", expected[15]) != NULL;
}

static void check_row(const struct ArrowSchema *column, const kh_batch *batch,
                      const struct ArrowArray *shown, int64_t row) {
    kh_status status[3];
    char *expected = foreign_text(column, shown, row);
    bool is_null = strcmp(expected, "null") == 0;
    int class = class_of(column->format);
    char *texts[3] = {integer_text(batch, row, column->format, &status[0]),
                      real_text(batch, row, column->format, &status[1]),
                      bytes_text(batch, row, &status[2])};
    for (int i = 0; i < 3; i++) {
        if (class == NOTHING) {
            assert_int_equal(status[i], KH_NOT_FOUND);
        } else if (i != class) {
            assert_int_equal(status[i], KH_INVALID);
        } else if (is_null) {
            assert_int_equal(status[i], KH_NOT_FOUND);
        } else if (is_special(column->format, expected)) {
            assert_int_equal(status[i], class == INTEGER ? KH_INVALID : KH_OK);
        } else {
            assert_int_equal(status[i], KH_OK);
            assert_string_equal(texts[i], expected);
        }
        free(texts[i]);
    }
    free(expected);
}

static void test_values_of_every_flat_type(void **state) {
    (void)state;
    for (int type = 0; type < foreign_type_count; type++) {
        if (strpbrk(foreign_types[type], "[{") != NULL) continue;
        for (int64_t rows = 1; rows < 1000; rows += 330) {
            struct ArrowArray twin;
            kh_batch *batch = import_random(foreign_types[type], rows, &twin);
            struct ArrowSchema arrow;
            foreign_table(&arrow, foreign_types[type]);
            struct ArrowArray shown = *twin.children[0];
            shown.offset += twin.offset;
            shown.length = rows;
            for (int64_t row = 0; row < rows; row++)
                check_row(arrow.children[0], batch, &shown, row);
            arrow.release(&arrow);
            kh_batch_release(batch);
            twin.release(&twin);
        }
    }
}

/* A NaN's payload may change on the way through float. */
static void test_floats(void **state) {
    static const uint16_t halves[] = {0x3C00, 0x3555, 0xFBFF, 0x0001};
    (void)state;
    for (int64_t copies = 1; copies < 500; copies += 300) {
        struct ArrowSchema arrow;
        struct ArrowArray array;
        kh_schema *schema = NULL;
        kh_batch *batch = NULL;
        double value;
        int64_t rows = 4 * copies;
        uint16_t *many = malloc((size_t)rows * 2);
        for (int64_t i = 0; i < rows; i++) many[i] = halves[i % 4];
        foreign_table(&arrow, "e");
        foreign_array(&array, rows, 1, 1, false);
        foreign_array(array.children[0], rows, 2, 0, false);
        foreign_buffer(array.children[0], 1, many, (size_t)rows * 2);
        free(many);
        assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
        assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL),
                         KH_OK);
        assert_int_equal(kh_batch_double(batch, 0, 0, &value), KH_OK);
        assert_true(value == 1.0);
        assert_int_equal(kh_batch_double(batch, 0, 2, &value), KH_OK);
        assert_true(value == -65504.0);
        assert_int_equal(kh_batch_double(batch, 0, rows - 1, &value), KH_OK);
        assert_true(value == 0x1p-24);
        kh_batch_release(batch);
        kh_schema_release(schema);
    }
}

static void test_columns(void **state) {
    (void)state;
    for (int type = 0; type < foreign_type_count; type++) {
        for (int64_t rows = 1; rows < 1000; rows += 990) {
            const char *name = foreign_types[type];
            struct ArrowArray twin;
            kh_column column;
            kh_error error = {""};
            kh_batch *batch = import_random(name, rows, &twin);
            kh_status status = kh_batch_column(batch, 0, &column, &error);
            if (strpbrk(name, "[{") != NULL) {
                assert_int_equal(status, KH_UNSUPPORTED);
            } else {
                int64_t nulls = 0;
                assert_int_equal(status, KH_OK);
                assert_string_equal(column.format, name + (name[0] == '!'));
                assert_int_equal(column.row_count, rows);
                assert_null(column.array);
                for (int64_t i = 0; i < rows; i++) {
                    int64_t at = column.validity_offset + i;
                    int64_t value;
                    bool is_null =
                        column.validity != NULL && !((column.validity[at / 8] >> (at % 8)) & 1);
                    nulls += is_null || name[0] == 'n';
                    if (is_null || kh_batch_int64(batch, 0, i, &value) != KH_OK) continue;
                    if (column.element_bytes == 8)
                        assert_memory_equal((const char *)column.values + i * 8, &value, 8);
                    if (name[0] == 'b')
                        assert_int_equal(
                            ((const uint8_t *)column.values)[(column.values_offset + i) / 8] >>
                                    ((column.values_offset + i) % 8) &
                                1,
                            value);
                }
                assert_int_equal(column.null_count, nulls);
                kh_bytes bytes;
                if (strcmp(name, "u") == 0 && kh_batch_bytes(batch, 0, rows - 1, &bytes) == KH_OK) {
                    const int32_t *offsets = column.offsets;
                    assert_ptr_equal(bytes.data, (const char *)column.values + offsets[rows - 1]);
                    assert_int_equal(bytes.size_bytes, offsets[rows] - offsets[rows - 1]);
                }
            }
            kh_batch_release(batch);
            twin.release(&twin);
        }
    }
}

/* One row has a short way: what it holds for columns, rows, nulls and classes holds there, too. */
static void test_lone_rows(void **state) {
    (void)state;
    static const char *const columns[] = {"a=l", "b=g", "c=L", "d=l", "e=tsn:"};
    enum { COUNT = 5 };
    for (int null = -1; null < COUNT; null++) {
        struct ArrowSchema arrow;
        struct ArrowArray array;
        kh_schema *schema = NULL;
        kh_batch *batch = NULL;
        static const uint8_t none[1] = {0};
        int64_t value = 0;
        double real = 0;
        foreign_columns(&arrow, columns, COUNT);
        foreign_array(&array, 1, 1, COUNT, false);
        for (int64_t i = 0; i < COUNT; i++) {
            double half = (double)i + 0.5;
            int64_t integer = i == 2 ? -1 : i + 10; /* c: the largest uint64 */
            foreign_array(array.children[i], 1, 2, 0, false);
            foreign_buffer(array.children[i], 1, i == 1 ? (void *)&half : (void *)&integer, 8);
            if (i == null) foreign_buffer(array.children[i], 0, none, 1);
            if (i == null) array.children[i]->null_count = 1;
        }
        assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
        assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL),
                         KH_OK);
        for (int64_t i = 0; i < COUNT; i++) {
            kh_status there = i == null ? KH_NOT_FOUND : KH_OK;
            kh_status integers = i == 1 || (i == 2 && i != null) ? KH_INVALID : there;
            kh_status reals = i == 1 ? there : KH_INVALID;
            assert_int_equal(kh_batch_int64(batch, i, 0, &value), integers);
            if (integers == KH_OK) assert_int_equal(value, i + 10);
            assert_int_equal(kh_batch_double(batch, i, 0, &real), reals);
            if (reals == KH_OK) assert_true(real == 1.5);
            assert_int_equal(kh_batch_int64(batch, i, 1, &value), KH_INVALID);
            assert_int_equal(kh_batch_double(batch, i, 1, &real), KH_INVALID);
            assert_int_equal(kh_batch_int64(batch, i, -1, &value), KH_INVALID);
            assert_int_equal(kh_batch_int64(batch, i + ((int64_t)1 << 32), 0, &value), KH_INVALID);
        }
        assert_int_equal(kh_batch_int64(batch, COUNT, 0, &value), KH_INVALID);
        assert_int_equal(kh_batch_int64(batch, -1, 0, &value), KH_INVALID);
        assert_int_equal(kh_batch_int64(batch, 0, 0, NULL), KH_INVALID);
        assert_int_equal(kh_batch_double(batch, 1, 0, NULL), KH_INVALID);
        kh_batch_release(batch);
        kh_schema_release(schema);
    }
}

static void test_bad_calls(void **state) {
    (void)state;
    struct ArrowArray twin;
    kh_batch *batch = import_random("l", 3, &twin);
    int64_t integer;
    double real;
    kh_bytes bytes;
    kh_column column;
    assert_int_equal(kh_batch_column(batch, 1, &column, NULL), KH_INVALID);
    assert_int_equal(kh_batch_column(batch, -1, &column, NULL), KH_INVALID);
    assert_int_equal(kh_batch_column(batch, 0, NULL, NULL), KH_INVALID);
    assert_int_equal(kh_batch_column(NULL, 0, &column, NULL), KH_INVALID);
    assert_int_equal(kh_batch_int64(batch, 0, 3, &integer), KH_INVALID);
    assert_int_equal(kh_batch_int64(batch, 0, -1, &integer), KH_INVALID);
    assert_int_equal(kh_batch_int64(batch, 1, 0, &integer), KH_INVALID);
    assert_int_equal(kh_batch_int64(batch, 0, 0, NULL), KH_INVALID);
    assert_int_equal(kh_batch_double(batch, 0, 0, NULL), KH_INVALID);
    assert_int_equal(kh_batch_double(NULL, 0, 0, &real), KH_INVALID);
    assert_int_equal(kh_batch_bytes(batch, 0, 0, NULL), KH_INVALID);
    assert_int_equal(kh_batch_bytes(NULL, 0, 0, &bytes), KH_INVALID);
    kh_batch_release(batch);
    twin.release(&twin);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_values_of_every_flat_type, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_floats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_columns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lone_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_calls, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
