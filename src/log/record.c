/* record.c - encoding a record, and sealing it.
 *
 * Happy path: the head is left blank, the sections are appended in the order of their types, then
 * checksum and length are written over the head and the frame is sealed. Equal records give equal
 * bytes: all padding is zero.
 * Failure: the buffer remembers that it could not grow, so that the many small appends need no
 * look each; whatever failed, the buffer is cut back to where the frame began. */
#include "log/record.h"

#include "base/limits.h"
#include "base/status.h"
#include "log/record_layout.h"

struct encoder {
    const struct record_codec *codec;
    struct ipc_buffer *out;
    size_t start; /* of the frame */
    kh_error *error;
};

static void put(struct encoder *encoder, const void *bytes, size_t size_bytes) {
    ipc_buffer_append(encoder->out, bytes, size_bytes);
}

static void put_u16(struct encoder *encoder, size_t value) {
    uint16_t narrow = (uint16_t)value;
    kh_assert(narrow == value);
    put(encoder, &narrow, sizeof narrow);
}

static void put_u32(struct encoder *encoder, size_t value) {
    uint32_t narrow = (uint32_t)value;
    kh_assert(narrow == value);
    put(encoder, &narrow, sizeof narrow);
}

static void put_u64(struct encoder *encoder, uint64_t value) {
    put(encoder, &value, sizeof value);
}

static void put_key(struct encoder *encoder, kh_bytes key) {
    put_u16(encoder, key.size_bytes);
    put(encoder, key.data, key.size_bytes);
}

static void align(struct encoder *encoder) {
    ipc_buffer_align(encoder->out, encoder->start, 8);
}

/* Overwrite what was appended at position; nothing when appending has failed. */
static void put_over(struct encoder *encoder, size_t position, const void *bytes,
                     size_t size_bytes) {
    if (!encoder->out->is_failed) memcpy(encoder->out->bytes + position, bytes, size_bytes);
}

static bool is_too_big(const struct encoder *encoder) {
    return encoder->out->size_bytes - encoder->start > RECORD_FRAME_MAX;
}

/* The position of the section's content, for section_end. */
static size_t section_begin(struct encoder *encoder, enum section_type type, unsigned flags) {
    put_u16(encoder, type);
    put_u16(encoder, flags);
    put_u32(encoder, 0);
    return encoder->out->size_bytes;
}

static void section_end(struct encoder *encoder, size_t content) {
    /* A length that does not fit belongs to a frame that is refused. */
    uint32_t length = (uint32_t)(encoder->out->size_bytes - content);
    put_over(encoder, content - sizeof length, &length, sizeof length);
    align(encoder);
}

static kh_status put_write(struct encoder *encoder, const struct record_write *write) {
    const struct record_codec *codec = encoder->codec;
    uint32_t schema_number = 0;
    if (write->batch != NULL)
        schema_number = codec->number_of(codec->context, kh_batch_schema(write->batch));
    put_u64(encoder, write->base);
    size_t value_bytes_at = encoder->out->size_bytes;
    put_u32(encoder, 0);
    put_u32(encoder, schema_number);
    put_u16(encoder, write->key.size_bytes);
    unsigned char kind[6] = {write->batch != NULL ? RECORD_PUT : RECORD_DELETE, write->policy};
    put(encoder, kind, sizeof kind);
    put(encoder, write->key.data, write->key.size_bytes);
    align(encoder);
    if (write->batch == NULL) return KH_OK;
    size_t value = encoder->out->size_bytes;
    kh_status status =
        ipc_encode_value(codec->mem, write->batch, KH_COMPRESS_NONE, encoder->out, encoder->error);
    if (status != KH_OK) return status;
    if (is_too_big(encoder)) return KH_OK;
    uint32_t value_bytes = (uint32_t)(encoder->out->size_bytes - value);
    put_over(encoder, value_bytes_at, &value_bytes, sizeof value_bytes);
    align(encoder);
    return KH_OK;
}

static kh_status put_writes(struct encoder *encoder, const struct record *record) {
    if (record->write_count == 0) return KH_OK;
    size_t content = section_begin(encoder, SECTION_WRITES, SECTION_REQUIRED);
    put_u32(encoder, record->write_count);
    put_u32(encoder, 0);
    for (size_t i = 0; i < record->write_count; i++) {
        kh_status status = put_write(encoder, &record->writes[i]);
        if (status != KH_OK) return status;
        if (encoder->out->is_failed || is_too_big(encoder)) return KH_OK;
    }
    section_end(encoder, content);
    return KH_OK;
}

static void put_keys(struct encoder *encoder, enum section_type type, const kh_bytes *keys,
                     size_t key_count) {
    if (key_count == 0) return;
    size_t content = section_begin(encoder, type, SECTION_REQUIRED);
    put_u32(encoder, key_count);
    for (size_t i = 0; i < key_count; i++) put_key(encoder, keys[i]);
    section_end(encoder, content);
}

static void put_ranges(struct encoder *encoder, const struct record *record) {
    if (record->range_count == 0) return;
    size_t content = section_begin(encoder, SECTION_RANGES, SECTION_REQUIRED);
    put_u32(encoder, record->range_count);
    for (size_t i = 0; i < record->range_count; i++) {
        const struct record_range *range = &record->ranges[i];
        kh_assert(range->from.size_bytes <= RECORD_BOUND_MAX);
        kh_assert(range->to.size_bytes <= RECORD_BOUND_MAX);
        put_u32(encoder, range->from.size_bytes);
        put_u32(encoder, range->to.data != NULL ? range->to.size_bytes : RECORD_RANGE_TO_END);
        put_u32(encoder, range->hole_count);
        put(encoder, range->from.data, range->from.size_bytes);
        if (range->to.data != NULL) put(encoder, range->to.data, range->to.size_bytes);
        for (size_t hole = 0; hole < range->hole_count; hole++)
            put_key(encoder, range->holes[hole]);
    }
    section_end(encoder, content);
}

static void put_bytes(struct encoder *encoder, enum section_type type, kh_bytes bytes) {
    if (bytes.size_bytes == 0) return;
    size_t content = section_begin(encoder, type, 0);
    put(encoder, bytes.data, bytes.size_bytes);
    section_end(encoder, content);
}

static kh_status put_schema(struct encoder *encoder, const struct record *record) {
    if (record->kind != RECORD_SCHEMA) return KH_OK;
    size_t content = section_begin(encoder, SECTION_SCHEMA, SECTION_REQUIRED);
    kh_status status = ipc_encode_schema(record->schema, encoder->out, encoder->error);
    if (status == KH_OK) section_end(encoder, content);
    return status;
}

static void put_members(struct encoder *encoder, const struct record *record) {
    if (record->member_count == 0) return;
    size_t content = section_begin(encoder, SECTION_MEMBERS, SECTION_REQUIRED);
    put_u32(encoder, record->member_count);
    put_u32(encoder, 0);
    for (size_t i = 0; i < record->member_count; i++) {
        const struct record_member *member = &record->members[i];
        put_u64(encoder, member->id.high);
        put_u64(encoder, member->id.low);
        put_u32(encoder, member->delta.size_bytes);
        put_u32(encoder, 0);
        put(encoder, member->delta.data, member->delta.size_bytes);
        align(encoder);
    }
    section_end(encoder, content);
}

static void put_head(const struct encoder *encoder, const struct record *record) {
    unsigned char *frame = encoder->out->bytes + encoder->start;
    size_t size_bytes = encoder->out->size_bytes - encoder->start;
    uint32_t magic = RECORD_MAGIC;
    uint16_t version = RECORD_VERSION;
    uint32_t length = (uint32_t)size_bytes;
    memcpy(frame + AT_MAGIC, &magic, sizeof magic);
    memcpy(frame + AT_VERSION, &version, sizeof version);
    memcpy(frame + AT_LENGTH, &length, sizeof length);
    memcpy(frame + AT_SCHEMA_NUMBER, &record->schema_number, sizeof record->schema_number);
    frame[AT_KIND] = (unsigned char)record->kind;
    frame[AT_ISOLATION] = record->isolation;
    frame[AT_RULE] = record->rule;
    memcpy(frame + AT_ID_HIGH, &record->id.high, sizeof record->id.high);
    memcpy(frame + AT_ID_LOW, &record->id.low, sizeof record->id.low);
    memcpy(frame + AT_BIRTH, &record->birth, sizeof record->birth);
    memcpy(frame + AT_SNAPSHOT, &record->snapshot, sizeof record->snapshot);
    uint64_t body_checksum = layout_body_checksum(frame, size_bytes);
    memcpy(frame + AT_BODY_CHECKSUM, &body_checksum, sizeof body_checksum);
    record_seal(frame, record->commit, record->eta, record->pi);
}

void record_seal(void *frame, uint64_t commit, uint64_t eta, uint64_t pi) {
    unsigned char *bytes = frame;
    memcpy(bytes + AT_COMMIT, &commit, sizeof commit);
    memcpy(bytes + AT_ETA, &eta, sizeof eta);
    memcpy(bytes + AT_PI, &pi, sizeof pi);
    uint64_t checksum = layout_head_checksum(bytes);
    memcpy(bytes + AT_HEAD_CHECKSUM, &checksum, sizeof checksum);
}

kh_status record_encode(const struct record_codec *codec, const struct record *record,
                        struct ipc_buffer *out, kh_error *error) {
    kh_assert(record->tag.size_bytes <= LIMIT_TAG_BYTES);
    struct encoder encoder = {codec, out, out->size_bytes, error};
    uint64_t delta_bytes = record->delta.size_bytes;
    for (size_t i = 0; i < record->member_count; i++)
        delta_bytes += record->members[i].delta.size_bytes;
    if (delta_bytes > RECORD_FRAME_MAX)
        return status_fail(error, KH_TOO_BIG, "deltas of %llu bytes",
                           (unsigned long long)delta_bytes);
    (void)ipc_buffer_extend(out, RECORD_HEAD_BYTES);
    kh_status status = put_writes(&encoder, record);
    if (status != KH_OK) goto done;
    put_keys(&encoder, SECTION_DROPPED, record->dropped, record->dropped_count);
    put_keys(&encoder, SECTION_READS, record->reads, record->read_count);
    put_ranges(&encoder, record);
    put_bytes(&encoder, SECTION_TAG, record->tag);
    put_bytes(&encoder, SECTION_DELTA, record->delta);
    status = put_schema(&encoder, record);
    put_members(&encoder, record);
    if (status != KH_OK) goto done;
    if (is_too_big(&encoder)) {
        status = status_fail(error, KH_TOO_BIG, "a record of more than %u bytes", RECORD_FRAME_MAX);
    } else if (out->is_failed) {
        status = status_fail(error, KH_NO_MEMORY, "no memory to encode a record");
    } else {
        put_head(&encoder, record);
    }
done:
    if (status != KH_OK) out->size_bytes = encoder.start;
    return status;
}
