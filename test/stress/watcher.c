/* watcher.c - a thread that follows a watch on everything and keeps what it is told; at the end of
 * a round that must be exactly what the workers have booked: every change, in commit order. */
#include "stress.h"

struct watcher {
    struct world *world;
    kh_watch *watch;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    struct writes seen;
    bool is_marked;
    bool is_lossy;
};

void writes_add(struct writes *writes, kh_timestamp at, uint32_t key, bool is_deleted) {
    if (writes->count == writes->room) {
        writes->room = writes->room == 0 ? 1024 : writes->room * 2;
        writes->list = realloc(writes->list, writes->room * sizeof *writes->list);
        if (writes->list == NULL) abort();
    }
    writes->list[writes->count++] = (struct written){at, key, is_deleted};
}

static void *follow(void *argument) {
    struct watcher *watcher = argument;
    kh_watch_event event;
    kh_status status;
    while ((status = kh_watch_next(watcher->watch, UINT32_MAX, &event, NULL)) == KH_OK) {
        uint32_t key = 0;
        (void)pthread_mutex_lock(&watcher->lock);
        if (event.is_lossy || !key_parse(event.key, &key)) watcher->is_lossy = true;
        writes_add(&watcher->seen, event.timestamp, key, event.is_deleted);
        if (key / INDEX_MAX == MARK) {
            watcher->is_marked = true;
            (void)pthread_cond_broadcast(&watcher->change);
        }
        (void)pthread_mutex_unlock(&watcher->lock);
    }
    if (status != KH_CANCELLED)
        wrong_at(watcher->world, "kh_watch_next answers %s", kh_status_name(status));
    return NULL;
}

struct watcher *watcher_start(struct world *world) {
    struct watcher *watcher = calloc(1, sizeof *watcher);
    if (watcher == NULL) abort();
    watcher->world = world;
    (void)pthread_mutex_init(&watcher->lock, NULL);
    (void)pthread_cond_init(&watcher->change, NULL);
    kh_status status = kh_watch_open(world->db, (kh_bytes){NULL, 0}, &watcher->watch, NULL);
    if (status != KH_OK || pthread_create(&watcher->thread, NULL, follow, watcher) != 0) abort();
    return watcher;
}

static int compare(const void *left, const void *right) {
    const struct written *a = left;
    const struct written *b = right;
    if (a->at != b->at) return a->at < b->at ? -1 : 1;
    return a->key < b->key ? -1 : a->key > b->key;
}

static void judge(struct watcher *watcher, struct world *world) {
    struct writes *seen = &watcher->seen;
    struct writes *booked = &world->writes;
    for (size_t i = 1; i < seen->count; i++) {
        if (seen->list[i].at < seen->list[i - 1].at) {
            wrong_at(world, "a watch tells of %llu after %llu",
                     (unsigned long long)seen->list[i].at,
                     (unsigned long long)seen->list[i - 1].at);
            return;
        }
    }
    qsort(seen->list, seen->count, sizeof *seen->list, compare);
    qsort(booked->list, booked->count, sizeof *booked->list, compare);
    for (size_t i = 0; i < seen->count && i < booked->count; i++) {
        const struct written *a = &seen->list[i];
        const struct written *b = &booked->list[i];
        /* Row deletions may leave no value, or none may have been there. */
        bool is_deletion_right = a->is_deleted == b->is_deleted || a->key / INDEX_MAX == ROWS;
        if (a->at == b->at && a->key == b->key && is_deletion_right) continue;
        wrong_at(world, "event %zu is key %u at %llu (deleted: %d), committed was %u at %llu (%d)",
                 i, a->key, (unsigned long long)a->at, a->is_deleted, b->key,
                 (unsigned long long)b->at, b->is_deleted);
        return;
    }
    if (seen->count != booked->count)
        wrong_at(world, "a watch tells of %zu changes, committed were %zu", seen->count,
                 booked->count);
}

void watcher_judge(struct watcher *watcher, struct world *world) {
    (void)pthread_mutex_lock(&watcher->lock);
    while (!watcher->is_marked) (void)pthread_cond_wait(&watcher->change, &watcher->lock);
    watcher->is_marked = false;
    if (watcher->is_lossy) wrong_at(world, "a watch has lost events");
    judge(watcher, world);
    world->tally.watch_events += watcher->seen.count;
    world->tally.checks += watcher->seen.count;
    watcher->seen.count = 0;
    world->writes.count = 0;
    (void)pthread_mutex_unlock(&watcher->lock);
}

void watcher_stop(struct watcher *watcher) {
    kh_watch_cancel(watcher->watch);
    (void)pthread_join(watcher->thread, NULL);
    kh_watch_close(watcher->watch);
    (void)pthread_cond_destroy(&watcher->change);
    (void)pthread_mutex_destroy(&watcher->lock);
    free(watcher->seen.list);
    free(watcher);
}
