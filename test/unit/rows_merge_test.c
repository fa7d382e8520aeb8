/* rows_merge_test.c - three-way merge: what each pair of changes gives, and where conflicts are. */
#include "batch/rows.h"
#include "support/rows_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A side in words: "1:ab" is a row of id 1 with a and b in its two text columns. */
static kh_batch *side(const char *const *words) {
    static const char *const names[] = {"id", "x", "y"};
    static const char *const formats[] = {"!l", "u", "u"};
    kh_scalar scalars[3 * 16];
    int64_t rows = 0;
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    assert_int_equal(kh_schema_build(NULL, names, formats, 3, &schema, NULL), KH_OK);
    for (; words[rows] != NULL; rows++) {
        kh_scalar *row = &scalars[3 * rows];
        row[0] = (kh_scalar){KH_SCALAR_INT64, {.int64 = words[rows][0] - '0'}};
        for (int i = 1; i < 3; i++) {
            const char *cell = words[rows] + i + 1;
            row[i] = (kh_scalar){*cell == '-' ? KH_SCALAR_NULL : KH_SCALAR_BYTES,
                                 {.bytes = {cell, 1}}};
        }
    }
    assert_int_equal(kh_batch_build(NULL, schema, scalars, rows, &batch, NULL), KH_OK);
    kh_schema_release(schema);
    return batch;
}

static void check_rows(const kh_batch *batch, const char *const *words) {
    int64_t row = 0;
    for (; words[row] != NULL; row++) {
        int64_t id;
        assert_true(row < kh_batch_row_count(batch));
        assert_int_equal(kh_batch_int64(batch, 0, row, &id), KH_OK);
        assert_int_equal(id, words[row][0] - '0');
        for (int i = 1; i < 3; i++) {
            kh_bytes bytes = {"-", 1};
            kh_status status = kh_batch_bytes(batch, i, row, &bytes);
            assert_true(status == KH_OK || status == KH_NOT_FOUND);
            assert_int_equal(*(const char *)bytes.data, words[row][i + 1]);
        }
    }
    assert_int_equal(kh_batch_row_count(batch), row);
}

struct scenario {
    const char *base[8];
    const char *mine[8];
    const char *theirs[8];
    const char *result[8]; /* none: a conflict */
    kh_merge_conflict conflict;
};

static const struct scenario scenarios[] = {
    /* nothing changed */
    {{"1:ab", "2:cd"}, {"1:ab", "2:cd"}, {"1:ab", "2:cd"}, {"1:ab", "2:cd"}, {0, 0, 0, 0}},
    /* one side each */
    {{"1:ab", "2:cd"}, {"1:xb", "2:cd"}, {"1:ab", "2:cy"}, {"1:xb", "2:cy"}, {0, 0, 0, 0}},
    /* one row, different columns */
    {{"1:ab"}, {"1:xb"}, {"1:ay"}, {"1:xy"}, {0, 0, 0, 0}},
    /* the same change */
    {{"1:ab"}, {"1:xb"}, {"1:xb"}, {"1:xb"}, {0, 0, 0, 0}},
    /* to and from null */
    {{"1:a-", "2:cd"}, {"1:ab", "2:cd"}, {"1:a-", "2:-d"}, {"1:ab", "2:-d"}, {0, 0, 0, 0}},
    /* additions: theirs, then mine */
    {{"1:ab"}, {"9:mm", "1:ab", "8:nn"}, {"7:tt", "1:ab"}, {"7:tt", "1:ab", "9:mm", "8:nn"},
     {0, 0, 0, 0}},
    /* the order is theirs */
    {{"1:ab", "2:cd"}, {"1:xb", "2:cd"}, {"2:cd", "1:ab"}, {"2:cd", "1:xb"}, {0, 0, 0, 0}},
    {{"2:cd", "3:ef", "1:ab"}, {"1:ab", "2:cd", "3:ey"}, {"1:ax", "2:cd", "3:ef"},
     {"1:ax", "2:cd", "3:ey"}, {0, 0, 0, 0}},
    /* deletions on either side, and on both */
    {{"1:ab", "2:cd", "3:ef"}, {"2:cd"}, {"1:ab", "2:cd"}, {"2:cd"}, {0, 0, 0, 0}},
    {{"1:ab", "2:cd"}, {"1:ab", "2:cd"}, {"2:cd"}, {"2:cd"}, {0, 0, 0, 0}},
    /* the same addition on both sides */
    {{NULL}, {"1:ab"}, {"1:ab", "2:cd"}, {"1:ab", "2:cd"}, {0, 0, 0, 0}},
    /* no rows at all */
    {{"1:ab"}, {NULL}, {"1:ab"}, {NULL}, {0, 0, 0, 0}},
    /* the same cell */
    {{"2:cd", "1:ab"}, {"1:ax"}, {"2:cd", "1:ay"}, {NULL}, {0, 1, 1, 2}},
    {{"1:ab"}, {"1:xb"}, {"1:-b"}, {NULL}, {0, 0, 0, 1}},
    /* delete against edit */
    {{"1:ab", "2:cd"}, {"2:cd"}, {"2:cd", "1:xb"}, {NULL}, {-1, 1, 0, -1}},
    {{"1:ab", "2:cd"}, {"2:cd", "1:xb"}, {"2:cd"}, {NULL}, {1, -1, 0, -1}},
    /* added by both, not the same */
    {{NULL}, {"1:ab"}, {"1:ax"}, {NULL}, {0, 0, -1, 2}},
};

static void play(const struct scenario *scenario, bool has_base) {
    kh_batch *base = has_base ? side(scenario->base) : NULL;
    kh_batch *mine = side(scenario->mine);
    kh_batch *theirs = side(scenario->theirs);
    kh_batch *result = NULL;
    kh_merge_conflict conflict = {-7, -7, -7, -7};
    kh_error error = {""};
    kh_status status = kh_batch_merge(base, mine, theirs, NULL, &result, &conflict, &error);
    if (scenario->conflict.column != 0) {
        assert_int_equal(status, KH_MERGE_CONFLICT);
        assert_memory_equal(&conflict, &scenario->conflict, sizeof conflict);
        assert_null(result);
        assert_true(error.message[0] != '\0');
        assert_int_equal(kh_batch_merge(base, mine, theirs, NULL, &result, NULL, NULL),
                         KH_MERGE_CONFLICT);
    } else {
        assert_int_equal(status, KH_OK);
        assert_int_equal(conflict.column, -7);
        check_rows(result, scenario->result);
    }
    kh_batch_release(base);
    kh_batch_release(mine);
    kh_batch_release(theirs);
    kh_batch_release(result);
}

static void test_scenarios(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        play(&scenarios[i], true);
        if (scenarios[i].base[0] == NULL)
            play(&scenarios[i], false);
    }
}

static void test_errors(void **state) {
    static const char *const one[] = {"1:ab", NULL};
    static const char *const twice[] = {"1:ab", "1:cd", NULL};
    int64_t ids[] = {1};
    kh_batch *result = NULL;
    (void)state;
    kh_batch *good = side(one);
    kh_batch *bad = side(twice);
    kh_batch *other = rows_kit_ids(NULL, ids, 1);
    assert_int_equal(kh_batch_merge(bad, good, good, NULL, &result, NULL, NULL), KH_DUPLICATE_ID);
    assert_int_equal(kh_batch_merge(good, bad, good, NULL, &result, NULL, NULL), KH_DUPLICATE_ID);
    assert_int_equal(kh_batch_merge(good, good, bad, NULL, &result, NULL, NULL), KH_DUPLICATE_ID);
    assert_int_equal(kh_batch_merge(other, good, good, NULL, &result, NULL, NULL),
                     KH_SCHEMA_MISMATCH);
    assert_int_equal(kh_batch_merge(good, other, good, NULL, &result, NULL, NULL),
                     KH_SCHEMA_MISMATCH);
    assert_int_equal(kh_batch_merge(good, good, other, NULL, &result, NULL, NULL),
                     KH_SCHEMA_MISMATCH);
    assert_int_equal(kh_batch_merge(good, good, good, "key", &result, NULL, NULL),
                     KH_NO_ID_COLUMN);
    assert_null(result);
    kh_batch_release(good);
    kh_batch_release(bad);
    kh_batch_release(other);
}

/* Each side changes other rows of a column of every type: the result has both changes. */
static void test_every_type(void **state) {
    enum { ROWS = 150 };
    int64_t ids[ROWS];
    int64_t mine_ids[] = {4, 130, 77};
    int64_t theirs_ids[] = {5, 131, 0};
    struct rows_origin wanted[ROWS];
    (void)state;
    for (int64_t i = 0; i < ROWS; i++)
        ids[i] = i;
    for (int type = 0; type < foreign_type_count; type++) {
        struct foreign_random random = {40, type & 1, true};
        kh_batch *base = rows_kit_batch(NULL, NULL, foreign_types[type], ids, ROWS, &random);
        kh_batch *own = rows_kit_batch(NULL, NULL, foreign_types[type], mine_ids, 3, &random);
        kh_batch *other = rows_kit_batch(NULL, NULL, foreign_types[type], theirs_ids, 3, &random);
        kh_batch *mine = NULL;
        kh_batch *theirs = NULL;
        kh_batch *result = NULL;
        kh_error error = {""};
        for (int64_t i = 0; i < ROWS; i++)
            wanted[i] = (struct rows_origin){base, i, base, i};
        for (int64_t i = 0; i < 3; i++) {
            wanted[mine_ids[i]] = (struct rows_origin){own, i, own, i};
            wanted[theirs_ids[i]] = (struct rows_origin){other, i, other, i};
        }
        assert_int_equal(kh_batch_upsert_rows(base, own, NULL, &mine, NULL), KH_OK);
        assert_int_equal(kh_batch_upsert_rows(base, other, NULL, &theirs, NULL), KH_OK);
        kh_status status = kh_batch_merge(base, mine, theirs, NULL, &result, NULL, &error);
        if (status != KH_OK || !rows_kit_matches(result, wanted, ROWS))
            fail_msg("%s: %s", foreign_types[type], error.message);
        kh_batch_release(result);
        kh_batch_release(mine);
        kh_batch_release(theirs);
        kh_batch_release(own);
        kh_batch_release(other);
        kh_batch_release(base);
    }
    assert_int_equal(foreign_live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scenarios),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_every_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
