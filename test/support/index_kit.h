/* index_kit.h - an index with what it needs around it, a sorted reference, and keys of nasty
 * shapes, for the tests of the store. The reference knows nothing of the index but keys. */
#ifndef TEST_SUPPORT_INDEX_KIT_H
#define TEST_SUPPORT_INDEX_KIT_H

#include "base/epoch.h"
#include "base/mem.h"
#include "store/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- an allocator that counts and fails ------------------------------------------------------ */

struct index_kit_memory {
    uint64_t calls;
    uint64_t fail_at; /* this call fails (from 1); 0: none */
    int64_t live_blocks;
};

static inline void *index_kit_allocate(void *context, size_t size_bytes, size_t alignment) {
    struct index_kit_memory *memory = context;
    if (++memory->calls == memory->fail_at) return NULL;
    size_t rounded = (size_bytes + alignment - 1) & ~(alignment - 1);
    void *block = aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
    assert_non_null(block);
    memory->live_blocks++;
    return block;
}

static inline void index_kit_release(void *context, void *block, size_t size_bytes) {
    struct index_kit_memory *memory = context;
    memory->live_blocks--;
    memset(block, 0xdd, size_bytes);
    free(block);
}

/* ---- the index ------------------------------------------------------------------------------- */

struct index_kit {
    struct index_kit_memory memory;
    struct mem *mem;
    struct epoch epoch;
    struct epoch_record *record; /* ck knows it for ever: not on a stack that goes */
    struct index *index;
};

static inline void index_kit_open_with(struct index_kit *kit, const struct mem_hooks *hooks) {
    kit->mem = mem_create(hooks);
    assert_non_null(kit->mem);
    epoch_init(&kit->epoch);
    kit->record = aligned_alloc(64, (sizeof *kit->record + 63) & ~(size_t)63);
    assert_non_null(kit->record);
    epoch_register(&kit->epoch, kit->record);
    kit->index = index_create(kit->mem, &kit->epoch, 0x5eed);
    assert_non_null(kit->index);
}

/* Every block goes through the counting allocator. One thread. */
static inline void index_kit_open(struct index_kit *kit) {
    memset(kit, 0, sizeof *kit);
    struct mem_hooks hooks = {index_kit_allocate, index_kit_release, &kit->memory};
    index_kit_open_with(kit, &hooks);
}

/* The pool (under sanitizers: the system's allocator). Any threads. */
static inline void index_kit_open_pooled(struct index_kit *kit) {
    memset(kit, 0, sizeof *kit);
    index_kit_open_with(kit, NULL);
}

static inline void index_kit_close(struct index_kit *kit) {
    epoch_unregister(&kit->epoch, kit->record, NULL);
    index_destroy(kit->index);
    assert_int_equal(mem_live_bytes(kit->mem), 0);
    mem_close(kit->mem);
    assert_int_equal(kit->memory.live_blocks, 0);
    free(kit->record);
}

static inline struct entry *index_kit_find(struct index_kit *kit, kh_bytes key) {
    epoch_open(&kit->epoch, kit->record);
    struct entry *entry = index_find(kit->index, key, index_hash(kit->index, key));
    epoch_close(&kit->epoch, kit->record);
    return entry;
}

static inline kh_status index_kit_upsert(struct index_kit *kit, kh_bytes key,
                                         struct entry **out) {
    epoch_open(&kit->epoch, kit->record);
    uint64_t hash = index_hash(kit->index, key);
    kh_error error;
    kh_status status = index_upsert(kit->index, kit->record, NULL, key, hash, out, &error);
    epoch_close(&kit->epoch, kit->record);
    (void)epoch_poll(&kit->epoch, kit->record, NULL);
    return status;
}

static inline bool index_kit_remove(struct index_kit *kit, struct entry *entry) {
    atomic_fetch_or(&entry->flags, ENTRY_DEAD);
    epoch_open(&kit->epoch, kit->record);
    bool is_removed = index_remove(kit->index, kit->record, NULL, entry);
    epoch_close(&kit->epoch, kit->record);
    if (!is_removed) atomic_fetch_and(&entry->flags, (uint16_t)~ENTRY_DEAD);
    (void)epoch_poll(&kit->epoch, kit->record, NULL);
    return is_removed;
}

/* ---- the reference: a sorted array ----------------------------------------------------------- */

static inline int index_kit_compare(kh_bytes a, kh_bytes b) {
    size_t least = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    int order = least == 0 ? 0 : memcmp(a.data, b.data, least);
    return order != 0 ? order : (a.size_bytes > b.size_bytes) - (a.size_bytes < b.size_bytes);
}

struct index_kit_row {
    kh_bytes key; /* owned */
    struct entry *entry;
};

struct index_kit_list {
    struct index_kit_row *rows;
    size_t count, room;
};

/* The first row whose key is not below key. */
static inline size_t index_kit_position(const struct index_kit_list *list, kh_bytes key) {
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (index_kit_compare(list->rows[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static inline struct index_kit_row *index_kit_row(const struct index_kit_list *list,
                                                  kh_bytes key) {
    size_t at = index_kit_position(list, key);
    if (at == list->count || index_kit_compare(list->rows[at].key, key) != 0) return NULL;
    return &list->rows[at];
}

static inline void index_kit_note(struct index_kit_list *list, kh_bytes key,
                                  struct entry *entry) {
    if (list->count == list->room) {
        list->room = list->room == 0 ? 64 : list->room * 2;
        list->rows = realloc(list->rows, list->room * sizeof *list->rows);
        assert_non_null(list->rows);
    }
    size_t at = index_kit_position(list, key);
    memmove(&list->rows[at + 1], &list->rows[at], (list->count - at) * sizeof *list->rows);
    void *copy = malloc(key.size_bytes == 0 ? 1 : key.size_bytes);
    assert_non_null(copy);
    memcpy(copy, key.data, key.size_bytes);
    list->rows[at] = (struct index_kit_row){{copy, key.size_bytes}, entry};
    list->count++;
}

static inline void index_kit_forget(struct index_kit_list *list, size_t at) {
    free((void *)(uintptr_t)list->rows[at].key.data);
    list->count--;
    memmove(&list->rows[at], &list->rows[at + 1], (list->count - at) * sizeof *list->rows);
}

static inline void index_kit_list_free(struct index_kit_list *list) {
    for (size_t i = 0; i < list->count; i++) free((void *)(uintptr_t)list->rows[i].key.data);
    free(list->rows);
    *list = (struct index_kit_list){NULL, 0, 0};
}

/* ---- random numbers and keys ----------------------------------------------------------------- */

static inline uint64_t index_kit_random(uint64_t *state) {
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

enum { INDEX_KIT_KEY_ROOM = 512, INDEX_KIT_SHAPES = 7 };

/* A key of one of the shapes into bytes (INDEX_KIT_KEY_ROOM); its length. */
static inline size_t index_kit_key(unsigned char *bytes, unsigned shape, uint64_t *state) {
    uint64_t random = index_kit_random(state);
    size_t size;
    switch (shape) {
    case 0: /* nothing but the two extreme bytes */
        size = 1 + random % 8;
        for (size_t i = 0; i < size; i++) bytes[i] = (random >> (8 + i) & 1) != 0 ? 0xff : 0;
        return size;
    case 1: /* each the prefix of the next, with a branch here and there */
        size = 1 + random % 200;
        memset(bytes, 'a', size);
        if ((random >> 32) % 4 == 0) bytes[size - 1] = (unsigned char)(random >> 40);
        return size;
    case 2:
        for (size_t i = 0; i < 4; i++) bytes[i] = (unsigned char)(random >> (8 * i));
        return 4;
    case 3:
        return (size_t)snprintf((char *)bytes, INDEX_KIT_KEY_ROOM, "user%08u",
                                (unsigned)(random % 20000));
    case 4: /* a long common prefix, then wide nodes */
        memset(bytes, 'p', 300);
        bytes[300] = (unsigned char)(random % 3);
        bytes[301] = (unsigned char)(random >> 8);
        return 302;
    case 5: /* wide over sparse, with keys that end in the middle */
        bytes[0] = (unsigned char)random;
        bytes[1] = (unsigned char)(random >> 8 & 0xf1);
        bytes[2] = (unsigned char)(random >> 16 & 0x0f);
        return 1 + (random >> 32) % 3;
    default: /* skipped bytes at several depths */
        size = 4 + random % 40;
        memset(bytes, 0, size);
        bytes[size / 3] = (unsigned char)(random >> 16 & 3);
        bytes[size / 2] = (unsigned char)(random >> 24 & 3);
        bytes[size - 1] = (unsigned char)(random >> 32 & 7);
        return size;
    }
}

#endif
