/* command.c - what all commands share: arguments, help, keys and times. */
#include "command.h"

#include "complain.h"
#include "key_text.h"

#include <stdlib.h>
#include <string.h>

static void print_help(const struct command *command, const struct option *options,
                       size_t option_count) {
    (void)printf("khonsu %s - %s\n\nusage: khonsu %s %s\n\n%s\n\noptions:\n", command->name,
                 command->summary, command->name, command->operands, command->details);
    options_print(options, option_count, stdout);
    (void)printf(
        "\nexamples:\n%s\n\nexit codes: 0 done, 1 failed%s, 2 wrong usage, 3 no such key\n",
        command->examples, strcmp(command->name, "demo") == 0 ? " or inconsistent" : "");
}

bool command_parse(const struct command *command, const struct option *options, size_t option_count,
                   int argc, char *const *argv, struct operands *operands, int *code) {
    struct text problem = {NULL, 0, 0};
    enum options_answer answer =
        options_parse(options, option_count, argc, argv, operands, &problem);
    if (answer == OPTIONS_HELP) {
        print_help(command, options, option_count);
        *code = CLI_OK;
    } else if (answer == OPTIONS_PARSED && operands->count < command->operand_min) {
        text_printf(&problem, "something is missing: khonsu %s %s", command->name,
                    command->operands);
        answer = OPTIONS_WRONG;
    } else if (answer == OPTIONS_PARSED && operands->count > command->operand_max) {
        text_printf(&problem, "'%s' is one operand too many",
                    operands->values[command->operand_max]);
        answer = OPTIONS_WRONG;
    }
    if (answer == OPTIONS_WRONG) {
        *code = complain(CLI_USAGE, "%s: %s (khonsu %s --help says more)", command->name,
                         problem.bytes, command->name);
    }
    text_free(&problem);
    return answer == OPTIONS_PARSED;
}

bool command_has(const struct command *command, const char *option, const char *value) {
    if (value == NULL) {
        (void)complain(CLI_USAGE, "%s: --%s is missing (khonsu %s --help says more)", command->name,
                       option, command->name);
    }
    return value != NULL;
}

bool command_key(const char *argument, struct text *key) {
    enum { KEY_BYTES_MAX = 65535 };
    if (!key_text_parse(argument, key)) {
        (void)complain(CLI_USAGE,
                       "the key '%s' has a lone backslash: write \\\\ for one, \\xHH for "
                       "a byte",
                       argument);
        return false;
    }
    if (key->size == 0 || key->size > KEY_BYTES_MAX) {
        (void)complain(CLI_USAGE, "a key has 1 to 65,535 bytes, and this one has %zu", key->size);
        return false;
    }
    return true;
}

/* Digits of the given width at *at, which moves behind them; -1: none there. */
static int64_t digits(const char **at, size_t width) {
    int64_t number = 0;
    for (size_t i = 0; i < width; ++i) {
        char digit = (*at)[i];
        if (digit < '0' || digit > '9') {
            return -1;
        }
        number = number * 10 + (digit - '0');
    }
    *at += width;
    return number;
}

static bool skip(const char **at, char wanted) {
    if (**at != wanted) {
        return false;
    }
    ++*at;
    return true;
}

static int64_t days_since_1970(int64_t year, int64_t month, int64_t day) {
    int64_t shifted = month > 2 ? month - 3 : month + 9;
    year -= month <= 2 ? 1 : 0;
    int64_t of_year = (153 * shifted + 2) / 5 + day - 1;
    return year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719468;
}

/* HH:MM[:SS[.mmm]][Z]; *first_ms counts from midnight, *span_ms is how much was left open. */
static bool parse_clock(const char *at, int64_t *first_ms, int64_t *span_ms) {
    int64_t hour = digits(&at, 2);
    int64_t minute = skip(&at, ':') ? digits(&at, 2) : -1;
    int64_t second = 0;
    int64_t ms = 0;
    *span_ms = 60000;
    if (skip(&at, ':')) {
        second = digits(&at, 2);
        *span_ms = 1000;
        if (skip(&at, '.')) {
            ms = digits(&at, 3);
            *span_ms = 1;
        }
    }
    (void)skip(&at, 'Z');
    *first_ms = ((hour * 60 + minute) * 60 + second) * 1000 + ms;
    return *at == '\0' && hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 &&
           second < 61 && ms >= 0;
}

static bool parse_iso(const char *at, kh_timestamp *out) {
    int64_t year = digits(&at, 4);
    int64_t month = skip(&at, '-') ? digits(&at, 2) : -1;
    int64_t day = skip(&at, '-') ? digits(&at, 2) : -1;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31) {
        return false;
    }
    int64_t first_ms = 0;
    int64_t span_ms = 86400000;
    if (*at != '\0' &&
        !((skip(&at, 'T') || skip(&at, ' ')) && parse_clock(at, &first_ms, &span_ms))) {
        return false;
    }
    int64_t end_ms = days_since_1970(year, month, day) * 86400000 + first_ms + span_ms;
    *out = KH_TIMESTAMP_OF_MS(end_ms) - 1;
    return true;
}

bool command_time(const char *argument, kh_timestamp *out) {
    if (strspn(argument, "0123456789") == strlen(argument) && options_count(argument, out)) {
        return true;
    }
    if (parse_iso(argument, out)) {
        return true;
    }
    (void)complain(CLI_USAGE,
                   "'%s' is no time: give a timestamp, or a UTC time like "
                   "2013-01-31T12:00:00.000Z",
                   argument);
    return false;
}
