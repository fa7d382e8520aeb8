/* ends_test.c - what is left after the end: cursors of ended transactions, streams that outlive
 * transaction and database, messages, identities, limits of savepoints and row operations, forked
 * children that make schemas and batches. */
#include "support/kit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_cursor_after_the_end(void **state) {
    (void)state;
    for (int way = 0; way < 3; way++) {
        kh_db *db = kit_open();
        kit_store(db, "a", 1);
        kit_store(db, "b", 2);
        kh_txn *txn = kit_begin(db, way == 2 ? KH_READ_COMMITTED : KH_REPEATABLE_READ);
        kh_cursor *cursor = NULL;
        kh_bytes key;
        const kh_batch *value = NULL;
        kit_is(kh_txn_scan(txn, NULL, &cursor, NULL), KH_OK);
        kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_OK);
        if (way == 1) {
            kh_txn_close(txn);
        } else {
            kit_is(kh_txn_rollback(txn), KH_OK);
        }
        kit_is(kh_cursor_next(cursor, &key, &value, NULL), KH_FINISHED);
        kh_cursor_close(cursor);
        if (way != 1) kh_txn_close(txn);
        kit_close(db);
    }
}

/* The stream holds its values: it is read after transaction and database are gone. */
static void test_stream_outlives_all(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kit_store(db, "a", 1);
    kit_store(db, "b", 2);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    struct ArrowArrayStream stream;
    struct ArrowArrayStream none;
    kh_scan_options options = kit_range("x", "y", 0, 0);
    kit_is(kh_txn_scan_stream(txn, &options, NULL, &none, NULL), KH_NOT_FOUND);
    kit_is(kh_txn_scan_stream(txn, NULL, NULL, &stream, NULL), KH_OK);
    kit_commit_ok(txn);
    kit_close(db);
    struct ArrowSchema schema;
    assert_int_equal(stream.get_schema(&stream, &schema), 0);
    assert_string_equal(schema.format, "+s");
    schema.release(&schema);
    int count = 0;
    for (;; count++) {
        struct ArrowArray array;
        assert_int_equal(stream.get_next(&stream, &array), 0);
        if (array.release == NULL) break;
        assert_int_equal(array.length, 1);
        assert_int_equal(((const int64_t *)array.children[0]->buffers[1])[array.offset], count + 1);
        array.release(&array);
    }
    assert_int_equal(count, 2);
    stream.release(&stream);
    assert_null(stream.release);
}

static void test_stream_of_two_schemas(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kit_store(db, "a", 1);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_batch *rows = kit_rows(db, "1=1/1");
    kit_is(kh_txn_put(txn, kit_key("b"), rows, NULL), KH_OK);
    kh_batch_release(rows);
    struct ArrowArrayStream stream;
    struct ArrowArray array;
    kit_is(kh_txn_scan_stream(txn, NULL, NULL, &stream, NULL), KH_OK);
    assert_int_equal(stream.get_next(&stream, &array), 0);
    array.release(&array);
    assert_int_equal(stream.get_next(&stream, &array), EINVAL);
    assert_non_null(stream.get_last_error(&stream));
    stream.release(&stream);
    kit_rollback(txn);
    kit_close(db);
}

struct heard {
    int count;
    char last[256];
};

static void hear(void *context, kh_log_level level, const char *message) {
    struct heard *heard = context;
    if (level == KH_LOG_NOTICE) return; /* of the opening */
    assert_int_equal(level, KH_LOG_WARNING);
    heard->count++;
    (void)snprintf(heard->last, sizeof heard->last, "%s", message);
}

static void test_messages(void **state) {
    (void)state;
    struct kit_clock clock = {1700000000000u, 1, 0};
    struct heard heard = {0, ""};
    kh_options options = kit_options();
    options.clock = kit_clock_hook(&clock);
    options.message = hear;
    options.message_context = &heard;
    kh_db *db = kit_open_with(&options);
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kh_db_step(db);
    assert_int_equal(heard.count, 0);
    kit_clock_advance(&clock, 1000000);
    kh_db_step(db);
    assert_int_equal(heard.count, 1);
    assert_non_null(strstr(heard.last, "timeout"));
    kit_is(kh_txn_rollback(txn), KH_OK);
    kh_txn_close(txn);
    kit_close(db);
}

static void test_identities_differ(void **state) {
    (void)state;
    kh_db *one = kit_open();
    kh_db *other = kit_open();
    kh_identity a = kh_db_identity(one);
    kh_identity again = kh_db_identity(one);
    kh_identity b = kh_db_identity(other);
    assert_memory_equal(&a, &again, sizeof a);
    assert_memory_not_equal(a.database, b.database, sizeof a.database);
    assert_memory_not_equal(a.timeline, b.timeline, sizeof a.timeline);
    kit_close(one);
    kit_close(other);
}

static void test_limits_of_one_transaction(void **state) {
    (void)state;
    enum { MOST = 65535 };
    kh_db *db = kit_open();
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    uint32_t number = 0;
    for (uint32_t i = 1; i <= MOST; i++) {
        kit_is(kh_txn_savepoint(txn, &number, NULL), KH_OK);
        assert_int_equal(number, i);
    }
    kit_is(kh_txn_savepoint(txn, &number, NULL), KH_TOO_BIG);
    kit_is(kh_txn_release_savepoint(txn, 1, NULL), KH_OK);
    kh_batch *rows = kit_rows(db, "1=1/1");
    for (uint32_t i = 1; i <= MOST; i++)
        kit_is(kh_txn_upsert_rows(txn, kit_key("r"), rows, NULL), KH_OK);
    kit_is(kh_txn_upsert_rows(txn, kit_key("r"), rows, NULL), KH_TOO_BIG);
    kh_batch_release(rows);
    kit_rollback(txn);
    kit_close(db);
}

static int use_in_child(kh_db *db, kh_txn *started) {
    static const char *const names[] = {"n"};
    static const char *const formats[] = {"l"};
    kh_schema *schema = NULL;
    if (kh_schema_build(db, names, formats, 1, &schema, NULL) != KH_FORKED) return 1;
    if (kh_schema_build(NULL, names, formats, 1, &schema, NULL) != KH_OK) return 2;
    kh_scalar scalar = {KH_SCALAR_INT64, {.int64 = 1}};
    kh_batch *batch = NULL;
    if (kh_batch_build(db, schema, &scalar, 1, &batch, NULL) != KH_FORKED) return 3;
    if (kh_batch_build(NULL, schema, &scalar, 1, &batch, NULL) != KH_OK) return 4;
    if (kh_txn_wait(started, 0, NULL) != KH_FORKED) return 5;
    kh_batch_release(batch);
    kh_schema_release(schema);
    return 0;
}

static void test_forked_child(void **state) {
    (void)state;
    kh_db *db = kit_open();
    kh_txn *txn = kit_begin(db, KH_REPEATABLE_READ);
    kit_put(txn, "k", 1);
    kit_is(kh_txn_commit_start(txn, NULL), KH_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(use_in_child(db, txn));
    int code = -1;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    assert_int_equal(WEXITSTATUS(code), 0);
    kit_is(kh_txn_wait(txn, UINT32_MAX, NULL), KH_OK);
    kh_txn_close(txn);
    kit_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cursor_after_the_end),
        cmocka_unit_test(test_stream_outlives_all),
        cmocka_unit_test(test_stream_of_two_schemas),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_identities_differ),
        cmocka_unit_test(test_limits_of_one_transaction),
        cmocka_unit_test(test_forked_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
