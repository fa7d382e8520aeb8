/* grave.h - retiring what a removal or a replaced node leaves behind.
 *
 * Readers may still look at a dead entry or node, so nothing in it can be overwritten to queue it:
 * the queue's link lies in a block of its own, had before the first irrevocable step. */
#ifndef KHONSU_STORE_GRAVE_H
#define KHONSU_STORE_GRAVE_H

#include "store/node.h"

struct grave;

/* NULL: no memory. */
struct grave *grave_create(struct mem *mem, struct mem_cache *cache);
/* One that is not needed. NULL allowed. */
void grave_free(struct mem_cache *cache, struct grave *grave);
/* Free node and entry (either NULL) when no open section can reach them. */
void grave_bury(struct grave *grave, struct epoch *epoch, struct epoch_record *record,
                struct node *node, struct entry *entry);

static inline size_t grave_entry_size(size_t key_bytes) {
    return sizeof(struct entry) + key_bytes;
}

#endif
