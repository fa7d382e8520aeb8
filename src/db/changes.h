/* changes.h - a change feed: a reader of the durable log with a place in it.
 *
 * Path of a change. A portion of the log is read at a time (changes_read.c), so that RocksDB's
 * iterator is short-lived: the frames of commits that have keys of the prefix are copied and wait
 * in `first`; the values in them are decoded one by one when they are asked for.
 *
 * Prepared transactions: their writes stand in the PREPARE frame, which may have left log and
 * storage when the decision is read. So the feed keeps the frames of all that are prepared and not
 * decided at its place (`held`): at open those that the storage has and those between its position
 * and the feed's place, then those that it passes. What it has not, because it began far back, is
 * taken from the storage (where decided ones stay as long as history does), then from the log.
 *
 * Invariants. Everything below `next` has been read: it is in `first`, in `held`, or without
 * effect. What is in `first` is durable and visible. `shown` rises to a commit when its last change
 * is returned. Failure: a record that cannot be taken is not passed over.
 *
 * Threads: one at a time, but for cancel, which touches is_cancelled and the log's signal only. */
#ifndef KHONSU_DB_CHANGES_H
#define KHONSU_DB_CHANGES_H

#include "base/arena.h"
#include "db/db.h"
#include "log/record_raw.h"

struct rocks_log;

/* A PREPARE frame. */
struct held_frame {
    struct held_frame *next; /* in its chain */
    kh_txn_id id;
    size_t size_bytes; /* 0: it has no key of the prefix */
    unsigned char bytes[];
};
enum { HELD_CHAINS = 256 };

/* A commit that was read and is not shown whole. */
struct feed_record {
    struct feed_record *next;
    kh_timestamp commit;
    kh_txn_id id;
    kh_bytes frame;          /* size 0: a decision, whose frame is not found yet */
    struct held_frame *held; /* a decision's frame; NULL: it lies in the arena */
    bool is_open;            /* what follows is set */
    bool has_ahead;
    struct raw_record raw; /* at the write behind `ahead` */
    struct raw_write ahead;
    struct raw_record raw_before; /* both before the last change that was shown */
    struct raw_write ahead_before;
};

struct kh_changes {
    struct kh_db *db;
    struct kh_changes *next_feed; /* of the database; its feed_lock */
    struct rocks_log *log;
    uint32_t fork_generation;
    uint32_t flags;
    _Atomic uint32_t references; /* the caller's, and one for each stream */
    _Atomic bool is_cancelled;
    kh_timestamp after; /* as opened; rises with what is read */
    kh_timestamp shown;
    kh_timestamp shown_before; /* the last change */
    kh_log_position next;
    _Atomic kh_log_position place; /* the same, for who trims the log */
    kh_log_position opened_at;
    bool is_log_searched; /* for PREPAREs before opened_at */
    struct arena arena;   /* of what is in `first` */
    struct feed_record *first;
    struct feed_record *last;
    struct held_frame *held[HELD_CHAINS];
    kh_batch *lent; /* the value of the last change */
    size_t prefix_bytes;
    unsigned char prefix[];
};

/* ---- changes.c ------------------------------------------------------------------------------- */

/* kh_changes_next up to a position: KH_END when all below it was shown. deadline_ns as of
 * rocks_log_await. */
kh_status changes_take(struct kh_changes *feed, kh_log_position end, uint64_t deadline_ns,
                       kh_change *change, kh_error *error);
/* The change that changes_take has just given comes again. */
void changes_take_back(struct kh_changes *feed);
void changes_hold(struct kh_changes *feed);
void changes_drop(struct kh_changes *feed);
/* How far the log may be trimmed, which is not needed below `before`: feeds that come later are
 * promised what history is kept for, also when the database was closed in between, and those that
 * are open may be behind for a while. */
kh_log_position changes_kept(struct kh_db *db, kh_log_position before);

/* ---- changes_read.c -------------------------------------------------------------------------- */

static inline bool changes_has_prefix(const struct kh_changes *feed, kh_bytes key) {
    return key.size_bytes >= feed->prefix_bytes &&
           (feed->prefix_bytes == 0 || memcmp(key.data, feed->prefix, feed->prefix_bytes) == 0);
}
/* The next write of the record with a key of the prefix. KH_END, KH_CORRUPT. */
kh_status changes_next_write(const struct kh_changes *feed, struct raw_record *record,
                             struct raw_write *out, kh_error *error);
/* Read a portion of what is durable below `end`. KH_OK: `next` has moved; KH_PENDING: there is
 * nothing; else as kh_changes_next. */
kh_status changes_read(struct kh_changes *feed, kh_log_position end, kh_error *error);
/* Read [from, feed->next) for what is prepared and not decided there. KH_TOO_OLD, KH_CORRUPT,
 * KH_IO, KH_NO_MEMORY. */
kh_status changes_read_held(struct kh_changes *feed, kh_log_position from, kh_log_position end,
                            kh_error *error);

/* ---- changes_find.c -------------------------------------------------------------------------- */

/* At open: the feed's place in the log, and what is prepared there. */
kh_status changes_find_place(struct kh_changes *feed, kh_error *error);
/* The frame of a decided transaction: changes record->frame and record->held. */
kh_status changes_find_frame(struct kh_changes *feed, struct feed_record *record, kh_error *error);
/* Copy a PREPARE frame into `held`, or as much of it as the prefix needs. */
kh_status changes_keep_frame(struct kh_changes *feed, kh_txn_id id, kh_bytes frame,
                             kh_error *error);
/* Out of `held`, which is the caller's then; NULL: it is not there. */
struct held_frame *changes_take_frame(struct kh_changes *feed, kh_txn_id id);
void changes_free_frame(struct kh_changes *feed, struct held_frame *frame);
void changes_free_frames(struct kh_changes *feed);

#endif
