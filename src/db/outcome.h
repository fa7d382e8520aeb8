/* outcome.h - what became of a transaction, asked by its id.
 *
 * Three memories, the quickest first: the table of the newest outcomes (limits.outcomes), the
 * storage (one small entry for each transaction that the log kept, for a day and longer), and the
 * part of the log that the storage does not have yet. The storage forgets what began and committed
 * a day before the newest commit and is gone from the log, by the commits' own timestamps: whoever
 * asks later finds the same bound or a higher one, whatever became of the clock. What none of them
 * knows and is not older than the bound, by its id, was never kept; of older ones nothing is said
 * (KH_OUTCOME_FORGOTTEN), nor of what a writer beside a read-only opening may have in hand. */
#ifndef KHONSU_DB_OUTCOME_H
#define KHONSU_DB_OUTCOME_H

#include "db/db.h"

/* Outside of the section. For a database with a storage; KH_IO, KH_CORRUPT. */
kh_status outcome_find_kept(struct kh_db *db, kh_txn_id id, kh_outcome *out,
                            kh_timestamp *timestamp, kh_error *error);

#endif
