/* delta_log.c - see delta_log.h. A transaction in two steps has its delta in the record of the
 * first, and takes effect by the record of the second. */
#include "delta_log.h"

#include "complain.h"
#include "heap.h"

#include <stdlib.h>

static void append(struct delta_entry **entries, size_t *count, struct delta_entry entry) {
    if ((*count & (*count - 1)) == 0) { /* 0 and the powers of two: double */
        *entries = heap_resize(*entries, *count == 0 ? 1 : 2 * *count, sizeof **entries);
    }
    (*entries)[(*count)++] = entry;
}

static void see_decision(struct delta_log *log, const kh_record_entry *record) {
    bool is_commit = record->kind == KH_RECORD_DECIDE_COMMIT;
    for (size_t i = 0; i < log->prepared_count; ++i) {
        struct delta_entry entry = log->prepared[i];
        if (entry.id.high != record->id.high || entry.id.low != record->id.low) {
            continue;
        }
        entry.timestamp = record->timestamp;
        if (is_commit && entry.delta != NULL) {
            append(&log->entries, &log->count, entry);
        } else {
            kh_delta_release(entry.delta);
        }
        log->prepared_count -= 1;
        for (; i < log->prepared_count; ++i) {
            log->prepared[i] = log->prepared[i + 1];
        }
        return;
    }
    if (is_commit) {
        log->unknown = record->timestamp;
    }
}

/* Of those who committed together, each one's. */
static void see_members(struct delta_log *log, const kh_record_entry *record) {
    for (size_t i = 0; i < record->member_count; ++i) {
        const kh_record_member *member = &record->members[i];
        struct delta_entry entry = {record->position, member->id, record->timestamp, member->mode,
                                    NULL};
        if (member->delta != NULL) {
            entry.delta = kh_delta_retain(member->delta);
            append(&log->entries, &log->count, entry);
        }
    }
}

static bool see_record(void *context, const kh_record_entry *record) {
    struct delta_log *log = context;
    struct delta_entry entry = {record->position, record->id, record->timestamp, record->mode,
                                NULL};
    bool takes_effect = record->kind == KH_RECORD_COMMIT || record->kind == KH_RECORD_DECIDE_COMMIT;
    if (record->position == 0) {
        log->is_whole = true;
    }
    if (takes_effect) {
        log->oldest = log->oldest == 0 ? record->timestamp : log->oldest;
        log->newest = record->timestamp;
    }
    if (record->delta != NULL) {
        entry.delta = kh_delta_retain(record->delta);
    }
    if (record->kind == KH_RECORD_PREPARE) {
        append(&log->prepared, &log->prepared_count, entry);
    } else if (entry.delta != NULL) {
        append(&log->entries, &log->count, entry);
    } else if (record->kind == KH_RECORD_DECIDE_COMMIT || record->kind == KH_RECORD_DECIDE_ABORT) {
        see_decision(log, record);
    }
    see_members(log, record);
    return true;
}

int delta_log_read(struct delta_log *log, const char *path) {
    kh_error error = {""};
    *log = (struct delta_log){.entries = NULL};
    kh_status status = kh_path_log(path, 0, see_record, log, &error);
    if (status != KH_OK) {
        delta_log_free(log);
        return complain_status("workspace", status, &error);
    }
    log->committed_count = log->count;
    for (size_t i = 0; i < log->prepared_count; ++i) {
        if (log->prepared[i].delta != NULL) {
            append(&log->entries, &log->count, log->prepared[i]);
        }
    }
    log->prepared_count = 0;
    return CLI_OK;
}

void delta_log_free(struct delta_log *log) {
    for (size_t i = 0; i < log->count; ++i) {
        kh_delta_release(log->entries[i].delta);
    }
    for (size_t i = 0; i < log->prepared_count; ++i) {
        kh_delta_release(log->prepared[i].delta);
    }
    free(log->entries);
    free(log->prepared);
    *log = (struct delta_log){.entries = NULL};
}

bool delta_log_reaches(const struct delta_log *log, kh_timestamp after) {
    bool is_reached = log->is_whole || (log->oldest != 0 && log->oldest <= after);
    return is_reached && log->unknown <= after;
}
