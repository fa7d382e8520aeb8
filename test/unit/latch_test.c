/* Latches: exclusion, the order of ranks, waiting with one held, deadlines, and that who sleeps is
 * woken however the owners overlap. */
#include "base/env.h"
#include "base/lock.h"
#include "support/aborts.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { THREADS = 4, ROUNDS = 20000 };

struct tally {
    struct latch latch;
    uint64_t sum; /* the latch */
};

/* Some owners give the processor away, so that others find the latch taken for long and sleep. */
static void add_to_tally(void *context) {
    struct tally *tally = context;
    for (int i = 0; i < ROUNDS; i++) {
        latch_take(&tally->latch);
        uint64_t sum = tally->sum;
        if (i % 64 == 0) env_yield();
        tally->sum = sum + 1;
        latch_leave(&tally->latch);
    }
}

static void latches_exclude_and_wake(void **state) {
    (void)state;
    struct tally tally = {.sum = 0};
    latch_init(&tally.latch, RANK_COMMIT);
    struct env_thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = env_thread_start("tally", add_to_tally, &tally);
        assert_non_null(threads[i]);
    }
    for (int i = 0; i < THREADS; i++) env_thread_join(threads[i]);
    assert_int_equal(tally.sum, THREADS * ROUNDS);
    assert_int_equal(atomic_load_explicit(&tally.latch.word, memory_order_relaxed), LATCH_FREE);
    latch_fini(&tally.latch);
}

struct ball {
    struct latch latch;
    struct signal signal;
    uint32_t turn; /* the latch */
};

static void play(struct ball *ball, uint32_t self) {
    for (uint32_t i = 0; i < 1000; i++) {
        latch_take(&ball->latch);
        while (ball->turn % 3 != self) assert_true(latch_wait(&ball->latch, &ball->signal, 0));
        ball->turn++;
        latch_wake_all(&ball->latch, &ball->signal);
        latch_leave(&ball->latch);
    }
}

static void play_second(void *context) {
    play(context, 1);
}

static void play_third(void *context) {
    play(context, 2);
}

static void waiters_are_woken(void **state) {
    (void)state;
    struct ball ball = {.turn = 0};
    latch_init(&ball.latch, RANK_COMMIT);
    signal_init(&ball.signal);
    struct env_thread *second = env_thread_start("second", play_second, &ball);
    struct env_thread *third = env_thread_start("third", play_third, &ball);
    assert_non_null(second);
    assert_non_null(third);
    play(&ball, 0);
    env_thread_join(second);
    env_thread_join(third);
    assert_int_equal(ball.turn, 3000);
    signal_fini(&ball.signal);
    latch_fini(&ball.latch);
}

static bool is_held(struct latch *latch) {
    return atomic_load_explicit(&latch->word, memory_order_relaxed) != LATCH_FREE;
}

/* ---- who sleeps ------------------------------------------------------------------------------ */

/* Sleepers who are forgotten: the alarm fails the test in their stead. */
enum { FORGOTTEN_AFTER_S = 6, SLEEPERS = 3 };

struct dormitory {
    struct latch latch;
    struct signal signal;
    uint32_t woken; /* the latch */
};

static void sleep_for_latch(void *context) {
    struct dormitory *room = context;
    latch_take(&room->latch);
    room->woken++;
    latch_wake_all(&room->latch, &room->signal);
    latch_leave(&room->latch);
}

/* The latch is held; somebody sleeps for it, and some more most likely. */
static void await_sleepers(struct dormitory *room) {
    enum { TURNS = 200 };
    while (atomic_load_explicit(&room->latch.word, memory_order_relaxed) != LATCH_AWAITED)
        env_yield();
    for (int i = 0; i < TURNS; i++) env_yield();
}

/* The owner leaves, or waits for a signal that only the sleepers can give. */
static void sleepers_are_woken(bool is_waiting) {
    enum { NIGHTS = 12 };
    for (int night = 0; night < NIGHTS; night++) {
        struct dormitory room = {.woken = 0};
        struct env_thread *threads[SLEEPERS];
        latch_init(&room.latch, RANK_COMMIT);
        signal_init(&room.signal);
        latch_take(&room.latch);
        for (int i = 0; i < SLEEPERS; i++) {
            threads[i] = env_thread_start("sleeper", sleep_for_latch, &room);
            assert_non_null(threads[i]);
        }
        await_sleepers(&room);
        while (is_waiting && room.woken < SLEEPERS)
            assert_true(latch_wait(&room.latch, &room.signal, 0));
        latch_leave(&room.latch);
        for (int i = 0; i < SLEEPERS; i++) env_thread_join(threads[i]);
        assert_int_equal(room.woken, SLEEPERS);
        signal_fini(&room.signal);
        latch_fini(&room.latch);
    }
}

static void who_sleeps_is_woken(void **state) {
    (void)state;
    (void)alarm(FORGOTTEN_AFTER_S);
    sleepers_are_woken(false);
    sleepers_are_woken(true);
    (void)alarm(0);
}

static void a_wait_ends_at_its_deadline(void **state) {
    (void)state;
    struct ball ball = {.turn = 0};
    latch_init(&ball.latch, RANK_COMMIT);
    signal_init(&ball.signal);
    struct env_clock clock = env_clock_system();
    latch_take(&ball.latch);
    uint64_t deadline_ns = env_monotonic_ns(&clock) + 10 * 1000000u;
    while (latch_wait(&ball.latch, &ball.signal, deadline_ns)) {
    }
    assert_true(is_held(&ball.latch)); /* again */
    assert_true(env_monotonic_ns(&clock) >= deadline_ns);
    assert_false(latch_wait(&ball.latch, &ball.signal, 1)); /* long past */
    latch_leave(&ball.latch);
    latch_take(&ball.latch); /* still a sound latch */
    latch_leave(&ball.latch);
    signal_fini(&ball.signal);
    latch_fini(&ball.latch);
}

static struct latch latch;
static struct lock low, high;

static void in_order(void) {
    lock_take(&low);
    latch_take(&latch);
    lock_take(&high);
    lock_leave(&high);
    latch_leave(&latch);
    lock_leave(&low);
}

static void latch_after_high(void) {
    lock_take(&high);
    latch_take(&latch);
}

static void low_after_latch(void) {
    latch_take(&latch);
    lock_take(&low);
}

static void latches_have_ranks(void **state) {
    (void)state;
#if defined(KH_SLOW_CHECKS)
    lock_init(&low, RANK_DATABASE);
    latch_init(&latch, RANK_COMMIT);
    lock_init(&high, RANK_MEM);
    assert_false(aborts(in_order));
    assert_true(aborts(latch_after_high));
    assert_true(aborts(low_after_latch));
    lock_fini(&low);
    latch_fini(&latch);
    lock_fini(&high);
#else
    (void)aborts, (void)in_order, (void)latch_after_high, (void)low_after_latch;
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest alone[] = {cmocka_unit_test(a_wait_ends_at_its_deadline)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_sleeps_is_woken),
        cmocka_unit_test(latches_exclude_and_wake),
        cmocka_unit_test(waiters_are_woken),
        cmocka_unit_test(latches_have_ranks),
    };
    int failures = cmocka_run_group_tests(alone, NULL, NULL);
    return failures != 0 ? failures : cmocka_run_group_tests(tests, NULL, NULL);
}
