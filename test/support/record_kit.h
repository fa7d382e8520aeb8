/* record_kit.h - records that use everything, a codec that knows two schemas, and memory that fails
 * when told to: for the tests of both halves of the record codec. */
#ifndef TEST_SUPPORT_RECORD_KIT_H
#define TEST_SUPPORT_RECORD_KIT_H

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

static inline void *failing_allocate(void *context, size_t size_bytes, size_t alignment) {
    struct failing *failing = context;
    if (failing->countdown == 0) return NULL;
    if (failing->countdown != UINT64_MAX) failing->countdown--;
    return aligned_alloc(alignment, (size_bytes + alignment - 1) / alignment * alignment);
}

static inline void failing_free(void *context, void *block, size_t size_bytes) {
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
    if (number < FIRST_NUMBER || number >= FIRST_NUMBER + SCHEMAS) return NULL;
    return f->schemas[number - FIRST_NUMBER];
}

static inline uint32_t number_of(void *context, const kh_schema *schema) {
    struct fixture *f = context;
    for (uint32_t i = 0; i < SCHEMAS; i++)
        if (schema == f->handles[i] || schema == f->schemas[i]) return FIRST_NUMBER + i;
    fail();
    return 0;
}

static inline void make_batches(struct fixture *f) {
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

static inline void begin(struct fixture *f) {
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
    f->codec = (struct record_codec){.mem = f->mem,
                                     .schemas = f->table,
                                     .schema_of = schema_of,
                                     .number_of = number_of,
                                     .context = f};
    arena_init(&f->arena, f->mem, NULL);
    ipc_buffer_init(&f->out, f->mem);
}

static inline void end(struct fixture *f) {
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

static inline kh_bytes frame_of(const struct fixture *f) {
    return (kh_bytes){f->out.bytes, f->out.size_bytes};
}

/* The frame in a block of its exact size, so that the address sanitizer sees a step too far. */
static inline unsigned char *exact_copy(const struct fixture *f) {
    unsigned char *copy = malloc(f->out.size_bytes);
    assert_non_null(copy);
    memcpy(copy, f->out.bytes, f->out.size_bytes);
    return copy;
}

static inline void reseal(unsigned char *frame, size_t size_bytes) {
    uint32_t length = (uint32_t)size_bytes;
    memcpy(frame + AT_LENGTH, &length, sizeof length);
    uint64_t checksum = layout_body_checksum(frame, size_bytes);
    memcpy(frame + AT_BODY_CHECKSUM, &checksum, sizeof checksum);
    checksum = layout_head_checksum(frame);
    memcpy(frame + AT_HEAD_CHECKSUM, &checksum, sizeof checksum);
}

/* ---- records to encode ----------------------------------------------------------------------- */

static inline kh_bytes text(const char *characters) {
    return (kh_bytes){characters, strlen(characters)};
}

struct full {
    struct record record;
    struct record_write writes[4];
    kh_bytes dropped[1];
    kh_bytes reads[3];
    kh_bytes holes[2];
    struct record_range ranges[4];
    struct record_member members[2];
    char longest[65536];
};

/* A record of which nothing is empty. */
static inline void make_full(struct full *full, struct fixture *f) {
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
    full->members[0] = (struct record_member){{1, 2}, {"m\0aning", 7}};
    full->members[1] = (struct record_member){{0, UINT64_MAX}, {NULL, 0}};
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
                                   .delta = {"d\0lta", 5},
                                   .members = full->members,
                                   .member_count = 2};
}

/* A small one, of which every byte can be changed in a reasonable time. */
static inline void make_small(struct full *full, struct fixture *f) {
    make_full(full, f);
    full->writes[2].key = text("cc");
    full->record.write_count = 3;
    full->reads[1] = text("r2");
    full->record.range_count = 3;
}

static inline void check_keys(const kh_bytes *a, size_t a_count, const kh_bytes *b,
                              size_t b_count) {
    assert_int_equal(a_count, b_count);
    for (size_t i = 0; i < a_count; i++) {
        assert_int_equal(a[i].size_bytes, b[i].size_bytes);
        assert_memory_equal(a[i].data, b[i].data, a[i].size_bytes);
    }
}

static inline void check_same(const struct record *a, const struct record *b) {
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
        if (a->ranges[i].to.data != NULL) check_keys(&a->ranges[i].to, 1, &b->ranges[i].to, 1);
        check_keys(a->ranges[i].holes, a->ranges[i].hole_count, b->ranges[i].holes,
                   b->ranges[i].hole_count);
    }
    check_keys(&a->tag, a->tag.size_bytes > 0, &b->tag, b->tag.size_bytes > 0);
    check_keys(&a->delta, a->delta.size_bytes > 0, &b->delta, b->delta.size_bytes > 0);
    assert_int_equal(a->member_count, b->member_count);
    for (size_t i = 0; i < a->member_count; i++) {
        kh_bytes delta_a = a->members[i].delta;
        kh_bytes delta_b = b->members[i].delta;
        assert_int_equal(a->members[i].id.high, b->members[i].id.high);
        assert_int_equal(a->members[i].id.low, b->members[i].id.low);
        check_keys(&delta_a, delta_a.size_bytes > 0, &delta_b, delta_b.size_bytes > 0);
    }
}

#endif
