/* durable_test.c - databases with a path: what was committed is there when they are opened again,
 * under each sync policy, with and without threads; who else may open them; what the directory must
 * look like. */
#include "support/path_fixture.h"
#include "support/foreign.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void open_fixture(struct fixture *f, uint32_t flags, kh_sync sync) {
    make_fixture(f, flags);
    f->options.sync = sync;
    f->db = kit_open_with(&f->options);
}

static void open_fails(const struct fixture *f, kh_status expected, const char *says) {
    kh_db *db = NULL;
    kh_error error = {""};
    kit_is(kh_db_open(&f->options, &db, &error), expected);
    if (strstr(error.message, says) == NULL) fail_msg("%s", error.message);
}

/* ---- round trips ----------------------------------------------------------------------------- */

static void one_round_trip(uint32_t flags, kh_sync sync) {
    struct fixture f;
    open_fixture(&f, flags, sync);
    kh_identity before = kh_db_identity(f.db);
    kh_timestamp last = 0;
    kh_txn_id last_id = {0};
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 50; i++) {
            char key[16];
            (void)snprintf(key, sizeof key, "k%d", i);
            kit_store(f.db, key, round * 1000 + i);
        }
        kit_store(f.db, "gone", 1);
        kit_store(f.db, "gone", KIT_ABSENT);
        assert_true(kh_db_now(f.db) > last);
        last = kh_db_now(f.db);
        reopen(&f);
        assert_true(kh_db_now(f.db) >= last);
        kh_txn *txn = kit_begin(f.db, KH_REPEATABLE_READ);
        for (int i = 0; i < 50; i++) {
            char key[16];
            (void)snprintf(key, sizeof key, "k%d", i);
            kit_get_is(txn, key, round * 1000 + i);
        }
        kit_get_is(txn, "gone", KIT_ABSENT);
        kh_txn_id id = kh_txn_get_id(txn);
        assert_true(id.low > last_id.low);
        last_id = id;
        kit_rollback(txn);
    }
    kh_identity after = kh_db_identity(f.db);
    assert_memory_equal(&before, &after, sizeof before);
    close_fixture(&f);
}

static void test_round_trips(void **state) {
    (void)state;
    for (kh_sync sync = KH_SYNC_FULL; sync <= KH_SYNC_NONE; sync++) {
        one_round_trip(KH_OPEN_NO_THREADS, sync);
        one_round_trip(0, sync);
    }
}

/* A transaction's own policy; a full one makes what came before it durable. */
static void test_policy_of_a_transaction(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS, KH_SYNC_NONE);
    kit_store(f.db, "a", 1);
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.sync = KH_SYNC_FULL;
    kh_txn *txn = NULL;
    kit_is(kh_txn_begin(f.db, &options, &txn, NULL), KH_OK);
    kit_put(txn, "b", 2);
    kit_commit_ok(txn);
    options.sync = (kh_sync)4;
    kit_is(kh_txn_begin(f.db, &options, &txn, NULL), KH_INVALID);
    close_fixture(&f);
}

static kh_batch *make_batch(kh_db *db, const char *type, int64_t rows) {
    struct foreign_random random = {.state = 7, .has_offsets = true, .has_nulls = true};
    struct ArrowSchema schema;
    struct ArrowArray array;
    kh_schema *interned = NULL;
    kh_batch *batch = NULL;
    foreign_table(&schema, type);
    foreign_fill(&random, &schema, rows, &array);
    kit_is(kh_schema_import(db, &schema, &interned, NULL), KH_OK);
    kit_is(kh_batch_import(db, interned, &array, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
    kh_schema_release(interned);
    return batch;
}

static void put_batch(kh_db *db, const char *key, const kh_batch *batch) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_is(kh_txn_put(txn, kit_key(key), batch, NULL), KH_OK);
    kit_commit_ok(txn);
}

static void batch_is(kh_db *db, const char *key, const kh_batch *expected) {
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *batch = NULL;
    bool is_equal = false;
    kit_is(kh_txn_get(txn, kit_key(key), &batch, NULL), KH_OK);
    kit_is(kh_batch_equal(batch, expected, &is_equal, NULL), KH_OK);
    if (!is_equal) fail_msg("%s is not what it was", key);
    kh_batch_release(batch);
    kit_rollback(txn);
}

/* What goes in comes out unchanged, of every type and size. */
static void test_every_type(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, 0, KH_SYNC_GROUP);
    for (int i = 0; i < foreign_type_count; i++) {
        kh_batch *batch = make_batch(f.db, foreign_types[i], 17);
        put_batch(f.db, foreign_types[i], batch);
        kh_batch_release(batch);
    }
    kh_batch *big = make_batch(f.db, "l", 3000000);
    put_batch(f.db, "big", big);
    for (int round = 0; round < 2; round++) {
        reopen(&f);
        for (int i = 0; i < foreign_type_count; i++) {
            kh_batch *batch = make_batch(f.db, foreign_types[i], 17);
            batch_is(f.db, foreign_types[i], batch);
            kh_batch_release(batch);
        }
        batch_is(f.db, "big", big);
    }
    kh_batch_release(big);
    close_fixture(&f);
}

static void count_message(void *context, kh_log_level level, const char *message) {
    (void)message;
    *(int *)context += level != KH_LOG_NOTICE; /* those are of the opening */
}

static kh_txn *begin_reader(kh_db *db) {
    return kit_begin_with(db, KH_REPEATABLE_READ, KH_DEFAULT_POLICY, KH_BEGIN_READ_ONLY);
}

/* A file of the log that ends with the first group that is still needed stays whole: a compaction
 * puts two groups into one, readers say which are needed, and the next round of upkeep, which reads
 * the second, would tell the message hook that it is gone. */
static void test_trimming_keeps_what_is_needed(void **state) {
    (void)state;
    struct fixture f;
    int messages = 0;
    open_fixture(&f, KH_OPEN_NO_THREADS, KH_SYNC_FULL);
    kit_close(f.db);
    f.options.message = count_message;
    f.options.message_context = &messages;
    f.db = kit_open_with(&f.options);
    kit_store(f.db, "k", 0);
    kh_txn *before_first = begin_reader(f.db);
    kit_store(f.db, "k", 1);
    kh_txn *before_second = begin_reader(f.db);
    kit_store(f.db, "k", 2);
    kit_is(kh_db_compact(f.db, NULL), KH_OK); /* both in one file, neither trimmed */
    kit_rollback(before_first);
    kit_is(kh_db_compact(f.db, NULL), KH_OK); /* the first is trimmed */
    kit_rollback(before_second);
    kit_is(kh_db_compact(f.db, NULL), KH_OK); /* the second is read */
    assert_int_equal(messages, 0);
    reopen(&f);
    kit_load_is(f.db, "k", 2);
    close_fixture(&f);
}

/* Prepared ones are still prepared, with their holds. */
static void test_prepared_stay(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS, KH_SYNC_FULL);
    kit_store(f.db, "k", 1);
    kh_txn *txn = kit_begin(f.db, KH_SERIALIZABLE);
    kit_get_is(txn, "k", 1);
    kit_put(txn, "k", 2);
    kh_txn_id id = kh_txn_get_id(txn);
    kit_is(kh_txn_prepare(txn, NULL), KH_OK);
    kh_txn_close(txn);
    for (int round = 0; round < 2; round++) {
        reopen(&f);
        txn = kit_begin(f.db, KH_REPEATABLE_READ);
        kit_put(txn, "k", 3);
        kit_is(kit_commit(txn), KH_HELD);
        kit_load_is(f.db, "k", 1);
    }
    kit_is(kh_db_decide(f.db, id, true, NULL, NULL), KH_OK);
    kit_load_is(f.db, "k", 2);
    reopen(&f);
    kit_load_is(f.db, "k", 2);
    kit_store(f.db, "k", 3);
    close_fixture(&f);
}

struct committer {
    kh_db *db;
    pthread_t thread;
    int number;
};

static void *commit_twice(void *argument) {
    struct committer *committer = argument;
    char key[16];
    (void)snprintf(key, sizeof key, "c%d", committer->number);
    kit_store(committer->db, key, 1);
    kit_store(committer->db, key, 2);
    return NULL;
}

/* Without the log's thread nobody is left behind by a writer that was under way and was the last to
 * come: who is would wait for ever, which the alarm ends. */
static void test_threads_without_threads(void **state) {
    (void)state;
    enum { COMMITTERS = 3, ROUNDS = 150, ALARM_S = 30 };
    struct committer committers[COMMITTERS];
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS, KH_SYNC_FULL);
    (void)alarm(ALARM_S);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < COMMITTERS; i++) {
            committers[i] = (struct committer){.db = f.db, .number = i};
            assert_int_equal(
                pthread_create(&committers[i].thread, NULL, commit_twice, &committers[i]), 0);
        }
        for (int i = 0; i < COMMITTERS; i++)
            assert_int_equal(pthread_join(committers[i].thread, NULL), 0);
    }
    (void)alarm(0);
    close_fixture(&f);
}

/* ---- who else -------------------------------------------------------------------------------- */

static void test_one_opening_at_a_time(void **state) {
    (void)state;
    struct fixture f;
    char pid[32];
    open_fixture(&f, KH_OPEN_NO_THREADS, KH_SYNC_FULL);
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    open_fails(&f, KH_IN_USE, pid);
    pid_t child = fork();
    if (child == 0) {
        kh_db *db = NULL;
        kh_error error;
        kh_status status = kh_db_open(&f.options, &db, &error);
        _exit(status == KH_IN_USE && strstr(error.message, pid) != NULL ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    kit_store(f.db, "k", 1);
    close_fixture(&f);
}

/* ---- directories ----------------------------------------------------------------------------- */

static void make_file(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(file), 0);
}

static void test_wrong_places(void **state) {
    (void)state;
    struct fixture f;
    directory_make(&f.directory);
    f.options = kit_options();
    make_file(directory_join(&f.directory, "file"), "x");
    f.options.path = f.directory.path;
    open_fails(&f, KH_INVALID, "not empty");
    f.options.path = directory_join(&f.directory, "file");
    open_fails(&f, KH_INVALID, "not a directory");
    f.options.path = directory_join(&f.directory, "no/such/parent");
    open_fails(&f, KH_IO, "errno 2");
    f.options.path = "";
    open_fails(&f, KH_INVALID, "path");
    f.options.path = directory_join(&f.directory, "new");
    f.options.sync_delay_us = 1000001;
    open_fails(&f, KH_INVALID, "delay");
    f.options.sync_delay_us = 0;
    f.db = kit_open_with(&f.options); /* makes the last directory */
    close_fixture(&f);
}

static void test_newer_format(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS, KH_SYNC_FULL);
    kit_close(f.db);
    make_file(directory_join(&f.directory, "KHONSU"), "khonsu database\nformat 2\nwhatever\n");
    open_fails(&f, KH_UNSUPPORTED, "newer");
    make_file(directory_join(&f.directory, "KHONSU"), "khonsu database\nformat 1\nwhatever\n");
    open_fails(&f, KH_CORRUPT, "damaged");
    directory_remove(&f.directory);
}

static size_t read_file(const char *path, char *out, size_t room) {
    int file = open(path, O_RDONLY);
    assert_true(file >= 0);
    ssize_t got = read(file, out, room);
    assert_true(got >= 0);
    assert_int_equal(close(file), 0);
    return (size_t)got;
}

static void write_file(const char *path, const char *bytes, size_t size_bytes) {
    int file = open(path, O_WRONLY | O_TRUNC);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, size_bytes), (ssize_t)size_bytes);
    assert_int_equal(close(file), 0);
}

/* Every bit of the two small files that say what the database is. */
static void test_damaged_files(void **state) {
    (void)state;
    static const struct {
        const char *name;
        size_t checked; /* bytes that mean something */
    } files[] = {{"KHONSU", 512}, {"MARK", 128}};
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS, KH_SYNC_FULL);
    kit_store(f.db, "k", 1);
    kit_close(f.db);
    for (size_t i = 0; i < 2; i++) {
        char bytes[8192];
        char path[512];
        (void)snprintf(path, sizeof path, "%s", directory_join(&f.directory, files[i].name));
        size_t size_bytes = read_file(path, bytes, sizeof bytes);
        for (size_t bit = 0; bit < 8 * size_bytes && bit < 8 * files[i].checked; bit++) {
            kh_db *db = NULL;
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
            write_file(path, bytes, size_bytes);
            kh_status status = kh_db_open(&f.options, &db, NULL);
            assert_true(status == KH_CORRUPT || status == KH_UNSUPPORTED);
            bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        }
        write_file(path, bytes, size_bytes);
    }
    f.db = kit_open_with(&f.options);
    kit_load_is(f.db, "k", 1);
    close_fixture(&f);
}

/* A part that is gone as a whole is damage, for writers and readers. */
static void test_lost_parts(void **state) {
    static const char *const names[] = {"log", "values"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;
        char aside[DIRECTORY_BYTES + 32];
        char place[DIRECTORY_BYTES + 16];
        open_fixture(&f, KH_OPEN_NO_THREADS, KH_SYNC_FULL);
        kit_store(f.db, "k", 1);
        kit_close(f.db);
        (void)snprintf(place, sizeof place, "%s", directory_join(&f.directory, names[i]));
        (void)snprintf(aside, sizeof aside, "%s.aside", place);
        assert_int_equal(rename(place, aside), 0);
        open_fails(&f, KH_CORRUPT, "CURRENT is missing");
        f.options.flags |= KH_OPEN_READ_ONLY;
        open_fails(&f, KH_CORRUPT, "CURRENT is missing");
        f.options.flags &= ~(uint32_t)KH_OPEN_READ_ONLY;
        assert_int_equal(rename(aside, place), 0);
        f.db = kit_open_with(&f.options);
        kit_load_is(f.db, "k", 1);
        close_fixture(&f);
    }
}

/* A database whose making was interrupted is made whole; a mark that is lost later is damage. */
static void test_unfinished(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, KH_OPEN_NO_THREADS, KH_SYNC_FULL);
    kit_close(f.db);
    assert_int_equal(unlink(directory_join(&f.directory, "MARK")), 0);
    f.db = kit_open_with(&f.options);
    kit_store(f.db, "k", 1);
    kit_close(f.db);
    assert_int_equal(unlink(directory_join(&f.directory, "MARK")), 0);
    open_fails(&f, KH_CORRUPT, "MARK is missing");
    directory_remove(&f.directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_policy_of_a_transaction),
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_trimming_keeps_what_is_needed),
        cmocka_unit_test(test_prepared_stay),
        cmocka_unit_test(test_one_opening_at_a_time),
        cmocka_unit_test(test_threads_without_threads),
        cmocka_unit_test(test_wrong_places),
        cmocka_unit_test(test_newer_format),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_lost_parts),
        cmocka_unit_test(test_unfinished),
    };
    if (!kh_has_feature("durable")) return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
