/* ipc.h - batches and schemas as bytes: what the record codec of the log uses. The public stream
 * and file functions are in khonsu/batch.h.
 *
 * A value is one batch without its schema: the dictionary-batch messages it needs (inner ones
 * first), then one record-batch message, each an encapsulated message of the Arrow IPC format.
 * Equal bytes in, equal bytes out: padding is zero, offsets start at 0, unused variadic buffers
 * are left out; only what lies under null slots is kept as it was. */
#ifndef KHONSU_BATCH_IPC_H
#define KHONSU_BATCH_IPC_H

#include "batch/batch.h"
#include "batch/schema.h"

/* Bytes that grow at the end. Once an allocation has failed, is_failed stays set and every further
 * call does nothing: a writer may append many things and look once. */
struct ipc_buffer {
    struct mem *mem;
    unsigned char *bytes;
    size_t size_bytes;
    size_t capacity_bytes;
    bool is_failed;
    bool is_fixed; /* the bytes are somebody else's, and all that there is */
};

void ipc_buffer_init(struct ipc_buffer *buffer, struct mem *mem);
void ipc_buffer_fini(struct ipc_buffer *buffer);
/* Over memory of the caller, which stays his: what does not fit fails. */
void ipc_buffer_fix(struct ipc_buffer *buffer, void *bytes, size_t capacity_bytes);
/* Room for so many more in one piece, where it is known beforehand: growing copies what is there.
 * No failure: what has no room then has none later. */
void ipc_buffer_reserve(struct ipc_buffer *buffer, size_t more_bytes);
/* size_bytes more at the end, zeroed; NULL on failure. Moves what the buffer holds. */
void *ipc_buffer_extend(struct ipc_buffer *buffer, size_t size_bytes);
void ipc_buffer_append(struct ipc_buffer *buffer, const void *bytes, size_t size_bytes);
/* Zeroes up to the next multiple of alignment (a power of two), counted from position base. */
void ipc_buffer_align(struct ipc_buffer *buffer, size_t base, size_t alignment);

/* Append the batch, of any type. On failure out has the size it had before. KH_NO_MEMORY,
 * KH_TOO_BIG. */
kh_status ipc_encode_value(struct mem *mem, const kh_batch *batch, kh_compression compression,
                           struct ipc_buffer *out, kh_error *error);
/* The batch that ipc_encode_value made these bytes of, given its schema (of mem). The bytes are
 * copied and may be hostile. KH_CORRUPT, KH_TOO_BIG, KH_UNSUPPORTED, KH_NO_MEMORY. */
kh_status ipc_decode_value(struct mem *mem, struct mem_cache *cache, const kh_schema *schema,
                           kh_bytes bytes, kh_batch **out, kh_error *error);

/* A schema as bytes, exactly: unlike the IPC form this keeps the flags, name and metadata that a
 * producer gave to a dictionary's values. KH_NO_MEMORY. */
kh_status ipc_encode_schema(const kh_schema *schema, struct ipc_buffer *out, kh_error *error);
/* The equal schema in table, with a reference for schema_drop. KH_CORRUPT, KH_TOO_BIG,
 * KH_NO_MEMORY. */
kh_status ipc_decode_schema(struct schema_table *table, kh_bytes bytes, const kh_schema **out,
                            kh_error *error);

#endif
