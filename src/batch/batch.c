/* batch.c - life and death of batches, and what can be said about one without its columns.
 *
 * Invariants: a batch never changes after it was made; its memory context lives as long as it does,
 * because its block is one of the context's. A packed batch is freed with one mem_free; an adopted
 * one first calls the producer's release, which may re-enter the library: not under a lock. */
#include "batch/batch.h"

#include "base/arena.h"
#include "base/mem_small.h"
#include "base/status.h"
#include "batch/adopted.h"
#include "batch/cell.h"
#include "batch/schema_body.h"

struct mem *batch_mem(const kh_batch *batch) {
    return batch->schema->mem;
}

static void free_adopted(kh_batch *batch, struct mem *mem) {
    struct adopted *adopted = (struct adopted *)(void *)batch;
    if (adopted->is_foreign) mem_charge(mem, -(int64_t)adopted->size_bytes);
    adopted->array.release(&adopted->array);
}

void batch_free(kh_batch *batch, struct mem_cache *cache) {
    const kh_schema *schema = batch->schema;
    struct mem *mem = schema->mem;
    if (KH_UNLIKELY(cache != NULL && cache->mem != mem)) cache = NULL;
    if (KH_UNLIKELY(batch->kind == BATCH_ADOPTED)) free_adopted(batch, mem);
    if (KH_UNLIKELY(schema->is_counted)) schema_drop(schema);
    mem_free_small(mem, cache, (unsigned char *)batch - BATCH_HEADROOM, batch->block_bytes);
}

bool batch_is_foreign(const kh_batch *batch) {
    return batch->kind == BATCH_ADOPTED && adopted_of(batch)->is_foreign;
}

uint64_t batch_adopted_bytes(const kh_batch *batch) {
    return adopted_of(batch)->size_bytes;
}

kh_batch *kh_batch_retain(const kh_batch *batch) {
    return batch_retain(batch);
}

void kh_batch_release(kh_batch *batch) {
    batch_release(batch, NULL);
}

int64_t kh_batch_row_count(const kh_batch *batch) {
    return batch->row_count;
}

const kh_schema *kh_batch_schema(const kh_batch *batch) {
    return batch->schema;
}

uint64_t kh_batch_size_bytes(const kh_batch *batch) {
    return batch_size_bytes(batch);
}

kh_status kh_batch_equal(const kh_batch *a, const kh_batch *b, bool *out, kh_error *error) {
    struct column in_a;
    struct column in_b;
    struct arena arena;
    kh_status status = KH_OK;
    if (a == NULL || b == NULL || out == NULL)
        return status_fail(error, KH_INVALID, "a, b and out must not be NULL");
    if (a == b) {
        *out = true;
        return KH_OK;
    }
    if (a->row_count != b->row_count || !kh_schema_equal(a->schema, b->schema)) {
        *out = false;
        return KH_OK;
    }
    arena_init(&arena, batch_mem(a), NULL);
    KH_TRY(column_view(a, &arena, &in_a, error));
    KH_TRY(column_view(b, &arena, &in_b, error));
    *out = cell_mismatch(&in_a, in_a.offset, &in_b, in_b.offset, a->row_count) == a->row_count;
done:
    arena_fini(&arena);
    return status;
}
