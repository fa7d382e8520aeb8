/* restore.h - bringing a database back from its storage and log, at open: apply again. */
#ifndef KHONSU_DB_RESTORE_H
#define KHONSU_DB_RESTORE_H

#include "db/db.h"

/* From db->storage, if there is one, and db->pipeline.log. KH_CORRUPT, KH_IO, KH_NO_MEMORY,
 * KH_UNSUPPORTED. */
kh_status restore_all(struct kh_db *db, kh_error *error);

#endif
