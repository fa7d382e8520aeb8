/* state_key.h - the keys and values of a storage: what a checkpoint writes and an open reads.
 *
 *     'M' ...                                      the checkpoint's own: see checkpoint.h
 *     'O' id (16, big-endian)                      what became of a transaction, and when
 *     'P' id                                       a prepared transaction: its PREPARE frame
 *     'Q' id                                       a decided one whose overwritten versions stay
 *     'S' number (4, big-endian)                   a schema: its SCHEMA frame
 *     'V' key, escaped; 0x00 0x01; commit (8, big-endian)   a version
 *
 * Escaping turns 0x00 into 0x00 0xff, so that versions sort by key (as memcmp of the plain keys
 * would) and then by time, oldest first. The value of a version is its schema's number (4,
 * little-endian), flags (4), a checksum (8: XXH3 of the bytes, seeded with commit, number and
 * flags) and the bytes of ipc_encode_value; a deletion has its flag and no bytes.
 * docs/storage-format.md is the description. */
#ifndef KHONSU_LOG_STATE_KEY_H
#define KHONSU_LOG_STATE_KEY_H

#include "khonsu/txn.h"

enum state_kind {
    STATE_MARK = 'M',
    STATE_OUTCOME = 'O',
    STATE_PREPARED = 'P',
    STATE_DECIDED = 'Q',
    STATE_SCHEMA = 'S',
    STATE_VERSION = 'V'
};

enum {
    STATE_FIXED_KEY_BYTES = 17, /* the longest of those that are not versions */
    STATE_ESCAPED_KEY_MAX = 1 + 2 * 65535 + 2 + 8,
    STATE_VALUE_HEAD_BYTES = 16,
    STATE_FLAG_DELETED = 1
};

/* Bytes that the key of a version takes at most. */
static inline size_t state_version_key_max(kh_bytes key) {
    return 1 + 2 * key.size_bytes + 2 + 8;
}
/* Write it; its length. */
size_t state_version_key(kh_bytes key, uint64_t commit, unsigned char *out);
/* And back: the plain key into out (room for bytes.size_bytes), its length and the commit. False:
 * these bytes are no such key. */
bool state_parse_version_key(kh_bytes bytes, unsigned char *out, size_t *key_bytes,
                             uint64_t *commit);
size_t state_id_key(enum state_kind kind, kh_txn_id id, unsigned char out[STATE_FIXED_KEY_BYTES]);
size_t state_schema_key(uint32_t number, unsigned char out[STATE_FIXED_KEY_BYTES]);
/* The head of a version's value; and the value taken apart. False: cut off, or damaged. */
void state_value_head(uint64_t commit, uint32_t schema_number, uint32_t flags, kh_bytes bytes,
                      unsigned char out[STATE_VALUE_HEAD_BYTES]);
bool state_parse_value(uint64_t commit, kh_bytes value, uint32_t *schema_number, uint32_t *flags,
                       kh_bytes *bytes);
/* An outcome: the commit timestamp, or the newest one before an abort (8, little-endian), and
 * whether it is that (1). It is kept for a day at least: a client that lost its connection, or its
 * night, asks within it. */
#define STATE_OUTCOME_MS (24u * 3600u * 1000u)
/* When a transaction began, by its id (db/upkeep.c lets ids follow the clock): not before. */
static inline uint64_t state_id_ms(kh_txn_id id) {
    return id.low >> 20;
}
/* False: no key of an outcome. */
bool state_parse_outcome_key(kh_bytes key, kh_txn_id *id);
enum { STATE_OUTCOME_BYTES = 9 };
void state_outcome(uint64_t commit, bool is_aborted, unsigned char out[STATE_OUTCOME_BYTES]);
bool state_parse_outcome(kh_bytes value, uint64_t *commit, bool *is_aborted);
/* [from, to) of all keys of a kind. */
struct state_range {
    unsigned char from[1];
    unsigned char to[1];
};
static inline struct state_range state_range_of(enum state_kind kind) {
    return (struct state_range){{(unsigned char)kind}, {(unsigned char)(kind + 1)}};
}

#endif
