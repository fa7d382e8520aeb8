/* workspace.c - what a workspace costs beside a plain transaction: begin, one put, commit; and
 * begin and rollback beside stores of different sizes; and a guarded commit beside many deltas that
 * it has not seen.
 *
 *     workspace plain|bare|meaning|rollback|plain-rollback COUNT [KEYS]
 *
 * plain: a transaction. bare: a workspace without an embedding. meaning: one with an embedding of
 * 384 dimensions. rollback: begin, one put, rollback of a workspace; plain-rollback: of a
 * transaction. Beside a store of KEYS keys (default 1,000). Prints operations a second.
 * Instructions:
 *
 *     valgrind --tool=callgrind --toggle-collect=measured workspace bare 100000
 *
 * counts COUNT of them: divide.
 *
 *     workspace unseen COUNT [DELTAS]
 *
 * COUNT guarded workspaces begin, then DELTAS (default 10,000) of 384 random floats are committed,
 * then the guarded ones commit, one after the other, against all of these. Prints the median of
 * commits in microseconds: of the first 8, which look at every pair, and of the second half, when
 * the list has codes. */
#include <khonsu.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DIMENSIONS = 384 };

struct bench {
    kh_db *db;
    kh_schema *schema;
    kh_batch *value;
    float before[DIMENSIONS];
    float after[DIMENSIONS];
};

static void must(kh_status status) {
    if (status == KH_OK) return;
    fprintf(stderr, "workspace: %s\n", kh_status_name(status));
    exit(2);
}

static kh_bytes key_of(uint64_t number, char out[24]) {
    int length = snprintf(out, 24, "key%012llu", (unsigned long long)number);
    return (kh_bytes){out, (size_t)length};
}

static void load(struct bench *bench, uint64_t keys) {
    char key[24];
    kh_txn *txn;
    must(kh_txn_begin(bench->db, NULL, &txn, NULL));
    for (uint64_t i = 0; i < keys; i++) must(kh_txn_put(txn, key_of(i, key), bench->value, NULL));
    must(kh_txn_commit(txn, NULL, NULL));
    kh_txn_close(txn);
}

static void open_bench(struct bench *bench, uint64_t keys) {
    static const char *const names[] = {"n"};
    static const char *const formats[] = {"l"};
    kh_options options = KH_OPTIONS_INIT;
    kh_scalar number = {KH_SCALAR_INT64, {.int64 = 7}};
    options.timeout_ms = 600000;
    must(kh_db_open(&options, &bench->db, NULL));
    must(kh_schema_build(bench->db, names, formats, 1, &bench->schema, NULL));
    must(kh_batch_build(bench->db, bench->schema, &number, 1, &bench->value, NULL));
    for (int i = 0; i < DIMENSIONS; i++) {
        bench->before[i] = 0;
        bench->after[i] = (float)(i % 7) - 3;
    }
    load(bench, keys);
}

static void plain(struct bench *bench, kh_bytes key, bool is_kept) {
    kh_txn *txn;
    must(kh_txn_begin(bench->db, NULL, &txn, NULL));
    must(kh_txn_put(txn, key, bench->value, NULL));
    must(is_kept ? kh_txn_commit(txn, NULL, NULL) : kh_txn_rollback(txn));
    kh_txn_close(txn);
}

static void work(struct bench *bench, kh_bytes key, bool is_kept, bool has_meaning) {
    kh_workspace *workspace;
    must(kh_workspace_begin(bench->db, NULL, &workspace, NULL));
    must(kh_workspace_put(workspace, key, bench->value, NULL));
    if (has_meaning) {
        must(kh_workspace_set_before(workspace, (kh_floats){bench->before, DIMENSIONS}, NULL));
        must(kh_workspace_set_after(workspace, (kh_floats){bench->after, DIMENSIONS}, NULL));
    }
    must(is_kept ? kh_workspace_commit(workspace, NULL, NULL) : kh_workspace_rollback(workspace));
    kh_workspace_close(workspace);
}

__attribute__((noinline)) static void measured(struct bench *bench, const char *what,
                                               uint64_t count, uint64_t keys) {
    bool is_plain = strncmp(what, "plain", 5) == 0;
    bool is_kept = strstr(what, "rollback") == NULL;
    bool has_meaning = strcmp(what, "meaning") == 0;
    char rooms[64][24];
    kh_bytes names[64];
    for (uint64_t i = 0; i < 64; i++) names[i] = key_of(i * 7919 % keys, rooms[i]);
    for (uint64_t i = 0; i < count; i++) {
        kh_bytes key = names[i % 64];
        if (is_plain)
            plain(bench, key, is_kept);
        else
            work(bench, key, is_kept, has_meaning);
    }
}

/* ---- against what was not seen ---------------------------------------------------------------
 */

static uint64_t draw(void) {
    static uint64_t state = 7;
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = (state ^ state >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static kh_workspace *begin(struct bench *bench, kh_semantic_mode mode) {
    kh_workspace_options options = KH_WORKSPACE_OPTIONS_INIT;
    kh_workspace *workspace;
    options.mode = mode;
    options.txn.timeout_ms = 600000;
    must(kh_workspace_begin(bench->db, &options, &workspace, NULL));
    return workspace;
}

static void change(struct bench *bench, kh_workspace *workspace, uint64_t number) {
    char key[24];
    must(kh_workspace_put(workspace, key_of(number, key), bench->value, NULL));
    for (int i = 0; i < DIMENSIONS; i++) bench->after[i] = (float)(draw() >> 40) * 0x1p-23f - 1;
    must(kh_workspace_set_before(workspace, (kh_floats){bench->before, DIMENSIONS}, NULL));
    must(kh_workspace_set_after(workspace, (kh_floats){bench->after, DIMENSIONS}, NULL));
    must(kh_workspace_compute_delta(workspace, NULL));
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *times, uint64_t count) {
    qsort(times, count, sizeof *times, by_size);
    return times[count / 2] * 1e6;
}

static double seconds_of(const struct timespec *begun, const struct timespec *ended) {
    return (double)(ended->tv_sec - begun->tv_sec) +
           (double)(ended->tv_nsec - begun->tv_nsec) / 1e9;
}

static double commit_timed(kh_workspace *workspace) {
    struct timespec begun;
    struct timespec ended;
    (void)clock_gettime(CLOCK_MONOTONIC, &begun);
    must(kh_workspace_commit(workspace, NULL, NULL));
    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    return seconds_of(&begun, &ended);
}

static void unseen(struct bench *bench, uint64_t count, uint64_t deltas) {
    enum { FIRST = 8 };
    kh_workspace **guards = calloc(count, sizeof(kh_workspace *));
    double *times = calloc(count, sizeof *times);
    if (guards == NULL || times == NULL || count < 2 * FIRST) must(KH_INVALID);
    for (uint64_t i = 0; i < count; i++) guards[i] = begin(bench, KH_SEMANTIC_GUARD);
    for (uint64_t i = 0; i < deltas; i++) {
        kh_workspace *workspace = begin(bench, KH_SEMANTIC_KEYS);
        change(bench, workspace, 1000000 + i);
        must(kh_workspace_commit(workspace, NULL, NULL));
        kh_workspace_close(workspace);
    }
    for (uint64_t i = 0; i < count; i++) {
        change(bench, guards[i], 2000000 + i);
        times[i] = commit_timed(guards[i]);
        kh_workspace_close(guards[i]);
    }
    printf("%llu unseen deltas: %.0f us at first, %.0f us later\n", (unsigned long long)deltas,
           median(times, FIRST), median(times + count / 2, count - count / 2));
    free(guards);
    free(times);
}

static void at_speed(struct bench *bench, const char *what, uint64_t count, uint64_t keys) {
    struct timespec begun;
    struct timespec ended;
    (void)clock_gettime(CLOCK_MONOTONIC, &begun);
    measured(bench, what, count, keys);
    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%s %llu keys: %.0f a second\n", what, (unsigned long long)keys,
           (double)count / seconds_of(&begun, &ended));
}

int main(int count, char **words) {
    struct bench bench;
    if (count < 3) {
        fprintf(stderr, "workspace: see the head of bench/workspace.c\n");
        return 2;
    }
    uint64_t operations = strtoull(words[2], NULL, 10);
    bool is_unseen = strcmp(words[1], "unseen") == 0;
    uint64_t more = count > 3 ? strtoull(words[3], NULL, 10) : is_unseen ? 10000 : 1000;
    open_bench(&bench, is_unseen ? 1000 : more);
    if (is_unseen)
        unseen(&bench, operations, more);
    else
        at_speed(&bench, words[1], operations, more);
    kh_batch_release(bench.value);
    kh_schema_release(bench.schema);
    must(kh_db_close(bench.db));
    return 0;
}
