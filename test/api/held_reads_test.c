/* held_reads_test.c - what prepared serializable transactions have read, before and after a
 * restart; closing with records in flight; bases of merges at read committed. */
#include "support/held_log.h"
#include "support/kit.h"

#include <stdlib.h>

static kh_txn *begin(kh_db *db) {
    return kit_begin(db, KH_SERIALIZABLE);
}

/* One holds k to write it, the other has read it: they cannot both be prepared, in either order. */
static void test_no_shared_hold_on_an_exclusive_one(void **state) {
    (void)state;
    for (int way = 0; way < 3; way++) {
        kh_db *db = kit_open();
        kit_store(db, "j", 1);
        if (way != 1) kit_store(db, "k", 1);
        kh_txn *writer = begin(db);
        kh_txn *reader = begin(db);
        kit_put(writer, "k", 2);
        if (way == 2) {
            char text[KIT_TEXT_BYTES];
            kit_scan(reader, NULL, text);
        } else {
            (void)kit_get(reader, "k");
        }
        kit_put(reader, "j", 2);
        kit_is(kh_txn_prepare(writer, NULL), KH_OK);
        kit_is(kh_txn_prepare(reader, NULL), KH_HELD);
        kit_rollback(reader);
        kit_commit_ok(writer);
        kit_load_is(db, "k", 2);
        kit_load_is(db, "j", 1);
        kit_close(db);
    }
}

/* What a prepared transaction has read still counts when it is found in the log and decided. */
static void test_reads_survive_a_restart(void **state) {
    (void)state;
    struct held_log held;
    held_log_init(&held, HELD_AT_ONCE);
    kh_options options = kit_options();
    options.log = &held.log;
    kh_db *db = kit_open_with(&options);
    kit_store(db, "x", 1);
    kit_store(db, "y", 1);
    kh_txn *txn = begin(db);
    kh_txn_id id = kh_txn_get_id(txn);
    (void)kit_get(txn, "x");
    kit_put(txn, "y", 2);
    kit_is(kh_txn_prepare(txn, NULL), KH_OK);
    kh_txn_close(txn);
    kit_close(db);
    db = kit_open_with(&options);
    kh_txn *other = begin(db);
    kit_get_is(other, "y", 1);
    kit_is(kh_db_decide(db, id, true, NULL, NULL), KH_OK);
    kit_put(other, "x", 2);
    kit_is(kit_commit(other), KH_NOT_SERIALIZABLE);
    kit_close(db);
    held_log_fini(&held);
}

static void test_close_asks_the_log(void **state) {
    (void)state;
    struct held_log held;
    held_log_init(&held, HELD_AT_ONCE);
    kh_options options = kit_options();
    options.log = &held.log;
    kh_db *db = kit_open_with(&options);
    kit_store(db, "k", 1);
    held.mode = HELD_ON_FLUSH;
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_put(txn, "k", 2);
    kit_is(kh_txn_commit_start(txn, NULL), KH_OK);
    kh_txn_close(txn);
    kit_close(db); /* waits for the record, and asks for it */
    held.mode = HELD_AT_ONCE;
    db = kit_open_with(&options);
    kit_load_is(db, "k", 2);
    kit_close(db);
    held_log_fini(&held);
}

static void put_rows(kh_db *db, kh_txn *txn, const char *text) {
    kh_batch *batch = kit_rows(db, text);
    kit_is(kh_txn_put(txn, kit_key("r"), batch, NULL), KH_OK);
    kh_batch_release(batch);
}

static void store_rows(kh_db *db, const char *text) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    put_rows(db, txn, text);
    kit_commit_ok(txn);
}

/* The base is what was read last: absent, here, so that the rival's rows are additions. */
static void test_base_is_the_last_read(void **state) {
    (void)state;
    kh_db *db = kit_open();
    char text[KIT_TEXT_BYTES];
    store_rows(db, "1=1/1 3=3/3");
    kh_txn *txn = kit_begin_with(db, KH_READ_COMMITTED, KH_MERGE, 0);
    kh_batch *batch = NULL;
    kit_is(kh_txn_get(txn, kit_key("r"), &batch, NULL), KH_OK);
    kh_batch_release(batch);
    kh_txn *rival = kit_begin(db, KH_REPEATABLE_READ);
    kit_delete(rival, "r");
    kit_commit_ok(rival);
    kit_is(kh_txn_get(txn, kit_key("r"), &batch, NULL), KH_NOT_FOUND);
    put_rows(db, txn, "7=7/7");
    store_rows(db, "3=3/3 8=8/8");
    kit_commit_ok(txn);
    txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(kh_txn_get(txn, kit_key("r"), &batch, NULL), KH_OK);
    assert_int_equal(kh_batch_row_count(batch), 3);
    kit_text(batch, text);
    kh_batch_release(batch);
    kit_commit_ok(txn);
    kit_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_shared_hold_on_an_exclusive_one),
        cmocka_unit_test(test_reads_survive_a_restart),
        cmocka_unit_test(test_close_asks_the_log),
        cmocka_unit_test(test_base_is_the_last_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
