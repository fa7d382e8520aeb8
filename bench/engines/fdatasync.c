/* fdatasync.c - the floors of a durable commit: the bare table, and before a transaction ends its
 * keys and values go to the end of one file, and to the disk when each commit is synced.
 *
 * `fdatasync` grows a file whose blocks were allocated before (as RocksDB's log does): one commit
 * after the other under a mutex, so its latency is that of the system's call. `fdatasync-overwrite`
 * writes over a file that was written before, from its start again when it is full: no metadata
 * changes. `fdatasync-grouped` is the second with the commits of all who wait written and synced by
 * one of them: what any group commit can hope for here.
 * Nothing reads the file back, and the table has no isolation, so nothing is promised. */
#include "engines.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { FILE_BYTES = 64 << 20, PATH_BYTES = 512, PENDING_BYTES = 8 << 20 };

enum how { GROWING, OVERWRITING, GROUPING };

struct store {
    void *table;
    int descriptor;
    enum how how;
    bool syncs;
    uint32_t value_bytes;
    pthread_mutex_t mutex;
    uint64_t end;       /* of what was written, under the mutex or by the leader */
    uint64_t allocated; /* bytes of the file */
    uint64_t groups;    /* under the mutex */
    /* Of a grouping store, under the mutex. Tickets count bytes that were ever pending. */
    pthread_cond_t is_kept;
    char *pending[2]; /* one is filled while the leader writes the other */
    unsigned filling;
    uint64_t pending_bytes;
    uint64_t ticket; /* of the newest pending byte */
    uint64_t kept;
    bool is_led;
};

struct session {
    struct store *store;
    void *bare;
    char *bytes;
    size_t length;
    size_t room;
};

static const char *terms(enum level level) {
    (void)level;
    return "the bare table and a file on a memory file system; no isolation at all";
}

static const char *growing_terms(enum durability durability) {
    return durability == SYNCED
               ? "pwrite to the end of a file with allocated blocks and fdatasync, "
                 "under a mutex; the bare table"
               : "pwrite to the end of a file with allocated blocks, under a "
                 "mutex; the bare table";
}

static const char *overwriting_terms(enum durability durability) {
    return durability == SYNCED ? "pwrite over a file that was written before and fdatasync, under "
                                  "a mutex; the bare table"
                                : "pwrite over a file that was written before, under a mutex; the "
                                  "bare table";
}

static const char *grouping_terms(enum durability durability) {
    return durability == SYNCED ? "as fdatasync-overwrite, the commits of all who wait written and "
                                  "synced by one of them; the bare table"
                                : "as fdatasync-overwrite, the commits of all who wait written by "
                                  "one of them; the bare table";
}

static void check(int status, const char *what) {
    if (status != 0) engine_fail(what, strerror(errno));
}

static void *allocate(size_t size) {
    void *block = calloc(1, size);
    if (block == NULL) engine_fail("fdatasync", "no memory");
    return block;
}

/* The next blocks, the file's size as it is. Where the file system cannot, the file just grows. */
static void reserve(struct store *store) {
    if (fallocate(store->descriptor, FALLOC_FL_KEEP_SIZE, (off_t)store->allocated, FILE_BYTES) != 0)
        errno = 0;
    store->allocated += FILE_BYTES;
}

static void write_all(const struct store *store, const char *bytes, size_t length, uint64_t at) {
    while (length > 0) {
        ssize_t written = pwrite(store->descriptor, bytes, length, (off_t)at);
        if (written < 0 && errno == EINTR) continue;
        check(written <= 0, "pwrite");
        bytes += written;
        at += (uint64_t)written;
        length -= (size_t)written;
    }
}

static void fill_file(struct store *store) {
    enum { PIECE = 1 << 20 };
    char *zeroes = allocate(PIECE);
    for (; store->allocated < FILE_BYTES; store->allocated += PIECE)
        write_all(store, zeroes, PIECE, store->allocated);
    free(zeroes);
}

static void *open_how(const struct engine_settings *settings, enum how how) {
    struct store *store = allocate(sizeof *store);
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/commits", settings->directory);
    store->descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(store->descriptor < 0, path);
    store->table = engine_bare.open(settings);
    store->how = how;
    store->syncs = settings->durability == SYNCED;
    store->value_bytes = settings->value_bytes;
    pthread_mutex_init(&store->mutex, NULL);
    pthread_cond_init(&store->is_kept, NULL);
    for (int i = 0; i < 2; i++) store->pending[i] = allocate(PENDING_BYTES);
    if (how == GROWING) {
        reserve(store);
    } else {
        fill_file(store);
    }
    check(fsync(store->descriptor), "fsync");
    return store;
}

static void *open_growing(const struct engine_settings *settings) {
    return open_how(settings, GROWING);
}

static void *open_overwriting(const struct engine_settings *settings) {
    return open_how(settings, OVERWRITING);
}

static void *open_grouping(const struct engine_settings *settings) {
    return open_how(settings, GROUPING);
}

static void close_store(void *context) {
    struct store *store = context;
    engine_bare.close(store->table);
    close(store->descriptor);
    for (int i = 0; i < 2; i++) free(store->pending[i]);
    pthread_cond_destroy(&store->is_kept);
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

static void *session_open(void *context) {
    struct session *session = engine_session_new(sizeof *session);
    if (session == NULL) engine_fail("fdatasync", "no memory");
    session->store = context;
    session->bare = engine_bare.session_open(session->store->table);
    return session;
}

static void session_close(void *context) {
    struct session *session = context;
    engine_bare.session_close(session->bare);
    free(session->bytes);
    free(session);
}

static enum outcome begin(void *context, enum purpose purpose) {
    struct session *session = context;
    session->length = 0;
    return engine_bare.begin(session->bare, purpose);
}

static enum outcome read_value(void *context, const char *key, const void **value) {
    struct session *session = context;
    return engine_bare.read(session->bare, key, value);
}

static void make_room(struct session *session, size_t more) {
    if (session->length + more <= session->room) return;
    session->room = 2 * (session->length + more);
    session->bytes = realloc(session->bytes, session->room);
    if (session->bytes == NULL) engine_fail("fdatasync", "no memory");
    memset(session->bytes + session->length, 'x', session->room - session->length);
}

static enum outcome write_value(void *context, const char *key, int64_t number) {
    struct session *session = context;
    size_t length = KEY_BYTES + session->store->value_bytes;
    make_room(session, length);
    memcpy(session->bytes + session->length, key, KEY_BYTES);
    memcpy(session->bytes + session->length + KEY_BYTES, &number, sizeof number);
    session->length += length;
    return engine_bare.write(session->bare, key, number);
}

/* By whoever holds the mutex, or leads. */
static void keep(struct store *store, const char *bytes, size_t length) {
    if (store->how != GROWING) {
        if (store->end + length > FILE_BYTES) store->end = 0;
    } else if (store->end + length > store->allocated) {
        reserve(store);
    }
    write_all(store, bytes, length, store->end);
    store->end += length;
    if (store->syncs) check(fdatasync(store->descriptor), "fdatasync");
}

/* The mutex is held, and nobody leads: write what is pending, with the mutex released meanwhile. */
static void lead(struct store *store) {
    char *bytes = store->pending[store->filling];
    size_t length = store->pending_bytes;
    uint64_t ticket = store->ticket;
    store->is_led = true;
    store->filling ^= 1;
    store->pending_bytes = 0;
    pthread_mutex_unlock(&store->mutex);
    keep(store, bytes, length);
    pthread_mutex_lock(&store->mutex);
    store->kept = ticket;
    store->groups++;
    store->is_led = false;
    pthread_cond_broadcast(&store->is_kept);
}

static void commit_grouped(struct store *store, const char *bytes, size_t length) {
    if (length > PENDING_BYTES) engine_fail("fdatasync-grouped", "the transaction is too long");
    pthread_mutex_lock(&store->mutex);
    while (store->pending_bytes + length > PENDING_BYTES)
        pthread_cond_wait(&store->is_kept, &store->mutex);
    memcpy(store->pending[store->filling] + store->pending_bytes, bytes, length);
    store->pending_bytes += length;
    store->ticket += length;
    uint64_t mine = store->ticket;
    while (store->kept < mine) {
        if (store->is_led) {
            pthread_cond_wait(&store->is_kept, &store->mutex);
        } else {
            lead(store);
        }
    }
    pthread_mutex_unlock(&store->mutex);
}

static enum outcome commit(void *context) {
    struct session *session = context;
    struct store *store = session->store;
    if (session->length == 0) return DONE;
    if (store->how == GROUPING) {
        commit_grouped(store, session->bytes, session->length);
    } else {
        pthread_mutex_lock(&store->mutex);
        keep(store, session->bytes, session->length);
        store->groups++;
        pthread_mutex_unlock(&store->mutex);
    }
    return DONE;
}

static void abort_txn(void *context) {
    struct session *session = context;
    session->length = 0;
}

static void scan(void *context, struct scan_result *result) {
    struct session *session = context;
    engine_bare.scan(session->bare, result);
}

static void count(void *context, struct engine_counts *counts) {
    struct store *store = context;
    pthread_mutex_lock(&store->mutex);
    *counts = (struct engine_counts){.groups = store->groups};
    pthread_mutex_unlock(&store->mutex);
}

static const char *version(void) {
    return "-";
}

#define FILES                                                                                      \
    .version = version, .terms = terms, .has_value_sizes = true, .close = close_store,             \
    .session_open = session_open, .session_close = session_close, .begin = begin,                  \
    .read = read_value, .read_for_update = read_value, .write = write_value, .commit = commit,     \
    .abort = abort_txn, .number = value_number, .scan = scan, .count = count

const struct engine engine_fdatasync = {
    .name = "fdatasync", .durable_terms = growing_terms, .open = open_growing, FILES};
const struct engine engine_fdatasync_overwrite = {.name = "fdatasync-overwrite",
                                                  .durable_terms = overwriting_terms,
                                                  .open = open_overwriting,
                                                  FILES};
const struct engine engine_fdatasync_grouped = {
    .name = "fdatasync-grouped", .durable_terms = grouping_terms, .open = open_grouping, FILES};
