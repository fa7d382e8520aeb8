/* ipc_footer.c - the footer of an IPC file: schema, and the places of all messages.
 *
 * Readers with random access begin here; ours has read the whole file when it comes here, and
 * holds the footer against what it read, so that no two readers of a file can see different
 * batches. Failure: KH_CORRUPT. */
#include "batch/ipc_footer.h"

#include "base/status.h"
#include <string.h>

static size_t put_places(struct ipc_buffer *out, size_t base, const struct ipc_buffer *places) {
    size_t count = places->size_bytes / sizeof(struct ipc_place);
    size_t at = flat_put_vector(out, base, count, sizeof(struct ipc_place));
    if (!out->is_failed && places->size_bytes > 0)
        memcpy(out->bytes + at + 4, places->bytes, places->size_bytes);
    return at;
}

kh_status ipc_footer_put(struct ipc_buffer *out, const struct ipc_footer *footer,
                         kh_error *error) {
    size_t base = out->size_bytes;
    size_t schema_at = 0;
    struct flat_field fields[4] = {{.field = FOOTER_VERSION, .width = 2, .value = IPC_V5},
                                   {.field = FOOTER_SCHEMA, .width = FLAT_REF},
                                   {.field = FOOTER_DICTIONARIES, .width = FLAT_REF},
                                   {.field = FOOTER_RECORDS, .width = FLAT_REF}};
    flat_begin(out, base);
    flat_refer(out, base, flat_put_table(out, base, fields, 4));
    kh_status status = ipc_schema_put(out, base, footer->schema, &schema_at, error);
    if (status != KH_OK)
        return status;
    flat_refer(out, fields[1].at, schema_at);
    flat_refer(out, fields[2].at, put_places(out, base, footer->dictionaries));
    flat_refer(out, fields[3].at, put_places(out, base, footer->records));
    if (out->size_bytes - base > INT32_MAX)
        return status_fail(error, KH_TOO_BIG, "IPC file: too many batches for one footer");
    int32_t size = (int32_t)(out->size_bytes - base);
    ipc_buffer_append(out, &size, sizeof size);
    ipc_buffer_append(out, IPC_MAGIC, IPC_MAGIC_BYTES);
    return out->is_failed ? status_no_memory(error, 0) : KH_OK;
}

static kh_status malformed(kh_error *error, const char *what) {
    return status_fail(error, KH_CORRUPT, "IPC file: footer: %s", what);
}

static bool is_same_places(const struct flat_table *table, unsigned field,
                           const struct ipc_buffer *places) {
    struct flat_vector vector;
    if (!flat_items(table, field, sizeof(struct ipc_place), &vector) ||
        vector.count * sizeof(struct ipc_place) != places->size_bytes)
        return false;
    for (uint32_t i = 0; i < vector.count; i++) {
        struct ipc_place said;
        struct ipc_place seen;
        memcpy(&said, vector.items + i * sizeof said, sizeof said);
        memcpy(&seen, places->bytes + i * sizeof seen, sizeof seen);
        if (said.offset != seen.offset || said.metadata_bytes != seen.metadata_bytes ||
            said.body_bytes != seen.body_bytes)
            return false;
    }
    return true;
}

static kh_status check_schema(struct mem *mem, const struct flat_table *table,
                              const struct ipc_footer *footer, kh_error *error) {
    struct ArrowSchema arrow;
    struct ipc_buffer ids;
    struct ipc_traits traits;
    kh_schema *schema = NULL;
    ipc_buffer_init(&ids, mem);
    kh_status status = ipc_schema_read(table, mem, &arrow, &ids, &traits, error);
    if (status == KH_OK) {
        status = ipc_status(kh_schema_import(NULL, &arrow, &schema, error));
        if (status != KH_OK)
            arrow.release(&arrow);
    }
    if (status == KH_OK &&
        (!kh_schema_equal(schema, footer->schema) ||
         traits.is_big_endian != footer->is_big_endian ||
         ids.size_bytes != footer->ids->size_bytes ||
         (ids.size_bytes > 0 && memcmp(ids.bytes, footer->ids->bytes, ids.size_bytes) != 0)))
        status = malformed(error, "another schema than the file's");
    kh_schema_release(schema);
    ipc_buffer_fini(&ids);
    return status;
}

kh_status ipc_footer_check(struct mem *mem, kh_bytes bytes, const struct ipc_footer *footer,
                           kh_error *error) {
    const size_t tail_bytes = sizeof(int32_t) + IPC_MAGIC_BYTES;
    struct flat_table root;
    struct flat_table schema;
    int32_t size;
    if (bytes.size_bytes < tail_bytes)
        return malformed(error, "missing");
    const unsigned char *tail = (const unsigned char *)bytes.data + bytes.size_bytes - tail_bytes;
    memcpy(&size, tail, sizeof size);
    if (memcmp(tail + sizeof size, IPC_MAGIC, IPC_MAGIC_BYTES) != 0)
        return malformed(error, "no magic at the end");
    if (size < 0 || (size_t)size != bytes.size_bytes - tail_bytes)
        return malformed(error, "another size than declared");
    if (!flat_root(bytes.data, (size_t)size, &root) ||
        flat_child(&root, FOOTER_SCHEMA, &schema) != FLAT_PRESENT)
        return malformed(error, "malformed");
    if (!is_same_places(&root, FOOTER_DICTIONARIES, footer->dictionaries))
        return malformed(error, "other dictionary batches than the file's");
    if (!is_same_places(&root, FOOTER_RECORDS, footer->records))
        return malformed(error, "other record batches than the file's");
    return check_schema(mem, &schema, footer, error);
}
