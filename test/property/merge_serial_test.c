/* Workspaces that are merged give what some serial order of their operations gives: random edits of
 * one table (set a number, add to a vector, insert, delete a row) by workspaces that overlap at
 * random, against a model that applies the operations, one workspace after the other, in the order
 * of commits. What the engine refuses the model leaves out; what it merges must be what the model
 * has. Now and then some of them commit together: then the order is that of the array. */
#include "support/kit.h"
#include "support/rows_kit.h"

enum { IDS = 6, OPEN = 4, STEPS = 40000, EDITS = 3 };

struct row {
    bool is_there;
    int64_t number;
    double vector[2];
};

struct edit {
    enum { SET, ADD, INSERT, DELETE } kind;
    int id;
    int64_t number;
    double vector[2];
};

struct player {
    kh_workspace *workspace; /* NULL: none */
    struct edit edits[EDITS];
    int count;
};

static uint64_t seed;

static uint32_t draw(uint32_t below) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

/* ---- tables and batches ------------------------------------------------------------------------
 */

static int count_rows(const struct row *rows) {
    int count = 0;
    for (int id = 0; id < IDS; id++) count += rows[id].is_there;
    return count;
}

static float *vector_of(const struct ArrowArray *array, int64_t row) {
    const struct ArrowArray *lists = array->children[2];
    const struct ArrowArray *elements = lists->children[0];
    float *values = (float *)(uintptr_t)elements->buffers[1];
    return values + elements->offset + (array->offset + lists->offset + row) * 2;
}

static int64_t *number_of(const struct ArrowArray *array, int column, int64_t row) {
    const struct ArrowArray *child = array->children[column];
    return (int64_t *)(uintptr_t)child->buffers[1] + child->offset + array->offset + row;
}

/* Written into the buffers of a batch that nobody else has seen. */
static kh_batch *batch_of(kh_db *db, const struct row *rows) {
    static const char *const columns[] = {"id=!l", "n=!l", "v=!+w:2[!f]"};
    struct foreign_random random = {5, false, false};
    struct ArrowArray array;
    kh_batch *batch = rows_kit_columns(db, columns, 3, count_rows(rows), &random);
    kit_is(kh_batch_export(batch, &array, NULL, NULL), KH_OK);
    int64_t row = 0;
    for (int id = 0; id < IDS; id++) {
        if (!rows[id].is_there) continue;
        *number_of(&array, 0, row) = id;
        *number_of(&array, 1, row) = rows[id].number;
        for (int i = 0; i < 2; i++) vector_of(&array, row)[i] = (float)rows[id].vector[i];
        row++;
    }
    array.release(&array);
    return batch;
}

static void read_batch(const kh_batch *batch, struct row *rows) {
    struct ArrowArray array;
    memset(rows, 0, IDS * sizeof *rows);
    kit_is(kh_batch_export(batch, &array, NULL, NULL), KH_OK);
    for (int64_t row = 0; row < array.length; row++) {
        struct row *out = &rows[*number_of(&array, 0, row)];
        assert_false(out->is_there);
        out->is_there = true;
        out->number = *number_of(&array, 1, row);
        for (int i = 0; i < 2; i++) out->vector[i] = (double)vector_of(&array, row)[i];
    }
    array.release(&array);
}

/* ---- edits ------------------------------------------------------------------------------------
 */

/* Small whole numbers: sums are exact, so that the order of additions cannot be seen. */
static bool apply(const struct edit *edit, struct row *rows) {
    struct row *row = &rows[edit->id];
    switch (edit->kind) {
    case SET:
        if (!row->is_there) return false;
        row->number = edit->number;
        return true;
    case ADD:
        if (!row->is_there) return false;
        for (int i = 0; i < 2; i++) row->vector[i] += edit->vector[i];
        return true;
    case INSERT:
        if (row->is_there)
            return row->number == edit->number && row->vector[0] == edit->vector[0] &&
                   row->vector[1] == edit->vector[0];
        *row = (struct row){true, edit->number, {edit->vector[0], edit->vector[0]}};
        return true;
    case DELETE:
        row->is_there = false;
        return true;
    }
    return false;
}

static struct edit draw_edit(void) {
    struct edit edit = {.id = (int)draw(IDS), .number = draw(3)};
    uint32_t kind = draw(10);
    edit.kind = kind < 4 ? ADD : kind < 7 ? SET : kind < 9 ? INSERT : DELETE;
    for (int i = 0; i < 2; i++) edit.vector[i] = (double)draw(5) - 2;
    return edit;
}

/* A merge sees what was changed, and each row's change as one: an edit that leaves all as it is
 * could come anywhere in the serial order, and two of one row are one. */
static bool changes(const struct edit *edit, const struct row *rows) {
    const struct row *row = &rows[edit->id];
    if (edit->kind == INSERT) return !row->is_there;
    if (!row->is_there) return false;
    if (edit->kind == ADD) return edit->vector[0] != 0 || edit->vector[1] != 0;
    return edit->kind == DELETE || row->number != edit->number;
}

static void read_table(kh_db *db, struct row *rows) {
    kh_batch *batch = NULL;
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(kh_txn_get(txn, kit_key("t"), &batch, NULL), KH_OK);
    read_batch(batch, rows);
    kh_batch_release(batch);
    kit_rollback(txn);
}

/* A workspace that sees the table as it is now, and edits that make sense on it. */
static void open_player(kh_db *db, struct player *player) {
    static const float zero[2] = {0, 0};
    static const float one[2] = {1, 0};
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    struct row rows[IDS];
    bool is_touched[IDS] = {false};
    options.mode = KH_SEMANTIC_MERGE;
    options.txn.timeout_ms = 600000;
    kit_is(kh_workspace_begin(db, &options, &player->workspace, NULL), KH_OK);
    read_table(db, rows);
    player->count = 0;
    for (uint32_t i = 1 + draw(EDITS); i > 0; i--) {
        struct edit edit = draw_edit();
        if (is_touched[edit.id] || !changes(&edit, rows)) continue;
        assert_true(apply(&edit, rows));
        is_touched[edit.id] = true;
        player->edits[player->count++] = edit;
    }
    kh_batch *batch = batch_of(db, rows);
    kit_is(kh_workspace_put(player->workspace, kit_key("t"), batch, NULL), KH_OK);
    kh_batch_release(batch);
    kit_is(kh_workspace_set_before(player->workspace, (kh_floats){zero, 2}, NULL), KH_OK);
    kit_is(kh_workspace_set_after(player->workspace, (kh_floats){one, 2}, NULL), KH_OK);
}

static void is_model(kh_db *db, const struct row *model) {
    struct row rows[IDS];
    read_table(db, rows);
    for (int id = 0; id < IDS; id++) {
        assert_int_equal(rows[id].is_there, model[id].is_there);
        if (!rows[id].is_there) continue;
        assert_int_equal(rows[id].number, model[id].number);
        for (int i = 0; i < 2; i++) assert_true(rows[id].vector[i] == model[id].vector[i]);
    }
}

static void apply_all(const struct player *player, struct row *model) {
    for (int i = 0; i < player->count; i++) assert_true(apply(&player->edits[i], model));
}

static bool close_player(kh_db *db, struct player *player, struct row *model) {
    kh_status status = kh_workspace_commit(player->workspace, NULL, NULL);
    kh_workspace_close(player->workspace);
    player->workspace = NULL;
    assert_true(status == KH_OK || status == KH_CONFLICT);
    if (status == KH_OK) apply_all(player, model);
    is_model(db, model);
    return status == KH_OK;
}

/* Those who are open, from one on and round: all or none. Whom it fails by is out. */
static bool close_together(kh_db *db, struct player *players, struct row *model) {
    struct player *members[OPEN];
    kh_workspace *workspaces[OPEN];
    size_t count = 0;
    size_t culprit;
    uint32_t first = draw(OPEN);
    for (uint32_t i = 0; i < OPEN; i++) {
        struct player *player = &players[(first + i) % OPEN];
        if (player->workspace == NULL) continue;
        members[count] = player;
        workspaces[count++] = player->workspace;
    }
    kh_status status = kh_workspace_commit_together(workspaces, count, NULL, &culprit, NULL);
    assert_true(status == KH_OK ? culprit == count : status == KH_CONFLICT && culprit < count);
    for (size_t i = 0; i < count; i++) {
        if (status == KH_OK) apply_all(members[i], model);
        if (status != KH_OK && i != culprit) continue;
        kh_workspace_close(members[i]->workspace);
        members[i]->workspace = NULL;
    }
    is_model(db, model);
    return status == KH_OK;
}

static void play(uint64_t number) {
    struct row model[IDS] = {{true, 0, {0, 0}}, {true, 0, {0, 0}}, {true, 0, {0, 0}}};
    struct player players[OPEN] = {{NULL, {{SET, 0, 0, {0, 0}}}, 0}};
    uint64_t answers[2] = {0, 0};
    uint64_t together[2] = {0, 0};
    kh_db *db = kit_open();
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *batch = batch_of(db, model);
    seed = number;
    kit_is(kh_txn_put(txn, kit_key("t"), batch, NULL), KH_OK);
    kit_commit_ok(txn);
    kh_batch_release(batch);
    for (int step = 0; step < STEPS; step++) {
        struct player *player = &players[draw(OPEN)];
        if (player->workspace == NULL)
            open_player(db, player);
        else if (draw(4) == 0)
            together[close_together(db, players, model)]++;
        else
            answers[close_player(db, player, model)]++;
    }
    for (int i = 0; i < OPEN; i++)
        if (players[i].workspace != NULL) (void)close_player(db, &players[i], model);
    print_message("seed %llu: %llu commits, %llu conflicts; together %llu, %llu\n",
                  (unsigned long long)number, (unsigned long long)answers[1],
                  (unsigned long long)answers[0], (unsigned long long)together[1],
                  (unsigned long long)together[0]);
    assert_true(together[0] > 0 && together[1] > 0);
    assert_true(answers[0] > 0 && answers[1] > answers[0] / 4);
    kit_close(db);
}

static void test_merges(void **state) {
    (void)state;
    uint64_t first = kit_env("KH_TEST_SEED", 1);
    for (uint64_t number = first; number < first + 3; number++) play(number);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_merges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
