/* changes_read.c - the log's frames as what a feed has to show: see changes.h.
 *
 * The log's visitor runs while an iterator of RocksDB is open: it copies, and decodes nothing.
 * Each record has its whole effect or none, so that a portion may end anywhere. */
#include "db/changes.h"

#include "base/status.h"
#include "log/rocks_log.h"
#include <errno.h>

/* Of the log in one portion: more than most groups have, because where a portion ends within a
 * group, the next one reads the whole group again. */
enum { PORTION_BYTES = 4 << 20 };

struct portion {
    struct kh_changes *feed;
    kh_log_position next;
    kh_log_position end;
    size_t bytes;
    bool is_held_only; /* no commit is looked at */
    kh_status status;
    kh_error *error;
};

kh_status changes_next_write(const struct kh_changes *feed, struct raw_record *record,
                             struct raw_write *out, kh_error *error) {
    kh_status status;
    do {
        status = raw_next_write(record, out, error);
    } while (status == KH_OK && !changes_has_prefix(feed, out->key));
    return status;
}

static kh_status push(struct kh_changes *feed, const struct feed_record *record, kh_error *error) {
    struct feed_record *kept = arena_copy(&feed->arena, record, sizeof *record);
    if (kept == NULL) return status_no_memory(error, sizeof *record);
    kept->next = NULL;
    if (feed->last == NULL) {
        feed->first = kept;
    } else {
        feed->last->next = kept;
    }
    feed->last = kept;
    return KH_OK;
}

static kh_status take_commit(struct kh_changes *feed, const struct raw_record *raw,
                             kh_error *error) {
    struct raw_record writes = *raw;
    struct raw_write write;
    kh_status status = changes_next_write(feed, &writes, &write, error);
    if (status != KH_OK) return status == KH_END ? KH_OK : status;
    struct feed_record record = {.commit = raw->commit, .id = raw->id};
    record.frame.size_bytes = raw->frame.size_bytes;
    record.frame.data = arena_copy(&feed->arena, raw->frame.data, raw->frame.size_bytes);
    if (record.frame.data == NULL) return status_no_memory(error, raw->frame.size_bytes);
    return push(feed, &record, error);
}

static kh_status take_decision(struct kh_changes *feed, const struct raw_record *raw, bool is_shown,
                               kh_error *error) {
    struct feed_record record = {.commit = raw->commit, .id = raw->id};
    record.held = changes_take_frame(feed, raw->id);
    if (is_shown && (record.held == NULL || record.held->size_bytes > 0)) {
        if (record.held != NULL)
            record.frame = (kh_bytes){record.held->bytes, record.held->size_bytes};
        kh_status status = push(feed, &record, error);
        if (status == KH_OK || record.held == NULL) return status;
        /* Back to where it was, for the next try. */
        record.held->next = feed->held[raw->id.low % HELD_CHAINS];
        feed->held[raw->id.low % HELD_CHAINS] = record.held;
        return status;
    }
    changes_free_frame(feed, record.held);
    return KH_OK;
}

static kh_status take_record(struct portion *portion, const struct raw_record *raw) {
    struct kh_changes *feed = portion->feed;
    bool is_shown = !portion->is_held_only && raw->commit > feed->after;
    switch (raw->kind) {
    case RECORD_COMMIT:
        return is_shown ? take_commit(feed, raw, portion->error) : KH_OK;
    case RECORD_PREPARE:
        return changes_keep_frame(feed, raw->id, raw->frame, portion->error);
    case RECORD_DECIDE_COMMIT:
        return take_decision(feed, raw, is_shown, portion->error);
    case RECORD_DECIDE_ABORT:
        return take_decision(feed, raw, false, portion->error);
    default:
        return KH_OK;
    }
}

static bool is_commit(const struct raw_record *raw) {
    return raw->kind == RECORD_COMMIT || raw->kind == RECORD_DECIDE_COMMIT;
}

static bool visit(void *context, kh_log_position position, kh_bytes bytes) {
    struct portion *portion = context;
    struct raw_record raw;
    if (position >= portion->end || portion->bytes >= PORTION_BYTES) return false;
    portion->status = raw_open(bytes, &raw, portion->error);
    if (portion->status == KH_OK) portion->status = take_record(portion, &raw);
    if (portion->status != KH_OK) return false;
    if (!portion->is_held_only && is_commit(&raw) && raw.commit > portion->feed->after)
        portion->feed->after = raw.commit;
    portion->bytes += bytes.size_bytes;
    portion->next = position + 1;
    return true;
}

static kh_status read_portion(struct portion *portion) {
    struct rocks_log *log = portion->feed->log;
    kh_log_position from = portion->next;
    int code = rocks_log_read(log, from, visit, portion);
    /* What was read before the failure has its effect; the failure comes again. */
    if (portion->next > from) return KH_OK;
    if (portion->status != KH_OK) return portion->status;
    if (code == 0) return KH_PENDING;
    if (code == ENODATA)
        return status_fail(portion->error, KH_TOO_OLD,
                           "the log does not have what came after timestamp %llu any more",
                           (unsigned long long)portion->feed->after);
    return status_fail(portion->error, code == EBADMSG ? KH_CORRUPT : KH_IO,
                       "the log cannot be read from record %llu on (errno %d)",
                       (unsigned long long)from, code);
}

/* A record is durable some moments before its commit is visible: readers who are told of it by the
 * feed must see it. */
static void await_visible(struct kh_db *db, kh_timestamp commit) {
    if (db_visible(db) >= commit) return;
    latch_take(&db->section);
    while (db_visible(db) < commit && !db->pipeline.is_lost && db->pipeline.poison == KH_OK) {
        db->waiters++;
        (void)latch_wait(&db->section, &db->progress, 0);
        db->waiters--;
    }
    latch_leave(&db->section);
}

kh_status changes_read(struct kh_changes *feed, kh_log_position end, kh_error *error) {
    struct portion portion = {
        .feed = feed, .next = feed->next, .end = end, .status = KH_OK, .error = error};
    kh_timestamp before = feed->after;
    kh_status status = read_portion(&portion);
    feed->next = portion.next;
    atomic_store_explicit(&feed->place, portion.next, memory_order_relaxed);
    if (status == KH_OK && feed->after > before) await_visible(feed->db, feed->after);
    return status;
}

kh_status changes_read_held(struct kh_changes *feed, kh_log_position from, kh_log_position end,
                            kh_error *error) {
    struct portion portion = {
        .feed = feed, .next = from, .end = end, .is_held_only = true, .error = error};
    kh_status status = KH_OK;
    while (status == KH_OK && portion.next < end) {
        portion.bytes = 0;
        status = read_portion(&portion);
    }
    return status == KH_PENDING ? KH_OK : status;
}
