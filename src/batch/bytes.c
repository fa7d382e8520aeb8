/* bytes.c - bytes that are given to a caller. Invariant: a block is one byte longer than what it is
 * told to be, on both ways. Failure: KH_NO_MEMORY, the output untouched. */
#include "batch/bytes.h"

#include "base/mem.h"
#include "base/status.h"
#include <string.h>

kh_status bytes_alloc(size_t size_bytes, void **out, kh_error *error) {
    struct mem *mem = mem_process();
    unsigned char *block = mem == NULL ? NULL : mem_alloc(mem, NULL, size_bytes + 1);
    if (block == NULL) return status_no_memory(error, size_bytes + 1);
    block[size_bytes] = 0;
    *out = block;
    return KH_OK;
}

kh_status bytes_make(const void *bytes, size_t size_bytes, kh_bytes *out, kh_error *error) {
    void *copy;
    kh_status status = bytes_alloc(size_bytes, &copy, error);
    if (status != KH_OK) return status;
    if (size_bytes > 0) memcpy(copy, bytes, size_bytes);
    *out = (kh_bytes){.data = copy, .size_bytes = size_bytes};
    return KH_OK;
}

void kh_bytes_free(kh_bytes bytes) {
    if (bytes.data != NULL)
        mem_free(mem_process(), NULL, (void *)(uintptr_t)bytes.data, bytes.size_bytes + 1);
}
