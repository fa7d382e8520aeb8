/* log.h - logs of our own, and reading one back. The interface of a log is struct kh_log of
 * khonsu/log.h.
 *
 * Three pieces: the memory log (the newest records, bounded in bytes), the numbers that a log's
 * SCHEMA records give to schemas, and replay, which turns bytes back into records. */
#ifndef KHONSU_LOG_LOG_H
#define KHONSU_LOG_LOG_H

#include "base/lock.h"
#include "khonsu/log.h"
#include "log/record.h"

/* ---- the memory log -------------------------------------------------------------------------- */

/* A log that keeps the newest records whose frames sum up to at most keep_bytes, and forgets older
 * ones. Answers KEPT from within append. open and close only connect and disconnect the database: a
 * log outlives it, and can be read or opened again. read visits without holding a lock; asked for a
 * position that is forgotten it answers ENODATA. read and trim: any thread.
 * Blocks come from mem; KH_NO_MEMORY. */
kh_status log_memory_create(struct mem *mem, uint64_t keep_bytes, kh_log *out, kh_error *error);
/* Not while a database has it open. Blanks *log; a blank one is allowed. */
void log_memory_destroy(kh_log *log);

/* ---- the numbers of schemas ------------------------------------------------------------------ */

/* Which schema of one database has which number in one log, both ways. Any thread. A committer that
 * finds a schema without a number appends a SCHEMA record with the next one, and adds it once the
 * log has taken the record: whoever finds the number then comes later in the log. */
struct log_schemas {
    struct mem *mem;
    struct schema_table *table; /* of the database; NULL: no schema comes from another */
    struct lock lock;           /* RANK_SCHEMA: all below */
    struct log_schema_slot *slots;
    uint32_t capacity;
    uint32_t next; /* above every number in use */
};

void log_schemas_init(struct log_schemas *schemas, struct mem *mem);
void log_schemas_fini(struct log_schemas *schemas);
/* Afterwards log_schemas_add of the same does not fail, if nothing else got the number. KH_CORRUPT:
 * beyond LIMIT_SCHEMAS; KH_NO_MEMORY. */
kh_status log_schemas_reserve(struct log_schemas *schemas, uint32_t number, const kh_schema *schema,
                              kh_error *error);
/* KH_OK also when it is there already. KH_CORRUPT: another schema has that number, or it is beyond
 * LIMIT_SCHEMAS; KH_NO_MEMORY. Takes a reference of its own. */
kh_status log_schemas_add(struct log_schemas *schemas, uint32_t number, const kh_schema *schema,
                          kh_error *error);
/* The number that the next new schema should get. */
uint32_t log_schemas_next(struct log_schemas *schemas);
/* False: it has none. A schema of another table (a batch that another database or the process made)
 * has the number of its twin: own numbers are of one table. */
bool log_schemas_number(struct log_schemas *schemas, const kh_schema *schema, uint32_t *out);
/* The two functions of a record_codec whose context is a struct log_schemas. */
const kh_schema *log_schemas_find(void *context, uint32_t number);
uint32_t log_schemas_number_of(void *context, const kh_schema *schema);

/* ---- replay ---------------------------------------------------------------------------------- */

/* The record is borrowed for the call: retain the batches to be kept. Anything but KH_OK stops the
 * replay, and KH_END does so without a failure. */
typedef kh_status log_replay_fn(void *context, kh_log_position position,
                                const struct record *record, kh_error *error);

/* Decode the log's records from a position on, in order, and hand them on. SCHEMA records fill
 * schemas and are not handed on; values are decoded with the schemas there (codec's own schema_of
 * is not used), so that a replay from the middle needs what an earlier part of the log has defined.
 * *next (NULL allowed) is written on success: the position after the last record visited.
 * KH_CORRUPT, KH_UNSUPPORTED: as record_decode, the message names the position; KH_TOO_OLD: the log
 * has forgotten the position; KH_IO: the log's read failed; KH_NO_MEMORY; or what visit said. */
kh_status log_replay(const kh_log *log, kh_log_position from, const struct record_codec *codec,
                     struct log_schemas *schemas, log_replay_fn *visit, void *context,
                     kh_log_position *next, kh_error *error);

#endif
