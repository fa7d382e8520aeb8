/* rocks_log_find.c - the log by timestamp, and who follows it: see rocks_log.h.
 *
 * Commit timestamps rise along the log, but groups without a commit (schemas, prepared
 * transactions) have none: such a one counts as the next that has one. Failure: nothing has
 * changed. */
#include "log/rocks_log.h"

#include "base/status.h"
#include "log/rocks_groups.h"
#include "log/rocks_handle.h"

/* The group at hand, or the next below `end` that has a commit. KH_NOT_FOUND: none has. */
static kh_status skip_to_commit(struct groups *groups, struct group_head *head, uint64_t end,
                                kh_error *error) {
    kh_bytes body;
    kh_status status = KH_OK;
    while (status == KH_OK && head->last_commit == 0) {
        if (head->first + head->record_count >= end) return KH_NOT_FOUND;
        groups_next(groups);
        status = groups_get(groups, head, &body, NULL, error);
    }
    return status == KH_END ? KH_NOT_FOUND : status;
}

/* Invariant: what lies below `low` has no commit above `after`; what lies at or behind `high` has
 * none at or below it, or is the end. Both are where a group begins or ends. */
static kh_status search(struct groups *groups, uint64_t after, uint64_t low, uint64_t high,
                        kh_log_position *out, kh_error *error) {
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct group_head head;
        kh_bytes body;
        groups_seek(groups, middle);
        kh_status status = groups_get(groups, &head, &body, NULL, error);
        if (status == KH_END) break; /* everything was trimmed */
        if (status != KH_OK) return status;
        uint64_t first = head.first;
        if (first > middle) { /* what lies below it was trimmed */
            low = first;
            continue;
        }
        status = skip_to_commit(groups, &head, high, error);
        if (status == KH_OK && head.last_commit <= after) {
            /* Where a group is missing, it ends before the middle. */
            uint64_t behind = head.first + head.record_count;
            low = behind > middle ? behind : middle + 1;
        } else if (status == KH_OK || status == KH_NOT_FOUND) {
            high = first;
        } else {
            return status;
        }
    }
    *out = high;
    return KH_OK;
}

kh_status rocks_log_find(struct rocks_log *log, uint64_t after, kh_log_position *out,
                         kh_error *error) {
    struct groups groups;
    struct chain anchor;
    uint64_t durable = atomic_load_explicit(&log->durable, memory_order_acquire);
    kh_status status = groups_read_anchor(log->values, &log->genesis, &anchor, error);
    if (status != KH_OK) return status;
    groups_open(&groups, log->rocks);
    status = search(&groups, after, anchor.next, durable, out, error);
    groups_close(&groups);
    return status;
}

kh_status rocks_log_first(struct rocks_log *log, kh_log_position *out, kh_error *error) {
    struct groups groups;
    struct group_head head;
    kh_bytes body;
    struct chain anchor;
    uint64_t durable = atomic_load_explicit(&log->durable, memory_order_acquire);
    kh_status status = groups_read_anchor(log->values, &log->genesis, &anchor, error);
    if (status != KH_OK) return status;
    groups_open(&groups, log->rocks);
    groups_seek(&groups, anchor.next);
    status = groups_get(&groups, &head, &body, NULL, error);
    if (status == KH_OK) *out = head.first < anchor.next ? durable : head.first;
    if (status == KH_END) *out = durable;
    groups_close(&groups);
    return status == KH_END ? KH_OK : status;
}

bool rocks_log_has_failed(struct rocks_log *log) {
    lock_take(&log->lock);
    bool is_failed = log->is_failed;
    lock_leave(&log->lock);
    return is_failed;
}

void rocks_log_wake(struct rocks_log *log) {
    lock_take(&log->lock);
    signal_wake_all(&log->moved);
    lock_leave(&log->lock);
}
