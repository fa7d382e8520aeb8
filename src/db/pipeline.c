/* pipeline.c - see pipeline.h. */
#include "db/pipeline.h"

#include "base/status.h"
#include "db/apply.h"
#include "db/handle.h"
#include "db/locking.h"
#include "db/prepared.h"
#include "db/seal.h"
#include "db/section.h"
#include "db/semantic.h"
#include <errno.h>
#include <string.h>

/* ---- the log's answers ----------------------------------------------------------------------- */

static kh_txn *pop_first(struct pipeline *pipeline) {
    kh_txn *txn = pipeline->first;
    pipeline->first = txn->next_in_flight;
    if (pipeline->first == NULL) pipeline->last = NULL;
    pipeline->count--;
    pipeline->notes_reserved -= txn->writes.live_count;
    atomic_store_explicit(&pipeline->is_busy, pipeline->count, memory_order_release);
    return txn;
}

static void push_last(struct pipeline *pipeline, kh_txn *txn) {
    txn->next_in_flight = NULL;
    if (pipeline->last == NULL) {
        pipeline->first = txn;
    } else {
        pipeline->last->next_in_flight = txn;
    }
    pipeline->last = txn;
    pipeline->count++;
    pipeline->notes_reserved += txn->writes.live_count;
    atomic_store_explicit(&pipeline->is_busy, pipeline->count, memory_order_release);
}

/* Last of all, and in the section: the handle may be given back by now, but its next use has no
 * gate before it has been in the section. */
static void open_gate(kh_txn *txn) {
    uint32_t gate = GATE_NOBODY;
    if (atomic_compare_exchange_strong_explicit(&txn->gate, &gate, GATE_OPEN, memory_order_acq_rel,
                                                memory_order_relaxed))
        return;
    struct kh_db *db = txn->db;
    atomic_store_explicit(&txn->gate, GATE_IN_LIST, memory_order_relaxed);
    txn->next_to_wake = db->to_wake;
    db->to_wake = txn;
}

/* The outcome is known: tell whoever asks. The state comes last: a close that sees the end may give
 * the handle back at once (one that does not see it waits for the section). */
static void finish(kh_txn *txn, kh_status status) {
    struct kh_db *db = txn->db;
    bool is_prepared = txn->flight_kind == RECORD_PREPARE && status == KH_OK;
    bool is_detached = txn->is_detached && !is_prepared;
    if (!is_prepared) {
        locking_end(txn);
        snapshot_drop(txn->line);
        txn->stop_status = status;
    }
    atomic_store_explicit(&txn->outcome, (uint32_t)status + 1, memory_order_release);
    if (txn->descriptor >= 0) env_event_signal(txn->descriptor);
    section_progress(db);
    if (is_detached) section_defer_release(db, txn);
    txn_set_state(txn, is_prepared ? TXN_PREPARED : TXN_ENDED);
    open_gate(txn);
}

void pipeline_note_empty(kh_txn *txn) {
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct write *write = &txn->writes.writes[i];
        if (write->kind != WRITE_NONE && entry_head(write->entry) == NULL)
            reclaim_note(&txn->db->store, write->entry);
    }
}

static void keep_one(kh_txn *txn, const struct reclaimer *who) {
    struct kh_db *db = txn->db;
    switch (txn->flight_kind) {
    case RECORD_COMMIT:
    case RECORD_DECIDE_COMMIT:
        section_note_outcome(db, txn->id, txn->committed);
        semantic_note_members(db, txn, txn->committed);
        apply_publish(txn, who);
        break;
    case RECORD_DECIDE_ABORT:
        section_note_outcome(db, txn->id, OUTCOME_ABORTED_MARK);
        break;
    default:
        break;
    }
    finish(txn, KH_OK);
}

static void unwind_all(struct kh_db *db, const struct reclaimer *who) {
    while (db->pipeline.first != NULL) {
        kh_txn *newest = db->pipeline.first;
        kh_txn *before = NULL;
        while (newest->next_in_flight != NULL) {
            before = newest;
            newest = newest->next_in_flight;
        }
        if (newest->flight_kind == RECORD_COMMIT || newest->flight_kind == RECORD_DECIDE_COMMIT)
            apply_unwind(newest, who);
        if (newest->flight_kind == RECORD_PREPARE) {
            prepared_forget(newest);
            pipeline_note_empty(newest);
        }
        section_note_outcome(db, newest->id, OUTCOME_ABORTED_MARK);
        if (before == NULL) {
            db->pipeline.first = NULL;
        } else {
            before->next_in_flight = NULL;
        }
        db->pipeline.last = before;
        db->pipeline.count--;
        db->pipeline.notes_reserved -= newest->writes.live_count;
        finish(newest, KH_POISONED);
    }
    atomic_store_explicit(&db->pipeline.is_busy, 0, memory_order_release);
    db->store.clock = db_visible(db);
}

static void lose_all(struct kh_db *db) {
    db->pipeline.is_lost = true;
    for (kh_txn *txn = db->pipeline.first; txn != NULL; txn = txn->next_in_flight) {
        if (atomic_load_explicit(&txn->outcome, memory_order_relaxed) != 0) continue;
        /* It stays in the list: its versions are linked and invisible until the database closes. */
        locking_end(txn);
        snapshot_drop(txn->line);
        txn->is_lost = true;
        txn->stop_status = KH_UNKNOWN;
        atomic_store_explicit(&txn->outcome, (uint32_t)KH_UNKNOWN + 1, memory_order_release);
        if (txn->descriptor >= 0) env_event_signal(txn->descriptor);
        txn_set_state(txn, TXN_ENDED);
        open_gate(txn);
    }
    section_progress(db);
}

static void answer(struct kh_db *db, uint64_t cookie, kh_log_answer said,
                   const struct reclaimer *who) {
    struct pipeline *pipeline = &db->pipeline;
    while (said == KH_LOG_KEPT && pipeline->poison != KH_UNKNOWN && pipeline->first != NULL &&
           pipeline->first->flight_cookie <= cookie)
        keep_one(pop_first(pipeline), who);
    if (said == KH_LOG_REFUSED) {
        pipeline->poison = KH_POISONED;
        unwind_all(db, who);
    } else if (said == KH_LOG_LOST) {
        pipeline->poison = KH_POISONED;
        lose_all(db);
    }
}

static void answer_from_outside(struct kh_db *db, uint64_t cookie, kh_log_answer said) {
    latch_take(&db->section);
    struct reclaimer who = {&db->log_epoch, db->log_cache};
    epoch_open(&db->store.epoch, who.record);
    answer(db, cookie, said, &who);
    epoch_close(&db->store.epoch, who.record);
    bool has_retired = who.record->retired_count > 0;
    kh_txn *to_wake = section_take_to_wake(db);
    latch_leave(&db->section);
    section_wake(to_wake);
    /* What it has retired is freed by whoever comes next, committer, step or janitor: no answer may
     * follow for long, and foreign code has no business in the log's thread. */
    if (has_retired && atomic_load_explicit(&db->is_janitor_idle, memory_order_acquire))
        section_wake_janitor(db);
    section_release_deferred(db);
}

/* kh_log's callback. From within append the section is held by this very call chain: the answer is
 * left for pipeline_settle. */
static void complete(void *completion_context, uint64_t cookie, kh_log_answer said) {
    struct kh_db *db = completion_context;
    struct pipeline *pipeline = &db->pipeline;
    if (atomic_load_explicit(&pipeline->appender, memory_order_relaxed) == env_self()) {
        if (said == KH_LOG_KEPT && cookie > pipeline->answered) pipeline->answered = cookie;
        if (said != KH_LOG_KEPT) pipeline->answer = (uint32_t)said;
        return;
    }
    /* Before the section: whoever finds there that all is answered finds this too. The subtraction
     * is the last look at the database, which may then be gone. */
    atomic_fetch_add_explicit(&pipeline->answering, 1, memory_order_relaxed);
    answer_from_outside(db, cookie, said);
    atomic_fetch_sub_explicit(&pipeline->answering, 1, memory_order_release);
}

void pipeline_rest(const struct kh_db *db) {
    while (atomic_load_explicit(&db->pipeline.answering, memory_order_acquire) != 0) env_yield();
}

void pipeline_settle(struct kh_db *db, const struct reclaimer *who) {
    struct pipeline *pipeline = &db->pipeline;
    if (pipeline->log == NULL) {
        while (pipeline->first != NULL) keep_one(pop_first(pipeline), who);
        return;
    }
    uint64_t answered = pipeline->answered;
    uint32_t said = pipeline->answer;
    pipeline->answered = 0;
    pipeline->answer = 0;
    if (answered != 0) answer(db, answered, KH_LOG_KEPT, who);
    if (said != 0) answer(db, answered, (kh_log_answer)said, who);
}

/* ---- appending ------------------------------------------------------------------------------- */

/* After these the log goes on: what it has not taken, it has not. */
static kh_status refused(int code, kh_error *error) {
    if (code == ENOMEM) return status_fail(error, KH_NO_MEMORY, "the log has no memory");
    return status_fail(error, KH_NO_SPACE, "the log has no space on its device");
}

static kh_status append_frame(struct kh_db *db, const struct ipc_buffer *encoded, uint64_t cookie,
                              kh_sync sync, kh_error *error) {
    struct pipeline *pipeline = &db->pipeline;
    kh_bytes frame = {encoded->bytes, encoded->size_bytes};
    atomic_store_explicit(&pipeline->appender, env_self(), memory_order_relaxed);
    int code = pipeline->log->append(pipeline->log->context, &frame, 1, cookie, sync);
    atomic_store_explicit(&pipeline->appender, 0, memory_order_relaxed);
    if (code == ENOMEM || code == ENOSPC) return refused(code, error);
    if (code != 0) {
        /* Refused: nothing was taken. Whether later ones would be taken in order nobody knows. */
        pipeline->poison = KH_POISONED;
        return status_fail(error, KH_POISONED, "the log refused a record (errno %d)", code);
    }
    pipeline->position++;
    return KH_OK;
}

/* Commits and prepares were encoded while staging and need their stamps only, unless a rival came
 * between (a write without conflict, resolved by policy); decisions are a few bytes. */
static kh_status append_record(kh_txn *txn, enum record_kind kind, uint64_t cookie,
                               kh_error *error) {
    struct kh_db *db = txn->db;
    kh_status status = KH_OK;
    if (kind == RECORD_DECIDE_COMMIT || kind == RECORD_DECIDE_ABORT) {
        status = seal_encode(txn, kind, &db->pipeline.frame, error);
        if (status != KH_OK) return status;
        return append_frame(db, &db->pipeline.frame, cookie, txn->sync, error);
    }
    if (txn->frame.size_bytes == 0 || !seal_is_current(txn)) status = seal_again(txn, kind, error);
    if (status != KH_OK) return status;
    record_seal(txn->frame.bytes, txn->committed, txn->verdict.eta, txn->verdict.pi);
    return append_frame(db, &txn->frame, cookie, txn->sync, error);
}

kh_status pipeline_refuse(kh_error *error) {
    return status_fail(error, KH_POISONED, "the log has failed: reopen the database");
}

kh_status pipeline_append(kh_txn *txn, enum record_kind kind, kh_error *error) {
    struct kh_db *db = txn->db;
    struct pipeline *pipeline = &db->pipeline;
    if (pipeline->poison != KH_OK) return pipeline_refuse(error);
    epoch_adopt(&txn->epoch, &db->log_epoch);
    uint64_t cookie = pipeline->next_cookie + 1;
    txn->flight_kind = (uint8_t)kind;
    txn->flight_position = pipeline->position;
    if (pipeline->log != NULL) {
        kh_status status = append_record(txn, kind, cookie, error);
        if (status != KH_OK) return status;
    } else {
        pipeline->position++;
    }
    pipeline->next_cookie = cookie;
    txn->flight_cookie = cookie;
    atomic_store_explicit(&txn->outcome, 0, memory_order_relaxed);
    atomic_store_explicit(&txn->gate, GATE_NOBODY, memory_order_relaxed);
    txn_set_state(txn, TXN_IN_FLIGHT);
    push_last(pipeline, txn);
    return KH_OK;
}

static kh_status append_schema(struct kh_db *db, const kh_schema *schema, kh_error *error) {
    struct pipeline *pipeline = &db->pipeline;
    uint32_t number;
    if (log_schemas_number(&pipeline->schemas, schema, &number)) return KH_OK;
    if (pipeline->poison != KH_OK) return pipeline_refuse(error);
    number = log_schemas_next(&pipeline->schemas);
    kh_status status = seal_encode_schema(db, schema, number, error);
    /* A number that the log has seen must never be given again: room for it is made before. */
    if (status == KH_OK) status = log_schemas_reserve(&pipeline->schemas, number, schema, error);
    if (status == KH_OK)
        status = append_frame(db, &pipeline->frame, ++pipeline->next_cookie, KH_SYNC_NONE, error);
    if (status != KH_OK) return status;
    status = log_schemas_add(&pipeline->schemas, number, schema, error);
    kh_assert(status == KH_OK);
    return status;
}

/* The log may answer for earlier records from within this append, too. */
static kh_status record_schema(kh_txn *txn, const kh_schema *schema, kh_error *error) {
    struct kh_db *db = txn->db;
    uint32_t number;
    const kh_schema *twin; /* the log's numbers are of this database's schemas */
    if (log_schemas_number(&db->pipeline.schemas, schema, &number)) return KH_OK;
    kh_status interned = schema_intern(db->home.schemas, schema, &twin, error);
    if (interned != KH_OK) return interned;
    struct reclaimer who = {&txn->epoch, txn->cache};
    epoch_open(&db->store.epoch, &txn->epoch);
    latch_take(&db->section);
    kh_status status = append_schema(db, twin, error);
    pipeline_settle(db, &who);
    latch_leave(&db->section);
    epoch_close(&db->store.epoch, &txn->epoch);
    section_release_deferred(db);
    return status;
}

kh_status pipeline_record_schemas(kh_txn *txn, kh_error *error) {
    struct kh_db *db = txn->db;
    if (db->pipeline.log == NULL) return KH_OK;
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct write *write = &txn->writes.writes[i];
        if (write->kind == WRITE_NONE || write->staged == NULL) continue;
        const kh_batch *batch = version_batch(write->staged);
        if (batch == NULL) continue;
        kh_status status = record_schema(txn, batch->schema, error);
        if (status != KH_OK) return status;
    }
    return KH_OK;
}

void pipeline_ask(struct kh_db *db) {
    const struct kh_log *log = db->pipeline.log;
    uint64_t cookie = db->pipeline.next_cookie;
    if (log == NULL || log->flush == NULL || db->pipeline.count == 0) return;
    latch_leave(&db->section);
    log->flush(log->context, cookie);
    latch_take(&db->section);
}

/* Nothing of the section is touched: a thread that waits for the log costs one sleep and one
 * waking, and nobody else's time. */
bool pipeline_wait(kh_txn *txn, uint64_t deadline_ns) {
    const struct kh_log *log = txn->db->pipeline.log;
    if (pipeline_is_answered(txn)) return true;
    if (log != NULL && log->flush != NULL) log->flush(log->context, txn->flight_cookie);
    uint32_t gate = GATE_NOBODY;
    (void)atomic_compare_exchange_strong_explicit(&txn->gate, &gate, GATE_CLOSED,
                                                  memory_order_acq_rel, memory_order_acquire);
    for (;;) {
        gate = atomic_load_explicit(&txn->gate, memory_order_acquire);
        if (gate == GATE_OPEN) return true;
        if (env_word_wait(&txn->gate, gate, deadline_ns) || gate != GATE_CLOSED) continue;
        /* Too late, unless it is in the list by now. */
        if (atomic_compare_exchange_strong_explicit(&txn->gate, &gate, GATE_NOBODY,
                                                    memory_order_acq_rel, memory_order_relaxed))
            return false;
        deadline_ns = 0;
    }
}

/* ---- open and close -------------------------------------------------------------------------- */

kh_status pipeline_open(struct kh_db *db, const struct kh_log *log, kh_error *error) {
    struct pipeline *pipeline = &db->pipeline;
    log_schemas_init(&pipeline->schemas, db->home.mem);
    pipeline->schemas.table = db->home.schemas;
    ipc_buffer_init(&pipeline->frame, db->home.mem);
    pipeline->log = log;
    if (log == NULL) return KH_OK;
    if (log->version != KH_LOG_VERSION || log->size != sizeof *log || log->open == NULL ||
        log->append == NULL || log->read == NULL) {
        pipeline->log = NULL;
        return status_fail(error, KH_UNSUPPORTED, "kh_log of version %u and size %u", log->version,
                           log->size);
    }
    int code = log->open(log->context, complete, db);
    if (code != 0) {
        pipeline->log = NULL;
        return status_fail(error, KH_IO, "the log cannot be opened (errno %d)", code);
    }
    return KH_OK;
}

void pipeline_close(struct kh_db *db) {
    struct pipeline *pipeline = &db->pipeline;
    if (pipeline->log != NULL && pipeline->log->close != NULL)
        pipeline->log->close(pipeline->log->context);
    pipeline->log = NULL;
    log_schemas_fini(&pipeline->schemas);
    ipc_buffer_fini(&pipeline->frame);
}
