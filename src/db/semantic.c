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
    for (struct semantic_claim *claim = txn->semantic; claim != NULL; claim = claim->next) {
        kh_delta_release(claim->delta);
        kh_delta_release(claim->rival.delta);
    }
    txn->semantic = NULL;
}

kh_status semantic_add_member(kh_txn *group, const kh_txn *member, kh_error *error) {
    struct semantic_claim *claim = arena_alloc_zeroed(&group->arena, sizeof *claim);
    if (claim == NULL) return status_no_memory(error, sizeof *claim);
    claim->mode = KH_SEMANTIC_KEYS;
    claim->member = member->id;
    claim->snapshot = member->snapshot;
    claim->has_writes = member->writes.live_count > 0;
    const struct semantic_claim *own = member->semantic;
    if (own != NULL && claim->has_writes) {
        claim->delta = own->delta == NULL ? NULL : kh_delta_retain(own->delta);
        claim->mode = own->mode;
        claim->thresholds = own->thresholds;
    }
    struct semantic_claim **link = &group->semantic;
    while (*link != NULL) link = &(*link)->next;
    *link = claim;
    group->is_special = true;
    group->has_own_options = true;
    return KH_OK;
}

/* What it has read at: a lock may move the snapshot of one that is alone. */
static uint64_t snapshot_of(const kh_txn *txn, const struct semantic_claim *claim) {
    return claim->member.low != 0 ? claim->snapshot : txn->snapshot;
}

void semantic_tell(struct semantic_claim *to, const struct semantic_claim *from) {
    kh_delta_release(to->rival.delta);
    to->rival = from->rival;
    if (to->rival.delta != NULL) kh_delta_retain(to->rival.delta);
    to->kind = from->kind;
    to->similarity = from->similarity;
    to->is_refused = from->is_refused;
}

/* ---- comparing ------------------------------------------------------------------------------- */

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
static bool check_floor(const struct semantic *semantic, const kh_txn *txn,
                        struct semantic_claim *claim) {
    uint64_t floor = semantic->list.floor;
    if (floor <= snapshot_of(txn, claim)) return true;
    const struct recent_delta forgotten = {.commit = floor};
    refuse(claim, &forgotten, KH_DELTA_NONE, NAN);
    return false;
}

/* ---- before the section ---------------------------------------------------------------------- */

/* What is not visible and was not compared begins there. A log that refuses takes commits out at
 * the end (semantic_forget): what was compared may reach beyond. */
static uint64_t begin_of(const struct semantic *semantic, const kh_txn *txn,
                         const struct semantic_claim *claim) {
    uint64_t from = semantic_list_above(&semantic->list, snapshot_of(txn, claim));
    if (claim->searched > from) from = claim->searched;
    return from < semantic->list.end ? from : semantic->list.end;
}

/* A snapshot that moved since (a key lock was waited for) may see what was refused. */
static void look_again(const kh_txn *txn, struct semantic_claim *claim) {
    if (!claim->is_refused || claim->rival.commit > snapshot_of(txn, claim)) return;
    kh_delta_release(claim->rival.delta);
    claim->rival = (struct recent_delta){.commit = 0};
    claim->is_refused = false;
    claim->searched = 0;
}

static bool refuse_first(void *context, const struct recent_delta *rival, kh_delta_class kind,
                         float similarity) {
    refuse(context, rival, kind, similarity);
    return false;
}

/* What was there when it began; what comes meanwhile is left for the section. */
static void search_unseen(kh_txn *txn, struct semantic_claim *claim) {
    struct semantic *semantic = txn->db->semantic;
    struct semantic_probe probe;
    struct semantic_run run;
    uint64_t end = UINT64_MAX;
    semantic_probe_init(&probe, claim->delta, &claim->thresholds);
    do {
        lock_take(&semantic->list.lock);
        if (semantic->list.end < end) end = semantic->list.end;
        semantic_list_pin(&semantic->list, begin_of(semantic, txn, claim), &run);
        claim->searched = run.to;
        lock_leave(&semantic->list.lock);
        atomic_fetch_add_explicit(&semantic->compared, run.to - run.from, memory_order_relaxed);
        (void)semantic_scan(&probe, &run, refuse_first, claim);
        semantic_run_unpin(&run);
    } while (!claim->is_refused && claim->searched < end);
    semantic_probe_fini(&probe);
}

static void search(kh_txn *txn, struct semantic_claim *claim) {
    struct semantic *semantic = txn->db->semantic;
    look_again(txn, claim);
    if (claim->delta == NULL || claim->is_refused) return;
    lock_take(&semantic->list.lock);
    semantic_list_reserve(&semantic->list);
    lock_leave(&semantic->list.lock);
    if (claim->mode != KH_SEMANTIC_KEYS) search_unseen(txn, claim);
}

void semantic_search(kh_txn *txn) {
    for (struct semantic_claim *claim = txn->semantic; claim != NULL; claim = claim->next)
        search(txn, claim);
}

/* ---- in the section -------------------------------------------------------------------------- */

static void compare_rest(kh_txn *txn, struct semantic_claim *claim) {
    struct semantic *semantic = txn->db->semantic;
    uint64_t from = begin_of(semantic, txn, claim);
    const struct semantic_list *list = &semantic->list;
    while (from < list->end && !compare(claim, semantic_list_at(list, from))) from++;
    claim->searched = list->end;
}

/* Who is against whom among those that come together: whoever of the two asks for it. */
bool semantic_agree(struct semantic_claim *later, const struct semantic_claim *earlier) {
    const struct recent_delta rival = {.id = earlier->member, .delta = earlier->delta};
    float similarity;
    if (later->delta == NULL || earlier->delta == NULL) return true;
    const struct semantic_claim *judges[] = {later, earlier};
    for (int i = 0; i < 2; i++) {
        if (!is_guarded(judges[i])) continue;
        kh_delta_class kind =
            kh_delta_classify(later->delta, earlier->delta, &judges[i]->thresholds, &similarity);
        if (!semantic_is_against(kind)) continue;
        refuse(later, &rival, kind, similarity);
        return false;
    }
    return true;
}

/* NULL: nothing is against it. Under the lock. */
static struct semantic_claim *find_refused(kh_txn *txn) {
    struct semantic *semantic = txn->db->semantic;
    for (struct semantic_claim *claim = txn->semantic; claim != NULL; claim = claim->next) {
        if (is_guarded(claim) && !claim->is_refused && check_floor(semantic, txn, claim))
            compare_rest(txn, claim);
        if (claim->is_refused) return claim;
    }
    return NULL;
}

static bool is_any_guarded(const kh_txn *txn) {
    bool is_any = false;
    for (struct semantic_claim *claim = txn->semantic; claim != NULL; claim = claim->next) {
        look_again(txn, claim);
        is_any |= is_guarded(claim);
    }
    return is_any;
}

kh_status semantic_judge(kh_txn *txn, const struct write **write, uint64_t *rival) {
    struct semantic *semantic = txn->db->semantic;
    *write = NULL;
    if (!is_any_guarded(txn) && !txn->verdict.has_resolved) return KH_OK;
    lock_take(&semantic->list.lock);
    *write = txn->verdict.has_resolved ? semantic_find_forbidden(txn, rival) : NULL;
    const struct semantic_claim *refused = *write == NULL ? find_refused(txn) : NULL;
    lock_leave(&semantic->list.lock);
    if (*write != NULL) return KH_CONFLICT;
    if (refused == NULL) return KH_OK;
    *rival = refused->rival.commit;
    return KH_SEMANTIC_CONFLICT;
}

static bool is_held_by(const struct semantic_claim *mine, const struct semantic_claim *theirs) {
    float similarity;
    if (mine->delta == NULL || theirs->delta == NULL) return false;
    if (is_guarded(mine) && semantic_is_against(kh_delta_classify(mine->delta, theirs->delta,
                                                                  &mine->thresholds, &similarity)))
        return true;
    return is_guarded(theirs) && semantic_is_against(kh_delta_classify(
                                     mine->delta, theirs->delta, &theirs->thresholds, &similarity));
}

/* A holder is alone: those who come together do not prepare. */
bool semantic_is_held(const kh_txn *txn, const kh_txn *holder) {
    if (holder->semantic == NULL) return false;
    for (struct semantic_claim *claim = txn->semantic; claim != NULL; claim = claim->next) {
        claim->is_held = is_held_by(claim, holder->semantic);
        if (claim->is_held) return true;
    }
    return false;
}

/* ---- into the list, and out of it ------------------------------------------------------------ */

static uint8_t company_of(const kh_txn *txn) {
    if (!semantic_is_group(txn)) return COMPANY_NONE;
    for (const struct semantic_claim *claim = txn->semantic; claim != NULL; claim = claim->next)
        if (claim->has_writes && claim->delta == NULL) return COMPANY_UNTOLD;
    return COMPANY_TOLD;
}

void semantic_note(kh_txn *txn) {
    struct semantic *semantic = txn->db->semantic;
    uint8_t company = company_of(txn);
    lock_take(&semantic->list.lock);
    for (const struct semantic_claim *claim = txn->semantic; claim != NULL; claim = claim->next) {
        kh_txn_id id = claim->member.low != 0 ? claim->member : txn->id;
        const struct recent_delta recent = {txn->committed, id, claim->delta, company};
        if (claim->delta != NULL) semantic_list_add(&semantic->list, &recent);
    }
    lock_leave(&semantic->list.lock);
}

void semantic_note_members(struct kh_db *db, const kh_txn *txn, uint64_t result) {
    if (!semantic_is_group(txn)) return;
    for (const struct semantic_claim *claim = txn->semantic; claim != NULL; claim = claim->next)
        section_note_outcome(db, claim->member, result);
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
