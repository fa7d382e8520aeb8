/* record.c - any bytes as a record of the log.
 *
 * The bytes are decoded as they are, which the checksums nearly always refuse, and once more with
 * length and checksums made to fit. Properties: decoding ends, stays inside of the bytes and leaves
 * nothing behind; what decodes can be encoded; and that again decodes, to the same bytes. What is
 * found in the raw frame is what decoding finds. */
#include "log/record.h"
#include "log/record_layout.h"
#include "log/record_raw.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

enum { SCHEMAS = 4 };
static kh_schema *schemas[SCHEMAS];

static void keep(struct ArrowSchema *schema) {
    schema->release = NULL;
}

static struct ArrowSchema make_field(const char *format, const char *name) {
    return (struct ArrowSchema){
        .format = format, .name = name, .flags = ARROW_FLAG_NULLABLE, .release = keep};
}

static kh_schema *make_schema(struct ArrowSchema *column) {
    struct ArrowSchema root = make_field("+s", "");
    struct ArrowSchema *columns[] = {column};
    root.n_children = 1;
    root.children = columns;
    kh_schema *schema = NULL;
    if (kh_schema_import(NULL, &root, &schema, NULL) != KH_OK) abort();
    return schema;
}

static void make_schemas(void) {
    const char *names[] = {"id", "name", "ok"};
    const char *formats[] = {"!l", "u", "b"};
    if (kh_schema_build(NULL, names, formats, 3, &schemas[0], NULL) != KH_OK) abort();
    struct ArrowSchema item = make_field("i", "item");
    struct ArrowSchema *items[] = {&item};
    struct ArrowSchema list = make_field("+l", "list");
    list.n_children = 1;
    list.children = items;
    schemas[1] = make_schema(&list);
    struct ArrowSchema text = make_field("u", "");
    struct ArrowSchema coded = make_field("c", "coded");
    coded.dictionary = &text;
    schemas[2] = make_schema(&coded);
    struct ArrowSchema view = make_field("vu", "view");
    schemas[3] = make_schema(&view);
}

static const kh_schema *schema_of(void *context, uint32_t number) {
    (void)context;
    return number < SCHEMAS ? schemas[number] : NULL;
}

static uint32_t number_of(void *context, const kh_schema *schema) {
    (void)context;
    for (uint32_t i = 0; i < SCHEMAS; i++)
        if (schemas[i] == schema) return i;
    abort();
}

static void check_member(const struct record_member *raw, const struct record_member *decoded) {
    if (raw->id.low != decoded->id.low || raw->id.high != decoded->id.high ||
        raw->delta.size_bytes != decoded->delta.size_bytes)
        abort();
    if (raw->delta.size_bytes > 0 &&
        memcmp(raw->delta.data, decoded->delta.data, raw->delta.size_bytes) != 0)
        abort();
}

/* decoded NULL: it did not decode. */
static void check_members(const struct raw_record *raw, const struct record *decoded) {
    struct raw_members members;
    struct record_member member;
    size_t count = 0;
    kh_status status = raw_members(raw, &members, NULL);
    if (status == KH_OK && decoded != NULL && members.count != decoded->member_count) abort();
    while (status == KH_OK && (status = raw_next_member(&members, &member, NULL)) == KH_OK) {
        if (decoded != NULL) check_member(&member, &decoded->members[count]);
        count++;
    }
    if (status != KH_END && status != KH_CORRUPT) abort();
    if (decoded != NULL && (status != KH_END || count != decoded->member_count)) abort();
}

/* Of any frame; decoded NULL: it did not decode. */
static void check_raw(kh_bytes frame, const struct record *decoded) {
    struct raw_record raw;
    kh_bytes delta;
    if (raw_open(frame, &raw, NULL) != KH_OK) {
        if (decoded != NULL) abort();
        return;
    }
    check_members(&raw, decoded);
    kh_bytes tag = raw_tag(&raw);
    kh_status status = raw_delta(&raw, &delta, NULL);
    if (status != KH_OK && status != KH_CORRUPT) abort();
    if (decoded == NULL) return;
    if (status != KH_OK || delta.size_bytes != decoded->delta.size_bytes ||
        tag.size_bytes != decoded->tag.size_bytes)
        abort();
    if (delta.size_bytes > 0 && memcmp(delta.data, decoded->delta.data, delta.size_bytes) != 0)
        abort();
}

/* Decode, and encode into out. False: it did not decode. */
static bool pass_through(const struct record_codec *codec, kh_bytes frame, struct ipc_buffer *out) {
    struct arena arena;
    struct record record;
    kh_error error;
    arena_init(&arena, codec->mem, NULL);
    kh_status status = record_decode(codec, frame, &arena, &record, &error);
    check_raw(frame, status == KH_OK ? &record : NULL);
    if (status == KH_OK) {
        if (record_encode(codec, &record, out, &error) != KH_OK) abort();
        record_drop(codec, &record);
    }
    arena_fini(&arena);
    return status == KH_OK;
}

static void check(const struct record_codec *codec, kh_bytes frame) {
    struct ipc_buffer first;
    struct ipc_buffer second;
    ipc_buffer_init(&first, codec->mem);
    ipc_buffer_init(&second, codec->mem);
    if (pass_through(codec, frame, &first)) {
        if (!pass_through(codec, (kh_bytes){first.bytes, first.size_bytes}, &second)) abort();
        if (first.size_bytes != second.size_bytes ||
            memcmp(first.bytes, second.bytes, first.size_bytes) != 0)
            abort();
    }
    ipc_buffer_fini(&first);
    ipc_buffer_fini(&second);
}

static void make_fit(unsigned char *frame, size_t size_bytes) {
    uint32_t length = (uint32_t)size_bytes;
    memcpy(frame, "KHRC\1\0\0", 8);
    memcpy(frame + AT_LENGTH, &length, sizeof length);
    uint64_t checksum = layout_body_checksum(frame, size_bytes);
    memcpy(frame + AT_BODY_CHECKSUM, &checksum, sizeof checksum);
    checksum = layout_head_checksum(frame);
    memcpy(frame + AT_HEAD_CHECKSUM, &checksum, sizeof checksum);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    struct mem *mem = mem_process();
    struct schema_table *table = schema_table_process();
    if (mem == NULL || table == NULL) abort();
    if (schemas[0] == NULL) make_schemas();
    struct record_codec codec = {
        .mem = mem, .schemas = table, .schema_of = schema_of, .number_of = number_of};
    uint64_t live_bytes = mem_live_bytes(mem);
    check(&codec, (kh_bytes){bytes, size_bytes});
    if (size_bytes >= RECORD_HEAD_BYTES) {
        unsigned char *frame = malloc(size_bytes);
        if (frame == NULL) abort();
        memcpy(frame, bytes, size_bytes);
        make_fit(frame, size_bytes);
        check(&codec, (kh_bytes){frame, size_bytes});
        free(frame);
    }
    if (mem_live_bytes(mem) != live_bytes) abort();
    return 0;
}
