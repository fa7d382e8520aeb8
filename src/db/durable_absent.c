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

void durable_restored(struct kh_db *db) {
    (void)db;
}

void durable_step(struct kh_db *db) {
    (void)db;
}

void durable_close(struct kh_db *db) {
    (void)db;
}
