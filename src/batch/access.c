/* access.c - single columns and values of a batch, read in place, without allocation.
 *
 * Both kinds of batch give the same `cells`: pointers to the buffers and where the first row lies
 * in them. Failure: a status without words where no kh_error is taken; nothing is written. */
#include "base/status.h"
#include "batch/adopted.h"
#include "batch/half.h"
#include "batch/plan.h"
#include "batch/schema_body.h"

enum { VIEW_BYTES = 16, VIEW_INLINE = 12 };

struct cells {
    const struct field *field;
    int64_t first; /* row 0 in the buffers */
    const uint8_t *validity;
    const void *values;              /* FIXED: values; VAR: bytes; VIEW: views */
    const void *offsets;             /* VAR */
    const void *const *view_buffers; /* VIEW of an adopted batch */
    const void *heap;                /* VIEW of a packed batch: its one buffer */
};

static bool is_flat(const struct field *field) {
    return field->dictionary == NULL && (field->layout <= LAYOUT_VIEW);
}

static void locate_packed(const kh_batch *batch, uint32_t column, struct cells *out) {
    const struct plan *plan = plan_of(batch->schema);
    uint8_t *slot = packed_slot(batch, plan, column);
    int64_t heap_bytes;
    out->validity = packed_validity(batch, plan, column);
    if (out->field->layout == LAYOUT_NULL) return;
    if (out->field->layout == LAYOUT_FIXED) {
        out->values = slot;
        return;
    }
    const uint8_t *heap = packed_heap(batch, plan, &heap_bytes);
    if (out->field->layout == LAYOUT_VIEW) {
        out->heap = heap;
        out->values = slot;
    } else {
        out->offsets = slot;
        out->values = heap;
    }
}

/* A foreign array of no rows may have no offsets. */
static const int64_t no_offsets[1];

static void locate_adopted(const kh_batch *batch, uint32_t column, struct cells *out) {
    const struct ArrowArray *array = &adopted_of(batch)->array;
    const struct ArrowArray *child = array->children[column];
    out->first = array->offset + child->offset;
    if (out->field->layout == LAYOUT_NULL) return;
    out->validity = child->buffers[0];
    out->values = child->buffers[1];
    if (out->field->layout == LAYOUT_VIEW) {
        out->view_buffers = child->buffers + 2;
    } else if (out->field->layout != LAYOUT_FIXED) {
        out->offsets = child->buffers[1] != NULL ? child->buffers[1] : no_offsets;
        out->values = child->buffers[2];
        if (child->buffers[1] == NULL) out->first = 0;
    }
}

/* False: no such column, or not a flat one. */
static bool locate(const kh_batch *batch, int64_t column, struct cells *out) {
    const struct field *root = schema_root(batch->schema);
    if (column < 0 || column >= root->child_count) return false;
    *out = (struct cells){.field = &root->children[column]};
    if (!is_flat(out->field)) return false;
    if (batch->kind == BATCH_PACKED) {
        locate_packed(batch, (uint32_t)column, out);
    } else {
        locate_adopted(batch, (uint32_t)column, out);
    }
    return true;
}

/* The elements or offsets, advanced to the first row where they are whole bytes. */
static void show_values(const struct cells *cells, kh_column *out) {
    const struct field *field = cells->field;
    int64_t width = field->layout == LAYOUT_VIEW ? VIEW_BYTES : field->bits / 8;
    out->values = cells->values;
    if (field->layout == LAYOUT_FIXED && field->bits == 1) {
        out->values_offset = cells->first;
    } else if (field->layout == LAYOUT_FIXED || field->layout == LAYOUT_VIEW) {
        if (field->layout == LAYOUT_FIXED) out->element_bytes = width;
        if (cells->values != NULL)
            out->values = (const uint8_t *)cells->values + cells->first * width;
    } else if (cells->offsets != NULL) {
        width = field->layout == LAYOUT_VAR64 ? 8 : 4;
        out->offsets = (const uint8_t *)cells->offsets + cells->first * width;
    }
}

kh_status kh_batch_column(const kh_batch *batch, int64_t column, kh_column *out, kh_error *error) {
    struct cells cells = {.field = NULL};
    if (batch == NULL || out == NULL)
        return status_fail(error, KH_INVALID, "batch and out must not be NULL");
    if (!locate(batch, column, &cells)) {
        if (cells.field == NULL)
            return status_fail(error, KH_INVALID, "no column %lld", (long long)column);
        return status_fail(error, KH_UNSUPPORTED, "column '%.80s' has the nested type '%.40s'",
                           cells.field->name, cells.field->format);
    }
    kh_column view = {.format = cells.field->format, .row_count = batch->row_count};
    if (cells.field->layout == LAYOUT_NULL) view.null_count = view.row_count;
    if (cells.validity != NULL) {
        view.validity = cells.validity;
        view.validity_offset = cells.first;
        view.null_count =
            view.row_count - raw_count_bits(cells.validity, cells.first, view.row_count);
    }
    show_values(&cells, &view);
    *out = view;
    return KH_OK;
}

/* Find the cell of a column of the class, and whether there is a value. */
static kh_status find_cell(const kh_batch *batch, int64_t column, int64_t row,
                           enum value_class value_class, struct cells *cells) {
    if (batch == NULL || row < 0 || row >= batch->row_count || !locate(batch, column, cells))
        return KH_INVALID;
    if (cells->field->layout == LAYOUT_NULL) return KH_NOT_FOUND;
    if (cells->field->value_class != value_class) return KH_INVALID;
    if (cells->validity != NULL && !raw_bit(cells->validity, cells->first + row))
        return KH_NOT_FOUND;
    return KH_OK;
}

/* The usual batch: one row, packed, without nulls. NULL: not so. */
KH_ALWAYS_INLINE const struct plan_column *lone_cell(const kh_batch *batch, int64_t column,
                                                     int64_t row) {
    if (KH_UNLIKELY(batch == NULL || batch->kind != BATCH_PACKED || batch->has_validity ||
                    batch->row_count != 1 || row != 0))
        return NULL;
    const struct plan *plan = &batch->schema->plan;
    if (KH_UNLIKELY((uint64_t)column >= plan->column_count)) return NULL;
    return &plan->columns[column];
}

__attribute__((noinline)) static kh_status any_int64(const kh_batch *batch, int64_t column,
                                                     int64_t row, int64_t *out) {
    struct cells cells;
    kh_status status = out == NULL ? KH_INVALID : KH_OK;
    if (status == KH_OK) status = find_cell(batch, column, row, VALUE_INTEGER, &cells);
    if (status != KH_OK) return status;
    const struct field *field = cells.field;
    int64_t value = raw_integer(cells.values, cells.first + row, field->bits, field->is_signed);
    if (value < 0 && !field->is_signed) return KH_INVALID; /* uint64 above INT64_MAX */
    *out = value;
    return KH_OK;
}

kh_status kh_batch_int64(const kh_batch *batch, int64_t column, int64_t row, int64_t *out) {
    const struct plan_column *cell = lone_cell(batch, column, row);
    if (KH_UNLIKELY(cell == NULL || !cell->is_int64 || out == NULL))
        return any_int64(batch, column, row, out);
    memcpy(out, packed_slots(batch) + cell->slot_one, sizeof *out);
    return KH_OK;
}

__attribute__((noinline)) static kh_status any_double(const kh_batch *batch, int64_t column,
                                                      int64_t row, double *out) {
    struct cells cells;
    kh_status status = out == NULL ? KH_INVALID : KH_OK;
    if (status == KH_OK) status = find_cell(batch, column, row, VALUE_FLOAT, &cells);
    if (status != KH_OK) return status;
    const uint8_t *value =
        (const uint8_t *)cells.values + (cells.first + row) * (cells.field->bits / 8);
    if (cells.field->bits == 64) {
        memcpy(out, value, 8);
    } else if (cells.field->bits == 32) {
        float single;
        memcpy(&single, value, sizeof single);
        *out = (double)single;
    } else {
        uint16_t half;
        memcpy(&half, value, sizeof half);
        *out = half_to_double(half);
    }
    return KH_OK;
}

kh_status kh_batch_double(const kh_batch *batch, int64_t column, int64_t row, double *out) {
    const struct plan_column *cell = lone_cell(batch, column, row);
    if (KH_UNLIKELY(cell == NULL || !cell->is_float64 || out == NULL))
        return any_double(batch, column, row, out);
    memcpy(out, packed_slots(batch) + cell->slot_one, sizeof *out);
    return KH_OK;
}

static kh_bytes view_bytes(const struct cells *cells, int64_t at) {
    const uint8_t *view = (const uint8_t *)cells->values + at * VIEW_BYTES;
    int32_t size = raw_i32(view, 0);
    if (size <= VIEW_INLINE) return (kh_bytes){view + 4, (size_t)size};
    const uint8_t *bytes =
        cells->heap != NULL ? cells->heap : cells->view_buffers[raw_i32(view, 2)];
    return (kh_bytes){bytes + raw_i32(view, 3), (size_t)size};
}

kh_status kh_batch_bytes(const kh_batch *batch, int64_t column, int64_t row, kh_bytes *out) {
    struct cells cells;
    kh_status status = out == NULL ? KH_INVALID : KH_OK;
    if (status == KH_OK) status = find_cell(batch, column, row, VALUE_BYTES, &cells);
    if (status != KH_OK) return status;
    int64_t at = cells.first + row;
    if (cells.field->layout == LAYOUT_VIEW) {
        *out = view_bytes(&cells, at);
        return KH_OK;
    }
    bool is_wide = cells.field->layout == LAYOUT_VAR64;
    int64_t low = is_wide ? raw_i64(cells.offsets, at) : raw_i32(cells.offsets, at);
    int64_t high = is_wide ? raw_i64(cells.offsets, at + 1) : raw_i32(cells.offsets, at + 1);
    const uint8_t *bytes = cells.values;
    *out = (kh_bytes){high > low ? bytes + low : bytes, (size_t)(high - low)};
    return KH_OK;
}
