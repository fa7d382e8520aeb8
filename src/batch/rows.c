/* rows.c - what the row operations share: inputs as columns, results from columns. See rows.h.
 *
 * Happy path: rows_work_init, rows_view of each input, run lists, rows_build, rows_work_fini. Plans
 * live in an arena, results in an owner that batch_import takes over or that rows_work_fini
 * frees. */
#include "batch/rows.h"

#include "base/limits.h"
#include "base/status.h"
#include "batch/schema_differ.h"

#include <string.h>

void rows_work_init(struct rows_work *work, const struct rows_context *context, kh_error *error) {
    memset(work, 0, sizeof *work);
    work->context = context;
    work->error = error;
    arena_init(&work->arena, context->mem, context->cache);
    work->gather.arena = &work->arena;
    work->gather.offset32_max = INT32_MAX;
    work->gather.error = error;
}

void rows_work_fini(struct rows_work *work) {
    owned_destroy(work->gather.owned);
    arena_fini(&work->arena);
}

kh_status rows_view(struct rows_work *work, const kh_batch *batch, struct column **out) {
    struct column *root = arena_alloc(&work->arena, sizeof *root);
    if (root == NULL)
        return status_no_memory(work->error, sizeof *root);
    kh_status status = column_view(batch, &work->arena, root, work->error);
    if (status == KH_OK)
        *out = root;
    return status;
}

kh_status rows_view_ids(struct rows_work *work, const struct column *root, struct ids *out) {
    const char *name = work->context->id_column;
    return ids_open(root, name != NULL ? name : "id", out, work->error);
}

kh_status rows_check_schemas(const kh_batch *a, const kh_batch *b, kh_error *error) {
    if (a->schema == b->schema || kh_schema_equal(a->schema, b->schema))
        return KH_OK;
    char how[SCHEMA_DIFFER_BYTES];
    schema_differ(a->schema, b->schema, how);
    return status_fail(error, KH_SCHEMA_MISMATCH, "the two batches have different schemas: %s",
                       how);
}

kh_status rows_start(struct rows_work *work, const struct field *root, int64_t row_count) {
    if (row_count > LIMIT_BATCH_ROWS)
        return status_fail(work->error, KH_TOO_BIG, "%lld rows are beyond the limit of a batch",
                           (long long)row_count);
    work->gather.owned = owned_create(work->context->mem, work->context->cache);
    if (work->gather.owned == NULL)
        return status_no_memory(work->error, 0);
    kh_status status = owned_array(work->gather.owned, &work->root, 1, root->child_count, false,
                                   work->error);
    work->root.length = row_count;
    return status;
}

kh_status rows_add_column(struct rows_work *work, int32_t column,
                          const struct column *const *roots, int root_count,
                          const struct run_list *runs) {
    struct sources sources = {.count = root_count};
    for (int i = 0; i < root_count; i++) {
        sources.at[i].column = &roots[i]->children[column];
        sources.at[i].first = sources.at[i].column->offset + roots[i]->offset;
    }
    return gather_column(&work->gather, sources.at[0].column->field, &sources, runs,
                         work->root.children[column]);
}

kh_status rows_add_columns(struct rows_work *work, const struct column *const *roots,
                           int root_count, const struct run_list *runs) {
    kh_status status = KH_OK;
    for (int32_t i = 0; i < roots[0]->field->child_count && status == KH_OK; i++)
        status = rows_add_column(work, i, roots, root_count, runs);
    return status;
}

kh_status rows_finish(struct rows_work *work, const kh_schema *schema, kh_batch **out) {
    const struct rows_context *context = work->context;
    const kh_schema *twin = schema;
    kh_status status;
    if (schema_mem(schema) != context->mem) {
        kh_assert(context->schemas != NULL);
        status = schema_intern(context->schemas, schema, &twin, work->error);
        if (status != KH_OK)
            return status;
    }
    owned_attach(work->gather.owned, &work->root, &work->is_released);
    status = batch_import(context->mem, context->cache, twin, &work->root, KH_VALIDATE_STRUCTURE,
                          out, work->error);
    if (status == KH_OK) {
        if (!work->is_released)
            owned_detach(work->gather.owned);
        work->gather.owned = NULL;
    }
    if (schema_mem(schema) != context->mem)
        schema_drop(twin);
    return status;
}

kh_status rows_build(struct rows_work *work, const kh_schema *schema,
                     const struct column *const *roots, int root_count,
                     const struct run_list *runs, kh_batch **out) {
    kh_status status;
    KH_TRY(rows_start(work, roots[0]->field, runs->length));
    KH_TRY(rows_add_columns(work, roots, root_count, runs));
    status = rows_finish(work, schema, out);
done:
    return status;
}

kh_status rows_check_ids(const struct rows_context *context, const kh_batch *batch,
                         kh_error *error) {
    struct rows_work work;
    struct column *root;
    struct ids ids;
    struct id_index index;
    kh_status status;
    rows_work_init(&work, context, error);
    KH_TRY(rows_view(&work, batch, &root));
    KH_TRY(rows_view_ids(&work, root, &ids));
    status = id_index_build(&index, &ids, &work.arena, error);
done:
    rows_work_fini(&work);
    return status;
}
