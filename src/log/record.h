/* record.h - one transaction's sealed outcome, and its only codec.
 *
 * A record is complete and free of pointers once encoded: what a replica, a recovery or a change
 * feed needs is in it. In memory the struct borrows everything from its maker. Encoded it is one
 * frame: a fixed head with a checksum of itself and one of the rest, then sections of (type,
 * length, bytes); sections of unknown types are skipped by the reader. docs/record-format.md has
 * each byte.
 *
 * A frame is encoded in staging, where failing is allowed, and sealed in the commit section, where
 * the commit timestamp and the window become known: that rewrites the head only.
 *
 * Values are encoded by ipc_encode_value without their schema; a SCHEMA record, earlier in the same
 * log, gives each schema its number. */
#ifndef KHONSU_LOG_RECORD_H
#define KHONSU_LOG_RECORD_H

#include "base/arena.h"
#include "batch/ipc.h"
#include "khonsu/db.h"

enum record_kind {
    RECORD_COMMIT = 1,        /* writes take effect at .commit */
    RECORD_PREPARE = 2,       /* certified; keys are held; .commit is 0 */
    RECORD_DECIDE_COMMIT = 3, /* a prepared transaction takes effect at .commit */
    RECORD_DECIDE_ABORT = 4,
    RECORD_SCHEMA = 5, /* .schema gets .schema_number */
    RECORD_HORIZON = 6 /* .commit: no version needed only below it is promised any more */
};

/* Which rule certified it: replicas must apply the same one. */
enum { RECORD_RULE_STRICT_SSN = 1 };

enum record_write_kind { RECORD_PUT = 1, RECORD_DELETE = 2 };

struct record_write {
    kh_bytes key;
    const kh_batch *batch; /* final, resolved; NULL: delete */
    uint64_t base;         /* commit timestamp of the version overwritten, 0: none */
    uint8_t policy;        /* kh_policy that resolved it, 0: none was needed */
};

/* A committed serializable range read [from, to) minus holes. to.data NULL: to the end of the keys.
 * A get that found nothing is [key, key + 0x00). */
struct record_range {
    kh_bytes from;
    kh_bytes to;
    const kh_bytes *holes; /* keys shadowed by own writes, ascending */
    size_t hole_count;
};

/* A transaction that committed together with others, as one record: its id, and what its change
 * means (as `delta` below; size 0: nothing is said). */
struct record_member {
    kh_txn_id id;
    kh_bytes delta;
};

struct record {
    enum record_kind kind;
    kh_txn_id id;
    uint8_t isolation; /* kh_isolation */
    uint8_t rule;
    uint64_t birth;    /* timestamp visible at begin */
    uint64_t snapshot; /* what it read at */
    uint64_t commit;
    uint64_t eta; /* certification window [eta, pi) */
    uint64_t pi;
    const struct record_write *writes;
    size_t write_count;
    const kh_bytes *dropped; /* keys whose write was dropped: late reads */
    size_t dropped_count;
    const kh_bytes *reads; /* keys read from the store */
    size_t read_count;
    const struct record_range *ranges;
    size_t range_count;
    kh_bytes tag;
    kh_bytes delta;                      /* semantic delta: opaque here, usually empty */
    const struct record_member *members; /* RECORD_COMMIT: whose writes these are, in their order */
    size_t member_count;                 /* usually 0: its own */
    const kh_schema *schema;             /* RECORD_SCHEMA */
    uint32_t schema_number;
    size_t frame_bytes; /* of a decoded one: how long its frame is */
};

/* How decoding finds the schema of a number (of the codec's mem): NULL when there is none. */
typedef const kh_schema *record_schema_fn(void *context, uint32_t number);
/* And how encoding finds the number of a schema (every schema has been recorded before). */
typedef uint32_t record_number_fn(void *context, const kh_schema *schema);

struct record_codec {
    struct mem *mem;
    struct mem_cache *cache;
    struct schema_table *schemas; /* of the database: decoded schemas are interned there */
    record_schema_fn *schema_of;
    record_number_fn *number_of;
    void *context;
    /* Of decoding. True: the frames' checksums need not be compared, since one over all of them has
     * just been, as a group's (group.h). */
    bool is_checked;
    /* Of decoding; NULL: none. Told of the key of each put before its value is decoded: who will
     * look for it can have the memory fetched meanwhile. */
    void (*expect)(void *expect_context, kh_bytes key);
    void *expect_context;
};

/* Append one frame to out, sealed with what the record says. On failure out has the size that it
 * had before. KH_TOO_BIG: beyond 2 GiB; KH_NO_MEMORY; KH_UNSUPPORTED as ipc_encode_value. */
kh_status record_encode(const struct record_codec *codec, const struct record *record,
                        struct ipc_buffer *out, kh_error *error);
/* Write the commit timestamp and the window into an encoded frame of at least RECORD_HEAD_BYTES.
 * Cannot fail; costs the same whatever the size of the frame. */
void record_seal(void *frame, uint64_t commit, uint64_t eta, uint64_t pi);
enum { RECORD_HEAD_BYTES = 96 };
/* Decode one whole frame. Arrays and keys go into arena; batches and the schema are references that
 * record_drop releases. On failure *out is untouched and nothing is held.
 * KH_CORRUPT: anything malformed (hostile bytes never crash), or a value of a schema that schema_of
 * does not know; KH_UNSUPPORTED: a newer format, kind or rule; KH_TOO_BIG: a schema or value beyond
 * the limits; KH_NO_MEMORY. */
kh_status record_decode(const struct record_codec *codec, kh_bytes frame, struct arena *arena,
                        struct record *out, kh_error *error);
/* Of a whole frame: magic, version, length and both checksums. KH_CORRUPT, KH_UNSUPPORTED. */
kh_status record_check_frame(kh_bytes frame, kh_error *error);
/* Release what a decoded record holds, and blank it. */
void record_drop(const struct record_codec *codec, struct record *record);

#endif
