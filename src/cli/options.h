/* options.h - what a command accepts: a table of options, parsed and printed from the same table.
 *
 * Options may stand before, between and after the operands: --name VALUE, --name=VALUE, -x VALUE;
 * "--" ends them. Every command has --help and -h without naming it. */
#ifndef KHONSU_CLI_OPTIONS_H
#define KHONSU_CLI_OPTIONS_H

#include "text.h"

#include <stdbool.h>
#include <stdio.h>

enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_TEXT,   /* const char *, borrowed from argv */
    OPTION_COUNT,  /* uint64_t; K, M, G behind it multiply by 1,000 each */
    OPTION_NUMBER, /* double, not negative */
    OPTION_REAL,   /* double */
    OPTION_CHOICE, /* int: which of the words of operand, divided by '|' */
    OPTION_WORDS   /* struct words: may be given many times */
};

struct words {           /* {NULL, 0}: none */
    const char **values; /* freed by the caller; what they point to is borrowed from argv */
    size_t count;
};

struct option {
    const char *name;
    char letter; /* 0: none */
    enum option_kind kind;
    const char *operand; /* what stands for the value in the help; the choices; NULL for flags */
    const char *help;
    void *target; /* keeps its value when the option is not given */
};

enum { OPTIONS_OPERANDS_MAX = 4 };

struct operands {
    const char *values[OPTIONS_OPERANDS_MAX];
    size_t count;
};

enum options_answer { OPTIONS_PARSED, OPTIONS_HELP, OPTIONS_WRONG };

/* Parse arguments (without the command's name). OPTIONS_WRONG: problem says why and what to do. */
enum options_answer options_parse(const struct option *options, size_t option_count, int argc,
                                  char *const *argv, struct operands *operands,
                                  struct text *problem);
/* The table of the help text. */
void options_print(const struct option *options, size_t option_count, FILE *out);
/* Parse one value; false: it is malformed. */
bool options_count(const char *value, uint64_t *out);
bool options_choice(const char *choices, const char *value, int *out);

#endif
