/* watch.h - watchers of prefixes: told of each published write in commit order, woken without
 * polling. The engine's side; the public functions are in khonsu/db.h.
 *
 * publish runs in the commit section: it cannot fail, and costs one relaxed load when nobody
 * watches. Call it after the commit timestamp has become visible, so that who is woken sees the
 * write. When there is no memory for an event, the event is lost and its watch told so; the oldest
 * event is dropped, and its watch told so, when one too many waits.
 * kh_watch_open: after watch_open take and leave the lock of the commit section once. Commits that
 * did not see the watch have then been published, and kh_db_now() is not before them. */
#ifndef KHONSU_DB_WATCH_H
#define KHONSU_DB_WATCH_H

#include "base/lock.h"
#include "khonsu/db.h"
#include <stdatomic.h>

struct mem;

struct watch_hub { /* lies in struct kh_db */
    struct mem *mem;
    _Atomic uint32_t count; /* open watches; relaxed: a watch sees commits after its opening */
    struct lock lock;       /* RANK_WATCH: the list and every watch's queue */
    struct kh_watch *first;
    uint32_t events_max; /* kh_limits.watch_events */
};

/* events_max 0: LIMIT_WATCH_EVENTS. */
void watch_hub_init(struct watch_hub *hub, struct mem *mem, uint32_t events_max);
void watch_hub_fini(struct watch_hub *hub); /* no watch is open */

static inline bool watch_is_wanted(const struct watch_hub *hub) {
    return atomic_load_explicit(&hub->count, memory_order_relaxed) != 0;
}
/* Queue an event at every watch whose prefix key has; wake the waiters. In the commit section (its
 * rank is below RANK_WATCH), outside of the zone in which allocating is forbidden: allocates from
 * hub->mem; a failure loses the event, not the commit. */
void watch_publish(struct watch_hub *hub, kh_bytes key, kh_timestamp timestamp, bool is_deleted);

/* kh_watch_* of khonsu/db.h over a hub: kh_watch_open(db, ...) itself is in db.c and calls this.
 * KH_INVALID: prefix without data; KH_TOO_BIG: longer than a key can be; KH_NO_MEMORY. */
kh_status watch_open(struct watch_hub *hub, kh_bytes prefix, struct kh_watch **out,
                     kh_error *error);

#endif
