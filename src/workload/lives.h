/* lives.h - a run from beginning to end: the lives of the store's process, one after the other. */
#ifndef KHONSU_WORKLOAD_LIVES_H
#define KHONSU_WORKLOAD_LIVES_H

#include "keys.h"
#include "scribe.h"

/* Run the store in a process of its own until the transactions are used up, killed and started
 * again as the settings say, and write the history. Returns the status of waitpid of the last life;
 * LIVES_UNWRITTEN: the history could not be written (errno); LIVES_UNBORN: there was no process to
 * be had (errno), or the command between two lives failed (shared->failure). */
enum { LIVES_UNWRITTEN = -1, LIVES_UNBORN = -2 };
int lives_run(const struct settings *settings, struct shared *shared, struct keys *keys, FILE *out,
              struct tally *tally);

#endif
