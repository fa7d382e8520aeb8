/* claims_test.c - a commit that rivals overtake again and again: after some tries it claims its
 * keys, and then it is the others who wait. */
#include "support/kit.h"

struct rivalry {
    kh_db *db;
    kh_policy policy; /* of the rival */
    int calls;
    int busy;
    int committed;
};

/* Another commit of the same key, in the middle of ours. */
static kh_resolution overtake(void *context, kh_bytes key, const kh_batch *base,
                              const kh_batch *mine, const kh_batch *theirs, kh_batch **out) {
    struct rivalry *rivalry = context;
    (void)base;
    (void)theirs;
    *out = mine == NULL ? NULL : kh_batch_retain(mine);
    if (++rivalry->calls > 20) return KH_RESOLVE_WRITE; /* it would go on for ever */
    kh_txn *rival = kit_begin_with(rivalry->db, KH_REPEATABLE_READ, rivalry->policy, 0);
    kh_batch *value = kit_number(rivalry->db, 1000 + rivalry->calls);
    kit_is(kh_txn_put(rival, key, value, NULL), KH_OK);
    kh_batch_release(value);
    kh_status status = kit_commit(rival);
    rivalry->busy += status == KH_BUSY;
    rivalry->committed += status == KH_OK;
    return KH_RESOLVE_WRITE;
}

static kh_txn *begin(struct rivalry *rivalry, kh_isolation isolation) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.isolation = isolation;
    options.policy = KH_CALLBACK;
    options.resolve = overtake;
    options.resolve_context = rivalry;
    kit_is(kh_txn_begin(rivalry->db, &options, &txn, NULL), KH_OK);
    return txn;
}

static void test_the_third_rival_waits(void **state) {
    (void)state;
    static const kh_isolation levels[] = {KH_REPEATABLE_READ, KH_SERIALIZABLE};
    for (int i = 0; i < 2; i++) {
        struct rivalry rivalry = {.db = kit_open(), .policy = KH_REPLACE};
        kit_store(rivalry.db, "k", 1);
        kh_txn *txn = begin(&rivalry, levels[i]);
        kit_put(txn, "k", 7);
        kit_put(txn, "beside", 7);
        kit_store(rivalry.db, "k", 2);
        kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
        kh_txn_close(txn);
        assert_int_equal(rivalry.committed, 4); /* three tries, and the one that claims */
        assert_int_equal(rivalry.busy, 1);
        assert_int_equal(rivalry.calls, 5);
        kit_load_is(rivalry.db, "k", 7);
        kit_load_is(rivalry.db, "beside", 7);
        kit_store(rivalry.db, "k", 8); /* the claim has gone with the commit */
        kit_store(rivalry.db, "beside", 8);
        kit_close(rivalry.db);
    }
}

/* A claim that ends without a commit is no claim any more. */
static kh_resolution give_up(void *context, kh_bytes key, const kh_batch *base,
                             const kh_batch *mine, const kh_batch *theirs, kh_batch **out) {
    struct rivalry *rivalry = context;
    (void)overtake(context, key, base, mine, theirs, out);
    if (rivalry->busy == 0) return KH_RESOLVE_WRITE;
    kh_batch_release(*out);
    *out = NULL;
    return KH_RESOLVE_CONFLICT;
}

static void test_a_claim_that_fails(void **state) {
    (void)state;
    struct rivalry rivalry = {.db = kit_open(), .policy = KH_REPLACE};
    kit_store(rivalry.db, "k", 1);
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.isolation = KH_REPEATABLE_READ;
    options.policy = KH_CALLBACK;
    options.resolve = give_up;
    options.resolve_context = &rivalry;
    kit_is(kh_txn_begin(rivalry.db, &options, &txn, NULL), KH_OK);
    kit_put(txn, "k", 7);
    kit_store(rivalry.db, "k", 2);
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_CONFLICT);
    assert_int_equal(rivalry.busy, 1);
    kit_load_is(rivalry.db, "k", 1000 + rivalry.committed);
    kit_store(rivalry.db, "k", 8); /* while the refused one is still open */
    kh_txn_close(txn);
    kit_load_is(rivalry.db, "k", 8);
    kit_close(rivalry.db);
}

/* Keys that are not claimed are not held up. */
static kh_resolution look_aside(void *context, kh_bytes key, const kh_batch *base,
                                const kh_batch *mine, const kh_batch *theirs, kh_batch **out) {
    struct rivalry *rivalry = context;
    kit_store(rivalry->db, "elsewhere", rivalry->calls);
    return overtake(context, key, base, mine, theirs, out);
}

static void test_others_go_on(void **state) {
    (void)state;
    struct rivalry rivalry = {.db = kit_open(), .policy = KH_REPLACE};
    kit_store(rivalry.db, "k", 1);
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.policy = KH_CALLBACK;
    options.resolve = look_aside;
    options.resolve_context = &rivalry;
    kit_is(kh_txn_begin(rivalry.db, &options, &txn, NULL), KH_OK);
    kit_put(txn, "k", 7);
    kit_store(rivalry.db, "k", 2);
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
    kh_txn_close(txn);
    kit_load_is(rivalry.db, "elsewhere", rivalry.calls - 1);
    kit_close(rivalry.db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_third_rival_waits),
        cmocka_unit_test(test_a_claim_that_fails),
        cmocka_unit_test(test_others_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
