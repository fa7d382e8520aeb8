/* rocks_load.h - many bytes at once, as table files of their own.
 *
 * The ordinary way writes bytes twice: to the write-ahead log, whose sync is what a commit waits
 * for, and from the memtable to a table; and copies them on the way. That is right for small
 * writes, which share syncs and tables. What is large by itself is sorted into table files beside
 * the instance, written once and synced; RocksDB then takes them in (ingestion): it links them into
 * its directory, syncs that, and names all of them in one record of its manifest.
 *
 * Invariants. All or nothing: the record of the manifest is the only thing that counts. On disk
 * when it answers KH_OK. Newer than what was written to the instance before: where ranges meet,
 * RocksDB flushes the memtable first; where they do not, nothing is flushed and the files go to the
 * lowest level, to be rewritten by nobody. A load does not sync the write-ahead log: who writes in
 * order and must lose from the end only syncs it first.
 *
 * A file being written never has a name under which it could be a table in use: a link has two
 * names. So names beside the instance are taken away before they are given, and at open.
 *
 * What a crash leaves, and who cares for it:
 *   while a file is written    a torn file beside the instance: the next opening removes it
 *   after it was linked        also a table that no manifest names: RocksDB deletes it at open
 *   after the manifest's sync  everything, and perhaps the name beside, of the same file: removed
 *
 * THE DANGER that makes this a choice of who opens (KH_OPEN_INGEST): RocksDB 7.8 takes its link to
 * a file away when the sync of the manifest fails, though the manifest may name it; and does not
 * see that reading a file for its bounds failed. Either makes an instance unreadable that was
 * whole (test/crash/failed_calls.py with everything loaded finds both).
 *
 * Failure: what was written is as before. KH_NO_SPACE: the files did not fit, which can be tried
 * again; the ones in the making are removed. One writer at a time to an instance's loads. */
#ifndef KHONSU_LOG_ROCKS_LOAD_H
#define KHONSU_LOG_ROCKS_LOAD_H

#include "khonsu/log.h"
#include "log/rocks.h"
#include "log/rocks_lone.h"

enum { ROCKS_LOAD_TABLES = 2 };

/* From this size on a group of the log, or a step of the storage, is loaded: 2 MiB where loading is
 * wanted (rocks_set_loading), else never. */
size_t rocks_load_least(const struct rocks *rocks);
/* Another size for all, for tests, changed while no database is open; 0: none. */
extern size_t rocks_load_bytes;

struct rocks_table { /* entries in rising order of their keys, at least one; borrowed */
    const kh_mutation *entries;
    size_t count;
};

/* All of the tables, up to ROCKS_LOAD_TABLES, whose ranges do not meet. */
kh_status rocks_load(struct rocks *rocks, const struct rocks_table *tables, size_t table_count,
                     kh_error *error);
/* The same of one entry that makes a table by itself (rocks_lone.h), in two steps: between them the
 * first late_bytes of the value are made. A begun load must be ended. */
struct rocks_lone_load {
    struct rocks *rocks;
    struct lone lone;
    size_t late_bytes;
};
kh_status rocks_load_begin(struct rocks_lone_load *load, struct rocks *rocks, const void *key,
                           unsigned char *value, size_t value_bytes, size_t late_bytes,
                           kh_error *error);
kh_status rocks_load_end(struct rocks_lone_load *load, kh_error *error);
/* Take away what a crash has left beside the instance at path. Nobody has it open. */
kh_status rocks_load_clear(const char *path, kh_error *error);

#endif
