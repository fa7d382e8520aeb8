/* graph_check_test.c - the checker of histories on histories that are known to be good or bad. */
#include "model/graph_check.h"
#include "support/kit.h"

static const int none[1] = {0};
static const int list_0[] = {0};
static const int list_1[] = {1};
static const int list_01[] = {0, 1};
static const int list_10[] = {1, 0};
static const int list_2[] = {2};
static const int list_3[] = {3};

#define APPEND(key, value) {true, key, value, NULL, 0}
#define READ(key, list) {false, key, 0, list, (int)(sizeof(list) / sizeof((list)[0]))}
#define READ_NONE(key) {false, key, 0, none, 0}

static const char *check(const struct graph_txn *txns, int count, bool is_strict) {
    struct graph_history history = {txns, count, 2, 4, is_strict};
    return graph_check(&history);
}

static void test_good(void **state) {
    (void)state;
    const struct graph_txn txns[] = {
        {0, 10, true, 2, {APPEND(0, 0), READ(0, list_0)}},
        {5, 15, true, 2, {READ(0, list_0), APPEND(0, 1)}},
        {6, 7, false, 1, {APPEND(1, 2)}},
        {20, 30, true, 2, {READ(0, list_01), READ_NONE(1)}},
    };
    assert_null(check(txns, 4, true));
}

static void test_aborted_read(void **state) {
    (void)state;
    const struct graph_txn txns[] = {{0, 10, false, 1, {APPEND(0, 0)}},
                                     {5, 15, true, 1, {READ(0, list_0)}}};
    assert_string_equal(check(txns, 2, true), "aborted read");
}

static void test_intermediate_read(void **state) {
    (void)state;
    const struct graph_txn txns[] = {{0, 10, true, 2, {APPEND(0, 0), APPEND(0, 1)}},
                                     {5, 15, true, 1, {READ(0, list_0)}},
                                     {20, 25, true, 1, {READ(0, list_01)}}};
    assert_string_equal(check(txns, 3, true), "intermediate read");
}

static void test_incompatible_orders(void **state) {
    (void)state;
    const struct graph_txn txns[] = {{0, 10, true, 1, {APPEND(0, 0)}},
                                     {0, 10, true, 1, {APPEND(0, 1)}},
                                     {5, 15, true, 1, {READ(0, list_01)}},
                                     {20, 25, true, 1, {READ(0, list_10)}}};
    assert_string_equal(check(txns, 4, true), "incompatible orders");
}

static void test_lost_append(void **state) {
    (void)state;
    const struct graph_txn txns[] = {{0, 10, true, 2, {READ_NONE(0), APPEND(0, 0)}},
                                     {0, 10, true, 2, {READ_NONE(0), APPEND(0, 1)}},
                                     {20, 25, true, 1, {READ(0, list_1)}}};
    assert_string_equal(check(txns, 3, true), "lost append");
}

static void test_own_append_not_seen(void **state) {
    (void)state;
    const struct graph_txn txns[] = {{0, 10, true, 2, {APPEND(0, 0), READ_NONE(0)}},
                                     {20, 25, true, 1, {READ(0, list_0)}}};
    assert_string_equal(check(txns, 2, true), "own append not seen");
}

static void test_write_skew(void **state) {
    (void)state;
    const struct graph_txn txns[] = {{0, 10, true, 2, {READ_NONE(0), APPEND(1, 2)}},
                                     {0, 10, true, 2, {READ_NONE(1), APPEND(0, 0)}},
                                     {20, 25, true, 2, {READ(0, list_0), READ(1, list_2)}}};
    assert_string_equal(check(txns, 3, false), "cycle");
}

static void test_read_skew(void **state) {
    (void)state;
    const struct graph_txn txns[] = {{0, 10, true, 2, {APPEND(0, 0), APPEND(1, 2)}},
                                     {0, 10, true, 2, {READ(0, list_0), READ_NONE(1)}},
                                     {20, 25, true, 1, {READ(1, list_2)}}};
    assert_string_equal(check(txns, 3, false), "cycle");
}

/* A stale read is serializable, but not strictly. */
static void test_stale_read(void **state) {
    (void)state;
    const struct graph_txn txns[] = {{0, 10, true, 1, {APPEND(0, 0)}},
                                     {11, 15, true, 1, {READ_NONE(0)}},
                                     {20, 25, true, 2, {READ(0, list_0), READ_NONE(1)}}};
    assert_null(check(txns, 3, false));
    assert_string_equal(check(txns, 3, true), "cycle");
}

/* Three transactions, each missing the next (the read-only anomaly's shape). */
static void test_cycle_of_three(void **state) {
    (void)state;
    const struct graph_txn txns[] = {{0, 30, true, 2, {READ_NONE(0), APPEND(1, 3)}},
                                     {1, 10, true, 1, {APPEND(0, 1)}},
                                     {11, 20, true, 2, {READ(0, list_1), READ_NONE(1)}},
                                     {40, 50, true, 1, {READ(1, list_3)}}};
    assert_string_equal(check(txns, 4, false), "cycle");
    assert_string_equal(check(txns, 4, true), "cycle");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_aborted_read),
        cmocka_unit_test(test_intermediate_read),
        cmocka_unit_test(test_incompatible_orders),
        cmocka_unit_test(test_lost_append),
        cmocka_unit_test(test_own_append_not_seen),
        cmocka_unit_test(test_write_skew),
        cmocka_unit_test(test_read_skew),
        cmocka_unit_test(test_stale_read),
        cmocka_unit_test(test_cycle_of_three),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
