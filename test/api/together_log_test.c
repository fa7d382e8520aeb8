/* Workspaces that commit together when the log refuses, loses or has no room for their record. */
#include "support/held_log.h"

#include <errno.h>

enum { COUNT = 2 };

struct fixture {
    struct held_log held;
    kh_db *db;
    kh_workspace *all[COUNT];
    kh_log_answer answer; /* of the next flush */
};

static void answer_on_flush(void *context, uint64_t cookie) {
    struct fixture *f = (struct fixture *)context; /* the log is its first member */
    held_log_answer(&f->held, cookie, f->answer);
}

static void begin_all(struct fixture *f) {
    static const char *const keys[] = {"a", "b"};
    kh_batch *value = kit_number(f->db, 1);
    for (int i = 0; i < COUNT; i++) {
        kit_is(kh_workspace_begin(f->db, NULL, &f->all[i], NULL), KH_OK);
        kit_is(kh_workspace_put(f->all[i], kit_key(keys[i]), value, NULL), KH_OK);
    }
    kh_batch_release(value);
}

static void set_up(struct fixture *f) {
    kh_options options = kit_options();
    held_log_init(&f->held, HELD_AT_ONCE);
    options.log = &f->held.log;
    f->db = kit_open_with(&options);
    kit_store(f->db, "s", 1); /* the schema is there */
    begin_all(f);
}

static void states_are(const struct fixture *f, kh_workspace_state state, kh_status cause) {
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(kh_workspace_state_of(f->all[i]), state);
        assert_int_equal(kh_workspace_cause(f->all[i]), cause);
    }
}

static void tear_down(struct fixture *f) {
    for (int i = 0; i < COUNT; i++) kh_workspace_close(f->all[i]);
    kit_close(f->db);
    held_log_fini(&f->held);
}

static kh_status commit(struct fixture *f, size_t *culprit) {
    return kh_workspace_commit_together(f->all, COUNT, NULL, culprit, NULL);
}

static void test_no_space(void **state) {
    (void)state;
    struct fixture f;
    size_t culprit;
    set_up(&f);
    size_t records = f.held.record_count;
    f.held.append_errno = ENOSPC;
    kit_is(commit(&f, &culprit), KH_NO_SPACE);
    assert_int_equal(culprit, COUNT);
    states_are(&f, KH_WORKSPACE_ACTIVE, KH_OK);
    kit_load_is(f.db, "a", KIT_ABSENT);
    f.held.append_errno = 0;
    kit_is(commit(&f, &culprit), KH_OK);
    assert_int_equal(f.held.record_count, records + 1);
    kit_load_is(f.db, "b", 1);
    tear_down(&f);
}

static void outcomes_are(const struct fixture *f, kh_outcome expected) {
    for (int i = 0; i < COUNT; i++) {
        kh_outcome outcome;
        kit_is(kh_db_outcome(f->db, kh_workspace_id(f->all[i]), &outcome, NULL, NULL), KH_OK);
        assert_int_equal(outcome, expected);
    }
}

static void test_refused(void **state) {
    (void)state;
    struct fixture f;
    size_t culprit;
    set_up(&f);
    f.held.mode = HELD_UNTIL_TOLD;
    f.held.log.context = &f.held;
    f.answer = KH_LOG_REFUSED;
    f.held.log.flush = answer_on_flush;
    kit_is(commit(&f, &culprit), KH_POISONED);
    assert_int_equal(culprit, COUNT);
    states_are(&f, KH_WORKSPACE_FAILED, KH_POISONED);
    outcomes_are(&f, KH_OUTCOME_ABORTED);
    kit_load_is(f.db, "a", KIT_ABSENT);
    kit_is(commit(&f, &culprit), KH_POISONED);
    assert_int_equal(culprit, 0);
    tear_down(&f);
}

/* After a reopening the log knows better. */
static void test_lost(void **state) {
    (void)state;
    struct fixture f;
    size_t culprit;
    kh_txn_id ids[COUNT];
    set_up(&f);
    f.held.mode = HELD_UNTIL_TOLD;
    f.answer = KH_LOG_LOST;
    f.held.log.flush = answer_on_flush;
    for (int i = 0; i < COUNT; i++) ids[i] = kh_workspace_id(f.all[i]);
    kit_is(commit(&f, &culprit), KH_UNKNOWN);
    assert_int_equal(culprit, COUNT);
    states_are(&f, KH_WORKSPACE_FAILED, KH_UNKNOWN);
    for (int i = 0; i < COUNT; i++) kit_is(kh_workspace_rollback(f.all[i]), KH_UNKNOWN);
    kit_load_is(f.db, "a", KIT_ABSENT);
    for (int i = 0; i < COUNT; i++) kh_workspace_close(f.all[i]);
    kit_close(f.db);
    kh_options options = kit_options();
    options.log = &f.held.log;
    f.db = kit_open_with(&options);
    kit_load_is(f.db, "a", 1);
    kit_load_is(f.db, "b", 1);
    for (int i = 0; i < COUNT; i++) {
        kh_outcome outcome;
        kit_is(kh_db_outcome(f.db, ids[i], &outcome, NULL, NULL), KH_OK);
        assert_int_equal(outcome, KH_OUTCOME_COMMITTED);
    }
    kit_close(f.db);
    held_log_fini(&f.held);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_space),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
