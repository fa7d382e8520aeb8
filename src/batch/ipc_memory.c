/* ipc_memory.c - whole streams and files in memory, by the writer and the reader.
 *
 * Failure: outputs untouched, nothing kept. Arrays given to the caller belong to the process
 * context and have exactly the size that is told, which is how they are freed. */
#include "batch/ipc_wire.h"

#include "base/assert.h"
#include "base/status.h"
#include "batch/bytes.h"
#include <errno.h>
#include <string.h>

static int append(void *context, const void *bytes, size_t size_bytes) {
    struct ipc_buffer *buffer = context;
    ipc_buffer_append(buffer, bytes, size_bytes);
    return buffer->is_failed ? ENOMEM : 0;
}

/* The writer counts. */
static int ignore(void *context, const void *bytes, size_t size_bytes) {
    (void)context;
    (void)bytes;
    (void)size_bytes;
    return 0;
}

struct batches {
    const kh_batch *const *list;
    size_t count;
    kh_ipc_format format;
    kh_compression compression;
};

static kh_status check(const struct batches *batches, const char *who, kh_error *error) {
    if (batches->list == NULL || batches->count == 0)
        return status_fail(error, KH_INVALID, "%s: no batches, and so no schema", who);
    if (batches->format != KH_IPC_STREAM && batches->format != KH_IPC_FILE)
        return status_fail(error, KH_INVALID, "%s: neither a stream nor a file", who);
    return KH_OK;
}

/* *size_bytes: how many were written. */
static kh_status write_all(const struct batches *batches, const struct ipc_target *target,
                           uint64_t *size_bytes, kh_error *error) {
    kh_ipc_writer *writer = NULL;
    kh_status status = ipc_writer_open(target, batches->format, batches->compression,
                                       kh_batch_schema(batches->list[0]), &writer, error);
    for (size_t i = 0; i < batches->count && status == KH_OK; i++)
        status = kh_ipc_writer_write(writer, batches->list[i], error);
    if (status == KH_OK) status = kh_ipc_writer_finish(writer, error);
    if (status == KH_OK) *size_bytes = ipc_writer_position(writer);
    kh_ipc_writer_close(writer);
    return status;
}

static kh_status count_all(const struct batches *batches, uint64_t *size_bytes, kh_error *error) {
    struct ipc_target target = {.sink = {ignore, NULL}, .is_counting = true};
    return write_all(batches, &target, size_bytes, error);
}

kh_status kh_ipc_encoded_bytes(const kh_batch *const *batches, size_t batch_count,
                               kh_ipc_format format, uint64_t *size_bytes, kh_error *error) {
    struct batches all = {batches, batch_count, format, KH_COMPRESS_NONE};
    kh_status status = check(&all, "kh_ipc_encoded_bytes", error);
    if (status == KH_OK && size_bytes == NULL)
        status = status_fail(error, KH_INVALID, "kh_ipc_encoded_bytes: NULL argument");
    return status == KH_OK ? count_all(&all, size_bytes, error) : status;
}

kh_status kh_ipc_encode_into(const kh_batch *const *batches, size_t batch_count,
                             kh_ipc_format format, void *memory, size_t memory_bytes,
                             size_t *size_bytes, kh_error *error) {
    struct batches all = {batches, batch_count, format, KH_COMPRESS_NONE};
    struct ipc_target target = {.memory = memory, .size_bytes = memory_bytes};
    uint64_t used = 0;
    kh_status status = check(&all, "kh_ipc_encode_into", error);
    if (status == KH_OK && (memory == NULL || size_bytes == NULL))
        status = status_fail(error, KH_INVALID, "kh_ipc_encode_into: NULL argument");
    if (status == KH_OK) status = write_all(&all, &target, &used, error);
    if (status == KH_OK) *size_bytes = (size_t)used;
    return status;
}

/* How many they will be is known beforehand: one block of that size, filled once. */
static kh_status encode_plain(const struct batches *batches, kh_bytes *bytes, kh_error *error) {
    uint64_t size_bytes = 0;
    uint64_t used = 0;
    void *block = NULL;
    kh_status status = count_all(batches, &size_bytes, error);
    if (status == KH_OK) status = bytes_alloc((size_t)size_bytes, &block, error);
    if (status != KH_OK) return status;
    struct ipc_target target = {.memory = block, .size_bytes = (size_t)size_bytes};
    kh_bytes filled = {block, (size_t)size_bytes};
    status = write_all(batches, &target, &used, error);
    if (status == KH_OK) {
        kh_assert(used == size_bytes);
        *bytes = filled;
    } else {
        kh_bytes_free(filled);
    }
    return status;
}

/* What compression leaves is known afterwards. */
static kh_status encode_compressed(const struct batches *batches, kh_bytes *bytes,
                                   kh_error *error) {
    struct mem *mem = mem_process();
    struct ipc_buffer buffer;
    uint64_t used;
    if (mem == NULL) return status_no_memory(error, 0);
    ipc_buffer_init(&buffer, mem);
    struct ipc_target target = {.sink = {append, &buffer}};
    kh_status status = write_all(batches, &target, &used, error);
    if (status == KH_IO && buffer.is_failed) status = status_no_memory(error, buffer.size_bytes);
    if (status == KH_OK) status = bytes_make(buffer.bytes, buffer.size_bytes, bytes, error);
    ipc_buffer_fini(&buffer);
    return status;
}

kh_status kh_ipc_encode(const kh_batch *const *batches, size_t batch_count, kh_ipc_format format,
                        kh_compression compression, kh_bytes *bytes, kh_error *error) {
    struct batches all = {batches, batch_count, format, compression};
    kh_status status = check(&all, "kh_ipc_encode", error);
    if (status == KH_OK && bytes == NULL)
        status = status_fail(error, KH_INVALID, "kh_ipc_encode: NULL argument");
    if (status != KH_OK) return status;
    return compression == KH_COMPRESS_NONE ? encode_plain(&all, bytes, error)
                                           : encode_compressed(&all, bytes, error);
}

static int64_t take(void *context, void *bytes, size_t size_bytes) {
    kh_bytes *rest = context;
    size_t count = size_bytes < rest->size_bytes ? size_bytes : rest->size_bytes;
    if (count > 0) memcpy(bytes, rest->data, count);
    rest->data = (const unsigned char *)rest->data + count;
    rest->size_bytes -= count;
    return (int64_t)count;
}

static kh_status read_all(kh_ipc_reader *reader, struct ipc_buffer *batches, kh_error *error) {
    for (;;) {
        kh_batch *batch = NULL;
        kh_status status = kh_ipc_reader_next(reader, &batch, error);
        if (status == KH_END) return KH_OK;
        if (status != KH_OK) return status;
        ipc_buffer_append(batches, &batch, sizeof batch);
        if (batches->is_failed) {
            kh_batch_release(batch);
            return status_no_memory(error, sizeof batch);
        }
    }
}

static void release_all(kh_batch **batches, size_t count) {
    for (size_t i = 0; i < count; i++) kh_batch_release(batches[i]);
}

kh_status kh_ipc_decode(kh_db *db, kh_bytes bytes, kh_batch ***out, size_t *batch_count,
                        kh_error *error) {
    if (out == NULL || batch_count == NULL || (bytes.data == NULL && bytes.size_bytes > 0))
        return status_fail(error, KH_INVALID, "kh_ipc_decode: NULL argument");
    struct mem *mem = mem_process();
    if (mem == NULL) return status_no_memory(error, 0);
    kh_ipc_reader *reader = NULL;
    struct ipc_buffer batches;
    kh_bytes rest = bytes;
    kh_source source = {.read = take, .context = &rest};
    ipc_buffer_init(&batches, mem);
    kh_status status = kh_ipc_reader_open(db, &source, &reader, error);
    if (status == KH_OK) status = read_all(reader, &batches, error);
    kh_ipc_reader_close(reader);
    size_t count = batches.size_bytes / sizeof(kh_batch *);
    void *exact = NULL;
    if (status == KH_OK) {
        exact = mem_alloc(mem, NULL, batches.size_bytes);
        if (exact == NULL) status = status_no_memory(error, batches.size_bytes);
    }
    if (status != KH_OK) {
        release_all((kh_batch **)(void *)batches.bytes, count);
    } else {
        if (count > 0) memcpy(exact, batches.bytes, batches.size_bytes);
        *out = exact;
        *batch_count = count;
    }
    ipc_buffer_fini(&batches);
    return status;
}

void kh_batches_free(kh_batch **batches, size_t batch_count) {
    if (batches == NULL) return;
    release_all(batches, batch_count);
    mem_free(mem_process(), NULL, batches, batch_count * sizeof *batches);
}
