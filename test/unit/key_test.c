/* key_test.c - equality and first difference of keys of all small lengths, byte by byte. */
#include "store/key.h"

#include "support/index_kit.h"

static void test_each_length(void **state) {
    (void)state;
    unsigned char a[200], b[200];
    for (size_t size = 0; size < 150; size++) {
        for (size_t i = 0; i < sizeof a; i++) a[i] = b[i] = (unsigned char)(i * 7);
        a[size] = 1; /* behind the key */
        b[size] = 2;
        assert_true(key_is_equal(a, b, size));
        assert_int_equal(key_mismatch((kh_bytes){a, size}, (kh_bytes){b, size}), size);
        assert_int_equal(key_mismatch((kh_bytes){a, size + 40}, (kh_bytes){b, size}), size);
        assert_int_equal(key_mismatch((kh_bytes){a, size}, (kh_bytes){b, size + 3}), size);
        for (size_t at = 0; at < size; at++) {
            b[at] ^= 0x80;
            assert_false(key_is_equal(a, b, size));
            assert_int_equal(key_mismatch((kh_bytes){a, size}, (kh_bytes){b, size}), at);
            b[at] ^= 0x80;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_length)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
