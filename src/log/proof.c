/* proof.c - writing a proof as JSON.
 *
 * Invariants: all of it is ASCII made here (names, digits, hexadecimal), so that nothing needs
 * escaping. No line is empty: an empty line may stand between proofs.
 * Happy path: append piece by piece; the buffer remembers that it could not grow.
 * Failure: looked for once, at the end; the buffer is cut back to where the proof began. */
#include "log/proof.h"

#include "base/assert.h"
#include "log/group_layout.h"
#include <inttypes.h>
#include <stdio.h>

static void put(struct ipc_buffer *out, const char *text) {
    ipc_buffer_append(out, text, strlen(text));
}

/* Before and behind the number there is text, often. */
static void put_number(struct ipc_buffer *out, const char *before, uint64_t number) {
    char digits[24];
    (void)snprintf(digits, sizeof digits, "%" PRIu64, number);
    put(out, before);
    put(out, digits);
}

/* In quotes. */
static void put_hex(struct ipc_buffer *out, const char *before, const void *bytes,
                    size_t size_bytes) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char *from = bytes;
    put(out, before);
    put(out, "\"");
    unsigned char *to = ipc_buffer_extend(out, 2 * size_bytes);
    for (size_t i = 0; to != NULL && i < size_bytes; i++) {
        to[2 * i] = (unsigned char)digits[from[i] >> 4];
        to[2 * i + 1] = (unsigned char)digits[from[i] & 15];
    }
    put(out, "\"");
}

static void put_record(struct ipc_buffer *out, const char *name,
                       const struct proof_record *record) {
    put(out, name);
    put_number(out, "{\"position\":", record->position);
    put_number(out, ",\"index\":", record->index);
    put_number(out, ",\"count\":", record->count);
    put_hex(out, ",\n\"frame\":", record->frame.data, record->frame.size_bytes);
    put(out, ",\n\"path\":[");
    for (uint32_t i = 0; i < record->path_count; i++)
        put_hex(out, i == 0 ? "" : ",\n", record->path[i].bytes, sizeof record->path[i].bytes);
    put(out, "]}");
}

kh_status proof_write_all(const kh_identity *identity, const struct digest *head_digest,
                          const unsigned char (*heads)[GROUP_HEAD_BYTES], size_t head_count,
                          const struct proof_record *record, const struct proof_record *decision,
                          struct ipc_buffer *out) {
    kh_assert(head_count > 0 && record->path_count <= MERKLE_PATH_MAX);
    size_t start = out->size_bytes;
    put(out, "{\"khonsu_proof\":1,\n");
    put_hex(out, "\"database\":", identity->database, sizeof identity->database);
    put_hex(out, ",\n\"timeline\":", identity->timeline, sizeof identity->timeline);
    put_number(out, ",\n\"head\":{\"number\":", layout_u64(heads[0] + GROUP_AT_NUMBER));
    put_hex(out, ",\"digest\":", head_digest->bytes, sizeof head_digest->bytes);
    put(out, "},\n\"groups\":[");
    for (size_t i = 0; i < head_count; i++)
        put_hex(out, i == 0 ? "" : ",\n", heads[i], sizeof heads[i]);
    put_record(out, "],\n\"record\":", record);
    if (decision != NULL) put_record(out, ",\n\"decision\":", decision);
    put(out, "}\n");
    if (!out->is_failed) return KH_OK;
    out->size_bytes = start;
    return KH_NO_MEMORY;
}

kh_status proof_write(const kh_identity *identity, const struct digest *head_digest,
                      const unsigned char (*heads)[GROUP_HEAD_BYTES], size_t head_count,
                      kh_bytes frame, uint32_t index, uint32_t count, const struct digest *path,
                      uint32_t path_count, uint64_t position, struct ipc_buffer *out) {
    kh_assert(path_count <= MERKLE_PATH_MAX);
    struct proof_record record = {.frame = frame,
                                  .position = position,
                                  .index = index,
                                  .count = count,
                                  .path_count = path_count};
    memcpy(record.path, path, path_count * sizeof *path);
    return proof_write_all(identity, head_digest, heads, head_count, &record, NULL, out);
}
