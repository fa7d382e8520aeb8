/* schema_export_test.c - schemas out, nodes moved and released in any order, and schemas from names
 * and formats. */
#include "batch/schema.h"
#include "support/foreign.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
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

static void test_what_goes_out_comes_in_as_the_same(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (int type = 0; type < foreign_type_count; type++) {
        for (int is_process = 0; is_process < 2; is_process++) {
            kh_db *from = is_process ? NULL : db;
            struct ArrowSchema out;
            kh_schema *back = NULL;
            kh_schema *schema = import_type(from, foreign_types[type]);
            assert_int_equal(kh_schema_export(schema, &out, NULL), KH_OK);
            kh_schema_release(schema); /* the export holds what it needs */
            assert_int_equal(kh_schema_import(db, &out, &back, NULL), KH_OK);
            schema = import_type(db, foreign_types[type]);
            assert_ptr_equal(back, schema);
            kh_schema_release(schema);
            kh_schema_release(back);
        }
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
    assert_int_equal(foreign_live, 0);
}

static void test_nodes_are_moved_and_released_in_any_order(void **state) {
    (void)state;
    for (int order = 0; order < 3; order++) {
        struct home home;
        kh_db *db = home_open(&home);
        kh_schema *schema = import_type(db, "+s[i{u};+l[g]]");
        struct ArrowSchema out;
        assert_int_equal(kh_schema_export(schema, &out, NULL), KH_OK);
        kh_schema_release(schema);
        home_close(&home);
        struct ArrowSchema dictionary = *out.children[0]->children[0]->dictionary;
        out.children[0]->children[0]->dictionary->release = NULL;
        struct ArrowSchema list = *out.children[0]->children[1];
        out.children[0]->children[1]->release = NULL;
        struct ArrowSchema *nodes[3] = {&out, &dictionary, &list};
        for (int i = 0; i < 3; i++) {
            struct ArrowSchema *node = nodes[(order + i) % 3];
            assert_true(home.live_blocks > 0);
            node->release(node);
            assert_null(node->release);
            if (i == 1 && order == 0) assert_string_equal(list.children[0]->format, "g");
        }
        assert_int_equal(home.live_blocks, 0);
    }
}

static void test_build(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    const char *names[] = {"id", "name"};
    const char *formats[] = {"!l", "u"};
    kh_schema *schema = NULL;
    kh_schema *empty = NULL;
    assert_int_equal(kh_schema_build(db, names, formats, 2, &schema, NULL), KH_OK);
    assert_int_equal(schema_root(schema)->children[0].flags, 0);
    assert_int_equal(schema_root(schema)->children[1].flags, ARROW_FLAG_NULLABLE);
    assert_string_equal(kh_schema_column_name(schema, 1), "name");
    assert_int_equal(kh_schema_build(db, NULL, NULL, 0, &empty, NULL), KH_OK);
    assert_int_equal(kh_schema_column_count(empty), 0);
    kh_schema_release(schema);
    kh_schema_release(empty);
    schema = NULL;
    formats[1] = "+l";
    assert_int_equal(kh_schema_build(db, names, formats, 2, &schema, NULL), KH_INVALID_DATA);
    formats[1] = "nonsense";
    assert_int_equal(kh_schema_build(db, names, formats, 2, &schema, NULL), KH_INVALID_DATA);
    formats[1] = NULL;
    assert_int_equal(kh_schema_build(db, names, formats, 2, &schema, NULL), KH_INVALID);
    assert_int_equal(kh_schema_build(db, names, formats, -1, &schema, NULL), KH_INVALID);
    assert_int_equal(kh_schema_build(db, NULL, formats, 2, &schema, NULL), KH_INVALID);
    assert_int_equal(kh_schema_build(db, names, formats, 2, NULL, NULL), KH_INVALID);
    assert_int_equal(kh_schema_build(db, names, formats, 1 << 20, &schema, NULL), KH_TOO_BIG);
    assert_null(schema);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void test_failed_allocations(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    const char *names[] = {"id"};
    const char *formats[] = {"l"};
    kh_schema *schema = NULL;
    for (uint64_t fail_at = 1;; fail_at++) {
        home.fail_at = home.calls + fail_at;
        kh_status status = kh_schema_build(db, names, formats, 1, &schema, NULL);
        if (status == KH_OK) break;
        assert_int_equal(status, KH_NO_MEMORY);
        assert_null(schema);
    }
    struct ArrowSchema out = {.release = NULL};
    home.fail_at = home.calls + 1;
    assert_int_equal(kh_schema_export(schema, &out, NULL), KH_NO_MEMORY);
    assert_null(out.release);
    assert_int_equal(kh_schema_export(schema, NULL, NULL), KH_INVALID);
    assert_int_equal(kh_schema_export(NULL, &out, NULL), KH_INVALID);
    kh_schema_release(schema);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_goes_out_comes_in_as_the_same),
        cmocka_unit_test(test_nodes_are_moved_and_released_in_any_order),
        cmocka_unit_test(test_build),
        cmocka_unit_test(test_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
