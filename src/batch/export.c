/* export.c - a batch as an ArrowArray.
 *
 * An export is one block: counts, the nodes below the root (which is the caller's), their child
 * pointers and, for a packed batch, their buffer pointers. Of an adopted batch the nodes point at
 * the producer's own lists of buffers, which live as long as the batch. Buffers are never copied.
 * Each node carries one count of the block and may be moved out and released on its own, by any
 * thread; the last one frees the block and lets go of the batch.
 * The exported root has offset 0 (some consumers take no other); what the batch's own root array
 * had is added to its columns. Null counts are always known: a -1 is counted here.
 * Failure: KH_NO_MEMORY, nothing written. */
#include "base/status.h"
#include "batch/adopted.h"
#include "batch/plan.h"
#include "batch/schema_body.h"

struct exported {
    _Atomic uint32_t refs; /* nodes not released */
    const kh_batch *batch;
    size_t block_bytes;
    const void *no_buffer;        /* the root's list of buffers */
    struct ArrowArray *next_node; /* while it is built */
    struct ArrowArray **next_child;
    const void **next_buffer;
    int64_t heap_bytes; /* of a packed batch: the sizes of its views' data buffers */
};

/* Children that still lie where they were made and have no nodes below them are counted off at
 * once. */
static void release_node(struct ArrowArray *node) {
    struct exported *block = node->private_data;
    uint32_t count = 1;
    for (int64_t i = 0; i < node->n_children; i++) {
        struct ArrowArray *child = node->children[i];
        if (child->release == NULL) continue;
        if (child->release == release_node && child->private_data == block &&
            child->n_children == 0 && child->dictionary == NULL) {
            child->release = NULL;
            count++;
        } else {
            child->release(child);
        }
    }
    if (node->dictionary != NULL && node->dictionary->release != NULL)
        node->dictionary->release(node->dictionary);
    node->release = NULL;
    if (atomic_fetch_sub_explicit(&block->refs, count, memory_order_acq_rel) != count) return;
    const kh_batch *batch = block->batch;
    mem_free(batch_mem(batch), NULL, block, block->block_bytes);
    batch_release((kh_batch *)(uintptr_t)batch, NULL);
}

static struct ArrowArray **take_children(struct exported *block, int64_t count) {
    struct ArrowArray **children = block->next_child;
    block->next_child += count;
    for (int64_t i = 0; i < count; i++) children[i] = block->next_node++;
    return count > 0 ? children : NULL;
}

static void fill_root(struct exported *block, int64_t column_count, struct ArrowArray *root) {
    *root = (struct ArrowArray){.length = block->batch->row_count,
                                .n_buffers = 1,
                                .n_children = column_count,
                                .buffers = &block->no_buffer,
                                .children = take_children(block, column_count),
                                .release = release_node,
                                .private_data = block};
}

/* ---- adopted --------------------------------------------------------------------------------- */

static void fill_node(struct exported *block, const struct ArrowArray *from,
                      struct ArrowArray *node) {
    *node = *from;
    node->release = release_node;
    node->private_data = block;
    node->children = take_children(block, from->n_children);
    for (int64_t i = 0; i < from->n_children; i++)
        fill_node(block, from->children[i], node->children[i]);
    if (from->dictionary != NULL) {
        node->dictionary = block->next_node++;
        fill_node(block, from->dictionary, node->dictionary);
    }
}

/* Show the rows of the root, and count nulls that are not known for them. */
static void cut_column(struct ArrowArray *node, int64_t offset, int64_t length) {
    node->offset += offset;
    if (node->length == length) return;
    node->length = length;
    if (node->null_count != 0) node->null_count = -1;
}

/* Whatever buffers its producer gave to the null type, it has none. */
static void forget_buffers(struct ArrowArray *node) {
    node->null_count = node->length;
    node->n_buffers = 0;
    node->buffers = NULL;
}

static void count_nulls(const struct field *field, struct ArrowArray *node) {
    if (field->layout == LAYOUT_NULL) forget_buffers(node);
    if (node->null_count < 0) {
        bool is_counted = node->n_buffers > 0 && field->layout != LAYOUT_SPARSE_UNION &&
                          field->layout != LAYOUT_DENSE_UNION && node->buffers[0] != NULL;
        node->null_count = 0;
        if (is_counted)
            node->null_count =
                node->length - raw_count_bits(node->buffers[0], node->offset, node->length);
    }
    for (int32_t i = 0; i < field->child_count; i++)
        count_nulls(&field->children[i], node->children[i]);
    if (field->dictionary != NULL) count_nulls(field->dictionary, node->dictionary);
}

static void fill_adopted(struct exported *block, struct ArrowArray *root) {
    const struct ArrowArray *from = &adopted_of(block->batch)->array;
    const struct field *field = schema_root(block->batch->schema);
    fill_root(block, from->n_children, root);
    for (int64_t i = 0; i < from->n_children; i++) {
        fill_node(block, from->children[i], root->children[i]);
        cut_column(root->children[i], from->offset, from->length);
        count_nulls(&field->children[i], root->children[i]);
    }
}

/* ---- packed ---------------------------------------------------------------------------------- */

enum { BUFFERS_MOST = 4 }; /* of a packed column: validity, views, data, sizes */

static void fill_packed(struct exported *block, struct ArrowArray *root) {
    const kh_batch *batch = block->batch;
    const struct plan *plan = plan_of(batch->schema);
    const uint8_t *slot = packed_slots(batch);
    const void *heap = packed_heap(batch, plan, &block->heap_bytes);
    fill_root(block, plan->column_count, root);
    for (uint32_t i = 0; i < plan->column_count; i++) {
        const struct plan_column *column = &plan->columns[i];
        const void **buffers = block->next_buffer;
        const uint8_t *validity = packed_validity(batch, plan, i);
        struct ArrowArray *node = root->children[i];
        *node = (struct ArrowArray){.length = batch->row_count,
                                    .n_buffers = column->buffer_count,
                                    .release = release_node,
                                    .private_data = block};
        if (column->kind == PLAN_NULL) {
            node->null_count = batch->row_count;
            continue;
        }
        node->buffers = buffers;
        block->next_buffer += BUFFERS_MOST;
        buffers[0] = validity;
        buffers[1] = slot;
        buffers[2] = heap;
        if (column->kind == PLAN_VIEW) {
            buffers[3] = &block->heap_bytes;
            node->n_buffers = 4;
        }
        if (validity != NULL)
            node->null_count = node->length - raw_count_bits(validity, 0, node->length);
        slot += plan_slot_bytes(column, batch->row_count);
    }
}

static kh_status export_array(const kh_batch *batch, struct ArrowArray *out, kh_error *error) {
    bool is_packed = batch->kind == BATCH_PACKED;
    size_t inner = batch->schema->field_count - 1;
    size_t block_bytes = sizeof(struct exported) +
                         inner * (sizeof(struct ArrowArray) + sizeof(struct ArrowArray *)) +
                         (is_packed ? inner * BUFFERS_MOST * sizeof(void *) : 0);
    struct exported *block = mem_alloc(batch_mem(batch), NULL, block_bytes);
    if (block == NULL) return status_no_memory(error, block_bytes);
    atomic_init(&block->refs, batch->schema->field_count);
    block->batch = batch_retain(batch);
    block->block_bytes = block_bytes;
    block->no_buffer = NULL;
    block->next_node = (struct ArrowArray *)(void *)(block + 1);
    block->next_child = (struct ArrowArray **)(void *)(block->next_node + inner);
    block->next_buffer = (const void **)(void *)(block->next_child + inner);
    if (is_packed) {
        fill_packed(block, out);
    } else {
        fill_adopted(block, out);
    }
    return KH_OK;
}

kh_status kh_batch_export(const kh_batch *batch, struct ArrowArray *array,
                          struct ArrowSchema *schema, kh_error *error) {
    struct ArrowSchema made = {.release = NULL};
    kh_status status = KH_OK;
    if (batch == NULL || array == NULL)
        return status_fail(error, KH_INVALID, "batch and array must not be NULL");
    if (schema != NULL) KH_TRY(kh_schema_export(batch->schema, &made, error));
    KH_TRY(export_array(batch, array, error));
    if (schema != NULL) *schema = made;
    made.release = NULL;
done:
    if (made.release != NULL) made.release(&made);
    return status;
}
