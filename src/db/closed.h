/* closed.h - the directory of a database that no process has open, opened to be read: nothing in it
 * is changed, and meanwhile nobody opens it (a shared lock on LOCK; a directory without LOCK, on a
 * medium that cannot be written, say, is read without).
 *
 * Its memory is a context of its own, in the form that a database's has (batch/home.h). */
#ifndef KHONSU_DB_CLOSED_H
#define KHONSU_DB_CLOSED_H

#include "log/log.h"
#include "log/mark.h"
#include "log/rocks_history.h"
#include "log/rocks_storage.h"

enum { CLOSED_PATH_BYTES = 3800 }; /* room for names behind it in 4,096 */

struct closed {
    struct mem *mem;
    struct schema_table *schemas;
    struct log_schemas log_schemas;
    int lock;
    kh_identity identity;
    struct mark mark;
    struct rocks *rocks_log;
    struct rocks *rocks_values;
    struct rocks_storage storage;
    struct history history;
    kh_log_position applied; /* the storage has everything below */
    kh_log_position swept;
    uint64_t newest_commit; /* of that */
};

/* KH_INVALID: no database's directory; KH_IN_USE; KH_CORRUPT, KH_IO, KH_UNSUPPORTED, KH_NO_MEMORY.
 * On failure nothing is held. */
kh_status closed_open(struct closed *closed, const char *path, kh_error *error);
void closed_close(struct closed *closed);
/* How records are decoded. */
struct record_codec closed_codec(struct closed *closed);
/* The newest head, and that everything acknowledged is there. */
kh_status closed_head(struct closed *closed, kh_head *out, kh_error *error);
/* A chain's end as the public interface says it. */
void closed_head_of(const struct chain *chain, kh_head *out);

#endif
