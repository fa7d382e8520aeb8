/* import.c - the short way in: one row of fixed-width and string columns without nulls, which is
 * what a put usually brings; everything else goes to import_rows.
 *
 * Happy path: look at each column once, writing its slot into a copy of the slots on the stack and
 * noting where its bytes lie; allocate; copy slots and bytes; release the producer's array.
 * Measured: bench/door.c. A check of shape is one branch for several fields where their bits can be
 * joined. A row that fails any check is not refused here: the validator of the long way finds the
 * words. Failure: KH_NO_MEMORY, the array untouched. */
#include "batch/import.h"

#include "base/limits.h"
#include "base/status.h"
#include "batch/home.h"
#include "batch/pack.h"
#include "batch/schema_body.h"
#include "batch/utf8.h"
#include "batch/validate.h"

struct span {
    const uint8_t *bytes;
    size_t size_bytes;
};

/* A row on its way. */
struct row {
    uint64_t slots[PLAN_ROW_WORDS];
    struct span spans[PLAN_ROW_SPANS];
};

#define ALWAYS_INLINE __attribute__((always_inline)) static inline

/* Is this an array of one row, without nulls, not sliced, not a dictionary's, of buffer_count
 * buffers and child_count children? One branch for all: the differences are joined. A null count of
 * -1 says nothing and is as good as 0, but rare. */
ALWAYS_INLINE bool is_plain(const struct ArrowArray *array, const void *const *buffers,
                            uint64_t buffer_count, uint64_t child_count) {
    uint64_t rest = ((uint64_t)array->length ^ 1) | ((uint64_t)array->n_buffers ^ buffer_count) |
                    ((uint64_t)array->n_children ^ child_count) | (uint64_t)array->offset |
                    (uintptr_t)array->dictionary | (uintptr_t)buffers[0];
    if (KH_LIKELY((rest | (uint64_t)array->null_count) == 0)) return true;
    return rest == 0 && array->null_count == -1;
}

/* The buffers of a column of one row; NULL: not for the short way. */
ALWAYS_INLINE const void *const *look_at(const struct plan_column *column,
                                         const struct ArrowArray *array) {
    if (KH_UNLIKELY(array == NULL || array->release == NULL)) return NULL;
    const void *const *buffers = array->buffers;
    if (KH_UNLIKELY(buffers == NULL || !is_plain(array, buffers, column->buffer_count, 0) ||
                    buffers[1] == NULL))
        return NULL;
    return buffers;
}

ALWAYS_INLINE bool is_root_plain(const struct plan *plan, const struct ArrowArray *array) {
    return array->buffers != NULL && array->children != NULL &&
           is_plain(array, array->buffers, 1, plan->column_count);
}

/* A value of another width than 8; what is left of its slot becomes 0. Gives the next slot. */
static uint64_t *stage_value(const struct plan_column *column, const void *value, uint64_t *slot) {
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
ALWAYS_INLINE bool find_span(const struct plan_column *column, const void *const *buffers,
                             bool is_full, struct span *out) {
    bool is_wide = column->step == STEP_BYTES64;
    int64_t low = is_wide ? raw_i64(buffers[1], 0) : raw_i32(buffers[1], 0);
    int64_t high = is_wide ? raw_i64(buffers[1], 1) : raw_i32(buffers[1], 1);
    if (KH_UNLIKELY(low < 0 || low > high || high > INT32_MAX)) return false;
    if (KH_UNLIKELY(buffers[2] == NULL)) {
        *out = (struct span){NULL, 0};
        return low == high;
    }
    *out = (struct span){(const uint8_t *)buffers[2] + low, (size_t)(high - low)};
    return !column->is_utf8 || !is_full || utf8_is_valid(out->bytes, out->size_bytes);
}

/* Look at a row, stage it, and put it into a block. NULL: not for the short way; or no memory, and
 * then *spent_bytes is what was asked for. */
ALWAYS_INLINE kh_batch *copy_row(struct mem *mem, struct mem_cache *cache, const kh_schema *schema,
                                 const struct ArrowArray *array, bool is_full, uint64_t bytes_max,
                                 uint64_t *spent_bytes) {
    const struct plan *plan = &schema->plan;
    const struct plan_column *column = plan->columns;
    const struct plan_column *end = column + plan->column_count;
    struct ArrowArray *const *child = array->children;
    struct row row; /* large: only what is used is set */
    uint64_t *slot = row.slots;
    struct span *span = row.spans;
    uint64_t heap_bytes = 0;
    if (KH_UNLIKELY(!is_root_plain(plan, array))) return NULL;
    for (; column < end; column++, child++) {
        const void *const *buffers = look_at(column, *child);
        if (KH_UNLIKELY(buffers == NULL)) return NULL;
        if (KH_LIKELY(column->step == STEP_WORD)) {
            memcpy(slot++, buffers[1], 8);
            continue;
        }
        if (column->step > STEP_BYTES64) {
            slot = stage_value(column, buffers[1], slot);
            continue;
        }
        if (KH_UNLIKELY(!find_span(column, buffers, is_full, span))) return NULL;
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
    if (KH_UNLIKELY(batch == NULL)) {
        *spent_bytes = block_bytes;
        return NULL;
    }
    uint8_t *slots = packed_slots(batch);
    uint8_t *to = slots + plan->slots_one;
    for (size_t i = 0; i < plan->slots_one; i += 8)
        memcpy(slots + i, (const uint8_t *)row.slots + i, 8);
    for (const struct span *from = row.spans; from < span; from++) {
        if (from->size_bytes > 0) memcpy(to, from->bytes, from->size_bytes);
        to += from->size_bytes;
    }
    return batch;
}

kh_status batch_import_within(struct mem *mem, struct mem_cache *cache, const kh_schema *schema,
                              struct ArrowArray *array, kh_validation validation,
                              uint64_t bytes_max, kh_batch **out, kh_error *error) {
    uint64_t spent_bytes = 0;
    if (KH_LIKELY(schema->plan.is_row && array->release != NULL)) {
        kh_batch *batch = copy_row(mem, cache, schema, array, validation == KH_VALIDATE_FULL,
                                   bytes_max, &spent_bytes);
        if (KH_LIKELY(batch != NULL)) {
            array->release(array);
            array->release = NULL;
            *out = batch;
            return KH_OK;
        }
        if (spent_bytes > 0) return status_no_memory(error, (size_t)spent_bytes);
    }
    struct import in = {mem, cache, schema, bytes_max, validation};
    return import_rows(&in, array, out, error);
}

kh_status batch_import(struct mem *mem, struct mem_cache *cache, const kh_schema *schema,
                       struct ArrowArray *array, kh_validation validation, kh_batch **out,
                       kh_error *error) {
    return batch_import_within(mem, cache, schema, array, validation, LIMIT_BATCH_BYTES, out,
                               error);
}

kh_status kh_batch_import(kh_db *db, const kh_schema *schema, struct ArrowArray *array,
                          kh_validation validation, kh_batch **out, kh_error *error) {
    const kh_schema *ours = NULL;
    kh_status status = KH_OK;
    if (schema == NULL || array == NULL || out == NULL)
        return status_fail(error, KH_INVALID, "schema, array and out must not be NULL");
    if (validation != KH_VALIDATE_FULL && validation != KH_VALIDATE_STRUCTURE)
        return status_fail(error, KH_INVALID, "validation %d", (int)validation);
    const struct batch_home *home;
    kh_status found_home = batch_home_find(db, &home, error);
    if (found_home != KH_OK) return found_home;
    KH_TRY(schema_intern(home->schemas, schema, &ours, error));
    KH_TRY(batch_import_within(home->mem, NULL, ours, array, validation, home->batch_bytes_max, out,
                               error));
done:
    if (ours != NULL) schema_drop(ours);
    return status;
}
