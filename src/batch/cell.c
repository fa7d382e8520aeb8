/* cell.c - see cell.h.
 *
 * A cell is first followed through run ends and dictionaries to the column that holds its value
 * (or found null on the way); then the layout says where its bytes or children lie. Recursion is
 * as deep as the schema, which is bounded. */
#include "batch/cell.h"

#include "base/hash.h"
#include "batch/gather.h"
#include "batch/gather_bits.h"

#include <string.h>

/* Rows compared as one block of memory: long enough to be worth a call, short enough that one
 * changed row does not cost many comparisons. */
#define CELL_BLOCK ((int64_t)64)

struct cell {
    const struct column *column;
    int64_t index;
};

/* False: null. */
static bool resolve(struct cell *cell) {
    for (;;) {
        const struct column *column = cell->column;
        const struct field *field = column->field;
        switch (field->layout) {
        case LAYOUT_NULL:
            return false;
        case LAYOUT_SPARSE_UNION:
        case LAYOUT_DENSE_UNION:
            return true;
        case LAYOUT_RUN_END:
            cell->column = &column->children[1];
            cell->index = cell->column->offset + gather_find_run(column, cell->index);
            continue;
        default:
            break;
        }
        if (column_is_null_bit(column->validity, cell->index))
            return false;
        if (field->dictionary == NULL)
            return true;
        cell->column = column->dictionary;
        cell->index = cell->column->offset + gather_integer(column->values, cell->index,
                                                            field->bits, field->is_signed);
    }
}

bool cell_is_null(const struct column *column, int64_t index) {
    struct cell cell = {column, index};
    return !resolve(&cell);
}

static kh_bytes view_bytes(const struct column *column, int64_t index) {
    const unsigned char *view = (const unsigned char *)column->values + index * 16;
    int32_t words[4];
    memcpy(words, view, sizeof words);
    if (words[0] <= 12)
        return (kh_bytes){view + 4, (size_t)words[0]};
    return (kh_bytes){(const unsigned char *)column->view_buffers[words[2]] + words[3],
                      (size_t)words[0]};
}

/* The bytes of a value that is not nested and at least a byte wide. */
static kh_bytes flat_bytes(const struct column *column, int64_t index) {
    const unsigned char *values = column->values;
    if (column->field->layout == LAYOUT_VIEW)
        return view_bytes(column, index);
    if (column->field->layout == LAYOUT_FIXED) {
        size_t width = (size_t)column->field->bits / 8;
        return (kh_bytes){width == 0 ? values : values + (size_t)index * width, width};
    }
    bool is_wide = column->field->layout == LAYOUT_VAR64;
    int64_t begin = gather_offset(column->offsets, index, is_wide);
    int64_t end = gather_offset(column->offsets, index + 1, is_wide);
    return (kh_bytes){end == begin ? values : values + begin, (size_t)(end - begin)};
}

/* Where the elements of a list's row lie in its child. */
static void list_range(const struct cell *cell, int64_t *first, int64_t *count) {
    const struct column *column = cell->column;
    int64_t begin;
    switch (column->field->layout) {
    case LAYOUT_FIXED_LIST:
        begin = cell->index * column->field->list_size;
        *count = column->field->list_size;
        break;
    case LAYOUT_LISTVIEW32:
    case LAYOUT_LISTVIEW64: {
        bool is_wide = column->field->layout == LAYOUT_LISTVIEW64;
        begin = gather_offset(column->offsets, cell->index, is_wide);
        *count = gather_offset(column->sizes, cell->index, is_wide);
        break;
    }
    default: {
        bool is_wide = column->field->layout == LAYOUT_LIST64;
        begin = gather_offset(column->offsets, cell->index, is_wide);
        *count = gather_offset(column->offsets, cell->index + 1, is_wide) - begin;
        break;
    }
    }
    *first = column->children[0].offset + begin;
}

/* The child that a union's row is in. */
static struct cell union_cell(const struct cell *cell, int8_t *type) {
    const struct column *column = cell->column;
    *type = ((const int8_t *)column->values)[cell->index];
    int child = *type < 0 ? -1 : column->field->union_code_to_child[*type];
    kh_assert(child >= 0 && child < column->field->child_count);
    const struct column *in = &column->children[child];
    int64_t index = column->field->layout == LAYOUT_DENSE_UNION
                        ? raw_i32(column->offsets, cell->index)
                        : cell->index;
    return (struct cell){in, in->offset + index};
}

static bool union_equal(const struct cell *a, const struct cell *b) {
    int8_t a_type;
    int8_t b_type;
    struct cell in_a = union_cell(a, &a_type);
    struct cell in_b = union_cell(b, &b_type);
    return a_type == b_type && cell_equal(in_a.column, in_a.index, in_b.column, in_b.index);
}

static bool struct_equal(const struct cell *a, const struct cell *b) {
    for (int32_t i = 0; i < a->column->field->child_count; i++) {
        const struct column *in_a = &a->column->children[i];
        const struct column *in_b = &b->column->children[i];
        if (!cell_equal(in_a, in_a->offset + a->index, in_b, in_b->offset + b->index))
            return false;
    }
    return true;
}

static bool list_equal(const struct cell *a, const struct cell *b) {
    int64_t a_first;
    int64_t b_first;
    int64_t a_count;
    int64_t b_count;
    list_range(a, &a_first, &a_count);
    list_range(b, &b_first, &b_count);
    return a_count == b_count && cell_mismatch(&a->column->children[0], a_first,
                                               &b->column->children[0], b_first,
                                               a_count) == a_count;
}

static bool flat_equal(const struct cell *a, const struct cell *b) {
    if (a->column->field->bits == 1 && a->column->field->layout == LAYOUT_FIXED)
        return raw_bit(a->column->values, a->index) ==
               raw_bit(b->column->values, b->index);
    kh_bytes in_a = flat_bytes(a->column, a->index);
    kh_bytes in_b = flat_bytes(b->column, b->index);
    return in_a.size_bytes == in_b.size_bytes &&
           (in_a.size_bytes == 0 || memcmp(in_a.data, in_b.data, in_a.size_bytes) == 0);
}

bool cell_equal(const struct column *a, int64_t a_index, const struct column *b, int64_t b_index) {
    struct cell in_a = {a, a_index};
    struct cell in_b = {b, b_index};
    bool is_a = resolve(&in_a);
    bool is_b = resolve(&in_b);
    if (!is_a || !is_b)
        return is_a == is_b;
    switch (in_a.column->field->layout) {
    case LAYOUT_LIST32:
    case LAYOUT_LIST64:
    case LAYOUT_LISTVIEW32:
    case LAYOUT_LISTVIEW64:
    case LAYOUT_FIXED_LIST:
        return list_equal(&in_a, &in_b);
    case LAYOUT_STRUCT:
        return struct_equal(&in_a, &in_b);
    case LAYOUT_SPARSE_UNION:
    case LAYOUT_DENSE_UNION:
        return union_equal(&in_a, &in_b);
    default:
        return flat_equal(&in_a, &in_b);
    }
}

static uint64_t combine(uint64_t seed, uint64_t value) {
    return hash_bytes(&value, sizeof value, seed);
}

uint64_t cell_hash(const struct column *column, int64_t index, uint64_t seed) {
    struct cell cell = {column, index};
    if (!resolve(&cell))
        return combine(seed, 0);
    switch (cell.column->field->layout) {
    case LAYOUT_LIST32:
    case LAYOUT_LIST64:
    case LAYOUT_LISTVIEW32:
    case LAYOUT_LISTVIEW64:
    case LAYOUT_FIXED_LIST: {
        int64_t first;
        int64_t count;
        list_range(&cell, &first, &count);
        uint64_t hash = combine(seed, (uint64_t)count + 1);
        for (int64_t i = 0; i < count; i++)
            hash = cell_hash(&cell.column->children[0], first + i, hash);
        return hash;
    }
    case LAYOUT_STRUCT: {
        uint64_t hash = combine(seed, 1);
        for (int32_t i = 0; i < cell.column->field->child_count; i++)
            hash = cell_hash(&cell.column->children[i],
                             cell.column->children[i].offset + cell.index, hash);
        return hash;
    }
    case LAYOUT_SPARSE_UNION:
    case LAYOUT_DENSE_UNION: {
        int8_t type;
        struct cell in = union_cell(&cell, &type);
        return cell_hash(in.column, in.index, combine(seed, (uint64_t)type + 1));
    }
    default:
        break;
    }
    if (cell.column->field->bits == 1 && cell.column->field->layout == LAYOUT_FIXED)
        return combine(seed, raw_bit(cell.column->values, cell.index) ? 2 : 1);
    kh_bytes bytes = flat_bytes(cell.column, cell.index);
    return hash_bytes(bytes.data, bytes.size_bytes, seed);
}

/* True only when the stretches are the same; false: look at each cell. */
static bool is_block_equal(const struct column *a, int64_t a_index, const struct column *b,
                           int64_t b_index, int64_t count) {
    const struct field *field = a->field;
    if (field->dictionary != NULL || (a->validity == NULL) != (b->validity == NULL))
        return false;
    if (a->validity != NULL &&
        !gather_bits_equal(a->validity, a_index, b->validity, b_index, count))
        return false;
    size_t width = (size_t)field->bits / 8;
    if (field->layout == LAYOUT_FIXED && width > 0)
        return memcmp((const unsigned char *)a->values + (size_t)a_index * width,
                      (const unsigned char *)b->values + (size_t)b_index * width,
                      (size_t)count * width) == 0;
    if (field->layout != LAYOUT_VAR32)
        return false;
    int32_t a_first = raw_i32(a->offsets, a_index);
    int32_t b_first = raw_i32(b->offsets, b_index);
    int32_t different = 0;
    for (int64_t k = 1; k <= count; k++)
        different |= (raw_i32(a->offsets, a_index + k) - a_first) ^
                     (raw_i32(b->offsets, b_index + k) - b_first);
    if (different != 0)
        return false;
    int32_t size = raw_i32(a->offsets, a_index + count) - a_first;
    return size == 0 || memcmp((const unsigned char *)a->values + a_first,
                               (const unsigned char *)b->values + b_first, (size_t)size) == 0;
}

int64_t cell_mismatch(const struct column *a, int64_t a_index, const struct column *b,
                      int64_t b_index, int64_t count) {
    for (int64_t k = 0; k < count;) {
        int64_t block = count - k < CELL_BLOCK ? count - k : CELL_BLOCK;
        if (block > 1 && is_block_equal(a, a_index + k, b, b_index + k, block)) {
            k += block;
            continue;
        }
        for (int64_t end = k + block; k < end; k++)
            if (!cell_equal(a, a_index + k, b, b_index + k))
                return k;
    }
    return count;
}
