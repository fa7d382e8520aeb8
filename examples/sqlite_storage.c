/* sqlite_storage.c - a storage and a log of one's own, both over SQLite, against khonsu.h alone.
 *
 *     cc sqlite_storage.c $(pkg-config --cflags --libs khonsu sqlite3) && ./a.out
 *
 * docs/durability.md explains the storage. The log is as short as one can be: it writes and syncs
 * in the commit, so that commits wait for the disk one after the other. Two files: SQLite lets one
 * writer into a file, and a commit should not wait for the storage. */
#include <khonsu.h>

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the storage ----------------------------------------------------------------------------- */

struct store {
    const char *path;
    sqlite3 *writer; /* of apply and sync, which one thread calls at a time */
};

static int errno_of(int code) {
    if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return 0;
    if (code == SQLITE_FULL) return ENOSPC;
    if (code == SQLITE_NOMEM) return ENOMEM;
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? EBADMSG : EIO;
}

static int run(sqlite3 *database, const char *sql) {
    return sqlite3_exec(database, sql, NULL, NULL, NULL);
}

/* An empty blob is no null. */
static void bind(sqlite3_stmt *statement, int at, kh_bytes bytes) {
    const void *data = bytes.size_bytes == 0 ? "" : bytes.data;
    (void)sqlite3_bind_blob64(statement, at, data, bytes.size_bytes, SQLITE_STATIC);
}

static kh_bytes column(sqlite3_stmt *statement, int at) {
    const void *data = sqlite3_column_blob(statement, at);
    return (kh_bytes){data == NULL ? "" : data, (size_t)sqlite3_column_bytes(statement, at)};
}

static int change(sqlite3 *database, const kh_mutation *mutation) {
    bool is_deletion = mutation->value.data == NULL;
    const char *sql =
        is_deletion ? "delete from entries where key = ?1" : "replace into entries values (?1, ?2)";
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(database, sql, -1, &statement, NULL);
    if (code != SQLITE_OK) return code;
    bind(statement, 1, mutation->key);
    if (!is_deletion) bind(statement, 2, mutation->value);
    (void)sqlite3_step(statement);
    return sqlite3_finalize(statement); /* says how the step went */
}

static int set_position(sqlite3 *database, kh_log_position position) {
    char sql[80];
    (void)snprintf(sql, sizeof sql, "update state set position = %llu",
                   (unsigned long long)position);
    return run(database, sql);
}

/* All of it or nothing, the position too. Not synced: a loss of power takes whole applies. */
static int apply(void *context, const kh_mutation *mutations, size_t count,
                 kh_log_position position) {
    struct store *store = context;
    int code = run(store->writer, "begin immediate");
    for (size_t i = 0; i < count && code == SQLITE_OK; i++)
        code = change(store->writer, &mutations[i]);
    if (code == SQLITE_OK) code = set_position(store->writer, position);
    if (code == SQLITE_OK) code = run(store->writer, "commit");
    if (code != SQLITE_OK) (void)run(store->writer, "rollback");
    return errno_of(code);
}

/* One commit that waits for the disk takes all those before it there. */
static int sync_all(void *context) {
    struct store *store = context;
    int code = run(store->writer, "pragma synchronous = full");
    if (code == SQLITE_OK) code = run(store->writer, "update state set position = position");
    (void)run(store->writer, "pragma synchronous = normal");
    return errno_of(code);
}

static int position(void *context, kh_log_position *out) {
    struct store *store = context;
    sqlite3_stmt *statement = NULL;
    int code =
        sqlite3_prepare_v2(store->writer, "select position from state", -1, &statement, NULL);
    if (code == SQLITE_OK) code = sqlite3_step(statement);
    if (code == SQLITE_ROW) *out = (kh_log_position)sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return code == SQLITE_ROW ? 0 : errno_of(code == SQLITE_DONE ? SQLITE_CORRUPT : code);
}

/* Any thread, also while apply runs: a connection of its own sees one moment. */
static int visit_rows(const struct store *store, const char *sql, kh_bytes from, kh_bytes to,
                      kh_storage_visit_fn *visit, void *visit_context) {
    sqlite3 *reader = NULL;
    sqlite3_stmt *rows = NULL;
    int code = sqlite3_open_v2(store->path, &reader, SQLITE_OPEN_READONLY, NULL);
    if (code == SQLITE_OK) code = sqlite3_prepare_v2(reader, sql, -1, &rows, NULL);
    if (code == SQLITE_OK) {
        bind(rows, 1, from);
        if (to.data != NULL) bind(rows, 2, to);
        while ((code = sqlite3_step(rows)) == SQLITE_ROW &&
               visit(visit_context, column(rows, 0), column(rows, 1))) {
        }
    }
    (void)sqlite3_finalize(rows);
    (void)sqlite3_close(reader);
    return errno_of(code);
}

/* SQLite compares blobs as memcmp does, a shorter one first. */
static int scan(void *context, kh_bytes from, kh_bytes to, kh_storage_visit_fn *visit,
                void *visit_context) {
    const char *sql = to.data == NULL
                          ? "select key, value from entries where key >= ?1 order by key"
                          : "select key, value from entries where key >= ?1 and key < ?2 "
                            "order by key";
    return visit_rows(context, sql, from, to, visit, visit_context);
}

static int get(void *context, kh_bytes key, kh_storage_visit_fn *visit, void *visit_context) {
    const kh_bytes none = {NULL, 0};
    return visit_rows(context, "select key, value from entries where key = ?1", key, none, visit,
                      visit_context);
}

static void close_store(void *context) {
    struct store *store = context;
    (void)sqlite3_close(store->writer);
    store->writer = NULL;
}

/* path is borrowed, and what is made is for one kh_db_open and the kh_db_close after it. */
static bool open_store(struct store *store, const char *path, kh_storage *out) {
    static const char tables[] =
        "pragma journal_mode = wal; pragma synchronous = normal;"
        "create table if not exists entries (key blob primary key, value blob) without rowid;"
        "create table if not exists state (one integer primary key, position integer not null);"
        "insert or ignore into state values (1, 0);";
    *store = (struct store){path, NULL};
    *out = (kh_storage){.version = KH_STORAGE_VERSION,
                        .size = sizeof *out,
                        .context = store,
                        .apply = apply,
                        .sync = sync_all,
                        .position = position,
                        .scan = scan,
                        .get = get,
                        .close = close_store};
    return sqlite3_open(path, &store->writer) == SQLITE_OK &&
           run(store->writer, tables) == SQLITE_OK;
}

/* ---- the log --------------------------------------------------------------------------------- */

struct records {
    sqlite3 *database;
    kh_log_complete_fn *complete;
    void *completion_context;
};

static int open_records(void *context, kh_log_complete_fn *complete, void *completion_context) {
    struct records *records = context;
    records->complete = complete;
    records->completion_context = completion_context;
    return 0;
}

static int insert(sqlite3 *database, kh_bytes record) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(database, "insert into records (bytes) values (?1)", -1,
                                  &statement, NULL);
    if (code != SQLITE_OK) return code;
    bind(statement, 1, record);
    (void)sqlite3_step(statement);
    return sqlite3_finalize(statement);
}

/* On disk when it returns: so it is answered for at once. */
static int append(void *context, const kh_bytes *bytes, size_t count, uint64_t cookie,
                  kh_sync sync) {
    struct records *records = context;
    (void)sync;
    int code = run(records->database, "begin immediate");
    for (size_t i = 0; i < count && code == SQLITE_OK; i++)
        code = insert(records->database, bytes[i]);
    if (code == SQLITE_OK) code = run(records->database, "commit");
    if (code != SQLITE_OK) {
        (void)run(records->database, "rollback");
        return errno_of(code);
    }
    records->complete(records->completion_context, cookie, KH_LOG_KEPT);
    return 0;
}

/* Numbers of SQLite's begin with 1, positions with 0. */
static int read_records(void *context, kh_log_position from, kh_log_visit_fn *visit,
                        void *visit_context) {
    struct records *records = context;
    sqlite3_stmt *rows = NULL;
    int code = sqlite3_prepare_v2(records->database,
                                  "select number - 1, bytes from records where number > ?1 "
                                  "order by number",
                                  -1, &rows, NULL);
    if (code != SQLITE_OK) return errno_of(code);
    (void)sqlite3_bind_int64(rows, 1, (sqlite3_int64)from);
    while ((code = sqlite3_step(rows)) == SQLITE_ROW &&
           visit(visit_context, (kh_log_position)sqlite3_column_int64(rows, 0), column(rows, 1))) {
    }
    (void)sqlite3_finalize(rows);
    return errno_of(code);
}

static int trim(void *context, kh_log_position before) {
    struct records *records = context;
    char sql[80];
    (void)snprintf(sql, sizeof sql, "delete from records where number <= %llu",
                   (unsigned long long)before);
    return errno_of(run(records->database, sql));
}

static void close_records(void *context) {
    struct records *records = context;
    (void)sqlite3_close(records->database);
    records->database = NULL;
}

static bool open_log(struct records *records, const char *path, kh_log *out) {
    static const char tables[] =
        "pragma journal_mode = wal; pragma synchronous = full;"
        "create table if not exists records (number integer primary key autoincrement, bytes blob)";
    *records = (struct records){NULL, NULL, NULL};
    *out = (kh_log){.version = KH_LOG_VERSION,
                    .size = sizeof *out,
                    .context = records,
                    .open = open_records,
                    .append = append,
                    .read = read_records,
                    .trim = trim,
                    .close = close_records};
    return sqlite3_open(path, &records->database) == SQLITE_OK &&
           run(records->database, tables) == SQLITE_OK;
}

/* ---- a database over them -------------------------------------------------------------------- */

static void must(kh_status status, const kh_error *error, const char *what) {
    if (status == KH_OK) return;
    fprintf(stderr, "%s: %s: %s\n", what, kh_status_name(status), error->message);
    exit(1);
}

static void put(kh_db *db, const char *key, int64_t number) {
    static const char *const names[] = {"n"};
    static const char *const formats[] = {"l"};
    const kh_scalar row = {KH_SCALAR_INT64, {.int64 = number}};
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    kh_txn *txn = NULL;
    kh_error error = {""};
    must(kh_schema_build(db, names, formats, 1, &schema, &error), &error, "schema");
    must(kh_batch_build(db, schema, &row, 1, &batch, &error), &error, "batch");
    must(kh_txn_begin(db, NULL, &txn, &error), &error, "begin");
    must(kh_txn_put(txn, (kh_bytes){key, strlen(key)}, batch, &error), &error, "put");
    must(kh_txn_commit(txn, NULL, &error), &error, "commit");
    kh_txn_close(txn);
    kh_batch_release(batch);
    kh_schema_release(schema);
}

static int64_t number_of(kh_db *db, const char *key) {
    int64_t number = 0;
    const kh_batch *batch = NULL;
    kh_txn *txn = NULL;
    kh_error error = {""};
    must(kh_txn_begin(db, NULL, &txn, &error), &error, "begin");
    must(kh_txn_peek(txn, (kh_bytes){key, strlen(key)}, &batch, &error), &error, "peek");
    must(kh_batch_int64(batch, 0, 0, &number), &error, "number");
    kh_txn_close(txn);
    return number;
}

int main(void) {
    static const char *const files[] = {"example-values.sqlite", "example-log.sqlite"};
    for (int i = 0; i < 2; i++) (void)remove(files[i]); /* of an earlier run */
    for (int round = 1; round <= 3; round++) {
        struct store store;
        struct records records;
        kh_storage storage;
        kh_log log;
        kh_options options = KH_OPTIONS_INIT;
        kh_db *db = NULL;
        kh_error error = {""};
        kh_log_position applied = 0;
        if (!open_store(&store, files[0], &storage) || !open_log(&records, files[1], &log)) {
            return 1;
        }
        must(position(&store, &applied) == 0 ? KH_OK : KH_IO, &error, "position");
        options.storage = &storage;
        options.log = &log;
        must(kh_db_open(&options, &db, &error), &error, "open");
        printf("opening %d: the storage is at record %llu\n", round, (unsigned long long)applied);
        if (round > 1) printf("  count is %lld\n", (long long)number_of(db, "count"));
        put(db, "count", round);
        put(db, "other", -round);
        must(kh_db_close(db), &error, "close"); /* brings the storage up to date */
    }
    return 0;
}
