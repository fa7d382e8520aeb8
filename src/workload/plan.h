/* plan.h - what the next transaction of a thread will do: drawn from its dice. */
#ifndef KHONSU_WORKLOAD_PLAN_H
#define KHONSU_WORKLOAD_PLAN_H

#include "call.h"
#include "dice.h"

struct plan {
    const struct settings *settings;
    struct keys *keys;
    struct dice dice;
};

void plan_next(struct plan *plan, struct call *call);

/* The reads that end a run: how many transactions they take, and the which-th of them. */
uint64_t plan_final_count(const struct plan *plan);
void plan_final(const struct plan *plan, uint64_t which, struct call *call);

#endif
