/* kv_world.h - a database, its model, and random steps that both take: what the property test is
 * made of. Each step asserts that the database answers as the model says it must. */
#ifndef TEST_SUPPORT_KV_WORLD_H
#define TEST_SUPPORT_KV_WORLD_H

#include "support/kv_batches.h"

enum { OPEN_MAX = 8 };

struct open_txn {
    kh_txn *txn;
    struct kv_txn model;
    bool is_read_only;
    kh_policy policy;
    int number; /* of its begin */
};

struct world {
    kh_db *db;
    bool is_traced;
    struct kv_random random;
    struct kit_clock clock;
    uint64_t retention_ms;
    struct kv_schemas schemas;
    struct kv_model model;
    struct open_txn open[OPEN_MAX];
    int open_count;
    int begun;
    uint64_t newest;
    uint64_t commits, refusals, conflicts, dropped;
};

int world_below(struct world *w, int bound);
bool world_chance(struct world *w, int per_cent);
void world_value_is(const kh_batch *batch, const struct kv_value *expected, int key,
                    const char *what);

/* With KH_TEST_TRACE set: one line about a step. */
void world_trace(const struct world *w, const struct open_txn *open, const char *format, ...);

void world_begin(struct world *w);
/* One random read, write or savepoint of an open transaction. */
void world_operate(struct world *w, struct open_txn *open);

#endif
