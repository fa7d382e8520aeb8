/* rows_vectors_test.c - merges that add what both sides did to a vector: sums, what cannot be
 * added, and that the order of commits decides the bits; and which batches are of vectors. */
#include "batch/rows.h"
#include "batch/rows_vectors.h"
#include "support/rows_kit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIZE = 3 };

/* Ids 1, 2, ... and a vector each; the buffers that a batch imports are its own from then on, and
 * the test writes into them while nobody else has the batch. */
struct side {
    kh_batch *batch;
    struct ArrowArray array;
};

static void *elements_of(const struct side *side) {
    const struct ArrowArray *elements = side->array.children[1]->children[0];
    return (void *)(uintptr_t)elements->buffers[1];
}

static int64_t first_of(const struct side *side) {
    const struct ArrowArray *lists = side->array.children[1];
    return lists->children[0]->offset + (side->array.offset + lists->offset) * SIZE;
}

static struct side make(bool is_double, bool has_offsets, int64_t rows, const double *values) {
    static const char *const floats[] = {"id=!l", "v=!+w:3[!f]"};
    static const char *const doubles[] = {"id=!l", "v=!+w:3[!g]"};
    struct foreign_random random = {11, has_offsets, false};
    struct side side;
    side.batch = rows_kit_columns(NULL, is_double ? doubles : floats, 2, rows, &random);
    assert_int_equal(kh_batch_export(side.batch, &side.array, NULL, NULL), KH_OK);
    const struct ArrowArray *ids = side.array.children[0];
    int64_t *id = (int64_t *)(uintptr_t)ids->buffers[1] + ids->offset + side.array.offset;
    for (int64_t row = 0; row < rows; row++) id[row] = row + 1;
    for (int64_t i = 0; i < rows * SIZE; i++) {
        if (is_double)
            ((double *)elements_of(&side))[first_of(&side) + i] = values[i];
        else
            ((float *)elements_of(&side))[first_of(&side) + i] = (float)values[i];
    }
    return side;
}

static void drop(struct side *side) {
    side->array.release(&side->array);
    kh_batch_release(side->batch);
}

static double element(const kh_batch *batch, bool is_double, int64_t index) {
    struct side side = {NULL, {0}};
    assert_int_equal(kh_batch_export(batch, &side.array, NULL, NULL), KH_OK);
    int64_t at = first_of(&side) + index;
    double value =
        is_double ? ((double *)elements_of(&side))[at] : (double)((float *)elements_of(&side))[at];
    side.array.release(&side.array);
    return value;
}

static kh_status merge(struct side *base, struct side *mine, struct side *theirs, kh_batch **out) {
    struct rows_context context = {.mem = mem_process()};
    return rows_merge_adding(&context, base == NULL ? NULL : base->batch, mine->batch,
                             theirs->batch, out, NULL, NULL);
}

static void check(bool is_double, bool has_offsets) {
    static const double old[] = {1, 2, 3, 10, 20, 30, 7, 8, 9};
    static const double my[] = {1.5, 2, 2, 10, 20, 30, 8, 8, 9};
    static const double their[] = {2, 4, 3, 11, 20, 30, 7, 8, 9};
    static const double expected[] = {2.5, 4, 2, 11, 20, 30, 8, 8, 9};
    struct side base = make(is_double, has_offsets, 3, old);
    struct side mine = make(is_double, !has_offsets, 3, my);
    struct side theirs = make(is_double, has_offsets, 3, their);
    kh_batch *out = NULL;
    assert_int_equal(merge(&base, &mine, &theirs, &out), KH_OK);
    for (int64_t i = 0; i < 9; i++) assert_true(element(out, is_double, i) == expected[i]);
    kh_batch_release(out);
    drop(&base);
    drop(&mine);
    drop(&theirs);
}

static void test_sums(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) check(i & 1, i & 2);
}

static void test_equal_changes_are_both_made(void **state) {
    (void)state;
    static const double old[] = {1, 2, 3};
    static const double changed[] = {2, 2, 3};
    struct side base = make(false, false, 1, old);
    struct side mine = make(false, false, 1, changed);
    kh_batch *out = NULL;
    assert_int_equal(merge(&base, &mine, &mine, &out), KH_OK);
    assert_true(element(out, false, 0) == 3);
    kh_batch_release(out);
    assert_int_equal(merge(NULL, &mine, &mine, &out), KH_OK); /* added by both: kept once */
    assert_int_equal(kh_batch_row_count(out), 1);
    assert_true(element(out, false, 0) == 2);
    kh_batch_release(out);
    drop(&base);
    drop(&mine);
}

static void refuses(double mine_value, double theirs_value) {
    const double old[] = {1, 2, 3};
    const double my[] = {mine_value, 2, 3};
    const double their[] = {theirs_value, 2, 4};
    struct side base = make(false, false, 1, old);
    struct side mine = make(false, false, 1, my);
    struct side theirs = make(false, false, 1, their);
    kh_batch *out = NULL;
    assert_int_equal(merge(&base, &mine, &theirs, &out), KH_MERGE_CONFLICT);
    drop(&base);
    drop(&mine);
    drop(&theirs);
}

static void test_what_cannot_be_added(void **state) {
    (void)state;
    refuses(NAN, 2);
    refuses(2, INFINITY);
    refuses(3e38, 3e38);
}

/* Each step is rounded once: what was committed first is where the other is added to. */
static void test_the_order_decides(void **state) {
    (void)state;
    static const double old[] = {1e8, 0, 0};
    static const double one[] = {1, 0, 0};
    static const double two[] = {1e8 + 16, 0, 0};
    struct side base = make(false, false, 1, old);
    struct side mine = make(false, false, 1, one);
    struct side theirs = make(false, false, 1, two);
    kh_batch *out = NULL;
    assert_int_equal(merge(&base, &mine, &theirs, &out), KH_OK);
    assert_true(element(out, false, 0) == (double)((float)(1e8 + 16) + ((float)1 - (float)1e8)));
    kh_batch_release(out);
    assert_int_equal(merge(&base, &theirs, &mine, &out), KH_OK);
    assert_true(element(out, false, 0) == (double)((float)1 + ((float)(1e8 + 16) - (float)1e8)));
    kh_batch_release(out);
    drop(&base);
    drop(&mine);
    drop(&theirs);
}

/* Rounding must not touch what only one side changed, nor zero's sign. */
static void test_one_sided_elements_are_taken(void **state) {
    (void)state;
    static const double old[] = {1e8, 1000, -0.0};
    static const double my[] = {1, 0.1, -0.0};
    static const double their[] = {1e8, 1000, -0.0};
    static const double other[] = {1e8, 1000, 5};
    struct side base = make(false, false, 1, old);
    struct side mine = make(false, false, 1, my);
    struct side theirs = make(false, false, 1, other);
    kh_batch *out = NULL;
    assert_int_equal(merge(&base, &mine, &theirs, &out), KH_OK);
    assert_true(element(out, false, 0) == 1 && element(out, false, 1) == (double)0.1f);
    assert_true(element(out, false, 2) == 5);
    kh_batch_release(out);
    drop(&theirs);
    theirs = make(false, false, 1, their);
    ((float *)elements_of(&theirs))[first_of(&theirs)] = 7;
    assert_int_equal(merge(&base, &mine, &theirs, &out), KH_OK);
    assert_true(element(out, false, 2) == 0 && signbit(element(out, false, 2)));
    kh_batch_release(out);
    drop(&base);
    drop(&mine);
    drop(&theirs);
}

static void test_what_has_vectors(void **state) {
    (void)state;
    static const char *const others[][2] = {
        {"id=!l", "v=!l"}, {"id=!l", "v=!u"}, {"id=!l", "v=!+l[!f]"}, {"id=!l", "v=!+w:3[!l]"}};
    static const double values[] = {1, 2, 3};
    static const double infinite[] = {1, INFINITY, 3};
    struct foreign_random random = {11, false, false};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        kh_batch *batch = rows_kit_columns(NULL, others[i], 2, 3, &random);
        assert_int_equal(vectors_check(batch, "id", NULL), KH_INVALID_DATA);
        kh_batch_release(batch);
    }
    kh_batch *ids = rows_kit_columns(NULL, others[0], 1, 3, &random);
    assert_int_equal(vectors_check(ids, NULL, NULL), KH_INVALID_DATA);
    kh_batch_release(ids);
    for (int i = 0; i < 2; i++) {
        struct side good = make(i == 1, true, 1, values);
        struct side bad = make(i == 1, true, 1, infinite);
        assert_int_equal(vectors_check(good.batch, "id", NULL), KH_OK);
        assert_int_equal(vectors_check(bad.batch, "id", NULL), KH_INVALID_DATA);
        drop(&good);
        drop(&bad);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_equal_changes_are_both_made),
        cmocka_unit_test(test_what_cannot_be_added),
        cmocka_unit_test(test_the_order_decides),
        cmocka_unit_test(test_one_sided_elements_are_taken),
        cmocka_unit_test(test_what_has_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
