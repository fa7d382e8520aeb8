/* reach.c - how much memory a foreign array keeps alive, and whether its buffers can be read in
 * place. The C Data Interface tells no sizes: a buffer is taken to end with the last element that
 * offset and length name. Pure; the array was validated, so that no sum overflows (16,384 fields of
 * at most 2^48 bytes). */
#include "batch/reach.h"

#include "batch/raw.h"

static void add(struct reach *reach, const void *buffer, int64_t size_bytes, uintptr_t alignment) {
    if (buffer == NULL || size_bytes <= 0) return;
    reach->size_bytes += (uint64_t)size_bytes;
    if (((uintptr_t)buffer & (alignment - 1)) != 0) reach->is_aligned = false;
}

static void add_fixed(struct reach *reach, const struct field *field,
                      const struct ArrowArray *array, int64_t end) {
    uintptr_t alignment = 1;
    if (field->value_class != VALUE_RAW || field->format[0] != 'w')
        alignment = field->bits >= 64 ? 8 : field->bits >= 8 ? (uintptr_t)field->bits / 8 : 1;
    int64_t size_bytes = field->bits == 1 ? (end + 7) / 8 : end * (field->bits / 8);
    add(reach, array->buffers[1], size_bytes, alignment);
}

static void add_offsets(struct reach *reach, const struct ArrowArray *array, int64_t end,
                        int64_t width, bool has_bytes) {
    if (array->length == 0 || array->buffers[1] == NULL) return;
    add(reach, array->buffers[1], (end + 1) * width, (uintptr_t)width);
    if (!has_bytes) return;
    int64_t bytes = width == 8 ? raw_i64(array->buffers[1], end) : raw_i32(array->buffers[1], end);
    if (bytes <= (int64_t)1 << 48) add(reach, array->buffers[2], bytes, 1);
}

static void add_views(struct reach *reach, const struct ArrowArray *array, int64_t end) {
    const void *sizes = array->buffers[array->n_buffers - 1];
    add(reach, array->buffers[1], end * 16, 8);
    add(reach, sizes, (array->n_buffers - 3) * 8, 8);
    for (int64_t i = 0; i < array->n_buffers - 3; i++)
        add(reach, array->buffers[2 + i], raw_i64(sizes, i), 1);
}

static void add_array(struct reach *reach, const struct field *field,
                      const struct ArrowArray *array) {
    int64_t end = array->offset + array->length;
    bool has_validity = true;
    switch (field->layout) {
    case LAYOUT_NULL:
    case LAYOUT_RUN_END:
        has_validity = false;
        break;
    case LAYOUT_STRUCT:
    case LAYOUT_FIXED_LIST:
        break;
    case LAYOUT_FIXED:
        add_fixed(reach, field, array, end);
        break;
    case LAYOUT_VAR32:
        add_offsets(reach, array, end, 4, true);
        break;
    case LAYOUT_VAR64:
        add_offsets(reach, array, end, 8, true);
        break;
    case LAYOUT_LIST32:
        add_offsets(reach, array, end, 4, false);
        break;
    case LAYOUT_LIST64:
        add_offsets(reach, array, end, 8, false);
        break;
    case LAYOUT_LISTVIEW32:
        add(reach, array->buffers[1], end * 4, 4);
        add(reach, array->buffers[2], end * 4, 4);
        break;
    case LAYOUT_LISTVIEW64:
        add(reach, array->buffers[1], end * 8, 8);
        add(reach, array->buffers[2], end * 8, 8);
        break;
    case LAYOUT_VIEW:
        add_views(reach, array, end);
        break;
    case LAYOUT_DENSE_UNION:
        add(reach, array->buffers[1], end * 4, 4);
        add(reach, array->buffers[0], end, 1);
        has_validity = false;
        break;
    case LAYOUT_SPARSE_UNION:
        add(reach, array->buffers[0], end, 1);
        has_validity = false;
        break;
    }
    if (has_validity) add(reach, array->buffers[0], (end + 7) / 8, 1);
    for (int32_t i = 0; i < field->child_count; i++)
        add_array(reach, &field->children[i], array->children[i]);
    if (field->dictionary != NULL) add_array(reach, field->dictionary, array->dictionary);
}

struct reach reach_of(const struct field *root, const struct ArrowArray *array) {
    struct reach reach = {.size_bytes = 0, .is_aligned = true};
    add_array(&reach, root, array);
    return reach;
}
