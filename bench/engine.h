/* engine.h - what khonsu-bench asks of a store: one table of functions per engine.
 *
 * A store is opened once and used by sessions, one per thread. A session runs one transaction at a
 * time: begin, then reads and writes, then commit or abort. An outcome other than DONE of begin or
 * commit means that the transaction has ended; after RETRY from a read or a write the driver calls
 * abort. What cannot be retried ends the program (engine_fail): a benchmark that goes on after an
 * error measures something else.
 *
 * Every engine stores keys of KEY_BYTES and values that carry one int64, its number; the values of
 * all but khonsu are VALUE_BYTES plain bytes whose first eight are the number. A read lends the
 * value until the next call on the session. */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_BYTES = 24, VALUE_BYTES = 100, VALUE_BYTES_MAX = 65536 };

enum level { READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE, LEVEL_COUNT };

enum outcome { DONE, RETRY };

enum purpose { TO_READ, TO_WRITE, TO_SCAN };

/* When money must stay constant: never; with one thread, whatever becomes of isolation; always,
 * since transactions are atomic, and two that change the same key do not overwrite each other. */
enum promise { PROMISES_NOTHING, PROMISES_ALONE, PROMISES_ALWAYS };

/* Where a store lies, and when a commit is there: in memory (files, where they are needed, on a
 * memory file system); in files that the operating system writes when it likes; in files that each
 * commit waits for. */
enum durability { IN_MEMORY, UNSYNCED, SYNCED };

/* What a khonsu value is made of: its columns besides the text of 84 bytes. */
enum row { ROW_INT64_FLOAT64, ROW_INT64_INT64 };

struct engine_settings {
    enum level level;
    enum row row;
    uint64_t keys;
    enum durability durability;
    /* For engines that need files; empty when the store is opened first. In memory: removed
     * afterwards. Else the store is closed and opened again before it is looked at. */
    const char *directory;
    uint32_t value_bytes; /* of the floors, which measure other sizes too; at least VALUE_BYTES */
};

struct scan_result {
    uint64_t count;
    int64_t sum; /* of the numbers; wraps */
};

/* What the engine says of itself; fields it does not know stay 0. */
struct engine_counts {
    uint64_t versions;
    uint64_t versions_reclaimed;
    uint64_t memory_bytes;
    uint64_t groups; /* that were written to a log, each with one sync; of the whole run */
};

struct engine {
    const char *name;
    /* Version of the library behind it. */
    const char *(*version)(void);
    /* How it is set up and what it really gives at this level; NULL: the level is not offered. */
    const char *(*terms)(enum level level);
    /* The same for stores in files, whatever the level. NULL, or an answer of NULL: it keeps
     * nothing in files, and is not opened for it. */
    const char *(*durable_terms)(enum durability durability);
    enum promise promise[LEVEL_COUNT];
    bool has_value_sizes; /* it heeds engine_settings.value_bytes */

    void *(*open)(const struct engine_settings *settings);
    void (*close)(void *store);
    void *(*session_open)(void *store);
    void (*session_close)(void *session);

    enum outcome (*begin)(void *session, enum purpose purpose);
    enum outcome (*read)(void *session, const char *key, const void **value);
    /* The same for a key that the transaction will write. */
    enum outcome (*read_for_update)(void *session, const char *key, const void **value);
    enum outcome (*write)(void *session, const char *key, int64_t number);
    enum outcome (*commit)(void *session);
    void (*abort)(void *session);
    /* The number in a value that a read has lent. */
    int64_t (*number)(const void *value);
    /* All keys in the transaction's snapshot. */
    void (*scan)(void *session, struct scan_result *result);

    /* Finish what was put off: reclamation. NULL: nothing is. */
    void (*settle)(void *store);
    /* NULL: says nothing. */
    void (*count)(void *store, struct engine_counts *counts);
};

/* Print what failed and why, and end the program. */
_Noreturn void engine_fail(const char *what, const char *why);

/* The plain value: the number, then text. */
static inline void value_fill(char *value, int64_t number) {
    memset(value, 'x', VALUE_BYTES);
    memcpy(value, &number, sizeof number);
}

static inline int64_t value_number(const void *value) {
    int64_t number;
    memcpy(&number, value, sizeof number);
    return number;
}

/* A zeroed session, on cache lines of its own: threads that write their own sessions would disturb
 * each other otherwise, or not, as the allocator has it that day. free() it. */
static inline void *engine_session_new(size_t size) {
    enum { APART = 128 };
    size_t rounded = (size + APART - 1) / APART * APART;
    void *session = aligned_alloc(APART, rounded);
    return session == NULL ? NULL : memset(session, 0, rounded);
}

#endif
