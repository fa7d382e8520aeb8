/* Workspaces through the public calls: their operations and states, what a guard refuses and when
 * it may not, and what a merge permits. */
#include "support/workspace_kit.h"

#include <math.h>

/* ---- operations ------------------------------------------------------------------------------ */

static void test_operations(void **state) {
    (void)state;
    kit_store(db, "a", 1);
    kit_store(db, "b", 2);
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_batch *one = kit_number(db, 1);
    kh_batch *two = kit_number(db, 2);
    kh_batch *ten = kit_number(db, 10);
    kit_is(kh_workspace_update(workspace, kit_key("absent"), ten, NULL), KH_NOT_FOUND);
    kit_is(kh_workspace_compare_and_swap(workspace, kit_key("a"), two, ten, NULL), KH_MISMATCH);
    assert_int_equal(kh_workspace_operation_count(workspace), 0);
    kit_is(kh_workspace_compare_and_swap(workspace, kit_key("a"), one, ten, NULL), KH_OK);
    kit_is(kh_workspace_update(workspace, kit_key("a"), two, NULL), KH_OK);
    kit_is(kh_workspace_delete(workspace, kit_key("b"), NULL), KH_OK);
    kit_is(kh_workspace_put(workspace, kit_key("c"), ten, NULL), KH_OK);
    assert_int_equal(kh_workspace_operation_count(workspace), 4);
    static const kh_step_kind kinds[] = {KH_STEP_COMPARE_AND_SWAP, KH_STEP_UPDATE, KH_STEP_DELETE,
                                         KH_STEP_PUT};
    kh_step step;
    for (size_t i = 0; i < 4; i++) {
        kit_is(kh_workspace_operation(workspace, i, &step), KH_OK);
        assert_int_equal(step.kind, kinds[i]);
    }
    assert_int_equal(kit_number_of(step.value), 10);
    kit_is(kh_workspace_operation(workspace, 4, &step), KH_NOT_FOUND);
    kh_bytes keys[2];
    assert_int_equal(kh_workspace_affected_keys(workspace, keys, 2), 3);
    assert_true(kit_bytes_equal(keys[0], kit_key("a")) && kit_bytes_equal(keys[1], kit_key("b")));
    kh_batch *seen = NULL;
    kit_is(kh_workspace_get(workspace, kit_key("a"), &seen, NULL), KH_OK);
    assert_int_equal(kit_number_of(seen), 2);
    kh_batch_release(seen);
    kit_is(commit(workspace), KH_OK);
    assert_int_equal(kh_workspace_state_of(workspace), KH_WORKSPACE_COMMITTED);
    kit_load_is(db, "a", 2);
    kit_load_is(db, "b", KIT_ABSENT);
    kit_load_is(db, "c", 10);
    kit_is(kh_workspace_put(workspace, kit_key("c"), one, NULL), KH_FINISHED);
    kit_is(kh_workspace_rollback(workspace), KH_FINISHED);
    kit_is(commit(workspace), KH_FINISHED);
    kh_workspace_close(workspace);
    kh_batch_release(one);
    kh_batch_release(two);
    kh_batch_release(ten);
}

static void test_limits(void **state) {
    (void)state;
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    kh_batch *value = kit_number(db, 1);
    options.operations_max = 3;
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_OK);
    for (int i = 0; i < 3; i++) put(workspace, i == 0 ? "a" : "b", i);
    kit_is(kh_workspace_put(workspace, kit_key("c"), value, NULL), KH_TOO_BIG);
    assert_int_equal(kh_workspace_affected_keys(workspace, NULL, 0), 2);
    kit_is(commit(workspace), KH_OK);
    kh_workspace_close(workspace);
    options.mode = (kh_semantic_mode)9;
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_INVALID);
    options = (kh_workspace_options)KH_WORKSPACE_OPTIONS_INIT;
    options.txn.flags = KH_BEGIN_READ_ONLY;
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_INVALID);
    options = (kh_workspace_options)KH_WORKSPACE_OPTIONS_INIT;
    options.dimensions = 3;
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_INVALID);
    kh_batch_release(value);
}

/* ---- states ---------------------------------------------------------------------------------- */

static void test_failed_and_retried(void **state) {
    (void)state;
    kit_store(db, "k", 1);
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_txn_id id = kh_workspace_id(workspace);
    put(workspace, "k", 2);
    means(workspace, 1, 0);
    kit_is(kh_workspace_retry(workspace, NULL), KH_MISUSE);
    kit_store(db, "k", 3);
    kit_is(commit(workspace), KH_CONFLICT);
    assert_int_equal(kh_workspace_state_of(workspace), KH_WORKSPACE_FAILED);
    assert_int_equal(kh_workspace_cause(workspace), KH_CONFLICT);
    kh_conflict conflict = {.size = sizeof conflict};
    kit_is(kh_txn_conflict(kh_workspace_txn(workspace), &conflict), KH_OK);
    assert_true(kit_bytes_equal(conflict.key, kit_key("k")));
    kh_semantic_conflict meaning = {.size = sizeof meaning};
    kit_is(kh_workspace_semantic_conflict(workspace, &meaning), KH_NOT_FOUND);
    kit_is(commit(workspace), KH_CONFLICT);
    kit_is(kh_workspace_retry(workspace, NULL), KH_OK);
    assert_int_equal(kh_workspace_state_of(workspace), KH_WORKSPACE_ACTIVE);
    assert_int_equal(kh_workspace_cause(workspace), KH_OK);
    assert_int_equal(kh_workspace_operation_count(workspace), 0);
    assert_int_equal(kh_workspace_id(workspace).low, id.low);
    put(workspace, "k", 4);
    kit_is(commit(workspace), KH_OK);
    kh_workspace_close(workspace);
    kit_load_is(db, "k", 4);
}

static void test_rollback_touches_its_own_only(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    put(workspace, "mine", 1);
    kit_store(db, "theirs", 2);
    kit_is(kh_workspace_rollback(workspace), KH_OK);
    assert_int_equal(kh_workspace_state_of(workspace), KH_WORKSPACE_ROLLED_BACK);
    kit_is(kh_workspace_retry(workspace, NULL), KH_MISUSE);
    kh_workspace_close(workspace);
    kit_load_is(db, "mine", KIT_ABSENT);
    kit_load_is(db, "theirs", 2);
    workspace = begin(KH_SEMANTIC_KEYS);
    put(workspace, "mine", 1);
    kh_workspace_close(workspace);
    kit_load_is(db, "mine", KIT_ABSENT);
}

static void test_a_call_that_ends_the_transaction(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_batch *value = kit_number(db, 1);
    put(workspace, "k", 1);
    kit_is(kh_db_remove_workspace(db, kh_workspace_id(workspace), NULL), KH_OK);
    kit_is(kh_workspace_put(workspace, kit_key("k"), value, NULL), KH_CANCELLED);
    assert_int_equal(kh_workspace_state_of(workspace), KH_WORKSPACE_FAILED);
    assert_int_equal(kh_workspace_cause(workspace), KH_CANCELLED);
    kit_is(kh_workspace_retry(workspace, NULL), KH_OK);
    put(workspace, "k", 2);
    kit_is(kh_workspace_rollback(workspace), KH_OK);
    kh_workspace_close(workspace);
    kh_batch_release(value);
}

static void test_an_open_cursor_is_no_failure(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_cursor *cursor = NULL;
    put(workspace, "k", 1);
    kit_is(kh_txn_scan(kh_workspace_txn(workspace), NULL, &cursor, NULL), KH_OK);
    kit_is(commit(workspace), KH_IN_USE);
    assert_int_equal(kh_workspace_state_of(workspace), KH_WORKSPACE_ACTIVE);
    kh_cursor_close(cursor);
    kit_is(commit(workspace), KH_OK);
    kh_workspace_close(workspace);
}

static void test_prepared(void **state) {
    (void)state;
    for (int way = 0; way < 6; way++) {
        kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
        put(workspace, "k", way);
        kit_is(kh_workspace_prepare(workspace, NULL), KH_OK);
        assert_int_equal(kh_workspace_state_of(workspace), KH_WORKSPACE_COMMITTING);
        kh_batch *value = kit_number(db, 1);
        kit_is(kh_workspace_put(workspace, kit_key("k"), value, NULL), KH_MISUSE);
        kh_batch_release(value);
        kh_txn_id id = kh_txn_get_id(kh_workspace_txn(workspace));
        bool is_kept = way % 2 == 0;
        if (way >= 2) kit_is(kh_db_decide(db, id, is_kept, NULL, NULL), KH_OK);
        if (way == 0 || way == 2) kit_is(commit(workspace), KH_OK);
        if (way == 1) kit_is(kh_workspace_rollback(workspace), KH_OK);
        if (way == 3) kit_is(commit(workspace), KH_FINISHED);
        if (way >= 4) kit_is(kh_workspace_rollback(workspace), is_kept ? KH_FINISHED : KH_OK);
        assert_int_equal(kh_workspace_state_of(workspace),
                         is_kept ? KH_WORKSPACE_COMMITTED : KH_WORKSPACE_ROLLED_BACK);
        kh_workspace_close(workspace);
        if (is_kept) kit_load_is(db, "k", way);
    }
}

/* ---- embeddings ------------------------------------------------------------------------------ */

static void test_setting_embeddings(void **state) {
    (void)state;
    const float good[3] = {1, 2, 3};
    const float bad[3] = {1, NAN, 3};
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_delta *delta = NULL;
    kit_is(kh_workspace_delta(workspace, &delta), KH_NOT_FOUND);
    kit_is(kh_workspace_compute_delta(workspace, NULL), KH_MISUSE);
    kit_is(kh_workspace_set_before(workspace, (kh_floats){good, 0}, NULL), KH_INVALID);
    kit_is(kh_workspace_set_before(workspace, (kh_floats){bad, 3}, NULL), KH_INVALID);
    kit_is(kh_workspace_set_before(workspace, (kh_floats){good, 3}, NULL), KH_OK);
    kit_is(kh_workspace_set_before(workspace, (kh_floats){good, 3}, NULL), KH_MISUSE);
    kit_is(kh_workspace_set_after(workspace, (kh_floats){good, 2}, NULL), KH_INVALID);
    kit_is(kh_workspace_compute_delta(workspace, NULL), KH_MISUSE);
    const float after[3] = {2, 2, 1};
    kit_is(kh_workspace_set_after(workspace, (kh_floats){after, 3}, NULL), KH_OK);
    put(workspace, "k", 1);
    kit_is(kh_workspace_compute_delta(workspace, NULL), KH_OK);
    kit_is(kh_workspace_compute_delta(workspace, NULL), KH_MISUSE);
    put(workspace, "j", 1);
    kit_is(commit(workspace), KH_OK);
    kit_is(kh_workspace_delta(workspace, &delta), KH_OK);
    float values[3];
    kh_delta_values(delta, values);
    assert_true(values[0] == 1 && values[1] == 0 && values[2] == -2);
    assert_int_equal(kh_delta_key_count(delta), 2);
    kh_delta_release(delta);
    kh_workspace_close(workspace);
    workspace = begin(KH_SEMANTIC_KEYS);
    put(workspace, "k", 1);
    kit_is(kh_workspace_set_before(workspace, (kh_floats){good, 3}, NULL), KH_OK);
    kit_is(commit(workspace), KH_INVALID); /* one side only */
    assert_int_equal(kh_workspace_state_of(workspace), KH_WORKSPACE_FAILED);
    kh_workspace_close(workspace);
}

struct told {
    int calls;
    size_t count;
    kh_status answer;
};

static kh_status embed(void *context, kh_workspace *workspace, const kh_step *steps,
                       size_t step_count, float *before, float *after, uint32_t dimensions,
                       kh_error *error) {
    struct told *told = context;
    kh_batch *old = NULL;
    (void)error;
    told->calls++;
    told->count = step_count;
    if (told->answer != KH_OK) return told->answer;
    assert_int_equal(dimensions, 2);
    kh_status status = kh_workspace_get(workspace, kit_key("base"), &old, NULL);
    if (status != KH_OK) return status;
    before[0] = (float)kit_number_of(old);
    after[1] = (float)kit_number_of(steps[0].value);
    kh_batch_release(old);
    return KH_OK;
}

static void test_an_embed_function(void **state) {
    (void)state;
    struct told told = {0, 0, KH_OK};
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    kh_delta *delta = NULL;
    options.embed = embed;
    options.embed_context = &told;
    options.dimensions = 2;
    kit_store(db, "base", 3);
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_OK);
    put(workspace, "k", 5);
    kit_is(commit(workspace), KH_OK);
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.count, 1);
    kit_is(kh_workspace_delta(workspace, &delta), KH_OK);
    float values[2];
    kh_delta_values(delta, values);
    assert_true(values[0] == -3 && values[1] == 5);
    kh_delta_release(delta);
    kh_workspace_close(workspace);
    told.answer = KH_UNSUPPORTED;
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_OK);
    put(workspace, "k", 6);
    kit_is(commit(workspace), KH_UNSUPPORTED);
    assert_int_equal(kh_workspace_cause(workspace), KH_UNSUPPORTED);
    kh_workspace_close(workspace);
    kit_load_is(db, "k", 5);
}

/* ---- guard ----------------------------------------------------------------------------------- */

static void test_a_guard_stops_contradictions(void **state) {
    (void)state;
    for (size_t level = 0; level < 3; level++) {
        kh_workspace *first = begin_with(KH_SEMANTIC_KEYS, kit_levels[level]);
        kh_workspace *second = begin_with(KH_SEMANTIC_GUARD, kit_levels[level]);
        kh_workspace *third = begin_with(KH_SEMANTIC_GUARD, kit_levels[level]);
        put(first, "a", 1);
        means(first, 1, 0);
        put(second, "b", 1);
        means(second, -1, 0.1f);
        put(third, "c", 1);
        means(third, 0, 1);
        kit_is(commit(first), KH_OK);
        kit_is(commit(third), KH_OK); /* orthogonal to the first */
        kit_is(commit(second), KH_SEMANTIC_CONFLICT);
        assert_int_equal(kh_workspace_cause(second), KH_SEMANTIC_CONFLICT);
        kh_semantic_conflict conflict = {.size = sizeof conflict};
        kit_is(kh_workspace_semantic_conflict(second, &conflict), KH_OK);
        assert_int_equal(conflict.rival.low, kh_workspace_id(first).low);
        assert_int_equal(conflict.kind, KH_DELTA_OPPOSITE);
        assert_true(conflict.similarity < -0.95f);
        assert_true(kit_bytes_equal(kh_delta_key(conflict.rival_delta, 0), kit_key("a")));
        kit_load_is(db, "b", KIT_ABSENT);
        kit_is(kh_workspace_retry(second, NULL), KH_OK); /* it sees the first now */
        put(second, "b", 1);
        means(second, -1, 0.1f);
        kit_is(commit(second), KH_OK);
        kh_workspace_close(first);
        kh_workspace_close(second);
        kh_workspace_close(third);
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        kit_delete(txn, "b");
        kit_commit_ok(txn);
    }
}

static void test_keys_decide_first(void **state) {
    (void)state;
    kit_store(db, "k", 0);
    kh_workspace *first = begin(KH_SEMANTIC_GUARD);
    kh_workspace *second = begin(KH_SEMANTIC_GUARD);
    put(first, "k", 1);
    means(first, 1, 0);
    put(second, "k", 2);
    means(second, 1, 0);
    kit_is(commit(first), KH_OK);
    kit_is(commit(second), KH_CONFLICT);
    kh_workspace_close(first);
    kh_workspace_close(second);
}

static void test_without_embeddings_keys_decide(void **state) {
    (void)state;
    for (int way = 0; way < 3; way++) {
        kh_workspace *first = begin(KH_SEMANTIC_MERGE);
        kh_workspace *second = begin(KH_SEMANTIC_MERGE);
        put(first, "a", 1);
        put(second, "b", 2);
        if (way == 1) means(first, 1, 0);
        if (way == 2) means(second, 0, 0); /* zero is none */
        kit_is(commit(first), KH_OK);
        kit_is(commit(second), KH_OK);
        kh_workspace_close(first);
        kh_workspace_close(second);
        first = begin(KH_SEMANTIC_MERGE);
        second = begin(KH_SEMANTIC_MERGE);
        put_rows(first, "r", "1=1/1");
        put_rows(second, "r", "2=2/2");
        if (way == 1) means(first, 1, 0);
        kit_is(commit(first), KH_OK);
        kit_is(commit(second), KH_CONFLICT); /* it would merge, but nothing permits it */
        kh_workspace_close(first);
        kh_workspace_close(second);
    }
}

static void test_a_prepared_one_holds_what_it_means(void **state) {
    (void)state;
    kh_workspace *prepared = begin(KH_SEMANTIC_GUARD);
    kh_workspace *against = begin(KH_SEMANTIC_KEYS);
    kh_workspace *apart = begin(KH_SEMANTIC_KEYS);
    put(prepared, "a", 1);
    means(prepared, 1, 0);
    kit_is(kh_workspace_prepare(prepared, NULL), KH_OK);
    put(against, "b", 1);
    means(against, 1, 0.2f);
    kit_is(commit(against), KH_HELD);
    kh_conflict conflict = {.size = sizeof conflict};
    kit_is(kh_txn_conflict(kh_workspace_txn(against), &conflict), KH_OK);
    assert_int_equal(conflict.holder.low, kh_workspace_id(prepared).low);
    put(apart, "c", 1);
    means(apart, 0, 1);
    kit_is(commit(apart), KH_OK);
    kit_is(commit(prepared), KH_OK);
    kh_workspace_close(prepared);
    kh_workspace_close(against);
    kh_workspace_close(apart);
}

static void test_what_is_forgotten_is_refused(void **state) {
    (void)state;
    kh_semantic_options semantic = KH_SEMANTIC_OPTIONS_INIT;
    kh_options options = kit_options();
    semantic.recent_max = 4;
    semantic.mode = KH_SEMANTIC_GUARD;
    options.semantic = &semantic;
    kit_close(db);
    db = kit_open_with(&options);
    kh_workspace *old = begin(KH_SEMANTIC_DEFAULT);
    for (int i = 0; i < 9; i++) {
        kh_workspace *each = begin(KH_SEMANTIC_KEYS);
        put(each, "k", i);
        means(each, 0, 1);
        kit_is(commit(each), KH_OK);
        kh_workspace_close(each);
    }
    put(old, "a", 1);
    means(old, 1, 0); /* orthogonal to all: but who knows */
    kit_is(commit(old), KH_SEMANTIC_CONFLICT);
    kh_semantic_conflict conflict = {.size = sizeof conflict};
    kit_is(kh_workspace_semantic_conflict(old, &conflict), KH_OK);
    assert_null(conflict.rival_delta);
    kit_is(kh_workspace_retry(old, NULL), KH_OK);
    put(old, "a", 1);
    means(old, 1, 0);
    kit_is(commit(old), KH_OK);
    kh_workspace_close(old);
}

/* ---- merge ----------------------------------------------------------------------------------- */

static void merges(float x, float y, const char *mine, const char *theirs, const char *expected) {
    char text[KIT_TEXT_BYTES];
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *value = kit_rows(db, "1=10/20 2=30/40");
    kit_is(kh_txn_put(txn, kit_key("t"), value, NULL), KH_OK);
    kit_commit_ok(txn);
    kh_batch_release(value);
    kh_workspace *first = begin(KH_SEMANTIC_MERGE);
    kh_workspace *second = begin(KH_SEMANTIC_MERGE);
    put_rows(first, "t", theirs);
    means(first, 1, 0);
    put_rows(second, "t", mine);
    means(second, x, y);
    kit_is(commit(first), KH_OK);
    kit_is(commit(second), expected == NULL ? KH_CONFLICT : KH_OK);
    kh_batch *now = NULL;
    txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(kh_txn_get(txn, kit_key("t"), &now, NULL), KH_OK);
    kit_text(now, text);
    assert_string_equal(text, expected == NULL ? theirs : expected);
    kh_batch_release(now);
    kit_rollback(txn);
    kh_workspace_close(first);
    kh_workspace_close(second);
}

static void test_merges(void **state) {
    (void)state;
    const char *const theirs = "1=11/20 2=30/40";
    const char *const mine = "1=10/20 2=30/44";
    const char *const both = "1=11/20 2=30/44";
    merges(0, 1, mine, theirs, both);              /* orthogonal */
    merges(1, 0, mine, theirs, both);              /* identical: the same keys */
    merges(0.5f, 0.866f, mine, theirs, both);      /* ambiguous */
    merges(0.8f, 0.6f, mine, theirs, NULL);        /* conflicting */
    merges(-1, 0, mine, theirs, NULL);             /* opposite */
    merges(0, 1, "1=12/20 2=30/40", theirs, NULL); /* the data does not merge */
    merges(0, 1, theirs, theirs, theirs);          /* rows that are equal are kept once */
}

/* Somebody without an embedding has written the key in between. */
static void test_a_stranger_between(void **state) {
    (void)state;
    kh_workspace *mine = begin(KH_SEMANTIC_MERGE);
    kh_workspace *theirs = begin(KH_SEMANTIC_MERGE);
    put_rows(mine, "t", "1=1/1");
    means(mine, 0, 1);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *value = kit_rows(db, "2=2/2");
    kit_is(kh_txn_put(txn, kit_key("t"), value, NULL), KH_OK);
    kit_commit_ok(txn);
    kh_batch_release(value);
    kit_is(kh_workspace_rollback(theirs), KH_OK);
    kh_workspace_close(theirs);
    theirs = begin(KH_SEMANTIC_MERGE); /* on top of the stranger */
    put_rows(theirs, "t", "2=2/3");
    means(theirs, 1, 0);
    kit_is(commit(theirs), KH_OK);
    kit_is(commit(mine), KH_CONFLICT);
    kh_conflict conflict = {.size = sizeof conflict};
    kit_is(kh_txn_conflict(kh_workspace_txn(mine), &conflict), KH_OK);
    assert_true(kit_bytes_equal(conflict.key, kit_key("t")));
    kh_workspace_close(mine);
    kh_workspace_close(theirs);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_db, close_db)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_operations),
        TEST(test_limits),
        TEST(test_failed_and_retried),
        TEST(test_rollback_touches_its_own_only),
        TEST(test_a_call_that_ends_the_transaction),
        TEST(test_an_open_cursor_is_no_failure),
        TEST(test_prepared),
        TEST(test_setting_embeddings),
        TEST(test_an_embed_function),
        TEST(test_a_guard_stops_contradictions),
        TEST(test_keys_decide_first),
        TEST(test_without_embeddings_keys_decide),
        TEST(test_a_prepared_one_holds_what_it_means),
        TEST(test_what_is_forgotten_is_refused),
        TEST(test_merges),
        TEST(test_a_stranger_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
