/* store_run.h - the process that holds the store: opens it, runs the threads, reads all at last.
 * One that was killed has a successor, which goes on with what is left. */
#ifndef KHONSU_WORKLOAD_STORE_RUN_H
#define KHONSU_WORKLOAD_STORE_RUN_H

#include "keys.h"
#include "settings.h"
#include "shared.h"

/* One ring for each thread, and one for the final reads. Returns the process' exit code; why it is
 * not 0 stands in shared->failure. */
int store_run(const struct settings *settings, struct shared *shared, struct keys *keys);

#endif
