/* The outside world: clocks, random bytes, fork, threads, event descriptors. */
#define _GNU_SOURCE /* the name of a thread */
#include "base/env.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void clocks_go_forward(void **state) {
    (void)state;
    struct env_clock clock = env_clock_system();
    uint64_t last_ns = env_monotonic_ns(&clock);
    for (int i = 0; i < 1000; i++) {
        uint64_t now_ns = env_monotonic_ns(&clock);
        assert_true(now_ns >= last_ns);
        last_ns = now_ns;
    }
    uint64_t wall_ms = env_wall_ms(&clock);
    uint64_t seconds = (uint64_t)time(NULL);
    assert_true(wall_ms / 1000 <= seconds + 1 && wall_ms / 1000 + 2 >= seconds);
}

static uint64_t hook_ms(void *context) {
    return *(uint64_t *)context;
}

static uint64_t hook_ns(void *context) {
    return *(uint64_t *)context + 1;
}

static void clocks_can_be_replaced(void **state) {
    (void)state;
    uint64_t now = 42;
    struct env_clock clock = {hook_ms, hook_ns, &now};
    assert_int_equal(env_wall_ms(&clock), 42);
    assert_int_equal(env_monotonic_ns(&clock), 43);
}

static void random_bytes_fill_all_and_differ(void **state) {
    (void)state;
    unsigned char first[1000] = {0};
    unsigned char second[1000] = {0};
    env_random(first, 0);
    env_random(first, 999);
    env_random(second, 999);
    assert_memory_not_equal(first, second, 999);
    assert_int_equal(first[999], 0);
    int zeroes = 0;
    for (int i = 900; i < 999; i++) zeroes += first[i] == 0;
    assert_true(zeroes < 20);
}

static void a_pause_lasts(void **state) {
    (void)state;
    struct env_clock clock = env_clock_system();
    uint64_t before_ns = env_monotonic_ns(&clock);
    env_pause_ns(2000000);
    assert_true(env_monotonic_ns(&clock) - before_ns >= 2000000);
    env_pause_ns(0);
    env_yield();
}

static void a_child_sees_that_it_is_one(void **state) {
    (void)state;
    uint32_t generation = env_fork_generation();
    assert_int_equal(env_fork_generation(), generation);
    assert_false(env_is_forked(generation));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(env_is_forked(generation) && env_fork_generation() == generation + 1 ? 0 : 1);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_false(env_is_forked(generation));
}

struct seen {
    char name[32];
    int signals_blocked;
};

static void look_around(void *context) {
    struct seen *seen = context;
    (void)pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
    sigset_t blocked;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        seen->signals_blocked += sigismember(&blocked, signals[i]) == 1;
}

static void threads_have_names_and_no_signals(void **state) {
    (void)state;
    sigset_t before;
    sigset_t after;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &before);
    struct seen seen = {.signals_blocked = 0};
    struct env_thread *thread = env_thread_start("khonsu-janitor", look_around, &seen);
    assert_non_null(thread);
    env_thread_join(thread);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &after);
    assert_int_equal(seen.signals_blocked, 7);
    for (int i = 1; i < 32; i++) assert_int_equal(sigismember(&before, i), sigismember(&after, i));
    assert_string_equal(seen.name, "khonsu-janitor");
    thread = env_thread_start("a name that is cut", look_around, &seen);
    assert_non_null(thread);
    env_thread_join(thread);
    assert_string_equal(seen.name, "a name that is ");
}

static bool is_readable(int descriptor) {
    struct pollfd poll_one = {.fd = descriptor, .events = POLLIN};
    return poll(&poll_one, 1, 0) == 1;
}

static void note_niceness(void *context) {
    int *niceness = context;
    id_t self = (id_t)gettid();
    for (int i = 0; i < 5; i++) {
        niceness[i] = getpriority(PRIO_PROCESS, self);
        env_thread_give_way();
    }
}

/* What the kernel makes of it is its business; that it is the thread's own is ours. */
static void a_thread_gives_way_for_itself_alone(void **state) {
    (void)state;
    unsigned char room[48];
    bool is_possible = sched_getscheduler(0) == SCHED_OTHER &&
                       syscall(SYS_sched_getattr, 0, room, sizeof room, 0) == 0 &&
                       syscall(SYS_sched_setattr, 0, room, 0) == 0;
    if (!is_possible) skip(); /* another policy, or a sandbox: it has no effect there */
    int niceness[5];
    int before = getpriority(PRIO_PROCESS, 0);
    struct env_thread *thread = env_thread_start("polite", note_niceness, niceness);
    assert_non_null(thread);
    env_thread_join(thread);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
    assert_int_equal(niceness[0], before);
    for (int i = 1; i < 5; i++) {
        int next = niceness[i - 1] + 5;
        assert_int_equal(niceness[i], next < 19 ? next : 19);
    }
}

static void events_are_readable_until_drained(void **state) {
    (void)state;
    int descriptor = env_event_open();
    assert_true(descriptor >= 0);
    assert_true(fcntl(descriptor, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(descriptor, F_GETFD) & FD_CLOEXEC);
    env_event_drain(descriptor); /* nothing there: does not wait */
    assert_false(is_readable(descriptor));
    env_event_signal(descriptor);
    env_event_signal(descriptor);
    assert_true(is_readable(descriptor));
    env_event_drain(descriptor);
    assert_false(is_readable(descriptor));
    env_event_signal(descriptor);
    assert_true(is_readable(descriptor));
    env_event_close(descriptor);
    assert_int_equal(fcntl(descriptor, F_GETFD), -1);
    env_event_close(-1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_go_forward),
        cmocka_unit_test(clocks_can_be_replaced),
        cmocka_unit_test(random_bytes_fill_all_and_differ),
        cmocka_unit_test(a_pause_lasts),
        cmocka_unit_test(a_child_sees_that_it_is_one),
        cmocka_unit_test(threads_have_names_and_no_signals),
        cmocka_unit_test(a_thread_gives_way_for_itself_alone),
        cmocka_unit_test(events_are_readable_until_drained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
