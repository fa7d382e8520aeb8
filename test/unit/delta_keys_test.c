/* delta_keys_test.c - keys of deltas: sorted, each once, and what two share, against a plain count.
 */
#include "txn/delta_keys.h"

#include "base/limits.h"
#include "support/delta_kit.h"
#include "txn/delta.h"

static kh_delta *with_keys(const kh_bytes *keys, size_t count) {
    static const float value = 1;
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    kh_delta *delta = NULL;
    options.keys = keys;
    options.key_count = count;
    assert_int_equal(kh_delta_build(NULL, (kh_floats){&value, 1}, &options, &delta, NULL), KH_OK);
    return delta;
}

static bool is_same_key(kh_bytes a, kh_bytes b) {
    return a.size_bytes == b.size_bytes && memcmp(a.data, b.data, a.size_bytes) == 0;
}

static int compare(kh_bytes a, kh_bytes b) {
    size_t shorter = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    int order = memcmp(a.data, b.data, shorter);
    if (order != 0) return order;
    return a.size_bytes < b.size_bytes ? -1 : a.size_bytes > b.size_bytes;
}

static void test_as_many_as_there_may_be(void **state) {
    struct delta_key_list list;
    (void)state;
    assert_int_equal(delta_keys_init(&list, mem_process(), LIMIT_DELTA_KEYS, NULL), KH_OK);
    assert_int_equal(list.capacity, LIMIT_DELTA_KEYS);
    delta_keys_fini(&list);
    size_t more = (size_t)LIMIT_DELTA_KEYS + 1;
    assert_int_equal(delta_keys_init(&list, mem_process(), more, NULL), KH_TOO_BIG);
}

static void test_lengths(void **state) {
    static const float value = 1;
    char *bytes = malloc(LIMIT_KEY_BYTES + 1);
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    kh_delta *delta = NULL;
    (void)state;
    memset(bytes, 'k', LIMIT_KEY_BYTES + 1);
    kh_bytes bad[] = {{bytes, 0}, {bytes, LIMIT_KEY_BYTES + 1}, {NULL, 3}};
    for (size_t i = 0; i < 3; i++) {
        kh_error error = {""};
        kh_bytes keys[] = {{"good", 4}, bad[i]};
        options.keys = keys;
        options.key_count = 2;
        assert_int_equal(kh_delta_build(NULL, (kh_floats){&value, 1}, &options, &delta, &error),
                         KH_INVALID);
        assert_non_null(strstr(error.message, "key 1"));
    }
    kh_bytes longest = {bytes, LIMIT_KEY_BYTES};
    delta = with_keys(&longest, 1);
    bytes[0] = 'x'; /* the delta has a copy */
    assert_int_equal(kh_delta_key(delta, 0).size_bytes, LIMIT_KEY_BYTES);
    assert_int_equal(*(const char *)kh_delta_key(delta, 0).data, 'k');
    kh_delta_release(delta);
    free(bytes);
}

/* Random keys of a small alphabet, in any order, some twice. */
static size_t draw_keys(struct delta_dice *dice, kh_bytes *keys, char (*bytes)[4], size_t most) {
    size_t count = delta_kit_below(dice, most + 1);
    for (size_t i = 0; i < count; i++) {
        size_t length = 1 + delta_kit_below(dice, 4);
        for (size_t j = 0; j < length; j++)
            bytes[i][j] =
                (char)('a' - 97 * (delta_kit_below(dice, 9) == 0) + (int)delta_kit_below(dice, 3));
        keys[i] = (kh_bytes){bytes[i], length};
    }
    return count;
}

static void check_sorted(const kh_delta *delta, const kh_bytes *keys, size_t count) {
    size_t told = kh_delta_key_count(delta);
    for (size_t i = 1; i < told; i++)
        assert_true(compare(kh_delta_key(delta, i - 1), kh_delta_key(delta, i)) < 0);
    for (size_t i = 0; i < count; i++) {
        size_t found = 0;
        for (size_t j = 0; j < told; j++) found += is_same_key(keys[i], kh_delta_key(delta, j));
        assert_int_equal(found, 1);
    }
    for (size_t j = 0; j < told; j++) {
        bool is_given = false;
        for (size_t i = 0; i < count; i++) is_given |= is_same_key(keys[i], kh_delta_key(delta, j));
        assert_true(is_given);
    }
    assert_null(kh_delta_key(delta, told).data);
}

static void test_against_a_plain_count(void **state) {
    enum { MOST = 40 };
    struct delta_dice dice = {1};
    (void)state;
    for (int round = 0; round < 3000; round++) {
        kh_bytes keys[2][MOST];
        char bytes[2][MOST][4];
        kh_delta *deltas[2];
        size_t most = round % 3 == 0 ? 4 : MOST;
        size_t shared = 0;
        for (int side = 0; side < 2; side++) {
            size_t count = draw_keys(&dice, keys[side], bytes[side], most);
            deltas[side] = with_keys(keys[side], count);
            check_sorted(deltas[side], keys[side], count);
        }
        for (size_t i = 0; i < kh_delta_key_count(deltas[0]); i++)
            for (size_t j = 0; j < kh_delta_key_count(deltas[1]); j++)
                shared += is_same_key(kh_delta_key(deltas[0], i), kh_delta_key(deltas[1], j));
        assert_int_equal(kh_delta_shared_keys(deltas[0], deltas[1]), shared);
        assert_int_equal(kh_delta_shared_keys(deltas[1], deltas[0]), shared);
        assert_int_equal(kh_delta_has_shared_keys(deltas[0], deltas[1]), shared > 0);
        bool is_same =
            shared == kh_delta_key_count(deltas[0]) && shared == kh_delta_key_count(deltas[1]);
        assert_int_equal(delta_keys_is_same(deltas[0], deltas[1]), is_same);
        assert_int_equal(delta_keys_is_same(deltas[1], deltas[0]), is_same);
        kh_delta_release(deltas[0]);
        kh_delta_release(deltas[1]);
    }
}

/* In which order keys are given makes no difference to any byte of the delta. */
static void test_permutations(void **state) {
    struct delta_dice dice = {2};
    (void)state;
    for (int round = 0; round < 500; round++) {
        kh_bytes keys[20];
        char bytes[20][4];
        size_t count = draw_keys(&dice, keys, bytes, 20);
        kh_delta *one = with_keys(keys, count);
        for (size_t i = count; i > 1; i--) {
            size_t j = delta_kit_below(&dice, i);
            kh_bytes swapped = keys[i - 1];
            keys[i - 1] = keys[j];
            keys[j] = swapped;
        }
        kh_delta *other = with_keys(keys, count);
        delta_kit_assert_equal(one, other);
        assert_true(delta_keys_is_same(one, other));
        kh_delta_release(one);
        kh_delta_release(other);
    }
}

static void check_two(const kh_bytes *a, const kh_bytes *b, size_t shared, bool is_same) {
    kh_delta *deltas[] = {with_keys(a, 2), with_keys(b, 2)};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kh_delta_shared_keys(deltas[i], deltas[1 - i]), shared);
        assert_int_equal(kh_delta_has_shared_keys(deltas[i], deltas[1 - i]), shared > 0);
        assert_int_equal(delta_keys_is_same(deltas[i], deltas[1 - i]), is_same);
    }
    kh_delta_release(deltas[0]);
    kh_delta_release(deltas[1]);
}

/* Of every length on both sides of where words are compared, with a difference at every byte. */
static void test_each_byte(void **state) {
    char bytes[2][100];
    (void)state;
    memset(bytes, 'k', sizeof bytes);
    for (size_t length = 1; length < sizeof bytes[0]; length++) {
        kh_bytes a[] = {{"first", 5}, {bytes[0], length}};
        kh_bytes b[] = {{"first", 5}, {bytes[1], length}};
        kh_bytes c[] = {{"other", 5}, {bytes[1], length}};
        check_two(a, b, 2, true);
        check_two(a, c, 1, false);
        for (size_t at = 0; at < length; at++) {
            bytes[1][at] = 'l';
            check_two(a, b, 1, false);
            check_two(a, c, 0, false);
            bytes[1][at] = 'k';
        }
    }
}

/* The same bytes one behind the other, of other keys; the filter of hashes is out of the way. */
static void test_same_bytes_of_other_keys(void **state) {
    static const kh_bytes a[] = {{"ab", 2}, {"c", 1}};
    static const kh_bytes b[] = {{"a", 1}, {"bc", 2}};
    (void)state;
    kh_delta *deltas[] = {with_keys(a, 2), with_keys(b, 2)};
    deltas[0]->key_bits = deltas[1]->key_bits = 1;
    assert_false(delta_keys_is_same(deltas[0], deltas[1]));
    assert_false(delta_keys_meet(deltas[0], deltas[1]));
    kh_delta_release(deltas[0]);
    kh_delta_release(deltas[1]);
}

/* Two keys of one hash are told apart by their bytes. There is no such pair to be had, so the
 * hashes of a delta are written over. */
static void test_equal_hashes(void **state) {
    static const kh_bytes ab[] = {{"a", 1}, {"b", 1}};
    static const kh_bytes bc[] = {{"b", 1}, {"c", 1}};
    static const kh_bytes cd[] = {{"c", 1}, {"d", 1}};
    (void)state;
    kh_delta *deltas[] = {with_keys(ab, 2), with_keys(bc, 2), with_keys(cd, 2)};
    for (int i = 0; i < 3; i++) {
        struct delta_key *keys = (struct delta_key *)(uintptr_t)deltas[i]->keys;
        kh_bytes first = kh_delta_key(deltas[i], 0);
        kh_bytes second = kh_delta_key(deltas[i], 1);
        keys[0] = (struct delta_key){5, first};
        keys[1] = (struct delta_key){5, second};
        deltas[i]->key_bits = 1u << 5;
    }
    assert_int_equal(kh_delta_shared_keys(deltas[0], deltas[1]), 1);
    assert_false(delta_keys_is_same(deltas[0], deltas[1]));
    assert_true(delta_keys_is_same(deltas[0], deltas[0]));
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            assert_int_equal(kh_delta_has_shared_keys(deltas[i], deltas[j]), abs(i - j) < 2);
    for (int i = 0; i < 3; i++) kh_delta_release(deltas[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_many_as_there_may_be),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_against_a_plain_count),
        cmocka_unit_test(test_permutations),
        cmocka_unit_test(test_each_byte),
        cmocka_unit_test(test_same_bytes_of_other_keys),
        cmocka_unit_test(test_equal_hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
