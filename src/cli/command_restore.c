/* command_restore.c - khonsu restore: a new database with the state of another at a moment. */
#include "command.h"
#include "complain.h"

#include <inttypes.h>
#include <stdio.h>

static const char details[] =
    "Makes a new database in the directory TO, which must be empty or absent, with the keys and\n"
    "values that FROM had at a moment: the newest, or the one of --to. FROM is the directory of a\n"
    "database, whether or not a process has it open, or of backups; it is not changed. The new\n"
    "database has an id and a timeline of its own and no older history; what was prepared and not\n"
    "decided is left out. What was written is read back and compared. How far back --to can reach\n"
    "is the matter of retention: of the process that writes FROM.";

static const char examples[] =
    "  khonsu restore orders.db copy.db\n"
    "  khonsu restore orders.db before.db --to 2026-03-29T01:59:59.999Z\n"
    "  khonsu restore backups/ orders.db --backup 12";

static int run(const struct command *command, int argc, char *const *argv) {
    const char *to = NULL;
    uint64_t number = 0;
    bool is_quiet = false;
    const struct option options[] = {
        {"to", 't', OPTION_TEXT, "TIME",
         "the moment: a timestamp, or a UTC time (its last commit);\ndefault: the newest", &to},
        {"backup", 'b', OPTION_COUNT, "N", "of backups the one with that number; default: newest",
         &number},
        {"quiet", 'q', OPTION_FLAG, NULL, "do not say what was done", &is_quiet},
    };
    struct operands operands;
    kh_restore_options moment = KH_RESTORE_OPTIONS_INIT;
    kh_restored restored;
    kh_error error = {""};
    int code = CLI_OK;
    if (!command_parse(command, options, sizeof options / sizeof options[0], argc, argv, &operands,
                       &code)) {
        return code;
    }
    if (to != NULL && !command_time(to, &moment.to)) {
        return CLI_USAGE;
    }
    const char *from = operands.values[0];
    const char *target = operands.values[1];
    kh_status status = number == 0
                           ? kh_restore(from, target, &moment, &restored, &error)
                           : kh_backup_restore(from, number, target, &moment, &restored, &error);
    if (status != KH_OK) {
        return complain_status("restore", status, &error);
    }
    if (!is_quiet) {
        (void)fprintf(stderr, "khonsu: %" PRIu64 " keys in %s, as of timestamp %" PRIu64 "\n",
                      restored.keys, target, restored.timestamp);
    }
    return CLI_OK;
}

const struct command command_restore = {
    .name = "restore",
    .summary = "make a new database of another, or of a backup, at a moment",
    .operands = "FROM TO [--to TIME] [--backup N]",
    .details = details,
    .examples = examples,
    .operand_min = 2,
    .operand_max = 2,
    .run = run,
};
