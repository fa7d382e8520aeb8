/* Workspaces that commit together: each keeps its isolation level, its locks, and what is held. */
#include "support/together_kit.h"

/* ---- isolation ------------------------------------------------------------------------------- */

static void test_write_skew_among_them(void **state) {
    (void)state;
    for (int level = 0; level < 2; level++) {
        kh_isolation isolation = level == 0 ? KH_REPEATABLE_READ : KH_SERIALIZABLE;
        kit_store(db, "x", 1);
        kit_store(db, "y", 1);
        kh_workspace *all[2];
        for (int i = 0; i < 2; i++) {
            all[i] = begin_with(KH_SEMANTIC_KEYS, isolation);
            read_is(all[i], "x", 1);
            read_is(all[i], "y", 1);
        }
        put(all[0], "x", 0);
        put(all[1], "y", 0);
        together_is(all, 2, level == 0 ? KH_OK : KH_NOT_SERIALIZABLE, level == 0 ? 2 : 0);
        if (level == 1) { /* what it writes, the other one has read */
            assert_true(kit_bytes_equal(conflict_of(all[0]).key, kit_key("x")));
            assert_int_equal(conflict_of(all[0]).holder.low, kh_workspace_id(all[1]).low);
        }
        close_all(all, 2);
    }
}

/* Whoever has read what another writes comes before him, wherever he stands; also by ranges. */
static void test_an_order_is_found(void **state) {
    (void)state;
    for (int by_range = 0; by_range < 2; by_range++) {
        kit_store(db, "a", 1);
        kit_store(db, "b", 1);
        kit_store(db, "c", 1);
        kh_workspace *all[3];
        static const char *const keys[] = {"a", "b", "c"};
        for (int i = 0; i < 3; i++) {
            all[i] = begin_with(KH_SEMANTIC_KEYS, KH_SERIALIZABLE);
            if (i > 0 && by_range == 0) read_is(all[i], keys[i - 1], 1);
            kh_scan_options range = kit_range(keys[i > 0 ? i - 1 : 0], keys[i], 0, 0);
            char found[] = {keys[i > 0 ? i - 1 : 0][0], '=', '1', 0};
            if (i > 0 && by_range == 1) kit_scan_is(kh_workspace_txn(all[i]), &range, found);
            put(all[i], keys[i], 2);
        }
        together_is(all, 3, KH_OK, 3);
        kit_load_is(db, "c", 2);
        close_all(all, 3);
    }
}

static void test_a_circle_of_three(void **state) {
    (void)state;
    static const char *const keys[] = {"a", "b", "c"};
    kh_workspace *all[MOST];
    for (int i = 0; i < 3; i++) kit_store(db, keys[i], 1);
    for (int i = 0; i < MOST; i++) {
        all[i] = begin_with(KH_SEMANTIC_KEYS, KH_SERIALIZABLE);
        if (i == 0) continue; /* stands outside, and waits for nobody but one of the circle */
        read_is(all[i], keys[i % 3], 1);
        put(all[i], keys[i - 1], 2);
    }
    read_is(all[1], "d", KIT_ABSENT);
    put(all[0], "d", 1);
    kh_timestamp before = kh_db_now(db);
    size_t culprit;
    kit_is(kh_workspace_commit_together(all, MOST, NULL, &culprit, NULL), KH_NOT_SERIALIZABLE);
    assert_true(culprit >= 1 && culprit < MOST);
    assert_int_equal(kh_db_now(db), before);
    kh_workspace *rest[3];
    size_t count = 0;
    for (size_t i = 0; i < MOST; i++)
        if (i != culprit) rest[count++] = all[i];
    together_is(rest, 3, KH_OK, 3);
    close_all(all, MOST);
}

/* What a savepoint has undone is not written: it makes no circle, and nobody fails by it. */
static void test_undone_writes(void **state) {
    (void)state;
    for (int has_circle = 0; has_circle < 2; has_circle++) {
        kh_workspace *all[2];
        uint32_t savepoint = 0;
        for (int i = 0; i < 2; i++) all[i] = begin_with(KH_SEMANTIC_KEYS, KH_SERIALIZABLE);
        kh_txn *first = kh_workspace_txn(all[0]);
        read_is(all[0], "z", KIT_ABSENT);
        read_is(all[1], "undone", KIT_ABSENT);
        read_is(all[1], "y", KIT_ABSENT);
        kit_is(kh_txn_savepoint(first, &savepoint, NULL), KH_OK);
        put(all[0], "undone", 1);
        kit_is(kh_txn_rollback_to(first, savepoint, NULL), KH_OK);
        put(all[0], has_circle == 1 ? "y" : "x", 1);
        put(all[1], "z", 1);
        together_is(all, 2, has_circle == 1 ? KH_NOT_SERIALIZABLE : KH_OK, has_circle == 1 ? 0 : 2);
        if (has_circle == 1) assert_true(kit_bytes_equal(conflict_of(all[0]).key, kit_key("y")));
        close_all(all, 2);
        kit_store(db, "z", KIT_ABSENT);
    }
}

static void test_reads_that_have_changed(void **state) {
    (void)state;
    kit_store(db, "r", 1);
    kit_store(db, "same", 1);
    kh_workspace *all[3];
    for (int i = 0; i < 3; i++)
        all[i] = begin_with(KH_SEMANTIC_KEYS, i == 2 ? KH_REPEATABLE_READ : KH_SERIALIZABLE);
    read_is(all[0], "q", KIT_ABSENT);
    read_is(all[0], "same", 1);
    read_is(all[1], "r", 1);
    read_is(all[2], "r", 1);
    kit_store(db, "r", 2);
    put(all[0], "a", 1);
    put(all[1], "b", 1);
    put(all[2], "c", 1);
    together_is(all, 3, KH_NOT_SERIALIZABLE, 1);
    assert_true(kit_bytes_equal(conflict_of(all[1]).key, kit_key("r")));
    assert_int_equal(conflict_of(all[1]).holder.low, 0);
    kh_workspace *rest[] = {all[0], all[2]};
    together_is(rest, 2, KH_OK, 2);
    close_all(all, 3);
}

/* The group is one of the serializable: others are certified against what its members have read. */
static void test_skew_with_another(void **state) {
    (void)state;
    kit_store(db, "x", 1);
    kit_store(db, "y", 1);
    kh_txn *other = kit_begin(db, KH_SERIALIZABLE);
    kit_get_is(other, "x", 1);
    kit_get_is(other, "y", 1);
    kh_workspace *all[2];
    for (int i = 0; i < 2; i++) all[i] = begin_with(KH_SEMANTIC_KEYS, KH_SERIALIZABLE);
    read_is(all[0], "y", 1);
    put(all[0], "x", 0);
    put(all[1], "z", 0);
    together_is(all, 2, KH_OK, 2);
    kit_put(other, "y", 0);
    kit_is(kit_commit(other), KH_NOT_SERIALIZABLE);
    close_all(all, 2);
}

static void test_read_committed(void **state) {
    (void)state;
    kit_store(db, "k", 1);
    kh_workspace *all[3];
    for (int i = 0; i < 3; i++) all[i] = begin_with(KH_SEMANTIC_KEYS, KH_READ_COMMITTED);
    read_is(all[1], "k", 1);
    read_is(all[2], "k", 1);
    kit_store(db, "k", 2);
    read_is(all[2], "k", 2);
    put(all[0], "k", 10); /* blind: over whatever is there */
    put(all[1], "k", 11);
    put(all[2], "k", 12); /* it has read the newest */
    together_is(&all[0], 1, KH_OK, 1);
    together_is(&all[1], 1, KH_CONFLICT, 0);
    together_is(&all[2], 1, KH_CONFLICT, 0); /* since then the first one came */
    close_all(all, 3);
}

/* What it has read is the base: nothing that came since is merged. */
static void test_merge_at_read_committed(void **state) {
    (void)state;
    kh_batch *seen = NULL;
    store_rows("t", "1=10/100 2=20/200");
    kh_workspace *late = begin_with(KH_SEMANTIC_MERGE, KH_READ_COMMITTED);
    kh_workspace *rival = begin(KH_SEMANTIC_KEYS);
    kit_is(kh_workspace_get(late, kit_key("t"), &seen, NULL), KH_OK);
    kh_batch_release(seen);
    means(late, 1, 0);
    means(rival, 0, 1);
    put_rows(late, "t", "1=11/100 2=20/200");
    put_rows(rival, "t", "1=10/100 2=22/200");
    kit_is(commit(rival), KH_OK);
    together_is(&late, 1, KH_CONFLICT, 0);
    kh_workspace_close(late);
    kh_workspace_close(rival);
}

/* A transaction sees what it has put: at serializable that is what has to be stored. */
static void test_seen_before_it_was_merged(void **state) {
    (void)state;
    for (int level = 0; level < 2; level++) {
        store_rows("t", "1=10/100 2=20/200");
        kh_workspace *all[2];
        for (int i = 0; i < 2; i++)
            all[i] =
                begin_with(KH_SEMANTIC_MERGE, level == 0 ? KH_REPEATABLE_READ : KH_SERIALIZABLE);
        means(all[0], 1, 0);
        means(all[1], 0, 1);
        put_rows(all[0], "t", "1=11/100 2=20/200");
        put_rows(all[1], "t", "1=10/100 2=22/200");
        kh_batch *seen = NULL;
        kit_is(kh_workspace_get(all[1], kit_key("t"), &seen, NULL), KH_OK);
        kh_batch_release(seen);
        together_is(all, 2, level == 0 ? KH_OK : KH_CONFLICT, level == 0 ? 2 : 1);
        close_all(all, 2);
    }
}

/* ---- limits -----------------------------------------------------------------------------------
 */

/* Together they may write as much as one may. */
static void test_bytes_of_all(void **state) {
    (void)state;
    kh_options options = kit_options();
    kh_batch *value = kit_number(db, 1);
    options.limits.txn_bytes = kh_batch_size_bytes(value);
    kh_batch_release(value);
    kit_close(db);
    db = kit_open_with(&options);
    kh_workspace *all[2] = {begin(KH_SEMANTIC_KEYS), begin(KH_SEMANTIC_KEYS)};
    put(all[0], "a", 1);
    kit_is(kh_workspace_delete(all[1], kit_key("b"), NULL), KH_OK); /* no bytes */
    together_is(all, 2, KH_OK, 2);
    close_all(all, 2);
    for (int i = 0; i < 2; i++) {
        all[i] = begin(KH_SEMANTIC_KEYS);
        put(all[i], i == 0 ? "a" : "b", 2);
    }
    together_is(all, 2, KH_TOO_BIG, 2);
    close_all(all, 2);
}

/* ---- locks and holds ------------------------------------------------------------------------- */

static void lock(kh_workspace *workspace, const char *key, kh_lock_mode mode) {
    kh_lock wanted = {kit_key(key), mode};
    kit_is(kh_txn_lock(kh_workspace_txn(workspace), &wanted, 1, NULL, NULL), KH_OK);
}

static void test_locks(void **state) {
    (void)state;
    kh_workspace *all[2] = {begin(KH_SEMANTIC_KEYS), begin(KH_SEMANTIC_KEYS)};
    kh_workspace *other = begin(KH_SEMANTIC_KEYS);
    lock(all[0], "a", KH_LOCK_EXCLUSIVE);
    lock(all[1], "s", KH_LOCK_SHARED);
    lock(other, "b", KH_LOCK_SHARED);
    put(all[0], "a", 1);
    put(all[0], "s", 1); /* which the other member has locked */
    put(all[1], "b", 1);
    together_is(all, 2, KH_LOCK_CONFLICT, 1);
    assert_int_equal(conflict_of(all[1]).holder.low, kh_workspace_id(other).low);
    put(other, "a", 5);
    kit_is(commit(other), KH_LOCK_CONFLICT); /* the first one still has it, and is alone again */
    kh_workspace_close(all[1]);
    all[1] = begin(KH_SEMANTIC_KEYS);
    lock(all[1], "s", KH_LOCK_SHARED);
    put(all[1], "b", 1);
    together_is(all, 2, KH_OK, 2);
    kit_store(db, "a", 2); /* all locks are back */
    kit_store(db, "s", 2);
    close_all(all, 2);
    kh_workspace_close(other);
}

static void test_held_by_a_prepared_one(void **state) {
    (void)state;
    kh_workspace *holder = begin(KH_SEMANTIC_GUARD);
    kh_workspace *all[2] = {begin(KH_SEMANTIC_KEYS), begin(KH_SEMANTIC_KEYS)};
    put(holder, "h", 1);
    means(holder, 1, 0);
    kit_is(kh_workspace_prepare(holder, NULL), KH_OK);
    put(all[0], "a", 1);
    put(all[1], "h", 1);
    together_is(all, 2, KH_HELD, 1);
    kit_is(kh_workspace_retry(all[1], NULL), KH_OK);
    put(all[1], "b", 1);
    means(all[1], 1, 0);
    together_is(all, 2, KH_HELD, 1); /* by its meaning */
    kit_is(kh_workspace_rollback(holder), KH_OK);
    together_is(all, 1, KH_OK, 1);
    close_all(all, 2);
    kh_workspace_close(holder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write_skew_among_them, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_an_order_is_found, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_a_circle_of_three, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_undone_writes, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_reads_that_have_changed, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_skew_with_another, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_read_committed, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_merge_at_read_committed, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_seen_before_it_was_merged, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_bytes_of_all, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_locks, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_held_by_a_prepared_one, open_db, close_db),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
