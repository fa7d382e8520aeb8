/* semantic.c - what the list of recent deltas says of a commit: see semantic.h. */
#include "db/semantic.h"

#include "base/status.h"
#include "db/section.h"
#include <math.h>
#include <string.h>

enum { COUNT_DEFAULT = 65536 };
static const uint64_t bytes_default = (uint64_t)256 << 20;

/* ---- open and close -------------------------------------------------------------------------- */

kh_status semantic_open(struct kh_db *db, const kh_semantic_options *options, kh_error *error) {
    kh_semantic_options known = KH_SEMANTIC_OPTIONS_INIT;
    if (options != NULL) {
        kh_status status =
            status_copy_sized(&known, sizeof known, options, "kh_semantic_options", error);
        if (status != KH_OK) return status;
    }
    if ((unsigned)known.mode > KH_SEMANTIC_MERGE)
        return status_fail(error, KH_INVALID, "unknown semantic mode %d", (int)known.mode);
    struct semantic *semantic = mem_own_alloc(db->home.mem, sizeof *semantic);
    if (semantic == NULL) return status_no_memory(error, sizeof *semantic);
    memset(semantic, 0, sizeof *semantic);
    semantic->mem = db->home.mem;
    semantic->mode = known.mode == KH_SEMANTIC_DEFAULT ? KH_SEMANTIC_KEYS : known.mode;
    semantic_list_init(&semantic->list, db->home.mem,
                       known.recent_max == 0 ? COUNT_DEFAULT : known.recent_max,
                       known.recent_bytes == 0 ? bytes_default : known.recent_bytes);
    db->semantic = semantic;
    return KH_OK;
}

void semantic_close(struct kh_db *db) {
    struct semantic *semantic = db->semantic;
    if (semantic == NULL) return;
    semantic_list_fini(&semantic->list);
    mem_own_free(semantic->mem, semantic, sizeof *semantic);
    db->semantic = NULL;
}

/* ---- what a transaction carries -------------------------------------------------------------- */

kh_status semantic_attach(kh_txn *txn, kh_semantic_mode mode, const kh_delta_thresholds *thresholds,
                          kh_error *error) {
    struct semantic_claim *claim = arena_alloc_zeroed(&txn->arena, sizeof *claim);
    if (claim == NULL) return status_no_memory(error, sizeof *claim);
    claim->mode = mode;
    claim->thresholds = *thresholds;
    txn->semantic = claim;
    txn->is_special = true;
    txn->has_own_options = true; /* handle_release looks closer: it is detached */
    return KH_OK;
}

void semantic_set_delta(kh_txn *txn, kh_delta *delta) {
    struct semantic_claim *claim = txn->semantic;
    kh_delta_release(claim->delta);
    claim->delta = delta == NULL ? NULL : kh_delta_retain(delta);
}

void semantic_detach(kh_txn *txn) {
    struct semantic_claim *claim = txn->semantic;
    if (claim == NULL) return;
    kh_delta_release(claim->delta);
    kh_delta_release(claim->rival.delta);
    txn->semantic = NULL;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static bool may_merge(kh_delta_class kind) {
    return kind == KH_DELTA_ORTHOGONAL || kind == KH_DELTA_AMBIGUOUS || kind == KH_DELTA_IDENTICAL;
}

static bool is_guarded(const struct semantic_claim *claim) {
    return claim->mode >= KH_SEMANTIC_GUARD && claim->delta != NULL;
}

static void refuse(struct semantic_claim *claim, const struct recent_delta *rival,
                   kh_delta_class kind, float similarity) {
    claim->is_refused = true;
    claim->rival = *rival;
    claim->rival.delta = rival->delta == NULL ? NULL : kh_delta_retain(rival->delta);
    claim->kind = kind;
    claim->similarity = similarity;
}

/* True: refused. */
static bool compare(struct semantic_claim *claim, const struct recent_delta *recent) {
    float similarity = 0;
    kh_delta_class kind =
        kh_delta_classify(claim->delta, recent->delta, &claim->thresholds, &similarity);
    if (!semantic_is_against(kind)) return false;
    refuse(claim, recent, kind, similarity);
    return true;
}

/* What a snapshot does not see may have been forgotten. */
static bool check_floor(const struct semantic *semantic, kh_txn *txn) {
    uint64_t floor = semantic->list.floor;
    if (floor <= txn->snapshot) return true;
    const struct recent_delta forgotten = {.commit = floor};
    refuse(txn->semantic, &forgotten, KH_DELTA_NONE, NAN);
    return false;
}

/* ---- before the section ---------------------------------------------------------------------- */

/* What is not visible and was not compared begins there. A log that refuses takes commits out at
 * the end (semantic_forget): what was compared may reach beyond. */
static uint64_t begin_of(const struct semantic *semantic, const kh_txn *txn) {
    uint64_t from = semantic_list_above(&semantic->list, txn->snapshot);
    if (txn->semantic->searched > from) from = txn->semantic->searched;
    return from < semantic->list.end ? from : semantic->list.end;
}

/* A snapshot that moved since (a key lock was waited for) may see what was refused. */
static void look_again(const kh_txn *txn) {
    struct semantic_claim *claim = txn->semantic;
    if (!claim->is_refused || claim->rival.commit > txn->snapshot) return;
    kh_delta_release(claim->rival.delta);
    claim->rival = (struct recent_delta){0, {0, 0}, NULL};
    claim->is_refused = false;
    claim->searched = 0;
}

static bool refuse_first(void *context, const struct recent_delta *rival, kh_delta_class kind,
                         float similarity) {
    refuse(context, rival, kind, similarity);
    return false;
}

/* What was there when it began; what comes meanwhile is left for the section. */
static void search_unseen(kh_txn *txn) {
    struct semantic *semantic = txn->db->semantic;
    struct semantic_claim *claim = txn->semantic;
    struct semantic_probe probe;
    struct semantic_run run;
    uint64_t end = UINT64_MAX;
    semantic_probe_init(&probe, claim->delta, &claim->thresholds);
    do {
        lock_take(&semantic->list.lock);
        if (semantic->list.end < end) end = semantic->list.end;
        semantic_list_pin(&semantic->list, begin_of(semantic, txn), &run);
        claim->searched = run.to;
        lock_leave(&semantic->list.lock);
        atomic_fetch_add_explicit(&semantic->compared, run.to - run.from, memory_order_relaxed);
        (void)semantic_scan(&probe, &run, refuse_first, claim);
        semantic_run_unpin(&run);
    } while (!claim->is_refused && claim->searched < end);
    semantic_probe_fini(&probe);
}

void semantic_search(kh_txn *txn) {
    struct semantic *semantic = txn->db->semantic;
    struct semantic_claim *claim = txn->semantic;
    look_again(txn);
    if (claim->delta == NULL || claim->is_refused) return;
    lock_take(&semantic->list.lock);
    semantic_list_reserve(&semantic->list);
    lock_leave(&semantic->list.lock);
    if (claim->mode != KH_SEMANTIC_KEYS) search_unseen(txn);
}

/* ---- in the section -------------------------------------------------------------------------- */

static void compare_rest(kh_txn *txn) {
    struct semantic *semantic = txn->db->semantic;
    struct semantic_claim *claim = txn->semantic;
    uint64_t from = begin_of(semantic, txn);
    const struct semantic_list *list = &semantic->list;
    while (from < list->end && !compare(claim, semantic_list_at(list, from))) from++;
    claim->searched = list->end;
}

/* The delta of one commit: NULL, it had none. Under the lock. */
static const struct recent_delta *find_commit(const struct semantic_list *list, uint64_t commit) {
    uint64_t number = semantic_list_above(list, commit - 1);
    if (number == list->end) return NULL;
    const struct recent_delta *found = semantic_list_at(list, number);
    return found->commit == commit ? found : NULL;
}

static bool permits(kh_txn *txn, uint64_t commit) {
    struct semantic_claim *claim = txn->semantic;
    const struct recent_delta *recent = find_commit(&txn->db->semantic->list, commit);
    if (recent == NULL || claim->delta == NULL) return false;
    return may_merge(
        kh_delta_classify(claim->delta, recent->delta, &claim->thresholds, &claim->similarity));
}

/* Every commit of the key that is a rival: what it has read last, or its snapshot, does not see. */
static bool may_be_merged(kh_txn *txn, const struct write *write, uint64_t *rival) {
    const struct recent_writes *recent = &txn->db->recent;
    *rival = write->rival;
    if (recent_since(recent) > write->rival_above) return false;
    size_t oldest = recent->end > recent->mask + 1 ? recent->end - recent->mask - 1 : 0;
    for (size_t i = recent->end; i > oldest; i--) {
        const struct recent_write *each = &recent->ring[(i - 1) & recent->mask];
        if (each->commit <= write->rival_above) break;
        if (each->entry != write->entry) continue;
        *rival = each->commit;
        if (!permits(txn, each->commit)) return false;
    }
    return true;
}

static const struct write *find_forbidden(kh_txn *txn, uint64_t *rival) {
    for (uint32_t i = 0; i < txn->writes.count; i++) {
        const struct write *write = &txn->writes.writes[i];
        if (write->kind == WRITE_NONE || write->policy != POLICY_SEMANTIC ||
            write->fate != FATE_RESOLVED)
            continue;
        if (!may_be_merged(txn, write, rival)) return write;
        atomic_fetch_add_explicit(&txn->db->semantic->merged, 1, memory_order_relaxed);
    }
    return NULL;
}

kh_status semantic_judge(kh_txn *txn, const struct write **write, uint64_t *rival) {
    struct semantic *semantic = txn->db->semantic;
    struct semantic_claim *claim = txn->semantic;
    *write = NULL;
    look_again(txn);
    if (!is_guarded(claim) && !txn->verdict.has_resolved) return KH_OK;
    lock_take(&semantic->list.lock);
    *write = txn->verdict.has_resolved ? find_forbidden(txn, rival) : NULL;
    if (*write == NULL && is_guarded(claim) && !claim->is_refused && check_floor(semantic, txn))
        compare_rest(txn);
    lock_leave(&semantic->list.lock);
    if (*write != NULL) return KH_CONFLICT;
    if (!claim->is_refused) return KH_OK;
    *rival = claim->rival.commit;
    return KH_SEMANTIC_CONFLICT;
}

bool semantic_is_held(const kh_txn *txn, const kh_txn *holder) {
    const struct semantic_claim *mine = txn->semantic;
    const struct semantic_claim *theirs = holder->semantic;
    if (mine == NULL || theirs == NULL || mine->delta == NULL || theirs->delta == NULL)
        return false;
    float similarity;
    if (is_guarded(mine) && semantic_is_against(kh_delta_classify(mine->delta, theirs->delta,
                                                                  &mine->thresholds, &similarity)))
        return true;
    return is_guarded(theirs) && semantic_is_against(kh_delta_classify(
                                     mine->delta, theirs->delta, &theirs->thresholds, &similarity));
}

void semantic_note(kh_txn *txn) {
    struct semantic *semantic = txn->db->semantic;
    const struct semantic_claim *claim = txn->semantic;
    if (claim->delta == NULL) return;
    const struct recent_delta recent = {txn->committed, txn->id, claim->delta};
    lock_take(&semantic->list.lock);
    semantic_list_add(&semantic->list, &recent);
    lock_leave(&semantic->list.lock);
}

void semantic_forget(struct kh_db *db, uint64_t commit) {
    struct semantic *semantic = db->semantic;
    lock_take(&semantic->list.lock);
    semantic_list_take_back(&semantic->list, commit);
    lock_leave(&semantic->list.lock);
}

void semantic_count(struct kh_db *db, kh_stats *out) {
    struct semantic *semantic = db->semantic;
    out->semantic_merges = atomic_load_explicit(&semantic->merged, memory_order_relaxed);
    out->semantic_compared = atomic_load_explicit(&semantic->compared, memory_order_relaxed);
    lock_take(&semantic->list.lock);
    out->semantic_remembered = semantic->list.end - semantic->list.first;
    out->semantic_bytes = semantic->list.bytes;
    lock_leave(&semantic->list.lock);
}

/* ---- for who looks for candidates ------------------------------------------------------------ */

struct visit {
    semantic_visit_fn *visit;
    void *context;
};

static bool visit_found(void *context, const struct recent_delta *recent, kh_delta_class kind,
                        float similarity) {
    const struct visit *visit = context;
    (void)kind;
    (void)similarity;
    return visit->visit(visit->context, recent);
}

static bool visit_all(const struct semantic_run *run, const struct visit *visit) {
    for (uint64_t number = run->from; number < run->to; number++)
        if (!visit->visit(visit->context, semantic_run_at(run, number))) return false;
    return true;
}

void semantic_recent(struct kh_db *db, uint64_t after, struct semantic_probe *probe,
                     semantic_visit_fn *visit, void *context) {
    struct semantic_list *list = &db->semantic->list;
    struct visit each = {visit, context};
    struct semantic_run run = {.to = 0};
    uint64_t end = UINT64_MAX;
    bool goes_on;
    do {
        lock_take(&list->lock);
        if (list->end < end) end = list->end;
        uint64_t from = semantic_list_above(list, after);
        semantic_list_pin(list, from > run.to ? from : run.to, &run);
        lock_leave(&list->lock);
        goes_on =
            probe == NULL ? visit_all(&run, &each) : semantic_scan(probe, &run, visit_found, &each);
        semantic_run_unpin(&run);
    } while (goes_on && run.to < end);
}
