/* ipc_schema_pack.c - a schema as bytes of our own: exact, where IPC's form drops the name, flags
 * and metadata of a dictionary's values. For the log.
 *
 * Layout: one byte of version, then the root field. A field: flags (1 byte), child count (4 bytes),
 * texts (each 4 bytes of size, then the bytes): format, name, metadata; one byte that says which of
 * metadata and dictionary are there; the children; the dictionary. Little-endian, not aligned.
 * Invariants while reading: what is taken lies inside the bytes; fields, levels and text are
 * counted against the limits before anything is allocated for them. Failure: KH_CORRUPT,
 * KH_TOO_BIG, KH_NO_MEMORY; whether the types make sense is the import's to say. */
#include "batch/ipc_wire.h"

#include "base/status.h"
#include <string.h>

#define PACK_VERSION 1
enum { HAS_METADATA = 1, HAS_DICTIONARY = 2 };

static void put_text(struct ipc_buffer *out, const char *text, size_t size_bytes) {
    uint32_t size = (uint32_t)size_bytes;
    ipc_buffer_append(out, &size, sizeof size);
    ipc_buffer_append(out, text, size_bytes);
}

static void put_field(struct ipc_buffer *out, const struct field *field) {
    uint8_t flags = (uint8_t)field->flags;
    uint32_t child_count = (uint32_t)field->child_count;
    uint8_t parts = (uint8_t)((field->metadata != NULL ? HAS_METADATA : 0) |
                              (field->dictionary != NULL ? HAS_DICTIONARY : 0));
    ipc_buffer_append(out, &flags, sizeof flags);
    ipc_buffer_append(out, &child_count, sizeof child_count);
    ipc_buffer_append(out, &parts, sizeof parts);
    put_text(out, field->format, strlen(field->format));
    put_text(out, field->name, strlen(field->name));
    if (field->metadata != NULL)
        put_text(out, field->metadata, (size_t)field->metadata_bytes);
    for (int32_t i = 0; i < field->child_count; i++)
        put_field(out, &field->children[i]);
    if (field->dictionary != NULL)
        put_field(out, field->dictionary);
}

kh_status ipc_encode_schema(const kh_schema *schema, struct ipc_buffer *out, kh_error *error) {
    size_t start = out->size_bytes;
    uint8_t version = PACK_VERSION;
    ipc_buffer_append(out, &version, sizeof version);
    put_field(out, schema_root(schema));
    if (out->is_failed) {
        out->size_bytes = start;
        return status_no_memory(error, 0);
    }
    return KH_OK;
}

struct unpacking {
    const unsigned char *next;
    size_t left;
    struct arena *arena;
    uint32_t fields_left;
    kh_error *error;
};

static kh_status cut_short(const struct unpacking *u) {
    return status_fail(u->error, KH_CORRUPT, "schema bytes are cut short or malformed");
}

static bool take(struct unpacking *u, void *out, size_t size_bytes) {
    if (size_bytes > u->left)
        return false;
    memcpy(out, u->next, size_bytes);
    u->next += size_bytes;
    u->left -= size_bytes;
    return true;
}

/* A text, with a NUL behind it. */
static kh_status take_text(struct unpacking *u, bool is_string, const char **out, size_t *size) {
    uint32_t size_bytes;
    if (!take(u, &size_bytes, sizeof size_bytes) || size_bytes > u->left)
        return cut_short(u);
    if (is_string && memchr(u->next, 0, size_bytes) != NULL)
        return cut_short(u);
    char *copy = arena_alloc(u->arena, (size_t)size_bytes + 1);
    if (copy == NULL)
        return status_no_memory(u->error, size_bytes);
    (void)take(u, copy, size_bytes);
    copy[size_bytes] = '\0';
    *out = copy;
    *size = size_bytes;
    return KH_OK;
}

/* The C Data Interface's metadata names its own sizes: prove that they fill the text exactly. */
static bool is_metadata(const char *metadata, size_t size_bytes) {
    int32_t count;
    if (size_bytes < 4)
        return false;
    memcpy(&count, metadata, sizeof count);
    if (count < 0)
        return false;
    size_t at = 4;
    for (int64_t part = 0; part < 2 * (int64_t)count; part++) {
        int32_t size;
        if (size_bytes - at < 4)
            return false;
        memcpy(&size, metadata + at, sizeof size);
        at += 4;
        if (size < 0 || (size_t)size > size_bytes - at)
            return false;
        at += (size_t)size;
    }
    return at == size_bytes;
}

static kh_status take_field(struct unpacking *u, unsigned depth, struct ArrowSchema *out);

static kh_status take_children(struct unpacking *u, unsigned depth, uint32_t child_count,
                               bool has_dictionary, struct ArrowSchema *out) {
    if (child_count > u->fields_left || depth > LIMIT_SCHEMA_DEPTH + 1)
        return status_fail(u->error, KH_TOO_BIG, "schema bytes: too many fields or levels");
    u->fields_left -= child_count;
    if (!ipc_tree_children(u->arena, out, child_count))
        return status_no_memory(u->error, child_count * sizeof *out);
    kh_status status = KH_OK;
    for (uint32_t i = 0; i < child_count && status == KH_OK; i++)
        status = take_field(u, depth + 1, out->children[i]);
    if (status != KH_OK || !has_dictionary)
        return status;
    out->dictionary = arena_alloc_zeroed(u->arena, sizeof *out->dictionary);
    if (out->dictionary == NULL)
        return status_no_memory(u->error, sizeof *out->dictionary);
    return take_field(u, depth + 1, out->dictionary);
}

static kh_status take_field(struct unpacking *u, unsigned depth, struct ArrowSchema *out) {
    uint8_t flags;
    uint8_t parts;
    uint32_t child_count;
    size_t size;
    if (!take(u, &flags, sizeof flags) || !take(u, &child_count, sizeof child_count) ||
        !take(u, &parts, sizeof parts) || parts > (HAS_METADATA | HAS_DICTIONARY))
        return cut_short(u);
    out->flags = flags;
    if (depth > 0)
        ipc_tree_seal(out);
    kh_status status = take_text(u, true, &out->format, &size);
    if (status == KH_OK)
        status = take_text(u, true, &out->name, &size);
    if (status == KH_OK && (parts & HAS_METADATA) != 0) {
        status = take_text(u, false, &out->metadata, &size);
        if (status == KH_OK && !is_metadata(out->metadata, size))
            status = cut_short(u);
    }
    if (status != KH_OK)
        return status;
    return take_children(u, depth, child_count, (parts & HAS_DICTIONARY) != 0, out);
}

static kh_status unpack(struct mem *mem, kh_bytes bytes, struct ArrowSchema *out,
                        kh_error *error) {
    struct ArrowSchema root;
    struct unpacking u = {.next = bytes.data, .left = bytes.size_bytes,
                          .fields_left = LIMIT_SCHEMA_FIELDS, .error = error};
    uint8_t version;
    if (bytes.size_bytes > 2 * (size_t)LIMIT_SCHEMA_BYTES)
        return status_fail(error, KH_TOO_BIG, "schema bytes: more than twice %u of text",
                           LIMIT_SCHEMA_BYTES);
    if (!take(&u, &version, sizeof version))
        return cut_short(&u);
    if (version != PACK_VERSION)
        return status_fail(error, KH_UNSUPPORTED, "schema bytes of version %u", version);
    u.arena = ipc_tree_begin(mem, &root);
    if (u.arena == NULL)
        return status_no_memory(error, sizeof *u.arena);
    kh_status status = take_field(&u, 0, &root);
    if (status == KH_OK && u.left != 0)
        status = cut_short(&u);
    if (status != KH_OK) {
        root.release(&root);
        return status;
    }
    *out = root;
    return KH_OK;
}

kh_status ipc_decode_schema(struct schema_table *table, kh_bytes bytes, const kh_schema **out,
                            kh_error *error) {
    struct mem *mem = mem_process();
    if (mem == NULL)
        return status_no_memory(error, 0);
    struct ArrowSchema arrow;
    kh_status status = unpack(mem, bytes, &arrow, error);
    if (status != KH_OK)
        return status;
    kh_schema *schema = NULL;
    status = kh_schema_import(NULL, &arrow, &schema, error);
    if (status == KH_OK)
        status = schema_intern(table, schema, out, error);
    else
        arrow.release(&arrow);
    kh_schema_release(schema);
    return ipc_status(status);
}
