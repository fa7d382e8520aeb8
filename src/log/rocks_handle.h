/* rocks_handle.h - what the files that speak to RocksDB share: the handle's parts, errors, keys. */
#ifndef KHONSU_LOG_ROCKS_HANDLE_H
#define KHONSU_LOG_ROCKS_HANDLE_H

#include "base/lock.h"
#include "log/rocks.h"
#include <stdatomic.h>
#include <rocksdb/c.h>

struct rocks {
    struct mem *mem;
    rocksdb_t *db;    /* NULL: it could not be opened again (rocks_reopen) */
    struct gate gate; /* shared by who uses db of an instance that may be opened again */
    enum rocks_kind kind;
    rocksdb_options_t *options; /* for tables that are written beside it, too */
    char *path;
    size_t path_bytes;
    bool is_loading;                    /* large writes may be ingested: rocks_load_least */
    uint64_t memory_bytes;              /* of which it takes a part; 0: what it likes */
    rocksdb_writeoptions_t *synced;     /* write-ahead log, synced */
    rocksdb_writeoptions_t *unsynced;   /* write-ahead log, not synced */
    rocksdb_writeoptions_t *unlogged;   /* no write-ahead log */
    rocksdb_readoptions_t *reading;     /* checksums verified */
    rocksdb_compactionfilter_t *filter; /* of values: outcomes grow old */
    _Atomic uint64_t forgotten; /* timestamp: outcomes below it may go; of values */
    _Atomic uint64_t looks;     /* of RocksDB's threads at it */
    rocksdb_readoptions_t *scanning;    /* and the cache left alone */
};

/* Open it as rocks->kind, at rocks->path. */
kh_status rocks_open_instance(struct rocks *rocks, enum rocks_open how, kh_error *error);
/* Until rocks_leave db stays what it is. KH_IO: there is none. A visitor may enter again. */
kh_status rocks_enter(struct rocks *rocks, kh_error *error);
void rocks_leave(struct rocks *rocks);
/* Turn RocksDB's message (freed) into a status: KH_OK when there is none. */
kh_status rocks_status(char *message, const char *what, kh_error *error);
/* A value, or KH_NOT_FOUND. The caller frees it with rocksdb_free. */
kh_status rocks_get(struct rocks *rocks, kh_bytes key, char **value, size_t *value_bytes,
                    kh_error *error);

static inline void rocks_store_u64(unsigned char out[8], uint64_t number) { /* big-endian */
    for (int i = 0; i < 8; i++) out[i] = (unsigned char)(number >> (56 - 8 * i));
}

static inline uint64_t rocks_load_u64(const void *bytes) {
    const unsigned char *from = bytes;
    uint64_t number = 0;
    for (int i = 0; i < 8; i++) number = number << 8 | from[i];
    return number;
}

#endif
