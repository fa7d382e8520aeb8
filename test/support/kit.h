/* kit.h - keys, values and transactions in few words, for tests through khonsu.h.
 *
 * Values are of two kinds: numbers (one row of one int64 column "n") and rows (int64 columns "id",
 * "a", "b"), the latter written as text: "1=10/100 2=20/200"; "_" leaves a column out; "-" is no
 * value at all, "()" one of no rows. Everything asserts (cmocka) that the library answers what it
 * must, but for the calls that return a kh_status. One thread only. */
#ifndef TEST_SUPPORT_KIT_H
#define TEST_SUPPORT_KIT_H

#include <khonsu.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KIT_ABSENT INT64_MIN
#define KIT_TEXT_BYTES 512

extern const kh_isolation kit_levels[3]; /* weakest first */
extern const char *const kit_level_names[4];  /* by kh_isolation */
extern const char *const kit_policy_names[7]; /* by kh_policy */

/* Assert with both names in the message. */
#define kit_is(actual, expected) kit_is_at((actual), (expected), #actual, __FILE__, __LINE__)
void kit_is_at(kh_status actual, kh_status expected, const char *what, const char *file, int line);

/* A number from the environment, else fallback. */
uint64_t kit_env(const char *name, uint64_t fallback);

kh_bytes kit_key(const char *text);
bool kit_bytes_equal(kh_bytes a, kh_bytes b);

/* ---- clocks that the test moves ------------------------------------------------------------- */

struct kit_clock {
    uint64_t wall_ms;
    uint64_t monotonic_ns;
    uint64_t tick_ns; /* added at each reading of the monotonic clock: waits end */
};
kh_clock kit_clock_hook(struct kit_clock *clock);
void kit_clock_advance(struct kit_clock *clock, uint64_t ms);

/* ---- an allocator that counts and fails ------------------------------------------------------ */

struct kit_memory {
    uint64_t calls;
    uint64_t fail_at; /* this call fails (from 1); 0: none */
    uint64_t failures;
    int64_t live_blocks;
    int64_t live_bytes;
};
kh_allocator kit_memory_hook(struct kit_memory *memory);

/* ---- databases ------------------------------------------------------------------------------- */

/* KH_TEST_LOG=path: databases that say nothing of a log get a directory (kit.c). KH_TEST_LOG=cold:
 * the same, and values leave memory whenever a transaction begins. */
bool kit_is_over_path(void);
bool kit_is_cold(void);
/* In memory, without threads. */
kh_options kit_options(void);
kh_db *kit_open(void);
kh_db *kit_open_with(const kh_options *options);
void kit_close(kh_db *db);

/* ---- values ---------------------------------------------------------------------------------- */

kh_schema *kit_number_schema(kh_db *db);
kh_batch *kit_number(kh_db *db, int64_t number);
/* KIT_ABSENT for NULL. */
int64_t kit_number_of(const kh_batch *batch);
/* NULL for "-". */
kh_batch *kit_rows(kh_db *db, const char *text);
/* Writes the text of a batch of rows; "-" for NULL. */
void kit_text(const kh_batch *batch, char out[KIT_TEXT_BYTES]);

/* ---- transactions ---------------------------------------------------------------------------- */

kh_txn *kit_begin(kh_db *db, kh_isolation isolation);
kh_txn *kit_begin_with(kh_db *db, kh_isolation isolation, kh_policy policy, uint32_t flags);
kh_status kit_try_begin(kh_db *db, kh_isolation isolation, kh_policy policy, uint32_t flags,
                        kh_txn **out);
int64_t kit_get(kh_txn *txn, const char *key);
void kit_get_is(kh_txn *txn, const char *key, int64_t expected);
void kit_put(kh_txn *txn, const char *key, int64_t number);
void kit_delete(kh_txn *txn, const char *key);
/* Commit or roll back, and close. */
kh_status kit_commit(kh_txn *txn);
void kit_commit_ok(kh_txn *txn);
void kit_rollback(kh_txn *txn);
/* One transaction of one put; a KIT_ABSENT number deletes. */
void kit_store(kh_db *db, const char *key, int64_t number);
/* The newest committed value. */
int64_t kit_load(kh_db *db, const char *key);
void kit_load_is(kh_db *db, const char *key, int64_t expected);

/* Scan and write "key=number key=number"; keys only: "key key". */
void kit_scan(kh_txn *txn, const kh_scan_options *options, char out[KIT_TEXT_BYTES]);
void kit_scan_is(kh_txn *txn, const kh_scan_options *options, const char *expected);
kh_scan_options kit_range(const char *from, const char *to, uint64_t limit, uint32_t flags);

#endif
