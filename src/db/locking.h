/* locking.h - key locks of transactions: the engine's side of txn/locks.h.
 *
 * A commit looks for locks of others in the section, after its last wait and before it is
 * certified; whoever has been granted a lock passes through the section before anything else. So
 * a commit of a locked key has either been there before the grant, and is among what the grant
 * waits for and then sees, or finds the lock.
 *
 * A snapshot that is moved (docs/decisions/0046): a transaction that has read nothing has left
 * nothing but its slots, which rise; it is as if it began now, with the writes that it has
 * buffered. */
#ifndef KHONSU_DB_LOCKING_H
#define KHONSU_DB_LOCKING_H

#include "db/handle.h"

/* All of its locks go back: it has ended, or stopped for good. Its own thread, or who answers for
 * the log, in the section or outside of it. */
void locking_end_any(kh_txn *txn);
static inline void locking_end(kh_txn *txn) {
    if (KH_UNLIKELY(txn->has_locks)) locking_end_any(txn);
}

/* Before it is certified: its own locks are safe from here on, and nobody else has locked what it
 * writes. KH_LOCK_CONFLICT (the holder stands in txn->conflict); KH_EXPIRED. In the section. */
kh_status locking_check(kh_txn *txn, kh_error *error);
static inline bool locking_is_needed(const kh_txn *txn) {
    return txn->has_locks || !locks_is_empty(&txn->db->locks);
}
/* Its own locks are safe from here on; KH_EXPIRED. */
kh_status locking_seal(kh_txn *txn, kh_error *error);

/* It is to wait for the locks of others instead of being refused. */
bool locking_does_wait(const kh_txn *txn);
/* Locks what it writes, waiting until its deadline. Outside of the section, not staging. */
kh_status locking_await_writes(kh_txn *txn, kh_error *error);

#endif
