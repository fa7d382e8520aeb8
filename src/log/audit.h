/* audit.h - does a storage hold what the log says? Told every record, then every entry of the
 * storage, then asked for what is missing.
 *
 * What checkpoint.h promises, as far as the log reaches back (from the anchor on); applied and
 * swept are its two positions:
 *
 *   a version that a record below applied wrote   is there, byte for byte, unless overwritten by a
 *                                                 record below swept: then it is gone; between
 *                                                 swept and applied both are right
 *   a deletion                                    gone below swept; above, there or not
 *   a version older than what a record below      gone
 *   swept wrote of its key
 *   a version that no record wrote                was written before the anchor: older than every
 *                                                 commit in the log. It cannot be compared
 *   a prepared transaction                        there until a record below applied decides it
 *   a schema                                      there
 *   the outcome of a transaction                  as its record says, or not there (it expires)
 *
 * Entries are told apart by SHA-256, cut to 16 bytes: nobody can make a wrong value pass. Memory:
 * an item for each write, each key and each transaction that the log has. One thread. */
#ifndef KHONSU_LOG_AUDIT_H
#define KHONSU_LOG_AUDIT_H

#include "base/digest.h"
#include "log/record_raw.h"

enum { AUDIT_NAME_BYTES = 16 };

struct audit_item;

struct audit {
    struct mem *mem;
    struct digester *digester; /* borrowed */
    uint64_t applied;          /* positions */
    uint64_t swept;
    uint64_t newest_commit;   /* of what was applied, as the storage says */
    uint64_t first_commit;    /* lowest of the log; 0: none */
    uint64_t last_commit;     /* highest of what was applied of it */
    uint64_t last_logged;     /* highest of all of it */
    struct audit_item *items; /* open addressing; capacity is a power of two or 0 */
    size_t capacity;
    size_t count;
    unsigned char *key; /* room for the longest storage key */
    uint64_t unchecked_versions;
    uint64_t unchecked_schemas;
    uint64_t unchecked_prepared;
    uint64_t unchecked_outcomes;
};

/* KH_NO_MEMORY. */
kh_status audit_init(struct audit *audit, struct mem *mem, struct digester *digester,
                     uint64_t applied, uint64_t swept, uint64_t newest_commit, kh_error *error);
void audit_fini(struct audit *audit);
/* The next record, in order. KH_CORRUPT: malformed, or a decision of what is not prepared, or a
 * timestamp that goes back. */
kh_status audit_record(struct audit *audit, uint64_t position, kh_bytes frame, kh_error *error);
/* An entry of the storage whose key begins with V, P, Q, S or O; any order. KH_CORRUPT: the log
 * says otherwise. */
kh_status audit_entry(struct audit *audit, kh_bytes key, kh_bytes value, kh_error *error);
/* After the last entry. KH_CORRUPT: something is missing in the storage. */
kh_status audit_end(struct audit *audit, kh_error *error);

#endif
