/* Locks: exclusion, the order of ranks, signals and their deadlines. */
#include "base/lock.h"

#include "base/env.h"
#include "support/aborts.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { THREADS = 3, ROUNDS = 20000 };

struct tally {
    struct lock lock;
    uint64_t sum; /* the lock */
};

static void add_to_tally(void *context) {
    struct tally *tally = context;
    for (int i = 0; i < ROUNDS; i++) {
        lock_take(&tally->lock);
        tally->sum++;
        lock_leave(&tally->lock);
    }
}

static void locks_exclude(void **state) {
    (void)state;
    struct tally tally = {.sum = 0};
    lock_init(&tally.lock, RANK_LOG);
    struct env_thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = env_thread_start("tally", add_to_tally, &tally);
        assert_non_null(threads[i]);
    }
    for (int i = 0; i < THREADS; i++) env_thread_join(threads[i]);
    assert_int_equal(tally.sum, THREADS * ROUNDS);
    lock_fini(&tally.lock);
}

static struct lock low, middle, high, twin;

static void in_order(void) {
    for (int i = 0; i < 2; i++) {
        lock_take(&low);
        lock_take(&middle);
        lock_take(&high);
        lock_leave(&high);
        lock_take(&high);
        lock_leave(&low); /* leaving goes in any order */
        lock_leave(&middle);
        lock_leave(&high);
    }
}

static void falling(void) {
    lock_take(&high);
    lock_take(&low);
}

static void falling_after_leaving_one(void) {
    lock_take(&low);
    lock_take(&high);
    lock_leave(&low);
    lock_take(&middle);
}

static void equal(void) {
    lock_take(&middle);
    lock_take(&twin);
}

static void again(void) {
    lock_take(&middle);
    lock_take(&middle);
}

static void ranks_must_rise(void **state) {
    (void)state;
#if defined(KH_SLOW_CHECKS)
    lock_init(&low, RANK_DATABASE);
    lock_init(&middle, RANK_LOG);
    lock_init(&twin, RANK_LOG);
    lock_init(&high, RANK_MEM);
    assert_false(aborts(in_order));
    assert_true(aborts(falling));
    assert_true(aborts(falling_after_leaving_one));
    assert_true(aborts(equal));
    assert_true(aborts(again));
    lock_fini(&low);
    lock_fini(&middle);
    lock_fini(&twin);
    lock_fini(&high);
#else
    (void)aborts, (void)in_order, (void)falling, (void)falling_after_leaving_one, (void)equal;
    (void)again;
    skip();
#endif
}

/* What one thread holds is nothing to another. */
static void take_low(void *context) {
    (void)context;
    lock_take(&low);
    lock_leave(&low);
}

static void ranks_are_of_a_thread(void **state) {
    (void)state;
    lock_init(&low, RANK_DATABASE);
    lock_init(&high, RANK_MEM);
    lock_take(&high);
    struct env_thread *thread = env_thread_start("low", take_low, NULL);
    assert_non_null(thread);
    env_thread_join(thread);
    lock_leave(&high);
    lock_fini(&low);
    lock_fini(&high);
}

struct ball {
    struct lock lock;
    struct signal signal;
    uint32_t turn; /* the lock */
};

static void play(struct ball *ball, uint32_t self) {
    for (uint32_t i = 0; i < 1000; i++) {
        lock_take(&ball->lock);
        while (ball->turn % 2 != self) assert_true(signal_wait(&ball->signal, &ball->lock, 0));
        ball->turn++;
        signal_wake_all(&ball->signal);
        lock_leave(&ball->lock);
    }
}

static void play_second(void *context) {
    play(context, 1);
}

static void signals_wake(void **state) {
    (void)state;
    struct ball ball = {.turn = 0};
    lock_init(&ball.lock, RANK_WATCH);
    signal_init(&ball.signal);
    struct env_thread *thread = env_thread_start("second", play_second, &ball);
    assert_non_null(thread);
    play(&ball, 0);
    env_thread_join(thread);
    assert_int_equal(ball.turn, 2000);
    signal_fini(&ball.signal);
    lock_fini(&ball.lock);
}

static void a_wait_ends_at_its_deadline(void **state) {
    (void)state;
    struct ball ball = {.turn = 0};
    lock_init(&ball.lock, RANK_WATCH);
    signal_init(&ball.signal);
    struct env_clock clock = env_clock_system();
    lock_take(&ball.lock);
    uint64_t deadline_ns = env_monotonic_ns(&clock) + 10 * 1000000u;
    while (signal_wait(&ball.signal, &ball.lock, deadline_ns)) {
    }
    assert_true(env_monotonic_ns(&clock) >= deadline_ns);
    assert_false(signal_wait(&ball.signal, &ball.lock, 1)); /* long past */
    lock_leave(&ball.lock);
    lock_take(&ball.lock); /* still a sound lock */
    lock_leave(&ball.lock);
    signal_fini(&ball.signal);
    lock_fini(&ball.lock);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locks_exclude),
        cmocka_unit_test(ranks_must_rise),
        cmocka_unit_test(ranks_are_of_a_thread),
        cmocka_unit_test(signals_wake),
        cmocka_unit_test(a_wait_ends_at_its_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
