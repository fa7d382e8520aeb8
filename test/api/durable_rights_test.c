/* durable_rights_test.c - databases whose files the process may not write, or not even read: each
 * opening says what the system refused, and nothing on disk is changed by it.
 *
 * Root may do anything, so every look is a process of its own that gives its rights up (to uid
 * 65534) where it is root. Where it is not the files are its own, and the modes alone refuse. Every
 * database is made by a process of its own, too: RocksDB's threads do not live on in a fork. */
#define _GNU_SOURCE
#include "support/directory.h"

#include <khonsu.h>

#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOBODY = 65534, KEYS = 40 };

/* ---- processes ------------------------------------------------------------------------------- */

/* In a child, where a failed assertion of cmocka would go on as a second run of the tests. */
static void must(bool is_true, const char *what, const char *more) {
    if (is_true) return;
    (void)fprintf(stderr, "%s: %s\n", what, more);
    _exit(1);
}

static void give_up_rights(void) {
    if (geteuid() != 0) return;
    must(setgroups(0, NULL) == 0, "setgroups", "");
    must(setresgid(NOBODY, NOBODY, NOBODY) == 0, "setresgid", "");
    must(setresuid(NOBODY, NOBODY, NOBODY) == 0, "setresuid", "");
}

/* Each in a process of its own, which must end well. */
static void apart(void (*act)(const char *path, const void *more), const char *path,
                  const void *more) {
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        act(path, more);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- databases ------------------------------------------------------------------------------- */

static kh_status open_at(const char *path, uint32_t flags, kh_db **out, kh_error *error) {
    kh_options options = KH_OPTIONS_INIT;
    options.path = path;
    options.flags = flags | KH_OPEN_NO_THREADS;
    return kh_db_open(&options, out, error);
}

static kh_bytes key_of(int i) {
    static char name[16];
    return (kh_bytes){name, (size_t)snprintf(name, sizeof name, "key-%d", i)};
}

static void make_one(const char *path, const void *more) {
    static const char *const names[] = {"n"};
    static const char *const formats[] = {"l"};
    kh_error error = {""};
    kh_db *db = NULL;
    kh_schema *schema = NULL;
    (void)more;
    must(open_at(path, 0, &db, &error) == KH_OK, "open", error.message);
    must(kh_schema_build(db, names, formats, 1, &schema, NULL) == KH_OK, "schema", "");
    for (int i = 0; i < KEYS; i++) {
        kh_scalar scalar = {KH_SCALAR_INT64, {.int64 = i}};
        kh_batch *batch = NULL;
        kh_txn *txn = NULL;
        must(kh_batch_build(db, schema, &scalar, 1, &batch, NULL) == KH_OK, "batch", "");
        must(kh_txn_begin(db, NULL, &txn, NULL) == KH_OK, "begin", "");
        must(kh_txn_put(txn, key_of(i), batch, NULL) == KH_OK, "put", "");
        must(kh_txn_commit(txn, NULL, NULL) == KH_OK, "commit", "");
        kh_txn_close(txn);
        kh_batch_release(batch);
    }
    kh_schema_release(schema);
    must(kh_db_close(db) == KH_OK, "close", "");
}

static void look_at(kh_db *db) {
    kh_txn *txn = NULL;
    must(kh_txn_begin(db, NULL, &txn, NULL) == KH_OK, "begin", "");
    for (int i = 0; i < KEYS; i++) {
        const kh_batch *batch = NULL;
        int64_t number = -1;
        must(kh_txn_peek(txn, key_of(i), &batch, NULL) == KH_OK, "a key is missing", "");
        must(kh_batch_int64(batch, 0, 0, &number) == KH_OK && number == i, "another value", "");
    }
    kh_txn_close(txn);
    must(kh_db_close(db) == KH_OK, "close", "");
}

struct expected {
    uint32_t flags;
    bool keeps_rights;
    kh_status status;
    const char *says; /* beside the path */
};

static void open_one(const char *path, const void *more) {
    const struct expected *expected = more;
    kh_error error = {""};
    kh_db *db = NULL;
    if (!expected->keeps_rights) give_up_rights();
    kh_status status = open_at(path, expected->flags, &db, &error);
    must(status == expected->status, kh_status_name(status), error.message);
    if (status == KH_OK) {
        look_at(db);
        return;
    }
    must(strstr(error.message, path) != NULL, "no path", error.message);
    must(strstr(error.message, expected->says) != NULL, expected->says, error.message);
}

/* ---- files ----------------------------------------------------------------------------------- */

static mode_t file_mode;
static mode_t directory_mode;

static int set_mode(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status;
    (void)walk;
    return chmod(path, type == FTW_F ? file_mode : directory_mode);
}

static void set_modes(const char *path, mode_t directories, mode_t files) {
    file_mode = files;
    directory_mode = directories;
    assert_int_equal(nftw(path, set_mode, 16, FTW_PHYS | FTW_DEPTH), 0);
}

static uint64_t seen;

static int see_one(const char *path, const struct stat *status, int type, struct FTW *walk) {
    uint64_t parts[] = {(uint64_t)status->st_size,        (uint64_t)status->st_ino,
                        (uint64_t)status->st_mtim.tv_sec, (uint64_t)status->st_mtim.tv_nsec,
                        (uint64_t)status->st_ctim.tv_sec, (uint64_t)status->st_ctim.tv_nsec};
    (void)type;
    (void)walk;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        seen = seen * 0x9e3779b97f4a7c15u + parts[i];
    for (; *path != '\0'; path++) seen = seen * 31 + (unsigned char)*path;
    return 0;
}

/* Names, sizes and times of everything: a write, even of the same bytes, would show. */
static uint64_t look_at_files(const char *path) {
    seen = 0;
    assert_int_equal(nftw(path, see_one, 16, FTW_PHYS), 0);
    return seen;
}

struct place {
    struct directory directory; /* others may go through it */
    char path[512];             /* the database in it */
};

static void make_place(struct place *place) {
    directory_make(&place->directory);
    assert_int_equal(chmod(place->directory.path, 0755), 0);
    (void)snprintf(place->path, sizeof place->path, "%s", directory_join(&place->directory, "db"));
    apart(make_one, place->path, NULL);
}

/* Nothing was changed, and with its rights back the database is whole. */
static void end_place(struct place *place) {
    static const struct expected whole = {.flags = 0, .keeps_rights = true, .status = KH_OK};
    set_modes(place->path, 0700, 0600);
    apart(open_one, place->path, &whole);
    directory_remove(&place->directory);
}

static void opens_as(const struct place *place, uint32_t flags, kh_status status,
                     const char *says) {
    struct expected expected = {.flags = flags, .status = status, .says = says};
    uint64_t before = look_at_files(place->path);
    apart(open_one, place->path, &expected);
    assert_true(look_at_files(place->path) == before);
}

/* ---- the cases ------------------------------------------------------------------------------- */

static void test_for_reading_only(void **state) {
    (void)state;
    struct place place;
    make_place(&place);
    set_modes(place.path, 0555, 0444);
    opens_as(&place, 0, KH_IO, "no right to write there (errno 13)");
    opens_as(&place, KH_OPEN_READ_ONLY, KH_OK, "");
    /* Files for reading only in a directory that anybody may write. */
    set_modes(place.path, 0777, 0444);
    opens_as(&place, 0, KH_IO, "no right to write there (errno 13)");
    opens_as(&place, KH_OPEN_READ_ONLY, KH_OK, "");
    end_place(&place);
}

static void test_not_even_for_reading(void **state) {
    (void)state;
    struct place place;
    make_place(&place);
    set_modes(place.path, 0755, 0000);
    opens_as(&place, 0, KH_IO, "errno 13");
    opens_as(&place, KH_OPEN_READ_ONLY, KH_IO, "errno 13");
    set_modes(place.path, 0000, 0000);
    opens_as(&place, 0, KH_IO, "errno 13");
    opens_as(&place, KH_OPEN_READ_ONLY, KH_IO, "errno 13");
    end_place(&place);
}

/* What it needs is taken in turn; the first that it does not get is named. LOCK has another number
 * in it then, and MARK says that it was not closed: nothing that anybody would miss. */
static void test_some_of_it(void **state) {
    (void)state;
    static const struct {
        const char *writable[4];
        const char *says;
    } cases[] = {{{"LOCK"}, "MARK"}, {{"LOCK", "MARK"}, "log"}};
    struct place place;
    make_place(&place);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct expected expected = {.status = KH_IO, .says = cases[i].says};
        set_modes(place.path, 0555, 0444);
        for (int w = 0; cases[i].writable[w] != NULL; w++) {
            char path[600];
            (void)snprintf(path, sizeof path, "%s/%s", place.path, cases[i].writable[w]);
            assert_int_equal(chmod(path, 0666), 0);
        }
        apart(open_one, place.path, &expected);
        struct expected to_read = {.flags = KH_OPEN_READ_ONLY, .status = KH_OK};
        apart(open_one, place.path, &to_read);
    }
    end_place(&place);
}

static void test_no_place_for_a_new_one(void **state) {
    (void)state;
    struct expected expected = {.status = KH_IO, .says = "cannot be made (errno 13)"};
    struct directory directory;
    directory_make(&directory);
    assert_int_equal(chmod(directory.path, 0555), 0);
    char path[512];
    (void)snprintf(path, sizeof path, "%s", directory_join(&directory, "db"));
    uint64_t before = look_at_files(directory.path);
    apart(open_one, path, &expected);
    assert_true(look_at_files(directory.path) == before);
    directory_remove(&directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_for_reading_only),
        cmocka_unit_test(test_not_even_for_reading),
        cmocka_unit_test(test_some_of_it),
        cmocka_unit_test(test_no_place_for_a_new_one),
    };
    if (!kh_has_feature("durable")) return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
