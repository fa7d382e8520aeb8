/* rows_public.c - the row operations of khonsu/batch.h: arguments checked, and the memory context
 * of the batch that the result replaces. */
#include "base/status.h"
#include "batch/rows.h"

static kh_status missing(kh_error *error) {
    return status_fail(error, KH_INVALID, "a required argument is NULL");
}

/* The result belongs where base does, or else where rows do. */
static struct rows_context context_of(const kh_batch *base, const kh_batch *rows,
                                      const char *id_column) {
    return (struct rows_context){.mem = batch_mem(base != NULL ? base : rows),
                                 .id_column = id_column};
}

kh_status kh_batch_take(const kh_batch *batch, const int64_t *row_indexes, int64_t index_count,
                        kh_batch **out, kh_error *error) {
    if (batch == NULL || out == NULL || index_count < 0 ||
        (row_indexes == NULL && index_count > 0))
        return missing(error);
    struct rows_context context = context_of(batch, batch, NULL);
    return rows_take(&context, batch, row_indexes, index_count, out, error);
}

kh_status kh_batch_slice(const kh_batch *batch, int64_t offset, int64_t length, kh_batch **out,
                         kh_error *error) {
    if (batch == NULL || out == NULL)
        return missing(error);
    struct rows_context context = context_of(batch, batch, NULL);
    return rows_slice(&context, batch, offset, length, out, error);
}

kh_status kh_batch_concat(const kh_batch *base, const kh_batch *rows, kh_batch **out,
                          kh_error *error) {
    if (rows == NULL || out == NULL)
        return missing(error);
    struct rows_context context = context_of(base, rows, NULL);
    return rows_concat(&context, base, rows, out, error);
}

kh_status kh_batch_insert_rows(const kh_batch *base, const kh_batch *rows, const char *id_column,
                               kh_batch **out, kh_error *error) {
    if (rows == NULL || out == NULL)
        return missing(error);
    struct rows_context context = context_of(base, rows, id_column);
    return rows_insert(&context, base, rows, out, error);
}

kh_status kh_batch_upsert_rows(const kh_batch *base, const kh_batch *rows, const char *id_column,
                               kh_batch **out, kh_error *error) {
    if (rows == NULL || out == NULL)
        return missing(error);
    struct rows_context context = context_of(base, rows, id_column);
    return rows_upsert(&context, base, rows, out, error);
}

kh_status kh_batch_update_rows(const kh_batch *base, const kh_batch *rows, const char *id_column,
                               kh_batch **out, kh_error *error) {
    if (rows == NULL || out == NULL)
        return missing(error);
    struct rows_context context = context_of(base, rows, id_column);
    return rows_update(&context, base, rows, out, error);
}

kh_status kh_batch_delete_rows(const kh_batch *base, const kh_batch *ids, const char *id_column,
                               kh_batch **out, kh_error *error) {
    if (ids == NULL || out == NULL)
        return missing(error);
    struct rows_context context = context_of(base, ids, id_column);
    return rows_delete(&context, base, ids, out, error);
}

kh_status kh_batch_merge(const kh_batch *base, const kh_batch *mine, const kh_batch *theirs,
                         const char *id_column, kh_batch **out, kh_merge_conflict *conflict,
                         kh_error *error) {
    if (mine == NULL || theirs == NULL || out == NULL)
        return missing(error);
    struct rows_context context = context_of(base != NULL ? base : theirs, mine, id_column);
    return rows_merge(&context, base, mine, theirs, out, conflict, error);
}
