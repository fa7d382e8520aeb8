/* workspace_memory_test.c - the n-th call of the allocator hook fails, for all n, while a workspace
 * is begun, works, looks at others, is refused, retried and committed: KH_NO_MEMORY, nothing
 * changed, nothing leaked (the hook counts), and what was tried works afterwards. */
#include "support/kit.h"

enum { DIMENSIONS = 3000, PUTS = 9 };

static struct kit_memory memory;

static kh_status embed(void *context, kh_workspace *workspace, const kh_step *steps,
                       size_t step_count, float *before, float *after, uint32_t dimensions,
                       kh_error *error) {
    (void)context;
    (void)workspace;
    (void)error;
    for (uint32_t i = 0; i < dimensions; i++) before[i] = after[i] = 0;
    for (size_t i = 0; i < step_count; i++) after[i] = (float)kit_number_of(steps[i].value);
    return KH_OK;
}

/* In memory that only the test has: what the library keeps it has copied. */
static kh_status begin(kh_db *db, bool has_embed, kh_workspace **out) {
    char tag[] = "work";
    char id_column[] = "id";
    kh_error error = {""};
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    options.mode = KH_SEMANTIC_MERGE;
    options.txn.tag = tag;
    options.txn.id_column = id_column;
    options.embed = has_embed ? embed : NULL;
    options.dimensions = has_embed ? DIMENSIONS : 0;
    kh_status status = kh_workspace_begin(db, &options, out, &error);
    assert_true((status == KH_OK) == (error.message[0] == '\0'));
    return status;
}

static kh_status write_keys(kh_workspace *workspace, const kh_batch *const *values) {
    kh_status status = KH_OK;
    uint32_t savepoint = 0;
    for (int i = 0; i < PUTS && status == KH_OK; i++) {
        char key[2] = {(char)('a' + i), '\0'};
        size_t count = kh_workspace_operation_count(workspace);
        status = kh_workspace_put(workspace, kit_key(key), values[i], NULL);
        assert_int_equal(kh_workspace_operation_count(workspace), count + (status == KH_OK));
        if (i == 6 && status == KH_OK)
            status = kh_txn_savepoint(kh_workspace_txn(workspace), &savepoint, NULL);
    }
    if (status == KH_OK) status = kh_txn_rollback_to(kh_workspace_txn(workspace), savepoint, NULL);
    return status;
}

static kh_status set_sides(kh_workspace *workspace) {
    static float before[DIMENSIONS];
    static float after[DIMENSIONS];
    for (int i = 0; i < 7; i++) after[i] = (float)i;
    kh_status status = kh_workspace_set_before(workspace, (kh_floats){before, DIMENSIONS}, NULL);
    if (status != KH_OK) return status;
    return kh_workspace_set_after(workspace, (kh_floats){after, DIMENSIONS}, NULL);
}

static bool count_entry(void *context, const kh_workspace_entry *entry) {
    (void)entry;
    ++*(int *)context;
    return true;
}

static kh_status look(kh_db *db, kh_workspace *workspace) {
    kh_candidate found[4];
    size_t count = 0;
    int seen = 0;
    kh_status status = kh_db_workspaces(db, count_entry, &seen, NULL);
    assert_true(status != KH_OK || seen == 1);
    if (status == KH_OK)
        status = kh_workspace_find_merge_candidates(workspace, 0.1f, 1000, found, 4, &count, NULL);
    if (status == KH_OK)
        status = kh_workspace_find_conflicts(workspace, 1000, found, 4, &count, NULL);
    return status;
}

static kh_status work(kh_db *db, kh_workspace *workspace, bool has_embed,
                      const kh_batch *const *values) {
    kh_status status = write_keys(workspace, values);
    if (status == KH_OK && !has_embed) status = set_sides(workspace);
    if (status == KH_OK) status = kh_workspace_compute_delta(workspace, NULL);
    if (status == KH_OK) status = look(db, workspace);
    return status;
}

/* Its calls of the allocator are none of those counted. */
static void store_without_failures(kh_db *db) {
    uint64_t fail_at = memory.fail_at;
    uint64_t calls = memory.calls;
    memory.fail_at = 0;
    kit_store(db, "a", 100);
    memory.fail_at = fail_at;
    memory.calls = calls;
}

/* It has one, of all keys that are left. */
static void has_delta(const kh_workspace *workspace) {
    kh_delta *delta = NULL;
    kit_is(kh_workspace_delta(workspace, &delta), KH_OK);
    assert_int_equal(kh_delta_key_count(delta), 7);
    kh_delta_release(delta);
}

/* A rival's put comes first, of a value without ids: refused, and done again. */
static kh_status play(kh_db *db, bool has_embed, kh_workspace **workspace,
                      const kh_batch *const *values) {
    kh_status status = begin(db, has_embed, workspace);
    if (status == KH_OK) status = work(db, *workspace, has_embed, values);
    if (status != KH_OK) return status;
    store_without_failures(db);
    has_delta(*workspace);
    status = kh_workspace_commit(*workspace, NULL, NULL);
    has_delta(*workspace); /* also where it has failed */
    if (status == KH_CONFLICT) status = kh_workspace_retry(*workspace, NULL);
    if (status == KH_OK) status = work(db, *workspace, has_embed, values);
    if (status == KH_OK) status = kh_workspace_commit(*workspace, NULL, NULL);
    if (status == KH_OK) has_delta(*workspace);
    return status;
}

/* Whether nothing has failed. */
static bool try(kh_db *db, bool has_embed, const kh_batch *const *values, uint64_t nth) {
    kh_workspace *workspace = NULL;
    memory.failures = 0;
    memory.fail_at = memory.calls + nth;
    kh_status status = play(db, has_embed, &workspace, values);
    memory.fail_at = 0;
    bool is_whole = memory.failures == 0;
    if (is_whole || status != KH_NO_MEMORY) kit_is(status, KH_OK); /* or it did without */
    int64_t stored = kit_load(db, "b");
    assert_int_equal(stored, status == KH_OK ? 1 : KIT_ABSENT);
    kh_workspace_close(workspace);
    return is_whole;
}

static void fails_everywhere(bool has_embed) {
    uint64_t nth = 0;
    bool is_whole = false;
    while (!is_whole) {
        kh_options options = kit_options();
        memset(&memory, 0, sizeof memory);
        options.allocator = kit_memory_hook(&memory);
        kh_db *db = kit_open_with(&options);
        const kh_batch *values[PUTS];
        for (int i = 0; i < PUTS; i++) values[i] = kit_number(db, i);
        is_whole = try(db, has_embed, values, ++nth);
        kh_workspace *workspace = NULL;
        kit_store(db, "b", KIT_ABSENT);
        kit_is(play(db, has_embed, &workspace, values), KH_OK); /* all is well */
        kh_workspace_close(workspace);
        kit_load_is(db, "b", 1);
        for (int i = 0; i < PUTS; i++) kh_batch_release((kh_batch *)values[i]);
        kit_close(db);
        assert_int_equal(memory.live_blocks, 0);
        assert_int_equal(memory.live_bytes, 0);
    }
    print_message("%llu allocations\n", (unsigned long long)nth - 1);
    assert_true(nth > 10);
}

static void test_sides_that_are_set(void **state) {
    (void)state;
    fails_everywhere(false);
}

static void test_an_embed_function(void **state) {
    (void)state;
    fails_everywhere(true);
}

/* The list of them needs memory of its own. */
static void test_many_keys(void **state) {
    enum { MANY = 4000 };
    (void)state;
    kh_options options = kit_options();
    kh_workspace *workspace = NULL;
    kh_delta *delta = NULL;
    memset(&memory, 0, sizeof memory);
    options.allocator = kit_memory_hook(&memory);
    kh_db *db = kit_open_with(&options);
    kh_batch *value = kit_number(db, 1);
    kit_is(begin(db, false, &workspace), KH_OK);
    for (int i = 0; i < MANY; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        kit_is(kh_txn_put(kh_workspace_txn(workspace), kit_key(key), value, NULL), KH_OK);
    }
    kit_is(set_sides(workspace), KH_OK);
    kh_status status = KH_NO_MEMORY;
    for (uint64_t nth = 1; status != KH_OK; nth++) {
        memory.fail_at = memory.calls + nth;
        status = kh_workspace_compute_delta(workspace, NULL);
        memory.fail_at = 0;
        assert_true(status == KH_NO_MEMORY || nth > 1);
        kit_is(kh_workspace_delta(workspace, &delta), status == KH_OK ? KH_OK : KH_NOT_FOUND);
    }
    assert_int_equal(kh_delta_key_count(delta), MANY);
    kh_delta_release(delta);
    kit_is(kh_workspace_commit(workspace, NULL, NULL), KH_OK);
    kh_workspace_close(workspace);
    kh_batch_release(value);
    kit_close(db);
    assert_int_equal(memory.live_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sides_that_are_set),
        cmocka_unit_test(test_an_embed_function),
        cmocka_unit_test(test_many_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
