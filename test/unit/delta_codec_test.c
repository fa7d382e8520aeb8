/* delta_codec_test.c - deltas as bytes: each byte where it is promised, there and back, and nothing
 * accepted but what was given. */
#include "txn/delta_codec.h"

#include "support/delta_kit.h"

static kh_status decode(const void *bytes, size_t size_bytes, kh_delta **out) {
    /* A block of its own size: the sanitizer sees a byte too far. */
    void *copy = malloc(size_bytes > 0 ? size_bytes : 1);
    kh_error error = {""};
    assert_non_null(copy);
    memcpy(copy, bytes, size_bytes);
    *out = NULL;
    kh_status status = kh_delta_decode(NULL, (kh_bytes){copy, size_bytes}, out, &error);
    assert_int_equal(status == KH_OK, error.message[0] == '\0');
    assert_int_equal(status == KH_OK, *out != NULL);
    free(copy);
    return status;
}

static const unsigned char dense[] = {
    1, 1, 0,    0,    3, 0,   0, 0, 2, 0, 0, 0,    2, 0, 0, 0, /* counts: 3, 2, 2 keys */
    9, 0, 0,    0,    0, 0,   0, 0, 8, 7, 0, 0,    0, 0, 0, 0, /* 9, 0x0708 */
    0, 0, 0x80, 0x3f, 0, 0,   0, 0, 0, 0, 0, 0xc0,             /* 1, 0, -2 */
    1, 0, 'a',  2,    0, 'a', 0};                              /* "a", "a\0" */
static const unsigned char sparse[] = {
    1, 2, 0, 0, 0,   1, 0, 0, 2, 0, 0,    0,    0, 0, 0, 0,     /* 256, 2, no keys */
    0, 0, 0, 0, 0,   0, 0, 0, 0, 0, 0,    0,    0, 0, 0, 0,     /* no transaction */
    3, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}; /* 3: 1, 255: -2 */

static void test_each_byte(void **state) {
    static const struct {
        const unsigned char *bytes;
        size_t size_bytes;
    } table[] = {{dense, sizeof dense}, {sparse, sizeof sparse}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        kh_delta *delta;
        kh_bytes again;
        assert_int_equal(decode(table[i].bytes, table[i].size_bytes, &delta), KH_OK);
        assert_int_equal(kh_delta_dimension(delta), i == 0 ? 3 : 256);
        assert_int_equal(kh_delta_filled(delta), 2);
        assert_int_equal(kh_delta_key_count(delta), i == 0 ? 2 : 0);
        assert_int_equal(kh_delta_txn(delta).high, i == 0 ? 9 : 0);
        assert_int_equal(kh_delta_txn(delta).low, i == 0 ? 0x0708 : 0);
        assert_true(kh_delta_magnitude(delta) == sqrtf(5));
        assert_int_equal(kh_delta_encode(delta, &again, NULL), KH_OK);
        assert_int_equal(again.size_bytes, table[i].size_bytes);
        assert_int_equal(delta_codec_bytes(delta), table[i].size_bytes);
        assert_memory_equal(again.data, table[i].bytes, again.size_bytes);
        kh_bytes_free(again);
        kh_delta_release(delta);
    }
}

/* Every field that is wrong, by itself. */
static void test_what_is_refused(void **state) {
    static const struct {
        const unsigned char *bytes;
        size_t size_bytes, at;
        unsigned char byte;
        kh_status status;
    } table[] = {
        {dense, sizeof dense, 0, 0, KH_CORRUPT},     {dense, sizeof dense, 0, 2, KH_UNSUPPORTED},
        {dense, sizeof dense, 1, 0, KH_CORRUPT},     {dense, sizeof dense, 1, 3, KH_CORRUPT},
        {dense, sizeof dense, 1, 2, KH_CORRUPT},     {sparse, sizeof sparse, 1, 1, KH_CORRUPT},
        {dense, sizeof dense, 2, 1, KH_CORRUPT},     {dense, sizeof dense, 3, 1, KH_CORRUPT},
        {dense, sizeof dense, 4, 0, KH_CORRUPT},     {dense, sizeof dense, 6, 2, KH_TOO_BIG},
        {dense, sizeof dense, 8, 1, KH_CORRUPT},     {dense, sizeof dense, 8, 3, KH_CORRUPT},
        {dense, sizeof dense, 8, 4, KH_CORRUPT},     {dense, sizeof dense, 12, 1, KH_CORRUPT},
        {dense, sizeof dense, 12, 3, KH_CORRUPT},    {dense, sizeof dense, 15, 255, KH_CORRUPT},
        {dense, sizeof dense, 39, 0x80, KH_CORRUPT}, /* -0 */
        {dense, sizeof dense, 43, 0x7f, KH_CORRUPT}, /* beyond 1e16 */
        {dense, sizeof dense, 43, 0x10, KH_CORRUPT}, /* below 1e-6 */
        {dense, sizeof dense, 44, 0, KH_CORRUPT},    {dense, sizeof dense, 44, 9, KH_CORRUPT},
        {dense, sizeof dense, 46, 'b', KH_CORRUPT},  {dense, sizeof dense, 47, 1, KH_CORRUPT},
        {dense, sizeof dense, 47, 3, KH_CORRUPT},    {sparse, sizeof sparse, 32, 255, KH_CORRUPT},
        {sparse, sizeof sparse, 37, 1, KH_CORRUPT},  {sparse, sizeof sparse, 43, 0, KH_CORRUPT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        unsigned char bytes[sizeof dense + sizeof sparse];
        kh_delta *delta;
        memcpy(bytes, table[i].bytes, table[i].size_bytes);
        assert_int_not_equal(bytes[table[i].at], table[i].byte);
        bytes[table[i].at] = table[i].byte;
        assert_int_equal(decode(bytes, table[i].size_bytes, &delta), table[i].status);
    }
    kh_delta *delta = NULL;
    assert_int_equal(kh_delta_decode(NULL, (kh_bytes){NULL, 0}, &delta, NULL), KH_CORRUPT);
    assert_int_equal(kh_delta_decode(NULL, (kh_bytes){dense, sizeof dense}, NULL, NULL),
                     KH_INVALID);
}

static kh_delta *draw_delta(struct delta_dice *dice) {
    static const char *const keys[] = {"x", "longer", "a", "bb", "another key of some length"};
    size_t dimension = 1 + delta_kit_below(dice, 200);
    float *values = calloc(dimension, sizeof *values);
    delta_kit_fill(dice, values, dimension, 1 + delta_kit_below(dice, 9));
    kh_delta *delta = delta_kit_build_keys(NULL, values, dimension, keys, delta_kit_below(dice, 6));
    free(values);
    return delta;
}

static void test_there_and_back(void **state) {
    struct delta_dice dice = {1};
    (void)state;
    for (int round = 0; round < 1000; round++) {
        kh_delta *delta = draw_delta(&dice);
        kh_delta *back;
        kh_bytes bytes;
        float cosine;
        assert_int_equal(kh_delta_encode(delta, &bytes, NULL), KH_OK);
        assert_int_equal(decode(bytes.data, bytes.size_bytes, &back), KH_OK);
        delta_kit_assert_equal(delta, back);
        assert_same_float(kh_delta_magnitude(delta), kh_delta_magnitude(back));
        assert_int_equal(kh_delta_shared_keys(delta, back), kh_delta_key_count(delta));
        assert_int_equal(kh_delta_cosine(delta, back, &cosine), KH_OK);
        kh_bytes_free(bytes);
        kh_delta_release(delta);
        kh_delta_release(back);
    }
}

/* Cut short, made longer, and with bytes turned: an error, or a delta of exactly those bytes. */
static void test_hostile_bytes(void **state) {
    struct delta_dice dice = {2};
    unsigned accepted = 0;
    (void)state;
    for (int round = 0; round < 3000; round++) {
        kh_delta *delta = draw_delta(&dice);
        kh_delta *back;
        kh_bytes bytes;
        assert_int_equal(kh_delta_encode(delta, &bytes, NULL), KH_OK);
        size_t cut = delta_kit_below(&dice, bytes.size_bytes);
        assert_int_not_equal(decode(bytes.data, cut, &back), KH_OK);
        /* kh_bytes_free counts on a byte behind the end. */
        assert_int_not_equal(decode(bytes.data, bytes.size_bytes + 1, &back), KH_OK);
        unsigned char *turned = malloc(bytes.size_bytes);
        memcpy(turned, bytes.data, bytes.size_bytes);
        for (size_t i = 1 + delta_kit_below(&dice, 3); i > 0; i--) {
            size_t at = delta_kit_below(&dice, i % 2 == 0 ? 32 : bytes.size_bytes);
            if (at < bytes.size_bytes)
                turned[at] ^= (unsigned char)(1u << delta_kit_below(&dice, 8));
        }
        if (decode(turned, bytes.size_bytes, &back) == KH_OK) {
            kh_bytes again;
            assert_int_equal(kh_delta_encode(back, &again, NULL), KH_OK);
            assert_int_equal(again.size_bytes, bytes.size_bytes);
            assert_memory_equal(again.data, turned, again.size_bytes);
            kh_bytes_free(again);
            kh_delta_release(back);
            accepted++;
        }
        free(turned);
        kh_bytes_free(bytes);
        kh_delta_release(delta);
    }
    assert_true(accepted > 0); /* another value, another key */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_byte),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_hostile_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
