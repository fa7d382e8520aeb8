/* id_index_test.c - ids found by value, risen or in any order, of each kind of column. */
#include "batch/ids.h"
#include "support/rows_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 60 };

struct side {
    kh_batch *batch;
    struct column root;
    struct ids ids;
};

static void open_side(struct side *side, kh_batch *batch, struct arena *arena) {
    side->batch = batch;
    assert_int_equal(column_view(batch, arena, &side->root, NULL), KH_OK);
    assert_int_equal(ids_open(&side->root, "id", &side->ids, NULL), KH_OK);
}

/* Where the id is, found by looking at each. */
static int64_t seek(const struct ids *in, const struct ids *of, int64_t row) {
    kh_bytes wanted = ids_at(of, row);
    for (int64_t i = 0; i < in->row_count; i++) {
        kh_bytes id = ids_at(in, i);
        if (id.size_bytes == wanted.size_bytes &&
            (id.size_bytes == 0 || memcmp(id.data, wanted.data, id.size_bytes) == 0))
            return i;
    }
    return -1;
}

static bool has_duplicates(const struct ids *ids) {
    for (int64_t row = 0; row < ids->row_count; row++)
        if (seek(ids, ids, row) != row)
            return true;
    return false;
}

static void check(struct side *a, struct side *b, struct arena *arena) {
    struct id_index index;
    kh_error error = {""};
    kh_status status = id_index_build(&index, &a->ids, arena, &error);
    assert_int_equal(status, has_duplicates(&a->ids) ? KH_DUPLICATE_ID : KH_OK);
    if (status != KH_OK) {
        assert_non_null(strstr(error.message, "same id"));
        return;
    }
    for (int64_t row = 0; row < b->ids.row_count; row++)
        assert_int_equal(id_index_find(&index, &b->ids, row), seek(&a->ids, &b->ids, row));
}

static void test_random_ids_of_every_kind(void **state) {
    static const char *const types[] = {"!c", "!S", "!i", "!L", "!u", "!Z", "!vu", "!w:3",
                                        "!d:38,10", "!tdm", "!c{u}", "!S{u}", "!ttn"};
    int unique = 0;
    (void)state;
    for (size_t type = 0; type < sizeof types / sizeof types[0]; type++) {
        for (uint64_t seed = 0; seed < 40; seed++) {
            struct foreign_random random = {seed, seed & 1, false};
            int64_t rows = (int64_t)seed % 7;
            struct arena arena;
            struct side a;
            struct side b;
            arena_init(&arena, mem_process(), NULL);
            open_side(&a, rows_kit_batch(NULL, types[type], "l", NULL, rows, &random), &arena);
            open_side(&b, rows_kit_batch(NULL, types[type], "l", NULL, ROWS, &random), &arena);
            unique += !has_duplicates(&a.ids);
            check(&a, &b, &arena);
            check(&a, &a, &arena);
            check(&b, &a, &arena);
            kh_batch_release(a.batch);
            kh_batch_release(b.batch);
            arena_fini(&arena);
        }
    }
    assert_true(unique > 100);
}

static void test_rising_and_not(void **state) {
    static const char *const types[] = {"!l", "!L", "!tsn:UTC"};
    (void)state;
    for (size_t type = 0; type < sizeof types / sizeof types[0]; type++) {
        for (int64_t swapped = 0; swapped < ROWS; swapped += 7) {
            int64_t ids[ROWS];
            int64_t asked[2 * ROWS + 2];
            struct foreign_random random = {5, true, false};
            struct arena arena;
            struct side a;
            struct side b;
            struct id_index index;
            for (int64_t i = 0; i < ROWS; i++)
                ids[i] = INT64_MIN + i * INT64_C(0x0200000000000001);
            for (int64_t i = 0; i < ROWS; i++) {
                asked[2 * i] = ids[i];
                asked[2 * i + 1] = ids[i] + 1;
            }
            asked[2 * ROWS] = INT64_MAX;
            asked[2 * ROWS + 1] = 0;
            int64_t kept = ids[swapped];
            ids[swapped] = ids[0];
            ids[0] = kept;
            arena_init(&arena, mem_process(), NULL);
            open_side(&a, rows_kit_batch(NULL, types[type], "l", ids, ROWS, &random), &arena);
            open_side(&b, rows_kit_batch(NULL, types[type], "l", asked, 2 * ROWS + 2, &random),
                      &arena);
            check(&a, &b, &arena);
            assert_int_equal(id_index_build(&index, &a.ids, &arena, NULL), KH_OK);
            assert_int_equal(index.slots == NULL, swapped == 0);
            kh_batch_release(a.batch);
            kh_batch_release(b.batch);
            arena_fini(&arena);
        }
    }
}

static void test_a_repeat_ends_the_rise(void **state) {
    int64_t ids[] = {1, 2, 2, 3};
    struct arena arena;
    struct side side;
    struct id_index index;
    kh_error error;
    (void)state;
    arena_init(&arena, mem_process(), NULL);
    open_side(&side, rows_kit_ids(NULL, ids, 4), &arena);
    assert_int_equal(id_index_build(&index, &side.ids, &arena, &error), KH_DUPLICATE_ID);
    assert_string_equal(error.message, "rows 1 and 2 have the same id 2");
    kh_batch_release(side.batch);
    arena_fini(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_ids_of_every_kind),
        cmocka_unit_test(test_rising_and_not),
        cmocka_unit_test(test_a_repeat_ends_the_rise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
