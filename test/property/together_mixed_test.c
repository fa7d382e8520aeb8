/* Workspaces of mixed levels that commit together, beside plain transactions, some of which commit
 * in the middle of the group's commit (from within the database's clock): deletes, scans with
 * limits both ways, savepoints, policies fail and replace. Without a log, and over one that answers
 * when somebody waits: there plain transactions may be in flight, certified and not visible, while
 * others begin, read and commit together.
 *
 * There is an order of all that committed, that agrees with real time, in which those of a group
 * stand side by side and each serializable one reads what it has read (searched for, by trying).
 * Each weaker one has read what its level says, and has lost nobody's update. Who refuses what, and
 * why, is the engine's business, as long as enough commits. */
#include "support/kit.h"
#include "support/middle_clock.h"

enum { KEYS = 4, TXNS = 8, OPEN = 5, STEPS = 34 };
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { HISTORIES = 3000 };
#else
enum { HISTORIES = 20000 };
#endif
enum { NOT_READ = -1, NOTHING = -2 }; /* a value 0 is an absent key */

struct txn {
    kh_workspace *workspace;
    kh_txn *plain; /* both NULL: it has ended */
    kh_isolation isolation;
    bool does_replace;
    bool is_committed;
    bool is_in_flight;
    uint64_t new_version[KEYS];
    int group; /* 0: alone */
    kh_timestamp committed;
    int64_t begun[KEYS];
    uint64_t begun_version[KEYS];
    uint64_t read_version[KEYS]; /* of the last read; UINT64_MAX: none */
    int64_t read[KEYS];
    int64_t wrote[KEYS]; /* NOTHING: nothing */
    int64_t saved[KEYS];
    uint32_t savepoint;
    bool has_savepoint;
    int first;
    int last;
};

struct history {
    kh_db *db;
    bool has_flights;
    struct txn txns[TXNS];
    int count;
    int event;
    int groups;
    int64_t state[KEYS];
    uint64_t version[KEYS]; /* visible */
    uint64_t newest[KEYS];  /* certified */
    uint64_t versions;
    struct txn *flights[TXNS];
    int flight_count;
    int64_t next_value;
    struct middle_clock clock;
    struct txn *fires;
    kh_status fired;
};

struct tally {
    uint64_t alone, together, members, refused, conflicts, between, flights;
};

static const char *const key_names[KEYS] = {"a", "b", "c", "d"};
static uint64_t seed;

static uint32_t draw(uint32_t below) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

/* ---- the search ------------------------------------------------------------------------------ */

static bool may_come_next(const struct history *history, unsigned left, int next) {
    const struct txn *txn = &history->txns[next];
    for (int i = 0; i < history->count; i++)
        if ((left >> i & 1) != 0 && i != next && history->txns[i].last < txn->first) return false;
    return true;
}

static bool is_open_group(const struct history *history, unsigned left, int group) {
    for (int i = 0; i < history->count && group != 0; i++)
        if ((left >> i & 1) != 0 && history->txns[i].group == group) return true;
    return false;
}

static bool has_order(const struct history *history, unsigned left, int group,
                      const int64_t state[KEYS]) {
    if (left == 0) return memcmp(state, history->state, sizeof history->state) == 0;
    bool is_inside = is_open_group(history, left, group);
    for (int i = 0; i < history->count; i++) {
        const struct txn *txn = &history->txns[i];
        int64_t next[KEYS];
        bool fits = (left >> i & 1) != 0 && may_come_next(history, left, i);
        if (is_inside && txn->group != group) fits = false;
        for (int key = 0; key < KEYS && fits; key++) {
            fits = txn->isolation != KH_SERIALIZABLE || txn->read[key] == NOT_READ ||
                   txn->read[key] == state[key];
            next[key] = txn->wrote[key] != NOTHING ? txn->wrote[key] : state[key];
        }
        if (fits && has_order(history, left & ~(1u << i), txn->group, next)) return true;
    }
    return false;
}

/* ---- ends ------------------------------------------------------------------------------------ */

static kh_txn *txn_of(struct txn *txn) {
    return txn->workspace != NULL ? kh_workspace_txn(txn->workspace) : txn->plain;
}

static bool is_open(const struct txn *txn) {
    return (txn->workspace != NULL || txn->plain != NULL) && !txn->is_in_flight;
}

static void end(struct history *history, struct txn *txn) {
    kh_workspace_close(txn->workspace);
    kh_txn_close(txn->plain);
    txn->workspace = NULL;
    txn->plain = NULL;
    txn->last = ++history->event;
}

/* Nobody's update is lost. */
static void check_updates(const struct txn *txn, const uint64_t before[KEYS]) {
    for (int key = 0; key < KEYS; key++) {
        if (txn->wrote[key] == NOTHING || txn->does_replace) continue;
        if (txn->isolation != KH_READ_COMMITTED)
            assert_int_equal(before[key], txn->begun_version[key]);
        else if (txn->read_version[key] != UINT64_MAX)
            assert_int_equal(before[key], txn->read_version[key]);
    }
}

static void note_certified(struct history *history, struct txn *txn) {
    for (int key = 0; key < KEYS; key++)
        if (txn->wrote[key] != NOTHING)
            history->newest[key] = txn->new_version[key] = ++history->versions;
}

static void become_visible(struct history *history, struct txn *txn) {
    for (int key = 0; key < KEYS; key++) {
        if (txn->wrote[key] == NOTHING) continue;
        history->state[key] = txn->wrote[key];
        history->version[key] = txn->new_version[key];
    }
    txn->is_committed = true;
}

static void take_effect(struct history *history, struct txn *txn) {
    note_certified(history, txn);
    become_visible(history, txn);
}

/* What the log has answered for. */
static void settle(struct history *history) {
    while (history->flight_count > 0) {
        struct txn *txn = history->flights[0];
        kh_status status = kh_txn_poll(txn->plain, &txn->committed);
        if (status == KH_PENDING) return;
        kit_is(status, KH_OK);
        become_visible(history, txn);
        txn->is_in_flight = false;
        kh_txn_close(txn->plain);
        txn->plain = NULL;
        txn->last = ++history->event;
        history->flight_count--;
        memmove(history->flights, history->flights + 1,
                (size_t)history->flight_count * sizeof *history->flights);
    }
}

static void note_refusal(struct tally *tally, kh_status status) {
    if (status != KH_CONFLICT && status != KH_NOT_SERIALIZABLE)
        fail_msg("refused with status %d", (int)status);
    tally->conflicts += status == KH_CONFLICT;
    tally->refused += status == KH_NOT_SERIALIZABLE;
}

static kh_status try_commit(struct txn *txn) {
    if (txn->workspace != NULL) return kh_workspace_commit(txn->workspace, &txn->committed, NULL);
    return kh_txn_commit(txn->plain, &txn->committed, NULL);
}

/* Without waiting for the log. */
static void start_alone(struct history *history, struct txn *txn, struct tally *tally) {
    kh_status status = kh_txn_commit_start(txn->plain, NULL);
    if (status != KH_OK) {
        settle(history);
        note_refusal(tally, status);
        end(history, txn);
        return;
    }
    check_updates(txn, history->newest);
    note_certified(history, txn);
    txn->is_in_flight = true;
    history->flights[history->flight_count++] = txn;
    tally->flights++;
    settle(history);
}

static void commit_alone(struct history *history, struct txn *txn, struct tally *tally) {
    kh_status status = try_commit(txn);
    settle(history);
    if (status != KH_OK) note_refusal(tally, status);
    if (status == KH_OK) {
        check_updates(txn, history->newest);
        take_effect(history, txn);
        tally->alone++;
    }
    end(history, txn);
}

static bool writes(const struct txn *txn) {
    for (int key = 0; key < KEYS; key++)
        if (txn->wrote[key] != NOTHING) return true;
    return false;
}

/* The one in the middle has its effect before or after the group, by its timestamp. */
static void finish_between(struct history *history, struct tally *tally, bool was_fired) {
    struct txn *txn = history->fires;
    history->fires = NULL;
    history->clock.fire_in = 0;
    if (!was_fired) return;
    if (history->fired != KH_OK) {
        note_refusal(tally, history->fired);
    } else {
        check_updates(txn, history->newest);
        take_effect(history, txn);
        tally->between++;
    }
    end(history, txn);
}

struct company {
    struct txn *members[OPEN];
    kh_workspace *workspaces[OPEN];
    size_t count;
    struct txn *others[OPEN]; /* who are open, too */
    size_t other_count;
};

/* Most of those that could, in any order. */
static void gather(struct history *history, struct company *company) {
    *company = (struct company){.count = 0};
    for (int i = 0; i < history->count; i++) {
        struct txn *txn = &history->txns[i];
        if (!is_open(txn)) continue;
        if (txn->plain != NULL || draw(4) == 0) {
            company->others[company->other_count++] = txn;
            continue;
        }
        size_t at = draw((uint32_t)company->count + 1);
        company->members[company->count] = company->members[at];
        company->workspaces[company->count++] = company->workspaces[at];
        company->members[at] = txn;
        company->workspaces[at] = txn->workspace;
    }
    if (company->count > 0 && company->other_count > 0 && draw(3) > 0) {
        history->fires = company->others[draw((uint32_t)company->other_count)];
        history->clock.fire_in = 1 + (int)draw((uint32_t)company->count + 5);
    }
}

/* All at one moment; and each key is one member's. */
static void take_effect_together(struct history *history, const struct company *company) {
    uint64_t before[KEYS];
    int group = ++history->groups;
    memcpy(before, history->newest, sizeof before);
    for (size_t i = 0; i < company->count; i++) {
        struct txn *member = company->members[i];
        check_updates(member, before);
        for (int key = 0; key < KEYS; key++)
            if (member->wrote[key] != NOTHING) assert_int_equal(history->newest[key], before[key]);
        take_effect(history, member);
        member->group = group;
    }
}

static bool is_later(const struct history *history, const struct txn *between,
                     kh_timestamp committed) {
    return history->fired == KH_OK && writes(between) && between->committed > committed;
}

static void commit_together(struct history *history, struct tally *tally) {
    struct company company;
    size_t culprit;
    kh_timestamp committed = 0;
    gather(history, &company);
    if (company.count == 0) return;
    const struct txn *between = history->fires;
    kh_status status =
        kh_workspace_commit_together(company.workspaces, company.count, &committed, &culprit, NULL);
    settle(history);
    bool was_fired = between != NULL && history->clock.fire_in == 0;
    bool is_after = was_fired && status == KH_OK && is_later(history, between, committed);
    if (!is_after) finish_between(history, tally, was_fired);
    if (status != KH_OK) {
        note_refusal(tally, status);
        assert_true(culprit < company.count);
        end(history, company.members[culprit]);
        return;
    }
    take_effect_together(history, &company);
    if (is_after) finish_between(history, tally, was_fired);
    for (size_t i = 0; i < company.count; i++) end(history, company.members[i]);
    tally->together += company.count > 1;
    tally->members += company.count;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void commit_between(void *context) {
    struct history *history = context;
    history->fired = try_commit(history->fires);
}

static void begin(struct history *history) {
    struct txn *txn = &history->txns[history->count++];
    *txn = (struct txn){.first = ++history->event};
    static const kh_isolation levels[] = {KH_SERIALIZABLE, KH_SERIALIZABLE, KH_SERIALIZABLE,
                                          KH_REPEATABLE_READ, KH_READ_COMMITTED};
    txn->isolation = levels[draw(5)];
    txn->does_replace = draw(4) == 0;
    for (int key = 0; key < KEYS; key++) {
        txn->read[key] = NOT_READ;
        txn->wrote[key] = NOTHING;
        txn->read_version[key] = UINT64_MAX;
    }
    memcpy(txn->begun, history->state, sizeof txn->begun);
    memcpy(txn->begun_version, history->version, sizeof txn->begun_version);
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    options.txn.isolation = txn->isolation;
    options.txn.policy = txn->does_replace ? KH_REPLACE : KH_FAIL;
    options.txn.timeout_ms = 600000;
    if (draw(history->has_flights ? 2 : 4) == 0)
        kit_is(kh_txn_begin(history->db, &options.txn, &txn->plain, NULL), KH_OK);
    else
        kit_is(kh_workspace_begin(history->db, &options, &txn->workspace, NULL), KH_OK);
}

static int64_t expected_of(const struct history *history, const struct txn *txn, int key) {
    if (txn->wrote[key] != NOTHING) return txn->wrote[key];
    return txn->isolation == KH_READ_COMMITTED ? history->state[key] : txn->begun[key];
}

static void note_read(struct history *history, struct txn *txn, int key, int64_t value) {
    assert_int_equal(value, expected_of(history, txn, key));
    if (txn->wrote[key] != NOTHING) return;
    txn->read[key] = value;
    txn->read_version[key] =
        txn->isolation == KH_READ_COMMITTED ? history->version[key] : txn->begun_version[key];
}

static void read_one(struct history *history, struct txn *txn, int key) {
    kh_batch *value = NULL;
    kh_status status = kh_txn_get(txn_of(txn), kit_key(key_names[key]), &value, NULL);
    int64_t number = status == KH_OK ? kit_number_of(value) : 0;
    kh_batch_release(value);
    assert_true(status == KH_OK || status == KH_NOT_FOUND);
    note_read(history, txn, key, number);
}

static void read_range(struct history *history, struct txn *txn) {
    int from = (int)draw(KEYS);
    int to = from + 1 + (int)draw((uint32_t)(KEYS - from)); /* exclusive */
    uint64_t limit = draw(3);
    bool is_reverse = draw(2) == 0;
    kh_scan_options options = kit_range(key_names[from], to == KEYS ? "z" : key_names[to], limit,
                                        is_reverse ? KH_SCAN_REVERSE : 0);
    kh_cursor *cursor;
    kh_bytes key;
    const kh_batch *value;
    int64_t found[KEYS] = {0};
    uint64_t count = 0;
    int last = -1;
    kit_is(kh_txn_scan(txn_of(txn), &options, &cursor, NULL), KH_OK);
    while (kh_cursor_next(cursor, &key, &value, NULL) == KH_OK) {
        last = ((const char *)key.data)[0] - 'a';
        found[last] = kit_number_of(value);
        count++;
    }
    kh_cursor_close(cursor);
    bool is_cut = limit != 0 && count == limit;
    for (int i = from; i < to; i++) {
        if (is_cut && (is_reverse ? i < last : i > last)) continue;
        note_read(history, txn, i, found[i]);
    }
}

static void write_one(struct history *history, struct txn *txn, int key) {
    txn->wrote[key] = ++history->next_value;
    kh_batch *value = kit_number(history->db, txn->wrote[key]);
    kit_is(kh_txn_put(txn_of(txn), kit_key(key_names[key]), value, NULL), KH_OK);
    kh_batch_release(value);
}

static void delete_one(struct txn *txn, int key) {
    txn->wrote[key] = 0;
    kit_is(kh_txn_delete(txn_of(txn), kit_key(key_names[key]), NULL), KH_OK);
}

static void save_or_undo(struct txn *txn) {
    if (txn->has_savepoint) {
        kit_is(kh_txn_rollback_to(txn_of(txn), txn->savepoint, NULL), KH_OK);
        memcpy(txn->wrote, txn->saved, sizeof txn->wrote);
    } else {
        kit_is(kh_txn_savepoint(txn_of(txn), &txn->savepoint, NULL), KH_OK);
        memcpy(txn->saved, txn->wrote, sizeof txn->wrote);
        txn->has_savepoint = true;
    }
}

static void operate(struct history *history, struct txn *txn) {
    int key = (int)draw(KEYS);
    switch (draw(9)) {
    case 0:
    case 1:
        read_range(history, txn);
        break;
    case 2:
    case 3:
    case 4:
        read_one(history, txn, key);
        break;
    case 5:
        delete_one(txn, key);
        break;
    case 6:
        save_or_undo(txn);
        break;
    default:
        write_one(history, txn, key);
    }
}

static struct txn *any_open(struct history *history) {
    struct txn *open[TXNS];
    uint32_t count = 0;
    for (int i = 0; i < history->count; i++)
        if (is_open(&history->txns[i])) open[count++] = &history->txns[i];
    return count == 0 ? NULL : open[draw(count)];
}

static int count_open(const struct history *history) {
    int count = 0;
    for (int i = 0; i < history->count; i++) count += is_open(&history->txns[i]);
    return count;
}

static void state_is(const struct history *history) {
    for (int key = 0; key < KEYS; key++) {
        int64_t wanted = history->state[key] == 0 ? KIT_ABSENT : history->state[key];
        kit_load_is(history->db, key_names[key], wanted);
    }
}

static void step(struct history *history, struct tally *tally) {
    settle(history);
    struct txn *txn = any_open(history);
    bool has_room = txn == NULL || (count_open(history) < OPEN && draw(3) == 0);
    if (history->count < TXNS && has_room)
        begin(history);
    else if (txn == NULL)
        return;
    else if (draw(8) == 0)
        commit_together(history, tally);
    else if (draw(7) > 0)
        operate(history, txn);
    else if (history->has_flights && txn->plain != NULL && draw(3) > 0)
        start_alone(history, txn, tally);
    else
        commit_alone(history, txn, tally);
}

static void finish(struct history *history, struct tally *tally) {
    commit_together(history, tally);
    while (history->flight_count > 0) {
        kit_is(kh_txn_wait(history->flights[0]->plain, UINT32_MAX, NULL), KH_OK);
        settle(history);
    }
    for (int i = 0; i < history->count; i++)
        if (is_open(&history->txns[i])) end(history, &history->txns[i]);
    state_is(history);
}

static void play(uint64_t number, bool has_flights, struct tally *tally) {
    static struct history history;
    kh_options options = kit_options();
    const int64_t nothing[KEYS] = {0};
    history = (struct history){.has_flights = has_flights};
    options.clock = middle_clock_open(&history.clock, commit_between, &history);
    history.db = kit_open_with(&options);
    seed = number * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < STEPS; i++) step(&history, tally);
    finish(&history, tally);
    unsigned committed = 0;
    for (int i = 0; i < history.count; i++)
        if (history.txns[i].is_committed) committed |= 1u << i;
    if (!has_order(&history, committed, 0, nothing))
        fail_msg("history %llu has no serial order", (unsigned long long)number);
    kit_close(history.db);
}

static void play_all(bool has_flights) {
    struct tally tally = {0};
    uint64_t first = kit_env("KH_TEST_SEED", 1);
    uint64_t count = kit_env("KH_TEST_HISTORIES", HISTORIES);
    for (uint64_t number = first; number < first + count; number++)
        play(number, has_flights, &tally);
    print_message("alone %llu, together %llu of %llu, refused %llu, conflicts %llu, between %llu, "
                  "in flight %llu\n",
                  (unsigned long long)tally.alone, (unsigned long long)tally.together,
                  (unsigned long long)tally.members, (unsigned long long)tally.refused,
                  (unsigned long long)tally.conflicts, (unsigned long long)tally.between,
                  (unsigned long long)tally.flights);
    assert_true(tally.together > count / 8 && tally.between > count / 50);
    assert_true((tally.flights > count / 8) == has_flights);
    assert_true(tally.refused > count / 100 && tally.conflicts > count / 10);
}

static void test_at_once(void **state) {
    (void)state;
    play_all(false);
}

static void test_in_flight(void **state) {
    (void)state;
    assert_int_equal(setenv("KH_TEST_LOG", "flush", 1), 0);
    play_all(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_at_once),
                                       cmocka_unit_test(test_in_flight)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
