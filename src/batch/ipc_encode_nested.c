/* ipc_encode_nested.c - nested columns as nodes and buffers of a record batch.
 *
 * Each layout works out which elements of its children the slice uses, and writes those only.
 * A child's element i lies at child.offset + i in its buffers. Invariants and failures as in
 * ipc_encode.c. */
#include "batch/ipc_wire.h"

#include "batch/raw.h"
#include <string.h>

static void encode_list(struct ipc_encoding *e, const struct column *c, int64_t first,
                        int64_t count) {
    bool is_wide = c->field->layout == LAYOUT_LIST64;
    int64_t begin = 0;
    int64_t end = 0;
    if (count > 0) {
        begin = is_wide ? raw_i64(c->offsets, first) : raw_i32(c->offsets, first);
        end = is_wide ? raw_i64(c->offsets, first + count) : raw_i32(c->offsets, first + count);
    }
    ipc_encode_validity(e, c, first, count);
    ipc_encode_offsets(e, c, first, count);
    ipc_encode_column(e, &c->children[0], c->children[0].offset + begin, end - begin);
}

static int64_t load(const void *values, int64_t index, bool is_wide) {
    return is_wide ? raw_i64(values, index) : raw_i32(values, index);
}

static void store(void *values, int64_t index, int64_t value, bool is_wide) {
    if (is_wide)
        raw_put_i64(values, index, value);
    else
        raw_put_i32(values, index, (int32_t)value);
}

/* The child's elements between the first and the last that a list shows; null and empty lists show
 * none and are written as (0, 0). */
static void encode_list_view(struct ipc_encoding *e, const struct column *c, int64_t first,
                             int64_t count) {
    bool is_wide = c->field->layout == LAYOUT_LISTVIEW64;
    int64_t begin = INT64_MAX;
    int64_t end = 0;
    ipc_encode_validity(e, c, first, count);
    for (int64_t i = first; i < first + count; i++) {
        int64_t size = load(c->sizes, i, is_wide);
        if (size == 0 || column_is_null_bit(c->validity, i))
            continue;
        int64_t offset = load(c->offsets, i, is_wide);
        begin = offset < begin ? offset : begin;
        end = offset + size > end ? offset + size : end;
    }
    if (begin > end)
        begin = end;
    for (int part = 0; part < 2; part++) {
        void *out = ipc_encode_open(e, (uint64_t)count * (is_wide ? 8 : 4));
        for (int64_t i = 0; out != NULL && i < count; i++) {
            int64_t size = load(c->sizes, first + i, is_wide);
            if (size == 0 || column_is_null_bit(c->validity, first + i))
                continue;
            int64_t offset = load(c->offsets, first + i, is_wide) - begin;
            store(out, i, part == 0 ? offset : size, is_wide);
        }
        ipc_encode_shut(e);
    }
    ipc_encode_column(e, &c->children[0], c->children[0].offset + begin, end - begin);
}

static void encode_fixed_list(struct ipc_encoding *e, const struct column *c, int64_t first,
                              int64_t count) {
    int64_t size = c->field->list_size;
    ipc_encode_validity(e, c, first, count);
    ipc_encode_column(e, &c->children[0], c->children[0].offset + first * size, count * size);
}

static void encode_same_rows(struct ipc_encoding *e, const struct column *c, int64_t first,
                             int64_t count) {
    for (int32_t i = 0; i < c->field->child_count; i++)
        ipc_encode_column(e, &c->children[i], c->children[i].offset + first, count);
}

static void encode_codes(struct ipc_encoding *e, const struct column *c, int64_t first,
                         int64_t count) {
    ipc_encode_node(e, count, 0);
    ipc_encode_bytes(e, count == 0 ? NULL : (const unsigned char *)c->values + first,
                     (uint64_t)count);
}

static int child_of(const struct column *c, int64_t index) {
    return c->field->union_code_to_child[((const uint8_t *)c->values)[index] & 127];
}

/* Of each child, the elements between the first and the last that are used. */
static void encode_dense(struct ipc_encoding *e, const struct column *c, int64_t first,
                         int64_t count) {
    int32_t begins[128];
    int64_t ends[128] = {0};
    for (int i = 0; i < 128; i++)
        begins[i] = INT32_MAX;
    for (int64_t i = first; i < first + count; i++) {
        int child = child_of(c, i);
        int32_t offset = raw_i32(c->offsets, i);
        begins[child] = offset < begins[child] ? offset : begins[child];
        ends[child] = offset >= ends[child] ? (int64_t)offset + 1 : ends[child];
    }
    encode_codes(e, c, first, count);
    void *offsets = ipc_encode_open(e, (uint64_t)count * 4);
    for (int64_t i = 0; offsets != NULL && i < count; i++)
        raw_put_i32(offsets, i, raw_i32(c->offsets, first + i) - begins[child_of(c, first + i)]);
    ipc_encode_shut(e);
    for (int32_t i = 0; i < c->field->child_count; i++) {
        int64_t begin = ends[i] == 0 ? 0 : begins[i];
        ipc_encode_column(e, &c->children[i], c->children[i].offset + begin, ends[i] - begin);
    }
}

/* The first run that ends behind a logical position. */
static int64_t find_run(const struct column *ends, int64_t position) {
    int64_t low = 0;
    int64_t high = ends->length;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int64_t end = raw_integer(ends->values, ends->offset + middle, ends->field->bits, true);
        if (end > position)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The runs that touch the slice, the last one cut at its end. */
static void encode_runs(struct ipc_encoding *e, const struct column *c, int64_t first,
                        int64_t count) {
    const struct column *ends = &c->children[0];
    const struct column *values = &c->children[1];
    size_t width = (size_t)ends->field->bits / 8;
    int64_t begin = 0;
    int64_t runs = 0;
    if (count > 0) {
        begin = find_run(ends, first);
        runs = find_run(ends, first + count - 1) + 1 - begin;
    }
    ipc_encode_node(e, count, 0);
    ipc_encode_node(e, runs, 0);
    ipc_encode_empty(e);
    unsigned char *out = ipc_encode_open(e, (uint64_t)runs * width);
    for (int64_t i = 0; out != NULL && i < runs; i++) {
        int64_t end =
            raw_integer(ends->values, ends->offset + begin + i, ends->field->bits, true) - first;
        if (end > count)
            end = count;
        memcpy(out + (size_t)i * width, &end, width);
    }
    ipc_encode_shut(e);
    ipc_encode_column(e, values, values->offset + begin, runs);
}

void ipc_encode_nested(struct ipc_encoding *e, const struct column *c, int64_t first,
                       int64_t count) {
    enum layout layout = c->field->layout;
    if (layout == LAYOUT_LIST32 || layout == LAYOUT_LIST64) {
        encode_list(e, c, first, count);
    } else if (layout == LAYOUT_LISTVIEW32 || layout == LAYOUT_LISTVIEW64) {
        encode_list_view(e, c, first, count);
    } else if (layout == LAYOUT_FIXED_LIST) {
        encode_fixed_list(e, c, first, count);
    } else if (layout == LAYOUT_STRUCT) {
        ipc_encode_validity(e, c, first, count);
        encode_same_rows(e, c, first, count);
    } else if (layout == LAYOUT_SPARSE_UNION) {
        encode_codes(e, c, first, count);
        encode_same_rows(e, c, first, count);
    } else if (layout == LAYOUT_DENSE_UNION) {
        encode_dense(e, c, first, count);
    } else {
        encode_runs(e, c, first, count);
    }
}
