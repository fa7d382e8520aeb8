/* load_bench.c - one commit of so many bytes, synced: through the write-ahead log, or loaded as a
 * table file. Where the two cross is where loading begins (log/rocks_load.h).
 *
 *     load_bench DIR [BYTES...]
 *
 * For each size the two alternate, ROUNDS times COMMITS commits of one key each by one committer,
 * each time in a new database in DIR; what is printed are medians over the rounds, of the mean and
 * of the fastest commit. */
#include "log/rocks_load.h"

#include <khonsu.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 5, COMMITS = 40 };

struct taken {
    double mean_ms;
    double least_ms;
};

static double now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void must(kh_status status, const kh_error *error) {
    if (status == KH_OK) return;
    fprintf(stderr, "load_bench: %s\n", error->message);
    exit(1);
}

static kh_batch *make_value(kh_db *db, size_t size_bytes) {
    static const char *const names[] = {"n"};
    static const char *const formats[] = {"l"};
    kh_error error = {""};
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    size_t rows = size_bytes / 8;
    kh_scalar *scalars = calloc(rows, sizeof *scalars);
    if (scalars == NULL) exit(1);
    for (size_t i = 0; i < rows; i++)
        scalars[i] = (kh_scalar){KH_SCALAR_INT64, {.int64 = (int64_t)(i * 0x9e3779b97f4a7c15u)}};
    must(kh_schema_build(db, names, formats, 1, &schema, &error), &error);
    must(kh_batch_build(db, schema, scalars, (int64_t)rows, &batch, &error), &error);
    kh_schema_release(schema);
    free(scalars);
    return batch;
}

static double commit_one(kh_db *db, const kh_batch *value, int number) {
    char key[16];
    kh_error error = {""};
    kh_txn *txn = NULL;
    int length = snprintf(key, sizeof key, "k%06d", number);
    must(kh_txn_begin(db, NULL, &txn, &error), &error);
    must(kh_txn_put(txn, (kh_bytes){key, (size_t)length}, value, &error), &error);
    double began = now_ms();
    must(kh_txn_commit(txn, NULL, &error), &error);
    double took = now_ms() - began;
    kh_txn_close(txn);
    return took;
}

static struct taken measure(const char *directory, size_t size_bytes, int round, bool is_loaded) {
    char path[4096];
    kh_options options = KH_OPTIONS_INIT;
    kh_error error = {""};
    kh_db *db = NULL;
    struct taken taken = {0, 1e9};
    (void)snprintf(path, sizeof path, "%s/%zu_%d_%s", directory, size_bytes, round,
                   is_loaded ? "loaded" : "logged");
    rocks_load_bytes = is_loaded ? 1 : SIZE_MAX;
    options.path = path;
    must(kh_db_open(&options, &db, &error), &error);
    kh_batch *value = make_value(db, size_bytes);
    for (int i = 0; i < COMMITS; i++) {
        double took = commit_one(db, value, i);
        taken.mean_ms += took / COMMITS;
        if (took < taken.least_ms) taken.least_ms = took;
    }
    kh_batch_release(value);
    must(kh_db_close(db), &error);
    return taken;
}

static int by_size(const void *a, const void *b) {
    double left = *(const double *)a;
    double right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static double middle(double *values) {
    qsort(values, ROUNDS, sizeof *values, by_size);
    return values[ROUNDS / 2];
}

static void compare(const char *directory, size_t size_bytes) {
    double means[2][ROUNDS];
    double leasts[2][ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        for (int is_loaded = 0; is_loaded < 2; is_loaded++) {
            struct taken taken = measure(directory, size_bytes, round, is_loaded == 1);
            means[is_loaded][round] = taken.mean_ms;
            leasts[is_loaded][round] = taken.least_ms;
        }
    printf("%9zu bytes: logged %7.3f ms, fastest %7.3f; loaded %7.3f ms, fastest %7.3f\n",
           size_bytes, middle(means[0]), middle(leasts[0]), middle(means[1]), middle(leasts[1]));
    (void)fflush(stdout);
}

int main(int argument_count, char **arguments) {
    static const size_t sizes[] = {64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20};
    if (argument_count < 2) {
        fprintf(stderr, "usage: load_bench DIR [BYTES...]\n");
        return 2;
    }
    for (int i = 2; i < argument_count; i++)
        compare(arguments[1], strtoull(arguments[i], NULL, 10));
    for (size_t i = 0; argument_count == 2 && i < sizeof sizes / sizeof sizes[0]; i++)
        compare(arguments[1], sizes[i]);
    return 0;
}
