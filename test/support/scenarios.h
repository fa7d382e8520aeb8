/* scenarios.h - every public call that allocates, run again and again with the n-th allocation
 * failing for all n. The failures are the caller's: those of an allocator hook, or of malloc
 * itself. */
#ifndef TEST_SUPPORT_SCENARIOS_H
#define TEST_SUPPORT_SCENARIOS_H

#include "support/calls.h"

struct scenario_failures {
    void (*arm)(void *context, uint64_t nth); /* the nth allocation from now on fails */
    bool (*disarm)(void *context);            /* did one fail since? */
    void *context;
    const kh_allocator *allocator; /* of the databases; NULL: the library's */
};

/* Each call on a transaction. What failed for want of memory says KH_NO_MEMORY, changes nothing,
 * and leaves the database usable; returns how many failures there were. */
uint64_t scenarios_calls(const struct scenario_failures *failures);
/* Commits, prepares and started commits of what every writing call wrote. */
uint64_t scenarios_commits(const struct scenario_failures *failures);
/* Calls on a database; on schemas and batches. */
uint64_t scenarios_db(const struct scenario_failures *failures);
/* Opening a database, with all that belongs to it. */
uint64_t scenarios_open(const struct scenario_failures *failures);

#endif
