/* semantic.h - what commits mean: the deltas of the newest ones, and the judgement of a workspace's
 * commit by them (khonsu/workspace.h has the rules).
 *
 * The list (semantic_list.h). Each commit that carried a delta leaves it there, in the order of
 * commits, when its versions are installed; a refused record takes it out again. The list is
 * bounded by number and bytes: what is forgotten raises the floor, and a guarded commit whose
 * snapshot lies below the floor is refused, since nobody can say what it would have met. After an
 * opening it is empty, and the floor is what was visible then: no snapshot is older.
 *
 * The judgement. What was not visible to the snapshot when the commit began is compared before the
 * section (semantic_search, by semantic_scan.h, which holds no lock); inside it only what came
 * since, pair by pair (semantic_judge), after keys and isolation have said yes. A prepared
 * transaction's delta is a hold: who conflicts with it in meaning is told KH_HELD, if either of the
 * two is guarded, since nothing may come between prepare and decision.
 *
 * A merge that the data allows is permitted if every commit of that key above the snapshot is in
 * the list, of a class that may be merged: asked in the section, of the ring of recent writes
 * (where that does not reach back far enough the merge is refused).
 *
 * Several that commit together (db/together.h) bring a claim each, with its own snapshot; each is
 * judged, held and remembered by itself.
 *
 * Locks: RANK_SEMANTIC, inside of the section. Deltas are immutable and counted. */
#ifndef KHONSU_DB_SEMANTIC_H
#define KHONSU_DB_SEMANTIC_H

#include "db/db.h"
#include "db/semantic_scan.h"
#include "khonsu/workspace.h"

/* Of a database. */
struct semantic {
    struct mem *mem;
    kh_semantic_mode mode;
    struct semantic_list list;
    /* statistics */
    _Atomic uint64_t merged, compared;
};

/* What a transaction brings to its commit: in its arena. */
struct semantic_claim {
    struct semantic_claim *next; /* of the next member, when several commit together */
    kh_txn_id member;            /* low 0: the transaction itself */
    uint64_t snapshot;           /* a member's */
    bool has_writes;             /* a member */
    kh_delta *delta;             /* a reference; NULL: none */
    kh_semantic_mode mode;
    kh_delta_thresholds thresholds;
    uint64_t searched; /* what is below this number of the list was compared */
    /* what was found */
    struct recent_delta rival; /* delta: a reference, or NULL (forgotten) */
    kh_delta_class kind;
    float similarity;
    bool is_refused;
    bool is_held; /* by what a prepared transaction means */
};

kh_status semantic_open(struct kh_db *db, const kh_semantic_options *options, kh_error *error);
void semantic_close(struct kh_db *db);

/* Let txn carry this. delta NULL: none (yet). It takes a reference. */
kh_status semantic_attach(kh_txn *txn, kh_semantic_mode mode, const kh_delta_thresholds *thresholds,
                          kh_error *error);
void semantic_set_delta(kh_txn *txn, kh_delta *delta);
/* One more of those who commit together by `group`, with what it carries. */
kh_status semantic_add_member(kh_txn *group, const kh_txn *member, kh_error *error);
static inline bool semantic_is_group(const kh_txn *txn) {
    return txn->semantic != NULL && txn->semantic->member.low != 0;
}
/* Before one of two is committed after the other: false, it may not be (by its mode and
 * thresholds), and later->is_refused. */
bool semantic_agree(struct semantic_claim *later, const struct semantic_claim *earlier);
/* May a put of the later one be merged with what the earlier has put? */
bool semantic_may_merge(const struct semantic_claim *later, const struct semantic_claim *earlier);
/* The same with what was committed under key above a timestamp, up to txn's snapshot: of claim. */
bool semantic_may_merge_since(kh_txn *txn, struct semantic_claim *claim, const struct entry *entry,
                              kh_bytes key, uint64_t above);
/* The first write that the data merges with a rival, and the meaning does not: *rival is its
 * commit. NULL: none. In the section, under the list's lock. */
const struct write *semantic_find_forbidden(kh_txn *txn, uint64_t *rival);
/* Tell what was found of one claim to another of the same member. */
void semantic_tell(struct semantic_claim *to, const struct semantic_claim *from);
/* The outcome of its members, when it has some. In the section. */
void semantic_note_members(struct kh_db *db, const kh_txn *txn, uint64_t result);
/* Before the arena is reset. */
void semantic_detach(kh_txn *txn);

/* Compare with what is in the list, and make sure that the list has room. Outside of the section.
 */
void semantic_search(kh_txn *txn);
/* KH_OK; or KH_SEMANTIC_CONFLICT, *rival is its commit; or KH_CONFLICT: *write, merged by the data,
 * may not be. In the section, certified. */
kh_status semantic_judge(kh_txn *txn, const struct write **write, uint64_t *rival);
/* A put by the policy of txn, POLICY_SEMANTIC among them (write.c). */
kh_status write_put_meaning(kh_txn *txn, kh_bytes key, const kh_batch *value, kh_error *error);
/* Does a prepared transaction hold what txn means? In the section. */
bool semantic_is_held(const kh_txn *txn, const kh_txn *holder);
/* Into the list: txn->committed is installed. Cannot fail. In the section. */
void semantic_note(kh_txn *txn);
/* Out of it, as apply_unwind goes back. In the section. */
void semantic_forget(struct kh_db *db, uint64_t commit);

/* What the section of a record says. */
struct semantic_section {
    kh_delta *delta; /* a reference */
    kh_semantic_mode mode;
    kh_delta_thresholds thresholds;
};
/* Of bytes that anyone may have written, more than none. On failure *out is untouched. KH_CORRUPT,
 * KH_UNSUPPORTED, KH_TOO_BIG, KH_NO_MEMORY. */
kh_status semantic_decode(struct mem *mem, kh_bytes section, struct semantic_section *out,
                          kh_error *error);
/* The section of its record (size 0: none), in the arena; and back: attached as it was.
 * KH_NO_MEMORY; as semantic_decode. */
kh_status semantic_encode(kh_txn *txn, struct arena *arena, kh_bytes *out, kh_error *error);
kh_status semantic_restore(kh_txn *txn, kh_bytes section, kh_error *error);
/* The members of its record; *count 0: none. KH_NO_MEMORY. */
struct record_member;
kh_status semantic_encode_members(kh_txn *txn, struct arena *arena,
                                  const struct record_member **out, size_t *count, kh_error *error);

/* merged, compared, remembered and its bytes, into the statistics. */
void semantic_count(struct kh_db *db, kh_stats *out);

/* Visit what was committed after a timestamp and before the call, oldest first, pinned for the time
 * of the visits, outside of locks; what the list has dropped is not visited. probe NULL: all of it,
 * else what that delta is against. */
typedef bool semantic_visit_fn(void *context, const struct recent_delta *recent);
void semantic_recent(struct kh_db *db, uint64_t after, struct semantic_probe *probe,
                     semantic_visit_fn *visit, void *context);

#endif
