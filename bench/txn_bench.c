/* txn_bench.c - what a transaction costs: one engine, one thread or several, instructions or
 * seconds.
 *
 *     txn_bench --workload c|a|rw16|bank|scan --isolation rr|ser|rc --keys N --transactions N
 *               [--threads N] [--zipf]
 *
 * c: one read; a: one operation, half reads half writes; rw16: ten reads and six writes; bank: two
 * reads and two writes; scan: the sum of one int64 column over all keys. Keys have 24 bytes, values
 * one row of int64, float64 and utf8 of 84 bytes, handed in as an ArrowArray and validated in full;
 * reads borrow a view; the scan takes its first column.
 * Under `valgrind --tool=callgrind --collect-atstart=no --toggle-collect=measured` only the
 * measured region counts: the transactions and a final reclamation. */
#include <khonsu.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEY_BYTES = 24, TEXT_BYTES = 84 };

struct settings {
    const char *workload;
    int reads; /* -1: one operation, half reads half writes */
    int writes;
    bool is_scan;
    kh_isolation isolation;
    uint64_t keys;
    uint64_t transactions;
    unsigned threads;
};

struct worker {
    const struct settings *settings;
    kh_db *db;
    const kh_schema *schema;
    uint64_t random;
    uint64_t sum;
    uint64_t aborts;
    struct ArrowArray array;
    struct ArrowArray columns[3];
    struct ArrowArray *children[3];
    const void *buffers[8];
    int64_t id;
    double amount;
    int32_t offsets[2];
    char text[TEXT_BYTES];
};

static void check(kh_status status, const kh_error *error, const char *what) {
    if (status == KH_OK) return;
    fprintf(stderr, "%s: %s %s\n", what, kh_status_name(status), error->message);
    exit(1);
}

static uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

static kh_bytes key_of(uint64_t number, char *out) {
    memcpy(out, "bench/keys/key-/", 16);
    number = __builtin_bswap64(number); /* binary, so that making keys costs little */
    memcpy(out + 16, &number, 8);
    return (kh_bytes){out, KEY_BYTES};
}

static void release_nothing(struct ArrowArray *array) {
    array->release = NULL;
}

/* One array, filled again for each write: building arrays is not what is measured. */
static void init_array(struct worker *worker) {
    memset(worker->text, 'x', TEXT_BYTES);
    worker->offsets[1] = TEXT_BYTES;
    worker->buffers[1] = &worker->id;
    worker->buffers[3] = &worker->amount;
    worker->buffers[5] = worker->offsets;
    worker->buffers[6] = worker->text;
    static const int first[3] = {0, 2, 4};
    static const int count[3] = {2, 2, 3};
    for (int i = 0; i < 3; i++) {
        worker->columns[i] = (struct ArrowArray){.length = 1,
                                                 .n_buffers = count[i],
                                                 .buffers = worker->buffers + first[i],
                                                 .release = release_nothing};
        worker->children[i] = &worker->columns[i];
    }
}

static struct ArrowArray *fill_array(struct worker *worker, int64_t id) {
    static const void *no_validity[1];
    worker->id = id;
    worker->array = (struct ArrowArray){.length = 1,
                                        .n_buffers = 1,
                                        .n_children = 3,
                                        .buffers = no_validity,
                                        .children = worker->children,
                                        .release = release_nothing};
    for (int i = 0; i < 3; i++) worker->columns[i].release = release_nothing;
    return &worker->array;
}

static kh_status read_one(struct worker *worker, kh_txn *txn, uint64_t number) {
    char key[KEY_BYTES];
    const kh_batch *batch;
    kh_status status = kh_txn_peek(txn, key_of(number, key), &batch, NULL);
    if (status != KH_OK) return status;
    worker->sum += (uintptr_t)batch;
    return status;
}

static kh_status write_one(struct worker *worker, kh_txn *txn, uint64_t number) {
    char key[KEY_BYTES];
    return kh_txn_put_array(txn, key_of(number, key), worker->schema,
                            fill_array(worker, (int64_t)number), KH_DEFAULT_POLICY, NULL);
}

static kh_status run_body(struct worker *worker, kh_txn *txn) {
    const struct settings *settings = worker->settings;
    int reads = settings->reads;
    int writes = settings->writes;
    if (reads < 0) {
        writes = (int)(next_random(&worker->random) >> 63);
        reads = 1 - writes;
    }
    bool is_bank = reads == 2;
    uint64_t numbers[2] = {0, 0};
    kh_status status = KH_OK;
    for (int i = 0; i < reads && status == KH_OK; i++) {
        uint64_t number = next_random(&worker->random) % settings->keys;
        if (is_bank) numbers[i] = number;
        status = read_one(worker, txn, number);
    }
    for (int i = 0; i < writes && status == KH_OK; i++) {
        uint64_t number = is_bank ? numbers[i] : next_random(&worker->random) % settings->keys;
        status = write_one(worker, txn, number);
    }
    return status;
}

static void run_one(struct worker *worker) {
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = worker->settings->isolation;
    for (;;) {
        kh_txn *txn;
        kh_error error;
        check(kh_txn_begin(worker->db, &options, &txn, &error), &error, "begin");
        kh_status status = run_body(worker, txn);
        if (status == KH_OK) status = kh_txn_commit(txn, NULL, NULL);
        kh_txn_close(txn);
        if (status == KH_OK) return;
        if (kh_status_classify(status) != KH_CLASS_RETRY) check(status, &error, "transaction");
        worker->aborts++;
    }
}

static void scan_once(struct worker *worker) {
    kh_error error;
    kh_txn *txn;
    kh_txn_options options = KH_TXN_OPTIONS_INIT;
    options.isolation = worker->settings->isolation;
    options.flags = KH_BEGIN_READ_ONLY;
    check(kh_txn_begin(worker->db, &options, &txn, &error), &error, "begin");
    kh_cursor *cursor;
    check(kh_txn_scan(txn, NULL, &cursor, &error), &error, "scan");
    kh_bytes key;
    const kh_batch *batch;
    while (kh_cursor_next(cursor, &key, &batch, &error) == KH_OK) {
        int64_t value;
        check(kh_batch_int64(batch, 0, 0, &value), &error, "value");
        worker->sum += (uint64_t)value;
    }
    kh_cursor_close(cursor);
    check(kh_txn_commit(txn, NULL, &error), &error, "commit");
    kh_txn_close(txn);
}

/* The region that callgrind collects. */
__attribute__((noinline)) void measured(struct worker *worker);
__attribute__((noinline)) void measured(struct worker *worker) {
    bool is_scan = worker->settings->is_scan;
    for (uint64_t i = 0; i < worker->settings->transactions; i++) {
        if (is_scan) {
            scan_once(worker);
        } else {
            run_one(worker);
        }
    }
    kh_db_step(worker->db);
}

static void *thread_main(void *context) {
    measured(context);
    return NULL;
}

static void load(struct worker *worker) {
    kh_error error;
    for (uint64_t number = 0; number < worker->settings->keys;) {
        kh_txn *txn;
        check(kh_txn_begin(worker->db, NULL, &txn, &error), &error, "begin");
        for (int i = 0; i < 100 && number < worker->settings->keys; i++, number++)
            check(write_one(worker, txn, number), &error, "put");
        check(kh_txn_commit(txn, NULL, &error), &error, "commit");
        kh_txn_close(txn);
    }
    kh_db_step(worker->db);
}

static long resident_kib(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long total = 0;
    long resident = 0;
    if (file == NULL || fscanf(file, "%ld %ld", &total, &resident) != 2) resident = 0;
    if (file != NULL) fclose(file);
    return resident * 4;
}

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static kh_isolation isolation_of(const char *name) {
    if (strcmp(name, "ser") == 0) return KH_SERIALIZABLE;
    return strcmp(name, "rc") == 0 ? KH_READ_COMMITTED : KH_REPEATABLE_READ;
}

static struct settings parse(int count, char **arguments) {
    struct settings settings = {.workload = "c",
                                .isolation = KH_REPEATABLE_READ,
                                .keys = 100000,
                                .transactions = 100000,
                                .threads = 1};
    for (int i = 1; i + 1 < count; i += 2) {
        const char *value = arguments[i + 1];
        if (strcmp(arguments[i], "--workload") == 0) settings.workload = value;
        if (strcmp(arguments[i], "--isolation") == 0) settings.isolation = isolation_of(value);
        if (strcmp(arguments[i], "--keys") == 0) settings.keys = strtoull(value, NULL, 10);
        if (strcmp(arguments[i], "--transactions") == 0)
            settings.transactions = strtoull(value, NULL, 10);
        if (strcmp(arguments[i], "--threads") == 0)
            settings.threads = (unsigned)strtoul(value, NULL, 10);
    }
    static const struct {
        const char *name;
        int reads;
        int writes;
    } shapes[] = {{"c", 1, 0}, {"a", -1, 0}, {"rw16", 10, 6}, {"bank", 2, 2}, {"put", 0, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (strcmp(settings.workload, shapes[i].name) != 0) continue;
        settings.reads = shapes[i].reads;
        settings.writes = shapes[i].writes;
    }
    settings.is_scan = strcmp(settings.workload, "scan") == 0;
    return settings;
}

static void run_threads(struct worker *workers, unsigned count) {
    pthread_t threads[64];
    for (unsigned i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, thread_main, &workers[i]);
    for (unsigned i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

int main(int count, char **arguments) {
    struct settings settings = parse(count, arguments);
    if (settings.threads > 64) settings.threads = 64;
    kh_error error;
    kh_db *db;
    kh_schema *schema;
    static const char *const names[] = {"id", "amount", "text"};
    static const char *const formats[] = {"l", "g", "u"};
    check(kh_db_open(NULL, &db, &error), &error, "open");
    check(kh_schema_build(db, names, formats, 3, &schema, &error), &error, "schema");
    struct worker *workers = calloc(settings.threads, sizeof *workers);
    if (workers == NULL) return 1;
    for (unsigned i = 0; i < settings.threads; i++) {
        workers[i].settings = &settings;
        workers[i].db = db;
        workers[i].schema = schema;
        workers[i].random = 88172645463325252u + i * 7919u;
        init_array(&workers[i]);
    }
    long before_kib = resident_kib();
    load(&workers[0]);
    double wall = now(CLOCK_MONOTONIC);
    double cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    if (settings.threads == 1) {
        measured(&workers[0]);
    } else {
        run_threads(workers, settings.threads);
    }
    wall = now(CLOCK_MONOTONIC) - wall;
    cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    uint64_t aborts = 0;
    for (unsigned i = 0; i < settings.threads; i++) aborts += workers[i].aborts;
    double done = (double)settings.transactions * settings.threads;
    printf("{\"workload\":\"%s\",\"transactions\":%.0f,\"aborts\":%llu,\"per_second\":%.0f,"
           "\"cpu_us\":%.3f,\"rss_bytes_per_key\":%.0f}\n",
           settings.workload, done, (unsigned long long)aborts, done / wall, cpu * 1e6 / done,
           (double)(resident_kib() - before_kib) * 1024.0 / (double)settings.keys);
    kh_schema_release(schema);
    check(kh_db_close(db), &error, "close");
    free(workers);
    return 0;
}
