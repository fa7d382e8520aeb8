/* semantic_merge.c - may writes be merged that the data merges? By what the deltas of both sides
 * are to each other.
 *
 * Who commits is asked of each rival: of every commit of the key that he has not seen. All of them
 * stand in the ring of recent writes, as far back as it reaches; what they mean stands in the list
 * of recent deltas, as long as it remembers. What nobody knows is not merged. In the section; under
 * the list's lock but for semantic_may_merge. */
#include "db/semantic.h"

static bool may_merge(kh_delta_class kind) {
    return kind == KH_DELTA_ORTHOGONAL || kind == KH_DELTA_AMBIGUOUS || kind == KH_DELTA_IDENTICAL;
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
static bool permits(const struct semantic_list *list, struct semantic_claim *claim, kh_bytes key,
                    uint64_t commit) {
    bool is_told = false;
    /* Of several that came together some may be forgotten. */
    if (commit <= list->floor) return false;
    for (uint64_t i = semantic_list_above(list, commit - 1); i < list->end; i++) {
        const struct recent_delta *recent = semantic_list_at(list, i);
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
        if (!permits(&txn->db->semantic->list, claim, key, commit)) return false;
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
        return permits(&merging->txn->db->semantic->list, merging->claim, merging->key, commit);
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
    lock_take(&txn->db->semantic->list.lock);
    bool may =
        visit_commits(&txn->db->recent, entry, above, txn->snapshot, may_merge_with, &merging);
    lock_leave(&txn->db->semantic->list.lock);
    return may;
}

const struct write *semantic_find_forbidden(kh_txn *txn, uint64_t *rival) {
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
