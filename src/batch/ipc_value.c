/* ipc_value.c - one batch as bytes without its schema, for records of the log.
 *
 * Happy path out: dictionaries, inner ones first, then the rows; ids are slots. Happy path in: the
 * same messages in the same order, nothing behind them. Failure in: KH_CORRUPT for anything else; a
 * value that was cut or changed is never taken for another one of the same length. */
#include "batch/ipc_wire.h"

#include "base/status.h"
#include <string.h>

kh_status ipc_encode_value(struct mem *mem, const kh_batch *batch, kh_compression compression,
                           struct ipc_buffer *out, kh_error *error) {
    size_t start = out->size_bytes;
    struct arena arena;
    struct column root;
    struct ipc_encoding encoding = {.out = out, .alignment = IPC_VALUE_ALIGNMENT};
    arena_init(&arena, mem, NULL);
    ipc_buffer_init(&encoding.scratch, mem);
    kh_status status = column_view(batch, &arena, &root, error);
    if (status == KH_OK)
        status = ipc_codec_create(mem, compression, &encoding.codec, error);
    if (status == KH_OK)
        status = ipc_message_put_all(&encoding, &root, error);
    if (status == KH_OK)
        status = ipc_message_put(&encoding, &root, root.offset, root.length, 0, NULL, NULL, error);
    if (status != KH_OK)
        out->size_bytes = start;
    ipc_codec_destroy(encoding.codec);
    ipc_buffer_fini(&encoding.scratch);
    arena_fini(&arena);
    return status;
}

struct value_reader {
    struct mem *mem;
    struct mem_cache *cache;
    struct ipc_slots slots;
    struct ArrowArray *values; /* by slot; moved out when used */
    kh_bytes rest;
    kh_error *error;
};

static kh_status corrupt(const struct value_reader *r, const char *what) {
    return status_fail(r->error, KH_CORRUPT, "value bytes: %s", what);
}

/* The next message and a copy of its body. */
static kh_status next_message(struct value_reader *r, struct ipc_message *message,
                              struct ipc_block *body) {
    const unsigned char *bytes = r->rest.data;
    uint32_t prefix[2];
    if (r->rest.size_bytes < sizeof prefix)
        return corrupt(r, "cut short");
    memcpy(prefix, bytes, sizeof prefix);
    size_t left = r->rest.size_bytes - sizeof prefix;
    if (prefix[0] != IPC_CONTINUATION || prefix[1] > left)
        return corrupt(r, "malformed message");
    kh_bytes metadata = {.data = bytes + sizeof prefix, .size_bytes = prefix[1]};
    left -= metadata.size_bytes;
    kh_status status = ipc_message_open(metadata, left, message, r->error);
    if (status != KH_OK)
        return status == KH_TOO_BIG ? KH_CORRUPT : status;
    size_t size_bytes = (size_t)message->body_bytes;
    const unsigned char *from = bytes + sizeof prefix + metadata.size_bytes;
    *body = (struct ipc_block){.bytes = NULL};
    if (size_bytes > 0) {
        body->bytes = mem_alloc(r->mem, r->cache, size_bytes);
        if (body->bytes == NULL)
            return status_no_memory(r->error, size_bytes);
        memcpy(body->bytes, from, size_bytes);
        body->size_bytes = size_bytes;
    }
    r->rest = (kh_bytes){.data = from + size_bytes, .size_bytes = left - size_bytes};
    return KH_OK;
}

/* An ipc_values_fn: each dictionary has one user. */
static kh_status move_values(void *context, uint32_t slot, bool is_all_null,
                             struct ArrowArray *out, kh_error *error) {
    struct value_reader *r = context;
    (void)is_all_null;
    if (r->values[slot].release == NULL)
        return status_fail(error, KH_CORRUPT, "value bytes: a dictionary is missing");
    *out = r->values[slot];
    r->values[slot].release = NULL;
    return KH_OK;
}

static kh_status read_dictionary(struct value_reader *r, const struct ipc_message *message,
                                 struct ipc_block body) {
    uint64_t id = (uint64_t)message->dictionary_id;
    if (id >= r->slots.count || message->is_delta || r->values[id].release != NULL) {
        mem_free(r->mem, r->cache, body.bytes, body.size_bytes);
        return corrupt(r, "unexpected dictionary");
    }
    struct field root = ipc_wrap_values(r->slots.items[id].field->dictionary);
    struct ipc_decoding decoding = {.mem = r->mem, .cache = r->cache, .root = &root,
                                    .record = &message->header, .body = body,
                                    .slot = (uint32_t)id + 1, .bytes_max = LIMIT_BATCH_BYTES,
                                    .values = move_values, .context = r};
    return ipc_decode_values(&decoding, &r->values[id], r->error);
}

static kh_status read_messages(struct value_reader *r, const struct field *root,
                               struct ArrowArray *out) {
    for (;;) {
        struct ipc_message message;
        struct ipc_block body;
        kh_status status = next_message(r, &message, &body);
        if (status != KH_OK)
            return status;
        if (message.kind == IPC_DICTIONARY) {
            status = read_dictionary(r, &message, body);
            if (status != KH_OK)
                return status;
            continue;
        }
        if (message.kind != IPC_RECORD || r->rest.size_bytes != 0) {
            mem_free(r->mem, r->cache, body.bytes, body.size_bytes);
            return corrupt(r, "unexpected message");
        }
        struct ipc_decoding decoding = {.mem = r->mem, .cache = r->cache, .root = root,
                                        .record = &message.header, .body = body,
                                        .bytes_max = LIMIT_BATCH_BYTES, .values = move_values,
                                        .context = r};
        return ipc_decode_record(&decoding, out, r->error);
    }
}

kh_status ipc_decode_any(struct mem *mem, struct mem_cache *cache, const kh_schema *schema,
                         kh_bytes bytes, kh_batch **out, kh_error *error) {
    struct value_reader r = {.mem = mem, .cache = cache, .rest = bytes, .error = error};
    struct ArrowArray array = {.release = NULL};
    size_t values_bytes = 0;
    kh_status status = ipc_slots_init(&r.slots, mem, schema_root(schema), NULL, error);
    if (status != KH_OK)
        return status;
    if (r.slots.count > 0) {
        values_bytes = r.slots.count * sizeof *r.values;
        r.values = mem_alloc_zeroed(mem, cache, values_bytes);
        if (r.values == NULL)
            status = status_no_memory(error, values_bytes);
    }
    if (status == KH_OK)
        status = read_messages(&r, schema_root(schema), &array);
    if (status == KH_OK) {
        status = batch_import(mem, cache, schema, &array, KH_VALIDATE_FULL, out, error);
        if (status != KH_OK)
            array.release(&array);
    }
    for (uint32_t i = 0; r.values != NULL && i < r.slots.count; i++)
        if (r.values[i].release != NULL)
            r.values[i].release(&r.values[i]);
    mem_free(mem, cache, r.values, values_bytes);
    ipc_slots_fini(&r.slots);
    return ipc_status(status);
}

kh_status ipc_decode_value(struct mem *mem, struct mem_cache *cache, const kh_schema *schema,
                           kh_bytes bytes, kh_batch **out, kh_error *error) {
    kh_batch *row = ipc_decode_row(mem, cache, schema, bytes);
    if (row == NULL)
        return ipc_decode_any(mem, cache, schema, bytes, out, error);
    *out = row;
    return KH_OK;
}
