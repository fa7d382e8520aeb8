/* load.c - see load.h.
 *
 * A key parts from the newest one at some depth. Open nodes below that depth are complete: each is
 * made and becomes the pending child of the one above. What is pending then goes into the open node
 * of that depth, which is begun if there is none, and the key's entry is pending in its place. A
 * key that is the other's prefix comes before it, as its end slot comes first (node.h). */
#include "store/load.h"

#include "base/status.h"
#include "store/grave.h"

enum { FIRST_ROOM = 64, WALK_ENTRIES = 256 };

void index_load_begin(struct index_load *load, struct index *index, struct mem_cache *cache) {
    kh_assert(atomic_load_explicit(&index->art.root, memory_order_relaxed) == 0);
    *load = (struct index_load){.index = index, .cache = cache};
}

static struct mem *mem_of(const struct index_load *load) {
    return load->index->art.mem;
}

static void free_stacks(struct index_load *load) {
    mem_free(mem_of(load), load->cache, load->children, load->child_room * sizeof *load->children);
    mem_free(mem_of(load), load->cache, load->nodes, load->node_room * sizeof *load->nodes);
    load->children = NULL;
    load->nodes = NULL;
    load->child_room = load->node_room = 0;
}

/* Room for one more on a stack. False: no memory. */
static bool make_room(const struct index_load *load, void **stack, size_t count, size_t *room,
                      size_t item_bytes) {
    if (count < *room) return true;
    size_t more = *room == 0 ? FIRST_ROOM : *room * 2;
    void *moved =
        mem_resize(mem_of(load), load->cache, *stack, *room * item_bytes, more * item_bytes);
    if (moved == NULL) return false;
    *stack = moved;
    *room = more;
    return true;
}

static bool push_child(struct index_load *load, int32_t edge) {
    void *stack = load->children;
    bool has_room =
        make_room(load, &stack, load->child_count, &load->child_room, sizeof *load->children);
    load->children = stack;
    if (!has_room) return false;
    load->children[load->child_count++] = (struct load_child){load->pending, edge};
    load->pending = 0;
    return true;
}

static bool push_node(struct index_load *load, size_t depth) {
    void *stack = load->nodes;
    bool has_room =
        make_room(load, &stack, load->node_count, &load->node_room, sizeof *load->nodes);
    load->nodes = stack;
    if (!has_room) return false;
    load->nodes[load->node_count++] =
        (struct load_node){(uint32_t)depth, (uint32_t)load->child_count};
    return true;
}

/* Of the newest key, at a depth where a node branches. */
static int32_t edge_of_newest(const struct index_load *load, size_t depth) {
    const struct entry *newest = load->newest;
    return depth == newest->key_bytes ? NODE_EDGE_END : newest->key[depth];
}

static unsigned kind_for(size_t count) {
    unsigned kind = NODE_2;
    while (node_shapes[kind].capacity < count) kind++;
    return kind;
}

/* The deepest open node has all of its children but the pending one. */
static bool close_node(struct index_load *load) {
    struct art *art = &load->index->art;
    const struct load_node *open = &load->nodes[load->node_count - 1];
    if (!push_child(load, edge_of_newest(load, open->depth))) return false;
    size_t count = load->child_count - open->first;
    struct node *node = node_create(art->mem, load->cache, kind_for(count), open->depth);
    if (node == NULL) return false;
    for (size_t i = open->first; i < load->child_count; i++)
        node_append(node, load->children[i].edge, load->children[i].child);
    art_count_node(art, node, false);
    load->child_count = open->first;
    load->node_count--;
    load->pending = node_child_of_node(node);
    return true;
}

static bool close_below(struct index_load *load, size_t depth) {
    while (load->node_count > 0 && load->nodes[load->node_count - 1].depth > depth)
        if (!close_node(load)) return false;
    return true;
}

/* What is pending becomes a child of the open node at this depth. */
static bool settle_pending(struct index_load *load, size_t depth) {
    if (!close_below(load, depth)) return false;
    bool is_open = load->node_count > 0 && load->nodes[load->node_count - 1].depth == depth;
    return (is_open || push_node(load, depth)) && push_child(load, edge_of_newest(load, depth));
}

static bool add_entry(struct index_load *load, kh_bytes key) {
    size_t size_bytes = grave_entry_size(key.size_bytes);
    struct entry *entry = mem_alloc(mem_of(load), load->cache, size_bytes);
    if (entry == NULL) return false;
    entry_init(entry, key, index_hash(load->index, key));
    load->newest = entry;
    load->pending = node_child_of_entry(entry);
    load->entry_count++;
    return true;
}

kh_status index_load_entry(struct index_load *load, kh_bytes key, struct entry **out,
                           kh_error *error) {
    const struct entry *newest = load->newest;
    if (newest != NULL) {
        size_t depth = key_mismatch(key, entry_key(newest));
        bool is_newest_over = depth == newest->key_bytes;
        if (is_newest_over && depth == key.size_bytes) {
            *out = load->newest;
            return KH_OK;
        }
        if (depth == key.size_bytes ||
            (!is_newest_over && ((const unsigned char *)key.data)[depth] < newest->key[depth]))
            return status_fail(error, KH_CORRUPT, "the storage's keys are not in order");
        if (!settle_pending(load, depth)) return status_no_memory(error, sizeof(struct node));
    }
    if (!add_entry(load, key)) return status_no_memory(error, grave_entry_size(key.size_bytes));
    *out = load->newest;
    return KH_OK;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Lines of the front are far from each other: all of a walk's are asked for before the first is
 * written. */
static void fill_front(struct index *index) {
    struct entry *entries[WALK_ENTRIES];
    uint64_t hashes[WALK_ENTRIES];
    const kh_bytes all = {NULL, 0};
    kh_bytes bound = {NULL, 0};
    size_t count;
    do {
        count = index_scan(index, all, bound, true, false, entries, WALK_ENTRIES);
        for (size_t i = 0; i < count; i++) {
            hashes[i] = index_hash(index, entry_key(entries[i]));
            index_prefetch(index, hashes[i]);
        }
        for (size_t i = 0; i < count; i++) front_add(&index->front, entries[i], hashes[i]);
        if (count > 0) bound = entry_key(entries[count - 1]);
    } while (count == WALK_ENTRIES);
}

kh_status index_load_end(struct index_load *load, uint64_t expected, kh_error *error) {
    struct index *index = load->index;
    struct art *art = &index->art;
    while (load->node_count > 0)
        if (!close_node(load)) return status_no_memory(error, sizeof(struct node));
    node_slot_store(&art->root, load->pending);
    atomic_store_explicit(&art->entry_count, load->entry_count, memory_order_relaxed);
    free_stacks(load);
    /* Without memory for it the front stays small, and the tree answers. */
    if (front_reserve(&index->front, load->cache, load->entry_count + expected)) fill_front(index);
    return KH_OK;
}

void index_load_settle(struct index *index) {
    front_settle(&index->front);
}

bool index_load_show_part(struct index_load *load) {
    node_child part = load->pending;
    load->pending = 0;
    if (part == 0 && load->child_count > 0) part = load->children[--load->child_count].child;
    node_slot_store(&load->index->art.root, part);
    if (part == 0) free_stacks(load);
    return part != 0;
}
