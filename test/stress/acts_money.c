/* acts_money.c - actions on numbers: transfers, groups written together, counters under each
 * policy. */
#include "stress.h"

/* Two accounts change, their sum does not; each write counts the account's version up by one, so
 * that a lost update shows even where the money is right. */
static void transfer(struct deed *deed) {
    struct worker *worker = deed->worker;
    int from = draw(&worker->random, ACCOUNTS);
    int to = (from + 1 + draw(&worker->random, ACCOUNTS - 1)) % ACCOUNTS;
    int64_t amount = 1 + draw(&worker->random, 50);
    struct cell a;
    struct cell b;
    uint32_t keys[2] = {key_of(BANK, from), key_of(BANK, to)};
    if (one_in(&worker->random, 4)) deed_lock(deed, keys, 2);
    if (!deed_get(deed, key_of(BANK, from), &a) || !deed_get(deed, key_of(BANK, to), &b)) {
        CHECK(worker, deed->status != KH_OK, "an account is gone");
        return;
    }
    if (one_in(&worker->random, 6)) deed_detour(deed, key_of(BANK, from));
    deed_put(deed, key_of(BANK, from), a.n - amount, a.v + 1);
    if (one_in(&worker->random, 6)) deed_detour(deed, key_of(BANK, to));
    deed_put(deed, key_of(BANK, to), b.n + amount, b.v + 1);
    deed_effect(deed, &worker->world->account_writes[from], 1, key_of(BANK, from));
    deed_effect(deed, &worker->world->account_writes[to], 1, key_of(BANK, to));
}

void act_transfer(struct worker *worker) {
    struct deed deed;
    kh_policy policy = one_in(&worker->random, 2) ? KH_FAIL : KH_DEFAULT_POLICY;
    bool is_open = one_in(&worker->random, 3)
                       ? deed_begin_meaning(worker, &deed, draw_level(worker))
                       : deed_begin(worker, &deed, draw_level(worker), policy, 0);
    if (!is_open) return;
    transfer(&deed);
    deed_end_somehow(&deed);
}

static void delete_group(struct deed *deed, int group) {
    struct key_text from;
    struct key_text to;
    kh_scan_options range = KH_SCAN_OPTIONS_INIT;
    uint64_t deleted = 0;
    int first = group * GROUP_SIZE;
    if (deed->status != KH_OK) return;
    range.from = key_bytes(key_of(GROUPS, first), &from);
    range.to = key_bytes(key_of(GROUPS, first + GROUP_SIZE), &to);
    range.flags = one_in(&deed->worker->random, 2) ? KH_SCAN_REVERSE : 0;
    deed->status = kh_txn_delete_range(deed->txn, &range, &deleted, NULL);
    if (deed->status != KH_OK) return;
    CHECK(deed->worker, deleted == 0 || deleted == GROUP_SIZE, "a group of %llu keys is deleted",
          (unsigned long long)deleted);
    for (int i = 0; deleted == GROUP_SIZE && i < GROUP_SIZE; i++)
        deed_note(deed, key_of(GROUPS, first + i), true);
}

/* Blind, but for a deletion's scan: at read committed nothing of it can conflict. */
void act_group(struct worker *worker) {
    struct deed deed;
    kh_policy policy = one_in(&worker->random, 2) ? KH_FAIL : KH_REPLACE;
    int group = draw(&worker->random, GROUP_COUNT);
    int64_t stamp = (int64_t)worker->number << 40 | ++worker->stamps;
    if (!deed_begin(worker, &deed, draw_level(worker), policy, 0)) return;
    if (one_in(&worker->random, 6)) {
        delete_group(&deed, group);
    } else {
        for (int i = 0; i < GROUP_SIZE; i++) {
            uint32_t key = key_of(GROUPS, group * GROUP_SIZE + i);
            if (one_in(&worker->random, 12)) deed_detour(&deed, key);
            deed_put(&deed, key, stamp, group);
        }
    }
    deed_end_somehow(&deed);
}

/* ---- compare and swap, by kh_db_run ---------------------------------------------------------- */

struct swap {
    struct worker *worker;
    uint32_t key;
    bool is_swapped;
};

static kh_status swap(void *context, kh_txn *txn, kh_error *error) {
    struct swap *swap = context;
    struct key_text space;
    kh_bytes key = key_bytes(swap->key, &space);
    kh_batch *old = NULL;
    struct cell cell = {0, 0};
    swap->is_swapped = false;
    kh_status status = kh_txn_get(txn, key, &old, error);
    if (status != KH_OK) return status;
    CHECK(swap->worker, value_read(old, &cell), "a counter cannot be read");
    let_others(swap->worker);
    kh_batch *stale = value_make(swap->worker->world, false, cell.n - 1, cell.v);
    kh_batch *next = value_make(swap->worker->world, true, cell.n + 1, cell.v + 1);
    if (one_in(&swap->worker->random, 4)) {
        status = kh_txn_compare_and_swap(txn, key, stale, NULL, NULL);
        CHECK(swap->worker, status == KH_MISMATCH || is_retry(status),
              "a swap from a value that is not there answers %s", kh_status_name(status));
    }
    if (status == KH_OK || status == KH_MISMATCH)
        status = kh_txn_compare_and_swap(txn, key, old, next, error);
    swap->is_swapped = status == KH_OK;
    kh_batch_release(stale);
    kh_batch_release(next);
    kh_batch_release(old);
    /* At read committed another's commit may come between the get and the swap. */
    return status == KH_MISMATCH ? KH_OK : status;
}

void act_swap(struct worker *worker) {
    kh_run_options options = KH_RUN_OPTIONS_INIT;
    int which = draw(&worker->random, COUNTERS);
    struct swap context = {worker, key_of(SWAPPED, which), false};
    kh_timestamp at = 0;
    uint32_t attempts = 0;
    options.txn.isolation = draw_level(worker);
    options.attempts_max = 8;
    options.backoff_min_us = 1;
    options.backoff_max_us = 100;
    kh_status status = kh_db_run(worker->world->db, &options, swap, &context, &at, &attempts, NULL);
    CHECK(worker, status == KH_OK || is_retry(status), "kh_db_run answers %s",
          kh_status_name(status));
    CHECK(worker, attempts >= 1 && attempts <= 8, "kh_db_run makes %u attempts", attempts);
    worker->tally.ends[status]++;
    if (status == KH_OK && context.is_swapped) {
        writes_add(&worker->writes, at, context.key, false);
        atomic_fetch_add_explicit(&worker->world->swapped[which], 1, memory_order_relaxed);
    }
}

/* ---- policies -------------------------------------------------------------------------------- */

/* Adds mine's difference to theirs; some writes ask to be dropped or to conflict after all. */
kh_resolution resolve_counter(void *context, kh_bytes key, const kh_batch *base,
                              const kh_batch *mine, const kh_batch *theirs, kh_batch **out) {
    struct world *world = context;
    struct cell was = {0, 0};
    struct cell wish = {0, 0};
    struct cell is = {0, 0};
    (void)key;
    if (base == NULL || mine == NULL || theirs == NULL || !value_read(base, &was) ||
        !value_read(mine, &wish) || !value_read(theirs, &is)) {
        wrong_at(world, "the callback gets values that are not there");
        return KH_RESOLVE_CONFLICT;
    }
    if (wish.v % 16 == 3) return KH_RESOLVE_CONFLICT;
    if (wish.v % 16 == 9) return KH_RESOLVE_DROP;
    *out = value_make(world, false, is.n + wish.n - was.n, is.v + 1);
    return KH_RESOLVE_WRITE;
}

void act_called(struct worker *worker) {
    struct deed deed;
    struct cell cell;
    int which = draw(&worker->random, COUNTERS);
    int64_t more = 1 + draw(&worker->random, 9);
    uint32_t key = key_of(CALLED, which);
    if (!deed_begin(worker, &deed, draw_level(worker), KH_CALLBACK, 0)) return;
    if (deed_get(&deed, key, &cell)) {
        deed_put(&deed, key, cell.n + more, cell.v + 1);
        deed_effect(&deed, &worker->world->called[which], more, key);
    }
    (void)deed_commit(&deed, NULL);
}

void act_ignored(struct worker *worker) {
    struct deed deed;
    struct cell cell;
    int which = draw(&worker->random, COUNTERS);
    uint32_t key = key_of(IGNORED, which);
    if (!deed_begin(worker, &deed, draw_level(worker), KH_IGNORE, 0)) return;
    if (deed_get(&deed, key, &cell)) {
        struct ArrowArray array;
        value_array(&array, cell.n + 1, cell.v + 1, 1);
        deed_put_array(&deed, key, &array);
        deed_note(&deed, key, false);
        deed_effect(&deed, &worker->world->ignored[which], 1, key);
    }
    (void)deed_commit(&deed, NULL);
}

/* Blind: always goes on top, and where history is kept the version of that commit is the value. */
void act_replaced(struct worker *worker) {
    struct deed deed;
    int64_t stamp = (int64_t)worker->number << 40 | ++worker->stamps;
    uint32_t key = key_of(REPLACED, draw(&worker->random, COUNTERS));
    kh_timestamp at = 0;
    struct cell cell;
    if (!deed_begin(worker, &deed, draw_level(worker), KH_REPLACE, 0)) return;
    deed_put(&deed, key, stamp, stamp);
    if (!deed_commit(&deed, &at)) {
        CHECK(worker, deed.status != KH_CONFLICT, "a replacing write conflicts");
        return;
    }
    if (!worker->world->options.has_retention) return;
    deed = (struct deed){.worker = worker, .level = KH_REPEATABLE_READ, .is_read_only = true};
    if (kh_txn_begin_at(worker->world->db, at, &deed.txn, NULL) != KH_OK) return;
    deed.last_snapshot = at;
    bool is_there = deed_get(&deed, key, &cell);
    CHECK(worker, deed.status != KH_OK || (is_there && cell.n == stamp),
          "what was written at %llu is not there then", (unsigned long long)at);
    (void)deed_commit(&deed, NULL);
}
