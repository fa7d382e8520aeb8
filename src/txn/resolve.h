/* resolve.h - computing the value that a write leaves: row operations and conflict policies,
 * outside of the commit section. What is staged names the version that it was computed from;
 * certify finds out whether that is still the newest. */
#ifndef KHONSU_TXN_RESOLVE_H
#define KHONSU_TXN_RESOLVE_H

#include "batch/rows.h"
#include "txn/txn.h"

struct resolve_context {
    struct rows_context rows;
    kh_resolve_fn *callback;
    void *callback_context;
};

/* Apply a list of row operations to base (NULL: absent). *out: a new reference, NULL: absent. */
kh_status resolve_rows(const struct resolve_context *context, const kh_batch *base,
                       const struct row_op *ops, kh_batch **out, kh_error *error);

/* What policy append, merge or callback makes of a put or delete against theirs. *out as above.
 * KH_CONFLICT: the policy cannot (and *where says so for merge); *is_dropped: callback said drop.
 */
kh_status resolve_rival(const struct resolve_context *context, const struct write *write,
                        const kh_batch *base, const kh_batch *theirs, kh_batch **out,
                        bool *is_dropped, kh_merge_conflict *where, kh_error *error);

#endif
