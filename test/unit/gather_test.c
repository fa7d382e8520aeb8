/* gather_test.c - columns of every type from random runs over three batches, against their values
 * in words; what results promise of nulls and offsets. */
#include "batch/adopted.h"
#include "batch/raw.h"
#include "support/rows_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SOURCES = GATHER_SOURCES, PICKS_MOST = 2000 };

struct inputs {
    kh_batch *batches[SOURCES];
    struct column *roots[SOURCES];
};

static void open_inputs(struct inputs *inputs, struct rows_work *work, const char *type,
                        const int64_t *rows, struct foreign_random *random) {
    for (int i = 0; i < SOURCES; i++) {
        inputs->batches[i] = rows_kit_batch(NULL, NULL, type, NULL, rows[i], random);
        assert_int_equal(rows_view(work, inputs->batches[i], &inputs->roots[i]), KH_OK);
    }
}

/* Some rows: single ones, stretches, repeats. Returns how many. */
static int64_t pick(const struct inputs *inputs, int64_t most, struct foreign_random *random,
                    struct run_list *runs, struct rows_origin *origins) {
    int64_t count = 0;
    int64_t tries = (int64_t)foreign_draw(random, 8);
    for (; tries > 0; tries--) {
        int source = (int)foreign_draw(random, SOURCES);
        int64_t rows = kh_batch_row_count(inputs->batches[source]);
        if (rows == 0)
            continue;
        int64_t start = (int64_t)foreign_draw(random, (uint64_t)rows);
        int64_t length = 1 + (int64_t)foreign_draw(random, (uint64_t)(rows - start));
        if (count + length > most)
            continue;
        assert_int_equal(run_list_add(runs, source, start, length, NULL), KH_OK);
        for (int64_t k = 0; k < length; k++)
            origins[count++] = (struct rows_origin){inputs->batches[source], start + k,
                                                    inputs->batches[source], start + k};
    }
    return count;
}

/* Results have no offset below the root, known null counts, and bitmaps only where there are
 * nulls. */
static void check_shape(const struct field *field, const struct ArrowArray *array) {
    bool has_bitmap = field->layout != LAYOUT_NULL && field->layout != LAYOUT_RUN_END &&
                      field->layout != LAYOUT_SPARSE_UNION && field->layout != LAYOUT_DENSE_UNION;
    assert_int_equal(array->offset, 0);
    assert_true(array->null_count >= 0);
    if (has_bitmap) {
        assert_int_equal(array->buffers[0] != NULL, array->null_count > 0);
        if (array->buffers[0] != NULL)
            assert_int_equal(raw_count_bits(array->buffers[0], 0, array->length),
                             array->length - array->null_count);
    }
    for (int32_t i = 0; i < field->child_count; i++)
        check_shape(&field->children[i], array->children[i]);
    if (field->dictionary != NULL)
        check_shape(field->dictionary, array->dictionary);
}

static void gather_once(const char *type, struct foreign_random *random, const int64_t *rows) {
    static struct rows_origin origins[PICKS_MOST];
    struct rows_context context = {.mem = mem_process()};
    struct rows_work work;
    struct inputs inputs;
    struct run_list runs;
    kh_batch *result = NULL;
    kh_error error = {""};
    rows_work_init(&work, &context, &error);
    run_list_init(&runs, &work.arena);
    open_inputs(&inputs, &work, type, rows, random);
    int64_t count = pick(&inputs, PICKS_MOST, random, &runs, origins);
    assert_int_equal(runs.length, count);
    const struct column *const roots[] = {inputs.roots[0], inputs.roots[1], inputs.roots[2]};
    kh_status status = rows_build(&work, inputs.batches[0]->schema, roots, SOURCES, &runs, &result);
    if (status != KH_OK)
        print_message("%s: %s\n", type, error.message);
    assert_int_equal(status, KH_OK);
    rows_work_fini(&work);
    if (!rows_kit_matches(result, origins, count))
        fail_msg("%s from %lld rows", type, (long long)count);
    if (result->kind == BATCH_ADOPTED)
        check_shape(schema_root(result->schema), &adopted_of(result)->array);
    kh_batch_release(result);
    for (int i = 0; i < SOURCES; i++)
        kh_batch_release(inputs.batches[i]);
}

static void test_every_type(void **state) {
    (void)state;
    for (int type = 0; type < foreign_type_count; type++) {
        for (uint64_t seed = 0; seed < 24; seed++) {
            struct foreign_random random = {seed, seed & 1, seed & 2};
            int64_t rows[SOURCES] = {(int64_t)(seed % 5), 17, (int64_t)(seed % 4)};
            gather_once(foreign_types[type], &random, rows);
        }
        struct foreign_random random = {99, true, true};
        int64_t rows[SOURCES] = {300, 90, 3};
        gather_once(foreign_types[type], &random, rows);
    }
    assert_int_equal(foreign_live, 0);
}

static void test_runs_join(void **state) {
    struct arena arena;
    struct run_list runs;
    (void)state;
    arena_init(&arena, mem_process(), NULL);
    run_list_init(&runs, &arena);
    assert_int_equal(run_list_add(&runs, 0, 5, 0, NULL), KH_OK);
    assert_int_equal(runs.count, 0);
    for (int64_t i = 0; i < 100; i++)
        assert_int_equal(run_list_add(&runs, 0, i, 1, NULL), KH_OK);
    assert_int_equal(runs.count, 1);
    assert_int_equal(run_list_add(&runs, 1, 100, 1, NULL), KH_OK);
    assert_int_equal(run_list_add(&runs, 1, 100, 1, NULL), KH_OK);
    assert_int_equal(runs.count, 3);
    for (int64_t i = 0; i < 100; i++)
        assert_int_equal(run_list_add(&runs, 2, i * 2, 1, NULL), KH_OK);
    assert_int_equal(runs.count, 103);
    assert_int_equal(runs.length, 202);
    assert_int_equal(runs.runs[102].start, 198);
    arena_fini(&arena);
}

/* One value of a type, repeated until 32-bit offsets (here of a lower limit) do not reach. */
static kh_status repeat(const char *type, int64_t count, int64_t offset32_max) {
    struct rows_context context = {.mem = mem_process()};
    struct foreign_random random = {5, false, false};
    struct rows_work work;
    struct column *root;
    struct run_list runs;
    kh_batch *result = NULL;
    kh_error error = {""};
    kh_batch *batch = rows_kit_batch(NULL, NULL, type, NULL, 50, &random);
    rows_work_init(&work, &context, &error);
    work.gather.offset32_max = offset32_max;
    run_list_init(&runs, &work.arena);
    assert_int_equal(rows_view(&work, batch, &root), KH_OK);
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(run_list_add(&runs, 0, 0, 50, NULL), KH_OK);
    const struct column *const roots[] = {root};
    kh_status status = rows_build(&work, batch->schema, roots, 1, &runs, &result);
    assert_int_equal(status == KH_OK, error.message[0] == '\0');
    rows_work_fini(&work);
    kh_batch_release(result);
    kh_batch_release(batch);
    return status;
}

static void test_offsets_overflow(void **state) {
    static const char *const narrow[] = {"u", "z", "+l[b]", "+m[!+s[!i;l]]", "+r[!i;l]",
                                         "+ud:0[l]"};
    static const char *const wide[] = {"l", "U", "+L[l]", "vu", "+w:3[s]", "+r[!l;l]", "+vl[n]"};
    (void)state;
    for (size_t i = 0; i < sizeof narrow / sizeof narrow[0]; i++) {
        assert_int_equal(repeat(narrow[i], 1, 1000), KH_OK);
        if (repeat(narrow[i], 100, 1000) != KH_TOO_BIG)
            fail_msg("%s", narrow[i]);
        assert_int_equal(repeat(narrow[i], 100, INT32_MAX), KH_OK);
    }
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
        assert_int_equal(repeat(wide[i], 100, 1000), KH_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_runs_join),
        cmocka_unit_test(test_offsets_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
