/* delta_set_test.c - whoever is beyond a threshold is a suspect, by the cosine of the deltas, bit
 * for bit: on random, clustered and awkward sets of mixed forms and dimensions, with every kernel.
 * And the others mostly are not.
 */
#include "txn/delta_set.h"

#include "support/delta_kit.h"
#include "support/home.h"

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

/* What a set is made of. */
struct many {
    kh_delta *deltas[DELTA_SET_ROWS];
    size_t count;
};

static struct delta_set *create(struct world *world, size_t dimension, const struct many *many) {
    struct delta_set *set = NULL;
    kh_error error = {""};
    assert_int_equal(delta_set_create(world->home.batch.mem, dimension,
                                      (const kh_delta *const *)many->deltas, many->count, &set,
                                      &error),
                     KH_OK);
    return set;
}

static void release(struct many *many) {
    for (size_t i = 0; i < many->count; i++) kh_delta_release(many->deltas[i]);
}

static void test_without_memory(void **state) {
    struct world *world = *state;
    struct delta_dice dice = {2};
    struct many many = {{delta_kit_random(world->db, &dice, 10, 1)}, 1};
    struct delta_query query;
    struct delta_set *set = NULL;
    kh_error error = {""};
    world->home.fail_at = world->home.calls + 1;
    assert_int_equal(delta_query_init(&query, many.deltas[0], &error), KH_NO_MEMORY);
    world->home.fail_at = world->home.calls + 1;
    assert_int_equal(delta_set_create(world->home.batch.mem, 10,
                                      (const kh_delta *const *)many.deltas, 1, &set, &error),
                     KH_NO_MEMORY);
    world->home.fail_at = 0;
    assert_null(set);
    delta_set_destroy(NULL);
    release(&many);
}

/* ---- the search ------------------------------------------------------------------------------ */

static bool has(const struct delta_suspects *suspects, size_t index) {
    return (suspects->bits[index / 64] >> index % 64 & 1) != 0;
}

static bool is_coded(const kh_delta *delta, size_t dimension) {
    return delta != NULL && !kh_delta_is_sparse(delta) && kh_delta_dimension(delta) == dimension;
}

/* Who is beyond is a suspect, and who has no codes; nobody outside of the range. Returns how many
 * suspects are neither. */
static size_t check_search(const struct delta_set *set, const struct many *many,
                           const kh_delta *asked, size_t from, size_t to, float low, float high) {
    struct delta_suspects suspects;
    struct delta_query query;
    size_t dimension = kh_delta_dimension(asked);
    size_t too_many = 0;
    assert_int_equal(delta_query_init(&query, asked, NULL), KH_OK);
    delta_set_suspects(set, &query, from, to, low, high, &suspects);
    delta_query_fini(&query);
    for (size_t i = 0; i < DELTA_SET_ROWS; i++) {
        float cosine = 0;
        if (i < from || i >= to) {
            assert_false(has(&suspects, i));
        } else if (!is_coded(many->deltas[i], dimension)) {
            assert_true(has(&suspects, i));
        } else {
            assert_int_equal(kh_delta_cosine(many->deltas[i], asked, &cosine), KH_OK);
            bool is_beyond = cosine >= high || cosine <= low;
            if (is_beyond) assert_true(has(&suspects, i));
            too_many += has(&suspects, i) && !is_beyond;
        }
    }
    return too_many;
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
                             const struct many *many, const kh_delta *asked) {
    float met = 0;
    size_t from = delta_kit_below(dice, 2) == 0 ? 0 : delta_kit_below(dice, many->count + 1);
    size_t to = many->count - delta_kit_below(dice, many->count - from + 1) / 4;
    size_t at = delta_kit_below(dice, many->count);
    if (is_coded(many->deltas[at], kh_delta_dimension(asked)))
        assert_int_equal(kh_delta_cosine(many->deltas[at], asked, &met), KH_OK);
    (void)check_search(set, many, asked, from, to, -0.95f, 0.7f);
    (void)check_search(set, many, asked, from, to, -1.5f, met);
    (void)check_search(set, many, asked, from, to, met, 1.5f);
    (void)check_search(set, many, asked, from, to, -1.5f, nextafterf(met, 2));
    (void)check_search(set, many, asked, from, to, nextafterf(met, -2), 1.5f);
    (void)check_search(set, many, asked, from, to, delta_kit_float(dice), delta_kit_float(dice));
    (void)check_search(set, many, asked, from, to, NAN, NAN);
}

/* The asked one itself, made dense, and rows around it: with some left out, of another dimension,
 * and sparse ones. */
static void one_set(struct world *world, uint64_t seed) {
    struct delta_dice dice = {seed};
    struct many many = {{NULL}, 0};
    int kind = (int)delta_kit_below(&dice, KINDS);
    size_t dimension = 1 + delta_kit_below(&dice, delta_kit_below(&dice, 8) == 0 ? 700 : 80);
    size_t count = 1 + delta_kit_below(&dice, delta_kit_below(&dice, 20) == 0 ? 256 : 30);
    bool is_mixed = delta_kit_below(&dice, 3) == 0;
    float *asked_values = calloc(2 * dimension + 1, sizeof *asked_values);
    float *row = asked_values + dimension;
    assert_non_null(asked_values);
    delta_kit_fill(&dice, asked_values, dimension, 1);
    if (kind == 6) draw_row(&dice, kind, NULL, asked_values, dimension);
    for (size_t i = 0; i < dimension; i++)
        if (fabsf(asked_values[i]) < 1e-3f) asked_values[i] = 0.5f;
    kh_delta *asked = delta_kit_build(world->db, asked_values, dimension);
    many.deltas[many.count++] = kh_delta_retain(asked);
    while (many.count < count) {
        size_t odd = is_mixed ? delta_kit_below(&dice, 6) : 6;
        draw_row(&dice, kind, asked_values, row, dimension);
        row[dimension] = 1;
        many.deltas[many.count++] =
            odd == 0 ? NULL : delta_kit_build(world->db, row, odd == 1 ? dimension + 1 : dimension);
    }
    struct delta_set *set = create(world, dimension, &many);
    check_thresholds(&dice, set, &many, asked);
    delta_set_destroy(set);
    release(&many);
    kh_delta_release(asked);
    free(asked_values);
}

static void test_search_misses_none(void **state) {
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

/* Of random rows none is near the thresholds: nobody is suspected in vain. A query of another
 * dimension has no cosine with any of them. */
static void test_search_rules_out(void **state) {
    enum { DIMENSION = 384 };
    struct world *world = *state;
    struct delta_dice dice = {3};
    struct many many = {{NULL}, 0};
    float values[DIMENSION + 1];
    while (many.count < DELTA_SET_ROWS) {
        for (size_t i = 0; i < DIMENSION; i++) values[i] = delta_kit_float(&dice);
        many.deltas[many.count++] = delta_kit_build(world->db, values, DIMENSION);
    }
    struct delta_set *set = create(world, DIMENSION, &many);
    const kh_delta *asked = many.deltas[7];
    for (const struct delta_kernel *const *kernel = delta_kernel_all(); *kernel; kernel++) {
        atomic_store(&delta_kernel_chosen, *kernel);
        assert_int_equal(check_search(set, &many, asked, 0, DELTA_SET_ROWS, -0.95f, 0.7f), 0);
        assert_true(check_search(set, &many, asked, 0, DELTA_SET_ROWS, -0.95f, 0.3f) < 4);
    }
    (void)delta_kernel_choose();
    for (size_t i = 0; i < DIMENSION + 1; i++) values[i] = 1;
    kh_delta *longer = delta_kit_build(world->db, values, DIMENSION + 1);
    struct delta_query query;
    struct delta_suspects suspects;
    assert_int_equal(delta_query_init(&query, longer, NULL), KH_OK);
    delta_set_suspects(set, &query, 0, DELTA_SET_ROWS, 1, -1, &suspects);
    for (size_t i = 0; i < DELTA_SET_ROWS; i++) assert_false(has(&suspects, i));
    delta_query_fini(&query);
    kh_delta_release(longer);
    delta_set_destroy(set);
    release(&many);
}

/* What a delta counts more for being searched: a byte a value, and little else. */
static void test_bytes_of_a_row(void **state) {
    (void)state;
    for (size_t dimension = 1; dimension <= 65536; dimension *= 2)
        assert_in_range(delta_set_row_bytes(dimension), dimension,
                        dimension + DELTA_CODE_BLOCK + 15);
}

/* The longest rows: sums of codes at their largest, and the widest margin. */
static void test_longest(void **state) {
    enum { LONGEST = 65536, ROWS = 6 };
    struct world *world = *state;
    struct delta_dice dice = {4};
    struct many many = {{NULL}, 0};
    float *values = calloc(LONGEST, sizeof *values);
    assert_non_null(values);
    for (size_t row = 0; row < ROWS; row++) {
        for (size_t i = 0; i < LONGEST; i++)
            values[i] = row < 2 ? (row == 0 ? 1.0f : -1.0f) : delta_kit_float(&dice) + 0.5f;
        many.deltas[many.count++] = delta_kit_build(world->db, values, LONGEST);
    }
    struct delta_set *set = create(world, LONGEST, &many);
    for (int i = 0; i < 20; i++) check_thresholds(&dice, set, &many, many.deltas[i % ROWS]);
    free(values);
    delta_set_destroy(set);
    release(&many);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_without_memory, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_search_misses_none, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_search_rules_out, open_world, close_world),
        cmocka_unit_test_setup_teardown(test_longest, open_world, close_world),
        cmocka_unit_test(test_bytes_of_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
