/* workspace_candidates.c - who could be merged with a workspace, and who could not: open workspaces
 * and what was committed a short while ago, compared with its delta. See khonsu/workspace.h. */
#include "db/workspace.h"

#include "base/status.h"
#include "db/section.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct search {
    const kh_workspace *workspace;
    bool is_against; /* conflicts are looked for, else candidates */
    float threshold;
    struct arena arena;
    kh_candidate *found;
    size_t count;
    size_t capacity;
    kh_status status;
    kh_error *error;
};

static bool is_wanted(const struct search *search, kh_delta_class kind, float similarity) {
    if (kind == KH_DELTA_NONE) return false;
    if (search->is_against) return kind == KH_DELTA_CONFLICTING || kind == KH_DELTA_OPPOSITE;
    return fabsf(similarity) < search->threshold;
}

static bool has_room(struct search *search) {
    if (search->count < search->capacity) return true;
    size_t capacity = search->capacity == 0 ? 32 : search->capacity * 2;
    kh_candidate *found = arena_alloc(&search->arena, capacity * sizeof *found);
    if (found == NULL) return false;
    if (search->count > 0) memcpy(found, search->found, search->count * sizeof *found);
    search->found = found;
    search->capacity = capacity;
    return true;
}

/* False: no memory. */
static bool look_at(struct search *search, const kh_delta *delta, kh_txn_id id,
                    kh_timestamp committed) {
    const kh_workspace *workspace = search->workspace;
    float similarity = 0;
    kh_delta_class kind =
        kh_delta_classify(workspace->delta, delta, &workspace->options->thresholds, &similarity);
    if (!is_wanted(search, kind, similarity)) return true;
    if (!has_room(search)) {
        search->status = status_no_memory(search->error, sizeof *search->found);
        return false;
    }
    search->found[search->count++] = (kh_candidate){id, committed, kind, similarity,
                                                    kh_delta_shared_keys(workspace->delta, delta)};
    return true;
}

/* Who was committed and is visible was accepted: no conflict of it is left. */
static bool look_at_recent(void *context, const struct recent_delta *recent) {
    struct search *search = context;
    const kh_workspace *workspace = search->workspace;
    if (recent->id.low == WORKSPACE_GET(workspace, txn_id)) return true; /* itself */
    if (search->is_against && recent->commit <= workspace->txn->snapshot) return true;
    return look_at(search, recent->delta, recent->id, recent->commit);
}

static kh_status look_at_open(struct search *search) {
    struct kh_db *db = search->workspace->db;
    struct workspace_entries all;
    kh_status status = workspaces_entries(db, &all, search->error);
    for (size_t i = 0; i < all.count; i++) {
        const kh_workspace_entry *entry = &all.items[i];
        bool is_own = entry->id.low == WORKSPACE_GET(search->workspace, id);
        bool is_open =
            entry->state == KH_WORKSPACE_ACTIVE || entry->state == KH_WORKSPACE_COMMITTING;
        if (is_own || !is_open || entry->delta == NULL) continue;
        if (!look_at(search, entry->delta, entry->id, 0)) break;
    }
    workspaces_free_entries(db, &all);
    return status == KH_OK ? search->status : status;
}

static int by_size(const void *a, const void *b) {
    const kh_candidate *left = a;
    const kh_candidate *right = b;
    float x = fabsf(left->similarity);
    float y = fabsf(right->similarity);
    if (x != y) return x < y ? -1 : 1;
    if (left->id.high != right->id.high) return left->id.high < right->id.high ? -1 : 1;
    return left->id.low == right->id.low ? 0 : left->id.low < right->id.low ? -1 : 1;
}

static uint64_t window_begin(struct kh_db *db, uint64_t window_ms) {
    if (window_ms == 0) return UINT64_MAX; /* the open ones only */
    uint64_t now_ms = env_wall_ms(&db->clock);
    return window_ms >= now_ms ? 0 : KH_TIMESTAMP_OF_MS(now_ms - window_ms);
}

/* The first ones of what was found, from the least similar on, or from the most. */
static void give(struct search *search, kh_candidate *out, size_t capacity, size_t *count) {
    if (search->count > 1) qsort(search->found, search->count, sizeof *search->found, by_size);
    size_t given = search->count < capacity ? search->count : capacity;
    for (size_t i = 0; i < given; i++)
        out[i] = search->found[search->is_against ? search->count - 1 - i : i];
    *count = search->count;
}

/* Of conflicts only those are visited that are some. */
static void look_at_list(struct search *search, uint64_t window_ms) {
    const kh_workspace *workspace = search->workspace;
    uint64_t after = window_begin(workspace->db, window_ms);
    struct semantic_probe probe;
    semantic_probe_init(&probe, workspace->delta, &workspace->options->thresholds);
    semantic_recent(workspace->db, after, search->is_against ? &probe : NULL, look_at_recent,
                    search);
    semantic_probe_fini(&probe);
}

static kh_status find(struct search *search, uint64_t window_ms, kh_candidate *out, size_t capacity,
                      size_t *count) {
    struct kh_db *db = search->workspace->db;
    if (db_is_forked(db))
        return status_fail(search->error, KH_FORKED, "the database belongs to the parent process");
    if (search->workspace->delta == NULL) return KH_NOT_FOUND;
    arena_init(&search->arena, db->home.mem, NULL);
    look_at_list(search, window_ms);
    kh_status status = search->status;
    if (status == KH_OK) status = look_at_open(search);
    if (status == KH_OK) give(search, out, capacity, count);
    arena_fini(&search->arena);
    return status;
}

kh_status kh_workspace_find_merge_candidates(const kh_workspace *workspace, float threshold,
                                             uint64_t window_ms, kh_candidate *out, size_t capacity,
                                             size_t *count, kh_error *error) {
    struct search search = {.workspace = workspace, .threshold = threshold, .error = error};
    return find(&search, window_ms, out, capacity, count);
}

kh_status kh_workspace_find_conflicts(const kh_workspace *workspace, uint64_t window_ms,
                                      kh_candidate *out, size_t capacity, size_t *count,
                                      kh_error *error) {
    struct search search = {.workspace = workspace, .is_against = true, .error = error};
    return find(&search, window_ms, out, capacity, count);
}
