/* rocksdb_bare.c - the floor of whatever writes through RocksDB: a batch per transaction, written
 * by one call, no isolation and no undo. Reads see what is committed.
 *
 * `bare-rocksdb` has RocksDB's defaults. `bare-rocksdb-recycled` overwrites log files that are not
 * needed any more instead of growing new ones: RocksDB 7.8 refuses recycle_log_file_num unless it
 * may skip corrupted records when it recovers (wal_recovery_mode 3). Its logs are switched twice
 * after the load, so that the measured commits go into a file that was written before.
 * Values have the size that was asked for: what a floor of "the same bytes" needs. */
#include "engines.h"

#include <rocksdb/c.h>
#include <stdlib.h>

enum { RECYCLED_LOGS = 4, SKIP_CORRUPTED_RECORDS = 3 };

struct store {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *write_options;
    uint32_t value_bytes;
    bool has_switched;
};

struct session {
    const struct store *store;
    rocksdb_writebatch_t *batch;
    rocksdb_readoptions_t *read_options;
    rocksdb_pinnableslice_t *lent;
    const rocksdb_snapshot_t *snapshot; /* of a scan */
    char *value;
    bool is_writing;
};

static void check(char *error, const char *what) {
    if (error != NULL) engine_fail(what, error);
}

static const char *version(void) {
    return BENCH_ROCKSDB_VERSION;
}

static const char *terms(enum level level) {
    (void)level;
    return "rocksdb_write of a batch, no transactions; default options, write-ahead log on a "
           "memory "
           "file system";
}

static const char *durable_terms(enum durability durability) {
    return durability == SYNCED
               ? "rocksdb_write of a batch, no transactions; default options, WriteOptions.sync"
               : "rocksdb_write of a batch, no transactions; default options, no sync";
}

static const char *recycled_terms(enum durability durability) {
    return durability == SYNCED
               ? "the same with recycle_log_file_num 4 and wal_recovery_mode 3, WriteOptions.sync"
               : "the same with recycle_log_file_num 4 and wal_recovery_mode 3, no sync";
}

static struct store *open_with(const struct engine_settings *settings, bool is_recycling) {
    struct store *store = calloc(1, sizeof *store);
    char *error = NULL;
    if (store == NULL) engine_fail("bare-rocksdb", "no memory");
    store->value_bytes = settings->value_bytes;
    store->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(store->options, 1);
    if (is_recycling) {
        rocksdb_options_set_recycle_log_file_num(store->options, RECYCLED_LOGS);
        rocksdb_options_set_wal_recovery_mode(store->options, SKIP_CORRUPTED_RECORDS);
    }
    store->db = rocksdb_open(store->options, settings->directory, &error);
    check(error, "rocksdb_open");
    store->write_options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(store->write_options, settings->durability == SYNCED);
    return store;
}

static void *open_default(const struct engine_settings *settings) {
    return open_with(settings, false);
}

static void *open_recycling(const struct engine_settings *settings) {
    return open_with(settings, true);
}

static void close_store(void *context) {
    struct store *store = context;
    rocksdb_close(store->db);
    rocksdb_writeoptions_destroy(store->write_options);
    rocksdb_options_destroy(store->options);
    free(store);
}

static void *session_open(void *context) {
    struct session *session = engine_session_new(sizeof *session);
    if (session == NULL) engine_fail("bare-rocksdb", "no memory");
    session->store = context;
    session->batch = rocksdb_writebatch_create();
    session->read_options = rocksdb_readoptions_create();
    session->value = malloc(session->store->value_bytes);
    if (session->value == NULL) engine_fail("bare-rocksdb", "no memory");
    memset(session->value, 'x', session->store->value_bytes);
    return session;
}

static void return_lent(struct session *session) {
    if (session->lent != NULL) rocksdb_pinnableslice_destroy(session->lent);
    session->lent = NULL;
}

static void end(struct session *session) {
    return_lent(session);
    rocksdb_writebatch_clear(session->batch);
    if (session->snapshot == NULL) return;
    rocksdb_readoptions_set_snapshot(session->read_options, NULL);
    rocksdb_release_snapshot(session->store->db, session->snapshot);
    session->snapshot = NULL;
}

static void session_close(void *context) {
    struct session *session = context;
    return_lent(session);
    rocksdb_readoptions_destroy(session->read_options);
    rocksdb_writebatch_destroy(session->batch);
    free(session->value);
    free(session);
}

static enum outcome begin(void *context, enum purpose purpose) {
    struct session *session = context;
    session->is_writing = purpose == TO_WRITE;
    if (purpose == TO_SCAN) {
        session->snapshot = rocksdb_create_snapshot(session->store->db);
        rocksdb_readoptions_set_snapshot(session->read_options, session->snapshot);
    }
    return DONE;
}

static enum outcome read_value(void *context, const char *key, const void **value) {
    struct session *session = context;
    char *error = NULL;
    return_lent(session);
    session->lent =
        rocksdb_get_pinned(session->store->db, session->read_options, key, KEY_BYTES, &error);
    check(error, "get");
    if (session->lent == NULL) engine_fail("bare-rocksdb", "a key is missing");
    size_t size;
    *value = rocksdb_pinnableslice_value(session->lent, &size);
    return DONE;
}

static enum outcome write_value(void *context, const char *key, int64_t number) {
    struct session *session = context;
    memcpy(session->value, &number, sizeof number);
    rocksdb_writebatch_put(session->batch, key, KEY_BYTES, session->value,
                           session->store->value_bytes);
    return DONE;
}

static enum outcome commit(void *context) {
    struct session *session = context;
    char *error = NULL;
    if (session->is_writing)
        rocksdb_write(session->store->db, session->store->write_options, session->batch, &error);
    check(error, "write");
    end(session);
    return DONE;
}

static void abort_txn(void *context) {
    end(context);
}

static void scan(void *context, struct scan_result *result) {
    struct session *session = context;
    char *error = NULL;
    rocksdb_iterator_t *iterator =
        rocksdb_create_iterator(session->store->db, session->read_options);
    *result = (struct scan_result){0, 0};
    for (rocksdb_iter_seek_to_first(iterator); rocksdb_iter_valid(iterator);
         rocksdb_iter_next(iterator)) {
        size_t size;
        const char *value = rocksdb_iter_value(iterator, &size);
        result->count++;
        result->sum = (int64_t)((uint64_t)result->sum + (uint64_t)value_number(value));
    }
    rocksdb_iter_get_error(iterator, &error);
    check(error, "iterator");
    rocksdb_iter_destroy(iterator);
}

/* After the load, and never again. A log is switched with a memtable that holds something: the
 * removal of a key that no workload has. */
static void switch_logs(void *context) {
    struct store *store = context;
    if (store->has_switched) return;
    store->has_switched = true;
    rocksdb_flushoptions_t *flush_options = rocksdb_flushoptions_create();
    char *error = NULL;
    for (int i = 0; i < 2; i++) {
        rocksdb_delete(store->db, store->write_options, "bench", 5, &error);
        check(error, "delete");
        rocksdb_flush(store->db, flush_options, &error);
        check(error, "flush");
    }
    rocksdb_flushoptions_destroy(flush_options);
}

#define BATCHES                                                                                    \
    .version = version, .terms = terms, .has_value_sizes = true,                                   \
    .promise = {PROMISES_ALONE, PROMISES_ALONE, PROMISES_ALONE}, .close = close_store,             \
    .session_open = session_open, .session_close = session_close, .begin = begin,                  \
    .read = read_value, .read_for_update = read_value, .write = write_value, .commit = commit,     \
    .abort = abort_txn, .number = value_number, .scan = scan

const struct engine engine_bare_rocksdb = {
    .name = "bare-rocksdb", .durable_terms = durable_terms, .open = open_default, BATCHES};
const struct engine engine_bare_rocksdb_recycled = {.name = "bare-rocksdb-recycled",
                                                    .durable_terms = recycled_terms,
                                                    .open = open_recycling,
                                                    .settle = switch_logs,
                                                    BATCHES};
