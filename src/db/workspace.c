/* workspace.c - begin and end of workspaces, and their states: see khonsu/workspace.h. */
#include "db/workspace.h"

#include "base/status.h"
#include "db/handle.h"
#include "db/pipeline.h"
#include <string.h>

enum { OPERATIONS_DEFAULT = 1000, TIMEOUT_DEFAULT_MS = 5000 };

/* ---- states ---------------------------------------------------------------------------------- */

#define TO(state) (1u << (state))

/* From where to where. */
static const uint8_t transitions[] = {
    [KH_WORKSPACE_ACTIVE] =
        TO(KH_WORKSPACE_COMMITTING) | TO(KH_WORKSPACE_ROLLED_BACK) | TO(KH_WORKSPACE_FAILED),
    [KH_WORKSPACE_COMMITTING] = TO(KH_WORKSPACE_ACTIVE) /* the call was out of order: undone */ |
                                TO(KH_WORKSPACE_COMMITTED) | TO(KH_WORKSPACE_ROLLED_BACK) |
                                TO(KH_WORKSPACE_FAILED),
    [KH_WORKSPACE_COMMITTED] = 0,
    [KH_WORKSPACE_ROLLED_BACK] = 0,
    [KH_WORKSPACE_FAILED] = TO(KH_WORKSPACE_ACTIVE) | TO(KH_WORKSPACE_ROLLED_BACK),
};

bool workspace_move(kh_workspace *workspace, kh_workspace_state to) {
    bool is_allowed = transitions[WORKSPACE_GET(workspace, state)] & TO(to);
    if (is_allowed) WORKSPACE_SET(workspace, state, to);
    return is_allowed;
}

static inline void must_move(kh_workspace *workspace, kh_workspace_state to) {
    bool is_allowed = workspace_move(workspace, to);
    kh_assert(is_allowed);
}

kh_status workspace_refuse_embedding(kh_error *error) {
    return status_fail(error, KH_MISUSE, "an embed function reads, and does nothing else");
}

kh_status workspace_refuse(const kh_workspace *workspace, kh_error *error) {
    switch (kh_workspace_state_of(workspace)) {
    case KH_WORKSPACE_COMMITTING:
        return status_fail(error, KH_MISUSE,
                           "prepared: only commit, rollback and close may follow");
    case KH_WORKSPACE_FAILED:
        return status_fail(error, workspace->cause, "the workspace has failed: %s",
                           kh_status_meaning(workspace->cause));
    default:
        return status_fail(error, KH_FINISHED, "the workspace has ended");
    }
}

/* The transaction does not go on after these (khonsu/txn.h). */
static bool is_final(kh_status status) {
    return kh_status_classify(status) == KH_CLASS_RETRY || status == KH_CANCELLED ||
           status == KH_FORKED || status == KH_POISONED;
}

/* It may have failed already: a call of its embed function did. The first cause stays. */
static void fail(kh_workspace *workspace, kh_status status) {
    if (workspace_move(workspace, KH_WORKSPACE_FAILED)) workspace->cause = status;
}

void workspace_fail(kh_workspace *workspace, kh_status status) {
    fail(workspace, status);
}

kh_status workspace_note(kh_workspace *workspace, kh_status status) {
    if (is_final(status)) fail(workspace, status);
    return status;
}

/* ---- begin ----------------------------------------------------------------------------------- */

static kh_status check_options(const kh_workspace_options *options, kh_error *error) {
    if ((unsigned)options->mode > KH_SEMANTIC_MERGE)
        return status_fail(error, KH_INVALID, "unknown semantic mode %d", (int)options->mode);
    if (options->txn.flags != 0)
        return status_fail(error, KH_INVALID, "a workspace is neither read-only nor deferrable");
    if ((options->embed == NULL) != (options->dimensions == 0))
        return status_fail(error, KH_INVALID, "dimensions go with an embed function");
    if (options->thresholds.size != sizeof options->thresholds)
        return status_fail(error, KH_INVALID, "kh_delta_thresholds of size %zu",
                           options->thresholds.size);
    return KH_OK;
}

/* Between calls the janitor may have the transaction, and its arena. */
__attribute__((noinline)) static kh_status attach(kh_workspace *workspace, kh_txn *txn,
                                                  kh_semantic_mode mode, kh_error *error) {
    const kh_workspace_options *options = workspace->options;
    kh_status status = handle_enter(txn, error);
    if (status != KH_OK) return status;
    if (txn->semantic == NULL) status = semantic_attach(txn, mode, &options->thresholds, error);
    if (status == KH_OK) semantic_set_delta(txn, workspace->delta);
    if (mode == KH_SEMANTIC_MERGE && options->txn.policy == KH_DEFAULT_POLICY)
        txn->policy = POLICY_SEMANTIC;
    handle_leave(txn);
    return status;
}

/* What has no delta and permits no merges needs no claim. */
KH_ALWAYS_INLINE kh_status begin_transaction(kh_workspace *workspace, kh_error *error) {
    const kh_workspace_options *options = workspace->options;
    struct kh_db *db = workspace->db;
    kh_txn *txn;
    kh_status status = kh_txn_begin(db, &options->txn, &txn, error);
    if (KH_UNLIKELY(status != KH_OK)) return status;
    kh_semantic_mode mode =
        options->mode != KH_SEMANTIC_DEFAULT ? options->mode : db->semantic->mode;
    if (KH_UNLIKELY(mode == KH_SEMANTIC_MERGE)) {
        status = attach(workspace, txn, mode, error);
        if (status != KH_OK) {
            kh_txn_close(txn);
            return status;
        }
    }
    workspace->txn = txn;
    txn->workspace = workspace;
    workspace->cause = KH_OK;
    workspace->is_prepared = false;
    WORKSPACE_SET(workspace, mode, mode);
    WORKSPACE_SET(workspace, txn_id, kh_txn_get_id(txn).low);
    WORKSPACE_SET(workspace, begun_ms, txn_begin_tick(txn));
    return KH_OK;
}

/* A retry needs the texts again: they are copied. */
static kh_status copy_text(kh_workspace *workspace, const char **text, kh_error *error) {
    if (*text == NULL) return KH_OK;
    size_t size_bytes = strlen(*text) + 1;
    *text = arena_copy(&workspace->texts, *text, size_bytes);
    return *text == NULL ? status_no_memory(error, size_bytes) : KH_OK;
}

static const kh_workspace_options default_options = KH_WORKSPACE_OPTIONS_INIT;
/* Everything else is 0: the default of each. */
static const kh_workspace_options used_by_default = {
    .size = sizeof used_by_default,
    .txn = {.size = sizeof(kh_txn_options), .timeout_ms = TIMEOUT_DEFAULT_MS},
    .thresholds = KH_DELTA_THRESHOLDS_INIT,
    .operations_max = OPERATIONS_DEFAULT};

static kh_status copy_options(kh_workspace *workspace, const kh_workspace_options *options,
                              kh_error *error) {
    kh_workspace_options *given = &workspace->given;
    *given = *options;
    if (given->operations_max == 0) given->operations_max = OPERATIONS_DEFAULT;
    if (given->txn.timeout_ms == 0) given->txn.timeout_ms = TIMEOUT_DEFAULT_MS;
    kh_status status = check_options(given, error);
    if (status == KH_OK) status = copy_text(workspace, &given->txn.tag, error);
    if (status == KH_OK) status = copy_text(workspace, &given->txn.id_column, error);
    workspace->options = given;
    return status;
}

static inline kh_status set_up(kh_workspace *workspace, const kh_workspace_options *options,
                               kh_error *error) {
    workspace->operations = workspace->few;
    workspace->operation_capacity = STEPS_INLINE;
    workspace->operations_max = OPERATIONS_DEFAULT;
    workspace->options = &used_by_default;
    if (KH_LIKELY(options == &default_options)) return KH_OK;
    kh_status status = copy_options(workspace, options, error);
    workspace->operations_max = workspace->given.operations_max;
    return status;
}

/* Another size, of an older or newer program. */
__attribute__((noinline)) static kh_status
read_options(const kh_workspace_options **options, kh_workspace_options *known, kh_error *error) {
    const kh_workspace_options *given = *options;
    *known = default_options;
    *options = known;
    return status_copy_sized(known, sizeof *known, given, "kh_workspace_options", error);
}

kh_status kh_workspace_begin(kh_db *db, const kh_workspace_options *options, kh_workspace **out,
                             kh_error *error) {
    kh_assert(db != NULL && out != NULL && "kh_workspace_begin: db or out is NULL");
    kh_workspace_options known;
    kh_workspace *workspace;
    if (options == NULL) options = &default_options;
    if (KH_UNLIKELY(db_is_forked(db)))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    kh_status status = KH_OK;
    if (KH_UNLIKELY(options->size != sizeof known)) status = read_options(&options, &known, error);
    if (status == KH_OK) status = workspaces_take(db, &workspace, error);
    if (status != KH_OK) return status;
    status = set_up(workspace, options, error);
    if (status == KH_OK) status = begin_transaction(workspace, error);
    if (status != KH_OK) {
        workspaces_give(workspace);
        return status;
    }
    WORKSPACE_SET(workspace, id, WORKSPACE_GET(workspace, txn_id));
    WORKSPACE_SET(workspace, state, KH_WORKSPACE_ACTIVE);
    workspaces_next_use(workspace);
    *out = workspace;
    return KH_OK;
}

/* What one transaction of it leaves behind. */
static inline void clear(kh_workspace *workspace) {
    uint32_t count = WORKSPACE_GET(workspace, operation_count);
    if (KH_UNLIKELY(workspace->delta != NULL)) workspaces_set_delta(workspace, NULL);
    for (uint32_t i = 0; i < count; i++)
        kh_batch_release((kh_batch *)workspace->operations[i].operation.value);
    WORKSPACE_SET(workspace, operation_count, 0);
    workspace->key_count = 0;
    workspace->before.count = workspace->after.count = 0;
    workspace->operations = workspace->few;
    workspace->operation_capacity = STEPS_INLINE;
    arena_reset(&workspace->arena);
}

kh_status kh_workspace_retry(kh_workspace *workspace, kh_error *error) {
    if (db_is_forked(workspace->db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    if (workspace->is_embedding) return workspace_refuse_embedding(error);
    /* A call of the transaction itself has ended it: nobody has told the workspace yet. */
    if (kh_workspace_state_of(workspace) == KH_WORKSPACE_ACTIVE &&
        txn_state_of(workspace->txn) == TXN_STOPPED)
        fail(workspace, workspace->txn->stop_status);
    if (kh_workspace_state_of(workspace) != KH_WORKSPACE_FAILED)
        return status_fail(error, KH_MISUSE, "only a failed workspace is retried");
    kh_txn *failed = workspace->txn;
    kh_status status = begin_transaction(workspace, error);
    if (status != KH_OK) {
        workspace->txn = failed;
        return status;
    }
    clear(workspace);
    kh_txn_close(failed);
    must_move(workspace, KH_WORKSPACE_ACTIVE);
    return KH_OK;
}

/* ---- end ------------------------------------------------------------------------------------- */

/* Somebody else decided it by id. The handle is still ours, and has the answer, or will have. */
static kh_status learn_decision(kh_workspace *workspace, kh_timestamp *timestamp, kh_error *error) {
    kh_txn *txn = workspace->txn;
    (void)pipeline_wait(txn, 0);
    kh_status status = (kh_status)(atomic_load_explicit(&txn->outcome, memory_order_acquire) - 1);
    if (status != KH_OK) {
        fail(workspace, status);
        return status_fail(error, status, "the decision by its id: %s", kh_status_meaning(status));
    }
    if (txn->committed == 0) {
        must_move(workspace, KH_WORKSPACE_ROLLED_BACK);
        return status_fail(error, KH_FINISHED, "the workspace was rolled back by its id");
    }
    must_move(workspace, KH_WORKSPACE_COMMITTED);
    if (timestamp != NULL) *timestamp = txn->committed;
    return KH_OK;
}

/* The transaction has not ended: a cursor is open, or another thread is in it. */
static bool is_undone(kh_status status) {
    return status == KH_IN_USE || status == KH_MISUSE;
}

/* By somebody else: before the call, or while it came. */
static bool is_decided(kh_status status) {
    return status == KH_FINISHED || status == KH_NOT_FOUND;
}

static kh_status end_commit(kh_workspace *workspace, kh_status status, kh_timestamp *timestamp,
                            kh_error *error) {
    if (status == KH_OK) {
        must_move(workspace, KH_WORKSPACE_COMMITTED);
    } else if (workspace->is_prepared) {
        /* Not decided by this call: it is decided already; or the log did not take the decision,
         * which can be tried again. */
        if (is_decided(status)) return learn_decision(workspace, timestamp, error);
        bool is_still_prepared = txn_state_of(workspace->txn) == TXN_PREPARED;
        if (status != KH_MISUSE && !is_still_prepared) fail(workspace, status);
    } else if (is_undone(status)) {
        must_move(workspace, KH_WORKSPACE_ACTIVE);
    } else {
        fail(workspace, status);
    }
    return status;
}

__attribute__((noinline)) static kh_status bring_delta(kh_workspace *workspace, kh_error *error) {
    kh_semantic_mode mode = (kh_semantic_mode)WORKSPACE_GET(workspace, mode);
    kh_status status = workspace_seal_delta(workspace, error);
    if (status == KH_OK) status = attach(workspace, workspace->txn, mode, error);
    if (status != KH_OK && kh_workspace_state_of(workspace) == KH_WORKSPACE_ACTIVE)
        fail(workspace, status);
    return status;
}

static inline kh_status start(kh_workspace *workspace, kh_error *error) {
    kh_status status = workspace_check(workspace, error);
    if (KH_UNLIKELY(status != KH_OK)) return status;
    if (KH_UNLIKELY(workspace->is_embedding)) return workspace_refuse_embedding(error);
    size_t has_meaning = workspace->before.count | workspace->after.count |
                         (uintptr_t)workspace->options->embed | (uintptr_t)workspace->delta;
    if (KH_UNLIKELY(has_meaning != 0)) status = bring_delta(workspace, error);
    if (KH_UNLIKELY(status != KH_OK)) return status;
    must_move(workspace, KH_WORKSPACE_COMMITTING);
    return KH_OK;
}

kh_status workspace_start(kh_workspace *workspace, kh_error *error) {
    return start(workspace, error);
}

kh_status kh_workspace_commit(kh_workspace *workspace, kh_timestamp *timestamp, kh_error *error) {
    kh_assert(workspace != NULL && "the workspace is NULL");
    if (!workspace->is_prepared) {
        kh_status status = start(workspace, error);
        if (status != KH_OK) return status;
    } else if (kh_workspace_state_of(workspace) != KH_WORKSPACE_COMMITTING) {
        return status_fail(error, KH_FINISHED, "the workspace has ended");
    }
    kh_status status = kh_txn_commit(workspace->txn, timestamp, error);
    return end_commit(workspace, status, timestamp, error);
}

kh_status kh_workspace_prepare(kh_workspace *workspace, kh_error *error) {
    kh_assert(workspace != NULL && "the workspace is NULL");
    kh_status status = start(workspace, error);
    if (status != KH_OK) return status;
    status = kh_txn_prepare(workspace->txn, error);
    workspace->is_prepared = status == KH_OK;
    return status == KH_OK ? KH_OK : end_commit(workspace, status, NULL, error);
}

kh_status kh_workspace_rollback(kh_workspace *workspace) {
    kh_assert(workspace != NULL && "the workspace is NULL");
    if (db_is_forked(workspace->db)) return KH_FORKED;
    if (workspace->is_embedding) return KH_MISUSE;
    kh_workspace_state state = kh_workspace_state_of(workspace);
    if (state == KH_WORKSPACE_COMMITTED || state == KH_WORKSPACE_ROLLED_BACK) return KH_FINISHED;
    if (workspace->cause == KH_UNKNOWN) return KH_UNKNOWN; /* nobody can undo what may be kept */
    enum txn_state ended = txn_state_of(workspace->txn);
    bool is_over = workspace->is_prepared && (ended == TXN_ENDED || ended == TXN_IN_FLIGHT);
    kh_status status = is_over ? KH_FINISHED : kh_txn_rollback(workspace->txn);
    if (workspace->is_prepared && is_decided(status)) {
        status = learn_decision(workspace, NULL, NULL);
        if (status == KH_FINISHED) return KH_OK;
        return status == KH_OK ? KH_FINISHED : status;
    }
    if (status == KH_OK) must_move(workspace, KH_WORKSPACE_ROLLED_BACK);
    return status;
}

void kh_workspace_close(kh_workspace *workspace) {
    if (workspace == NULL || db_is_forked(workspace->db)) return;
    kh_assert(!workspace->is_embedding && "kh_workspace_close: by its embed function");
    workspaces_next_use(workspace);
    clear(workspace);
    kh_txn_close(workspace->txn);
    workspaces_give(workspace);
}
