/* schema_parse.c - from a foreign ArrowSchema to a checked copy in one block.
 *
 * Path: tally (walk, count fields and text, refuse what is malformed or beyond a limit), allocate,
 * copy (fields breadth first, so that siblings lie side by side), parse and check each field of the
 * copy, compile the plan. A foreign tree may share nodes or be endless: the limits on fields and
 * depth end every walk. What cannot be seen through the C Data Interface: the size of a metadata
 * block; its own lengths are believed as far as LIMIT_SCHEMA_BYTES.
 *
 * One spelling for equal types: the root has no name and no flags, absent names are "", empty
 * metadata is absent, flags are kept where they mean something, "d:P,S,128" is "d:P,S", the field
 * of a dictionary's values has no name and is nullable (IPC has no place for either).
 * Failure: a status and a message that names the field; nothing is kept. */
#include "base/limits.h"
#include "base/status.h"
#include "batch/schema_body.h"
#include "batch/utf8.h"

struct tally {
    uint64_t field_count;
    uint64_t text_bytes; /* with the NULs */
    kh_error *error;
};

static kh_status too_big(struct tally *tally) {
    return status_fail(tally->error, KH_TOO_BIG,
                       "schema beyond %d fields, %d levels or %u bytes of text",
                       LIMIT_SCHEMA_FIELDS, LIMIT_SCHEMA_DEPTH, LIMIT_SCHEMA_BYTES);
}

static kh_status tally_text(struct tally *tally, const char *text) {
    size_t room = LIMIT_SCHEMA_BYTES - tally->text_bytes;
    const char *end = memchr(text, '\0', room); /* reads no further than the NUL */
    if (end == NULL) return too_big(tally);
    tally->text_bytes += (size_t)(end - text) + 1;
    return KH_OK;
}

/* Bytes of a metadata block: int32 pair count, then int32 length and bytes of key and value.
 * -1: malformed or beyond most. */
static int64_t metadata_size(const char *metadata, int64_t most) {
    int64_t at = 4;
    if (metadata == NULL) return 0;
    int64_t strings = 2 * (int64_t)raw_i32(metadata, 0);
    if (strings < 0) return -1;
    if (strings == 0) return 0;
    for (int64_t i = 0; i < strings; i++) {
        int64_t length = raw_i32(metadata + at, 0);
        if (length < 0) return -1;
        at += 4 + length;
        if (at > most) return -1;
    }
    return at;
}

static kh_status tally_strings(struct tally *tally, const struct ArrowSchema *schema) {
    const char *name = schema->name != NULL ? schema->name : "";
    kh_status status = KH_OK;
    KH_TRY(tally_text(tally, name));
    if (!utf8_is_valid(name, strlen(name)))
        return status_fail(tally->error, KH_INVALID_DATA, "a field's name is not UTF-8");
    if (schema->format == NULL)
        return status_fail(tally->error, KH_INVALID_DATA, "field '%.80s' has no format", name);
    KH_TRY(tally_text(tally, schema->format));
    int64_t metadata_bytes =
        metadata_size(schema->metadata, (int64_t)(LIMIT_SCHEMA_BYTES - tally->text_bytes));
    if (metadata_bytes < 0)
        return status_fail(tally->error, KH_INVALID_DATA,
                           "field '%.80s' has malformed or too much metadata", name);
    tally->text_bytes += (uint64_t)metadata_bytes;
done:
    return status;
}

static kh_status tally_field(struct tally *tally, const struct ArrowSchema *schema, int depth) {
    kh_status status = KH_OK;
    if (schema == NULL || schema->release == NULL)
        return status_fail(tally->error, KH_INVALID_DATA, "a field is missing or released");
    if (depth > LIMIT_SCHEMA_DEPTH || ++tally->field_count > LIMIT_SCHEMA_FIELDS)
        return too_big(tally);
    KH_TRY(tally_strings(tally, schema));
    if (schema->n_children < 0 || (schema->n_children > 0 && schema->children == NULL))
        return status_fail(tally->error, KH_INVALID_DATA, "field '%.80s' has malformed children",
                           schema->name != NULL ? schema->name : "");
    if (schema->n_children > LIMIT_SCHEMA_FIELDS) return too_big(tally);
    for (int64_t i = 0; i < schema->n_children; i++)
        KH_TRY(tally_field(tally, schema->children[i], depth + 1));
    if (schema->dictionary != NULL) KH_TRY(tally_field(tally, schema->dictionary, depth + 1));
done:
    return status;
}

struct copier {
    struct field *next_field;
    char *next_text;
    kh_error *error;
};

static const char *copy_text(struct copier *copier, const void *text, size_t size_bytes) {
    char *copy = copier->next_text;
    if (size_bytes > 0) memcpy(copy, text, size_bytes);
    copier->next_text += size_bytes;
    return copy;
}

static const char *copy_string(struct copier *copier, const char *text) {
    return copy_text(copier, text, strlen(text) + 1);
}

/* "d:P,S,128" is the long spelling of "d:P,S". */
static const char *copy_format(struct copier *copier, const char *format) {
    size_t length = strlen(format);
    char *copy;
    if (format[0] != 'd' || length < 4 || strcmp(format + length - 4, ",128") != 0 ||
        strchr(format, ',') == format + length - 4)
        return copy_string(copier, format);
    copy = copier->next_text;
    memcpy(copy, format, length - 4);
    copy[length - 4] = '\0';
    copier->next_text += length - 3;
    return copy;
}

static int64_t meaningful_flags(const struct ArrowSchema *schema) {
    int64_t flags = schema->flags & ARROW_FLAG_NULLABLE;
    if (schema->dictionary != NULL) flags |= schema->flags & ARROW_FLAG_DICTIONARY_ORDERED;
    if (strcmp(schema->format, "+m") == 0) flags |= schema->flags & ARROW_FLAG_MAP_KEYS_SORTED;
    return flags;
}

static kh_status copy_field(struct copier *copier, const struct ArrowSchema *schema,
                            struct field *out) {
    const char *trouble = NULL;
    kh_status status = KH_OK;
    out->name = copy_string(copier, schema->name != NULL ? schema->name : "");
    out->format = copy_format(copier, schema->format);
    out->metadata_bytes = metadata_size(schema->metadata, LIMIT_SCHEMA_BYTES);
    if (out->metadata_bytes > 0)
        out->metadata = copy_text(copier, schema->metadata, (size_t)out->metadata_bytes);
    out->flags = meaningful_flags(schema);
    out->child_count = (int32_t)schema->n_children;
    out->children = copier->next_field;
    copier->next_field += schema->n_children;
    for (int64_t i = 0; i < schema->n_children; i++)
        KH_TRY(copy_field(copier, schema->children[i], &out->children[i]));
    if (schema->dictionary != NULL) {
        out->dictionary = copier->next_field++;
        KH_TRY(copy_field(copier, schema->dictionary, out->dictionary));
        out->dictionary->name = "";
        out->dictionary->flags |= ARROW_FLAG_NULLABLE;
    }
    if (!field_parse(out->format, out, &trouble) || !field_check(out, &trouble))
        return status_fail(copier->error, KH_INVALID_DATA, "field '%.80s' (format '%.40s'): %s",
                           out->name, out->format, trouble);
    if (out->dictionary != NULL) out->value_class = VALUE_NONE;
done:
    return status;
}

kh_status schema_parse(struct mem *mem, const struct ArrowSchema *arrow, kh_schema **out,
                       kh_error *error) {
    kh_status status = KH_OK;
    kh_schema *schema = NULL;
    size_t block_bytes = 0;
    struct tally tally = {.error = error};
    KH_TRY(tally_field(&tally, arrow, 1));

    size_t fields_bytes = (size_t)tally.field_count * sizeof(struct field);
    size_t plan_columns_bytes = (size_t)arrow->n_children * sizeof(struct plan_column);
    block_bytes = sizeof *schema + fields_bytes + plan_columns_bytes + (size_t)tally.text_bytes;
    schema = mem_own_alloc(mem, block_bytes);
    if (schema == NULL) return status_no_memory(error, block_bytes);
    memset(schema, 0, sizeof *schema + fields_bytes);
    schema->mem = mem;
    schema->block_bytes = block_bytes;
    schema->field_count = (uint32_t)tally.field_count;
    schema->root = (struct field *)(schema + 1);

    struct plan_column *columns =
        (struct plan_column *)(void *)((char *)(schema + 1) + fields_bytes);
    struct copier copier = {.next_field = schema->root + 1,
                            .next_text = (char *)columns + plan_columns_bytes,
                            .error = error};
    KH_TRY(copy_field(&copier, arrow, schema->root));
    if (schema->root->layout != LAYOUT_STRUCT) {
        status = status_fail(error, KH_INVALID_DATA,
                             "a record batch's schema is a struct ('+s'), not '%.40s'",
                             schema->root->format);
        goto done;
    }
    schema->root->name = "";
    schema->root->flags = 0;
    plan_compile(schema->root, columns, &schema->plan);
    *out = schema;
    schema = NULL;
done:
    if (schema != NULL) mem_own_free(mem, schema, block_bytes);
    return status;
}
