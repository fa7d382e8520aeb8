/* gather.h - build columns from rows of up to three other columns of the same type: the one
 * engine below take, slice, concat, insert, upsert, update, delete and merge.
 *
 * What goes where is a list of runs: (source, first row, row count), in the order of the result.
 * Neighbouring rows of one source make one run, so that the common case (all but a few rows come
 * from one batch) is a handful of block copies. Nested columns turn their parent's runs into runs
 * over their children.
 *
 * Results have offset 0, known null counts, and a validity bitmap only where there are nulls.
 * Dictionaries that differ are unified: values that the first source lacks are appended; only when
 * that outgrows the index type are values dropped that no row uses. Bytes of views are copied
 * together, into no more space than the sources' buffers took.
 *
 * Failure: KH_NO_MEMORY; KH_TOO_BIG (32-bit offsets, run ends or dictionary indexes outgrown, or a
 * buffer beyond LIMIT_BATCH_BYTES); KH_INVALID_DATA (a union's type id or a dictionary index that
 * the type does not have, in a batch that was imported without full validation). What was built
 * until then belongs to the owner. */
#ifndef KHONSU_BATCH_GATHER_H
#define KHONSU_BATCH_GATHER_H

#include "base/arena.h"
#include "batch/column.h"
#include "batch/owned.h"
#include "batch/raw.h"

enum { GATHER_SOURCES = 3 };

struct run {
    int64_t start; /* first row, relative to the source's first row */
    int64_t length;
    int32_t source;
};

struct run_list {
    struct arena *arena;
    struct run *runs;
    size_t count;
    size_t capacity;
    int64_t length; /* rows of all runs */
};

/* A column to take rows from: row i is element first + i of its buffers. */
struct source {
    const struct column *column;
    int64_t first;
};

struct sources {
    struct source at[GATHER_SOURCES];
    int count;
};

struct gather {
    struct owned *owned; /* results */
    struct arena *arena; /* run lists and plans */
    int64_t offset32_max; /* INT32_MAX; tests lower it */
    kh_error *error;
};

static inline void run_list_init(struct run_list *list, struct arena *arena) {
    *list = (struct run_list){.arena = arena};
}
/* Append rows; they join the last run when they continue it. KH_NO_MEMORY. */
kh_status run_list_add_slow(struct run_list *list, int source, int64_t start, int64_t length,
                            kh_error *error);
static inline kh_status run_list_add(struct run_list *list, int source, int64_t start,
                                     int64_t length, kh_error *error) {
    if (length == 0)
        return KH_OK;
    if (list->count > 0) {
        struct run *last = &list->runs[list->count - 1];
        if (last->source == source && last->start + last->length == start) {
            last->length += length;
            list->length += length;
            return KH_OK;
        }
    }
    return run_list_add_slow(list, source, start, length, error);
}

/* Build in *out the rows that runs name, of columns of type field. */
kh_status gather_column(const struct gather *gather, const struct field *field,
                        const struct sources *sources, const struct run_list *runs,
                        struct ArrowArray *out);

/* ---- between the files of the engine --------------------------------------------------------- */

/* A buffer of the result, zeroed if asked. */
kh_status gather_alloc(const struct gather *gather, uint64_t size_bytes, bool is_zeroed,
                       void **out);
/* Element i of the runs' sources is column->children[child]'s, first of each source as given. */
struct sources gather_children(const struct sources *sources, int child);
/* buffers[0] and null_count of *out. */
kh_status gather_validity(const struct gather *gather, const struct sources *sources,
                          const struct run_list *runs, struct ArrowArray *out);
/* Fixed-width values, at least a byte wide, into a new buffer. */
kh_status gather_values(const struct gather *gather, const struct sources *sources,
                        const struct run_list *runs, uint64_t width_bytes, const void **out);

kh_status gather_view(const struct gather *gather, const struct sources *sources,
                      const struct run_list *runs, struct ArrowArray *out);
kh_status gather_list(const struct gather *gather, const struct field *field,
                      const struct sources *sources, const struct run_list *runs,
                      struct ArrowArray *out);
kh_status gather_list_view(const struct gather *gather, const struct field *field,
                           const struct sources *sources, const struct run_list *runs,
                           struct ArrowArray *out);
kh_status gather_dense_union(const struct gather *gather, const struct field *field,
                             const struct sources *sources, const struct run_list *runs,
                             struct ArrowArray *out);
kh_status gather_run_end(const struct gather *gather, const struct field *field,
                         const struct sources *sources, const struct run_list *runs,
                         struct ArrowArray *out);
kh_status gather_dictionary(const struct gather *gather, const struct field *field,
                            const struct sources *sources, const struct run_list *runs,
                            struct ArrowArray *out);

/* An integer of 8, 16, 32 or 64 bits, widened: raw_integer, inlined for loops over rows. */
static inline int64_t gather_integer(const void *values, int64_t index, int32_t bits,
                                     bool is_signed) {
    switch (bits) {
    case 8:
        return is_signed ? ((const int8_t *)values)[index] : ((const uint8_t *)values)[index];
    case 32: {
        int32_t value = raw_i32(values, index);
        return is_signed ? value : (int64_t)(uint32_t)value;
    }
    case 64:
        return raw_i64(values, index);
    default:
        return raw_integer(values, index, bits, is_signed);
    }
}

/* The run of a run-end encoded column that holds element index (counted from the start of its
 * rows, offset included): position in its values. */
int64_t gather_find_run(const struct column *column, int64_t index);

/* An element of an offsets or sizes buffer. */
static inline int64_t gather_offset(const void *offsets, int64_t index, bool is_wide) {
    return is_wide ? raw_i64(offsets, index) : raw_i32(offsets, index);
}

#endif
