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

#define KH_LOG_VERSION 2

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
     * commit section, one call at a time: must be short, must not call khonsu but for complete.
     * sync (never default): when its commit wants its answer, see kh_sync. 0: taken, complete will
     * be called; an errno: refused, nothing was taken. After ENOMEM and ENOSPC khonsu tries again
     * with later records; after any other the database is poisoned. */
    int (*append)(void *context, const kh_bytes *bytes, size_t record_count, uint64_t cookie,
                  kh_sync sync);
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

#define KH_STORAGE_VERSION 2

typedef struct kh_mutation {
    kh_bytes key;
    kh_bytes value; /* data NULL: delete the key */
} kh_mutation;

/* Visitor of scan and get: false stops. Borrowed for the call. */
typedef bool kh_storage_visit_fn(void *context, kh_bytes key, kh_bytes value);

/* A map from keys to values, both opaque bytes, in the order of memcmp: what a log alone would have
 * to be replayed for. khonsu brings it up to date from the log, in the background, in log order and
 * in large steps (so it needs a log); at open it reads the storage, then replays the log from the
 * storage's position. What is applied may be lost in a crash as long as the position goes with it:
 * it is applied again. Keys have at most 131,100 bytes. apply and sync are called by one thread at
 * a time; scan and get by any, also meanwhile. Each function answers 0 or an errno. */
typedef struct kh_storage {
    uint32_t version; /* KH_STORAGE_VERSION */
    uint32_t size;    /* sizeof(kh_storage) */
    void *context;
    /* All of the mutations and the position, or none of it. The keys ascend; each occurs once. */
    int (*apply)(void *context, const kh_mutation *mutations, size_t mutation_count,
                 kh_log_position position);
    /* Everything applied so far survives a loss of power when it answers 0. NULL: apply is. */
    int (*sync)(void *context);
    /* What the last apply said; 0 before any. */
    int (*position)(void *context, kh_log_position *out);
    /* The keys in [from, to), ascending, as of one moment; to.data NULL: to the last. */
    int (*scan)(void *context, kh_bytes from, kh_bytes to, kh_storage_visit_fn *visit,
                void *visit_context);
    /* Visit the value of one key, if there is one. */
    int (*get)(void *context, kh_bytes key, kh_storage_visit_fn *visit, void *visit_context);
    void (*close)(void *context); /* the last call; may be NULL */
} kh_storage;

#ifdef __cplusplus
}
#endif
#endif
