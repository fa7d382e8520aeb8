/* opening.h - how far an opening is, for the message hook: a line when it begins, at most one a
 * second while it goes on, one at its end, with what was read of how much, seconds and rate.
 *
 * Of databases with a path, a log or a storage; others have nothing to read. The clock is the
 * database's, and is looked at once for so many records or bytes. One thread: the one that opens.
 */
#ifndef KHONSU_DB_OPENING_H
#define KHONSU_DB_OPENING_H

#include "db/db.h"

enum opening_part {
    OPENING_CHECK,  /* of the log's end, by its digests */
    OPENING_VALUES, /* of the storage */
    OPENING_RECORDS /* that the log has more */
};
enum { OPENING_PARTS = 3 };

struct opening_count {
    uint64_t items;
    uint64_t bytes;
    uint64_t items_total; /* 0: not known */
    uint64_t bytes_total; /* about; 0: not known */
};

struct opening {
    struct kh_db *db;
    bool is_quiet;
    enum opening_part part;
    struct opening_count counts[OPENING_PARTS];
    uint64_t began_ns;
    uint64_t part_began_ns;
    uint64_t told_ns;
    uint64_t look_items; /* the clock is looked at when the part has so many */
    uint64_t look_bytes;
};

/* Says that it begins. db->opening is set until opening_end; the path is borrowed for the call. */
void opening_begin(struct opening *opening, struct kh_db *db, const kh_options *options);
/* The next part begins. Totals of 0: not known. */
void opening_enter(struct opening *opening, enum opening_part part, uint64_t items_total,
                   uint64_t bytes_total);
/* The check of a log's end begins: it will tell. The mark says how much there is. */
struct rocks_log_options;
void opening_check(struct opening *opening, struct rocks_log_options *options);
void opening_look(struct opening *opening);
/* So much more of the part was read. */
static inline void opening_step(struct opening *opening, uint64_t items, uint64_t bytes) {
    struct opening_count *count = &opening->counts[opening->part];
    count->items += items;
    count->bytes += bytes;
    if (KH_UNLIKELY(count->items >= opening->look_items || count->bytes >= opening->look_bytes))
        opening_look(opening);
}
/* It has succeeded, or not: says so in the first case. */
void opening_end(struct opening *opening, kh_status status);

#endif
