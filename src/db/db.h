/* db.h - one open database: the store, the commit section, the pool of handles, the log's pipeline.
 *
 * Lock order: pool < section < locks < log < watch < ... (base/lock.h). The section is the one
 * short serial piece of a commit: certify, append, install, publish. Whoever waits for something
 * that a commit or an end of a transaction brings about waits on `progress` with the section's
 * lock. */
#ifndef KHONSU_DB_DB_H
#define KHONSU_DB_DB_H

#include "base/env.h"
#include "base/lock.h"
#include "base/metric.h"
#include "batch/home.h"
#include "db/watch.h"
#include "khonsu.h"
#include "log/log.h"
#include "log/record.h"
#include "txn/txn.h"

/* Commits of the recent past, for range reads: 16 bytes a write. */
enum { RECENT_WRITES = 16384 };
/* One of so many commits is timed: reading the clock twice would be a tenth of a small commit. */
enum { SAMPLE_EVERY = 64 };
/* A tick of the janitor: the granularity of timeouts. */
enum { TICK_MS = 10 };

struct outcome_slot { /* direct-mapped by id.low */
    _Atomic uint64_t low;
    _Atomic uint64_t result; /* commit timestamp, OUTCOME_ABORTED_MARK */
};
#define OUTCOME_ABORTED_MARK UINT64_MAX

/* A deferrable transaction that waits for a safe snapshot. */
struct safe_waiter {
    struct safe_waiter *next;
    uint64_t snapshot;
    bool is_unsafe; /* a serializable writer committed with phi at or below the snapshot */
};

struct pipeline {             /* records between append and the log's answer; section */
    const struct kh_log *log; /* NULL: memory log, completes at once */
    uint64_t next_cookie;
    kh_txn *first; /* in flight, oldest first */
    kh_txn *last;
    uint32_t count;
    size_t notes_reserved;      /* queue places that their publication may take */
    _Atomic uint32_t is_busy;   /* count != 0, for readers outside of the section */
    _Atomic uintptr_t appender; /* the thread inside log->append (env_self), 0: none */
    _Atomic uint32_t answering; /* calls of complete from outside of append, until they return */
    uint64_t answered;          /* cookie answered from within append */
    uint32_t answer;            /* kh_log_answer other than kept, from within append */
    bool is_lost;               /* what is in flight will never be answered for */
    kh_status poison;           /* KH_OK, or what commits answer from now on */
    uint64_t position;          /* records in the log */
    struct log_schemas schemas;
    struct ipc_buffer frame; /* of the record being appended */
};

typedef struct kh_workspace kh_workspace;

struct workspaces {         /* db/workspace.h */
    struct lock lock;       /* RANK_DATABASE: growth, and deltas */
    kh_workspace **handles; /* limits.txns slots; NULL until there is one */
    _Atomic uint32_t count; /* handles made */
    _Atomic uint64_t spare; /* stack of those that are not open: tag, index + 1 */
};

struct kh_db {
    struct batch_home home; /* first: batch/home.h */
    struct store store;
    /* options */
    uint32_t flags;
    kh_isolation isolation;
    kh_policy policy;
    kh_sync sync;
    uint32_t sync_delay_us;
    uint64_t as_of; /* of a read-only opening; 0: the newest */
    kh_validation validation;
    uint32_t timeout_ms;
    uint32_t lock_timeout_ms;
    kh_lock_wait lock_wait;
    char *id_column;
    kh_resolve_fn *resolve;
    void *resolve_context;
    kh_limits limits;
    struct env_clock clock;
    _Atomic bool is_poison_told; /* the message hook knows */
    kh_message_fn *message;
    void *message_context;
    uint32_t node;
    uint64_t id_high;
    kh_identity identity;
    /* pool */
    struct lock pool_lock; /* growth */
    kh_txn **handles;      /* limits.txns slots */
    _Atomic uint32_t handle_count;
    _Atomic uint64_t next_id;
    /* time */
    /* Monotonic, as of the janitor's last tick. Without threads: the end of time, so that the door
     * (handle_enter) finds every deadline passed and asks the clock. */
    _Atomic uint64_t tick_ms;
    _Atomic uint32_t is_janitor_idle;
    /* the section */
    _Alignas(64) struct latch section; /* and what every commit writes, on the latch's line */
    uint64_t wall_ms;                  /* newest seen: the clock may step back */
    struct recent_writes recent;
    struct signal progress;
    uint32_t waiters; /* on progress */
    struct kept_ranges ranges;
    struct safe_waiter *safe_waiters;
    struct kh_txn *prepared;
    _Atomic uint64_t prepared_count;
    struct pipeline pipeline;
    kh_txn *claimer; /* the one commit that has claimed its keys: others of those keys wait */
    struct outcome_slot *outcomes; /* limits.outcomes rounded up to a power of two */
    uint64_t outcome_mask;
    const struct kh_storage *storage;
    struct durable *durable;   /* of a path; NULL: in memory */
    struct upkeep *upkeep;     /* of a storage; NULL: none */
    struct evictor *evictor;   /* of a storage and a memory limit; NULL: all values stay */
    struct opening *opening;   /* while kh_db_open has not returned */
    _Atomic uint32_t feeds;    /* open change feeds, streams of them included */
    struct semantic *semantic; /* deltas of the newest commits */
    struct workspaces workspaces;
    struct lock feed_lock; /* RANK_DATABASE: the list of them */
    struct kh_changes *first_feed;
    /* what others look at: watches and statistics */
    struct watch_hub watches;
    struct hot_keys hot_keys;
    struct histogram commit_ns;
    struct histogram section_ns;
    /* janitor */
    struct env_thread *janitor;
    struct lock janitor_lock; /* RANK_DATABASE */
    struct signal janitor_wake;
    bool is_open; /* whole: close brings the storage to the log's end */
    bool is_closing;
    bool has_hubs; /* what open has built, for a failure half-way */
    bool has_store;
    bool has_pipeline;
    _Atomic bool is_stepping; /* kh_db_step */
    struct epoch_record step_epoch;
    struct mem_cache *step_cache;
    struct epoch_record janitor_epoch;
    struct mem_cache *janitor_cache;
    /* Of who answers for the log, in the section; what it retires others adopt. */
    struct epoch_record log_epoch;
    struct mem_cache *log_cache;
    kh_txn *to_wake;  /* their outcome is known: to be woken outside of the section */
    kh_txn *deferred; /* detached and ended: to be released outside of the section */
    struct locks locks; /* on keys, of those who ask for them */
};

static inline uint64_t db_visible(const struct kh_db *db) {
    return atomic_load_explicit(&db->store.visible, memory_order_acquire);
}

/* Milliseconds on the monotonic clock, as of the janitor's last tick; without threads, now. */
static inline uint64_t db_tick(const struct kh_db *db) {
    if (KH_UNLIKELY(db->flags & KH_OPEN_NO_THREADS)) return env_monotonic_ns(&db->clock) / 1000000u;
    return atomic_load_explicit(&db->tick_ms, memory_order_relaxed);
}

static inline bool db_is_forked(const struct kh_db *db) {
    return env_is_forked(db->home.fork_generation);
}

#endif
