/* gather.c - run lists, and the flat layouts: see gather.h.
 *
 * Happy path: gather_column makes the array and its validity, then the layout's function walks the
 * runs: once to size a buffer, once to fill it. */
#include "batch/gather.h"

#include "base/limits.h"
#include "base/status.h"
#include "batch/gather_bits.h"

#include <string.h>

/* Most operations need one to three runs. */
#define RUNS_AT_FIRST ((size_t)8)

kh_status run_list_add_slow(struct run_list *list, int source, int64_t start, int64_t length,
                            kh_error *error) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? RUNS_AT_FIRST : list->capacity * 2;
        struct run *runs = arena_alloc(list->arena, capacity * sizeof *runs);
        if (runs == NULL)
            return status_no_memory(error, capacity * sizeof *runs);
        if (list->count > 0)
            memcpy(runs, list->runs, list->count * sizeof *runs);
        list->runs = runs;
        list->capacity = capacity;
    }
    list->runs[list->count++] = (struct run){start, length, source};
    list->length += length;
    return KH_OK;
}

kh_status gather_alloc(const struct gather *gather, uint64_t size_bytes, bool is_zeroed,
                       void **out) {
    if (size_bytes > LIMIT_BATCH_BYTES)
        return status_fail(gather->error, KH_TOO_BIG,
                           "a buffer of %llu bytes is beyond the limit of a batch",
                           (unsigned long long)size_bytes);
    void *block = owned_alloc(gather->owned, size_bytes);
    if (block == NULL)
        return status_no_memory(gather->error, size_bytes);
    if (is_zeroed)
        memset(block, 0, size_bytes);
    *out = block;
    return KH_OK;
}

struct sources gather_children(const struct sources *sources, int child) {
    struct sources children = {.count = sources->count};
    for (int i = 0; i < sources->count; i++) {
        children.at[i].column = &sources->at[i].column->children[child];
        children.at[i].first = children.at[i].column->offset;
    }
    return children;
}

static inline bool has_nulls(const struct column *column) {
    return column->validity != NULL && column->null_count != 0;
}

kh_status gather_validity(const struct gather *gather, const struct sources *sources,
                          const struct run_list *runs, struct ArrowArray *out) {
    bool is_needed = false;
    for (int i = 0; i < sources->count; i++)
        is_needed |= has_nulls(sources->at[i].column);
    out->null_count = 0;
    if (!is_needed)
        return KH_OK;
    void *bits;
    kh_status status = gather_alloc(gather, gather_bits_bytes(runs->length), true, &bits);
    if (status != KH_OK)
        return status;
    int64_t position = 0;
    for (size_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->runs[i];
        const struct source *source = &sources->at[run->source];
        if (has_nulls(source->column))
            gather_bits_copy(bits, position, source->column->validity, source->first + run->start,
                             run->length);
        else
            gather_bits_set(bits, position, run->length);
        position += run->length;
    }
    out->null_count = runs->length - raw_count_bits(bits, 0, runs->length);
    if (out->null_count > 0)
        out->buffers[0] = bits;
    return KH_OK;
}

/* Inlined for each width that is common, so that a run of one row is a load and a store. */
static inline __attribute__((always_inline)) void
copy_values(const struct sources *sources, const struct run_list *runs, size_t width,
            unsigned char *to) {
    for (size_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->runs[i];
        const struct source *source = &sources->at[run->source];
        const unsigned char *from =
            (const unsigned char *)source->column->values +
            (size_t)(source->first + run->start) * width;
        if (run->length == 1)
            memcpy(to, from, width);
        else
            memcpy(to, from, (size_t)run->length * width);
        to += (size_t)run->length * width;
    }
}

kh_status gather_values(const struct gather *gather, const struct sources *sources,
                        const struct run_list *runs, uint64_t width_bytes, const void **out) {
    void *values;
    uint64_t size_bytes;
    if (__builtin_mul_overflow((uint64_t)runs->length, width_bytes, &size_bytes))
        size_bytes = UINT64_MAX;
    kh_status status = gather_alloc(gather, size_bytes, false, &values);
    if (status != KH_OK)
        return status;
    switch (width_bytes) {
    case 0: /* fixed-size binary of no bytes: there may be no buffer to read */
        break;
    case 1:
        copy_values(sources, runs, 1, values);
        break;
    case 2:
        copy_values(sources, runs, 2, values);
        break;
    case 4:
        copy_values(sources, runs, 4, values);
        break;
    case 8:
        copy_values(sources, runs, 8, values);
        break;
    case 16:
        copy_values(sources, runs, 16, values);
        break;
    default:
        copy_values(sources, runs, width_bytes, values);
        break;
    }
    *out = values;
    return KH_OK;
}

static kh_status gather_bools(const struct gather *gather, const struct sources *sources,
                              const struct run_list *runs, struct ArrowArray *out) {
    void *bits;
    kh_status status = gather_alloc(gather, gather_bits_bytes(runs->length), true, &bits);
    if (status != KH_OK)
        return status;
    int64_t position = 0;
    for (size_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->runs[i];
        const struct source *source = &sources->at[run->source];
        gather_bits_copy(bits, position, source->column->values, source->first + run->start,
                         run->length);
        position += run->length;
    }
    out->buffers[1] = bits;
    return KH_OK;
}

static kh_status gather_fixed(const struct gather *gather, const struct field *field,
                              const struct sources *sources, const struct run_list *runs,
                              struct ArrowArray *out) {
    if (field->bits == 1)
        return gather_bools(gather, sources, runs, out);
    return gather_values(gather, sources, runs, (uint64_t)field->bits / 8, &out->buffers[1]);
}

/* Offsets of one run, moved to where its bytes will lie. */
static void rebase_offsets(const void *from, int64_t start, int64_t length, int64_t delta,
                           bool is_wide, void *to, int64_t position) {
    if (is_wide) {
        for (int64_t k = 0; k <= length; k++)
            raw_put_i64(to, position + k, raw_i64(from, start + k) + delta);
    } else {
        for (int64_t k = 0; k <= length; k++)
            raw_put_i32(to, position + k, (int32_t)(raw_i32(from, start + k) + delta));
    }
}

static kh_status gather_var(const struct gather *gather, const struct sources *sources,
                            const struct run_list *runs, bool is_wide, struct ArrowArray *out) {
    uint64_t width = is_wide ? 8 : 4;
    int64_t total = 0;
    for (size_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->runs[i];
        const struct source *source = &sources->at[run->source];
        int64_t start = source->first + run->start;
        total += gather_offset(source->column->offsets, start + run->length, is_wide) -
                 gather_offset(source->column->offsets, start, is_wide);
    }
    if (!is_wide && total > gather->offset32_max)
        return status_fail(gather->error, KH_TOO_BIG,
                           "%lld bytes are more than 32-bit offsets can name", (long long)total);
    void *offsets;
    void *bytes;
    kh_status status;
    KH_TRY(gather_alloc(gather, ((uint64_t)runs->length + 1) * width, false, &offsets));
    KH_TRY(gather_alloc(gather, (uint64_t)total, false, &bytes));
    memset(offsets, 0, width);
    int64_t position = 0;
    int64_t filled = 0;
    for (size_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->runs[i];
        const struct source *source = &sources->at[run->source];
        int64_t start = source->first + run->start;
        const void *from = source->column->offsets;
        int64_t begin = gather_offset(from, start, is_wide);
        int64_t size = gather_offset(from, start + run->length, is_wide) - begin;
        rebase_offsets(from, start, run->length, filled - begin, is_wide, offsets, position);
        if (size > 0)
            memcpy((unsigned char *)bytes + filled,
                   (const unsigned char *)source->column->values + begin, (size_t)size);
        position += run->length;
        filled += size;
    }
    out->buffers[1] = offsets;
    out->buffers[2] = bytes;
done:
    return status;
}

/* The children of a struct or sparse union are as long as itself, from its own first row on. */
static kh_status gather_struct(const struct gather *gather, const struct field *field,
                               const struct sources *sources, const struct run_list *runs,
                               struct ArrowArray *out) {
    for (int32_t child = 0; child < field->child_count; child++) {
        struct sources children = gather_children(sources, child);
        for (int i = 0; i < children.count; i++)
            children.at[i].first += sources->at[i].first;
        kh_status status = gather_column(gather, &field->children[child], &children, runs,
                                         out->children[child]);
        if (status != KH_OK)
            return status;
    }
    return KH_OK;
}

static kh_status gather_fixed_list(const struct gather *gather, const struct field *field,
                                   const struct sources *sources, const struct run_list *runs,
                                   struct ArrowArray *out) {
    struct sources children = gather_children(sources, 0);
    for (int i = 0; i < children.count; i++)
        children.at[i].first += sources->at[i].first * field->list_size;
    struct run_list elements;
    int64_t total;
    run_list_init(&elements, gather->arena);
    if (__builtin_mul_overflow(runs->length, (int64_t)field->list_size, &total))
        return status_fail(gather->error, KH_TOO_BIG, "too many elements of fixed-size lists");
    for (size_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->runs[i];
        kh_status status = run_list_add(&elements, run->source, run->start * field->list_size,
                                        run->length * field->list_size, gather->error);
        if (status != KH_OK)
            return status;
    }
    return gather_column(gather, &field->children[0], &children, &elements, out->children[0]);
}

static int64_t buffer_count(const struct field *field) {
    switch (field->layout) {
    case LAYOUT_NULL:
    case LAYOUT_RUN_END:
        return 0;
    case LAYOUT_FIXED_LIST:
    case LAYOUT_STRUCT:
    case LAYOUT_SPARSE_UNION:
        return 1;
    case LAYOUT_FIXED:
    case LAYOUT_LIST32:
    case LAYOUT_LIST64:
    case LAYOUT_DENSE_UNION:
        return 2;
    default:
        return 3;
    }
}

static kh_status gather_sparse_union(const struct gather *gather, const struct field *field,
                                     const struct sources *sources, const struct run_list *runs,
                                     struct ArrowArray *out) {
    kh_status status = gather_values(gather, sources, runs, 1, &out->buffers[0]);
    if (status != KH_OK)
        return status;
    return gather_struct(gather, field, sources, runs, out);
}

static kh_status fill_nested(const struct gather *gather, const struct field *field,
                             const struct sources *sources, const struct run_list *runs,
                             struct ArrowArray *out) {
    switch (field->layout) {
    case LAYOUT_LIST32:
    case LAYOUT_LIST64:
        return gather_list(gather, field, sources, runs, out);
    case LAYOUT_LISTVIEW32:
    case LAYOUT_LISTVIEW64:
        return gather_list_view(gather, field, sources, runs, out);
    case LAYOUT_FIXED_LIST:
        return gather_fixed_list(gather, field, sources, runs, out);
    case LAYOUT_SPARSE_UNION:
        return gather_sparse_union(gather, field, sources, runs, out);
    case LAYOUT_DENSE_UNION:
        return gather_dense_union(gather, field, sources, runs, out);
    case LAYOUT_RUN_END:
        return gather_run_end(gather, field, sources, runs, out);
    default:
        return gather_struct(gather, field, sources, runs, out);
    }
}

static kh_status fill(const struct gather *gather, const struct field *field,
                      const struct sources *sources, const struct run_list *runs,
                      struct ArrowArray *out) {
    if (field->dictionary != NULL)
        return gather_dictionary(gather, field, sources, runs, out);
    switch (field->layout) {
    case LAYOUT_NULL:
        out->null_count = out->length;
        return KH_OK;
    case LAYOUT_FIXED:
        return gather_fixed(gather, field, sources, runs, out);
    case LAYOUT_VAR32:
    case LAYOUT_VAR64:
        return gather_var(gather, sources, runs, field->layout == LAYOUT_VAR64, out);
    case LAYOUT_VIEW:
        return gather_view(gather, sources, runs, out);
    default:
        return fill_nested(gather, field, sources, runs, out);
    }
}

static bool has_validity(enum layout layout) {
    return layout != LAYOUT_NULL && layout != LAYOUT_SPARSE_UNION &&
           layout != LAYOUT_DENSE_UNION && layout != LAYOUT_RUN_END;
}

kh_status gather_column(const struct gather *gather, const struct field *field,
                        const struct sources *sources, const struct run_list *runs,
                        struct ArrowArray *out) {
    kh_status status;
    if ((uint64_t)runs->length > LIMIT_BATCH_BYTES)
        return status_fail(gather->error, KH_TOO_BIG, "%lld elements of one column",
                           (long long)runs->length);
    KH_TRY(owned_array(gather->owned, out, buffer_count(field), field->child_count,
                       field->dictionary != NULL, gather->error));
    out->length = runs->length;
    if (has_validity(field->layout))
        KH_TRY(gather_validity(gather, sources, runs, out));
    status = fill(gather, field, sources, runs, out);
done:
    return status;
}
