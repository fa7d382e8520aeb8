/* load.h - filling an empty index with keys that come in order, as a storage gives them at open.
 *
 * The tree is built from the left to the right: each node when its last child is known, in the size
 * that it needs, so that nothing grows, nothing is retired and nothing is looked up. Open are the
 * nodes on the way to the newest key; what they have so far lies on one stack, the deeper node's
 * children above those of its parent. The front is filled at the end, at the size that the count of
 * entries asks for, so that it does not grow either. What results is what index_upsert of the same
 * keys makes, node for node (load_test.c), and hidden from index_find and index_scan until then.
 *
 * One thread, and no other uses the index. Failure: KH_NO_MEMORY; the load can only be abandoned
 * then (store_abandon_load): its parts are trees, but not one tree. */
#ifndef KHONSU_STORE_LOAD_H
#define KHONSU_STORE_LOAD_H

#include "store/index.h"

struct load_child { /* of an open node */
    node_child child;
    int32_t edge;
};

struct load_node { /* an open node: at least one child, and the newest key is below it */
    uint32_t depth;
    uint32_t first; /* its first child on the stack */
};

struct index_load {
    struct index *index;
    struct mem_cache *cache;
    struct entry *newest; /* NULL: none yet */
    node_child pending;   /* the newest key, or the closed node it is below: of no node yet */
    struct load_child *children;
    size_t child_count;
    size_t child_room;
    struct load_node *nodes;
    size_t node_count;
    size_t node_room;
    uint64_t entry_count;
};

void index_load_begin(struct index_load *load, struct index *index, struct mem_cache *cache);
/* The entry of a key that is not below the newest: that one's again, or a new one. KH_CORRUPT: the
 * key is below it; KH_NO_MEMORY. */
kh_status index_load_entry(struct index_load *load, kh_bytes key, struct entry **out,
                           kh_error *error);
/* The index has all of it, and the load is over; the front has room for so many more entries,
 * which are expected soon: index_load_settle ends that. KH_NO_MEMORY: abandon it. */
kh_status index_load_end(struct index_load *load, uint64_t expected, kh_error *error);
/* The entries that were expected have come, or will not. No other thread uses the index yet. */
void index_load_settle(struct index *index);
/* Let the index show a part that it does not have yet, in the place of all that it shows; false:
 * there is no more, the index is empty and the load is over. For store_abandon_load. */
bool index_load_show_part(struct index_load *load);

#endif
