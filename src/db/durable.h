/* durable.h - the directory of a durable database.
 *
 *     KHONSU   what it is: format, id, timeline; a few lines of text with a checksum, replaced
 * whole LOCK     held by the process that has it open, with its number MARK     how far the log
 * must reach (log/mark.h) store/   RocksDB: log and values (log/rocks.h)
 *
 * Making one: KHONSU first, MARK last; a directory without MARK whose log is empty was never
 * finished, and is finished at the next open. Invariant: no file is changed before LOCK is held.
 * With KH_OPEN_READ_ONLY nothing of this is made or changed (at_rest.h).
 * In builds without the feature "durable" opening answers KH_UNSUPPORTED. */
#ifndef KHONSU_DB_DURABLE_H
#define KHONSU_DB_DURABLE_H

#include "db/db.h"

extern const bool durable_is_built;

/* Open or make options->path: db->durable, identity and ids are set on KH_OK. KH_IN_USE: another
 * opening has it; KH_CORRUPT, KH_UNSUPPORTED, KH_IO, KH_INVALID (not a directory of khonsu). */
kh_status durable_open(struct kh_db *db, const kh_options *options, kh_error *error);
/* Its log and its storage, for pipeline_open and upkeep_open. NULL without a path. */
const struct kh_log *durable_log(const struct kh_db *db);
const struct kh_storage *durable_storage(const struct kh_db *db);
/* Memory that a database of a path takes beside the library's own, about; 0 without a path. */
uint64_t durable_memory_bytes(const struct kh_db *db);
/* What was written to the log so far is on disk: before a storage takes it. */
kh_status durable_sync_log(struct kh_db *db, kh_error *error);
/* Is the log busy with a large group? False without a path. */
bool durable_is_loading(const struct kh_db *db);
/* The newest head that is on disk; and the log as a history, for the caller to fini. Of a path. */
void durable_head(const struct kh_db *db, kh_head *out);
struct history;
kh_status durable_history(const struct kh_db *db, struct history *out, kh_error *error);
/* Its log and the two instances under it, for copies. False: there is no path. */
struct durable_stores {
    struct rocks_log *log;
    struct rocks *rocks_log;
    struct rocks *rocks_values;
};
bool durable_stores(const struct kh_db *db, struct durable_stores *out);
/* How much there is to read at open: bytes of the storage, about, and records that the log has from
 * a position on. 0: not known. */
uint64_t durable_values_bytes(const struct kh_db *db);
uint64_t durable_records_behind(const struct kh_db *db, kh_log_position from);
/* Rewrite its files without what was deleted. KH_OK also without a path. */
kh_status durable_compact(struct kh_db *db, kh_error *error);
/* Its storage refuses writes until it was opened again; and open it again (rocks_reopen): what was
 * not synced is gone from it then. */
bool durable_storage_is_stuck(const struct kh_db *db);
kh_status durable_reopen_storage(const struct kh_db *db, kh_error *error);
/* Before upkeep writes: KH_NO_SPACE while the device has no room for it. KH_OK without a path. */
kh_status durable_check_room(const struct kh_db *db, kh_error *error);
/* Transactions that began and committed below it may have been forgotten, newest being the newest
 * commit: a day older than that, and gone from the log, whatever the clock says. KH_IO. */
kh_status durable_forgotten(const struct kh_db *db, kh_timestamp newest, kh_timestamp *below,
                            kh_error *error);
/* The storage may forget them from now on. newest is durable, in it. */
kh_status durable_forget(const struct kh_db *db, kh_timestamp newest, kh_error *error);
/* Ids go on from the time that it is now, so that they say when a transaction began, to a minute or
 * so and never later. */
void durable_follow_clock(struct kh_db *db);
/* False: the log's device has little room, and nothing is taken until it has more. True without a
 * path. */
bool durable_watch_room(const struct kh_db *db);
/* After the log was replayed: timestamps go on above everything that was ever given out. */
void durable_restored(struct kh_db *db);
/* Close begins: the log's thread ends, before others that may wait for it. */
void durable_quiet(struct kh_db *db);
/* What its threads do, for databases without. */
void durable_step(struct kh_db *db);
/* After the pipeline was closed. NULL db->durable is allowed. */
void durable_close(struct kh_db *db);

#endif
