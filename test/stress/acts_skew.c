/* acts_skew.c - actions that only serializable transactions may do without breaking a promise that
 * spans keys: rosters (write skew, by ranges), pairs (absent keys), receipts (the anomaly that a
 * reader alone sees: Fekete, O'Neil and O'Neil, SIGMOD Record 2004). */
#include "stress.h"

static int present_by_gets(struct deed *deed, int first, bool present[ROSTER_SIZE]) {
    int count = 0;
    struct cell cell;
    for (int i = 0; i < ROSTER_SIZE; i++) {
        present[i] = deed_get(deed, key_of(DUTY, first + i), &cell);
        count += present[i];
    }
    return count;
}

static int present_by_scan(struct deed *deed, int first, bool present[ROSTER_SIZE],
                           uint64_t limit) {
    struct key_text from;
    struct key_text to;
    kh_scan_options range = KH_SCAN_OPTIONS_INIT;
    kh_cursor *cursor = NULL;
    kh_bytes bytes;
    const kh_batch *value = NULL;
    int count = 0;
    memset(present, 0, ROSTER_SIZE * sizeof *present);
    if (deed->status != KH_OK) return 0;
    range.from = key_bytes(key_of(DUTY, first), &from);
    range.to = key_bytes(key_of(DUTY, first + ROSTER_SIZE), &to);
    range.limit = limit;
    range.flags = (uint32_t)draw(&deed->worker->random, 4);
    kh_status status = kh_txn_scan(deed->txn, &range, &cursor, NULL);
    while (status == KH_OK && (status = kh_cursor_next(cursor, &bytes, &value, NULL)) == KH_OK) {
        uint32_t key = 0;
        CHECK(deed->worker,
              key_parse(bytes, &key) && key >= key_of(DUTY, first) &&
                  key < key_of(DUTY, first + ROSTER_SIZE),
              "a scan gives a key outside of its range");
        present[(key - key_of(DUTY, first)) % ROSTER_SIZE] = true;
        count++;
        let_others(deed->worker);
    }
    kh_cursor_close(cursor);
    if (status != KH_END) deed->status = status;
    return count;
}

/* Whoever sees two on duty may send one home. */
void act_duty(struct worker *worker) {
    struct deed deed;
    bool present[ROSTER_SIZE];
    int first = draw(&worker->random, ROSTERS) * ROSTER_SIZE;
    int who = draw(&worker->random, ROSTER_SIZE);
    if (!deed_begin(worker, &deed, KH_SERIALIZABLE, KH_FAIL, 0)) return;
    int how = draw(&worker->random, 3);
    int count = how == 0 ? present_by_gets(&deed, first, present)
                         : present_by_scan(&deed, first, present, how == 1 ? 0 : 2);
    CHECK(worker, deed.status != KH_OK || count >= 1, "nobody is on duty in roster %d", first);
    if (present[who] && count >= 2) {
        deed_delete(&deed, key_of(DUTY, first + who));
    } else {
        deed_put(&deed, key_of(DUTY, first + who), worker->number, ++worker->stamps);
    }
    deed_end_somehow(&deed);
}

void act_pair(struct worker *worker) {
    struct deed deed;
    struct cell cell;
    int pair = draw(&worker->random, PAIR_COUNT);
    int side = draw(&worker->random, 2);
    uint32_t mine = key_of(PAIRS, pair * 2 + side);
    uint32_t other = key_of(PAIRS, pair * 2 + 1 - side);
    if (!deed_begin(worker, &deed, KH_SERIALIZABLE, KH_FAIL, 0)) return;
    bool is_other_there = deed_get(&deed, other, &cell);
    bool is_mine_there = deed_get(&deed, mine, &cell);
    CHECK(worker, deed.status != KH_OK || !(is_other_there && is_mine_there),
          "both keys of pair %d are there", pair);
    if (is_mine_there) {
        deed_delete(&deed, mine);
    } else if (!is_other_there) {
        deed_put(&deed, mine, worker->number, ++worker->stamps);
    }
    deed_end_somehow(&deed);
}

/* Two keys that are equal after every serializable transaction: one kind writes both, the other
 * copies the first over whatever the second has become. */
void act_mirror(struct worker *worker) {
    struct deed deed;
    struct cell first = {0, 0};
    struct cell second = {0, 0};
    int pair = COUNTERS + draw(&worker->random, MIRRORS) * 2;
    int64_t stamp = (int64_t)worker->number << 40 | ++worker->stamps;
    int how = draw(&worker->random, 3);
    if (!deed_begin(worker, &deed, KH_SERIALIZABLE, KH_REPLACE, 0)) return;
    if (how == 0) {
        deed_put(&deed, key_of(REPLACED, pair), stamp, 0);
        deed_put(&deed, key_of(REPLACED, pair + 1), stamp, 0);
    } else if (how == 1) {
        (void)deed_get(&deed, key_of(REPLACED, pair), &first);
        deed_put(&deed, key_of(REPLACED, pair + 1), first.n, 0);
    } else {
        (void)deed_get(&deed, key_of(REPLACED, pair), &first);
        (void)deed_get(&deed, key_of(REPLACED, pair + 1), &second);
        CHECK(worker, deed.status != KH_OK || first.n == second.n,
              "a copy is %lld, the original %lld", (long long)second.n, (long long)first.n);
    }
    (void)deed_commit(&deed, NULL);
}

/* ---- receipts -------------------------------------------------------------------------------- */

static uint32_t receipts_key(int lane, int64_t batch) {
    return key_of(RECEIPTS, lane * LANE_RING + (int)(batch % LANE_RING));
}

void act_receipt(struct worker *worker) {
    struct deed deed;
    struct cell control;
    struct cell sum;
    int lane = draw(&worker->random, LANE_COUNT);
    if (!deed_begin(worker, &deed, KH_SERIALIZABLE, KH_FAIL, 0)) return;
    if (deed_get(&deed, key_of(LANES, lane), &control)) {
        uint32_t key = receipts_key(lane, control.n);
        bool is_there = deed_get(&deed, key, &sum) && sum.v == control.n;
        deed_put(&deed, key, is_there ? sum.n + 1 : 1, control.n);
    }
    deed_end_somehow(&deed);
}

void act_close_lane(struct worker *worker) {
    struct deed deed;
    struct cell control;
    int lane = draw(&worker->random, LANE_COUNT);
    if (!deed_begin(worker, &deed, KH_SERIALIZABLE, KH_FAIL, 0)) return;
    if (deed_get(&deed, key_of(LANES, lane), &control) && control.n < REPORTS_MAX - 1)
        deed_put(&deed, key_of(LANES, lane), control.n + 1, control.v + 1);
    deed_end_somehow(&deed);
}

/* The batch before the current one is closed: whoever has once read its sum in a transaction that
 * committed has fixed it. */
void act_report(struct worker *worker) {
    struct deed deed;
    struct cell control;
    struct cell sum = {0, 0};
    int lane = draw(&worker->random, LANE_COUNT);
    static const uint32_t flags[3] = {0, KH_BEGIN_READ_ONLY,
                                      KH_BEGIN_READ_ONLY | KH_BEGIN_DEFERRABLE};
    if (!deed_begin(worker, &deed, KH_SERIALIZABLE, KH_FAIL,
                    flags[draw(&worker->random, worker->is_nested ? 2 : 3)]))
        return;
    bool is_there = deed_get(&deed, key_of(LANES, lane), &control) && control.n > 0;
    int64_t batch = control.n - 1;
    if (is_there && (!deed_get(&deed, receipts_key(lane, batch), &sum) || sum.v != batch))
        sum.n = 0;
    if (!deed_commit(&deed, NULL) || !is_there) return;
    int64_t reported = 0;
    if (!atomic_compare_exchange_strong_explicit(&worker->world->reports[lane][batch], &reported,
                                                 sum.n + 1, memory_order_relaxed,
                                                 memory_order_relaxed))
        CHECK(worker, reported == sum.n + 1, "batch %lld of lane %d: reported %lld, then %lld",
              (long long)batch, lane, (long long)reported - 1, (long long)sum.n);
}
