/* rows_memory_test.c - each allocation of each row operation fails in turn, with a column of every
 * type: the answer is KH_NO_MEMORY, nothing leaks, nothing is written, and inputs stay as they
 * were. */
#include "batch/rows.h"
#include "support/rows_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct inputs {
    kh_batch *base;
    kh_batch *rows;  /* some of base's ids, some new */
    kh_batch *patch; /* some of base's ids */
    kh_batch *fresh; /* new ids */
};

typedef kh_status operation(const struct inputs *inputs, kh_batch **out, kh_error *error);

static kh_status run_take(const struct inputs *inputs, kh_batch **out, kh_error *error) {
    static const int64_t rows[] = {4, 0, 0, 3, 2, 4, 1, 4, 3, 1, 0, 2};
    return kh_batch_take(inputs->base, rows, 12, out, error);
}

static kh_status run_slice(const struct inputs *inputs, kh_batch **out, kh_error *error) {
    return kh_batch_slice(inputs->base, 1, 3, out, error);
}

static kh_status run_concat(const struct inputs *inputs, kh_batch **out, kh_error *error) {
    return kh_batch_concat(inputs->base, inputs->rows, out, error);
}

static kh_status run_insert(const struct inputs *inputs, kh_batch **out, kh_error *error) {
    return kh_batch_insert_rows(inputs->base, inputs->fresh, NULL, out, error);
}

static kh_status run_upsert(const struct inputs *inputs, kh_batch **out, kh_error *error) {
    return kh_batch_upsert_rows(inputs->base, inputs->rows, NULL, out, error);
}

static kh_status run_update(const struct inputs *inputs, kh_batch **out, kh_error *error) {
    return kh_batch_update_rows(inputs->base, inputs->patch, NULL, out, error);
}

static kh_status run_delete(const struct inputs *inputs, kh_batch **out, kh_error *error) {
    return kh_batch_delete_rows(inputs->base, inputs->patch, NULL, out, error);
}

/* patch's rows changed on one side, fresh rows added on the other: rows_merge frees its pieces. */
static kh_status run_merge(const struct inputs *inputs, kh_batch **out, kh_error *error) {
    kh_batch *mine = NULL;
    kh_batch *theirs = NULL;
    kh_status status = kh_batch_upsert_rows(inputs->base, inputs->patch, NULL, &mine, error);
    if (status == KH_OK)
        status = kh_batch_insert_rows(inputs->base, inputs->fresh, NULL, &theirs, error);
    if (status == KH_OK)
        status = kh_batch_merge(inputs->base, mine, theirs, NULL, out, NULL, error);
    kh_batch_release(mine);
    kh_batch_release(theirs);
    return status;
}

static operation *const operations[] = {run_take,   run_slice,  run_concat, run_insert,
                                        run_upsert, run_update, run_delete, run_merge};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };

static struct inputs open_inputs(kh_db *db, const char *type, bool is_large) {
    static const int64_t ids[] = {50, 10, 20, 30, 40};
    static const int64_t row_ids[] = {60, 40, 5, 20};
    static const int64_t fresh_ids[] = {7, 70};
    struct foreign_random random = {13, true, true};
    int64_t many[300];
    for (int64_t i = 0; i < 300; i++)
        many[i] = i < 5 ? ids[i] : 1000 - i;
    return (struct inputs){rows_kit_batch(db, NULL, type, many, is_large ? 300 : 5, &random),
                           rows_kit_batch(db, NULL, type, row_ids, 4, &random),
                           rows_kit_batch(db, NULL, type, ids + 1, 2, &random),
                           rows_kit_batch(db, NULL, type, fresh_ids, 2, &random)};
}

static void close_inputs(const struct inputs *inputs) {
    kh_batch_release(inputs->base);
    kh_batch_release(inputs->rows);
    kh_batch_release(inputs->patch);
    kh_batch_release(inputs->fresh);
}

/* Fail allocation after allocation until the operation gets through. */
static void exhaust(struct home *home, const struct inputs *inputs, operation *run) {
    for (uint64_t fail_at = 1;; fail_at++) {
        kh_batch *out = NULL;
        kh_error error = {""};
        int64_t live = home->live_blocks;
        int foreign = foreign_live;
        uint64_t calls = home->calls;
        home->fail_at = calls + fail_at;
        kh_status status = run(inputs, &out, &error);
        home->fail_at = 0;
        if (status == KH_OK) {
            assert_true(home->calls - calls < fail_at);
            assert_true(fail_at > 1);
            kh_batch_release(out);
            return;
        }
        assert_int_equal(status, KH_NO_MEMORY);
        assert_true(error.message[0] != '\0');
        assert_null(out);
        assert_int_equal(home->live_blocks, live);
        assert_int_equal(foreign_live, foreign);
    }
}

static void every_type(bool is_large) {
    for (int type = 0; type < foreign_type_count; type++) {
        struct home home;
        kh_db *db = home_open(&home);
        struct inputs inputs = open_inputs(db, foreign_types[type], is_large);
        for (int i = 0; i < OPERATIONS; i++)
            exhaust(&home, &inputs, operations[i]);
        close_inputs(&inputs);
        home_close(&home);
        assert_int_equal(home.live_blocks, 0);
        assert_int_equal(foreign_live, 0);
    }
}

static void test_small(void **state) {
    (void)state;
    every_type(false);
}

static void test_large(void **state) {
    (void)state;
    every_type(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
