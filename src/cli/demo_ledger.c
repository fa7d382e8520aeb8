/* demo_ledger.c - the mark of a loaded database, and each writer's count. */
#include "demo_ledger.h"

#include "complain.h"
#include "opening.h"

#include <inttypes.h>
#include <string.h>

static const char mark_key[] = "demo/loaded";
static const char loading[] = "loading";
static const char loaded[] = "loaded";

static kh_bytes bytes_of(const char *string) {
    return (kh_bytes){string, strlen(string)};
}

kh_status ledger_prepare(struct flights *flights, kh_error *error) {
    static const char *const names[] = {"id", "changes"};
    static const char *const formats[] = {"!u", "!l"};
    return kh_schema_build(flights->db, names, formats, 2, &flights->ledger_schema, error);
}

static struct tally whole(const struct flights *flights) {
    struct tally sum = {0, 0, 0, 0};
    for (size_t i = 0; i < flights->airport_count; ++i) {
        flights_add(&sum, &flights->airport_tallies[i], 1);
    }
    return sum;
}

kh_status ledger_mark(const struct flights *flights, kh_txn *txn, bool is_loaded, kh_error *error) {
    struct tally sum = whole(flights);
    kh_scalar row[SUMMARY_COLUMNS];
    kh_batch *batch = NULL;
    flights_summary_row(row, is_loaded ? loaded : loading, &sum);
    kh_status status = kh_batch_build(flights->db, flights->summary_schema, row, 1, &batch, error);
    if (status == KH_OK) {
        status = kh_txn_put(txn, bytes_of(mark_key), batch, error);
    }
    kh_batch_release(batch);
    return status;
}

kh_status ledger_begin(const struct flights *flights, kh_error *error) {
    kh_txn *txn = NULL;
    kh_status status = kh_txn_begin(flights->db, NULL, &txn, error);
    if (status == KH_OK) {
        status = ledger_mark(flights, txn, false, error);
    }
    if (status == KH_OK) {
        status = kh_txn_commit(txn, NULL, error);
    }
    kh_txn_close(txn);
    return status;
}

enum owner { OWNER_NONE, OWNER_DEMO, OWNER_OTHER_FILE, OWNER_STRANGER };

static enum owner owner_of_mark(struct flights *flights, const kh_batch *mark) {
    struct tally sum = whole(flights);
    struct tally said = {0, 0, 0, 0};
    kh_bytes id = {NULL, 0};
    if (kh_batch_row_count(mark) != 1 || !flights_read_summary(mark, 0, &id, &said)) {
        return OWNER_STRANGER;
    }
    flights->is_continued = id.size_bytes == strlen(loaded);
    return flights_is_same(&sum, &said) ? OWNER_DEMO : OWNER_OTHER_FILE;
}

/* A database without a mark is nobody's as long as it has no key. */
static kh_status find_owner(struct flights *flights, kh_txn *txn, enum owner *out,
                            kh_error *error) {
    const kh_batch *batch = NULL;
    kh_bytes key = {NULL, 0};
    kh_cursor *cursor = NULL;
    kh_status status = kh_txn_peek(txn, bytes_of(mark_key), &batch, error);
    if (status == KH_OK) {
        *out = owner_of_mark(flights, batch);
        return KH_OK;
    }
    if (status == KH_NOT_FOUND) {
        status = kh_txn_scan(txn, NULL, &cursor, error);
    }
    if (status != KH_OK) {
        return status;
    }
    status = kh_cursor_next(cursor, &key, &batch, error);
    kh_cursor_close(cursor);
    *out = status == KH_END ? OWNER_NONE : OWNER_STRANGER;
    return status == KH_END ? KH_OK : status;
}

static kh_status look(struct flights *flights, enum owner *out, kh_error *error) {
    kh_txn *txn = NULL;
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.flags = KH_BEGIN_READ_ONLY;
    kh_status status = kh_txn_begin(flights->db, &options, &txn, error);
    if (status == KH_OK) {
        status = find_owner(flights, txn, out, error);
    }
    kh_txn_close(txn);
    return status;
}

static int refuse_stranger(const struct flights_source *source) {
    return complain(CLI_FAILED, "%s holds a database that is not the demo's: name another --path",
                    source->path);
}

int ledger_look(const struct flights_source *source) {
    enum owner owner = OWNER_NONE;
    struct flights none = {.db = NULL}; /* the file's sums are not known yet */
    kh_error error = {""};
    kh_options options = KH_OPTIONS_INIT;
    options.path = source->path;
    options.flags = KH_OPEN_READ_ONLY | KH_OPEN_NO_THREADS;
    /* A database whose making was cut off has none: what opens it next goes on with it. */
    if (!opening_has_file(source->path, "MARK")) {
        return CLI_OK;
    }
    kh_status status = opening_open(&options, &none.db, &error);
    if (status == KH_OK) {
        status = look(&none, &owner, &error);
    }
    (void)kh_db_close(none.db);
    if (status != KH_OK) {
        return complain_status(source->path, status, &error);
    }
    return owner == OWNER_STRANGER ? refuse_stranger(source) : CLI_OK;
}

int ledger_open(struct flights *flights, const struct flights_source *source) {
    enum owner owner = OWNER_NONE;
    kh_error error = {""};
    kh_status status = look(flights, &owner, &error);
    if (status != KH_OK) {
        return complain_status(source->path, status, &error);
    }
    if (owner == OWNER_STRANGER) {
        return refuse_stranger(source);
    }
    if (owner == OWNER_OTHER_FILE) {
        return complain(CLI_FAILED,
                        "%s holds the demo of another file, not of %s: name that file, or another "
                        "--path",
                        source->path, source->file);
    }
    return CLI_OK;
}

static void writer_key(uint64_t writer, struct text *key) {
    text_printf(key, "demo/writer/%" PRIu64, writer);
}

kh_status ledger_read(kh_txn *txn, uint64_t writer, uint64_t *changes, kh_error *error) {
    struct text key = {NULL, 0, 0};
    const kh_batch *batch = NULL;
    int64_t number = 0;
    writer_key(writer, &key);
    kh_status status = kh_txn_peek(txn, text_bytes(&key), &batch, error);
    if (status == KH_OK) {
        status = kh_batch_int64(batch, 1, 0, &number);
    }
    text_free(&key);
    *changes = (uint64_t)number;
    return status == KH_NOT_FOUND ? KH_OK : status;
}

kh_status ledger_write(const struct flights *flights, kh_txn *txn, uint64_t writer,
                       uint64_t changes, kh_error *error) {
    struct text key = {NULL, 0, 0};
    struct text id = {NULL, 0, 0};
    kh_batch *batch = NULL;
    writer_key(writer, &key);
    text_printf(&id, "%" PRIu64, writer);
    const kh_scalar row[] = {{KH_SCALAR_BYTES, {.bytes = text_bytes(&id)}},
                             {KH_SCALAR_INT64, {.int64 = (int64_t)changes}}};
    kh_status status = kh_batch_build(flights->db, flights->ledger_schema, row, 1, &batch, error);
    if (status == KH_OK) {
        status = kh_txn_put(txn, text_bytes(&key), batch, error);
    }
    kh_batch_release(batch);
    text_free(&id);
    text_free(&key);
    return status;
}
