/* rows_kit.h - batches with an id column and a column of any type, and what rows they hold, said by
 * foreign_text: for the tests of row operations. */
#ifndef TEST_SUPPORT_ROWS_KIT_H
#define TEST_SUPPORT_ROWS_KIT_H

#include "batch/rows.h"
#include "support/foreign.h"
#include "support/home.h"

/* Where a row of a result has to come from: its id from one batch, the rest from another. */
struct rows_origin {
    const kh_batch *id_batch;
    int64_t id_row;
    const kh_batch *batch;
    int64_t row;
};

/* "id" of the type id_type (not nullable 64-bit integers if NULL) and "c" of type, with random
 * contents; ids (if given) are written over the first column, which has to be 64 bits wide. */
kh_batch *rows_kit_batch(kh_db *db, const char *id_type, const char *type, const int64_t *ids,
                         int64_t count, struct foreign_random *random);
/* Only the column of ids. */
kh_batch *rows_kit_ids(kh_db *db, const int64_t *ids, int64_t count);
/* Columns by name and type, random contents. */
kh_batch *rows_kit_columns(kh_db *db, const char *const *columns, int64_t column_count,
                           int64_t row_count, struct foreign_random *random);
/* The value of a cell in words; a heap string. */
char *rows_kit_text(const kh_batch *batch, int64_t column, int64_t row);
/* Whether result, of count rows, has the rows named; says what differs. */
bool rows_kit_matches(const kh_batch *result, const struct rows_origin *origins, int64_t count);

#endif
