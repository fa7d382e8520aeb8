/* stats_test.c - the counters after a script whose counts are known, and both texts of them. */
#include "support/kit.h"

static kh_stats stats_of(kh_db *db) {
    kh_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    return stats;
}

static kh_resolution take_mine(void *context, kh_bytes key, const kh_batch *base,
                               const kh_batch *mine, const kh_batch *theirs, kh_batch **out) {
    (void)context, (void)key, (void)base, (void)theirs;
    *out = kh_batch_retain(mine);
    return KH_RESOLVE_WRITE;
}

static void put_rows(kh_txn *txn, const char *key, const char *text) {
    kh_batch *rows = kit_rows(NULL, text);
    kit_is(kh_txn_put(txn, kit_key(key), rows, NULL), KH_OK);
    kh_batch_release(rows);
}

/* A write under the policy that meets a rival. */
static kh_status meet_rival(kh_db *db, kh_policy policy, bool is_rows) {
    kh_txn *rival = kit_begin(db, KH_READ_COMMITTED);
    kh_txn *txn = kit_begin_with(db, KH_REPEATABLE_READ, policy, 0);
    if (is_rows) {
        kh_batch *rows = kit_rows(NULL, "9=9/9");
        kit_is(kh_txn_upsert_rows(txn, kit_key("r"), rows, NULL), KH_OK);
        kh_batch_release(rows);
    } else {
        put_rows(txn, "r", "1=1/1 2=2/2");
    }
    put_rows(rival, "r", "1=1/1");
    kit_commit_ok(rival);
    return kit_commit(txn);
}

static void test_resolved(void **state) {
    (void)state;
    kh_options options = kit_options();
    options.resolve = take_mine;
    kh_db *db = kit_open_with(&options);
    kh_txn *first = kit_begin(db, KH_READ_COMMITTED);
    put_rows(first, "r", "1=1/1");
    kit_commit_ok(first);
    kit_is(meet_rival(db, KH_FAIL, false), KH_CONFLICT);
    kit_is(meet_rival(db, KH_IGNORE, false), KH_OK);
    kit_is(meet_rival(db, KH_REPLACE, false), KH_OK);
    kit_is(meet_rival(db, KH_APPEND, false), KH_OK);
    kit_is(meet_rival(db, KH_MERGE, false), KH_OK);
    kit_is(meet_rival(db, KH_CALLBACK, false), KH_OK);
    kit_is(meet_rival(db, KH_FAIL, true), KH_OK);
    kh_stats stats = stats_of(db);
    assert_int_equal(stats.aborts_conflict, 1);
    assert_int_equal(stats.resolved_ignore, 1);
    assert_int_equal(stats.resolved_replace, 1);
    assert_int_equal(stats.resolved_append, 1);
    assert_int_equal(stats.resolved_merge, 1);
    assert_int_equal(stats.resolved_callback, 1);
    assert_int_equal(stats.resolved_rows, 1);
    assert_int_equal(stats.begins, 1 + 7 * 2);
    assert_true(stats.hot_key_count >= 1);
    assert_memory_equal(stats.hot_keys[0].key, "r", 1);
    assert_int_equal(stats.hot_keys[0].key_bytes, 1);
    assert_true(stats.hot_keys[0].conflicts >= 1);
    kit_close(db);
}

static void count_aborts(kh_db *db) {
    kh_txn *t1 = kit_begin(db, KH_SERIALIZABLE);
    kh_txn *t2 = kit_begin(db, KH_SERIALIZABLE);
    (void)kit_get(t1, "a");
    (void)kit_get(t2, "b");
    kit_put(t1, "b", 1);
    kit_put(t2, "a", 1);
    kit_commit_ok(t1);
    kit_is(kit_commit(t2), KH_NOT_SERIALIZABLE);
    kh_txn *rows = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *batch = kit_rows(NULL, "1=1/1");
    kit_is(kh_txn_update_rows(rows, kit_key("none"), batch, NULL), KH_OK);
    kh_batch_release(batch);
    kit_is(kit_commit(rows), KH_ROW_NOT_FOUND);
    kit_rollback(kit_begin(db, KH_REPEATABLE_READ));
}

static void test_counts(void **state) {
    (void)state;
    kh_db *db = kit_open();
    char text[KIT_TEXT_BYTES];
    kit_store(db, "a", 1);
    kit_store(db, "b", 1);
    kh_stats before = stats_of(db);
    assert_int_equal(before.commits, 2);
    assert_int_equal(before.writes, 2);
    kh_txn *reader = kit_begin_with(db, KH_REPEATABLE_READ, KH_FAIL, KH_BEGIN_READ_ONLY);
    kh_watch *watch = NULL;
    kit_is(kh_watch_open(db, kit_key("z"), &watch, NULL), KH_OK);
    (void)kit_get(reader, "a");
    (void)kit_get(reader, "b");
    kit_scan(reader, NULL, text);
    kh_stats during = stats_of(db);
    assert_int_equal(during.snapshots, 1);
    assert_int_equal(during.watches, 1);
    assert_int_equal(during.oldest_snapshot_txn.low, kh_txn_get_id(reader).low);
    kit_commit_ok(reader);
    kh_watch_close(watch);
    count_aborts(db);
    kh_stats after = stats_of(db);
    assert_int_equal(after.commits_read_only - before.commits_read_only, 1);
    assert_int_equal(after.reads - before.reads, 4);
    assert_int_equal(after.scanned - before.scanned, 2);
    assert_int_equal(after.aborts_not_serializable, 1);
    assert_int_equal(after.aborts_rows, 1);
    assert_int_equal(after.rollbacks, 1);
    assert_int_equal(after.commits, 3);
    assert_int_equal(after.snapshots, 0);
    assert_int_equal(after.watches, 0);
    assert_int_equal(after.prepared, 0);
    assert_int_equal(after.in_flight, 0);
    assert_int_equal(after.keys, 2);
    assert_true(after.memory_bytes > 0 && after.index_bytes > 0);
    kit_close(db);
}

/* A prepared transaction ends once, too, whoever decides it. */
static void test_prepared_ends(void **state) {
    (void)state;
    for (int how = 0; how < 4; how++) {
        kh_db *db = kit_open();
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        kh_txn_id id = kh_txn_get_id(txn);
        kit_put(txn, "a", 1);
        kit_is(kh_txn_prepare(txn, NULL), KH_OK);
        bool is_commit = how % 2 == 0;
        if (how < 2) {
            kit_is(is_commit ? kh_txn_commit(txn, NULL, NULL) : kh_txn_rollback(txn), KH_OK);
            kh_txn_close(txn);
        } else {
            kh_txn_close(txn);
            kit_is(kh_db_decide(db, id, is_commit, NULL, NULL), KH_OK);
        }
        kh_stats stats = stats_of(db);
        assert_int_equal(stats.begins, 1);
        assert_int_equal(stats.commits, is_commit);
        assert_int_equal(stats.rollbacks, !is_commit);
        kit_close(db);
    }
}

static void test_versions(void **state) {
    (void)state;
    kh_db *db = kit_open();
    for (int i = 0; i < 100; i++) {
        kit_store(db, "k", i);
    }
    kh_db_step(db);
    assert_int_equal(stats_of(db).versions_live, 1);
    assert_int_equal(stats_of(db).versions_reclaimed, 99);
    kh_txn *reader = kit_begin(db, KH_REPEATABLE_READ);
    for (int i = 0; i < 100; i++) {
        kit_store(db, "k", i);
    }
    kh_db_step(db);
    assert_int_equal(stats_of(db).versions_live, 2); /* keys + snapshots x keys */
    kit_commit_ok(reader);
    kit_store(db, "k", KIT_ABSENT);
    kh_db_step(db);
    assert_int_equal(stats_of(db).versions_live, 0);
    assert_int_equal(stats_of(db).keys, 0);
    kit_close(db);
}

static void test_texts(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kh_bytes text = {NULL, 0};
    kit_store(db, "k", 1);
    kit_is(kh_db_stats_text(db, KH_STATS_JSON, &text, NULL), KH_OK);
    assert_int_equal(((const char *)text.data)[text.size_bytes], '\0');
    assert_int_equal(((const char *)text.data)[0], '{');
    assert_non_null(strstr(text.data, "\"commits\""));
    kh_bytes_free(text);
    kit_is(kh_db_stats_text(db, KH_STATS_PROMETHEUS, &text, NULL), KH_OK);
    assert_non_null(strstr(text.data, "# TYPE khonsu_"));
    kh_bytes_free(text);
    kh_stats stats;
    stats.size = 1;
    kit_is(kh_db_stats(db, &stats, NULL), KH_INVALID);
    kit_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolved),      cmocka_unit_test(test_counts),
        cmocka_unit_test(test_prepared_ends), cmocka_unit_test(test_versions),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
