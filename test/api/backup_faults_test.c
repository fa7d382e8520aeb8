/* backup_faults_test.c - what becomes of backups and restored copies when files are damaged, the
 * process is killed or the disk fails: the source stays as it was, and the target is whole or no
 * database. */
#define _GNU_SOURCE
#include "support/backup_place.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- damage ---------------------------------------------------------------------------------- */

struct files {
    char paths[256][512];
    int count;
};
static struct files files;

static int note_file(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)walk;
    if (type != FTW_F || status->st_size == 0 || files.count == 256) return 0;
    (void)snprintf(files.paths[files.count++], sizeof files.paths[0], "%s", path);
    return 0;
}

/* One bit of the middle. The same bytes again by the second call. */
static void flip(const char *path) {
    struct stat status;
    unsigned char byte;
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    assert_int_equal(fstat(file, &status), 0);
    assert_int_equal(pread(file, &byte, 1, status.st_size / 2), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(file, &byte, 1, status.st_size / 2), 1);
    assert_int_equal(close(file), 0);
}

static bool opens(const char *path) {
    kh_options options = kit_options();
    kh_db *db = NULL;
    options.path = path;
    options.flags = KH_OPEN_READ_ONLY;
    kh_status status = kh_db_open(&options, &db, NULL);
    if (status == KH_OK) kit_close(db);
    return status == KH_OK;
}

static void test_damage_is_refused(void **state) {
    (void)state;
    struct backup_place f;
    place_open(&f, KH_OPEN_NO_THREADS);
    for (int i = 0; i < 20; i++) place_put_ballast(f.db, i);
    (void)place_back_up(&f, 0);
    memset(&files, 0, sizeof files);
    assert_int_equal(nftw(f.backups, note_file, 16, FTW_PHYS), 0);
    int refused = 0;
    for (int i = 0; i < files.count; i++) {
        if (strstr(files.paths[i], "/LOCK") != NULL) continue;
        flip(files.paths[i]);
        char to[512];
        (void)snprintf(to, sizeof to, "%s", place_fresh(&f));
        kh_status status = kh_backup_restore(f.backups, 1, to, NULL, NULL, NULL);
        if (status == KH_OK) fail_msg("%s may be damaged", files.paths[i]);
        assert_true(status == KH_CORRUPT || status == KH_IO);
        assert_int_equal(access(to, F_OK), -1); /* nothing of it is left */
        flip(files.paths[i]);
        refused++;
    }
    assert_true(refused >= 8);
    kit_close(place_restore(&f, 1, 0));
    /* Missing files, too. */
    for (int i = 0; i < files.count; i++) {
        if (strstr(files.paths[i], ".sst") == NULL) continue;
        assert_int_equal(unlink(files.paths[i]), 0);
        kit_is(kh_backup_restore(f.backups, 1, place_fresh(&f), NULL, NULL, NULL), KH_CORRUPT);
        break;
    }
    place_close(&f);
}

static char restore_to[512];

/* ---- kills and disks ------------------------------------------------------------------------- */

/* In a program of its own (RocksDB's threads do not live on in a forked child) that an alarm kills
 * after so long; its exit status, or a signal. */
static int run_until(uint64_t after_us, const char *what, const struct backup_place *f) {
    char program[] = "/proc/self/exe";
    char name[32];
    char time[32];
    char path[512];
    char backups[512];
    (void)snprintf(name, sizeof name, "%s", what);
    (void)snprintf(time, sizeof time, "%llu", (unsigned long long)after_us);
    (void)snprintf(path, sizeof path, "%s", f->path);
    (void)snprintf(backups, sizeof backups, "%s", f->backups);
    char *const arguments[] = {program, name, time, path, backups, restore_to, NULL};
    pid_t child = fork();
    if (child == 0) {
        (void)execv(program, arguments);
        _exit(8);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int back_up_once(struct backup_place *f) {
    kh_db *db = NULL;
    if (kh_db_open(&f->options, &db, NULL) != KH_OK) return 1;
    kit_store(db, "k", 2);
    if (kh_backup(db, f->backups, NULL, NULL, NULL) != KH_OK) return 2;
    return kh_db_close(db) == KH_OK ? 0 : 3;
}

static int restore_once(struct backup_place *f) {
    return kh_restore(f->path, restore_to, NULL, NULL, NULL) == KH_OK ? 0 : 1;
}

static int restore_backup_once(struct backup_place *f) {
    return kh_backup_restore(f->backups, 0, restore_to, NULL, NULL, NULL) == KH_OK ? 0 : 1;
}

static void target_is_whole_or_none(struct backup_place *f, bool is_ended) {
    kh_options options = kit_options();
    kh_db *db = NULL;
    options.path = restore_to;
    bool has_identity = false;
    char identity[600];
    (void)snprintf(identity, sizeof identity, "%s/KHONSU", restore_to);
    has_identity = access(identity, F_OK) == 0;
    assert_true(has_identity || !is_ended);
    if (has_identity) {
        kit_is(kh_db_open(&options, &db, NULL), KH_OK);
        assert_true(kit_load(db, "k") == 1 || kit_load(db, "k") == 2);
        kit_close(db);
    } else if (access(restore_to, F_OK) == 0) {
        kh_status status = kh_restore(f->path, restore_to, NULL, NULL, NULL);
        assert_true(status == KH_OK || status == KH_INVALID); /* as good as new, or half made */
        options.flags |= KH_OPEN_READ_ONLY;
        kit_is(kh_db_open(&options, &db, NULL), status);
        if (status == KH_OK) kit_close(db);
    }
}

static void test_kills(void **state) {
    (void)state;
    static const char *const runs[] = {"back-up", "restore", "restore-backup"};
    struct backup_place f;
    place_open(&f, KH_OPEN_NO_THREADS);
    f.options.flags = 0;
    kit_store(f.db, "k", 1);
    for (int i = 0; i < 20; i++) place_put_ballast(f.db, i);
    (void)place_back_up(&f, 0);
    kit_close(f.db);
    f.db = NULL;
    for (int run = 0; run < 3; run++) {
        uint64_t after_us = 500;
        for (int ended = 0; ended < 2; after_us += after_us / 4) {
            (void)snprintf(restore_to, sizeof restore_to, "%s", place_fresh(&f));
            int status = run_until(after_us, runs[run], &f);
            bool is_ended = WIFEXITED(status);
            if (is_ended) assert_int_equal(WEXITSTATUS(status), 0);
            if (!is_ended) assert_int_equal(WTERMSIG(status), SIGALRM);
            ended += is_ended;
            if (run > 0) target_is_whole_or_none(&f, is_ended);
        }
    }
    /* The source, and every backup on the list. */
    struct backup_listed listed = place_list(&f);
    for (int i = 0; i < listed.count; i++)
        kit_close(place_restore(&f, listed.entries[i].number, 0));
    f.db = kit_open_with(&f.options);
    kit_load_is(f.db, "k", 2);
    (void)place_back_up(&f, 0);
    kit_is(kh_backup_purge(f.backups, 1, NULL), KH_OK);
    kh_db *db = place_restore(&f, 0, 0);
    kit_load_is(db, "k", 2);
    kit_close(db);
    place_close(&f);
}

static uint64_t room;

/* Files may not grow beyond a size: every write that goes beyond fails. */
static int restore_with_little_room(struct backup_place *f) {
    struct rlimit limit = {room, RLIM_INFINITY};
    (void)signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 9;
    kh_status status = kh_backup_restore(f->backups, 0, restore_to, NULL, NULL, NULL);
    if (status == KH_OK) return 0;
    return status == KH_IO || status == KH_NO_SPACE || status == KH_CORRUPT ? 1 : 2;
}

static void test_failing_disks(void **state) {
    (void)state;
    struct backup_place f;
    place_open(&f, KH_OPEN_NO_THREADS);
    kit_store(f.db, "k", 1);
    for (int i = 0; i < 20; i++) place_put_ballast(f.db, i);
    (void)place_back_up(&f, 0);
    int refused = 0;
    int status = -1;
    for (uint64_t bytes = 1000; status != 0 && bytes < 100000000; bytes *= 2) {
        (void)snprintf(restore_to, sizeof restore_to, "%s", place_fresh(&f));
        status = run_until(bytes, "little-room", &f);
        /* Debian's RocksDB has assertions of its own, which some failed writes break. */
        bool is_asserted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
        assert_true(is_asserted || (WIFEXITED(status) && WEXITSTATUS(status) <= 1));
        bool is_refused = WIFEXITED(status) && WEXITSTATUS(status) == 1;
        refused += is_refused;
        assert_true(opens(restore_to) == (status == 0));
        if (is_refused) assert_int_equal(access(restore_to, F_OK), -1);
    }
    assert_int_equal(status, 0);
    assert_true(refused > 0);
    /* A backup that cannot be written is reported, is not on the list, and is nobody's loss. */
    char place[600];
    char aside[600];
    (void)snprintf(place, sizeof place, "%s/values", f.backups);
    (void)snprintf(aside, sizeof aside, "%s/aside", f.backups);
    assert_int_equal(rename(place, aside), 0);
    int file = open(place, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(close(file), 0);
    kit_store(f.db, "k", 2);
    kit_is(kh_backup(f.db, f.backups, NULL, NULL, NULL), KH_IO);
    assert_int_equal(unlink(place), 0);
    assert_int_equal(rename(aside, place), 0);
    assert_int_equal(place_list(&f).count, 1);
    kit_store(f.db, "k", 3);
    (void)place_back_up(&f, 0);
    kh_db *db = place_restore(&f, 2, 0);
    kit_load_is(db, "k", 3);
    kit_close(db);
    place_close(&f);
}

static int run_child(char **argv) {
    static const struct {
        const char *name;
        int (*run)(struct backup_place *f);
    } runs[] = {{"back-up", back_up_once},
                {"restore", restore_once},
                {"restore-backup", restore_backup_once},
                {"little-room", restore_with_little_room}};
    uint64_t after_us = strtoull(argv[2], NULL, 10);
    struct itimerval timer = {.it_value = {.tv_sec = (time_t)(after_us / 1000000),
                                           .tv_usec = (suseconds_t)(after_us % 1000000)}};
    static struct backup_place f;
    (void)snprintf(f.path, sizeof f.path, "%s", argv[3]);
    (void)snprintf(f.backups, sizeof f.backups, "%s", argv[4]);
    (void)snprintf(restore_to, sizeof restore_to, "%s", argv[5]);
    f.options = kit_options();
    f.options.path = f.path;
    f.options.flags = 0;
    f.options.retention_ms = 3600000;
    room = after_us;
    if (strcmp(argv[1], "little-room") != 0 && setitimer(ITIMER_REAL, &timer, NULL) != 0) return 9;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        if (strcmp(argv[1], runs[i].name) == 0) return runs[i].run(&f);
    return 7;
}

int main(int argc, char **argv) {
    if (argc == 6) return run_child(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damage_is_refused),
        cmocka_unit_test(test_kills),
        cmocka_unit_test(test_failing_disks),
    };
    if (!kh_has_feature("durable")) return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
