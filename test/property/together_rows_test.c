/* Nothing is lost: random workspaces put (policy merge) or upsert rows of their own into shared
 * tables, alone, together, and in the middle of a group's commit. What all have done commutes, so
 * the tables have the rows of all that committed, whatever the order. */
#include "support/kit.h"
#include "support/middle_clock.h"

enum { TXNS = 10, OPEN = 6, STEPS = 40, KEYS = 2 };

struct player {
    kh_workspace *workspace;
    int64_t begun[KEYS][TXNS + 1]; /* by row; the last one is there from the beginning */
    int64_t row[KEYS];             /* 0: none */
};

struct history {
    kh_db *db;
    struct player players[TXNS];
    int count;
    int64_t state[KEYS][TXNS + 1];
    int64_t next_value;
    struct middle_clock clock;
    struct player *fires;
    kh_status fired;
};

static uint64_t seed;
static uint64_t committed_count, together_count, refused_count, between_count;
static const char *const key_names[KEYS] = {"a", "b"};

static uint32_t draw(uint32_t below) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

static void text_of(const int64_t rows[TXNS + 1], char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i <= TXNS; i++)
        if (rows[i] != 0)
            used += (size_t)snprintf(text + used, size - used, "%s%d=%d/0", used == 0 ? "" : " ",
                                     i + 1, (int)rows[i]);
}

static int id_of(const struct history *history, const struct player *player) {
    return (int)(player - history->players);
}

static void end(struct history *history, struct player *player, kh_status status) {
    if (status == KH_OK) {
        committed_count++;
        for (int key = 0; key < KEYS; key++)
            if (player->row[key] != 0)
                history->state[key][id_of(history, player)] = player->row[key];
    } else {
        assert_true(status == KH_CONFLICT || status == KH_NOT_SERIALIZABLE);
        refused_count++;
    }
    kh_workspace_close(player->workspace);
    player->workspace = NULL;
}

static void commit_between(void *context) {
    struct history *history = context;
    history->fired = kh_workspace_commit(history->fires->workspace, NULL, NULL);
}

static void begin(struct history *history) {
    struct player *player = &history->players[history->count++];
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    *player = (struct player){NULL};
    options.txn.timeout_ms = 600000;
    options.txn.policy = KH_MERGE;
    options.txn.isolation = draw(2) == 0 ? KH_SERIALIZABLE : KH_REPEATABLE_READ;
    kit_is(kh_workspace_begin(history->db, &options, &player->workspace, NULL), KH_OK);
    memcpy(player->begun, history->state, sizeof player->begun);
}

static void operate(struct history *history, struct player *player) {
    int key = (int)draw(KEYS);
    int id = id_of(history, player);
    int64_t rows[TXNS + 1] = {0};
    char text[KIT_TEXT_BYTES];
    bool is_put = draw(2) == 0;
    if (draw(6) == 0) {
        kh_batch *seen = NULL;
        kit_is(kh_workspace_get(player->workspace, kit_key(key_names[key]), &seen, NULL), KH_OK);
        kh_batch_release(seen);
        return;
    }
    if (is_put) memcpy(rows, player->begun[key], sizeof rows);
    rows[id] = player->row[key] = ++history->next_value;
    text_of(rows, text, sizeof text);
    kh_batch *batch = kit_rows(history->db, text);
    kh_txn *txn = kh_workspace_txn(player->workspace);
    kh_status status = is_put ? kh_txn_put(txn, kit_key(key_names[key]), batch, NULL)
                              : kh_txn_upsert_rows(txn, kit_key(key_names[key]), batch, NULL);
    kit_is(status, KH_OK);
    kh_batch_release(batch);
}

static void commit_together(struct history *history) {
    struct player *members[OPEN];
    kh_workspace *workspaces[OPEN];
    size_t count = 0;
    size_t culprit;
    for (int i = 0; i < history->count; i++) {
        struct player *player = &history->players[i];
        if (player->workspace == NULL) continue;
        if (draw(4) == 0) {
            if (history->fires == NULL) history->fires = player;
            continue;
        }
        members[count] = player;
        workspaces[count++] = player->workspace;
    }
    if (history->fires != NULL && count > 0)
        history->clock.fire_in = 1 + (int)draw((uint32_t)count + 5);
    bool has_fires = history->clock.fire_in != 0;
    kh_status status =
        count == 0 ? KH_OK : kh_workspace_commit_together(workspaces, count, NULL, &culprit, NULL);
    if (has_fires && history->clock.fire_in == 0) {
        between_count += history->fired == KH_OK;
        end(history, history->fires, history->fired);
    }
    history->fires = NULL;
    history->clock.fire_in = 0;
    if (count == 0) return;
    if (status != KH_OK) {
        assert_true(culprit < count);
        end(history, members[culprit], status);
        return;
    }
    for (size_t i = 0; i < count; i++) end(history, members[i], KH_OK);
    together_count += count > 1;
}

static void fill(struct history *history) {
    char text[KIT_TEXT_BYTES];
    for (int key = 0; key < KEYS; key++) {
        history->state[key][TXNS] = 1;
        kh_txn *txn = kit_begin(history->db, KH_REPEATABLE_READ);
        text_of(history->state[key], text, sizeof text);
        kh_batch *batch = kit_rows(history->db, text);
        kit_is(kh_txn_put(txn, kit_key(key_names[key]), batch, NULL), KH_OK);
        kh_batch_release(batch);
        kit_commit_ok(txn);
    }
}

static void step(struct history *history) {
    int open = 0;
    struct player *any = NULL;
    for (int i = 0; i < history->count; i++)
        if (history->players[i].workspace != NULL && draw((uint32_t)++open) == 0)
            any = &history->players[i];
    bool has_room = any == NULL || (open < OPEN && draw(2) == 0);
    if (history->count < TXNS && has_room)
        begin(history);
    else if (any == NULL)
        return;
    else if (draw(7) == 0)
        commit_together(history);
    else if (draw(7) == 0)
        end(history, any, kh_workspace_commit(any->workspace, NULL, NULL));
    else
        operate(history, any);
}

/* The rows of a key as the database has them. */
static void read_rows(const struct history *history, int key, char text[KIT_TEXT_BYTES],
                      int64_t rows[TXNS + 1]) {
    kh_txn *txn = kit_begin(history->db, KH_REPEATABLE_READ);
    const kh_batch *batch = NULL;
    kit_is(kh_txn_peek(txn, kit_key(key_names[key]), &batch, NULL), KH_OK);
    kit_text(batch, text);
    for (char *at = text; at != NULL && *at != '\0';) {
        int id = 0;
        int value = 0;
        assert_int_equal(sscanf(at, "%d=%d/0", &id, &value), 2);
        rows[id - 1] = value;
        at = strchr(at, ' ');
        if (at != NULL) at++;
    }
    kh_txn_close(txn);
}

static void play(uint64_t number) {
    static struct history history;
    kh_options options = kit_options();
    char expected[KIT_TEXT_BYTES];
    char found[KIT_TEXT_BYTES];
    history = (struct history){.count = 0};
    options.clock = middle_clock_open(&history.clock, commit_between, &history);
    history.db = kit_open_with(&options);
    seed = number * 0x9e3779b97f4a7c15u;
    fill(&history);
    for (int i = 0; i < STEPS; i++) step(&history);
    commit_together(&history);
    for (int i = 0; i < history.count; i++) kh_workspace_close(history.players[i].workspace);
    for (int key = 0; key < KEYS; key++) {
        int64_t rows[TXNS + 1] = {0};
        read_rows(&history, key, found, rows);
        if (memcmp(rows, history.state[key], sizeof rows) == 0) continue;
        text_of(history.state[key], expected, sizeof expected);
        fail_msg("history %llu: %s, not %s", (unsigned long long)number, found, expected);
    }
    kit_close(history.db);
}

static void test_histories(void **state) {
    (void)state;
    uint64_t first = kit_env("KH_TEST_SEED", 1);
    uint64_t count = kit_env("KH_TEST_HISTORIES", 10000);
    for (uint64_t number = first; number < first + count; number++) play(number);
    print_message("committed %llu, together %llu, refused %llu, between %llu\n",
                  (unsigned long long)committed_count, (unsigned long long)together_count,
                  (unsigned long long)refused_count, (unsigned long long)between_count);
    assert_true(together_count > count / 4 && between_count > count / 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_histories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
