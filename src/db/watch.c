/* watch.c - the queue of each watcher, and waiting on it.
 *
 * Invariants, under the hub's lock: event_count events are linked from oldest to newest, in commit
 * order, and their keys start with the prefix; they are at most events_max, and more than one of
 * them only while their bytes are within the bound. The descriptor, once there is one, is readable
 * exactly when next would not wait.
 * Happy path: publish copies the key into an event behind the newest and wakes who waits; next
 * takes the oldest and keeps it until the next call, because its key is lent to the caller.
 * Failure: an event for which there is no memory is lost. The event published after it says so; if
 * all that waits has been taken before there is one, an event without a key does. */
#include "db/watch.h"

#include "base/env.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/status.h"
#include <string.h>

struct event {
    struct event *next;
    kh_timestamp timestamp;
    uint32_t key_bytes;
    bool is_deleted;
    bool is_lossy; /* events right before this one are gone */
    unsigned char key[];
};

struct kh_watch {
    struct watch_hub *hub;
    struct kh_watch *next; /* in the hub; its lock */
    uint32_t fork_generation;
    struct event *lent; /* what the last next returned; the watch's thread */
    struct signal signal;
    /* The rest: the hub's lock. */
    struct event *oldest;
    struct event *newest;
    uint32_t event_count;
    uint64_t events_bytes;
    kh_timestamp lost_timestamp; /* events after the newest are lost, the last of this time; or 0 */
    bool is_cancelled;
    bool is_waiting; /* a thread is in signal_wait */
    int descriptor;  /* -1: not asked for yet */
    uint32_t prefix_bytes;
    unsigned char prefix[];
};

void watch_hub_init(struct watch_hub *hub, struct mem *mem, uint32_t events_max) {
    memset(hub, 0, sizeof *hub);
    hub->mem = mem;
    hub->events_max = events_max != 0 ? events_max : LIMIT_WATCH_EVENTS;
    lock_init(&hub->lock, RANK_WATCH);
}

void watch_hub_fini(struct watch_hub *hub) {
    kh_assert(hub->first == NULL);
    lock_fini(&hub->lock);
}

static size_t event_size(const struct event *event) {
    return sizeof *event + event->key_bytes;
}

static void free_event(struct watch_hub *hub, struct event *event) {
    if (event != NULL) mem_free(hub->mem, NULL, event, event_size(event));
}

static bool is_ready(const struct kh_watch *watch) {
    return watch->is_cancelled || watch->oldest != NULL || watch->lost_timestamp != 0;
}

/* In a forked child the lock may be held for ever, by a thread that is not there. */
static bool is_forked(const struct kh_watch *watch) {
    return env_is_forked(watch->fork_generation);
}

/* ---- publishing ------------------------------------------------------------------------------ */

static bool is_watched(const struct kh_watch *watch, kh_bytes key) {
    return key.size_bytes >= watch->prefix_bytes &&
           (watch->prefix_bytes == 0 || memcmp(key.data, watch->prefix, watch->prefix_bytes) == 0);
}

static struct event *make_event(struct watch_hub *hub, kh_bytes key, kh_timestamp timestamp,
                                bool is_deleted) {
    struct event *event = mem_alloc(hub->mem, NULL, sizeof *event + key.size_bytes);
    if (event == NULL) return NULL;
    event->next = NULL;
    event->timestamp = timestamp;
    event->key_bytes = (uint32_t)key.size_bytes;
    event->is_deleted = is_deleted;
    event->is_lossy = false;
    memcpy(event->key, key.data, key.size_bytes);
    return event;
}

static struct event *take_oldest(struct kh_watch *watch) {
    struct event *event = watch->oldest;
    watch->oldest = event->next;
    if (watch->oldest == NULL) watch->newest = NULL;
    watch->event_count--;
    watch->events_bytes -= event_size(event);
    return event;
}

static void append_event(struct kh_watch *watch, struct event *event) {
    event->is_lossy = watch->lost_timestamp != 0;
    watch->lost_timestamp = 0;
    if (watch->newest != NULL)
        watch->newest->next = event;
    else
        watch->oldest = event;
    watch->newest = event;
    watch->event_count++;
    watch->events_bytes += event_size(event);
    uint64_t bytes_max = (uint64_t)watch->hub->events_max * LIMIT_WATCH_EVENT_BYTES;
    while (watch->event_count > watch->hub->events_max ||
           (watch->events_bytes > bytes_max && watch->event_count > 1)) {
        free_event(watch->hub, take_oldest(watch));
        watch->oldest->is_lossy = true;
    }
}

/* was_ready: as the watch was before the change that may have made it ready. Lock held. */
static void wake(struct kh_watch *watch, bool was_ready) {
    if (was_ready || !is_ready(watch)) return;
    if (watch->is_waiting) signal_wake_all(&watch->signal);
    if (watch->descriptor >= 0) env_event_signal(watch->descriptor);
}

void watch_publish(struct watch_hub *hub, kh_bytes key, kh_timestamp timestamp, bool is_deleted) {
    if (!watch_is_wanted(hub)) return;
    lock_take(&hub->lock);
    for (struct kh_watch *watch = hub->first; watch != NULL; watch = watch->next) {
        if (watch->is_cancelled || !is_watched(watch, key)) continue;
        bool was_ready = is_ready(watch);
        struct event *event = make_event(hub, key, timestamp, is_deleted);
        if (event != NULL)
            append_event(watch, event);
        else
            watch->lost_timestamp = timestamp;
        wake(watch, was_ready);
    }
    lock_leave(&hub->lock);
}

/* ---- watching -------------------------------------------------------------------------------- */

kh_status watch_open(struct watch_hub *hub, kh_bytes prefix, struct kh_watch **out,
                     kh_error *error) {
    if (prefix.data == NULL && prefix.size_bytes > 0)
        return status_fail(error, KH_INVALID, "prefix of %zu bytes is NULL", prefix.size_bytes);
    if (prefix.size_bytes > LIMIT_KEY_BYTES)
        return status_fail(error, KH_TOO_BIG, "prefix of %zu bytes, a key has at most %u",
                           prefix.size_bytes, LIMIT_KEY_BYTES);
    size_t size_bytes = sizeof(struct kh_watch) + prefix.size_bytes;
    struct kh_watch *watch = mem_alloc_zeroed(hub->mem, NULL, size_bytes);
    if (watch == NULL) return status_no_memory(error, size_bytes);
    watch->hub = hub;
    watch->fork_generation = env_fork_generation();
    signal_init(&watch->signal);
    watch->descriptor = -1;
    watch->prefix_bytes = (uint32_t)prefix.size_bytes;
    if (prefix.size_bytes > 0) memcpy(watch->prefix, prefix.data, prefix.size_bytes);
    lock_take(&hub->lock);
    watch->next = hub->first;
    hub->first = watch;
    atomic_fetch_add_explicit(&hub->count, 1, memory_order_seq_cst);
    lock_leave(&hub->lock);
    *out = watch;
    return KH_OK;
}

/* Hand out what waits: an event, a loss on its own, or the cancellation. Lock held. */
static kh_status take(struct kh_watch *watch, kh_watch_event *event) {
    if (watch->is_cancelled) return KH_CANCELLED;
    if (watch->oldest == NULL && watch->lost_timestamp == 0) return KH_PENDING;
    if (watch->oldest != NULL) {
        struct event *taken = take_oldest(watch);
        watch->lent = taken;
        *event = (kh_watch_event){
            {taken->key, taken->key_bytes}, taken->timestamp, taken->is_deleted, taken->is_lossy};
    } else {
        *event = (kh_watch_event){{"", 0}, watch->lost_timestamp, false, true};
        watch->lost_timestamp = 0;
    }
    if (watch->descriptor >= 0 && !is_ready(watch)) env_event_drain(watch->descriptor);
    return KH_OK;
}

kh_status kh_watch_next(kh_watch *watch, uint32_t timeout_ms, kh_watch_event *event,
                        kh_error *error) {
    if (watch == NULL || event == NULL)
        return status_fail(error, KH_INVALID, "%s is NULL", watch == NULL ? "watch" : "event");
    if (is_forked(watch))
        return status_fail(error, KH_FORKED, "the watch was opened by the parent process");
    struct watch_hub *hub = watch->hub;
    uint64_t deadline_ns = 0;
    if (timeout_ms != 0 && timeout_ms != UINT32_MAX) {
        /* The wait is in real time, whatever the database's clock hook says. */
        struct env_clock clock = env_clock_system();
        deadline_ns = env_monotonic_ns(&clock) + (uint64_t)timeout_ms * 1000000u;
    }
    free_event(hub, watch->lent);
    watch->lent = NULL;
    lock_take(&hub->lock);
    kh_status status = take(watch, event);
    bool is_in_time = timeout_ms != 0;
    while (status == KH_PENDING && is_in_time) {
        watch->is_waiting = true;
        is_in_time = signal_wait(&watch->signal, &hub->lock, deadline_ns);
        watch->is_waiting = false;
        status = take(watch, event);
    }
    lock_leave(&hub->lock);
    if (status == KH_CANCELLED) return status_fail(error, status, "the watch was cancelled");
    return status;
}

int kh_watch_descriptor(kh_watch *watch) {
    if (watch == NULL || is_forked(watch)) return -1;
    lock_take(&watch->hub->lock);
    if (watch->descriptor < 0) {
        watch->descriptor = env_event_open();
        if (watch->descriptor >= 0 && is_ready(watch)) env_event_signal(watch->descriptor);
    }
    int descriptor = watch->descriptor;
    lock_leave(&watch->hub->lock);
    return descriptor;
}

void kh_watch_cancel(kh_watch *watch) {
    if (watch == NULL || is_forked(watch)) return;
    lock_take(&watch->hub->lock);
    bool was_ready = is_ready(watch);
    watch->is_cancelled = true;
    wake(watch, was_ready);
    lock_leave(&watch->hub->lock);
}

void kh_watch_close(kh_watch *watch) {
    if (watch == NULL || is_forked(watch)) return;
    struct watch_hub *hub = watch->hub;
    lock_take(&hub->lock);
    kh_assert(!watch->is_waiting);
    struct kh_watch **link = &hub->first;
    while (*link != watch) link = &(*link)->next;
    *link = watch->next;
    atomic_fetch_sub_explicit(&hub->count, 1, memory_order_seq_cst);
    lock_leave(&hub->lock);
    while (watch->oldest != NULL) free_event(hub, take_oldest(watch));
    free_event(hub, watch->lent);
    env_event_close(watch->descriptor);
    signal_fini(&watch->signal);
    mem_free(hub->mem, NULL, watch, sizeof *watch + watch->prefix_bytes);
}
