/* art_insert.c - finding or making the entry of a key.
 *
 * A descent ends at an entry or at a node; either shows the bytes of the path (node_sample). Where
 * key and path part decides what is done:
 *   not at all             the entry met is the one
 *   above lower's slot     the descent has gone too far: again, to that depth only
 *   between slot and child split: a node of two at that depth takes the slot
 *   at the child's depth   add to the child, or let it grow
 * The new entry is filled, and known to the front, before the guard of its slot is unlocked. */
#include "store/art.h"

#include "base/status.h"
#include "store/grave.h"

struct insertion {
    struct art *art;
    struct epoch_record *record;
    struct mem_cache *cache;
    kh_bytes key;
    uint64_t hash;
    struct entry *entry; /* made at the first attempt that wants one */
    bool is_placed;      /* the entry is in the tree */
};

enum step { STEP_AGAIN, STEP_DONE, STEP_NO_MEMORY };

static bool make_entry(struct insertion *insertion) {
    if (insertion->entry != NULL) return true;
    size_t size = insertion->key.size_bytes;
    struct entry *entry = mem_alloc(insertion->art->mem, insertion->cache, grave_entry_size(size));
    if (entry == NULL) return false;
    entry_init(entry, insertion->key, insertion->hash);
    insertion->entry = entry;
    return true;
}

/* The guards are locked and nothing can fail any more; unlocking publishes. */
static void place_entry(struct insertion *insertion) {
    guard_disturb();
    front_add(insertion->art->front, insertion->entry, insertion->hash);
    insertion->is_placed = true;
}

static int edge_at(kh_bytes key, size_t depth) {
    return depth == key.size_bytes ? NODE_EDGE_END : ((const unsigned char *)key.data)[depth];
}

static enum step place_root(struct insertion *insertion, const struct art_place *place) {
    if (!make_entry(insertion)) return STEP_NO_MEMORY;
    const struct art_link *link = &place->lower;
    if (!guard_lock(link->guard, link->version)) return STEP_AGAIN;
    place_entry(insertion);
    node_slot_store(link->slot, node_child_of_entry(insertion->entry));
    guard_unlock(link->guard, link->version);
    return STEP_DONE;
}

/* Key and the keys under place->child (of which sample is one) part at depth. */
static enum step split(struct insertion *insertion, const struct art_place *place,
                       const struct entry *sample, size_t depth) {
    struct art *art = insertion->art;
    if (!make_entry(insertion)) return STEP_NO_MEMORY;
    struct node *pair = node_create(art->mem, insertion->cache, NODE_2, depth);
    if (pair == NULL) return STEP_NO_MEMORY;
    int mine = edge_at(insertion->key, depth);
    int theirs = edge_at(entry_key(sample), depth);
    node_child new_child = node_child_of_entry(insertion->entry);
    node_append(pair, mine < theirs ? mine : theirs, mine < theirs ? new_child : place->child);
    node_append(pair, mine < theirs ? theirs : mine, mine < theirs ? place->child : new_child);
    const struct art_link *link = &place->lower;
    if (!guard_lock(link->guard, link->version)) {
        node_free(art->mem, insertion->cache, pair);
        return STEP_AGAIN;
    }
    place_entry(insertion);
    node_slot_store(link->slot, node_child_of_node(pair));
    guard_unlock(link->guard, link->version);
    art_count_node(art, pair, false);
    return STEP_DONE;
}

static enum step grow(struct insertion *insertion, const struct art_place *place, int edge) {
    struct art *art = insertion->art;
    struct node *node = node_child_node(place->child);
    unsigned kind = node_head_kind(place->head) + 1;
    struct grave *grave = grave_create(art->mem, insertion->cache);
    if (grave == NULL) return STEP_NO_MEMORY;
    struct node *larger =
        node_create(art->mem, insertion->cache, kind, node_head_depth(place->head));
    enum step step = larger == NULL ? STEP_NO_MEMORY : STEP_AGAIN;
    const struct art_link *link = &place->lower;
    if (larger == NULL || !guard_lock(link->guard, link->version)) goto done;
    if (!guard_lock(&node->guard, place->version)) {
        guard_unlock_unchanged(link->guard, link->version);
        goto done;
    }
    node_append_all(larger, node);
    node_add(larger, edge, node_child_of_entry(insertion->entry));
    place_entry(insertion);
    node_slot_store(link->slot, node_child_of_node(larger));
    guard_unlock(link->guard, link->version);
    guard_unlock_obsolete(&node->guard, place->version);
    art_count_node(art, larger, false);
    art_count_node(art, node, true);
    grave_bury(grave, art->epoch, insertion->record, node, NULL);
    return STEP_DONE;
done:
    node_free(art->mem, insertion->cache, larger);
    grave_free(insertion->cache, grave);
    return step;
}

static enum step add(struct insertion *insertion, const struct art_place *place) {
    if (!make_entry(insertion)) return STEP_NO_MEMORY;
    int edge = edge_at(insertion->key, node_head_depth(place->head));
    if (node_is_full(place->head)) return grow(insertion, place, edge);
    struct node *node = node_child_node(place->child);
    if (!guard_lock(&node->guard, place->version)) return STEP_AGAIN;
    place_entry(insertion);
    node_add(node, edge, node_child_of_entry(insertion->entry));
    guard_unlock(&node->guard, place->version);
    return STEP_DONE;
}

/* One attempt. *limit is how deep the next may go. */
static enum step attempt(struct insertion *insertion, size_t *limit, struct entry **found) {
    struct art_place place;
    size_t size = insertion->key.size_bytes;
    if (!art_descend(insertion->art, insertion->key, *limit, &place)) return STEP_AGAIN;
    if (place.child == 0) return place_root(insertion, &place);
    bool is_entry = node_child_is_entry(place.child);
    const struct entry *sample =
        is_entry ? node_child_entry(place.child) : node_sample(node_child_node(place.child));
    size_t depth = key_mismatch(insertion->key, entry_key(sample));
    if (is_entry && depth == size && sample->key_bytes == size) {
        *found = node_child_entry(place.child);
        return STEP_DONE;
    }
    if ((int64_t)depth <= place.lower.depth) {
        *limit = depth;
        return STEP_AGAIN;
    }
    if (is_entry || depth < node_head_depth(place.head))
        return split(insertion, &place, sample, depth);
    if (*limit < size && node_head_depth(place.head) > *limit) {
        *limit = size; /* the path has changed since the limit was learned */
        return STEP_AGAIN;
    }
    return add(insertion, &place);
}

kh_status art_insert(struct art *art, struct epoch_record *record, struct mem_cache *cache,
                     kh_bytes key, uint64_t hash, struct entry **out, bool *is_new,
                     kh_error *error) {
    struct insertion insertion = {art, record, cache, key, hash, NULL, false};
    struct entry *found = NULL;
    size_t limit = key.size_bytes;
    enum step step;
    do step = attempt(&insertion, &limit, &found);
    while (step == STEP_AGAIN);
    size_t entry_size = grave_entry_size(key.size_bytes);
    if (!insertion.is_placed) mem_free(art->mem, cache, insertion.entry, entry_size);
    if (step == STEP_NO_MEMORY) return status_no_memory(error, entry_size);
    *is_new = insertion.is_placed;
    *out = insertion.is_placed ? insertion.entry : found;
    return KH_OK;
}
