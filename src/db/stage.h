/* stage.h - everything of a commit that can fail or take long, before the section: entries,
 * resolved values, versions, copies of ranges, schemas for the log. */
#ifndef KHONSU_DB_STAGE_H
#define KHONSU_DB_STAGE_H

#include "db/read.h"

/* Compute what row operations and policies leave, on the newest versions. Outside of epoch sections
 * and locks (callbacks run here). May be called again after CERTIFY_RESTAGE. */
kh_status stage_values(kh_txn *txn, kh_error *error);
/* Find or make the entries, and the bounds above which a newest version is a rival. In an epoch
 * section that stays open until the commit section has been left. */
kh_status stage_entries(kh_txn *txn, kh_error *error);
/* Both in one pass, for plain writes (no rows, no policy that computes) without a log: nothing of
 * that waits or calls out. In an epoch section, as above. */
kh_status stage_simply(kh_txn *txn, kh_error *error);
/* Copy the ranges read, to be kept after the commit. Once. */
kh_status stage_all_ranges(kh_txn *txn, kh_error *error);
static inline kh_status stage_ranges(kh_txn *txn, kh_error *error) {
    if (KH_LIKELY(!txn->is_certified || txn->reads.range_count == 0 || txn->kept != NULL))
        return KH_OK;
    return stage_all_ranges(txn, error);
}
/* A newest version above this would be a rival of the write; UINT64_MAX: none would. entry may be
 * NULL. In an epoch section. */
uint64_t stage_rival_bound(const kh_txn *txn, const struct write *write, const struct entry *entry);
/* Discard staged versions that were not installed. */
void stage_discard(kh_txn *txn);

#endif
