/* changes_find.c - where a feed begins, and the frames of prepared transactions: see changes.h. */
#include "db/changes.h"

#include "base/status.h"
#include "log/rocks_log.h"
#include "log/state_key.h"

/* The storage moves on while it is looked at, rarely: so often it is looked at again. */
enum { TRIES = 16 };

/* ---- frames ---------------------------------------------------------------------------------- */

static struct held_frame **chain_of(struct kh_changes *feed, kh_txn_id id) {
    return &feed->held[id.low % HELD_CHAINS];
}

static size_t frame_size(const struct held_frame *frame) {
    return sizeof *frame + frame->size_bytes;
}

void changes_free_frame(struct kh_changes *feed, struct held_frame *frame) {
    if (frame != NULL) mem_free(feed->db->home.mem, NULL, frame, frame_size(frame));
}

void changes_free_frames(struct kh_changes *feed) {
    for (size_t i = 0; i < HELD_CHAINS; i++) {
        while (feed->held[i] != NULL) {
            struct held_frame *frame = feed->held[i];
            feed->held[i] = frame->next;
            changes_free_frame(feed, frame);
        }
    }
}

struct held_frame *changes_take_frame(struct kh_changes *feed, kh_txn_id id) {
    for (struct held_frame **link = chain_of(feed, id); *link != NULL; link = &(*link)->next) {
        struct held_frame *frame = *link;
        if (frame->id.low != id.low || frame->id.high != id.high) continue;
        *link = frame->next;
        return frame;
    }
    return NULL;
}

kh_status changes_keep_frame(struct kh_changes *feed, kh_txn_id id, kh_bytes frame,
                             kh_error *error) {
    struct raw_record raw;
    struct raw_write write;
    kh_status status = raw_open(frame, &raw, error);
    if (status == KH_OK) status = changes_next_write(feed, &raw, &write, error);
    if (status == KH_END) frame.size_bytes = 0;
    if (status != KH_OK && status != KH_END) return status;
    struct held_frame *kept = mem_alloc(feed->db->home.mem, NULL, sizeof *kept + frame.size_bytes);
    if (kept == NULL) return status_no_memory(error, sizeof *kept + frame.size_bytes);
    kept->id = id;
    kept->size_bytes = frame.size_bytes;
    memcpy(kept->bytes, frame.data, frame.size_bytes);
    changes_free_frame(feed, changes_take_frame(feed, id)); /* one that was read before */
    kept->next = *chain_of(feed, id);
    *chain_of(feed, id) = kept;
    return KH_OK;
}

/* ---- the storage ----------------------------------------------------------------------------- */

struct look {
    struct kh_changes *feed;
    kh_txn_id id; /* of the one that is asked for */
    kh_status status;
    kh_error *error;
};

static bool visit_prepared(void *context, kh_bytes key, kh_bytes value) {
    struct look *look = context;
    struct raw_record raw;
    (void)key;
    look->status = raw_open(value, &raw, look->error);
    if (look->status == KH_OK)
        look->status = changes_keep_frame(look->feed, raw.id, value, look->error);
    return look->status == KH_OK;
}

static kh_status fail_storage(int code, kh_error *error) {
    return status_fail(error, KH_IO, "the storage cannot be read (errno %d)", code);
}

static kh_status keep_prepared(struct kh_changes *feed, kh_error *error) {
    const struct kh_storage *storage = feed->db->storage;
    struct state_range range = state_range_of(STATE_PREPARED);
    struct look look = {.feed = feed, .status = KH_OK, .error = error};
    int code = storage->scan(storage->context, (kh_bytes){range.from, 1}, (kh_bytes){range.to, 1},
                             visit_prepared, &look);
    if (look.status != KH_OK) return look.status;
    return code == 0 ? KH_OK : fail_storage(code, error);
}

/* What is prepared at the storage's position, which *at becomes. */
static kh_status keep_stored(struct kh_changes *feed, kh_log_position *at, kh_error *error) {
    const struct kh_storage *storage = feed->db->storage;
    kh_status status = KH_OK;
    bool is_still = false;
    for (int i = 0; i < TRIES && status == KH_OK && !is_still; i++) {
        kh_log_position then;
        changes_free_frames(feed);
        int code = storage->position(storage->context, at);
        if (code == 0) status = keep_prepared(feed, error);
        if (code == 0 && status == KH_OK) code = storage->position(storage->context, &then);
        if (code != 0) return fail_storage(code, error);
        is_still = status == KH_OK && then == *at;
    }
    return status;
}

static kh_status keep_from_storage(struct kh_changes *feed, enum state_kind kind, kh_txn_id id,
                                   kh_error *error) {
    const struct kh_storage *storage = feed->db->storage;
    unsigned char bytes[STATE_FIXED_KEY_BYTES];
    kh_bytes key = {bytes, state_id_key(kind, id, bytes)};
    struct look look = {.feed = feed, .status = KH_OK, .error = error};
    int code = storage->get(storage->context, key, visit_prepared, &look);
    if (look.status != KH_OK) return look.status;
    return code == 0 ? KH_OK : fail_storage(code, error);
}

/* ---- a decision's frame ---------------------------------------------------------------------- */

static bool found(struct kh_changes *feed, struct feed_record *record) {
    record->held = changes_take_frame(feed, record->id);
    if (record->held == NULL) return false;
    record->frame = (kh_bytes){record->held->bytes, record->held->size_bytes};
    return true;
}

kh_status changes_find_frame(struct kh_changes *feed, struct feed_record *record, kh_error *error) {
    kh_status status = keep_from_storage(feed, STATE_PREPARED, record->id, error);
    if (status == KH_OK && found(feed, record)) return KH_OK;
    if (status == KH_OK) status = keep_from_storage(feed, STATE_DECIDED, record->id, error);
    if (status != KH_OK || found(feed, record)) return status;
    kh_log_position first;
    if (!feed->is_log_searched) status = rocks_log_first(feed->log, &first, error);
    if (status == KH_OK && !feed->is_log_searched) {
        status = changes_read_held(feed, first, feed->opened_at, error);
        feed->is_log_searched = status == KH_OK;
    }
    if (status != KH_OK || found(feed, record)) return status;
    return status_fail(error, KH_TOO_OLD,
                       "what the transaction prepared that committed at %llu is not kept any more",
                       (unsigned long long)record->commit);
}

/* ---- the place ------------------------------------------------------------------------------- */

/* The place first, then what was trimmed: who does not see a trimmed group sees that it was. */
static kh_status find_group(struct kh_changes *feed, uint64_t *trimmed, kh_error *error) {
    kh_status status = rocks_log_find(feed->log, feed->after, &feed->next, error);
    return status == KH_OK ? rocks_log_trimmed(feed->log, trimmed, error) : status;
}

kh_status changes_find_place(struct kh_changes *feed, kh_error *error) {
    uint64_t trimmed = 0;
    kh_log_position at = 0;
    kh_status status = find_group(feed, &trimmed, error);
    while (status == KH_OK && feed->after < trimmed && (feed->flags & KH_CHANGES_OLDEST)) {
        feed->after = feed->shown = trimmed; /* more may be gone by now */
        status = find_group(feed, &trimmed, error);
    }
    if (status == KH_OK && feed->after < trimmed)
        status = status_fail(error, KH_TOO_OLD, "the log has no changes up to timestamp %llu",
                             (unsigned long long)trimmed);
    feed->opened_at = feed->next;
    if (status == KH_OK) status = keep_stored(feed, &at, error);
    if (status == KH_OK && at < feed->next) status = changes_read_held(feed, at, feed->next, error);
    atomic_store_explicit(&feed->place, feed->next, memory_order_relaxed);
    return status;
}
