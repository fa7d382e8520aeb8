/* rocks_log.c - see rocks_log.h: appending, the writer, the thread.
 *
 * Failure: a frame that finds no memory is refused and leaves nothing behind; a group that cannot
 * be written or synced fails the log for good (is_failed). */
#include "log/rocks_log.h"

#include "base/env_file.h"
#include "base/mem.h"
#include "base/status.h"
#include "log/crowd.h"
#include "log/record_layout.h"
#include "log/rocks_handle.h"
#include "log/rocks_load.h"
#include <errno.h>
#include <string.h>

enum {
    PART_BYTES = 8 << 20,         /* beyond: records of policy none wait for their group, too */
    KEPT_BYTES = 32 << 20,        /* larger parts give their memory back once they are written */
    SYNC_NS = 200 * 1000000,      /* what was written without a sync gets one within this time */
    FULL_RETRY_NS = 50 * 1000000, /* between two tries on a full device */
    SYNC_LOOK_NS = 500 * 1000,    /* who wants a sync looks again while another writes */
    ROOM_BYTES = 64 << 20,        /* what is left free: tables in the making, and the values' */
    LEAST_ROOM_BYTES = 16 << 20,  /* for upkeep, which may free some: a table and a new file */
    IDLE_TICKS = 64,           /* rounds without work before the thread sleeps until it is woken */
    TIME_AHEAD_MS = 10 * 1000, /* timestamps of unsynced commits are reserved so far ahead */
    TIME_LEFT_MS = 5 * 1000,   /* and again when so much is left */
    ID_AHEAD_MS = 600 * 1000,  /* the same of ids, which follow the clock (db/durable.h) */
    ID_LEFT_MS = 30 * 1000,
    HEAD_AT = 24, /* in a part: after room for what a table file begins with */
    BODY_AT = HEAD_AT + GROUP_HEAD_BYTES
};

_Static_assert((int)HEAD_AT >= (int)LONE_FRONT_BYTES, "the table's front fits");

static uint64_t monotonic_ns(void) {
    struct env_clock clock = env_clock_system();
    return env_monotonic_ns(&clock);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void empty(struct log_part *part) {
    if (part->group.capacity_bytes > KEPT_BYTES) ipc_buffer_fini(&part->group);
    struct ipc_buffer group = part->group;
    group.size_bytes = 0;
    *part = (struct log_part){.group = group};
}

/* Where nobody asks for a sync, the write-ahead log is cheaper for longer. */
static bool is_large(const struct rocks_log *log, const struct log_part *part) {
    size_t least = rocks_load_least(log->rocks);
    if (!part->is_synced && least < PART_BYTES) least = PART_BYTES;
    return part->group.size_bytes >= least;
}

static void note_commit(struct log_part *part, kh_bytes frame) {
    uint64_t commit = layout_u64((const unsigned char *)frame.data + AT_COMMIT);
    if (commit == 0) return;
    if (part->first_commit == 0 || commit < part->first_commit) part->first_commit = commit;
    if (commit > part->last_commit) part->last_commit = commit;
}

/* False: no memory, the part is as before. */
static bool add(struct log_part *part, const kh_bytes *frames, size_t count) {
    struct ipc_buffer *group = &part->group;
    size_t before = group->size_bytes;
    if (before == 0) (void)ipc_buffer_extend(group, BODY_AT);
    for (size_t i = 0; i < count; i++)
        ipc_buffer_append(group, frames[i].data, frames[i].size_bytes);
    if (ipc_buffer_extend(group, LONE_BACK_BYTES) != NULL) group->size_bytes -= LONE_BACK_BYTES;
    if (group->is_failed) {
        group->is_failed = false;
        group->size_bytes = before;
        return false;
    }
    for (size_t i = 0; i < count; i++) note_commit(part, frames[i]);
    part->count += (uint32_t)count;
    return true;
}

/* May a record of policy none be answered at once? Everything before it must have been, what waits
 * in memory must be little, and its timestamp must not be given to another after a crash. */
static bool is_answered_at_once(const struct rocks_log *log, kh_sync sync) {
    const struct log_part *part = log->filling;
    return sync == KH_SYNC_NONE && log->answered == log->appended &&
           part->group.size_bytes < PART_BYTES &&
           KH_MS_OF_TIMESTAMP(part->last_commit) < log->mark.time_ms;
}

static bool is_room(const struct rocks_log *log, uint64_t needed_bytes) {
    uint64_t free_bytes;
    return env_free_bytes(log->path, &free_bytes) != 0 || free_bytes >= needed_bytes;
}

/* With the lock: shall nothing be taken? Who is refused for want of room has looked himself. */
static bool is_out_of_room(struct rocks_log *log) {
    if (log->is_short) log->is_short = !is_room(log, ROOM_BYTES);
    return log->is_full || log->is_short;
}

bool rocks_log_watch_room(struct rocks_log *log) {
    bool is_short = !log->is_read_only && !is_room(log, ROOM_BYTES);
    lock_take(&log->lock);
    log->is_short = is_short;
    is_short = is_short || log->is_full;
    lock_leave(&log->lock);
    return !is_short;
}

static int append(void *context, const kh_bytes *frames, size_t count, uint64_t cookie,
                  kh_sync sync) {
    struct rocks_log *log = context;
    if (log->is_read_only) return EROFS;
    int code = 0;
    bool is_answered = false;
    lock_take(&log->lock);
    struct log_part *part = log->filling;
    if (log->is_failed || is_out_of_room(log)) {
        code = log->is_failed ? EIO : ENOSPC;
    } else if (!add(part, frames, count)) {
        code = ENOMEM;
    } else {
        if (part->since_ns == 0) part->since_ns = monotonic_ns();
        is_answered = is_answered_at_once(log, sync);
        log->appended = part->cookie = cookie;
        if (sync != KH_SYNC_NONE) part->is_synced = true;
        if (sync == KH_SYNC_FULL) part->urgent = cookie;
        if (is_answered) log->answered = cookie;
        if (log->is_idle) signal_wake_all(&log->wake);
    }
    lock_leave(&log->lock);
    if (is_answered) log->complete(log->completion_context, cookie, KH_LOG_KEPT);
    return code;
}

/* ---- the writer ------------------------------------------------------------------------------ */

static kh_status sync_file(struct rocks_log *log, kh_error *error) {
    char *message = NULL;
    rocksdb_flush_wal(log->rocks->db, 1, &message);
    return rocks_status(message, "the log cannot be synced", error);
}

static bool has_unsynced(struct rocks_log *log) {
    lock_take(&log->lock);
    bool is_there = log->unsynced_ns != 0;
    lock_leave(&log->lock);
    return is_there;
}

/* Before anything is answered whose record may be lost with its timestamp. */
static kh_status reserve_time(struct rocks_log *log, uint64_t newest_commit) {
    uint64_t needed = KH_MS_OF_TIMESTAMP(newest_commit) + 1;
    if (needed + TIME_LEFT_MS <= log->mark.time_ms) return KH_OK;
    struct mark mark = log->mark;
    mark.time_ms = needed + TIME_AHEAD_MS;
    kh_status status = mark_write(log->mark_file, &mark, true, NULL);
    if (status != KH_OK) return status;
    lock_take(&log->lock); /* append looks at it */
    log->mark.time_ms = mark.time_ms;
    lock_leave(&log->lock);
    return KH_OK;
}

/* Nobody waits for it: without, ids count on from where they are. */
static void reserve_ids(struct rocks_log *log) {
    uint64_t now_ms = env_wall_ms(&log->clock);
    if (now_ms + ID_LEFT_MS <= log->mark.id_ms) return;
    struct mark mark = log->mark;
    mark.id_ms = now_ms + ID_AHEAD_MS;
    if (mark_write(log->mark_file, &mark, true, NULL) != KH_OK) return;
    lock_take(&log->lock);
    log->mark.id_ms = mark.id_ms;
    lock_leave(&log->lock);
}

static kh_status note_written(struct rocks_log *log, bool is_synced) {
    lock_take(&log->lock); /* others ask for the head */
    log->mark.group = log->chain.number;
    log->mark.next = log->chain.next;
    log->mark.newest = log->chain.newest;
    if (is_synced) log->mark.synced = log->chain.next;
    lock_leave(&log->lock);
    kh_status status = mark_write(log->mark_file, &log->mark, false, NULL);
    if (status != KH_OK || !is_synced) return status;
    lock_take(&log->lock);
    log->synced_group = log->chain.number;
    log->synced_head = log->chain.newest;
    atomic_store_explicit(&log->durable, log->chain.next, memory_order_release);
    if (log->waiters > 0) signal_wake_all(&log->moved);
    lock_leave(&log->lock);
    return KH_OK;
}

static kh_bytes body_of(const struct log_part *part) {
    return (kh_bytes){part->group.bytes + BODY_AT, part->group.size_bytes - BODY_AT};
}

static struct group_head head_for(const struct rocks_log *log, const struct log_part *part) {
    return (struct group_head){.first_commit = part->first_commit,
                               .last_commit = part->last_commit,
                               .wall_ms = env_wall_ms(&log->clock)};
}

static kh_status put_group(struct rocks_log *log, const struct log_part *part,
                           const unsigned char key[8]) {
    char *message = NULL;
    const rocksdb_writeoptions_t *options =
        part->is_synced ? log->rocks->synced : log->rocks->unsynced;
    rocksdb_put(log->rocks->db, options, (const char *)key, 8,
                (const char *)part->group.bytes + HEAD_AT, part->group.size_bytes - HEAD_AT,
                &message);
    return rocks_status(message, "the log cannot be written", NULL);
}

/* Seal and write through the write-ahead log; sync, where somebody wants it. */
static kh_status write_group(struct rocks_log *log, const struct log_part *part,
                             struct chain *chain) {
    unsigned char key[8];
    struct group_head head = head_for(log, part);
    rocks_store_u64(key, chain->next);
    chain_append(chain, log->digester, &head, body_of(part), part->group.bytes + HEAD_AT);
    kh_status status = part->is_synced ? KH_OK : reserve_time(log, part->last_commit);
    return status == KH_OK ? put_group(log, part, key) : status;
}

/* The disk is at work on the records while they are digested for the head. */
static kh_status load_group(struct rocks_log *log, const struct log_part *part,
                            struct chain *chain) {
    unsigned char key[8];
    struct rocks_lone_load load;
    struct group_head head = head_for(log, part);
    rocks_store_u64(key, chain->next);
    kh_status status = has_unsynced(log) ? sync_file(log, NULL) : KH_OK;
    if (status != KH_OK) return status;
    status = rocks_load_begin(&load, log->rocks, key, part->group.bytes + HEAD_AT,
                              part->group.size_bytes - HEAD_AT, GROUP_HEAD_BYTES, NULL);
    if (status != KH_OK) return status;
    chain_append(chain, log->digester, &head, body_of(part), part->group.bytes + HEAD_AT);
    return rocks_load_end(&load, NULL);
}

/* As the writer, without the lock. */
static kh_status keep(struct rocks_log *log, const struct log_part *part) {
    struct chain chain = log->chain;
    reserve_ids(log);
    kh_status status =
        part->is_loaded ? load_group(log, part, &chain) : write_group(log, part, &chain);
    if (status != KH_OK) return status;
    log->chain = chain;
    return note_written(log, part->is_synced);
}

static void set_full(struct rocks_log *log, bool is_full) {
    lock_take(&log->lock);
    log->is_full = is_full;
    lock_leave(&log->lock);
}

/* False: the log is being closed. */
static bool wait_for_room(struct rocks_log *log) {
    bool is_over = false;
    lock_take(&log->lock);
    if (!log->is_closing) (void)signal_wait(&log->wake, &log->lock, monotonic_ns() + FULL_RETRY_NS);
    is_over = log->is_closing;
    lock_leave(&log->lock);
    return !is_over;
}

/* Not into the last of the room: RocksDB writes tables on the side, and does not get over a
 * write-ahead file that did not fit. */
static kh_status keep_if_room(struct rocks_log *log, const struct log_part *part) {
    uint64_t copies = part->is_loaded ? 2 : 4; /* log, tables, the values' */
    if (!is_room(log, ROOM_BYTES + copies * part->group.size_bytes)) return KH_NO_SPACE;
    return keep(log, part);
}

static kh_status keep_patiently(struct rocks_log *log, const struct log_part *part) {
    kh_status status = keep_if_room(log, part);
    if (status != KH_NO_SPACE) return status;
    set_full(log, true);
    while (status == KH_NO_SPACE && wait_for_room(log)) status = keep_if_room(log, part);
    set_full(log, false);
    return status;
}

/* With the lock: the part is written, or the log has failed. */
static void note_end(struct rocks_log *log, struct log_part *part, kh_status status) {
    if (status == KH_OK && log->answered < part->cookie) log->answered = part->cookie;
    if (status != KH_OK) {
        log->is_failed = true;
        signal_wake_all(&log->moved);
    }
    if (part->is_synced) log->unsynced_ns = 0;
    if (!part->is_synced && log->unsynced_ns == 0) log->unsynced_ns = monotonic_ns();
    empty(part);
    log->is_writing = false;
}

/* With the lock, which is left and taken again. */
static void let_others_come(struct rocks_log *log) {
    if (log->is_writing || !crowd_is_there(log->crowd)) return;
    lock_leave(&log->lock);
    env_yield();
    lock_take(&log->lock);
}

/* With the lock, which is left and taken again. False: another is the writer, or there is nothing
 * to write. */
static bool write_one(struct rocks_log *log, bool is_thread) {
    struct log_part *part = log->filling;
    if (log->is_writing || log->is_failed || part->count == 0) return false;
    log->is_writing = true;
    log->filling = part == &log->parts[0] ? &log->parts[1] : &log->parts[0];
    crowd_note(&log->crowd, part->count);
    part->is_loaded = is_large(log, part);
    if (part->is_loaded) part->is_synced = true;
    lock_leave(&log->lock);
    kh_status status = keep_patiently(log, part);
    lock_take(&log->lock);
    uint64_t cookie = status == KH_OK ? part->cookie : UINT64_MAX;
    bool is_open = log->answered < cookie;
    note_end(log, part, status);
    /* Who came meanwhile has left it to us. */
    if (log->filling->urgent != 0 && !is_thread) signal_wake_all(&log->wake);
    lock_leave(&log->lock);
    if (is_open)
        log->complete(log->completion_context, cookie, status == KH_OK ? KH_LOG_KEPT : KH_LOG_LOST);
    lock_take(&log->lock);
    return true;
}

static kh_status sync_written(struct rocks_log *log, kh_error *error) {
    kh_status status = sync_file(log, error);
    return status == KH_OK ? note_written(log, true) : status;
}

/* With the lock, which is left and taken again: as the writer, sync what was written. */
static kh_status sync_one(struct rocks_log *log, kh_error *error) {
    log->is_writing = true;
    lock_leave(&log->lock);
    kh_status status = sync_written(log, error);
    lock_take(&log->lock);
    log->is_writing = false;
    log->unsynced_ns = 0;
    if (status == KH_OK) return KH_OK;
    log->is_failed = true;
    signal_wake_all(&log->moved);
    lock_leave(&log->lock);
    log->complete(log->completion_context, UINT64_MAX, KH_LOG_LOST);
    lock_take(&log->lock);
    return status;
}

/* With the lock, as the last thing that a writer does: who came meanwhile relies on the log's
 * thread. Where there is none, the writer writes for them. */
static void write_for_others(struct rocks_log *log) {
    while (log->thread == NULL && write_one(log, true)) {
    }
}

/* With the lock. Whose record is in a group that is being written waits for that. */
static bool is_flush_wanted(const struct rocks_log *log, uint64_t cookie) {
    return log->thread == NULL || (log->filling->urgent != 0 && log->answered < cookie);
}

static void flush(void *context, uint64_t cookie) {
    struct rocks_log *log = context;
    lock_take(&log->lock);
    if (is_flush_wanted(log, cookie)) let_others_come(log);
    if (is_flush_wanted(log, cookie) && write_one(log, false)) write_for_others(log);
    lock_leave(&log->lock);
}

kh_status rocks_log_sync(struct rocks_log *log, kh_error *error) {
    kh_status status = KH_OK;
    lock_take(&log->lock);
    while (log->is_writing) { /* looked at again, since a failed or unsynced group wakes nobody */
        log->waiters++;
        (void)signal_wait(&log->moved, &log->lock, monotonic_ns() + SYNC_LOOK_NS);
        log->waiters--;
    }
    if (!log->is_failed) (void)write_one(log, true);
    if (log->is_failed) {
        status = status_fail(error, KH_POISONED, "the log has failed");
    } else if (log->unsynced_ns != 0 && !log->is_writing) {
        status = sync_one(log, error);
    }
    write_for_others(log);
    lock_leave(&log->lock);
    return status;
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Do what is due; true: something was. With the lock. */
static bool tick(struct rocks_log *log, uint64_t now_ns, bool is_all) {
    const struct log_part *part = log->filling;
    bool is_due = is_all || part->urgent != 0 || part->group.size_bytes >= PART_BYTES ||
                  (part->count > 0 && now_ns - part->since_ns >= log->delay_ns);
    if (is_due && write_one(log, true)) return true;
    if (log->is_writing || log->is_failed || log->unsynced_ns == 0) return false;
    if (!is_all && now_ns - log->unsynced_ns < SYNC_NS) return false;
    (void)sync_one(log, NULL);
    return true;
}

static void run(void *context) {
    struct rocks_log *log = context;
    int quiet_ticks = 0;
    lock_take(&log->lock);
    while (!log->is_closing) {
        if (log->filling->urgent != 0) let_others_come(log);
        if (log->is_closing) break; /* it may have been said while the lock was left */
        uint64_t now_ns = monotonic_ns();
        if (tick(log, now_ns, false)) {
            quiet_ticks = 0;
            continue;
        }
        bool is_pending = log->filling->count > 0 || log->unsynced_ns != 0;
        quiet_ticks = is_pending ? 0 : quiet_ticks + 1;
        log->is_idle = quiet_ticks > IDLE_TICKS;
        uint64_t deadline_ns = log->is_idle ? 0 : now_ns + log->delay_ns;
        if (signal_wait(&log->wake, &log->lock, deadline_ns)) quiet_ticks = 0;
        log->is_idle = false;
    }
    lock_leave(&log->lock);
}

void rocks_log_tick(struct rocks_log *log) {
    lock_take(&log->lock);
    while (tick(log, 0, true)) {
    }
    lock_leave(&log->lock);
}

kh_log_position rocks_log_await(struct rocks_log *log, kh_log_position beyond, uint64_t deadline_ns,
                                const _Atomic bool *is_cancelled) {
    lock_take(&log->lock);
    log->waiters++;
    while (atomic_load_explicit(&log->durable, memory_order_relaxed) <= beyond && !log->is_failed &&
           !log->is_closing && deadline_ns != 0 &&
           !atomic_load_explicit(is_cancelled, memory_order_acquire))
        if (!signal_wait(&log->moved, &log->lock, deadline_ns == UINT64_MAX ? 0 : deadline_ns))
            break;
    log->waiters--;
    kh_log_position durable = atomic_load_explicit(&log->durable, memory_order_relaxed);
    lock_leave(&log->lock);
    return durable;
}

bool rocks_log_is_loading(struct rocks_log *log) {
    lock_take(&log->lock);
    const struct log_part *other = log->filling == &log->parts[0] ? &log->parts[1] : &log->parts[0];
    bool is_loading = (log->is_writing && other->is_loaded) || is_large(log, log->filling);
    lock_leave(&log->lock);
    return is_loading;
}

bool rocks_log_has_room(const struct rocks_log *log) {
    return is_room(log, LEAST_ROOM_BYTES);
}

void rocks_log_mark(struct rocks_log *log, struct mark *out) {
    lock_take(&log->lock);
    *out = log->mark;
    lock_leave(&log->lock);
}

void rocks_log_head(struct rocks_log *log, uint64_t *number, kh_log_position *next,
                    struct digest *digest) {
    lock_take(&log->lock);
    *number = log->synced_group;
    *next = atomic_load_explicit(&log->durable, memory_order_relaxed);
    *digest = log->synced_head;
    lock_leave(&log->lock);
}

/* ---- open and close -------------------------------------------------------------------------- */

static int open_log(void *context, kh_log_complete_fn *complete, void *completion_context) {
    struct rocks_log *log = context;
    if (log->complete != NULL) return EBUSY;
    log->complete = complete;
    log->completion_context = completion_context;
    return 0;
}

void rocks_log_stop(struct rocks_log *log) {
    lock_take(&log->lock);
    log->is_closing = true;
    signal_wake_all(&log->wake);
    lock_leave(&log->lock);
    if (log->thread != NULL) env_thread_join(log->thread);
    lock_take(&log->lock); /* upkeep may be asking for a sync */
    log->thread = NULL;
    lock_leave(&log->lock);
}

/* The database's last call: whatever is left is written, so that the engine need not know of it. */
static void close_log(void *context) {
    struct rocks_log *log = context;
    rocks_log_stop(log);
    if (log->complete != NULL) rocks_log_tick(log);
    log->complete = NULL;
}

static void free_log(struct rocks_log *log) {
    rocks_log_forget(log);
    for (int i = 0; i < 2; i++) ipc_buffer_fini(&log->parts[i].group);
    digester_destroy(log->digester);
    signal_fini(&log->moved);
    signal_fini(&log->wake);
    lock_fini(&log->lock);
    mem_own_free(log->mem, log, sizeof *log);
}

static struct rocks_log *make(struct mem *mem, const struct rocks_log_options *options) {
    struct rocks_log *log = mem_own_alloc(mem, sizeof *log);
    if (log == NULL) return NULL;
    memset(log, 0, sizeof *log);
    log->face = (struct kh_log){.version = KH_LOG_VERSION,
                                .size = sizeof log->face,
                                .context = log,
                                .open = open_log,
                                .append = append,
                                .flush = flush,
                                .read = rocks_log_read,
                                .trim = rocks_log_trim,
                                .close = close_log};
    log->mem = mem;
    log->rocks = options->log;
    log->values = options->values;
    log->clock = options->clock;
    log->delay_ns = options->delay_ns;
    log->path = options->path;
    log->mark = options->mark;
    log->mark_file = options->mark_file;
    log->is_read_only = options->mark_file < 0;
    log->filling = &log->parts[0];
    lock_init(&log->lock, RANK_LOG);
    signal_init(&log->wake);
    signal_init(&log->moved);
    for (int i = 0; i < 2; i++) ipc_buffer_init(&log->parts[i].group, mem);
    log_kept_init(&log->kept, mem);
    log->digester = digester_create(mem);
    if (log->digester != NULL) return log;
    free_log(log);
    return NULL;
}

kh_status rocks_log_create(struct mem *mem, const struct rocks_log_options *options,
                           struct rocks_log **out, kh_error *error) {
    struct rocks_log *log = make(mem, options);
    if (log == NULL) return status_no_memory(error, sizeof *log);
    chain_genesis(log->digester, &options->identity, &log->genesis);
    kh_status status = rocks_log_find_end(log, options, error);
    if (status == KH_OK) (void)rocks_log_watch_room(log);
    if (status == KH_OK && options->has_thread && !log->is_read_only) {
        log->thread = env_thread_start("khonsu-log", run, log);
        if (log->thread == NULL)
            status = status_fail(error, KH_NO_MEMORY, "no thread can be started");
    }
    if (status != KH_OK) {
        free_log(log);
        return status;
    }
    *out = log;
    return KH_OK;
}

bool rocks_log_end(struct rocks_log *log, struct mark *mark) {
    close_log(log);
    *mark = log->mark;
    return !log->is_failed;
}

void rocks_log_destroy(struct rocks_log *log) {
    if (log == NULL) return;
    close_log(log);
    free_log(log);
}
