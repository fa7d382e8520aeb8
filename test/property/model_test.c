/* model_test.c - random interleavings of up to eight open transactions, all levels, policies, row
 * operations, scans with all options, savepoints, ranges of deletes, compare-and-swap, deferrable
 * snapshots, reads in the past and reclamation at random moments, each answer against the model.
 *
 * Prints the seed of a world that fails; KH_TEST_SEED=<seed> KH_TEST_WORLDS=1 replays it, with
 * KH_TEST_TRACE=1 step by step. KH_TEST_STEPS: steps of one world. */
#include "support/kv_world.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { WORLDS = 12 };
#else
enum { WORLDS = 120 };
#endif
enum { STEPS = 2500 };

/* ---- the end of a transaction ---------------------------------------------------------------- */

static unsigned answer_of(kh_status status) {
    switch (status) {
    case KH_OK:
        return KV_MAY_COMMIT;
    case KH_CONFLICT:
        return KV_MAY_CONFLICT;
    case KH_NOT_SERIALIZABLE:
        return KV_MAY_REFUSE;
    case KH_ROW_EXISTS:
        return KV_MAY_EXIST;
    case KH_ROW_NOT_FOUND:
        return KV_MAY_MISS;
    default:
        return 0;
    }
}

static void check_committed(struct world *w, struct open_txn *open, uint64_t timestamp,
                            const enum kv_fate *fates) {
    int dropped = 0;
    int written = 0;
    for (int key = 0; key < KV_KEYS; key++) {
        if (open->model.writes[key].kind != KV_NOTHING) {
            dropped += fates[key] == KV_DROPPED;
            written += fates[key] != KV_DROPPED;
        }
    }
    kh_resolved resolved;
    for (size_t i = 0; kh_txn_resolved(open->txn, i, &resolved) == KH_OK; i++) {
        int key = kv_key_number(resolved.key);
        bool is_dropped = resolved.fate == KH_WRITE_DROPPED;
        assert_int_equal(is_dropped, fates[key] == KV_DROPPED);
        dropped -= is_dropped;
    }
    assert_int_equal(dropped, 0);
    if (written > 0) {
        assert_true(timestamp > w->newest);
        w->newest = timestamp;
    }
    assert_true(kh_db_now(w->db) >= w->newest);
}

static void do_commit(struct world *w, int index) {
    struct open_txn *open = &w->open[index];
    static struct kv_value values[KV_KEYS];
    enum kv_fate fates[KV_KEYS] = {KV_WRITTEN};
    kh_timestamp timestamp = 0;
    unsigned answers = kv_commit_answers(&w->model, &open->model, values, fates);
    world_trace(w, open, "commits");
    bool is_in_two_steps = !open->is_read_only && world_chance(w, 15);
    kh_status status = is_in_two_steps ? kh_txn_prepare(open->txn, NULL) : KH_OK;
    if (status == KH_OK) {
        status = kh_txn_commit(open->txn, &timestamp, NULL);
    }
    world_trace(w, open, "%s, may be %#x, at %llu", kh_status_name(status), answers,
                (unsigned long long)timestamp);
    if ((answers & answer_of(status)) == 0) {
        kh_conflict conflict = {.size = sizeof conflict};
        if (kh_txn_conflict(open->txn, &conflict) == KH_OK && conflict.key.size_bytes > 0) {
            print_error("at key %d\n", kv_key_number(conflict.key));
        }
        fail_msg("commit answers %s, which is not in the set %#x (level %d)",
                 kh_status_name(status), answers, (int)open->model.level);
    }
    w->conflicts += status == KH_CONFLICT;
    w->refusals += status == KH_NOT_SERIALIZABLE;
    if (status == KH_OK) {
        w->commits++;
        check_committed(w, open, timestamp, fates);
        kv_commit(&w->model, &open->model, timestamp, values, fates);
    }
    kh_txn_close(open->txn);
    w->open[index] = w->open[--w->open_count];
}

static void do_rollback(struct world *w, int index) {
    if (world_chance(w, 50)) {
        kit_is(kh_txn_rollback(w->open[index].txn), KH_OK);
    }
    kh_txn_close(w->open[index].txn);
    w->open[index] = w->open[--w->open_count];
}

/* ---- the past -------------------------------------------------------------------------------- */

static void do_begin_at(struct world *w) {
    const struct kv_chain *chain = &w->model.chains[world_below(w, KV_KEYS)];
    uint64_t at = kh_db_now(w->db);
    kh_txn *txn = NULL;
    if (chain->count > 0 && world_chance(w, 80)) {
        int back = world_below(w, chain->count < 12 ? chain->count : 12);
        at = chain->versions[chain->count - 1 - back].timestamp - (uint64_t)world_below(w, 2);
    }
    kh_timestamp horizon = kh_db_horizon(w->db);
    kh_status status = kh_txn_begin_at(w->db, at, &txn, NULL);
    assert_true(horizon <= kh_db_now(w->db));
    if (w->retention_ms > 0 && KH_MS_OF_TIMESTAMP(at) + w->retention_ms > w->clock.wall_ms) {
        kit_is(status, KH_OK);
    }
    kit_is(status, at < horizon ? KH_TOO_OLD : KH_OK);
    if (status != KH_OK) {
        return;
    }
    for (int key = 0; key < KV_KEYS; key++) {
        const kh_batch *batch = NULL;
        struct kv_value value = kv_at(&w->model, key, at);
        kit_is(kh_txn_peek(txn, kv_key(key), &batch, NULL),
               value.is_there ? KH_OK : KH_NOT_FOUND);
        world_value_is(batch, &value, key, "a read in the past");
    }
    kit_rollback(txn);
}

struct visit {
    const struct kv_chain *chain;
    int at; /* versions of the model below it are still to come */
    int skipped;
};

static bool visit_version(void *context, const kh_version_entry *version) {
    struct visit *visit = context;
    while (visit->at > 0 &&
           visit->chain->versions[visit->at - 1].timestamp != version->timestamp) {
        visit->at--;
        visit->skipped++;
    }
    assert_true(visit->at > 0);
    struct kv_value value = kv_value_of(version->value);
    visit->at--;
    assert_true(kv_value_equal(&value, &visit->chain->versions[visit->at].value));
    return true;
}

static void do_history(struct world *w) {
    int key = world_below(w, KV_KEYS);
    const struct kv_chain *chain = &w->model.chains[key];
    struct visit visit = {chain, chain->count, 0};
    bool is_complete = false;
    kh_timestamp from = 0;
    kh_timestamp horizon = kh_db_horizon(w->db);
    if (chain->count > 0 && world_chance(w, 70)) {
        from = chain->versions[chain->count - 1 - world_below(w, chain->count)].timestamp;
    }
    kit_is(kh_db_history(w->db, kv_key(key), from, UINT64_MAX, visit_version, &visit, &is_complete,
                         NULL),
           KH_OK);
    while (visit.at > 0 && chain->versions[visit.at - 1].timestamp >= from) {
        visit.at--;
        visit.skipped++;
    }
    if (is_complete ? visit.skipped != 0 : from > horizon) {
        fail_msg("history of key %d from %llu (horizon %llu, now %llu): %s, %d are missing", key,
                 (unsigned long long)from, (unsigned long long)horizon,
                 (unsigned long long)kh_db_now(w->db), is_complete ? "complete" : "incomplete",
                 visit.skipped);
    }
}

/* ---- a world --------------------------------------------------------------------------------- */

static void step(struct world *w) {
    int what = world_below(w, 100);
    if (what < 4) {
        kh_db_step(w->db);
    } else if (what < 8) {
        kit_clock_advance(&w->clock, (uint64_t)world_below(w, 30));
    } else if (what < 11) {
        do_begin_at(w);
    } else if (what < 14) {
        do_history(w);
    } else if (what < 28 || w->open_count == 0) {
        world_begin(w);
    } else if (what < 40) {
        do_commit(w, world_below(w, w->open_count));
    } else if (what < 42) {
        do_rollback(w, world_below(w, w->open_count));
    } else {
        world_operate(w, &w->open[world_below(w, w->open_count)]);
    }
}

static void check_reclaimed(struct world *w) {
    kh_stats stats;
    uint64_t values = 0;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    for (int key = 0; key < KV_KEYS; key++) {
        values += kv_at(&w->model, key, UINT64_MAX).is_there;
    }
    kh_db_step(w->db);
    kh_db_step(w->db);
    kit_is(kh_db_stats(w->db, &stats, NULL), KH_OK);
    if (w->retention_ms == 0) {
        assert_int_equal(stats.versions_live, values);
        assert_int_equal(stats.keys, values);
        assert_int_equal(stats.ranges, 0);
    }
}

static void run_world(struct world *w, uint64_t seed, uint64_t steps) {
    memset(w, 0, sizeof *w);
    kv_random_seed(&w->random, seed);
    w->clock = (struct kit_clock){1700000000000u, 1, 0};
    w->is_traced = kit_env("KH_TEST_TRACE", 0) != 0;
    w->retention_ms = world_chance(w, 40) ? 100 : 0;
    kh_options options = kit_options();
    options.clock = kit_clock_hook(&w->clock);
    options.timeout_ms = 1u << 30;
    options.retention_ms = w->retention_ms;
    w->db = kit_open_with(&options);
    w->newest = kh_db_now(w->db);
    kv_schemas_open(&w->schemas, w->db);
    for (uint64_t i = 0; i < steps; i++) {
        step(w);
    }
    while (w->open_count > 0) {
        do_commit(w, w->open_count - 1);
    }
    check_reclaimed(w);
    kv_schemas_close(&w->schemas);
    kit_close(w->db);
}

static uint64_t seed_now;

static void test_random_worlds(void **state) {
    (void)state;
    static struct world world;
    uint64_t first = kit_env("KH_TEST_SEED", 1);
    uint64_t worlds = kit_env("KH_TEST_WORLDS", WORLDS);
    uint64_t commits = 0, conflicts = 0, refusals = 0;
    for (seed_now = first; seed_now < first + worlds; seed_now++) {
        run_world(&world, seed_now, kit_env("KH_TEST_STEPS", STEPS));
        commits += world.commits;
        conflicts += world.conflicts;
        refusals += world.refusals;
    }
    print_message("seeds %llu to %llu: %llu commits, %llu conflicts, %llu refusals\n",
                  (unsigned long long)first, (unsigned long long)(first + worlds - 1),
                  (unsigned long long)commits, (unsigned long long)conflicts,
                  (unsigned long long)refusals);
    assert_true(worlds < 10 || (commits > 0 && conflicts > 0 && refusals > 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_worlds)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed != 0) {
        print_error("replay with KH_TEST_SEED=%llu KH_TEST_WORLDS=1\n",
                    (unsigned long long)seed_now);
    }
    return failed;
}
