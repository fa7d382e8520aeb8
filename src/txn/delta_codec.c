/* delta_codec.c - a delta as bytes. All numbers little-endian, as the machine has them (the build
 * refuses others).
 *
 *   0 u8 version   1 u8 form: 1 dense, 2 sparse   2 u16 0
 *   4 u32 dimension   8 u32 values that are not zero   12 u32 keys
 *   16 u64, u64 transaction id
 *   32 dense: a float for each value; sparse: a u32 for each position, then a float for each
 *   then for each key, ascending: u16 length, bytes
 *
 * Decoding proves: the length of each part before it is read; that positions and keys ascend; that
 * values are 0 or in their range; that count and form are what the values give. Then delta_make
 * makes the delta, so that there is one way to be one. Failure: nothing was made. */
#include "txn/delta_codec.h"

#include "base/limits.h"
#include "base/status.h"
#include "batch/bytes.h"
#include "batch/home.h"
#include "txn/readset.h"
#include <math.h>
#include <string.h>

enum { VERSION = 1, DENSE = 1, SPARSE = 2 };
enum {
    AT_VERSION = 0,
    AT_FORM = 1,
    AT_ZERO = 2,
    AT_DIMENSION = 4,
    AT_FILLED = 8,
    AT_KEYS = 12,
    AT_HIGH = 16,
    AT_LOW = 24,
    HEAD_BYTES = 32,
    KEY_HEAD_BYTES = 2
};

/* ---- encoding -------------------------------------------------------------------------------- */

static size_t vector_bytes(bool is_sparse, size_t dimension, size_t filled) {
    return is_sparse ? filled * (sizeof(uint32_t) + sizeof(float)) : dimension * sizeof(float);
}

size_t delta_codec_bytes(const kh_delta *delta) {
    size_t size_bytes =
        HEAD_BYTES + vector_bytes(delta->is_sparse, delta->dimension, delta->filled);
    for (uint32_t i = 0; i < delta->key_count; i++)
        size_bytes += KEY_HEAD_BYTES + delta->keys[i].bytes.size_bytes;
    return size_bytes;
}

static unsigned char *append(unsigned char *out, const void *bytes, size_t size_bytes) {
    memcpy(out, bytes, size_bytes);
    return out + size_bytes;
}

static unsigned char *append_positions(unsigned char *out, const kh_delta *delta) {
    for (size_t word = 0; word < delta_words(delta->dimension); word++) {
        for (uint64_t bits = delta->words[word]; bits != 0; bits &= bits - 1) {
            uint32_t position =
                (uint32_t)(word * DELTA_WORD_BITS) + (uint32_t)__builtin_ctzll(bits);
            out = append(out, &position, sizeof position);
        }
    }
    return out;
}

void delta_codec_encode(const kh_delta *delta, unsigned char *out) {
    memset(out, 0, HEAD_BYTES);
    out[AT_VERSION] = VERSION;
    out[AT_FORM] = delta->is_sparse ? SPARSE : DENSE;
    memcpy(out + AT_DIMENSION, &delta->dimension, sizeof delta->dimension);
    memcpy(out + AT_FILLED, &delta->filled, sizeof delta->filled);
    memcpy(out + AT_KEYS, &delta->key_count, sizeof delta->key_count);
    memcpy(out + AT_HIGH, &delta->txn.high, sizeof delta->txn.high);
    memcpy(out + AT_LOW, &delta->txn.low, sizeof delta->txn.low);
    out += HEAD_BYTES;
    if (delta->is_sparse) out = append_positions(out, delta);
    size_t count = delta->is_sparse ? delta->filled : delta->dimension;
    out = append(out, delta->values, count * sizeof *delta->values);
    for (size_t i = 0; i < delta->key_count; i++) {
        kh_bytes key = kh_delta_key(delta, i);
        uint16_t length = (uint16_t)key.size_bytes;
        out = append(out, &length, sizeof length);
        out = append(out, key.data, key.size_bytes);
    }
}

/* ---- decoding -------------------------------------------------------------------------------- */

struct head {
    bool is_sparse;
    uint32_t dimension;
    uint32_t filled;
    uint32_t key_count;
    kh_txn_id txn;
};

static kh_status refuse(kh_error *error, const char *what) {
    return status_fail(error, KH_CORRUPT, "a delta's bytes: %s", what);
}

static kh_status read_head(kh_bytes bytes, struct head *head, kh_error *error) {
    const unsigned char *from = bytes.data;
    if (from == NULL || bytes.size_bytes < HEAD_BYTES) return refuse(error, "too short");
    if (from[AT_VERSION] == 0) return refuse(error, "version 0");
    if (from[AT_VERSION] > VERSION)
        return status_fail(error, KH_UNSUPPORTED, "a delta of version %d", from[AT_VERSION]);
    if ((from[AT_FORM] != DENSE && from[AT_FORM] != SPARSE) || from[AT_ZERO] != 0 ||
        from[AT_ZERO + 1] != 0)
        return refuse(error, "no such form");
    head->is_sparse = from[AT_FORM] == SPARSE;
    memcpy(&head->dimension, from + AT_DIMENSION, sizeof head->dimension);
    memcpy(&head->filled, from + AT_FILLED, sizeof head->filled);
    memcpy(&head->key_count, from + AT_KEYS, sizeof head->key_count);
    memcpy(&head->txn.high, from + AT_HIGH, sizeof head->txn.high);
    memcpy(&head->txn.low, from + AT_LOW, sizeof head->txn.low);
    if (head->dimension > LIMIT_DELTA_DIMENSION)
        return status_fail(error, KH_TOO_BIG, "a delta of %u values", head->dimension);
    if (head->dimension == 0 || head->filled > head->dimension ||
        head->is_sparse != delta_is_sparse(head->filled, head->dimension))
        return refuse(error, "counts that do not fit the form");
    size_t rest = bytes.size_bytes - HEAD_BYTES;
    size_t vector = vector_bytes(head->is_sparse, head->dimension, head->filled);
    /* Each key has a length and a byte. */
    if (vector > rest || head->key_count > (rest - vector) / (KEY_HEAD_BYTES + 1))
        return refuse(error, "too short");
    return KH_OK;
}

/* Zero is +0, and nothing else is as small. */
static bool is_value(float value, bool is_zero_allowed) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (bits == 0) return is_zero_allowed;
    return fabsf(value) > DELTA_TINY && fabsf(value) <= LIMIT_DELTA_VALUE;
}

/* values: all zero. */
static kh_status read_vector(const struct head *head, const unsigned char *from, float *values,
                             kh_error *error) {
    const unsigned char *floats = from;
    uint32_t count = head->is_sparse ? head->filled : head->dimension;
    uint32_t filled = 0;
    uint32_t next = 0; /* no position below */
    if (head->is_sparse) floats += head->filled * sizeof(uint32_t);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t position = i;
        float value;
        memcpy(&value, floats + i * sizeof value, sizeof value);
        if (head->is_sparse) memcpy(&position, from + i * sizeof position, sizeof position);
        if (position < next || position >= head->dimension)
            return refuse(error, "positions out of order");
        if (!is_value(value, !head->is_sparse)) return refuse(error, "a value out of its range");
        values[position] = value;
        filled += value != 0;
        next = position + 1;
    }
    return filled == head->filled ? KH_OK : refuse(error, "another count of values");
}

static kh_status read_keys(uint32_t count, kh_bytes from, struct delta_key_list *keys,
                           kh_error *error) {
    const unsigned char *next = from.data;
    size_t rest = from.size_bytes;
    kh_bytes before = {NULL, 0};
    for (uint32_t i = 0; i < count; i++) {
        uint16_t length;
        if (rest < KEY_HEAD_BYTES) return refuse(error, "too short");
        memcpy(&length, next, sizeof length);
        next += KEY_HEAD_BYTES;
        rest -= KEY_HEAD_BYTES;
        kh_bytes key = {next, length};
        if (length == 0 || length > rest) return refuse(error, "a key's length");
        if (i > 0 && key_compare(before, key) >= 0) return refuse(error, "keys out of order");
        delta_keys_append(keys, &key, 1);
        before = key;
        next += length;
        rest -= length;
    }
    return rest == 0 ? KH_OK : refuse(error, "more behind the end");
}

kh_status delta_codec_decode(struct mem *mem, kh_bytes bytes, kh_delta **out, kh_error *error) {
    struct head head = {0};
    struct delta_key_list keys;
    struct delta_draft draft = {mem, NULL, 0};
    kh_status status = read_head(bytes, &head, error);
    if (status == KH_OK) status = delta_keys_init(&keys, mem, head.key_count, error);
    if (status != KH_OK) return status;
    const unsigned char *from = (const unsigned char *)bytes.data + HEAD_BYTES;
    size_t vector = vector_bytes(head.is_sparse, head.dimension, head.filled);
    kh_bytes rest = {from + vector, bytes.size_bytes - HEAD_BYTES - vector};
    KH_TRY(delta_draft_init(&draft, mem, head.dimension, error));
    KH_TRY(read_vector(&head, from, draft.values, error));
    KH_TRY(read_keys(head.key_count, rest, &keys, error));
    KH_TRY(delta_keys_sort(&keys, error));
    KH_TRY(delta_make(mem, (kh_floats){draft.values, head.dimension}, &keys, head.txn, out, error));
done:
    delta_draft_fini(&draft);
    delta_keys_fini(&keys);
    return status;
}

/* ---- from outside ---------------------------------------------------------------------------- */

kh_status kh_delta_encode(const kh_delta *delta, kh_bytes *out, kh_error *error) {
    size_t size_bytes = delta_codec_bytes(delta);
    unsigned char *bytes = mem_alloc(delta->mem, NULL, size_bytes);
    if (bytes == NULL) return status_no_memory(error, size_bytes);
    delta_codec_encode(delta, bytes);
    kh_status status = bytes_make(bytes, size_bytes, out, error);
    mem_free(delta->mem, NULL, bytes, size_bytes);
    return status;
}

kh_status kh_delta_decode(kh_db *db, kh_bytes bytes, kh_delta **out, kh_error *error) {
    const struct batch_home *home;
    if (out == NULL) return status_fail(error, KH_INVALID, "out must not be NULL");
    kh_status status = batch_home_find(db, &home, error);
    if (status != KH_OK) return status;
    return delta_codec_decode(home->mem, bytes, out, error);
}
