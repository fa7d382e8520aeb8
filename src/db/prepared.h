/* prepared.h - transactions between prepare and their decision: what they hold.
 *
 * A prepared transaction holds its written keys exclusively and, when serializable, what it has
 * read shared: until the decision nobody else writes those. It was certified with everything it
 * read still current, so that it commits as if at the moment of its decision: nothing can come
 * between. Holds are marks on entries (which keep the entry in the index) and, for ranges, the list
 * itself. All in the section. */
#ifndef KHONSU_DB_PREPARED_H
#define KHONSU_DB_PREPARED_H

#include "db/db.h"

/* Take the holds (staged, certified, appended). */
void prepared_hold(kh_txn *txn);
/* Let go of them; other prepared transactions' marks stay. */
void prepared_forget(kh_txn *txn);
/* KH_HELD when a write of txn meets a hold, or (preparing, serializable) something that it has read
 * is held to be written; the holder stands in txn->conflict. */
kh_status prepared_check(kh_txn *txn, bool is_preparing, kh_error *error);
/* The prepared transaction that holds the key so that it may not be read as the newest, or (to
 * write it) not be written. NULL: none. entry NULL: the key is in no index. */
const kh_txn *prepared_holder(const struct kh_db *db, const struct entry *entry, kh_bytes key,
                              bool is_write);
/* The prepared transaction of that id, or NULL. */
kh_txn *prepared_find(struct kh_db *db, kh_txn_id id);

#endif
