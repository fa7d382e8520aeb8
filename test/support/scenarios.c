/* scenarios.c - calls under failing allocations. */
#include "support/scenarios.h"

enum { NTH_MAX = 5000 }; /* far above what any of these calls allocates */

static kh_db *open_db(const struct scenario_failures *failures) {
    kh_options options = kit_options();
    if (failures->allocator != NULL) {
        options.allocator = *failures->allocator;
    }
    kh_db *db = kit_open_with(&options);
    calls_prepare(db);
    return db;
}

/* What calls_prepare stored is what there is. */
static void check_unchanged(kh_db *db, const char *name) {
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    kh_batch *rows = NULL;
    char text[KIT_TEXT_BYTES];
    kit_is_at(kh_txn_get(txn, kit_key("r"), &rows, NULL), KH_OK, name, __FILE__, __LINE__);
    kit_text(rows, text);
    kh_batch_release(rows);
    assert_string_equal(text, "1=10/100 2=20/200");
    kit_get_is(txn, "k", 1);
    kit_get_is(txn, "m", 2);
    kit_get_is(txn, "new", KIT_ABSENT);
    kit_put(txn, "usable", 1);
    kit_commit_ok(txn);
}

static void check_status(const char *name, kh_status status, bool is_done, bool has_failed) {
    if (!is_done && !(status == KH_NO_MEMORY && has_failed)) {
        fail_msg("%s answers %s after a failed allocation", name, kh_status_name(status));
    }
}

/* Runs call once with the nth allocation failing; false: it makes fewer. */
static bool fail_call(const struct scenario_failures *failures, kh_db *db, const struct call *call,
                      uint64_t nth) {
    kh_txn *used = kit_begin(db, KH_SERIALIZABLE); /* takes the handle that has memory already */
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    failures->arm(failures->context, nth);
    kh_status status = call->run(txn);
    bool has_failed = failures->disarm(failures->context);
    check_status(call->name, status, calls_is_done(call, status), has_failed);
    if (status == KH_NO_MEMORY && (call->flags & CALL_ENDS) == 0) {
        /* the transaction goes on, as if nothing had been asked */
        kit_is_at(calls_is_done(call, call->run(txn)) ? KH_OK : KH_INVALID, KH_OK, call->name,
                  __FILE__, __LINE__);
    }
    (void)kh_txn_rollback(txn);
    kh_txn_close(txn);
    kit_rollback(used);
    check_unchanged(db, call->name);
    return has_failed;
}

uint64_t scenarios_calls(const struct scenario_failures *failures) {
    uint64_t count = 0;
    for (size_t i = 0; i < call_count; i++) {
        bool has_failed = true;
        for (uint64_t nth = 1; has_failed; nth++) {
            kh_db *db = open_db(failures); /* new: nothing is left over from the last time */
            has_failed = fail_call(failures, db, &calls[i], nth);
            count += has_failed;
            kit_close(db);
            assert_true(nth < NTH_MAX);
        }
    }
    return count;
}

/* ---- commits --------------------------------------------------------------------------------- */

static void write_everything(kh_txn *txn) {
    for (size_t i = 0; i < call_count; i++) {
        if ((calls[i].flags & CALL_ENDS) == 0) {
            assert_true(calls_is_done(&calls[i], calls[i].run(txn)));
        }
    }
}

/* A rival between begin and commit, so that policies resolve and rows are staged again. */
static kh_txn *begin_and_write(kh_db *db) {
    kh_txn *txn = kit_begin_with(db, KH_REPEATABLE_READ, KH_REPLACE, 0);
    write_everything(txn);
    calls_prepare(db);
    return txn;
}

static bool fail_commit(const struct scenario_failures *failures, kh_db *db,
                        const struct call *call, uint64_t nth) {
    kh_txn *txn = begin_and_write(db);
    failures->arm(failures->context, nth);
    kh_status status = call->run(txn);
    bool has_failed = failures->disarm(failures->context);
    check_status(call->name, status, status == KH_OK, has_failed);
    if (strcmp(call->name, "prepare") == 0 && status == KH_OK) {
        kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK); /* cannot fail any more */
    }
    kh_txn_close(txn);
    if (status == KH_OK) {
        kh_txn *reset = kit_begin(db, KH_READ_COMMITTED);
        kit_delete(reset, "new");
        kit_commit_ok(reset);
        calls_prepare(db);
    }
    check_unchanged(db, call->name);
    return has_failed;
}

uint64_t scenarios_commits(const struct scenario_failures *failures) {
    uint64_t count = 0;
    for (size_t i = 0; i < call_count; i++) {
        if ((calls[i].flags & CALL_ENDS) == 0) {
            continue;
        }
        bool has_failed = true;
        for (uint64_t nth = 1; has_failed; nth++) {
            kh_db *db = open_db(failures);
            has_failed = fail_commit(failures, db, &calls[i], nth);
            count += has_failed;
            kit_close(db);
            assert_true(nth < NTH_MAX);
        }
    }
    return count;
}

/* ---- databases, schemas, batches ------------------------------------------------------------- */

static kh_status db_begin(kh_db *db) {
    /* more than the handles that there are already */
    kh_txn *txns[40] = {NULL};
    kh_status status = KH_OK;
    for (int i = 0; i < 40 && status == KH_OK; i++) {
        status = kit_try_begin(db, KH_SERIALIZABLE, KH_FAIL, 0, &txns[i]);
    }
    for (int i = 0; i < 40; i++) {
        kh_txn_close(txns[i]);
    }
    return status;
}

static kh_status db_begin_tagged(kh_db *db) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.tag = "a tag that has to be copied somewhere";
    options.id_column = "id";
    kh_status status = kh_txn_begin(db, &options, &txn, NULL);
    kh_txn_close(txn);
    return status;
}

static kh_status db_begin_at(kh_db *db) {
    kh_txn *txn = NULL;
    kh_status status = kh_txn_begin_at(db, kh_db_now(db), &txn, NULL);
    kh_txn_close(txn);
    return status;
}

static kh_status db_watch(kh_db *db) {
    kh_watch *watch = NULL;
    kh_watch_event event;
    kh_status status = kh_watch_open(db, kit_key("k"), &watch, NULL);
    if (status == KH_OK) {
        status = kh_watch_next(watch, 0, &event, NULL);
        status = status == KH_PENDING ? KH_OK : status;
        kh_watch_close(watch);
    }
    return status;
}

static bool pass_by(void *context, const kh_version_entry *version) {
    (void)context, (void)version;
    return true;
}

static kh_status db_history(kh_db *db) {
    return kh_db_history(db, kit_key("k"), 0, UINT64_MAX, pass_by, NULL, NULL, NULL);
}

static bool pass_on(void *context, const kh_live_txn *txn) {
    (void)context, (void)txn;
    return true;
}

static kh_status db_live(kh_db *db) {
    return kh_db_live(db, pass_on, NULL, NULL);
}

static kh_status db_stats(kh_db *db) {
    kh_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    return kh_db_stats(db, &stats, NULL);
}

static kh_status db_stats_text(kh_db *db) {
    kh_status status = KH_OK;
    for (int i = 0; i < 2 && status == KH_OK; i++) {
        kh_bytes text = {NULL, 0};
        status = kh_db_stats_text(db, i == 0 ? KH_STATS_JSON : KH_STATS_PROMETHEUS, &text, NULL);
        if (status == KH_OK) {
            kh_bytes_free(text);
        }
    }
    return status;
}

static kh_status db_step(kh_db *db) {
    kh_db_step(db); /* has nothing to say: it goes on the next time */
    return KH_OK;
}

static kh_status db_schema(kh_db *db) {
    static int number;
    char name[32];
    const char *names[] = {name, "other"};
    const char *formats[] = {"l", "u"};
    kh_schema *schema = NULL;
    (void)snprintf(name, sizeof name, "column %d", number++);
    kh_status status = kh_schema_build(db, names, formats, 2, &schema, NULL);
    kh_schema_release(schema);
    return status;
}

static kh_status export_and_import(kh_db *db, const kh_batch *batch) {
    struct ArrowArray array = {.release = NULL};
    struct ArrowSchema arrow_schema = {.release = NULL};
    kh_schema *schema = NULL;
    kh_batch *copy = NULL;
    kh_status status = kh_batch_export(batch, &array, &arrow_schema, NULL);
    if (status == KH_OK) {
        status = kh_schema_import(db, &arrow_schema, &schema, NULL);
    }
    if (status == KH_OK) {
        status = kh_batch_import(db, schema, &array, KH_VALIDATE_FULL, &copy, NULL);
    }
    if (array.release != NULL) {
        array.release(&array);
    }
    if (arrow_schema.release != NULL) {
        arrow_schema.release(&arrow_schema);
    }
    kh_batch_release(copy);
    kh_schema_release(schema);
    return status;
}

static kh_status db_batch(kh_db *db) {
    const char *names[] = {"id", "text"};
    const char *formats[] = {"l", "u"};
    const kh_scalar scalars[4] = {{KH_SCALAR_INT64, {.int64 = 1}},
                                  {KH_SCALAR_BYTES, {.bytes = {"one", 3}}},
                                  {KH_SCALAR_INT64, {.int64 = 2}},
                                  {KH_SCALAR_NULL, {0}}};
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    kh_status status = kh_schema_build(db, names, formats, 2, &schema, NULL);
    if (status == KH_OK) {
        status = kh_batch_build(db, schema, scalars, 2, &batch, NULL);
    }
    if (status == KH_OK) {
        status = export_and_import(db, batch);
    }
    kh_batch_release(batch);
    kh_schema_release(schema);
    return status;
}

static kh_status run_body(void *context, kh_txn *txn, kh_error *error) {
    kh_batch *batch = NULL;
    (void)context;
    kh_status status = kh_txn_get(txn, kit_key("k"), &batch, error);
    if (status == KH_OK) {
        status = kh_txn_put(txn, kit_key("k"), batch, error);
    }
    kh_batch_release(batch);
    return status;
}

static kh_status db_run(kh_db *db) {
    return kh_db_run(db, NULL, run_body, NULL, NULL, NULL, NULL);
}

static const struct {
    const char *name;
    kh_status (*run)(kh_db *db);
} on_db[] = {
    {"begin", db_begin},           {"begin, tagged", db_begin_tagged}, {"begin_at", db_begin_at},
    {"watch", db_watch},           {"history", db_history},            {"live", db_live},
    {"stats", db_stats},           {"stats_text", db_stats_text},      {"step", db_step},
    {"schema_build", db_schema},   {"batch_build, export, import", db_batch},
    {"run", db_run},
};

uint64_t scenarios_db(const struct scenario_failures *failures) {
    uint64_t count = 0;
    for (size_t i = 0; i < sizeof on_db / sizeof on_db[0]; i++) {
        bool has_failed = true;
        for (uint64_t nth = 1; has_failed; nth++) {
            kh_db *db = open_db(failures);
            failures->arm(failures->context, nth);
            kh_status status = on_db[i].run(db);
            has_failed = failures->disarm(failures->context);
            check_status(on_db[i].name, status, status == KH_OK, has_failed);
            check_unchanged(db, on_db[i].name);
            count += has_failed;
            kit_close(db);
            assert_true(nth < NTH_MAX);
        }
    }
    return count;
}

uint64_t scenarios_open(const struct scenario_failures *failures) {
    uint64_t count = 0;
    bool has_failed = true;
    for (uint64_t nth = 1; has_failed; nth++) {
        kh_db *db = NULL;
        kh_options options = kit_options();
        if (failures->allocator != NULL) {
            options.allocator = *failures->allocator;
        }
        failures->arm(failures->context, nth);
        kh_status status = kh_db_open(&options, &db, NULL);
        has_failed = failures->disarm(failures->context);
        check_status("open", status, status == KH_OK, has_failed);
        if (status == KH_OK) {
            kit_store(db, "k", 1);
            kit_close(db);
        } else {
            assert_null(db);
        }
        count += has_failed;
        assert_true(nth < NTH_MAX);
    }
    return count;
}
