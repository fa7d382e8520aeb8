/* threads_test.c - real threads on one database: a bank whose sum must hold in every snapshot,
 * pairs that write skew would break, list-append whose history must be strictly serializable, rows
 * of one shared batch changed by all. Threads count what is wrong; the test asserts that nothing
 * was.
 *
 * KH_TEST_THREADS, KH_TEST_SCALE (per cent), KH_TEST_SEED. */
#include "model/graph_check.h"
#include "support/kv_batches.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SCALE_DEFAULT 15
#else
#define SCALE_DEFAULT 100
#endif
enum { THREADS_MAX = 16 };

struct crew;
typedef void job(struct crew *crew, int thread, struct kv_random *random);

struct crew {
    kh_db *db;
    int thread_count;
    int rounds;
    job *run;
    uint64_t seed;
    _Atomic int next_thread;
    _Atomic int wrong;      /* promises broken */
    _Atomic int unexpected; /* answers that no retry should meet */
    void *extra;
};

static void *work(void *argument) {
    struct crew *crew = argument;
    int thread = atomic_fetch_add(&crew->next_thread, 1);
    struct kv_random random;
    kv_random_seed(&random, crew->seed * 1000 + (uint64_t)thread);
    crew->run(crew, thread, &random);
    return NULL;
}

static int thread_count(void) {
    return (int)kit_env("KH_TEST_THREADS", 6);
}

static int scaled(int rounds) {
    return (int)((uint64_t)rounds * kit_env("KH_TEST_SCALE", SCALE_DEFAULT) / 100) + 1;
}

static void run_crew(struct crew *crew, int rounds) {
    pthread_t threads[THREADS_MAX];
    crew->thread_count = thread_count();
    crew->rounds = scaled(rounds);
    crew->seed = kit_env("KH_TEST_SEED", 1);
    assert_in_range(crew->thread_count, 1, THREADS_MAX);
    for (int i = 0; i < crew->thread_count; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, crew), 0);
    }
    for (int i = 0; i < crew->thread_count; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&crew->wrong), 0);
    assert_int_equal(atomic_load(&crew->unexpected), 0);
}

static kh_db *open_threaded(void) {
    kh_options options = KH_OPTIONS_INIT;
    options.timeout_ms = 600000; /* a slow machine is no failure */
    return kit_open_with(&options);
}

static kh_status run_in(kh_db *db, kh_isolation isolation, uint32_t flags, kh_run_fn *body,
                        void *context) {
    kh_run_options options = KH_RUN_OPTIONS_INIT;
    options.txn.isolation = isolation;
    options.txn.flags = flags;
    options.attempts_max = 100000;
    options.backoff_min_us = 1;
    options.backoff_max_us = 200;
    return kh_db_run(db, &options, body, context, NULL, NULL, NULL);
}

/* Now and then another thread's turn, in the middle of a transaction. */
static void let_others(void) {
    static _Thread_local unsigned calls;
    if (++calls % 3 == 0) {
        (void)sched_yield();
    }
}

static kh_bytes name_key(char space[24], const char *prefix, int number) {
    (void)snprintf(space, 24, "%s%02d", prefix, number);
    return kit_key(space);
}

static kh_status get_number(kh_txn *txn, kh_bytes key, int64_t *out) {
    const kh_batch *batch = NULL;
    let_others();
    kh_status status = kh_txn_peek(txn, key, &batch, NULL);
    return status == KH_OK ? kh_batch_int64(batch, 0, 0, out) : status;
}

static kh_status put_number(kh_txn *txn, kh_bytes key, int64_t number) {
    kh_batch *batch = kit_number(NULL, number);
    kh_status status = kh_txn_put(txn, key, batch, NULL);
    kh_batch_release(batch);
    return status;
}

/* ---- the bank -------------------------------------------------------------------------------- */

enum { ACCOUNTS = 8, BALANCE = 100 };

struct transfer {
    int from;
    int to;
    int64_t amount;
};

static kh_status transfer(void *context, kh_txn *txn, kh_error *error) {
    const struct transfer *t = context;
    char space[24];
    int64_t from = 0;
    int64_t to = 0;
    (void)error;
    kh_status status = get_number(txn, name_key(space, "account", t->from), &from);
    if (status == KH_OK) {
        status = get_number(txn, name_key(space, "account", t->to), &to);
    }
    if (status == KH_OK) {
        status = put_number(txn, name_key(space, "account", t->from), from - t->amount);
    }
    if (status == KH_OK) {
        status = put_number(txn, name_key(space, "account", t->to), to + t->amount);
    }
    return status;
}

struct sum {
    int64_t total;
    int count;
};

static kh_status add_accounts(void *context, kh_txn *txn, kh_error *error) {
    struct sum *sum = context;
    kh_scan_options options = KH_SCAN_OPTIONS_INIT;
    kh_cursor *cursor = NULL;
    kh_bytes key;
    const kh_batch *value = NULL;
    options.prefix = kit_key("account");
    *sum = (struct sum){0, 0};
    kh_status status = kh_txn_scan(txn, &options, &cursor, error);
    while (status == KH_OK && (status = kh_cursor_next(cursor, &key, &value, error)) == KH_OK) {
        int64_t balance = 0;
        status = kh_batch_int64(value, 0, 0, &balance);
        sum->total += balance;
        sum->count++;
    }
    kh_cursor_close(cursor);
    return status == KH_END ? KH_OK : status;
}

static void bank_job(struct crew *crew, int thread, struct kv_random *random) {
    kh_isolation level = *(kh_isolation *)crew->extra;
    for (int i = 0; i < crew->rounds; i++) {
        struct transfer t = {kv_random_below(random, ACCOUNTS), 0, 1 + kv_random_below(random, 9)};
        struct sum sum;
        t.to = (t.from + 1 + kv_random_below(random, ACCOUNTS - 1)) % ACCOUNTS;
        if (run_in(crew->db, level, 0, transfer, &t) != KH_OK) {
            crew->unexpected++;
        }
        uint32_t flags = (i + thread) % 2 == 0 ? KH_BEGIN_READ_ONLY : 0;
        if (i % 4 == 0 && level == KH_SERIALIZABLE) {
            flags = KH_BEGIN_READ_ONLY | KH_BEGIN_DEFERRABLE;
        }
        if (i % 3 == 0) {
            if (run_in(crew->db, level, flags, add_accounts, &sum) != KH_OK) {
                crew->unexpected++;
            } else if (sum.total != ACCOUNTS * BALANCE || sum.count != ACCOUNTS) {
                crew->wrong++;
            }
        }
    }
}

static void test_bank(void **state) {
    kh_isolation level = *(kh_isolation *)*state;
    struct crew crew = {.db = open_threaded(), .run = bank_job, .extra = &level};
    char space[24];
    struct sum sum;
    for (int i = 0; i < ACCOUNTS; i++) {
        (void)name_key(space, "account", i);
        kit_store(crew.db, space, BALANCE);
    }
    run_crew(&crew, 6000);
    kit_is(run_in(crew.db, KH_REPEATABLE_READ, 0, add_accounts, &sum), KH_OK);
    assert_int_equal(sum.total, ACCOUNTS * BALANCE);
    kit_close(crew.db);
}

/* ---- pairs that write skew breaks ------------------------------------------------------------ */

enum { PAIRS = 4 };

/* One of each pair must be 1. Takes one away where both are, else gives it back. */
static kh_status flip(void *context, kh_txn *txn, kh_error *error) {
    const int *which = context;
    char one_space[24];
    char other_space[24];
    int64_t one = 0;
    int64_t other = 0;
    (void)error;
    kh_bytes one_key = name_key(one_space, "pair", which[0] * 2 + which[1]);
    kh_bytes other_key = name_key(other_space, "pair", which[0] * 2 + 1 - which[1]);
    kh_status status = get_number(txn, one_key, &one);
    if (status == KH_OK) {
        status = get_number(txn, other_key, &other);
    }
    if (status != KH_OK) {
        return status;
    }
    return put_number(txn, one_key, one == 1 && other == 1 ? 0 : 1);
}

static kh_status check_pair(void *context, kh_txn *txn, kh_error *error) {
    int *which = context;
    char space[24];
    int64_t one = 0;
    int64_t other = 0;
    (void)error;
    kh_status status = get_number(txn, name_key(space, "pair", which[0] * 2), &one);
    if (status == KH_OK) {
        status = get_number(txn, name_key(space, "pair", which[0] * 2 + 1), &other);
    }
    which[1] = one == 0 && other == 0;
    return status;
}

static void pair_job(struct crew *crew, int thread, struct kv_random *random) {
    (void)thread;
    for (int i = 0; i < crew->rounds; i++) {
        int which[2] = {kv_random_below(random, PAIRS), kv_random_below(random, 2)};
        if (run_in(crew->db, KH_SERIALIZABLE, 0, flip, which) != KH_OK) {
            crew->unexpected++;
        }
        if (run_in(crew->db, KH_SERIALIZABLE, KH_BEGIN_READ_ONLY, check_pair, which) != KH_OK) {
            crew->unexpected++;
        } else if (which[1] != 0) {
            crew->wrong++;
        }
    }
}

static void test_write_skew_pairs(void **state) {
    (void)state;
    struct crew crew = {.db = open_threaded(), .run = pair_job};
    char space[24];
    for (int i = 0; i < PAIRS * 2; i++) {
        (void)name_key(space, "pair", i);
        kit_store(crew.db, space, 1);
    }
    run_crew(&crew, 8000);
    kit_close(crew.db);
}

/* ---- list-append ----------------------------------------------------------------------------- */

enum { LIST_MAX = 64, LIVE_KEYS = 6, TXNS_PER_KEY = 40 };

struct recorder {
    struct graph_txn *txns; /* one slot a transaction: thread * rounds + round */
    _Atomic int next_value;
    _Atomic int begun;
    int key_count;
    int value_count;
    kh_schema *schema;
};

static int64_t now_ns(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Copies the list under key into *list. */
static kh_status read_list(kh_txn *txn, int key, int *list, int *count) {
    char space[24];
    const kh_batch *batch = NULL;
    kh_status status = kh_txn_peek(txn, name_key(space, "list", key), &batch, NULL);
    *count = 0;
    let_others();
    if (status != KH_OK) {
        return status == KH_NOT_FOUND ? KH_OK : status;
    }
    int64_t rows = kh_batch_row_count(batch);
    for (int64_t row = 0; status == KH_OK && row < rows && row < LIST_MAX; row++) {
        int64_t value = 0;
        status = kh_batch_int64(batch, 0, row, &value);
        list[(*count)++] = (int)value;
    }
    return status;
}

static kh_status append_to_list(struct recorder *recorder, kh_txn *txn, int key, int value) {
    int list[LIST_MAX];
    kh_scalar scalars[LIST_MAX + 1];
    char space[24];
    int count = 0;
    kh_batch *batch = NULL;
    kh_status status = read_list(txn, key, list, &count);
    if (status != KH_OK || count == LIST_MAX) {
        return status != KH_OK ? status : KH_TOO_BIG;
    }
    for (int i = 0; i < count; i++) {
        scalars[i] = (kh_scalar){KH_SCALAR_INT64, {.int64 = list[i]}};
    }
    scalars[count] = (kh_scalar){KH_SCALAR_INT64, {.int64 = value}};
    status = kh_batch_build(NULL, recorder->schema, scalars, count + 1, &batch, NULL);
    if (status == KH_OK) {
        status = kh_txn_put(txn, name_key(space, "list", key), batch, NULL);
    }
    kh_batch_release(batch);
    return status;
}

static kh_status list_op(struct recorder *recorder, kh_txn *txn, struct graph_op *op) {
    if (op->is_append) {
        return append_to_list(recorder, txn, op->key, op->value);
    }
    int list[LIST_MAX];
    kh_status status = read_list(txn, op->key, list, &op->list_count);
    if (status == KH_OK) {
        int *copy = malloc(sizeof list);
        if (copy == NULL) {
            abort();
        }
        memcpy(copy, list, sizeof list);
        op->list = copy;
    }
    return status;
}

static void plan_txn(struct recorder *recorder, struct graph_txn *txn, struct kv_random *random) {
    int begun = atomic_fetch_add(&recorder->begun, 1);
    int oldest = begun / TXNS_PER_KEY;
    txn->op_count = 1 + kv_random_below(random, 4);
    for (int i = 0; i < txn->op_count; i++) {
        struct graph_op *op = &txn->ops[i];
        op->key = (oldest + kv_random_below(random, LIVE_KEYS)) % recorder->key_count;
        op->is_append = kv_random_below(random, 5) == 0;
        if (op->is_append) {
            op->value = atomic_fetch_add(&recorder->next_value, 1);
        }
    }
}

/* Some lock what they are going to use, all at once or, for the sake of deadlocks, one by one: the
 * snapshot moves. Others meet those locks when they commit. */
static kh_status lock_lists(kh_txn *txn, const struct graph_txn *record) {
    char spaces[GRAPH_OPS][24];
    kh_lock locks[GRAPH_OPS];
    kh_status status = KH_OK;
    int way = record->ops[0].key % 4;
    if (way > 1) {
        return KH_OK;
    }
    for (int i = 0; i < record->op_count; i++) {
        const struct graph_op *op = &record->ops[i];
        locks[i].key = name_key(spaces[i], "list", op->key);
        locks[i].mode = op->is_append ? KH_LOCK_EXCLUSIVE : KH_LOCK_SHARED;
        if (way == 1 && status == KH_OK) {
            status = kh_txn_lock(txn, &locks[i], 1, NULL, NULL);
        }
    }
    return way == 1 ? status : kh_txn_lock(txn, locks, (size_t)record->op_count, NULL, NULL);
}

static void record_txn(struct crew *crew, struct graph_txn *record) {
    struct recorder *recorder = crew->extra;
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.isolation = KH_SERIALIZABLE;
    options.lock_wait = record->ops[0].key % 4 == 2 ? KH_LOCK_WAIT : KH_LOCK_REFUSE;
    record->begin_ns = now_ns();
    kh_status status = kh_txn_begin(crew->db, &options, &txn, NULL);
    if (status == KH_OK) {
        status = lock_lists(txn, record);
    }
    for (int i = 0; status == KH_OK && i < record->op_count; i++) {
        status = list_op(recorder, txn, &record->ops[i]);
    }
    if (status == KH_OK) {
        status = kh_txn_commit(txn, NULL, NULL);
    }
    record->end_ns = now_ns();
    record->is_committed = status == KH_OK;
    if (status != KH_OK && status != KH_TOO_BIG && kh_status_classify(status) != KH_CLASS_RETRY) {
        crew->unexpected++;
    }
    kh_txn_close(txn);
}

static void list_job(struct crew *crew, int thread, struct kv_random *random) {
    struct recorder *recorder = crew->extra;
    for (int i = 0; i < crew->rounds; i++) {
        struct graph_txn *record = &recorder->txns[thread * crew->rounds + i];
        plan_txn(recorder, record, random);
        record_txn(crew, record);
    }
}

/* Each key once more, in transactions of their own at the end. */
static int read_all_lists(struct crew *crew, int at) {
    struct recorder *recorder = crew->extra;
    for (int key = 0; key < recorder->key_count; key++) {
        struct graph_txn *record = &recorder->txns[at++];
        record->op_count = 1;
        record->ops[0].key = key;
        record_txn(crew, record);
        assert_true(record->is_committed);
    }
    return at;
}

static void test_list_append(void **state) {
    (void)state;
    struct recorder recorder = {.schema = kit_number_schema(NULL)};
    struct crew crew = {.db = open_threaded(), .run = list_job, .extra = &recorder};
    int rounds = 10000;
    int capacity = thread_count() * scaled(rounds);
    recorder.key_count = capacity / TXNS_PER_KEY + LIVE_KEYS;
    recorder.txns = calloc((size_t)(capacity + recorder.key_count), sizeof *recorder.txns);
    assert_non_null(recorder.txns);
    run_crew(&crew, rounds);
    int count = read_all_lists(&crew, crew.thread_count * crew.rounds);
    struct graph_history history = {recorder.txns, count, recorder.key_count, recorder.next_value,
                                    true};
    const char *wrong = graph_check(&history);
    int committed = 0;
    for (int t = 0; t < count; t++) {
        committed += recorder.txns[t].is_committed;
        for (int i = 0; i < recorder.txns[t].op_count; i++) {
            free((void *)recorder.txns[t].ops[i].list);
        }
    }
    print_message("list-append: %d transactions, %d committed\n", count, committed);
    free(recorder.txns);
    kh_schema_release(recorder.schema);
    kit_close(crew.db);
    if (wrong != NULL) {
        fail_msg("%s (seed %llu)", wrong, (unsigned long long)crew.seed);
    }
    assert_true(committed > count / 4);
}

/* ---- rows of one batch ----------------------------------------------------------------------- */

struct bump {
    int thread;
    int64_t count;
};

/* Blind: no two threads' rows ever conflict. */
static kh_status bump_row(void *context, kh_txn *txn, kh_error *error) {
    const struct bump *bump = context;
    char text[64];
    (void)snprintf(text, sizeof text, "%d=%lld/%lld", bump->thread, (long long)bump->count,
                   (long long)-bump->count);
    kh_batch *rows = kit_rows(NULL, text);
    kh_status status = kh_txn_upsert_rows(txn, kit_key("shared"), rows, error);
    kh_batch_release(rows);
    return status;
}

static void rows_job(struct crew *crew, int thread, struct kv_random *random) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    (void)random;
    for (int i = 1; i <= crew->rounds; i++) {
        struct bump bump = {thread, i};
        kh_txn *txn = NULL;
        options.isolation = kit_levels[i % 3];
        kh_status status = kh_txn_begin(crew->db, &options, &txn, NULL);
        if (status == KH_OK) {
            status = bump_row(&bump, txn, NULL);
        }
        if (status == KH_OK) {
            status = kh_txn_commit(txn, NULL, NULL);
        }
        kh_txn_close(txn);
        if (status != KH_OK) {
            crew->unexpected++; /* row operations on different rows do not conflict */
        }
    }
}

static void test_rows_of_one_batch(void **state) {
    (void)state;
    struct crew crew = {.db = open_threaded(), .run = rows_job};
    run_crew(&crew, 8000);
    kh_txn *txn = kit_begin(crew.db, KH_REPEATABLE_READ);
    kh_batch *batch = NULL;
    kit_is(kh_txn_get(txn, kit_key("shared"), &batch, NULL), KH_OK);
    assert_int_equal(kh_batch_row_count(batch), crew.thread_count);
    for (int64_t row = 0; row < crew.thread_count; row++) {
        int64_t count = 0;
        kit_is(kh_batch_int64(batch, 1, row, &count), KH_OK);
        assert_int_equal(count, crew.rounds);
    }
    kh_batch_release(batch);
    kit_rollback(txn);
    kit_close(crew.db);
}

/* ---- a deferrable reader that waits ---------------------------------------------------------- */

struct deferred {
    kh_db *db;
    int64_t a;
    int64_t b;
    kh_status status;
};

static void *read_deferred(void *argument) {
    struct deferred *reader = argument;
    kh_txn *txn = NULL;
    reader->status = kit_try_begin(reader->db, KH_SERIALIZABLE, KH_FAIL,
                                   KH_BEGIN_READ_ONLY | KH_BEGIN_DEFERRABLE, &txn);
    if (reader->status == KH_OK) {
        (void)get_number(txn, kit_key("a"), &reader->a);
        (void)get_number(txn, kit_key("b"), &reader->b);
        reader->status = kh_txn_commit(txn, NULL, NULL);
    }
    kh_txn_close(txn);
    return NULL;
}

static uint64_t count_snapshots(kh_db *db) {
    kh_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.size = sizeof stats;
    kit_is(kh_db_stats(db, &stats, NULL), KH_OK);
    return stats.snapshots;
}

/* T1 read a; T2 changed a; the reader came and waits for T1, which commits below it: it must take
 * a new snapshot, and see T1's write, too. (With only T2's it would have seen a state of no serial
 * order with T1 before T2.) */
static void test_deferrable_takes_a_new_snapshot(void **state) {
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct deferred reader = {open_threaded(), 0, 0, KH_INVALID};
        pthread_t thread;
        kit_store(reader.db, "a", 1);
        kit_store(reader.db, "b", 1);
        kh_txn *t1 = kit_begin(reader.db, KH_SERIALIZABLE);
        (void)kit_get(t1, "a");
        kit_put(t1, "b", 2);
        kit_store(reader.db, "a", 2);
        assert_int_equal(pthread_create(&thread, NULL, read_deferred, &reader), 0);
        for (int spins = 0; spins < 100000 && count_snapshots(reader.db) < 2; spins++) {
            (void)sched_yield();
        }
        kit_commit_ok(t1);
        assert_int_equal(pthread_join(thread, NULL), 0);
        kit_is(reader.status, KH_OK);
        assert_int_equal(reader.a, 2);
        assert_int_equal(reader.b, 2);
        kit_close(reader.db);
    }
}

int main(void) {
    static kh_isolation serializable = KH_SERIALIZABLE;
    static kh_isolation repeatable = KH_REPEATABLE_READ;
    const struct CMUnitTest tests[] = {
        {"bank serializable", test_bank, NULL, NULL, &serializable},
        {"bank repeatable_read", test_bank, NULL, NULL, &repeatable},
        cmocka_unit_test(test_write_skew_pairs),
        cmocka_unit_test(test_list_append),
        cmocka_unit_test(test_rows_of_one_batch),
        cmocka_unit_test(test_deferrable_takes_a_new_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
