/* backup_test.c - backups of live databases, and what is restored from them: incremental, and whole
 * states while others commit. */
#define _GNU_SOURCE
#include "support/backup_place.h"

#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- sizes ----------------------------------------------------------------------------------- */

static uint64_t sum_bytes;

static int add_size(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)path;
    (void)walk;
    if (type == FTW_F) sum_bytes += (uint64_t)status->st_size;
    return 0;
}

static uint64_t size_of(const char *path) {
    sum_bytes = 0;
    assert_int_equal(nftw(path, add_size, 16, FTW_PHYS), 0);
    return sum_bytes;
}

/* ---- one after the other --------------------------------------------------------------------- */

static void test_incremental(void **state) {
    (void)state;
    struct backup_place f;
    kh_timestamp at[4];
    kh_identity last = {{0}, {0}};
    place_open(&f, KH_OPEN_NO_THREADS);
    for (int i = 0; i < 100; i++) place_put_ballast(f.db, i);
    for (int i = 0; i < 4; i++) {
        uint64_t before = i == 0 ? 0 : size_of(f.backups);
        kit_store(f.db, "k", i);
        at[i] = kh_db_now(f.db);
        kh_backup_entry entry = place_back_up(&f, i % 2 == 0 ? 0 : KH_BACKUP_QUICK);
        assert_int_equal(entry.number, i + 1);
        assert_int_equal(entry.timestamp, at[i]);
        assert_true(entry.size_bytes > 1000000);
        /* By the fourth the storage may have put its small files together with the large one. */
        if (i > 0 && i < 3) assert_true(size_of(f.backups) - before < 100000);
        kit_store(f.db, "k", 100 + i); /* after the backup */
        assert_int_equal(place_list(&f).count, i + 1);
    }
    for (int i = 0; i < 4; i++) {
        kh_db *db = place_restore(&f, (uint64_t)i + 1, 0);
        kh_identity old = kh_db_identity(f.db);
        kh_identity new = kh_db_identity(db);
        assert_memory_not_equal(&old, &new, sizeof old);
        assert_memory_not_equal(&last, &new, sizeof last);
        last = new;
        kit_load_is(db, "k", i);
        kh_changes *changes = NULL; /* nobody is told that nothing has changed */
        kit_is(kh_changes_open(db, at[i] - 1, NULL, &changes, NULL), KH_TOO_OLD);
        kit_is(kh_changes_open(db, kh_db_now(db), NULL, &changes, NULL), KH_OK);
        kh_changes_close(changes);
        kit_close(db);
        for (int earlier = 0; earlier <= i; earlier++) {
            db = place_restore(&f, (uint64_t)i + 1, at[earlier]);
            kit_load_is(db, "k", earlier);
            kit_close(db);
        }
    }
    kh_db *db = place_restore(&f, 0, 0);
    kit_load_is(db, "k", 3);
    kit_close(db);
    place_close(&f);
}

static void test_purge(void **state) {
    (void)state;
    struct backup_place f;
    place_open(&f, KH_OPEN_NO_THREADS);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 50; i++) place_put_ballast(f.db, i);
        kit_is(kh_db_compact(f.db, NULL), KH_OK);
        (void)place_back_up(&f, 0);
    }
    uint64_t before = size_of(f.backups);
    kit_is(kh_backup_purge(f.backups, 0, NULL), KH_INVALID);
    kit_is(kh_backup_purge(f.backups, 5, NULL), KH_OK);
    assert_int_equal(place_list(&f).count, 3);
    kit_is(kh_backup_purge(f.backups, 1, NULL), KH_OK);
    struct backup_listed left = place_list(&f);
    assert_int_equal(left.count, 1);
    assert_int_equal(left.entries[0].number, 3);
    assert_true(size_of(f.backups) < before);
    kit_is(kh_backup_restore(f.backups, 2, place_fresh(&f), NULL, NULL, NULL), KH_NOT_FOUND);
    kit_close(place_restore(&f, 3, 0));
    assert_int_equal(place_back_up(&f, 0).number, 4);
    kit_close(place_restore(&f, 4, 0));
    place_close(&f);
}

static void test_wrong_places(void **state) {
    (void)state;
    struct backup_place f;
    struct backup_place other;
    kh_error error = {""};
    place_open(&f, KH_OPEN_NO_THREADS);
    place_open(&other, KH_OPEN_NO_THREADS);
    kit_store(f.db, "k", 1);
    kit_is(kh_backup(f.db, f.path, NULL, NULL, NULL), KH_INVALID);
    kit_is(kh_backup(f.db, directory_join(&f.directory, "no/such"), NULL, NULL, NULL), KH_IO);
    kit_is(kh_backup_list(f.backups, place_list_one, NULL, NULL), KH_INVALID);
    kit_is(kh_backup_restore(f.backups, 0, place_fresh(&f), NULL, NULL, NULL), KH_INVALID);
    (void)place_back_up(&f, 0);
    kit_is(kh_backup(other.db, f.backups, NULL, NULL, &error), KH_INVALID);
    assert_non_null(strstr(error.message, "another database"));
    kit_is(kh_backup_restore(f.backups, 9, place_fresh(&f), NULL, NULL, NULL), KH_NOT_FOUND);
    kit_is(kh_restore(f.backups, f.path, NULL, NULL, NULL), KH_INVALID);
    kit_is(kh_restore(f.path, f.backups, NULL, NULL, &error), KH_INVALID);
    assert_non_null(strstr(error.message, "not empty"));
    kit_is(kh_restore(f.directory.path, place_fresh(&f), NULL, NULL, NULL), KH_INVALID);
    kh_options options = kit_options();
    kh_db *memory = kit_open_with(&options);
    if (kit_env("KH_TEST_LOG", 0) == 0 && getenv("KH_TEST_LOG") == NULL)
        kit_is(kh_backup(memory, f.backups, NULL, NULL, NULL), KH_UNSUPPORTED);
    kit_close(memory);
    const char *to = place_fresh(&f);
    kit_is(kh_restore(f.backups, to, NULL, NULL, NULL), KH_OK);
    kh_db *db = place_open_copy(to);
    kit_load_is(db, "k", 1);
    kit_close(db);
    place_close(&other);
    place_close(&f);
}

static bool is_there(const char *path) {
    return access(path, F_OK) == 0;
}

/* A copy among the files of what it is copied from. */
static void test_places_within(void **state) {
    (void)state;
    struct backup_place f;
    char within[600];
    kh_error error = {""};
    place_open(&f, KH_OPEN_NO_THREADS);
    kit_store(f.db, "k", 1);
    (void)place_back_up(&f, 0);
    (void)snprintf(within, sizeof within, "%s/copy", f.path);
    kit_is(kh_backup(f.db, within, NULL, NULL, &error), KH_INVALID);
    assert_non_null(strstr(error.message, "lies in the directory of the database itself"));
    kit_is(kh_backup(f.db, f.path, NULL, NULL, &error), KH_INVALID);
    kit_is(kh_restore(f.path, within, NULL, NULL, &error), KH_INVALID);
    assert_non_null(strstr(error.message, "lies in"));
    kit_is(kh_restore(f.path, f.path, NULL, NULL, &error), KH_INVALID);
    assert_non_null(strstr(error.message, "lies in"));
    assert_false(is_there(within));
    const char *link = directory_join(&f.directory, "link");
    assert_int_equal(symlink(f.path, link), 0);
    (void)snprintf(within, sizeof within, "%s/copy", link);
    kit_is(kh_backup(f.db, within, NULL, NULL, NULL), KH_INVALID);
    kit_is(kh_restore(f.path, within, NULL, NULL, NULL), KH_INVALID);
    (void)snprintf(within, sizeof within, "%s/copy", f.backups);
    kit_is(kh_restore(f.backups, within, NULL, NULL, NULL), KH_INVALID);
    kit_is(kh_backup_restore(f.backups, 1, within, NULL, NULL, NULL), KH_INVALID);
    assert_false(is_there(within));
    place_close(&f);
}

/* A directory that was there stays, and is empty; one that was not is not. */
static void test_failures_leave_nothing(void **state) {
    (void)state;
    struct backup_place f;
    kh_restore_options options = KH_RESTORE_OPTIONS_INIT;
    options.to = UINT64_MAX; /* the future */
    place_open(&f, KH_OPEN_NO_THREADS);
    kit_store(f.db, "k", 1);
    (void)place_back_up(&f, 0);
    for (int is_made = 0; is_made < 2; is_made++) {
        const char *to = place_fresh(&f);
        if (is_made) assert_int_equal(mkdir(to, 0700), 0);
        kit_is(kh_restore(f.path, to, &options, NULL, NULL), KH_INVALID);
        assert_int_equal(is_there(to), is_made);
        kit_is(kh_backup_restore(f.backups, 1, to, &options, NULL, NULL), KH_INVALID);
        assert_int_equal(is_there(to), is_made);
        if (is_made) assert_int_equal(rmdir(to), 0);
    }
    place_close(&f);
}

/* ---- while others commit --------------------------------------------------------------------- */

enum { ACCOUNTS = 8, EACH = 1000, THREADS = 2 };

struct worker {
    pthread_t thread;
    kh_db *db;
    int index;
    _Atomic int64_t acknowledged;
    _Atomic bool *is_ended;
};

/* Transfers, and of each worker a count of them, in the same transaction. By hand: the kit is for
 * one thread. */
static int64_t number_in(kh_txn *txn, const char *key) {
    kh_batch *batch = NULL;
    if (kh_txn_get(txn, kit_key(key), &batch, NULL) != KH_OK) return 0;
    int64_t number = kit_number_of(batch);
    kh_batch_release(batch);
    return number;
}

static kh_status put_in(kh_db *db, kh_txn *txn, const char *key, int64_t number) {
    static const char *const names[] = {"n"};
    static const char *const formats[] = {"l"};
    kh_scalar scalar = {KH_SCALAR_INT64, {.int64 = number}};
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    kh_status status = kh_schema_build(db, names, formats, 1, &schema, NULL);
    if (status == KH_OK) status = kh_batch_build(db, schema, &scalar, 1, &batch, NULL);
    if (status == KH_OK) status = kh_txn_put(txn, kit_key(key), batch, NULL);
    kh_batch_release(batch);
    kh_schema_release(schema);
    return status;
}

static bool transfer(struct worker *worker, int64_t count) {
    char from[32];
    char to[32];
    char mine[32];
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.isolation = KH_SERIALIZABLE;
    (void)snprintf(from, sizeof from, "a%d", (int)(count % ACCOUNTS));
    (void)snprintf(to, sizeof to, "a%d", (int)((count * 3 + 1) % ACCOUNTS));
    (void)snprintf(mine, sizeof mine, "worker%d", worker->index);
    if (kh_txn_begin(worker->db, &options, &txn, NULL) != KH_OK) return false;
    bool is_good = put_in(worker->db, txn, from, number_in(txn, from) - 1) == KH_OK;
    is_good = is_good && put_in(worker->db, txn, to, number_in(txn, to) + 1) == KH_OK;
    is_good = is_good && put_in(worker->db, txn, mine, count) == KH_OK;
    is_good = is_good && kh_txn_commit(txn, NULL, NULL) == KH_OK;
    kh_txn_close(txn);
    return is_good;
}

static void *work(void *context) {
    struct worker *worker = context;
    for (int64_t count = 1; !atomic_load(worker->is_ended); count++) {
        while (!transfer(worker, count) && !atomic_load(worker->is_ended)) {
        }
        if (!atomic_load(worker->is_ended)) atomic_store(&worker->acknowledged, count);
    }
    return NULL;
}

static void check_state(kh_db *db, const int64_t least[THREADS]) {
    kh_txn *txn = kit_begin(db, KH_SERIALIZABLE);
    int64_t sum = 0;
    for (int i = 0; i < ACCOUNTS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "a%d", i);
        sum += kit_get(txn, name);
    }
    assert_int_equal(sum, ACCOUNTS * EACH);
    for (int i = 0; i < THREADS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "worker%d", i);
        assert_true(number_in(txn, name) >= least[i]);
    }
    kit_rollback(txn);
}

static void test_while_others_commit(void **state) {
    (void)state;
    struct backup_place f;
    struct worker workers[THREADS];
    _Atomic bool is_ended = false;
    int64_t least[5][THREADS];
    int64_t acknowledged[THREADS];
    place_open(&f, 0);
    kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
    for (int i = 0; i < ACCOUNTS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "a%d", i);
        kit_put(txn, name, EACH);
    }
    kit_commit_ok(txn);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.db = f.db, .index = i, .is_ended = &is_ended};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    const char *copies[5];
    char paths[5][512];
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < THREADS; i++)
            acknowledged[i] = least[round][i] = atomic_load(&workers[i].acknowledged);
        (void)place_back_up(&f, round % 2 == 0 ? 0 : KH_BACKUP_QUICK);
        if (round % 2 == 1) kit_is(kh_db_compact(f.db, NULL), KH_OK);
        /* And a copy of the live directory. */
        (void)snprintf(paths[round], sizeof paths[round], "%s", place_fresh(&f));
        copies[round] = paths[round];
        kit_is(kh_restore(f.path, copies[round], NULL, NULL, NULL), KH_OK);
        kh_db *copy = place_open_copy(copies[round]);
        check_state(copy, acknowledged);
        kit_close(copy);
    }
    atomic_store(&is_ended, true);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    for (int round = 0; round < 5; round++) {
        kh_db *copy = place_restore(&f, (uint64_t)round + 1, 0);
        check_state(copy, least[round]);
        kit_close(copy);
    }
    place_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_incremental),
        cmocka_unit_test(test_purge),
        cmocka_unit_test(test_wrong_places),
        cmocka_unit_test(test_places_within),
        cmocka_unit_test(test_failures_leave_nothing),
        cmocka_unit_test(test_while_others_commit),
    };
    if (!kh_has_feature("durable")) return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
