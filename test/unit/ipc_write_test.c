/* ipc_write_test.c - the writer: sinks that fail, calls out of order, memory that runs out, and
 * which dictionaries are sent when. */
#include "batch/ipc_wire.h"
#include "support/ipc_kit.h"

struct sink {
    struct ipc_buffer bytes;
    uint64_t calls;
    uint64_t fail_at;
};

static int write_some(void *context, const void *bytes, size_t size_bytes) {
    struct sink *sink = context;
    if (++sink->calls == sink->fail_at)
        return 28;
    ipc_buffer_append(&sink->bytes, bytes, size_bytes);
    return 0;
}

static void sink_open(struct sink *sink) {
    *sink = (struct sink){.calls = 0};
    ipc_buffer_init(&sink->bytes, mem_process());
}

/* All batches to the sink; the first failure. */
static kh_status write_all(struct sink *sink, kh_ipc_format format, kh_compression compression,
                           kh_batch *const *batches, size_t count) {
    kh_sink to = {write_some, sink};
    kh_ipc_writer *writer = NULL;
    kh_error error = {""};
    kh_status status = kh_ipc_writer_open(&to, format, compression, kh_batch_schema(batches[0]),
                                          &writer, &error);
    for (size_t i = 0; i < count && status == KH_OK; i++)
        status = kh_ipc_writer_write(writer, batches[i], &error);
    if (status == KH_OK)
        status = kh_ipc_writer_finish(writer, &error);
    else if (writer != NULL)
        assert_int_equal(kh_ipc_writer_finish(writer, &error), status);
    kh_ipc_writer_close(writer);
    return status;
}

static void test_sinks_that_fail(void **state) {
    (void)state;
    kh_batch *batches[2] = {ipc_kit_batch(NULL, "i{u}", 30, 1), ipc_kit_batch(NULL, "i{u}", 30, 2)};
    for (int format = 0; format < 2; format++) {
        kh_status status = KH_IO;
        uint64_t fail_at = 0;
        while (status != KH_OK) {
            struct sink sink;
            sink_open(&sink);
            sink.fail_at = ++fail_at;
            status = write_all(&sink, (kh_ipc_format)format, KH_COMPRESS_NONE, batches, 2);
            assert_true(status == KH_IO || status == KH_OK);
            assert_int_equal(sink.calls, status == KH_OK ? fail_at - 1 : fail_at);
            ipc_buffer_fini(&sink.bytes);
        }
        assert_int_equal(fail_at, 7); /* schema, 2 x (dictionary, rows), end */
    }
    kh_batch_release(batches[0]);
    kh_batch_release(batches[1]);
}

static void test_calls_out_of_order(void **state) {
    (void)state;
    struct sink sink;
    kh_ipc_writer *writer = NULL;
    kh_error error = {""};
    kh_batch *batch = ipc_kit_batch(NULL, "l", 3, 1);
    kh_batch *other = ipc_kit_batch(NULL, "u", 3, 1);
    kh_sink to = {write_some, &sink};
    sink_open(&sink);
    assert_int_equal(kh_ipc_writer_open(NULL, KH_IPC_STREAM, KH_COMPRESS_NONE,
                                        kh_batch_schema(batch), &writer, &error), KH_INVALID);
    assert_int_equal(kh_ipc_writer_open(&to, KH_IPC_STREAM, KH_COMPRESS_NONE, NULL, &writer,
                                        &error), KH_INVALID);
    assert_null(writer);
    assert_int_equal(kh_ipc_writer_open(&to, KH_IPC_STREAM, KH_COMPRESS_NONE,
                                        kh_batch_schema(batch), &writer, &error), KH_OK);
    assert_int_equal(kh_ipc_writer_write(writer, NULL, &error), KH_INVALID);
    assert_int_equal(kh_ipc_writer_write(writer, other, &error), KH_SCHEMA_MISMATCH);
    assert_int_equal(kh_ipc_writer_write(writer, batch, &error), KH_OK); /* a mismatch is no harm */
    assert_int_equal(kh_ipc_writer_finish(writer, &error), KH_OK);
    assert_int_equal(kh_ipc_writer_finish(writer, &error), KH_MISUSE);
    assert_int_equal(kh_ipc_writer_write(writer, batch, &error), KH_MISUSE);
    kh_ipc_writer_close(writer);
    kh_ipc_writer_close(NULL);
    assert_int_equal(ipc_kit_try(NULL, sink.bytes.bytes, sink.bytes.size_bytes), KH_OK);
    ipc_buffer_fini(&sink.bytes);
    kh_batch_release(batch);
    kh_batch_release(other);
}

static void test_every_allocation_fails(void **state) {
    static const char *const types[] = {"l", "+s[u;vu]", "+l[i{u}]", "s{+s[l;i{u}]}"};
    (void)state;
    for (size_t type = 0; type < sizeof types / sizeof types[0]; type++)
        for (unsigned way = 0; way < 6; way++) {
            kh_status status = KH_NO_MEMORY;
            for (uint64_t fail_at = 1; status != KH_OK; fail_at++) {
                struct home home;
                struct sink sink;
                kh_db *db = home_open(&home);
                sink_open(&sink);
                kh_batch *batch = ipc_kit_batch(db, types[type], 40, type);
                kh_batch *const batches[2] = {batch, batch};
                home.fail_at = home.calls + fail_at;
                status = write_all(&sink, (kh_ipc_format)(way & 1), (kh_compression)(way >> 1),
                                   batches, 2);
                assert_true(status == KH_OK || status == KH_NO_MEMORY);
                ipc_buffer_fini(&sink.bytes);
                kh_batch_release(batch);
                home_close(&home);
                assert_int_equal(home.live_blocks, 0);
                assert_true(fail_at < 500);
            }
        }
}

/* ---- dictionaries ---- */

/* One row for each text: a dictionary of them in order. */
static kh_batch *colours(const char *texts) {
    struct ArrowSchema type;
    struct ArrowArray array;
    struct ArrowArray *column;
    int32_t offsets[27] = {0};
    int8_t indices[26];
    int64_t count = (int64_t)strlen(texts);
    for (int64_t i = 0; i < count; i++) {
        offsets[i + 1] = (int32_t)i + 1;
        indices[i] = (int8_t)i;
    }
    foreign_table(&type, "c{u}");
    foreign_array(&array, count, 1, 1, false);
    column = array.children[0];
    foreign_array(column, count, 2, 0, true);
    foreign_buffer(column, 1, indices, (size_t)count);
    foreign_array(column->dictionary, count, 3, 0, false);
    foreign_buffer(column->dictionary, 1, offsets, ((size_t)count + 1) * 4);
    foreign_buffer(column->dictionary, 2, texts, (size_t)count);
    return ipc_kit_import(NULL, &type, &array);
}

/* The messages of a stream or file in words: S schema, D dictionary, + delta, R rows. */
static void say_messages(const struct ipc_buffer *bytes, size_t start, char *out) {
    for (size_t at = start;;) {
        uint32_t prefix[2];
        struct ipc_message message;
        memcpy(prefix, bytes->bytes + at, sizeof prefix);
        if (prefix[1] == 0)
            break;
        kh_bytes metadata = {bytes->bytes + at + 8, prefix[1]};
        assert_int_equal(ipc_message_open(metadata, 1 << 20, &message, NULL), KH_OK);
        *out++ = message.kind == IPC_SCHEMA   ? 'S'
                 : message.kind == IPC_RECORD ? 'R'
                 : message.is_delta           ? '+'
                                              : 'D';
        at += 8 + prefix[1] + (size_t)message.body_bytes;
    }
    *out = '\0';
}

static void sends(const char *const *texts, size_t count, kh_ipc_format format,
                  const char *expected) {
    kh_batch *batches[8];
    kh_batch **read = NULL;
    size_t read_count = 0;
    char words[32];
    struct sink sink;
    kh_error error = {""};
    sink_open(&sink);
    for (size_t i = 0; i < count; i++)
        batches[i] = colours(texts[i]);
    assert_int_equal(write_all(&sink, format, KH_COMPRESS_NONE, batches, count), KH_OK);
    say_messages(&sink.bytes, format == KH_IPC_FILE ? 8 : 0, words);
    assert_string_equal(words, expected);
    kh_bytes bytes = {sink.bytes.bytes, sink.bytes.size_bytes};
    ipc_kit_is(kh_ipc_decode(NULL, bytes, &read, &read_count, &error), KH_OK, &error);
    assert_int_equal(read_count, count);
    for (size_t i = 0; i < count; i++) {
        ipc_kit_same(batches[i], read[i]);
        kh_batch_release(batches[i]);
    }
    kh_batches_free(read, read_count);
    ipc_buffer_fini(&sink.bytes);
}

static void test_dictionaries_are_sent_when_they_change(void **state) {
    static const char *const texts[] = {"ab", "ab", "abc", "abc", "xy", "ab", "abcd", "xy"};
    (void)state;
    sends(texts, 1, KH_IPC_STREAM, "SDR");
    sends(texts, 2, KH_IPC_STREAM, "SDRR");
    sends(texts, 4, KH_IPC_STREAM, "SDRRDRR");
    sends(texts, 8, KH_IPC_STREAM, "SDRRDRRDRDRDRDR");
    sends(texts, 2, KH_IPC_FILE, "SDRR");
    sends(texts, 4, KH_IPC_FILE, "SDRR+RR");
    sends(texts, 8, KH_IPC_FILE, "SDRR+RR+R+R+RR");
}

static void test_file_indices_run_out(void **state) {
    (void)state;
    struct sink sink;
    kh_batch *batches[5];
    char texts[27];
    /* int8 indices reach 128 values: 4 x 26, and 24 more, but not 25 */
    for (int last = 24; last <= 25; last++) {
        for (int i = 0; i < 5; i++) {
            for (int j = 0; j < 26; j++)
                texts[j] = (char)('a' + (i + j) % 26);
            texts[i < 4 ? 26 : last] = '\0';
            batches[i] = colours(texts);
        }
        sink_open(&sink);
        assert_int_equal(write_all(&sink, KH_IPC_FILE, KH_COMPRESS_NONE, batches, 5),
                         last == 24 ? KH_OK : KH_UNSUPPORTED);
        ipc_buffer_fini(&sink.bytes);
        sink_open(&sink);
        assert_int_equal(write_all(&sink, KH_IPC_STREAM, KH_COMPRESS_NONE, batches, 5), KH_OK);
        ipc_buffer_fini(&sink.bytes);
        for (int i = 0; i < 5; i++)
            kh_batch_release(batches[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sinks_that_fail),
        cmocka_unit_test(test_calls_out_of_order),
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_dictionaries_are_sent_when_they_change),
        cmocka_unit_test(test_file_indices_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
