/* lock_ends_test.c - how key locks end, through khonsu.h: with their transaction, whatever way it
 * ends; not with a prepared one's age; and by their own. */
#include "support/locking_kit.h"

/* ---- how it ends ----------------------------------------------------------------------------- */

static void end_by(kh_db *db, kh_txn *txn, int way) {
    switch (way) {
    case 0:
        kit_put(txn, "k", 1);
        kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
        break;
    case 1:
        kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK); /* nothing written */
        break;
    case 2:
        kit_is(kh_txn_rollback(txn), KH_OK);
        break;
    case 3:
        kit_put(txn, "k", 1);
        kit_is(kh_txn_commit_start(txn, NULL), KH_OK);
        kit_is(kh_txn_wait(txn, UINT32_MAX, NULL), KH_OK);
        break;
    case 4: /* refused by certification */
        kit_get_is(txn, "rival", KIT_ABSENT);
        kit_store(db, "rival", 1);
        kit_put(txn, "rival", 2);
        kit_is(kh_txn_commit(txn, NULL, NULL), KH_CONFLICT);
        kit_store(db, "rival", KIT_ABSENT);
        break;
    default:
        kit_is(kh_db_cancel(db, kh_txn_get_id(txn), NULL), KH_OK);
    }
}

static void test_ends(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++) {
        kh_db *db = kit_open();
        for (int way = 0; way < 7; way++) {
            kh_txn *txn = kit_begin(db, kit_levels[level]);
            kit_is(locking_try(txn, "k", KH_LOCK_EXCLUSIVE), KH_OK);
            assert_false(locking_is_free(db, "k"));
            if (way == 5) { /* close alone */
                kh_txn_close(txn);
                assert_true(locking_is_free(db, "k"));
                continue;
            }
            end_by(db, txn, way);
            assert_true(locking_is_free(db, "k"));
            kh_txn_close(txn);
        }
        assert_int_equal(locking_stats(db).locks_held, 0);
        kit_close(db);
    }
}

/* Everything that it wrote gives way to a rival: the commit is one of a reader. */
static void test_end_dropped(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kit_store(db, "k", 1);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_get_is(txn, "other", KIT_ABSENT);
    kit_store(db, "k", 2);
    kh_batch *batch = kit_number(db, 3);
    kit_is(kh_txn_put_with(txn, kit_key("k"), batch, KH_IGNORE, NULL), KH_OK);
    kh_batch_release(batch);
    kit_is(locking_try(txn, "lock", KH_LOCK_EXCLUSIVE), KH_OK);
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
    assert_true(locking_is_free(db, "lock"));
    kh_txn_close(txn);
    kit_close(db);
}

/* ---- prepared -------------------------------------------------------------------------------- */

static void test_prepared_keeps_its_locks(void **state) {
    (void)state;
    for (int decision = 0; decision < 4; decision++) {
        struct kit_clock clock = {.wall_ms = 1000000, .monotonic_ns = 1000000000};
        kh_options options = kit_options();
        options.clock = kit_clock_hook(&clock);
        kh_db *db = kit_open_with(&options);
        kh_txn *txn = kit_begin(db, KH_READ_COMMITTED);
        kh_txn_id id = kh_txn_get_id(txn);
        kit_is(locking_try(txn, "read", KH_LOCK_SHARED), KH_OK);
        kit_put(txn, "k", 1);
        kit_is(kh_txn_prepare(txn, NULL), KH_OK);
        kit_clock_advance(&clock, 3600 * 1000);
        kh_db_step(db);
        assert_false(locking_is_free(db, "read"));
        kh_txn *rival = kit_begin(db, KH_READ_COMMITTED);
        kit_put(rival, "read", 9);
        kit_is(kit_commit(rival), KH_LOCK_CONFLICT);
        if (decision >= 2) kh_txn_close(txn);
        if (decision == 0) kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
        if (decision == 1) kit_is(kh_txn_rollback(txn), KH_OK);
        if (decision >= 2) kit_is(kh_db_decide(db, id, decision == 2, NULL, NULL), KH_OK);
        assert_true(locking_is_free(db, "read"));
        if (decision < 2) kh_txn_close(txn);
        kit_load_is(db, "k", decision % 2 == 0 ? 1 : KIT_ABSENT);
        kit_close(db);
    }
}

/* What a prepared one holds without a lock, nobody locks: it would change under the lock. */
static void test_held_keys(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kit_store(db, "read", 1);
    kh_txn *holder = kit_begin(db, KH_SERIALIZABLE);
    kit_get_is(holder, "read", 1);
    kit_put(holder, "k", 1);
    kit_is(kh_txn_prepare(holder, NULL), KH_OK);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(locking_try(txn, "read", KH_LOCK_SHARED), KH_OK);
    kit_is(locking_try(txn, "k", KH_LOCK_SHARED), KH_HELD);
    assert_true(locking_conflict(txn).holder.low == kh_txn_get_id(holder).low);
    kit_rollback(txn);
    txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(locking_try(txn, "read", KH_LOCK_EXCLUSIVE), KH_HELD);
    kit_rollback(txn);
    kit_commit_ok(holder);
    assert_true(locking_is_free(db, "k"));
    kit_close(db);
}

/* A database is closed with prepared ones in it; their holds are what the log has of them. */
static void test_closed_while_prepared(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(locking_try(txn, "k", KH_LOCK_EXCLUSIVE), KH_OK);
    kit_put(txn, "k", 1);
    assert_int_equal(kh_db_close(db), KH_IN_USE);
    kit_is(kh_txn_prepare(txn, NULL), KH_OK);
    kh_txn_close(txn);
    kit_close(db);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void test_locks_expire(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++) {
        for (int does_write = 0; does_write < 2; does_write++) {
            struct kit_clock clock = {.wall_ms = 1000000, .monotonic_ns = 1000000000};
            kh_options options = kit_options();
            options.clock = kit_clock_hook(&clock);
            options.timeout_ms = 600000;
            options.lock_timeout_ms = does_write ? 0 : 20000; /* 0: 30 seconds */
            kh_db *db = kit_open_with(&options);
            uint32_t limit_ms = does_write ? 30000 : 20000;
            kh_txn *txn = kit_begin(db, kit_levels[level]);
            kit_clock_advance(&clock, 100000); /* the transaction's age is not the lock's */
            kit_is(locking_try(txn, "k", KH_LOCK_EXCLUSIVE), KH_OK);
            if (does_write) kit_put(txn, "k", 1);
            kit_clock_advance(&clock, limit_ms - 1);
            assert_false(locking_is_free(db, "k"));
            kit_get_is(txn, "z", KIT_ABSENT);
            kit_clock_advance(&clock, 1);
            assert_true(locking_is_free(db, "k")); /* nobody has come by but who wants it */
            kit_is(kit_commit(txn), KH_EXPIRED);
            assert_int_equal(locking_stats(db).lock_expirations, 1);
            kit_load_is(db, "k", KIT_ABSENT);
            kit_close(db);
        }
    }
}

/* ---- in the middle of a commit ---- */

struct meddler {
    struct kit_clock clock;
    kh_db *db;
    bool is_taken;
};

/* Called by a commit whose door the time had not passed yet. */
static kh_resolution meddle(void *context, kh_bytes key, const kh_batch *base, const kh_batch *mine,
                            const kh_batch *theirs, kh_batch **out) {
    struct meddler *meddler = context;
    (void)key;
    (void)base;
    (void)theirs;
    kit_clock_advance(&meddler->clock, 30000);
    meddler->is_taken = locking_is_free(meddler->db, "lock");
    *out = kh_batch_retain(mine);
    return KH_RESOLVE_WRITE;
}

/* Somebody else has the lock by now: what was done under it is not committed. */
static void test_lock_expires_while_it_commits(void **state) {
    (void)state;
    static struct meddler meddler;
    memset(&meddler, 0, sizeof meddler);
    meddler.clock = (struct kit_clock){.wall_ms = 1000000, .monotonic_ns = 1000000000};
    kh_options options = kit_options();
    options.clock = kit_clock_hook(&meddler.clock);
    options.timeout_ms = 600000;
    options.policy = KH_CALLBACK;
    options.resolve = meddle;
    options.resolve_context = &meddler;
    kh_db *db = meddler.db = kit_open_with(&options);
    kit_store(db, "k", 1);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(locking_try(txn, "lock", KH_LOCK_EXCLUSIVE), KH_OK);
    kit_get_is(txn, "other", KIT_ABSENT);
    kit_store(db, "k", 2);
    kit_put(txn, "k", 3);
    kit_is(kit_commit(txn), KH_EXPIRED);
    assert_true(meddler.is_taken);
    kit_load_is(db, "k", 2);
    kit_close(db);
}

/* Without anybody who wants it: the next call says so, and the periodic work lets go. */
static void test_locks_expire_alone(void **state) {
    (void)state;
    for (int way = 0; way < 3; way++) {
        struct kit_clock clock = {.wall_ms = 1000000, .monotonic_ns = 1000000000};
        kh_options options = kit_options();
        options.clock = kit_clock_hook(&clock);
        options.timeout_ms = 600000;
        kh_db *db = kit_open_with(&options);
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        kit_is(locking_try(txn, "k", KH_LOCK_EXCLUSIVE), KH_OK);
        kit_clock_advance(&clock, 30001);
        if (way == 0) kit_is(kh_txn_exists(txn, kit_key("k"), &(bool){false}, NULL), KH_EXPIRED);
        if (way == 1) kit_is(locking_try(txn, "other", KH_LOCK_SHARED), KH_EXPIRED);
        if (way == 2) kh_db_step(db);
        assert_int_equal(locking_stats(db).locks_held, 0);
        kit_is(kit_commit(txn), KH_EXPIRED);
        kit_close(db);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_end_dropped),
        cmocka_unit_test(test_prepared_keeps_its_locks),
        cmocka_unit_test(test_held_keys),
        cmocka_unit_test(test_closed_while_prepared),
        cmocka_unit_test(test_locks_expire),
        cmocka_unit_test(test_lock_expires_while_it_commits),
        cmocka_unit_test(test_locks_expire_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
