/* apply.h - the only code that changes the store: install links the versions of a sealed record,
 * publish makes them visible, unwind takes back what a log refused. All in the section; install and
 * publish cannot fail and do not allocate. */
#ifndef KHONSU_DB_APPLY_H
#define KHONSU_DB_APPLY_H

#include "db/db.h"

/* Link the transaction's staged versions with commit timestamp and phi of its verdict, newest in
 * their chains and invisible until published; note them for range reads; leave late reads' stamps.
 */
void apply_install(kh_txn *txn);
/* Raise the published timestamp to that of txn; free what it superseded, or queue it; leave its
 * readers' stamps where an open serializable transaction could still need them; tell watchers. */
void apply_publish(kh_txn *txn, const struct reclaimer *who);
/* Install, note the outcome and publish: without a log. */
void apply_at_once(kh_txn *txn, const struct reclaimer *who);
/* The log refused the record: unlink the versions, newest commit first. They never were visible. */
void apply_unwind(kh_txn *txn, const struct reclaimer *who);
/* Stamps of a tracked serializable transaction without writes. */
void apply_read_stamps(kh_txn *txn, uint64_t stamp);
/* A replayed or restored write: one version linked and visible at once (open; nobody reads yet).
 * Value or version are moved, on failure too. */
kh_status apply_restored(struct kh_db *db, struct epoch_record *record, struct mem_cache *cache,
                         kh_bytes key, const kh_batch *batch, uint64_t commit, kh_error *error);
/* The same while the index is being loaded: keys come in order, versions of a key oldest first. */
kh_status apply_loaded(struct kh_db *db, struct index_load *load, kh_bytes key,
                       struct version *version, uint64_t commit, kh_error *error);

#endif
