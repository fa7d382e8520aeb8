/* checkpoint.h - bringing a storage up to date from a log, as bytes.
 *
 * A step reads a stretch of the log, turns its records into mutations of the storage and applies
 * them with the position behind it. Nothing is decoded, and the commit section is not entered: a
 * checkpoint is a reader of the log like a replica or a change feed.
 *
 * Two positions. Below `applied` every version that a record wrote is in the storage. Below `swept`
 * what those records overwrote is gone from it: a version may be deleted once the commit that
 * overwrote it is at or below the horizon, since then nobody reads below that. Records whose commit
 * is at or below the horizon when they are applied are swept at once, if all before them are: a
 * version that comes and goes within a step never reaches the storage. In any other order a
 * deletion could go before what it hides. Log records below `swept` are not needed here.
 *
 * The entry 'M' of the storage keeps version (4), 0 (4), swept (8), the highest commit timestamp
 * applied (8), the highest horizon that was swept with (8), little-endian; applied is the storage's
 * own position. One thread at a time. */
#ifndef KHONSU_LOG_CHECKPOINT_H
#define KHONSU_LOG_CHECKPOINT_H

#include "log/mutations.h"
#include "log/record_raw.h"

struct checkpoint {
    struct mem *mem;
    const struct kh_log *log;
    const struct kh_storage *storage;
    kh_log_position applied;
    kh_log_position swept;
    uint64_t newest_commit; /* seen, left out or not */
    uint64_t horizon;       /* of all sweeps: what is visible at or above it is in the storage */
    uint64_t until;         /* what was committed later is left out; UINT64_MAX: nothing is */
    struct mutations set;
};

/* Find where the storage is. KH_CORRUPT, KH_IO, KH_UNSUPPORTED. */
kh_status checkpoint_init(struct checkpoint *checkpoint, struct mem *mem, const struct kh_log *log,
                          const struct kh_storage *storage, kh_error *error);
/* The storage may have gone back to what it had synced: find where it is now. On failure the place
 * is the old one. */
kh_status checkpoint_find_again(struct checkpoint *checkpoint, kh_error *error);
void checkpoint_fini(struct checkpoint *checkpoint);
/* The storage becomes one beside an empty log: nothing of it is applied or swept yet. What it holds
 * is the state at `moment`, no older one. KH_IO, KH_NO_SPACE, KH_NO_MEMORY. */
kh_status checkpoint_rebase(struct checkpoint *checkpoint, uint64_t moment, kh_error *error);
/* One step over about bytes_max of the log (one record at least), up to what the log lets be read.
 * *has_more: another step has something to do. On failure the storage is as before, and the same
 * step can be tried again. KH_IO, KH_CORRUPT, KH_NO_MEMORY. */
kh_status checkpoint_step(struct checkpoint *checkpoint, uint64_t horizon, size_t bytes_max,
                          bool *has_more, kh_error *error);

#endif
