/* ssi_cases_test.c - the cases of serializable snapshot isolation: each kind of dependency that
 * makes or does not make a cycle, what counts as read (absent keys, ranges, holes, limits,
 * tombstones), read-only transactions, other levels beside serializable ones, savepoints. And that
 * transactions which do not touch never abort.
 *
 * Names follow Fekete et al. 2005 and the isolation tests of PostgreSQL. "a" to "d" begin as 1 to
 * 4. */
#include "support/kit.h"

static int open_db(void **state) {
    kh_db *db = kit_open();
    kit_store(db, "a", 1);
    kit_store(db, "b", 2);
    kit_store(db, "c", 3);
    kit_store(db, "d", 4);
    *state = db;
    return 0;
}

static int close_db(void **state) {
    kit_close(*state);
    return 0;
}

static kh_txn *begin(kh_db *db) {
    return kit_begin(db, KH_SERIALIZABLE);
}

static void refused(kh_txn *txn) {
    kit_is(kit_commit(txn), KH_NOT_SERIALIZABLE);
}

static void read_range(kh_txn *txn, const char *from, const char *to) {
    char text[KIT_TEXT_BYTES];
    kh_scan_options options = kit_range(from, to, 0, 0);
    kit_scan(txn, &options, text);
}

/* ---- read-write-read, write-read-write, read-write, write-write ------------------------------ */

/* Simple write skew, in both orders of commit. */
static void test_simple_write_skew(void **state) {
    kh_db *db = *state;
    for (int is_second_first = 0; is_second_first < 2; is_second_first++) {
        kh_txn *t1 = begin(db);
        kh_txn *t2 = begin(db);
        (void)kit_get(t1, "a");
        (void)kit_get(t2, "b");
        kit_put(t1, "b", 20);
        kit_put(t2, "a", 10);
        kit_commit_ok(is_second_first ? t2 : t1);
        refused(is_second_first ? t1 : t2);
    }
}

/* One edge is not a cycle: a reader of what is overwritten. */
static void test_one_read_write_edge(void **state) {
    kh_db *db = *state;
    for (int is_writer_first = 0; is_writer_first < 2; is_writer_first++) {
        kh_txn *reader = begin(db);
        kh_txn *writer = begin(db);
        (void)kit_get(reader, "a");
        kit_put(reader, "c", 1);
        kit_put(writer, "a", 1);
        kit_commit_ok(is_writer_first ? writer : reader);
        kit_commit_ok(is_writer_first ? reader : writer);
    }
}

/* T1 -rw-> T2 -rw-> T3 with nothing back: a chain is not a cycle, while T3 did not commit first. */
static void test_chain_in_order(void **state) {
    kh_db *db = *state;
    kh_txn *t1 = begin(db);
    kh_txn *t2 = begin(db);
    kh_txn *t3 = begin(db);
    (void)kit_get(t1, "a");
    kit_put(t1, "d", 1);
    (void)kit_get(t2, "b");
    kit_put(t2, "a", 1);
    kit_put(t3, "b", 1);
    kit_commit_ok(t1);
    kit_commit_ok(t2);
    kit_commit_ok(t3);
}

/* The same with a way back: T3 read what T1 writes. */
static void test_cycle_of_three(void **state) {
    kh_db *db = *state;
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (int i = 0; i < 6; i++) {
        static const char *const reads[] = {"a", "b", "c"};
        static const char *const writes[] = {"c", "a", "b"};
        kh_txn *txns[3];
        for (int t = 0; t < 3; t++) {
            txns[t] = begin(db);
        }
        for (int t = 0; t < 3; t++) {
            (void)kit_get(txns[t], reads[t]);
            kit_put(txns[t], writes[t], i);
        }
        int committed = 0;
        for (int t = 0; t < 3; t++) {
            kh_status status = kit_commit(txns[orders[i][t]]);
            committed += status == KH_OK;
            assert_true(status == KH_OK || status == KH_NOT_SERIALIZABLE);
        }
        assert_int_equal(committed, 2);
    }
}

/* Write-read: T2 begins after T1 and sees it; nothing is concurrent. */
static void test_serial_transactions(void **state) {
    kh_db *db = *state;
    for (int i = 0; i < 20; i++) {
        kh_txn *txn = begin(db);
        int64_t a = kit_get(txn, "a");
        read_range(txn, "a", "d");
        kit_put(txn, "a", a + 1);
        kit_put(txn, "b", a);
        kit_commit_ok(txn);
    }
    kit_load_is(db, "a", 21);
}

/* Write-write: the second to commit meets the first, whatever it read. */
static void test_write_write(void **state) {
    kh_db *db = *state;
    kh_txn *t1 = begin(db);
    kh_txn *t2 = begin(db);
    kit_put(t1, "a", 10);
    kit_put(t2, "a", 20);
    kit_commit_ok(t2);
    kit_is(kit_commit(t1), KH_CONFLICT);
    kit_load_is(db, "a", 20);
}

/* Dependency removed: T1's write of "a" conflicts and is gone; T2, which read "a", is free. */
static void test_an_aborted_writer_leaves_no_edge(void **state) {
    kh_db *db = *state;
    for (int is_rolled_back = 0; is_rolled_back < 2; is_rolled_back++) {
        kh_txn *t1 = begin(db);
        kh_txn *t2 = begin(db);
        (void)kit_get(t1, "b");
        kit_put(t1, "a", 10);
        kit_put(t1, "d", 10);
        (void)kit_get(t2, "a");
        kit_put(t2, "b", 20);
        if (is_rolled_back) {
            kit_rollback(t1);
        } else {
            kit_store(db, "d", 5);
            kit_is(kit_commit(t1), KH_CONFLICT);
        }
        kit_commit_ok(t2);
    }
}

/* An aborted reader leaves no stamp. */
static void test_an_aborted_reader_leaves_no_edge(void **state) {
    kh_db *db = *state;
    kh_txn *t1 = begin(db);
    (void)kit_get(t1, "b");
    kit_put(t1, "a", 10);
    kit_store(db, "b", 5); /* T1 -rw-> this */
    kh_txn *t2 = begin(db);
    (void)kit_get(t2, "a"); /* T2 -rw-> T1, and T2 came after: it would close the cycle */
    read_range(t2, "a", "c");
    kit_rollback(t2);
    kit_commit_ok(t1);
}

/* ---- read-only transactions ------------------------------------------------------------------ */

/* The read-only anomaly (Fekete, O'Neil, O'Neil, SIGMOD Record 2004): savings and checking are 0;
 * T2 deposits 20 in savings; T1 withdraws 10 from checking with a fine of 1, as it saw 0 and 0;
 * T3, read-only, sees 20 and 0. Without T3 it is serializable. */
static void read_only_anomaly(kh_db *db, bool has_reader, kh_status expected) {
    kit_store(db, "checking", 0);
    kit_store(db, "savings", 0);
    kh_txn *t1 = begin(db);
    kit_get_is(t1, "checking", 0);
    kit_get_is(t1, "savings", 0);
    kh_txn *t2 = begin(db);
    kit_put(t2, "savings", kit_get(t2, "savings") + 20);
    kit_commit_ok(t2);
    if (has_reader) {
        kh_txn *t3 = kit_begin_with(db, KH_SERIALIZABLE, KH_FAIL, KH_BEGIN_READ_ONLY);
        kit_get_is(t3, "checking", 0);
        kit_get_is(t3, "savings", 20);
        kit_commit_ok(t3);
    }
    kit_put(t1, "checking", -11);
    kit_is(kit_commit(t1), expected);
}

static void test_read_only_anomaly(void **state) {
    kh_db *db = *state;
    read_only_anomaly(db, false, KH_OK);
    read_only_anomaly(db, true, KH_NOT_SERIALIZABLE);
}

/* The reader comes last: it is the one that is refused. */
static void test_reader_is_refused(void **state) {
    kh_db *db = *state;
    kh_txn *t1 = begin(db);
    (void)kit_get(t1, "a");
    kit_store(db, "a", 10); /* T1 -rw-> this */
    kh_txn *t3 = begin(db);
    kit_get_is(t3, "a", 10); /* after it */
    kit_put(t1, "b", 20);
    kit_get_is(t3, "b", 2); /* and before T1 */
    kit_commit_ok(t1);
    refused(t3);
}

/* ---- what counts as read --------------------------------------------------------------------- */

/* victim read something and wrote "y"; rival read "y" and writes key: is the cycle seen? */
static void close_cycle(kh_db *db, kh_txn *victim, kh_txn *rival, const char *key, int64_t number,
                        bool is_cycle) {
    (void)kit_get(rival, "y");
    if (number == KIT_ABSENT) {
        kit_delete(rival, key);
    } else {
        kit_put(rival, key, number);
    }
    kit_put(victim, "y", 1);
    kit_commit_ok(rival);
    kit_is(kit_commit(victim), is_cycle ? KH_NOT_SERIALIZABLE : KH_OK);
    kit_store(db, "y", KIT_ABSENT);
}

static void test_absent_key_is_read(void **state) {
    kh_db *db = *state;
    static const char *const keys[] = {"new", "newer"};
    for (int i = 0; i < 2; i++) {
        kh_txn *victim = begin(db);
        kh_txn *rival = begin(db);
        kit_get_is(victim, "new", KIT_ABSENT);
        close_cycle(db, victim, rival, keys[i], 1, i == 0);
        kit_store(db, keys[i], KIT_ABSENT);
    }
}

static void test_exists_and_get_many_read(void **state) {
    kh_db *db = *state;
    for (int i = 0; i < 4; i++) {
        const kh_bytes many[2] = {kit_key("a"), kit_key("none")};
        kh_batch *batches[2] = {NULL, NULL};
        bool is_there;
        kh_txn *victim = begin(db);
        kh_txn *rival = begin(db);
        if (i < 2) {
            kit_is(kh_txn_exists(victim, many[i], &is_there, NULL), KH_OK);
        } else {
            kit_is(kh_txn_get_many(victim, many, 2, batches, NULL), KH_OK);
            kh_batch_release(batches[0]);
            kh_batch_release(batches[1]);
        }
        close_cycle(db, victim, rival, i % 2 == 0 ? "a" : "none", 9, true);
        kit_store(db, "none", KIT_ABSENT);
    }
}

static void test_tombstone_is_read(void **state) {
    kh_db *db = *state;
    kh_txn *holder = begin(db); /* keeps the tombstone */
    kit_store(db, "c", KIT_ABSENT);
    kh_txn *victim = begin(db);
    kh_txn *rival = begin(db);
    kit_get_is(victim, "c", KIT_ABSENT);
    close_cycle(db, victim, rival, "c", 9, true);
    kit_get_is(holder, "c", 3);
    kit_commit_ok(holder);
}

/* Also when it has been reclaimed between the read and the write. */
static void test_reclaimed_tombstone_is_read(void **state) {
    kh_db *db = *state;
    kit_store(db, "c", KIT_ABSENT);
    kh_txn *victim = begin(db);
    kit_get_is(victim, "c", KIT_ABSENT);
    read_range(victim, "b", "d");
    kh_db_step(db);
    kh_txn *rival = begin(db);
    close_cycle(db, victim, rival, "c", 9, true);
}

static void test_a_delete_overwrites(void **state) {
    kh_db *db = *state;
    for (int is_scan = 0; is_scan < 2; is_scan++) {
        kh_txn *victim = begin(db);
        kh_txn *rival = begin(db);
        if (is_scan) {
            read_range(victim, "a", "c");
        } else {
            (void)kit_get(victim, "b");
        }
        close_cycle(db, victim, rival, "b", KIT_ABSENT, true);
        kit_store(db, "b", 2);
    }
}

static void test_delete_of_an_absent_key_is_a_write(void **state) {
    kh_db *db = *state;
    kh_txn *victim = begin(db);
    kh_txn *rival = begin(db);
    kit_get_is(victim, "nothing", KIT_ABSENT);
    close_cycle(db, victim, rival, "nothing", KIT_ABSENT, true);
    kh_txn *t1 = kit_begin(db, KH_REPEATABLE_READ);
    kh_txn *t2 = kit_begin(db, KH_REPEATABLE_READ);
    kit_delete(t1, "nothing");
    kit_delete(t2, "nothing");
    kit_commit_ok(t1);
    kit_is(kit_commit(t2), KH_CONFLICT);
}

/* The bounds of what a scan has read: [from, to), no more and no less. */
static void test_bounds_of_ranges(void **state) {
    kh_db *db = *state;
    static const struct {
        const char *key;
        bool is_read;
    } table[] = {{"az", false}, {"b", true}, {"bb", true}, {"c", true}, {"c0", true},
                 {"d", false}, {"dd", false}};
    for (int reverse = 0; reverse < 2; reverse++) {
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            kh_scan_options options = kit_range("b", "d", 0, reverse ? KH_SCAN_REVERSE : 0);
            kh_txn *victim = begin(db);
            kh_txn *rival = begin(db);
            kit_scan_is(victim, &options, reverse ? "c=3 b=2" : "b=2 c=3");
            bool was_there = strlen(table[i].key) == 1;
            close_cycle(db, victim, rival, table[i].key, 9, table[i].is_read);
            kit_store(db, table[i].key,
                      was_there ? table[i].key[0] - 'a' + 1 : KIT_ABSENT);
        }
    }
}

static void test_prefix_ranges(void **state) {
    kh_db *db = *state;
    static const struct {
        const char *key;
        bool is_read;
    } table[] = {{"p", false}, {"p/", true}, {"p/1", true}, {"p/\xff\xff", true}, {"p0", false}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        kh_scan_options options = KH_SCAN_OPTIONS_INIT;
        options.prefix = kit_key("p/");
        options.flags = KH_SCAN_KEYS_ONLY;
        kh_txn *victim = begin(db);
        kh_txn *rival = begin(db);
        kit_scan_is(victim, &options, "");
        close_cycle(db, victim, rival, table[i].key, 9, table[i].is_read);
        kit_store(db, table[i].key, KIT_ABSENT);
    }
}

/* A scan cut by its limit, or closed early, has read up to the last key it returned. */
static void test_limits_cut_ranges(void **state) {
    kh_db *db = *state;
    static const struct {
        const char *key;
        bool is_read[2]; /* forward: a b; reverse: d c */
    } table[] = {{"a", {true, false}},  {"aa", {true, false}}, {"b", {true, false}},
                 {"bb", {false, false}}, {"c", {false, true}},  {"cc", {false, true}},
                 {"d", {false, true}},  {"e", {false, true}}};
    for (int i = 0; i < 32; i++) {
        int reverse = i / 8 % 2;
        bool is_closed_early = i >= 16;
        const char *key = table[i % 8].key;
        kh_scan_options options = kit_range(NULL, NULL, is_closed_early ? 0 : 2,
                                            reverse ? KH_SCAN_REVERSE : 0);
        kh_txn *victim = begin(db);
        kh_txn *rival = begin(db);
        kh_cursor *cursor = NULL;
        kh_bytes found;
        const kh_batch *value = NULL;
        kit_is(kh_txn_scan(victim, &options, &cursor, NULL), KH_OK);
        kit_is(kh_cursor_next(cursor, &found, &value, NULL), KH_OK);
        kit_is(kh_cursor_next(cursor, &found, &value, NULL), KH_OK);
        kh_cursor_close(cursor);
        assert_true(kit_bytes_equal(found, kit_key(reverse ? "c" : "b")));
        close_cycle(db, victim, rival, key, 9, table[i % 8].is_read[reverse]);
        kit_store(db, key, strlen(key) == 1 && key[0] < 'e' ? key[0] - 'a' + 1 : KIT_ABSENT);
    }
}

/* Keys that the transaction has written itself are holes in what its scan has read. */
static void test_own_writes_are_holes(void **state) {
    kh_db *db = *state;
    static const char *const keys[] = {"b", "c"};
    for (int i = 0; i < 2; i++) {
        kh_scan_options options = kit_range("a", "d", 0, 0);
        kh_txn_options replace = KH_TXN_OPTIONS_INIT;
        kh_txn *victim = NULL;
        replace.isolation = KH_SERIALIZABLE;
        replace.policy = KH_REPLACE;
        kit_is(kh_txn_begin(db, &replace, &victim, NULL), KH_OK);
        kit_put(victim, "b", 22);
        kit_scan_is(victim, &options, "a=1 b=22 c=3");
        kit_store(db, keys[i], 7);
        kh_status status = kit_commit(victim);
        kit_is(status, KH_OK); /* "b": on top of the rival; "c": before it */
        kit_load_is(db, keys[i], i == 0 ? 22 : 7);
        kit_store(db, "b", 2);
        kit_store(db, "c", 3);
    }
    for (int i = 0; i < 2; i++) {
        kh_txn *victim = begin(db);
        kh_txn *rival = begin(db);
        kit_delete(victim, "b");
        read_range(victim, "a", "d");
        close_cycle(db, victim, rival, i == 0 ? "a" : "d", 9, i == 0);
        kit_store(db, "b", 2);
    }
}

/* A scan is checked against the ring of recent commits (16,384 writes, db/db.h), and against the
 * index when more has happened since: what hit it first is seen in either way, and at the moment
 * when the ring has just lost it. */
static void test_scans_older_than_the_ring(void **state) {
    enum { RING = 16384 };
    static const int writes_after[] = {RING - 2, RING - 1, RING, RING + 1, 3 * RING};
    struct kit_clock hands = {1700000000000u, 1000000000u, 0};
    (void)state;
    for (size_t i = 0; i < sizeof writes_after / sizeof writes_after[0]; i++) {
        kh_options options = kit_options();
        options.clock = kit_clock_hook(&hands); /* it stands: timestamps follow one another */
        kh_db *db = kit_open_with(&options);
        kit_store(db, "other", 0);
        kh_txn *victim = begin(db);
        kh_txn *rival = begin(db);
        read_range(victim, "k", "l");
        (void)kit_get(rival, "y");
        kit_put(rival, "k", 1);
        kit_commit_ok(rival);
        for (int write = 0; write < writes_after[i]; write++) kit_store(db, "other", write);
        kit_put(victim, "y", 1);
        refused(victim);
        kit_close(db);
    }
}

/* ---- other levels beside --------------------------------------------------------------------- */

/* A writer of a lower level counts as an overwriter; its reads do not count. */
static void test_weak_writers(void **state) {
    kh_db *db = *state;
    for (int level = 0; level < 2; level++) {
        kh_txn *victim = begin(db);
        (void)kit_get(victim, "a");
        kh_txn *weak = kit_begin(db, kit_levels[level]);
        kit_put(weak, "a", 10);
        kit_put(weak, "b", 10);
        kit_commit_ok(weak);
        kh_txn *reader = begin(db);
        kit_get_is(reader, "a", 10);
        kit_get_is(reader, "c", 3);
        kit_commit_ok(reader);
        kit_put(victim, "c", 30); /* before weak, which is before reader, which is before victim */
        refused(victim);
    }
}

static void test_weak_readers_do_not_count(void **state) {
    kh_db *db = *state;
    for (int level = 0; level < 2; level++) {
        kh_txn *strong = begin(db);
        kh_txn *weak = kit_begin(db, kit_levels[level]);
        (void)kit_get(strong, "a");
        (void)kit_get(weak, "b");
        kit_put(strong, "b", 20);
        kit_put(weak, "a", 10);
        kit_commit_ok(level == 0 ? strong : weak);
        kit_commit_ok(level == 0 ? weak : strong);
    }
}

/* ---- savepoints ------------------------------------------------------------------------------ */

static void test_savepoints_undo_writes_not_reads(void **state) {
    kh_db *db = *state;
    kh_txn *victim = begin(db);
    kh_txn *rival = begin(db);
    uint32_t savepoint = 0;
    kit_is(kh_txn_savepoint(victim, &savepoint, NULL), KH_OK);
    (void)kit_get(victim, "a");
    kit_put(victim, "d", 40);
    kit_is(kh_txn_rollback_to(victim, savepoint, NULL), KH_OK);
    kit_get_is(victim, "d", 4);
    close_cycle(db, victim, rival, "a", 10, true);
    kit_load_is(db, "d", 4);

    kh_txn *txn = begin(db); /* a write undone conflicts with nobody */
    kit_put(txn, "b", 20);
    kit_is(kh_txn_savepoint(txn, &savepoint, NULL), KH_OK);
    kit_put(txn, "a", 11);
    kit_put(txn, "b", 21);
    kit_is(kh_txn_rollback_to(txn, savepoint, NULL), KH_OK);
    kit_get_is(txn, "b", 20);
    kit_store(db, "a", 12);
    kit_commit_ok(txn);
    kit_load_is(db, "a", 12);
    kit_load_is(db, "b", 20);
}

/* ---- no contact, no abort -------------------------------------------------------------------- */

static void test_disjoint_never_abort(void **state) {
    kh_db *db = *state;
    enum { TXNS = 24 };
    kh_txn *txns[TXNS];
    char key[32];
    char to[32];
    for (int i = 0; i < TXNS; i++) {
        txns[i] = kit_begin(db, kit_levels[i % 3]);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < TXNS; i++) {
            (void)snprintf(key, sizeof key, "t%02d/%d", i, round);
            (void)snprintf(to, sizeof to, "t%02d0", i);
            (void)kit_get(txns[i], key);
            (void)kit_get(txns[i], "a"); /* all read it, nobody writes it */
            read_range(txns[i], key, to);
            kit_put(txns[i], key, i);
            kit_put(txns[i], to, i);
        }
    }
    for (int i = 0; i < TXNS; i++) {
        kit_commit_ok(txns[i * 7 % TXNS]);
    }
}

#define ON_DB(test) cmocka_unit_test_setup_teardown(test, open_db, close_db)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_DB(test_simple_write_skew),
        ON_DB(test_one_read_write_edge),
        ON_DB(test_chain_in_order),
        ON_DB(test_cycle_of_three),
        ON_DB(test_serial_transactions),
        ON_DB(test_write_write),
        ON_DB(test_an_aborted_writer_leaves_no_edge),
        ON_DB(test_an_aborted_reader_leaves_no_edge),
        ON_DB(test_read_only_anomaly),
        ON_DB(test_reader_is_refused),
        ON_DB(test_absent_key_is_read),
        ON_DB(test_exists_and_get_many_read),
        ON_DB(test_tombstone_is_read),
        ON_DB(test_reclaimed_tombstone_is_read),
        ON_DB(test_a_delete_overwrites),
        ON_DB(test_delete_of_an_absent_key_is_a_write),
        ON_DB(test_bounds_of_ranges),
        ON_DB(test_prefix_ranges),
        ON_DB(test_limits_cut_ranges),
        ON_DB(test_own_writes_are_holes),
        cmocka_unit_test(test_scans_older_than_the_ring),
        ON_DB(test_weak_writers),
        ON_DB(test_weak_readers_do_not_count),
        ON_DB(test_savepoints_undo_writes_not_reads),
        ON_DB(test_disjoint_never_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
