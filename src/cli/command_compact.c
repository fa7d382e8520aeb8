/* command_compact.c - khonsu compact: history that is kept no longer leaves a database's files. */
#include "command.h"
#include "complain.h"
#include "opening.h"

#include <inttypes.h>
#include <string.h>

static const char details[] =
    "Opens the database in the directory DIR, which no process may have open, with the given\n"
    "retention, and applies it: versions that were overwritten before its window are deleted, the\n"
    "log is cut, and the files are rewritten without either. Without --retention and\n"
    "--retention-bytes no history is kept. What is deleted here is gone for good.";

static const char examples[] = "  khonsu compact orders.db --retention 7d\n"
                               "  khonsu compact orders.db --retention 12h --retention-bytes 2G";

/* A number with its unit. */
static bool parse_span(const char *argument, uint64_t *ms) {
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char digits[20];
    size_t length = strspn(argument, "0123456789");
    uint64_t number = 0;
    if (length == 0 || length >= sizeof digits) {
        return false;
    }
    memcpy(digits, argument, length);
    digits[length] = '\0';
    if (!options_count(digits, &number)) {
        return false;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; ++i) {
        if (strcmp(argument + length, units[i].name) == 0 && number < UINT64_MAX / units[i].ms) {
            *ms = number * units[i].ms;
            return true;
        }
    }
    return false;
}

static int compact(const char *path, kh_options *options, bool is_quiet) {
    kh_error error = {""};
    kh_db *db = NULL;
    kh_stats stats = {.size = sizeof stats};
    kh_status status = opening_open_existing(options, &db, &error);
    if (status != KH_OK) {
        return complain_status("compact", status, &error);
    }
    status = kh_db_compact(db, &error);
    kh_timestamp horizon = kh_db_horizon(db);
    if (status == KH_OK) {
        status = kh_db_stats(db, &stats, &error);
    }
    (void)kh_db_close(db);
    if (status != KH_OK) {
        return complain_status("compact", status, &error);
    }
    if (!is_quiet) {
        (void)fprintf(stderr,
                      "khonsu: %" PRIu64 " versions in %s, history from timestamp %" PRIu64 " on\n",
                      stats.versions_live, path, horizon);
    }
    return CLI_OK;
}

static int run(const struct command *command, int argc, char *const *argv) {
    kh_options opened = KH_OPTIONS_INIT;
    const char *span = NULL;
    bool is_quiet = false;
    const struct option options[] = {
        {"retention", 0, OPTION_TEXT, "TIME", "history to keep: 90s, 15m, 12h, 7d; default none",
         &span},
        {"retention-bytes", 0, OPTION_COUNT, "N", "and at most so many bytes of it",
         &opened.retention_bytes},
        {"quiet", 'q', OPTION_FLAG, NULL, "do not say what was done", &is_quiet},
    };
    struct operands operands;
    int code = CLI_OK;
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    if (span != NULL && !parse_span(span, &opened.retention_ms)) {
        return complain(CLI_USAGE, "compact: '%s' is no time: 90s, 15m, 12h or 7d, say", span);
    }
    opened.path = operands.values[0];
    return compact(operands.values[0], &opened, is_quiet);
}

const struct command command_compact = {
    .name = "compact",
    .summary = "apply retention to a database's files",
    .operands = "DIR [--retention TIME] [--retention-bytes N]",
    .details = details,
    .examples = examples,
    .operand_min = 1,
    .operand_max = 1,
    .run = run,
};
