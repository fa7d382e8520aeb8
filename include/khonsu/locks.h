/* khonsu/locks.h - locks on keys, for transactions that would rather wait than be refused.
 *
 *     kh_lock lock = {key, KH_LOCK_EXCLUSIVE};
 *     kh_txn_lock(txn, &lock, 1, NULL, &error);   waits for whoever has it
 *     kh_txn_get(txn, key, &batch, &error);       the newest value
 *     kh_txn_put(txn, key, changed, &error);
 *     kh_txn_commit(txn, NULL, &error);           nobody came between; gives the lock back
 *
 * Nobody has to take locks: what each level promises holds without them. A lock keeps other
 * transactions from locking the key (exclusive: at all; shared: exclusively) and from committing a
 * write of it, whatever their level and whether or not they use locks. It keeps nobody from
 * reading. All of a transaction's locks are given back when it ends, and none before. The rules,
 * and an example of a deadlock: docs/locks.md. */
#ifndef KHONSU_LOCKS_H
#define KHONSU_LOCKS_H

#include "khonsu/txn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum kh_lock_mode {
    KH_LOCK_SHARED = 1,   /* beside other shared ones: nobody writes the key meanwhile */
    KH_LOCK_EXCLUSIVE = 2 /* alone */
} kh_lock_mode;

typedef struct kh_lock {
    kh_bytes key; /* present or absent in the database; borrowed for the call */
    kh_lock_mode mode;
} kh_lock;

enum kh_lock_flag {
    KH_LOCK_TRY = 1 /* do not wait */
};

typedef struct kh_lock_options {
    size_t size;         /* sizeof(kh_lock_options) */
    uint32_t flags;      /* enum kh_lock_flag */
    uint32_t timeout_ms; /* of the wait; 0: until the transaction's own timeout */
} kh_lock_options;
#define KH_LOCK_OPTIONS_INIT                                                                       \
    { sizeof(kh_lock_options), 0, 0 }

/* Lock keys, all or none of them; options NULL: wait. A key that is locked already may be locked
 * again; shared to exclusive is an upgrade. In the order of the queue: who waits is not overtaken.
 * Taken before the transaction's first read, the snapshot moves to the grant, so that what is read
 * is what was committed by then, by whoever had the lock before, too. Taken later, a key that has
 * changed since the snapshot (read committed: since it was read) answers KH_CONFLICT at once.
 *   KH_LOCK_CONFLICT  another has one of them (kh_txn_conflict names it) and KH_LOCK_TRY was given,
 *                     or timeout_ms has passed, or the database has no threads (then nobody waits):
 *                     nothing was taken, and the transaction GOES ON
 *   KH_DEADLOCK       it was chosen to end a deadlock: see kh_txn_deadlock
 *   KH_HELD           a prepared transaction holds one of them
 *   KH_EXPIRED        the transaction's timeout has passed, or one of its locks is older than
 *                     kh_options.lock_timeout_ms
 *   KH_BUSY           a version of one of them waits for a log that does not answer in time
 *   KH_READ_ONLY      a read-only transaction has no use for locks: its snapshot stands still
 *   KH_TOO_BIG        more than 65,536 locks in one transaction
 * A lock costs 256 bytes until it is given back. */
KH_API KH_WARN_UNUSED kh_status kh_txn_lock(kh_txn *txn, const kh_lock *locks, size_t lock_count,
                                            const kh_lock_options *options, kh_error *error);
/* Who waited for whom when this transaction was answered KH_DEADLOCK: itself first, each for the
 * next, the last for the first. *id_count is the length of that circle; at most capacity ids are
 * written, and at most 8 are known. KH_NOT_FOUND: it was not. Until close. */
KH_API KH_WARN_UNUSED kh_status kh_txn_deadlock(const kh_txn *txn, kh_txn_id *ids, size_t capacity,
                                                size_t *id_count);

#ifdef __cplusplus
}
#endif
#endif
