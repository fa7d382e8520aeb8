/* janitor.h - the library's one thread in memory mode: ticks, timeouts, reclamation behind the
 * committers' backs. Sleeps without a timeout while no transaction is open and nothing is queued.
 */
#ifndef KHONSU_DB_JANITOR_H
#define KHONSU_DB_JANITOR_H

#include "db/db.h"

kh_status janitor_start(struct kh_db *db, kh_error *error);
void janitor_stop(struct kh_db *db);
/* Stop an active transaction from outside (status: KH_EXPIRED or KH_CANCELLED): its next call
 * answers that, its snapshot is given up, views that it has borrowed stay valid. False: it is in a
 * call (or has ended): KH_CANCELLED then takes effect at the end of that call. */
bool janitor_revoke(kh_txn *txn, uint64_t serial, kh_status status);

#endif
