/* heap.h - memory of the program. It has nothing to save when there is none left: these functions
 * end the process with a message and exit code 1 and never return NULL. */
#ifndef KHONSU_CLI_HEAP_H
#define KHONSU_CLI_HEAP_H

#include <stddef.h>

/* count elements of size_bytes, zeroed; freed with free(). */
void *heap_allocate(size_t count, size_t size_bytes);
/* Grow or shrink a block (NULL: a new one) to count elements; new bytes are not zeroed. */
void *heap_resize(void *block, size_t count, size_t size_bytes);
/* A copy with a NUL behind it. */
char *heap_copy(const void *bytes, size_t size_bytes);

#endif
