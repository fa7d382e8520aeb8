/* lock_steps_test.c - every interleaving of two owners, and of three from a smaller set of
 * programs, over two keys, through the real table of locks, each step against a plain model: who
 * holds what, who waits, who is woken (and nobody else), that somebody is doomed when a deadlock is
 * there and only then, and that nobody is left waiting for ever. Prints how much it saw.
 *
 * KH_TEST_SCALE: per cent of the programs to run. */
#include "model/lock_model.h"
#include "support/lock_kit.h"
#include "txn/locks_record.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SCALE_DEFAULT 5
#else
#define SCALE_DEFAULT 100
#endif

enum { OPS = 2, STEPS_MAX = 32, PATH_MAX_STEPS = 64 };

struct op {
    bool does_wait;
    enum lock_model_mode wanted[LOCK_MODEL_KEYS];
};

#define S MODEL_SHARED
#define X MODEL_EXCLUSIVE
static const struct op alphabet[] = {{true, {S, 0}},  {true, {X, 0}},  {true, {0, S}},
                                     {true, {0, X}},  {true, {X, X}},  {true, {X, S}},
                                     {false, {X, 0}}, {false, {S, X}}, {true, {S, S}}};
enum { LETTERS = sizeof alphabet / sizeof alphabet[0] };

/* What three at once are made of: pairs of letters. */
static const int trio_programs[][OPS] = {{0, 1}, {2, 3}, {1, 3}, {3, 1}, {0, 3},
                                         {2, 1}, {4, 0}, {8, 4}, {6, 3}, {5, 3}};
enum { TRIO_PROGRAMS = sizeof trio_programs / sizeof trio_programs[0] };

static const char *const key_names[LOCK_MODEL_KEYS] = {"a", "b"};

struct counts {
    uint64_t runs, steps, waits, wakes, victims, refusals;
};

struct run {
    struct lock_kit kit;
    struct lock_model model;
    int owner_count;
    const int *programs[LOCK_MODEL_OWNERS];
    int position[LOCK_MODEL_OWNERS];
    bool is_waiting[LOCK_MODEL_OWNERS]; /* in a call */
    bool is_doomed[LOCK_MODEL_OWNERS];
    struct counts *counts;
};

/* ---- comparing ------------------------------------------------------------------------------- */

static enum lock_model_mode mode_of(struct run *run, int owner, int key) {
    struct lock_request request = lock_kit_request(key_names[key], KH_LOCK_SHARED);
    struct lock_record *record = record_find(&run->kit.table, request.key, request.hash);
    struct lock_hold *hold =
        record == NULL ? NULL : record_hold_of(record, &run->kit.owners[owner]);
    return hold == NULL ? MODEL_NONE : (enum lock_model_mode)hold->mode;
}

static void compare(struct run *run) {
    for (int owner = 0; owner < run->owner_count; owner++) {
        const struct lock_owner *real = &run->kit.owners[owner];
        for (int key = 0; key < LOCK_MODEL_KEYS; key++)
            assert_int_equal(mode_of(run, owner, key), run->model.held[key][owner]);
        assert_int_equal(real->waits_for != NULL, run->model.waits_for[owner] >= 0);
        if (!run->is_waiting[owner]) continue;
        uint32_t word = atomic_load_explicit(&real->word, memory_order_relaxed);
        bool is_woken = run->model.is_woken[owner] || run->is_doomed[owner];
        assert_int_equal(word, is_woken);
    }
    assert_int_equal(lock_model_hopeless(&run->model), 0);
}

/* Doom the victims in an order in which there is a reason for each of them when it goes. Whoever's
 * call it is may be granted by that, and goes on at once. */
static bool doom_in_some_order(struct lock_model *model, int caller, unsigned victims) {
    if (victims == 0) return true;
    for (int owner = 0; owner < LOCK_MODEL_OWNERS; owner++) {
        if (!(victims & lock_model_hopeless(model) & 1u << owner)) continue;
        struct lock_model after = *model;
        lock_model_end(&after, owner);
        if (after.is_woken[caller]) (void)lock_model_go_on(&after, caller);
        if (!doom_in_some_order(&after, caller, victims & ~(1u << owner))) continue;
        *model = after;
        return true;
    }
    return false;
}

/* Whom the library has doomed in this step: the model hears of it. */
static void hear_of_victims(struct run *run, int caller) {
    unsigned victims = 0;
    for (int owner = 0; owner < run->owner_count; owner++) {
        if (run->kit.owners[owner].state != OWNER_DOOMED || run->is_doomed[owner]) continue;
        assert_int_equal(run->kit.owners[owner].doom, KH_DEADLOCK);
        run->is_doomed[owner] = true;
        victims |= 1u << owner;
        run->counts->victims++;
    }
    assert_true(doom_in_some_order(&run->model, caller, victims));
}

/* ---- steps ----------------------------------------------------------------------------------- */

static size_t make_requests(struct lock_request *requests, const struct op *op) {
    size_t count = 0;
    for (int key = LOCK_MODEL_KEYS - 1; key >= 0; key--) /* not in their order */
        if (op->wanted[key] != MODEL_NONE)
            requests[count++] = lock_kit_request(key_names[key], (kh_lock_mode)op->wanted[key]);
    return count;
}

/* The status of a call that may wait; the model has heard of the call, not of victims. */
static void settle(struct run *run, int owner, kh_status status) {
    hear_of_victims(run, owner);
    bool does_wait = run->model.waits_for[owner] >= 0;
    kh_status expected = does_wait ? KH_PENDING : KH_OK;
    assert_int_equal(status, run->is_doomed[owner] ? KH_DEADLOCK : expected);
    run->is_waiting[owner] = does_wait;
    run->counts->waits += does_wait;
}

static void step_call(struct run *run, int owner) {
    const struct op *op = &alphabet[run->programs[owner][run->position[owner]++]];
    struct lock_owner *real = &run->kit.owners[owner];
    struct lock_request *requests = run->kit.requests[owner];
    size_t count = make_requests(requests, op);
    if (op->does_wait) {
        kh_status status = locks_ask(&run->kit.table, real, requests, count, 1, NULL);
        (void)lock_model_ask(&run->model, owner, op->wanted);
        settle(run, owner, status);
        return;
    }
    kh_status status = locks_try(&run->kit.table, real, requests, count, 1, NULL);
    bool is_granted = lock_model_try(&run->model, owner, op->wanted) == MODEL_GRANTED;
    assert_int_equal(status, is_granted ? KH_OK : KH_LOCK_CONFLICT);
    if (!is_granted) run->counts->refusals++;
}

static void step_look(struct run *run, int owner) {
    uint64_t next_ns;
    kh_status status = locks_look(&run->kit.table, &run->kit.owners[owner], 1, &next_ns);
    run->counts->wakes++;
    if (run->is_doomed[owner]) {
        assert_int_equal(status, KH_DEADLOCK);
        run->is_waiting[owner] = false;
        return;
    }
    (void)lock_model_go_on(&run->model, owner);
    settle(run, owner, status);
}

static void step_end(struct run *run, int owner) {
    run->position[owner]++;
    locks_end(&run->kit.table, &run->kit.owners[owner]);
    lock_model_end(&run->model, owner);
    run->is_doomed[owner] = false;
}

/* A doomed one only ends. */
static void step(struct run *run, int owner) {
    if (run->is_waiting[owner]) {
        step_look(run, owner);
    } else if (run->position[owner] < OPS && !run->is_doomed[owner]) {
        step_call(run, owner);
    } else {
        run->position[owner] = OPS;
        step_end(run, owner);
    }
    run->counts->steps++;
    compare(run);
}

static bool can_step(const struct run *run, int owner) {
    if (run->position[owner] > OPS) return false;
    return !run->is_waiting[owner] || run->model.is_woken[owner] || run->is_doomed[owner];
}

/* ---- interleavings --------------------------------------------------------------------------- */

struct path {
    int choice[PATH_MAX_STEPS]; /* which of those who can go on */
    int width[PATH_MAX_STEPS];
    int length;
};

static void run_path(struct run *run, struct path *path) {
    static struct lock_kit empty;
    struct mem *mem = run->kit.mem;
    run->kit = empty;
    run->kit.mem = mem;
    locks_init(&run->kit.table, mem, 0, KH_VICTIM_YOUNGEST);
    lock_model_init(&run->model);
    for (int i = 0; i < run->owner_count; i++) {
        locks_enroll(&run->kit.owners[i], (kh_txn_id){0, (uint64_t)i + 1}, (uint64_t)i, 0);
        run->position[i] = 0;
        run->is_waiting[i] = run->is_doomed[i] = false;
    }
    int at = 0;
    for (;; at++) {
        int able[LOCK_MODEL_OWNERS];
        int count = 0;
        bool is_over = true;
        for (int i = 0; i < run->owner_count; i++) {
            if (can_step(run, i)) able[count++] = i;
            is_over &= run->position[i] > OPS;
        }
        if (is_over) break;
        assert_true(count > 0); /* else somebody waits for ever */
        assert_true(at < PATH_MAX_STEPS);
        if (at >= path->length) path->choice[at] = 0;
        path->width[at] = count;
        step(run, able[path->choice[at]]);
    }
    path->length = at;
    assert_true(locks_is_empty(&run->kit.table));
    locks_fini(&run->kit.table);
    run->counts->runs++;
}

/* The next one in the order of choices; false: that was the last. */
static bool next_path(struct path *path) {
    while (path->length > 0 && path->choice[path->length - 1] == path->width[path->length - 1] - 1)
        path->length--;
    if (path->length == 0) return false;
    path->choice[path->length - 1]++;
    return true;
}

static void run_all(struct run *run) {
    struct path path = {.length = 0};
    do {
        run_path(run, &path);
    } while (next_path(&path));
}

static uint64_t scale(void) {
    const char *text = getenv("KH_TEST_SCALE");
    return text == NULL ? SCALE_DEFAULT : strtoull(text, NULL, 10);
}

static void report(const char *what, const struct counts *counts) {
    print_message("%s: %llu interleavings, %llu steps, %llu waits, %llu wakes, %llu refusals, "
                  "%llu victims\n",
                  what, (unsigned long long)counts->runs, (unsigned long long)counts->steps,
                  (unsigned long long)counts->waits, (unsigned long long)counts->wakes,
                  (unsigned long long)counts->refusals, (unsigned long long)counts->victims);
    assert_true(counts->waits > 0 && counts->wakes > 0 && counts->victims > 0);
}

static void test_two(void **state) {
    struct counts counts = {0};
    struct run *run = calloc(1, sizeof *run);
    int programs[2][OPS];
    uint64_t number = 0;
    (void)state;
    assert_non_null(run);
    run->kit.mem = mem_create(NULL);
    run->owner_count = 2;
    run->counts = &counts;
    for (int i = 0; i < LETTERS * LETTERS * LETTERS * LETTERS; i++) {
        if (number++ * scale() % 100 >= scale()) continue;
        programs[0][0] = i % LETTERS;
        programs[0][1] = i / LETTERS % LETTERS;
        programs[1][0] = i / (LETTERS * LETTERS) % LETTERS;
        programs[1][1] = i / (LETTERS * LETTERS * LETTERS);
        run->programs[0] = programs[0];
        run->programs[1] = programs[1];
        run_all(run);
    }
    report("two owners", &counts);
    mem_close(run->kit.mem);
    free(run);
}

static void test_three(void **state) {
    struct counts counts = {0};
    struct run *run = calloc(1, sizeof *run);
    uint64_t number = 0;
    (void)state;
    assert_non_null(run);
    run->kit.mem = mem_create(NULL);
    run->owner_count = 3;
    run->counts = &counts;
    for (int i = 0; i < TRIO_PROGRAMS * TRIO_PROGRAMS * TRIO_PROGRAMS; i++) {
        if (number++ * scale() % 100 >= scale()) continue;
        run->programs[0] = trio_programs[i % TRIO_PROGRAMS];
        run->programs[1] = trio_programs[i / TRIO_PROGRAMS % TRIO_PROGRAMS];
        run->programs[2] = trio_programs[i / (TRIO_PROGRAMS * TRIO_PROGRAMS)];
        run_all(run);
    }
    report("three owners", &counts);
    mem_close(run->kit.mem);
    free(run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two),
        cmocka_unit_test(test_three),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
