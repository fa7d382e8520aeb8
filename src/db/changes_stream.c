/* changes_stream.c - a change feed as an Arrow stream: see khonsu/changes.h.
 *
 * Rows gather until a commit ends; a batch is made of whole commits, and only when it has been made
 * do its rows go. A failure in the middle of a commit therefore loses nothing: the next call goes
 * on. Arrays come from the process heap: they outlive the database, and its limits are for its
 * own. */
#include "db/changes.h"

#include "base/status.h"
#include "log/rocks_log.h"
#include <errno.h>

enum { COLUMN_COUNT = 4, BATCH_BYTES = 1 << 20, BATCH_ROWS = 16384 };

struct row {
    struct row *next;
    kh_timestamp timestamp;
    kh_operation operation;
    kh_bytes value; /* freed by kh_bytes_free; data NULL: none */
    size_t key_bytes;
    unsigned char key[];
};

struct feed_stream { /* private_data of the ArrowArrayStream */
    struct kh_changes *feed;
    kh_schema *schema;
    kh_log_position end;
    bool is_following;
    struct row *first;
    struct row **link;
    size_t row_count;
    size_t whole_count; /* of them, those of whole commits: they come first */
    size_t bytes;
    kh_error error;
};

static struct mem *mem_of(const struct feed_stream *stream) {
    return stream->feed->db->home.mem;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void pop_row(struct feed_stream *stream) {
    struct row *row = stream->first;
    stream->first = row->next;
    stream->bytes -= row->key_bytes + row->value.size_bytes;
    stream->row_count--;
    kh_bytes_free(row->value);
    mem_free(mem_of(stream), NULL, row, sizeof *row + row->key_bytes);
    if (stream->first == NULL) stream->link = &stream->first;
}

static kh_status push_row(struct feed_stream *stream, const kh_change *change) {
    struct row *row = mem_alloc(mem_of(stream), NULL, sizeof *row + change->key.size_bytes);
    if (row == NULL) return status_no_memory(&stream->error, sizeof *row + change->key.size_bytes);
    *row = (struct row){.timestamp = change->timestamp,
                        .operation = change->operation,
                        .key_bytes = change->key.size_bytes};
    kh_status status = KH_OK;
    if (change->value != NULL)
        status = kh_ipc_encode(&change->value, 1, KH_IPC_STREAM, KH_COMPRESS_NONE, &row->value,
                               &stream->error);
    if (status != KH_OK) {
        mem_free(mem_of(stream), NULL, row, sizeof *row + row->key_bytes);
        return status;
    }
    memcpy(row->key, change->key.data, row->key_bytes);
    *stream->link = row;
    stream->link = &row->next;
    stream->row_count++;
    stream->bytes += row->key_bytes + row->value.size_bytes;
    if (change->is_last_of_commit) stream->whole_count = stream->row_count;
    return KH_OK;
}

static bool is_full(const struct feed_stream *stream) {
    return stream->whole_count > 0 &&
           (stream->bytes >= BATCH_BYTES || stream->whole_count >= BATCH_ROWS);
}

/* KH_OK: there are whole commits, or the stream has ended. */
static kh_status gather(struct feed_stream *stream) {
    kh_status status = KH_OK;
    while (status == KH_OK && !is_full(stream)) {
        bool is_waiting = stream->is_following && stream->whole_count == 0;
        kh_change change;
        status = changes_take(stream->feed, stream->end, is_waiting ? UINT64_MAX : 0, &change,
                              &stream->error);
        if (status != KH_OK) break;
        status = push_row(stream, &change);
        if (status != KH_OK) changes_take_back(stream->feed);
    }
    bool is_end = status == KH_END || status == KH_PENDING;
    return is_end || stream->whole_count > 0 ? KH_OK : status;
}

static void fill_scalars(const struct feed_stream *stream, kh_scalar *scalars) {
    const struct row *row = stream->first;
    for (size_t i = 0; i < stream->whole_count; i++, row = row->next) {
        bool is_put = row->operation == KH_OPERATION_PUT;
        kh_scalar *cells = &scalars[i * COLUMN_COUNT];
        cells[0] = (kh_scalar){KH_SCALAR_BYTES, {.bytes = {row->key, row->key_bytes}}};
        cells[1] = (kh_scalar){KH_SCALAR_UINT64, {.uint64 = row->timestamp}};
        cells[2].kind = KH_SCALAR_BYTES;
        cells[2].as.bytes = is_put ? (kh_bytes){"put", 3} : (kh_bytes){"delete", 6};
        cells[3].kind = row->value.data == NULL ? KH_SCALAR_NULL : KH_SCALAR_BYTES;
        cells[3].as.bytes = row->value;
    }
}

static kh_status build(struct feed_stream *stream, struct ArrowArray *out) {
    struct mem *mem = mem_of(stream);
    size_t size_bytes = stream->whole_count * COLUMN_COUNT * sizeof(kh_scalar);
    kh_scalar *scalars = mem_alloc(mem, NULL, size_bytes);
    if (scalars == NULL) return status_no_memory(&stream->error, size_bytes);
    fill_scalars(stream, scalars);
    kh_batch *batch = NULL;
    kh_status status = kh_batch_build(NULL, stream->schema, scalars, (int64_t)stream->whole_count,
                                      &batch, &stream->error);
    mem_free(mem, NULL, scalars, size_bytes);
    if (status == KH_OK) status = kh_batch_export(batch, out, NULL, &stream->error);
    kh_batch_release(batch);
    return status;
}

/* ---- the stream's functions ------------------------------------------------------------------ */

static int errno_of(kh_status status) {
    switch (status) {
    case KH_OK:
        return 0;
    case KH_NO_MEMORY:
        return ENOMEM;
    case KH_CANCELLED:
        return ECANCELED;
    case KH_TOO_OLD:
        return ESTALE;
    default:
        return EIO;
    }
}

static int stream_schema(struct ArrowArrayStream *self, struct ArrowSchema *out) {
    struct feed_stream *stream = self->private_data;
    return errno_of(kh_schema_export(stream->schema, out, &stream->error));
}

static int stream_next(struct ArrowArrayStream *self, struct ArrowArray *out) {
    struct feed_stream *stream = self->private_data;
    if (env_is_forked(stream->feed->fork_generation))
        return errno_of(status_fail(&stream->error, KH_FORKED, "the feed is the parent's"));
    memset(out, 0, sizeof *out); /* released: the end */
    stream->error.message[0] = '\0';
    kh_status status = gather(stream);
    if (status == KH_OK && stream->whole_count > 0) status = build(stream, out);
    if (status != KH_OK) return errno_of(status);
    stream->error.message[0] = '\0';
    while (stream->whole_count > 0) {
        pop_row(stream);
        stream->whole_count--;
    }
    return 0;
}

static const char *stream_error(struct ArrowArrayStream *self) {
    struct feed_stream *stream = self->private_data;
    return stream->error.message[0] == '\0' ? NULL : stream->error.message;
}

static void free_stream(struct feed_stream *stream) {
    struct kh_changes *feed = stream->feed;
    while (stream->first != NULL) pop_row(stream);
    kh_schema_release(stream->schema);
    mem_free(mem_of(stream), NULL, stream, sizeof *stream);
    changes_drop(feed);
}

static void stream_release(struct ArrowArrayStream *self) {
    struct feed_stream *stream = self->private_data;
    if (!env_is_forked(stream->feed->fork_generation)) free_stream(stream);
    self->release = NULL;
}

kh_status kh_changes_stream(kh_changes *changes, uint32_t flags, struct ArrowArrayStream *out,
                            kh_error *error) {
    static const char *const names[] = {"key", "timestamp", "operation", "value"};
    static const char *const formats[] = {"!z", "!L", "!u", "z"};
    if (changes == NULL || out == NULL)
        return status_fail(error, KH_INVALID, "%s is NULL", changes == NULL ? "changes" : "out");
    if (env_is_forked(changes->fork_generation))
        return status_fail(error, KH_FORKED, "the feed was opened by the parent process");
    if (flags & ~(uint32_t)KH_CHANGES_FOLLOW)
        return status_fail(error, KH_INVALID, "unknown flags 0x%x", flags);
    struct mem *mem = changes->db->home.mem;
    struct feed_stream *stream = mem_alloc_zeroed(mem, NULL, sizeof *stream);
    if (stream == NULL) return status_no_memory(error, sizeof *stream);
    stream->feed = changes;
    stream->link = &stream->first;
    stream->is_following = flags & KH_CHANGES_FOLLOW;
    stream->end = UINT64_MAX;
    if (!stream->is_following)
        stream->end = rocks_log_await(changes->log, UINT64_MAX, 0, &changes->is_cancelled);
    changes_hold(changes);
    kh_status status = kh_schema_build(NULL, names, formats, COLUMN_COUNT, &stream->schema, error);
    if (status != KH_OK) {
        free_stream(stream);
        return status;
    }
    *out =
        (struct ArrowArrayStream){stream_schema, stream_next, stream_error, stream_release, stream};
    return KH_OK;
}
