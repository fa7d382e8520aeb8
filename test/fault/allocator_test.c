/* allocator_test.c - the n-th call of the allocator hook fails, for all n, on every public call: a
 * typed answer, nothing changed, nothing leaked (the hook counts), the database usable. */
#include "support/scenarios.h"

static struct kit_memory memory;
static kh_allocator hook;

static void arm(void *context, uint64_t nth) {
    (void)context;
    memory.fail_at = memory.calls + nth;
    memory.failures = 0;
}

static bool disarm(void *context) {
    (void)context;
    memory.fail_at = 0;
    return memory.failures != 0;
}

static struct scenario_failures failures(void) {
    memset(&memory, 0, sizeof memory);
    hook = kit_memory_hook(&memory);
    return (struct scenario_failures){arm, disarm, NULL, &hook};
}

static void run(uint64_t (*scenarios)(const struct scenario_failures *), const char *what) {
    struct scenario_failures with = failures();
    uint64_t count = scenarios(&with);
    print_message("%s: %llu failed allocations of %llu\n", what, (unsigned long long)count,
                  (unsigned long long)memory.calls);
    assert_true(count > 0);
    assert_int_equal(memory.live_blocks, 0);
    assert_int_equal(memory.live_bytes, 0);
}

static void test_calls(void **state) {
    (void)state;
    run(scenarios_calls, "calls");
}

static void test_commits(void **state) {
    (void)state;
    run(scenarios_commits, "commits");
}

static void test_db(void **state) {
    (void)state;
    run(scenarios_db, "databases");
}

static void test_open(void **state) {
    (void)state;
    run(scenarios_open, "open");
}

/* What outlives the database is freed through the hook when it goes. */
static void test_values_hold_the_memory(void **state) {
    (void)state;
    (void)failures();
    kh_options options = kit_options();
    options.allocator = hook;
    kh_db *db = kit_open_with(&options);
    kh_batch *batch = kit_number(db, 7);
    kit_close(db);
    assert_true(memory.live_blocks > 0);
    assert_int_equal(kit_number_of(batch), 7);
    kh_batch_release(batch);
    assert_int_equal(memory.live_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_commits),
        cmocka_unit_test(test_db),
        cmocka_unit_test(test_values_hold_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
