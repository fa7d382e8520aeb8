/* rocks_log_tail.c - the end of the log: finding and checking it, reading, trimming.
 *
 * Checking at open. Everything below the storage's position lies in table files, whose blocks carry
 * checksums; what lies above came back through RocksDB's write-ahead log, which ends without a word
 * where it cannot be read. So the groups from there on are followed one by one, each with its
 * checksums and its digest; with the root over its records where that is asked for (backups).
 * The first that is missing or broken ends the log: was it acknowledged (the mark says how far the
 * log was synced) then it is damage, and refused; else it is the torn tail of a crash, and whatever
 * lies behind it is deleted.
 *
 * The chain at a group is found without walking from the first: its stack are the digests that
 * the group's own ancestors by skips name (group.h), down to 0 or to the anchor. */
#include "log/rocks_log.h"

#include "base/status.h"
#include "log/rocks_groups.h"
#include "log/rocks_handle.h"
#include <errno.h>
#include <string.h>

/* ---- the anchor ------------------------------------------------------------------------------ */

/* Beside the anchor: the highest commit timestamp that was trimmed (8, big-endian). */
static const char trimmed_key[] = {0, 't'};

kh_status rocks_log_trimmed(struct rocks_log *log, uint64_t *out, kh_error *error) {
    char *value = NULL;
    size_t value_bytes = 0;
    kh_bytes key = {trimmed_key, sizeof trimmed_key};
    kh_status status = rocks_get(log->values, key, &value, &value_bytes, error);
    *out = 0;
    if (status == KH_NOT_FOUND) return KH_OK;
    if (status != KH_OK) return status;
    if (value_bytes == 8) {
        *out = rocks_load_u64(value);
    } else {
        status =
            status_fail(error, KH_CORRUPT, "what was trimmed is noted in %zu bytes", value_bytes);
    }
    rocksdb_free(value);
    return status;
}

kh_status rocks_log_note_trimmed(struct rocks *values, uint64_t commit, kh_error *error) {
    unsigned char bytes[8];
    char *message = NULL;
    kh_status status = rocks_enter(values, error);
    if (status != KH_OK) return status;
    rocks_store_u64(bytes, commit);
    rocksdb_put(values->db, values->unlogged, trimmed_key, sizeof trimmed_key, (const char *)bytes,
                sizeof bytes, &message);
    rocks_leave(values);
    return rocks_status(message, "what the log does not have cannot be noted", error);
}

static void push_front(struct chain *chain, uint64_t number, const struct digest *digest) {
    memmove(&chain->stack[1], &chain->stack[0], chain->depth * sizeof chain->stack[0]);
    chain->stack[0].number = number;
    chain->stack[0].digest = *digest;
    chain->depth++;
}

static void take_anchors(struct chain *chain, const struct chain *anchor, uint64_t number) {
    for (uint32_t i = anchor->depth; i-- > 0;)
        if (anchor->stack[i].number <= number)
            push_front(chain, anchor->stack[i].number, &anchor->stack[i].digest);
}

/* The chain at a group whose head is given. */
static kh_status chain_at(struct digester *digester, struct groups *groups,
                          const struct chain *anchor, struct group_head head, kh_bytes bytes,
                          struct chain *out, kh_error *error) {
    memset(out, 0, sizeof *out);
    out->number = head.number;
    out->next = head.first + head.record_count;
    group_digest(digester, bytes.data, &out->newest);
    push_front(out, head.number, &out->newest);
    for (;;) {
        uint64_t number = head.number & (head.number - 1);
        if (number <= anchor->number) {
            take_anchors(out, anchor, number);
            return KH_OK;
        }
        push_front(out, number, &head.skip);
        kh_status status =
            groups_find_number(groups, number, anchor->next, head.first - 1, &head, &bytes, error);
        if (status == KH_NOT_FOUND)
            return status_fail(error, KH_CORRUPT, "group %llu of the log is missing",
                               (unsigned long long)number);
        if (status != KH_OK) return status;
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static kh_status delete_range(struct rocks_log *log, kh_bytes from, kh_bytes to,
                              const rocksdb_writeoptions_t *options, kh_error *error) {
    char *message = NULL;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_delete_range(batch, from.data, from.size_bytes, to.data, to.size_bytes);
    rocksdb_write(log->rocks->db, options, batch, &message);
    rocksdb_writebatch_destroy(batch);
    return rocks_status(message, "groups of the log cannot be deleted", error);
}

static kh_status cut_from(struct rocks_log *log, uint64_t position, kh_error *error) {
    if (log->is_read_only) return KH_OK;
    unsigned char from[8];
    unsigned char to[9];
    rocks_store_u64(from, position);
    memset(to, 0xff, sizeof to);
    return delete_range(log, (kh_bytes){from, sizeof from}, (kh_bytes){to, sizeof to},
                        log->rocks->synced, error);
}

/* Heads and feeds show what is on disk. */
static void note_synced(struct rocks_log *log, const struct chain *chain) {
    log->synced_group = chain->number;
    log->synced_head = chain->newest;
    atomic_store_explicit(&log->durable, chain->next, memory_order_release);
}

/* The group is the next one of the chain, which has moved on over it. */
static void note_checked(struct rocks_log *log, const struct rocks_log_options *options,
                         const struct group_head *head, kh_bytes body) {
    log_kept_add(&log->kept, head->first, head->record_count, body);
    if (options->checked != NULL)
        options->checked(options->checked_context, head->record_count, body.size_bytes);
}

/* Move the chain on over all groups that follow it. *is_torn: another lies behind them. */
static kh_status follow(struct rocks_log *log, const struct rocks_log_options *options,
                        struct groups *groups, struct chain *chain, bool *is_torn,
                        kh_error *error) {
    struct group_head head;
    kh_bytes body;
    kh_bytes bytes;
    kh_status status;
    while ((status = groups_get(groups, &head, &body, &bytes, error)) == KH_OK) {
        if (head.first >= chain->next) {
            kh_bytes rooted = options->checks_roots ? body : (kh_bytes){NULL, 0};
            status = chain_follow(chain, log->digester, bytes, &head, rooted, error);
            if (status != KH_OK) break;
            if (!options->ends_at_mark || chain->next <= options->mark.synced)
                note_synced(log, chain);
            note_checked(log, options, &head, body);
        }
        groups_next(groups);
    }
    *is_torn = status == KH_CORRUPT;
    return status == KH_END ? KH_OK : status;
}

/* The chain at the group before position `at`, or the anchor. */
static kh_status start_chain(struct rocks_log *log, struct groups *groups, kh_log_position at,
                             struct chain *chain, kh_error *error) {
    struct chain anchor;
    struct group_head head;
    kh_bytes body;
    kh_bytes bytes;
    kh_status status = groups_read_anchor(log->values, &log->genesis, &anchor, error);
    if (status != KH_OK) return status;
    groups_seek(groups, at == 0 ? 0 : at - 1);
    status = groups_get(groups, &head, &body, &bytes, error);
    /* Trimmed groups may be there in part: tables of later ones went, and the deletion of the rest
     * was lost. */
    bool is_none =
        status == KH_END || (status == KH_OK && (head.first >= at || head.first < anchor.next));
    if (is_none) {
        *chain = anchor;
        return KH_OK;
    }
    if (status != KH_OK) return status;
    return chain_at(log->digester, groups, &anchor, head, bytes, chain, error);
}

static kh_status settle_end(struct rocks_log *log, const struct chain *chain, kh_log_position at,
                            kh_error *error) {
    uint64_t needed = log->mark.synced > at ? log->mark.synced : at;
    if (log->mark.is_clean && log->mark.next > needed) needed = log->mark.next;
    if (chain->next < needed)
        return status_fail(error, KH_CORRUPT,
                           "the log ends at record %llu, but %llu were acknowledged",
                           (unsigned long long)chain->next, (unsigned long long)needed);
    if (log->mark.next == chain->next && log->mark.group != 0 &&
        !digest_is_equal(&log->mark.newest, &chain->newest))
        return status_fail(error, KH_CORRUPT, "group %llu is not the one that was written",
                           (unsigned long long)chain->number);
    bool is_same = log->mark.group == chain->number && log->mark.next == chain->next;
    log->chain = *chain;
    log->mark.is_clean = false; /* not while it is open, whatever it was */
    log->mark.group = chain->number;
    log->mark.next = log->mark.synced = chain->next;
    log->mark.newest = chain->newest;
    if (is_same || log->is_read_only) return KH_OK;
    /* The numbers of a torn end are given out again: the mark must not name it then. */
    return mark_write(log->mark_file, &log->mark, true, error);
}

kh_status rocks_log_find_end(struct rocks_log *log, const struct rocks_log_options *options,
                             kh_error *error) {
    kh_log_position at = options->at;
    struct groups groups;
    struct chain chain;
    bool is_torn = false;
    groups_open(&groups, log->rocks);
    kh_status status = start_chain(log, &groups, at, &chain, error);
    if (status == KH_OK) {
        note_synced(log, &chain); /* the storage has nothing that is not on disk */
        groups_seek(&groups, chain.next);
        status = follow(log, options, &groups, &chain, &is_torn, error);
        if (is_torn) status = KH_OK;
    }
    groups_close(&groups);
    if (status == KH_OK) {
        kh_error detail;
        kh_status end = settle_end(log, &chain, at, &detail);
        /* The message of the group that ended it says more than the count. */
        if (end != KH_OK && !is_torn && error != NULL) *error = detail;
        status = end;
    }
    if (status == KH_OK && is_torn) status = cut_from(log, chain.next, error);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct reading {
    kh_log_position from;
    kh_log_position end;
    kh_log_visit_fn *visit;
    void *context;
    bool is_stopped; /* the visitor has had enough */
};

/* False: the visitor has had enough, or the group ends the reading. */
static bool visit_group(struct reading *reading, const struct group_head *head, kh_bytes body,
                        bool *is_broken) {
    size_t at = 0;
    kh_bytes frame;
    kh_log_position position = head->first;
    while (group_next_frame(body, &at, &frame, is_broken)) {
        if (position >= reading->end) return false;
        if (position >= reading->from && !reading->visit(reading->context, position, frame)) {
            reading->is_stopped = true;
            return false;
        }
        position++;
    }
    return !*is_broken;
}

static int read_from(struct groups *groups, struct reading *reading) {
    struct group_head head;
    kh_bytes body;
    kh_log_position next = reading->from;
    groups_seek(groups, reading->from);
    for (bool is_first = true; next < reading->end; is_first = false) {
        kh_status status = groups_get(groups, &head, &body, NULL, NULL);
        if (status == KH_END) return EBADMSG; /* it is durable, and not there */
        if (status != KH_OK) return status == KH_CORRUPT ? EBADMSG : EIO;
        if (is_first && head.first > reading->from) return ENODATA;
        if (!is_first && head.first != next) return EBADMSG;
        bool is_broken = false;
        if (!visit_group(reading, &head, body, &is_broken)) return is_broken ? EBADMSG : 0;
        next = head.first + head.record_count;
        groups_next(groups);
    }
    return 0;
}

/* What is trimmed may look like holes: files go as a whole. */
static bool is_trimmed(struct rocks_log *log, kh_log_position position) {
    struct chain anchor;
    return groups_read_anchor(log->values, &log->genesis, &anchor, NULL) == KH_OK &&
           position < anchor.next;
}

static int read_stored(struct rocks_log *log, struct reading *reading) {
    if (reading->from >= reading->end || reading->is_stopped) return 0;
    struct groups groups;
    groups_open(&groups, log->rocks);
    int code = read_from(&groups, reading);
    groups_close(&groups);
    return code;
}

/* What lies before the records that are kept, these, and what lies behind. */
static int read_beside_kept(struct rocks_log *log, struct reading *reading) {
    const struct log_kept *kept = &log->kept;
    kh_log_position end = reading->end;
    reading->end = kept->first < end ? kept->first : end;
    int code = read_stored(log, reading);
    if (code != 0 || reading->is_stopped) return code;
    reading->end = kept->next < end ? kept->next : end;
    if (!log_kept_visit(kept, reading->from, reading->end, reading->visit, reading->context))
        return 0;
    reading->from = kept->next > reading->from ? kept->next : reading->from;
    reading->end = end;
    return read_stored(log, reading);
}

void rocks_log_forget(struct rocks_log *log) {
    log_kept_fini(&log->kept);
}

int rocks_log_read(void *context, kh_log_position from, kh_log_visit_fn *visit,
                   void *visit_context) {
    struct rocks_log *log = context;
    struct reading reading = {.from = from,
                              .end = atomic_load_explicit(&log->durable, memory_order_acquire),
                              .visit = visit,
                              .context = visit_context};
    if (from >= reading.end) return 0;
    int code = read_beside_kept(log, &reading);
    return code == EBADMSG && is_trimmed(log, from) ? ENODATA : code;
}

/* ---- trimming -------------------------------------------------------------------------------- */

/* newest_commit 0: what is trimmed has none, and what is noted stays. */
static kh_status write_anchor(struct rocks_log *log, const struct chain *chain,
                              uint64_t newest_commit, kh_error *error) {
    unsigned char bytes[CHAIN_BYTES_MAX];
    unsigned char commit[8];
    size_t size_bytes = chain_export(chain, bytes);
    char *message = NULL;
    kh_status status = rocks_enter(log->values, error);
    if (status != KH_OK) return status;
    rocks_store_u64(commit, newest_commit);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_put(batch, groups_anchor_key, sizeof groups_anchor_key, (const char *)bytes,
                           size_bytes);
    if (newest_commit != 0)
        rocksdb_writebatch_put(batch, trimmed_key, sizeof trimmed_key, (const char *)commit,
                               sizeof commit);
    rocksdb_write(log->values->db, log->values->unlogged, batch, &message);
    rocksdb_writebatch_destroy(batch);
    rocks_leave(log->values);
    status = rocks_status(message, "the anchor cannot be written", error);
    /* Durable before anything is deleted: the write-ahead log may lose it and keep the deletion. */
    return status == KH_OK ? rocks_flush(log->values, error) : status;
}

static kh_status delete_before(struct rocks_log *log, uint64_t position, kh_error *error) {
    unsigned char from[8] = {0};
    unsigned char to[8];
    rocks_store_u64(to, position);
    char *message = NULL;
    if (!rocks_log_has_room(log)) return KH_NO_SPACE;
    /* Synced, and before the files: else a loss of power could bring back groups of which later
     * ones are gone. */
    kh_status status = delete_range(log, (kh_bytes){from, sizeof from}, (kh_bytes){to, sizeof to},
                                    log->rocks->synced, error);
    if (status != KH_OK) return status;
    /* This range has its end in it: a file that ends with the first group to keep must stay. */
    unsigned char last[8];
    rocks_store_u64(last, position - 1);
    rocksdb_delete_file_in_range(log->rocks->db, (const char *)from, sizeof from,
                                 (const char *)last, sizeof last, &message);
    return rocks_status(message, "old files of the log cannot be deleted", error);
}

/* The newest group that ends at or before the position. KH_END: none. */
static kh_status seek_ended(struct groups *groups, uint64_t before, struct group_head *head,
                            kh_bytes *bytes) {
    kh_bytes body;
    groups_seek(groups, before);
    kh_status status = groups_get(groups, head, &body, bytes, NULL);
    if (status == KH_OK && head->first + head->record_count > before && head->first > 0) {
        groups_seek(groups, head->first - 1);
        status = groups_get(groups, head, &body, bytes, NULL);
    }
    if (status == KH_OK && head->first + head->record_count > before) return KH_END;
    return status;
}

/* The newest commit of a group and those before it, down to `low`; 0: there is none. */
static kh_status newest_commit(struct groups *groups, struct group_head head, uint64_t low,
                               uint64_t *out) {
    kh_bytes body;
    kh_status status = KH_OK;
    while (status == KH_OK && head.last_commit == 0 && head.first > low) {
        groups_seek(groups, head.first - 1);
        status = groups_get(groups, &head, &body, NULL, NULL);
    }
    *out = head.last_commit;
    return status;
}

static kh_status find_cut(struct rocks_log *log, uint64_t before, struct digester *digester,
                          struct chain *out, uint64_t *commit) {
    struct groups groups;
    struct chain anchor;
    struct group_head head;
    kh_bytes bytes;
    kh_status status = groups_read_anchor(log->values, &log->genesis, &anchor, NULL);
    if (status != KH_OK) return status;
    groups_open(&groups, log->rocks);
    status = seek_ended(&groups, before, &head, &bytes);
    if (status == KH_OK) status = chain_at(digester, &groups, &anchor, head, bytes, out, NULL);
    if (status == KH_OK) status = newest_commit(&groups, head, anchor.next, commit);
    groups_close(&groups);
    return status;
}

/* By any thread: with a digester of its own, because the writer has the log's. */
int rocks_log_trim(void *context, kh_log_position before) {
    struct rocks_log *log = context;
    uint64_t durable = atomic_load_explicit(&log->durable, memory_order_acquire);
    if (log->is_read_only) return EROFS;
    struct digester *digester = digester_create(log->mem);
    if (digester == NULL) return ENOMEM;
    struct chain chain;
    uint64_t commit = 0;
    if (before > durable) before = durable;
    kh_status status = find_cut(log, before, digester, &chain, &commit);
    digester_destroy(digester);
    if (status == KH_END) return 0;
    if (status == KH_OK) status = write_anchor(log, &chain, commit, NULL);
    if (status == KH_OK) status = delete_before(log, chain.next, NULL);
    if (status == KH_NO_SPACE) return ENOSPC;
    return status == KH_OK ? 0 : EIO;
}
