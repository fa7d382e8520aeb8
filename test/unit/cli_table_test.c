/* cli_table_test.c - text, widths, keys as text and tables of the program. */
#include "cli/heap.c"
#include "cli/key_text.c"
#include "cli/table.c"
#include "cli/text.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static kh_bytes span(const char *string) {
    return (kh_bytes){string, strlen(string)};
}

static void widths_are_those_of_a_terminal(void **state) {
    (void)state;
    const char *wide = "\xE6\xBC\xA2"
                       "a\xCC\x81\xF0\x9F\x98\x80"; /* a Han character, a with accent, a smile */
    assert_int_equal(text_width(wide, strlen(wide)), 5);
    assert_int_equal(text_fit(wide, strlen(wide), 1), 0);
    assert_int_equal(text_fit(wide, strlen(wide), 2), 3);
    assert_int_equal(text_fit(wide, strlen(wide), 3), 6);
    assert_int_equal(text_fit(wide, strlen(wide), 4), 6);
    assert_int_equal(text_fit(wide, strlen(wide), 5), strlen(wide));
}

static void assert_decodes(const char *bytes, size_t size, uint32_t expected) {
    uint32_t character = 0;
    assert_int_equal(text_decode(span(bytes), &character), size);
    assert_int_equal(character, expected);
}

static void malformed_utf8_is_not_decoded(void **state) {
    (void)state;
    assert_decodes("\xC3\xA9", 2, 0xE9);
    assert_decodes("\xF4\x8F\xBF\xBF", 4, 0x10FFFF);
    assert_decodes("\xC0\x80", 0, 0);
    assert_decodes("\xE0\x9F\xBF", 0, 0);
    assert_decodes("\xED\xA0\x80", 0, 0);
    assert_decodes("\xF4\x90\x80\x80", 0, 0);
    assert_decodes("\xE2\x82", 0, 0);
    assert_decodes("\x80", 0, 0);
}

static void escapes(void **state) {
    (void)state;
    struct text text = {NULL, 0, 0};
    text_printf(&text, "%s%0130d", "long", 7);
    assert_int_equal(text.size, 134);
    assert_string_equal(text.bytes + 130, "0007");
    text_clear(&text);
    text_add_json(&text, (kh_bytes){"a\"\\\n\x01\xFF\0", 7});
    assert_string_equal(text.bytes, "\"a\\\"\\\\\\n\\u0001\xEF\xBF\xBD\\u0000\"");
    text_clear(&text);
    text_add_visible(&text, span("\x1B[0m\t\xC2\x9B\xE2\x80\xAE ok \xFE"));
    assert_string_equal(text.bytes, "\\x1b[0m\\t\\xc2\\x9b\\xe2\\x80\\xae ok \\xfe");
    text_clear(&text);
    text_add_count(&text, -1234567);
    text_add_count(&text, 999);
    text_add_count(&text, 1000);
    assert_string_equal(text.bytes, "-1,234,5679991,000");
    text_free(&text);
}

static void keys_go_to_text_and_back(void **state) {
    (void)state;
    struct text text = {NULL, 0, 0};
    struct text back = {NULL, 0, 0};
    char all[256];
    for (int i = 0; i < 256; ++i) {
        all[i] = (char)i;
    }
    key_text_add(&text, (kh_bytes){all, sizeof all});
    assert_true(key_text_parse(text.bytes, &back));
    assert_int_equal(back.size, sizeof all);
    assert_memory_equal(back.bytes, all, sizeof all);
    text_clear(&back);
    assert_false(key_text_parse("a\\", &back));
    assert_false(key_text_parse("\\x1", &back));
    assert_false(key_text_parse("\\xg0", &back));
    text_free(&text);
    text_free(&back);
}

static char *printed(struct table *table, size_t width) {
    char *bytes = heap_allocate(4096, 1);
    FILE *out = fmemopen(bytes, 4096, "w");
    table_print(table, out, width);
    (void)fclose(out);
    return bytes;
}

static void assert_printed(struct table *table, size_t width, const char *expected) {
    char *bytes = printed(table, width);
    assert_string_equal(bytes, expected);
    free(bytes);
}

static void tables_are_aligned_and_cut(void **state) {
    (void)state;
    struct table table = {.columns = NULL};
    table_add_column(&table, "n", true);
    table_add_column(&table, "name", false);
    table_add_column(&table, "last", false);
    assert_printed(&table, 0, "n  name  last\n-  ----  ----\n");
    table_add(&table, "1");
    table_add(&table, "twelve chars");
    table_add(&table, "x");
    table_printf(&table, "%d", 123);
    table_add(&table, "\xE6\xBC\xA2");
    table_add(&table, "");
    assert_printed(&table, 0,
                   "  n  name          last\n---  ------------  ----\n"
                   "  1  twelve chars  x\n123  \xE6\xBC\xA2            \n");
    assert_printed(&table, 20,
                   "  n  name       last\n---  ---------  ----\n"
                   "  1  twelve c\xE2\x80\xA6  x\n123  \xE6\xBC\xA2         \n");
    assert_printed(&table, 18,
                   "  n  name       +1\n---  ---------\n"
                   "  1  twelve c\xE2\x80\xA6\n123  \xE6\xBC\xA2\n");
    assert_printed(&table, 2, " n  +2\n--\n 1\n1\xE2\x80\xA6\n");
    table_free(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths_are_those_of_a_terminal),
        cmocka_unit_test(malformed_utf8_is_not_decoded),
        cmocka_unit_test(escapes),
        cmocka_unit_test(keys_go_to_text_and_back),
        cmocka_unit_test(tables_are_aligned_and_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
