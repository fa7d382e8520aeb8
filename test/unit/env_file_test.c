/* Files and directories: what lies where, and what is above it. */
#include "base/env_file.h"

#include "support/directory.h"
#include "support/kit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char paths[4][512];

/* A path in the directory, in one of four places. */
static const char *at(const struct directory *directory, int i, const char *name) {
    (void)snprintf(paths[i], sizeof paths[i], "%s/%s", directory->path, name);
    return paths[i];
}

static void is_within(const char *path, const char *directory, bool expected) {
    bool found = !expected;
    assert_int_equal(env_path_is_within(path, directory, &found), 0);
    assert_int_equal(found, expected);
}

static void what_lies_in_what(void **state) {
    (void)state;
    struct directory directory;
    directory_make(&directory);
    const char *d = at(&directory, 0, "d");
    assert_int_equal(mkdir(d, 0700), 0);
    assert_int_equal(mkdir(at(&directory, 1, "d/sub"), 0700), 0);
    is_within(d, d, true);
    is_within(at(&directory, 1, "d/sub"), d, true);
    is_within(at(&directory, 1, "d/sub/absent//deep/"), d, true);
    is_within(at(&directory, 1, "d/"), d, true);
    is_within(at(&directory, 1, "d/../d/./new"), d, true);
    is_within(at(&directory, 1, "dd"), d, false);
    is_within(at(&directory, 1, "d/.."), d, false);
    is_within(d, at(&directory, 1, "d/sub"), false);
    is_within(at(&directory, 1, "absent/x"), at(&directory, 2, "absent"),
              false); /* it is no directory */
    assert_int_equal(symlink(d, at(&directory, 1, "link")), 0);
    is_within(at(&directory, 1, "link/new"), d, true);
    is_within(at(&directory, 2, "d/sub"), at(&directory, 1, "link"), true);
    is_within(d, "/", true);
    assert_int_equal(chdir(d), 0);
    is_within("new", d, true);
    is_within("sub", ".", true);
    is_within("../other", ".", false);
    assert_int_equal(chdir("/"), 0);
    is_within("tmp", d, false);
    char deep[8192];
    bool found;
    memset(deep, 'x', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    assert_int_equal(env_path_is_within(deep, d, &found), ENAMETOOLONG);
    directory_remove(&directory);
}

static void what_is_above(void **state) {
    (void)state;
    struct directory directory;
    char found[4096];
    directory_make(&directory);
    assert_int_equal(mkdir(at(&directory, 0, "d"), 0700), 0);
    assert_int_equal(mkdir(at(&directory, 1, "d/sub"), 0700), 0);
    const char *below = at(&directory, 1, "d/sub/absent");
    assert_int_equal(env_path_find_above(below, "no such file anywhere", found), ENOENT);
    assert_int_equal(env_path_find_above(below, "sub", found), 0);
    assert_string_equal(strrchr(found, '/'), "/d");
    assert_int_equal(env_path_find_above(at(&directory, 2, "d"), "sub", found), 0);
    assert_int_equal(env_path_find_above(below, "d", found), 0);
    directory_remove(&directory);
}

static void only_empty_ones_are_removed(void **state) {
    (void)state;
    struct directory directory;
    directory_make(&directory);
    const char *d = at(&directory, 0, "d");
    assert_int_equal(env_dir_remove(d), 0);
    assert_int_equal(mkdir(d, 0700), 0);
    assert_int_equal(mkdir(at(&directory, 1, "d/sub"), 0700), 0);
    assert_int_equal(env_dir_remove(d), ENOTEMPTY);
    assert_int_equal(env_dir_remove(at(&directory, 1, "d/sub")), 0);
    assert_int_equal(env_dir_remove(d), 0);
    assert_int_equal(access(d, F_OK), -1);
    directory_remove(&directory);
}

static void trees_are_removed(void **state) {
    (void)state;
    struct directory directory;
    directory_make(&directory);
    const char *d = at(&directory, 0, "d");
    assert_int_equal(env_tree_remove(d), 0);
    assert_int_equal(mkdir(d, 0700), 0);
    assert_int_equal(mkdir(at(&directory, 1, "d/sub"), 0700), 0);
    assert_int_equal(mkdir(at(&directory, 1, "kept"), 0700), 0);
    assert_int_equal(symlink(paths[1], at(&directory, 2, "d/sub/link")), 0);
    assert_int_equal(symlink("nowhere", at(&directory, 2, "d/dangling")), 0);
    env_close(env_open(at(&directory, 2, "kept/file"), ENV_NEW));
    env_close(env_open(at(&directory, 3, "d/sub/file"), ENV_NEW));
    assert_int_equal(env_tree_remove(d), 0);
    assert_int_equal(access(d, F_OK), -1);
    assert_int_equal(access(paths[2], F_OK), 0); /* links are not followed */
    assert_int_equal(env_tree_remove(paths[2]), 0);
    assert_int_equal(access(paths[2], F_OK), -1);
    directory_remove(&directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lies_in_what),
        cmocka_unit_test(what_is_above),
        cmocka_unit_test(only_empty_ones_are_removed),
        cmocka_unit_test(trees_are_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
