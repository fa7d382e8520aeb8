/* ipc_dictionary_test.c - ids that are shared, unknown, late, doubled, or contain themselves. */
#include "batch/ipc_wire.h"
#include "support/ipc_kit.h"

static kh_status init(const char *type, const int64_t *ids) {
    struct ArrowSchema arrow;
    struct ipc_dictionaries dictionaries;
    kh_schema *schema = NULL;
    kh_error error = {""};
    foreign_table(&arrow, type);
    assert_int_equal(kh_schema_import(NULL, &arrow, &schema, &error), KH_OK);
    kh_status status = ipc_dictionaries_init(&dictionaries, mem_process(), schema, ids, &error);
    ipc_dictionaries_fini(&dictionaries);
    kh_schema_release(schema);
    return status;
}

static void test_shared_ids(void **state) {
    (void)state;
    assert_int_equal(init("+s[c{u};i{u}]", (int64_t[]){7, 7}), KH_OK);
    assert_int_equal(init("+s[c{u};i{l}]", (int64_t[]){7, 7}), KH_CORRUPT);
    assert_int_equal(init("+s[c{u};i{l}]", (int64_t[]){7, -7}), KH_OK);
    /* a dictionary inside itself */
    assert_int_equal(init("c{+s[i{u}]}", (int64_t[]){7, 7}), KH_CORRUPT);
    /* the same outer one, other inner ones */
    assert_int_equal(init("+s[c{+s[i{u}]};c{+s[i{u}]}]", (int64_t[]){1, 2, 1, 3}), KH_CORRUPT);
    assert_int_equal(init("+s[c{+s[i{u}]};c{+s[i{u}]}]", (int64_t[]){1, 2, 1, 2}), KH_OK);
}

static void test_slots(void **state) {
    (void)state;
    struct ArrowSchema arrow;
    struct ipc_slots slots;
    kh_schema *schema = NULL;
    foreign_table(&arrow, "+s[c{+s[i{u};l]};+l[s{u}];l]");
    assert_int_equal(kh_schema_import(NULL, &arrow, &schema, NULL), KH_OK);
    assert_int_equal(ipc_slots_init(&slots, mem_process(), schema_root(schema), NULL, NULL), KH_OK);
    assert_int_equal(slots.count, 3);
    assert_string_equal(slots.items[0].field->format, "c");
    assert_string_equal(slots.items[1].field->format, "i");
    assert_string_equal(slots.items[2].field->format, "s");
    assert_int_equal(slots.items[0].next, 2);
    assert_int_equal(slots.items[1].next, 2);
    assert_int_equal(slots.items[2].next, 3);
    ipc_slots_fini(&slots);
    kh_schema_release(schema);
}

/* Messages of a stream, one by one. */
struct part {
    const unsigned char *bytes;
    size_t size_bytes;
    bool is_dictionary;
};

static size_t split(kh_bytes stream, struct part *parts) {
    const unsigned char *next = stream.data;
    size_t count = 0;
    for (;;) {
        uint32_t prefix[2];
        struct ipc_message message;
        memcpy(prefix, next, sizeof prefix);
        if (prefix[1] == 0)
            return count;
        kh_bytes metadata = {next + 8, prefix[1]};
        assert_int_equal(ipc_message_open(metadata, 1 << 20, &message, NULL), KH_OK);
        size_t size = 8 + prefix[1] + (size_t)message.body_bytes;
        parts[count++] = (struct part){next, size, message.kind == IPC_DICTIONARY};
        next += size;
    }
}

static kh_status read_parts(const struct part *parts, const int *order, size_t count) {
    struct ipc_buffer bytes;
    ipc_buffer_init(&bytes, mem_process());
    for (size_t i = 0; i < count; i++)
        ipc_buffer_append(&bytes, parts[order[i]].bytes, parts[order[i]].size_bytes);
    kh_status status = ipc_kit_try(NULL, bytes.bytes, bytes.size_bytes);
    ipc_buffer_fini(&bytes);
    return status;
}

static void test_order_of_messages(void **state) {
    (void)state;
    struct part parts[8];
    kh_batch *batch = ipc_kit_batch(NULL, "+s[i{u};i{l}]", 30, 1);
    kh_bytes stream = ipc_kit_encode(batch, KH_IPC_STREAM, KH_COMPRESS_NONE);
    assert_int_equal(split(stream, parts), 4); /* schema, two dictionaries, rows */
    assert_true(parts[1].is_dictionary && parts[2].is_dictionary);
    assert_int_equal(read_parts(parts, (int[]){0, 1, 2, 3}, 4), KH_OK);
    assert_int_equal(read_parts(parts, (int[]){0, 2, 1, 3, 3}, 5), KH_OK);
    assert_int_equal(read_parts(parts, (int[]){0, 1, 1, 2, 3, 2, 3}, 7), KH_OK);
    assert_int_equal(read_parts(parts, (int[]){0, 1, 3}, 3), KH_CORRUPT);
    assert_int_equal(read_parts(parts, (int[]){0, 3}, 2), KH_CORRUPT);
    assert_int_equal(read_parts(parts, (int[]){1, 0, 2, 3}, 4), KH_CORRUPT);
    kh_bytes_free(stream);
    kh_batch_release(batch);
}

/* A stream with the id and the delta flag of its dictionary batch changed. */
static kh_status read_changed(const struct part *parts, int64_t id, bool is_delta) {
    struct ipc_buffer bytes;
    struct ipc_dictionary_note note = {.id = id, .is_delta = is_delta};
    struct ipc_encoding encoding = {.out = &bytes, .alignment = 8};
    struct arena arena;
    struct column root;
    kh_batch *values = ipc_kit_batch(NULL, "!u", 40, 3);
    ipc_buffer_init(&bytes, mem_process());
    ipc_buffer_init(&encoding.scratch, mem_process());
    arena_init(&arena, mem_process(), NULL);
    assert_int_equal(column_view(values, &arena, &root, NULL), KH_OK);
    ipc_buffer_append(&bytes, parts[0].bytes, parts[0].size_bytes);
    assert_int_equal(ipc_message_put(&encoding, &root.children[0], 0, 40, 0, &note, NULL, NULL),
                     KH_OK);
    ipc_buffer_append(&bytes, parts[2].bytes, parts[2].size_bytes);
    kh_status status = ipc_kit_try(NULL, bytes.bytes, bytes.size_bytes);
    arena_fini(&arena);
    ipc_buffer_fini(&bytes);
    kh_batch_release(values);
    return status;
}

static void test_ids_and_deltas(void **state) {
    (void)state;
    struct part parts[8];
    kh_batch *batch = ipc_kit_batch(NULL, "i{u}", 30, 1);
    kh_bytes stream = ipc_kit_encode(batch, KH_IPC_STREAM, KH_COMPRESS_NONE);
    assert_int_equal(split(stream, parts), 3);
    assert_int_equal(read_changed(parts, 0, false), KH_OK);
    assert_int_equal(read_changed(parts, 1, false), KH_CORRUPT);
    assert_int_equal(read_changed(parts, -1, false), KH_CORRUPT);
    assert_int_equal(read_changed(parts, 0, true), KH_CORRUPT);
    kh_bytes_free(stream);
    kh_batch_release(batch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_ids),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_order_of_messages),
        cmocka_unit_test(test_ids_and_deltas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
