/* reach.c - measuring a foreign array without copying it.
 *
 * The C Data Interface tells no sizes: a buffer is taken to end with the last element that offset
 * and length name. The rows in use are followed down as ranges; where children are reached by
 * pointers instead (dense unions, list views, runs, dictionaries) all of the child counts as used.
 * Pure; the array was validated. */
#include "batch/reach.h"

#include "batch/raw.h"
#include "batch/validate.h"

enum { VIEW_BYTES = 16, VIEW_INLINE = 12 };

/* Elements [first, first + count) of an array, on the way down. */
struct part {
    struct reach *reach;
    const struct field *field;
    const struct ArrowArray *array;
    int64_t first;
    int64_t count;
};

/* No limit is near the bound, and below it nothing wraps: one view array may claim any number of
 * buffers of any size. */
static uint64_t sum(uint64_t total, int64_t more) {
    uint64_t most = (uint64_t)1 << 62;
    return total > most ? total : total + (uint64_t)more;
}

static void add(const struct part *part, int64_t buffer, int64_t size_bytes, int64_t used_bytes,
                uintptr_t alignment) {
    const void *bytes = part->array->buffers[buffer];
    if (bytes == NULL || size_bytes <= 0) return;
    part->reach->size_bytes = sum(part->reach->size_bytes, size_bytes);
    part->reach->used_bytes = sum(part->reach->used_bytes, used_bytes);
    if (((uintptr_t)bytes & (alignment - 1)) != 0) part->reach->is_aligned = false;
}

/* A buffer of elements of width bytes, and extra more than there are rows. */
static void add_elements(const struct part *part, int64_t buffer, int64_t width, int64_t extra) {
    int64_t end = part->array->offset + part->array->length;
    uintptr_t alignment = width >= 8 ? 8 : (uintptr_t)width;
    add(part, buffer, (end + extra) * width, (part->count + extra) * width, alignment);
}

static void add_bits(const struct part *part, int64_t buffer) {
    int64_t end = part->array->offset + part->array->length;
    add(part, buffer, (end + 7) / 8, (part->count + 7) / 8, 1);
}

static void add_fixed(const struct part *part) {
    int64_t width = part->field->bits / 8;
    int64_t end = part->array->offset + part->array->length;
    if (part->field->bits == 1) {
        add_bits(part, 1);
    } else if (part->field->format[0] == 'w') {
        add(part, 1, end * width, part->count * width, 1);
    } else {
        add_elements(part, 1, width, 0);
    }
}

/* Offsets of width bytes; *low and *high are those of the part. */
static void add_offsets(const struct part *part, int64_t width, int64_t *low, int64_t *high) {
    const void *offsets = part->array->buffers[1];
    int64_t at = part->array->offset + part->first;
    *low = *high = 0;
    if (part->array->length == 0 || offsets == NULL) return;
    add_elements(part, 1, width, 1);
    if (part->count == 0) return;
    *low = width == 8 ? raw_i64(offsets, at) : raw_i32(offsets, at);
    *high = width == 8 ? raw_i64(offsets, at + part->count) : raw_i32(offsets, at + part->count);
}

/* The last offset may lie outside of what was validated: it is believed if it can be. */
static void add_var(const struct part *part, int64_t width) {
    const struct ArrowArray *array = part->array;
    int64_t end = array->offset + array->length;
    int64_t low;
    int64_t high;
    add_offsets(part, width, &low, &high);
    if (array->length == 0 || array->buffers[1] == NULL) return;
    int64_t last = width == 8 ? raw_i64(array->buffers[1], end) : raw_i32(array->buffers[1], end);
    if (last < high || last > VALIDATE_REACH_MAX) last = high;
    add(part, 2, last, high - low, 1);
}

static void add_views(const struct part *part) {
    const struct ArrowArray *array = part->array;
    const void *sizes = array->buffers[array->n_buffers - 1];
    int64_t data_count = array->n_buffers - 3;
    int64_t long_bytes = 0;
    add_elements(part, 1, VIEW_BYTES, 0);
    add(part, array->n_buffers - 1, data_count * 8, data_count * 8, 8);
    for (int64_t row = part->first; row < part->first + part->count; row++) {
        const uint8_t *view = array->buffers[1];
        int64_t length = raw_i32(view + (array->offset + row) * VIEW_BYTES, 0);
        if (length > VIEW_INLINE && !validate_is_null(array, row)) long_bytes += length;
    }
    for (int64_t i = 0; i < data_count; i++) add(part, 2 + i, raw_i64(sizes, i), 0, 1);
    part->reach->used_bytes = sum(part->reach->used_bytes, long_bytes);
}

static void add_part(const struct part *part);

static void add_child(const struct part *up, const struct field *field,
                      const struct ArrowArray *array, int64_t first, int64_t count) {
    struct part part = {up->reach, field, array, first, count};
    add_part(&part);
}

static void add_children(const struct part *part, int64_t first, int64_t count) {
    for (int32_t i = 0; i < part->field->child_count; i++)
        add_child(part, &part->field->children[i], part->array->children[i], first, count);
}

static void add_whole_children(const struct part *part) {
    for (int32_t i = 0; i < part->field->child_count; i++)
        add_child(part, &part->field->children[i], part->array->children[i], 0,
                  part->array->children[i]->length);
}

static void add_list(const struct part *part, int64_t width) {
    int64_t low;
    int64_t high;
    add_offsets(part, width, &low, &high);
    add_children(part, low, high - low);
}

static void add_list_view(const struct part *part, int64_t width) {
    add_elements(part, 1, width, 0);
    add_elements(part, 2, width, 0);
    add_whole_children(part);
}

/* The buffers behind the bitmap, and the children. */
static void add_nested(const struct part *part) {
    int64_t at = part->array->offset + part->first;
    int64_t size = part->field->list_size;
    switch (part->field->layout) {
    case LAYOUT_LIST32:
        add_list(part, 4);
        break;
    case LAYOUT_LIST64:
        add_list(part, 8);
        break;
    case LAYOUT_LISTVIEW32:
        add_list_view(part, 4);
        break;
    case LAYOUT_LISTVIEW64:
        add_list_view(part, 8);
        break;
    case LAYOUT_FIXED_LIST:
        add_children(part, at * size, part->count * size);
        break;
    case LAYOUT_DENSE_UNION:
        add_elements(part, 0, 1, 0);
        add_elements(part, 1, 4, 0);
        add_whole_children(part);
        break;
    case LAYOUT_SPARSE_UNION:
        add_elements(part, 0, 1, 0);
        add_children(part, at, part->count);
        break;
    case LAYOUT_RUN_END:
        add_whole_children(part);
        break;
    default: /* struct */
        add_children(part, at, part->count);
        break;
    }
}

static void add_part(const struct part *part) {
    enum layout layout = part->field->layout;
    bool has_validity = layout != LAYOUT_NULL && layout != LAYOUT_RUN_END &&
                        layout != LAYOUT_DENSE_UNION && layout != LAYOUT_SPARSE_UNION;
    if (has_validity) add_bits(part, 0);
    if (layout == LAYOUT_FIXED) {
        add_fixed(part);
    } else if (layout == LAYOUT_VAR32) {
        add_var(part, 4);
    } else if (layout == LAYOUT_VAR64) {
        add_var(part, 8);
    } else if (layout == LAYOUT_VIEW) {
        add_views(part);
    } else if (layout != LAYOUT_NULL) {
        add_nested(part);
    }
    if (part->field->dictionary != NULL)
        add_child(part, part->field->dictionary, part->array->dictionary, 0,
                  part->array->dictionary->length);
}

struct reach reach_of(const struct field *root, const struct ArrowArray *array) {
    struct reach reach = {.is_aligned = true};
    struct part part = {&reach, root, array, 0, array->length};
    add_part(&part);
    return reach;
}
