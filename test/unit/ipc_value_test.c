/* ipc_value_test.c - values and schemas as the log keeps them: exact, canonical, and refused when a
 * byte is missing; every allocation made to fail. */
#include "batch/ipc_wire.h"
#include "support/ipc_kit.h"

static struct ipc_buffer encode(const kh_batch *batch, kh_compression compression) {
    struct ipc_buffer out;
    kh_error error = {""};
    ipc_buffer_init(&out, mem_process());
    ipc_buffer_append(&out, "front", 5); /* what a record has before its value */
    ipc_kit_is(ipc_encode_value(mem_process(), batch, compression, &out, &error), KH_OK, &error);
    return out;
}

static kh_bytes value_of(const struct ipc_buffer *buffer) {
    return (kh_bytes){buffer->bytes + 5, buffer->size_bytes - 5};
}

static kh_status decode(struct home *home, const kh_schema *schema, kh_bytes bytes,
                        kh_batch **out) {
    kh_error error = {""};
    kh_status status = ipc_decode_value(home->batch.mem, NULL, schema, bytes, out, &error);
    if (status != KH_OK)
        assert_true(error.message[0] != '\0');
    return status;
}

static void test_every_type_comes_back(void **state) {
    static const int64_t row_counts[] = {0, 1, 3, 300};
    (void)state;
    for (int type = 0; type < foreign_type_count; type++) {
        struct home home;
        kh_db *db = home_open(&home);
        for (size_t i = 0; i < 12; i++) {
            kh_batch *batch = ipc_kit_batch(db, foreign_types[type], row_counts[i % 4], i);
            struct ipc_buffer bytes = encode(batch, (kh_compression)(i / 4));
            kh_batch *again = NULL;
            assert_int_equal(decode(&home, kh_batch_schema(batch), value_of(&bytes), &again),
                             KH_OK);
            ipc_kit_same(batch, again);
            assert_ptr_equal(kh_batch_schema(batch), kh_batch_schema(again));
            struct ipc_buffer twice = encode(again, (kh_compression)(i / 4));
            assert_int_equal(bytes.size_bytes, twice.size_bytes);
            assert_memory_equal(bytes.bytes, twice.bytes, bytes.size_bytes);
            ipc_buffer_fini(&twice);
            ipc_buffer_fini(&bytes);
            kh_batch_release(again);
            kh_batch_release(batch);
        }
        home_close(&home);
        assert_int_equal(home.live_blocks, 0);
    }
}

static void test_one_row_is_small(void **state) {
    (void)state;
    kh_batch *batch = ipc_kit_slice(NULL, "!l", 1, 0, 1, (struct foreign_random){1, false, false});
    struct ipc_buffer bytes = encode(batch, KH_COMPRESS_NONE);
    assert_true(bytes.size_bytes - 5 <= 192);
    ipc_buffer_fini(&bytes);
    kh_batch_release(batch);
}

/* A value is known to be whole: nothing that was cut or lengthened passes. */
static void test_cut_lengthened_changed(void **state) {
    static const char *const types[] = {"l", "u", "vu", "+l[i{u}]", "+ud:0,5[l;u]", "+r[!i;u]"};
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (size_t type = 0; type < sizeof types / sizeof types[0]; type++) {
        kh_batch *batch = ipc_kit_batch(db, types[type], 4, type);
        const kh_schema *schema = kh_batch_schema(batch);
        struct ipc_buffer bytes = encode(batch, KH_COMPRESS_NONE);
        kh_bytes value = value_of(&bytes);
        kh_batch *out = NULL;
        for (size_t size = 0; size < value.size_bytes; size++) {
            unsigned char *cut = malloc(size + 1);
            assert_non_null(cut);
            memcpy(cut, value.data, size);
            assert_int_equal(decode(&home, schema, (kh_bytes){cut, size}, &out), KH_CORRUPT);
            free(cut);
        }
        unsigned char *changed = calloc(1, value.size_bytes + 8);
        assert_non_null(changed);
        memcpy(changed, value.data, value.size_bytes);
        assert_int_equal(decode(&home, schema, (kh_bytes){changed, value.size_bytes + 8}, &out),
                         KH_CORRUPT);
        assert_int_equal(decode(&home, schema, (kh_bytes){changed, value.size_bytes + 1}, &out),
                         KH_CORRUPT);
        assert_null(out);
        for (size_t bit = 0; bit < 8 * value.size_bytes; bit++) {
            changed[bit / 8] ^= (unsigned char)(1u << (bit % 8));
            kh_status status = decode(&home, schema, (kh_bytes){changed, value.size_bytes}, &out);
            assert_true(ipc_kit_is_verdict(status));
            changed[bit / 8] ^= (unsigned char)(1u << (bit % 8));
            kh_batch_release(out);
            out = NULL;
        }
        free(changed);
        ipc_buffer_fini(&bytes);
        kh_batch_release(batch);
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

static void test_another_schema_is_refused(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    kh_batch *batch = ipc_kit_batch(db, "l", 4, 1);
    kh_batch *other = ipc_kit_batch(db, "+s[l;u]", 4, 1);
    kh_batch *coded = ipc_kit_batch(db, "i{u}", 4, 1);
    struct ipc_buffer bytes = encode(batch, KH_COMPRESS_NONE);
    struct ipc_buffer coded_bytes = encode(coded, KH_COMPRESS_NONE);
    kh_batch *out = NULL;
    assert_int_equal(decode(&home, kh_batch_schema(other), value_of(&bytes), &out), KH_CORRUPT);
    assert_int_equal(decode(&home, kh_batch_schema(coded), value_of(&bytes), &out), KH_CORRUPT);
    assert_int_equal(decode(&home, kh_batch_schema(batch), value_of(&coded_bytes), &out),
                     KH_CORRUPT);
    assert_null(out);
    ipc_buffer_fini(&bytes);
    ipc_buffer_fini(&coded_bytes);
    kh_batch_release(batch);
    kh_batch_release(other);
    kh_batch_release(coded);
    home_close(&home);
}

static void encode_under_pressure(const kh_batch *batch, kh_compression compression) {
    kh_status status = KH_NO_MEMORY;
    for (uint64_t fail_at = 1; status != KH_OK; fail_at++) {
        struct home home;
        (void)home_open(&home);
        struct ipc_buffer out;
        kh_error error = {""};
        ipc_buffer_init(&out, home.batch.mem);
        home.fail_at = home.calls + fail_at;
        status = ipc_encode_value(home.batch.mem, batch, compression, &out, &error);
        if (status != KH_OK) {
            assert_int_equal(status, KH_NO_MEMORY);
            assert_int_equal(out.size_bytes, 0);
        }
        ipc_buffer_fini(&out);
        home_close(&home);
        assert_int_equal(home.live_blocks, 0);
        assert_true(fail_at < 500);
    }
}

static void decode_under_pressure(const kh_batch *batch, kh_compression compression) {
    struct ipc_buffer bytes = encode(batch, compression);
    kh_status status = KH_NO_MEMORY;
    for (uint64_t fail_at = 1; status != KH_OK; fail_at++) {
        struct home home;
        (void)home_open(&home);
        const kh_schema *schema = NULL;
        kh_batch *out = NULL;
        assert_int_equal(schema_intern(home.batch.schemas, kh_batch_schema(batch), &schema, NULL),
                         KH_OK);
        home.fail_at = home.calls + fail_at;
        status = decode(&home, schema, value_of(&bytes), &out);
        if (status != KH_OK) {
            assert_int_equal(status, KH_NO_MEMORY);
            assert_null(out);
        }
        kh_batch_release(out);
        schema_drop(schema);
        home_close(&home);
        assert_int_equal(home.live_blocks, 0);
        assert_true(fail_at < 500);
    }
    ipc_buffer_fini(&bytes);
}

static void test_every_allocation_fails(void **state) {
    static const char *const types[] = {"l", "+s[u;vu]", "+l[i{u}]", "s{+s[l;u]}"};
    (void)state;
    for (size_t type = 0; type < sizeof types / sizeof types[0]; type++)
        for (int codec = 0; codec < 3; codec++) {
            kh_batch *batch = ipc_kit_batch(NULL, types[type], 300, type);
            encode_under_pressure(batch, (kh_compression)codec);
            decode_under_pressure(batch, (kh_compression)codec);
            kh_batch_release(batch);
        }
}

/* ---- schemas ---- */

static void test_schemas_come_back(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (int type = 0; type < foreign_type_count; type++) {
        struct ArrowSchema arrow;
        kh_schema *schema = NULL;
        const kh_schema *again = NULL;
        kh_error error = {""};
        struct ipc_buffer out;
        ipc_buffer_init(&out, mem_process());
        foreign_table(&arrow, foreign_types[type]);
        ipc_kit_is(kh_schema_import(db, &arrow, &schema, &error), KH_OK, &error);
        ipc_kit_is(ipc_encode_schema(schema, &out, &error), KH_OK, &error);
        kh_bytes bytes = {out.bytes, out.size_bytes};
        ipc_kit_is(ipc_decode_schema(home.batch.schemas, bytes, &again, &error), KH_OK, &error);
        assert_ptr_equal(again, schema);
        schema_drop(again);
        for (size_t size = 0; size < out.size_bytes; size++) {
            unsigned char *cut = malloc(size + 1); /* ends where its block does */
            assert_non_null(cut);
            memcpy(cut + 1, out.bytes, size);
            assert_int_equal(ipc_decode_schema(home.batch.schemas, (kh_bytes){cut + 1, size},
                                               &again, &error), KH_CORRUPT);
            free(cut);
        }
        for (size_t bit = 0; bit < 8 * out.size_bytes; bit++) {
            out.bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
            kh_status status = ipc_decode_schema(home.batch.schemas, bytes, &again, &error);
            assert_true(ipc_kit_is_verdict(status));
            if (status == KH_OK)
                schema_drop(again);
            out.bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        }
        ipc_buffer_fini(&out);
        kh_schema_release(schema);
    }
    home_close(&home);
}

/* What IPC's schema cannot say: flags, name and metadata of a dictionary's values. */
static void test_dictionary_values_keep_their_flags(void **state) {
    static const char metadata[] = "\1\0\0\0\1\0\0\0k\2\0\0\0\0v";
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    struct ArrowSchema values = {.format = "u", .name = "values", .flags = 0};
    struct ArrowSchema column = {.format = "i", .name = "c", .metadata = metadata,
                                 .flags = ARROW_FLAG_DICTIONARY_ORDERED, .dictionary = &values};
    struct ArrowSchema twin;
    foreign_table(&twin, "i{u}");
    struct ArrowSchema *inner = twin.children[0];
    free((void *)(uintptr_t)inner->dictionary->name);
    inner->dictionary->name = strdup(values.name);
    inner->dictionary->flags = 0;
    inner->flags = column.flags;
    inner->metadata = memcpy(malloc(sizeof metadata), metadata, sizeof metadata);
    kh_schema *schema = NULL;
    const kh_schema *again = NULL;
    struct ArrowSchema out_type;
    struct ipc_buffer out;
    ipc_buffer_init(&out, mem_process());
    assert_int_equal(kh_schema_import(db, &twin, &schema, NULL), KH_OK);
    assert_int_equal(ipc_encode_schema(schema, &out, NULL), KH_OK);
    kh_bytes bytes = {out.bytes, out.size_bytes};
    assert_int_equal(ipc_decode_schema(home.batch.schemas, bytes, &again, NULL), KH_OK);
    assert_ptr_equal(again, schema);
    assert_int_equal(kh_schema_export(again, &out_type, NULL), KH_OK);
    assert_int_equal(out_type.children[0]->flags, column.flags);
    assert_memory_equal(out_type.children[0]->metadata, metadata, 15);
    out_type.release(&out_type);
    schema_drop(again);
    kh_schema_release(schema);
    ipc_buffer_fini(&out);
    home_close(&home);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_comes_back),
        cmocka_unit_test(test_one_row_is_small),
        cmocka_unit_test(test_cut_lengthened_changed),
        cmocka_unit_test(test_another_schema_is_refused),
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_schemas_come_back),
        cmocka_unit_test(test_dictionary_values_keep_their_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
