/* ipc_value.c - fuzzes the decoders that the log's records use: a schema's bytes and a value's.
 *
 * Input: two bytes with the size of the schema part, the schema part, the value. A value that is
 * accepted must encode again, and to bytes that give an equal batch. */
#include "base/mem.h"
#include "batch/ipc.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

static void expect(bool holds, const char *what, kh_status status, const kh_error *error) {
    if (holds) return;
    fprintf(stderr, "%s: %s: %s\n", what, kh_status_name(status), error->message);
    abort();
}

static bool is_expected(kh_status status) {
    return status == KH_OK || status == KH_CORRUPT || status == KH_TOO_BIG ||
           status == KH_UNSUPPORTED || status == KH_NO_MEMORY;
}

static void check_again(const kh_schema *schema, const kh_batch *batch) {
    kh_error error = {.message = ""};
    kh_batch *again = NULL;
    bool is_equal = false;
    struct ipc_buffer written;
    ipc_buffer_init(&written, mem_process());
    kh_status status = ipc_encode_value(mem_process(), batch, KH_COMPRESS_NONE, &written, &error);
    expect(status == KH_OK, "encode", status, &error);
    kh_bytes input = {.data = written.bytes, .size_bytes = written.size_bytes};
    status = ipc_decode_value(mem_process(), NULL, schema, input, &again, &error);
    expect(status == KH_OK, "decode again", status, &error);
    status = kh_batch_equal(batch, again, &is_equal, &error);
    expect(status == KH_OK && is_equal, "compare", status, &error);
    kh_batch_release(again);
    ipc_buffer_fini(&written);
}

static void check_schema(const kh_schema *schema) {
    kh_error error = {.message = ""};
    const kh_schema *again = NULL;
    struct ipc_buffer written;
    ipc_buffer_init(&written, mem_process());
    kh_status status = ipc_encode_schema(schema, &written, &error);
    expect(status == KH_OK, "encode schema", status, &error);
    kh_bytes input = {.data = written.bytes, .size_bytes = written.size_bytes};
    status = ipc_decode_schema(schema_table_process(), input, &again, &error);
    expect(status == KH_OK && again == schema, "decode schema again", status, &error);
    schema_drop(again);
    ipc_buffer_fini(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes) {
    kh_error error = {.message = ""};
    const kh_schema *schema = NULL;
    kh_batch *batch = NULL;
    if (size_bytes < 2) return 0;
    size_t schema_bytes = bytes[0] | (size_t)bytes[1] << 8;
    if (schema_bytes > size_bytes - 2) return 0;
    kh_bytes input = {.data = bytes + 2, .size_bytes = schema_bytes};
    kh_status status = ipc_decode_schema(schema_table_process(), input, &schema, &error);
    expect(is_expected(status), "decode schema", status, &error);
    if (status != KH_OK) return 0;
    check_schema(schema);
    input.data = bytes + 2 + schema_bytes;
    input.size_bytes = size_bytes - 2 - schema_bytes;
    status = ipc_decode_value(mem_process(), NULL, schema, input, &batch, &error);
    expect(is_expected(status), "decode", status, &error);
    if (status == KH_OK) check_again(schema, batch);
    kh_batch_release(batch);
    schema_drop(schema);
    return 0;
}
