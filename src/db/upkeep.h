/* upkeep.h - keeping a storage up to date with the log, and the log short.
 *
 * A thread of its own (khonsu-upkeep; without threads, kh_db_step) runs checkpoint steps over what
 * the log has made durable, syncs the storage now and then, and trims the log behind both. Nothing
 * waits for it, and its failures poison nothing: the log has everything, the next round tries
 * again, and the message hook is told.
 *
 * A setback: the path's storage refuses writes until it was opened again (log/rocks_reopen.c),
 * which upkeep then does. What was not synced is gone from it, and is applied again from the log,
 * which is never trimmed beyond what was synced. Until then values that are in the storage only may
 * be missing there: `stored` goes back, and who misses one waits for it (upkeep_await). */
#ifndef KHONSU_DB_UPKEEP_H
#define KHONSU_DB_UPKEEP_H

#include "db/db.h"

/* storage NULL: that of the path, if there is one; else there is nothing to keep. Sets db->storage.
 * KH_UNSUPPORTED: a kh_storage of another version; KH_CORRUPT, KH_IO, KH_NO_MEMORY. */
kh_status upkeep_open(struct kh_db *db, const struct kh_storage *storage, kh_error *error);
/* What the storage has at least, as of now. Any thread. */
kh_log_position upkeep_shown(const struct kh_db *db);
/* Of the storage, as found at open: the position, and the highest commit timestamp. */
kh_log_position upkeep_applied(const struct kh_db *db);
uint64_t upkeep_newest_commit(const struct kh_db *db);
/* What is visible at or above it is in the storage: older versions may have been swept. */
uint64_t upkeep_horizon(const struct kh_db *db);
/* The storage has every version up to this commit, but for what was swept. Any thread. */
uint64_t upkeep_stored(const struct kh_db *db);
/* How often it went back. Who found something missing in the storage, and finds that this has
 * changed since before he looked, looks again. Any thread. */
uint32_t upkeep_setbacks(const struct kh_db *db);
/* Until the storage has this commit. KH_IO: it does not come that far. Any thread, no lock held. */
kh_status upkeep_await(struct kh_db *db, uint64_t commit, kh_error *error);
/* Memory waits for the storage: do not wait for the next round. Not in the section. */
void upkeep_hurry(struct kh_db *db);
/* For tests in KH_SLOW_CHECKS builds, of databases with a path only: a setback in every round, or
 * one in the next round, which then ends. Changed while nobody is in a round. */
enum upkeep_wish { UPKEEP_NEVER, UPKEEP_ALWAYS, UPKEEP_ONCE };
#if defined(KH_SLOW_CHECKS)
void upkeep_set_back(enum upkeep_wish wish);
#else
static inline void upkeep_set_back(enum upkeep_wish wish) {
    (void)wish;
}
#endif
kh_status upkeep_start(struct kh_db *db, kh_error *error);
/* All that there is to do now. Without a thread of its own, or as that thread. */
void upkeep_step(struct kh_db *db);
/* The same, and synced. KH_OK also without a storage. Any thread. */
kh_status upkeep_catch_up(struct kh_db *db, kh_error *error);
/* Catch up, and trim the log no more until it is released: for a copy of both. Holds are counted;
 * on failure there is none. Of a database with a storage. */
kh_status upkeep_hold(struct kh_db *db, kh_error *error);
void upkeep_release(struct kh_db *db);
/* The thread's end; then, with the log still open, the storage is brought to the log's end. */
void upkeep_stop(struct kh_db *db);
void upkeep_close(struct kh_db *db);

#endif
