/* log_kept_test.c - records kept from the check of a log's end are given back as they were, from
 * any position on; beyond the bound, and without memory, the rest is left to be read again. */
#include "log/log_kept.h"

#include "base/mem.h"
#include "support/group_kit.h"

enum { RECORDS_MAX = 4000 };

struct seen {
    kh_bytes frames[RECORDS_MAX]; /* copies, by position */
    kh_log_position next;
    kh_log_position stop_at;
};

static bool see(void *context, kh_log_position position, kh_bytes frame) {
    struct seen *seen = context;
    if (position == seen->stop_at) return false;
    assert_true(position == seen->next);
    assert_int_equal(frame.size_bytes, seen->frames[position].size_bytes);
    assert_memory_equal(frame.data, seen->frames[position].data, frame.size_bytes);
    seen->next++;
    return true;
}

/* A group of noise, noted in seen from a position on. */
static void add_group(struct log_kept *kept, struct group_kit *kit, struct seen *seen,
                      kh_log_position first, uint32_t count) {
    group_kit_fill(kit, count);
    kh_bytes body = group_kit_body(kit);
    kh_bytes frame;
    size_t at = 0;
    bool is_broken;
    for (kh_log_position position = first; group_next_frame(body, &at, &frame, &is_broken);
         position++)
        seen->frames[position] = (kh_bytes){group_kit_copy(frame), frame.size_bytes};
    log_kept_add(kept, first, count, body);
}

static void free_seen(struct seen *seen) {
    for (size_t i = 0; i < RECORDS_MAX; i++) free((void *)(uintptr_t)seen->frames[i].data);
    free(seen);
}

static void test_given_back(void **state) {
    (void)state;
    static struct group_kit kit;
    struct seen *seen = calloc(1, sizeof *seen);
    struct log_kept kept;
    assert_non_null(seen);
    group_kit_begin(&kit);
    log_kept_init(&kept, kit.mem);
    kh_log_position next = 100; /* what lies before it was not looked at */
    while (next + KIT_FRAMES_MAX < RECORDS_MAX) {
        uint32_t count = 1 + (uint32_t)(group_kit_draw(&kit) % KIT_FRAMES_MAX);
        add_group(&kept, &kit, seen, next, count);
        next += count;
        assert_true(kept.first == 100 && kept.next == next);
    }
    for (kh_log_position from = 100; from <= next; from += 37) {
        for (kh_log_position end = from; end <= next; end += 411) {
            seen->next = from;
            seen->stop_at = UINT64_MAX;
            assert_true(log_kept_visit(&kept, from, end, see, seen));
            assert_true(seen->next == end);
        }
    }
    seen->next = 100;
    seen->stop_at = 150;
    assert_false(log_kept_visit(&kept, 100, next, see, seen));
    assert_true(seen->next == 150);
    log_kept_fini(&kept);
    assert_true(kept.first == kept.next);
    free_seen(seen);
    group_kit_end(&kit);
}

static unsigned char *large_frame(uint32_t size_bytes) {
    unsigned char *frame = calloc(1, size_bytes);
    assert_non_null(frame);
    memcpy(frame, "KHRC\1\0\0", 8);
    memcpy(frame + AT_LENGTH, &size_bytes, sizeof size_bytes);
    return frame;
}

static bool count_one(void *context, kh_log_position position, kh_bytes frame) {
    (void)position;
    (void)frame;
    ++*(uint64_t *)context;
    return true;
}

/* 64 MiB: a group that would be beyond it is not taken, and none after it. */
static void test_bounded(void **state) {
    (void)state;
    enum { SIZE = 12 << 20 };
    struct mem *mem = mem_create(NULL);
    struct log_kept kept;
    unsigned char *frame = large_frame(SIZE);
    uint64_t count = 0;
    log_kept_init(&kept, mem);
    for (kh_log_position position = 0; position < 9; position++)
        log_kept_add(&kept, position, 1, (kh_bytes){frame, SIZE});
    uint32_t small = RECORD_HEAD_BYTES;
    memcpy(frame + AT_LENGTH, &small, sizeof small);
    log_kept_add(&kept, 9, 1, (kh_bytes){frame, small}); /* would fit, and leave a hole */
    assert_true(kept.first == 0 && kept.next == 5);
    assert_true(log_kept_visit(&kept, 0, 5, count_one, &count));
    assert_int_equal(count, 5);
    log_kept_fini(&kept);
    free(frame);
    assert_int_equal(mem_live_bytes(mem), 0);
    mem_close(mem);
}

struct failing {
    uint64_t calls;
    uint64_t fail_at;
};

static void *fail_some(void *context, size_t size_bytes, size_t alignment) {
    struct failing *failing = context;
    size_t rounded = (size_bytes + alignment - 1) & ~(alignment - 1);
    return ++failing->calls == failing->fail_at ? NULL : aligned_alloc(alignment, rounded);
}

static void free_some(void *context, void *block, size_t size_bytes) {
    (void)context;
    (void)size_bytes;
    free(block);
}

static void test_without_memory(void **state) {
    (void)state;
    enum { SIZE = 3 << 20 };
    struct failing failing = {0, 3}; /* the context, a block, none */
    struct mem_hooks hooks = {fail_some, free_some, &failing};
    struct mem *mem = mem_create(&hooks);
    struct log_kept kept;
    unsigned char *frame = large_frame(SIZE);
    log_kept_init(&kept, mem);
    for (kh_log_position position = 7; position < 11; position++)
        log_kept_add(&kept, position, 1, (kh_bytes){frame, SIZE});
    assert_true(kept.first == 7 && kept.next == 8);
    log_kept_fini(&kept);
    free(frame);
    mem_close(mem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_given_back),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
