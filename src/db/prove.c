/* prove.c - heads and proofs, of an open database and of a directory; and what a log has. */
#include "base/mem.h"
#include "base/status.h"
#include "batch/bytes.h"
#include "db/closed.h"
#include "db/db.h"
#include "db/durable.h"
#include "db/read.h"
#include "db/semantic.h"
#include "log/record_raw.h"
#include <string.h>

static kh_status without_path(kh_error *error) {
    return status_fail(error, KH_UNSUPPORTED, "a database without a path has no history on disk");
}

kh_status kh_db_head(kh_db *db, kh_head *out, kh_error *error) {
    kh_assert(db != NULL && out != NULL && "kh_db_head: db or out is NULL");
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    if (db->durable == NULL) return without_path(error);
    durable_head(db, out);
    return KH_OK;
}

/* The JSON as bytes that kh_bytes_free frees. */
static kh_status prove(struct history *history, const kh_head *head, kh_bytes key,
                       kh_timestamp timestamp, kh_bytes *out, kh_error *error) {
    struct ipc_buffer text;
    ipc_buffer_init(&text, history->mem);
    kh_status status = history_prove(history, head, key, timestamp, &text, error);
    if (status == KH_OK) status = bytes_make(text.bytes, text.size_bytes, out, error);
    ipc_buffer_fini(&text);
    return status;
}

kh_status kh_db_prove(kh_db *db, kh_bytes key, kh_timestamp timestamp, kh_bytes *out,
                      kh_error *error) {
    kh_assert(out != NULL && "kh_db_prove: out is NULL");
    kh_head head;
    struct history history = {.mem = NULL};
    kh_status status = read_check_key(key, error);
    if (status == KH_OK) status = kh_db_head(db, &head, error);
    if (status == KH_OK) status = durable_history(db, &history, error);
    if (status == KH_OK) status = prove(&history, &head, key, timestamp, out, error);
    history_fini(&history);
    return status;
}

/* ---- of a directory -------------------------------------------------------------------------- */

kh_status kh_path_head(const char *path, kh_head *out, kh_error *error) {
    kh_assert(path != NULL && out != NULL && "kh_path_head: path or out is NULL");
    struct closed closed;
    kh_status status = closed_open(&closed, path, error);
    if (status != KH_OK) return status;
    status = closed_head(&closed, out, error);
    closed_close(&closed);
    return status;
}

kh_status kh_path_prove(const char *path, kh_bytes key, kh_timestamp timestamp, kh_bytes *out,
                        kh_error *error) {
    kh_assert(path != NULL && out != NULL && "kh_path_prove: path or out is NULL");
    struct closed closed;
    kh_head head;
    kh_status status = read_check_key(key, error);
    if (status == KH_OK) status = closed_open(&closed, path, error);
    if (status != KH_OK) return status;
    status = closed_head(&closed, &head, error);
    if (status == KH_OK) status = prove(&closed.history, &head, key, timestamp, out, error);
    closed_close(&closed);
    return status;
}

/* ---- what the log has ------------------------------------------------------------------------ */

struct listing {
    kh_record_fn *visit;
    void *context;
    struct mem *mem;
    struct arena arena;
};

static kh_status list_writes(struct listing *listing, struct raw_record *record,
                             kh_record_entry *entry, kh_error *error) {
    struct raw_write write;
    kh_status status;
    size_t count = record->write_count;
    /* A count that the section has no room for is refused before anything is allocated for it. */
    if (count > record->writes.size_bytes)
        return status_fail(error, KH_CORRUPT, "a record with %zu writes in %zu bytes", count,
                           record->writes.size_bytes);
    kh_record_write *writes = arena_alloc(&listing->arena, (count + 1) * sizeof *writes);
    if (writes == NULL) return status_no_memory(error, (count + 1) * sizeof *writes);
    entry->writes = writes;
    while ((status = raw_next_write(record, &write, error)) == KH_OK) {
        writes[entry->write_count++] = (kh_record_write){
            .key = write.key,
            .is_deleted = write.value.data == NULL,
            .value_bytes = write.value.size_bytes,
        };
    }
    return status == KH_END ? KH_OK : status;
}

/* entry->delta is a reference then. */
static kh_status list_meaning(struct listing *listing, const struct raw_record *record,
                              kh_record_entry *entry, kh_error *error) {
    struct semantic_section read;
    kh_bytes section;
    kh_status status = raw_delta(record, &section, error);
    if (status != KH_OK || section.data == NULL) return status;
    status = semantic_decode(listing->mem, section, &read, error);
    if (status != KH_OK) return status;
    entry->delta = read.delta;
    entry->mode = read.mode;
    return KH_OK;
}

/* The same of each member. */
static kh_status list_members(struct listing *listing, const struct raw_record *record,
                              kh_record_entry *entry, kh_error *error) {
    struct raw_members raw;
    struct record_member member;
    kh_status status = raw_members(record, &raw, error);
    if (status != KH_OK || raw.count == 0) return status;
    if (raw.count > raw.left.size_bytes)
        return status_fail(error, KH_CORRUPT, "a record with %u members in %zu bytes", raw.count,
                           raw.left.size_bytes);
    kh_record_member *members = arena_alloc(&listing->arena, raw.count * sizeof *members);
    if (members == NULL) return status_no_memory(error, raw.count * sizeof *members);
    entry->members = members;
    while ((status = raw_next_member(&raw, &member, error)) == KH_OK) {
        struct semantic_section read = {.delta = NULL};
        if (member.delta.size_bytes > 0)
            status = semantic_decode(listing->mem, member.delta, &read, error);
        if (status != KH_OK) return status;
        members[entry->member_count++] = (kh_record_member){member.id, read.delta, read.mode};
    }
    return status == KH_END ? KH_OK : status;
}

static void release_meanings(const kh_record_entry *entry) {
    kh_delta_release((kh_delta *)(uintptr_t)entry->delta);
    for (size_t i = 0; i < entry->member_count; i++)
        kh_delta_release((kh_delta *)(uintptr_t)entry->members[i].delta);
}

static kh_status list(void *context, kh_log_position position, const struct group_head *head,
                      kh_bytes frame, kh_error *error) {
    struct listing *listing = context;
    struct raw_record record;
    kh_status status = raw_open(frame, &record, error);
    if (status != KH_OK) return status;
    kh_record_entry entry = {.position = position,
                             .group = head->number,
                             .sealed_ms = head->wall_ms,
                             .kind = (kh_record_kind)record.kind,
                             .timestamp = record.commit,
                             .id = record.id,
                             .schema_number = record.schema_number,
                             .size_bytes = frame.size_bytes};
    status = list_writes(listing, &record, &entry, error);
    if (status == KH_OK) status = list_meaning(listing, &record, &entry, error);
    if (status == KH_OK) status = list_members(listing, &record, &entry, error);
    if (status == KH_OK && !listing->visit(listing->context, &entry)) status = KH_END;
    release_meanings(&entry);
    arena_reset(&listing->arena);
    return status;
}

kh_status kh_path_log(const char *path, kh_log_position from, kh_record_fn *visit, void *context,
                      kh_error *error) {
    kh_assert(path != NULL && visit != NULL && "kh_path_log: path or visit is NULL");
    struct closed closed;
    struct listing listing = {.visit = visit, .context = context};
    const struct follower follower = {.context = &listing, .record = list};
    kh_status status = closed_open(&closed, path, error);
    if (status != KH_OK) return status;
    listing.mem = closed.mem;
    arena_init(&listing.arena, closed.mem, NULL);
    status = history_read(&closed.history, from, UINT64_MAX, &follower, error);
    arena_fini(&listing.arena);
    closed_close(&closed);
    return status == KH_END ? KH_OK : status;
}
