/* commit.c - the commit pipeline of the embedded engine.
 *
 *   seal     the door is shut: only this call uses the transaction
 *   stage    everything that can fail: values, versions, entries, copies of ranges (stage.c)
 *   -- the section: one lock, short --
 *   certify  holds, locks, rivals, window (txn/certify.c, a pure function)
 *   append   the log takes the record: the point of no return (pipeline.c)
 *   install  versions are linked, invisible; publish when the log has answered (apply.c)
 *   -- end of the section --
 *   wake     the answer
 *
 * A staged value that a rival has overtaken is staged again, outside of the section; after
 * LIMIT_RESTAGE times the keys are claimed: other committers of those keys wait for this commit.
 * A conflict with a rival that is not published yet is answered once its fate is known, so that the
 * retry does not meet it again. */
#include "db/commit.h"

#include "db/apply.h"
#include "db/locking.h"
#include "db/pipeline.h"
#include "db/prepared.h"
#include "db/seal.h"
#include "db/section.h"
#include "db/semantic.h"
#include "db/stage.h"
#include <string.h>

/* ---- failures -------------------------------------------------------------------------------- */

void commit_count_abort(kh_txn *txn, kh_status status) {
    struct txn_counters *counters = &txn->counters;
    switch (status) {
    case KH_CONFLICT:
        txn_count(&counters->aborts_conflict, 1);
        break;
    case KH_NOT_SERIALIZABLE:
        txn_count(&counters->aborts_not_serializable, 1);
        break;
    case KH_EXPIRED:
        txn_count(&counters->aborts_expired, 1);
        break;
    case KH_CANCELLED:
        txn_count(&counters->aborts_cancelled, 1);
        break;
    case KH_BUSY:
        txn_count(&counters->aborts_busy, 1);
        break;
    case KH_HELD:
        txn_count(&counters->aborts_held, 1);
        break;
    case KH_LOCK_CONFLICT:
        txn_count(&counters->aborts_locked, 1);
        break;
    case KH_DEADLOCK:
        txn_count(&counters->aborts_deadlock, 1);
        break;
    case KH_SEMANTIC_CONFLICT:
        txn_count(&counters->aborts_semantic, 1);
        break;
    default:
        txn_count(status_is_of_rows(status) ? &counters->aborts_rows : &counters->aborts_other, 1);
    }
}

/* Entries made for keys that got no version after all leave the index by the reclaimer. */
static void give_up_entries(kh_txn *txn) {
    struct kh_db *db = txn->db;
    bool has_empty = false;
    epoch_open(&db->store.epoch, &txn->epoch);
    latch_take(&db->section);
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        struct write *write = &txn->writes.writes[i];
        struct entry *entry = index_find(db->store.index, write->key, write->hash);
        if (entry == NULL || entry_head(entry) != NULL) continue;
        if (reclaim_reserve(&db->store, 1 + db->pipeline.notes_reserved, NULL) != KH_OK) break;
        reclaim_note(&db->store, entry);
        has_empty = true;
    }
    if (has_empty) {
        struct reclaimer who = {&txn->epoch, txn->cache};
        section_reclaim(db, &who, txn->writes.count);
    }
    latch_leave(&db->section);
    epoch_close(&db->store.epoch, &txn->epoch);
}

void commit_end_failed(kh_txn *txn, kh_status status) {
    struct kh_db *db = txn->db;
    bool had_entries = false;
    for (uint32_t i = 0; i < txn->writes.count && !had_entries; i++)
        had_entries = txn->writes.writes[i].entry != NULL;
    stage_discard(txn);
    if (had_entries) give_up_entries(txn);
    commit_count_abort(txn, status);
    if (txn->id.low != 0) section_note_outcome(db, txn->id, OUTCOME_ABORTED_MARK);
    locking_end(txn);
    snapshot_drop(txn->line);
    txn->stop_status = status;
    txn_set_state(txn, TXN_ENDED);
    latch_take(&db->section);
    section_progress(db);
    latch_leave(&db->section);
}

static kh_status explain(kh_txn *txn, kh_status status, kh_bytes key, uint64_t rival,
                         kh_error *error) {
    kh_merge_conflict merge = txn->conflict.merge;
    /* The key may be an entry's, which can go once the snapshot is given up. */
    key.data = arena_copy(&txn->arena, key.data, key.size_bytes);
    if (key.data == NULL) key.size_bytes = 0;
    txn->has_conflict = true;
    txn->conflict = (kh_conflict){.size = sizeof(kh_conflict),
                                  .status = status,
                                  .key = key,
                                  .snapshot = txn->snapshot,
                                  .rival = rival,
                                  .pi = txn->verdict.pi,
                                  .eta = txn->verdict.eta,
                                  .merge = merge};
    if (key.size_bytes > 0) hot_keys_note(&txn->db->hot_keys, key);
    (void)error; /* an expected outcome: nothing is formatted, details by kh_txn_conflict */
    return status;
}

/* ---- the section ----------------------------------------------------------------------------- */

KH_ALWAYS_INLINE void make_request(kh_txn *txn, enum record_kind kind) {
    struct certify_request *request = &txn->request;
    request->is_serializable = txn->is_certified;
    request->is_current_only = kind == RECORD_PREPARE;
    request->snapshot = txn->snapshot;
    request->commit = section_next_timestamp(txn->db);
    request->floor = txn->db->ranges.floor;
    request->writes = txn->writes.writes;
    request->write_count = txn->writes.count;
}

/* A mark keeps the entry in the index; one that is dead already is looked up again. */
static void mark_claims(kh_txn *txn, bool is_set) {
    if (txn->is_marked == is_set) return;
    txn->is_marked = is_set;
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        struct entry *entry = txn->writes.writes[i].entry;
        if (txn->writes.writes[i].kind == WRITE_NONE || entry == NULL) continue;
        unsigned flags = atomic_load_explicit(&entry->flags, memory_order_relaxed);
        flags = is_set ? flags | ENTRY_CLAIMED : flags & ~(unsigned)ENTRY_CLAIMED;
        atomic_store_explicit(&entry->flags, (uint16_t)flags, memory_order_relaxed);
    }
}

static void drop_claims(kh_txn *txn) {
    if (KH_LIKELY(!txn->is_claiming)) return;
    struct kh_db *db = txn->db;
    mark_claims(txn, false);
    txn->is_claiming = false;
    db->claimer = NULL;
    section_progress(db);
}

static bool meets_claim(const kh_txn *txn) {
    if (KH_LIKELY(txn->db->claimer == NULL || txn->db->claimer == txn)) return false;
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct write *write = &txn->writes.writes[i];
        if (write->kind == WRITE_NONE) continue;
        if (atomic_load_explicit(&write->entry->flags, memory_order_relaxed) & ENTRY_CLAIMED)
            return true;
    }
    return false;
}

/* Wait for the claimer's commit. Its entries are pinned by the claim, ours by the open epoch
 * section; it needs no other lock, so the wait is short. */
static kh_status wait_for_claim(kh_txn *txn, kh_error *error) {
    while (meets_claim(txn)) {
        if (!section_wait(txn->db, txn_deadline(txn)))
            return status_fail(error, KH_BUSY, "the key is claimed by another commit");
    }
    return KH_OK;
}

/* One claimer at a time: claims never wait for one another. */
static kh_status claim(kh_txn *txn, kh_error *error) {
    struct kh_db *db = txn->db;
    if (txn->is_claiming) return KH_OK;
    while (db->claimer != NULL) {
        if (!section_wait(db, txn_deadline(txn)))
            return status_fail(error, KH_BUSY, "the key is claimed by another commit");
    }
    db->claimer = txn;
    txn->is_claiming = true;
    txn_count(&txn->counters.claims, 1);
    return KH_OK;
}

static void count_resolved(kh_txn *txn) {
    struct txn_counters *counters = &txn->counters;
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct write *write = &txn->writes.writes[i];
        if (KH_LIKELY(write->fate == FATE_PLAIN) || write->kind == WRITE_NONE) continue;
        if (write->fate == FATE_DROPPED) {
            txn_count(&counters->resolved_ignore, 1);
        } else if (write->kind == WRITE_ROWS) {
            txn_count(&counters->resolved_rows, 1);
        } else if (write->policy == KH_REPLACE) {
            txn_count(&counters->resolved_replace, 1);
        } else if (write->policy == KH_APPEND) {
            txn_count(&counters->resolved_append, 1);
        } else if (write->policy == KH_MERGE || write->policy == POLICY_SEMANTIC) {
            txn_count(&counters->resolved_merge, 1);
        } else {
            txn_count(&counters->resolved_callback, 1);
        }
    }
}

/* Without a log a record is kept the moment it is certified: nothing of it is ever in flight. */
KH_ALWAYS_INLINE void commit_at_once(kh_txn *txn) {
    struct reclaimer who = {&txn->epoch, txn->cache};
    apply_at_once(txn, &who);
    if (KH_LIKELY(!txn->verdict.has_resolved)) writeset_spend(&txn->writes);
    atomic_store_explicit(&txn->outcome, (uint32_t)KH_OK + 1, memory_order_release);
    if (KH_UNLIKELY(txn->descriptor >= 0)) env_event_signal(txn->descriptor);
    txn_set_state(txn, TXN_ENDED);
}

static inline bool has_log(const struct kh_db *db) {
    return db->pipeline.log != NULL;
}

/* Certified: from here to the end of install nothing can fail but the log's refusal. */
KH_ALWAYS_INLINE kh_status append_and_install(kh_txn *txn, enum record_kind kind, bool is_special,
                                              kh_error *error) {
    struct kh_db *db = txn->db;
    kh_status status =
        reclaim_reserve(&db->store, txn->writes.live_count + db->pipeline.notes_reserved, error);
    if (status != KH_OK) return status;
    if (!txn_move_state(txn, TXN_ACTIVE, TXN_COMMITTING))
        return status_fail(error, txn->stop_status, "%s", kh_status_meaning(txn->stop_status));
    (void)handle_id(txn);
    txn->committed = kind == RECORD_PREPARE ? 0 : txn->request.commit;
    if (KH_LIKELY(kind == RECORD_COMMIT && !has_log(db))) {
        if (KH_UNLIKELY(txn->verdict.has_resolved)) count_resolved(txn);
        commit_at_once(txn);
        if (is_special && txn->semantic != NULL) {
            semantic_note(txn);
            semantic_note_members(db, txn, txn->committed);
        }
        return KH_OK;
    }
    status = pipeline_append(txn, kind, error);
    if (status != KH_OK) return status;
    if (txn->verdict.has_resolved) count_resolved(txn);
    if (kind == RECORD_PREPARE) {
        prepared_hold(txn);
    } else {
        apply_install(txn);
        if (is_special && txn->semantic != NULL) semantic_note(txn);
    }
    struct reclaimer who = {&txn->epoch, txn->cache};
    pipeline_settle(db, &who);
    return KH_OK;
}

/* Everything written was dropped by policy: it is a reader of what it would have overwritten. */
static kh_status end_dropped(kh_txn *txn) {
    if (!txn_move_state(txn, TXN_ACTIVE, TXN_COMMITTING)) return txn->stop_status;
    count_resolved(txn);
    if (txn->is_certified) {
        apply_read_stamps(txn, txn->verdict.phi);
        for (uint32_t i = 0; i < txn->writes.count; i++) {
            const struct write *write = &txn->writes.writes[i];
            if (write->kind == WRITE_NONE) continue;
            struct version *newest = entry_head(write->entry);
            if (newest->stamp.ps < txn->verdict.phi) newest->stamp.ps = txn->verdict.phi;
        }
    }
    txn->committed = txn->snapshot;
    locking_end(txn);
    snapshot_drop(txn->line);
    txn->stop_status = KH_OK;
    txn_set_state(txn, TXN_ENDED);
    atomic_store_explicit(&txn->outcome, (uint32_t)KH_OK + 1, memory_order_release);
    section_progress(txn->db);
    return KH_OK;
}

/* A rival that the log has not answered for yet: wait, so that a retry does not meet it again. */
static void await_rival(kh_txn *txn, uint64_t rival) {
    struct kh_db *db = txn->db;
    while (rival > db_visible(db) && db->pipeline.poison == KH_OK && db->pipeline.count > 0) {
        pipeline_ask(db);
        if (rival <= db_visible(db) || db->pipeline.poison != KH_OK) return;
        if (!section_wait(db, txn_deadline(txn))) return;
    }
}

enum attempt { ATTEMPT_DONE, ATTEMPT_AGAIN };

/* It gave way to rivals: to ones that exist. While the log has not answered for one, wait, and look
 * again whether it is still there. */
static enum attempt judge_dropped(kh_txn *txn, kh_status *status) {
    struct kh_db *db = txn->db;
    uint64_t newest = 0;
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct write *write = &txn->writes.writes[i];
        if (write->kind != WRITE_NONE && write->rival > newest) newest = write->rival;
    }
    if (newest > db_visible(db)) {
        await_rival(txn, newest);
        *status = db->pipeline.poison != KH_OK ? KH_POISONED : KH_BUSY;
        if (newest > db_visible(db)) return ATTEMPT_DONE;
        *status = KH_OK;
        return ATTEMPT_AGAIN;
    }
    *status = db->pipeline.poison == KH_OK ? end_dropped(txn) : KH_POISONED;
    return ATTEMPT_DONE;
}

/* The short way says what the whole rule says. */
static void compare_verdicts(const kh_txn *txn) {
#if defined(KH_SLOW_CHECKS)
    struct certify_verdict whole;
    certify(&txn->request, &whole);
    const struct certify_verdict *quick = &txn->verdict;
    kh_assert(whole.answer == quick->answer && whole.eta == quick->eta && whole.pi == quick->pi &&
              whole.phi == quick->phi && whole.has_writes == quick->has_writes &&
              whole.has_resolved == quick->has_resolved);
#else
    (void)txn;
#endif
}

/* By the whole rule; *status is written unless it may commit (CERTIFY_COMMIT). */
__attribute__((noinline)) static enum attempt judge_closely(kh_txn *txn, kh_status *status,
                                                            kh_error *error) {
    certify(&txn->request, &txn->verdict);
    const struct certify_verdict *verdict = &txn->verdict;
    switch (verdict->answer) {
    case CERTIFY_RESTAGE:
    case CERTIFY_DEAD:
        return ATTEMPT_AGAIN;
    case CERTIFY_CONFLICT:
        await_rival(txn, verdict->rival);
        *status = explain(txn, KH_CONFLICT, verdict->write->key, verdict->rival, error);
        break;
    case CERTIFY_CYCLE:
        await_rival(txn, verdict->rival);
        *status = explain(txn, KH_NOT_SERIALIZABLE, verdict->key, verdict->rival, error);
        break;
    case CERTIFY_COMMIT:
        break;
    }
    return ATTEMPT_DONE;
}

/* Keys and isolation have said yes: what does it mean? */
__attribute__((noinline)) static kh_status judge_meaning(kh_txn *txn, kh_error *error) {
    const struct write *write;
    uint64_t rival = 0;
    kh_status status = semantic_judge(txn, &write, &rival);
    if (status == KH_OK) return KH_OK;
    await_rival(txn, rival);
    if (txn->db->pipeline.poison != KH_OK) return pipeline_refuse(error);
    return explain(txn, status, write == NULL ? (kh_bytes){NULL, 0} : write->key, rival, error);
}

KH_ALWAYS_INLINE enum attempt judge(kh_txn *txn, enum record_kind kind, bool is_special,
                                    kh_status *status, kh_error *error) {
    make_request(txn, kind);
    if (KH_LIKELY(certify_is_clear(&txn->request, &txn->verdict))) {
        compare_verdicts(txn);
    } else {
        enum attempt result = judge_closely(txn, status, error);
        if (txn->verdict.answer != CERTIFY_COMMIT) return result;
        if (!txn->verdict.has_writes && kind == RECORD_COMMIT) return judge_dropped(txn, status);
    }
    *status = is_special && txn->semantic != NULL ? judge_meaning(txn, error) : KH_OK;
    if (*status == KH_OK) *status = append_and_install(txn, kind, is_special, error);
    return ATTEMPT_DONE;
}

/* The log is behind: no more records than LIMIT_IN_FLIGHT wait for its answer. */
static kh_status wait_for_room(kh_txn *txn, kh_error *error) {
    struct kh_db *db = txn->db;
    while (db->pipeline.count >= LIMIT_IN_FLIGHT && db->pipeline.poison == KH_OK) {
        pipeline_ask(db);
        if (db->pipeline.count < LIMIT_IN_FLIGHT) break;
        if (!section_wait(db, txn_deadline(txn)))
            return status_fail(error, KH_BUSY, "%u records wait for the log", LIMIT_IN_FLIGHT);
    }
    return KH_OK;
}

/* Claims, prepared transactions and locks are rare: one look for all of them. */
static inline bool is_in_the_way(const struct kh_db *db) {
    uint64_t prepared = atomic_load_explicit(&db->prepared_count, memory_order_relaxed);
    return ((uintptr_t)db->claimer | prepared | locks_in_use(&db->locks)) != 0;
}

__attribute__((noinline)) static kh_status give_way(kh_txn *txn, enum record_kind kind,
                                                    kh_error *error) {
    struct kh_db *db = txn->db;
    kh_status status = db->claimer != NULL ? wait_for_claim(txn, error) : KH_OK;
    if (status == KH_OK && atomic_load_explicit(&db->prepared_count, memory_order_relaxed) > 0)
        status = prepared_check(txn, kind == RECORD_PREPARE, error);
    /* Last: nothing waits between here and append. */
    if (status == KH_OK && locking_is_needed(txn)) status = locking_check(txn, error);
    return status;
}

/* With the section held. */
KH_ALWAYS_INLINE enum attempt attempt(kh_txn *txn, enum record_kind kind, bool is_claiming,
                                      bool is_special, kh_status *status, kh_error *error) {
    struct kh_db *db = txn->db;
    /* Before anything else: of rivals that the log has lost nobody will know, so that to be told of
     * them, and to try again, would go on for ever. */
    if (KH_UNLIKELY(db->pipeline.poison != KH_OK)) {
        *status = pipeline_refuse(error);
        return ATTEMPT_DONE;
    }
    if (is_claiming) {
        *status = claim(txn, error);
        if (*status != KH_OK) return ATTEMPT_DONE;
        mark_claims(txn, true);
    }
    if (KH_UNLIKELY(db->pipeline.count >= LIMIT_IN_FLIGHT)) {
        *status = wait_for_room(txn, error);
        if (*status != KH_OK) return ATTEMPT_DONE;
    }
    if (KH_UNLIKELY(is_special || is_in_the_way(db))) {
        *status = give_way(txn, kind, error);
        if (*status != KH_OK) return ATTEMPT_DONE;
    }
    enum attempt result = judge(txn, kind, is_special, status, error);
    if (result == ATTEMPT_DONE) drop_claims(txn);
    if (KH_UNLIKELY(txn->is_marked) && txn->verdict.answer == CERTIFY_DEAD) mark_claims(txn, false);
    return result;
}

KH_ALWAYS_INLINE void leave_section(kh_txn *txn) {
    struct kh_db *db = txn->db;
    bool has_deferred = section_has_deferred(db);
    latch_leave(&db->section);
    epoch_close(&db->store.epoch, &txn->epoch);
    if (KH_UNLIKELY(epoch_is_due(&txn->epoch)))
        (void)epoch_poll(&db->store.epoch, &txn->epoch, txn->cache);
    if (KH_UNLIKELY(has_deferred)) section_release_deferred(db);
}

/* Values first, while foreign code may run and the log be waited for; then entries, in an epoch
 * section that is open on KH_OK. */
static kh_status stage_any(kh_txn *txn, enum record_kind kind, kh_error *error) {
    struct kh_db *db = txn->db;
    kh_status status = stage_values(txn, error);
    if (status == KH_CONFLICT && txn->has_conflict) {
        latch_take(&db->section);
        await_rival(txn, txn->conflict.rival);
        bool is_poisoned = db->pipeline.poison != KH_OK;
        latch_leave(&db->section);
        if (is_poisoned) return pipeline_refuse(error);
        return explain(txn, status, txn->conflict.key, txn->conflict.rival, error);
    }
    if (status != KH_OK) return status;
    epoch_open(&db->store.epoch, &txn->epoch);
    status = stage_entries(txn, error);
    if (status == KH_OK && db->pipeline.log != NULL) status = seal_stage(txn, kind, error);
    if (status != KH_OK) epoch_close(&db->store.epoch, &txn->epoch);
    return status;
}

KH_ALWAYS_INLINE kh_status stage(kh_txn *txn, enum record_kind kind, kh_error *error) {
    struct kh_db *db = txn->db;
    if (KH_UNLIKELY(txn->writes.has_computed || has_log(db))) return stage_any(txn, kind, error);
    epoch_open(&db->store.epoch, &txn->epoch);
    kh_status status = stage_simply(txn, error);
    if (KH_UNLIKELY(status != KH_OK)) epoch_close(&db->store.epoch, &txn->epoch);
    return status;
}

/* The entries of a claim may not be looked up again while others wait for them. */
KH_ALWAYS_INLINE kh_status submit_once(kh_txn *txn, enum record_kind kind, uint32_t restages,
                                       bool is_special, enum attempt *result, kh_error *error) {
    struct kh_db *db = txn->db;
    kh_status status = stage(txn, kind, error);
    if (KH_UNLIKELY(status != KH_OK)) return status;
    latch_take(&db->section);
    uint64_t entered_ns = KH_UNLIKELY(txn->is_sampled) ? env_monotonic_ns(&db->clock) : 0;
    *result = attempt(txn, kind, restages >= LIMIT_RESTAGE, is_special, &status, error);
    if (KH_UNLIKELY(txn->is_sampled))
        histogram_note(&db->section_ns, env_monotonic_ns(&db->clock) - entered_ns);
    leave_section(txn);
    return status;
}

static void release_claims(kh_txn *txn) {
    if (KH_LIKELY(!txn->is_claiming)) return;
    latch_take(&txn->db->section);
    drop_claims(txn);
    latch_leave(&txn->db->section);
}

/* is_special is known where this is called: what only few need costs the others nothing. */
KH_ALWAYS_INLINE kh_status submit(kh_txn *txn, enum record_kind kind, bool is_special,
                                  kh_error *error) {
    kh_status status = KH_OK;
    for (uint32_t restages = 0;; restages++) {
        enum attempt result = ATTEMPT_DONE;
        status = submit_once(txn, kind, restages, is_special, &result, error);
        if (status != KH_OK || result == ATTEMPT_DONE) break;
        txn_count(&txn->counters.restages, 1);
    }
    release_claims(txn);
    return status;
}

/* Of a workspace, or with locks; or once it has met a lock that it waits for: then it has some. */
__attribute__((noinline)) static kh_status submit_special(kh_txn *txn, enum record_kind kind,
                                                          kh_error *error) {
    if (txn->semantic != NULL) semantic_search(txn);
    return submit(txn, kind, true, error);
}

/* Without claims: who has the lock may need the keys to commit. */
__attribute__((noinline)) static kh_status submit_waiting(kh_txn *txn, enum record_kind kind,
                                                          kh_error *error) {
    kh_status status = locking_await_writes(txn, error);
    return status == KH_OK ? submit_special(txn, kind, error) : status;
}

kh_status commit_submit(kh_txn *txn, enum record_kind kind, kh_error *error) {
    kh_status status = stage_ranges(txn, error);
    if (KH_UNLIKELY(status != KH_OK)) return status;
    status = KH_UNLIKELY(txn->is_special) ? submit_special(txn, kind, error)
                                          : submit(txn, kind, false, error);
    if (KH_UNLIKELY(status == KH_LOCK_CONFLICT) && locking_does_wait(txn))
        status = submit_waiting(txn, kind, error);
    /* Outside of the section. With a log whoever hears its answer sees to it. */
    if (KH_UNLIKELY(txn->is_special) && kind == RECORD_COMMIT && status == KH_OK &&
        !has_log(txn->db))
        locking_end(txn);
    return status;
}

kh_status commit_await_log(kh_txn *txn) {
    (void)pipeline_wait(txn, 0);
    return (kh_status)(atomic_load_explicit(&txn->outcome, memory_order_acquire) - 1);
}

/* ---- without writes -------------------------------------------------------------------------- */

bool commit_is_current(kh_txn *txn) {
    struct kh_db *db = txn->db;
    if (txn->reads.range_count > 0) return false;
    bool is_newest = true;
    epoch_open(&db->store.epoch, &txn->epoch);
    for (uint32_t i = 0; i < txn->reads.item_count && is_newest; i++) {
        const struct entry *entry = txn->reads.items[i].entry;
        is_newest = entry_head(entry)->commit <= txn->snapshot;
    }
    epoch_close(&db->store.epoch, &txn->epoch);
    return is_newest;
}

kh_status commit_certify_reads(kh_txn *txn, kh_error *error) {
    struct kh_db *db = txn->db;
    kh_status status = stage_ranges(txn, error);
    if (status != KH_OK) return status;
    epoch_open(&db->store.epoch, &txn->epoch);
    latch_take(&db->section);
    make_request(txn, RECORD_COMMIT);
    txn->request.write_count = 0;
    certify(&txn->request, &txn->verdict);
    if (txn->verdict.answer == CERTIFY_CYCLE) {
        await_rival(txn, txn->verdict.rival);
        status = explain(txn, KH_NOT_SERIALIZABLE, txn->verdict.key, txn->verdict.rival, error);
    } else {
        apply_read_stamps(txn, txn->verdict.phi);
    }
    leave_section(txn);
    return status;
}
