/* heap.c - allocation that ends the process when it fails. */
#include "heap.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *block) {
    if (block == NULL) {
        (void)fputs("khonsu: out of memory: free some, or work on a smaller file\n", stderr);
        exit(1);
    }
    return block;
}

void *heap_allocate(size_t count, size_t size_bytes) {
    return checked(calloc(count == 0 ? 1 : count, size_bytes == 0 ? 1 : size_bytes));
}

void *heap_resize(void *block, size_t count, size_t size_bytes) {
    if (size_bytes != 0 && count > SIZE_MAX / size_bytes) {
        return checked(NULL);
    }
    size_t total = count * size_bytes;
    return checked(realloc(block, total == 0 ? 1 : total));
}

char *heap_copy(const void *bytes, size_t size_bytes) {
    char *copy = heap_allocate(size_bytes + 1, 1);
    if (size_bytes > 0) {
        memcpy(copy, bytes, size_bytes);
    }
    return copy;
}
