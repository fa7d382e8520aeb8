/* cell.h - single values of columns, of any type: whether two are the same, and a hash.
 *
 * By value: null equals null whatever lies under it and however it is said (validity, null type, a
 * dictionary's null); dictionaries and run ends are looked through; floats compare bit by bit;
 * unions by type id and value. Two columns must be of the same type (structure of fields).
 * An index counts from the start of the buffers: row i is column->offset + i. */
#ifndef KHONSU_BATCH_CELL_H
#define KHONSU_BATCH_CELL_H

#include "batch/column.h"

bool cell_is_null(const struct column *column, int64_t index);
bool cell_equal(const struct column *a, int64_t a_index, const struct column *b, int64_t b_index);
/* Equal cells have equal hashes. */
uint64_t cell_hash(const struct column *column, int64_t index, uint64_t seed);

/* The first k in [0, count) for which a's cell a_index + k differs from b's b_index + k, or
 * count. Flat stretches compare as blocks of memory. */
int64_t cell_mismatch(const struct column *a, int64_t a_index, const struct column *b,
                      int64_t b_index, int64_t count);

#endif
