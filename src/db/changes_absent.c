/* changes_absent.c - in builds without RocksDB: no database has a log to read. See changes.h. */
#include "db/changes.h"

#include "base/status.h"

static kh_status refuse(kh_error *error) {
    return status_fail(error, KH_UNSUPPORTED, "this build keeps databases in memory only");
}

kh_status kh_changes_open(kh_db *db, kh_timestamp after, const kh_changes_options *options,
                          kh_changes **out, kh_error *error) {
    (void)db;
    (void)after;
    (void)options;
    (void)out;
    return refuse(error);
}

kh_status kh_changes_next(kh_changes *changes, uint32_t timeout_ms, kh_change *change,
                          kh_error *error) {
    (void)changes;
    (void)timeout_ms;
    (void)change;
    return refuse(error);
}

kh_timestamp kh_changes_position(const kh_changes *changes) {
    (void)changes;
    return 0;
}

void kh_changes_cancel(kh_changes *changes) {
    (void)changes;
}

void kh_changes_close(kh_changes *changes) {
    (void)changes;
}

kh_status kh_changes_stream(kh_changes *changes, uint32_t flags, struct ArrowArrayStream *out,
                            kh_error *error) {
    (void)changes;
    (void)flags;
    (void)out;
    return refuse(error);
}

kh_log_position changes_kept(struct kh_db *db, kh_log_position before) {
    (void)db;
    return before;
}
