/* metric.c - reading histograms, and the table of hot keys.
 *
 * Invariant of the table: the first used_count entries are in use and their keys differ. A note
 * looks at every entry: 32 compares of a hash, in the path of a conflict, which costs a whole
 * transaction anyway. Nothing here can fail. */
#include "base/metric.h"

#include "base/hash.h"
#include <string.h>

_Static_assert(LIMIT_HOT_KEYS == KH_HOT_KEYS, "the table fills kh_stats.hot_keys");

void histogram_read(const struct histogram *histogram, kh_histogram *total) {
    for (int i = 0; i < KH_HISTOGRAM_BUCKETS; i++) {
        uint64_t count = atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        total->buckets[i] += count;
        total->count += count;
    }
    total->sum_ns += atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed);
}

void hot_keys_init(struct hot_keys *table, uint64_t seed) {
    memset(table, 0, sizeof *table);
    table->seed = seed;
    lock_init(&table->lock, RANK_METRIC);
}

void hot_keys_fini(struct hot_keys *table) {
    lock_fini(&table->lock);
}

/* The entry of the key, else a fresh one, else the least one. Lock held. */
static struct hot_key *find_entry(struct hot_keys *table, uint64_t hash, uint32_t key_bytes) {
    struct hot_key *least = &table->keys[0];
    for (uint32_t i = 0; i < table->used_count; i++) {
        struct hot_key *entry = &table->keys[i];
        if (entry->hash == hash && entry->key_bytes == key_bytes) return entry;
        if (entry->count < least->count) least = entry;
    }
    return table->used_count < LIMIT_HOT_KEYS ? &table->keys[table->used_count] : least;
}

void hot_keys_note(struct hot_keys *table, kh_bytes key) {
    uint64_t hash = hash_bytes(key.data, key.size_bytes, table->seed);
    uint32_t key_bytes = (uint32_t)key.size_bytes;
    lock_take(&table->lock);
    struct hot_key *entry = find_entry(table, hash, key_bytes);
    bool is_fresh = entry == &table->keys[table->used_count];
    if (is_fresh) table->used_count++;
    if (is_fresh || entry->hash != hash || entry->key_bytes != key_bytes) {
        entry->hash = hash;
        entry->key_bytes = key_bytes;
        size_t kept = key.size_bytes < sizeof entry->key ? key.size_bytes : sizeof entry->key;
        memset(entry->key, 0, sizeof entry->key);
        if (kept > 0) memcpy(entry->key, key.data, kept);
    }
    entry->count++;
    lock_leave(&table->lock);
}

uint32_t hot_keys_list(struct hot_keys *table, kh_hot_key *out) {
    lock_take(&table->lock);
    uint32_t count = table->used_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct hot_key *entry = &table->keys[i];
        uint32_t at = i;
        for (; at > 0 && out[at - 1].conflicts < entry->count; at--) out[at] = out[at - 1];
        memcpy(out[at].key, entry->key, sizeof entry->key);
        out[at].key_bytes = entry->key_bytes;
        out[at].conflicts = entry->count;
    }
    lock_leave(&table->lock);
    return count;
}
