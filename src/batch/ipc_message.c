/* ipc_message.c - encapsulated messages: continuation, size, Message table, padding, body.
 *
 * Happy path: the metadata is laid out for as many nodes and buffers as the columns need, the body
 * is written right behind it and fills them in, so that nothing is copied twice. How many buffers
 * views need depends on what they show: they are gone through once before. Of a message that is
 * counted only the metadata is written and the body's size added, so that out must be emptied
 * before anything else is appended. Invariant: out grows by whole messages only. Failure: out is
 * cut back. */
#include "batch/ipc_wire.h"

#include "base/status.h"
#include "batch/raw.h"
#include <string.h>

/* What a record batch's metadata has to list. */
struct parts {
    uint64_t nodes;
    uint64_t buffers; /* of views: at most, before they were measured */
    uint64_t views;
    uint64_t body_bytes; /* when measured */
    kh_status status;
};

static void count_parts(const struct column *c, struct parts *parts) {
    static const uint8_t buffer_counts[] = {
        [LAYOUT_NULL] = 0,       [LAYOUT_FIXED] = 2,        [LAYOUT_VAR32] = 3,
        [LAYOUT_VAR64] = 3,      [LAYOUT_VIEW] = 2,         [LAYOUT_LIST32] = 2,
        [LAYOUT_LIST64] = 2,     [LAYOUT_LISTVIEW32] = 3,   [LAYOUT_LISTVIEW64] = 3,
        [LAYOUT_FIXED_LIST] = 1, [LAYOUT_STRUCT] = 1,       [LAYOUT_SPARSE_UNION] = 1,
        [LAYOUT_DENSE_UNION] = 2, [LAYOUT_RUN_END] = 0,
    };
    parts->nodes++;
    parts->buffers += buffer_counts[c->field->layout];
    if (c->field->layout == LAYOUT_VIEW) {
        parts->views++;
        parts->buffers += c->view_buffer_count < 1 ? 1 : (uint64_t)c->view_buffer_count;
    }
    for (int32_t i = 0; i < c->field->child_count; i++)
        count_parts(&c->children[i], parts);
}

static void put_prefix(struct ipc_buffer *out, size_t start) {
    uint32_t prefix[2] = {IPC_CONTINUATION, (uint32_t)(out->size_bytes - start - 8)};
    if (!out->is_failed)
        memcpy(out->bytes + start, prefix, sizeof prefix);
}

enum { TABLE_VERSION, TABLE_HEADER_TYPE, TABLE_HEADER, TABLE_BODY_LENGTH, TABLE_FIELDS };

/* The Message table; fields keep the places of its reference and its body length. */
static void put_table(struct ipc_buffer *out, size_t base, enum ipc_header kind,
                      struct flat_field fields[TABLE_FIELDS]) {
    fields[TABLE_VERSION] =
        (struct flat_field){.field = MESSAGE_VERSION, .width = 2, .value = IPC_V5};
    fields[TABLE_HEADER_TYPE] =
        (struct flat_field){.field = MESSAGE_HEADER_TYPE, .width = 1, .value = kind};
    fields[TABLE_HEADER] = (struct flat_field){.field = MESSAGE_HEADER, .width = FLAT_REF};
    fields[TABLE_BODY_LENGTH] = (struct flat_field){.field = MESSAGE_BODY_LENGTH, .width = 8};
    flat_begin(out, base);
    flat_refer(out, base, flat_put_table(out, base, fields, TABLE_FIELDS));
}

/* The DictionaryBatch table; returns where its reference to the record batch lies. */
static size_t put_note(struct ipc_buffer *out, size_t base, size_t from,
                       const struct ipc_dictionary_note *note) {
    struct flat_field fields[3] = {
        {.field = DICTIONARY_ID, .width = 8, .value = note->id},
        {.field = DICTIONARY_RECORD, .width = FLAT_REF},
        {.field = DICTIONARY_IS_DELTA, .width = 1, .value = note->is_delta}};
    flat_refer(out, from, flat_put_table(out, base, fields, 3));
    return fields[1].at;
}

/* The RecordBatch table and its vectors. */
static void put_record(struct ipc_encoding *e, size_t base, size_t from, int64_t length,
                         const struct parts *parts) {
    struct ipc_buffer *out = e->out;
    enum { LENGTH, NODES, BUFFERS, OPTIONAL };
    struct flat_field fields[5] = {
        [LENGTH] = {.field = RECORD_LENGTH, .width = 8, .value = length},
        [NODES] = {.field = RECORD_NODES, .width = FLAT_REF},
        [BUFFERS] = {.field = RECORD_BUFFERS, .width = FLAT_REF}};
    unsigned count = OPTIONAL;
    unsigned compression = count;
    if (e->codec != NULL)
        fields[count++] = (struct flat_field){.field = RECORD_COMPRESSION, .width = FLAT_REF};
    unsigned variadic = count;
    if (parts->views > 0)
        fields[count++] = (struct flat_field){.field = RECORD_VARIADIC, .width = FLAT_REF};
    flat_refer(out, from, flat_put_table(out, base, fields, count));
    if (e->codec != NULL) {
        bool is_zstd = ipc_codec_kind(e->codec) == KH_COMPRESS_ZSTD;
        struct flat_field body[2] = {
            {.field = COMPRESSION_CODEC, .width = 1, .value = is_zstd},
            {.field = COMPRESSION_METHOD, .width = 1}};
        flat_refer(out, fields[compression].at, flat_put_table(out, base, body, 2));
    }
    if (parts->views > 0) {
        size_t counts = flat_put_vector(out, base, parts->views, 8);
        flat_refer(out, fields[variadic].at, counts);
        e->variadic_at = counts + 4;
    }
    size_t nodes = flat_put_vector(out, base, parts->nodes, IPC_PAIR_BYTES);
    flat_refer(out, fields[NODES].at, nodes);
    e->node_at = nodes + 4;
    size_t buffers = flat_put_vector(out, base, parts->buffers, IPC_PAIR_BYTES);
    flat_refer(out, fields[BUFFERS].at, buffers);
    e->buffer_at = buffers + 4;
}

static void put_body(struct ipc_encoding *e, const struct column *column, int64_t first,
                     int64_t count, bool is_single) {
    if (is_single)
        ipc_encode_column(e, column, first, count);
    else
        for (int32_t i = 0; i < column->field->child_count; i++)
            ipc_encode_column(e, &column->children[i], column->children[i].offset + first, count);
    ipc_encode_align(e);
    if (e->out->is_failed && e->status == KH_OK)
        e->status = KH_NO_MEMORY;
}

/* How many buffers the body has, and its size without compression. */
static void measure_body(const struct ipc_encoding *e, const struct column *column, int64_t first,
                         int64_t count, bool is_single, struct parts *parts) {
    struct ipc_buffer nothing = {.mem = NULL};
    struct ipc_encoding dry = {.out = &nothing,
                               .shifts = e->shifts,
                               .slot = e->slot,
                               .alignment = e->alignment,
                               .is_dry = true};
    put_body(&dry, column, first, count, is_single);
    parts->buffers = dry.buffer_at / IPC_PAIR_BYTES;
    parts->body_bytes = nothing.size_bytes;
    parts->status = dry.status;
}

/* The body right behind the metadata; or, of one that is counted only, its size. */
static void put_or_count(struct ipc_encoding *e, const struct column *column, int64_t first,
                         int64_t count, bool is_single, const struct parts *parts) {
    if (!e->is_counting) {
        put_body(e, column, first, count, is_single);
        return;
    }
    if (e->status == KH_OK) e->status = parts->status;
    e->out->size_bytes += parts->body_bytes;
}

kh_status ipc_message_put(struct ipc_encoding *e, const struct column *column, int64_t first,
                          int64_t count, uint32_t slot, const struct ipc_dictionary_note *note,
                          struct ipc_place *place, kh_error *error) {
    struct ipc_buffer *out = e->out;
    size_t start = out->size_bytes;
    size_t base = start + 8;
    struct parts parts = {0};
    struct flat_field fields[TABLE_FIELDS];
    if (note != NULL)
        count_parts(column, &parts);
    for (int32_t i = 0; note == NULL && i < column->field->child_count; i++)
        count_parts(&column->children[i], &parts);
    e->slot = slot;
    if (parts.views > 0 || e->is_counting)
        measure_body(e, column, first, count, note != NULL, &parts);
    if (parts.buffers > IPC_METADATA_BYTES / 2 / IPC_PAIR_BYTES)
        return status_fail(error, KH_TOO_BIG, "IPC: a batch of more than %u buffers",
                           (unsigned)(IPC_METADATA_BYTES / 2 / IPC_PAIR_BYTES));
    ipc_buffer_extend(out, 8);
    put_table(out, base, note != NULL ? IPC_DICTIONARY : IPC_RECORD, fields);
    size_t from = fields[TABLE_HEADER].at;
    if (note != NULL)
        from = put_note(out, base, from, note);
    put_record(e, base, from, count, &parts);
    ipc_buffer_align(out, start, e->alignment);
    e->status = out->is_failed ? KH_NO_MEMORY : KH_OK;
    e->body = out->size_bytes;
    e->scratch.size_bytes = 0;
    e->scratch.is_failed = false;
    put_or_count(e, column, first, count, note != NULL, &parts);
    if (e->status != KH_OK) {
        out->size_bytes = start;
        return status_fail(error, e->status, "IPC: a batch of %lld rows cannot be encoded: %s",
                           (long long)count, kh_status_meaning(e->status));
    }
    int64_t body_bytes = (int64_t)(out->size_bytes - e->body);
    uint32_t prefix[2] = {IPC_CONTINUATION, (uint32_t)(e->body - base)};
    memcpy(out->bytes + start, prefix, sizeof prefix);
    raw_put_i64(out->bytes + fields[TABLE_BODY_LENGTH].at, 0, body_bytes);
    if (place != NULL) {
        place->metadata_bytes = (int32_t)(e->body - start);
        place->body_bytes = body_bytes;
    }
    return KH_OK;
}

kh_status ipc_message_put_schema(struct ipc_buffer *out, size_t base, const kh_schema *schema,
                                 kh_error *error) {
    size_t start = out->size_bytes;
    size_t schema_at = 0;
    struct flat_field fields[TABLE_FIELDS];
    ipc_buffer_extend(out, 8);
    put_table(out, start + 8, IPC_SCHEMA, fields);
    kh_status status = ipc_schema_put(out, start + 8, schema, &schema_at, error);
    if (status == KH_OK) {
        flat_refer(out, fields[TABLE_HEADER].at, schema_at);
        ipc_buffer_align(out, base, IPC_STREAM_ALIGNMENT);
        put_prefix(out, start);
        if (out->is_failed)
            status = status_no_memory(error, 0);
    }
    if (status != KH_OK)
        out->size_bytes = start;
    return status;
}

/* *slot: the next one; moves past the columns met. */
static kh_status put_dictionaries(struct ipc_encoding *e, const struct column *c, uint32_t *slot,
                                  kh_error *error) {
    kh_status status = KH_OK;
    if (c->field->dictionary != NULL) {
        struct ipc_dictionary_note note = {.id = *slot};
        uint32_t inner = *slot + 1;
        *slot = inner;
        status = put_dictionaries(e, c->dictionary, slot, error);
        if (status == KH_OK)
            status = ipc_message_put(e, c->dictionary, c->dictionary->offset,
                                     c->dictionary->length, inner, &note, NULL, error);
        return status;
    }
    for (int32_t i = 0; i < c->field->child_count && status == KH_OK; i++)
        status = put_dictionaries(e, &c->children[i], slot, error);
    return status;
}

kh_status ipc_message_put_all(struct ipc_encoding *e, const struct column *root,
                              kh_error *error) {
    uint32_t slot = 0;
    return put_dictionaries(e, root, &slot, error);
}
