/* delta_classify_test.c - the table of classes: each line with the lines before it, at its
 * threshold and beside it; total and symmetric over all pairs; and all pairs of a batch. */
#include "txn/delta.h"

#include "support/delta_kit.h"

static const char *const same_keys[] = {"a", "b"};
static const char *const one_shared[] = {"b", "c"};
static const char *const other_keys[] = {"x", "y"};

static bool is_absent(const kh_delta *delta) {
    return delta == NULL || kh_delta_filled(delta) == 0;
}

static bool is_same(const kh_delta *a, const kh_delta *b) {
    size_t shared = kh_delta_shared_keys(a, b);
    return shared == kh_delta_key_count(a) && shared == kh_delta_key_count(b);
}

static bool is_overlapping(const kh_delta *a, const kh_delta *b, float from) {
    float jaccard;
    assert_int_equal(kh_delta_jaccard(a, b, &jaccard), KH_OK);
    return kh_delta_is_sparse(a) && kh_delta_is_sparse(b) && jaccard >= from;
}

/* The table, written down a second time, from numbers that are taken one by one. */
static kh_delta_class expect(const kh_delta *a, const kh_delta *b, const kh_delta_thresholds *t) {
    float s;
    if (is_absent(a) || is_absent(b)) return KH_DELTA_NONE;
    if (kh_delta_cosine(a, b, &s) != KH_OK) return KH_DELTA_NONE;
    if (s > -t->orthogonal && s < t->orthogonal) return KH_DELTA_ORTHOGONAL;
    if (is_same(a, b) && s >= t->identical) return KH_DELTA_IDENTICAL;
    if (s <= t->opposite) return KH_DELTA_OPPOSITE;
    if (s >= t->conflicting) return KH_DELTA_CONFLICTING;
    if (is_overlapping(a, b, t->jaccard)) return KH_DELTA_CONFLICTING;
    return kh_delta_has_shared_keys(a, b) ? KH_DELTA_AMBIGUOUS : KH_DELTA_LOW_CONFLICT;
}

static const kh_delta_thresholds defaults = KH_DELTA_THRESHOLDS_INIT;

/* Whatever its hash: a key that both have is found. */
static void test_any_key_is_shared(void **state) {
    (void)state;
    const float one[2] = {1, 0};
    const float other[2] = {0.5f, 0.866f};
    for (int i = 0; i < 1000; i++) {
        char text[16];
        const char *const key = text;
        (void)snprintf(text, sizeof text, "key-%d", i);
        kh_delta *a = delta_kit_build_keys(NULL, one, 2, &key, 1);
        kh_delta *b = delta_kit_build_keys(NULL, other, 2, &key, 1);
        assert_int_equal(kh_delta_classify(a, b, NULL, NULL), KH_DELTA_AMBIGUOUS);
        kh_delta_release(a);
        kh_delta_release(b);
    }
}

/* Unit vectors in a plane: the cosine is the first value of the second. Of `dimension` 2 they are
 * dense, of more sparse. */
static kh_delta_class at_cosine(float cosine, size_t dimension, const char *const *keys) {
    float values[64] = {1};
    float s;
    kh_delta *a = delta_kit_build_keys(NULL, values, dimension, same_keys, 2);
    values[0] = cosine;
    values[1] = sqrtf(1 - cosine * cosine);
    kh_delta *b = delta_kit_build_keys(NULL, values, dimension, keys, 2);
    kh_delta_class kind = kh_delta_classify(a, b, NULL, &s);
    assert_true(fabsf(s - cosine) < 1e-6f);
    assert_int_equal(kh_delta_classify(b, a, NULL, NULL), kind);
    assert_int_equal(kind, expect(a, b, &defaults));
    kh_delta_release(a);
    kh_delta_release(b);
    return kind;
}

static void test_each_line(void **state) {
    static const struct {
        float cosine;
        kh_delta_class same, shared, other; /* keys: the same two, one of them, others */
    } table[] = {
        {1, KH_DELTA_IDENTICAL, KH_DELTA_CONFLICTING, KH_DELTA_CONFLICTING},
        {0.9901f, KH_DELTA_IDENTICAL, KH_DELTA_CONFLICTING, KH_DELTA_CONFLICTING},
        {0.9899f, KH_DELTA_CONFLICTING, KH_DELTA_CONFLICTING, KH_DELTA_CONFLICTING},
        {0.7001f, KH_DELTA_CONFLICTING, KH_DELTA_CONFLICTING, KH_DELTA_CONFLICTING},
        {0.6999f, KH_DELTA_AMBIGUOUS, KH_DELTA_AMBIGUOUS, KH_DELTA_LOW_CONFLICT},
        {0.1001f, KH_DELTA_AMBIGUOUS, KH_DELTA_AMBIGUOUS, KH_DELTA_LOW_CONFLICT},
        {0.0999f, KH_DELTA_ORTHOGONAL, KH_DELTA_ORTHOGONAL, KH_DELTA_ORTHOGONAL},
        {0, KH_DELTA_ORTHOGONAL, KH_DELTA_ORTHOGONAL, KH_DELTA_ORTHOGONAL},
        {-0.0999f, KH_DELTA_ORTHOGONAL, KH_DELTA_ORTHOGONAL, KH_DELTA_ORTHOGONAL},
        {-0.1001f, KH_DELTA_AMBIGUOUS, KH_DELTA_AMBIGUOUS, KH_DELTA_LOW_CONFLICT},
        {-0.9499f, KH_DELTA_AMBIGUOUS, KH_DELTA_AMBIGUOUS, KH_DELTA_LOW_CONFLICT},
        {-0.9501f, KH_DELTA_OPPOSITE, KH_DELTA_OPPOSITE, KH_DELTA_OPPOSITE},
        {-1, KH_DELTA_OPPOSITE, KH_DELTA_OPPOSITE, KH_DELTA_OPPOSITE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(at_cosine(table[i].cosine, 2, same_keys), table[i].same);
        assert_int_equal(at_cosine(table[i].cosine, 2, one_shared), table[i].shared);
        assert_int_equal(at_cosine(table[i].cosine, 2, other_keys), table[i].other);
    }
    /* Both sparse, of positions {0} and {0, 1}: half of them in common. */
    assert_int_equal(at_cosine(0.3f, 64, same_keys), KH_DELTA_CONFLICTING);
    assert_int_equal(at_cosine(-0.3f, 64, other_keys), KH_DELTA_CONFLICTING);
    assert_int_equal(at_cosine(0.05f, 64, same_keys), KH_DELTA_ORTHOGONAL);
    assert_int_equal(at_cosine(-0.97f, 64, same_keys), KH_DELTA_OPPOSITE);
}

/* A threshold that is met exactly counts, but for the first, which must not be. */
static void test_exactly_at(void **state) {
    kh_delta_thresholds t = KH_DELTA_THRESHOLDS_INIT;
    static const float x[] = {3, 4};
    static const float y[] = {4, 3};
    static const float z[] = {-4, -3};
    float s;
    (void)state;
    kh_delta *a = delta_kit_build_keys(NULL, x, 2, same_keys, 2);
    kh_delta *b = delta_kit_build_keys(NULL, y, 2, same_keys, 2);
    kh_delta *c = delta_kit_build_keys(NULL, z, 2, same_keys, 2);
    (void)kh_delta_classify(a, b, NULL, &s);
    assert_true(s == 0.96f);
    t.conflicting = s;
    assert_int_equal(kh_delta_classify(a, b, &t, NULL), KH_DELTA_CONFLICTING);
    t.conflicting = nextafterf(s, 2);
    assert_int_equal(kh_delta_classify(a, b, &t, NULL), KH_DELTA_AMBIGUOUS);
    t.identical = s;
    assert_int_equal(kh_delta_classify(a, b, &t, NULL), KH_DELTA_IDENTICAL);
    t.opposite = -s;
    assert_int_equal(kh_delta_classify(a, c, &t, NULL), KH_DELTA_OPPOSITE);
    t.opposite = nextafterf(-s, -2);
    assert_int_equal(kh_delta_classify(a, c, &t, NULL), KH_DELTA_AMBIGUOUS);
    t.orthogonal = s;
    assert_int_equal(kh_delta_classify(a, c, &t, NULL), KH_DELTA_AMBIGUOUS);
    t.orthogonal = nextafterf(s, 2);
    assert_int_equal(kh_delta_classify(a, c, &t, NULL), KH_DELTA_ORTHOGONAL);
    assert_int_equal(kh_delta_classify(a, b, &t, NULL), KH_DELTA_ORTHOGONAL);
    kh_delta_release(a);
    kh_delta_release(b);
    kh_delta_release(c);
}

static void test_none(void **state) {
    static const float zeros[4] = {0};
    static const float ones[] = {1, 1, 1, 1};
    (void)state;
    kh_delta *zero = delta_kit_build_keys(NULL, zeros, 4, same_keys, 2);
    kh_delta *a = delta_kit_build_keys(NULL, ones, 4, same_keys, 2);
    kh_delta *shorter = delta_kit_build_keys(NULL, ones, 3, same_keys, 2);
    const kh_delta *const pairs[][2] = {{NULL, NULL}, {NULL, a},    {zero, a},
                                        {zero, zero}, {NULL, zero}, {a, shorter}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        float s = 42;
        assert_int_equal(kh_delta_classify(pairs[i][0], pairs[i][1], NULL, &s), KH_DELTA_NONE);
        assert_same_float(s, 0);
        assert_int_equal(kh_delta_classify(pairs[i][1], pairs[i][0], NULL, NULL), KH_DELTA_NONE);
    }
    kh_delta_release(zero);
    kh_delta_release(a);
    kh_delta_release(shorter);
}

/* Deltas of a few directions, so that every class comes up, of all forms (seven or eight of 80 are
 * filled in the sparse directions) and of two dimensions. */
enum { BATCH = 40 };
static void draw_batch(struct delta_dice *dice, kh_delta *deltas[BATCH]) {
    static const char *const keys[] = {"a", "b", "c", "d", "e"};
    float directions[4][80];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 80; j++)
            directions[i][j] =
                i % 2 == 0 || (j % 10 == i && j < 60 + 10 * i) ? delta_kit_float(dice) : 0;
    for (int i = 0; i < BATCH; i++) {
        const float *direction = directions[delta_kit_below(dice, 4)];
        float values[80] = {0};
        float noise = (float)delta_kit_below(dice, 3) * 0.2f;
        float factor = delta_kit_float(dice) * 4;
        for (int j = 0; j < 80; j++)
            if (direction[j] != 0)
                values[j] = (direction[j] + noise * delta_kit_float(dice)) * factor;
        size_t dimension = delta_kit_below(dice, 10) == 0 ? 70 : 80;
        if (delta_kit_below(dice, 20) == 0) memset(values, 0, sizeof values);
        deltas[i] = NULL;
        if (delta_kit_below(dice, 20) == 0) continue;
        deltas[i] = delta_kit_build_keys(NULL, values, dimension, keys + delta_kit_below(dice, 3),
                                         delta_kit_below(dice, 3));
    }
}

struct pairs {
    kh_delta *deltas[BATCH];
    const kh_delta_thresholds *thresholds;
    size_t i, j; /* of the last pair */
    size_t count;
    size_t stop_at;
    unsigned seen[7];
};

static bool check_pair(void *context, size_t i, size_t j, kh_delta_class kind, float cosine) {
    struct pairs *pairs = context;
    float s;
    assert_true(i < j && j < BATCH);
    assert_true(pairs->count == 0 || i > pairs->i || (i == pairs->i && j == pairs->j + 1));
    const kh_delta *a = pairs->deltas[i];
    const kh_delta *b = pairs->deltas[j];
    assert_int_equal(kind, expect(a, b, pairs->thresholds));
    assert_int_equal(kh_delta_classify(a, b, pairs->thresholds, &s), kind);
    assert_same_float(s, cosine);
    assert_int_equal(kh_delta_classify(b, a, pairs->thresholds, &s), kind);
    assert_same_float(s, cosine);
    pairs->i = i;
    pairs->j = j;
    pairs->seen[kind]++;
    return ++pairs->count != pairs->stop_at;
}

static void test_all_pairs(void **state) {
    struct delta_dice dice = {1};
    unsigned seen[7] = {0};
    const struct delta_kernel *const *kernels = delta_kernel_all();
    int kernel_count = 0;
    (void)state;
    while (kernels[kernel_count] != NULL) kernel_count++;
    for (int round = 0; round < 60; round++) {
        atomic_store(&delta_kernel_chosen, kernels[round / 3 % kernel_count]);
        struct pairs pairs = {.thresholds = &defaults};
        kh_delta_thresholds drawn = {sizeof drawn,           fabsf(delta_kit_float(&dice)),
                                     delta_kit_float(&dice), delta_kit_float(&dice),
                                     delta_kit_float(&dice), fabsf(delta_kit_float(&dice))};
        if (round % 3 == 1) drawn.conflicting = drawn.opposite = NAN;
        if (round % 3 != 0) pairs.thresholds = &drawn;
        draw_batch(&dice, pairs.deltas);
        assert_true(kh_delta_classify_all((const kh_delta *const *)pairs.deltas, BATCH,
                                          pairs.thresholds, check_pair, &pairs));
        assert_int_equal(pairs.count, BATCH * (BATCH - 1) / 2);
        pairs.count = 0;
        pairs.stop_at = 17;
        assert_false(kh_delta_classify_all((const kh_delta *const *)pairs.deltas, BATCH,
                                           pairs.thresholds, check_pair, &pairs));
        assert_int_equal(pairs.count, 17);
        for (int kind = 0; kind < 7; kind++) seen[kind] += pairs.seen[kind];
        for (int i = 0; i < BATCH; i++) kh_delta_release(pairs.deltas[i]);
    }
    for (int kind = 0; kind < 7; kind++) {
        print_message("%s: %u\n", kh_delta_class_name((kh_delta_class)kind), seen[kind]);
        assert_true(seen[kind] > 100);
    }
    assert_true(kh_delta_classify_all(NULL, 0, NULL, check_pair, NULL));
    (void)delta_kernel_choose();
}

static void test_names(void **state) {
    (void)state;
    static const char *const names[] = {"none",        "orthogonal", "identical",   "opposite",
                                        "conflicting", "ambiguous",  "low conflict"};
    for (int kind = KH_DELTA_NONE; kind <= KH_DELTA_LOW_CONFLICT; kind++)
        assert_string_equal(kh_delta_class_name((kh_delta_class)kind), names[kind]);
    assert_string_equal(kh_delta_class_name((kh_delta_class)77), "?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_line),  cmocka_unit_test(test_any_key_is_shared),
        cmocka_unit_test(test_exactly_at), cmocka_unit_test(test_none),
        cmocka_unit_test(test_all_pairs),  cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
