/* ipc.c - any bytes as an Arrow IPC stream or file.
 *
 * The first byte says how the source hands the rest over: how much at once. Properties: the reader
 * that pulls and the one in memory answer alike, with batches or a status of the reader's list; a
 * batch that came out imports again in full (but for decimals of too many digits, which IPC keeps
 * as they are) and, written as a stream, as a file and compressed, is read again unchanged: what
 * the reader lets in, everything else can rely on. */
#include "khonsu/batch.h"
#include "kit/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

static void expect(bool holds, const char *what, kh_status status, const kh_error *error) {
    if (holds) return;
    fprintf(stderr, "%s: %s: %s\n", what, kh_status_name(status), error->message);
    abort();
}

struct batches {
    kh_batch **items;
    size_t count;
};

static void check_read(kh_bytes written, const struct batches *batches, const char *what) {
    kh_error error = {""};
    kh_batch **again = NULL;
    size_t count = 0;
    kh_status status = kh_ipc_decode(NULL, written, &again, &count, &error);
    expect(status == KH_OK && count == batches->count, what, status, &error);
    for (size_t i = 0; i < count; i++) {
        bool is_equal = false;
        status = kh_batch_equal(batches->items[i], again[i], &is_equal, &error);
        expect(status == KH_OK && is_equal, what, status, &error);
    }
    kh_batches_free(again, count);
}

static void check_written(const struct batches *batches, kh_ipc_format format,
                          kh_compression compression) {
    kh_error error = {""};
    kh_bytes written = {NULL, 0};
    kh_status status = kh_ipc_encode((const kh_batch *const *)batches->items, batches->count,
                                     format, compression, &written, &error);
    /* A file's dictionaries can only grow, and not all of them can. */
    if (status == KH_UNSUPPORTED && format == KH_IPC_FILE) return;
    expect(status == KH_OK, "encode", status, &error);
    check_read(written, batches, "decode again");
    kh_bytes_free(written);
}

static void check_import(const kh_batch *batch) {
    struct ArrowArray array;
    kh_error error = {""};
    kh_batch *again = NULL;
    bool is_equal = false;
    kh_status status = kh_batch_export(batch, &array, NULL, &error);
    expect(status == KH_OK, "export", status, &error);
    status =
        kh_batch_import(NULL, kh_batch_schema(batch), &array, KH_VALIDATE_FULL, &again, &error);
    if (status == KH_INVALID_DATA && strstr(error.message, "digits") != NULL)
        status = kh_batch_import(NULL, kh_batch_schema(batch), &array, KH_VALIDATE_STRUCTURE,
                                 &again, &error);
    expect(status == KH_OK, "import", status, &error);
    status = kh_batch_equal(batch, again, &is_equal, &error);
    expect(status == KH_OK && is_equal, "import", status, &error);
    kh_batch_release(again);
}

/* ---- the reader that pulls ---- */

struct source {
    struct feed feed;
    size_t most; /* at once; 0: as much as is asked for */
};

static int64_t give(void *context, void *bytes, size_t size_bytes) {
    struct source *source = context;
    size_t left = (size_t)(source->feed.end - source->feed.next);
    size_t size = size_bytes < left ? size_bytes : left;
    if (source->most > 0 && size > source->most) size = source->most;
    feed_bytes(&source->feed, bytes, size);
    return (int64_t)size;
}

static kh_status pull(kh_bytes input, size_t most, const struct batches *expected, size_t *pulled) {
    struct source source = {{input.data, (const uint8_t *)input.data + input.size_bytes}, most};
    kh_source from = {give, &source};
    kh_ipc_reader *reader = NULL;
    kh_error error = {""};
    kh_status status = kh_ipc_reader_open(NULL, &from, &reader, &error);
    *pulled = 0;
    if (status != KH_OK) return status;
    kh_batch *batch = NULL;
    while ((status = kh_ipc_reader_next(reader, &batch, &error)) == KH_OK) {
        bool is_equal = *pulled >= expected->count;
        if (!is_equal) status = kh_batch_equal(expected->items[*pulled], batch, &is_equal, &error);
        expect(status == KH_OK && is_equal, "pulled", status, &error);
        ++*pulled;
        kh_batch_release(batch);
    }
    kh_error later = {""};
    kh_status again = kh_ipc_reader_next(reader, &batch, &later);
    expect(again == status, "another answer", again, &later);
    kh_ipc_reader_close(reader);
    return status == KH_END ? KH_OK : status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    if (size_bytes == 0) return 0;
    kh_error error = {""};
    struct batches batches = {NULL, 0};
    size_t pulled = 0;
    int how = bytes[0];
    kh_bytes input = {bytes + 1, size_bytes - 1};
    kh_status status = kh_ipc_decode(NULL, input, &batches.items, &batches.count, &error);
    expect(status == KH_OK || status == KH_CORRUPT || status == KH_TOO_BIG ||
               status == KH_UNSUPPORTED || status == KH_NO_MEMORY,
           "decode", status, &error);
    kh_status other = pull(input, (size_t)(how & 15), &batches, &pulled);
    expect(other == status, "the reader that pulls", other, &error);
    if (status != KH_OK) return 0;
    expect(pulled == batches.count, "batches pulled", status, &error);
    for (size_t i = 0; i < batches.count; i++) check_import(batches.items[i]);
    if (batches.count > 0)
        check_written(&batches, (how & 16) != 0 ? KH_IPC_FILE : KH_IPC_STREAM,
                      (how & 0xE0) == 0x20   ? KH_COMPRESS_LZ4
                      : (how & 0xE0) == 0x40 ? KH_COMPRESS_ZSTD
                                             : KH_COMPRESS_NONE);
    kh_batches_free(batches.items, batches.count);
    return 0;
}
