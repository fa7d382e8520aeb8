/* as_of_test.c - databases with a path as they were: history that outlives a restart, openings and
 * restored copies at every commit of a small random history, held against what a model had then. */
#include "support/directory.h"
#include "support/foreign.h"
#include "support/kit.h"

#include <unistd.h>

enum { KEYS = 8, COMMITS = 40 };

/* Of each commit: its timestamp, and every key's value after it. */
struct model {
    kh_timestamp at[COMMITS];
    int64_t values[COMMITS][KEYS];
    int count;
};

struct fixture {
    struct directory directory;
    struct kit_clock clock;
    kh_options options;
    kh_db *db;
    struct model model;
    struct foreign_random random;
};

static void open_fixture(struct fixture *f, uint64_t retention_ms, uint64_t retention_bytes) {
    memset(f, 0, sizeof *f);
    directory_make(&f->directory);
    f->clock = (struct kit_clock){.wall_ms = 1000000, .monotonic_ns = 1, .tick_ns = 1000};
    f->random = (struct foreign_random){.state = kit_env("KH_TEST_SEED", 11)};
    f->options = kit_options();
    f->options.path = f->directory.path;
    f->options.flags = KH_OPEN_NO_THREADS;
    f->options.clock = kit_clock_hook(&f->clock);
    f->options.retention_ms = retention_ms;
    f->options.retention_bytes = retention_bytes;
    f->db = kit_open_with(&f->options);
}

static void reopen(struct fixture *f) {
    kit_close(f->db);
    f->db = kit_open_with(&f->options);
}

static void close_fixture(struct fixture *f) {
    kit_close(f->db);
    directory_remove(&f->directory);
}

static const char *key_name(int key) {
    static char name[16];
    (void)snprintf(name, sizeof name, "k%d", key);
    return name;
}

/* One commit of one to three keys, a quarter of them deletions. */
static void commit_one(struct fixture *f) {
    struct model *model = &f->model;
    assert_true(model->count < COMMITS);
    int64_t *values = model->values[model->count];
    for (int key = 0; key < KEYS; key++)
        values[key] = model->count == 0 ? KIT_ABSENT : model->values[model->count - 1][key];
    kh_txn *txn = kit_begin(f->db, KH_REPEATABLE_READ);
    for (uint64_t i = foreign_draw(&f->random, 3) + 1; i > 0; i--) {
        int key = (int)foreign_draw(&f->random, KEYS);
        bool is_deleted = foreign_draw(&f->random, 4) == 0;
        values[key] = is_deleted ? KIT_ABSENT : model->count * 100 + key;
        if (is_deleted) {
            kit_delete(txn, key_name(key));
        } else {
            kit_put(txn, key_name(key), values[key]);
        }
    }
    kit_commit_ok(txn);
    model->at[model->count++] = kh_db_now(f->db);
    kit_clock_advance(&f->clock, 10);
}

static void state_is(kh_txn *txn, const struct model *model, int commit) {
    for (int key = 0; key < KEYS; key++) kit_get_is(txn, key_name(key), model->values[commit][key]);
    kit_rollback(txn);
}

static void database_is(kh_db *db, const struct model *model, int commit) {
    state_is(kit_begin(db, KH_SERIALIZABLE), model, commit);
}

static void history_is(struct fixture *f, int first) {
    for (int i = 0; i < f->model.count; i++) {
        kh_txn *txn = NULL;
        kh_status status = kh_txn_begin_at(f->db, f->model.at[i], &txn, NULL);
        kit_is(status, i < first ? KH_TOO_OLD : KH_OK);
        if (status == KH_OK) state_is(txn, &f->model, i);
    }
}

struct seen {
    kh_timestamp at;
    uint32_t count;
};

static bool see(void *context, const kh_version_entry *version) {
    struct seen *seen = context;
    assert_true(seen->count == 0 || version->timestamp < seen->at);
    seen->at = version->timestamp;
    seen->count++;
    return true;
}

static uint32_t versions_of(kh_db *db, const char *key, kh_timestamp from, bool *is_complete) {
    struct seen seen = {0, 0};
    kit_is(kh_db_history(db, kit_key(key), from, UINT64_MAX, see, &seen, is_complete, NULL), KH_OK);
    return seen.count;
}

/* ---- retention over restarts ----------------------------------------------------------------- */

static void test_history_outlives_restarts(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, 1000000, 0);
    for (int i = 0; i < COMMITS; i++) {
        commit_one(&f);
        if (i % 7 == 0) kh_db_step(f.db);
        if (i % 13 == 0) {
            kh_timestamp horizon = kh_db_horizon(f.db);
            uint32_t count = versions_of(f.db, "k0", f.model.at[0], NULL);
            reopen(&f);
            assert_true(kh_db_horizon(f.db) <= horizon);
            assert_int_equal(versions_of(f.db, "k0", f.model.at[0], NULL), count);
        }
        history_is(&f, 0);
    }
    bool is_complete = false;
    (void)versions_of(f.db, "k0", f.model.at[0], &is_complete);
    assert_true(is_complete);
    close_fixture(&f);
}

static void test_old_versions_expire_after_a_restart(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, 200, 0);
    while (f.model.count < 40) commit_one(&f);
    for (int i = 0; i < 3; i++) reopen(&f);
    /* 40 commits are 400 ms apart from now: what was valid at some time in the last 200 stays. */
    kh_timestamp horizon = KH_TIMESTAMP_OF_MS(f.clock.wall_ms - 200);
    kh_db_step(f.db);
    assert_true(kh_db_horizon(f.db) <= horizon);
    for (int i = 0; i < 40; i++) {
        kh_txn *txn = NULL;
        if (f.model.at[i] < horizon) continue;
        kit_is(kh_txn_begin_at(f.db, f.model.at[i], &txn, NULL), KH_OK);
        state_is(txn, &f.model, i);
    }
    kit_clock_advance(&f.clock, 1000);
    reopen(&f);
    kh_db_step(f.db);
    kh_stats stats = {.size = sizeof stats};
    kit_is(kh_db_stats(f.db, &stats, NULL), KH_OK);
    assert_true(stats.versions_live <= KEYS);
    history_is(&f, 39);
    /* And from the disk: nothing old comes back. */
    kit_is(kh_db_compact(f.db, NULL), KH_OK);
    reopen(&f);
    kit_is(kh_db_stats(f.db, &stats, NULL), KH_OK);
    assert_true(stats.versions_live <= KEYS);
    database_is(f.db, &f.model, 39);
    close_fixture(&f);
}

static void test_retention_by_bytes(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, 0, 2000);
    while (f.model.count < 5) commit_one(&f);
    reopen(&f);
    history_is(&f, 0);
    for (int round = 0; round < 7; round++) {
        for (int i = 0; i < 5; i++) commit_one(&f);
        reopen(&f);
        for (int i = 0; i < 64; i++) kh_db_step(f.db);
    }
    kh_stats stats = {.size = sizeof stats};
    kit_is(kh_db_stats(f.db, &stats, NULL), KH_OK);
    assert_true(stats.versions_live < 60 && stats.versions_live > KEYS);
    kh_timestamp horizon = kh_db_horizon(f.db);
    assert_true(horizon > f.model.at[0]);
    for (int i = 0; i < f.model.count; i++) {
        kh_txn *txn = NULL;
        if (f.model.at[i] < horizon) continue;
        kit_is(kh_txn_begin_at(f.db, f.model.at[i], &txn, NULL), KH_OK);
        state_is(txn, &f.model, i);
    }
    close_fixture(&f);
}

/* Whoever opens without retention gives the past up, also for those who open with it later. */
static void test_history_given_up(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, 1000000, 0);
    while (f.model.count < 20) commit_one(&f);
    f.options.retention_ms = 0;
    reopen(&f);
    commit_one(&f);
    assert_int_equal(kh_db_horizon(f.db), kh_db_now(f.db));
    f.options.retention_ms = 1000000;
    reopen(&f);
    history_is(&f, 20);
    commit_one(&f);
    history_is(&f, 20);
    close_fixture(&f);
}

/* What lies under a deletion must go before the deletion does: a reader kept both, and what came
 * later is swept at once. */
static void test_deleted_stays_deleted(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, 0, 0);
    kit_store(f.db, "k", 1);
    kh_db_step(f.db);
    kh_txn *reader = kit_begin(f.db, KH_REPEATABLE_READ);
    kit_get_is(reader, "k", 1);
    kit_store(f.db, "k", KIT_ABSENT);
    kh_db_step(f.db);
    kit_rollback(reader);
    kit_store(f.db, "k", 2);
    kit_store(f.db, "k", KIT_ABSENT);
    reopen(&f);
    kit_load_is(f.db, "k", KIT_ABSENT);
    close_fixture(&f);
}

/* ---- as of ----------------------------------------------------------------------------------- */

static kh_db *open_as_of(const struct fixture *f, kh_timestamp at, kh_status expected) {
    kh_options options = f->options;
    kh_db *db = NULL;
    options.flags |= KH_OPEN_READ_ONLY;
    options.as_of = at;
    kit_is(kh_db_open(&options, &db, NULL), expected);
    return db;
}

static void opened_is(const struct fixture *f, kh_timestamp at, int commit) {
    kh_db *db = open_as_of(f, at, KH_OK);
    if (at != 0) assert_int_equal(kh_db_now(db), at);
    database_is(db, &f->model, commit);
    for (int i = 0; i <= commit; i++) { /* and what was before then */
        kh_txn *txn = NULL;
        kit_is(kh_txn_begin_at(db, f->model.at[i], &txn, NULL), KH_OK);
        state_is(txn, &f->model, i);
    }
    kit_close(db);
}

static void restored_is(const struct fixture *f, kh_timestamp at, int commit) {
    kh_restore_options to = KH_RESTORE_OPTIONS_INIT;
    struct directory target;
    kh_restored restored;
    kh_error error = {""};
    to.to = at;
    directory_make(&target);
    kh_status status = kh_restore(f->directory.path, target.path, &to, &restored, &error);
    if (status != KH_OK) fail_msg("%s", error.message);
    kh_options options = f->options;
    options.path = target.path;
    uint64_t keys = 0;
    for (int key = 0; key < KEYS; key++) keys += f->model.values[commit][key] != KIT_ABSENT;
    assert_int_equal(restored.keys, keys);
    for (int round = 0; round < 2; round++) {
        kh_db *db = kit_open_with(&options);
        kh_identity identity = kh_db_identity(db);
        assert_memory_equal(&identity, &restored.identity, sizeof identity);
        if (round == 0) assert_int_equal(kh_db_now(db), at == 0 ? f->model.at[commit] : at);
        database_is(db, &f->model, commit);
        kit_store(db, "later", 1); /* it goes on as a database of its own */
        kit_load_is(db, "later", 1);
        assert_true(kh_db_now(db) > restored.timestamp);
        kit_close(db);
    }
    directory_remove(&target);
}

/* Open elsewhere and closed, with the storage behind the log by any amount. */
static void test_every_commit(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, 1000000, 0);
    while (f.model.count < COMMITS) {
        commit_one(&f);
        if (f.model.count % 11 == 0) kh_db_step(f.db);
        if (f.model.count == 20) kit_is(kh_db_compact(f.db, NULL), KH_OK);
    }
    for (int i = 0; i < COMMITS; i++) {
        opened_is(&f, f.model.at[i], i);
        if (i % 5 == 0) restored_is(&f, f.model.at[i], i);
        if (i + 1 < COMMITS) opened_is(&f, f.model.at[i + 1] - 1, i);
    }
    opened_is(&f, 0, COMMITS - 1);
    restored_is(&f, 0, COMMITS - 1);
    kit_close(f.db);
    for (int i = 0; i < COMMITS; i++) {
        opened_is(&f, f.model.at[i], i);
        if (i % 5 == 1) restored_is(&f, f.model.at[i], i);
    }
    directory_remove(&f.directory);
}

static void test_moments_that_are_not_there(void **state) {
    (void)state;
    struct fixture f;
    struct directory target;
    kh_restore_options to = KH_RESTORE_OPTIONS_INIT;
    open_fixture(&f, 50, 0);
    directory_make(&target);
    while (f.model.count < 20) commit_one(&f);
    kit_is(kh_db_compact(f.db, NULL), KH_OK);
    kh_timestamp horizon = kh_db_horizon(f.db);
    (void)open_as_of(&f, horizon - KH_TIMESTAMP_OF_MS(20), KH_TOO_OLD);
    to.to = horizon - KH_TIMESTAMP_OF_MS(20);
    kit_is(kh_restore(f.directory.path, target.path, &to, NULL, NULL), KH_TOO_OLD);
    (void)open_as_of(&f, KH_TIMESTAMP_OF_MS(f.clock.wall_ms + 1), KH_INVALID);
    to.to = UINT64_MAX - 1;
    kit_is(kh_restore(f.directory.path, target.path, &to, NULL, NULL), KH_INVALID);
    kh_db *db = open_as_of(&f, 0, KH_OK);
    database_is(db, &f.model, 19);
    kit_close(db);
    /* Nothing was committed since, but that moment has come. */
    db = open_as_of(&f, KH_TIMESTAMP_OF_MS(f.clock.wall_ms), KH_OK);
    database_is(db, &f.model, 19);
    kit_close(db);
    /* The failed ones have left nothing. */
    assert_int_equal(rmdir(target.path), 0);
    close_fixture(&f);
}

static void undecided_is_left_out(const struct fixture *f) {
    struct directory target;
    directory_make(&target);
    kit_is(kh_restore(f->directory.path, target.path, NULL, NULL, NULL), KH_OK);
    kh_options options = f->options;
    options.path = target.path;
    kh_db *db = kit_open_with(&options);
    kit_load_is(db, "k", 1);
    kit_store(db, "k", 7); /* which nobody holds here */
    kit_close(db);
    directory_remove(&target);
}

/* What is prepared and not decided at the moment is not there. */
static void test_prepared(void **state) {
    (void)state;
    for (int flavour = 0; flavour < 4; flavour++) {
        struct fixture f;
        open_fixture(&f, 1000000, 0);
        kit_store(f.db, "k", 1);
        kh_txn *txn = kit_begin(f.db, KH_SERIALIZABLE);
        kit_put(txn, "k", 2);
        kh_txn_id id = kh_txn_get_id(txn);
        kit_is(kh_txn_prepare(txn, NULL), KH_OK);
        kh_txn_close(txn);
        if (flavour & 1) reopen(&f); /* into the storage */
        kit_store(f.db, "other", 1);
        undecided_is_left_out(&f);
        kh_timestamp before = kh_db_now(f.db);
        kh_timestamp after = 0;
        kit_is(kh_db_decide(f.db, id, true, &after, NULL), KH_OK);
        if (flavour & 2) reopen(&f);
        const int64_t expected[] = {1, 2};
        const kh_timestamp moments[] = {before, after};
        for (int i = 0; i < 2; i++) {
            struct directory target;
            kh_restore_options to = KH_RESTORE_OPTIONS_INIT;
            kh_db *db = open_as_of(&f, moments[i], KH_OK);
            kit_load_is(db, "k", expected[i]);
            kit_close(db);
            directory_make(&target);
            to.to = moments[i];
            kit_is(kh_restore(f.directory.path, target.path, &to, NULL, NULL), KH_OK);
            kh_options options = f.options;
            options.path = target.path;
            db = kit_open_with(&options);
            kit_load_is(db, "k", expected[i]);
            kit_store(db, "k", 5);
            kit_close(db);
            directory_remove(&target);
        }
        close_fixture(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_history_outlives_restarts),
        cmocka_unit_test(test_old_versions_expire_after_a_restart),
        cmocka_unit_test(test_retention_by_bytes),
        cmocka_unit_test(test_history_given_up),
        cmocka_unit_test(test_deleted_stays_deleted),
        cmocka_unit_test(test_every_commit),
        cmocka_unit_test(test_moments_that_are_not_there),
        cmocka_unit_test(test_prepared),
    };
    if (!kh_has_feature("durable")) return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
