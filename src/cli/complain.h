/* complain.h - exit codes, and messages on the standard error: one line each, with what to do. */
#ifndef KHONSU_CLI_COMPLAIN_H
#define KHONSU_CLI_COMPLAIN_H

#include <khonsu.h>

enum exit_code {
    CLI_OK = 0,
    CLI_FAILED = 1, /* inconsistent, or it could not be done */
    CLI_USAGE = 2,
    CLI_ABSENT = 3 /* no such key or version */
};

/* Print "khonsu: MESSAGE" and return code, so that a failure is one line. */
__attribute__((format(printf, 2, 3))) int complain(int code, const char *format, ...);
/* The failure of a call: what was tried, and what the library said. Returns the exit code that
 * belongs to the status. error may have an empty message. */
int complain_status(const char *what, kh_status status, const kh_error *error);
/* The failure of a system call, from errno. Returns CLI_FAILED. */
int complain_errno(const char *what, const char *path);

#endif
