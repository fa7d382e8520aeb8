/* command_workspace.c - khonsu workspace: what changes mean, and commits that know it. Finds which
 * of its commands is meant, and gives it the other arguments. */
#include "command_workspace.h"

#include "complain.h"
#include "heap.h"

#include <stdlib.h>
#include <string.h>

static const char details[] =
    "A workspace is a transaction that carries an embedding of its change, and is judged by it:\n"
    "docs/semantic.md. DIR is the directory of a durable database that no process has open.\n\n"
    "  khonsu workspace DIR list        the deltas that the log has\n"
    "  khonsu workspace DIR compare     the classes of their pairs, and which are against another\n"
    "  khonsu workspace DIR commit      put and delete keys, with what the change means\n"
    "  khonsu workspace --classify A B  the class of two deltas in files of numbers, and why\n\n"
    "Each has options and examples of its own: khonsu workspace list --help says them, and so on.";

static const char examples[] =
    "  khonsu workspace notes.db list --limit 20\n"
    "  khonsu workspace notes.db compare --window 60000 --threshold-conflicting 0.8\n"
    "  khonsu workspace notes.db commit --mode guard --put notes/ann=ann.arrow \\\n"
    "      --before old.txt --after new.txt\n"
    "  khonsu workspace --classify ann.txt ben.txt --key notes/7\n"
    "  khonsu workspace commit --help";

static const struct {
    const char *word;
    const struct command *command;
} commands[] = {
    {"list", &workspace_list},
    {"compare", &workspace_compare},
    {"commit", &workspace_commit},
};

static const struct command *find(const char *word) {
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; ++i) {
        if (strcmp(commands[i].word, word) == 0) {
            return commands[i].command;
        }
    }
    return NULL;
}

static bool is_help(const char *argument) {
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

/* All arguments but one. */
static int run_without(const struct command *command, int argc, char *const *argv, int left_out) {
    char **rest = heap_allocate((size_t)argc, sizeof *rest);
    int count = 0;
    for (int i = 0; i < argc; ++i) {
        if (i != left_out) {
            rest[count++] = argv[i];
        }
    }
    int code = command->run(command, count, rest);
    free(rest);
    return code;
}

static int run_overview(const struct command *command, int argc, char *const *argv) {
    bool is_classify = false;
    const struct option options[] = {
        {"classify", 0, OPTION_FLAG, NULL, "judge two files of numbers; first of all arguments",
         &is_classify},
    };
    struct operands operands;
    int code = CLI_OK;
    if (command_parse(command, options, 1, argc, argv, &operands, &code)) {
        code = complain(CLI_USAGE,
                        "workspace: DIR comes first, then list, compare or commit, then options "
                        "(khonsu workspace --help says more)");
    }
    return code;
}

static int run(const struct command *command, int argc, char *const *argv) {
    if (argc > 0 && strcmp(argv[0], "--classify") == 0) {
        return run_without(&workspace_classify, argc, argv, 0);
    }
    if (argc > 1 && argv[0][0] != '-') {
        const struct command *found = find(argv[1]);
        if (found != NULL) {
            return run_without(found, argc, argv, 1);
        }
        found = find(argv[0]);
        if (found != NULL && is_help(argv[1])) {
            return run_without(found, argc, argv, 0);
        }
        if (argv[1][0] != '-') {
            return complain(CLI_USAGE,
                            "workspace: '%s' is none of list, compare and commit (khonsu "
                            "workspace --help says more)",
                            argv[1]);
        }
    }
    return run_overview(command, argc, argv);
}

const struct command command_workspace = {
    .name = "workspace",
    .summary = "commit with an embedding of the change; list, compare",
    .operands = "DIR list|compare|commit ... | --classify FILE FILE",
    .details = details,
    .examples = examples,
    .operand_min = 2,
    .operand_max = 2,
    .run = run,
};
