/* pack.h - copying flat rows into one block (the layout is in plan.h). */
#ifndef KHONSU_BATCH_PACK_H
#define KHONSU_BATCH_PACK_H

#include "base/mem_small.h"
#include "batch/plan.h"
#include "batch/schema_body.h"

/* What a packed batch will need behind its header. */
struct pack_size {
    uint64_t bitmap_count; /* columns with nulls in the rows */
    uint64_t heap_bytes;   /* of VAR and VIEW columns */
};

/* Measure rows that were validated. */
void pack_measure(const struct plan *plan, const struct ArrowArray *array, struct pack_size *out);

/* Bytes of the whole block. */
static inline uint64_t pack_block_bytes(const struct plan *plan, uint64_t row_count,
                                        const struct pack_size *size) {
    uint64_t bytes = BATCH_HEADROOM + sizeof(kh_batch) + size->heap_bytes +
                     plan_slot_at(plan, plan->column_count, row_count);
    if (KH_UNLIKELY(size->bitmap_count > 0))
        bytes += 8 * (plan_mask_words(plan) + size->bitmap_count * plan_bitmap_words(row_count));
    return bytes;
}

/* Blocks beyond this do not fit the header, nor their heap the 32-bit offsets. */
#define PACK_BLOCK_MAX ((uint64_t)INT32_MAX)

/* A packed batch of one reference in a block of block_bytes; NULL: no memory. Its schema is held.
 * What follows the header is not initialised. */
static inline kh_batch *pack_create(struct mem *mem, struct mem_cache *cache,
                                    const kh_schema *schema, uint64_t row_count,
                                    uint64_t block_bytes) {
    uint8_t *block = mem_alloc_small(mem, cache, (size_t)block_bytes);
    if (KH_UNLIKELY(block == NULL)) return NULL;
    kh_batch *batch = (kh_batch *)(void *)(block + BATCH_HEADROOM);
    atomic_init(&batch->refs, 1);
    batch->kind = BATCH_PACKED;
    batch->has_validity = 0;
    atomic_init(&batch->is_headroom_used, 0);
    batch->is_simple = !schema->is_counted;
    batch->schema = schema;
    batch->row_count = (uint32_t)row_count;
    batch->block_bytes = (uint32_t)block_bytes;
    if (KH_UNLIKELY(schema->is_counted)) schema_hold(schema);
    return batch;
}

/* Copy the rows of array, measured as size, into a batch of pack_create. */
void pack_rows(kh_batch *batch, const struct plan *plan, const struct ArrowArray *array,
               const struct pack_size *size);

#endif
