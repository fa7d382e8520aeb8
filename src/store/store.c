/* store.c - the store's life, from open to close. */
#include "store/store.h"

#include "base/status.h"
#include <string.h>

kh_status store_init(struct store *store, struct mem *mem, uint64_t seed, uint32_t lines_max) {
    enum { LINES_LEAST = 16 }; /* from 1 KiB on blocks are aligned to cache lines */
    if (lines_max < LINES_LEAST) lines_max = LINES_LEAST;
    memset(store, 0, sizeof *store);
    store->mem = mem;
    epoch_init(&store->epoch);
    atomic_init(&store->visible, 1); /* 0 is "before everything": no version, no snapshot has it */
    store->clock = 1;
    store->parked_until = SNAPSHOT_NONE;
    store->snapshots.lines_max = lines_max;
    size_t lines_bytes = lines_max * sizeof(struct snapshot_line);
    store->snapshots.lines = mem_own_alloc(mem, lines_bytes);
    size_t buffer_bytes = lines_max * SLOT_COUNT * sizeof(uint64_t);
    store->snapshot_buffer = mem_own_alloc(mem, buffer_bytes);
    store->index = index_create(mem, &store->epoch, seed);
    if (store->snapshots.lines == NULL || store->snapshot_buffer == NULL || store->index == NULL) {
        store_fini(store);
        return KH_NO_MEMORY;
    }
    return KH_OK;
}

static void free_chain(struct store *store, struct entry *entry) {
    struct version *version = entry_head(entry);
    while (version != NULL) {
        struct version *older = atomic_load_explicit(&version->older, memory_order_relaxed);
        version_discard(store->mem, NULL, version);
        version = older;
    }
    entry_set_head(entry, NULL);
}

static void free_all_chains(struct store *store) {
    enum { BATCH = 256 };
    struct entry *entries[BATCH];
    kh_bytes bound = {NULL, 0};
    size_t count;
    do {
        count = index_scan(store->index, (kh_bytes){NULL, 0}, bound, true, false, entries, BATCH);
        for (size_t i = 0; i < count; i++) free_chain(store, entries[i]);
        if (count > 0) bound = entry_key(entries[count - 1]);
    } while (count == BATCH);
}

void store_abandon_load(struct store *store, struct index_load *load) {
    while (index_load_show_part(load)) {
        free_all_chains(store);
        art_fini(&store->index->art);
    }
}

void store_fini(struct store *store) {
    if (store->index != NULL) {
        free_all_chains(store);
        index_destroy(store->index);
    }
    mem_free(store->mem, NULL, store->queue.ring,
             store->queue.capacity * sizeof *store->queue.ring);
    mem_free(store->mem, NULL, store->parked.ring,
             store->parked.capacity * sizeof *store->parked.ring);
    uint32_t lines_max = store->snapshots.lines_max;
    mem_own_free(store->mem, store->snapshots.lines, lines_max * sizeof(struct snapshot_line));
    mem_own_free(store->mem, store->snapshot_buffer, lines_max * SLOT_COUNT * sizeof(uint64_t));
}
