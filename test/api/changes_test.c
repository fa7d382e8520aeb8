/* changes_test.c - the change feed, case by case: what it shows of a commit, when, and what it
 * answers when there is nothing, when the log was trimmed or has failed, when it is cancelled.
 * Random histories are in test/property/changes_model_test.c. */
#include "support/path_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

enum { HOUR_MS = 3600 * 1000 };

static void open_fixture(struct fixture *f, uint32_t flags, uint64_t retention_ms) {
    make_fixture(f, flags);
    f->options.retention_ms = retention_ms;
    f->db = kit_open_with(&f->options);
}

static kh_changes *feed_of(kh_db *db, kh_timestamp after, const char *prefix) {
    kh_changes_options options = KH_CHANGES_OPTIONS_INIT;
    kh_changes *feed = NULL;
    kh_error error = {""};
    options.prefix = kit_key(prefix);
    if (kh_changes_open(db, after, &options, &feed, &error) != KH_OK) fail_msg("%s", error.message);
    return feed;
}

static void open_is(kh_db *db, kh_timestamp after, kh_status expected) {
    kh_changes *feed = NULL;
    kit_is(kh_changes_open(db, after, NULL, &feed, NULL), expected);
    kh_changes_close(feed);
}

static void change_is(kh_changes *feed, const char *key, int64_t number, kh_timestamp timestamp,
                      bool is_last) {
    kh_change change;
    kh_error error = {""};
    if (kh_changes_next(feed, 0, &change, &error) != KH_OK) fail_msg("%s: %s", key, error.message);
    if (!kit_bytes_equal(change.key, kit_key(key)))
        fail_msg("%.*s in place of %s", (int)change.key.size_bytes, (const char *)change.key.data,
                 key);
    assert_int_equal(change.operation,
                     number == KIT_ABSENT ? KH_OPERATION_DELETE : KH_OPERATION_PUT);
    assert_int_equal(kit_number_of(change.value), number);
    assert_int_equal(change.timestamp, timestamp);
    assert_int_equal(change.is_last_of_commit, is_last);
}

static void no_change(kh_changes *feed) {
    kh_change change;
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_PENDING);
}

/* ---- what it shows --------------------------------------------------------------------------- */

static void test_one_commit(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS, 0);
    kh_changes *feed = feed_of(f.db, 0, "");
    kh_changes *keys = feed_of(f.db, kh_db_now(f.db), "a/");
    no_change(feed);
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.tag = "a tag";
    kh_txn *txn = NULL;
    kit_is(kh_txn_begin(f.db, &options, &txn, NULL), KH_OK);
    kit_put(txn, "a/1", 1);
    kit_put(txn, "b/1", 2);
    kit_delete(txn, "a/2");
    kit_put(txn, "b/2", 3);
    kh_txn_id id = kh_txn_get_id(txn);
    kit_commit_ok(txn);
    kh_timestamp now = kh_db_now(f.db);
    change_is(feed, "a/1", 1, now, false);
    assert_true(kh_changes_position(feed) < now);
    change_is(feed, "b/1", 2, now, false);
    change_is(feed, "a/2", KIT_ABSENT, now, false);
    kh_change change;
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_OK);
    assert_true(change.id.low == id.low && change.id.high == id.high);
    assert_true(kit_bytes_equal(change.tag, kit_key("a tag")));
    assert_true(change.is_last_of_commit);
    assert_int_equal(kh_changes_position(feed), now);
    kh_batch *kept = kh_batch_retain(change.value);
    no_change(feed);
    change_is(keys, "a/1", 1, now, false);
    change_is(keys, "a/2", KIT_ABSENT, now, true);
    no_change(keys);
    kit_is(kh_db_close(f.db), KH_IN_USE);
    kh_changes_close(feed);
    kit_is(kh_db_close(f.db), KH_IN_USE);
    kh_changes_close(keys);
    close_fixture(&f);
    assert_int_equal(kit_number_of(kept), 3); /* outlives all of it */
    kh_batch_release(kept);
}

/* A feed of rare keys passes over the others, and its position says so. */
static void test_position_without_changes(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS, 0);
    kh_changes *feed = feed_of(f.db, 0, "rare/");
    for (int i = 0; i < 10; i++) kit_store(f.db, "often", i);
    no_change(feed);
    assert_int_equal(kh_changes_position(feed), kh_db_now(f.db));
    kh_changes_close(feed);
    close_fixture(&f);
}

static void test_only_commits(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS, 0);
    kit_store(f.db, "k", 1);
    kh_changes *feed = feed_of(f.db, kh_db_now(f.db), "");
    kh_txn *conflict = kit_begin(f.db, KH_REPEATABLE_READ);
    kh_txn *dropped = kit_begin_with(f.db, KH_REPEATABLE_READ, KH_IGNORE, 0);
    kit_put(conflict, "k", 2);
    kit_put(dropped, "k", 3);
    kit_put(dropped, "m", 3);
    kit_store(f.db, "k", 4);
    change_is(feed, "k", 4, kh_db_now(f.db), true);
    kit_is(kit_commit(conflict), KH_CONFLICT);
    kit_commit_ok(dropped);
    change_is(feed, "m", 3, kh_db_now(f.db), true);
    kh_txn *prepared = kit_begin(f.db, KH_SERIALIZABLE);
    kit_put(prepared, "p", 5);
    kit_is(kh_txn_prepare(prepared, NULL), KH_OK);
    no_change(feed);
    kit_rollback(prepared);
    no_change(feed);
    kh_changes_close(feed);
    close_fixture(&f);
}

/* Row operations and policies show what they made. */
static void test_resolved_values(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS, 0);
    kh_changes *feed = feed_of(f.db, 0, "");
    const char *rows[] = {"1=10/100", "2=20/200", "1=11/100 3=30/300"};
    const char *whole[] = {"1=10/100", "1=10/100 2=20/200", "1=11/100 2=20/200 3=30/300"};
    for (int i = 0; i < 3; i++) {
        kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
        kh_batch *batch = kit_rows(f.db, rows[i]);
        kit_is(kh_txn_upsert_rows(txn, kit_key("r"), batch, NULL), KH_OK);
        kh_batch_release(batch);
        kit_commit_ok(txn);
        kh_change change;
        char text[KIT_TEXT_BYTES];
        kit_is(kh_changes_next(feed, 0, &change, NULL), KH_OK);
        kit_text(change.value, text);
        assert_string_equal(text, whole[i]);
    }
    kh_changes_close(feed);
    close_fixture(&f);
}

/* Batches that the process made and those of the database: schemas are numbered per owner. */
static void test_schemas_of_others(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS, HOUR_MS);
    kh_batch *numbers = kit_number(NULL, 7);
    kh_batch *rows = kit_rows(f.db, "1=10/100");
    kh_batch *more = kit_rows(NULL, "2=20/200");
    const kh_batch *batches[] = {rows, numbers, more};
    for (int i = 0; i < 3; i++) {
        kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
        kit_is(kh_txn_put(txn, kit_key("k"), batches[i], NULL), KH_OK);
        kit_commit_ok(txn);
    }
    for (int round = 0; round < 2; round++) {
        kh_changes *feed = feed_of(f.db, 0, "");
        for (int i = 0; i < 3; i++) {
            kh_change change;
            bool is_equal = false;
            kit_is(kh_changes_next(feed, 0, &change, NULL), KH_OK);
            kit_is(kh_batch_equal(change.value, batches[i], &is_equal, NULL), KH_OK);
            assert_true(is_equal);
        }
        kh_changes_close(feed);
        kh_batch_release(rows);
        rows = kit_rows(NULL, "1=10/100");
        batches[0] = rows;
        reopen(&f);
    }
    kh_batch_release(numbers);
    kh_batch_release(rows);
    kh_batch_release(more);
    close_fixture(&f);
}

/* Not before it is durable. */
static void test_durable_only(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS, 0);
    kit_store(f.db, "k", 1); /* the first of a log is not answered at once */
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.sync = KH_SYNC_NONE;
    kh_txn *txn = NULL;
    kit_is(kh_txn_begin(f.db, &options, &txn, NULL), KH_OK);
    kit_put(txn, "warm", 1);
    kit_commit_ok(txn);
    kh_db_step(f.db);
    kh_changes *feed = feed_of(f.db, kh_db_now(f.db), "");
    kit_is(kh_txn_begin(f.db, &options, &txn, NULL), KH_OK);
    kit_put(txn, "k", 2);
    kit_commit_ok(txn);
    kit_load_is(f.db, "k", 2);
    no_change(feed);
    kh_db_step(f.db);
    change_is(feed, "k", 2, kh_db_now(f.db), true);
    kh_changes_close(feed);
    close_fixture(&f);
}

/* ---- trimming -------------------------------------------------------------------------------- */

static void step_often(kh_db *db) {
    for (int i = 0; i < 50; i++) kh_db_step(db);
}

static void open_with_clock(struct fixture *f, struct kit_clock *clock, uint64_t retention_ms) {
    directory_make(&f->directory);
    f->options = kit_options();
    f->options.path = f->directory.path;
    f->options.retention_ms = retention_ms;
    f->options.clock = kit_clock_hook(clock);
    f->db = kit_open_with(&f->options);
}

/* A feed may be behind by a minute, and not by two. */
static void test_behind(void **state) {
    (void)state;
    struct kit_clock clock = {.wall_ms = 1000000000, .monotonic_ns = 1};
    struct fixture f;
    open_with_clock(&f, &clock, 0);
    kh_changes *feed = feed_of(f.db, 0, "");
    for (int i = 0; i < 3; i++) {
        kit_store(f.db, "k", i);
        step_often(f.db);
        kit_clock_advance(&clock, 10000);
    }
    open_is(f.db, 0, KH_OK);
    kh_change change;
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_OK);
    kh_timestamp first = change.timestamp;
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_OK);
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_OK);
    no_change(feed);
    kit_store(f.db, "k", 3);
    kit_clock_advance(&clock, 120000);
    kit_store(f.db, "k", 4);
    step_often(f.db);
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_TOO_OLD);
    open_is(f.db, first, KH_TOO_OLD);
    kh_changes_close(feed);
    close_fixture(&f);
}

/* Where a feed begins that asks for the oldest change there is: behind which timestamp. */
static void oldest_is(kh_db *db, kh_timestamp after, kh_timestamp expected) {
    kh_changes_options options = KH_CHANGES_OPTIONS_INIT;
    kh_changes *feed = NULL;
    options.flags = KH_CHANGES_OLDEST;
    kit_is(kh_changes_open(db, after, &options, &feed, NULL), KH_OK);
    assert_int_equal(kh_changes_position(feed), expected);
    kh_changes_close(feed);
}

static void test_oldest(void **state) {
    (void)state;
    struct kit_clock clock = {.wall_ms = 1000000000, .monotonic_ns = 1};
    struct fixture f;
    kh_changes_options options = KH_CHANGES_OPTIONS_INIT;
    kh_changes *feed = NULL;
    options.flags = KH_CHANGES_OLDEST;
    open_with_clock(&f, &clock, 0);
    oldest_is(f.db, 0, 0);
    kit_store(f.db, "k", 1);
    oldest_is(f.db, 0, 0); /* all of it is there */
    kit_store(f.db, "k", 2);
    kh_timestamp gone = kh_db_now(f.db);
    kit_clock_advance(&clock, 120000);
    step_often(f.db);
    kit_store(f.db, "k", 3);
    kh_timestamp last = kh_db_now(f.db);
    open_is(f.db, 0, KH_TOO_OLD);
    open_is(f.db, gone - 1, KH_TOO_OLD);
    oldest_is(f.db, 0, gone);
    oldest_is(f.db, gone - 1, gone);
    oldest_is(f.db, gone, gone);
    oldest_is(f.db, last, last); /* it goes no further back than it is asked to */
    kit_is(kh_changes_open(f.db, 0, &options, &feed, NULL), KH_OK);
    change_is(feed, "k", 3, last, true);
    no_change(feed);
    kh_changes_close(feed);
    close_fixture(&f);
}

static void test_trimmed(void **state) {
    (void)state;
    struct kit_clock clock = {.wall_ms = 1000000000, .monotonic_ns = 1};
    struct fixture f;
    open_with_clock(&f, &clock, 0);
    kit_store(f.db, "k", 1);
    kh_timestamp first = kh_db_now(f.db);
    kh_changes *behind = feed_of(f.db, 0, "");
    kh_changes *at_end = feed_of(f.db, first, "");
    kit_store(f.db, "k", 2);
    kh_timestamp last = kh_db_now(f.db);
    change_is(at_end, "k", 2, last, true);
    kit_clock_advance(&clock, 120000);
    step_often(f.db);
    kh_change change;
    kh_error error = {""};
    kit_is(kh_changes_next(behind, 0, &change, &error), KH_TOO_OLD);
    kit_is(kh_changes_next(behind, UINT32_MAX, &change, &error), KH_TOO_OLD);
    assert_non_null(strstr(error.message, "timestamp"));
    no_change(at_end);
    open_is(f.db, 0, KH_TOO_OLD);
    open_is(f.db, first, KH_TOO_OLD);
    open_is(f.db, last, KH_OK);
    kit_store(f.db, "k", 3);
    change_is(at_end, "k", 3, kh_db_now(f.db), true);
    kh_changes_close(behind);
    kh_changes_close(at_end);
    last = kh_db_now(f.db);
    reopen(&f);
    open_is(f.db, first, KH_TOO_OLD);
    kh_changes *feed = feed_of(f.db, last, "");
    no_change(feed);
    kit_store(f.db, "k", 4);
    change_is(feed, "k", 4, kh_db_now(f.db), true);
    kh_changes_close(feed);
    close_fixture(&f);
}

/* Retention holds over a reopening, and ends. */
static void test_retention(void **state) {
    (void)state;
    struct kit_clock clock = {.wall_ms = 1000000000, .monotonic_ns = 1};
    struct fixture f;
    open_with_clock(&f, &clock, HOUR_MS);
    kit_store(f.db, "k", 1);
    for (int i = 0; i < 3; i++) {
        reopen(&f);
        step_often(f.db);
        kh_changes *feed = feed_of(f.db, 0, "");
        kh_change change;
        kit_is(kh_changes_next(feed, 0, &change, NULL), KH_OK);
        no_change(feed);
        kh_changes_close(feed);
    }
    kit_clock_advance(&clock, 2 * HOUR_MS);
    kit_store(f.db, "k", 2);
    step_often(f.db);
    open_is(f.db, 0, KH_TOO_OLD);
    close_fixture(&f);
}

/* ---- prepared transactions ------------------------------------------------------------------- */

static kh_txn_id prepare(kh_db *db, const char *key, int64_t number) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.tag = "prepared";
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_OK);
    kit_put(txn, key, number);
    kh_txn_id id = kh_txn_get_id(txn);
    kit_is(kh_txn_prepare(txn, NULL), KH_OK);
    kh_txn_close(txn);
    return id;
}

/* The PREPARE record is trimmed long before the decision, which the storage takes before the feed
 * does. */
static void test_prepared_long_ago(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS, 0);
    kh_txn_id id[4];
    char key[4][16];
    for (int i = 0; i < 4; i++) {
        (void)snprintf(key[i], sizeof key[i], "p%d", i);
        id[i] = prepare(f.db, key[i], i);
    }
    kh_changes *early = feed_of(f.db, kh_db_now(f.db), "");
    kh_changes *others = feed_of(f.db, kh_db_now(f.db), "q");
    no_change(early);
    step_often(f.db);
    kh_changes *late = feed_of(f.db, kh_db_now(f.db), "p");
    kit_is(kh_db_decide(f.db, id[0], true, NULL, NULL), KH_OK);
    kit_is(kh_db_decide(f.db, id[1], false, NULL, NULL), KH_OK);
    kh_db_step(f.db);
    change_is(early, "p0", 0, kh_db_now(f.db), true);
    change_is(late, "p0", 0, kh_db_now(f.db), true);
    no_change(early);
    no_change(late);
    no_change(others);
    assert_int_equal(kh_changes_position(others), kh_db_now(f.db));
    kh_changes_close(early);
    kh_changes_close(late);
    kh_changes_close(others);
    reopen(&f);
    step_often(f.db);
    kh_changes *feed = feed_of(f.db, kh_db_now(f.db), "");
    kit_is(kh_db_decide(f.db, id[2], true, NULL, NULL), KH_OK);
    kh_change change;
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_OK);
    assert_true(change.id.low == id[2].low);
    assert_true(kit_bytes_equal(change.tag, kit_key("prepared")));
    kh_changes_close(feed);
    kh_timestamp before = kh_db_now(f.db);
    kh_changes *idle = feed_of(f.db, before, "");
    kit_is(kh_db_decide(f.db, id[3], true, NULL, NULL), KH_OK);
    kh_db_step(f.db);
    /* The decision is in the log, what it decides is nowhere: that is said. */
    feed = feed_of(f.db, before, "");
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_TOO_OLD);
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_TOO_OLD);
    kh_changes_close(feed);
    kit_is(kh_changes_next(idle, 0, &change, NULL), KH_OK);
    kh_changes_close(idle);
    close_fixture(&f);
}

/* With retention all of it is kept: decided ones in the storage, for who comes later. */
static void test_prepared_kept(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS, HOUR_MS);
    kh_txn_id id = prepare(f.db, "p", 1);
    kit_store(f.db, "k", 1);
    step_often(f.db);
    kh_timestamp before = kh_db_now(f.db);
    kit_is(kh_db_decide(f.db, id, true, NULL, NULL), KH_OK);
    step_often(f.db);
    for (int round = 0; round < 2; round++) {
        kh_changes *feed = feed_of(f.db, before, "");
        kh_change change;
        kit_is(kh_changes_next(feed, 0, &change, NULL), KH_OK);
        assert_true(kit_bytes_equal(change.key, kit_key("p")));
        no_change(feed);
        kh_changes_close(feed);
        reopen(&f);
        step_often(f.db);
    }
    close_fixture(&f);
}

/* ---- waiting --------------------------------------------------------------------------------- */

struct waiter {
    kh_changes *feed;
    pthread_t thread;
    kh_status status;
    kh_timestamp timestamp;
};

static void *wait_for_ever(void *argument) {
    struct waiter *waiter = argument;
    kh_change change;
    waiter->status = kh_changes_next(waiter->feed, UINT32_MAX, &change, NULL);
    if (waiter->status == KH_OK) waiter->timestamp = change.timestamp;
    return NULL;
}

static void start(struct waiter *waiter, kh_changes *feed) {
    waiter->feed = feed;
    assert_int_equal(pthread_create(&waiter->thread, NULL, wait_for_ever, waiter), 0);
}

static void test_waiting(void **state) {
    (void)state;
    struct fixture f;
    struct waiter waiter;
    open_fixture(&f, 0, 0);
    kh_changes *feed = feed_of(f.db, 0, "");
    kh_change change;
    kit_is(kh_changes_next(feed, 5, &change, NULL), KH_PENDING);
    start(&waiter, feed);
    kit_store(f.db, "k", 1);
    assert_int_equal(pthread_join(waiter.thread, NULL), 0);
    kit_is(waiter.status, KH_OK);
    assert_int_equal(waiter.timestamp, kh_db_now(f.db));
    start(&waiter, feed);
    kh_changes_cancel(feed);
    assert_int_equal(pthread_join(waiter.thread, NULL), 0);
    kit_is(waiter.status, KH_CANCELLED);
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_CANCELLED);
    kh_changes_close(feed);
    close_fixture(&f);
}

/* The descriptor of the file MARK becomes one that cannot be written. */
static void break_mark(void) {
    for (int i = 3; i < 256; i++) {
        char link[64];
        char path[DIRECTORY_BYTES + 16];
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", i);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length < 5 || memcmp(path + length - 5, "/MARK", 5) != 0) continue;
        int null = open("/dev/null", O_RDONLY);
        assert_true(null >= 0);
        assert_int_equal(dup2(null, i), i);
        assert_int_equal(close(null), 0);
    }
}

/* What is durable is shown, then that nothing more comes. */
static void test_failed_log(void **state) {
    (void)state;
    struct fixture f;
    struct waiter waiter;
    open_fixture(&f, 0, 0);
    kit_store(f.db, "k", 1);
    kh_timestamp last = kh_db_now(f.db);
    kh_changes *feed = feed_of(f.db, 0, "");
    kh_changes *waiting = feed_of(f.db, last, "");
    start(&waiter, waiting);
    break_mark();
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    kit_put(txn, "k", 2);
    kh_status status = kit_commit(txn);
    kit_is(status, KH_UNKNOWN);
    assert_int_equal(pthread_join(waiter.thread, NULL), 0);
    kit_is(waiter.status, KH_POISONED);
    change_is(feed, "k", 1, last, true);
    kh_change change;
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_POISONED);
    kit_is(kh_changes_next(feed, UINT32_MAX, &change, NULL), KH_POISONED);
    kh_changes_close(feed);
    kh_changes_close(waiting);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_commit),
        cmocka_unit_test(test_position_without_changes),
        cmocka_unit_test(test_only_commits),
        cmocka_unit_test(test_resolved_values),
        cmocka_unit_test(test_schemas_of_others),
        cmocka_unit_test(test_durable_only),
        cmocka_unit_test(test_behind),
        cmocka_unit_test(test_oldest),
        cmocka_unit_test(test_trimmed),
        cmocka_unit_test(test_retention),
        cmocka_unit_test(test_prepared_long_ago),
        cmocka_unit_test(test_prepared_kept),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_failed_log),
    };
    if (!kh_has_feature("durable")) return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
