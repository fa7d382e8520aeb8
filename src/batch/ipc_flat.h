/* ipc_flat.h - flatbuffers, as far as Arrow's messages need them: a reader that proves each
 * access when it makes it, and a writer that appends to an ipc_buffer.
 *
 * Why not flatcc. Its verifier follows every reference without remembering where it has been:
 * fields that share their children double its work with each level (measured: 26 levels in 1,484
 * bytes take 4.7 s), and no accessor may run before it; its builder allocates outside mem.h and
 * cannot write in place. Here a hostile message costs what its reader chooses to visit, and the
 * reader counts. flatcc judges the writer's output in the unit tests.
 *
 * Positions are counted from the start of the flatbuffer. Nothing needs to be aligned to be read.
 * Failure: false, or FLAT_BAD, for any access that leaves the buffer; the caller: KH_CORRUPT. */
#ifndef KHONSU_BATCH_IPC_FLAT_H
#define KHONSU_BATCH_IPC_FLAT_H

#include "batch/ipc.h"

enum flat_found { FLAT_ABSENT, FLAT_PRESENT, FLAT_BAD };

struct flat_table {
    const unsigned char *bytes; /* the whole flatbuffer */
    uint32_t size;
    uint32_t at;
    uint32_t vtable_at;
    uint16_t vtable_bytes;
    uint16_t table_bytes;
};

struct flat_vector { /* count items, proved to lie inside the flatbuffer */
    const unsigned char *items;
    uint32_t count;
    uint32_t at; /* of the first item */
};

/* The root table of a flatbuffer. */
bool flat_root(const void *bytes, size_t size_bytes, struct flat_table *out);
/* A scalar field of width 1, 2, 4 or 8 bytes, sign-extended; absent ones are fallback. */
bool flat_integer(const struct flat_table *table, unsigned field, unsigned width,
                  int64_t fallback, int64_t *out);
enum flat_found flat_child(const struct flat_table *table, unsigned field,
                           struct flat_table *out);
/* Absent vectors and texts have count 0. */
bool flat_items(const struct flat_table *table, unsigned field, size_t item_bytes,
                struct flat_vector *out);
bool flat_text(const struct flat_table *table, unsigned field, kh_bytes *out);
/* The table that item index of a vector of tables (item_bytes 4) refers to. */
bool flat_item_table(const struct flat_table *of, const struct flat_vector *vector, uint32_t index,
                     struct flat_table *out);

/* One field of a table to write. width FLAT_REF: a reference, to be set by flat_refer. */
#define FLAT_REF 0u
struct flat_field {
    unsigned field;
    unsigned width;
    int64_t value;
    size_t at; /* out: where the value lies */
};

/* Append a flatbuffer's reference to its root (base is its start), a table, a text, a vector of
 * zeroed items; the position is where a reference to it points (counted in the ipc_buffer). */
void flat_begin(struct ipc_buffer *out, size_t base);
size_t flat_put_table(struct ipc_buffer *out, size_t base, struct flat_field *fields,
                      unsigned field_count);
size_t flat_put_text(struct ipc_buffer *out, size_t base, const void *bytes, size_t size_bytes);
size_t flat_put_vector(struct ipc_buffer *out, size_t base, size_t count, size_t item_bytes);
/* Let the reference at position `from` point to `to`, which lies behind it. */
void flat_refer(struct ipc_buffer *out, size_t from, size_t to);

#endif
