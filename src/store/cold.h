/* cold.h - which values stay in memory, when they do not all fit.
 *
 * Reads write nothing, so nobody knows which values are hot. As LeanStore's cooling stage does
 * (Leis, Haubenschild, Kemper, Neumann, ICDE 2018): a value is first marked as cooling, which sends
 * its next reader the long way, and that reader takes the mark away. One that is cooling still when
 * the evictor comes back has not been read: its version gives way to a cold one, and its next
 * reader finds the value in the storage. A hot value costs one compare-and-swap now and then.
 *
 * THE DANGER is a value that a program has borrowed (kh_txn_peek) and that is freed. It cannot be:
 *   1. who reads a cooling value takes the mark away, or reads again (entry_read);
 *   2. who borrowed before the mark came has had a snapshot registered since, at or above the
 *      value's commit, and has said that it lends: while one of those (`borrowed`) is left, the
 *      value stays;
 *   3. versions below the newest have no mark: they are put back when a snapshot that reads them
 *      is found after they were taken out.
 * Only what the storage has is taken out: commits up to `stored`, not overwritten up to `swept`.
 * All in the section and in an epoch section of who. */
#ifndef KHONSU_STORE_COLD_H
#define KHONSU_STORE_COLD_H

#include "store/store.h"

/* Below this a cold version would take most of what it saves. */
enum { COLD_LEAST_BYTES = 128 };

/* Of one pass. */
struct cold_view {
    uint64_t visible;
    uint64_t least_bytes; /* values smaller than this stay */
    uint64_t stored;      /* the storage has versions up to this commit */
    uint64_t swept;       /* and may have lost those overwritten at or below this */
    uint64_t borrowed;    /* the newest snapshot left of those that lent when the marks were set */
    uint64_t *list;       /* registered snapshots, ascending; taken again where needed */
    size_t list_count;
};

/* Mark the newest value of a key as cooling, if it can be taken out. */
void cold_cool(struct entry *entry, const struct cold_view *view);
/* Take the values of a key out that are cooling still, or superseded and kept. Returns their bytes.
 * Without memory for a cold version a value stays. */
uint64_t cold_evict(struct store *store, const struct reclaimer *who, struct entry *entry,
                    struct cold_view *view);
/* The value of the newest version is back: `hot`, which holds it, takes the cold one's place.
 * False: the version of that commit is not the newest, or not cold; hot stays the caller's. */
bool cold_heat(struct store *store, const struct reclaimer *who, struct entry *entry,
               uint64_t commit, struct version *hot);
/* A cold version, not linked yet, of a value of so many bytes. NULL: no memory. */
struct version *cold_create(struct mem *mem, struct mem_cache *cache, uint64_t value_bytes);

#endif
