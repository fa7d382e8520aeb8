/* ipc_flat_test.c - the flatbuffer writer before flatcc's verifier and accessors, the reader before
 * references that leave the buffer, loop, or share what they refer to. */
#include "batch/ipc_wire.h"
#include "support/ipc_kit.h"

#include "nanoarrow/ipc/flatcc_generated.h"


#define arrow(name) org_apache_arrow_flatbuf_##name

static void judge_message(const void *bytes, size_t size_bytes, int64_t *body_bytes) {
    void *aligned = aligned_alloc(64, (size_bytes + 63) & ~(size_t)63);
    assert_non_null(aligned);
    memcpy(aligned, bytes, size_bytes);
    int verdict = arrow(Message_verify_as_root)(aligned, size_bytes);
    if (verdict != 0)
        print_message("flatcc: %s\n", flatcc_verify_error_string(verdict));
    assert_int_equal(verdict, 0);
    arrow(Message_table_t) message = arrow(Message_as_root)(aligned);
    assert_int_equal(arrow(Message_version)(message), IPC_V5);
    assert_true(arrow(Message_header_is_present)(message));
    *body_bytes = arrow(Message_bodyLength)(message);
    if (arrow(Message_header_type)(message) == arrow(MessageHeader_RecordBatch)) {
        arrow(RecordBatch_table_t) record = arrow(Message_header)(message);
        arrow(Buffer_vec_t) buffers = arrow(RecordBatch_buffers)(record);
        assert_true(arrow(RecordBatch_nodes_is_present)(record));
        for (size_t i = 0; i < arrow(Buffer_vec_len)(buffers); i++) {
            arrow(Buffer_struct_t) buffer = arrow(Buffer_vec_at)(buffers, i);
            assert_int_equal(arrow(Buffer_offset)(buffer) % 64, 0);
            assert_true(arrow(Buffer_offset)(buffer) + arrow(Buffer_length)(buffer) <=
                        *body_bytes);
        }
    }
    free(aligned);
}

static void judge_footer(const unsigned char *end) {
    int32_t size;
    memcpy(&size, end - 10, sizeof size);
    void *aligned = aligned_alloc(64, ((size_t)size + 63) & ~(size_t)63);
    assert_non_null(aligned);
    memcpy(aligned, end - 10 - size, (size_t)size);
    assert_int_equal(arrow(Footer_verify_as_root)(aligned, (size_t)size), 0);
    arrow(Footer_table_t) footer = arrow(Footer_as_root)(aligned);
    assert_int_equal(arrow(Block_vec_len)(arrow(Footer_recordBatches)(footer)), 1);
    arrow(Block_struct_t) block = arrow(Block_vec_at)(arrow(Footer_recordBatches)(footer), 0);
    assert_int_equal(arrow(Block_offset)(block) % 64, 0);
    assert_int_equal(arrow(Block_metaDataLength)(block) % 8, 0);
    free(aligned);
}

static void test_flatcc_accepts_what_is_written(void **state) {
    (void)state;
    for (int type = 0; type < foreign_type_count; type++)
        for (int way = 0; way < 6; way++) {
            kh_ipc_format format = (kh_ipc_format)(way & 1);
            kh_batch *batch = ipc_kit_batch(NULL, foreign_types[type], 20, (uint64_t)way);
            kh_bytes bytes = ipc_kit_encode(batch, format, (kh_compression)(way / 2));
            const unsigned char *start = bytes.data;
            const unsigned char *next = start + (format == KH_IPC_FILE ? 8 : 0);
            for (;;) {
                uint32_t prefix[2];
                int64_t body_bytes;
                memcpy(prefix, next, sizeof prefix);
                assert_int_equal(prefix[0], IPC_CONTINUATION);
                if (prefix[1] == 0)
                    break;
                judge_message(next + 8, prefix[1], &body_bytes);
                next += 8 + prefix[1] + body_bytes;
                assert_int_equal((next - start) % 64, 0);
            }
            if (format == KH_IPC_FILE)
                judge_footer(start + bytes.size_bytes);
            kh_bytes_free(bytes);
            kh_batch_release(batch);
        }
}

/* ---- hostile schemas ---- */

/* A Field table of a struct whose children are to be set: returns where its reference lies. */
static size_t put_struct(struct ipc_buffer *out, size_t *table) {
    struct flat_field fields[3] = {{.field = FIELD_TYPE_TYPE, .width = 1, .value = 13},
                                   {.field = FIELD_TYPE, .width = FLAT_REF},
                                   {.field = FIELD_CHILDREN, .width = FLAT_REF}};
    *table = flat_put_table(out, 0, fields, 3);
    flat_refer(out, fields[1].at, flat_put_table(out, 0, NULL, 0));
    return fields[2].at;
}

/* A schema in which every level lists the next one twice: 2^levels fields in a few KiB. */
static void put_laughs(struct ipc_buffer *out, unsigned levels) {
    struct flat_field fields[1] = {{.field = SCHEMA_FIELDS, .width = FLAT_REF}};
    flat_begin(out, 0);
    flat_refer(out, 0, flat_put_table(out, 0, fields, 1));
    size_t from = fields[0].at;
    for (unsigned level = 0; level < levels; level++) {
        size_t table;
        size_t vector = flat_put_vector(out, 0, 2, 4);
        flat_refer(out, from, vector);
        from = put_struct(out, &table);
        flat_refer(out, vector + 4, table);
        flat_refer(out, vector + 8, table);
    }
    flat_refer(out, from, flat_put_vector(out, 0, 0, 4));
    assert_false(out->is_failed);
}

static kh_status read_schema(const struct ipc_buffer *bytes) {
    struct flat_table root;
    struct ArrowSchema arrow_schema;
    struct ipc_buffer ids;
    struct ipc_traits traits;
    kh_error error = {""};
    ipc_buffer_init(&ids, mem_process());
    assert_true(flat_root(bytes->bytes, bytes->size_bytes, &root));
    kh_status status =
        ipc_schema_read(&root, mem_process(), &arrow_schema, &ids, &traits, &error);
    if (status == KH_OK)
        arrow_schema.release(&arrow_schema);
    ipc_buffer_fini(&ids);
    return status;
}

static void test_shared_children_do_not_multiply(void **state) {
    (void)state;
    for (unsigned levels = 1; levels < 100; levels += 3) {
        struct ipc_buffer out;
        ipc_buffer_init(&out, mem_process());
        put_laughs(&out, levels);
        /* Work that doubled with each level would never end: the status alone is the answer. */
        kh_status status = read_schema(&out);
        assert_int_equal(status, levels <= 13 ? KH_OK : KH_TOO_BIG);
        ipc_buffer_fini(&out);
    }
}

/* The same for one long vector of metadata that every field refers to. */
static void test_shared_metadata_does_not_multiply(void **state) {
    (void)state;
    struct ipc_buffer out;
    ipc_buffer_init(&out, mem_process());
    struct flat_field schema[1] = {{.field = SCHEMA_FIELDS, .width = FLAT_REF}};
    flat_begin(&out, 0);
    flat_refer(&out, 0, flat_put_table(&out, 0, schema, 1));
    size_t vector = flat_put_vector(&out, 0, 16000, 4);
    flat_refer(&out, schema[0].at, vector);
    struct flat_field fields[3] = {{.field = FIELD_TYPE_TYPE, .width = 1, .value = 1},
                                   {.field = FIELD_TYPE, .width = FLAT_REF},
                                   {.field = FIELD_METADATA, .width = FLAT_REF}};
    size_t field = flat_put_table(&out, 0, fields, 3);
    for (size_t i = 0; i < 16000; i++)
        flat_refer(&out, vector + 4 + 4 * i, field);
    flat_refer(&out, fields[1].at, flat_put_table(&out, 0, NULL, 0));
    size_t pairs = flat_put_vector(&out, 0, 100000, 4);
    flat_refer(&out, fields[2].at, pairs);
    size_t pair = flat_put_table(&out, 0, NULL, 0);
    for (size_t i = 0; i < 100000; i++)
        flat_refer(&out, pairs + 4 + 4 * i, pair);
    assert_false(out.is_failed);
    /* Vectors before what they refer to: the field's table lies behind its vector. */
    assert_int_equal(read_schema(&out), KH_TOO_BIG);
    ipc_buffer_fini(&out);
}

static void test_fields_leave_nothing_unread(void **state) {
    (void)state;
    struct ipc_buffer out;
    ipc_buffer_init(&out, mem_process());
    struct flat_field fields[4] = {{.field = 0, .width = 8, .value = -5},
                                   {.field = 3, .width = 1, .value = 0x81},
                                   {.field = 1, .width = FLAT_REF},
                                   {.field = 5, .width = 2, .value = -2}};
    flat_begin(&out, 0);
    flat_refer(&out, 0, flat_put_table(&out, 0, fields, 4));
    flat_refer(&out, fields[2].at, flat_put_text(&out, 0, "text", 4));
    struct flat_table root;
    struct flat_table child;
    int64_t value;
    kh_bytes text;
    assert_true(flat_root(out.bytes, out.size_bytes, &root));
    assert_true(flat_integer(&root, 0, 8, 0, &value));
    assert_int_equal(value, -5);
    assert_true(flat_integer(&root, 3, 1, 0, &value));
    assert_int_equal(value, (int8_t)0x81);
    assert_true(flat_integer(&root, 5, 2, 0, &value));
    assert_int_equal(value, -2);
    assert_true(flat_integer(&root, 2, 4, 77, &value));
    assert_int_equal(value, 77);
    assert_true(flat_integer(&root, 60, 4, 78, &value));
    assert_int_equal(value, 78);
    assert_true(flat_text(&root, 1, &text));
    assert_int_equal(text.size_bytes, 4);
    assert_memory_equal(text.data, "text", 4);
    assert_int_equal(flat_child(&root, 2, &child), FLAT_ABSENT);
    assert_false(flat_integer(&root, 5, 8, 0, &value)); /* wider than the table has room for */
    for (size_t size = 0; size < out.size_bytes - 1; size++) {
        unsigned char *cut = malloc(size + 1);
        assert_non_null(cut);
        memcpy(cut, out.bytes, size);
        assert_false(flat_root(cut, size, &root) && flat_text(&root, 1, &text) &&
                     text.size_bytes == 4);
        free(cut);
    }
    ipc_buffer_fini(&out);
}

/* Every distance, size and count of a small flatbuffer replaced by extreme ones: the address
 * sanitizer sees any access outside. */
static void touch(const unsigned char *bytes, size_t size_bytes) {
    struct flat_table root;
    struct flat_table child;
    struct flat_vector vector;
    int64_t value;
    kh_bytes text;
    unsigned char last = 0;
    if (!flat_root(bytes, size_bytes, &root))
        return;
    for (unsigned field = 0; field < 40; field++) {
        for (unsigned width = 1; width <= 8; width *= 2)
            (void)flat_integer(&root, field, width, 0, &value);
        if (flat_text(&root, field, &text) && text.size_bytes > 0)
            last ^= ((const unsigned char *)text.data)[text.size_bytes - 1];
        if (flat_child(&root, field, &child) == FLAT_PRESENT)
            (void)flat_integer(&child, 0, 8, 0, &value);
        if (flat_items(&root, field, 4, &vector) && vector.count > 0)
            (void)flat_item_table(&root, &vector, vector.count - 1, &child);
        if (flat_items(&root, field, 16, &vector) && vector.count > 0)
            last ^= vector.items[16 * (size_t)vector.count - 1];
    }
    (void)last;
}

static void test_extreme_numbers_stay_inside(void **state) {
    (void)state;
    struct ipc_buffer out;
    ipc_buffer_init(&out, mem_process());
    struct flat_field fields[4] = {{.field = 0, .width = 8, .value = 1},
                                   {.field = 1, .width = FLAT_REF},
                                   {.field = 2, .width = FLAT_REF},
                                   {.field = 3, .width = FLAT_REF}};
    flat_begin(&out, 0);
    flat_refer(&out, 0, flat_put_table(&out, 0, fields, 4));
    flat_refer(&out, fields[1].at, flat_put_text(&out, 0, "text", 4));
    size_t vector = flat_put_vector(&out, 0, 2, 4);
    flat_refer(&out, fields[2].at, vector);
    struct flat_field inner[1] = {{.field = 0, .width = 8, .value = 2}};
    size_t child = flat_put_table(&out, 0, inner, 1);
    flat_refer(&out, fields[3].at, child);
    flat_refer(&out, vector + 4, child);
    flat_refer(&out, vector + 8, child);
    unsigned char *exact = malloc(out.size_bytes);
    assert_non_null(exact);
    memcpy(exact, out.bytes, out.size_bytes);
    touch(exact, out.size_bytes);
    for (size_t at = 0; at + 4 <= out.size_bytes; at += 2)
        for (uint32_t step = 0; step < 140; step++) {
            uint32_t far = step < 70 ? step : (uint32_t)out.size_bytes + 100 - step;
            uint32_t extremes[] = {far, 0u - far, 0x7fffffffu - far, 0x80000000u + far,
                                   0xffffu - far, 0x10000u * far + 0xffff, 0xffff0000u + far};
            for (size_t i = 0; i < sizeof extremes / sizeof extremes[0]; i++) {
                memcpy(exact + at, &extremes[i], 4);
                touch(exact, out.size_bytes);
            }
            memcpy(exact + at, out.bytes + at, 4);
        }
    free(exact);
    ipc_buffer_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flatcc_accepts_what_is_written),
        cmocka_unit_test(test_shared_children_do_not_multiply),
        cmocka_unit_test(test_shared_metadata_does_not_multiply),
        cmocka_unit_test(test_fields_leave_nothing_unread),
        cmocka_unit_test(test_extreme_numbers_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
