/* plan.c - compiling a schema into a plan, and finding the parts of a packed batch by it.
 * Pure: nothing here fails. */
#include "batch/plan.h"

#include "batch/schema_body.h"

size_t plan_bytes(const struct field *root) {
    return (size_t)root->child_count * sizeof(struct plan_column);
}

/* False: not a flat type, or too wide. */
static bool compile_column(const struct field *field, struct plan_column *out) {
    *out = (struct plan_column){.is_utf8 = field->is_utf8,
                                .is_nullable = (field->flags & ARROW_FLAG_NULLABLE) != 0};
    if (field->dictionary != NULL) return false;
    switch (field->layout) {
    case LAYOUT_NULL:
        out->kind = PLAN_NULL;
        return true;
    case LAYOUT_FIXED:
        out->kind = field->bits == 1 ? PLAN_BOOL : PLAN_FIXED;
        out->width = (uint32_t)field->bits / 8;
        out->buffer_count = 2;
        out->is_int64 =
            field->value_class == VALUE_INTEGER && field->bits == 64 && field->is_signed;
        out->is_float64 = field->value_class == VALUE_FLOAT && field->bits == 64;
        return out->width <= PLAN_WIDTH_MAX;
    case LAYOUT_VAR32:
        out->kind = PLAN_VAR32;
        out->width = 4;
        out->buffer_count = 3;
        return true;
    case LAYOUT_VAR64:
        out->kind = PLAN_VAR64;
        out->width = 8;
        out->buffer_count = 3;
        return true;
    case LAYOUT_VIEW:
        out->kind = PLAN_VIEW;
        out->width = 16;
        out->buffer_count = 3;
        return true;
    case LAYOUT_LIST32:
    case LAYOUT_LIST64:
    case LAYOUT_LISTVIEW32:
    case LAYOUT_LISTVIEW64:
    case LAYOUT_FIXED_LIST:
    case LAYOUT_STRUCT:
    case LAYOUT_SPARSE_UNION:
    case LAYOUT_DENSE_UNION:
    case LAYOUT_RUN_END:
        break;
    }
    return false;
}

static uint8_t step_of(const struct plan_column *column) {
    if (column->kind == PLAN_VAR32) return STEP_BYTES32;
    if (column->kind == PLAN_VAR64) return STEP_BYTES64;
    if (column->kind == PLAN_BOOL) return STEP_BOOL;
    return column->width == 8 ? STEP_WORD : STEP_VALUE;
}

void plan_compile(const struct field *root, struct plan_column *columns, struct plan *out) {
    uint64_t at = 0;
    uint32_t span_count = 0;
    bool is_plain = true;
    *out = (struct plan){.column_count = (uint32_t)root->child_count, .columns = columns};
    for (int32_t i = 0; i < root->child_count; i++) {
        if (!compile_column(&root->children[i], &columns[i])) return;
        columns[i].slot_one = (uint32_t)at;
        columns[i].step = step_of(&columns[i]);
        at += plan_slot_bytes(&columns[i], 1);
        span_count += columns[i].kind == PLAN_VAR32 || columns[i].kind == PLAN_VAR64;
        is_plain &= columns[i].kind != PLAN_NULL && columns[i].kind != PLAN_VIEW &&
                    root->children[i].precision == 0; /* whose digits are counted the long way */
        if (at > PLAN_WIDTH_MAX) return;
    }
    out->slots_one = (uint32_t)at;
    out->is_flat = true;
    out->is_row = is_plain && at <= PLAN_ROW_WORDS * 8 && span_count <= PLAN_ROW_SPANS;
}

const struct plan *plan_of(const kh_schema *schema) {
    return &schema->plan;
}

uint64_t plan_slot_at_slow(const struct plan *plan, uint32_t column, uint64_t row_count) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < column; i++) at += plan_slot_bytes(&plan->columns[i], row_count);
    return at;
}

uint8_t *packed_validity(const kh_batch *batch, const struct plan *plan, uint32_t column) {
    if (!batch->has_validity) return NULL;
    uint8_t *mask = packed_slot(batch, plan, plan->column_count);
    if (!raw_bit(mask, column)) return NULL;
    uint64_t before = (uint64_t)raw_count_bits(mask, 0, column);
    return mask + 8 * (plan_mask_words(plan) + before * plan_bitmap_words(batch->row_count));
}

const uint8_t *packed_heap(const kh_batch *batch, const struct plan *plan, int64_t *size_bytes) {
    const uint8_t *heap = packed_slot(batch, plan, plan->column_count);
    if (batch->has_validity) {
        uint64_t bitmaps = (uint64_t)raw_count_bits(heap, 0, plan->column_count);
        heap += 8 * (plan_mask_words(plan) + bitmaps * plan_bitmap_words(batch->row_count));
    }
    const uint8_t *end = (const uint8_t *)batch - BATCH_HEADROOM + batch->block_bytes;
    *size_bytes = end - heap;
    return heap;
}
