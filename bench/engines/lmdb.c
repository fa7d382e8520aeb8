/* lmdb.c - LMDB: `lmdb` writes through its map (WRITEMAP, the fastest it has in memory),
 * `lmdb-pwrite` writes dirty pages by system calls, as it does unless told. In memory: on a memory
 * file system, without syncing. In files: with its durable commits, or NOSYNC.
 *
 * Readers see a snapshot; writers run one at a time, so every level is serializable. A session
 * keeps one read-only transaction and renews it, as the manual advises. */
#include "engines.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>

struct store {
    MDB_env *env;
    MDB_dbi dbi;
};

struct session {
    MDB_txn *txn; /* the open transaction: the reader or a writer */
    MDB_txn *reader;
    const struct store *store;
};

static void check(int status, const char *what) {
    if (status != MDB_SUCCESS) engine_fail(what, mdb_strerror(status));
}

static const char *version(void) {
    static char text[32];
    int major;
    int minor;
    int patch;
    mdb_version(&major, &minor, &patch);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    return text;
}

#define TERMS                                                                                      \
    "one writer at a time, so serializable at every level; NOSYNC, NOMETASYNC, NORDAHEAD on a "    \
    "memory file system; read transactions renewed"

static const char *map_terms(enum level level) {
    (void)level;
    return TERMS "; WRITEMAP";
}

static const char *pwrite_terms(enum level level) {
    (void)level;
    return TERMS "; dirty pages written by system calls (the default)";
}

static const char *durable_terms(enum durability durability) {
    return durability == SYNCED
               ? "one writer at a time, so serializable at every level; durable commits, NORDAHEAD"
               : "one writer at a time, so serializable at every level; NOSYNC, NOMETASYNC, "
                 "NORDAHEAD";
}

static void *open_with(const struct engine_settings *settings, unsigned more_flags) {
    struct store *store = malloc(sizeof *store);
    if (store == NULL) engine_fail("lmdb", "no memory");
    check(mdb_env_create(&store->env), "mdb_env_create");
    /* Twice what the keys need, and room for the pages that an open reader holds back. */
    size_t map_bytes = ((size_t)4 << 30) + settings->keys * 1024;
    check(mdb_env_set_mapsize(store->env, map_bytes), "mdb_env_set_mapsize");
    unsigned flags = MDB_NORDAHEAD | MDB_NOTLS | more_flags;
    if (settings->durability != SYNCED) flags |= MDB_NOSYNC | MDB_NOMETASYNC;
    check(mdb_env_open(store->env, settings->directory, flags, 0600), "mdb_env_open");
    MDB_txn *txn;
    check(mdb_txn_begin(store->env, NULL, 0, &txn), "mdb_txn_begin");
    check(mdb_dbi_open(txn, NULL, 0, &store->dbi), "mdb_dbi_open");
    check(mdb_txn_commit(txn), "mdb_txn_commit");
    return store;
}

static void *open_mapped(const struct engine_settings *settings) {
    return open_with(settings, MDB_WRITEMAP);
}

static void *open_written(const struct engine_settings *settings) {
    return open_with(settings, 0);
}

static void close_store(void *context) {
    struct store *store = context;
    mdb_env_close(store->env);
    free(store);
}

static void *session_open(void *context) {
    struct session *session = engine_session_new(sizeof *session);
    if (session == NULL) engine_fail("lmdb", "no memory");
    session->store = context;
    check(mdb_txn_begin(session->store->env, NULL, MDB_RDONLY, &session->reader), "mdb_txn_begin");
    mdb_txn_reset(session->reader);
    return session;
}

static void session_close(void *context) {
    struct session *session = context;
    mdb_txn_abort(session->reader);
    free(session);
}

static enum outcome begin(void *context, enum purpose purpose) {
    struct session *session = context;
    if (purpose == TO_WRITE) {
        check(mdb_txn_begin(session->store->env, NULL, 0, &session->txn), "mdb_txn_begin");
    } else {
        check(mdb_txn_renew(session->reader), "mdb_txn_renew");
        session->txn = session->reader;
    }
    return DONE;
}

static enum outcome read_value(void *context, const char *key, const void **value) {
    struct session *session = context;
    MDB_val name = {KEY_BYTES, (void *)key};
    MDB_val found;
    check(mdb_get(session->txn, session->store->dbi, &name, &found), "mdb_get");
    *value = found.mv_data;
    return DONE;
}

static enum outcome write_value(void *context, const char *key, int64_t number) {
    struct session *session = context;
    char value[VALUE_BYTES];
    value_fill(value, number);
    MDB_val name = {KEY_BYTES, (void *)key};
    MDB_val stored = {VALUE_BYTES, value};
    check(mdb_put(session->txn, session->store->dbi, &name, &stored, 0), "mdb_put");
    return DONE;
}

static enum outcome commit(void *context) {
    struct session *session = context;
    if (session->txn == session->reader) {
        mdb_txn_reset(session->reader);
    } else {
        check(mdb_txn_commit(session->txn), "mdb_txn_commit");
    }
    return DONE;
}

static void abort_txn(void *context) {
    struct session *session = context;
    if (session->txn == session->reader) {
        mdb_txn_reset(session->reader);
    } else {
        mdb_txn_abort(session->txn);
    }
}

static void scan(void *context, struct scan_result *result) {
    struct session *session = context;
    MDB_cursor *cursor;
    check(mdb_cursor_open(session->txn, session->store->dbi, &cursor), "mdb_cursor_open");
    *result = (struct scan_result){0, 0};
    MDB_val key;
    MDB_val value;
    int status;
    while ((status = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == MDB_SUCCESS) {
        result->count++;
        result->sum = (int64_t)((uint64_t)result->sum + (uint64_t)value_number(value.mv_data));
    }
    if (status != MDB_NOTFOUND) check(status, "mdb_cursor_get");
    mdb_cursor_close(cursor);
}

#define TRANSACTIONS                                                                               \
    .version = version, .durable_terms = durable_terms,                                            \
    .promise = {PROMISES_ALWAYS, PROMISES_ALWAYS, PROMISES_ALWAYS}, .close = close_store,          \
    .session_open = session_open, .session_close = session_close, .begin = begin,                  \
    .read = read_value, .read_for_update = read_value, .write = write_value, .commit = commit,     \
    .abort = abort_txn, .number = value_number, .scan = scan

const struct engine engine_lmdb = {
    .name = "lmdb", .terms = map_terms, .open = open_mapped, TRANSACTIONS};
const struct engine engine_lmdb_pwrite = {
    .name = "lmdb-pwrite", .terms = pwrite_terms, .open = open_written, TRANSACTIONS};
