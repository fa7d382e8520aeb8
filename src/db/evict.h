/* evict.h - keeping a database's memory within its budget: which values go, and when.
 *
 * Of a database with a storage and limits.memory_bytes. RocksDB's part is taken off (evict_limit),
 * and three eighths are kept for keys and heads as long as they are fewer. Above three quarters a
 * hand goes over the keys in order and marks an eighth of them as cooling (store/cold.h); above
 * seven eighths it goes over the same stretch again and takes the values out that nobody has read
 * meanwhile, until thirteen sixteenths are left; then the next stretch. Values that are read back
 * stay up to fifteen sixteenths, so that the hand goes round while reads miss. The janitor moves
 * the hand, and so does a writer that waits for memory. What the storage does not have yet cannot
 * go: upkeep is told to hurry. Keys and the heads of versions stay. */
#ifndef KHONSU_DB_EVICT_H
#define KHONSU_DB_EVICT_H

#include "store/cold.h"

struct kh_db;
struct evictor;

/* Nothing is ever taken out of a database without storage or limit. KH_NO_MEMORY. */
kh_status evict_open(struct kh_db *db, kh_error *error);
void evict_close(struct kh_db *db);
/* The memory at which writers wait. */
uint64_t evict_limit(const struct kh_db *db);
/* In KH_SLOW_CHECKS builds a test can have memory always be short, and values of any size go; there
 * is room for two of three that come back. */
#if defined(KH_SLOW_CHECKS)
void evict_always(bool is_always);
#else
static inline void evict_always(bool is_always) {
    (void)is_always;
}
#endif
/* A value that comes from the storage stays in memory: there is room. Any thread. */
bool evict_has_room(const struct kh_db *db);
/* At the end of opening: down to the budget. */
void evict_at_open(struct kh_db *db);
/* Move the hand, if memory is short, for a stretch of work. Outside of the section and of epoch
 * sections of who. True: memory is short still, and more may help. */
bool evict_some(struct kh_db *db, const struct reclaimer *who);

#endif
