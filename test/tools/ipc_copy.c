/* ipc_copy.c - a program outside: reads an Arrow IPC stream or file by the public interface, and
 * writes what it read as a stream and as a file.
 *
 *   ipc_copy IN STREAM FILE
 *
 * Prints one line, "STATUS batches rows: message", and exits 0 whatever the reader answered; 1
 * when the library contradicts itself: the two readers (pulled, in memory) answer differently, a
 * batch that was read cannot be taken apart, put together or written, or does not come back.
 * ipc_foreign.py runs it over the files of other projects. */
#include "khonsu/batch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS_TAKEN_MAX = 4096 };

static void contradiction(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    exit(1);
}

static void must(kh_status status, const kh_error *error, const char *what) {
    if (status != KH_OK) contradiction("%s: %s: %s", what, kh_status_name(status), error->message);
}

/* ---- bytes ---- */

static int64_t read_some(void *context, void *bytes, size_t size_bytes) {
    FILE *file = context;
    size_t got = fread(bytes, 1, size_bytes, file);
    return ferror(file) != 0 ? -5 : (int64_t)got;
}

static kh_bytes read_whole(FILE *file) {
    unsigned char *bytes = NULL;
    size_t size = 0;
    size_t room = 0;
    for (;;) {
        if (size == room) {
            room = room == 0 ? 1 << 16 : room * 2;
            bytes = realloc(bytes, room);
            if (bytes == NULL) contradiction("no memory for the input");
        }
        size_t got = fread(bytes + size, 1, room - size, file);
        if (got == 0) break;
        size += got;
    }
    /* Not a byte more than there is: the address sanitizer sees a step beyond. */
    bytes = realloc(bytes, size == 0 ? 1 : size);
    if (bytes == NULL) contradiction("no memory for the input");
    return (kh_bytes){bytes, size};
}

/* ---- batches ---- */

struct batches {
    kh_batch **items;
    size_t count;
    int64_t rows;
    kh_schema *schema; /* of the reader, also when there is no batch */
};

static kh_status pull(FILE *file, struct batches *out, kh_error *error) {
    kh_source source = {read_some, file};
    kh_ipc_reader *reader = NULL;
    kh_status status = kh_ipc_reader_open(NULL, &source, &reader, error);
    *out = (struct batches){NULL, 0, 0, NULL};
    if (status != KH_OK) return status;
    out->schema = kh_schema_retain(kh_ipc_reader_schema(reader));
    kh_batch *batch = NULL;
    while ((status = kh_ipc_reader_next(reader, &batch, error)) == KH_OK) {
        out->items = realloc(out->items, (out->count + 1) * sizeof(kh_batch *));
        if (out->items == NULL) contradiction("no memory for the batches");
        out->items[out->count++] = batch;
        out->rows += kh_batch_row_count(batch);
    }
    kh_ipc_reader_close(reader);
    return status == KH_END ? KH_OK : status;
}

static void must_be_equal(const kh_batch *a, const kh_batch *b, const char *what) {
    kh_error error = {""};
    bool is_equal = false;
    must(kh_batch_equal(a, b, &is_equal, &error), &error, what);
    if (!is_equal) contradiction("%s: another batch", what);
}

static void must_decode(kh_bytes bytes, const struct batches *expected, const char *what) {
    kh_error error = {""};
    kh_batch **again = NULL;
    size_t count = 0;
    must(kh_ipc_decode(NULL, bytes, &again, &count, &error), &error, what);
    if (count != expected->count) contradiction("%s: %zu batches", what, count);
    for (size_t i = 0; i < count; i++) must_be_equal(expected->items[i], again[i], what);
    kh_batches_free(again, count);
}

/* Every row is gathered twice, which reads every value of every column. */
static void take_apart(const kh_batch *batch) {
    int64_t rows = kh_batch_row_count(batch);
    int64_t count = rows < ROWS_TAKEN_MAX ? rows : ROWS_TAKEN_MAX;
    int64_t *backwards = malloc(sizeof *backwards * (size_t)(count + 1));
    kh_error error = {""};
    kh_batch *there = NULL;
    kh_batch *back = NULL;
    kh_batch *slice = NULL;
    kh_batch *whole = NULL;
    if (backwards == NULL) contradiction("no memory for the rows");
    for (int64_t i = 0; i < count; i++) backwards[i] = count - 1 - i;
    must(kh_batch_take(batch, backwards, count, &there, &error), &error, "take");
    must(kh_batch_take(there, backwards, count, &back, &error), &error, "take back");
    must(kh_batch_slice(batch, 0, count, &slice, &error), &error, "slice");
    must_be_equal(slice, back, "take back");
    must(kh_batch_concat(there, back, &whole, &error), &error, "concat");
    if (kh_batch_row_count(whole) != 2 * count) contradiction("concat: rows");
    kh_batch_release(there);
    kh_batch_release(back);
    kh_batch_release(slice);
    kh_batch_release(whole);
    free(backwards);
}

static void come_in_again(const kh_batch *batch) {
    struct ArrowArray array;
    struct ArrowSchema type;
    kh_error error = {""};
    kh_schema *schema = NULL;
    kh_batch *again = NULL;
    must(kh_batch_export(batch, &array, &type, &error), &error, "export");
    must(kh_schema_import(NULL, &type, &schema, &error), &error, "import of the schema");
    must(kh_batch_import(NULL, schema, &array, KH_VALIDATE_FULL, &again, &error), &error, "import");
    must_be_equal(batch, again, "import");
    kh_batch_release(again);
    kh_schema_release(schema);
}

/* ---- out ---- */

struct written {
    FILE *file;
    const char *path;
};

static int write_some(void *context, const void *bytes, size_t size_bytes) {
    struct written *written = context;
    return fwrite(bytes, 1, size_bytes, written->file) == size_bytes ? 0 : 5;
}

/* A writer, not kh_ipc_encode: that one needs a batch to know the schema. */
static bool copy(const struct batches *batches, kh_ipc_format format, const char *path) {
    struct written written = {fopen(path, "wb"), path};
    kh_sink sink = {write_some, &written};
    kh_ipc_writer *writer = NULL;
    kh_error error = {""};
    if (written.file == NULL) contradiction("cannot write %s", path);
    must(kh_ipc_writer_open(&sink, format, KH_COMPRESS_NONE, batches->schema, &writer, &error),
         &error, "writer");
    kh_status status = KH_OK;
    for (size_t i = 0; i < batches->count && status == KH_OK; i++)
        status = kh_ipc_writer_write(writer, batches->items[i], &error);
    /* A file's dictionaries can only grow, and not all of them can. */
    if (status != KH_OK && !(format == KH_IPC_FILE && status == KH_UNSUPPORTED))
        must(status, &error, "write");
    if (status == KH_OK) must(kh_ipc_writer_finish(writer, &error), &error, "finish");
    kh_ipc_writer_close(writer);
    if (fclose(written.file) != 0) contradiction("cannot write %s", path);
    if (status != KH_OK) (void)remove(path);
    return status == KH_OK;
}

static void check_copies(const struct batches *batches, char **paths) {
    for (int i = 0; i < 2; i++) {
        if (!copy(batches, i == 0 ? KH_IPC_STREAM : KH_IPC_FILE, paths[i])) continue;
        FILE *file = fopen(paths[i], "rb");
        if (file == NULL) contradiction("cannot read %s", paths[i]);
        kh_bytes bytes = read_whole(file);
        (void)fclose(file);
        must_decode(bytes, batches, i == 0 ? "the stream written" : "the file written");
        free((void *)(uintptr_t)bytes.data);
    }
}

/* The reader in memory answers as the one that pulls; compressed copies come back too. */
static void check_memory(const char *path, const struct batches *batches, kh_status expected) {
    kh_error error = {""};
    kh_batch **again = NULL;
    size_t count = 0;
    FILE *file = fopen(path, "rb");
    if (file == NULL) contradiction("cannot read %s", path);
    kh_bytes bytes = read_whole(file);
    (void)fclose(file);
    kh_status status = kh_ipc_decode(NULL, bytes, &again, &count, &error);
    if (status != expected)
        contradiction("in memory: %s: %s", kh_status_name(status), error.message);
    if (status == KH_OK) kh_batches_free(again, count);
    if (status == KH_OK) must_decode(bytes, batches, "in memory");
    for (int codec = 0; status == KH_OK && count > 0 && codec < 3; codec++) {
        kh_bytes packed = {NULL, 0};
        must(kh_ipc_encode((const kh_batch *const *)batches->items, batches->count, KH_IPC_STREAM,
                           (kh_compression)codec, &packed, &error),
             &error, "encode");
        must_decode(packed, batches, "encoded");
        kh_bytes_free(packed);
    }
    free((void *)(uintptr_t)bytes.data);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        (void)fputs("usage: ipc_copy IN STREAM FILE\n", stderr);
        return 2;
    }
    kh_error error = {""};
    struct batches batches;
    FILE *file = fopen(argv[1], "rb");
    if (file == NULL) contradiction("cannot read %s", argv[1]);
    kh_status status = pull(file, &batches, &error);
    (void)fclose(file);
    check_memory(argv[1], &batches, status);
    for (size_t i = 0; i < batches.count; i++) {
        take_apart(batches.items[i]);
        come_in_again(batches.items[i]);
    }
    if (status == KH_OK) check_copies(&batches, argv + 2);
    (void)printf("%s %zu %lld: %s\n", kh_status_name(status), batches.count,
                 (long long)batches.rows, status == KH_OK ? "" : error.message);
    for (size_t i = 0; i < batches.count; i++) kh_batch_release(batches.items[i]);
    free(batches.items);
    kh_schema_release(batches.schema);
    return 0;
}
