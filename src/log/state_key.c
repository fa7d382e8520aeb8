/* state_key.c - see state_key.h. */
#include "log/state_key.h"

#include "base/hash.h"
#include <string.h>

enum { ESCAPE = 0x00, ESCAPED_ZERO = 0xff, END_OF_KEY = 0x01 };

static void store_big(unsigned char *out, uint64_t number, int bytes) {
    for (int i = 0; i < bytes; i++) out[i] = (unsigned char)(number >> (8 * (bytes - 1 - i)));
}

size_t state_version_key(kh_bytes key, uint64_t commit, unsigned char *out) {
    const unsigned char *from = key.data;
    unsigned char *next = out;
    *next++ = STATE_VERSION;
    for (size_t i = 0; i < key.size_bytes; i++) {
        *next++ = from[i];
        if (from[i] == ESCAPE) *next++ = ESCAPED_ZERO;
    }
    *next++ = ESCAPE;
    *next++ = END_OF_KEY;
    store_big(next, commit, 8);
    return (size_t)(next + 8 - out);
}

/* How far the escaped key goes from `at`; the plain one is copied, a run between two zeroes at a
 * time. False: it has no end. */
static bool unescape(const unsigned char *bytes, size_t size_bytes, size_t *at, unsigned char *out,
                     size_t *key_bytes) {
    size_t length = 0;
    size_t next = *at;
    while (next + 1 < size_bytes) {
        const unsigned char *zero = memchr(bytes + next, ESCAPE, size_bytes - 1 - next);
        if (zero == NULL) return false;
        size_t run = (size_t)(zero - (bytes + next));
        memcpy(out + length, bytes + next, run);
        length += run;
        next += run + 2;
        if (zero[1] != ESCAPED_ZERO) {
            *at = next;
            *key_bytes = length;
            return zero[1] == END_OF_KEY;
        }
        out[length++] = ESCAPE;
    }
    return false;
}

bool state_parse_version_key(kh_bytes bytes, unsigned char *out, size_t *key_bytes,
                             uint64_t *commit) {
    const unsigned char *start = bytes.data;
    size_t at = 1;
    if (bytes.size_bytes < 1 || start[0] != STATE_VERSION) return false;
    if (!unescape(start, bytes.size_bytes, &at, out, key_bytes)) return false;
    if (*key_bytes == 0 || *key_bytes > 65535 || bytes.size_bytes != at + 8) return false;
    uint64_t number;
    memcpy(&number, start + at, sizeof number);
    *commit = __builtin_bswap64(number); /* little-endian machines only (cmake/platform.cmake) */
    return number != 0;
}

size_t state_id_key(enum state_kind kind, kh_txn_id id, unsigned char out[STATE_FIXED_KEY_BYTES]) {
    out[0] = (unsigned char)kind;
    store_big(out + 1, id.high, 8);
    store_big(out + 9, id.low, 8);
    return 17;
}

static uint64_t load_big(const unsigned char *bytes) {
    uint64_t number = 0;
    for (int i = 0; i < 8; i++) number = number << 8 | bytes[i];
    return number;
}

bool state_parse_outcome_key(kh_bytes key, kh_txn_id *id) {
    const unsigned char *bytes = key.data;
    if (key.size_bytes != 17 || bytes[0] != STATE_OUTCOME) return false;
    *id = (kh_txn_id){load_big(bytes + 1), load_big(bytes + 9)};
    return true;
}

size_t state_schema_key(uint32_t number, unsigned char out[STATE_FIXED_KEY_BYTES]) {
    out[0] = STATE_SCHEMA;
    store_big(out + 1, number, 4);
    return 5;
}

static uint64_t checksum_of(uint64_t commit, uint32_t schema_number, uint32_t flags,
                            kh_bytes bytes) {
    uint64_t seed = commit ^ ((uint64_t)schema_number << 32 | flags);
    return hash_bytes(bytes.data, bytes.size_bytes, seed);
}

void state_value_head(uint64_t commit, uint32_t schema_number, uint32_t flags, kh_bytes bytes,
                      unsigned char out[STATE_VALUE_HEAD_BYTES]) {
    uint64_t checksum = checksum_of(commit, schema_number, flags, bytes);
    memcpy(out, &schema_number, 4);
    memcpy(out + 4, &flags, 4);
    memcpy(out + 8, &checksum, 8);
}

bool state_parse_value(uint64_t commit, kh_bytes value, uint32_t *schema_number, uint32_t *flags,
                       kh_bytes *bytes) {
    const unsigned char *at = value.data;
    uint64_t checksum;
    if (value.size_bytes < STATE_VALUE_HEAD_BYTES) return false;
    memcpy(schema_number, at, 4);
    memcpy(flags, at + 4, 4);
    memcpy(&checksum, at + 8, 8);
    *bytes = (kh_bytes){at + STATE_VALUE_HEAD_BYTES, value.size_bytes - STATE_VALUE_HEAD_BYTES};
    return checksum == checksum_of(commit, *schema_number, *flags, *bytes);
}

void state_outcome(uint64_t commit, bool is_aborted, unsigned char out[STATE_OUTCOME_BYTES]) {
    memcpy(out, &commit, 8);
    out[8] = is_aborted;
}

bool state_parse_outcome(kh_bytes value, uint64_t *commit, bool *is_aborted) {
    const unsigned char *bytes = value.data;
    if (value.size_bytes != STATE_OUTCOME_BYTES || bytes[8] > 1) return false;
    memcpy(commit, bytes, 8);
    *is_aborted = bytes[8] != 0;
    return true;
}
