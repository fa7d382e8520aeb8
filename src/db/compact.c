/* compact.c - kh_db_compact: retention applied now, from memory down to the disk.
 *
 * In that order: reclamation raises the horizon, upkeep sweeps the storage up to it and trims the
 * log, and only then is there something for the files to lose. */
#include "db/durable.h"
#include "db/upkeep.h"

#include "base/status.h"

kh_status kh_db_compact(kh_db *db, kh_error *error) {
    kh_assert(db != NULL && "kh_db_compact: db is NULL");
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    if (db->flags & KH_OPEN_READ_ONLY)
        return status_fail(error, KH_READ_ONLY, "the database is open read-only");
    kh_db_step(db);
    kh_status status = upkeep_catch_up(db, error);
    return status == KH_OK ? durable_compact(db, error) : status;
}
