/* The list of recent deltas against a plain one: what it keeps and forgets, with memory and
 * without; and the search by codes against a look at every pair: who is found, in which order, of
 * which class and cosine, by lists of mixed forms and dimensions and by any thresholds. */
#include "db/semantic_scan.h"
#include "support/delta_kit.h"
#include "support/home.h"

/* Long: a search takes more than one run of pages. */
enum { MODEL_MOST = 12000, STEPS = 3000, STEPS_LONG = 12000, HELD = 3 };

/* What was added and not taken back. */
struct model {
    struct recent_delta items[MODEL_MOST];
    size_t count;
    uint64_t clock;
};

struct held {
    struct semantic_run run;
    struct recent_delta items[SEMANTIC_RUN_PAGES * SEMANTIC_PAGE];
    bool is_held;
};

struct world {
    struct home home;
    kh_db *db;
    struct semantic_list list;
    struct model model;
    struct held held[HELD];
    struct delta_dice dice;
    size_t dimension;
    float center[80];
    size_t searches_by_codes; /* pages */
    size_t found;
    bool has_failed; /* an allocation, so that the list may have forgotten more than it must */
};

/* ---- deltas ---------------------------------------------------------------------------------- */

/* Mostly dense ones of one dimension around a center, near it, opposite to it or anywhere; and
 * sparse ones, zeros, others of another dimension. */
static kh_delta *draw_delta(struct world *world) {
    static const char *const keys[] = {"a", "b", "c"};
    struct delta_dice *dice = &world->dice;
    float values[81];
    size_t form = delta_kit_below(dice, 16);
    size_t count = world->dimension + (form == 0 ? 1 : 0);
    size_t first_key = delta_kit_below(dice, 3);
    float mix = (float)delta_kit_below(dice, 5) - 2;
    float noise = delta_kit_below(dice, 2) == 0 ? 1 : 0.4f;
    for (size_t i = 0; i < count; i++) {
        values[i] = mix * world->center[i] + noise * delta_kit_float(dice);
        if (form == 1 && delta_kit_below(dice, 6) != 0) values[i] = 0;
        if (form == 2) values[i] = 0;
        if (form == 3) values[i] *= 1e4f;
    }
    return delta_kit_build_keys(world->db, values, count, keys + first_key,
                                delta_kit_below(dice, 4 - first_key));
}

static kh_delta_thresholds draw_thresholds(struct delta_dice *dice) {
    kh_delta_thresholds thresholds = KH_DELTA_THRESHOLDS_INIT;
    if (delta_kit_below(dice, 2) == 0) return thresholds;
    thresholds.orthogonal = delta_kit_float(dice) * (delta_kit_below(dice, 2) == 0 ? 1.2f : 0.2f);
    thresholds.identical = delta_kit_float(dice) * 1.2f;
    thresholds.opposite = delta_kit_float(dice) * 1.2f;
    thresholds.conflicting = delta_kit_float(dice) * 1.2f;
    thresholds.jaccard = delta_kit_float(dice);
    return thresholds;
}

/* ---- the list -------------------------------------------------------------------------------- */

static uint64_t cost_of(const kh_delta *delta) {
    bool is_sparse = kh_delta_is_sparse(delta);
    return kh_delta_size_bytes(delta) +
           (is_sparse ? 0 : delta_set_row_bytes(kh_delta_dimension(delta)));
}

static void add(struct world *world) {
    struct model *model = &world->model;
    kh_delta *delta = draw_delta(world);
    model->clock += 1 + delta_kit_below(&world->dice, 3);
    struct recent_delta recent = {model->clock, {1, model->clock * 3}, delta, COMPANY_NONE};
    bool fails = delta_kit_below(&world->dice, 100) == 0;
    world->home.fail_at = fails ? world->home.calls + 1 : 0;
    world->has_failed |= fails;
    lock_take(&world->list.lock);
    if (delta_kit_below(&world->dice, 500) != 0)
        semantic_list_reserve(&world->list);
    else
        world->has_failed = true; /* as the decision on a prepared one does */
    semantic_list_add(&world->list, &recent);
    lock_leave(&world->list.lock);
    world->home.fail_at = 0;
    model->items[model->count++] = recent;
}

static void take_back(struct world *world) {
    struct model *model = &world->model;
    size_t most = model->count < 400 ? model->count : 400;
    size_t count = delta_kit_below(&world->dice, most + 1);
    if (count == 0) return;
    lock_take(&world->list.lock);
    semantic_list_take_back(&world->list, model->items[model->count - count].commit);
    lock_leave(&world->list.lock);
    while (count-- > 0) kh_delta_release(model->items[--model->count].delta);
    world->has_failed = true; /* numbers are not given again: the next one begins anew */
}

static bool is_same(const struct recent_delta *a, const struct recent_delta *b) {
    return a->commit == b->commit && a->id.low == b->id.low && a->delta == b->delta;
}

/* The newest ones, in their order; and all above the floor. Returns the index of the first. */
static size_t check_list(struct world *world) {
    const struct semantic_list *list = &world->list;
    const struct model *model = &world->model;
    size_t count = (size_t)(list->end - list->first);
    uint64_t bytes = 0;
    assert_true(count <= model->count && count <= list->count_max);
    size_t first = model->count - count;
    for (size_t i = 0; i < count; i++) {
        assert_true(is_same(semantic_list_at(list, list->first + i), &model->items[first + i]));
        bytes += cost_of(model->items[first + i].delta);
    }
    assert_int_equal(bytes, list->bytes);
    assert_true(bytes <= list->bytes_max || count == 1);
    if (first > 0) assert_true(model->items[first - 1].commit <= list->floor);
    if (first == 0 || world->has_failed) return first;
    assert_int_equal(model->items[first - 1].commit, list->floor);
    assert_true(count == list->count_max ||
                bytes + cost_of(model->items[first - 1].delta) > list->bytes_max);
    return first;
}

/* What is pinned stays, whatever is added, dropped and taken back. */
static void let_go(struct held *held) {
    if (!held->is_held) return;
    for (uint64_t number = held->run.from; number < held->run.to; number++) {
        const struct recent_delta *then = &held->items[number - held->run.from];
        assert_true(is_same(semantic_run_at(&held->run, number), then));
        assert_true(kh_delta_dimension(then->delta) > 0); /* alive */
    }
    semantic_run_unpin(&held->run);
    held->is_held = false;
}

static void hold(struct world *world) {
    struct held *held = &world->held[delta_kit_below(&world->dice, HELD)];
    struct semantic_list *list = &world->list;
    let_go(held);
    lock_take(&list->lock);
    uint64_t count = list->end - list->first;
    semantic_list_pin(list, list->first + delta_kit_below(&world->dice, (size_t)count + 1),
                      &held->run);
    lock_leave(&list->lock);
    for (uint64_t number = held->run.from; number < held->run.to; number++)
        held->items[number - held->run.from] = *semantic_run_at(&held->run, number);
    held->is_held = true;
}

/* ---- the search ------------------------------------------------------------------------------ */

struct expected {
    const struct world *world;
    const kh_delta *asked;
    const kh_delta_thresholds *thresholds;
    size_t next; /* in the model */
    size_t found;
    bool is_first_only;
};

/* The next one of the model that a look at every pair finds. */
static bool find_next(struct expected *expected, kh_delta_class *kind, float *similarity) {
    const struct model *model = &expected->world->model;
    for (; expected->next < model->count; expected->next++) {
        *kind = kh_delta_classify(expected->asked, model->items[expected->next].delta,
                                  expected->thresholds, similarity);
        if (*kind == KH_DELTA_CONFLICTING || *kind == KH_DELTA_OPPOSITE) return true;
    }
    return false;
}

static bool is_expected(void *context, const struct recent_delta *recent, kh_delta_class kind,
                        float similarity) {
    struct expected *expected = context;
    kh_delta_class wanted_kind = KH_DELTA_NONE;
    float wanted = 0;
    assert_true(find_next(expected, &wanted_kind, &wanted));
    assert_true(is_same(recent, &expected->world->model.items[expected->next++]));
    assert_int_equal(kind, wanted_kind);
    assert_same_float(similarity, wanted);
    expected->found++;
    return !expected->is_first_only;
}

static void scan(struct world *world, struct semantic_probe *probe, uint64_t number,
                 struct expected *expected) {
    struct semantic_run run;
    bool goes_on = true;
    kh_delta_class kind;
    float similarity;
    do {
        lock_take(&world->list.lock);
        semantic_list_pin(&world->list, number, &run);
        lock_leave(&world->list.lock);
        number = run.to;
        goes_on = semantic_scan(probe, &run, is_expected, expected);
        for (uint64_t i = run.from; i < run.to; i += SEMANTIC_PAGE)
            world->searches_by_codes +=
                atomic_load(&run.pages[(i - run.from) / SEMANTIC_PAGE]->codes) != NULL;
        semantic_run_unpin(&run);
    } while (goes_on && number < world->list.end);
    if (!goes_on) assert_int_equal(expected->found, 1);
    if (goes_on) assert_false(find_next(expected, &kind, &similarity));
    world->found += expected->found;
}

static void search(struct world *world) {
    struct delta_dice *dice = &world->dice;
    size_t first = check_list(world);
    kh_delta *asked = draw_delta(world);
    kh_delta_thresholds thresholds = draw_thresholds(dice);
    struct semantic_probe probe;
    size_t left_out =
        delta_kit_below(dice, 3) == 0 ? delta_kit_below(dice, world->model.count - first + 1) : 0;
    uint64_t after = first + left_out == 0 ? 0 : world->model.items[first + left_out - 1].commit;
    struct expected expected = {
        world, asked, &thresholds, first + left_out, 0, delta_kit_below(dice, 2) == 0};
    semantic_probe_init(&probe, asked, &thresholds);
    lock_take(&world->list.lock);
    uint64_t number = semantic_list_above(&world->list, after);
    lock_leave(&world->list.lock);
    assert_int_equal(number, world->list.first + left_out);
    if (delta_kit_below(dice, 10) == 0) world->home.fail_at = world->home.calls + 1;
    scan(world, &probe, number, &expected);
    world->home.fail_at = 0;
    semantic_probe_fini(&probe);
    kh_delta_release(asked);
}

static void step(struct world *world) {
    size_t die = delta_kit_below(&world->dice, 1000);
    if (die < 3)
        take_back(world);
    else if (die < 20)
        hold(world);
    else if (die < 120)
        search(world);
    else if (world->model.count < MODEL_MOST)
        add(world);
}

static void one_world(uint64_t seed, size_t *by_codes, size_t *found) {
    static const uint32_t counts[] = {1, 5, 256, 300, 700, 1500, 65536};
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->db = home_open(&world->home);
    world->dice.state = seed;
    world->dimension = 5 + delta_kit_below(&world->dice, 70);
    for (size_t i = 0; i < world->dimension; i++) world->center[i] = delta_kit_float(&world->dice);
    uint64_t bytes_max = delta_kit_below(&world->dice, 3) == 0 ? 200000 : 256 << 20;
    semantic_list_init(&world->list, world->home.batch.mem, counts[seed % 7], bytes_max);
    int steps = seed % 35 == 6 ? STEPS_LONG : STEPS;
    for (int i = 0; i < steps; i++) step(world);
    (void)check_list(world);
    semantic_list_fini(&world->list);
    for (size_t i = 0; i < HELD; i++) let_go(&world->held[i]);
    while (world->model.count > 0) kh_delta_release(world->model.items[--world->model.count].delta);
    *by_codes += world->searches_by_codes;
    *found += world->found;
    assert_int_equal(mem_live_bytes(world->home.batch.mem), 0);
    home_close(&world->home);
    assert_int_equal(world->home.live_blocks, 0);
    free(world);
}

static void test_lists(void **state) {
    (void)state;
    const char *seed = getenv("KH_TEST_SEED");
    const char *worlds = getenv("KH_TEST_WORLDS");
    uint64_t first = seed == NULL ? 1 : strtoull(seed, NULL, 10);
    uint64_t count = worlds == NULL ? 210 : strtoull(worlds, NULL, 10);
    size_t by_codes = 0;
    size_t found = 0;
    for (uint64_t i = 0; i < count; i++) {
        print_message("KH_TEST_SEED=%llu KH_TEST_WORLDS=1\n", (unsigned long long)(first + i));
        one_world(first + i, &by_codes, &found);
    }
    print_message("%zu pages searched by codes, %zu found\n", by_codes, found);
    assert_true(count < 210 || (by_codes > 2000 && found > 1000));
}

/* What was reserved once is enough for a page of them, however few the list keeps. */
static void test_reserved_once(void **state) {
    (void)state;
    const float values[] = {1, 2};
    struct home home;
    struct semantic_list list;
    kh_db *db = home_open(&home);
    kh_delta *delta = delta_kit_build_keys(db, values, 2, NULL, 0);
    semantic_list_init(&list, home.batch.mem, 1, UINT64_MAX);
    lock_take(&list.lock);
    semantic_list_reserve(&list);
    for (uint64_t i = 1; i <= SEMANTIC_PAGE; i++) {
        const struct recent_delta recent = {i, {1, i}, delta, COMPANY_NONE};
        semantic_list_add(&list, &recent);
        assert_int_equal(list.end - list.first, 1);
        assert_int_equal(semantic_list_at(&list, list.first)->commit, i);
    }
    lock_leave(&list.lock);
    semantic_list_fini(&list);
    kh_delta_release(delta);
    home_close(&home);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reserved_once),
                                       cmocka_unit_test(test_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
