/* node.h - one inner node of the adaptive radix tree (Leis, Kemper, Neumann, ICDE 2013).
 *
 * A node branches at a fixed depth: all keys under it share their first `depth` bytes, and byte
 * number `depth` chooses the slot; the one key that is no longer than that is in the end slot.
 * Depth and shared bytes never change while the node lives (path compression stores no bytes and
 * no lengths relative to a parent). Therefore
 *   - putting a node above or taking one away from above another touches only the parent's slot;
 *   - any leaf under a node, however reached, shows the bytes that the node has skipped.
 *
 * Slots are dense and in key order, the end slot first, whatever the node's size: a scan walks an
 * array. Which bytes they belong to is said, by kind, in the head word (up to 4 keys), in one or
 * two words of sorted keys (up to 16), or in a bitmap of 256 bits with the ranks of its words in
 * the head. More sizes than the paper's four: an index of short digits or sparse random bytes is
 * half the size. A node has at least two used slots, else its parent points past it.
 *
 * Invariants: kind and depth are immutable; other words change under the guard, with release
 * stores; `used` never exceeds the kind's capacity, so that a reader that meets any mixture of old
 * and new words stays inside the node, and a slot below `used` of any head held a live child while
 * that head was current. */
#ifndef KHONSU_STORE_NODE_H
#define KHONSU_STORE_NODE_H

#include "base/mem.h"
#include "store/guard.h"
#include "store/version.h"

enum node_kind {
    NODE_2,
    NODE_4, /* to here: keys in the head */
    NODE_7, /* to here: keys in one word */
    NODE_10,
    NODE_16, /* to here: keys in two words; then bitmaps */
    NODE_24,
    NODE_32,
    NODE_48,
    NODE_82,
    NODE_130,
    NODE_257,
    NODE_KINDS
};

struct node_shape {
    uint16_t capacity;  /* slots, the end slot included */
    uint16_t key_words; /* words before the first slot */
    uint32_t size_bytes;
};
extern const struct node_shape node_shapes[NODE_KINDS];

struct node {
    struct guard guard;
    /* Bits 0-3 kind, 4 has an end slot, 5-13 used slots, 16-31 depth, 32-63 keys (to NODE_4) or
     * the number of keys before words 1, 2 and 3 of the bitmap (from NODE_24). */
    _Atomic uint64_t head;
    _Atomic uint64_t words[]; /* keys or bitmap, then slots */
};

/* What a slot holds: 0, a node, or an entry with the low bit set. */
typedef uint64_t node_child;
typedef _Atomic uint64_t node_slot;

enum { NODE_EDGE_END = -1 }; /* else an edge is a byte */
enum { NODE_HEAD_END = 1 << 4, NODE_HEAD_USED = 1 << 5 };

static inline unsigned node_head_kind(uint64_t head) {
    return (unsigned)head & 15;
}
static inline unsigned node_head_has_end(uint64_t head) {
    return (unsigned)head >> 4 & 1;
}
static inline unsigned node_head_used(uint64_t head) {
    return (unsigned)head >> 5 & 0x1ff;
}
static inline size_t node_head_depth(uint64_t head) {
    return (uint32_t)head >> 16;
}
static inline uint64_t node_head(const struct node *node) {
    return atomic_load_explicit(&node->head, memory_order_acquire);
}

static inline bool node_child_is_entry(node_child child) {
    return (child & 1) != 0;
}
static inline struct entry *node_child_entry(node_child child) {
    return (struct entry *)(uintptr_t)(child - 1);
}
static inline struct node *node_child_node(node_child child) {
    return (struct node *)(uintptr_t)child;
}
static inline node_child node_child_of_entry(const struct entry *entry) {
    return (node_child)(uintptr_t)entry + 1;
}
static inline node_child node_child_of_node(const struct node *node) {
    return (node_child)(uintptr_t)node;
}
static inline node_child node_slot_load(const node_slot *slot) {
    return atomic_load_explicit(slot, memory_order_acquire);
}
static inline void node_slot_store(node_slot *slot, node_child child) {
    atomic_store_explicit(slot, child, memory_order_release);
}
static inline node_slot *node_slots(const struct node *node, uint64_t head) {
    node_slot *words = ((struct node *)(uintptr_t)node)->words;
    return words + node_shapes[node_head_kind(head)].key_words;
}

/* The high bit of each byte of word that is 0; exact for the lowest such byte, which is the one
 * that counts: keys are sorted and what follows them is stale. */
static inline uint64_t node_zero_bytes(uint64_t word) {
    return (word - 0x0101010101010101u) & ~word & 0x8080808080808080u;
}

/* Keys before a byte, in a bitmap node. */
static inline unsigned node_bitmap_rank(uint64_t head, uint64_t word, unsigned byte) {
    uint64_t ranks = head >> 32 << 8; /* none before word 0 */
    unsigned before = (unsigned)(ranks >> (byte / 64 * 8)) & 0xff;
    uint64_t below = word & (((uint64_t)1 << (byte % 64)) - 1);
    return before + (unsigned)__builtin_popcountll(below);
}

/* The slot of a byte, or NULL. head was loaded from node. */
static inline node_slot *node_find(struct node *node, uint64_t head, unsigned byte) {
    unsigned kind = node_head_kind(head);
    unsigned index = node_head_has_end(head);
    node_slot *slots = node->words;
    if (kind <= NODE_4) {
        uint32_t keys = (uint32_t)(head >> 32) ^ (byte * 0x01010101u);
        uint32_t match = (keys - 0x01010101u) & ~keys & 0x80808080u;
        if (match == 0) return NULL;
        index += (unsigned)__builtin_ctz(match) / 8;
    } else if (kind <= NODE_16) {
        uint64_t pattern = byte * 0x0101010101010101u;
        uint64_t match = node_zero_bytes(node_slot_load(slots++) ^ pattern);
        if (kind > NODE_7) {
            if (match == 0) {
                match = node_zero_bytes(node_slot_load(slots) ^ pattern);
                index += 8;
            }
            slots++;
        }
        if (match == 0) return NULL;
        index += (unsigned)__builtin_ctzll(match) / 8;
    } else {
        uint64_t word = node_slot_load(&slots[byte / 64]);
        if ((word >> (byte % 64) & 1) == 0) return NULL;
        index += node_bitmap_rank(head, word, byte);
        slots += 4;
    }
    return KH_LIKELY(index < node_head_used(head)) ? slots + index : NULL;
}

/* How many slots come before a byte's (the end slot included), whether it has one or not. */
unsigned node_rank(const struct node *node, uint64_t head, unsigned byte);

/* A node without slots. NULL: no memory. */
struct node *node_create(struct mem *mem, struct mem_cache *cache, unsigned kind, size_t depth);
void node_free(struct mem *mem, struct mem_cache *cache, struct node *node);
static inline size_t node_size_bytes(const struct node *node) {
    return node_shapes[node_head_kind(node_head(node))].size_bytes;
}

/* The caller holds the guard, or the node is not published. */
/* Edges in rising order into a node that has room. */
void node_append(struct node *node, int edge, node_child child);
/* All slots of a node into an empty one with room for them. */
void node_append_all(struct node *node, const struct node *from);
/* A new edge into a node that has room. */
void node_add(struct node *node, int edge, node_child child);
/* Take out an edge that is there. */
void node_remove(struct node *node, int edge);

static inline bool node_is_full(uint64_t head) {
    return node_head_used(head) == node_shapes[node_head_kind(head)].capacity;
}
/* Whether a node with that many slots should make way for one of the next smaller kind. A quarter
 * is left free there, so that a key that comes and goes does not copy nodes back and forth. */
static inline bool node_is_sparse(unsigned kind, unsigned used) {
    return kind > NODE_4 && used <= node_shapes[kind - 1].capacity * 3u / 4;
}

/* Some entry under a node: it shows the bytes that the node's keys share. In an epoch section; no
 * version check is needed (see above). */
static inline const struct entry *node_sample(const struct node *node) {
    for (;;) {
        node_child child = node_slot_load(node_slots(node, node_head(node)));
        if (node_child_is_entry(child)) return node_child_entry(child);
        node = node_child_node(child);
    }
}

#endif
