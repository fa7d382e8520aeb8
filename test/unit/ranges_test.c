/* Kept range reads: merging that forgets nothing, the limit and its floor, dropping, asking. */
#include "txn/ranges.h"

#include "support/store_kit.h"

enum { LIMIT = 4 };

struct list {
    struct mem *mem;
    struct kept_ranges ranges;
};

static int open_list(void **state) {
    struct list *list = calloc(1, sizeof *list);
    assert_non_null(list);
    list->mem = mem_create(NULL);
    ranges_init(&list->ranges, list->mem, LIMIT);
    kh_error error;
    assert_int_equal(ranges_reserve(&list->ranges, &error), KH_OK);
    assert_int_equal(ranges_reserve(&list->ranges, &error), KH_OK); /* once is enough */
    *state = list;
    return 0;
}

static int close_list(void **state) {
    struct list *list = *state;
    ranges_fini(&list->ranges);
    assert_int_equal(mem_live_bytes(list->mem), 0);
    mem_close(list->mem);
    free(list);
    return 0;
}

/* to NULL: no upper bound. */
static struct read_range span(const char *from, const char *to, uint64_t timestamp) {
    struct read_range range = {.from = store_kit_key(from), .timestamp = timestamp};
    if (to != NULL) range.to = store_kit_key(to);
    return range;
}

static void add_range(struct list *list, const struct read_range *range, uint64_t stamp) {
    struct kept_range *kept = ranges_copy(&list->ranges, NULL, range);
    assert_non_null(kept);
    ranges_add(&list->ranges, NULL, kept, stamp);
}

static void add(struct list *list, const char *from, const char *to, uint64_t timestamp,
                uint64_t stamp) {
    struct read_range range = span(from, to, timestamp);
    add_range(list, &range, stamp);
}

static uint64_t stamp(const struct list *list, const char *key, uint64_t newest) {
    return ranges_stamp(&list->ranges, store_kit_key(key), newest);
}

static void test_copies_own_their_bytes(void **state) {
    struct list *list = *state;
    char from[] = "bb";
    char to[] = "dd";
    char hole[] = "c";
    const kh_bytes holes[] = {{hole, 1}};
    struct read_range range = span(from, to, 10);
    range.holes = holes;
    range.hole_count = 1;
    range.is_to_inclusive = true;
    struct kept_range *kept = ranges_copy(&list->ranges, NULL, &range);
    assert_int_equal(kept->size_bytes, sizeof *kept + sizeof holes + 2 + 2 + 1);
    ranges_add(&list->ranges, NULL, kept, 20);
    memset(from, 'z', 2);
    memset(to, 'z', 2);
    memset(hole, 'z', 1);
    assert_int_equal(stamp(list, "bb", 0), 20);
    assert_int_equal(stamp(list, "dd", 0), 20);
    assert_int_equal(stamp(list, "c", 0), 0);
    assert_int_equal(stamp(list, "ba", 0), 0);
    assert_int_equal(stamp(list, "dd0", 0), 0);
}

/* The largest stamp of those that cover the key and read the version that is newest. */
static void test_stamp(void **state) {
    struct list *list = *state;
    add(list, "a", "m", 10, 30);
    add(list, "c", NULL, 15, 25);
    add(list, "", "d", 20, 22);
    static const struct {
        const char *key;
        uint64_t newest, expected;
    } table[] = {{"a", 0, 30},  {"a", 10, 30}, {"a", 11, 22}, {"a", 20, 22}, {"a", 21, 0},
                 {"A", 0, 22},  {"c", 15, 25}, {"c", 16, 22}, {"m", 0, 25},  {"m", 15, 25},
                 {"m", 16, 0},  {"zz", 9, 25}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(stamp(list, table[i].key, table[i].newest), table[i].expected);
}

/* Of two reads of one span: one entry when one of them says it all, else both. */
static void test_merging(void **state) {
    static const struct {
        uint64_t timestamp, stamp; /* after (10, 20) */
        uint32_t count;
        uint64_t at_10, at_12; /* the stamp for a version of then */
    } table[] = {{10, 20, 1, 20, 0},  {9, 19, 1, 20, 0},  {9, 20, 1, 20, 0},  {10, 19, 1, 20, 0},
                 {12, 20, 1, 20, 20}, {12, 25, 1, 25, 25}, {10, 25, 1, 25, 0}, {12, 19, 2, 20, 19},
                 {9, 25, 2, 20, 0}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        void *fresh = NULL;
        assert_int_equal(open_list(&fresh), 0);
        struct list *list = fresh;
        add(list, "a", "b", 10, 20);
        add(list, "a", "b", table[i].timestamp, table[i].stamp);
        assert_int_equal(list->ranges.count, table[i].count);
        assert_int_equal(stamp(list, "a", 10), table[i].at_10);
        assert_int_equal(stamp(list, "a", 12), table[i].at_12);
        assert_int_equal(close_list(&fresh), 0);
    }
    (void)state;
}

/* Spans that differ in anything are not merged. */
static void test_spans_that_differ(void **state) {
    static const kh_bytes holes[] = {{"a1", 2}, {"a2", 2}};
    (void)state;
    for (int i = 0; i < 8; i++) {
        void *fresh = NULL;
        assert_int_equal(open_list(&fresh), 0);
        struct list *list = fresh;
        struct read_range one = span("a", "b", 10);
        struct read_range other = span(i == 0 ? "a0" : "a", i == 1 ? "c" : "b", 10);
        one.holes = holes;
        other.holes = i == 3 ? holes + 1 : holes;
        one.hole_count = i == 2 ? 0 : 1;
        other.hole_count = 1;
        if (i == 4) other.is_to_inclusive = true;
        if (i == 5) other.to = (kh_bytes){NULL, 0};
        if (i == 6) one.hole_count = other.hole_count = 2;
        add_range(list, &one, 20);
        add_range(list, &other, 20);
        assert_int_equal(list->ranges.count, i < 6 ? 2 : 1);
        assert_int_equal(close_list(&fresh), 0);
    }
}

/* At the limit the lowest stamp goes into the floor, which never falls. */
static void test_limit_and_floor(void **state) {
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f"};
    static const uint64_t stamps[] = {40, 20, 30, 50, 60, 10};
    static const uint64_t floors[] = {0, 0, 0, 0, 20, 30};
    struct list *list = *state;
    for (int i = 0; i < 6; i++) {
        add(list, keys[i], NULL, 5, stamps[i]);
        assert_int_equal(list->ranges.floor, floors[i]);
    }
    assert_int_equal(list->ranges.count, LIMIT);
    assert_int_equal(list->ranges.evictions, 2);
    add(list, "g", NULL, 5, 70); /* puts out the 10, below the floor that there is */
    assert_int_equal(list->ranges.floor, 30);
    assert_int_equal(stamp(list, "a", 0), 40);
    assert_int_equal(stamp(list, "d", 0), 50);
    assert_int_equal(stamp(list, "z", 0), 70);
}

/* Gone are those at or below the oldest snapshot. */
static void test_dropping(void **state) {
    struct list *list = *state;
    add(list, "a", "b", 5, 10);
    add(list, "b", "c", 5, 11);
    add(list, "c", "d", 5, 12);
    ranges_drop(&list->ranges, NULL, 9);
    assert_int_equal(list->ranges.count, 3);
    ranges_drop(&list->ranges, NULL, 11);
    assert_int_equal(list->ranges.count, 1);
    assert_int_equal(stamp(list, "a", 0), 0);
    assert_int_equal(stamp(list, "b", 0), 0);
    assert_int_equal(stamp(list, "c", 0), 12);
    assert_int_equal(list->ranges.floor, 0); /* nothing was forgotten early */
}

static void test_older_than(void **state) {
    struct list *list = *state;
    assert_false(ranges_has_older(&list->ranges, 100));
    add(list, "a", "b", 20, 50);
    add(list, "b", "c", 10, 40);
    assert_false(ranges_has_older(&list->ranges, 10));
    assert_true(ranges_has_older(&list->ranges, 11));
    assert_true(ranges_has_older(&list->ranges, 21));
}

#define ON_LIST(test) cmocka_unit_test_setup_teardown(test, open_list, close_list)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_LIST(test_copies_own_their_bytes),
        ON_LIST(test_stamp),
        cmocka_unit_test(test_merging),
        cmocka_unit_test(test_spans_that_differ),
        ON_LIST(test_limit_and_floor),
        ON_LIST(test_dropping),
        ON_LIST(test_older_than),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
