/* Somebody comes in between: at every point where a thread that registers a snapshot, or looks at
 * those of the others, could be overtaken, another transaction does its work; one point at a time,
 * all of them. One thread, no luck. */
#include "store/snapshot.h"

#include "support/kit.h"

enum { STORES = 2, POINTS_MAX = 100 };

static int open_db(void **state) {
    kh_db *db = kit_open();
    kh_txn *txns[8];
    for (int i = 0; i < 8; i++) /* handles enough: begin takes no lock then */
        txns[i] = kit_begin(db, KH_REPEATABLE_READ);
    for (int i = 0; i < 8; i++) kit_rollback(txns[i]);
    *state = db;
    return 0;
}

static int close_db(void **state) {
    kit_close(*state);
    return 0;
}

/* ---- stepping in ----------------------------------------------------------------------------- */

struct visit {
    int points_left; /* before it steps in */
    bool has_come;
    void (*run)(struct visit *visit);
    kh_db *db;
    kh_txn *txn;
    int64_t seen;
};

static void step(void *context) {
    struct visit *visit = context;
    if (--visit->points_left > 0) return;
    snapshot_step_with(NULL, NULL);
    visit->has_come = true;
    visit->run(visit);
}

static void expect(struct visit *visit, int point) {
    visit->points_left = point;
    visit->has_come = false;
    snapshot_step_with(step, visit);
}

/* False: the point was not reached, all have been tried. */
static bool has_come(const struct visit *visit, int point) {
    snapshot_step_with(NULL, NULL);
    assert_true(point > 1 || visit->has_come);
    assert_true(point < POINTS_MAX);
    return visit->has_come;
}

/* ---- a reader is overtaken by writers -------------------------------------------------------- */

/* With nobody registered each commit frees the version before. */
static void store_some(struct visit *visit) {
    for (int i = 0; i < STORES; i++) kit_store(visit->db, "k", ++visit->seen);
}

static void reads_what_is_there(kh_db *db, kh_isolation isolation, uint32_t flags) {
    struct visit visit = {.run = store_some, .db = db};
    for (int point = 1;; point++) {
        kit_store(db, "k", visit.seen);
        expect(&visit, point);
        kh_txn *reader = kit_begin_with(db, isolation, KH_FAIL, flags);
        bool goes_on = has_come(&visit, point);
        int64_t value = kit_get(reader, "k");
        assert_true(value != KIT_ABSENT);
        kit_store(db, "k", ++visit.seen);
        if (isolation != KH_READ_COMMITTED) kit_get_is(reader, "k", value);
        kit_commit_ok(reader);
        if (!goes_on) return;
    }
}

static void test_begin_is_overtaken(void **state) {
    for (int i = 0; i < 3; i++) {
        reads_what_is_there(*state, kit_levels[i], 0);
        reads_what_is_there(*state, kit_levels[i], KH_BEGIN_READ_ONLY);
    }
}

/* Read committed takes a timestamp for each statement. */
static void test_a_statement_is_overtaken(void **state) {
    kh_db *db = *state;
    struct visit visit = {.run = store_some, .db = db};
    char text[KIT_TEXT_BYTES];
    kh_scan_options options = kit_range("a", "z", 0, 0);
    for (int is_scan = 0; is_scan < 2; is_scan++) {
        for (int point = 1;; point++) {
            kit_store(db, "k", visit.seen);
            kh_txn *reader = kit_begin(db, KH_READ_COMMITTED);
            expect(&visit, point);
            if (is_scan) {
                kit_scan(reader, &options, text);
                assert_string_not_equal(text, "");
            } else {
                assert_true(kit_get(reader, "k") != KIT_ABSENT);
            }
            bool goes_on = has_come(&visit, point);
            kit_commit_ok(reader);
            if (!goes_on) break;
        }
    }
}

/* A scan at read committed is one statement, whoever commits and reclaims between its steps. */
static void test_a_scan_is_overtaken(void **state) {
    kh_db *db = *state;
    kh_txn *reader = kit_begin(db, KH_READ_COMMITTED);
    /* The scan sees what the snapshot at begin does not keep. */
    for (char key[] = "a"; key[0] <= 'e'; key[0]++) kit_store(db, key, 0);
    kh_scan_options options = kit_range("a", "f", 0, 0);
    kh_cursor *cursor = NULL;
    kh_bytes key;
    const kh_batch *value;
    kit_is(kh_txn_scan(reader, &options, &cursor, NULL), KH_OK);
    for (int i = 0; i < 5; i++) {
        for (char next[] = "a"; next[0] <= 'e'; next[0]++) kit_store(db, next, i + 1);
        (void)kit_get(reader, "a"); /* another statement, at a newer timestamp */
        kh_db_step(db);
        kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_OK);
        assert_int_equal(kit_number_of(value), 0);
    }
    kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_END);
    kh_cursor_close(cursor);
    kit_commit_ok(reader);
}

/* ---- a writer is overtaken by a reader ------------------------------------------------------- */

static void begin_and_read(struct visit *visit) {
    visit->txn = kit_begin(visit->db, KH_REPEATABLE_READ);
    visit->seen = kit_get(visit->txn, "k");
}

static void test_commit_is_overtaken(void **state) {
    kh_db *db = *state;
    struct visit visit = {.run = begin_and_read, .db = db};
    int64_t stored = 0;
    kit_store(db, "k", stored);
    for (int point = 1;; point++) {
        kh_txn *writer = kit_begin(db, KH_SERIALIZABLE);
        (void)kit_get(writer, "other");
        kit_put(writer, "k", stored + 1);
        expect(&visit, point);
        kit_commit_ok(writer);
        if (!has_come(&visit, point)) break;
        assert_true(visit.seen == stored || visit.seen == stored + 1);
        kit_store(db, "k", stored + 2);
        kit_store(db, "k", stored + 3);
        kh_db_step(db);
        kit_get_is(visit.txn, "k", visit.seen);
        kit_commit_ok(visit.txn);
        stored += 3;
    }
}

/* Pruning, by somebody whose commit has nothing to do with the key. */
static void test_pruning_is_overtaken(void **state) {
    kh_db *db = *state;
    struct visit visit = {.run = begin_and_read, .db = db};
    int64_t stored = 0;
    kit_store(db, "k", stored);
    for (int point = 1;; point++) {
        kh_txn *old = kit_begin(db, KH_REPEATABLE_READ); /* keeps versions, parked, till it ends */
        for (int i = 0; i < 3; i++) kit_store(db, "k", ++stored);
        kit_rollback(old);
        expect(&visit, point);
        kit_store(db, "other", stored);
        if (!has_come(&visit, point)) break;
        kit_store(db, "k", ++stored);
        kh_db_step(db);
        kit_get_is(visit.txn, "k", visit.seen);
        kit_commit_ok(visit.txn);
    }
}

/* ---- the horizon ----------------------------------------------------------------------------- */

struct past {
    struct visit visit;
    struct kit_clock clock;
    kh_timestamp at;
    int64_t value;
};

static kh_db *open_past(struct past *past) {
    kh_options options = kit_options();
    past->clock = (struct kit_clock){1700000000000u, 1000000000u, 0};
    options.clock = kit_clock_hook(&past->clock);
    options.retention_ms = 1000;
    kh_db *db = kit_open_with(&options);
    kh_txn *txns[4];
    for (int i = 0; i < 4; i++) txns[i] = kit_begin(db, KH_REPEATABLE_READ);
    for (int i = 0; i < 4; i++) kit_rollback(txns[i]);
    return db;
}

/* Three versions, of which the first is about to leave the window. */
static void make_past(struct past *past, kh_db *db) {
    kit_store(db, "k", past->value);
    past->at = kh_db_now(db);
    kit_clock_advance(&past->clock, 100);
    kit_store(db, "k", past->value + 1);
    kit_clock_advance(&past->clock, 600);
    kit_store(db, "k", past->value + 2);
    kit_clock_advance(&past->clock, 600);
}

/* TOO_OLD, or the value of then: nothing else. */
static void read_past(struct past *past, kh_txn *reader) {
    if (reader == NULL) return;
    kh_db_step(past->visit.db);
    kit_get_is(reader, "k", past->value);
    kit_commit_ok(reader);
}

static void begin_in_the_past(struct visit *visit) {
    struct past *past = (struct past *)(void *)visit;
    visit->txn = NULL;
    if (kh_txn_begin_at(visit->db, past->at, &visit->txn, NULL) != KH_OK) visit->txn = NULL;
}

static void prune(struct visit *visit) {
    kh_db_step(visit->db);
}

static void test_reading_the_past_is_overtaken(void **state) {
    struct past past = {.visit = {.run = prune}};
    kh_db *db = past.visit.db = open_past(&past);
    for (int point = 1;; point++) {
        make_past(&past, db);
        expect(&past.visit, point);
        begin_in_the_past(&past.visit);
        bool goes_on = has_come(&past.visit, point);
        read_past(&past, past.visit.txn);
        past.value += 3;
        if (!goes_on) break;
    }
    kit_close(db);
    (void)state;
}

static void test_raising_the_horizon_is_overtaken(void **state) {
    struct past past = {.visit = {.run = begin_in_the_past}};
    kh_db *db = past.visit.db = open_past(&past);
    for (int point = 1;; point++) {
        make_past(&past, db);
        past.visit.txn = NULL;
        expect(&past.visit, point);
        kh_db_step(db);
        bool goes_on = has_come(&past.visit, point);
        read_past(&past, past.visit.txn);
        past.value += 3;
        if (!goes_on) break;
    }
    kit_close(db);
    (void)state;
}

/* ---- safe snapshots -------------------------------------------------------------------------- */

static void withdraw(struct visit *visit) {
    kit_put(visit->txn, "checking", -11);
    visit->seen = kit_commit(visit->txn);
}

/* The read-only anomaly, the writer of which commits while the reader begins, or while it commits:
 * not all three may have their way. */
static void test_read_only_is_overtaken(void **state) {
    kh_db *db = *state;
    struct visit visit = {.run = withdraw, .db = db};
    for (int is_commit = 0; is_commit < 2; is_commit++) {
        for (int point = 1;; point++) {
            kit_store(db, "checking", 0);
            kit_store(db, "savings", 0);
            visit.txn = kit_begin(db, KH_SERIALIZABLE);
            kit_get_is(visit.txn, "checking", 0);
            kit_get_is(visit.txn, "savings", 0);
            kh_txn *deposit = kit_begin(db, KH_SERIALIZABLE);
            kit_put(deposit, "savings", kit_get(deposit, "savings") + 20);
            kit_commit_ok(deposit);
            if (!is_commit) expect(&visit, point);
            kh_txn *reader =
                kit_begin_with(db, KH_SERIALIZABLE, KH_FAIL, KH_BEGIN_READ_ONLY);
            bool goes_on = is_commit || has_come(&visit, point);
            int64_t checking = kit_get(reader, "checking");
            int64_t savings = kit_get(reader, "savings");
            if (is_commit) expect(&visit, point);
            kh_status status = kit_commit(reader);
            if (is_commit) goes_on = has_come(&visit, point);
            if (!visit.has_come) withdraw(&visit);
            bool is_anomaly = savings == 20 && checking == 0 && status == KH_OK;
            assert_false(is_anomaly && visit.seen == KH_OK);
            if (!goes_on) break;
        }
    }
}

static void begin_safe(struct visit *visit) {
    visit->txn = kit_begin_with(visit->db, KH_SERIALIZABLE, KH_FAIL, KH_BEGIN_READ_ONLY);
    visit->seen = kit_get(visit->txn, "checking") == 0 && kit_get(visit->txn, "savings") == 20;
}

/* The reader begins while the writer commits: it finds the writer open, or what it wrote. */
static void test_a_writer_is_overtaken_by_a_reader(void **state) {
    kh_db *db = *state;
    struct visit visit = {.run = begin_safe, .db = db};
    for (int point = 1;; point++) {
        kit_store(db, "checking", 0);
        kit_store(db, "savings", 0);
        kh_txn *writer = kit_begin(db, KH_SERIALIZABLE);
        kit_get_is(writer, "checking", 0);
        kit_get_is(writer, "savings", 0);
        kit_store(db, "savings", 20);
        kit_put(writer, "checking", -11);
        expect(&visit, point);
        kh_status status = kit_commit(writer);
        if (!has_come(&visit, point)) break;
        bool is_anomaly = kit_commit(visit.txn) == KH_OK && visit.seen != 0;
        assert_false(is_anomaly && status == KH_OK);
    }
}

#define ON_DB(test) cmocka_unit_test_setup_teardown(test, open_db, close_db)

int main(void) {
#if !defined(KH_SLOW_CHECKS)
    print_message("no steps in this build: nothing to test\n");
    return 0;
#endif
    const struct CMUnitTest tests[] = {
        ON_DB(test_begin_is_overtaken),
        ON_DB(test_a_statement_is_overtaken),
        ON_DB(test_a_scan_is_overtaken),
        ON_DB(test_commit_is_overtaken),
        ON_DB(test_pruning_is_overtaken),
        cmocka_unit_test(test_reading_the_past_is_overtaken),
        cmocka_unit_test(test_raising_the_horizon_is_overtaken),
        ON_DB(test_read_only_is_overtaken),
        ON_DB(test_a_writer_is_overtaken_by_a_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
