/* validate_test.c - hostile and broken arrays: each gives KH_INVALID_DATA and stays with the caller
 * as it was; arrays that are odd but right go in. */
#include "batch/batch.h"
#include "support/foreign.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 6, BUFFERS = 8 };

/* The nodes that a case may spoil: root, column, its first two children, its dictionary, its first
 * grandchild. */
struct nodes {
    struct ArrowArray *at[NODES];
    struct ArrowArray before[NODES];
    const void *buffers[NODES][BUFFERS];
    struct ArrowArray *children[NODES][2];
};

static void remember(struct ArrowArray *root, struct nodes *nodes) {
    struct ArrowArray *column = root->children[0];
    *nodes = (struct nodes){.at = {root, column}};
    for (int64_t i = 0; i < column->n_children && i < 2; i++)
        nodes->at[2 + i] = column->children[i];
    nodes->at[4] = column->dictionary;
    if (column->n_children > 0 && column->children[0]->n_children > 0)
        nodes->at[5] = column->children[0]->children[0];
    for (int i = 0; i < NODES; i++) {
        if (nodes->at[i] == NULL) continue;
        nodes->before[i] = *nodes->at[i];
        for (int64_t k = 0; k < nodes->at[i]->n_buffers; k++)
            nodes->buffers[i][k] = nodes->at[i]->buffers[k];
        for (int64_t k = 0; k < nodes->at[i]->n_children && k < 2; k++)
            nodes->children[i][k] = nodes->at[i]->children[k];
    }
}

static void restore(struct nodes *nodes) {
    for (int i = 0; i < NODES; i++) {
        if (nodes->at[i] == NULL) continue;
        *nodes->at[i] = nodes->before[i];
        for (int64_t k = 0; k < nodes->at[i]->n_buffers; k++)
            nodes->at[i]->buffers[k] = nodes->buffers[i][k];
        for (int64_t k = 0; k < nodes->at[i]->n_children && k < 2; k++)
            nodes->at[i]->children[k] = nodes->children[i][k];
    }
}

static void put(const struct ArrowArray *array, int64_t buffer, int64_t index, int width,
                int64_t value) {
    memcpy((char *)(uintptr_t)array->buffers[buffer] + index * width, &value, (size_t)width);
}

static int64_t get(const struct ArrowArray *array, int64_t buffer, int64_t index, int width) {
    int64_t value = 0;
    memcpy(&value, (const char *)array->buffers[buffer] + index * width, (size_t)width);
    return value;
}

/* A bitmap with a null at row, for the whole array. */
static void put_null(struct ArrowArray *array, int64_t row) {
    static uint8_t bitmaps[4][64];
    static int next;
    uint8_t *bitmap = bitmaps[next++ % 4];
    memset(bitmap, 0xFF, 64);
    bitmap[(array->offset + row) / 8] &= (uint8_t) ~(1u << ((array->offset + row) % 8));
    array->buffers[0] = bitmap;
    array->null_count = -1;
}

#define SPOIL(name) static void name(struct ArrowArray *root, struct ArrowArray *column)
#define UNUSED(x) ((void)(x))

SPOIL(root_released) { UNUSED(column); root->release = NULL; }
SPOIL(root_length) { UNUSED(column); root->length = -1; }
SPOIL(root_offset) { UNUSED(column); root->offset = -1; }
SPOIL(root_overflow) { UNUSED(column); root->offset = INT64_MAX; }
SPOIL(root_longer) { UNUSED(column); root->length++; }
SPOIL(root_shifted) { UNUSED(column); root->offset++; }
SPOIL(root_no_children) { UNUSED(column); root->n_children = 0; }
SPOIL(root_children_null) { UNUSED(column); root->children = NULL; }
SPOIL(root_child_null) { UNUSED(column); root->children[0] = NULL; }
SPOIL(root_two_buffers) { UNUSED(column); root->n_buffers = 2; }
SPOIL(root_buffers_null) { UNUSED(column); root->buffers = NULL; }
SPOIL(root_dictionary) { root->dictionary = column; }
SPOIL(root_null) { UNUSED(column); put_null(root, 0); }
SPOIL(root_null_count) { UNUSED(column); root->null_count = 1; }
SPOIL(root_null_count_low) { UNUSED(column); root->null_count = -2; }
SPOIL(released) { UNUSED(root); column->release = NULL; }
SPOIL(length_negative) { UNUSED(root); column->length = -1; }
SPOIL(length_huge) { UNUSED(root); column->length = INT64_MAX; }
SPOIL(length_short) { UNUSED(root); column->length--; }
SPOIL(offset_negative) { UNUSED(root); column->offset = -1; }
SPOIL(offset_huge) { UNUSED(root); column->offset = INT64_MAX; }
SPOIL(offset_far) { UNUSED(root); column->offset = (int64_t)1 << 60; }
SPOIL(null_count_low) { UNUSED(root); column->null_count = -2; }
SPOIL(null_count_high) { UNUSED(root); column->null_count = column->length + 1; }
SPOIL(null_count_no_bitmap) { UNUSED(root); column->null_count = 1; }
SPOIL(null_count_wrong) { UNUSED(root); put_null(column, 0); column->null_count = 2; }
SPOIL(null_count_zero) { UNUSED(root); put_null(column, 0); column->null_count = 0; }
SPOIL(null_inside) { UNUSED(root); put_null(column, 0); }
SPOIL(one_buffer_less) { UNUSED(root); column->n_buffers--; }
SPOIL(one_buffer_more) { UNUSED(root); column->n_buffers++; }
SPOIL(no_buffers) { UNUSED(root); column->n_buffers = 0; }
SPOIL(buffers_huge) { UNUSED(root); column->n_buffers = INT64_MAX; }
SPOIL(buffers_negative) { UNUSED(root); column->n_buffers = -1; }
SPOIL(buffers_null) { UNUSED(root); column->buffers = NULL; }
SPOIL(buffer_1_null) { UNUSED(root); column->buffers[1] = NULL; }
SPOIL(buffer_0_null) { UNUSED(root); column->buffers[0] = NULL; }
SPOIL(buffer_2_null) { UNUSED(root); column->buffers[2] = NULL; }
SPOIL(child_extra) { column->n_children = 1; column->children = &root->children[0]; }
SPOIL(child_less) { UNUSED(root); column->n_children--; }
SPOIL(child_null) { UNUSED(root); column->children[0] = NULL; }
SPOIL(child_released) { UNUSED(root); column->children[0]->release = NULL; }
SPOIL(child_short) { UNUSED(root); column->children[0]->length = 0; }
SPOIL(child_nulls) { UNUSED(root); put_null(column->children[0], 0); }
SPOIL(dictionary_extra) { UNUSED(root); column->dictionary = column; }
SPOIL(dictionary_missing) { UNUSED(root); column->dictionary = NULL; }
SPOIL(dictionary_released) { UNUSED(root); column->dictionary->release = NULL; }
SPOIL(dictionary_length) { UNUSED(root); column->dictionary->length = -1; }
SPOIL(index_high) { UNUSED(root); put(column, 1, 0, 4, column->dictionary->length); }
SPOIL(index_negative) { UNUSED(root); put(column, 1, 0, 4, -1); }
SPOIL(index_u64) { UNUSED(root); put(column, 1, 0, 8, INT64_MIN); }
SPOIL(offset_first_negative) { UNUSED(root); put(column, 1, 0, 4, -1); }
SPOIL(offset_first_negative_64) { UNUSED(root); put(column, 1, 0, 8, -1); }
SPOIL(offset_last_low) { UNUSED(root); put(column, 1, column->length, 4, -5); }
SPOIL(offset_last_huge_64) { UNUSED(root); put(column, 1, column->length, 8, INT64_MAX); }
SPOIL(offsets_fall) {
    UNUSED(root);
    put(column, 1, 1, 4, get(column, 1, column->length, 4) + 1);
}
SPOIL(offsets_fall_64) {
    UNUSED(root);
    put(column, 1, 1, 8, get(column, 1, column->length, 8) + 1);
}
SPOIL(offset_beyond_child) { UNUSED(root); column->children[0]->length--; }
SPOIL(utf8_broken) { UNUSED(root); put(column, 2, 0, 1, 0xFF); }
SPOIL(utf8_cut) { /* a two-byte character across two rows */
    UNUSED(root);
    put(column, 2, 0, 2, 0xA9C3);
    put(column, 1, 0, 4, 0);
    put(column, 1, 1, 4, 1);
}
SPOIL(view_length) { UNUSED(root); put(column, 1, 0, 4, -1); }
SPOIL(view_padding) { UNUSED(root); put(column, 1, 0, 8, 1 | (int64_t)'a' << 32 | (int64_t)1 << 40); }
static void long_view(struct ArrowArray *column, int32_t buffer, int32_t offset, int64_t prefix) {
    put(column, 1, 0, 4, 20);
    put(column, 1, 1, 4, prefix);
    put(column, 1, 2, 4, buffer);
    put(column, 1, 3, 4, offset);
}
static int64_t prefix_of(struct ArrowArray *column) {
    return get(column, 2, 0, 4);
}
SPOIL(view_buffer_high) {
    UNUSED(root);
    long_view(column, (int32_t)column->n_buffers - 3, 0, prefix_of(column));
}
SPOIL(view_buffer_negative) { UNUSED(root); long_view(column, -1, 0, prefix_of(column)); }
SPOIL(view_offset_negative) { UNUSED(root); long_view(column, 0, -1, prefix_of(column)); }
SPOIL(view_offset_high) { UNUSED(root); long_view(column, 0, 11, prefix_of(column)); }
SPOIL(view_prefix) { UNUSED(root); long_view(column, 0, 0, prefix_of(column) + 1); }
SPOIL(view_utf8) {
    UNUSED(root);
    int64_t prefix = prefix_of(column);
    put(column, 2, 10, 1, 0x80);
    long_view(column, 0, 0, prefix);
}
SPOIL(view_utf8_inline) {
    UNUSED(root);
    put(column, 1, 0, 8, 1 | (int64_t)0xFF << 32);
    put(column, 1, 1, 8, 0);
}
SPOIL(view_sizes_null) { UNUSED(root); column->buffers[column->n_buffers - 1] = NULL; }
SPOIL(view_size_negative) { UNUSED(root); put(column, column->n_buffers - 1, 0, 8, -1); }
SPOIL(view_data_null) {
    UNUSED(root);
    put(column, column->n_buffers - 1, 0, 8, 7);
    column->buffers[2] = NULL;
}
SPOIL(union_code) { UNUSED(root); put(column, 0, 0, 1, 4); }
SPOIL(union_code_negative) { UNUSED(root); put(column, 0, 0, 1, -3); }
SPOIL(union_offset_high) { /* nanoarrow lets this one pass */
    UNUSED(root);
    put(column, 0, 0, 1, 0);
    put(column, 1, 0, 4, column->children[0]->length);
}
SPOIL(union_offset_negative) { UNUSED(root); put(column, 1, 0, 4, -1); }
SPOIL(union_null_count) { UNUSED(root); column->null_count = 1; }
SPOIL(list_view_offset) { UNUSED(root); put(column, 1, 0, 4, -1); }
SPOIL(list_view_size) { UNUSED(root); put(column, 2, 0, 4, -1); }
SPOIL(list_view_far) {
    UNUSED(root);
    put(column, 1, 0, 4, 1);
    put(column, 2, 0, 4, column->children[0]->length);
}
SPOIL(list_view_overflow) {
    UNUSED(root);
    put(column, 1, 0, 8, INT64_MAX);
    put(column, 2, 0, 8, INT64_MAX);
}
SPOIL(runs_zero) { UNUSED(root); put(column->children[0], 1, 0, 4, 0); }
SPOIL(runs_equal) {
    UNUSED(root);
    put(column->children[0], 1, 1, 4, get(column->children[0], 1, 0, 4));
}
SPOIL(runs_short) { UNUSED(root); column->children[0]->length--; }
SPOIL(runs_none) { UNUSED(root); column->children[0]->length = 0; }
SPOIL(run_values_short) { UNUSED(root); column->children[1]->length--; }
SPOIL(run_ends_null) { UNUSED(root); put_null(column->children[0], 0); }
SPOIL(map_entry_null) { UNUSED(root); put_null(column->children[0], 0); }
SPOIL(map_key_null) { UNUSED(root); put_null(column->children[0]->children[0], 0); }
SPOIL(list_too_far) { root->offset = column->length = (int64_t)1 << 43; }

struct hostile {
    const char *name;
    const char *type;
    int64_t rows;
    void (*spoil)(struct ArrowArray *root, struct ArrowArray *column);
};

#define CASE(type, rows, spoil) {#spoil, type, rows, spoil}
/* One row goes the short way in, several the long way, many are adopted. */
#define EACH(type, spoil) CASE(type, 1, spoil), CASE(type, 9, spoil), CASE(type, 400, spoil)

static const struct hostile hostile_cases[] = {
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
    EACH("vu", no_buffers), EACH("n", one_buffer_more), EACH("u", offset_first_negative),
    EACH("z", offset_last_low), EACH("U", offset_first_negative_64),
    EACH("Z", offset_last_huge_64), CASE("u", 9, offsets_fall), CASE("u", 400, offsets_fall),
    CASE("Z", 9, offsets_fall_64), CASE("u", 9, buffer_2_null), CASE("U", 400, buffer_2_null),
    CASE("u", 9, utf8_broken), CASE("u", 400, utf8_broken), CASE("U", 9, utf8_broken),
    CASE("u", 9, utf8_cut), EACH("vu", view_length), EACH("vz", view_padding),
    EACH("vz", view_buffer_high), EACH("vz", view_buffer_negative),
    EACH("vz", view_offset_negative), EACH("vz", view_offset_high), EACH("vz", view_prefix),
    EACH("vu", view_utf8), EACH("vu", view_utf8_inline), EACH("vz", view_sizes_null),
    EACH("vz", view_size_negative), EACH("vz", view_data_null),
    EACH("i{u}", dictionary_missing), EACH("i{u}", dictionary_released),
    EACH("i{u}", dictionary_length), EACH("i{u}", index_high), EACH("i{u}", index_negative),
    EACH("L{u}", index_u64), EACH("+l[l]", child_less), EACH("+l[l]", child_null),
    EACH("+l[l]", child_released), CASE("+l[l]", 9, child_short),
    CASE("+l[l]", 9, offset_beyond_child), CASE("+l[l]", 9, offsets_fall),
    CASE("+l[l]", 9, offset_first_negative), CASE("+L[l]", 9, offset_first_negative_64),
    CASE("+L[l]", 9, offset_last_huge_64), CASE("+l[!l]", 9, child_nulls),
    EACH("+s[l]", child_short), EACH("+s[l]", child_released), EACH("+s[!l]", child_nulls),
    EACH("+w:2[l]", child_short), EACH("+w:2[!l]", child_nulls), EACH("+us:0,1[l;l]", child_short),
    EACH("+us:0,1[l;l]", union_code), EACH("+us:0,1[l;l]", union_code_negative),
    EACH("+us:0,1[l;l]", union_null_count), EACH("+us:0,1[l;l]", buffer_0_null),
    EACH("+ud:0,1[l;l]", union_code), EACH("+ud:0,1[l;l]", union_offset_high),
    EACH("+ud:0,1[l;l]", union_offset_negative), EACH("+ud:0,1[l;l]", one_buffer_more),
    EACH("+vl[l]", list_view_offset), EACH("+vl[l]", list_view_size),
    EACH("+vl[l]", list_view_far), EACH("+vL[l]", list_view_overflow),
    EACH("+vl[l]", buffer_2_null), EACH("+r[!i;l]", runs_zero), CASE("+r[!i;l]", 400, runs_equal),
    EACH("+r[!i;l]", runs_short), EACH("+r[!i;l]", runs_none), EACH("+r[!i;l]", run_values_short),
    EACH("+r[i;l]", run_ends_null), EACH("+r[!i;l]", one_buffer_more),
    EACH("+r[!i;l]", union_null_count), CASE("+m[+s[u;l]]", 9, map_entry_null),
    CASE("+m[!+s[u;l]]", 9, map_key_null), CASE("+w:2000000000[l]", 0, list_too_far),
};

static kh_schema *schema_of(kh_db *db, const char *type) {
    struct ArrowSchema arrow;
    kh_schema *schema = NULL;
    foreign_table(&arrow, type);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    return schema;
}

static void make(const char *type, int64_t rows, struct ArrowArray *array) {
    struct foreign_random random = {3, false, false};
    struct ArrowSchema arrow;
    foreign_table(&arrow, type);
    foreign_fill(&random, &arrow, rows, array);
    arrow.release(&arrow);
}

/* Views of nothing, and a data buffer of 30 bytes. */
static void plain_views(struct ArrowArray *root, const struct hostile *hostile) {
    struct ArrowArray *column = root->children[0];
    int64_t size_bytes = 30;
    column->release(column);
    foreign_array(column, hostile->rows, 4, 0, false);
    foreign_buffer(column, 1, NULL, (size_t)hostile->rows * 16);
    foreign_buffer(column, 2, "twenty bytes of text, and more", 30);
    foreign_buffer(column, 3, &size_bytes, 8);
}

static void run_case(kh_db *db, const struct hostile *hostile) {
    struct ArrowArray array;
    struct ArrowArray spoiled;
    struct nodes nodes;
    kh_batch *batch = NULL;
    kh_error error = {""};
    kh_schema *schema = schema_of(db, hostile->type);
    make(hostile->type, hostile->rows, &array);
    if (strchr(hostile->type, 'v') == hostile->type) plain_views(&array, hostile);
    remember(&array, &nodes);
    hostile->spoil(&array, array.children[0]);
    spoiled = array;
    int live = foreign_live;
    kh_status status = kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, &error);
    if (status != KH_INVALID_DATA)
        print_message("%s of %s, %ld rows: %s\n", hostile->name, hostile->type,
                      (long)hostile->rows, kh_status_name(status));
    assert_int_equal(status, KH_INVALID_DATA);
    assert_string_not_equal(error.message, "");
    assert_null(batch);
    assert_int_equal(foreign_live, live);
    assert_memory_equal(&array, &spoiled, sizeof array);
    restore(&nodes);
    array.release(&array);
    kh_schema_release(schema);
}

static void test_hostile_arrays_are_refused_and_left_alone(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (size_t i = 0; i < sizeof hostile_cases / sizeof hostile_cases[0]; i++)
        run_case(db, &hostile_cases[i]);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

static kh_status import(kh_db *db, const char *type, struct ArrowArray *array,
                        kh_validation validation) {
    kh_batch *batch = NULL;
    kh_schema *schema = schema_of(db, type);
    kh_status status = kh_batch_import(db, schema, array, validation, &batch, NULL);
    kh_batch_release(batch);
    kh_schema_release(schema);
    return status;
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
            make(types[i], 5, &array);
            struct ArrowArray *parent = array.children[0];
            foreign_borrow(parent->children[0], 0, row_3_null);
            parent->children[0]->null_count = -1;
            if (is_hidden) {
                foreign_borrow(parent, 0, row_3_null);
                parent->null_count = 1;
            }
            assert_int_equal(import(db, types[i], &array, KH_VALIDATE_FULL),
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
        make("+us:0,1[!l;u]", 4, &array);
        memset(bitmap, 0xFB, sizeof bitmap); /* row 2 */
        foreign_borrow(array.children[0]->children[0], 0, bitmap);
        array.children[0]->children[0]->null_count = -1;
        put(array.children[0], 0, 2, 1, code);
        kh_status status = import(db, "+us:0,1[!l;u]", &array, KH_VALIDATE_FULL);
        assert_int_equal(status, code == 0 ? KH_INVALID_DATA : KH_OK);
        if (array.release != NULL) array.release(&array);
    }
    home_close(&home);
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
            make(types[i], rows, &array);
            struct ArrowArray *column = array.children[0];
            memset(bitmap, 0, sizeof bitmap); /* all null */
            foreign_borrow(column, 0, bitmap);
            column->null_count = rows;
            if (types[i][0] == 'v') {
                put(column, 1, 0, 4, 1000);
                put(column, 1, 2, 4, 1000);
            } else if (types[i][0] == 'i') {
                put(column, 1, 0, 4, -7);
            } else {
                put(column, 2, 0, 1, 0xFF);
            }
            assert_int_equal(import(db, types[i], &array, KH_VALIDATE_FULL), KH_OK);
        }
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
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
        make(foreign_types[type], 0, &array);
        for (int64_t i = 0; i < array.children[0]->n_buffers; i++) {
            free((void *)(uintptr_t)array.children[0]->buffers[i]);
            array.children[0]->buffers[i] = NULL;
        }
        /* A view's last buffer is its list of sizes. */
        if (foreign_types[type][0] == 'v' && array.children[0]->n_buffers > 3)
            array.children[0]->n_buffers = 3;
        assert_int_equal(import(db, foreign_types[type], &array, KH_VALIDATE_FULL), KH_OK);
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
    kh_schema *schema = schema_of(db, "+l[+s[l;u]]");
    make("+l[+s[l;u]]", 5, &array);
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
    make("u", 400, &array);
    put(array.children[0], 2, 0, 1, 0xFF);
    assert_int_equal(import(db, "u", &array, KH_VALIDATE_STRUCTURE), KH_OK);
    make("u", 1, &array);
    foreign_buffer(array.children[0], 1, (int32_t[]){0, 1}, 8);
    foreign_buffer(array.children[0], 2, "\xFF", 1);
    assert_int_equal(import(db, "u", &array, KH_VALIDATE_FULL), KH_INVALID_DATA);
    assert_int_equal(import(db, "u", &array, KH_VALIDATE_STRUCTURE), KH_OK);
    make("u", 400, &array);
    array.children[0]->n_buffers = 2;
    assert_int_equal(import(db, "u", &array, KH_VALIDATE_STRUCTURE), KH_INVALID_DATA);
    array.children[0]->n_buffers = 3;
    array.release(&array);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_arrays_are_refused_and_left_alone),
        cmocka_unit_test(test_hidden_nulls_are_no_fault),
        cmocka_unit_test(test_unselected_nulls_are_no_fault),
        cmocka_unit_test(test_contents_under_nulls_do_not_matter),
        cmocka_unit_test(test_empty_arrays_may_have_null_buffers),
        cmocka_unit_test(test_the_message_names_the_column),
        cmocka_unit_test(test_structure_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
