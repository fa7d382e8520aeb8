/* ranges.c - the list of kept range reads. A plain array: it is short (bounded by the scans since
 * the oldest open serializable snapshot), and only writers with an outgoing dependency look at it.
 */
#include "txn/ranges.h"

#include "base/status.h"
#include <string.h>

void ranges_init(struct kept_ranges *ranges, struct mem *mem, uint32_t limit) {
    *ranges = (struct kept_ranges){.mem = mem, .limit = limit};
}

void ranges_fini(struct kept_ranges *ranges) {
    for (uint32_t i = 0; i < ranges->count; i++) ranges_discard(ranges, NULL, ranges->entries[i]);
    mem_free(ranges->mem, NULL, ranges->entries, ranges->capacity * sizeof *ranges->entries);
    *ranges = (struct kept_ranges){.mem = ranges->mem};
}

static kh_bytes append_bytes(unsigned char **next, kh_bytes bytes) {
    if (bytes.data == NULL) return bytes;
    unsigned char *copy = *next;
    if (bytes.size_bytes > 0) memcpy(copy, bytes.data, bytes.size_bytes);
    *next += bytes.size_bytes;
    return (kh_bytes){copy, bytes.size_bytes};
}

struct kept_range *ranges_copy(struct kept_ranges *ranges, struct mem_cache *cache,
                               const struct read_range *range) {
    size_t holes_bytes = range->hole_count * sizeof(kh_bytes);
    size_t size_bytes =
        sizeof(struct kept_range) + holes_bytes + range->from.size_bytes + range->to.size_bytes;
    for (size_t i = 0; i < range->hole_count; i++) size_bytes += range->holes[i].size_bytes;
    struct kept_range *kept = mem_alloc(ranges->mem, cache, size_bytes);
    if (kept == NULL) return NULL;
    kept->range = *range;
    kept->size_bytes = size_bytes;
    kept->stamp = 0;
    kh_bytes *holes = (kh_bytes *)(void *)(kept + 1);
    unsigned char *next = (unsigned char *)holes + holes_bytes;
    for (size_t i = 0; i < range->hole_count; i++) holes[i] = append_bytes(&next, range->holes[i]);
    kept->range.holes = holes;
    kept->range.from = append_bytes(&next, range->from);
    kept->range.to = append_bytes(&next, range->to);
    return kept;
}

void ranges_discard(struct kept_ranges *ranges, struct mem_cache *cache, struct kept_range *kept) {
    if (kept != NULL) mem_free(ranges->mem, cache, kept, kept->size_bytes);
}

kh_status ranges_reserve(struct kept_ranges *ranges, kh_error *error) {
    if (ranges->entries != NULL) return KH_OK;
    size_t size_bytes = ranges->limit * sizeof *ranges->entries;
    ranges->entries = mem_alloc(ranges->mem, NULL, size_bytes);
    if (ranges->entries == NULL) return status_no_memory(error, size_bytes);
    ranges->capacity = ranges->limit;
    return KH_OK;
}

static bool is_same_span(const struct read_range *a, const struct read_range *b) {
    if (a->hole_count != b->hole_count || a->is_to_inclusive != b->is_to_inclusive ||
        (a->to.data == NULL) != (b->to.data == NULL))
        return false;
    if (key_compare(a->from, b->from) != 0 || key_compare(a->to, b->to) != 0) return false;
    for (size_t i = 0; i < a->hole_count; i++)
        if (key_compare(a->holes[i], b->holes[i]) != 0) return false;
    return true;
}

/* Exact: of two reads of one span, one with both the newer snapshot and the larger stamp decides
 * everything that the other could. */
static bool merge_same(struct kept_ranges *ranges, struct kept_range *kept) {
    for (uint32_t i = 0; i < ranges->count; i++) {
        struct kept_range *other = ranges->entries[i];
        if (!is_same_span(&other->range, &kept->range)) continue;
        if (other->range.timestamp >= kept->range.timestamp && other->stamp >= kept->stamp)
            return true;
        if (kept->range.timestamp >= other->range.timestamp && kept->stamp >= other->stamp) {
            other->range.timestamp = kept->range.timestamp;
            other->stamp = kept->stamp;
            return true;
        }
    }
    return false;
}

static void evict_one(struct kept_ranges *ranges, struct mem_cache *cache) {
    uint32_t lowest = 0;
    for (uint32_t i = 1; i < ranges->count; i++)
        if (ranges->entries[i]->stamp < ranges->entries[lowest]->stamp) lowest = i;
    uint64_t stamp = ranges->entries[lowest]->stamp;
    if (stamp > ranges->floor) ranges->floor = stamp;
    ranges_discard(ranges, cache, ranges->entries[lowest]);
    ranges->entries[lowest] = ranges->entries[--ranges->count];
    ranges->evictions++;
}

void ranges_add(struct kept_ranges *ranges, struct mem_cache *cache, struct kept_range *kept,
                uint64_t stamp) {
    kept->stamp = stamp;
    if (merge_same(ranges, kept)) {
        ranges_discard(ranges, cache, kept);
        return;
    }
    if (ranges->count == ranges->limit) evict_one(ranges, cache);
    ranges->entries[ranges->count++] = kept;
}

void ranges_drop(struct kept_ranges *ranges, struct mem_cache *cache, uint64_t oldest) {
    uint32_t left = 0;
    for (uint32_t i = 0; i < ranges->count; i++) {
        if (ranges->entries[i]->stamp > oldest) {
            ranges->entries[left++] = ranges->entries[i];
        } else {
            ranges_discard(ranges, cache, ranges->entries[i]);
        }
    }
    ranges->count = left;
}

uint64_t ranges_stamp(const struct kept_ranges *ranges, kh_bytes key, uint64_t newest) {
    uint64_t stamp = 0;
    for (uint32_t i = 0; i < ranges->count; i++) {
        const struct kept_range *kept = ranges->entries[i];
        if (kept->stamp <= stamp || newest > kept->range.timestamp) continue;
        if (range_covers(&kept->range, key)) stamp = kept->stamp;
    }
    return stamp;
}

bool ranges_has_older(const void *ranges, uint64_t commit) {
    const struct kept_ranges *kept = ranges;
    for (uint32_t i = 0; i < kept->count; i++)
        if (kept->entries[i]->range.timestamp < commit) return true;
    return false;
}
