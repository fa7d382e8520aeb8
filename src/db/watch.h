/* watch.h - watchers of prefixes: told of each published write in commit order, woken without
 * polling. The engine's side; the public functions are in khonsu/db.h.
 *
 * publish runs in the commit section: it cannot fail, and costs one load when nobody watches. When
 * there is no memory for an event, the event is lost and its watch told so; the oldest event is
 * dropped, and its watch told so, when one too many waits.
 * Call it after the commit timestamp has become visible by a seq_cst store: who is woken then sees
 * the write, and a commit that did not see a watch being opened (the count is seq_cst too) is not
 * after kh_db_now() at the end of the opening. */
#ifndef KHONSU_DB_WATCH_H
#define KHONSU_DB_WATCH_H

#include "base/lock.h"
#include "khonsu/db.h"
#include <stdatomic.h>

struct mem;

struct watch_hub { /* lies in struct kh_db */
    struct mem *mem;
    _Atomic uint32_t count; /* open watches; changed under the lock, seq_cst (see above) */
    struct lock lock;       /* RANK_WATCH: the list and every watch's queue */
    struct kh_watch *first;
    uint32_t events_max; /* kh_limits.watch_events */
};

/* events_max 0: LIMIT_WATCH_EVENTS. */
void watch_hub_init(struct watch_hub *hub, struct mem *mem, uint32_t events_max);
void watch_hub_fini(struct watch_hub *hub); /* no watch is open */

static inline bool watch_is_wanted(const struct watch_hub *hub) {
    return atomic_load_explicit(&hub->count, memory_order_seq_cst) != 0;
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
