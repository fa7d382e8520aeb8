/* Every order in which two and three workspaces begin, prepare and commit, with every choice of
 * mode, meaning and key, through the real engine: each answer is what the rules of
 * khonsu/workspace.h say, judged here by a list of what was committed, and what is stored is what
 * was acknowledged. */
#include "support/kit.h"

enum { MOST = 3, ROWS = 3 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SPARSE = 1999 }; /* of so many choices of three plans one is played */
#else
enum { SPARSE = 101 };
#endif

enum verb { BEGIN, PREPARE, COMMIT };

struct plan { /* of one workspace */
    kh_semantic_mode mode;
    int meaning; /* index into meanings */
    int key;
    bool is_prepared;
};

static const float meanings[][2] = {{0, 0}, {1, 0}, {0, 1}, {-1, 0}, {0.8f, 0.6f}};
static const char *const keys[] = {"a", "b"};

struct player {
    struct plan plan;
    kh_workspace *workspace;
    kh_status answer; /* of what ended it, or KH_PENDING */
    int seen;         /* commits before its begin */
    bool is_held;     /* prepared, not decided */
    int64_t table[ROWS];
};

struct world {
    kh_db *db;
    kh_isolation isolation;
    int count;
    struct player players[MOST];
    int committed[MOST]; /* players, in order */
    int committed_count;
    int64_t tables[2][ROWS];
    uint64_t runs;
    uint64_t answers[4]; /* OK, CONFLICT, SEMANTIC_CONFLICT, HELD */
};

/* ---- the rules, once more ---------------------------------------------------------------------
 */

enum relation { NONE, MERGEABLE, AGAINST, OTHER };

static enum relation relate(const struct plan *a, const struct plan *b) {
    const float *x = meanings[a->meaning];
    const float *y = meanings[b->meaning];
    float cosine = x[0] * y[0] + x[1] * y[1]; /* all are of length one, or zero */
    if (a->meaning == 0 || b->meaning == 0) return NONE;
    if (cosine < 0.1f && cosine > -0.1f) return MERGEABLE;
    if (cosine >= 0.99f && a->key == b->key) return MERGEABLE; /* identical */
    if (cosine <= -0.95f || cosine >= 0.7f) return AGAINST;
    return a->key == b->key ? MERGEABLE : OTHER; /* ambiguous */
}

static bool is_guarded(const struct plan *plan) {
    return plan->mode != KH_SEMANTIC_KEYS;
}

static kh_status judge_holds(const struct world *world, const struct player *player) {
    for (int i = 0; i < world->count; i++) {
        const struct player *other = &world->players[i];
        if (!other->is_held || other == player) continue;
        if (other->plan.key == player->plan.key) return KH_HELD;
        bool is_guarded_here = is_guarded(&other->plan) || is_guarded(&player->plan);
        if (is_guarded_here && relate(&other->plan, &player->plan) == AGAINST) return KH_HELD;
    }
    return KH_OK;
}

static kh_status judge(const struct world *world, const struct player *player) {
    kh_status status = judge_holds(world, player);
    if (status != KH_OK) return status;
    for (int i = player->seen; i < world->committed_count; i++) {
        const struct plan *rival = &world->players[world->committed[i]].plan;
        /* What is not read has no rival at read committed: it goes on top. */
        if (rival->key != player->plan.key || world->isolation == KH_READ_COMMITTED) continue;
        if (player->plan.mode != KH_SEMANTIC_MERGE || relate(rival, &player->plan) != MERGEABLE)
            return KH_CONFLICT;
    }
    for (int i = player->seen; i < world->committed_count; i++) {
        const struct plan *rival = &world->players[world->committed[i]].plan;
        if (is_guarded(&player->plan) && relate(rival, &player->plan) == AGAINST)
            return KH_SEMANTIC_CONFLICT;
    }
    return KH_OK;
}

/* ---- playing ----------------------------------------------------------------------------------
 */

static void begin(struct world *world, int index) {
    struct player *player = &world->players[index];
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    const float nothing[2] = {0, 0};
    char text[128];
    options.mode = player->plan.mode;
    options.txn.isolation = world->isolation;
    kit_is(kh_workspace_begin(world->db, &options, &player->workspace, NULL), KH_OK);
    player->seen = world->committed_count;
    memcpy(player->table, world->tables[player->plan.key], sizeof player->table);
    player->table[index] = index + 1;
    (void)snprintf(text, sizeof text, "1=%d/0 2=%d/0 3=%d/0", (int)player->table[0],
                   (int)player->table[1], (int)player->table[2]);
    kh_batch *value = kit_rows(world->db, text);
    kit_is(kh_workspace_put(player->workspace, kit_key(keys[player->plan.key]), value, NULL),
           KH_OK);
    kh_batch_release(value);
    if (player->plan.meaning == 0) return;
    kh_floats before = {nothing, 2};
    kh_floats after = {meanings[player->plan.meaning], 2};
    kit_is(kh_workspace_set_before(player->workspace, before, NULL), KH_OK);
    kit_is(kh_workspace_set_after(player->workspace, after, NULL), KH_OK);
}

static void note_answer(struct world *world, kh_status status) {
    world->answers[status == KH_OK                  ? 0
                   : status == KH_CONFLICT          ? 1
                   : status == KH_SEMANTIC_CONFLICT ? 2
                                                    : 3]++;
}

static void note_commit(struct world *world, int index) {
    const struct plan *plan = &world->players[index].plan;
    world->committed[world->committed_count++] = index;
    if (world->isolation == KH_READ_COMMITTED)
        memcpy(world->tables[plan->key], world->players[index].table, sizeof world->tables[0]);
    world->tables[plan->key][index] = index + 1;
}

static void end(struct world *world, int index, enum verb verb) {
    struct player *player = &world->players[index];
    if (player->answer != KH_PENDING) return; /* it has failed to prepare */
    kh_status expected = player->is_held ? KH_OK : judge(world, player);
    kh_status status = verb == PREPARE ? kh_workspace_prepare(player->workspace, NULL)
                                       : kh_workspace_commit(player->workspace, NULL, NULL);
    if (status != expected) {
        fprintf(stderr, "workspace %d of %d: %s, not %s\n", index, world->count,
                kh_status_name(status), kh_status_name(expected));
        for (int i = 0; i < world->count; i++)
            fprintf(stderr, "  mode %d meaning %d key %d prepared %d seen %d\n",
                    (int)world->players[i].plan.mode, world->players[i].plan.meaning,
                    world->players[i].plan.key, world->players[i].plan.is_prepared,
                    world->players[i].seen);
    }
    assert_int_equal(status, expected);
    note_answer(world, status);
    player->is_held = verb == PREPARE && status == KH_OK;
    if (player->is_held) return;
    player->answer = status;
    if (status == KH_OK) note_commit(world, index);
}

static void check_table(struct world *world, int key) {
    char expected[KIT_TEXT_BYTES];
    char text[KIT_TEXT_BYTES];
    kh_batch *value = NULL;
    kh_txn *txn = kit_begin(world->db, KH_REPEATABLE_READ);
    const int64_t *table = world->tables[key];
    (void)snprintf(expected, sizeof expected, "1=%d/0 2=%d/0 3=%d/0", (int)table[0], (int)table[1],
                   (int)table[2]);
    kit_is(kh_txn_get(txn, kit_key(keys[key]), &value, NULL), KH_OK);
    kit_text(value, text);
    assert_string_equal(text, expected);
    kh_batch_release(value);
    kit_rollback(txn);
}

static void reset(struct world *world) {
    kh_batch *value = kit_rows(world->db, "1=0/0 2=0/0 3=0/0");
    kh_txn *txn = kit_begin(world->db, KH_REPEATABLE_READ);
    for (int key = 0; key < 2; key++)
        kit_is(kh_txn_put(txn, kit_key(keys[key]), value, NULL), KH_OK);
    kit_commit_ok(txn);
    kh_batch_release(value);
    memset(world->tables, 0, sizeof world->tables);
    world->committed_count = 0;
    for (int i = 0; i < world->count; i++) {
        world->players[i].answer = KH_PENDING;
        world->players[i].is_held = false;
    }
}

static int steps_of(const struct player *player) {
    return player->plan.is_prepared ? 3 : 2;
}

static void step(struct world *world, int index, int number) {
    bool is_last = number == steps_of(&world->players[index]) - 1;
    if (number == 0)
        begin(world, index);
    else
        end(world, index, is_last ? COMMIT : PREPARE);
}

/* order names players, each as often as it has steps. */
static void play(struct world *world, const int *order, int length) {
    int done[MOST] = {0, 0, 0};
    reset(world);
    for (int i = 0; i < length; i++) step(world, order[i], done[order[i]]++);
    for (int key = 0; key < 2; key++) check_table(world, key);
    for (int i = 0; i < world->count; i++) kh_workspace_close(world->players[i].workspace);
    world->runs++;
}

/* Every order of the steps that are left. */
static void play_all(struct world *world, int *order, int length, int *left) {
    bool is_over = true;
    for (int i = 0; i < world->count; i++) {
        if (left[i] == 0) continue;
        is_over = false;
        left[i]--;
        order[length] = i;
        play_all(world, order, length + 1, left);
        left[i]++;
    }
    if (is_over) play(world, order, length);
}

static void play_plans(struct world *world) {
    int order[3 * MOST];
    int left[MOST] = {0, 0, 0};
    for (int i = 0; i < world->count; i++) left[i] = steps_of(&world->players[i]);
    play_all(world, order, 0, left);
}

static struct plan plan_of(int number, int meaning_count) {
    struct plan plan;
    plan.mode = (kh_semantic_mode)(1 + number % 3);
    number /= 3;
    plan.key = number % 2;
    number /= 2;
    plan.is_prepared = number % 2;
    plan.meaning = number / 2 % meaning_count;
    return plan;
}

static void report(const struct world *world) {
    for (int i = 0; i < 4; i++)
        assert_true(world->answers[i] > 0 || (i == 1 && world->isolation == KH_READ_COMMITTED));
    print_message("%llu orders: %llu commits and preparations, %llu conflicts of keys, %llu of "
                  "meaning, %llu holds\n",
                  (unsigned long long)world->runs, (unsigned long long)world->answers[0],
                  (unsigned long long)world->answers[1], (unsigned long long)world->answers[2],
                  (unsigned long long)world->answers[3]);
}

static void play_pairs(kh_isolation isolation) {
    enum { MEANINGS = 5, PLANS = 3 * 2 * 2 * MEANINGS };
    struct world world = {.isolation = isolation, .count = 2};
    world.db = kit_open();
    for (int first = 0; first < PLANS; first++) {
        for (int second = 0; second < PLANS; second++) {
            world.players[0].plan = plan_of(first, MEANINGS);
            world.players[1].plan = plan_of(second, MEANINGS);
            play_plans(&world);
        }
    }
    report(&world);
    kit_close(world.db);
}

static void test_pairs(void **state) {
    (void)state;
    for (int level = 0; level < 3; level++) play_pairs(kit_levels[level]);
}

/* Unprepared and prepared, of all modes. */
static void test_triples(void **state) {
    (void)state;
    enum { MEANINGS = 4, PLANS = 3 * 2 * 2 * MEANINGS };
    uint64_t every = SPARSE / kit_env("KH_TEST_SCALE", 1);
    uint64_t number = 0;
    struct world world = {.isolation = KH_REPEATABLE_READ, .count = 3};
    if (every == 0) every = 1;
    world.db = kit_open();
    for (int i = 0; i < PLANS * PLANS * PLANS; i++) {
        if (number++ % every != 0) continue;
        world.players[0].plan = plan_of(i % PLANS, MEANINGS);
        world.players[1].plan = plan_of(i / PLANS % PLANS, MEANINGS);
        world.players[2].plan = plan_of(i / PLANS / PLANS, MEANINGS);
        play_plans(&world);
    }
    report(&world);
    kit_close(world.db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_triples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
