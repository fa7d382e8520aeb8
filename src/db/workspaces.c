/* workspaces.c - the registry of a database's workspaces: who is open, as others see it. */
#include "db/workspace.h"

#include "base/status.h"
#include <stdlib.h>
#include <string.h>

static const uint64_t tag_step = (uint64_t)1 << 32;

void workspaces_open(struct kh_db *db) {
    lock_init(&db->workspaces.lock, RANK_DATABASE);
}

void workspaces_close(struct kh_db *db) {
    struct workspaces *all = &db->workspaces;
    uint32_t count = atomic_load_explicit(&all->count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        arena_fini(&all->handles[i]->arena);
        arena_fini(&all->handles[i]->texts);
        mem_own_free(db->home.mem, all->handles[i], sizeof *all->handles[i]);
    }
    if (all->handles != NULL)
        mem_own_free(db->home.mem, all->handles, db->limits.txns * sizeof *all->handles);
    lock_fini(&all->lock);
}

/* ---- handles --------------------------------------------------------------------------------- */

static kh_workspace *take_spare(struct workspaces *all) {
    uint64_t word = atomic_load_explicit(&all->spare, memory_order_acquire);
    while ((uint32_t)word != 0) {
        kh_workspace *workspace = all->handles[(uint32_t)word - 1];
        uint64_t next =
            ((word & ~(tag_step - 1)) + tag_step) | WORKSPACE_GET(workspace, next_spare);
        if (atomic_compare_exchange_weak_explicit(&all->spare, &word, next, memory_order_acquire,
                                                  memory_order_acquire))
            return workspace;
    }
    return NULL;
}

void workspaces_give(kh_workspace *workspace) {
    struct workspaces *all = &workspace->db->workspaces;
    uint64_t word = atomic_load_explicit(&all->spare, memory_order_relaxed);
    uint64_t next;
    arena_reset(&workspace->texts);
    do {
        WORKSPACE_SET(workspace, next_spare, (uint32_t)word);
        next = ((word & ~(tag_step - 1)) + tag_step) | (workspace->index + 1);
    } while (!atomic_compare_exchange_weak_explicit(&all->spare, &word, next, memory_order_release,
                                                    memory_order_relaxed));
}

/* Under the lock. */
static kh_status make(struct kh_db *db, kh_workspace **out, kh_error *error) {
    struct workspaces *all = &db->workspaces;
    uint32_t count = atomic_load_explicit(&all->count, memory_order_relaxed);
    if (count == db->limits.txns)
        return status_fail(error, KH_BUSY, "%u workspaces are open", count);
    if (all->handles == NULL)
        all->handles = mem_own_alloc(db->home.mem, db->limits.txns * sizeof *all->handles);
    kh_workspace *made = all->handles == NULL ? NULL : mem_own_alloc(db->home.mem, sizeof *made);
    if (made == NULL) return status_no_memory(error, sizeof *made);
    memset(made, 0, sizeof *made);
    made->db = db;
    made->index = count;
    arena_init(&made->arena, db->home.mem, NULL);
    arena_init(&made->texts, db->home.mem, NULL);
    all->handles[count] = made;
    atomic_store_explicit(&all->count, count + 1, memory_order_release);
    *out = made;
    return KH_OK;
}

kh_status workspaces_take(struct kh_db *db, kh_workspace **out, kh_error *error) {
    struct workspaces *all = &db->workspaces;
    *out = take_spare(all);
    if (KH_LIKELY(*out != NULL)) return KH_OK;
    lock_take(&all->lock);
    kh_status status = make(db, out, error);
    lock_leave(&all->lock);
    return status;
}

void workspaces_next_use(kh_workspace *workspace) {
    WORKSPACE_SET(workspace, use, WORKSPACE_GET(workspace, use) + 1);
}

void workspaces_set_delta(kh_workspace *workspace, kh_delta *delta) {
    lock_take(&workspace->db->workspaces.lock);
    kh_delta *old = workspace->delta;
    workspace->delta = delta;
    lock_leave(&workspace->db->workspaces.lock);
    kh_delta_release(old);
}

/* ---- looking --------------------------------------------------------------------------------- */

/* Acquired, so that the use's number is read again after them. */
#define LOOK(workspace, field) atomic_load_explicit(&(workspace)->field, memory_order_acquire)

/* Under the lock, so that the delta stays. False: it is not open, or was closed meanwhile. */
static bool describe(const kh_workspace *workspace, uint64_t tick, kh_workspace_entry *out) {
    uint64_t use = atomic_load_explicit(&workspace->use, memory_order_acquire);
    if (use % 2 == 0) return false;
    uint64_t begun_ms = LOOK(workspace, begun_ms);
    *out = (kh_workspace_entry){.id = {workspace->db->id_high, LOOK(workspace, id)},
                                .state = (kh_workspace_state)LOOK(workspace, state),
                                .mode = (kh_semantic_mode)LOOK(workspace, mode),
                                .age_ms = tick > begun_ms ? tick - begun_ms : 0,
                                .operation_count = LOOK(workspace, operation_count),
                                .delta = workspace->delta};
    if (LOOK(workspace, use) != use) return false;
    if (out->delta != NULL) out->delta = kh_delta_retain(out->delta);
    return true;
}

static int order_of(const void *a, const void *b) {
    kh_txn_id left = ((const kh_workspace_entry *)a)->id;
    kh_txn_id right = ((const kh_workspace_entry *)b)->id;
    if (left.high != right.high) return left.high < right.high ? -1 : 1;
    return left.low == right.low ? 0 : left.low < right.low ? -1 : 1;
}

/* Room is made outside of the lock; false: it was not enough. */
static bool copy_all(struct kh_db *db, struct workspace_entries *out) {
    struct workspaces *all = &db->workspaces;
    uint64_t tick = db_tick(db);
    size_t made = atomic_load_explicit(&all->count, memory_order_acquire);
    if (out->capacity < made) {
        out->count = made;
        return false;
    }
    out->count = 0;
    lock_take(&all->lock);
    for (size_t i = 0; i < made; i++)
        out->count += describe(all->handles[i], tick, &out->items[out->count]);
    lock_leave(&all->lock);
    return true;
}

kh_status workspaces_entries(struct kh_db *db, struct workspace_entries *out, kh_error *error) {
    *out = (struct workspace_entries){NULL, 0, 0};
    while (!copy_all(db, out)) {
        size_t capacity = out->count + out->count / 4 + 8;
        if (out->items != NULL)
            mem_own_free(db->home.mem, out->items, out->capacity * sizeof *out->items);
        out->items = mem_own_alloc(db->home.mem, capacity * sizeof *out->items);
        out->capacity = out->items == NULL ? 0 : capacity;
        if (out->items != NULL) continue;
        out->count = 0;
        return status_no_memory(error, capacity * sizeof *out->items);
    }
    if (out->count > 1) qsort(out->items, out->count, sizeof *out->items, order_of);
    return KH_OK;
}

void workspaces_free_entries(struct kh_db *db, struct workspace_entries *entries) {
    for (size_t i = 0; i < entries->count; i++)
        kh_delta_release((kh_delta *)entries->items[i].delta);
    if (entries->items != NULL)
        mem_own_free(db->home.mem, entries->items, entries->capacity * sizeof *entries->items);
    *entries = (struct workspace_entries){NULL, 0, 0};
}

kh_status kh_db_workspaces(kh_db *db, kh_workspace_visit_fn *visit, void *context,
                           kh_error *error) {
    kh_assert(db != NULL && visit != NULL && "kh_db_workspaces: db or visit is NULL");
    struct workspace_entries all;
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    kh_status status = workspaces_entries(db, &all, error);
    for (size_t i = 0; i < all.count && visit(context, &all.items[i]); i++) continue;
    workspaces_free_entries(db, &all);
    return status;
}

kh_status kh_db_find_workspace(kh_db *db, kh_txn_id id, kh_workspace_visit_fn *visit, void *context,
                               kh_error *error) {
    struct workspace_entries all;
    kh_status status = KH_NOT_FOUND;
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    kh_status listed = workspaces_entries(db, &all, error);
    for (size_t i = 0; i < all.count && status == KH_NOT_FOUND; i++) {
        if (all.items[i].id.low != id.low || all.items[i].id.high != id.high) continue;
        (void)visit(context, &all.items[i]);
        status = KH_OK;
    }
    workspaces_free_entries(db, &all);
    return listed == KH_OK ? status : listed;
}

/* By the id of the transaction that it has now: after a retry that is another one. */
kh_status kh_db_remove_workspace(kh_db *db, kh_txn_id id, kh_error *error) {
    struct workspaces *all = &db->workspaces;
    kh_txn_id current = {id.high, 0};
    if (db_is_forked(db))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    uint32_t count = atomic_load_explicit(&all->count, memory_order_acquire);
    for (uint32_t i = 0; i < count && id.high == db->id_high; i++) {
        const kh_workspace *each = all->handles[i];
        uint64_t use = LOOK(each, use);
        if (use % 2 == 0 || LOOK(each, id) != id.low) continue;
        uint64_t low = LOOK(each, txn_id);
        if (LOOK(each, use) == use) current.low = low; /* else it is somebody else's by now */
    }
    if (current.low == 0) return status_fail(error, KH_NOT_FOUND, "no such workspace is open");
    return kh_db_cancel(db, current, error);
}
