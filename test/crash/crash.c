/* crash.c - a database that is killed, and what must be left of it.
 *
 *     crash run DIR SEED [COUNT]    threads commit until the process is killed, or the first has
 *                                   committed so often; a line for each acknowledgement
 *     crash check DIR ACKS          open DIR and compare with the acknowledgements in a file
 *     crash check-below DIR ACKS    the same, of the database DIR/db
 *
 * Every transaction of thread t writes its count i under "t<t>" and under "s<t>/<i mod SLOTS>", and
 * moves money between two accounts. So after any crash, by reading alone: the two keys of a thread
 * agree, the money is whole, the count of a thread that acknowledged i is i or more. Threads with
 * policy full and group acknowledge; one with none does not, and one prepares, acknowledges that
 * (where it is going to commit), decides, and acknowledges.
 *
 * Under the power-loss shim (test/powerloss) acknowledgements are its marks. */
#include <khonsu.h>

#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 4, SLOTS = 8, ACCOUNTS = 6, START = 1000, UNSYNCED = 2, PREPARER = 3 };

static void must(bool is_true, const char *what) {
    if (is_true) return;
    fprintf(stderr, "crash: %s\n", what);
    exit(3);
}

/* A key in a room of its own; the arguments as for printf. */
#define KEY(room, ...) ((kh_bytes){(room), (size_t)snprintf((room), sizeof(room), __VA_ARGS__)})

/* ---- values: one row of one int64 ------------------------------------------------------------ */

struct one_number {
    struct ArrowArray root;
    struct ArrowArray column;
    struct ArrowArray *children[1];
    const void *no_buffers[1];
    const void *buffers[2];
    int64_t number;
};

static void keep(struct ArrowArray *array) {
    array->release = NULL;
}

static void make_array(struct one_number *value, int64_t number) {
    memset(value, 0, sizeof *value);
    value->number = number;
    value->buffers[1] = &value->number;
    value->column = (struct ArrowArray){
        .length = 1, .n_buffers = 2, .buffers = value->buffers, .release = keep};
    value->children[0] = &value->column;
    value->root = (struct ArrowArray){.length = 1,
                                      .n_buffers = 1,
                                      .buffers = value->no_buffers,
                                      .n_children = 1,
                                      .children = value->children,
                                      .release = keep};
}

static void keep_schema(struct ArrowSchema *schema) {
    schema->release = NULL;
}

static kh_schema *make_schema(kh_db *db) {
    struct ArrowSchema column = {.format = "l", .name = "n", .release = keep_schema};
    struct ArrowSchema *children[1] = {&column};
    struct ArrowSchema root = {
        .format = "+s", .name = "", .n_children = 1, .children = children, .release = keep_schema};
    kh_schema *schema = NULL;
    must(kh_schema_import(db, &root, &schema, NULL) == KH_OK, "schema");
    return schema;
}

static void put(kh_txn *txn, const kh_schema *schema, kh_bytes key, int64_t number) {
    struct one_number value;
    make_array(&value, number);
    must(kh_txn_put_array(txn, key, schema, &value.root, KH_FAIL, NULL) == KH_OK, "put");
}

static int64_t number_of(const kh_batch *batch) {
    struct ArrowArray array;
    must(kh_batch_export(batch, &array, NULL, NULL) == KH_OK, "export");
    const struct ArrowArray *column = array.children[0];
    int64_t number = ((const int64_t *)column->buffers[1])[column->offset + array.offset];
    array.release(&array);
    return number;
}

/* -1: absent. */
static int64_t get(kh_txn *txn, kh_bytes key) {
    const kh_batch *batch = NULL;
    kh_status status = kh_txn_peek(txn, key, &batch, NULL);
    if (status == KH_NOT_FOUND) return -1;
    must(status == KH_OK, "get");
    return number_of(batch);
}

/* ---- run ------------------------------------------------------------------------------------- */

struct run {
    kh_db *db;
    kh_schema *schema;
    uint64_t seed;
    int64_t limit; /* of commits of the first thread */
    _Atomic bool is_over;
    void (*mark)(const char *text);
};

struct worker {
    struct run *run;
    int number;
    pthread_t thread;
};

static void acknowledge(struct run *run, const char *kind, int thread, int64_t count) {
    char line[64];
    int length = snprintf(line, sizeof line, "%s %d %" PRId64 "\n", kind, thread, count);
    if (run->mark != NULL) {
        line[length - 1] = '\0';
        run->mark(line);
    } else {
        must(write(STDOUT_FILENO, line, (size_t)length) == length, "acknowledging");
    }
}

static uint64_t draw(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static kh_txn *begin(const struct worker *worker) {
    static const kh_sync policies[THREADS] = {KH_SYNC_FULL, KH_SYNC_GROUP, KH_SYNC_NONE,
                                              KH_SYNC_FULL};
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    kh_txn *txn = NULL;
    options.isolation = KH_SERIALIZABLE;
    options.sync = policies[worker->number];
    must(kh_txn_begin(worker->run->db, &options, &txn, NULL) == KH_OK, "begin");
    return txn;
}

static void fill(const struct worker *worker, kh_txn *txn, int64_t count, uint64_t *random) {
    const struct run *run = worker->run;
    char room[32];
    int from = (int)(draw(random) % ACCOUNTS);
    int to = (from + 1 + (int)(draw(random) % (ACCOUNTS - 1))) % ACCOUNTS;
    int64_t amount = (int64_t)(draw(random) % 10);
    put(txn, run->schema, KEY(room, "t%d", worker->number), count);
    put(txn, run->schema, KEY(room, "s%d/%" PRId64, worker->number, count % SLOTS), count);
    if (worker->number == PREPARER) return; /* would hold the accounts of the others */
    int64_t balance = get(txn, KEY(room, "a%d", from));
    put(txn, run->schema, KEY(room, "a%d", from), balance - amount);
    balance = get(txn, KEY(room, "a%d", to));
    put(txn, run->schema, KEY(room, "a%d", to), balance + amount);
}

/* False: refused, try again. */
static bool commit(struct worker *worker, kh_txn *txn, int64_t count, uint64_t *random) {
    struct run *run = worker->run;
    kh_status status = KH_OK;
    if (worker->number != PREPARER) {
        status = kh_txn_commit(txn, NULL, NULL);
    } else {
        bool is_commit = draw(random) % 4 != 0;
        status = kh_txn_prepare(txn, NULL);
        if (status == KH_OK && !is_commit) {
            must(kh_txn_rollback(txn) == KH_OK, "rollback");
            return false;
        }
        if (status == KH_OK) acknowledge(run, "prepared", worker->number, count);
        if (status == KH_OK) status = kh_txn_commit(txn, NULL, NULL);
    }
    if (status == KH_CONFLICT || status == KH_NOT_SERIALIZABLE || status == KH_NO_SPACE)
        return false;
    if (status != KH_OK) fprintf(stderr, "%s\n", kh_status_name(status));
    must(status == KH_OK, "commit");
    if (worker->number != UNSYNCED) acknowledge(run, "done", worker->number, count);
    return true;
}

static void *work(void *argument) {
    struct worker *worker = argument;
    uint64_t random = worker->run->seed * 977 + (uint64_t)worker->number;
    int64_t limit = worker->run->limit;
    char room[32];
    kh_txn *txn = begin(worker);
    int64_t count = get(txn, KEY(room, "t%d", worker->number)) + 1;
    kh_txn_close(txn);
    while (!worker->run->is_over) {
        txn = begin(worker);
        fill(worker, txn, count, &random);
        if (commit(worker, txn, count, &random)) count++;
        kh_txn_close(txn);
        if (worker->number == 0 && --limit <= 0) worker->run->is_over = true;
    }
    return NULL;
}

static bool decide(void *context, const kh_live_txn *txn) {
    if (txn->is_prepared) *(kh_txn_id *)context = txn->id;
    return !txn->is_prepared;
}

/* What a crash left prepared is decided first: it holds its keys. */
static void settle_prepared(kh_db *db) {
    for (;;) {
        kh_txn_id id = {0, 0};
        must(kh_db_live(db, decide, &id, NULL) == KH_OK, "live");
        if (id.low == 0) return;
        must(kh_db_decide(db, id, true, NULL, NULL) == KH_OK, "decide");
    }
}

static void make_accounts(struct run *run) {
    char room[32];
    kh_txn *txn = NULL;
    must(kh_txn_begin(run->db, NULL, &txn, NULL) == KH_OK, "begin");
    if (get(txn, KEY(room, "a%d", 0)) < 0)
        for (int i = 0; i < ACCOUNTS; i++) put(txn, run->schema, KEY(room, "a%d", i), START);
    must(kh_txn_commit(txn, NULL, NULL) == KH_OK, "first commit");
    kh_txn_close(txn);
}

static kh_db *open_at(const char *path) {
    kh_options options = KH_OPTIONS_INIT;
    kh_error error = {""};
    kh_db *db = NULL;
    options.path = path;
    kh_status status = kh_db_open(&options, &db, &error);
    if (status != KH_OK) fprintf(stderr, "%s: %s\n", kh_status_name(status), error.message);
    must(status == KH_OK, "open");
    return db;
}

static int run_all(const char *path, uint64_t seed, int64_t limit) {
    struct run run = {.db = open_at(path), .seed = seed, .limit = limit};
    struct worker workers[THREADS];
    void *found = dlsym(RTLD_DEFAULT, "powerloss_mark");
    memcpy(&run.mark, &found, sizeof found);
    run.schema = make_schema(run.db);
    settle_prepared(run.db);
    make_accounts(&run);
    acknowledge(&run, "open", 0, 0);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.run = &run, .number = i};
        must(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0, "thread");
    }
    for (int i = 0; i < THREADS; i++) (void)pthread_join(workers[i].thread, NULL);
    kh_schema_release(run.schema);
    must(kh_db_close(run.db) == KH_OK, "close");
    return 0;
}

/* ---- check ----------------------------------------------------------------------------------- */

struct acks {
    int64_t done[THREADS];
    int64_t prepared;
    bool is_open;
};

static void read_acks(const char *path, struct acks *out) {
    char kind[16];
    int thread;
    int64_t count;
    *out = (struct acks){.prepared = -1};
    for (int i = 0; i < THREADS; i++) out->done[i] = -1;
    FILE *file = fopen(path, "r");
    must(file != NULL, "the acknowledgements");
    while (fscanf(file, "%15s %d %" SCNd64, kind, &thread, &count) == 3) {
        if (strcmp(kind, "open") == 0) out->is_open = true;
        if (strcmp(kind, "done") == 0) out->done[thread] = count;
        if (strcmp(kind, "prepared") == 0) out->prepared = count;
    }
    (void)fclose(file);
}

static bool find_prepared(void *context, const kh_live_txn *txn) {
    if (txn->is_prepared) ++*(int *)context;
    return true;
}

static void check_thread(kh_txn *txn, const struct acks *acks, int thread) {
    char room[32];
    int64_t count = get(txn, KEY(room, "t%d", thread));
    if (count < acks->done[thread]) {
        fprintf(stderr, "thread %d acknowledged %" PRId64 ", there is %" PRId64 "\n", thread,
                acks->done[thread], count);
        exit(1);
    }
    if (count >= 0) {
        int64_t slot = get(txn, KEY(room, "s%d/%" PRId64, thread, count % SLOTS));
        if (slot != count) {
            fprintf(stderr, "half a transaction: thread %d, %" PRId64 " and %" PRId64 "\n", thread,
                    count, slot);
            exit(1);
        }
    }
}

static void check_prepared(kh_db *db, kh_txn *txn, const struct acks *acks) {
    char room[32];
    int prepared = 0;
    int64_t count = get(txn, KEY(room, "t%d", PREPARER));
    must(kh_db_live(db, find_prepared, &prepared, NULL) == KH_OK, "live");
    /* Acknowledged as prepared, to be committed: it is still that, or it was committed. */
    if (count < acks->prepared && prepared == 0) {
        fprintf(stderr, "the prepared transaction %" PRId64 " is lost\n", acks->prepared);
        exit(1);
    }
    must(prepared <= 1, "more than one is prepared");
}

static int check(const char *path, const char *acks_path) {
    struct acks acks;
    char room[32];
    read_acks(acks_path, &acks);
    if (!acks.is_open) {
        /* Nothing was promised yet, but that the next opening works. */
        must(kh_db_close(open_at(path)) == KH_OK, "close");
        return 0;
    }
    kh_db *db = open_at(path);
    kh_txn *txn = NULL;
    int64_t sum = 0;
    must(kh_txn_begin(db, NULL, &txn, NULL) == KH_OK, "begin");
    for (int i = 0; i < ACCOUNTS; i++) sum += get(txn, KEY(room, "a%d", i));
    if (sum != START * ACCOUNTS) {
        fprintf(stderr, "the money is %" PRId64 "\n", sum);
        exit(1);
    }
    for (int i = 0; i < THREADS; i++) check_thread(txn, &acks, i);
    check_prepared(db, txn, &acks);
    kh_txn_close(txn);
    must(kh_db_close(db) == KH_OK, "close");
    return 0;
}

int main(int argument_count, char **arguments) {
    if (argument_count >= 4 && strcmp(arguments[1], "run") == 0) {
        int64_t limit = argument_count > 4 ? strtoll(arguments[4], NULL, 10) : INT64_MAX;
        return run_all(arguments[2], strtoull(arguments[3], NULL, 10), limit);
    }
    if (argument_count == 4 && strcmp(arguments[1], "check") == 0)
        return check(arguments[2], arguments[3]);
    if (argument_count == 4 && strcmp(arguments[1], "check-below") == 0) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/db", arguments[2]);
        return check(path, arguments[3]);
    }
    fprintf(stderr, "usage: crash run DIR SEED [COUNT] | crash check DIR ACKS\n");
    return 2;
}
