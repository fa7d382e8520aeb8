/* record_raw.c - see record_raw.h. Bytes may be hostile: every length is proved before it is used.
 */
#include "log/record_raw.h"

#include "base/status.h"
#include "log/record_layout.h"

static kh_status corrupt(kh_error *error, const char *what) {
    return status_fail(error, KH_CORRUPT, "malformed record: %s", what);
}

static size_t padded(size_t length) {
    return (length + 7) & ~(size_t)7;
}

/* Types of sections rise, so the writes come first or not at all. */
static kh_status find_writes(struct raw_record *record, kh_error *error) {
    const unsigned char *at = (const unsigned char *)record->frame.data + RECORD_HEAD_BYTES;
    size_t left = record->frame.size_bytes - RECORD_HEAD_BYTES;
    record->write_count = 0;
    record->writes = (kh_bytes){at, 0};
    if (left < SECTION_HEAD_BYTES || layout_u16(at) != SECTION_WRITES) return KH_OK;
    size_t length = layout_u32(at + 4);
    if (length < 8 || length > left - SECTION_HEAD_BYTES) return corrupt(error, "a section");
    record->write_count = layout_u32(at + SECTION_HEAD_BYTES);
    record->writes = (kh_bytes){at + SECTION_HEAD_BYTES + 8, length - 8};
    return KH_OK;
}

kh_status raw_open(kh_bytes frame, struct raw_record *out, kh_error *error) {
    kh_status status = record_check_frame(frame, error);
    if (status != KH_OK) return status;
    const unsigned char *bytes = frame.data;
    if (bytes[AT_KIND] == 0 || bytes[AT_KIND] > RECORD_HORIZON)
        return status_fail(error, KH_UNSUPPORTED, "record of kind %u", bytes[AT_KIND]);
    out->kind = (enum record_kind)bytes[AT_KIND];
    out->id = (kh_txn_id){layout_u64(bytes + AT_ID_HIGH), layout_u64(bytes + AT_ID_LOW)};
    out->commit = layout_u64(bytes + AT_COMMIT);
    out->schema_number = layout_u32(bytes + AT_SCHEMA_NUMBER);
    out->frame = frame;
    return find_writes(out, error);
}

kh_status raw_next_write(struct raw_record *record, struct raw_write *out, kh_error *error) {
    if (record->write_count == 0) return KH_END;
    const unsigned char *at = record->writes.data;
    size_t left = record->writes.size_bytes;
    if (left < WRITE_HEAD_BYTES) return corrupt(error, "a write is cut off");
    size_t value_bytes = layout_u32(at + 8);
    size_t key_bytes = layout_u16(at + 16);
    bool is_put = at[18] == RECORD_PUT;
    size_t whole = WRITE_HEAD_BYTES + padded(key_bytes) + padded(value_bytes);
    if (key_bytes == 0 || whole > left || (!is_put && value_bytes != 0))
        return corrupt(error, "a write");
    *out = (struct raw_write){
        .key = {at + WRITE_HEAD_BYTES, key_bytes},
        .value = {is_put ? at + WRITE_HEAD_BYTES + padded(key_bytes) : NULL, value_bytes},
        .schema_number = layout_u32(at + 12),
        .base = layout_u64(at)};
    record->writes = (kh_bytes){at + whole, left - whole};
    record->write_count--;
    return KH_OK;
}

/* data NULL: there is none. False: a section is cut off. */
static bool find_section(const struct raw_record *record, uint32_t wanted, kh_bytes *out) {
    const unsigned char *at = (const unsigned char *)record->frame.data + RECORD_HEAD_BYTES;
    size_t left = record->frame.size_bytes - RECORD_HEAD_BYTES;
    *out = (kh_bytes){NULL, 0};
    while (left > 0) {
        if (left < SECTION_HEAD_BYTES) return false;
        uint32_t type = layout_u16(at);
        size_t length = layout_u32(at + 4);
        size_t whole = SECTION_HEAD_BYTES + padded(length);
        if (whole > left) return false;
        if (type == wanted) *out = (kh_bytes){at + SECTION_HEAD_BYTES, length};
        if (type >= wanted) return true;
        at += whole;
        left -= whole;
    }
    return true;
}

kh_bytes raw_tag(const struct raw_record *record) {
    kh_bytes tag;
    return find_section(record, SECTION_TAG, &tag) && tag.data != NULL ? tag : (kh_bytes){"", 0};
}

kh_status raw_delta(const struct raw_record *record, kh_bytes *out, kh_error *error) {
    bool is_of_txn = record->kind == RECORD_COMMIT || record->kind == RECORD_PREPARE;
    if (!find_section(record, SECTION_DELTA, out)) return corrupt(error, "a section is cut off");
    if (out->data == NULL) return KH_OK;
    if (!is_of_txn) return corrupt(error, "a section that does not belong to its kind");
    return out->size_bytes > 0 ? KH_OK : corrupt(error, "an empty section");
}

kh_status raw_members(const struct raw_record *record, struct raw_members *out, kh_error *error) {
    kh_bytes section;
    *out = (struct raw_members){0, {NULL, 0}};
    if (!find_section(record, SECTION_MEMBERS, &section))
        return corrupt(error, "a section is cut off");
    if (section.data == NULL) return KH_OK;
    if (record->kind != RECORD_COMMIT)
        return corrupt(error, "a section that does not belong to its kind");
    if (section.size_bytes < 8) return corrupt(error, "the count of members");
    out->count = layout_u32(section.data);
    out->left = (kh_bytes){(const unsigned char *)section.data + 8, section.size_bytes - 8};
    return out->count > 0 ? KH_OK : corrupt(error, "the count of members");
}

kh_status raw_next_member(struct raw_members *members, struct record_member *out, kh_error *error) {
    if (members->count == 0) return KH_END;
    const unsigned char *at = members->left.data;
    size_t left = members->left.size_bytes;
    if (left < MEMBER_HEAD_BYTES) return corrupt(error, "a member is cut off");
    size_t delta_bytes = layout_u32(at + 16);
    size_t whole = MEMBER_HEAD_BYTES + padded(delta_bytes);
    if (whole > left) return corrupt(error, "a member is cut off");
    *out = (struct record_member){{layout_u64(at), layout_u64(at + 8)},
                                  {at + MEMBER_HEAD_BYTES, delta_bytes}};
    members->left = (kh_bytes){at + whole, left - whole};
    members->count--;
    return KH_OK;
}
