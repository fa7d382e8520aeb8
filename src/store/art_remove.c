/* art_remove.c - taking an entry out of the tree.
 *
 * The grave is had first: without memory for it nothing happens. A smaller copy of a sparse node is
 * an optimization: without memory for it the node stays as it is. */
#include "store/art.h"

#include "store/grave.h"

struct removal {
    struct art *art;
    struct epoch_record *record;
    struct mem_cache *cache;
    struct entry *entry;
    struct grave *grave;
};

/* Lock the slot that leads to lower.node, and the node. */
static bool lock_both(const struct art_place *place) {
    if (!guard_lock(place->upper.guard, place->upper.version)) return false;
    if (guard_lock(place->lower.guard, place->lower.version)) return true;
    guard_unlock_unchanged(place->upper.guard, place->upper.version);
    return false;
}

/* Both are locked: child takes the place of lower.node, which is buried with the entry. */
static void replace_node(struct removal *removal, const struct art_place *place, node_child child) {
    node_slot_store(place->upper.slot, child);
    guard_unlock(place->upper.guard, place->upper.version);
    guard_unlock_obsolete(place->lower.guard, place->lower.version);
    art_count_node(removal->art, place->lower.node, true);
    grave_bury(removal->grave, removal->art->epoch, removal->record, place->lower.node,
               removal->entry);
}

/* Two slots: the other one's child takes the node's place, at whatever depth it branches. */
static bool merge(struct removal *removal, const struct art_place *place) {
    if (!lock_both(place)) return false;
    node_slot *slots = node_slots(place->lower.node, place->head);
    replace_node(removal, place, node_slot_load(&slots[place->lower.slot == slots ? 1 : 0]));
    return true;
}

static bool shrink(struct removal *removal, const struct art_place *place, struct node *smaller) {
    if (!lock_both(place)) return false;
    node_append_all(smaller, place->lower.node);
    node_remove(smaller, place->lower.edge);
    art_count_node(removal->art, smaller, false);
    replace_node(removal, place, node_child_of_node(smaller));
    return true;
}

static bool cut(struct removal *removal, const struct art_place *place) {
    const struct art_link *link = &place->lower;
    if (!guard_lock(link->guard, link->version)) return false;
    if (link->node == NULL)
        node_slot_store(link->slot, 0);
    else
        node_remove(link->node, link->edge);
    guard_unlock(link->guard, link->version);
    grave_bury(removal->grave, removal->art->epoch, removal->record, NULL, removal->entry);
    return true;
}

/* One attempt. False: again. */
static bool attempt(struct removal *removal) {
    struct art *art = removal->art;
    kh_bytes key = entry_key(removal->entry);
    struct art_place place;
    if (!art_descend(art, key, key.size_bytes, &place)) return false;
    /* Nobody else removes: an entry that is not where it belongs was not in the index. */
    kh_assert(place.child == node_child_of_entry(removal->entry));
    if (place.lower.node == NULL) return cut(removal, &place);
    unsigned used = node_head_used(place.head);
    unsigned kind = node_head_kind(place.head);
    if (used == 2) return merge(removal, &place);
    if (!node_is_sparse(kind, used - 1)) return cut(removal, &place);
    struct node *smaller =
        node_create(art->mem, removal->cache, kind - 1, node_head_depth(place.head));
    if (smaller == NULL) return cut(removal, &place);
    if (shrink(removal, &place, smaller)) return true;
    node_free(art->mem, removal->cache, smaller);
    return false;
}

bool art_remove(struct art *art, struct epoch_record *record, struct mem_cache *cache,
                struct entry *entry) {
    struct grave *grave = grave_create(art->mem, cache);
    if (grave == NULL) return false;
    front_remove(art->front, entry);
    struct removal removal = {art, record, cache, entry, grave};
    while (!attempt(&removal)) continue;
    return true;
}
