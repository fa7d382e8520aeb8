/* What the tests of workspaces that commit together share. */
#ifndef KHONSU_TEST_TOGETHER_KIT_H
#define KHONSU_TEST_TOGETHER_KIT_H

#include "support/workspace_kit.h"

enum { MOST = 4 };

/* Commit all; culprit: the index expected, or the count. */
static inline void together_is(kh_workspace *const *workspaces, size_t count, kh_status expected,
                               size_t culprit) {
    kh_timestamp timestamp = 0;
    size_t found = 99;
    kh_timestamp before = kh_db_now(db);
    kit_is(kh_workspace_commit_together(workspaces, count, &timestamp, &found, NULL), expected);
    assert_int_equal(found, culprit);
    if (expected != KH_OK) assert_int_equal(kh_db_now(db), before);
    for (size_t i = 0; i < count; i++) {
        kh_workspace_state wanted = expected == KH_OK ? KH_WORKSPACE_COMMITTED
                                    : i == culprit    ? KH_WORKSPACE_FAILED
                                                      : KH_WORKSPACE_ACTIVE;
        assert_int_equal(kh_workspace_state_of(workspaces[i]), wanted);
        if (i == culprit) assert_int_equal(kh_workspace_cause(workspaces[i]), expected);
    }
}

static inline void close_all(kh_workspace **workspaces, size_t count) {
    for (size_t i = 0; i < count; i++) kh_workspace_close(workspaces[i]);
}

static inline void store_rows(const char *key, const char *rows) {
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    put_rows(workspace, key, rows);
    kit_is(commit(workspace), KH_OK);
    kh_workspace_close(workspace);
}

static inline void rows_are(const char *key, const char *expected) {
    char text[KIT_TEXT_BYTES];
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    const kh_batch *batch = NULL;
    kh_status status = kh_txn_peek(txn, kit_key(key), &batch, NULL);
    assert_true(status == KH_OK || status == KH_NOT_FOUND);
    kit_text(batch, text);
    assert_string_equal(text, expected);
    kh_txn_close(txn);
}

static inline void read_is(kh_workspace *workspace, const char *key, int64_t expected) {
    kit_get_is(kh_workspace_txn(workspace), key, expected);
}

static inline kh_conflict conflict_of(const kh_workspace *workspace) {
    kh_conflict conflict = {.size = sizeof conflict};
    kit_is(kh_txn_conflict(kh_workspace_txn((kh_workspace *)(uintptr_t)workspace), &conflict),
           KH_OK);
    return conflict;
}

#endif
