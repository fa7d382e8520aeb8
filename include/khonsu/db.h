/* khonsu/db.h - databases: version, options, open and close, time travel, watch, statistics.
 *
 * A kh_db may be used by any number of threads at once. After fork() every call on it in the child
 * answers KH_FORKED. Structs of options begin with their own size: initialise them with their
 * ..._INIT macro, so that a program built against an older header keeps its meaning. */
#ifndef KHONSU_DB_H
#define KHONSU_DB_H

#include "khonsu/batch.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- version and features -------------------------------------------------------------------- */

#define KH_VERSION_MAJOR 0
#define KH_VERSION_MINOR 1
#define KH_VERSION_PATCH 0

/* "0.1.0"; static. */
KH_API const char *kh_version(void);
/* Is the feature in this build? "memory" (in-memory databases), "ipc", "lz4", "zstd", "hash-front",
 * "durable" (a path can be opened), "slow-checks", "mutant". Unknown names: false. */
KH_API bool kh_has_feature(const char *feature);

/* ---- levels and policies --------------------------------------------------------------------- */

typedef enum kh_isolation {
    KH_DEFAULT_ISOLATION = 0, /* the database's; at open: repeatable read */
    KH_READ_COMMITTED = 1,
    KH_REPEATABLE_READ = 2, /* a snapshot taken at begin (snapshot isolation) */
    KH_SERIALIZABLE = 3     /* strict: the serial order agrees with real time */
} kh_isolation;

/* What happens to a write of a key of which a rival committed a version. */
typedef enum kh_policy {
    KH_DEFAULT_POLICY = 0, /* the transaction's, the database's; at open: fail */
    KH_FAIL = 1,           /* KH_CONFLICT */
    KH_IGNORE = 2,         /* drop this write; commit lists it as dropped */
    KH_REPLACE = 3,        /* this write goes on top */
    KH_APPEND = 4,         /* upsert this batch's rows into the newest version */
    KH_MERGE = 5,          /* three-way merge by row id between base, mine and theirs */
    KH_CALLBACK = 6        /* ask kh_options.resolve */
} kh_policy;

typedef enum kh_resolution {
    KH_RESOLVE_CONFLICT = 0, /* KH_CONFLICT after all */
    KH_RESOLVE_WRITE = 1,    /* *out is written (a new reference, moved to khonsu; NULL: delete) */
    KH_RESOLVE_DROP = 2      /* as KH_IGNORE */
} kh_resolution;

/* The callback of KH_CALLBACK. base: what this transaction read, else the newest at its begin;
 * mine: its write; theirs: the newest committed; each NULL when absent or deleted, borrowed for the
 * call. Must be deterministic; runs outside of locks, on the committing thread, perhaps several
 * times for one commit; must not use the committing transaction. At read committed what was read
 * is kept as a base only when the policy was declared at begin: one given with the write answers
 * KH_CONFLICT instead of calling. */
typedef kh_resolution kh_resolve_fn(void *context, kh_bytes key, const kh_batch *base,
                                    const kh_batch *mine, const kh_batch *theirs, kh_batch **out);

/* ---- durability ------------------------------------------------------------------------------ */

/* When a commit of a database with a path answers, and what it can lose. Always the newest ones:
 * whoever is there after a crash, all before it are. */
typedef enum kh_sync {
    KH_SYNC_DEFAULT = 0, /* the database's; at open: full */
    KH_SYNC_FULL = 1,    /* once it is on disk: loses nothing. Commits that wait at the same time
                          * share one sync of the disk */
    KH_SYNC_GROUP = 2,   /* the same, but the sync may wait up to sync_delay_us for company: loses
                          * nothing, costs less when many commit, and time when few do */
    KH_SYNC_NONE = 3     /* at once. The kill of the process can lose what was committed within the
                          * last sync_delay_us and while the disk was syncing (every 200 ms, for
                          * milliseconds, or as long as a busy disk takes); a loss of power what was
                          * within about 200 ms more. Neither the change feed nor the history's head
                          * shows it before it is on disk; a later commit of the other two makes it
                          * so */
} kh_sync;

/* ---- locks on keys (locks.h) ----------------------------------------------------------------- */

/* What a commit does that writes a key which another transaction has locked. */
typedef enum kh_lock_wait {
    KH_LOCK_WAIT_DEFAULT = 0, /* the database's; at open: refuse */
    KH_LOCK_REFUSE = 1,       /* KH_LOCK_CONFLICT */
    KH_LOCK_WAIT = 2          /* locks its keys exclusively, waiting up to its timeout */
} kh_lock_wait;

/* Who of a circle of transactions that wait for one another has to go. What the policy leaves open
 * is decided by age: the youngest goes. */
typedef enum kh_lock_victim {
    KH_VICTIM_YOUNGEST = 0, /* begun last, to the janitor's 10 ms; then: locked first last */
    KH_VICTIM_OLDEST = 1,
    KH_VICTIM_LOWEST_PRIORITY = 2, /* kh_txn_options.priority */
    KH_VICTIM_MOST_LOCKS = 3
} kh_lock_victim;

/* ---- options --------------------------------------------------------------------------------- */

/* Allocator hook: allocate returns NULL on failure; alignment is a power of two up to 64; free gets
 * the size that was asked. Both may be called by any thread, also after kh_db_close while exported
 * arrays or batches of the database live. */
typedef struct kh_allocator {
    void *(*allocate)(void *context, size_t size_bytes, size_t alignment);
    void (*free)(void *context, void *block, size_t size_bytes);
    void *context;
} kh_allocator;

/* Clock hook: wall clock in milliseconds since 1970 (may step back: timestamps never do) and a
 * monotonic clock in nanoseconds. Any thread; must not call khonsu. */
typedef struct kh_clock {
    uint64_t (*wall_ms)(void *context);
    uint64_t (*monotonic_ns)(void *context);
    void *context;
} kh_clock;

typedef enum kh_log_level { KH_LOG_ERROR = 0, KH_LOG_WARNING = 1, KH_LOG_NOTICE = 2 } kh_log_level;
/* Message hook: the only output of the library (default: none). Any thread, outside of locks. With
 * KH_LOG_NOTICE, from within kh_db_open where there is something to read: "opening ..." when that
 * begins, "opening: ..." at most once a second, how far it is, "opened: ..." when it has succeeded;
 * for people, the words may change. */
typedef void kh_message_fn(void *context, kh_log_level level, const char *message);

/* Bounds; 0 means the default. Beyond one: KH_TOO_BIG, or KH_BUSY where waiting can help. */
typedef struct kh_limits {
    size_t size;                  /* sizeof(kh_limits) */
    uint64_t memory_bytes;        /* of the whole database; default: none. With a path or a storage
                                   * values that were not read lately leave memory above 7/8 of it,
                                   * and are read back when they are wanted (docs/durability.md).
                                   * At the limit writers wait up to their timeout for memory to be
                                   * reclaimed, then KH_BUSY */
    uint64_t batch_bytes;         /* one batch; default 4 GiB */
    uint64_t txn_bytes;           /* values written by one transaction; default 1 GiB */
    uint32_t txn_writes;          /* keys written by one transaction; default 1,000,000 */
    uint32_t txn_reads;           /* reads remembered by one transaction; default 1,000,000; beyond,
                                   * they are widened to ranges (sound; more false conflicts) */
    uint32_t txns;                /* open transactions; default 4,096; beyond: KH_BUSY */
    uint32_t ranges;              /* range reads kept for certification; default 4,096 */
    uint32_t outcomes;            /* outcomes kept for kh_db_outcome; default 65,536 */
    uint32_t watch_events;        /* events waiting in one watch; default 65,536 */
    uint64_t max_snapshot_age_ms; /* read-only transactions are revoked after it; default: never */
} kh_limits;

struct kh_log;
struct kh_storage;
struct kh_semantic_options;

enum kh_open_flag {
    /* No thread of the library: the caller runs kh_db_step() now and then. With a clock hook the
     * whole database is deterministic. */
    KH_OPEN_NO_THREADS = 1,
    /* Of a path: change nothing, also while another process has it open and writes. What is seen is
     * what had been committed when it was opened (a commit whose sync was under way may be there,
     * too); what is committed later is not. History reaches back as far as the directory has it,
     * whatever retention says here. Transactions are read-only: writes answer KH_READ_ONLY. */
    KH_OPEN_READ_ONLY = 2,
    /* Of a path: what is large by itself (2 MiB of records that were committed together) does not
     * go through RocksDB's write-ahead log but into table files that RocksDB ingests: a bulk load
     * takes half the time. All promises are the same as long as the disk works. With RocksDB 7.8 a
     * read or sync that fails in the middle of an ingestion can leave the whole database
     * unreadable: for a database that can be loaded again, or restored (docs/durability.md). */
    KH_OPEN_INGEST = 4
};

typedef struct kh_options {
    size_t size;              /* sizeof(kh_options) */
    const char *path;         /* directory of a durable database, made if absent. NULL: in memory.
                               * Needs the feature "durable" */
    uint32_t flags;           /* enum kh_open_flag */
    kh_isolation isolation;   /* of transactions that do not say; default repeatable read */
    kh_policy policy;         /* of writes that do not say; default fail */
    const char *id_column;    /* of row operations and policies; default "id"; copied */
    kh_validation validation; /* of arrays put into transactions; default full */
    uint32_t timeout_ms;      /* of read-write transactions; default 5,000 */
    uint64_t retention_ms;    /* history kept for kh_txn_begin_at and kh_db_history; default 0 */
    uint64_t retention_bytes; /* and at most this many bytes of it; 0: no bound by bytes */
    kh_resolve_fn *resolve;   /* for KH_CALLBACK */
    void *resolve_context;
    kh_limits limits;
    kh_allocator allocator; /* all NULL: the library's pool */
    kh_clock clock;         /* all NULL: the system's */
    kh_message_fn *message;
    void *message_context;
    struct kh_log *log; /* see log.h; NULL: none, records are not kept. Borrowed until close */
    struct kh_storage *storage; /* see log.h; NULL: none. Borrowed until close */
    uint32_t node;              /* part of transaction ids; default 0 */
    kh_sync sync;               /* of transactions that do not say; default full */
    uint32_t sync_delay_us;     /* see kh_sync; default 1,000, at most 1,000,000 */
    uint64_t as_of; /* with KH_OPEN_READ_ONLY: the state at this timestamp, which is kh_db_now then;
                     * what was prepared and not decided is left out. 0: the newest */
    const struct kh_semantic_options *semantic; /* see workspace.h; NULL: defaults; copied */
    uint32_t lock_timeout_ms;   /* a transaction whose first lock is older is stopped with
                                 * KH_EXPIRED, unless it is prepared; default 30,000 */
    kh_lock_victim lock_victim; /* default: the youngest */
    kh_lock_wait lock_wait;     /* of transactions that do not say; default refuse */
} kh_options;
#define KH_LIMITS_INIT                                                                             \
    { sizeof(kh_limits), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
#define KH_OPTIONS_INIT                                                                            \
    {                                                                                              \
        sizeof(kh_options), 0, 0, KH_DEFAULT_ISOLATION, KH_DEFAULT_POLICY, 0, KH_VALIDATE_FULL, 0, \
            0, 0, 0, 0, KH_LIMITS_INIT, {0, 0, 0}, {0, 0, 0}, 0, 0, 0, 0, 0, KH_SYNC_DEFAULT, 0,   \
            0, 0, 0, KH_VICTIM_YOUNGEST, KH_LOCK_WAIT_DEFAULT                                      \
    }

/* Open a database. options NULL: all defaults. KH_INVALID: an option out of its range or a size the
 * library does not know; KH_UNSUPPORTED: a path in a build without "durable", or for writing in a
 * process that was forked after it had used a path; KH_CORRUPT, KH_IO:
 * what the log or storage delivers cannot be replayed; KH_NO_MEMORY. With as_of: KH_TOO_OLD:
 * history does not reach back to it; KH_INVALID: it is in the future. KH_BUSY: read-only, and a
 * writer changed the directory faster than it could be opened. */
KH_API KH_WARN_UNUSED kh_status kh_db_open(const kh_options *options, kh_db **out, kh_error *error);
/* Close. KH_IN_USE (and nothing happens) while transactions, cursors, streams, views in time,
 * watches or change feeds are open. Batches and exported arrays stay valid. No other call may run
 * or follow. In a forked child: frees nothing and answers KH_FORKED. NULL: KH_OK. */
KH_API kh_status kh_db_close(kh_db *db);
/* Run the library's periodic work once (timeouts, reclamation): with KH_OPEN_NO_THREADS, or to have
 * it now. Reclaims all that no snapshot needs before it returns, unless another step is running
 * (one of another thread, or the one that a release callback is called from): then it does nothing.
 */
KH_API void kh_db_step(kh_db *db);

/* ---- time and identity ----------------------------------------------------------------------- */

/* Commit timestamps: strictly increasing, 48 bits of wall clock milliseconds and 16 of counter. */
typedef uint64_t kh_timestamp;
#define KH_TIMESTAMP_OF_MS(ms) ((kh_timestamp)(ms) << 16)
#define KH_MS_OF_TIMESTAMP(timestamp) ((uint64_t)(timestamp) >> 16)

/* A transaction's identity: unique for ever, across databases and restarts. */
typedef struct kh_txn_id {
    uint64_t high; /* kh_options.node */
    uint64_t low;  /* counts up from the opening's wall clock milliseconds << 20; never 0 */
} kh_txn_id;

/* The identity of a database and of its timeline (a restored copy gets a new timeline). */
typedef struct kh_identity {
    uint8_t database[16];
    uint8_t timeline[16];
} kh_identity;
KH_API kh_identity kh_db_identity(const kh_db *db);
/* The newest timestamp that readers see. Any thread; a load. */
KH_API kh_timestamp kh_db_now(const kh_db *db);

typedef enum kh_outcome {
    KH_OUTCOME_ACTIVE = 0, /* not ended */
    KH_OUTCOME_PREPARED = 1,
    KH_OUTCOME_COMMITTED = 2,
    KH_OUTCOME_ABORTED = 3,
    KH_OUTCOME_FORGOTTEN = 4 /* nothing is known: it may have been either */
} kh_outcome;
/* What became of a transaction. A database with a path (or a storage) answers for everything that
 * its log has kept, also after restarts, as long as the log has it and for a day at least (of
 * commit timestamps: until the newest is a day later); what was never kept is aborted. Forgotten is
 * what began earlier than that, an id of another node (kh_options.node), and, of a read-only
 * opening, all that it does not find: the writer may have it in hand. KH_NOT_FOUND: in memory, it
 * ended too long ago to be remembered; or no such id was ever given out.
 * *timestamp (NULL allowed) is written for committed ones that changed something, else 0.
 * Outcomes of transactions with writes at least are kept. */
KH_API KH_WARN_UNUSED kh_status kh_db_outcome(kh_db *db, kh_txn_id id, kh_outcome *out,
                                              kh_timestamp *timestamp, kh_error *error);

/* ---- history --------------------------------------------------------------------------------- */

/* One version of a key. value NULL: a deletion. Borrowed for the call. */
typedef struct kh_version_entry {
    kh_timestamp timestamp;
    const kh_batch *value;
} kh_version_entry;
/* Called for each version, newest first; false stops. Not under a lock; may use the database. */
typedef bool kh_version_fn(void *context, const kh_version_entry *version);
/* A key's versions with timestamps in [from, to] (0 and UINT64_MAX for all) that are still kept.
 * *is_complete (NULL allowed): false when versions in that span may have been reclaimed. */
KH_API KH_WARN_UNUSED kh_status kh_db_history(kh_db *db, kh_bytes key, kh_timestamp from,
                                              kh_timestamp to, kh_version_fn *visit, void *context,
                                              bool *is_complete, kh_error *error);
/* The oldest timestamp that kh_txn_begin_at accepts now. With retention it survives a restart: what
 * was readable before the close is readable after the open. */
KH_API kh_timestamp kh_db_horizon(kh_db *db);
/* Apply retention now: versions that nobody may read any more leave memory, the storage and the
 * log, and the files are rewritten without them. Takes as long as reading the database;
 * transactions go on meanwhile. KH_READ_ONLY; KH_IO, KH_NO_SPACE, KH_NO_MEMORY: the storage could
 * not be brought up to date (which is tried again in the background). Any thread. */
KH_API KH_WARN_UNUSED kh_status kh_db_compact(kh_db *db, kh_error *error);

/* ---- watch ----------------------------------------------------------------------------------- */

typedef struct kh_watch kh_watch;
typedef struct kh_watch_event {
    kh_bytes key;           /* borrowed until the next call on the watch; size 0: no key, this event
                             * only says that others were lost */
    kh_timestamp timestamp; /* commit that changed it */
    bool is_deleted;
    bool is_lossy; /* events before this one were dropped (kh_limits.watch_events, or no memory for
                    * them): rescan */
} kh_watch_event;
/* Watch the keys that start with prefix (empty: all). Sees every commit after kh_db_now() at open,
 * in commit order. Close it before the database. One thread at a time in one watch. */
KH_API KH_WARN_UNUSED kh_status kh_watch_open(kh_db *db, kh_bytes prefix, kh_watch **out,
                                              kh_error *error);
/* The next event, waiting up to timeout_ms (0: not at all; UINT32_MAX: for ever) without polling.
 * KH_OK: *event; KH_PENDING: none yet. kh_watch_cancel from another thread ends the wait. */
KH_API KH_WARN_UNUSED kh_status kh_watch_next(kh_watch *watch, uint32_t timeout_ms,
                                              kh_watch_event *event, kh_error *error);
/* A descriptor (eventfd) that is readable while events wait, for poll() and its kin; the watch owns
 * it. -1: the process has no descriptors left. */
KH_API int kh_watch_descriptor(kh_watch *watch);
/* End a wait in another thread: it answers KH_CANCELLED, as do all later ones. Any thread. */
KH_API void kh_watch_cancel(kh_watch *watch);
KH_API void kh_watch_close(kh_watch *watch);

/* ---- live transactions ----------------------------------------------------------------------- */

typedef struct kh_live_txn {
    kh_txn_id id;
    kh_isolation isolation;
    bool is_read_only;
    bool is_prepared;
    uint64_t age_ms;
    kh_timestamp snapshot; /* 0 at read committed between statements */
    uint64_t read_count;   /* as of its last call */
    uint64_t write_count;
    const char *tag; /* NUL-terminated; borrowed for the call */
} kh_live_txn;
/* Called for each open transaction in no order; false stops. Must not use the database. */
typedef bool kh_live_fn(void *context, const kh_live_txn *txn);
KH_API KH_WARN_UNUSED kh_status kh_db_live(kh_db *db, kh_live_fn *visit, void *context,
                                           kh_error *error);
/* Cancel by id: its next call (or a wait it is in) answers KH_CANCELLED. A commit that has passed
 * its point of no return is not cancelled; prepared ones are refused. KH_NOT_FOUND: no such live
 * one. */
KH_API KH_WARN_UNUSED kh_status kh_db_cancel(kh_db *db, kh_txn_id id, kh_error *error);

/* ---- statistics ------------------------------------------------------------------------------ */

#define KH_HISTOGRAM_BUCKETS 40
/* Bucket i counts durations in [2^i, 2^(i+1)) nanoseconds. Sampled: sample_every says how. */
typedef struct kh_histogram {
    uint64_t buckets[KH_HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t sum_ns;
} kh_histogram;

typedef struct kh_hot_key {
    unsigned char key[64]; /* cut at 64 bytes */
    uint32_t key_bytes;    /* whole length */
    uint64_t conflicts;    /* upper bound (space-saving counters, Metwally et al. 2005) */
} kh_hot_key;
#define KH_HOT_KEYS 32

typedef struct kh_stats {
    size_t size; /* sizeof(kh_stats), set by the caller */
    uint64_t begins;
    uint64_t commits;           /* with writes */
    uint64_t commits_read_only; /* without */
    uint64_t rollbacks;         /* by the caller */
    uint64_t aborts_conflict;
    uint64_t aborts_not_serializable;
    uint64_t aborts_expired;
    uint64_t aborts_cancelled;
    uint64_t aborts_busy;
    uint64_t aborts_held;
    uint64_t aborts_rows; /* row operations: exists, not found, ids, merge */
    uint64_t aborts_other;
    uint64_t resolved_ignore; /* writes */
    uint64_t resolved_replace;
    uint64_t resolved_append;
    uint64_t resolved_merge;
    uint64_t resolved_callback;
    uint64_t resolved_rows; /* row operations applied on a rival's version */
    uint64_t retries;       /* by kh_db_run */
    uint64_t restages;      /* commits staged again because a rival came between */
    uint64_t claims;        /* keys claimed after LIMIT_RESTAGE */
    uint64_t reads;         /* gets; entries of scans are counted in scanned */
    uint64_t scanned;
    uint64_t writes; /* committed */
    uint64_t keys;   /* with a version, tombstones included */
    uint64_t versions_live;
    uint64_t versions_reclaimed;
    uint64_t memory_bytes; /* all of the database's memory */
    uint64_t index_bytes;
    uint64_t snapshots; /* open transactions that hold one */
    uint64_t oldest_snapshot_age_ms;
    kh_txn_id oldest_snapshot_txn;
    uint64_t ranges;          /* range reads kept for certification */
    uint64_t range_evictions; /* folded into the floor */
    uint64_t prepared;        /* transactions */
    uint64_t in_flight;       /* records appended and not yet durable */
    uint64_t watches;
    uint64_t sample_every;   /* one of so many commits is timed */
    kh_histogram commit_ns;  /* kh_txn_commit of writers, from call to answer */
    kh_histogram section_ns; /* of that, inside the commit section */
    uint32_t hot_key_count;
    kh_hot_key hot_keys[KH_HOT_KEYS];
    uint64_t versions_cold; /* of versions_live, those whose values are in the storage only */
    uint64_t fetches;       /* values read back from the storage */
    uint64_t aborts_locked; /* commits of a key that another had locked */
    uint64_t aborts_deadlock;
    uint64_t lock_grants;
    uint64_t lock_upgrades; /* shared to exclusive */
    uint64_t lock_waits;    /* calls that had to wait */
    uint64_t lock_wait_ns;  /* of those that are over */
    uint64_t lock_timeouts; /* waits that ended without the lock */
    uint64_t lock_expirations;
    uint64_t lock_deadlocks; /* circles found */
    uint64_t lock_victims;   /* transactions that had to go for them */
    uint64_t lock_queue_longest;
    uint64_t locks_held;        /* now */
    uint64_t locks_waiting;     /* transactions that wait now */
    uint64_t aborts_semantic;   /* commits against what was committed and not seen (workspace.h) */
    uint64_t semantic_merges;   /* puts merged by what they mean */
    uint64_t semantic_compared; /* deltas that commits were compared with */
    uint64_t semantic_remembered; /* deltas of the newest commits, now */
    uint64_t semantic_bytes;      /* of those, and for searching them */
    uint64_t workspaces;          /* open */
} kh_stats;
/* A consistent enough copy: each number is exact at some moment of the call. */
KH_API KH_WARN_UNUSED kh_status kh_db_stats(kh_db *db, kh_stats *out, kh_error *error);

typedef enum kh_stats_format { KH_STATS_JSON = 0, KH_STATS_PROMETHEUS = 1 } kh_stats_format;
/* The same as text: a JSON object, or the Prometheus exposition format 0.0.4. Freed by
 * kh_bytes_free; NUL-terminated, the NUL is not counted. */
KH_API KH_WARN_UNUSED kh_status kh_db_stats_text(kh_db *db, kh_stats_format format, kh_bytes *out,
                                                 kh_error *error);

#ifdef __cplusplus
}
#endif
#endif
