/* mutations.h - what one step of a checkpoint will write: a set of keys, each with its last value.
 * Keys and values are copied. One thread. */
#ifndef KHONSU_LOG_MUTATIONS_H
#define KHONSU_LOG_MUTATIONS_H

#include "base/arena.h"
#include "khonsu/log.h"

struct mutations {
    struct arena arena;
    struct mem *mem;
    kh_mutation *list;
    size_t count;
    size_t capacity;
    uint32_t *slots; /* of the hash table: index + 1 into list, 0: free */
    size_t slot_count;
    size_t size_bytes; /* of keys and values */
    bool is_failed;    /* an allocation failed: what is here is not all */
};

void mutations_init(struct mutations *set, struct mem *mem);
void mutations_fini(struct mutations *set);
void mutations_clear(struct mutations *set);
/* The key gets a value of two parts, one behind the other. */
void mutations_put(struct mutations *set, kh_bytes key, kh_bytes head, kh_bytes rest);
/* The key goes. One that was put by this very set, and is_own_only says that the storage never had
 * it, leaves nothing behind; else a deletion stays. */
void mutations_delete(struct mutations *set, kh_bytes key, bool is_own_only);
/* What the set says of a key; NULL: nothing. */
const kh_mutation *mutations_find(const struct mutations *set, kh_bytes key);
/* The list without what was taken back, in place, in the order of keys: what a storage is given.
 * Its count is set->count. */
const kh_mutation *mutations_seal(struct mutations *set);

#endif
