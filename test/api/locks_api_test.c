/* locks_api_test.c - key locks through khonsu.h: the moved snapshot, what answers at once, commits
 * of locked keys, how a lock ends; at all three levels. One thread; waits are in lock_waits_test.c.
 */
#include "support/locking_kit.h"

/* ---- the snapshot ---------------------------------------------------------------------------- */

/* Before the first read: what was committed until the grant is seen, and is no rival. */
static void test_snapshot_moves(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++) {
        kh_db *db = kit_open();
        kit_store(db, "k", 1);
        kh_txn *txn = kit_begin(db, kit_levels[level]);
        kit_put(txn, "blind", 5);
        kh_timestamp before = kh_txn_snapshot(txn);
        kit_store(db, "k", 2);
        kit_store(db, "blind", 3);
        kit_is(locking_try(txn, "k", KH_LOCK_EXCLUSIVE), KH_OK);
        assert_true(kh_txn_snapshot(txn) > before);
        kit_get_is(txn, "k", 2);
        kit_put(txn, "k", 3);
        kit_commit_ok(txn);
        kit_load_is(db, "k", 3);
        kit_load_is(db, "blind", 5);
        kit_close(db);
    }
}

/* After it: at once, with the rival; read committed minds only what it has read of that key. */
static void test_changed_answers_at_once(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++) {
        for (int mode = KH_LOCK_SHARED; mode <= KH_LOCK_EXCLUSIVE; mode++) {
            kh_db *db = kit_open();
            kit_store(db, "k", 1);
            kit_store(db, "other", 1);
            kh_txn *txn = kit_begin(db, kit_levels[level]);
            kit_get_is(txn, "k", 1);
            kit_is(locking_try(txn, "other", (kh_lock_mode)mode), KH_OK);
            kit_store(db, "k", 2);
            kh_timestamp rival = kh_db_now(db);
            kit_is(locking_try(txn, "k", (kh_lock_mode)mode), KH_CONFLICT);
            assert_true(locking_conflict(txn).rival == rival);
            assert_true(kit_bytes_equal(locking_conflict(txn).key, kit_key("k")));
            assert_true(locking_is_free(db, "other")); /* it has failed for good */
            kit_is(locking_try(txn, "other", KH_LOCK_SHARED), KH_CONFLICT);
            kit_is(kit_commit(txn), KH_CONFLICT);
            kit_close(db);
        }
    }
}

static void test_changed_elsewhere(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++) {
        kh_db *db = kit_open();
        kit_store(db, "seen", 1);
        kit_store(db, "k", 1);
        kh_txn *txn = kit_begin(db, kit_levels[level]);
        kit_get_is(txn, "seen", 1);
        kit_store(db, "k", 2);
        bool is_weak = kit_levels[level] == KH_READ_COMMITTED;
        kit_is(locking_try(txn, "k", KH_LOCK_EXCLUSIVE), is_weak ? KH_OK : KH_CONFLICT);
        if (is_weak) kit_get_is(txn, "k", 2);
        kit_rollback(txn);
        kit_close(db);
    }
}

/* Absent keys, and keys that were deleted, are keys like any other. */
static void test_absent_keys(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++) {
        kh_db *db = kit_open();
        kh_txn *txn = kit_begin(db, kit_levels[level]);
        kit_is(locking_try(txn, "new", KH_LOCK_EXCLUSIVE), KH_OK);
        kh_txn *rival = kit_begin(db, kit_levels[level]);
        kit_put(rival, "new", 1);
        kit_is(kit_commit(rival), KH_LOCK_CONFLICT);
        kit_get_is(txn, "new", KIT_ABSENT);
        kit_store(db, "other", 1);
        kit_is(locking_try(txn, "new", KH_LOCK_SHARED), KH_OK); /* again */
        kit_put(txn, "new", 2);
        kit_commit_ok(txn);
        kh_txn *late = kit_begin(db, kit_levels[level]);
        kit_get_is(late, "new", 2);
        kit_store(db, "new", KIT_ABSENT);
        kit_is(locking_try(late, "new", KH_LOCK_SHARED), KH_CONFLICT);
        kit_rollback(late);
        kit_close(db);
    }
}

/* A cursor that has returned nothing yet reads at the old snapshot: the snapshot stays. */
static void test_cursor_is_a_read(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kit_store(db, "k", 1);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_cursor *cursor = NULL;
    kit_is(kh_txn_scan(txn, NULL, &cursor, NULL), KH_OK);
    kit_store(db, "k", 2);
    kit_is(locking_try(txn, "free", KH_LOCK_SHARED), KH_OK);
    kit_is(locking_try(txn, "k", KH_LOCK_SHARED), KH_CONFLICT);
    kh_cursor_close(cursor);
    kit_rollback(txn);
    kit_close(db);
}

/* Write skew is none of the locks' business: certification finds it whether or not a snapshot was
 * moved before the reads. */
static void test_write_skew_is_found(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kit_store(db, "x", 1);
    kit_store(db, "y", 1);
    kh_txn *one = kit_begin(db, KH_SERIALIZABLE);
    kh_txn *two = kit_begin(db, KH_SERIALIZABLE);
    kit_store(db, "x", 2);
    kit_is(locking_try(one, "a", KH_LOCK_EXCLUSIVE), KH_OK);
    kit_is(locking_try(two, "b", KH_LOCK_EXCLUSIVE), KH_OK);
    kit_get_is(one, "x", 2);
    kit_get_is(two, "y", 1);
    kit_put(one, "y", 7);
    kit_put(two, "x", 7);
    kit_commit_ok(one);
    kit_is(kit_commit(two), KH_NOT_SERIALIZABLE);
    kit_close(db);
}

/* Who waits for a safe snapshot does not wait for one that has moved beyond it: the transaction can
 * commit above it only. */
static void test_safe_snapshots(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kit_store(db, "k", 1);
    kh_txn *writer = kit_begin(db, KH_SERIALIZABLE);
    kit_store(db, "k", 2);
    kh_txn *reader = NULL;
    uint32_t flags = KH_BEGIN_READ_ONLY | KH_BEGIN_DEFERRABLE;
    kit_is(kit_try_begin(db, KH_SERIALIZABLE, KH_FAIL, flags, &reader), KH_BUSY);
    kit_is(locking_try(writer, "k", KH_LOCK_EXCLUSIVE), KH_OK);
    kit_is(kit_try_begin(db, KH_SERIALIZABLE, KH_FAIL, flags, &reader), KH_OK);
    kit_get_is(writer, "k", 2);
    kit_put(writer, "k", 3);
    kit_commit_ok(writer);
    kit_get_is(reader, "k", 2);
    kit_commit_ok(reader);
    kit_close(db);
}

/* ---- commits of locked keys ------------------------------------------------------------------ */

static kh_txn *write_in(kh_db *db, int kind, kh_isolation level) {
    kh_txn *txn = kit_begin(db, level);
    kh_batch *rows = kit_rows(db, "1=2/3");
    switch (kind) {
    case 0:
        kit_put(txn, "k", 7);
        break;
    case 1:
        kit_delete(txn, "k");
        break;
    case 2:
        kit_is(kh_txn_upsert_rows(txn, kit_key("k"), rows, NULL), KH_OK);
        break;
    default:
        kit_is(kh_txn_put_with(txn, kit_key("k"), rows, (kh_policy)(KH_IGNORE + kind - 3), NULL),
               KH_OK);
    }
    kh_batch_release(rows);
    return txn;
}

static kh_status end_in(kh_txn *txn, int way) {
    kh_status status = way == 0   ? kh_txn_commit(txn, NULL, NULL)
                       : way == 1 ? kh_txn_prepare(txn, NULL)
                                  : kh_txn_commit_start(txn, NULL);
    return status;
}

static void test_commit_is_refused(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++) {
        kh_db *db = kit_open();
        uint64_t refused = 0;
        for (int kind = 0; kind < 7; kind++) {
            for (int way = 0; way < 3; way++) {
                kh_lock_mode mode = way == 0 ? KH_LOCK_SHARED : KH_LOCK_EXCLUSIVE;
                kh_txn *holder = kit_begin(db, KH_READ_COMMITTED);
                kit_is(locking_try(holder, "k", mode), KH_OK);
                kh_txn *txn = write_in(db, kind, kit_levels[level]);
                kit_is(end_in(txn, way), KH_LOCK_CONFLICT);
                kh_conflict conflict = locking_conflict(txn);
                kit_is(conflict.status, KH_LOCK_CONFLICT);
                assert_true(conflict.holder.low == kh_txn_get_id(holder).low);
                assert_true(kit_bytes_equal(conflict.key, kit_key("k")));
                kh_txn_close(txn);
                refused++;
                kit_rollback(holder);
            }
        }
        assert_int_equal(locking_stats(db).aborts_locked, refused);
        kit_load_is(db, "k", KIT_ABSENT);
        kit_close(db);
    }
}

/* Own locks are in nobody's way but others'; what was undone is not written. */
static void test_commit_passes(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++) {
        kh_db *db = kit_open();
        kh_txn *holder = kit_begin(db, kit_levels[level]);
        kit_is(locking_try(holder, "k", KH_LOCK_SHARED), KH_OK);
        kh_txn *txn = kit_begin(db, kit_levels[level]);
        uint32_t savepoint = 0;
        kit_is(kh_txn_savepoint(txn, &savepoint, NULL), KH_OK);
        kit_put(txn, "k", 1);
        kit_is(kh_txn_rollback_to(txn, savepoint, NULL), KH_OK);
        kit_put(txn, "other", 1);
        kit_commit_ok(txn);
        kit_put(holder, "k", 2); /* a shared lock does */
        kit_commit_ok(holder);
        kit_load_is(db, "k", 2);
        kit_close(db);
    }
}

/* Two shared holders: neither may write. */
static void test_shared_holders(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kh_txn *one = kit_begin(db, KH_SERIALIZABLE);
    kh_txn *two = kit_begin(db, KH_SERIALIZABLE);
    kit_is(locking_try(one, "k", KH_LOCK_SHARED), KH_OK);
    kit_is(locking_try(two, "k", KH_LOCK_SHARED), KH_OK);
    kit_is(locking_try(one, "k", KH_LOCK_EXCLUSIVE), KH_LOCK_CONFLICT);
    kit_put(one, "k", 1);
    kit_is(kit_commit(one), KH_LOCK_CONFLICT);
    kit_is(locking_try(two, "k", KH_LOCK_EXCLUSIVE), KH_OK);
    kit_put(two, "k", 2);
    kit_commit_ok(two);
    assert_int_equal(locking_stats(db).lock_upgrades, 1);
    kit_close(db);
}

/* ---- trying ---------------------------------------------------------------------------------- */

static void test_try_goes_on(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++) {
        kh_db *db = kit_open();
        kh_txn *holder = kit_begin(db, kit_levels[level]);
        kit_is(locking_try(holder, "b", KH_LOCK_EXCLUSIVE), KH_OK);
        kh_txn *txn = kit_begin(db, kit_levels[level]);
        kh_lock locks[3] = {{kit_key("a"), KH_LOCK_EXCLUSIVE},
                            {kit_key("b"), KH_LOCK_SHARED},
                            {kit_key("c"), KH_LOCK_EXCLUSIVE}};
        kh_lock_options options = {sizeof options, KH_LOCK_TRY, 0};
        kh_error error;
        kit_is(kh_txn_lock(txn, locks, 3, &options, &error), KH_LOCK_CONFLICT);
        assert_true(locking_conflict(txn).holder.low == kh_txn_get_id(holder).low);
        assert_non_null(strstr(error.message, "has locked"));
        assert_true(locking_is_free(db, "a"));
        assert_true(locking_is_free(db, "c"));
        /* Without threads nobody waits. */
        kit_is(locking_lock(txn, "b", KH_LOCK_SHARED, 0), KH_LOCK_CONFLICT);
        kit_put(txn, "a", 1);
        kit_commit_ok(txn);
        kit_rollback(holder);
        assert_int_equal(locking_stats(db).locks_held, 0);
        kit_close(db);
    }
}

static void test_many_keys(void **state) {
    enum { MANY = 500 };
    static char names[MANY][16];
    static kh_lock locks[MANY];
    (void)state;
    kh_db *db = kit_open();
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "n%d", i);
        locks[i] = (kh_lock){kit_key(names[i]), KH_LOCK_EXCLUSIVE};
    }
    kit_is(kh_txn_lock(txn, locks, MANY, NULL, NULL), KH_OK);
    assert_int_equal(locking_stats(db).locks_held, MANY);
    assert_false(locking_is_free(db, "n499"));
    kit_rollback(txn);
    assert_int_equal(locking_stats(db).locks_held, 0);
    kit_close(db);
}

/* ---- who may not ----------------------------------------------------------------------------- */

static void test_read_only(void **state) {
    (void)state;
    kh_db *db = kit_open();
    for (int level = 0; level < 3; level++) {
        for (int mode = KH_LOCK_SHARED; mode <= KH_LOCK_EXCLUSIVE; mode++) {
            kh_txn *txn = kit_begin_with(db, kit_levels[level], KH_FAIL, KH_BEGIN_READ_ONLY);
            kit_is(locking_try(txn, "k", (kh_lock_mode)mode), KH_READ_ONLY);
            kit_commit_ok(txn);
        }
    }
    kh_txn *txn =
        kit_begin_with(db, KH_SERIALIZABLE, KH_FAIL, KH_BEGIN_READ_ONLY | KH_BEGIN_DEFERRABLE);
    kit_is(locking_try(txn, "k", KH_LOCK_SHARED), KH_READ_ONLY);
    kit_commit_ok(txn);
    kit_is(kh_txn_begin_at(db, kh_db_now(db), &txn, NULL), KH_OK);
    kit_is(locking_try(txn, "k", KH_LOCK_SHARED), KH_READ_ONLY);
    kit_rollback(txn);
    kit_close(db);
}

static void test_arguments(void **state) {
    (void)state;
    static char large[65537];
    memset(large, 'x', sizeof large - 1);
    kh_db *db = kit_open();
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_lock lock = {kit_key("k"), KH_LOCK_SHARED};
    kh_lock_options options = KH_LOCK_OPTIONS_INIT;
    kit_is(kh_txn_lock(txn, NULL, 0, NULL, NULL), KH_OK);
    options.flags = 2;
    kit_is(kh_txn_lock(txn, &lock, 1, &options, NULL), KH_INVALID);
    options.flags = 0;
    options.size = sizeof options + 1;
    kit_is(kh_txn_lock(txn, &lock, 1, &options, NULL), KH_INVALID);
    options.size = sizeof options.size + sizeof options.flags; /* an older caller's */
    kit_is(kh_txn_lock(txn, &lock, 1, &options, NULL), KH_OK);
    lock.mode = (kh_lock_mode)3;
    kit_is(kh_txn_lock(txn, &lock, 1, NULL, NULL), KH_INVALID);
    lock.mode = (kh_lock_mode)0;
    kit_is(kh_txn_lock(txn, &lock, 1, NULL, NULL), KH_INVALID);
    lock = (kh_lock){{"", 0}, KH_LOCK_SHARED};
    kit_is(kh_txn_lock(txn, &lock, 1, NULL, NULL), KH_INVALID);
    lock.key = kit_key(large);
    kit_is(kh_txn_lock(txn, &lock, 1, NULL, NULL), KH_TOO_BIG);
    lock.key.size_bytes--;
    kit_is(kh_txn_lock(txn, &lock, 1, NULL, NULL), KH_OK);
    kit_is(kh_txn_deadlock(txn, NULL, 0, &(size_t){0}), KH_NOT_FOUND);
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
    kit_is(kh_txn_lock(txn, &lock, 1, NULL, NULL), KH_FINISHED);
    kh_txn_close(txn);
    kit_close(db);
}

static void test_options(void **state) {
    (void)state;
    kh_options options = kit_options();
    kh_db *db = NULL;
    options.lock_victim = (kh_lock_victim)4;
    kit_is(kh_db_open(&options, &db, NULL), KH_INVALID);
    options = kit_options();
    options.lock_wait = (kh_lock_wait)3;
    kit_is(kh_db_open(&options, &db, NULL), KH_INVALID);
    db = kit_open();
    kh_txn_options txn_options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    txn_options.lock_wait = (kh_lock_wait)3;
    kit_is(kh_txn_begin(db, &txn_options, &txn, NULL), KH_INVALID);
    txn_options.lock_wait = KH_LOCK_REFUSE;
    kit_is(kh_txn_begin(db, &txn_options, &txn, NULL), KH_OK);
    kit_rollback(txn);
    kit_close(db);
}

/* Too many for one transaction, however they are asked for. */
static void test_limit(void **state) {
    enum { LIMIT = 65536 };
    static kh_lock locks[LIMIT + 1];
    (void)state;
    kh_db *db = kit_open();
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    for (int i = 0; i <= LIMIT; i++) locks[i] = (kh_lock){kit_key("k"), KH_LOCK_SHARED};
    kit_is(kh_txn_lock(txn, locks, LIMIT + 1, NULL, NULL), KH_TOO_BIG);
    kit_is(kh_txn_lock(txn, locks, LIMIT, NULL, NULL), KH_OK);
    kit_is(kh_txn_lock(txn, locks, 1, NULL, NULL), KH_TOO_BIG);
    kit_commit_ok(txn);
    kit_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot_moves),    cmocka_unit_test(test_changed_answers_at_once),
        cmocka_unit_test(test_changed_elsewhere), cmocka_unit_test(test_absent_keys),
        cmocka_unit_test(test_cursor_is_a_read),  cmocka_unit_test(test_write_skew_is_found),
        cmocka_unit_test(test_safe_snapshots),    cmocka_unit_test(test_commit_is_refused),
        cmocka_unit_test(test_commit_passes),     cmocka_unit_test(test_shared_holders),
        cmocka_unit_test(test_try_goes_on),       cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_read_only),         cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_options),           cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
