/* readset.h - what one transaction has read from the store, for conflicts and certification.
 *
 * A get that found a live version is an item (the entry and the timestamp read at): the version is
 * pinned by the registered snapshot, so the entry stays in the index. A get that found nothing or a
 * tombstone is the range [key, key]: the entry may be absent, or may go. A scan is a range with
 * holes where own writes covered keys. Savepoints never undo reads.
 * At the limit, items and ranges are widened into one range that covers them all: sound, and
 * possibly a false conflict. */
#ifndef KHONSU_TXN_READSET_H
#define KHONSU_TXN_READSET_H

#include "base/arena.h"
#include "store/version.h"

struct read_item {
    struct entry *entry;
    uint64_t timestamp;
};

/* [from, to]: to.data NULL: no upper bound. */
struct read_range {
    kh_bytes from; /* inclusive; size 0: from the first key */
    kh_bytes to;
    bool is_to_inclusive;
    const kh_bytes *holes; /* ascending */
    size_t hole_count;
    uint64_t timestamp;
};

/* Reads of a transaction that need no memory of their own: most read fewer keys. */
enum { READSET_INLINE = 16 };

struct readset {
    struct read_item *items;
    uint32_t item_count;
    uint32_t item_capacity;
    struct read_range *ranges;
    uint32_t range_count;
    uint32_t range_capacity;
    uint32_t limit;       /* items and ranges together */
    uint32_t widen_count; /* an index into ranges holds while this stays */
    struct read_item first_items[READSET_INLINE];
};

kh_status readset_grow(struct readset *set, struct arena *arena, kh_error *error);

static inline kh_status readset_add(struct readset *set, struct arena *arena, struct entry *entry,
                                    uint64_t timestamp, kh_error *error) {
    if (set->item_count > 0) {
        struct read_item *last = &set->items[set->item_count - 1];
        if (last->entry == entry) {
            last->timestamp = timestamp;
            return KH_OK;
        }
    }
    if (KH_UNLIKELY(set->item_count == set->item_capacity)) {
        kh_status status = readset_grow(set, arena, error);
        if (status != KH_OK) return status;
    }
    set->items[set->item_count++] = (struct read_item){entry, timestamp};
    return KH_OK;
}

/* key is copied into the arena. */
kh_status readset_add_absent(struct readset *set, struct arena *arena, kh_bytes key,
                             uint64_t timestamp, kh_error *error);
/* The spans of *range are the arena's already. *index: where it went (it may be narrowed later). */
kh_status readset_add_range(struct readset *set, struct arena *arena,
                            const struct read_range *range, uint32_t *index, kh_error *error);
/* Makes a zeroed one ready. */
static inline void readset_init(struct readset *set) {
    set->items = set->first_items;
    set->item_count = 0;
    set->item_capacity = READSET_INLINE;
    set->ranges = NULL;
    set->range_count = set->range_capacity = 0;
    set->widen_count = 0;
}
/* Forget everything (the arena is reset by its owner). */
static inline void readset_clear(struct readset *set) {
    set->item_count = 0;
    if (KH_UNLIKELY(set->range_capacity > 0 || set->items != set->first_items)) readset_init(set);
}

bool range_covers(const struct read_range *range, kh_bytes key);
/* The newest timestamp at which key was read, 0: never. entry may be NULL. */
uint64_t readset_timestamp(const struct readset *set, const struct entry *entry, kh_bytes key);

/* Did the read of key at timestamp certainly find nothing? (A point read says so; a scan only when
 * the values that it found were kept elsewhere.) */
bool readset_is_absent(const struct readset *set, const struct entry *entry, kh_bytes key,
                       uint64_t timestamp, bool are_scans_kept);

static inline int key_compare(kh_bytes a, kh_bytes b) {
    size_t shorter = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    int order = shorter == 0 ? 0 : __builtin_memcmp(a.data, b.data, shorter);
    if (order != 0) return order;
    return a.size_bytes < b.size_bytes ? -1 : a.size_bytes > b.size_bytes;
}

#endif
