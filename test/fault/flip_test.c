/* Damage: a byte of a file is another one, a file ends too early, a file is gone. Whatever it is,
 * opening answers an error, or everything that was acknowledged is there; and kh_verify finds it,
 * or nothing is lost by it.
 *
 *     test_flip [--seed N] [--samples N] [--all] [--shape NAME] [--file NAME] [--at BYTE]
 *
 * Four databases of some hundred records are made once, each by a process of its own:
 *   kept     closed, with its whole log, by retention
 *   swept    closed, its log trimmed
 *   killed   left by a process that ended without closing it; the log is in the write-ahead log
 *   loaded   as kept; groups and steps of some KB are tables that were taken in (rocks_load.h)
 * Each damage is done to a copy, and looked at by a process of its own, since damaged files may do
 * anything to who reads them. --all: every byte of the first KiB of each file, and some hundred
 * samples of the rest. --file and --at: one damage, in words. */
#include "log/rocks_load.h"
#include "support/directory.h"

#include <khonsu.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 40, KEYS = 8, BIG_BYTES = 40000, FILES_MAX = 64, NAME_BYTES = 300 };
enum { HANG_S = 60 };
enum { SHAPES = 4, LOADED = 3, LOAD_BYTES = 8000 };
static const char *const shapes[SHAPES] = {"kept", "swept", "killed", "loaded"};

static void must(bool is_true, const char *what) {
    if (is_true) return;
    (void)fprintf(stderr, "test_flip: %s\n", what);
    exit(99);
}

/* ---- the databases --------------------------------------------------------------------------- */

static kh_status open_at(const char *path, bool is_kept, kh_db **out, kh_error *error) {
    kh_options options = KH_OPTIONS_INIT;
    options.path = path;
    options.flags = KH_OPEN_NO_THREADS;
    options.retention_ms = is_kept ? UINT64_C(1) << 40 : 0;
    return kh_db_open(&options, out, error);
}

static kh_batch *make_value(kh_db *db, kh_schema *numbers, kh_schema *texts, int number) {
    static char big[BIG_BYTES];
    kh_batch *batch = NULL;
    kh_status status;
    if (number % 5 == 4) {
        size_t size = number % 20 == 19 ? sizeof big : (size_t)(number % 60);
        for (size_t i = 0; i < size; i++) big[i] = (char)('a' + ((size_t)number * 7 + i * i) % 26);
        kh_scalar text = {KH_SCALAR_BYTES, {.bytes = {big, size}}};
        status = kh_batch_build(db, texts, &text, 1, &batch, NULL);
    } else {
        kh_scalar scalar = {KH_SCALAR_INT64, {.int64 = number}};
        status = kh_batch_build(db, numbers, &scalar, 1, &batch, NULL);
    }
    must(status == KH_OK, "a value");
    return batch;
}

static void put(kh_db *db, kh_schema *numbers, kh_schema *texts, kh_txn *txn, int key, int number) {
    char name[32];
    int length = snprintf(name, sizeof name, "key-%d", key);
    kh_batch *batch = make_value(db, numbers, texts, number);
    must(kh_txn_put(txn, (kh_bytes){name, (size_t)length}, batch, NULL) == KH_OK, "put");
    kh_batch_release(batch);
}

static void fill(kh_db *db, kh_schema *numbers, kh_schema *texts, int from, int to) {
    for (int i = from; i < to; i++) {
        kh_txn *txn = NULL;
        must(kh_txn_begin(db, NULL, &txn, NULL) == KH_OK, "begin");
        put(db, numbers, texts, txn, i % KEYS, i);
        put(db, numbers, texts, txn, 100 + i, i);
        if (i % 7 == 6) {
            char name[32];
            int length = snprintf(name, sizeof name, "key-%d", 100 + i - 3);
            must(kh_txn_delete(txn, (kh_bytes){name, (size_t)length}, NULL) == KH_OK, "delete");
        }
        bool is_prepared = i % 10 == 9;
        if (is_prepared) must(kh_txn_prepare(txn, NULL) == KH_OK, "prepare");
        must(kh_txn_commit(txn, NULL, NULL) == KH_OK, "commit");
        kh_txn_close(txn);
    }
}

static void leave_prepared(kh_db *db, kh_schema *numbers, kh_schema *texts, int key) {
    kh_txn *txn = NULL;
    must(kh_txn_begin(db, NULL, &txn, NULL) == KH_OK, "begin");
    put(db, numbers, texts, txn, key, key);
    must(kh_txn_prepare(txn, NULL) == KH_OK, "prepare");
    kh_txn_close(txn);
}

static void make_one(const char *path, int shape) {
    static const char *const number_names[] = {"n"};
    static const char *const number_formats[] = {"l"};
    static const char *const text_names[] = {"text"};
    static const char *const text_formats[] = {"u"};
    kh_db *db = NULL;
    kh_schema *numbers = NULL;
    kh_schema *texts = NULL;
    if (shape == LOADED) rocks_load_bytes = LOAD_BYTES;
    must(open_at(path, shape == 0 || shape == LOADED, &db, NULL) == KH_OK, "open");
    must(kh_schema_build(db, number_names, number_formats, 1, &numbers, NULL) == KH_OK, "schema");
    must(kh_schema_build(db, text_names, text_formats, 1, &texts, NULL) == KH_OK, "schema");
    fill(db, numbers, texts, 0, ROUNDS);
    leave_prepared(db, numbers, texts, 1000);
    if (shape == 2) /* the storage is synced and the log is trimmed now and then: once, here */
        for (int i = 0; i < 25; i++) kh_db_step(db);
    leave_prepared(db, numbers, texts, 1001);
    fill(db, numbers, texts, ROUNDS, 2 * ROUNDS);
    if (shape == 2) _exit(0);
    kh_schema_release(numbers);
    kh_schema_release(texts);
    must(kh_db_close(db) == KH_OK, "close");
}

/* ---- what is in one -------------------------------------------------------------------------- */

static uint64_t mix(uint64_t sum, const void *bytes, size_t size_bytes) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size_bytes; i++) sum = (sum ^ at[i]) * UINT64_C(1099511628211);
    return (sum ^ size_bytes) * UINT64_C(1099511628211);
}

static bool add_prepared(void *context, const kh_live_txn *txn) {
    if (txn->is_prepared) *(uint64_t *)context += txn->id.low * 31 + txn->write_count;
    return true;
}

/* 0: a value cannot be read. */
static uint64_t sum_of(kh_db *db) {
    kh_identity identity = kh_db_identity(db);
    uint64_t sum = mix(UINT64_C(14695981039346656037), &identity, sizeof identity);
    kh_txn *txn = NULL;
    kh_cursor *cursor = NULL;
    kh_bytes key;
    const kh_batch *value;
    uint64_t prepared = 0;
    must(kh_txn_begin(db, NULL, &txn, NULL) == KH_OK, "begin");
    must(kh_txn_scan(txn, NULL, &cursor, NULL) == KH_OK, "scan");
    while (kh_cursor_next(cursor, &key, &value, NULL) == KH_OK) {
        kh_bytes encoded;
        must(kh_ipc_encode(&value, 1, KH_IPC_STREAM, KH_COMPRESS_NONE, &encoded, NULL) == KH_OK,
             "encode");
        sum = mix(mix(sum, key.data, key.size_bytes), encoded.data, encoded.size_bytes);
        kh_bytes_free(encoded);
    }
    kh_cursor_close(cursor);
    kh_txn_close(txn);
    must(kh_db_live(db, add_prepared, &prepared, NULL) == KH_OK, "live");
    return mix(sum, &prepared, sizeof prepared);
}

/* ---- looking at a copy ----------------------------------------------------------------------- */

enum { SEEN_BY_VERIFY = 1, SEEN_BY_OPEN = 2, CHANGED = 4, CLOSE_FAILED = 8 };
enum { EXIT_SEEN = 64, ENDED = 1000 }; /* sanitizers end a process with codes of their own */

static int look(const char *path, uint64_t expected, bool is_loud) {
    kh_verify_report report = {.size = sizeof report};
    kh_error error = {""};
    kh_db *db = NULL;
    int seen = 0;
    kh_status status = kh_verify(path, NULL, &report, &error);
    if (is_loud) (void)printf("verify: %s %s\n", kh_status_name(status), error.message);
    if (status != KH_OK) seen |= SEEN_BY_VERIFY;
    error.message[0] = '\0';
    status = open_at(path, false, &db, &error);
    if (is_loud) (void)printf("open: %s %s\n", kh_status_name(status), error.message);
    if (status != KH_OK) return seen | SEEN_BY_OPEN;
    if (sum_of(db) != expected) seen |= CHANGED;
    if (is_loud) (void)printf("content: %s\n", seen & CHANGED ? "CHANGED" : "as it was");
    return kh_db_close(db) == KH_OK ? seen : seen | CLOSE_FAILED;
}

/* In a process of its own: what look says, or ENDED and more: how else it ended. */
static int look_apart(const char *path, uint64_t expected, bool is_loud) {
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(HANG_S); /* a reader that never ends is ended */
        int seen = look(path, expected, is_loud);
        (void)fflush(NULL);
        _exit(EXIT_SEEN + seen);
    }
    int status = 0;
    must(child > 0 && waitpid(child, &status, 0) == child, "fork");
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    return code >= EXIT_SEEN && code < EXIT_SEEN + 16 ? code - EXIT_SEEN : ENDED + status;
}

/* ---- files ----------------------------------------------------------------------------------- */

struct file {
    char name[NAME_BYTES]; /* below the directory */
    off_t size;
};

struct files {
    struct file list[FILES_MAX];
    int count;
};

static void list_files(struct files *files, const char *root, const char *below) {
    char path[2 * NAME_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", root, below);
    DIR *directory = opendir(path);
    must(directory != NULL, "opendir");
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char name[NAME_BYTES];
        struct stat status;
        if (entry->d_name[0] == '.') continue;
        int length =
            snprintf(name, sizeof name, "%.40s%s%.200s", below, *below ? "/" : "", entry->d_name);
        must(length < NAME_BYTES, "a long name");
        (void)snprintf(path, sizeof path, "%s/%s", root, name);
        must(stat(path, &status) == 0, "stat");
        if (S_ISDIR(status.st_mode)) {
            list_files(files, root, name);
        } else {
            must(files->count < FILES_MAX, "many files");
            memcpy(files->list[files->count].name, name, sizeof name);
            files->list[files->count++].size = status.st_size;
        }
    }
    (void)closedir(directory);
}

/* ---- damages --------------------------------------------------------------------------------- */

struct run {
    uint64_t random;
    int samples;
    bool is_all;
    const char *only_shape;
    const char *only_file;
    int64_t only_at;
    int shape;
    struct directory pristine;
    struct directory copy;
    uint64_t expected;
    uint64_t tried;
    uint64_t found_by_open;
    uint64_t found_by_verify;
    uint64_t harmless;
    uint64_t wrong;
};

static uint64_t draw(struct run *run) {
    run->random = run->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return run->random >> 33;
}

static void judge(struct run *run, const char *file, const char *what, int64_t at) {
    int seen = look_apart(run->copy.path, run->expected, run->only_at >= 0);
    run->tried++;
    if (seen < ENDED && (seen & SEEN_BY_OPEN)) run->found_by_open++;
    if (seen < ENDED && (seen & SEEN_BY_VERIFY)) run->found_by_verify++;
    if (seen == 0) run->harmless++;
    const char *why = NULL;
    if (seen >= ENDED) {
        why = "the reader was ended";
    } else if (seen & CHANGED) {
        why = seen & SEEN_BY_VERIFY ? "opened with other contents" : "NOT SEEN, other contents";
    } else if (seen == SEEN_BY_OPEN) {
        why = "refused by open, not seen by verify";
    } else if (seen & CLOSE_FAILED) {
        why = "could not be closed";
    }
    if (why == NULL) return;
    run->wrong++;
    (void)printf("%s: %s, %s %" PRId64 ": %s (%d)\n", shapes[run->shape], file, what, at, why,
                 seen);
}

static void restore(struct run *run) {
    directory_remove(&run->copy);
    directory_make(&run->copy);
    directory_copy(&run->pristine, &run->copy);
}

static void flip(struct run *run, const struct file *file, off_t at) {
    unsigned char byte;
    restore(run);
    int descriptor = open(directory_join(&run->copy, file->name), O_RDWR);
    must(descriptor >= 0 && pread(descriptor, &byte, 1, at) == 1, "read");
    byte ^= (unsigned char)(run->only_at >= 0 ? 0xff : 1 + draw(run) % 255);
    must(pwrite(descriptor, &byte, 1, at) == 1, "write");
    (void)close(descriptor);
    judge(run, file->name, "byte", at);
}

static void cut(struct run *run, const struct file *file, off_t size) {
    if (size < 0 || size >= file->size) return;
    restore(run);
    must(truncate(directory_join(&run->copy, file->name), size) == 0, "truncate");
    judge(run, file->name, "cut to", size);
}

static void lose(struct run *run, const struct file *file) {
    restore(run);
    must(unlink(directory_join(&run->copy, file->name)) == 0, "unlink");
    judge(run, file->name, "deleted", 0);
}

static void damage(struct run *run, const struct file *file) {
    enum { START = 1024 };
    if (run->only_at >= 0) {
        flip(run, file, run->only_at);
        return;
    }
    bool is_text = strstr(file->name, "/LOG") != NULL || strstr(file->name, "OPTIONS") != NULL;
    int samples = is_text ? 1 : run->samples;
    off_t each = !run->is_all || is_text ? 0 : file->size <= START ? file->size : START;
    for (off_t at = 0; at < each; at++) flip(run, file, at);
    for (int i = 0; i < samples && each < file->size; i++)
        flip(run, file, each + (off_t)(draw(run) % (uint64_t)(file->size - each)));
    for (int i = 0; i < (run->is_all && !is_text ? 32 : 1); i++)
        cut(run, file, file->size == 0 ? 0 : (off_t)(draw(run) % (uint64_t)file->size));
    cut(run, file, 0);
    cut(run, file, file->size - 1);
    lose(run, file);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void make_apart(struct run *run) {
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        make_one(run->pristine.path, run->shape);
        _exit(0);
    }
    int status = 0;
    must(child > 0 && waitpid(child, &status, 0) == child && status == 0, "the database");
}

/* What an undamaged copy has, told through a pipe. */
static void read_expected(struct run *run) {
    int ends[2];
    must(pipe(ends) == 0, "pipe");
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        kh_db *db = NULL;
        must(open_at(run->copy.path, false, &db, NULL) == KH_OK, "open");
        uint64_t sum = sum_of(db);
        must(write(ends[1], &sum, sizeof sum) == sizeof sum, "write");
        must(kh_db_close(db) == KH_OK, "close");
        _exit(0);
    }
    int status = 0;
    must(child > 0 && waitpid(child, &status, 0) == child && status == 0, "an undamaged copy");
    must(read(ends[0], &run->expected, sizeof run->expected) == sizeof run->expected, "read");
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void run_shape(struct run *run, int shape) {
    struct files files = {.count = 0};
    run->shape = shape;
    directory_make(&run->pristine);
    directory_make(&run->copy);
    make_apart(run);
    restore(run);
    read_expected(run);
    restore(run);
    int seen = look_apart(run->copy.path, run->expected, false);
    if (seen != 0) (void)look_apart(run->copy.path, run->expected, true);
    must(seen == 0, "an undamaged copy is sound");
    list_files(&files, run->pristine.path, "");
    for (int i = 0; i < files.count; i++)
        if (run->only_file == NULL || strcmp(run->only_file, files.list[i].name) == 0)
            damage(run, &files.list[i]);
    directory_remove(&run->copy);
    directory_remove(&run->pristine);
}

static bool take_option(struct run *run, const char *name, const char *value) {
    if (strcmp(name, "--seed") == 0) {
        run->random = strtoull(value, NULL, 10);
    } else if (strcmp(name, "--samples") == 0) {
        run->samples = atoi(value);
    } else if (strcmp(name, "--shape") == 0) {
        run->only_shape = value;
    } else if (strcmp(name, "--file") == 0) {
        run->only_file = value;
    } else if (strcmp(name, "--at") == 0) {
        run->only_at = strtoll(value, NULL, 10);
    } else {
        return false;
    }
    return true;
}

int main(int argument_count, char **arguments) {
    struct run run = {.random = 1, .samples = 4, .only_at = -1};
    if (!kh_has_feature("durable")) return 0;
    /* A file system in memory, where there is one: thousands of copies. */
    if (access("/dev/shm", W_OK) == 0) (void)setenv("TMPDIR", "/dev/shm", 0);
    for (int i = 1; i < argument_count; i++) {
        if (strcmp(arguments[i], "--all") == 0) {
            run.is_all = true;
            run.samples = 300;
        } else if (i + 1 >= argument_count || !take_option(&run, arguments[i], arguments[i + 1])) {
            must(false, "--seed N, --samples N, --all, --shape NAME, --file NAME, --at BYTE");
        } else {
            i++;
        }
    }
    for (int shape = 0; shape < SHAPES; shape++)
        if (run.only_shape == NULL || strcmp(run.only_shape, shapes[shape]) == 0)
            run_shape(&run, shape);
    (void)printf("{\"proof\":\"flip\",\"damages\":%" PRIu64 ",\"refused_by_open\":%" PRIu64
                 ",\"found_by_verify\":%" PRIu64 ",\"harmless\":%" PRIu64 ",\"failures\":%" PRIu64
                 "}\n",
                 run.tried, run.found_by_open, run.found_by_verify, run.harmless, run.wrong);
    return run.wrong == 0 ? 0 : 1;
}
