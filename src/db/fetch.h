/* fetch.h - values that are in the storage only (store/cold.h): reading them back.
 *
 * Happy path: the epoch section is left, the storage asked for the version by key and commit, its
 * checksum compared, the value decoded; then, if memory has room and the version is the newest of
 * its key, the value goes back into the store for the next reader. What a registered snapshot sees
 * is in the storage: nothing is swept below the oldest one.
 * Failure: KH_IO, KH_CORRUPT (damaged, or lost), KH_NO_MEMORY. */
#ifndef KHONSU_DB_FETCH_H
#define KHONSU_DB_FETCH_H

#include "db/db.h"

/* A stored value as a batch, NULL: a deletion. */
kh_status fetch_decode(struct kh_db *db, struct mem_cache *cache, uint64_t commit, kh_bytes value,
                       kh_batch **out, kh_error *error);
/* The value of key's version of that commit: *out is a reference, NULL: the storage does not have
 * it. Not in an epoch section. */
kh_status fetch_value(struct kh_db *db, struct mem_cache *cache, kh_bytes key, uint64_t commit,
                      kh_batch **out, kh_error *error);
/* The same of a version that txn's snapshot sees: it is there, or KH_CORRUPT. */
kh_status fetch_seen(kh_txn *txn, kh_bytes key, uint64_t commit, kh_batch **out, kh_error *error);
/* The same, borrowed: until the section ends, or (is_lent) as kh_txn_peek lends. In an epoch
 * section of txn (not nested), which is left meanwhile, also on failure. */
kh_status fetch_for_read(kh_txn *txn, kh_bytes key, uint64_t hash, uint64_t commit, bool is_lent,
                         const kh_batch **out, kh_error *error);

#endif
