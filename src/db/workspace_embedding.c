/* workspace_embedding.c - before, after, and the delta between them: see khonsu/workspace.h. */
#include "db/workspace.h"

#include "base/status.h"
#include <math.h>
#include <string.h>

static kh_status check_values(const kh_workspace *workspace, kh_floats values, kh_floats other,
                              kh_error *error) {
    kh_status status = workspace_check(workspace, error);
    if (status != KH_OK) return status;
    if (values.count == 0 || values.values == NULL)
        return status_fail(error, KH_INVALID, "an embedding without dimensions");
    if (other.count != 0 && other.count != values.count)
        return status_fail(error, KH_INVALID, "an embedding of %zu dimensions beside one of %zu",
                           values.count, other.count);
    for (size_t i = 0; i < values.count; i++)
        if (!isfinite(values.values[i]))
            return status_fail(error, KH_INVALID, "element %zu of the embedding is not finite", i);
    return KH_OK;
}

static kh_status set(kh_workspace *workspace, kh_floats values, kh_floats *own, kh_floats other,
                     kh_error *error) {
    kh_status status = check_values(workspace, values, other, error);
    if (status != KH_OK) return status;
    if (own->count != 0 || workspace->delta != NULL)
        return status_fail(error, KH_MISUSE, "the embedding was set or computed before");
    float *copy = arena_copy(&workspace->arena, values.values, values.count * sizeof *copy);
    if (copy == NULL) return status_no_memory(error, values.count * sizeof *copy);
    *own = (kh_floats){copy, values.count};
    return KH_OK;
}

kh_status kh_workspace_set_before(kh_workspace *workspace, kh_floats values, kh_error *error) {
    return set(workspace, values, &workspace->before, workspace->after, error);
}

kh_status kh_workspace_set_after(kh_workspace *workspace, kh_floats values, kh_error *error) {
    return set(workspace, values, &workspace->after, workspace->before, error);
}

/* ---- the delta ------------------------------------------------------------------------------- */

static kh_status call_embed(kh_workspace *workspace, kh_error *error) {
    const kh_workspace_options *options = workspace->options;
    size_t dimensions = options->dimensions;
    uint32_t count = WORKSPACE_GET(workspace, operation_count);
    float *sides = arena_alloc_zeroed(&workspace->arena, 2 * dimensions * sizeof *sides);
    kh_step *operations = arena_alloc(&workspace->arena, (count + 1u) * sizeof *operations);
    if (sides == NULL || operations == NULL)
        return status_no_memory(error, dimensions * sizeof *sides);
    for (uint32_t i = 0; i < count; i++) operations[i] = workspace->operations[i].operation;
    workspace->is_embedding = true;
    kh_status status = options->embed(options->embed_context, workspace, operations, count, sides,
                                      sides + dimensions, options->dimensions, error);
    workspace->is_embedding = false;
    if (status == KH_OK)
        status = workspace_check(workspace, error); /* a call of it may have failed */
    if (status != KH_OK) return status;
    workspace->before = (kh_floats){sides, dimensions};
    workspace->after = (kh_floats){sides + dimensions, dimensions};
    return KH_OK;
}

/* What is written at all, also by calls of the transaction that are not listed. */
static kh_status gather_keys(kh_workspace *workspace, kh_bytes **out, size_t *count,
                             kh_error *error) {
    const struct writeset *set = &workspace->txn->writes;
    kh_bytes *keys = arena_alloc(&workspace->arena, (set->count + 1u) * sizeof *keys);
    *count = 0;
    if (keys == NULL) return status_no_memory(error, set->count * sizeof *keys);
    for (uint32_t i = 0; i < set->count; i++)
        if (set->writes[i].kind != WRITE_NONE) keys[(*count)++] = set->writes[i].key;
    *out = keys;
    return KH_OK;
}

static kh_status build(kh_workspace *workspace, kh_error *error) {
    kh_delta_options options = KH_DELTA_OPTIONS_INIT;
    kh_bytes *keys = NULL;
    kh_delta *delta = NULL;
    kh_status status = gather_keys(workspace, &keys, &options.key_count, error);
    if (status != KH_OK) return status;
    options.keys = keys;
    options.txn = kh_txn_get_id(workspace->txn);
    status = kh_delta_between(workspace->db, workspace->before, workspace->after, &options, &delta,
                              error);
    if (status == KH_OK) workspaces_set_delta(workspace, delta);
    return status;
}

kh_status kh_workspace_compute_delta(kh_workspace *workspace, kh_error *error) {
    kh_status status = workspace_check(workspace, error);
    if (status == KH_OK && workspace->is_embedding) return workspace_refuse_embedding(error);
    if (status != KH_OK) return status;
    if (workspace->delta != NULL)
        return status_fail(error, KH_MISUSE, "the delta was computed before");
    bool is_set = workspace->before.count != 0 && workspace->after.count != 0;
    if (!is_set && workspace->options->embed == NULL)
        return status_fail(error, KH_MISUSE, "before or after was not set");
    if (!is_set) status = call_embed(workspace, error);
    if (status == KH_OK) status = build(workspace, error);
    return workspace_note(workspace, status);
}

kh_status kh_workspace_delta(const kh_workspace *workspace, kh_delta **out) {
    if (workspace->delta == NULL) return KH_NOT_FOUND;
    *out = kh_delta_retain(workspace->delta);
    return KH_OK;
}

/* One side alone is no change that could be judged, and most likely a mistake. */
kh_status workspace_seal_delta(kh_workspace *workspace, kh_error *error) {
    bool has_before = workspace->before.count != 0;
    bool has_after = workspace->after.count != 0;
    if (workspace->delta == NULL) {
        if (has_before != has_after && workspace->options->embed == NULL)
            return status_fail(error, KH_INVALID, "only one side of the embedding was set");
        return kh_workspace_compute_delta(workspace, error);
    }
    return build(workspace, error); /* operations may have followed */
}
