/* index.h - one ordered concurrent index: key -> entry.
 *
 * An adaptive radix tree with optimistic lock coupling (Leis et al., ICDE 2013; Leis et al., DaMoN
 * 2016) keeps the order; a lossy, seeded hash front answers most point reads (a miss asks the
 * tree). KH_HASH_FRONT=0 builds without the front: every test must pass so.
 * Where things are: art.h the tree's rules (art*.c finding, changing, scanning), node.h one node,
 * guard.h its version lock, front.h the front and why it never holds a freed entry, grave.h what
 * is retired. Measured with bench/index_bench.c, keys of 24 bytes, callgrind: a hit in the front
 * costs 108 instructions with hashing (121 on average, with the 3 % that the tree answers); at 1M
 * keys the front takes 11 bytes a key, the tree 12 (dense keys) to 20 (random digits).
 * Point lookups and scans: no lock, no allocation, no shared write. All calls except create and
 * destroy are made inside an epoch section of the caller's record. Keys are 1 to 65,535 arbitrary
 * bytes, ordered by memcmp, a proper prefix first; one key may be the prefix of another. */
#ifndef KHONSU_STORE_INDEX_H
#define KHONSU_STORE_INDEX_H

#include "base/hash.h"
#include "store/art.h"

struct index {
    struct front front;
    struct art art;
    struct hash_secret secret;
};

/* NULL: no memory. */
struct index *index_create(struct mem *mem, struct epoch *epoch, uint64_t seed);
/* Frees the index and its entries (their chains are the caller's and already empty or freed). No
 * other thread uses it; what was retired before is freed by the records that retired it. */
void index_destroy(struct index *index);

/* The hash that find and upsert take: index_hash(index, key). */
static inline uint64_t index_hash(const struct index *index, kh_bytes key) {
    return hash_keyed(&index->secret, key.data, key.size_bytes);
}

struct entry *index_find_slow(const struct index *index, kh_bytes key, uint64_t hash);

/* The entry of key, or NULL. It may be flagged ENTRY_DEAD when it is being removed. */
__attribute__((always_inline)) static inline struct entry *
index_find_inline(const struct index *index, kh_bytes key, uint64_t hash) {
    struct entry *entry = front_find(&index->front, key, hash);
    return KH_LIKELY(entry != NULL) ? entry : index_find_slow(index, key, hash);
}
struct entry *index_find(const struct index *index, kh_bytes key, uint64_t hash);

/* Bring the hash front's line of that key into the cache. */
static inline void index_prefetch(const struct index *index, uint64_t hash) {
    front_prefetch(&index->front, hash);
}

/* The entry of key, made (head NULL, flags 0) when there is none. Several threads at once; exactly
 * one entry per key results. An entry found while it is being removed is returned as it is, flagged
 * ENTRY_DEAD. KH_NO_MEMORY changes nothing. */
kh_status index_upsert(struct index *index, struct epoch_record *record, struct mem_cache *cache,
                       kh_bytes key, uint64_t hash, struct entry **out, kh_error *error);

/* Take out an entry that the caller has flagged ENTRY_DEAD; it is retired and freed by epoch.
 * False: no memory for that, the entry stays in the index (still flagged: the caller clears the
 * flag). One thread at a time removes; upserts, finds and scans run beside it. */
bool index_remove(struct index *index, struct epoch_record *record, struct mem_cache *cache,
                  struct entry *entry);

/* Entries in key order from a bound, at most capacity of them: forward, the smallest keys >= bound
 * (> bound when is_exclusive); reverse, the largest keys <= bound (< bound). bound.data NULL: from
 * the end of the key space where that direction starts. Stops at the first key outside prefix (all
 * keys returned start with it; an empty prefix: no limit). Returns the number written; fewer than
 * capacity means that there were no more at the time of the call. Every entry that was in the
 * index during the whole call and lies in the part of the key space covered by the answer is
 * returned; ones inserted or removed meanwhile may be. Cost: one descent and a walk. */
size_t index_scan(const struct index *index, kh_bytes prefix, kh_bytes bound, bool is_exclusive,
                  bool is_reverse, struct entry **out, size_t capacity);

/* Entries in the index (relaxed), and bytes of its nodes and front (entries not included). */
uint64_t index_entry_count(const struct index *index);
uint64_t index_size_bytes(const struct index *index);

#endif
