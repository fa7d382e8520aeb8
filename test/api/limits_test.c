/* limits_test.c - every bound of a database and what happens beyond it; timeouts, cancellation and
 * the list of live transactions; all by a clock that the test moves. */
#include "support/calls.h"

#define START_MS 1700000000000u

struct fixture {
    struct kit_clock clock;
    kh_options options;
};

static struct fixture fixture(void) {
    struct fixture f = {{START_MS, 1000000000u, 0}, kit_options()};
    return f;
}

static kh_db *open_fixture(struct fixture *f) {
    f->options.clock = kit_clock_hook(&f->clock);
    kh_db *db = kit_open_with(&f->options);
    calls_prepare(db);
    return db;
}

static kh_stats stats_of(kh_db *db) {
    kh_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    return stats;
}

static kh_txn *begin_timed(kh_db *db, uint32_t flags, uint32_t timeout_ms) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.flags = flags;
    options.timeout_ms = timeout_ms;
    kh_txn *txn = NULL;
    kit_is(kh_txn_begin(db, &options, &txn, NULL), KH_OK);
    return txn;
}

static void all_calls_are(kh_txn *txn, kh_status expected) {
    for (size_t i = 0; i < call_count; i++) {
        if ((calls[i].flags & CALL_ENDS) == 0) {
            kit_is_at(calls[i].run(txn), expected, calls[i].name, __FILE__, __LINE__);
        }
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

static void test_timeout(void **state) {
    (void)state;
    for (int is_stepped = 0; is_stepped < 2; is_stepped++) {
        struct fixture f = fixture();
        f.options.timeout_ms = 0;
        kh_db *db = open_fixture(&f);
        kh_txn *txn = begin_timed(db, 0, 0);
        kit_put(txn, "k", 2);
        kit_clock_advance(&f.clock, 4999); /* the default is 5,000 */
        kit_get_is(txn, "k", 2);
        kit_clock_advance(&f.clock, 2);
        if (is_stepped) {
            kh_db_step(db);
        }
        all_calls_are(txn, KH_EXPIRED);
        kit_is(kh_txn_commit(txn, NULL, NULL), KH_EXPIRED);
        (void)kh_txn_rollback(txn);
        kh_txn_close(txn);
        kit_load_is(db, "k", 1);
        assert_int_equal(stats_of(db).aborts_expired, 1);
        assert_int_equal(stats_of(db).snapshots, 0);
        kit_close(db);
    }
}

static void test_timeout_of_its_own(void **state) {
    (void)state;
    struct fixture f = fixture();
    f.options.timeout_ms = 50;
    kh_db *db = open_fixture(&f);
    kh_txn *shorter = begin_timed(db, 0, 10);
    kh_txn *standard = begin_timed(db, 0, 0);
    kh_txn *longer = begin_timed(db, 0, 1000);
    kh_txn *reader = begin_timed(db, KH_BEGIN_READ_ONLY, 0);
    kit_put(shorter, "a", 1);
    kit_put(standard, "b", 1);
    kit_put(longer, "c", 1);
    kit_clock_advance(&f.clock, 60);
    kit_is(kit_commit(shorter), KH_EXPIRED);
    kit_is(kit_commit(standard), KH_EXPIRED);
    kit_commit_ok(longer);
    kit_clock_advance(&f.clock, 3600 * 1000);
    kh_db_step(db);
    kit_get_is(reader, "k", 1); /* read-only: none */
    kit_get_is(reader, "c", KIT_ABSENT);
    kit_commit_ok(reader);
    kit_load_is(db, "a", KIT_ABSENT);
    kit_load_is(db, "c", 1);
    kit_close(db);
}

static void test_snapshot_age(void **state) {
    (void)state;
    struct fixture f = fixture();
    f.options.limits.max_snapshot_age_ms = 1000;
    kh_db *db = open_fixture(&f);
    kh_txn *reader = begin_timed(db, KH_BEGIN_READ_ONLY, 0);
    kit_get_is(reader, "k", 1);
    kit_store(db, "k", 2);
    kit_clock_advance(&f.clock, 900);
    kh_db_step(db);
    kit_get_is(reader, "k", 1);
    kit_clock_advance(&f.clock, 200);
    kh_db_step(db);
    kh_batch *batch = NULL;
    kit_is(kh_txn_get(reader, kit_key("k"), &batch, NULL), KH_EXPIRED);
    kit_store(db, "k", 3);
    kh_db_step(db);
    /* its snapshot holds nothing any more */
    assert_int_equal(stats_of(db).versions_live, stats_of(db).keys);
    (void)kh_txn_rollback(reader);
    kh_txn_close(reader);
    kit_close(db);
}

/* A cursor of a revoked snapshot answers, too. */
static void test_cursor_expires(void **state) {
    (void)state;
    struct fixture f = fixture();
    kh_db *db = open_fixture(&f);
    kh_txn *txn = begin_timed(db, 0, 10);
    kh_cursor *cursor = NULL;
    kh_bytes key;
    const kh_batch *value = NULL;
    kit_is(kh_txn_scan(txn, NULL, &cursor, NULL), KH_OK);
    kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_OK);
    kit_clock_advance(&f.clock, 20);
    kh_db_step(db);
    kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_EXPIRED);
    kh_cursor_close(cursor);
    kh_txn_close(txn);
    kit_close(db);
}

static void test_timestamps_rise(void **state) {
    (void)state;
    struct fixture f = fixture();
    kh_db *db = open_fixture(&f);
    kh_timestamp last = kh_db_now(db);
    assert_int_equal(KH_MS_OF_TIMESTAMP(last), START_MS);
    for (int i = 0; i < 2000; i++) {
        kh_timestamp now = 0;
        kh_txn *txn = kit_begin(db, KH_READ_COMMITTED);
        kit_put(txn, "k", i);
        kit_is(kh_txn_commit(txn, &now, NULL), KH_OK);
        kh_txn_close(txn);
        assert_true(now > last);
        assert_true(now == kh_db_now(db));
        last = now;
        if (i == 1000) {
            f.clock.wall_ms -= 500000; /* somebody sets the clock back */
        } else if (i == 1500) {
            f.clock.wall_ms += 1000000;
        }
    }
    assert_int_equal(KH_MS_OF_TIMESTAMP(last), f.clock.wall_ms);
    kit_close(db);
}

/* ---- cancel, live ---------------------------------------------------------------------------- */

static void test_cancel(void **state) {
    (void)state;
    struct fixture f = fixture();
    kh_db *db = open_fixture(&f);
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    kh_txn_id id = kh_txn_get_id(txn);
    kh_outcome outcome = KH_OUTCOME_PREPARED;
    kit_put(txn, "k", 2);
    kit_is(kh_db_outcome(db, id, &outcome, NULL, NULL), KH_OK);
    assert_int_equal(outcome, KH_OUTCOME_ACTIVE);
    kit_is(kh_db_cancel(db, id, NULL), KH_OK);
    all_calls_are(txn, KH_CANCELLED);
    kit_is(kh_txn_commit(txn, NULL, NULL), KH_CANCELLED);
    (void)kh_txn_rollback(txn);
    kh_txn_close(txn);
    kit_is(kh_db_cancel(db, id, NULL), KH_NOT_FOUND);
    kit_load_is(db, "k", 1);
    assert_int_equal(stats_of(db).aborts_cancelled, 1);
    kit_close(db);
}

struct seen {
    int count;
    kh_live_txn txns[4];
    char tags[4][16];
};

static bool remember(void *context, const kh_live_txn *txn) {
    struct seen *seen = context;
    if (seen->count < 4) {
        seen->txns[seen->count] = *txn;
        (void)snprintf(seen->tags[seen->count], 16, "%s", txn->tag);
    }
    seen->count++;
    return true;
}

static void test_live(void **state) {
    (void)state;
    struct fixture f = fixture();
    kh_db *db = open_fixture(&f);
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = KH_SERIALIZABLE;
    options.tag = "first";
    kh_txn *first = NULL;
    kit_is(kh_txn_begin(db, &options, &first, NULL), KH_OK);
    kit_clock_advance(&f.clock, 100);
    kh_txn *second = kit_begin_with(db, KH_REPEATABLE_READ, KH_FAIL, KH_BEGIN_READ_ONLY);
    kit_get_is(first, "k", 1);
    kit_get_is(first, "m", 2);
    kit_put(first, "k", 3);
    kit_clock_advance(&f.clock, 11);
    struct seen seen;
    memset(&seen, 0, sizeof seen);
    kit_is(kh_db_live(db, remember, &seen, NULL), KH_OK);
    assert_int_equal(seen.count, 2);
    int at = strcmp(seen.tags[0], "first") == 0 ? 0 : 1;
    const kh_live_txn *mine = &seen.txns[at];
    const kh_live_txn *other = &seen.txns[1 - at];
    assert_string_equal(seen.tags[at], "first");
    assert_string_equal(seen.tags[1 - at], "");
    assert_int_equal(mine->id.low, kh_txn_get_id(first).low);
    assert_int_equal(mine->id.high, kh_txn_get_id(first).high);
    assert_int_equal(mine->isolation, KH_SERIALIZABLE);
    assert_int_equal(mine->age_ms, 111);
    assert_int_equal(mine->write_count, 1);
    assert_int_equal(mine->read_count, 2);
    assert_true(mine->snapshot == kh_txn_snapshot(first));
    assert_false(mine->is_read_only);
    assert_int_equal(other->age_ms, 11);
    assert_true(other->is_read_only);
    kit_commit_ok(first);
    kit_commit_ok(second);
    memset(&seen, 0, sizeof seen);
    kit_is(kh_db_live(db, remember, &seen, NULL), KH_OK);
    assert_int_equal(seen.count, 0);
    kit_close(db);
}

/* ---- counts and sizes ------------------------------------------------------------------------ */

static void test_open_transactions(void **state) {
    (void)state;
    struct fixture f = fixture();
    f.options.limits.txns = 3;
    kh_db *db = open_fixture(&f);
    kh_txn *open[3];
    kh_txn *more = NULL;
    for (int i = 0; i < 3; i++) {
        open[i] = kit_begin(db, KH_REPEATABLE_READ);
    }
    kit_is(kit_try_begin(db, KH_REPEATABLE_READ, KH_FAIL, 0, &more), KH_BUSY);
    kit_is(kh_txn_begin_at(db, kh_db_now(db), &more, NULL), KH_BUSY);
    assert_null(more);
    kit_commit_ok(open[1]);
    open[1] = kit_begin(db, KH_REPEATABLE_READ);
    for (int i = 0; i < 3; i++) {
        kit_commit_ok(open[i]);
    }
    kit_close(db);
}

static void test_writes_of_one_transaction(void **state) {
    (void)state;
    struct fixture f = fixture();
    f.options.limits.txn_writes = 3;
    kh_db *db = open_fixture(&f);
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    kit_put(txn, "a", 1);
    kit_put(txn, "b", 1);
    kit_put(txn, "c", 1);
    kit_is(kh_txn_delete(txn, kit_key("d"), NULL), KH_TOO_BIG);
    kit_put(txn, "a", 2); /* a key that it writes already */
    kit_commit_ok(txn);
    kit_load_is(db, "a", 2);
    kit_load_is(db, "c", 1);
    kit_close(db);
}

static kh_batch *wide_batch(kh_db *db, size_t size_bytes) {
    const char *names[] = {"text"};
    const char *formats[] = {"u"};
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    char *text = calloc(1, size_bytes);
    assert_non_null(text);
    memset(text, 'w', size_bytes);
    kh_scalar scalar = {KH_SCALAR_BYTES, {.bytes = {text, size_bytes}}};
    kit_is(kh_schema_build(db, names, formats, 1, &schema, NULL), KH_OK);
    kit_is(kh_batch_build(db, schema, &scalar, 1, &batch, NULL), KH_OK);
    kh_schema_release(schema);
    free(text);
    return batch;
}

static void test_bytes(void **state) {
    (void)state;
    struct fixture f = fixture();
    f.options.limits.batch_bytes = 20000;
    f.options.limits.txn_bytes = 40000;
    kh_db *db = open_fixture(&f);
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    kh_batch *fits = wide_batch(NULL, 15000);
    kh_batch *too_big = wide_batch(NULL, 25000);
    kit_is(kh_txn_put(txn, kit_key("a"), too_big, NULL), KH_TOO_BIG);
    kit_is(kh_txn_put(txn, kit_key("a"), fits, NULL), KH_OK);
    kit_is(kh_txn_put(txn, kit_key("b"), fits, NULL), KH_OK);
    kit_is(kh_txn_put(txn, kit_key("c"), fits, NULL), KH_TOO_BIG);
    kit_is(kh_txn_delete(txn, kit_key("a"), NULL), KH_OK);
    kit_is(kh_txn_put(txn, kit_key("c"), fits, NULL), KH_OK); /* there is room again */
    kit_commit_ok(txn);
    kh_batch_release(fits);
    kh_batch_release(too_big);
    kit_close(db);
}

/* Beyond the limit reads are widened to ranges: cycles are still found. */
static void test_reads_of_one_transaction(void **state) {
    (void)state;
    struct fixture f = fixture();
    f.options.limits.txn_reads = 4;
    kh_db *db = open_fixture(&f);
    char key[16];
    for (int i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof key, "x%02d", i);
        kit_store(db, key, i);
    }
    for (int hit = 0; hit < 20; hit++) {
        kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
        kh_txn *rival = kit_begin(db, KH_SERIALIZABLE);
        for (int i = 0; i < 20; i++) {
            (void)snprintf(key, sizeof key, "x%02d", i);
            kit_get_is(txn, key, i);
        }
        (void)kit_get(rival, "y");
        (void)snprintf(key, sizeof key, "x%02d", hit);
        kit_put(rival, key, hit);
        kit_put(txn, "y", hit);
        kit_commit_ok(rival);
        kit_is(kit_commit(txn), KH_NOT_SERIALIZABLE);
    }
    kit_close(db);
}

static void test_range_list(void **state) {
    (void)state;
    struct fixture f = fixture();
    f.options.limits.ranges = 4;
    kh_db *db = open_fixture(&f);
    kh_txn *victim = kit_begin(db, KH_SERIALIZABLE);
    (void)kit_get(victim, "m");
    kit_store(db, "m", 5);
    char key[16];
    for (int i = 0; i < 20; i++) {
        kh_txn *reader = kit_begin(db, KH_SERIALIZABLE);
        (void)snprintf(key, sizeof key, "x%02d", i);
        kit_get_is(reader, key, KIT_ABSENT);
        (void)snprintf(key, sizeof key, "z%02d", i);
        kit_put(reader, key, 1);
        kit_commit_ok(reader);
    }
    assert_true(stats_of(db).ranges <= 4);
    assert_true(stats_of(db).range_evictions >= 16);
    kit_put(victim, "x00", 1); /* the first reader saw it absent, after "m" had changed */
    kit_is(kit_commit(victim), KH_NOT_SERIALIZABLE);
    kit_close(db);
}

static void test_outcomes(void **state) {
    (void)state;
    struct fixture f = fixture();
    f.options.limits.outcomes = 8;
    kh_db *db = open_fixture(&f);
    kh_txn_id ids[32];
    kh_timestamp stamps[32];
    kh_outcome outcome = KH_OUTCOME_ACTIVE;
    for (int i = 0; i < 32; i++) {
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        ids[i] = kh_txn_get_id(txn);
        kit_put(txn, "k", i);
        kit_is(kh_txn_commit(txn, &stamps[i], NULL), KH_OK);
        kh_txn_close(txn);
    }
    for (int i = 30; i < 32; i++) {
        kh_timestamp stamp = 0;
        kit_is(kh_db_outcome(db, ids[i], &outcome, &stamp, NULL), KH_OK);
        assert_int_equal(outcome, KH_OUTCOME_COMMITTED);
        assert_true(stamp == stamps[i]);
    }
    /* Beyond the table a database with a path asks its log. */
    bool has_path = kit_is_over_path();
    kit_is(kh_db_outcome(db, ids[0], &outcome, NULL, NULL), has_path ? KH_OK : KH_NOT_FOUND);
    assert_int_equal(outcome, KH_OUTCOME_COMMITTED);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    ids[0] = kh_txn_get_id(txn);
    kit_put(txn, "k", 1);
    kit_store(db, "k", 2);
    kit_is(kit_commit(txn), KH_CONFLICT);
    kit_is(kh_db_outcome(db, ids[0], &outcome, NULL, NULL), KH_OK);
    assert_int_equal(outcome, KH_OUTCOME_ABORTED);
    kit_close(db);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static kh_status put_wide(kh_db *db, const kh_batch *value) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_status status = kh_txn_put(txn, kit_key("wide"), value, NULL);
    if (status == KH_OK) {
        return kit_commit(txn);
    }
    kh_txn_close(txn);
    return status;
}

/* A reader holds old versions until the limit: writers are answered BUSY once their time is up, and
 * go on when the reader has ended. */
static void test_memory_limit(void **state) {
    (void)state;
    struct fixture f = fixture();
    f.options.limits.memory_bytes = 8u << 20; /* RocksDB has half of it, at most */
    f.clock.tick_ns = 1000000; /* or the wait for memory would not end */
    kh_db *db = open_fixture(&f);
    kh_txn *reader = kit_begin_with(db, KH_REPEATABLE_READ, KH_FAIL, KH_BEGIN_READ_ONLY);
    kh_status status = KH_OK;
    for (int i = 0; i < 300 && status == KH_OK; i++) {
        kh_batch *value = wide_batch(db, 50000);
        status = put_wide(db, value);
        kh_batch_release(value);
    }
    kit_is(status, KH_OK); /* one snapshot holds one version of a key, however many there were */
    kh_txn *readers[200];
    int reader_count = 0;
    while (reader_count < 200 && status == KH_OK) {
        kh_batch *value = wide_batch(db, 50000);
        readers[reader_count++] =
            kit_begin_with(db, KH_REPEATABLE_READ, KH_FAIL, KH_BEGIN_READ_ONLY);
        status = put_wide(db, value);
        kh_batch_release(value);
    }
    kit_is(status, KH_BUSY);
    assert_true(reader_count > 40);
    assert_true(stats_of(db).memory_bytes <= (8u << 20) + 200000u);
    assert_true(stats_of(db).aborts_busy >= 1);
    assert_int_equal(stats_of(db).oldest_snapshot_txn.low, kh_txn_get_id(reader).low);
    kit_get_is(reader, "k", 1); /* reads go on */
    kit_commit_ok(reader);
    for (int i = 0; i < reader_count; i++) {
        kit_commit_ok(readers[i]);
    }
    kh_db_step(db);
    kh_batch *value = wide_batch(db, 50000);
    kit_is(put_wide(db, value), KH_OK);
    kh_batch_release(value);
    kit_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_timeout_of_its_own),
        cmocka_unit_test(test_snapshot_age),
        cmocka_unit_test(test_cursor_expires),
        cmocka_unit_test(test_timestamps_rise),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_open_transactions),
        cmocka_unit_test(test_writes_of_one_transaction),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_reads_of_one_transaction),
        cmocka_unit_test(test_range_list),
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_memory_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
