/* golden_dump.c - what is in a database, as lines of text; see golden.c. */
#include "golden/golden.h"
#include "support/foreign.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_hex(const uint8_t *bytes, size_t size_bytes) {
    for (size_t i = 0; i < size_bytes; i++) (void)printf("%02x", bytes[i]);
}

static void write_value(const kh_batch *batch) {
    struct ArrowSchema schema;
    struct ArrowArray array;
    if (batch == NULL) {
        (void)printf(" deleted\n");
        return;
    }
    kh_error error = {""};
    golden_must(kh_batch_export(batch, &array, &schema, &error) == KH_OK, "export", &error);
    for (int64_t row = 0; row < array.length; row++) {
        char *text = foreign_text(&schema, &array, row);
        (void)printf(" %s", text);
        free(text);
    }
    (void)printf("\n");
    array.release(&array);
    schema.release(&schema);
}

/* ---- versions -------------------------------------------------------------------------------- */

struct versions {
    kh_bytes key;
    bool is_newest_only;
};

static bool write_version(void *context, const kh_version_entry *version) {
    const struct versions *versions = context;
    (void)printf("version %.*s %" PRIu64, (int)versions->key.size_bytes,
                 (const char *)versions->key.data, version->timestamp);
    write_value(version->value);
    return !versions->is_newest_only;
}

static void write_key(kh_db *db, const char *key, size_t key_bytes, bool is_newest_only) {
    struct versions versions = {{key, key_bytes}, is_newest_only};
    kh_error error = {""};
    kh_status status =
        kh_db_history(db, versions.key, 0, UINT64_MAX, write_version, &versions, NULL, &error);
    golden_must(status == KH_OK, "history", &error);
}

/* Those that are there now; of keys that are not, the records of the log tell. */
static void write_versions(kh_db *db, bool is_newest_only) {
    kh_txn *txn = NULL;
    kh_cursor *cursor = NULL;
    kh_bytes key;
    golden_must(kh_txn_begin(db, NULL, &txn, NULL) == KH_OK, "begin", NULL);
    golden_must(kh_txn_scan(txn, NULL, &cursor, NULL) == KH_OK, "scan", NULL);
    while (kh_cursor_next(cursor, &key, NULL, NULL) == KH_OK) {
        char copy[256];
        golden_must(key.size_bytes < sizeof copy, "a long key", NULL);
        memcpy(copy, key.data, key.size_bytes);
        write_key(db, copy, key.size_bytes, is_newest_only);
    }
    kh_cursor_close(cursor);
    kh_txn_close(txn);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static bool write_prepared(void *context, const kh_live_txn *txn) {
    if (!txn->is_prepared) return true;
    *(kh_txn_id *)context = txn->id;
    (void)printf("prepared %" PRIu64 " of %" PRIu64 " writes, isolation %d\n", txn->id.low,
                 txn->write_count, (int)txn->isolation);
    return true;
}

static kh_txn_id find_prepared(kh_db *db) {
    kh_txn_id id = {0, 0};
    golden_must(kh_db_live(db, write_prepared, &id, NULL) == KH_OK, "live", NULL);
    return id;
}

static bool write_record(void *context, const kh_record_entry *record) {
    (void)context;
    (void)printf("record %" PRIu64 " group %" PRIu64 " kind %d at %" PRIu64 " id %" PRIu64
                 " schema %" PRIu32,
                 record->position, record->group, (int)record->kind, record->timestamp,
                 record->id.low, record->schema_number);
    for (size_t i = 0; i < record->write_count; i++)
        (void)printf(" %s%.*s", record->writes[i].is_deleted ? "-" : "",
                     (int)record->writes[i].key.size_bytes,
                     (const char *)record->writes[i].key.data);
    (void)printf("\n");
    return true;
}

void golden_dump(const char *path) {
    kh_error error = {""};
    kh_head head;
    golden_must(kh_path_log(path, 0, write_record, NULL, &error) == KH_OK, "log", &error);
    golden_must(kh_path_head(path, &head, &error) == KH_OK, "head", &error);
    (void)printf("head %" PRIu64 ":", head.number);
    write_hex(head.digest, sizeof head.digest);
    kh_db *db = golden_open(path, KH_OPEN_READ_ONLY, 0);
    kh_identity identity = kh_db_identity(db);
    (void)printf("\ndatabase ");
    write_hex(identity.database, sizeof identity.database);
    (void)printf("\ntimeline ");
    write_hex(identity.timeline, sizeof identity.timeline);
    (void)printf("\nnow %" PRIu64 "\nhorizon %" PRIu64 "\n", kh_db_now(db), kh_db_horizon(db));
    write_versions(db, false);
    (void)find_prepared(db);
    golden_must(kh_db_close(db) == KH_OK, "close", NULL);
}

void golden_settle(const char *path) {
    kh_error error = {""};
    kh_db *db = golden_open(path, 0, UINT64_C(1) << 40);
    write_versions(db, true);
    kh_txn_id id = find_prepared(db);
    if (id.low != 0) {
        kh_timestamp timestamp = 0;
        kh_timestamp before = kh_db_now(db);
        kh_status status = kh_db_decide(db, id, true, &timestamp, &error);
        golden_must(status == KH_OK && timestamp > before, "decide", &error);
        (void)printf("decided\n");
        write_versions(db, true);
    }
    golden_must(kh_db_close(db) == KH_OK, "close", NULL);
}
