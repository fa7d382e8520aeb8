/* khonsu/changes.h - the change feed: what was committed to a durable database, in order, from a
 * timestamp on, following live.
 *
 * A feed reads the log, so that it costs what the changes cost, whatever the size of the database,
 * and holds up nobody. It shows durable commits only, each when it is visible to readers, in the
 * order of their timestamps, the changes of one commit together and in the order of their writes:
 * the puts and deletes that took effect, with the value that a conflict policy or a row operation
 * made of them, and nothing of what was dropped, aborted or rolled back. A prepared transaction
 * shows when it is decided, with the decision's timestamp.
 *
 * Resuming: a change with is_last_of_commit ends its commit; a feed opened after that timestamp
 * goes on behind it and repeats nothing. The log reaches back for kh_options.retention_ms, over
 * closing and opening (where retention_bytes bounds the history, no further than that; without
 * retention, for seconds only), and by a minute for a feed that is open. Who asks for more is
 * answered KH_TOO_OLD and has to read the database itself: nothing is passed over in silence.
 *
 * A feed is used by one thread at a time, but for kh_changes_cancel. After fork() every call on it
 * in the child answers KH_FORKED and frees nothing. */
#ifndef KHONSU_CHANGES_H
#define KHONSU_CHANGES_H

#include "khonsu/db.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kh_changes kh_changes;

enum kh_changes_flag {
    KH_CHANGES_KEYS_ONLY = 1, /* changes carry no value */
    /* For who begins, and has no position of its own: where the log does not reach back to `after`
     * the feed begins with the oldest change that it has. kh_changes_position says behind what. */
    KH_CHANGES_OLDEST = 2
};

typedef struct kh_changes_options {
    size_t size;     /* sizeof(kh_changes_options) */
    kh_bytes prefix; /* keys that start with it; empty: all. Copied */
    uint32_t flags;  /* enum kh_changes_flag */
} kh_changes_options;
#define KH_CHANGES_OPTIONS_INIT                                                                    \
    { sizeof(kh_changes_options), {0, 0}, 0 }

typedef enum kh_operation { KH_OPERATION_PUT = 1, KH_OPERATION_DELETE = 2 } kh_operation;

/* Everything in it is borrowed until the next call on the feed: retain a value to keep it. */
typedef struct kh_change {
    kh_bytes key;
    kh_timestamp timestamp; /* of the commit */
    kh_txn_id id;           /* of the transaction */
    kh_operation operation;
    const kh_batch *value;  /* NULL: a deletion, or KEYS_ONLY */
    kh_bytes tag;           /* of the transaction; size 0: none */
    bool is_last_of_commit; /* no more of this commit comes: timestamp is a place to resume after */
} kh_change;

/* The changes of commits with timestamps above `after` (0: from the first commit on; kh_db_now():
 * from now on). options NULL: every key. Close it before the database, which answers KH_IN_USE
 * meanwhile. KH_TOO_OLD: something after `after` was trimmed (0 is no exception: KH_CHANGES_OLDEST
 * takes what is left); KH_UNSUPPORTED: a database
 * without a path, or open as_of a timestamp; KH_INVALID: options out of their range; KH_TOO_BIG:
 * the prefix is longer than a key can be; KH_CORRUPT, KH_IO: the log or the storage cannot be read;
 * KH_NO_MEMORY. Any thread.
 */
KH_API KH_WARN_UNUSED kh_status kh_changes_open(kh_db *db, kh_timestamp after,
                                                const kh_changes_options *options, kh_changes **out,
                                                kh_error *error);
/* The next change, waiting up to timeout_ms (0: not at all; UINT32_MAX: for ever) without polling.
 * KH_OK: *change; KH_PENDING: none yet. KH_POISONED: none, and there will be none, for the log has
 * failed: everything durable was shown; KH_CANCELLED; KH_TOO_OLD: the log was trimmed before the
 * feed had read it; KH_CORRUPT, KH_IO, KH_NO_MEMORY: the change is not passed over, the next call
 * tries again. In a database without threads what was committed with KH_SYNC_NONE becomes durable
 * by kh_db_step or by a later commit: waiting alone does not bring it. */
KH_API KH_WARN_UNUSED kh_status kh_changes_next(kh_changes *changes, uint32_t timeout_ms,
                                                kh_change *change, kh_error *error);
/* The newest timestamp after which a feed of the same prefix would go on where this one is: of the
 * last whole commit that it has returned or passed over, because it has none of the keys. Behind
 * that of the last change while more of its commit is to come. */
KH_API kh_timestamp kh_changes_position(const kh_changes *changes);
/* End a wait in another thread: it answers KH_CANCELLED, as do all later calls. Any thread; NULL is
 * allowed. */
KH_API void kh_changes_cancel(kh_changes *changes);
/* Close. A stream of the feed that is not released yet keeps what it needs, and is cancelled. NULL
 * is allowed. */
KH_API void kh_changes_close(kh_changes *changes);

enum kh_changes_stream_flag {
    KH_CHANGES_FOLLOW = 1 /* the stream waits for more; it ends by cancel, and by failures */
};
/* The feed's changes from here on as an Arrow stream of record batches with the columns
 *   key        binary, not null
 *   timestamp  uint64, not null
 *   operation  utf8, not null: "put" or "delete"
 *   value      binary: the value as an Arrow IPC stream; null: a deletion, or KEYS_ONLY
 * A batch has whole commits only, as many as are there, of about 1 MiB or one commit. Without
 * KH_CHANGES_FOLLOW it ends with what is durable now. The feed and the stream take from the same
 * place: what one has given the other does not give. A failure is an errno (ECANCELED, ENOMEM,
 * ESTALE for KH_TOO_OLD, else EIO), get_last_error says more; the next call tries again. The
 * consumer releases the stream; the database answers KH_IN_USE until then. KH_INVALID: unknown
 * flags; KH_NO_MEMORY. */
KH_API KH_WARN_UNUSED kh_status kh_changes_stream(kh_changes *changes, uint32_t flags,
                                                  struct ArrowArrayStream *out, kh_error *error);

#ifdef __cplusplus
}
#endif
#endif
