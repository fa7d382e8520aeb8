/* ids_test.c - which columns can be ids, their bytes, and their words in messages. */
#include "batch/ids.h"
#include "support/rows_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static kh_status open_ids(const kh_batch *batch, struct arena *arena, const char *name,
                          struct ids *ids) {
    struct column *root = arena_alloc(arena, sizeof *root);
    assert_non_null(root);
    assert_int_equal(column_view(batch, arena, root, NULL), KH_OK);
    kh_error error = {""};
    kh_status status = ids_open(root, name, ids, &error);
    assert_int_equal(status == KH_OK, error.message[0] == '\0');
    return status;
}

static kh_status try_type(const char *type, bool has_nulls, uint64_t seed) {
    struct arena arena;
    struct ids ids;
    struct foreign_random random = {seed, true, has_nulls};
    arena_init(&arena, mem_process(), NULL);
    kh_batch *batch = rows_kit_batch(NULL, type, "l", NULL, 40, &random);
    kh_status status = open_ids(batch, &arena, "id", &ids);
    kh_batch_release(batch);
    arena_fini(&arena);
    return status;
}

static void test_types(void **state) {
    static const char *const good[] = {
        "c", "C", "s", "S", "i", "I", "l", "L", "u", "z", "U", "Z", "vu", "vz", "w:3", "w:0",
        "d:7,2,32", "d:17,0,64", "d:38,10", "d:76,-3,256", "tdD", "tdm", "tts", "ttm", "ttu",
        "ttn", "tss:", "tsn:UTC", "tDs", "tDn", "c{u}", "C{l}", "s{vu}", "I{d:9,2}"};
    static const char *const bad[] = {"n",     "b",       "e",         "f",       "g",
                                      "tiM",   "tiD",     "tin",       "+l[l]",   "+L[u]",
                                      "+w:3[s]", "+s[l;u]", "+us:3,7[l;u]", "+r[!i;l]", "i{g}",
                                      "i{+l[u]}", "+vl[u]", "i{b}"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char type[32];
        (void)snprintf(type, sizeof type, "!%s", good[i]);
        if (try_type(type, false, 11) != KH_OK)
            fail_msg("%s", type);
        /* Some seeds give no nulls. */
        uint64_t seed = 0;
        while (seed < 20 && try_type(good[i], true, seed) == KH_OK)
            seed++;
        if (try_type(good[i], true, seed) != KH_NULL_ID)
            fail_msg("%s with nulls", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(try_type(bad[i], false, 11), KH_NO_ID_COLUMN);
    assert_int_equal(foreign_live, 0);
}

static void test_missing(void **state) {
    int64_t numbers[] = {1, 2};
    struct arena arena;
    struct ids ids;
    (void)state;
    arena_init(&arena, mem_process(), NULL);
    kh_batch *batch = rows_kit_ids(NULL, numbers, 2);
    assert_int_equal(open_ids(batch, &arena, "key", &ids), KH_NO_ID_COLUMN);
    assert_int_equal(open_ids(batch, &arena, "id", &ids), KH_OK);
    assert_int_equal(ids.row_count, 2);
    assert_int_equal(ids_at(&ids, 1).size_bytes, 8);
    assert_int_equal(*(const uint8_t *)ids_at(&ids, 1).data, 2);
    kh_batch_release(batch);
    arena_fini(&arena);
}

static void test_words(void **state) {
    int64_t numbers[] = {-5, INT64_MIN, INT64_MAX};
    struct arena arena;
    struct ids ids;
    (void)state;
    arena_init(&arena, mem_process(), NULL);
    kh_batch *batch = rows_kit_ids(NULL, numbers, 3);
    assert_int_equal(open_ids(batch, &arena, "id", &ids), KH_OK);
    assert_string_equal(ids_describe(&ids, 0).text, "-5");
    assert_string_equal(ids_describe(&ids, 1).text, "-9223372036854775808");
    kh_batch_release(batch);

    struct foreign_random random = {3, false, false};
    batch = rows_kit_batch(NULL, "!L", "l", numbers, 3, &random);
    assert_int_equal(open_ids(batch, &arena, "id", &ids), KH_OK);
    assert_string_equal(ids_describe(&ids, 0).text, "18446744073709551611");
    kh_batch_release(batch);

    static const char *const types[] = {"!u", "!vz", "!w:16", "!d:76,-3,256", "!c{u}"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        batch = rows_kit_batch(NULL, types[i], "l", NULL, 30, &random);
        assert_int_equal(open_ids(batch, &arena, "id", &ids), KH_OK);
        for (int64_t row = 0; row < 30; row++)
            assert_true(strlen(ids_describe(&ids, row).text) < sizeof(struct ids_text));
        kh_batch_release(batch);
    }
    arena_fini(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
