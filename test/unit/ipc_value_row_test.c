/* ipc_value_row_test.c - the short way for values of one row makes what the long way makes, byte
 * for byte, of whole values and of damaged ones, and takes every row that it is meant for. */
#include "batch/ipc_wire.h"
#include "batch/pack.h"
#include "support/ipc_kit.h"

/* Both ways give the same batch, or the short one gives none. True: it gave one. */
static bool is_same_both_ways(struct home *home, const kh_schema *schema, kh_bytes bytes) {
    kh_error error = {""};
    kh_batch *of_any = NULL;
    kh_batch *row = ipc_decode_row(home->batch.mem, NULL, schema, bytes);
    kh_status status = ipc_decode_any(home->batch.mem, NULL, schema, bytes, &of_any, &error);
    bool is_row = row != NULL;
    assert_true(ipc_kit_is_verdict(status));
    if (is_row) {
        assert_int_equal(status, KH_OK);
        assert_int_equal(of_any->kind, BATCH_PACKED);
        assert_ptr_equal(row->schema, of_any->schema);
        assert_int_equal(row->row_count, 1);
        assert_int_equal(row->block_bytes, of_any->block_bytes);
        assert_int_equal(row->has_validity, of_any->has_validity);
        assert_int_equal(row->is_simple, of_any->is_simple);
        assert_memory_equal(packed_slots(row), packed_slots(of_any),
                            row->block_bytes - BATCH_HEADROOM - sizeof *row);
        ipc_kit_same(row, of_any);
    }
    kh_batch_release(row);
    kh_batch_release(of_any);
    return is_row;
}

static kh_batch *table_of(kh_db *db, const char *const *columns, int64_t count, int64_t rows,
                          struct foreign_random random) {
    struct ArrowSchema type;
    struct ArrowArray array;
    foreign_columns(&type, columns, count);
    foreign_fill(&random, &type, rows, &array);
    return ipc_kit_import(db, &type, &array);
}

static struct ipc_buffer encode(struct home *home, const kh_batch *batch,
                                kh_compression compression) {
    struct ipc_buffer out;
    kh_error error = {""};
    ipc_buffer_init(&out, home->batch.mem);
    ipc_kit_is(ipc_encode_value(home->batch.mem, batch, compression, &out, &error), KH_OK, &error);
    return out;
}

static kh_bytes span_of(const struct ipc_buffer *buffer) {
    return (kh_bytes){buffer->bytes, buffer->size_bytes};
}

static void test_every_type(void **state) {
    (void)state;
    for (int type = 0; type < foreign_type_count; type++) {
        struct home home;
        kh_db *db = home_open(&home);
        for (uint64_t seed = 0; seed < 24; seed++) {
            int64_t rows = seed % 8 == 7 ? 3 : 1;
            struct foreign_random random = {seed + 1, false, seed % 2 == 0};
            kh_batch *batch = ipc_kit_slice(db, foreign_types[type], rows, 0, rows, random);
            const kh_schema *schema = kh_batch_schema(batch);
            struct ipc_buffer bytes = encode(&home, batch, KH_COMPRESS_NONE);
            bool is_meant = schema->plan.is_row && rows == 1 && batch->kind == BATCH_PACKED;
            assert_int_equal(is_same_both_ways(&home, schema, span_of(&bytes)), is_meant);
            ipc_buffer_fini(&bytes);
            kh_batch_release(batch);
        }
        home_close(&home);
        assert_int_equal(home.live_blocks, 0);
    }
}

static const char *const columns[] = {"id=!l",   "name=u", "is=b",     "real=g",  "long=U",
                                      "small=s", "raw=z",  "day=!tdD", "text=!u", "raws=Z"};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static void test_rows_of_many_columns(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (uint64_t seed = 1; seed < 200; seed++) {
        int64_t count = 1 + (int64_t)(seed % COLUMNS);
        struct foreign_random random = {seed, false, seed % 3 != 0};
        kh_batch *batch = table_of(db, columns, count, 1, random);
        struct ipc_buffer bytes = encode(&home, batch, KH_COMPRESS_NONE);
        assert_true(is_same_both_ways(&home, kh_batch_schema(batch), span_of(&bytes)));
        ipc_buffer_fini(&bytes);
        kh_batch_release(batch);
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

/* Compressed ones, more rows and none go the long way. */
static void test_what_is_not_meant(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (int64_t rows = 0; rows < 3; rows++) {
        struct foreign_random random = {7, false, true};
        kh_batch *batch = table_of(db, columns, COLUMNS, rows, random);
        for (int compression = 0; compression < 3; compression++) {
            struct ipc_buffer bytes = encode(&home, batch, (kh_compression)compression);
            bool is_row = is_same_both_ways(&home, kh_batch_schema(batch), span_of(&bytes));
            assert_int_equal(is_row, rows == 1 && compression == KH_COMPRESS_NONE);
            ipc_buffer_fini(&bytes);
        }
        kh_batch_release(batch);
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

/* Each bit turned, each pair of bytes set to extremes, each end cut off: never another verdict. */
static void test_damaged(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct foreign_random random = {seed, false, seed % 2 == 0};
        kh_batch *batch = table_of(db, columns, 3 + (int64_t)seed, 1, random);
        const kh_schema *schema = kh_batch_schema(batch);
        struct ipc_buffer whole = encode(&home, batch, KH_COMPRESS_NONE);
        unsigned char *bytes = malloc(whole.size_bytes);
        assert_non_null(bytes);
        memcpy(bytes, whole.bytes, whole.size_bytes);
        kh_bytes span = {bytes, whole.size_bytes};
        for (size_t bit = 0; bit < 8 * span.size_bytes; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
            (void)is_same_both_ways(&home, schema, span);
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        static const unsigned char extremes[] = {0, 1, 0x7f, 0x80, 0xff};
        for (size_t at = 0; at + 8 <= span.size_bytes; at += 4) {
            for (size_t i = 0; i < sizeof extremes; i++) {
                memset(bytes + at, extremes[i], 8);
                (void)is_same_both_ways(&home, schema, span);
                memcpy(bytes + at, whole.bytes + at, 8);
            }
        }
        for (size_t size = 0; size < span.size_bytes; size++) {
            unsigned char *cut = malloc(size + 1);
            assert_non_null(cut);
            memcpy(cut, bytes, size);
            assert_false(is_same_both_ways(&home, schema, (kh_bytes){cut, size}));
            free(cut);
        }
        free(bytes);
        ipc_buffer_fini(&whole);
        kh_batch_release(batch);
    }
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

/* The bytes of one type taken for another one's: required where it is nullable, fixed where it is
 * text, and the other way round. */
static void test_of_another_schema(void **state) {
    static const char *const types[] = {"l", "!l", "u", "!u", "b", "!b", "U", "z", "s", "w:3"};
    enum { TYPES = sizeof types / sizeof types[0] };
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    kh_batch *batches[TYPES];
    for (size_t i = 0; i < TYPES; i++) batches[i] = ipc_kit_batch(db, types[i], 1, i);
    for (uint64_t seed = 1; seed < 16; seed++) {
        for (size_t i = 0; i < TYPES; i++) {
            struct foreign_random random = {seed, false, seed % 4 != 0};
            kh_batch *batch = ipc_kit_slice(db, types[i], 1, 0, 1, random);
            struct ipc_buffer bytes = encode(&home, batch, KH_COMPRESS_NONE);
            for (size_t j = 0; j < TYPES; j++)
                (void)is_same_both_ways(&home, kh_batch_schema(batches[j]), span_of(&bytes));
            ipc_buffer_fini(&bytes);
            kh_batch_release(batch);
        }
    }
    for (size_t i = 0; i < TYPES; i++) kh_batch_release(batches[i]);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

/* Around the size up to which a value is one block. */
static void test_large_values(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    static const char *const names[] = {"n", "t"};
    static const char *const formats[] = {"l", "u"};
    kh_error error = {""};
    kh_schema *schema = NULL;
    ipc_kit_is(kh_schema_build(db, names, formats, 2, &schema, &error), KH_OK, &error);
    static char text[5000];
    memset(text, 'x', sizeof text);
    for (size_t size = 3900; size < sizeof text; size += 9) {
        kh_scalar cells[2] = {{KH_SCALAR_INT64, {.int64 = 5}},
                              {KH_SCALAR_BYTES, {.bytes = {text, size}}}};
        kh_batch *batch = NULL;
        ipc_kit_is(kh_batch_build(db, schema, cells, 1, &batch, &error), KH_OK, &error);
        struct ipc_buffer bytes = encode(&home, batch, KH_COMPRESS_NONE);
        bool is_row = is_same_both_ways(&home, kh_batch_schema(batch), span_of(&bytes));
        assert_int_equal(is_row, BATCH_HEADROOM + sizeof *batch + 16 + size <= 4096);
        ipc_buffer_fini(&bytes);
        kh_batch_release(batch);
    }
    kh_schema_release(schema);
    home_close(&home);
    assert_int_equal(home.live_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),        cmocka_unit_test(test_rows_of_many_columns),
        cmocka_unit_test(test_what_is_not_meant), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_of_another_schema), cmocka_unit_test(test_large_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
