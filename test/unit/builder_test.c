/* builder_test.c - batches from scalars: every flat type, ranges, nulls, and what is refused. */
#include "batch/batch.h"
#include "support/foreign.h"
#include "support/home.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
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

static kh_scalar of_int(int64_t value) {
    return (kh_scalar){.kind = KH_SCALAR_INT64, .as.int64 = value};
}
static kh_scalar of_uint(uint64_t value) {
    return (kh_scalar){.kind = KH_SCALAR_UINT64, .as.uint64 = value};
}
static kh_scalar of_double(double value) {
    return (kh_scalar){.kind = KH_SCALAR_DOUBLE, .as.float64 = value};
}
static kh_scalar of_bytes(const void *bytes, size_t size_bytes) {
    return (kh_scalar){.kind = KH_SCALAR_BYTES, .as.bytes = {bytes, size_bytes}};
}
static kh_scalar of_text(const char *text) {
    return of_bytes(text, strlen(text));
}
static const kh_scalar null_scalar = {.kind = KH_SCALAR_NULL};

static kh_schema *schema_of(const char *format) {
    const char *names[] = {"c"};
    kh_schema *schema = NULL;
    assert_int_equal(kh_schema_build(db, names, &format, 1, &schema, NULL), KH_OK);
    return schema;
}

static kh_status build(const char *format, const kh_scalar *scalars, int64_t rows, kh_batch **out) {
    kh_error error = {""};
    kh_schema *schema = schema_of(format);
    kh_status status = kh_batch_build(db, schema, scalars, rows, out, &error);
    if (status != KH_OK) assert_string_not_equal(error.message, "");
    kh_schema_release(schema);
    return status;
}

static kh_status build_one(const char *format, kh_scalar scalar) {
    kh_batch *batch = NULL;
    kh_status status = build(format, &scalar, 1, &batch);
    assert_true((batch != NULL) == (status == KH_OK));
    kh_batch_release(batch);
    return status;
}

static void test_integers_are_checked_against_their_range(void **state) {
    static const struct {
        const char *format;
        int64_t low;
        int64_t high;
    } ranges[] = {
        {"b", 0, 1},
        {"c", -128, 127},
        {"C", 0, 255},
        {"s", -32768, 32767},
        {"S", 0, 65535},
        {"i", INT32_MIN, INT32_MAX},
        {"I", 0, UINT32_MAX},
        {"tdD", INT32_MIN, INT32_MAX},
        {"tts", INT32_MIN, INT32_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        const char *format = ranges[i].format;
        int64_t got;
        kh_batch *batch = NULL;
        kh_scalar both[3] = {of_int(ranges[i].low), of_int(ranges[i].high),
                             of_uint((uint64_t)ranges[i].high)};
        assert_int_equal(build(format, both, 3, &batch), KH_OK);
        assert_int_equal(kh_batch_int64(batch, 0, 0, &got), KH_OK);
        assert_true(got == ranges[i].low);
        assert_int_equal(kh_batch_int64(batch, 0, 1, &got), KH_OK);
        assert_true(got == ranges[i].high);
        assert_int_equal(kh_batch_int64(batch, 0, 2, &got), KH_OK);
        assert_true(got == ranges[i].high);
        kh_batch_release(batch);
        assert_int_equal(build_one(format, of_int(ranges[i].low - 1)), KH_INVALID);
        assert_int_equal(build_one(format, of_int(ranges[i].high + 1)), KH_INVALID);
        assert_int_equal(build_one(format, of_uint((uint64_t)ranges[i].high + 1)), KH_INVALID);
    }
    assert_int_equal(build_one("l", of_int(INT64_MIN)), KH_OK);
    assert_int_equal(build_one("l", of_uint(INT64_MAX)), KH_OK);
    assert_int_equal(build_one("l", of_uint((uint64_t)INT64_MAX + 1)), KH_INVALID);
    assert_int_equal(build_one("L", of_uint(UINT64_MAX)), KH_OK);
    assert_int_equal(build_one("L", of_int(-1)), KH_INVALID);
    assert_int_equal(build_one("tsn:UTC", of_int(-1)), KH_OK);
    assert_int_equal(build_one("tDs", of_int(INT64_MIN)), KH_OK);
}

static void test_floats(void **state) {
    (void)state;
    double got;
    kh_batch *batch = NULL;
    kh_scalar scalars[4] = {of_double(0.1), of_double(-INFINITY), of_double(NAN), of_double(65504)};
    assert_int_equal(build("e", scalars, 4, &batch), KH_OK);
    assert_int_equal(kh_batch_double(batch, 0, 0, &got), KH_OK);
    assert_true(got == 0.0999755859375);
    assert_int_equal(kh_batch_double(batch, 0, 1, &got), KH_OK);
    assert_true(isinf(got));
    assert_int_equal(kh_batch_double(batch, 0, 2, &got), KH_OK);
    assert_true(isnan(got));
    kh_batch_release(batch);
    assert_int_equal(build("f", scalars, 1, &batch), KH_OK);
    assert_int_equal(kh_batch_double(batch, 0, 0, &got), KH_OK);
    assert_true(got == (double)0.1f);
    kh_batch_release(batch);
    assert_int_equal(build_one("e", of_double(65520)), KH_INVALID);
    assert_int_equal(build_one("f", of_double(1e39)), KH_INVALID);
    assert_int_equal(build_one("g", of_double(1e308)), KH_OK);
    assert_int_equal(build_one("g", of_int(1)), KH_INVALID);
    assert_int_equal(build_one("l", of_double(1)), KH_INVALID);
}

static void test_bytes(void **state) {
    static const char *const formats[] = {"u", "z", "U", "Z", "vu", "vz"};
    static const char *const texts[] = {"",
                                        "x",
                                        "twelve bytes",
                                        "thirteen byte",
                                        "\xC3\xA9",
                                        "a text that is longer than a view can hold"};
    (void)state;
    for (size_t f = 0; f < 6; f++) {
        kh_scalar scalars[14];
        kh_batch *batch = NULL;
        for (int i = 0; i < 14; i++) scalars[i] = i % 7 == 6 ? null_scalar : of_text(texts[i % 7]);
        assert_int_equal(build(formats[f], scalars, 14, &batch), KH_OK);
        for (int i = 0; i < 14; i++) {
            kh_bytes got;
            kh_status status = kh_batch_bytes(batch, 0, i, &got);
            assert_int_equal(status, i % 7 == 6 ? KH_NOT_FOUND : KH_OK);
            if (status != KH_OK) continue;
            assert_int_equal(got.size_bytes, strlen(texts[i % 7]));
            assert_memory_equal(got.data, texts[i % 7], got.size_bytes);
        }
        kh_batch_release(batch);
        kh_status expected =
            strchr(formats[f], 'u') || strchr(formats[f], 'U') ? KH_INVALID_DATA : KH_OK;
        assert_int_equal(build_one(formats[f], of_text("\xFF")), expected);
        assert_int_equal(build_one(formats[f], of_bytes(NULL, 0)), KH_OK);
        assert_int_equal(build_one(formats[f], of_bytes(NULL, 1)), KH_INVALID);
        assert_int_equal(build_one(formats[f], of_bytes("x", (size_t)1 << 31)), KH_INVALID);
        assert_int_equal(build_one(formats[f], of_int(1)), KH_INVALID);
    }
    assert_int_equal(build_one("w:3", of_text("abc")), KH_OK);
    assert_int_equal(build_one("w:3", of_text("ab")), KH_INVALID);
    assert_int_equal(build_one("w:0", of_text("")), KH_OK);
    assert_int_equal(build_one("d:5,2", of_text("0123456789abcdef")), KH_OK);
    assert_int_equal(build_one("d:5,2", of_int(5)), KH_INVALID);
    assert_int_equal(build_one("tin", of_text("0123456789abcdef")), KH_OK);
}

static void test_nulls(void **state) {
    (void)state;
    assert_int_equal(build_one("!l", null_scalar), KH_INVALID);
    assert_int_equal(build_one("l", null_scalar), KH_OK);
    assert_int_equal(build_one("n", null_scalar), KH_OK);
    assert_int_equal(build_one("!n", null_scalar), KH_OK);
    assert_int_equal(build_one("n", of_int(1)), KH_INVALID);
    assert_int_equal(build_one("l", (kh_scalar){.kind = (kh_scalar_kind)17}), KH_INVALID);
}

/* What was built is what an import of the same values would have made. */
static void test_built_and_imported_are_equal(void **state) {
    const char *names[] = {"a", "b", "c", "d", "e", "f", "g"};
    const char *formats[] = {"l", "b", "u", "vu", "n", "w:3", "!s"};
    (void)state;
    for (int64_t rows = 0; rows < 400; rows = rows * 3 + 1) {
        struct ArrowSchema arrow;
        struct ArrowArray out;
        kh_schema *schema = NULL;
        kh_batch *batch = NULL;
        kh_batch *back = NULL;
        bool is_equal = false;
        kh_scalar *scalars = malloc((size_t)rows * 7 * sizeof *scalars + 1);
        for (int64_t i = 0; i < rows; i++) {
            kh_scalar *row = scalars + i * 7;
            row[0] = i % 3 == 1 ? null_scalar : of_int(i * 1000);
            row[1] = i % 5 == 1 ? null_scalar : of_int(i % 2);
            row[2] = i % 2 == 1 ? null_scalar : of_text("some text");
            row[3] = of_text(i % 2 ? "short" : "and this is a longer text");
            row[4] = null_scalar;
            row[5] = of_text("abc");
            row[6] = of_int(-i);
        }
        assert_int_equal(kh_schema_build(db, names, formats, 7, &schema, NULL), KH_OK);
        assert_int_equal(kh_batch_build(db, schema, scalars, rows, &batch, NULL), KH_OK);
        free(scalars);
        assert_int_equal(kh_batch_row_count(batch), rows);
        assert_int_equal(kh_batch_export(batch, &out, &arrow, NULL), KH_OK);
        if (rows > 0) {
            char *text = foreign_text(&arrow, &out, 0);
            assert_string_equal(text, "{a=x0000000000000000;b=0;c=x736f6d652074657874;"
                                      "d=x616e6420746869732069732061206c6f6e6765722074657874;"
                                      "e=null;f=x616263;g=x0000;}");
            free(text);
        }
        assert_int_equal(kh_batch_import(db, schema, &out, KH_VALIDATE_FULL, &back, NULL), KH_OK);
        assert_int_equal(kh_batch_equal(batch, back, &is_equal, NULL), KH_OK);
        assert_true(is_equal);
        arrow.release(&arrow);
        kh_batch_release(batch);
        kh_batch_release(back);
        kh_schema_release(schema);
    }
}

static void test_bad_calls(void **state) {
    (void)state;
    kh_batch *batch = NULL;
    kh_scalar scalar = of_int(1);
    kh_schema *schema = schema_of("l");
    assert_int_equal(kh_batch_build(db, NULL, &scalar, 1, &batch, NULL), KH_INVALID);
    assert_int_equal(kh_batch_build(db, schema, NULL, 1, &batch, NULL), KH_INVALID);
    assert_int_equal(kh_batch_build(db, schema, &scalar, -1, &batch, NULL), KH_INVALID);
    assert_int_equal(kh_batch_build(db, schema, &scalar, 1, NULL, NULL), KH_INVALID);
    assert_int_equal(kh_batch_build(db, schema, &scalar, (int64_t)1 << 32, &batch, NULL),
                     KH_TOO_BIG);
    home.batch.batch_bytes_max = 70;
    assert_int_equal(kh_batch_build(db, schema, &scalar, 1, &batch, NULL), KH_TOO_BIG);
    home.batch.batch_bytes_max = 1000;
    home.fail_at = home.calls + 1;
    assert_int_equal(kh_batch_build(db, schema, &scalar, 1, &batch, NULL), KH_NO_MEMORY);
    assert_null(batch);
    kh_schema_release(schema);
    struct ArrowSchema arrow;
    foreign_table(&arrow, "+l[l]");
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    assert_int_equal(kh_batch_build(db, schema, &scalar, 1, &batch, NULL), KH_UNSUPPORTED);
    kh_schema_release(schema);
    assert_int_equal(kh_batch_build(NULL, NULL, &scalar, 1, &batch, NULL), KH_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_integers_are_checked_against_their_range, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_floats, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nulls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_built_and_imported_are_equal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_calls, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
