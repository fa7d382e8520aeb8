/* commit.h - from a transaction with pending writes to a record in the log. */
#ifndef KHONSU_DB_COMMIT_H
#define KHONSU_DB_COMMIT_H

#include "db/handle.h"
#include "log/record.h"

/* Stage, certify and append (kind: COMMIT or PREPARE). KH_OK: the record was taken, txn->outcome
 * tells or will tell; else the transaction has not changed anything. Called with the busy mark
 * held. */
kh_status commit_submit(kh_txn *txn, enum record_kind kind, kh_error *error);
/* Wait for the outcome; returns it. */
kh_status commit_await(kh_txn *txn);
/* End a transaction that failed: its state, slots and counters. */
void commit_end_failed(kh_txn *txn, kh_status status);
/* Certify a transaction without writes. */
kh_status commit_read_only(kh_txn *txn, kh_error *error);

#endif
