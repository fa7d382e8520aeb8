/* engines.c - the table of engines. A peer whose library was not found when this was built keeps
 * its name here, so that asking for it says what is missing. */
#include "engines.h"

#include <stddef.h>

#ifdef BENCH_LMDB
#define LMDB(engine) &engine
#else
#define LMDB(engine) NULL
#endif
#ifdef BENCH_WIREDTIGER
#define WIREDTIGER &engine_wiredtiger
#else
#define WIREDTIGER NULL
#endif
#ifdef BENCH_SQLITE
#define SQLITE &engine_sqlite
#else
#define SQLITE NULL
#endif
#ifdef BENCH_ROCKSDB
#define ROCKSDB(engine) &engine
#else
#define ROCKSDB(engine) NULL
#endif

#define NO_LMDB "left out of this build: lmdb.h was not found (Debian: liblmdb-dev)"
#define NO_ROCKSDB "left out of this build: rocksdb/c.h was not found (Debian: librocksdb-dev)"

static const struct {
    const char *name;
    const struct engine *engine;
    const char *missing;
} engines[] = {
    {"khonsu", &engine_khonsu, ""},
    {"lmdb", LMDB(engine_lmdb), NO_LMDB},
    {"lmdb-pwrite", LMDB(engine_lmdb_pwrite), NO_LMDB},
    {"wiredtiger", WIREDTIGER,
     "left out of this build: wiredtiger.h was not found (Debian: libwiredtiger-dev)"},
    {"rocksdb-optimistic", ROCKSDB(engine_rocksdb_optimistic), NO_ROCKSDB},
    {"rocksdb-pessimistic", ROCKSDB(engine_rocksdb_pessimistic), NO_ROCKSDB},
    {"sqlite", SQLITE, "left out of this build: sqlite3.h was not found (Debian: libsqlite3-dev)"},
    {"bare-rocksdb", ROCKSDB(engine_bare_rocksdb), NO_ROCKSDB},
    {"bare-rocksdb-recycled", ROCKSDB(engine_bare_rocksdb_recycled), NO_ROCKSDB},
    {"fdatasync", &engine_fdatasync, ""},
    {"fdatasync-overwrite", &engine_fdatasync_overwrite, ""},
    {"fdatasync-grouped", &engine_fdatasync_grouped, ""},
    {"bare", &engine_bare, ""},
    {"null", &engine_null, ""},
    {"bare-lossy-write", &engine_lossy_write, ""},
    {"bare-lossy-commit", &engine_lossy_commit, ""},
};

const struct engine *engine_find(const char *name, const char **reason) {
    *reason = "there is no such engine";
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
        if (strcmp(engines[i].name, name) != 0) continue;
        *reason = engines[i].missing;
        return engines[i].engine;
    }
    return NULL;
}

const char *engine_name(unsigned index) {
    return index < sizeof engines / sizeof *engines ? engines[index].name : NULL;
}
