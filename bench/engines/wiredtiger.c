/* wiredtiger.c - WiredTiger in memory, or in files with its log; one session and one cursor per
 * thread.
 *
 * Snapshot isolation is the strongest level it has: there is no serializable one to compare with.
 * The level is the session's, so that begin_transaction parses no configuration. */
#include "engines.h"

#include <stdio.h>
#include <stdlib.h>
#include <wiredtiger.h>

struct store {
    WT_CONNECTION *connection;
    enum level level;
};

struct session {
    WT_SESSION *session;
    WT_CURSOR *cursor;
};

static void check(int status, const char *what) {
    if (status != 0) engine_fail(what, wiredtiger_strerror(status));
}

static enum outcome outcome_of(int status, const char *what) {
    if (status == WT_ROLLBACK) return RETRY;
    check(status, what);
    return DONE;
}

static const char *version(void) {
    static char text[32];
    int major;
    int minor;
    int patch;
    wiredtiger_version(&major, &minor, &patch);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    return text;
}

static const char *terms(enum level level) {
    if (level == SERIALIZABLE) return NULL;
    return level == REPEATABLE_READ
               ? "snapshot isolation, the strongest it has; in_memory, cache of 8 GB, no statistics"
               : "read committed; in_memory, cache of 8 GB, no statistics";
}

#define DURABLE_CONFIG "create,cache_size=8GB,statistics=(none),log=(enabled=true),"

/* No checkpoints by time or size: none falls into a run. */
static const char *durable_terms(enum durability durability) {
    return durability == SYNCED ? "cache of 8 GB, no statistics, no checkpoints meanwhile, log; "
                                  "each commit flushed, "
                                  "transaction_sync=(enabled,method=fsync)"
                                : "cache of 8 GB, no statistics, no checkpoints meanwhile, log; "
                                  "transaction_sync off";
}

static const char *config_of(enum durability durability) {
    static const char *const configs[] = {"create,in_memory=true,cache_size=8GB,statistics=(none)",
                                          DURABLE_CONFIG "transaction_sync=(enabled=false)",
                                          DURABLE_CONFIG
                                          "transaction_sync=(enabled=true,method=fsync)"};
    return configs[durability];
}

static void *open_store(const struct engine_settings *settings) {
    struct store *store = malloc(sizeof *store);
    if (store == NULL) engine_fail("wiredtiger", "no memory");
    store->level = settings->level;
    check(wiredtiger_open(settings->directory, NULL, config_of(settings->durability),
                          &store->connection),
          "wiredtiger_open");
    WT_SESSION *session;
    check(store->connection->open_session(store->connection, NULL, NULL, &session), "open_session");
    check(session->create(session, "table:bench", "key_format=u,value_format=u"), "create");
    check(session->close(session, NULL), "close");
    return store;
}

static void close_store(void *context) {
    struct store *store = context;
    check(store->connection->close(store->connection, "leak_memory=true"), "close");
    free(store);
}

static void *session_open(void *context) {
    const struct store *store = context;
    struct session *session = engine_session_new(sizeof *session);
    if (session == NULL) engine_fail("wiredtiger", "no memory");
    const char *level =
        store->level == REPEATABLE_READ ? "isolation=snapshot" : "isolation=read-committed";
    check(store->connection->open_session(store->connection, NULL, level, &session->session),
          "open_session");
    check(session->session->open_cursor(session->session, "table:bench", NULL, NULL,
                                        &session->cursor),
          "open_cursor");
    return session;
}

static void session_close(void *context) {
    struct session *session = context;
    check(session->session->close(session->session, NULL), "close");
    free(session);
}

static enum outcome begin(void *context, enum purpose purpose) {
    struct session *session = context;
    (void)purpose;
    return outcome_of(session->session->begin_transaction(session->session, NULL),
                      "begin_transaction");
}

static enum outcome read_value(void *context, const char *key, const void **value) {
    struct session *session = context;
    WT_ITEM item = {.data = key, .size = KEY_BYTES};
    session->cursor->set_key(session->cursor, &item);
    enum outcome outcome = outcome_of(session->cursor->search(session->cursor), "search");
    if (outcome != DONE) return outcome;
    check(session->cursor->get_value(session->cursor, &item), "get_value");
    *value = item.data;
    return DONE;
}

static enum outcome write_value(void *context, const char *key, int64_t number) {
    struct session *session = context;
    char value[VALUE_BYTES];
    value_fill(value, number);
    WT_ITEM item = {.data = key, .size = KEY_BYTES};
    WT_ITEM stored = {.data = value, .size = VALUE_BYTES};
    session->cursor->set_key(session->cursor, &item);
    session->cursor->set_value(session->cursor, &stored);
    return outcome_of(session->cursor->insert(session->cursor), "insert");
}

static enum outcome commit(void *context) {
    struct session *session = context;
    return outcome_of(session->session->commit_transaction(session->session, NULL),
                      "commit_transaction");
}

static void abort_txn(void *context) {
    struct session *session = context;
    check(session->session->rollback_transaction(session->session, NULL), "rollback_transaction");
}

static void scan(void *context, struct scan_result *result) {
    struct session *session = context;
    WT_CURSOR *cursor = session->cursor;
    *result = (struct scan_result){0, 0};
    check(cursor->reset(cursor), "reset");
    WT_ITEM item;
    int status;
    while ((status = cursor->next(cursor)) == 0) {
        check(cursor->get_value(cursor, &item), "get_value");
        result->count++;
        result->sum = (int64_t)((uint64_t)result->sum + (uint64_t)value_number(item.data));
    }
    if (status != WT_NOTFOUND) check(status, "next");
}

const struct engine engine_wiredtiger = {
    .name = "wiredtiger",
    .version = version,
    .terms = terms,
    .durable_terms = durable_terms,
    .promise = {PROMISES_ALONE, PROMISES_ALWAYS, PROMISES_ALWAYS},
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
