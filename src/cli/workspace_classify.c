/* workspace_classify.c - khonsu workspace --classify: the class of two deltas, and which line of
 * the table (khonsu/delta.h) decided. The class is the library's; the table is shown beside it. */
#include "command_workspace.h"
#include "complain.h"
#include "heap.h"
#include "numbers.h"
#include "output.h"
#include "thresholds.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char details[] =
    "Judges two deltas that are given as files of numbers: an embedding after a change minus the\n"
    "one before it. Numbers stand one a line, or are divided by commas or blanks, or are a JSON\n"
    "array; - is the standard input. --key names a key that both change, and may be given many\n"
    "times: both have these keys and no others. Without it they have none in common. Shows the\n"
    "lines of the table of classes up to the first that is true, which decides: for choosing\n"
    "thresholds, with pairs of your own of which you know what they should be.";

static const char examples[] =
    "  khonsu workspace --classify ann.txt ben.txt\n"
    "  khonsu workspace --classify ann.txt ben.txt --key notes/7 --threshold-conflicting 0.8\n"
    "  khonsu workspace --classify ann.json ben.json --json";

struct judgement {
    kh_delta *deltas[2];
    kh_delta_thresholds thresholds;
    kh_delta_class kind;
    float cosine;
    float jaccard;
    float angular;
    size_t shared_keys;
    bool has_metrics; /* of one dimension */
    bool is_json;
    struct text when; /* the line that decided */
};

struct shown { /* lines of the table */
    struct judgement *judgement;
    struct table table;
    bool is_decided;
};

static void add_line(struct shown *shown, kh_delta_class kind, const char *when, const char *here,
                     bool is_true) {
    if (shown->is_decided) {
        return;
    }
    table_add(&shown->table, kh_delta_class_name(kind));
    table_add(&shown->table, when);
    table_add(&shown->table, here);
    table_add(&shown->table, is_true ? "yes: decides" : "no");
    if (is_true) {
        shown->is_decided = true;
        text_add(&shown->judgement->when, when);
    }
}

__attribute__((format(printf, 1, 2))) static const char *words(const char *format, ...) {
    static char lines[2][128]; /* two for each line of the table */
    static size_t next;
    va_list arguments;
    char *line = lines[next++ % 2];
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof lines[0], format, arguments);
    va_end(arguments);
    return line;
}

static void add_lines_of_cosine(struct shown *shown) {
    const struct judgement *of = shown->judgement;
    const kh_delta_thresholds *by = &of->thresholds;
    kh_delta_class kind = of->kind;
    double s = (double)of->cosine;
    bool has_same_keys = of->shared_keys == kh_delta_key_count(of->deltas[0]);
    add_line(shown, KH_DELTA_ORTHOGONAL, words("|s| < %g", (double)by->orthogonal),
             words("s = %.4f", s), kind == KH_DELTA_ORTHOGONAL);
    add_line(shown, KH_DELTA_IDENTICAL, words("the same keys, s >= %g", (double)by->identical),
             words("%s keys, s = %.4f", has_same_keys ? "the same" : "other", s),
             kind == KH_DELTA_IDENTICAL);
    add_line(shown, KH_DELTA_OPPOSITE, words("s <= %g", (double)by->opposite), words("s = %.4f", s),
             kind == KH_DELTA_OPPOSITE);
    add_line(shown, KH_DELTA_CONFLICTING, words("s >= %g", (double)by->conflicting),
             words("s = %.4f", s), kind == KH_DELTA_CONFLICTING && of->cosine >= by->conflicting);
}

static void add_lines(struct shown *shown) {
    const struct judgement *of = shown->judgement;
    bool is_sparse = kh_delta_is_sparse(of->deltas[0]) && kh_delta_is_sparse(of->deltas[1]);
    const char *none = !of->has_metrics            ? "their dimensions differ"
                       : of->kind == KH_DELTA_NONE ? "one is zero"
                                                   : "neither is zero, one dimension";
    add_line(shown, KH_DELTA_NONE, "one is zero, or their dimensions differ", none,
             of->kind == KH_DELTA_NONE);
    add_lines_of_cosine(shown);
    add_line(shown, KH_DELTA_CONFLICTING,
             words("both sparse, Jaccard index >= %g", (double)of->thresholds.jaccard),
             is_sparse ? words("%.4f", (double)of->jaccard) : "not both sparse",
             of->kind == KH_DELTA_CONFLICTING);
    add_line(shown, KH_DELTA_AMBIGUOUS, "a key is shared", words("%zu shared", of->shared_keys),
             of->kind == KH_DELTA_AMBIGUOUS);
    add_line(shown, KH_DELTA_LOW_CONFLICT, "none of these", "", true);
}

static void print_json(const struct judgement *of) {
    struct text line = {NULL, 0, 0};
    text_printf(&line,
                "{\"class\":\"%s\",\"cosine\":%.9g,\"decided_by\":", kh_delta_class_name(of->kind),
                (double)of->cosine);
    text_add_json(&line, text_bytes(&of->when));
    if (of->has_metrics) {
        text_printf(&line, ",\"angular\":%.9g,\"jaccard\":%.9g", (double)of->angular,
                    (double)of->jaccard);
    }
    text_printf(&line, ",\"shared_keys\":%zu,\"deltas\":[", of->shared_keys);
    for (size_t i = 0; i < 2; ++i) {
        text_printf(&line, "%s{\"dimension\":%zu,\"filled\":%zu,\"magnitude\":%.9g}",
                    i == 0 ? "" : ",", kh_delta_dimension(of->deltas[i]),
                    kh_delta_filled(of->deltas[i]), (double)kh_delta_magnitude(of->deltas[i]));
    }
    text_add(&line, "]}\n");
    (void)fwrite(line.bytes, 1, line.size, stdout);
    text_free(&line);
}

static void show(struct judgement *judgement) {
    struct shown shown = {.judgement = judgement, .table = {NULL, 0, 0, NULL, 0, {NULL, 0, 0}}};
    table_add_column(&shown.table, "class", false);
    table_add_column(&shown.table, "when", false);
    table_add_column(&shown.table, "here", false);
    table_add_column(&shown.table, "true", false);
    add_lines(&shown);
    if (judgement->is_json) {
        print_json(judgement);
    } else {
        (void)printf("%s, cosine %.4f: %s\n\n", kh_delta_class_name(judgement->kind),
                     (double)judgement->cosine, judgement->when.bytes);
        table_print(&shown.table, stdout, output_terminal_width());
    }
    table_free(&shown.table);
    text_free(&judgement->when);
}

/* Without keys it gets one of its own, own_key, so that two of them have other keys. */
static int read_delta(const char *path, const struct text *keys, size_t key_count,
                      const char *own_key, kh_delta **out) {
    struct numbers numbers;
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    kh_error error = {""};
    int code = numbers_read(path, &numbers);
    if (code != CLI_OK) {
        return code;
    }
    kh_bytes *bytes = heap_allocate(key_count + 1, sizeof *bytes);
    bytes[0] = (kh_bytes){own_key, 1};
    for (size_t i = 0; i < key_count; ++i) {
        bytes[i] = text_bytes(&keys[i]);
    }
    options.keys = bytes;
    options.key_count = key_count == 0 ? 1 : key_count;
    kh_floats values = {numbers.values, numbers.count};
    kh_status status = kh_delta_build(NULL, values, &options, out, &error);
    free(bytes);
    numbers_free(&numbers);
    return status == KH_OK ? CLI_OK : complain_status(path, status, &error);
}

static void judge(struct judgement *of) {
    const kh_delta *a = of->deltas[0];
    const kh_delta *b = of->deltas[1];
    of->kind = kh_delta_classify(a, b, &of->thresholds, &of->cosine);
    of->shared_keys = kh_delta_shared_keys(a, b);
    of->has_metrics = kh_delta_jaccard(a, b, &of->jaccard) == KH_OK &&
                      kh_delta_angular(a, b, &of->angular) == KH_OK;
}

static int classify(struct judgement *judgement, const struct operands *operands,
                    const struct words *arguments) {
    struct text *keys = heap_allocate(arguments->count + 1, sizeof *keys);
    int code = CLI_OK;
    for (size_t i = 0; i < arguments->count && code == CLI_OK; ++i) {
        code = command_key(arguments->values[i], &keys[i]) ? CLI_OK : CLI_USAGE;
    }
    for (size_t i = 0; i < 2 && code == CLI_OK; ++i) {
        code = read_delta(operands->values[i], keys, arguments->count, i == 0 ? "a" : "b",
                          &judgement->deltas[i]);
    }
    if (code == CLI_OK) {
        judge(judgement);
        show(judgement);
    }
    for (size_t i = 0; i < 2; ++i) {
        kh_delta_release(judgement->deltas[i]);
    }
    for (size_t i = 0; i < arguments->count; ++i) {
        text_free(&keys[i]);
    }
    free(keys);
    return code;
}

static int run(const struct command *command, int argc, char *const *argv) {
    struct judgement judgement = {.deltas = {NULL, NULL}};
    struct threshold_arguments thresholds = thresholds_begin();
    struct words keys = {NULL, 0};
    const struct option options[] = {
        {"key", 'k', OPTION_WORDS, "KEY", "a key that both change; may be given many times", &keys},
        {"json", 'j', OPTION_FLAG, NULL, "one object", &judgement.is_json},
        THRESHOLD_OPTIONS(thresholds),
    };
    struct operands operands;
    int code = CLI_OK;
    if (command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                      &code)) {
        judgement.thresholds = thresholds_end(&thresholds);
        code = classify(&judgement, &operands, &keys);
    }
    free(keys.values);
    return code;
}

const struct command workspace_classify = {
    .name = "workspace --classify",
    .summary = "judge two deltas in files of numbers",
    .operands = "FILE FILE [--key KEY ...] [--threshold-... X] [--json]",
    .details = details,
    .examples = examples,
    .operand_min = 2,
    .operand_max = 2,
    .run = run,
};
