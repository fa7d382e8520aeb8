/* bare.c - the floor: a hash table of fixed size, no versions, no isolation, no undo.
 *
 * Open addressing with linear probing, entries of two cache lines. Readers take no lock: they are
 * lent the entry itself, as unprotected as in any bare table. A writer takes the entry's spin lock
 * and copies a value of 100 bytes. New keys are claimed by the loading thread alone.
 *
 * The two lossy engines are the same table with a planted bug, for the test of the driver's sums:
 * one forgets a write in 64, the other a whole transaction in 64. */
#include "engines.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { LOSS_EVERY = 64 };

struct entry {
    char key[KEY_BYTES];
    atomic_uint lock; /* held by a writer while it copies */
    char value[VALUE_BYTES];
};

struct table {
    struct entry *entries;
    uint64_t mask;
};

struct session {
    struct table *table;
    uint64_t writes;
    uint64_t transactions;
};

static const char *version(void) {
    return "-";
}

static const char *terms(enum level level) {
    (void)level;
    return "hash table, reads without locks, a spin lock per written entry; no isolation at all";
}

static void *open_store(const struct engine_settings *settings) {
    struct table *table = malloc(sizeof *table);
    uint64_t size = 16;
    while (size < settings->keys * 2) size *= 2;
    if (table == NULL) engine_fail("bare", "no memory");
    table->entries = aligned_alloc(128, size * sizeof *table->entries);
    if (table->entries == NULL) engine_fail("bare", "no memory");
    memset(table->entries, 0, size * sizeof *table->entries);
    table->mask = size - 1;
    return table;
}

static void close_store(void *store) {
    struct table *table = store;
    free(table->entries);
    free(table);
}

static void *session_open(void *store) {
    struct session *session = engine_session_new(sizeof *session);
    if (session == NULL) engine_fail("bare", "no memory");
    session->table = store;
    return session;
}

static void session_close(void *session) {
    free(session);
}

static uint64_t hash(const char *key) {
    uint64_t words[3];
    memcpy(words, key, sizeof words);
    uint64_t mixed = words[0] ^ words[1] * 0x9e3779b97f4a7c15u ^ words[2] * 0xc2b2ae3d27d4eb4fu;
    mixed ^= mixed >> 32;
    mixed *= 0xd6e8feb86659fd93u;
    return mixed ^ mixed >> 32;
}

/* The key's entry, or the free one where it would be. The table is at most half full. */
static struct entry *find(const struct table *table, const char *key) {
    for (uint64_t at = hash(key);; at++) {
        struct entry *entry = &table->entries[at & table->mask];
        if (memcmp(entry->key, key, KEY_BYTES) == 0 || entry->key[0] == 0) return entry;
    }
}

static enum outcome begin(void *context, enum purpose purpose) {
    struct session *session = context;
    (void)purpose;
    session->transactions++;
    return DONE;
}

static enum outcome read_value(void *context, const char *key, const void **value) {
    struct session *session = context;
    struct entry *entry = find(session->table, key);
    if (entry->key[0] == 0) engine_fail("bare", "a key is missing");
    *value = entry->value;
    return DONE;
}

static enum outcome write_value(void *context, const char *key, int64_t number) {
    struct session *session = context;
    char value[VALUE_BYTES];
    struct entry *entry = find(session->table, key);
    value_fill(value, number);
    while (atomic_exchange_explicit(&entry->lock, 1, memory_order_acquire) != 0) continue;
    if (entry->key[0] == 0) memcpy(entry->key, key, KEY_BYTES);
    memcpy(entry->value, value, VALUE_BYTES);
    atomic_store_explicit(&entry->lock, 0, memory_order_release);
    session->writes++;
    return DONE;
}

static enum outcome commit(void *session) {
    (void)session;
    return DONE;
}

static void undo_nothing(void *session) {
    (void)session;
}

static void scan(void *context, struct scan_result *result) {
    struct session *session = context;
    const struct table *table = session->table;
    *result = (struct scan_result){0, 0};
    for (uint64_t at = 0; at <= table->mask; at++) {
        const struct entry *entry = &table->entries[at];
        if (entry->key[0] == 0) continue;
        result->count++;
        result->sum = (int64_t)((uint64_t)result->sum + (uint64_t)value_number(entry->value));
    }
}

static bool is_known(const struct session *session, const char *key) {
    return find(session->table, key)->key[0] != 0;
}

static const char *lossy_terms(enum level level) {
    (void)level;
    return "a planted bug: claims what it does not keep";
}

static enum outcome lossy_write(void *context, const char *key, int64_t number) {
    struct session *session = context;
    if (session->writes % LOSS_EVERY == LOSS_EVERY - 1 && is_known(session, key)) {
        session->writes++;
        return DONE;
    }
    return write_value(context, key, number);
}

static enum outcome lossy_commit_write(void *context, const char *key, int64_t number) {
    struct session *session = context;
    if (session->transactions % LOSS_EVERY == 0 && is_known(session, key)) return DONE;
    return write_value(context, key, number);
}

#define TABLE                                                                                      \
    .version = version, .open = open_store, .close = close_store, .session_open = session_open,    \
    .session_close = session_close, .begin = begin, .read = read_value,                            \
    .read_for_update = read_value, .commit = commit, .abort = undo_nothing,                        \
    .number = value_number, .scan = scan

const struct engine engine_bare = {.name = "bare",
                                   .terms = terms,
                                   .promise = {PROMISES_ALONE, PROMISES_ALONE, PROMISES_ALONE},
                                   .write = write_value,
                                   TABLE};
const struct engine engine_lossy_write = {
    .name = "bare-lossy-write",
    .terms = lossy_terms,
    .promise = {PROMISES_ALWAYS, PROMISES_ALWAYS, PROMISES_ALWAYS},
    .write = lossy_write,
    TABLE};
const struct engine engine_lossy_commit = {
    .name = "bare-lossy-commit",
    .terms = lossy_terms,
    .promise = {PROMISES_ALWAYS, PROMISES_ALWAYS, PROMISES_ALWAYS},
    .write = lossy_commit_write,
    TABLE};
