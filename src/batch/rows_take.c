/* rows_take.c - row operations that do not look at ids: take, slice, concat. See khonsu/batch.h.
 *
 * A slice of an adopted batch shares its buffers if it keeps at least half of the rows; everything
 * else is gathered into buffers of its own. */
#include "batch/rows.h"

#include "base/status.h"
#include "batch/adopted.h"

kh_status rows_take(const struct rows_context *context, const kh_batch *batch,
                    const int64_t *row_indexes, int64_t index_count, kh_batch **out,
                    kh_error *error) {
    struct rows_work work;
    struct run_list runs;
    struct column *root;
    kh_status status;
    rows_work_init(&work, context, error);
    run_list_init(&runs, &work.arena);
    KH_TRY(rows_view(&work, batch, &root));
    for (int64_t i = 0; i < index_count; i++) {
        if (row_indexes[i] < 0 || row_indexes[i] >= (int64_t)batch->row_count) {
            status = status_fail(error, KH_INVALID, "row index %lld is not in [0, %u)",
                                 (long long)row_indexes[i], batch->row_count);
            goto done;
        }
        KH_TRY(run_list_add(&runs, 0, row_indexes[i], 1, error));
    }
    const struct column *const roots[] = {root};
    status = rows_build(&work, batch->schema, roots, 1, &runs, out);
done:
    rows_work_fini(&work);
    return status;
}

/* An export of the batch, narrowed and imported again. */
static kh_status share_slice(const struct rows_context *context, const kh_batch *batch,
                             int64_t offset, int64_t length, kh_batch **out, kh_error *error) {
    struct ArrowArray array;
    kh_status status = kh_batch_export(batch, &array, NULL, error);
    if (status != KH_OK)
        return status;
    array.offset += offset;
    array.length = length;
    status = batch_import(context->mem, context->cache, batch->schema, &array,
                          KH_VALIDATE_STRUCTURE, out, error);
    if (status != KH_OK)
        array.release(&array);
    return status;
}

/* Columns longer than their root are themselves what a slice left: sharing once more could keep
 * ever more rows for ever fewer, so that those are copied. */
static bool is_slice(const kh_batch *batch) {
    const struct ArrowArray *array = &adopted_of(batch)->array;
    for (int64_t i = 0; i < array->n_children; i++)
        if (array->children[i]->length > array->length)
            return true;
    return false;
}

static bool is_worth_sharing(const struct rows_context *context, const kh_batch *batch,
                             int64_t length) {
    return batch->kind == BATCH_ADOPTED && schema_mem(batch->schema) == context->mem &&
           length >= ((int64_t)batch->row_count + 1) / 2 && !is_slice(batch);
}

kh_status rows_slice(const struct rows_context *context, const kh_batch *batch, int64_t offset,
                     int64_t length, kh_batch **out, kh_error *error) {
    struct rows_work work;
    struct run_list runs;
    struct column *root;
    kh_status status;
    if (offset < 0 || length < 0 || offset > (int64_t)batch->row_count ||
        length > (int64_t)batch->row_count - offset)
        return status_fail(error, KH_INVALID, "rows [%lld, +%lld) are not within %u rows",
                           (long long)offset, (long long)length, batch->row_count);
    if (length == (int64_t)batch->row_count) {
        *out = batch_retain(batch);
        return KH_OK;
    }
    if (is_worth_sharing(context, batch, length))
        return share_slice(context, batch, offset, length, out, error);
    rows_work_init(&work, context, error);
    run_list_init(&runs, &work.arena);
    KH_TRY(rows_view(&work, batch, &root));
    KH_TRY(run_list_add(&runs, 0, offset, length, error));
    const struct column *const roots[] = {root};
    status = rows_build(&work, batch->schema, roots, 1, &runs, out);
done:
    rows_work_fini(&work);
    return status;
}

kh_status rows_concat(const struct rows_context *context, const kh_batch *base,
                      const kh_batch *rows, kh_batch **out, kh_error *error) {
    struct rows_work work;
    struct run_list runs;
    struct column *base_root;
    struct column *root;
    kh_status status;
    if (base != NULL) {
        status = rows_check_schemas(base, rows, error);
        if (status != KH_OK)
            return status;
    }
    if (base == NULL || base->row_count == 0 || rows->row_count == 0) {
        *out = batch_retain(base == NULL || rows->row_count > 0 ? rows : base);
        return KH_OK;
    }
    rows_work_init(&work, context, error);
    run_list_init(&runs, &work.arena);
    KH_TRY(rows_view(&work, base, &base_root));
    KH_TRY(rows_view(&work, rows, &root));
    KH_TRY(run_list_add(&runs, 0, 0, base->row_count, error));
    KH_TRY(run_list_add(&runs, 1, 0, rows->row_count, error));
    const struct column *const roots[] = {base_root, root};
    status = rows_build(&work, base->schema, roots, 2, &runs, out);
done:
    rows_work_fini(&work);
    return status;
}
