/* What a transaction has read: items and ranges, what they cover, and widening at the limit. */
#include "txn/readset.h"

#include "support/store_kit.h"

struct reads {
    struct store_kit kit;
    struct arena arena;
    struct readset set;
};

static int open_reads(void **state) {
    struct reads *reads = calloc(1, sizeof *reads);
    assert_non_null(reads);
    store_kit_open(&reads->kit);
    arena_init(&reads->arena, reads->kit.mem, NULL);
    reads->set.limit = 1000;
    readset_clear(&reads->set);
    *state = reads;
    return 0;
}

static int close_reads(void **state) {
    struct reads *reads = *state;
    arena_fini(&reads->arena);
    store_kit_close(&reads->kit);
    free(reads);
    return 0;
}

static void add_item(struct reads *reads, const char *key, uint64_t timestamp) {
    kh_error error;
    assert_int_equal(readset_add(&reads->set, &reads->arena, store_kit_entry(&reads->kit, key),
                                 timestamp, &error),
                     KH_OK);
}

static void add_absent(struct reads *reads, const char *key, uint64_t timestamp) {
    kh_error error;
    assert_int_equal(
        readset_add_absent(&reads->set, &reads->arena, store_kit_key(key), timestamp, &error),
        KH_OK);
}

static void add_range(struct reads *reads, const char *from, const char *to, uint64_t timestamp) {
    struct read_range range = {.from = store_kit_key(from), .timestamp = timestamp};
    uint32_t index = UINT32_MAX;
    kh_error error;
    if (to != NULL) range.to = store_kit_key(to);
    assert_int_equal(readset_add_range(&reads->set, &reads->arena, &range, &index, &error), KH_OK);
    assert_int_equal(index, reads->set.range_count - 1);
}

static uint64_t when(struct reads *reads, const char *key) {
    struct entry *entry = index_find(reads->kit.store.index, store_kit_key(key),
                                     index_hash(reads->kit.store.index, store_kit_key(key)));
    return readset_timestamp(&reads->set, entry, store_kit_key(key));
}

/* The newest read of a key counts; the last one in a row is noted once. */
static void test_items(void **state) {
    struct reads *reads = *state;
    add_item(reads, "a", 10);
    add_item(reads, "a", 12);
    assert_int_equal(reads->set.item_count, 1);
    add_item(reads, "b", 11);
    add_item(reads, "a", 9);
    assert_int_equal(reads->set.item_count, 3);
    assert_int_equal(when(reads, "a"), 12);
    assert_int_equal(when(reads, "b"), 11);
    assert_int_equal(when(reads, "c"), 0);
    for (int i = 0; i < 100; i++) { /* beyond the room inside the set */
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i);
        add_item(reads, key, (uint64_t)i + 1);
    }
    assert_int_equal(reads->set.item_count, 103);
    assert_int_equal(when(reads, "a"), 12);
    assert_int_equal(when(reads, "k0"), 1);
    assert_int_equal(when(reads, "k99"), 100);
}

static void test_absent_keys(void **state) {
    struct reads *reads = *state;
    add_absent(reads, "n", 10);
    add_absent(reads, "n", 12);
    assert_int_equal(reads->set.range_count, 1);
    assert_int_equal(when(reads, "n"), 12);
    assert_int_equal(when(reads, "n0"), 0);
    assert_int_equal(when(reads, "m"), 0);
    add_absent(reads, "m", 13);
    assert_int_equal(reads->set.range_count, 2);
    assert_int_equal(when(reads, "n"), 12);
    assert_int_equal(when(reads, "m"), 13);
}

static void test_covering(void **state) {
    static const kh_bytes holes[] = {{"c", 1}, {"e", 1}, {"g", 1}};
    static const struct {
        const char *key;
        bool open, closed; /* [b, k) and [b, k], with holes */
    } table[] = {{"a", false, false}, {"az", false, false}, {"b", true, true},  {"c", false, false},
                 {"c0", true, true},  {"d", true, true},    {"e", false, false}, {"f", true, true},
                 {"g", false, false}, {"h", true, true},    {"jz", true, true}, {"k", false, true},
                 {"k0", false, false}};
    struct read_range range = {
        .from = store_kit_key("b"), .to = store_kit_key("k"), .holes = holes, .hole_count = 3};
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        range.is_to_inclusive = false;
        assert_int_equal(range_covers(&range, store_kit_key(table[i].key)), table[i].open);
        range.is_to_inclusive = true;
        assert_int_equal(range_covers(&range, store_kit_key(table[i].key)), table[i].closed);
    }
    struct read_range all = {.from = {NULL, 0}};
    assert_true(range_covers(&all, store_kit_key("")));
    assert_true(range_covers(&all, store_kit_key("\xff\xff")));
}

/* One range from the least to the greatest, as of the oldest read. */
static void test_widening(void **state) {
    static const struct {
        const char *key;
        uint64_t timestamp;
    } table[] = {{"ax", 0}, {"b", 7}, {"d", 7}, {"m", 7}, {"p", 7}, {"q", 7}, {"q0", 0}};
    struct reads *reads = *state;
    reads->set.limit = 20;
    add_item(reads, "d", 9);
    add_range(reads, "f", "p", 8);
    add_item(reads, "q", 12);
    add_item(reads, "b", 7);
    for (int i = 0; reads->set.widen_count == 0; i++) {
        assert_true(i < 40);
        add_item(reads, i % 2 == 0 ? "h" : "i", 20);
    }
    assert_int_equal(reads->set.range_count, 1);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint64_t expected = table[i].timestamp;
        assert_int_equal(when(reads, table[i].key), expected);
    }
}

static void test_widening_of_ranges(void **state) {
    struct reads *reads = *state;
    reads->set.limit = 3;
    add_range(reads, "f", "h", 8);
    add_range(reads, "k", "m", 6);
    add_range(reads, "c", "d", 9);
    add_range(reads, "x", "y", 11);
    assert_int_equal(reads->set.widen_count, 1);
    assert_int_equal(reads->set.range_count, 2);
    assert_int_equal(when(reads, "bz"), 0);
    assert_int_equal(when(reads, "c"), 6);
    assert_int_equal(when(reads, "lz"), 6);
    assert_int_equal(when(reads, "m"), 0); /* the upper bound stays open */
    assert_int_equal(when(reads, "x"), 11);
    add_absent(reads, "z", 12);
    assert_int_equal(reads->set.widen_count, 1);
    add_range(reads, "z", NULL, 13); /* and one without a bound takes all bounds away */
    assert_int_equal(reads->set.widen_count, 2);
    add_absent(reads, "a", 5);
    add_absent(reads, "aa", 5);
    assert_int_equal(reads->set.widen_count, 3);
    assert_int_equal(when(reads, "a"), 5);
    assert_int_equal(when(reads, "zzz"), 5);
    assert_int_equal(when(reads, "A"), 0);
}

/* The bound of a closed range stays in, wherever it comes in. */
static void test_widening_keeps_closed_bounds(void **state) {
    struct reads *reads = *state;
    for (int is_first = 0; is_first < 2; is_first++) {
        readset_clear(&reads->set);
        reads->set.limit = 2;
        if (is_first) add_absent(reads, "k", 5);
        add_range(reads, "c", "k", 5);
        if (!is_first) add_absent(reads, "k", 5);
        add_absent(reads, "d", 5);
        assert_int_equal(reads->set.widen_count, 1);
        assert_int_equal(when(reads, "k"), 5);
        assert_int_equal(when(reads, "k0"), 0);
    }
}

static void test_absence_is_known(void **state) {
    struct reads *reads = *state;
    struct entry *entry = store_kit_entry(&reads->kit, "k");
    kh_bytes key = store_kit_key("k");
    add_range(reads, "a", "z", 10);
    /* A scan may have found it. */
    assert_false(readset_is_absent(&reads->set, entry, key, 10, false));
    assert_true(readset_is_absent(&reads->set, entry, key, 10, true));
    assert_false(readset_is_absent(&reads->set, entry, key, 9, true));
    add_absent(reads, "k", 11);
    assert_true(readset_is_absent(&reads->set, entry, key, 11, false));
    assert_false(readset_is_absent(&reads->set, entry, key, 12, false));
    add_item(reads, "k", 12);
    assert_false(readset_is_absent(&reads->set, entry, key, 12, true));
    assert_true(readset_is_absent(&reads->set, entry, key, 11, false));
    add_item(reads, "k", 11);
    reads->set.widen_count = 1;
    assert_false(readset_is_absent(&reads->set, entry, key, 10, true)); /* nothing is any more */
}

#define ON_READS(test) cmocka_unit_test_setup_teardown(test, open_reads, close_reads)

/* Forgotten is all of it, few or many: the arena, in which some of it lies, is used for others. */
static void test_nothing_stays(void **state) {
    struct reads *reads = *state;
    for (int way = 0; way < 4; way++) {
        int count = way & 1 ? 100 : 3;
        for (int i = 0; i < count; i++) {
            char key[16];
            (void)snprintf(key, sizeof key, "k%d", i);
            add_item(reads, key, 10);
        }
        if (way & 2) {
            add_range(reads, "a", "z", 10);
            add_absent(reads, "absent", 10);
        }
        readset_clear(&reads->set);
        arena_reset(&reads->arena);
        memset(arena_alloc(&reads->arena, 4096), 0xee, 4096);
        assert_int_equal(reads->set.item_count, 0);
        assert_int_equal(reads->set.range_count, 0);
        assert_int_equal(when(reads, "k1"), 0);
        assert_int_equal(when(reads, "absent"), 0);
        add_item(reads, "k2", 11);
        add_range(reads, "p", "q", 12);
        assert_int_equal(when(reads, "k1"), 0);
        assert_int_equal(when(reads, "k2"), 11);
        assert_int_equal(when(reads, "p1"), 12);
        readset_clear(&reads->set);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_READS(test_items),
        ON_READS(test_absent_keys),
        cmocka_unit_test(test_covering),
        ON_READS(test_widening),
        ON_READS(test_widening_of_ranges),
        ON_READS(test_widening_keeps_closed_bounds),
        ON_READS(test_absence_is_known),
        ON_READS(test_nothing_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
