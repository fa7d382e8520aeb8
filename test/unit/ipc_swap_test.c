/* ipc_swap_test.c - streams of a big-endian machine: every type, with and without nulls, sliced,
 * with dictionaries. There is no such machine here: our own streams are turned round by code that
 * goes by format strings and knows nothing of the library's layouts. */
#include "batch/ipc_wire.h"
#include "support/foreign.h"
#include "support/ipc_kit.h"

#include <stdlib.h>

/* ---- the machine ---- */

static void turn(uint8_t *bytes, int64_t width) {
    for (int64_t i = 0; i < width / 2; i++) {
        uint8_t low = bytes[i];
        bytes[i] = bytes[width - 1 - i];
        bytes[width - 1 - i] = low;
    }
}

/* In 16 bytes: a view that is still ours. */
static void turn_view(uint8_t *view) {
    int32_t length;
    memcpy(&length, view, 4);
    turn(view, 4);
    if (length > 12) {
        turn(view + 8, 4);
        turn(view + 12, 4);
    }
}

static void turn_element(const char *format, uint8_t *element, int64_t width) {
    if (format[0] == 'v') {
        turn_view(element);
    } else if (strcmp(format, "tiD") == 0) {
        turn(element, 4);
        turn(element + 4, 4);
    } else if (strcmp(format, "tin") == 0) {
        turn(element, 4);
        turn(element + 4, 4);
        turn(element + 8, 8);
    } else if (format[0] != 'w') {
        turn(element, width);
    }
}

struct machine {
    uint8_t *body;
    const uint8_t *buffers; /* pairs of offset and size */
    const uint8_t *variadic;
};

static void turn_buffer(struct machine *m, const char *format, int64_t width) {
    int64_t span[2];
    memcpy(span, m->buffers, sizeof span);
    m->buffers += sizeof span;
    for (int64_t at = 0; width > 1 && at + width <= span[1]; at += width)
        turn_element(format, m->body + span[0] + at, width);
}

/* Views, and as many buffers of their bytes as the message says. */
static void turn_views(struct machine *m, const char *format) {
    int64_t count;
    memcpy(&count, m->variadic, 8);
    m->variadic += 8;
    turn_buffer(m, format, 16);
    for (int64_t i = 0; i < count; i++) turn_buffer(m, "", 1);
}

static bool is_list(const char *format) {
    return strcmp(format, "+l") == 0 || strcmp(format, "+L") == 0 || strcmp(format, "+m") == 0;
}

static void turn_column(struct machine *m, const struct ArrowSchema *type) {
    const char *format = type->format;
    if (format[0] == 'n') return;
    int64_t wide = strchr(format, 'L') != NULL || format[0] == 'U' || format[0] == 'Z' ? 8 : 4;
    if (strncmp(format, "+u", 2) != 0 && strncmp(format, "+r", 2) != 0) turn_buffer(m, "", 1);
    if (strchr("uzUZ", format[0]) != NULL) {
        turn_buffer(m, "", wide);
        turn_buffer(m, "", 1);
    } else if (format[0] == 'v') {
        turn_views(m, format);
    } else if (strncmp(format, "+v", 2) == 0) {
        turn_buffer(m, "", wide);
        turn_buffer(m, "", wide);
    } else if (strncmp(format, "+u", 2) == 0) {
        turn_buffer(m, "", 1);
        if (format[2] == 'd') turn_buffer(m, "", 4);
    } else if (is_list(format)) {
        turn_buffer(m, "", wide);
    } else if (format[0] != '+') {
        turn_buffer(m, format, foreign_bits(format) / 8);
    }
    for (int64_t i = 0; i < type->n_children; i++) turn_column(m, type->children[i]);
}

/* The values of the dictionary of this number, counted down in preorder. */
static const struct ArrowSchema *find_values(const struct ArrowSchema *type, int64_t *number) {
    if (type->dictionary != NULL) {
        if ((*number)-- == 0) return type->dictionary;
        const struct ArrowSchema *inner = find_values(type->dictionary, number);
        if (inner != NULL) return inner;
    }
    for (int64_t i = 0; i < type->n_children; i++) {
        const struct ArrowSchema *inner = find_values(type->children[i], number);
        if (inner != NULL) return inner;
    }
    return NULL;
}

/* The schema says big-endian: its table gets a field of two bytes that lie further on, in the name
 * "\1" of the only column. */
static void mark(uint8_t *metadata, size_t size_bytes, const struct flat_table *schema) {
    for (size_t at = schema->at + schema->table_bytes; at + 2 <= size_bytes; at++) {
        if (metadata[at] != 1 || metadata[at + 1] != 0 || metadata[at - 4] != 1) continue;
        uint16_t offset = (uint16_t)(at - schema->at);
        uint16_t table_bytes = (uint16_t)(offset + 2);
        memcpy(metadata + schema->vtable_at + 2, &table_bytes, 2);
        memcpy(metadata + schema->vtable_at + 4, &offset, 2);
        return;
    }
    fail_msg("the name was not found");
}

static void turn_message(const struct ipc_message *message, uint8_t *body,
                         const struct ArrowSchema *type) {
    struct flat_vector buffers;
    struct flat_vector variadic;
    assert_true(flat_items(&message->header, RECORD_BUFFERS, IPC_PAIR_BYTES, &buffers));
    assert_true(flat_items(&message->header, RECORD_VARIADIC, 8, &variadic));
    struct machine machine = {body, buffers.items, variadic.items};
    int64_t number = message->dictionary_id;
    if (message->kind == IPC_DICTIONARY)
        turn_column(&machine, find_values(type, &number));
    else
        turn_column(&machine, type->children[0]);
    assert_ptr_equal(machine.buffers, buffers.items + buffers.count * IPC_PAIR_BYTES);
}

static void turn_stream(uint8_t *bytes, size_t size_bytes, const struct ArrowSchema *type) {
    for (size_t at = 0; at + 8 < size_bytes;) {
        struct ipc_message message;
        uint32_t size;
        memcpy(&size, bytes + at + 4, 4);
        kh_bytes metadata = {bytes + at + 8, size};
        assert_int_equal(ipc_message_open(metadata, size_bytes, &message, NULL), KH_OK);
        at += 8 + size;
        if (message.kind == IPC_SCHEMA)
            mark(bytes + at - size, size, &message.header);
        else
            turn_message(&message, bytes + at, type);
        at += (size_t)message.body_bytes;
    }
}

/* ---- tests ---- */

static kh_batch *make(const char *type, bool has_nulls, struct ArrowSchema *arrow) {
    char column[64];
    const char *columns[] = {column};
    struct foreign_random random = {11, false, has_nulls};
    struct ArrowSchema given;
    struct ArrowArray array;
    kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    (void)snprintf(column, sizeof column, "\1=%s", type);
    foreign_columns(arrow, columns, 1);
    foreign_columns(&given, columns, 1);
    foreign_fill(&random, arrow, 20, &array);
    if (array.buffers[0] != NULL) { /* rows are never null themselves */
        free((void *)(uintptr_t)array.buffers[0]);
        array.buffers[0] = NULL;
        array.null_count = 0;
    }
    assert_int_equal(kh_schema_import(NULL, &given, &schema, NULL), KH_OK);
    assert_int_equal(kh_batch_import(NULL, schema, &array, KH_VALIDATE_FULL, &batch, NULL), KH_OK);
    kh_schema_release(schema);
    return batch;
}

static kh_status read_turned(const kh_batch *batch, const struct ArrowSchema *type,
                             kh_batch ***again, size_t *count) {
    kh_bytes bytes = {NULL, 0};
    kh_error error = {""};
    assert_int_equal(kh_ipc_encode(&batch, 1, KH_IPC_STREAM, KH_COMPRESS_NONE, &bytes, &error),
                     KH_OK);
    turn_stream((uint8_t *)(uintptr_t)bytes.data, bytes.size_bytes, type);
    kh_status status = kh_ipc_decode(NULL, bytes, again, count, &error);
    if (status != KH_OK) print_message("%s\n", error.message);
    kh_bytes_free(bytes);
    return status;
}

static void reads_the_same(const char *type, bool has_nulls) {
    struct ArrowSchema arrow;
    kh_batch *whole = make(type, has_nulls, &arrow);
    for (int64_t first = 0; first <= 20; first += 5) {
        kh_batch *batch = NULL;
        kh_batch **again = NULL;
        size_t count = 0;
        bool is_equal = false;
        assert_int_equal(kh_batch_slice(whole, first, 20 - first, &batch, NULL), KH_OK);
        assert_int_equal(read_turned(batch, &arrow, &again, &count), KH_OK);
        assert_int_equal(count, 1);
        assert_int_equal(kh_batch_equal(batch, again[0], &is_equal, NULL), KH_OK);
        if (!is_equal) print_message("%s from %ld\n", type, (long)first);
        assert_true(is_equal);
        kh_batches_free(again, count);
        kh_batch_release(batch);
    }
    kh_batch_release(whole);
    arrow.release(&arrow);
}

static void test_every_type(void **state) {
    (void)state;
    for (int i = 0; i < foreign_type_count; i++) {
        reads_the_same(foreign_types[i], false);
        reads_the_same(foreign_types[i], true);
    }
    assert_int_equal(foreign_live, 0);
}

/* That the stream says whose it is matters: the same bytes under our own sign are others. */
static void test_the_sign_matters(void **state) {
    (void)state;
    struct ArrowSchema arrow;
    kh_batch *batch = make("l", false, &arrow);
    kh_bytes bytes = {NULL, 0};
    kh_batch **again = NULL;
    size_t count = 0;
    bool is_equal = true;
    const kh_batch *batches[] = {batch};
    assert_int_equal(kh_ipc_encode(batches, 1, KH_IPC_STREAM, KH_COMPRESS_NONE, &bytes, NULL),
                     KH_OK);
    struct ipc_message message;
    uint32_t size;
    uint8_t *own = (uint8_t *)(uintptr_t)bytes.data;
    memcpy(&size, own + 4, 4);
    assert_int_equal(ipc_message_open((kh_bytes){own + 8, size}, 0, &message, NULL), KH_OK);
    mark(own + 8, size, &message.header);
    assert_int_equal(kh_ipc_decode(NULL, bytes, &again, &count, NULL), KH_OK);
    assert_int_equal(count, 1);
    assert_int_equal(kh_batch_equal(batch, again[0], &is_equal, NULL), KH_OK);
    assert_false(is_equal);
    kh_batches_free(again, count);
    kh_bytes_free(bytes);
    kh_batch_release(batch);
    arrow.release(&arrow);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_the_sign_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
