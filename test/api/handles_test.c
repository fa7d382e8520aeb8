/* handles_test.c - a handle is used again: nothing of one transaction is left for the next. */
#include "support/calls.h"

static kh_resolution take_mine(void *context, kh_bytes key, const kh_batch *base,
                               const kh_batch *mine, const kh_batch *theirs, kh_batch **out) {
    (void)context, (void)key, (void)base, (void)mine, (void)theirs, (void)out;
    return KH_RESOLVE_CONFLICT;
}

static kh_txn *begin(kh_db *db, const kh_txn_options *options) {
    kh_txn *txn = NULL;
    kit_is(kh_txn_begin(db, options, &txn, NULL), KH_OK);
    return txn;
}

/* Put a number by array; the array is of the database's schema. */
static kh_status put_array(kh_txn *txn, const kh_schema *schema, const char *key, int64_t number,
                           kh_policy policy) {
    int released = 0;
    struct ArrowArray array = calls_array(number, &released);
    kh_status status = kh_txn_put_array(txn, kit_key(key), schema, &array, policy, NULL);
    assert_int_equal(released, status == KH_OK);
    if (array.release != NULL) array.release(&array);
    return status;
}

/* ---- options --------------------------------------------------------------------------------- */

/* Its own resolve function, id column and tag are those of one transaction. */
static void test_own_options_end_with_their_use(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kh_schema *schema = kit_number_schema(db);
    kh_batch *rows = kit_rows(db, "1=5/1 2=5/2");
    for (int way = 0; way < 3; way++) {
        kh_txn_options own = KH_TXN_OPTIONS_INIT;
        own.resolve = take_mine;
        own.id_column = "a";
        kh_txn *first = begin(db, &own);
        kit_is(put_array(first, schema, "k", way, KH_CALLBACK), KH_OK);
        kit_is(kh_txn_upsert_rows(first, kit_key("r"), rows, NULL), KH_DUPLICATE_ID);
        if (way == 0) {
            kit_commit_ok(first);
        } else if (way == 1) {
            kit_rollback(first);
        } else {
            kh_txn_close(first);
        }
        kh_txn *second = begin(db, NULL);
        assert_ptr_equal(second, first); /* else this test says nothing */
        kit_is(put_array(second, schema, "k", way, KH_CALLBACK), KH_INVALID);
        kit_is(kh_txn_upsert_rows(second, kit_key("r"), rows, NULL), KH_OK);
        kit_rollback(second);
    }
    kh_batch_release(rows);
    kh_schema_release(schema);
    kit_close(db);
}

/* Of options that say only one thing that thing is heard. */
static void test_each_option_counts(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kh_schema *schema = kit_number_schema(db);
    kh_batch *rows = kit_rows(db, "1=5/1 2=5/2");
    kit_rollback(begin(db, NULL));
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.resolve = take_mine;
    kh_txn *txn = begin(db, &options);
    kit_is(put_array(txn, schema, "k", 1, KH_CALLBACK), KH_OK);
    kit_rollback(txn);
    options = (kh_txn_options)KH_TXN_OPTIONS_INIT;
    options.id_column = "a";
    txn = begin(db, &options);
    kit_is(kh_txn_upsert_rows(txn, kit_key("r"), rows, NULL), KH_DUPLICATE_ID);
    kit_rollback(txn);
    options = (kh_txn_options)KH_TXN_OPTIONS_INIT;
    options.flags = KH_BEGIN_READ_ONLY;
    txn = begin(db, &options);
    kit_is(put_array(txn, schema, "k", 1, KH_FAIL), KH_READ_ONLY);
    kit_rollback(txn);
    char tag[300] = "";
    memset(tag, 't', sizeof tag - 1);
    options = (kh_txn_options)KH_TXN_OPTIONS_INIT;
    options.tag = tag;
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_TOO_BIG);
    options = (kh_txn_options)KH_TXN_OPTIONS_INIT;
    options.policy = KH_CALLBACK;
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_INVALID);
    options.policy = (kh_policy)(KH_CALLBACK + 1);
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_INVALID);
    options = (kh_txn_options)KH_TXN_OPTIONS_INIT;
    options.isolation = (kh_isolation)(KH_SERIALIZABLE + 1);
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_INVALID);
    kh_batch_release(rows);
    kh_schema_release(schema);
    kit_close(db);
}

/* The handle that a thread had last is a hint, of another database maybe: one that has fewer. */
static void test_two_databases(void **state) {
    (void)state;
    enum { OPEN = 40 };
    kh_db *many = kit_open();
    kh_db *few = kit_open();
    kh_txn *txns[OPEN];
    for (int i = 0; i < OPEN; i++) {
        txns[i] = begin(many, NULL);
        kit_store(few, "k", i);
        kit_load_is(few, "k", i);
    }
    for (int i = 0; i < OPEN; i++) kit_rollback(txns[i]);
    kit_close(few);
    kit_close(many);
}

/* ---- identity and outcome -------------------------------------------------------------------- */

static kh_outcome outcome_of(kh_db *db, kh_txn_id id) {
    kh_outcome outcome = KH_OUTCOME_PREPARED;
    kit_is(kh_db_outcome(db, id, &outcome, NULL, NULL), KH_OK);
    return outcome;
}

static void test_ids_and_outcomes_are_of_one_use(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kh_txn_id last = {0, 0};
    for (int i = 0; i < 20; i++) {
        bool is_commit = i % 3 != 0;
        kh_txn *txn = begin(db, NULL);
        kit_is(kh_txn_poll(txn, NULL), KH_MISUSE); /* not started, whatever the last one did */
        kh_txn_id id = kh_txn_get_id(txn);
        assert_true(id.low != last.low);
        assert_int_equal(outcome_of(db, id), KH_OUTCOME_ACTIVE);
        kit_put(txn, "k", i);
        if (is_commit) {
            kit_is(kh_txn_commit_start(txn, NULL), KH_OK);
            kit_is(kh_txn_wait(txn, UINT32_MAX, NULL), KH_OK);
        } else {
            kit_is(kh_txn_rollback(txn), KH_OK);
        }
        kh_txn_close(txn);
        assert_int_equal(outcome_of(db, id), is_commit ? KH_OUTCOME_COMMITTED : KH_OUTCOME_ABORTED);
        last = id;
    }
    kit_close(db);
}

/* ---- reads and writes ------------------------------------------------------------------------ */

/* A prepared transaction must have read the present. What the last one had read, keys and ranges,
 * few or many, is none of its business. */
static void test_reads_are_of_one_use(void **state) {
    (void)state;
    enum { KEYS = 40 };
    kh_db *db = kit_open();
    char key[24];
    char text[KIT_TEXT_BYTES];
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "k%02d", i);
        kit_store(db, key, i);
    }
    kh_txn *others = kit_begin(db, KH_SERIALIZABLE);
    for (int way = 0; way < 4; way++) {
        kh_txn *first = kit_begin(db, KH_SERIALIZABLE);
        if (way & 1) kit_scan(first, NULL, text);
        for (int i = 0; i < KEYS && (way & 2); i++) {
            (void)snprintf(key, sizeof key, "k%02d", i);
            kit_get_is(first, key, way < 3 || i != 1 ? i : 100 + 2);
        }
        kit_rollback(first);
        kh_txn *second = kit_begin(db, KH_SERIALIZABLE);
        assert_ptr_equal(second, first);
        kit_put(second, "q", way);
        kh_txn *rival = kit_begin(db, KH_REPEATABLE_READ);
        kit_put(rival, "k01", 100 + way);
        kit_commit_ok(rival);
        kit_is(kh_txn_prepare(second, NULL), KH_OK);
        kit_is(kh_txn_commit(second, NULL, NULL), KH_OK);
        kh_txn_close(second);
        if (way == 1) { /* k01 as it was: of the first reads that follow */
            rival = kit_begin(db, KH_REPEATABLE_READ);
            kit_put(rival, "k01", 1);
            kit_commit_ok(rival);
        }
    }
    kit_rollback(others);
    kit_close(db);
}

/* An array whose owner has moved it on is refused, whole as it may look. */
static void test_released_arrays(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kh_schema *schema = kit_number_schema(db);
    int released = 0;
    for (int is_child = 0; is_child < 2; is_child++) {
        kh_txn *txn = begin(db, NULL);
        struct ArrowArray array = calls_array(1, &released);
        struct ArrowArray *one = is_child ? array.children[0] : &array;
        void (*release)(struct ArrowArray *) = one->release;
        one->release = NULL;
        kh_status status = kh_txn_put_array(txn, kit_key("k"), schema, &array, KH_FAIL, NULL);
        assert_true(status == KH_INVALID || status == KH_INVALID_DATA);
        assert_int_equal(released, is_child);
        kit_get_is(txn, "k", KIT_ABSENT);
        one->release = release;
        array.release(&array);
        kit_rollback(txn);
    }
    kh_schema_release(schema);
    kit_close(db);
}

/* One key by arrays, again and again, with other keys and savepoints in between: one write. */
static void test_arrays_of_one_key(void **state) {
    (void)state;
    struct kit_memory memory = {0};
    kh_options options = kit_options();
    options.allocator = kit_memory_hook(&memory);
    kh_db *db = kit_open_with(&options);
    kh_schema *schema = kit_number_schema(db);
    char key[24];
    int64_t late = KIT_ABSENT; /* what is stored */
    for (int way = 0; way < 16; way++) {
        uint32_t savepoint = 0;
        kh_txn *txn = begin(db, NULL);
        kit_is(put_array(txn, schema, "k", 1, KH_FAIL), KH_OK);
        for (int i = 0; i < (way & 1 ? 30 : 2); i++) {
            (void)snprintf(key, sizeof key, "other%d", i);
            kit_is(put_array(txn, schema, key, i, KH_FAIL), KH_OK);
        }
        if (way & 2) kit_is(kh_txn_savepoint(txn, &savepoint, NULL), KH_OK);
        for (int i = 0; i < 40; i++) kit_is(put_array(txn, schema, "k", i, KH_FAIL), KH_OK);
        kit_is(put_array(txn, schema, "late", 7, KH_FAIL), KH_OK);
        if ((way & 6) == 6) {
            kit_is(kh_txn_rollback_to(txn, savepoint, NULL), KH_OK);
            kit_get_is(txn, "k", 1);
            kit_get_is(txn, "late", late);
            kit_is(put_array(txn, schema, "late", 8, KH_FAIL), KH_OK);
        }
        if (way & 8) {
            kit_rollback(txn);
        } else {
            kit_commit_ok(txn);
            kit_load_is(db, "k", (way & 6) == 6 ? 1 : 39);
            late = (way & 6) == 6 ? 8 : 7;
            kit_load_is(db, "late", late);
        }
    }
    kh_schema_release(schema);
    kit_close(db);
    assert_int_equal(memory.live_blocks, 0);
}

/* Keys of all lengths are copied whole. */
static void test_keys_of_all_lengths(void **state) {
    (void)state;
    enum { LONGEST = 80 };
    kh_db *db = kit_open();
    kh_schema *schema = kit_number_schema(db);
    for (int step = 0; step < 2; step++) {
        for (int length = 1; length <= LONGEST; length++) {
            char key[LONGEST + 1] = "";
            for (int i = 0; i < length; i++) key[i] = (char)('0' + i);
            if (step == 0) {
                kh_txn *txn = begin(db, NULL);
                kit_is(put_array(txn, schema, key, length, KH_FAIL), KH_OK);
                memset(key, 0, sizeof key); /* the transaction has a copy */
                kit_commit_ok(txn);
            } else {
                kit_load_is(db, key, length);
            }
        }
    }
    kh_schema_release(schema);
    kit_close(db);
}

static void test_arrays_count_as_writes(void **state) {
    (void)state;
    kh_options options = kit_options();
    options.limits.txn_writes = 3;
    kh_db *db = kit_open_with(&options);
    kh_schema *schema = kit_number_schema(db);
    kh_txn *txn = begin(db, NULL);
    kit_is(put_array(txn, schema, "a", 1, KH_FAIL), KH_OK);
    kit_is(put_array(txn, schema, "b", 2, KH_FAIL), KH_OK);
    kit_is(put_array(txn, schema, "c", 3, KH_FAIL), KH_OK);
    kit_is(put_array(txn, schema, "d", 4, KH_FAIL), KH_TOO_BIG);
    kit_is(put_array(txn, schema, "c", 5, KH_FAIL), KH_OK);
    kit_commit_ok(txn);
    kit_load_is(db, "c", 5);
    kit_load_is(db, "d", KIT_ABSENT);
    kh_schema_release(schema);
    kit_close(db);
}

/* Values of the process' own context or of another database, and ones that the program still holds,
 * are put over: the first go back to where they came from, the second stay as they are. */
static void test_values_of_others_are_overwritten(void **state) {
    (void)state;
    struct kit_memory memory = {0};
    struct kit_memory of_another = {0};
    kh_options options = kit_options();
    options.allocator = kit_memory_hook(&of_another);
    kh_db *another = kit_open_with(&options);
    options.allocator = kit_memory_hook(&memory);
    kh_db *db = kit_open_with(&options);
    enum { VALUES = 100 };
    kh_batch *held[VALUES];
    for (int i = 0; i < VALUES; i++) {
        kh_batch *own = kit_number(i % 2 == 0 ? NULL : another, i);
        held[i] = kit_number(db, i);
        kh_txn *txn = begin(db, NULL);
        kit_is(kh_txn_put(txn, kit_key("own"), own, NULL), KH_OK);
        kit_is(kh_txn_put(txn, kit_key("held"), held[i], NULL), KH_OK);
        kit_is(kh_txn_put(txn, kit_key("held twice"), held[i], NULL), KH_OK);
        kh_batch_release(own);
        kit_commit_ok(txn);
    }
    for (int i = 0; i < VALUES; i++) {
        assert_int_equal(kit_number_of(held[i]), i);
        kh_batch_release(held[i]);
    }
    kit_load_is(db, "own", VALUES - 1);
    kit_load_is(db, "held", VALUES - 1);
    kit_load_is(db, "held twice", VALUES - 1);
    kit_close(db);
    kit_close(another);
    assert_int_equal(memory.live_blocks, 0);
    assert_int_equal(of_another.live_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_options_end_with_their_use),
        cmocka_unit_test(test_each_option_counts),
        cmocka_unit_test(test_two_databases),
        cmocka_unit_test(test_ids_and_outcomes_are_of_one_use),
        cmocka_unit_test(test_reads_are_of_one_use),
        cmocka_unit_test(test_released_arrays),
        cmocka_unit_test(test_arrays_of_one_key),
        cmocka_unit_test(test_keys_of_all_lengths),
        cmocka_unit_test(test_arrays_count_as_writes),
        cmocka_unit_test(test_values_of_others_are_overwritten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
