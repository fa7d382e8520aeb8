/* release.h - the end of most stored values without a call: a packed batch whose last reference
 * goes back to the cache of the context that it came from. */
#ifndef KHONSU_BATCH_RELEASE_H
#define KHONSU_BATCH_RELEASE_H

#include "base/mem_small.h"
#include "batch/batch.h"
#include "batch/schema_body.h"

/* cache: not NULL. */
static inline void batch_release_stored(kh_batch *batch, struct mem_cache *cache) {
    /* Nobody else has a reference, and nobody can get one: no atomic change is needed. */
    if (KH_LIKELY(batch->is_simple && batch->schema->mem == cache->mem &&
                  atomic_load_explicit(&batch->refs, memory_order_acquire) == 1)) {
        mem_free_small(cache->mem, cache, (unsigned char *)batch - BATCH_HEADROOM,
                       batch->block_bytes);
    } else {
        batch_release(batch, cache);
    }
}

#endif
