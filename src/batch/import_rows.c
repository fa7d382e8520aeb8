/* import_rows.c - the long way in: any type, any number of rows, nulls, slices.
 *
 * Validate, measure, then copy or adopt (see import.h). Failure: the array is as it was; everything
 * that can fail comes before the first write to it. */
#include "base/limits.h"
#include "base/status.h"
#include "batch/adopted.h"
#include "batch/import.h"
#include "batch/ipc_array.h"
#include "batch/owned.h"
#include "batch/pack.h"
#include "batch/reach.h"
#include "batch/rows.h"
#include "batch/schema_body.h"
#include "batch/validate.h"

static kh_status too_big(kh_error *error, const char *what, uint64_t size, uint64_t most) {
    return status_fail(error, KH_TOO_BIG, "a batch of %llu %s, the limit is %llu",
                       (unsigned long long)size, what, (unsigned long long)most);
}

/* Measured rows into a new block, and the producer's array goes. */
static kh_status copy_in(const struct import *in, struct ArrowArray *array,
                         const struct pack_size *size, kh_batch **out, kh_error *error) {
    const struct plan *plan = &in->schema->plan;
    uint64_t rows = (uint64_t)array->length;
    uint64_t block_bytes = pack_block_bytes(plan, rows, size);
    if (block_bytes > in->bytes_max) return too_big(error, "bytes", block_bytes, in->bytes_max);
    kh_batch *batch = pack_create(in->mem, in->cache, in->schema, rows, block_bytes);
    if (batch == NULL) return status_no_memory(error, (size_t)block_bytes);
    pack_rows(batch, plan, array, size);
    array->release(array);
    array->release = NULL;
    *out = batch;
    return KH_OK;
}

static kh_status adopt(const struct import *in, struct ArrowArray *array, uint64_t size_bytes,
                       kh_batch **out, kh_error *error) {
    size_t block_bytes = BATCH_HEADROOM + sizeof(struct adopted);
    if (size_bytes > in->bytes_max) return too_big(error, "bytes", size_bytes, in->bytes_max);
    uint8_t *block = mem_alloc(in->mem, in->cache, block_bytes);
    if (block == NULL) return status_no_memory(error, block_bytes);
    struct adopted *adopted = (struct adopted *)(void *)(block + BATCH_HEADROOM);
    adopted->batch = (kh_batch){.kind = BATCH_ADOPTED,
                                .schema = in->schema,
                                .row_count = (uint32_t)array->length,
                                .block_bytes = (uint32_t)block_bytes};
    atomic_init(&adopted->batch.refs, 1);
    adopted->size_bytes = size_bytes;
    adopted->is_foreign = !owned_is(array) && !ipc_array_is(array);
    if (adopted->is_foreign) mem_charge(in->mem, (int64_t)size_bytes);
    schema_hold(in->schema);
    adopted->array = *array;
    array->release = NULL;
    *out = &adopted->batch;
    return KH_OK;
}

/* A slice of nested columns, gathered into buffers of its own; the producer's array goes. It is
 * looked at through an adopted batch on the stack, which owns nothing. */
static kh_status gather_in(const struct import *in, struct ArrowArray *array, kh_batch **out,
                           kh_error *error) {
    struct adopted shown = {.batch = {.kind = BATCH_ADOPTED,
                                      .schema = in->schema,
                                      .row_count = (uint32_t)array->length},
                            .array = *array};
    struct rows_context context = {.mem = in->mem, .cache = in->cache};
    struct rows_work work;
    struct run_list runs;
    struct column *root;
    kh_batch *copy = NULL;
    kh_status status = KH_OK;
    rows_work_init(&work, &context, error);
    run_list_init(&runs, &work.arena);
    KH_TRY(rows_view(&work, &shown.batch, &root));
    KH_TRY(run_list_add(&runs, 0, 0, array->length, error));
    const struct column *const roots[] = {root};
    KH_TRY(rows_build(&work, in->schema, roots, 1, &runs, &copy));
    array->release(array);
    array->release = NULL;
    *out = copy;
done:
    rows_work_fini(&work);
    return status;
}

/* Is a copy of packed bytes the better way to keep these rows? */
static bool is_copied(uint64_t packed, int64_t row_count, const struct reach *reach) {
    if (packed > PACK_BLOCK_MAX) return false;
    return (packed <= IMPORT_COPY_BYTES && row_count <= IMPORT_COPY_ROWS) ||
           packed < reach->size_bytes / 2 || !reach->is_aligned;
}

kh_status import_rows(const struct import *in, struct ArrowArray *array, kh_batch **out,
                      kh_error *error) {
    const kh_schema *schema = in->schema;
    kh_status status = KH_OK;
    if (array->release == NULL) return status_fail(error, KH_INVALID_DATA, "the array is released");
    if (array->length > LIMIT_BATCH_ROWS)
        return too_big(error, "rows", (uint64_t)array->length, LIMIT_BATCH_ROWS);
    KH_TRY(validate_root(schema->root, array, in->validation, error));
    struct reach reach = reach_of(schema->root, array);
    if (schema->plan.is_flat) {
        struct pack_size size;
        pack_measure(&schema->plan, array, &size);
        uint64_t packed = pack_block_bytes(&schema->plan, (uint64_t)array->length, &size);
        if (is_copied(packed, array->length, &reach)) return copy_in(in, array, &size, out, error);
    }
    if (!reach.is_aligned)
        return status_fail(error, KH_INVALID_DATA,
                           "a buffer is not aligned to the size of its elements");
    if (reach.used_bytes < reach.size_bytes / 2 && reach.size_bytes > IMPORT_COPY_BYTES &&
        !owned_is(array)) { /* what was gathered is as small as it gets */
        if (reach.used_bytes > in->bytes_max)
            return too_big(error, "bytes", reach.used_bytes, in->bytes_max);
        return gather_in(in, array, out, error);
    }
    KH_TRY(adopt(in, array, reach.size_bytes, out, error));
done:
    return status;
}
