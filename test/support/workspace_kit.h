/* What the tests of workspaces share: one database per test, and short names for the calls. */
#ifndef KHONSU_TEST_WORKSPACE_KIT_H
#define KHONSU_TEST_WORKSPACE_KIT_H

#include "support/kit.h"

static kh_db *db;

static inline int open_db(void **state) {
    (void)state;
    db = kit_open();
    return 0;
}

static inline int close_db(void **state) {
    (void)state;
    kit_close(db);
    return 0;
}

static inline kh_workspace *begin_with(kh_semantic_mode mode, kh_isolation isolation) {
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    options.mode = mode;
    options.txn.isolation = isolation;
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_OK);
    return workspace;
}

static inline kh_workspace *begin(kh_semantic_mode mode) {
    return begin_with(mode, KH_REPEATABLE_READ);
}

static inline void put(kh_workspace *workspace, const char *key, int64_t number) {
    kh_batch *value = kit_number(db, number);
    kit_is(kh_workspace_put(workspace, kit_key(key), value, NULL), KH_OK);
    kh_batch_release(value);
}

static inline void put_rows(kh_workspace *workspace, const char *key, const char *rows) {
    kh_batch *value = kit_rows(db, rows);
    kit_is(kh_workspace_put(workspace, kit_key(key), value, NULL), KH_OK);
    kh_batch_release(value);
}

/* A change of a direction in the plane, from nowhere. */
static inline void means(kh_workspace *workspace, float x, float y) {
    const float zero[2] = {0, 0};
    const float values[2] = {x, y};
    kit_is(kh_workspace_set_before(workspace, (kh_floats){zero, 2}, NULL), KH_OK);
    kit_is(kh_workspace_set_after(workspace, (kh_floats){values, 2}, NULL), KH_OK);
}

static inline kh_status commit(kh_workspace *workspace) {
    return kh_workspace_commit(workspace, NULL, NULL);
}

#endif
