/* gather_nested.c - lists, list views, dense unions and run-end encoded columns: see gather.h.
 *
 * Each turns the runs over its rows into runs over its children, and lets gather_column build
 * those. Neighbouring rows' children are neighbours in a list, so that its child runs are as few
 * as its own. */
#include "batch/gather.h"

#include "base/limits.h"
#include "base/status.h"

#include <string.h>

static kh_status too_long(const struct gather *gather, int64_t count) {
    return status_fail(gather->error, KH_TOO_BIG,
                       "%lld elements are more than 32-bit offsets can name", (long long)count);
}

static inline void store_offset(void *offsets, int64_t index, int64_t value, bool is_wide) {
    if (is_wide)
        raw_put_i64(offsets, index, value);
    else
        raw_put_i32(offsets, index, (int32_t)value);
}

/* ---- lists and maps -------------------------------------------------------------------------- */

kh_status gather_list(const struct gather *gather, const struct field *field,
                      const struct sources *sources, const struct run_list *runs,
                      struct ArrowArray *out) {
    bool is_wide = field->layout == LAYOUT_LIST64;
    struct sources children = gather_children(sources, 0);
    struct run_list elements;
    kh_status status;
    void *offsets;
    int64_t position = 0;
    run_list_init(&elements, gather->arena);
    KH_TRY(gather_alloc(gather, ((uint64_t)runs->length + 1) * (is_wide ? 8 : 4), false, &offsets));
    for (size_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->runs[i];
        const void *from = sources->at[run->source].column->offsets;
        int64_t start = sources->at[run->source].first + run->start;
        int64_t begin = gather_offset(from, start, is_wide);
        int64_t end = gather_offset(from, start + run->length, is_wide);
        int64_t delta = elements.length - begin;
        if (!is_wide && end + delta > gather->offset32_max) {
            status = too_long(gather, end + delta);
            goto done;
        }
        for (int64_t k = 0; k < run->length; k++)
            store_offset(offsets, position + k, gather_offset(from, start + k, is_wide) + delta,
                         is_wide);
        position += run->length;
        KH_TRY(run_list_add(&elements, run->source, begin, end - begin, gather->error));
    }
    store_offset(offsets, position, elements.length, is_wide);
    out->buffers[1] = offsets;
    status = gather_column(gather, &field->children[0], &children, &elements, out->children[0]);
done:
    return status;
}

/* ---- list views ------------------------------------------------------------------------------ */

static inline int64_t list_size(const struct column *column, int64_t index, bool is_wide) {
    if (column_is_null_bit(column->validity, index))
        return 0;
    return gather_offset(column->sizes, index, is_wide);
}

/* Rows may share elements. A source whose wanted lists add up to more than its elements is copied
 * whole, so that a result never outgrows its sources. Returns where each of those begins in the
 * result (-1: copied list by list). */
static kh_status choose_whole(const struct gather *gather, const struct sources *sources,
                              const struct run_list *runs, bool is_wide, struct run_list *elements,
                              int64_t *whole_at) {
    int64_t wanted[GATHER_SOURCES] = {0};
    for (size_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->runs[i];
        int64_t start = sources->at[run->source].first + run->start;
        for (int64_t k = start; k < start + run->length; k++)
            wanted[run->source] += list_size(sources->at[run->source].column, k, is_wide);
    }
    for (int i = 0; i < sources->count; i++) {
        int64_t total = sources->at[i].column->children[0].length;
        whole_at[i] = -1;
        if (wanted[i] < total || wanted[i] == 0)
            continue;
        whole_at[i] = elements->length;
        kh_status status = run_list_add(elements, i, 0, total, gather->error);
        if (status != KH_OK)
            return status;
    }
    return KH_OK;
}

/* Offsets and sizes of one run; elements gets the lists of a source that is not copied whole. */
static kh_status copy_lists(const struct gather *gather, const struct source *source,
                            const struct run *run, int64_t whole_at, bool is_wide,
                            struct run_list *elements, void *offsets, void *sizes, int64_t to) {
    for (int64_t k = 0; k < run->length; k++) {
        int64_t index = source->first + run->start + k;
        int64_t size = list_size(source->column, index, is_wide);
        int64_t from = size == 0 ? 0 : gather_offset(source->column->offsets, index, is_wide);
        int64_t offset = size == 0 ? 0 : whole_at < 0 ? elements->length : whole_at + from;
        if (!is_wide && offset + size > gather->offset32_max)
            return too_long(gather, offset + size);
        store_offset(offsets, to + k, offset, is_wide);
        store_offset(sizes, to + k, size, is_wide);
        if (whole_at >= 0)
            continue;
        kh_status status = run_list_add(elements, run->source, from, size, gather->error);
        if (status != KH_OK)
            return status;
    }
    return KH_OK;
}

kh_status gather_list_view(const struct gather *gather, const struct field *field,
                           const struct sources *sources, const struct run_list *runs,
                           struct ArrowArray *out) {
    bool is_wide = field->layout == LAYOUT_LISTVIEW64;
    uint64_t size_bytes = (uint64_t)runs->length * (is_wide ? 8 : 4);
    struct sources children = gather_children(sources, 0);
    struct run_list elements;
    int64_t whole_at[GATHER_SOURCES];
    kh_status status;
    void *offsets;
    void *sizes;
    int64_t position = 0;
    run_list_init(&elements, gather->arena);
    KH_TRY(gather_alloc(gather, size_bytes, false, &offsets));
    KH_TRY(gather_alloc(gather, size_bytes, false, &sizes));
    KH_TRY(choose_whole(gather, sources, runs, is_wide, &elements, whole_at));
    for (size_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->runs[i];
        KH_TRY(copy_lists(gather, &sources->at[run->source], run, whole_at[run->source], is_wide,
                          &elements, offsets, sizes, position));
        position += run->length;
    }
    out->buffers[1] = offsets;
    out->buffers[2] = sizes;
    status = gather_column(gather, &field->children[0], &children, &elements, out->children[0]);
done:
    return status;
}

/* ---- dense unions ---------------------------------------------------------------------------- */

static kh_status split_union(const struct gather *gather, const struct field *field,
                             const struct sources *sources, const struct run_list *runs,
                             struct run_list *elements, int8_t *types, int32_t *offsets) {
    int64_t to = 0;
    for (size_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->runs[i];
        const struct column *column = sources->at[run->source].column;
        int64_t start = sources->at[run->source].first + run->start;
        for (int64_t k = start; k < start + run->length; k++, to++) {
            int8_t type = ((const int8_t *)column->values)[k];
            int child = type < 0 ? -1 : field->union_code_to_child[type];
            if (child < 0)
                return status_fail(gather->error, KH_INVALID_DATA,
                                   "union has no child of type id %d", type);
            if (elements[child].length >= gather->offset32_max)
                return too_long(gather, elements[child].length + 1);
            types[to] = type;
            offsets[to] = (int32_t)elements[child].length;
            kh_status status = run_list_add(&elements[child], run->source,
                                            raw_i32(column->offsets, k), 1, gather->error);
            if (status != KH_OK)
                return status;
        }
    }
    return KH_OK;
}

kh_status gather_dense_union(const struct gather *gather, const struct field *field,
                             const struct sources *sources, const struct run_list *runs,
                             struct ArrowArray *out) {
    size_t list_bytes = (size_t)field->child_count * sizeof(struct run_list);
    struct run_list *elements = arena_alloc(gather->arena, list_bytes);
    if (elements == NULL)
        return status_no_memory(gather->error, list_bytes);
    kh_status status;
    void *types;
    void *offsets;
    for (int32_t i = 0; i < field->child_count; i++)
        run_list_init(&elements[i], gather->arena);
    KH_TRY(gather_alloc(gather, (uint64_t)runs->length, false, &types));
    KH_TRY(gather_alloc(gather, (uint64_t)runs->length * sizeof(int32_t), false, &offsets));
    KH_TRY(split_union(gather, field, sources, runs, elements, types, offsets));
    for (int32_t i = 0; i < field->child_count; i++) {
        struct sources children = gather_children(sources, i);
        KH_TRY(gather_column(gather, &field->children[i], &children, &elements[i],
                             out->children[i]));
    }
    out->buffers[0] = types;
    out->buffers[1] = offsets;
done:
    return status;
}

/* ---- run-end encoding ------------------------------------------------------------------------ */

int64_t gather_find_run(const struct column *column, int64_t index) {
    const struct column *ends = &column->children[0];
    int64_t low = 0;
    int64_t high = ends->length;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (gather_integer(ends->values, ends->offset + middle, ends->field->bits, true) > index)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The result under construction: ends[i] closes the run of values' i-th element. */
struct run_ends {
    int64_t *ends;
    int64_t count;
    int64_t capacity;
    int64_t length; /* rows so far */
    int source;     /* the newest run's value */
    int64_t value;
};

static kh_status add_end(const struct gather *gather, struct run_ends *ends, int64_t length) {
    if (ends->count == ends->capacity) {
        int64_t capacity = ends->capacity == 0 ? 64 : ends->capacity * 2;
        int64_t *wider = arena_alloc(gather->arena, (size_t)capacity * sizeof *wider);
        if (wider == NULL)
            return status_no_memory(gather->error, (size_t)capacity * sizeof *wider);
        if (ends->count > 0)
            memcpy(wider, ends->ends, (size_t)ends->count * sizeof *wider);
        ends->ends = wider;
        ends->capacity = capacity;
    }
    ends->length += length;
    ends->ends[ends->count++] = ends->length;
    return KH_OK;
}

/* Rows [index, index + length) of a source, run by run. */
static kh_status add_rows(const struct gather *gather, const struct column *column, int source,
                          int64_t index, int64_t length, struct run_ends *ends,
                          struct run_list *values) {
    const struct column *from = &column->children[0];
    int64_t value = gather_find_run(column, index);
    while (length > 0) {
        int64_t end = -1;
        if (value < from->length)
            end = gather_integer(from->values, from->offset + value, from->field->bits, true);
        if (end <= index)
            return status_fail(gather->error, KH_INVALID_DATA, "run ends do not reach row %lld",
                               (long long)index);
        int64_t step = end - index < length ? end - index : length;
        if (ends->count > 0 && ends->source == source && ends->value == value) {
            ends->length += step;
            ends->ends[ends->count - 1] = ends->length;
        } else {
            kh_status status = add_end(gather, ends, step);
            if (status == KH_OK)
                status = run_list_add(values, source, value, 1, gather->error);
            if (status != KH_OK)
                return status;
            ends->source = source;
            ends->value = value;
        }
        index += step;
        length -= step;
        value++;
    }
    return KH_OK;
}

/* The run ends as an array of their own integer type. */
static kh_status make_ends(const struct gather *gather, const struct field *field,
                           const struct run_ends *ends, struct ArrowArray *out) {
    kh_status status;
    void *values;
    int64_t most = field->bits == 16 ? INT16_MAX
                   : field->bits == 32 ? gather->offset32_max
                                       : INT64_MAX;
    if (ends->length > most)
        return status_fail(gather->error, KH_TOO_BIG,
                           "%lld rows are more than %d-bit run ends can name",
                           (long long)ends->length, field->bits);
    KH_TRY(owned_array(gather->owned, out, 2, 0, false, gather->error));
    KH_TRY(gather_alloc(gather, (uint64_t)ends->count * (uint64_t)field->bits / 8, false, &values));
    for (int64_t i = 0; i < ends->count; i++) {
        if (field->bits == 16)
            ((int16_t *)values)[i] = (int16_t)ends->ends[i];
        else
            store_offset(values, i, ends->ends[i], field->bits == 64);
    }
    out->length = ends->count;
    out->buffers[1] = values;
done:
    return status;
}

kh_status gather_run_end(const struct gather *gather, const struct field *field,
                         const struct sources *sources, const struct run_list *runs,
                         struct ArrowArray *out) {
    struct sources children = gather_children(sources, 1);
    struct run_ends ends = {0};
    struct run_list values;
    kh_status status = KH_OK;
    run_list_init(&values, gather->arena);
    for (size_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->runs[i];
        const struct source *source = &sources->at[run->source];
        KH_TRY(add_rows(gather, source->column, run->source, source->first + run->start,
                        run->length, &ends, &values));
    }
    KH_TRY(make_ends(gather, &field->children[0], &ends, out->children[0]));
    status = gather_column(gather, &field->children[1], &children, &values, out->children[1]);
done:
    return status;
}
