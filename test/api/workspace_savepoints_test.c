/* Operations that a savepoint takes back: they leave the list, the keys and the count, and what a
 * commit brings along does not know them. */
#include "support/workspace_kit.h"

static uint32_t mark(kh_workspace *workspace) {
    uint32_t number = 0;
    kit_is(kh_txn_savepoint(kh_workspace_txn(workspace), &number, NULL), KH_OK);
    return number;
}

static void go_back(kh_workspace *workspace, uint32_t number) {
    kit_is(kh_txn_rollback_to(kh_workspace_txn(workspace), number, NULL), KH_OK);
}

static void erase(kh_workspace *workspace, const char *key) {
    kit_is(kh_workspace_delete(workspace, kit_key(key), NULL), KH_OK);
}

/* The list is these keys, a letter each, in order; the affected keys are those. */
static void lists(const kh_workspace *workspace, const char *steps, const char *affected) {
    kh_step step;
    kh_bytes keys[8];
    size_t count = strlen(steps);
    assert_int_equal(kh_workspace_operation_count(workspace), count);
    for (size_t i = 0; i < count; i++) {
        kit_is(kh_workspace_operation(workspace, i, &step), KH_OK);
        assert_int_equal(step.key.size_bytes, 1);
        assert_int_equal(*(const char *)step.key.data, steps[i]);
    }
    kit_is(kh_workspace_operation(workspace, count, &step), KH_NOT_FOUND);
    assert_int_equal(kh_workspace_affected_keys(workspace, NULL, 0), strlen(affected));
    assert_int_equal(kh_workspace_affected_keys(workspace, keys, 8), strlen(affected));
    for (size_t i = 0; i < strlen(affected); i++)
        assert_int_equal(*(const char *)keys[i].data, affected[i]);
}

static void ends(kh_workspace *workspace, kh_status expected) {
    kit_is(commit(workspace), expected);
    kh_workspace_close(workspace);
}

/* ---- the list -------------------------------------------------------------------------------- */

static void test_undone_operations_leave(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    put(workspace, "a", 1);
    uint32_t number = mark(workspace);
    put(workspace, "b", 2);
    put(workspace, "a", 3);
    erase(workspace, "c");
    lists(workspace, "abac", "abc");
    go_back(workspace, number);
    lists(workspace, "a", "a");
    put(workspace, "a", 4); /* its key is listed */
    put(workspace, "b", 5); /* and this one's is not any more */
    put(workspace, "b", 6);
    lists(workspace, "aabb", "ab");
    go_back(workspace, number); /* it is still set */
    lists(workspace, "a", "a");
    go_back(workspace, number); /* and nothing was done since */
    lists(workspace, "a", "a");
    erase(workspace, "d");
    lists(workspace, "ad", "ad");
    ends(workspace, KH_OK);
    kit_load_is(db, "a", 1);
}

static void test_released_savepoints_keep_them(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_txn *txn = kh_workspace_txn(workspace);
    uint32_t outer = mark(workspace);
    put(workspace, "a", 1);
    uint32_t inner = mark(workspace);
    put(workspace, "b", 2);
    kit_is(kh_txn_release_savepoint(txn, inner, NULL), KH_OK);
    lists(workspace, "ab", "ab");
    kit_is(kh_txn_rollback_to(txn, inner, NULL), KH_INVALID);
    lists(workspace, "ab", "ab");
    inner = mark(workspace); /* the same number again, later */
    put(workspace, "c", 3);
    go_back(workspace, inner);
    lists(workspace, "ab", "ab");
    uint32_t innermost = mark(workspace);
    put(workspace, "d", 4);
    go_back(workspace, outer);
    lists(workspace, "", "");
    kit_is(kh_txn_rollback_to(txn, innermost, NULL), KH_INVALID);
    put(workspace, "e", 5);
    ends(workspace, KH_OK);
    kit_load_is(db, "e", 5);
}

/* What the transaction itself writes is not listed, and undoing it takes nothing from the list. */
static void test_what_is_not_listed(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_txn *txn = kh_workspace_txn(workspace);
    kh_batch *value = kit_number(db, 7);
    kh_scan_options all = KH_SCAN_OPTIONS_INIT;
    put(workspace, "a", 1);
    uint32_t number = mark(workspace);
    kit_is(kh_txn_put(txn, kit_key("a"), value, NULL), KH_OK);
    kit_is(kh_txn_put(txn, kit_key("b"), value, NULL), KH_OK);
    kit_is(kh_txn_delete_range(txn, &all, NULL, NULL), KH_OK); /* has a savepoint of its own */
    lists(workspace, "a", "a");
    go_back(workspace, number);
    lists(workspace, "a", "a");
    put(workspace, "b", 2);
    lists(workspace, "ab", "ab");
    ends(workspace, KH_OK);
    kh_batch_release(value);
    kit_load_is(db, "a", 1);
    kit_load_is(db, "b", 2);
}

static void test_the_limit_counts_what_is_left(void **state) {
    (void)state;
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    options.operations_max = 6; /* more than the handle has room for */
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_OK);
    put(workspace, "a", 1);
    uint32_t number = mark(workspace);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5; i++) put(workspace, "b", i);
        kit_is(kh_workspace_delete(workspace, kit_key("c"), NULL), KH_TOO_BIG);
        lists(workspace, "abbbbb", "ab");
        go_back(workspace, number);
    }
    lists(workspace, "a", "a");
    ends(workspace, KH_OK);
}

/* ---- whose list ------------------------------------------------------------------------------ */

static void test_a_retry_has_a_list_of_its_own(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    put(workspace, "a", 1);
    uint32_t number = mark(workspace);
    put(workspace, "b", 1);
    kit_store(db, "a", 2);
    kit_is(commit(workspace), KH_CONFLICT);
    kit_is(kh_txn_rollback_to(kh_workspace_txn(workspace), number, NULL), KH_FINISHED);
    lists(workspace, "ab", "ab"); /* what was tried can be read until it is retried */
    kit_is(kh_workspace_retry(workspace, NULL), KH_OK);
    lists(workspace, "", "");
    kit_is(kh_txn_rollback_to(kh_workspace_txn(workspace), number, NULL), KH_INVALID);
    put(workspace, "c", 1);
    number = mark(workspace);
    put(workspace, "a", 1);
    put(workspace, "d", 1);
    go_back(workspace, number);
    lists(workspace, "c", "c");
    ends(workspace, KH_OK);
    kit_load_is(db, "a", 2);
}

/* The handle of a workspace's transaction is the next one's, and the workspace's is another's. */
static void test_handles_that_are_used_again(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_txn *below = kh_workspace_txn(workspace);
    kh_workspace_close(workspace);
    kh_txn *plain = kit_begin(db, KH_REPEATABLE_READ);
    assert_ptr_equal(plain, below);
    kh_workspace *other = begin(KH_SEMANTIC_KEYS);
    assert_ptr_equal(other, workspace);
    uint32_t number = 0;
    kit_is(kh_txn_savepoint(plain, &number, NULL), KH_OK);
    put(other, "a", 1);
    kit_is(kh_txn_rollback_to(plain, number, NULL), KH_OK);
    lists(other, "a", "a");
    kit_rollback(plain);
    ends(other, KH_OK);
}

/* What is undone is let go of at once, and room that was made is used again. */
static void test_going_back_costs_no_memory(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_batch *value = kit_number(db, 1);
    uint64_t before = 0;
    uint32_t number = mark(workspace);
    for (int round = 0; round < 400; round++) {
        for (int i = 0; i < 9; i++) {
            kh_batch *rows = kit_rows(db, "1=1/1 2=2/2 3=3/3 4=4/4 5=5/5 6=6/6 7=7/7 8=8/8");
            kit_is(kh_workspace_put(workspace, kit_key("k"), rows, NULL), KH_OK);
            kh_batch_release(rows);
        }
        kit_is(kh_workspace_put(workspace, kit_key("k"), value, NULL), KH_OK);
        go_back(workspace, number);
        kh_stats stats = {.size = sizeof stats};
        kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
        if (round == 20) before = stats.memory_bytes;
        if (round > 20) assert_true(stats.memory_bytes <= before + 65536);
    }
    lists(workspace, "", "");
    kh_batch_release(value);
    ends(workspace, KH_OK);
}

/* ---- what others see ------------------------------------------------------------------------- */

static bool note_count(void *context, const kh_workspace_entry *entry) {
    *(size_t *)context = entry->operation_count;
    return true;
}

static void test_others_see_what_is_left(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    size_t seen = 0;
    put(workspace, "a", 1);
    uint32_t number = mark(workspace);
    put(workspace, "b", 1);
    kit_is(kh_db_workspaces(db, note_count, &seen, NULL), KH_OK);
    assert_int_equal(seen, 2);
    go_back(workspace, number);
    kit_is(kh_db_find_workspace(db, kh_workspace_id(workspace), note_count, &seen, NULL), KH_OK);
    assert_int_equal(seen, 1);
    ends(workspace, KH_OK);
}

/* ---- what it means --------------------------------------------------------------------------- */

static void delta_has(const kh_workspace *workspace, const char *keys) {
    kh_delta *delta = NULL;
    kit_is(kh_workspace_delta(workspace, &delta), KH_OK);
    assert_int_equal(kh_delta_key_count(delta), strlen(keys));
    for (size_t i = 0; i < strlen(keys); i++)
        assert_int_equal(*(const char *)kh_delta_key(delta, i).data, keys[i]);
    kh_delta_release(delta);
}

/* Computed before: the keys are those of the commit, also of what is not listed. */
static void test_a_delta_that_was_computed(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_GUARD);
    kh_batch *value = kit_number(db, 7);
    put(workspace, "a", 1);
    uint32_t number = mark(workspace);
    put(workspace, "b", 1);
    means(workspace, 1, 0);
    kit_is(kh_workspace_compute_delta(workspace, NULL), KH_OK);
    go_back(workspace, number);
    delta_has(workspace, "ab"); /* as it was computed */
    lists(workspace, "a", "a");
    put(workspace, "c", 1);
    kit_is(kh_txn_put(kh_workspace_txn(workspace), kit_key("d"), value, NULL), KH_OK);
    kit_is(commit(workspace), KH_OK);
    delta_has(workspace, "acd");
    lists(workspace, "ac", "ac");
    kh_workspace_close(workspace);
    kh_batch_release(value);
}

/* All is undone: it writes nothing, and is not judged. */
static void test_nothing_is_left(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_GUARD);
    kh_workspace *rival = begin(KH_SEMANTIC_KEYS);
    uint32_t number = mark(workspace);
    put(workspace, "a", 1);
    means(workspace, 1, 0);
    means(rival, -1, 0);
    put(rival, "b", 1);
    ends(rival, KH_OK);
    go_back(workspace, number);
    kit_is(commit(workspace), KH_OK);
    delta_has(workspace, "");
    kh_workspace_close(workspace);
}

struct told {
    uint32_t number; /* of a savepoint */
    char keys[8];
};

static kh_status embed(void *context, kh_workspace *workspace, const kh_step *steps,
                       size_t step_count, float *before, float *after, uint32_t dimensions,
                       kh_error *error) {
    struct told *told = context;
    (void)before;
    (void)dimensions;
    /* It has the steps in its hands: they stay. */
    kit_is(kh_txn_rollback_to(kh_workspace_txn(workspace), told->number, error), KH_MISUSE);
    for (size_t i = 0; i < step_count; i++) {
        told->keys[i] = *(const char *)steps[i].key.data;
        after[0] += (float)kit_number_of(steps[i].value);
    }
    return KH_OK;
}

static void test_an_embed_function_sees_what_is_left(void **state) {
    (void)state;
    struct told told = {0, ""};
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    kh_delta *delta = NULL;
    float values[2];
    options.embed = embed;
    options.embed_context = &told;
    options.dimensions = 2;
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_OK);
    put(workspace, "a", 1);
    told.number = mark(workspace);
    put(workspace, "b", 10);
    go_back(workspace, told.number);
    put(workspace, "c", 100);
    kit_is(commit(workspace), KH_OK);
    assert_string_equal(told.keys, "ac");
    kit_is(kh_workspace_delta(workspace, &delta), KH_OK);
    kh_delta_values(delta, values);
    assert_true(values[0] == 101);
    kh_delta_release(delta);
    kh_workspace_close(workspace);
    kit_load_is(db, "c", 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_db, close_db)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_undone_operations_leave),
        TEST(test_released_savepoints_keep_them),
        TEST(test_what_is_not_listed),
        TEST(test_the_limit_counts_what_is_left),
        TEST(test_a_retry_has_a_list_of_its_own),
        TEST(test_handles_that_are_used_again),
        TEST(test_going_back_costs_no_memory),
        TEST(test_others_see_what_is_left),
        TEST(test_a_delta_that_was_computed),
        TEST(test_nothing_is_left),
        TEST(test_an_embed_function_sees_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
