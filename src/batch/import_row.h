/* import_row.h - the short way in: one row of fixed-width and string columns without nulls, which
 * is what a put usually brings; inlined into the put.
 *
 * Happy path: look at each column once, writing its slot into a copy of the slots on the stack and
 * noting where its bytes lie; allocate; copy slots and bytes; release the producer's array.
 * Measured: bench/door.c. A check of shape is one branch for several fields where their bits can be
 * joined. A row that fails any check is not refused here: the validator of the long way finds the
 * words. Failure: the array untouched. */
#ifndef KHONSU_BATCH_IMPORT_ROW_H
#define KHONSU_BATCH_IMPORT_ROW_H

#include "base/limits.h"
#include "batch/import.h"
#include "batch/pack.h"
#include "batch/schema_body.h"
#include "batch/utf8.h"

struct import_span {
    const uint8_t *bytes;
    size_t size_bytes;
};

/* A row on its way. */
struct import_row {
    uint64_t slots[PLAN_ROW_WORDS];
    struct import_span spans[PLAN_ROW_SPANS];
};

/* Is this an array of one row, without nulls, not sliced, not a dictionary's, of buffer_count
 * buffers and child_count children? One branch for all: the differences are joined. A null count of
 * -1 says nothing and is as good as 0, but rare. */
KH_ALWAYS_INLINE bool import_row_is_plain(const struct ArrowArray *array,
                                          const void *const *buffers, uint64_t buffer_count,
                                          uint64_t child_count) {
    uint64_t rest = ((uint64_t)array->length ^ 1) | ((uint64_t)array->n_buffers ^ buffer_count) |
                    ((uint64_t)array->n_children ^ child_count) | (uint64_t)array->offset |
                    (uintptr_t)array->dictionary | (uintptr_t)buffers[0];
    if (KH_LIKELY((rest | (uint64_t)array->null_count) == 0)) return true;
    return rest == 0 && array->null_count == -1;
}

/* The buffers of a column of one row; NULL: not for the short way. */
KH_ALWAYS_INLINE const void *const *import_row_look_at(const struct plan_column *column,
                                                       const struct ArrowArray *array) {
    if (KH_UNLIKELY(array == NULL || array->release == NULL)) return NULL;
    const void *const *buffers = array->buffers;
    if (KH_UNLIKELY(buffers == NULL ||
                    !import_row_is_plain(array, buffers, column->buffer_count, 0) ||
                    buffers[1] == NULL))
        return NULL;
    return buffers;
}

KH_ALWAYS_INLINE bool import_row_is_root_plain(const struct plan *plan,
                                               const struct ArrowArray *array) {
    return array->buffers != NULL && array->children != NULL &&
           import_row_is_plain(array, array->buffers, 1, plan->column_count);
}

/* A value of another width than 8; what is left of its slot becomes 0. Gives the next slot. */
static inline uint64_t *import_row_stage_value(const struct plan_column *column, const void *value,
                                               uint64_t *slot) {
    size_t width = column->width;
    if (column->step == STEP_BOOL) {
        *slot = *(const uint8_t *)value & 1;
        return slot + 1;
    }
    if (width == 0) return slot;
    uint64_t *next = slot + raw_align8(width) / 8;
    next[-1] = 0;
    memcpy(slot, value, width);
    return next;
}

/* The bytes of the one value between its offsets. False: they are not sound. */
KH_ALWAYS_INLINE bool import_row_find_span(const struct plan_column *column,
                                           const void *const *buffers, bool is_full,
                                           struct import_span *out) {
    bool is_wide = column->step == STEP_BYTES64;
    int64_t low = is_wide ? raw_i64(buffers[1], 0) : raw_i32(buffers[1], 0);
    int64_t high = is_wide ? raw_i64(buffers[1], 1) : raw_i32(buffers[1], 1);
    if (KH_UNLIKELY(low < 0 || low > high || high > INT32_MAX)) return false;
    if (KH_UNLIKELY(buffers[2] == NULL)) {
        *out = (struct import_span){NULL, 0};
        return low == high;
    }
    *out = (struct import_span){(const uint8_t *)buffers[2] + low, (size_t)(high - low)};
    return !column->is_utf8 || !is_full || utf8_is_valid(out->bytes, out->size_bytes);
}

/* Look at a row, stage it, and put it into a block. NULL: not for the short way, or no memory
 * (which the long way will meet, too). The array is as it was. */
KH_ALWAYS_INLINE kh_batch *import_row_copy(struct mem *mem, struct mem_cache *cache,
                                           const kh_schema *schema, const struct ArrowArray *array,
                                           bool is_full, uint64_t bytes_max) {
    const struct plan *plan = &schema->plan;
    const struct plan_column *column = plan->columns;
    const struct plan_column *end = column + plan->column_count;
    struct ArrowArray *const *child = array->children;
    struct import_row row; /* large: only what is used is set */
    uint64_t *slot = row.slots;
    struct import_span *span = row.spans;
    uint64_t heap_bytes = 0;
    if (KH_UNLIKELY(!import_row_is_root_plain(plan, array))) return NULL;
    for (; column < end; column++, child++) {
        const void *const *buffers = import_row_look_at(column, *child);
        if (KH_UNLIKELY(buffers == NULL)) return NULL;
        if (KH_LIKELY(column->step == STEP_WORD)) {
            memcpy(slot++, buffers[1], 8);
            continue;
        }
        if (column->step > STEP_BYTES64) {
            slot = import_row_stage_value(column, buffers[1], slot);
            continue;
        }
        if (KH_UNLIKELY(!import_row_find_span(column, buffers, is_full, span))) return NULL;
        uint64_t next = heap_bytes + span++->size_bytes;
        if (column->step == STEP_BYTES64) {
            *slot++ = heap_bytes;
            *slot++ = next;
        } else {
            *slot++ = heap_bytes | next << 32;
        }
        heap_bytes = next;
    }
    uint64_t block_bytes = BATCH_HEADROOM + sizeof(kh_batch) + plan->slots_one + heap_bytes;
    if (KH_UNLIKELY(block_bytes > IMPORT_COPY_BYTES || block_bytes > bytes_max)) return NULL;
    kh_batch *batch = pack_create(mem, cache, schema, 1, block_bytes);
    if (KH_UNLIKELY(batch == NULL)) return NULL;
    uint8_t *slots = packed_slots(batch);
    uint8_t *to = slots + plan->slots_one;
    size_t slot_bytes = plan->slots_one;
    if (slot_bytes & 8) memcpy(slots + slot_bytes - 8, &row.slots[slot_bytes / 8 - 1], 8);
    for (size_t i = 0; i + 16 <= slot_bytes; i += 16)
        memcpy(slots + i, (const uint8_t *)row.slots + i, 16);
    for (const struct import_span *from = row.spans; from < span; from++) {
        if (from->size_bytes > 0) memcpy(to, from->bytes, from->size_bytes);
        to += from->size_bytes;
    }
    return batch;
}

/* The whole of it. NULL: go the long way. */
KH_ALWAYS_INLINE kh_batch *import_row(struct mem *mem, struct mem_cache *cache,
                                      const kh_schema *schema, struct ArrowArray *array,
                                      kh_validation validation, uint64_t bytes_max) {
    if (KH_UNLIKELY(!schema->plan.is_row || array->release == NULL)) return NULL;
    kh_batch *batch =
        import_row_copy(mem, cache, schema, array, validation == KH_VALIDATE_FULL, bytes_max);
    if (KH_UNLIKELY(batch == NULL)) return NULL;
    array->release(array);
    array->release = NULL;
    return batch;
}

#endif
