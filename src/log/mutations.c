/* mutations.c - see mutations.h: a list, and an open-addressed table of places in it.
 *
 * A key that was taken back stays in the list, marked by a key of size 0, until the set is sealed:
 * its slot keeps the probes of others unbroken. */
#include "log/mutations.h"

#include "base/hash.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 1024 };

void mutations_init(struct mutations *set, struct mem *mem) {
    memset(set, 0, sizeof *set);
    set->mem = mem;
    arena_init(&set->arena, mem, NULL);
}

void mutations_fini(struct mutations *set) {
    mem_free(set->mem, NULL, set->list, set->capacity * sizeof *set->list);
    mem_free(set->mem, NULL, set->slots, set->slot_count * sizeof *set->slots);
    arena_fini(&set->arena);
}

void mutations_clear(struct mutations *set) {
    arena_reset(&set->arena);
    if (set->slots != NULL) memset(set->slots, 0, set->slot_count * sizeof *set->slots);
    set->count = 0;
    set->size_bytes = 0;
    set->is_failed = false;
}

static bool is_key(const kh_mutation *mutation, kh_bytes key) {
    return mutation->key.size_bytes == key.size_bytes &&
           memcmp(mutation->key.data, key.data, key.size_bytes) == 0;
}

/* The slot of a key, or the free one where it would go. */
static uint32_t *slot_of(const struct mutations *set, kh_bytes key) {
    size_t mask = set->slot_count - 1;
    size_t at = (size_t)hash_bytes(key.data, key.size_bytes, 0) & mask;
    while (set->slots[at] != 0 && !is_key(&set->list[set->slots[at] - 1], key))
        at = (at + 1) & mask;
    return &set->slots[at];
}

static bool grow_slots(struct mutations *set) {
    if (2 * (set->count + 1) < set->slot_count) return true;
    size_t slot_count = set->slot_count == 0 ? FIRST_SLOTS : 2 * set->slot_count;
    uint32_t *slots = mem_alloc_zeroed(set->mem, NULL, slot_count * sizeof *slots);
    if (slots == NULL) return false;
    mem_free(set->mem, NULL, set->slots, set->slot_count * sizeof *set->slots);
    set->slots = slots;
    set->slot_count = slot_count;
    for (size_t i = 0; i < set->count; i++)
        if (set->list[i].key.size_bytes != 0) *slot_of(set, set->list[i].key) = (uint32_t)i + 1;
    return true;
}

static bool grow_list(struct mutations *set) {
    if (set->count < set->capacity) return true;
    size_t capacity = set->capacity == 0 ? FIRST_SLOTS / 2 : 2 * set->capacity;
    kh_mutation *list = mem_resize(set->mem, NULL, set->list, set->capacity * sizeof *list,
                                   capacity * sizeof *list);
    if (list == NULL) return false;
    set->list = list;
    set->capacity = capacity;
    return true;
}

/* The key's place, new or not. NULL: no memory. */
static kh_mutation *take_place(struct mutations *set, kh_bytes key) {
    if (!grow_slots(set) || !grow_list(set)) return NULL;
    uint32_t *slot = slot_of(set, key);
    if (*slot != 0) return &set->list[*slot - 1];
    void *copy = arena_copy(&set->arena, key.data, key.size_bytes);
    if (copy == NULL) return NULL;
    kh_mutation *place = &set->list[set->count++];
    *place = (kh_mutation){{copy, key.size_bytes}, {NULL, 0}};
    *slot = (uint32_t)set->count;
    set->size_bytes += key.size_bytes;
    return place;
}

void mutations_put(struct mutations *set, kh_bytes key, kh_bytes head, kh_bytes rest) {
    unsigned char *value = arena_alloc(&set->arena, head.size_bytes + rest.size_bytes);
    kh_mutation *place = value == NULL ? NULL : take_place(set, key);
    if (place == NULL) {
        set->is_failed = true;
        return;
    }
    if (head.size_bytes > 0) memcpy(value, head.data, head.size_bytes);
    if (rest.size_bytes > 0) memcpy(value + head.size_bytes, rest.data, rest.size_bytes);
    place->value = (kh_bytes){value, head.size_bytes + rest.size_bytes};
    set->size_bytes += place->value.size_bytes;
}

void mutations_delete(struct mutations *set, kh_bytes key, bool is_own_only) {
    if (is_own_only && set->slot_count > 0) {
        uint32_t *slot = slot_of(set, key);
        kh_mutation *place = *slot == 0 ? NULL : &set->list[*slot - 1];
        if (place != NULL && place->value.data != NULL) {
            place->key.size_bytes = 0;
            return;
        }
    }
    kh_mutation *place = take_place(set, key);
    if (place == NULL) {
        set->is_failed = true;
        return;
    }
    place->value = (kh_bytes){NULL, 0};
}

const kh_mutation *mutations_find(const struct mutations *set, kh_bytes key) {
    if (set->slot_count == 0) return NULL;
    const uint32_t *slot = slot_of(set, key);
    return *slot == 0 ? NULL : &set->list[*slot - 1];
}

/* An ordered store finds the place of a key sooner when it has just been beside it. */
static int order_of(const void *left, const void *right) {
    kh_bytes a = ((const kh_mutation *)left)->key;
    kh_bytes b = ((const kh_mutation *)right)->key;
    int order = memcmp(a.data, b.data, a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes);
    if (order != 0) return order;
    return a.size_bytes < b.size_bytes ? -1 : a.size_bytes > b.size_bytes;
}

const kh_mutation *mutations_seal(struct mutations *set) {
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++)
        if (set->list[i].key.size_bytes != 0) set->list[kept++] = set->list[i];
    set->count = kept;
    if (kept > 1) qsort(set->list, kept, sizeof *set->list, order_of);
    if (set->slots != NULL) memset(set->slots, 0, set->slot_count * sizeof *set->slots);
    return set->list;
}
