/* semantic.c - the list of recent deltas, and what it says of a commit: see semantic.h. */
#include "db/semantic.h"

#include "base/status.h"
#include "db/section.h"
#include <math.h>
#include <string.h>

enum { COUNT_DEFAULT = 65536, FIRST_CAPACITY = 64 };
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
    semantic->count_max = known.recent_max == 0 ? COUNT_DEFAULT : known.recent_max;
    semantic->bytes_max = known.recent_bytes == 0 ? bytes_default : known.recent_bytes;
    lock_init(&semantic->lock, RANK_SEMANTIC);
    db->semantic = semantic;
    return KH_OK;
}

static struct recent_delta *at(struct semantic *semantic, uint64_t number) {
    return &semantic->ring[number & (semantic->capacity - 1)];
}

static void drop_first(struct semantic *semantic) {
    struct recent_delta *oldest = at(semantic, semantic->first++);
    semantic->floor = oldest->commit;
    semantic->bytes -= kh_delta_size_bytes(oldest->delta);
    kh_delta_release(oldest->delta);
}

void semantic_close(struct kh_db *db) {
    struct semantic *semantic = db->semantic;
    if (semantic == NULL) return;
    while (semantic->first < semantic->end) drop_first(semantic);
    if (semantic->ring != NULL)
        mem_own_free(semantic->mem, semantic->ring, semantic->capacity * sizeof *semantic->ring);
    lock_fini(&semantic->lock);
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

static bool is_against(kh_delta_class kind) {
    return kind == KH_DELTA_CONFLICTING || kind == KH_DELTA_OPPOSITE;
}

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
    if (!is_against(kind)) return false;
    refuse(claim, recent, kind, similarity);
    return true;
}

/* The first number of a commit above a timestamp. Under the lock. */
static uint64_t find_above(struct semantic *semantic, uint64_t timestamp) {
    uint64_t low = semantic->first;
    uint64_t high = semantic->end;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (at(semantic, middle)->commit > timestamp)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* What a snapshot does not see may have been forgotten. */
static bool check_floor(const struct semantic *semantic, const kh_txn *txn,
                        struct semantic_claim *claim) {
    if (semantic->floor <= snapshot_of(txn, claim)) return true;
    const struct recent_delta forgotten = {.commit = semantic->floor};
    refuse(claim, &forgotten, KH_DELTA_NONE, NAN);
    return false;
}

/* ---- before the section ---------------------------------------------------------------------- */

/* Room for so many more (when they come together, for all of them). Under the lock. Without room
 * the list forgets early: that is allowed, so failing is, too. */
static void grow(struct semantic *semantic, size_t more) {
    size_t capacity = semantic->capacity == 0 ? FIRST_CAPACITY : semantic->capacity * 2;
    size_t wanted = (size_t)(semantic->end - semantic->first) + more;
    if (wanted <= semantic->capacity) return;
    if (semantic->capacity >= semantic->count_max) return;
    while (capacity < wanted && capacity < semantic->count_max) capacity *= 2;
    struct recent_delta *ring = mem_own_alloc(semantic->mem, capacity * sizeof *ring);
    if (ring == NULL) return;
    for (uint64_t i = semantic->first; i < semantic->end; i++)
        ring[i & (capacity - 1)] = *at(semantic, i);
    if (semantic->ring != NULL)
        mem_own_free(semantic->mem, semantic->ring, semantic->capacity * sizeof *ring);
    semantic->ring = ring;
    semantic->capacity = capacity;
}

static size_t count_claims(const kh_txn *txn) {
    size_t count = 0;
    for (const struct semantic_claim *claim = txn->semantic; claim != NULL; claim = claim->next)
        count += claim->delta != NULL;
    return count;
}

struct copied {
    struct recent_delta *items; /* with references */
    size_t count;
    size_t capacity;
};

/* References of what is committed above a timestamp, from a number on. Under the lock but for the
 * memory: *is_short asks for more. */
static void copy_above(struct semantic *semantic, uint64_t from, struct copied *copied,
                       bool *is_short) {
    *is_short = semantic->end - from > copied->capacity;
    if (*is_short) {
        copied->count = (size_t)(semantic->end - from);
        return;
    }
    copied->count = 0;
    for (uint64_t i = from; i < semantic->end; i++) {
        copied->items[copied->count] = *at(semantic, i);
        kh_delta_retain(copied->items[copied->count++].delta);
    }
}

static void free_copied(struct semantic *semantic, struct copied *copied, bool has_references) {
    for (size_t i = 0; i < copied->count && has_references; i++)
        kh_delta_release(copied->items[i].delta);
    if (copied->items != NULL)
        mem_own_free(semantic->mem, copied->items, copied->capacity * sizeof *copied->items);
    *copied = (struct copied){NULL, 0, 0};
}

static bool make_room(struct semantic *semantic, struct copied *copied) {
    size_t wanted = copied->count + copied->count / 4 + 16;
    free_copied(semantic, copied, false);
    copied->items = mem_own_alloc(semantic->mem, wanted * sizeof *copied->items);
    copied->capacity = copied->items == NULL ? 0 : wanted;
    return copied->items != NULL;
}

/* What is not visible and was not compared begins there. A log that refuses takes commits out at
 * the end (semantic_forget): what was compared may reach beyond. */
static uint64_t begin_of(struct semantic *semantic, const kh_txn *txn,
                         const struct semantic_claim *claim) {
    uint64_t from = find_above(semantic, snapshot_of(txn, claim));
    if (claim->searched > from) from = claim->searched;
    return from < semantic->end ? from : semantic->end;
}

/* A snapshot that moved since (a key lock was waited for) may see what was refused. */
static void look_again(const kh_txn *txn, struct semantic_claim *claim) {
    if (!claim->is_refused || claim->rival.commit > snapshot_of(txn, claim)) return;
    kh_delta_release(claim->rival.delta);
    claim->rival = (struct recent_delta){.commit = 0};
    claim->is_refused = false;
    claim->searched = 0;
}

/* Copy what the transaction has not compared yet; what is compared then is out of the lock. */
static kh_status copy_unseen(kh_txn *txn, struct semantic_claim *claim, struct copied *copied,
                             kh_error *error) {
    struct semantic *semantic = txn->db->semantic;
    bool is_short = false;
    do {
        if (is_short && !make_room(semantic, copied))
            return status_no_memory(error, copied->count * sizeof *copied->items);
        lock_take(&semantic->lock);
        grow(semantic, count_claims(txn));
        uint64_t from = begin_of(semantic, txn, claim);
        copy_above(semantic, from, copied, &is_short);
        if (!is_short) claim->searched = semantic->end;
        lock_leave(&semantic->lock);
    } while (is_short);
    return KH_OK;
}

static kh_status search(kh_txn *txn, struct semantic_claim *claim, kh_error *error) {
    struct semantic *semantic = txn->db->semantic;
    struct copied copied = {NULL, 0, 0};
    look_again(txn, claim);
    if (claim->delta == NULL || claim->is_refused) return KH_OK;
    if (claim->mode == KH_SEMANTIC_KEYS) {
        lock_take(&semantic->lock);
        grow(semantic, count_claims(txn));
        lock_leave(&semantic->lock);
        return KH_OK;
    }
    kh_status status = copy_unseen(txn, claim, &copied, error);
    if (status == KH_OK) {
        atomic_fetch_add_explicit(&semantic->compared, copied.count, memory_order_relaxed);
        for (size_t i = 0; i < copied.count && !compare(claim, &copied.items[i]); i++) continue;
    }
    free_copied(semantic, &copied, status == KH_OK);
    return status;
}

kh_status semantic_search(kh_txn *txn, kh_error *error) {
    kh_status status = KH_OK;
    for (struct semantic_claim *claim = txn->semantic; claim != NULL && status == KH_OK;
         claim = claim->next)
        status = search(txn, claim, error);
    return status;
}

/* ---- in the section -------------------------------------------------------------------------- */

static void compare_rest(kh_txn *txn, struct semantic_claim *claim) {
    struct semantic *semantic = txn->db->semantic;
    uint64_t from = begin_of(semantic, txn, claim);
    while (from < semantic->end && !compare(claim, at(semantic, from))) from++;
    claim->searched = semantic->end;
}

static bool has_key(const kh_delta *delta, kh_bytes key) {
    size_t low = 0;
    size_t high = kh_delta_key_count(delta);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = key_compare(kh_delta_key(delta, middle), key);
        if (order == 0) return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Says what it means, and writes the key (who is alone writes it: nobody else could). */
static bool is_of_key(const struct semantic_claim *claim, kh_bytes key) {
    return claim->delta != NULL && (claim->member.low == 0 || has_key(claim->delta, key));
}

bool semantic_may_merge(const struct semantic_claim *later, const struct semantic_claim *earlier) {
    float similarity;
    if (later->delta == NULL || earlier->delta == NULL) return false;
    return may_merge(
        kh_delta_classify(later->delta, earlier->delta, &later->thresholds, &similarity));
}

/* All that the commit says of the key may be merged with, and it says something. Under the lock. */
static bool permits(struct semantic *semantic, struct semantic_claim *claim, kh_bytes key,
                    uint64_t commit) {
    bool is_told = false;
    for (uint64_t i = find_above(semantic, commit - 1); i < semantic->end; i++) {
        const struct recent_delta *recent = at(semantic, i);
        if (recent->commit != commit) break;
        if (recent->company == COMPANY_UNTOLD) return false;
        if (recent->company == COMPANY_TOLD && !has_key(recent->delta, key)) continue;
        is_told = may_merge(
            kh_delta_classify(claim->delta, recent->delta, &claim->thresholds, &claim->similarity));
        if (!is_told) return false;
    }
    return is_told;
}

/* Of every one who commits, and writes the key: at least of one. */
static bool permits_all(kh_txn *txn, kh_bytes key, uint64_t commit) {
    bool is_asked = false;
    for (struct semantic_claim *claim = txn->semantic; claim != NULL; claim = claim->next) {
        if (!is_of_key(claim, key)) continue;
        if (!permits(txn->db->semantic, claim, key, commit)) return false;
        is_asked = true;
    }
    return is_asked;
}

/* Every commit of an entry above one and up to another, newest first, until the visitor says no.
 * False: it said so, or nobody knows them all any more. In the section. */
typedef bool visit_commit(void *context, uint64_t commit);
static bool visit_commits(const struct recent_writes *recent, const struct entry *entry,
                          uint64_t above, uint64_t upto, visit_commit *visit, void *context) {
    if (recent_since(recent) > above) return false;
    size_t oldest = recent->end > recent->mask + 1 ? recent->end - recent->mask - 1 : 0;
    for (size_t i = recent->end; i > oldest; i--) {
        const struct recent_write *each = &recent->ring[(i - 1) & recent->mask];
        if (each->commit <= above) break;
        if (each->entry == entry && each->commit <= upto && !visit(context, each->commit))
            return false;
    }
    return true;
}

struct merging {
    kh_txn *txn;
    struct semantic_claim *claim; /* one of them; NULL: all */
    kh_bytes key;
    uint64_t *rival;
};

static bool may_merge_with(void *context, uint64_t commit) {
    const struct merging *merging = context;
    if (merging->rival != NULL) *merging->rival = commit;
    if (merging->claim != NULL)
        return permits(merging->txn->db->semantic, merging->claim, merging->key, commit);
    return permits_all(merging->txn, merging->key, commit);
}

/* Every commit of the key that is a rival: what it has read last, or its snapshot, does not see. */
static bool may_be_merged(kh_txn *txn, const struct write *write, uint64_t *rival) {
    struct merging merging = {txn, NULL, write->key, rival};
    *rival = write->rival;
    return visit_commits(&txn->db->recent, write->entry, write->rival_above, UINT64_MAX,
                         may_merge_with, &merging);
}

bool semantic_may_merge_since(kh_txn *txn, struct semantic_claim *claim, const struct entry *entry,
                              kh_bytes key, uint64_t above) {
    struct merging merging = {txn, claim, key, NULL};
    if (claim->delta == NULL) return false;
    lock_take(&txn->db->semantic->lock);
    bool may =
        visit_commits(&txn->db->recent, entry, above, txn->snapshot, may_merge_with, &merging);
    lock_leave(&txn->db->semantic->lock);
    return may;
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
        if (!is_against(kind)) continue;
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
    lock_take(&semantic->lock);
    *write = txn->verdict.has_resolved ? find_forbidden(txn, rival) : NULL;
    const struct semantic_claim *refused = *write == NULL ? find_refused(txn) : NULL;
    lock_leave(&semantic->lock);
    if (*write != NULL) return KH_CONFLICT;
    if (refused == NULL) return KH_OK;
    *rival = refused->rival.commit;
    return KH_SEMANTIC_CONFLICT;
}

static bool is_held_by(const struct semantic_claim *mine, const struct semantic_claim *theirs) {
    float similarity;
    if (mine->delta == NULL || theirs->delta == NULL) return false;
    if (is_guarded(mine) &&
        is_against(kh_delta_classify(mine->delta, theirs->delta, &mine->thresholds, &similarity)))
        return true;
    return is_guarded(theirs) && is_against(kh_delta_classify(mine->delta, theirs->delta,
                                                              &theirs->thresholds, &similarity));
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

/* Under the lock. */
static void add(struct semantic *semantic, const struct recent_delta *recent) {
    uint64_t size_bytes = kh_delta_size_bytes(recent->delta);
    if (semantic->ring == NULL) {
        semantic->floor = recent->commit;
        return;
    }
    size_t most =
        semantic->capacity < semantic->count_max ? semantic->capacity : semantic->count_max;
    while (semantic->end > semantic->first && (semantic->end - semantic->first >= most ||
                                               semantic->bytes + size_bytes > semantic->bytes_max))
        drop_first(semantic);
    *at(semantic, semantic->end) = *recent;
    kh_delta_retain(at(semantic, semantic->end++)->delta);
    semantic->bytes += size_bytes;
}

void semantic_note(kh_txn *txn) {
    struct semantic *semantic = txn->db->semantic;
    uint8_t company = company_of(txn);
    lock_take(&semantic->lock);
    for (const struct semantic_claim *claim = txn->semantic; claim != NULL; claim = claim->next) {
        kh_txn_id id = claim->member.low != 0 ? claim->member : txn->id;
        const struct recent_delta recent = {txn->committed, id, claim->delta, company};
        if (claim->delta != NULL) add(semantic, &recent);
    }
    lock_leave(&semantic->lock);
}

void semantic_note_members(struct kh_db *db, const kh_txn *txn, uint64_t result) {
    if (!semantic_is_group(txn)) return;
    for (const struct semantic_claim *claim = txn->semantic; claim != NULL; claim = claim->next)
        section_note_outcome(db, claim->member, result);
}

void semantic_forget(struct kh_db *db, uint64_t commit) {
    struct semantic *semantic = db->semantic;
    lock_take(&semantic->lock);
    while (semantic->end > semantic->first && at(semantic, semantic->end - 1)->commit >= commit) {
        struct recent_delta *newest = at(semantic, --semantic->end);
        semantic->bytes -= kh_delta_size_bytes(newest->delta);
        kh_delta_release(newest->delta);
    }
    lock_leave(&semantic->lock);
}

void semantic_count(struct kh_db *db, kh_stats *out) {
    struct semantic *semantic = db->semantic;
    out->semantic_merges = atomic_load_explicit(&semantic->merged, memory_order_relaxed);
    out->semantic_compared = atomic_load_explicit(&semantic->compared, memory_order_relaxed);
    lock_take(&semantic->lock);
    out->semantic_remembered = semantic->end - semantic->first;
    out->semantic_bytes = semantic->bytes;
    lock_leave(&semantic->lock);
}

/* ---- for who looks for candidates ------------------------------------------------------------ */

kh_status semantic_recent(struct kh_db *db, uint64_t after, semantic_visit_fn *visit, void *context,
                          kh_error *error) {
    struct semantic *semantic = db->semantic;
    struct copied copied = {NULL, 0, 0};
    bool is_short = false;
    do {
        if (is_short && !make_room(semantic, &copied))
            return status_no_memory(error, copied.count * sizeof *copied.items);
        lock_take(&semantic->lock);
        copy_above(semantic, find_above(semantic, after), &copied, &is_short);
        lock_leave(&semantic->lock);
    } while (is_short);
    for (size_t i = 0; i < copied.count && visit(context, &copied.items[i]); i++) continue;
    free_copied(semantic, &copied, true);
    return KH_OK;
}
