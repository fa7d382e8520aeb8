/* Whether others commit, too: what a writer goes by before he lets them run. */
#include "log/crowd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void note_many(uint32_t *crowd, uint32_t records, int groups) {
    for (int i = 0; i < groups; i++) crowd_note(crowd, records);
}

static void a_lone_committer_is_no_crowd(void **state) {
    (void)state;
    uint32_t crowd = 0;
    for (int i = 0; i < 1000; i++) {
        crowd_note(&crowd, 1);
        assert_false(crowd_is_there(crowd));
    }
    crowd_note(&crowd, 2); /* its schema */
    assert_false(crowd_is_there(crowd));
}

static void two_in_a_group_soon_are_one(void **state) {
    (void)state;
    uint32_t crowd = 0;
    note_many(&crowd, 1, 100);
    note_many(&crowd, 2, 3);
    assert_true(crowd_is_there(crowd));
}

static void it_is_forgotten_when_the_others_have_gone(void **state) {
    (void)state;
    uint32_t crowd = 0;
    note_many(&crowd, 64, 100);
    assert_true(crowd_is_there(crowd));
    note_many(&crowd, 1, 8);
    assert_true(crowd_is_there(crowd)); /* not at once: they may be slow */
    note_many(&crowd, 1, 60);
    assert_false(crowd_is_there(crowd));
}

static void groups_of_any_size_are_counted(void **state) {
    (void)state;
    uint32_t crowd = 0;
    note_many(&crowd, UINT32_MAX, 1000);
    assert_true(crowd_is_there(crowd));
    assert_in_range(crowd / CROWD_ONE, CROWD_RECORDS - 1, CROWD_RECORDS);
    note_many(&crowd, 0, 200);
    assert_false(crowd_is_there(crowd));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lone_committer_is_no_crowd),
        cmocka_unit_test(two_in_a_group_soon_are_one),
        cmocka_unit_test(it_is_forgotten_when_the_others_have_gone),
        cmocka_unit_test(groups_of_any_size_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
