/* The memory log: order, the bound in bytes, reading beside appending, failures. */
#include "log/log.h"

#include "base/env.h"
#include "base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct failing {
    uint64_t countdown; /* UINT64_MAX: never fails */
    struct lock lock;   /* of the lowest rank: no lock of the library is held in a hook */
};

static void *failing_allocate(void *context, size_t size_bytes, size_t alignment) {
    struct failing *failing = context;
    lock_take(&failing->lock);
    bool is_refused = failing->countdown == 0;
    if (failing->countdown != UINT64_MAX && !is_refused) failing->countdown--;
    lock_leave(&failing->lock);
    if (is_refused) return NULL;
    return aligned_alloc(alignment, (size_bytes + alignment - 1) / alignment * alignment);
}

static void failing_free(void *context, void *block, size_t size_bytes) {
    struct failing *failing = context;
    (void)size_bytes;
    lock_take(&failing->lock);
    lock_leave(&failing->lock);
    free(block);
}

struct fixture {
    struct failing failing;
    struct mem *mem;
    kh_log log;
    uint64_t last_cookie;
    uint32_t completions;
};

static void complete(void *context, uint64_t cookie, kh_log_answer answer) {
    struct fixture *f = context;
    assert_int_equal(answer, KH_LOG_KEPT);
    f->last_cookie = cookie;
    f->completions++;
}

static void begin(struct fixture *f, uint64_t keep_bytes) {
    memset(f, 0, sizeof *f);
    f->failing.countdown = UINT64_MAX;
    lock_init(&f->failing.lock, RANK_DATABASE);
    struct mem_hooks hooks = {failing_allocate, failing_free, &f->failing};
    f->mem = mem_create(&hooks);
    assert_non_null(f->mem);
    assert_int_equal(log_memory_create(f->mem, keep_bytes, &f->log, NULL), KH_OK);
    assert_int_equal(f->log.version, KH_LOG_VERSION);
    assert_int_equal(f->log.size, sizeof(kh_log));
    assert_int_equal(f->log.open(f->log.context, complete, f), 0);
}

static void end(struct fixture *f) {
    f->log.close(f->log.context);
    log_memory_destroy(&f->log);
    log_memory_destroy(&f->log); /* blank */
    assert_int_equal(mem_live_bytes(f->mem), 0);
    mem_close(f->mem);
    lock_fini(&f->failing.lock);
}

/* Record n is n % 10 + 1 times the same byte. */
static kh_bytes make_record(unsigned char *bytes, uint64_t n) {
    size_t size_bytes = n % 10 + 1;
    memset(bytes, (int)(n % 251), size_bytes);
    return (kh_bytes){bytes, size_bytes};
}

static void append_one(struct fixture *f, uint64_t n) {
    unsigned char bytes[16];
    kh_bytes record = make_record(bytes, n);
    assert_int_equal(f->log.append(f->log.context, &record, 1, n, KH_SYNC_FULL), 0);
    assert_int_equal(f->last_cookie, n);
}

struct visit {
    kh_log_position next;
    uint64_t count;
    uint64_t stop_after;
    bool is_right;
};

static bool visit_record(void *context, kh_log_position position, kh_bytes bytes) {
    struct visit *visit = context;
    unsigned char expected[16];
    kh_bytes record = make_record(expected, position);
    visit->is_right = visit->is_right && position == visit->next &&
                      bytes.size_bytes == record.size_bytes &&
                      memcmp(bytes.data, expected, record.size_bytes) == 0;
    visit->next = position + 1;
    visit->count++;
    return visit->count < visit->stop_after;
}

static uint64_t read_from(struct fixture *f, kh_log_position from, uint64_t stop_after) {
    struct visit visit = {.next = from, .stop_after = stop_after, .is_right = true};
    assert_int_equal(f->log.read(f->log.context, from, visit_record, &visit), 0);
    assert_true(visit.is_right);
    return visit.count;
}

static kh_log_position first_kept(struct fixture *f) {
    struct visit visit = {.stop_after = 1, .is_right = true};
    kh_log_position from = 0;
    while (f->log.read(f->log.context, from, visit_record, &visit) == ENODATA) from++;
    return from;
}

static void records_come_back_in_order(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, UINT64_MAX);
    assert_int_equal(read_from(&f, 0, UINT64_MAX), 0);
    for (uint64_t n = 0; n < 1000; n++) append_one(&f, n);
    assert_int_equal(f.completions, 1000);
    assert_int_equal(read_from(&f, 0, UINT64_MAX), 1000);
    assert_int_equal(read_from(&f, 990, UINT64_MAX), 10);
    assert_int_equal(read_from(&f, 1000, UINT64_MAX), 0);
    assert_int_equal(read_from(&f, 5000, UINT64_MAX), 0);
    assert_int_equal(read_from(&f, 3, 7), 7);
    end(&f);
}

static void a_group_is_taken_as_one(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, UINT64_MAX);
    unsigned char bytes[100][16];
    kh_bytes group[100];
    for (uint64_t n = 0; n < 100; n++) group[n] = make_record(bytes[n], n);
    assert_int_equal(f.log.append(f.log.context, group, 100, 42, KH_SYNC_FULL), 0);
    assert_int_equal(f.completions, 1);
    assert_int_equal(f.last_cookie, 42);
    assert_int_equal(f.log.append(f.log.context, NULL, 0, 43, KH_SYNC_FULL), 0);
    assert_int_equal(f.last_cookie, 43);
    assert_int_equal(read_from(&f, 0, UINT64_MAX), 100);
    end(&f);
}

static void the_newest_are_kept_within_the_bound(void **state) {
    (void)state;
    for (uint64_t keep_bytes = 0; keep_bytes < 60; keep_bytes++) {
        struct fixture f;
        begin(&f, keep_bytes);
        for (uint64_t n = 0; n < 300; n++) {
            append_one(&f, n);
            /* By hand: back from the newest as long as the sum fits. */
            uint64_t sum = 0;
            uint64_t expected = n + 1;
            while (expected > 0 && sum + (expected - 1) % 10 + 1 <= keep_bytes) {
                expected--;
                sum += expected % 10 + 1;
            }
            assert_int_equal(first_kept(&f), expected);
            assert_int_equal(read_from(&f, expected, UINT64_MAX), n + 1 - expected);
        }
        end(&f);
    }
}

static void trimmed_records_are_gone(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, UINT64_MAX);
    for (uint64_t n = 0; n < 100; n++) append_one(&f, n);
    assert_int_equal(f.log.trim(f.log.context, 40), 0);
    assert_int_equal(f.log.trim(f.log.context, 10), 0);
    assert_int_equal(first_kept(&f), 40);
    assert_int_equal(f.log.trim(f.log.context, 1000), 0);
    assert_int_equal(first_kept(&f), 100);
    append_one(&f, 100); /* positions go on */
    assert_int_equal(read_from(&f, 100, UINT64_MAX), 1);
    for (uint64_t n = 101; n < 1000; n++) /* and the ring grows around them */
        append_one(&f, n);
    assert_int_equal(read_from(&f, 100, UINT64_MAX), 900);
    end(&f);
}

static void a_log_outlives_its_database(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, UINT64_MAX);
    append_one(&f, 0);
    assert_int_equal(f.log.open(f.log.context, complete, &f), EBUSY);
    f.log.close(f.log.context);
    assert_int_equal(read_from(&f, 0, UINT64_MAX), 1);
    assert_int_equal(f.log.open(f.log.context, complete, &f), 0);
    append_one(&f, 1);
    assert_int_equal(read_from(&f, 0, UINT64_MAX), 2);
    end(&f);
}

static void a_failed_append_changes_nothing(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, UINT64_MAX);
    uint32_t failures = 0;
    unsigned char bytes[3][16];
    for (uint64_t n = 0; n < 300; n += 3) {
        kh_bytes group[3];
        for (uint64_t i = 0; i < 3; i++) group[i] = make_record(bytes[i], n + i);
        int code = ENOMEM;
        for (uint64_t allowed = 0; code != 0; allowed++) {
            uint32_t before = f.completions;
            uint64_t live_bytes = mem_live_bytes(f.mem);
            f.failing.countdown = allowed;
            code = f.log.append(f.log.context, group, 3, n, KH_SYNC_FULL);
            f.failing.countdown = UINT64_MAX;
            if (code == 0) break;
            failures++;
            assert_int_equal(code, ENOMEM);
            assert_int_equal(f.completions, before);
            assert_int_equal(mem_live_bytes(f.mem), live_bytes);
            assert_int_equal(read_from(&f, 0, UINT64_MAX), n);
        }
    }
    assert_true(failures > 300); /* three records, and the ring now and then */
    assert_int_equal(read_from(&f, 0, UINT64_MAX), 300);
    kh_log log = {.size = 4711};
    f.failing.countdown = 0;
    assert_int_equal(log_memory_create(f.mem, 1, &log, NULL), KH_NO_MEMORY);
    f.failing.countdown = UINT64_MAX;
    assert_int_equal(log.size, 4711);
    end(&f);
}

/* A visitor may use the log: no lock is held. */
static bool visit_and_append(void *context, kh_log_position position, kh_bytes bytes) {
    struct fixture *f = context;
    assert_int_equal(bytes.size_bytes, position % 10 + 1);
    if (position < 20) append_one(f, position + 1);
    assert_int_equal(f->log.trim(f->log.context, position + 1), 0); /* what it is visiting */
    assert_int_equal(((const unsigned char *)bytes.data)[0], position);
    return true;
}

static void visitors_run_without_the_lock(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, UINT64_MAX);
    append_one(&f, 0);
    assert_int_equal(f.log.read(f.log.context, 0, visit_and_append, &f), 0);
    assert_int_equal(first_kept(&f), 21);
    end(&f);
}

enum { APPENDS = 5000 };

static void append_many(void *context) {
    struct fixture *f = context;
    for (uint64_t n = 0; n < APPENDS; n++) append_one(f, n);
}

static void readers_run_beside_the_appender(void **state) {
    (void)state;
    struct fixture f;
    begin(&f, 200);
    struct env_thread *appender = env_thread_start("append", append_many, &f);
    assert_non_null(appender);
    kh_log_position from = 0;
    while (from < APPENDS) {
        struct visit visit = {.next = from, .stop_after = 50, .is_right = true};
        int code = f.log.read(f.log.context, from, visit_record, &visit);
        assert_true(visit.is_right);
        from = visit.next;
        if (code == ENODATA)
            from++;
        else
            assert_int_equal(code, 0);
        if (visit.count == 0) env_yield();
    }
    env_thread_join(appender);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back_in_order),
        cmocka_unit_test(a_group_is_taken_as_one),
        cmocka_unit_test(the_newest_are_kept_within_the_bound),
        cmocka_unit_test(trimmed_records_are_gone),
        cmocka_unit_test(a_log_outlives_its_database),
        cmocka_unit_test(a_failed_append_changes_nothing),
        cmocka_unit_test(visitors_run_without_the_lock),
        cmocka_unit_test(readers_run_beside_the_appender),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
