/* home.h - how the batch room reaches the memory context of a kh_db without knowing databases:
 * the first member of struct kh_db is a struct batch_home. */
#ifndef KHONSU_BATCH_HOME_H
#define KHONSU_BATCH_HOME_H

#include "base/mem.h"
#include "khonsu/batch.h"

struct schema_table;

struct batch_home {
    struct mem *mem;
    struct schema_table *schemas;
    uint64_t batch_bytes_max; /* limit of one batch of this database */
};

/* The home of db, or the process' own when db is NULL (NULL: no memory). */
const struct batch_home *batch_home_of(kh_db *db);

#endif
