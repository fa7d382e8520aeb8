/* locks_record.h - the keys that are locked or waited for, and who holds them: a hash table of
 * records, each with a list of holds. Inside of txn/locks; all under the table's latch.
 *
 * Records and holds are nodes of one size, from slabs that are kept while the table is in use. A
 * record is in the table as long as it has a holder or a waiter. */
#ifndef KHONSU_TXN_LOCKS_RECORD_H
#define KHONSU_TXN_LOCKS_RECORD_H

#include "txn/locks.h"

struct lock_hold {
    struct lock_owner *owner;
    struct lock_record *record;
    struct lock_hold *next; /* of the record */
    struct lock_hold *before;
    struct lock_hold *next_of_owner;
    uint32_t call;       /* of its owner, that made or changed it */
    uint8_t mode;        /* kh_lock_mode */
    uint8_t mode_before; /* that call; 0: it made it */
};

struct lock_record {
    struct lock_record *next; /* of the bucket */
    uint64_t hash;
    unsigned char *key; /* room, or a block of its own */
    uint32_t key_bytes;
    uint32_t waiter_count;
    struct lock_hold *holders; /* one, or shared ones */
    struct lock_owner *first_waiter;
    struct lock_owner *last_waiter;
    unsigned char room[72]; /* most keys are shorter */
};

union lock_node {
    union lock_node *next_free;
    struct lock_hold hold;
    struct lock_record record;
};
_Static_assert(sizeof(union lock_node) == 128, "a node is two cache lines");

/* NULL: no memory. */
union lock_node *record_take_node(struct locks *table);
static inline void record_put_node(struct locks *table, union lock_node *node) {
    node->next_free = table->free_nodes;
    table->free_nodes = node;
}

struct lock_record *record_find(const struct locks *table, kh_bytes key, uint64_t hash);
/* A key that is not in the table. NULL: no memory. */
struct lock_record *record_make(struct locks *table, kh_bytes key, uint64_t hash);
/* Out of the table, if nobody holds or waits any more. The last one takes spare memory with it. */
void record_drop_unused(struct locks *table, struct lock_record *record);

/* Make a hold of a node. */
void record_add_hold(struct locks *table, struct lock_record *record, struct lock_owner *owner,
                     kh_lock_mode mode, union lock_node *node);
/* Out of its record's list; the owner's is the caller's. The node is free. */
void record_remove_hold(struct locks *table, struct lock_hold *hold);
/* The owner's hold on it, NULL: none. */
static inline struct lock_hold *record_hold_of(const struct lock_record *record,
                                               const struct lock_owner *owner) {
    struct lock_hold *hold = record->holders;
    while (hold != NULL && hold->owner != owner) hold = hold->next;
    return hold;
}

static inline bool record_is_lone_hold(const struct lock_record *record) {
    return record->holders != NULL && record->holders->next == NULL;
}

/* Can mode be held beside what is held? */
static inline bool record_admits(const struct lock_record *record, kh_lock_mode mode) {
    if (record->holders == NULL) return true;
    return mode == KH_LOCK_SHARED && record->holders->mode == KH_LOCK_SHARED;
}

/* All memory back. */
void record_free_all(struct locks *table);

#endif
