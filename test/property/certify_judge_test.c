/* certify_judge_test.c - the judge of the certification campaign on histories that are known to be
 * good or bad: it sees cycles, real time turned round, a replay that differs, and answers for
 * PostgreSQL's rule what the literature says. */
#include "model/certify_judge.h"
#include "support/kit.h"

enum { X, Y, Z, KEYS };
enum { T0, T1, T2, T3 };

static struct judge judge;

static void start(void) {
    judge_init(&judge);
    for (int key = 0; key < KEYS; key++) {
        judge_fill(&judge, key);
    }
}

static struct judge_footprint print_of(int txn, int snapshot, unsigned reads, unsigned writes) {
    return (struct judge_footprint){.txn = txn,
                                    .is_serializable = true,
                                    .snapshot = snapshot,
                                    .reads = reads,
                                    .writes = writes};
}

static struct judge_opinion ask(int txn, int snapshot, unsigned reads, unsigned writes) {
    struct judge_footprint footprint = print_of(txn, snapshot, reads, writes);
    return judge_ask(&judge, &footprint);
}

static void commit(int txn, int snapshot, unsigned reads, unsigned writes, int place) {
    struct judge_footprint footprint = print_of(txn, snapshot, reads, writes);
    judge_commit(&judge, &footprint, place);
    judge_end(&judge, txn);
}

static unsigned key(int number) {
    return 1u << number;
}

static void test_write_skew(void **state) {
    (void)state;
    start();
    judge_begin(&judge, T0);
    judge_begin(&judge, T1);
    struct judge_opinion first = ask(T0, 1, key(X), key(Y));
    assert_false(first.closes_cycle || first.turns_time_round || first.peer_refuses);
    commit(T0, 1, key(X), key(Y), 2);
    struct judge_opinion second = ask(T1, 1, key(Y), key(X));
    assert_true(second.closes_cycle && second.turns_time_round && second.peer_refuses);
    /* Had it not read what the first has written, or written what the first has read: */
    assert_false(ask(T1, 1, key(X), key(X)).closes_cycle);
    assert_false(ask(T1, 1, key(Y), key(Z)).closes_cycle);
}

/* T0 reads X and Y and is overtaken by T1 on X; T2 begins after T1 and goes before T0. */
static void test_real_time(void **state) {
    (void)state;
    start();
    judge_begin(&judge, T0);
    judge_begin(&judge, T1);
    commit(T1, 1, 0, key(X), 2);
    judge_begin(&judge, T2);
    commit(T2, 2, 0, key(Y), 3);
    /* Before T1 by X, after T2 by Y, and T2 is after T1 by the clock alone. */
    struct judge_footprint late = print_of(T0, 1, key(X), 0);
    late.late = key(Y);
    struct judge_opinion opinion = judge_ask(&judge, &late);
    assert_false(opinion.closes_cycle);
    assert_true(opinion.turns_time_round);
    /* Whoever is in flight has not ended: nothing is after it by the clock. */
    start();
    judge_begin(&judge, T0);
    judge_begin(&judge, T1);
    struct judge_footprint flying = print_of(T1, 1, 0, key(X));
    judge_commit(&judge, &flying, 2);
    judge_begin(&judge, T2);
    commit(T2, 1, 0, key(Y), 3);
    assert_false(judge_ask(&judge, &late).turns_time_round);
}

/* Fekete, O'Neil and O'Neil 2004: the reader sees the second's write and not the first's. */
static void read_only_anomaly(unsigned reader_writes, struct judge_opinion *pivot) {
    start();
    judge_begin(&judge, T0);
    judge_begin(&judge, T1);
    commit(T1, 1, key(Y), key(Y), 2);
    judge_begin(&judge, T2);
    commit(T2, 2, key(X) | key(Y), reader_writes, 2);
    *pivot = ask(T0, 1, key(X) | key(Y), key(X));
}

static void test_read_only_anomaly(void **state) {
    (void)state;
    struct judge_opinion pivot;
    read_only_anomaly(0, &pivot);
    assert_true(pivot.closes_cycle && pivot.peer_refuses);
    read_only_anomaly(key(Z), &pivot);
    assert_true(pivot.closes_cycle && pivot.peer_refuses);
}

/* A reader whose snapshot is older than what is overtaken first does no harm, nor does PostgreSQL's
 * rule say so; with a write of its own it is refused without need. */
static void old_reader(unsigned reader_writes, struct judge_opinion *pivot) {
    start();
    judge_begin(&judge, T2);
    judge_begin(&judge, T0);
    judge_begin(&judge, T1);
    commit(T1, 1, 0, key(Y), 2);
    commit(T2, 1, key(X), reader_writes, reader_writes != 0 ? 3 : 1);
    *pivot = ask(T0, 1, key(Y), key(X));
}

static void test_old_reader(void **state) {
    (void)state;
    struct judge_opinion pivot;
    old_reader(0, &pivot);
    assert_false(pivot.closes_cycle || pivot.turns_time_round || pivot.peer_refuses);
    old_reader(key(Z), &pivot);
    assert_false(pivot.closes_cycle || pivot.turns_time_round);
    assert_true(pivot.peer_refuses);
}

/* this -> out -> further, further first to commit. */
static void test_pivot_committed(void **state) {
    (void)state;
    start();
    judge_begin(&judge, T0);
    judge_begin(&judge, T1);
    judge_begin(&judge, T2);
    commit(T2, 1, 0, key(X), 2);
    commit(T1, 1, key(X), key(Y), 2);
    assert_true(ask(T0, 1, key(Y), key(Z)).peer_refuses);
    assert_false(ask(T0, 1, key(Y), 0).peer_refuses); /* its snapshot is older than T2's commit */
    assert_false(ask(T0, 1, key(Y), key(Z)).closes_cycle);
}

static void test_weaker_levels(void **state) {
    (void)state;
    start();
    judge_begin(&judge, T0);
    judge_begin(&judge, T1);
    commit(T0, 1, key(X), key(Y), 2);
    /* The reader's half of a write skew that is not serializable does not count ... */
    struct judge_read read = {Y, 1};
    struct judge_footprint weak = print_of(T1, 1, 0, key(X));
    weak.is_serializable = false;
    weak.weak_reads = &read;
    weak.weak_count = 1;
    assert_false(judge_ask(&judge, &weak).closes_cycle);
    judge_commit(&judge, &weak, 3);
    /* ... what it has written does. */
    judge_begin(&judge, T2);
    struct judge_footprint reader = print_of(T2, 3, key(X), 0);
    judge_commit(&judge, &reader, 3);
    assert_true((judge.after[T1] >> T2 & 1) != 0);
}

static const char *replay(int place_of_writer, int place_of_reader) {
    start();
    judge_begin(&judge, T0);
    judge_begin(&judge, T1);
    judge_begin(&judge, T2);
    commit(T0, 1, 0, key(X), place_of_writer);
    commit(T1, 1, key(X), key(Y), place_of_reader);
    commit(T2, 1, 0, key(X), 4);
    return judge_replay(&judge);
}

static void test_replay(void **state) {
    (void)state;
    assert_null(replay(2, 2)); /* a later commit comes first in one place */
    assert_string_equal(replay(2, 3), "a read differs in the replay");
    assert_string_equal(replay(5, 2), "versions come in another order in the replay");
    start();
    judge_begin(&judge, T0);
    judge_begin(&judge, T1);
    commit(T0, 1, 0, key(X), 2);
    struct judge_footprint dropped = print_of(T1, 1, 0, 0);
    dropped.late = key(X);
    judge_commit(&judge, &dropped, 1);
    assert_string_equal(judge_replay(&judge), "a late read differs in the replay");
    judge.chain_length[Z]++;
    judge.members[0].place = 3;
    assert_string_equal(judge_replay(&judge), "the final state differs in the replay");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_write_skew),
                                       cmocka_unit_test(test_real_time),
                                       cmocka_unit_test(test_read_only_anomaly),
                                       cmocka_unit_test(test_old_reader),
                                       cmocka_unit_test(test_pivot_committed),
                                       cmocka_unit_test(test_weaker_levels),
                                       cmocka_unit_test(test_replay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
