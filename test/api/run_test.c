/* run_test.c - kh_db_run: the body runs again after RETRY-class failures and only then, up to a
 * limit; and waits between, without the test waiting long. */
#include "support/kit.h"

struct script {
    kh_db *db;
    int runs;
    int rivals;     /* so many runs meet a rival at commit */
    kh_status body; /* what it answers, once rivals are used up */
    int busy;       /* so many runs answer KH_BUSY themselves */
};

static kh_status play(void *context, kh_txn *txn, kh_error *error) {
    struct script *script = context;
    script->runs++;
    kit_put(txn, "k", script->runs);
    if (script->busy > 0) {
        script->busy--;
        return KH_BUSY;
    }
    if (script->rivals > 0) {
        script->rivals--;
        kit_store(script->db, "k", -1);
        return KH_OK;
    }
    if (script->body != KH_OK && error != NULL) {
        (void)snprintf(error->message, sizeof error->message, "the body says so");
    }
    return script->body;
}

static kh_run_options quick(uint32_t attempts_max) {
    kh_run_options options = KH_RUN_OPTIONS_INIT;
    options.attempts_max = attempts_max;
    options.backoff_min_us = 1;
    options.backoff_max_us = 2;
    return options;
}

static void run_is(struct script *script, uint32_t attempts_max, kh_status expected, int runs) {
    kh_run_options options = quick(attempts_max);
    uint32_t attempts = 0;
    kh_timestamp timestamp = 0;
    kit_is(kh_db_run(script->db, &options, play, script, &timestamp, &attempts, NULL), expected);
    assert_int_equal(script->runs, runs);
    assert_int_equal(attempts, runs);
    if (expected == KH_OK) {
        assert_true(timestamp == kh_db_now(script->db));
        kit_load_is(script->db, "k", runs);
    }
}

static void test_runs(void **state) {
    (void)state;
    kh_db *db = kit_open();
    run_is(&(struct script){.db = db}, 0, KH_OK, 1);
    run_is(&(struct script){.db = db, .rivals = 5}, 0, KH_OK, 6);
    run_is(&(struct script){.db = db, .busy = 3}, 0, KH_OK, 4);
    run_is(&(struct script){.db = db, .rivals = 5}, 3, KH_CONFLICT, 3);
    run_is(&(struct script){.db = db, .rivals = 1000}, 0, KH_CONFLICT, 100);
    run_is(&(struct script){.db = db, .body = KH_MISMATCH}, 0, KH_MISMATCH, 1);
    run_is(&(struct script){.db = db, .body = KH_NOT_FOUND}, 0, KH_NOT_FOUND, 1);
    kh_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    assert_int_equal(stats.retries, 5 + 3 + 2 + 99);
    kit_close(db);
}

static void test_nothing_remains_of_failures(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kh_error error = {""};
    kit_store(db, "k", 42);
    struct script script = {.db = db, .body = KH_MISMATCH};
    kit_is(kh_db_run(db, NULL, play, &script, NULL, NULL, &error), KH_MISMATCH);
    assert_string_equal(error.message, "the body says so");
    kit_load_is(db, "k", 42);
    kit_close(db);
}

static void test_options_of_the_transaction(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kh_run_options options = quick(2);
    options.txn.policy = KH_REPLACE;
    struct script script = {.db = db, .rivals = 1};
    kit_is(kh_db_run(db, &options, play, &script, NULL, NULL, NULL), KH_OK);
    assert_int_equal(script.runs, 1); /* replaced, not refused */
    kit_load_is(db, "k", 1);
    options.txn.isolation = (kh_isolation)99;
    kit_is(kh_db_run(db, &options, play, &script, NULL, NULL, NULL), KH_INVALID);
    options = quick(2);
    options.size = 1;
    kit_is(kh_db_run(db, &options, play, &script, NULL, NULL, NULL), KH_INVALID);
    assert_int_equal(script.runs, 1);
    kit_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_nothing_remains_of_failures),
        cmocka_unit_test(test_options_of_the_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
