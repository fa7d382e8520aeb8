/* Workspaces that commit together keep their level: random histories of a few workspaces over a few
 * keys, some of which commit alone and some together.
 *
 * Serializable: there is an order of all that committed, one after the other, that agrees with real
 * time and in which each reads what it has read (searched for, by trying). Repeatable read: each
 * has read from the state at its begin, and nobody has overwritten what came since. The model knows
 * values only; who refuses what, and why, is the engine's business, as long as enough commits. */
#include "support/kit.h"

enum { KEYS = 3, TXNS = 7, OPEN = 4, STEPS = 26, NOT_READ = -1 };

struct txn {
    kh_workspace *workspace; /* NULL: it has ended */
    bool is_committed;
    bool was_together;
    int64_t begun[KEYS]; /* the state at its begin */
    int64_t read[KEYS];
    int64_t wrote[KEYS]; /* 0: nothing */
    int first;           /* events: between its begin and its end */
    int last;
};

struct history {
    kh_db *db;
    kh_isolation isolation;
    struct txn txns[TXNS];
    int count;
    int event;
    int64_t state[KEYS];
    int64_t next_value;
};

struct tally {
    uint64_t alone, together, members, refused, conflicts;
};

static const char *const key_names[KEYS] = {"a", "b", "c"};
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

static bool has_order(const struct history *history, unsigned left, const int64_t state[KEYS]) {
    if (left == 0) return memcmp(state, history->state, sizeof history->state) == 0;
    for (int i = 0; i < history->count; i++) {
        const struct txn *txn = &history->txns[i];
        int64_t next[KEYS];
        bool fits = (left >> i & 1) != 0 && may_come_next(history, left, i);
        for (int key = 0; key < KEYS && fits; key++) {
            fits = txn->read[key] == NOT_READ || txn->read[key] == state[key];
            next[key] = txn->wrote[key] != 0 ? txn->wrote[key] : state[key];
        }
        if (fits && has_order(history, left & ~(1u << i), next)) return true;
    }
    return false;
}

static void is_serializable(const struct history *history) {
    const int64_t nothing[KEYS] = {0};
    unsigned committed = 0;
    for (int i = 0; i < history->count; i++)
        if (history->txns[i].is_committed) committed |= 1u << i;
    assert_true(has_order(history, committed, nothing));
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void begin(struct history *history) {
    struct txn *txn = &history->txns[history->count++];
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    options.txn.isolation = history->isolation;
    options.txn.timeout_ms = 600000;
    *txn = (struct txn){.first = ++history->event};
    for (int key = 0; key < KEYS; key++) txn->read[key] = NOT_READ;
    memcpy(txn->begun, history->state, sizeof txn->begun);
    kit_is(kh_workspace_begin(history->db, &options, &txn->workspace, NULL), KH_OK);
}

static void read_one(struct txn *txn, int key) {
    kh_batch *value = NULL;
    kh_status status = kh_workspace_get(txn->workspace, kit_key(key_names[key]), &value, NULL);
    int64_t number = status == KH_OK ? kit_number_of(value) : 0;
    kh_batch_release(value);
    assert_true(status == KH_OK || status == KH_NOT_FOUND);
    if (txn->wrote[key] == 0) txn->read[key] = number;
}

/* From a key to the end; own writes are not reads. */
static void read_range(struct txn *txn, int from) {
    kh_scan_options options = kit_range(key_names[from], "z", 0, 0);
    kh_cursor *cursor;
    kh_bytes key;
    const kh_batch *value;
    int64_t found[KEYS] = {0};
    kit_is(kh_txn_scan(kh_workspace_txn(txn->workspace), &options, &cursor, NULL), KH_OK);
    while (kh_cursor_next(cursor, &key, &value, NULL) == KH_OK)
        found[((const char *)key.data)[0] - 'a'] = kit_number_of(value);
    kh_cursor_close(cursor);
    for (int i = from; i < KEYS; i++)
        if (txn->wrote[i] == 0) txn->read[i] = found[i];
}

static void write_one(struct history *history, struct txn *txn, int key) {
    txn->wrote[key] = ++history->next_value;
    kh_batch *value = kit_number(history->db, txn->wrote[key]);
    kit_is(kh_workspace_put(txn->workspace, kit_key(key_names[key]), value, NULL), KH_OK);
    kh_batch_release(value);
}

static void operate(struct history *history, struct txn *txn) {
    int key = (int)draw(KEYS);
    switch (draw(5)) {
    case 0:
        read_range(txn, key);
        break;
    case 1:
    case 2:
        read_one(txn, key);
        break;
    default:
        write_one(history, txn, key);
    }
}

/* Its values become the state; before that, what its snapshot has read and missed is looked at. */
static void take_effect(struct history *history, struct txn *txn, const int64_t before[KEYS]) {
    for (int key = 0; key < KEYS; key++) {
        bool is_weak = history->isolation == KH_REPEATABLE_READ;
        if (txn->read[key] != NOT_READ) assert_int_equal(txn->read[key], txn->begun[key]);
        if (txn->wrote[key] == 0) continue;
        if (is_weak) assert_int_equal(before[key], txn->begun[key]);
        assert_int_equal(history->state[key], before[key]); /* nobody else of them writes it */
        history->state[key] = txn->wrote[key];
    }
    txn->is_committed = true;
}

static void end(struct history *history, struct txn *txn) {
    kh_workspace_close(txn->workspace);
    txn->workspace = NULL;
    txn->last = ++history->event;
}

static void note_refusal(struct tally *tally, kh_status status) {
    assert_true(status == KH_CONFLICT || status == KH_NOT_SERIALIZABLE);
    tally->conflicts += status == KH_CONFLICT;
    tally->refused += status == KH_NOT_SERIALIZABLE;
}

static void commit_alone(struct history *history, struct txn *txn, struct tally *tally) {
    int64_t before[KEYS];
    kh_status status = kh_workspace_commit(txn->workspace, NULL, NULL);
    memcpy(before, history->state, sizeof before);
    if (status != KH_OK) note_refusal(tally, status);
    if (status == KH_OK) {
        take_effect(history, txn, before);
        tally->alone++;
    }
    end(history, txn);
}

static void commit_together(struct history *history, struct tally *tally) {
    struct txn *members[OPEN];
    kh_workspace *workspaces[OPEN];
    int64_t before[KEYS];
    size_t count = 0;
    size_t culprit;
    for (int i = 0; i < history->count; i++) {
        struct txn *txn = &history->txns[i];
        if (txn->workspace == NULL || draw(4) == 0) continue;
        size_t at = draw((uint32_t)count + 1); /* in any order */
        members[count] = members[at];
        workspaces[count++] = workspaces[at];
        members[at] = txn;
        workspaces[at] = txn->workspace;
    }
    if (count == 0) return;
    kh_status status = kh_workspace_commit_together(workspaces, count, NULL, &culprit, NULL);
    memcpy(before, history->state, sizeof before);
    if (status != KH_OK) {
        note_refusal(tally, status);
        assert_true(culprit < count);
        end(history, members[culprit]);
        return;
    }
    for (size_t i = 0; i < count; i++) take_effect(history, members[i], before);
    for (size_t i = 0; i < count; i++) end(history, members[i]);
    tally->together += count > 1;
    tally->members += count;
}

static struct txn *any_open(struct history *history) {
    struct txn *open[TXNS];
    uint32_t count = 0;
    for (int i = 0; i < history->count; i++)
        if (history->txns[i].workspace != NULL) open[count++] = &history->txns[i];
    return count == 0 ? NULL : open[draw(count)];
}

static int count_open(const struct history *history) {
    int count = 0;
    for (int i = 0; i < history->count; i++) count += history->txns[i].workspace != NULL;
    return count;
}

static void state_is(const struct history *history) {
    for (int key = 0; key < KEYS; key++) {
        int64_t wanted = history->state[key] == 0 ? KIT_ABSENT : history->state[key];
        kit_load_is(history->db, key_names[key], wanted);
    }
}

static void play(uint64_t number, struct tally *tally) {
    struct history history = {.isolation = number % 3 == 0 ? KH_REPEATABLE_READ : KH_SERIALIZABLE};
    history.db = kit_open();
    seed = number * 0x9e3779b97f4a7c15u;
    for (int step = 0; step < STEPS; step++) {
        struct txn *txn = any_open(&history);
        if (history.count < TXNS && (txn == NULL || (count_open(&history) < OPEN && draw(3) == 0)))
            begin(&history);
        else if (txn != NULL && draw(8) == 0)
            commit_together(&history, tally);
        else if (txn != NULL && draw(7) == 0)
            commit_alone(&history, txn, tally);
        else if (txn != NULL)
            operate(&history, txn);
    }
    commit_together(&history, tally);
    for (int i = 0; i < history.count; i++)
        if (history.txns[i].workspace != NULL) end(&history, &history.txns[i]);
    state_is(&history);
    if (history.isolation == KH_SERIALIZABLE) is_serializable(&history);
    kit_close(history.db);
}

static void test_histories(void **state) {
    (void)state;
    struct tally tally = {0};
    uint64_t first = kit_env("KH_TEST_SEED", 1);
    uint64_t count = kit_env("KH_TEST_HISTORIES", 40000);
    for (uint64_t number = first; number < first + count; number++) play(number, &tally);
    print_message("alone %llu, together %llu of %llu, refused %llu, conflicts %llu\n",
                  (unsigned long long)tally.alone, (unsigned long long)tally.together,
                  (unsigned long long)tally.members, (unsigned long long)tally.refused,
                  (unsigned long long)tally.conflicts);
    assert_true(tally.together > count / 4 && tally.alone > count / 4);
    assert_true(tally.refused > count / 100 && tally.conflicts > count / 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_histories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
