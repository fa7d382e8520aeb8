/* The record codec: what goes in comes out, sealing, hostile bytes, allocations that fail. */
#include "log/record.h"
#include "log/record_layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- memory that fails at the n-th allocation ------------------------------------------------ */

struct failing {
    uint64_t countdown; /* allocations that succeed before one fails; UINT64_MAX: all do */
};

static void *failing_allocate(void *context, size_t size_bytes, size_t alignment) {
    struct failing *failing = context;
    if (failing->countdown == 0)
        return NULL;
    if (failing->countdown != UINT64_MAX)
        failing->countdown--;
    return aligned_alloc(alignment, (size_bytes + alignment - 1) / alignment * alignment);
}

static void failing_free(void *context, void *block, size_t size_bytes) {
    (void)context;
    (void)size_bytes;
    free(block);
}

/* ---- a codec with two schemas ---------------------------------------------------------------- */

enum { SCHEMAS = 2, FIRST_NUMBER = 5 };

struct fixture {
    struct failing failing;
    struct mem *mem;
    struct schema_table *table;
    const kh_schema *schemas[SCHEMAS]; /* of table; numbers from FIRST_NUMBER on */
    kh_schema *handles[SCHEMAS];       /* the same ones in the process' table */
    kh_batch *batches[SCHEMAS];
    struct record_codec codec;
    struct arena arena;
    struct ipc_buffer out;
};

static const kh_schema *schema_of(void *context, uint32_t number) {
    struct fixture *f = context;
    if (number < FIRST_NUMBER || number >= FIRST_NUMBER + SCHEMAS)
        return NULL;
    return f->schemas[number - FIRST_NUMBER];
}

static uint32_t number_of(void *context, const kh_schema *schema) {
    struct fixture *f = context;
    for (uint32_t i = 0; i < SCHEMAS; i++)
        if (schema == f->handles[i] || schema == f->schemas[i])
            return FIRST_NUMBER + i;
    fail();
    return 0;
}

static void make_batches(struct fixture *f) {
    const char *names[] = {"id", "name"};
    const char *formats[] = {"!l", "u"};
    assert_int_equal(kh_schema_build(NULL, names, formats, 2, &f->handles[0], NULL), KH_OK);
    kh_scalar rows[] = {{KH_SCALAR_INT64, {.int64 = 7}},
                        {KH_SCALAR_BYTES, {.bytes = {"seven", 5}}},
                        {KH_SCALAR_INT64, {.int64 = -1}},
                        {KH_SCALAR_NULL, {.int64 = 0}}};
    assert_int_equal(kh_batch_build(NULL, f->handles[0], rows, 2, &f->batches[0], NULL), KH_OK);
    const char *name = "n";
    const char *format = "g";
    assert_int_equal(kh_schema_build(NULL, &name, &format, 1, &f->handles[1], NULL), KH_OK);
    kh_scalar half = {KH_SCALAR_DOUBLE, {.float64 = 0.5}};
    assert_int_equal(kh_batch_build(NULL, f->handles[1], &half, 1, &f->batches[1], NULL), KH_OK);
}

static void begin(struct fixture *f) {
    memset(f, 0, sizeof *f);
    f->failing.countdown = UINT64_MAX;
    struct mem_hooks hooks = {failing_allocate, failing_free, &f->failing};
    f->mem = mem_create(&hooks);
    assert_non_null(f->mem);
    f->table = schema_table_create(f->mem);
    assert_non_null(f->table);
    make_batches(f);
    for (int i = 0; i < SCHEMAS; i++)
        assert_int_equal(schema_intern(f->table, f->handles[i], &f->schemas[i], NULL), KH_OK);
    f->codec = (struct record_codec){f->mem, NULL, f->table, schema_of, number_of, f};
    arena_init(&f->arena, f->mem, NULL);
    ipc_buffer_init(&f->out, f->mem);
}

static void end(struct fixture *f) {
    ipc_buffer_fini(&f->out);
    arena_fini(&f->arena);
    for (int i = 0; i < SCHEMAS; i++) {
        schema_drop(f->schemas[i]);
        kh_batch_release(f->batches[i]);
        kh_schema_release(f->handles[i]);
    }
    assert_int_equal(mem_live_bytes(f->mem), 0);
    mem_close(f->mem);
}

static kh_bytes frame_of(const struct fixture *f) {
    return (kh_bytes){f->out.bytes, f->out.size_bytes};
}

/* The frame in a block of its exact size, so that the address sanitizer sees a step too far. */
static unsigned char *exact_copy(const struct fixture *f) {
    unsigned char *copy = malloc(f->out.size_bytes);
    assert_non_null(copy);
    memcpy(copy, f->out.bytes, f->out.size_bytes);
    return copy;
}

static void reseal(unsigned char *frame, size_t size_bytes) {
    uint32_t length = (uint32_t)size_bytes;
    memcpy(frame + AT_LENGTH, &length, sizeof length);
    uint64_t checksum = layout_body_checksum(frame, size_bytes);
    memcpy(frame + AT_BODY_CHECKSUM, &checksum, sizeof checksum);
    checksum = layout_head_checksum(frame);
    memcpy(frame + AT_HEAD_CHECKSUM, &checksum, sizeof checksum);
}

/* ---- records to encode ----------------------------------------------------------------------- */

static kh_bytes text(const char *characters) {
    return (kh_bytes){characters, strlen(characters)};
}

struct full {
    struct record record;
    struct record_write writes[4];
    kh_bytes dropped[1];
    kh_bytes reads[3];
    kh_bytes holes[2];
    struct record_range ranges[4];
    char longest[65536];
};

/* A record of which nothing is empty. */
static void make_full(struct full *full, struct fixture *f) {
    memset(full, 0, sizeof *full);
    memset(full->longest, 'x', sizeof full->longest);
    full->writes[0] = (struct record_write){text("a"), f->batches[0], 11, KH_MERGE};
    full->writes[1] = (struct record_write){text("bb"), NULL, 0, 0};
    full->writes[2] = (struct record_write){{full->longest, 65535}, f->batches[1], UINT64_MAX, 0};
    full->writes[3] = (struct record_write){{"\0z", 2}, f->batches[0], 1, KH_CALLBACK};
    full->dropped[0] = text("dropped");
    full->reads[0] = text("r");
    full->reads[1] = (kh_bytes){full->longest, 65535};
    full->reads[2] = (kh_bytes){"\0", 1};
    full->holes[0] = text("h");
    full->holes[1] = text("ha");
    full->ranges[0] = (struct record_range){text("from"), text("to"), NULL, 0};
    full->ranges[1] = (struct record_range){text("g"), {NULL, 0}, full->holes, 2};
    full->ranges[2] = (struct record_range){{"", 0}, {"", 0}, NULL, 0};
    full->ranges[3] =
        (struct record_range){{full->longest, 65535}, {full->longest, 65536}, NULL, 0};
    full->record = (struct record){.kind = RECORD_COMMIT,
                                   .id = {0x1122334455667788, 0x99aabbccddeeff00},
                                   .isolation = KH_SERIALIZABLE,
                                   .rule = RECORD_RULE_STRICT_SSN,
                                   .birth = 100,
                                   .snapshot = 101,
                                   .commit = 205,
                                   .eta = 150,
                                   .pi = UINT64_MAX,
                                   .writes = full->writes,
                                   .write_count = 4,
                                   .dropped = full->dropped,
                                   .dropped_count = 1,
                                   .reads = full->reads,
                                   .read_count = 3,
                                   .ranges = full->ranges,
                                   .range_count = 4,
                                   .tag = text("a tag"),
                                   .delta = {"d\0lta", 5}};
}

/* A small one, of which every byte can be changed in a reasonable time. */
static void make_small(struct full *full, struct fixture *f) {
    make_full(full, f);
    full->writes[2].key = text("cc");
    full->record.write_count = 3;
    full->reads[1] = text("r2");
    full->record.range_count = 3;
}

static void check_keys(const kh_bytes *a, size_t a_count, const kh_bytes *b, size_t b_count) {
    assert_int_equal(a_count, b_count);
    for (size_t i = 0; i < a_count; i++) {
        assert_int_equal(a[i].size_bytes, b[i].size_bytes);
        assert_memory_equal(a[i].data, b[i].data, a[i].size_bytes);
    }
}

static void check_same(const struct record *a, const struct record *b) {
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->id.high, b->id.high);
    assert_int_equal(a->id.low, b->id.low);
    assert_int_equal(a->isolation, b->isolation);
    assert_int_equal(a->rule, b->rule);
    assert_int_equal(a->birth, b->birth);
    assert_int_equal(a->snapshot, b->snapshot);
    assert_int_equal(a->commit, b->commit);
    assert_int_equal(a->eta, b->eta);
    assert_int_equal(a->pi, b->pi);
    assert_int_equal(a->schema_number, b->schema_number);
    assert_int_equal(a->write_count, b->write_count);
    for (size_t i = 0; i < a->write_count; i++) {
        check_keys(&a->writes[i].key, 1, &b->writes[i].key, 1);
        assert_int_equal(a->writes[i].base, b->writes[i].base);
        assert_int_equal(a->writes[i].policy, b->writes[i].policy);
        assert_int_equal(a->writes[i].batch == NULL, b->writes[i].batch == NULL);
        bool is_equal = a->writes[i].batch == NULL;
        if (!is_equal)
            assert_int_equal(
                kh_batch_equal(a->writes[i].batch, b->writes[i].batch, &is_equal, NULL), KH_OK);
        assert_true(is_equal);
    }
    check_keys(a->dropped, a->dropped_count, b->dropped, b->dropped_count);
    check_keys(a->reads, a->read_count, b->reads, b->read_count);
    assert_int_equal(a->range_count, b->range_count);
    for (size_t i = 0; i < a->range_count; i++) {
        check_keys(&a->ranges[i].from, 1, &b->ranges[i].from, 1);
        assert_int_equal(a->ranges[i].to.data == NULL, b->ranges[i].to.data == NULL);
        if (a->ranges[i].to.data != NULL)
            check_keys(&a->ranges[i].to, 1, &b->ranges[i].to, 1);
        check_keys(a->ranges[i].holes, a->ranges[i].hole_count, b->ranges[i].holes,
                   b->ranges[i].hole_count);
    }
    check_keys(&a->tag, a->tag.size_bytes > 0, &b->tag, b->tag.size_bytes > 0);
    check_keys(&a->delta, a->delta.size_bytes > 0, &b->delta, b->delta.size_bytes > 0);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void what_goes_in_comes_out(void **state) {
    (void)state;
    static struct full full;
    struct fixture f;
    begin(&f);
    make_full(&full, &f);
    enum record_kind kinds[] = {RECORD_COMMIT, RECORD_PREPARE};
    for (size_t i = 0; i < 2; i++) {
        full.record.kind = kinds[i];
        f.out.size_bytes = 0;
        assert_int_equal(record_encode(&f.codec, &full.record, &f.out, NULL), KH_OK);
        unsigned char *frame = exact_copy(&f);
        struct record decoded;
        assert_int_equal(record_decode(&f.codec, frame_of(&f), &f.arena, &decoded, NULL), KH_OK);
        memset(f.out.bytes, 0xee, f.out.size_bytes); /* nothing points there */
        check_same(&decoded, &full.record);
        assert_ptr_equal(kh_batch_schema(decoded.writes[0].batch), f.schemas[0]);
        /* Decoded and encoded again it is the same bytes. */
        f.out.size_bytes = 0;
        assert_int_equal(record_encode(&f.codec, &decoded, &f.out, NULL), KH_OK);
        assert_memory_equal(f.out.bytes, frame, f.out.size_bytes);
        record_drop(&f.codec, &decoded);
        assert_int_equal(decoded.write_count, 0);
        arena_reset(&f.arena);
        free(frame);
    }
    end(&f);
}

static void decisions_and_horizons_are_a_head(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    enum record_kind kinds[] = {RECORD_DECIDE_COMMIT, RECORD_DECIDE_ABORT, RECORD_HORIZON};
    for (size_t i = 0; i < 3; i++) {
        struct record record = {.kind = kinds[i], .id = {1, 2}, .commit = i == 1 ? 0 : 77};
        f.out.size_bytes = 0;
        assert_int_equal(record_encode(&f.codec, &record, &f.out, NULL), KH_OK);
        assert_int_equal(f.out.size_bytes, RECORD_HEAD_BYTES);
        struct record decoded;
        assert_int_equal(record_decode(&f.codec, frame_of(&f), &f.arena, &decoded, NULL), KH_OK);
        check_same(&decoded, &record);
        record_drop(&f.codec, &decoded);
    }
    end(&f);
}

static void schemas_come_out_interned(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    struct record record = {
        .kind = RECORD_SCHEMA, .schema = f.handles[0], .schema_number = 65535};
    assert_int_equal(record_encode(&f.codec, &record, &f.out, NULL), KH_OK);
    struct record decoded;
    assert_int_equal(record_decode(&f.codec, frame_of(&f), &f.arena, &decoded, NULL), KH_OK);
    assert_ptr_equal(decoded.schema, f.schemas[0]);
    assert_int_equal(decoded.schema_number, 65535);
    record_drop(&f.codec, &decoded);
    end(&f);
}

static uint64_t number_at(const unsigned char *bytes, size_t position, size_t width) {
    uint64_t number = 0;
    for (size_t i = 0; i < width; i++)
        number |= (uint64_t)bytes[position + i] << (8 * i);
    return number;
}

/* Positions as docs/record-format.md gives them: frames of old logs are read by them. */
static void the_layout_is_as_documented(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    kh_bytes read = text("key");
    struct record record = {.kind = RECORD_COMMIT,
                            .id = {0x0102030405060708, 9},
                            .isolation = KH_SERIALIZABLE,
                            .rule = RECORD_RULE_STRICT_SSN,
                            .birth = 10,
                            .snapshot = 11,
                            .commit = 12,
                            .eta = 13,
                            .pi = 14,
                            .reads = &read,
                            .read_count = 1};
    assert_int_equal(record_encode(&f.codec, &record, &f.out, NULL), KH_OK);
    const unsigned char *bytes = f.out.bytes;
    assert_memory_equal(bytes, "KHRC", 4);
    assert_int_equal(number_at(bytes, 4, 4), 1);
    assert_int_equal(number_at(bytes, 8, 8), XXH3_64bits_withSeed(bytes + 16, 80, 1));
    assert_int_equal(number_at(bytes, 16, 8), XXH3_64bits_withSeed(bytes + 96, 24, 1));
    assert_int_equal(number_at(bytes, 24, 4), 120);
    assert_int_equal(number_at(bytes, 28, 4), 0);
    assert_int_equal(number_at(bytes, 32, 8), 0x010301);
    assert_int_equal(number_at(bytes, 40, 8), 0x0102030405060708);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(number_at(bytes, 48 + 8 * i, 8), 9 + i);
    static const unsigned char body[24] = {3,   0,   1,   0,   9, 0, 0, 0, 1, 0, 0, 0,
                                           3,   0,   'k', 'e', 'y'};
    assert_int_equal(f.out.size_bytes, 120);
    assert_memory_equal(bytes + 96, body, sizeof body);
    end(&f);
}

static void sealing_is_encoding_with_other_stamps(void **state) {
    (void)state;
    static struct full full;
    struct fixture f;
    begin(&f);
    make_full(&full, &f);
    assert_int_equal(record_encode(&f.codec, &full.record, &f.out, NULL), KH_OK);
    unsigned char *sealed = exact_copy(&f);
    size_t size_bytes = f.out.size_bytes;
    full.record.commit = 300;
    full.record.eta = 7;
    full.record.pi = 8;
    record_seal(sealed, 300, 7, 8);
    f.out.size_bytes = 0;
    assert_int_equal(record_encode(&f.codec, &full.record, &f.out, NULL), KH_OK);
    assert_int_equal(f.out.size_bytes, size_bytes);
    assert_memory_equal(f.out.bytes, sealed, size_bytes);
    struct record decoded;
    kh_bytes frame = {sealed, size_bytes};
    assert_int_equal(record_decode(&f.codec, frame, &f.arena, &decoded, NULL), KH_OK);
    check_same(&decoded, &full.record);
    record_drop(&f.codec, &decoded);
    free(sealed);
    end(&f);
}

/* Frames follow one another in a buffer, wherever they begin. */
static void frames_append(void **state) {
    (void)state;
    static struct full full;
    struct fixture f;
    begin(&f);
    make_small(&full, &f);
    ipc_buffer_append(&f.out, "odd", 3);
    assert_int_equal(record_encode(&f.codec, &full.record, &f.out, NULL), KH_OK);
    size_t second = f.out.size_bytes;
    assert_int_equal(record_encode(&f.codec, &full.record, &f.out, NULL), KH_OK);
    assert_memory_equal(f.out.bytes, "odd", 3);
    assert_int_equal(f.out.size_bytes - second, second - 3);
    for (int i = 0; i < 2; i++) {
        struct record decoded;
        kh_bytes frame = {f.out.bytes + (i == 0 ? 3 : second), second - 3};
        assert_int_equal(record_decode(&f.codec, frame, &f.arena, &decoded, NULL), KH_OK);
        check_same(&decoded, &full.record);
        record_drop(&f.codec, &decoded);
    }
    end(&f);
}

static void a_cut_or_a_changed_bit_is_seen(void **state) {
    (void)state;
    static struct full full;
    struct fixture f;
    begin(&f);
    make_small(&full, &f);
    assert_int_equal(record_encode(&f.codec, &full.record, &f.out, NULL), KH_OK);
    size_t size_bytes = f.out.size_bytes;
    struct record untouched = {.commit = 4711};
    kh_error error;
    for (size_t cut = 0; cut < size_bytes; cut++) {
        unsigned char *frame = malloc(cut + 1);
        assert_non_null(frame);
        memcpy(frame, f.out.bytes, cut);
        kh_bytes bytes = {frame, cut};
        assert_int_equal(record_decode(&f.codec, bytes, &f.arena, &untouched, &error), KH_CORRUPT);
        free(frame);
    }
    unsigned char *frame = exact_copy(&f);
    for (size_t bit = 0; bit < size_bytes * 8; bit++) {
        frame[bit / 8] = (unsigned char)(frame[bit / 8] ^ (1u << (bit % 8)));
        kh_bytes bytes = {frame, size_bytes};
        assert_int_equal(record_decode(&f.codec, bytes, &f.arena, &untouched, &error), KH_CORRUPT);
        frame[bit / 8] = (unsigned char)(frame[bit / 8] ^ (1u << (bit % 8)));
    }
    free(frame);
    assert_int_equal(untouched.commit, 4711);
    end(&f);
}

/* Changed bytes under checksums that fit: any answer will do that leaves nothing behind. */
static void hostile_bytes_do_no_harm(void **state) {
    (void)state;
    static struct full full;
    static const unsigned char evil[] = {0, 1, 2, 0x7f, 0x80, 0xfe, 0xff};
    struct fixture f;
    begin(&f);
    make_small(&full, &f);
    assert_int_equal(record_encode(&f.codec, &full.record, &f.out, NULL), KH_OK);
    unsigned char *frame = exact_copy(&f);
    size_t size_bytes = f.out.size_bytes;
    size_t decoded_count = 0;
    uint64_t live_bytes = mem_live_bytes(f.mem);
    for (size_t at = RECORD_HEAD_BYTES; at < size_bytes; at++) {
        for (size_t i = 0; i < sizeof evil; i++) {
            unsigned char before = frame[at];
            frame[at] = evil[i];
            reseal(frame, size_bytes);
            struct record decoded;
            kh_bytes bytes = {frame, size_bytes};
            kh_status status = record_decode(&f.codec, bytes, &f.arena, &decoded, NULL);
            if (status == KH_OK) {
                decoded_count++;
                record_drop(&f.codec, &decoded);
            }
            frame[at] = before;
            arena_fini(&f.arena);
            assert_int_equal(mem_live_bytes(f.mem), live_bytes);
        }
    }
    assert_true(decoded_count > 0); /* else the checksums stopped them all */
    free(frame);
    end(&f);
}

/* ---- frames by hand -------------------------------------------------------------------------- */

struct hand {
    unsigned char bytes[1024];
    size_t size_bytes;
};

static void hand_begin(struct hand *hand, unsigned kind) {
    memset(hand, 0, sizeof *hand);
    memcpy(hand->bytes, "KHRC\1", 5);
    hand->bytes[AT_KIND] = (unsigned char)kind;
    hand->bytes[AT_COMMIT] = 9;
    hand->size_bytes = RECORD_HEAD_BYTES;
}

static void hand_section(struct hand *hand, unsigned type, unsigned flags, const void *content,
                         size_t length) {
    unsigned char *at = hand->bytes + hand->size_bytes;
    at[0] = (unsigned char)type;
    at[2] = (unsigned char)flags;
    at[4] = (unsigned char)length;
    at[5] = (unsigned char)(length >> 8);
    memcpy(at + 8, content, length);
    hand->size_bytes += 8 + (length + 7) / 8 * 8;
    assert_true(hand->size_bytes <= sizeof hand->bytes);
}

static kh_status hand_decode(struct fixture *f, struct hand *hand, kh_error *error) {
    reseal(hand->bytes, hand->size_bytes);
    unsigned char *frame = malloc(hand->size_bytes);
    assert_non_null(frame);
    memcpy(frame, hand->bytes, hand->size_bytes);
    struct record decoded;
    kh_status status = record_decode(&f->codec, (kh_bytes){frame, hand->size_bytes}, &f->arena,
                                     &decoded, error);
    if (status == KH_OK)
        record_drop(&f->codec, &decoded);
    free(frame);
    return status;
}

struct malformed {
    unsigned kind;
    unsigned type; /* of the one section */
    const char *content;
    size_t length;
    kh_status status;
    const char *message; /* part of it */
};

#define BYTES(string) string, sizeof(string) - 1
/* The head of a write: base, value bytes, schema, key bytes, kind, policy, reserved. */
#define WRITE(value_bytes, schema, key_bytes, kind, policy)                                        \
    "\0\0\0\0\0\0\0\0" value_bytes "\0\0\0" schema "\0\0\0" key_bytes "\0" kind policy "\0\0\0\0"
#define ONE "\1\0\0\0\0\0\0\0"

static const struct malformed malformed[] = {
    {RECORD_COMMIT, SECTION_WRITES, BYTES(ONE WRITE("\0", "\0", "\1", "\2", "\0") "k\0\0\0\0\0\0\0"),
     KH_OK, ""},
    {RECORD_COMMIT, SECTION_WRITES, BYTES("\0\0\0\0\0\0\0\0"), KH_CORRUPT, "count of writes"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES("\1\0\0\0\0\0\0"), KH_CORRUPT, "count of writes"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES("\1\0\0\0\1\0\0\0" WRITE("\0", "\0", "\1", "\2", "\0")),
     KH_CORRUPT, "count of writes"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES("\377\377\377\377\0\0\0\0"), KH_CORRUPT,
     "count of writes"},
    {RECORD_COMMIT, SECTION_WRITES,
     BYTES("\2\0\0\0\0\0\0\0" WRITE("\0", "\0", "\1", "\2", "\0") "k\0\0\0\0\0\0\0"),
     KH_CORRUPT, "count of writes"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES(ONE WRITE("\0", "\0", "\0", "\2", "\0")), KH_CORRUPT,
     "key of a write"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES(ONE WRITE("\0", "\0", "\11", "\2", "\0") "k\0\0\0\0\0\0\0"),
     KH_CORRUPT, "key of a write"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES(ONE WRITE("\0", "\0", "\1", "\2", "\0") "k\0\0\0\0\0\0\1"),
     KH_CORRUPT, "key of a write"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES(ONE WRITE("\0", "\0", "\1", "\3", "\0") "k\0\0\0\0\0\0\0"),
     KH_CORRUPT, "head of a write"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES(ONE WRITE("\0", "\0", "\1", "\2", "\7") "k\0\0\0\0\0\0\0"),
     KH_CORRUPT, "head of a write"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES(ONE WRITE("\0", "\5", "\1", "\2", "\0") "k\0\0\0\0\0\0\0"),
     KH_CORRUPT, "deletion with a value"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES(ONE WRITE("\1", "\5", "\1", "\1", "\0") "k\0\0\0\0\0\0\0"),
     KH_CORRUPT, "value of a write"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES(ONE WRITE("\0", "\11", "\1", "\1", "\0") "k\0\0\0\0\0\0\0"),
     KH_CORRUPT, "unknown schema 9"},
    {RECORD_COMMIT, SECTION_WRITES, BYTES(ONE WRITE("\0", "\5", "\1", "\1", "\0") "k\0\0\0\0\0\0\0"),
     KH_CORRUPT, "value bytes"},
    {RECORD_COMMIT, SECTION_WRITES,
     BYTES(ONE WRITE("\0", "\0", "\1", "\2", "\0") "k\0\0\0\0\0\0\0\0"), KH_CORRUPT, "behind the end"},
    {RECORD_COMMIT, SECTION_READS, BYTES("\1\0\0\0\1\0k"), KH_OK, ""},
    {RECORD_COMMIT, SECTION_READS, BYTES("\1\0\0\0\0\0"), KH_CORRUPT, "a key"},
    {RECORD_COMMIT, SECTION_READS, BYTES("\1\0\0\0\2\0k"), KH_CORRUPT, "a key"},
    {RECORD_COMMIT, SECTION_READS, BYTES("\1\0\0\0"), KH_CORRUPT, "count of keys"},
    {RECORD_COMMIT, SECTION_READS, BYTES("\0\0\0\0"), KH_CORRUPT, "count of keys"},
    {RECORD_COMMIT, SECTION_READS, BYTES("\1\0\0"), KH_CORRUPT, "count of keys"},
    {RECORD_COMMIT, SECTION_READS, BYTES("\1\0\0\0\1\0kx"), KH_CORRUPT, "behind the end"},
    {RECORD_COMMIT, SECTION_DROPPED, BYTES("\377\377\377\377\1\0k"), KH_CORRUPT, "count of keys"},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\1\0\0\0\0\0\0\0\377\377\377\377\0\0\0\0"), KH_OK, ""},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\1\0\0\0\1\0\1\0\377\377\377\377\0\0\0\0"), KH_CORRUPT,
     "too long"},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\1\0\0\0\0\0\0\0\376\377\377\377\0\0\0\0"), KH_CORRUPT,
     "too long"},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\1\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0k"), KH_CORRUPT,
     "cut off"},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\1\0\0\0\0\0\0\0\377\377\377\377\1\0\0\0"), KH_CORRUPT,
     "count of keys"},
    {RECORD_COMMIT, SECTION_RANGES,
     BYTES("\1\0\0\0\0\0\0\0\377\377\377\377\2\0\0\0\1\0a\1\0b"), KH_OK, ""},
    {RECORD_COMMIT, SECTION_RANGES,
     BYTES("\1\0\0\0\0\0\0\0\377\377\377\377\2\0\0\0\1\0b\1\0b"), KH_CORRUPT, "out of order"},
    {RECORD_COMMIT, SECTION_RANGES,
     BYTES("\1\0\0\0\0\0\0\0\377\377\377\377\2\0\0\0\2\0ba\1\0b"), KH_CORRUPT, "out of order"},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\0\0\0\0"), KH_CORRUPT, "count of ranges"},
    {RECORD_COMMIT, SECTION_RANGES, BYTES("\377\377\377\17\0\0\0\0\377\377\377\377\0\0\0\0"),
     KH_CORRUPT, "count of ranges"},
    {RECORD_COMMIT, SECTION_TAG, BYTES(""), KH_CORRUPT, "empty"},
    {RECORD_COMMIT, SECTION_SCHEMA, BYTES("x"), KH_CORRUPT, "does not belong"},
    {RECORD_SCHEMA, SECTION_READS, BYTES("\1\0\0\0\1\0k"), KH_CORRUPT, "does not belong"},
    {RECORD_SCHEMA, SECTION_SCHEMA, BYTES("\1"), KH_CORRUPT, "schema bytes"},
    {RECORD_SCHEMA, 99, BYTES(""), KH_CORRUPT, "no schema"},
    {RECORD_DECIDE_ABORT, SECTION_WRITES, BYTES(ONE), KH_CORRUPT, "does not belong"},
    {RECORD_HORIZON, SECTION_TAG, BYTES("x"), KH_CORRUPT, "does not belong"},
    {RECORD_COMMIT, 0, BYTES("x"), KH_CORRUPT, "out of order"},
    {RECORD_COMMIT, 8, BYTES("future"), KH_OK, ""},
    {0, 8, BYTES("x"), KH_CORRUPT, "head"},
    {RECORD_HORIZON + 1, 8, BYTES("x"), KH_UNSUPPORTED, "kind"},
};

static void malformed_sections_are_named(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        const struct malformed *m = &malformed[i];
        struct hand hand;
        hand_begin(&hand, m->kind);
        hand_section(&hand, m->type, 0, m->content, m->length);
        kh_error error = {""};
        kh_status status = hand_decode(&f, &hand, &error);
        if (status != m->status || strstr(error.message, m->message) == NULL)
            fail_msg("malformed[%zu]: %s, %s", i, kh_status_name(status), error.message);
    }
    end(&f);
}

static void malformed_heads_are_refused(void **state) {
    (void)state;
    static const struct {
        size_t at;
        unsigned char byte;
        kh_status status;
    } changes[] = {
        {AT_COMMIT, 1, KH_OK},          {AT_COMMIT, 0, KH_CORRUPT},
        {AT_MAGIC, 'k', KH_CORRUPT},    {AT_VERSION, 2, KH_UNSUPPORTED},
        {AT_VERSION, 0, KH_CORRUPT},    {AT_VERSION + 2, 1, KH_CORRUPT},
        {AT_ISOLATION, 4, KH_CORRUPT},  {AT_RULE, 2, KH_UNSUPPORTED},
        {AT_RULE + 1, 1, KH_CORRUPT},   {AT_RULE + 5, 1, KH_CORRUPT},
        {AT_SCHEMA_NUMBER, 1, KH_CORRUPT},
    };
    struct fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct hand hand;
        hand_begin(&hand, RECORD_COMMIT);
        hand.bytes[changes[i].at] = changes[i].byte;
        assert_int_equal(hand_decode(&f, &hand, NULL), changes[i].status);
    }
    struct hand hand;
    hand_begin(&hand, RECORD_SCHEMA);
    hand.bytes[AT_SCHEMA_NUMBER + 2] = 1; /* 65,536 */
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_CORRUPT);
    end(&f);
}

static void sections_rise_and_may_be_of_the_future(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    struct hand hand;
    hand_begin(&hand, RECORD_COMMIT);
    hand_section(&hand, SECTION_TAG, 0, "t", 1);
    hand_section(&hand, 200, 0, "whatever", 8);
    hand_section(&hand, 201, 0, "", 0);
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_OK);
    hand_section(&hand, 202, SECTION_REQUIRED, "must", 4);
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_UNSUPPORTED);
    hand_begin(&hand, RECORD_COMMIT);
    hand_section(&hand, SECTION_DELTA, 0, "d", 1);
    hand_section(&hand, SECTION_TAG, 0, "t", 1);
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_CORRUPT);
    hand_begin(&hand, RECORD_COMMIT);
    hand_section(&hand, SECTION_TAG, 0, "t", 1);
    hand_section(&hand, SECTION_TAG, 0, "t", 1);
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_CORRUPT);
    char long_tag[256] = {0};
    hand_begin(&hand, RECORD_COMMIT);
    hand_section(&hand, SECTION_TAG, 0, long_tag, 255);
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_OK);
    hand_begin(&hand, RECORD_COMMIT);
    hand_section(&hand, SECTION_TAG, 0, long_tag, 256);
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_CORRUPT);
    hand_begin(&hand, RECORD_COMMIT);
    hand_section(&hand, SECTION_TAG, 0, "t", 1);
    hand.bytes[hand.size_bytes - 1] = 1; /* padding */
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_CORRUPT);
    hand_begin(&hand, RECORD_COMMIT);
    hand_section(&hand, SECTION_TAG, 0, "t", 1);
    hand.size_bytes -= 8; /* a section's head and no content */
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_CORRUPT);
    hand.size_bytes -= 4;
    assert_int_equal(hand_decode(&f, &hand, NULL), KH_CORRUPT);
    end(&f);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void allocations_that_fail_leave_nothing(void **state) {
    (void)state;
    static struct full full;
    struct fixture f;
    begin(&f);
    make_small(&full, &f);
    struct record schema = {.kind = RECORD_SCHEMA, .schema = f.handles[0]};
    const struct record *records[] = {&full.record, &schema};
    uint64_t empty = mem_live_bytes(f.mem);
    for (int i = 0; i < 2; i++) {
        kh_status status = KH_NO_MEMORY;
        for (uint64_t n = 0; status != KH_OK; n++) {
            ipc_buffer_fini(&f.out);
            f.failing.countdown = n;
            status = record_encode(&f.codec, records[i], &f.out, NULL);
            f.failing.countdown = UINT64_MAX;
            assert_true(n < 100);
            if (status == KH_OK)
                break;
            assert_int_equal(status, KH_NO_MEMORY);
            assert_int_equal(f.out.size_bytes, 0);
        }
        uint64_t before = mem_live_bytes(f.mem);
        struct record decoded = {.commit = 4711};
        status = KH_NO_MEMORY;
        for (uint64_t n = 0; status != KH_OK; n++) {
            f.failing.countdown = n;
            status = record_decode(&f.codec, frame_of(&f), &f.arena, &decoded, NULL);
            f.failing.countdown = UINT64_MAX;
            assert_true(n < 100);
            if (status == KH_OK)
                break;
            assert_int_equal(status, KH_NO_MEMORY);
            assert_int_equal(decoded.commit, 4711);
            arena_fini(&f.arena);
            assert_int_equal(mem_live_bytes(f.mem), before);
        }
        record_drop(&f.codec, &decoded);
        arena_fini(&f.arena);
        assert_int_equal(mem_live_bytes(f.mem), before);
    }
    ipc_buffer_fini(&f.out);
    assert_int_equal(mem_live_bytes(f.mem), empty);
    end(&f);
}

static void too_big_is_refused_before_it_is_touched(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    ipc_buffer_append(&f.out, "kept", 4);
    struct record record = {
        .kind = RECORD_COMMIT, .commit = 1, .delta = {"", (size_t)RECORD_FRAME_MAX + 1}};
    kh_error error;
    assert_int_equal(record_encode(&f.codec, &record, &f.out, &error), KH_TOO_BIG);
    assert_int_equal(f.out.size_bytes, 4);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(decisions_and_horizons_are_a_head),
        cmocka_unit_test(schemas_come_out_interned),
        cmocka_unit_test(the_layout_is_as_documented),
        cmocka_unit_test(sealing_is_encoding_with_other_stamps),
        cmocka_unit_test(frames_append),
        cmocka_unit_test(a_cut_or_a_changed_bit_is_seen),
        cmocka_unit_test(hostile_bytes_do_no_harm),
        cmocka_unit_test(malformed_sections_are_named),
        cmocka_unit_test(malformed_heads_are_refused),
        cmocka_unit_test(sections_rise_and_may_be_of_the_future),
        cmocka_unit_test(allocations_that_fail_leave_nothing),
        cmocka_unit_test(too_big_is_refused_before_it_is_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
