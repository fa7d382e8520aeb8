/* ids.h - the id column of a batch as bytes by row, and the search for ids by value.
 *
 * An id is the bytes of its value: two columns of the same type hold the same id exactly when the
 * bytes are the same (all types that can be an id are such). Dictionary-encoded ids are looked up:
 * their value counts. */
#ifndef KHONSU_BATCH_IDS_H
#define KHONSU_BATCH_IDS_H

#include "base/arena.h"
#include "batch/column.h"

enum ids_kind { IDS_FIXED, IDS_VAR32, IDS_VAR64, IDS_VIEW };

struct ids {
    const struct column *column; /* of the values: of the dictionary where there is one */
    const struct column *indexes; /* dictionary indexes, or NULL */
    const struct field *field;    /* of the id column */
    int64_t first;                /* element of column (of indexes) that is row 0 */
    int64_t row_count;
    enum ids_kind kind;
    uint32_t width; /* IDS_FIXED */
    bool is_integer; /* of at most 8 bytes, not through a dictionary: has an order of its own */
};

/* The id column called name of a batch whose root column is given. KH_NO_ID_COLUMN, KH_NULL_ID. */
kh_status ids_open(const struct column *root, const char *name, struct ids *out, kh_error *error);

/* The id of row. */
kh_bytes ids_at(const struct ids *ids, int64_t row);
bool ids_equal(const struct ids *a, int64_t a_row, const struct ids *b, int64_t b_row);
/* Text for messages: a number, or text cut short. */
struct ids_text {
    char text[72];
};
struct ids_text ids_describe(const struct ids *ids, int64_t row);

/* Ids of one batch, by value. Ids that rise from row to row (integers as numbers, others by their
 * bytes) need no table: they are searched by halving. Other ones get a hash table (open addressing,
 * half full at most, in the arena). */
struct id_index {
    const struct ids *ids;
    uint64_t *slots; /* upper half of the hash, row + 1; 0: free. NULL: the ids rise */
    uint64_t mask;
    uint64_t seed;
};

/* KH_DUPLICATE_ID, KH_NO_MEMORY. ids is borrowed for as long as the index is used. */
kh_status id_index_build(struct id_index *index, const struct ids *ids, struct arena *arena,
                         kh_error *error);
/* The row with the id that `row` of `other` has (a column of the same type), or -1. */
int64_t id_index_find(const struct id_index *index, const struct ids *other, int64_t row);

#endif
