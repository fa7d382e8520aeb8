/* directory.h - a directory of a test's own, for databases with a path. */
#ifndef TEST_SUPPORT_DIRECTORY_H
#define TEST_SUPPORT_DIRECTORY_H

#include <stddef.h>

enum { DIRECTORY_BYTES = 256 };

struct directory {
    char path[DIRECTORY_BYTES];
};

/* New and empty, under TMPDIR (or /tmp). */
void directory_make(struct directory *directory);
/* With everything in it. */
void directory_remove(struct directory *directory);
/* path/name, in storage that the next call overwrites. */
const char *directory_join(const struct directory *directory, const char *name);
/* Copy a tree of files. */
void directory_copy(const struct directory *from, const struct directory *to);

#endif
