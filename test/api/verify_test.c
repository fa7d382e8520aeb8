/* verify_test.c - histories that others can check: heads show what is on disk, proofs are there or
 * the answer says why not, and the check of a directory: what it counts, what it expects, what it
 * finds, and that it leaves everything as it was. tools/check_proof.py judges the proofs
 * (test/python/verify_test.py). */
#include "support/directory.h"
#include "support/kit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    struct directory directory;
    kh_options options;
    kh_db *db;
};

static void open_fixture(struct fixture *f, uint64_t retention_ms) {
    directory_make(&f->directory);
    f->options = kit_options();
    f->options.path = f->directory.path;
    f->options.retention_ms = retention_ms;
    f->db = kit_open_with(&f->options);
}

static void close_fixture(struct fixture *f) {
    if (f->db != NULL) kit_close(f->db);
    directory_remove(&f->directory);
}

static void shut(struct fixture *f) {
    kit_close(f->db);
    f->db = NULL;
}

static kh_head head_of(kh_db *db) {
    kh_head head;
    kit_is(kh_db_head(db, &head, NULL), KH_OK);
    return head;
}

static kh_status verify(const struct fixture *f, const kh_head *expect, kh_verify_report *report) {
    kh_verify_options options = KH_VERIFY_OPTIONS_INIT;
    *report = (kh_verify_report){.size = sizeof *report};
    if (expect != NULL) {
        options.expect = expect->digest;
        options.expect_number = expect->number;
    }
    return kh_verify(f->directory.path, &options, report, NULL);
}

/* ---- heads ----------------------------------------------------------------------------------- */

static void test_heads_show_what_is_on_disk(void **state) {
    (void)state;
    struct fixture f;
    open_fixture(&f, 0);
    kh_head first = head_of(f.db);
    assert_int_equal(first.number, 0);
    assert_int_equal(first.position, 0);
    kit_store(f.db, "k", 1);
    kh_head second = head_of(f.db);
    assert_int_equal(second.number, 1);
    assert_int_equal(second.position, 2); /* the schema, too */
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.sync = KH_SYNC_NONE;
    kh_txn *txn = NULL;
    kit_is(kh_txn_begin(f.db, &options, &txn, NULL), KH_OK);
    kit_put(txn, "k", 2);
    kit_commit_ok(txn);
    kit_load_is(f.db, "k", 2);
    kh_head same = head_of(f.db);
    assert_memory_equal(&same, &second, sizeof same);
    kh_db_step(f.db);
    kh_head third = head_of(f.db);
    assert_int_equal(third.number, 2);
    shut(&f);
    kh_head after;
    kit_is(kh_path_head(f.directory.path, &after, NULL), KH_OK);
    assert_memory_equal(&after, &third, sizeof after);
    f.db = kit_open_with(&f.options);
    after = head_of(f.db);
    assert_memory_equal(&after, &third, sizeof after);
    close_fixture(&f);
}

static void test_without_a_path(void **state) {
    (void)state;
    kh_options options = KH_OPTIONS_INIT; /* whatever KH_TEST_LOG asks of kit_open */
    kh_db *db = NULL;
    kh_head head;
    kh_bytes proof;
    kit_is(kh_db_open(&options, &db, NULL), KH_OK);
    kit_is(kh_db_head(db, &head, NULL), KH_UNSUPPORTED);
    kit_is(kh_db_prove(db, kit_key("k"), 0, &proof, NULL), KH_UNSUPPORTED);
    kit_is(kh_db_close(db), KH_OK);
}

/* ---- proofs ---------------------------------------------------------------------------------- */

static bool has_proof(kh_db *db, const char *key, kh_timestamp timestamp, const char *with) {
    kh_bytes proof = {NULL, 0};
    kit_is(kh_db_prove(db, kit_key(key), timestamp, &proof, NULL), KH_OK);
    bool is_there = strstr(proof.data, with) != NULL;
    kh_bytes_free(proof);
    return is_there;
}

static void test_proofs(void **state) {
    (void)state;
    struct fixture f;
    kh_bytes proof;
    open_fixture(&f, 0);
    kit_is(kh_db_prove(f.db, kit_key("k"), 0, &proof, NULL), KH_NOT_FOUND);
    kit_is(kh_db_prove(f.db, (kh_bytes){"", 0}, 0, &proof, NULL), KH_INVALID);
    kit_store(f.db, "k", 1);
    kh_timestamp before = kh_db_now(f.db);
    kit_store(f.db, "other", 1);
    kit_store(f.db, "k", 2);
    assert_true(has_proof(f.db, "k", 0, "\"record\":{\"position\":3,"));
    assert_true(has_proof(f.db, "k", before, "\"record\":{\"position\":1,"));
    kit_is(kh_db_prove(f.db, kit_key("k"), before - 1, &proof, NULL), KH_NOT_FOUND);
    assert_false(has_proof(f.db, "k", 0, "\"decision\""));
    kh_txn *txn = kit_begin(f.db, KH_SERIALIZABLE);
    kit_put(txn, "k", 3);
    kit_is(kh_txn_prepare(txn, NULL), KH_OK);
    assert_true(has_proof(f.db, "k", 0, "\"record\":{\"position\":3,"));
    kit_store(f.db, "other", 2);
    kit_commit_ok(txn);
    assert_true(has_proof(f.db, "k", 0, "\"record\":{\"position\":4,"));
    assert_true(has_proof(f.db, "k", 0, "\"decision\":{\"position\":6,"));
    kit_store(f.db, "k", KIT_ABSENT);
    assert_true(has_proof(f.db, "k", 0, "\"record\":{\"position\":7,"));
    kit_store(f.db, "left", 1);
    shut(&f);
    /* Trimmed: the deletion is gone without a trace, the value is there and its record is not. */
    f.db = kit_open_with(&f.options);
    kit_is(kh_db_prove(f.db, kit_key("k"), 0, &proof, NULL), KH_NOT_FOUND);
    kit_is(kh_db_prove(f.db, kit_key("k"), before, &proof, NULL), KH_TOO_OLD);
    kit_is(kh_db_prove(f.db, kit_key("left"), 0, &proof, NULL), KH_TOO_OLD);
    kit_store(f.db, "left", 2);
    assert_true(has_proof(f.db, "left", 0, "\"record\":{\"position\":9,"));
    close_fixture(&f);
}

/* ---- the check of a directory ---------------------------------------------------------------- */

static void fill(kh_db *db) {
    for (int i = 0; i < 30; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i % 4);
        kit_store(db, key, i);
    }
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_put(txn, "held", 1);
    kit_is(kh_txn_prepare(txn, NULL), KH_OK);
    kh_txn_close(txn);
}

static void test_counts_and_expectations(void **state) {
    (void)state;
    struct fixture f;
    kh_verify_report report;
    open_fixture(&f, UINT64_C(1) << 40);
    kh_head genesis = head_of(f.db);
    kit_store(f.db, "first", 1);
    kh_head early = head_of(f.db);
    fill(f.db);
    kh_head last = head_of(f.db);
    shut(&f);
    kit_is(verify(&f, &last, &report), KH_OK);
    assert_int_equal(report.expectation, KH_EXPECT_HEAD);
    assert_memory_equal(&report.head, &last, sizeof last);
    assert_int_equal(report.anchor.number, 0);
    assert_int_equal(report.records, 33);
    assert_int_equal(report.applied, 33);
    assert_int_equal(report.keys, 5);
    assert_int_equal(report.versions, 31);
    assert_int_equal(report.schemas, 1);
    assert_int_equal(report.prepared, 1);
    assert_int_equal(report.unchecked_records + report.unchecked_versions, 0);
    assert_true(report.first_timestamp != 0 && report.first_timestamp < report.last_timestamp);
    assert_string_equal(report.finding, "");
    kit_is(verify(&f, &early, &report), KH_OK);
    assert_int_equal(report.expectation, KH_EXPECT_EARLIER);
    assert_memory_equal(&report.expected, &early, sizeof early);
    kit_is(verify(&f, &genesis, &report), KH_OK);
    assert_int_equal(report.expectation, KH_EXPECT_EARLIER);
    early.number = last.number; /* the digest of another group */
    kit_is(verify(&f, &early, &report), KH_MISMATCH);
    assert_int_equal(report.expectation, KH_EXPECT_MISSING);
    early.number = 0; /* which is not known */
    kit_is(verify(&f, &early, &report), KH_OK);
    last.number += 1;
    kit_is(verify(&f, &last, &report), KH_MISMATCH);
    last.number -= 1;
    last.digest[7] ^= 1;
    kit_is(verify(&f, &last, &report), KH_MISMATCH);
    assert_int_equal(report.expectation, KH_EXPECT_MISSING);
    kit_is(verify(&f, NULL, &report), KH_OK);
    assert_int_equal(report.expectation, KH_EXPECT_NOTHING);
    close_fixture(&f);
}

static void test_trimmed(void **state) {
    (void)state;
    struct fixture f;
    kh_verify_report report;
    open_fixture(&f, 0);
    kit_store(f.db, "first", 1);
    kit_store(f.db, "first", 2);
    kit_store(f.db, "first", 3);
    kh_head early = head_of(f.db); /* 3 is no step of later skips */
    fill(f.db);
    kh_head last = head_of(f.db);
    shut(&f);
    kit_is(verify(&f, &last, &report), KH_OK);
    assert_int_equal(report.records, 0);
    assert_memory_equal(&report.anchor, &last, sizeof last);
    assert_int_equal(report.unchecked_records, last.position);
    assert_int_equal(report.unchecked_versions, 5);
    assert_int_equal(report.unchecked_prepared, 1);
    kit_is(verify(&f, &early, &report), KH_TOO_OLD);
    assert_int_equal(report.expectation, KH_EXPECT_TOO_OLD);
    f.db = kit_open_with(&f.options);
    kit_store(f.db, "k0", 100);
    shut(&f);
    kit_is(verify(&f, &last, &report), KH_OK);
    assert_int_equal(report.expectation, KH_EXPECT_EARLIER);
    last.number -= 1; /* in the anchor's chain, but of another group */
    kit_is(verify(&f, &last, &report), KH_TOO_OLD);
    close_fixture(&f);
}

/* What a process leaves that ends without closing: a copy of what an open database has. */
static void test_left_open(void **state) {
    (void)state;
    struct fixture f;
    struct fixture left;
    kh_verify_report report;
    open_fixture(&f, 0);
    fill(f.db);
    for (int i = 0; i < 21; i++) kh_db_step(f.db); /* brought up to date, synced and trimmed */
    for (int i = 0; i < 30; i++) kit_store(f.db, "later", i);
    kh_head head = head_of(f.db);
    directory_make(&left.directory);
    directory_copy(&f.directory, &left.directory);
    close_fixture(&f);
    kit_is(verify(&left, &head, &report), KH_OK);
    assert_int_equal(report.expectation, KH_EXPECT_HEAD);
    assert_int_equal(report.records, 30);
    assert_int_equal(report.unchecked_records, report.applied);
    assert_int_equal(report.head.position, report.applied + 30);
    left.options = kit_options();
    left.options.path = left.directory.path;
    left.db = kit_open_with(&left.options);
    kh_head same = head_of(left.db);
    assert_memory_equal(&head, &same, sizeof head);
    kit_load_is(left.db, "later", 29);
    close_fixture(&left);
}

static bool stop(void *context, const char *what, uint64_t count) {
    (void)what;
    (void)count;
    ++*(int *)context;
    return false;
}

static void test_refusals(void **state) {
    (void)state;
    struct fixture f;
    kh_verify_report report;
    kh_head head;
    kh_bytes proof;
    kh_error error;
    open_fixture(&f, 0);
    kit_store(f.db, "k", 1);
    kit_is(verify(&f, NULL, &report), KH_IN_USE);
    kit_is(kh_path_head(f.directory.path, &head, &error), KH_IN_USE);
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(error.message, pid));
    shut(&f);
    report.size = 8;
    kit_is(kh_verify(f.directory.path, NULL, &report, NULL), KH_INVALID);
    report = (kh_verify_report){.size = sizeof report};
    kit_is(kh_verify("/", NULL, &report, NULL), KH_INVALID);
    kit_is(kh_verify("", NULL, &report, NULL), KH_INVALID);
    kit_is(kh_path_head(directory_join(&f.directory, "none"), &head, NULL), KH_INVALID);
    kit_is(kh_path_prove(f.directory.path, (kh_bytes){"", 0}, 0, &proof, NULL), KH_INVALID);
    kh_verify_options options = KH_VERIFY_OPTIONS_INIT;
    f.db = kit_open_with(&f.options);
    for (int i = 0; i < 1100; i++) kit_store(f.db, "k", i);
    f.options.retention_ms = UINT64_C(1) << 40;
    shut(&f);
    int calls = 0;
    options.progress = stop;
    options.progress_context = &calls;
    kh_status status = kh_verify(f.directory.path, &options, &report, NULL);
    assert_true(status == (calls > 0 ? KH_CANCELLED : KH_OK));
    close_fixture(&f);
}

/* ---- damage ---------------------------------------------------------------------------------- */

static void test_missing_files(void **state) {
    (void)state;
    static const char *const names[] = {"KHONSU", "MARK", "log/CURRENT", "values/CURRENT"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct fixture f;
        kh_verify_report report;
        kh_db *db = NULL;
        open_fixture(&f, 0);
        kit_store(f.db, "k", 1);
        shut(&f);
        assert_int_equal(unlink(directory_join(&f.directory, names[i])), 0);
        kh_status status = verify(&f, NULL, &report);
        assert_true(status == KH_CORRUPT || status == KH_IO);
        assert_true(report.finding[0] != '\0');
        status = kh_db_open(&f.options, &db, NULL);
        assert_true(status == KH_CORRUPT || status == KH_IO);
        close_fixture(&f);
    }
}

/* Names, sizes and times of change of all files. */
static void list(const char *path, char *out, size_t room) {
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char name[1024];
        struct stat status;
        if (entry->d_name[0] == '.') continue;
        (void)snprintf(name, sizeof name, "%.500s/%.200s", path, entry->d_name);
        assert_int_equal(stat(name, &status), 0);
        if (S_ISDIR(status.st_mode)) {
            list(name, out, room);
            continue;
        }
        size_t length = strlen(out);
        (void)snprintf(out + length, room - length, "%s %lld %lld.%09ld\n", name,
                       (long long)status.st_size, (long long)status.st_mtim.tv_sec,
                       status.st_mtim.tv_nsec);
    }
    (void)closedir(directory);
}

static bool count_record(void *context, const kh_record_entry *record) {
    int *count = context;
    assert_int_equal(record->position, *count);
    if (record->kind == KH_RECORD_COMMIT) {
        assert_int_equal(record->write_count, 1);
        assert_true(record->writes[0].value_bytes > 0 && !record->writes[0].is_deleted);
        assert_true(record->timestamp > 0 && record->group > 0);
    }
    return ++*count < 20;
}

static void test_nothing_is_changed(void **state) {
    (void)state;
    struct fixture f;
    static char before[16384];
    static char after[16384];
    kh_verify_report report;
    kh_head head;
    kh_bytes proof = {NULL, 0};
    int count = 0;
    open_fixture(&f, UINT64_C(1) << 40);
    fill(f.db);
    shut(&f);
    list(f.directory.path, before, sizeof before);
    kit_is(verify(&f, NULL, &report), KH_OK);
    kit_is(kh_path_head(f.directory.path, &head, NULL), KH_OK);
    kit_is(kh_path_prove(f.directory.path, kit_key("k1"), 0, &proof, NULL), KH_OK);
    kh_bytes_free(proof);
    kit_is(kh_path_log(f.directory.path, 0, count_record, &count, NULL), KH_OK);
    assert_int_equal(count, 20);
    list(f.directory.path, after, sizeof after);
    assert_string_equal(before, after);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads_show_what_is_on_disk),
        cmocka_unit_test(test_without_a_path),
        cmocka_unit_test(test_proofs),
        cmocka_unit_test(test_counts_and_expectations),
        cmocka_unit_test(test_trimmed),
        cmocka_unit_test(test_left_open),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_nothing_is_changed),
    };
    if (!kh_has_feature("durable")) return 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
