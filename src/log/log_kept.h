/* log_kept.h - records that were read from the log's end to check it, kept for who replays them:
 * they are read, taken apart and checked once then, and not twice.
 *
 * Bodies of groups as they lie, in blocks, up to a bound: beyond it, or without memory, the rest is
 * read again, which is what the caller has to be able to do anyway. One thread. */
#ifndef KHONSU_LOG_LOG_KEPT_H
#define KHONSU_LOG_LOG_KEPT_H

#include "khonsu/log.h"

struct mem;
struct kept_block;

struct log_kept {
    struct mem *mem;
    struct kept_block *oldest;
    struct kept_block *newest;
    uint64_t size_bytes;
    bool is_over;          /* nothing more is taken */
    kh_log_position first; /* of the records that are here; as next: there are none */
    kh_log_position next;
};

void log_kept_init(struct log_kept *kept, struct mem *mem);
/* Also to have it empty again. */
void log_kept_fini(struct log_kept *kept);
/* The frames of the group after those that are here, whose first record has this position. */
void log_kept_add(struct log_kept *kept, kh_log_position first, uint64_t record_count,
                  kh_bytes body);
/* The records of [from, end), all of which are here. False: the visitor has had enough. */
bool log_kept_visit(const struct log_kept *kept, kh_log_position from, kh_log_position end,
                    kh_log_visit_fn *visit, void *context);

#endif
