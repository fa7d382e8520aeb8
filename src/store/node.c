/* node.c - changing inner nodes: appending, inserting and removing slots.
 *
 * Everything here runs under the node's guard or before the node is published; readers look on and
 * throw away what they saw. Each word is therefore stored once and whole, with release (guard.h).
 * Nothing here fails but node_create. */
#include "store/node.h"

#define SHAPE(capacity, key_words)                                                                 \
    { capacity, key_words, sizeof(struct node) + ((key_words) + (capacity)) * sizeof(uint64_t) }

const struct node_shape node_shapes[NODE_KINDS] = {
    [NODE_2] = SHAPE(2, 0),     [NODE_4] = SHAPE(4, 0),     [NODE_7] = SHAPE(7, 1),
    [NODE_10] = SHAPE(10, 2),   [NODE_16] = SHAPE(16, 2),   [NODE_24] = SHAPE(24, 4),
    [NODE_32] = SHAPE(32, 4),   [NODE_48] = SHAPE(48, 4),   [NODE_82] = SHAPE(82, 4),
    [NODE_130] = SHAPE(130, 4), [NODE_257] = SHAPE(257, 4),
};

/* A word with a byte put in at, or taken out from, position 0 to 7; what falls out at the top is
 * lost, what comes in is 0. */
static uint64_t byte_put(uint64_t word, unsigned position, unsigned byte) {
    uint64_t low = ((uint64_t)1 << (position * 8)) - 1;
    return (word & low) | (uint64_t)byte << (position * 8) | (word & ~low) << 8;
}

static uint64_t byte_cut(uint64_t word, unsigned position) {
    uint64_t low = ((uint64_t)1 << (position * 8)) - 1;
    return (word & low) | (word >> 8 & ~low);
}

static unsigned key_at(const struct node *node, uint64_t head, unsigned position) {
    if (node_head_kind(head) <= NODE_4) return (unsigned)(head >> (32 + position * 8)) & 0xff;
    return (unsigned)(node_slot_load(&node->words[position / 8]) >> (position % 8 * 8)) & 0xff;
}

unsigned node_rank(const struct node *node, uint64_t head, unsigned byte) {
    unsigned end = node_head_has_end(head);
    if (node_head_kind(head) > NODE_16)
        return end + node_bitmap_rank(head, node_slot_load(&node->words[byte / 64]), byte);
    unsigned used = node_head_used(head);
    unsigned rank = end;
    while (rank < used && key_at(node, head, rank - end) < byte) rank++;
    return rank;
}

struct node *node_create(struct mem *mem, struct mem_cache *cache, unsigned kind, size_t depth) {
    struct node *node = mem_alloc(mem, cache, node_shapes[kind].size_bytes);
    if (node == NULL) return NULL;
    atomic_init(&node->guard.word, 0);
    atomic_init(&node->head, kind | (uint64_t)depth << 16);
    for (unsigned i = 0; i < node_shapes[kind].key_words; i++) atomic_init(&node->words[i], 0);
    return node;
}

void node_free(struct mem *mem, struct mem_cache *cache, struct node *node) {
    if (node != NULL) mem_free(mem, cache, node, node_size_bytes(node));
}

/* Keys from the two key words on: position 8 and up lie in the second. */
static void words_put(struct node *node, unsigned position, unsigned byte, bool has_second) {
    uint64_t first = node_slot_load(&node->words[0]);
    if (position < 8) {
        node_slot_store(&node->words[0], byte_put(first, position, byte));
        if (has_second)
            node_slot_store(&node->words[1], node_slot_load(&node->words[1]) << 8 | first >> 56);
    } else {
        uint64_t second = node_slot_load(&node->words[1]);
        node_slot_store(&node->words[1], byte_put(second, position - 8, byte));
    }
}

static void words_cut(struct node *node, unsigned position, bool has_second) {
    uint64_t second = has_second ? node_slot_load(&node->words[1]) : 0;
    if (position < 8) {
        uint64_t first = byte_cut(node_slot_load(&node->words[0]), position);
        node_slot_store(&node->words[0], first | second << 56);
        if (has_second) node_slot_store(&node->words[1], second >> 8);
    } else {
        node_slot_store(&node->words[1], byte_cut(second, position - 8));
    }
}

/* One in each of the ranks (bits 32 up of the head) of the bitmap's words after a byte's. */
static uint64_t ranks_after(unsigned byte) {
    return (uint64_t)0x010101 >> (byte / 64 * 8) << (byte / 64 * 8) << 32;
}

/* Note a key as the one in that position (end slot not counted); the head with it. */
static uint64_t key_put(struct node *node, uint64_t head, unsigned position, unsigned byte) {
    unsigned kind = node_head_kind(head);
    if (kind <= NODE_4) return (uint32_t)head | byte_put(head >> 32, position, byte) << 32;
    if (kind <= NODE_16) {
        words_put(node, position, byte, kind > NODE_7);
        return head;
    }
    node_slot *word = &node->words[byte / 64];
    node_slot_store(word, node_slot_load(word) | (uint64_t)1 << (byte % 64));
    return head + ranks_after(byte);
}

static uint64_t key_cut(struct node *node, uint64_t head, unsigned position, unsigned byte) {
    unsigned kind = node_head_kind(head);
    if (kind <= NODE_4) return (uint32_t)head | byte_cut(head >> 32, position) << 32;
    if (kind <= NODE_16) {
        words_cut(node, position, kind > NODE_7);
        return head;
    }
    node_slot *word = &node->words[byte / 64];
    node_slot_store(word, node_slot_load(word) & ~((uint64_t)1 << (byte % 64)));
    return head - ranks_after(byte);
}

static void put_at(struct node *node, uint64_t head, unsigned index, int edge, node_child child) {
    kh_assert_slow(!node_is_full(head));
    node_slot *slots = node_slots(node, head);
    for (unsigned i = node_head_used(head); i > index; i--)
        node_slot_store(&slots[i], node_slot_load(&slots[i - 1]));
    node_slot_store(&slots[index], child);
    if (edge == NODE_EDGE_END)
        head |= NODE_HEAD_END;
    else
        head = key_put(node, head, index - node_head_has_end(head), (unsigned)edge);
    atomic_store_explicit(&node->head, head + NODE_HEAD_USED, memory_order_release);
}

void node_append(struct node *node, int edge, node_child child) {
    uint64_t head = node_head(node);
    put_at(node, head, node_head_used(head), edge, child);
}

void node_add(struct node *node, int edge, node_child child) {
    uint64_t head = node_head(node);
    unsigned index = edge == NODE_EDGE_END ? 0 : node_rank(node, head, (unsigned)edge);
    put_at(node, head, index, edge, child);
}

void node_append_all(struct node *node, const struct node *from) {
    uint64_t head = node_head(from);
    const node_slot *slot = node_slots(from, head);
    const node_slot *last = slot + node_head_used(head);
    if (node_head_has_end(head)) node_append(node, NODE_EDGE_END, node_slot_load(slot++));
    if (node_head_kind(head) <= NODE_16) {
        for (unsigned i = 0; slot < last; i++, slot++)
            node_append(node, (int)key_at(from, head, i), node_slot_load(slot));
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        for (uint64_t word = node_slot_load(&from->words[i]); word != 0; word &= word - 1) {
            int byte = (int)i * 64 + __builtin_ctzll(word);
            node_append(node, byte, node_slot_load(slot++));
        }
    }
}

void node_remove(struct node *node, int edge) {
    uint64_t head = node_head(node);
    unsigned end = node_head_has_end(head);
    unsigned index = edge == NODE_EDGE_END ? 0 : node_rank(node, head, (unsigned)edge);
    if (edge == NODE_EDGE_END)
        head &= ~(uint64_t)NODE_HEAD_END;
    else
        head = key_cut(node, head, index - end, (unsigned)edge);
    node_slot *slots = node_slots(node, head);
    unsigned used = node_head_used(head) - 1;
    for (unsigned i = index; i < used; i++)
        node_slot_store(&slots[i], node_slot_load(&slots[i + 1]));
    atomic_store_explicit(&node->head, head - NODE_HEAD_USED, memory_order_release);
}
