/* Write sets: when one is spent after its commit (nothing is left in it to be released), and when
 * the short way to a new write is not to be taken. */
#include "txn/writeset.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct desk {
    struct mem *mem;
    struct mem_cache *cache;
    struct arena arena;
    struct writeset set;
};

static struct desk desk;

static int open_desk(void **state) {
    (void)state;
    memset(&desk, 0, sizeof desk);
    desk.mem = mem_create(NULL);
    desk.cache = mem_cache_create(desk.mem);
    arena_init(&desk.arena, desk.mem, desk.cache);
    writeset_init(&desk.set, 100, UINT64_MAX);
    return 0;
}

static int close_desk(void **state) {
    (void)state;
    writeset_clear(&desk.set, desk.cache);
    arena_fini(&desk.arena);
    mem_cache_destroy(desk.cache);
    assert_int_equal(mem_live_bytes(desk.mem), 0);
    mem_close(desk.mem);
    return 0;
}

static struct write *write_one(int number, enum write_kind kind, uint8_t policy) {
    char key[16];
    struct write *write = NULL;
    size_t size_bytes = (size_t)snprintf(key, sizeof key, "k%d", number);
    assert_int_equal(writeset_claim(&desk.set, &desk.arena, (kh_bytes){key, size_bytes},
                                    (uint64_t)number + 1, 0, &write, NULL),
                     KH_OK);
    writeset_set(&desk.set, write, kind, policy, NULL);
    return write;
}

static bool is_spent(void) {
    writeset_spend(&desk.set);
    return desk.set.is_spent;
}

/* A plain put or delete leaves nothing behind; what is computed does, whatever the kind. */
static void test_what_is_computed_is_not_spent(void **state) {
    (void)state;
    for (int kind = WRITE_PUT; kind <= WRITE_ROWS; kind++) {
        for (uint8_t policy = KH_FAIL; policy <= KH_CALLBACK; policy++) {
            writeset_clear(&desk.set, desk.cache);
            (void)write_one(1, (enum write_kind)kind, policy);
            (void)write_one(2, WRITE_PUT, KH_FAIL);
            bool is_plain = kind != WRITE_ROWS && policy < KH_APPEND;
            assert_int_equal(is_spent(), is_plain);
            (void)write_one(1, WRITE_PUT, KH_FAIL); /* written over: it was */
            assert_int_equal(is_spent(), is_plain);
        }
    }
}

static void test_what_has_grown_is_not_spent(void **state) {
    (void)state;
    for (int i = 0; i < WRITESET_INLINE; i++) {
        (void)write_one(i, WRITE_PUT, KH_FAIL);
        assert_true(is_spent());
    }
    (void)write_one(WRITESET_INLINE, WRITE_PUT, KH_FAIL);
    assert_false(is_spent());
}

static void test_what_has_savepoints_is_not_spent(void **state) {
    (void)state;
    uint32_t number = 0;
    (void)write_one(1, WRITE_PUT, KH_FAIL);
    assert_int_equal(writeset_mark(&desk.set, &desk.arena, &number, NULL), KH_OK);
    assert_false(is_spent());
    assert_int_equal(writeset_release_mark(&desk.set, number, NULL), KH_OK);
    assert_false(is_spent()); /* its undo list stays */
}

static struct write *take_short_way(uint64_t hash) {
    return writeset_slot_new(&desk.set, &desk.arena, (kh_bytes){"key", 3}, hash);
}

/* NULL, and nothing changed: a key that may be there, even undone; a savepoint; no room; a limit.
 */
static void test_the_short_way_is_not_for_all(void **state) {
    (void)state;
    uint32_t number = 0;
    assert_non_null(take_short_way(1));
    assert_null(take_short_way(1));
    assert_int_equal(desk.set.count, 1);
    assert_int_equal(writeset_mark(&desk.set, &desk.arena, &number, NULL), KH_OK);
    (void)write_one(6, WRITE_DELETE, KH_FAIL);
    assert_null(take_short_way(2));
    assert_int_equal(writeset_rollback_to(&desk.set, desk.cache, number, NULL), KH_OK);
    assert_int_equal(writeset_release_mark(&desk.set, number, NULL), KH_OK);
    assert_null(take_short_way(7)); /* undone */
    for (uint32_t i = desk.set.count; i < WRITESET_INLINE; i++)
        assert_non_null(take_short_way(20 + i));
    assert_null(take_short_way(50));
    assert_int_equal(desk.set.count, WRITESET_INLINE);
    writeset_clear(&desk.set, desk.cache);
    desk.set.writes_max = 1;
    writeset_take(&desk.set, desk.cache, take_short_way(1), 0);
    assert_null(take_short_way(2));
}

#define ON_DESK(test) cmocka_unit_test_setup_teardown(test, open_desk, close_desk)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_DESK(test_what_is_computed_is_not_spent),
        ON_DESK(test_what_has_grown_is_not_spent),
        ON_DESK(test_what_has_savepoints_is_not_spent),
        ON_DESK(test_the_short_way_is_not_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
