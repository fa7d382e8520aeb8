/* column.h - a batch as a tree of columns: one way to look at every layout of batch, so that row
 * operations, comparison and the IPC encoder are written once. Borrowed: nothing is copied, the
 * tree points into the batch's buffers and lives in the caller's arena. */
#ifndef KHONSU_BATCH_COLUMN_H
#define KHONSU_BATCH_COLUMN_H

#include "base/arena.h"
#include "batch/batch.h"
#include "batch/schema.h"

/* Foreign buffers need not be aligned: read elements through raw.h (or memcpy).
 * LAYOUT_NULL has no validity and null_count == length: every element is null. Unions and run-end
 * encoded columns have no nulls of their own. offsets may be NULL where length is 0. */
struct column {
    const struct field *field;
    int64_t length;          /* logical: what the parent sees */
    int64_t offset;          /* first logical element in the buffers, as in the C Data Interface */
    int64_t null_count;      /* of [offset, offset + length); -1: not computed */
    const uint8_t *validity; /* NULL: no nulls */
    const void *values;      /* FIXED values; VAR bytes; VIEW views; unions: type ids */
    const void *offsets;     /* VAR, LIST: offsets; LISTVIEW: offsets; dense union: offsets */
    const void *sizes;       /* LISTVIEW */
    const void *const *view_buffers; /* VIEW: view_buffer_count data buffers */
    const int64_t *view_sizes;
    int64_t view_buffer_count;
    struct column *children; /* field->child_count, each with its own offset */
    struct column *dictionary;
};

/* The root column (a struct whose children are the batch's columns; row i of the batch is element
 * offset + i). Children of a struct with an offset are given as the C Data Interface has them:
 * their element for row i is child.offset + root.offset + i. KH_NO_MEMORY. */
kh_status column_view(const kh_batch *batch, struct arena *arena, struct column *out,
                      kh_error *error);

static inline bool column_is_null_bit(const uint8_t *validity, int64_t index) {
    return validity != NULL && ((validity[index >> 3] >> (index & 7)) & 1) == 0;
}

#endif
