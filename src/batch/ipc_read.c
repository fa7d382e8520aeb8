/* ipc_read.c - streams and files of record batches, read front to back.
 *
 * Invariants: a source's promise is not believed: blocks double as bytes arrive; position counts
 * every byte read; after a failure each call gives the same status. Happy path:
 *
 *   open -> prefix (or a file's magic) -> schema message
 *   next -> dictionary batches, taken in -> record batch
 *        -> end marker, or the source's end in a stream -> KH_END
 *        -> (file) footer, held against the schema and the places of the messages -> KH_END
 *
 * Failure: KH_CORRUPT, KH_TOO_BIG, KH_UNSUPPORTED for the bytes, KH_IO for the source. */
#include "batch/ipc_wire.h"

#include "base/status.h"
#include "batch/home.h"
#include "batch/ipc_footer.h"
#include <string.h>

struct kh_ipc_reader {
    struct mem *mem;
    const struct batch_home *home;
    kh_db *db;
    kh_source source;
    uint64_t position;
    kh_schema *schema;
    struct ipc_buffer ids;
    struct ipc_dictionaries dictionaries;
    struct ipc_buffer dictionary_places; /* of struct ipc_place, files only */
    struct ipc_buffer record_places;
    struct ipc_message message; /* points into metadata */
    struct ipc_block metadata;
    int64_t version;
    bool is_file;
    struct ipc_traits traits;
    kh_status ended; /* KH_OK while there may be more */
    kh_error failure;
};

/* ---- bytes ---- */

/* *got: fewer than asked only at the end. */
static kh_status read_some(kh_ipc_reader *r, void *bytes, size_t size_bytes, size_t *got,
                           kh_error *error) {
    size_t total = 0;
    while (total < size_bytes) {
        int64_t count =
            r->source.read(r->source.context, (unsigned char *)bytes + total, size_bytes - total);
        if (count < 0)
            return status_fail(error, KH_IO, "IPC: the source failed: error %lld",
                               (long long)-count);
        if ((uint64_t)count > size_bytes - total)
            return status_fail(error, KH_IO, "IPC: the source gave more than was asked for");
        if (count == 0) break;
        total += (size_t)count;
    }
    r->position += total;
    *got = total;
    return KH_OK;
}

static kh_status cut_short(kh_error *error) {
    return status_fail(error, KH_CORRUPT, "IPC: the source ends inside a message");
}

static kh_status read_all(kh_ipc_reader *r, void *bytes, size_t size_bytes, kh_error *error) {
    size_t got;
    kh_status status = read_some(r, bytes, size_bytes, &got, error);
    if (status == KH_OK && got < size_bytes) status = cut_short(error);
    return status;
}

/* Give back what was not filled. */
static kh_status fit(kh_ipc_reader *r, struct ipc_block *block, size_t size_bytes,
                     kh_error *error) {
    if (size_bytes == block->size_bytes) return KH_OK;
    void *bytes = mem_resize(r->mem, NULL, block->bytes, block->size_bytes, size_bytes);
    if (bytes == NULL) return status_no_memory(error, size_bytes);
    *block = (struct ipc_block){.bytes = bytes, .size_bytes = size_bytes};
    return KH_OK;
}

static void drop_block(kh_ipc_reader *r, struct ipc_block *block) {
    mem_free(r->mem, NULL, block->bytes, block->size_bytes);
    *block = (struct ipc_block){.bytes = NULL};
}

/* Up to size_bytes, growing as they come. */
static kh_status read_block(kh_ipc_reader *r, uint64_t size_bytes, struct ipc_block *out,
                            kh_error *error) {
    struct ipc_block block = {.bytes = NULL};
    size_t filled = 0;
    kh_status status = KH_OK;
    if (size_bytes > 0) {
        size_t first = size_bytes < IPC_FIRST_READ_BYTES ? size_bytes : IPC_FIRST_READ_BYTES;
        block = (struct ipc_block){.bytes = mem_alloc(r->mem, NULL, first), .size_bytes = first};
        if (block.bytes == NULL) return status_no_memory(error, first);
    }
    while (filled < size_bytes) {
        size_t got;
        size_t room = block.size_bytes - filled;
        status = read_some(r, block.bytes + filled, room, &got, error);
        filled += got;
        if (status != KH_OK || got < room || filled == size_bytes) break;
        uint64_t more = block.size_bytes * 2ull;
        status = fit(r, &block, more < size_bytes ? more : size_bytes, error);
        if (status != KH_OK) break;
    }
    if (status == KH_OK && filled > 0) status = fit(r, &block, filled, error);
    if (status != KH_OK || filled == 0) drop_block(r, &block);
    *out = block;
    return status;
}

static kh_status read_block_all(kh_ipc_reader *r, uint64_t size_bytes, struct ipc_block *out,
                                kh_error *error) {
    kh_status status = read_block(r, size_bytes, out, error);
    if (status == KH_OK && out->size_bytes < size_bytes) {
        drop_block(r, out);
        status = cut_short(error);
    }
    return status;
}

/* ---- messages ---- */

/* Limit of one body: the batch's, plus padding and the sizes of compressed buffers. */
static uint64_t body_bytes_max(const kh_ipc_reader *r) {
    return r->home->batch_bytes_max + IPC_METADATA_BYTES;
}

/* The metadata behind a prefix's first word; *is_end: the end marker. Messages of versions before
 * 0.15 have no continuation marker: the first word is the size. */
static kh_status read_metadata(kh_ipc_reader *r, uint32_t word, bool *is_end, kh_error *error) {
    *is_end = false;
    if (word == IPC_CONTINUATION) {
        kh_status status = read_all(r, &word, sizeof word, error);
        if (status != KH_OK) return status;
    }
    if (word == 0) {
        *is_end = true;
        return KH_OK;
    }
    if (word > INT32_MAX) return status_fail(error, KH_CORRUPT, "IPC: metadata of negative size");
    if (word > IPC_METADATA_BYTES)
        return status_fail(error, KH_TOO_BIG, "IPC: metadata of %u bytes", word);
    drop_block(r, &r->metadata);
    kh_status status = read_block_all(r, word, &r->metadata, error);
    if (status != KH_OK) return status;
    kh_bytes metadata = {.data = r->metadata.bytes, .size_bytes = r->metadata.size_bytes};
    return ipc_message_open(metadata, body_bytes_max(r), &r->message, error);
}

/* The next message's metadata, and where it lies. *is_end also at a stream's plain end. */
static kh_status next_message(kh_ipc_reader *r, struct ipc_place *place, bool *is_end,
                              kh_error *error) {
    uint32_t word;
    size_t got;
    *place = (struct ipc_place){.offset = (int64_t)r->position};
    kh_status status = read_some(r, &word, sizeof word, &got, error);
    if (status != KH_OK) return status;
    if (got == 0 && !r->is_file) {
        *is_end = true;
        return KH_OK;
    }
    if (got < sizeof word) return cut_short(error);
    status = read_metadata(r, word, is_end, error);
    if (status != KH_OK || *is_end) return status;
    place->metadata_bytes = (int32_t)(r->position - (uint64_t)place->offset);
    place->body_bytes = r->message.body_bytes;
    return KH_OK;
}

static kh_status note_place(kh_ipc_reader *r, struct ipc_buffer *places,
                            const struct ipc_place *place, kh_error *error) {
    if (!r->is_file) return KH_OK;
    ipc_buffer_append(places, place, sizeof *place);
    return places->is_failed ? status_no_memory(error, sizeof *place) : KH_OK;
}

static kh_status read_batch(kh_ipc_reader *r, struct ipc_block body, kh_batch **out,
                            kh_error *error) {
    struct ArrowArray array = {.release = NULL};
    struct ipc_decoding decoding = {.mem = r->mem,
                                    .root = schema_root(r->schema),
                                    .record = &r->message.header,
                                    .body = body,
                                    .bytes_max = r->home->batch_bytes_max,
                                    .values = ipc_dictionaries_values,
                                    .context = &r->dictionaries,
                                    .has_proved_values = true,
                                    .is_big_endian = r->traits.is_big_endian,
                                    .has_union_bitmaps = r->message.version == IPC_V4};
    kh_status status = ipc_decode_record(&decoding, &array, error);
    if (status != KH_OK) return status;
    status = kh_batch_import(r->db, r->schema, &array, KH_VALIDATE_FULL, out, error);
    if (status != KH_OK) array.release(&array);
    return ipc_status(status);
}

/* Dictionary batches up to the next record batch, or the end. */
static kh_status read_next(kh_ipc_reader *r, kh_batch **out, kh_error *error) {
    for (;;) {
        struct ipc_place place;
        struct ipc_block body;
        bool is_end = false;
        kh_status status = next_message(r, &place, &is_end, error);
        if (status != KH_OK) return status;
        if (is_end) return KH_END;
        if (r->message.kind == IPC_SCHEMA)
            return status_fail(error, KH_CORRUPT, "IPC: a second schema");
        status = read_block_all(r, (uint64_t)r->message.body_bytes, &body, error);
        if (status != KH_OK) return status;
        if (r->message.kind == IPC_RECORD) {
            status = read_batch(r, body, out, error);
            if (status == KH_OK) status = note_place(r, &r->record_places, &place, error);
            return status;
        }
        status = ipc_dictionaries_accept(&r->dictionaries, &r->message, body, error);
        if (status == KH_OK) status = note_place(r, &r->dictionary_places, &place, error);
        if (status != KH_OK) return status;
    }
}

static kh_status check_footer(kh_ipc_reader *r, kh_error *error) {
    struct ipc_block tail;
    uint64_t most =
        IPC_METADATA_BYTES + r->dictionary_places.size_bytes + r->record_places.size_bytes;
    kh_status status = read_block(r, most, &tail, error);
    if (status != KH_OK) return status;
    kh_bytes bytes = {.data = tail.bytes, .size_bytes = tail.size_bytes};
    struct ipc_footer footer = {.schema = r->schema,
                                .is_big_endian = r->traits.is_big_endian,
                                .ids = &r->ids,
                                .dictionaries = &r->dictionary_places,
                                .records = &r->record_places};
    status = ipc_footer_check(r->mem, bytes, &footer, error);
    drop_block(r, &tail);
    return status;
}

/* ---- open, next, close ---- */

/* A schema message, or the magic and a schema message. */
static kh_status read_start(kh_ipc_reader *r, kh_error *error) {
    unsigned char magic[8];
    uint32_t word;
    bool is_end;
    kh_status status = read_all(r, magic, 4, error);
    if (status == KH_OK && memcmp(magic, IPC_MAGIC, 4) == 0) {
        status = read_all(r, magic + 4, 4, error);
        if (status == KH_OK && memcmp(magic, IPC_MAGIC, IPC_MAGIC_BYTES) != 0)
            status = status_fail(error, KH_CORRUPT, "IPC: neither a stream nor a file");
        r->is_file = true;
        if (status == KH_OK) status = read_all(r, magic, 4, error);
    }
    if (status != KH_OK) return status;
    memcpy(&word, magic, sizeof word);
    status = read_metadata(r, word, &is_end, error);
    if (status != KH_OK) return status;
    if (is_end || r->message.kind != IPC_SCHEMA || r->message.body_bytes != 0)
        return status_fail(error, KH_CORRUPT, "IPC: does not begin with a schema");
    return KH_OK;
}

static kh_status read_schema(kh_ipc_reader *r, kh_error *error) {
    struct ArrowSchema arrow;
    kh_status status =
        ipc_schema_read(&r->message.header, r->mem, &arrow, &r->ids, &r->traits, error);
    if (status != KH_OK) return status;
    status = kh_schema_import(r->db, &arrow, &r->schema, error);
    if (status != KH_OK) {
        arrow.release(&arrow);
        return ipc_status(status);
    }
    kh_assert(r->ids.size_bytes == sizeof(int64_t) * ipc_slot_count(schema_root(r->schema)));
    status = ipc_dictionaries_init(&r->dictionaries, r->mem, r->schema,
                                   (const int64_t *)(const void *)r->ids.bytes, error);
    r->dictionaries.is_file = r->is_file;
    r->dictionaries.is_big_endian = r->traits.is_big_endian;
    r->dictionaries.bytes_max = r->home->batch_bytes_max;
    return status;
}

kh_status kh_ipc_reader_open(kh_db *db, const kh_source *source, kh_ipc_reader **out,
                             kh_error *error) {
    if (source == NULL || source->read == NULL || out == NULL)
        return status_fail(error, KH_INVALID, "kh_ipc_reader_open: NULL argument");
    const struct batch_home *home;
    kh_status found_home = batch_home_find(db, &home, error);
    if (found_home != KH_OK) return found_home;
    kh_ipc_reader *reader = mem_alloc_zeroed(home->mem, NULL, sizeof *reader);
    if (reader == NULL) return status_no_memory(error, sizeof *reader);
    reader->mem = home->mem;
    reader->home = home;
    reader->db = db;
    reader->source = *source;
    reader->dictionaries.mem = home->mem;
    reader->dictionaries.slots.mem = home->mem;
    ipc_buffer_init(&reader->ids, home->mem);
    ipc_buffer_init(&reader->dictionary_places, home->mem);
    ipc_buffer_init(&reader->record_places, home->mem);
    kh_status status = read_start(reader, error);
    if (status == KH_OK) status = read_schema(reader, error);
    if (status != KH_OK) {
        kh_ipc_reader_close(reader);
        return status;
    }
    *out = reader;
    return KH_OK;
}

const kh_schema *kh_ipc_reader_schema(const kh_ipc_reader *reader) {
    return reader->schema;
}

kh_status kh_ipc_reader_next(kh_ipc_reader *reader, kh_batch **out, kh_error *error) {
    if (reader == NULL || out == NULL)
        return status_fail(error, KH_INVALID, "kh_ipc_reader_next: NULL argument");
    kh_batch *batch = NULL;
    if (reader->ended == KH_OK) {
        kh_status status = read_next(reader, &batch, &reader->failure);
        if (status == KH_END && reader->is_file) {
            kh_status checked = check_footer(reader, &reader->failure);
            status = checked == KH_OK ? KH_END : checked;
        }
        if (status == KH_OK) {
            *out = batch;
            return KH_OK;
        }
        kh_batch_release(batch);
        reader->ended = status;
    }
    if (reader->ended == KH_END) {
        *out = NULL;
        return KH_END;
    }
    return status_fail(error, reader->ended, "%s", reader->failure.message);
}

void kh_ipc_reader_close(kh_ipc_reader *reader) {
    if (reader == NULL) return;
    struct mem *mem = reader->mem;
    drop_block(reader, &reader->metadata);
    ipc_dictionaries_fini(&reader->dictionaries);
    ipc_buffer_fini(&reader->ids);
    ipc_buffer_fini(&reader->dictionary_places);
    ipc_buffer_fini(&reader->record_places);
    kh_schema_release(reader->schema);
    mem_free(mem, NULL, reader, sizeof *reader);
}
