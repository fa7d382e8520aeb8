/* interleavings_test.c - every interleaving of two tiny transactions, and of three from a smaller
 * set of programs, over two keys, at every level and at mixed ones, through the real engine, each
 * step against the serial oracle: reads are those of the level, write conflicts come when they
 * must and only then, what is committed has a serial order, transactions that do not touch get
 * through, and a refusal for the serial order's sake is never a false one. Prints how many of each
 * it saw.
 *
 * KH_TEST_SCALE: per cent of the pairs and triples to run. */
#include "model/serial_oracle.h"
#include "support/kit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SCALE_DEFAULT 2
#else
#define SCALE_DEFAULT 100
#endif

enum { OPS_MAX = 2, STEPS_MAX = 9 };

struct op {
    enum oracle_kind kind;
    int key;
};
struct program {
    struct op ops[OPS_MAX];
    int op_count;
};

static const struct op alphabet[] = {
    {ORACLE_GET, 0},  {ORACLE_GET, 1},    {ORACLE_PUT, 0},    {ORACLE_PUT, 1}, {ORACLE_SCAN, 0},
    {ORACLE_ROWS, 0}, {ORACLE_DELETE, 0}, {ORACLE_DELETE, 1}, {ORACLE_ROWS, 1}};
enum { LETTERS = sizeof alphabet / sizeof alphabet[0] };

/* What three at once are made of. */
static const struct program trio_programs[] = {
    {{{ORACLE_GET, 0}, {ORACLE_PUT, 1}}, 2},  {{{ORACLE_GET, 1}, {ORACLE_PUT, 0}}, 2},
    {{{ORACLE_GET, 0}, {ORACLE_GET, 1}}, 2},  {{{ORACLE_SCAN, 0}, {ORACLE_PUT, 0}}, 2},
    {{{ORACLE_SCAN, 0}, {ORACLE_PUT, 1}}, 2}, {{{ORACLE_PUT, 0}, {ORACLE_PUT, 1}}, 2},
    {{{ORACLE_GET, 1}, {ORACLE_DELETE, 0}}, 2}, {{{ORACLE_SCAN, 0}, {ORACLE_ROWS, 0}}, 2},
    {{{ORACLE_ROWS, 1}, {ORACLE_GET, 0}}, 2},
};
enum { TRIO_PROGRAMS = sizeof trio_programs / sizeof trio_programs[0] };

struct counts {
    uint64_t runs, commits, conflicts, refusals, rows_refusals_false;
};

struct run {
    kh_db *db;
    const struct program *programs[ORACLE_TXNS];
    enum oracle_level levels[ORACLE_TXNS];
    int txn_count;
    bool has_rows;
    int position[ORACLE_TXNS]; /* 0: not begun */
    kh_txn *txns[ORACLE_TXNS];
    unsigned char prefix[2];
    struct oracle oracle;
    struct counts *counts;
    char trace[512];
    size_t traced;
};

static kh_batch *put_batches[ORACLE_TXNS][OPS_MAX];
static kh_batch *row_batches[ORACLE_TXNS][OPS_MAX];
static kh_batch *initial;

static int64_t cell_of(int txn, int op) {
    return 100 * (txn + 1) + op;
}

static int prepare_batches(void **state) {
    (void)state;
    char text[64];
    for (int t = 0; t < ORACLE_TXNS; t++) {
        for (int op = 0; op < OPS_MAX; op++) {
            (void)snprintf(text, sizeof text, "0=%lld/0", (long long)cell_of(t, op));
            put_batches[t][op] = kit_rows(NULL, text);
            (void)snprintf(text, sizeof text, "%d=%lld/0", t + 1, (long long)cell_of(t, op));
            row_batches[t][op] = kit_rows(NULL, text);
        }
    }
    initial = kit_rows(NULL, "0=1/0");
    return 0;
}

static int release_batches(void **state) {
    (void)state;
    for (int i = 0; i < ORACLE_TXNS * OPS_MAX; i++) {
        kh_batch_release(put_batches[i / OPS_MAX][i % OPS_MAX]);
        kh_batch_release(row_batches[i / OPS_MAX][i % OPS_MAX]);
    }
    kh_batch_release(initial);
    return 0;
}

/* ---- one step -------------------------------------------------------------------------------- */

static void trace(struct run *run, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(run->trace + run->traced, sizeof run->trace - run->traced, format,
                           arguments);
    va_end(arguments);
    if (length > 0 && run->traced + (size_t)length < sizeof run->trace) {
        run->traced += (size_t)length;
    }
}

static void complain(const struct run *run, const char *what) {
    static const char letters[] = "crs";
    char levels[ORACLE_TXNS + 1] = "";
    for (int t = 0; t < run->txn_count; t++) {
        levels[t] = letters[run->levels[t]];
        levels[t + 1] = '\0';
    }
    fail_msg("%s\n  levels (c: committed, r: repeatable, s: serializable) %s, key 1 %s\n  %s", what,
             levels, (run->prefix[1] & 1) != 0 ? "deleted" : "absent", run->trace);
}

static void check_value(struct run *run, const kh_batch *batch, const struct oracle_value *value) {
    int64_t cells[ORACLE_CELLS] = {0};
    for (int64_t row = 0; batch != NULL && row < kh_batch_row_count(batch); row++) {
        int64_t id = -1;
        kit_is(kh_batch_int64(batch, 0, row, &id), KH_OK);
        assert_in_range(id, 0, ORACLE_CELLS - 1);
        kit_is(kh_batch_int64(batch, 1, row, &cells[id]), KH_OK);
    }
    if ((batch != NULL) != value->is_there || memcmp(cells, value->cells, sizeof cells) != 0) {
        complain(run, "the read is not what the level promises");
    }
}

static kh_bytes key_in(const struct run *run, int key, unsigned char space[3]) {
    space[0] = run->prefix[0];
    space[1] = run->prefix[1];
    space[2] = (unsigned char)('0' + key);
    return (kh_bytes){space, 3};
}

static void step_get(struct run *run, int t, int key) {
    unsigned char space[3];
    const kh_batch *batch = NULL;
    struct oracle_value value = oracle_read(&run->oracle, t, key);
    kh_status status = kh_txn_peek(run->txns[t], key_in(run, key, space), &batch, NULL);
    if (status != KH_NOT_FOUND) {
        kit_is(status, KH_OK);
    }
    check_value(run, batch, &value);
}

static void step_scan(struct run *run, int t) {
    kh_scan_options options = KH_SCAN_OPTIONS_INIT;
    kh_cursor *cursor = NULL;
    kh_bytes key;
    const kh_batch *batch = NULL;
    options.prefix = (kh_bytes){run->prefix, 2};
    kit_is(kh_txn_scan(run->txns[t], &options, &cursor, NULL), KH_OK);
    bool has_next = kh_cursor_next(cursor, &key, &batch, NULL) == KH_OK;
    for (int k = 0; k < ORACLE_KEYS; k++) {
        struct oracle_value value = oracle_read(&run->oracle, t, k);
        bool is_here = has_next && ((const unsigned char *)key.data)[2] == '0' + k;
        check_value(run, is_here ? batch : NULL, &value);
        if (is_here) {
            has_next = kh_cursor_next(cursor, &key, &batch, NULL) == KH_OK;
        }
    }
    if (has_next) {
        complain(run, "the scan has an entry too many");
    }
    kh_cursor_close(cursor);
}

static void step_write(struct run *run, int t, const struct op *op, int index) {
    unsigned char space[3];
    kh_bytes key = key_in(run, op->key, space);
    kh_status status;
    oracle_write(&run->oracle, t, op->key, op->kind, cell_of(t, index));
    if (op->kind == ORACLE_DELETE) {
        status = kh_txn_delete(run->txns[t], key, NULL);
    } else if (op->kind == ORACLE_PUT) {
        status = kh_txn_put(run->txns[t], key, put_batches[t][index], NULL);
    } else {
        status = kh_txn_upsert_rows(run->txns[t], key, row_batches[t][index], NULL);
    }
    kit_is(status, KH_OK);
}

/* A refusal must be one that a serial order would have needed. */
static void check_refusal(struct run *run, int t) {
    run->counts->refusals++;
    if (run->levels[t] != ORACLE_SERIALIZABLE) {
        complain(run, "refused for the serial order below serializable");
    }
    if (!oracle_has_contact(&run->oracle, t)) {
        complain(run, "refused without a conflict");
    }
    struct oracle with = run->oracle;
    oracle_commit(&with, t);
    if (oracle_is_serial(&with)) {
        if (!run->has_rows) {
            complain(run, "refused although there is a serial order");
        }
        run->counts->rows_refusals_false++;
    }
}

static void step_commit(struct run *run, int t) {
    bool must_conflict = oracle_conflict(&run->oracle, t);
    kh_status status = kh_txn_commit(run->txns[t], NULL, NULL);
    kh_txn_close(run->txns[t]);
    run->txns[t] = NULL;
    trace(run, "=%s", kh_status_name(status));
    if (status == KH_OK) {
        run->counts->commits++;
        if (must_conflict) {
            complain(run, "committed over a conflict");
        }
        oracle_commit(&run->oracle, t);
        return;
    }
    if (status == KH_CONFLICT) {
        run->counts->conflicts++;
        if (!must_conflict) {
            complain(run, "a conflict without a rival");
        }
    } else if (status == KH_NOT_SERIALIZABLE) {
        if (!must_conflict) {
            check_refusal(run, t);
        }
    } else {
        complain(run, "an answer that no commit gives here");
    }
    oracle_abort(&run->oracle, t);
}

static void step(struct run *run, int t) {
    static const kh_isolation isolations[3] = {KH_READ_COMMITTED, KH_REPEATABLE_READ,
                                               KH_SERIALIZABLE};
    static const char *const words[] = {"get", "scan", "put", "delete", "rows"};
    int position = run->position[t]++;
    if (position == 0) {
        trace(run, " begin%d", t);
        oracle_begin(&run->oracle, t, run->levels[t]);
        run->txns[t] = kit_begin(run->db, isolations[run->levels[t]]);
        return;
    }
    if (position > run->programs[t]->op_count) {
        trace(run, " commit%d", t);
        step_commit(run, t);
        return;
    }
    const struct op *op = &run->programs[t]->ops[position - 1];
    trace(run, " %s%d(%d)", words[op->kind], t, op->key);
    if (op->kind == ORACLE_GET) {
        step_get(run, t, op->key);
    } else if (op->kind == ORACLE_SCAN) {
        step_scan(run, t);
    } else {
        step_write(run, t, op, position - 1);
    }
}

/* ---- one run --------------------------------------------------------------------------------- */

static void check_end(struct run *run) {
    kh_txn *reader = kit_begin(run->db, KH_REPEATABLE_READ);
    for (int key = 0; key < ORACLE_KEYS; key++) {
        unsigned char space[3];
        const kh_batch *batch = NULL;
        struct oracle_value none = {false, {0}};
        int length = run->oracle.chain_length[key];
        kh_status status = kh_txn_peek(reader, key_in(run, key, space), &batch, NULL);
        assert_true(status == KH_OK || status == KH_NOT_FOUND);
        check_value(run, batch,
                    length == 0 ? &none : &run->oracle.chains[key][length - 1].value);
    }
    kit_rollback(reader);
    if (!oracle_is_serial(&run->oracle)) {
        complain(run, "what was committed has no serial order");
    }
}

/* order: which transaction takes its next step; chunk: operations that a step takes along. */
static void run_order(struct run *run, const unsigned char *order, int step_count, int number,
                      bool is_coarse) {
    run->counts->runs++;
    run->traced = 0;
    run->trace[0] = '\0';
    run->prefix[0] = (unsigned char)(number >> 8);
    run->prefix[1] = (unsigned char)number;
    memset(run->position, 0, sizeof run->position);
    oracle_init(&run->oracle, run->txn_count, (number & 1) != 0);
    for (int i = 0; i < step_count; i++) {
        int t = order[i];
        step(run, t);
        if (is_coarse && run->position[t] == run->programs[t]->op_count + 1) {
            step(run, t); /* the last operation and the commit are one step */
        }
    }
    check_end(run);
}

struct orders {
    unsigned char steps[1680][STEPS_MAX];
    int step_count;
    int count;
};

static void enumerate(struct orders *orders, int *left, int txn_count, unsigned char *prefix,
                      int used) {
    if (used == orders->step_count) {
        memcpy(orders->steps[orders->count++], prefix, (size_t)used);
        return;
    }
    for (int t = 0; t < txn_count; t++) {
        if (left[t] > 0) {
            left[t]--;
            prefix[used] = (unsigned char)t;
            enumerate(orders, left, txn_count, prefix, used + 1);
            left[t]++;
        }
    }
}

static void make_orders(struct orders *orders, int *left, int txn_count) {
    unsigned char prefix[STEPS_MAX];
    orders->count = 0;
    orders->step_count = 0;
    for (int t = 0; t < txn_count; t++) {
        orders->step_count += left[t];
    }
    enumerate(orders, left, txn_count, prefix, 0);
}

/* The first state of every run of one database: its key 0, and for odd ones a deleted key 1. */
static void prepare_keys(struct run *run, int run_count) {
    unsigned char space[3];
    for (int round = 0; round < 2; round++) {
        kh_txn *txn = kit_begin(run->db, KH_REPEATABLE_READ);
        for (int i = 0; i < run_count; i++) {
            run->prefix[0] = (unsigned char)(i >> 8);
            run->prefix[1] = (unsigned char)i;
            if (round == 0) {
                kit_is(kh_txn_put(txn, key_in(run, 0, space), initial, NULL), KH_OK);
                if ((i & 1) != 0) {
                    kit_is(kh_txn_put(txn, key_in(run, 1, space), initial, NULL), KH_OK);
                }
            } else if ((i & 1) != 0) {
                kit_is(kh_txn_delete(txn, key_in(run, 1, space), NULL), KH_OK);
            }
        }
        kit_commit_ok(txn);
    }
}

static bool has_rows(const struct run *run) {
    for (int t = 0; t < run->txn_count; t++) {
        for (int i = 0; i < run->programs[t]->op_count; i++) {
            if (run->programs[t]->ops[i].kind == ORACLE_ROWS) {
                return true;
            }
        }
    }
    return false;
}

static struct counts reported[2]; /* pairs, triples */

static void report(const char *what, const struct counts *counts) {
    reported[what[0] == 't'] = *counts;
    print_message("%s: %llu runs, %llu commits, %llu conflicts, %llu refusals, none false but %llu "
                  "with row operations\n",
                  what, (unsigned long long)counts->runs, (unsigned long long)counts->commits,
                  (unsigned long long)counts->conflicts, (unsigned long long)counts->refusals,
                  (unsigned long long)counts->rows_refusals_false);
    assert_true(counts->commits > 0 && counts->conflicts > 0 && counts->refusals > 0);
}

static bool is_chosen(uint32_t number) {
    uint64_t scale = kit_env("KH_TEST_SCALE", SCALE_DEFAULT);
    return number * 2654435761u % 100 < scale;
}

/* ---- pairs ----------------------------------------------------------------------------------- */

static int make_programs(struct program *out) {
    int count = 0;
    for (int a = 0; a < LETTERS; a++) {
        out[count++] = (struct program){{alphabet[a], {ORACLE_GET, 0}}, 1};
        for (int b = 0; b < LETTERS; b++) {
            out[count++] = (struct program){{alphabet[a], alphabet[b]}, 2};
        }
    }
    return count;
}

/* Each order at the three levels, and at one of the six mixtures in turn. */
static void run_pair(struct run *run, const struct orders *orders, uint32_t turn) {
    static const enum oracle_level mixtures[6][2] = {{0, 1}, {0, 2}, {1, 0},
                                                     {1, 2}, {2, 0}, {2, 1}};
    int number = 0;
    run->txn_count = 2;
    run->has_rows = has_rows(run);
    run->db = kit_open();
    prepare_keys(run, orders->count * 4);
    for (int i = 0; i < orders->count; i++) {
        for (int mix = 0; mix < 4; mix++) {
            for (int t = 0; t < 2; t++) {
                run->levels[t] = mix < 3 ? (enum oracle_level)mix
                                         : mixtures[(turn + (uint32_t)i) % 6][t];
            }
            run_order(run, orders->steps[i], orders->step_count, number++, false);
        }
    }
    kit_close(run->db);
}

static void test_pairs(void **state) {
    (void)state;
    static struct program programs[LETTERS * (LETTERS + 1)];
    static struct orders orders[3][3];
    struct counts counts = {0};
    int count = make_programs(programs);
    for (int a = 1; a < 3; a++) {
        for (int b = 1; b < 3; b++) {
            int left[2] = {a + 2, b + 2};
            make_orders(&orders[a][b], left, 2);
        }
    }
    uint32_t pair = 0;
    for (int a = 0; a < count; a++) {
        for (int b = a; b < count; b++, pair++) {
            if (is_chosen(pair)) {
                struct run run = {.programs = {&programs[a], &programs[b]}, .counts = &counts};
                run_pair(&run, &orders[programs[a].op_count][programs[b].op_count], pair);
            }
        }
    }
    report("pairs", &counts);
}

/* ---- triples --------------------------------------------------------------------------------- */

/* Each order at serializable, and every fourth at one of the 27 mixtures in turn. */
static void run_triple(struct run *run, const struct orders *orders, uint32_t turn) {
    int number = 0;
    run->txn_count = 3;
    run->has_rows = has_rows(run);
    run->db = kit_open();
    prepare_keys(run, orders->count + (orders->count + 3) / 4);
    for (int i = 0; i < orders->count; i++) {
        for (int t = 0; t < 3; t++) {
            run->levels[t] = ORACLE_SERIALIZABLE;
        }
        run_order(run, orders->steps[i], orders->step_count, number++, true);
        if (i % 4 == 0) {
            uint32_t mixture = (turn + (uint32_t)i / 4) % 27;
            run->levels[0] = (enum oracle_level)(mixture % 3);
            run->levels[1] = (enum oracle_level)(mixture / 3 % 3);
            run->levels[2] = (enum oracle_level)(mixture / 9);
            run_order(run, orders->steps[i], orders->step_count, number++, true);
        }
    }
    kit_close(run->db);
}

static void test_triples(void **state) {
    (void)state;
    static struct orders orders;
    struct counts counts = {0};
    int left[3] = {3, 3, 3};
    make_orders(&orders, left, 3);
    uint32_t triple = 0;
    for (int a = 0; a < TRIO_PROGRAMS; a++) {
        for (int b = a; b < TRIO_PROGRAMS; b++) {
            for (int c = b; c < TRIO_PROGRAMS; c++, triple++) {
                if (is_chosen(triple)) {
                    struct run run = {.programs = {&trio_programs[a], &trio_programs[b],
                                                   &trio_programs[c]},
                                      .counts = &counts};
                    run_triple(&run, &orders, triple);
                }
            }
        }
    }
    report("triples", &counts);
}

static void print_proof(int failures) {
    const struct counts *pairs = &reported[0];
    const struct counts *triples = &reported[1];
    printf("{\"proof\":\"interleavings\",\"pairs\":%llu,\"triples\":%llu,\"commits\":%llu,"
           "\"conflicts\":%llu,\"refusals\":%llu,\"refused_needlessly\":0,"
           "\"refused_needlessly_with_row_operations\":%llu,\"failures\":%d}\n",
           (unsigned long long)pairs->runs, (unsigned long long)triples->runs,
           (unsigned long long)(pairs->commits + triples->commits),
           (unsigned long long)(pairs->conflicts + triples->conflicts),
           (unsigned long long)(pairs->refusals + triples->refusals),
           (unsigned long long)(pairs->rows_refusals_false + triples->rows_refusals_false),
           failures);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_triples),
    };
    int failures = cmocka_run_group_tests(tests, prepare_batches, release_batches);
    print_proof(failures);
    return failures;
}
