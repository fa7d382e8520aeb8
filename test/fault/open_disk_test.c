/* open_disk_test.c - the n-th allocation fails while a directory is opened whose log is ahead of
 * its storage, for all n: no memory is the answer and nothing is left, or what was there is there.
 */
#include "support/path_fixture.h"

enum { STORED = 5, LOGGED = 9 };

static void put(kh_db *db, int first, int count) {
    for (int i = first; i < first + count; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%.*s", 1 + i % 7, "aabacada");
        kit_store(db, key, i);
    }
}

static void is_there(kh_db *db) {
    for (int i = STORED + LOGGED - 7; i < STORED + LOGGED; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%.*s", 1 + i % 7, "aabacada");
        kit_load_is(db, key, i);
    }
}

/* Of a copy, since an opening that succeeds brings the storage to the log's end. */
static kh_status open_copy(const struct fixture *f, struct kit_memory *memory, uint64_t nth,
                           bool *has_failed) {
    struct directory copy;
    kh_options options = f->options;
    kh_db *db = NULL;
    directory_make(&copy);
    directory_copy(&f->directory, &copy);
    options.path = copy.path;
    options.allocator = kit_memory_hook(memory);
    memory->fail_at = memory->calls + nth;
    kh_status status = kh_db_open(&options, &db, NULL);
    *has_failed = memory->calls >= memory->fail_at;
    memory->fail_at = 0;
    if (status == KH_OK) {
        is_there(db);
        kit_close(db);
    } else {
        kit_is(status, KH_NO_MEMORY);
        assert_null(db);
    }
    assert_int_equal(memory->live_blocks, 0);
    directory_remove(&copy);
    return status;
}

/* What is kept of the log's end needs memory, and can be done without. */
static void test_every_allocation_fails(void **state) {
    (void)state;
    struct fixture f;
    struct kit_memory memory = {0, 0, 0, 0, 0};
    bool has_failed = true;
    int failures = 0;
    int did_without = 0;
    make_fixture(&f, KH_OPEN_NO_THREADS);
    f.db = kit_open_with(&f.options);
    put(f.db, 0, STORED);
    kh_db_step(f.db);
    put(f.db, STORED, LOGGED);
    for (uint64_t nth = 1; has_failed; nth++) {
        kh_status status = open_copy(&f, &memory, nth, &has_failed);
        failures += status != KH_OK;
        did_without += status == KH_OK && has_failed;
    }
    print_message("%d failed, %d did without\n", failures, did_without);
    assert_true(failures > 30);
    assert_true(did_without >= 1);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
