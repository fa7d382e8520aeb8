/* limits.h - every bound of the engine, with its reason. Beyond one: KH_TOO_BIG or KH_BUSY, never
 * silent growth. Those that an option can lower or raise say so. */
#ifndef KHONSU_BASE_LIMITS_H
#define KHONSU_BASE_LIMITS_H

/* A key's length is kept in 16 bits. The empty key is refused: it would sort before every prefix
 * and name nothing. */
#define LIMIT_KEY_BYTES 65535u

/* One batch: offsets and sizes in records are 32-bit friendly, and one value that does not fit a
 * fifth of a common machine's memory is a design error. Option: kh_limits.batch_bytes. */
#define LIMIT_BATCH_BYTES (4ull << 30)

/* Rows of one batch: row positions in row operations are 32 bits. */
#define LIMIT_BATCH_ROWS 2147483647ll

/* Columns and nested fields of one schema, all levels: recursion and plans are sized by it. */
#define LIMIT_SCHEMA_FIELDS 16384
/* Nesting depth of a schema: the decoder and the plans recurse. nanoarrow's is 64 too. */
#define LIMIT_SCHEMA_DEPTH 64
/* Bytes of names, formats and metadata of one schema. */
#define LIMIT_SCHEMA_BYTES (16u << 20)
/* Distinct schemas of one database: interned for its lifetime. */
#define LIMIT_SCHEMAS 65536u

/* Writes of one transaction: they are staged and certified in one go, and the commit section is
 * held for all of them. Option. */
#define LIMIT_TXN_WRITES 1000000u
/* Bytes of the values of one transaction: one record carries them. Option. */
#define LIMIT_TXN_BYTES (1ull << 30)
/* Reads that one tracked transaction remembers (16 bytes each). Beyond: ranges are merged into
 * one covering range, which is sound and costs precision. Option. */
#define LIMIT_TXN_READS 1000000u
/* Row operations staged on one key by one transaction. */
#define LIMIT_TXN_ROW_OPS 65535u
/* Locks that one transaction asks for, those that it had already counted again: 256 bytes each. */
#define LIMIT_TXN_LOCKS 65536u
/* Workspaces that commit together: each is compared with each. */
#define LIMIT_TOGETHER 256u
/* Savepoints open in one transaction. */
#define LIMIT_TXN_SAVEPOINTS 65535u
/* A user's tag on a transaction: carried in each record and listed. */
#define LIMIT_TAG_BYTES 255u

/* Open transactions: each holds a slot that every horizon computation reads. Option. */
#define LIMIT_TXNS 4096u
/* Range reads kept for certification: a write that has an outgoing dependency compares with each.
 * Beyond: the entry with the lowest stamp is folded into the floor (sound, costs false aborts).
 * Option. */
#define LIMIT_RANGES 4096u
/* Records in the log's pipeline (appended, not yet durable). Beyond: committers wait. */
#define LIMIT_IN_FLIGHT 65536u
/* Outcomes remembered by transaction id: kh_db_outcome answers NOT_FOUND for older ones. Option. */
#define LIMIT_OUTCOMES 65536u
/* Re-staging after a policy before the keys are claimed for one commit. */
#define LIMIT_RESTAGE 3u
/* Events that wait in one watch. Beyond: the oldest are dropped and the watch says so. Option. */
#define LIMIT_WATCH_EVENTS 65536u
/* Bytes of waiting events, for each event that may wait in a watch: keys longer than most make the
 * bound fall earlier, so that a watch of the longest keys keeps 16 MiB and not 4 GiB. */
#define LIMIT_WATCH_EVENT_BYTES 256u
/* Keys in the table of keys most in conflict (space-saving counters). */
#define LIMIT_HOT_KEYS 32u
/* Transactions run by kh_db_run before the last failure is returned. Option. */
#define LIMIT_RUN_ATTEMPTS 100u

/* Values of one delta: with more, the sum of the products of two rows of 8-bit codes (255 * 127
 * each) would not fit 32 bits, nor the count of values before a position 16. Four times the
 * longest embedding that is in use. */
#define LIMIT_DELTA_DIMENSION 65536u
/* The size of one value of a delta: the squares of that many of twice the size, which a difference
 * may have, still have a sum that a float can hold (2.7e37 of 3.4e38). */
#define LIMIT_DELTA_VALUE 1e16f
/* Keys of one delta: counted in 32 bits, and two lists of them are compared key by key. */
#define LIMIT_DELTA_KEYS (1u << 24)
/* Bytes of the keys of one delta, as those of a transaction's values. */
#define LIMIT_DELTA_KEY_BYTES (1ull << 30)

/* Default of timeout_ms: a read-write transaction holds history and must end. Option. */
#define DEFAULT_TIMEOUT_MS 5000u
/* Default of lock_timeout_ms: for transactions whose own timeout was made longer. Option. */
#define DEFAULT_LOCK_TIMEOUT_MS 30000u

#endif
