/* art.c - finding in the tree, the descent that changes share, and its end. */
#include "store/art.h"

#include "store/grave.h"

void art_init(struct art *art, struct mem *mem, struct epoch *epoch, struct front *front) {
    art->mem = mem;
    art->epoch = epoch;
    art->front = front;
    atomic_init(&art->guard.word, 0);
    atomic_init(&art->root, 0);
    atomic_init(&art->entry_count, 0);
    atomic_init(&art->node_bytes, 0);
}

/* Keys of 65,535 bytes make paths of 65,535 nodes: no recursion. On the way down a node's guard
 * holds the way back; children are taken from the last slot on. */
void art_fini(struct art *art) {
    node_child child = node_slot_load(&art->root);
    struct node *parent = NULL;
    while (child != 0 || parent != NULL) {
        if (child == 0) {
            uint64_t head = node_head(parent);
            unsigned used = node_head_used(head);
            if (used > 0) {
                child = node_slot_load(&node_slots(parent, head)[used - 1]);
                atomic_store_explicit(&parent->head, head - NODE_HEAD_USED, memory_order_relaxed);
            } else {
                struct node *done = parent;
                parent =
                    node_child_node(atomic_load_explicit(&done->guard.word, memory_order_relaxed));
                node_free(art->mem, NULL, done);
            }
        } else if (node_child_is_entry(child)) {
            struct entry *entry = node_child_entry(child);
            mem_free(art->mem, NULL, entry, grave_entry_size(entry->key_bytes));
            child = 0;
        } else {
            struct node *node = node_child_node(child);
            atomic_store_explicit(&node->guard.word, node_child_of_node(parent),
                                  memory_order_relaxed);
            parent = node;
            child = 0;
        }
    }
}

/* The slot that leads on from a node towards key, or NULL. */
static inline node_slot *slot_towards(struct node *node, uint64_t head, kh_bytes key) {
    size_t depth = node_head_depth(head);
    if (KH_LIKELY(depth < key.size_bytes))
        return node_find(node, head, ((const unsigned char *)key.data)[depth]);
    return depth == key.size_bytes && node_head_has_end(head) ? node_slots(node, head) : NULL;
}

struct entry *art_find(const struct art *art, kh_bytes key) {
    for (;;) {
        const struct guard *guard = &art->guard;
        const node_slot *slot = &art->root;
        uint64_t version;
        if (!guard_enter(guard, &version)) continue;
        for (;;) {
            node_child child = slot == NULL ? 0 : node_slot_load(slot);
            if (!guard_holds(guard, version)) break;
            if (child == 0) return NULL;
            if (node_child_is_entry(child)) {
                struct entry *entry = node_child_entry(child);
                bool is_it = entry->key_bytes == key.size_bytes &&
                             key_is_equal(entry->key, key.data, key.size_bytes);
                return is_it ? entry : NULL;
            }
            struct node *node = node_child_node(child);
            guard = &node->guard;
            if (!guard_enter(guard, &version)) break;
            slot = slot_towards(node, node_head(node), key);
        }
    }
}

bool art_descend(struct art *art, kh_bytes key, size_t limit, struct art_place *place) {
    struct art_link *lower = &place->lower;
    *lower = (struct art_link){&art->guard, 0, &art->root, NULL, -1, NODE_EDGE_END};
    if (!guard_enter(lower->guard, &lower->version)) return false;
    for (;;) {
        place->child = node_slot_load(lower->slot);
        if (!guard_holds(lower->guard, lower->version)) return false;
        if (place->child == 0 || node_child_is_entry(place->child)) return true;
        struct node *node = node_child_node(place->child);
        if (!guard_enter(&node->guard, &place->version)) return false;
        place->head = node_head(node);
        size_t depth = node_head_depth(place->head);
        node_slot *slot = depth > limit ? NULL : slot_towards(node, place->head, key);
        if (slot == NULL) return guard_holds(&node->guard, place->version);
        bool is_end = depth == key.size_bytes;
        int edge = is_end ? NODE_EDGE_END : ((const unsigned char *)key.data)[depth];
        place->upper = *lower;
        *lower = (struct art_link){&node->guard, place->version, slot, node, (int32_t)depth, edge};
    }
}
