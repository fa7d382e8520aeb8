/* locks_steps.h - what locks, waits and the search for deadlocks are made of. Inside of txn/locks;
 * all under the table's latch. */
#ifndef KHONSU_TXN_LOCKS_STEPS_H
#define KHONSU_TXN_LOCKS_STEPS_H

#include "txn/locks_record.h"

void locks_enter(struct locks *table);
/* Wakes whom there is to wake. */
void locks_leave(struct locks *table);

/* Begin a call: its doom if the owner has one, KH_EXPIRED (and doomed) if a lock of it has. */
kh_status locks_begin_call(struct locks *table, struct lock_owner *owner, uint64_t now_ns);
/* Its first lock is granted since: the timeout runs. */
void locks_note_expiry(const struct locks *table, struct lock_owner *owner, uint64_t now_ns);

/* One lock, if nobody is in the way: else KH_LOCK_CONFLICT and *blocker. KH_NO_MEMORY. */
kh_status locks_take(struct locks *table, struct lock_owner *owner,
                     const struct lock_request *request, struct lock_blocker *blocker);
/* What the call has taken goes back. */
void locks_undo_call(struct locks *table, struct lock_owner *owner);

/* Into the queue of its next request's key, which somebody has. KH_NO_MEMORY. */
kh_status locks_enqueue(struct locks *table, struct lock_owner *owner);
/* Out of the queue, and whoever is behind may have its turn. */
void locks_dequeue(struct locks *table, struct lock_owner *owner);
/* Who is in the way of one that waits. */
void locks_name_blocker(const struct lock_owner *owner, struct lock_blocker *blocker);

/* It is over for the owner: out of the queue, all locks gone, woken. */
void locks_doom(struct locks *table, struct lock_owner *owner, kh_status status);

/* Does a holder's lock keep the owner (NULL: anybody) from one of that mode? */
static inline bool locks_is_barred_by(const struct lock_owner *owner, kh_lock_mode mode,
                                      const struct lock_hold *hold) {
    return hold->owner != owner && (mode == KH_LOCK_EXCLUSIVE || hold->mode == KH_LOCK_EXCLUSIVE);
}

/* Holders that bar the request, and hold a lock for longer than they may, are doomed. False: there
 * was none. */
bool locks_doom_expired(struct locks *table, const struct lock_request *request,
                        const struct lock_owner *owner, uint64_t now_ns);

/* Of one that waits: holders in its way whose locks have expired are doomed, deadlocks that it is
 * part of are ended. It may be granted or doomed afterwards. */
void locks_resolve(struct locks *table, struct lock_owner *owner, uint64_t now_ns);

#endif
