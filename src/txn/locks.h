/* locks.h - shared and exclusive locks on keys, for those who prefer to wait.
 *
 * A table of its own: it knows keys, and owners with an id, an age and a priority, and nothing of
 * versions. An owner holds a lock from its grant until locks_end (two phases: none is given back
 * alone); a call that fails takes nothing.
 *
 *   free for all     key without holders and without a queue
 *   shared           any number of holders; while somebody queues, newcomers queue behind
 *   exclusive        one holder; it may lock the key again, in any mode
 *   upgrade          a shared holder that asks for exclusive waits in front of the queue until it
 *                    is the only holder
 * The queue of a key is served from its front and stops at the first that cannot be served: nobody
 * is overtaken for ever.
 *
 * Owners (enum lock_state):
 *   RUNNING -> SEALED    by locks_seal: about to commit, or prepared; its locks are never taken
 *   RUNNING -> DOOMED    chosen as the victim of a deadlock, held a lock for longer than the
 *                        timeout while another wanted it (or until its own next call), interrupted:
 *                        its locks are gone, and every call says why until locks_end
 *   any     -> RUNNING   by locks_end
 * A waiter that blocks looks for a cycle of waiters that it would close, and so does each waiter
 * every 100 ms: the table has no thread.
 *
 * Threads: any, one at a time for each owner; all is under the table's latch (RANK_LOCKS), but for
 * `in_use`, which whoever has nothing to do with locks may read. Cost: a lock and its release are
 * one latch each and two list insertions for each key; no allocation once the table is warm.
 * Failure: KH_NO_MEMORY, nothing taken. */
#ifndef KHONSU_TXN_LOCKS_H
#define KHONSU_TXN_LOCKS_H

#include "base/env.h"
#include "base/lock.h"
#include "base/mem.h"
#include "khonsu/locks.h"

struct lock_record; /* a key that is locked or waited for */
struct lock_hold;   /* one owner's lock on it */
union lock_node;
struct lock_slab;

enum lock_state { OWNER_RUNNING = 0, OWNER_SEALED, OWNER_DOOMED };

enum {
    LOCKS_CYCLE_IDS = 8, /* ids kept of a cycle: as many as a message of 256 bytes can name */
    LOCKS_LOOK_MS = 100, /* a waiter looks for deadlocks so often */
    LOCKS_WAKES = 16,    /* woken after the latch was left; more are woken under it */
    LOCKS_FEW = 64       /* buckets that need no memory of their own */
};

struct lock_request {
    kh_bytes key;  /* borrowed until the call, or the wait that it began, is over */
    uint64_t hash; /* of the key; equal keys have equal hashes */
    kh_lock_mode mode;
};

/* Who is in the way. */
struct lock_blocker {
    kh_txn_id holder;
    kh_bytes key; /* the request's */
};

struct lock_owner {
    /* of the caller: locks_enroll */
    kh_txn_id id;
    uint64_t begun; /* larger is younger; a tie goes by the first lock */
    int32_t priority;
    /* of the table, under its latch */
    uint8_t state;                    /* enum lock_state */
    kh_status doom;                   /* DOOMED: what every call answers */
    const struct lock_owner *company; /* commits for it, too; NULL: nobody */
    uint64_t serial;                  /* of its first lock */
    uint64_t expires_ns;              /* the first lock's; 0: none yet */
    uint32_t call;                    /* serial number of calls: which holds are this one's */
    uint32_t hold_count;
    struct lock_hold *holds; /* newest first */
    /* while it waits */
    struct lock_record *waits_for; /* NULL: it does not */
    struct lock_owner *before;     /* in the queue */
    struct lock_owner *behind;
    union lock_node *spare; /* the hold that a grant will make of it */
    uint8_t waits_as;       /* kh_lock_mode */
    bool is_upgrade;
    uint64_t since_ns; /* when the call began to wait */
    const struct lock_request *requests;
    size_t request_count;
    size_t position;       /* requests before it are granted */
    _Atomic uint32_t word; /* 0: nothing has happened since it was looked at (futex) */
    /* of one search for cycles */
    uint64_t mark;
    struct lock_owner *parent;
    struct lock_owner *link;
    /* of a victim: who waited for whom, itself first */
    uint32_t cycle_length;
    kh_txn_id cycle[LOCKS_CYCLE_IDS];
};

struct lock_counts { /* since the table was made, but for the three of now */
    uint64_t grants;
    uint64_t upgrades;
    uint64_t waits;   /* calls that had to wait */
    uint64_t wait_ns; /* of those that are over */
    uint64_t timeouts;
    uint64_t expirations;
    uint64_t deadlocks;
    uint64_t victims;
    uint64_t queue_longest;
    uint64_t held;    /* now */
    uint64_t waiting; /* now */
};

struct locks {
    struct mem *mem;
    uint64_t timeout_ns; /* of a lock, from its grant */
    kh_lock_victim victim;
    struct lock_record **buckets;
    uint32_t bucket_mask;
    union lock_node *free_nodes;
    struct lock_slab *slabs;
    uint32_t slab_count;
    uint64_t serial; /* of owners */
    uint64_t mark;   /* of searches */
    struct lock_counts counts;
    uint32_t wake_count;
    _Atomic uint32_t *wakes[LOCKS_WAKES];
    struct lock_record *few[LOCKS_FEW];
    struct latch latch;
    /* Records in the table. Writer: the latch; readers: anybody, relaxed. */
    _Alignas(64) _Atomic uint32_t in_use;
};

/* Takes no memory. timeout_ns 0: locks do not expire. */
void locks_init(struct locks *table, struct mem *mem, uint64_t timeout_ns, kh_lock_victim victim);
/* Nobody holds or waits. */
void locks_fini(struct locks *table);

/* A zeroed owner, or one after locks_end, for its next use. */
void locks_enroll(struct lock_owner *owner, kh_txn_id id, uint64_t begun, int32_t priority);

/* All of the locks or none, at once. KH_LOCK_CONFLICT: *blocker (NULL allowed) has one of them, or
 * waits for it already; the doom of the owner; KH_NO_MEMORY. A key may be named twice. */
kh_status locks_try(struct locks *table, struct lock_owner *owner,
                    const struct lock_request *requests, size_t count, uint64_t now_ns,
                    struct lock_blocker *blocker);
/* The same, but get into the queue: one key after the other in their order, sorted here, which is
 * the same for all. KH_PENDING: it waits; requests stay with the owner until locks_look says
 * otherwise or locks_give_up. A sealed owner is running again. */
kh_status locks_ask(struct locks *table, struct lock_owner *owner, struct lock_request *requests,
                    size_t count, uint64_t now_ns, struct lock_blocker *blocker);
/* What has become of it: KH_PENDING (look again at *next_ns at the latest), KH_OK: all granted; its
 * doom, KH_NO_MEMORY: it does not wait any more. */
kh_status locks_look(struct locks *table, struct lock_owner *owner, uint64_t now_ns,
                     uint64_t *next_ns);
/* Wait no longer: what the call has got goes back. *blocker says who was in the way. KH_OK: all was
 * granted meanwhile; KH_LOCK_CONFLICT; its doom. */
kh_status locks_give_up(struct locks *table, struct lock_owner *owner, uint64_t now_ns,
                        struct lock_blocker *blocker);
/* Ask, and sleep until it is decided or deadline_ns has passed on that clock (UINT64_MAX: never).
 * The caller holds no lock. */
kh_status locks_wait(struct locks *table, struct lock_owner *owner, struct lock_request *requests,
                     size_t count, const struct env_clock *clock, uint64_t deadline_ns,
                     struct lock_blocker *blocker);

/* Its locks are safe from now on: it is about to commit, or to be prepared. KH_OK, or its doom. */
kh_status locks_seal(struct locks *table, struct lock_owner *owner, uint64_t now_ns);
/* The same, and its locks are in nobody's way who asks as `company` (locks_find_blocker). */
kh_status locks_join(struct locks *table, struct lock_owner *owner,
                     const struct lock_owner *company, uint64_t now_ns);
/* It did not commit: it is running again, by itself. */
void locks_part(struct locks *table, struct lock_owner *owner);
/* Give everything back, whatever its state. It does not wait. */
void locks_end(struct locks *table, struct lock_owner *owner);
/* Another thread stops the wait of that owner with KH_CANCELLED. False: it does not wait, or is not
 * of that id any more. */
bool locks_interrupt(struct locks *table, struct lock_owner *owner, kh_txn_id id);

static inline uint64_t locks_in_use(const struct locks *table) {
    return atomic_load_explicit(&table->in_use, memory_order_relaxed);
}
static inline bool locks_is_empty(const struct locks *table) {
    return locks_in_use(table) == 0;
}
/* Does another than owner (NULL: anybody), and than those in its company, hold a lock on the key
 * that has not expired? Nothing but a load when the table is empty. */
bool locks_find_blocker(struct locks *table, kh_bytes key, uint64_t hash,
                        const struct lock_owner *owner, uint64_t now_ns,
                        struct lock_blocker *blocker);
static inline bool locks_blocker(struct locks *table, kh_bytes key, uint64_t hash,
                                 const struct lock_owner *owner, uint64_t now_ns,
                                 struct lock_blocker *blocker) {
    if (KH_LIKELY(locks_is_empty(table))) return false;
    return locks_find_blocker(table, key, hash, owner, now_ns, blocker);
}

void locks_count(struct locks *table, struct lock_counts *out);

#endif
