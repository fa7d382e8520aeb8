/* workspace_compare.c - khonsu workspace DIR compare: every pair of the deltas that a log has. */
#include "command_workspace.h"
#include "complain.h"
#include "delta_log.h"
#include "delta_text.h"
#include "heap.h"
#include "output.h"
#include "thresholds.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static const char details[] =
    "Judges each pair of the deltas that the log has and that were committed at most --window\n"
    "milliseconds apart (default: all pairs): how many there are of each class, and the pairs "
    "that\n"
    "are against each other (conflicting or opposite), the most similar, by size, first. These "
    "are\n"
    "the pairs that guard would have stopped, had neither seen the other. What is prepared and "
    "not\n"
    "decided is left out. With --json, the first line is an object of the counts, each line "
    "behind\n"
    "it a pair.";

static const char examples[] =
    "  khonsu workspace notes.db compare\n"
    "  khonsu workspace notes.db compare --window 60000 --threshold-conflicting 0.8 --limit 20\n"
    "  khonsu workspace notes.db compare --json";

enum { CLASS_COUNT = KH_DELTA_LOW_CONFLICT + 1, KEYS_SHOWN = 16 };

struct pair {
    const struct delta_entry *first; /* committed before the second */
    const struct delta_entry *second;
    kh_delta_class kind;
    float cosine;
};

struct comparison {
    uint64_t window_ms; /* UINT64_MAX: all */
    uint64_t limit;     /* 0: none */
    bool is_json;
    kh_delta_thresholds thresholds;
    uint64_t counts[CLASS_COUNT];
    uint64_t pair_count;
    struct pair *against;
    size_t against_count;
    struct text line;
};

static void take_pair(struct comparison *comparison, const struct delta_entry *first,
                      const struct delta_entry *second) {
    struct pair pair = {first, second, KH_DELTA_NONE, 0};
    pair.kind =
        kh_delta_classify(first->delta, second->delta, &comparison->thresholds, &pair.cosine);
    comparison->counts[pair.kind] += 1;
    comparison->pair_count += 1;
    if (pair.kind != KH_DELTA_CONFLICTING && pair.kind != KH_DELTA_OPPOSITE) {
        return;
    }
    size_t count = comparison->against_count++;
    if ((count & (count - 1)) == 0) { /* 0 and the powers of two: double */
        comparison->against =
            heap_resize(comparison->against, count == 0 ? 1 : 2 * count, sizeof pair);
    }
    comparison->against[count] = pair;
}

static uint64_t apart_ms(const struct delta_entry *first, const struct delta_entry *second) {
    return KH_MS_OF_TIMESTAMP(second->timestamp) - KH_MS_OF_TIMESTAMP(first->timestamp);
}

static void compare_all(struct comparison *comparison, const struct delta_log *log) {
    for (size_t i = 0; i < log->committed_count; ++i) {
        const struct delta_entry *first = &log->entries[i];
        for (size_t j = i + 1; j < log->committed_count; ++j) {
            const struct delta_entry *second = &log->entries[j];
            if (apart_ms(first, second) > comparison->window_ms) {
                break; /* they rise */
            }
            take_pair(comparison, first, second);
        }
    }
}

/* By size of the cosine, falling; then in the order of the commits. */
static int order_of(const void *left, const void *right) {
    const struct pair *a = left;
    const struct pair *b = right;
    float size_a = fabsf(a->cosine);
    float size_b = fabsf(b->cosine);
    if (size_a < size_b || size_a > size_b) {
        return size_a > size_b ? -1 : 1;
    }
    if (a->second != b->second) {
        return a->second > b->second ? 1 : -1;
    }
    return (a->first > b->first) - (a->first < b->first);
}

static void print_counts_json(struct comparison *comparison, const struct delta_log *log) {
    struct text *line = &comparison->line;
    text_clear(line);
    text_printf(line, "{\"deltas\":%zu,\"pairs\":%" PRIu64 ",\"classes\":{", log->committed_count,
                comparison->pair_count);
    for (int i = 0; i < CLASS_COUNT; ++i) {
        text_printf(line, "%s\"%s\":%" PRIu64, i == 0 ? "" : ",",
                    kh_delta_class_name((kh_delta_class)i), comparison->counts[i]);
    }
    text_add(line, "}}\n");
    (void)fwrite(line->bytes, 1, line->size, stdout);
}

static void add_end_json(struct text *line, const char *name, const struct delta_entry *entry) {
    text_printf(line, ",\"%s\":{\"position\":%" PRIu64 ",\"id\":\"", name, entry->position);
    delta_text_add_id(line, entry->id);
    text_printf(line, "\",\"timestamp\":%" PRIu64 "}", entry->timestamp);
}

static void print_pair_json(struct comparison *comparison, const struct pair *pair) {
    struct text *line = &comparison->line;
    text_clear(line);
    text_printf(line, "{\"class\":\"%s\",\"cosine\":%.9g", kh_delta_class_name(pair->kind),
                (double)pair->cosine);
    add_end_json(line, "first", pair->first);
    add_end_json(line, "second", pair->second);
    text_printf(line,
                ",\"apart_ms\":%" PRIu64 ",\"shared_keys\":", apart_ms(pair->first, pair->second));
    delta_text_add_keys(line, pair->first->delta, pair->second->delta, DELTA_TEXT_JSON, 0);
    text_add(line, "}\n");
    (void)fwrite(line->bytes, 1, line->size, stdout);
}

static void print_counts(const struct comparison *comparison, const struct delta_log *log) {
    struct table table = {NULL, 0, 0, NULL, 0, {NULL, 0, 0}};
    table_add_column(&table, "class", false);
    table_add_column(&table, "pairs", true);
    for (int i = 0; i < CLASS_COUNT; ++i) {
        table_add(&table, kh_delta_class_name((kh_delta_class)i));
        table_printf(&table, "%" PRIu64, comparison->counts[i]);
    }
    table_print(&table, stdout, output_terminal_width());
    (void)printf("(%" PRIu64 " pairs of %zu deltas%s)\n", comparison->pair_count,
                 log->committed_count,
                 log->is_whole ? "" : "; the log does not reach back to the first commit");
    table_free(&table);
}

static void add_row(struct comparison *comparison, struct table *table, const struct pair *pair) {
    struct text *cell = &comparison->line;
    table_add(table, kh_delta_class_name(pair->kind));
    table_printf(table, "%.4f", (double)pair->cosine);
    text_clear(cell);
    delta_text_add_id(cell, pair->first->id);
    table_add(table, cell->bytes);
    text_clear(cell);
    delta_text_add_id(cell, pair->second->id);
    table_add(table, cell->bytes);
    table_printf(table, "%" PRIu64, apart_ms(pair->first, pair->second));
    text_clear(cell);
    delta_text_add_keys(cell, pair->first->delta, pair->second->delta, DELTA_TEXT_PLAIN,
                        KEYS_SHOWN);
    table_add(table, cell->size == 0 ? "-" : cell->bytes);
}

static void print_pairs(struct comparison *comparison, size_t count) {
    struct table table = {NULL, 0, 0, NULL, 0, {NULL, 0, 0}};
    if (count == 0) {
        return;
    }
    table_add_column(&table, "class", false);
    table_add_column(&table, "cosine", true);
    table_add_column(&table, "first", true);
    table_add_column(&table, "second", true);
    table_add_column(&table, "ms apart", true);
    table_add_column(&table, "shared keys", false);
    for (size_t i = 0; i < count; ++i) {
        add_row(comparison, &table, &comparison->against[i]);
    }
    (void)printf("\n");
    table_print(&table, stdout, output_terminal_width());
    if (count < comparison->against_count) {
        (void)printf("(%zu of %zu)\n", count, comparison->against_count);
    }
    table_free(&table);
}

static void show(struct comparison *comparison, const struct delta_log *log) {
    size_t count = comparison->against_count;
    if (comparison->limit != 0 && comparison->limit < count) {
        count = (size_t)comparison->limit;
    }
    if (comparison->against_count > 0) {
        qsort(comparison->against, comparison->against_count, sizeof *comparison->against,
              order_of);
    }
    if (!comparison->is_json) {
        print_counts(comparison, log);
        print_pairs(comparison, count);
        return;
    }
    print_counts_json(comparison, log);
    for (size_t i = 0; i < count; ++i) {
        print_pair_json(comparison, &comparison->against[i]);
    }
}

static int run(const struct command *command, int argc, char *const *argv) {
    struct comparison comparison = {.window_ms = UINT64_MAX};
    struct threshold_arguments thresholds = thresholds_begin();
    const struct option options[] = {
        {"window", 'w', OPTION_COUNT, "MS",
         "only pairs committed at most so far apart; default all", &comparison.window_ms},
        {"limit", 'n', OPTION_COUNT, "N", "show so many pairs; default: all", &comparison.limit},
        {"json", 'j', OPTION_FLAG, NULL, "an object a line", &comparison.is_json},
        THRESHOLD_OPTIONS(thresholds),
    };
    struct operands operands;
    struct delta_log log;
    int code = CLI_OK;
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    comparison.thresholds = thresholds_end(&thresholds);
    code = delta_log_read(&log, operands.values[0]);
    if (code == CLI_OK) {
        compare_all(&comparison, &log);
        show(&comparison, &log);
        delta_log_free(&log);
    }
    free(comparison.against);
    text_free(&comparison.line);
    return code;
}

const struct command workspace_compare = {
    .name = "workspace DIR compare",
    .summary = "judge each pair of the deltas that the log has",
    .operands = "[--window MS] [--threshold-... X] [--limit N] [--json]",
    .details = details,
    .examples = examples,
    .operand_min = 1,
    .operand_max = 1,
    .run = run,
};
