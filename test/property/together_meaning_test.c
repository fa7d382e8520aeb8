/* What workspaces that commit together mean is judged as if they had come one after the other, and
 * what they leave behind is judged by: random workspaces of all modes, alone, together and in the
 * middle of a group's commit.
 *
 * Whoever is guarded and has committed is against nobody who had committed and whom it did not see,
 * nor against anybody of its group (by either side's guard). Whoever was merged onto another's
 * write of its key, unseen or in the group before it, had a class that may be merged. */
#include "support/kit.h"
#include "support/middle_clock.h"

enum { TXNS = 10, OPEN = 6, STEPS = 40, KEYS = 3 };

struct player {
    kh_workspace *workspace;
    kh_semantic_mode mode;
    kh_delta *delta; /* of one that has committed */
    kh_timestamp snapshot;
    kh_timestamp committed;
    int group;
    int place; /* in the group's order of the array */
    bool wrote[KEYS];
    bool is_committed;
};

struct history {
    kh_db *db;
    struct player players[TXNS];
    int count;
    int groups;
    struct middle_clock clock;
    struct player *fires;
    kh_status fired;
};

static uint64_t seed;
static uint64_t committed_count, together_count, refused_count, merged_count, between_count;
static const char *const key_names[KEYS] = {"a", "b", "c"};

static uint32_t draw(uint32_t below) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

static kh_delta_class class_of(const struct player *one, const struct player *other) {
    const kh_delta_thresholds thresholds = KH_DELTA_THRESHOLDS_INIT;
    float similarity;
    return kh_delta_classify(one->delta, other->delta, &thresholds, &similarity);
}

static bool is_against(const struct player *one, const struct player *other) {
    if (one->delta == NULL || other->delta == NULL) return false;
    kh_delta_class kind = class_of(one, other);
    return kind == KH_DELTA_CONFLICTING || kind == KH_DELTA_OPPOSITE;
}

static bool is_guarded(const struct player *player) {
    return player->mode >= KH_SEMANTIC_GUARD && player->delta != NULL;
}

static bool may_merge(const struct player *one, const struct player *other) {
    if (one->delta == NULL || other->delta == NULL) return false;
    kh_delta_class kind = class_of(one, other);
    return kind == KH_DELTA_ORTHOGONAL || kind == KH_DELTA_AMBIGUOUS || kind == KH_DELTA_IDENTICAL;
}

/* What one has written onto the other's write of the same key was merged. */
static void check_merges(const struct player *later, const struct player *earlier) {
    for (int key = 0; key < KEYS; key++) {
        if (!later->wrote[key] || !earlier->wrote[key]) continue;
        assert_int_equal(later->mode, KH_SEMANTIC_MERGE); /* else it had been a conflict */
        assert_true(may_merge(later, earlier));
        merged_count++;
    }
}

static void check_group(const struct player *later, const struct player *earlier) {
    if (is_guarded(later) || is_guarded(earlier)) assert_false(is_against(later, earlier));
    if (later->place > earlier->place) check_merges(later, earlier);
}

static void check_pair(const struct player *later, const struct player *earlier) {
    if (later->group != 0 && later->group == earlier->group) {
        check_group(later, earlier);
        return;
    }
    bool is_unseen = earlier->committed > later->snapshot && earlier->committed < later->committed;
    if (!is_unseen) return;
    if (is_guarded(later)) assert_false(is_against(later, earlier));
    check_merges(later, earlier);
}

static void check_all(const struct history *history) {
    for (int i = 0; i < history->count; i++)
        for (int j = 0; j < history->count; j++)
            if (i != j && history->players[i].is_committed && history->players[j].is_committed)
                check_pair(&history->players[i], &history->players[j]);
}

static void end(struct player *player, kh_status status) {
    if (status == KH_OK) {
        kh_status found = kh_workspace_delta(player->workspace, &player->delta);
        assert_true(found == KH_OK || found == KH_NOT_FOUND);
        player->is_committed = true;
        committed_count++;
    } else {
        assert_true(status == KH_CONFLICT || status == KH_SEMANTIC_CONFLICT);
        refused_count++;
    }
    kh_workspace_close(player->workspace);
    player->workspace = NULL;
}

static void commit_between(void *context) {
    struct history *history = context;
    history->fired =
        kh_workspace_commit(history->fires->workspace, &history->fires->committed, NULL);
}

static void begin(struct history *history) {
    struct player *player = &history->players[history->count++];
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    *player = (struct player){.mode = (kh_semantic_mode)(KH_SEMANTIC_KEYS + (int)draw(3))};
    options.mode = player->mode;
    options.txn.timeout_ms = 600000;
    options.txn.isolation = draw(2) == 0 ? KH_SERIALIZABLE : KH_REPEATABLE_READ;
    kit_is(kh_workspace_begin(history->db, &options, &player->workspace, NULL), KH_OK);
    player->snapshot = kh_txn_snapshot(kh_workspace_txn(player->workspace));
    if (draw(8) == 0) return;
    static const float sides[][2] = {{1, 0}, {0, 1}, {-1, 0}, {0.5f, 0.9f}, {0.9f, -0.3f}};
    const float zero[2] = {0, 0};
    kit_is(kh_workspace_set_before(player->workspace, (kh_floats){zero, 2}, NULL), KH_OK);
    kit_is(kh_workspace_set_after(player->workspace, (kh_floats){sides[draw(5)], 2}, NULL), KH_OK);
}

/* Everyone edits rows of its own, so that the data always merges. */
static void write_one(struct history *history, struct player *player) {
    int key = (int)draw(KEYS);
    char text[KIT_TEXT_BYTES];
    (void)snprintf(text, sizeof text, "%d=%d/0", 10 + (int)(player - history->players),
                   (int)draw(1000));
    kh_batch *batch = kit_rows(history->db, text);
    kit_is(kh_workspace_put(player->workspace, kit_key(key_names[key]), batch, NULL), KH_OK);
    kh_batch_release(batch);
    player->wrote[key] = true;
}

static void finish_between(struct history *history, bool was_fired) {
    struct player *player = history->fires;
    history->fires = NULL;
    history->clock.fire_in = 0;
    if (!was_fired) return;
    between_count += history->fired == KH_OK;
    end(player, history->fired);
}

static void commit_together(struct history *history) {
    struct player *members[OPEN];
    kh_workspace *workspaces[OPEN];
    size_t count = 0;
    size_t culprit;
    kh_timestamp committed = 0;
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
    if (count == 0) {
        history->fires = NULL;
        return;
    }
    if (history->fires != NULL) history->clock.fire_in = 1 + (int)draw((uint32_t)count + 5);
    bool has_fires = history->fires != NULL;
    kh_status status = kh_workspace_commit_together(workspaces, count, &committed, &culprit, NULL);
    finish_between(history, has_fires && history->clock.fire_in == 0);
    if (status != KH_OK) {
        assert_true(culprit < count);
        end(members[culprit], status);
        return;
    }
    int group = ++history->groups;
    for (size_t i = 0; i < count; i++) {
        members[i]->group = group;
        members[i]->place = (int)i;
        members[i]->committed = committed;
        end(members[i], KH_OK);
    }
    together_count += count > 1;
}

static bool is_empty(const struct player *player) {
    for (int key = 0; key < KEYS; key++)
        if (player->wrote[key]) return false;
    return true;
}

static void fill(struct history *history) {
    for (int i = 0; i < KEYS; i++) {
        kh_txn *txn = kit_begin(history->db, KH_REPEATABLE_READ);
        kh_batch *batch = kit_rows(history->db, "1=1/1");
        kit_is(kh_txn_put(txn, kit_key(key_names[i]), batch, NULL), KH_OK);
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
    else if (draw(7) > 0)
        write_one(history, any);
    else if (!is_empty(any))
        end(any, kh_workspace_commit(any->workspace, &any->committed, NULL));
}

static void play(uint64_t number) {
    static struct history history;
    kh_options options = kit_options();
    kh_semantic_options semantic = KH_SEMANTIC_OPTIONS_INIT;
    history = (struct history){.count = 0};
    options.clock = middle_clock_open(&history.clock, commit_between, &history);
    if (number % 4 == 0) semantic.recent_max = 1 + (uint32_t)(number / 4 % 4);
    options.semantic = &semantic;
    history.db = kit_open_with(&options);
    seed = number * 0x9e3779b97f4a7c15u;
    if (number % 2 == 0) fill(&history);
    for (int i = 0; i < STEPS; i++) step(&history);
    commit_together(&history);
    for (int i = 0; i < history.count; i++) /* who has written nothing is not judged */
        history.players[i].is_committed &= !is_empty(&history.players[i]);
    check_all(&history);
    for (int i = 0; i < history.count; i++) {
        kh_workspace_close(history.players[i].workspace);
        kh_delta_release(history.players[i].delta);
    }
    kit_close(history.db);
}

static void test_histories(void **state) {
    (void)state;
    uint64_t first = kit_env("KH_TEST_SEED", 1);
    uint64_t count = kit_env("KH_TEST_HISTORIES", 10000);
    for (uint64_t number = first; number < first + count; number++) play(number);
    print_message("committed %llu, together %llu, refused %llu, merged %llu, between %llu\n",
                  (unsigned long long)committed_count, (unsigned long long)together_count,
                  (unsigned long long)refused_count, (unsigned long long)merged_count,
                  (unsigned long long)between_count);
    assert_true(merged_count > count / 20 && together_count > count / 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_histories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
