/* ipc.c - fuzzes the reader of IPC streams and files.
 *
 * Any bytes give batches or a typed status of the reader's list. Batches that come out must survive
 * being written and read again, unchanged: what the reader lets in, the encoder can rely on. */
#include "khonsu/batch.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

static void expect(bool holds, const char *what, kh_status status, const kh_error *error) {
    if (holds)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, kh_status_name(status), error->message);
    abort();
}

static void check_again(kh_batch *const *batches, size_t count) {
    kh_error error = {.message = ""};
    kh_bytes written;
    kh_batch **again;
    size_t again_count;
    kh_status status = kh_ipc_encode((const kh_batch *const *)batches, count, KH_IPC_STREAM,
                                     KH_COMPRESS_NONE, &written, &error);
    expect(status == KH_OK, "encode", status, &error);
    status = kh_ipc_decode(NULL, written, &again, &again_count, &error);
    expect(status == KH_OK && again_count == count, "decode again", status, &error);
    for (size_t i = 0; i < count; i++) {
        bool is_equal = false;
        status = kh_batch_equal(batches[i], again[i], &is_equal, &error);
        expect(status == KH_OK && is_equal, "compare", status, &error);
    }
    kh_batches_free(again, again_count);
    kh_bytes_free(written);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    kh_error error = {.message = ""};
    kh_batch **batches;
    size_t count;
    kh_bytes input = {.data = bytes, .size_bytes = size_bytes};
    kh_status status = kh_ipc_decode(NULL, input, &batches, &count, &error);
    expect(status == KH_OK || status == KH_CORRUPT || status == KH_TOO_BIG ||
               status == KH_UNSUPPORTED || status == KH_NO_MEMORY,
           "decode", status, &error);
    if (status != KH_OK)
        return 0;
    if (count > 0)
        check_again(batches, count);
    kh_batches_free(batches, count);
    return 0;
}
