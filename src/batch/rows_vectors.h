/* rows_vectors.h - sums of vector cells, for merges that add what both sides did to a vector.
 *
 * A vector column is a fixed-size list of float32 or float64. What one side did to a cell is the
 * difference of its elements; both done one after the other give theirs + (mine - base), each step
 * rounded once, in the element's own type. An element that one side left alone is the other's. That
 * is no exact arithmetic, but the same everywhere, and "theirs" is what was committed first: the
 * result depends on the order of commits only. */
#ifndef KHONSU_BATCH_ROWS_VECTORS_H
#define KHONSU_BATCH_ROWS_VECTORS_H

#include "batch/rows.h"

struct vector_sums {
    const struct field *field;
    struct arena *arena;
    unsigned char *elements; /* cell after cell */
    int64_t count;           /* cells */
    int64_t capacity;
};

bool vectors_can_add(const struct field *field);
/* The id column and columns of finite vectors, at least one, and nothing else. id_column NULL:
 * "id". KH_INVALID_DATA. */
kh_status vectors_check(const kh_batch *batch, const char *id_column, kh_error *error);
void vectors_init(struct vector_sums *sums, const struct field *field, struct arena *arena);
/* Add one cell, of these rows of the column in the three roots. False: a cell or an element is null
 * or not finite, or the sum is not: there is none (or *is_failed: no memory). */
bool vectors_add(struct vector_sums *sums, int32_t column, const struct column *const roots[3],
                 const int64_t rows[3], bool *is_failed);
/* The sums as a root of which only this column is there. NULL: no memory. */
const struct column *vectors_root(const struct vector_sums *sums, int32_t column,
                                  const struct column *like);

#endif
