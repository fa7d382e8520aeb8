/* rocks_storage.h - the storage on RocksDB: the instance of values, written without a write-ahead
 * log.
 *
 * What apply wrote may be lost in a crash, but only from the end: RocksDB writes whole batches in
 * order into one table of memory after the other, and flushes them in order, and the position is in
 * each batch. A large step is loaded as table files (rocks_load.h): the versions in one, the rest
 * with the position in another, both or neither; so that what overlaps every memtable is a few
 * bytes, and versions of new keys go to the lowest level. The position's own range makes RocksDB
 * flush the memtable before, which keeps the order: a step that survives has all before it.
 * sync, and a load, flush the log's instance first, so that a storage that is durable up to a
 * position never stands beside a log that ends before it, and what lies below the position is in
 * tables. */
#ifndef KHONSU_LOG_ROCKS_STORAGE_H
#define KHONSU_LOG_ROCKS_STORAGE_H

#include "khonsu/log.h"
#include "log/rocks.h"

struct rocks_storage {
    struct kh_storage face;
    struct rocks *log;
    struct rocks *values;
};

/* The handles are borrowed until close. */
void rocks_storage_init(struct rocks_storage *storage, struct rocks *log, struct rocks *values);

#endif
