/* khonsu/log.h - two interfaces that users can implement: where records go, and where values rest.
 *
 * Both are versioned structs of function pointers: set version and size, then the functions. khonsu
 * borrows the struct until kh_db_close has returned KH_OK. */
#ifndef KHONSU_LOG_H
#define KHONSU_LOG_H

#include "khonsu/db.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the log: records in order --------------------------------------------------------------- */

#define KH_LOG_VERSION 1

/* A position: the count of records before this one. Record 0 is the first. */
typedef uint64_t kh_log_position;

typedef enum kh_log_answer {
    KH_LOG_KEPT = 0,    /* the records are kept as surely as this log promises */
    KH_LOG_REFUSED = 1, /* certainly not kept, nor any appended after them */
    KH_LOG_LOST = 2     /* nobody knows: commits answer KH_UNKNOWN and the database is poisoned */
} kh_log_answer;

/* How the log tells khonsu that everything appended up to cookie (inclusive) has that answer. May
 * be called from within append (a log that completes at once) or later by any one thread at a time,
 * never while holding a lock that append takes. After REFUSED or LOST the log is asked nothing more
 * but close. kh_db_close waits until calls that have answered for everything have returned. */
typedef void kh_log_complete_fn(void *completion_context, uint64_t cookie, kh_log_answer answer);

/* Visitor of read: false stops. bytes are borrowed for the call. */
typedef bool kh_log_visit_fn(void *context, kh_log_position position, kh_bytes bytes);

typedef struct kh_log {
    uint32_t version; /* KH_LOG_VERSION */
    uint32_t size;    /* sizeof(kh_log) */
    void *context;
    /* Called once by kh_db_open before anything else: keep complete and its context. 0, or an
     * errno. */
    int (*open)(void *context, kh_log_complete_fn *complete, void *completion_context);
    /* Append records in order: bytes[i] is one encoded record (borrowed for the call; a
     * self-contained frame with its own checksum); cookies rise with each call. Called in the
     * commit section, one call at a time: must be short, must not call khonsu but for complete. 0:
     * taken, complete will be called; an errno: refused, nothing was taken. */
    int (*append)(void *context, const kh_bytes *bytes, size_t record_count, uint64_t cookie);
    /* Ask that everything up to cookie be completed soon (a waiter is there). May be NULL. */
    void (*flush)(void *context, uint64_t cookie);
    /* Records from position on, in order. 0 or an errno. */
    int (*read)(void *context, kh_log_position from, kh_log_visit_fn *visit, void *visit_context);
    /* Records before position are not needed any more. May be NULL. */
    int (*trim)(void *context, kh_log_position before);
    /* The last call. All appended records have been completed or given up. May be NULL. */
    void (*close)(void *context);
} kh_log;

/* ---- the storage: values at rest ------------------------------------------------------------- */

#define KH_STORAGE_VERSION 1

typedef struct kh_mutation {
    kh_bytes key;
    kh_bytes value; /* encoded; data NULL: delete the key */
} kh_mutation;

/* Visitor of scan: false stops. Borrowed for the call. */
typedef bool kh_storage_visit_fn(void *context, kh_bytes key, kh_bytes value);

/* Holds the newest committed value of each key. khonsu writes each commit to it after the log has
 * kept the record and before readers see it, in commit order, one call at a time; at open it reads
 * everything back, then replays the log's records from the position that the storage has. */
typedef struct kh_storage {
    uint32_t version; /* KH_STORAGE_VERSION */
    uint32_t size;    /* sizeof(kh_storage) */
    void *context;
    /* All of the mutations and the position (records applied so far) or none. 0 or an errno: the
     * database is poisoned. */
    int (*apply)(void *context, const kh_mutation *mutations, size_t mutation_count,
                 kh_log_position position);
    /* Every key and value, in any order; *position gets what the last apply said, 0 before any. */
    int (*read)(void *context, kh_log_position *position, kh_storage_visit_fn *visit,
                void *visit_context);
    void (*close)(void *context); /* may be NULL */
} kh_storage;

#ifdef __cplusplus
}
#endif
#endif
