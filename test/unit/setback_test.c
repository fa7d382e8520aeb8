/* A storage that was opened again and lacks what it had not synced (db/upkeep.h): what is missed is
 * waited for, what was decided is known, and what is written then is what the log has. One thread.
 */
#include "db/evict.h"
#include "db/upkeep.h"

#include "support/directory.h"
#include "support/kit.h"

enum { KEYS = 60 };

struct fixture {
    struct directory directory;
    kh_options options;
    kh_db *db;
};

static struct fixture f;

static int open_fixture(void **state) {
    (void)state;
    directory_make(&f.directory);
    f.options = (kh_options)KH_OPTIONS_INIT;
    f.options.path = f.directory.path;
    f.options.flags = KH_OPEN_NO_THREADS;
    f.options.limits.memory_bytes = (uint64_t)1 << 40;
    f.options.limits.outcomes = 2; /* others are asked from the log and the storage */
    f.options.retention_bytes = 1 << 20;
    f.db = kit_open_with(&f.options);
    evict_always(true);
    return 0;
}

static int close_fixture(void **state) {
    (void)state;
    evict_always(false);
    upkeep_set_back(UPKEEP_NEVER);
    kit_close(f.db);
    directory_remove(&f.directory);
    return 0;
}

static void name_key(int i, char out[16]) {
    (void)snprintf(out, 16, "key%04d", i);
}

static void store_all(int64_t base) {
    char key[16];
    for (int i = 0; i < KEYS; i++) {
        name_key(i, key);
        kit_store(f.db, key, base + i);
    }
}

static void all_are(int64_t base) {
    char key[16];
    for (int i = 0; i < KEYS; i++) {
        name_key(i, key);
        kit_load_is(f.db, key, base + i);
    }
}

/* Applied, not synced, and in the storage only. */
static void cool(void) {
    kh_stats stats = {.size = sizeof stats};
    for (int i = 0; i < 6; i++) kh_db_step(f.db);
    kit_is(kh_db_stats(f.db, &stats, NULL), KH_OK);
    assert_true(stats.versions_cold >= KEYS);
}

static void lose(void) {
    uint32_t setbacks = upkeep_setbacks(f.db);
    upkeep_set_back(UPKEEP_ONCE);
    kh_db_step(f.db);
    assert_int_equal(upkeep_setbacks(f.db), setbacks + 1);
    assert_int_equal(upkeep_stored(f.db), 0);
}

static void test_values_come_back(void **state) {
    (void)state;
    store_all(1000);
    kit_is(kh_db_compact(f.db, NULL), KH_OK); /* synced; what follows is not */
    store_all(2000);
    cool();
    lose();
    all_are(2000);
    cool();
    store_all(3000);
    lose();
    all_are(3000);
    kit_close(f.db);
    f.db = kit_open_with(&f.options);
    all_are(3000);
}

static bool count_version(void *context, const kh_version_entry *entry) {
    (void)entry;
    ++*(int *)context;
    return true;
}

static void test_history_comes_back(void **state) {
    (void)state;
    int count = 0;
    bool is_complete = false;
    store_all(1000);
    store_all(2000);
    cool();
    lose();
    kit_is(kh_db_history(f.db, kit_key("key0007"), 0, UINT64_MAX, count_version, &count,
                         &is_complete, NULL),
           KH_OK);
    assert_int_equal(count, 2);
}

static void test_an_outcome_is_known(void **state) {
    (void)state;
    kh_outcome outcome;
    kh_timestamp timestamp;
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    kit_put(txn, "k", 1);
    kh_txn_id id = kh_txn_get_id(txn);
    kit_commit_ok(txn);
    store_all(1000);
    cool();
    lose();
    kit_is(kh_db_outcome(f.db, id, &outcome, &timestamp, NULL), KH_OK);
    assert_int_equal(outcome, KH_OUTCOME_COMMITTED);
}

static void test_steps_go_on_where_the_storage_is(void **state) {
    (void)state;
    kh_verify_report report = {.size = sizeof report};
    for (int64_t round = 1; round < 5; round++) {
        store_all(round * 1000);
        kh_db_step(f.db);
        lose();
        store_all(round * 1000 + 500);
        kh_db_step(f.db);
        if (round == 2) kit_is(kh_db_compact(f.db, NULL), KH_OK);
    }
    all_are(4500);
    kit_close(f.db);
    kit_is(kh_verify(f.directory.path, NULL, &report, NULL), KH_OK);
    f.db = kit_open_with(&f.options);
    all_are(4500);
}

int main(void) {
#if !defined(KH_SLOW_CHECKS)
    print_message("no setbacks at a test's wish in this build: nothing to test\n");
    return 0;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_values_come_back, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_history_comes_back, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_an_outcome_is_known, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_steps_go_on_where_the_storage_is, open_fixture,
                                        close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
