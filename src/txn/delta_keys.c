/* delta_keys.c - sets of keys. Invariants: a sorted list has each key once; the keys of a delta are
 * in ascending order of (hash, bytes), so two keys with one hash cost a comparison of bytes and
 * nothing else; its block has the sizes of all, and behind them the bytes of all, in ascending
 * order of bytes, so two sets are the same if, and only if, these bytes are. Failure: nothing was
 * made. */
#include "txn/delta_keys.h"

#include "base/hash.h"
#include "base/limits.h"
#include "base/status.h"
#include "store/key.h"
#include "txn/delta.h"
#include "txn/readset.h"
#include <stdlib.h>
#include <string.h>

kh_status delta_keys_init(struct delta_key_list *list, struct mem *mem, size_t count,
                          kh_error *error) {
    list->mem = mem;
    list->keys = list->few;
    list->count = 0;
    list->capacity = DELTA_KEYS_FEW;
    list->size_bytes = 0;
    if (count > LIMIT_DELTA_KEYS)
        return status_fail(error, KH_TOO_BIG, "a delta of %zu keys, %u at most", count,
                           LIMIT_DELTA_KEYS);
    if (count <= DELTA_KEYS_FEW) return KH_OK;
    list->keys = mem_alloc(mem, NULL, count * sizeof *list->keys);
    if (list->keys == NULL) return status_no_memory(error, count * sizeof *list->keys);
    list->capacity = count;
    return KH_OK;
}

void delta_keys_fini(struct delta_key_list *list) {
    if (list->keys != list->few)
        mem_free(list->mem, NULL, list->keys, list->capacity * sizeof *list->keys);
    list->keys = list->few;
}

void delta_keys_append(struct delta_key_list *list, const kh_bytes *keys, size_t count) {
    kh_assert(count <= list->capacity - list->count);
    if (count > 0) memcpy(list->keys + list->count, keys, count * sizeof *keys);
    list->count += count;
}

void delta_keys_append_delta(struct delta_key_list *list, const kh_delta *delta) {
    for (uint32_t i = 0; i < delta->key_count; i++)
        delta_keys_append(list, &delta->keys[delta->order[i]].bytes, 1);
}

static int compare_bytes(const void *a, const void *b) {
    return key_compare(*(const kh_bytes *)a, *(const kh_bytes *)b);
}

static int compare_keys(const struct delta_key *a, const struct delta_key *b) {
    if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
    return key_compare(a->bytes, b->bytes);
}

static int compare_hashed(const void *a, const void *b) {
    return compare_keys(a, b);
}

static bool is_ascending(const struct delta_key_list *list) {
    for (size_t i = 1; i < list->count; i++)
        if (key_compare(list->keys[i - 1], list->keys[i]) >= 0) return false;
    return true;
}

kh_status delta_keys_sort(struct delta_key_list *list, kh_error *error) {
    size_t left = 0;
    for (size_t i = 0; i < list->count; i++) {
        kh_bytes key = list->keys[i];
        if (key.data == NULL || key.size_bytes == 0 || key.size_bytes > LIMIT_KEY_BYTES)
            return status_fail(error, KH_INVALID, "key %zu of a delta has %zu bytes", i,
                               key.size_bytes);
    }
    if (!is_ascending(list)) {
        qsort(list->keys, list->count, sizeof *list->keys, compare_bytes);
        for (size_t i = 0; i < list->count; i++)
            if (i == 0 || key_compare(list->keys[left - 1], list->keys[i]) != 0)
                list->keys[left++] = list->keys[i];
        list->count = left;
    }
    list->size_bytes = 0;
    for (size_t i = 0; i < list->count; i++) list->size_bytes += list->keys[i].size_bytes;
    if (list->size_bytes > LIMIT_DELTA_KEY_BYTES)
        return status_fail(error, KH_TOO_BIG, "%llu bytes of keys in a delta",
                           (unsigned long long)list->size_bytes);
    return KH_OK;
}

uint64_t delta_keys_hash(kh_bytes key) {
    return hash_bytes(key.data, key.size_bytes, 0);
}

/* Where a key that is there lies. */
static uint32_t find(const struct delta_key *keys, size_t count, const struct delta_key *wanted) {
    const struct delta_key *found = bsearch(wanted, keys, count, sizeof *keys, compare_hashed);
    return (uint32_t)(found - keys);
}

void delta_keys_place(const struct delta_key_list *list, struct delta_key *keys, uint32_t *order,
                      unsigned char *block) {
    size_t count = list->count;
    unsigned char *bytes = block + count * sizeof(uint16_t);
    for (size_t i = 0; i < count; i++) {
        kh_bytes key = list->keys[i];
        uint16_t size = (uint16_t)key.size_bytes;
        memcpy(block + i * sizeof size, &size, sizeof size);
        memcpy(bytes, key.data, key.size_bytes);
        keys[i].bytes = (kh_bytes){bytes, key.size_bytes};
        keys[i].hash = delta_keys_hash(key);
        bytes += key.size_bytes;
    }
    if (count > 1) qsort(keys, count, sizeof *keys, compare_hashed);
    for (size_t i = 0; i < count; i++) {
        struct delta_key wanted = {delta_keys_hash(list->keys[i]), list->keys[i]};
        order[i] = find(keys, count, &wanted);
    }
}

static size_t count_shared(const struct delta_key *a, size_t count_a, const struct delta_key *b,
                           size_t count_b) {
    size_t shared = 0;
    while (count_a > 0 && count_b > 0) {
        int order = compare_keys(a, b);
        shared += order == 0;
        a += order <= 0;
        count_a -= order <= 0;
        b += order >= 0;
        count_b -= order >= 0;
    }
    return shared;
}

size_t delta_keys_shared(const kh_delta *a, const kh_delta *b) {
    return count_shared(a->keys, a->key_count, b->keys, b->key_count);
}

static __attribute__((noinline)) bool meet_slowly(const struct delta_key *a, size_t count_a,
                                                  const struct delta_key *b, size_t count_b) {
    return count_shared(a, count_a, b, count_b) > 0;
}

/* Of keys of one hash, whose bytes are mostly the same: no way out before the end. */
static inline bool is_same_bytes(kh_bytes a, kh_bytes b) {
    const unsigned char *x = a.data;
    const unsigned char *y = b.data;
    size_t size = a.size_bytes;
    size_t last = size - 16;
    if (size != b.size_bytes) return false;
    if (KH_UNLIKELY(last > 16)) return key_is_equal(x, y, size); /* less than 16 bytes, or long */
    return (key_word_difference(x, y) | key_word_difference(x + 8, y + 8) |
            key_word_difference(x + last, y + last) |
            key_word_difference(x + last + 8, y + last + 8)) == 0;
}

bool delta_keys_meet(const kh_delta *a, const kh_delta *b) {
    const struct delta_key *in_a = a->keys;
    const struct delta_key *in_b = b->keys;
    size_t left_a = a->key_count;
    size_t left_b = b->key_count;
    for (;;) {
        if (in_a->hash < in_b->hash) {
            in_a++;
            if (--left_a == 0) return false;
        } else if (in_a->hash > in_b->hash) {
            in_b++;
            if (--left_b == 0) return false;
        } else {
            break;
        }
    }
    /* No two keys of one hash are known: they are not worth more than the slow way. */
    if (KH_LIKELY(is_same_bytes(in_a->bytes, in_b->bytes))) return true;
    return meet_slowly(in_a, left_a, in_b, left_b);
}

/* As many keys, of which the block has the sizes first: no two sets have one block. */
bool delta_keys_is_same(const kh_delta *a, const kh_delta *b) {
    return a->key_bits == b->key_bits && a->key_count == b->key_count &&
           a->key_block_bytes == b->key_block_bytes &&
           key_is_equal(a->key_block, b->key_block, a->key_block_bytes);
}
