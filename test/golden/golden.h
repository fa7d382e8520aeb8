/* golden.h - what the files of the program khonsu-golden share; golden.c has the whole. */
#ifndef TEST_GOLDEN_GOLDEN_H
#define TEST_GOLDEN_GOLDEN_H

#include <khonsu.h>

#include <stdbool.h>
#include <stdint.h>

/* Ends the program when it is not so. */
void golden_must(bool is_true, const char *what, const kh_error *error);
/* retention_ms: of this opening. */
kh_db *golden_open(const char *path, uint32_t flags, uint64_t retention_ms);

/* Make the databases in the working directory (golden_make.c). */
void golden_make(void);
/* Write all that is in a database as text (golden_dump.c). */
void golden_dump(const char *path);
/* Open it for writing, write the newest state as text, decide what is prepared and write that. */
void golden_settle(const char *path);

#endif
