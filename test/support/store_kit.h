/* store_kit.h - a store without a database around it: keys, versions with chosen stamps, snapshots
 * in chosen slots. For tests of what reads chains: certify, reclaim. One thread. */
#ifndef TEST_SUPPORT_STORE_KIT_H
#define TEST_SUPPORT_STORE_KIT_H

#include "store/store.h"
#include "support/index_kit.h"

enum { STORE_KIT_LINES = 16 };

struct store_kit {
    struct store store;
    struct epoch_record *record;
    struct mem_cache *cache;
    struct mem *mem;
};

static inline void store_kit_open(struct store_kit *kit) {
    memset(kit, 0, sizeof *kit);
    kit->mem = mem_create(NULL);
    assert_non_null(kit->mem);
    kit->cache = mem_cache_create(kit->mem);
    assert_non_null(kit->cache);
    assert_int_equal(store_init(&kit->store, kit->mem, 0x5eed, STORE_KIT_LINES), KH_OK);
    kit->record = aligned_alloc(64, (sizeof *kit->record + 63) & ~(size_t)63);
    assert_non_null(kit->record);
    epoch_register(&kit->store.epoch, kit->record);
    for (uint32_t i = 0; i < STORE_KIT_LINES; i++) snapshot_drop(&kit->store.snapshots.lines[i]);
    atomic_store(&kit->store.snapshots.line_count, STORE_KIT_LINES);
}

static inline void store_kit_close(struct store_kit *kit) {
    epoch_unregister(&kit->store.epoch, kit->record, kit->cache);
    store_fini(&kit->store);
    mem_cache_destroy(kit->cache);
    assert_int_equal(mem_live_bytes(kit->mem), 0);
    mem_close(kit->mem);
    free(kit->record);
}

static inline kh_bytes store_kit_key(const char *text) {
    return (kh_bytes){text, strlen(text)};
}

static inline struct entry *store_kit_entry(struct store_kit *kit, const char *key) {
    struct entry *entry = NULL;
    kh_error error;
    epoch_open(&kit->store.epoch, kit->record);
    uint64_t hash = index_hash(kit->store.index, store_kit_key(key));
    assert_int_equal(index_upsert(kit->store.index, kit->record, NULL, store_kit_key(key), hash,
                                  &entry, &error),
                     KH_OK);
    epoch_close(&kit->store.epoch, kit->record);
    return entry;
}

/* The newest version of the entry: a tombstone, unless batch says otherwise (a reference is moved).
 * Published. */
static inline struct version *store_kit_link(struct store_kit *kit, struct entry *entry,
                                             uint64_t commit, uint64_t spi, uint64_t ps,
                                             kh_batch *batch) {
    struct version *version = version_create(kit->mem, NULL, batch);
    assert_non_null(version);
    version->commit = commit;
    version->stamp.spi = spi;
    version->stamp.ps = ps;
    struct version *newest = entry_head(entry);
    atomic_store(&version->older, newest);
    entry_link(entry, version);
    store_count(&kit->store.versions_live, 1);
    if (newest == NULL) store_count(&kit->store.keys, 1);
    if (commit > kit->store.clock) kit->store.clock = commit;
    atomic_store(&kit->store.visible, kit->store.clock);
    return version;
}

static inline void store_kit_slot(struct store_kit *kit, int line, enum snapshot_slot slot,
                                  uint64_t timestamp) {
    atomic_store(&kit->store.snapshots.lines[line].slots[slot], timestamp);
}

#endif
