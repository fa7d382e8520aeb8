/* plan.h - how rows of a flat schema are checked, packed and found again: compiled once for each
 * interned schema, so that the door does no parsing.
 *
 * A packed batch is one block: headroom, struct kh_batch, then
 *   slots    one for each column, 8-byte aligned: values; offsets of VAR columns; 16-byte views
 *   bitmaps  only if the batch has_validity: a mask of ceil(columns / 64) words (bit k: column k
 * has a bitmap), then one bitmap of ceil(rows / 64) words for each bit of the mask, in order heap
 * the bytes of all VAR and VIEW columns, one after the other; their offsets count from the heap's
 * start, so that every column's bytes begin at one address No position is stored: plan and row
 * count give them all. Bits and bytes of a slot behind the last row are 0. */
#ifndef KHONSU_BATCH_PLAN_H
#define KHONSU_BATCH_PLAN_H

#include "base/assert.h"
#include "batch/batch.h"
#include "batch/raw.h"
#include "batch/schema.h"

enum plan_kind { PLAN_NULL, PLAN_BOOL, PLAN_FIXED, PLAN_VAR32, PLAN_VAR64, PLAN_VIEW };

/* How one value goes the short way. */
enum plan_step { STEP_WORD, STEP_BYTES32, STEP_BYTES64, STEP_BOOL, STEP_VALUE };

struct plan_column {
    uint8_t kind;         /* enum plan_kind */
    uint8_t buffer_count; /* of an ArrowArray; views: at least */
    uint8_t step;         /* enum plan_step, where the plan is_row */
    bool is_utf8;
    bool is_nullable;
    bool is_int64; /* elements are signed integers of 8 bytes, times included */
    bool is_float64;
    uint32_t width;    /* bytes of one element of the slot: a value, an offset or a view; bool: 0 */
    uint32_t slot_one; /* position of the slot among the slots when row_count is 1 */
};

struct plan {
    bool is_flat; /* every column is of a plan_kind; the rest is set only then */
    bool is_row;  /* one row without nulls can go the short way (import.c) */
    uint32_t column_count;
    uint32_t slots_one; /* bytes of all slots when row_count is 1 */
    struct plan_column *columns;
};

/* Beyond this, one row is not "small": the schema's batches are adopted. Keeps slot_one and all
 * products of a width and LIMIT_BATCH_ROWS far from overflow. */
#define PLAN_WIDTH_MAX (1u << 20)

/* The short way holds the slots and the spans of a row on the stack. */
#define PLAN_ROW_WORDS 64
#define PLAN_ROW_SPANS 16

/* Bytes of the columns of a plan for this root. */
size_t plan_bytes(const struct field *root);
/* columns: plan_bytes(root) of the caller's. */
void plan_compile(const struct field *root, struct plan_column *columns, struct plan *out);

const struct plan *plan_of(const kh_schema *schema);

static inline uint64_t plan_slot_bytes(const struct plan_column *column, uint64_t row_count) {
    switch ((enum plan_kind)column->kind) {
    case PLAN_BOOL:
        return (row_count + 63) / 64 * 8;
    case PLAN_VAR32:
    case PLAN_VAR64:
        return raw_align8((row_count + 1) * column->width);
    case PLAN_NULL:
    case PLAN_FIXED:
    case PLAN_VIEW:
        break;
    }
    return raw_align8(row_count * column->width);
}

/* Position of a column's slot (column == column_count: where the slots end). */
uint64_t plan_slot_at_slow(const struct plan *plan, uint32_t column, uint64_t row_count);
static inline uint64_t plan_slot_at(const struct plan *plan, uint32_t column, uint64_t row_count) {
    if (KH_LIKELY(row_count == 1))
        return column == plan->column_count ? plan->slots_one : plan->columns[column].slot_one;
    return plan_slot_at_slow(plan, column, row_count);
}

static inline uint64_t plan_mask_words(const struct plan *plan) {
    return ((uint64_t)plan->column_count + 63) / 64;
}

static inline uint64_t plan_bitmap_words(uint64_t row_count) {
    return (row_count + 63) / 64;
}

/* ---- a packed batch through its plan --------------------------------------------------------- */

static inline uint8_t *packed_slots(const kh_batch *batch) {
    return (uint8_t *)((uintptr_t)batch + sizeof *batch);
}

static inline uint8_t *packed_slot(const kh_batch *batch, const struct plan *plan,
                                   uint32_t column) {
    return packed_slots(batch) + plan_slot_at(plan, column, batch->row_count);
}

/* The column's bitmap, NULL: no nulls. */
uint8_t *packed_validity(const kh_batch *batch, const struct plan *plan, uint32_t column);

/* Where the bytes of VAR and VIEW columns count from, and how many there are in all. */
const uint8_t *packed_heap(const kh_batch *batch, const struct plan *plan, int64_t *size_bytes);

#endif
