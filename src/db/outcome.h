/* outcome.h - what became of a transaction, asked by its id.
 *
 * Three memories, the quickest first: the table of the newest outcomes (limits.outcomes), the
 * storage (one small entry for each transaction that the log kept, for a day and longer), and the
 * part of the log that the storage does not have yet. What none of them knows of an opening within
 * that day was never kept; of older ones nothing is said (KH_OUTCOME_FORGOTTEN). */
#ifndef KHONSU_DB_OUTCOME_H
#define KHONSU_DB_OUTCOME_H

#include "db/db.h"

/* Outside of the section. For a database with a storage; KH_IO, KH_CORRUPT. */
kh_status outcome_find_kept(struct kh_db *db, kh_txn_id id, kh_outcome *out,
                            kh_timestamp *timestamp, kh_error *error);

#endif
