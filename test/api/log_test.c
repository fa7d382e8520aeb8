/* log_test.c - a log written outside of the library, which answers late, refuses or loses: commits
 * show when it has kept them and never before, the next ones are certified against what is in
 * flight, and what it kept is there when it is opened again. */
#include "support/held_log.h"

#include <errno.h>
#include <poll.h>

struct fixture {
    struct held_log held;
    kh_options options;
    kh_db *db;
};

static void open_fixture(struct fixture *f, enum held_mode mode) {
    held_log_init(&f->held, HELD_AT_ONCE);
    f->options = kit_options();
    f->options.log = &f->held.log;
    f->db = kit_open_with(&f->options);
    assert_int_equal(f->held.opens, 1);
    kit_store(f->db, "k", 1);
    kit_store(f->db, "m", 1);
    f->held.mode = mode;
}

static void close_fixture(struct fixture *f) {
    kit_close(f->db);
    assert_int_equal(f->held.closes, 1);
    held_log_fini(&f->held);
}

static void reopen(struct fixture *f) {
    kit_close(f->db);
    f->held.mode = HELD_AT_ONCE;
    f->held.closes = 0;
    f->db = kit_open_with(&f->options);
}

/* Begin, put, start the commit. */
static kh_txn *start(kh_db *db, kh_isolation isolation, const char *key, int64_t number) {
    kh_txn *txn = kit_begin(db, isolation);
    kit_put(txn, key, number);
    kit_is(kh_txn_commit_start(txn, NULL), KH_OK);
    return txn;
}

static bool is_readable(int descriptor) {
    struct pollfd poll_for = {.fd = descriptor, .events = POLLIN};
    return poll(&poll_for, 1, 0) == 1 && (poll_for.revents & POLLIN) != 0;
}

/* ---- late ------------------------------------------------------------------------------------ */

static void test_visible_only_when_kept(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, HELD_UNTIL_TOLD);
    kh_timestamp before = kh_db_now(f.db);
    kh_timestamp timestamp = 0;
    kh_outcome outcome = KH_OUTCOME_COMMITTED;
    kh_txn *txn = start(f.db, KH_SERIALIZABLE, "k", 2);
    int descriptor = kh_txn_descriptor(txn);
    assert_true(descriptor >= 0);
    assert_false(is_readable(descriptor));
    kit_is(kh_txn_poll(txn, &timestamp), KH_PENDING);
    kit_is(kh_txn_wait(txn, 0, &timestamp), KH_PENDING);
    kit_load_is(f.db, "k", 1);
    assert_true(kh_db_now(f.db) == before);
    kit_is(kh_db_outcome(f.db, kh_txn_get_id(txn), &outcome, NULL, NULL), KH_OK);
    assert_int_equal(outcome, KH_OUTCOME_ACTIVE);
    held_log_answer(&f.held, UINT64_MAX, KH_LOG_KEPT);
    assert_true(is_readable(descriptor));
    kit_is(kh_txn_poll(txn, &timestamp), KH_OK);
    assert_true(timestamp > before && timestamp == kh_db_now(f.db));
    kit_is(kh_txn_wait(txn, UINT32_MAX, &timestamp), KH_OK);
    kit_load_is(f.db, "k", 2);
    kit_is(kh_db_outcome(f.db, kh_txn_get_id(txn), &outcome, &timestamp, NULL), KH_OK);
    assert_int_equal(outcome, KH_OUTCOME_COMMITTED);
    kh_txn_close(txn);
    close_fixture(&f);
}

/* Whatever became of the last commit of the same handle. */
static void test_pending_each_time(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, HELD_UNTIL_TOLD);
    for (int64_t i = 0; i < 5; i++) {
        kh_timestamp timestamp = 0;
        kh_txn *txn = start(f.db, KH_SERIALIZABLE, "k", i);
        kit_is(kh_txn_poll(txn, &timestamp), KH_PENDING);
        kit_is(kh_txn_wait(txn, 0, &timestamp), KH_PENDING);
        assert_int_equal(timestamp, 0);
        held_log_answer(&f.held, UINT64_MAX, KH_LOG_KEPT);
        kit_is(kh_txn_poll(txn, &timestamp), KH_OK);
        kh_txn_close(txn);
    }
    close_fixture(&f);
}

/* A descriptor asked for after the outcome is readable, too. */
static void test_descriptor_afterwards(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, HELD_AT_ONCE);
    kh_txn *txn = start(f.db, KH_SERIALIZABLE, "k", 2);
    int descriptor = kh_txn_descriptor(txn);
    assert_true(descriptor >= 0);
    assert_true(is_readable(descriptor));
    kit_is(kh_txn_poll(txn, NULL), KH_OK);
    kh_txn_close(txn);
    close_fixture(&f);
}

static void test_waiters_ask_for_a_flush(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, HELD_ON_FLUSH);
    kit_store(f.db, "k", 2);
    assert_true(f.held.flushes >= 1);
    kit_load_is(f.db, "k", 2);
    close_fixture(&f);
}

/* The handle may be closed while the commit is under way: it goes on. */
static void test_closing_the_handle_of_a_started_commit(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, HELD_UNTIL_TOLD);
    kh_txn *txn = start(f.db, KH_SERIALIZABLE, "k", 2);
    kh_txn_id id = kh_txn_get_id(txn);
    kh_outcome outcome;
    kh_txn_close(txn);
    kit_load_is(f.db, "k", 1);
    held_log_answer(&f.held, UINT64_MAX, KH_LOG_KEPT);
    kit_load_is(f.db, "k", 2);
    kit_is(kh_db_outcome(f.db, id, &outcome, NULL, NULL), KH_OK);
    assert_int_equal(outcome, KH_OUTCOME_COMMITTED);
    close_fixture(&f);
}

/* Ten in the pipeline; they show one after the other, in order. */
static void test_pipeline(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, HELD_UNTIL_TOLD);
    kh_txn *txns[10];
    kh_timestamp last = 0;
    uint64_t cookies[10];
    for (int i = 0; i < 10; i++) {
        txns[i] = start(f.db, KH_READ_COMMITTED, "k", 100 + i);
        cookies[i] = f.held.appended;
    }
    for (int i = 0; i < 10; i++) {
        kh_timestamp timestamp = 0;
        held_log_answer(&f.held, cookies[i], KH_LOG_KEPT);
        kit_load_is(f.db, "k", 100 + i);
        kit_is(kh_txn_poll(txns[i], &timestamp), KH_OK);
        assert_true(timestamp > last);
        last = timestamp;
        if (i < 9) {
            kit_is(kh_txn_poll(txns[i + 1], &timestamp), KH_PENDING);
        }
        kh_txn_close(txns[i]);
    }
    close_fixture(&f);
}

/* ---- certified against what is in flight ----------------------------------------------------- */

static void test_conflict_with_one_in_flight(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, HELD_ON_FLUSH);
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    kh_txn *rival = start(f.db, KH_REPEATABLE_READ, "k", 2);
    kh_txn *later = kit_begin(f.db, KH_REPEATABLE_READ); /* does not see the rival */
    kit_get_is(later, "k", 1);
    kit_put(txn, "k", 3);
    kit_put(later, "k", 4);
    kit_is(kit_commit(txn), KH_CONFLICT);
    kit_load_is(f.db, "k", 2); /* the rival's fate is known: a retry does not meet it again */
    kit_is(kit_commit(later), KH_CONFLICT);
    kit_is(kh_txn_poll(rival, NULL), KH_OK);
    kh_txn_close(rival);
    close_fixture(&f);
}

static void test_write_skew_with_one_in_flight(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, HELD_ON_FLUSH);
    kh_txn *first = kit_begin(f.db, KH_SERIALIZABLE);
    kh_txn *second = kit_begin(f.db, KH_SERIALIZABLE);
    kit_get_is(first, "m", 1);
    kit_get_is(second, "k", 1);
    kit_put(first, "k", 2);
    kit_put(second, "m", 2);
    kit_is(kh_txn_commit_start(first, NULL), KH_OK);
    kit_is(kit_commit(second), KH_NOT_SERIALIZABLE);
    kit_is(kh_txn_wait(first, UINT32_MAX, NULL), KH_OK);
    kh_txn_close(first);
    kit_load_is(f.db, "m", 1);
    close_fixture(&f);
}

/* ---- refused, lost --------------------------------------------------------------------------- */

static void is_poisoned(kh_db *db) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_get_is(txn, "m", 1); /* reads go on */
    kit_put(txn, "m", 9);
    kit_is(kit_commit(txn), KH_POISONED);
    kit_load_is(db, "m", 1);
}

static void test_refused(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, HELD_UNTIL_TOLD);
    size_t kept = f.held.record_count;
    kh_txn *first = start(f.db, KH_SERIALIZABLE, "k", 2);
    kh_txn *second = start(f.db, KH_SERIALIZABLE, "n", 2);
    held_log_answer(&f.held, UINT64_MAX, KH_LOG_REFUSED);
    held_log_cut(&f.held, kept);
    kh_txn *both[2] = {first, second};
    for (int i = 0; i < 2; i++) {
        kh_outcome outcome = KH_OUTCOME_ACTIVE;
        kh_status status = kh_txn_poll(both[i], NULL);
        assert_int_equal(kh_status_classify(status), KH_CLASS_STOP); /* certainly not applied */
        kit_is(kh_db_outcome(f.db, kh_txn_get_id(both[i]), &outcome, NULL, NULL), KH_OK);
        assert_int_equal(outcome, KH_OUTCOME_ABORTED);
        kh_txn_close(both[i]);
    }
    kit_load_is(f.db, "k", 1);
    kit_load_is(f.db, "n", KIT_ABSENT);
    is_poisoned(f.db);
    reopen(&f);
    kit_load_is(f.db, "k", 1);
    kit_store(f.db, "k", 5);
    kit_load_is(f.db, "k", 5);
    close_fixture(&f);
}

/* Not told to try again because of a rival whose fate nobody will know. */
static void rivals_of_lost_ones_are_refused(kh_db *db) {
    static const kh_policy policies[] = {KH_FAIL, KH_IGNORE, KH_REPLACE};
    for (int level = 0; level < 3; level++) {
        for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
            kh_txn *txn = kit_begin_with(db, kit_levels[level], policies[i], 0);
            kit_put(txn, "k", 3);
            kit_is(kit_commit(txn), KH_POISONED);
        }
    }
}

static void test_lost(void **state) {
    (void)state;
    for (int is_there = 0; is_there < 2; is_there++) {
        struct fixture f;
        open_fixture(&f, HELD_UNTIL_TOLD);
        size_t kept = f.held.record_count;
        kh_txn *txn = start(f.db, KH_SERIALIZABLE, "k", 2);
        kh_txn_id id = kh_txn_get_id(txn);
        held_log_answer(&f.held, UINT64_MAX, KH_LOG_LOST);
        kit_is(kh_txn_poll(txn, NULL), KH_UNKNOWN);
        kh_txn_close(txn);
        kit_load_is(f.db, "k", 1);
        is_poisoned(f.db);
        rivals_of_lost_ones_are_refused(f.db);
        if (!is_there) {
            held_log_cut(&f.held, kept);
        }
        reopen(&f);
        kit_load_is(f.db, "k", is_there ? 2 : 1);
        kh_outcome outcome = KH_OUTCOME_ACTIVE;
        kh_status status = kh_db_outcome(f.db, id, &outcome, NULL, NULL);
        if (is_there) {
            kit_is(status, KH_OK);
            assert_int_equal(outcome, KH_OUTCOME_COMMITTED);
        } else {
            kit_is(status, KH_NOT_FOUND);
        }
        close_fixture(&f);
    }
}

static void test_append_fails(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, HELD_AT_ONCE);
    f.held.append_errno = ENOSPC;
    kh_txn *txn = kit_begin(f.db, KH_SERIALIZABLE);
    kh_txn_id id = kh_txn_get_id(txn);
    kh_outcome outcome = KH_OUTCOME_ACTIVE;
    kh_error error = {""};
    kit_put(txn, "k", 2);
    kh_status status = kh_txn_commit(txn, NULL, &error);
    assert_int_equal(kh_status_classify(status), KH_CLASS_STOP);
    assert_true(error.message[0] != '\0');
    kh_txn_close(txn);
    kit_load_is(f.db, "k", 1);
    kit_is(kh_db_outcome(f.db, id, &outcome, NULL, NULL), KH_OK);
    assert_int_equal(outcome, KH_OUTCOME_ABORTED);
    f.held.append_errno = 0;
    reopen(&f);
    kit_load_is(f.db, "k", 1);
    kit_store(f.db, "k", 3);
    close_fixture(&f);
}

/* ---- replay ---------------------------------------------------------------------------------- */

static void test_replay(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, HELD_AT_ONCE);
    kh_txn *txn = kit_begin(f.db, KH_SERIALIZABLE);
    kh_txn_id id = kh_txn_get_id(txn);
    kh_batch *rows = kit_rows(NULL, "1=1/1 2=2/2");
    char text[KIT_TEXT_BYTES];
    kit_get_is(txn, "m", 1);
    kit_put(txn, "k", 7);
    kit_is(kh_txn_put(txn, kit_key("r"), rows, NULL), KH_OK);
    kit_delete(txn, "m");
    kit_commit_ok(txn);
    kh_batch_release(rows);
    kh_timestamp last = kh_db_now(f.db);
    for (int round = 0; round < 3; round++) {
        reopen(&f);
        assert_true(kh_db_now(f.db) == last);
        txn = kit_begin(f.db, KH_REPEATABLE_READ);
        assert_false(kh_txn_get_id(txn).low == id.low && kh_txn_get_id(txn).high == id.high);
        kit_get_is(txn, "k", 7 + round);
        kit_get_is(txn, "m", KIT_ABSENT);
        rows = NULL;
        kit_is(kh_txn_get(txn, kit_key("r"), &rows, NULL), KH_OK);
        kit_text(rows, text);
        assert_string_equal(text, "1=1/1 2=2/2");
        kh_batch_release(rows);
        kit_put(txn, "k", 8 + round);
        kh_timestamp now = 0;
        kit_is(kh_txn_commit(txn, &now, NULL), KH_OK);
        kh_txn_close(txn);
        assert_true(now > last);
        last = now;
    }
    close_fixture(&f);
}

/* The clock may stand or have gone back while the database was closed: neither ids nor timestamps
 * are given again. */
static void test_a_clock_that_went_back(void **state) {
    (void)state;
    static const uint64_t back_ms[] = {0, 1, 3600 * 1000};
    for (int i = 0; i < 3; i++) {
        struct fixture f;
        struct kit_clock hands = {1700000000000u, 1000000000u, 0};
        kh_txn_id id = {0, 0};
        kh_timestamp last = 0;
        held_log_init(&f.held, HELD_AT_ONCE);
        f.options = kit_options();
        f.options.log = &f.held.log;
        f.options.clock = kit_clock_hook(&hands);
        f.db = kit_open_with(&f.options);
        for (int round = 0; round < 3; round++) {
            for (int write = 0; write < 3; write++) {
                kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
                kh_txn_id next = kh_txn_get_id(txn);
                kh_timestamp now = 0;
                assert_true(next.low > id.low);
                id = next;
                kit_put(txn, "k", write);
                kit_is(kh_txn_commit(txn, &now, NULL), KH_OK);
                kh_txn_close(txn);
                assert_true(now > last);
                last = now;
            }
            hands.wall_ms -= back_ms[i];
            reopen(&f);
        }
        close_fixture(&f);
    }
}

/* A prepared transaction is found in the log, holds its keys, and can be decided. */
static void test_replay_of_a_prepared_one(void **state) {
    (void)state;
    for (int is_commit = 0; is_commit < 2; is_commit++) {
        struct fixture f;
        open_fixture(&f, HELD_AT_ONCE);
        kh_txn *txn = kit_begin(f.db, KH_SERIALIZABLE);
        kh_txn_id id = kh_txn_get_id(txn);
        kh_outcome outcome = KH_OUTCOME_ACTIVE;
        kit_put(txn, "k", 2);
        kit_is(kh_txn_prepare(txn, NULL), KH_OK);
        kh_txn_close(txn); /* stays prepared */
        reopen(&f);
        kit_is(kh_db_outcome(f.db, id, &outcome, NULL, NULL), KH_OK);
        assert_int_equal(outcome, KH_OUTCOME_PREPARED);
        kit_load_is(f.db, "k", 1);
        txn = kit_begin(f.db, KH_REPEATABLE_READ);
        kit_put(txn, "k", 3);
        kit_is(kit_commit(txn), KH_HELD);
        kit_is(kh_db_decide(f.db, id, is_commit != 0, NULL, NULL), KH_OK);
        kit_load_is(f.db, "k", is_commit ? 2 : 1);
        kit_store(f.db, "k", 4);
        reopen(&f);
        kit_load_is(f.db, "k", 4);
        kit_is(kh_db_outcome(f.db, id, &outcome, NULL, NULL), KH_OK);
        assert_int_equal(outcome, is_commit ? KH_OUTCOME_COMMITTED : KH_OUTCOME_ABORTED);
        close_fixture(&f);
    }
}

/* A tag travels in the record of the transaction, not in that of its decision. */
static void test_replay_of_a_tagged_decision(void **state) {
    (void)state;
    for (int is_commit = 0; is_commit < 2; is_commit++) {
        struct fixture f;
        open_fixture(&f, HELD_AT_ONCE);
        kh_txn_options options = KH_TXN_OPTIONS_INIT;
        kh_txn *txn = NULL;
        options.tag = "by halves";
        kit_is(kh_txn_begin(f.db, &options, &txn, NULL), KH_OK);
        kit_put(txn, "k", 2);
        kit_is(kh_txn_prepare(txn, NULL), KH_OK);
        kit_is(is_commit ? kh_txn_commit(txn, NULL, NULL) : kh_txn_rollback(txn), KH_OK);
        kh_txn_close(txn);
        reopen(&f);
        kit_load_is(f.db, "k", is_commit ? 2 : 1);
        close_fixture(&f);
    }
}

static void open_fails(struct fixture *f, kh_status expected) {
    kh_db *db = NULL;
    kh_error error = {""};
    kit_is(kh_db_open(&f->options, &db, &error), expected);
    assert_null(db);
    assert_true(error.message[0] != '\0');
}

static void test_open_failures(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, HELD_AT_ONCE);
    kit_close(f.db);
    f.held.open_errno = EACCES;
    open_fails(&f, KH_IO);
    f.held.open_errno = 0;
    f.held.read_errno = EIO;
    open_fails(&f, KH_IO);
    f.held.read_errno = 0;
    f.held.log.version = KH_LOG_VERSION + 1;
    kh_db *db = NULL;
    kh_status status = kh_db_open(&f.options, &db, NULL);
    assert_true(status == KH_UNSUPPORTED || status == KH_INVALID);
    f.held.log.version = KH_LOG_VERSION;
    for (size_t i = 0; i < f.held.record_count; i++) {
        unsigned char *byte = (unsigned char *)f.held.records[i].data;
        for (size_t at = 0; at < f.held.records[i].size_bytes; at += 13) {
            byte[at] ^= 0x10;
            status = kh_db_open(&f.options, &db, NULL);
            assert_true(status == KH_CORRUPT || status == KH_UNSUPPORTED);
            byte[at] ^= 0x10;
        }
    }
    f.db = kit_open_with(&f.options);
    kit_load_is(f.db, "k", 1);
    f.held.closes = 0;
    close_fixture(&f);
}

/* Cut anywhere, what is before the cut is there. */
static void test_every_prefix(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, HELD_AT_ONCE);
    size_t counts[20];
    for (int i = 0; i < 20; i++) {
        kit_store(f.db, "k", i);
        counts[i] = f.held.record_count;
    }
    for (int i = 19; i >= 0; i--) {
        kit_close(f.db);
        held_log_cut(&f.held, counts[i]);
        f.db = kit_open_with(&f.options);
        kit_load_is(f.db, "k", i);
    }
    f.held.closes = 0;
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_visible_only_when_kept),
        cmocka_unit_test(test_pending_each_time),
        cmocka_unit_test(test_descriptor_afterwards),
        cmocka_unit_test(test_waiters_ask_for_a_flush),
        cmocka_unit_test(test_closing_the_handle_of_a_started_commit),
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_conflict_with_one_in_flight),
        cmocka_unit_test(test_write_skew_with_one_in_flight),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_append_fails),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_a_clock_that_went_back),
        cmocka_unit_test(test_replay_of_a_prepared_one),
        cmocka_unit_test(test_replay_of_a_tagged_decision),
        cmocka_unit_test(test_open_failures),
        cmocka_unit_test(test_every_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
