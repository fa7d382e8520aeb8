/* cli_opening_test.c - what the program shows of an opening: nothing of a short one, lines written
 * over one another of a long one, and its end. */
#include "cli/opening.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* What the hook writes to the standard error for these messages. */
static void shows(bool is_terminal, kh_log_level level, const char *const *messages, size_t count,
                  const char *expected) {
    struct opening_shown shown = {.is_terminal = is_terminal};
    char text[1024] = "";
    FILE *file = tmpfile();
    assert_non_null(file);
    int kept = dup(STDERR_FILENO);
    assert_true(kept >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    for (size_t i = 0; i < count; i++) opening_message(&shown, level, messages[i]);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    (void)close(kept);
    rewind(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = '\0';
    (void)fclose(file);
    assert_string_equal(text, expected);
}

static const char *const lines[] = {"opening orders.khonsu", "opening: 5 values",
                                    "opening: 9 values", "opened: 12 values"};

static void a_long_one(void **state) {
    (void)state;
    shows(true, KH_LOG_NOTICE, lines, 4,
          "\r\033[Kkhonsu: opening: 5 values\r\033[Kkhonsu: opening: 9 values"
          "\r\033[Kkhonsu: opened: 12 values\n");
}

static void a_short_one(void **state) {
    (void)state;
    const char *const only[] = {lines[0], lines[3]};
    shows(true, KH_LOG_NOTICE, only, 2, "");
}

static void no_terminal(void **state) {
    (void)state;
    shows(false, KH_LOG_NOTICE, lines, 4, "");
}

static void other_levels(void **state) {
    (void)state;
    shows(true, KH_LOG_ERROR, lines, 4, "");
}

/* In memory, and a path that is none: the status is the library's. */
static void opens(void **state) {
    (void)state;
    kh_options options = KH_OPTIONS_INIT;
    kh_error error = {""};
    kh_db *db = NULL;
    options.flags = KH_OPEN_NO_THREADS;
    assert_int_equal(opening_open(&options, &db, &error), KH_OK);
    assert_ptr_equal(options.message, opening_message);
    assert_int_equal(kh_db_close(db), KH_OK);
    options.path = "/dev/null";
    db = NULL;
    assert_int_not_equal(opening_open(&options, &db, &error), KH_OK);
    assert_null(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_one),  cmocka_unit_test(a_short_one),
        cmocka_unit_test(no_terminal), cmocka_unit_test(other_levels),
        cmocka_unit_test(opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
