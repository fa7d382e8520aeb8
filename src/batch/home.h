/* home.h - how the batch room reaches the memory context of a kh_db without knowing databases:
 * the first member of struct kh_db is a struct batch_home. */
#ifndef KHONSU_BATCH_HOME_H
#define KHONSU_BATCH_HOME_H

#include "base/mem.h"
#include "khonsu/batch.h"
#include <stdbool.h>

struct schema_table;

struct batch_home {
    struct mem *mem;
    struct schema_table *schemas;
    uint64_t batch_bytes_max; /* limit of one batch of this database */
    bool is_of_database;      /* and so not usable in forked children */
    uint32_t fork_generation; /* of the process that opened the database */
};

/* The home of db, or the process' own when db is NULL. KH_FORKED: the database belongs to the
 * parent of this process, whose threads may have held its locks; KH_NO_MEMORY. */
kh_status batch_home_find(kh_db *db, const struct batch_home **out, kh_error *error);

#endif
