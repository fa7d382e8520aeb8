/* art.h - the adaptive radix tree: every entry, in key order (Leis et al. 2013 and 2016).
 *
 * Descending: note a node's version, load the child, check the version, go on with the child. One
 * check a level is enough: children stay readable in an epoch section whatever happens to their
 * parent, a node's depth and shared bytes never change (node.h), and a node that has left the tree
 * says so in its guard. A descent looks at branching bytes only; the entry at its end shows whether
 * the bytes in between agree, in one comparison.
 *
 * Changing: locked at the version that was read, parent first. What is allocated is allocated
 * before; a lock that fails or a version that has moved starts the call again from the root.
 *     add        room in the node: the node
 *     grow       no room: parent and node; a larger copy takes its place, the node is retired
 *     split      the key leaves the path above a child: the parent; a node of two takes the slot
 *     remove     more than two slots: the node; a sparse one is replaced by a smaller copy
 *     merge      two slots: parent and node; the other child takes the node's place
 * Failure: no memory; nothing has changed then. */
#ifndef KHONSU_STORE_ART_H
#define KHONSU_STORE_ART_H

#include "store/front.h"
#include "store/node.h"

struct art {
    struct mem *mem;
    struct epoch *epoch;
    struct front *front; /* told of each new entry before its node is unlocked (front.h) */
    struct guard guard;  /* of root */
    node_slot root;
    char apart[64];               /* inserts do not disturb lookups */
    _Atomic uint64_t entry_count; /* relaxed */
    _Atomic uint64_t node_bytes;  /* relaxed */
};

/* One slot on a path: where it is, and under which version of what guard it was read. */
struct art_link {
    struct guard *guard;
    uint64_t version;
    node_slot *slot;
    struct node *node; /* that the slot is in; NULL: the root's slot */
    int32_t depth;     /* of node, -1 for the root's slot */
    int32_t edge;      /* of slot in node */
};

/* Where a descent ended. */
struct art_place {
    struct art_link upper; /* the slot that leads to lower.node (unset at the root's slot) */
    struct art_link lower; /* the slot that holds child */
    node_child child;      /* 0 (empty tree), the entry met, or the node at which no slot fits */
    uint64_t version;      /* of the node, and its head under that version */
    uint64_t head;
};

/* Follow key to an entry or to the first node that has no slot for it, or whose depth is above
 * limit (at most the key's size). False: a version has moved, try again. */
bool art_descend(struct art *art, kh_bytes key, size_t limit, struct art_place *place);

struct entry *art_find(const struct art *art, kh_bytes key);
/* See index_upsert and index_remove. *is_new tells whether the entry was made. */
kh_status art_insert(struct art *art, struct epoch_record *record, struct mem_cache *cache,
                     kh_bytes key, uint64_t hash, struct entry **out, bool *is_new,
                     kh_error *error);
bool art_remove(struct art *art, struct epoch_record *record, struct mem_cache *cache,
                struct entry *entry);
/* See index_scan. */
size_t art_scan(const struct art *art, kh_bytes prefix, kh_bytes bound, bool is_exclusive,
                bool is_reverse, struct entry **out, size_t capacity);

void art_init(struct art *art, struct mem *mem, struct epoch *epoch, struct front *front);
/* Frees nodes and entries. No other thread uses it. */
void art_fini(struct art *art);

static inline void art_count_node(struct art *art, const struct node *node, bool is_gone) {
    uint64_t size = node_size_bytes(node);
    atomic_fetch_add_explicit(&art->node_bytes, is_gone ? 0 - size : size, memory_order_relaxed);
}

#endif
