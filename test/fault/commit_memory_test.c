/* With a log, when any one allocation of a commit fails: the next commit has its memory. */
#include "support/held_log.h"

/* False: nothing has failed. */
static bool run(uint64_t fail_at, int *refused) {
    struct kit_memory memory = {0};
    struct held_log held;
    kh_options options = kit_options();
    held_log_init(&held, HELD_AT_ONCE);
    options.log = &held.log;
    options.allocator = kit_memory_hook(&memory);
    kh_db *db = kit_open_with(&options);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ); /* by a handle that no one has used */
    kit_store(db, "s", 1);                           /* the log knows the schema */
    kit_put(txn, "a", 1);
    memory.fail_at = memory.calls + fail_at;
    kh_status status = kit_commit(txn);
    memory.fail_at = 0;
    assert_true(status == KH_OK || (status == KH_NO_MEMORY && memory.failures > 0));
    *refused += status == KH_NO_MEMORY;
    kit_load_is(db, "a", status == KH_OK ? 1 : KIT_ABSENT);
    kh_txn *next[2];
    for (int i = 0; i < 2; i++) next[i] = kit_begin(db, KH_REPEATABLE_READ);
    for (int i = 0; i < 2; i++) {
        kit_put(next[i], i == 0 ? "a" : "b", 2);
        kit_commit_ok(next[i]);
    }
    kit_close(db);
    held_log_fini(&held);
    assert_int_equal(memory.live_blocks, 0);
    return memory.failures > 0;
}

static void test_the_next_commit(void **state) {
    (void)state;
    int refused = 0;
    for (uint64_t fail_at = 1; run(fail_at, &refused); fail_at++) assert_true(fail_at < 1000);
    assert_true(refused > 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_next_commit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
