/* semantic_codec.c - what a transaction carries, as the section `delta` of its record, or, of those
 * who commit together, in the section `members`.
 *
 * version (1), mode (1), 0 (2), the five thresholds as 32-bit floats (20), little-endian, then the
 * delta (kh_delta_encode). docs/record-format.md. A prepared transaction that is found in the log
 * holds by it what it held before. */
#include "db/semantic.h"

#include "base/status.h"
#include "log/record.h"
#include "txn/delta_codec.h"
#include <string.h>

enum { VERSION = 1, HEAD_BYTES = 24, THRESHOLDS = 5 };

static void put_head(unsigned char *out, const struct semantic_claim *claim) {
    const kh_delta_thresholds *thresholds = &claim->thresholds;
    float values[THRESHOLDS] = {thresholds->orthogonal, thresholds->identical, thresholds->opposite,
                                thresholds->conflicting, thresholds->jaccard};
    memset(out, 0, 4);
    out[0] = VERSION;
    out[1] = (unsigned char)claim->mode;
    memcpy(out + 4, values, sizeof values);
}

static kh_status encode(const struct semantic_claim *claim, struct arena *arena, kh_bytes *out,
                        kh_error *error) {
    kh_bytes delta;
    *out = (kh_bytes){NULL, 0};
    if (claim->delta == NULL) return KH_OK;
    kh_status status = kh_delta_encode(claim->delta, &delta, error);
    if (status != KH_OK) return status;
    unsigned char *bytes = arena_alloc(arena, HEAD_BYTES + delta.size_bytes);
    if (bytes != NULL) {
        put_head(bytes, claim);
        memcpy(bytes + HEAD_BYTES, delta.data, delta.size_bytes);
        *out = (kh_bytes){bytes, HEAD_BYTES + delta.size_bytes};
    }
    kh_bytes_free(delta);
    return bytes == NULL ? status_no_memory(error, HEAD_BYTES + delta.size_bytes) : KH_OK;
}

kh_status semantic_encode(kh_txn *txn, struct arena *arena, kh_bytes *out, kh_error *error) {
    *out = (kh_bytes){NULL, 0};
    if (txn->semantic == NULL || semantic_is_group(txn)) return KH_OK;
    return encode(txn->semantic, arena, out, error);
}

kh_status semantic_encode_members(kh_txn *txn, struct arena *arena,
                                  const struct record_member **out, size_t *count,
                                  kh_error *error) {
    size_t all = 0;
    *count = 0;
    if (!semantic_is_group(txn)) return KH_OK;
    for (const struct semantic_claim *claim = txn->semantic; claim != NULL; claim = claim->next)
        all++;
    struct record_member *members = arena_alloc(arena, all * sizeof *members);
    if (members == NULL) return status_no_memory(error, all * sizeof *members);
    *out = members;
    for (const struct semantic_claim *claim = txn->semantic; claim != NULL; claim = claim->next) {
        members[*count].id = claim->member;
        kh_status status = encode(claim, arena, &members[(*count)++].delta, error);
        if (status != KH_OK) return status;
    }
    return KH_OK;
}

kh_status semantic_decode(struct mem *mem, kh_bytes section, struct semantic_section *out,
                          kh_error *error) {
    const unsigned char *bytes = section.data;
    kh_delta_thresholds thresholds = KH_DELTA_THRESHOLDS_INIT;
    float values[THRESHOLDS];
    if (bytes[0] != VERSION)
        return status_fail(error, KH_UNSUPPORTED, "a semantic delta of version %u", bytes[0]);
    if (section.size_bytes <= HEAD_BYTES || bytes[1] > KH_SEMANTIC_MERGE || bytes[1] == 0 ||
        bytes[2] != 0 || bytes[3] != 0)
        return status_fail(error, KH_CORRUPT, "a semantic delta is malformed");
    memcpy(values, bytes + 4, sizeof values);
    thresholds.orthogonal = values[0];
    thresholds.identical = values[1];
    thresholds.opposite = values[2];
    thresholds.conflicting = values[3];
    thresholds.jaccard = values[4];
    kh_bytes rest = {bytes + HEAD_BYTES, section.size_bytes - HEAD_BYTES};
    kh_delta *delta = NULL;
    kh_status status = delta_codec_decode(mem, rest, &delta, error);
    if (status != KH_OK) return status;
    *out = (struct semantic_section){delta, (kh_semantic_mode)bytes[1], thresholds};
    return KH_OK;
}

kh_status semantic_restore(kh_txn *txn, kh_bytes section, kh_error *error) {
    struct semantic_section read;
    if (section.size_bytes == 0) return KH_OK;
    kh_status status = semantic_decode(txn->db->home.mem, section, &read, error);
    if (status != KH_OK) return status;
    status = semantic_attach(txn, read.mode, &read.thresholds, error);
    if (status == KH_OK) semantic_set_delta(txn, read.delta);
    kh_delta_release(read.delta);
    return status;
}
