/* restore.c - see restore.h.
 *
 * The storage gives the newest value of each key and the position up to which it holds the log; the
 * log gives the rest, in order. Every record goes through apply. Timestamps go on above the newest
 * seen. A prepared transaction without a decision gets its holds back and waits for kh_db_decide.
 * As of an earlier moment: what was committed later is left out, and so is what was prepared then.
 */
#include "db/restore.h"

#include "db/apply.h"
#include "db/durable.h"
#include "db/evict.h"
#include "db/fetch.h"
#include "db/handle.h"
#include "db/opening.h"
#include "db/prepared.h"
#include "db/seal.h"
#include "db/section.h"
#include "db/semantic.h"
#include "db/stage.h"
#include "db/upkeep.h"
#include "log/state_key.h"
#include "store/cold.h"
#include <errno.h>
#include <string.h>

/* New keys that the log may bring: its records may be of the same few, and room for them is wasted
 * then. */
enum { EXPECTED_MOST = 1 << 20 };

struct restore {
    struct kh_db *db;
    uint64_t until;         /* what was committed later is left out */
    uint64_t newest;        /* commit that is there, left out or not */
    struct index_load load; /* of the storage's versions */
    kh_status status;
    kh_error *error;
};

static kh_status restore_prepared(struct restore *restore, const struct record *record);

static kh_status corrupt(struct restore *restore, const char *what) {
    return status_fail(restore->error, KH_CORRUPT, "the storage has %s", what);
}

/* ---- what the storage has -------------------------------------------------------------------- */

/* Memory is full: the value stays where it is. It was looked at all the same. *out NULL: it is a
 * deletion, which costs nothing. */
static kh_status leave_cold(struct restore *restore, uint64_t commit, kh_bytes value,
                            struct version **out) {
    struct kh_db *db = restore->db;
    uint32_t number;
    uint32_t flags;
    kh_bytes bytes;
    *out = NULL;
    if (!state_parse_value(commit, value, &number, &flags, &bytes))
        return corrupt(restore, "a damaged value");
    if (flags & STATE_FLAG_DELETED) return KH_OK;
    *out = cold_create(db->home.mem, db->step_cache, bytes.size_bytes);
    return *out != NULL ? KH_OK : status_no_memory(restore->error, sizeof **out);
}

static kh_status take_hot(struct restore *restore, uint64_t commit, kh_bytes value,
                          struct version **out) {
    struct kh_db *db = restore->db;
    kh_batch *batch = NULL;
    kh_status status = fetch_decode(db, db->step_cache, commit, value, &batch, restore->error);
    if (status != KH_OK) return status;
    *out = version_create(db->home.mem, db->step_cache, batch);
    if (*out != NULL) return KH_OK;
    batch_release(batch, db->step_cache);
    return status_no_memory(restore->error, sizeof **out);
}

static kh_status restore_version(struct restore *restore, kh_bytes key, uint64_t commit,
                                 kh_bytes value) {
    struct version *version = NULL;
    kh_status status = KH_OK;
    if (commit > restore->newest) restore->newest = commit;
    if (commit > restore->until) return KH_OK;
    if (!evict_has_room(restore->db)) status = leave_cold(restore, commit, value, &version);
    if (status == KH_OK && version == NULL) status = take_hot(restore, commit, value, &version);
    if (status != KH_OK) return status;
    return apply_loaded(restore->db, &restore->load, key, version, commit, restore->error);
}

static bool visit_version(void *context, kh_bytes stored_key, kh_bytes value) {
    struct restore *restore = context;
    unsigned char plain[STATE_ESCAPED_KEY_MAX];
    kh_bytes key = {plain, 0};
    uint64_t commit;
    if (stored_key.size_bytes > sizeof plain ||
        !state_parse_version_key(stored_key, plain, &key.size_bytes, &commit))
        restore->status = corrupt(restore, "a malformed key");
    else
        restore->status = restore_version(restore, key, commit, value);
    opening_step(restore->db->opening, 1, stored_key.size_bytes + value.size_bytes);
    return restore->status == KH_OK;
}

/* Records that the storage keeps as they were logged: schemas, and prepared transactions. */
static bool visit_frame(void *context, kh_bytes key, kh_bytes value) {
    struct restore *restore = context;
    struct kh_db *db = restore->db;
    struct record_codec codec = seal_codec(db, db->step_cache);
    struct record record;
    struct arena arena;
    (void)key;
    arena_init(&arena, db->home.mem, db->step_cache);
    restore->status = record_decode(&codec, value, &arena, &record, restore->error);
    if (restore->status == KH_OK) {
        if (record.kind == RECORD_SCHEMA)
            restore->status = log_schemas_add(&db->pipeline.schemas, record.schema_number,
                                              record.schema, restore->error);
        else if (record.kind == RECORD_PREPARE)
            restore->status = restore_prepared(restore, &record);
        record_drop(&codec, &record);
    }
    arena_fini(&arena);
    return restore->status == KH_OK;
}

static kh_status scan_kind(struct restore *restore, enum state_kind kind,
                           kh_storage_visit_fn *visit) {
    const struct kh_storage *storage = restore->db->storage;
    struct state_range range = state_range_of(kind);
    int code = storage->scan(storage->context, (kh_bytes){range.from, 1}, (kh_bytes){range.to, 1},
                             visit, restore);
    if (restore->status != KH_OK) return restore->status;
    if (code == 0) return KH_OK;
    return status_fail(restore->error, code == EBADMSG ? KH_CORRUPT : KH_IO,
                       "the storage cannot be read (errno %d)", code);
}

/* Keys come in order: the index is loaded, not searched. */
static kh_status load_versions(struct restore *restore) {
    struct kh_db *db = restore->db;
    uint64_t behind = durable_records_behind(db, upkeep_applied(db));
    uint64_t more = behind < EXPECTED_MOST ? behind : EXPECTED_MOST;
    opening_enter(db->opening, OPENING_VALUES, 0, durable_values_bytes(db));
    index_load_begin(&restore->load, db->store.index, db->step_cache);
    kh_status status = scan_kind(restore, STATE_VERSION, visit_version);
    if (status == KH_OK) status = index_load_end(&restore->load, more, restore->error);
    if (status != KH_OK) store_abandon_load(&db->store, &restore->load);
    return status;
}

/* ---- what the log has more ------------------------------------------------------------------- */

static kh_status restore_writes(struct restore *restore, const struct record *record) {
    struct kh_db *db = restore->db;
    for (size_t i = 0; i < record->write_count; i++) {
        const struct record_write *write = &record->writes[i];
        kh_batch *batch = write->batch == NULL ? NULL : batch_retain(write->batch);
        kh_status status = apply_restored(db, &db->step_epoch, db->step_cache, write->key, batch,
                                          record->commit, restore->error);
        if (status != KH_OK) return status;
    }
    section_note_outcome(db, record->id, record->commit);
    for (size_t i = 0; i < record->member_count; i++)
        section_note_outcome(db, record->members[i].id, record->commit);
    return KH_OK;
}

static kh_status restore_write_of(kh_txn *txn, const struct record_write *from, kh_error *error) {
    struct kh_db *db = txn->db;
    uint64_t hash = index_hash(db->store.index, from->key);
    struct write *write = NULL;
    kh_status status = writeset_claim(&txn->writes, &txn->arena, from->key, hash, 0, &write, error);
    if (status != KH_OK) return status;
    status = index_upsert(db->store.index, &txn->epoch, txn->cache, from->key, hash, &write->entry,
                          error);
    if (status != KH_OK) return status;
    write->kind = from->batch == NULL ? WRITE_DELETE : WRITE_PUT;
    write->policy = KH_FAIL;
    kh_batch *batch = from->batch == NULL ? NULL : batch_retain(from->batch);
    write->staged = version_create(db->home.mem, txn->cache, batch);
    if (write->staged != NULL) return KH_OK;
    batch_release(batch, NULL);
    return status_no_memory(error, sizeof(struct version));
}

static kh_status restore_reads_of(kh_txn *txn, const struct record *record, kh_error *error) {
    for (size_t i = 0; i < record->read_count; i++) {
        kh_status status =
            readset_add_absent(&txn->reads, &txn->arena, record->reads[i], record->snapshot, error);
        if (status != KH_OK) return status;
    }
    for (size_t i = 0; i < record->range_count; i++) {
        const struct record_range *from = &record->ranges[i];
        struct read_range range = {.timestamp = record->snapshot};
        range.from = from->from;
        range.from.data = arena_copy(&txn->arena, from->from.data, from->from.size_bytes);
        range.to = from->to;
        if (from->to.data != NULL)
            range.to.data = arena_copy(&txn->arena, from->to.data, from->to.size_bytes);
        if (range.from.data == NULL || (range.to.data == NULL && from->to.data != NULL))
            return status_no_memory(error, from->from.size_bytes + from->to.size_bytes);
        kh_status status = readset_add_range(&txn->reads, &txn->arena, &range, NULL, error);
        if (status != KH_OK) return status;
    }
    return KH_OK;
}

static kh_status restore_prepared(struct restore *restore, const struct record *record) {
    struct kh_db *db = restore->db;
    kh_txn *txn;
    kh_status status = handle_acquire(db, &txn, restore->error);
    if (status != KH_OK) return status;
    txn->isolation = record->isolation;
    txn->policy = KH_FAIL;
    txn->is_certified = record->isolation == KH_SERIALIZABLE;
    txn->is_detached = true;
    txn->is_installed = false;
    txn->is_read_only = txn->is_started = txn->is_lost = false;
    txn->snapshot = record->snapshot;
    txn->birth = record->birth;
    txn_set_begin_tick(txn, db_tick(db));
    txn_set_deadline(txn, UINT64_MAX);
    txn->id = record->id;
    txn->tag = NULL;
    txn->tag_bytes = 0;
    txn->semantic = NULL;
    epoch_open(&db->store.epoch, &txn->epoch);
    for (size_t i = 0; i < record->write_count && status == KH_OK; i++)
        status = restore_write_of(txn, &record->writes[i], restore->error);
    if (status == KH_OK) status = restore_reads_of(txn, record, restore->error);
    if (status == KH_OK) status = stage_ranges(txn, restore->error); /* stamps at its decision */
    if (status == KH_OK) status = semantic_restore(txn, record->delta, restore->error);
    epoch_close(&db->store.epoch, &txn->epoch);
    txn_set_state(txn, TXN_PREPARED); /* also on failure: close drops detached ones */
    if (status == KH_OK) prepared_hold(txn);
    return status;
}

/* Places for its notes are reserved. */
static void drop_prepared(struct restore *restore, kh_txn *txn) {
    struct kh_db *db = restore->db;
    prepared_forget(txn);
    stage_discard(txn);
    for (uint32_t i = 0; i < txn->writes.count; i++)
        reclaim_note(&db->store, txn->writes.writes[i].entry);
    section_note_outcome(db, txn->id, OUTCOME_ABORTED_MARK);
    txn_set_state(txn, TXN_ENDED);
    handle_release(txn);
}

/* At an earlier moment than the newest nothing is prepared. */
static kh_status drop_all_prepared(struct restore *restore) {
    struct kh_db *db = restore->db;
    kh_status status = KH_OK;
    while (db->prepared != NULL && status == KH_OK) {
        kh_txn *txn = db->prepared;
        status = reclaim_reserve(&db->store, txn->writes.live_count, restore->error);
        if (status == KH_OK) drop_prepared(restore, txn);
    }
    return status;
}

static kh_status restore_decision(struct restore *restore, const struct record *record,
                                  kh_log_position position) {
    struct kh_db *db = restore->db;
    kh_txn *txn = prepared_find(db, record->id);
    if (txn == NULL)
        return status_fail(restore->error, KH_CORRUPT,
                           "record %llu decides a transaction that is not prepared",
                           (unsigned long long)position);
    bool is_commit = record->kind == RECORD_DECIDE_COMMIT && record->commit <= restore->until;
    kh_status status = reclaim_reserve(&db->store, txn->writes.live_count, restore->error);
    if (status != KH_OK) return status;
    if (!is_commit) {
        drop_prepared(restore, txn);
        return KH_OK;
    }
    prepared_forget(txn);
    txn->committed = record->commit;
    txn->verdict.phi = record->commit;
    txn->flight_kind = (uint8_t)record->kind;
    txn->flight_position = position;
    apply_install(txn);
    section_note_outcome(db, record->id, record->commit);
    txn_set_state(txn, TXN_ENDED);
    handle_release(txn);
    return KH_OK;
}

/* No id is given again. */
static void note_id(struct kh_db *db, kh_txn_id id) {
    if (id.low >= atomic_load_explicit(&db->next_id, memory_order_relaxed))
        atomic_store_explicit(&db->next_id, id.low + 1, memory_order_relaxed);
}

static kh_status restore_record(void *context, kh_log_position position,
                                const struct record *record, kh_error *error) {
    struct restore *restore = context;
    (void)error;
    struct kh_db *db = restore->db;
    kh_status status = KH_OK;
    switch (record->kind) {
    case RECORD_COMMIT:
        if (record->commit <= restore->until) status = restore_writes(restore, record);
        break;
    case RECORD_PREPARE:
        status = restore_prepared(restore, record);
        break;
    case RECORD_DECIDE_COMMIT:
    case RECORD_DECIDE_ABORT:
        status = restore_decision(restore, record, position);
        break;
    default:
        break;
    }
    opening_step(db->opening, 1, record->frame_bytes);
    if (record->commit > restore->newest) restore->newest = record->commit;
    if (record->commit > db->store.clock) db->store.clock = record->commit;
    note_id(db, record->id);
    for (size_t i = 0; i < record->member_count; i++) note_id(db, record->members[i].id);
    return status;
}

/* Schemas first: values and prepared transactions need them. */
static kh_status restore_storage(struct restore *restore) {
    struct kh_db *db = restore->db;
    kh_status status = scan_kind(restore, STATE_SCHEMA, visit_frame);
    if (status == KH_OK) status = load_versions(restore);
    if (status == KH_OK) status = scan_kind(restore, STATE_PREPARED, visit_frame);
    uint64_t newest = upkeep_newest_commit(db);
    if (newest > restore->newest) restore->newest = newest;
    if (status == KH_OK && newest > db->store.clock) db->store.clock = newest;
    return status;
}

static kh_status check_moment(const struct restore *restore) {
    struct kh_db *db = restore->db;
    uint64_t horizon = upkeep_horizon(db);
    if (db->as_of < horizon)
        return status_fail(restore->error, KH_TOO_OLD, "history begins at timestamp %llu",
                           (unsigned long long)horizon);
    if (db->as_of > restore->newest && db->as_of > KH_TIMESTAMP_OF_MS(env_wall_ms(&db->clock)))
        return status_fail(restore->error, KH_INVALID, "that timestamp is in the future");
    return KH_OK;
}

static void set_time(struct kh_db *db) {
    if (db->durable != NULL) durable_restored(db);
    if (db->as_of != 0) db->store.clock = db->as_of;
    atomic_store_explicit(&db->store.visible, db->store.clock, memory_order_release);
    /* A storage has the newest values, and what retention kept. */
    if (db->storage != NULL) {
        bool is_kept = (db->store.retention_ms | db->store.retention_bytes) != 0;
        uint64_t horizon = is_kept ? upkeep_horizon(db) : db->store.clock;
        if (horizon > db->store.clock) horizon = db->store.clock;
        atomic_store_explicit(&db->store.horizon, horizon, memory_order_release);
    }
    db->recent.since = db->store.clock;
    db->recent.end = 0;
}

/* The first line of the hash front is fetched while the value is decoded. */
static void expect_key(void *context, kh_bytes key) {
    const struct index *index = context;
    index_prefetch(index, index_hash(index, key));
}

kh_status restore_all(struct kh_db *db, kh_error *error) {
    struct restore restore = {
        .db = db, .until = db->as_of != 0 ? db->as_of : UINT64_MAX, .error = error};
    kh_log_position from = 0;
    kh_status status = KH_OK;
    epoch_open(&db->store.epoch, &db->step_epoch);
    if (db->storage != NULL) {
        from = upkeep_applied(db);
        status = restore_storage(&restore);
    }
    if (status == KH_OK && db->pipeline.log != NULL) {
        struct record_codec codec = seal_codec(db, db->step_cache);
        codec.is_checked = db->durable != NULL; /* its log has checked each group that it gives */
        codec.expect = expect_key;
        codec.expect_context = db->store.index;
        opening_enter(db->opening, OPENING_RECORDS, durable_records_behind(db, from), 0);
        status = log_replay(db->pipeline.log, from, &codec, &db->pipeline.schemas, restore_record,
                            &restore, &db->pipeline.position, error);
    }
    index_load_settle(db->store.index);
    if (status == KH_OK && db->as_of != 0) status = drop_all_prepared(&restore);
    if (status == KH_OK && db->as_of != 0) status = check_moment(&restore);
    epoch_close(&db->store.epoch, &db->step_epoch);
    set_time(db);
    return status;
}
