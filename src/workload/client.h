/* client.h - one thread of a run: makes one transaction after another and records each. */
#ifndef KHONSU_WORKLOAD_CLIENT_H
#define KHONSU_WORKLOAD_CLIENT_H

#include "bracket.h"
#include "jolt.h"
#include "ops.h"
#include "plan.h"
#include "shared.h"

struct client {
    struct shared *shared;
    struct ring *ring;
    const struct settings *settings;
    struct plan plan;
    struct dice dice;
    struct ops ops;
    struct bracket bracket;
    struct jolt jolt;
    uint64_t process; /* p of the next event */
    struct call call;
    struct text line;
};

void client_init(struct client *client, struct shared *shared, uint32_t ring,
                 const struct settings *settings, struct keys *keys, kh_db *db, kh_schema *schema);
void client_fini(struct client *client);
/* A thread: until the run's transactions are used up, or it is stopped. */
void *client_thread(void *client);
/* Read every key once more. Nothing else may run. */
void client_read_all(struct client *client);

#endif
