/* beside_writer_test.c - a read-only opening beside a writer shows what the writer has synced: not
 * what he has only written, which a loss of power would take. After a crash it shows all there is.
 * The directory is a copy of one in use; what was synced is what its mark says. */
#include "base/env_file.h"
#include "log/mark.h"

#include "support/directory.h"
#include "support/kit.h"

enum { COMMITS = 6 };

struct fixture {
    struct directory made;
    struct directory directory;
    kh_log_position ends[COMMITS]; /* of the log, after each commit */
};

static void open_fixture(struct fixture *f) {
    kh_options options = kit_options();
    directory_make(&f->made);
    directory_make(&f->directory);
    options.path = f->made.path;
    kh_db *db = kit_open_with(&options);
    for (int i = 0; i < COMMITS; i++) {
        kh_head head;
        kit_store(db, "k", i);
        kit_is(kh_db_head(db, &head, NULL), KH_OK);
        f->ends[i] = head.position;
    }
    directory_copy(&f->made, &f->directory);
    kit_close(db);
}

static void close_fixture(struct fixture *f) {
    directory_remove(&f->made);
    directory_remove(&f->directory);
}

static void set_synced(const struct fixture *f, kh_log_position synced) {
    struct mark mark;
    int descriptor = -1;
    kit_is(mark_open(directory_join(&f->directory, "MARK"), &descriptor, &mark, NULL), KH_OK);
    assert_false(mark.is_clean);
    mark.synced = synced;
    kit_is(mark_write(descriptor, &mark, true, NULL), KH_OK);
    env_close(descriptor);
}

static int changes_of(kh_db *db) {
    kh_changes *changes = NULL;
    int count = 0;
    kit_is(kh_changes_open(db, 0, NULL, &changes, NULL), KH_OK);
    kh_change change;
    while (kh_changes_next(changes, 0, &change, NULL) == KH_OK) count++;
    kh_changes_close(changes);
    return count;
}

static void shows(const struct fixture *f, int last) {
    kh_options options = kit_options();
    kh_head head;
    options.path = f->directory.path;
    options.flags |= KH_OPEN_READ_ONLY;
    kh_db *db = kit_open_with(&options);
    kit_load_is(db, "k", last);
    kit_is(kh_db_head(db, &head, NULL), KH_OK);
    assert_int_equal(head.position, f->ends[last]);
    assert_int_equal(changes_of(db), last + 1);
    kit_close(db);
}

static void test_what_is_synced(void **state) {
    (void)state;
    for (int last = 0; last < COMMITS; last++) {
        struct fixture f;
        uint64_t owner;
        open_fixture(&f);
        set_synced(&f, f.ends[last]);
        int lock = env_lock(directory_join(&f.directory, "LOCK"), &owner);
        assert_true(lock >= 0);
        shows(&f, last);
        env_close(lock);
        shows(&f, COMMITS - 1); /* the writer is gone: it is what the next one will find */
        close_fixture(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_synced)};
    if (!kh_has_feature("durable")) return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
