/* column.c - a batch of either kind as a tree of columns.
 *
 * The root always has offset 0 and no nulls: a root offset of an adopted array is added to its
 * children, whose length becomes the row count (their null count is kept only where the rows are
 * all of theirs). A bitmap without nulls, where that is known, is left out.
 * Depth is bounded by the schema's. Failure: KH_NO_MEMORY; the arena keeps what was built. */
#include "batch/column.h"

#include "base/status.h"
#include "batch/adopted.h"
#include "batch/plan.h"

static kh_status view_array(const struct field *field, const struct ArrowArray *array,
                            struct arena *arena, struct column *out, kh_error *error);

static struct column *alloc_columns(struct arena *arena, int32_t count, kh_error *error) {
    size_t size_bytes = (size_t)count * sizeof(struct column);
    struct column *columns = arena_alloc(arena, size_bytes);
    if (columns == NULL) (void)status_no_memory(error, size_bytes);
    return columns;
}

static void set_buffers(struct column *out, const struct ArrowArray *array) {
    const void *const *buffers = array->buffers;
    switch (out->field->layout) {
    case LAYOUT_NULL:
        out->null_count = array->length;
        return;
    case LAYOUT_RUN_END:
        return;
    case LAYOUT_STRUCT:
    case LAYOUT_FIXED_LIST:
        break;
    case LAYOUT_FIXED:
        out->values = buffers[1];
        break;
    case LAYOUT_VAR32:
    case LAYOUT_VAR64:
        out->offsets = buffers[1];
        out->values = buffers[2];
        break;
    case LAYOUT_VIEW:
        out->values = buffers[1];
        out->view_buffers = buffers + 2;
        out->view_buffer_count = array->n_buffers - 3;
        out->view_sizes = buffers[array->n_buffers - 1];
        break;
    case LAYOUT_LIST32:
    case LAYOUT_LIST64:
        out->offsets = buffers[1];
        break;
    case LAYOUT_LISTVIEW32:
    case LAYOUT_LISTVIEW64:
        out->offsets = buffers[1];
        out->sizes = buffers[2];
        break;
    case LAYOUT_DENSE_UNION:
        out->offsets = buffers[1];
        out->values = buffers[0];
        return;
    case LAYOUT_SPARSE_UNION:
        out->values = buffers[0];
        return;
    }
    out->validity = buffers[0];
    out->null_count = buffers[0] == NULL ? 0 : array->null_count;
    if (out->null_count == 0) out->validity = NULL;
}

static kh_status view_children(const struct field *field, const struct ArrowArray *array,
                               struct arena *arena, struct column *out, kh_error *error) {
    kh_status status = KH_OK;
    if (field->child_count > 0) {
        out->children = alloc_columns(arena, field->child_count, error);
        if (out->children == NULL) return KH_NO_MEMORY;
    }
    for (int32_t i = 0; i < field->child_count; i++)
        KH_TRY(
            view_array(&field->children[i], array->children[i], arena, &out->children[i], error));
    if (field->dictionary != NULL) {
        out->dictionary = alloc_columns(arena, 1, error);
        if (out->dictionary == NULL) return KH_NO_MEMORY;
        KH_TRY(view_array(field->dictionary, array->dictionary, arena, out->dictionary, error));
    }
done:
    return status;
}

static kh_status view_array(const struct field *field, const struct ArrowArray *array,
                            struct arena *arena, struct column *out, kh_error *error) {
    *out = (struct column){.field = field, .length = array->length, .offset = array->offset};
    set_buffers(out, array);
    return view_children(field, array, arena, out, error);
}

static kh_status view_adopted(const kh_batch *batch, struct arena *arena, struct column *out,
                              kh_error *error) {
    const struct ArrowArray *array = &adopted_of(batch)->array;
    kh_status status = KH_OK;
    *out = (struct column){.field = schema_root(batch->schema), .length = batch->row_count};
    KH_TRY(view_children(out->field, array, arena, out, error));
    for (int32_t i = 0; i < out->field->child_count; i++) {
        struct column *child = &out->children[i];
        child->offset += array->offset;
        if (child->length == batch->row_count) continue;
        child->length = batch->row_count;
        if (child->null_count != 0) child->null_count = -1;
        if (child->field->layout == LAYOUT_NULL) child->null_count = batch->row_count;
    }
done:
    return status;
}

/* The one data buffer of a packed batch's view columns. */
struct heap {
    const void *bytes;
    int64_t size_bytes;
};

static void view_packed_column(const kh_batch *batch, const struct plan *plan, uint32_t index,
                               const struct heap *heap, struct column *out) {
    uint8_t *slot = packed_slot(batch, plan, index);
    out->length = batch->row_count;
    out->validity = packed_validity(batch, plan, index);
    out->null_count = out->validity == NULL ? 0 : -1;
    switch ((enum plan_kind)plan->columns[index].kind) {
    case PLAN_NULL:
        out->null_count = out->length;
        break;
    case PLAN_BOOL:
    case PLAN_FIXED:
        out->values = slot;
        break;
    case PLAN_VAR32:
    case PLAN_VAR64:
        out->offsets = slot;
        out->values = heap->bytes;
        break;
    case PLAN_VIEW:
        out->values = slot;
        out->view_buffers = &heap->bytes;
        out->view_sizes = &heap->size_bytes;
        out->view_buffer_count = 1;
        break;
    }
}

static kh_status view_packed(const kh_batch *batch, struct arena *arena, struct column *out,
                             kh_error *error) {
    const struct plan *plan = plan_of(batch->schema);
    const struct field *root = schema_root(batch->schema);
    *out = (struct column){.field = root, .length = batch->row_count};
    if (root->child_count == 0) return KH_OK;
    struct heap *heap = arena_alloc(arena, sizeof *heap);
    if (heap == NULL) return status_no_memory(error, sizeof *heap);
    heap->bytes = packed_heap(batch, plan, &heap->size_bytes);
    out->children = alloc_columns(arena, root->child_count, error);
    if (out->children == NULL) return KH_NO_MEMORY;
    for (int32_t i = 0; i < root->child_count; i++) {
        out->children[i] = (struct column){.field = &root->children[i]};
        view_packed_column(batch, plan, (uint32_t)i, heap, &out->children[i]);
    }
    return KH_OK;
}

kh_status column_view(const kh_batch *batch, struct arena *arena, struct column *out,
                      kh_error *error) {
    if (batch->kind == BATCH_PACKED) return view_packed(batch, arena, out, error);
    return view_adopted(batch, arena, out, error);
}
