/* opening.c - see opening.h.
 *
 * The library says when it begins, how far it is each second, and when it has ended (docs/
 * durability.md). What ends within the first second shows nothing here: the first line and the last
 * are shown only where there were some between. */
#include "opening.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool begins_with(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

void opening_message(void *context, kh_log_level level, const char *message) {
    struct opening_shown *shown = context;
    if (level != KH_LOG_NOTICE || !shown->is_terminal) { /* errors come from any thread */
        return;
    }
    bool is_end = begins_with(message, "opened: ");
    if (is_end ? shown->line_count == 0 : !begins_with(message, "opening: ")) {
        return;
    }
    shown->line_count += 1;
    (void)fprintf(stderr, "\r\033[Kkhonsu: %s%s", message, is_end ? "\n" : "");
    (void)fflush(stderr);
}

/* One at a time in this program; the hook may be called until the database is closed. */
static struct opening_shown shown_now;

kh_status opening_open(kh_options *options, kh_db **out, kh_error *error) {
    shown_now = (struct opening_shown){.is_terminal = isatty(STDERR_FILENO) == 1};
    options->message = opening_message;
    options->message_context = &shown_now;
    kh_status status = kh_db_open(options, out, error);
    if (status != KH_OK && shown_now.line_count > 0) {
        (void)fputc('\n', stderr); /* what the last line leaves, the failure stands below it */
    }
    return status;
}

bool opening_has_file(const char *path, const char *name) {
    char file[4096]; /* longer than the path of a database can be */
    (void)snprintf(file, sizeof file, "%s/%s", path, name);
    return access(file, F_OK) == 0;
}

kh_status opening_open_existing(kh_options *options, kh_db **out, kh_error *error) {
    if (opening_has_file(options->path, "KHONSU") || opening_has_file(options->path, "MARK")) {
        return opening_open(options, out, error);
    }
    (void)snprintf(error->message, sizeof error->message, "%.200s is not a database of khonsu",
                   options->path);
    return KH_INVALID;
}
