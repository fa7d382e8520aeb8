/* record_raw.h - a record's frame without decoding its values: for what moves them as bytes. */
#ifndef KHONSU_LOG_RECORD_RAW_H
#define KHONSU_LOG_RECORD_RAW_H

#include "log/record.h"

struct raw_record {
    enum record_kind kind;
    kh_txn_id id;
    uint64_t commit;
    uint32_t schema_number; /* RECORD_SCHEMA */
    kh_bytes frame;
    uint32_t write_count;
    kh_bytes writes; /* of them, what raw_next_write has not taken yet */
};

struct raw_write {
    kh_bytes key;
    kh_bytes value; /* data NULL: a deletion */
    uint32_t schema_number;
    uint64_t base;
};

/* Check head and checksums and find the writes; all borrowed from the frame. KH_CORRUPT,
 * KH_UNSUPPORTED as record_decode. */
kh_status raw_open(kh_bytes frame, struct raw_record *out, kh_error *error);
/* The next write. KH_END after the last; KH_CORRUPT. */
kh_status raw_next_write(struct raw_record *record, struct raw_write *out, kh_error *error);
/* The user's tag, borrowed from the frame; size 0: none, or its section is cut off. */
kh_bytes raw_tag(const struct raw_record *record);
/* The section of what its change means, as bytes (db/semantic.h reads them), borrowed from the
 * frame; data NULL: none. KH_CORRUPT: it is empty, cut off, or of a kind that has none. */
kh_status raw_delta(const struct raw_record *record, kh_bytes *out, kh_error *error);

/* The members of a commit; count 0: there are none. */
struct raw_members {
    uint32_t count;
    kh_bytes left; /* of them, what raw_next_member has not taken yet */
};
/* KH_CORRUPT: cut off, empty, or of a record that is no commit. */
kh_status raw_members(const struct raw_record *record, struct raw_members *out, kh_error *error);
/* The next one, borrowed from the frame. KH_END after the last; KH_CORRUPT. */
kh_status raw_next_member(struct raw_members *members, struct record_member *out, kh_error *error);

#endif
