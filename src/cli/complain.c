/* complain.c - one-line messages on the standard error. */
#include "complain.h"

#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int complain(int code, const char *format, ...) {
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    struct text line = {NULL, 0, 0};
    text_add_visible(&line, (kh_bytes){message, strlen(message)});
    (void)fflush(stdout);
    (void)fprintf(stderr, "khonsu: %s\n", line.bytes == NULL ? "" : line.bytes);
    text_free(&line);
    return code;
}

static const char *advice(kh_status status) {
    switch (status) {
    case KH_BUSY:
    case KH_EXPIRED:
    case KH_CONFLICT:
    case KH_NOT_SERIALIZABLE:
        return "run it again";
    case KH_NO_MEMORY:
        return "free some memory, or work on a smaller file";
    case KH_TOO_BIG:
        return "split it into smaller keys";
    case KH_NO_ID_COLUMN:
        return "name the id column with --id";
    default:
        return NULL;
    }
}

int complain_status(const char *what, kh_status status, const kh_error *error) {
    bool has_message = error != NULL && error->message[0] != '\0';
    const char *message = has_message ? error->message : kh_status_meaning(status);
    const char *hint = advice(status);
    int code = status == KH_NOT_FOUND ? CLI_ABSENT : CLI_FAILED;
    return complain(code, "%s: %s (%s)%s%s", what, message, kh_status_name(status),
                    hint == NULL ? "" : "; ", hint == NULL ? "" : hint);
}

int complain_errno(const char *what, const char *path) {
    return complain(CLI_FAILED, "cannot %s %s: %s", what, path, strerror(errno));
}
