/* store.c - replaying store files into a database, and writing them.
 *
 * Invariant: the database's timestamps are those of the file. The clock hook says what the row at
 * hand says; a timestamp that the engine would not give (its counter leaves a gap) is refused,
 * since history and --at would then speak of other times than the file does. */
#include "store.h"

#include "complain.h"
#include "file.h"
#include "heap.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COLUMN_KEY, COLUMN_TIMESTAMP, COLUMN_VALUE, COLUMN_COUNT };
/* Rows are written in pages, so that reading needs no more memory at once than one of them. */
enum { PAGE_ROWS = 4096, PAGE_BYTES = 4 << 20 };

static const char *const column_names[] = {"key", "timestamp", "value"};

static uint64_t store_wall_ms(void *context) {
    return ((struct store *)context)->wall_ms;
}

static uint64_t system_ns(clockid_t clock) {
    struct timespec now = {0, 0};
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t store_monotonic_ns(void *context) {
    (void)context;
    return system_ns(CLOCK_MONOTONIC);
}

static kh_status open_database(struct store *store, const char *id_column, kh_error *error) {
    kh_options options = KH_OPTIONS_INIT;
    options.flags = KH_OPEN_NO_THREADS;
    options.isolation = KH_SERIALIZABLE;
    options.id_column = id_column;
    options.timeout_ms = 24u * 3600 * 1000; /* a file may be long */
    options.retention_ms = 1ull << 47;      /* all of it: clocks count milliseconds in 48 bits */
    options.limits.size = sizeof options.limits;
    options.limits.txn_bytes = 1ull << 40; /* an import is one transaction */
    options.limits.txn_writes = 100000000;
    options.clock = (kh_clock){store_wall_ms, store_monotonic_ns, store};
    return kh_db_open(&options, &store->db, error);
}

static bool is_one_of(const char *format, const char *const *allowed) {
    for (; *allowed != NULL; ++allowed) {
        if (strcmp(format, *allowed) == 0) {
            return true;
        }
    }
    return false;
}

static int check_schema(void *context, const kh_schema *schema) {
    const struct store *store = context;
    static const char *const keys[] = {"z", "Z", "vz", "u", "U", "vu", NULL};
    static const char *const timestamps[] = {"L", "l", NULL};
    static const char *const values[] = {"Z", "z", "vz", NULL};
    static const char *const *const allowed[] = {keys, timestamps, values};
    bool is_store = kh_schema_column_count(schema) == COLUMN_COUNT;
    for (int64_t i = 0; is_store && i < COLUMN_COUNT; ++i) {
        is_store = strcmp(kh_schema_column_name(schema, i), column_names[i]) == 0 &&
                   is_one_of(kh_schema_column_format(schema, i), allowed[i]);
    }
    if (!is_store) {
        return complain(CLI_FAILED,
                        "%s is an Arrow file, but not a store (columns key, timestamp, value): "
                        "make one of it with: khonsu import --from %s --key PATTERN --to STORE",
                        store->path, store->path);
    }
    return CLI_OK;
}

static int replay_end(struct store *store) {
    if (store->replay == NULL) {
        return CLI_OK;
    }
    kh_error error = {""};
    kh_timestamp timestamp = 0;
    store->wall_ms = KH_MS_OF_TIMESTAMP(store->replay_timestamp);
    kh_status status = kh_txn_commit(store->replay, &timestamp, &error);
    kh_txn_close(store->replay);
    store->replay = NULL;
    store->commit_count += 1;
    if (status != KH_OK) {
        return complain_status(store->path, status, &error);
    }
    if (timestamp != store->replay_timestamp) {
        return complain(CLI_FAILED,
                        "%s: timestamp %" PRIu64 " cannot follow the one before it: leave the "
                        "lower 16 bits 0, or count them up by one",
                        store->path, store->replay_timestamp);
    }
    return CLI_OK;
}

static int replay_to(struct store *store, kh_timestamp timestamp) {
    if (store->replay != NULL && timestamp == store->replay_timestamp) {
        return CLI_OK;
    }
    if (timestamp == 0 || timestamp < store->replay_timestamp) {
        return complain(CLI_FAILED, "%s: row %" PRIu64 ": the timestamp goes back: sort the rows",
                        store->path, store->row_count);
    }
    int code = replay_end(store);
    if (code != CLI_OK) {
        return code;
    }
    kh_error error = {""};
    store->replay_timestamp = timestamp;
    kh_status status = kh_txn_begin(store->db, NULL, &store->replay, &error);
    return status == KH_OK ? CLI_OK : complain_status(store->path, status, &error);
}

static kh_status replay_value(struct store *store, kh_bytes key, kh_bytes encoded,
                              kh_error *error) {
    kh_batch **parts = NULL;
    size_t part_count = 0;
    kh_status status = kh_ipc_decode(store->db, encoded, &parts, &part_count, error);
    if (status != KH_OK) {
        return status;
    }
    if (part_count == 1) {
        status = kh_txn_put(store->replay, key, parts[0], error);
    } else {
        (void)snprintf(error->message, sizeof error->message,
                       "a value must be a stream of one batch, and here are %zu", part_count);
        status = KH_INVALID_DATA;
    }
    kh_batches_free(parts, part_count);
    return status;
}

static kh_status replay_row(struct store *store, const kh_batch *page, int64_t row,
                            kh_error *error) {
    kh_bytes key = {NULL, 0};
    kh_bytes value = {NULL, 0};
    kh_status status = kh_batch_bytes(page, COLUMN_KEY, row, &key);
    if (status != KH_OK) {
        (void)snprintf(error->message, sizeof error->message, "the key is null");
        return KH_INVALID_DATA;
    }
    status = kh_batch_bytes(page, COLUMN_VALUE, row, &value);
    if (status == KH_OK) {
        return replay_value(store, key, value, error);
    }
    return status == KH_NOT_FOUND ? kh_txn_delete(store->replay, key, error) : status;
}

/* A page of another program's store, in our types. */
static kh_status translate(const struct store *store, const kh_batch *page, kh_batch **out,
                           kh_error *error) {
    size_t row_count = (size_t)kh_batch_row_count(page);
    kh_scalar *scalars = heap_allocate(row_count * COLUMN_COUNT, sizeof *scalars);
    for (size_t i = 0; i < row_count; ++i) {
        kh_scalar *row = &scalars[i * COLUMN_COUNT];
        int64_t timestamp = 0;
        kh_bytes key = {NULL, 0};
        kh_bytes value = {NULL, 0};
        /* Proved when the row was replayed. */
        (void)!kh_batch_bytes(page, COLUMN_KEY, (int64_t)i, &key);
        (void)!kh_batch_int64(page, COLUMN_TIMESTAMP, (int64_t)i, &timestamp);
        bool is_deleted = kh_batch_bytes(page, COLUMN_VALUE, (int64_t)i, &value) != KH_OK;
        row[COLUMN_KEY] = (kh_scalar){KH_SCALAR_BYTES, {.bytes = key}};
        row[COLUMN_TIMESTAMP] = (kh_scalar){KH_SCALAR_INT64, {.int64 = timestamp}};
        row[COLUMN_VALUE] =
            (kh_scalar){is_deleted ? KH_SCALAR_NULL : KH_SCALAR_BYTES, {.bytes = value}};
    }
    kh_status status = kh_batch_build(NULL, store->schema, scalars, (int64_t)row_count, out, error);
    free(scalars);
    return status;
}

static kh_status keep_page(struct store *store, const kh_batch *page, kh_error *error) {
    kh_batch *kept = NULL;
    if (kh_schema_equal(kh_batch_schema(page), store->schema)) {
        kept = kh_batch_retain(page);
    } else {
        kh_status status = translate(store, page, &kept, error);
        if (status != KH_OK) {
            return status;
        }
    }
    store->pages = heap_resize(store->pages, store->page_count + 1, sizeof(kh_batch *));
    store->pages[store->page_count++] = kept;
    return KH_OK;
}

static int replay_page(void *context, const kh_batch *page) {
    struct store *store = context;
    for (int64_t row = 0; row < kh_batch_row_count(page); ++row) {
        int64_t timestamp = 0;
        if (kh_batch_int64(page, COLUMN_TIMESTAMP, row, &timestamp) != KH_OK) {
            return complain(CLI_FAILED, "%s: row %" PRIu64 ": the timestamp is null or too great",
                            store->path, store->row_count);
        }
        int code = replay_to(store, (kh_timestamp)timestamp);
        if (code != CLI_OK) {
            return code;
        }
        kh_error error = {""};
        kh_status status = replay_row(store, page, row, &error);
        if (status != KH_OK) {
            struct text what = {NULL, 0, 0};
            text_printf(&what, "%s: row %" PRIu64, store->path, store->row_count);
            code = complain_status(what.bytes, status, &error);
            text_free(&what);
            return code == CLI_ABSENT ? CLI_FAILED : code;
        }
        store->row_count += 1;
    }
    kh_error error = {""};
    kh_status status = store->is_saved ? keep_page(store, page, &error) : KH_OK;
    return status == KH_OK ? CLI_OK : complain_status(store->path, status, &error);
}

int store_open(struct store *store, const char *path, bool is_saved, const char *id_column) {
    static const char *const formats[] = {"!z", "!L", "Z"};
    *store = (struct store){.path = path, .is_saved = is_saved};
    kh_error error = {""};
    kh_status status = open_database(store, id_column, &error);
    if (status == KH_OK) {
        status = kh_schema_build(NULL, column_names, formats, COLUMN_COUNT, &store->schema, &error);
    }
    int code = status == KH_OK ? CLI_OK : complain_status("store", status, &error);
    if (code == CLI_OK && path != NULL) {
        /* The pages are not the database's: their bytes should not count as its memory. */
        code = file_read(NULL, path, check_schema, replay_page, store);
    }
    if (code == CLI_OK) {
        code = replay_end(store);
    }
    if (code != CLI_OK) {
        store_close(store);
    }
    return code;
}

int store_begin(struct store *store, kh_txn **out) {
    uint64_t now_ms = system_ns(CLOCK_REALTIME) / 1000000u;
    uint64_t next_ms = KH_MS_OF_TIMESTAMP(kh_db_now(store->db)) + 1;
    store->wall_ms = now_ms > next_ms ? now_ms : next_ms;
    kh_error error = {""};
    kh_status status = kh_txn_begin(store->db, NULL, out, &error);
    return status == KH_OK ? CLI_OK : complain_status("begin", status, &error);
}

struct page {
    kh_scalar *scalars;
    kh_bytes *encoded; /* of each row: what its scalar borrows */
    size_t row_count;
    size_t bytes;
};

static kh_status page_end(struct store *store, struct page *page, kh_error *error) {
    kh_batch *batch = NULL;
    kh_status status = KH_OK;
    if (page->row_count > 0) {
        status = kh_batch_build(NULL, store->schema, page->scalars, (int64_t)page->row_count,
                                &batch, error);
    }
    if (status == KH_OK && batch != NULL) {
        status = keep_page(store, batch, error);
        kh_batch_release(batch);
    }
    for (size_t i = 0; i < page->row_count; ++i) {
        kh_bytes_free(page->encoded[i]);
    }
    page->row_count = 0;
    page->bytes = 0;
    return status;
}

static kh_status page_add(struct page *page, kh_txn *txn, kh_bytes key, kh_timestamp timestamp,
                          kh_error *error) {
    const kh_batch *value = NULL;
    kh_bytes encoded = {NULL, 0};
    kh_status status = kh_txn_peek(txn, key, &value, error);
    if (status == KH_OK) {
        status = kh_ipc_encode(&value, 1, KH_IPC_STREAM, KH_COMPRESS_NONE, &encoded, error);
    }
    if (status != KH_OK && status != KH_NOT_FOUND) {
        return status;
    }
    kh_scalar *row = &page->scalars[page->row_count * COLUMN_COUNT];
    row[COLUMN_KEY] = (kh_scalar){KH_SCALAR_BYTES, {.bytes = key}};
    row[COLUMN_TIMESTAMP] = (kh_scalar){KH_SCALAR_UINT64, {.uint64 = timestamp}};
    row[COLUMN_VALUE] =
        (kh_scalar){encoded.data == NULL ? KH_SCALAR_NULL : KH_SCALAR_BYTES, {.bytes = encoded}};
    page->encoded[page->row_count++] = encoded;
    page->bytes += encoded.size_bytes;
    return KH_OK;
}

static kh_status keep_commit(struct store *store, const kh_bytes *keys, size_t key_count,
                             kh_timestamp timestamp, kh_error *error) {
    struct page page = {heap_allocate(PAGE_ROWS * COLUMN_COUNT, sizeof(kh_scalar)),
                        heap_allocate(PAGE_ROWS, sizeof(kh_bytes)), 0, 0};
    kh_txn *txn = NULL;
    kh_status status = kh_txn_begin_at(store->db, timestamp, &txn, error);
    for (size_t i = 0; i < key_count && status == KH_OK; ++i) {
        status = page_add(&page, txn, keys[i], timestamp, error);
        if (status == KH_OK && (page.row_count == PAGE_ROWS || page.bytes >= PAGE_BYTES)) {
            status = page_end(store, &page, error);
        }
    }
    if (status == KH_OK) {
        status = page_end(store, &page, error);
    }
    kh_txn_close(txn);
    free(page.scalars);
    free(page.encoded);
    return status;
}

int store_commit(struct store *store, kh_txn *txn, const kh_bytes *keys, size_t key_count,
                 kh_timestamp *timestamp) {
    kh_error error = {""};
    kh_timestamp at = 0;
    kh_status status = kh_txn_commit(txn, &at, &error);
    kh_txn_close(txn);
    if (status == KH_OK) {
        status = keep_commit(store, keys, key_count, at, &error);
    }
    if (status != KH_OK) {
        return complain_status("commit", status, &error);
    }
    *timestamp = at;
    return CLI_OK;
}

static kh_status write_pages(const struct store *store, struct file_output *output,
                             kh_compression compression, kh_error *error) {
    kh_sink sink = file_sink(output);
    kh_ipc_writer *writer = NULL;
    kh_status status =
        kh_ipc_writer_open(&sink, KH_IPC_FILE, compression, store->schema, &writer, error);
    for (size_t i = 0; i < store->page_count && status == KH_OK; ++i) {
        status = kh_ipc_writer_write(writer, store->pages[i], error);
    }
    if (status == KH_OK) {
        status = kh_ipc_writer_finish(writer, error);
    }
    kh_ipc_writer_close(writer);
    return status;
}

int store_save(struct store *store, const char *path, kh_compression compression) {
    struct file_output output;
    int code = file_create(&output, path);
    if (code != CLI_OK) {
        return code;
    }
    kh_error error = {""};
    kh_status status = write_pages(store, &output, compression, &error);
    if (status != KH_OK) {
        code = file_complain(&output, status, &error);
        file_abandon(&output);
        return code;
    }
    return file_finish(&output);
}

void store_close(struct store *store) {
    kh_txn_close(store->replay);
    for (size_t i = 0; i < store->page_count; ++i) {
        kh_batch_release(store->pages[i]);
    }
    free(store->pages);
    kh_schema_release(store->schema);
    (void)kh_db_close(store->db);
    *store = (struct store){.db = NULL};
}
