/* khonsu.c - khonsu through its public header: default options, default threads, statistics on; in
 * memory, or in a directory with each commit synced or none.
 *
 * A value is a batch of one row: int64, float64 (or int64 again), utf8 of 84 bytes, handed in as an
 * ArrowArray which the library validates in full. The session fills one array again for each write,
 * since making arrays is the caller's cost. A read borrows a view. */
#include "engines.h"

#include <khonsu.h>
#include <stdlib.h>

enum { TEXT_BYTES = 84, COLUMNS = 3 };

struct store {
    kh_db *db;
    kh_schema *schema;
    kh_isolation isolation;
};

struct session {
    kh_txn *txn;
    const struct store *store;
    kh_txn_options options;
    kh_txn_options scan_options;
    struct ArrowArray array;
    struct ArrowArray columns[COLUMNS];
    struct ArrowArray *children[COLUMNS];
    const void *buffers[7];
    const void *no_validity[1];
    int64_t number;
    int64_t second;
    int32_t offsets[2];
    char text[TEXT_BYTES];
};

static void check(kh_status status, const kh_error *error, const char *what) {
    if (status == KH_OK) return;
    engine_fail(what,
                error != NULL && error->message[0] != 0 ? error->message : kh_status_name(status));
}

__attribute__((noinline)) static enum outcome refused(kh_status status, const char *what) {
    if (kh_status_classify(status) != KH_CLASS_RETRY) check(status, NULL, what);
    return RETRY;
}

static inline enum outcome outcome_of(kh_status status, const char *what) {
    return __builtin_expect(status == KH_OK, 1) ? DONE : refused(status, what);
}

static const char *terms(enum level level) {
    static const char *const texts[LEVEL_COUNT] = {
        "read committed; Arrow batches of one row, validated in full; reads are borrowed views",
        "snapshot isolation; Arrow batches of one row, validated in full; reads are borrowed views",
        "strict serializable; Arrow batches of one row, validated in full; reads are borrowed "
        "views"};
    return texts[level];
}

static const char *durable_terms(enum durability durability) {
    if (!kh_has_feature("durable")) return NULL;
    return durability == SYNCED ? "Arrow batches of one row, validated in full; KH_SYNC_FULL"
                                : "Arrow batches of one row, validated in full; KH_SYNC_NONE, "
                                  "which answers before the log has written it";
}

static void place(kh_options *options, const struct engine_settings *settings) {
    if (settings->durability == IN_MEMORY) return;
    options->path = settings->directory;
    options->sync = settings->durability == SYNCED ? KH_SYNC_FULL : KH_SYNC_NONE;
}

static void *open_store(const struct engine_settings *settings) {
    static const kh_isolation isolations[LEVEL_COUNT] = {KH_READ_COMMITTED, KH_REPEATABLE_READ,
                                                         KH_SERIALIZABLE};
    static const char *const names[] = {"id", "second", "text"};
    const char *formats[] = {"l", settings->row == ROW_INT64_INT64 ? "l" : "g", "u"};
    struct store *store = malloc(sizeof *store);
    kh_options options = KH_OPTIONS_INIT;
    kh_error error = {0};
    if (store == NULL) engine_fail("khonsu", "no memory");
    place(&options, settings);
    check(kh_db_open(&options, &store->db, &error), &error, "kh_db_open");
    check(kh_schema_build(store->db, names, formats, COLUMNS, &store->schema, &error), &error,
          "kh_schema_build");
    store->isolation = isolations[settings->level];
    return store;
}

static void close_store(void *context) {
    struct store *store = context;
    kh_schema_release(store->schema);
    check(kh_db_close(store->db), NULL, "kh_db_close");
    free(store);
}

static void release_nothing(struct ArrowArray *array) {
    array->release = NULL;
}

static void *session_open(void *context) {
    static const int first[COLUMNS] = {0, 2, 4};
    static const int count[COLUMNS] = {2, 2, 3};
    struct session *session = engine_session_new(sizeof *session);
    if (session == NULL) engine_fail("khonsu", "no memory");
    session->store = context;
    session->options = (kh_txn_options)KH_TXN_OPTIONS_INIT;
    session->options.isolation = session->store->isolation;
    session->scan_options = session->options;
    session->scan_options.flags = KH_BEGIN_READ_ONLY;
    memset(session->text, 'x', TEXT_BYTES);
    session->offsets[1] = TEXT_BYTES;
    session->buffers[1] = &session->number;
    session->buffers[3] = &session->second;
    session->buffers[5] = session->offsets;
    session->buffers[6] = session->text;
    for (int i = 0; i < COLUMNS; i++) {
        session->columns[i] = (struct ArrowArray){.length = 1,
                                                  .n_buffers = count[i],
                                                  .buffers = session->buffers + first[i],
                                                  .release = release_nothing};
        session->children[i] = &session->columns[i];
    }
    session->array = (struct ArrowArray){.length = 1,
                                         .n_buffers = 1,
                                         .n_children = COLUMNS,
                                         .buffers = session->no_validity,
                                         .children = session->children};
    return session;
}

static enum outcome begin(void *context, enum purpose purpose) {
    struct session *session = context;
    kh_txn_options *options = purpose == TO_SCAN ? &session->scan_options : &session->options;
    return outcome_of(kh_txn_begin(session->store->db, options, &session->txn, NULL),
                      "kh_txn_begin");
}

static enum outcome read_value(void *context, const char *key, const void **value) {
    struct session *session = context;
    const kh_batch *batch;
    kh_status status = kh_txn_peek(session->txn, (kh_bytes){key, KEY_BYTES}, &batch, NULL);
    *value = batch;
    return outcome_of(status, "kh_txn_peek");
}

/* The library has released the array of the last write, which marks it and leaves all else as it
 * was: the same array is filled again. */
static enum outcome write_value(void *context, const char *key, int64_t number) {
    struct session *session = context;
    session->number = number;
    session->array.release = release_nothing;
    return outcome_of(kh_txn_put_array(session->txn, (kh_bytes){key, KEY_BYTES},
                                       session->store->schema, &session->array, KH_DEFAULT_POLICY,
                                       NULL),
                      "kh_txn_put_array");
}

static enum outcome commit(void *context) {
    struct session *session = context;
    kh_status status = kh_txn_commit(session->txn, NULL, NULL);
    kh_txn_close(session->txn);
    return outcome_of(status, "kh_txn_commit");
}

static void abort_txn(void *context) {
    struct session *session = context;
    kh_txn_close(session->txn);
}

static int64_t number(const void *value) {
    int64_t number = 0;
    check(kh_batch_int64(value, 0, 0, &number), NULL, "kh_batch_int64");
    return number;
}

static void scan(void *context, struct scan_result *result) {
    struct session *session = context;
    kh_error error = {0};
    kh_cursor *cursor;
    check(kh_txn_scan(session->txn, NULL, &cursor, &error), &error, "kh_txn_scan");
    *result = (struct scan_result){0, 0};
    kh_bytes key;
    const kh_batch *batch;
    kh_status status;
    while ((status = kh_cursor_next(cursor, &key, &batch, &error)) == KH_OK) {
        result->count++;
        result->sum = (int64_t)((uint64_t)result->sum + (uint64_t)number(batch));
    }
    if (status != KH_END) check(status, &error, "kh_cursor_next");
    kh_cursor_close(cursor);
}

static void settle(void *context) {
    struct store *store = context;
    kh_db_step(store->db);
}

static void count(void *context, struct engine_counts *counts) {
    struct store *store = context;
    kh_stats stats = {.size = sizeof stats};
    kh_error error = {0};
    check(kh_db_stats(store->db, &stats, &error), &error, "kh_db_stats");
    kh_head head = {.number = 0}; /* the log numbers its groups; in memory there is none */
    kh_status status = kh_db_head(store->db, &head, &error);
    if (status != KH_UNSUPPORTED) check(status, &error, "kh_db_head");
    *counts = (struct engine_counts){.versions = stats.versions_live,
                                     .versions_reclaimed = stats.versions_reclaimed,
                                     .memory_bytes = stats.memory_bytes,
                                     .groups = head.number};
}

const struct engine engine_khonsu = {.name = "khonsu",
                                     .version = kh_version,
                                     .terms = terms,
                                     .durable_terms = durable_terms,
                                     .promise = {PROMISES_ALONE, PROMISES_ALWAYS, PROMISES_ALWAYS},
                                     .open = open_store,
                                     .close = close_store,
                                     .session_open = session_open,
                                     .session_close = free,
                                     .begin = begin,
                                     .read = read_value,
                                     .read_for_update = read_value,
                                     .write = write_value,
                                     .commit = commit,
                                     .abort = abort_txn,
                                     .number = number,
                                     .scan = scan,
                                     .settle = settle,
                                     .count = count};
