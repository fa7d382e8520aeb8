/* main.c - the program khonsu: finds the command and runs it.
 *
 * Uses the public header only. A reader of its output that goes away ends it quietly: SIGPIPE is
 * ignored, and output.c stops writing when a write fails. */
#include "command.h"
#include "complain.h"
#include "file.h"

#include <signal.h>
#include <string.h>

static const struct command *const commands[] = {
    &command_demo,    &command_import,  &command_get,    &command_put,     &command_scan,
    &command_history, &command_stats,   &command_log,    &command_head,    &command_verify,
    &command_changes, &command_restore, &command_backup, &command_compact, &command_workspace,
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *out) {
    (void)fprintf(out, "khonsu - serializable transactions over Arrow record batches\n\n"
                       "usage: khonsu COMMAND ...\n\ncommands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; ++i) {
        (void)fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    }
    (void)fprintf(out,
                  "\n  khonsu help COMMAND   options and examples of a command\n"
                  "  khonsu --version      version and features\n\n"
                  "A store is a file that holds a database with its history: an Arrow IPC file of\n"
                  "the columns key, timestamp and value (an Arrow stream; null: deleted). DIR is\n"
                  "the directory of a durable database that no process has open.\n\n"
                  "exit codes: 0 done, 1 failed or inconsistent, 2 wrong usage, 3 no such key\n");
}

static int print_version(void) {
    static const char *const features[] = {"memory",     "ipc",     "lz4",         "zstd",
                                           "hash-front", "durable", "slow-checks", "mutant"};
    (void)printf("khonsu %s\nfeatures:", kh_version());
    for (size_t i = 0; i < sizeof features / sizeof features[0]; ++i) {
        if (kh_has_feature(features[i])) {
            (void)printf(" %s", features[i]);
        }
    }
    (void)printf("\n");
    return CLI_OK;
}

static const struct command *find(const char *name) {
    for (size_t i = 0; i < COMMAND_COUNT; ++i) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

static int help(int argc, char *const *argv) {
    if (argc < 1) {
        print_usage(stdout);
        return CLI_OK;
    }
    const struct command *command = find(argv[0]);
    if (command == NULL) {
        return complain(CLI_USAGE, "there is no command '%s': khonsu help lists them", argv[0]);
    }
    static char flag[] = "--help";
    char *const help_argv[] = {flag, NULL};
    return command->run(command, 1, help_argv);
}

static int dispatch(int argc, char *const *argv) {
    if (argc < 2) {
        print_usage(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        return print_version();
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        return help(argc - 2, argv + 2);
    }
    const struct command *command = find(name);
    if (command == NULL) {
        return complain(CLI_USAGE, "there is no command '%s': khonsu help lists them", name);
    }
    return command->run(command, argc - 2, argv + 2);
}

int main(int argc, char *argv[]) {
    struct sigaction ignore;
    memset(&ignore, 0, sizeof ignore);
    ignore.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &ignore, NULL);
    int code = dispatch(argc, argv);
    (void)fflush(stdout);
    if (ferror(stdout) && !file_is_reader_gone() && code == CLI_OK) {
        code = complain(CLI_FAILED, "cannot write the standard output: is the disk full?");
    }
    return code;
}
