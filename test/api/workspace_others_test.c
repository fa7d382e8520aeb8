/* Workspaces as others see them: lists, candidates for merges, conflicts, an order to merge in. */
#include "support/workspace_kit.h"

/* ---- what others see ------------------------------------------------------------------------- */

struct listed {
    size_t count;
    kh_txn_id ids[8];
    size_t deltas;
};

static bool list(void *context, const kh_workspace_entry *entry) {
    struct listed *listed = context;
    listed->ids[listed->count++] = entry->id;
    listed->deltas += entry->delta != NULL;
    return true;
}

static void test_listing(void **state) {
    (void)state;
    struct listed listed = {0};
    kh_workspace *workspaces[3];
    for (int i = 0; i < 3; i++) workspaces[i] = begin(KH_SEMANTIC_KEYS);
    means(workspaces[1], 1, 0);
    put(workspaces[1], "k", 1);
    kit_is(kh_workspace_compute_delta(workspaces[1], NULL), KH_OK);
    kit_is(kh_db_workspaces(db, list, &listed, NULL), KH_OK);
    assert_int_equal(listed.count, 3);
    assert_int_equal(listed.deltas, 1);
    assert_true(listed.ids[0].low < listed.ids[1].low && listed.ids[1].low < listed.ids[2].low);
    kh_txn_id id = kh_workspace_id(workspaces[1]);
    listed = (struct listed){0};
    kit_is(kh_db_find_workspace(db, id, list, &listed, NULL), KH_OK);
    assert_int_equal(listed.count, 1);
    kit_is(kh_db_remove_workspace(db, id, NULL), KH_OK);
    kit_is(commit(workspaces[1]), KH_CANCELLED);
    assert_int_equal(kh_workspace_cause(workspaces[1]), KH_CANCELLED);
    kit_is(kh_db_remove_workspace(db, id, NULL), KH_NOT_FOUND);
    for (int i = 0; i < 3; i++) kh_workspace_close(workspaces[i]);
    kit_is(kh_db_find_workspace(db, id, list, &listed, NULL), KH_NOT_FOUND);
}

struct in_order {
    size_t count;
    kh_txn_id last;
};

static bool is_next(void *context, const kh_workspace_entry *entry) {
    struct in_order *seen = context;
    assert_true(seen->count == 0 || entry->id.low > seen->last.low);
    seen->last = entry->id;
    seen->count++;
    return true;
}

/* Also where handles are used again, and when there are many. */
static void test_listing_many_in_order(void **state) {
    (void)state;
    enum { MANY = 64 };
    kh_workspace *workspaces[MANY];
    struct in_order seen = {0, {0, 0}};
    for (int i = 0; i < MANY; i++) workspaces[i] = begin(KH_SEMANTIC_KEYS);
    /* A handle of a transaction has ids of its own, a handle of a workspace a place: here the later
     * place gets the smaller id. */
    kh_workspace *places[2] = {workspaces[0], workspaces[1]};
    for (int i = 0; i < 2; i++) kh_workspace_close(workspaces[i]);
    workspaces[0] = begin(KH_SEMANTIC_KEYS);
    workspaces[1] = begin(KH_SEMANTIC_KEYS);
    assert_true(kh_workspace_id(places[0]).low > kh_workspace_id(places[1]).low);
    kit_is(kh_db_workspaces(db, is_next, &seen, NULL), KH_OK);
    assert_int_equal(seen.count, MANY);
    for (int i = 0; i < MANY; i++) kh_workspace_close(workspaces[i]);
}

static void test_candidates(void **state) {
    (void)state;
    static const float directions[5][2] = {{0.05f, 1}, {0, 1}, {1, 0}, {-1, 0}, {0.6f, 0.8f}};
    kh_workspace *others[5];
    kh_workspace *mine = begin(KH_SEMANTIC_GUARD);
    kh_candidate found[8];
    size_t count = 0;
    kit_is(kh_workspace_find_merge_candidates(mine, 0.1f, 60000, found, 8, &count, NULL),
           KH_NOT_FOUND);
    put(mine, "k", 1);
    means(mine, 1, 0);
    kit_is(kh_workspace_compute_delta(mine, NULL), KH_OK);
    for (int i = 0; i < 5; i++) {
        others[i] = begin(KH_SEMANTIC_KEYS);
        put(others[i], i == 1 ? "k" : "other", i);
        means(others[i], directions[i][0], directions[i][1]);
        kit_is(kh_workspace_compute_delta(others[i], NULL), KH_OK);
    }
    kit_is(kh_workspace_find_merge_candidates(mine, 0.1f, 60000, found, 8, &count, NULL), KH_OK);
    assert_int_equal(count, 2);
    assert_int_equal(found[0].id.low, kh_workspace_id(others[1]).low);
    assert_int_equal(found[0].shared_keys, 1);
    assert_int_equal(found[1].id.low, kh_workspace_id(others[0]).low);
    kit_is(kh_workspace_find_conflicts(mine, 60000, found, 8, &count, NULL), KH_OK);
    assert_int_equal(count, 2);
    kit_is(commit(others[3]), KH_OK);
    kit_is(kh_workspace_find_conflicts(mine, 60000, found, 1, &count, NULL), KH_OK);
    assert_int_equal(count, 2); /* committed, but not visible to it */
    kit_is(kh_workspace_find_conflicts(mine, 0, found, 8, &count, NULL), KH_OK);
    assert_int_equal(count, 1); /* the open one */
    kit_is(commit(mine), KH_SEMANTIC_CONFLICT);
    for (int i = 0; i < 5; i++) kh_workspace_close(others[i]);
    kh_workspace_close(mine);
}

/* The newest commit is visible to whoever begins next: it was accepted. */
static void test_what_was_accepted(void **state) {
    (void)state;
    kh_candidate found[2];
    size_t count = 0;
    kh_workspace *before = begin(KH_SEMANTIC_KEYS);
    kh_workspace *rival = begin(KH_SEMANTIC_KEYS);
    put(rival, "r", 1);
    means(rival, -1, 0);
    kit_is(commit(rival), KH_OK);
    kh_workspace_close(rival);
    kh_workspace *after = begin(KH_SEMANTIC_KEYS);
    means(before, 1, 0);
    means(after, 1, 0);
    kit_is(kh_workspace_compute_delta(before, NULL), KH_OK);
    kit_is(kh_workspace_find_conflicts(before, 60000, found, 2, &count, NULL), KH_OK);
    assert_int_equal(count, 1);
    kh_workspace_close(before);
    kit_is(kh_workspace_compute_delta(after, NULL), KH_OK);
    kit_is(kh_workspace_find_conflicts(after, 60000, found, 2, &count, NULL), KH_OK);
    assert_int_equal(count, 0);
    kh_workspace_close(after);
}

static kh_stats stats_of(void) {
    kh_stats stats = {.size = sizeof stats};
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    return stats;
}

static void test_statistics(void **state) {
    (void)state;
    kh_workspace *first = begin(KH_SEMANTIC_KEYS);
    kh_workspace *second = begin(KH_SEMANTIC_GUARD);
    put(first, "a", 1);
    means(first, 1, 0);
    put(second, "b", 1);
    means(second, -1, 0);
    kit_is(commit(first), KH_OK);
    kit_is(commit(second), KH_SEMANTIC_CONFLICT);
    kh_stats stats = stats_of();
    assert_int_equal(stats.workspaces, 2);
    assert_int_equal(stats.aborts_semantic, 1);
    assert_int_equal(stats.semantic_remembered, 1);
    assert_int_equal(stats.semantic_compared, 1);
    assert_true(stats.semantic_bytes > 0);
    kh_workspace_close(first);
    kh_workspace_close(second);
    assert_int_equal(stats_of().workspaces, 0);
}

static void test_an_order_to_merge_in(void **state) {
    (void)state;
    static const float directions[4][2] = {{1, 0}, {0.9f, 0.1f}, {0, 1}, {0.7f, 0.7f}};
    kh_delta *deltas[4];
    size_t order[4];
    for (int i = 0; i < 4; i++)
        kit_is(kh_delta_build(db, (kh_floats){directions[i], 2}, NULL, &deltas[i], NULL), KH_OK);
    kit_is(kh_delta_merge_order((const kh_delta *const *)deltas, 4, order, NULL), KH_OK);
    assert_int_equal(order[0], 2);
    assert_int_equal(order[1], 0);
    kit_is(kh_delta_merge_order(NULL, 0, order, NULL), KH_OK);
    for (int i = 0; i < 4; i++) kh_delta_release(deltas[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_db, close_db)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_listing),    TEST(test_listing_many_in_order),
        TEST(test_candidates), TEST(test_what_was_accepted),
        TEST(test_statistics), TEST(test_an_order_to_merge_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
