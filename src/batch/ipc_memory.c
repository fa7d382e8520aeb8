/* ipc_memory.c - whole streams and files in memory, by the writer and the reader.
 *
 * Failure: outputs untouched, nothing kept. Arrays given to the caller belong to the process
 * context and have exactly the size that is told, which is how they are freed. */
#include "batch/ipc_wire.h"

#include "base/status.h"
#include "batch/bytes.h"
#include <errno.h>
#include <string.h>

static int append(void *context, const void *bytes, size_t size_bytes) {
    struct ipc_buffer *buffer = context;
    ipc_buffer_append(buffer, bytes, size_bytes);
    return buffer->is_failed ? ENOMEM : 0;
}

static kh_status write_all(const kh_batch *const *batches, size_t batch_count,
                           kh_ipc_format format, kh_compression compression,
                           struct ipc_buffer *buffer, kh_error *error) {
    kh_ipc_writer *writer = NULL;
    kh_sink sink = {.write = append, .context = buffer};
    kh_status status = kh_ipc_writer_open(&sink, format, compression,
                                          kh_batch_schema(batches[0]), &writer, error);
    for (size_t i = 0; i < batch_count && status == KH_OK; i++)
        status = kh_ipc_writer_write(writer, batches[i], error);
    if (status == KH_OK)
        status = kh_ipc_writer_finish(writer, error);
    kh_ipc_writer_close(writer);
    if (status == KH_IO && buffer->is_failed)
        status = status_no_memory(error, buffer->size_bytes);
    return status;
}

kh_status kh_ipc_encode(const kh_batch *const *batches, size_t batch_count, kh_ipc_format format,
                        kh_compression compression, kh_bytes *bytes, kh_error *error) {
    if (batches == NULL || batch_count == 0 || bytes == NULL)
        return status_fail(error, KH_INVALID, "kh_ipc_encode: no batches, and so no schema");
    struct mem *mem = mem_process();
    if (mem == NULL)
        return status_no_memory(error, 0);
    struct ipc_buffer buffer;
    ipc_buffer_init(&buffer, mem);
    kh_status status = write_all(batches, batch_count, format, compression, &buffer, error);
    if (status == KH_OK)
        status = bytes_make(buffer.bytes, buffer.size_bytes, bytes, error);
    ipc_buffer_fini(&buffer);
    return status;
}

static int64_t take(void *context, void *bytes, size_t size_bytes) {
    kh_bytes *rest = context;
    size_t count = size_bytes < rest->size_bytes ? size_bytes : rest->size_bytes;
    if (count > 0)
        memcpy(bytes, rest->data, count);
    rest->data = (const unsigned char *)rest->data + count;
    rest->size_bytes -= count;
    return (int64_t)count;
}

static kh_status read_all(kh_ipc_reader *reader, struct ipc_buffer *batches, kh_error *error) {
    for (;;) {
        kh_batch *batch = NULL;
        kh_status status = kh_ipc_reader_next(reader, &batch, error);
        if (status == KH_END)
            return KH_OK;
        if (status != KH_OK)
            return status;
        ipc_buffer_append(batches, &batch, sizeof batch);
        if (batches->is_failed) {
            kh_batch_release(batch);
            return status_no_memory(error, sizeof batch);
        }
    }
}

static void release_all(kh_batch **batches, size_t count) {
    for (size_t i = 0; i < count; i++)
        kh_batch_release(batches[i]);
}

kh_status kh_ipc_decode(kh_db *db, kh_bytes bytes, kh_batch ***out, size_t *batch_count,
                        kh_error *error) {
    if (out == NULL || batch_count == NULL || (bytes.data == NULL && bytes.size_bytes > 0))
        return status_fail(error, KH_INVALID, "kh_ipc_decode: NULL argument");
    struct mem *mem = mem_process();
    if (mem == NULL)
        return status_no_memory(error, 0);
    kh_ipc_reader *reader = NULL;
    struct ipc_buffer batches;
    kh_bytes rest = bytes;
    kh_source source = {.read = take, .context = &rest};
    ipc_buffer_init(&batches, mem);
    kh_status status = kh_ipc_reader_open(db, &source, &reader, error);
    if (status == KH_OK)
        status = read_all(reader, &batches, error);
    kh_ipc_reader_close(reader);
    size_t count = batches.size_bytes / sizeof(kh_batch *);
    void *exact = NULL;
    if (status == KH_OK) {
        exact = mem_alloc(mem, NULL, batches.size_bytes);
        if (exact == NULL)
            status = status_no_memory(error, batches.size_bytes);
    }
    if (status != KH_OK) {
        release_all((kh_batch **)(void *)batches.bytes, count);
    } else {
        if (count > 0)
            memcpy(exact, batches.bytes, batches.size_bytes);
        *out = exact;
        *batch_count = count;
    }
    ipc_buffer_fini(&batches);
    return status;
}

void kh_batches_free(kh_batch **batches, size_t batch_count) {
    if (batches == NULL)
        return;
    release_all(batches, batch_count);
    mem_free(mem_process(), NULL, batches, batch_count * sizeof *batches);
}
