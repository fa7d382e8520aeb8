/* front.h - the hash front: a lossy table from hash to entry that answers most point reads.
 *
 * A table of cache lines with eight slots each; a slot is an entry's address with 16 bits of the
 * hash above it. An entry is in one of its two lines or, when both were full, in none: the tree
 * has it. Lookups take no lock and write nothing shared.
 *
 * THE DANGER is an entry in the front that has been retired: a later reader would find freed
 * memory. It cannot be, because
 *   1. an entry is put in exactly once, by the upsert that makes it, while that upsert still holds
 *      the guard of the tree node that is to hold it: no remover knows the entry before (or by the
 *      load of an index that no other thread uses yet, load.h). Nobody else puts in what he found
 *      (a reader that misses here and finds in the tree does not);
 *   2. it is copied only from the table before (previous) to its successor (current), under the
 *      lock, and removal clears both of these under the same lock. So once removed, it is in
 *      neither and is not copied again;
 *   3. it may stay in an older table, into which a slow upsert wrote after that table's turn. Who
 *      reads an older table loaded its address while it was current or previous, in an epoch
 *      section that is still open, and began before the removal: the entry, retired after the
 *      removal, is not freed before that section closes.
 *
 * Growth: a table of 3/2 the size is published empty; upserts and removals move the old one's
 * lines over, some at a time, while readers that miss in the new look into the old. Then the old
 * is retired. Failure: without memory for it the front stays as it is (more misses).
 * Built with KH_HASH_FRONT=0 all this is empty and every lookup misses. */
#ifndef KHONSU_STORE_FRONT_H
#define KHONSU_STORE_FRONT_H

#include "base/lock.h"
#include "store/key.h"
#include "store/version.h"

#if !defined(KH_HASH_FRONT)
#define KH_HASH_FRONT 1
#endif

#if KH_HASH_FRONT

enum { FRONT_LINE_SLOTS = 8 };
#define FRONT_TAG_MASK 0xffff000000000000u /* above any address of user space */
#define FRONT_TAG_USED 0x0001000000000000u /* in every tag: an empty slot matches none */

struct front_line {
    _Atomic uint64_t slots[FRONT_LINE_SLOTS];
};

struct front_table {
    struct epoch_entry limbo;
    struct mem *mem;
    uint32_t line_count;
    _Alignas(64) struct front_line lines[];
};

struct front {
    /* Writer: under lock; readers: any, acquire. previous: NULL but while lines are moved. */
    _Atomic(struct front_table *) current;
    _Atomic(struct front_table *) previous;
    _Atomic bool is_resizing;    /* claimed by the thread that starts a resize, until its end */
    _Atomic uint64_t grow_above; /* entries; relaxed hints */
    _Atomic uint64_t shrink_below;
    struct mem *mem;
    struct epoch *epoch;
    char apart[64];   /* removals do not disturb lookups */
    struct lock lock; /* all below, copying, removal */
    uint32_t moved;   /* lines of previous that have been copied */
};

/* False: no memory. */
bool front_init(struct front *front, struct mem *mem, struct epoch *epoch);
/* Its tables; the entries are not touched. No other thread uses it. */
void front_fini(struct front *front);
/* Make an empty front as large as it would have become with entry_count entries in it; it stays so
 * large, however few they are, until front_settle. No other thread uses it yet. False: no memory,
 * it is as it was. */
bool front_reserve(struct front *front, struct mem_cache *cache, uint64_t entry_count);
void front_settle(struct front *front);
/* Put in a new entry that is not in the tree yet, or whose node is still locked (see 1). */
void front_add(struct front *front, struct entry *entry, uint64_t hash);
/* Take an entry out. It must not be retired before, nor put in again. */
void front_remove(struct front *front, struct entry *entry);
/* After entry_count has changed: begin to grow or shrink where that is due, and move some lines of
 * a table on its way out. In an epoch section, no guard held. */
void front_maintain(struct front *front, struct epoch_record *record, struct mem_cache *cache,
                    uint64_t entry_count);
/* Tables only. */
uint64_t front_size_bytes(const struct front *front);

/* The first line of a hash, and the second: the low half decides, which the entry keeps. */
static inline struct front_line *front_line_first(struct front_table *table, uint32_t hash) {
    return &table->lines[(uint64_t)hash * table->line_count >> 32];
}
static inline struct front_line *front_line_second(struct front_table *table, uint32_t hash) {
    return front_line_first(table, hash * 0x9e3779b1u); /* 2^32 over the golden ratio */
}

static inline uint64_t front_tag(uint64_t hash) {
    return (hash & FRONT_TAG_MASK) | FRONT_TAG_USED;
}

/* The first entry in a line with that tag: the one looked for, or another one time in thousands.
 * NULL: none. */
static inline struct entry *front_line_first_match(const struct front_line *line, uint64_t tag) {
#pragma GCC unroll 8
    for (unsigned i = 0; i < FRONT_LINE_SLOTS; i++) {
        uint64_t slot = atomic_load_explicit(&line->slots[i], memory_order_acquire) ^ tag;
        if (slot <= ~FRONT_TAG_MASK) return (struct entry *)(uintptr_t)slot;
    }
    return NULL;
}

/* The usual case of a lookup. In an epoch section. NULL: ask front_find_further. */
__attribute__((always_inline)) static inline struct entry *front_find(const struct front *front,
                                                                      kh_bytes key, uint64_t hash) {
    struct front_table *table = atomic_load_explicit(&front->current, memory_order_acquire);
    struct entry *entry =
        front_line_first_match(front_line_first(table, (uint32_t)hash), front_tag(hash));
    if (KH_LIKELY(entry != NULL && entry->key_bytes == key.size_bytes &&
                  key_is_equal(entry->key, key.data, key.size_bytes)))
        return entry;
    return NULL;
}

/* The whole search: all of both lines, and the previous table. NULL: ask the tree. */
struct entry *front_find_further(const struct front *front, kh_bytes key, uint64_t hash);

static inline void front_prefetch(const struct front *front, uint64_t hash) {
    struct front_table *table = atomic_load_explicit(&front->current, memory_order_acquire);
    __builtin_prefetch(front_line_first(table, (uint32_t)hash));
}

#else

struct front {
    char none; /* C has no empty structs */
};

static inline bool front_init(struct front *front, struct mem *mem, struct epoch *epoch) {
    (void)mem;
    (void)epoch;
    front->none = 0;
    return true;
}
static inline void front_fini(struct front *front) {
    (void)front;
}
static inline bool front_reserve(struct front *front, struct mem_cache *cache,
                                 uint64_t entry_count) {
    (void)front;
    (void)cache;
    (void)entry_count;
    return false;
}
static inline void front_settle(struct front *front) {
    (void)front;
}
static inline void front_add(struct front *front, struct entry *entry, uint64_t hash) {
    (void)front;
    (void)entry;
    (void)hash;
}
static inline void front_remove(struct front *front, struct entry *entry) {
    (void)front;
    (void)entry;
}
static inline void front_maintain(struct front *front, struct epoch_record *record,
                                  struct mem_cache *cache, uint64_t entry_count) {
    (void)front;
    (void)record;
    (void)cache;
    (void)entry_count;
}
static inline uint64_t front_size_bytes(const struct front *front) {
    (void)front;
    return 0;
}
static inline struct entry *front_find(const struct front *front, kh_bytes key, uint64_t hash) {
    (void)front;
    (void)key;
    (void)hash;
    return NULL;
}
static inline struct entry *front_find_further(const struct front *front, kh_bytes key,
                                               uint64_t hash) {
    return front_find(front, key, hash);
}
static inline void front_prefetch(const struct front *front, uint64_t hash) {
    (void)front;
    (void)hash;
}

#endif
#endif
