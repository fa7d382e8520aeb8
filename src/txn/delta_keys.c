/* delta_keys.c - sets of keys. Invariants: a sorted list has each key once; the keys of a delta are
 * in ascending order of (hash, bytes), so two keys with one hash cost a comparison of bytes and
 * nothing else. Failure: nothing was made. */
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
                      unsigned char *bytes) {
    size_t count = list->count;
    for (size_t i = 0; i < count; i++) {
        kh_bytes key = list->keys[i];
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

size_t delta_keys_shared(const kh_delta *a, const kh_delta *b, size_t enough) {
    const struct delta_key *in_a = a->keys;
    const struct delta_key *in_b = b->keys;
    const struct delta_key *end_a = in_a + a->key_count;
    const struct delta_key *end_b = in_b + b->key_count;
    size_t shared = 0;
    while (in_a < end_a && in_b < end_b && shared < enough) {
        int order = compare_keys(in_a, in_b);
        shared += order == 0;
        in_a += order <= 0;
        in_b += order >= 0;
    }
    return shared;
}

bool delta_keys_is_same(const kh_delta *a, const kh_delta *b) {
    if (a->key_count != b->key_count || a->key_bits != b->key_bits) return false;
    for (uint32_t i = 0; i < a->key_count; i++) {
        const struct delta_key *in_a = &a->keys[i];
        const struct delta_key *in_b = &b->keys[i];
        if (in_a->hash != in_b->hash || in_a->bytes.size_bytes != in_b->bytes.size_bytes ||
            !key_is_equal(in_a->bytes.data, in_b->bytes.data, in_a->bytes.size_bytes))
            return false;
    }
    return true;
}
