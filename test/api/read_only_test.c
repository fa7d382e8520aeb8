/* read_only_test.c - databases opened to be read: nothing is written, by anybody's account; beside
 * a writer, many times over, each opening sees all that was acknowledged before, and no half of
 * anything. */
#define _GNU_SOURCE
#include "support/path_fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void open_fixture(struct fixture *f, uint32_t flags) {
    make_fixture(f, flags);
    f->db = kit_open_with(&f->options);
}

static kh_options to_read(const char *path) {
    kh_options options = kit_options();
    options.path = path;
    options.flags = KH_OPEN_READ_ONLY | KH_OPEN_NO_THREADS;
    return options;
}

static void open_fails(const kh_options *options, kh_status expected, const char *says) {
    kh_db *db = NULL;
    kh_error error = {""};
    kit_is(kh_db_open(options, &db, &error), expected);
    if (strstr(error.message, says) == NULL) fail_msg("%s", error.message);
}

/* ---- what may not be done -------------------------------------------------------------------- */

static void test_writes_are_refused(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS);
    kit_store(f.db, "k", 1);
    kh_txn *prepared = kit_begin(f.db, KH_SERIALIZABLE);
    kit_put(prepared, "p", 1);
    kh_txn_id id = kh_txn_get_id(prepared);
    kit_is(kh_txn_prepare(prepared, NULL), KH_OK);
    kh_txn_close(prepared);
    for (uint32_t threads = 0; threads < 2; threads++) {
        kh_options options = to_read(f.directory.path);
        if (threads) options.flags = KH_OPEN_READ_ONLY;
        kh_db *db = kit_open_with(&options);
        for (int level = 0; level < 3; level++) {
            kh_txn *txn = kit_begin(db, kit_levels[level]);
            kh_batch *one = kit_number(db, 1);
            kit_get_is(txn, "k", 1);
            kit_get_is(txn, "p", KIT_ABSENT);
            kit_is(kh_txn_put(txn, kit_key("k"), one, NULL), KH_READ_ONLY);
            kit_is(kh_txn_delete(txn, kit_key("k"), NULL), KH_READ_ONLY);
            kit_get_is(txn, "k", 1);
            kh_batch_release(one);
            kit_commit_ok(txn);
            txn = kit_begin(db, kit_levels[level]);
            assert_true(kh_txn_get_id(txn).low >> 63);
            kit_is(kh_txn_prepare(txn, NULL), KH_READ_ONLY);
            kit_rollback(txn);
        }
        kit_is(kh_db_decide(db, id, true, NULL, NULL), KH_READ_ONLY);
        kit_is(kh_db_compact(db, NULL), KH_READ_ONLY);
        kit_is(kh_backup(db, "/nowhere", NULL, NULL, NULL), KH_READ_ONLY);
        kh_db_step(db);
        kit_load_is(db, "k", 1);
        kit_close(db);
    }
    kit_is(kh_db_decide(f.db, id, true, NULL, NULL), KH_OK);
    close_fixture(&f);
}

static void test_wrong_places(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS);
    kit_store(f.db, "k", 1);
    kit_close(f.db);
    kh_options options = to_read(directory_join(&f.directory, "absent"));
    open_fails(&options, KH_INVALID, "not a database");
    assert_int_not_equal(access(options.path, F_OK), 0);
    options.path = NULL;
    open_fails(&options, KH_INVALID, "without a path");
    options = to_read(f.directory.path);
    options.flags = KH_OPEN_NO_THREADS;
    options.as_of = 1;
    open_fails(&options, KH_INVALID, "as_of");
    /* Nobody writes: damage is called damage. */
    options = to_read(f.directory.path);
    int file = open(directory_join(&f.directory, "MARK"), O_WRONLY);
    assert_int_equal(pwrite(file, "x", 1, 40), 1);
    assert_int_equal(close(file), 0);
    open_fails(&options, KH_CORRUPT, "MARK is damaged");
    assert_int_equal(unlink(directory_join(&f.directory, "MARK")), 0);
    open_fails(&options, KH_CORRUPT, "MARK is missing");
    directory_remove(&f.directory);
}

/* ---- nothing is changed ---------------------------------------------------------------------- */

static uint64_t seen;

static int see_one(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)type;
    (void)walk;
    uint64_t parts[] = {(uint64_t)status->st_size,        (uint64_t)status->st_ino,
                        (uint64_t)status->st_mtim.tv_sec, (uint64_t)status->st_mtim.tv_nsec,
                        (uint64_t)status->st_ctim.tv_sec, (uint64_t)status->st_ctim.tv_nsec};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        seen = seen * 0x9e3779b97f4a7c15u + parts[i];
    for (; *path != '\0'; path++) seen = seen * 31 + (unsigned char)*path;
    return 0;
}

/* Names, sizes and times of every file: a write, even of the same bytes, would show. */
static uint64_t look(const struct directory *directory) {
    seen = 0;
    assert_int_equal(nftw(directory->path, see_one, 16, FTW_PHYS), 0);
    return seen;
}

static void read_once(const struct directory *directory, int64_t expected) {
    kh_options options = to_read(directory->path);
    kh_db *db = kit_open_with(&options);
    kit_load_is(db, "k", expected);
    kh_db_step(db);
    kit_close(db);
}

static void test_nothing_is_changed(void **state) {
    (void)state;
    struct fixture f;
    struct directory crashed;
    open_fixture(&f, KH_OPEN_NO_THREADS);
    for (int i = 0; i < 200; i++) {
        kit_store(f.db, "k", i);
        if (i % 50 == 0) kh_db_step(f.db);
    }
    uint64_t before = look(&f.directory);
    read_once(&f.directory, 199);
    assert_true(look(&f.directory) == before);
    /* What a crash leaves is read as it is. */
    directory_make(&crashed);
    directory_copy(&f.directory, &crashed);
    before = look(&crashed);
    read_once(&crashed, 199);
    read_once(&crashed, 199);
    assert_true(look(&crashed) == before);
    kh_options options = kit_options();
    options.path = crashed.path;
    kh_db *db = kit_open_with(&options);
    kit_load_is(db, "k", 199);
    kit_close(db);
    directory_remove(&crashed);
    kit_close(f.db);
    before = look(&f.directory);
    read_once(&f.directory, 199);
    assert_true(look(&f.directory) == before);
    directory_remove(&f.directory);
}

/* ---- beside a writer ------------------------------------------------------------------------- */

enum { ACCOUNTS = 10, EACH = 100 };

static int openings(void) {
    return (int)kit_env("KH_TEST_OPENINGS", 40);
}

struct shared {
    _Atomic int64_t acknowledged; /* the count of transfers, 0 before the first state is there */
    _Atomic int64_t busy;
};

static const char *account(int i) {
    static char name[16];
    (void)snprintf(name, sizeof name, "account%d", i);
    return name;
}

/* In the child: 0, or what was wrong. */
static int read_beside(const char *path, struct shared *shared) {
    while (shared->acknowledged == 0) (void)sched_yield();
    for (int i = 0; i < openings(); i++) {
        kh_options options = to_read(path);
        kh_db *db = NULL;
        kh_error error = {""};
        int64_t before = shared->acknowledged;
        kh_status status = kh_db_open(&options, &db, &error);
        if (status == KH_BUSY) shared->busy++;
        if (status == KH_BUSY) continue;
        if (status != KH_OK) fprintf(stderr, "%s\n", error.message);
        if (status != KH_OK) return 2;
        kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
        int64_t sum = 0;
        for (int a = 0; a < ACCOUNTS; a++) sum += kit_get(txn, account(a));
        if (sum != ACCOUNTS * EACH) return 3;
        if (kit_get(txn, "count") < before) return 4;
        kit_rollback(txn);
        if (kh_db_close(db) != KH_OK) return 5;
    }
    return 0;
}

static void transfer(kh_db *db, int64_t i, kh_batch *ballast) {
    char name[16];
    int from = (int)(i % ACCOUNTS);
    int to = (int)(i * 7 % ACCOUNTS);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_put(txn, account(from), kit_get(txn, account(from)) - 1);
    kit_put(txn, account(to), kit_get(txn, account(to)) + 1);
    kit_put(txn, "count", i);
    (void)snprintf(name, sizeof name, "b%d", (int)(i % 1000));
    kit_is(kh_txn_put(txn, kit_key(name), ballast, NULL), KH_OK);
    kit_commit_ok(txn);
}

static kh_batch *make_ballast(kh_db *db) {
    char text[KIT_TEXT_BYTES] = "";
    for (int i = 0; i < 20; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%d=%d/%d ", i, i, i);
    return kit_rows(db, text);
}

static void test_beside_a_writer(void **state) {
    (void)state;
    struct fixture f;
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    directory_make(&f.directory);
    f.options = kit_options();
    f.options.path = f.directory.path;
    pid_t child = fork();
    if (child == 0) _exit(read_beside(f.directory.path, shared));
    f.options.flags = 0;
    f.options.sync = KH_SYNC_GROUP;
    f.options.sync_delay_us = 1;
    f.db = kit_open_with(&f.options);
    kh_batch *ballast = make_ballast(f.db);
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    for (int a = 0; a < ACCOUNTS; a++) kit_put(txn, account(a), EACH);
    kit_commit_ok(txn);
    int status = 0;
    pid_t ended = 0;
    for (int64_t i = 1; ended == 0; i++) {
        transfer(f.db, i, ballast);
        shared->acknowledged = i;
        /* Flushes, trims and compactions: files come and go under the reader. */
        if (i % 50 == 0) kit_is(kh_db_compact(f.db, NULL), KH_OK);
        ended = waitpid(child, &status, WNOHANG);
    }
    assert_int_equal(ended, child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    if (shared->busy > 0) printf("busy: %d\n", (int)shared->busy);
    assert_true(shared->busy < openings() / 2);
    kh_batch_release(ballast);
    close_fixture(&f);
    (void)munmap(shared, sizeof *shared);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        /* First: it forks, and RocksDB's threads do not come along. */
        cmocka_unit_test(test_beside_a_writer),
        cmocka_unit_test(test_writes_are_refused),
        cmocka_unit_test(test_wrong_places),
        cmocka_unit_test(test_nothing_is_changed),
    };
    if (!kh_has_feature("durable")) return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
