/* ranges.h - committed serializable range reads that can still matter to a writer.
 *
 * Kept beside the versions: a scan, and a get that found nothing, have no version to leave a stamp
 * on. An entry can matter while its stamp is above the oldest open serializable snapshot. Bounded:
 * at the limit the entry with the lowest stamp is folded into the floor, which every writer then
 * counts as a predecessor (sound; false aborts of writers with pi <= floor).
 * Changes in the commit section only; adding is split into prepare (may fail) and commit (cannot).
 */
#ifndef KHONSU_TXN_RANGES_H
#define KHONSU_TXN_RANGES_H

#include "base/mem.h"
#include "txn/readset.h"

struct kept_range {
    struct read_range
        range;         /* its spans lie behind this struct; timestamp: the reader's snapshot */
    uint64_t stamp;    /* phi of the reader */
    size_t size_bytes; /* of the block */
};

struct kept_ranges {
    struct mem *mem;
    struct kept_range **entries;
    uint32_t count;
    uint32_t capacity; /* the limit: allocated once, at the first range */
    uint32_t limit;
    uint64_t floor; /* largest stamp ever forgotten early */
    uint64_t evictions;
};

void ranges_init(struct kept_ranges *ranges, struct mem *mem, uint32_t limit);
void ranges_fini(struct kept_ranges *ranges);

/* A block with a copy of the range; NULL: no memory. Outside of the section. */
struct kept_range *ranges_copy(struct kept_ranges *ranges, struct mem_cache *cache,
                               const struct read_range *range);
void ranges_discard(struct kept_ranges *ranges, struct mem_cache *cache, struct kept_range *kept);
/* Room for the list itself, once. */
kh_status ranges_reserve(struct kept_ranges *ranges, kh_error *error);

/* Keep it with that stamp (moved), or discard it when another entry says as much. Cannot fail. */
void ranges_add(struct kept_ranges *ranges, struct mem_cache *cache, struct kept_range *kept,
                uint64_t stamp);
/* Forget entries whose stamp is at or below the oldest serializable snapshot. */
void ranges_drop(struct kept_ranges *ranges, struct mem_cache *cache, uint64_t oldest);

/* The largest stamp of readers whose range has the key and who read the version that is newest now
 * (newest: its commit, 0: none). */
uint64_t ranges_stamp(const struct kept_ranges *ranges, kh_bytes key, uint64_t newest);
/* Is an entry with a snapshot below commit kept? (struct tombstone_rule) */
bool ranges_has_older(const void *ranges, uint64_t commit);

#endif
