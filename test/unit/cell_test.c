/* cell_test.c - equality and hash of cells of every type, against their values in words. */
#include "batch/cell.h"
#include "support/rows_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 12 };

struct side {
    kh_batch *batch;
    struct column root;
    const struct column *column;
    char *text[ROWS];
};

static void open_side(struct side *side, const char *type, uint64_t seed, struct arena *arena) {
    struct foreign_random random = {seed, seed & 1, true};
    side->batch = rows_kit_batch(NULL, NULL, type, NULL, ROWS, &random);
    assert_int_equal(column_view(side->batch, arena, &side->root, NULL), KH_OK);
    side->column = &side->root.children[1];
    for (int64_t row = 0; row < ROWS; row++)
        side->text[row] = rows_kit_text(side->batch, 1, row);
}

static void close_side(struct side *side) {
    for (int64_t row = 0; row < ROWS; row++)
        free(side->text[row]);
    kh_batch_release(side->batch);
}

static int64_t at(const struct side *side, int64_t row) {
    return side->column->offset + side->root.offset + row;
}

static void compare(const struct side *a, const struct side *b) {
    for (int64_t i = 0; i < ROWS; i++) {
        for (int64_t j = 0; j < ROWS; j++) {
            bool is_same = strcmp(a->text[i], b->text[j]) == 0;
            bool is_equal = cell_equal(a->column, at(a, i), b->column, at(b, j));
            if (is_same != is_equal)
                print_message("%s: %s, %s\n", a->column->field->format, a->text[i], b->text[j]);
            assert_int_equal(is_same, is_equal);
            if (is_same)
                assert_int_equal(cell_hash(a->column, at(a, i), 5),
                                 cell_hash(b->column, at(b, j), 5));
        }
        assert_int_equal(cell_is_null(a->column, at(a, i)), strcmp(a->text[i], "null") == 0);
    }
    for (int64_t i = 0; i < ROWS; i++) {
        int64_t same = 0;
        while (i + same < ROWS && strcmp(a->text[i + same], b->text[i + same]) == 0)
            same++;
        assert_int_equal(cell_mismatch(a->column, at(a, i), b->column, at(b, i), ROWS - i), same);
    }
}

static void test_equal_as_in_words(void **state) {
    (void)state;
    for (int type = 0; type < foreign_type_count; type++) {
        for (uint64_t seed = 1; seed < 9; seed++) {
            struct arena arena;
            struct side a;
            struct side b;
            arena_init(&arena, mem_process(), NULL);
            open_side(&a, foreign_types[type], seed, &arena);
            open_side(&b, foreign_types[type], seed % 2 == 0 ? seed : seed + 50, &arena);
            compare(&a, &b);
            compare(&a, &a);
            close_side(&a);
            close_side(&b);
            arena_fini(&arena);
        }
    }
    assert_int_equal(foreign_live, 0);
}

/* A hash that is always the same would pass everything else. */
static void test_hashes_differ(void **state) {
    static const char *const types[] = {"l", "u", "vu", "w:16", "+l[l]", "+s[l;u]"};
    (void)state;
    for (size_t type = 0; type < sizeof types / sizeof types[0]; type++) {
        struct arena arena;
        struct side side;
        int differ = 0;
        arena_init(&arena, mem_process(), NULL);
        open_side(&side, types[type], 3, &arena);
        for (int64_t i = 1; i < ROWS; i++)
            differ += cell_hash(side.column, at(&side, i), 5) !=
                      cell_hash(side.column, at(&side, i - 1), 5);
        assert_true(differ > ROWS / 4);
        close_side(&side);
        arena_fini(&arena);
    }
}

/* Long enough for comparison by blocks: one change anywhere is found where it is. */
static void test_mismatch_in_blocks(void **state) {
    enum { LONG = 1000 };
    int64_t ids[LONG];
    (void)state;
    for (int64_t i = 0; i < LONG; i++)
        ids[i] = i * 3;
    for (int64_t changed = 0; changed <= LONG; changed += 37) {
        struct arena arena;
        struct column a;
        struct column b;
        arena_init(&arena, mem_process(), NULL);
        struct foreign_random random = {4, true, true};
        struct foreign_random again = random;
        kh_batch *first = rows_kit_batch(NULL, NULL, "u", ids, LONG, &random);
        if (changed < LONG)
            ids[changed]++;
        kh_batch *second = rows_kit_batch(NULL, NULL, "u", ids, LONG, &again);
        if (changed < LONG)
            ids[changed]--;
        assert_int_equal(column_view(first, &arena, &a, NULL), KH_OK);
        assert_int_equal(column_view(second, &arena, &b, NULL), KH_OK);
        const struct column *in_a = a.children;
        const struct column *in_b = b.children;
        assert_int_equal(cell_mismatch(&in_a[0], in_a[0].offset, &in_b[0], in_b[0].offset, LONG),
                         changed < LONG ? changed : LONG);
        assert_int_equal(cell_mismatch(&in_a[1], in_a[1].offset, &in_b[1], in_b[1].offset, LONG),
                         LONG);
        kh_batch_release(first);
        kh_batch_release(second);
        arena_fini(&arena);
    }
}

/* The same bytes, but one of them under a null. */
static void test_mismatch_of_nulls(void **state) {
    enum { LONG = 100 };
    uint8_t all[16];
    uint8_t fewer[16];
    int64_t values[LONG] = {0};
    struct field field = {.format = "l", .layout = LAYOUT_FIXED, .bits = 64};
    (void)state;
    memset(all, 0xff, sizeof all);
    for (int64_t row = 0; row < LONG; row += 9) {
        memset(fewer, 0xff, sizeof fewer);
        fewer[row / 8] = (uint8_t)(fewer[row / 8] & ~(1u << (row % 8)));
        struct column a = {.field = &field, .length = LONG, .validity = all, .values = values};
        struct column b = a;
        b.validity = fewer;
        assert_int_equal(cell_mismatch(&a, 0, &b, 0, LONG), row);
        assert_int_equal(cell_mismatch(&b, 0, &b, 0, LONG), LONG);
        a.validity = NULL;
        assert_int_equal(cell_mismatch(&a, 0, &b, 0, LONG), row);
        if (row > 0) {
            values[0] = 1;
            assert_int_equal(cell_mismatch(&b, 0, &b, row, 1), 0);
            values[0] = 0;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_as_in_words),
        cmocka_unit_test(test_hashes_differ),
        cmocka_unit_test(test_mismatch_in_blocks),
        cmocka_unit_test(test_mismatch_of_nulls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
