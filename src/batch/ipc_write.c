/* ipc_write.c - streams and files of record batches, written front to back.
 *
 * Invariants: every message begins at a multiple of IPC_STREAM_ALIGNMENT, counted from the first
 * byte written, and so do the buffers of its body; the sink gets whole messages. Happy path: open
 * writes the schema, write the dictionaries that changed and the batch, finish the end marker (and
 * the file's footer). Without a sink all of it stays in out, which is the caller's memory.
 * Failure: KH_IO from the sink, KH_NO_MEMORY, KH_TOO_BIG; what the sink has then is a cut stream,
 * and every further call answers the same status. */
#include "batch/ipc_wire.h"

#include "base/status.h"
#include "batch/ipc_footer.h"
#include "batch/ipc_sent.h"
#include "batch/schema_differ.h"
#include <string.h>

struct kh_ipc_writer {
    struct mem *mem;
    kh_sink sink; /* write NULL: all stays in out */
    kh_schema *schema;
    bool is_file;
    bool is_finished;
    kh_status failed; /* KH_OK while it works */
    uint64_t position;
    struct ipc_buffer out; /* what the sink gets next */
    struct ipc_encoding encoding;
    struct arena arena; /* columns of the batch being written */
    struct ipc_sent sent;
    struct ipc_buffer dictionary_places;
    struct ipc_buffer record_places;
};

static kh_status flush(kh_ipc_writer *w, kh_error *error) {
    if (w->sink.write == NULL) {
        w->position = w->out.size_bytes;
        return KH_OK;
    }
    int code = w->sink.write(w->sink.context, w->out.bytes, w->out.size_bytes);
    if (code != 0)
        return status_fail(error, KH_IO, "IPC: the sink failed: error %d", code);
    w->position += w->out.size_bytes;
    w->out.size_bytes = 0;
    return KH_OK;
}

/* Memory of the caller's that did not do is no allocation that failed. */
static kh_status judge(const kh_ipc_writer *w, kh_status status, kh_error *error) {
    if (status != KH_NO_MEMORY || !w->out.is_fixed || !w->out.is_failed)
        return status;
    return status_fail(error, KH_TOO_BIG, "IPC: more than the %zu bytes that were given",
                       w->out.capacity_bytes);
}

/* One message with rows, noted for the footer. */
static kh_status send(kh_ipc_writer *w, const struct column *column, int64_t first, int64_t count,
                      uint32_t slot, const struct ipc_dictionary_note *note, kh_error *error) {
    struct ipc_place place = {.offset = (int64_t)w->position};
    struct ipc_buffer *places = note != NULL ? &w->dictionary_places : &w->record_places;
    kh_status status =
        ipc_message_put(&w->encoding, column, first, count, slot, note, &place, error);
    if (status == KH_OK && w->is_file) {
        ipc_buffer_append(places, &place, sizeof place);
        if (places->is_failed)
            status = status_no_memory(error, sizeof place);
    }
    return status == KH_OK ? flush(w, error) : status;
}

static kh_status send_values(void *context, const struct column *values, int64_t first,
                             int64_t count, uint32_t slot, const struct ipc_dictionary_note *note,
                             kh_error *error) {
    return send(context, values, first, count, slot, note, error);
}

static kh_status send_start(kh_ipc_writer *w, kh_error *error) {
    static const char magic[8] = IPC_MAGIC;
    if (w->is_file)
        ipc_buffer_append(&w->out, magic, sizeof magic);
    kh_status status = ipc_message_put_schema(&w->out, 0, w->schema, error);
    return status == KH_OK ? flush(w, error) : status;
}

static kh_ipc_writer *make(kh_ipc_format format, const kh_schema *schema) {
    struct mem *mem = schema_mem(schema);
    kh_ipc_writer *writer = mem_alloc_zeroed(mem, NULL, sizeof *writer);
    if (writer == NULL)
        return NULL;
    writer->mem = mem;
    writer->schema = kh_schema_retain(schema);
    writer->is_file = format == KH_IPC_FILE;
    ipc_buffer_init(&writer->out, mem);
    ipc_buffer_init(&writer->encoding.scratch, mem);
    ipc_buffer_init(&writer->dictionary_places, mem);
    ipc_buffer_init(&writer->record_places, mem);
    arena_init(&writer->arena, mem, NULL);
    writer->encoding.out = &writer->out;
    writer->encoding.alignment = IPC_STREAM_ALIGNMENT;
    return writer;
}

/* The writer is closed on failure. */
static kh_status start(kh_ipc_writer *writer, kh_compression compression, kh_ipc_writer **out,
                       kh_error *error) {
    kh_status status =
        ipc_sent_init(&writer->sent, writer->mem, writer->schema, writer->is_file, error);
    writer->encoding.shifts = writer->sent.shifts;
    if (status == KH_OK)
        status = ipc_codec_create(writer->mem, compression, &writer->encoding.codec, error);
    if (status == KH_OK)
        status = send_start(writer, error);
    if (status != KH_OK) {
        status = judge(writer, status, error);
        kh_ipc_writer_close(writer);
        return status;
    }
    *out = writer;
    return KH_OK;
}

kh_status ipc_writer_open(const struct ipc_target *target, kh_ipc_format format,
                          kh_compression compression, const kh_schema *schema,
                          kh_ipc_writer **out, kh_error *error) {
    kh_ipc_writer *writer = make(format, schema);
    if (writer == NULL)
        return status_no_memory(error, sizeof *writer);
    writer->sink = target->sink;
    writer->encoding.is_counting = target->is_counting;
    if (target->sink.write == NULL)
        ipc_buffer_fix(&writer->out, target->memory, target->size_bytes);
    return start(writer, compression, out, error);
}

kh_status kh_ipc_writer_open(const kh_sink *sink, kh_ipc_format format, kh_compression compression,
                             const kh_schema *schema, kh_ipc_writer **out, kh_error *error) {
    if (sink == NULL || sink->write == NULL || schema == NULL || out == NULL ||
        (format != KH_IPC_STREAM && format != KH_IPC_FILE))
        return status_fail(error, KH_INVALID, "kh_ipc_writer_open: bad argument");
    struct ipc_target target = {.sink = *sink};
    return ipc_writer_open(&target, format, compression, schema, out, error);
}

uint64_t ipc_writer_position(const kh_ipc_writer *writer) {
    return writer->position;
}

static kh_status check_open(const kh_ipc_writer *w, kh_error *error) {
    if (w->failed != KH_OK)
        return status_fail(error, w->failed, "IPC: this writer has failed before");
    if (w->is_finished)
        return status_fail(error, KH_MISUSE, "IPC: this writer is finished");
    return KH_OK;
}

static kh_status write_batch(kh_ipc_writer *w, const kh_batch *batch, kh_error *error) {
    struct column root;
    struct ipc_sender sender = {.send = send_values, .context = w};
    arena_reset(&w->arena);
    kh_status status = column_view(batch, &w->arena, &root, error);
    if (status == KH_OK)
        status = ipc_sent_update(&w->sent, batch, &root, &sender, error);
    if (status == KH_OK)
        status = send(w, &root, root.offset, root.length, 0, NULL, error);
    return status;
}

kh_status kh_ipc_writer_write(kh_ipc_writer *writer, const kh_batch *batch, kh_error *error) {
    if (writer == NULL || batch == NULL)
        return status_fail(error, KH_INVALID, "kh_ipc_writer_write: NULL argument");
    kh_status status = check_open(writer, error);
    if (status != KH_OK)
        return status;
    if (!kh_schema_equal(kh_batch_schema(batch), writer->schema)) {
        char how[SCHEMA_DIFFER_BYTES];
        schema_differ(writer->schema, kh_batch_schema(batch), how);
        return status_fail(error, KH_SCHEMA_MISMATCH,
                           "IPC: another schema than the writer's, which is the first: %s", how);
    }
    writer->failed = judge(writer, write_batch(writer, batch, error), error);
    return writer->failed;
}

kh_status kh_ipc_writer_finish(kh_ipc_writer *writer, kh_error *error) {
    static const uint32_t end[2] = {IPC_CONTINUATION, 0};
    if (writer == NULL)
        return status_fail(error, KH_INVALID, "kh_ipc_writer_finish: NULL argument");
    kh_status status = check_open(writer, error);
    if (status != KH_OK)
        return status;
    ipc_buffer_append(&writer->out, end, sizeof end);
    if (writer->is_file) {
        struct ipc_footer footer = {.schema = writer->schema,
                                    .dictionaries = &writer->dictionary_places,
                                    .records = &writer->record_places};
        status = ipc_footer_put(&writer->out, &footer, error);
    } else if (writer->out.is_failed) {
        status = status_no_memory(error, sizeof end);
    }
    if (status == KH_OK)
        status = flush(writer, error);
    writer->failed = judge(writer, status, error);
    writer->is_finished = true;
    return writer->failed;
}

void kh_ipc_writer_close(kh_ipc_writer *writer) {
    if (writer == NULL)
        return;
    struct mem *mem = writer->mem;
    ipc_sent_fini(&writer->sent);
    ipc_codec_destroy(writer->encoding.codec);
    ipc_buffer_fini(&writer->encoding.scratch);
    ipc_buffer_fini(&writer->out);
    ipc_buffer_fini(&writer->dictionary_places);
    ipc_buffer_fini(&writer->record_places);
    arena_fini(&writer->arena);
    kh_schema_release(writer->schema);
    mem_free(mem, NULL, writer, sizeof *writer);
}
