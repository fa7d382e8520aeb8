/* rows.h - row operations on batches, for whoever has a memory context and an id column; the
 * public functions with the same names are in khonsu/batch.h and say what each one means.
 *
 * Inputs are borrowed, immutable, and may belong to any context. *out is a new reference, possibly
 * to an input; otherwise a batch of context->mem with a schema of that context. No database in
 * place yet (base NULL): insert, upsert and concat give rows itself (its ids checked, but for
 * concat); update finds no row (of no rows: *out is NULL); delete gives *out NULL; merge takes
 * both sides as added. On failure *out and *conflict are untouched, but for KH_MERGE_CONFLICT,
 * which writes *conflict. */
#ifndef KHONSU_BATCH_ROWS_H
#define KHONSU_BATCH_ROWS_H

#include "base/arena.h"
#include "batch/batch.h"
#include "batch/gather.h"
#include "batch/ids.h"
#include "batch/schema.h"

struct rows_context {
    struct mem *mem;
    struct mem_cache *cache;      /* of mem, or NULL */
    struct schema_table *schemas; /* of mem: needed when base's schema may be of another context */
    const char *id_column;        /* NULL: "id" */
};

kh_status rows_take(const struct rows_context *context, const kh_batch *batch,
                    const int64_t *row_indexes, int64_t index_count, kh_batch **out,
                    kh_error *error);
kh_status rows_slice(const struct rows_context *context, const kh_batch *batch, int64_t offset,
                     int64_t length, kh_batch **out, kh_error *error);
kh_status rows_concat(const struct rows_context *context, const kh_batch *base,
                      const kh_batch *rows, kh_batch **out, kh_error *error);
kh_status rows_insert(const struct rows_context *context, const kh_batch *base,
                      const kh_batch *rows, kh_batch **out, kh_error *error);
kh_status rows_upsert(const struct rows_context *context, const kh_batch *base,
                      const kh_batch *rows, kh_batch **out, kh_error *error);
kh_status rows_update(const struct rows_context *context, const kh_batch *base,
                      const kh_batch *rows, kh_batch **out, kh_error *error);
kh_status rows_delete(const struct rows_context *context, const kh_batch *base,
                      const kh_batch *ids, kh_batch **out, kh_error *error);
kh_status rows_merge(const struct rows_context *context, const kh_batch *base,
                     const kh_batch *mine, const kh_batch *theirs, kh_batch **out,
                     kh_merge_conflict *conflict, kh_error *error);
/* The same, but a vector (fixed-size list of float32 or float64) that both sides changed is their
 * sum: rows_vectors.h. Sums that are null or not finite are conflicts, unless both changes are the
 * same. */
kh_status rows_merge_adding(const struct rows_context *context, const kh_batch *base,
                            const kh_batch *mine, const kh_batch *theirs, kh_batch **out,
                            kh_merge_conflict *conflict, kh_error *error);
/* The id column is there, of a type that can be an id, without nulls and duplicates. */
kh_status rows_check_ids(const struct rows_context *context, const kh_batch *batch,
                         kh_error *error);

/* ---- between the files of the row operations ------------------------------------------------- */

/* One operation: its inputs as columns, and the result under construction. Zero it, call
 * rows_work_init, and rows_work_fini at the end whatever happened in between. */
struct rows_work {
    const struct rows_context *context;
    kh_error *error;
    struct arena arena;
    struct gather gather;
    struct ArrowArray root; /* of the result */
    bool is_released;       /* the import packed the result and let go of the tree */
};

void rows_work_init(struct rows_work *work, const struct rows_context *context, kh_error *error);
void rows_work_fini(struct rows_work *work);

/* A batch as columns (in the arena) and its ids. */
kh_status rows_view(struct rows_work *work, const kh_batch *batch, struct column **out);
kh_status rows_view_ids(struct rows_work *work, const struct column *root, struct ids *out);

/* The result's root, of row_count rows without columns yet. */
kh_status rows_start(struct rows_work *work, const struct field *root, int64_t row_count);
/* One of its columns, from the same column of each of root_count inputs. */
kh_status rows_add_column(struct rows_work *work, int32_t column,
                          const struct column *const *roots, int root_count,
                          const struct run_list *runs);
/* All of them by the same runs. */
kh_status rows_add_columns(struct rows_work *work, const struct column *const *roots,
                           int root_count, const struct run_list *runs);
/* Make a batch of it. */
kh_status rows_finish(struct rows_work *work, const kh_schema *schema, kh_batch **out);
/* start, add_columns and finish. */
kh_status rows_build(struct rows_work *work, const kh_schema *schema,
                     const struct column *const *roots, int root_count,
                     const struct run_list *runs, kh_batch **out);

/* KH_SCHEMA_MISMATCH unless equal. */
kh_status rows_check_schemas(const kh_batch *a, const kh_batch *b, kh_error *error);

#endif
