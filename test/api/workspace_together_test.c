/* Workspaces that commit together: all or none, each by its own rules, also among themselves. */
#include "support/together_kit.h"

/* ---- all or none ----------------------------------------------------------------------------- */

static void test_one_moment(void **state) {
    (void)state;
    kh_workspace *all[3];
    kh_timestamp timestamp = 0;
    size_t culprit = 0;
    for (int i = 0; i < 3; i++) all[i] = begin(KH_SEMANTIC_KEYS);
    put(all[0], "a", 1);
    put(all[1], "b", 2);
    put(all[1], "c", 3);
    kit_is(kh_workspace_commit_together(all, 3, &timestamp, &culprit, NULL), KH_OK);
    assert_int_equal(culprit, 3);
    assert_int_equal(kh_db_now(db), timestamp);
    kit_load_is(db, "a", 1);
    kit_load_is(db, "b", 2);
    kit_load_is(db, "c", 3);
    kh_txn *before;
    kit_is(kh_txn_begin_at(db, kh_db_now(db), &before, NULL), KH_OK);
    kh_txn_close(before);
    for (int i = 0; i < 3; i++) {
        kh_outcome outcome;
        kh_timestamp committed;
        kit_is(kh_db_outcome(db, kh_workspace_id(all[i]), &outcome, &committed, NULL), KH_OK);
        assert_int_equal(outcome, KH_OUTCOME_COMMITTED);
        assert_int_equal(committed, timestamp);
        kit_is(commit(all[i]), KH_FINISHED);
        kit_is(kh_workspace_rollback(all[i]), KH_FINISHED);
    }
    close_all(all, 3);
}

static void test_conflict_of_keys(void **state) {
    (void)state;
    kh_workspace *all[3];
    for (int i = 0; i < 3; i++) all[i] = begin(KH_SEMANTIC_KEYS);
    put(all[0], "a", 1);
    put(all[1], "b", 1);
    put(all[2], "a", 2);
    together_is(all, 3, KH_CONFLICT, 2);
    kh_conflict conflict = conflict_of(all[2]);
    assert_true(kit_bytes_equal(conflict.key, kit_key("a")));
    assert_int_equal(conflict.rival, 0);
    assert_int_equal(conflict.holder.low, kh_workspace_id(all[0]).low);
    kh_stats stats = {.size = sizeof stats};
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    assert_int_equal(stats.hot_key_count, 1);
    assert_int_equal(stats.hot_keys[0].key[0], 'a');
    kit_load_is(db, "a", KIT_ABSENT);
    put(all[1], "d", 4); /* they go on */
    together_is(all, 2, KH_OK, 2);
    kit_load_is(db, "a", 1);
    kit_load_is(db, "d", 4);
    kit_is(kh_workspace_retry(all[2], NULL), KH_OK);
    put(all[2], "a", 2);
    together_is(&all[2], 1, KH_OK, 1);
    kit_load_is(db, "a", 2);
    close_all(all, 3);
}

static void test_conflict_with_others(void **state) {
    (void)state;
    kh_workspace *all[2];
    for (int i = 0; i < 2; i++) all[i] = begin(KH_SEMANTIC_KEYS);
    kit_store(db, "b", 7);
    put(all[0], "a", 1);
    put(all[1], "b", 1);
    together_is(all, 2, KH_CONFLICT, 1);
    assert_int_equal(conflict_of(all[1]).rival, kh_db_now(db));
    assert_int_equal(conflict_of(all[1]).holder.low, 0);
    together_is(all, 1, KH_OK, 1);
    close_all(all, 2);
}

/* ---- what it takes to be called -------------------------------------------------------------- */

static void test_calls_out_of_order(void **state) {
    (void)state;
    kh_workspace *all[MOST];
    size_t culprit;
    for (int i = 0; i < MOST; i++) {
        all[i] = begin(KH_SEMANTIC_KEYS);
        put(all[i], (char[]){'a', (char)('a' + i), 0}, i);
    }
    kit_is(kh_workspace_commit_together(all, 0, NULL, NULL, NULL), KH_INVALID);
    kh_workspace *twice[] = {all[0], all[1], all[0]};
    together_is(twice, 3, KH_INVALID, 3);
    kit_is(kh_workspace_rollback(all[1]), KH_OK);
    kit_is(kh_workspace_commit_together(all, 3, NULL, &culprit, NULL), KH_FINISHED);
    assert_int_equal(culprit, 1);
    assert_int_equal(kh_workspace_state_of(all[0]), KH_WORKSPACE_ACTIVE);
    kit_is(kh_workspace_prepare(all[2], NULL), KH_OK);
    kh_workspace *with_prepared[] = {all[0], all[2]};
    kit_is(kh_workspace_commit_together(with_prepared, 2, NULL, &culprit, NULL), KH_MISUSE);
    assert_int_equal(culprit, 1);
    assert_int_equal(kh_workspace_state_of(all[2]), KH_WORKSPACE_COMMITTING);
    kit_is(commit(all[2]), KH_OK);
    kh_scan_options scan = KH_SCAN_OPTIONS_INIT;
    kh_cursor *cursor;
    kit_is(kh_txn_scan(kh_workspace_txn(all[3]), &scan, &cursor, NULL), KH_OK);
    kh_workspace *with_cursor[] = {all[0], all[3]};
    kit_is(kh_workspace_commit_together(with_cursor, 2, NULL, &culprit, NULL), KH_IN_USE);
    assert_int_equal(kh_workspace_state_of(all[3]), KH_WORKSPACE_ACTIVE);
    kh_cursor_close(cursor);
    kit_is(kh_db_remove_workspace(db, kh_workspace_id(all[3]), NULL), KH_OK);
    together_is(with_cursor, 2, KH_CANCELLED, 1);
    together_is(all, 1, KH_OK, 1);
    close_all(all, MOST);
}

static void test_of_two_databases(void **state) {
    (void)state;
    kh_db *other = kit_open();
    kh_workspace *all[2] = {begin(KH_SEMANTIC_KEYS), NULL};
    kit_is(kh_workspace_begin(other, NULL, &all[1], NULL), KH_OK);
    kh_workspace *turned[2] = {all[1], all[0]};
    together_is(all, 2, KH_INVALID, 2);
    together_is(turned, 2, KH_INVALID, 2);
    close_all(all, 2);
    kit_close(other);
}

static void test_many(void **state) {
    (void)state;
    enum { MANY = 256 };
    static kh_workspace *all[MANY + 1];
    char key[16];
    for (int i = 0; i <= MANY; i++) {
        all[i] = begin_with(KH_SEMANTIC_GUARD, KH_SERIALIZABLE);
        (void)snprintf(key, sizeof key, "k%03d", i);
        read_is(all[i], key, KIT_ABSENT);
        put(all[i], key, i);
    }
    together_is(all, MANY + 1, KH_TOO_BIG, MANY + 1);
    together_is(all, MANY, KH_OK, MANY);
    kit_load_is(db, "k255", 255);
    kit_load_is(db, "k256", KIT_ABSENT);
    close_all(all, MANY + 1);
}

static kh_status refuse_to_embed(void *context, kh_workspace *workspace, const kh_step *operations,
                                 size_t count, float *before, float *after, uint32_t dimensions,
                                 kh_error *error) {
    (void)workspace, (void)operations, (void)count, (void)before, (void)after, (void)dimensions;
    (void)error;
    ++*(int *)context;
    return KH_IO;
}

static void test_an_embed_function_that_fails(void **state) {
    (void)state;
    int calls = 0;
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *all[2] = {begin(KH_SEMANTIC_KEYS), NULL};
    options.embed = refuse_to_embed;
    options.embed_context = &calls;
    options.dimensions = 2;
    kit_is(kh_workspace_begin(db, &options, &all[1], NULL), KH_OK);
    put(all[0], "a", 1);
    put(all[1], "b", 1);
    together_is(all, 2, KH_IO, 1);
    assert_int_equal(calls, 1);
    close_all(all, 2);
}

static kh_workspace *begin_with_id(const char *id_column) {
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    options.txn.id_column = id_column;
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_OK);
    return workspace;
}

static void test_id_columns(void **state) {
    (void)state;
    static const struct {
        const char *first;
        const char *second;
        kh_status expected;
    } cases[] = {{"a", "b", KH_INVALID},
                 {"a", "a", KH_OK},
                 {NULL, "a", KH_INVALID},
                 {"b", NULL, KH_INVALID},
                 {"ab", "a", KH_INVALID}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kh_workspace *all[] = {begin_with_id(cases[i].first), begin_with_id(cases[i].second)};
        size_t culprit = 9;
        put(all[0], "x", (int64_t)i);
        put(all[1], "y", (int64_t)i);
        kit_is(kh_workspace_commit_together(all, 2, NULL, &culprit, NULL), cases[i].expected);
        if (cases[i].expected != KH_OK)
            assert_int_equal(kh_workspace_state_of(all[0]), KH_WORKSPACE_ACTIVE);
        close_all(all, 2);
    }
}

/* ---- merges ---------------------------------------------------------------------------------- */

static void test_merged_puts(void **state) {
    (void)state;
    store_rows("t", "1=10/100 2=20/200");
    kh_workspace *all[3];
    for (int i = 0; i < 3; i++) all[i] = begin(KH_SEMANTIC_MERGE);
    means(all[0], 1, 0);
    means(all[1], 0, 1);
    means(all[2], 0.5f, 0.8f);
    put_rows(all[0], "t", "1=11/100 2=20/200");
    put_rows(all[1], "t", "1=10/100 2=20/222");
    put_rows(all[2], "t", "1=10/100 2=20/200 3=30/300");
    together_is(all, 3, KH_CONFLICT, 2); /* too much like the second one */
    together_is(all, 2, KH_OK, 2);
    rows_are("t", "1=11/100 2=20/222");
    close_all(all, 3);
}

static void test_merges_that_are_none(void **state) {
    (void)state;
    store_rows("t", "1=10/100");
    kh_workspace *all[3];
    for (int i = 0; i < 3; i++) all[i] = begin(KH_SEMANTIC_MERGE);
    means(all[0], 1, 0);
    means(all[1], 0, 1);
    put_rows(all[0], "t", "1=11/100");
    put_rows(all[1], "t", "1=12/100"); /* the same cell */
    put_rows(all[2], "t", "1=10/200"); /* says nothing */
    together_is(all, 2, KH_CONFLICT, 1);
    assert_int_equal(conflict_of(all[1]).rival, 0);
    kh_workspace *others[] = {all[0], all[2]};
    together_is(others, 2, KH_CONFLICT, 1);
    kh_workspace *turned[] = {all[2], all[0]};
    kit_is(kh_workspace_retry(all[2], NULL), KH_OK);
    put_rows(all[2], "t", "1=10/200");
    together_is(turned, 2, KH_CONFLICT, 1);
    together_is(turned, 1, KH_OK, 1);
    rows_are("t", "1=10/200");
    close_all(all, 3);
}

/* The rival is named, and nobody of the array. */
static void test_the_same_cell_as_a_rival(void **state) {
    (void)state;
    store_rows("t", "1=10/100");
    kh_workspace *late = begin(KH_SEMANTIC_MERGE);
    kh_workspace *rival = begin(KH_SEMANTIC_KEYS);
    means(late, 1, 0);
    means(rival, 0, 1);
    put_rows(late, "t", "1=11/100");
    put_rows(rival, "t", "1=12/100");
    kit_is(commit(rival), KH_OK);
    together_is(&late, 1, KH_CONFLICT, 0);
    kh_conflict conflict = conflict_of(late);
    assert_int_equal(conflict.rival, kh_db_now(db));
    assert_true(conflict.holder.high == 0 && conflict.holder.low == 0);
    kh_workspace_close(late);
    kh_workspace_close(rival);
}

/* What the older one has not seen is merged with it first; then the two with each other. */
static void test_merged_with_what_was_committed(void **state) {
    (void)state;
    store_rows("t", "1=10/100 2=20/200");
    kh_workspace *all[2] = {begin(KH_SEMANTIC_MERGE)};
    kh_workspace *rival = begin(KH_SEMANTIC_KEYS);
    means(rival, -1, 0.5f);
    put_rows(rival, "t", "1=10/111 2=20/200");
    kit_is(commit(rival), KH_OK);
    all[1] = begin(KH_SEMANTIC_MERGE);
    means(all[0], 0.5f, 1);
    means(all[1], 1, -0.4f);
    put_rows(all[0], "t", "1=11/100 2=20/200");
    put_rows(all[1], "t", "1=10/111 2=22/200");
    together_is(all, 2, KH_OK, 2);
    rows_are("t", "1=11/111 2=22/200");
    for (int i = 0; i < 2; i++) { /* the first met the rival, the second the first */
        kh_resolved resolved;
        kit_is(kh_txn_resolved(kh_workspace_txn(all[i]), 0, &resolved), KH_OK);
        assert_int_equal(resolved.fate, KH_WRITE_RESOLVED);
        assert_int_equal(resolved.policy, KH_MERGE);
        assert_true((resolved.rival == kh_db_now(db)) == (i == 1));
        kit_is(kh_txn_resolved(kh_workspace_txn(all[i]), 1, &resolved), KH_NOT_FOUND);
    }
    close_all(all, 2);
    kh_workspace_close(rival);
}

static void test_a_rival_of_another_class(void **state) {
    (void)state;
    store_rows("t", "1=10/100 2=20/200");
    kh_workspace *all[2] = {begin(KH_SEMANTIC_MERGE), begin(KH_SEMANTIC_MERGE)};
    kh_workspace *rival = begin(KH_SEMANTIC_KEYS);
    means(rival, 1, 0.3f);
    put_rows(rival, "t", "1=10/111 2=20/200");
    kit_is(commit(rival), KH_OK);
    means(all[0], 0, 1);
    means(all[1], 1, 0); /* conflicting with the rival */
    put_rows(all[0], "u", "1=1/1");
    put_rows(all[1], "t", "1=11/100 2=20/200");
    together_is(all, 2, KH_CONFLICT, 1);
    together_is(all, 1, KH_OK, 1);
    close_all(all, 2);
    kh_workspace_close(rival);
}

/* Who merges with what several have committed together is asked of each of them who wrote the key.
 */
static void test_merged_with_a_company(void **state) {
    (void)state;
    store_rows("t", "1=10/100 2=20/200");
    static const struct {
        float x, y;
        bool does_second_say;
        kh_status expected;
    } cases[] = {{0, 1, true, KH_OK}, {1, 0.3f, true, KH_CONFLICT}, {0, 1, false, KH_CONFLICT}};
    for (size_t i = 0; i < 3; i++) {
        kh_workspace *late = begin(KH_SEMANTIC_MERGE);
        kh_workspace *all[2] = {begin(KH_SEMANTIC_KEYS), begin(KH_SEMANTIC_KEYS)};
        char rows[64];
        (void)snprintf(rows, sizeof rows, "1=10/%zu 2=20/200", 101 + i);
        means(all[0], 1, 0);
        put_rows(all[0], "t", rows);
        if (cases[i].does_second_say) means(all[1], 0, 1); /* not of that key: it is not asked */
        put_rows(all[1], "u", rows);
        together_is(all, 2, KH_OK, 2);
        means(late, cases[i].x, cases[i].y);
        (void)snprintf(rows, sizeof rows, "1=10/%zu 2=21/200", i == 0 ? 100 : 100 + i);
        put_rows(late, "t", rows);
        kit_is(commit(late), cases[i].expected == KH_OK ? KH_SEMANTIC_CONFLICT : KH_CONFLICT);
        close_all(all, 2);
        kh_workspace_close(late);
    }
}

/* Two of them have merged what they wrote under the key: both are asked. */
static void test_merged_with_a_merged_company(void **state) {
    (void)state;
    store_rows("t", "1=10/100 2=20/200 3=30/300");
    kh_workspace *late = begin(KH_SEMANTIC_MERGE);
    kh_workspace *all[2] = {begin(KH_SEMANTIC_MERGE), begin(KH_SEMANTIC_MERGE)};
    means(all[0], 1, 0);
    means(all[1], 0, 1);
    put_rows(all[0], "t", "1=11/100 2=20/200 3=30/300");
    put_rows(all[1], "t", "1=10/100 2=22/200 3=30/300");
    together_is(all, 2, KH_OK, 2);
    means(late, 0.95f, 0.312f); /* conflicting with the first only */
    put_rows(late, "t", "1=10/100 2=20/200 3=33/300");
    kit_is(commit(late), KH_CONFLICT);
    close_all(all, 2);
    kh_workspace_close(late);
}

/* Of two that came together the list has forgotten the one that it would conflict with. */
static void test_merged_with_half_a_company(void **state) {
    (void)state;
    kh_options options = kit_options();
    kh_semantic_options semantic = KH_SEMANTIC_OPTIONS_INIT;
    kh_batch *value = NULL;
    semantic.recent_max = 1;
    options.semantic = &semantic;
    kit_close(db);
    db = kit_open_with(&options);
    store_rows("t", "1=10/100 2=20/200");
    kh_workspace *late = begin_with(KH_SEMANTIC_MERGE, KH_READ_COMMITTED);
    kh_workspace *all[2] = {begin(KH_SEMANTIC_MERGE), begin(KH_SEMANTIC_MERGE)};
    kit_is(kh_workspace_get(late, kit_key("t"), &value, NULL), KH_OK);
    kh_batch_release(value);
    means(all[0], 1, 0);
    means(all[1], 0, 1);
    put_rows(all[0], "t", "1=11/100 2=20/200");
    put_rows(all[1], "t", "1=10/100 2=20/222");
    together_is(all, 2, KH_OK, 2);
    kit_is(kh_workspace_get(late, kit_key("other"), &value, NULL), KH_NOT_FOUND);
    means(late, 1, 0);
    put_rows(late, "t", "1=10/111 2=20/200");
    kit_is(commit(late), KH_CONFLICT);
    close_all(all, 2);
    kh_workspace_close(late);
}

/* Only those are asked who have written the key, whichever of theirs it is. */
static void test_a_company_of_many_keys(void **state) {
    (void)state;
    static const char *const keys[] = {"a", "aa", "b", "c", "ca", "d", "e"};
    for (size_t i = 0; i < 7; i++) store_rows(keys[i], "1=10/100 2=20/200");
    for (size_t i = 0; i < 7; i++) {
        kh_workspace *late[2] = {begin(KH_SEMANTIC_MERGE), begin(KH_SEMANTIC_MERGE)};
        kh_workspace *all[2] = {begin(KH_SEMANTIC_KEYS), begin(KH_SEMANTIC_KEYS)};
        char rows[64];
        (void)snprintf(rows, sizeof rows, "1=10/%zu 2=20/200", 101 + i);
        means(all[0], 1, 0);
        means(all[1], 0, 1);
        for (size_t j = 0; j < 7; j++) /* the first has this key, and every other one */
            put_rows(all[j % 2 == i % 2 ? 0 : 1], keys[j], rows);
        together_is(all, 2, KH_OK, 2);
        means(late[0], 0.5f, 0.866f);  /* ambiguous to the first */
        means(late[1], 0.95f, 0.312f); /* conflicting with it */
        for (int j = 0; j < 2; j++) {
            (void)snprintf(rows, sizeof rows, "1=10/%zu 2=2%d/200", i == 0 ? 100 : 100 + i, j + 1);
            put_rows(late[j], keys[i], rows);
        }
        /* Merged by its key; it is the second that a guard finds it against. */
        kit_is(commit(late[0]), KH_SEMANTIC_CONFLICT);
        kit_is(commit(late[1]), KH_CONFLICT);
        close_all(all, 2);
        close_all(late, 2);
    }
}

static void test_row_operations(void **state) {
    (void)state;
    store_rows("t", "1=10/100 2=20/200");
    kh_workspace *all[3];
    static const char *const rows[] = {"1=11/100", "2=20/222", "3=30/300"};
    for (int i = 0; i < 3; i++) {
        all[i] = begin(KH_SEMANTIC_KEYS);
        kh_batch *batch = kit_rows(db, rows[i]);
        kh_txn *txn = kh_workspace_txn(all[i]);
        kit_is(i < 2 ? kh_txn_update_rows(txn, kit_key("t"), batch, NULL)
                     : kh_txn_insert_rows(txn, kit_key("t"), batch, NULL),
               KH_OK);
        kh_batch_release(batch);
    }
    together_is(all, 3, KH_OK, 3);
    rows_are("t", "1=11/100 2=20/222 3=30/300");
    close_all(all, 3);
    for (int i = 0; i < 2; i++) {
        all[i] = begin(KH_SEMANTIC_KEYS);
        kh_batch *batch = kit_rows(db, "4=40/400");
        kit_is(kh_txn_insert_rows(kh_workspace_txn(all[i]), kit_key("t"), batch, NULL), KH_OK);
        kh_batch_release(batch);
    }
    together_is(all, 2, KH_ROW_EXISTS, 1);
    together_is(all, 1, KH_OK, 1);
    close_all(all, 2);
}

/* Both begin with nothing: there was never a value, or it was deleted. */
static void test_onto_nothing(void **state) {
    (void)state;
    for (int was_deleted = 0; was_deleted < 2; was_deleted++) {
        kh_workspace *all[2];
        kh_txn *older = kit_begin(db, KH_REPEATABLE_READ); /* for whom the deletions are kept */
        if (was_deleted == 1) kit_store(db, "t", KIT_ABSENT);
        if (was_deleted == 1) kit_store(db, "u", KIT_ABSENT);
        for (int i = 0; i < 2; i++) {
            all[i] = begin(KH_SEMANTIC_MERGE);
            means(all[i], (float)i, (float)(1 - i));
            kh_batch *batch = kit_rows(db, "1=10/100");
            kit_is(kh_txn_insert_rows(kh_workspace_txn(all[i]), kit_key("t"), batch, NULL), KH_OK);
            kh_batch_release(batch);
            put_rows(all[i], "u", i == 0 ? "1=10/100" : "2=20/200");
        }
        together_is(all, 2, KH_ROW_EXISTS, 1);
        kit_is(kh_workspace_retry(all[1], NULL), KH_OK);
        means(all[1], 1, 0);
        put_rows(all[1], "u", "2=20/200");
        together_is(all, 2, KH_OK, 2);
        rows_are("t", "1=10/100");
        rows_are("u", "1=10/100 2=20/200");
        close_all(all, 2);
        kit_rollback(older);
    }
}

/* Rows on a key that another one puts are applied to what he puts. */
static void test_rows_on_a_put(void **state) {
    (void)state;
    kh_workspace *all[2] = {begin(KH_SEMANTIC_KEYS), begin(KH_SEMANTIC_KEYS)};
    kh_batch *batch = kit_rows(db, "1=11/111");
    put_rows(all[0], "t", "1=10/100 2=20/200");
    kit_is(kh_txn_upsert_rows(kh_workspace_txn(all[1]), kit_key("t"), batch, NULL), KH_OK);
    kh_batch_release(batch);
    together_is(all, 2, KH_OK, 2);
    rows_are("t", "1=11/111 2=20/200");
    close_all(all, 2);
}

/* ---- meanings -------------------------------------------------------------------------------- */

static void test_against_each_other(void **state) {
    (void)state;
    for (int guarded = 0; guarded < 2; guarded++) {
        kh_workspace *all[2];
        for (int i = 0; i < 2; i++)
            all[i] = begin(i == guarded ? KH_SEMANTIC_GUARD : KH_SEMANTIC_KEYS);
        put(all[0], "a", 1);
        put(all[1], "b", 1);
        means(all[0], 1, 0);
        means(all[1], -1, 0);
        together_is(all, 2, KH_SEMANTIC_CONFLICT, 1);
        kh_semantic_conflict conflict = {.size = sizeof conflict};
        kit_is(kh_workspace_semantic_conflict(all[1], &conflict), KH_OK);
        assert_int_equal(conflict.rival.low, kh_workspace_id(all[0]).low);
        assert_int_equal(conflict.rival_commit, 0);
        assert_int_equal(conflict.kind, KH_DELTA_OPPOSITE);
        assert_true(conflict.similarity == -1);
        assert_int_equal(kh_delta_key_count(conflict.rival_delta), 1);
        kit_is(kh_workspace_semantic_conflict(all[0], &conflict), KH_NOT_FOUND);
        together_is(all, 1, KH_OK, 1);
        close_all(all, 2);
    }
}

/* Each by what its own snapshot sees. */
static void test_against_what_was_committed(void **state) {
    (void)state;
    kh_workspace *all[2] = {begin(KH_SEMANTIC_GUARD)};
    kh_workspace *rival = begin(KH_SEMANTIC_KEYS);
    put(rival, "r", 1);
    means(rival, 1, 0);
    kit_is(commit(rival), KH_OK);
    all[1] = begin(KH_SEMANTIC_GUARD);
    put(all[0], "a", 1);
    put(all[1], "b", 1);
    means(all[0], 0, 1);
    means(all[1], 1, 0);
    together_is(all, 2, KH_OK, 2); /* the newer one has accepted it, the older is no part of it */
    close_all(all, 2);
    all[0] = begin(KH_SEMANTIC_GUARD);
    kh_workspace_close(rival);
    rival = begin(KH_SEMANTIC_KEYS);
    put(rival, "r", 2);
    means(rival, 1, 0);
    kit_is(commit(rival), KH_OK);
    all[1] = begin(KH_SEMANTIC_GUARD);
    put(all[0], "a", 2);
    put(all[1], "b", 2);
    means(all[0], 0.9f, 0);
    means(all[1], 0, 1);
    together_is(all, 2, KH_SEMANTIC_CONFLICT, 0);
    kh_semantic_conflict conflict = {.size = sizeof conflict};
    kit_is(kh_workspace_semantic_conflict(all[0], &conflict), KH_OK);
    assert_int_equal(conflict.rival.low, kh_workspace_id(rival).low);
    assert_true(conflict.rival_commit != 0);
    close_all(all, 2);
    kh_workspace_close(rival);
}

/* What was committed together is remembered of each. */
static void test_each_is_remembered(void **state) {
    (void)state;
    kh_workspace *late[2] = {begin(KH_SEMANTIC_GUARD), begin(KH_SEMANTIC_GUARD)};
    kh_workspace *all[2] = {begin(KH_SEMANTIC_KEYS), begin(KH_SEMANTIC_KEYS)};
    put(all[0], "a", 1);
    put(all[1], "b", 1);
    means(all[0], 1, 0);
    means(all[1], 0, 1);
    together_is(all, 2, KH_OK, 2);
    for (int i = 0; i < 2; i++) {
        put(late[i], "c", i);
        means(late[i], i == 0 ? 1 : 0, (float)i);
        kit_is(commit(late[i]), KH_SEMANTIC_CONFLICT);
        kh_semantic_conflict conflict = {.size = sizeof conflict};
        kit_is(kh_workspace_semantic_conflict(late[i], &conflict), KH_OK);
        assert_int_equal(conflict.rival.low, kh_workspace_id(all[i]).low);
    }
    close_all(all, 2);
    close_all(late, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_moment, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_conflict_of_keys, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_conflict_with_others, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_calls_out_of_order, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_of_two_databases, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_many, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_id_columns, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_a_company_of_many_keys, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_an_embed_function_that_fails, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_merged_puts, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_merges_that_are_none, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_the_same_cell_as_a_rival, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_merged_with_what_was_committed, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_a_rival_of_another_class, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_merged_with_a_company, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_merged_with_a_merged_company, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_merged_with_half_a_company, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_row_operations, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_onto_nothing, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_rows_on_a_put, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_against_each_other, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_against_what_was_committed, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_each_is_remembered, open_db, close_db),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
