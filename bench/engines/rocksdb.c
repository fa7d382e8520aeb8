/* rocksdb.c - RocksDB's optimistic and pessimistic transactions through its C interface.
 *
 * In memory: no write-ahead log, a memory file system, and a memtable so large that a run never
 * flushes it: what is measured is the skip list in memory and the transaction layer over it. In
 * files: RocksDB's defaults, with or without WriteOptions.sync. Transaction objects are used again.
 * Reads are pinned, not copied. Debian's library keeps RocksDB's sync points (it is built without
 * NDEBUG), which costs it some of its instructions.
 * Repeatable read: reads at the transaction's snapshot, writes validated against it. Serializable:
 * besides, transactions that write read through GetForUpdate (validated at commit, or locked:
 * shared, exclusive where the key will be written); those that only read use a snapshot, which is a
 * prefix of the commit order and so needs no locks. */
#include "engines.h"

#include <rocksdb/c.h>
#include <stdlib.h>

struct store {
    rocksdb_optimistictransactiondb_t *optimistic; /* one of the two */
    rocksdb_transactiondb_t *pessimistic;
    rocksdb_options_t *options;
    rocksdb_transactiondb_options_t *db_options;
    enum level level;
    enum durability durability;
};

struct session {
    const struct store *store;
    rocksdb_transaction_t *txn;
    rocksdb_optimistictransaction_options_t *optimistic_options;
    rocksdb_transaction_options_t *pessimistic_options;
    rocksdb_writeoptions_t *write_options;
    rocksdb_readoptions_t *read_options;
    const rocksdb_snapshot_t *snapshot;
    rocksdb_pinnableslice_t *lent;
    bool is_locking; /* this transaction reads through GetForUpdate */
    bool is_writing;
};

static void check(char *error, const char *what) {
    if (error != NULL) engine_fail(what, error);
}

/* Conflicts, deadlocks and lock timeouts can be tried again. */
static enum outcome outcome_of(char *error, const char *what) {
    if (error == NULL) return DONE;
    bool is_rival = strncmp(error, "Resource busy", 13) == 0 ||
                    strncmp(error, "Operation timed out", 19) == 0 ||
                    strncmp(error, "Operation failed. Try again", 27) == 0;
    if (!is_rival) engine_fail(what, error);
    rocksdb_free(error);
    return RETRY;
}

static const char *version(void) {
    return BENCH_ROCKSDB_VERSION; /* its C header does not know it */
}

#define SETTINGS                                                                                   \
    "no write-ahead log, memory file system, memtable of 4 GB that is never flushed; Debian's "    \
    "build, which keeps RocksDB's sync points"

static const char *optimistic_terms(enum level level) {
    static const char *const texts[LEVEL_COUNT] = {
        "read committed; " SETTINGS, "snapshot isolation; " SETTINGS,
        "serializable by GetForUpdate validated at commit; " SETTINGS};
    return texts[level];
}

static const char *pessimistic_terms(enum level level) {
    static const char *const texts[LEVEL_COUNT] = {
        "read committed, writes locked; " SETTINGS,
        "snapshot isolation, writes locked and validated; " SETTINGS,
        "serializable by GetForUpdate with locks and deadlock detection; " SETTINGS};
    return texts[level];
}

static const char *durable_terms(enum durability durability) {
    return durability == SYNCED
               ? "default options, write-ahead log, WriteOptions.sync (fdatasync by group)"
               : "default options, write-ahead log, WriteOptions.sync off";
}

static struct store *make_store(const struct engine_settings *settings) {
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) engine_fail("rocksdb", "no memory");
    store->level = settings->level;
    store->durability = settings->durability;
    store->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(store->options, 1);
    if (store->durability != IN_MEMORY) return store;
    rocksdb_options_set_write_buffer_size(store->options, (size_t)4 << 30);
    /* Optimistic validation looks for later writes in memtables, which are all there is. */
    rocksdb_options_set_max_write_buffer_number(store->options, 4);
    return store;
}

static void *open_optimistic(const struct engine_settings *settings) {
    struct store *store = make_store(settings);
    char *error = NULL;
    store->optimistic =
        rocksdb_optimistictransactiondb_open(store->options, settings->directory, &error);
    check(error, "rocksdb_optimistictransactiondb_open");
    return store;
}

static void *open_pessimistic(const struct engine_settings *settings) {
    struct store *store = make_store(settings);
    char *error = NULL;
    store->db_options = rocksdb_transactiondb_options_create();
    store->pessimistic =
        rocksdb_transactiondb_open(store->options, store->db_options, settings->directory, &error);
    check(error, "rocksdb_transactiondb_open");
    return store;
}

static void close_store(void *context) {
    struct store *store = context;
    if (store->optimistic != NULL) {
        rocksdb_optimistictransactiondb_close(store->optimistic);
    } else {
        rocksdb_transactiondb_close(store->pessimistic);
        rocksdb_transactiondb_options_destroy(store->db_options);
    }
    rocksdb_options_destroy(store->options);
    free(store);
}

static void *session_open(void *context) {
    struct session *session = engine_session_new(sizeof *session);
    if (session == NULL) engine_fail("rocksdb", "no memory");
    session->store = context;
    session->write_options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(session->write_options,
                                     session->store->durability == IN_MEMORY);
    rocksdb_writeoptions_set_sync(session->write_options, session->store->durability == SYNCED);
    session->read_options = rocksdb_readoptions_create();
    unsigned char has_snapshot = session->store->level != READ_COMMITTED;
    session->optimistic_options = rocksdb_optimistictransaction_options_create();
    rocksdb_optimistictransaction_options_set_set_snapshot(session->optimistic_options,
                                                           has_snapshot);
    session->pessimistic_options = rocksdb_transaction_options_create();
    rocksdb_transaction_options_set_set_snapshot(session->pessimistic_options, has_snapshot);
    rocksdb_transaction_options_set_deadlock_detect(session->pessimistic_options, 1);
    return session;
}

static void session_close(void *context) {
    struct session *session = context;
    if (session->txn != NULL) rocksdb_transaction_destroy(session->txn);
    rocksdb_transaction_options_destroy(session->pessimistic_options);
    rocksdb_optimistictransaction_options_destroy(session->optimistic_options);
    rocksdb_readoptions_destroy(session->read_options);
    rocksdb_writeoptions_destroy(session->write_options);
    free(session);
}

static enum outcome begin(void *context, enum purpose purpose) {
    struct session *session = context;
    const struct store *store = session->store;
    if (store->optimistic != NULL) {
        session->txn = rocksdb_optimistictransaction_begin(
            store->optimistic, session->write_options, session->optimistic_options, session->txn);
    } else {
        session->txn = rocksdb_transaction_begin(store->pessimistic, session->write_options,
                                                 session->pessimistic_options, session->txn);
    }
    session->is_writing = purpose == TO_WRITE;
    session->is_locking = store->level == SERIALIZABLE && purpose == TO_WRITE;
    if (store->level != READ_COMMITTED) {
        session->snapshot = rocksdb_transaction_get_snapshot(session->txn);
        rocksdb_readoptions_set_snapshot(session->read_options, session->snapshot);
    }
    return DONE;
}

static void return_lent(struct session *session) {
    if (session->lent != NULL) rocksdb_pinnableslice_destroy(session->lent);
    session->lent = NULL;
}

static enum outcome read_how(struct session *session, const char *key, unsigned char is_exclusive,
                             const void **value) {
    char *error = NULL;
    return_lent(session);
    session->lent =
        session->is_locking
            ? rocksdb_transaction_get_pinned_for_update(session->txn, session->read_options, key,
                                                        KEY_BYTES, is_exclusive, &error)
            : rocksdb_transaction_get_pinned(session->txn, session->read_options, key, KEY_BYTES,
                                             &error);
    if (error != NULL) return outcome_of(error, "get");
    if (session->lent == NULL) engine_fail("rocksdb", "a key is missing");
    size_t size;
    *value = rocksdb_pinnableslice_value(session->lent, &size);
    return DONE;
}

static enum outcome read_value(void *context, const char *key, const void **value) {
    return read_how(context, key, 0, value);
}

static enum outcome read_for_update(void *context, const char *key, const void **value) {
    return read_how(context, key, 1, value);
}

static enum outcome write_value(void *context, const char *key, int64_t number) {
    struct session *session = context;
    char value[VALUE_BYTES];
    char *error = NULL;
    value_fill(value, number);
    rocksdb_transaction_put(session->txn, key, KEY_BYTES, value, VALUE_BYTES, &error);
    return outcome_of(error, "put");
}

static void end(struct session *session) {
    return_lent(session);
    rocksdb_free((void *)session->snapshot);
    session->snapshot = NULL;
}

/* One that has only read is rolled back: a commit would pass the write queue for nothing. */
static enum outcome commit(void *context) {
    struct session *session = context;
    char *error = NULL;
    end(session);
    if (!session->is_writing) {
        rocksdb_transaction_rollback(session->txn, &error);
        check(error, "rollback");
        return DONE;
    }
    rocksdb_transaction_commit(session->txn, &error);
    if (error == NULL) return DONE;
    char *undo_error = NULL;
    rocksdb_transaction_rollback(session->txn, &undo_error);
    check(undo_error, "rollback");
    return outcome_of(error, "commit");
}

static void abort_txn(void *context) {
    struct session *session = context;
    char *error = NULL;
    end(session);
    rocksdb_transaction_rollback(session->txn, &error);
    check(error, "rollback");
}

static void scan(void *context, struct scan_result *result) {
    struct session *session = context;
    char *error = NULL;
    rocksdb_iterator_t *iterator =
        rocksdb_transaction_create_iterator(session->txn, session->read_options);
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

#define TRANSACTIONS                                                                               \
    .version = version, .durable_terms = durable_terms,                                            \
    .promise = {PROMISES_ALONE, PROMISES_ALWAYS, PROMISES_ALWAYS}, .close = close_store,           \
    .session_open = session_open, .session_close = session_close, .begin = begin,                  \
    .read = read_value, .read_for_update = read_for_update, .write = write_value,                  \
    .commit = commit, .abort = abort_txn, .number = value_number, .scan = scan

const struct engine engine_rocksdb_optimistic = {
    .name = "rocksdb-optimistic", .terms = optimistic_terms, .open = open_optimistic, TRANSACTIONS};
const struct engine engine_rocksdb_pessimistic = {.name = "rocksdb-pessimistic",
                                                  .terms = pessimistic_terms,
                                                  .open = open_pessimistic,
                                                  TRANSACTIONS};
