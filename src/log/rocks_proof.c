/* rocks_proof.c - proofs of what is in the log: see rocks_history.h.
 *
 * Happy path: find the record that wrote the version by reading the log, then gather the heads from
 * the known one down to the record's group, by skips, and the path in the group's tree. The
 * decision of a prepared transaction comes after its writes, so its group lies on the way: the
 * heads lead to the decision's group first and from there to that of the writes.
 * Failure: a group that is gone meanwhile was trimmed (KH_TOO_OLD). */
#include "base/mem.h"
#include "base/status.h"
#include "log/proof.h"
#include "log/record_raw.h"
#include "log/rocks_groups.h"
#include "log/rocks_history.h"
#include "log/rocks_storage.h"
#include "log/state_key.h"
#include <string.h>

/* ---- finding --------------------------------------------------------------------------------- */

struct waiting { /* a prepared transaction that writes the key */
    kh_txn_id id;
    kh_log_position position;
};

struct search {
    kh_bytes key;
    kh_timestamp until;
    struct mem *mem;
    struct waiting *waiting;
    size_t waiting_count;
    size_t waiting_capacity;
    bool is_found;
    bool is_decided; /* the writes are in a PREPARE record */
    kh_log_position position;
    kh_log_position decision;
};

static kh_status has_write(const struct search *search, const struct raw_record *record, bool *out,
                           kh_error *error) {
    struct raw_record left = *record;
    struct raw_write write;
    kh_status status;
    *out = false;
    while ((status = raw_next_write(&left, &write, error)) == KH_OK) {
        *out = write.key.size_bytes == search->key.size_bytes &&
               memcmp(write.key.data, search->key.data, write.key.size_bytes) == 0;
        if (*out) return KH_OK;
    }
    return status == KH_END ? KH_OK : status;
}

static kh_status await_decision(struct search *search, kh_log_position position, kh_txn_id id,
                                kh_error *error) {
    if (search->waiting_count == search->waiting_capacity) {
        size_t capacity = search->waiting_capacity == 0 ? 16 : 2 * search->waiting_capacity;
        struct waiting *grown =
            mem_resize(search->mem, NULL, search->waiting, search->waiting_capacity * sizeof *grown,
                       capacity * sizeof *grown);
        if (grown == NULL) return status_no_memory(error, capacity * sizeof *grown);
        search->waiting = grown;
        search->waiting_capacity = capacity;
    }
    search->waiting[search->waiting_count++] = (struct waiting){id, position};
    return KH_OK;
}

static void take_decision(struct search *search, kh_log_position position,
                          const struct raw_record *record) {
    for (size_t i = 0; i < search->waiting_count; i++) {
        struct waiting *waiting = &search->waiting[i];
        if (waiting->id.low != record->id.low || waiting->id.high != record->id.high) continue;
        if (record->kind == RECORD_DECIDE_COMMIT) {
            search->is_found = search->is_decided = true;
            search->position = waiting->position;
            search->decision = position;
        }
        *waiting = search->waiting[--search->waiting_count];
        return;
    }
}

static kh_status look_at(void *context, kh_log_position position, const struct group_head *head,
                         kh_bytes frame, kh_error *error) {
    struct search *search = context;
    struct raw_record record;
    bool is_written = false;
    kh_status status = raw_open(frame, &record, error);
    (void)head;
    if (status != KH_OK) return status;
    if (record.commit > search->until) return KH_END; /* timestamps rise */
    if (record.kind == RECORD_COMMIT || record.kind == RECORD_PREPARE)
        status = has_write(search, &record, &is_written, error);
    if (status != KH_OK) return status;
    if (record.kind == RECORD_DECIDE_COMMIT || record.kind == RECORD_DECIDE_ABORT)
        take_decision(search, position, &record);
    if (!is_written) return KH_OK;
    if (record.kind == RECORD_PREPARE) return await_decision(search, position, record.id, error);
    search->is_found = true;
    search->is_decided = false;
    search->position = position;
    return KH_OK;
}

static bool note_version(void *context, kh_bytes key, kh_bytes value) {
    (void)key;
    (void)value;
    *(bool *)context = true;
    return false;
}

/* Nothing in the log wrote it: did anything before? */
static kh_status explain_absence(struct history *history, const struct search *search,
                                 kh_error *error) {
    if (history->anchor.number == 0) return KH_NOT_FOUND;
    struct rocks_storage storage;
    bool is_there = false;
    unsigned char *room = mem_alloc(history->mem, NULL, 2 * STATE_ESCAPED_KEY_MAX);
    if (room == NULL) return status_no_memory(error, 2 * STATE_ESCAPED_KEY_MAX);
    unsigned char *behind = room + STATE_ESCAPED_KEY_MAX;
    kh_bytes from = {room, state_version_key(search->key, 0, room)};
    uint64_t end = search->until == UINT64_MAX ? UINT64_MAX : search->until + 1;
    kh_bytes to = {behind, state_version_key(search->key, end, behind)};
    rocks_storage_init(&storage, history->log, history->values);
    int code = storage.face.scan(storage.face.context, from, to, note_version, &is_there);
    mem_free(history->mem, NULL, room, 2 * STATE_ESCAPED_KEY_MAX);
    if (code != 0) return status_fail(error, KH_IO, "the storage cannot be read (errno %d)", code);
    if (!is_there && search->until == UINT64_MAX) return KH_NOT_FOUND;
    return status_fail(error, KH_TOO_OLD,
                       "the log begins at record %llu: what wrote that version lies before",
                       (unsigned long long)history->anchor.next);
}

static kh_status find_write(struct history *history, const kh_head *head, struct search *search,
                            kh_error *error) {
    const struct follower follower = {.context = search, .record = look_at};
    kh_status status =
        history_read(history, history->anchor.next, head->position, &follower, error);
    mem_free(history->mem, NULL, search->waiting,
             search->waiting_capacity * sizeof *search->waiting);
    if (status != KH_OK && status != KH_END) return status;
    return search->is_found ? KH_OK : explain_absence(history, search, error);
}

/* ---- gathering ------------------------------------------------------------------------------- */

struct gathered {
    struct history *history;
    struct groups groups;
    struct ipc_buffer heads; /* whole ones, one behind the other */
    struct group_head last;  /* of the last one */
};

static kh_status trimmed(kh_status status, kh_error *error) {
    if (status != KH_NOT_FOUND && status != KH_END) return status;
    return status_fail(error, KH_TOO_OLD, "the log was trimmed meanwhile");
}

static kh_status add_head(struct gathered *gathered, const struct group_head *head, kh_bytes bytes,
                          kh_error *error) {
    ipc_buffer_append(&gathered->heads, bytes.data, GROUP_HEAD_BYTES);
    gathered->last = *head;
    return gathered->heads.is_failed ? status_no_memory(error, GROUP_HEAD_BYTES) : KH_OK;
}

static kh_status add_newest(struct gathered *gathered, const kh_head *newest, kh_error *error) {
    struct group_head head;
    kh_bytes body;
    kh_bytes bytes;
    struct digest digest;
    groups_seek(&gathered->groups, newest->position - 1);
    kh_status status = groups_get(&gathered->groups, &head, &body, &bytes, error);
    if (status != KH_OK) return trimmed(status, error);
    group_digest(gathered->history->digester, bytes.data, &digest);
    if (memcmp(digest.bytes, newest->digest, DIGEST_BYTES) != 0)
        return status_fail(error, KH_CORRUPT, "group %llu is not the one that was written",
                           (unsigned long long)head.number);
    return add_head(gathered, &head, bytes, error);
}

/* The heads on the way from the last one to the group of a position. */
static kh_status lead_to(struct gathered *gathered, kh_log_position position, kh_error *error) {
    struct group_head head;
    kh_bytes body;
    kh_bytes bytes;
    groups_seek(&gathered->groups, position);
    kh_status status = groups_get(&gathered->groups, &head, &body, &bytes, error);
    if (status != KH_OK) return trimmed(status, error);
    if (head.first > position) return trimmed(KH_NOT_FOUND, error);
    uint64_t to = head.number;
    uint64_t low = head.first;
    while (gathered->last.number > to) {
        uint64_t number = chain_step(gathered->last.number, to);
        status = groups_find_number(&gathered->groups, number, low, gathered->last.first - 1, &head,
                                    &bytes, error);
        if (status != KH_OK) return trimmed(status, error);
        status = add_head(gathered, &head, bytes, error);
        if (status != KH_OK) return status;
    }
    return KH_OK;
}

/* One record as a proof has it; the frame is copied, since the iterator moves on. */
static kh_status take_record(struct gathered *gathered, kh_log_position position,
                             struct ipc_buffer *copy, struct proof_record *out, kh_error *error) {
    struct group_head head;
    kh_bytes body;
    kh_bytes frame;
    groups_seek(&gathered->groups, position);
    kh_status status = groups_get(&gathered->groups, &head, &body, NULL, error);
    if (status != KH_OK) return trimmed(status, error);
    out->position = position;
    out->index = (uint32_t)(position - head.first);
    out->count = head.record_count;
    out->path_count = merkle_path(gathered->history->digester, body, head.record_count, out->index,
                                  &frame, out->path);
    ipc_buffer_append(copy, frame.data, frame.size_bytes);
    if (copy->is_failed) return status_no_memory(error, frame.size_bytes);
    out->frame = (kh_bytes){copy->bytes, copy->size_bytes};
    return KH_OK;
}

static kh_status write_proof(struct gathered *gathered, const kh_head *head,
                             const struct search *search, struct ipc_buffer *out, kh_error *error) {
    struct history *history = gathered->history;
    struct proof_record record;
    struct proof_record decision;
    struct ipc_buffer copies[2];
    struct digest digest;
    for (int i = 0; i < 2; i++) ipc_buffer_init(&copies[i], history->mem);
    kh_status status = KH_OK;
    if (search->is_decided)
        status = take_record(gathered, search->decision, &copies[1], &decision, error);
    if (status == KH_OK)
        status = take_record(gathered, search->position, &copies[0], &record, error);
    memcpy(digest.bytes, head->digest, DIGEST_BYTES);
    if (status == KH_OK)
        status = proof_write_all(&history->identity, &digest,
                                 (const unsigned char(*)[GROUP_HEAD_BYTES])gathered->heads.bytes,
                                 gathered->heads.size_bytes / GROUP_HEAD_BYTES, &record,
                                 search->is_decided ? &decision : NULL, out);
    for (int i = 0; i < 2; i++) ipc_buffer_fini(&copies[i]);
    return status;
}

kh_status history_prove(struct history *history, const kh_head *head, kh_bytes key,
                        kh_timestamp timestamp, struct ipc_buffer *out, kh_error *error) {
    struct search search = {
        .key = key, .until = timestamp == 0 ? UINT64_MAX : timestamp, .mem = history->mem};
    kh_status status = find_write(history, head, &search, error);
    if (status != KH_OK) return status;
    struct gathered gathered = {.history = history};
    ipc_buffer_init(&gathered.heads, history->mem);
    groups_open(&gathered.groups, history->log);
    status = add_newest(&gathered, head, error);
    if (status == KH_OK && search.is_decided) status = lead_to(&gathered, search.decision, error);
    if (status == KH_OK) status = lead_to(&gathered, search.position, error);
    if (status == KH_OK) status = write_proof(&gathered, head, &search, out, error);
    groups_close(&gathered.groups);
    ipc_buffer_fini(&gathered.heads);
    return status;
}
