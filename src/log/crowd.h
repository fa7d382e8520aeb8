/* crowd.h - do others commit, too? An average of how many records the groups of late had.
 *
 * Who is about to write a group lets others run first where there is a crowd: they come along, and
 * groups are larger and fewer. PostgreSQL waits for them by the clock (commit_delay, when
 * commit_siblings are at work); letting them run takes no time where nobody wants to. A lone
 * committer who waits has groups of one record, now and then a schema besides: no crowd.
 */
#ifndef KHONSU_LOG_CROWD_H
#define KHONSU_LOG_CROWD_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CROWD_ONE = 256, /* the average of groups of one record */
    CROWD_LEAST = CROWD_ONE + CROWD_ONE / 4,
    CROWD_WEIGHT = 8,       /* a group counts one part of so many */
    CROWD_RECORDS = 1 << 16 /* more count as so many */
};

/* A group of so many records is written. 0 at first. */
static inline void crowd_note(uint32_t *crowd, uint32_t record_count) {
    uint32_t records = record_count < CROWD_RECORDS ? record_count : CROWD_RECORDS;
    *crowd += records * (CROWD_ONE / CROWD_WEIGHT) - *crowd / CROWD_WEIGHT;
}

static inline bool crowd_is_there(uint32_t crowd) {
    return crowd > CROWD_LEAST;
}

#endif
