/* ipc_schema_read.c - a Schema table of Schema.fbs as an Arrow C schema.
 *
 * Invariants: every field visited is counted and every text copied is counted before it is
 * believed, so that tables that refer to the same child many times cost no more than the limits.
 * Happy path: root, fields in preorder, ids noted as they are met. Failure: KH_CORRUPT for what
 * is malformed, KH_TOO_BIG beyond the limits, KH_UNSUPPORTED for unknown types; the half-built
 * schema is released. What makes a type valid (the children of a list, say) is the import's to
 * check. */
#include "batch/ipc_wire.h"

#include "base/status.h"
#include <stdio.h>
#include <string.h>

struct reading {
    struct arena *arena;
    struct ipc_buffer *ids;
    uint32_t fields_left;
    size_t text_left;
    bool has_union;
    kh_error *error;
};

static kh_status malformed(const struct reading *r, const char *what) {
    return status_fail(r->error, KH_CORRUPT, "IPC schema: malformed %s", what);
}

/* Counts size_bytes of text against the limit. */
static kh_status spend(struct reading *r, size_t size_bytes) {
    if (size_bytes > r->text_left)
        return status_fail(r->error, KH_TOO_BIG, "IPC schema: more than %u bytes of text",
                           LIMIT_SCHEMA_BYTES);
    r->text_left -= size_bytes;
    return KH_OK;
}

static kh_status read_name(struct reading *r, const struct flat_table *table, const char **out) {
    kh_bytes name;
    if (!flat_text(table, FIELD_NAME, &name))
        return malformed(r, "name");
    if (name.size_bytes > 0 && memchr(name.data, 0, name.size_bytes) != NULL)
        return malformed(r, "name (NUL inside)");
    kh_status status = spend(r, name.size_bytes + 1);
    if (status != KH_OK)
        return status;
    char *copy = arena_alloc(r->arena, name.size_bytes + 1);
    if (copy == NULL)
        return status_no_memory(r->error, name.size_bytes + 1);
    if (name.size_bytes > 0)
        memcpy(copy, name.data, name.size_bytes);
    copy[name.size_bytes] = '\0';
    *out = copy;
    return KH_OK;
}

static bool read_pair(const struct flat_table *table, const struct flat_vector *pairs,
                      uint32_t index, kh_bytes texts[2]) {
    struct flat_table pair;
    return flat_item_table(table, pairs, index, &pair) && flat_text(&pair, PAIR_KEY, &texts[0]) &&
           flat_text(&pair, PAIR_VALUE, &texts[1]);
}

static char *put_part(char *next, kh_bytes text) {
    int32_t size = (int32_t)text.size_bytes;
    memcpy(next, &size, sizeof size);
    if (size > 0)
        memcpy(next + 4, text.data, text.size_bytes);
    return next + 4 + text.size_bytes;
}

/* Key-value pairs in the notation of the C Data Interface; none at all gives NULL. */
static kh_status read_metadata(struct reading *r, const struct flat_table *table, unsigned field,
                               const char **out) {
    struct flat_vector pairs;
    kh_bytes texts[2];
    if (!flat_items(table, field, 4, &pairs))
        return malformed(r, "metadata");
    if (pairs.count == 0)
        return KH_OK;
    kh_status status = spend(r, 4);
    size_t size = 4;
    for (uint32_t i = 0; i < pairs.count && status == KH_OK; i++) {
        if (!read_pair(table, &pairs, i, texts))
            return malformed(r, "metadata");
        size_t pair_bytes = 8 + texts[0].size_bytes + texts[1].size_bytes;
        size += pair_bytes;
        status = spend(r, pair_bytes);
    }
    if (status != KH_OK)
        return status;
    char *metadata = arena_alloc(r->arena, size);
    if (metadata == NULL)
        return status_no_memory(r->error, size);
    int32_t count = (int32_t)pairs.count;
    memcpy(metadata, &count, sizeof count);
    char *next = metadata + 4;
    for (uint32_t i = 0; i < pairs.count; i++) {
        (void)read_pair(table, &pairs, i, texts);
        next = put_part(put_part(next, texts[0]), texts[1]);
    }
    *out = metadata;
    return KH_OK;
}

/* Turns the field into indices whose values it was: the index type is int32 when not given. */
static kh_status read_encoding(struct reading *r, const struct flat_table *encoding,
                               struct ArrowSchema *field) {
    struct flat_table index;
    int64_t is_ordered;
    if (!flat_integer(encoding, ENCODING_IS_ORDERED, 1, 0, &is_ordered))
        return malformed(r, "dictionary encoding");
    struct ArrowSchema *values = arena_alloc_zeroed(r->arena, sizeof *values);
    if (values == NULL)
        return status_no_memory(r->error, sizeof *values);
    values->name = "";
    values->flags = ARROW_FLAG_NULLABLE;
    field->dictionary = values;
    field->format = "i";
    if (is_ordered != 0)
        field->flags |= ARROW_FLAG_DICTIONARY_ORDERED;
    switch (flat_child(encoding, ENCODING_INDEX_TYPE, &index)) {
    case FLAT_ABSENT:
        return KH_OK;
    case FLAT_PRESENT:
        return ipc_type_read(&index, 2, r->arena, &field->format, &field->flags, r->error);
    case FLAT_BAD:
        break;
    }
    return malformed(r, "index type");
}

static kh_status note_id(struct reading *r, const struct flat_table *encoding) {
    int64_t id;
    if (!flat_integer(encoding, ENCODING_ID, 8, 0, &id))
        return malformed(r, "dictionary id");
    ipc_buffer_append(r->ids, &id, sizeof id);
    return r->ids->is_failed ? status_no_memory(r->error, sizeof id) : KH_OK;
}

static kh_status read_fields(struct reading *r, const struct flat_table *table, unsigned field,
                             unsigned depth, struct ArrowSchema *out);

/* The type ids of a union that lists none: the children's positions. */
static kh_status number_children(struct reading *r, struct ArrowSchema *out) {
    size_t capacity = 5 + 4 * 128;
    char *format = arena_alloc(r->arena, capacity);
    if (format == NULL)
        return status_no_memory(r->error, capacity);
    memcpy(format, out->format, 5);
    int size = 4;
    for (int i = 0; i < out->n_children && i < 128; i++)
        size += snprintf(format + size, capacity - (size_t)size, i == 0 ? "%d" : ",%d", i);
    out->format = format;
    return KH_OK;
}

/* The type, and for it the children, of a field; values is the field, or its dictionary. */
static kh_status read_type(struct reading *r, const struct flat_table *table, unsigned depth,
                           struct ArrowSchema *values) {
    struct flat_table type;
    int64_t type_number;
    if (!flat_integer(table, FIELD_TYPE_TYPE, 1, 0, &type_number))
        return malformed(r, "type");
    if (flat_child(table, FIELD_TYPE, &type) != FLAT_PRESENT)
        return malformed(r, "type");
    kh_status status = ipc_type_read(&type, type_number, r->arena, &values->format,
                                     &values->flags, r->error);
    if (status == KH_OK)
        status = spend(r, strlen(values->format) + 1);
    if (status != KH_OK)
        return status;
    status = read_fields(r, table, FIELD_CHILDREN, depth, values);
    if (status != KH_OK || strncmp(values->format, "+u", 2) != 0)
        return status;
    r->has_union = true;
    return values->format[4] == '\0' ? number_children(r, values) : KH_OK;
}

static kh_status read_field(struct reading *r, const struct flat_table *table, unsigned depth,
                            struct ArrowSchema *out) {
    int64_t is_nullable;
    struct flat_table encoding;
    struct ArrowSchema *values = out;
    kh_status status = read_name(r, table, &out->name);
    if (status == KH_OK)
        status = read_metadata(r, table, FIELD_METADATA, &out->metadata);
    if (status != KH_OK)
        return status;
    if (!flat_integer(table, FIELD_NULLABLE, 1, 0, &is_nullable))
        return malformed(r, "field");
    out->flags = is_nullable != 0 ? ARROW_FLAG_NULLABLE : 0;
    ipc_tree_seal(out);
    enum flat_found found = flat_child(table, FIELD_DICTIONARY, &encoding);
    if (found == FLAT_BAD)
        return malformed(r, "dictionary encoding");
    if (found == FLAT_PRESENT) {
        status = note_id(r, &encoding);
        if (status == KH_OK)
            status = read_encoding(r, &encoding, out);
        if (status != KH_OK)
            return status;
        values = out->dictionary;
        ipc_tree_seal(values);
    }
    return read_type(r, table, depth, values);
}

static kh_status read_fields(struct reading *r, const struct flat_table *table, unsigned field,
                             unsigned depth, struct ArrowSchema *out) {
    struct flat_vector items;
    if (!flat_items(table, field, 4, &items))
        return malformed(r, "fields");
    if (items.count > r->fields_left)
        return status_fail(r->error, KH_TOO_BIG, "IPC schema: more than %d fields",
                           LIMIT_SCHEMA_FIELDS);
    if (items.count > 0 && depth > LIMIT_SCHEMA_DEPTH)
        return status_fail(r->error, KH_TOO_BIG, "IPC schema: more than %d levels",
                           LIMIT_SCHEMA_DEPTH);
    r->fields_left -= items.count;
    if (!ipc_tree_children(r->arena, out, items.count))
        return status_no_memory(r->error, items.count * sizeof *out);
    for (uint32_t i = 0; i < items.count; i++) {
        struct flat_table item;
        if (!flat_item_table(table, &items, i, &item))
            return malformed(r, "field");
        kh_status status = read_field(r, &item, depth + 1, out->children[i]);
        if (status != KH_OK)
            return status;
    }
    return KH_OK;
}

kh_status ipc_schema_read(const struct flat_table *table, struct mem *mem,
                          struct ArrowSchema *out, struct ipc_buffer *ids,
                          struct ipc_traits *traits, kh_error *error) {
    int64_t endianness;
    struct ArrowSchema root;
    struct reading r = {.ids = ids, .fields_left = LIMIT_SCHEMA_FIELDS,
                        .text_left = LIMIT_SCHEMA_BYTES, .error = error};
    if (!flat_integer(table, SCHEMA_ENDIANNESS, 2, 0, &endianness) || endianness < 0 ||
        endianness > 1)
        return malformed(&r, "endianness");
    r.arena = ipc_tree_begin(mem, &root);
    if (r.arena == NULL)
        return status_no_memory(error, sizeof *r.arena);
    kh_status status = read_metadata(&r, table, SCHEMA_METADATA, &root.metadata);
    if (status == KH_OK)
        status = read_fields(&r, table, SCHEMA_FIELDS, 1, &root);
    if (status != KH_OK) {
        root.release(&root);
        return status;
    }
    *traits = (struct ipc_traits){.has_union = r.has_union, .is_big_endian = endianness == 1};
    *out = root;
    return KH_OK;
}
