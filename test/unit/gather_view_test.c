/* gather_view_test.c - string views: several buffers, sharing, and no more space than before. */
#include "batch/adopted.h"
#include "batch/raw.h"
#include "support/rows_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 400 };

/* The picked rows of a batch with one view column; the caller's limit on buffers. */
static kh_batch *gather(const kh_batch *batch, const int64_t *rows, int64_t count,
                        int64_t buffer_max) {
    struct rows_context context = {.mem = mem_process()};
    struct rows_work work;
    struct column *root;
    struct run_list runs;
    kh_batch *result = NULL;
    rows_work_init(&work, &context, NULL);
    work.gather.offset32_max = buffer_max;
    run_list_init(&runs, &work.arena);
    assert_int_equal(rows_view(&work, batch, &root), KH_OK);
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(run_list_add(&runs, 0, rows[i], 1, NULL), KH_OK);
    const struct column *const roots[] = {root};
    assert_int_equal(rows_build(&work, batch->schema, roots, 1, &runs, &result), KH_OK);
    rows_work_fini(&work);
    return result;
}

static void check(const kh_batch *result, const kh_batch *batch, const int64_t *rows,
                  int64_t count) {
    static struct rows_origin origins[ROWS * 4];
    for (int64_t i = 0; i < count; i++)
        origins[i] = (struct rows_origin){batch, rows[i], batch, rows[i]};
    assert_true(rows_kit_matches(result, origins, count));
}

static const struct ArrowArray *views_of(const kh_batch *batch) {
    assert_int_equal(batch->kind, BATCH_ADOPTED);
    return adopted_of(batch)->array.children[1];
}

static uint64_t buffer_bytes(const struct ArrowArray *views) {
    uint64_t total = 0;
    for (int64_t i = 0; i < views->n_buffers - 3; i++)
        total += (uint64_t)raw_i64(views->buffers[views->n_buffers - 1], i);
    return total;
}

/* Bytes of the rows' values that do not fit their views. */
static uint64_t long_bytes(const struct ArrowArray *views, const int64_t *rows, int64_t count) {
    uint64_t total = 0;
    for (int64_t i = 0; i < count; i++) {
        bool is_null = views->buffers[0] != NULL && !raw_bit(views->buffers[0], rows[i]);
        int32_t size = raw_i32(views->buffers[1], rows[i] * 4);
        if (!is_null && size > 12)
            total += (uint64_t)size;
    }
    return total;
}

static void test_wanted_values_only(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct foreign_random random = {seed, false, seed & 1};
        kh_batch *batch = rows_kit_batch(NULL, NULL, "vu", NULL, ROWS, &random);
        int64_t rows[ROWS];
        int64_t count = 0;
        for (int64_t row = (int64_t)seed; row < ROWS; row += 1 + (int64_t)foreign_draw(&random, 2))
            rows[count++] = row;
        kh_batch *result = gather(batch, rows, count, INT32_MAX);
        check(result, batch, rows, count);
        uint64_t wanted = long_bytes(views_of(batch), rows, count);
        if (result->kind == BATCH_ADOPTED && wanted < buffer_bytes(views_of(batch))) {
            assert_int_equal(buffer_bytes(views_of(result)), wanted);
            assert_int_equal(views_of(result)->n_buffers, wanted > 0 ? 4 : 3);
        }
        kh_batch_release(result);
        kh_batch_release(batch);
    }
}

/* Returns whether the values were spread over several buffers. */
static bool spread(uint64_t seed, int64_t most) {
    struct foreign_random random = {seed, false, true};
    int64_t rows[ROWS - 1];
    kh_batch *batch = rows_kit_batch(NULL, NULL, "vz", NULL, ROWS, &random);
    for (int64_t i = 0; i < ROWS - 1; i++)
        rows[i] = ROWS - 1 - i;
    kh_batch *result = gather(batch, rows, ROWS - 1, most);
    check(result, batch, rows, ROWS - 1);
    const struct ArrowArray *views = views_of(result);
    int64_t buffers = views->n_buffers - 3;
    bool is_packed = buffer_bytes(views) < buffer_bytes(views_of(batch));
    for (int64_t i = 0; is_packed && i < buffers; i++)
        assert_true(raw_i64(views->buffers[views->n_buffers - 1], i) <= most);
    if (is_packed && buffer_bytes(views) > (uint64_t)most)
        assert_true(buffers > 1);
    kh_batch_release(result);
    kh_batch_release(batch);
    return is_packed && buffers > 1;
}

static void test_several_buffers(void **state) {
    int spread_count = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++)
        for (int64_t most = 40; most < 4000; most *= 3)
            spread_count += spread(seed, most);
    assert_true(spread_count > 10);
}

static void test_repeats_share(void **state) {
    struct foreign_random random = {8, true, false};
    int64_t rows[ROWS * 4];
    (void)state;
    kh_batch *batch = rows_kit_batch(NULL, NULL, "vu", NULL, ROWS, &random);
    for (int64_t i = 0; i < ROWS * 4; i++)
        rows[i] = i / 4;
    kh_batch *result = gather(batch, rows, ROWS * 4, INT32_MAX);
    check(result, batch, rows, ROWS * 4);
    assert_true(buffer_bytes(views_of(result)) <= buffer_bytes(views_of(batch)));
    kh_batch *again = gather(result, rows, ROWS, INT32_MAX);
    assert_true(buffer_bytes(views_of(again)) <= buffer_bytes(views_of(batch)));
    kh_batch_release(again);
    kh_batch_release(result);
    kh_batch_release(batch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wanted_values_only),
        cmocka_unit_test(test_several_buffers),
        cmocka_unit_test(test_repeats_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
