/* fork_test.c - the process forks while another thread is inside of the library and holds its
 * locks: in the commit section (in a log's append) and in a watch's wait. In the child, where that
 * thread does not exist, every call answers KH_FORKED and none waits. */
#include "support/calls.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* A log whose append stops until it is told to go on. */
struct gate {
    struct kh_log log;
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool is_shut;
    bool is_inside;
    kh_log_complete_fn *complete;
    void *complete_context;
};

static int open_log(void *context, kh_log_complete_fn *complete, void *complete_context) {
    struct gate *gate = context;
    gate->complete = complete;
    gate->complete_context = complete_context;
    return 0;
}

static int append(void *context, const kh_bytes *bytes, size_t record_count, uint64_t cookie,
                  kh_sync sync) {
    (void)sync;
    struct gate *gate = context;
    (void)bytes;
    (void)record_count;
    (void)pthread_mutex_lock(&gate->lock);
    gate->is_inside = true;
    (void)pthread_cond_broadcast(&gate->change);
    while (gate->is_shut) (void)pthread_cond_wait(&gate->change, &gate->lock);
    gate->is_inside = false;
    (void)pthread_mutex_unlock(&gate->lock);
    gate->complete(gate->complete_context, cookie, KH_LOG_KEPT);
    return 0;
}

static int read_log(void *context, kh_log_position from, kh_log_visit_fn *visit,
                    void *visit_context) {
    (void)context;
    (void)from;
    (void)visit;
    (void)visit_context;
    return 0;
}

static void gate_init(struct gate *gate) {
    *gate = (struct gate){.log = {.version = KH_LOG_VERSION,
                                  .size = sizeof gate->log,
                                  .context = gate,
                                  .open = open_log,
                                  .append = append,
                                  .read = read_log}};
    (void)pthread_mutex_init(&gate->lock, NULL);
    (void)pthread_cond_init(&gate->change, NULL);
}

static void gate_shut(struct gate *gate, bool is_shut) {
    (void)pthread_mutex_lock(&gate->lock);
    gate->is_shut = is_shut;
    (void)pthread_cond_broadcast(&gate->change);
    (void)pthread_mutex_unlock(&gate->lock);
}

static void gate_await(struct gate *gate) {
    (void)pthread_mutex_lock(&gate->lock);
    while (!gate->is_inside) (void)pthread_cond_wait(&gate->change, &gate->lock);
    (void)pthread_mutex_unlock(&gate->lock);
}

struct fixture {
    struct gate gate;
    kh_db *db;
    kh_txn *idle;
    kh_txn *started; /* a commit that was started */
    kh_watch *watch;
    kh_workspace *workspace;
};

static void *commit_one(void *argument) {
    struct fixture *f = argument;
    kh_txn *txn = NULL;
    kh_batch *batch = kit_number(NULL, 5);
    kh_status status = kh_txn_begin(f->db, NULL, &txn, NULL);
    if (status == KH_OK) status = kh_txn_put(txn, kit_key("other"), batch, NULL);
    if (status == KH_OK) status = kh_txn_commit(txn, NULL, NULL);
    kh_batch_release(batch);
    kh_txn_close(txn);
    return status == KH_OK ? NULL : argument;
}

static void *wait_for_event(void *argument) {
    struct fixture *f = argument;
    kh_watch_event event;
    kh_status status;
    do {
        status = kh_watch_next(f->watch, UINT32_MAX, &event, NULL);
    } while (status == KH_OK);
    return status == KH_CANCELLED ? NULL : argument;
}

static bool stop_at_once(void *context, const kh_live_txn *txn) {
    (void)context;
    (void)txn;
    return false;
}

static bool no_more(void *context, const kh_version_entry *version) {
    (void)context;
    (void)version;
    return false;
}

static kh_status nothing(void *context, kh_txn *txn, kh_error *error) {
    (void)context;
    (void)txn;
    (void)error;
    return KH_OK;
}

/* Calls on the database; how many did not answer KH_FORKED. */
static int count_wrong_of_db(struct fixture *f) {
    kh_txn *txn = NULL;
    kh_watch *watch = NULL;
    kh_stats stats = {.size = sizeof stats};
    kh_outcome outcome;
    kh_bytes text;
    kh_txn_id id = kh_txn_get_id(f->idle);
    const kh_status answers[] = {
        kh_txn_begin(f->db, NULL, &txn, NULL),
        kh_txn_begin_at(f->db, kh_db_now(f->db), &txn, NULL),
        kh_db_run(f->db, NULL, nothing, NULL, NULL, NULL, NULL),
        kh_db_live(f->db, stop_at_once, NULL, NULL),
        kh_db_cancel(f->db, id, NULL),
        kh_db_decide(f->db, id, true, NULL, NULL),
        kh_db_outcome(f->db, id, &outcome, NULL, NULL),
        kh_db_stats(f->db, &stats, NULL),
        kh_db_stats_text(f->db, KH_STATS_JSON, &text, NULL),
        kh_db_history(f->db, kit_key("k"), 0, UINT64_MAX, no_more, NULL, NULL, NULL),
        kh_watch_open(f->db, (kh_bytes){NULL, 0}, &watch, NULL),
        kh_db_close(f->db),
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) wrong += answers[i] != KH_FORKED;
    return wrong;
}

static bool no_entry(void *context, const kh_workspace_entry *entry) {
    (void)context;
    (void)entry;
    return false;
}

static int count_wrong_of_workspaces(struct fixture *f) {
    kh_workspace *workspace = f->workspace;
    kh_workspace *other = NULL;
    kh_batch *batch = kit_number(NULL, 5);
    kh_txn_id id = kh_workspace_id(workspace);
    const kh_status answers[] = {
        kh_workspace_begin(f->db, NULL, &other, NULL),
        kh_db_workspaces(f->db, no_entry, NULL, NULL),
        kh_db_find_workspace(f->db, id, no_entry, NULL, NULL),
        kh_db_remove_workspace(f->db, id, NULL),
        kh_workspace_rollback(workspace),
        kh_workspace_retry(workspace, NULL),
        kh_workspace_put(workspace, kit_key("w"), batch, NULL),
        kh_workspace_commit(workspace, NULL, NULL),
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) wrong += answers[i] != KH_FORKED;
    kh_batch_release(batch);
    kh_workspace_close(workspace);
    return wrong;
}

static int child(struct fixture *f) {
    kh_watch_event event;
    int wrong = 0;
    (void)alarm(30); /* a child that waits is ended by it */
    for (size_t i = 0; i < call_count; i++) wrong += calls[i].run(f->idle) != KH_FORKED;
    wrong += kh_txn_rollback(f->idle) != KH_FORKED;
    wrong += kh_txn_poll(f->started, NULL) != KH_FORKED;
    wrong += kh_txn_wait(f->started, UINT32_MAX, NULL) != KH_FORKED;
    wrong += kh_txn_descriptor(f->started) != -1;
    wrong += kh_watch_next(f->watch, UINT32_MAX, &event, NULL) != KH_FORKED;
    wrong += kh_watch_descriptor(f->watch) != -1;
    wrong += count_wrong_of_db(f);
    wrong += count_wrong_of_workspaces(f);
    kh_watch_cancel(f->watch);
    kh_watch_close(f->watch);
    kh_txn_close(f->idle);
    kh_txn_close(f->started);
    kh_db_step(f->db);
    /* Databases of its own are no matter of the parent's threads. (The thread sanitizer allows a
     * child no threads.) */
    kh_db *own = NULL;
    kh_options options = kit_options();
    wrong += kh_db_open(&options, &own, NULL) != KH_OK || kh_db_close(own) != KH_OK;
    return wrong;
}

static void test_fork_beside_a_commit(void **state) {
    (void)state;
    struct fixture f = {.db = NULL};
    kh_options options = KH_OPTIONS_INIT;
    pthread_t committer;
    pthread_t watcher;
    void *failed = NULL;
    int how = 0;
    gate_init(&f.gate);
    options.log = &f.gate.log;
    kit_is(kh_db_open(&options, &f.db, NULL), KH_OK);
    calls_prepare(f.db);
    f.started = kit_begin(f.db, KH_REPEATABLE_READ);
    kit_put(f.started, "s", 1);
    kit_is(kh_txn_commit_start(f.started, NULL), KH_OK);
    f.idle = kit_begin(f.db, KH_SERIALIZABLE);
    kit_is(kh_workspace_begin(f.db, NULL, &f.workspace, NULL), KH_OK);
    kh_txn *committers = kit_begin(f.db, KH_SERIALIZABLE);
    kh_txn *next = kit_begin(f.db, KH_SERIALIZABLE); /* whose handle this thread would take again */
    kit_rollback(committers);
    kit_rollback(next);
    kit_is(kh_watch_open(f.db, (kh_bytes){NULL, 0}, &f.watch, NULL), KH_OK);
    assert_int_equal(pthread_create(&watcher, NULL, wait_for_event, &f), 0);
    gate_shut(&f.gate, true);
    assert_int_equal(pthread_create(&committer, NULL, commit_one, &f), 0);
    gate_await(&f.gate); /* the section is held */
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(child(&f));
    assert_int_equal(waitpid(pid, &how, 0), pid);
    gate_shut(&f.gate, false);
    assert_int_equal(pthread_join(committer, &failed), 0);
    assert_null(failed);
    if (!WIFEXITED(how) || WEXITSTATUS(how) != 0)
        fail_msg("the child ended with %#x", (unsigned)how);
    kit_load_is(f.db, "other", 5);
    kh_watch_cancel(f.watch);
    assert_int_equal(pthread_join(watcher, &failed), 0);
    assert_null(failed);
    kh_watch_close(f.watch);
    kit_is(kh_workspace_commit(f.workspace, NULL, NULL), KH_OK);
    kh_workspace_close(f.workspace);
    kh_txn_close(f.idle);
    kh_txn_close(f.started);
    kit_is(kh_db_close(f.db), KH_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fork_beside_a_commit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
