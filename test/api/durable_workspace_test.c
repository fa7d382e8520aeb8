/* A prepared workspace over a restart: what it means is held still, by what the log has of it. */
#include "support/directory.h"
#include "support/kit.h"

static struct directory directory;

static kh_db *open_path(void) {
    kh_options options = KH_OPTIONS_INIT;
    options.path = directory.path;
    return kit_open_with(&options);
}

static kh_workspace *begin(kh_db *db, kh_semantic_mode mode, const char *key, float x, float y) {
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    const float zero[2] = {0, 0};
    const float values[2] = {x, y};
    kh_batch *value = kit_number(db, 1);
    options.mode = mode;
    options.thresholds.conflicting = 0.6f; /* recorded, too */
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_OK);
    kit_is(kh_workspace_put(workspace, kit_key(key), value, NULL), KH_OK);
    kit_is(kh_workspace_set_before(workspace, (kh_floats){zero, 2}, NULL), KH_OK);
    kit_is(kh_workspace_set_after(workspace, (kh_floats){values, 2}, NULL), KH_OK);
    kh_batch_release(value);
    return workspace;
}

static void ends(kh_workspace *workspace, kh_status expected) {
    kit_is(kh_workspace_commit(workspace, NULL, NULL), expected);
    kh_workspace_close(workspace);
}

static void test_a_prepared_one(void **state) {
    (void)state;
    directory_make(&directory);
    kh_db *db = open_path();
    kh_workspace *prepared = begin(db, KH_SEMANTIC_GUARD, "a", 1, 0);
    kit_is(kh_workspace_prepare(prepared, NULL), KH_OK);
    kh_txn_id id = kh_workspace_id(prepared);
    kh_workspace_close(prepared);
    for (int round = 0; round < 2; round++) {
        kit_close(db);
        db = open_path();
        ends(begin(db, KH_SEMANTIC_KEYS, "b", 0.65f, 0.76f), KH_HELD);
        ends(begin(db, KH_SEMANTIC_KEYS, "b", 0.5f, 0.86f), KH_OK);
    }
    kh_workspace *before = begin(db, KH_SEMANTIC_GUARD, "c", 1, 0);
    kit_is(kh_db_decide(db, id, true, NULL, NULL), KH_OK);
    ends(before, KH_SEMANTIC_CONFLICT);
    ends(begin(db, KH_SEMANTIC_GUARD, "c", 1, 0), KH_OK);
    kit_load_is(db, "a", 1);
    kit_close(db);
    kh_verify_report report = {.size = sizeof report};
    kit_is(kh_verify(directory.path, NULL, &report, NULL), KH_OK);
    directory_remove(&directory);
}

struct read {
    int count;
    kh_delta *kept[2]; /* of the commit, of what was prepared */
};

static bool see_record(void *context, const kh_record_entry *record) {
    struct read *read = context;
    read->count++;
    if (record->delta == NULL) {
        assert_int_equal(record->mode, KH_SEMANTIC_DEFAULT);
        return true;
    }
    bool is_prepared = record->kind == KH_RECORD_PREPARE;
    assert_true(is_prepared || record->kind == KH_RECORD_COMMIT);
    assert_int_equal(record->mode, is_prepared ? KH_SEMANTIC_MERGE : KH_SEMANTIC_GUARD);
    assert_null(read->kept[is_prepared]);
    read->kept[is_prepared] = kh_delta_retain(record->delta);
    return true;
}

static void test_the_log_shows_it(void **state) {
    (void)state;
    struct read read = {0, {NULL, NULL}};
    kh_options options = KH_OPTIONS_INIT;
    kh_timestamp timestamp = 0;
    directory_make(&directory);
    options.path = directory.path;
    options.retention_ms = UINT64_MAX;
    kh_db *db = kit_open_with(&options);
    ends(begin(db, KH_SEMANTIC_GUARD, "a", 3, -4), KH_OK);
    kit_store(db, "plain", 1);
    kh_workspace *prepared = begin(db, KH_SEMANTIC_MERGE, "b", 0, 1);
    kit_is(kh_workspace_prepare(prepared, NULL), KH_OK);
    kit_is(kh_workspace_commit(prepared, &timestamp, NULL), KH_OK);
    kh_workspace_close(prepared);
    kit_close(db);
    kit_is(kh_path_log(directory.path, 0, see_record, &read, NULL), KH_OK);
    assert_int_equal(read.count, 5); /* and the schema */
    assert_true(kh_delta_magnitude(read.kept[0]) == 5);
    assert_int_equal(kh_delta_filled(read.kept[1]), 1);
    assert_memory_equal(kh_delta_key(read.kept[1], 0).data, "b", 1);
    kh_delta_release(read.kept[0]);
    kh_delta_release(read.kept[1]);
    directory_remove(&directory);
}

/* ---- several as one record ------------------------------------------------------------------- */

struct members {
    size_t records; /* with members */
    size_t count;
    kh_txn_id ids[3];
    kh_semantic_mode modes[3];
    float magnitudes[3];
};

static bool see_members(void *context, const kh_record_entry *record) {
    struct members *members = context;
    if (record->member_count == 0) return true;
    assert_int_equal(record->kind, KH_RECORD_COMMIT);
    assert_null(record->delta);
    assert_int_equal(record->write_count, 2);
    assert_int_equal(record->member_count, 3);
    members->records++;
    for (size_t i = 0; i < record->member_count; i++) {
        const kh_record_member *member = &record->members[i];
        members->ids[i] = member->id;
        members->modes[i] = member->mode;
        if (member->delta != NULL) members->magnitudes[i] = kh_delta_magnitude(member->delta);
    }
    return true;
}

static void test_together(void **state) {
    (void)state;
    struct members members = {0};
    kh_options options = KH_OPTIONS_INIT;
    directory_make(&directory);
    options.path = directory.path;
    options.retention_ms = UINT64_MAX;
    kh_db *db = kit_open_with(&options);
    kh_workspace *all[] = {begin(db, KH_SEMANTIC_GUARD, "a", 3, -4),
                           begin(db, KH_SEMANTIC_MERGE, "b", 4, 3), NULL};
    kit_is(kh_workspace_begin(db, NULL, &all[2], NULL), KH_OK);
    kh_txn_id ids[3];
    for (int i = 0; i < 3; i++) ids[i] = kh_workspace_id(all[i]);
    kit_is(kh_workspace_commit_together(all, 3, NULL, NULL, NULL), KH_OK);
    for (int i = 0; i < 3; i++) kh_workspace_close(all[i]);
    kit_close(db);
    kit_is(kh_path_log(directory.path, 0, see_members, &members, NULL), KH_OK);
    assert_int_equal(members.records, 1);
    for (int i = 0; i < 3; i++) assert_int_equal(members.ids[i].low, ids[i].low);
    assert_int_equal(members.modes[0], KH_SEMANTIC_GUARD);
    assert_int_equal(members.modes[1], KH_SEMANTIC_MERGE);
    assert_int_equal(members.modes[2], KH_SEMANTIC_DEFAULT); /* it wrote nothing */
    assert_true(members.magnitudes[0] == 5 && members.magnitudes[1] == 5);
    db = kit_open_with(&options);
    kit_load_is(db, "a", 1);
    kit_load_is(db, "b", 1);
    kit_close(db);
    kh_verify_report report = {.size = sizeof report};
    kit_is(kh_verify(directory.path, NULL, &report, NULL), KH_OK);
    directory_remove(&directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_prepared_one),
                                       cmocka_unit_test(test_the_log_shows_it),
                                       cmocka_unit_test(test_together)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
