/* meaning.c - deeds that are done in a workspace: the same promises, with random modes and
 * meanings. */
#include "stress.h"

static kh_status set_meaning(struct deed *deed) {
    static const float nowhere[2] = {0, 0};
    static const float directions[][2] = {{1, 0}, {0, 1}, {-1, 0}, {0.6f, 0.8f}};
    int which = draw(&deed->worker->random, 6);
    if (which >= 4) return KH_OK;
    kh_status status = kh_workspace_set_before(deed->workspace, (kh_floats){nowhere, 2}, NULL);
    if (status == KH_OK)
        status = kh_workspace_set_after(deed->workspace, (kh_floats){directions[which], 2}, NULL);
    if (status == KH_OK && one_in(&deed->worker->random, 3))
        status = kh_workspace_compute_delta(deed->workspace, NULL);
    return status;
}

bool deed_begin_meaning(struct worker *worker, struct deed *deed, kh_isolation level) {
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    *deed = (struct deed){.worker = worker, .level = level};
    options.mode = (kh_semantic_mode)(KH_SEMANTIC_KEYS + draw(&worker->random, 3));
    options.txn.isolation = level;
    options.txn.policy = KH_FAIL;
    if (worker->world->is_at_rest) options.txn.timeout_ms = 10 * 60 * 1000;
    options.txn.tag = atomic_load_explicit(&worker->doing, memory_order_relaxed);
    deed->status = kh_workspace_begin(worker->world->db, &options, &deed->workspace, NULL);
    if (deed->status != KH_OK) {
        CHECK(worker, deed->status == KH_BUSY, "kh_workspace_begin answers %s",
              kh_status_name(deed->status));
        return false;
    }
    deed->txn = kh_workspace_txn(deed->workspace);
    deed->id = kh_txn_get_id(deed->txn);
    deed->last_snapshot = kh_txn_snapshot(deed->txn);
    deed->status = set_meaning(deed);
    CHECK(worker, deed->status == KH_OK || is_retry(deed->status), "setting a meaning answers %s",
          kh_status_name(deed->status));
    return true;
}

kh_status deed_ask_commit(struct deed *deed, kh_timestamp *at) {
    return deed->workspace == NULL ? kh_txn_commit(deed->txn, at, NULL)
                                   : kh_workspace_commit(deed->workspace, at, NULL);
}

kh_status deed_ask_prepare(struct deed *deed) {
    return deed->workspace == NULL ? kh_txn_prepare(deed->txn, NULL)
                                   : kh_workspace_prepare(deed->workspace, NULL);
}

kh_status deed_ask_rollback(struct deed *deed) {
    return deed->workspace == NULL ? kh_txn_rollback(deed->txn)
                                   : kh_workspace_rollback(deed->workspace);
}

void deed_close(struct deed *deed) {
    if (deed->workspace == NULL) {
        kh_txn_close(deed->txn);
    } else {
        kh_workspace_close(deed->workspace);
    }
    deed->txn = NULL;
    deed->workspace = NULL;
}

static bool see_workspace(void *context, const kh_workspace_entry *entry) {
    struct worker *worker = context;
    CHECK(worker, entry->delta == NULL || kh_delta_dimension(entry->delta) == 2,
          "a listed workspace has a delta of another dimension");
    return true;
}

/* What is open is listed, and what is committed is found. */
void act_look_for_meaning(struct worker *worker) {
    struct deed deed;
    kh_candidate found[4];
    size_t count = 0;
    kh_status status = kh_db_workspaces(worker->world->db, see_workspace, worker, NULL);
    CHECK(worker, status == KH_OK, "kh_db_workspaces answers %s", kh_status_name(status));
    if (!deed_begin_meaning(worker, &deed, draw_level(worker))) return;
    status = kh_workspace_find_merge_candidates(deed.workspace, 0.1f, 1000, found, 4, &count, NULL);
    CHECK(worker, status == KH_OK || status == KH_NOT_FOUND, "looking for candidates answers %s",
          kh_status_name(status));
    status = kh_workspace_find_conflicts(deed.workspace, 1000, found, 4, &count, NULL);
    CHECK(worker, status == KH_OK || status == KH_NOT_FOUND, "looking for conflicts answers %s",
          kh_status_name(status));
    deed_roll_back(&deed);
}
