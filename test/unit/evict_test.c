/* Values that leave memory, through the public calls: who keeps them, what reads them back, what
 * does not need them, and what a storage that fails makes of it. One thread; memory is always short
 * (db/evict.h), so that whatever can go goes at each step. */
#include "db/evict.h"

#include "support/held_log.h"
#include "support/map_storage.h"

#include <errno.h>

struct fixture {
    struct map_storage map;
    struct held_log held;
    kh_options options;
    kh_db *db;
};

static struct fixture f;

static void open_with(uint64_t retention_ms) {
    map_storage_init(&f.map);
    held_log_init(&f.held, HELD_AT_ONCE);
    f.options = kit_options();
    f.options.storage = &f.map.storage;
    f.options.log = &f.held.log;
    f.options.limits.memory_bytes = (uint64_t)1 << 40;
    f.options.retention_ms = retention_ms;
    f.db = kit_open_with(&f.options);
    evict_always(true);
}

static int open_fixture(void **state) {
    (void)state;
    open_with(0);
    return 0;
}

static int close_fixture(void **state) {
    (void)state;
    evict_always(false);
    kit_close(f.db);
    map_storage_fini(&f.map);
    held_log_fini(&f.held);
    return 0;
}

static kh_stats stats_of(void) {
    kh_stats stats = {.size = sizeof stats};
    kit_is(kh_db_stats(f.db, &stats, NULL), KH_OK);
    return stats;
}

static void step(void) {
    kh_db_step(f.db); /* cools, or takes out what the one before has cooled */
    kh_db_step(f.db);
}

static void are_cold(uint64_t expected) {
    assert_int_equal(stats_of().versions_cold, expected);
}

enum { WIDE_BYTES = 10000 };

static void put_wide(const char *key) {
    static const char *const names[] = {"text"};
    static const char *const formats[] = {"z"};
    static char text[WIDE_BYTES];
    kh_scalar scalar = {KH_SCALAR_BYTES, {.bytes = {text, WIDE_BYTES}}};
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    kit_is(kh_schema_build(f.db, names, formats, 1, &schema, NULL), KH_OK);
    kit_is(kh_batch_build(f.db, schema, &scalar, 1, &batch, NULL), KH_OK);
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    kit_is(kh_txn_put(txn, kit_key(key), batch, NULL), KH_OK);
    kit_commit_ok(txn);
    kh_batch_release(batch);
    kh_schema_release(schema);
}

static void test_what_is_lent_stays(void **state) {
    (void)state;
    static const kh_isolation levels[] = {KH_REPEATABLE_READ, KH_SERIALIZABLE};
    for (int i = 0; i < 2; i++) {
        kit_store(f.db, "k", 7);
        kit_store(f.db, "other", 8);
        kh_txn *txn = kit_begin(f.db, levels[i]);
        const kh_batch *lent = NULL;
        kit_is(kh_txn_peek(txn, kit_key("k"), &lent, NULL), KH_OK);
        for (int round = 0; round < 40; round++) step(); /* patience ends */
        assert_int_equal(kit_number_of(lent), 7);
        are_cold(0); /* nobody knows which: all that it may have seen */
        kit_rollback(txn);
        step();
        are_cold(2);
    }
}

static void test_what_came_later_goes(void **state) {
    (void)state;
    kit_store(f.db, "k", 7);
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    const kh_batch *lent = NULL;
    kit_is(kh_txn_peek(txn, kit_key("k"), &lent, NULL), KH_OK);
    kit_store(f.db, "later", 8);
    for (int round = 0; round < 40; round++) step();
    are_cold(1);
    assert_int_equal(kit_number_of(lent), 7);
    kit_get_is(txn, "later", KIT_ABSENT);
    kit_rollback(txn);
    kit_load_is(f.db, "later", 8);
}

/* With threads who lends is waited for a little: there is hope that he ends. */
static void test_patience_ends(void **state) {
    (void)state;
    kit_close(f.db);
    f.options.flags &= ~(uint32_t)KH_OPEN_NO_THREADS;
    f.db = kit_open_with(&f.options);
    kit_store(f.db, "k", 7);
    kh_txn *txn = kit_begin_with(f.db, KH_REPEATABLE_READ, KH_FAIL, KH_BEGIN_READ_ONLY);
    const kh_batch *lent = NULL;
    kit_is(kh_txn_peek(txn, kit_key("k"), &lent, NULL), KH_OK);
    kit_store(f.db, "later", 8);
    kit_is(kh_db_compact(f.db, NULL), KH_OK); /* the storage has both */
    for (int round = 0; round < 100; round++) step();
    are_cold(1);
    assert_int_equal(kit_number_of(lent), 7);
    kit_rollback(txn);
}

/* References keep a value by themselves. */
static void test_what_is_got_goes(void **state) {
    (void)state;
    kit_store(f.db, "k", 7);
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    kh_batch *got = NULL;
    kit_is(kh_txn_get(txn, kit_key("k"), &got, NULL), KH_OK);
    step();
    are_cold(1);
    assert_int_equal(kit_number_of(got), 7);
    kit_get_is(txn, "k", 7);
    kit_rollback(txn);
    kh_batch_release(got);
}

static void test_a_scan_lends(void **state) {
    (void)state;
    static const kh_isolation levels[] = {KH_READ_COMMITTED, KH_REPEATABLE_READ};
    for (int level = 0; level < 2; level++) {
        for (int i = 0; i < 5; i++) kit_store(f.db, (char[]){'k', (char)('0' + i), 0}, i);
        kh_txn *txn = kit_begin(f.db, levels[level]);
        kh_cursor *cursor = NULL;
        kh_bytes key;
        const kh_batch *value = NULL;
        kit_is(kh_txn_scan(txn, NULL, &cursor, NULL), KH_OK);
        for (int i = 0; i < 5; i++) {
            kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_OK);
            for (int round = 0; round < 20; round++) step();
            assert_int_equal(kit_number_of(value), i);
        }
        are_cold(0);
        kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_END);
        kh_cursor_close(cursor);
        kit_rollback(txn);
        step();
        are_cold(5);
    }
}

/* Values of a scan are fetched one by one, and none is put back. */
static void test_a_scan_of_cold_values(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) kit_store(f.db, (char[]){'k', (char)('0' + i), 0}, i);
    step();
    are_cold(5);
    kh_txn *txn = kit_begin(f.db, KH_SERIALIZABLE);
    kh_scan_options keys = kit_range(NULL, NULL, 0, KH_SCAN_KEYS_ONLY);
    kit_scan_is(txn, &keys, "k0 k1 k2 k3 k4");
    bool is_there = false;
    kit_is(kh_txn_exists(txn, kit_key("k1"), &is_there, NULL), KH_OK);
    assert_true(is_there);
    kit_is(kh_txn_exists(txn, kit_key("k9"), &is_there, NULL), KH_OK);
    assert_false(is_there);
    assert_int_equal(stats_of().fetches, 0);
    kit_scan_is(txn, NULL, "k0=0 k1=1 k2=2 k3=3 k4=4");
    kh_scan_options back = kit_range(NULL, NULL, 2, KH_SCAN_REVERSE);
    kit_scan_is(txn, &back, "k4=4 k3=3");
    assert_int_equal(stats_of().fetches, 7);
    are_cold(5);
    uint64_t deleted = 0;
    kit_is(kh_txn_delete_range(txn, NULL, &deleted, NULL), KH_OK);
    assert_int_equal(deleted, 5);
    assert_int_equal(stats_of().fetches, 7);
    kit_commit_ok(txn);
    step();
    are_cold(0);
}

/* Two of three that come back stay: a second read finds them. */
static void test_point_reads_bring_back(void **state) {
    (void)state;
    kit_store(f.db, "k", 7);
    step();
    are_cold(1);
    for (int i = 0; i < 3 && stats_of().versions_cold == 1; i++) kit_load_is(f.db, "k", 7);
    are_cold(0);
    uint64_t fetches = stats_of().fetches;
    kit_load_is(f.db, "k", 7);
    assert_int_equal(stats_of().fetches, fetches);
}

/* Whether it came back or is held: what a peek lends is what it was until the end. */
static void test_what_was_fetched_is_lent(void **state) {
    (void)state;
    enum { KEYS = 9 };
    for (int i = 0; i < KEYS; i++) kit_store(f.db, (char[]){'k', (char)('0' + i), 0}, i);
    step();
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    const kh_batch *lent[KEYS];
    for (int i = 0; i < KEYS; i++)
        kit_is(kh_txn_peek(txn, kit_key((char[]){'k', (char)('0' + i), 0}), &lent[i], NULL), KH_OK);
    assert_in_range(stats_of().versions_cold, 1, KEYS - 1);
    for (int i = 0; i < KEYS; i++) kit_store(f.db, (char[]){'k', (char)('0' + i), 0}, 100 + i);
    for (int round = 0; round < 20; round++) step();
    for (int i = 0; i < KEYS; i++) assert_int_equal(kit_number_of(lent[i]), i);
    kit_rollback(txn);
}

/* At read committed a peek lends until the next call; nothing piles up. */
static void test_read_committed_lets_go(void **state) {
    (void)state;
    enum { ROUNDS = 60 };
    put_wide("wide");
    kh_txn *txn = kit_begin(f.db, KH_READ_COMMITTED);
    uint64_t bytes = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const kh_batch *lent = NULL;
        step();
        kit_is(kh_txn_peek(txn, kit_key("wide"), &lent, NULL), KH_OK);
        assert_int_equal(kh_batch_row_count(lent), 1);
        kit_store(f.db, "tick", round); /* the statement's snapshot is another then */
        kit_get_is(txn, "tick", round);
        if (round == ROUNDS / 2) bytes = stats_of().memory_bytes;
    }
    assert_true(stats_of().memory_bytes < bytes + 5 * WIDE_BYTES);
    assert_true(stats_of().fetches > ROUNDS / 2);
    kit_rollback(txn);
}

static void put_rows(const char *key, const char *text, kh_policy policy) {
    kh_txn *txn = kit_begin_with(f.db, KH_REPEATABLE_READ, policy, 0);
    kh_batch *rows = kit_rows(NULL, text);
    kit_is(kh_txn_put(txn, kit_key(key), rows, NULL), KH_OK);
    kh_batch_release(rows);
    kit_commit_ok(txn);
}

static void rows_are(const char *key, const char *expected) {
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    kh_batch *rows = NULL;
    char text[KIT_TEXT_BYTES];
    kit_is(kh_txn_get(txn, kit_key(key), &rows, NULL), KH_OK);
    kit_text(rows, text);
    kh_batch_release(rows);
    kit_rollback(txn);
    assert_string_equal(text, expected);
}

/* Base and rival of a merge, and the value under row operations, are fetched. */
static void test_merging_cold_values(void **state) {
    (void)state;
    static const kh_isolation levels[] = {KH_READ_COMMITTED, KH_REPEATABLE_READ, KH_SERIALIZABLE};
    for (int i = 0; i < 3; i++) {
        put_rows("r", "1=1/1 2=2/2", KH_FAIL);
        kh_txn *txn = kit_begin_with(f.db, levels[i], KH_MERGE, 0);
        kh_batch *read = NULL; /* at read committed: the base */
        if (i == 0) kit_is(kh_txn_get(txn, kit_key("r"), &read, NULL), KH_OK);
        kh_batch_release(read);
        kh_batch *mine = kit_rows(NULL, "1=1/9 2=2/2");
        kit_is(kh_txn_put(txn, kit_key("r"), mine, NULL), KH_OK);
        kh_batch_release(mine);
        put_rows("r", "1=1/1 2=8/2", KH_FAIL);
        step();
        kit_commit_ok(txn);
        step();
        rows_are("r", "1=1/9 2=8/2");
        txn = kit_begin(f.db, levels[i]);
        kh_batch *more = kit_rows(NULL, "3=3/3");
        kit_is(kh_txn_upsert_rows(txn, kit_key("r"), more, NULL), KH_OK);
        kh_batch_release(more);
        step();
        kit_commit_ok(txn);
        rows_are("r", "1=1/9 2=8/2 3=3/3");
    }
    assert_true(stats_of().fetches > 0);
}

struct past {
    int64_t numbers[8];
    int count;
    int wanted;
};

static kh_workspace *begin_workspace(kh_policy policy) {
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    options.txn.policy = policy;
    kit_is(kh_workspace_begin(f.db, &options, &workspace, NULL), KH_OK);
    return workspace;
}

/* Their bases, what they meet, and what the rows are for that do not fit. */
static void test_together_on_cold_values(void **state) {
    (void)state;
    static const char *const texts[] = {"1=1/9 2=2/2", "1=1/1 2=2/2 3=3/3"};
    kh_workspace *all[2];
    size_t culprit = 9;
    put_rows("t", "1=1/1 2=2/2", KH_FAIL);
    for (int i = 0; i < 2; i++) {
        all[i] = begin_workspace(KH_MERGE);
        kh_batch *rows = kit_rows(NULL, texts[i]);
        kit_is(kh_workspace_put(all[i], kit_key("t"), rows, NULL), KH_OK);
        kh_batch_release(rows);
    }
    step();
    put_rows("t", "1=1/1 2=8/2", KH_FAIL);
    step();
    are_cold(2);
    f.map.read_errno = EIO;
    kit_is(kh_workspace_commit_together(all, 2, NULL, &culprit, NULL), KH_IO);
    assert_int_equal(culprit, 2); /* nobody's fault */
    f.map.read_errno = 0;
    kit_is(kh_workspace_commit_together(all, 2, NULL, &culprit, NULL), KH_OK);
    rows_are("t", "1=1/9 2=8/2 3=3/3");
    for (int i = 0; i < 2; i++) {
        kh_workspace_close(all[i]);
        all[i] = begin_workspace(KH_FAIL);
        kh_batch *rows = kit_rows(NULL, i == 0 ? "1=7/7" : "4=4/4");
        kit_is(kh_txn_insert_rows(kh_workspace_txn(all[i]), kit_key("t"), rows, NULL), KH_OK);
        kh_batch_release(rows);
    }
    step();
    are_cold(1);
    kit_is(kh_workspace_commit_together(all, 2, NULL, &culprit, NULL), KH_ROW_EXISTS);
    assert_int_equal(culprit, 0);
    for (int i = 0; i < 2; i++) kh_workspace_close(all[i]);
}

static bool see(void *context, const kh_version_entry *version) {
    struct past *past = context;
    past->numbers[past->count++] = kit_number_of(version->value);
    return past->count < past->wanted;
}

static void test_history_of_cold_values(void **state) {
    (void)state;
    evict_always(false);
    close_fixture(NULL);
    open_with(3600 * 1000);
    for (int i = 0; i < 6; i++) kit_store(f.db, "k", i == 3 ? KIT_ABSENT : i);
    kh_timestamp middle = kh_db_now(f.db);
    kit_store(f.db, "k", 6);
    step();
    are_cold(6);
    struct past past = {.wanted = 8};
    bool is_complete = false;
    kh_timestamp from = kh_db_horizon(f.db) + 1;
    kit_is(kh_db_history(f.db, kit_key("k"), from, UINT64_MAX, see, &past, &is_complete, NULL),
           KH_OK);
    static const int64_t expected[] = {6, 5, 4, KIT_ABSENT, 2, 1, 0};
    assert_int_equal(past.count, 7);
    assert_memory_equal(past.numbers, expected, sizeof expected);
    assert_true(is_complete);
    past = (struct past){.wanted = 2};
    kit_is(kh_db_history(f.db, kit_key("k"), 0, UINT64_MAX, see, &past, NULL, NULL), KH_OK);
    assert_int_equal(past.count, 2);
    kh_txn *txn = NULL;
    kit_is(kh_txn_begin_at(f.db, middle, &txn, NULL), KH_OK);
    step();
    kit_get_is(txn, "k", 5);
    kit_rollback(txn);
}

static void test_an_opening_leaves_them_where_they_are(void **state) {
    (void)state;
    for (int i = 0; i < 9; i++) kit_store(f.db, (char[]){'k', (char)('0' + i), 0}, i);
    kit_store(f.db, "k4", KIT_ABSENT);
    kit_close(f.db);
    f.db = kit_open_with(&f.options);
    assert_in_range(stats_of().versions_cold, 1, 7);
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    kit_scan_is(txn, NULL, "k0=0 k1=1 k2=2 k3=3 k5=5 k6=6 k7=7 k8=8");
    kit_rollback(txn);
}

/* A stream is of values; also where the options ask for keys. */
static void test_a_stream_of_keys_only(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) kit_store(f.db, (char[]){'k', (char)('0' + i), 0}, i);
    step();
    are_cold(3);
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    kh_scan_options options = kit_range(NULL, NULL, 0, KH_SCAN_KEYS_ONLY);
    struct ArrowArrayStream stream;
    kit_is(kh_txn_scan_stream(txn, &options, NULL, &stream, NULL), KH_OK);
    kit_rollback(txn);
    for (int i = 0; i < 3; i++) {
        struct ArrowArray array;
        assert_int_equal(stream.get_next(&stream, &array), 0);
        assert_non_null(array.release);
        array.release(&array);
    }
    stream.release(&stream);
}

/* Cold versions that gave way are freed by the reader, who commits nothing. */
static void test_readers_leave_no_garbage(void **state) {
    (void)state;
    enum { ROUNDS = 2000 };
    uint64_t bytes = 0;
    kit_store(f.db, "k", 7);
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ); /* in use: no step looks after it */
    for (int round = 0; round < ROUNDS; round++) {
        step();
        kit_get_is(txn, "k", 7);
        if (round == ROUNDS / 2) bytes = stats_of().memory_bytes;
    }
    assert_true(stats_of().fetches > ROUNDS / 2);
    assert_true(stats_of().memory_bytes <= bytes + 8000);
    kit_rollback(txn);
}

/* What is got is not held: only the newest of it. */
static void test_gets_hold_nothing(void **state) {
    (void)state;
    enum { KEYS = 40 };
    char key[16];
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "wide%02d", i);
        put_wide(key);
    }
    step();
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    for (int i = 0; i < KEYS; i++) { /* superseded: nothing of it comes back */
        (void)snprintf(key, sizeof key, "wide%02d", i);
        put_wide(key);
    }
    step();
    uint64_t bytes = stats_of().memory_bytes;
    for (int i = 0; i < KEYS; i++) {
        kh_batch *batch = NULL;
        (void)snprintf(key, sizeof key, "wide%02d", i);
        kit_is(kh_txn_get(txn, kit_key(key), &batch, NULL), KH_OK);
        kh_batch_release(batch);
    }
    assert_true(stats_of().memory_bytes < bytes + 4 * WIDE_BYTES);
    kit_rollback(txn);
}

/* ---- a storage that fails -------------------------------------------------------------------- */

static struct map_entry *stored(const char *key) {
    for (struct map_entry *entry = f.map.first; entry != NULL; entry = entry->next)
        if (((const char *)entry->key.data)[0] == 'V' &&
            memcmp((const char *)entry->key.data + 1, key, strlen(key)) == 0)
            return entry;
    fail_msg("%s is not stored", key);
    return NULL;
}

static void get_answers(const char *key, kh_status expected) {
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    kh_batch *batch = NULL;
    kit_is(kh_txn_get(txn, kit_key(key), &batch, NULL), expected);
    kit_rollback(txn);
    txn = kit_begin(f.db, KH_REPEATABLE_READ);
    kh_cursor *cursor = NULL;
    kh_bytes found;
    const kh_batch *value = NULL;
    kit_is(kh_txn_scan(txn, NULL, &cursor, NULL), KH_OK);
    kit_is(kh_cursor_next(cursor, &found, &value, NULL), expected);
    kh_cursor_close(cursor);
    kit_rollback(txn);
    txn = kit_begin(f.db, KH_READ_COMMITTED);
    kh_batch *rows = kit_rows(NULL, "3=3/3");
    kit_is(kh_txn_upsert_rows(txn, kit_key(key), rows, NULL), KH_OK);
    kh_batch_release(rows);
    kit_is(kit_commit(txn), expected);
}

static void test_a_storage_that_fails(void **state) {
    (void)state;
    put_rows("r", "1=1/1", KH_FAIL);
    step();
    are_cold(1);
    f.map.read_errno = EIO;
    get_answers("r", KH_IO);
    f.map.read_errno = EBADMSG;
    get_answers("r", KH_CORRUPT);
    f.map.read_errno = 0;
    struct map_entry *entry = stored("r");
    unsigned char *bytes = (unsigned char *)(uintptr_t)entry->value.data;
    bytes[entry->value.size_bytes - 1] ^= 1;
    get_answers("r", KH_CORRUPT);
    bytes[entry->value.size_bytes - 1] ^= 1;
    kh_bytes key = entry->key; /* lost */
    entry->key.size_bytes--;
    get_answers("r", KH_CORRUPT);
    entry->key = key;
    rows_are("r", "1=1/1");
}

/* What the storage does not take stays. */
static void test_a_storage_that_is_behind(void **state) {
    (void)state;
    f.map.apply_errno = EIO;
    kit_store(f.db, "k", 7);
    step();
    are_cold(0);
    f.map.apply_errno = 0;
    step();
    are_cold(1);
    kit_load_is(f.db, "k", 7);
}

/* ---- with a budget --------------------------------------------------------------------------- */

/* A writer at the limit takes values out by itself. */
static void test_a_writer_makes_room(void **state) {
    (void)state;
    enum { KEYS = 400 };
    close_fixture(NULL);
    open_with(0);
    evict_always(false);
    kit_close(f.db);
    f.options.limits.memory_bytes = 3 << 20;
    f.db = kit_open_with(&f.options);
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%04d", i);
        put_wide(key);
        assert_true(stats_of().memory_bytes <= f.options.limits.memory_bytes);
    }
    assert_in_range(stats_of().versions_cold, KEYS / 4, KEYS - KEYS / 8);
    kit_close(f.db);
    f.options.limits.memory_bytes = (uint64_t)1 << 40; /* now it has room, */
    f.db = kit_open_with(&f.options);
    are_cold(0);
    kit_close(f.db);
    f.options.limits.memory_bytes = 3 << 20; /* and now it has not */
    f.db = kit_open_with(&f.options);
    assert_true(stats_of().memory_bytes <= f.options.limits.memory_bytes / 8 * 7);
    assert_in_range(stats_of().versions_cold, KEYS / 4, KEYS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void) {
#if !defined(KH_SLOW_CHECKS)
    print_message("memory is not short at a test's wish in this build: nothing to test\n");
    return 0;
#endif
    const struct CMUnitTest tests[] = {TEST(test_what_is_lent_stays),
                                       TEST(test_what_came_later_goes),
                                       TEST(test_patience_ends),
                                       TEST(test_what_is_got_goes),
                                       TEST(test_a_scan_lends),
                                       TEST(test_a_scan_of_cold_values),
                                       TEST(test_point_reads_bring_back),
                                       TEST(test_what_was_fetched_is_lent),
                                       TEST(test_read_committed_lets_go),
                                       TEST(test_merging_cold_values),
                                       TEST(test_together_on_cold_values),
                                       TEST(test_history_of_cold_values),
                                       TEST(test_an_opening_leaves_them_where_they_are),
                                       TEST(test_a_stream_of_keys_only),
                                       TEST(test_readers_leave_no_garbage),
                                       TEST(test_gets_hold_nothing),
                                       TEST(test_a_storage_that_fails),
                                       TEST(test_a_storage_that_is_behind),
                                       TEST(test_a_writer_makes_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
