/* durable_absent.c - in builds without RocksDB: no path can be opened. See durable.h. */
#include "db/durable.h"

#include "base/status.h"

const bool durable_is_built = false;

kh_status durable_open(struct kh_db *db, const kh_options *options, kh_error *error) {
    (void)db;
    return status_fail(error, KH_UNSUPPORTED, "%.120s: this build keeps databases in memory only",
                       options->path);
}

const struct kh_log *durable_log(const struct kh_db *db) {
    (void)db;
    return NULL;
}

const struct kh_storage *durable_storage(const struct kh_db *db) {
    (void)db;
    return NULL;
}

kh_status durable_sync_log(struct kh_db *db, kh_error *error) {
    (void)db;
    (void)error;
    return KH_OK;
}

uint64_t durable_memory_bytes(const struct kh_db *db) {
    (void)db;
    return 0;
}

bool durable_is_loading(const struct kh_db *db) {
    (void)db;
    return false;
}

bool durable_stores(const struct kh_db *db, struct durable_stores *out) {
    (void)db;
    (void)out;
    return false;
}

uint64_t durable_values_bytes(const struct kh_db *db) {
    (void)db;
    return 0;
}

uint64_t durable_records_behind(const struct kh_db *db, kh_log_position from) {
    (void)db;
    (void)from;
    return 0;
}

kh_status durable_compact(struct kh_db *db, kh_error *error) {
    (void)db;
    (void)error;
    return KH_OK;
}

bool durable_storage_is_stuck(const struct kh_db *db) {
    (void)db;
    return false;
}

kh_status durable_reopen_storage(const struct kh_db *db, kh_error *error) {
    (void)db;
    (void)error;
    return KH_OK;
}

kh_status durable_check_room(const struct kh_db *db, kh_error *error) {
    (void)db;
    (void)error;
    return KH_OK;
}

kh_status durable_forgotten(const struct kh_db *db, kh_timestamp newest, kh_timestamp *below,
                            kh_error *error) {
    (void)db;
    (void)newest;
    (void)error;
    *below = 0;
    return KH_OK;
}

kh_status durable_forget(const struct kh_db *db, kh_timestamp newest, kh_error *error) {
    (void)db;
    (void)newest;
    (void)error;
    return KH_OK;
}

bool durable_watch_room(const struct kh_db *db) {
    (void)db;
    return true;
}

void durable_follow_clock(struct kh_db *db) {
    (void)db;
}

void durable_restored(struct kh_db *db) {
    (void)db;
}

void durable_quiet(struct kh_db *db) {
    (void)db;
}

void durable_step(struct kh_db *db) {
    (void)db;
}

void durable_close(struct kh_db *db) {
    (void)db;
}

/* ---- histories that others can check --------------------------------------------------------- */

static kh_status absent(kh_error *error) {
    return status_fail(error, KH_UNSUPPORTED, "this build keeps databases in memory only");
}

kh_status kh_db_head(kh_db *db, kh_head *out, kh_error *error) {
    (void)db;
    (void)out;
    return absent(error);
}

kh_status kh_db_prove(kh_db *db, kh_bytes key, kh_timestamp timestamp, kh_bytes *out,
                      kh_error *error) {
    (void)db;
    (void)key;
    (void)timestamp;
    (void)out;
    return absent(error);
}

kh_status kh_path_head(const char *path, kh_head *out, kh_error *error) {
    (void)path;
    (void)out;
    return absent(error);
}

kh_status kh_path_prove(const char *path, kh_bytes key, kh_timestamp timestamp, kh_bytes *out,
                        kh_error *error) {
    (void)path;
    (void)key;
    (void)timestamp;
    (void)out;
    return absent(error);
}

kh_status kh_path_log(const char *path, kh_log_position from, kh_record_fn *visit, void *context,
                      kh_error *error) {
    (void)path;
    (void)from;
    (void)visit;
    (void)context;
    return absent(error);
}

kh_status kh_verify(const char *path, const kh_verify_options *options, kh_verify_report *report,
                    kh_error *error) {
    (void)path;
    (void)options;
    (void)report;
    return absent(error);
}
