/* Threads with workspaces of every mode, beside plain transactions and somebody who lists and looks
 * for candidates: the commits, put in their order, are judged afterwards by the rules. No guarded
 * commit stands after one that it contradicts and did not see; every counter has each acknowledged
 * increment once, since merges lose nothing. */
#include "support/kit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 400 };
#else
enum { ROUNDS = 4000 };
#endif
enum { THREADS = 4, KEYS = 3, DIRECTIONS = 6, DECOYS = 7 };

static const float directions[DIRECTIONS][2] = {{1, 0},       {0, 1},           {-1, 0},
                                                {0.8f, 0.6f}, {-0.5f, -0.866f}, {0, 0}};

struct committed {
    kh_timestamp commit;
    kh_timestamp snapshot;
    kh_semantic_mode mode;
    int direction;
};

struct agent {
    kh_db *db;
    int index;
    uint64_t state;
    struct committed list[ROUNDS];
    size_t count;
    uint64_t answers[3]; /* OK, of keys, of meaning */
    int64_t added;
};

static _Atomic bool is_over;

static uint32_t draw(struct agent *agent, uint32_t below) {
    agent->state = agent->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(agent->state >> 33) % below;
}

static int64_t row_of(const kh_batch *batch, int64_t id) {
    int64_t number = 0;
    for (int64_t row = 0; row < kh_batch_row_count(batch); row++) {
        if (kh_batch_int64(batch, 0, row, &number) != KH_OK || number != id) continue;
        if (kh_batch_int64(batch, 1, row, &number) == KH_OK) return number;
    }
    return -1;
}

/* The table as of the snapshot, one higher in the agent's row: through the text of rows. */
static kh_batch *raised(struct agent *agent, kh_workspace *workspace, const char *key) {
    kh_batch *old = NULL;
    char text[128];
    if (kh_workspace_get(workspace, kit_key(key), &old, NULL) != KH_OK) return NULL;
    int64_t rows[THREADS];
    for (int i = 0; i < THREADS; i++) rows[i] = row_of(old, i + 1) + (i == agent->index);
    kh_batch_release(old);
    (void)snprintf(text, sizeof text, "1=%lld/0 2=%lld/0 3=%lld/0 4=%lld/0", (long long)rows[0],
                   (long long)rows[1], (long long)rows[2], (long long)rows[3]);
    return kit_rows(agent->db, text);
}

static void note(struct agent *agent, kh_workspace *workspace, kh_semantic_mode mode, int direction,
                 kh_timestamp commit) {
    agent->list[agent->count++] =
        (struct committed){commit, kh_txn_snapshot(kh_workspace_txn(workspace)), mode, direction};
}

/* At times operations that a savepoint takes back, while others look at how many there are. */
static void try_in_vain(struct agent *agent, kh_workspace *workspace, const char *key,
                        const kh_batch *value) {
    kh_txn *txn = kh_workspace_txn(workspace);
    uint32_t savepoint = 0;
    size_t count = kh_workspace_operation_count(workspace);
    if (draw(agent, 2) == 0) return;
    if (kh_txn_savepoint(txn, &savepoint, NULL) != KH_OK) abort();
    for (uint32_t i = draw(agent, DECOYS + 1); i > 0; i--)
        if (kh_workspace_put(workspace, kit_key(i % 2 == 0 ? key : "decoy"), value, NULL) != KH_OK)
            abort();
    if (kh_txn_rollback_to(txn, savepoint, NULL) != KH_OK ||
        kh_workspace_operation_count(workspace) != count)
        abort();
}

static void play(struct agent *agent) {
    static const char *const keys[KEYS] = {"x", "y", "z"};
    static const float zero[2] = {0, 0};
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace = NULL;
    kh_timestamp commit = 0;
    options.mode = (kh_semantic_mode)(1 + draw(agent, 3));
    options.txn.timeout_ms = 60000;
    int direction = (int)draw(agent, DIRECTIONS);
    const char *key = keys[draw(agent, KEYS)];
    if (kh_workspace_begin(agent->db, &options, &workspace, NULL) != KH_OK) abort();
    kh_batch *value = raised(agent, workspace, key);
    if (value == NULL || kh_workspace_put(workspace, kit_key(key), value, NULL) != KH_OK) abort();
    try_in_vain(agent, workspace, key, value);
    kh_batch_release(value);
    kh_floats after = {directions[direction], 2};
    if (kh_workspace_set_before(workspace, (kh_floats){zero, 2}, NULL) != KH_OK ||
        kh_workspace_set_after(workspace, after, NULL) != KH_OK)
        abort();
    if (draw(agent, 2) == 0) sched_yield(); /* let others come between */
    if (draw(agent, 4) == 0 && kh_workspace_compute_delta(workspace, NULL) != KH_OK) abort();
    kh_status status = kh_workspace_commit(workspace, &commit, NULL);
    if (status != KH_OK && status != KH_CONFLICT && status != KH_SEMANTIC_CONFLICT) abort();
    agent->answers[status == KH_OK ? 0 : status == KH_CONFLICT ? 1 : 2]++;
    if (status == KH_OK) note(agent, workspace, options.mode, direction, commit);
    agent->added += status == KH_OK;
    kh_workspace_close(workspace);
}

static void *run(void *context) {
    struct agent *agent = context;
    for (int i = 0; i < ROUNDS; i++) play(agent);
    return NULL;
}

static bool count_entry(void *context, const kh_workspace_entry *entry) {
    if (entry->delta != NULL && kh_delta_dimension(entry->delta) != 2) abort();
    if (entry->operation_count > DECOYS + 1) abort();
    ++*(size_t *)context;
    return true;
}

static void *look(void *context) {
    kh_db *db = context;
    size_t seen = 0;
    kh_candidate found[8];
    size_t count = 0;
    while (!is_over) {
        kh_workspace *workspace = NULL;
        if (kh_db_workspaces(db, count_entry, &seen, NULL) != KH_OK) abort();
        if (kh_workspace_begin(db, NULL, &workspace, NULL) != KH_OK) abort();
        kh_floats zero = {directions[5], 2};
        kh_floats one = {directions[0], 2};
        if (kh_workspace_set_before(workspace, zero, NULL) != KH_OK ||
            kh_workspace_set_after(workspace, one, NULL) != KH_OK ||
            kh_workspace_compute_delta(workspace, NULL) != KH_OK ||
            kh_workspace_find_merge_candidates(workspace, 0.1f, 60000, found, 8, &count, NULL) !=
                KH_OK ||
            kh_workspace_find_conflicts(workspace, 60000, found, 8, &count, NULL) != KH_OK)
            abort();
        kh_workspace_close(workspace);
    }
    return NULL;
}

/* ---- afterwards -------------------------------------------------------------------------------
 */

static int by_commit(const void *a, const void *b) {
    kh_timestamp left = ((const struct committed *)a)->commit;
    kh_timestamp right = ((const struct committed *)b)->commit;
    return left == right ? 0 : left < right ? -1 : 1;
}

static bool contradicts(int a, int b) {
    const float *x = directions[a];
    const float *y = directions[b];
    float cosine = x[0] * y[0] + x[1] * y[1];
    /* The same direction is identical with the same keys, which may be merged, and conflicting with
     * others; the list does not have keys: that is left to the exhaustive test. */
    return a != b && (cosine <= -0.96f || cosine >= 0.75f);
}

static void judge(struct agent *agents) {
    static struct committed all[THREADS * ROUNDS];
    size_t count = 0;
    for (int i = 0; i < THREADS; i++) {
        memcpy(&all[count], agents[i].list, agents[i].count * sizeof *all);
        count += agents[i].count;
    }
    qsort(all, count, sizeof *all, by_commit);
    for (size_t i = 0; i < count; i++) {
        if (all[i].mode == KH_SEMANTIC_KEYS) continue;
        for (size_t j = i; j-- > 0 && all[j].commit > all[i].snapshot;)
            assert_false(contradicts(all[i].direction, all[j].direction));
    }
}

static void check_sums(kh_db *db, struct agent *agents) {
    static const char *const keys[KEYS] = {"x", "y", "z"};
    for (int i = 0; i < THREADS; i++) {
        int64_t sum = 0;
        for (int key = 0; key < KEYS; key++) {
            kh_batch *batch = NULL;
            kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
            kit_is(kh_txn_get(txn, kit_key(keys[key]), &batch, NULL), KH_OK);
            sum += row_of(batch, i + 1);
            kh_batch_release(batch);
            kit_rollback(txn);
        }
        assert_int_equal(sum, agents[i].added);
    }
}

static void test_threads(void **state) {
    (void)state;
    static struct agent agents[THREADS];
    pthread_t threads[THREADS + 1];
    kh_db *db = kit_open();
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *value = kit_rows(db, "1=0/0 2=0/0 3=0/0 4=0/0");
    for (int i = 0; i < KEYS; i++) {
        char key[2] = {(char)('x' + i), '\0'};
        kit_is(kh_txn_put(txn, kit_key(key), value, NULL), KH_OK);
    }
    kit_commit_ok(txn);
    kh_batch_release(value);
    for (int i = 0; i < THREADS; i++) {
        agents[i] = (struct agent){.db = db, .index = i, .state = 17 + (uint64_t)i};
        assert_int_equal(pthread_create(&threads[i], NULL, run, &agents[i]), 0);
    }
    assert_int_equal(pthread_create(&threads[THREADS], NULL, look, db), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    is_over = true;
    pthread_join(threads[THREADS], NULL);
    uint64_t answers[3] = {0, 0, 0};
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < 3; k++) answers[k] += agents[i].answers[k];
    print_message("%llu commits, %llu conflicts of keys, %llu of meaning\n",
                  (unsigned long long)answers[0], (unsigned long long)answers[1],
                  (unsigned long long)answers[2]);
    judge(agents);
    check_sums(db, agents);
    kit_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
