/* gather_view.c - string and binary views: see gather.h.
 *
 * A view holds up to 12 bytes itself, else names a stretch of one of its array's buffers. The
 * result gets buffers of its own. Of a source whose long values that are wanted add up to less
 * than its buffers, the values are copied one after the other; otherwise (many views of the same
 * bytes, say) its buffers are copied whole, so that a result never outgrows its sources.
 * Null rows get empty views: what lies under a null is not proved to name anything. */
#include "batch/gather.h"

#include "base/status.h"

#include <string.h>

enum { VIEW_INLINE_BYTES = 12, VIEW_BYTES = 16 };

struct view {
    int32_t size;
    int32_t prefix;
    int32_t buffer;
    int32_t offset;
};

struct plan {
    bool is_whole[GATHER_SOURCES];
    int64_t first_buffer[GATHER_SOURCES]; /* whole: where the source's buffers begin */
    int64_t *sizes;                       /* of all buffers of the result */
    int64_t count;
    int64_t capacity;
    int64_t packed_first; /* the buffers that single values are copied to */
};

static inline struct view view_at(const struct column *column, int64_t index) {
    struct view view;
    memcpy(&view, (const unsigned char *)column->values + index * VIEW_BYTES, sizeof view);
    return view;
}

static inline bool is_long(const struct column *column, int64_t index, struct view *view) {
    if (column_is_null_bit(column->validity, index))
        return false;
    *view = view_at(column, index);
    return view->size > VIEW_INLINE_BYTES;
}

/* Which sources are copied whole. */
static void choose(const struct sources *sources, const struct run_list *runs, struct plan *plan) {
    int64_t wanted[GATHER_SOURCES] = {0};
    for (size_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->runs[i];
        const struct source *source = &sources->at[run->source];
        int64_t start = source->first + run->start;
        struct view view;
        for (int64_t k = start; k < start + run->length; k++)
            if (is_long(source->column, k, &view))
                wanted[run->source] += view.size;
    }
    for (int i = 0; i < sources->count; i++) {
        int64_t total = 0;
        for (int64_t k = 0; k < sources->at[i].column->view_buffer_count; k++)
            total += raw_i64(sources->at[i].column->view_sizes, k);
        plan->is_whole[i] = wanted[i] > 0 && wanted[i] >= total;
    }
}

static kh_status add_buffer(const struct gather *gather, struct plan *plan, int64_t size_bytes) {
    if (plan->count == plan->capacity) {
        int64_t capacity = plan->capacity == 0 ? 8 : plan->capacity * 2;
        int64_t *sizes = arena_alloc(gather->arena, (size_t)capacity * sizeof *sizes);
        if (sizes == NULL)
            return status_no_memory(gather->error, (size_t)capacity * sizeof *sizes);
        if (plan->count > 0)
            memcpy(sizes, plan->sizes, (size_t)plan->count * sizeof *sizes);
        plan->sizes = sizes;
        plan->capacity = capacity;
    }
    plan->sizes[plan->count++] = size_bytes;
    return KH_OK;
}

/* Sizes of all buffers: first the whole ones, then those for single values. */
static kh_status size_buffers(const struct gather *gather, const struct sources *sources,
                              const struct run_list *runs, struct plan *plan) {
    kh_status status = KH_OK;
    for (int i = 0; i < sources->count; i++) {
        plan->first_buffer[i] = plan->count;
        for (int64_t k = 0; plan->is_whole[i] && k < sources->at[i].column->view_buffer_count; k++)
            KH_TRY(add_buffer(gather, plan, raw_i64(sources->at[i].column->view_sizes, k)));
    }
    plan->packed_first = plan->count;
    for (size_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->runs[i];
        const struct source *source = &sources->at[run->source];
        int64_t start = source->first + run->start;
        struct view view;
        for (int64_t k = start; !plan->is_whole[run->source] && k < start + run->length; k++) {
            if (!is_long(source->column, k, &view))
                continue;
            if (plan->count == plan->packed_first ||
                plan->sizes[plan->count - 1] + view.size > gather->offset32_max)
                KH_TRY(add_buffer(gather, plan, 0));
            plan->sizes[plan->count - 1] += view.size;
        }
    }
done:
    return status;
}

/* Room for the buffers in *out (views, buffers, their sizes), the whole ones filled. */
static kh_status make_buffers(const struct gather *gather, const struct sources *sources,
                              const struct plan *plan, struct ArrowArray *out) {
    kh_status status;
    void *sizes;
    void *pointers;
    size_t pointer_bytes = (size_t)(plan->count + 3) * sizeof(void *);
    KH_TRY(gather_alloc(gather, pointer_bytes, false, &pointers));
    KH_TRY(gather_alloc(gather, (uint64_t)plan->count * sizeof(int64_t), false, &sizes));
    const void **buffers = pointers;
    buffers[0] = out->buffers[0];
    buffers[1] = NULL;
    for (int64_t i = 0; i < plan->count; i++) {
        void *bytes;
        KH_TRY(gather_alloc(gather, (uint64_t)plan->sizes[i], false, &bytes));
        buffers[2 + i] = bytes;
    }
    if (plan->count > 0)
        memcpy(sizes, plan->sizes, (size_t)plan->count * sizeof(int64_t));
    buffers[2 + plan->count] = sizes;
    for (int i = 0; i < sources->count; i++) {
        const struct column *column = sources->at[i].column;
        for (int64_t k = 0; plan->is_whole[i] && k < column->view_buffer_count; k++) {
            int64_t to = plan->first_buffer[i] + k;
            if (plan->sizes[to] > 0)
                memcpy((void *)buffers[2 + to], column->view_buffers[k], (size_t)plan->sizes[to]);
        }
    }
    out->buffers = buffers;
    out->n_buffers = plan->count + 3;
done:
    return status;
}

static void fill_views(const struct gather *gather, const struct sources *sources,
                       const struct run_list *runs, const struct plan *plan,
                       const void *const *buffers, struct view *to) {
    int64_t packed = plan->packed_first;
    int64_t used = 0;
    for (size_t i = 0; i < runs->count; i++) {
        const struct run *run = &runs->runs[i];
        const struct column *column = sources->at[run->source].column;
        int64_t start = sources->at[run->source].first + run->start;
        for (int64_t k = start; k < start + run->length; k++, to++) {
            struct view view = {0};
            if (!is_long(column, k, &view)) {
                *to = view;
                continue;
            }
            if (plan->is_whole[run->source]) {
                view.buffer = (int32_t)(view.buffer + plan->first_buffer[run->source]);
            } else {
                if (used + view.size > gather->offset32_max) {
                    packed++;
                    used = 0;
                }
                memcpy((unsigned char *)buffers[2 + packed] + used,
                       (const unsigned char *)column->view_buffers[view.buffer] + view.offset,
                       (size_t)view.size);
                view.buffer = (int32_t)packed;
                view.offset = (int32_t)used;
                used += view.size;
            }
            *to = view;
        }
    }
}

kh_status gather_view(const struct gather *gather, const struct sources *sources,
                      const struct run_list *runs, struct ArrowArray *out) {
    kh_status status;
    struct plan plan = {0};
    void *views;
    KH_TRY(gather_alloc(gather, (uint64_t)runs->length * VIEW_BYTES, false, &views));
    choose(sources, runs, &plan);
    KH_TRY(size_buffers(gather, sources, runs, &plan));
    KH_TRY(make_buffers(gather, sources, &plan, out));
    fill_views(gather, sources, runs, &plan, out->buffers, views);
    out->buffers[1] = views;
done:
    return status;
}
