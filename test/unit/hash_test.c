/* The hash of bytes: it is XXH3 (records on disk depend on it), and every byte and seed counts. */
#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* From the specification of XXH3, 64 bits: the empty input; and numbers that this library once
 * gave, which checksums of old records hold. */
static void known_inputs_give_known_hashes(void **state) {
    (void)state;
    assert_true(hash_bytes("", 0, 0) == 0x2d06800538d394c2u);
    assert_true(hash_bytes("khonsu", 6, 0) == 0xf1989a9253bb7424u);
    assert_true(hash_bytes("khonsu", 6, 1) == 0xc30f53946aafcc3fu);
    unsigned char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)i;
    assert_true(hash_bytes(bytes, sizeof bytes, 1) == 0x9a113e70c7037c87u);
}

static void every_byte_counts(void **state) {
    (void)state;
    unsigned char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 31);
    for (size_t size_bytes = 1; size_bytes <= sizeof bytes; size_bytes++) {
        uint64_t hash = hash_bytes(bytes, size_bytes, 9);
        assert_true(hash != hash_bytes(bytes, size_bytes - 1, 9));
        assert_true(hash != hash_bytes(bytes, size_bytes, 10));
        for (size_t i = 0; i < size_bytes; i++) {
            bytes[i] ^= 0x40;
            assert_true(hash != hash_bytes(bytes, size_bytes, 9));
            bytes[i] ^= 0x40;
        }
    }
}

static void the_place_does_not_count(void **state) {
    (void)state;
    unsigned char bytes[280];
    unsigned char moved[300];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 7);
    for (size_t offset = 0; offset < 16; offset++) {
        memcpy(moved + offset, bytes, sizeof bytes);
        assert_true(hash_bytes(moved + offset, sizeof bytes, 3) ==
                    hash_bytes(bytes, sizeof bytes, 3));
    }
}

/* Long and short, inlined and not: every byte and every seed. */
static void keyed_hashes_depend_on_all(void **state) {
    (void)state;
    struct hash_secret nine;
    struct hash_secret ten;
    hash_secret_init(&nine, 9);
    hash_secret_init(&ten, 10);
    unsigned char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 31);
    for (size_t size_bytes = 1; size_bytes <= sizeof bytes; size_bytes++) {
        uint64_t hash = hash_keyed(&nine, bytes, size_bytes);
        assert_true(hash == hash_keyed_any(&nine, bytes, size_bytes));
        assert_true(hash != hash_keyed(&ten, bytes, size_bytes));
        for (size_t i = 0; i < size_bytes; i++) {
            bytes[i] ^= 0x40;
            assert_true(hash != hash_keyed(&nine, bytes, size_bytes));
            bytes[i] ^= 0x40;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_inputs_give_known_hashes),
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(the_place_does_not_count),
        cmocka_unit_test(keyed_hashes_depend_on_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
