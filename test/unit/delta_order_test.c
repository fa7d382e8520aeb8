/* delta_order_test.c - the order to merge in, beside the rule of khonsu/workspace.h played step by
 * step with nothing remembered. */
#include "khonsu/workspace.h"

#include "support/delta_kit.h"

enum { MOST = 12, DIMENSIONS = 3, ROUNDS = 400 };

static float likeness(const kh_delta *a, const kh_delta *b) {
    float cosine = 0;
    (void)!kh_delta_cosine(a, b, &cosine);
    return fabsf(cosine);
}

/* The greatest one with those that are taken, or, when `taken` is NULL, with all others. */
static float worst_of(kh_delta *const *deltas, size_t count, const bool *taken, size_t which) {
    float worst = 0;
    for (size_t i = 0; i < count; i++)
        if (i != which && (taken == NULL || taken[i]))
            worst = fmaxf(worst, likeness(deltas[i], deltas[which]));
    return worst;
}

static size_t choose(kh_delta *const *deltas, size_t count, const bool *taken, bool is_first) {
    size_t best = SIZE_MAX;
    float least = INFINITY;
    for (size_t i = 0; i < count; i++) {
        float worst = worst_of(deltas, count, is_first ? NULL : taken, i);
        if (taken[i] || worst >= least) continue;
        least = worst;
        best = i;
    }
    return best;
}

/* Directions on a coarse grid: many are as like as others. */
static kh_delta *draw(struct delta_dice *dice) {
    float values[DIMENSIONS];
    for (int i = 0; i < DIMENSIONS; i++) values[i] = (float)delta_kit_below(dice, 5) - 2;
    return delta_kit_build(NULL, values, DIMENSIONS);
}

static void test_the_rule(void **state) {
    (void)state;
    struct delta_dice dice = {7};
    for (int round = 0; round < ROUNDS; round++) {
        kh_delta *deltas[MOST];
        size_t order[MOST + 1] = {99};
        bool taken[MOST] = {false};
        size_t count = 1 + delta_kit_below(&dice, MOST);
        for (size_t i = 0; i < count; i++) deltas[i] = draw(&dice);
        order[count] = 77; /* not to be written */
        assert_int_equal(kh_delta_merge_order((const kh_delta *const *)deltas, count, order, NULL),
                         KH_OK);
        assert_int_equal(order[count], 77);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(order[i], choose(deltas, count, taken, i == 0));
            taken[order[i]] = true;
        }
        for (size_t i = 0; i < count; i++) kh_delta_release(deltas[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_rule)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
