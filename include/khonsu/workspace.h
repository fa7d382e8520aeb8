/* khonsu/workspace.h - transactions that know what their change means.
 *
 *     kh_workspace *workspace;
 *     kh_workspace_begin(db, NULL, &workspace, &error);
 *     kh_workspace_put(workspace, key, batch, &error);
 *     kh_workspace_set_before(workspace, (kh_floats){old, 384}, &error);
 *     kh_workspace_set_after(workspace, (kh_floats){new, 384}, &error);
 *     kh_workspace_commit(workspace, &timestamp, &error);
 *     kh_workspace_close(workspace);
 *
 * A workspace is a transaction (txn.h) that carries an embedding of its change: the difference of
 * what the data meant after it and before it (delta.h). Keys and isolation decide first, and by the
 * rules of its isolation level alone. The embedding may refuse a commit that they would allow
 * (guard), and may permit a merge of overlapping writes only where the data itself merges (merge).
 * Nothing is dropped, averaged or committed because embeddings look alike.
 *
 * States; every transition is checked against this table:
 *
 *     ACTIVE ----commit, prepare----> COMMITTING ----kept by the log----> COMMITTED
 *       |  |                            |      |
 *       |  '--expired, doomed--.        |      '--decided not to----.
 *       |                      v        v                           v
 *       |                     FAILED <--'refused                ROLLED_BACK
 *       |                      |  '--retry--> ACTIVE                ^
 *       '--rollback------------|------------------------------------|
 *                              '--rollback--------------------------'
 *
 * FAILED names its cause (kh_workspace_cause) and is left by retry or rollback.
 * A handle is used by one thread at a time; finding, listing and comparing workspaces of others is
 * safe from any thread. Statuses are those of the transaction's calls, and KH_SEMANTIC_CONFLICT. */
#ifndef KHONSU_WORKSPACE_H
#define KHONSU_WORKSPACE_H

#include "khonsu/delta.h"
#include "khonsu/txn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kh_workspace kh_workspace;

/* What the embedding decides at commit; each includes the one before.
 * KEYS   nothing: it is recorded, so that others can be judged by it.
 * GUARD  a commit is refused (KH_SEMANTIC_CONFLICT) when its delta is conflicting with or opposite
 *        to one that was committed and is not visible to its snapshot, whatever their keys.
 * MERGE  a kh_workspace_put of a key that rivals have put meanwhile is merged with theirs,
 *        three-way by row id and column, vectors by adding what both sides did, when its delta is
 *        orthogonal, ambiguous or identical to each of theirs; else, and where the data does not
 *        merge, KH_CONFLICT. Other writes are not merged (row operations, kh_workspace_embed among
 *        them, compose by themselves), nor are puts when the options name a policy.
 * A workspace that writes nothing is not judged. */
typedef enum kh_semantic_mode {
    KH_SEMANTIC_DEFAULT = 0, /* the database's, which is KEYS by default */
    KH_SEMANTIC_KEYS = 1,
    KH_SEMANTIC_GUARD = 2,
    KH_SEMANTIC_MERGE = 3
} kh_semantic_mode;

/* kh_options.semantic: of a database. */
typedef struct kh_semantic_options {
    size_t size;           /* sizeof(kh_semantic_options) */
    kh_semantic_mode mode; /* of workspaces that do not say; default KEYS */
    uint32_t recent_max;   /* deltas of the newest commits that are remembered; default 65,536 */
    uint64_t recent_bytes; /* and at most so many bytes of them; default 256 MiB. A dense one counts
                            * a byte a value more, for being searched. A guarded commit whose
                            * snapshot is older than what is remembered is refused */
} kh_semantic_options;
#define KH_SEMANTIC_OPTIONS_INIT                                                                   \
    { sizeof(kh_semantic_options), KH_SEMANTIC_DEFAULT, 0, 0 }

typedef enum kh_workspace_state {
    KH_WORKSPACE_ACTIVE = 0,
    KH_WORKSPACE_COMMITTING = 1, /* also: prepared, not decided */
    KH_WORKSPACE_COMMITTED = 2,
    KH_WORKSPACE_ROLLED_BACK = 3,
    KH_WORKSPACE_FAILED = 4
} kh_workspace_state;

typedef enum kh_step_kind {
    KH_STEP_PUT = 1,
    KH_STEP_DELETE = 2,
    KH_STEP_UPDATE = 3,
    KH_STEP_COMPARE_AND_SWAP = 4,
    KH_STEP_EMBED = 5
} kh_step_kind;

/* One call that changed something and was not undone, in program order. */
typedef struct kh_step {
    kh_step_kind kind;
    kh_bytes key;          /* borrowed until the workspace is retried or closed */
    const kh_batch *value; /* the same, or until a savepoint set before the call is rolled back to;
                            * NULL: a deletion. EMBED: ids and vectors */
} kh_step;

/* Computes the embedding of a change, from its operations: fills before and after, dimensions
 * elements each, zeroed when it is called. Called once, by the commit (or by
 * kh_workspace_compute_delta), on the thread of that call, outside of locks; it may read through
 * the workspace, and write or undo nothing. Anything but KH_OK fails the commit with that status.
 * When a commit came to nothing and left the workspace ACTIVE, the next one calls it again. */
typedef kh_status kh_embed_fn(void *context, kh_workspace *workspace, const kh_step *operations,
                              size_t operation_count, float *before, float *after,
                              uint32_t dimensions, kh_error *error);

typedef struct kh_workspace_options {
    size_t size;        /* sizeof(kh_workspace_options) */
    kh_txn_options txn; /* isolation, policy, tag, id column, sync; timeout_ms 0: 5,000 */
    kh_semantic_mode mode;
    kh_delta_thresholds thresholds;
    uint32_t operations_max; /* 0: 1,000; beyond: KH_TOO_BIG */
    uint32_t dimensions;     /* of embed's embeddings; 0 without it */
    kh_embed_fn *embed;      /* NULL: the embedding is set by calls, or there is none */
    void *embed_context;
} kh_workspace_options;
#define KH_WORKSPACE_OPTIONS_INIT                                                                  \
    {                                                                                              \
        sizeof(kh_workspace_options), KH_TXN_OPTIONS_INIT, KH_SEMANTIC_DEFAULT,                    \
            KH_DELTA_THRESHOLDS_INIT, 0, 0, 0, 0                                                   \
    }

/* ---- begin and end --------------------------------------------------------------------------- */

/* A snapshot: the same time whatever the size of the store. options NULL: all defaults. KH_INVALID:
 * options out of their range, or read-only ones; else as kh_txn_begin. */
KH_API KH_WARN_UNUSED kh_status kh_workspace_begin(kh_db *db, const kh_workspace_options *options,
                                                   kh_workspace **out, kh_error *error);
/* Commit all or nothing. Computes the delta first, if there is an embed function and none was
 * computed. KH_OK: COMMITTED. Otherwise FAILED with that cause, nothing of it was applied (but for
 * KH_UNKNOWN, as with kh_txn_commit): KH_CONFLICT and the others of kh_txn_commit;
 * KH_SEMANTIC_CONFLICT. KH_FINISHED, KH_MISUSE: the state is none to commit from. */
KH_API KH_WARN_UNUSED kh_status kh_workspace_commit(kh_workspace *workspace,
                                                    kh_timestamp *timestamp, kh_error *error);
/* Two steps, as kh_txn_prepare: COMMITTING until kh_workspace_commit, kh_workspace_rollback or
 * kh_db_decide. Until then what would conflict with it, by key or (GUARD) by meaning, is answered
 * KH_HELD. */
KH_API KH_WARN_UNUSED kh_status kh_workspace_prepare(kh_workspace *workspace, kh_error *error);
/* Commit count of them together: all or none, as one record with one timestamp, seen by others at
 * one moment. Everyone whose workspace it is has given its handle for this: that is the consent.
 * No order is asked for: one is found, in which each of them could have committed right after the
 * one before, and, where what they write depends on it, the order of the array.
 *
 * Each is judged by its own level, snapshot, mode and thresholds, against what others have
 * committed as by kh_workspace_commit, and against the others of the array:
 * - writes of different keys stand side by side; puts of one key are merged as MERGE merges (the
 *   later one's mode, and both deltas), row operations on one key apply one after the other;
 *   any other second write of a key is a conflict;
 * - serializable ones may not have read what each other writes in a circle (KH_NOT_SERIALIZABLE);
 *   what they have read may not have changed before the call, though it may for one alone;
 * - with GUARD on either side, two of them that are against each other are KH_SEMANTIC_CONFLICT.
 *
 * KH_OK: all are COMMITTED. Otherwise nothing of any was applied (but for KH_UNKNOWN), and
 * *culprit, unless culprit is NULL, is the index of the one that it failed by, or count: of none.
 * That one is FAILED with that cause, and knows the details (kh_workspace_semantic_conflict,
 * kh_txn_conflict of its transaction; rival 0: another one of the array, conflict.holder is the id
 * of its transaction); the others are ACTIVE as before, and can be committed without it. A call
 * that was wrong changes no state: KH_INVALID, KH_MISUSE, KH_IN_USE, KH_FINISHED. When the log has
 * failed (KH_UNKNOWN, KH_POISONED) all are FAILED.
 *
 * KH_INVALID: no workspaces, one of them twice, of different databases or id columns; KH_TOO_BIG:
 * more than 256, or what they write is more than one transaction may; KH_MISUSE: a prepared one;
 * KH_IN_USE: a cursor of one is open. Key locks of one are in the way of none; a lock of anybody
 * else is KH_LOCK_CONFLICT, and is not waited for. By the thread that uses them all; embed
 * functions are called one after the other. The record has an id of its own, which is the one
 * that changes and history name, the first tag that there is, and the ids of all their
 * transactions: kh_db_outcome knows each. In kh_stats it is a transaction more. The policies
 * ignore, append and callback of kh_workspace_options.txn do not decide here: a rival is a
 * conflict. */
KH_API KH_WARN_UNUSED kh_status kh_workspace_commit_together(kh_workspace *const *workspaces,
                                                             size_t count, kh_timestamp *timestamp,
                                                             size_t *culprit, kh_error *error);
/* Undo its own writes and nothing else: ROLLED_BACK. In constant time. KH_FINISHED: it has
 * committed or is rolled back. */
KH_API kh_status kh_workspace_rollback(kh_workspace *workspace);
/* Begin anew from FAILED, with the same id and options: ACTIVE, with a new snapshot, no operations
 * and no embedding. KH_MISUSE: it has not failed; else as begin. */
KH_API KH_WARN_UNUSED kh_status kh_workspace_retry(kh_workspace *workspace, kh_error *error);
/* Give the handle back; what has not ended is rolled back, what is prepared stays prepared. NULL is
 * allowed. */
KH_API void kh_workspace_close(kh_workspace *workspace);

/* ---- operations ------------------------------------------------------------------------------ */
/* As the transaction's calls of those names; counted and listed. KH_TOO_BIG: operations_max.
 * KH_FINISHED, KH_MISUSE: the workspace is not ACTIVE. A status of class RETRY fails it. */

KH_API KH_WARN_UNUSED kh_status kh_workspace_get(kh_workspace *workspace, kh_bytes key,
                                                 kh_batch **out, kh_error *error);
KH_API KH_WARN_UNUSED kh_status kh_workspace_put(kh_workspace *workspace, kh_bytes key,
                                                 const kh_batch *value, kh_error *error);
KH_API KH_WARN_UNUSED kh_status kh_workspace_delete(kh_workspace *workspace, kh_bytes key,
                                                    kh_error *error);
/* Put a key that is there. KH_NOT_FOUND: it is not, and nothing is written. A read of the key. */
KH_API KH_WARN_UNUSED kh_status kh_workspace_update(kh_workspace *workspace, kh_bytes key,
                                                    const kh_batch *value, kh_error *error);
/* expected and value may be NULL: absent. KH_MISMATCH: it is not that, nothing is written. */
KH_API KH_WARN_UNUSED kh_status kh_workspace_compare_and_swap(kh_workspace *workspace, kh_bytes key,
                                                              const kh_batch *expected,
                                                              const kh_batch *value,
                                                              kh_error *error);
/* Write vector columns of rows that are there: vectors has the id column and one or more columns
 * of fixed-size lists of floats that the batch under key has, too (kh_txn_update_rows).
 * KH_INVALID_DATA: another column, or an element that is NaN or infinite. */
KH_API KH_WARN_UNUSED kh_status kh_workspace_embed(kh_workspace *workspace, kh_bytes key,
                                                   const kh_batch *vectors, kh_error *error);
/* The transaction below, for its other calls (scans, savepoints, row operations): what they write
 * is written, and not listed as operations. kh_txn_rollback_to takes the operations since the
 * savepoint out of the list and the count, those of savepoints released since among them. Borrowed;
 * it must not be ended or closed. */
KH_API kh_txn *kh_workspace_txn(kh_workspace *workspace);

/* ---- its embedding --------------------------------------------------------------------------- */

/* What the data that it changes meant before, and means after. Copied. Each may be set once; both
 * have the same number of dimensions. KH_INVALID: another number of them, none, NaN or infinity;
 * KH_MISUSE: it was set before, or the delta was computed. */
KH_API KH_WARN_UNUSED kh_status kh_workspace_set_before(kh_workspace *workspace, kh_floats values,
                                                        kh_error *error);
KH_API KH_WARN_UNUSED kh_status kh_workspace_set_after(kh_workspace *workspace, kh_floats values,
                                                       kh_error *error);
/* delta = after - before, with the affected keys as of now: from what was set, or by the embed
 * function. Once: KH_MISUSE the second time, or without both sides. Operations may follow, or be
 * undone by kh_txn_rollback_to: at commit the delta gets the keys that are written then, and the
 * embedding stays as it was computed. Until then others see the keys of now. */
KH_API KH_WARN_UNUSED kh_status kh_workspace_compute_delta(kh_workspace *workspace,
                                                           kh_error *error);
/* A reference that the caller releases. KH_NOT_FOUND: none was computed. */
KH_API KH_WARN_UNUSED kh_status kh_workspace_delta(const kh_workspace *workspace, kh_delta **out);

/* ---- what it is ------------------------------------------------------------------------------ */

/* The id of its first transaction; it keeps it when it is retried. */
KH_API kh_txn_id kh_workspace_id(const kh_workspace *workspace);
KH_API kh_workspace_state kh_workspace_state_of(const kh_workspace *workspace);
/* Why it is FAILED; KH_OK in other states. */
KH_API kh_status kh_workspace_cause(const kh_workspace *workspace);
KH_API size_t kh_workspace_operation_count(const kh_workspace *workspace);
/* The index-th operation, from 0. KH_NOT_FOUND beyond the last. */
KH_API KH_WARN_UNUSED kh_status kh_workspace_operation(const kh_workspace *workspace, size_t index,
                                                       kh_step *out);
/* The keys of its operations, each once, in order: up to capacity of them into out (borrowed as an
 * operation's). Returns how many there are. */
KH_API size_t kh_workspace_affected_keys(const kh_workspace *workspace, kh_bytes *out,
                                         size_t capacity);
/* Since its begin, or its last retry. */
KH_API uint64_t kh_workspace_age_ms(const kh_workspace *workspace);

/* ---- what it met ----------------------------------------------------------------------------- */

typedef struct kh_semantic_conflict {
    size_t size; /* sizeof(kh_semantic_conflict), set by the caller */
    kh_txn_id rival;
    kh_timestamp rival_commit;
    kh_delta_class kind;
    float similarity; /* cosine of the two deltas */
    kh_delta
        *rival_delta; /* borrowed until retry or close; with its keys. NULL: it is not remembered
                       * any more whether there was a conflict (see kh_semantic_options) */
} kh_semantic_conflict;
/* KH_NOT_FOUND: it has not failed with KH_SEMANTIC_CONFLICT. Of other conflicts:
 * kh_txn_conflict(kh_workspace_txn(workspace)). */
KH_API KH_WARN_UNUSED kh_status kh_workspace_semantic_conflict(const kh_workspace *workspace,
                                                               kh_semantic_conflict *out);

/* ---- finding them ---------------------------------------------------------------------------- */

/* A workspace that is open, as others see it; borrowed for the visit. */
typedef struct kh_workspace_entry {
    kh_txn_id id;
    kh_workspace_state state;
    kh_semantic_mode mode;
    uint64_t age_ms;
    size_t operation_count;
    const kh_delta *delta; /* NULL: none was computed */
} kh_workspace_entry;
typedef bool kh_workspace_visit_fn(void *context, const kh_workspace_entry *entry);
/* Every open workspace of the database, in order of id, until the visitor answers false; it may use
 * the database. Any thread. KH_NO_MEMORY. */
KH_API KH_WARN_UNUSED kh_status kh_db_workspaces(kh_db *db, kh_workspace_visit_fn *visit,
                                                 void *context, kh_error *error);
/* One of them: visited once, or KH_NOT_FOUND. Any thread. */
KH_API KH_WARN_UNUSED kh_status kh_db_find_workspace(kh_db *db, kh_txn_id id,
                                                     kh_workspace_visit_fn *visit, void *context,
                                                     kh_error *error);
/* Doom it: its next call fails it with KH_CANCELLED, and it cannot commit any more. KH_NOT_FOUND:
 * no such workspace is open, or it has ended; KH_IN_USE: it is prepared (kh_db_decide). Any thread.
 */
KH_API KH_WARN_UNUSED kh_status kh_db_remove_workspace(kh_db *db, kh_txn_id id, kh_error *error);

/* ---- who fits, who does not ------------------------------------------------------------------ */

/* Another workspace, or a transaction that was committed a short while ago, beside one's own. */
typedef struct kh_candidate {
    kh_txn_id id;
    kh_timestamp committed; /* 0: it is open */
    kh_delta_class kind;    /* of the two deltas, by the workspace's thresholds */
    float similarity;       /* their cosine */
    size_t shared_keys;
} kh_candidate;

/* Those whose delta is less similar to the workspace's than threshold (|cosine| < threshold; the
 * usual one is 0.1) and not zero: the most orthogonal first, at most capacity of them into out.
 * Looked at are the open workspaces that have a delta, and what was committed within the last
 * window_ms (0: none of it) and is remembered (kh_semantic_options); *count says how many there
 * are. KH_NOT_FOUND:
 * the workspace has no delta; KH_NO_MEMORY. By the workspace's own thread. */
KH_API KH_WARN_UNUSED kh_status kh_workspace_find_merge_candidates(
    const kh_workspace *workspace, float threshold, uint64_t window_ms, kh_candidate *out,
    size_t capacity, size_t *count, kh_error *error);
/* The same for those that it conflicts with (conflicting or opposite), the most similar, by size,
 * first. What is committed and visible to its snapshot is left out: it was accepted. */
KH_API KH_WARN_UNUSED kh_status kh_workspace_find_conflicts(const kh_workspace *workspace,
                                                            uint64_t window_ms, kh_candidate *out,
                                                            size_t capacity, size_t *count,
                                                            kh_error *error);
/* A greedy order to merge count deltas in: first the one that is least similar to all others, then
 * again and again the one whose greatest |cosine| with those taken is the least (ties by index).
 * order gets count indexes. O(count^2) comparisons. KH_NO_MEMORY. Any thread. */
KH_API KH_WARN_UNUSED kh_status kh_delta_merge_order(const kh_delta *const *deltas, size_t count,
                                                     size_t *order, kh_error *error);

#ifdef __cplusplus
}
#endif
#endif
