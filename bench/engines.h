/* engines.h - which engines there are. */
#ifndef BENCH_ENGINES_H
#define BENCH_ENGINES_H

#include "engine.h"

extern const struct engine engine_null, engine_bare, engine_lossy_write, engine_lossy_commit;
extern const struct engine engine_khonsu, engine_lmdb, engine_lmdb_pwrite, engine_wiredtiger,
    engine_sqlite;
extern const struct engine engine_rocksdb_optimistic, engine_rocksdb_pessimistic;
extern const struct engine engine_bare_rocksdb, engine_bare_rocksdb_recycled;
extern const struct engine engine_fdatasync, engine_fdatasync_overwrite, engine_fdatasync_grouped;

/* NULL: no such engine in this build; *reason says why (a static text). */
const struct engine *engine_find(const char *name, const char **reason);

/* The index-th name, from 0, whether it is in this build or not; NULL beyond the last. */
const char *engine_name(unsigned index);

#endif
