/* read.h - pieces of point reads that scans and writes use too. Within a call (busy mark held) and,
 * but for read_check_key and read_statement, inside an epoch section of the transaction. */
#ifndef KHONSU_DB_READ_H
#define KHONSU_DB_READ_H

#include "db/handle.h"
#include "txn/resolve.h"

/* Why a key is none. */
kh_status read_refuse_key(kh_bytes key, kh_error *error);
static inline kh_status read_check_key(kh_bytes key, kh_error *error) {
    if (KH_LIKELY(key.data != NULL && key.size_bytes - 1 < LIMIT_KEY_BYTES)) return KH_OK;
    return read_refuse_key(key, error);
}
/* At read committed: a new statement begins, at the newest published timestamp. */
void read_statement(kh_txn *txn);
/* Values are lent by this handle's snapshot from now on (store/cold.h): before they are found. */
void read_note_lending(kh_txn *txn);
/* The store's value at the snapshot, tracked; *out borrowed, NULL: absent. */
kh_status read_version(kh_txn *txn, kh_bytes key, uint64_t hash, const kh_batch **out,
                       kh_error *error);
/* The value of an own pending write (marks it as read back); *out NULL: deleted. */
kh_status read_own(kh_txn *txn, struct write *write, const kh_batch **out, kh_error *error);
/* Hold a reference (moved) until the transaction is closed. */
kh_status read_hold(kh_txn *txn, kh_batch *batch, kh_error *error);
/* The same until another is held so: for calls that lend nothing, and for read committed, where the
 * next call ends what was lent. */
kh_status read_hold_for_now(kh_txn *txn, kh_batch *batch, kh_error *error);
void read_resolve_context(kh_txn *txn, struct resolve_context *out);

#endif
