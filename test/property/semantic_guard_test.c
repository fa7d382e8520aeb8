/* Guards of a database that has committed some thousand deltas, by what they answer: refused by the
 * first that a look at every pair finds, with its class and cosine, or not at all. Workspaces of
 * every age commit again and again, so that pages of the list get codes while they are searched;
 * and who looks for conflicts finds all. */
#include "support/delta_kit.h"
#include "support/kit.h"

/* Many: a search takes more than one run of pages. */
enum { DIMENSION = 40, COMMITS = 1500, MANY = 9000, OLD = 120, MODEL_MOST = MANY + OLD };

struct committed {
    kh_timestamp commit;
    kh_txn_id id;
    kh_delta *delta;
};

struct world {
    kh_db *db;
    struct delta_dice dice;
    float center[DIMENSION];
    struct committed items[MODEL_MOST];
    size_t count;
    kh_workspace *old[OLD];
    size_t answers[2]; /* committed, refused */
};

/* Quiet: near nobody, mostly. */
static void draw_values(struct world *world, bool is_quiet, float values[DIMENSION]) {
    struct delta_dice *dice = &world->dice;
    float mix = !is_quiet && delta_kit_below(dice, 200) == 0 ? 1.0f : 0.05f;
    bool is_sparse = delta_kit_below(dice, 20) == 0;
    if (delta_kit_below(dice, 2) == 0) mix = -mix;
    for (size_t i = 0; i < DIMENSION; i++) {
        values[i] = mix * world->center[i] + 0.3f * delta_kit_float(dice);
        if (is_sparse && delta_kit_below(dice, 5) != 0) values[i] = 0;
    }
}

/* With usual thresholds, or any: of a guard. */
static kh_delta_thresholds draw_thresholds(struct delta_dice *dice) {
    kh_delta_thresholds thresholds = KH_DELTA_THRESHOLDS_INIT;
    if (delta_kit_below(dice, 3) != 0) return thresholds;
    thresholds.conflicting = 0.6f + 0.4f * delta_kit_float(dice);
    thresholds.opposite = -0.6f + 0.4f * delta_kit_float(dice);
    thresholds.orthogonal = fabsf(delta_kit_float(dice));
    return thresholds;
}

static kh_workspace *begin(struct world *world, kh_semantic_mode mode,
                           const kh_delta_thresholds *thresholds) {
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    options.mode = mode;
    options.thresholds = *thresholds;
    options.txn.timeout_ms = 600000;
    kit_is(kh_workspace_begin(world->db, &options, &workspace, NULL), KH_OK);
    return workspace;
}

enum tone { QUIET, USUAL, LOUD }; /* LOUD: in conflict with all that are not quiet */

static void fill(struct world *world, kh_workspace *workspace, enum tone tone) {
    static const float zero[DIMENSION];
    float values[DIMENSION];
    char key[16];
    (void)snprintf(key, sizeof key, "k%zu", delta_kit_below(&world->dice, 1u << 30));
    kh_batch *value = kit_number(world->db, 1);
    kit_is(kh_workspace_put(workspace, kit_key(key), value, NULL), KH_OK);
    kh_batch_release(value);
    draw_values(world, tone == QUIET, values);
    for (size_t i = 0; i < DIMENSION && tone == LOUD; i++)
        values[i] = world->center[i] + 0.3f * delta_kit_float(&world->dice);
    kit_is(kh_workspace_set_before(workspace, (kh_floats){zero, DIMENSION}, NULL), KH_OK);
    kit_is(kh_workspace_set_after(workspace, (kh_floats){values, DIMENSION}, NULL), KH_OK);
    kit_is(kh_workspace_compute_delta(workspace, NULL), KH_OK);
}

/* With a reference. */
static kh_delta *delta_of(kh_workspace *workspace) {
    kh_delta *delta = NULL;
    kit_is(kh_workspace_delta(workspace, &delta), KH_OK);
    return delta;
}

static void note(struct world *world, kh_workspace *workspace, kh_timestamp commit) {
    world->items[world->count++] =
        (struct committed){commit, kh_workspace_id(workspace), delta_of(workspace)};
}

static bool is_against(kh_delta_class kind) {
    return kind == KH_DELTA_CONFLICTING || kind == KH_DELTA_OPPOSITE;
}

/* NULL: nobody that it has not seen is against it. */
static const struct committed *find_first(const struct world *world, const kh_delta *delta,
                                          kh_timestamp snapshot,
                                          const kh_delta_thresholds *thresholds,
                                          kh_delta_class *kind, float *similarity, size_t *all) {
    const struct committed *first = NULL;
    *all = 0;
    for (size_t i = 0; i < world->count; i++) {
        float cosine;
        if (world->items[i].commit <= snapshot) continue;
        kh_delta_class found = kh_delta_classify(delta, world->items[i].delta, thresholds, &cosine);
        if (!is_against(found)) continue;
        ++*all;
        if (first != NULL) continue;
        first = &world->items[i];
        *kind = found;
        *similarity = cosine;
    }
    return first;
}

static void check_commit(struct world *world, kh_workspace *workspace,
                         const kh_delta_thresholds *thresholds) {
    kh_delta *delta = delta_of(workspace);
    kh_timestamp snapshot = kh_txn_snapshot(kh_workspace_txn(workspace));
    kh_timestamp commit = 0;
    kh_delta_class kind = KH_DELTA_NONE;
    float similarity = 0;
    size_t all;
    size_t count;
    kh_candidate listed[4];
    const struct committed *rival =
        find_first(world, delta, snapshot, thresholds, &kind, &similarity, &all);
    kit_is(kh_workspace_find_conflicts(workspace, 3600000, listed, 4, &count, NULL), KH_OK);
    assert_int_equal(count, all);
    kit_is(kh_workspace_commit(workspace, &commit, NULL),
           rival == NULL ? KH_OK : KH_SEMANTIC_CONFLICT);
    world->answers[rival == NULL ? 0 : 1]++;
    if (rival == NULL) {
        note(world, workspace, commit);
    } else {
        kh_semantic_conflict conflict = {.size = sizeof conflict};
        kit_is(kh_workspace_semantic_conflict(workspace, &conflict), KH_OK);
        assert_int_equal(conflict.rival_commit, rival->commit);
        assert_int_equal(conflict.rival.low, rival->id.low);
        assert_ptr_equal(conflict.rival_delta, rival->delta);
        assert_int_equal(conflict.kind, kind);
        assert_same_float(conflict.similarity, similarity);
    }
    kh_delta_release(delta);
}

static void commit_many(struct world *world, size_t count) {
    static const kh_delta_thresholds usual = KH_DELTA_THRESHOLDS_INIT;
    for (size_t i = 0; i < count; i++) {
        kh_timestamp commit = 0;
        kh_workspace *workspace = begin(world, KH_SEMANTIC_KEYS, &usual);
        /* Of many the last ones only are heard: behind the first run of pages. */
        fill(world, workspace, count == MANY && i < MANY - 400 ? QUIET : USUAL);
        kit_is(kh_workspace_commit(workspace, &commit, NULL), KH_OK);
        note(world, workspace, commit);
        kh_workspace_close(workspace);
    }
}

static void one_world(uint64_t seed) {
    struct world *world = calloc(1, sizeof *world);
    kh_delta_thresholds thresholds[OLD];
    assert_non_null(world);
    print_message("KH_TEST_SEED=%llu\n", (unsigned long long)seed);
    world->dice.state = seed;
    world->db = kit_open();
    for (size_t i = 0; i < DIMENSION; i++) world->center[i] = delta_kit_float(&world->dice);
    /* Their snapshots see nothing of it. */
    for (size_t i = 0; i < OLD; i++) {
        thresholds[i] = draw_thresholds(&world->dice);
        world->old[i] = begin(world, KH_SEMANTIC_GUARD, &thresholds[i]);
    }
    commit_many(world, seed % 8 == 0 ? MANY : COMMITS);
    for (size_t i = 0; i < OLD; i++) {
        fill(world, world->old[i], i % 5 == 0 ? LOUD : QUIET);
        check_commit(world, world->old[i], &thresholds[i]);
        kh_workspace_close(world->old[i]);
    }
    print_message("%zu committed, %zu refused\n", world->answers[0], world->answers[1]);
    while (world->count > 0) kh_delta_release(world->items[--world->count].delta);
    kit_close(world->db);
    free(world);
}

static void test_guards(void **state) {
    (void)state;
    const char *seed = getenv("KH_TEST_SEED");
    uint64_t first = seed == NULL ? 1 : strtoull(seed, NULL, 10);
    for (uint64_t i = 0; i < (seed == NULL ? 8 : 1); i++) one_world(first + i);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_guards)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
