/* khonsu/status.h - what a call can answer, and what the caller should do about it.
 *
 * Every fallible function returns a kh_status. Values are on disk and on the wire: the list is
 * append-only and no number is ever reused. Each status has a class that says what to do:
 *   DONE   the call did its work; the status is an ordinary outcome
 *   RETRY  run the whole transaction again (kh_db_run does): nothing of it was applied
 *   ASK    the outcome is not known yet: ask kh_db_outcome() by transaction id, or wait
 *   STOP   repeating the same call gives the same answer: change something first
 */
#ifndef KHONSU_STATUS_H
#define KHONSU_STATUS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KH_API __attribute__((visibility("default")))
#define KH_WARN_UNUSED __attribute__((warn_unused_result))
#else
#define KH_API
#define KH_WARN_UNUSED
#endif

/* X(name, number, class, meaning). */
#define KH_STATUS_LIST(X)                                                                          \
    X(KH_OK, 0, DONE, "done")                                                                      \
    X(KH_NOT_FOUND, 1, DONE, "no such key, version or transaction")                                \
    X(KH_END, 2, DONE, "the cursor has no more entries")                                           \
    X(KH_CONFLICT, 16, RETRY, "a rival committed a version of a key that this transaction writes") \
    X(KH_NOT_SERIALIZABLE, 17, RETRY, "committing would close a cycle of dependencies")            \
    X(KH_BUSY, 18, RETRY, "a limit on memory, snapshots or transactions is reached")               \
    X(KH_EXPIRED, 19, RETRY, "the transaction outlived its timeout or its snapshot was revoked")   \
    X(KH_HELD, 20, RETRY, "a prepared transaction holds this key")                                 \
    X(KH_LOCK_CONFLICT, 21, RETRY, "another transaction has locked this key")                      \
    X(KH_DEADLOCK, 22, RETRY, "the transaction was chosen to end a deadlock of locks")             \
    X(KH_SEMANTIC_CONFLICT, 23, RETRY,                                                             \
      "a workspace's change contradicts one that was committed meanwhile")                         \
    X(KH_UNKNOWN, 32, ASK, "the log took the record and cannot say whether it kept it")            \
    X(KH_PENDING, 33, ASK, "the commit is under way")                                              \
    X(KH_INVALID, 48, STOP, "an argument is outside its contract")                                 \
    X(KH_INVALID_DATA, 49, STOP, "the Arrow array or schema breaks the Arrow format")              \
    X(KH_CORRUPT, 50, STOP, "encoded bytes (IPC or record) are malformed")                         \
    X(KH_SCHEMA_MISMATCH, 51, STOP, "the two sides have different schemas")                        \
    X(KH_NO_ID_COLUMN, 52, STOP, "the id column is missing or its type cannot be an id")           \
    X(KH_NULL_ID, 53, STOP, "a row has a null id")                                                 \
    X(KH_DUPLICATE_ID, 54, STOP, "two rows of one batch have the same id")                         \
    X(KH_ROW_EXISTS, 55, STOP, "insert_rows met an id that is already there")                      \
    X(KH_ROW_NOT_FOUND, 56, STOP, "update_rows met an id that is not there")                       \
    X(KH_MERGE_CONFLICT, 57, STOP,                                                                 \
      "both sides changed the same cell, or one deleted what the "                                 \
      "other edited")                                                                              \
    X(KH_MISMATCH, 58, STOP, "compare-and-swap found another value than the expected one")         \
    X(KH_TOO_BIG, 59, STOP, "a size is beyond its limit (kh_limits)")                              \
    X(KH_TOO_OLD, 60, STOP, "history does not reach back to that timestamp")                       \
    X(KH_NO_MEMORY, 61, STOP, "an allocation failed")                                              \
    X(KH_FINISHED, 62, STOP, "the transaction is already committed or rolled back")                \
    X(KH_MISUSE, 63, STOP, "two threads in one transaction at once, or a call out of order")       \
    X(KH_READ_ONLY, 64, STOP, "a write in a read-only transaction")                                \
    X(KH_CANCELLED, 65, STOP, "the transaction was cancelled by id")                               \
    X(KH_IN_USE, 66, STOP, "transactions, cursors or watches are still open")                      \
    X(KH_FORKED, 67, STOP, "the database was opened by the parent of this process")                \
    X(KH_POISONED, 68, STOP, "the log failed: reads go on, commits are refused until reopen")      \
    X(KH_UNSUPPORTED, 69, STOP, "this build or interface version does not offer that")             \
    X(KH_IO, 70, STOP, "a read or write of a file, or a log or storage callback, failed")          \
    X(KH_NO_SPACE, 71, STOP, "the device is full: free some space, no restart is needed")

typedef enum kh_status {
#define KH_STATUS_ENUM_(name, number, class_, meaning) name = number,
    KH_STATUS_LIST(KH_STATUS_ENUM_)
#undef KH_STATUS_ENUM_
} kh_status;

typedef enum kh_status_class {
    KH_CLASS_DONE = 0,
    KH_CLASS_RETRY = 1,
    KH_CLASS_ASK = 2,
    KH_CLASS_STOP = 3
} kh_status_class;

/* Details of a failure, in storage of the caller (on the stack, say). Functions that take a
 * kh_error accept NULL; they write it only when they fail, never allocate for it, and always end
 * the text with a NUL. Ordinary outcomes (not found, conflict, end) leave it untouched. */
typedef struct kh_error {
    char message[256];
} kh_error;

/* The status' name ("KH_CONFLICT"), its class, and its meaning in words. An unknown number gives
 * "KH_?", STOP and "unknown status". The strings are static. Any thread. */
KH_API const char *kh_status_name(kh_status status);
KH_API kh_status_class kh_status_classify(kh_status status);
KH_API const char *kh_status_meaning(kh_status status);

/* A span of bytes that somebody else owns. Passed by value. */
typedef struct kh_bytes {
    const void *data;
    size_t size_bytes;
} kh_bytes;

#ifdef __cplusplus
}
#endif
#endif
