/* at_rest.h - a database's directory, opened to be read: nothing in it is changed, and another
 * process may have it open and write.
 *
 * What is seen is one moment of it: RocksDB's read-only instances read their files' names once and
 * keep the files open. The log is opened before the values, and must reach what the values hold.
 * The writer may remove or reuse a file between two steps of an opening: then it is tried again.
 */
#ifndef KHONSU_DB_AT_REST_H
#define KHONSU_DB_AT_REST_H

#include "log/mark.h"
#include "log/rocks_log.h"
#include "log/rocks_storage.h"

struct at_rest {
    kh_identity identity;
    struct mark mark;  /* as it was before the log was opened */
    bool ends_at_mark; /* the log is shown up to what it calls synced: more may not be on disk */
    struct rocks *rocks_log;
    struct rocks *rocks_values;
    struct rocks_log *log; /* read-only */
    struct rocks_storage storage;
};

/* opening is told how far the check of the log's end is; NULL: nobody is. KH_INVALID: not the
 * directory of a database; KH_BUSY: a writer was faster each time; KH_CORRUPT, KH_IO,
 * KH_UNSUPPORTED, KH_NO_MEMORY. On failure nothing is held. */
struct opening;
kh_status at_rest_open(struct mem *mem, const char *path, const struct env_clock *clock,
                       struct opening *opening, struct at_rest *out, kh_error *error);
/* The same of two instances in places of their own that nobody writes; identity and mark are in
 * *out already. All of the log is followed, each digest and root of it. */
kh_status at_rest_open_parts(struct mem *mem, const char *log, const char *values,
                             struct at_rest *out, kh_error *error);
/* Blank is allowed, and what remains. */
void at_rest_close(struct at_rest *at_rest);

#endif
