/* rocks_log.h - the durable log: struct kh_log over RocksDB.
 *
 * Path of a record. append copies its frame into the part being filled, in the commit section.
 * Whoever waits for it calls flush, outside: the first such caller takes the part and becomes the
 * writer, seals it as a group, writes and syncs it, and answers for all of it; those who come
 * meanwhile fill the other part (group commit as in Helland et al., "Group Commit Timers and High
 * Volume Transaction Systems", 1987, without a timer: the sync itself is the time in which the next
 * group gathers). A lone committer therefore meets no other thread. Where somebody has come
 * meanwhile, the log's thread takes over, and is the writer until a group ends without a next one:
 * nobody has to write for others twice, and waiting costs one sleep. What nobody waits for, the
 * log's thread writes after sync_delay.
 *
 * Invariants. One writer at a time (is_writing); chain, mark and the store's log are the writer's.
 * Groups are written in order, so what is lost is always a suffix. answered <= appended; a record
 * of policy none is answered inside append, if everything before it has been. What readers are
 * shown ends at `durable`. After a failed write or sync nothing is written any more, by nobody:
 * everything in flight is answered LOST (whether the disk has it is not known, and asking it again
 * would be believing a cache that has just lied: Rebello et al., "Can Applications Recover from
 * fsync Failures?", ATC 2020).
 *
 * Large groups (rocks_load_bytes, or 8 MiB where nobody asks for a sync) do not go through the
 * write-ahead log: they are loaded as table files (rocks_load.h), which are on disk when that
 * answers. Order: what was written before and not synced is synced first. Else a loss of power
 * could take a group that lies in the write-ahead log and leave a later one that was loaded and
 * acknowledged, and the log would end before it. A crash between load and mark leaves a group that
 * nobody was answered for, whole, as after any write. Loading makes durable, so it counts as a
 * sync, whatever policy the records have.
 *
 * A full device is no failure: before there is no room at all, a group waits until there is some.
 * Nothing has to be taken back; who waits, waits; new records are refused with ENOSPC, those of
 * the first to come, too, where somebody has looked in time (rocks_log_watch_room).
 *
 * Locks: `lock` has RANK_LOG and is held for copying and accounting only. */
#ifndef KHONSU_LOG_ROCKS_LOG_H
#define KHONSU_LOG_ROCKS_LOG_H

#include "base/env.h"
#include "base/lock.h"
#include "khonsu/log.h"
#include "log/group.h"
#include "log/log_kept.h"
#include "log/mark.h"
#include "log/rocks.h"

struct rocks_log_options {
    struct rocks *log;
    struct rocks *values; /* keeps the anchor, too */
    const char *path;     /* whose device must have room; borrowed */
    kh_identity identity;
    struct mark mark;   /* as it was read */
    int mark_file;      /* borrowed; -1: read-only */
    kh_log_position at; /* the storage has everything below */
    uint64_t delay_ns;  /* of what nobody waits for */
    struct env_clock clock;
    bool has_thread;
    bool ends_at_mark; /* read-only: what lies behind mark.synced is checked, and not shown */
    bool checks_roots; /* of the records of each group, too: most of the cost of a check */
    /* Of the log's end, so much was checked. NULL: nobody asks. */
    void (*checked)(void *context, uint64_t record_count, uint64_t size_bytes);
    void *checked_context;
};

struct log_part {            /* records between append and their group */
    struct ipc_buffer group; /* room for the head, then the records; nothing when empty */
    uint32_t count;
    uint64_t cookie; /* of the newest */
    uint64_t urgent; /* cookie of the newest that asks for its own sync, 0: none */
    bool is_synced;  /* some record asks for one */
    bool is_loaded;  /* it is large: set when it is taken to be written */
    uint64_t first_commit;
    uint64_t last_commit;
    uint64_t since_ns; /* when its first record came */
};

struct rocks_log {
    struct kh_log face;
    struct mem *mem;
    struct rocks *rocks;
    struct rocks *values;
    struct env_clock clock;
    kh_log_complete_fn *complete; /* NULL: no database has it open */
    void *completion_context;
    uint64_t delay_ns;
    const char *path;
    bool is_read_only;
    /* under the lock */
    struct lock lock;
    struct signal wake;  /* the log's thread */
    struct signal moved; /* who waits for `durable` to rise */
    uint32_t waiters;    /* on it */
    struct log_part parts[2];
    struct log_part *filling;
    uint32_t crowd; /* log/crowd.h */
    bool is_writing;
    bool is_failed;
    bool is_full; /* the device: what is taken is written again until it fits, no more is taken */
    bool is_short; /* the device had little room when somebody looked: no more is taken */
    bool is_idle; /* the thread sleeps until it is woken */
    bool is_closing;
    uint64_t appended; /* cookies */
    uint64_t answered;
    uint64_t unsynced_ns; /* since when something written is not synced, 0: nothing is */
    /* the writer's */
    struct chain chain;
    struct mark mark;
    uint64_t synced_group; /* number of the newest group that is on disk, and its digest */
    struct digest synced_head;
    int mark_file;
    struct digester *digester; /* and of whoever checks the log's end, before there is a writer */
    struct digest genesis;
    /* readers */
    _Atomic uint64_t durable; /* position */
    struct log_kept kept;     /* of the end that was checked at open, until rocks_log_forget */
    struct env_thread *thread;
};

/* Opens on what is there: the end of the log is checked from options->at on and a torn tail is cut
 * off. KH_CORRUPT: a group that was acknowledged is missing or damaged; the message has its place.
 * KH_NO_MEMORY, KH_IO. The rocks handles stay the caller's. */
kh_status rocks_log_create(struct mem *mem, const struct rocks_log_options *options,
                           struct rocks_log **out, kh_error *error);
/* The thread's end, and that of waiting for room on a full device: what is not written by then is
 * tried once more. No commit is in flight any more. */
void rocks_log_stop(struct rocks_log *log);
/* Write and sync what is left and stop the thread. True: all of it is on disk, and *mark says so.
 */
bool rocks_log_end(struct rocks_log *log, struct mark *mark);
/* NULL is allowed. */
void rocks_log_destroy(struct rocks_log *log);
/* Write what waits longer than the delay: what the thread does, for databases without. */
void rocks_log_tick(struct rocks_log *log);
/* Everything appended so far is on disk when it returns KH_OK. Outside of the commit section. */
kh_status rocks_log_sync(struct rocks_log *log, kh_error *error);
/* Look whether the device has room. False: it has little, or none, and records are refused until it
 * has more. Called now and then. Any thread. */
bool rocks_log_watch_room(struct rocks_log *log);
/* Is there room on the device for what upkeep does to the log? Beginning or writing a write-ahead
 * file that does not fit fails the log. */
bool rocks_log_has_room(const struct rocks_log *log);
/* Wait until the log is durable beyond a position, or until a deadline on the monotonic clock (0:
 * do not wait; UINT64_MAX: none), or until the log fails or closes, or until *is_cancelled and
 * rocks_log_wake. Returns what is durable. Any thread but the log's own. */
kh_log_position rocks_log_await(struct rocks_log *log, kh_log_position beyond, uint64_t deadline_ns,
                                const _Atomic bool *is_cancelled);
/* Is a large group being written, or about to be? Any thread. */
bool rocks_log_is_loading(struct rocks_log *log);
/* The mark as it is now: how far the log is written and synced, and its head. */
void rocks_log_mark(struct rocks_log *log, struct mark *out);
/* The newest head that is on disk: its number, the position behind it, its digest. Any thread. */
void rocks_log_head(struct rocks_log *log, uint64_t *number, kh_log_position *next,
                    struct digest *digest);

/* ---- rocks_log_tail.c ------------------------------------------------------------------------ */

/* Find the chain at the end of the log, and the end. Cuts a torn tail unless read-only. */
kh_status rocks_log_find_end(struct rocks_log *log, const struct rocks_log_options *options,
                             kh_error *error);
/* The records that find_end has checked are kept in memory for who reads them next; no more. Not
 * while anybody reads. */
void rocks_log_forget(struct rocks_log *log);
int rocks_log_read(void *context, kh_log_position from, kh_log_visit_fn *visit,
                   void *visit_context);
int rocks_log_trim(void *context, kh_log_position before);
/* The highest commit timestamp that was trimmed; 0: none was. */
kh_status rocks_log_trimmed(struct rocks_log *log, uint64_t *out, kh_error *error);
/* Say so of a log that was never written: commits up to this one are in the values alone. */
kh_status rocks_log_note_trimmed(struct rocks *values, uint64_t commit, kh_error *error);

/* ---- rocks_log_find.c ------------------------------------------------------------------------ */

/* Where to begin reading so that no durable commit above a timestamp is missed, of what was not
 * trimmed: where a group begins, or the end. Costs the logarithm of the count of groups. */
kh_status rocks_log_find(struct rocks_log *log, uint64_t after, kh_log_position *out,
                         kh_error *error);
/* The oldest record that is there; the end when none is. */
kh_status rocks_log_first(struct rocks_log *log, kh_log_position *out, kh_error *error);
/* Nothing becomes durable any more. */
bool rocks_log_has_failed(struct rocks_log *log);
/* Have those in rocks_log_await look at their is_cancelled. */
void rocks_log_wake(struct rocks_log *log);

#endif
