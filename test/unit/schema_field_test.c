/* schema_field_test.c - format strings and shapes: nanoarrow's parser agrees on what is right; ours
 * also refuses what is no single spelling of a type. */
#include "batch/schema_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <nanoarrow/nanoarrow.h>

struct expected {
    const char *format;
    enum layout layout;
    int32_t bits;
    enum value_class value_class;
};

static const struct expected right[] = {
    {"n", LAYOUT_NULL, 0, VALUE_NONE},
    {"b", LAYOUT_FIXED, 1, VALUE_INTEGER},
    {"c", LAYOUT_FIXED, 8, VALUE_INTEGER},
    {"S", LAYOUT_FIXED, 16, VALUE_INTEGER},
    {"i", LAYOUT_FIXED, 32, VALUE_INTEGER},
    {"L", LAYOUT_FIXED, 64, VALUE_INTEGER},
    {"e", LAYOUT_FIXED, 16, VALUE_FLOAT},
    {"f", LAYOUT_FIXED, 32, VALUE_FLOAT},
    {"g", LAYOUT_FIXED, 64, VALUE_FLOAT},
    {"u", LAYOUT_VAR32, 0, VALUE_BYTES},
    {"Z", LAYOUT_VAR64, 0, VALUE_BYTES},
    {"vu", LAYOUT_VIEW, 0, VALUE_BYTES},
    {"tdD", LAYOUT_FIXED, 32, VALUE_INTEGER},
    {"tdm", LAYOUT_FIXED, 64, VALUE_INTEGER},
    {"tts", LAYOUT_FIXED, 32, VALUE_INTEGER},
    {"ttn", LAYOUT_FIXED, 64, VALUE_INTEGER},
    {"tsn:", LAYOUT_FIXED, 64, VALUE_INTEGER},
    {"tss:Europe/Rome", LAYOUT_FIXED, 64, VALUE_INTEGER},
    {"tDu", LAYOUT_FIXED, 64, VALUE_INTEGER},
    {"tiM", LAYOUT_FIXED, 32, VALUE_RAW},
    {"tiD", LAYOUT_FIXED, 64, VALUE_RAW},
    {"tin", LAYOUT_FIXED, 128, VALUE_RAW},
    {"d:1,0", LAYOUT_FIXED, 128, VALUE_RAW},
    {"d:38,-5", LAYOUT_FIXED, 128, VALUE_RAW},
    {"d:76,2,256", LAYOUT_FIXED, 256, VALUE_RAW},
    {"d:9,9,32", LAYOUT_FIXED, 32, VALUE_RAW},
    {"d:18,3,64", LAYOUT_FIXED, 64, VALUE_RAW},
    {"w:16", LAYOUT_FIXED, 128, VALUE_RAW},
};

static void test_formats_are_parsed_as_nanoarrow_does(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        struct field field = {.format = right[i].format};
        const char *trouble = NULL;
        assert_true(field_parse(right[i].format, &field, &trouble));
        assert_true(field_check(&field, &trouble));
        assert_int_equal(field.layout, right[i].layout);
        assert_int_equal(field.bits, right[i].bits);
        assert_int_equal(field.value_class, right[i].value_class);

        struct ArrowSchema schema;
        struct ArrowSchemaView view;
        ArrowSchemaInit(&schema);
        assert_int_equal(ArrowSchemaSetFormat(&schema, right[i].format), NANOARROW_OK);
        assert_int_equal(ArrowSchemaViewInit(&view, &schema, NULL), NANOARROW_OK);
        if (field.layout == LAYOUT_FIXED)
            assert_int_equal(view.layout.element_size_bits[1], field.bits);
        ArrowSchemaRelease(&schema);
    }
}

/* clang-format off */
static const char *const wrong[] = {
    "", " ", "q", "ll", "l ", "v", "vq", "t", "td", "tdd", "tsx:", "tss", "tD", "ti", "tiX", "d",
    "d:", "d:5", "d:5,", "d:0,0", "d:39,0", "d:77,0,256", "d:10,0,32", "d:19,0,64", "d:5,2,128x",
    "d:5,2,16", "d:+5,2", "d:05,2", "d:5,--2", "d:5,-0", "d:5, 2", "d:5,99999999999", "w", "w:",
    "w:-1", "w:x", "w:07", "w:3 ", "w:268435456", "w:99999999999999999999", "+", "+x", "+w", "+w:",
    "+w:-2", "+w:2147483648", "+v", "+vx", "+u", "+us", "+us:,", "+us:1,", "+us:1,,2", "+us:1,1",
    "+us:128", "+us:-1", "+ud:a", "+ss", "+rr", "+m:", "tss:\xFF", "\xFF",
};
/* clang-format on */

static void test_other_formats_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct field field = {.format = wrong[i]};
        const char *trouble = NULL;
        if (field_parse(wrong[i], &field, &trouble)) print_message("'%s' was taken\n", wrong[i]);
        assert_false(field_parse(wrong[i], &field, &trouble));
        assert_non_null(trouble);
    }
}

static void test_union_codes_name_children(void **state) {
    struct field field = {.format = ""};
    const char *trouble = NULL;
    (void)state;
    assert_true(field_parse("+ud:5,0,127", &field, &trouble));
    assert_int_equal(field.union_code_to_child[5], 0);
    assert_int_equal(field.union_code_to_child[0], 1);
    assert_int_equal(field.union_code_to_child[127], 2);
    assert_int_equal(field.union_code_to_child[1], -1);
    assert_true(field_parse("+us:", &field, &trouble));
    assert_int_equal(field.union_code_to_child[0], -1);
}

static bool check(const char *format, struct field *children, int32_t count,
                  struct field *dictionary) {
    struct field field = {
        .format = format, .children = children, .child_count = count, .dictionary = dictionary};
    const char *trouble = NULL;
    assert_true(field_parse(format, &field, &trouble));
    for (int32_t i = 0; i < count; i++)
        assert_true(field_parse(children[i].format, &children[i], &trouble));
    trouble = NULL;
    bool is_right = field_check(&field, &trouble);
    assert_true(is_right == (trouble == NULL));
    return is_right;
}

static void test_children_must_fit(void **state) {
    (void)state;
    struct field one[1] = {{.format = "l"}};
    struct field two[2] = {{.format = "i"}, {.format = "u"}};
    struct field pair[2] = {{.format = "u"}, {.format = "l"}};
    struct field entries[1] = {{.format = "+s", .children = pair, .child_count = 2}};
    struct field single[1] = {{.format = "+s", .children = pair, .child_count = 1}};
    struct field bad_ends[2] = {{.format = "I"}, {.format = "u"}};
    struct field none = {.format = "u"};
    struct field nested = {.format = "i", .dictionary = &none};
    struct field ends_of_dictionary[2] = {{.format = "i", .dictionary = &none}, {.format = "u"}};
    assert_true(check("l", NULL, 0, NULL));
    assert_false(check("l", one, 1, NULL));
    assert_false(check("u", one, 1, NULL));
    assert_true(check("+l", one, 1, NULL));
    assert_false(check("+l", NULL, 0, NULL));
    assert_false(check("+vL", two, 2, NULL));
    assert_true(check("+s", two, 2, NULL));
    assert_true(check("+s", NULL, 0, NULL));
    assert_true(check("+m", entries, 1, NULL));
    assert_false(check("+m", one, 1, NULL));
    assert_false(check("+m", single, 1, NULL));
    assert_true(check("+us:4,5", two, 2, NULL));
    assert_false(check("+us:4", two, 2, NULL));
    assert_false(check("+ud:1,2,3", two, 2, NULL));
    assert_true(check("+r", two, 2, NULL));
    assert_false(check("+r", bad_ends, 2, NULL));
    assert_false(check("+r", ends_of_dictionary, 2, NULL));
    assert_false(check("+r", one, 1, NULL));
    assert_true(check("C", NULL, 0, &none));
    assert_false(check("u", NULL, 0, &none));
    assert_false(check("b", NULL, 0, &none));
    assert_false(check("f", NULL, 0, &none));
    assert_false(check("tdD", NULL, 0, &none));
    assert_false(check("+s", two, 2, &none));
    assert_false(check("i", NULL, 0, &nested));
}

static void test_equality_and_hash_see_everything(void **state) {
    (void)state;
    struct field child = {.format = "l", .name = "a"};
    struct field other_child = {.format = "i", .name = "a"};
    struct field values = {.format = "u", .name = ""};
    const struct field base = {.format = "+s",
                               .name = "x",
                               .metadata = "12345678",
                               .metadata_bytes = 8,
                               .flags = 2,
                               .children = &child,
                               .child_count = 1};
    struct field same = base;
    assert_true(field_equal(&base, &same));
    assert_true(field_hash(&base, 7) == field_hash(&same, 7));
    assert_true(field_hash(&base, 7) != field_hash(&base, 8));
    struct field different[7] = {base, base, base, base, base, base, base};
    different[0].format = "+l";
    different[1].name = "y";
    different[2].metadata = "12345679";
    different[3].metadata_bytes = 0;
    different[4].flags = 0;
    different[5].children = &other_child;
    different[6].dictionary = &values;
    for (int i = 0; i < 7; i++) {
        assert_false(field_equal(&base, &different[i]));
        assert_false(field_equal(&different[i], &base));
        assert_true(field_hash(&base, 7) != field_hash(&different[i], 7));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats_are_parsed_as_nanoarrow_does),
        cmocka_unit_test(test_other_formats_are_refused),
        cmocka_unit_test(test_union_codes_name_children),
        cmocka_unit_test(test_children_must_fit),
        cmocka_unit_test(test_equality_and_hash_see_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
