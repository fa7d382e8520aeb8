/* sqlite.c - SQLite: a database in one file, write-ahead log, prepared statements, one connection
 * per session; on a memory file system without syncing, or on disk.
 *
 * Writers run one at a time (BEGIN IMMEDIATE) and readers see a snapshot, so every level is
 * serializable. A busy writer yields and tries again. On disk, where the one that is writing waits
 * for the disk, writers queue at a mutex instead: dozens that yield would take its processor. */
#include "engines.h"

#include <pthread.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATH_BYTES = 512 };

enum statement {
    BEGIN_READ,
    BEGIN_WRITE,
    COMMIT,
    ROLLBACK,
    SELECT_ONE,
    UPSERT,
    SELECT_ALL,
    STATEMENT_COUNT
};

static const char *const texts[STATEMENT_COUNT] = {
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "ROLLBACK",
    "SELECT value FROM bench WHERE key = ?",
    "INSERT INTO bench VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    "SELECT value FROM bench"};

struct store {
    char path[PATH_BYTES];
    sqlite3 *db; /* keeps the log open between sessions */
    enum durability durability;
    pthread_mutex_t writing; /* held by the one that writes, on disk only */
};

struct session {
    struct store *store;
    sqlite3 *db;
    bool is_queued; /* it holds the mutex */
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

static void check(int status, int expected, sqlite3 *db, const char *what) {
    if (status != expected) engine_fail(what, sqlite3_errmsg(db));
}

static const char *terms(enum level level) {
    (void)level;
    return "one writer at a time, so serializable at every level; WAL, synchronous=OFF on a memory "
           "file system, prepared statements";
}

static int yield_and_retry(void *context, int count) {
    (void)context;
    (void)count;
    sched_yield();
    return 1;
}

static const char *durable_terms(enum durability durability) {
    return durability == SYNCED ? "one writer at a time, queued at a mutex, so serializable at "
                                  "every level; WAL, synchronous=FULL, prepared statements"
                                : "one writer at a time, queued at a mutex, so serializable at "
                                  "every level; WAL, synchronous=OFF, prepared statements";
}

static void execute(sqlite3 *db, const char *text) {
    check(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK, db, text);
}

static sqlite3 *connect(const struct store *store) {
    sqlite3 *db;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    check(sqlite3_open_v2(store->path, &db, flags, NULL), SQLITE_OK, db, "sqlite3_open_v2");
    sqlite3_busy_handler(db, yield_and_retry, NULL);
    execute(db, "PRAGMA journal_mode=WAL; PRAGMA cache_size=-2000000; PRAGMA mmap_size=2000000000");
    execute(db, store->durability == SYNCED ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF");
    return db;
}

static void *open_store(const struct engine_settings *settings) {
    struct store *store = malloc(sizeof *store);
    if (store == NULL) engine_fail("sqlite", "no memory");
    snprintf(store->path, sizeof store->path, "%s/bench.db", settings->directory);
    store->durability = settings->durability;
    pthread_mutex_init(&store->writing, NULL);
    store->db = connect(store);
    execute(store->db, "CREATE TABLE IF NOT EXISTS bench (key BLOB PRIMARY KEY, value BLOB NOT "
                       "NULL) WITHOUT ROWID");
    return store;
}

static void close_store(void *context) {
    struct store *store = context;
    check(sqlite3_close(store->db), SQLITE_OK, store->db, "sqlite3_close");
    pthread_mutex_destroy(&store->writing);
    free(store);
}

static void *session_open(void *context) {
    struct store *store = context;
    struct session *session = engine_session_new(sizeof *session);
    if (session == NULL) engine_fail("sqlite", "no memory");
    session->store = store;
    session->db = connect(store);
    for (int i = 0; i < STATEMENT_COUNT; i++)
        check(sqlite3_prepare_v3(session->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                 &session->statements[i], NULL),
              SQLITE_OK, session->db, texts[i]);
    return session;
}

static void session_close(void *context) {
    struct session *session = context;
    for (int i = 0; i < STATEMENT_COUNT; i++) sqlite3_finalize(session->statements[i]);
    check(sqlite3_close(session->db), SQLITE_OK, session->db, "sqlite3_close");
    free(session);
}

static void run(struct session *session, enum statement which) {
    sqlite3_stmt *statement = session->statements[which];
    check(sqlite3_step(statement), SQLITE_DONE, session->db, texts[which]);
    sqlite3_reset(statement);
}

static enum outcome begin(void *context, enum purpose purpose) {
    struct session *session = context;
    session->is_queued = purpose == TO_WRITE && session->store->durability != IN_MEMORY;
    if (session->is_queued) pthread_mutex_lock(&session->store->writing);
    run(session, purpose == TO_WRITE ? BEGIN_WRITE : BEGIN_READ);
    return DONE;
}

static void leave_queue(struct session *session) {
    if (session->is_queued) pthread_mutex_unlock(&session->store->writing);
}

static enum outcome read_value(void *context, const char *key, const void **value) {
    struct session *session = context;
    sqlite3_stmt *statement = session->statements[SELECT_ONE];
    sqlite3_reset(statement); /* of the read before, whose value has been lent until now */
    sqlite3_bind_blob(statement, 1, key, KEY_BYTES, SQLITE_STATIC);
    check(sqlite3_step(statement), SQLITE_ROW, session->db, texts[SELECT_ONE]);
    *value = sqlite3_column_blob(statement, 0);
    return DONE;
}

static enum outcome write_value(void *context, const char *key, int64_t number) {
    struct session *session = context;
    sqlite3_stmt *statement = session->statements[UPSERT];
    char value[VALUE_BYTES];
    value_fill(value, number);
    sqlite3_reset(session->statements[SELECT_ONE]);
    sqlite3_bind_blob(statement, 1, key, KEY_BYTES, SQLITE_STATIC);
    sqlite3_bind_blob(statement, 2, value, VALUE_BYTES, SQLITE_STATIC);
    run(session, UPSERT);
    return DONE;
}

static enum outcome commit(void *context) {
    struct session *session = context;
    sqlite3_reset(session->statements[SELECT_ONE]);
    run(session, COMMIT);
    leave_queue(session);
    return DONE;
}

static void abort_txn(void *context) {
    struct session *session = context;
    sqlite3_reset(session->statements[SELECT_ONE]);
    run(session, ROLLBACK);
    leave_queue(session);
}

static void scan(void *context, struct scan_result *result) {
    struct session *session = context;
    sqlite3_stmt *statement = session->statements[SELECT_ALL];
    *result = (struct scan_result){0, 0};
    int status;
    while ((status = sqlite3_step(statement)) == SQLITE_ROW) {
        int64_t number = value_number(sqlite3_column_blob(statement, 0));
        result->count++;
        result->sum = (int64_t)((uint64_t)result->sum + (uint64_t)number);
    }
    check(status, SQLITE_DONE, session->db, texts[SELECT_ALL]);
    sqlite3_reset(statement);
}

const struct engine engine_sqlite = {.name = "sqlite",
                                     .version = sqlite3_libversion,
                                     .terms = terms,
                                     .durable_terms = durable_terms,
                                     .promise = {PROMISES_ALWAYS, PROMISES_ALWAYS, PROMISES_ALWAYS},
                                     .open = open_store,
                                     .close = close_store,
                                     .session_open = session_open,
                                     .session_close = session_close,
                                     .begin = begin,
                                     .read = read_value,
                                     .read_for_update = read_value,
                                     .write = write_value,
                                     .commit = commit,
                                     .abort = abort_txn,
                                     .number = value_number,
                                     .scan = scan};
