/* numbers.h - files of numbers: an embedding as other programs write it. One a line, or divided by
 * commas or blanks, or a JSON array; nothing else. */
#ifndef KHONSU_CLI_NUMBERS_H
#define KHONSU_CLI_NUMBERS_H

#include <khonsu.h>

enum { NUMBERS_MAX = 65536 };

struct numbers { /* {NULL, 0}: none */
    float *values;
    size_t count;
};

/* "-": the standard input. At least one, all finite, at most NUMBERS_MAX. Returns an exit code,
 * having complained. */
int numbers_read(const char *path, struct numbers *out);
void numbers_free(struct numbers *numbers);

#endif
