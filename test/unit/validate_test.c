/* validate_test.c - arrays of the wrong shape: each gives KH_INVALID_DATA and stays with the caller
 * as it was; arrays that are odd but right go in. */
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

SPOIL(root_released, root->release = NULL)
SPOIL(root_length, root->length = -1)
SPOIL(root_offset, root->offset = -1)
SPOIL(root_overflow, root->offset = INT64_MAX)
SPOIL(root_longer, root->length++)
SPOIL(root_shifted, root->offset++)
SPOIL(root_no_children, root->n_children = 0)
SPOIL(root_children_null, root->children = NULL)
SPOIL(root_child_null, root->children[0] = NULL)
SPOIL(root_two_buffers, root->n_buffers = 2)
SPOIL(root_buffers_null, root->buffers = NULL)
SPOIL(root_dictionary, root->dictionary = column)
SPOIL(root_null, hostile_null(root, 0))
SPOIL(root_null_count, root->null_count = 1)
SPOIL(root_null_count_low, root->null_count = -2)
SPOIL(released, column->release = NULL)
SPOIL(length_negative, column->length = -1)
SPOIL(length_huge, column->length = INT64_MAX)
SPOIL(length_short, column->length--)
SPOIL(offset_negative, column->offset = -1)
SPOIL(offset_huge, column->offset = INT64_MAX)
SPOIL(offset_far, column->offset = (int64_t)1 << 60)
SPOIL(null_count_low, column->null_count = -2)
SPOIL(null_count_high, column->null_count = column->length + 1)
SPOIL(null_count_no_bitmap, column->null_count = 1)
SPOIL(null_count_wrong, hostile_null(column, 0); column->null_count = 2)
SPOIL(null_count_zero, hostile_null(column, 0); column->null_count = 0)
SPOIL(null_inside, hostile_null(column, 0))
SPOIL(one_buffer_less, column->n_buffers--)
SPOIL(one_buffer_more, column->n_buffers++)
SPOIL(two_buffers, column->n_buffers = 2)
SPOIL(no_buffers, column->n_buffers = 0)
SPOIL(buffers_huge, column->n_buffers = INT64_MAX)
SPOIL(buffers_negative, column->n_buffers = -1)
SPOIL(buffers_null, column->buffers = NULL)
SPOIL(buffer_1_null, column->buffers[1] = NULL)
SPOIL(buffer_0_null, column->buffers[0] = NULL)
SPOIL(buffer_2_null, column->buffers[2] = NULL)
SPOIL(child_extra, column->n_children = 1; column->children = &root->children[0])
SPOIL(child_less, column->n_children--)
SPOIL(child_null, column->children[0] = NULL)
SPOIL(child_released, column->children[0]->release = NULL)
SPOIL(child_short, column->children[0]->length = 0)
SPOIL(child_nulls, hostile_null(column->children[0], 0))
SPOIL(dictionary_extra, column->dictionary = column)
SPOIL(dictionary_missing, column->dictionary = NULL)
SPOIL(dictionary_released, column->dictionary->release = NULL)
SPOIL(dictionary_length, column->dictionary->length = -1)
SPOIL(union_null_count, column->null_count = 1)
SPOIL(run_ends_null, hostile_null(column->children[0], 0))
SPOIL(map_entry_null, hostile_null(column->children[0], 0))
SPOIL(map_key_null, hostile_null(column->children[0]->children[0], 0))
SPOIL(list_too_far, root->offset = column->length = (int64_t)1 << 43)

/* clang-format off */
static const struct hostile cases[] = {
    EACH("l", root_released), EACH("l", root_length), EACH("l", root_offset),
    EACH("l", root_overflow), EACH("l", root_longer), EACH("l", root_shifted),
    EACH("l", root_no_children), EACH("l", root_children_null), EACH("l", root_child_null),
    EACH("l", root_two_buffers), EACH("l", root_buffers_null), EACH("l", root_dictionary),
    EACH("l", root_null), EACH("l", root_null_count), EACH("l", root_null_count_low),
    EACH("l", released), EACH("l", length_negative), EACH("l", length_huge),
    EACH("l", length_short), EACH("l", offset_negative), EACH("l", offset_huge),
    EACH("l", offset_far), EACH("l", null_count_low), EACH("l", null_count_high),
    EACH("l", null_count_no_bitmap), EACH("l", null_count_wrong), EACH("l", null_count_zero),
    EACH("!l", null_inside), EACH("!u", null_inside), EACH("!vu", null_inside),
    EACH("l", one_buffer_less), EACH("l", one_buffer_more), EACH("l", no_buffers),
    EACH("l", buffers_huge), EACH("l", buffers_negative), EACH("vu", buffers_huge),
    EACH("l", buffers_null), EACH("l", buffer_1_null), EACH("u", buffer_1_null),
    EACH("vu", buffer_1_null), EACH("b", buffer_1_null), EACH("l", child_extra),
    EACH("l", dictionary_extra), EACH("u", one_buffer_less), EACH("u", one_buffer_more),
    EACH("vu", no_buffers), EACH("n", two_buffers), EACH("n", buffers_negative),
    CASE("u", 9, buffer_2_null), CASE("U", 400, buffer_2_null), EACH("i{u}", dictionary_missing),
    EACH("i{u}", dictionary_released), EACH("i{u}", dictionary_length), EACH("+l[l]", child_less),
    EACH("+l[l]", child_null), EACH("+l[l]", child_released), CASE("+l[l]", 9, child_short),
    CASE("+l[!l]", 9, child_nulls), EACH("+s[l]", child_short), EACH("+s[l]", child_released),
    EACH("+s[!l]", child_nulls), EACH("+w:2[l]", child_short), EACH("+w:2[!l]", child_nulls),
    EACH("+us:0,1[l;l]", child_short), EACH("+us:0,1[l;l]", union_null_count),
    EACH("+us:0,1[l;l]", buffer_0_null), EACH("+ud:0,1[l;l]", one_buffer_more),
    EACH("+vl[l]", buffer_2_null), EACH("+r[i;l]", run_ends_null),
    EACH("+r[!i;l]", one_buffer_more), EACH("+r[!i;l]", union_null_count),
    CASE("+m[+s[u;l]]", 9, map_entry_null), CASE("+m[!+s[u;l]]", 9, map_key_null),
    CASE("+w:2000000000[l]", 0, list_too_far),
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

/* A null in a field that is not nullable is no fault where nobody sees it. */
static void test_hidden_nulls_are_no_fault(void **state) {
    static const char *const types[] = {"+s[!l]", "+w:1[!l]"};
    static uint8_t row_3_null[8] = {0xF7};
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (size_t i = 0; i < 2; i++) {
        for (int is_hidden = 0; is_hidden < 2; is_hidden++) {
            struct ArrowArray array;
            hostile_make(types[i], 5, &array);
            struct ArrowArray *parent = array.children[0];
            foreign_borrow(parent->children[0], 0, row_3_null);
            parent->children[0]->null_count = -1;
            if (is_hidden) {
                foreign_borrow(parent, 0, row_3_null);
                parent->null_count = 1;
            }
            assert_int_equal(hostile_import(db, types[i], &array, KH_VALIDATE_FULL),
                             is_hidden ? KH_OK : KH_INVALID_DATA);
            if (array.release != NULL) array.release(&array);
        }
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

/* An unselected slot of a sparse union is nobody's value. */
static void test_unselected_nulls_are_no_fault(void **state) {
    static uint8_t bitmap[8];
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (int8_t code = 0; code < 2; code++) {
        struct ArrowArray array;
        hostile_make("+us:0,1[!l;u]", 4, &array);
        memset(bitmap, 0xFB, sizeof bitmap); /* row 2 */
        foreign_borrow(array.children[0]->children[0], 0, bitmap);
        array.children[0]->children[0]->null_count = -1;
        hostile_put(array.children[0], 0, 2, 1, code);
        kh_status status = hostile_import(db, "+us:0,1[!l;u]", &array, KH_VALIDATE_FULL);
        assert_int_equal(status, code == 0 ? KH_INVALID_DATA : KH_OK);
        if (array.release != NULL) array.release(&array);
    }
    home_close(&home);
    assert_int_equal(foreign_live, 0);
}

/* Producers leave out what an empty array does not need. */
static void test_empty_arrays_may_have_null_buffers(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (int type = 0; type < foreign_type_count; type++) {
        struct ArrowArray array;
        if (strchr(foreign_types[type], '[') != NULL) continue;
        hostile_make(foreign_types[type], 0, &array);
        for (int64_t i = 0; i < array.children[0]->n_buffers; i++) {
            free((void *)(uintptr_t)array.children[0]->buffers[i]);
            array.children[0]->buffers[i] = NULL;
        }
        /* A view's last buffer is its list of sizes. */
        if (foreign_types[type][0] == 'v' && array.children[0]->n_buffers > 3)
            array.children[0]->n_buffers = 3;
        assert_int_equal(hostile_import(db, foreign_types[type], &array, KH_VALIDATE_FULL), KH_OK);
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

static void test_the_message_names_the_column(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    struct ArrowArray array;
    kh_batch *batch = NULL;
    kh_error error = {""};
    kh_schema *schema = hostile_schema(db, "+l[+s[l;u]]");
    hostile_make("+l[+s[l;u]]", 5, &array);
    array.children[0]->children[0]->children[1]->null_count = -9;
    assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, &error),
                     KH_INVALID_DATA);
    assert_non_null(strstr(error.message, "'c.f0.f1'"));
    array.release(&array);
    kh_schema_release(schema);
    home_close(&home);
}

/* The lower level believes contents, never counts and pointers. */
static void test_structure_level(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    struct ArrowArray array;
    hostile_make("u", 400, &array);
    hostile_put(array.children[0], 2, 0, 1, 0xFF);
    assert_int_equal(hostile_import(db, "u", &array, KH_VALIDATE_STRUCTURE), KH_OK);
    hostile_make("u", 1, &array);
    foreign_buffer(array.children[0], 1, (int32_t[]){0, 1}, 8);
    foreign_buffer(array.children[0], 2, "\xFF", 1);
    assert_int_equal(hostile_import(db, "u", &array, KH_VALIDATE_FULL), KH_INVALID_DATA);
    assert_int_equal(hostile_import(db, "u", &array, KH_VALIDATE_STRUCTURE), KH_OK);
    hostile_make("u", 400, &array);
    array.children[0]->n_buffers = 2;
    assert_int_equal(hostile_import(db, "u", &array, KH_VALIDATE_STRUCTURE), KH_INVALID_DATA);
    array.children[0]->n_buffers = 3;
    array.release(&array);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

/* bytes: NULL, or what nobody may read. */
static void give_nulls_a_buffer(const struct ArrowSchema *schema, struct ArrowArray *array,
                                void *bytes) {
    if (strcmp(schema->format, "n") == 0) {
        free(array->buffers);
        array->n_buffers = 1;
        array->buffers = calloc(1, sizeof(void *));
        assert_non_null(array->buffers);
        foreign_borrow(array, 0, bytes);
    }
    for (int64_t i = 0; i < schema->n_children; i++)
        give_nulls_a_buffer(schema->children[i], array->children[i], bytes);
    if (schema->dictionary != NULL)
        give_nulls_a_buffer(schema->dictionary, array->dictionary, bytes);
}

static void assert_nulls_have_no_buffer(const struct ArrowSchema *schema,
                                        const struct ArrowArray *array) {
    if (strcmp(schema->format, "n") == 0) {
        assert_int_equal(array->n_buffers, 0);
        assert_int_equal(array->null_count, array->length);
    }
    for (int64_t i = 0; i < schema->n_children; i++)
        assert_nulls_have_no_buffer(schema->children[i], array->children[i]);
    if (schema->dictionary != NULL)
        assert_nulls_have_no_buffer(schema->dictionary, array->dictionary);
}

/* In with a buffer, out without one. */
static void null_buffer_passes(kh_db *db, const char *type, int64_t rows, void *bytes) {
    struct foreign_random random = {.state = 7, .has_nulls = true};
    struct ArrowSchema shape;
    struct ArrowArray array;
    struct ArrowArray out;
    kh_batch *batch = NULL;
    kh_schema *schema = hostile_schema(db, type);
    foreign_table(&shape, type);
    foreign_fill(&random, &shape, rows, &array);
    give_nulls_a_buffer(&shape, &array, bytes);
    assert_int_equal(kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
    assert_int_equal(kh_batch_row_count(batch), rows);
    assert_int_equal(kh_batch_export(batch, &out, NULL, NULL), KH_OK);
    assert_nulls_have_no_buffer(&shape, &out);
    out.release(&out);
    kh_batch_release(batch);
    kh_schema_release(schema);
    shape.release(&shape);
}

static void test_the_null_type_may_have_a_buffer(void **state) {
    static const char *const types[] = {"n", "i{n}", "+l[n]", "+s[n;l]", "+w:2[n]", "+us:0,1[n;l]",
                                        "+ud:0,1[n;l]", "+vl[n]", "+r[!i;n]"};
    static const int64_t rows[] = {0, 1, 9, 400};
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        for (size_t j = 0; j < sizeof rows / sizeof rows[0]; j++) {
            null_buffer_passes(db, types[i], rows[j], NULL);
            null_buffer_passes(db, types[i], rows[j], (void *)(uintptr_t)16);
        }
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_arrays_are_refused_and_left_alone),
        cmocka_unit_test(test_hidden_nulls_are_no_fault),
        cmocka_unit_test(test_unselected_nulls_are_no_fault),
        cmocka_unit_test(test_empty_arrays_may_have_null_buffers),
        cmocka_unit_test(test_the_message_names_the_column),
        cmocka_unit_test(test_structure_level),
        cmocka_unit_test(test_the_null_type_may_have_a_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
