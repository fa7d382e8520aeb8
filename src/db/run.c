/* run.c - running a callback in a transaction until it commits.
 *
 * Back-off: full jitter between attempts, doubling from the least to the greatest pause (Brooker,
 * "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). */
#include "db/handle.h"

static const kh_run_options default_options = KH_RUN_OPTIONS_INIT;

enum { BACKOFF_MIN_US = 50, BACKOFF_MAX_US = 20000 };

/* xorshift64* (Vigna 2016): jitter needs no better. */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

static void back_off(const kh_run_options *options, uint32_t attempt, uint64_t *random) {
    uint64_t least = options->backoff_min_us != 0 ? options->backoff_min_us : BACKOFF_MIN_US;
    uint64_t most = options->backoff_max_us != 0 ? options->backoff_max_us : BACKOFF_MAX_US;
    uint64_t span = attempt < 20 ? least << attempt : most;
    if (span > most) span = most;
    env_pause_ns(next_random(random) % (span * 1000 + 1));
}

static kh_status run_once(kh_db *db, const kh_run_options *options, uint32_t attempt,
                          kh_run_fn *body, void *context, kh_timestamp *timestamp,
                          kh_error *error) {
    kh_txn *txn;
    kh_status status = kh_txn_begin(db, &options->txn, &txn, error);
    if (status != KH_OK) return status;
    if (attempt > 0) txn_count(&txn->counters.retries, 1);
    status = body(context, txn, error);
    if (status == KH_OK) status = kh_txn_commit(txn, timestamp, error);
    kh_txn_close(txn);
    return status;
}

kh_status kh_db_run(kh_db *db, const kh_run_options *options, kh_run_fn *body, void *context,
                    kh_timestamp *timestamp, uint32_t *attempts_made, kh_error *error) {
    kh_assert(db != NULL && body != NULL && "kh_db_run: db or body is NULL");
    kh_run_options known = default_options;
    if (options != NULL) {
        kh_status status =
            status_copy_sized(&known, sizeof known, options, "kh_run_options", error);
        if (status != KH_OK) return status;
    }
    options = &known;
    uint32_t most = options->attempts_max != 0 ? options->attempts_max : LIMIT_RUN_ATTEMPTS;
    uint64_t random;
    env_random(&random, sizeof random);
    random |= 1;
    kh_status status = KH_OK;
    uint32_t attempt = 0;
    while (attempt < most) {
        status = run_once(db, options, attempt, body, context, timestamp, error);
        attempt++;
        if (kh_status_classify(status) != KH_CLASS_RETRY || attempt == most) break;
        back_off(options, attempt - 1, &random);
    }
    if (attempts_made != NULL) *attempts_made = attempt;
    return status;
}
