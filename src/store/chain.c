/* chain.c - making, finding and freeing versions. */
#include "store/store.h"

struct version *version_create_apart(struct mem *mem, struct mem_cache *cache,
                                     const kh_batch *batch) {
    struct version *version = mem_alloc(mem, cache, sizeof *version);
    if (version == NULL) return NULL;
    version_init(version, (uintptr_t)batch | VERSION_APART);
    return version;
}

void version_discard(struct mem *mem, struct mem_cache *cache, struct version *version) {
    if (version == NULL) return;
    kh_batch *batch = version_is_cold(version) ? NULL : (kh_batch *)version_batch(version);
    if (!version_is_in_batch(version)) mem_free(mem, cache, version, sizeof *version);
    batch_release(batch, cache);
}

struct version *chain_next_after(const struct entry *entry, uint64_t timestamp) {
    struct version *next = NULL;
    struct version *version = entry_head(entry);
    while (version != NULL && version->commit > timestamp) {
        next = version;
        version = atomic_load_explicit(&version->older, memory_order_acquire);
    }
    return next;
}
