/* batch.h - an Arrow record batch as an immutable, reference-counted value: what the rooms to the
 * right use of this one. The public functions are in khonsu/batch.h. */
#ifndef KHONSU_BATCH_BATCH_H
#define KHONSU_BATCH_BATCH_H

#include "base/assert.h"
#include "base/mem.h"
#include "khonsu/batch.h"
#include <stdatomic.h>

/* Layouts of a batch. PACKED: header and all buffers in one block (small batches of flat types).
 * ADOPTED: a wrapper that owns an ArrowArray (foreign buffers, or buffers of our own). */
enum batch_kind { BATCH_PACKED = 1, BATCH_ADOPTED = 2 };

/* In front of the header, in the same block, lie BATCH_HEADROOM bytes: room for the version that
 * will hold this batch, so that a small value costs one allocation in all. The first version that
 * claims them has them; another version of the same batch allocates its own. */
#define BATCH_HEADROOM 40u

struct kh_batch {
    _Atomic uint32_t refs;
    uint8_t kind;
    uint8_t has_validity; /* PACKED: some column carries a validity bitmap */
    _Atomic uint8_t is_headroom_used;
    uint8_t is_simple;       /* PACKED, and its schema is not counted: freed with its block */
    const kh_schema *schema; /* see schema.h: lives as long as this batch */
    uint32_t row_count;      /* <= LIMIT_BATCH_ROWS */
    uint32_t block_bytes; /* PACKED: whole block, headroom included; ADOPTED: see struct adopted */
};

/* The context that the batch's memory belongs to. */
struct mem *batch_mem(const kh_batch *batch);

static inline kh_batch *batch_retain(const kh_batch *batch) {
    kh_batch *shared = (kh_batch *)(uintptr_t)batch; /* the count is not part of the value */
    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

/* The last reference frees the batch into cache (NULL allowed; must be a cache of batch_mem, or it
 * is not used). Foreign release callbacks run here: not under a lock, not in an epoch section. */
void batch_free(kh_batch *batch, struct mem_cache *cache);
static inline void batch_release(kh_batch *batch, struct mem_cache *cache) {
    if (batch != NULL && atomic_fetch_sub_explicit(&batch->refs, 1, memory_order_acq_rel) == 1)
        batch_free(batch, cache);
}

/* True when freeing the batch may call foreign code (an adopted array): such batches are released
 * later, outside of locks and epoch sections. */
bool batch_is_foreign(const kh_batch *batch);

/* The headroom, to the first caller that asks; NULL to all others. The block stays the batch's: it
 * is gone with the last reference. */
static inline void *batch_claim_headroom(const kh_batch *batch) {
    kh_batch *shared = (kh_batch *)(uintptr_t)batch;
    if (atomic_exchange_explicit(&shared->is_headroom_used, 1, memory_order_relaxed) != 0)
        return NULL;
    return (unsigned char *)shared - BATCH_HEADROOM;
}

/* kh_batch_import with the caller's cache. schema must be of mem (schema_intern). */
kh_status batch_import(struct mem *mem, struct mem_cache *cache, const kh_schema *schema,
                       struct ArrowArray *array, kh_validation validation, kh_batch **out,
                       kh_error *error);

/* The same with a bound on the batch's bytes: KH_TOO_BIG beyond it, the array untouched. */
kh_status batch_import_within(struct mem *mem, struct mem_cache *cache, const kh_schema *schema,
                              struct ArrowArray *array, kh_validation validation,
                              uint64_t bytes_max, kh_batch **out, kh_error *error);

/* Bytes that the value counts for in limits and statistics. */
uint64_t batch_adopted_bytes(const kh_batch *batch);
static inline uint64_t batch_size_bytes(const kh_batch *batch) {
    uint64_t size_bytes = batch->block_bytes;
    if (KH_UNLIKELY(batch->kind == BATCH_ADOPTED)) size_bytes += batch_adopted_bytes(batch);
    return size_bytes;
}

#endif
