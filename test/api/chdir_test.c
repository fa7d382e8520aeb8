/* chdir_test.c - a database that was opened by a relative path, and a process that then works
 * elsewhere: files stay where they were. A program of its own, for the directory is the process'.
 */
#include "support/directory.h"
#include "support/kit.h"

#include <unistd.h>

enum { COMMITS = 300, VALUE_BYTES = 40000 }; /* the log turns over some times */

static void put_large(kh_db *db, int number) {
    static char text[VALUE_BYTES];
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    kh_txn *txn = NULL;
    static const char *const names[] = {"text"};
    static const char *const formats[] = {"u"};
    kit_is(kh_schema_build(db, names, formats, 1, &schema, NULL), KH_OK);
    memset(text, 'a' + number % 26, sizeof text);
    kh_scalar scalar = {KH_SCALAR_BYTES, {.bytes = {text, sizeof text}}};
    kit_is(kh_batch_build(db, schema, &scalar, 1, &batch, NULL), KH_OK);
    kit_is(kh_txn_begin(db, NULL, &txn, NULL), KH_OK);
    kit_is(kh_txn_put(txn, kit_key("large"), batch, NULL), KH_OK);
    kit_commit_ok(txn);
    kh_batch_release(batch);
    kh_schema_release(schema);
}

static void test_working_elsewhere(void **state) {
    (void)state;
    struct directory home;
    struct directory elsewhere;
    char before[DIRECTORY_BYTES];
    kh_options options = KH_OPTIONS_INIT;
    directory_make(&home);
    directory_make(&elsewhere);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(home.path), 0);
    options.path = "db";
    kh_db *db = kit_open_with(&options);
    kit_store(db, "k", 1);
    options.flags = KH_OPEN_READ_ONLY;
    kh_db *reader = kit_open_with(&options);
    assert_int_equal(chdir(elsewhere.path), 0);
    for (int i = 0; i < COMMITS; i++) put_large(db, i);
    kit_store(db, "k", 2);
    kit_is(kh_db_compact(db, NULL), KH_OK);
    kit_load_is(reader, "k", 1);
    kit_close(reader);
    kit_close(db);
    assert_int_equal(rmdir(elsewhere.path), 0); /* nothing was made there */
    options.flags = 0;
    options.path = directory_join(&home, "db");
    db = kit_open_with(&options);
    kit_load_is(db, "k", 2);
    kit_close(db);
    assert_int_equal(chdir(before), 0);
    directory_remove(&home);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_working_elsewhere)};
    if (!kh_has_feature("durable")) return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
