/* outcome_test.c - what became of a transaction, asked by its id: over a small table of the newest
 * outcomes, from the storage, from the log's end, after restarts, and a day later. */
#include "support/directory.h"
#include "support/held_log.h"
#include "support/map_storage.h"

struct fixture {
    struct directory directory;
    struct kit_clock clock;
    kh_options options;
    kh_db *db;
};

static void open_fixture(struct fixture *f, kh_sync sync) {
    directory_make(&f->directory);
    f->clock = (struct kit_clock){.wall_ms = 1800000000000u, .tick_ns = 1000};
    f->options = kit_options();
    f->options.path = f->directory.path;
    f->options.sync = sync;
    f->options.clock = kit_clock_hook(&f->clock);
    f->options.limits = (kh_limits){.size = sizeof(kh_limits), .outcomes = 1};
    f->db = kit_open_with(&f->options);
}

static void close_fixture(struct fixture *f) {
    kit_close(f->db);
    directory_remove(&f->directory);
}

static void reopen(struct fixture *f) {
    kit_close(f->db);
    f->db = kit_open_with(&f->options);
}

static void outcome_is(kh_db *db, kh_txn_id id, kh_outcome expected, kh_timestamp timestamp) {
    kh_outcome outcome = KH_OUTCOME_ACTIVE;
    kh_timestamp committed = 7;
    kit_is(kh_db_outcome(db, id, &outcome, &committed, NULL), KH_OK);
    assert_int_equal(outcome, expected);
    assert_true(committed == timestamp);
}

struct ended {
    kh_txn_id committed;
    kh_timestamp timestamp;
    kh_txn_id rolled_back;
    kh_txn_id decided;
    kh_timestamp decision;
    kh_txn_id given_up;
    kh_txn_id members[3]; /* of one commit; the last has only read */
    kh_timestamp together;
};

static kh_txn_id prepare(kh_db *db, const char *key) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_txn_id id = kh_txn_get_id(txn);
    kit_put(txn, key, 1);
    kit_is(kh_txn_prepare(txn, NULL), KH_OK);
    kh_txn_close(txn);
    return id;
}

/* Under an id of its own the commit is none of theirs. */
static void end_together(kh_db *db, struct ended *ended) {
    static const char *const keys[] = {"m", "n"};
    kh_workspace *workspaces[3];
    kh_batch *value = kit_number(db, 1);
    for (int i = 0; i < 3; i++) {
        kit_is(kh_workspace_begin(db, NULL, &workspaces[i], NULL), KH_OK);
        ended->members[i] = kh_workspace_id(workspaces[i]);
        if (i < 2) kit_is(kh_workspace_put(workspaces[i], kit_key(keys[i]), value, NULL), KH_OK);
    }
    kh_batch_release(value);
    kit_is(kh_workspace_commit_together(workspaces, 3, &ended->together, NULL, NULL), KH_OK);
    for (int i = 0; i < 3; i++) kh_workspace_close(workspaces[i]);
}

static struct ended end_some(kh_db *db) {
    struct ended ended;
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    ended.committed = kh_txn_get_id(txn);
    kit_put(txn, "a", 1);
    kit_is(kh_txn_commit(txn, &ended.timestamp, NULL), KH_OK);
    kh_txn_close(txn);
    txn = kit_begin(db, KH_REPEATABLE_READ);
    ended.rolled_back = kh_txn_get_id(txn);
    kit_put(txn, "b", 1);
    kit_rollback(txn);
    ended.decided = prepare(db, "c");
    kit_is(kh_db_decide(db, ended.decided, true, &ended.decision, NULL), KH_OK);
    ended.given_up = prepare(db, "d");
    kit_is(kh_db_decide(db, ended.given_up, false, NULL, NULL), KH_OK);
    end_together(db, &ended);
    for (int i = 0; i < 8; i++) kit_store(db, "later", i); /* the table has room for one */
    return ended;
}

static void all_are(kh_db *db, const struct ended *ended) {
    outcome_is(db, ended->committed, KH_OUTCOME_COMMITTED, ended->timestamp);
    outcome_is(db, ended->rolled_back, KH_OUTCOME_ABORTED, 0);
    outcome_is(db, ended->decided, KH_OUTCOME_COMMITTED, ended->decision);
    outcome_is(db, ended->given_up, KH_OUTCOME_ABORTED, 0);
    for (int i = 0; i < 3; i++)
        outcome_is(db, ended->members[i], KH_OUTCOME_COMMITTED, ended->together);
}

/* From the end of the log, from the storage, after a restart; under each sync policy. */
static void test_all_memories(void **state) {
    (void)state;
    for (kh_sync sync = KH_SYNC_FULL; sync <= KH_SYNC_NONE; sync++) {
        struct fixture f;
        open_fixture(&f, sync);
        struct ended ended = end_some(f.db);
        all_are(f.db, &ended);
        kh_db_step(f.db);
        all_are(f.db, &ended);
        struct ended more = end_some(f.db);
        reopen(&f);
        all_are(f.db, &ended);
        all_are(f.db, &more);
        kh_txn_id prepared = prepare(f.db, "p");
        reopen(&f);
        outcome_is(f.db, prepared, KH_OUTCOME_PREPARED, 0);
        close_fixture(&f);
    }
}

/* Ids that were never given out. */
static void test_no_such_id(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_SYNC_FULL);
    struct ended ended = end_some(f.db);
    kh_outcome outcome;
    kh_txn_id id = {ended.committed.high, UINT64_MAX};
    kit_is(kh_db_outcome(f.db, id, &outcome, NULL, NULL), KH_NOT_FOUND);
    id.low = 0;
    kit_is(kh_db_outcome(f.db, id, &outcome, NULL, NULL), KH_NOT_FOUND);
    close_fixture(&f);
}

enum { HOUR_MS = 3600 * 1000, DAY_MS = 24 * HOUR_MS };

/* Never called aborted when it may have been forgotten. */
static void is_committed_or_forgotten(kh_db *db, const struct ended *ended) {
    kh_outcome outcome = KH_OUTCOME_ACTIVE;
    kh_timestamp committed = 7;
    kit_is(kh_db_outcome(db, ended->committed, &outcome, &committed, NULL), KH_OK);
    if (outcome == KH_OUTCOME_FORGOTTEN) return;
    assert_int_equal(outcome, KH_OUTCOME_COMMITTED);
    assert_true(committed == ended->timestamp);
}

/* A day is one of commits: what was the newest stays so. */
static void test_a_day_later(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_SYNC_FULL);
    struct ended ended = end_some(f.db);
    f.clock.wall_ms += DAY_MS + HOUR_MS;
    kit_is(kh_db_compact(f.db, NULL), KH_OK);
    reopen(&f);
    all_are(f.db, &ended);
    kit_store(f.db, "a", 2);
    kit_is(kh_db_compact(f.db, NULL), KH_OK);
    outcome_is(f.db, ended.committed, KH_OUTCOME_FORGOTTEN, 0);
    outcome_is(f.db, ended.rolled_back, KH_OUTCOME_FORGOTTEN, 0);
    reopen(&f);
    outcome_is(f.db, ended.committed, KH_OUTCOME_FORGOTTEN, 0);
    outcome_is(f.db, ended.rolled_back, KH_OUTCOME_FORGOTTEN, 0);
    struct ended later = end_some(f.db);
    kit_is(kh_db_compact(f.db, NULL), KH_OK);
    reopen(&f);
    all_are(f.db, &later);
    close_fixture(&f);
}

static void test_almost_a_day_later(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_SYNC_FULL);
    struct ended ended = end_some(f.db);
    f.clock.wall_ms += DAY_MS - 1000;
    kit_store(f.db, "a", 2);
    kit_is(kh_db_compact(f.db, NULL), KH_OK);
    reopen(&f);
    all_are(f.db, &ended);
    close_fixture(&f);
}

/* A clock that is wrong for an opening, one way or the other, with and without a commit then. */
static void test_wrong_clocks(void **state) {
    (void)state;
    for (int way = 0; way < 4; way++) {
        struct fixture f;
        uint64_t wrong_ms = (uint64_t)(way & 1 ? -3 : 3) * DAY_MS;
        open_fixture(&f, KH_SYNC_FULL);
        struct ended ended = end_some(f.db);
        f.clock.wall_ms += wrong_ms;
        reopen(&f);
        if (way & 2) kit_store(f.db, "a", 2);
        kit_is(kh_db_compact(f.db, NULL), KH_OK);
        is_committed_or_forgotten(f.db, &ended);
        f.clock.wall_ms -= wrong_ms;
        reopen(&f);
        is_committed_or_forgotten(f.db, &ended);
        kit_store(f.db, "a", 3);
        kit_is(kh_db_compact(f.db, NULL), KH_OK);
        is_committed_or_forgotten(f.db, &ended);
        if (!(way & 2) || (way & 1)) all_are(f.db, &ended);
        close_fixture(&f);
    }
}

/* As long as the log has it. */
static void test_the_log_remembers(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_SYNC_FULL);
    f.options.retention_ms = 7 * (uint64_t)DAY_MS;
    reopen(&f);
    struct ended ended = end_some(f.db);
    for (int day = 0; day < 6; day++) {
        f.clock.wall_ms += DAY_MS;
        kit_store(f.db, "a", day);
        kit_is(kh_db_compact(f.db, NULL), KH_OK);
        reopen(&f);
        all_are(f.db, &ended);
    }
    f.options.retention_ms = 0;
    reopen(&f);
    kit_store(f.db, "a", 7);
    kit_is(kh_db_compact(f.db, NULL), KH_OK);
    outcome_is(f.db, ended.committed, KH_OUTCOME_FORGOTTEN, 0);
    outcome_is(f.db, ended.rolled_back, KH_OUTCOME_FORGOTTEN, 0);
    close_fixture(&f);
}

/* Ids follow the clock: of what began lately it is known that it is not there, however long ago
 * the database was opened. */
static void test_open_for_days(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_SYNC_FULL);
    for (int hour = 0; hour < 60; hour++) {
        f.clock.wall_ms += HOUR_MS;
        kit_store(f.db, "a", hour);
        kh_db_step(f.db);
    }
    for (int i = 0; i < 64; i++) kit_store(f.db, "a", i); /* handles have some ids in hand */
    struct ended ended = end_some(f.db);
    assert_true(ended.rolled_back.low >> 20 > f.clock.wall_ms - 2 * HOUR_MS);
    assert_true(ended.rolled_back.low >> 20 <= f.clock.wall_ms);
    kit_is(kh_db_compact(f.db, NULL), KH_OK);
    reopen(&f);
    all_are(f.db, &ended);
    close_fixture(&f);
}

/* What a writer has in hand, or another node had, is not known to have been aborted. */
static void test_who_cannot_know(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_SYNC_FULL);
    struct ended ended = end_some(f.db);
    kh_txn *going_on = kit_begin(f.db, KH_REPEATABLE_READ);
    kh_txn_id id = kh_txn_get_id(going_on);
    kh_options options = f.options;
    options.flags |= KH_OPEN_READ_ONLY;
    kh_db *beside = kit_open_with(&options);
    outcome_is(beside, ended.committed, KH_OUTCOME_COMMITTED, ended.timestamp);
    outcome_is(beside, ended.given_up, KH_OUTCOME_ABORTED, 0);
    outcome_is(beside, ended.rolled_back, KH_OUTCOME_FORGOTTEN, 0);
    outcome_is(beside, id, KH_OUTCOME_FORGOTTEN, 0);
    kit_close(beside);
    kit_rollback(going_on);
    kh_txn_id foreign = {ended.committed.high + 1, ended.committed.low};
    outcome_is(f.db, foreign, KH_OUTCOME_FORGOTTEN, 0);
    close_fixture(&f);
}

/* With a log and a storage of others. */
static void test_users_storage(void **state) {
    (void)state;
    struct map_storage map;
    struct held_log held;
    kh_options options = kit_options();
    map_storage_init(&map);
    held_log_init(&held, HELD_AT_ONCE);
    options.log = &held.log;
    options.storage = &map.storage;
    options.limits = (kh_limits){.size = sizeof(kh_limits), .outcomes = 1};
    kh_db *db = kit_open_with(&options);
    struct ended ended = end_some(db);
    all_are(db, &ended);
    kh_db_step(db);
    all_are(db, &ended);
    kit_close(db);
    map_storage_fini(&map);
    held_log_fini(&held);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_memories),  cmocka_unit_test(test_no_such_id),
        cmocka_unit_test(test_a_day_later),   cmocka_unit_test(test_almost_a_day_later),
        cmocka_unit_test(test_wrong_clocks),  cmocka_unit_test(test_the_log_remembers),
        cmocka_unit_test(test_open_for_days), cmocka_unit_test(test_who_cannot_know),
        cmocka_unit_test(test_users_storage),
    };
    if (!kh_has_feature("durable")) return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
