/* schema_test.c - interning, handles and lifetimes: in a database's table and in the process'. */
#include "base/assert.h"
#include "base/env.h"
#include "batch/schema.h"
#include "batch/schema_differ.h"
#include "support/foreign.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static kh_schema *import_type(kh_db *db, const char *type) {
    struct ArrowSchema arrow;
    kh_schema *schema = NULL;
    foreign_table(&arrow, type);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    return schema;
}

static void test_equal_schemas_are_one(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    kh_schema *schemas[2][200] = {{NULL}};
    for (int round = 0; round < 2; round++)
        for (int type = 0; type < foreign_type_count; type++)
            schemas[round][type] = import_type(db, foreign_types[type]);
    for (int a = 0; a < foreign_type_count; a++) {
        assert_ptr_equal(schemas[0][a], schemas[1][a]);
        assert_int_equal(schema_number(schemas[0][a]), a);
        for (int b = 0; b < foreign_type_count; b++)
            assert_true(kh_schema_equal(schemas[0][a], schemas[1][b]) == (a == b));
        kh_schema_release(schemas[0][a]);
        kh_schema_release(schemas[1][a]);
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

static void check_difference(const char *const *first, const char *const *second,
                             const char *words) {
    const char *const *sides[] = {first, second};
    kh_schema *schemas[2];
    char told[SCHEMA_DIFFER_BYTES];
    for (int i = 0; i < 2; i++) {
        struct ArrowSchema arrow;
        int count = 0;
        while (sides[i][count] != NULL) count++;
        foreign_columns(&arrow, sides[i], count);
        assert_int_equal(kh_schema_import(NULL, &arrow, &schemas[i], NULL), KH_OK);
    }
    schema_differ(schemas[0], schemas[1], told);
    assert_string_equal(told, words);
    kh_schema_release(schemas[0]);
    kh_schema_release(schemas[1]);
}

static void test_the_first_difference_is_told(void **state) {
    (void)state;
    static const char *const base[] = {"id=!l", "name=u", "at=tsu:UTC", NULL};
    static const struct {
        const char *columns[6];
        const char *words;
    } cases[] = {
        {{"id=!l", "name=U", "at=tsu:UTC"}, "column \"name\" is utf8 and large_utf8"},
        {{"id=!l", "name=u", "at=tsn:UTC"},
         "column \"at\" is timestamp[us, UTC] and timestamp[ns, UTC]"},
        {{"id=!l", "name=u", "at=tss:"}, "column \"at\" is timestamp[us, UTC] and timestamp[s]"},
        {{"id=!l", "name=u", "at=ttm"}, "column \"at\" is timestamp[us, UTC] and time32[ms]"},
        {{"id=!l", "name=w:3"}, "column \"name\" is utf8 and fixed_size_binary[3]"},
        {{"id=!l", "name=d:9,2"}, "column \"name\" is utf8 and decimal128(9, 2)"},
        {{"id=!l", "name=d:9,2,64"}, "column \"name\" is utf8 and decimal64(9, 2)"},
        {{"id=!l", "name=tin"}, "column \"name\" is utf8 and tin"},
        {{"id=l", "name=U", "at=tsu:UTC"}, "column \"id\" is nullable in the second only"},
        {{"id=!l", "name=!u", "at=tsu:UTC"}, "column \"name\" is nullable in the first only"},
        {{"id=!l", "name=u"}, "the second has no column \"at\""},
        {{"id=!l", "at=tsu:UTC"}, "the second has no column \"name\""},
        {{NULL}, "the second has no column \"id\""},
        {{"id=!l", "name=u", "at=tsu:UTC", "x=g"}, "the first has no column \"x\""},
        {{"id=!l", "x=g", "name=u", "at=tsu:UTC"}, "the first has no column \"x\""},
        {{"id=!l", "at=tsu:UTC", "name=u"}, "column \"name\" is number 2 and 3"},
        {{"id=!l", "Name=u", "at=tsu:UTC"}, "the second has no column \"name\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_difference(base, cases[i].columns, cases[i].words);
}

static void test_long_names_are_cut(void **state) {
    (void)state;
    char column[200];
    char told[SCHEMA_DIFFER_BYTES];
    memset(column, 'n', sizeof column);
    memcpy(column + 197, "=g", 3);
    const char *const first[] = {column, NULL};
    (void)snprintf(told, sizeof told, "the second has no column \"%.40s\"", column);
    check_difference(first, (const char *const[]){NULL}, told);
}

static void test_columns_are_told(void **state) {
    static const char *const columns[] = {"id=!l", "name=u", "id=g"};
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    struct ArrowSchema arrow;
    kh_schema *schema = NULL;
    foreign_columns(&arrow, columns, 3);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    assert_int_equal(kh_schema_column_count(schema), 3);
    assert_string_equal(kh_schema_column_name(schema, 1), "name");
    assert_string_equal(kh_schema_column_format(schema, 2), "g");
    assert_null(kh_schema_column_name(schema, 3));
    assert_null(kh_schema_column_name(schema, -1));
    assert_null(kh_schema_column_format(schema, 3));
    assert_int_equal(kh_schema_find(schema, "id"), 0);
    assert_int_equal(kh_schema_find(schema, "name"), 1);
    assert_int_equal(kh_schema_find(schema, "nam"), -1);
    assert_int_equal(kh_schema_find(schema, NULL), -1);
    assert_ptr_equal(schema_mem(schema), home.batch.mem);
    kh_schema_release(schema);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void test_a_handle_outlives_its_database(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    kh_schema *schema = import_type(db, "+l[u]");
    kh_schema *again = kh_schema_retain(schema);
    assert_ptr_equal(again, schema);
    home_close(&home);
    assert_true(home.live_blocks > 0);
    kh_schema_release(schema);
    assert_string_equal(kh_schema_column_format(again, 0), "+l");
    assert_true(home.live_blocks > 0);
    kh_schema_release(again);
    assert_int_equal(home.live_blocks, 0);
    kh_schema_release(NULL);
}

/* The process' schemas go with their last reference, so that equal ones get a new number. */
static void test_the_process_schemas_are_counted(void **state) {
    (void)state;
    kh_schema *first = import_type(NULL, "w:7");
    kh_schema *second = import_type(NULL, "w:7");
    assert_ptr_equal(first, second);
    uint32_t number = schema_number(first);
    kh_schema_release(first);
    assert_int_equal(schema_number(second), number);
    schema_hold(second);
    kh_schema_release(second);
    schema_drop(second);
    kh_schema *third = import_type(NULL, "w:7");
    assert_true(schema_number(third) > number);
    kh_schema_release(third);
}

static void test_interning_elsewhere_gives_the_twin(void **state) {
    (void)state;
    struct home home;
    struct home other;
    kh_db *db = home_open(&home);
    kh_db *other_db = home_open(&other);
    for (int type = 0; type < foreign_type_count; type++) {
        kh_schema *schema = import_type(db, foreign_types[type]);
        const kh_schema *twin = NULL;
        const kh_schema *same = NULL;
        assert_int_equal(schema_intern(home.batch.schemas, schema, &same, NULL), KH_OK);
        assert_ptr_equal(same, schema);
        assert_int_equal(schema_intern(other.batch.schemas, schema, &twin, NULL), KH_OK);
        assert_ptr_not_equal(twin, schema);
        assert_true(kh_schema_equal(twin, schema));
        kh_schema *found = import_type(other_db, foreign_types[type]);
        assert_ptr_equal(found, twin);
        kh_schema_release(found);
        assert_int_equal(schema_intern(schema_table_process(), schema, &twin, NULL), KH_OK);
        assert_true(kh_schema_equal(twin, schema));
        schema_drop(twin);
        kh_schema_release(schema);
    }
    home_close(&home);
    home_close(&other);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(other.live_blocks, 0);
}

static void test_the_table_is_bounded(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    kh_status status = KH_OK;
    uint32_t count = 0;
    for (; count <= 65536 && status == KH_OK; count++) {
        char name[16];
        const char *names[1] = {name};
        const char *formats[1] = {"l"};
        kh_schema *schema = NULL;
        (void)snprintf(name, sizeof name, "%u", count);
        status = kh_schema_build(db, names, formats, 1, &schema, NULL);
        kh_schema_release(schema);
    }
    assert_int_equal(status, KH_BUSY);
    assert_int_equal(count, 65537);
    const char *names[1] = {"77"};
    const char *formats[1] = {"l"};
    kh_schema *schema = NULL;
    assert_int_equal(kh_schema_build(db, names, formats, 1, &schema, NULL), KH_OK);
    assert_int_equal(schema_number(schema), 77);
    kh_schema_release(schema);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void churn(void *context) {
    kh_db *db = context;
    for (int i = 0; i < 3000; i++) {
        static const char *const formats[4][1] = {{"l"}, {"u"}, {"w:5"}, {"g"}};
        const char *names[1] = {"x"};
        kh_schema *schema = NULL;
        kh_status status = kh_schema_build(db, names, formats[i % 4], 1, &schema, NULL);
        kh_assert(status == KH_OK);
        kh_assert(strcmp(kh_schema_column_format(schema, 0), formats[i % 4][0]) == 0);
        kh_schema_release(schema);
    }
}

static void test_threads_share_a_table(void **state) {
    (void)state;
    for (int is_process = 0; is_process < 2; is_process++) {
        struct home home;
        kh_db *db = home_open(&home);
        struct env_thread *threads[3];
        /* A context of its own: the counting hooks know one thread only. */
        struct batch_home own = {.mem = mem_create(NULL)};
        own.schemas = schema_table_create(own.mem);
        (void)db;
        for (int i = 0; i < 3; i++)
            threads[i] = env_thread_start("churn", churn, is_process ? NULL : (void *)&own);
        for (int i = 0; i < 3; i++) env_thread_join(threads[i]);
        mem_close(own.mem);
        home_close(&home);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_schemas_are_one),
        cmocka_unit_test(test_the_first_difference_is_told),
        cmocka_unit_test(test_long_names_are_cut),
        cmocka_unit_test(test_columns_are_told),
        cmocka_unit_test(test_a_handle_outlives_its_database),
        cmocka_unit_test(test_the_process_schemas_are_counted),
        cmocka_unit_test(test_interning_elsewhere_gives_the_twin),
        cmocka_unit_test(test_the_table_is_bounded),
        cmocka_unit_test(test_threads_share_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
