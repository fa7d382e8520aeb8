/* khonsu/txn.h - transactions.
 *
 *     kh_txn *txn;
 *     kh_txn_begin(db, NULL, &txn, &error);
 *     kh_txn_get(txn, key, &batch, &error);
 *     kh_txn_put(txn, key, changed, &error);
 *     kh_txn_commit(txn, &timestamp, &error);     ends the transaction
 *     kh_txn_close(txn);                          gives the handle back
 *
 * A transaction ends in kh_txn_commit or kh_txn_rollback, whatever they answer; its handle lives on
 * until kh_txn_close, so that details can be asked for and a call too late is answered KH_FINISHED.
 * kh_txn_close rolls back what has not ended.
 * One thread at a time in a transaction (it may move between threads): a second one in it at the
 * same time is answered KH_MISUSE and changes nothing.
 * After a failed call the transaction goes on, unless the status is of class RETRY or is
 * KH_CANCELLED, KH_FORKED or KH_POISONED: then it has failed for good, and every later call but
 * rollback and close answers the same again. kh_txn_lock's KH_LOCK_CONFLICT alone is no such end.
 */
#ifndef KHONSU_TXN_H
#define KHONSU_TXN_H

#include "khonsu/db.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kh_txn kh_txn;

/* ---- begin ----------------------------------------------------------------------------------- */

enum kh_begin_flag {
    KH_BEGIN_READ_ONLY = 1,
    /* With READ_ONLY and KH_SERIALIZABLE: wait for a safe snapshot, then read without being tracked
     * and never abort (Ports and Grittner, VLDB 2012, section 4.3). The wait ends with KH_BUSY
     * after timeout_ms if one is given. */
    KH_BEGIN_DEFERRABLE = 2
};

typedef struct kh_txn_options {
    size_t size; /* sizeof(kh_txn_options) */
    kh_isolation isolation;
    kh_policy policy;
    uint32_t flags;         /* enum kh_begin_flag */
    uint32_t timeout_ms;    /* 0: the database's (none for read-only); from begin to commit */
    const char *tag;        /* up to 255 bytes, UTF-8, carried in the record and listed; copied */
    const char *id_column;  /* NULL: the database's; copied */
    kh_resolve_fn *resolve; /* NULL: the database's */
    void *resolve_context;
    kh_sync sync;           /* default: the database's */
    kh_lock_wait lock_wait; /* of its commit, for keys that others have locked; default: the
                             * database's */
    int32_t priority;       /* for kh_options.lock_victim; default 0, lower goes first */
} kh_txn_options;
#define KH_TXN_OPTIONS_INIT                                                                        \
    {                                                                                              \
        sizeof(kh_txn_options), KH_DEFAULT_ISOLATION, KH_DEFAULT_POLICY, 0, 0, 0, 0, 0, 0,         \
            KH_SYNC_DEFAULT, KH_LOCK_WAIT_DEFAULT, 0                                               \
    }

/* options NULL: the database's defaults, read-write. KH_BUSY: too many open transactions.
 * A snapshot costs the same whatever the size of the store. */
KH_API KH_WARN_UNUSED kh_status kh_txn_begin(kh_db *db, const kh_txn_options *options, kh_txn **out,
                                             kh_error *error);
/* A read-only transaction as of a past (or the present) timestamp, whether or not anything was
 * committed since: nothing commits at or below it later on. KH_TOO_OLD: before the horizon;
 * KH_INVALID: in the future, by the database's clock, or, of a read-only opening, later than what
 * it has seen; KH_BUSY: what was being committed then is not durable within the database's timeout;
 * KH_POISONED: the log has failed. */
KH_API KH_WARN_UNUSED kh_status kh_txn_begin_at(kh_db *db, kh_timestamp at, kh_txn **out,
                                                kh_error *error);
KH_API kh_txn_id kh_txn_get_id(const kh_txn *txn);
/* The snapshot; at read committed, that of the last statement. */
KH_API kh_timestamp kh_txn_snapshot(const kh_txn *txn);

/* ---- reading --------------------------------------------------------------------------------- */

/* The value of key: own write, else by isolation level. *out is a reference that the caller
 * releases. KH_NOT_FOUND: absent or deleted. */
KH_API KH_WARN_UNUSED kh_status kh_txn_get(kh_txn *txn, kh_bytes key, kh_batch **out,
                                           kh_error *error);
/* The same, borrowed: no allocation, no reference counting. Valid until the transaction ends
 * (repeatable read, serializable) or its next call (read committed), and until it overwrites its
 * own write of that key. */
KH_API KH_WARN_UNUSED kh_status kh_txn_peek(kh_txn *txn, kh_bytes key, const kh_batch **out,
                                            kh_error *error);
/* Many keys as one statement: out[i] is a reference or NULL (absent). On failure none is given. */
KH_API KH_WARN_UNUSED kh_status kh_txn_get_many(kh_txn *txn, const kh_bytes *keys, size_t key_count,
                                                kh_batch **out, kh_error *error);
KH_API KH_WARN_UNUSED kh_status kh_txn_exists(kh_txn *txn, kh_bytes key, bool *out,
                                              kh_error *error);

/* ---- scanning -------------------------------------------------------------------------------- */

enum kh_scan_flag {
    KH_SCAN_REVERSE = 1,
    KH_SCAN_KEYS_ONLY = 2 /* entries carry no value */
};
/* Which keys: those that start with prefix AND lie in [from, to). Empty spans (data NULL, size 0)
 * do not restrict. Reverse begins at the greatest. */
typedef struct kh_scan_options {
    size_t size; /* sizeof(kh_scan_options) */
    kh_bytes prefix;
    kh_bytes from;
    kh_bytes to;
    uint64_t limit; /* entries; 0: no limit */
    uint32_t flags; /* enum kh_scan_flag */
} kh_scan_options;
#define KH_SCAN_OPTIONS_INIT                                                                       \
    { sizeof(kh_scan_options), {0, 0}, {0, 0}, {0, 0}, 0, 0 }

typedef struct kh_cursor kh_cursor;
/* One statement with one timestamp: sees the transaction's own writes made before it was opened,
 * merged in order, and none made after. options NULL: everything. What it returns is remembered for
 * certification: up to the last key returned when it is closed early. Close it before the
 * transaction ends (KH_IN_USE is answered to commit otherwise). */
KH_API KH_WARN_UNUSED kh_status kh_txn_scan(kh_txn *txn, const kh_scan_options *options,
                                            kh_cursor **out, kh_error *error);
/* The next entry; key and value (NULL with KEYS_ONLY) are borrowed until the next call on the
 * cursor: retain a value to keep it. KH_END after the last. */
KH_API KH_WARN_UNUSED kh_status kh_cursor_next(kh_cursor *cursor, kh_bytes *key,
                                               const kh_batch **value, kh_error *error);
/* Each cursor is closed once, also after its transaction has ended (next answers KH_FINISHED then).
 */
KH_API void kh_cursor_close(kh_cursor *cursor);
/* The values of the scan as one Arrow stream of schema's type (NULL: that of the first value; no
 * value: KH_NOT_FOUND). A value of another schema ends the stream with EINVAL. The stream reads
 * eagerly enough to be used after the transaction has ended: it holds references to all its values
 * from the start. The consumer releases it. */
KH_API KH_WARN_UNUSED kh_status kh_txn_scan_stream(kh_txn *txn, const kh_scan_options *options,
                                                   const kh_schema *schema,
                                                   struct ArrowArrayStream *out, kh_error *error);

/* ---- writing --------------------------------------------------------------------------------- */
/* Writes are buffered in the transaction. A later write of a key takes the place of an earlier one;
 * row operations compose in program order. Batches given as kh_batch are shared (the caller keeps
 * its reference). policy KH_DEFAULT_POLICY: the transaction's. Errors common to all: KH_INVALID
 * (empty or too long key: KH_TOO_BIG above 65,535 bytes), KH_READ_ONLY, KH_TOO_BIG (limits),
 * KH_BUSY (memory limit, after waiting up to the timeout), KH_NO_MEMORY. */

KH_API KH_WARN_UNUSED kh_status kh_txn_put(kh_txn *txn, kh_bytes key, const kh_batch *value,
                                           kh_error *error);
KH_API KH_WARN_UNUSED kh_status kh_txn_put_with(kh_txn *txn, kh_bytes key, const kh_batch *value,
                                                kh_policy policy, kh_error *error);
/* Import and put in one step (the fast way in): ownership of *array moves on KH_OK, as in
 * kh_batch_import; schema is best made with this database. */
KH_API KH_WARN_UNUSED kh_status kh_txn_put_array(kh_txn *txn, kh_bytes key, const kh_schema *schema,
                                                 struct ArrowArray *array, kh_policy policy,
                                                 kh_error *error);
/* Deleting an absent key is allowed, and is a write. */
KH_API KH_WARN_UNUSED kh_status kh_txn_delete(kh_txn *txn, kh_bytes key, kh_error *error);
KH_API KH_WARN_UNUSED kh_status kh_txn_delete_with(kh_txn *txn, kh_bytes key, kh_policy policy,
                                                   kh_error *error);
/* Delete every key that the scan would return (options->limit and flags count too): a scan and
 * deletes. *deleted_count (NULL allowed) says how many. */
KH_API KH_WARN_UNUSED kh_status kh_txn_delete_range(kh_txn *txn, const kh_scan_options *options,
                                                    uint64_t *deleted_count, kh_error *error);

/* Row operations on the batch under key. They read nothing and resolve at commit on the newest
 * version: two transactions that change different rows of one key do not conflict. An absent key
 * is an empty batch. Failures that depend on the newest version (KH_ROW_EXISTS, KH_ROW_NOT_FOUND,
 * KH_SCHEMA_MISMATCH against it) are answered by commit; those of the batch itself (ids missing,
 * null, twice) by the call. If this transaction has also read the key and a rival changed it since,
 * the policy decides as for a put. */
KH_API KH_WARN_UNUSED kh_status kh_txn_insert_rows(kh_txn *txn, kh_bytes key, const kh_batch *rows,
                                                   kh_error *error);
KH_API KH_WARN_UNUSED kh_status kh_txn_upsert_rows(kh_txn *txn, kh_bytes key, const kh_batch *rows,
                                                   kh_error *error);
KH_API KH_WARN_UNUSED kh_status kh_txn_update_rows(kh_txn *txn, kh_bytes key, const kh_batch *rows,
                                                   kh_error *error);
KH_API KH_WARN_UNUSED kh_status kh_txn_delete_rows(kh_txn *txn, kh_bytes key, const kh_batch *ids,
                                                   kh_error *error);

/* Compare and swap: put value (NULL: delete) if the key's value equals expected (NULL: absent). A
 * read and a write of the key. KH_MISMATCH: it does not, nothing is written, the transaction goes
 * on. */
KH_API KH_WARN_UNUSED kh_status kh_txn_compare_and_swap(kh_txn *txn, kh_bytes key,
                                                        const kh_batch *expected,
                                                        const kh_batch *value, kh_error *error);

/* Savepoints nest. Rolling back to one undoes the writes since (and their policies), never the
 * reads, and keeps the savepoint; releasing forgets it and those after it. *out numbers it from 1.
 */
KH_API KH_WARN_UNUSED kh_status kh_txn_savepoint(kh_txn *txn, uint32_t *out, kh_error *error);
KH_API KH_WARN_UNUSED kh_status kh_txn_rollback_to(kh_txn *txn, uint32_t savepoint,
                                                   kh_error *error);
KH_API KH_WARN_UNUSED kh_status kh_txn_release_savepoint(kh_txn *txn, uint32_t savepoint,
                                                         kh_error *error);

/* ---- ending ---------------------------------------------------------------------------------- */

/* Commit all or nothing. KH_OK: *timestamp (NULL allowed) is the commit timestamp, or the snapshot
 * when nothing was written. Otherwise nothing was applied, but for KH_UNKNOWN: ask kh_db_outcome.
 * Waits until the log has the record, and before answering KH_CONFLICT against a rival that is
 * still in flight, until its fate is known. Ends the transaction whatever the answer, but for
 * KH_IN_USE (a cursor is open), KH_MISUSE and KH_FINISHED. */
KH_API KH_WARN_UNUSED kh_status kh_txn_commit(kh_txn *txn, kh_timestamp *timestamp,
                                              kh_error *error);
/* Undo and end. Also for one that failed, expired or was cancelled; a prepared one is aborted; its
 * open cursors are closed. After the end: nothing. KH_MISUSE: another thread is in it; KH_POISONED,
 * KH_IO, KH_UNKNOWN: a prepared one whose decision the log did not take. */
KH_API kh_status kh_txn_rollback(kh_txn *txn);
/* Give the handle back: rolls back first if it has not ended. One that is prepared stays prepared
 * (kh_db_decide); a commit that is under way goes on. NULL is allowed. */
KH_API void kh_txn_close(kh_txn *txn);

/* Two steps: prepare certifies and logs the transaction and holds its keys until kh_txn_commit,
 * kh_txn_rollback or kh_db_decide; a prepared transaction does not expire, cannot be cancelled, and
 * its commit cannot conflict. Others that would write a held key, or (serializable) commit writes
 * of a key or range that it has read, are answered KH_HELD. Only commit, rollback and close may
 * follow. A failure ends the transaction as a failed commit does. */
KH_API KH_WARN_UNUSED kh_status kh_txn_prepare(kh_txn *txn, kh_error *error);
/* Decide a prepared transaction by its id, also one found in the log at open. KH_NOT_FOUND: none is
 * prepared under that id. */
KH_API KH_WARN_UNUSED kh_status kh_db_decide(kh_db *db, kh_txn_id id, bool is_commit,
                                             kh_timestamp *timestamp, kh_error *error);

/* Commit without waiting for the log. KH_OK: the record is on its way; follow it with poll or wait.
 * Otherwise the transaction has ended as with kh_txn_commit. */
KH_API KH_WARN_UNUSED kh_status kh_txn_commit_start(kh_txn *txn, kh_error *error);
/* KH_PENDING, or the answer that kh_txn_commit would have given. Poll never waits; wait does, up to
 * timeout_ms (UINT32_MAX: for ever). */
KH_API KH_WARN_UNUSED kh_status kh_txn_poll(kh_txn *txn, kh_timestamp *timestamp);
KH_API KH_WARN_UNUSED kh_status kh_txn_wait(kh_txn *txn, uint32_t timeout_ms,
                                            kh_timestamp *timestamp);
/* An eventfd that becomes readable when the outcome of a started commit is known; owned by the
 * transaction. -1: none can be had. */
KH_API int kh_txn_descriptor(kh_txn *txn);

/* ---- what happened --------------------------------------------------------------------------- */

/* Why a commit, prepare or call failed: KH_CONFLICT, KH_NOT_SERIALIZABLE, KH_HELD,
 * KH_LOCK_CONFLICT, KH_DEADLOCK, KH_MERGE_CONFLICT or a row operation's status. */
typedef struct kh_conflict {
    size_t size; /* sizeof(kh_conflict), set by the caller */
    kh_status status;
    kh_bytes key;          /* borrowed until close; size 0: none (some cycles) */
    kh_timestamp snapshot; /* of the failed transaction */
    kh_timestamp rival;    /* commit timestamp of the rival's version, 0: unknown */
    kh_timestamp pi;       /* KH_NOT_SERIALIZABLE: the window [eta, pi) that was empty */
    kh_timestamp eta;
    kh_txn_id holder;        /* KH_HELD, KH_LOCK_CONFLICT, KH_DEADLOCK: who was waited for */
    kh_merge_conflict merge; /* KH_MERGE_CONFLICT, and KH_CONFLICT by policy merge */
} kh_conflict;
/* KH_NOT_FOUND: the transaction has not failed in one of those ways. Until close. */
KH_API KH_WARN_UNUSED kh_status kh_txn_conflict(const kh_txn *txn, kh_conflict *out);

/* A write that met a rival in a commit that succeeded, and what its policy did. */
typedef enum kh_write_fate {
    KH_WRITE_RESOLVED =
        1, /* replaced, appended, merged, called back, or rows applied on the rival's */
    KH_WRITE_DROPPED = 2 /* ignored */
} kh_write_fate;
typedef struct kh_resolved {
    kh_bytes key; /* borrowed until close */
    kh_write_fate fate;
    kh_policy policy;   /* KH_DEFAULT_POLICY for row operations */
    kh_timestamp rival; /* the version that was met */
} kh_resolved;
/* The index-th such write, from 0; KH_NOT_FOUND beyond the last. Until close. */
KH_API KH_WARN_UNUSED kh_status kh_txn_resolved(const kh_txn *txn, size_t index, kh_resolved *out);

/* ---- running a callback with retries --------------------------------------------------------- */

/* The body of a transaction: returns KH_OK to commit, anything else to roll back (a RETRY-class
 * status of a call, passed on, asks for another run). Must not end or close it; may be run many
 * times. */
typedef kh_status kh_run_fn(void *context, kh_txn *txn, kh_error *error);
typedef struct kh_run_options {
    size_t size; /* sizeof(kh_run_options) */
    kh_txn_options txn;
    uint32_t attempts_max;   /* default 100 */
    uint32_t backoff_min_us; /* first back-off, doubled each time with full jitter; default 50 */
    uint32_t backoff_max_us; /* default 20,000 */
} kh_run_options;
#define KH_RUN_OPTIONS_INIT                                                                        \
    { sizeof(kh_run_options), KH_TXN_OPTIONS_INIT, 0, 0, 0 }
/* Run body in a transaction and commit it; again from the start, after a jittered pause, when a
 * call or the commit answers a RETRY-class status. Returns the last status. timestamp,
 * attempts_made and error may be NULL. */
KH_API KH_WARN_UNUSED kh_status kh_db_run(kh_db *db, const kh_run_options *options, kh_run_fn *body,
                                          void *context, kh_timestamp *timestamp,
                                          uint32_t *attempts_made, kh_error *error);

#ifdef __cplusplus
}
#endif
#endif
