/* acts_life.c - actions around transactions: cancels from other threads, timeouts, handles given
 * back unfinished, decisions, statistics, large values, second databases. */
#include "stress.h"

/* ---- cancels --------------------------------------------------------------------------------- */

struct living {
    struct worker *worker;
    int count;
    kh_live_txn txns[16];
};

static bool see_live(void *context, const kh_live_txn *txn) {
    struct living *living = context;
    CHECK(living->worker, txn->id.low != 0 && strlen(txn->tag) < 64, "a live transaction is none");
    living->txns[living->count++] = *txn;
    return living->count < 16;
}

void act_cancel(struct worker *worker) {
    struct living living = {.worker = worker};
    kh_outcome outcome = KH_OUTCOME_ACTIVE;
    kh_status status = kh_db_live(worker->world->db, see_live, &living, NULL);
    CHECK(worker, status == KH_OK, "kh_db_live answers %s", kh_status_name(status));
    if (living.count == 0) return;
    const kh_live_txn *one = &living.txns[draw(&worker->random, living.count)];
    status = kh_db_cancel(worker->world->db, one->id, NULL);
    bool is_right = status == KH_OK || status == KH_NOT_FOUND || status == KH_IN_USE;
    CHECK(worker, is_right, "kh_db_cancel answers %s", kh_status_name(status));
    CHECK(worker, !one->is_prepared || status != KH_OK, "a prepared transaction is cancelled");
    status = kh_db_outcome(worker->world->db, one->id, &outcome, NULL, NULL);
    CHECK(worker, status == KH_OK || status == KH_NOT_FOUND, "kh_db_outcome answers %s",
          kh_status_name(status));
}

/* A transaction that waits to be cancelled: its next call says so, and nothing of it remains. */
static void cancel_own(struct worker *worker) {
    struct deed deed;
    struct cell cell;
    if (!deed_begin(worker, &deed, draw_level(worker), KH_FAIL, 0)) return;
    deed_put(&deed, key_of(BANK, draw(&worker->random, ACCOUNTS)), -5000000, 0);
    kh_status status = kh_db_cancel(worker->world->db, deed.id, NULL);
    (void)deed_get(&deed, key_of(BANK, 0), &cell);
    CHECK(worker, status != KH_OK || deed.status != KH_OK, "a cancelled transaction goes on");
    deed_roll_back(&deed);
}

/* ---- timeouts -------------------------------------------------------------------------------- */

void act_expire(struct worker *worker) {
    struct deed deed = {.worker = worker, .level = draw_level(worker)};
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    struct key_text space;
    uint64_t deadline = now_ns() + 20000000000u;
    bool is_there = false;
    options.isolation = deed.level;
    options.timeout_ms = 1 + (uint32_t)draw(&worker->random, 2);
    options.tag = "expires";
    if (kh_txn_begin(worker->world->db, &options, &deed.txn, NULL) != KH_OK) return;
    deed.id = kh_txn_get_id(deed.txn);
    deed.last_snapshot = kh_txn_snapshot(deed.txn);
    deed_put(&deed, key_of(BANK, draw(&worker->random, ACCOUNTS)), -3000000, 0);
    while (deed.status == KH_OK && now_ns() < deadline) {
        deed.status = kh_txn_exists(deed.txn, key_bytes(key_of(BANK, 1), &space), &is_there, NULL);
        atomic_fetch_add_explicit(&worker->beats, 1, memory_order_relaxed);
        if (worker->world->options.has_no_threads) kh_db_step(worker->world->db);
        let_others(worker);
    }
    CHECK(worker, deed.status != KH_OK, "a transaction outlives its timeout by 20 s");
    deed_roll_back(&deed);
}

/* ---- handles given back ---------------------------------------------------------------------- */

/* Closed without an end: rolled back. A cursor may still be open and is closed later. */
void act_abandon(struct worker *worker) {
    struct deed deed;
    kh_cursor *cursor = NULL;
    kh_bytes key;
    const kh_batch *value = NULL;
    if (one_in(&worker->random, 2)) {
        cancel_own(worker);
        return;
    }
    if (!deed_begin(worker, &deed, draw_level(worker), KH_FAIL, 0)) return;
    deed_put(&deed, key_of(BANK, draw(&worker->random, ACCOUNTS)), -4000000, 0);
    if (deed.status == KH_OK) deed.status = kh_txn_scan(deed.txn, NULL, &cursor, NULL);
    if (cursor != NULL) {
        kh_status status = kh_cursor_next(cursor, &key, &value, NULL);
        CHECK(worker, status == KH_OK || is_retry(status), "kh_cursor_next answers %s",
              kh_status_name(status));
        status = kh_txn_commit(deed.txn, NULL, NULL);
        CHECK(worker, status == KH_IN_USE || is_retry(status),
              "a commit under an open cursor answers %s", kh_status_name(status));
    }
    if (one_in(&worker->random, 2)) (void)kh_txn_rollback(deed.txn);
    kh_cursor_close(cursor);
    worker->tally.rolled_back++;
    kh_txn_close(deed.txn);
}

void act_decide(struct worker *worker) {
    while (deed_decide_one(worker)) {
    }
    deed_drain(worker);
}

void act_step(struct worker *worker) {
    kh_db_step(worker->world->db);
}

/* ---- statistics ------------------------------------------------------------------------------ */

/* What only counts up never goes back. */
static void check_rise(struct worker *worker, const kh_stats *stats) {
    const kh_stats *last = &worker->stats;
    const uint64_t rising[][2] = {{last->begins, stats->begins},
                                  {last->commits, stats->commits},
                                  {last->commits_read_only, stats->commits_read_only},
                                  {last->aborts_conflict, stats->aborts_conflict},
                                  {last->aborts_not_serializable, stats->aborts_not_serializable},
                                  {last->versions_reclaimed, stats->versions_reclaimed},
                                  {last->reads, stats->reads},
                                  {last->scanned, stats->scanned}};
    for (size_t i = 0; i < sizeof rising / sizeof *rising; i++)
        CHECK(worker, rising[i][0] <= rising[i][1], "counter %zu falls from %llu to %llu", i,
              (unsigned long long)rising[i][0], (unsigned long long)rising[i][1]);
}

void act_stats(struct worker *worker) {
    kh_stats stats = {.size = sizeof stats};
    kh_bytes text = {NULL, 0};
    kh_status status = kh_db_stats(worker->world->db, &stats, NULL);
    CHECK(worker, status == KH_OK, "kh_db_stats answers %s", kh_status_name(status));
    check_rise(worker, &stats);
    worker->stats = stats;
    CHECK(worker, stats.keys < 2000 && stats.prepared <= MAILBOX_MAX + THREADS_MAX,
          "%llu keys, %llu prepared", (unsigned long long)stats.keys,
          (unsigned long long)stats.prepared);
    kh_stats_format format = one_in(&worker->random, 2) ? KH_STATS_JSON : KH_STATS_PROMETHEUS;
    status = kh_db_stats_text(worker->world->db, format, &text, NULL);
    CHECK(worker, status == KH_OK && text.size_bytes > 100, "kh_db_stats_text answers %s",
          kh_status_name(status));
    if (status == KH_OK) kh_bytes_free(text);
}

/* ---- large values ---------------------------------------------------------------------------- */

/* Adopted, not copied. Under a memory limit: waits, then BUSY. */
void act_fat(struct worker *worker) {
    struct deed deed = {.worker = worker, .level = draw_level(worker)};
    struct ArrowArray array;
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    int64_t stamp = ++worker->stamps;
    options.isolation = deed.level;
    options.policy = KH_REPLACE;
    options.timeout_ms = worker->world->options.has_memory_limit ? 30 : 0;
    options.tag = "fat";
    if (kh_txn_begin(worker->world->db, &options, &deed.txn, NULL) != KH_OK) return;
    deed.id = kh_txn_get_id(deed.txn);
    deed.last_snapshot = kh_txn_snapshot(deed.txn);
    uint32_t key = key_of(FAT, draw(&worker->random, FAT_KEYS));
    value_array(&array, stamp, worker->number, worker->world->options.has_log ? 600 : 4000);
    deed_put_array(&deed, key, &array);
    deed_note(&deed, key, false);
    (void)deed_commit(&deed, NULL);
}

/* ---- a second database ----------------------------------------------------------------------- */

/* Opened, used, closed; a batch of the first lives in it meanwhile, and one of its own outlives
 * it. Its memory comes from the hook of the first, so a leak shows there. */
void act_second(struct worker *worker) {
    kh_options options = KH_OPTIONS_INIT;
    kh_db *db = NULL;
    kh_txn *txn = NULL;
    kh_batch *kept = NULL;
    struct cell cell = {0, 0};
    kh_bytes key = {"second", 6};
    options.flags = one_in(&worker->random, 2) ? KH_OPEN_NO_THREADS : 0;
    options.limits.outcomes = 64;
    if (worker->world->options.has_hook) options.allocator = world_hook(worker->world);
    kh_status status = kh_db_open(&options, &db, NULL);
    CHECK(worker, status == KH_OK, "kh_db_open answers %s", kh_status_name(status));
    if (status != KH_OK) return;
    kh_watch *watch = NULL;
    kh_watch_event event;
    if (kh_watch_open(db, key, &watch, NULL) == KH_OK) (void)kh_watch_descriptor(watch);
    kh_batch *first = value_make(worker->world, true, worker->number, 3);
    for (int i = 0; i < 3 && status == KH_OK; i++) {
        status = kh_txn_begin(db, NULL, &txn, NULL);
        if (status == KH_OK) status = kh_txn_put(txn, key, first, NULL);
        if (status == KH_OK) status = kh_txn_commit(txn, NULL, NULL);
        kh_txn_close(txn);
        txn = NULL;
    }
    kh_batch_release(first);
    CHECK(worker, watch != NULL && kh_watch_next(watch, 0, &event, NULL) == KH_OK,
          "a watch in a second database tells of nothing");
    kh_watch_close(watch);
    if (status == KH_OK) status = kh_txn_begin(db, NULL, &txn, NULL);
    if (status == KH_OK) status = kh_txn_get(txn, key, &kept, NULL);
    CHECK(worker, kh_db_close(db) == KH_IN_USE, "a database closes under a transaction");
    kh_txn_close(txn);
    CHECK(worker, status == KH_OK, "a second database answers %s", kh_status_name(status));
    status = kh_db_close(db);
    CHECK(worker, status == KH_OK, "kh_db_close answers %s", kh_status_name(status));
    CHECK(worker, kept != NULL && value_read(kept, &cell) && cell.n == worker->number,
          "a batch does not outlive its database");
    kh_batch_release(kept);
}
