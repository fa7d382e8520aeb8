/* dropped_writes_test.c - policy ignore at serializable: a transaction that gives way to a rival
 * has read the rival's version, and comes after it. What it read besides stays read, whether it
 * writes anything else or not. */
#include "support/kit.h"

static int open_db(void **state) {
    kh_db *db = kit_open();
    kit_store(db, "k", 1);
    kit_store(db, "x", 2);
    kit_store(db, "y", 3);
    *state = db;
    return 0;
}

static int close_db(void **state) {
    kit_close(*state);
    return 0;
}

/* A transaction whose write of "k" was dropped in favour of 10. */
static kh_txn *give_way(kh_db *db, const char *also) {
    kh_txn *txn = kit_begin_with(db, KH_SERIALIZABLE, KH_IGNORE, 0);
    kit_put(txn, "k", 7);
    if (also != NULL) kit_put(txn, also, 7);
    return txn;
}

/* before -rw-> rival (it read "k" before), rival -wr-> dropped (which gave way to it), and
 * dropped -rw-> before (it read "x", which before writes): not all of them. */
static void test_its_reads_count(void **state) {
    static const char *const also[] = {NULL, "z"};
    kh_db *db = *state;
    for (int i = 0; i < 2; i++) {
        for (int is_scan = 0; is_scan < 2; is_scan++) {
            kh_scan_options options = kit_range("x", "xx", 0, 0);
            kh_txn *before = kit_begin(db, KH_SERIALIZABLE);
            kit_get_is(before, "k", 1);
            kit_put(before, "x", 20);
            kh_txn *dropped = give_way(db, also[i]);
            if (is_scan) {
                kit_scan_is(dropped, &options, "x=2");
            } else {
                kit_get_is(dropped, "x", 2);
            }
            kit_store(db, "k", 10);
            kit_commit_ok(dropped);
            kit_is(kit_commit(before), KH_NOT_SERIALIZABLE);
            kit_load_is(db, "k", 10);
            kit_store(db, "k", 1);
        }
    }
}

/* Without the read nothing closes the circle. */
static void test_nothing_read_nothing_refused(void **state) {
    kh_db *db = *state;
    kh_txn *before = kit_begin(db, KH_SERIALIZABLE);
    kit_get_is(before, "k", 1);
    kit_put(before, "x", 20);
    kh_txn *dropped = give_way(db, NULL);
    kit_get_is(dropped, "y", 3);
    kit_store(db, "k", 10);
    kit_commit_ok(dropped);
    kit_commit_ok(before);
}

/* The late read itself: who overwrites the rival's version comes after the dropped one, which gave
 * way to a second rival as well: later -rw-> second (it read "y" before), second -wr-> dropped
 * (it gave way on "l"), dropped -rw-> later (it read the first rival's "k"). */
static void test_the_rival_is_read(void **state) {
    static const char *const also[] = {NULL, "z"};
    kh_db *db = *state;
    for (int i = 0; i < 2; i++) {
        kit_store(db, "l", 1);
        kh_txn *later = kit_begin_with(db, KH_SERIALIZABLE, KH_REPLACE, 0);
        kit_get_is(later, "y", 3);
        kh_txn *dropped = give_way(db, also[i]);
        kit_put(dropped, "l", 7);
        kit_store(db, "k", 10);
        kh_txn *second = kit_begin(db, KH_SERIALIZABLE);
        kit_put(second, "l", 10);
        kit_put(second, "y", 30);
        kit_commit_ok(second);
        kit_commit_ok(dropped);
        kit_put(later, "k", 11);
        kit_is(kit_commit(later), KH_NOT_SERIALIZABLE);
        kit_load_is(db, "l", 10);
        kit_store(db, "y", 3);
        kit_store(db, "k", 1);
    }
}

#define ON_DB(test) cmocka_unit_test_setup_teardown(test, open_db, close_db)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_DB(test_its_reads_count),
        ON_DB(test_nothing_read_nothing_refused),
        ON_DB(test_the_rival_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
