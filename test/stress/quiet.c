/* quiet.c - the database at rest: filled at the beginning, judged after each round.
 *
 * All workers are parked, nothing is open. Then the counters must say what the commits said, the
 * watch must have told of every change, and the database must hold one version of each key and
 * nothing else. */
#include "stress.h"

/* ---- filling --------------------------------------------------------------------------------- */

static void fill(struct deed *deed, enum table table, int count, int64_t n) {
    for (int i = 0; i < count; i++) {
        if (deed->status != KH_OK) return;
        kh_batch *batch = value_make(deed->worker->world, true, n, 0);
        deed_put_batch(deed, key_of(table, i), batch, KH_DEFAULT_POLICY);
        kh_batch_release(batch);
        if (deed->write_count > WRITES_MAX - 2) {
            (void)deed_commit(deed, NULL);
            (void)deed_begin(deed->worker, deed, KH_REPEATABLE_READ, KH_FAIL, 0);
        }
    }
}

bool quiet_fill(struct world *world) {
    struct deed deed;
    if (!deed_begin(&world->workers[0], &deed, KH_REPEATABLE_READ, KH_FAIL, 0)) return false;
    fill(&deed, BANK, ACCOUNTS, BALANCE);
    fill(&deed, DUTY, ROSTERS * ROSTER_SIZE, 1);
    fill(&deed, CALLED, COUNTERS, 0);
    fill(&deed, IGNORED, COUNTERS, 0);
    fill(&deed, SWAPPED, COUNTERS, 0);
    fill(&deed, LANES, LANE_COUNT, 0);
    return deed_commit(&deed, NULL);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void judge_counter(struct deed *deed, enum table table, int i, int64_t n, int64_t v) {
    struct cell cell;
    bool is_there = deed_get(deed, key_of(table, i), &cell);
    CHECK(deed->worker, is_there && (n < 0 || cell.n == n) && (v < 0 || cell.v == v),
          "%c %d is %lld/%lld, committed were %lld/%lld", TABLE_LETTERS[table], i,
          (long long)cell.n, (long long)cell.v, (long long)n, (long long)v);
}

static int64_t load(_Atomic int64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void judge_numbers(struct deed *deed) {
    struct world *world = deed->worker->world;
    for (int i = 0; i < ACCOUNTS; i++)
        judge_counter(deed, BANK, i, -1, load(&world->account_writes[i]));
    for (int i = 0; i < COUNTERS; i++) {
        judge_counter(deed, CALLED, i, load(&world->called[i]), -1);
        judge_counter(deed, IGNORED, i, load(&world->ignored[i]), load(&world->ignored[i]));
        judge_counter(deed, SWAPPED, i, load(&world->swapped[i]), load(&world->swapped[i]));
    }
    for (int i = 0; i < 4; i++) see_snapshot(deed->worker, deed->txn, false);
}

static void judge_receipts(struct deed *deed) {
    struct world *world = deed->worker->world;
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        struct cell control;
        struct cell sum;
        if (!deed_get(deed, key_of(LANES, lane), &control)) continue;
        for (int64_t batch = control.n - LANE_RING + 1; batch < control.n; batch++) {
            if (batch < 0) continue;
            uint32_t key = key_of(RECEIPTS, lane * LANE_RING + (int)(batch % LANE_RING));
            int64_t reported = load(&world->reports[lane][batch]);
            bool is_there = deed_get(deed, key, &sum) && sum.v == batch;
            CHECK(deed->worker, reported == 0 || reported - 1 == (is_there ? sum.n : 0),
                  "batch %lld of lane %d was reported as %lld, and is %lld", (long long)batch, lane,
                  (long long)reported - 1, (long long)(is_there ? sum.n : 0));
        }
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int compare_ids(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return a < b ? -1 : a > b;
}

/* As many rows as appends were committed, each id once. */
static void judge_appended(struct deed *deed, int which) {
    struct worker *worker = deed->worker;
    kh_batch *batch = deed_get_batch(deed, key_of(APPENDED, which));
    int64_t count = batch == NULL ? 0 : kh_batch_row_count(batch);
    int64_t expected = load(&worker->world->appended[which]);
    CHECK(worker, count == expected, "append batch %d has %lld rows, appended were %lld", which,
          (long long)count, (long long)expected);
    int64_t *ids = calloc((size_t)count + 1, sizeof *ids);
    if (ids == NULL) abort();
    for (int64_t row = 0; row < count; row++)
        CHECK(worker, kh_batch_int64(batch, 0, row, &ids[row]) == KH_OK, "a row without an id");
    qsort(ids, (size_t)count, sizeof *ids, compare_ids);
    for (int64_t row = 1; row < count; row++)
        CHECK(worker, ids[row] != ids[row - 1], "append batch %d has id %lld twice", which,
              (long long)ids[row]);
    free(ids);
    kh_batch_release(batch);
}

static void judge_rows(struct deed *deed, enum table table, int which) {
    struct world *world = deed->worker->world;
    kh_batch *batch = deed_get_batch(deed, key_of(table, which));
    int64_t count = 0;
    int64_t expected = 0;
    for (int i = 0; i < world->options.threads; i++) {
        (void)see_rows(&world->workers[i], batch, table, which, true, &count);
        for (int slot = 0; slot < ROW_SLOTS; slot++)
            expected += world->workers[i].rows[table == ROWS][which][slot] != 0;
    }
    CHECK(deed->worker, count == expected, "table %c batch %d has %lld rows, not %lld",
          TABLE_LETTERS[table], which, (long long)count, (long long)expected);
    kh_batch_release(batch);
}

/* The batches that only grow begin anew. */
static void empty_appended(struct world *world) {
    struct deed deed;
    if (!deed_begin(&world->workers[0], &deed, KH_SERIALIZABLE, KH_FAIL, 0)) return;
    for (int i = 0; i < ROW_BATCHES; i++) deed_delete(&deed, key_of(APPENDED, i));
    deed_put(&deed, key_of(MARK, 0), 1, 1);
    CHECK(&world->workers[0], deed_commit(&deed, NULL), "a commit at rest fails with %s",
          kh_status_name(deed.status));
    for (int i = 0; i < ROW_BATCHES; i++)
        atomic_store_explicit(&world->appended[i], 0, memory_order_relaxed);
}

/* ---- what is kept ---------------------------------------------------------------------------- */

static kh_stats stats_of(struct world *world) {
    kh_stats stats = {.size = sizeof stats};
    kh_status status = kh_db_stats(world->db, &stats, NULL);
    if (status != KH_OK) wrong_at(world, "kh_db_stats answers %s", kh_status_name(status));
    return stats;
}

static void hash_bytes(uint64_t *hash, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++) *hash = (*hash ^ at[i]) * 1099511628211u; /* FNV-1a */
}

static void hash_value(uint64_t *hash, const kh_batch *batch) {
    int64_t rows = kh_batch_row_count(batch);
    hash_bytes(hash, &rows, sizeof rows);
    for (int64_t row = 0; row < rows; row++) {
        int64_t pair[2] = {0, 0};
        if (kh_batch_int64(batch, 0, row, &pair[0]) != KH_OK) pair[0] = -1;
        if (kh_batch_int64(batch, 1, row, &pair[1]) != KH_OK) pair[1] = -1;
        hash_bytes(hash, pair, sizeof pair);
    }
}

uint64_t quiet_hash(struct world *world, kh_db *db, uint64_t *key_count) {
    uint64_t hash = 14695981039346656037u;
    kh_txn *txn = NULL;
    kh_cursor *cursor = NULL;
    kh_bytes key;
    const kh_batch *value = NULL;
    *key_count = 0;
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.timeout_ms = 10 * 60 * 1000;
    kh_status status = kh_txn_begin(db, &options, &txn, NULL);
    if (status == KH_OK) status = kh_txn_scan(txn, NULL, &cursor, NULL);
    while (status == KH_OK && (status = kh_cursor_next(cursor, &key, &value, NULL)) == KH_OK) {
        hash_bytes(&hash, key.data, key.size_bytes);
        hash_value(&hash, value);
        ++*key_count;
    }
    kh_cursor_close(cursor);
    if (status != KH_END) wrong_at(world, "a scan at rest answers %s", kh_status_name(status));
    kh_txn_close(txn);
    return hash;
}

/* Everything that no snapshot needs is gone after a step; retention has passed (world.c moves the
 * clock). The janitor may be stepping itself: then another step. */
static void judge_versions(struct world *world) {
    struct worker *worker = &world->workers[0];
    uint64_t keys = 0;
    kh_stats stats = {0};
    (void)quiet_hash(world, world->db, &keys);
    for (int i = 0; i < 1000; i++) {
        kh_db_step(world->db);
        stats = stats_of(world);
        if (stats.versions_live == keys && stats.keys == keys) break;
        let_others(worker);
    }
    CHECK(worker, stats.versions_live == keys && stats.keys == keys,
          "%llu keys can be read, %llu are kept with %llu versions", (unsigned long long)keys,
          (unsigned long long)stats.keys, (unsigned long long)stats.versions_live);
    CHECK(worker, stats.snapshots == 0 && stats.prepared == 0 && stats.in_flight == 0,
          "at rest: %llu snapshots, %llu prepared, %llu in flight",
          (unsigned long long)stats.snapshots, (unsigned long long)stats.prepared,
          (unsigned long long)stats.in_flight);
}

static bool count_live(void *context, const kh_live_txn *txn) {
    (void)txn;
    ++*(int *)context;
    return true;
}

/* Whatever began has ended, and once. */
static void judge_ends(struct world *world) {
    struct worker *worker = &world->workers[0];
    kh_stats stats = stats_of(world);
    int live = 0;
    uint64_t ends = stats.commits + stats.commits_read_only + stats.rollbacks +
                    stats.aborts_conflict + stats.aborts_not_serializable + stats.aborts_expired +
                    stats.aborts_cancelled + stats.aborts_busy + stats.aborts_held +
                    stats.aborts_locked + stats.aborts_deadlock + stats.aborts_semantic +
                    stats.aborts_rows + stats.aborts_other;
    CHECK(worker, stats.begins == ends, "%llu transactions began, %llu ended",
          (unsigned long long)stats.begins, (unsigned long long)ends);
    CHECK(worker, kh_db_live(world->db, count_live, &live, NULL) == KH_OK && live == 0,
          "%d transactions live at rest", live);
}

/* Memory at rest after the second round is the measure: caches, rings and free lists are filled.
 * The allowance is a quarter, and 512 KiB for the values that differ from round to round; the
 * library's own pool keeps what was freed, so there what one round may hold at its height is added.
 */
static void judge_memory(struct world *world, int round) {
    kh_stats stats = stats_of(world);
    if (round < 2) {
        if (stats.memory_bytes > world->memory_high) world->memory_high = stats.memory_bytes;
        return;
    }
    uint64_t allowed = world->memory_high + world->memory_high / 4 + (512u << 10);
    if (!world->options.has_hook) allowed += world->options.has_retention ? 12u << 20 : 2u << 20;
    /* What the janitor has retired it frees itself, some ticks later: a step cannot. */
    uint64_t began_ns = now_ns();
    while (stats.memory_bytes > allowed && now_ns() - began_ns < 5000000000u) {
        kh_db_step(world->db);
        stats = stats_of(world);
        let_others(&world->workers[0]);
    }
    CHECK(&world->workers[0], stats.memory_bytes <= allowed,
          "%llu bytes at rest in round %d, %llu in the first two",
          (unsigned long long)stats.memory_bytes, round, (unsigned long long)world->memory_high);
}

void quiet_judge(struct world *world, int round) {
    struct deed deed;
    struct worker *first = &world->workers[0];
    if (deed_begin(first, &deed, KH_SERIALIZABLE, KH_FAIL, 0)) {
        judge_numbers(&deed);
        judge_receipts(&deed);
        for (int i = 0; i < ROW_BATCHES; i++) {
            judge_appended(&deed, i);
            judge_rows(&deed, MERGED, i);
            judge_rows(&deed, ROWS, i);
        }
        CHECK(first, deed_commit(&deed, NULL), "a reader at rest fails with %s",
              kh_status_name(deed.status));
    }
    empty_appended(world);
    for (int i = 0; i < world->options.threads; i++) {
        struct writes *writes = &world->workers[i].writes;
        for (size_t w = 0; w < writes->count; w++)
            writes_add(&world->writes, writes->list[w].at, writes->list[w].key,
                       writes->list[w].is_deleted);
        writes->count = 0;
    }
    watcher_judge(world->watcher, world);
    atomic_fetch_add_explicit(&world->clock_offset_ms, 7200000, memory_order_relaxed);
    judge_versions(world);
    judge_ends(world);
    judge_memory(world, round);
}
