/* cli_options_test.c - the option parser of the program. */
#include "cli/heap.c"
#include "cli/options.c"
#include "cli/text.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct parsed {
    bool is_loud;
    const char *name;
    uint64_t count;
    double seconds;
    int colour;
    struct operands operands;
    struct text problem;
    enum options_answer answer;
};

static void parse(struct parsed *parsed, int argc, const char *const *arguments) {
    *parsed = (struct parsed){.colour = -1};
    const struct option options[] = {
        {"loud", 'l', OPTION_FLAG, NULL, "say more", &parsed->is_loud},
        {"name", 'n', OPTION_TEXT, "NAME", "who", &parsed->name},
        {"count", 'c', OPTION_COUNT, "N", "how many", &parsed->count},
        {"seconds", 0, OPTION_NUMBER, "S", "how long", &parsed->seconds},
        {"colour", 0, OPTION_CHOICE, "red|green|greenish", "which", &parsed->colour},
    };
    char *copies[16] = {NULL};
    for (int i = 0; i < argc; ++i) {
        copies[i] = heap_copy(arguments[i], strlen(arguments[i]));
    }
    parsed->answer = options_parse(options, 5, argc, copies, &parsed->operands, &parsed->problem);
    for (int i = 0; i < argc; ++i) {
        bool is_kept = parsed->name == NULL || parsed->name < copies[i] ||
                       parsed->name > copies[i] + strlen(copies[i]);
        for (size_t o = 0; o < parsed->operands.count; ++o) {
            is_kept = is_kept && parsed->operands.values[o] != copies[i];
        }
        if (is_kept) {
            free(copies[i]);
        }
    }
}

#define PARSE(parsed, ...)                                                                         \
    do {                                                                                           \
        const char *const arguments_[] = {__VA_ARGS__};                                            \
        parse(parsed, (int)(sizeof arguments_ / sizeof arguments_[0]), arguments_);                \
    } while (0)

/* What parse() left allocated: the arguments that are still pointed to. */
static void finish(struct parsed *parsed, size_t name_offset) {
    for (size_t i = 0; i < parsed->operands.count; ++i) {
        free((void *)(uintptr_t)parsed->operands.values[i]);
    }
    if (parsed->name != NULL) {
        free((void *)(uintptr_t)(parsed->name - name_offset));
    }
    text_free(&parsed->problem);
}

static void all_forms_of_values_are_taken(void **state) {
    (void)state;
    struct parsed parsed;
    PARSE(&parsed, "--loud", "--name=a=b", "-c", "12K", "--seconds", "0.5", "--colour=green");
    assert_int_equal(parsed.answer, OPTIONS_PARSED);
    assert_true(parsed.is_loud);
    assert_string_equal(parsed.name, "a=b");
    assert_int_equal(parsed.count, 12000);
    assert_true(parsed.seconds > 0.49 && parsed.seconds < 0.51);
    assert_int_equal(parsed.colour, 1);
    finish(&parsed, strlen("--name="));
    PARSE(&parsed, "-nx", "-l", "-c3", "--colour", "greenish");
    assert_int_equal(parsed.answer, OPTIONS_PARSED);
    assert_string_equal(parsed.name, "x");
    assert_int_equal(parsed.count, 3);
    assert_int_equal(parsed.colour, 2);
    finish(&parsed, strlen("-n"));
    PARSE(&parsed, "--name", "--loud");
    assert_string_equal(parsed.name, "--loud");
    assert_false(parsed.is_loud);
    finish(&parsed, 0);
}

static void operands_stand_anywhere(void **state) {
    (void)state;
    struct parsed parsed;
    PARSE(&parsed, "one", "--loud", "-", "--", "--name", "-x");
    assert_int_equal(parsed.answer, OPTIONS_PARSED);
    assert_int_equal(parsed.operands.count, 4);
    assert_string_equal(parsed.operands.values[0], "one");
    assert_string_equal(parsed.operands.values[1], "-");
    assert_string_equal(parsed.operands.values[2], "--name");
    assert_string_equal(parsed.operands.values[3], "-x");
    assert_null(parsed.name);
    finish(&parsed, 0);
    PARSE(&parsed, "1", "2", "3", "4", "5");
    assert_int_equal(parsed.answer, OPTIONS_WRONG);
    assert_non_null(strstr(parsed.problem.bytes, "'5'"));
    finish(&parsed, 0);
}

static void assert_wrong(const char *argument, const char *next, const char *says) {
    struct parsed parsed;
    if (next == NULL) {
        PARSE(&parsed, argument);
    } else {
        PARSE(&parsed, argument, next);
    }
    assert_int_equal(parsed.answer, OPTIONS_WRONG);
    assert_non_null(parsed.problem.bytes);
    if (strstr(parsed.problem.bytes, says) == NULL) {
        fail_msg("%s does not say %s", parsed.problem.bytes, says);
    }
    finish(&parsed, 0);
}

static void mistakes_are_named(void **state) {
    (void)state;
    assert_wrong("--naem=x", NULL, "did you mean --name?");
    assert_wrong("--nothing-like-it", NULL, "no option --nothing-like-it");
    assert_wrong("-q", NULL, "no option -q");
    assert_wrong("--name", NULL, "needs a value: NAME");
    assert_wrong("--loud=1", NULL, "takes no value");
    assert_wrong("--count=", NULL, "a whole number");
    assert_wrong("--count", "-1", "a whole number");
    assert_wrong("--count", "1T", "a whole number");
    assert_wrong("--count", "99999999999999999999", "a whole number");
    assert_wrong("--count", "18446744073709551615K", "a whole number");
    assert_wrong("--seconds", "nan", "not negative");
    assert_wrong("--seconds", "-0.5", "not negative");
    assert_wrong("--seconds", "1s", "not negative");
    assert_wrong("--colour", "gree", "red|green|greenish");
    assert_wrong("--colour", "", "red|green|greenish");
}

static void help_is_seen_before_what_follows(void **state) {
    (void)state;
    struct parsed parsed;
    PARSE(&parsed, "--loud", "--help", "--nonsense");
    assert_int_equal(parsed.answer, OPTIONS_HELP);
    finish(&parsed, 0);
    PARSE(&parsed, "-h");
    assert_int_equal(parsed.answer, OPTIONS_HELP);
    finish(&parsed, 0);
    PARSE(&parsed, "--", "-h");
    assert_int_equal(parsed.answer, OPTIONS_PARSED);
    finish(&parsed, 0);
}

static void words_add_up_and_numbers_have_signs(void **state) {
    (void)state;
    double level = 0;
    struct words keys = {NULL, 0};
    const struct option options[] = {
        {"level", 'l', OPTION_REAL, "X", "how high", &level},
        {"key", 'k', OPTION_WORDS, "KEY", "which", &keys},
    };
    static char given[][10] = {"--key", "a",         "--level", "-0.95",
                               "-kb",   "--key=c=d", "--key",   "--key"};
    char *arguments[8];
    for (size_t i = 0; i < 8; ++i) {
        arguments[i] = given[i];
    }
    struct operands operands;
    struct text problem = {NULL, 0, 0};
    assert_int_equal(options_parse(options, 2, 8, arguments, &operands, &problem), OPTIONS_PARSED);
    assert_int_equal(operands.count, 0);
    assert_true(level < -0.94 && level > -0.96);
    static const char *const expected[] = {"a", "b", "c=d", "--key"};
    assert_int_equal(keys.count, 4);
    for (size_t i = 0; i < 4; ++i) {
        assert_string_equal(keys.values[i], expected[i]);
    }
    free(keys.values);
    static char infinite[] = "inf";
    char *wrong[] = {given[2], infinite};
    assert_int_equal(options_parse(options, 2, 2, wrong, &operands, &problem), OPTIONS_WRONG);
    assert_non_null(strstr(problem.bytes, "wants a number, not 'inf'"));
    text_free(&problem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_forms_of_values_are_taken),
        cmocka_unit_test(operands_stand_anywhere),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(help_is_seen_before_what_follows),
        cmocka_unit_test(words_add_up_and_numbers_have_signs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
