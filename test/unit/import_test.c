/* import_test.c - every type through the door and out again: short way, long way, adopted; who owns
 * the array when; every allocation made to fail. */
#include "batch/adopted.h"
#include "batch/batch.h"
#include "batch/plan.h"
#include "support/foreign.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static kh_schema *schema_of(kh_db *db, const char *type) {
    struct ArrowSchema arrow;
    kh_schema *schema = NULL;
    kh_error error = {""};
    foreign_table(&arrow, type);
    kh_status status = kh_schema_import(db, &arrow, &schema, &error);
    if (status != KH_OK) print_message("%s: %s\n", type, error.message);
    assert_int_equal(status, KH_OK);
    assert_null(arrow.release);
    return schema;
}

/* Import a random table, export it, and compare with a twin of the array. */
static void round_trip(kh_db *db, const char *type, int64_t rows, struct foreign_random random) {
    struct foreign_random again = random;
    struct ArrowSchema arrow;
    struct ArrowArray array;
    struct ArrowArray twin;
    struct ArrowArray out;
    struct ArrowSchema out_schema;
    kh_batch *batch = NULL;
    kh_error error = {""};
    kh_schema *schema = schema_of(db, type);
    foreign_table(&arrow, type);
    foreign_fill(&random, &arrow, rows, &array);
    foreign_fill(&again, &arrow, rows, &twin);
    kh_status status = kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, &error);
    if (status != KH_OK) print_message("%s, %ld rows: %s\n", type, (long)rows, error.message);
    assert_int_equal(status, KH_OK);
    assert_null(array.release);
    assert_int_equal(kh_batch_row_count(batch), rows);
    assert_true(kh_schema_equal(kh_batch_schema(batch), schema));
    assert_int_equal(kh_batch_export(batch, &out, &out_schema, &error), KH_OK);
    kh_batch_release(batch);
    kh_schema_release(schema);
    if (!foreign_equal(&out_schema, &out, &twin)) {
        print_message("%s, %ld rows came out changed\n", type, (long)rows);
        fail();
    }
    assert_true(foreign_equal(&arrow, &out, &twin));
    out.release(&out);
    out_schema.release(&out_schema);
    twin.release(&twin);
    arrow.release(&arrow);
}

static void test_every_type_comes_out_unchanged(void **state) {
    static const int64_t row_counts[] = {1, 0, 2, 7, 64, 65, 255, 300, 1000};
    (void)state;
    for (int type = 0; type < foreign_type_count; type++) {
        for (size_t i = 0; i < sizeof row_counts / sizeof row_counts[0]; i++) {
            for (int way = 0; way < 4; way++) {
                struct home home;
                kh_db *db = home_open(&home);
                struct foreign_random random = {(uint64_t)type * 1000 + i, way & 1, way & 2};
                round_trip(db, foreign_types[type], row_counts[i], random);
                home_close(&home);
                assert_int_equal(home.live_blocks, 0);
                round_trip(NULL, foreign_types[type], row_counts[i], random);
            }
        }
    }
    assert_int_equal(foreign_live, 0);
}

static void test_slices_come_out_unchanged(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (int type = 0; type < foreign_type_count; type++) {
        for (int64_t first = 0; first < 40; first += 13) {
            struct foreign_random random = {(uint64_t)type, true, true};
            struct foreign_random again = random;
            struct ArrowSchema arrow;
            struct ArrowArray array;
            struct ArrowArray twin;
            struct ArrowArray out;
            kh_batch *batch = NULL;
            kh_error error = {""};
            kh_schema *schema = schema_of(db, foreign_types[type]);
            foreign_table(&arrow, foreign_types[type]);
            foreign_fill(&random, &arrow, 60, &array);
            foreign_fill(&again, &arrow, 60, &twin);
            foreign_slice(&array, first, 1 + first / 2);
            foreign_slice(&twin, first, 1 + first / 2);
            assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, &error),
                             KH_OK);
            assert_int_equal(kh_batch_export(batch, &out, NULL, &error), KH_OK);
            assert_int_equal(out.offset, 0);
            assert_true(foreign_equal(&arrow, &out, &twin));
            out.release(&out);
            kh_batch_release(batch);
            kh_schema_release(schema);
            twin.release(&twin);
            arrow.release(&arrow);
        }
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

static void make(const char *type, int64_t rows, bool has_offsets, struct ArrowArray *array) {
    struct foreign_random random = {7, has_offsets, false};
    struct ArrowSchema arrow;
    foreign_table(&arrow, type);
    foreign_fill(&random, &arrow, rows, array);
    arrow.release(&arrow);
}

static kh_batch *import_one(kh_db *db, const char *type, struct ArrowArray *array) {
    kh_batch *batch = NULL;
    kh_error error = {""};
    kh_schema *schema = schema_of(db, type);
    kh_status status = kh_batch_import(db, schema, array, KH_VALIDATE_FULL, &batch, &error);
    if (status != KH_OK) print_message("%s\n", error.message);
    assert_int_equal(status, KH_OK);
    kh_schema_release(schema);
    return batch;
}

static void test_large_arrays_are_adopted_without_a_copy(void **state) {
    static const char *const types[] = {"l", "u", "vu", "b", "+l[u]", "i{u}"};
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct ArrowArray array;
        struct ArrowArray out;
        make(types[i], 1000, false, &array);
        const void *buffer = array.children[0]->buffers[1];
        kh_batch *batch = import_one(db, types[i], &array);
        assert_true(batch_is_foreign(batch));
        assert_true(foreign_live > 0);
        assert_int_equal(kh_batch_export(batch, &out, NULL, NULL), KH_OK);
        assert_ptr_equal(out.children[0]->buffers[1], buffer);
        kh_batch_release(batch);
        assert_true(foreign_live > 0);
        out.release(&out);
        assert_int_equal(foreign_live, 0);
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void test_small_arrays_are_packed_and_released_at_once(void **state) {
    static const char *const types[] = {"l", "u",       "U",   "vu", "vz",
                                        "b", "d:38,10", "w:3", "n",  "tin"};
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct ArrowArray array;
        make(types[i], 5, false, &array);
        kh_batch *batch = import_one(db, types[i], &array);
        assert_int_equal(foreign_live, 0);
        assert_false(batch_is_foreign(batch));
        assert_int_equal(batch->kind, BATCH_PACKED);
        kh_batch_release(batch);
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void test_a_small_slice_of_a_large_array_is_copied_out(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    struct ArrowArray array;
    make("l", 10000, false, &array);
    foreign_slice(&array, 9000, 1000); /* 8 of 80 kB */
    kh_batch *batch = import_one(db, "l", &array);
    assert_int_equal(batch->kind, BATCH_PACKED);
    assert_int_equal(foreign_live, 0);
    assert_true(kh_batch_size_bytes(batch) < 9000);
    kh_batch_release(batch);
    make("l", 10000, false, &array);
    foreign_slice(&array, 1000, 9000);
    batch = import_one(db, "l", &array);
    assert_int_equal(batch->kind, BATCH_ADOPTED);
    assert_int_equal(kh_batch_size_bytes(batch) / 1000, 80);
    kh_batch_release(batch);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void test_a_small_slice_of_nested_columns_is_gathered(void **state) {
    static const char *const types[] = {"+l[u]",        "+s[l;+L[vu]]",     "+w:2[l]",
                                        "+us:0,1[l;u]", "+l[+s[b;d:38,2]]", "+m[!+s[!u;l]]"};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        for (uint64_t fail_at = 0; fail_at < 40; fail_at++) {
            struct home home;
            kh_db *db = home_open(&home);
            struct ArrowArray array;
            struct ArrowArray twin;
            struct ArrowArray out;
            struct ArrowSchema arrow;
            kh_batch *batch = NULL;
            kh_schema *schema = schema_of(db, types[i]);
            foreign_table(&arrow, types[i]);
            make(types[i], 2000, true, &array);
            make(types[i], 2000, true, &twin);
            foreign_slice(&array, 1500, 300);
            foreign_slice(&twin, 1500, 300);
            int live = foreign_live;
            if (fail_at > 0) home.fail_at = home.calls + fail_at;
            kh_status status = kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL);
            home.fail_at = 0;
            if (status == KH_OK) {
                assert_true(foreign_live < live); /* the producer's is gone */
                assert_false(batch_is_foreign(batch));
                assert_int_equal(kh_batch_export(batch, &out, NULL, NULL), KH_OK);
                assert_true(foreign_equal(&arrow, &out, &twin));
                out.release(&out);
            } else {
                assert_true(fail_at > 0);
                assert_int_equal(status, KH_NO_MEMORY);
                assert_int_equal(foreign_live, live);
                array.release(&array);
            }
            kh_batch_release(batch);
            kh_schema_release(schema);
            twin.release(&twin);
            arrow.release(&arrow);
            home_close(&home);
            assert_int_equal(home.live_blocks, 0);
            assert_int_equal(foreign_live, 0);
        }
    }
}

/* The bar of the design: 108 bytes of values cost no more than 112 behind header and headroom. */
static void test_one_row_takes_no_more_than_it_must(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    static const char *const columns[] = {"a=l", "b=l", "c=u"};
    struct ArrowSchema arrow;
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    struct ArrowArray array;
    int64_t number = 5;
    int32_t offsets[2] = {0, 84};
    char text[84];
    memset(text, 'x', sizeof text);
    foreign_columns(&arrow, columns, 3);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    foreign_array(&array, 1, 1, 3, false);
    for (int i = 0; i < 3; i++) {
        foreign_array(array.children[i], 1, i < 2 ? 2 : 3, 0, false);
        foreign_buffer(array.children[i], 1, i < 2 ? (void *)&number : (void *)offsets, 8);
    }
    foreign_buffer(array.children[2], 2, text, sizeof text);
    assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
    assert_true(sizeof *batch == 24 && BATCH_HEADROOM == 40);
    assert_true(batch->block_bytes <= 24 + 40 + 112);
    kh_batch_release(batch);
    kh_schema_release(schema);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

/* A narrow value does not fill its slot: the rest is 0, whatever row came in before it, so that
 * equal batches have equal bytes and nothing of ours goes out with them. */
static void test_narrow_values_are_padded(void **state) {
    (void)state;
    static const char *const narrow[] = {"a=s", "b=c", "c=i", "d=b"};
    static const char *const wide[] = {"a=l", "b=l", "c=l", "d=l"};
    struct home home;
    kh_db *db = home_open(&home);
    for (int is_narrow = 0; is_narrow < 2; is_narrow++) {
        struct ArrowSchema arrow;
        struct ArrowArray array;
        kh_schema *schema = NULL;
        kh_batch *batch = NULL;
        int64_t ones = -1;
        foreign_columns(&arrow, is_narrow ? narrow : wide, 4);
        assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
        foreign_array(&array, 1, 1, 4, false);
        for (int i = 0; i < 4; i++) {
            foreign_array(array.children[i], 1, 2, 0, false);
            foreign_buffer(array.children[i], 1, &ones, 8);
        }
        assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL),
                         KH_OK);
        uint64_t slots[4];
        memcpy(slots, packed_slots(batch), sizeof slots);
        assert_true(slots[0] == (is_narrow ? UINT16_MAX : UINT64_MAX));
        assert_true(slots[1] == (is_narrow ? UINT8_MAX : UINT64_MAX));
        assert_true(slots[2] == (is_narrow ? UINT32_MAX : UINT64_MAX));
        assert_true(slots[3] == (is_narrow ? 1 : UINT64_MAX));
        kh_batch_release(batch);
        kh_schema_release(schema);
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void test_a_failed_allocation_leaves_everything_as_it_was(void **state) {
    static const char *const types[] = {"l", "u", "+l[u]", "i{u}", "vu"};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        for (int64_t rows = 1; rows < 1000; rows += 998) {
            for (uint64_t fail_at = 1;; fail_at++) {
                struct home home;
                kh_db *db = home_open(&home);
                struct ArrowArray array;
                struct ArrowArray before;
                kh_batch *batch = NULL;
                make(types[i], rows, false, &array);
                before = array;
                int live = foreign_live;
                kh_schema *foreign = schema_of(NULL, types[i]);
                home.fail_at = home.calls + fail_at;
                kh_status status =
                    kh_batch_import(db, foreign, &array, KH_VALIDATE_FULL, &batch, NULL);
                bool is_reached = home.calls >= home.fail_at;
                kh_schema_release(foreign);
                if (status != KH_OK) {
                    assert_int_equal(status, KH_NO_MEMORY);
                    assert_null(batch);
                    assert_int_equal(foreign_live, live);
                    assert_memory_equal(&array, &before, sizeof array);
                    array.release(&array);
                } else {
                    kh_batch_release(batch);
                }
                home_close(&home);
                assert_int_equal(home.live_blocks, 0);
                assert_int_equal(foreign_live, 0);
                if (!is_reached) {
                    assert_true(fail_at > 1);
                    break;
                }
            }
        }
    }
}

static void test_bad_calls_are_refused(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    struct ArrowArray array;
    kh_batch *batch = NULL;
    kh_schema *schema = schema_of(db, "l");
    make("l", 1, false, &array);
    assert_int_equal(kh_batch_import(db, NULL, &array, KH_VALIDATE_FULL, &batch, NULL), KH_INVALID);
    assert_int_equal(kh_batch_import(db, schema, NULL, KH_VALIDATE_FULL, &batch, NULL), KH_INVALID);
    assert_int_equal(kh_batch_import(db, schema, &array, (kh_validation)9, &batch, NULL),
                     KH_INVALID);
    home.batch.batch_bytes_max = 60;
    assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL),
                     KH_TOO_BIG);
    assert_non_null(array.release);
    array.release(&array);
    home.batch.batch_bytes_max = 8000;
    make("l", 1001, false, &array);
    assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL),
                     KH_TOO_BIG);
    array.release(&array);
    assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL),
                     KH_INVALID_DATA);
    kh_schema_release(schema);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void test_a_schema_of_another_home_is_taken_over(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    struct ArrowArray array;
    kh_batch *batch = NULL;
    kh_schema *foreign = schema_of(NULL, "+l[u]");
    make("+l[u]", 3, false, &array);
    assert_int_equal(kh_batch_import(db, foreign, &array, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
    assert_ptr_equal(batch_mem(batch), home.batch.mem);
    assert_true(kh_schema_equal(kh_batch_schema(batch), foreign));
    kh_schema_release(foreign);
    home_close(&home); /* the batch outlives it */
    assert_int_equal(kh_batch_row_count(batch), 3);
    assert_true(home.live_blocks > 0);
    kh_batch_release(batch);
    assert_int_equal(home.live_blocks, 0);
}

/* A buffer at an odd address is copied if flat, refused if nested. */
static void test_misaligned_buffers_are_never_read_in_place(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    static _Alignas(8) char storage[8 * 2000 + 8];
    struct ArrowArray array;
    for (int nested = 0; nested < 2; nested++) {
        const char *type = nested ? "+s[l]" : "l";
        kh_batch *batch = NULL;
        kh_schema *schema = schema_of(db, type);
        make(type, 2000, false, &array);
        struct ArrowArray *leaf = nested ? array.children[0]->children[0] : array.children[0];
        memcpy(storage + 1, leaf->buffers[1], 8 * 2000);
        foreign_borrow(leaf, 1, storage + 1);
        kh_status status = kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL);
        if (nested) {
            assert_int_equal(status, KH_INVALID_DATA);
            array.release(&array);
        } else {
            int64_t value;
            int64_t expected;
            assert_int_equal(status, KH_OK);
            memcpy(&expected, storage + 1 + 8 * 1999, 8);
            assert_int_equal(kh_batch_int64(batch, 0, 1999, &value), KH_OK);
            assert_true(value == expected);
            kh_batch_release(batch);
        }
        kh_schema_release(schema);
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_comes_out_unchanged),
        cmocka_unit_test(test_slices_come_out_unchanged),
        cmocka_unit_test(test_large_arrays_are_adopted_without_a_copy),
        cmocka_unit_test(test_small_arrays_are_packed_and_released_at_once),
        cmocka_unit_test(test_a_small_slice_of_a_large_array_is_copied_out),
        cmocka_unit_test(test_a_small_slice_of_nested_columns_is_gathered),
        cmocka_unit_test(test_one_row_takes_no_more_than_it_must),
        cmocka_unit_test(test_narrow_values_are_padded),
        cmocka_unit_test(test_a_failed_allocation_leaves_everything_as_it_was),
        cmocka_unit_test(test_bad_calls_are_refused),
        cmocka_unit_test(test_a_schema_of_another_home_is_taken_over),
        cmocka_unit_test(test_misaligned_buffers_are_never_read_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
