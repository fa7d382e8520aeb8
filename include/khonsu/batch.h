/* khonsu/batch.h - schemas and immutable record batches: in, out, builder, row operations, IPC.
 *
 * A kh_batch is an Arrow record batch that never changes once it exists, shared by reference
 * count: any number of threads may read, retain and release it. A kh_schema is its type, shared
 * likewise. Everything here works without a database.
 *
 * Memory: functions that make a schema or batch take a kh_db (see db.h) whose allocator and
 * accounting are used, or NULL for the process heap. A batch outlives the database that it was
 * made in or read from.
 *
 * What goes in comes out unchanged, of every Arrow type. Three things about a batch may differ
 * from the array that was given, none of them a value: small batches and slices that use less than
 * half of their buffers are copied (offsets become 0, the data buffers of views one), unset null
 * counts are computed, and a validity bitmap without nulls may be left out. */
#ifndef KHONSU_BATCH_H
#define KHONSU_BATCH_H

#include "khonsu/arrow.h"
#include "khonsu/status.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kh_db kh_db;
typedef struct kh_schema kh_schema;
typedef struct kh_batch kh_batch;

/* ---- schemas --------------------------------------------------------------------------------- */

/* Make a schema from an Arrow C schema of a struct type (format "+s": a record batch). Takes
 * ownership of *arrow on KH_OK (its release becomes NULL, as the Arrow specification moves), leaves
 * it with the caller otherwise. Equal schemas (types, names, nullability, metadata) of one database
 * give the same handle. The handle is shared: release it with kh_schema_release; it may outlive the
 * database. What means nothing is not kept: name and flags of the root, name and nullability of a
 * dictionary's values, flags that do not belong to a field's type.
 * KH_INVALID_DATA: released, not a struct, malformed format or metadata, children that do not fit
 * the format, a dictionary whose values are a dictionary, invalid UTF-8 name;
 * KH_TOO_BIG: more than 16,384 fields, 64 levels or 16 MiB of text; KH_BUSY: 65,536 schemas in this
 * database; KH_NO_MEMORY. Any thread. */
KH_API KH_WARN_UNUSED kh_status kh_schema_import(kh_db *db, struct ArrowSchema *arrow,
                                                 kh_schema **out, kh_error *error);
/* Write a deep copy into *out, which the caller releases by its release callback. */
KH_API KH_WARN_UNUSED kh_status kh_schema_export(const kh_schema *schema, struct ArrowSchema *out,
                                                 kh_error *error);
/* One more reference / one less. NULL is allowed in release. Any thread. */
KH_API kh_schema *kh_schema_retain(const kh_schema *schema);
KH_API void kh_schema_release(kh_schema *schema);
/* Same types, names, nullability and metadata, whichever database made them. Any thread. */
KH_API bool kh_schema_equal(const kh_schema *a, const kh_schema *b);
/* Top-level columns, and their names (UTF-8, NUL-terminated, live as long as the schema; NULL when
 * column is out of range). kh_schema_find: position of the first column of that name, or -1. */
KH_API int64_t kh_schema_column_count(const kh_schema *schema);
KH_API const char *kh_schema_column_name(const kh_schema *schema, int64_t column);
/* The column's format string in the notation of the Arrow C Data Interface ("l", "u", "+s"...). */
KH_API const char *kh_schema_column_format(const kh_schema *schema, int64_t column);
KH_API int64_t kh_schema_find(const kh_schema *schema, const char *name);

/* ---- batches: in and out --------------------------------------------------------------------- */

/* How much of a foreign array is checked before it is believed. Buffer SIZES cannot be known
 * through the Arrow C Data Interface: a producer whose buffers are shorter than its offsets claim
 * is undetectable there at every level (through IPC everything is proved; only decimals of more
 * digits than their precision are kept as they are there, for they can have been stored). */
typedef enum kh_validation {
    KH_VALIDATE_FULL =
        0, /* default: structure, offsets, UTF-8, views, unions, dictionaries, nulls, decimals */
    KH_VALIDATE_STRUCTURE = 1, /* counts, lengths and pointers only: for producers that you trust */
} kh_validation;

/* Make a batch of an Arrow array whose type is schema. Takes ownership of *array on KH_OK (release
 * becomes NULL; a small batch is copied and the producer's release callback has run when the call
 * returns; a large one is adopted and released when the last reference and export are gone), leaves
 * it with the caller otherwise. The top-level array may have an offset; top-level nulls are
 * refused; so are nulls in a field that is not nullable, where they show (not under a null parent),
 * and nested columns with buffers that are not aligned to their elements (flat ones are copied).
 * KH_INVALID_DATA: already released, half-built, does not match schema, or fails validation (the
 * message names the column); KH_TOO_BIG; KH_NO_MEMORY. Any thread. */
KH_API KH_WARN_UNUSED kh_status kh_batch_import(kh_db *db, const kh_schema *schema,
                                                struct ArrowArray *array, kh_validation validation,
                                                kh_batch **out, kh_error *error);
/* Give the batch to a consumer: *array (and *schema, unless NULL) share the batch's buffers without
 * a copy and keep it alive until they are released, after database and transaction if need be.
 * KH_NO_MEMORY. Any thread. */
KH_API KH_WARN_UNUSED kh_status kh_batch_export(const kh_batch *batch, struct ArrowArray *array,
                                                struct ArrowSchema *schema, kh_error *error);
/* One more reference (also to a borrowed batch) / one less. NULL is allowed in release. */
KH_API kh_batch *kh_batch_retain(const kh_batch *batch);
KH_API void kh_batch_release(kh_batch *batch);

/* Rows of the batch. Any thread. */
KH_API int64_t kh_batch_row_count(const kh_batch *batch);
/* Borrowed: lives as long as the batch. */
KH_API const kh_schema *kh_batch_schema(const kh_batch *batch);
/* Bytes that the batch keeps alive: its block, or the adopted buffers (an estimate for buffers
 * whose size the C Data Interface does not tell: what the array can reach). */
KH_API uint64_t kh_batch_size_bytes(const kh_batch *batch);
/* Same schema, rows and values (null slots compare equal whatever lies under them; dictionaries
 * compare by value; floats bit by bit). KH_OK writes *out. */
KH_API KH_WARN_UNUSED kh_status kh_batch_equal(const kh_batch *a, const kh_batch *b, bool *out,
                                               kh_error *error);

/* ---- reading values without a copy ----------------------------------------------------------- */

/* One flat column, borrowed from the batch: pointers into its buffers, already advanced by the
 * offset where the element size is a whole number of bytes. The null type has no buffers and a null
 * count of row_count. */
typedef struct kh_column {
    const char *format; /* Arrow C format string */
    int64_t row_count;
    int64_t null_count;
    const uint8_t
        *validity; /* NULL: no nulls. Bit (validity_offset + row), least significant first */
    int64_t validity_offset;
    const void *values;    /* fixed size: the elements; utf8 and binary: the bytes; bool: bits, at
                            * values_offset; views: the 16-byte views; others NULL */
    int64_t values_offset; /* bool only, else 0 */
    const void *offsets;   /* utf8, binary: int32_t or int64_t[row_count + 1], as format says */
    int64_t element_bytes; /* fixed size: bytes of one element; else 0 */
    const struct ArrowArray *array; /* reserved: NULL */
} kh_column;

/* Look at a column. KH_INVALID: no such column; KH_UNSUPPORTED: a nested, union, run-end encoded or
 * dictionary type (export the batch instead). No allocation. Any thread. */
KH_API KH_WARN_UNUSED kh_status kh_batch_column(const kh_batch *batch, int64_t column,
                                                kh_column *out, kh_error *error);
/* One value of an integer, boolean, date, time, timestamp, duration column as int64 (widened), of a
 * float column as double, of a utf8, binary or view column as bytes (borrowed from the batch).
 * KH_OK: *out is written. KH_NOT_FOUND: the value is null. KH_INVALID: no such row or column, or
 * another type (uint64 above INT64_MAX in kh_batch_int64 included). */
KH_API KH_WARN_UNUSED kh_status kh_batch_int64(const kh_batch *batch, int64_t column, int64_t row,
                                               int64_t *out);
KH_API KH_WARN_UNUSED kh_status kh_batch_double(const kh_batch *batch, int64_t column, int64_t row,
                                                double *out);
KH_API KH_WARN_UNUSED kh_status kh_batch_bytes(const kh_batch *batch, int64_t column, int64_t row,
                                               kh_bytes *out);

/* ---- builder: one row from typed scalars, one allocation ------------------------------------- */

typedef enum kh_scalar_kind {
    KH_SCALAR_NULL = 0,
    KH_SCALAR_INT64 =
        1, /* every integer, boolean, date, time, timestamp, duration type: range-checked */
    KH_SCALAR_UINT64 = 2, /* the same */
    KH_SCALAR_DOUBLE = 3, /* float, double, half (rounded to nearest even) */
    KH_SCALAR_BYTES = 4 /* utf8, binary, their large and view forms, fixed-size binary, decimals and
                         * intervals (their little-endian bytes) */
} kh_scalar_kind;

typedef struct kh_scalar {
    kh_scalar_kind kind;
    union {
        int64_t int64;
        uint64_t uint64;
        double float64;
        kh_bytes bytes;
    } as;
} kh_scalar;

/* A batch of row_count rows from row_count * column_count scalars in row order. Flat types only
 * (KH_UNSUPPORTED for nested, dictionary, union and run-end encoded columns: import those).
 * KH_INVALID: a scalar of the wrong kind or out of the type's range, or NULL in a column that is
 * not nullable; KH_INVALID_DATA: utf8 bytes that are not UTF-8. The bytes are copied. Any thread.
 */
KH_API KH_WARN_UNUSED kh_status kh_batch_build(kh_db *db, const kh_schema *schema,
                                               const kh_scalar *scalars, int64_t row_count,
                                               kh_batch **out, kh_error *error);
/* A schema of flat columns from names and Arrow C formats; each nullable unless its format is
 * prefixed with '!'. ("id","!l"), ("name","u"). */
KH_API KH_WARN_UNUSED kh_status kh_schema_build(kh_db *db, const char *const *names,
                                                const char *const *formats, int64_t column_count,
                                                kh_schema **out, kh_error *error);

/* ---- row operations, usable alone ------------------------------------------------------------ */
/* Rows are named by an id column: of an integer, string, binary (all widths, views, fixed size),
 * decimal, date, time, timestamp or duration type; compared by value, exactly. id_column NULL means
 * "id". Common errors: KH_NO_ID_COLUMN, KH_NULL_ID, KH_DUPLICATE_ID (inside one batch),
 * KH_SCHEMA_MISMATCH, KH_NO_MEMORY. Inputs are borrowed and unchanged; *out is a new reference
 * (possibly to an input). base NULL means "no batch yet". Order of the result: rows of the base in
 * their order, then added rows in theirs. Any thread. */

/* Rows of batch at row_indexes (each in [0, rows)), in that order; repeats allowed. */
KH_API KH_WARN_UNUSED kh_status kh_batch_take(const kh_batch *batch, const int64_t *row_indexes,
                                              int64_t index_count, kh_batch **out, kh_error *error);
/* A contiguous slice; shares buffers when that keeps at least half of them in use. */
KH_API KH_WARN_UNUSED kh_status kh_batch_slice(const kh_batch *batch, int64_t offset,
                                               int64_t length, kh_batch **out, kh_error *error);
/* All rows of base, then all of rows; ids are not looked at. */
KH_API KH_WARN_UNUSED kh_status kh_batch_concat(const kh_batch *base, const kh_batch *rows,
                                                kh_batch **out, kh_error *error);
/* Add rows whose ids are new: KH_ROW_EXISTS names the first that is not. */
KH_API KH_WARN_UNUSED kh_status kh_batch_insert_rows(const kh_batch *base, const kh_batch *rows,
                                                     const char *id_column, kh_batch **out,
                                                     kh_error *error);
/* Replace rows with the same id in place, add the rest (also the conflict policy append). */
KH_API KH_WARN_UNUSED kh_status kh_batch_upsert_rows(const kh_batch *base, const kh_batch *rows,
                                                     const char *id_column, kh_batch **out,
                                                     kh_error *error);
/* Patch: rows has the id column and any subset of base's columns (by name, same type); those cells
 * are replaced in the rows of those ids. KH_ROW_NOT_FOUND names the first id that is absent. */
KH_API KH_WARN_UNUSED kh_status kh_batch_update_rows(const kh_batch *base, const kh_batch *rows,
                                                     const char *id_column, kh_batch **out,
                                                     kh_error *error);
/* Remove the rows whose ids stand in ids (its id column; other columns are ignored; duplicates
 * allowed); absent ids are passed over. The result may have 0 rows. */
KH_API KH_WARN_UNUSED kh_status kh_batch_delete_rows(const kh_batch *base, const kh_batch *ids,
                                                     const char *id_column, kh_batch **out,
                                                     kh_error *error);
/* Three-way merge by id (the conflict policy merge): rows changed on one side only are taken from
 * it; a row changed on both merges column by column; the same cell changed to different values, or
 * a delete against an edit, is KH_MERGE_CONFLICT, and *conflict (unless NULL) says where. An equal
 * change on both sides is no conflict. Order: theirs, then rows added by mine. */
typedef struct kh_merge_conflict {
    int64_t mine_row;   /* -1: deleted by mine */
    int64_t theirs_row; /* -1: deleted by theirs */
    int64_t base_row;   /* -1: added by both */
    int64_t column;     /* -1: delete against edit */
} kh_merge_conflict;
KH_API KH_WARN_UNUSED kh_status kh_batch_merge(const kh_batch *base, const kh_batch *mine,
                                               const kh_batch *theirs, const char *id_column,
                                               kh_batch **out, kh_merge_conflict *conflict,
                                               kh_error *error);

/* ---- Arrow IPC ------------------------------------------------------------------------------- */
/* Our own encoder and decoder of record and dictionary batches: every Arrow type, slices, LZ4 and
 * ZSTD compressed bodies. Everything read is proved before use: lengths, offsets and counts of
 * hostile bytes give KH_CORRUPT or KH_TOO_BIG, never an access out of bounds. */

typedef enum kh_ipc_format { KH_IPC_STREAM = 0, KH_IPC_FILE = 1 } kh_ipc_format;
typedef enum kh_compression {
    KH_COMPRESS_NONE = 0,
    KH_COMPRESS_LZ4 = 1,
    KH_COMPRESS_ZSTD = 2
} kh_compression;

/* Where bytes go to and come from. write: 0 on success, else an errno. read: bytes read (0 at the
 * end, fewer only at the end), or -errno. */
typedef struct kh_sink {
    int (*write)(void *context, const void *bytes, size_t size_bytes);
    void *context;
} kh_sink;
typedef struct kh_source {
    int64_t (*read)(void *context, void *bytes, size_t size_bytes);
    void *context;
} kh_source;

typedef struct kh_ipc_writer kh_ipc_writer;
typedef struct kh_ipc_reader kh_ipc_reader;

/* Open: writes the schema (and the file's magic). The sink's context is borrowed until finish. */
KH_API KH_WARN_UNUSED kh_status kh_ipc_writer_open(const kh_sink *sink, kh_ipc_format format,
                                                   kh_compression compression,
                                                   const kh_schema *schema, kh_ipc_writer **out,
                                                   kh_error *error);
/* Append a batch of the writer's schema (KH_SCHEMA_MISMATCH otherwise, nothing written). A
 * dictionary that changed is sent anew in a stream; a file's dictionaries can only grow, so there
 * new values are appended and the batch's indices shifted (KH_UNSUPPORTED: the index type has no
 * room for that, or the dictionary has another one inside). KH_IO: the sink failed; KH_TOO_BIG;
 * KH_NO_MEMORY. After any failure but a mismatch only close is allowed. */
KH_API KH_WARN_UNUSED kh_status kh_ipc_writer_write(kh_ipc_writer *writer, const kh_batch *batch,
                                                    kh_error *error);
/* Write the end (and the file's footer); then only close is allowed. */
KH_API KH_WARN_UNUSED kh_status kh_ipc_writer_finish(kh_ipc_writer *writer, kh_error *error);
/* Free; does not finish. NULL is allowed. */
KH_API void kh_ipc_writer_close(kh_ipc_writer *writer);

/* Open a stream or a file (told apart by the magic; a file is read front to back like a stream
 * and its footer is checked against what was read). */
KH_API KH_WARN_UNUSED kh_status kh_ipc_reader_open(kh_db *db, const kh_source *source,
                                                   kh_ipc_reader **out, kh_error *error);
/* Borrowed from the reader. */
KH_API const kh_schema *kh_ipc_reader_schema(const kh_ipc_reader *reader);
/* The next batch (KH_END after the last; *out is NULL then). The caller releases it. KH_CORRUPT;
 * KH_TOO_BIG; KH_UNSUPPORTED: tensors, types and metadata versions (before 4) that this library
 * does not know, nulls of a union itself (which metadata version 4 had); KH_IO: the source failed;
 * KH_NO_MEMORY. Each further call answers the same. Big-endian data is turned round. Custom
 * metadata of messages (not of schema and fields) is not kept. */
KH_API KH_WARN_UNUSED kh_status kh_ipc_reader_next(kh_ipc_reader *reader, kh_batch **out,
                                                   kh_error *error);
KH_API void kh_ipc_reader_close(kh_ipc_reader *reader);

/* The same in memory: a whole stream or file of batch_count batches. *bytes is freed by
 * kh_bytes_free. Batches read from memory are copied out of bytes. */
KH_API KH_WARN_UNUSED kh_status kh_ipc_encode(const kh_batch *const *batches, size_t batch_count,
                                              kh_ipc_format format, kh_compression compression,
                                              kh_bytes *bytes, kh_error *error);
/* How many bytes that is without compression: exactly, by a pass over the batches' shapes that
 * copies no values. */
KH_API KH_WARN_UNUSED kh_status kh_ipc_encoded_bytes(const kh_batch *const *batches,
                                                     size_t batch_count, kh_ipc_format format,
                                                     uint64_t *size_bytes, kh_error *error);
/* The same, uncompressed, into memory of the caller (of a bytes object, a mapped file, shared
 * memory), aligned to 8 bytes or more (64, for readers that want to use it in place): *size_bytes
 * of it are filled. KH_TOO_BIG: memory_bytes are too few, kh_ipc_encoded_bytes says how many it
 * takes; what the memory holds then means nothing. */
KH_API KH_WARN_UNUSED kh_status kh_ipc_encode_into(const kh_batch *const *batches,
                                                   size_t batch_count, kh_ipc_format format,
                                                   void *memory, size_t memory_bytes,
                                                   size_t *size_bytes, kh_error *error);
/* *out is an array of *batch_count references, freed by kh_batches_free. */
KH_API KH_WARN_UNUSED kh_status kh_ipc_decode(kh_db *db, kh_bytes bytes, kh_batch ***out,
                                              size_t *batch_count, kh_error *error);
KH_API void kh_bytes_free(kh_bytes bytes);
KH_API void kh_batches_free(kh_batch **batches, size_t batch_count);

#ifdef __cplusplus
}
#endif
#endif
