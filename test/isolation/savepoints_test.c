/* savepoints_test.c - rolling back to a savepoint undoes writes and their policies, and nothing
 * that the program has seen: neither reads nor pending values read back. */
#include "support/kit.h"

static int open_db(void **state) {
    kh_db *db = kit_open();
    kit_store(db, "k", 1);
    *state = db;
    return 0;
}

static int close_db(void **state) {
    kit_close(*state);
    return 0;
}

static void put_with(kh_txn *txn, int64_t number, kh_policy policy) {
    kh_batch *value = kit_number(NULL, number);
    kit_is(kh_txn_put_with(txn, kit_key("k"), value, policy, NULL), KH_OK);
    kh_batch_release(value);
}

static uint32_t mark(kh_txn *txn) {
    uint32_t savepoint = 0;
    kit_is(kh_txn_savepoint(txn, &savepoint, NULL), KH_OK);
    return savepoint;
}

static void back_to(kh_txn *txn, uint32_t savepoint) {
    kit_is(kh_txn_rollback_to(txn, savepoint, NULL), KH_OK);
}

/* What becomes of a put of 7 under a policy, when a rival has put 9. */
static void meets_rival(kh_db *db, kh_txn *txn, kh_policy policy) {
    kit_store(db, "k", 9);
    kit_is(kit_commit(txn), policy == KH_FAIL ? KH_CONFLICT : KH_OK);
    kit_load_is(db, "k", policy == KH_REPLACE ? 7 : 9);
    kit_store(db, "k", 1);
}

static void test_policies_come_back(void **state) {
    static const kh_policy policies[] = {KH_FAIL, KH_REPLACE, KH_IGNORE};
    kh_db *db = *state;
    for (int i = 0; i < 9; i++) {
        kh_policy before = policies[i / 3];
        kh_policy after = policies[i % 3];
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        put_with(txn, 7, before);
        uint32_t savepoint = mark(txn);
        put_with(txn, 8, after);
        back_to(txn, savepoint);
        meets_rival(db, txn, before);
        txn = kit_begin(db, KH_REPEATABLE_READ);
        put_with(txn, 8, before);
        (void)mark(txn);
        put_with(txn, 7, after);
        meets_rival(db, txn, after); /* not rolled back */
    }
}

/* Also over several savepoints, a delete, and a write that was undone and made again. */
static void test_nested(void **state) {
    kh_db *db = *state;
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    uint32_t first = mark(txn);
    put_with(txn, 7, KH_REPLACE);
    uint32_t second = mark(txn);
    kit_is(kh_txn_delete_with(txn, kit_key("k"), KH_IGNORE, NULL), KH_OK);
    uint32_t third = mark(txn);
    put_with(txn, 8, KH_FAIL);
    back_to(txn, third);
    back_to(txn, second);
    kit_get_is(txn, "k", 7);
    back_to(txn, first);
    kit_get_is(txn, "k", 1);
    put_with(txn, 7, KH_REPLACE);
    (void)mark(txn);
    meets_rival(db, txn, KH_REPLACE);
}

/* A pending value that was read back stays read back when it is undone: the program may have acted
 * on it. */
static void test_read_back_stays(void **state) {
    kh_db *db = *state;
    for (int is_read = 0; is_read < 2; is_read++) {
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        put_with(txn, 7, KH_IGNORE);
        uint32_t savepoint = mark(txn);
        put_with(txn, 8, KH_IGNORE);
        if (is_read) kit_get_is(txn, "k", 8);
        back_to(txn, savepoint);
        kit_store(db, "k", 9);
        kit_is(kit_commit(txn), is_read ? KH_CONFLICT : KH_OK);
        kit_load_is(db, "k", 9);
        kit_store(db, "k", 1);
    }
}

/* Nothing is left of a write that was undone: no conflict, no value, no room taken. */
static void test_an_undone_write_is_none(void **state) {
    kh_db *db = *state;
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    uint32_t savepoint = mark(txn);
    put_with(txn, 7, KH_FAIL);
    kit_put(txn, "new", 7);
    back_to(txn, savepoint);
    kit_get_is(txn, "k", 1);
    kit_get_is(txn, "new", KIT_ABSENT);
    kit_store(db, "k", 9);
    kit_put(txn, "other", 1);
    kit_commit_ok(txn);
    kit_load_is(db, "k", 9);
    kit_load_is(db, "new", KIT_ABSENT);
}

#define ON_DB(test) cmocka_unit_test_setup_teardown(test, open_db, close_db)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_DB(test_policies_come_back),
        ON_DB(test_nested),
        ON_DB(test_read_back_stays),
        ON_DB(test_an_undone_write_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
