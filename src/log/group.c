/* group.c - the codec of a group's head, and the frames of its body.
 *
 * Invariants: a head that decodes is one that group_encode_head could have written; nothing of the
 * body is read before its length has been proved against the bytes that are there.
 * Happy path: head and checksums first, then the fields, then one step from frame to frame.
 * Failure: the caller's head and body are written last, so that a refused group leaves no trace. */
#include "log/group.h"

#include "base/status.h"
#include "log/group_layout.h"

/* Which digest it is: no head passes for a leaf or a node of a tree (those are 0 and 1). */
enum { PREFIX_HEAD = 2 };

static void set_u16(unsigned char *at, uint16_t value) {
    memcpy(at, &value, sizeof value);
}

static void set_u32(unsigned char *at, uint32_t value) {
    memcpy(at, &value, sizeof value);
}

static void set_u64(unsigned char *at, uint64_t value) {
    memcpy(at, &value, sizeof value);
}

/* Why a head makes no sense, whatever its checksums say; NULL: it does. */
static const char *nonsense(const struct group_head *head) {
    if (head->number == 0) return "its number";
    if (head->record_count == 0) return "its count of records";
    if (head->first > UINT64_MAX - head->record_count) return "its position";
    if (head->body_bytes / RECORD_HEAD_BYTES < head->record_count) return "its length";
    if (head->first_commit > head->last_commit) return "its commit timestamps";
    if (head->first_commit == 0 && head->last_commit != 0) return "its commit timestamps";
    return NULL;
}

void group_encode_head(const struct group_head *head, kh_bytes body,
                       unsigned char out[GROUP_HEAD_BYTES]) {
    kh_assert(nonsense(head) == NULL);
    kh_assert(head->body_bytes == body.size_bytes);
    memset(out, 0, GROUP_HEAD_BYTES);
    set_u32(out + GROUP_AT_MAGIC, GROUP_MAGIC);
    set_u16(out + GROUP_AT_VERSION, GROUP_VERSION);
    set_u64(out + GROUP_AT_BODY_CHECKSUM, group_layout_body_checksum(out, body));
    set_u64(out + GROUP_AT_BODY_BYTES, head->body_bytes);
    set_u64(out + GROUP_AT_NUMBER, head->number);
    set_u64(out + GROUP_AT_FIRST, head->first);
    set_u32(out + GROUP_AT_RECORD_COUNT, head->record_count);
    set_u64(out + GROUP_AT_FIRST_COMMIT, head->first_commit);
    set_u64(out + GROUP_AT_LAST_COMMIT, head->last_commit);
    set_u64(out + GROUP_AT_WALL, head->wall_ms);
    set_u64(out + GROUP_AT_TERM, head->term);
    set_u64(out + GROUP_AT_SHARD, head->shard);
    memcpy(out + GROUP_AT_PREVIOUS, head->previous.bytes, DIGEST_BYTES);
    memcpy(out + GROUP_AT_SKIP, head->skip.bytes, DIGEST_BYTES);
    memcpy(out + GROUP_AT_ROOT, head->root.bytes, DIGEST_BYTES);
    set_u64(out + GROUP_AT_HEAD_CHECKSUM, group_layout_head_checksum(out));
}

void group_digest(struct digester *digester, const unsigned char head[GROUP_HEAD_BYTES],
                  struct digest *out) {
    digest_of(digester, PREFIX_HEAD, (kh_bytes){head, GROUP_HEAD_BYTES}, (kh_bytes){NULL, 0}, out);
}

static kh_status corrupt(kh_error *error, const char *what) {
    return status_fail(error, KH_CORRUPT, "malformed group: %s", what);
}

/* That these bytes begin with an undamaged head of this version. */
static kh_status check_head(kh_bytes bytes, kh_error *error) {
    const unsigned char *head = bytes.data;
    if (bytes.size_bytes < GROUP_HEAD_BYTES) return corrupt(error, "its head is cut off");
    if (layout_u32(head + GROUP_AT_MAGIC) != GROUP_MAGIC)
        return corrupt(error, "no group begins here");
    if (layout_u64(head + GROUP_AT_HEAD_CHECKSUM) != group_layout_head_checksum(head))
        return corrupt(error, "the checksum of its head");
    uint32_t version = layout_u16(head + GROUP_AT_VERSION);
    if (version > GROUP_VERSION)
        return status_fail(error, KH_UNSUPPORTED, "group format %u, this build reads %u", version,
                           GROUP_VERSION);
    if (version == 0) return corrupt(error, "its version");
    if (layout_u16(head + GROUP_AT_FLAGS) != 0 || layout_u32(head + GROUP_AT_RESERVED) != 0)
        return corrupt(error, "its reserved bytes");
    return KH_OK;
}

static void read_head(const unsigned char *bytes, struct group_head *out) {
    out->number = layout_u64(bytes + GROUP_AT_NUMBER);
    out->first = layout_u64(bytes + GROUP_AT_FIRST);
    out->record_count = layout_u32(bytes + GROUP_AT_RECORD_COUNT);
    out->body_bytes = layout_u64(bytes + GROUP_AT_BODY_BYTES);
    out->first_commit = layout_u64(bytes + GROUP_AT_FIRST_COMMIT);
    out->last_commit = layout_u64(bytes + GROUP_AT_LAST_COMMIT);
    out->wall_ms = layout_u64(bytes + GROUP_AT_WALL);
    out->term = layout_u64(bytes + GROUP_AT_TERM);
    out->shard = layout_u64(bytes + GROUP_AT_SHARD);
    memcpy(out->previous.bytes, bytes + GROUP_AT_PREVIOUS, DIGEST_BYTES);
    memcpy(out->skip.bytes, bytes + GROUP_AT_SKIP, DIGEST_BYTES);
    memcpy(out->root.bytes, bytes + GROUP_AT_ROOT, DIGEST_BYTES);
}

/* That the body is exactly as many frames as the head says. */
static kh_status check_frames(kh_bytes body, uint32_t record_count, kh_error *error) {
    size_t at = 0;
    uint64_t found = 0;
    kh_bytes frame;
    bool is_broken;
    while (group_next_frame(body, &at, &frame, &is_broken)) found++;
    if (is_broken) return corrupt(error, "the length of a record in it");
    if (found != record_count) return corrupt(error, "its count of records");
    return KH_OK;
}

kh_status group_decode(kh_bytes bytes, struct group_head *head, kh_bytes *body, kh_error *error) {
    kh_status status = check_head(bytes, error);
    if (status != KH_OK) return status;
    const unsigned char *start = bytes.data;
    kh_bytes behind = {start + GROUP_HEAD_BYTES, bytes.size_bytes - GROUP_HEAD_BYTES};
    struct group_head read;
    read_head(start, &read);
    const char *what = nonsense(&read);
    if (what != NULL) return corrupt(error, what);
    if (read.body_bytes != behind.size_bytes) return corrupt(error, "its length");
    if (layout_u64(start + GROUP_AT_BODY_CHECKSUM) != group_layout_body_checksum(start, behind))
        return corrupt(error, "its checksum");
    status = check_frames(behind, read.record_count, error);
    if (status != KH_OK) return status;
    *head = read;
    *body = behind;
    return KH_OK;
}

bool group_next_frame(kh_bytes body, size_t *at, kh_bytes *frame, bool *is_broken) {
    kh_assert(*at <= body.size_bytes);
    size_t left = body.size_bytes - *at;
    *is_broken = false;
    if (left == 0) return false;
    *is_broken = true;
    if (left < RECORD_HEAD_BYTES) return false;
    const unsigned char *start = (const unsigned char *)body.data + *at;
    size_t length = layout_u32(start + AT_LENGTH);
    if (length < RECORD_HEAD_BYTES || length > left || length % 8 != 0) return false;
    *is_broken = false;
    *frame = (kh_bytes){start, length};
    *at += length;
    return true;
}
