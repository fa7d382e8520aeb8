/* record_decode.c - decoding a record from bytes that anyone may have written.
 *
 * Invariants: nothing is read before its length has been proved against what is left of the frame;
 * an array is allocated only for as many elements as the rest of its section can hold, so that
 * memory is bounded by a small multiple of the frame. The record under construction always holds
 * exactly the batches counted in it.
 * Happy path: head and checksums, then the sections in rising order of their types.
 * Failure: the record under construction is dropped, the caller's is untouched; what went into the
 * arena stays there until the arena is emptied. */
#include "log/record.h"

#include "base/limits.h"
#include "base/status.h"
#include "log/record_layout.h"

struct reader { /* what is left */
    const unsigned char *next;
    size_t left;
};

struct decoder {
    const struct record_codec *codec;
    struct arena *arena;
    kh_error *error;
    struct record record;
};

static kh_status corrupt(const struct decoder *decoder, const char *what) {
    return status_fail(decoder->error, KH_CORRUPT, "malformed record: %s", what);
}

static kh_status no_memory(const struct decoder *decoder, size_t size_bytes) {
    return status_no_memory(decoder->error, size_bytes);
}

/* The next bytes, NULL: there are not that many. */
static const unsigned char *take(struct reader *reader, size_t size_bytes) {
    if (size_bytes > reader->left) return NULL;
    const unsigned char *at = reader->next;
    reader->next += size_bytes;
    reader->left -= size_bytes;
    return at;
}

static bool take_u32(struct reader *reader, uint32_t *out) {
    const unsigned char *at = take(reader, sizeof *out);
    if (at == NULL) return false;
    *out = layout_u32(at);
    return true;
}

/* A key with its length before it, borrowed from the reader's bytes. */
static bool take_key(struct reader *reader, kh_bytes *out) {
    const unsigned char *at = take(reader, sizeof(uint16_t));
    if (at == NULL) return false;
    size_t size_bytes = layout_u16(at);
    *out = (kh_bytes){take(reader, size_bytes), size_bytes};
    return out->data != NULL && size_bytes > 0;
}

/* Zeroes up to the next multiple of 8 of a length that has been taken. */
static bool take_padding(struct reader *reader, size_t length) {
    size_t padding = (8 - (length & 7)) & 7;
    const unsigned char *at = take(reader, padding);
    for (size_t i = 0; at != NULL && i < padding; i++)
        if (at[i] != 0) return false;
    return at != NULL;
}

static int compare(kh_bytes a, kh_bytes b) {
    size_t shorter = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    int order = memcmp(a.data, b.data, shorter);
    if (order != 0) return order;
    return (a.size_bytes > b.size_bytes) - (a.size_bytes < b.size_bytes);
}

/* ---- sections -------------------------------------------------------------------------------- */

typedef kh_status section_fn(struct decoder *decoder, struct reader *reader);

/* The content of a section as it lies, copied into the arena: what is decoded from it may point to
 * the copy. */
static kh_status copy_section(struct decoder *decoder, struct reader *reader) {
    const unsigned char *copy = arena_copy(decoder->arena, reader->next, reader->left);
    if (copy == NULL) return no_memory(decoder, reader->left);
    reader->next = copy;
    return KH_OK;
}

static kh_status decode_value(struct decoder *decoder, uint32_t schema_number, kh_bytes bytes,
                              const kh_batch **out) {
    const struct record_codec *codec = decoder->codec;
    const kh_schema *schema = codec->schema_of(codec->context, schema_number);
    if (schema == NULL)
        return status_fail(decoder->error, KH_CORRUPT, "malformed record: unknown schema %u",
                           schema_number);
    kh_batch *batch = NULL;
    kh_status status =
        ipc_decode_value(codec->mem, codec->cache, schema, bytes, &batch, decoder->error);
    if (status == KH_OK) *out = batch;
    return status;
}

/* The fixed part of a write. */
struct write_head {
    uint64_t base;
    uint32_t value_bytes;
    uint32_t schema_number;
    size_t key_bytes;
    uint8_t kind; /* enum record_write_kind */
    uint8_t policy;
};

static kh_status decode_write_head(struct decoder *decoder, struct reader *reader,
                                   struct write_head *out) {
    const unsigned char *bytes = take(reader, WRITE_HEAD_BYTES);
    if (bytes == NULL) return corrupt(decoder, "a write is cut off");
    *out = (struct write_head){.base = layout_u64(bytes),
                               .value_bytes = layout_u32(bytes + 8),
                               .schema_number = layout_u32(bytes + 12),
                               .key_bytes = layout_u16(bytes + 16),
                               .kind = bytes[18],
                               .policy = bytes[19]};
    if (layout_u32(bytes + 20) != 0 || out->policy > KH_CALLBACK ||
        (out->kind != RECORD_PUT && out->kind != RECORD_DELETE))
        return corrupt(decoder, "the head of a write");
    if (out->kind == RECORD_DELETE && (out->value_bytes != 0 || out->schema_number != 0))
        return corrupt(decoder, "a deletion with a value");
    return KH_OK;
}

static kh_status decode_write(struct decoder *decoder, struct reader *reader,
                              struct record_write *write) {
    struct write_head head = {0};
    kh_status status = decode_write_head(decoder, reader, &head);
    if (status != KH_OK) return status;
    const unsigned char *key = take(reader, head.key_bytes);
    if (key == NULL || head.key_bytes == 0 || !take_padding(reader, head.key_bytes))
        return corrupt(decoder, "the key of a write");
    const unsigned char *value = take(reader, head.value_bytes);
    if (value == NULL || !take_padding(reader, head.value_bytes))
        return corrupt(decoder, "the value of a write");
    unsigned char *copy = arena_copy(decoder->arena, key, head.key_bytes);
    if (copy == NULL) return no_memory(decoder, head.key_bytes);
    *write = (struct record_write){
        .key = {copy, head.key_bytes}, .base = head.base, .policy = head.policy};
    if (head.kind == RECORD_DELETE) return KH_OK;
    if (decoder->codec->expect != NULL)
        decoder->codec->expect(decoder->codec->expect_context, write->key);
    kh_bytes bytes = {value, head.value_bytes};
    return decode_value(decoder, head.schema_number, bytes, &write->batch);
}

static kh_status decode_writes(struct decoder *decoder, struct reader *reader) {
    uint32_t count = 0;
    uint32_t reserved = 0;
    if (!take_u32(reader, &count) || !take_u32(reader, &reserved) || reserved != 0 || count == 0 ||
        count > reader->left / WRITE_HEAD_BYTES)
        return corrupt(decoder, "the count of writes");
    size_t size_bytes = count * sizeof(struct record_write);
    struct record_write *writes = arena_alloc(decoder->arena, size_bytes);
    if (writes == NULL) return no_memory(decoder, size_bytes);
    decoder->record.writes = writes;
    for (uint32_t i = 0; i < count; i++) {
        kh_status status = decode_write(decoder, reader, &writes[i]);
        if (status != KH_OK) return status;
        decoder->record.write_count = i + 1;
    }
    return KH_OK;
}

/* Keys that follow one another, pointing to the reader's bytes. */
static kh_status decode_keys(struct decoder *decoder, struct reader *reader, uint32_t count,
                             const kh_bytes **out) {
    if (count > reader->left / sizeof(uint16_t)) return corrupt(decoder, "the count of keys");
    size_t size_bytes = count * sizeof(kh_bytes);
    kh_bytes *keys = arena_alloc(decoder->arena, size_bytes);
    if (keys == NULL) return no_memory(decoder, size_bytes);
    for (uint32_t i = 0; i < count; i++)
        if (!take_key(reader, &keys[i])) return corrupt(decoder, "a key");
    *out = keys;
    return KH_OK;
}

static kh_status decode_key_section(struct decoder *decoder, struct reader *reader,
                                    const kh_bytes **out, size_t *out_count) {
    uint32_t count = 0;
    if (!take_u32(reader, &count) || count == 0) return corrupt(decoder, "the count of keys");
    kh_status status = copy_section(decoder, reader);
    if (status == KH_OK) status = decode_keys(decoder, reader, count, out);
    if (status == KH_OK) *out_count = count;
    return status;
}

static kh_status decode_dropped(struct decoder *decoder, struct reader *reader) {
    return decode_key_section(decoder, reader, &decoder->record.dropped,
                              &decoder->record.dropped_count);
}

static kh_status decode_reads(struct decoder *decoder, struct reader *reader) {
    return decode_key_section(decoder, reader, &decoder->record.reads, &decoder->record.read_count);
}

enum { RANGE_HEAD_BYTES = 12 };

static kh_status decode_range(struct decoder *decoder, struct reader *reader,
                              struct record_range *range) {
    const unsigned char *head = take(reader, RANGE_HEAD_BYTES);
    if (head == NULL) return corrupt(decoder, "a range is cut off");
    uint32_t from_bytes = layout_u32(head);
    uint32_t to_bytes = layout_u32(head + 4);
    uint32_t hole_count = layout_u32(head + 8);
    bool has_to = to_bytes != RECORD_RANGE_TO_END;
    if (from_bytes > RECORD_BOUND_MAX || (has_to && to_bytes > RECORD_BOUND_MAX))
        return corrupt(decoder, "a bound of a range is too long");
    *range = (struct record_range){.from = {take(reader, from_bytes), from_bytes}};
    if (has_to) range->to = (kh_bytes){take(reader, to_bytes), to_bytes};
    if (range->from.data == NULL || (has_to && range->to.data == NULL))
        return corrupt(decoder, "a bound of a range is cut off");
    if (hole_count == 0) return KH_OK;
    kh_status status = decode_keys(decoder, reader, hole_count, &range->holes);
    if (status != KH_OK) return status;
    range->hole_count = hole_count;
    for (uint32_t i = 1; i < hole_count; i++)
        if (compare(range->holes[i - 1], range->holes[i]) >= 0)
            return corrupt(decoder, "the holes of a range are out of order");
    return KH_OK;
}

static kh_status decode_ranges(struct decoder *decoder, struct reader *reader) {
    uint32_t count = 0;
    if (!take_u32(reader, &count) || count == 0 || count > reader->left / RANGE_HEAD_BYTES)
        return corrupt(decoder, "the count of ranges");
    kh_status status = copy_section(decoder, reader);
    if (status != KH_OK) return status;
    size_t size_bytes = count * sizeof(struct record_range);
    struct record_range *ranges = arena_alloc(decoder->arena, size_bytes);
    if (ranges == NULL) return no_memory(decoder, size_bytes);
    for (uint32_t i = 0; i < count; i++) {
        status = decode_range(decoder, reader, &ranges[i]);
        if (status != KH_OK) return status;
    }
    decoder->record.ranges = ranges;
    decoder->record.range_count = count;
    return KH_OK;
}

static kh_status decode_bytes(struct decoder *decoder, struct reader *reader, kh_bytes *out) {
    size_t size_bytes = reader->left;
    if (size_bytes == 0) return corrupt(decoder, "an empty section");
    kh_status status = copy_section(decoder, reader);
    if (status == KH_OK) *out = (kh_bytes){take(reader, size_bytes), size_bytes};
    return status;
}

static kh_status decode_tag(struct decoder *decoder, struct reader *reader) {
    if (reader->left > LIMIT_TAG_BYTES) return corrupt(decoder, "the tag is too long");
    return decode_bytes(decoder, reader, &decoder->record.tag);
}

static kh_status decode_delta(struct decoder *decoder, struct reader *reader) {
    return decode_bytes(decoder, reader, &decoder->record.delta);
}

static kh_status decode_member(struct decoder *decoder, struct reader *reader,
                               struct record_member *member) {
    const unsigned char *head = take(reader, MEMBER_HEAD_BYTES);
    if (head == NULL) return corrupt(decoder, "a member is cut off");
    size_t size_bytes = layout_u32(head + 16);
    *member = (struct record_member){{layout_u64(head), layout_u64(head + 8)},
                                     {take(reader, size_bytes), size_bytes}};
    if (layout_u32(head + 20) != 0 || member->id.low == 0 || member->delta.data == NULL ||
        !take_padding(reader, size_bytes))
        return corrupt(decoder, "a member");
    return KH_OK;
}

/* Who committed together: of commits only. */
static kh_status decode_members(struct decoder *decoder, struct reader *reader) {
    uint32_t count = 0;
    uint32_t reserved = 0;
    if (decoder->record.kind != RECORD_COMMIT) return corrupt(decoder, "members of no commit");
    if (!take_u32(reader, &count) || !take_u32(reader, &reserved) || reserved != 0 || count == 0 ||
        count > reader->left / MEMBER_HEAD_BYTES)
        return corrupt(decoder, "the count of members");
    kh_status status = copy_section(decoder, reader);
    if (status != KH_OK) return status;
    size_t size_bytes = count * sizeof(struct record_member);
    struct record_member *members = arena_alloc(decoder->arena, size_bytes);
    if (members == NULL) return no_memory(decoder, size_bytes);
    for (uint32_t i = 0; i < count; i++) {
        status = decode_member(decoder, reader, &members[i]);
        if (status != KH_OK) return status;
    }
    decoder->record.members = members;
    decoder->record.member_count = count;
    return KH_OK;
}

static kh_status decode_schema(struct decoder *decoder, struct reader *reader) {
    size_t size_bytes = reader->left;
    kh_bytes bytes = {take(reader, size_bytes), size_bytes};
    return ipc_decode_schema(decoder->codec->schemas, bytes, &decoder->record.schema,
                             decoder->error);
}

static section_fn *const section_decoders[] = {
    [SECTION_WRITES] = decode_writes, [SECTION_DROPPED] = decode_dropped,
    [SECTION_READS] = decode_reads,   [SECTION_RANGES] = decode_ranges,
    [SECTION_TAG] = decode_tag,       [SECTION_DELTA] = decode_delta,
    [SECTION_SCHEMA] = decode_schema, [SECTION_MEMBERS] = decode_members};
enum { SECTION_TYPES = sizeof section_decoders / sizeof section_decoders[0] };

static kh_status decode_section(struct decoder *decoder, uint32_t type, uint32_t flags,
                                struct reader *content) {
    if (type >= SECTION_TYPES) {
        if ((flags & SECTION_REQUIRED) == 0) return KH_OK;
        return status_fail(decoder->error, KH_UNSUPPORTED, "record section %u is required", type);
    }
    bool is_of_schema = decoder->record.kind == RECORD_SCHEMA;
    bool is_of_txn =
        decoder->record.kind == RECORD_COMMIT || decoder->record.kind == RECORD_PREPARE;
    if (type == SECTION_SCHEMA ? !is_of_schema : !is_of_txn)
        return corrupt(decoder, "a section that does not belong to its kind");
    kh_status status = section_decoders[type](decoder, content);
    if (status == KH_OK && content->left > 0)
        return corrupt(decoder, "bytes behind the end of a section");
    return status;
}

static kh_status decode_sections(struct decoder *decoder, struct reader *reader) {
    uint32_t last_type = 0;
    while (reader->left > 0) {
        const unsigned char *head = take(reader, SECTION_HEAD_BYTES);
        if (head == NULL) return corrupt(decoder, "a section is cut off");
        uint32_t type = layout_u16(head);
        size_t length = layout_u32(head + 4);
        if (type <= last_type) return corrupt(decoder, "sections out of order");
        last_type = type;
        struct reader content = {take(reader, length), length};
        if (content.next == NULL || !take_padding(reader, length))
            return corrupt(decoder, "a section is cut off");
        kh_status status = decode_section(decoder, type, layout_u16(head + 2), &content);
        if (status != KH_OK) return status;
    }
    if (decoder->record.kind == RECORD_SCHEMA && decoder->record.schema == NULL)
        return corrupt(decoder, "no schema");
    return KH_OK;
}

/* ---- the head -------------------------------------------------------------------------------- */

static kh_status check_frame(kh_bytes frame, bool is_checked, kh_error *error) {
    struct decoder says = {.error = error};
    const struct decoder *decoder = &says;
    const unsigned char *bytes = frame.data;
    if (frame.size_bytes < RECORD_HEAD_BYTES || frame.size_bytes > RECORD_FRAME_MAX)
        return corrupt(decoder, "its size");
    if (layout_u32(bytes + AT_MAGIC) != RECORD_MAGIC)
        return corrupt(decoder, "no record begins here");
    if (!is_checked && layout_u64(bytes + AT_HEAD_CHECKSUM) != layout_head_checksum(bytes))
        return corrupt(decoder, "the checksum of its head");
    uint32_t version = layout_u16(bytes + AT_VERSION);
    if (version > RECORD_VERSION)
        return status_fail(error, KH_UNSUPPORTED, "record format %u, this build reads %u", version,
                           RECORD_VERSION);
    if (version == 0 || layout_u16(bytes + AT_VERSION + 2) != 0)
        return corrupt(decoder, "its version");
    if (layout_u32(bytes + AT_LENGTH) != frame.size_bytes) return corrupt(decoder, "its length");
    if (!is_checked &&
        layout_u64(bytes + AT_BODY_CHECKSUM) != layout_body_checksum(bytes, frame.size_bytes))
        return corrupt(decoder, "its checksum");
    return KH_OK;
}

kh_status record_check_frame(kh_bytes frame, kh_error *error) {
    return check_frame(frame, false, error);
}

static kh_status decode_head(struct decoder *decoder, const unsigned char *bytes) {
    uint32_t kind = bytes[AT_KIND];
    uint32_t rule = bytes[AT_RULE];
    if (kind > RECORD_HORIZON || rule > RECORD_RULE_STRICT_SSN)
        return status_fail(decoder->error, KH_UNSUPPORTED, "record of kind %u by rule %u", kind,
                           rule);
    if (kind == 0 || bytes[AT_ISOLATION] > KH_SERIALIZABLE || bytes[AT_RULE + 1] != 0 ||
        layout_u32(bytes + AT_RULE + 2) != 0)
        return corrupt(decoder, "its head");
    struct record *record = &decoder->record;
    record->kind = (enum record_kind)kind;
    record->isolation = bytes[AT_ISOLATION];
    record->rule = (uint8_t)rule;
    record->id = (kh_txn_id){layout_u64(bytes + AT_ID_HIGH), layout_u64(bytes + AT_ID_LOW)};
    record->birth = layout_u64(bytes + AT_BIRTH);
    record->snapshot = layout_u64(bytes + AT_SNAPSHOT);
    record->commit = layout_u64(bytes + AT_COMMIT);
    record->eta = layout_u64(bytes + AT_ETA);
    record->pi = layout_u64(bytes + AT_PI);
    record->schema_number = layout_u32(bytes + AT_SCHEMA_NUMBER);
    bool takes_effect = kind == RECORD_COMMIT || kind == RECORD_DECIDE_COMMIT;
    if (takes_effect && record->commit == 0)
        return corrupt(decoder, "a commit without a timestamp");
    if (kind == RECORD_SCHEMA ? record->schema_number >= LIMIT_SCHEMAS : record->schema_number != 0)
        return corrupt(decoder, "its schema number");
    return KH_OK;
}

kh_status record_decode(const struct record_codec *codec, kh_bytes frame, struct arena *arena,
                        struct record *out, kh_error *error) {
    struct decoder decoder = {.codec = codec, .arena = arena, .error = error};
    kh_status status = check_frame(frame, codec->is_checked, error);
    if (status != KH_OK) return status;
    const unsigned char *bytes = frame.data;
    struct reader reader = {bytes + RECORD_HEAD_BYTES, frame.size_bytes - RECORD_HEAD_BYTES};
    status = decode_head(&decoder, bytes);
    if (status == KH_OK) status = decode_sections(&decoder, &reader);
    decoder.record.frame_bytes = frame.size_bytes;
    if (status == KH_OK)
        *out = decoder.record;
    else
        record_drop(codec, &decoder.record);
    return status;
}

void record_drop(const struct record_codec *codec, struct record *record) {
    for (size_t i = 0; i < record->write_count; i++)
        batch_release((kh_batch *)(uintptr_t)record->writes[i].batch, codec->cache);
    if (record->schema != NULL) schema_drop(record->schema);
    memset(record, 0, sizeof *record);
}
