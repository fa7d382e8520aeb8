/* command_workspace.h - khonsu workspace has commands of its own: one file each. */
#ifndef KHONSU_CLI_COMMAND_WORKSPACE_H
#define KHONSU_CLI_COMMAND_WORKSPACE_H

#include "command.h"

/* Their name, "workspace DIR list", is what the help and complaints call them; their one operand is
 * DIR. */
extern const struct command workspace_list;
extern const struct command workspace_compare;
extern const struct command workspace_commit;
/* Operands: two files. */
extern const struct command workspace_classify;

#endif
