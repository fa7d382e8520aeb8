/* room_test.c - a device with little room, as the system says (pretended): who commits first is
 * refused and nothing else happens; it is told once; then it goes on without a restart. */
#include "base/env_file.h"

#include "support/directory.h"
#include "support/kit.h"

enum { MIB = 1 << 20 };

struct fixture {
    struct directory directory;
    kh_options options;
    kh_db *db;
    int warnings;
    int notices;
};

static void hear(void *context, kh_log_level level, const char *message) {
    struct fixture *f = context;
    if (strstr(message, "room") == NULL) return;
    f->warnings += level == KH_LOG_WARNING;
    f->notices += level == KH_LOG_NOTICE;
}

static void open_fixture(struct fixture *f, kh_sync sync) {
    memset(f, 0, sizeof *f);
    env_pretend_free_bytes(UINT64_MAX);
    directory_make(&f->directory);
    f->options = kit_options();
    f->options.path = f->directory.path;
    f->options.sync = sync;
    f->options.message = hear;
    f->options.message_context = f;
    f->db = kit_open_with(&f->options);
}

static void close_fixture(struct fixture *f) {
    env_pretend_free_bytes(UINT64_MAX);
    kit_close(f->db);
    directory_remove(&f->directory);
}

static void commit_is(kh_db *db, int64_t value, kh_status expected) {
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    kit_put(txn, "k", value);
    /* Started only: a wait for room might have no end. */
    if (expected != KH_OK) kit_is(kh_txn_commit_start(txn, NULL), expected);
    if (expected == KH_OK) kit_is(kh_txn_commit(txn, NULL, NULL), KH_OK);
    kh_txn_close(txn);
}

/* Found in a round, or at open; by the first commit of all, which brings its schema, too. */
static void test_refused_and_goes_on(void **state) {
    (void)state;
    for (int sync = KH_SYNC_FULL; sync <= KH_SYNC_NONE; sync++) {
        for (int is_found_at_open = 0; is_found_at_open < 2; is_found_at_open++) {
            struct fixture f;
            open_fixture(&f, (kh_sync)sync);
            if (is_found_at_open) kit_close(f.db);
            env_pretend_free_bytes(63 * MIB);
            if (is_found_at_open) f.db = kit_open_with(&f.options);
            if (!is_found_at_open) kh_db_step(f.db);
            commit_is(f.db, 1, KH_NO_SPACE);
            kh_db_step(f.db);
            assert_int_equal(f.warnings, 1);
            assert_int_equal(f.notices, 0);
            commit_is(f.db, 1, KH_NO_SPACE);
            kit_load_is(f.db, "k", KIT_ABSENT);
            env_pretend_free_bytes(64 * MIB + MIB);
            commit_is(f.db, 1, KH_OK);
            kit_load_is(f.db, "k", 1);
            kh_db_step(f.db);
            assert_int_equal(f.warnings, 1);
            assert_int_equal(f.notices, 1);
            kit_store(f.db, "k", 2);
            kit_close(f.db);
            f.db = kit_open_with(&f.options);
            kit_load_is(f.db, "k", 2);
            close_fixture(&f);
        }
    }
}

/* Upkeep does not begin what may not fit: the log stays as it is. */
static void test_upkeep_waits(void **state) {
    (void)state;
    struct fixture f;
    kh_error error = {""};
    open_fixture(&f, KH_SYNC_FULL);
    for (int i = 0; i < 20; i++) kit_store(f.db, "k", i);
    env_pretend_free_bytes(15 * MIB);
    kit_is(kh_db_compact(f.db, &error), KH_NO_SPACE);
    kit_load_is(f.db, "k", 19);
    env_pretend_free_bytes(UINT64_MAX);
    kit_is(kh_db_compact(f.db, &error), KH_OK);
    kit_store(f.db, "k", 20);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_and_goes_on),
        cmocka_unit_test(test_upkeep_waits),
    };
#if !defined(KH_SLOW_CHECKS)
    return 0; /* nothing can be pretended */
#endif
    if (!kh_has_feature("durable")) return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
