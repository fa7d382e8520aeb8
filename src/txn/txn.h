/* txn.h - what one transaction knows: a pooled handle with its snapshot line, epoch record, memory
 * cache, arena, read set and write set.
 *
 * States (low byte of `state`; the rest is the use's serial number, so that whoever acts on a
 * handle from outside, the janitor or a cancel, cannot hit its next use): */
/* clang-format off */
/*   IDLE -> TAKEN -> ACTIVE -> COMMITTING -> ENDED -> IDLE   commit, and close
 *                      |  \-> PREPARED -> COMMITTING | ENDED  two steps
 *                      |-> ENDED                              rollback, refused commit
 *                      '-> STOPPED -> ENDED                   expired, cancelled, failed
 *   COMMITTING -> IN_FLIGHT -> ENDED                          the log answers later
 *
 * Threads: one at a time (busy); the janitor takes busy as JANITOR for a moment. */
/* clang-format on */
#ifndef KHONSU_TXN_TXN_H
#define KHONSU_TXN_TXN_H

#include "batch/ipc.h"
#include "store/store.h"
#include "txn/certify.h"
#include "txn/locks.h"
#include "txn/readset.h"
#include "txn/writeset.h"
#include <stddef.h>
#include <string.h>

enum txn_state {
    TXN_IDLE = 0,
    TXN_ACTIVE,
    TXN_COMMITTING,
    TXN_IN_FLIGHT,
    TXN_PREPARED,
    TXN_STOPPED, /* stop_status says why */
    TXN_ENDED,
    TXN_TAKEN /* out of the pool, not active yet; or holding a cursor's snapshot */
};
enum { STATE_BITS = 8, STATE_MASK = 255 };

enum txn_busy { BUSY_FREE = 0, BUSY_CALL = 1, BUSY_JANITOR = 2 };

/* Counters of one handle: written by its user, summed by statistics (relaxed). */
struct txn_counters {
    _Atomic uint64_t begins, commits, commits_read_only, rollbacks;
    _Atomic uint64_t aborts_conflict, aborts_not_serializable, aborts_expired, aborts_cancelled;
    _Atomic uint64_t aborts_busy, aborts_held, aborts_rows, aborts_other;
    _Atomic uint64_t aborts_locked, aborts_deadlock, aborts_semantic;
    _Atomic uint64_t resolved_ignore, resolved_replace, resolved_append, resolved_merge;
    _Atomic uint64_t resolved_callback, resolved_rows;
    _Atomic uint64_t retries, restages, claims, reads, scanned, writes, fetches;
};

static inline void txn_count(_Atomic uint64_t *counter, uint64_t change) {
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + change, memory_order_relaxed);
}

/* A value read at read committed under a policy that will need it as the base of a merge. */
struct kept_base {
    struct kept_base *next;
    struct entry *entry; /* compared, never followed */
    uint64_t timestamp;  /* of the statement: an older one is stale once the key was read again */
    kh_batch *batch;     /* a reference */
};

/* A batch whose reference the transaction holds until it is closed (answers of get on rows, values
 * pinned when its snapshot was revoked). */
struct held_batch {
    struct held_batch *next;
    kh_batch *batch;
};

/* How a committer waits for the log. Its thread closes the gate before it sleeps; whoever learns
 * the outcome opens it, or, where somebody sleeps, puts it into the list of those to be woken once
 * the section is left. From then on until it is open the thread stays where it is: the handle may
 * not be given back while it is in the list. */
enum txn_gate { GATE_NOBODY, GATE_CLOSED, GATE_IN_LIST, GATE_OPEN };

struct kh_workspace;
struct semantic_claim;

struct kh_txn {
    /* every call: one cache line */
    _Atomic uint32_t busy; /* enum txn_busy */
    uint32_t index;        /* of the handle, and of its line */
    _Atomic uint64_t state;
    struct kh_db *db;
    struct snapshot_line *line;
    uint64_t snapshot;            /* what it reads at; read committed: the last statement */
    _Atomic uint64_t deadline_ms; /* in ticks of the database; UINT64_MAX: none */
    uint8_t isolation;            /* kh_isolation, never default */
    uint8_t policy;               /* kh_policy, never default */
    uint8_t sync;                 /* kh_sync, never default */
    bool is_read_only;
    bool is_tracking;      /* reads go to the read set */
    bool is_certified;     /* serializable and tracked: certified at commit */
    bool has_own_options;  /* id_column or resolve are not the database's */
    uint8_t careful_below; /* a peek at this kh_isolation or below goes the long way (handle) */
    uint32_t sample_count; /* commits of this handle, for the histogram's sample */
    struct mem_cache *cache;
    /* memory, reads and writes: kept by the handle from use to use */
    struct epoch_record epoch;
    struct arena arena;
    struct readset reads;
    struct writeset writes;
    struct txn_counters counters;
    /* identity and options */
    uint64_t birth;               /* published timestamp at begin, or when it was moved (locking) */
    _Atomic uint64_t lent_serial; /* the last use in which values were lent (db/read.h) */
    _Atomic uint64_t begin_ms;    /* tick */
    kh_txn_id id;                 /* low 0: not assigned yet */
    uint64_t id_next;             /* rest of the block of ids reserved by this handle */
    uint64_t id_end;
    const char *id_column;
    kh_resolve_fn *resolve;
    void *resolve_context;
    _Atomic uint32_t outcome; /* kh_status + 1 once known; 0: pending */
    _Atomic uint32_t gate;    /* enum txn_gate: where its thread sleeps meanwhile */
    struct kh_txn *next_to_wake;
    int descriptor;                 /* eventfd, -1: none */
    struct certify_request request; /* where to look is set once, the rest by each commit */
    struct certify_verdict verdict;
    kh_conflict conflict;
    struct kh_txn *next_in_flight;
    struct kh_txn *next_prepared;
    uint64_t flight_cookie;
    uint64_t flight_position; /* of its record in the log */
    struct ipc_buffer frame;  /* the encoded record, when the log wants one */
    /* from here on zero when a use begins: txn_clear_use */
    struct kh_cursor *cursors;       /* open */
    struct kh_workspace *workspace;  /* that lists what it writes (db/workspace.h) */
    struct semantic_claim *semantic; /* of a workspace (db/semantic.h); in the arena */
    kh_timestamp committed;          /* commit timestamp */
    kh_status stop_status; /* STOPPED: what every call answers; ENDED: what commit answered */
    uint32_t tag_bytes;
    char *tag; /* in the arena */
    bool has_conflict;
    bool is_started;     /* by commit_start: followed with poll and wait */
    bool is_installed;   /* its staged versions are linked: the chains have them */
    bool is_sampled;     /* this commit is timed */
    bool is_counted;     /* in the statistics, once its outcome was asked for */
    bool is_detached;    /* closed while in flight or prepared */
    bool is_lost;        /* the log lost its record: the handle is not used again */
    bool is_marked;      /* its entries carry ENTRY_CLAIMED */
    bool is_claiming;    /* holds ENTRY_CLAIMED on its entries */
    bool is_special;     /* has_locks, or semantic: its commit goes the long way */
    bool has_locks;      /* or has asked for some: the owner is the table's until locking_end */
    uint8_t lock_wait;   /* kh_lock_wait of its commit; default: the database's */
    uint8_t flight_kind; /* enum record_kind of the record in flight */
    bool has_priority;   /* else it is 0 */
    uint32_t kept_count;
    struct held_batch *held_for_now; /* one of held; the next of its kind takes its place */
    /* what is left to be given back when a use ends; NULL between uses */
    struct kept_base *bases;
    struct held_batch *held;
    struct kept_range **kept; /* copies of the ranges read, to be kept after the commit */
    /* with has_locks only (priority: with has_priority) */
    struct lock_owner owner;
    int32_t priority;
    uint64_t locked_count; /* locks asked for and granted */
};

/* Nothing of this is looked at from outside of the use: plain stores. */
static inline void txn_clear_use(kh_txn *txn) {
    enum { FROM = offsetof(struct kh_txn, cursors), TO = offsetof(struct kh_txn, bases) };
    memset((char *)txn + FROM, 0, TO - FROM);
}

static inline enum txn_state txn_state_of(const kh_txn *txn) {
    return (enum txn_state)(atomic_load_explicit(&txn->state, memory_order_acquire) & STATE_MASK);
}
/* Move to a state, keeping the serial number. By the user of the handle, or in the section. */
static inline void txn_set_state(kh_txn *txn, enum txn_state state) {
    uint64_t word = atomic_load_explicit(&txn->state, memory_order_relaxed);
    atomic_store_explicit(&txn->state, (word & ~(uint64_t)STATE_MASK) | state,
                          memory_order_release);
}
/* From one state to another, unless somebody was faster. */
static inline bool txn_move_state(kh_txn *txn, enum txn_state from, enum txn_state to) {
    uint64_t word = atomic_load_explicit(&txn->state, memory_order_relaxed);
    if ((word & STATE_MASK) != from) return false;
    return atomic_compare_exchange_strong_explicit(&txn->state, &word,
                                                   (word & ~(uint64_t)STATE_MASK) | to,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

/* The janitor and the statistics look at these two from outside. */
static inline uint64_t txn_deadline(const kh_txn *txn) {
    return atomic_load_explicit(&txn->deadline_ms, memory_order_relaxed);
}
static inline void txn_set_deadline(kh_txn *txn, uint64_t deadline_ms) {
    atomic_store_explicit(&txn->deadline_ms, deadline_ms, memory_order_relaxed);
}
static inline uint64_t txn_begin_tick(const kh_txn *txn) {
    return atomic_load_explicit(&txn->begin_ms, memory_order_relaxed);
}
static inline void txn_set_begin_tick(kh_txn *txn, uint64_t begin_ms) {
    atomic_store_explicit(&txn->begin_ms, begin_ms, memory_order_relaxed);
}

#endif
