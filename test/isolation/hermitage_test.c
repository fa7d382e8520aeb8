/* hermitage_test.c - the anomaly cases of Hermitage (Kleppmann, github.com/ept/hermitage), by
 * their names, at every level, stepped from one thread with several transactions open.
 *
 * Each case says whether its anomaly was observed; the table at the end says at which levels it
 * may be. With --markdown the table is measured and printed: the lines that begin with "|". Keys
 * "1" and "2" begin as 10 and 20. */
#include "support/kit.h"

struct stage {
    kh_db *db;
    kh_isolation level;
};

static kh_txn *begin(const struct stage *s) {
    return kit_begin(s->db, s->level);
}

/* What a read must give at read committed, and at the two levels that read a snapshot. */
static void get_is(const struct stage *s, kh_txn *txn, const char *key, int64_t committed,
                   int64_t snapshot) {
    kit_get_is(txn, key, s->level == KH_READ_COMMITTED ? committed : snapshot);
}

static void scan_is(const struct stage *s, kh_txn *txn, const char *committed,
                    const char *snapshot) {
    kit_scan_is(txn, NULL, s->level == KH_READ_COMMITTED ? committed : snapshot);
}

/* What the commit must answer at each level; true when it was let through. */
static bool commit_is(const struct stage *s, kh_txn *txn, kh_status read_committed,
                      kh_status repeatable_read, kh_status serializable) {
    kh_status status = kit_commit(txn);
    kit_is(status, s->level == KH_READ_COMMITTED    ? read_committed
                   : s->level == KH_REPEATABLE_READ ? repeatable_read
                                                    : serializable);
    return status == KH_OK;
}

static void final_is(const struct stage *s, int64_t one, int64_t two) {
    kit_load_is(s->db, "1", one);
    kit_load_is(s->db, "2", two);
}

/* Write cycles: the writes of two transactions must not interleave. */
static bool g0(const struct stage *s) {
    kh_txn *t1 = begin(s);
    kh_txn *t2 = begin(s);
    kit_put(t1, "1", 11);
    kit_put(t2, "1", 12);
    kit_put(t1, "2", 21);
    kit_commit_ok(t1);
    final_is(s, 11, 21);
    kit_put(t2, "2", 22);
    bool is_through = commit_is(s, t2, KH_OK, KH_CONFLICT, KH_CONFLICT);
    int64_t one = kit_load(s->db, "1");
    int64_t two = kit_load(s->db, "2");
    assert_int_equal(one, is_through ? 12 : 11);
    return (one == 12) != (two == 22);
}

/* Aborted reads: what was rolled back must not be seen. */
static bool g1a(const struct stage *s) {
    kh_txn *t1 = begin(s);
    kh_txn *t2 = begin(s);
    kit_put(t1, "1", 101);
    bool is_seen = kit_get(t2, "1") == 101;
    kit_rollback(t1);
    is_seen |= kit_get(t2, "1") == 101;
    kit_commit_ok(t2);
    final_is(s, 10, 20);
    return is_seen;
}

/* Intermediate reads: what was overwritten before the commit must not be seen. */
static bool g1b(const struct stage *s) {
    kh_txn *t1 = begin(s);
    kh_txn *t2 = begin(s);
    kit_put(t1, "1", 101);
    bool is_seen = kit_get(t2, "1") == 101;
    kit_put(t1, "1", 11);
    is_seen |= kit_get(t2, "1") == 101;
    kit_commit_ok(t1);
    get_is(s, t2, "1", 11, 10);
    kit_commit_ok(t2);
    return is_seen;
}

/* Circular information flow: two transactions that read each other's writes. */
static bool g1c(const struct stage *s) {
    kh_txn *t1 = begin(s);
    kh_txn *t2 = begin(s);
    kit_put(t1, "1", 11);
    kit_put(t2, "2", 22);
    bool sees_two = kit_get(t1, "2") == 22;
    bool sees_one = kit_get(t2, "1") == 11;
    kit_commit_ok(t1);
    (void)commit_is(s, t2, KH_OK, KH_OK, KH_NOT_SERIALIZABLE);
    return sees_one && sees_two;
}

/* Observed transaction vanishes: once T2's writes show, T1's must not come back. */
static bool otv(const struct stage *s) {
    kh_txn *t1 = begin(s);
    kh_txn *t2 = begin(s);
    kh_txn *t3 = begin(s);
    kit_put(t1, "1", 11);
    kit_put(t1, "2", 19);
    kit_put(t2, "1", 12);
    kit_commit_ok(t1);
    get_is(s, t3, "1", 11, 10);
    kit_put(t2, "2", 18);
    get_is(s, t3, "2", 19, 20);
    (void)commit_is(s, t2, KH_OK, KH_CONFLICT, KH_CONFLICT);
    int64_t two = kit_get(t3, "2");
    int64_t one = kit_get(t3, "1");
    assert_int_equal(two, s->level == KH_READ_COMMITTED ? 18 : 20);
    assert_int_equal(one, s->level == KH_READ_COMMITTED ? 12 : 10);
    kit_commit_ok(t3);
    return (two == 18) != (one == 12);
}

/* Predicate-many-preceders: a scan repeated finds what another transaction inserted. */
static bool pmp(const struct stage *s) {
    kh_txn *t1 = begin(s);
    scan_is(s, t1, "1=10 2=20", "1=10 2=20");
    kh_txn *t2 = begin(s);
    kit_put(t2, "3", 30);
    kit_commit_ok(t2);
    bool is_seen = kit_get(t1, "3") != KIT_ABSENT;
    scan_is(s, t1, "1=10 2=20 3=30", "1=10 2=20");
    kit_commit_ok(t1);
    return is_seen;
}

/* The same with a write: T2 deletes what the predicate "is 20" found; T1 has moved it. */
static bool pmp_write(const struct stage *s) {
    kh_txn *t1 = begin(s);
    kh_txn *t2 = begin(s);
    kit_put(t1, "1", kit_get(t1, "1") + 10);
    kit_put(t1, "2", kit_get(t1, "2") + 10);
    scan_is(s, t2, "1=10 2=20", "1=10 2=20");
    kit_delete(t2, "2");
    kit_commit_ok(t1);
    bool is_through = commit_is(s, t2, KH_CONFLICT, KH_CONFLICT, KH_CONFLICT);
    final_is(s, 20, is_through ? KIT_ABSENT : 30);
    return is_through;
}

/* Lost update: both add one to what they read. */
static bool p4(const struct stage *s) {
    kh_txn *t1 = begin(s);
    kh_txn *t2 = begin(s);
    int64_t first = kit_get(t1, "1");
    int64_t second = kit_get(t2, "1");
    kit_put(t1, "1", first + 1);
    kit_put(t2, "1", second + 1);
    kit_commit_ok(t1);
    bool is_through = commit_is(s, t2, KH_CONFLICT, KH_CONFLICT, KH_CONFLICT);
    final_is(s, 11, 20);
    return is_through;
}

/* Lost update of a value that was read in another transaction: nothing ties the write to it. */
static bool p4_blind(const struct stage *s) {
    kh_txn *t1 = begin(s);
    kh_txn *t2 = begin(s);
    kit_put(t1, "1", 11);
    kit_put(t2, "1", 12);
    kit_commit_ok(t1);
    return commit_is(s, t2, KH_OK, KH_CONFLICT, KH_CONFLICT);
}

/* Lost update after reading once more: at read committed the last read counts. */
static bool p4_reread(const struct stage *s) {
    kh_txn *t1 = begin(s);
    kh_txn *t2 = begin(s);
    kit_get_is(t2, "1", 10);
    kit_put(t1, "1", kit_get(t1, "1") + 1);
    kit_commit_ok(t1);
    int64_t seen = kit_get(t2, "1");
    kit_put(t2, "1", seen + 1);
    bool is_through = commit_is(s, t2, KH_OK, KH_CONFLICT, KH_CONFLICT);
    final_is(s, is_through ? 12 : 11, 20);
    return is_through && kit_load(s->db, "1") != 12;
}

/* Read skew: T1 reads key 1 before and key 2 after T2. */
static bool g_single(const struct stage *s) {
    kh_txn *t1 = begin(s);
    kit_get_is(t1, "1", 10);
    kh_txn *t2 = begin(s);
    kit_get_is(t2, "1", 10);
    kit_get_is(t2, "2", 20);
    kit_put(t2, "1", 12);
    kit_put(t2, "2", 18);
    kit_commit_ok(t2);
    bool is_skewed = kit_get(t1, "2") == 18;
    kit_commit_ok(t1);
    return is_skewed;
}

/* Read skew of predicates. */
static bool g_single_dependencies(const struct stage *s) {
    kh_txn *t1 = begin(s);
    scan_is(s, t1, "1=10 2=20", "1=10 2=20");
    kh_txn *t2 = begin(s);
    kit_get_is(t2, "1", 10);
    kit_put(t2, "1", 12);
    kit_commit_ok(t2);
    scan_is(s, t1, "1=12 2=20", "1=10 2=20");
    bool is_skewed = kit_get(t1, "1") == 12;
    kit_commit_ok(t1);
    return is_skewed;
}

/* Read skew, and T1 deletes what its second read finds to be 20. */
static bool g_single_write_1(const struct stage *s) {
    kh_txn *t1 = begin(s);
    kit_get_is(t1, "1", 10);
    kh_txn *t2 = begin(s);
    scan_is(s, t2, "1=10 2=20", "1=10 2=20");
    kit_put(t2, "1", 12);
    kit_put(t2, "2", 18);
    kit_commit_ok(t2);
    bool is_skewed = kit_get(t1, "2") == 18;
    if (!is_skewed) {
        kit_delete(t1, "2");
    }
    (void)commit_is(s, t1, KH_OK, KH_CONFLICT, KH_CONFLICT);
    final_is(s, 12, 18);
    return is_skewed;
}

/* The same, T1 rolls back: T2 must get through, and all of it. */
static bool g_single_write_2(const struct stage *s) {
    kh_txn *t1 = begin(s);
    kit_get_is(t1, "1", 10);
    kh_txn *t2 = begin(s);
    scan_is(s, t2, "1=10 2=20", "1=10 2=20");
    kit_put(t2, "1", 12);
    bool is_skewed = kit_get(t1, "2") != 20;
    kit_delete(t1, "2");
    kit_put(t2, "2", 18);
    kit_rollback(t1);
    kit_commit_ok(t2);
    final_is(s, 12, 18);
    return is_skewed;
}

/* Write skew. */
static bool g2_item(const struct stage *s) {
    kh_txn *t1 = begin(s);
    kh_txn *t2 = begin(s);
    kit_get_is(t1, "1", 10);
    kit_get_is(t1, "2", 20);
    kit_get_is(t2, "1", 10);
    kit_get_is(t2, "2", 20);
    kit_put(t1, "1", 11);
    kit_put(t2, "2", 21);
    kit_commit_ok(t1);
    return commit_is(s, t2, KH_OK, KH_OK, KH_NOT_SERIALIZABLE);
}

/* Write skew of predicates: both find no multiple of 3, both insert one. */
static bool g2(const struct stage *s) {
    kh_txn *t1 = begin(s);
    kh_txn *t2 = begin(s);
    scan_is(s, t1, "1=10 2=20", "1=10 2=20");
    scan_is(s, t2, "1=10 2=20", "1=10 2=20");
    kit_put(t1, "3", 30);
    kit_put(t2, "4", 42);
    kit_commit_ok(t1);
    return commit_is(s, t2, KH_OK, KH_OK, KH_NOT_SERIALIZABLE);
}

/* Two edges (Fekete, O'Neil, O'Neil 2004): a reader between makes T1 and T2 not serializable. */
static bool g2_two_edges(const struct stage *s) {
    kh_txn *t1 = begin(s);
    scan_is(s, t1, "1=10 2=20", "1=10 2=20");
    kh_txn *t2 = begin(s);
    kit_put(t2, "2", kit_get(t2, "2") + 5);
    kit_commit_ok(t2);
    kh_txn *t3 = begin(s);
    scan_is(s, t3, "1=10 2=25", "1=10 2=25");
    kit_commit_ok(t3);
    kit_put(t1, "1", 0);
    return commit_is(s, t1, KH_OK, KH_OK, KH_NOT_SERIALIZABLE);
}

static const struct hermitage_case {
    const char *name;
    const char *anomaly;
    bool (*run)(const struct stage *);
    bool is_possible[3]; /* as kit_levels */
} cases[] = {
    {"G0", "write cycles (dirty write)", g0, {false, false, false}},
    {"G1a", "aborted reads", g1a, {false, false, false}},
    {"G1b", "intermediate reads", g1b, {false, false, false}},
    {"G1c", "circular information flow", g1c, {false, false, false}},
    {"OTV", "observed transaction vanishes", otv, {false, false, false}},
    {"PMP", "predicate-many-preceders", pmp, {true, false, false}},
    {"PMP-write", "the same, writing what the predicate found", pmp_write, {false, false, false}},
    {"P4", "lost update", p4, {false, false, false}},
    {"P4-blind", "overwriting what was never read", p4_blind, {true, false, false}},
    {"P4-reread", "lost update after a second read", p4_reread, {false, false, false}},
    {"G-single", "read skew", g_single, {true, false, false}},
    {"G-single-dependencies", "read skew of predicates", g_single_dependencies,
     {true, false, false}},
    {"G-single-write-1", "read skew, then a delete", g_single_write_1, {true, false, false}},
    {"G-single-write-2", "the same, rolled back", g_single_write_2, {false, false, false}},
    {"G2-item", "write skew", g2_item, {true, true, false}},
    {"G2", "write skew of predicates", g2, {true, true, false}},
    {"G2-two-edges", "write skew that a reader closes", g2_two_edges, {true, true, false}},
};
enum { CASE_COUNT = sizeof cases / sizeof cases[0] };

struct run {
    const struct hermitage_case *tried;
    int level;
    bool is_observed;
};

static void run_case(void **state) {
    struct run *run = *state;
    kh_db *db = kit_open();
    struct stage stage = {db, kit_levels[run->level]};
    kit_store(db, "1", 10);
    kit_store(db, "2", 20);
    run->is_observed = run->tried->run(&stage);
    kit_close(db);
    if (run->is_observed != run->tried->is_possible[run->level]) {
        fail_msg("%s at %s: %s", run->tried->name, kit_level_names[stage.level],
                 run->is_observed ? "observed" : "not observed");
    }
}

static void print_markdown(const struct run *runs) {
    (void)printf("| anomaly | what | read_committed | repeatable_read | serializable |\n");
    (void)printf("|---|---|---|---|---|\n");
    for (int i = 0; i < CASE_COUNT; i++) {
        (void)printf("| %s | %s |", cases[i].name, cases[i].anomaly);
        for (int level = 0; level < 3; level++) {
            (void)printf(" %s |", runs[i * 3 + level].is_observed ? "possible" : "prevented");
        }
        (void)printf("\n");
    }
}

int main(int argument_count, char **arguments) {
    static struct run runs[CASE_COUNT * 3];
    static struct CMUnitTest tests[CASE_COUNT * 3];
    static char names[CASE_COUNT * 3][64];
    for (int i = 0; i < CASE_COUNT * 3; i++) {
        runs[i] = (struct run){&cases[i / 3], i % 3, false};
        (void)snprintf(names[i], sizeof names[i], "%s %s", cases[i / 3].name,
                       kit_level_names[kit_levels[i % 3]]);
        tests[i] = (struct CMUnitTest){names[i], run_case, NULL, NULL, &runs[i]};
    }
    bool is_markdown = argument_count > 1 && strcmp(arguments[1], "--markdown") == 0;
    int failed = _cmocka_run_group_tests("hermitage", tests, CASE_COUNT * 3, NULL, NULL);
    if (is_markdown) {
        print_markdown(runs);
    }
    return failed;
}
