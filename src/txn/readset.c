/* readset.c - growth, widening, and lookups of the read set. */
#include "txn/readset.h"

#include "base/limits.h"
#include "base/status.h"
#include <string.h>

enum { FIRST_CAPACITY = 16 };

static kh_status grow_array(struct arena *arena, void **array, uint32_t *capacity, size_t size_each,
                            kh_error *error) {
    uint32_t grown = *capacity == 0 ? FIRST_CAPACITY : *capacity * 2;
    void *moved = arena_alloc(arena, grown * size_each);
    if (moved == NULL) return status_no_memory(error, grown * size_each);
    if (*capacity > 0) memcpy(moved, *array, *capacity * size_each);
    *array = moved;
    *capacity = grown;
    return KH_OK;
}

static void widen(struct read_range *cover, kh_bytes from, kh_bytes to, bool is_to_inclusive) {
    if (key_compare(from, cover->from) < 0) cover->from = from;
    if (cover->to.data == NULL) return;
    int order = to.data == NULL ? 1 : key_compare(to, cover->to);
    if (order > 0 || (order == 0 && is_to_inclusive)) {
        cover->to = to;
        cover->is_to_inclusive = is_to_inclusive;
    }
}

/* One range in place of all. The oldest timestamp would make every commit since a conflict and the
 * newest would forget some; the oldest is the sound one. */
static kh_status widen_all(struct readset *set, struct arena *arena, kh_error *error) {
    struct read_range cover = {.timestamp = UINT64_MAX, .is_to_inclusive = true};
    kh_assert(set->item_count > 0 || set->range_count > 0);
    if (set->item_count > 0) {
        cover.from = cover.to = entry_key(set->items[0].entry);
    } else {
        cover.from = set->ranges[0].from;
        cover.to = set->ranges[0].to;
        cover.is_to_inclusive = set->ranges[0].is_to_inclusive;
    }
    for (uint32_t i = 0; i < set->item_count; i++) {
        kh_bytes key = entry_key(set->items[i].entry);
        widen(&cover, key, key, true);
        if (set->items[i].timestamp < cover.timestamp) cover.timestamp = set->items[i].timestamp;
    }
    for (uint32_t i = 0; i < set->range_count; i++) {
        const struct read_range *range = &set->ranges[i];
        widen(&cover, range->from, range->to, range->is_to_inclusive);
        if (range->timestamp < cover.timestamp) cover.timestamp = range->timestamp;
    }
    void *from = arena_copy(arena, cover.from.data, cover.from.size_bytes);
    void *to = cover.to.data == NULL ? NULL : arena_copy(arena, cover.to.data, cover.to.size_bytes);
    if (from == NULL || (to == NULL && cover.to.data != NULL))
        return status_no_memory(error, cover.from.size_bytes + cover.to.size_bytes);
    cover.from.data = from;
    cover.to.data = to;
    if (set->range_capacity == 0) {
        kh_status status = grow_array(arena, (void **)&set->ranges, &set->range_capacity,
                                      sizeof *set->ranges, error);
        if (status != KH_OK) return status;
    }
    set->ranges[0] = cover;
    set->range_count = 1;
    set->item_count = 0;
    set->widen_count++;
    return KH_OK;
}

kh_status readset_grow(struct readset *set, struct arena *arena, kh_error *error) {
    if (set->item_count > 0 && set->item_count + set->range_count >= set->limit)
        return widen_all(set, arena, error);
    return grow_array(arena, (void **)&set->items, &set->item_capacity, sizeof *set->items, error);
}

kh_status readset_add_range(struct readset *set, struct arena *arena,
                            const struct read_range *range, uint32_t *index, kh_error *error) {
    kh_status status = KH_OK;
    if (set->range_count > 0 && set->item_count + set->range_count >= set->limit)
        status = widen_all(set, arena, error);
    if (status == KH_OK && set->range_count == set->range_capacity)
        status = grow_array(arena, (void **)&set->ranges, &set->range_capacity, sizeof *set->ranges,
                            error);
    if (status != KH_OK) return status;
    if (index != NULL) *index = set->range_count;
    set->ranges[set->range_count++] = *range;
    return KH_OK;
}

kh_status readset_add_absent(struct readset *set, struct arena *arena, kh_bytes key,
                             uint64_t timestamp, kh_error *error) {
    if (set->range_count > 0) {
        struct read_range *last = &set->ranges[set->range_count - 1];
        if (last->to.data == last->from.data && key_compare(last->from, key) == 0) {
            last->timestamp = timestamp;
            return KH_OK;
        }
    }
    void *copy = arena_copy(arena, key.data, key.size_bytes);
    if (copy == NULL) return status_no_memory(error, key.size_bytes);
    kh_bytes kept = {copy, key.size_bytes};
    struct read_range range = {
        .from = kept, .to = kept, .is_to_inclusive = true, .timestamp = timestamp};
    return readset_add_range(set, arena, &range, NULL, error);
}

static bool is_hole(const struct read_range *range, kh_bytes key) {
    size_t low = 0;
    size_t high = range->hole_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = key_compare(range->holes[middle], key);
        if (order == 0) return true;
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

bool range_covers(const struct read_range *range, kh_bytes key) {
    if (range->from.size_bytes > 0 && key_compare(key, range->from) < 0) return false;
    if (range->to.data != NULL) {
        int order = key_compare(key, range->to);
        if (order > 0 || (order == 0 && !range->is_to_inclusive)) return false;
    }
    return !is_hole(range, key);
}

uint64_t readset_timestamp(const struct readset *set, const struct entry *entry, kh_bytes key) {
    uint64_t newest = 0;
    for (uint32_t i = 0; i < set->item_count; i++)
        if (set->items[i].entry == entry && set->items[i].timestamp > newest)
            newest = set->items[i].timestamp;
    for (uint32_t i = 0; i < set->range_count; i++)
        if (set->ranges[i].timestamp > newest && range_covers(&set->ranges[i], key))
            newest = set->ranges[i].timestamp;
    return newest;
}

bool readset_is_absent(const struct readset *set, const struct entry *entry, kh_bytes key,
                       uint64_t timestamp, bool are_scans_kept) {
    if (set->widen_count > 0) return false;
    for (uint32_t i = 0; i < set->item_count; i++)
        if (set->items[i].entry == entry && set->items[i].timestamp == timestamp) return false;
    for (uint32_t i = 0; i < set->range_count; i++) {
        const struct read_range *range = &set->ranges[i];
        bool is_point = range->to.data != NULL && range->to.data == range->from.data;
        if (range->timestamp == timestamp && (is_point || are_scans_kept) &&
            range_covers(range, key))
            return true;
    }
    return false;
}
