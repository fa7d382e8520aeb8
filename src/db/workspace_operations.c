/* workspace_operations.c - what a workspace does to the data, and the list of it. */
#include "db/workspace.h"

#include "base/status.h"
#include "batch/rows_vectors.h"
#include <string.h>

/* ---- the list -------------------------------------------------------------------------------- */

/* The steps stand behind one another; those of a few are in the handle. */
__attribute__((noinline)) static kh_status grow(kh_workspace *workspace, uint32_t count,
                                                kh_error *error) {
    uint32_t capacity = 2 * workspace->operation_capacity;
    if (count >= workspace->operations_max)
        return status_fail(error, KH_TOO_BIG,
                           "the workspace has %u operations: no more are allowed", count);
    struct listed_step *grown = arena_alloc(&workspace->arena, capacity * sizeof *grown);
    if (grown == NULL) return status_no_memory(error, capacity * sizeof *grown);
    memcpy(grown, workspace->operations, count * sizeof *grown);
    workspace->operations = grown;
    workspace->operation_capacity = capacity;
    return KH_OK;
}

/* Before it is done: there is room to list it. */
static inline kh_status enter(kh_workspace *workspace, kh_error *error) {
    uint32_t count = WORKSPACE_GET(workspace, operation_count);
    kh_status status = workspace_check(workspace, error);
    if (KH_UNLIKELY(status != KH_OK)) return status;
    if (KH_UNLIKELY(workspace->is_embedding)) return workspace_refuse_embedding(error);
    if (KH_LIKELY(count < workspace->operation_capacity && count < workspace->operations_max))
        return KH_OK;
    return grow(workspace, count, error);
}

/* The key is the write's own, which lives as long as the transaction. */
__attribute__((noinline)) static kh_bytes key_of(const kh_workspace *workspace, kh_bytes key) {
    const struct writeset *set = &workspace->txn->writes;
    return writeset_find(set, key, index_hash(workspace->db->store.index, key))->key;
}

/* A key of a transaction is in one place. */
__attribute__((noinline)) static bool is_listed(const kh_workspace *workspace, const void *key,
                                                uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (workspace->operations[i].operation.key.data == key) return true;
    return false;
}

/* It was done, or not: what was is listed. */
static inline kh_status settle(kh_workspace *workspace, kh_step_kind kind, kh_bytes key,
                               const kh_batch *value, uint32_t count_before, kh_status status) {
    if (KH_UNLIKELY(status != KH_OK)) return workspace_note(workspace, status);
    uint32_t count = WORKSPACE_GET(workspace, operation_count);
    const struct writeset *set = &workspace->txn->writes;
    bool is_new = set->count > count_before;
    struct listed_step *listed = &workspace->operations[count];
    listed->operation.kind = kind;
    listed->operation.key =
        KH_LIKELY(is_new) ? set->writes[set->count - 1].key : key_of(workspace, key);
    bool is_first = KH_LIKELY(is_new) || !is_listed(workspace, listed->operation.key.data, count);
    listed->operation.value = value == NULL ? NULL : kh_batch_retain(value);
    listed->is_first = is_first;
    workspace->key_count += is_first;
    WORKSPACE_SET(workspace, operation_count, count + 1);
    return KH_OK;
}

/* The keys of what is gone stay where they are: the writes have them. Nobody sees a step whose
 * value is released, also when that runs foreign code. */
void workspace_unlist(kh_workspace *workspace, uint32_t count) {
    uint32_t end = WORKSPACE_GET(workspace, operation_count);
    kh_assert(count <= end);
    for (uint32_t i = count; i < end; i++)
        workspace->key_count -= workspace->operations[i].is_first;
    WORKSPACE_SET(workspace, operation_count, count);
    for (uint32_t i = count; i < end; i++)
        kh_batch_release((kh_batch *)workspace->operations[i].operation.value);
}

static inline uint32_t writes_of(const kh_workspace *workspace) {
    return workspace->txn->writes.count;
}

/* ---- operations ------------------------------------------------------------------------------ */

kh_status kh_workspace_get(kh_workspace *workspace, kh_bytes key, kh_batch **out, kh_error *error) {
    kh_status status = workspace_check(workspace, error);
    if (status != KH_OK) return status;
    return workspace_note(workspace, kh_txn_get(workspace->txn, key, out, error));
}

kh_status kh_workspace_put(kh_workspace *workspace, kh_bytes key, const kh_batch *value,
                           kh_error *error) {
    kh_status status = enter(workspace, error);
    if (status != KH_OK) return status;
    uint32_t before = writes_of(workspace);
    status = KH_UNLIKELY(workspace->txn->policy == POLICY_SEMANTIC)
                 ? write_put_meaning(workspace->txn, key, value, error)
                 : kh_txn_put(workspace->txn, key, value, error);
    return settle(workspace, KH_STEP_PUT, key, value, before, status);
}

kh_status kh_workspace_delete(kh_workspace *workspace, kh_bytes key, kh_error *error) {
    kh_status status = enter(workspace, error);
    if (status != KH_OK) return status;
    uint32_t before = writes_of(workspace);
    status = kh_txn_delete(workspace->txn, key, error);
    return settle(workspace, KH_STEP_DELETE, key, NULL, before, status);
}

static kh_status update(kh_workspace *workspace, kh_bytes key, const kh_batch *value,
                        kh_error *error) {
    bool is_there = false;
    kh_status status = kh_txn_exists(workspace->txn, key, &is_there, error);
    if (status == KH_OK && !is_there) return KH_NOT_FOUND;
    return status == KH_OK ? kh_txn_put(workspace->txn, key, value, error) : status;
}

kh_status kh_workspace_update(kh_workspace *workspace, kh_bytes key, const kh_batch *value,
                              kh_error *error) {
    kh_status status = enter(workspace, error);
    if (status != KH_OK) return status;
    uint32_t before = writes_of(workspace);
    status = update(workspace, key, value, error);
    return settle(workspace, KH_STEP_UPDATE, key, value, before, status);
}

kh_status kh_workspace_compare_and_swap(kh_workspace *workspace, kh_bytes key,
                                        const kh_batch *expected, const kh_batch *value,
                                        kh_error *error) {
    kh_status status = enter(workspace, error);
    if (status != KH_OK) return status;
    uint32_t before = writes_of(workspace);
    status = kh_txn_compare_and_swap(workspace->txn, key, expected, value, error);
    return settle(workspace, KH_STEP_COMPARE_AND_SWAP, key, value, before, status);
}

kh_status kh_workspace_embed(kh_workspace *workspace, kh_bytes key, const kh_batch *vectors,
                             kh_error *error) {
    kh_status status = KH_OK;
    if (vectors == NULL) status = status_fail(error, KH_INVALID, "embed without vectors");
    if (status == KH_OK) status = vectors_check(vectors, workspace->txn->id_column, error);
    if (status == KH_OK) status = enter(workspace, error);
    if (status != KH_OK) return status;
    uint32_t before = writes_of(workspace);
    status = kh_txn_update_rows(workspace->txn, key, vectors, error);
    return settle(workspace, KH_STEP_EMBED, key, vectors, before, status);
}

kh_txn *kh_workspace_txn(kh_workspace *workspace) {
    return workspace->txn;
}

/* ---- looking at it --------------------------------------------------------------------------- */

size_t kh_workspace_operation_count(const kh_workspace *workspace) {
    return WORKSPACE_GET(workspace, operation_count);
}

kh_status kh_workspace_operation(const kh_workspace *workspace, size_t index, kh_step *out) {
    if (index >= WORKSPACE_GET(workspace, operation_count)) return KH_NOT_FOUND;
    *out = workspace->operations[index].operation;
    return KH_OK;
}

size_t kh_workspace_affected_keys(const kh_workspace *workspace, kh_bytes *out, size_t capacity) {
    size_t count = 0;
    for (uint32_t i = 0; i < WORKSPACE_GET(workspace, operation_count) && count < capacity; i++)
        if (workspace->operations[i].is_first)
            out[count++] = workspace->operations[i].operation.key;
    return workspace->key_count;
}

uint64_t kh_workspace_age_ms(const kh_workspace *workspace) {
    uint64_t tick = db_tick(workspace->db);
    uint64_t begun_ms = WORKSPACE_GET(workspace, begun_ms);
    return tick > begun_ms ? tick - begun_ms : 0;
}

kh_txn_id kh_workspace_id(const kh_workspace *workspace) {
    return (kh_txn_id){workspace->db->id_high, WORKSPACE_GET(workspace, id)};
}

kh_workspace_state kh_workspace_state_of(const kh_workspace *workspace) {
    return (kh_workspace_state)WORKSPACE_GET(workspace, state);
}

kh_status kh_workspace_cause(const kh_workspace *workspace) {
    return kh_workspace_state_of(workspace) == KH_WORKSPACE_FAILED ? workspace->cause : KH_OK;
}

kh_status kh_workspace_semantic_conflict(const kh_workspace *workspace, kh_semantic_conflict *out) {
    const struct semantic_claim *claim = workspace->txn->semantic;
    if (out->size != sizeof *out) return KH_INVALID;
    if (workspace->cause != KH_SEMANTIC_CONFLICT || claim == NULL || !claim->is_refused)
        return KH_NOT_FOUND;
    *out = (kh_semantic_conflict){.size = sizeof *out,
                                  .rival = claim->rival.id,
                                  .rival_commit = claim->rival.commit,
                                  .kind = claim->kind,
                                  .similarity = claim->similarity,
                                  .rival_delta = claim->rival.delta};
    return KH_OK;
}
