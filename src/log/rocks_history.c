/* rocks_history.c - see rocks_history.h: following and reading. */
#include "log/rocks_history.h"

#include "base/status.h"
#include "log/mark.h"
#include "log/rocks_groups.h"
#include <string.h>

kh_status history_init(struct history *history, struct mem *mem, struct rocks *log,
                       struct rocks *values, const kh_identity *identity, kh_error *error) {
    *history = (struct history){.mem = mem, .log = log, .values = values, .identity = *identity};
    history->digester = digester_create(mem);
    if (history->digester == NULL) return status_no_memory(error, sizeof *history);
    chain_genesis(history->digester, identity, &history->genesis);
    kh_status status = groups_read_anchor(values, &history->genesis, &history->anchor, error);
    if (status != KH_OK) history_fini(history);
    return status;
}

void history_fini(struct history *history) {
    digester_destroy(history->digester);
    history->digester = NULL;
}

/* The records of one group, from a position on and below another. */
static kh_status show_records(const struct follower *follower, const struct group_head *head,
                              kh_bytes body, kh_log_position from, kh_log_position end,
                              kh_error *error) {
    size_t at = 0;
    kh_bytes frame;
    bool is_broken;
    kh_log_position position = head->first;
    while (group_next_frame(body, &at, &frame, &is_broken)) {
        if (position >= end) break;
        if (position >= from) {
            kh_status status = follower->record(follower->context, position, head, frame, error);
            if (status != KH_OK) return status;
        }
        position++;
    }
    return KH_OK;
}

static kh_status show_group(const struct follower *follower, const struct chain *chain,
                            const struct group_head *head, kh_bytes body, kh_error *error) {
    kh_status status = KH_OK;
    if (follower->group != NULL) status = follower->group(follower->context, chain, head, error);
    if (status == KH_OK && follower->record != NULL)
        status = show_records(follower, head, body, 0, UINT64_MAX, error);
    return status;
}

static kh_status read_all(struct rocks *rocks, kh_error *error) {
    char *message = NULL;
    kh_status status = rocks_enter(rocks, error);
    if (status != KH_OK) return status;
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(options, 1);
    rocksdb_readoptions_set_fill_cache(options, 0);
    /* Else what was trimmed is passed over without being read. */
    rocksdb_readoptions_set_ignore_range_deletions(options, 1);
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(rocks->db, options);
    rocksdb_iter_seek_to_first(iterator);
    while (rocksdb_iter_valid(iterator)) rocksdb_iter_next(iterator);
    rocksdb_iter_get_error(iterator, &message);
    rocksdb_iter_destroy(iterator);
    rocks_leave(rocks);
    rocksdb_readoptions_destroy(options);
    return rocks_status(message, "a table cannot be read", error);
}

kh_status history_read_tables(struct history *history, kh_error *error) {
    kh_status status = read_all(history->log, error);
    return status == KH_OK ? read_all(history->values, error) : status;
}

kh_status history_follow(struct history *history, const struct follower *follower,
                         struct history_end *out, kh_error *error) {
    struct groups groups;
    struct group_head head;
    kh_bytes body;
    kh_bytes bytes;
    kh_status told = KH_OK;
    kh_status status;
    *out = (struct history_end){.chain = history->anchor};
    groups_open(&groups, history->log);
    groups_seek(&groups, 0);
    while ((status = groups_get(&groups, &head, &body, &bytes, &out->why)) == KH_OK) {
        if (head.first >= history->anchor.next) {
            status = chain_follow(&out->chain, history->digester, bytes, &head, body, &out->why);
            if (status != KH_OK) break;
            told = show_group(follower, &out->chain, &head, body, error);
            if (told != KH_OK) break;
        }
        groups_next(&groups);
    }
    groups_close(&groups);
    if (told != KH_OK) return told;
    out->is_torn = status == KH_CORRUPT;
    if (status == KH_END || out->is_torn) return KH_OK;
    return status_fail(error, status, "%s", out->why.message);
}

kh_status history_check_end(const struct history_end *end, const struct mark *mark,
                            kh_log_position applied, kh_error *error) {
    uint64_t needed = mark->synced > applied ? mark->synced : applied;
    if (mark->is_clean && mark->next > needed) needed = mark->next;
    if (end->chain.next >= needed) return KH_OK;
    if (end->is_torn) return status_fail(error, KH_CORRUPT, "log: %.240s", end->why.message);
    return status_fail(error, KH_CORRUPT, "log: it ends at record %llu, but %llu were acknowledged",
                       (unsigned long long)end->chain.next, (unsigned long long)needed);
}

kh_status history_read(struct history *history, kh_log_position from, kh_log_position end,
                       const struct follower *follower, kh_error *error) {
    struct groups groups;
    struct group_head head;
    kh_bytes body;
    kh_status status;
    if (from < history->anchor.next) from = history->anchor.next;
    groups_open(&groups, history->log);
    groups_seek(&groups, from);
    while ((status = groups_get(&groups, &head, &body, NULL, error)) == KH_OK) {
        if (head.first >= end) break;
        status = show_records(follower, &head, body, from, end, error);
        if (status != KH_OK) break;
        groups_next(&groups);
    }
    groups_close(&groups);
    return status == KH_END ? KH_OK : status;
}
