/* pack.c - measuring and copying flat rows into one block: any number of rows, with nulls.
 * The rows were validated and nothing here fails; reading and writing meet foreign buffers of any
 * alignment. What null slots hold is copied as it is, but for views, which may point anywhere. */
#include "batch/pack.h"

#include "batch/validate.h"

enum { VIEW_BYTES = 16, VIEW_INLINE = 12 };

static bool has_nulls(const struct plan_column *column, const struct ArrowArray *child, int64_t row,
                      int64_t count) {
    if (column->kind == PLAN_NULL || child->buffers[0] == NULL) return false;
    return raw_count_bits(child->buffers[0], child->offset + row, count) != count;
}

static uint64_t view_heap_bytes(const struct ArrowArray *child, int64_t row, int64_t count) {
    const uint8_t *views = child->buffers[1];
    uint64_t bytes = 0;
    for (int64_t i = row; i < row + count; i++) {
        int64_t length = raw_i32(views + (child->offset + i) * VIEW_BYTES, 0);
        if (length > VIEW_INLINE && !validate_is_null(child, i)) bytes += (uint64_t)length;
    }
    return bytes;
}

void pack_measure(const struct plan *plan, const struct ArrowArray *array, struct pack_size *out) {
    struct pack_size size = {0, 0};
    int64_t row = array->offset;
    int64_t count = array->length;
    for (uint32_t i = 0; i < plan->column_count && count > 0; i++) {
        const struct plan_column *column = &plan->columns[i];
        const struct ArrowArray *child = array->children[i];
        int64_t at = child->offset + row;
        size.bitmap_count += has_nulls(column, child, row, count);
        if (column->kind == PLAN_VAR32) {
            const void *offsets = child->buffers[1];
            size.heap_bytes += (uint64_t)(raw_i32(offsets, at + count) - raw_i32(offsets, at));
        } else if (column->kind == PLAN_VAR64) {
            const void *offsets = child->buffers[1];
            size.heap_bytes += (uint64_t)(raw_i64(offsets, at + count) - raw_i64(offsets, at));
        } else if (column->kind == PLAN_VIEW) {
            size.heap_bytes += view_heap_bytes(child, row, count);
        }
        /* Views may alias: beyond what fits a block the sum means nothing and must not wrap. */
        if (size.heap_bytes > 2 * PACK_BLOCK_MAX) size.heap_bytes = 2 * PACK_BLOCK_MAX;
    }
    *out = size;
}

/* Where rows go. */
struct target {
    uint8_t *slot;
    uint64_t slot_bytes;
    uint8_t *heap;
    uint64_t used; /* of the heap */
};

static void put_fixed(const struct plan_column *column, const struct ArrowArray *child, int64_t at,
                      int64_t count, struct target *to) {
    if (to->slot_bytes == 0) return;
    memset(to->slot + to->slot_bytes - 8, 0, 8);
    if (column->kind == PLAN_BOOL) {
        raw_copy_bits(to->slot, child->buffers[1], at, count);
    } else {
        size_t width = column->width;
        memcpy(to->slot, (const uint8_t *)child->buffers[1] + (size_t)at * width,
               (size_t)count * width);
    }
}

static void put_var(const struct plan_column *column, const struct ArrowArray *child, int64_t at,
                    int64_t count, struct target *to) {
    const void *offsets = child->buffers[1];
    bool is_wide = column->kind == PLAN_VAR64;
    memset(to->slot + to->slot_bytes - 8, 0, 8);
    if (count == 0) { /* the one offset; a foreign buffer of none may be NULL */
        memset(to->slot, 0, (size_t)to->slot_bytes);
        return;
    }
    int64_t low = is_wide ? raw_i64(offsets, at) : raw_i32(offsets, at);
    int64_t high = is_wide ? raw_i64(offsets, at + count) : raw_i32(offsets, at + count);
    int64_t shift = (int64_t)to->used - low;
    for (int64_t i = 0; i <= count; i++) {
        if (is_wide) {
            raw_put_i64(to->slot, i, raw_i64(offsets, at + i) + shift);
        } else {
            raw_put_i32(to->slot, i, (int32_t)(raw_i32(offsets, at + i) + shift));
        }
    }
    if (high == low) return;
    memcpy(to->heap + to->used, (const uint8_t *)child->buffers[2] + low, (size_t)(high - low));
    to->used += (uint64_t)(high - low);
}

static void put_views(const struct ArrowArray *child, int64_t row, int64_t count,
                      struct target *to) {
    const uint8_t *views = child->buffers[1];
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *from = views + (child->offset + row + i) * VIEW_BYTES;
        uint8_t *view = to->slot + i * VIEW_BYTES;
        int32_t length = raw_i32(from, 0);
        if (validate_is_null(child, row + i)) {
            memset(view, 0, VIEW_BYTES);
            continue;
        }
        memcpy(view, from, VIEW_BYTES);
        if (length <= VIEW_INLINE) continue;
        const uint8_t *bytes = child->buffers[2 + raw_i32(from, 2)];
        memcpy(to->heap + to->used, bytes + raw_i32(from, 3), (size_t)length);
        raw_put_i32(view, 2, 0);
        raw_put_i32(view, 3, (int32_t)to->used);
        to->used += (uint64_t)length;
    }
}

static void put_bitmaps(const struct plan *plan, const struct ArrowArray *array, uint8_t *mask) {
    uint8_t *bitmap = mask + 8 * plan_mask_words(plan);
    size_t bitmap_bytes = (size_t)plan_bitmap_words((uint64_t)array->length) * 8;
    memset(mask, 0, (size_t)plan_mask_words(plan) * 8);
    for (uint32_t i = 0; i < plan->column_count; i++) {
        const struct ArrowArray *child = array->children[i];
        if (!has_nulls(&plan->columns[i], child, array->offset, array->length)) continue;
        raw_set_bit(mask, i);
        memset(bitmap, 0, bitmap_bytes);
        raw_copy_bits(bitmap, child->buffers[0], child->offset + array->offset, array->length);
        bitmap += bitmap_bytes;
    }
}

void pack_rows(kh_batch *batch, const struct plan *plan, const struct ArrowArray *array,
               const struct pack_size *size) {
    uint64_t count = (uint64_t)array->length;
    struct target to = {.slot = packed_slots(batch)};
    to.heap = to.slot + plan_slot_at(plan, plan->column_count, count);
    if (size->bitmap_count > 0) {
        batch->has_validity = 1;
        put_bitmaps(plan, array, to.heap);
        to.heap += 8 * (plan_mask_words(plan) + size->bitmap_count * plan_bitmap_words(count));
    }
    for (uint32_t i = 0; i < plan->column_count; i++) {
        const struct plan_column *column = &plan->columns[i];
        const struct ArrowArray *child = array->children[i];
        int64_t at = child->offset + array->offset;
        to.slot_bytes = plan_slot_bytes(column, count);
        switch ((enum plan_kind)column->kind) {
        case PLAN_NULL:
            break;
        case PLAN_BOOL:
        case PLAN_FIXED:
            put_fixed(column, child, at, array->length, &to);
            break;
        case PLAN_VAR32:
        case PLAN_VAR64:
            put_var(column, child, at, array->length, &to);
            break;
        case PLAN_VIEW:
            put_views(child, array->offset, array->length, &to);
            break;
        }
        to.slot += to.slot_bytes;
    }
}
