/* policy_base_test.c - what a policy takes for the base of a write at read committed: what the
 * transaction read, also when it read that there was nothing, and whatever was collected since. */
#include "support/kit.h"

struct seen {
    int calls;
    int64_t base;
};

static kh_resolution look_at_base(void *context, kh_bytes key, const kh_batch *base,
                                  const kh_batch *mine, const kh_batch *theirs, kh_batch **out) {
    struct seen *seen = context;
    (void)key, (void)theirs;
    seen->calls++;
    seen->base = kit_number_of(base);
    *out = kh_batch_retain(mine);
    return KH_RESOLVE_WRITE;
}

/* The reader of "k" finds the deletion, which is collected before it commits; the version below is
 * kept for its begin's sake. */
static void run(bool is_scanning) {
    struct seen seen = {0, 0};
    kh_db *db = kit_open();
    kh_txn *txn = NULL;
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = KH_READ_COMMITTED;
    options.policy = KH_CALLBACK;
    options.resolve = look_at_base;
    options.resolve_context = &seen;
    kit_store(db, "k", 1);
    kit_store(db, "other", 1);
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_OK);
    kit_store(db, "k", KIT_ABSENT);
    if (is_scanning) {
        kh_scan_options range = kit_range("j", "l", 0, 0);
        kit_scan_is(txn, &range, "");
    } else {
        kit_get_is(txn, "k", KIT_ABSENT);
    }
    kit_store(db, "k", 2);
    kit_get_is(txn, "other", 1);
    kit_store(db, "k", 3);
    kh_db_step(db);
    kit_put(txn, "k", 4);
    kit_is(kit_commit(txn), KH_OK);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.base, KIT_ABSENT);
    kit_load_is(db, "k", 4);
    kit_close(db);
}

static void test_found_absent(void **state) {
    (void)state;
    run(false);
}

static void test_scanned_absent(void **state) {
    (void)state;
    run(true);
}

/* Of several values that a scan showed each is the base of its key, though it is gone from the
 * store when the transaction commits. */
static void test_each_scanned_value_is_a_base(void **state) {
    (void)state;
    static const char *const keys[] = {"k1", "k2", "k3", "k4"};
    for (int i = 0; i < 4; i++) {
        struct seen seen = {0, 0};
        kh_db *db = kit_open();
        kh_txn *txn = NULL;
        kh_txn_options options = KH_TXN_OPTIONS_INIT;
        options.isolation = KH_READ_COMMITTED;
        options.policy = KH_CALLBACK;
        options.resolve = look_at_base;
        options.resolve_context = &seen;
        for (int j = 0; j < 4; j++) kit_store(db, keys[j], 10);
        kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_OK);
        for (int j = 0; j < 4; j++) kit_store(db, keys[j], 20 + j);
        kh_scan_options range = kit_range("k", "l", 0, 0);
        kit_scan_is(txn, &range, "k1=20 k2=21 k3=22 k4=23");
        kit_store(db, keys[i], 30);
        kit_get_is(txn, "other", KIT_ABSENT); /* a later statement: the scan's snapshot is gone */
        kit_store(db, keys[i], 40);
        kh_db_step(db);
        kit_put(txn, keys[i], 50);
        kit_is(kit_commit(txn), KH_OK);
        assert_int_equal(seen.calls, 1);
        assert_int_equal(seen.base, 20 + i);
        kit_close(db);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_found_absent),
                                       cmocka_unit_test(test_scanned_absent),
                                       cmocka_unit_test(test_each_scanned_value_is_a_base)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
