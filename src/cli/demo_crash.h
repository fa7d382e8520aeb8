/* demo_crash.h - the demo that is killed in the middle, and what must be there afterwards. */
#ifndef KHONSU_CLI_DEMO_CRASH_H
#define KHONSU_CLI_DEMO_CRASH_H

#include "demo.h"

/* A writer's word that a change is committed, by its number among the writer's changes; timestamp
 * 0: it has begun, and goes on from that number. */
struct ack {
    uint64_t writer;
    uint64_t changes;
    uint64_t txn; /* the low half of its id; the high half is 0 */
    kh_timestamp timestamp;
};

struct crash {
    struct ack *acks;
    size_t ack_count;
    size_t ack_capacity;
    size_t acknowledged; /* of them, changes */
    uint64_t survived;   /* changes of the run that are there: set by crash_check */
    /* Of the log as the kill has left it. */
    uint64_t records;
    uint64_t replayed;
    bool has_torn_end;
};

/* Tell whoever listens; no effect when nobody does. Any thread. */
void crash_acknowledge(const struct demo *demo, const struct ack *ack);

/* Run the demo in a process of its own and kill it once it has acknowledged crash_after changes.
 * Must come before any call of the library. Returns an exit code, having complained. */
int crash_run(const struct demo_options *options, struct crash *crash);
/* In the database that was opened again: is all there that was acknowledged, and everything whole?
 * Returns an exit code, having complained. */
int crash_check(struct demo *demo, struct crash *crash);
void crash_free(struct crash *crash);

#endif
