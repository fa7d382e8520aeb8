/* home.h - a memory context and schema table that pass for a database, with every allocation
 * counted and any of them made to fail. */
#ifndef TEST_SUPPORT_HOME_H
#define TEST_SUPPORT_HOME_H

#include "batch/home.h"

struct home {
    struct batch_home batch; /* first: as in a kh_db */
    uint64_t calls;
    uint64_t fail_at; /* this call fails (from 1), 0: none */
    int64_t live_blocks;
};

kh_db *home_open(struct home *home);
/* Close the context; blocks may still keep it alive. */
void home_close(struct home *home);

#endif
