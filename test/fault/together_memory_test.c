/* Workspaces that commit together when any one allocation fails: nothing of any was applied, nobody
 * but the culprit has failed, the others can be committed, and nothing leaks. */
#include "support/held_log.h"

enum { COUNT = 5 };

struct scene {
    kh_db *db;
    kh_workspace *all[COUNT];
};

static void rows_put(kh_db *db, kh_txn *txn, const char *key, const char *text) {
    kh_batch *batch = kit_rows(db, text);
    kit_is(kh_txn_put(txn, kit_key(key), batch, NULL), KH_OK);
    kh_batch_release(batch);
}

static void store(kh_db *db, const char *key, const char *text) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    rows_put(db, txn, key, text);
    kit_commit_ok(txn);
}

static void put(kh_db *db, kh_workspace *workspace, const char *key, const char *text) {
    kh_batch *batch = kit_rows(db, text);
    kit_is(kh_workspace_put(workspace, kit_key(key), batch, NULL), KH_OK);
    kh_batch_release(batch);
}

static void means(kh_workspace *workspace, float x, float y) {
    const float zero[2] = {0, 0};
    const float values[2] = {x, y};
    kit_is(kh_workspace_set_before(workspace, (kh_floats){zero, 2}, NULL), KH_OK);
    kit_is(kh_workspace_set_after(workspace, (kh_floats){values, 2}, NULL), KH_OK);
}

static void set_scene(struct scene *scene, const kh_options *options) {
    static const kh_isolation levels[COUNT] = {KH_REPEATABLE_READ, KH_SERIALIZABLE, KH_SERIALIZABLE,
                                               KH_READ_COMMITTED, KH_REPEATABLE_READ};
    scene->db = kit_open_with(options);
    kh_db *db = scene->db;
    store(db, "t", "1=10/100 2=20/200");
    store(db, "u", "1=10/100 2=20/200");
    for (int i = 0; i < COUNT; i++) {
        kh_workspace_options begin = KH_WORKSPACE_OPTIONS_INIT;
        begin.mode = i < 2 ? KH_SEMANTIC_MERGE : KH_SEMANTIC_GUARD;
        begin.txn.isolation = levels[i];
        begin.txn.timeout_ms = 600000;
        kit_is(kh_workspace_begin(db, &begin, &scene->all[i], NULL), KH_OK);
    }
    /* A rival of the first one: it is merged. */
    kh_workspace *rival;
    kit_is(kh_workspace_begin(db, NULL, &rival, NULL), KH_OK);
    means(rival, -1, 0.4f);
    put(db, rival, "t", "1=10/111 2=20/200");
    kit_is(kh_workspace_commit(rival, NULL, NULL), KH_OK);
    kh_workspace_close(rival);
    means(scene->all[0], 0.2f, 1);
    put(db, scene->all[0], "t", "1=11/100 2=20/200");
    means(scene->all[1], 1, 0.1f);
    put(db, scene->all[1], "u", "1=10/100 2=22/200");
    kh_scan_options range = kit_range("a", "s", 0, 0);
    kit_scan_is(kh_workspace_txn(scene->all[2]), &range, "");
    kit_get_is(kh_workspace_txn(scene->all[2]), "v", KIT_ABSENT);
    for (int i = 2; i < 4; i++) {
        kh_batch *batch = kit_rows(db, i == 2 ? "3=30/300" : "4=40/400");
        kit_is(kh_txn_insert_rows(kh_workspace_txn(scene->all[i]), kit_key("u"), batch, NULL),
               KH_OK);
        kh_batch_release(batch);
    }
    for (int i = 0; i < 30; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "x%d", i);
        put(db, scene->all[4], key, "1=1/1");
    }
}

/* What is kept does not depend on what has failed. */
static void record_is_whole(const struct held_log *held) {
    static size_t expected;
    size_t found = held->records[held->record_count - 1].size_bytes;
    if (expected == 0) expected = found; /* of the first one, for which nothing fails */
    assert_int_equal(found, expected);
}

static bool run(bool has_log, uint64_t fail_at, bool *was_failed) {
    struct kit_memory memory = {0};
    struct scene scene;
    struct held_log held;
    kh_options options = kit_options();
    held_log_init(&held, HELD_AT_ONCE);
    if (has_log) options.log = &held.log;
    options.allocator = kit_memory_hook(&memory);
    set_scene(&scene, &options);
    kh_timestamp before = kh_db_now(scene.db);
    size_t culprit = 99;
    memory.failures = 0;
    memory.fail_at = memory.calls + fail_at;
    kh_status status = kh_workspace_commit_together(scene.all, COUNT, NULL, &culprit, NULL);
    memory.fail_at = 0;
    *was_failed = memory.failures > 0;
    if (has_log && status == KH_OK) record_is_whole(&held);
    if (status != KH_OK) {
        kit_is(status, KH_NO_MEMORY);
        assert_int_equal(kh_db_now(scene.db), before);
        for (size_t i = 0; i < COUNT; i++) {
            bool is_it = i == culprit;
            assert_int_equal(kh_workspace_state_of(scene.all[i]),
                             is_it ? KH_WORKSPACE_FAILED : KH_WORKSPACE_ACTIVE);
        }
        kh_workspace *rest[COUNT];
        size_t count = 0;
        for (size_t i = 0; i < COUNT; i++)
            if (i != culprit) rest[count++] = scene.all[i];
        kit_is(kh_workspace_commit_together(rest, count, NULL, &culprit, NULL), KH_OK);
    }
    for (size_t i = 0; i < COUNT; i++) kh_workspace_close(scene.all[i]);
    kit_close(scene.db);
    assert_int_equal(memory.live_blocks, 0);
    held_log_fini(&held);
    return status == KH_OK;
}

static void fail_everywhere(bool has_log) {
    int refused = 0;
    bool was_failed;
    assert_true(run(has_log, UINT64_MAX / 2, &was_failed));
    for (uint64_t fail_at = 1;; fail_at++) {
        bool is_ok = run(has_log, fail_at, &was_failed);
        refused += !is_ok;
        if (!was_failed) break;
        if (fail_at > 2000) fail();
    }
    print_message("refused %d\n", refused);
    assert_true(refused > 3);
}

static void test_every_allocation(void **state) {
    (void)state;
    fail_everywhere(false);
    fail_everywhere(true); /* with a record to be made */
}

/* The call alone: false, an allocation of it has failed. */
static bool commit_with(struct kit_memory *memory, kh_workspace **all, size_t count,
                        uint64_t fail_at, kh_status expected) {
    size_t culprit = 99;
    memory->failures = 0;
    memory->fail_at = memory->calls + fail_at;
    kh_status status = kh_workspace_commit_together(all, count, NULL, &culprit, NULL);
    memory->fail_at = 0;
    assert_true(status == expected || (status == KH_NO_MEMORY && memory->failures > 0));
    return memory->failures == 0;
}

/* A key that needs memory of its own to be told. */
static bool run_conflict(uint64_t fail_at) {
    enum { KEY_BYTES = 60000 };
    static char name[KEY_BYTES];
    struct kit_memory memory = {0};
    kh_options options = kit_options();
    options.allocator = kit_memory_hook(&memory);
    kh_db *db = kit_open_with(&options);
    kh_workspace *all[2];
    kh_batch *value = kit_number(db, 1);
    for (int i = 0; i < 2; i++) {
        kit_is(kh_workspace_begin(db, NULL, &all[i], NULL), KH_OK);
        kit_is(kh_workspace_put(all[i], (kh_bytes){name, KEY_BYTES}, value, NULL), KH_OK);
    }
    kh_batch_release(value);
    bool is_over = commit_with(&memory, all, 2, fail_at, KH_CONFLICT);
    if (kh_workspace_cause(all[1]) == KH_CONFLICT) {
        kh_conflict conflict = {.size = sizeof conflict};
        kit_is(kh_txn_conflict(kh_workspace_txn(all[1]), &conflict), KH_OK);
        size_t told = conflict.key.size_bytes;
        assert_true(told == KEY_BYTES || (told == 0 && !is_over));
    }
    for (int i = 0; i < 2; i++) kh_workspace_close(all[i]);
    kit_close(db);
    assert_int_equal(memory.live_blocks, 0);
    return is_over;
}

static void test_a_conflict_that_is_not_told(void **state) {
    (void)state;
    for (uint64_t fail_at = 1; !run_conflict(fail_at); fail_at++) assert_true(fail_at < 100);
}

/* Whose rows do not fit is found out by applying them, and nothing of that stays. */
static void test_rows_that_do_not_fit(void **state) {
    (void)state;
    struct kit_memory memory = {0};
    kh_options options = kit_options();
    options.allocator = kit_memory_hook(&memory);
    kh_db *db = kit_open_with(&options);
    kh_workspace *all[3];
    store(db, "t", "1=10/100");
    for (int i = 0; i < 3; i++) {
        kh_batch *rows = kit_rows(db, i == 1 ? "1=11/100" : "2=20/200");
        kit_is(kh_workspace_begin(db, NULL, &all[i], NULL), KH_OK);
        kh_txn *txn = kh_workspace_txn(all[i]);
        kit_is(i == 1 ? kh_txn_insert_rows(txn, kit_key("t"), rows, NULL)
                      : kh_txn_upsert_rows(txn, kit_key("t"), rows, NULL),
               KH_OK);
        kh_batch_release(rows);
    }
    assert_true(commit_with(&memory, all, 3, UINT64_MAX / 2, KH_ROW_EXISTS));
    for (int i = 0; i < 3; i++) kh_workspace_close(all[i]);
    kit_close(db);
    assert_int_equal(memory.live_blocks, 0);
}

static void begin_and_put(kh_db *db, size_t number, kh_workspace **out) {
    char key[32];
    (void)snprintf(key, sizeof key, "k%zu", number);
    kh_batch *value = kit_number(db, 1);
    kit_is(kh_workspace_begin(db, NULL, out, NULL), KH_OK);
    kit_is(kh_workspace_put(*out, kit_key(key), value, NULL), KH_OK);
    means(*out, 1, 0);
    kit_is(kh_workspace_compute_delta(*out, NULL), KH_OK);
    kh_batch_release(value);
}

/* So many that each list of them needs memory, whichever of them comes last. */
static void test_many(void **state) {
    (void)state;
    enum { MANY = 100, STEP = 3 };
    static kh_workspace *all[MANY];
    struct kit_memory memory = {0};
    struct held_log held;
    kh_options options = kit_options();
    held_log_init(&held, HELD_AT_ONCE);
    options.log = &held.log;
    options.allocator = kit_memory_hook(&memory);
    kh_db *db = kit_open_with(&options);
    for (size_t count = MANY; count > 1; count -= count < STEP ? 1 : STEP) {
        bool is_over = false;
        for (uint64_t fail_at = 1; !is_over; fail_at++) {
            for (size_t i = 0; i < count; i++) begin_and_put(db, i, &all[i]);
            is_over = commit_with(&memory, all, count, fail_at, KH_OK);
            for (size_t i = 0; i < count; i++) kh_workspace_close(all[i]);
        }
    }
    kit_close(db);
    held_log_fini(&held);
    assert_int_equal(memory.live_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation), cmocka_unit_test(test_a_conflict_that_is_not_told),
        cmocka_unit_test(test_rows_that_do_not_fit), cmocka_unit_test(test_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
