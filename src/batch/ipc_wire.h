/* ipc_wire.h - what the files of the IPC encoder and decoder share: the numbers of Arrow's
 * flatbuffer schemas (Message.fbs, Schema.fbs, File.fbs), the bounds of messages, and the functions
 * that pass from one file to the next. Rooms to the right use ipc.h. */
#ifndef KHONSU_BATCH_IPC_WIRE_H
#define KHONSU_BATCH_IPC_WIRE_H

#include "base/arena.h"
#include "base/limits.h"
#include "batch/column.h"
#include "batch/ipc.h"
#include "batch/ipc_flat.h"

/* Metadata of one message: the widest schema allowed (LIMIT_SCHEMA_FIELDS) needs 3 MiB for a
 * batch and LIMIT_SCHEMA_BYTES plus 3 MiB for itself; the rest is room for other writers. */
#define IPC_METADATA_BYTES (64u << 20)
/* The first block for bytes that a source merely promises; it doubles as they arrive, which copies
 * them. Most bodies fit; what does not come is address space, not memory. */
#define IPC_FIRST_READ_BYTES (8u << 20)
/* Body buffers begin at multiples of this: the specification's recommendation in streams and files,
 * its minimum in values, which are many and small. */
#define IPC_STREAM_ALIGNMENT 64u
#define IPC_VALUE_ALIGNMENT 8u

#define IPC_MAGIC "ARROW1"
#define IPC_MAGIC_BYTES 6u
#define IPC_CONTINUATION 0xFFFFFFFFu
#define IPC_V4 3
#define IPC_V5 4

enum ipc_header { IPC_SCHEMA = 1, IPC_DICTIONARY = 2, IPC_RECORD = 3 };

enum { MESSAGE_VERSION = 0, MESSAGE_HEADER_TYPE = 1, MESSAGE_HEADER = 2, MESSAGE_BODY_LENGTH = 3 };
enum { SCHEMA_ENDIANNESS = 0, SCHEMA_FIELDS = 1, SCHEMA_METADATA = 2 };
enum {
    FIELD_NAME = 0,
    FIELD_NULLABLE = 1,
    FIELD_TYPE_TYPE = 2,
    FIELD_TYPE = 3,
    FIELD_DICTIONARY = 4,
    FIELD_CHILDREN = 5,
    FIELD_METADATA = 6
};
enum { ENCODING_ID = 0, ENCODING_INDEX_TYPE = 1, ENCODING_IS_ORDERED = 2 };
enum { PAIR_KEY = 0, PAIR_VALUE = 1 };
enum {
    RECORD_LENGTH = 0,
    RECORD_NODES = 1,
    RECORD_BUFFERS = 2,
    RECORD_COMPRESSION = 3,
    RECORD_VARIADIC = 4
};
enum { COMPRESSION_CODEC = 0, COMPRESSION_METHOD = 1 };
enum { DICTIONARY_ID = 0, DICTIONARY_RECORD = 1, DICTIONARY_IS_DELTA = 2 };
enum { FOOTER_VERSION = 0, FOOTER_SCHEMA = 1, FOOTER_DICTIONARIES = 2, FOOTER_RECORDS = 3 };

/* Items of RECORD_NODES and RECORD_BUFFERS: two int64; of the footer's blocks: 24 bytes. */
#define IPC_PAIR_BYTES 16u
struct ipc_place { /* the footer's Block, as it lies in the file */
    int64_t offset;
    int32_t metadata_bytes;
    int32_t padding;
    int64_t body_bytes;
};

/* ---- types (ipc_types.c) ---- */

/* Write the type table of a field that is not a dictionary; *type is its number in the union. */
size_t ipc_type_put(struct ipc_buffer *out, size_t base, const struct field *field,
                    uint8_t *type);
/* Write the Int table of a dictionary's indices. */
size_t ipc_type_put_index(struct ipc_buffer *out, size_t base, const struct field *field);
/* The Arrow C format of a type table, in arena; *flags gains ARROW_FLAG_MAP_KEYS_SORTED. */
kh_status ipc_type_read(const struct flat_table *table, int64_t type, struct arena *arena,
                        const char **format, int64_t *flags, kh_error *error);

/* ---- schemas (ipc_schema_write.c, ipc_schema_read.c, ipc_schema_tree.c) ---- */

/* Write a Schema table; its position goes to *at. */
kh_status ipc_schema_put(struct ipc_buffer *out, size_t base, const kh_schema *schema, size_t *at,
                         kh_error *error);
/* What a schema says of the messages behind it. */
struct ipc_traits {
    bool has_union; /* before metadata version 5 unions had a bitmap, which this reader skips */
    bool is_big_endian;
};
/* A schema as an Arrow C schema (release it, or import it), the ids of its dictionary fields in
 * preorder appended to ids as int64. */
kh_status ipc_schema_read(const struct flat_table *table, struct mem *mem,
                          struct ArrowSchema *out, struct ipc_buffer *ids,
                          struct ipc_traits *traits, kh_error *error);

/* An Arrow C schema whose parts all lie in one arena, which goes when the root is released. */
struct arena *ipc_tree_begin(struct mem *mem, struct ArrowSchema *root); /* NULL: no memory */
/* count schemas and the pointers to them, zeroed; false: no memory. */
bool ipc_tree_children(struct arena *arena, struct ArrowSchema *parent, int64_t count);
/* Mark a schema as live: its strings and children are set. */
void ipc_tree_seal(struct ArrowSchema *schema);
/* A copy of a field's type as the only column of a record batch. KH_NO_MEMORY. */
kh_status ipc_tree_of_values(struct mem *mem, const struct field *values, struct ArrowSchema *out,
                             kh_error *error);

/* ---- dictionary fields (ipc_slots.c) ---- */

/* The dictionary-encoded fields of a schema in preorder (an outer one before those inside its
 * values). A position in this list is a field's slot. */
struct ipc_slot {
    const struct field *field;
    int64_t id;
    uint32_t next; /* the slot behind those inside this one's values */
};
struct ipc_slots {
    struct mem *mem;
    struct ipc_slot *items;
    uint32_t count;
};
uint32_t ipc_slot_count(const struct field *field);
/* ids NULL: the slot is the id. KH_NO_MEMORY. */
kh_status ipc_slots_init(struct ipc_slots *slots, struct mem *mem, const struct field *root,
                         const int64_t *ids, kh_error *error);
void ipc_slots_fini(struct ipc_slots *slots);

/* ---- bodies, out (ipc_encode.c, ipc_encode_nested.c, ipc_message.c) ---- */

struct ipc_codec; /* compression state, ipc_compress.c */

struct ipc_encoding {
    struct ipc_buffer *out;
    struct ipc_codec *codec;   /* NULL: not compressed */
    const int64_t *shifts;     /* by slot: added to the indices; NULL: none */
    struct ipc_buffer scratch; /* one uncompressed buffer, when codec is set */
    bool is_counting;          /* bodies are not written: out grows by their size only */
    bool is_dry;               /* nothing is written: positions move, out's size does */
    size_t alignment;          /* of the message's end and of the body's buffers */
    /* What follows belongs to the message being written; positions are in out. */
    size_t body;
    size_t node_at; /* the next item to fill in */
    size_t buffer_at;
    size_t variadic_at;
    size_t open_at; /* the buffer being written */
    uint32_t slot;
    kh_status status; /* first failure; all else is skipped after it */
};

/* What a message carries besides the rows. */
struct ipc_dictionary_note {
    int64_t id;
    bool is_delta;
};

/* Append one encapsulated message at a position that counts as aligned: elements [first, first +
 * count) of a column as the only column (note given), or the rows of a root column (note NULL).
 * slot: of the first dictionary field that will be met. *place (unless NULL) gets the sizes; its
 * offset is left alone. On failure out has the size it had before. KH_NO_MEMORY, KH_TOO_BIG. */
kh_status ipc_message_put(struct ipc_encoding *encoding, const struct column *column, int64_t first,
                          int64_t count, uint32_t slot, const struct ipc_dictionary_note *note,
                          struct ipc_place *place, kh_error *error);
/* Append a schema message; base is a position before it that counts as aligned. */
kh_status ipc_message_put_schema(struct ipc_buffer *out, size_t base, const kh_schema *schema,
                                 kh_error *error);
/* The dictionary-batch messages of a root column, inner ones first; slots are the ids. */
kh_status ipc_message_put_all(struct ipc_encoding *encoding, const struct column *root,
                              kh_error *error);

void ipc_encode_column(struct ipc_encoding *e, const struct column *c, int64_t first,
                       int64_t count);
/* For the two files of the encoder: one node; one buffer, filled between open and shut. */
void ipc_encode_node(struct ipc_encoding *e, int64_t length, int64_t null_count);
/* NULL: there is nothing to fill in (0 bytes, counted only), or it failed. */
void *ipc_encode_open(struct ipc_encoding *e, uint64_t size_bytes);
void ipc_encode_shut(struct ipc_encoding *e);
void ipc_encode_empty(struct ipc_encoding *e);
/* A whole buffer of these bytes. */
void ipc_encode_bytes(struct ipc_encoding *e, const void *bytes, uint64_t size_bytes);
/* Zeroes up to the next multiple of the alignment in the body. */
void ipc_encode_align(struct ipc_encoding *e);
/* The node and the validity buffer of the layouts that have one. */
void ipc_encode_validity(struct ipc_encoding *e, const struct column *c, int64_t first,
                         int64_t count);
/* The offsets of a list or of variable-size values, rebased to 0; one more than count. */
void ipc_encode_offsets(struct ipc_encoding *e, const struct column *c, int64_t first,
                        int64_t count);
void ipc_encode_nested(struct ipc_encoding *e, const struct column *c, int64_t first,
                       int64_t count);

/* ---- bodies, in (ipc_decode.c, ipc_swap.c, ipc_guard.c) ---- */

/* A block of mem that passes from hand to hand. */
struct ipc_block {
    unsigned char *bytes;
    size_t size_bytes;
};

/* Where the values of a dictionary field come from. all_null: no index is valid, so that values
 * may be missing. KH_CORRUPT: there are none. */
typedef kh_status ipc_values_fn(void *context, uint32_t slot, bool is_all_null,
                                struct ArrowArray *out, kh_error *error);

struct ipc_decoding {
    struct mem *mem;
    struct mem_cache *cache;
    const struct field *root;       /* a struct field: the columns */
    const struct flat_table *record; /* the RecordBatch table; NULL: no rows, no message */
    struct ipc_block body;          /* moved in, also on failure */
    uint32_t slot;                  /* of the first dictionary field below root */
    uint64_t bytes_max;             /* of all decompressed buffers */
    ipc_values_fn *values;
    void *context;
    bool has_proved_values; /* the values that it gives were validated in full */
    bool is_big_endian;
    bool has_union_bitmaps; /* metadata version 4 */
};
/* An array of the root's type that owns its buffers. Buffer sizes are proved here; offsets, views,
 * indices and text inside them are not: import with KH_VALIDATE_FULL. */
kh_status ipc_decode_record(const struct ipc_decoding *decoding, struct ArrowArray *out,
                            kh_error *error);

/* Bytes of the unit in which a buffer of a column differs between machines; 1: it does not. */
size_t ipc_swap_width(const struct field *field, int buffer);
/* Turn a buffer of a big-endian machine into one of ours, in place. */
void ipc_swap(const struct field *field, int buffer, void *bytes, size_t size_bytes);

/* A message's metadata, proved to be what the reader needs. */
struct ipc_message {
    struct flat_table header;
    enum ipc_header kind;
    int64_t version;
    int64_t body_bytes;
    int64_t dictionary_id; /* kind IPC_DICTIONARY; header is then its RecordBatch */
    bool is_delta;
};
kh_status ipc_message_open(kh_bytes metadata, uint64_t body_bytes_max, struct ipc_message *out,
                           kh_error *error);
/* A values field as the only column of a record batch: points into *of, copies nothing. */
struct field ipc_wrap_values(const struct field *of);
/* Decode and move out the only column. */
kh_status ipc_decode_values(const struct ipc_decoding *decoding, struct ArrowArray *out,
                            kh_error *error);
/* A value of one row by the short way (ipc_value_row.c). NULL: the long way takes it, or refuses;
 * and any value by the long way. */
kh_batch *ipc_decode_row(struct mem *mem, struct mem_cache *cache, const kh_schema *schema,
                         kh_bytes bytes);
kh_status ipc_decode_any(struct mem *mem, struct mem_cache *cache, const kh_schema *schema,
                         kh_bytes bytes, kh_batch **out, kh_error *error);
/* The words of a failed import are right, its status is not: the bytes were bad, not a caller. */
kh_status ipc_status(kh_status status);

/* ---- dictionaries, in (ipc_dictionary.c) ---- */

/* The newest values of each dictionary id of a stream. They are batches of the process context:
 * their types are nobody's schema. */
struct ipc_entry {
    int64_t id;
    uint32_t slot;  /* the first field with this id */
    kh_batch *batch; /* NULL: not seen */
};
struct ipc_dictionaries {
    struct mem *mem; /* of the record batches */
    struct ipc_slots slots;
    struct ipc_entry *entries; /* by rising id */
    uint32_t entry_count;
    uint64_t bytes_max;
    bool is_file;
    bool is_big_endian;
};
/* KH_CORRUPT: two fields share an id but not a type. fini also after a failure. */
kh_status ipc_dictionaries_init(struct ipc_dictionaries *dictionaries, struct mem *mem,
                                const kh_schema *schema, const int64_t *ids, kh_error *error);
void ipc_dictionaries_fini(struct ipc_dictionaries *dictionaries);
/* Take in a dictionary batch; body is moved in all cases. */
kh_status ipc_dictionaries_accept(struct ipc_dictionaries *dictionaries,
                                  const struct ipc_message *message, struct ipc_block body,
                                  kh_error *error);
/* An ipc_values_fn. */
kh_status ipc_dictionaries_values(void *context, uint32_t slot, bool is_all_null,
                                  struct ArrowArray *out, kh_error *error);

/* ---- whole streams and files (ipc_write.c) ---- */

/* Where a writer's bytes go: to a sink, or into memory of the caller. is_counting: the sink is told
 * how many they are, and the bodies' bytes mean nothing; without compression. */
struct ipc_target {
    kh_sink sink; /* write NULL: the memory */
    void *memory;
    size_t size_bytes;
    bool is_counting;
};
/* As kh_ipc_writer_open. KH_TOO_BIG, then or from a later call: the memory is too small. */
kh_status ipc_writer_open(const struct ipc_target *target, kh_ipc_format format,
                          kh_compression compression, const kh_schema *schema,
                          kh_ipc_writer **out, kh_error *error);
uint64_t ipc_writer_position(const kh_ipc_writer *writer); /* bytes written */

/* ---- compression (ipc_compress.c) ---- */

/* KH_COMPRESS_NONE gives NULL. */
kh_status ipc_codec_create(struct mem *mem, kh_compression compression, struct ipc_codec **out,
                           kh_error *error);
void ipc_codec_destroy(struct ipc_codec *codec);
kh_compression ipc_codec_kind(const struct ipc_codec *codec);
/* Append the compressed form of bytes. KH_NO_MEMORY. */
kh_status ipc_compress(struct ipc_codec *codec, const void *bytes, size_t size_bytes,
                       struct ipc_buffer *out);
/* The most that size_bytes of compressed data can expand to: nothing more is allocated. */
uint64_t ipc_expansion_max(kh_compression compression, uint64_t size_bytes);
/* Fill exactly size_bytes. KH_CORRUPT, KH_NO_MEMORY. */
kh_status ipc_decompress(struct mem *mem, kh_compression compression, kh_bytes packed, void *out,
                         size_t size_bytes, kh_error *error);

#endif
