/* process_test.c - what the library does to its process: the threads that it has are those that the
 * documents state, each under its name; a copy of a database has a timeline of its own; the
 * assertions on a caller's errors say on the standard error what was wrong, and nowhere else. */
#include "support/held_log.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- threads --------------------------------------------------------------------------------- */

struct threads {
    int all;
    int janitors;
    int others; /* named after the library, but unknown */
};

static void read_name(const char *task, char name[32]) {
    char path[300];
    (void)snprintf(path, sizeof path, "/proc/self/task/%s/comm", task);
    name[0] = '\0';
    FILE *file = fopen(path, "r");
    if (file == NULL) return; /* it has just ended */
    if (fgets(name, 32, file) == NULL) name[0] = '\0';
    name[strcspn(name, "\n")] = '\0';
    (void)fclose(file);
}

static struct threads look(void) {
    struct threads threads = {0, 0, 0};
    DIR *directory = opendir("/proc/self/task");
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char name[32];
        if (entry->d_name[0] == '.') continue;
        read_name(entry->d_name, name);
        threads.all++;
        if (strcmp(name, "khonsu-janitor") == 0) {
            threads.janitors++;
        } else if (strncmp(name, "khonsu", 6) == 0) {
            threads.others++;
        }
    }
    (void)closedir(directory);
    return threads;
}

/* A thread names itself when it runs first: wait until it has. */
static void await_janitors(int count) {
    while (look().janitors != count) (void)sched_yield();
}

static void use(kh_db *db) {
    kit_store(db, "k", 1);
    kit_load_is(db, "k", 1);
    kh_watch *watch = NULL;
    kit_is(kh_watch_open(db, (kh_bytes){NULL, 0}, &watch, NULL), KH_OK);
    (void)kh_watch_descriptor(watch);
    kh_watch_close(watch);
}

static void test_threads(void **state) {
    (void)state;
    enum { DATABASES = 3 };
    if (kit_is_over_path()) skip(); /* RocksDB starts its own at its pace */
    kh_db *dbs[DATABASES];
    kh_options options = KH_OPTIONS_INIT;
    kit_close(kit_open_with(&options)); /* with the first thread a sanitizer may start one, too */
    int before = look().all;
    kh_db *without = kit_open(); /* KH_OPEN_NO_THREADS */
    use(without);
    assert_int_equal(look().all, before);
    for (int i = 0; i < DATABASES; i++) {
        dbs[i] = kit_open_with(&options);
        use(dbs[i]);
        assert_int_equal(look().all, before + i + 1);
    }
    await_janitors(DATABASES);
    assert_int_equal(look().others, 0);
    for (int i = 0; i < DATABASES; i++) kit_close(dbs[i]);
    kit_close(without);
    assert_int_equal(look().all, before);
    assert_int_equal(look().janitors, 0);
}

/* ---- timelines ------------------------------------------------------------------------------- */

static void test_timelines(void **state) {
    (void)state;
    struct held_log held;
    kh_options options = kit_options();
    held_log_init(&held, HELD_AT_ONCE);
    options.log = &held.log;
    kh_db *db = kit_open_with(&options);
    kh_identity original = kh_db_identity(db);
    kit_store(db, "k", 1);
    kit_close(db);
    /* Twice from the same log, as from two copies of a backup. */
    kh_db *copy = kit_open_with(&options);
    kh_identity first = kh_db_identity(copy);
    kit_load_is(copy, "k", 1);
    kit_close(copy);
    copy = kit_open_with(&options);
    kh_identity second = kh_db_identity(copy);
    kit_load_is(copy, "k", 1);
    kit_close(copy);
    assert_memory_not_equal(original.timeline, first.timeline, sizeof first.timeline);
    assert_memory_not_equal(original.timeline, second.timeline, sizeof first.timeline);
    assert_memory_not_equal(first.timeline, second.timeline, sizeof first.timeline);
    held_log_fini(&held);
}

/* ---- assertions ------------------------------------------------------------------------------ */

typedef void misuse(kh_db *db, kh_txn *txn);

static void close_twice(kh_db *db, kh_txn *txn) {
    (void)db;
    (void)kh_txn_rollback(txn);
    kh_txn_close(txn);
    kh_txn_close(txn);
}

static void commit_nothing(kh_db *db, kh_txn *txn) {
    (void)db;
    (void)txn;
    (void)!kh_txn_commit(NULL, NULL, NULL);
}

static void roll_back_nothing(kh_db *db, kh_txn *txn) {
    (void)db;
    (void)txn;
    (void)kh_txn_rollback(NULL);
}

static void begin_nowhere(kh_db *db, kh_txn *txn) {
    (void)txn;
    (void)!kh_txn_begin(db, NULL, NULL, NULL);
}

static void live_for_nobody(kh_db *db, kh_txn *txn) {
    (void)txn;
    (void)!kh_db_live(db, NULL, NULL, NULL);
}

static void hear(void *context, kh_log_level level, const char *message) {
    (void)context;
    if (level == KH_LOG_NOTICE) return; /* of the opening */
    (void)fprintf(stdout, "message: %s\n", message);
    (void)fflush(stdout);
}

/* In the child: both outputs go into the pipes, and no core file is left. */
static void misuse_in_child(misuse *run, const int outputs[2], const int errors[2]) {
    struct rlimit none = {0, 0};
    kh_options options = kit_options();
    options.message = hear;
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)signal(SIGABRT, SIG_DFL);
    (void)dup2(outputs[1], STDOUT_FILENO);
    (void)dup2(errors[1], STDERR_FILENO);
    kh_db *db = kit_open_with(&options);
    run(db, kit_begin(db, KH_REPEATABLE_READ));
    _exit(0);
}

static size_t read_all(int descriptor, char *text, size_t room) {
    size_t used = 0;
    ssize_t more;
    while (used + 1 < room && (more = read(descriptor, text + used, room - used - 1)) > 0)
        used += (size_t)more;
    text[used] = '\0';
    (void)close(descriptor);
    return used;
}

static void says(misuse *run, const char *sentence) {
    int outputs[2];
    int errors[2];
    char text[2048];
    int how = 0;
    assert_int_equal(pipe(outputs), 0);
    assert_int_equal(pipe(errors), 0);
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) misuse_in_child(run, outputs, errors);
    (void)close(outputs[1]);
    (void)close(errors[1]);
    (void)read_all(errors[0], text, sizeof text);
    if (strstr(text, sentence) == NULL || strstr(text, "assertion") == NULL ||
        strstr(text, "src/db/") == NULL)
        fail_msg("the standard error says \"%s\", not \"%s\"", text, sentence);
    assert_int_equal(read_all(outputs[0], text, sizeof text), 0);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFSIGNALED(how));
    assert_int_equal(WTERMSIG(how), SIGABRT);
}

static void test_assertions(void **state) {
    (void)state;
    says(close_twice, "this transaction is closed already");
    says(commit_nothing, "the transaction is NULL");
    says(roll_back_nothing, "the transaction is NULL");
    says(begin_nowhere, "kh_txn_begin: db or out is NULL");
    says(live_for_nobody, "kh_db_live: db or visit is NULL");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_timelines),
        cmocka_unit_test(test_assertions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
