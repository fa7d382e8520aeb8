/* together_gather.c - the reads and writes of members become the group's: see together.h.
 *
 * Members come in the order of the commit, so that whatever the group has of a key is what earlier
 * ones have made of it. Values are computed from the group's snapshot, which holds still. */
#include "db/together.h"

#include "db/fetch.h"
#include "db/read.h"
#include "db/section.h"
#include "db/stage.h"
#include <string.h>

kh_status together_blame(struct together *together, const struct together_member *member,
                         kh_status status, kh_bytes key, uint64_t rival, kh_txn_id holder) {
    kh_txn *group = together->txn;
    kh_merge_conflict merge = group->conflict.merge;
    key.data = arena_copy(&group->arena, key.data, key.size_bytes);
    if (key.data == NULL) key.size_bytes = 0;
    if (key.size_bytes > 0) hot_keys_note(&together->db->hot_keys, key);
    together->culprit = member->index;
    group->has_conflict = true;
    group->conflict = (kh_conflict){.size = sizeof(kh_conflict),
                                    .status = status,
                                    .key = key,
                                    .snapshot = member->txn->snapshot,
                                    .rival = rival,
                                    .holder = holder,
                                    .merge = merge};
    return status;
}

/* ---- reads ----------------------------------------------------------------------------------- */

/* Has anything changed that the member has read since its snapshot? What comes after S is looked
 * at, too: then it is refused a moment early. */
static kh_status check_reads(struct together *together, const struct together_member *member) {
    struct kh_db *db = together->db;
    struct certify_request request = member->txn->request;
    struct certify_verdict verdict;
    kh_status status = KH_OK;
    if (member->txn->snapshot == together->txn->snapshot) return KH_OK;
    epoch_open(&db->store.epoch, &together->txn->epoch);
    latch_take(&db->section);
    request.is_serializable = request.is_current_only = true;
    request.snapshot = member->txn->snapshot;
    request.commit = section_next_timestamp(db);
    request.floor = db->ranges.floor;
    request.writes = NULL;
    request.write_count = 0;
    certify(&request, &verdict);
    if (verdict.answer == CERTIFY_CYCLE)
        status = together_blame(together, member, KH_NOT_SERIALIZABLE, verdict.key, verdict.rival,
                                (kh_txn_id){0, 0});
    latch_leave(&db->section);
    epoch_close(&db->store.epoch, &together->txn->epoch);
    return status;
}

/* The spans stay in the member's arena, which lives longer than the group. */
static kh_status take_reads(struct together *together, const struct together_member *member,
                            kh_error *error) {
    const struct readset *reads = &member->txn->reads;
    kh_txn *group = together->txn;
    if (!member->txn->is_certified) return KH_OK;
    kh_status status = check_reads(together, member);
    for (uint32_t i = 0; i < reads->item_count && status == KH_OK; i++)
        status = readset_add(&group->reads, &group->arena, reads->items[i].entry, group->snapshot,
                             error);
    for (uint32_t i = 0; i < reads->range_count && status == KH_OK; i++) {
        struct read_range range = reads->ranges[i];
        uint32_t index;
        range.timestamp = group->snapshot;
        status = readset_add_range(&group->reads, &group->arena, &range, &index, error);
    }
    return status;
}

/* ---- a write, as the group sees it ----------------------------------------------------------- */

struct offer {
    struct together *together;
    const struct together_member *member;
    struct write write; /* a copy: key, hash, kind, ops; mine is a reference of the offer's */
    uint64_t bound;     /* a version above this is a rival; UINT64_MAX: none is */
    uint64_t seen;      /* commit of the version at S, 0: none */
    bool is_read;
    bool is_late;   /* a rival is at or below S */
    bool is_second; /* of its key: an earlier member has written it */
};

static bool does_merge(const struct write *write) {
    return write->kind == WRITE_PUT &&
           (write->policy == KH_MERGE || write->policy == POLICY_SEMANTIC);
}

/* What is done with rivals above S. */
static uint8_t policy_of(const struct offer *offer) {
    const struct write *write = &offer->write;
    bool is_blind = offer->member->txn->isolation == KH_READ_COMMITTED && !offer->is_read;
    if (is_blind && write->kind != WRITE_ROWS) return KH_REPLACE;
    if (write->policy == POLICY_SEMANTIC && offer->member->claim->delta == NULL) return KH_FAIL;
    if (write->policy == KH_REPLACE || does_merge(write)) return write->policy;
    return KH_FAIL;
}

static void make_offer(struct together *together, const struct together_member *member,
                       const struct write *write, struct offer *out) {
    struct kh_db *db = together->db;
    *out = (struct offer){.together = together, .member = member, .write = *write};
    out->write.mine = write->mine == NULL ? NULL : batch_retain(write->mine);
    epoch_open(&db->store.epoch, &together->txn->epoch);
    const struct entry *entry = index_find(db->store.index, write->key, write->hash);
    const struct version *seen =
        entry == NULL ? NULL : entry_visible(entry, together->txn->snapshot);
    out->seen = seen == NULL ? 0 : seen->commit;
    out->bound = stage_rival_bound(member->txn, write, entry);
    out->is_read = readset_timestamp(&member->txn->reads, entry, write->key) != 0;
    epoch_close(&db->store.epoch, &together->txn->epoch);
    out->write.policy = policy_of(out);
}

static void set_mine(struct offer *offer, kh_batch *value) {
    batch_release(offer->write.mine, offer->together->txn->cache);
    offer->write.mine = value;
}

/* The value of the key that a transaction's snapshot sees: a reference, NULL: none. */
static kh_status value_at(kh_txn *txn, const struct write *write, kh_batch **out, kh_error *error) {
    struct kh_db *db = txn->db;
    uint64_t cold_commit = 0;
    *out = NULL;
    epoch_open(&db->store.epoch, &txn->epoch);
    const struct entry *entry = index_find(db->store.index, write->key, write->hash);
    const struct version *version = entry == NULL ? NULL : entry_visible(entry, txn->snapshot);
    if (version != NULL && version_is_cold(version)) cold_commit = version->commit;
    if (version != NULL && cold_commit == 0 && version_batch(version) != NULL)
        *out = batch_retain(version_batch(version));
    epoch_close(&db->store.epoch, &txn->epoch);
    return cold_commit == 0 ? KH_OK : fetch_seen(txn, write->key, cold_commit, out, error);
}

static kh_status blame(const struct offer *offer, kh_status status, uint64_t rival,
                       kh_txn_id holder) {
    return together_blame(offer->together, offer->member, status, offer->write.key, rival, holder);
}

/* mine = mine merged with theirs. */
static kh_status merge(struct offer *offer, const kh_batch *base, const kh_batch *theirs,
                       kh_error *error) {
    struct resolve_context context;
    kh_batch *merged = NULL;
    bool is_dropped;
    kh_txn *group = offer->together->txn;
    read_resolve_context(group, &context);
    kh_status status = resolve_rival(&context, &offer->write, base, theirs, &merged, &is_dropped,
                                     &group->conflict.merge, error);
    if (status == KH_OK) set_mine(offer, merged);
    return status;
}

/* ---- rivals up to the group's snapshot ------------------------------------------------------- */

static bool may_merge_with_seen(const struct offer *offer) {
    struct kh_db *db = offer->together->db;
    kh_txn *group = offer->together->txn;
    if (offer->write.policy != POLICY_SEMANTIC) return true;
    epoch_open(&db->store.epoch, &group->epoch);
    latch_take(&db->section);
    const struct entry *entry = index_find(db->store.index, offer->write.key, offer->write.hash);
    bool may = semantic_may_merge_since(group, offer->member->claim, entry, offer->write.key,
                                        offer->bound);
    latch_leave(&db->section);
    epoch_close(&db->store.epoch, &group->epoch);
    return may;
}

/* It has seen what it wrote, and serializable means that this is what was stored. */
static bool is_seen_as_it_was(const struct offer *offer) {
    return offer->write.is_read_back && offer->member->txn->is_certified;
}

/* Rivals up to S: by key, policy and meaning, may it go on top of them? */
static kh_status judge_seen(struct offer *offer) {
    offer->is_late = offer->seen > offer->bound && offer->write.policy != KH_REPLACE;
    if (!offer->is_late) return KH_OK;
    bool may = does_merge(&offer->write) && !is_seen_as_it_was(offer) &&
               offer->member->txn->isolation != KH_READ_COMMITTED && may_merge_with_seen(offer);
    return may ? KH_OK : blame(offer, KH_CONFLICT, offer->seen, (kh_txn_id){0, 0});
}

/* ---- beside, or onto, what the group has ----------------------------------------------------- */

/* Earlier members that write the key: the last one's id; *may_merge: with each of them. */
static kh_txn_id find_earlier(const struct offer *offer, bool *may_merge) {
    const struct together *together = offer->together;
    kh_txn_id last = {0, 0};
    *may_merge = true;
    for (const struct together_member *earlier = together->members; earlier < offer->member;
         earlier++) {
        const struct write *write =
            writeset_find(&earlier->txn->writes, offer->write.key, offer->write.hash);
        if (write == NULL) continue;
        last = earlier->txn->id;
        if (offer->write.policy == POLICY_SEMANTIC)
            *may_merge &= semantic_may_merge(offer->member->claim, earlier->claim);
    }
    return last;
}

static kh_status place(const struct offer *offer, kh_batch *value, uint8_t policy,
                       kh_error *error) {
    kh_txn *group = offer->together->txn;
    const struct write *write = &offer->write;
    uint64_t value_bytes = value == NULL ? 0 : batch_size_bytes(value);
    struct write *placed;
    kh_status status = writeset_claim(&group->writes, &group->arena, write->key, write->hash,
                                      value_bytes, &placed, error);
    if (status != KH_OK) return status;
    placed->is_read_back |= write->is_read_back;
    writeset_set(&group->writes, placed, value == NULL ? WRITE_DELETE : WRITE_PUT, policy,
                 value == NULL ? NULL : batch_retain(value));
    return KH_OK;
}

/* Who has read the key and fails by policy is not overruled by who comes after. */
static kh_status place_rows(const struct offer *offer, const struct write *prior, kh_error *error) {
    kh_txn *group = offer->together->txn;
    const struct write *write = &offer->write;
    uint8_t policy = prior != NULL && prior->policy == KH_FAIL ? KH_FAIL : write->policy;
    for (const struct row_op *op = write->ops; op != NULL; op = op->next) {
        kh_batch *rows = batch_retain(op->rows);
        kh_status status = writeset_add_rows(&group->writes, &group->arena, write->key, write->hash,
                                             op->kind, rows, policy, error);
        if (status == KH_OK) continue;
        batch_release(rows, group->cache);
        return status;
    }
    return KH_OK;
}

/* The outcome of what the group has is known: the rows are applied to it at once. What that would
 * be merged with later is not what they were applied to: a rival above S is a conflict. */
static kh_status place_rows_on_value(const struct offer *offer, const struct write *prior,
                                     kh_error *error) {
    kh_txn *group = offer->together->txn;
    struct resolve_context context;
    kh_batch *value = NULL;
    read_resolve_context(group, &context);
    kh_status status = resolve_rows(&context, prior->mine, offer->write.ops, &value, error);
    if (status != KH_OK) return status;
    uint8_t policy = prior->policy == KH_REPLACE ? KH_REPLACE : KH_FAIL;
    status = place(offer, value, policy, error);
    batch_release(value, group->cache);
    return status;
}

/* What the key has by now: of earlier members, else (prior NULL) at S. A reference, NULL: nothing.
 */
static kh_status value_of_prior(const struct offer *offer, const struct write *prior,
                                const kh_batch *newest, kh_batch **out, kh_error *error) {
    struct resolve_context context;
    const kh_batch *value = prior == NULL ? newest : prior->mine;
    *out = NULL;
    if (prior != NULL && prior->kind == WRITE_ROWS) {
        read_resolve_context(offer->together->txn, &context);
        return resolve_rows(&context, newest, prior->ops, out, error);
    }
    if (value != NULL) *out = batch_retain(value);
    return KH_OK;
}

/* Merged with what earlier members, or rivals up to S, have made of the key. What was changed in
 * two steps cannot be told from S afterwards: rivals above S are conflicts. */
static kh_status place_merged(struct offer *offer, const struct write *prior, kh_txn_id holder,
                              kh_error *error) {
    kh_txn *group = offer->together->txn;
    kh_txn *member = offer->member->txn;
    bool is_weak = member->isolation == KH_READ_COMMITTED; /* what it has read is there still */
    kh_batch *newest = NULL;
    kh_batch *base = NULL;
    kh_batch *theirs = NULL;
    kh_status status = value_at(group, &offer->write, &newest, error);
    if (status == KH_OK) status = value_at(is_weak ? group : member, &offer->write, &base, error);
    if (status == KH_OK) status = value_of_prior(offer, prior, newest, &theirs, error);
    if (status == KH_OK) status = merge(offer, base, theirs, error);
    if (status == KH_OK) status = place(offer, offer->write.mine, KH_FAIL, error);
    batch_release(newest, group->cache);
    batch_release(base, group->cache);
    batch_release(theirs, group->cache);
    if (status != KH_CONFLICT) return status;
    return blame(offer, status, prior == NULL ? offer->seen : 0, holder);
}

static kh_status place_onto(struct offer *offer, const struct write *prior, kh_error *error) {
    const struct write *write = &offer->write;
    bool may_merge;
    kh_txn_id holder = find_earlier(offer, &may_merge);
    if (write->kind == WRITE_ROWS && !offer->is_read)
        return prior->kind == WRITE_ROWS ? place_rows(offer, prior, error)
                                         : place_rows_on_value(offer, prior, error);
    bool is_put = does_merge(write) && may_merge && !is_seen_as_it_was(offer);
    return is_put ? place_merged(offer, prior, holder, error)
                  : blame(offer, KH_CONFLICT, 0, holder);
}

static kh_status place_any(struct offer *offer, kh_error *error) {
    const struct write *write = &offer->write;
    const struct write *prior =
        writeset_find(&offer->together->txn->writes, write->key, write->hash);
    offer->is_second = prior != NULL;
    if (prior != NULL) return place_onto(offer, prior, error);
    if (write->kind == WRITE_ROWS) return place_rows(offer, NULL, error);
    if (offer->is_late) return place_merged(offer, NULL, (kh_txn_id){0, 0}, error);
    return place(offer, write->mine, write->policy, error);
}

/* At weaker levels only this matters of what a member has read: that it has read the key of its
 * rows (all other writes have their bound by themselves). */
static kh_status note_read(const struct offer *offer, kh_error *error) {
    kh_txn *group = offer->together->txn;
    if (offer->member->txn->is_certified || !offer->is_read || offer->write.kind != WRITE_ROWS)
        return KH_OK;
    return readset_add_absent(&group->reads, &group->arena, offer->write.key, group->snapshot,
                              error);
}

/* What is written does not fit: the member's fault. Memory and devices are nobody's. */
static bool is_of_data(kh_status status) {
    return status == KH_CONFLICT || status_is_of_rows(status);
}

/* The newest value of a key: a reference, NULL: none. False: it cannot be had. */
static bool newest_value(struct together *together, kh_bytes key, uint64_t hash, kh_batch **out) {
    struct kh_db *db = together->db;
    kh_txn *group = together->txn;
    uint64_t cold_commit = 0;
    *out = NULL;
    epoch_open(&db->store.epoch, &group->epoch);
    const struct entry *entry = index_find(db->store.index, key, hash);
    const struct version *newest = entry == NULL ? NULL : entry_head(entry);
    if (newest != NULL && version_is_cold(newest)) cold_commit = newest->commit;
    if (newest != NULL && cold_commit == 0 && version_batch(newest) != NULL)
        *out = batch_retain(version_batch(newest));
    epoch_close(&db->store.epoch, &group->epoch);
    if (cold_commit == 0) return true;
    return fetch_value(db, group->cache, key, cold_commit, out, NULL) == KH_OK && *out != NULL;
}

void together_find_unfit(struct together *together, kh_bytes key) {
    kh_txn *group = together->txn;
    uint64_t hash = index_hash(together->db->store.index, key);
    struct resolve_context context;
    kh_batch *value = NULL;
    kh_status status = KH_OK;
    read_resolve_context(group, &context);
    if (!newest_value(together, key, hash, &value)) return;
    for (size_t i = 0; i < together->count && status == KH_OK; i++) {
        const struct together_member *member = &together->members[i];
        const struct write *write = writeset_find(&member->txn->writes, key, hash);
        kh_batch *next = NULL;
        if (write == NULL) continue;
        if (write->kind == WRITE_ROWS)
            status = resolve_rows(&context, value, write->ops, &next, NULL);
        else if (write->mine != NULL)
            next = batch_retain(write->mine);
        batch_release(value, group->cache);
        value = next;
        if (is_of_data(status)) together->culprit = member->index;
    }
    batch_release(value, group->cache);
}

/* For kh_txn_resolved: whom it met up to S. A rival of the same commit has no timestamp yet: 0. */
static void note_rival(const struct offer *offer, struct write *write) {
    uint64_t above = write->kind == WRITE_ROWS ? offer->member->txn->snapshot : offer->bound;
    bool is_over =
        (write->kind == WRITE_ROWS || offer->write.policy == KH_REPLACE) && offer->seen > above;
    write->fate = offer->is_late || offer->is_second || is_over ? FATE_RESOLVED : FATE_PLAIN;
    write->rival = offer->is_second ? 0 : offer->seen;
}

static kh_status take_write(struct together *together, const struct together_member *member,
                            struct write *write, kh_error *error) {
    struct offer offer;
    make_offer(together, member, write, &offer);
    kh_status status = judge_seen(&offer);
    if (status == KH_OK) status = place_any(&offer, error);
    if (status == KH_OK) status = note_read(&offer, error);
    note_rival(&offer, write);
    batch_release(offer.write.mine, together->txn->cache);
    if (is_of_data(status) && together->culprit == together->count) {
        status = blame(&offer, status, 0, (kh_txn_id){0, 0});
        together_find_unfit(together, write->key);
    }
    return status;
}

kh_status together_gather(struct together *together, kh_error *error) {
    kh_status status = KH_OK;
    for (size_t i = 0; i < together->count && status == KH_OK; i++) {
        const struct together_member *member = &together->members[i];
        struct writeset *set = &member->txn->writes;
        status = take_reads(together, member, error);
        for (uint32_t j = 0; j < set->count && status == KH_OK; j++)
            if (set->writes[j].kind != WRITE_NONE)
                status = take_write(together, member, &set->writes[j], error);
    }
    return status;
}
