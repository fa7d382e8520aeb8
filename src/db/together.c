/* together.c - committing several workspaces together: see together.h for the rules. */
#include "db/together.h"

#include "base/limits.h"
#include "db/commit.h"
#include "db/locking.h"
#include "db/pipeline.h"
#include "db/section.h"
#include "db/stage.h"
#include "db/workspace.h"
#include <string.h>

struct call {
    kh_workspace *const *workspaces;
    size_t count;
    struct together together;
    size_t started; /* workspaces that are COMMITTING */
    size_t entered; /* members whose busy mark we have, and who cannot be cancelled */
};

/* ---- may they? ------------------------------------------------------------------------------- */

static bool is_same_column(const kh_txn *a, const kh_txn *b) {
    if (a->id_column == b->id_column) return true;
    return a->id_column != NULL && b->id_column != NULL && strcmp(a->id_column, b->id_column) == 0;
}

static kh_status check_call(const struct call *call, kh_error *error) {
    if (call->count == 0) return status_fail(error, KH_INVALID, "no workspaces");
    if (call->count > LIMIT_TOGETHER)
        return status_fail(error, KH_TOO_BIG, "%zu workspaces: at most %u commit together",
                           call->count, LIMIT_TOGETHER);
    for (size_t i = 0; i < call->count; i++) {
        const kh_workspace *workspace = call->workspaces[i];
        kh_assert(workspace != NULL && "kh_workspace_commit_together: a workspace is NULL");
        if (workspace->db != call->workspaces[0]->db)
            return status_fail(error, KH_INVALID, "workspaces of different databases");
        for (size_t j = 0; j < i; j++)
            if (call->workspaces[j] == workspace)
                return status_fail(error, KH_INVALID, "workspace %zu comes twice", i);
    }
    if (db_is_forked(call->workspaces[0]->db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    return KH_OK;
}

/* ---- in -------------------------------------------------------------------------------------- */

static kh_status start_all(struct call *call, kh_error *error) {
    for (size_t i = 0; i < call->count; i++) {
        call->together.culprit = i;
        kh_status status = workspace_start(call->workspaces[i], error);
        if (status != KH_OK) return status;
        call->started++;
        if (!is_same_column(call->workspaces[i]->txn, call->workspaces[0]->txn))
            return status_fail(error, KH_INVALID, "workspaces with different id columns");
    }
    call->together.culprit = call->count;
    return KH_OK;
}

/* From here on it is ours: nobody cancels it, and its time does not run out. */
static kh_status enter(struct call *call, kh_txn *txn, kh_error *error) {
    struct kh_db *db = txn->db;
    kh_status status = handle_enter(txn, error);
    if (status != KH_OK) return status;
    if (txn->cursors != NULL) {
        handle_leave(txn);
        return status_fail(error, KH_IN_USE, "a cursor of the transaction is open");
    }
    (void)handle_id(txn);
    if (txn->has_locks)
        status = locks_join(&db->locks, &txn->owner, &call->together.txn->owner,
                            db_tick(db) * UINT64_C(1000000));
    if (status == KH_OK && !txn_move_state(txn, TXN_ACTIVE, TXN_COMMITTING))
        status = txn->stop_status;
    if (status != KH_OK) {
        if (txn->has_locks) locks_part(&db->locks, &txn->owner);
        (void)status_fail(error, status, "%s", kh_status_meaning(status));
        return handle_answer(txn, status);
    }
    call->entered++;
    return KH_OK;
}

static kh_status enter_all(struct call *call, kh_error *error) {
    struct together *together = &call->together;
    for (size_t i = 0; i < call->count; i++) {
        kh_txn *txn = call->workspaces[i]->txn;
        together->members[i] = (struct together_member){txn, i, NULL};
        together->culprit = i;
        kh_status status = enter(call, txn, error);
        if (status != KH_OK) return status;
    }
    together->culprit = call->count;
    return KH_OK;
}

/* ---- the group's transaction ----------------------------------------------------------------- */

static kh_txn_options options_of(const struct call *call) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = KH_REPEATABLE_READ;
    options.policy = KH_FAIL;
    options.lock_wait = KH_LOCK_REFUSE;
    options.sync = KH_SYNC_NONE;
    for (size_t i = 0; i < call->count; i++) {
        const kh_txn *txn = call->workspaces[i]->txn;
        if (txn->isolation == KH_SERIALIZABLE) options.isolation = KH_SERIALIZABLE;
        if ((kh_sync)txn->sync < options.sync) options.sync = (kh_sync)txn->sync;
        if (options.tag == NULL) options.tag = txn->tag;
    }
    options.id_column = call->workspaces[0]->txn->id_column;
    return options;
}

static kh_status begin(struct call *call, kh_error *error) {
    struct together *together = &call->together;
    kh_txn_options options = options_of(call);
    kh_status status = kh_txn_begin(together->db, &options, &together->txn, error);
    if (status != KH_OK) return status;
    for (size_t i = 0; i < call->count; i++) {
        uint64_t deadline_ms = txn_deadline(call->workspaces[i]->txn);
        if (deadline_ms < txn_deadline(together->txn)) txn_set_deadline(together->txn, deadline_ms);
    }
    size_t size_bytes = call->count * sizeof *together->members;
    together->members = arena_alloc(&together->txn->arena, size_bytes);
    return together->members == NULL ? status_no_memory(error, size_bytes) : KH_OK;
}

static kh_status carry_meanings(struct together *together, kh_error *error) {
    struct semantic_claim *claim;
    for (size_t i = 0; i < together->count; i++) {
        kh_status status = semantic_add_member(together->txn, together->members[i].txn, error);
        if (status != KH_OK) return status;
    }
    claim = together->txn->semantic;
    for (size_t i = 0; i < together->count; i++, claim = claim->next)
        together->members[i].claim = claim;
    return KH_OK;
}

/* Among themselves: keys and isolation have said yes by now. */
static kh_status compare_meanings(struct together *together) {
    for (size_t later = 0; later < together->count; later++) {
        const struct together_member *member = &together->members[later];
        for (size_t i = 0; i < later; i++) {
            if (semantic_agree(member->claim, together->members[i].claim)) continue;
            together->culprit = member->index;
            return KH_SEMANTIC_CONFLICT;
        }
    }
    return KH_OK;
}

static kh_status gather(struct together *together, kh_error *error) {
    kh_status status = handle_enter(together->txn, error);
    if (status != KH_OK) return status;
    status = together_order(together, error);
    if (status == KH_OK) status = carry_meanings(together, error);
    if (status == KH_OK) status = together_gather(together, error);
    if (status == KH_OK) status = compare_meanings(together);
    handle_leave(together->txn);
    return status;
}

/* ---- whose fault ----------------------------------------------------------------------------- */

static bool has_read(const kh_txn *txn, kh_bytes key, uint64_t hash) {
    const struct entry *entry = index_find(txn->db->store.index, key, hash);
    return readset_timestamp(&txn->reads, entry, key) != 0;
}

/* Of a conflict on a key: did it write the key, or read it? In an epoch section. */
static bool is_of_key(const struct together *together, const kh_txn *txn, kh_status status) {
    kh_bytes key = together->txn->conflict.key;
    if (key.size_bytes == 0) return false;
    uint64_t hash = index_hash(together->db->store.index, key);
    if (status == KH_NOT_SERIALIZABLE) return txn->is_certified && has_read(txn, key, hash);
    const struct write *write = writeset_find(&txn->writes, key, hash);
    if (status != KH_CONFLICT) return write != NULL;
    /* Rows that are applied to whatever is there meet no rival. */
    const struct entry *entry = index_find(txn->db->store.index, key, hash);
    return write != NULL && together->txn->conflict.rival > stage_rival_bound(txn, write, entry);
}

static bool is_first_to_expire(const struct together *together, const kh_txn *txn) {
    return txn_deadline(txn) <= txn_deadline(together->txn);
}

/* Of rows that nobody has read who writes them: it is a rival because another member has. */
static void find_reader(struct together *together) {
    kh_bytes key = together->txn->conflict.key;
    uint64_t hash = index_hash(together->db->store.index, key);
    for (size_t i = 0; i < together->count && key.size_bytes > 0; i++) {
        const struct together_member *member = &together->members[i];
        if (member->txn->is_certified && has_read(member->txn, key, hash))
            together->culprit = member->index;
    }
}

/* What the commit found: the last member that it can be said of. */
static void find_culprit(struct together *together, kh_status status) {
    kh_txn *group = together->txn;
    bool has_key = group->has_conflict && group->conflict.status == status;
    epoch_open(&together->db->store.epoch, &group->epoch);
    for (size_t i = 0; i < together->count; i++) {
        const struct together_member *member = &together->members[i];
        bool is_it = status == KH_SEMANTIC_CONFLICT ? member->claim->is_refused
                     : status == KH_EXPIRED         ? is_first_to_expire(together, member->txn)
                                            : has_key && is_of_key(together, member->txn, status);
        is_it |= status == KH_HELD && member->claim->is_held;
        if (is_it) together->culprit = member->index;
    }
    bool is_found = together->culprit != together->count;
    if (!is_found && has_key && status == KH_CONFLICT) find_reader(together);
    epoch_close(&together->db->store.epoch, &group->epoch);
    if (has_key && status_is_of_rows(status) && group->conflict.key.size_bytes > 0)
        together_find_unfit(together, group->conflict.key);
}

/* ---- out ------------------------------------------------------------------------------------- */

/* What the group has learned of a member: with a rival's claim, a conflict's key. */
static void tell(const struct together *together, kh_txn *txn, kh_status status) {
    const kh_txn *group = together->txn;
    for (size_t i = 0; i < together->count; i++) {
        const struct together_member *member = &together->members[i];
        bool is_told = member->txn == txn && member->claim != NULL && member->claim->is_refused;
        if (is_told && txn->semantic != NULL) semantic_tell(txn->semantic, member->claim);
    }
    if (!group->has_conflict || group->conflict.status != status) return;
    txn->has_conflict = true;
    txn->conflict = group->conflict;
    txn->conflict.snapshot = txn->snapshot;
    txn->conflict.key.data =
        arena_copy(&txn->arena, group->conflict.key.data, group->conflict.key.size_bytes);
    if (txn->conflict.key.data == NULL) txn->conflict.key.size_bytes = 0;
}

/* Resolved before the group's commit, which counts the others. */
static void count_fate(const struct together *together, const struct write *write) {
    struct txn_counters *counters = &together->txn->counters;
    if (write->kind == WRITE_ROWS) {
        txn_count(&counters->resolved_rows, 1);
    } else if (write->policy == KH_REPLACE) {
        txn_count(&counters->resolved_replace, 1);
    } else {
        txn_count(&counters->resolved_merge, 1);
    }
    if (write->policy == POLICY_SEMANTIC)
        atomic_fetch_add_explicit(&together->db->semantic->merged, 1, memory_order_relaxed);
}

/* What became of its writes (kh_txn_resolved): before the group's commit, and in it. */
static void tell_fates(const struct together *together, kh_txn *txn) {
    const kh_txn *group = together->txn;
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        struct write *write = &txn->writes.writes[i];
        const struct write *done = writeset_find(&group->writes, write->key, write->hash);
        if (write->kind == WRITE_NONE || done == NULL) continue;
        bool is_blind = txn->isolation == KH_READ_COMMITTED && write->kind != WRITE_ROWS &&
                        write->policy != KH_REPLACE; /* it has no rivals */
        if (done->fate != FATE_PLAIN && !is_blind) {
            write->fate = done->fate;
            write->rival = done->rival;
        } else if (write->fate == FATE_RESOLVED) {
            if (write->rival == 0) write->rival = group->committed; /* another member's */
            count_fate(together, write);
        }
    }
}

/* The member's transaction ends, committed or not; the busy mark goes back. */
static void end_member(kh_txn *txn, kh_status status, kh_timestamp timestamp) {
    if (status == KH_OK) {
        bool has_writes = txn->writes.live_count > 0;
        txn->committed = timestamp;
        txn_count(has_writes ? &txn->counters.commits : &txn->counters.commits_read_only, 1);
    } else {
        commit_count_abort(txn, status);
        if (status != KH_UNKNOWN) section_note_outcome(txn->db, txn->id, OUTCOME_ABORTED_MARK);
    }
    locking_end(txn);
    snapshot_drop(txn->line);
    txn->stop_status = status;
    atomic_store_explicit(&txn->outcome, (uint32_t)status + 1, memory_order_release);
    txn_set_state(txn, TXN_ENDED);
    handle_leave(txn);
}

/* As it was before. */
static void let_go(kh_txn *txn) {
    if (txn->has_locks) locks_part(&txn->db->locks, &txn->owner);
    txn_set_state(txn, TXN_ACTIVE);
    handle_leave(txn);
}

/* None of them goes on: the log has failed, and takes nothing more. */
static bool is_over_for_all(kh_status status) {
    return status == KH_UNKNOWN || status == KH_POISONED;
}

/* The call was wrong, and the workspace is not to blame. */
static bool is_undone(kh_status status) {
    return status == KH_INVALID || status == KH_MISUSE || status == KH_IN_USE;
}

static void end_workspace(kh_workspace *workspace, kh_status status) {
    if (status == KH_OK)
        (void)workspace_move(workspace, KH_WORKSPACE_COMMITTED);
    else
        workspace_fail(workspace, status);
}

static void end_all(struct call *call, kh_status status, kh_timestamp timestamp) {
    struct together *together = &call->together;
    for (size_t i = 0; i < call->started; i++) {
        kh_workspace *workspace = call->workspaces[i];
        bool is_it = i == together->culprit && !is_undone(status);
        bool is_over = status == KH_OK || is_it || is_over_for_all(status);
        if (i < call->entered) {
            kh_txn *txn = workspace->txn;
            if (status == KH_OK) tell_fates(together, txn);
            if (is_it) tell(together, txn, status);
            if (is_over)
                end_member(txn, status, timestamp);
            else
                let_go(txn);
        }
        if (is_over)
            end_workspace(workspace, status);
        else
            workspace_unstart(workspace);
    }
    latch_take(&together->db->section);
    section_progress(together->db);
    latch_leave(&together->db->section);
}

/* ---- the call -------------------------------------------------------------------------------- */

static kh_status commit(struct call *call, kh_timestamp *timestamp, kh_error *error) {
    struct together *together = &call->together;
    kh_status status = begin(call, error);
    if (status == KH_OK) status = enter_all(call, error);
    if (status != KH_OK) return status;
    status = gather(together, error);
    if (status == KH_OK) status = kh_txn_commit(together->txn, timestamp, error);
    if (status != KH_OK && together->culprit == together->count) find_culprit(together, status);
    return status;
}

kh_status kh_workspace_commit_together(kh_workspace *const *workspaces, size_t count,
                                       kh_timestamp *timestamp, size_t *culprit, kh_error *error) {
    struct call call = {.workspaces = workspaces, .count = count};
    kh_timestamp committed = 0;
    if (culprit != NULL) *culprit = count;
    kh_status status = check_call(&call, error);
    if (status != KH_OK) return status;
    call.together.db = workspaces[0]->db;
    call.together.count = call.together.culprit = count;
    status = start_all(&call, error);
    if (status == KH_OK) status = commit(&call, &committed, error);
    end_all(&call, status, committed);
    kh_txn_close(call.together.txn);
    if (culprit != NULL) *culprit = call.together.culprit;
    if (status == KH_OK && timestamp != NULL) *timestamp = committed;
    return status;
}
