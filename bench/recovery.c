/* recovery.c - what opening a database costs: made once, opened in a process of its own.
 *
 *     recovery --make DIR --keys N [--text-bytes B] [--per-commit K] [--sync none|full] [--kill]
 *     recovery --open DIR [--threads]
 *
 * A value is a batch of one row: int64, float64, utf8 of B bytes (default 84); a key has 24 bytes;
 * keys are written in no order, K of them in a transaction (default 1). --make closes the database,
 * so that its storage has all of it; with --kill the process ends without that, and the log has all
 * of it. --open prints one line of JSON and ends without closing, so that it can be repeated.
 * bench/report/recovery.py runs it. Instructions:
 *
 *     valgrind --tool=callgrind --toggle-collect=kh_db_open recovery --open DIR
 */
#include <khonsu.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { KEY_BYTES = 24, TEXT_BYTES = 84, COLUMNS = 3 };

struct settings {
    const char *make;
    const char *open;
    uint64_t keys;
    uint64_t text_bytes;
    uint64_t per_commit;
    kh_sync sync;
    bool is_killed;
    bool has_threads;
};

static void check(kh_status status, const kh_error *error, const char *what) {
    if (status == KH_OK) return;
    fprintf(stderr, "recovery: %s: %s: %s\n", what, kh_status_name(status), error->message);
    exit(2);
}

static _Noreturn void usage(const char *what) {
    fprintf(stderr, "recovery: %s: see the head of bench/recovery.c\n", what);
    exit(2);
}

/* ---- making one ------------------------------------------------------------------------------ */

struct row {
    struct ArrowArray array;
    struct ArrowArray columns[COLUMNS];
    struct ArrowArray *children[COLUMNS];
    const void *buffers[7];
    const void *no_validity[1];
    int64_t number;
    double second;
    int32_t offsets[2];
    char *text;
};

static void release_nothing(struct ArrowArray *array) {
    array->release = NULL;
}

static void make_row(struct row *row, uint64_t text_bytes) {
    static const int first[COLUMNS] = {0, 2, 4};
    static const int count[COLUMNS] = {2, 2, 3};
    memset(row, 0, sizeof *row);
    row->text = malloc(text_bytes + 1);
    if (row->text == NULL) usage("no memory");
    memset(row->text, 'x', text_bytes);
    row->offsets[1] = (int32_t)text_bytes;
    row->buffers[1] = &row->number;
    row->buffers[3] = &row->second;
    row->buffers[5] = row->offsets;
    row->buffers[6] = row->text;
    for (int i = 0; i < COLUMNS; i++) {
        row->columns[i] = (struct ArrowArray){.length = 1,
                                              .n_buffers = count[i],
                                              .buffers = row->buffers + first[i],
                                              .release = release_nothing};
        row->children[i] = &row->columns[i];
    }
    row->array = (struct ArrowArray){.length = 1,
                                     .n_buffers = 1,
                                     .n_children = COLUMNS,
                                     .buffers = row->no_validity,
                                     .children = row->children};
}

/* Texts differ, as they do, so that compression finds in them what it finds in words. */
static void fill_row(struct row *row, uint64_t number, uint64_t text_bytes) {
    uint64_t state = number * 0x9e3779b97f4a7c15u + 1;
    row->number = (int64_t)number;
    row->second = (double)number / 7;
    for (uint64_t i = 0; i < text_bytes; i++) {
        if (i % 16 == 0) state = (state ^ state >> 29) * 0xbf58476d1ce4e5b9u;
        row->text[i] = (char)('a' + (state >> (i % 16 * 4) & 15));
    }
    row->array.release = release_nothing;
}

static void put_all(kh_db *db, const struct settings *settings) {
    static const char *const names[] = {"id", "second", "text"};
    static const char *const formats[] = {"l", "g", "u"};
    kh_error error = {""};
    kh_schema *schema = NULL;
    kh_txn *txn = NULL;
    struct row row;
    check(kh_schema_build(db, names, formats, COLUMNS, &schema, &error), &error, "schema");
    make_row(&row, settings->text_bytes);
    for (uint64_t i = 0; i < settings->keys; i++) {
        char key[KEY_BYTES + 1];
        /* A prime above all counts of keys: each once, in no order. */
        uint64_t number = i * UINT64_C(4294967291) % settings->keys;
        (void)snprintf(key, sizeof key, "user%020llu", (unsigned long long)number);
        fill_row(&row, number, settings->text_bytes);
        if (txn == NULL) check(kh_txn_begin(db, NULL, &txn, &error), &error, "begin");
        check(kh_txn_put_array(txn, (kh_bytes){key, KEY_BYTES}, schema, &row.array,
                               KH_DEFAULT_POLICY, &error),
              &error, "put");
        if ((i + 1) % settings->per_commit != 0 && i + 1 < settings->keys) continue;
        check(kh_txn_commit(txn, NULL, &error), &error, "commit");
        kh_txn_close(txn);
        txn = NULL;
    }
    free(row.text);
    kh_schema_release(schema);
}

static void make(const struct settings *settings) {
    kh_options options = KH_OPTIONS_INIT;
    kh_txn_options synced = KH_TXN_OPTIONS_INIT;
    kh_error error = {""};
    kh_db *db = NULL;
    kh_txn *last = NULL;
    options.path = settings->make;
    options.sync = settings->sync;
    options.timeout_ms = 600 * 1000;
    /* Without threads nobody brings the storage up to date. */
    if (settings->is_killed) options.flags = KH_OPEN_NO_THREADS;
    check(kh_db_open(&options, &db, &error), &error, "open");
    put_all(db, settings);
    synced.sync = KH_SYNC_FULL; /* and all before it */
    check(kh_txn_begin(db, &synced, &last, &error), &error, "begin");
    check(kh_txn_delete(last, (kh_bytes){"none", 4}, &error), &error, "delete");
    check(kh_txn_commit(last, NULL, &error), &error, "commit");
    kh_txn_close(last);
    if (settings->is_killed) _exit(0);
    check(kh_db_close(db), &error, "close");
}

/* ---- opening it ------------------------------------------------------------------------------ */

static double seconds_of(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static double now(void) {
    struct timespec time = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The last one says what was read. */
static void keep_message(void *context, kh_log_level level, const char *message) {
    (void)level;
    (void)snprintf(context, sizeof(kh_error), "%s", message);
}

static void open_once(const struct settings *settings) {
    kh_options options = KH_OPTIONS_INIT;
    kh_error error = {""};
    kh_error said = {""};
    kh_stats stats = {.size = sizeof stats};
    struct rusage before;
    struct rusage after;
    kh_db *db = NULL;
    options.path = settings->open;
    options.flags = settings->has_threads ? 0 : KH_OPEN_NO_THREADS;
    options.message = keep_message;
    options.message_context = &said;
    (void)getrusage(RUSAGE_SELF, &before);
    double began = now();
    check(kh_db_open(&options, &db, &error), &error, "open");
    double seconds = now() - began;
    (void)getrusage(RUSAGE_SELF, &after);
    check(kh_db_stats(db, &stats, &error), &error, "stats");
    printf("{\"keys\":%llu,\"seconds\":%.4f,\"user\":%.4f,\"system\":%.4f,\"memory_bytes\":%llu,"
           "\"said\":\"%s\"}\n",
           (unsigned long long)stats.keys, seconds,
           seconds_of(after.ru_utime) - seconds_of(before.ru_utime),
           seconds_of(after.ru_stime) - seconds_of(before.ru_stime),
           (unsigned long long)stats.memory_bytes, said.message);
    (void)fflush(stdout);
    _exit(0);
}

static bool take_flag(struct settings *settings, const char *name) {
    if (strcmp(name, "--kill") == 0) return settings->is_killed = true;
    if (strcmp(name, "--threads") == 0) return settings->has_threads = true;
    return false;
}

static bool take_value(struct settings *settings, const char *name, const char *value) {
    static const char *const names[] = {"--keys", "--text-bytes", "--per-commit"};
    uint64_t *numbers[] = {&settings->keys, &settings->text_bytes, &settings->per_commit};
    if (value == NULL) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        *numbers[i] = strtoull(value, NULL, 10);
        return *numbers[i] > 0;
    }
    if (strcmp(name, "--make") == 0) {
        settings->make = value;
    } else if (strcmp(name, "--open") == 0) {
        settings->open = value;
    } else if (strcmp(name, "--sync") == 0) {
        settings->sync = strcmp(value, "full") == 0 ? KH_SYNC_FULL : KH_SYNC_NONE;
    } else {
        return false;
    }
    return true;
}

int main(int count, char **arguments) {
    struct settings settings = {.text_bytes = TEXT_BYTES, .per_commit = 1, .sync = KH_SYNC_NONE};
    for (int i = 1; i < count; i++) {
        if (take_flag(&settings, arguments[i])) continue;
        const char *value = i + 1 < count ? arguments[i + 1] : NULL;
        if (!take_value(&settings, arguments[i], value)) usage(arguments[i]);
        i++;
    }
    if ((settings.make == NULL) == (settings.open == NULL)) usage("either --make or --open");
    if (settings.make != NULL && settings.keys == 0) usage("--keys");
    if (settings.make != NULL) make(&settings);
    if (settings.open != NULL) open_once(&settings);
    return 0;
}
