/* reach_test.c - the measure of an array against what its buffers really are: the test's arrays
 * have buffers of exactly the bytes needed, so that no measure may exceed them. */
#include "batch/reach.h"
#include "support/foreign.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct reach measure(kh_db *db, const char *type, int64_t rows, int64_t first, int64_t count,
                            bool has_offsets) {
    struct foreign_random random = {21, has_offsets, false};
    struct ArrowSchema arrow;
    struct ArrowArray array;
    kh_schema *schema = NULL;
    foreign_table(&arrow, type);
    foreign_fill(&random, &arrow, rows, &array);
    foreign_slice(&array, first, count);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    struct reach reach = reach_of(schema_root(schema), &array);
    array.release(&array);
    kh_schema_release(schema);
    return reach;
}

static void test_known_sizes(void **state) {
    static const struct {
        const char *type;
        uint64_t row_bytes;
    } cases[] = {{"l", 8},        {"i", 4},        {"c", 1},        {"d:38,0", 16}, {"w:5", 5},
                 {"+w:3[l]", 24}, {"+s[l;i]", 12}, {"+us:0[l]", 9}, {"w:0", 0}};
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reach reach = measure(db, cases[i].type, 100, 0, 100, false);
        assert_int_equal(reach.size_bytes, 100 * cases[i].row_bytes);
        assert_int_equal(reach.used_bytes, 100 * cases[i].row_bytes);
        assert_true(reach.is_aligned);
        reach = measure(db, cases[i].type, 100, 60, 10, false);
        assert_int_equal(reach.size_bytes, 100 * cases[i].row_bytes);
        assert_int_equal(reach.used_bytes, 10 * cases[i].row_bytes);
    }
    assert_int_equal(measure(db, "b", 100, 0, 100, false).size_bytes, 13);
    assert_int_equal(measure(db, "n", 100, 0, 100, false).size_bytes, 0);
    home_close(&home);
}

static void test_parts_add_up(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (int type = 0; type < foreign_type_count; type++) {
        for (int has_offsets = 0; has_offsets < 2; has_offsets++) {
            const char *name = foreign_types[type];
            struct reach all = measure(db, name, 60, 0, 60, has_offsets);
            struct reach half = measure(db, name, 60, 30, 20, has_offsets);
            struct reach none = measure(db, name, 60, 7, 0, has_offsets);
            assert_true(all.is_aligned && half.is_aligned);
            assert_true(all.used_bytes <= all.size_bytes);
            assert_int_equal(half.size_bytes, all.size_bytes);
            assert_true(half.used_bytes <= all.used_bytes);
            assert_true(none.used_bytes <= half.used_bytes);
        }
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

/* Views that claim buffers of 2^48 bytes, 65,536 of them: the sum does not wrap to a small one. */
static void test_claims_do_not_wrap(void **state) {
    enum { CLAIMS = 65536 };
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    struct ArrowSchema arrow;
    struct ArrowArray array;
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    int64_t *sizes = malloc(CLAIMS * sizeof *sizes);
    for (int i = 0; i < CLAIMS; i++) sizes[i] = (int64_t)1 << 48;
    foreign_table(&arrow, "vz");
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    foreign_array(&array, 300, 1, 1, false);
    foreign_array(array.children[0], 300, CLAIMS + 3, 0, false);
    foreign_buffer(array.children[0], 1, NULL, 300 * 16);
    for (int i = 0; i < CLAIMS; i++) foreign_buffer(array.children[0], 2 + i, "x", 1);
    foreign_buffer(array.children[0], CLAIMS + 2, sizes, CLAIMS * sizeof *sizes);
    free(sizes);
    assert_true(reach_of(schema_root(schema), &array).size_bytes > (uint64_t)1 << 60);
    home.batch.batch_bytes_max = 1000; /* the copy is small, but not that small */
    assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL),
                     KH_TOO_BIG);
    array.release(&array);
    kh_schema_release(schema);
    home_close(&home);
    assert_int_equal(foreign_live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_sizes),
        cmocka_unit_test(test_parts_add_up),
        cmocka_unit_test(test_claims_do_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
