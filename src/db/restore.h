/* restore.h - bringing a database back from its storage and log, at open: apply again. */
#ifndef KHONSU_DB_RESTORE_H
#define KHONSU_DB_RESTORE_H

#include "db/db.h"

/* storage NULL: none. KH_CORRUPT, KH_IO, KH_NO_MEMORY, KH_UNSUPPORTED. */
kh_status restore_all(struct kh_db *db, const struct kh_storage *storage, kh_error *error);

#endif
