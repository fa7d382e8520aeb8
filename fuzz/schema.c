/* schema.c - any tree of structs as a schema, and any text as a column's format.
 *
 * Refused: with a status of the list and a word of why, and the tree is as it was. Accepted: it
 * exports, and what was exported imports as the same schema; it passes through the bytes of the
 * log's records and of IPC streams unchanged; its columns are found by name. */
#include "base/mem.h"
#include "batch/ipc.h"
#include "kit/producer.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

static void fail(const char *what, kh_status status, const kh_error *error) {
    fprintf(stderr, "%s: %s: %s\n", what, kh_status_name(status), error->message);
    abort();
}

static void must(kh_status status, const kh_error *error, const char *what) {
    if (status != KH_OK) fail(what, status, error);
}

/* Metadata of a dictionary's values: an IPC schema has no place for it. */
static bool is_beyond_ipc(const struct ArrowSchema *field) {
    if (field->dictionary != NULL && field->dictionary->metadata != NULL) return true;
    if (field->dictionary != NULL && is_beyond_ipc(field->dictionary)) return true;
    for (int64_t i = 0; i < field->n_children; i++)
        if (is_beyond_ipc(field->children[i])) return true;
    return false;
}

/* Whether IPC keeps less of it. */
static bool check_export(const kh_schema *schema) {
    struct ArrowSchema out;
    kh_schema *again = NULL;
    kh_error error = {""};
    must(kh_schema_export(schema, &out, &error), &error, "export");
    bool is_lossy = is_beyond_ipc(&out);
    must(kh_schema_import(NULL, &out, &again, &error), &error, "import of the export");
    if (again != schema || !kh_schema_equal(again, schema)) fail("another schema", KH_OK, &error);
    kh_schema_release(again);
    return is_lossy;
}

static void check_record(const kh_schema *schema) {
    kh_error error = {""};
    const kh_schema *again = NULL;
    struct ipc_buffer written;
    ipc_buffer_init(&written, mem_process());
    must(ipc_encode_schema(schema, &written, &error), &error, "encode");
    kh_bytes input = {written.bytes, written.size_bytes};
    must(ipc_decode_schema(schema_table_process(), input, &again, &error), &error, "decode");
    if (again != schema) fail("another schema decoded", KH_OK, &error);
    schema_drop(again);
    ipc_buffer_fini(&written);
}

static int keep(void *context, const void *bytes, size_t size_bytes) {
    struct ipc_buffer *buffer = context;
    ipc_buffer_append(buffer, bytes, size_bytes);
    return buffer->is_failed ? 12 : 0;
}

static int64_t give(void *context, void *bytes, size_t size_bytes) {
    struct feed *feed = context;
    size_t left = (size_t)(feed->end - feed->next);
    size_t size = size_bytes < left ? size_bytes : left;
    feed_bytes(feed, bytes, size);
    return (int64_t)size;
}

static void check_stream(const kh_schema *schema, bool is_lossy) {
    kh_error error = {""};
    struct ipc_buffer written;
    ipc_buffer_init(&written, mem_process());
    kh_sink sink = {keep, &written};
    kh_ipc_writer *writer = NULL;
    kh_ipc_reader *reader = NULL;
    kh_batch *batch = NULL;
    must(kh_ipc_writer_open(&sink, KH_IPC_FILE, KH_COMPRESS_NONE, schema, &writer, &error), &error,
         "writer");
    must(kh_ipc_writer_finish(writer, &error), &error, "finish");
    kh_ipc_writer_close(writer);
    struct feed feed = {written.bytes, written.bytes + written.size_bytes};
    kh_source source = {give, &feed};
    must(kh_ipc_reader_open(NULL, &source, &reader, &error), &error, "reader");
    if (!is_lossy && !kh_schema_equal(kh_ipc_reader_schema(reader), schema))
        fail("another schema read", KH_OK, &error);
    kh_status status = kh_ipc_reader_next(reader, &batch, &error);
    if (status != KH_END) fail("an end was written", status, &error);
    kh_ipc_reader_close(reader);
    ipc_buffer_fini(&written);
}

static void check_columns(const kh_schema *schema) {
    int64_t count = kh_schema_column_count(schema);
    kh_error error = {""};
    for (int64_t i = 0; i < count; i++) {
        const char *name = kh_schema_column_name(schema, i);
        int64_t found = kh_schema_find(schema, name);
        if (found < 0 || found > i || strcmp(name, kh_schema_column_name(schema, found)) != 0)
            fail("a column is not found", KH_OK, &error);
        if (kh_schema_column_format(schema, i)[0] == '\0') fail("no format", KH_OK, &error);
    }
    if (kh_schema_column_name(schema, count) != NULL) fail("one column more", KH_OK, &error);
}

static void check(const kh_schema *schema) {
    check_columns(schema);
    check_record(schema);
    check_stream(schema, check_export(schema));
}

static void take_tree(struct feed *feed) {
    struct ArrowSchema tree;
    kh_schema *schema = NULL;
    kh_error error = {""};
    producer_schema(feed, &tree);
    struct ArrowSchema before = tree;
    kh_status status = kh_schema_import(NULL, &tree, &schema, &error);
    if (status != KH_OK) {
        if (status != KH_INVALID_DATA && status != KH_TOO_BIG) fail("import", status, &error);
        if (error.message[0] == '\0') fail("no word of why", status, &error);
        if (memcmp(&tree, &before, sizeof tree) != 0) fail("tree touched", status, &error);
        tree.release(&tree);
    } else {
        if (tree.release != NULL) fail("tree not taken", status, &error);
        check(schema);
        kh_schema_release(schema);
    }
    if (producer_live != 0) fail("trees not released", status, &error);
}

/* Names and formats, each up to its NUL. */
static void take_texts(struct feed *feed) {
    enum { COLUMNS_MAX = 8 };
    const char *texts[2][COLUMNS_MAX];
    size_t size_bytes = (size_t)(feed->end - feed->next);
    kh_schema *schema = NULL;
    kh_error error = {""};
    char *all = calloc(1, size_bytes + 1);
    if (all == NULL) abort();
    feed_bytes(feed, all, size_bytes);
    int count = 0;
    for (size_t at = 0; at < size_bytes && count < 2 * COLUMNS_MAX; count++) {
        texts[count & 1][count / 2] = all + at;
        at += strlen(all + at) + 1;
    }
    kh_status status = kh_schema_build(NULL, texts[0], texts[1], count / 2, &schema, &error);
    if (status == KH_OK) {
        check(schema);
        kh_schema_release(schema);
    } else if (status != KH_INVALID_DATA && status != KH_INVALID && status != KH_UNSUPPORTED) {
        fail("build", status, &error);
    }
    free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    struct feed feed = {bytes, bytes + size_bytes};
    if ((feed_byte(&feed) & 3) == 3)
        take_texts(&feed);
    else
        take_tree(&feed);
    return 0;
}
