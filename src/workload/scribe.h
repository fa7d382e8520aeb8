/* scribe.h - the process that writes the history while another runs the store. */
#ifndef KHONSU_WORKLOAD_SCRIBE_H
#define KHONSU_WORKLOAD_SCRIBE_H

#include "settings.h"
#include "shared.h"

#include <stdio.h>
#include <sys/types.h>

enum { SCRIBE_REASONS = 128 }; /* above every kh_status */

/* What was written. */
struct tally {
    uint64_t kinds[4]; /* by enum event_kind */
    uint64_t fails[SCRIBE_REASONS];
    uint64_t size_bytes;
    uint64_t kills;
};

struct scribe;
/* Writes the header. Everything is borrowed until scribe_destroy. */
struct scribe *scribe_create(const struct settings *settings, struct shared *shared, FILE *out,
                             struct tally *tally);
void scribe_destroy(struct scribe *scribe);
/* Write the history of a life of the store's process until it has ended, then what is left in the
 * rings, then 'info' for each transaction that never came back. *is_killed: it has been, as
 * planned. Signals SIGCHLD, SIGINT, SIGTERM and SIGHUP are blocked by the caller. Returns the
 * status of waitpid, or -1: the history could not be written (errno), and the store was stopped. */
int scribe_follow(struct scribe *scribe, pid_t store, bool *is_killed);

#endif
