/* Watches: what is told, what is lost, waiting and waking. */
#include "db/watch.h"

#include "base/env.h"
#include "base/limits.h"
#include "base/mem.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct failing {
    bool is_failing;
};

static void *failing_allocate(void *context, size_t size_bytes, size_t alignment) {
    struct failing *failing = context;
    if (failing->is_failing) return NULL;
    return aligned_alloc(alignment, (size_bytes + alignment - 1) / alignment * alignment);
}

static void failing_free(void *context, void *block, size_t size_bytes) {
    (void)context;
    (void)size_bytes;
    free(block);
}

struct fixture {
    struct failing failing;
    struct mem *mem;
    struct watch_hub hub;
};

static void begin(struct fixture *f, uint32_t events_max) {
    f->failing.is_failing = false;
    struct mem_hooks hooks = {failing_allocate, failing_free, &f->failing};
    f->mem = mem_create(&hooks);
    assert_non_null(f->mem);
    watch_hub_init(&f->hub, f->mem, events_max);
}

static void end(struct fixture *f) {
    assert_false(watch_is_wanted(&f->hub));
    watch_hub_fini(&f->hub);
    assert_int_equal(mem_live_bytes(f->mem), 0);
    mem_close(f->mem);
}

static kh_bytes text(const char *characters) {
    return (kh_bytes){characters, strlen(characters)};
}

static kh_watch *open_watch(struct fixture *f, const char *prefix) {
    kh_watch *watch = NULL;
    assert_int_equal(watch_open(&f->hub, text(prefix), &watch, NULL), KH_OK);
    return watch;
}

static void check_event(kh_watch *watch, const char *key, kh_timestamp timestamp, bool is_deleted,
                        bool is_lossy) {
    kh_watch_event event;
    assert_int_equal(kh_watch_next(watch, 0, &event, NULL), KH_OK);
    assert_int_equal(event.key.size_bytes, strlen(key));
    assert_memory_equal(event.key.data, key, strlen(key));
    assert_int_equal(event.timestamp, timestamp);
    assert_int_equal(event.is_deleted, is_deleted);
    assert_int_equal(event.is_lossy, is_lossy);
}

static void check_quiet(kh_watch *watch) {
    kh_watch_event event = {.timestamp = 4711};
    assert_int_equal(kh_watch_next(watch, 0, &event, NULL), KH_PENDING);
    assert_int_equal(event.timestamp, 4711);
}

static bool is_readable(int descriptor) {
    struct pollfd poll_one = {.fd = descriptor, .events = POLLIN};
    return poll(&poll_one, 1, 0) == 1;
}

/* ---- one thread ------------------------------------------------------------------------------ */

static void each_watch_sees_its_prefix_in_order(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0);
    watch_publish(&f.hub, text("a"), 1, false); /* nobody watches */
    kh_watch *all = open_watch(&f, "");
    assert_true(watch_is_wanted(&f.hub));
    kh_watch *some = open_watch(&f, "ab");
    watch_publish(&f.hub, text("a"), 2, false);
    watch_publish(&f.hub, text("ab"), 3, true);
    watch_publish(&f.hub, text("abc"), 3, false);
    watch_publish(&f.hub, text("ac"), 4, false);
    check_event(all, "a", 2, false, false);
    check_event(all, "ab", 3, true, false);
    check_event(all, "abc", 3, false, false);
    check_event(all, "ac", 4, false, false);
    check_quiet(all);
    check_event(some, "ab", 3, true, false);
    check_event(some, "abc", 3, false, false);
    check_quiet(some);
    kh_watch *longer = NULL; /* than the key, which it continues with what lies behind it */
    assert_int_equal(watch_open(&f.hub, (kh_bytes){"ac\0", 3}, &longer, NULL), KH_OK);
    watch_publish(&f.hub, text("ac"), 4, false);
    check_quiet(longer);
    kh_watch_close(longer);
    kh_watch_close(all);
    watch_publish(&f.hub, text("abd"), 5, false);
    check_event(some, "abd", 5, false, false);
    watch_publish(&f.hub, text("abe"), 6, false); /* waits unread at close */
    kh_watch_close(some);
    kh_watch_close(NULL);
    end(&f);
}

static void the_oldest_are_dropped_and_the_next_says_so(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 3);
    kh_watch *watch = open_watch(&f, "");
    char key[2] = "0";
    for (kh_timestamp i = 1; i <= 5; i++) {
        key[0] = (char)('0' + i);
        watch_publish(&f.hub, text(key), i, false);
    }
    check_event(watch, "3", 3, false, true);
    check_event(watch, "4", 4, false, false);
    check_event(watch, "5", 5, false, false);
    check_quiet(watch);
    watch_publish(&f.hub, text("6"), 6, false);
    check_event(watch, "6", 6, false, false);
    kh_watch_close(watch);
    end(&f);
}

static void long_keys_fill_a_watch_sooner(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 4);
    kh_watch *watch = open_watch(&f, "");
    static char key[LIMIT_KEY_BYTES];
    memset(key, 'k', sizeof key);
    watch_publish(&f.hub, (kh_bytes){key, sizeof key}, 1, false);
    kh_watch_event event;
    assert_int_equal(kh_watch_next(watch, 0, &event, NULL),
                     KH_OK); /* one is kept whatever its size */
    assert_int_equal(event.key.size_bytes, sizeof key);
    assert_false(event.is_lossy);
    for (kh_timestamp i = 2; i <= 4; i++)
        watch_publish(&f.hub, (kh_bytes){key, 2 * LIMIT_WATCH_EVENT_BYTES}, i, false);
    assert_int_equal(kh_watch_next(watch, 0, &event, NULL), KH_OK);
    assert_int_equal(event.timestamp, 4);
    assert_true(event.is_lossy);
    check_quiet(watch);
    kh_watch_close(watch);
    end(&f);
}

static void without_memory_the_loss_is_told(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0);
    kh_watch *watch = open_watch(&f, "");
    int descriptor = kh_watch_descriptor(watch);
    /* Nothing else to tell: an event of its own. */
    f.failing.is_failing = true;
    watch_publish(&f.hub, text("a"), 1, false);
    watch_publish(&f.hub, text("a"), 2, false);
    f.failing.is_failing = false;
    assert_true(is_readable(descriptor));
    check_event(watch, "", 2, false, true);
    assert_false(is_readable(descriptor));
    check_quiet(watch);
    /* What waited before the loss comes first, and what comes after it tells it. */
    watch_publish(&f.hub, text("b"), 3, false);
    f.failing.is_failing = true;
    watch_publish(&f.hub, text("c"), 4, false);
    f.failing.is_failing = false;
    watch_publish(&f.hub, text("d"), 5, false);
    watch_publish(&f.hub, text("e"), 6, false);
    check_event(watch, "b", 3, false, false);
    check_event(watch, "d", 5, false, true);
    check_event(watch, "e", 6, false, false);
    kh_watch_close(watch);
    end(&f);
}

/* A loss inside of the queue is not forgotten when another one happens at its front. */
static void both_losses_are_told(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 3);
    kh_watch *watch = open_watch(&f, "");
    watch_publish(&f.hub, text("1"), 1, false);
    watch_publish(&f.hub, text("2"), 2, false);
    f.failing.is_failing = true;
    watch_publish(&f.hub, text("3"), 3, false);
    f.failing.is_failing = false;
    watch_publish(&f.hub, text("4"), 4, false);
    watch_publish(&f.hub, text("5"), 5, false); /* drops 1 */
    check_event(watch, "2", 2, false, true);
    check_event(watch, "4", 4, false, true);
    check_event(watch, "5", 5, false, false);
    kh_watch_close(watch);
    end(&f);
}

static void arguments_are_checked(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0);
    kh_watch *watch = NULL;
    kh_error error = {""};
    static char prefix[LIMIT_KEY_BYTES + 1];
    assert_int_equal(watch_open(&f.hub, (kh_bytes){NULL, 1}, &watch, &error), KH_INVALID);
    assert_int_equal(watch_open(&f.hub, (kh_bytes){prefix, sizeof prefix}, &watch, &error),
                     KH_TOO_BIG);
    f.failing.is_failing = true;
    assert_int_equal(watch_open(&f.hub, text("a"), &watch, &error), KH_NO_MEMORY);
    f.failing.is_failing = false;
    assert_null(watch);
    assert_false(watch_is_wanted(&f.hub));
    kh_watch_event event;
    assert_int_equal(kh_watch_next(NULL, 0, &event, &error), KH_INVALID);
    assert_int_equal(watch_open(&f.hub, (kh_bytes){prefix, LIMIT_KEY_BYTES}, &watch, &error),
                     KH_OK);
    assert_int_equal(kh_watch_next(watch, 0, NULL, &error), KH_INVALID);
    assert_int_equal(kh_watch_descriptor(NULL), -1);
    kh_watch_cancel(NULL);
    kh_watch_close(watch);
    end(&f);
}

static void the_descriptor_is_readable_while_events_wait(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 2);
    kh_watch *watch = open_watch(&f, "");
    watch_publish(&f.hub, text("a"), 1, false);
    int descriptor = kh_watch_descriptor(watch); /* asked for late */
    assert_true(descriptor >= 0);
    assert_int_equal(kh_watch_descriptor(watch), descriptor);
    assert_true(is_readable(descriptor));
    watch_publish(&f.hub, text("b"), 2, false);
    watch_publish(&f.hub, text("c"), 3, false);
    check_event(watch, "b", 2, false, true);
    assert_true(is_readable(descriptor));
    check_event(watch, "c", 3, false, false);
    assert_false(is_readable(descriptor));
    watch_publish(&f.hub, text("d"), 4, false);
    assert_true(is_readable(descriptor));
    check_event(watch, "d", 4, false, false);
    assert_false(is_readable(descriptor));
    kh_watch_cancel(watch);
    assert_true(is_readable(descriptor));
    kh_watch_close(watch);
    end(&f);
}

static void cancelled_is_for_good(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0);
    kh_watch *watch = open_watch(&f, "");
    watch_publish(&f.hub, text("a"), 1, false);
    kh_watch_cancel(watch);
    kh_watch_cancel(watch);
    watch_publish(&f.hub, text("a"), 2, false);
    kh_watch_event event;
    assert_int_equal(kh_watch_next(watch, UINT32_MAX, &event, NULL), KH_CANCELLED);
    assert_int_equal(kh_watch_next(watch, 0, &event, NULL), KH_CANCELLED);
    kh_watch_close(watch);
    end(&f);
}

static void a_wait_ends_with_its_time(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0);
    kh_watch *watch = open_watch(&f, "");
    struct env_clock clock = env_clock_system();
    uint64_t before_ns = env_monotonic_ns(&clock);
    kh_watch_event event;
    assert_int_equal(kh_watch_next(watch, 20, &event, NULL), KH_PENDING);
    assert_true(env_monotonic_ns(&clock) - before_ns >= 20 * 1000000u);
    kh_watch_close(watch);
    end(&f);
}

static void a_child_is_told_and_cannot_harm(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0);
    kh_watch *watch = open_watch(&f, "");
    watch_publish(&f.hub, text("a"), 1, false);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        kh_watch_event event;
        bool is_told = kh_watch_next(watch, UINT32_MAX, &event, NULL) == KH_FORKED &&
                       kh_watch_descriptor(watch) == -1;
        kh_watch_cancel(watch);
        kh_watch_close(watch);
        _exit(is_told && f.hub.first == watch ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    check_event(watch, "a", 1, false, false);
    kh_watch_close(watch);
    end(&f);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { PUBLISHED = 20000, WATCHERS = 3 };

struct watcher {
    struct fixture *fixture;
    kh_watch *watch;
    uint64_t seen_count;
    kh_timestamp last;
    bool is_in_order;
    kh_status end;
};

/* Wait without a timeout for everything up to the last timestamp, which is published as "end". */
static void watch_all(void *context) {
    struct watcher *watcher = context;
    kh_watch_event event;
    watcher->is_in_order = true;
    do {
        watcher->end = kh_watch_next(watcher->watch, UINT32_MAX, &event, NULL);
        if (watcher->end != KH_OK) return;
        if (event.timestamp != watcher->last + 1 || event.is_lossy) watcher->is_in_order = false;
        watcher->last = event.timestamp;
        watcher->seen_count++;
    } while (event.key.size_bytes != 3);
}

static void waiting_threads_miss_nothing(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, PUBLISHED + 1);
    struct watcher watchers[WATCHERS];
    struct env_thread *threads[WATCHERS];
    for (int i = 0; i < WATCHERS; i++) {
        watchers[i] = (struct watcher){.fixture = &f, .watch = open_watch(&f, "")};
        threads[i] = env_thread_start("watch", watch_all, &watchers[i]);
        assert_non_null(threads[i]);
    }
    for (kh_timestamp i = 1; i < PUBLISHED; i++) {
        watch_publish(&f.hub, text("k"), i, false);
        if (i % 64 == 0) env_yield(); /* let the watchers run dry and wait again */
    }
    watch_publish(&f.hub, text("end"), PUBLISHED, false);
    for (int i = 0; i < WATCHERS; i++) {
        env_thread_join(threads[i]);
        assert_int_equal(watchers[i].end, KH_OK);
        assert_int_equal(watchers[i].seen_count, PUBLISHED);
        assert_true(watchers[i].is_in_order);
        kh_watch_close(watchers[i].watch);
    }
    end(&f);
}

/* Publishing goes on while watches open and close. */
static void publish_many(void *context) {
    struct fixture *f = context;
    for (kh_timestamp i = 1; i <= PUBLISHED; i++) watch_publish(&f->hub, text("key"), i, false);
}

static void watches_come_and_go(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 8);
    struct env_thread *publisher = env_thread_start("publish", publish_many, &f);
    assert_non_null(publisher);
    for (int i = 0; i < 200; i++) {
        kh_watch *watch = open_watch(&f, "k");
        kh_timestamp last = 0;
        for (int j = 0; j < 10; j++) {
            kh_watch_event event;
            if (kh_watch_next(watch, 0, &event, NULL) != KH_OK) continue;
            assert_true(event.timestamp > last);
            assert_true(event.is_lossy || last == 0 || event.timestamp == last + 1);
            last = event.timestamp;
        }
        kh_watch_close(watch);
    }
    env_thread_join(publisher);
    end(&f);
}

static void cancel_ends_a_wait(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 0);
    for (int i = 0; i < 50; i++) {
        struct watcher watcher = {.fixture = &f, .watch = open_watch(&f, "")};
        struct env_thread *thread = env_thread_start("watch", watch_all, &watcher);
        assert_non_null(thread);
        if (i % 2 == 0) env_yield(); /* before the wait, and in it */
        kh_watch_cancel(watcher.watch);
        env_thread_join(thread);
        assert_int_equal(watcher.end, KH_CANCELLED);
        kh_watch_close(watcher.watch);
    }
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_watch_sees_its_prefix_in_order),
        cmocka_unit_test(the_oldest_are_dropped_and_the_next_says_so),
        cmocka_unit_test(long_keys_fill_a_watch_sooner),
        cmocka_unit_test(without_memory_the_loss_is_told),
        cmocka_unit_test(both_losses_are_told),
        cmocka_unit_test(arguments_are_checked),
        cmocka_unit_test(the_descriptor_is_readable_while_events_wait),
        cmocka_unit_test(cancelled_is_for_good),
        cmocka_unit_test(a_wait_ends_with_its_time),
        cmocka_unit_test(a_child_is_told_and_cannot_harm),
        cmocka_unit_test(waiting_threads_miss_nothing),
        cmocka_unit_test(watches_come_and_go),
        cmocka_unit_test(cancel_ends_a_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
