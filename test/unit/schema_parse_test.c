/* schema_parse_test.c - hostile and odd schemas: what is refused, with the schema left alone, and
 * what becomes one spelling. */
#include "base/limits.h"
#include "batch/schema_body.h"
#include "support/foreign.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct home home;
static kh_db *db;

static int set_up(void **state) {
    (void)state;
    db = home_open(&home);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    home_close(&home);
    return home.live_blocks != 0 || foreign_live != 0;
}

/* Expect a status; the schema is released by whoever has it then. */
static void expect(struct ArrowSchema *arrow, kh_status expected) {
    kh_schema *schema = NULL;
    kh_error error = {""};
    struct ArrowSchema before = *arrow;
    kh_status status = kh_schema_import(db, arrow, &schema, &error);
    if (status != expected) print_message("%s %s\n", kh_status_name(status), error.message);
    assert_int_equal(status, expected);
    if (status == KH_OK) {
        assert_null(arrow->release);
        kh_schema_release(schema);
    } else {
        assert_null(schema);
        assert_string_not_equal(error.message, "");
        assert_memory_equal(arrow, &before, sizeof before);
    }
}

static void test_broken_structs_are_refused(void **state) {
    (void)state;
    struct ArrowSchema arrow;
    foreign_table(&arrow, "+s[l;u]");
    struct ArrowSchema *column = arrow.children[0];
    struct ArrowSchema kept = *column;
    struct ArrowSchema root = arrow;

    column->release = NULL;
    expect(&arrow, KH_INVALID_DATA);
    *column = kept;
    column->format = NULL;
    expect(&arrow, KH_INVALID_DATA);
    *column = kept;
    column->children = NULL;
    expect(&arrow, KH_INVALID_DATA);
    *column = kept;
    column->n_children = -1;
    expect(&arrow, KH_INVALID_DATA);
    *column = kept;
    column->n_children = INT64_MAX;
    expect(&arrow, KH_TOO_BIG);
    *column = kept;
    column->n_children = 1;
    struct ArrowSchema *child = column->children[0];
    column->children[0] = NULL;
    expect(&arrow, KH_INVALID_DATA);
    *column = kept;
    column->children[0] = child;
    column->name = "\xC3";
    expect(&arrow, KH_INVALID_DATA);
    *column = kept;
    column->format = "+q";
    expect(&arrow, KH_INVALID_DATA);
    *column = kept;
    column->dictionary = column->children[0];
    expect(&arrow, KH_INVALID_DATA);
    *column = kept;
    arrow.release = NULL;
    expect(&arrow, KH_INVALID_DATA);
    arrow = root;
    expect(&arrow, KH_OK);
}

static void test_only_a_struct_is_a_record_batch(void **state) {
    static const char *const types[] = {"l", "+l[l]", "i{u}", "+us:0[l]"};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct ArrowSchema arrow;
        foreign_schema(&arrow, types[i]);
        expect(&arrow, KH_INVALID_DATA);
        arrow.release(&arrow);
    }
}

/* A tree that ends nowhere: each node is its own child. */
static void test_endless_trees_end(void **state) {
    (void)state;
    struct ArrowSchema arrow;
    struct ArrowSchema *self = &arrow;
    foreign_schema(&arrow, "+s");
    struct ArrowSchema kept = arrow;
    arrow.n_children = 1;
    arrow.children = &self;
    expect(&arrow, KH_TOO_BIG);
    struct ArrowSchema *many[64];
    for (int i = 0; i < 64; i++) many[i] = self;
    arrow.n_children = 64;
    arrow.children = many;
    expect(&arrow, KH_TOO_BIG);
    arrow = kept;
    arrow.dictionary = self;
    expect(&arrow, KH_TOO_BIG);
    arrow = kept;
    arrow.release(&arrow);
}

/* Depth LIMIT_SCHEMA_DEPTH, root included, is allowed; one more is not. */
static void test_depth_is_limited(void **state) {
    (void)state;
    for (int depth = LIMIT_SCHEMA_DEPTH; depth <= LIMIT_SCHEMA_DEPTH + 1; depth++) {
        char type[4 * LIMIT_SCHEMA_DEPTH + 16] = "";
        struct ArrowSchema arrow;
        for (int i = 0; i < depth - 2; i++) strcat(type, "+l[");
        strcat(type, "l");
        for (int i = 0; i < depth - 2; i++) strcat(type, "]");
        foreign_table(&arrow, type);
        expect(&arrow, depth > LIMIT_SCHEMA_DEPTH ? KH_TOO_BIG : KH_OK);
        if (arrow.release != NULL) arrow.release(&arrow);
    }
}

static void test_fields_are_limited(void **state) {
    (void)state;
    for (int count = LIMIT_SCHEMA_FIELDS - 1; count <= LIMIT_SCHEMA_FIELDS; count++) {
        const char **columns = malloc((size_t)count * sizeof *columns);
        struct ArrowSchema arrow;
        for (int i = 0; i < count; i++) columns[i] = "a=l";
        foreign_columns(&arrow, columns, count);
        free(columns);
        expect(&arrow, count == LIMIT_SCHEMA_FIELDS ? KH_TOO_BIG : KH_OK);
        if (arrow.release != NULL) arrow.release(&arrow);
    }
}

static void test_text_is_limited(void **state) {
    (void)state;
    for (size_t length = LIMIT_SCHEMA_BYTES - 100; length <= LIMIT_SCHEMA_BYTES; length += 100) {
        struct ArrowSchema arrow;
        char *name = malloc(length + 1);
        memset(name, 'n', length);
        name[length] = '\0';
        foreign_table(&arrow, "l");
        free((void *)(uintptr_t)arrow.children[0]->name);
        arrow.children[0]->name = name;
        expect(&arrow, length == LIMIT_SCHEMA_BYTES ? KH_TOO_BIG : KH_OK);
        if (arrow.release != NULL) arrow.release(&arrow);
    }
}

static void set_metadata(struct ArrowSchema *field, const int32_t *words, size_t count) {
    char *copy = malloc(count * 4);
    memcpy(copy, words, count * 4);
    free((void *)(uintptr_t)field->metadata);
    field->metadata = copy;
}

static void test_metadata_is_checked(void **state) {
    static const int32_t pair[] = {1, 4, 'k' * 0x01010101, 4, 'v' * 0x01010101};
    static const int32_t wrong[][5] = {
        {-1}, {1, -1}, {1, 4, 0, -4}, {1, INT32_MAX, 0, 0, 0}, {INT32_MIN}};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct ArrowSchema arrow;
        foreign_table(&arrow, "l");
        set_metadata(arrow.children[0], wrong[i], 5);
        expect(&arrow, KH_INVALID_DATA);
        arrow.release(&arrow);
    }
    struct ArrowSchema arrow;
    struct ArrowSchema out;
    kh_schema *schema = NULL;
    foreign_table(&arrow, "l");
    set_metadata(arrow.children[0], pair, 5);
    set_metadata(&arrow, pair, 5);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    assert_int_equal(schema_root(schema)->metadata_bytes, 20);
    assert_int_equal(kh_schema_export(schema, &out, NULL), KH_OK);
    assert_memory_equal(out.metadata, pair, 20);
    assert_memory_equal(out.children[0]->metadata, pair, 20);
    out.release(&out);
    kh_schema_release(schema);
}

static kh_schema *import_type(const char *type) {
    struct ArrowSchema arrow;
    kh_schema *schema = NULL;
    foreign_table(&arrow, type);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    return schema;
}

static void same(kh_schema *a, kh_schema *b) {
    assert_ptr_equal(a, b);
    kh_schema_release(a);
    kh_schema_release(b);
}

static void test_equal_types_become_one_spelling(void **state) {
    static const int32_t no_pairs[] = {0};
    (void)state;
    struct ArrowSchema arrow;
    kh_schema *schema = NULL;
    same(import_type("d:10,2"), import_type("d:10,2,128"));
    same(import_type("i{!u}"), import_type("i{u}"));

    foreign_table(&arrow, "l"); /* the root's name and flags mean nothing */
    arrow.flags = ARROW_FLAG_NULLABLE | ARROW_FLAG_MAP_KEYS_SORTED;
    free((void *)(uintptr_t)arrow.name);
    arrow.name = NULL;
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    same(schema, import_type("l"));

    foreign_table(&arrow, "l"); /* nor do flags of other types, nor unknown ones */
    arrow.children[0]->flags |=
        ARROW_FLAG_DICTIONARY_ORDERED | ARROW_FLAG_MAP_KEYS_SORTED | 1 << 20;
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    same(schema, import_type("l"));

    foreign_table(&arrow, "l");
    set_metadata(arrow.children[0], no_pairs, 1);
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    assert_null(schema_root(schema)->children[0].metadata);
    same(schema, import_type("l"));

    foreign_table(&arrow, "+s[l]"); /* an absent name is an empty one */
    free((void *)(uintptr_t)arrow.children[0]->name);
    arrow.children[0]->name = NULL;
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    assert_string_equal(kh_schema_column_name(schema, 0), "");
    kh_schema_release(schema);
}

static void test_flags_that_mean_something_are_kept(void **state) {
    (void)state;
    struct ArrowSchema arrow;
    kh_schema *schema = NULL;
    foreign_table(&arrow, "i{u}");
    arrow.children[0]->flags |= ARROW_FLAG_DICTIONARY_ORDERED;
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    assert_int_equal(schema_root(schema)->children[0].flags,
                     ARROW_FLAG_DICTIONARY_ORDERED | ARROW_FLAG_NULLABLE);
    kh_schema_release(schema);
    foreign_table(&arrow, "+m[!+s[!u;l]]");
    arrow.children[0]->flags |= ARROW_FLAG_MAP_KEYS_SORTED;
    assert_int_equal(kh_schema_import(db, &arrow, &schema, NULL), KH_OK);
    assert_int_equal(schema_root(schema)->children[0].flags,
                     ARROW_FLAG_MAP_KEYS_SORTED | ARROW_FLAG_NULLABLE);
    assert_true(schema_root(schema)->children[0].is_map);
    kh_schema_release(schema);
}

static void test_a_failed_allocation_leaves_the_schema(void **state) {
    (void)state;
    for (uint64_t fail_at = 1;; fail_at++) {
        struct ArrowSchema arrow;
        kh_schema *schema = NULL;
        foreign_table(&arrow, "+s[l;i{u}]");
        home.fail_at = home.calls + fail_at;
        kh_status status = kh_schema_import(db, &arrow, &schema, NULL);
        home.fail_at = 0;
        if (status == KH_OK) {
            kh_schema_release(schema);
            assert_true(fail_at > 1);
            break;
        }
        assert_int_equal(status, KH_NO_MEMORY);
        assert_non_null(arrow.release);
        arrow.release(&arrow);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_broken_structs_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_a_struct_is_a_record_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_endless_trees_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_depth_is_limited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fields_are_limited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_text_is_limited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_metadata_is_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_equal_types_become_one_spelling, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flags_that_mean_something_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_allocation_leaves_the_schema, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
