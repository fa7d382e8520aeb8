/* SHA-256: the standard's vectors, however the input is split; reuse; memory that fails. */
#include "base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check_hex(const struct digest *digest, const char *hex) {
    char text[2 * DIGEST_BYTES + 1];
    for (int i = 0; i < DIGEST_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", (unsigned)digest->bytes[i]);
    assert_string_equal(text, hex);
}

/* FIPS 180-2, appendix B, its longer sibling of 896 bits, and the million of "a". */
static const struct {
    const char *text;
    size_t times;
    const char *hex;
} vectors[] = {
    {"a", 1, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},
    {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmno"
     "pqrsmnopqrstnopqrstu",
     1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    {"a", 255,
     "b0f3323e7a3cad8ae6778340cc2a17ae0cb31c818df3767cda7c3dd423725e90"}, /* around what is put
                                                                             together first */
    {"a", 256, "02d7160d77e18c6447be80c2e355c7ed4388545271702c50253b0914c65ce5fe"},
    {"a", 257, "e8d95cc2b4bc198c54b40bd214df958afb65f5e73d2c2eafe0593cf5c635c1f0"},
    {"a", 258, "1ebbdab335e054015f0fc17f62770609723d92c640b65ba9974d666c364a3a63"},
    {"a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

static void known_inputs_however_they_are_split(void **state) {
    (void)state;
    struct mem *mem = mem_create(NULL);
    struct digester *digester = digester_create(mem);
    assert_non_null(digester);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        size_t length = strlen(vectors[i].text);
        size_t size_bytes = length * vectors[i].times;
        char *text = malloc(size_bytes);
        assert_non_null(text);
        for (size_t at = 0; at < size_bytes; at++) text[at] = vectors[i].text[at % length];
        size_t splits = size_bytes < 300 ? size_bytes : 3;
        for (size_t split = 1; split <= splits; split++) {
            struct digest digest;
            digest_of(digester, (unsigned char)text[0], (kh_bytes){text + 1, split - 1},
                      (kh_bytes){text + split, size_bytes - split}, &digest);
            check_hex(&digest, vectors[i].hex);
        }
        free(text);
    }
    digester_destroy(digester);
    mem_close(mem);
}

static void a_span_of_no_bytes_may_be_null(void **state) {
    (void)state;
    struct mem *mem = mem_create(NULL);
    struct digester *digester = digester_create(mem);
    struct digest digest;
    digest_of(digester, 'a', (kh_bytes){NULL, 0}, (kh_bytes){NULL, 0}, &digest);
    check_hex(&digest, vectors[0].hex);
    digest_of(digester, 'a', (kh_bytes){NULL, 0}, (kh_bytes){"bc", 2}, &digest);
    check_hex(&digest, vectors[1].hex);
    digester_destroy(digester);
    mem_close(mem);
}

static void the_result_may_replace_an_input(void **state) {
    (void)state;
    struct mem *mem = mem_create(NULL);
    struct digester *digester = digester_create(mem);
    struct digest one = {{1}};
    struct digest other = {{2}};
    kh_bytes first = {one.bytes, DIGEST_BYTES};
    kh_bytes second = {other.bytes, DIGEST_BYTES};
    struct digest expected;
    digest_of(digester, 1, first, second, &expected);
    assert_false(digest_is_equal(&expected, &one));
    digest_of(digester, 1, first, second, &one);
    assert_true(digest_is_equal(&expected, &one));
    digester_destroy(digester);
    mem_close(mem);
}

/* Each bit of a digest counts in a comparison. */
static void equal_is_equal_in_each_bit(void **state) {
    (void)state;
    struct digest one = {{0}};
    struct digest other = {{0}};
    assert_true(digest_is_equal(&one, &other));
    for (int bit = 0; bit < 8 * DIGEST_BYTES; bit++) {
        other.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_false(digest_is_equal(&one, &other));
        other.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
}

static bool is_refused;

static void *allocate(void *context, size_t size_bytes, size_t alignment) {
    (void)context;
    if (is_refused) return NULL;
    return aligned_alloc(alignment, (size_bytes + alignment - 1) / alignment * alignment);
}

static void give_back(void *context, void *block, size_t size_bytes) {
    (void)context;
    (void)size_bytes;
    free(block);
}

static void without_memory_there_is_none(void **state) {
    (void)state;
    struct mem_hooks hooks = {allocate, give_back, NULL};
    struct mem *mem = mem_create(&hooks);
    is_refused = true;
    assert_null(digester_create(mem));
    is_refused = false;
    digester_destroy(NULL);
    struct digester *digester = digester_create(mem);
    assert_non_null(digester);
    digester_destroy(digester);
    assert_int_equal(mem_live_bytes(mem), 0);
    mem_close(mem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_inputs_however_they_are_split),
        cmocka_unit_test(a_span_of_no_bytes_may_be_null),
        cmocka_unit_test(the_result_may_replace_an_input),
        cmocka_unit_test(equal_is_equal_in_each_bit),
        cmocka_unit_test(without_memory_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
