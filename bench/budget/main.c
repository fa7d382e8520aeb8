/* main.c - khonsu-budget: a durable database larger than its memory, under one process.
 *
 * Loads so many values of so many bytes, then reads (zipf 0.99 or uniform), then reads and writes,
 * each for some seconds, in one thread; each value is checked against its key. Prints JSON: rates,
 * latencies, memory, what is cold, what was read back. bench/budget/budget.py runs it in a control
 * group. */
#include "driver/draws.h"
#include "driver/histogram.h"
#include "engine.h"

#include <khonsu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct plan {
    const char *path;
    uint64_t budget_bytes;
    uint64_t keys;
    uint64_t value_bytes;
    double seconds;
    bool is_zipf;
};

struct bench {
    struct plan plan;
    kh_db *db;
    kh_schema *schema;
    uint64_t *text;
    uint32_t *draws;
    uint64_t draw_count;
};

struct phase {
    struct histogram reads;
    struct histogram writes;
    double seconds;
    kh_stats stats;
};

_Noreturn void engine_fail(const char *what, const char *why) {
    (void)fprintf(stderr, "khonsu-budget: %s: %s\n", what, why);
    exit(1);
}

static void check(kh_status status, const char *what, const kh_error *error) {
    if (status == KH_OK) return;
    (void)fprintf(stderr, "khonsu-budget: %s: %s: %s\n", what, kh_status_name(status),
                  error->message);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* ---- values ---------------------------------------------------------------------------------- */

static kh_bytes key_of(uint64_t key, char out[32]) {
    int length = snprintf(out, 32, "key/%020llu", (unsigned long long)key);
    return (kh_bytes){out, (size_t)length};
}

/* Not to be compressed much, and known from the key. */
static void fill(const struct bench *bench, uint64_t key) {
    uint64_t state = key * 0x9e3779b97f4a7c15u + 1;
    for (uint64_t i = 0; i < bench->plan.value_bytes / 8; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        bench->text[i] = state;
    }
}

static void put(const struct bench *bench, kh_txn *txn, uint64_t key) {
    char space[32];
    kh_error error;
    kh_batch *batch = NULL;
    fill(bench, key);
    kh_scalar scalar = {KH_SCALAR_BYTES, {.bytes = {bench->text, bench->plan.value_bytes}}};
    check(kh_batch_build(bench->db, bench->schema, &scalar, 1, &batch, &error), "build", &error);
    check(kh_txn_put(txn, key_of(key, space), batch, &error), "put", &error);
    kh_batch_release(batch);
}

static void get(const struct bench *bench, kh_txn *txn, uint64_t key) {
    char space[32];
    kh_error error;
    const kh_batch *batch = NULL;
    kh_bytes text;
    check(kh_txn_peek(txn, key_of(key, space), &batch, &error), "peek", &error);
    fill(bench, key);
    if (kh_batch_bytes(batch, 0, 0, &text) != KH_OK || text.size_bytes != bench->plan.value_bytes ||
        memcmp(text.data, bench->text, text.size_bytes) != 0) {
        (void)fprintf(stderr, "khonsu-budget: the value of key %llu is another one\n",
                      (unsigned long long)key);
        exit(1);
    }
}

/* ---- phases ---------------------------------------------------------------------------------- */

static void note_stats(const struct bench *bench, struct phase *phase) {
    kh_error error;
    phase->stats.size = sizeof phase->stats;
    check(kh_db_stats(bench->db, &phase->stats, &error), "stats", &error);
}

static void load(const struct bench *bench, struct phase *phase) {
    enum { PER_COMMIT = 64 };
    kh_error error;
    uint64_t start = now_ns();
    for (uint64_t first = 0; first < bench->plan.keys; first += PER_COMMIT) {
        kh_txn *txn = NULL;
        uint64_t began = now_ns();
        check(kh_txn_begin(bench->db, NULL, &txn, &error), "begin", &error);
        for (uint64_t key = first; key < first + PER_COMMIT && key < bench->plan.keys; key++)
            put(bench, txn, key);
        check(kh_txn_commit(txn, NULL, &error), "commit", &error);
        kh_txn_close(txn);
        histogram_note(&phase->writes, now_ns() - began);
    }
    phase->seconds = (double)(now_ns() - start) / 1e9;
    note_stats(bench, phase);
}

static void one(const struct bench *bench, struct phase *phase, uint32_t draw, bool may_write) {
    bool is_write = may_write && (draw & DRAW_IS_WRITE);
    uint64_t key = draw & ~DRAW_IS_WRITE;
    kh_error error;
    kh_txn *txn = NULL;
    uint64_t began = now_ns();
    check(kh_txn_begin(bench->db, NULL, &txn, &error), "begin", &error);
    if (is_write)
        put(bench, txn, key);
    else
        get(bench, txn, key);
    check(kh_txn_commit(txn, NULL, &error), "commit", &error);
    kh_txn_close(txn);
    histogram_note(is_write ? &phase->writes : &phase->reads, now_ns() - began);
}

static void run(const struct bench *bench, struct phase *phase, bool may_write) {
    uint64_t start = now_ns();
    uint64_t end = start + (uint64_t)(bench->plan.seconds * 1e9);
    for (uint64_t i = 0; now_ns() < end; i++)
        one(bench, phase, bench->draws[i % bench->draw_count], may_write);
    phase->seconds = (double)(now_ns() - start) / 1e9;
    note_stats(bench, phase);
}

/* ---- results --------------------------------------------------------------------------------- */

static void print_latencies(const char *name, const struct histogram *histogram, double seconds) {
    struct percentiles all = histogram_percentiles(histogram);
    (void)printf(", \"%s\": %llu, \"%s_per_second\": %.1f, \"%s_p50_us\": %.1f, "
                 "\"%s_p99_us\": %.1f, \"%s_max_us\": %.1f",
                 name, (unsigned long long)histogram->count, name,
                 (double)histogram->count / seconds, name, all.p50_us, name, all.p99_us, name,
                 all.max_us);
}

static void print_phase(const char *name, const struct phase *phase) {
    (void)printf("{\"phase\": \"%s\", \"seconds\": %.2f", name, phase->seconds);
    if (phase->reads.count > 0) print_latencies("reads", &phase->reads, phase->seconds);
    if (phase->writes.count > 0) print_latencies("writes", &phase->writes, phase->seconds);
    (void)printf(
        ", \"memory_bytes\": %llu, \"keys\": %llu, \"versions_cold\": %llu, "
        "\"fetches\": %llu, \"busy\": %llu}\n",
        (unsigned long long)phase->stats.memory_bytes, (unsigned long long)phase->stats.keys,
        (unsigned long long)phase->stats.versions_cold, (unsigned long long)phase->stats.fetches,
        (unsigned long long)phase->stats.aborts_busy);
    (void)fflush(stdout);
}

static void open_database(struct bench *bench) {
    static const char *const names[] = {"text"};
    static const char *const formats[] = {"z"};
    kh_options options = KH_OPTIONS_INIT;
    kh_error error;
    options.path = bench->plan.path;
    options.sync = KH_SYNC_GROUP;
    options.timeout_ms = 60000;
    options.limits.memory_bytes = bench->plan.budget_bytes;
    check(kh_db_open(&options, &bench->db, &error), "open", &error);
    check(kh_schema_build(bench->db, names, formats, 1, &bench->schema, &error), "schema", &error);
}

static void close_database(struct bench *bench) {
    kh_error error = {"a transaction is open"};
    kh_schema_release(bench->schema);
    check(kh_db_close(bench->db), "close", &error);
}

static void draw(struct bench *bench) {
    enum { DRAWS = 1 << 20 };
    struct draw_rule rule = {.keys = bench->plan.keys,
                             .is_zipf = bench->plan.is_zipf,
                             .write_odds = 1u << 29,
                             .seed = 1};
    struct draw_table *table = draw_table_create(&rule);
    bench->draws = draws_make(table, 0, DRAWS);
    bench->draw_count = DRAWS;
    draw_table_destroy(table);
}

static void reopen(struct bench *bench) {
    struct phase phase = {.seconds = 0};
    uint64_t start = now_ns();
    close_database(bench);
    open_database(bench);
    phase.seconds = (double)(now_ns() - start) / 1e9;
    note_stats(bench, &phase);
    print_phase("close and open", &phase);
}

static void run_all(struct bench *bench) {
    static struct phase loading, reading, mixed;
    bench->text = calloc(1, bench->plan.value_bytes + 8);
    draw(bench);
    open_database(bench);
    load(bench, &loading);
    print_phase("load", &loading);
    run(bench, &reading, false);
    print_phase("read", &reading);
    run(bench, &mixed, true);
    print_phase("read, one of eight writes", &mixed);
    reopen(bench);
    close_database(bench);
    free(bench->draws);
    free(bench->text);
}

static uint64_t number_of(const char *text) {
    return strtoull(text, NULL, 10);
}

int main(int argc, char **argv) {
    struct bench bench = {.plan = {.keys = 100000, .value_bytes = 4096, .seconds = 10}};
    struct plan *plan = &bench.plan;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--path") == 0) plan->path = argv[i + 1];
        if (strcmp(argv[i], "--budget") == 0) plan->budget_bytes = number_of(argv[i + 1]);
        if (strcmp(argv[i], "--keys") == 0) plan->keys = number_of(argv[i + 1]);
        if (strcmp(argv[i], "--value-bytes") == 0) plan->value_bytes = number_of(argv[i + 1]) & ~7u;
        if (strcmp(argv[i], "--seconds") == 0) plan->seconds = strtod(argv[i + 1], NULL);
        if (strcmp(argv[i], "--distribution") == 0)
            plan->is_zipf = strcmp(argv[i + 1], "zipf") == 0;
    }
    if (plan->path == NULL) {
        (void)fprintf(stderr, "usage: khonsu-budget --path DIR [--budget BYTES] [--keys N] "
                              "[--value-bytes N] [--seconds S] [--distribution uniform|zipf]\n");
        return 2;
    }
    run_all(&bench);
    return 0;
}
