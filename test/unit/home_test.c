/* home_test.c - where a call works: in its database's context, or in the process'. */
#include "batch/schema.h"
#include "support/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_homes(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    const struct batch_home *process = NULL;
    const struct batch_home *found = NULL;
    assert_int_equal(batch_home_find(NULL, &process, NULL), KH_OK);
    assert_int_equal(batch_home_find(db, &found, NULL), KH_OK);
    assert_ptr_equal(found, &home.batch);
    assert_non_null(process);
    assert_int_equal(batch_home_find(NULL, &found, NULL), KH_OK);
    assert_ptr_equal(process, found);
    assert_ptr_equal(process->mem, mem_process());
    assert_ptr_equal(process->schemas, schema_table_process());
    assert_true(process->batch_bytes_max > 0);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_homes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
