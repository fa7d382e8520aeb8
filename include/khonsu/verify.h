/* khonsu/verify.h - a history that others can check: heads, proofs, and the check of a whole
 * directory. docs/verify.md says what each of them can show and what not.
 *
 * A durable database keeps its records in groups. The head of each group holds the digest of the
 * one before and the root of a Merkle tree over its records, so that the digest of the newest head
 * stands for the whole history. Keep heads where whoever may write the directory may not. */
#ifndef KHONSU_VERIFY_H
#define KHONSU_VERIFY_H

#include "khonsu/log.h"
#include "khonsu/workspace.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KH_DIGEST_BYTES 32

/* The end of a history, or of an earlier part of it. */
typedef struct kh_head {
    uint64_t number;                 /* of the group; 0: none was written yet */
    kh_log_position position;        /* records up to it and in it */
    uint8_t digest[KH_DIGEST_BYTES]; /* of number 0: of the database's identity and timeline */
} kh_head;

/* ---- an open database ------------------------------------------------------------------------ */

/* The head of what is on disk: a commit that answered without waiting for the disk is behind it
 * soon. KH_UNSUPPORTED: a database without a path. Any thread. */
KH_API KH_WARN_UNUSED kh_status kh_db_head(kh_db *db, kh_head *out, kh_error *error);
/* The proof (JSON, docs/log-format.md) that the history under kh_db_head has the record which wrote
 * the key's newest version at or below timestamp (0: the newest of all) that is on disk. Of a
 * prepared transaction it is two records: the one that has the write, and the decision. Reads the
 * log. Freed by kh_bytes_free; NUL-terminated, the NUL is not counted.
 * KH_NOT_FOUND: the key has no such version; KH_TOO_OLD: the log does not reach back to it;
 * KH_UNSUPPORTED: a database without a path; KH_CORRUPT, KH_IO, KH_NO_MEMORY. Any thread. */
KH_API KH_WARN_UNUSED kh_status kh_db_prove(kh_db *db, kh_bytes key, kh_timestamp timestamp,
                                            kh_bytes *out, kh_error *error);

/* ---- a directory that no process has open ---------------------------------------------------- */
/* These change nothing in it. While one runs, opening the database answers KH_IN_USE. Common
 * answers: KH_INVALID: not the directory of a database; KH_IN_USE: a process has it open, the
 * message has its number; KH_CORRUPT; KH_IO; KH_UNSUPPORTED: a newer format, or a build without the
 * feature "durable"; KH_NO_MEMORY. */

/* The head, after the end of the log was checked as an opening does. */
KH_API KH_WARN_UNUSED kh_status kh_path_head(const char *path, kh_head *out, kh_error *error);
/* As kh_db_prove. */
KH_API KH_WARN_UNUSED kh_status kh_path_prove(const char *path, kh_bytes key,
                                              kh_timestamp timestamp, kh_bytes *out,
                                              kh_error *error);

/* Numbers are on disk: none is ever given another meaning. */
typedef enum kh_record_kind {
    KH_RECORD_COMMIT = 1,        /* its writes take effect at timestamp */
    KH_RECORD_PREPARE = 2,       /* its writes wait for a decision */
    KH_RECORD_DECIDE_COMMIT = 3, /* a prepared transaction takes effect at timestamp */
    KH_RECORD_DECIDE_ABORT = 4,
    KH_RECORD_SCHEMA = 5, /* gives a schema its number */
    KH_RECORD_HORIZON = 6
} kh_record_kind;

typedef struct kh_record_write {
    kh_bytes key;
    bool is_deleted;
    uint64_t value_bytes; /* encoded; 0 for a deletion */
} kh_record_write;

/* A workspace that committed together with others, as one record (kh_workspace_commit_together). */
typedef struct kh_record_member {
    kh_txn_id id;
    const kh_delta *delta; /* what its change means; NULL: it did not say */
    kh_semantic_mode mode; /* what that decided; KH_SEMANTIC_DEFAULT without a delta */
} kh_record_member;

/* One record of the log. Borrowed for the call. */
typedef struct kh_record_entry {
    kh_log_position position;
    uint64_t group;     /* number of the group that it is in */
    uint64_t sealed_ms; /* when that was sealed: milliseconds of Unix time */
    kh_record_kind kind;
    kh_timestamp timestamp; /* of the commit; 0: none */
    kh_txn_id id;           /* of the transaction */
    uint32_t schema_number; /* KH_RECORD_SCHEMA */
    uint64_t size_bytes;    /* of the whole record */
    const kh_record_write *writes;
    size_t write_count;
    const kh_delta *delta; /* what a workspace's change means; NULL: the record says nothing */
    kh_semantic_mode mode; /* what that decided; KH_SEMANTIC_DEFAULT without a delta */
    const kh_record_member *members; /* whose writes these are, in their order */
    size_t member_count;             /* 0: the transaction's own */
} kh_record_entry;
/* False stops. Must not use the directory. */
typedef bool kh_record_fn(void *context, const kh_record_entry *record);
/* The records that the log still has, from a position on (0: all), in order. Checksums are checked,
 * and that a delta decodes; the chain is not. */
KH_API KH_WARN_UNUSED kh_status kh_path_log(const char *path, kh_log_position from,
                                            kh_record_fn *visit, void *context, kh_error *error);

/* ---- the check ------------------------------------------------------------------------------- */

/* Called now and then: what is being read ("log", "storage"), and how many entries of it were read.
 * False: stop, and answer KH_CANCELLED. */
typedef bool kh_verify_fn(void *context, const char *what, uint64_t count);

typedef struct kh_verify_options {
    size_t size;            /* sizeof(kh_verify_options) */
    const uint8_t *expect;  /* KH_DIGEST_BYTES of a head that was kept elsewhere; NULL: none */
    uint64_t expect_number; /* its number, which must be right; 0: not known */
    kh_verify_fn *progress; /* NULL: none */
    void *progress_context;
} kh_verify_options;
#define KH_VERIFY_OPTIONS_INIT                                                                     \
    { sizeof(kh_verify_options), 0, 0, 0, 0 }

typedef enum kh_expectation {
    KH_EXPECT_NOTHING = 0, /* nothing was asked, or the check did not get that far */
    KH_EXPECT_HEAD = 1,    /* it is the newest head */
    KH_EXPECT_EARLIER = 2, /* it was the newest head once: the history has grown since */
    KH_EXPECT_TOO_OLD = 3, /* its number lies before what the log still has */
    KH_EXPECT_MISSING = 4  /* the history has no such head: none with that number and digest */
} kh_expectation;

typedef struct kh_verify_report {
    size_t size; /* sizeof(kh_verify_report), set by the caller */
    kh_identity identity;
    kh_head head;   /* the newest */
    kh_head anchor; /* the newest head of what compaction has cut off; number 0: nothing was */
    /* The log, from the anchor on. */
    uint64_t groups;
    uint64_t records;
    uint64_t log_bytes;
    kh_timestamp first_timestamp; /* lowest and highest commit timestamp; 0: no commit */
    kh_timestamp last_timestamp;
    bool has_torn_end; /* groups that were never acknowledged: the next opening cuts them off */
    /* The storage. */
    kh_log_position applied; /* it holds what the records before this one wrote */
    uint64_t keys;
    uint64_t versions;
    uint64_t storage_bytes;
    uint64_t schemas;
    uint64_t prepared; /* transactions without a decision */
    uint64_t outcomes; /* of transactions, kept for kh_db_outcome */
    /* What cannot be checked: what was written before the anchor has no record to compare with. Its
     * own checksums were checked. */
    uint64_t unchecked_records;
    uint64_t unchecked_versions;
    uint64_t unchecked_schemas;
    uint64_t unchecked_prepared;
    uint64_t unchecked_outcomes;
    kh_expectation expectation;
    kh_head expected;  /* EARLIER, HEAD: where it was found */
    char finding[256]; /* what is wrong first, and where; "": nothing */
} kh_verify_report;

/* Check the directory: its small files; every group of the log (checksums, Merkle roots, the chain
 * from the anchor or the beginning, against the file MARK and the expected head); that every record
 * decodes; every entry of the storage (checksums, keys, schemas, values), and with all that the
 * checksums of RocksDB's tables; and that replaying the log gives the storage.
 * options NULL: the defaults. The report is filled in as far as the check got. KH_OK: nothing is
 * wrong; KH_CORRUPT: something is, see finding; KH_MISMATCH: all is sound, but the history has no
 * such head as expected; KH_TOO_OLD: all is sound, the expected head lies before the anchor. Needs
 * memory for what the log has written: about 100 bytes for each write and each commit. */
KH_API KH_WARN_UNUSED kh_status kh_verify(const char *path, const kh_verify_options *options,
                                          kh_verify_report *report, kh_error *error);

#ifdef __cplusplus
}
#endif
#endif
