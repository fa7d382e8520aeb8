/* rocks_history.h - the log as a history: followed from its anchor to its end with every digest,
 * read record by record, and proved. Of an open database (whose log goes on meanwhile) or of a
 * directory that is opened to be read. */
#ifndef KHONSU_LOG_ROCKS_HISTORY_H
#define KHONSU_LOG_ROCKS_HISTORY_H

#include "khonsu/verify.h"
#include "log/group.h"
#include "log/rocks.h"

struct history {
    struct mem *mem;
    struct rocks *log;
    struct rocks *values;
    kh_identity identity;
    struct digester *digester;
    struct digest genesis;
    struct chain anchor; /* as it was at init */
};

/* The handles are borrowed until fini. KH_CORRUPT: the anchor; KH_IO, KH_NO_MEMORY. */
kh_status history_init(struct history *history, struct mem *mem, struct rocks *log,
                       struct rocks *values, const kh_identity *identity, kh_error *error);
void history_fini(struct history *history); /* blank is allowed */

/* ---- following ------------------------------------------------------------------------------- */

/* What a follower is told; anything but KH_OK ends it. */
struct follower {
    void *context;
    /* After a group was found to follow; the chain has moved on to it. NULL: not asked. */
    kh_status (*group)(void *context, const struct chain *chain, const struct group_head *head,
                       kh_error *error);
    /* Each record of it, after that. NULL: not asked. */
    kh_status (*record)(void *context, kh_log_position position, const struct group_head *head,
                        kh_bytes frame, kh_error *error);
};

struct history_end {
    struct chain chain; /* at the last group that follows */
    bool is_torn;       /* something lies behind it that does not, and why says what */
    kh_error why;
};

/* From the anchor to the first group that does not follow. Groups before the anchor that were not
 * deleted yet are passed over. KH_OK also with a torn end: whether that was acknowledged is the
 * mark's matter (history_check_end). KH_IO, KH_NO_MEMORY, KH_UNSUPPORTED; or what the follower
 * said. */
kh_status history_follow(struct history *history, const struct follower *follower,
                         struct history_end *out, kh_error *error);
struct mark;
/* Is everything there that the mark and the storage (which has everything below `applied`) say was
 * acknowledged? KH_CORRUPT: no. */
kh_status history_check_end(const struct history_end *end, const struct mark *mark,
                            kh_log_position applied, kh_error *error);

/* Every block of every table in use, of what was deleted, too: RocksDB's checksums only. An opening
 * may come upon each of them. KH_CORRUPT, KH_IO. */
kh_status history_read_tables(struct history *history, kh_error *error);

/* ---- reading --------------------------------------------------------------------------------- */

/* The records in [from, end), without the chain. KH_OK also when the log begins later. */
kh_status history_read(struct history *history, kh_log_position from, kh_log_position end,
                       const struct follower *follower, kh_error *error);

/* ---- proofs ---------------------------------------------------------------------------------- */

/* The proof that the history up to `head` has what wrote the newest version of the key at or below
 * timestamp (0: of all), as JSON behind what out has. KH_NOT_FOUND: nothing did; KH_TOO_OLD: what
 * may have lies before what the log has. */
kh_status history_prove(struct history *history, const kh_head *head, kh_bytes key,
                        kh_timestamp timestamp, struct ipc_buffer *out, kh_error *error);

#endif
