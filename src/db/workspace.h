/* workspace.h - the inside of a workspace: a transaction, the list of its operations, and the
 * embedding of its change. The rules are in khonsu/workspace.h.
 *
 * Handles are made when they are needed and kept until the database is closed: an open one is in
 * nobody's hands but its owner's, the others are in a stack (a word of index + 1 and a tag, so that
 * a handle that was taken and given back meanwhile is not mistaken for itself). Whoever looks from
 * outside reads atomic fields, and the use's number before and after: odd while it is open, another
 * one in each use. The delta is read under the registry's lock, since it is counted. Everything
 * else is its owner's thread's.
 *
 * What the transaction brings to its commit lies in the transaction (db/semantic.h), because a
 * prepared one outlives its workspace. */
#ifndef KHONSU_DB_WORKSPACE_H
#define KHONSU_DB_WORKSPACE_H

#include "db/semantic.h"

struct listed_step {
    kh_step operation;
    bool is_first; /* of its key */
};

enum { STEPS_INLINE = 4 };

struct kh_workspace {
    kh_db *db;
    kh_txn *txn;
    const kh_workspace_options *options; /* the defaults, or given */
    kh_workspace_options given;
    uint32_t operations_max;
    uint32_t index; /* of the handle */
    bool is_prepared;
    bool is_embedding; /* its embed function runs */
    kh_status cause;   /* FAILED: why */
    struct listed_step *operations;
    struct listed_step few[STEPS_INLINE];
    uint32_t operation_capacity;
    uint32_t key_count;
    kh_floats before; /* in the arena; count 0: not set */
    kh_floats after;
    struct arena arena; /* of one transaction of it */
    struct arena texts; /* of its options */
    /* written by its owner, read by others: */
    _Atomic uint64_t use;
    _Atomic uint32_t state;    /* kh_workspace_state */
    _Atomic uint32_t mode;     /* kh_semantic_mode, never default */
    _Atomic uint64_t id;       /* low word of the id of its first transaction */
    _Atomic uint64_t txn_id;   /* of the transaction that it has now */
    _Atomic uint64_t begun_ms; /* tick */
    _Atomic uint32_t operation_count;
    _Atomic uint32_t next_spare; /* index + 1 */
    kh_delta *delta;             /* a reference; NULL: none. Written under the registry's lock */
};

/* Fields that others read, read or written by the owner. */
#define WORKSPACE_GET(workspace, field)                                                            \
    atomic_load_explicit(&(workspace)->field, memory_order_relaxed)
#define WORKSPACE_SET(workspace, field, value)                                                     \
    atomic_store_explicit(&(workspace)->field, (value), memory_order_release)

void workspaces_open(struct kh_db *db);
/* Every workspace is closed. */
void workspaces_close(struct kh_db *db);
/* A handle that is nobody's: KH_NO_MEMORY, KH_BUSY: as many as transactions are open. */
kh_status workspaces_take(struct kh_db *db, kh_workspace **out, kh_error *error);
/* At its begin it can be seen from now on; at its close not any more. */
void workspaces_next_use(kh_workspace *workspace);
/* It is nobody's again. */
void workspaces_give(kh_workspace *workspace);
/* It has this delta now (NULL: none): the reference moves. */
void workspaces_set_delta(kh_workspace *workspace, kh_delta *delta);

/* A transition of the table; false: there is none from where it is. */
bool workspace_move(kh_workspace *workspace, kh_workspace_state to);
/* KH_MISUSE. */
kh_status workspace_refuse_embedding(kh_error *error);
/* What calls answer in another state than ACTIVE; KH_OK in that. */
kh_status workspace_refuse(const kh_workspace *workspace, kh_error *error);
static inline kh_status workspace_check(const kh_workspace *workspace, kh_error *error) {
    if (KH_LIKELY(WORKSPACE_GET(workspace, state) == KH_WORKSPACE_ACTIVE)) return KH_OK;
    return workspace_refuse(workspace, error);
}
/* A call answered: FAILED, if the transaction cannot go on. Returns status. */
kh_status workspace_note(kh_workspace *workspace, kh_status status);
/* To COMMITTING, with what the transaction brings along. */
kh_status workspace_start(kh_workspace *workspace, kh_error *error);
/* FAILED; it may have failed already: the first cause stays. */
void workspace_fail(kh_workspace *workspace, kh_status status);
/* Its transaction has rolled back to a savepoint: only the first count steps are left. By the
 * owner's thread, within that call. */
void workspace_unlist(kh_workspace *workspace, uint32_t count);
/* Entries with references, of all that are open, ordered by id; workspaces_free_entries. */
struct workspace_entries {
    kh_workspace_entry *items;
    size_t count;
    size_t capacity;
};
kh_status workspaces_entries(struct kh_db *db, struct workspace_entries *out, kh_error *error);
void workspaces_free_entries(struct kh_db *db, struct workspace_entries *entries);
/* The delta with all keys that are written now, for the commit: computed if it can be. */
kh_status workspace_seal_delta(kh_workspace *workspace, kh_error *error);

#endif
