/* ipc_value_row.c - the short way in for values that are one row of fixed-width and string columns,
 * which is what most records of a log are: straight from the bytes into one packed block.
 *
 * Everything that the long way proves is proved here, too, but only as far as such a row needs it:
 * the message by the same reader (ipc_message_open), every buffer against the body, offsets against
 * their bytes, text, nulls. No array is built, and the body is not copied as a whole. Happy path:
 * open the message, look at each column once, writing its slot into a row on the stack; allocate;
 * copy. Failure: NULL for anything else, a value that is damaged included: the long way
 * (ipc_value.c) takes it, or finds the words. What both make of the same bytes is the same
 * (ipc_value_test.c). */
#include "batch/ipc_wire.h"

#include "batch/import_row.h"

struct row_reader {
    kh_bytes body;
    const unsigned char *nodes;   /* the next one */
    const unsigned char *buffers; /* the next one */
    uint32_t buffers_left;
    uint32_t null_count; /* columns whose value is a null, of those seen */
    uint64_t heap_bytes; /* of those seen */
};

static inline uint64_t word_at(const unsigned char *bytes, size_t index) {
    uint64_t word;
    memcpy(&word, bytes + 8 * index, sizeof word);
    return word;
}

/* One record batch of one row, not compressed, and nothing behind it. */
static bool open_record(kh_bytes bytes, struct flat_table *record, kh_bytes *body) {
    struct ipc_message message;
    struct flat_table compression;
    uint32_t prefix[2];
    int64_t row_count;
    if (bytes.size_bytes < sizeof prefix) return false;
    memcpy(prefix, bytes.data, sizeof prefix);
    size_t left = bytes.size_bytes - sizeof prefix;
    if (prefix[0] != IPC_CONTINUATION || prefix[1] > left) return false;
    const unsigned char *metadata = (const unsigned char *)bytes.data + sizeof prefix;
    left -= prefix[1];
    if (ipc_message_open((kh_bytes){metadata, prefix[1]}, left, &message, NULL) != KH_OK ||
        message.kind != IPC_RECORD || (uint64_t)message.body_bytes != left)
        return false;
    *record = message.header;
    *body = (kh_bytes){metadata + prefix[1], left};
    return flat_integer(record, RECORD_LENGTH, 8, 0, &row_count) && row_count == 1 &&
           flat_child(record, RECORD_COMPRESSION, &compression) == FLAT_ABSENT;
}

static bool open_row(const struct plan *plan, kh_bytes bytes, struct row_reader *out) {
    struct flat_table record;
    struct flat_vector nodes;
    struct flat_vector buffers;
    struct flat_vector variadic;
    *out = (struct row_reader){.null_count = 0};
    if (!open_record(bytes, &record, &out->body) ||
        !flat_items(&record, RECORD_NODES, IPC_PAIR_BYTES, &nodes) ||
        !flat_items(&record, RECORD_BUFFERS, IPC_PAIR_BYTES, &buffers) ||
        !flat_items(&record, RECORD_VARIADIC, 8, &variadic))
        return false;
    out->nodes = nodes.items;
    out->buffers = buffers.items;
    out->buffers_left = buffers.count;
    return nodes.count == plan->column_count && variadic.count == 0;
}

/* The next buffer. False: there is none, or it is not inside the body. */
static inline bool take_buffer(struct row_reader *reader, struct import_span *out) {
    if (reader->buffers_left == 0) return false;
    uint64_t offset = word_at(reader->buffers, 0);
    uint64_t size_bytes = word_at(reader->buffers, 1);
    if (offset > reader->body.size_bytes || size_bytes > reader->body.size_bytes - offset)
        return false;
    *out = (struct import_span){(const unsigned char *)reader->body.data + offset, size_bytes};
    reader->buffers += IPC_PAIR_BYTES;
    reader->buffers_left--;
    return true;
}

/* The next column's node and validity: one row, and whether it is a null. */
static inline bool take_node(const struct plan_column *column, struct row_reader *reader,
                             bool *is_null) {
    struct import_span validity;
    uint64_t length = word_at(reader->nodes, 0);
    uint64_t null_count = word_at(reader->nodes, 1);
    reader->nodes += IPC_PAIR_BYTES;
    if (length != 1 || null_count > 1 || !take_buffer(reader, &validity)) return false;
    *is_null = null_count == 1;
    if (KH_LIKELY(!*is_null)) return validity.size_bytes == 0;
    reader->null_count++;
    return column->is_nullable && validity.size_bytes > 0 && (validity.bytes[0] & 1) == 0;
}

/* The bytes of the one value, between its offsets. What lies under a null need not be text. */
static inline bool take_bytes(const struct plan_column *column, struct row_reader *reader,
                              bool is_null, uint64_t **slot, struct import_span *out) {
    struct import_span offsets;
    struct import_span bytes;
    bool is_wide = column->step == STEP_BYTES64;
    if (!take_buffer(reader, &offsets) || !take_buffer(reader, &bytes) ||
        offsets.size_bytes < 2 * (size_t)column->width)
        return false;
    int64_t low = is_wide ? raw_i64(offsets.bytes, 0) : raw_i32(offsets.bytes, 0);
    int64_t high = is_wide ? raw_i64(offsets.bytes, 1) : raw_i32(offsets.bytes, 1);
    if (low < 0 || low > high || (uint64_t)high > bytes.size_bytes) return false;
    *out = (struct import_span){bytes.bytes + low, (size_t)(high - low)};
    if (column->is_utf8 && !is_null && !utf8_is_valid(out->bytes, out->size_bytes)) return false;
    uint64_t next = reader->heap_bytes + out->size_bytes;
    if (is_wide) {
        *(*slot)++ = reader->heap_bytes;
        *(*slot)++ = next;
    } else {
        *(*slot)++ = reader->heap_bytes | next << 32;
    }
    reader->heap_bytes = next;
    return true;
}

static inline bool take_value(const struct plan_column *column, struct row_reader *reader,
                              uint64_t **slot) {
    struct import_span value;
    if (!take_buffer(reader, &value)) return false;
    if (column->step == STEP_WORD) {
        if (value.size_bytes < 8) return false;
        memcpy((*slot)++, value.bytes, 8);
        return true;
    }
    if (value.size_bytes < (column->step == STEP_BOOL ? 1 : column->width)) return false;
    *slot = import_row_stage_value(column, value.bytes, *slot);
    return true;
}

struct staged_row {
    struct import_row row;
    uint64_t nulls; /* a bit for each of the columns, which are PLAN_ROW_WORDS at most */
    uint32_t span_count;
};

static bool stage_row(const struct plan *plan, struct row_reader *reader, struct staged_row *out) {
    uint64_t *slot = out->row.slots;
    struct import_span *span = out->row.spans;
    out->nulls = 0;
    for (uint32_t i = 0; i < plan->column_count; i++) {
        const struct plan_column *column = &plan->columns[i];
        bool is_bytes = column->step == STEP_BYTES32 || column->step == STEP_BYTES64;
        bool is_null;
        if (!take_node(column, reader, &is_null)) return false;
        if (KH_UNLIKELY(is_null)) out->nulls |= UINT64_C(1) << i;
        if (is_bytes ? !take_bytes(column, reader, is_null, &slot, span)
                     : !take_value(column, reader, &slot))
            return false;
        span += is_bytes;
    }
    out->span_count = (uint32_t)(span - out->row.spans);
    return reader->buffers_left == 0;
}

/* The mask of the columns with nulls, and a bitmap of one word for each: its bit is 0. */
static uint8_t *put_nulls(kh_batch *batch, const struct plan *plan, const struct staged_row *staged,
                          uint32_t null_count, uint8_t *to) {
    uint64_t mask_words = plan_mask_words(plan);
    memset(to, 0, 8 * (mask_words + null_count));
    memcpy(to, &staged->nulls, 8);
    batch->has_validity = 1;
    return to + 8 * (mask_words + null_count);
}

kh_batch *ipc_decode_row(struct mem *mem, struct mem_cache *cache, const kh_schema *schema,
                         kh_bytes bytes) {
    const struct plan *plan = &schema->plan;
    struct row_reader reader;
    struct staged_row staged; /* large: only what is used is set */
    if (!plan->is_row || plan->column_count == 0 || plan->column_count > 64 ||
        !open_row(plan, bytes, &reader) || !stage_row(plan, &reader, &staged))
        return NULL;
    struct pack_size size = {reader.null_count, reader.heap_bytes};
    uint64_t block_bytes = pack_block_bytes(plan, 1, &size);
    if (block_bytes > IMPORT_COPY_BYTES) return NULL;
    kh_batch *batch = pack_create(mem, cache, schema, 1, block_bytes);
    if (batch == NULL) return NULL;
    uint8_t *to = packed_slots(batch);
    memcpy(to, staged.row.slots, plan->slots_one);
    to += plan->slots_one;
    if (KH_UNLIKELY(reader.null_count > 0))
        to = put_nulls(batch, plan, &staged, reader.null_count, to);
    for (uint32_t i = 0; i < staged.span_count; i++) {
        const struct import_span *span = &staged.row.spans[i];
        if (span->size_bytes > 0) memcpy(to, span->bytes, span->size_bytes);
        to += span->size_bytes;
    }
    return batch;
}
