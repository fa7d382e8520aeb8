/* cursor.h - a scan under way.
 *
 * Invariants: one timestamp; the store's entries come in batches, and an entry stays in the buffer
 * only if it has a live version at that timestamp, which the registered snapshot pins (so the
 * buffer outlives the epoch section that filled it); own writes are those of the opening, sorted,
 * and take the place of the store's entries of the same key. */
#ifndef KHONSU_DB_CURSOR_H
#define KHONSU_DB_CURSOR_H

#include "db/read.h"

enum { CURSOR_BATCH = 128 };

struct own_entry {  /* an own write inside the range, as it was when the cursor was opened */
    uint32_t index; /* in the write set, whose array may move */
    kh_bytes key;
    uint64_t hash;
    uint8_t kind;
    kh_batch *mine;     /* a reference */
    struct row_op *ops; /* a copy; its batches are references */
};

struct cursor_entry {
    kh_bytes key;
    const kh_batch *batch; /* NULL: in the storage only, or nobody wants it */
};

struct kh_cursor {
    kh_txn *txn; /* NULL: the transaction has ended, only close is left */
    struct mem *mem;
    kh_txn *anchor; /* read committed: a handle that holds the statement's snapshot; else NULL */
    struct kh_cursor *next;
    uint64_t timestamp;
    bool is_reverse;
    bool is_keys_only;
    bool is_store_done;
    bool is_tracked;
    bool keeps_bases; /* read committed with a policy that may need what was read as a base */
    bool is_simple;   /* neither that, nor own writes in the range, nor values to be fetched */
    uint64_t left;    /* entries until the limit */
    kh_bytes from;    /* inclusive, size 0: the first key */
    kh_bytes to;      /* exclusive, data NULL: none */
    kh_bytes prefix;
    unsigned char *last_raw; /* copy of the last key that the index gave */
    size_t last_raw_bytes;
    size_t last_raw_capacity;
    struct own_entry *own;
    size_t own_count;
    size_t own_next;
    struct cursor_entry buffer[CURSOR_BATCH];
    size_t buffer_count;
    size_t buffer_next;
    uint32_t range_index; /* of the read set */
    uint32_t range_widen_count;
    bool is_exhausted; /* everything in the range was seen: the whole range was read */
    kh_batch *current; /* a reference, when the value is not pinned otherwise */
    const kh_batch *current_value;
    kh_bytes last_returned; /* borrowed: an own write's or a pinned entry's */
};

kh_status cursor_open(kh_txn *txn, const kh_scan_options *options, struct kh_cursor **out,
                      kh_error *error);
static inline void cursor_give(struct kh_cursor *cursor, kh_bytes found, const kh_batch *batch,
                               kh_bytes *key, const kh_batch **value) {
    cursor->last_returned = found;
    cursor->current_value = batch;
    cursor->left--;
    *key = found;
    if (value != NULL) *value = cursor->is_keys_only ? NULL : batch;
}

/* The next of the buffer, which is not empty. Header and first values of one that comes some calls
 * later are brought into the cache. */
static inline void cursor_give_stored(struct kh_cursor *cursor, kh_bytes *key,
                                      const kh_batch **value) {
    enum { AHEAD = 8, FIRST_VALUES_END = sizeof(kh_batch) + 8 };
    const struct cursor_entry *entry = &cursor->buffer[cursor->buffer_next];
    if (KH_LIKELY(cursor->buffer_next + AHEAD < cursor->buffer_count)) {
        const char *batch = (const char *)entry[AHEAD].batch;
        __builtin_prefetch(batch);
        __builtin_prefetch(batch + FIRST_VALUES_END - 1);
    }
    cursor->buffer_next++;
    cursor_give(cursor, entry->key, entry->batch, key, value);
}

/* With own writes in the range, at the end of the buffer, at the end. */
kh_status cursor_next_any(struct kh_cursor *cursor, kh_bytes *key, const kh_batch **value,
                          kh_error *error);

/* KH_END after the last. */
static inline kh_status cursor_next(struct kh_cursor *cursor, kh_bytes *key, const kh_batch **value,
                                    kh_error *error) {
    if (KH_UNLIKELY(!cursor->is_simple || cursor->buffer_next >= cursor->buffer_count ||
                    cursor->left == 0))
        return cursor_next_any(cursor, key, value, error);
    cursor_give_stored(cursor, key, value);
    return KH_OK;
}
/* The transaction ends: let go of all that is its. The struct stays for the program's close. */
void cursor_orphan(struct kh_cursor *cursor);
/* Narrow the remembered range to what was returned, and free. */
void cursor_close(struct kh_cursor *cursor);

#endif
