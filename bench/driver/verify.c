/* verify.c - is everything there that was committed?
 *
 * Balances: their sum is what it was at first, and the sum of number * balance moved by what the
 * committed transfers make of it. The first fails when half a transfer is lost or two transfers
 * overwrite each other, the second also when a whole one is lost. Other values name their key. */
#include "driver/run.h"

enum { VERIFY_BATCH = 1000 };

struct tally {
    uint64_t sum;
    uint64_t weighted;
    uint64_t strangers;
};

static bool read_some(struct worker *worker, uint64_t from, uint64_t to, struct tally *tally) {
    const struct engine *engine = worker->engine;
    if (engine->begin(worker->session, TO_READ) != DONE) return false;
    for (uint64_t number = from; number < to; number++) {
        const void *value = NULL;
        if (engine->read(worker->session, worker_key(worker, number), &value) != DONE) {
            engine->abort(worker->session);
            return false;
        }
        uint64_t found = (uint64_t)engine->number(value);
        tally->sum += found;
        tally->weighted += found * number;
        tally->strangers += (uint32_t)found != number;
    }
    return engine->commit(worker->session) == DONE;
}

uint64_t verify_values(struct worker *worker, const struct workload *workload, uint64_t keys,
                       uint64_t ledger) {
    struct tally tally = {0, 0, 0};
    for (uint64_t from = 0; from < keys; from += VERIFY_BATCH) {
        uint64_t to = from + VERIFY_BATCH < keys ? from + VERIFY_BATCH : keys;
        struct tally before = tally;
        while (!read_some(worker, from, to, &tally)) tally = before;
    }
    if (!workload->has_balances) return tally.strangers;
    uint64_t weighted = INITIAL_BALANCE * (keys * (keys - 1) / 2) + ledger;
    return (uint64_t)(tally.sum != keys * INITIAL_BALANCE) + (tally.weighted != weighted);
}
