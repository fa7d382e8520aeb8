/* Workspaces at their edges: what a retry needs again, programs of another size, a commit that was
 * called too early, calls after the end, time. */
#include "support/held_log.h"
#include "support/workspace_kit.h"

#include <errno.h>
#include <math.h>

static kh_workspace *begin_as(const kh_workspace_options *options) {
    kh_workspace *workspace = NULL;
    kit_is(kh_workspace_begin(db, options, &workspace, NULL), KH_OK);
    return workspace;
}

static void ends(kh_workspace *workspace, kh_status expected) {
    kit_is(commit(workspace), expected);
    kh_workspace_close(workspace);
}

static void is_in(const kh_workspace *workspace, kh_workspace_state state, kh_status cause) {
    assert_int_equal(kh_workspace_state_of(workspace), state);
    assert_int_equal(kh_workspace_cause(workspace), cause);
}

/* ---- options --------------------------------------------------------------------------------- */

static bool has_tag(void *context, const kh_live_txn *txn) {
    *(bool *)context |= strcmp(txn->tag, "mine") == 0;
    return true;
}

/* The program's texts may be gone by then. */
static void test_a_retry_has_the_texts(void **state) {
    (void)state;
    char tag[] = "mine";
    char id_column[] = "a";
    bool is_found = false;
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    options.txn.tag = tag;
    options.txn.id_column = id_column;
    kh_workspace *workspace = begin_as(&options);
    memset(tag, '?', sizeof tag - 1);
    memset(id_column, '?', sizeof id_column - 1);
    put(workspace, "k", 1);
    kit_store(db, "k", 2);
    kit_is(commit(workspace), KH_CONFLICT);
    kit_is(kh_workspace_retry(workspace, NULL), KH_OK);
    kit_is(kh_db_live(db, has_tag, &is_found, NULL), KH_OK);
    assert_true(is_found);
    put_rows(workspace, "t", "1=5/1 2=6/2");
    kh_batch *rows = kit_rows(db, "3=6/3");
    kh_batch *value = NULL;
    char text[KIT_TEXT_BYTES];
    kit_is(kh_txn_upsert_rows(kh_workspace_txn(workspace), kit_key("t"), rows, NULL), KH_OK);
    kit_is(kh_workspace_get(workspace, kit_key("t"), &value, NULL), KH_OK);
    kit_text(value, text);
    assert_string_equal(text, "1=5/1 3=6/3");
    kh_batch_release(value);
    kh_batch_release(rows);
    ends(workspace, KH_OK);
}

/* An older program's options end sooner: what it does not know has its default. */
static void test_an_older_program(void **state) {
    (void)state;
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    options.size = offsetof(kh_workspace_options, dimensions);
    options.operations_max = 1;
    options.dimensions = 7; /* whatever lies behind them */
    kh_batch *value = kit_number(db, 1);
    workspace = begin_as(&options);
    put(workspace, "a", 1);
    kit_is(kh_workspace_put(workspace, kit_key("b"), value, NULL), KH_TOO_BIG);
    ends(workspace, KH_OK);
    kh_batch_release(value);
    options.size = sizeof options + 8;
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_INVALID);
}

/* ---- operations ------------------------------------------------------------------------------ */

static void release_schema(struct ArrowSchema *schema) {
    schema->release = NULL;
}

static void release_array(struct ArrowArray *array) {
    array->release = NULL;
}

/* One row: an id, and a vector of two elements. Called once: the batch adopts what is here. */
static kh_batch *one_vector(void) {
    static const int64_t id = 1;
    static const float elements[2] = {3, 4};
    static const void *buffers[2][2] = {{NULL, &id}, {NULL, elements}};
    static struct ArrowSchema item = {.format = "f", .name = "item", .release = release_schema};
    static struct ArrowSchema *items[1] = {&item};
    static struct ArrowSchema columns[2] = {
        {.format = "l", .name = "id", .release = release_schema},
        {.format = "+w:2",
         .name = "e",
         .n_children = 1,
         .children = items,
         .release = release_schema}};
    static struct ArrowSchema *each[2] = {&columns[0], &columns[1]};
    static struct ArrowSchema type = {
        .format = "+s", .name = "", .n_children = 2, .children = each, .release = release_schema};
    static struct ArrowArray value = {
        .length = 2, .n_buffers = 2, .buffers = buffers[1], .release = release_array};
    static struct ArrowArray *values[1] = {&value};
    static struct ArrowArray arrays[2] = {
        {.length = 1, .n_buffers = 2, .buffers = buffers[0], .release = release_array},
        {.length = 1,
         .n_buffers = 1,
         .buffers = buffers[0],
         .n_children = 1,
         .children = values,
         .release = release_array}};
    static struct ArrowArray *all[2] = {&arrays[0], &arrays[1]};
    static struct ArrowArray rows = {.length = 1,
                                     .n_buffers = 1,
                                     .buffers = buffers[0],
                                     .n_children = 2,
                                     .children = all,
                                     .release = release_array};
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    kit_is(kh_schema_import(db, &type, &schema, NULL), KH_OK);
    kit_is(kh_batch_import(db, schema, &rows, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
    kh_schema_release(schema);
    return batch;
}

static void test_embed_lists_its_vectors(void **state) {
    (void)state;
    kh_batch *vectors = one_vector();
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_step step;
    kit_is(kh_workspace_put(workspace, kit_key("v"), vectors, NULL), KH_OK);
    kit_is(kh_workspace_embed(workspace, kit_key("v"), vectors, NULL), KH_OK);
    kit_is(kh_workspace_operation(workspace, 1, &step), KH_OK);
    assert_int_equal(step.kind, KH_STEP_EMBED);
    assert_ptr_equal(step.value, vectors);
    assert_true(kit_bytes_equal(step.key, kit_key("v")));
    assert_int_equal(kh_workspace_affected_keys(workspace, NULL, 0), 1);
    kit_is(kh_workspace_delete(workspace, kit_key("v"), NULL), KH_OK);
    kit_is(kh_workspace_embed(workspace, kit_key("v"), vectors, NULL), KH_ROW_NOT_FOUND);
    assert_int_equal(kh_workspace_operation_count(workspace), 3);
    ends(workspace, KH_OK);
    kh_batch_release(vectors);
}

/* The read that finds out whether the key is there is answered like any other. */
static void test_an_update_that_is_cancelled(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_batch *value = kit_number(db, 1);
    kit_is(kh_db_remove_workspace(db, kh_workspace_id(workspace), NULL), KH_OK);
    kit_is(kh_workspace_update(workspace, kit_key("k"), value, NULL), KH_CANCELLED);
    is_in(workspace, KH_WORKSPACE_FAILED, KH_CANCELLED);
    kh_workspace_close(workspace);
    kh_batch_release(value);
}

/* A commit that came too early changes nothing: puts that follow are as strict as those before. */
static void test_guard_does_not_merge_afterwards(void **state) {
    (void)state;
    kh_cursor *cursor = NULL;
    kh_workspace *first = begin(KH_SEMANTIC_KEYS);
    put_rows(first, "t", "1=1/1 2=2/2");
    ends(first, KH_OK);
    kh_workspace *workspace = begin(KH_SEMANTIC_GUARD);
    kh_workspace *rival = begin(KH_SEMANTIC_KEYS);
    means(workspace, 1, 0);
    means(rival, 0, 1);
    kit_is(kh_txn_scan(kh_workspace_txn(workspace), NULL, &cursor, NULL), KH_OK);
    kit_is(commit(workspace), KH_IN_USE);
    kh_cursor_close(cursor);
    put_rows(workspace, "t", "1=7/1 2=2/2");
    put_rows(rival, "t", "1=1/1 2=2/9");
    ends(rival, KH_OK);
    ends(workspace, KH_CONFLICT);
}

/* All that came since it began is remembered, and none of it is against it. */
static void test_many_rivals(void **state) {
    enum { RIVALS = 600 };
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_GUARD);
    for (int i = 0; i < RIVALS; i++) {
        kh_workspace *rival = begin(KH_SEMANTIC_KEYS);
        put(rival, "r", i);
        means(rival, 0, 1);
        ends(rival, KH_OK);
    }
    put(workspace, "k", 1);
    means(workspace, 1, 0);
    ends(workspace, KH_OK);
}

/* ---- embedding ------------------------------------------------------------------------------- */

enum { MANY = 5000 };

/* Both sides have room for all of it, beside the list. */
static kh_status fill(void *context, kh_workspace *workspace, const kh_step *steps,
                      size_t step_count, float *before, float *after, uint32_t dimensions,
                      kh_error *error) {
    (void)workspace;
    (void)error;
    for (uint32_t i = 0; i < dimensions; i++) {
        assert_true(before[i] == 0 && after[i] == 0);
        before[i] = 1;
        after[i] = (float)i;
    }
    for (size_t i = 0; i < step_count; i++) assert_int_equal(kit_number_of(steps[i].value), i);
    return *(kh_status *)context;
}

static void test_many_dimensions(void **state) {
    (void)state;
    static float values[MANY];
    kh_status answer = KH_OK;
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_delta *delta = NULL;
    options.embed = fill;
    options.embed_context = &answer;
    options.dimensions = MANY;
    kh_workspace *workspace = begin_as(&options);
    for (int i = 0; i < 20; i++) put(workspace, "k", i);
    kit_is(kh_workspace_compute_delta(workspace, NULL), KH_OK);
    kit_is(kh_workspace_delta(workspace, &delta), KH_OK);
    kh_delta_values(delta, values);
    for (int i = 0; i < MANY; i++) assert_true(values[i] == (float)i - 1);
    kh_delta_release(delta);
    ends(workspace, KH_OK);
    answer = KH_CONFLICT; /* it means that nothing can go on */
    workspace = begin_as(&options);
    kit_is(kh_workspace_compute_delta(workspace, NULL), KH_CONFLICT);
    is_in(workspace, KH_WORKSPACE_FAILED, KH_CONFLICT);
    kh_workspace_close(workspace);
}

/* A call of it has failed the workspace, and it does not say so. */
static kh_status cancel_and_smile(void *context, kh_workspace *workspace, const kh_step *steps,
                                  size_t step_count, float *before, float *after,
                                  uint32_t dimensions, kh_error *error) {
    kh_batch *value = NULL;
    (void)context;
    (void)steps;
    (void)step_count;
    (void)before;
    (void)after;
    (void)dimensions;
    kit_is(kh_db_remove_workspace(db, kh_workspace_id(workspace), error), KH_OK);
    kit_is(kh_workspace_get(workspace, kit_key("k"), &value, error), KH_CANCELLED);
    kit_is(kh_workspace_retry(workspace, error), KH_MISUSE);
    return KH_OK;
}

static void test_an_embed_function_that_keeps_it_back(void **state) {
    (void)state;
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    kh_delta *delta = NULL;
    options.embed = cancel_and_smile;
    kit_is(kh_workspace_begin(db, &options, &workspace, NULL), KH_INVALID); /* of how many? */
    options.dimensions = 2;
    workspace = begin_as(&options);
    kit_is(kh_workspace_compute_delta(workspace, NULL), KH_CANCELLED);
    kit_is(kh_workspace_delta(workspace, &delta), KH_NOT_FOUND);
    is_in(workspace, KH_WORKSPACE_FAILED, KH_CANCELLED);
    kh_workspace_close(workspace);
}

static void test_values_that_are_none(void **state) {
    (void)state;
    const float ends_before[3] = {0, 0, NAN};
    const float bad[][2] = {{NAN, 0}, {0, NAN}, {INFINITY, 0}, {0, -INFINITY}};
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_semantic_conflict conflict = {.size = sizeof conflict};
    kh_delta *delta = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        kit_is(kh_workspace_set_before(workspace, (kh_floats){bad[i], 2}, NULL), KH_INVALID);
    kit_is(kh_workspace_set_before(workspace, (kh_floats){NULL, 2}, NULL), KH_INVALID);
    kit_is(kh_workspace_semantic_conflict(workspace, &conflict), KH_NOT_FOUND);
    put(workspace, "k", 1);
    kit_is(kh_workspace_set_before(workspace, (kh_floats){ends_before, 2}, NULL), KH_OK);
    kit_is(kh_workspace_set_after(workspace, (kh_floats){ends_before, 2}, NULL), KH_OK);
    kit_is(kh_workspace_compute_delta(workspace, NULL), KH_OK);
    kit_is(kh_workspace_delta(workspace, &delta), KH_OK);
    assert_int_equal(kh_delta_txn(delta).low, kh_txn_get_id(kh_workspace_txn(workspace)).low);
    kh_delta_release(delta);
    ends(workspace, KH_OK);
}

static void test_one_side_is_none(void **state) {
    (void)state;
    const float one[1] = {1};
    for (int side = 0; side < 2; side++) {
        kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
        put(workspace, "k", side);
        kit_is((side == 0 ? kh_workspace_set_before
                          : kh_workspace_set_after)(workspace, (kh_floats){one, 1}, NULL),
               KH_OK);
        kit_is(kh_workspace_compute_delta(workspace, NULL), KH_MISUSE);
        ends(workspace, KH_INVALID);
    }
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void test_after_the_end(void **state) {
    (void)state;
    const float one = 1;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    put(workspace, "k", 1);
    kit_is(kh_workspace_rollback(workspace), KH_OK);
    kit_is(kh_workspace_set_before(workspace, (kh_floats){&one, 1}, NULL), KH_FINISHED);
    kit_is(kh_workspace_compute_delta(workspace, NULL), KH_FINISHED);
    kh_workspace_close(workspace);
    workspace = begin(KH_SEMANTIC_KEYS);
    put(workspace, "k", 1);
    kit_store(db, "k", 2);
    kit_is(commit(workspace), KH_CONFLICT);
    is_in(workspace, KH_WORKSPACE_FAILED, KH_CONFLICT);
    kit_is(kh_workspace_rollback(workspace), KH_OK);
    is_in(workspace, KH_WORKSPACE_ROLLED_BACK, KH_OK);
    kh_workspace_close(workspace);
}

static void test_a_prepare_that_is_refused(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    put(workspace, "k", 1);
    kit_store(db, "k", 2);
    kit_is(kh_workspace_prepare(workspace, NULL), KH_CONFLICT);
    is_in(workspace, KH_WORKSPACE_FAILED, KH_CONFLICT);
    kit_is(kh_workspace_retry(workspace, NULL), KH_OK);
    put(workspace, "k", 3);
    ends(workspace, KH_OK);
    kit_load_is(db, "k", 3);
}

static kh_log_answer answer;

/* Whoever waits is answered. */
static void answer_now(void *context, uint64_t cookie) {
    held_log_answer(context, cookie, answer);
}

static kh_workspace *prepare_over(struct held_log *held) {
    kh_options options = kit_options();
    held_log_init(held, HELD_UNTIL_TOLD);
    held->log.flush = answer_now;
    answer = KH_LOG_KEPT;
    options.log = &held->log;
    db = kit_open_with(&options);
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    put(workspace, "k", 1);
    kit_is(kh_workspace_prepare(workspace, NULL), KH_OK);
    return workspace;
}

static void close_over(struct held_log *held, kh_workspace *workspace) {
    kh_workspace_close(workspace);
    kit_close(db);
    held_log_fini(held);
}

/* It stays prepared: the decision can be tried again. */
static void test_a_decision_that_the_log_refuses(void **state) {
    (void)state;
    struct held_log held;
    kh_workspace *workspace = prepare_over(&held);
    held.append_errno = ENOSPC;
    kit_is(commit(workspace), KH_NO_SPACE);
    is_in(workspace, KH_WORKSPACE_COMMITTING, KH_OK);
    held.append_errno = 0;
    kit_is(commit(workspace), KH_OK);
    kit_is(commit(workspace), KH_FINISHED);
    is_in(workspace, KH_WORKSPACE_COMMITTED, KH_OK);
    kit_load_is(db, "k", 1);
    close_over(&held, workspace);
}

/* Somebody else has decided it, and nobody knows what the log has of that. */
static void test_a_decision_that_the_log_loses(void **state) {
    (void)state;
    struct held_log held;
    kh_workspace *workspace = prepare_over(&held);
    answer = KH_LOG_LOST;
    kit_is(kh_db_decide(db, kh_workspace_id(workspace), true, NULL, NULL), KH_UNKNOWN);
    kit_is(commit(workspace), KH_UNKNOWN);
    is_in(workspace, KH_WORKSPACE_FAILED, KH_UNKNOWN);
    kit_is(kh_workspace_rollback(workspace), KH_UNKNOWN);
    close_over(&held, workspace);
}

/* Closed, it is open no more, also where its transaction waits for a decision. */
static void test_removing_what_is_closed(void **state) {
    (void)state;
    kh_workspace *workspace = begin(KH_SEMANTIC_KEYS);
    kh_txn_id id = kh_workspace_id(workspace);
    put(workspace, "k", 1);
    kit_is(kh_workspace_prepare(workspace, NULL), KH_OK);
    kit_is(kh_db_remove_workspace(db, id, NULL), KH_IN_USE);
    kh_workspace_close(workspace);
    kit_is(kh_db_remove_workspace(db, id, NULL), KH_NOT_FOUND);
    kit_is(kh_db_decide(db, id, true, NULL, NULL), KH_OK);
    kit_load_is(db, "k", 1);
    workspace = begin(KH_SEMANTIC_KEYS);
    id = kh_workspace_id(workspace);
    kh_txn_id foreign = {id.high + 1, id.low};
    kh_txn *plain = kit_begin(db, KH_REPEATABLE_READ); /* it has no id yet */
    kit_is(kh_db_remove_workspace(db, foreign, NULL), KH_NOT_FOUND);
    kit_commit_ok(plain);
    ends(workspace, KH_OK);
}

/* ---- time ------------------------------------------------------------------------------------ */

static bool note_age(void *context, const kh_workspace_entry *entry) {
    *(uint64_t *)context = entry->age_ms;
    return true;
}

static void test_ages_and_time_limits(void **state) {
    struct kit_clock clock = {1700000000000u, 1, 0};
    kh_options of_db = kit_options();
    uint64_t age_ms = 0;
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    (void)state;
    of_db.clock = kit_clock_hook(&clock);
    db = kit_open_with(&of_db);
    kit_clock_advance(&clock, 100);
    kh_db_step(db);
    options.operations_max = 7; /* not all defaults; and of the limit of time none is given */
    kh_workspace *workspace = begin_as(&options);
    kit_clock_advance(&clock, 4000);
    kh_db_step(db);
    assert_int_equal(kh_workspace_age_ms(workspace), 4000);
    kit_is(kh_db_workspaces(db, note_age, &age_ms, NULL), KH_OK);
    assert_int_equal(age_ms, 4000);
    put(workspace, "k", 1);
    kit_clock_advance(&clock, 2000);
    kh_db_step(db);
    ends(workspace, KH_EXPIRED);
    kit_close(db);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_db, close_db)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_retry_has_the_texts),
        TEST(test_an_older_program),
        TEST(test_embed_lists_its_vectors),
        TEST(test_an_update_that_is_cancelled),
        TEST(test_guard_does_not_merge_afterwards),
        TEST(test_many_rivals),
        TEST(test_many_dimensions),
        TEST(test_one_side_is_none),
        TEST(test_an_embed_function_that_keeps_it_back),
        TEST(test_values_that_are_none),
        TEST(test_after_the_end),
        TEST(test_a_prepare_that_is_refused),
        cmocka_unit_test(test_a_decision_that_the_log_refuses),
        cmocka_unit_test(test_a_decision_that_the_log_loses),
        TEST(test_removing_what_is_closed),
        cmocka_unit_test(test_ages_and_time_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
