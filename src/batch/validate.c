/* validate.c - the walk over a foreign array: shape, null counts, and who may be null.
 *
 * One walker of our own for every type, driven by the compiled fields, instead of nanoarrow's
 * validation with additions: that one needs its own view tree for each array (2,000 instructions
 * and allocations), checks neither UTF-8 nor views nor run ends, and its dense-union bound is off
 * by one. Here nothing is allocated, and the walk is bounded by the schema's depth.
 *
 * Contents are checked where the batch shows them: the rows of the root, and below it what those
 * rows reach (all of a child where that is not a range). Nulls in a field that is not nullable are
 * refused only where they show: not under a null parent, not in an unselected slot of a union.
 * Not knowable: the size of buffers (see khonsu/batch.h). Failure: KH_INVALID_DATA with the path of
 * the column; the array is not touched. */
#include "batch/validate.h"

#include "base/status.h"
#include "batch/ipc_array.h"
#include "batch/raw.h"
#include <stdarg.h>
#include <stdio.h>

static size_t write_path(const struct frame *frame, char *out, size_t room) {
    size_t used = frame->up != NULL && frame->up->up != NULL ? write_path(frame->up, out, room) : 0;
    const char *name = frame->child < 0 ? "(dictionary)" : frame->field->name;
    if (used + 1 >= room) return used;
    int wrote = snprintf(out + used, room - used, "%s%.60s", used > 0 ? "." : "", name);
    if (wrote < 0) return used;
    return used + (size_t)wrote < room ? used + (size_t)wrote : room - 1;
}

kh_status validate_fail(const struct frame *frame, const char *format, ...) {
    char path[120] = "";
    char reason[160];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    if (frame->up == NULL)
        return status_fail(frame->error, KH_INVALID_DATA, "record batch: %s", reason);
    (void)write_path(frame, path, sizeof path);
    return status_fail(frame->error, KH_INVALID_DATA, "column '%s' (%.20s): %s", path,
                       frame->field->format, reason);
}

bool validate_is_null(const struct ArrowArray *array, int64_t row) {
    return array->n_buffers > 0 && array->buffers[0] != NULL &&
           !raw_bit(array->buffers[0], array->offset + row);
}

static bool has_validity(enum layout layout) {
    return layout != LAYOUT_NULL && layout != LAYOUT_SPARSE_UNION && layout != LAYOUT_DENSE_UNION &&
           layout != LAYOUT_RUN_END;
}

/* Buffers of an array; VIEW: at least. */
static int64_t buffer_count(enum layout layout) {
    switch (layout) {
    case LAYOUT_NULL:
    case LAYOUT_RUN_END:
        return 0;
    case LAYOUT_STRUCT:
    case LAYOUT_FIXED_LIST:
    case LAYOUT_SPARSE_UNION:
        return 1;
    case LAYOUT_FIXED:
    case LAYOUT_LIST32:
    case LAYOUT_LIST64:
    case LAYOUT_DENSE_UNION:
        return 2;
    case LAYOUT_VAR32:
    case LAYOUT_VAR64:
    case LAYOUT_VIEW:
    case LAYOUT_LISTVIEW32:
    case LAYOUT_LISTVIEW64:
        break;
    }
    return 3;
}

/* Of the null type one too many is forgiven: some producers (Polars) give it a bitmap, which nobody
 * looks at. */
static bool is_buffer_count_right(const struct ArrowArray *array, enum layout layout) {
    int64_t expected = buffer_count(layout);
    if (layout == LAYOUT_VIEW) return array->n_buffers >= expected && array->n_buffers <= INT32_MAX;
    if (layout == LAYOUT_NULL && array->n_buffers == 1) return true;
    return array->n_buffers == expected;
}

/* Bytes of an element in the widest buffer that is indexed by row. */
static int64_t element_bytes(const struct field *field) {
    return field->layout == LAYOUT_FIXED && field->bits > 128 ? field->bits / 8 : 16;
}

/* Must a buffer behind the bitmap be there? The bytes of VAR columns and the buffers of views
 * depend on their contents and are looked at with them. */
static bool is_needed(const struct frame *frame, int64_t buffer) {
    enum layout layout = frame->field->layout;
    if (frame->array->length == 0) return false;
    if (layout == LAYOUT_FIXED) return frame->field->bits > 0;
    if (layout == LAYOUT_VAR32 || layout == LAYOUT_VAR64 || layout == LAYOUT_VIEW)
        return buffer == 1;
    return true;
}

static kh_status check_buffers(const struct frame *frame) {
    const struct ArrowArray *array = frame->array;
    enum layout layout = frame->field->layout;
    int64_t expected = buffer_count(layout);
    if (!is_buffer_count_right(array, layout))
        return validate_fail(frame, "%lld buffers where the type has %lld",
                             (long long)array->n_buffers, (long long)expected);
    if (expected > 0 && array->buffers == NULL)
        return validate_fail(frame, "the list of buffers is NULL");
    for (int64_t i = has_validity(layout) ? 1 : 0; i < expected; i++)
        if (array->buffers[i] == NULL && is_needed(frame, i))
            return validate_fail(frame, "buffer %lld is NULL", (long long)i);
    return KH_OK;
}

static kh_status check_lengths(const struct frame *frame) {
    const struct ArrowArray *array = frame->array;
    if (array->length < 0 || array->offset < 0 ||
        array->length > VALIDATE_REACH_MAX / element_bytes(frame->field) ||
        array->offset > VALIDATE_REACH_MAX / element_bytes(frame->field) - array->length)
        return validate_fail(frame, "length %lld at offset %lld", (long long)array->length,
                             (long long)array->offset);
    if (array->null_count < -1 || array->null_count > array->length)
        return validate_fail(frame, "null count %lld of %lld elements",
                             (long long)array->null_count, (long long)array->length);
    if (!has_validity(frame->field->layout) && frame->field->layout != LAYOUT_NULL &&
        array->null_count > 0)
        return validate_fail(frame, "null count %lld in a type without a bitmap",
                             (long long)array->null_count);
    return KH_OK;
}

static kh_status check_shape(const struct frame *frame) {
    const struct ArrowArray *array = frame->array;
    kh_status status = KH_OK;
    if (array == NULL) return validate_fail(frame, "the array is missing");
    if (array->release == NULL) return validate_fail(frame, "the array is released");
    KH_TRY(check_lengths(frame));
    if (array->n_children != frame->field->child_count)
        return validate_fail(frame, "%lld children where the type has %ld",
                             (long long)array->n_children, (long)frame->field->child_count);
    if (array->n_children > 0 && array->children == NULL)
        return validate_fail(frame, "the list of children is NULL");
    if ((array->dictionary != NULL) != (frame->field->dictionary != NULL))
        return validate_fail(frame, array->dictionary != NULL ? "an unexpected dictionary"
                                                              : "the dictionary is missing");
    KH_TRY(check_buffers(frame));
    if (has_validity(frame->field->layout) && array->null_count > 0 && array->buffers[0] == NULL)
        return validate_fail(frame, "null count %lld without a bitmap",
                             (long long)array->null_count);
done:
    return status;
}

/* Is the null at this row seen by a reader: are all parents up to the root (or to the next list)
 * there and looking at it? */
static bool is_exposed(const struct frame *frame, int64_t row) {
    const struct frame *up = frame->up;
    if (up == NULL || frame->child < 0) return true;
    int64_t index = row; /* of the parent's element in its buffers */
    enum layout layout = up->field->layout;
    if (layout == LAYOUT_SPARSE_UNION) {
        int8_t code = ((const int8_t *)up->array->buffers[0])[row];
        if (code < 0 || up->field->union_code_to_child[code] != frame->child) return false;
    } else if (layout == LAYOUT_FIXED_LIST) {
        index = row / up->field->list_size;
    } else if (layout != LAYOUT_STRUCT) {
        return true;
    }
    int64_t parent_row = index - up->array->offset;
    if (parent_row < 0 || parent_row >= up->array->length) return false;
    if (has_validity(layout) && validate_is_null(up->array, parent_row)) return false;
    return is_exposed(up, parent_row);
}

/* The flag of keys and entries of a map and of run ends is not looked at: they are never null. */
static bool may_be_null(const struct frame *frame) {
    const struct frame *up = frame->up;
    if (up == NULL) return false;
    if (up->field->is_map) return false;
    if (up->field->layout == LAYOUT_RUN_END && frame->child == 0) return false;
    if (up->up != NULL && up->up->field->is_map && frame->child == 0) return false;
    return (frame->field->flags & ARROW_FLAG_NULLABLE) != 0;
}

static kh_status check_nulls(const struct frame *frame, int64_t first, int64_t count) {
    const struct ArrowArray *array = frame->array;
    if (!has_validity(frame->field->layout) || array->buffers[0] == NULL) return KH_OK;
    int64_t valid = raw_count_bits(array->buffers[0], array->offset + first, count);
    int64_t nulls = count - valid;
    /* The count is of the whole array: a part of it gives two bounds. */
    if (array->null_count >= 0 &&
        (array->null_count < nulls || array->null_count > array->length - valid))
        return validate_fail(frame, "null count %lld, but the bitmap has %lld",
                             (long long)array->null_count, (long long)nulls);
    if (nulls == 0 || may_be_null(frame)) return KH_OK;
    for (int64_t row = first; row < first + count; row++)
        if (validate_is_null(array, row) && is_exposed(frame, row))
            return validate_fail(frame, "null at row %lld of a field that is not nullable",
                                 (long long)row);
    return KH_OK;
}

static kh_status walk(const struct frame *frame, int64_t first, int64_t count);

/* Check the shape of a child and its elements [first, first + count), -1: all of it. */
static kh_status enter(const struct frame *up, int32_t child, int64_t first, int64_t count) {
    struct frame frame = {
        .up = up, .child = child, .level = up->level, .is_ours = up->is_ours, .error = up->error};
    kh_status status = KH_OK;
    frame.field = child < 0 ? up->field->dictionary : &up->field->children[child];
    frame.array = child < 0 ? up->array->dictionary : up->array->children[child];
    KH_TRY(check_shape(&frame));
    if (count < 0) {
        first = 0;
        count = frame.array->length;
    }
    if (frame.array->length - count < first)
        return validate_fail(&frame, "length %lld where the parent needs %lld",
                             (long long)frame.array->length, (long long)(first + count));
    KH_TRY(walk(&frame, first, count));
done:
    return status;
}

static kh_status enter_all(const struct frame *frame, int64_t first, int64_t count) {
    kh_status status = KH_OK;
    for (int32_t i = 0; i < frame->field->child_count; i++) KH_TRY(enter(frame, i, first, count));
done:
    return status;
}

static kh_status walk_list(const struct frame *frame, int64_t first, int64_t count) {
    kh_status status = KH_OK;
    int64_t low = 0;
    int64_t high = 0;
    KH_TRY(validate_offsets(frame, first, count, -1, &low, &high));
    KH_TRY(enter(frame, 0, low, high - low));
done:
    return status;
}

static kh_status walk_var(const struct frame *frame, int64_t first, int64_t count) {
    kh_status status = KH_OK;
    int64_t low = 0;
    int64_t high = 0;
    KH_TRY(validate_offsets(frame, first, count, -1, &low, &high));
    if (high > low && frame->array->buffers[2] == NULL)
        return validate_fail(frame, "buffer 2 is NULL");
    if (frame->field->is_utf8 && frame->level == KH_VALIDATE_FULL)
        KH_TRY(validate_utf8(frame, first, count));
done:
    return status;
}

static kh_status walk_fixed_list(const struct frame *frame, int64_t first, int64_t count) {
    int64_t size = frame->field->list_size;
    int64_t end;
    if (__builtin_mul_overflow(frame->array->offset + first + count, size, &end))
        return validate_fail(frame, "length %lld at offset %lld", (long long)frame->array->length,
                             (long long)frame->array->offset);
    return enter(frame, 0, end - count * size, count * size);
}

/* Layouts whose contents say which elements of their children are meant. */
static kh_status walk_indirect(const struct frame *frame, int64_t first, int64_t count) {
    kh_status status = KH_OK;
    bool is_full = frame->level == KH_VALIDATE_FULL;
    KH_TRY(enter_all(frame, 0, -1));
    if (!is_full) goto done;
    if (frame->field->layout == LAYOUT_DENSE_UNION) {
        KH_TRY(validate_union(frame, first, count));
    } else if (frame->field->layout == LAYOUT_RUN_END) {
        KH_TRY(validate_run_ends(frame));
    } else {
        KH_TRY(validate_list_views(frame, first, count));
    }
done:
    return status;
}

static kh_status walk_layout(const struct frame *frame, int64_t first, int64_t count) {
    bool is_full = frame->level == KH_VALIDATE_FULL;
    kh_status status = KH_OK;
    switch (frame->field->layout) {
    case LAYOUT_NULL:
        break;
    case LAYOUT_FIXED:
        if (is_full && frame->field->precision > 0 && !frame->is_ours)
            KH_TRY(validate_decimals(frame, first, count));
        break;
    case LAYOUT_VAR32:
    case LAYOUT_VAR64:
        KH_TRY(walk_var(frame, first, count));
        break;
    case LAYOUT_VIEW:
        KH_TRY(validate_view_buffers(frame));
        if (is_full) KH_TRY(validate_views(frame, first, count));
        break;
    case LAYOUT_LIST32:
    case LAYOUT_LIST64:
        KH_TRY(walk_list(frame, first, count));
        break;
    case LAYOUT_FIXED_LIST:
        KH_TRY(walk_fixed_list(frame, first, count));
        break;
    case LAYOUT_STRUCT:
        KH_TRY(enter_all(frame, frame->array->offset + first, count));
        break;
    case LAYOUT_SPARSE_UNION:
        if (is_full) KH_TRY(validate_union(frame, first, count));
        KH_TRY(enter_all(frame, frame->array->offset + first, count));
        break;
    case LAYOUT_LISTVIEW32:
    case LAYOUT_LISTVIEW64:
    case LAYOUT_DENSE_UNION:
    case LAYOUT_RUN_END:
        KH_TRY(walk_indirect(frame, first, count));
        break;
    }
done:
    return status;
}

static kh_status walk(const struct frame *frame, int64_t first, int64_t count) {
    kh_status status = KH_OK;
    bool is_full = frame->level == KH_VALIDATE_FULL;
    if (is_full) KH_TRY(check_nulls(frame, first, count));
    KH_TRY(walk_layout(frame, first, count));
    if (frame->field->dictionary == NULL) goto done;
    if (!ipc_array_has_proved_values(frame->array)) KH_TRY(enter(frame, -1, 0, -1));
    if (is_full) KH_TRY(validate_indices(frame, first, count));
done:
    return status;
}

/* Top-level nulls are refused at every level: a record batch has no place for them. */
static kh_status check_root(const struct frame *frame) {
    const struct ArrowArray *array = frame->array;
    kh_status status = KH_OK;
    KH_TRY(check_shape(frame));
    if (array->null_count != 0 && array->buffers[0] != NULL &&
        raw_count_bits(array->buffers[0], array->offset, array->length) != array->length)
        return validate_fail(frame, "top-level nulls");
done:
    return status;
}

kh_status validate_root(const struct field *root, const struct ArrowArray *array,
                        kh_validation level, kh_error *error) {
    struct frame frame = {.field = root,
                          .array = array,
                          .level = level,
                          .is_ours = ipc_array_is(array),
                          .error = error};
    kh_status status = KH_OK;
    KH_TRY(check_root(&frame));
    KH_TRY(walk(&frame, 0, array->length));
done:
    return status;
}

kh_status validate_column(const struct field *root, const struct ArrowArray *array, int32_t column,
                          kh_validation level, kh_error *error) {
    struct frame frame = {.field = root,
                          .array = array,
                          .level = level,
                          .is_ours = ipc_array_is(array),
                          .error = error};
    return enter(&frame, column, array->offset, array->length);
}
