/* home.c - the memory context and schema table that a call of the public interface works in. */
#include "batch/home.h"

#include "base/env.h"
#include "base/limits.h"
#include "base/status.h"
#include "batch/schema.h"
#include <stdatomic.h>
#include <stddef.h>

/* Made at first use, never freed. Two threads may make one each; the second finds itself late. */
static const struct batch_home *process_home(void) {
    static _Atomic(struct batch_home *) process;
    struct batch_home *home = atomic_load_explicit(&process, memory_order_acquire);
    if (home != NULL) return home;
    struct schema_table *schemas = schema_table_process();
    if (schemas == NULL) return NULL;
    struct mem *mem = mem_process();
    home = mem_own_alloc(mem, sizeof *home);
    if (home == NULL) return NULL;
    *home =
        (struct batch_home){.mem = mem, .schemas = schemas, .batch_bytes_max = LIMIT_BATCH_BYTES};
    struct batch_home *winner = NULL;
    if (!atomic_compare_exchange_strong_explicit(&process, &winner, home, memory_order_acq_rel,
                                                 memory_order_acquire)) {
        mem_own_free(mem, home, sizeof *home);
        home = winner;
    }
    return home;
}

kh_status batch_home_find(kh_db *db, const struct batch_home **out, kh_error *error) {
    const struct batch_home *home =
        db != NULL ? (const struct batch_home *)(const void *)db : process_home();
    if (home == NULL) return status_no_memory(error, sizeof *home);
    if (home->is_of_database && env_is_forked(home->fork_generation))
        return status_fail(error, KH_FORKED, "the database belongs to the parent process");
    *out = home;
    return KH_OK;
}
