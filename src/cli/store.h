/* store.h - store files: a database with its history, at rest.
 *
 * A store is an Arrow IPC file (or stream) of three columns, one row for each version of a key, in
 * the order in which they were committed; any Arrow library can read and write it:
 *
 *   key        binary         not null
 *   timestamp  uint64         not null; commit timestamp: milliseconds since 1970 in the upper 48
 *                             bits, a counter in the lower 16. Rows of one timestamp are one
 *                             transaction; timestamps never go back
 *   value      large_binary   the value as an Arrow IPC stream; null: the key was deleted
 *
 * To open one is to replay it, transaction by transaction, into a database in memory whose clock
 * follows the timestamps; to save one is to write its rows again and those of the new commits
 * behind them. */
#ifndef KHONSU_CLI_STORE_H
#define KHONSU_CLI_STORE_H

#include "text.h"

struct store {
    kh_db *db;
    const char *path; /* borrowed; NULL: it began empty */
    uint64_t wall_ms; /* the database's clock */
    uint64_t row_count;
    uint64_t commit_count;
    /* The rest is store.c's. */
    bool is_saved; /* rows are kept, to be written again */
    kh_schema *schema;
    kh_batch **pages;
    size_t page_count;
    kh_txn *replay; /* the transaction at hand */
    kh_timestamp replay_timestamp;
};

/* path NULL: an empty store; "-": the standard input. is_saved: store_save will follow. id_column
 * NULL: "id". Returns an exit code, having complained. */
int store_open(struct store *store, const char *path, bool is_saved, const char *id_column);
/* A transaction later than all of the store's. Its isolation is serializable. */
int store_begin(struct store *store, kh_txn **out);
/* Commit it (and close it, whatever happens), and add what the given keys have become to the rows
 * that will be saved. */
int store_commit(struct store *store, kh_txn *txn, const kh_bytes *keys, size_t key_count,
                 kh_timestamp *timestamp);
int store_save(struct store *store, const char *path, kh_compression compression);
void store_close(struct store *store);

#endif
