/* command.h - the program's commands: one file each, listed in main.c. */
#ifndef KHONSU_CLI_COMMAND_H
#define KHONSU_CLI_COMMAND_H

#include "options.h"

struct command {
    const char *name;
    const char *summary;
    const char *operands; /* as in "KEY --from STORE" */
    const char *details;  /* paragraphs of the help, before the options */
    const char *examples; /* lines after them */
    size_t operand_min;
    size_t operand_max;
    /* Arguments after the command's name. Returns an exit code. */
    int (*run)(const struct command *command, int argc, char *const *argv);
};

extern const struct command command_demo;
extern const struct command command_import;
extern const struct command command_get;
extern const struct command command_put;
extern const struct command command_scan;
extern const struct command command_history;
extern const struct command command_changes;
extern const struct command command_stats;
extern const struct command command_restore;
extern const struct command command_backup;
extern const struct command command_compact;
extern const struct command command_log;
extern const struct command command_head;
extern const struct command command_verify;
extern const struct command command_workspace;

/* Parse the arguments of a command. True: go on. False: *code is the answer (help was shown, or
 * the complaint made). */
bool command_parse(const struct command *command, const struct option *options, size_t option_count,
                   int argc, char *const *argv, struct operands *operands, int *code);
/* An option that must be given: complains when value is NULL. */
bool command_has(const struct command *command, const char *option, const char *value);

/* A key as the arguments give it; the text is freed by the caller. Complains. */
bool command_key(const char *argument, struct text *key);
/* A point in time: a timestamp, or a date or time of ISO 8601 (the last commit of that millisecond,
 * or of the whole day, minute or second). Complains. */
bool command_time(const char *argument, kh_timestamp *out);

#endif
