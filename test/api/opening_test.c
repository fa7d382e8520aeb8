/* opening_test.c - what an opening says of itself, by a clock of the test's; that it leaves nothing
 * behind when an allocation fails, whichever; that what it has read is what was there. */
#include "support/held_log.h"
#include "support/map_storage.h"
#include "support/path_fixture.h"

#include <errno.h>

enum { KEYS = 3000, LINES_MAX = 64 };

struct heard {
    struct kit_clock *clock;
    size_t count;
    char lines[LINES_MAX][256];
    uint64_t at_ns[LINES_MAX];
};

static void hear(void *context, kh_log_level level, const char *message) {
    struct heard *heard = context;
    if (level != KH_LOG_NOTICE) return;
    assert_true(heard->count < LINES_MAX);
    (void)snprintf(heard->lines[heard->count], sizeof heard->lines[0], "%s", message);
    heard->at_ns[heard->count++] = heard->clock->monotonic_ns;
}

static void put_numbers(kh_db *db, int first, int count, int per_commit) {
    kh_txn *txn = NULL;
    for (int i = first; i < first + count; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key/%07d", i);
        if (txn == NULL) txn = kit_begin(db, KH_REPEATABLE_READ);
        kit_put(txn, key, i);
        if ((i + 1) % per_commit != 0 && i + 1 < first + count) continue;
        kit_commit_ok(txn);
        txn = NULL;
    }
}

static void numbers_are(kh_db *db, int count) {
    for (int i = 0; i < count; i += 7) {
        char key[32];
        (void)snprintf(key, sizeof key, "key/%07d", i);
        kit_load_is(db, key, i);
    }
}

static void listen(kh_options *options, struct kit_clock *clock, struct heard *heard) {
    *clock = (struct kit_clock){1900000000000u, 1, 0};
    *heard = (struct heard){.clock = clock};
    options->clock = kit_clock_hook(clock);
    options->message = hear;
    options->message_context = heard;
}

/* At least a second between a line and the one before it, but for the last. */
static void lines_are_apart(const struct heard *heard) {
    for (size_t i = 1; i + 1 < heard->count; i++)
        assert_true(heard->at_ns[i] - heard->at_ns[i - 1] >= 1000000000u);
}

static bool begins_with(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

/* 3,000 values: the clock is looked at after each 256, and goes on by 0.3 s when it is. */
static void test_values(void **state) {
    (void)state;
    struct fixture f;
    struct kit_clock clock;
    struct heard heard;
    make_fixture(&f, KH_OPEN_NO_THREADS);
    f.db = kit_open_with(&f.options);
    put_numbers(f.db, 0, KEYS, 500);
    kit_close(f.db);
    listen(&f.options, &clock, &heard);
    clock.tick_ns = 300000000;
    f.db = kit_open_with(&f.options);
    assert_int_equal(heard.count, 2 + 3);
    assert_true(begins_with(heard.lines[0], "opening /"));
    assert_true(begins_with(heard.lines[1], "opening: 512 values, "));
    assert_non_null(strstr(heard.lines[1], " of about "));
    assert_non_null(strstr(heard.lines[1], " MB, 1.2 s, 853 a second"));
    assert_true(begins_with(heard.lines[2], "opening: 1536 values, "));
    assert_non_null(strstr(heard.lines[3], " MB, 3.6 s, 853 a second"));
    assert_true(begins_with(heard.lines[4], "opened: 3000 values, "));
    assert_non_null(strstr(heard.lines[4], " and 0 records of the log, 0.0 MB, in 4.8 s, 625 a"));
    lines_are_apart(&heard);
    numbers_are(f.db, KEYS);
    close_fixture(&f);
}

/* A moment: its beginning and its end are told, however short. */
static void test_short(void **state) {
    (void)state;
    struct fixture f;
    struct kit_clock clock;
    struct heard heard;
    make_fixture(&f, KH_OPEN_NO_THREADS);
    listen(&f.options, &clock, &heard);
    f.db = kit_open_with(&f.options);
    assert_int_equal(heard.count, 2);
    assert_string_equal(heard.lines[1],
                        "opened: 0 values, 0.0 MB, and 0 records of the log, 0.0 MB, in 0.0 s, 0 a "
                        "second");
    kit_store(f.db, "k", 1);
    kh_db_step(f.db);
    assert_int_equal(heard.count, 2);
    close_fixture(&f);
    f.options = kit_options();
    listen(&f.options, &clock, &heard);
    if (!kit_is_over_path()) { /* in memory there is nothing to read */
        kit_close(kit_open_with(&f.options));
        assert_int_equal(heard.count, 0);
    }
}

/* A process that ended: the copy of its directory has everything in the log. The log's end is
 * checked, then replayed. */
static void test_records(void **state) {
    (void)state;
    struct fixture f;
    struct kit_clock clock;
    struct heard heard;
    struct directory copy;
    make_fixture(&f, KH_OPEN_NO_THREADS);
    f.db = kit_open_with(&f.options);
    put_numbers(f.db, 0, KEYS, 1);
    directory_make(&copy);
    directory_copy(&f.directory, &copy);
    kh_options options = kit_options();
    options.path = copy.path;
    options.flags = KH_OPEN_NO_THREADS;
    listen(&options, &clock, &heard);
    clock.tick_ns = 300000000;
    kh_db *db = kit_open_with(&options);
    /* One record more: that of the schema. */
    assert_int_equal(heard.count, 2 + 6);
    assert_true(begins_with(heard.lines[1], "opening: 768 of 3001 records of the log checked, "));
    assert_true(begins_with(heard.lines[2], "opening: 1792 of 3001 records of the log checked, "));
    assert_true(begins_with(heard.lines[4], "opening: 512 of 3001 records of the log, "));
    assert_true(begins_with(heard.lines[5], "opening: 1536 of 3001 records of the log, "));
    assert_true(begins_with(heard.lines[7], "opened: 0 values, 0.0 MB, and 3000 records of the"));
    lines_are_apart(&heard);
    numbers_are(db, KEYS);
    kit_close(db);
    directory_remove(&copy);
    /* The same beside the one who has it open. */
    options.path = f.directory.path;
    options.flags |= KH_OPEN_READ_ONLY;
    listen(&options, &clock, &heard);
    clock.tick_ns = 300000000;
    db = kit_open_with(&options);
    assert_int_equal(heard.count, 2 + 6);
    assert_true(begins_with(heard.lines[1], "opening: 768 of 3001 records of the log checked, "));
    numbers_are(db, KEYS);
    kit_close(db);
    close_fixture(&f);
}

/* A storage and a log of the program's own: nobody knows how much there is. */
struct own {
    struct map_storage map;
    struct held_log held;
    kh_options options;
};

static void make_own(struct own *own) {
    map_storage_init(&own->map);
    held_log_init(&own->held, HELD_AT_ONCE);
    own->options = kit_options();
    own->options.storage = &own->map.storage;
    own->options.log = &own->held.log;
}

static void drop_own(struct own *own) {
    map_storage_fini(&own->map);
    held_log_fini(&own->held);
}

static void test_own_storage(void **state) {
    (void)state;
    struct own own;
    struct kit_clock clock;
    struct heard heard;
    make_own(&own);
    kh_db *db = kit_open_with(&own.options);
    put_numbers(db, 0, 600, 100);
    kit_close(db);
    listen(&own.options, &clock, &heard);
    clock.tick_ns = 1500000000;
    db = kit_open_with(&own.options);
    assert_int_equal(heard.count, 4);
    assert_string_equal(heard.lines[0], "opening a log of the program's own");
    assert_true(begins_with(heard.lines[1], "opening: 256 values, 0.0 MB, 3.0 s, 170 a second"));
    assert_true(begins_with(heard.lines[3], "opened: 600 values, "));
    kit_close(db);
    /* One that fails says no end. */
    own.map.read_errno = EIO;
    listen(&own.options, &clock, &heard);
    db = NULL;
    kit_is(kh_db_open(&own.options, &db, NULL), KH_IO);
    for (size_t i = 0; i < heard.count; i++) assert_false(begins_with(heard.lines[i], "opened"));
    own.map.read_errno = 0;
    drop_own(&own);
}

/* ---- keys of bytes that the storage writes as two ------------------------------------------- */

enum { ZERO_KEYS = 3 + 9 + 27 + 81 };

/* All of one to four bytes out of three. */
static kh_bytes zero_key(int number, unsigned char bytes[4]) {
    static const unsigned char letters[] = {0, 1, 0xff};
    size_t size_bytes = 1;
    for (int count = 3; number >= count; count *= 3, size_bytes++) number -= count;
    for (size_t i = 0; i < size_bytes; i++, number /= 3) bytes[i] = letters[number % 3];
    return (kh_bytes){bytes, size_bytes};
}

static void test_keys_with_zeroes(void **state) {
    (void)state;
    struct own own;
    make_own(&own);
    kh_db *db = kit_open_with(&own.options);
    for (int i = 0; i < ZERO_KEYS; i++) {
        unsigned char bytes[4];
        kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
        kh_batch *batch = kit_number(NULL, i);
        kit_is(kh_txn_put(txn, zero_key(i, bytes), batch, NULL), KH_OK);
        kh_batch_release(batch);
        kit_commit_ok(txn);
    }
    kit_close(db);
    assert_int_equal(map_storage_count(&own.map, 'V'), ZERO_KEYS);
    db = kit_open_with(&own.options);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    for (int i = 0; i < ZERO_KEYS; i++) {
        unsigned char bytes[4];
        const kh_batch *batch = NULL;
        kit_is(kh_txn_peek(txn, zero_key(i, bytes), &batch, NULL), KH_OK);
        assert_int_equal(kit_number_of(batch), i);
    }
    kit_rollback(txn);
    kit_close(db);
    drop_own(&own);
}

/* ---- no memory ------------------------------------------------------------------------------- */

static const char *const odd_keys[] = {"a", "aa", "aab", "ab", "b", "key", "key/", "key/x"};
enum { ODD_KEYS = sizeof odd_keys / sizeof odd_keys[0] };

static void put_odd(kh_db *db, int64_t number) {
    for (int i = 0; i < ODD_KEYS; i++) kit_store(db, odd_keys[i], number + i);
}

/* The n-th allocation of an opening fails, for all n: a reader has kept old versions in the
 * storage, there are deletions, a prepared transaction, and the log has more. */
static void test_every_allocation_fails(void **state) {
    (void)state;
    struct own own;
    struct kit_memory memory = {0, 0, 0, 0, 0};
    make_own(&own);
    kh_db *db = kit_open_with(&own.options);
    put_odd(db, 10);
    kh_txn *reader = kit_begin_with(db, KH_REPEATABLE_READ, KH_DEFAULT_POLICY, KH_BEGIN_READ_ONLY);
    put_odd(db, 20);
    put_numbers(db, 0, 40, 10);
    kit_store(db, "ab", KIT_ABSENT);
    kh_txn *prepared = kit_begin(db, KH_SERIALIZABLE);
    kit_put(prepared, "held", 1);
    kit_is(kh_txn_prepare(prepared, NULL), KH_OK);
    kh_txn_close(prepared);
    kh_db_step(db);
    own.map.apply_errno = EIO; /* what comes now is in the log alone */
    put_odd(db, 30);
    kit_rollback(reader);
    kit_close(db);
    own.options.allocator = kit_memory_hook(&memory);
    kh_status status = KH_NO_MEMORY;
    uint64_t failures = 0;
    for (uint64_t nth = 1; status != KH_OK; nth++) {
        db = NULL;
        memory.fail_at = memory.calls + nth;
        status = kh_db_open(&own.options, &db, NULL);
        bool has_failed = memory.calls >= memory.fail_at;
        memory.fail_at = 0;
        failures += has_failed;
        if (status == KH_OK && has_failed) { /* it could do without, so the next is asked */
            for (int i = 0; i < ODD_KEYS; i++) kit_load_is(db, odd_keys[i], 30 + i);
            status = KH_NO_MEMORY;
        } else if (status != KH_OK) {
            kit_is(status, KH_NO_MEMORY);
            assert_null(db);
        } else {
            break;
        }
        kit_close(db);
        assert_int_equal(memory.live_blocks, 0);
    }
    assert_true(failures > 150);
    for (int i = 0; i < ODD_KEYS; i++) kit_load_is(db, odd_keys[i], 30 + i);
    numbers_are(db, 40);
    kit_close(db);
    assert_int_equal(memory.live_blocks, 0);
    drop_own(&own);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),           cmocka_unit_test(test_short),
        cmocka_unit_test(test_records),          cmocka_unit_test(test_own_storage),
        cmocka_unit_test(test_keys_with_zeroes), cmocka_unit_test(test_every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
