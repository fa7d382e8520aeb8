/* What of a workspace may be merged and what not, and calls at the wrong time. */
#include "support/workspace_kit.h"

static kh_workspace *begin_merge(kh_isolation isolation, float x, float y) {
    kh_workspace *workspace = begin_with(KH_SEMANTIC_MERGE, isolation);
    means(workspace, x, y);
    return workspace;
}

static void store_rows(const char *key, const char *rows) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *value = kit_rows(db, rows);
    kit_is(kh_txn_put(txn, kit_key(key), value, NULL), KH_OK);
    kit_commit_ok(txn);
    kh_batch_release(value);
}

static void rows_are(const char *key, const char *expected) {
    char text[KIT_TEXT_BYTES];
    kh_batch *value = NULL;
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(kh_txn_get(txn, kit_key(key), &value, NULL), KH_OK);
    kit_text(value, text);
    assert_string_equal(text, expected);
    kh_batch_release(value);
    kit_rollback(txn);
}

static void read_key(kh_workspace *workspace, const char *key) {
    kh_batch *value = NULL;
    kh_status status = kh_workspace_get(workspace, kit_key(key), &value, NULL);
    assert_true(status == KH_OK || status == KH_NOT_FOUND);
    if (status == KH_OK) kh_batch_release(value);
}

static void ends(kh_workspace *workspace, kh_status expected) {
    kit_is(commit(workspace), expected);
    kh_workspace_close(workspace);
}

/* ---- what is merged ---------------------------------------------------------------------------
 */

/* At read committed the snapshot moves with each statement; the rival is one of what was read. */
static void test_a_stranger_at_read_committed(void **state) {
    (void)state;
    store_rows("t", "1=1/1 2=2/2");
    store_rows("other", "1=1/1");
    kh_workspace *workspace = begin_merge(KH_READ_COMMITTED, 1, 0);
    read_key(workspace, "t");
    store_rows("t", "1=1/1 2=2/9");
    read_key(workspace, "other");
    put_rows(workspace, "t", "1=7/1 2=2/2");
    ends(workspace, KH_CONFLICT);
    rows_are("t", "1=1/1 2=2/9");
}

static void test_row_operations_are_not_merged(void **state) {
    (void)state;
    store_rows("t", "1=1/1 2=2/2");
    kh_workspace *first = begin_merge(KH_REPEATABLE_READ, 1, 0);
    kh_workspace *second = begin_merge(KH_REPEATABLE_READ, 0, 1);
    kh_batch *rows = kit_rows(db, "1=5/1");
    kh_workspace *both[2] = {first, second};
    for (int i = 0; i < 2; i++) {
        read_key(both[i], "t");
        kit_is(kh_txn_update_rows(kh_workspace_txn(both[i]), kit_key("t"), rows, NULL), KH_OK);
    }
    ends(first, KH_OK);
    ends(second, KH_CONFLICT);
    kh_workspace *blind = begin_merge(KH_REPEATABLE_READ, 1, 0);
    kit_is(kh_txn_update_rows(kh_workspace_txn(blind), kit_key("t"), rows, NULL), KH_OK);
    store_rows("t", "1=1/1 2=2/9");
    ends(blind, KH_OK);
    rows_are("t", "1=5/1 2=2/9");
    kh_batch_release(rows);
}

static void test_what_was_compared_is_not_merged(void **state) {
    (void)state;
    store_rows("t", "1=5/1");
    kh_batch *five = kit_rows(db, "1=5/1");
    kh_batch *six = kit_rows(db, "1=6/1");
    kh_workspace *both[2] = {begin_merge(KH_REPEATABLE_READ, 1, 0),
                             begin_merge(KH_REPEATABLE_READ, 0, 1)};
    for (int i = 0; i < 2; i++)
        kit_is(kh_workspace_compare_and_swap(both[i], kit_key("t"), five, six, NULL), KH_OK);
    ends(both[0], KH_OK);
    ends(both[1], KH_CONFLICT);
    for (int i = 0; i < 2; i++) both[i] = begin_merge(KH_REPEATABLE_READ, i == 0, i == 1);
    for (int i = 0; i < 2; i++)
        kit_is(kh_workspace_update(both[i], kit_key("t"), five, NULL), KH_OK);
    ends(both[0], KH_OK);
    ends(both[1], KH_CONFLICT);
    kh_batch_release(five);
    kh_batch_release(six);
}

/* A conflict like any other: whoever tries again may succeed. */
static void test_values_without_ids(void **state) {
    (void)state;
    kit_store(db, "n", 1);
    kh_workspace *first = begin_merge(KH_REPEATABLE_READ, 1, 0);
    kh_workspace *second = begin_merge(KH_REPEATABLE_READ, 0, 1);
    put(first, "n", 2);
    put(second, "n", 3);
    ends(first, KH_OK);
    ends(second, KH_CONFLICT);
    first = begin_merge(KH_REPEATABLE_READ, 1, 0);
    second = begin_merge(KH_REPEATABLE_READ, 0, 1);
    put(first, "n", 2);
    put_rows(second, "n", "1=1/1");
    ends(first, KH_OK);
    ends(second, KH_CONFLICT);
}

static void test_a_named_policy_comes_first(void **state) {
    (void)state;
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    options.mode = KH_SEMANTIC_MERGE;
    options.txn.policy = KH_REPLACE;
    store_rows("t", "1=1/1 2=2/2");
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_OK);
    means(workspace, 1, 0);
    put_rows(workspace, "t", "1=7/1 2=2/2");
    store_rows("t", "1=1/1 2=2/9");
    ends(workspace, KH_OK);
    rows_are("t", "1=7/1 2=2/2");
}

/* Of two rivals the older one is the one that it may not be merged with, and is named. */
static void test_the_rival_that_is_named(void **state) {
    (void)state;
    static const float sides[2][2] = {{0.95f, 0.312f}, {0, 1}};
    kh_timestamp commits[2];
    kh_conflict conflict = {.size = sizeof conflict};
    store_rows("t", "1=1/1 2=2/2");
    kh_workspace *late = begin_merge(KH_REPEATABLE_READ, 1, 0);
    put_rows(late, "t", "1=7/1 2=2/2");
    for (int i = 0; i < 2; i++) {
        kh_workspace *rival = begin_merge(KH_REPEATABLE_READ, sides[i][0], sides[i][1]);
        put_rows(rival, "t", i == 0 ? "1=1/1 2=2/8" : "1=1/1 2=2/9");
        kit_is(kh_workspace_commit(rival, &commits[i], NULL), KH_OK);
        kh_workspace_close(rival);
    }
    kit_is(commit(late), KH_CONFLICT);
    kit_is(kh_txn_conflict(kh_workspace_txn(late), &conflict), KH_OK);
    assert_int_equal(conflict.rival, commits[0]);
    kh_workspace_close(late);
}

/* ---- embedding --------------------------------------------------------------------------------
 */

static void test_embed_wants_vectors(void **state) {
    (void)state;
    store_rows("t", "1=1/1");
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_batch *rows = kit_rows(db, "1=5/1");
    kit_is(kh_workspace_embed(workspace, kit_key("t"), rows, NULL), KH_INVALID_DATA);
    kit_is(kh_workspace_embed(workspace, kit_key("t"), NULL, NULL), KH_INVALID);
    assert_int_equal(kh_workspace_operation_count(workspace), 0);
    ends(workspace, KH_OK);
    kh_batch_release(rows);
}

static kh_status meddle(void *context, kh_workspace *workspace, const kh_step *steps,
                        size_t step_count, float *before, float *after, uint32_t dimensions,
                        kh_error *error) {
    (void)steps;
    (void)step_count;
    (void)before;
    (void)dimensions;
    kh_batch *value = kit_number(db, 9);
    kit_is(commit(workspace), KH_MISUSE);
    kit_is(kh_workspace_prepare(workspace, NULL), KH_MISUSE);
    kit_is(kh_workspace_rollback(workspace), KH_MISUSE);
    kit_is(kh_workspace_retry(workspace, NULL), KH_MISUSE);
    kit_is(kh_workspace_compute_delta(workspace, NULL), KH_MISUSE);
    kit_is(kh_workspace_put(workspace, kit_key("k"), value, NULL), KH_MISUSE);
    kh_batch_release(value);
    after[0] = 1;
    kh_status wanted = *(kh_status *)context;
    if (wanted == KH_OK) return KH_OK;
    kit_is(kh_db_remove_workspace(db, kh_workspace_id(workspace), error), KH_OK);
    kh_batch *seen = NULL;
    kit_is(kh_workspace_get(workspace, kit_key("k"), &seen, error), KH_CANCELLED);
    return wanted == KH_END ? KH_OK : KH_CANCELLED; /* said, or kept back */
}

static void test_an_embed_function_that_meddles(void **state) {
    (void)state;
    static const kh_status wishes[] = {KH_OK, KH_END, KH_CANCELLED};
    for (int i = 0; i < 3; i++) {
        kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
        kh_workspace *workspace = NULL;
        kh_status wish = wishes[i];
        options.embed = meddle;
        options.embed_context = &wish;
        options.dimensions = 2;
        kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_OK);
        put(workspace, "k", i);
        kit_is(commit(workspace), wish == KH_OK ? KH_OK : KH_CANCELLED);
        assert_int_equal(kh_workspace_state_of(workspace),
                         wish == KH_OK ? KH_WORKSPACE_COMMITTED : KH_WORKSPACE_FAILED);
        kh_workspace_close(workspace);
    }
    kit_load_is(db, "k", 0);
}

/* ---- states -----------------------------------------------------------------------------------
 */

static void test_a_decision_that_is_long_ago(void **state) {
    (void)state;
    kh_options options = kit_options();
    options.limits.outcomes = 2;
    kit_close(db);
    db = kit_open_with(&options);
    for (int way = 0; way < 4; way++) {
        bool is_kept = way % 2 == 0;
        kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
        put(workspace, "k", way);
        kit_is(kh_workspace_prepare(workspace, NULL), KH_OK);
        kh_txn_id id = kh_txn_get_id(kh_workspace_txn(workspace));
        kit_is(kh_db_decide(db, id, is_kept, NULL, NULL), KH_OK);
        for (int i = 0; i < 20; i++) kit_store(db, "other", i);
        if (way < 2) kit_is(commit(workspace), is_kept ? KH_OK : KH_FINISHED);
        if (way >= 2) kit_is(kh_workspace_rollback(workspace), is_kept ? KH_FINISHED : KH_OK);
        assert_int_equal(kh_workspace_state_of(workspace),
                         is_kept ? KH_WORKSPACE_COMMITTED : KH_WORKSPACE_ROLLED_BACK);
        kh_workspace_close(workspace);
    }
}

static void test_retries_cost_no_memory(void **state) {
    (void)state;
    static float values[384];
    uint64_t after_first = 0;
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    options.txn.tag = "kept over retries";
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_OK);
    for (int i = 0; i < 200; i++) {
        kit_is(kh_workspace_set_before(workspace, (kh_floats){values, 384}, NULL), KH_OK);
        for (int k = 0; k < 9; k++) put(workspace, "k", k);
        kit_is(kh_db_remove_workspace(db, kh_workspace_id(workspace), NULL), KH_OK);
        kit_is(kh_workspace_retry(workspace, NULL), KH_OK); /* no call has met it: it is seen */
        kh_stats stats = {.size = sizeof stats};
        kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
        if (i == 20) after_first = stats.memory_bytes;
        if (i > 20) assert_true(stats.memory_bytes <= after_first + 65536);
    }
    kh_workspace_close(workspace);
}

static void test_a_key_that_the_transaction_wrote(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_batch *value = kit_number(db, 1);
    kh_bytes keys[4];
    kit_is(kh_txn_put(kh_workspace_txn(workspace), kit_key("a"), value, NULL), KH_OK);
    put(workspace, "a", 2);
    put(workspace, "b", 2);
    put(workspace, "a", 3);
    assert_int_equal(kh_workspace_affected_keys(workspace, keys, 4), 2);
    assert_true(kit_bytes_equal(keys[0], kit_key("a")) && kit_bytes_equal(keys[1], kit_key("b")));
    ends(workspace, KH_OK);
    kh_batch_release(value);
}

/* Who has written the key since, nobody can say any more: so many came after him. */
static void test_a_rival_long_ago(void **state) {
    (void)state;
    enum { FLOOD = 20000 }; /* the ring of recent writes has 16,384 */
    for (int is_flooded = 0; is_flooded < 2; is_flooded++) {
        char key[32];
        store_rows("t", "1=1/1 2=2/2");
        kh_workspace *late = begin_merge(KH_REPEATABLE_READ, 1, 0);
        kh_workspace *rival = begin_merge(KH_REPEATABLE_READ, 0, 1);
        put_rows(late, "t", "1=7/1 2=2/2");
        put_rows(rival, "t", "1=1/1 2=2/9");
        ends(rival, KH_OK);
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        for (int i = 0; i < FLOOD && is_flooded == 1; i++) {
            (void)snprintf(key, sizeof key, "flood/%d", i);
            kit_put(txn, key, i);
        }
        kit_commit_ok(txn);
        ends(late, is_flooded == 1 ? KH_CONFLICT : KH_OK);
    }
}

static void write_many(int count) {
    enum { AT_ONCE = 1000 };
    char key[32];
    for (int done = 0; done < count; done += AT_ONCE) {
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        for (int i = done; i < count && i < done + AT_ONCE; i++) {
            (void)snprintf(key, sizeof key, "flood/%d", i);
            kit_put(txn, key, i);
        }
        kit_commit_ok(txn);
    }
}

/* The ring of recent writes when one place is left, when it is just full, and with one more. */
static void test_a_rival_in_a_full_ring(void **state) {
    (void)state;
    enum { RING = 16384 };
    for (int size = RING - 1; size <= RING + 1; size++) {
        kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
        kh_workspace *late = NULL;
        options.mode = KH_SEMANTIC_MERGE;
        options.txn.timeout_ms = 600000;
        kit_close(db);
        db = kit_open();
        store_rows("t", "1=1/1 2=2/2");
        kit_is(kh_workspace_begin(db, &options, &late, NULL), KH_OK);
        means(late, 1, 0);
        put_rows(late, "t", "1=7/1 2=2/2");
        store_rows("t", "1=1/1 2=2/9"); /* says nothing */
        write_many(size - 2);
        ends(late, KH_CONFLICT);
    }
}

/* ---- between the search and the section -------------------------------------------------------
 */

/* Called while the commit stages its values: its search is over, its section has not begun. */
static kh_resolution contradict(void *context, kh_bytes key, const kh_batch *base,
                                const kh_batch *mine, const kh_batch *theirs, kh_batch **out) {
    kh_workspace *other = begin(KH_SEMANTIC_KEYS);
    (void)context, (void)key, (void)base, (void)theirs;
    put(other, "elsewhere", 1);
    means(other, -1, 0);
    ends(other, KH_OK);
    *out = kh_batch_retain(mine);
    return KH_RESOLVE_WRITE;
}

static void test_a_contradiction_in_between(void **state) {
    (void)state;
    for (int guarded = 0; guarded < 2; guarded++) {
        kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
        kh_workspace *workspace;
        options.mode = guarded == 1 ? KH_SEMANTIC_GUARD : KH_SEMANTIC_KEYS;
        options.txn.policy = KH_CALLBACK;
        options.txn.resolve = contradict;
        kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_OK);
        put(workspace, "k", 1);
        means(workspace, 1, 0);
        kit_store(db, "k", 2);
        ends(workspace, guarded == 1 ? KH_SEMANTIC_CONFLICT : KH_OK);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_db, close_db)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_stranger_at_read_committed),    TEST(test_row_operations_are_not_merged),
        TEST(test_what_was_compared_is_not_merged), TEST(test_values_without_ids),
        TEST(test_a_named_policy_comes_first),      TEST(test_embed_wants_vectors),
        TEST(test_an_embed_function_that_meddles),  TEST(test_a_decision_that_is_long_ago),
        TEST(test_retries_cost_no_memory),          TEST(test_a_key_that_the_transaction_wrote),
        TEST(test_a_contradiction_in_between),      TEST(test_a_rival_long_ago),
        TEST(test_a_rival_in_a_full_ring),          TEST(test_the_rival_that_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
