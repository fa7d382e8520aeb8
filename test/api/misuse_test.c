/* misuse_test.c - what a wrong call gets: keys out of range, calls after the end, two threads in
 * one transaction, closing what is in use, fork, writes in read-only transactions, options that
 * make no sense. Each is a typed answer, and the database is usable after it. */
#include "support/calls.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_db(void **state) {
    kh_db *db = kit_open();
    calls_prepare(db);
    *state = db;
    return 0;
}

static int close_db(void **state) {
    kh_db *db = *state;
    kit_store(db, "still", 1); /* usable after whatever the test did */
    kit_load_is(db, "still", 1);
    kit_close(db);
    return 0;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void each_key_call(kh_txn *txn, kh_bytes key, kh_status expected) {
    kh_batch *number = kit_number(NULL, 1);
    kh_batch *rows = kit_rows(NULL, "1=1/1");
    kh_batch *out = NULL;
    const kh_batch *view = NULL;
    bool is_there = false;
    kit_is(kh_txn_get(txn, key, &out, NULL), expected);
    kit_is(kh_txn_peek(txn, key, &view, NULL), expected);
    kit_is(kh_txn_get_many(txn, &key, 1, &out, NULL), expected);
    kit_is(kh_txn_exists(txn, key, &is_there, NULL), expected);
    kit_is(kh_txn_put(txn, key, number, NULL), expected);
    kit_is(kh_txn_put_with(txn, key, number, KH_REPLACE, NULL), expected);
    kit_is(kh_txn_delete(txn, key, NULL), expected);
    kit_is(kh_txn_delete_with(txn, key, KH_REPLACE, NULL), expected);
    kit_is(kh_txn_insert_rows(txn, key, rows, NULL), expected);
    kit_is(kh_txn_upsert_rows(txn, key, rows, NULL), expected);
    kit_is(kh_txn_update_rows(txn, key, rows, NULL), expected);
    kit_is(kh_txn_delete_rows(txn, key, rows, NULL), expected);
    kit_is(kh_txn_compare_and_swap(txn, key, NULL, number, NULL), expected);
    kh_schema *schema = kit_number_schema(NULL);
    int released = 0;
    struct ArrowArray array = calls_array(1, &released);
    kit_is(kh_txn_put_array(txn, key, schema, &array, KH_FAIL, NULL), expected);
    assert_int_equal(released, 0);
    array.release(&array);
    kh_schema_release(schema);
    kh_batch_release(number);
    kh_batch_release(rows);
    assert_null(out);
}

static void test_empty_and_long_keys(void **state) {
    kh_db *db = *state;
    char *text = calloc(1, 65536);
    assert_non_null(text);
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    each_key_call(txn, (kh_bytes){NULL, 0}, KH_INVALID);
    each_key_call(txn, (kh_bytes){"", 0}, KH_INVALID);
    each_key_call(txn, (kh_bytes){text, 65536}, KH_TOO_BIG);
    kit_commit_ok(txn);
    kit_is(kh_db_history(db, (kh_bytes){NULL, 0}, 0, UINT64_MAX, NULL, NULL, NULL, NULL),
           KH_INVALID);
    free(text);
}

static void test_longest_key(void **state) {
    kh_db *db = *state;
    char *text = calloc(1, 65535);
    assert_non_null(text);
    memset(text, 'x', 65535);
    kh_bytes key = {text, 65535};
    kh_batch *number = kit_number(NULL, 5);
    kh_batch *out = NULL;
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    kit_is(kh_txn_put(txn, key, number, NULL), KH_OK);
    kit_commit_ok(txn);
    txn = kit_begin(db, KH_SERIALIZABLE);
    kit_is(kh_txn_get(txn, key, &out, NULL), KH_OK);
    assert_int_equal(kit_number_of(out), 5);
    kh_batch_release(out);
    kit_is(kh_txn_delete(txn, key, NULL), KH_OK);
    kit_commit_ok(txn);
    kh_batch_release(number);
    free(text);
}

/* ---- after the end --------------------------------------------------------------------------- */

static void each_call_is(kh_txn *txn, kh_status expected) {
    for (size_t i = 0; i < call_count; i++) {
        kh_status status = calls[i].run(txn);
        if (status != expected) {
            fail_msg("%s answered %s, not %s", calls[i].name, kh_status_name(status),
                     kh_status_name(expected));
        }
    }
}

static void test_after_the_end(void **state) {
    kh_db *db = *state;
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    kit_put(txn, "k", 2);
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
    each_call_is(txn, KH_FINISHED);
    (void)kh_txn_rollback(txn);
    kh_txn_close(txn);
    kit_load_is(db, "k", 2);

    txn = kit_begin(db, KH_READ_COMMITTED);
    kit_put(txn, "k", 3);
    kit_is(kh_txn_rollback(txn), KH_OK);
    each_call_is(txn, KH_FINISHED);
    kh_txn_close(txn);
    kit_load_is(db, "k", 2);
}

/* A commit that failed has ended its transaction too. */
static void test_after_a_failed_commit(void **state) {
    kh_db *db = *state;
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_put(txn, "k", 2);
    kit_store(db, "k", 3);
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_CONFLICT);
    kh_batch *out = NULL;
    kh_status again = kh_txn_get(txn, kit_key("k"), &out, NULL);
    assert_true(again == KH_FINISHED || again == KH_CONFLICT);
    assert_null(out);
    kh_txn_close(txn);
    kit_load_is(db, "k", 3);
}

static void test_close_rolls_back(void **state) {
    kh_db *db = *state;
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_put(txn, "k", 5);
    kh_txn_close(txn);
    kit_load_is(db, "k", 1);
    kh_txn_close(NULL);
}

static void test_writes_in_read_only(void **state) {
    kh_db *db = *state;
    kh_txn *txn = kit_begin_with(db, KH_SERIALIZABLE, KH_FAIL, KH_BEGIN_READ_ONLY);
    for (size_t i = 0; i < call_count; i++) {
        if ((calls[i].flags & CALL_WRITES) != 0) {
            kit_is_at(calls[i].run(txn), KH_READ_ONLY, calls[i].name, __FILE__, __LINE__);
        } else if ((calls[i].flags & CALL_ENDS) == 0) {
            assert_true(calls_is_done(&calls[i], calls[i].run(txn)));
        }
    }
    kit_commit_ok(txn);
    kit_load_is(db, "k", 1);
}

/* ---- two threads in one transaction ---------------------------------------------------------- */

static void *call_each(void *argument) {
    kh_txn *txn = argument;
    size_t refused = 0;
    for (size_t i = 0; i < call_count; i++) {
        refused += calls[i].run(txn) == KH_MISUSE;
    }
    refused += kh_txn_rollback(txn) == KH_MISUSE;
    return (void *)refused;
}

struct intruder {
    kh_txn *txn;
    size_t refused;
};

/* Called inside the commit: whatever another thread does with the transaction then is refused. */
static kh_resolution intrude(void *context, kh_bytes key, const kh_batch *base,
                             const kh_batch *mine, const kh_batch *theirs, kh_batch **out) {
    struct intruder *intruder = context;
    (void)key, (void)base, (void)theirs;
    pthread_t thread;
    void *refused = NULL;
    assert_int_equal(pthread_create(&thread, NULL, call_each, intruder->txn), 0);
    assert_int_equal(pthread_join(thread, &refused), 0);
    intruder->refused = (size_t)refused;
    *out = kh_batch_retain(mine);
    return KH_RESOLVE_WRITE;
}

static void test_two_threads_in_one_transaction(void **state) {
    kh_db *db = *state;
    struct intruder intruder = {NULL, 0};
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.policy = KH_CALLBACK;
    options.resolve = intrude;
    options.resolve_context = &intruder;
    kit_is(kh_txn_begin(db, &options, &intruder.txn, NULL), KH_OK);
    kit_put(intruder.txn, "k", 5);
    kit_store(db, "k", 4);
    kit_is(kh_txn_commit(intruder.txn, NULL, NULL), KH_OK);
    kh_txn_close(intruder.txn);
    assert_int_equal(intruder.refused, call_count + 1);
    kit_load_is(db, "k", 5);
    kit_load_is(db, "m", 2);
}

/* One thread after the other is fine. */
static void *put_in_thread(void *argument) {
    kh_status status = calls[6].run(argument);
    return (void *)(size_t)status;
}

static void test_transaction_moves_between_threads(void **state) {
    kh_db *db = *state;
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    kit_get_is(txn, "k", 1);
    pthread_t thread;
    void *status = NULL;
    assert_string_equal(calls[6].name, "put");
    assert_int_equal(pthread_create(&thread, NULL, put_in_thread, txn), 0);
    assert_int_equal(pthread_join(thread, &status), 0);
    kit_is((kh_status)(size_t)status, KH_OK);
    kit_commit_ok(txn);
    kit_load_is(db, "k", 7);
}

/* ---- closing what is in use ------------------------------------------------------------------ */

static void test_close_in_use(void **state) {
    kh_db *db = *state;
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(kh_db_close(db), KH_IN_USE);
    kit_put(txn, "k", 2);
    kit_commit_ok(txn);

    kit_is(kh_txn_begin_at(db, kh_db_now(db), &txn, NULL), KH_OK);
    kit_is(kh_db_close(db), KH_IN_USE);
    kit_get_is(txn, "k", 2);
    kit_rollback(txn);

    kh_watch *watch = NULL;
    kit_is(kh_watch_open(db, (kh_bytes){NULL, 0}, &watch, NULL), KH_OK);
    kit_is(kh_db_close(db), KH_IN_USE);
    kh_watch_close(watch);
    kit_is(kh_db_close(NULL), KH_OK);
}

static void test_commit_with_open_cursor(void **state) {
    kh_db *db = *state;
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    kh_cursor *cursor = NULL;
    kh_bytes key;
    const kh_batch *value = NULL;
    kit_put(txn, "k", 2);
    kit_is(kh_txn_scan(txn, NULL, &cursor, NULL), KH_OK);
    kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_OK);
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_IN_USE);
    kit_is(kh_txn_commit_start(txn, NULL), KH_IN_USE);
    kit_is(kh_txn_prepare(txn, NULL), KH_IN_USE);
    kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_OK);
    kh_cursor_close(cursor);
    kit_commit_ok(txn);
    kit_load_is(db, "k", 2);

    txn = kit_begin(db, KH_SERIALIZABLE);
    kit_is(kh_txn_scan(txn, NULL, &cursor, NULL), KH_OK);
    kit_is(kh_txn_rollback(txn), KH_OK);
    kh_txn_close(txn);
    kh_cursor_close(cursor); /* in the usual order of cleaning up: last */
    kh_cursor_close(NULL);
}

/* What left the database outlives it. */
static void test_values_outlive_the_database(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kit_store(db, "k", 41);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *batch = NULL;
    struct ArrowArray array;
    struct ArrowSchema schema;
    struct ArrowArrayStream stream;
    kit_is(kh_txn_get(txn, kit_key("k"), &batch, NULL), KH_OK);
    kit_is(kh_batch_export(batch, &array, &schema, NULL), KH_OK);
    kit_is(kh_txn_scan_stream(txn, NULL, NULL, &stream, NULL), KH_OK);
    kit_rollback(txn);
    kit_store(db, "k", KIT_ABSENT);
    stream.release(&stream);
    kit_close(db);
    assert_int_equal(kit_number_of(batch), 41);
    kh_batch_release(batch);
    assert_int_equal(((const int64_t *)array.children[0]->buffers[1])[array.children[0]->offset],
                     41);
    array.release(&array);
    schema.release(&schema);
}

/* ---- fork ------------------------------------------------------------------------------------ */

/* In the child: how many answers were not KH_FORKED. */
static int count_not_forked(kh_db *db, kh_txn *txn, kh_watch *watch) {
    int wrong = 0;
    kh_txn *other = NULL;
    kh_outcome outcome;
    kh_watch *other_watch = NULL;
    kh_watch_event event;
    kh_stats stats;
    kh_bytes text;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    for (size_t i = 0; i < call_count; i++) {
        wrong += calls[i].run(txn) != KH_FORKED;
    }
    wrong += kh_txn_rollback(txn) != KH_FORKED;
    wrong += kh_txn_begin(db, NULL, &other, NULL) != KH_FORKED;
    wrong += kh_txn_begin_at(db, 0, &other, NULL) != KH_FORKED;
    wrong += kh_db_outcome(db, kh_txn_get_id(txn), &outcome, NULL, NULL) != KH_FORKED;
    wrong += kh_db_cancel(db, kh_txn_get_id(txn), NULL) != KH_FORKED;
    wrong += kh_db_decide(db, kh_txn_get_id(txn), true, NULL, NULL) != KH_FORKED;
    wrong += kh_watch_open(db, (kh_bytes){NULL, 0}, &other_watch, NULL) != KH_FORKED;
    wrong += kh_watch_next(watch, 0, &event, NULL) != KH_FORKED;
    wrong += kh_db_stats(db, &stats, NULL) != KH_FORKED;
    wrong += kh_db_stats_text(db, KH_STATS_JSON, &text, NULL) != KH_FORKED;
    kh_txn_close(txn);
    kh_db_step(db);
    wrong += kh_db_close(db) != KH_FORKED;
    return wrong;
}

static void test_fork(void **state) {
    kh_db *db = *state;
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    kh_watch *watch = NULL;
    kit_is(kh_watch_open(db, (kh_bytes){NULL, 0}, &watch, NULL), KH_OK);
    kit_put(txn, "k", 2);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(count_not_forked(db, txn, watch));
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    kit_commit_ok(txn); /* the parent goes on as if nothing had been */
    kit_load_is(db, "k", 2);
    kh_watch_close(watch);
}

/* A child may open databases of its own. */
static void test_fork_and_open(void **state) {
    (void)state;
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        kh_db *db = NULL;
        kh_txn *txn = NULL;
        kh_options options = kit_options();
        bool is_fine = kh_db_open(&options, &db, NULL) == KH_OK &&
                       kh_txn_begin(db, NULL, &txn, NULL) == KH_OK &&
                       kh_txn_delete(txn, kit_key("k"), NULL) == KH_OK &&
                       kh_txn_commit(txn, NULL, NULL) == KH_OK;
        kh_txn_close(txn);
        _exit(is_fine && kh_db_close(db) == KH_OK ? 0 : 1);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

/* ---- options --------------------------------------------------------------------------------- */

static void open_is(const kh_options *options, kh_status expected) {
    kh_db *db = NULL;
    kh_error error = {""};
    kit_is(kh_db_open(options, &db, &error), expected);
    assert_null(db);
    assert_true(error.message[0] != '\0');
}

static void test_open_options(void **state) {
    (void)state;
    kh_options options = kit_options();
    options.size = 3;
    open_is(&options, KH_INVALID);
    options.size = sizeof options + 8; /* a program of a newer header */
    open_is(&options, KH_INVALID);
    options = kit_options();
    options.isolation = (kh_isolation)9;
    open_is(&options, KH_INVALID);
    options = kit_options();
    options.policy = (kh_policy)17;
    open_is(&options, KH_INVALID);
    options = kit_options();
    options.validation = (kh_validation)5;
    open_is(&options, KH_INVALID);
    options = kit_options();
    options.flags = 0x80000000u;
    open_is(&options, KH_INVALID);
    if (!kh_has_feature("durable")) {
        options = kit_options();
        options.path = "somewhere";
        open_is(&options, KH_UNSUPPORTED);
    }
    kh_db *db = NULL;
    kit_is(kh_db_open(NULL, &db, NULL), KH_OK);
    kit_store(db, "k", 1);
    kit_close(db);
}

static void test_begin_options(void **state) {
    kh_db *db = *state;
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.size = 2;
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_INVALID);
    options = (kh_txn_options)KH_TXN_OPTIONS_INIT;
    options.isolation = (kh_isolation)4;
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_INVALID);
    options = (kh_txn_options)KH_TXN_OPTIONS_INIT;
    options.policy = (kh_policy)7;
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_INVALID);
    options = (kh_txn_options)KH_TXN_OPTIONS_INIT;
    options.flags = 0x100;
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_INVALID);
    options.flags = KH_BEGIN_DEFERRABLE; /* without READ_ONLY */
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_INVALID);
    char tag[257];
    memset(tag, 't', sizeof tag);
    tag[256] = '\0';
    options = (kh_txn_options)KH_TXN_OPTIONS_INIT;
    options.tag = tag;
    kh_status status = kh_txn_begin(db, &options, &txn, NULL);
    assert_true(status == KH_TOO_BIG || status == KH_INVALID);
    assert_null(txn);
    kit_is(kh_txn_begin_at(db, UINT64_MAX, &txn, NULL), KH_INVALID);
    assert_null(txn);
}

/* ---- small things ---------------------------------------------------------------------------- */

static void test_unknown_ids(void **state) {
    kh_db *db = *state;
    const kh_txn_id nobody = {0x1234, 0x5678};
    kh_outcome outcome = KH_OUTCOME_FORGOTTEN;
    kit_is(kh_db_cancel(db, nobody, NULL), KH_NOT_FOUND);
    kit_is(kh_db_decide(db, nobody, true, NULL, NULL), KH_NOT_FOUND);
    kit_is(kh_db_outcome(db, nobody, &outcome, NULL, NULL),
           kit_is_over_path() ? KH_OK : KH_NOT_FOUND);
    assert_int_equal(outcome, KH_OUTCOME_FORGOTTEN); /* an id of long ago, for all it says */
}

static void test_unknown_savepoints(void **state) {
    kh_db *db = *state;
    uint32_t first = 0;
    uint32_t second = 0;
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(kh_txn_rollback_to(txn, 1, NULL), KH_INVALID);
    kit_is(kh_txn_release_savepoint(txn, 0, NULL), KH_INVALID);
    kit_is(kh_txn_savepoint(txn, &first, NULL), KH_OK);
    kit_is(kh_txn_savepoint(txn, &second, NULL), KH_OK);
    assert_int_equal(first, 1);
    assert_int_equal(second, 2);
    kit_is(kh_txn_release_savepoint(txn, first, NULL), KH_OK);
    kit_is(kh_txn_rollback_to(txn, second, NULL), KH_INVALID);
    kit_is(kh_txn_rollback_to(txn, first, NULL), KH_INVALID);
    kit_rollback(txn);
}

static void test_ids_of_rows(void **state) {
    kh_db *db = *state;
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *twice = kit_rows(NULL, "1=1/1 1=2/2");
    kh_batch *no_ids = kit_number(NULL, 1);
    kh_bytes key = kit_key("r");
    kit_is(kh_txn_insert_rows(txn, key, twice, NULL), KH_DUPLICATE_ID);
    kit_is(kh_txn_upsert_rows(txn, key, twice, NULL), KH_DUPLICATE_ID);
    kit_is(kh_txn_update_rows(txn, key, twice, NULL), KH_DUPLICATE_ID);
    kit_is(kh_txn_insert_rows(txn, key, no_ids, NULL), KH_NO_ID_COLUMN);
    kit_is(kh_txn_upsert_rows(txn, key, no_ids, NULL), KH_NO_ID_COLUMN);
    kit_is(kh_txn_update_rows(txn, key, no_ids, NULL), KH_NO_ID_COLUMN);
    kit_is(kh_txn_delete_rows(txn, key, no_ids, NULL), KH_NO_ID_COLUMN);
    kh_batch_release(twice);
    kh_batch_release(no_ids);
    kit_commit_ok(txn); /* nothing of it was written */
    const char *names[] = {"id", "a", "b"};
    const char *formats[] = {"l", "l", "l"};
    const kh_scalar scalars[3] = {
        {KH_SCALAR_NULL, {0}}, {KH_SCALAR_INT64, {1}}, {KH_SCALAR_INT64, {1}}};
    kh_schema *schema = NULL;
    kh_batch *null_id = NULL;
    kit_is(kh_schema_build(NULL, names, formats, 3, &schema, NULL), KH_OK);
    kit_is(kh_batch_build(NULL, schema, scalars, 1, &null_id, NULL), KH_OK);
    txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(kh_txn_upsert_rows(txn, key, null_id, NULL), KH_NULL_ID);
    kit_is(kh_txn_delete_rows(txn, key, null_id, NULL), KH_NULL_ID);
    kit_rollback(txn);
    kh_batch_release(null_id);
    kh_schema_release(schema);
}

static void test_version_and_features(void **state) {
    (void)state;
    char text[32];
    (void)snprintf(text, sizeof text, "%d.%d.%d", KH_VERSION_MAJOR, KH_VERSION_MINOR,
                   KH_VERSION_PATCH);
    assert_string_equal(kh_version(), text);
    assert_true(kh_has_feature("memory"));
    assert_true(kh_has_feature("ipc"));
    assert_false(kh_has_feature("no such thing"));
    assert_string_equal(kh_status_name((kh_status)12345), "KH_?");
}

#define ON_DB(test) cmocka_unit_test_setup_teardown(test, open_db, close_db)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_DB(test_empty_and_long_keys),
        ON_DB(test_longest_key),
        ON_DB(test_after_the_end),
        ON_DB(test_after_a_failed_commit),
        ON_DB(test_close_rolls_back),
        ON_DB(test_writes_in_read_only),
        ON_DB(test_two_threads_in_one_transaction),
        ON_DB(test_transaction_moves_between_threads),
        ON_DB(test_close_in_use),
        ON_DB(test_commit_with_open_cursor),
        cmocka_unit_test(test_values_outlive_the_database),
        ON_DB(test_fork),
        cmocka_unit_test(test_fork_and_open),
        cmocka_unit_test(test_open_options),
        ON_DB(test_begin_options),
        ON_DB(test_unknown_ids),
        ON_DB(test_unknown_savepoints),
        ON_DB(test_ids_of_rows),
        cmocka_unit_test(test_version_and_features),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
