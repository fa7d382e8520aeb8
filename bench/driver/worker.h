/* worker.h - one thread's share of a workload: transactions over the keys on its tape. */
#ifndef BENCH_DRIVER_WORKER_H
#define BENCH_DRIVER_WORKER_H

#include "driver/histogram.h"
#include "engine.h"

#include <stdatomic.h>

/* What every account holds at first. */
enum { INITIAL_BALANCE = 1000 };

struct worker;

/* One try at a transaction over the draws. False: it was refused and left nothing. */
typedef bool attempt_fn(struct worker *worker, const uint32_t *draws);

struct workload {
    const char *name;
    attempt_fn *attempt;
    unsigned draws;      /* per transaction */
    uint32_t write_odds; /* of a draw's coin, in 2^32 */
    bool has_balances;   /* values are balances, whose sum stays; else they name their key */
};

/* NULL: no such workload. */
const struct workload *workload_find(const char *name);

struct worker {
    const struct engine *engine;
    attempt_fn *attempt;
    void *session;
    const uint32_t *tape;
    uint64_t tape_at;
    uint64_t tape_length; /* a multiple of draws */
    unsigned draws;
    bool touches;
    double pause_seconds; /* before it tries again; 0: at once */
    char key[KEY_BYTES];  /* refilled for each call */
    uint64_t commits;     /* of this phase */
    uint64_t aborts;      /* of this phase */
    uint64_t writes;      /* of all phases */
    /* Sum over committed transfers of amount * (to - from): what they do to the sum over accounts
     * of number * balance. A transaction lost as a whole shows there, if not in the total. */
    uint64_t ledger;
    uint64_t consumed; /* what reads have lent, so that nobody can leave them out */
    uint64_t scans_broken;
    uint64_t scan_count; /* what a scan must find */
    int64_t scan_sum;
    bool checks_scans;
    struct histogram *latencies; /* of this phase, from begin to commit; NULL: not asked for */
};

/* Prepare a worker whose other fields are set: the key's prefix. */
void worker_init(struct worker *worker);

/* The number-th key into worker->key. */
const char *worker_key(struct worker *worker, uint64_t number);

/* count transactions, each tried until it commits. */
void worker_run(struct worker *worker, uint64_t count);

/* Write the first values of all keys, in order. */
void worker_load(struct worker *worker, uint64_t keys, bool has_balances);

#endif
