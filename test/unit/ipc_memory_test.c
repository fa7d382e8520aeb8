/* ipc_memory_test.c - every type through a stream and a file and back: whole, sliced, empty,
 * compressed; equal batches give equal bytes; a slice writes its own rows only. */
#include "support/ipc_kit.h"

static const kh_ipc_format formats[] = {KH_IPC_STREAM, KH_IPC_FILE};
static const kh_compression codecs[] = {KH_COMPRESS_NONE, KH_COMPRESS_LZ4, KH_COMPRESS_ZSTD};

/* Counted before, in memory of the caller, and by a writer into a sink: the same bytes. */
static void same_elsewhere(const kh_batch *const *batches, size_t count, kh_ipc_format format,
                           kh_bytes bytes) {
    kh_error error = {""};
    uint64_t needed = 0;
    size_t used = 0;
    ipc_kit_is(kh_ipc_encoded_bytes(batches, count, format, &needed, &error), KH_OK, &error);
    assert_int_equal(needed, bytes.size_bytes);
    unsigned char *memory = malloc(needed + 1);
    assert_non_null(memory);
    memory[needed] = 0xa5;
    ipc_kit_is(kh_ipc_encode_into(batches, count, format, memory, needed, &used, &error), KH_OK,
               &error);
    assert_int_equal(used, needed);
    assert_memory_equal(memory, bytes.data, used);
    assert_int_equal(memory[needed], 0xa5);
    assert_int_equal(kh_ipc_encode_into(batches, count, format, memory, needed - 1, &used, &error),
                     KH_TOO_BIG);
    assert_int_equal(used, needed);
    free(memory);
}

static void round_trip(kh_db *db, const kh_batch *batch, kh_ipc_format format,
                       kh_compression compression) {
    kh_error error = {""};
    kh_batch **out = NULL;
    size_t count = 0;
    kh_bytes bytes = ipc_kit_encode(batch, format, compression);
    ipc_kit_is(kh_ipc_decode(db, bytes, &out, &count, &error), KH_OK, &error);
    assert_int_equal(count, 1);
    ipc_kit_same(batch, out[0]);
    const kh_batch *one = batch;
    if (compression == KH_COMPRESS_NONE) same_elsewhere(&one, 1, format, bytes);
    kh_bytes again = ipc_kit_encode(out[0], format, compression);
    assert_int_equal(again.size_bytes, bytes.size_bytes);
    assert_memory_equal(again.data, bytes.data, bytes.size_bytes);
    kh_bytes_free(again);
    kh_batches_free(out, count);
    kh_bytes_free(bytes);
}

static void round_trips(kh_db *db, const kh_batch *batch) {
    for (int format = 0; format < 2; format++)
        for (int codec = 0; codec < 3; codec++)
            round_trip(db, batch, formats[format], codecs[codec]);
}

static void test_every_type(void **state) {
    static const int64_t row_counts[] = {0, 1, 7, 64, 300};
    (void)state;
    for (int type = 0; type < foreign_type_count; type++) {
        struct home home;
        kh_db *db = home_open(&home);
        for (size_t i = 0; i < sizeof row_counts / sizeof row_counts[0]; i++) {
            kh_batch *batch = ipc_kit_batch(db, foreign_types[type], row_counts[i], i);
            round_trips(db, batch);
            kh_batch_release(batch);
        }
        home_close(&home);
        assert_int_equal(home.live_blocks, 0);
    }
    assert_int_equal(foreign_live, 0);
}

static int gather(void *context, const void *bytes, size_t size_bytes) {
    struct ipc_buffer *all = context;
    ipc_buffer_append(all, bytes, size_bytes);
    return 0;
}

/* Several, with dictionaries that differ: the writer's bytes, message by message. */
static void test_the_same_as_a_writers(void **state) {
    static const char *const types[] = {"l",    "vu",          "+l[u]",       "+l[+l[u]]",
                                        "c{u}", "+s[c{u};vu]", "+ud:0,1[l;u]"};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof types / sizeof types[0]; i++) {
        kh_ipc_format format = formats[i % 2];
        struct ipc_buffer all;
        kh_batch *batches[3];
        kh_ipc_writer *writer = NULL;
        kh_bytes bytes;
        kh_error error = {""};
        kh_sink sink = {gather, &all};
        ipc_buffer_init(&all, mem_process());
        for (size_t k = 0; k < 3; k++) batches[k] = ipc_kit_batch(NULL, types[i / 2], 70, k);
        ipc_kit_is(kh_ipc_writer_open(&sink, format, KH_COMPRESS_NONE, kh_batch_schema(batches[0]),
                                      &writer, &error),
                   KH_OK, &error);
        for (size_t k = 0; k < 3; k++)
            ipc_kit_is(kh_ipc_writer_write(writer, batches[k], &error), KH_OK, &error);
        ipc_kit_is(kh_ipc_writer_finish(writer, &error), KH_OK, &error);
        kh_ipc_writer_close(writer);
        const kh_batch *const given[3] = {batches[0], batches[1], batches[2]};
        ipc_kit_is(kh_ipc_encode(given, 3, format, KH_COMPRESS_NONE, &bytes, &error), KH_OK,
                   &error);
        assert_int_equal(bytes.size_bytes, all.size_bytes);
        assert_memory_equal(bytes.data, all.bytes, all.size_bytes);
        same_elsewhere(given, 3, format, bytes);
        kh_bytes_free(bytes);
        for (size_t k = 0; k < 3; k++) kh_batch_release(batches[k]);
        ipc_buffer_fini(&all);
    }
}

static void test_slices(void **state) {
    (void)state;
    for (int type = 0; type < foreign_type_count; type++)
        for (int64_t first = 0; first < 500; first += 83) {
            struct foreign_random random = {(uint64_t)type, true, true};
            kh_batch *batch =
                ipc_kit_slice(NULL, foreign_types[type], 600, first, first / 5, random);
            round_trip(NULL, batch, formats[first & 1], KH_COMPRESS_NONE);
            kh_batch_release(batch);
        }
}

static void test_a_slice_writes_its_rows_only(void **state) {
    static const char *const types[] = {"u",       "+l[l]",    "vu",           "+vl[l]",
                                        "+w:3[l]", "+r[!i;u]", "+ud:0,1[l;u]", "+s[u;l]"};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct foreign_random random = {i, true, true};
        kh_batch *batch = ipc_kit_slice(NULL, types[i], 20000, 9000, 3, random);
        kh_bytes bytes = ipc_kit_encode(batch, KH_IPC_STREAM, KH_COMPRESS_NONE);
        assert_true(bytes.size_bytes < 4096);
        kh_bytes_free(bytes);
        kh_batch_release(batch);
    }
}

/* The last run of a slice ends with the slice: equal slices are equal bytes. */
static void test_runs_are_cut(void **state) {
    (void)state;
    for (int64_t first = 0; first < 200; first += 7) {
        struct foreign_random random = {5, false, true};
        kh_batch *slice = ipc_kit_slice(NULL, "+r[!i;u]", 300, first, 50, random);
        kh_bytes bytes = ipc_kit_encode(slice, KH_IPC_STREAM, KH_COMPRESS_NONE);
        kh_batch **out = NULL;
        size_t count = 0;
        struct ArrowArray array;
        assert_int_equal(kh_ipc_decode(NULL, bytes, &out, &count, NULL), KH_OK);
        assert_int_equal(kh_batch_export(out[0], &array, NULL, NULL), KH_OK);
        const struct ArrowArray *ends = array.children[0]->children[0];
        int32_t last = ((const int32_t *)ends->buffers[1])[ends->offset + ends->length - 1];
        assert_int_equal(last, 50);
        array.release(&array);
        kh_batches_free(out, count);
        kh_bytes_free(bytes);
        kh_batch_release(slice);
    }
}

static void test_large_batches_are_read_without_a_copy(void **state) {
    (void)state;
    struct home home;
    kh_db *db = home_open(&home);
    kh_batch *batch = ipc_kit_batch(db, "l", 100000, 1);
    kh_bytes bytes = ipc_kit_encode(batch, KH_IPC_STREAM, KH_COMPRESS_NONE);
    kh_batch **out = NULL;
    size_t count = 0;
    struct ArrowArray array;
    uint64_t before = mem_live_bytes(home.batch.mem);
    assert_int_equal(kh_ipc_decode(db, bytes, &out, &count, NULL), KH_OK);
    assert_true(mem_live_bytes(home.batch.mem) - before < 1000000);
    assert_int_equal(kh_batch_export(out[0], &array, NULL, NULL), KH_OK);
    kh_batches_free(out, count);
    kh_bytes_free(bytes);
    kh_batch_release(batch);
    home_close(&home);
    assert_int_equal(array.length, 100000);
    assert_int_equal((uintptr_t)array.children[0]->buffers[1] % 8, 0);
    struct ArrowArray child = *array.children[0]; /* moved out, and kept longest */
    array.children[0]->release = NULL;
    array.release(&array);
    assert_true(home.live_blocks > 0);
    child.release(&child);
    assert_int_equal(home.live_blocks, 0);
}

static void test_no_batches_and_other_schemas(void **state) {
    (void)state;
    kh_error error = {""};
    kh_bytes bytes = {NULL, 7};
    kh_batch *batches[2] = {ipc_kit_batch(NULL, "l", 3, 1), ipc_kit_batch(NULL, "i", 3, 1)};
    const kh_batch *const given[2] = {batches[0], batches[1]};
    assert_int_equal(kh_ipc_encode(given, 0, KH_IPC_STREAM, KH_COMPRESS_NONE, &bytes, &error),
                     KH_INVALID);
    assert_int_equal(kh_ipc_encode(given, 2, KH_IPC_STREAM, KH_COMPRESS_NONE, &bytes, &error),
                     KH_SCHEMA_MISMATCH);
    assert_int_equal(kh_ipc_encode(given, 1, (kh_ipc_format)9, KH_COMPRESS_NONE, &bytes, &error),
                     KH_INVALID);
    assert_int_equal(kh_ipc_encode(given, 1, KH_IPC_FILE, (kh_compression)9, &bytes, &error),
                     KH_INVALID);
    assert_int_equal(bytes.size_bytes, 7);
    uint64_t needed = 3;
    size_t used = 3;
    unsigned char memory[64];
    assert_int_equal(kh_ipc_encoded_bytes(given, 0, KH_IPC_FILE, &needed, &error), KH_INVALID);
    assert_int_equal(kh_ipc_encoded_bytes(given, 1, KH_IPC_FILE, NULL, &error), KH_INVALID);
    assert_int_equal(kh_ipc_encoded_bytes(given, 2, KH_IPC_FILE, &needed, &error),
                     KH_SCHEMA_MISMATCH);
    assert_int_equal(kh_ipc_encode_into(given, 0, KH_IPC_FILE, memory, 64, &used, &error),
                     KH_INVALID);
    assert_int_equal(kh_ipc_encode_into(given, 1, KH_IPC_FILE, NULL, 64, &used, &error),
                     KH_INVALID);
    assert_int_equal(kh_ipc_encode_into(given, 1, KH_IPC_FILE, memory, 0, &used, &error),
                     KH_TOO_BIG);
    assert_int_equal(kh_ipc_encode_into(given, 1, KH_IPC_FILE, memory, 64, &used, &error),
                     KH_TOO_BIG);
    assert_true(needed == 3 && used == 3);
    kh_batch **out = NULL;
    size_t count = 5;
    assert_int_equal(kh_ipc_decode(NULL, (kh_bytes){"", 0}, &out, &count, &error), KH_CORRUPT);
    assert_int_equal(count, 5);
    kh_batch_release(batches[0]);
    kh_batch_release(batches[1]);
    kh_bytes_free((kh_bytes){NULL, 0});
    kh_batches_free(NULL, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_the_same_as_a_writers),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_a_slice_writes_its_rows_only),
        cmocka_unit_test(test_runs_are_cut),
        cmocka_unit_test(test_large_batches_are_read_without_a_copy),
        cmocka_unit_test(test_no_batches_and_other_schemas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
