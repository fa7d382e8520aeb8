/* command_head.c - khonsu head: the end of a database's history, to be kept elsewhere. */
#include "command.h"
#include "complain.h"
#include "head_text.h"

static const char details[] =
    "Prints NUMBER:DIGEST of the newest group that is on disk. Whoever keeps this line can tell\n"
    "later whether anything before it was changed: khonsu verify DIR --expect HEAD. DIR is the\n"
    "directory of a database that no process has open; nothing in it is changed.";

static const char examples[] = "  khonsu head orders.db >> heads.txt";

static int run(const struct command *command, int argc, char *const *argv) {
    struct operands operands;
    int code = CLI_OK;
    kh_head head;
    kh_error error = {""};
    if (!command_parse(command, NULL, 0, argc, argv, &operands, &code)) {
        return code;
    }
    kh_status status = kh_path_head(operands.values[0], &head, &error);
    if (status != KH_OK) {
        return complain_status("head", status, &error);
    }
    struct text line = {NULL, 0, 0};
    head_text_add(&line, &head);
    (void)printf("%s\n", line.bytes);
    text_free(&line);
    return CLI_OK;
}

const struct command command_head = {
    .name = "head",
    .summary = "print the head of a database's history",
    .operands = "DIR",
    .details = details,
    .examples = examples,
    .operand_min = 1,
    .operand_max = 1,
    .run = run,
};
