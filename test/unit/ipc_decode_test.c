/* ipc_decode_test.c - record batches whose metadata is off by one: every buffer one byte shorter
 * than its rows need, every place outside the body, every count one more or less, every length
 * larger; compressed sizes that lie. */
#include "batch/ipc_wire.h"
#include "support/ipc_kit.h"

struct value {
    struct home home;
    const kh_schema *schema;
    kh_batch *batch;
    struct ipc_buffer bytes;
    struct flat_vector nodes;
    struct flat_vector buffers;
    struct flat_vector variadic;
    size_t body_at;
};

static void value_open(struct value *v, const char *type, int64_t rows,
                       struct foreign_random random, kh_compression compression) {
    struct ipc_message message;
    uint32_t prefix[2];
    kh_error error = {""};
    kh_db *db = home_open(&v->home);
    v->batch = ipc_kit_slice(db, type, rows, 0, rows, random);
    v->schema = kh_batch_schema(v->batch);
    ipc_buffer_init(&v->bytes, v->home.batch.mem);
    ipc_kit_is(ipc_encode_value(v->home.batch.mem, v->batch, compression, &v->bytes, &error), KH_OK,
               &error);
    memcpy(prefix, v->bytes.bytes, sizeof prefix);
    kh_bytes metadata = {v->bytes.bytes + 8, prefix[1]};
    ipc_kit_is(ipc_message_open(metadata, 1 << 30, &message, &error), KH_OK, &error);
    assert_int_equal(message.kind, IPC_RECORD);
    assert_true(flat_items(&message.header, RECORD_NODES, 16, &v->nodes));
    assert_true(flat_items(&message.header, RECORD_BUFFERS, 16, &v->buffers));
    assert_true(flat_items(&message.header, RECORD_VARIADIC, 8, &v->variadic));
    v->body_at = 8 + prefix[1];
}

static void value_close(struct value *v) {
    ipc_buffer_fini(&v->bytes);
    kh_batch_release(v->batch);
    home_close(&v->home);
    assert_int_equal(v->home.live_blocks, 0);
}

static kh_status value_read(struct value *v) {
    kh_batch *out = NULL;
    kh_bytes bytes = {v->bytes.bytes, v->bytes.size_bytes};
    kh_status status = ipc_decode_value(v->home.batch.mem, NULL, v->schema, bytes, &out, NULL);
    kh_batch_release(out);
    return status;
}

static int64_t get(const unsigned char *at) {
    int64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* The answer with the int64 at `at` replaced. */
static kh_status with(struct value *v, const unsigned char *at, int64_t changed) {
    unsigned char *place = v->bytes.bytes + (at - v->bytes.bytes);
    int64_t kept = get(at);
    memcpy(place, &changed, sizeof changed);
    kh_status status = value_read(v);
    memcpy(place, &kept, sizeof kept);
    return status;
}

static bool has_dictionary(const char *type) {
    return strchr(type, '{') != NULL;
}

static void test_buffers_one_byte_short(void **state) {
    (void)state;
    for (int type = 0; type < foreign_type_count; type++) {
        struct value v;
        if (has_dictionary(foreign_types[type]))
            continue;
        value_open(&v, foreign_types[type], 20, (struct foreign_random){3, false, true},
                   KH_COMPRESS_NONE);
        assert_int_equal(value_read(&v), KH_OK);
        for (uint32_t i = 0; i < v.buffers.count; i++) {
            const unsigned char *length = v.buffers.items + 16 * i + 8;
            if (get(length) == 0)
                continue;
            kh_status status = with(&v, length, get(length) - 1);
            if (status != KH_CORRUPT)
                print_message("%s: buffer %u\n", foreign_types[type], i);
            assert_int_equal(status, KH_CORRUPT);
            assert_int_equal(with(&v, length, 0), KH_CORRUPT);
        }
        value_close(&v);
    }
}

static void test_buffers_outside_the_body(void **state) {
    static const int64_t lies[] = {-1, -8, INT64_MIN, INT64_MAX, INT64_MAX - 7, 1ll << 32};
    (void)state;
    for (int type = 0; type < foreign_type_count; type++) {
        struct value v;
        if (has_dictionary(foreign_types[type]))
            continue;
        value_open(&v, foreign_types[type], 20, (struct foreign_random){3, false, true},
                   KH_COMPRESS_NONE);
        int64_t body = (int64_t)(v.bytes.size_bytes - v.body_at);
        for (uint32_t i = 0; i < v.buffers.count; i++) {
            const unsigned char *offset = v.buffers.items + 16 * i;
            for (size_t j = 0; j < sizeof lies / sizeof lies[0]; j++) {
                assert_int_equal(with(&v, offset, lies[j]), KH_CORRUPT);
                assert_int_equal(with(&v, offset + 8, lies[j]), KH_CORRUPT);
            }
            assert_int_equal(with(&v, offset, body + 1), KH_CORRUPT);
            assert_int_equal(with(&v, offset + 8, body - get(offset) + 1), KH_CORRUPT);
            if (get(offset + 8) > 0)
                assert_int_equal(with(&v, offset, body - get(offset + 8) + 1), KH_CORRUPT);
        }
        value_close(&v);
    }
}

static void test_lengths_and_nulls_of_nodes(void **state) {
    (void)state;
    for (int type = 0; type < foreign_type_count; type++) {
        struct value v;
        if (has_dictionary(foreign_types[type]))
            continue;
        value_open(&v, foreign_types[type], 24, (struct foreign_random){3, false, true},
                   KH_COMPRESS_NONE);
        const unsigned char *first = v.nodes.items;
        assert_int_equal(with(&v, first, 23), KH_CORRUPT);
        assert_int_equal(with(&v, first, 25), KH_CORRUPT);
        for (uint32_t i = 0; i < v.nodes.count; i++) {
            const unsigned char *length = v.nodes.items + 16 * i;
            assert_int_equal(with(&v, length, -1), KH_CORRUPT);
            assert_int_equal(with(&v, length + 8, -1), KH_CORRUPT);
            assert_int_equal(with(&v, length + 8, get(length) + 1), KH_CORRUPT);
            assert_int_not_equal(with(&v, length, INT64_MAX), KH_OK);
            assert_int_not_equal(with(&v, length, 1ll << 36), KH_OK);
        }
        value_close(&v);
    }
}

static void test_counts_off_by_one(void **state) {
    static const char *const types[] = {"l", "u", "vu", "+l[vu]", "+s[l;vz;vu]", "+ud:0,5[l;u]"};
    (void)state;
    for (size_t type = 0; type < sizeof types / sizeof types[0]; type++) {
        struct value v;
        value_open(&v, types[type], 24, (struct foreign_random){3, false, true}, KH_COMPRESS_NONE);
        const struct flat_vector *vectors[] = {&v.nodes, &v.buffers, &v.variadic};
        for (int i = 0; i < 3; i++) {
            if (vectors[i]->count == 0)
                continue;
            unsigned char *at = v.bytes.bytes + (vectors[i]->items - v.bytes.bytes) - 4;
            for (int step = -1; step <= 1; step += 2) {
                uint32_t changed = vectors[i]->count + (uint32_t)step;
                memcpy(at, &changed, 4);
                assert_int_equal(value_read(&v), KH_CORRUPT);
                memcpy(at, &vectors[i]->count, 4);
            }
        }
        for (uint32_t i = 0; i < v.variadic.count; i++) {
            const unsigned char *at = v.variadic.items + 8 * i;
            assert_int_equal(with(&v, at, get(at) + 1), KH_CORRUPT);
            assert_int_equal(with(&v, at, get(at) - 1), KH_CORRUPT);
            assert_int_equal(with(&v, at, INT64_MAX), KH_CORRUPT);
            assert_int_equal(with(&v, at, INT64_MIN), KH_CORRUPT);
        }
        assert_int_equal(value_read(&v), KH_OK);
        value_close(&v);
    }
}

/* The same number of nodes, another number of buffers. */
static void test_more_or_fewer_buffers_than_the_type(void **state) {
    static const char *const types[] = {"l", "u", "+w:0[l]", "+us:3,7[l;u]", "+ud:3,7[l;u]"};
    (void)state;
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < 5; j++) {
            struct value v;
            struct value other;
            if (i == j)
                continue;
            value_open(&v, types[i], 0, (struct foreign_random){1, false, false}, KH_COMPRESS_NONE);
            value_open(&other, types[j], 0, (struct foreign_random){1, false, false},
                       KH_COMPRESS_NONE);
            const kh_schema *kept = v.schema;
            v.schema = NULL;
            assert_int_equal(schema_intern(v.home.batch.schemas, other.schema, &v.schema, NULL),
                             KH_OK);
            assert_int_equal(value_read(&v), KH_CORRUPT);
            schema_drop(v.schema);
            v.schema = kept;
            value_close(&v);
            value_close(&other);
        }
}

static bool is_aligned(const struct ArrowArray *array) {
    for (int64_t i = 0; i < array->n_buffers; i++)
        if ((uintptr_t)array->buffers[i] % 8 != 0)
            return false;
    for (int64_t i = 0; i < array->n_children; i++)
        if (!is_aligned(array->children[i]))
            return false;
    return true;
}

/* Buffers that begin anywhere: each moved by one byte into the padding behind it. */
static void test_misaligned_buffers_are_copied(void **state) {
    (void)state;
    int moved = 0;
    for (int type = 0; type < foreign_type_count; type++) {
        struct value v;
        if (has_dictionary(foreign_types[type]))
            continue;
        value_open(&v, foreign_types[type], 301, (struct foreign_random){3, false, true},
                   KH_COMPRESS_NONE);
        for (uint32_t i = 0; i < v.buffers.count; i++) {
            unsigned char *place = v.bytes.bytes + (v.buffers.items - v.bytes.bytes) + 16 * i;
            int64_t offset = get(place);
            size_t length = (size_t)get(place + 8);
            if (length % 8 == 0)
                continue;
            unsigned char *from = v.bytes.bytes + v.body_at + offset;
            memmove(from + 1, from, length);
            offset++;
            memcpy(place, &offset, sizeof offset);
            moved++;
        }
        kh_batch *out = NULL;
        struct ArrowArray array;
        kh_bytes bytes = {v.bytes.bytes, v.bytes.size_bytes};
        assert_int_equal(ipc_decode_value(v.home.batch.mem, NULL, v.schema, bytes, &out, NULL),
                         KH_OK);
        ipc_kit_same(v.batch, out);
        assert_int_equal(kh_batch_export(out, &array, NULL, NULL), KH_OK);
        assert_true(is_aligned(&array));
        array.release(&array);
        kh_batch_release(out);
        value_close(&v);
    }
    assert_true(moved > 50);
}

static void test_compressed_sizes_that_lie(void **state) {
    static const int64_t lies[] = {-2, INT64_MIN, INT64_MAX, 1ll << 40, 1, 0};
    (void)state;
    for (int codec = 1; codec <= 2; codec++) {
        struct value v;
        value_open(&v, "l", 5000, (struct foreign_random){3, false, false},
                   (kh_compression)codec);
        for (uint32_t i = 0; i < v.buffers.count; i++) {
            const unsigned char *place = v.buffers.items + 16 * i;
            if (get(place + 8) == 0)
                continue;
            unsigned char *declared = v.bytes.bytes + v.body_at + get(place);
            int64_t kept = get(declared);
            uint64_t calls = v.home.calls;
            for (size_t j = 0; j < sizeof lies / sizeof lies[0]; j++) {
                memcpy(declared, &lies[j], 8);
                assert_int_equal(value_read(&v), KH_CORRUPT);
            }
            assert_true(v.home.calls - calls < 200);
            memcpy(declared, &kept, 8);
            assert_int_equal(with(&v, place + 8, 7), KH_CORRUPT);
        }
        assert_int_equal(value_read(&v), KH_OK);
        value_close(&v);
    }
}

/* What does not get smaller is stored as it is, marked by -1. */
static void test_incompressible_buffers_are_stored(void **state) {
    (void)state;
    for (int codec = 1; codec <= 2; codec++) {
        struct value v;
        value_open(&v, "!w:16", 500, (struct foreign_random){3, false, false},
                   (kh_compression)codec);
        const unsigned char *place = v.buffers.items + 16;
        assert_int_equal(get(place + 8), 8 + 16 * 500);
        assert_int_equal(get(v.bytes.bytes + v.body_at + get(place)), -1);
        assert_int_equal(value_read(&v), KH_OK);
        value_close(&v);
    }
}

/* The message of a value, with its body copied out as the decoder wants it. */
static kh_status decode_within(struct value *v, uint64_t bytes_max) {
    struct ipc_message message;
    uint32_t prefix[2];
    kh_error error = {""};
    memcpy(prefix, v->bytes.bytes, sizeof prefix);
    kh_bytes metadata = {v->bytes.bytes + 8, prefix[1]};
    ipc_kit_is(ipc_message_open(metadata, 1 << 30, &message, &error), KH_OK, &error);
    struct mem *mem = v->home.batch.mem;
    size_t body_bytes = (size_t)message.body_bytes;
    struct ipc_decoding decoding = {.mem = mem,
                                    .root = schema_root(v->schema),
                                    .record = &message.header,
                                    .body = {mem_alloc(mem, NULL, body_bytes), body_bytes},
                                    .bytes_max = bytes_max};
    memcpy(decoding.body.bytes, v->bytes.bytes + v->body_at, body_bytes);
    struct ArrowArray array;
    kh_status status = ipc_decode_record(&decoding, &array, &error);
    if (status == KH_OK) array.release(&array);
    return status;
}

/* All buffers together may not become more than the limit. */
static void test_expansion_is_limited(void **state) {
    (void)state;
    enum { ROWS = 4000 };
    for (int codec = 1; codec <= 2; codec++) {
        struct value v;
        /* Rows of one byte each, all alike: offsets and bytes, both get smaller. */
        value_open(&v, "u", ROWS, (struct foreign_random){3, false, false},
                   (kh_compression)codec);
        uint64_t all = 0;
        int compressed = 0;
        for (uint32_t i = 0; i < v.buffers.count; i++) {
            const unsigned char *place = v.buffers.items + 16 * i;
            if (get(place + 8) == 0) continue;
            int64_t declared = get(v.bytes.bytes + v.body_at + get(place));
            if (declared < 0) continue;
            all += (uint64_t)declared;
            compressed++;
        }
        assert_true(compressed >= 2);
        assert_int_equal(decode_within(&v, all), KH_OK);
        assert_int_equal(decode_within(&v, all - 1), KH_TOO_BIG);
        assert_int_equal(decode_within(&v, all / 2), KH_TOO_BIG);
        value_close(&v);
    }
}

static void test_bodies_are_limited(void **state) {
    (void)state;
    struct value v;
    struct ipc_message message;
    uint32_t prefix[2];
    value_open(&v, "l", 1000, (struct foreign_random){3, false, false}, KH_COMPRESS_NONE);
    memcpy(prefix, v.bytes.bytes, sizeof prefix);
    kh_bytes metadata = {v.bytes.bytes + 8, prefix[1]};
    uint64_t body_bytes = v.bytes.size_bytes - v.body_at;
    assert_int_equal(ipc_message_open(metadata, body_bytes, &message, NULL), KH_OK);
    assert_int_equal(message.body_bytes, body_bytes);
    assert_int_equal(ipc_message_open(metadata, body_bytes - 1, &message, NULL), KH_TOO_BIG);
    value_close(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffers_one_byte_short),
        cmocka_unit_test(test_buffers_outside_the_body),
        cmocka_unit_test(test_lengths_and_nulls_of_nodes),
        cmocka_unit_test(test_counts_off_by_one),
        cmocka_unit_test(test_more_or_fewer_buffers_than_the_type),
        cmocka_unit_test(test_misaligned_buffers_are_copied),
        cmocka_unit_test(test_compressed_sizes_that_lie),
        cmocka_unit_test(test_incompressible_buffers_are_stored),
        cmocka_unit_test(test_expansion_is_limited),
        cmocka_unit_test(test_bodies_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
