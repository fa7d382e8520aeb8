/* workspace_list.c - khonsu workspace DIR list: the deltas that a database's log has. */
#include "command_workspace.h"
#include "complain.h"
#include "delta_log.h"
#include "delta_text.h"
#include "head_text.h"
#include "output.h"

#include <inttypes.h>

static const char details[] =
    "Lists what workspaces have committed with an embedding of their change, in the order of the\n"
    "commits, as far back as the log goes: position of the record, transaction, time of the\n"
    "commit, mode, dimension of the embedding, magnitude of the delta, and the keys that it\n"
    "changes. What is prepared and not decided stands last, without a time.";

static const char examples[] =
    "  khonsu workspace notes.db list\n"
    "  khonsu workspace notes.db list --since 2026-01-31T12:00:00.000Z --limit 20 --json";

enum { KEYS_SHOWN = 16 };

struct listing {
    kh_timestamp since;
    uint64_t limit; /* 0: none */
    bool is_json;
    struct text line;
};

static void print_json(struct listing *listing, const struct delta_entry *entry) {
    struct text *line = &listing->line;
    text_clear(line);
    text_printf(line, "{\"position\":%" PRIu64 ",\"id\":\"", entry->position);
    delta_text_add_id(line, entry->id);
    text_add_char(line, '"');
    if (entry->timestamp != 0) {
        text_printf(line, ",\"timestamp\":%" PRIu64 ",\"time\":\"", entry->timestamp);
        head_text_add_time(line, KH_MS_OF_TIMESTAMP(entry->timestamp));
        text_add_char(line, '"');
    }
    text_add_char(line, ',');
    delta_text_add_json(line, entry->mode, entry->delta);
    text_add(line, ",\"keys\":");
    delta_text_add_keys(line, entry->delta, NULL, DELTA_TEXT_JSON, 0);
    text_add(line, "}\n");
    (void)fwrite(line->bytes, 1, line->size, stdout);
}

static void add_row(struct listing *listing, struct table *table, const struct delta_entry *entry) {
    struct text *cell = &listing->line;
    table_printf(table, "%" PRIu64, entry->position);
    text_clear(cell);
    delta_text_add_id(cell, entry->id);
    table_add(table, cell->bytes);
    text_clear(cell);
    if (entry->timestamp != 0) {
        head_text_add_time(cell, KH_MS_OF_TIMESTAMP(entry->timestamp));
        table_printf(table, "%" PRIu64, entry->timestamp);
    } else {
        text_add(cell, "prepared");
        table_add(table, "-");
    }
    table_add(table, cell->bytes);
    table_add(table, delta_text_mode(entry->mode));
    table_printf(table, "%zu", kh_delta_dimension(entry->delta));
    table_printf(table, "%.6g", (double)kh_delta_magnitude(entry->delta));
    text_clear(cell);
    delta_text_add_keys(cell, entry->delta, NULL, DELTA_TEXT_PLAIN, KEYS_SHOWN);
    table_add(table, cell->bytes);
}

static void show(struct listing *listing, const struct delta_log *log) {
    static const struct {
        const char *name;
        bool is_right;
    } columns[] = {{"position", true}, {"transaction", true}, {"timestamp", true}, {"time", false},
                   {"mode", false},    {"dimension", true},   {"magnitude", true}, {"keys", false}};
    struct table table = {NULL, 0, 0, NULL, 0, {NULL, 0, 0}};
    uint64_t shown = 0;
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; ++i) {
        table_add_column(&table, columns[i].name, columns[i].is_right);
    }
    for (size_t i = 0; i < log->count && (listing->limit == 0 || shown < listing->limit); ++i) {
        const struct delta_entry *entry = &log->entries[i];
        if (entry->timestamp != 0 && entry->timestamp <= listing->since) {
            continue;
        }
        ++shown;
        if (listing->is_json) {
            print_json(listing, entry);
        } else {
            add_row(listing, &table, entry);
        }
    }
    if (!listing->is_json) {
        table_print(&table, stdout, output_terminal_width());
        (void)printf("(%" PRIu64 " deltas%s)\n", shown,
                     log->is_whole ? "" : "; the log does not reach back to the first commit");
    }
    table_free(&table);
}

static int run(const struct command *command, int argc, char *const *argv) {
    struct listing listing = {.since = 0};
    const char *since = NULL;
    const struct option options[] = {
        {"since", 0, OPTION_TEXT, "TIME", "of commits after this timestamp or UTC time", &since},
        {"limit", 'n', OPTION_COUNT, "N", "show so many; default: all", &listing.limit},
        {"json", 'j', OPTION_FLAG, NULL, "an object a line", &listing.is_json},
    };
    struct operands operands;
    struct delta_log log;
    int code = CLI_OK;
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    if (since != NULL && !command_time(since, &listing.since)) {
        return CLI_USAGE;
    }
    code = delta_log_read(&log, operands.values[0]);
    if (code == CLI_OK) {
        show(&listing, &log);
        delta_log_free(&log);
    }
    text_free(&listing.line);
    return code;
}

const struct command workspace_list = {
    .name = "workspace DIR list",
    .summary = "list the deltas that the log has",
    .operands = "[--since TIME] [--limit N] [--json]",
    .details = details,
    .examples = examples,
    .operand_min = 1,
    .operand_max = 1,
    .run = run,
};
