/* ipc_schema_write.c - a schema as a Schema table of Schema.fbs.
 *
 * Happy path: each field writes its table, then what that refers to. Failure: KH_NO_MEMORY, seen
 * once at the end. What IPC cannot say, dictionary indices as a dictionary's values, no schema
 * says: the import refuses it. */
#include "batch/ipc_wire.h"

#include "base/status.h"
#include "batch/raw.h"

/* Metadata in the notation of the C Data Interface, proved when the schema was imported. */
static size_t put_metadata(struct ipc_buffer *out, size_t base, const char *metadata) {
    int32_t count = raw_i32(metadata, 0);
    const char *next = metadata + 4;
    size_t vector = flat_put_vector(out, base, (size_t)count, 4);
    for (int32_t i = 0; i < count; i++) {
        struct flat_field fields[2] = {{.field = PAIR_KEY, .width = FLAT_REF},
                                       {.field = PAIR_VALUE, .width = FLAT_REF}};
        size_t pair = flat_put_table(out, base, fields, 2);
        flat_refer(out, vector + 4 + 4 * (size_t)i, pair);
        for (unsigned part = 0; part < 2; part++) {
            int32_t size = raw_i32(next, 0);
            flat_refer(out, fields[part].at, flat_put_text(out, base, next + 4, (size_t)size));
            next += 4 + size;
        }
    }
    return vector;
}

static size_t put_encoding(struct ipc_buffer *out, size_t base, const struct field *field,
                           int64_t id) {
    bool is_ordered = (field->flags & ARROW_FLAG_DICTIONARY_ORDERED) != 0;
    struct flat_field fields[3] = {{.field = ENCODING_ID, .width = 8, .value = id},
                                   {.field = ENCODING_INDEX_TYPE, .width = FLAT_REF},
                                   {.field = ENCODING_IS_ORDERED, .width = 1,
                                    .value = is_ordered}};
    size_t table = flat_put_table(out, base, fields, 3);
    flat_refer(out, fields[1].at, ipc_type_put_index(out, base, field));
    return table;
}

static size_t put_fields(struct ipc_buffer *out, size_t base, const struct field *parent,
                         int64_t *id);

/* *id: the next slot; slots are numbered in preorder. */
static size_t put_field(struct ipc_buffer *out, size_t base, const struct field *field,
                        int64_t *id) {
    const struct field *values = field->dictionary != NULL ? field->dictionary : field;
    kh_assert(values == field || values->dictionary == NULL);
    enum { NAME, NULLABLE, TYPE_TYPE, TYPE, CHILDREN, OPTIONAL };
    struct flat_field fields[7] = {
        [NAME] = {.field = FIELD_NAME, .width = FLAT_REF},
        [NULLABLE] = {.field = FIELD_NULLABLE, .width = 1,
                      .value = (field->flags & ARROW_FLAG_NULLABLE) != 0},
        [TYPE_TYPE] = {.field = FIELD_TYPE_TYPE, .width = 1},
        [TYPE] = {.field = FIELD_TYPE, .width = FLAT_REF},
        [CHILDREN] = {.field = FIELD_CHILDREN, .width = FLAT_REF},
    };
    unsigned count = OPTIONAL;
    unsigned metadata = count;
    if (field->metadata != NULL)
        fields[count++] = (struct flat_field){.field = FIELD_METADATA, .width = FLAT_REF};
    unsigned encoding = count;
    if (field->dictionary != NULL)
        fields[count++] = (struct flat_field){.field = FIELD_DICTIONARY, .width = FLAT_REF};
    size_t table = flat_put_table(out, base, fields, count);
    flat_refer(out, fields[NAME].at, flat_put_text(out, base, field->name, strlen(field->name)));
    uint8_t type = 0;
    flat_refer(out, fields[TYPE].at, ipc_type_put(out, base, values, &type));
    if (!out->is_failed)
        out->bytes[fields[TYPE_TYPE].at] = type;
    if (field->metadata != NULL)
        flat_refer(out, fields[metadata].at, put_metadata(out, base, field->metadata));
    if (field->dictionary != NULL)
        flat_refer(out, fields[encoding].at, put_encoding(out, base, field, (*id)++));
    flat_refer(out, fields[CHILDREN].at, put_fields(out, base, values, id));
    return table;
}

static size_t put_fields(struct ipc_buffer *out, size_t base, const struct field *parent,
                         int64_t *id) {
    size_t vector = flat_put_vector(out, base, (size_t)parent->child_count, 4);
    for (int32_t i = 0; i < parent->child_count; i++)
        flat_refer(out, vector + 4 + 4 * (size_t)i,
                   put_field(out, base, &parent->children[i], id));
    return vector;
}

kh_status ipc_schema_put(struct ipc_buffer *out, size_t base, const kh_schema *schema, size_t *at,
                         kh_error *error) {
    const struct field *root = schema_root(schema);
    struct flat_field fields[3] = {{.field = SCHEMA_ENDIANNESS, .width = 2, .value = 0},
                                   {.field = SCHEMA_FIELDS, .width = FLAT_REF},
                                   {.field = SCHEMA_METADATA, .width = FLAT_REF}};
    size_t table = flat_put_table(out, base, fields, root->metadata != NULL ? 3 : 2);
    int64_t id = 0;
    flat_refer(out, fields[1].at, put_fields(out, base, root, &id));
    if (root->metadata != NULL)
        flat_refer(out, fields[2].at, put_metadata(out, base, root->metadata));
    if (out->is_failed)
        return status_no_memory(error, out->size_bytes);
    *at = table;
    return KH_OK;
}
