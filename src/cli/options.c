/* options.c - the option parser. Names must be given whole; a near miss is answered with the name
 * that was probably meant. */
#include "options.h"

#include "heap.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool options_count(const char *value, uint64_t *out) {
    if (value[0] < '0' || value[0] > '9') {
        return false;
    }
    errno = 0;
    char *end = NULL;
    unsigned long long number = strtoull(value, &end, 10);
    if (errno != 0) {
        return false;
    }
    static const char units[] = "KMG";
    const char *unit = *end == '\0' ? NULL : strchr(units, *end);
    if (unit != NULL) {
        ++end;
        for (const char *at = units; at <= unit; ++at) {
            if (number > UINT64_MAX / 1000) {
                return false;
            }
            number *= 1000;
        }
    }
    if (*end != '\0') {
        return false;
    }
    *out = number;
    return true;
}

bool options_choice(const char *choices, const char *value, int *out) {
    size_t size = strlen(value);
    int index = 0;
    for (const char *at = choices;; ++index) {
        const char *bar = strchr(at, '|');
        size_t length = bar == NULL ? strlen(at) : (size_t)(bar - at);
        if (length == size && memcmp(at, value, size) == 0) {
            *out = index;
            return true;
        }
        if (bar == NULL) {
            return false;
        }
        at = bar + 1;
    }
}

static bool number_parse(const char *value, bool is_negative_allowed, double *out) {
    char *end = NULL;
    double number = strtod(value, &end);
    if (end == value || *end != '\0' || !isfinite(number)) {
        return false;
    }
    if (number < 0 && !is_negative_allowed) {
        return false;
    }
    *out = number;
    return true;
}

static bool words_add(struct words *words, const char *value) {
    words->values = heap_resize(words->values, words->count + 1, sizeof *words->values);
    words->values[words->count++] = value;
    return true;
}

static bool assign(const struct option *option, const char *value) {
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)option->target = true;
        return true;
    case OPTION_TEXT:
        *(const char **)option->target = value;
        return true;
    case OPTION_COUNT:
        return options_count(value, option->target);
    case OPTION_NUMBER:
        return number_parse(value, false, option->target);
    case OPTION_REAL:
        return number_parse(value, true, option->target);
    case OPTION_CHOICE:
        return options_choice(option->operand, value, option->target);
    case OPTION_WORDS:
        return words_add(option->target, value);
    }
    return false;
}

/* Letters to change, add or remove to come from a to b (Levenshtein), for names of up to 31. */
static size_t distance(const char *a, size_t a_size, const char *b) {
    size_t b_size = strlen(b);
    size_t row[32];
    if (a_size >= 32 || b_size >= 32) {
        return 32;
    }
    for (size_t j = 0; j <= b_size; ++j) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_size; ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; ++j) {
            size_t above = row[j];
            size_t best = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            best = best < above + 1 ? best : above + 1;
            row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
            diagonal = above;
        }
    }
    return row[b_size];
}

static enum options_answer unknown(const struct option *options, size_t option_count,
                                   const char *name, size_t size, struct text *problem) {
    const char *nearest = NULL;
    size_t nearest_distance = 3;
    for (size_t i = 0; i < option_count; ++i) {
        size_t own = distance(name, size, options[i].name);
        if (own < nearest_distance) {
            nearest_distance = own;
            nearest = options[i].name;
        }
    }
    text_add(problem, "there is no option --");
    text_append(problem, name, size);
    if (nearest != NULL) {
        text_printf(problem, "; did you mean --%s?", nearest);
    }
    return OPTIONS_WRONG;
}

static const struct option *find_name(const struct option *options, size_t option_count,
                                      const char *name, size_t size) {
    for (size_t i = 0; i < option_count; ++i) {
        if (strlen(options[i].name) == size && memcmp(options[i].name, name, size) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

static const struct option *find_letter(const struct option *options, size_t option_count,
                                        char letter) {
    for (size_t i = 0; i < option_count; ++i) {
        if (options[i].letter == letter && letter != 0) {
            return &options[i];
        }
    }
    return NULL;
}

static const char *kind_wanted(const struct option *option) {
    switch (option->kind) {
    case OPTION_COUNT:
        return "a whole number (K, M or G may follow it)";
    case OPTION_NUMBER:
        return "a number that is not negative";
    case OPTION_REAL:
        return "a number";
    case OPTION_CHOICE:
        return option->operand;
    case OPTION_FLAG:
    case OPTION_TEXT:
    case OPTION_WORDS:
        break;
    }
    return "a value";
}

static enum options_answer take(const struct option *option, const char *attached, int argc,
                                char *const *argv, int *at, struct text *problem) {
    const char *value = attached;
    if (option->kind == OPTION_FLAG) {
        if (attached != NULL) {
            text_printf(problem, "--%s takes no value", option->name);
            return OPTIONS_WRONG;
        }
    } else if (value == NULL) {
        if (*at + 1 >= argc) {
            text_printf(problem, "--%s needs a value: %s", option->name, option->operand);
            return OPTIONS_WRONG;
        }
        value = argv[++*at];
    }
    if (!assign(option, value)) {
        text_printf(problem, "--%s wants %s, not '%s'", option->name, kind_wanted(option), value);
        return OPTIONS_WRONG;
    }
    return OPTIONS_PARSED;
}

static enum options_answer parse_one(const struct option *options, size_t option_count, int argc,
                                     char *const *argv, int *at, struct text *problem) {
    const char *argument = argv[*at];
    if (argument[1] != '-') {
        const struct option *option = find_letter(options, option_count, argument[1]);
        if (option == NULL) {
            text_printf(problem, "there is no option -%c", argument[1]);
            return OPTIONS_WRONG;
        }
        const char *attached = argument[2] == '\0' ? NULL : argument + 2;
        return take(option, attached, argc, argv, at, problem);
    }
    const char *name = argument + 2;
    const char *equals = strchr(name, '=');
    size_t size = equals == NULL ? strlen(name) : (size_t)(equals - name);
    const struct option *option = find_name(options, option_count, name, size);
    if (option == NULL) {
        return unknown(options, option_count, name, size, problem);
    }
    return take(option, equals == NULL ? NULL : equals + 1, argc, argv, at, problem);
}

static bool is_help(const char *argument) {
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

enum options_answer options_parse(const struct option *options, size_t option_count, int argc,
                                  char *const *argv, struct operands *operands,
                                  struct text *problem) {
    bool is_option_allowed = true;
    *operands = (struct operands){{NULL}, 0};
    for (int at = 0; at < argc; ++at) {
        const char *argument = argv[at];
        bool is_option = is_option_allowed && argument[0] == '-' && argument[1] != '\0';
        if (is_option && strcmp(argument, "--") == 0) {
            is_option_allowed = false;
        } else if (is_option && is_help(argument)) {
            return OPTIONS_HELP;
        } else if (is_option) {
            enum options_answer answer = parse_one(options, option_count, argc, argv, &at, problem);
            if (answer != OPTIONS_PARSED) {
                return answer;
            }
        } else if (operands->count == OPTIONS_OPERANDS_MAX) {
            text_printf(problem, "'%s' is one operand too many", argument);
            return OPTIONS_WRONG;
        } else {
            operands->values[operands->count++] = argument;
        }
    }
    return OPTIONS_PARSED;
}

static void describe(const struct option *option, struct text *out) {
    if (option->letter != 0) {
        text_printf(out, "-%c, ", option->letter);
    }
    text_printf(out, "--%s", option->name);
    if (option->operand != NULL) {
        text_printf(out, " %s", option->operand);
    }
}

void options_print(const struct option *options, size_t option_count, FILE *out) {
    enum { HELP_COLUMN = 30 };
    for (size_t i = 0; i < option_count; ++i) {
        struct text name = {NULL, 0, 0};
        describe(&options[i], &name);
        (void)fprintf(out, "  %-*s", HELP_COLUMN - 4, name.bytes);
        if (name.size > HELP_COLUMN - 4) {
            (void)fprintf(out, "\n%*s", HELP_COLUMN - 2, "");
        }
        const char *line = options[i].help;
        for (const char *end = strchr(line, '\n'); end != NULL; end = strchr(line, '\n')) {
            (void)fprintf(out, "  %.*s\n%*s", (int)(end - line), line, HELP_COLUMN - 2, "");
            line = end + 1;
        }
        (void)fprintf(out, "  %s\n", line);
        text_free(&name);
    }
    (void)fprintf(out, "  %-*s  show this text\n", HELP_COLUMN - 4, "-h, --help");
}
