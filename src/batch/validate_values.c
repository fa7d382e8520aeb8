/* validate_values.c - contents of arrays: offsets, UTF-8, views, unions, run ends, indices.
 * The shape was checked; lengths and offsets are below VALIDATE_REACH_MAX. Nothing is allocated. */
#include "base/status.h"
#include "batch/raw.h"
#include "batch/utf8.h"
#include "batch/validate.h"

/* ---- offsets --------------------------------------------------------------------------------- */

static bool is_wide(enum layout layout) {
    return layout == LAYOUT_VAR64 || layout == LAYOUT_LIST64 || layout == LAYOUT_LISTVIEW64;
}

static int64_t offset_at(const void *offsets, int64_t index, bool wide) {
    return wide ? raw_i64(offsets, index) : raw_i32(offsets, index);
}

/* The first element whose offset exceeds the next one, -1: none. */
static int64_t first_fall(const void *offsets, int64_t at, int64_t count, bool wide) {
    for (int64_t i = 0; i < count; i++)
        if (offset_at(offsets, at + i, wide) > offset_at(offsets, at + i + 1, wide)) return i;
    return -1;
}

kh_status validate_offsets(const struct frame *frame, int64_t first, int64_t count, int64_t limit,
                           int64_t *low, int64_t *high) {
    const void *offsets = frame->array->buffers[1];
    bool wide = is_wide(frame->field->layout);
    int64_t at = frame->array->offset + first;
    if (count == 0) {
        *low = *high = 0;
        return KH_OK;
    }
    int64_t begin = offset_at(offsets, at, wide);
    int64_t end = offset_at(offsets, at + count, wide);
    if (begin < 0 || end < begin || end > VALIDATE_REACH_MAX || (limit >= 0 && end > limit))
        return validate_fail(frame, "offsets from %lld to %lld", (long long)begin, (long long)end);
    if (frame->level == KH_VALIDATE_FULL) {
        int64_t fall = first_fall(offsets, at, count, wide);
        if (fall >= 0)
            return validate_fail(frame, "the offsets fall after row %lld",
                                 (long long)(first + fall));
    }
    *low = begin;
    *high = end;
    return KH_OK;
}

/* ---- UTF-8 ----------------------------------------------------------------------------------- */

/* All bytes at once first; nulls may lie over anything, so that a failure is looked at by row. A
 * run of valid bytes can still be cut inside a character. */
kh_status validate_utf8(const struct frame *frame, int64_t first, int64_t count) {
    const struct ArrowArray *array = frame->array;
    const void *offsets = array->buffers[1];
    const uint8_t *bytes = array->buffers[2];
    bool wide = is_wide(frame->field->layout);
    int64_t at = array->offset + first;
    if (count == 0) return KH_OK;
    int64_t begin = offset_at(offsets, at, wide);
    int64_t end = offset_at(offsets, at + count, wide);
    if (begin == end || utf8_is_ascii(bytes + begin, (size_t)(end - begin))) return KH_OK;
    for (int64_t i = 0; i < count; i++) {
        if (validate_is_null(array, first + i)) continue;
        begin = offset_at(offsets, at + i, wide);
        end = offset_at(offsets, at + i + 1, wide);
        if (!utf8_is_valid(bytes + begin, (size_t)(end - begin)))
            return validate_fail(frame, "row %lld is not UTF-8", (long long)(first + i));
    }
    return KH_OK;
}

/* ---- views ----------------------------------------------------------------------------------- */

kh_status validate_view_buffers(const struct frame *frame) {
    const struct ArrowArray *array = frame->array;
    int64_t count = array->n_buffers - 3;
    const void *sizes = array->buffers[array->n_buffers - 1];
    if (count > 0 && sizes == NULL)
        return validate_fail(frame, "the sizes of the data buffers are NULL");
    for (int64_t i = 0; i < count; i++) {
        int64_t size = raw_i64(sizes, i);
        if (size < 0 || size > VALIDATE_REACH_MAX || (size > 0 && array->buffers[2 + i] == NULL))
            return validate_fail(frame, "data buffer %lld of %lld bytes", (long long)i,
                                 (long long)size);
    }
    return KH_OK;
}

enum { VIEW_BYTES = 16, VIEW_INLINE = 12, VIEW_PREFIX = 4 };

static const char *view_trouble(const struct ArrowArray *array, const uint8_t *view, bool is_utf8) {
    static const uint8_t zeros[VIEW_INLINE];
    const uint8_t *bytes = view + 4;
    int64_t size = raw_i32(view, 0);
    if (size < 0) return "a negative length";
    if (size <= VIEW_INLINE) {
        if (memcmp(bytes + size, zeros, (size_t)(VIEW_INLINE - size)) != 0)
            return "padding that is not zero";
    } else {
        int64_t buffer = raw_i32(view, 2);
        int64_t offset = raw_i32(view, 3);
        if (buffer < 0 || buffer >= array->n_buffers - 3) return "an unknown buffer";
        int64_t room = raw_i64(array->buffers[array->n_buffers - 1], buffer);
        if (offset < 0 || offset > room - size) return "a range outside of its buffer";
        bytes = (const uint8_t *)array->buffers[2 + buffer] + offset;
        if (memcmp(bytes, view + 4, VIEW_PREFIX) != 0) return "another prefix than its bytes";
    }
    return is_utf8 && !utf8_is_valid(bytes, (size_t)size) ? "no UTF-8" : NULL;
}

kh_status validate_views(const struct frame *frame, int64_t first, int64_t count) {
    const struct ArrowArray *array = frame->array;
    const uint8_t *views = array->buffers[1];
    for (int64_t row = first; row < first + count; row++) {
        if (validate_is_null(array, row)) continue;
        const uint8_t *view = views + (array->offset + row) * VIEW_BYTES;
        const char *trouble = view_trouble(array, view, frame->field->is_utf8);
        if (trouble != NULL)
            return validate_fail(frame, "the view of row %lld has %s", (long long)row, trouble);
    }
    return KH_OK;
}

/* ---- nested ---------------------------------------------------------------------------------- */

/* Null slots too: readers copy their ranges. */
kh_status validate_list_views(const struct frame *frame, int64_t first, int64_t count) {
    const struct ArrowArray *array = frame->array;
    int64_t limit = array->children[0]->length;
    bool wide = is_wide(frame->field->layout);
    for (int64_t i = first; i < first + count; i++) {
        int64_t offset = offset_at(array->buffers[1], array->offset + i, wide);
        int64_t size = offset_at(array->buffers[2], array->offset + i, wide);
        if (offset < 0 || size < 0 || size > limit || offset > limit - size)
            return validate_fail(frame, "row %lld has %lld elements at %lld of %lld", (long long)i,
                                 (long long)size, (long long)offset, (long long)limit);
    }
    return KH_OK;
}

kh_status validate_union(const struct frame *frame, int64_t first, int64_t count) {
    const struct ArrowArray *array = frame->array;
    const int8_t *codes = array->buffers[0];
    bool is_dense = frame->field->layout == LAYOUT_DENSE_UNION;
    for (int64_t i = array->offset + first; i < array->offset + first + count; i++) {
        int8_t child = codes[i] < 0 ? (int8_t)-1 : frame->field->union_code_to_child[codes[i]];
        if (child < 0)
            return validate_fail(frame, "type id %d at row %lld", codes[i],
                                 (long long)(i - array->offset));
        if (!is_dense) continue;
        int64_t offset = raw_i32(array->buffers[1], i);
        if (offset < 0 || offset >= array->children[child]->length)
            return validate_fail(frame, "row %lld points at element %lld of %lld",
                                 (long long)(i - array->offset), (long long)offset,
                                 (long long)array->children[child]->length);
    }
    return KH_OK;
}

kh_status validate_run_ends(const struct frame *frame) {
    const struct ArrowArray *ends = frame->array->children[0];
    const struct ArrowArray *values = frame->array->children[1];
    int64_t needed = frame->array->length > 0 ? frame->array->offset + frame->array->length : 0;
    int64_t last = 0;
    if (values->length < ends->length)
        return validate_fail(frame, "%lld runs, but %lld values", (long long)ends->length,
                             (long long)values->length);
    for (int64_t i = 0; i < ends->length; i++) {
        int64_t end =
            raw_integer(ends->buffers[1], ends->offset + i, frame->field->children[0].bits, true);
        if (end <= last)
            return validate_fail(frame, "run %lld ends at %lld after %lld", (long long)i,
                                 (long long)end, (long long)last);
        last = end;
    }
    if (last < needed)
        return validate_fail(frame, "the runs end at %lld of %lld", (long long)last,
                             (long long)needed);
    return KH_OK;
}

kh_status validate_indices(const struct frame *frame, int64_t first, int64_t count) {
    const struct ArrowArray *array = frame->array;
    const struct field *field = frame->field;
    int64_t limit = array->dictionary->length;
    for (int64_t row = first; row < first + count; row++) {
        if (validate_is_null(array, row)) continue;
        /* An unsigned index beyond INT64_MAX comes out negative. */
        int64_t index =
            raw_integer(array->buffers[1], array->offset + row, field->bits, field->is_signed);
        if (index < 0 || index >= limit)
            return validate_fail(frame, "row %lld has index %lld of a dictionary of %lld",
                                 (long long)row, (long long)index, (long long)limit);
    }
    return KH_OK;
}
