/* worker.c - the workloads. Everything here but loading is measured, so it does little: a draw is a
 * load from the tape, a key eight bytes stored behind a prefix, a call one through the engine's
 * table. A refused transaction is tried again with the same keys. */
#include "driver/worker.h"

#include "driver/draws.h"
#include "driver/gauges.h"

#include <stddef.h>

enum { PREFIX_BYTES = 16, LOAD_BATCH = 100, NUMBER_SHIFT = 32 };

void worker_init(struct worker *worker) {
    memcpy(worker->key, "bench/keys/key-/", PREFIX_BYTES);
}

const char *worker_key(struct worker *worker, uint64_t number) {
    number = __builtin_bswap64(number); /* in order as bytes too */
    memcpy(worker->key + PREFIX_BYTES, &number, sizeof number);
    return worker->key;
}

static inline bool begin(struct worker *worker, enum purpose purpose) {
    return worker->engine->begin(worker->session, purpose) == DONE;
}

static inline bool commit(struct worker *worker) {
    return worker->engine->commit(worker->session) == DONE;
}

static inline bool done(struct worker *worker, enum outcome outcome) {
    if (__builtin_expect(outcome == DONE, 1)) return true;
    worker->engine->abort(worker->session);
    return false;
}

static inline bool read_one(struct worker *worker, uint32_t draw) {
    const void *value = NULL;
    const char *key = worker_key(worker, draw & ~DRAW_IS_WRITE);
    if (!done(worker, worker->engine->read(worker->session, key, &value))) return false;
    worker->consumed +=
        worker->touches ? (uint64_t)worker->engine->number(value) : (uint64_t)(uintptr_t)value;
    return true;
}

/* The value names its key in its low half and is never the same twice. */
static inline bool write_one(struct worker *worker, uint32_t draw) {
    uint64_t number = draw & ~DRAW_IS_WRITE;
    const char *key = worker_key(worker, number);
    number |= (++worker->writes & INT32_MAX) << NUMBER_SHIFT;
    return done(worker, worker->engine->write(worker->session, key, (int64_t)number));
}

static bool attempt_empty(struct worker *worker, const uint32_t *draws) {
    (void)draws;
    return begin(worker, TO_READ) && commit(worker);
}

static bool attempt_read(struct worker *worker, const uint32_t *draws) {
    return begin(worker, TO_READ) && read_one(worker, draws[0]) && commit(worker);
}

static bool attempt_put(struct worker *worker, const uint32_t *draws) {
    return begin(worker, TO_WRITE) && write_one(worker, draws[0]) && commit(worker);
}

static bool attempt_either(struct worker *worker, const uint32_t *draws) {
    return (draws[0] & DRAW_IS_WRITE) != 0 ? attempt_put(worker, draws)
                                           : attempt_read(worker, draws);
}

enum { MIXED_READS = 10, MIXED_WRITES = 6 };

static bool attempt_mixed(struct worker *worker, const uint32_t *draws) {
    if (!begin(worker, TO_WRITE)) return false;
    for (int i = 0; i < MIXED_READS; i++)
        if (!read_one(worker, draws[i])) return false;
    for (int i = MIXED_READS; i < MIXED_READS + MIXED_WRITES; i++)
        if (!write_one(worker, draws[i])) return false;
    return commit(worker);
}

static inline bool read_balance(struct worker *worker, uint32_t account, int64_t *balance) {
    const void *value = NULL;
    const char *key = worker_key(worker, account);
    if (!done(worker, worker->engine->read_for_update(worker->session, key, &value))) return false;
    *balance = worker->engine->number(value);
    return true;
}

static inline bool write_balance(struct worker *worker, uint32_t account, int64_t balance) {
    const char *key = worker_key(worker, account);
    return done(worker, worker->engine->write(worker->session, key, balance));
}

static bool attempt_transfer(struct worker *worker, const uint32_t *draws) {
    uint32_t from = draws[0];
    uint32_t to = draws[1];
    int64_t amount = 1 + (int64_t)(worker->commits & 7);
    int64_t from_balance;
    int64_t to_balance;
    if (!begin(worker, TO_WRITE)) return false;
    if (!read_balance(worker, from, &from_balance)) return false;
    if (!read_balance(worker, to, &to_balance)) return false;
    if (!write_balance(worker, from, from_balance - amount)) return false;
    if (!write_balance(worker, to, to_balance + amount)) return false;
    if (!commit(worker)) return false;
    worker->ledger += (uint64_t)amount * ((uint64_t)to - from);
    return true;
}

static bool attempt_scan(struct worker *worker, const uint32_t *draws) {
    struct scan_result result;
    (void)draws;
    if (!begin(worker, TO_SCAN)) return false;
    worker->engine->scan(worker->session, &result);
    if (!commit(worker)) return false;
    worker->consumed += (uint64_t)result.sum;
    if (worker->checks_scans &&
        (result.count != worker->scan_count || result.sum != worker->scan_sum))
        worker->scans_broken++;
    return true;
}

static inline void run_one(struct worker *worker) {
    const uint32_t *draws = worker->tape + worker->tape_at;
    worker->tape_at += worker->draws;
    if (worker->tape_at == worker->tape_length) worker->tape_at = 0;
    while (!worker->attempt(worker, draws)) {
        worker->aborts++;
        if (worker->pause_seconds > 0) sleep_seconds(worker->pause_seconds);
    }
    worker->commits++;
}

void worker_run(struct worker *worker, uint64_t count) {
    if (worker->latencies == NULL) {
        for (uint64_t i = 0; i < count; i++) run_one(worker);
        return;
    }
    uint64_t began = clock_nanoseconds();
    for (uint64_t i = 0; i < count; i++) {
        run_one(worker);
        uint64_t ended = clock_nanoseconds();
        histogram_note(worker->latencies, ended - began);
        began = ended;
    }
}

static bool load_some(struct worker *worker, uint64_t from, uint64_t to, bool has_balances) {
    if (!begin(worker, TO_WRITE)) return false;
    for (uint64_t number = from; number < to; number++) {
        bool is_done = has_balances ? write_balance(worker, (uint32_t)number, INITIAL_BALANCE)
                                    : write_one(worker, (uint32_t)number);
        if (!is_done) return false;
    }
    return commit(worker);
}

void worker_load(struct worker *worker, uint64_t keys, bool has_balances) {
    for (uint64_t from = 0; from < keys; from += LOAD_BATCH) {
        uint64_t to = from + LOAD_BATCH < keys ? from + LOAD_BATCH : keys;
        while (!load_some(worker, from, to, has_balances)) continue;
    }
}

static const struct workload workloads[] = {
    {"c", attempt_read, 1, 0, false},
    {"b", attempt_either, 1, UINT32_MAX / 20, false},
    {"a", attempt_either, 1, UINT32_MAX / 2, false},
    {"rw16", attempt_mixed, MIXED_READS + MIXED_WRITES, 0, false},
    {"bank", attempt_transfer, 2, 0, true},
    {"scan", attempt_scan, 1, 0, true},
    {"put", attempt_put, 1, 0, false},
    {"empty", attempt_empty, 1, 0, false},
};

const struct workload *workload_find(const char *name) {
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++)
        if (strcmp(workloads[i].name, name) == 0) return &workloads[i];
    return NULL;
}
