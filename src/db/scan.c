/* scan.c - the public face of scans: cursors and Arrow streams.
 *
 * A stream takes references of all its values when it is made: it is then free of transaction and
 * database, as Arrow's consumers expect of a stream that they were given. */
#include "db/cursor.h"

#include "batch/schema_differ.h"
#include <errno.h>
#include <string.h>

static const kh_scan_options default_options = KH_SCAN_OPTIONS_INIT;

static kh_status check_options(const kh_scan_options **options, kh_scan_options *known,
                               kh_error *error) {
    *known = default_options;
    if (*options != NULL) {
        kh_status status =
            status_copy_sized(known, sizeof *known, *options, "kh_scan_options", error);
        if (status != KH_OK) return status;
    }
    const kh_scan_options *given = *options = known;
    if (given->flags & ~(uint32_t)(KH_SCAN_REVERSE | KH_SCAN_KEYS_ONLY))
        return status_fail(error, KH_INVALID, "unknown flags 0x%x", given->flags);
    if ((given->prefix.size_bytes > 0 && given->prefix.data == NULL) ||
        (given->from.size_bytes > 0 && given->from.data == NULL) ||
        (given->to.size_bytes > 0 && given->to.data == NULL))
        return status_fail(error, KH_INVALID, "a span without data");
    return KH_OK;
}

kh_status kh_txn_scan(kh_txn *txn, const kh_scan_options *options, kh_cursor **out,
                      kh_error *error) {
    kh_scan_options known;
    kh_status status = handle_enter(txn, error);
    if (status != KH_OK) return status;
    status = check_options(&options, &known, error);
    if (status == KH_OK) status = cursor_open(txn, options, out, error);
    return handle_answer(txn, status);
}

kh_status kh_cursor_next(kh_cursor *cursor, kh_bytes *key, const kh_batch **value,
                         kh_error *error) {
    kh_txn *txn = cursor->txn;
    if (KH_UNLIKELY(txn == NULL))
        return status_fail(error, KH_FINISHED, "the cursor's transaction has ended");
    kh_status status = handle_enter(txn, error);
    if (KH_UNLIKELY(status != KH_OK)) return status;
    status = cursor_next(cursor, key, value, error);
    if (KH_UNLIKELY(status != KH_OK)) return handle_answer(txn, status);
    txn_count(&txn->counters.scanned, 1);
    handle_leave(txn);
    return KH_OK;
}

/* Also when the transaction has stopped: so the door's other answers are passed over. */
void kh_cursor_close(kh_cursor *cursor) {
    if (cursor == NULL) return;
    kh_txn *txn = cursor->txn;
    if (txn == NULL) {
        mem_free(cursor->mem, NULL, cursor, sizeof *cursor);
        return;
    }
    kh_status status = handle_enter(txn, NULL);
    kh_assert((status != KH_MISUSE || txn_state_of(txn) != TXN_ACTIVE) &&
              "kh_cursor_close: another thread is in the transaction");
    cursor_close(cursor);
    if (status == KH_OK) handle_leave(txn);
}

/* ---- delete range ---------------------------------------------------------------------------- */

static kh_status delete_all(kh_txn *txn, struct kh_cursor *cursor, uint64_t *count,
                            kh_error *error) {
    for (;;) {
        kh_bytes key;
        kh_status status = cursor_next(cursor, &key, NULL, error);
        if (status == KH_END) return KH_OK;
        if (status != KH_OK) return status;
        struct write *write;
        uint64_t hash = index_hash(txn->db->store.index, key);
        status = writeset_claim(&txn->writes, &txn->arena, key, hash, 0, &write, error);
        if (status != KH_OK) return status;
        writeset_set(&txn->writes, write, WRITE_DELETE,
                     txn->policy != POLICY_SEMANTIC ? txn->policy : (uint8_t)txn->db->policy, NULL);
        (*count)++;
    }
}

/* A failure half-way undoes the deletes so far. */
static kh_status delete_all_or_none(kh_txn *txn, struct kh_cursor *cursor, uint64_t *count,
                                    kh_error *error) {
    uint32_t mark;
    kh_status status = writeset_mark(&txn->writes, &txn->arena, &mark, error);
    if (status != KH_OK) return status;
    status = delete_all(txn, cursor, count, error);
    if (status != KH_OK) {
        kh_status undone = writeset_rollback_to(&txn->writes, txn->cache, mark, NULL);
        kh_assert(undone == KH_OK);
    }
    kh_status released = writeset_release_mark(&txn->writes, mark, NULL);
    kh_assert(released == KH_OK);
    return status;
}

kh_status kh_txn_delete_range(kh_txn *txn, const kh_scan_options *options, uint64_t *deleted_count,
                              kh_error *error) {
    kh_scan_options known;
    kh_status status = handle_enter(txn, error);
    if (status != KH_OK) return status;
    struct kh_cursor *cursor = NULL;
    uint64_t count = 0;
    status = check_options(&options, &known, error);
    if (status == KH_OK && txn->is_read_only)
        status = status_fail(error, KH_READ_ONLY, "a write in a read-only transaction");
    if (status == KH_OK) status = cursor_open(txn, options, &cursor, error);
    if (status == KH_OK) {
        status = delete_all_or_none(txn, cursor, &count, error);
        cursor_close(cursor);
    }
    if (status == KH_OK && deleted_count != NULL) *deleted_count = count;
    return handle_answer(txn, status);
}

/* ---- streams --------------------------------------------------------------------------------- */

struct stream { /* private_data of the ArrowArrayStream */
    struct mem *mem;
    kh_schema *schema;
    kh_batch **batches;
    size_t count;
    size_t capacity;
    size_t next;
    kh_error error;
};

static int stream_schema(struct ArrowArrayStream *self, struct ArrowSchema *out) {
    struct stream *stream = self->private_data;
    kh_status status = kh_schema_export(stream->schema, out, &stream->error);
    return status == KH_OK ? 0 : ENOMEM;
}

static int stream_next(struct ArrowArrayStream *self, struct ArrowArray *out) {
    struct stream *stream = self->private_data;
    memset(out, 0, sizeof *out); /* released: the end */
    if (stream->next == stream->count) return 0;
    const kh_batch *batch = stream->batches[stream->next];
    if (!kh_schema_equal(batch->schema, stream->schema)) {
        char how[SCHEMA_DIFFER_BYTES];
        schema_differ(stream->schema, batch->schema, how);
        (void)status_fail(&stream->error, KH_SCHEMA_MISMATCH,
                          "value %zu of the scan has another schema than the first: %s",
                          stream->next, how);
        return EINVAL;
    }
    kh_status status = kh_batch_export(batch, out, NULL, &stream->error);
    if (status != KH_OK) return ENOMEM;
    stream->next++;
    return 0;
}

static const char *stream_error(struct ArrowArrayStream *self) {
    struct stream *stream = self->private_data;
    return stream->error.message[0] == '\0' ? NULL : stream->error.message;
}

static void free_stream(struct stream *stream) {
    struct mem *mem = stream->mem;
    for (size_t i = 0; i < stream->count; i++) batch_release(stream->batches[i], NULL);
    mem_free(mem, NULL, stream->batches, stream->capacity * sizeof(kh_batch *));
    kh_schema_release(stream->schema);
    mem_free(mem, NULL, stream, sizeof *stream);
}

static void stream_release(struct ArrowArrayStream *self) {
    free_stream(self->private_data);
    self->release = NULL;
}

static kh_status push(struct stream *stream, const kh_batch *batch, kh_error *error) {
    if (stream->count == stream->capacity) {
        size_t capacity = stream->capacity == 0 ? 64 : stream->capacity * 2;
        void *grown =
            mem_resize(stream->mem, NULL, stream->batches, stream->capacity * sizeof(kh_batch *),
                       capacity * sizeof(kh_batch *));
        if (grown == NULL) return status_no_memory(error, capacity * sizeof(kh_batch *));
        stream->batches = grown;
        stream->capacity = capacity;
    }
    stream->batches[stream->count++] = batch_retain(batch);
    return KH_OK;
}

static kh_status collect(struct kh_cursor *cursor, struct stream *stream, kh_error *error) {
    for (;;) {
        kh_bytes key;
        const kh_batch *value = NULL;
        kh_status status = cursor_next(cursor, &key, &value, error);
        if (status == KH_END) return KH_OK;
        if (status == KH_OK) status = push(stream, cursor->current_value, error);
        if (status != KH_OK) return status;
    }
}

static kh_status fill_stream(kh_txn *txn, const kh_scan_options *options, const kh_schema *schema,
                             struct stream *stream, kh_error *error) {
    struct kh_cursor *cursor = NULL;
    kh_status status = cursor_open(txn, options, &cursor, error);
    if (status != KH_OK) return status;
    cursor->is_keys_only = false; /* a stream is of values, whatever the options say */
    status = collect(cursor, stream, error);
    cursor_close(cursor);
    if (status != KH_OK) return status;
    txn_count(&txn->counters.scanned, stream->count);
    if (schema == NULL && stream->count == 0) return KH_NOT_FOUND;
    stream->schema = kh_schema_retain(schema != NULL ? schema : stream->batches[0]->schema);
    return KH_OK;
}

kh_status kh_txn_scan_stream(kh_txn *txn, const kh_scan_options *options, const kh_schema *schema,
                             struct ArrowArrayStream *out, kh_error *error) {
    kh_scan_options known;
    kh_status status = handle_enter(txn, error);
    if (status != KH_OK) return status;
    struct mem *mem = txn->db->home.mem;
    struct stream *stream = NULL;
    status = check_options(&options, &known, error);
    if (status == KH_OK) {
        stream = mem_alloc_zeroed(mem, NULL, sizeof *stream);
        if (stream == NULL) status = status_no_memory(error, sizeof *stream);
    }
    if (status == KH_OK) {
        stream->mem = mem;
        status = fill_stream(txn, options, schema, stream, error);
        if (status != KH_OK) free_stream(stream);
    }
    if (status == KH_OK)
        *out = (struct ArrowArrayStream){stream_schema, stream_next, stream_error, stream_release,
                                         stream};
    return handle_answer(txn, status);
}
