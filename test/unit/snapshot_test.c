/* Looks at the slots of all lines: the oldest, the oldest serializable but one, the list. What goes
 * on around them is in test/exhaustive. */
#include "store/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { LINES = 5 };

static struct snapshot_line lines[LINES];
static struct snapshots snapshots;

static int empty(void **state) {
    (void)state;
    snapshots.lines = lines;
    snapshots.lines_max = LINES;
    atomic_store(&snapshots.line_count, LINES);
    for (int i = 0; i < LINES; i++) snapshot_drop(&lines[i]);
    return 0;
}

static void set(int line, enum snapshot_slot slot, uint64_t timestamp) {
    atomic_store(&lines[line].slots[slot], timestamp);
}

static void test_nobody(void **state) {
    (void)state;
    uint64_t list[LINES * SLOT_COUNT];
    assert_true(snapshot_oldest(&snapshots) == SNAPSHOT_NONE);
    assert_true(snapshot_oldest_serializable(&snapshots, NULL) == SNAPSHOT_NONE);
    assert_int_equal(snapshot_list(&snapshots, list), 0);
}

/* Wherever it stands, first, last or between, in either slot. */
static void test_oldest(void **state) {
    (void)state;
    for (int line = 0; line < LINES; line++) {
        for (int slot = SLOT_READ; slot <= SLOT_BASE; slot++) {
            for (int i = 0; i < LINES; i++) set(i, SLOT_READ, 100 + (uint64_t)i);
            set(line, (enum snapshot_slot)slot, 50);
            assert_int_equal(snapshot_oldest(&snapshots), 50);
            set(line, (enum snapshot_slot)slot, SNAPSHOT_NONE);
        }
    }
    set(2, SLOT_SERIALIZABLE, 7); /* its reading slot is what counts here */
    assert_true(snapshot_oldest(&snapshots) >= 100);
    atomic_store(&snapshots.line_count, 0); /* lines never used are not looked at */
    assert_true(snapshot_oldest(&snapshots) == SNAPSHOT_NONE);
}

static void test_oldest_serializable(void **state) {
    (void)state;
    for (int i = 0; i < LINES; i++) {
        set(i, SLOT_READ, 1);
        set(i, SLOT_SERIALIZABLE, 100 + (uint64_t)i);
    }
    assert_int_equal(snapshot_oldest_serializable(&snapshots, NULL), 100);
    assert_int_equal(snapshot_oldest_serializable(&snapshots, &lines[0]), 101);
    assert_int_equal(snapshot_oldest_serializable(&snapshots, &lines[1]), 100);
    set(LINES - 1, SLOT_SERIALIZABLE, 50);
    assert_int_equal(snapshot_oldest_serializable(&snapshots, NULL), 50);
    assert_int_equal(snapshot_oldest_serializable(&snapshots, &lines[LINES - 1]), 100);
}

/* Ascending, each once, serializable ones not again. */
static void test_list(void **state) {
    (void)state;
    uint64_t room[1 + LINES * SLOT_COUNT] = {3}; /* what lies before the list is not looked at */
    uint64_t *list = room + 1;
    static const uint64_t expected[] = {3, 5, 7, 9};
    set(0, SLOT_READ, 9);
    set(1, SLOT_READ, 5);
    set(2, SLOT_BASE, 7);
    set(2, SLOT_READ, 9);
    set(3, SLOT_SERIALIZABLE, 4);
    set(4, SLOT_READ, 5);
    set(4, SLOT_BASE, 3);
    assert_int_equal(snapshot_list(&snapshots, list), 4);
    assert_memory_equal(list, expected, sizeof expected);
}

static void test_taking(void **state) {
    (void)state;
    _Atomic uint64_t visible = 41;
    assert_int_equal(snapshot_take(&lines[1], &visible, SLOT_READ), 41);
    assert_int_equal(atomic_load(&lines[1].slots[SLOT_READ]), 41);
    assert_true(atomic_load(&lines[1].slots[SLOT_SERIALIZABLE]) == SNAPSHOT_NONE);
    atomic_store(&visible, 42);
    assert_int_equal(snapshot_take(&lines[2], &visible, SLOT_SERIALIZABLE), 42);
    assert_int_equal(atomic_load(&lines[2].slots[SLOT_READ]), 42);
    assert_int_equal(atomic_load(&lines[2].slots[SLOT_SERIALIZABLE]), 42);
    snapshot_set(&lines[1], 17);
    assert_int_equal(snapshot_oldest(&snapshots), 17);
    snapshot_drop(&lines[1]);
    snapshot_drop(&lines[2]);
    assert_true(snapshot_oldest(&snapshots) == SNAPSHOT_NONE);
    assert_true(snapshot_oldest_serializable(&snapshots, NULL) == SNAPSHOT_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nobody, empty),
        cmocka_unit_test_setup(test_oldest, empty),
        cmocka_unit_test_setup(test_oldest_serializable, empty),
        cmocka_unit_test_setup(test_list, empty),
        cmocka_unit_test_setup(test_taking, empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
