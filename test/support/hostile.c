/* hostile.c - see hostile.h. What a fault overwrites in the structs is put back before the array is
 * released. */
#include "support/hostile.h"

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

void hostile_put(const struct ArrowArray *array, int64_t buffer, int64_t index, int width,
                 int64_t value) {
    memcpy((char *)(uintptr_t)array->buffers[buffer] + index * width, &value, (size_t)width);
}

int64_t hostile_get(const struct ArrowArray *array, int64_t buffer, int64_t index, int width) {
    int64_t value = 0;
    memcpy(&value, (const char *)array->buffers[buffer] + index * width, (size_t)width);
    return value;
}

/* A bitmap with a null at row, for the whole array. */
void hostile_null(struct ArrowArray *array, int64_t row) {
    static uint8_t bitmaps[4][64];
    static int next;
    uint8_t *bitmap = bitmaps[next++ % 4];
    memset(bitmap, 0xFF, 64);
    bitmap[(array->offset + row) / 8] &= (uint8_t) ~(1u << ((array->offset + row) % 8));
    array->buffers[0] = bitmap;
    array->null_count = -1;
}

kh_schema *hostile_schema(kh_db *db, const char *type) {
    struct ArrowSchema arrow;
    kh_schema *schema = NULL;
    foreign_table(&arrow, type);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    return schema;
}

void hostile_make(const char *type, int64_t rows, struct ArrowArray *array) {
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

void hostile_refused(kh_db *db, const struct hostile *hostile) {
    struct ArrowArray array;
    struct ArrowArray spoiled;
    struct nodes nodes;
    kh_batch *batch = NULL;
    kh_error error = {""};
    kh_schema *schema = hostile_schema(db, hostile->type);
    hostile_make(hostile->type, hostile->rows, &array);
    if (strchr(hostile->type, 'v') == hostile->type) plain_views(&array, hostile);
    remember(&array, &nodes);
    hostile->spoil(&array, array.children[0]);
    spoiled = array;
    int live = foreign_live;
    kh_status status = kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &batch, &error);
    if (status != KH_INVALID_DATA)
        print_message("%s of %s, %ld rows: %s\n", hostile->name, hostile->type, (long)hostile->rows,
                      kh_status_name(status));
    assert_int_equal(status, KH_INVALID_DATA);
    assert_string_not_equal(error.message, "");
    assert_null(batch);
    assert_int_equal(foreign_live, live);
    assert_memory_equal(&array, &spoiled, sizeof array);
    restore(&nodes);
    array.release(&array);
    kh_schema_release(schema);
}

kh_status hostile_import(kh_db *db, const char *type, struct ArrowArray *array,
                         kh_validation validation) {
    kh_batch *batch = NULL;
    kh_schema *schema = hostile_schema(db, type);
    kh_status status = kh_batch_import(db, schema, array, validation, &batch, NULL);
    kh_batch_release(batch);
    kh_schema_release(schema);
    return status;
}
