/* delta_test.c - deltas as a program outside sees them: from embeddings before and after, with a
 * database's memory or without one, through bytes, to a class. */
#include "support/kit.h"

static kh_delta *between(kh_db *db, const float *before, const float *after, const char *key) {
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    kh_bytes span = {key, strlen(key)};
    kh_delta *delta = NULL;
    options.keys = &span;
    options.key_count = 1;
    kit_is(
        kh_delta_between(db, (kh_floats){before, 4}, (kh_floats){after, 4}, &options, &delta, NULL),
        KH_OK);
    return delta;
}

static void test_from_embeddings_to_a_class(void **state) {
    static const float before[] = {0.5f, 0.5f, 0.5f, 0.5f};
    static const float warmer[] = {0.75f, 0.5f, 0.5f, 0.25f};
    static const float colder[] = {0.25f, 0.5f, 0.5f, 0.75f};
    static const float longer[] = {0.5f, 0.75f, 0.5f, 0.5f};
    (void)state;
    kh_delta *warm = between(NULL, before, warmer, "notes/1");
    kh_delta *cold = between(NULL, before, colder, "notes/2");
    kh_delta *more = between(NULL, before, longer, "notes/1");
    float cosine;
    assert_int_equal(kh_delta_classify(warm, cold, NULL, &cosine), KH_DELTA_OPPOSITE);
    assert_true(cosine <= -0.9999f);
    assert_int_equal(kh_delta_classify(warm, more, NULL, NULL), KH_DELTA_ORTHOGONAL);
    assert_int_equal(kh_delta_classify(warm, warm, NULL, NULL), KH_DELTA_IDENTICAL);
    assert_int_equal(kh_delta_classify(warm, NULL, NULL, NULL), KH_DELTA_NONE);
    assert_string_equal(kh_delta_class_name(KH_DELTA_OPPOSITE), "opposite");
    kh_delta_release(warm);
    kh_delta_release(cold);
    kh_delta_release(more);
}

/* Made in a database's memory, and read after it was closed. */
static void test_outlives_its_database(void **state) {
    static const float before[] = {0, 0, 0, 0};
    static const float after[] = {3, 0, 4, 0};
    kh_db *db = NULL;
    kh_bytes bytes;
    kh_delta *back = NULL;
    (void)state;
    kit_is(kh_db_open(NULL, &db, NULL), KH_OK);
    kh_delta *delta = between(db, before, after, "accounts/ann");
    kit_is(kh_db_close(db), KH_OK);
    assert_true(kh_delta_magnitude(delta) == 5);
    kit_is(kh_delta_encode(delta, &bytes, NULL), KH_OK);
    kit_is(kh_delta_decode(NULL, bytes, &back, NULL), KH_OK);
    kh_bytes_free(bytes);
    kh_delta_release(delta);
    assert_int_equal(kh_delta_key_count(back), 1);
    assert_memory_equal(kh_delta_key(back, 0).data, "accounts/ann", 12);
    kh_delta_release(back);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_embeddings_to_a_class),
        cmocka_unit_test(test_outlives_its_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
