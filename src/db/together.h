/* together.h - several workspaces as one commit (kh_workspace_commit_together).
 *
 * The commit is a transaction of its own, "the group's", at a snapshot S that is newer than, or
 * equal to, that of every member. What the members have read and want to write is gathered into it,
 * and then it is committed like any other: one record, one timestamp, one moment.
 *
 * Why that is what the levels promise:
 * - A serializable member whose reads did not change between its snapshot and S would have read the
 *   same at S: it is moved there. (One whose reads did change is refused, KH_NOT_SERIALIZABLE.)
 * - The members are put into an order in which none has read what an earlier one writes; in a
 *   circle there is none (write skew among them). Executed one after the other in that order, with
 *   nobody between, each reads what it has read. The certification of the group finds them a place
 *   among all others: its reads and writes are theirs.
 * - A write that a rival up to S has overtaken, and a second write of a key, are merged as a later
 *   commit would be merged: with the value that is the newest by then, from the member's own base.
 *   What comes of it is written with the policy fail: a rival above S is a conflict, since what
 *   each had changed cannot be told any more.
 * - Of all other writes the value at S is the one that they saw. Fail, replace and merge go on
 * above S as they are; ignore, append and callback are written with the policy fail; blind puts at
 * read committed with replace, which is what they are.
 *
 * Happy path: workspaces start (together.c), members are entered and cannot be cancelled or expire
 * from there on; order, reads, writes (together_order.c, together_gather.c); meanings among
 * themselves; commit; every member ends as committed. Failure before or in the commit: the group's
 * transaction ends, the culprit fails, the others go on as if nothing had happened: nothing of
 * theirs was changed.
 *
 * Threads: the caller's, which has the busy mark of all members and of the group. */
#ifndef KHONSU_DB_TOGETHER_H
#define KHONSU_DB_TOGETHER_H

#include "db/handle.h"
#include "db/semantic.h"

struct together_member {
    kh_txn *txn;
    size_t index;                 /* in the caller's array */
    struct semantic_claim *claim; /* the group's copy of what it carries */
};

struct together {
    struct kh_db *db;
    kh_txn *txn;                     /* the group's */
    struct together_member *members; /* in the caller's order, then in the commit's */
    size_t count;
    size_t culprit; /* an index of the caller's, or count */
};

/* Bring the members into an order that the levels allow: among those, the caller's.
 * KH_NOT_SERIALIZABLE; KH_NO_MEMORY. */
kh_status together_order(struct together *together, kh_error *error);
/* Their reads and writes become the group's. KH_NOT_SERIALIZABLE, KH_CONFLICT, what row operations
 * answer, KH_TOO_BIG, KH_NO_MEMORY, KH_IO. */
kh_status together_gather(struct together *together, kh_error *error);

/* Rows of somebody do not fit what the key has: the first one whose do not is the culprit, if that
 * can be found out. */
void together_find_unfit(struct together *together, kh_bytes key);

/* Note who it failed by, and on which key (in the group's conflict). rival: a commit, 0: another
 * member, whose id is holder. Returns status. */
kh_status together_blame(struct together *together, const struct together_member *member,
                         kh_status status, kh_bytes key, uint64_t rival, kh_txn_id holder);

#endif
