/* opening.h - opening a database for a command: how far it is, on a terminal, when it takes longer
 * than a moment (the library's lines, one written over the other, on the standard error), and
 * whether there is one. */
#ifndef KHONSU_CLI_OPENING_H
#define KHONSU_CLI_OPENING_H

#include <khonsu.h>
#include <stdbool.h>

/* kh_db_open with these options, whose message hook is replaced. Silent where the standard error is
 * no terminal. */
kh_status opening_open(kh_options *options, kh_db **out, kh_error *error);

/* Has the directory of a database a file of that name? */
bool opening_has_file(const char *path, const char *name);
/* The same of a database that must be there: KH_INVALID where one would be made. */
kh_status opening_open_existing(kh_options *options, kh_db **out, kh_error *error);

/* The hook by itself; context is a struct opening_shown. */
struct opening_shown {
    bool is_terminal;
    unsigned line_count; /* that were shown */
};
void opening_message(void *context, kh_log_level level, const char *message);

#endif
