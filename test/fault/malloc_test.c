/* malloc_test.c - the n-th malloc of the process fails, for all n, on every public call, also
 * where the memory is that of other libraries. The allocation functions of this program are its
 * own; they hand on to the C library's. Not under sanitizers, which bring theirs. */
#include "support/scenarios.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)

int main(void) {
    return 0;
}

#else

#include <errno.h>

extern void *__libc_malloc(size_t size_bytes);
extern void *__libc_calloc(size_t count, size_t size_bytes);
extern void *__libc_realloc(void *block, size_t size_bytes);
extern void *__libc_memalign(size_t alignment, size_t size_bytes);

/* Per thread: only what the test itself calls fails. */
static _Thread_local volatile uint64_t left; /* 0: none fails */
static _Thread_local volatile bool has_failed;

static bool fails_now(void) {
    if (left == 0) {
        return false;
    }
    left = left - 1;
    if (left != 0) {
        return false;
    }
    has_failed = true;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size_bytes) {
    return fails_now() ? NULL : __libc_malloc(size_bytes);
}

void *calloc(size_t count, size_t size_bytes) {
    return fails_now() ? NULL : __libc_calloc(count, size_bytes);
}

void *realloc(void *block, size_t size_bytes) {
    return fails_now() ? NULL : __libc_realloc(block, size_bytes);
}

void *aligned_alloc(size_t alignment, size_t size_bytes) {
    return fails_now() ? NULL : __libc_memalign(alignment, size_bytes);
}

int posix_memalign(void **out, size_t alignment, size_t size_bytes) {
    void *block = fails_now() ? NULL : __libc_memalign(alignment, size_bytes);
    if (block == NULL) {
        return ENOMEM;
    }
    *out = block;
    return 0;
}

static void arm(void *context, uint64_t nth) {
    (void)context;
    has_failed = false;
    left = nth;
}

static bool disarm(void *context) {
    (void)context;
    left = 0;
    return has_failed;
}

static const struct scenario_failures failures = {arm, disarm, NULL, NULL};

static void test_calls(void **state) {
    (void)state;
    print_message("calls: %llu failures\n", (unsigned long long)scenarios_calls(&failures));
}

static void test_commits(void **state) {
    (void)state;
    print_message("commits: %llu failures\n", (unsigned long long)scenarios_commits(&failures));
}

static void test_db(void **state) {
    (void)state;
    print_message("databases: %llu failures\n", (unsigned long long)scenarios_db(&failures));
}

static void test_open(void **state) {
    (void)state;
    print_message("open: %llu failures\n", (unsigned long long)scenarios_open(&failures));
}

/* The failures are real: this program's malloc is the one that everybody calls. */
static void test_malloc_fails(void **state) {
    (void)state;
    arm(NULL, 2);
    void *volatile first = malloc(10);
    void *volatile second = malloc(10);
    void *volatile third = malloc(10);
    assert_true(disarm(NULL));
    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    free(first);
    free(third);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malloc_fails), cmocka_unit_test(test_open),
        cmocka_unit_test(test_calls),        cmocka_unit_test(test_commits),
        cmocka_unit_test(test_db),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
