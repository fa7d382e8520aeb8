/* durable_fork_test.c - a child that was forked after a database on disk was used would wait for
 * ever for RocksDB's threads: it is told so when it opens one for writing, and may read. */
#include "support/directory.h"
#include "support/kit.h"

#include <sys/wait.h>
#include <unistd.h>

static struct directory directory;

static int open_and_close(uint32_t flags, kh_status expected) {
    kh_options options = KH_OPTIONS_INIT;
    kh_db *db = NULL;
    kh_error error = {""};
    options.path = directory.path;
    options.flags = flags;
    kh_status status = kh_db_open(&options, &db, &error);
    if (status != expected) return 1;
    if (status != KH_OK) return strstr(error.message, "forked") == NULL;
    return kh_db_close(db) == KH_OK ? 0 : 2;
}

static int child(void) {
    if (open_and_close(0, KH_UNSUPPORTED) != 0) return 3;
    if (open_and_close(KH_OPEN_READ_ONLY, KH_OK) != 0) return 4;
    return open_and_close(0, KH_UNSUPPORTED) == 0 ? 0 : 5;
}

static void fork_and_see(int (*run)(void)) {
    int how = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)alarm(60);
        _exit(run());
    }
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

static int first_user(void) {
    return open_and_close(0, KH_OK);
}

static void test_children(void **state) {
    (void)state;
    directory_make(&directory);
    fork_and_see(first_user); /* nobody has used one before */
    assert_int_equal(open_and_close(0, KH_OK), 0);
    fork_and_see(child);
    assert_int_equal(open_and_close(0, KH_OK), 0); /* the parent goes on */
    directory_remove(&directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_children)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
