/* ipc_schema_tree.c - Arrow C schemas whose parts all lie in one arena.
 *
 * Invariants: the root owns the arena; children hold nothing, their release only marks them.
 * Happy path: begin, children, seal, import (which takes the root). Failure: NULL or false, and
 * releasing the root frees what there is. */
#include "batch/ipc_wire.h"

#include "base/status.h"
#include <string.h>

static void release_part(struct ArrowSchema *schema) {
    schema->release = NULL;
}

static void release_root(struct ArrowSchema *schema) {
    struct arena *arena = schema->private_data;
    struct mem *mem = arena->mem;
    for (int64_t i = 0; i < schema->n_children; i++)
        if (schema->children[i]->release != NULL)
            schema->children[i]->release(schema->children[i]);
    schema->release = NULL;
    arena_fini(arena);
    mem_free(mem, NULL, arena, sizeof *arena);
}

struct arena *ipc_tree_begin(struct mem *mem, struct ArrowSchema *root) {
    struct arena *arena = mem_alloc(mem, NULL, sizeof *arena);
    if (arena == NULL)
        return NULL;
    arena_init(arena, mem, NULL);
    memset(root, 0, sizeof *root);
    root->format = "+s";
    root->name = "";
    root->private_data = arena;
    root->release = release_root;
    return arena;
}

bool ipc_tree_children(struct arena *arena, struct ArrowSchema *parent, int64_t count) {
    if (count == 0)
        return true;
    size_t size = (size_t)count;
    struct ArrowSchema **pointers = arena_alloc(arena, size * sizeof *pointers);
    struct ArrowSchema *children = arena_alloc_zeroed(arena, size * sizeof *children);
    if (pointers == NULL || children == NULL)
        return false;
    for (int64_t i = 0; i < count; i++)
        pointers[i] = &children[i];
    parent->children = pointers;
    parent->n_children = count;
    return true;
}

void ipc_tree_seal(struct ArrowSchema *schema) {
    schema->release = release_part;
}

static bool copy_type(struct arena *arena, const struct field *field, struct ArrowSchema *out) {
    out->format = arena_copy(arena, field->format, strlen(field->format) + 1);
    out->name = arena_copy(arena, field->name, strlen(field->name) + 1);
    out->flags = field->flags;
    if (field->metadata != NULL)
        out->metadata = arena_copy(arena, field->metadata, (size_t)field->metadata_bytes);
    ipc_tree_seal(out);
    if (out->format == NULL || out->name == NULL ||
        (field->metadata != NULL && out->metadata == NULL) ||
        !ipc_tree_children(arena, out, field->child_count))
        return false;
    for (int32_t i = 0; i < field->child_count; i++)
        if (!copy_type(arena, &field->children[i], out->children[i]))
            return false;
    if (field->dictionary == NULL)
        return true;
    out->dictionary = arena_alloc_zeroed(arena, sizeof *out->dictionary);
    return out->dictionary != NULL && copy_type(arena, field->dictionary, out->dictionary);
}

kh_status ipc_tree_of_values(struct mem *mem, const struct field *values, struct ArrowSchema *out,
                             kh_error *error) {
    struct ArrowSchema root;
    struct arena *arena = ipc_tree_begin(mem, &root);
    if (arena == NULL)
        return status_no_memory(error, sizeof *arena);
    if (!ipc_tree_children(arena, &root, 1) || !copy_type(arena, values, root.children[0])) {
        root.n_children = 0;
        root.release(&root);
        return status_no_memory(error, 0);
    }
    *out = root;
    return KH_OK;
}
