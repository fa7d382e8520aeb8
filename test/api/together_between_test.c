/* Workspaces that commit together: whose rows do not fit, whose time runs out, who comes between,
 * and what those are who stay active. */
#include "support/middle_clock.h"
#include "support/together_kit.h"

static void store_rows_in(kh_db *where, const char *key, const char *rows) {
    kh_txn *txn = kit_begin(where, KH_REPEATABLE_READ);
    kh_batch *batch = kit_rows(where, rows);
    kit_is(kh_txn_put(txn, kit_key(key), batch, NULL), KH_OK);
    kh_batch_release(batch);
    kit_commit_ok(txn);
}

static void text_of(kh_db *where, const char *key, char text[KIT_TEXT_BYTES]) {
    kh_txn *txn = kit_begin(where, KH_REPEATABLE_READ);
    const kh_batch *batch = NULL;
    kh_status status = kh_txn_peek(txn, kit_key(key), &batch, NULL);
    assert_true(status == KH_OK || status == KH_NOT_FOUND);
    kit_text(batch, text);
    kh_txn_close(txn);
}

enum how { INSERT, UPSERT, UPDATE, DELETE };

static void rows_in(kh_workspace *workspace, kh_db *where, const char *key, enum how how,
                    const char *rows) {
    kh_txn *txn = kh_workspace_txn(workspace);
    kh_batch *batch = kit_rows(where, rows);
    kh_status status = how == INSERT   ? kh_txn_insert_rows(txn, kit_key(key), batch, NULL)
                       : how == UPSERT ? kh_txn_upsert_rows(txn, kit_key(key), batch, NULL)
                       : how == UPDATE ? kh_txn_update_rows(txn, kit_key(key), batch, NULL)
                                       : kh_txn_delete_rows(txn, kit_key(key), batch, NULL);
    kit_is(status, KH_OK);
    kh_batch_release(batch);
}

/* ---- who is to blame ------------------------------------------------------------------------- */

/* The first one inserts a row that is there; the second one's upsert is fine. */
static void test_rows_of_the_first_do_not_fit(void **state) {
    (void)state;
    store_rows_in(db, "t", "1=10/100");
    kh_workspace *all[2] = {begin(KH_SEMANTIC_KEYS), begin(KH_SEMANTIC_KEYS)};
    size_t culprit = 99;
    rows_in(all[0], db, "t", INSERT, "1=11/111");
    rows_in(all[1], db, "t", UPSERT, "2=20/200");
    kit_is(kh_workspace_commit_together(all, 2, NULL, &culprit, NULL), KH_ROW_EXISTS);
    assert_int_equal(culprit, 0);
    assert_int_equal(kh_workspace_state_of(all[1]), KH_WORKSPACE_ACTIVE);
    kit_is(commit(all[1]), KH_OK);
    close_all(all, 2);
}

/* The same before a put that is merged with it. */
static void test_rows_under_a_merge_do_not_fit(void **state) {
    (void)state;
    store_rows_in(db, "t", "1=10/100 2=20/200");
    kh_workspace *all[2] = {begin(KH_SEMANTIC_KEYS), begin(KH_SEMANTIC_MERGE)};
    size_t culprit = 99;
    means(all[0], 1, 0);
    means(all[1], 0, 1);
    rows_in(all[0], db, "t", INSERT, "1=11/111");
    put_rows(all[1], "t", "1=10/100 2=20/222");
    kit_is(kh_workspace_commit_together(all, 2, NULL, &culprit, NULL), KH_ROW_EXISTS);
    assert_int_equal(culprit, 0);
    close_all(all, 2);
}

/* ---- what it did ----------------------------------------------------------------------------- */

static void merge_late(bool is_together, kh_stats *after) {
    kh_resolved resolved;
    store_rows_in(db, "t", "1=10/100 2=20/200");
    kh_workspace *late = begin(KH_SEMANTIC_MERGE);
    kh_workspace *rival = begin(KH_SEMANTIC_KEYS);
    kh_timestamp rival_commit = 0;
    means(rival, 1, 0);
    put_rows(rival, "t", "1=10/111 2=20/200");
    kit_is(kh_workspace_commit(rival, &rival_commit, NULL), KH_OK);
    means(late, 0, 1);
    put_rows(late, "t", "1=10/100 2=22/200");
    if (is_together)
        kit_is(kh_workspace_commit_together(&late, 1, NULL, NULL, NULL), KH_OK);
    else
        kit_is(commit(late), KH_OK);
    kit_is(kh_txn_resolved(kh_workspace_txn(late), 0, &resolved), KH_OK);
    assert_int_equal(resolved.fate, KH_WRITE_RESOLVED);
    assert_int_equal(resolved.policy, KH_MERGE);
    assert_int_equal(resolved.rival, rival_commit);
    kh_workspace_close(late);
    kh_workspace_close(rival);
    after->size = sizeof *after;
    kit_is(kh_db_stats(db, after, NULL), KH_OK);
}

static void test_a_late_merge_is_told_alone(void **state) {
    (void)state;
    kh_stats stats;
    merge_late(false, &stats);
    assert_int_equal(stats.semantic_merges, 1);
}

static void test_a_late_merge_is_told_together(void **state) {
    (void)state;
    kh_stats stats;
    merge_late(true, &stats);
    assert_int_equal(stats.semantic_merges, 1);
}

/* One of each sort meets a rival that was there before the call. */
static void test_rivals_are_counted_by_sort(void **state) {
    (void)state;
    static const kh_policy policies[] = {KH_REPLACE, KH_FAIL, KH_MERGE};
    static const char *const keys[] = {"replaced", "rows", "merged"};
    kh_workspace *all[3];
    kh_stats stats = {.size = sizeof stats};
    for (int i = 0; i < 3; i++) {
        kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
        options.txn.policy = policies[i];
        store_rows_in(db, keys[i], "1=10/100 2=20/200");
        kit_is(kh_workspace_begin(db, &options, &all[i], NULL), KH_OK);
        if (i == 1)
            rows_in(all[i], db, keys[i], UPSERT, "2=22/200");
        else
            put_rows(all[i], keys[i], "1=10/100 2=22/200");
        store_rows_in(db, keys[i], "1=11/100 2=20/200");
    }
    kit_is(kh_workspace_commit_together(all, 3, NULL, NULL, NULL), KH_OK);
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    assert_int_equal(stats.resolved_replace, 1);
    assert_int_equal(stats.resolved_rows, 1);
    assert_int_equal(stats.resolved_merge, 1);
    close_all(all, 3);
}

/* ---- meanings -------------------------------------------------------------------------------- */

/* Default options: what a hundred have said is remembered, and nothing else is forgotten for it. */
static void test_many_are_remembered(void **state) {
    (void)state;
    enum { MANY = 200 };
    static kh_workspace *all[MANY];
    char key[16];
    kh_workspace *guarded = begin(KH_SEMANTIC_GUARD);
    put(guarded, "g", 1);
    means(guarded, 0, 1);
    for (int i = 0; i < MANY; i++) {
        all[i] = begin(KH_SEMANTIC_KEYS);
        (void)snprintf(key, sizeof key, "k%03d", i);
        put(all[i], key, i);
        means(all[i], 1, 0);
    }
    kit_is(kh_workspace_commit_together(all, MANY, NULL, NULL, NULL), KH_OK);
    kh_stats stats = {.size = sizeof stats};
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    assert_int_equal(stats.semantic_remembered, MANY);
    kit_is(commit(guarded), KH_OK);
    close_all(all, MANY);
    kh_workspace_close(guarded);
}

/* Means (number of operations - 1): the first operation alone goes nowhere it could be guarded. */
static kh_status embed_operations(void *context, kh_workspace *workspace, const kh_step *operations,
                                  size_t count, float *before, float *after, uint32_t dimensions,
                                  kh_error *error) {
    (void)context, (void)workspace, (void)operations, (void)before, (void)dimensions, (void)error;
    after[0] = count > 1 ? 1 : 0;
    after[1] = count > 1 ? 0 : 1;
    return KH_OK;
}

/* The others go on as if nothing had happened: what they mean is asked once they commit. */
static void test_what_it_means_is_asked_again(void **state) {
    (void)state;
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *all[2];
    options.mode = KH_SEMANTIC_GUARD;
    options.embed = embed_operations;
    options.dimensions = 2;
    kit_is(kh_workspace_begin(db, &options, &all[0], NULL), KH_OK);
    all[1] = begin(KH_SEMANTIC_KEYS);
    kh_workspace *rival = begin(KH_SEMANTIC_KEYS);
    put(rival, "r", 1);
    means(rival, 1, 0);
    kit_is(commit(rival), KH_OK);
    kit_store(db, "x", 1);
    put(all[0], "a", 1);
    put(all[1], "x", 2); /* fails */
    kit_is(kh_workspace_commit_together(all, 2, NULL, NULL, NULL), KH_CONFLICT);
    assert_int_equal(kh_workspace_state_of(all[0]), KH_WORKSPACE_ACTIVE);
    put(all[0], "b", 1); /* now it means what the rival did: too much like it */
    kit_is(commit(all[0]), KH_SEMANTIC_CONFLICT);
    close_all(all, 2);
    kh_workspace_close(rival);
}

static void test_active_as_before(void **state) {
    (void)state;
    kh_delta *delta = NULL;
    kh_workspace *all[2] = {begin(KH_SEMANTIC_KEYS), begin(KH_SEMANTIC_KEYS)};
    kit_store(db, "x", 1);
    put(all[0], "a", 1);
    means(all[0], 1, 0);
    put(all[1], "x", 2); /* fails */
    kit_is(kh_workspace_delta(all[0], &delta), KH_NOT_FOUND);
    kit_is(kh_workspace_commit_together(all, 2, NULL, NULL, NULL), KH_CONFLICT);
    kit_is(kh_workspace_delta(all[0], &delta), KH_NOT_FOUND);
    kit_is(kh_workspace_compute_delta(all[0], NULL), KH_OK);
    close_all(all, 2);
}

/* ---- others come between --------------------------------------------------------------------- */

/* Another transaction commits at one reading of the clock: between any two steps. */
struct between {
    struct middle_clock clock;
    bool has_fired;
    bool does_pass; /* no rival: twenty milliseconds */
    kh_db *db;
    const char *key;
    const char *rows; /* NULL: put number 99 */
    kh_timestamp committed;
};

static void come_between(void *context) {
    struct between *between = context;
    if (between->does_pass) {
        between->clock.now_ns += 20000000;
        return;
    }
    kh_txn *txn = kit_begin(between->db, KH_REPEATABLE_READ);
    kh_batch *batch =
        between->rows == NULL ? kit_number(between->db, 99) : kit_rows(between->db, between->rows);
    kit_is(kh_txn_put(txn, kit_key(between->key), batch, NULL), KH_OK);
    kh_batch_release(batch);
    kit_is(kh_txn_commit(txn, &between->committed, NULL), KH_OK);
    kh_txn_close(txn);
    between->has_fired = true;
}

static kh_db *open_between(struct between *between) {
    kh_options options = kit_options();
    *between = (struct between){.db = NULL};
    options.clock = middle_clock_open(&between->clock, come_between, between);
    between->db = kit_open_with(&options);
    return between->db;
}

static kh_workspace *begin_in(kh_db *where, kh_isolation isolation, kh_policy policy) {
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    options.txn.isolation = isolation;
    options.txn.policy = policy;
    kit_is(kh_workspace_begin(where, &options, &workspace, NULL), KH_OK);
    return workspace;
}

static void get_rows(kh_workspace *workspace, const char *key, const char *expected) {
    kh_batch *batch = NULL;
    char text[KIT_TEXT_BYTES];
    kit_is(kh_workspace_get(workspace, kit_key(key), &batch, NULL), KH_OK);
    kit_text(batch, text);
    assert_string_equal(text, expected);
    kh_batch_release(batch);
}

enum { MOMENTS = 40 };

/* Who has read the key and fails by policy does not lose the rival's update because another member,
 * who replaces, has rows of the same key. */
static void test_policy_of_rows_is_each_ones_own(void **state) {
    (void)state;
    int fired = 0;
    for (int moment = 1; moment < MOMENTS; moment++) {
        struct between between;
        kh_db *where = open_between(&between);
        store_rows_in(where, "t", "1=10/100 2=20/200");
        kh_workspace *all[2] = {begin_in(where, KH_REPEATABLE_READ, KH_FAIL),
                                begin_in(where, KH_REPEATABLE_READ, KH_REPLACE)};
        kh_timestamp committed = 0;
        get_rows(all[0], "t", "1=10/100 2=20/200");
        rows_in(all[0], where, "t", UPDATE, "1=11/100");
        rows_in(all[1], where, "t", UPSERT, "3=30/300");
        between.key = "t";
        between.rows = "1=10/199 2=20/200";
        between.clock.fire_in = moment;
        kh_status status = kh_workspace_commit_together(all, 2, &committed, NULL, NULL);
        if (between.has_fired) fired++;
        if (between.has_fired && status == KH_OK && between.committed < committed)
            fail_msg("moment %d: it has read what a rival had overwritten before it committed",
                     moment);
        between.clock.fire_in = 0;
        close_all(all, 2);
        kit_close(where);
    }
    assert_true(fired > 0);
}

/* Rows of one are applied to what another one puts, also when that is merged with a rival. */
static void test_rows_on_a_merged_put(void **state) {
    (void)state;
    for (int moment = 1; moment < MOMENTS; moment++) {
        struct between between;
        kh_db *where = open_between(&between);
        char text[KIT_TEXT_BYTES];
        store_rows_in(where, "t", "1=10/100 2=20/200");
        kh_workspace *all[2] = {begin_in(where, KH_REPEATABLE_READ, KH_MERGE),
                                begin_in(where, KH_REPEATABLE_READ, KH_FAIL)};
        kh_timestamp committed = 0;
        {
            kh_batch *value = kit_rows(where, "1=10/100 2=22/200");
            kit_is(kh_workspace_put(all[0], kit_key("t"), value, NULL), KH_OK);
            kh_batch_release(value);
        }
        rows_in(all[1], where, "t", UPSERT, "1=10/111"); /* says that a is 10 */
        between.key = "t";
        between.rows = "1=99/100 2=20/200";
        between.clock.fire_in = moment;
        kh_status status = kh_workspace_commit_together(all, 2, &committed, NULL, NULL);
        bool was_before = between.has_fired && status == KH_OK && between.committed < committed;
        between.clock.fire_in = 0;
        text_of(where, "t", text);
        if (was_before && strcmp(text, "1=10/111 2=22/200") != 0)
            fail_msg("moment %d: %s is what no order gives", moment, text);
        close_all(all, 2);
        kit_close(where);
    }
}

/* At serializable what it has seen of its own is what is stored: a rival that comes at the last
 * moment is not merged with it. */
static void test_seen_before_a_late_merge(void **state) {
    (void)state;
    int conflicts = 0;
    for (int moment = 1; moment < MOMENTS; moment++) {
        struct between between;
        kh_db *where = open_between(&between);
        store_rows_in(where, "t", "1=10/100 2=20/200");
        kh_workspace *one = begin_in(where, KH_SERIALIZABLE, KH_MERGE);
        kh_timestamp committed = 0;
        kh_batch *value = kit_rows(where, "1=10/100 2=22/200");
        kit_is(kh_workspace_put(one, kit_key("t"), value, NULL), KH_OK);
        kh_batch_release(value);
        get_rows(one, "t", "1=10/100 2=22/200");
        between.key = "t";
        between.rows = "1=99/100 2=20/200";
        between.clock.fire_in = moment;
        kh_status status = kh_workspace_commit_together(&one, 1, &committed, NULL, NULL);
        between.clock.fire_in = 0;
        if (status == KH_CONFLICT) conflicts++;
        if (between.has_fired && status == KH_OK && between.committed < committed)
            fail_msg("moment %d: it has seen a value that was not stored", moment);
        kh_workspace_close(one);
        kit_close(where);
    }
    assert_true(conflicts > 0);
}

/* At repeatable read a replaced key that was read is replaced, whoever comes along. */
static void test_a_weak_reader_stays_weak(void **state) {
    (void)state;
    for (int moment = 1; moment < MOMENTS; moment++) {
        struct between between;
        kh_db *where = open_between(&between);
        size_t culprit = 99;
        kit_store(where, "k", 1);
        kit_store(where, "l", 1);
        kh_workspace *all[2] = {begin_in(where, KH_REPEATABLE_READ, KH_REPLACE),
                                begin_in(where, KH_SERIALIZABLE, KH_FAIL)};
        kit_get_is(kh_workspace_txn(all[0]), "k", 1);
        kit_get_is(kh_workspace_txn(all[1]), "l", 1);
        kit_put(kh_workspace_txn(all[0]), "k", 2);
        kit_put(kh_workspace_txn(all[1]), "m", 2);
        between.key = "k";
        between.clock.fire_in = moment;
        kh_status status = kh_workspace_commit_together(all, 2, NULL, &culprit, NULL);
        if (status != KH_OK) fail_msg("moment %d: status %d, culprit %zu", moment, status, culprit);
        between.clock.fire_in = 0;
        close_all(all, 2);
        kit_close(where);
    }
}

/* Rows of a key that another member has read: it is that one who failed by a rival of the key. */
static void test_rows_of_a_key_that_another_has_read(void **state) {
    (void)state;
    int conflicts = 0;
    for (int moment = 1; moment < MOMENTS; moment++) {
        struct between between;
        kh_db *where = open_between(&between);
        size_t culprit = 99;
        store_rows_in(where, "t", "1=10/100");
        kh_workspace *all[2] = {begin_in(where, KH_SERIALIZABLE, KH_FAIL),
                                begin_in(where, KH_REPEATABLE_READ, KH_FAIL)};
        get_rows(all[0], "t", "1=10/100");
        kit_put(kh_workspace_txn(all[0]), "u", 1);
        rows_in(all[1], where, "t", UPSERT, "2=20/200");
        between.key = "t";
        between.rows = "1=10/199";
        between.clock.fire_in = moment;
        kh_status status = kh_workspace_commit_together(all, 2, NULL, &culprit, NULL);
        between.clock.fire_in = 0;
        if (status != KH_OK) assert_int_equal(culprit, 0);
        conflicts += status == KH_CONFLICT;
        close_all(all, 2);
        kit_close(where);
    }
    assert_true(conflicts > 0);
}

/* A blind put at read committed has no rivals; a put that is merged is told of them. */
static void test_who_is_told_of_a_rival(void **state) {
    (void)state;
    int met = 0;
    for (int moment = 1; moment < 2 * MOMENTS; moment++) {
        bool is_merged = moment % 2 == 0;
        struct between between;
        kh_db *where = open_between(&between);
        kh_resolved resolved;
        kh_timestamp committed = 0;
        store_rows_in(where, "t", "1=10/100 2=20/200");
        kh_workspace *workspace = is_merged ? begin_in(where, KH_REPEATABLE_READ, KH_MERGE)
                                            : begin_in(where, KH_READ_COMMITTED, KH_FAIL);
        kh_batch *value = kit_rows(where, "1=10/100 2=22/200");
        kit_is(kh_workspace_put(workspace, kit_key("t"), value, NULL), KH_OK);
        kh_batch_release(value);
        between.key = "t";
        between.rows = "1=11/100 2=20/200";
        between.clock.fire_in = moment / 2;
        kit_is(kh_workspace_commit_together(&workspace, 1, &committed, NULL, NULL), KH_OK);
        between.clock.fire_in = 0;
        if (between.has_fired && between.committed < committed) {
            kit_is(kh_txn_resolved(kh_workspace_txn(workspace), 0, &resolved),
                   is_merged ? KH_OK : KH_NOT_FOUND);
            if (is_merged) assert_int_equal(resolved.rival, between.committed);
            met++;
        }
        kh_workspace_close(workspace);
        kit_close(where);
    }
    assert_true(met > 2);
}

/* Whose time runs out in the middle is the one that it failed by. The last moment for it. */
static int time_runs_out(size_t whose) {
    int expired = 0;
    int last = 0;
    for (int moment = 1; moment < 12; moment++) {
        struct between between;
        kh_db *where = open_between(&between);
        kh_workspace *all[2];
        kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
        size_t culprit = 99;
        options.txn.timeout_ms = 10;
        kit_is(kh_workspace_begin(where, &options, &all[whose], NULL), KH_OK);
        all[1 - whose] = begin_in(where, KH_REPEATABLE_READ, KH_FAIL);
        kit_put(kh_workspace_txn(all[0]), "a", 1);
        kit_put(kh_workspace_txn(all[1]), "b", 1);
        between.does_pass = true;
        between.clock.fire_in = moment;
        kh_status status = kh_workspace_commit_together(all, 2, NULL, &culprit, NULL);
        between.clock.fire_in = 0;
        if (status != KH_OK) {
            kit_is(status, KH_EXPIRED);
            assert_int_equal(culprit, whose);
            assert_int_equal(kh_workspace_state_of(all[1 - whose]), KH_WORKSPACE_ACTIVE);
            assert_int_equal(kh_workspace_state_of(all[whose]), KH_WORKSPACE_FAILED);
            expired++;
            last = moment;
        }
        close_all(all, 2);
        kit_close(where);
    }
    assert_true(expired > 1);
    return last;
}

static void test_time_runs_out(void **state) {
    (void)state;
    assert_int_equal(time_runs_out(0), time_runs_out(1));
}

/* ---- statistics ------------------------------------------------------------------------------ */

static void test_counters_add_up(void **state) {
    (void)state;
    kh_workspace *all[3];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 3; i++) all[i] = begin_with(KH_SEMANTIC_KEYS, KH_SERIALIZABLE);
        if (round == 1) kit_store(db, "b", 7);
        for (int i = 0; i < 3; i++) put(all[i], (char[]){(char)('a' + i), 0}, round);
        kh_status status = kh_workspace_commit_together(all, 3, NULL, NULL, NULL);
        assert_int_equal(status, round == 1 ? KH_CONFLICT : KH_OK);
        if (round == 1) kit_is(kh_workspace_retry(all[1], NULL), KH_OK);
        close_all(all, 3);
    }
    kh_stats stats = {.size = sizeof stats};
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    uint64_t aborts = stats.aborts_conflict + stats.aborts_not_serializable + stats.aborts_other;
    assert_int_equal(stats.begins,
                     stats.commits + stats.commits_read_only + stats.rollbacks + aborts);
    assert_true(stats.aborts_conflict > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows_of_the_first_do_not_fit, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_rows_under_a_merge_do_not_fit, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_a_late_merge_is_told_alone, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_a_late_merge_is_told_together, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_rivals_are_counted_by_sort, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_many_are_remembered, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_what_it_means_is_asked_again, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_active_as_before, open_db, close_db),
        cmocka_unit_test(test_policy_of_rows_is_each_ones_own),
        cmocka_unit_test(test_rows_on_a_merged_put),
        cmocka_unit_test(test_seen_before_a_late_merge),
        cmocka_unit_test(test_a_weak_reader_stays_weak),
        cmocka_unit_test(test_rows_of_a_key_that_another_has_read),
        cmocka_unit_test(test_who_is_told_of_a_rival),
        cmocka_unit_test(test_time_runs_out),
        cmocka_unit_test_setup_teardown(test_counters_add_up, open_db, close_db),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
