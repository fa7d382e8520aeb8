/* changes_refused_test.c - the change feed: what it refuses, and what it answers in a child of the
 * process that opened it. */
#include "support/path_fixture.h"

#include <sys/wait.h>
#include <unistd.h>

static void open_fixture(struct fixture *f, uint32_t flags) {
    make_fixture(f, flags);
    f->db = kit_open_with(&f->options);
}

static void test_refusals(void **state) {
    (void)state;
    struct fixture f;
    kh_options memory = KH_OPTIONS_INIT;
    kh_changes *feed = NULL;
    kh_change change;
    kh_db *db = NULL;
    kit_is(kh_db_open(&memory, &db, NULL), KH_OK);
    kit_is(kh_changes_open(db, 0, NULL, &feed, NULL), KH_UNSUPPORTED);
    kit_close(db);
    open_fixture(&f, KH_OPEN_NO_THREADS);
    kh_changes_options options = KH_CHANGES_OPTIONS_INIT;
    options.flags = 8;
    kit_is(kh_changes_open(f.db, 0, &options, &feed, NULL), KH_INVALID);
    options.flags = 0;
    options.prefix.size_bytes = 1;
    kit_is(kh_changes_open(f.db, 0, &options, &feed, NULL), KH_INVALID);
    options.prefix = (kh_bytes){"", 65536};
    kit_is(kh_changes_open(f.db, 0, &options, &feed, NULL), KH_TOO_BIG);
    options.size = 1;
    kit_is(kh_changes_open(f.db, 0, &options, &feed, NULL), KH_INVALID);
    kit_is(kh_changes_open(NULL, 0, NULL, &feed, NULL), KH_INVALID);
    kit_is(kh_changes_next(NULL, 0, &change, NULL), KH_INVALID);
    struct ArrowArrayStream stream;
    kit_is(kh_changes_stream(NULL, 0, &stream, NULL), KH_INVALID);
    kit_is(kh_changes_open(f.db, UINT64_MAX, NULL, &feed, NULL), KH_OK);
    kit_is(kh_changes_stream(feed, 2, &stream, NULL), KH_INVALID);
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_PENDING);
    kh_changes_close(feed);
    kh_changes_close(NULL);
    kh_changes_cancel(NULL);
    close_fixture(&f);
}

static int in_child(kh_db *db, kh_changes *feed, struct ArrowArrayStream *stream) {
    kh_changes *other = NULL;
    kh_change change;
    struct ArrowArray array;
    struct ArrowArrayStream more;
    if (kh_changes_open(db, 0, NULL, &other, NULL) != KH_FORKED) return 1;
    if (kh_changes_next(feed, UINT32_MAX, &change, NULL) != KH_FORKED) return 2;
    if (kh_changes_stream(feed, 0, &more, NULL) != KH_FORKED) return 3;
    if (stream->get_next(stream, &array) == 0) return 4;
    stream->release(stream);
    kh_changes_cancel(feed);
    kh_changes_close(feed);
    return 0;
}

static void test_forked(void **state) {
    (void)state;
    struct fixture f;
    struct ArrowArrayStream stream;
    open_fixture(&f, 0);
    kit_store(f.db, "k", 1);
    kh_changes *feed = NULL;
    kit_is(kh_changes_open(f.db, 0, NULL, &feed, NULL), KH_OK);
    kit_is(kh_changes_stream(feed, 0, &stream, NULL), KH_OK);
    pid_t child = fork();
    if (child == 0) _exit(in_child(f.db, feed, &stream));
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    stream.release(&stream);
    kh_change change;
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_OK);
    kh_changes_close(feed);
    close_fixture(&f);
}

/* Beside a writer, in a directory that is only read: what was durable then, and nothing more. */
static void test_read_only(void **state) {
    (void)state;
    struct fixture f;
    kh_changes *feed = NULL;
    kh_change change;
    kh_db *db = NULL;
    open_fixture(&f, KH_OPEN_NO_THREADS);
    kit_store(f.db, "k", 1);
    kh_timestamp first = kh_db_now(f.db);
    kh_options options = f.options;
    options.flags = KH_OPEN_READ_ONLY | KH_OPEN_NO_THREADS;
    kit_is(kh_db_open(&options, &db, NULL), KH_OK);
    kit_store(f.db, "k", 2);
    kit_is(kh_changes_open(db, 0, NULL, &feed, NULL), KH_OK);
    kit_is(kh_changes_next(feed, 0, &change, NULL), KH_OK);
    assert_int_equal(change.timestamp, first);
    kit_is(kh_changes_next(feed, 1, &change, NULL), KH_PENDING);
    kh_changes_close(feed);
    kit_close(db);
    options.as_of = first;
    kit_is(kh_db_open(&options, &db, NULL), KH_OK);
    kit_is(kh_changes_open(db, 0, NULL, &feed, NULL), KH_UNSUPPORTED);
    kit_close(db);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_forked),
        cmocka_unit_test(test_read_only),
    };
    if (!kh_has_feature("durable")) return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
