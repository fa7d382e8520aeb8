/* rocks.h - the two RocksDB instances that hold a database at rest: its log and its values.
 *
 * "log": the groups of the log, each under the position of its first record (8 bytes, big-endian);
 * written through RocksDB's write-ahead log, which is the only thing that a commit syncs. "values":
 * the storage's keys and values, written without one: what a flush has not made durable is made
 * again from the log. Two instances, not two column families of one: with several families
 * RocksDB 7.8 dereferences a closed file when it recycles write-ahead logs (DBImpl::MarkLogsSynced;
 * docs/decisions/0037).
 *
 * The log's write-ahead files are written over old ones: a sync costs less than where a file
 * grows (the same record). RocksDB 7.8 recycles only in the recovery mode "skip any
 * corrupted record", and in that mode reads a recycled file for ever: so the log is recovered in
 * the ordinary mode, which ends at the first record that is not whole, and opened again for use.
 * Whether that end is the right one the groups and the mark tell: rocks_log_tail.c checks.
 *
 * RocksDB's options are few and written down here, so that a database behaves the same whatever
 * the defaults of the library's version. Threads: any; RocksDB has background threads of its own
 * for flushes and compactions (process-wide, named rocksdb:low and rocksdb:high). */
#ifndef KHONSU_LOG_ROCKS_H
#define KHONSU_LOG_ROCKS_H

#include "khonsu/db.h"
#include <stdbool.h>
#include <stdint.h>

struct mem;

struct rocks;
enum rocks_kind { ROCKS_LOG, ROCKS_VALUES };

enum rocks_open {
    ROCKS_CREATE, /* if it is not there */
    ROCKS_WRITE,
    ROCKS_READ /* changes nothing; another may write */
};

/* KH_IO, with RocksDB's message; KH_CORRUPT where it says so. */
kh_status rocks_open(struct mem *mem, const char *path, enum rocks_kind kind, enum rocks_open how,
                     struct rocks **out, kh_error *error);
/* The same with buffers and a cache of about a sixteenth of memory_bytes, where the usual ones are
 * larger; 0: the usual ones. */
kh_status rocks_open_within(struct mem *mem, const char *path, enum rocks_kind kind,
                            enum rocks_open how, uint64_t memory_bytes, struct rocks **out,
                            kh_error *error);
/* Large writes are ingested as table files from now on (log/rocks_load.h). */
void rocks_set_loading(struct rocks *rocks);
/* What a log and values take of that, about, with what compactions hold. */
uint64_t rocks_memory_bytes(uint64_t memory_bytes);
/* Does it refuse writes, or flush nothing, because a write has failed in the background? Also while
 * the disk is full. */
bool rocks_is_stuck(struct rocks *rocks);
/* Close it and open it again, if a file beside it can be written: what was not flushed is lost from
 * it. Of values (who opened the log holds an iterator). KH_BUSY: somebody has read in it for a
 * second; KH_IO: it is as before, or not open any more, and every call says so until this one has
 * answered KH_OK. One thread at a time, and no write meanwhile. */
kh_status rocks_reopen(struct rocks *rocks, kh_error *error);
/* NULL is allowed. Nothing is flushed. */
void rocks_close(struct rocks *rocks);

/* Make what was written so far durable in table files. KH_IO, KH_NO_SPACE. */
kh_status rocks_flush(struct rocks *rocks, kh_error *error);
/* Rewrite its table files, so that what was deleted leaves the disk. As long as reading it. */
kh_status rocks_compact(struct rocks *rocks, kh_error *error);
/* Remove an instance that nobody has open, with its directory. It need not be there or whole. */
kh_status rocks_erase(const char *path, kh_error *error);
/* Bytes of the keys and values in its table files, about (what was overwritten counts until a
 * compaction). 0: not known. */
uint64_t rocks_bytes(struct rocks *rocks);
/* Of the values: outcomes of transactions that began and committed below it may go from now on. */
void rocks_forget_below(struct rocks *values, kh_timestamp timestamp);
/* Is there nothing in it? False also when it cannot be read. */
bool rocks_is_empty(struct rocks *rocks);

#endif
