/* delta_keys.h - the keys of deltas: gathering them, and what two deltas share.
 *
 * A list is gathered in the caller's storage, then sorted; then it has each key once, in ascending
 * order of bytes. It borrows the bytes of its keys. */
#ifndef KHONSU_TXN_DELTA_KEYS_H
#define KHONSU_TXN_DELTA_KEYS_H

#include "base/mem.h"
#include "khonsu/delta.h"

struct delta_key {
    uint64_t hash;
    kh_bytes bytes;
};

enum { DELTA_KEYS_FEW = 8 };

struct delta_key_list {
    struct mem *mem;
    kh_bytes *keys; /* `few` while that is enough */
    size_t count;
    size_t capacity;
    uint64_t size_bytes; /* of all keys; known once it is sorted */
    kh_bytes few[DELTA_KEYS_FEW];
};

/* With room for count keys. KH_TOO_BIG, KH_NO_MEMORY: nothing to fini. */
kh_status delta_keys_init(struct delta_key_list *list, struct mem *mem, size_t count,
                          kh_error *error);
void delta_keys_fini(struct delta_key_list *list);
/* Into the room that init has made. */
void delta_keys_append(struct delta_key_list *list, const kh_bytes *keys, size_t count);
void delta_keys_append_delta(struct delta_key_list *list, const kh_delta *delta);
/* Sort, and leave repeats out. KH_INVALID: a key's length; KH_TOO_BIG: all together. */
kh_status delta_keys_sort(struct delta_key_list *list, kh_error *error);

/* The same on every machine and in every database: deltas of different ones are compared. */
uint64_t delta_keys_hash(kh_bytes key);
/* Of the block of a sorted list: the sizes of its keys, 16 bits each, and behind them their bytes.
 */
static inline size_t delta_keys_block_bytes(const struct delta_key_list *list) {
    return list->count * sizeof(uint16_t) + list->size_bytes;
}
/* Fill in the keys of a delta from a sorted list, and their block. */
void delta_keys_place(const struct delta_key_list *list, struct delta_key *keys, uint32_t *order,
                      unsigned char *block);

/* How many keys are in both. */
size_t delta_keys_shared(const kh_delta *a, const kh_delta *b);
/* Whether there is one. For deltas whose key_bits have one in common. */
bool delta_keys_meet(const kh_delta *a, const kh_delta *b);
/* The same set of keys. */
bool delta_keys_is_same(const kh_delta *a, const kh_delta *b);

#endif
