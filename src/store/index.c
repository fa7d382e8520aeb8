/* index.c - the index: the tree has every entry, the front answers most point reads.
 * What may be in the front, and when, is argued in front.h; how the tree is changed in art.h. */
#include "store/index.h"

#include "base/limits.h"

struct index *index_create(struct mem *mem, struct epoch *epoch, uint64_t seed) {
    struct index *index = mem_alloc(mem, NULL, sizeof *index);
    if (index == NULL) return NULL;
    if (!front_init(&index->front, mem, epoch)) {
        mem_free(mem, NULL, index, sizeof *index);
        return NULL;
    }
    art_init(&index->art, mem, epoch, &index->front);
    hash_secret_init(&index->secret, seed);
    return index;
}

void index_destroy(struct index *index) {
    if (index == NULL) return;
    struct mem *mem = index->art.mem;
    art_fini(&index->art);
    front_fini(&index->front);
    mem_free(mem, NULL, index, sizeof *index);
}

/* The rest of the front, then the tree. */
struct entry *index_find_slow(const struct index *index, kh_bytes key, uint64_t hash) {
    struct entry *entry = front_find_further(&index->front, key, hash);
    return entry != NULL ? entry : art_find(&index->art, key);
}

struct entry *index_find(const struct index *index, kh_bytes key, uint64_t hash) {
    return index_find_inline(index, key, hash);
}

kh_status index_upsert(struct index *index, struct epoch_record *record, struct mem_cache *cache,
                       kh_bytes key, uint64_t hash, struct entry **out, kh_error *error) {
    kh_assert(key.size_bytes > 0 && key.size_bytes <= LIMIT_KEY_BYTES);
    struct entry *entry = front_find(&index->front, key, hash);
    if (entry != NULL) {
        *out = entry;
        return KH_OK;
    }
    /* Not the rest of the front: who comes here mostly makes a new entry. */
    bool is_new;
    kh_status status = art_insert(&index->art, record, cache, key, hash, &entry, &is_new, error);
    if (status != KH_OK) return status;
    if (is_new) {
        uint64_t count =
            1 + atomic_fetch_add_explicit(&index->art.entry_count, 1, memory_order_relaxed);
        front_maintain(&index->front, record, cache, count);
    }
    *out = entry;
    return KH_OK;
}

bool index_remove(struct index *index, struct epoch_record *record, struct mem_cache *cache,
                  struct entry *entry) {
    kh_assert_slow((atomic_load_explicit(&entry->flags, memory_order_relaxed) & ENTRY_DEAD) != 0);
    if (!art_remove(&index->art, record, cache, entry)) return false;
    uint64_t count =
        atomic_fetch_sub_explicit(&index->art.entry_count, 1, memory_order_relaxed) - 1;
    front_maintain(&index->front, record, cache, count);
    return true;
}

size_t index_scan(const struct index *index, kh_bytes prefix, kh_bytes bound, bool is_exclusive,
                  bool is_reverse, struct entry **out, size_t capacity) {
    return art_scan(&index->art, prefix, bound, is_exclusive, is_reverse, out, capacity);
}

uint64_t index_entry_count(const struct index *index) {
    return atomic_load_explicit(&index->art.entry_count, memory_order_relaxed);
}

uint64_t index_size_bytes(const struct index *index) {
    return sizeof *index + front_size_bytes(&index->front) +
           atomic_load_explicit(&index->art.node_bytes, memory_order_relaxed);
}
