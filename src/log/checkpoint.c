/* checkpoint.c - see checkpoint.h. */
#include "log/checkpoint.h"

#include "base/mem.h"
#include "base/status.h"
#include "log/state_key.h"
#include <errno.h>
#include <string.h>

enum { MARK_VALUE_BYTES = 32, MARK_VERSION = 1 };

static const kh_bytes mark_key = {"M", 1};

struct step {
    struct checkpoint *checkpoint;
    uint64_t horizon;
    size_t bytes_max;
    size_t bytes;
    bool is_sweep; /* else the records are applied */
    bool is_whole; /* everything that was applied was swept, too */
    bool is_ended; /* by bytes_max, or by the horizon */
    kh_log_position next;
    uint64_t newest_commit;
    unsigned char *key; /* room for the longest */
    kh_status status;
    kh_error *error;
};

enum { KEY_ROOM = STATE_ESCAPED_KEY_MAX };

/* ---- versions -------------------------------------------------------------------------------- */

static kh_bytes version_key(const struct step *step, kh_bytes key, uint64_t commit) {
    return (kh_bytes){step->key, state_version_key(key, commit, step->key)};
}

static void put_version(struct step *step, const struct raw_write *write, uint64_t commit) {
    unsigned char head[STATE_VALUE_HEAD_BYTES];
    bool is_deleted = write->value.data == NULL;
    kh_bytes value = is_deleted ? (kh_bytes){head, 0} : write->value;
    state_value_head(commit, write->schema_number, is_deleted ? STATE_FLAG_DELETED : 0, value,
                     head);
    mutations_put(&step->checkpoint->set, version_key(step, write->key, commit),
                  (kh_bytes){head, sizeof head}, value);
}

/* What a write overwrote; and the deletion itself, which says nothing that its absence does not. */
static void sweep_write(struct step *step, const struct raw_write *write, uint64_t commit) {
    struct mutations *set = &step->checkpoint->set;
    if (write->base != 0)
        mutations_delete(set, version_key(step, write->key, write->base), !step->is_sweep);
    if (write->value.data == NULL && step->is_sweep)
        mutations_delete(set, version_key(step, write->key, commit), false);
}

/* Sweeping goes in the log's order: what lies under a deletion must be gone before the deletion
 * is, or it would be the newest again. */
static bool is_swept_now(const struct step *step, uint64_t commit) {
    const struct checkpoint *checkpoint = step->checkpoint;
    if (commit > step->horizon) return false;
    return step->is_sweep || (step->is_whole && checkpoint->swept == checkpoint->applied);
}

static void take_write(struct step *step, const struct raw_write *write, uint64_t commit) {
    bool is_swept = is_swept_now(step, commit);
    if (!step->is_sweep && !(is_swept && write->value.data == NULL))
        put_version(step, write, commit);
    if (is_swept) sweep_write(step, write, commit);
    if (!is_swept) step->is_whole = false;
}

static kh_status take_writes(struct step *step, struct raw_record *record, uint64_t commit) {
    struct raw_write write;
    kh_status status;
    while ((status = raw_next_write(record, &write, step->error)) == KH_OK)
        take_write(step, &write, commit);
    return status == KH_END ? KH_OK : status;
}

/* ---- prepared transactions ------------------------------------------------------------------- */

static kh_bytes id_key(const struct step *step, enum state_kind kind, kh_txn_id id) {
    return (kh_bytes){step->key, state_id_key(kind, id, step->key)};
}

struct found {
    struct mutations *set;
    void *copy;
    size_t size_bytes;
};

static bool take_found(void *context, kh_bytes key, kh_bytes value) {
    struct found *found = context;
    (void)key;
    found->copy = arena_copy(&found->set->arena, value.data, value.size_bytes);
    found->size_bytes = value.size_bytes;
    return false;
}

/* The PREPARE frame under a key: what this step wrote, else the storage. size 0: none. */
static kh_status find_frame(struct step *step, kh_bytes key, kh_bytes *out) {
    struct checkpoint *checkpoint = step->checkpoint;
    const kh_mutation *own = mutations_find(&checkpoint->set, key);
    *out = (kh_bytes){NULL, 0};
    if (own != NULL) {
        *out = own->value;
        return KH_OK;
    }
    struct found found = {.set = &checkpoint->set};
    int code = checkpoint->storage->get(checkpoint->storage->context, key, take_found, &found);
    if (code != 0)
        return status_fail(step->error, KH_IO, "the storage cannot be read (errno %d)", code);
    if (found.size_bytes > 0 && found.copy == NULL)
        return status_no_memory(step->error, found.size_bytes);
    *out = (kh_bytes){found.copy, found.size_bytes};
    return KH_OK;
}

static bool is_left_out(const struct step *step, const struct raw_record *record) {
    return record->commit > step->checkpoint->until;
}

/* A decision takes the writes from the PREPARE frame, which stays (as decided) until it is swept.
 */
static kh_status take_decision(struct step *step, const struct raw_record *decision) {
    struct mutations *set = &step->checkpoint->set;
    enum state_kind kind = step->is_sweep ? STATE_DECIDED : STATE_PREPARED;
    bool is_commit = decision->kind == RECORD_DECIDE_COMMIT && !is_left_out(step, decision);
    kh_bytes frame;
    kh_status status = find_frame(step, id_key(step, kind, decision->id), &frame);
    if (status != KH_OK) return status;
    if (frame.size_bytes == 0) {
        if (step->is_sweep) return KH_OK; /* swept when it was applied, or an abort */
        return status_fail(step->error, KH_CORRUPT, "a decision of a transaction not prepared");
    }
    struct raw_record prepared;
    bool is_swept = is_swept_now(step, decision->commit);
    status = raw_open(frame, &prepared, step->error);
    if (status == KH_OK && is_commit) status = take_writes(step, &prepared, decision->commit);
    if (status != KH_OK) return status;
    if (!step->is_sweep && is_commit && !is_swept)
        mutations_put(set, id_key(step, STATE_DECIDED, decision->id), frame, (kh_bytes){NULL, 0});
    mutations_delete(set, id_key(step, kind, decision->id), !step->is_sweep);
    return KH_OK;
}

/* ---- records --------------------------------------------------------------------------------- */

static void put_outcome_of(struct step *step, kh_txn_id id,
                           const unsigned char value[STATE_OUTCOME_BYTES]) {
    mutations_put(&step->checkpoint->set, id_key(step, STATE_OUTCOME, id),
                  (kh_bytes){value, STATE_OUTCOME_BYTES}, (kh_bytes){NULL, 0});
}

/* For who asks by id: its own, or that of one who committed with it. */
static kh_status put_outcome(struct step *step, const struct raw_record *record) {
    unsigned char value[STATE_OUTCOME_BYTES];
    bool is_aborted = record->kind == RECORD_DECIDE_ABORT;
    if (step->is_sweep || record->kind == RECORD_PREPARE || record->kind == RECORD_SCHEMA ||
        record->kind == RECORD_HORIZON || is_left_out(step, record))
        return KH_OK;
    state_outcome(is_aborted ? step->newest_commit : record->commit, is_aborted, value);
    put_outcome_of(step, record->id, value);
    if (record->kind != RECORD_COMMIT) return KH_OK;
    struct raw_members members;
    struct record_member member;
    kh_status status = raw_members(record, &members, step->error);
    while (status == KH_OK && (status = raw_next_member(&members, &member, step->error)) == KH_OK)
        put_outcome_of(step, member.id, value);
    return status == KH_END ? KH_OK : status;
}

static kh_status take_record(struct step *step, struct raw_record *record) {
    struct mutations *set = &step->checkpoint->set;
    unsigned char key[STATE_FIXED_KEY_BYTES];
    if (record->commit > step->newest_commit) step->newest_commit = record->commit;
    kh_status status = put_outcome(step, record);
    if (status != KH_OK) return status;
    switch (record->kind) {
    case RECORD_COMMIT:
        return is_left_out(step, record) ? KH_OK : take_writes(step, record, record->commit);
    case RECORD_PREPARE:
        if (!step->is_sweep)
            mutations_put(set, id_key(step, STATE_PREPARED, record->id), record->frame,
                          (kh_bytes){NULL, 0});
        return KH_OK;
    case RECORD_DECIDE_COMMIT:
    case RECORD_DECIDE_ABORT:
        return take_decision(step, record);
    case RECORD_SCHEMA:
        if (!step->is_sweep)
            mutations_put(set, (kh_bytes){key, state_schema_key(record->schema_number, key)},
                          record->frame, (kh_bytes){NULL, 0});
        return KH_OK;
    case RECORD_HORIZON:
        return KH_OK;
    }
    return KH_OK;
}

/* A sweep ends at the first record above the horizon, and where records are not applied yet. */
static bool is_beyond(const struct step *step, const struct raw_record *record,
                      kh_log_position position) {
    if (!step->is_sweep) return false;
    return record->commit > step->horizon || position >= step->checkpoint->applied;
}

static bool visit(void *context, kh_log_position position, kh_bytes frame) {
    struct step *step = context;
    struct raw_record record;
    step->status = raw_open(frame, &record, step->error);
    if (step->status != KH_OK) return false;
    step->is_ended = is_beyond(step, &record, position);
    if (step->is_ended) return false;
    step->status = take_record(step, &record);
    step->bytes += frame.size_bytes;
    step->next = position + 1;
    /* Here and not at the next record: its group may be large, and reading it is for nothing. */
    step->is_ended = step->bytes >= step->bytes_max;
    return step->status == KH_OK && !step->is_ended;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void put_mark(struct mutations *set, kh_log_position swept, uint64_t newest_commit,
                     uint64_t horizon) {
    unsigned char value[MARK_VALUE_BYTES] = {MARK_VERSION};
    memcpy(value + 8, &swept, 8);
    memcpy(value + 16, &newest_commit, 8);
    memcpy(value + 24, &horizon, 8);
    mutations_put(set, mark_key, (kh_bytes){value, sizeof value}, (kh_bytes){NULL, 0});
}

static kh_status apply(struct step *step, kh_log_position applied, kh_log_position swept) {
    struct checkpoint *checkpoint = step->checkpoint;
    struct mutations *set = &checkpoint->set;
    /* Only what is here was swept, whatever the database has published beyond. */
    uint64_t horizon = step->horizon < step->newest_commit ? step->horizon : step->newest_commit;
    if (checkpoint->horizon > horizon) horizon = checkpoint->horizon;
    put_mark(set, swept, step->newest_commit, horizon);
    if (set->is_failed) return status_no_memory(step->error, set->size_bytes);
    const kh_mutation *list = mutations_seal(set);
    int code = checkpoint->storage->apply(checkpoint->storage->context, list, set->count, applied);
    if (code != 0)
        return status_fail(step->error, code == ENOSPC ? KH_NO_SPACE : KH_IO,
                           "the storage refused a checkpoint (errno %d)", code);
    checkpoint->applied = applied;
    checkpoint->swept = swept;
    checkpoint->newest_commit = step->newest_commit;
    checkpoint->horizon = horizon;
    return KH_OK;
}

static kh_status read_log(struct step *step, kh_log_position from) {
    const struct kh_log *log = step->checkpoint->log;
    mutations_clear(&step->checkpoint->set);
    step->next = from;
    step->is_whole = true;
    int code = log->read(log->context, from, visit, step);
    if (step->status != KH_OK || code == 0) return step->status;
    return status_fail(step->error, code == EBADMSG ? KH_CORRUPT : KH_IO,
                       "the log cannot be read from record %llu on (errno %d)",
                       (unsigned long long)from, code);
}

static kh_status apply_records(struct step *step) {
    struct checkpoint *checkpoint = step->checkpoint;
    kh_status status = read_log(step, checkpoint->applied);
    if (status != KH_OK || step->next == checkpoint->applied) return status;
    bool is_swept = step->is_whole && checkpoint->swept == checkpoint->applied;
    return apply(step, step->next, is_swept ? step->next : checkpoint->swept);
}

static kh_status sweep_records(struct step *step) {
    struct checkpoint *checkpoint = step->checkpoint;
    step->is_sweep = true;
    kh_status status = read_log(step, checkpoint->swept);
    if (status != KH_OK || step->next == checkpoint->swept) return status;
    return apply(step, checkpoint->applied, step->next);
}

kh_status checkpoint_step(struct checkpoint *checkpoint, uint64_t horizon, size_t bytes_max,
                          bool *has_more, kh_error *error) {
    struct step step = {.checkpoint = checkpoint,
                        .horizon = horizon,
                        .bytes_max = bytes_max,
                        .newest_commit = checkpoint->newest_commit,
                        .error = error};
    step.key = mem_alloc(checkpoint->mem, NULL, KEY_ROOM);
    if (step.key == NULL) return status_no_memory(error, KEY_ROOM);
    kh_log_position applied = checkpoint->applied;
    kh_log_position swept = checkpoint->swept;
    kh_status status = apply_records(&step);
    bool is_cut = step.is_ended;
    if (status == KH_OK && applied == checkpoint->applied && swept < applied) {
        status = sweep_records(&step);
        is_cut = step.next != swept;
    }
    /* What was applied may be swept now; if not, that step finds nothing. */
    bool is_behind = applied != checkpoint->applied && checkpoint->swept < checkpoint->applied;
    *has_more = status == KH_OK && (is_cut || is_behind);
    mem_free(checkpoint->mem, NULL, step.key, KEY_ROOM);
    return status;
}

kh_status checkpoint_rebase(struct checkpoint *checkpoint, uint64_t moment, kh_error *error) {
    struct step step = {
        .checkpoint = checkpoint, .horizon = moment, .newest_commit = moment, .error = error};
    mutations_clear(&checkpoint->set);
    return apply(&step, 0, 0);
}

/* ---- open ------------------------------------------------------------------------------------ */

struct mark_read {
    struct checkpoint *checkpoint;
    kh_status status;
    kh_error *error;
};

static bool read_mark(void *context, kh_bytes key, kh_bytes value) {
    struct mark_read *read = context;
    const unsigned char *bytes = value.data;
    (void)key;
    if (value.size_bytes < 4 || bytes[0] != MARK_VERSION) {
        read->status = status_fail(read->error, KH_UNSUPPORTED, "a checkpoint of another format");
        return false;
    }
    if (value.size_bytes != MARK_VALUE_BYTES) {
        read->status = status_fail(read->error, KH_CORRUPT, "the checkpoint's mark is malformed");
        return false;
    }
    memcpy(&read->checkpoint->swept, bytes + 8, 8);
    memcpy(&read->checkpoint->newest_commit, bytes + 16, 8);
    memcpy(&read->checkpoint->horizon, bytes + 24, 8);
    return false;
}

kh_status checkpoint_find_again(struct checkpoint *checkpoint, kh_error *error) {
    const struct kh_storage *storage = checkpoint->storage;
    struct checkpoint found = {.applied = 0};
    struct mark_read read = {.checkpoint = &found, .error = error};
    int code = storage->position(storage->context, &found.applied);
    if (code == 0) code = storage->get(storage->context, mark_key, read_mark, &read);
    if (code != 0) return status_fail(error, KH_IO, "the storage cannot be read (errno %d)", code);
    if (read.status != KH_OK) return read.status;
    checkpoint->applied = found.applied;
    checkpoint->swept = found.swept;
    checkpoint->newest_commit = found.newest_commit;
    checkpoint->horizon = found.horizon;
    return KH_OK;
}

kh_status checkpoint_init(struct checkpoint *checkpoint, struct mem *mem, const struct kh_log *log,
                          const struct kh_storage *storage, kh_error *error) {
    *checkpoint =
        (struct checkpoint){.mem = mem, .log = log, .storage = storage, .until = UINT64_MAX};
    mutations_init(&checkpoint->set, mem);
    kh_status status = checkpoint_find_again(checkpoint, error);
    if (status != KH_OK) checkpoint_fini(checkpoint);
    return status;
}

void checkpoint_fini(struct checkpoint *checkpoint) {
    if (checkpoint->mem != NULL) mutations_fini(&checkpoint->set);
    checkpoint->mem = NULL;
}
