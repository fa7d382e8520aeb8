/* delta_set_test.c - the ring of rows; every cosine is that of the deltas, bit for bit; and the
 * search in two steps finds what a look at every row finds, on random, clustered and awkward sets.
 */
#include "txn/delta_set.h"

#include "support/delta_kit.h"
#include "support/home.h"

enum { ROWS_MOST = 700 };

struct world {
    struct home home;
    kh_db *db;
};

static int open_world(void **state) {
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->db = home_open(&world->home);
    *state = world;
    return 0;
}

static int close_world(void **state) {
    struct world *world = *state;
    int64_t live = mem_live_bytes(world->home.batch.mem) == 0 ? 0 : 1;
    home_close(&world->home);
    free(world);
    return (int)live;
}

static struct delta_set *create(struct world *world, size_t dimension, size_t capacity) {
    struct delta_set *set = NULL;
    kh_error error = {""};
    assert_int_equal(delta_set_create(world->home.batch.mem, dimension, capacity, &set, &error),
                     KH_OK);
    return set;
}

static void test_bounds(void **state) {
    struct world *world = *state;
    struct mem *mem = world->home.batch.mem;
    struct delta_set *set = NULL;
    kh_error error = {""};
    assert_int_equal(delta_set_create(mem, 0, 1, &set, &error), KH_INVALID);
    assert_int_equal(delta_set_create(mem, 1, 0, &set, &error), KH_INVALID);
    assert_int_equal(delta_set_create(mem, 65537, 1, &set, &error), KH_TOO_BIG);
    assert_int_equal(delta_set_create(mem, 1, ((size_t)1 << 24) + 1, &set, &error), KH_TOO_BIG);
    assert_true(strlen(error.message) > 0);
    world->home.fail_at = world->home.calls + 1;
    assert_int_equal(delta_set_create(mem, 8, 8, &set, &error), KH_NO_MEMORY);
    world->home.fail_at = 0;
    assert_null(set);
    delta_set_destroy(NULL);
}

/* Rows, their ids and cosines, before and after the ring has come round. */
static void test_ring(void **state) {
    enum { CAPACITY = 20, DIMENSION = 50, ADDED = 3 * CAPACITY + 7 };
    struct world *world = *state;
    struct delta_dice dice = {1};
    struct delta_set *set = create(world, DIMENSION, CAPACITY);
    kh_delta *deltas[ADDED];
    kh_delta *asked = delta_kit_random(world->db, &dice, DIMENSION, 1);
    struct delta_query query;
    float out[CAPACITY];
    assert_int_equal(delta_query_init(&query, asked, NULL), KH_OK);
    assert_int_equal(delta_set_next(set), 0);
    for (uint64_t i = 0; i < ADDED; i++) {
        deltas[i] = delta_kit_random(world->db, &dice, DIMENSION, 1 + i % 4);
        assert_int_equal(delta_set_add(set, deltas[i], 1000 + i), i);
        assert_int_equal(delta_set_next(set), i + 1);
        uint64_t first = i + 1 < CAPACITY ? 0 : i + 1 - CAPACITY;
        assert_int_equal(delta_set_first(set), first);
        delta_set_cosines(set, &query, first, i + 1, out);
        for (uint64_t number = first; number <= i; number++) {
            float expected;
            assert_int_equal(kh_delta_cosine(deltas[number], asked, &expected), KH_OK);
            assert_same_float(out[number - first], expected);
            assert_int_equal(delta_set_id(set, number), 1000 + number);
        }
    }
    for (size_t i = 0; i < ADDED; i++) kh_delta_release(deltas[i]);
    delta_query_fini(&query);
    kh_delta_release(asked);
    delta_set_destroy(set);
}

static void test_query_without_memory(void **state) {
    struct world *world = *state;
    struct delta_dice dice = {2};
    kh_delta *asked = delta_kit_random(world->db, &dice, 10, 1);
    struct delta_query query;
    kh_error error = {""};
    world->home.fail_at = world->home.calls + 1;
    assert_int_equal(delta_query_init(&query, asked, &error), KH_NO_MEMORY);
    world->home.fail_at = 0;
    kh_delta_release(asked);
}

/* ---- the search ------------------------------------------------------------------------------ */

struct found {
    uint64_t numbers[ROWS_MOST];
    float cosines[ROWS_MOST];
    size_t count;
    size_t stop_at; /* 0: never */
};

static bool keep(void *context, uint64_t number, uint64_t id, float cosine) {
    struct found *found = context;
    assert_int_equal(id, number * 7);
    found->numbers[found->count] = number;
    found->cosines[found->count++] = cosine;
    return found->count != found->stop_at;
}

/* All rows are looked at, and what is beyond is what the search finds. */
static void check_search(const struct delta_set *set, const struct delta_query *query,
                         uint64_t from, uint64_t to, float low, float high) {
    static struct found found;
    static float all[ROWS_MOST];
    size_t next = 0;
    found.count = found.stop_at = 0;
    delta_set_cosines(set, query, from, to, all);
    assert_true(delta_set_beyond(set, query, from, to, low, high, keep, &found));
    for (uint64_t number = from; number < to; number++) {
        float cosine = all[number - from];
        if (!(cosine >= high || cosine <= low)) continue;
        assert_true(next < found.count);
        assert_int_equal(found.numbers[next], number);
        assert_same_float(found.cosines[next], cosine);
        next++;
    }
    assert_int_equal(next, found.count);
}

/* Kinds of sets. 0: random; 1: around the query at every distance; 2: clusters of near copies; 3:
 * few large values, which the codes represent badly; 4: sparse; 5: the query itself, its opposite,
 * zero, multiples; 6: whole numbers, which the codes represent exactly: rounding is all that is
 * left. */
enum { KINDS = 7 };
static void draw_row(struct delta_dice *dice, int kind, const float *asked, float *row,
                     size_t dimension) {
    float mix = (float)delta_kit_below(dice, 1000) * 2e-3f;
    float factor = ldexpf(1, (int)delta_kit_below(dice, 20) - 10);
    for (size_t i = 0; i < dimension; i++) {
        float value = delta_kit_float(dice);
        if (kind == 1) value = asked[i] * (mix - 1) + value * 0.3f;
        if (kind == 2) value = asked[i] * (mix > 1 ? 1.0f : -1.0f) + value * 1e-3f;
        if (kind == 3) value *= delta_kit_below(dice, 40) == 0 ? 1e5f : 1;
        if (kind == 4 && delta_kit_below(dice, 20) != 0) value = 0;
        if (kind == 5) value = mix < 0.2f ? 0 : asked[i] * (mix > 1 ? factor : -factor);
        if (kind == 6) value = i == 0 ? 127.0f : (float)delta_kit_below(dice, 255) - 127;
        row[i] = value;
    }
}

/* Thresholds that are met exactly, that nothing or everything is beyond, and usual ones. */
static void check_thresholds(struct delta_dice *dice, const struct delta_set *set,
                             const struct delta_query *query, uint64_t from, uint64_t to) {
    static float all[ROWS_MOST];
    check_search(set, query, from, to, -0.95f, 0.7f);
    if (from == to) return;
    delta_set_cosines(set, query, from, to, all);
    float met = all[delta_kit_below(dice, (size_t)(to - from))];
    check_search(set, query, from, to, -1.5f, met);
    check_search(set, query, from, to, met, 1.5f);
    check_search(set, query, from, to, -1.5f, nextafterf(met, 2));
    check_search(set, query, from, to, delta_kit_float(dice), delta_kit_float(dice));
}

static void one_set(struct world *world, uint64_t seed) {
    struct delta_dice dice = {seed};
    int kind = (int)delta_kit_below(&dice, KINDS);
    size_t dimension = 1 + delta_kit_below(&dice, delta_kit_below(&dice, 8) == 0 ? 700 : 80);
    size_t capacity = 1 + delta_kit_below(&dice, delta_kit_below(&dice, 20) == 0 ? ROWS_MOST : 30);
    size_t added = delta_kit_below(&dice, 2 * capacity + 1);
    float *asked_values = calloc(2 * dimension, sizeof *asked_values);
    float *row = asked_values + dimension;
    assert_non_null(asked_values);
    delta_kit_fill(&dice, asked_values, dimension, kind == 4 ? 15 : 1);
    if (kind == 6) draw_row(&dice, kind, NULL, asked_values, dimension);
    kh_delta *asked = delta_kit_build(world->db, asked_values, dimension);
    struct delta_set *set = create(world, dimension, capacity);
    struct delta_query query;
    assert_int_equal(delta_query_init(&query, asked, NULL), KH_OK);
    for (size_t i = 0; i < added; i++) {
        draw_row(&dice, kind, asked_values, row, dimension);
        kh_delta *delta = delta_kit_build(world->db, row, dimension);
        (void)delta_set_add(set, delta, i * 7);
        kh_delta_release(delta);
    }
    uint64_t from = delta_set_first(set);
    uint64_t to = delta_set_next(set);
    if (to > from && seed % 3 == 0) from += delta_kit_below(&dice, (size_t)(to - from));
    check_thresholds(&dice, set, &query, from, to);
    delta_query_fini(&query);
    kh_delta_release(asked);
    delta_set_destroy(set);
    free(asked_values);
}

static void test_search_finds_all(void **state) {
    const char *seed = getenv("KH_TEST_SEED");
    const char *sets = getenv("KH_TEST_SETS");
    uint64_t first = seed == NULL ? 1 : strtoull(seed, NULL, 10);
    uint64_t count = sets == NULL ? 10000 : strtoull(sets, NULL, 10);
    print_message("KH_TEST_SEED=%llu KH_TEST_SETS=%llu\n", (unsigned long long)first,
                  (unsigned long long)count);
    size_t kernels = 0;
    while (delta_kernel_all()[kernels] != NULL) kernels++;
    for (uint64_t i = 0; i < count; i++) {
        atomic_store(&delta_kernel_chosen, delta_kernel_all()[i % kernels]);
        one_set(*state, first + i);
    }
    (void)delta_kernel_choose();
}

static void test_stopping(void **state) {
    struct world *world = *state;
    struct delta_dice dice = {3};
    struct delta_set *set = create(world, 16, 600);
    kh_delta *asked = delta_kit_random(world->db, &dice, 16, 1);
    struct delta_query query;
    struct found found = {.stop_at = 300};
    assert_int_equal(delta_query_init(&query, asked, NULL), KH_OK);
    for (uint64_t i = 0; i < 600; i++) (void)delta_set_add(set, asked, i * 7);
    assert_false(delta_set_beyond(set, &query, 0, 600, -1, 0.5f, keep, &found));
    assert_int_equal(found.count, 300);
    delta_query_fini(&query);
    kh_delta_release(asked);
    delta_set_destroy(set);
}

/* The longest rows: sums of codes at their largest, and the widest margin. */
static void test_longest(void **state) {
    enum { LONGEST = 65536, ROWS = 6 };
    struct world *world = *state;
    struct delta_dice dice = {4};
    struct delta_set *set = create(world, LONGEST, ROWS);
    float *values = calloc(LONGEST, sizeof *values);
    assert_non_null(values);
    for (uint64_t row = 0; row < ROWS; row++) {
        for (size_t i = 0; i < LONGEST; i++)
            values[i] = row < 2 ? (row == 0 ? 1.0f : -1.0f) : delta_kit_float(&dice) + 0.5f;
        kh_delta *delta = delta_kit_build(world->db, values, LONGEST);
        (void)delta_set_add(set, delta, row * 7);
        kh_delta_release(delta);
    }
    for (size_t i = 0; i < LONGEST; i++) values[i] = 1;
    kh_delta *asked = delta_kit_build(world->db, values, LONGEST);
    struct delta_query query;
    assert_int_equal(delta_query_init(&query, asked, NULL), KH_OK);
    check_thresholds(&dice, set, &query, 0, ROWS);
    delta_query_fini(&query);
    kh_delta_release(asked);
    free(values);
    delta_set_destroy(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bounds, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_ring, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_query_without_memory, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_search_finds_all, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_stopping, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_longest, open_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
