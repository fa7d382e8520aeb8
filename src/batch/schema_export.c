/* schema_export.c - a schema as an ArrowSchema, and a schema from names and formats.
 *
 * An export is one block: a count, the nodes, the arrays of child pointers. Each node carries one
 * count and may be moved out and released on its own, by any thread; the last one frees the block.
 * The strings are the schema's own, which the block keeps alive: it is memory of the context
 * (enough for a database's schema), and it holds the count of a process' schema. Failure:
 * KH_NO_MEMORY, nothing written. */
#include "base/limits.h"
#include "base/status.h"
#include "batch/home.h"
#include "batch/schema_body.h"

struct exported {
    _Atomic uint32_t refs; /* nodes not released */
    const kh_schema *schema;
    size_t block_bytes;
    struct ArrowSchema *next_node; /* while it is built */
    struct ArrowSchema **next_pointer;
};

static void release_node(struct ArrowSchema *node) {
    struct exported *block = node->private_data;
    for (int64_t i = 0; i < node->n_children; i++)
        if (node->children[i]->release != NULL) node->children[i]->release(node->children[i]);
    if (node->dictionary != NULL && node->dictionary->release != NULL)
        node->dictionary->release(node->dictionary);
    node->release = NULL;
    if (atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) != 1) return;
    const kh_schema *schema = block->schema;
    struct mem *mem = schema->mem;
    schema_drop(schema);
    mem_free(mem, NULL, block, block->block_bytes);
}

static void fill_node(struct exported *block, const struct field *field, struct ArrowSchema *node) {
    *node = (struct ArrowSchema){.format = field->format,
                                 .name = field->name,
                                 .metadata = field->metadata,
                                 .flags = field->flags,
                                 .n_children = field->child_count,
                                 .release = release_node,
                                 .private_data = block};
    if (field->child_count > 0) node->children = block->next_pointer;
    block->next_pointer += field->child_count;
    for (int32_t i = 0; i < field->child_count; i++) {
        node->children[i] = block->next_node++;
        fill_node(block, &field->children[i], node->children[i]);
    }
    if (field->dictionary != NULL) {
        node->dictionary = block->next_node++;
        fill_node(block, field->dictionary, node->dictionary);
    }
}

kh_status kh_schema_export(const kh_schema *schema, struct ArrowSchema *out, kh_error *error) {
    if (schema == NULL || out == NULL)
        return status_fail(error, KH_INVALID, "schema and out must not be NULL");
    size_t inner = schema->field_count - 1; /* the root is the caller's */
    size_t block_bytes = sizeof(struct exported) +
                         inner * (sizeof(struct ArrowSchema) + sizeof(struct ArrowSchema *));
    struct exported *block = mem_alloc(schema->mem, NULL, block_bytes);
    if (block == NULL) return status_no_memory(error, block_bytes);
    atomic_init(&block->refs, schema->field_count);
    block->schema = schema;
    block->block_bytes = block_bytes;
    block->next_node = (struct ArrowSchema *)(void *)(block + 1);
    block->next_pointer = (struct ArrowSchema **)(void *)(block->next_node + inner);
    schema_hold(schema);
    fill_node(block, schema->root, out);
    return KH_OK;
}

/* What is built from names and formats is borrowed from the caller. */
static void release_borrowed(struct ArrowSchema *schema) {
    schema->release = NULL;
}

kh_status kh_schema_build(kh_db *db, const char *const *names, const char *const *formats,
                          int64_t column_count, kh_schema **out, kh_error *error) {
    if (column_count < 0 || out == NULL || (column_count > 0 && (names == NULL || formats == NULL)))
        return status_fail(error, KH_INVALID, "names, formats or column_count");
    if (column_count >= LIMIT_SCHEMA_FIELDS)
        return status_fail(error, KH_TOO_BIG, "schema beyond %d fields", LIMIT_SCHEMA_FIELDS);
    const struct batch_home *home;
    kh_status found_home = batch_home_find(db, &home, error);
    if (found_home != KH_OK) return found_home;

    kh_status status = KH_OK;
    size_t count = (size_t)column_count;
    size_t block_bytes = count * (sizeof(struct ArrowSchema) + sizeof(struct ArrowSchema *));
    struct ArrowSchema *columns = mem_alloc(home->mem, NULL, block_bytes);
    if (columns == NULL) return status_no_memory(error, block_bytes);
    struct ArrowSchema **children = (struct ArrowSchema **)(void *)(columns + count);
    for (size_t i = 0; i < count; i++) {
        const char *format = formats[i];
        if (format == NULL || names[i] == NULL) {
            status = status_fail(error, KH_INVALID, "column %zu has no name or format", i);
            goto done;
        }
        bool is_nullable = format[0] != '!';
        columns[i] = (struct ArrowSchema){.format = is_nullable ? format : format + 1,
                                          .name = names[i],
                                          .flags = is_nullable ? ARROW_FLAG_NULLABLE : 0,
                                          .release = release_borrowed};
        children[i] = &columns[i];
    }
    struct ArrowSchema root = {.format = "+s",
                               .n_children = column_count,
                               .children = children,
                               .release = release_borrowed};
    KH_TRY(kh_schema_import(db, &root, out, error));
done:
    mem_free(home->mem, NULL, columns, block_bytes);
    return status;
}
