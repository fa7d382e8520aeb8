/* Statuses: their numbers for ever, their classes, messages that fit, assertions that end. */
#include "base/status.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Numbers are on disk and on the wire: a line is added here for each new status, none changes. */
static const struct {
    kh_status status;
    int number;
    kh_status_class class;
    const char *name;
} statuses[] = {
    {KH_OK, 0, KH_CLASS_DONE, "KH_OK"},
    {KH_NOT_FOUND, 1, KH_CLASS_DONE, "KH_NOT_FOUND"},
    {KH_END, 2, KH_CLASS_DONE, "KH_END"},
    {KH_CONFLICT, 16, KH_CLASS_RETRY, "KH_CONFLICT"},
    {KH_NOT_SERIALIZABLE, 17, KH_CLASS_RETRY, "KH_NOT_SERIALIZABLE"},
    {KH_BUSY, 18, KH_CLASS_RETRY, "KH_BUSY"},
    {KH_EXPIRED, 19, KH_CLASS_RETRY, "KH_EXPIRED"},
    {KH_HELD, 20, KH_CLASS_RETRY, "KH_HELD"},
    {KH_LOCK_CONFLICT, 21, KH_CLASS_RETRY, "KH_LOCK_CONFLICT"},
    {KH_DEADLOCK, 22, KH_CLASS_RETRY, "KH_DEADLOCK"},
    {KH_SEMANTIC_CONFLICT, 23, KH_CLASS_RETRY, "KH_SEMANTIC_CONFLICT"},
    {KH_UNKNOWN, 32, KH_CLASS_ASK, "KH_UNKNOWN"},
    {KH_PENDING, 33, KH_CLASS_ASK, "KH_PENDING"},
    {KH_INVALID, 48, KH_CLASS_STOP, "KH_INVALID"},
    {KH_INVALID_DATA, 49, KH_CLASS_STOP, "KH_INVALID_DATA"},
    {KH_CORRUPT, 50, KH_CLASS_STOP, "KH_CORRUPT"},
    {KH_SCHEMA_MISMATCH, 51, KH_CLASS_STOP, "KH_SCHEMA_MISMATCH"},
    {KH_NO_ID_COLUMN, 52, KH_CLASS_STOP, "KH_NO_ID_COLUMN"},
    {KH_NULL_ID, 53, KH_CLASS_STOP, "KH_NULL_ID"},
    {KH_DUPLICATE_ID, 54, KH_CLASS_STOP, "KH_DUPLICATE_ID"},
    {KH_ROW_EXISTS, 55, KH_CLASS_STOP, "KH_ROW_EXISTS"},
    {KH_ROW_NOT_FOUND, 56, KH_CLASS_STOP, "KH_ROW_NOT_FOUND"},
    {KH_MERGE_CONFLICT, 57, KH_CLASS_STOP, "KH_MERGE_CONFLICT"},
    {KH_MISMATCH, 58, KH_CLASS_STOP, "KH_MISMATCH"},
    {KH_TOO_BIG, 59, KH_CLASS_STOP, "KH_TOO_BIG"},
    {KH_TOO_OLD, 60, KH_CLASS_STOP, "KH_TOO_OLD"},
    {KH_NO_MEMORY, 61, KH_CLASS_STOP, "KH_NO_MEMORY"},
    {KH_FINISHED, 62, KH_CLASS_STOP, "KH_FINISHED"},
    {KH_MISUSE, 63, KH_CLASS_STOP, "KH_MISUSE"},
    {KH_READ_ONLY, 64, KH_CLASS_STOP, "KH_READ_ONLY"},
    {KH_CANCELLED, 65, KH_CLASS_STOP, "KH_CANCELLED"},
    {KH_IN_USE, 66, KH_CLASS_STOP, "KH_IN_USE"},
    {KH_FORKED, 67, KH_CLASS_STOP, "KH_FORKED"},
    {KH_POISONED, 68, KH_CLASS_STOP, "KH_POISONED"},
    {KH_UNSUPPORTED, 69, KH_CLASS_STOP, "KH_UNSUPPORTED"},
    {KH_IO, 70, KH_CLASS_STOP, "KH_IO"},
    {KH_NO_SPACE, 71, KH_CLASS_STOP, "KH_NO_SPACE"},
};
enum { STATUSES = sizeof statuses / sizeof statuses[0] };

#define COUNT_ONE(name, number, class_, meaning) +1
_Static_assert(STATUSES == 0 KH_STATUS_LIST(COUNT_ONE), "every status has its line above");

static void statuses_keep_number_and_class(void **state) {
    (void)state;
    for (int i = 0; i < STATUSES; i++) {
        assert_int_equal(statuses[i].status, statuses[i].number);
        assert_int_equal(kh_status_classify(statuses[i].status), statuses[i].class);
        assert_string_equal(kh_status_name(statuses[i].status), statuses[i].name);
        assert_true(strlen(kh_status_meaning(statuses[i].status)) > 3);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(kh_status_meaning(statuses[i].status),
                                    kh_status_meaning(statuses[j].status));
    }
}

static void unknown_numbers_stop(void **state) {
    (void)state;
    const int unknown[] = {-1, 3, 15, 72, 1000};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        kh_status status;
        memcpy(&status, &unknown[i], sizeof status);
        assert_string_equal(kh_status_name(status), "KH_?");
        assert_int_equal(kh_status_classify(status), KH_CLASS_STOP);
        assert_string_equal(kh_status_meaning(status), "unknown status");
    }
}

static void messages_are_cut_and_ended(void **state) {
    (void)state;
    struct {
        kh_error error;
        char behind;
    } storage;
    memset(&storage, 'x', sizeof storage);
    char text[400];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(status_fail(&storage.error, KH_BUSY, "%d %s", 42, text), KH_BUSY);
    assert_int_equal(strlen(storage.error.message), 255);
    assert_memory_equal(storage.error.message, "42 aaa", 6);
    assert_int_equal(storage.behind, 'x');
    assert_int_equal(status_fail(NULL, KH_BUSY, "%s", "nobody"), KH_BUSY);
    assert_int_equal(status_no_memory(&storage.error, 123), KH_NO_MEMORY);
    assert_string_equal(storage.error.message, "allocation of 123 bytes failed");
    assert_int_equal(status_no_memory(NULL, 123), KH_NO_MEMORY);
}

static kh_status try_twice(kh_status first, int *steps) {
    kh_status status = KH_OK;
    ++*steps;
    KH_TRY(first);
    ++*steps;
done:
    return status;
}

static void try_leaves_at_the_first_failure(void **state) {
    (void)state;
    int steps = 0;
    assert_int_equal(try_twice(KH_IO, &steps), KH_IO);
    assert_int_equal(steps, 1);
    assert_int_equal(try_twice(KH_OK, &steps), KH_OK);
    assert_int_equal(steps, 3);
}

static void assertions_say_where_and_end(void **state) {
    (void)state;
    kh_assert(true);
    kh_assert_slow(true);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        kh_assert(1 + 1 == 3);
        _exit(0);
    }
    (void)close(ends[1]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    char text[300] = "";
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    (void)close(ends[0]);
    assert_non_null(strstr(text, "khonsu: assertion failed: 1 + 1 == 3"));
    assert_non_null(strstr(text, "status_test.c:"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_keep_number_and_class),
        cmocka_unit_test(unknown_numbers_stop),
        cmocka_unit_test(messages_are_cut_and_ended),
        cmocka_unit_test(try_leaves_at_the_first_failure),
        cmocka_unit_test(assertions_say_where_and_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
